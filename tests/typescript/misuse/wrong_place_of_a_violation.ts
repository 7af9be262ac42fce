import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
try {
  await users.insert({ email: "a@b.c" });
} catch (error) {
  if (users.isError(error) && error.code === "VALIDATION_ERROR" && error.index === undefined) {
    console.log(error.errors.some((violation) => violation.instancePath === "/emial"));
  }
}
