import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
await users.insert({ email: "a@b.c", age: "1" });
