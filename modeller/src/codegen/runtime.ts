// ---------------------------------------------------------------------------------------------------------------------------
// The runtime: the same in every client. It needs `fetch`, and `WebSocket` for what is live, and nothing else.
// ---------------------------------------------------------------------------------------------------------------------------

/** One way in which a value does not fit its schema, as AJV tells it. */
export interface Violation<Place extends string = string> {
  /** JSON Pointer (RFC 6901) to the place in the value. */
  readonly instancePath: Place;
  readonly keyword: string;
  readonly message: string;
  readonly params: { readonly [name: string]: unknown };
  readonly schemaPath: string;
}

/**
 * What the server says of an error, by its `code`: `Place` are the places where a value can be wrong, `Unique` the fields of which no
 * two documents have the same value, and `Name` all fields.
 */
export type Problem<Place extends string = string, Unique extends string = string, Name extends string = string> =
  | { readonly code: "VALIDATION_ERROR"; readonly errors: readonly Violation<Place>[]; readonly index?: undefined }
  | { readonly code: "VALIDATION_ERROR"; readonly errors: readonly Violation<`/${number}${Place}`>[]; readonly index: number }
  | { readonly code: "UNIQUE_VIOLATION"; readonly field: Unique; readonly fields?: undefined }
  | { readonly code: "UNIQUE_VIOLATION"; readonly fields: readonly Name[]; readonly field?: undefined }
  | { readonly code: "REFERENCE_VIOLATION"; readonly field?: string; readonly model?: string }
  | { readonly code: "INVALID_QUERY"; readonly path: string; readonly reason: string }
  | { readonly code: "CONFLICT"; readonly expected?: number; readonly actual?: number }
  | { readonly code: NotFoundCode; readonly id: string }
  | { readonly code: "RATE_LIMITED"; readonly retryAfter?: number }
  | { readonly code: OtherCode };

type NotFoundCode =
  | "NOT_FOUND" | "MODEL_NOT_FOUND" | "METHOD_NOT_FOUND" | "EVENT_NOT_FOUND" | "UPLOAD_NOT_FOUND" | "STREAM_NOT_FOUND";
type OtherCode =
  | "INVALID_REQUEST" | "IDEMPOTENCY_MISMATCH" | "TRANSACTION_TOO_LARGE" | "UNAUTHENTICATED" | "FORBIDDEN" | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE" | "PAYLOAD_TOO_LARGE" | "TIMEOUT" | "UNAVAILABLE" | "INTERNAL";

/** An error with the members of the problem body that the server sent; `status` is 0 where nothing came back. */
export class ModellerError extends Error {
  override readonly name: string = "ModellerError";
  readonly status: number;
  readonly code: string;
  /** The body as it came (RFC 9457). */
  readonly problem: { readonly [name: string]: unknown };

  constructor(problem: { readonly [name: string]: unknown }, status: number, cause?: unknown) {
    const { code, detail } = problem;
    super(typeof detail === "string" ? detail : String(code), cause === undefined ? undefined : { cause });
    this.status = status;
    this.code = String(code);
    this.problem = problem;
    for (const [name, value] of Object.entries(problem)) {
      if (!(name in this)) Object.defineProperty(this, name, { value, enumerable: true });
    }
  }
}

/** How a client is connected. */
export interface ConnectOptions {
  /** Where the server is, as in `https://api.example.com`. */
  readonly url: string;
  /** A bearer token, or what a login gave. */
  readonly token?: string | Tokens;
  /** Whether the browser sends the session cookie; then no token is needed. */
  readonly cookies?: boolean;
  /** Called when the tokens are others: keep them, or `null` when they are good for nothing any more. */
  readonly onTokens?: (tokens: Tokens | null) => void;
  /** Called when the socket opens and when it is cut. */
  readonly onOnline?: (online: boolean) => void;
  /** How long a request may take, in milliseconds: 30,000 unless given. Uploads take as long as they take. */
  readonly timeout?: number;
  /** How often a request that was cut off is sent again, where that changes nothing: 5 unless given. */
  readonly retries?: number;
  /** A class for sockets where there is none, as in Node before 22: that of the package `ws`. */
  readonly WebSocket?: WebSocketClass;
  readonly fetch?: typeof fetch;
}

/** What a login gives. */
export interface Tokens {
  readonly token: string;
  readonly refreshToken?: string;
  /** For how many seconds the token holds. */
  readonly expiresIn?: number;
}

/** What is needed of a socket. */
export interface WebSocketLike {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
}
export type WebSocketClass = new (url: string) => WebSocketLike;

/** How one request is made. */
export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** In milliseconds. */
  readonly timeout?: number;
}
export interface WriteOptions extends RequestOptions {
  /** Under which it is done once, however often it is asked for: a random one unless given. At least 16 characters of ASCII. */
  readonly key?: string;
}
export interface ChangeOptions extends WriteOptions {
  /** The `_rev` that the document has to have; else `CONFLICT`. */
  readonly ifRev?: number;
}

/** What every document has. */
export interface Key {
  readonly _id: string;
  /** Grows with each change of the document. */
  readonly _rev: number;
}

/** A part of a list. */
export interface Page<T> {
  readonly items: T[];
  /** Where the list goes on; `null` at its end. */
  readonly nextCursor: string | null;
  readonly seq: number;
}
/** A list: `await` it for one page, or go through all pages by `for await`. */
export interface Listing<T> extends Promise<Page<T>>, AsyncIterable<T> {}

export interface Query<Filter, Sort> {
  readonly filter?: Filter;
  /** In the order of its members. */
  readonly sort?: Sort;
  readonly skip?: number;
  /** How many a page has: 100 unless given, 1,000 at most. */
  readonly limit?: number;
  readonly cursor?: string;
}

/** A document of which only some fields were asked for. */
export type Part<T> = T extends readonly (infer E)[] ? Part<E>[] : T extends object ? { [K in keyof T]?: Part<T[K]> } : T;
export type Projected<T, F> = F extends { readonly [K in keyof F]: 1 | true }
  ? keyof F extends keyof T ? Pick<T, Extract<keyof F | "_id" | "_rev", keyof T>> : Part<T>
  : Part<T>;

/** The names of the types of JSON, as MongoDB has them. */
export type TypeName = "double" | "string" | "object" | "array" | "bool" | "null" | "int" | "long" | "number";
type Value = string | number | boolean | null | object | undefined;

/** What can be asked of any field. */
export interface Test<T> {
  readonly $eq?: T;
  readonly $ne?: T;
  readonly $in?: readonly T[];
  readonly $nin?: readonly T[];
  readonly $exists?: boolean;
  readonly $type?: TypeName | readonly TypeName[];
}
/** What can be asked of a field whose values have an order. */
export interface OrderedTest<T> extends Test<T> {
  readonly $gt?: T;
  readonly $gte?: T;
  readonly $lt?: T;
  readonly $lte?: T;
}
export interface TextTest<T> extends OrderedTest<T> {
  readonly $regex?: string;
  /** Of `$regex`: `i`, `m` and `s`. */
  readonly $options?: string;
  readonly $not?: TextTest<T>;
}
export interface NumberTest<T> extends OrderedTest<T> {
  /** Divisor and rest. */
  readonly $mod?: readonly [number, number];
  /** A mask, or positions. */
  readonly $bitsAllSet?: number | readonly number[];
  readonly $bitsAnySet?: number | readonly number[];
  readonly $bitsAllClear?: number | readonly number[];
  readonly $bitsAnyClear?: number | readonly number[];
  readonly $not?: NumberTest<T>;
}
export interface PlainTest<T> extends Test<T> {
  readonly $not?: PlainTest<T>;
}
/** What can be asked of a list: of one of its elements, as of a field, and of all of it. */
export interface ListTest<L, E, ElementTest> extends Test<L | E> {
  readonly $size?: number;
  readonly $all?: readonly E[] | readonly { readonly $elemMatch: ElementTest }[];
  /** One element passes all of it. */
  readonly $elemMatch?: ElementTest;
  readonly $not?: ListTest<L, E, ElementTest>;
}
export interface TextListTest<L, E> extends ListTest<L, E, TextTest<E>> {
  readonly $gt?: L | E;
  readonly $gte?: L | E;
  readonly $lt?: L | E;
  readonly $lte?: L | E;
  readonly $regex?: string;
  readonly $options?: string;
}
export interface NumberListTest<L, E> extends ListTest<L, E, NumberTest<E>> {
  readonly $gt?: L | E;
  readonly $gte?: L | E;
  readonly $lt?: L | E;
  readonly $lte?: L | E;
}
/** Anything that can be asked, of a field of which nothing is known. */
export interface AnyTest extends ListTest<Value, Value, object>, Omit<NumberTest<Value>, "$not">, Omit<TextTest<Value>, "$not"> {
  readonly $not?: AnyTest;
}

export interface Joined<Filter> {
  readonly $and?: readonly Filter[];
  readonly $or?: readonly Filter[];
  readonly $nor?: readonly Filter[];
}

/** A direction for each path. */
export type SortOf<Path extends string> = { readonly [K in Path]?: 1 | -1 };
/** Which parts are shown: those with 1 alone, or all but those with 0. */
export type FieldsOf<Path extends string> = { readonly [K in Path]?: 0 | 1 | boolean | Slice };
/** A type that is inferred has no members beside these. */
export type NoOthers<F, Path> = { readonly [K in Exclude<keyof F, Path>]: never };
export interface Slice {
  /** How many from the beginning, from the end, or after how many. */
  readonly $slice?: number | readonly [number, number];
  /** The first that passes. */
  readonly $elemMatch?: object;
}

/** What is appended to a list. */
export type Pushed<E> =
  | E
  | { readonly $each: readonly E[]; readonly $position?: number; readonly $slice?: number; readonly $sort?: 1 | -1 | { readonly [path: string]: 1 | -1 } };
export type Added<E> = E | { readonly $each: readonly E[] };

/** None of what an update may do. */
export interface NoOperators {
  readonly $set?: never;
  readonly $unset?: never;
  readonly $inc?: never;
  readonly $mul?: never;
  readonly $min?: never;
  readonly $max?: never;
  readonly $push?: never;
  readonly $addToSet?: never;
  readonly $pull?: never;
  readonly $pullAll?: never;
  readonly $pop?: never;
  readonly $rename?: never;
  readonly $currentDate?: never;
  readonly $bit?: never;
}

/** What can be read of a model. */
export interface Reads<Doc, Filter, Path extends string> {
  /** A document; `null` when there is none. */
  get(id: string, options?: RequestOptions): Promise<Doc | null>;
  /** `await` it for one page, or go through all documents by `for await`. */
  list(query?: Query<Filter, SortOf<Path>> & { readonly fields?: undefined }, options?: RequestOptions): Listing<Doc>;
  list<const F extends FieldsOf<Path>>(query: Query<Filter, SortOf<Path>> & { readonly fields: F & NoOthers<F, Path> }, options?: RequestOptions): Listing<Projected<Doc, F>>;
  count(filter?: Filter, options?: RequestOptions): Promise<number>;
  /** Hears what is published to a room, of those who gave the same filter. */
  subscribe<Payload = unknown>(filter: Filter): Room<Payload>;
  /** A list that stays what it is at the server. */
  live(query?: Omit<Query<Filter, SortOf<Path>>, "cursor">): Live<Doc>;
}
export interface Inserts<Insert, Written> {
  insert(document: Insert, options?: WriteOptions): Promise<Written>;
  /** All or none. */
  insertMany(documents: readonly Insert[], options?: WriteOptions): Promise<Written[]>;
}
export interface Updates<Patch, Operators, Insert, Filter, Written> {
  /** By the fields that change (RFC 7396); `null` takes one away. */
  update(id: string, patch: Patch, options?: ChangeOptions): Promise<Written>;
  /** By operators, as in MongoDB. */
  update(id: string, operators: Operators, options?: ChangeOptions): Promise<Written>;
  /** All that match, or none; `{}` matches all. Answers how many there were. */
  updateMany(filter: Filter, patch: Patch, options?: WriteOptions): Promise<number>;
  updateMany(filter: Filter, operators: Operators, options?: WriteOptions): Promise<number>;
  /** By a whole document. Private fields that are not given stay as they are. */
  replace(id: string, document: Insert, options?: ChangeOptions): Promise<Written>;
}
export interface Deletes<Filter, Written> {
  delete(id: string, options?: ChangeOptions): Promise<Written>;
  /** All that match, or none; `{}` matches all. Answers how many there were. */
  deleteMany(filter: Filter, options?: WriteOptions): Promise<number>;
}
/** What was deleted, and is kept for a while. */
export interface Trash<Doc, Filter, Written> {
  list(query?: { readonly filter?: Filter; readonly skip?: number; readonly limit?: number }, options?: RequestOptions): Promise<Trashed<Doc>[]>;
  /** Puts a document back, by the `_id` of its entry. */
  restore(entry: string, options?: WriteOptions): Promise<Written>;
  purge(entry: string, options?: WriteOptions): Promise<void>;
  /** Answers how many there were. */
  purgeAll(options?: WriteOptions): Promise<number>;
}
export interface Trashed<Doc> {
  /** Of the entry. */
  readonly _id: string;
  readonly documentId: string;
  readonly document: Doc | null;
  readonly deletedAt: string;
  /** Shown to verified callers. */
  readonly deletedBy?: string | null;
  /** What it was deleted with. */
  readonly deletion: string;
}

/** A payload that was published to a room. */
export interface Heard<Payload> {
  readonly payload: Payload;
  /** The commit that it belongs to. */
  readonly seq: number;
  /** Whether something may have been published before it that was not heard: the client was away for too long. */
  readonly missed: boolean;
}
/** A room: what those publish to each other who gave the same filter. */
export interface Room<Payload> extends AsyncIterable<Heard<Payload>> {
  /** When it is heard what is published; fails when it is refused. */
  readonly ready: Promise<void>;
  /** Answers how to stop. */
  on(listener: (heard: Heard<Payload>) => void): () => void;
  /** It has ended by an error. */
  onEnd(listener: (error: ModellerError) => void): () => void;
  unsubscribe(): void;
}

/** A list at the commit `seq`. */
export interface State<T> {
  readonly items: readonly T[];
  readonly seq: number;
}
/** What became of one document. */
export type Change<T> =
  | { readonly op: "leave"; readonly id: string }
  | { readonly op: "change"; readonly id: string; readonly set: Partial<T>; readonly unset?: readonly string[]; readonly at?: number }
  | { readonly op: "enter"; readonly doc: T; readonly at: number };
/**
 * A list that is kept as it is at the server. By `for await` the newest state is met, and none twice; what comes while nobody looks is
 * passed over.
 */
export interface Live<T> extends AsyncIterable<State<T>> {
  /** As of `seq`; another array, with other objects where they changed, after each commit. */
  readonly items: readonly T[];
  readonly seq: number;
  /** Whether the first list is there. */
  readonly isLoaded: boolean;
  /** When the first list is there; fails when it is refused. */
  readonly ready: Promise<State<T>>;
  /** Hears each new state, with the changes that led to it; `null` where the list was sent anew. Answers how to stop. */
  on(listener: (state: State<T>, changes: readonly Change<T>[] | null) => void): () => void;
  /** It has ended by an error. */
  onEnd(listener: (error: ModellerError) => void): () => void;
  close(): void;
}

/** How a file is sent. */
export interface UploadOptions extends RequestOptions {
  /** Of a `Blob` that has none. */
  readonly name?: string;
  readonly type?: string;
  readonly onProgress?: (sent: number, total: number) => void;
  /** In parts that survive a cut connection (tus 1.0): from 8 MiB on, unless said. */
  readonly resumable?: boolean;
}
export type Bytes = Blob | Uint8Array | ArrayBuffer | string;

/** What there is beside the models. */
export interface Connection {
  /** Speaks for somebody else from now on; for nobody with `null`. */
  setToken(token: string | Tokens | null): void;
  /** The tokens of now, to be kept. */
  readonly tokens: Tokens | null;
  /** Makes the token a session cookie, which the browser keeps where no script can read it. Needs `cookies`. */
  beginSession(options?: RequestOptions): Promise<void>;
  /** Ends the login of the token or of the cookie. */
  signOut(options?: RequestOptions): Promise<void>;
  /** Whether the socket is open; it is when something is live. */
  readonly online: boolean;
  /** Ends all that is live. */
  close(): void;
}

/** A model, as the runtime has to know it. */
interface ModelDescription {
  /** Those that are made once under a key. */
  readonly once?: readonly string[];
  readonly methods?: readonly string[];
  readonly events?: readonly string[];
  readonly uploads?: readonly string[];
  readonly streams?: readonly string[];
  readonly trash?: true;
}

const RESUMABLE_FROM = 8 << 20;
const TUS_CHUNK = 4 << 20;
const STREAM_CHUNK = 1 << 20;

const sleep = (milliseconds: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });

/** How long to wait before the next attempt: longer each time, and never together with all others. */
const backoff = (attempt: number): number => Math.min(30_000, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);

const randomKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** JSON of a filter. A member that is `undefined` would be left out, and the filter match more than was meant. */
const exactly = (value: unknown, at: string): unknown => {
  if (value === undefined) throw new TypeError(`\`${at}\` is undefined, and would match anything; leave it out if that is meant`);
  if (Array.isArray(value)) value.forEach((inner, index) => exactly(inner, `${at}.${index}`));
  else if (typeof value === "object" && value !== null) {
    for (const [name, inner] of Object.entries(value)) exactly(inner, `${at}.${name}`);
  }
  return value;
};

/** The same text for equal values, whatever the order of their members. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  ) ?? "";

const isRetried = (status: number): boolean => status === 0 || status === 502 || status === 503 || status === 504;

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly json?: unknown;
  readonly body?: Bytes | FormData | ReadableStream<Uint8Array>;
  readonly headers?: { readonly [name: string]: string };
  /** Whether it may be sent again when nobody knows what became of it. */
  readonly again: boolean;
  readonly options?: RequestOptions | undefined;
  /** As long as it takes. */
  readonly slow?: boolean;
}
interface Answered {
  readonly json: any;
  readonly headers: Headers;
}

/** Requests by HTTP: tokens, errors, and what is sent again. */
class Http {
  readonly base: string;
  tokens: Tokens | null;
  #refreshing: Promise<boolean> | null = null;
  /** Told when somebody else is spoken for, or by another token. */
  changed: ((signedOut: boolean) => void) | null = null;

  constructor(readonly options: ConnectOptions) {
    this.base = options.url.replace(/\/+$/, "");
    const token = options.token;
    this.tokens = token === undefined ? null : typeof token === "string" ? { token } : token;
  }

  async send(asked: Asked): Promise<Answered> {
    const retries = asked.again ? (this.options.retries ?? 5) : 0;
    let refreshed = false;
    for (let attempt = 0; ; attempt++) {
      const token = this.tokens?.token;
      try {
        return await this.#once(asked, token);
      } catch (error) {
        if (!(error instanceof ModellerError)) throw error;
        if (error.status === 401 && !refreshed && (await this.refresh(token))) {
          refreshed = true;
          attempt--;
          continue;
        }
        if (attempt >= retries || !isRetried(error.status) || asked.options?.signal?.aborted) throw error;
        const wait = error.problem["retryAfter"];
        await sleep(Math.max(backoff(attempt), typeof wait === "number" ? wait * 1000 : 0), asked.options?.signal);
      }
    }
  }

  async #once(asked: Asked, token: string | undefined): Promise<Answered> {
    const headers: { [name: string]: string } = { accept: "application/json", ...asked.headers };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    if (asked.json !== undefined) headers["content-type"] = "application/json";
    const controller = new AbortController();
    const outer = asked.options?.signal;
    const stop = (): void => controller.abort(outer?.reason);
    if (outer?.aborted) stop();
    outer?.addEventListener("abort", stop, { once: true });
    const time = asked.options?.timeout ?? (asked.slow ? undefined : (this.options.timeout ?? 30_000));
    let isLate = false;
    const timer = time === undefined ? undefined : setTimeout(() => {
      isLate = true;
      controller.abort();
    }, time);
    try {
      const init: RequestInit & { duplex?: "half" } = { method: asked.method, headers, signal: controller.signal };
      init.credentials = this.options.cookies ? "include" : "omit";
      if (asked.json !== undefined) init.body = JSON.stringify(asked.json);
      else if (asked.body !== undefined) {
        init.body = asked.body as BodyInit;
        if (asked.body instanceof ReadableStream) init.duplex = "half";
      }
      const response = await (this.options.fetch ?? fetch)(this.base + asked.path, init);
      const text = await response.text();
      if (response.ok) return { json: text === "" ? null : JSON.parse(text), headers: response.headers };
      throw problemOf(response.status, text, response.headers.get("retry-after"));
    } catch (cause) {
      if (cause instanceof ModellerError || outer?.aborted) throw cause;
      if (isLate) throw new ModellerError({ code: "TIMEOUT", detail: `no answer within ${time} ms` }, 0, cause);
      throw new ModellerError({ code: "UNAVAILABLE", detail: "the server was not reached, or did not answer" }, 0, cause);
    } finally {
      clearTimeout(timer);
      outer?.removeEventListener("abort", stop);
    }
  }

  /** A form by the older way, in which a browser says how much of it is sent. */
  async sendByXhr(path: string, form: FormData, total: number, onProgress: (sent: number, total: number) => void, signal?: AbortSignal): Promise<unknown> {
    const send = (token: string | undefined): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const xhr = new XMLHttpRequest();
        const stop = (): void => xhr.abort();
        xhr.open("POST", this.base + path);
        xhr.withCredentials = this.options.cookies ?? false;
        if (token !== undefined) xhr.setRequestHeader("authorization", `Bearer ${token}`);
        xhr.upload.onprogress = ({ loaded }) => onProgress(Math.min(loaded, total), total);
        xhr.onabort = () => reject(signal?.reason);
        xhr.onerror = () => reject(new ModellerError({ code: "UNAVAILABLE", detail: "the server was not reached" }, 0));
        xhr.onload = () => {
          if (xhr.status < 300) resolve(xhr.responseText === "" ? null : JSON.parse(xhr.responseText));
          else reject(problemOf(xhr.status, xhr.responseText, xhr.getResponseHeader("retry-after")));
        };
        xhr.onloadend = () => signal?.removeEventListener("abort", stop);
        if (signal?.aborted) return reject(signal.reason);
        signal?.addEventListener("abort", stop, { once: true });
        xhr.send(form);
      });
    const token = this.tokens?.token;
    return send(token).catch(async (error: unknown) => {
      if (error instanceof ModellerError && error.status === 401 && (await this.refresh(token))) return send(this.tokens?.token);
      throw error;
    });
  }

  /** Exchanges the refresh token, once for all who wait. Answers whether there is another token than this one. */
  async refresh(used: string | undefined): Promise<boolean> {
    if (this.tokens !== null && this.tokens.token !== used) return true;
    const refreshToken = this.tokens?.refreshToken;
    if (refreshToken === undefined) return false;
    this.#refreshing ??= this.#exchange(refreshToken).finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  /** It is good once, and a second use would end the login: it is not sent again, whatever happened to it. */
  async #exchange(refreshToken: string): Promise<boolean> {
    try {
      const asked = { method: "POST", path: "/@auth/refresh", json: { refreshToken }, again: false };
      const { json } = await this.#once(asked, undefined);
      this.set(json as Tokens, false);
      return true;
    } catch (error) {
      // Refused for good; else it may do the next time.
      if (error instanceof ModellerError && error.status >= 400 && error.status < 429) this.set(null, true);
      return false;
    }
  }

  set(tokens: Tokens | null, isAnother: boolean): void {
    this.tokens = tokens;
    this.options.onTokens?.(tokens);
    this.changed?.(tokens === null && isAnother);
  }
}

const problemOf = (status: number, text: string, retryAfter: string | null): ModellerError => {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Of something between us and the server.
  }
  const isProblem = typeof body === "object" && body !== null && typeof (body as { code?: unknown }).code === "string";
  const code = status === 429 ? "RATE_LIMITED" : isRetried(status) ? "UNAVAILABLE" : status < 500 ? "INVALID_REQUEST" : "INTERNAL";
  const problem: { [name: string]: unknown } = isProblem ? { ...(body as object) } : { code, detail: `the answer has the status ${status}` };
  if (retryAfter !== null && problem["retryAfter"] === undefined && /^\d+$/.test(retryAfter)) problem["retryAfter"] = Number(retryAfter);
  return new ModellerError(problem, status);
};

/** The place of a document. An id that a URL would take for a way through folders is the id of nothing. */
const pathOf = (...segments: string[]): string => {
  for (const segment of segments) {
    if (typeof segment !== "string" || segment === "" || segment === "." || segment === "..") {
      throw new ModellerError({ code: "NOT_FOUND", detail: `there is no \`${segment}\``, id: String(segment) }, 404);
    }
  }
  return `/${segments.map(encodeURIComponent).join("/")}`;
};

/** A page, or all of them. Nothing is asked for before it is awaited or gone through. */
class PagedList<T> implements Listing<T> {
  #first: Promise<Page<T>> | null = null;
  readonly [Symbol.toStringTag] = "Listing";

  constructor(readonly fetchPage: (cursor: string | undefined) => Promise<Page<T>>) {}

  #page(): Promise<Page<T>> {
    return (this.#first ??= this.fetchPage(undefined));
  }
  then<A = Page<T>, B = never>(
    done?: ((page: Page<T>) => A | PromiseLike<A>) | null,
    failed?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#page().then(done, failed);
  }
  catch<B = never>(failed?: ((reason: any) => B | PromiseLike<B>) | null): Promise<Page<T> | B> {
    return this.#page().catch(failed);
  }
  finally(done?: (() => void) | null): Promise<Page<T>> {
    return this.#page().finally(done);
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (let page = await this.#page(); ; page = await this.fetchPage(page.nextCursor)) {
      yield* page.items;
      if (page.nextCursor === null) return;
    }
  }
}

type Args = { readonly [name: string]: unknown } | undefined;
type AnyQuery = Query<unknown, unknown> & { readonly fields?: unknown };

/** A model, whatever its types are: those are said by the interfaces above. */
class ModelHandle {
  readonly trash: Trash<unknown, unknown, unknown> | undefined;

  readonly #id: string;
  readonly #http: Http;
  readonly #socket: Socket;
  readonly #description: ModelDescription;

  constructor(id: string, http: Http, socket: Socket, description: ModelDescription) {
    [this.#id, this.#http, this.#socket, this.#description] = [id, http, socket, description];
    if (description.trash) this.trash = this.#trash();
    const members: { [name: string]: unknown } = {};
    for (const method of description.methods ?? []) {
      members[method] = (args?: Args, options?: WriteOptions) => this.call(method, args, options);
    }
    for (const upload of description.uploads ?? []) {
      members[upload] = (file: Bytes, args?: Args, options?: UploadOptions) => this.upload(upload, file, args, options);
    }
    for (const stream of description.streams ?? []) {
      members[stream] = (data: Bytes | AsyncIterable<Uint8Array>, args?: Args, options?: RequestOptions) => this.stream(stream, data, args, options);
    }
    for (const [name, member] of Object.entries(members)) {
      if (!(name in this) && name !== "then") Object.defineProperty(this, name, { value: member, enumerable: true });
    }
  }

  async #write(method: string, path: string, json: unknown, options: ChangeOptions | undefined, headers: { [name: string]: string } = {}): Promise<any> {
    headers["idempotency-key"] = options?.key ?? randomKey();
    if (options?.ifRev !== undefined) headers["if-match"] = `"${options.ifRev}"`;
    return (await this.#http.send({ method, path, json, headers, again: false, options })).json;
  }

  async get(id: string, options?: RequestOptions): Promise<unknown> {
    try {
      return (await this.#http.send({ method: "GET", path: pathOf(this.#id, id), again: true, options })).json;
    } catch (error) {
      if (error instanceof ModellerError && error.code === "NOT_FOUND") return null;
      throw error;
    }
  }
  list(query: AnyQuery = {}, options?: RequestOptions): Listing<unknown> {
    const { filter, cursor: from, ...rest } = query;
    if (filter !== undefined) exactly(filter, "filter");
    return new PagedList(async (cursor = from) => {
      const json = { ...(filter === undefined ? {} : { filter }), ...rest, ...(cursor === undefined ? {} : { cursor }) };
      if (cursor !== from) delete json.skip;
      return (await this.#http.send({ method: "POST", path: `/${this.#id}/@query`, json, again: true, options })).json;
    });
  }
  async count(filter: unknown = {}, options?: RequestOptions): Promise<number> {
    const json = { filter: exactly(filter, "filter"), limit: 1, count: true };
    return (await this.#http.send({ method: "POST", path: `/${this.#id}/@query`, json, again: true, options })).json.count;
  }
  async insert(document: object, options?: WriteOptions): Promise<unknown> {
    return this.#write("POST", `/${this.#id}`, document, options);
  }
  async insertMany(documents: readonly object[], options?: WriteOptions): Promise<unknown[]> {
    return (await this.#write("POST", `/${this.#id}`, documents, options)).items;
  }
  async update(id: string, update: object, options?: ChangeOptions): Promise<unknown> {
    return this.#write("PATCH", pathOf(this.#id, id), checkedUpdate(update), options);
  }
  async updateMany(filter: unknown, update: object, options?: WriteOptions): Promise<number> {
    return (await this.#write("PATCH", `/${this.#id}?${filterOf(filter)}`, checkedUpdate(update), options)).updated;
  }
  async replace(id: string, document: object, options?: ChangeOptions): Promise<unknown> {
    return this.#write("PUT", pathOf(this.#id, id), document, options);
  }
  async delete(id: string, options?: ChangeOptions): Promise<unknown> {
    return this.#write("DELETE", pathOf(this.#id, id), undefined, options);
  }
  async deleteMany(filter: unknown, options?: WriteOptions): Promise<number> {
    return (await this.#write("DELETE", `/${this.#id}?${filterOf(filter)}`, undefined, options)).deleted;
  }
  #trash(): Trash<unknown, unknown, unknown> {
    const path = `/${this.#id}/@trash`;
    return {
      list: async (query = {}, options) => {
        const given = new URLSearchParams();
        for (const [name, value] of Object.entries(query)) given.set(name, JSON.stringify(exactly(value, name)));
        return (await this.#http.send({ method: "GET", path: `${path}?${given}`, again: true, options })).json.items;
      },
      restore: (entry, options) => this.#write("POST", path + pathOf(entry), undefined, options),
      purge: async (entry, options) => void (await this.#write("DELETE", path + pathOf(entry), undefined, options)),
      purgeAll: async (options) => (await this.#write("DELETE", path, undefined, options)).purged,
    };
  }

  async call(method: string, args?: Args, options?: WriteOptions): Promise<unknown> {
    const headers: { [name: string]: string } = {};
    const once = this.#description.once?.includes(method) ?? false;
    if (once || options?.key !== undefined) headers["idempotency-key"] = options?.key ?? randomKey();
    const asked = { method: "POST", path: pathOf(this.#id, method), json: args ?? {}, headers, again: once, options };
    return (await this.#http.send(asked)).json;
  }

  async upload(upload: string, file: Bytes, args?: Args, options: UploadOptions = {}): Promise<unknown> {
    const blob = file instanceof Blob ? file : new Blob([file as BlobPart]);
    const name = options.name ?? ("name" in blob ? String(blob.name) : "file");
    const type = options.type ?? (blob.type || "application/octet-stream");
    if (options.resumable ?? blob.size >= RESUMABLE_FROM) return this.#resumable(upload, blob, name, type, args, options);
    const form = new FormData();
    // The fields stand before the file, which is handed on while it comes.
    if (args !== undefined) {
      // One that is called as the field of all of them is can only be sent as what it is.
      if (!("args" in args)) form.append("args", JSON.stringify(args));
      else for (const [field, value] of Object.entries(args)) form.append(field, typeof value === "string" ? value : JSON.stringify(value));
    }
    form.append("file", type === blob.type ? blob : blob.slice(0, blob.size, type), name);
    const path = pathOf(this.#id, upload);
    const { onProgress } = options;
    if (onProgress === undefined) return (await this.#http.send({ method: "POST", path, body: form, again: false, slow: true, options })).json;
    if (typeof XMLHttpRequest !== "undefined") return this.#http.sendByXhr(path, form, blob.size, onProgress, options.signal);
    const encoded = new Response(form);
    let sent = 0;
    const count = new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, controller) => {
        sent += piece.byteLength;
        onProgress(Math.min(sent, blob.size), blob.size);
        controller.enqueue(piece);
      },
    });
    const body = encoded.body!.pipeThrough(count);
    const headers = { "content-type": encoded.headers.get("content-type")! };
    return (await this.#http.send({ method: "POST", path, body, headers, again: false, slow: true, options })).json;
  }

  /** By tus 1.0 (https://tus.io): what has arrived is not sent again. */
  async #resumable(upload: string, blob: Blob, name: string, type: string, args: Args, options: UploadOptions): Promise<unknown> {
    const http = this.#http;
    const tus = { "tus-resumable": "1.0.0" };
    const encoded = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
    const metadata = { model: this.#id, upload, filename: name, filetype: type, ...(args === undefined ? {} : { args: JSON.stringify(args) }) };
    const created = await http.send({
      method: "POST",
      path: "/@files",
      headers: {
        ...tus,
        "upload-length": String(blob.size),
        "upload-metadata": Object.entries(metadata).map(([key, value]) => `${key} ${encoded(value)}`).join(","),
      },
      again: true,
      options,
    });
    const path = `/@files/${created.headers.get("location")?.split("/").pop() ?? ""}`;
    let offset = Number(created.headers.get("upload-offset") ?? 0);
    for (let attempt = 0; offset < blob.size; ) {
      options.onProgress?.(offset, blob.size);
      try {
        const headers = { ...tus, "upload-offset": String(offset), "content-type": "application/offset+octet-stream" };
        const body = blob.slice(offset, offset + TUS_CHUNK);
        const sent = await http.send({ method: "PATCH", path, headers, body, again: false, slow: true, options });
        offset = Number(sent.headers.get("upload-offset"));
        attempt = 0;
      } catch (error) {
        // Of these nobody knows what has arrived; the server does.
        const isCut = error instanceof ModellerError && (isRetried(error.status) || error.status === 409 || error.status === 423);
        if (!isCut || attempt > 10) throw error;
        await sleep(backoff(attempt++), options.signal);
        const standing = await http.send({ method: "HEAD", path, headers: tus, again: true, options });
        const next = Number(standing.headers.get("upload-offset"));
        if (next > offset) attempt = 0;
        offset = next;
      }
    }
    options.onProgress?.(blob.size, blob.size);
    for (let attempt = 0; ; attempt++) {
      const { json } = await http.send({ method: "GET", path, again: true, options });
      if (json.done) return json.result;
      // The handler is at it, after an answer that was cut off.
      await sleep(backoff(Math.min(attempt, 4)), options.signal);
    }
  }

  async stream(stream: string, data: Bytes | AsyncIterable<Uint8Array>, args?: Args, options?: RequestOptions): Promise<unknown> {
    const given = args === undefined ? "" : `args=${encodeURIComponent(JSON.stringify(args))}&`;
    const path = pathOf(this.#id, stream);
    const send = (query: string, body: Bytes): Promise<Answered> => {
      const headers = { "content-type": "application/octet-stream" };
      return this.#http.send({ method: "POST", path: `${path}?${given}${query}`, headers, body, again: false, slow: true, options });
    };
    if (typeof data === "string" || !(Symbol.asyncIterator in data) || data instanceof Blob) return (await send("", data as Bytes)).json;
    let [offset, held, pieces] = [0, 0, [] as Uint8Array[]];
    const chunk = async (last: boolean): Promise<Answered> => {
      const answer = await send(`offset=${offset}&last=${last}`, new Blob(pieces as BlobPart[]));
      [offset, held, pieces] = [offset + held, 0, []];
      return answer;
    };
    for await (const piece of data as AsyncIterable<Uint8Array>) {
      pieces.push(piece);
      held += piece.byteLength;
      if (held >= STREAM_CHUNK) await chunk(false);
    }
    return (await chunk(true)).json;
  }

  subscribe(filter: unknown): Room<any> {
    const params = { model: this.#id, filter: exactly(filter, "filter") };
    const room = new RoomHandle(this.#socket, params);
    for (const event of this.#description.events ?? []) {
      if (event in room || event === "then") continue;
      Object.defineProperty(room, event, { value: (args?: Args, options?: RequestOptions) => room.dispatch(event, args, options), enumerable: true });
    }
    return room;
  }
  live(query: object = {}): Live<any> {
    const { filter, sort, skip, limit } = query as AnyQuery;
    const params: { [name: string]: unknown } = { model: this.#id };
    if (filter !== undefined) params["filter"] = exactly(filter, "filter");
    if (sort !== undefined) params["sort"] = sort;
    if (skip !== undefined) params["skip"] = skip;
    if (limit !== undefined) params["limit"] = limit;
    return new LiveHandle(this.#socket, params);
  }
  isError(error: unknown, _of?: string): boolean {
    return error instanceof ModellerError && CODES.has(error.code);
  }
}

const CODES: ReadonlySet<string> = new Set<Problem["code"]>([
  "VALIDATION_ERROR", "UNIQUE_VIOLATION", "REFERENCE_VIOLATION", "INVALID_QUERY", "CONFLICT", "NOT_FOUND", "MODEL_NOT_FOUND",
  "METHOD_NOT_FOUND", "EVENT_NOT_FOUND", "UPLOAD_NOT_FOUND", "STREAM_NOT_FOUND", "RATE_LIMITED", "INVALID_REQUEST",
  "IDEMPOTENCY_MISMATCH", "TRANSACTION_TOO_LARGE", "UNAUTHENTICATED", "FORBIDDEN", "METHOD_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE",
  "PAYLOAD_TOO_LARGE", "TIMEOUT", "UNAVAILABLE", "INTERNAL",
]);

const filterOf = (filter: unknown): string => `filter=${encodeURIComponent(JSON.stringify(exactly(filter, "filter")))}`;

const checkedUpdate = (update: object): object => {
  if (Object.keys(update).some((name) => name.startsWith("$"))) exactly(update, "update");
  return update;
};

// ---- what is live ---------------------------------------------------------------------------------------------------------

/** Those who listen to something. */
class Listeners<T extends unknown[]> {
  readonly #all = new Set<(...told: T) => void>();
  get size(): number {
    return this.#all.size;
  }
  add(listener: (...told: T) => void): () => void {
    const own = (...told: T): void => listener(...told);
    this.#all.add(own);
    return () => void this.#all.delete(own);
  }
  tell(...told: T): void {
    for (const listener of [...this.#all]) {
      try {
        listener(...told);
      } catch (error) {
        // A mistake of one is not the others'; it is seen where all mistakes are that nobody catches.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** A subscription as the server has it, shared by all who ask for the same. */
abstract class Shared {
  /** Its name at the server, while it is there. */
  id: string | null = null;
  /** Under which it is known here. */
  key = "";
  isLoaded = false;
  error: ModellerError | null = null;
  users = 0;
  /** Whether it is asked for right now. */
  isAsked = false;
  /** Another spelling of the same, which is asked for alone. */
  leader: Shared | null = null;
  protected readonly stops: (() => void)[] = [];
  readonly ended = new Listeners<[ModellerError]>();
  readonly loaded = new Listeners<[]>();

  constructor(readonly socket: Socket, readonly method: "subscribe" | "live", readonly query: { readonly [name: string]: unknown }) {}

  /** What is asked for, and from where on. */
  abstract params(): { readonly [name: string]: unknown };
  /** The answer. */
  abstract begun(result: any): void;
  end(error: ModellerError): void {
    this.error = error;
    this.ended.tell(error);
  }
  /** Hears all that another one hears. */
  follow(leader: Shared): void {
    this.leader = leader;
    this.stops.push(leader.ended.add((error) => this.end(error)));
  }
  unfollow(): void {
    this.stops.forEach((stop) => stop());
  }
  protected begin(): void {
    this.isLoaded = true;
    this.loaded.tell();
  }
}

class SharedRoom extends Shared {
  #since: number | undefined;
  #received: number | undefined;
  #missed = false;
  readonly heard = new Listeners<[Heard<any>]>();

  params(): { readonly [name: string]: unknown } {
    const resumed = this.#received === undefined ? { since: this.#since } : { since: this.#since, received: this.#received };
    return this.#since === undefined ? this.query : { ...this.query, ...resumed };
  }
  begun(result: any): void {
    if (this.#since !== undefined && result.complete === false) this.#missed = true;
    this.#since = result.since;
    this.#received = result.received;
    this.begin();
  }
  override follow(leader: SharedRoom): void {
    super.follow(leader);
    this.stops.push(leader.heard.add((heard) => this.heard.tell(heard)));
    this.begin();
  }
  publish(frame: any): void {
    this.#since = frame.seq;
    this.#received = frame.received;
    const missed = this.#missed;
    this.#missed = false;
    this.heard.tell({ payload: frame.payload, seq: frame.seq, missed });
  }
}

/**
 * A list after what became of it: without those that leave or have a place, and then with each that has one put there, in rising
 * order. What does not fit together is an error.
 */
export const applied = <T extends { readonly _id: string }>(items: readonly T[], changes: readonly Change<T>[]): T[] => {
  const known = new Map(items.map((item) => [item._id, item]));
  const next = new Map<string, T>();
  const out = new Set<string>();
  const placed: { readonly at: number; readonly doc: T }[] = [];
  for (const change of changes) {
    if (change.op === "enter") {
      placed.push(change);
      continue;
    }
    const old = known.get(change.id);
    if (old === undefined || out.has(change.id) || next.has(change.id)) throw new Error(`\`${change.id}\` is not held`);
    if (change.op === "leave") {
      out.add(change.id);
      continue;
    }
    const doc: { [name: string]: unknown } = { ...old, ...change.set };
    for (const name of change.unset ?? []) delete doc[name];
    if (change.at === undefined) next.set(change.id, doc as T);
    else {
      out.add(change.id);
      placed.push({ at: change.at, doc: doc as T });
    }
  }
  const list: T[] = [];
  let place = 0;
  const fill = (): void => {
    for (let here = placed[place]; here !== undefined && here.at === list.length; here = placed[++place]) list.push(here.doc);
  };
  for (const item of items) {
    if (out.has(item._id)) continue;
    fill();
    list.push(next.get(item._id) ?? item);
  }
  fill();
  if (place < placed.length) throw new Error(`there is no place ${placed[place]?.at}`);
  return list;
};

class SharedLive extends Shared {
  items: readonly any[] = [];
  seq = 0;
  readonly changed = new Listeners<[State<any>, readonly Change<any>[] | null]>();

  params(): { readonly [name: string]: unknown } {
    if (!this.isLoaded) return this.query;
    return { ...this.query, since: this.seq, held: this.items.map((item) => [item._id, item._rev]) };
  }
  begun(result: any): void {
    if (result.items === undefined) this.apply(result.changes, result.seq);
    else this.reset(result);
  }
  override follow(leader: SharedLive): void {
    super.follow(leader);
    this.stops.push(leader.changed.add((state, changes) => {
      [this.items, this.seq] = [state.items, state.seq];
      this.changed.tell(state, changes);
    }));
    this.reset(leader);
  }
  reset(frame: { readonly items: readonly any[]; readonly seq: number }): void {
    this.items = frame.items;
    this.seq = frame.seq;
    this.begin();
    this.changed.tell({ items: this.items, seq: this.seq }, null);
  }
  apply(changes: readonly Change<any>[], seq: number): void {
    try {
      this.items = applied(this.items, changes);
    } catch {
      // Whatever it was: the list is asked for anew.
      this.isLoaded = false;
      this.socket.anew(this);
      return;
    }
    this.seq = seq;
    if (changes.length > 0) this.changed.tell({ items: this.items, seq }, changes);
  }
}

/** The most that waits for somebody who goes through what was heard. */
const MOST_WAITING = 10_000;

abstract class Handle<S extends Shared> {
  protected readonly shared: S;
  protected isClosed = false;
  readonly #stops: (() => void)[] = [];
  readonly #end = new Listeners<[ModellerError]>();
  readonly #closed = new Listeners<[]>();

  constructor(protected readonly socket: Socket, make: () => S, method: string, query: { readonly [name: string]: unknown }) {
    this.shared = socket.share(method, query, make);
    this.stops(this.shared.ended.add((error) => {
      this.#end.tell(error);
      this.close();
    }));
  }

  protected stops(...stops: (() => void)[]): void {
    this.#stops.push(...stops);
  }
  /** When it is there for the first time. */
  protected begun(): Promise<void> {
    const begun = new Promise<void>((resolve, reject) => {
      if (this.shared.isLoaded) return resolve();
      this.stops(this.shared.loaded.add(() => resolve()));
      this.#end.add(reject);
      this.#closed.add(() => reject(new ModellerError({ code: "UNAVAILABLE", detail: "it was closed" }, 0)));
    });
    // Whoever does not wait for it hears of it by `onEnd`.
    begun.catch(() => {});
    return begun;
  }
  /** What is heard from now on, or was before if it waits. */
  protected async *iterate<T>(listen: (next: () => void) => () => void, take: () => T | undefined, stop: () => void): AsyncGenerator<T, void, undefined> {
    let wake: (() => void) | null = null;
    let error: ModellerError | null = this.shared.error;
    const rouse = (): void => wake?.();
    const stops = [listen(rouse), this.#closed.add(rouse), this.#end.add((reason) => (error = reason))];
    try {
      for (;;) {
        const next = take();
        if (next !== undefined) yield next;
        else if (error !== null) throw error;
        else if (this.isClosed) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stops.forEach((done) => done());
      stop();
    }
  }
  onEnd(listener: (error: ModellerError) => void): () => void {
    return this.#end.add(listener);
  }
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket.leave(this.shared);
    this.#closed.tell();
    this.#stops.forEach((stop) => stop());
  }
}

class RoomHandle extends Handle<SharedRoom> implements Room<any> {
  readonly ready: Promise<void>;
  readonly #heard = new Listeners<[Heard<any>]>();
  /** What nobody has looked at yet. */
  #backlog: Heard<any>[] | null = [];

  constructor(socket: Socket, params: { readonly [name: string]: unknown }) {
    super(socket, () => new SharedRoom(socket, "subscribe", params), "subscribe", params);
    this.stops(this.shared.heard.add((heard) => {
      if (this.#backlog !== null) push(this.#backlog, heard);
      this.#heard.tell(heard);
    }));
    this.ready = this.begun();
  }
  on(listener: (heard: Heard<any>) => void): () => void {
    const stop = this.#heard.add(listener);
    const waiting = this.#backlog ?? [];
    this.#backlog = null;
    waiting.forEach(listener);
    return stop;
  }
  [Symbol.asyncIterator](): AsyncGenerator<Heard<any>, void, undefined> {
    const queue = this.#backlog ?? [];
    this.#backlog = null;
    let rouse: (() => void) | null = null;
    // From now on, and not only from when the first is asked for.
    const stop = this.#heard.add((heard) => {
      push(queue, heard);
      rouse?.();
    });
    return this.iterate<Heard<any>>((next) => ((rouse = next), () => {}), () => queue.shift(), stop);
  }
  dispatch(event: string, args?: unknown, options?: RequestOptions): Promise<any> {
    return this.socket.request("dispatch", { ...this.shared.query, event, args: args ?? {} }, options);
  }
  unsubscribe(): void {
    this.close();
  }
}

const push = (queue: Heard<any>[], heard: Heard<any>): void => {
  queue.push(heard);
  if (queue.length <= MOST_WAITING) return;
  queue.shift();
  const first = queue[0];
  if (first !== undefined) queue[0] = { ...first, missed: true };
};

class LiveHandle extends Handle<SharedLive> implements Live<any> {
  readonly ready: Promise<State<any>>;

  constructor(socket: Socket, params: { readonly [name: string]: unknown }) {
    super(socket, () => new SharedLive(socket, "live", params), "live", params);
    this.ready = this.begun().then(() => this.#state());
    this.ready.catch(() => {});
  }
  get items(): readonly any[] {
    return this.shared.items;
  }
  get seq(): number {
    return this.shared.seq;
  }
  get isLoaded(): boolean {
    return this.shared.isLoaded;
  }
  #state(): State<any> {
    return { items: this.shared.items, seq: this.shared.seq };
  }
  on(listener: (state: State<any>, changes: readonly Change<any>[] | null) => void): () => void {
    const stop = this.shared.changed.add(listener);
    this.stops(stop);
    if (this.shared.isLoaded) listener(this.#state(), null);
    return stop;
  }
  [Symbol.asyncIterator](): AsyncGenerator<State<any>, void, undefined> {
    let seen: readonly any[] | null = null;
    const take = (): State<any> | undefined => {
      if (!this.shared.isLoaded || this.isClosed || seen === this.shared.items) return undefined;
      seen = this.shared.items;
      return this.#state();
    };
    return this.iterate<State<any>>((next) => this.shared.changed.add(next), take, () => {});
  }
}

interface Waiting {
  readonly done: (result: any) => void;
  readonly failed: (error: ModellerError) => void;
}
const OPENING_TIME = 15_000;
const PING_AFTER = 20_000;
const DEAD_AFTER = 45_000;
const IDLE_TIME = 10_000;
const ACK_EACH = 16;

/** One connection for all that is live. It is opened when it is needed, and again when it is cut. */
class Socket {
  readonly #http: Http;
  #socket: WebSocketLike | null = null;
  #isOpen = false;
  #attempt = 0;
  #nextId = 1;
  #lastHeard = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** Who waits until it is open. */
  readonly #opened = new Listeners<[ModellerError | null]>();
  readonly #shared = new Map<string, Shared>();
  readonly #byId = new Map<string, Shared>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  #unacked = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  #lastSeq = 0;

  constructor(http: Http) {
    this.#http = http;
    http.changed = (signedOut) => this.#authenticated(signedOut);
    const global = globalThis as { addEventListener?: (name: string, listener: () => void) => void };
    // A browser that is on the network again does not wait for the next attempt.
    global.addEventListener?.("online", () => {
      this.#attempt = 0;
      if (this.#socket === null && this.#isNeeded()) this.#open();
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }
  #isNeeded(): boolean {
    return this.#shared.size > 0 || this.#opened.size > 0 || this.#waiting.size > 0;
  }

  /** What is subscribed to by this already, or is from now on. */
  share<S extends Shared>(method: string, query: object, make: () => S): S {
    const { sort, ...rest } = query as { sort?: unknown };
    // The order of the members of a sort means something.
    const key = `${method} ${canonical(rest)} ${JSON.stringify(sort)}`;
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      shared = make();
      shared.key = key;
      this.#shared.set(key, shared);
      if (this.#isOpen) this.#begin(shared);
      else this.#wake();
    }
    shared.users++;
    return shared as S;
  }
  leave(shared: Shared): void {
    // One that is being asked for is left when it is there: else it could be asked for again before.
    if (--shared.users > 0 || shared.isAsked) return;
    this.#forget(shared);
    if (shared.leader !== null) {
      shared.unfollow();
      this.leave(shared.leader);
    } else if (this.#isOpen && shared.id !== null) this.#notify("unsubscribe", { subscription: shared.id });
    this.#rest();
  }
  #forget(shared: Shared): void {
    if (this.#shared.get(shared.key) === shared) this.#shared.delete(shared.key);
    if (shared.id !== null && this.#byId.get(shared.id) === shared) this.#byId.delete(shared.id);
  }
  /** Asks for a list again, as if nothing was held. */
  anew(shared: Shared): void {
    if (!this.#isOpen || shared.id === null || shared.isAsked) return;
    this.#byId.delete(shared.id);
    this.#notify("unsubscribe", { subscription: shared.id });
    shared.id = null;
    this.#begin(shared);
  }

  #begin(shared: Shared): void {
    shared.isAsked = true;
    this.#ask(shared.method, shared.params(), {
      done: (result) => {
        shared.isAsked = false;
        const other = this.#byId.get(result.subscription);
        if (shared.users <= 0) {
          this.#forget(shared);
          if (other === undefined) this.#notify("unsubscribe", { subscription: result.subscription });
          this.#rest();
        } else if (other !== undefined && other.method === shared.method) {
          other.users++;
          shared.follow(other);
        } else {
          shared.id = result.subscription;
          this.#byId.set(result.subscription, shared);
          shared.begun(result);
        }
      },
      failed: (error) => {
        shared.isAsked = false;
        if (shared.users <= 0) return this.#forget(shared);
        // It was cut off, and is asked for again on the next connection.
        if (error.status === 0) return;
        if (isRetried(error.status) || error.status === 429) {
          // Not refused, only not now.
          setTimeout(() => this.#isOpen && !shared.isAsked && shared.id === null && shared.users > 0 && this.#begin(shared), backoff(3));
          return;
        }
        this.#forget(shared);
        shared.end(error);
      },
    });
  }

  /** Does something at the server, once the connection is there; not again when it is cut meanwhile. */
  async request(method: string, params: object, options?: RequestOptions): Promise<any> {
    const time = options?.timeout ?? this.#http.options.timeout ?? 30_000;
    const signal = options?.signal;
    if (signal?.aborted) throw signal.reason;
    return new Promise((resolve, reject) => {
      let isOver = false;
      const over = (end: () => void) => (): void => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
        end();
        this.#rest();
      };
      const failed = (error: unknown): void => over(() => reject(error))();
      const stop = (): void => failed(signal?.reason);
      const timer = setTimeout(() => failed(new ModellerError({ code: "TIMEOUT", detail: `no answer within ${time} ms` }, 0)), time);
      signal?.addEventListener("abort", stop, { once: true });
      const ask = (): void => {
        if (!isOver) this.#ask(method, params, { done: (result) => over(() => resolve(result))(), failed });
      };
      if (this.#isOpen) return ask();
      const forget = this.#opened.add((error) => {
        forget();
        if (error === null) ask();
        else failed(error);
      });
      this.#wake();
    });
  }

  #ask(method: string, params: object, waiting: Waiting): void {
    const id = this.#nextId++;
    this.#waiting.set(id, waiting);
    this.#send({ jsonrpc: "2.0", id, method, params });
  }
  #notify(method: string, params: object): void {
    this.#send({ jsonrpc: "2.0", method, params });
  }
  #send(frame: object): void {
    try {
      this.#socket?.send(JSON.stringify(frame));
    } catch {
      // It is being closed, of which we are told.
    }
  }

  #wake(): void {
    if (this.#socket === null && this.#timer === undefined) this.#open();
  }
  #open(): void {
    clearTimeout(this.#timer);
    const Class = this.#http.options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (Class === undefined) {
      const detail = "there is no `WebSocket` here; give a class as the option `WebSocket`, as that of the package `ws`";
      queueMicrotask(() => this.#fail(new ModellerError({ code: "UNAVAILABLE", detail }, 0)));
      return;
    }
    let socket: WebSocketLike;
    try {
      socket = new Class(`${this.#http.base.replace(/^http/, "ws")}/@socket`);
    } catch (cause) {
      queueMicrotask(() => this.#fail(new ModellerError({ code: "UNAVAILABLE", detail: "the address is none of a socket" }, 0, cause)));
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket), OPENING_TIME);
    socket.onopen = () => void this.#begun(socket);
    socket.onmessage = (event: { data: unknown }) => this.#socket === socket && this.#hear(String(event.data));
    socket.onerror = () => {};
    socket.onclose = () => this.#lost(socket);
  }
  /** Nothing of it can ever work. */
  #fail(error: ModellerError): void {
    for (const shared of [...this.#shared.values()]) {
      this.#forget(shared);
      shared.end(error);
    }
    this.#opened.tell(error);
  }

  async #begun(socket: WebSocketLike): Promise<void> {
    this.#lastHeard = Date.now();
    // Before anything else, as what comes after it may need it.
    await this.#authenticate();
    if (this.#socket !== socket) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isOpen = true;
    this.#attempt = 0;
    this.#beat = setInterval(() => this.#check(socket), 5_000);
    this.#http.options.onOnline?.(true);
    for (const shared of [...this.#shared.values()]) if (shared.leader === null) this.#begin(shared);
    this.#opened.tell(null);
    this.#rest();
  }
  #say(token: string): Promise<ModellerError | null> {
    return new Promise((resolve) => this.#ask("authenticate", { token }, { done: () => resolve(null), failed: resolve }));
  }
  async #authenticate(): Promise<void> {
    const token = this.#http.tokens?.token;
    if (token === undefined) return;
    const error = await this.#say(token);
    if (error?.code !== "UNAUTHENTICATED" || !(await this.#http.refresh(token))) return;
    // Whoever is not known goes on as anyone, and is refused where that is not enough.
    if (this.#http.tokens !== null) await this.#say(this.#http.tokens.token);
  }
  #authenticated(signedOut: boolean): void {
    if (this.#socket === null) return;
    if (!signedOut) {
      if (this.#isOpen) void this.#authenticate();
      return;
    }
    // A connection cannot forget who it speaks for.
    this.#attempt = 0;
    const socket = this.#socket;
    this.#lost(socket, 0);
  }

  #check(socket: WebSocketLike): void {
    const silent = Date.now() - this.#lastHeard;
    if (silent > DEAD_AFTER) this.#lost(socket);
    // Whatever it answers, it is there.
    else if (silent > PING_AFTER) this.#ask("ping", {}, { done: () => {}, failed: () => {} });
  }
  #lost(socket: WebSocketLike, wait?: number): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#ackTimer);
    clearInterval(this.#beat);
    [this.#timer, this.#ackTimer, this.#unacked] = [undefined, undefined, 0];
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      socket.close();
    } catch {
      // It is closed.
    }
    this.#byId.clear();
    const cut = new ModellerError({ code: "UNAVAILABLE", detail: "the connection was cut" }, 0);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const shared of this.#shared.values()) shared.id = null;
    waiting.forEach(({ failed }) => failed(cut));
    if (wasOpen) this.#http.options.onOnline?.(false);
    if (!this.#isNeeded()) return;
    this.#timer = setTimeout(() => this.#open(), wait ?? backoff(this.#attempt++));
  }
  /** Closes it when nobody has needed it for a while. */
  #rest(): void {
    if (!this.#isOpen || this.#isNeeded()) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isNeeded()) this.close();
    }, IDLE_TIME);
    // It keeps no process alive.
    (this.#timer as { unref?: () => void }).unref?.();
  }
  close(): void {
    for (const shared of [...this.#shared.values()]) {
      this.#forget(shared);
      shared.end(new ModellerError({ code: "UNAVAILABLE", detail: "the client was closed" }, 0));
    }
    this.#opened.tell(new ModellerError({ code: "UNAVAILABLE", detail: "the client was closed" }, 0));
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#socket !== null) this.#lost(this.#socket);
  }

  #hear(text: string): void {
    this.#lastHeard = Date.now();
    const frame = JSON.parse(text);
    if (frame.method === undefined) {
      const waiting = this.#waiting.get(frame.id);
      this.#waiting.delete(frame.id);
      if (frame.error === undefined) waiting?.done(frame.result);
      else {
        const problem = frame.error.data ?? { code: "INTERNAL", detail: frame.error.message };
        waiting?.failed(new ModellerError(problem, typeof problem.status === "number" ? problem.status : 500));
      }
      return;
    }
    const params = frame.params;
    const shared = this.#byId.get(params.subscription);
    switch (frame.method) {
      case "publish":
        if (shared instanceof SharedRoom) shared.publish(params);
        break;
      case "commit":
        for (const { subscription, changes } of params.subscriptions) {
          const live = this.#byId.get(subscription);
          if (live instanceof SharedLive) live.apply(changes, params.seq);
        }
        this.#acknowledge(params.seq);
        break;
      case "reset":
        if (shared instanceof SharedLive) shared.reset(params);
        this.#acknowledge(params.seq);
        break;
      case "unsubscribed":
        if (shared === undefined) break;
        this.#forget(shared);
        shared.end(new ModellerError({ code: params.code, detail: "the server has ended the subscription" }, statusOf(params.code)));
        break;
    }
  }
  /** Says what was applied: each commit, or several that came together. */
  #acknowledge(seq: number): void {
    this.#lastSeq = seq;
    if (++this.#unacked >= ACK_EACH) this.#ack();
    else this.#ackTimer ??= setTimeout(() => this.#ack(), 0);
  }
  #ack(): void {
    clearTimeout(this.#ackTimer);
    [this.#ackTimer, this.#unacked] = [undefined, 0];
    this.#notify("ack", { seq: this.#lastSeq });
  }
}

const statusOf = (code: string): number => (code === "UNAUTHENTICATED" ? 401 : code === "FORBIDDEN" ? 403 : 404);

// ---- the client -----------------------------------------------------------------------------------------------------------

class ClientHandle implements Connection {
  readonly #http: Http;
  readonly #socket: Socket;
  readonly #models = new Map<string, object>();

  constructor(options: ConnectOptions, models: { readonly [id: string]: ModelDescription }) {
    this.#http = new Http(options);
    this.#socket = new Socket(this.#http);
    for (const [id, description] of Object.entries(models)) {
      this.#models.set(id, new ModelHandle(id, this.#http, this.#socket, description));
    }
    // A model that extends another is found within it; parents come before, in the order of their ids.
    for (const [id, handle] of this.#models) {
      let place: object = this;
      const way = id.split(".");
      const last = way.pop() ?? "";
      for (const name of way) {
        define(place, name, {});
        const next = (place as { [name: string]: unknown })[name];
        place = typeof next === "object" && next !== null ? next : {};
      }
      define(place, last, handle);
    }
  }

  /** A model by its id. */
  model(id: string): any {
    return this.#models.get(id);
  }
  get tokens(): Tokens | null {
    return this.#http.tokens;
  }
  get online(): boolean {
    return this.#socket.isOpen;
  }
  setToken(token: string | Tokens | null): void {
    this.#http.set(typeof token === "string" ? { token } : token, true);
  }
  async beginSession(options?: RequestOptions): Promise<void> {
    await this.#http.send({ method: "POST", path: "/@auth/session", again: false, options });
  }
  async signOut(options?: RequestOptions): Promise<void> {
    await this.#http.send({ method: "POST", path: "/@auth/logout", again: true, options });
    this.#http.set(null, true);
  }
  close(): void {
    this.#socket.close();
  }
}

const define = (place: object, name: string, value: object): void => {
  if (!(name in place) && name !== "then") Object.defineProperty(place, name, { value, enumerable: true });
};
