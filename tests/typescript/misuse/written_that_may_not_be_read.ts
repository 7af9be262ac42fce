import { connect } from "./client.js";

const client = connect({ url: "" });
const note = await client.notes.insert({ owner: "ada", text: "x" });
console.log(note.text);
