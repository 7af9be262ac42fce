// What mingo finds. A line holds documents and queries on them; the answer holds a list of ids for each query.
// (MODELLER_NPM names the folder with node_modules)
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
const { Query } = createRequire(process.env.MODELLER_NPM + '/')('mingo');

function found(documents, { filter, sort, skip, limit }) {
  let cursor = new Query(filter).find(documents);
  if (sort) cursor = cursor.sort(sort);
  if (skip) cursor = cursor.skip(skip);
  if (limit !== undefined) cursor = cursor.limit(limit);
  return cursor.all().map((document) => document._id);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { documents, queries } = JSON.parse(line);
  const answers = queries.map((query) => {
    try {
      return found(documents, query);
    } catch (error) {
      return { error: String(error) };
    }
  });
  process.stdout.write(JSON.stringify(answers) + '\n');
}
