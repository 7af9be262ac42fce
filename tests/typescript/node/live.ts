// Lists that stay what they are at the server, and rooms, over cuts.
import assert from "node:assert/strict";
import type { Heard, State, User } from "./client.js";
import { ask, client, failure, run, sleep, until } from "./harness.js";

run(async () => {
  let online: boolean[] = [];
  const { users } = client({ onOnline: (is) => online.push(is) });
  const writer = client();
  for (let at = 0; at < 30; at++) await writer.users.insert({ email: `u${at}@example.com`, age: at });

  const query = { filter: { age: { $gte: 10 } }, sort: { age: -1, email: 1 }, skip: 1, limit: 8 } as const;
  const live = users.live(query);
  const told: number[] = [];
  live.on(({ seq }) => told.push(seq));
  const same = users.live({ ...query, filter: { age: { $gte: 10 } } });
  const spelled = users.live({ ...query, filter: { $and: [{ age: { $gte: 10 } }] } });
  const first = await live.ready;
  await Promise.all([same.ready, spelled.ready]);
  const fresh = async (): Promise<User[]> => (await writer.users.list(query)).items;
  assert.deepEqual(first.items, await fresh());
  const agree = async (what: string): Promise<void> => {
    const items = JSON.stringify(await fresh());
    await until(what, () => [live, same, spelled].every((one) => JSON.stringify(one.items) === items));
  };

  // Random writes, with cuts in between.
  const ids = (await writer.users.list({ limit: 100 })).items.map((user) => user._id);
  let random = 7;
  const chance = (below: number): number => (random = (random * 48271) % 2147483647) % below;
  const states: State<User>[] = [];
  const reading = (async () => {
    for await (const state of live) states.push(state);
  })();
  for (let step = 0; step < 300; step++) {
    const at = chance(ids.length);
    if (chance(4) === 0) {
      ids.push((await writer.users.insert({ email: `n${step}@example.com`, age: chance(60) }))._id);
    } else if (chance(5) === 0 && ids.length > 5) {
      await writer.users.delete(ids[at]!);
      ids.splice(at, 1);
    } else {
      await writer.users.update(ids[at]!, { $set: { age: chance(60), nick: String(step) } });
    }
    if (step % 60 === 30) await ask("cut");
    if (step % 25 === 0) await agree(`step ${step}`);
  }
  await agree("the end");
  assert(online.filter((is) => !is).length >= 4, `${online}`);
  assert(told.every((seq, at) => at === 0 || seq >= told[at - 1]!), "the commits came in order");
  assert(states.length > 10 && states.every((state, at) => at === 0 || state.seq >= states[at - 1]!.seq));
  same.close();
  spelled.close();
  await writer.users.update(ids[0]!, { age: 59 });
  await agree("one is left").catch(() => {});
  const items = JSON.stringify(await fresh());
  await until("the one that is left goes on", () => JSON.stringify(live.items) === items);
  live.close();
  await reading;

  // One that is refused.
  const refused = users.live({ filter: { nowhere: 1 } as never });
  const error = await failure(refused.ready);
  assert(users.isError(error) && error.code === "INVALID_QUERY");
  await assert.rejects(async () => {
    for await (const _ of users.live({ filter: { nowhere: 1 } as never })) throw new Error("it was there");
  }, /nowhere/);

  // Rooms: what was said while the connection was cut is heard, once and in order.
  const room = users.subscribe<string>({ role: "admin" });
  const heard: Heard<string>[] = [];
  room.on((one) => heard.push(one));
  const twin = users.subscribe<string>({ $and: [{ role: "admin" }] });
  let twins = 0;
  twin.on(() => twins++);
  await Promise.all([room.ready, twin.ready]);
  const speaker = writer.users.subscribe<string>({ role: "admin" });
  for (let at = 0; at < 40; at++) {
    await speaker.say({ text: String(at), times: 3 });
    if (at % 10 === 5) await ask("cut");
  }
  await until("all is heard", () => heard.length >= 120);
  await until("the twin hears as much", () => twins >= 120);
  await sleep(50);
  assert.deepEqual(heard.map(({ payload }) => Number(payload)), Array.from({ length: 120 }, (_, at) => Math.floor(at / 3)));
  assert.equal(twins, 120);
  assert(heard.every(({ missed }) => !missed));
  const event = await failure(speaker.dispatch("say", { text: "" }));
  assert(users.isError(event, "say") && event.code === "VALIDATION_ERROR");
  const spoken: string[] = [];
  for await (const { payload } of (void speaker.say({ text: "one" }).then(() => speaker.say({ text: "two", times: 2 })), speaker)) {
    spoken.push(payload);
    if (payload === "two" && spoken.filter((text) => text === "two").length === 2) break;
  }
  assert.deepEqual(spoken.slice(-3), ["one", "two", "two"]);
  room.unsubscribe();
  twin.unsubscribe();
  speaker.unsubscribe();

  // Rights: what is lost leaves.
  const mine = client({ token: process.argv[3]! });
  const notes = mine.notes.live({ sort: { _id: 1 } });
  await notes.ready;
  await mine.notes.insert({ _id: "n1", owner: "ada", text: "x" });
  await mine.notes.insert({ _id: "n2", owner: "ada", text: "y", public: true });
  await until("both are there", () => notes.items.length === 2);
  mine.setToken(null);
  await until("what is public stays", () => notes.items.map(({ _id }) => _id).join() === "n2");
  notes.close();
});
