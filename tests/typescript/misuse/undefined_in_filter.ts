import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
const email: string | undefined = undefined;
await users.list({ filter: { email } });
