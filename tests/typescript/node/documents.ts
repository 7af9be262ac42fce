// Documents, lists, methods and errors.
import assert from "node:assert/strict";
import { ModellerError, type User } from "./client.js";
import { client, failure, run } from "./harness.js";

run(async () => {
  const anyone = client();
  const { users } = anyone;
  const ada = await users.insert({ email: "ada@example.com", password: "correct horse", tags: ["a"], homes: [{ town: "Rome", key: "k", size: 1 }] });
  assert.equal(ada.age, 18);
  assert.equal(ada.role, "user");
  assert.equal("password" in ada, false);
  assert.deepEqual(ada.homes, [{ town: "Rome", size: 1 }]);
  assert.deepEqual(await users.get(ada._id), ada);
  for (const nobody of ["nobody", "..", ".", "", "a/b", "ä?#"]) assert.equal(await users.get(nobody), null, nobody);

  // Updates: patches and operators, with the revision that is expected.
  const older = await users.update(ada._id, { age: 36, nick: "Ada" }, { ifRev: ada._rev });
  assert.equal(older.age, 36);
  const conflict = await failure(users.update(ada._id, { age: 1 }, { ifRev: ada._rev }));
  assert(users.isError(conflict) && conflict.code === "CONFLICT");
  assert.equal(conflict.actual, older._rev);
  assert.equal(conflict.status, 412);
  const changed = await users.update(ada._id, {
    $inc: { age: 1, "homes.0.size": 2 },
    $push: { tags: { $each: ["b", "c"], $position: 0 } },
    $set: { "homes.0.town": "Oslo", "counts.x": 1 },
    $unset: { nick: true },
  });
  assert.deepEqual([changed.age, changed.tags, changed.homes, changed.counts], [37, ["b", "c", "a"], [{ town: "Oslo", size: 3 }], { x: 1 }]);
  assert.equal(changed.nick ?? null, null);
  const replaced = await users.replace(ada._id, { email: "ada@example.com", age: 40, shape: { circle: { radius: 2 } } });
  assert.deepEqual([replaced.age, replaced.tags, replaced.shape], [40, [], { circle: { radius: 2 } }]);

  // Errors, and where they are.
  const wrong = await failure(users.insert({ email: "no", age: 200, tags: ["1", "2", "3", "4", "5", "6"], homes: [{ town: "", size: 1 }] }));
  assert(wrong instanceof ModellerError && wrong instanceof Error);
  assert(users.isError(wrong) && wrong.code === "VALIDATION_ERROR" && wrong.index === undefined);
  const places = wrong.errors.map((violation) => violation.instancePath).sort();
  assert.deepEqual(places, ["/age", "/email", "/homes/0/town", "/tags"]);
  const taken = await failure(users.insert({ email: "ada@example.com" }));
  assert(users.isError(taken) && taken.code === "UNIQUE_VIOLATION");
  assert.equal(taken.field, "email");
  const second = await failure(users.insertMany([{ email: "a@b.c" }, { email: "no" }]));
  assert(users.isError(second) && second.code === "VALIDATION_ERROR" && second.index !== undefined);
  assert.deepEqual([second.index, second.errors[0]?.instancePath], [1, "/1/email"]);
  const own = await failure(users.refuse());
  assert(own instanceof ModellerError && !users.isError(own));
  assert.deepEqual([own.code, own.problem["limit"], own.message, own.status], ["QUOTA_EXCEEDED", 3, "no more", 400]);
  const args = await failure(users.promote({} as { email: string }));
  assert(users.isError(args, "promote") && args.code === "VALIDATION_ERROR");

  // Lists.
  const many = Array.from({ length: 250 }, (_, at) => ({ email: `u${at}@example.com`, age: at % 100, active: at % 2 === 0 }));
  assert.equal((await users.insertMany(many)).length, 250);
  assert.equal(await users.count(), 251);
  assert.equal(await users.count({ age: { $gte: 50 }, active: true }), many.filter(({ age, active }) => age >= 50 && active).length);
  const page = await users.list({ filter: { email: { $regex: "^u1" } }, sort: { age: -1, email: 1 }, limit: 10 });
  assert.equal(page.items.length, 10);
  assert(page.nextCursor !== null);
  const next = await users.list({ filter: { email: { $regex: "^u1" } }, sort: { age: -1, email: 1 }, limit: 10, cursor: page.nextCursor });
  assert(next.items[0]!.age <= page.items[9]!.age);
  const all: User[] = [];
  for await (const user of users.list({ sort: { email: 1 }, limit: 60, skip: 1 })) all.push(user);
  assert.equal(all.length, 250);
  assert.equal(new Set(all.map((user) => user._id)).size, 250);
  const part = await users.list({ filter: { "main_home.town": null }, fields: { email: 1 }, limit: 1 });
  assert.deepEqual(Object.keys(part.items[0]!).sort(), ["_id", "_rev", "email"]);
  assert.throws(() => users.list({ filter: { email: undefined as unknown as string } }), /filter.email/);
  await assert.rejects(async () => users.deleteMany({ $or: [{ age: undefined as unknown as number }] }), /filter\.\$or\.0\.age/);
  const query = await failure(users.list({ filter: { nowhere: 1 } as never }).then());
  assert(users.isError(query) && query.code === "INVALID_QUERY");

  // Methods, some called by names that the client has itself.
  assert.equal((await users.promote({ email: "u1@example.com" })).role, "admin");
  assert.equal(await users.call("birthday", { email: "u1@example.com" }), 2);
  assert.equal((await users.list_all()).length, 251);
  assert.deepEqual(await users.grow({ name: "a", below: [{ name: "b" }] }), { name: "a", below: [{ name: "b", below: [] }] });
  assert.equal(await users.rest(), null);
  const late = await failure(users.rest(undefined, { timeout: 20 }));
  assert(users.isError(late) && late.code === "TIMEOUT" && late.status === 0);
  const stop = new AbortController();
  const stopped = failure(users.rest(undefined, { signal: stop.signal }));
  stop.abort(new Error("enough"));
  assert.equal(((await stopped) as Error).message, "enough");

  // Many at a time, and what was deleted.
  assert.equal(await users.updateMany({ active: false }, { $set: { role: "admin" } }), 126);
  assert.equal(await users.deleteMany({ email: { $regex: "^u2" } }), 61);
  assert.equal((await users.delete(ada._id)).email, "ada@example.com");
  const deleted = await users.trash.list({ filter: { email: "ada@example.com" } });
  assert.equal(deleted[0]?.document?.email, "ada@example.com");
  assert.equal((await users.trash.restore(deleted[0]!._id))._id, ada._id);
  assert.equal(await users.trash.purgeAll(), 61);

  // What is within a model, and ids of the client's choice.
  const device = await users.devices.insert({ serial: "1" });
  assert.deepEqual((await anyone.model("users.devices").list()).items, [device]);
  assert.equal((await users.devices.update(device._id, { $currentDate: { seen: true } })).seen?.slice(0, 2), "20");
  const mine = client({ token: process.argv[3]! });
  const note = await mine.notes.insert({ _id: "n1", owner: "ada", text: "x" });
  assert("text" in note && note.text === "x");
  const foreign = await failure(mine.notes.insert({ owner: "bob", text: "x" }));
  assert(mine.notes.isError(foreign) && foreign.code === "FORBIDDEN");
  assert.equal(await client().notes.get("n1"), null);
});
