// Calls through a connection that is cut off when a request has arrived.
import assert from "node:assert/strict";
import { client, failure, run } from "./harness.js";

run(async () => {
  const { users } = client({ retries: 8 });
  await users.insert({ email: "ada@example.com", age: 0 }).catch(() => {});
  for (let at = 1; at <= 10; at++) assert.equal(await users.birthday({ email: "ada@example.com" }), at);
  // What is only read is read again.
  assert.equal((await users.list()).items.length, 1);
  assert.equal(await users.count(), 1);
  void failure;
});
