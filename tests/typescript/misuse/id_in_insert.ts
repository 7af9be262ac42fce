import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
await users.insert({ _id: "1", email: "a@b.c" });
