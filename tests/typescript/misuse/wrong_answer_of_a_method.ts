import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
const years: string = await users.birthday({ email: "a@b.c" });
console.log(years);
