import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
const user = await users.get("1");
console.log(user.email);
