import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
await users.call("demote", { email: "a@b.c" });
