// Carries steps to the generated client: a line of JSON asks, a line of JSON answers. `node carrier.js URL`.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { connect, ModellerError, type Change, type Client, type Heard, type Live, type State, type WebSocketClass } from "./client.js";

const url = process.argv[2]!;
const ws = createRequire(process.env["MODELLER_NPM"] + "/")("ws") as WebSocketClass;

interface Step {
  kind: string;
  model: string;
  who: string | null;
  token: string | null;
  params: any;
}
interface Doc {
  readonly _id: string;
}

const clients = new Map<string | null, Client>();
const clientOf = ({ who, token }: Step): Client => {
  let client = clients.get(who);
  if (client === undefined) clients.set(who, (client = connect({ url, WebSocket: ws, ...(token === null ? {} : { token }) })));
  return client;
};

/** The next of what is told, once it is there. */
class Queue<T> {
  readonly #told: T[] = [];
  #wake: (() => void) | null = null;
  put(one: T): void {
    this.#told.push(one);
    this.#wake?.();
  }
  async next(): Promise<T | null> {
    const until = Date.now() + 5_000;
    for (;;) {
      const one = this.#told.shift();
      if (one !== undefined || Date.now() >= until) return one ?? null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, until - Date.now());
      });
    }
  }
  /** As many, each `null` that does not come. */
  async take(count: number): Promise<(T | null)[]> {
    const taken: (T | null)[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }
}

const rooms = new Map<string, Queue<Heard<unknown>>>();
const lives = new Map<string, { told: Queue<{ state: State<Doc>; changes: readonly Change<Doc>[] | null }> }>();

const carry = async (step: Step): Promise<unknown> => {
  const { kind, params } = step;
  // The steps are data, so that no type says what they may be; what the types refuse is tested elsewhere.
  const model = clientOf(step).model(step.model as never) as any;
  if (model === undefined) return CANNOT;
  const options = { ...(params.ifRev === undefined ? {} : { ifRev: params.ifRev }), ...(params.key === undefined ? {} : { key: params.key }) };
  switch (kind) {
    case "insert":
      return model.insert(params.doc);
    case "insertMany":
      return model.insertMany(params.docs);
    case "get":
      return model.get(params.id);
    case "list":
      return model.list(params.query ?? {}).then();
    case "count":
      return model.count(params.filter);
    case "update":
      return model.update(params.id, params.update, options);
    case "updateMany":
      return model.updateMany(params.filter, params.update);
    case "replace":
    case "upsert":
      return model.replace(params.id, params.doc, options);
    case "delete":
      return model.delete(params.id, options);
    case "deleteMany":
      return model.deleteMany(params.filter);
    case "call":
    case "callOnce":
      return model.call(params.method, params.args, options);
    case "dispatch": {
      const room = model.subscribe(params.filter);
      try {
        return await room.dispatch(params.event, params.args);
      } finally {
        room.unsubscribe();
      }
    }
    case "subscribe": {
      const room = model.subscribe(params.filter);
      const heard = new Queue<Heard<unknown>>();
      room.on((one: Heard<unknown>) => heard.put(one));
      await room.ready;
      rooms.set(params.name, heard);
      return null;
    }
    case "heard":
      return (await rooms.get(params.name)!.take(params.count)).map((one) => one && { seq: one.seq, payload: one.payload });
    case "live": {
      const live: Live<Doc> = model.live(params.query ?? {});
      const { seq, items } = await live.ready;
      const told = new Queue<{ state: State<Doc>; changes: readonly Change<Doc>[] | null }>();
      live.on((state, changes) => told.put({ state, changes }));
      await told.next();
      lives.set(params.name, { told });
      return { seq, items };
    }
    case "commits": {
      const { told } = lives.get(params.name)!;
      const taken = await told.take(params.count);
      return { told: taken.map((one) => one && { seq: one.state.seq, changes: one.changes }), items: taken.at(-1)?.state.items ?? [] };
    }
    default:
      throw new Error(kind);
  }
};
const CANNOT = Symbol();

for await (const line of createInterface({ input: process.stdin })) {
  let answer: object;
  try {
    const fine = await carry(JSON.parse(line) as Step);
    answer = fine === CANNOT ? { cannot: true } : { fine };
  } catch (error) {
    answer = error instanceof ModellerError ? { refused: error.problem } : { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
