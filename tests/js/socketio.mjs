// The official client of Socket.IO against a server: a line of JSON asks, a line of JSON answers.
// MODELLER_NPM names the folder with node_modules.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { io } = createRequire(process.env.MODELLER_NPM + '/')('socket.io-client');

const KINDS = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };
const open = (url, kind, options = {}) =>
  io(url, { transports: KINDS[kind], forceNew: true, reconnection: false, ...options });
const event = (socket, name) => new Promise((resolve) => socket.once(name, resolve));
const ask = (socket, name, ...rest) => socket.timeout(10_000).emitWithAck(name, ...rest);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function connected(url, kind, options) {
  const socket = open(url, kind, options);
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  if (kind === 'upgrade' && socket.io.engine.transport.name !== 'websocket') await event(socket.io.engine, 'upgrade');
  return socket;
}

/** Why a client was not let in. */
async function refused(url, kind, options) {
  const socket = open(url, kind, options);
  const error = await new Promise((resolve, reject) => {
    socket.once('connect', () => reject(new Error('it was let in')));
    socket.once('connect_error', resolve);
  });
  socket.close();
  return error;
}

async function checks({ url, kind, token }) {
  const done = [];
  const check = async (name, body) => {
    await body();
    done.push(name);
  };
  const socket = await connected(url, kind);
  const heard = [];
  socket.on('publish', (push) => heard.push(push));
  await check('connects by its transport', () => {
    assert.equal(socket.io.engine.transport.name, kind === 'polling' ? 'polling' : 'websocket');
    assert.ok(socket.id && socket.id !== socket.io.engine.id);
  });
  const filter = { role: 'admin' };
  let subscription, room;
  await check('subscribes', async () => {
    const { result, seq, ...rest } = await ask(socket, 'subscribe', { model: 'users', filter });
    ({ subscription, room } = result);
    assert.ok(subscription && Number.isInteger(seq));
    assert.deepEqual(rest, {});
    assert.equal(JSON.parse(room).role !== undefined, true);
  });
  await check('the same filter is the same room', async () => {
    const again = await ask(socket, 'subscribe', { filter: { role: { $eq: 'admin' } }, model: 'users' });
    assert.deepEqual([again.result.subscription, again.result.room], [subscription, room]);
  });
  await check('calls', async () => {
    assert.equal((await ask(socket, 'call', { model: 'users', method: 'ping' })).result, 'pong');
  });
  await check('hears what a call publishes before its answer', async () => {
    const answer = await ask(socket, 'call', { model: 'users', method: 'announce', args: { text: 'one' } });
    assert.deepEqual(heard, [{ subscription, room, seq: answer.seq, payload: 'one' }]);
    assert.equal(answer.result, 1);
  });
  await check('dispatches', async () => {
    const params = { model: 'users', filter, event: 'shout', args: { text: 'hey' } };
    assert.equal((await ask(socket, 'dispatch', params)).result, 3);
    assert.equal(heard.at(-1).payload, 'hey');
  });
  await check('a problem is the acknowledgement', async () => {
    const cases = [
      ['call', { model: 'users', method: 'nothing' }, 'METHOD_NOT_FOUND', 404],
      ['call', { model: 'users', method: 'promote', args: { email: 1 } }, 'VALIDATION_ERROR', 422],
      ['call', { model: 'users', method: 'quota' }, 'QUOTA_EXCEEDED', 402],
      ['subscribe', { model: 'notes', filter: {} }, 'UNAUTHENTICATED', 401],
      ['subscribe', { model: 'users', filter: { password: 1 } }, 'INVALID_QUERY', 400],
      ['call', { model: 'users' }, 'INVALID_REQUEST', 400],
      ['call', 'text', 'INVALID_REQUEST', 400],
      ['call', undefined, 'INVALID_REQUEST', 400],
      ['nonsense', {}, 'INVALID_REQUEST', 400],
    ];
    for (const [name, params, code, status] of cases) {
      const problem = await ask(socket, name, params);
      assert.deepEqual([problem.code, problem.status, problem.result], [code, status, undefined], JSON.stringify(problem));
    }
  });
  await check('publishing is not for clients', async () => {
    assert.equal((await ask(socket, 'publish', { subscription, payload: 1 })).code, 'INVALID_REQUEST');
  });
  await check('an event without an acknowledgement is obeyed', async () => {
    const before = heard.length;
    socket.emit('call', { model: 'users', method: 'announce', args: { text: 'quiet' } });
    while (heard.length === before) await pause(10);
    assert.equal(heard.at(-1).payload, 'quiet');
  });
  await check('what was sent is answered in order', async () => {
    const order = [];
    const asked = Array.from({ length: 50 }, (_, age) =>
      ask(socket, 'subscribe', { model: 'users', filter: { age } }).then(({ result }) => order.push(result.room)),
    );
    await Promise.all(asked);
    assert.equal(new Set(order).size, 50);
    assert.ok(order.every((room, age) => JSON.stringify(JSON.parse(room)).includes(String(age))), order.join());
  });
  await check('unsubscribes', async () => {
    assert.deepEqual((await ask(socket, 'unsubscribe', { subscription })).result, {});
    assert.equal((await ask(socket, 'unsubscribe', { subscription })).code, 'NOT_FOUND');
    const before = heard.length;
    await ask(socket, 'call', { model: 'users', method: 'announce', args: { text: 'unheard' } });
    await ask(socket, 'call', { model: 'users', method: 'ping' });
    assert.equal(heard.length, before);
  });
  const whoami = async (socket) => (await ask(socket, 'call', { model: 'users', method: 'whoami' })).result;
  await check('authenticates later', async () => {
    assert.equal(await whoami(socket), null);
    assert.equal((await ask(socket, 'authenticate', { token: 'x' })).code, 'UNAUTHENTICATED');
    assert.deepEqual((await ask(socket, 'authenticate', { token })).result, {});
    assert.equal(await whoami(socket), 'ada');
    assert.ok((await ask(socket, 'subscribe', { model: 'notes', filter: {} })).result);
  });
  await check('disconnects', async () => {
    const gone = event(socket, 'disconnect');
    socket.disconnect();
    assert.equal(await gone, 'io client disconnect');
  });
  for (const [name, options] of [
    ['auth', { auth: { token } }],
    ['a header', { extraHeaders: { authorization: `Bearer ${token}` } }],
  ]) {
    await check(`is known by ${name}`, async () => {
      const socket = await connected(url, kind, options);
      assert.equal(await whoami(socket), 'ada');
      socket.disconnect();
    });
  }
  await check('a token that does not hold is refused', async () => {
    const { message, data } = await refused(url, kind, { auth: { token: 'x' } });
    assert.ok(message);
    assert.deepEqual([data.code, data.status], ['UNAUTHENTICATED', 401]);
    assert.ok(await refused(url, kind, { extraHeaders: { authorization: 'Bearer x' } }));
  });
  await check('there is one namespace', async () => {
    assert.equal((await refused(`${url}/admin`, kind)).message, 'Invalid namespace');
  });
  return done;
}

let listeners = [];

/** Opens listeners, each of which keeps what it hears. */
async function listen({ url, kind, count, filter, options }) {
  const opened = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = await connected(url, kind, options);
      const listener = { socket, heard: [], told: [], ended: null };
      socket.onAny((name, params) => listener.told.push({ name, params }));
      socket.on('publish', (push) => listener.heard.push(push));
      socket.on('disconnect', (reason) => (listener.ended = reason));
      if (filter) listener.room = (await ask(socket, 'subscribe', { model: 'users', filter })).result;
      return listener;
    }),
  );
  const first = listeners.length;
  listeners.push(...opened);
  return { first, rooms: opened.map(({ room }) => room ?? null) };
}

/** What a listener has heard, once it is so much and a while has passed. */
async function heard({ listener, count, wait = 10_000 }) {
  const it = listeners[listener];
  const until = Date.now() + wait;
  while (it.heard.length < count && it.ended === null && Date.now() < until) await pause(10);
  await pause(100);
  return { heard: it.heard, ended: it.ended, active: it.socket.active };
}

/** What the server acknowledges an event of a listener with. */
const emit = ({ listener, name, params }) => ask(listeners[listener].socket, name, params);

/** The next event that a listener has not told of; null when none comes. */
async function told({ listener }) {
  const it = listeners[listener];
  const until = Date.now() + 5_000;
  while (it.told.length === 0 && Date.now() < until) await pause(1);
  return it.told.shift() ?? null;
}

function close() {
  for (const { socket } of listeners) socket.disconnect();
  listeners = [];
  return {};
}

const commands = { checks, listen, heard, emit, told, close };
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...params } = JSON.parse(line);
  let answer;
  try {
    answer = { result: await commands[command](params) };
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  console.log(JSON.stringify(answer));
}
process.exit(0);
