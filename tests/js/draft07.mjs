// Reads {schema, good, bad} as a line of JSON, and answers what AJV's default class, which knows draft-07, says of them:
// {good: [boolean], bad: [boolean]}, or {error}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.MODELLER_NPM + "/");
const Ajv = require("ajv").default;
const addFormats = require("ajv-formats").default;

for await (const line of createInterface({ input: process.stdin })) {
  const { schema, good, bad } = JSON.parse(line);
  try {
    const ajv = new Ajv({ strict: false, logger: false });
    addFormats(ajv);
    const validate = ajv.compile(schema);
    console.log(JSON.stringify({ good: good.map((value) => validate(value)), bad: bad.map((value) => validate(value)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
