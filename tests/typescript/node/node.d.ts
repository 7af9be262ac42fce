// What is used of Node.
declare const process: {
  argv: string[];
  env: { [name: string]: string | undefined };
  stdin: unknown;
  stdout: { write(text: string): void };
  exit(code: number): never;
};
declare module "node:module" {
  export const createRequire: (path: string) => (name: string) => unknown;
}
declare module "node:readline" {
  export const createInterface: (options: object) => AsyncIterable<string>;
}
declare module "node:crypto" {
  export const createHash: (name: string) => { update(bytes: Uint8Array): { digest(form: string): string } };
}
declare module "node:assert/strict" {
  const assert: {
    (value: unknown, message?: string): asserts value;
    equal(actual: unknown, expected: unknown, message?: string): void;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    throws(made: () => unknown, expected: RegExp): void;
    rejects(made: () => Promise<unknown>, expected: RegExp): Promise<void>;
  };
  export default assert;
}
