// The room that one would write by hand with Socket.IO: users over HTTP, and whoever has subscribed hears of each that changes.
//
//   MODELLER_NPM=target/npm node tests/yardstick/src/node/room.mjs

import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

const npm = process.env.MODELLER_NPM ?? "target/npm";
const { Server } = createRequire(join(npm, "node_modules", "x"))("socket.io");
const users = new Map();

const read = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
};

const answer = (response, status, body) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
};

const http = createServer(async (request, response) => {
  try {
    if (request.method === "POST" && request.url === "/users") {
      const user = { _id: randomUUID(), _rev: 1, ...(await read(request)) };
      users.set(user._id, user);
      return answer(response, 201, user);
    }
    const old = users.get(request.url.slice("/users/".length));
    if (request.method !== "PATCH" || !old) return answer(response, 404, { code: "NOT_FOUND" });
    const user = { ...old, ...(await read(request)), _rev: old._rev + 1 };
    users.set(user._id, user);
    io.to(JSON.stringify({ role: user.role })).emit("change", user);
    answer(response, 200, user);
  } catch (error) {
    answer(response, 400, { code: "INVALID_REQUEST", detail: String(error) });
  }
});

const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });
io.on("connection", (socket) => {
  socket.on("subscribe", (filter, done) => {
    socket.join(JSON.stringify(filter));
    done(true);
  });
});

http.listen(0, "127.0.0.1", () => console.log(`room: http://127.0.0.1:${http.address().port}`));
process.on("SIGTERM", () => process.exit(0));
