import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
const error: unknown = null;
if (users.isError(error) && error.code === "UNIQUE_VIOLATION" && error.fields === undefined) {
  console.log(error.field === "age");
}
