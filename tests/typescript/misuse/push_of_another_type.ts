import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
await users.update("1", { $push: { tags: 1 } });
