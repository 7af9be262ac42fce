import { connect } from "./client.js";

const client = connect({ url: "" });
void client.users.phones;
