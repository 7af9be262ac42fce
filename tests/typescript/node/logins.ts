// Tokens that are exchanged when they are good for nothing any more.
import assert from "node:assert/strict";
import type { Tokens } from "./client.js";
import { ask, client, failure, run, until } from "./harness.js";

run(async () => {
  const kept: (Tokens | null)[] = [];
  const { users, setToken, tokens } = client();
  void [setToken, tokens];
  const signedIn = await users.sign_in({ name: "ada" });
  assert.equal((await failure(users.whoami()) as { code: string }).code, "UNAUTHENTICATED");
  const mine = client({ token: signedIn, onTokens: (tokens) => kept.push(tokens) });
  assert.equal(await mine.users.whoami(), "ada");
  // Live, also over the end of a token.
  const notes = mine.notes.live();
  await notes.ready;
  await ask("hour");
  // Several at a time exchange it once: a second use of the refresh token would end the login.
  assert.deepEqual(await Promise.all([mine.users.whoami(), mine.users.whoami(), mine.users.whoami()]), ["ada", "ada", "ada"]);
  assert.equal(kept.length, 1);
  assert(mine.tokens?.token !== signedIn.token && mine.tokens?.refreshToken !== signedIn.refreshToken);
  await mine.notes.insert({ owner: "ada", text: "x" });
  await until("it is still hers", () => notes.items.length === 1);
  await ask("hour");
  await ask("cut");
  await mine.notes.insert({ owner: "ada", text: "y" });
  await until("it is still hers on another connection", () => notes.items.length === 2);
  await mine.signOut();
  assert.equal(mine.tokens, null);
  assert.equal((await failure(mine.users.whoami()) as { code: string }).code, "UNAUTHENTICATED");
  await until("nothing is left of it", () => notes.items.length === 0);
  // A login that is over is not asked for again and again.
  const over = client({ token: signedIn, onTokens: (tokens) => kept.push(tokens) });
  assert.equal((await failure(over.users.whoami()) as { code: string }).code, "UNAUTHENTICATED");
  assert.equal(over.tokens, null);
});
