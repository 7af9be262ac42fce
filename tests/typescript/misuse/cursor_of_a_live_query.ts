import { connect } from "./client.js";

const client = connect({ url: "" });
const { users } = client;
users.live({ cursor: "x" });
