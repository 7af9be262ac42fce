import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
const page = await users.list({ fields: { email: 1 } });
console.log(page.items[0]?.age);
