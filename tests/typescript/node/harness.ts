// What the tests share. They are run as `node TEST.js URL`, and talk to the Rust side in lines: a word asks for something to be done.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { connect, type Client, type ConnectOptions, type WebSocketClass } from "./client.js";

export const url = process.argv[2]!;
export const ws = createRequire(process.env["MODELLER_NPM"] + "/")("ws") as WebSocketClass;

const clients: Client[] = [];
export const client = (options: Partial<ConnectOptions> = {}): Client => {
  const made = connect({ url, WebSocket: ws, ...options });
  clients.push(made);
  return made;
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** Has the Rust side do something, and answers what it says. */
export const ask = async (what: string): Promise<string> => {
  process.stdout.write(`${what}\n`);
  return String((await lines.next()).value);
};

export const sleep = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));
export const until = async (what: string, holds: () => boolean): Promise<void> => {
  const begun = Date.now();
  while (!holds()) {
    if (Date.now() - begun > 20_000) throw new Error(`never: ${what}`);
    await sleep(5);
  }
};
/** What it fails with. */
export const failure = async (made: Promise<unknown>): Promise<unknown> => {
  try {
    await made;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
};

export const run = (test: () => Promise<void>): void => {
  test().then(
    () => {
      clients.forEach((made) => made.close());
      process.exit(0);
    },
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
};
