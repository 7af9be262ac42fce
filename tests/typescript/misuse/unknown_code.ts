import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
const error: unknown = null;
if (users.isError(error)) {
  console.log(error.code === "NOT_UNIQUE");
}
