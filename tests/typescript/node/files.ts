// Uploads and streams.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { client, failure, run } from "./harness.js";

run(async () => {
  const { users } = client();
  const bytes = Uint8Array.from({ length: 3 << 20 }, (_, at) => (at * 7919) % 251);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const small = await users.picture(new Blob([bytes], { type: "image/png" }), { name: "ä" }, { name: "größe.png" });
  assert.deepEqual(small, { name: "ä", file: "größe.png", bytes: bytes.length, sha256 });
  const seen: number[] = [];
  const watched = await users.picture(bytes, { name: "b" }, { onProgress: (sent, total) => void (seen.push(sent), assert.equal(total, bytes.length)) });
  assert.equal(watched.sha256, sha256);
  assert(seen.length > 3 && seen.at(-1) === bytes.length && seen.every((sent, at) => at === 0 || sent >= seen[at - 1]!), `${seen}`);

  // In parts, through a connection that is cut off again and again.
  const large = new Uint8Array(12 << 20).map((_, at) => (at * 31) % 241);
  const parts: number[] = [];
  const resumed = await users.picture(large, { name: "c" }, { name: "c.bin", onProgress: (sent) => void parts.push(sent) });
  assert.deepEqual(resumed, { name: "c", file: "c.bin", bytes: large.length, sha256: createHash("sha256").update(large).digest("hex") });
  assert.equal(parts.at(-1), large.length);
  const wrong = await failure(users.picture(large, {} as { name: string }));
  assert(users.isError(wrong, "picture") && wrong.code === "VALIDATION_ERROR", String(wrong));
  const alsoWrong = await failure(users.picture("x", {} as { name: string }));
  assert(users.isError(alsoWrong, "picture") && alsoWrong.code === "VALIDATION_ERROR", String(alsoWrong));

  assert.equal(await users.append("hello"), 5);
  assert.equal(await users.append(bytes), bytes.length);
  assert.equal(await users.append((async function* () {
    for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
  })()), bytes.length);
});
