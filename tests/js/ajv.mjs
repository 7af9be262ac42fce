// What AJV says. A line holds a schema and values; the answer holds a list of errors for each value, or why the schema is
// refused. (MODELLER_NPM names the folder with node_modules)
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
const require = createRequire(process.env.MODELLER_NPM + '/');
const Ajv2020 = require('ajv/dist/2020');
const addFormats = require('ajv-formats');
const addErrors = require('ajv-errors');

for await (const line of createInterface({ input: process.stdin })) {
  const { schema, values } = JSON.parse(line);
  let answer;
  try {
    const ajv = new Ajv2020({ allErrors: true, strict: false, logger: false });
    addFormats(ajv);
    addErrors(ajv);
    const validate = ajv.compile(schema);
    answer = values.map((value) => {
      validate(value);
      return (validate.errors ?? []).map(({ instancePath, keyword, message, params, schemaPath }) => ({
        instancePath, keyword, message, params, schemaPath,
      }));
    });
  } catch (error) {
    answer = { refused: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
