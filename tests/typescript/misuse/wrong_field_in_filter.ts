import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
await users.list({ filter: { emial: "x" } });
