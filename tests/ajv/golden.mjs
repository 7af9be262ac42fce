// Writes modeller/src/core/validate.golden.json: what AJV says about the cases below. The unit tests of
// modeller/src/core/validate.rs hold the validator to it, so that clients can treat its errors as AJV's.
//
// To renew it, with Node 20 or later, in a folder outside the repository:
//
//     npm i ajv@8.20.0 ajv-formats@3.0.1 ajv-errors@3.0.0
//     cp <repository>/tests/ajv/golden.mjs .
//     node golden.mjs > <repository>/modeller/src/core/validate.golden.json
//
// A case is a name, a schema, and the values that are tried against it.

import Ajv2020 from "ajv/dist/2020.js"
import addFormats from "ajv-formats"
import addErrors from "ajv-errors"

const user = {
  type: "object",
  properties: {
    email: { type: "string", format: "email", unique: true },
    password: { type: "string", minLength: 12, private: true },
    age: { type: ["integer", "null"], format: "uint8", minimum: 0, maximum: 255 },
    role: { $ref: "#/$defs/Role", default: "member" },
    tags: { type: "array", items: { type: "string", pattern: "^[a-z]+$" }, maxItems: 2, uniqueItems: true },
  },
  required: ["email", "password"],
  additionalProperties: false,
  $defs: { Role: { type: "string", enum: ["admin", "member"] } },
}

const tree = {
  type: "object",
  properties: { name: { type: "string" }, children: { type: "array", items: { $ref: "#" } } },
  required: ["name"],
}

const deepTree = {
  type: "object",
  properties: { root: { $ref: "#/$defs/Node" } },
  $defs: {
    Node: {
      type: "object",
      properties: { name: { type: "string" }, left: { $ref: "#/$defs/Node" }, kind: { $ref: "#/$defs/Kind" } },
      required: ["name"],
    },
    Kind: { enum: ["a", "b"] },
  },
}

const cases = [
  // Whole models.
  ["a user", user, { email: "a@b.de", password: "123456789012", age: 3, role: "admin", tags: ["a"] },
    { email: "x", password: "short", age: 256, role: "boss", tags: ["A", "b", "b"], extra: 1, more: 2 }, {}, [], null,
    { email: 1, password: 2, age: "3", role: 4, tags: 5 }, { email: "a@b.de", password: "123456789012", age: 3.5 }],
  ["a tree", tree, { name: "a", children: [{ name: "b" }] }, { children: [{ name: 1, children: [{}] }, 3] }],
  ["a tree in $defs", deepTree, { root: { name: "a" } },
    { root: { left: { name: 1, left: {}, kind: "c" }, kind: "d" } }],
  ["own keywords", { type: "string", unique: true, index: true, private: true, protected: true, hidden: true,
    model: "teams._id", format: "uint8", errorMessage: "no" }, "x", 1],

  // Any type.
  ["type", { type: "string" }, "a", 1, null, [], {}],
  ["type integer", { type: "integer", minimum: 5 }, 5, 5.0, 3.5, "a"],
  ["type number", { type: "number" }, 1, 1.5, "1", true],
  ["type boolean", { type: "boolean" }, true, 0],
  ["type null", { type: "null" }, null, 0],
  ["type list", { type: ["string", "null"], minLength: 2 }, "ab", null, "a", 1],
  ["type list order", { type: ["object", "boolean", "array"] }, {}, "a"],
  ["type list of one", { type: ["string"] }, 1],
  ["enum", { enum: ["a", 1, null, { b: [1] }] }, { b: [1] }, 1, "b", { b: [2] }],
  ["enum of numbers", { enum: [1, 2.5] }, 1.0, 2.5, 3],
  ["const", { const: { a: [1, "b"] } }, { a: [1, "b"] }, { a: [1] }],
  ["const null", { const: null }, null, 0],
  ["const false", { const: false }, false, 0],

  // Numbers.
  ["minimum", { minimum: 1.5 }, 1.5, 1, "a"],
  ["maximum", { maximum: 10 }, 10, 10.5],
  ["exclusiveMinimum", { exclusiveMinimum: 0 }, 0.1, 0],
  ["exclusiveMaximum", { exclusiveMaximum: 1e3 }, 999, 1000],
  ["limits with exponents", { allOf: [{ maximum: 1e21 }, { maximum: -1.5e-7 }, { maximum: 123456789012345680000 },
    { maximum: 0.000001 }, { maximum: -2.0 }, { minimum: 1.25e300 }] }, 1e22],
  ["multipleOf", { multipleOf: 0.5 }, 1.5, 1.7],
  ["multipleOf integer", { multipleOf: 3 }, 9, 10],

  // Strings.
  ["minLength", { minLength: 2 }, "ab", "a", "\u{1f600}", "\u{1f600}\u{1f600}"],
  ["maxLength", { maxLength: 1 }, "\u{1f600}", "ab", ""],
  ["pattern", { pattern: "^\\d+/\"x\"$" }, "12/\"x\"", "a", 5],
  ["pattern with unicode", { pattern: "^\\p{L}+$" }, "é", "1"],
  ["format email", { format: "email" }, "a@b.de", "a", 1],
  ["format date", { format: "date" }, "2024-02-29", "2023-02-29"],
  ["format time", { format: "time" }, "10:00:00Z", "25:00:00Z"],
  ["format date-time", { format: "date-time" }, "2024-02-29T10:00:00Z", "yesterday"],
  ["format duration", { format: "duration" }, "P1D", "1 day"],
  ["format uri", { format: "uri" }, "https://example.org/a", "a b"],
  ["format uri-reference", { format: "uri-reference" }, "/a", "\\a b"],
  ["format uri-template", { format: "uri-template" }, "/a/{b}", "/a/{b"],
  ["format uuid", { format: "uuid" }, "0190a5ee-8f9e-7c53-a9c6-0242ac120002", "0190"],
  ["format ipv4", { format: "ipv4" }, "127.0.0.1", "256.0.0.1"],
  ["format ipv6", { format: "ipv6" }, "::1", ":::1"],
  ["format hostname", { format: "hostname" }, "a.example", "-a.example"],
  ["format json-pointer", { format: "json-pointer" }, "/a~0", "a"],
  ["format relative-json-pointer", { format: "relative-json-pointer" }, "1/a", "/a"],
  ["format regex", { format: "regex" }, "a+", "("],
  ["format int32", { format: "int32" }, 1, 1.5],
  ["nullable", { type: "string", nullable: true }, "a", null],
  ["format unknown", { format: "shoe-size" }, "a"],
  ["content keywords", { contentEncoding: "base64", contentMediaType: "application/json" }, "no base64!", "e30="],

  // Arrays.
  ["items", { items: { type: "string" } }, ["a"], [1, "a", 2], {}],
  ["items false", { items: false }, [], [1, 2]],
  ["items true", { items: true }, [1]],
  ["prefixItems", { prefixItems: [{ type: "string" }, { type: "number" }] }, ["a", 1], ["a"], [1, "a", null]],
  ["prefixItems with false", { prefixItems: [true, false] }, [1], [1, 2]],
  ["prefixItems and items", { prefixItems: [{ type: "string" }], items: { type: "number" } }, ["a", 1], [1, 2, "a"]],
  ["prefixItems and items false", { prefixItems: [{ type: "string" }], items: false }, ["a"], ["a", 1, 2], [1, 2]],
  ["minItems", { minItems: 1 }, [1], [], "a"],
  ["maxItems", { maxItems: 1 }, [1], [1, 2, 3]],
  ["uniqueItems", { uniqueItems: true }, [1, 2], [1, 2, 1, 2], [{ a: 1, b: 2 }, { b: 2, a: 1 }], [1, true, "1", 1.0],
    [[1], [2], [1]], [5, 5, 5], [0, false, "", null]],
  ["uniqueItems with typed items", { items: { type: "number" }, uniqueItems: true }, [1, 2], [1, 2, 1, 2], [3, 1, 3, 1, 3],
    ["a", "a"]],
  ["uniqueItems with two types of items", { items: { type: ["string", "number"] }, uniqueItems: true }, ["1", 1],
    ["1", 1, "1", 1], [1, 1, true, true]],
  ["uniqueItems with objects", { items: { type: "object" }, uniqueItems: true }, [{ a: 1 }, { a: 1 }, { a: 1 }]],
  ["uniqueItems false", { uniqueItems: false }, [1, 1]],
  ["contains", { contains: { type: "string", minLength: 2 } }, [1, "ab"], [1, "a"], []],
  ["contains true", { contains: true }, [1], []],
  ["contains false", { contains: false }, [1]],
  ["minContains", { contains: { type: "string" }, minContains: 2 }, ["a", "b"], ["a", 1], []],
  ["maxContains", { contains: { type: "string" }, maxContains: 1 }, ["a", 1], [0, "a", 1, "b", 2], [1], []],
  ["minContains and maxContains", { contains: { type: "string" }, minContains: 2, maxContains: 3 }, ["a", "b"],
    ["a", 1], ["a", "b", 1, "c", "d", 2]],
  ["minContains zero", { contains: { type: "string" }, minContains: 0 }, [], [1]],
  ["minContains zero and maxContains", { contains: { type: "string" }, minContains: 0, maxContains: 1 }, [], [1],
    [1, "a", "b", 2]],
  ["minContains over maxContains", { contains: { type: "string" }, minContains: 2, maxContains: 1 }, ["a"]],
  ["contains true with limits", { contains: true, minContains: 2, maxContains: 3 }, [1, 2], [1], [1, 2, 3, 4]],
  ["unevaluatedItems", { prefixItems: [true], unevaluatedItems: false }, [1], [1, 2, 3]],
  ["unevaluatedItems alone", { unevaluatedItems: false }, [], [1, 2]],
  ["unevaluatedItems with a schema", { prefixItems: [true], unevaluatedItems: { type: "string" } }, [1, "a"], [1, 2, 3]],
  ["unevaluatedItems after anyOf", { anyOf: [{ prefixItems: [true, { type: "string" }] },
    { prefixItems: [true, true, { type: "string" }] }], unevaluatedItems: false }, [1, 2, "a"], [1, 2, "a", 4], [1, "a", 3]],
  ["unevaluatedItems after contains", { contains: { type: "string" }, unevaluatedItems: false }, ["a"], ["a", 1]],
  ["unevaluatedItems after $ref", { $ref: "#/$defs/Two", unevaluatedItems: false, $defs: { Two: { prefixItems: [true, true] } } },
    [1, 2], [1, 2, 3]],

  // Objects.
  ["properties", { properties: { a: { type: "string" }, "b/c~d e": { type: "number" }, "ü%": false } }, { a: "x" },
    { a: 1, "b/c~d e": "x", "ü%": 1 }],
  ["schemaPath characters", { properties: { "a!'()*-_.~": { type: "string" }, "$x:[@]&=+,;?#\"<>\\^`{|}": { type: "string" } } },
    { "a!'()*-_.~": 1, "$x:[@]&=+,;?#\"<>\\^`{|}": 1 }],
  ["required", { required: ["a", "b c", "d'e"] }, { a: 1, "b c": 2, "d'e": 3 }, { "b c": null }, []],
  ["minProperties", { minProperties: 2 }, { a: 1, b: 2 }, { a: 1 }],
  ["maxProperties", { maxProperties: 1 }, {}, { a: 1, b: 2 }],
  ["additionalProperties", { properties: { a: {} }, patternProperties: { "^x": {} }, additionalProperties: false },
    { a: 1, x1: 2 }, { a: 1, b: 2, x: 3, "c/d": 4 }],
  ["additionalProperties with a schema", { properties: { a: {} }, additionalProperties: { type: "string" } },
    { a: 1, b: "x" }, { a: 1, b: 2, "c/d": 3 }],
  ["patternProperties", { patternProperties: { "^x": { type: "string" }, "\\d/$": { minimum: 5 } } }, { x: "a" },
    { x1: 1, "y2/": 3, z: 0 }],
  ["patternProperties false", { patternProperties: { "^x": false } }, { y: 1 }, { x: 1, xx: 2 }],
  ["propertyNames", { propertyNames: { minLength: 2, pattern: "^[a-z]+$" } }, { ab: 1 }, { a: 1, B: 2 }],
  ["propertyNames false", { propertyNames: false }, {}, { a: 1 }],
  ["propertyNames nested", { properties: { m: { propertyNames: { enum: ["a"] } } } }, { m: { b: 1 } }],
  ["dependentRequired", { dependentRequired: { a: ["b", "c"], d: ["e"], f: [] } }, { a: 1, b: 2, c: 3 },
    { a: 1, d: 2, f: 3 }, { a: 1, c: 1 }],
  ["dependentSchemas", { dependentSchemas: { "a/b": { required: ["c"], properties: { d: { type: "string" } } }, e: false } },
    { c: 1 }, { "a/b": 1, d: 2, e: 3 }],
  ["dependencies", { dependencies: { a: ["b"], c: { required: ["d"] } } }, { a: 1, b: 2 }, { a: 1, c: 2 }],
  ["unevaluatedProperties", { properties: { a: {} }, unevaluatedProperties: false }, { a: 1 }, { a: 1, b: 2, c: 3 }],
  ["unevaluatedProperties with a schema", { properties: { a: {} }, unevaluatedProperties: { type: "string" } },
    { a: 1, b: "x" }, { a: 1, b: 2, c: 3 }],
  ["unevaluatedProperties after allOf", { allOf: [{ properties: { a: { type: "string" } } }, { $ref: "#/$defs/B" }],
    unevaluatedProperties: false, $defs: { B: { properties: { b: { type: "string" } } } } },
    { a: "x", b: "y" }, { a: "x", b: "y", c: 1 }, { a: 1, b: 2, c: 3 }],
  ["unevaluatedProperties after oneOf", { oneOf: [
    { properties: { kind: { const: "a" }, a: {} }, required: ["kind"] },
    { properties: { kind: { const: "b" }, b: {} }, required: ["kind"] }], unevaluatedProperties: false },
    { kind: "a", a: 1 }, { kind: "a", a: 1, b: 2 }],
  ["unevaluatedProperties after if", { if: { properties: { a: { const: 1 } }, required: ["a"] },
    then: { properties: { b: {} } }, else: { properties: { c: {} } }, unevaluatedProperties: false },
    { a: 1, b: 2 }, { a: 1, c: 2 }, { c: 1 }],
  ["unevaluatedProperties after an if that does not hold", { if: { properties: { a: { const: 1 } } }, else: true,
    unevaluatedProperties: false }, { a: 1 }, { a: 2 }],
  ["unevaluatedProperties after additionalProperties", { allOf: [{ additionalProperties: { type: "string" } }],
    unevaluatedProperties: false }, { a: "x" }, { a: 1 }],
  ["unevaluatedProperties of nested objects", { properties: { a: { properties: { b: true }, unevaluatedProperties: false } },
    unevaluatedProperties: false }, { a: { b: 1 } }, { a: { c: 1 }, d: 2 }],
  ["unevaluatedProperties after patternProperties", { patternProperties: { "^x": {} }, unevaluatedProperties: false },
    { x: 1 }, { x: 1, y: 2 }],
  ["unevaluatedProperties after dependentSchemas", { properties: { a: {} }, dependentSchemas: { a: { properties: { b: {} } } },
    unevaluatedProperties: false }, { a: 1, b: 2 }, { b: 2 }],
  ["unevaluatedProperties in a branch", { allOf: [{ properties: { a: {} }, unevaluatedProperties: false }],
    properties: { b: {} } }, { a: 1 }, { a: 1, b: 2 }],

  // Combinations.
  ["allOf", { allOf: [{ minimum: 2 }, { type: "integer" }, true] }, 3, 1.5],
  ["anyOf", { anyOf: [{ type: "string" }, { minimum: 5 }] }, "a", 7, 3],
  ["anyOf false", { anyOf: [false, { type: "string" }] }, 1],
  ["oneOf none", { oneOf: [{ type: "string" }, { type: "number", minimum: 5 }] }, "a", 3],
  ["oneOf several", { oneOf: [{ type: "string" }, { minimum: 1 }, { minimum: 2 }, { minimum: 3 }, { minimum: 9 }] }, 1.5, 3],
  ["oneOf with true", { oneOf: [{ type: "string" }, {}, true] }, 1],
  ["not", { not: { type: "string" } }, 1, "a"],
  ["not true", { not: {} }, 1],
  ["if then else", { if: { type: "string" }, then: { minLength: 2 }, else: { minimum: 5 } }, "ab", 5, "a", 3],
  ["if then", { if: { type: "string" }, then: { minLength: 2 } }, 1, "a"],
  ["if else", { if: { type: "string" }, else: { minimum: 5 } }, "a", 3],
  ["if then false", { if: { type: "string" }, then: false, else: {} }, 1, "a"],
  ["if alone", { if: { type: "string" } }, 1, "a"],
  ["if in a branch", { anyOf: [{ if: { type: "string" }, then: { minLength: 2 } }, { const: 0 }] }, "ab", "a"],
  ["contains in a branch", { oneOf: [{ contains: { type: "string" } }, { contains: { type: "null" } }] }, ["a"], [1], ["a", null]],
  ["false", false, 1],
  ["true", true, 1],
  ["a false property", { properties: { a: false } }, {}, { a: 1 }],
  ["nested combinations", { anyOf: [{ allOf: [{ type: "string" }, { minLength: 3 }] },
    { oneOf: [{ type: "number" }, { not: { type: "string" } }] }] }, "abc", "ab", 1],
  ["errors that a branch drops", { properties: { a: { anyOf: [{ type: "string" }, { type: "number" }] }, b: { type: "null" } } },
    { a: 1, b: 1 }],

  // References.
  ["$ref", { properties: { a: { $ref: "#/$defs/A%20b~1c" } }, $defs: { "A b/c": { type: "string", minLength: 2 } } },
    { a: "ab" }, { a: 1 }, { a: "a" }],
  ["$ref with siblings", { $ref: "#/$defs/A", maxLength: 1, $defs: { A: { minLength: 3 } } }, "ab", 1],
  ["$ref to a $ref", { $ref: "#/$defs/A", $defs: { A: { $ref: "#/$defs/B" }, B: { type: "string" } } }, "a", 1],
  ["$ref to false", { properties: { a: { $ref: "#/$defs/Never" } }, $defs: { Never: false } }, {}, { a: 1 }],
  ["$ref to an $anchor", { $ref: "#a", $defs: { A: { $anchor: "a", type: "string" } } }, "a", 1],
  ["$ref to a property", { properties: { a: { type: "string" }, b: { $ref: "#/properties/a" } } }, { b: "x" }, { b: 1 }],
  ["$ref to an $id", { $id: "https://example.org/root", properties: { a: { $ref: "item" } },
    $defs: { A: { $id: "item", type: "string" } } }, { a: "x" }, { a: 1 }],
  ["$ref in an $id", { $id: "https://example.org/root", properties: { a: { $ref: "item" } },
    $defs: { A: { $id: "item", items: { $ref: "#/$defs/B" }, $defs: { B: { type: "string" } } } } }, { a: ["x"] }, { a: [1] }],
  ["$ref in items", { items: { $ref: "#/$defs/A" }, $defs: { A: { properties: { n: { $ref: "#/$defs/N" } } },
    N: { type: "number" } } }, [{ n: 1 }], [{ n: "a" }, { n: 1 }, { n: null }]],
  ["$dynamicRef", { $dynamicAnchor: "node", type: "object", properties: { value: { type: "string" },
    next: { $dynamicRef: "#node" } } }, { value: "a", next: { value: "b" } }, { value: 1, next: { value: 2, next: 3 } }],

  // Messages of the author's own.
  ["errorMessage", { type: "object", properties: { a: { type: "string", minLength: 3, format: "email", errorMessage: "an address" } },
    required: ["a", "b"] }, { a: "x", b: 1 }, { a: 1 }, {}, { a: "a@b.de", b: 1 }],
  ["errorMessage by keyword", { type: "object", required: ["a"], additionalProperties: false,
    properties: { a: { type: "integer", minimum: 5, multipleOf: 2, errorMessage: { type: "whole", minimum: "at least 5" } } },
    errorMessage: { type: "an object", required: "a is missing", additionalProperties: "only a" } },
    1, {}, { b: 1, c: 2 }, { a: 1.5 }, { a: 3 }, { a: "x", b: 1 }],
  ["errorMessage of required names", { required: ["a", "b", "c"], dependentRequired: { d: ["e"] },
    errorMessage: { required: { a: "no a", c: "no c", z: "no z" }, dependentRequired: "no e" } }, {}, { a: 1 }, { a: 1, b: 1, c: 1, d: 1 }],
  ["errorMessage of dependencies", { dependentRequired: { d: ["e", "f"], g: ["h"] },
    errorMessage: { dependentRequired: "no e" } }, { d: 1, g: 1 }],
  ["errorMessage of properties", { type: "object", required: ["c"], minProperties: 4,
    properties: { a: { type: "string", maxLength: 2, pattern: "^b" }, b: { items: { type: "string" } }, "c/d~e": { type: "null" } },
    errorMessage: { properties: { a: "no good a", b: "no good b", "c/d~e": "no good c" } } },
    { a: "abc", b: ["", 1, 2], "c/d~e": 1 }, { a: 1 }, { c: 1, ab: 1 }],
  ["errorMessage of properties that begin alike", { properties: { a: { type: "string" }, ab: { type: "string" } },
    errorMessage: { properties: { a: "no good a" } } }, { a: 1, ab: 1 }],
  ["errorMessage of items", { type: "array", maxItems: 2, prefixItems: [{ type: "string" }, { type: "number", minimum: 5 }],
    items: { type: "null" }, errorMessage: { items: ["a text", "a number"] } }, [1, 2], ["a", "b", 1], [1, 2, 3]],
  ["errorMessage of items and properties", { properties: { a: { type: "string" } }, prefixItems: [{ type: "string" }],
    errorMessage: { properties: { a: "no good a" }, items: ["no good item"] } }, { a: 1 }, [1], "x"],
  ["errorMessage for the rest", { type: "object", required: ["a"], additionalProperties: false,
    properties: { a: { type: "string", minLength: 2 }, b: { type: "number" } },
    errorMessage: { type: "an object", properties: { a: "no good a" }, _: "something else" } },
    1, {}, { a: 1, b: "x", c: 1 }, { a: "x" }, { a: "ab", b: "" }],
  ["errorMessage for all below", { properties: { a: { properties: { b: { type: "string" } } }, ab: { type: "string" } },
    errorMessage: "no good" }, { a: { b: 1 } }, { a: { b: 1 }, ab: 1 }],
  ["errorMessage in errorMessage", { properties: { a: { type: "string", errorMessage: "inner" }, b: { type: "string" } },
    errorMessage: "outer" }, { a: 1 }, { a: 1, b: 1 }, { b: 1 }],
  ["errorMessage in a branch", { anyOf: [{ type: "string", minLength: 3, errorMessage: "a long text" }, { type: "number", errorMessage: { type: "a number" } }] },
    "ab", true, 1, "abc"],
  ["errorMessage of a branch", { oneOf: [{ type: "string" }, { minimum: 3 }, { minimum: 4, type: "number" }], errorMessage: { oneOf: "one of them" } }, 1, 5, "a"],
  ["errorMessage of anyOf and what is in it", { anyOf: [{ type: "string" }, { type: "number" }], errorMessage: "text or number" }, null],
  ["errorMessage below not", { not: { type: "string", errorMessage: "inner" } }, "a", 1],
  ["errorMessage beside if", { if: { type: "string", errorMessage: "inner" }, then: { minLength: 2, errorMessage: "longer" },
    else: { type: "number" }, errorMessage: { if: "neither" } }, "a", null, "ab"],
  ["errorMessage with false", { properties: { a: false }, errorMessage: { properties: { a: "never" } } }, { a: 1 }],
  ["errorMessage of false by keyword", { additionalProperties: { errorMessage: { type: "t", "false schema": "f" }, type: "string" } }, { a: 1 }],
  ["errorMessage in a $ref", { properties: { a: { $ref: "#/$defs/A" }, b: { $ref: "#/$defs/A" } },
    $defs: { A: { type: "string", minLength: 2, errorMessage: { minLength: "too short" } } } }, { a: "x", b: 1 }],
  ["errorMessage of properties that are a $ref", { properties: { a: { $ref: "#/$defs/A" } }, errorMessage: { properties: { a: "no good" } },
    $defs: { A: { type: "string" } } }, { a: 1 }],
  ["errorMessage beside a $ref", { properties: { a: { $ref: "#/$defs/A", errorMessage: "no good" } }, $defs: { A: { type: "string" } } }, { a: 1 }],
  ["errorMessage of a keyword beside a $ref", { properties: { a: { $ref: "#/$defs/A", errorMessage: { type: "no good" } } }, $defs: { A: { type: "string" } } }, { a: 1 }],
  ["errorMessage in items", { items: { type: "object", required: ["a"], errorMessage: { required: "a is missing" } } }, [{}, { a: 1 }, {}, 1]],
  ["errorMessage in contains", { contains: { type: "string", errorMessage: "a text" }, errorMessage: { contains: "one text" } }, [1, 2], ["a"]],
  ["errorMessage of unevaluated", { properties: { a: true }, unevaluatedProperties: false,
    errorMessage: { unevaluatedProperties: "only a" } }, { a: 1, b: 1, c: 1 }],
  ["errorMessage of propertyNames", { propertyNames: { maxLength: 1 }, errorMessage: { propertyNames: "short names" } }, { ab: 1, c: 1 }],
  ["errorMessage with a template", { properties: { size: { type: "number", minimum: 4,
    errorMessage: "size should be 4 at least, it is ${/size}, ${0} or ${1/size}; ${/other/name}${/none} ${1/list/1} ${0#} ${/other} ${/null/x}" } } },
    { size: 2, other: { name: 'a"b', deep: [1, 2.5, null] }, list: [1, "x"], null: null }, { size: "x", list: [] }],
  ["errorMessage with templates by name", { required: ["a"], properties: { b: { type: "string" } },
    errorMessage: { required: { a: "${/b} has no a" }, properties: { b: "${/b}" }, _: "${} ${ " } }, { b: 1 }, {}],
  ["errorMessage with a template in a list", { items: { properties: { n: { maximum: 1, errorMessage: "${0} of ${1#} in ${1}, ${/0/n}" } } } }, [{ n: 2 }, { n: 3 }]],

  // Places.
  ["instancePath characters", { additionalProperties: { additionalProperties: { type: "string" } } },
    { "a/b": { "c~d": 1, "e f%": 2, "": 3, "ü\"": 4 } }],
  ["deep places", { properties: { a: { items: { properties: { b: { prefixItems: [{ type: "string" }] } } } } } },
    { a: [{}, { b: [1] }, { b: [2] }] }],
]

const members = ["instancePath", "keyword", "message", "params", "schemaPath"]
const picked = (error) => ({
  ...Object.fromEntries(members.map((member) => [member, error[member]])),
  ...(error.emUsed && { emUsed: true }),
  ...(error.keyword === "errorMessage" && { params: { errors: error.params.errors.map(picked) } }),
})
const lines = []
for (const [name, schema, ...values] of cases) {
  const ajv = new Ajv2020({ allErrors: true, strict: false, logger: false })
  addFormats(ajv)
  addErrors(ajv)
  const validate = ajv.compile(schema)
  for (const value of values) {
    validate(value)
    const errors = (validate.errors ?? []).map(picked)
    lines.push(JSON.stringify({ name, schema, value, errors }))
  }
}
console.log(`[\n${lines.join(",\n")}\n]`)
