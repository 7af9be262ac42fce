import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
await users.subscribe({}).say({ text: 1 });
