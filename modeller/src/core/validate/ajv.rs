//! Random schemas and values, asked of the validator and of AJV itself: same verdict, same violations.
//!
//! `MODELLER_AJV` is the number of values that are checked, `MODELLER_SEED` the seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use self::differences::Differences;
use self::node::Node;
use super::Validator;
use crate::core::random::Random;

#[path = "../../../../tests/src/differences.rs"]
#[allow(unreachable_pub, reason = "public where the other tests share it")]
mod differences;
#[path = "../../../../tests/src/node.rs"]
#[allow(unreachable_pub, reason = "public where the other tests share it")]
mod node;
/// How many values are checked against one schema.
const VALUES: usize = 10;

const NAMES: &[&str] = &["a", "b", "c", "d", "xa", "x/y", "~z", "ü"];
const PATTERNS: &[&str] = &["^a", "b$", "[0-9]+", "^.{2}$", r"\d", "^x", "a|c", "^$", "ü", r"^\w+$", "."];
const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "abc",
    "xa",
    "12",
    "2024-02-29",
    "2023-02-29",
    "12:30:00Z",
    "2024-01-02T03:04:05Z",
    "P1D",
    "x@example.org",
    "127.0.0.1",
    "::1",
    "example.org",
    "http://example.org/a?b#c",
    "a b",
    "ü",
    "😀",
    "/a/b",
    "0190a5ee-8f9e-7c53-a9c6-0242ac120002",
];
const FORMATS: &[&str] =
    &["email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "uri", "uuid", "json-pointer", "shoe-size"];
const TYPES: &[&str] = &["string", "number", "integer", "boolean", "null", "array", "object"];

/// Keywords of draft 2020-12, each of which has to come up in the random schemas. `$schema` and `$vocabulary` speak of a whole
/// schema and are no part of one.
const KEYWORDS: &[&str] = &[
    // Core, §8.
    "$id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$defs",
    "$comment",
    // Applicators, §10.
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "prefixItems",
    "items",
    "contains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    // Unevaluated locations, §11.
    "unevaluatedItems",
    "unevaluatedProperties",
    // Validation, §6 to §9.
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
];

struct Generator {
    random: Random,
    /// Whether schemas have messages of their own.
    messages: bool,
}

/// Counts the keywords of a schema, wherever they stand.
fn count_keywords(schema: &Value, counted: &mut BTreeMap<&'static str, u64>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| count_keywords(item, counted)),
        Value::Object(members) => {
            for (name, inner) in members {
                // No name of a property is one of these.
                if let Some(keyword) = KEYWORDS.iter().find(|keyword| *keyword == name) {
                    *counted.entry(keyword).or_default() += 1;
                }
                if !["const", "enum", "default", "examples"].contains(&name.as_str()) {
                    count_keywords(inner, counted);
                }
            }
        }
        _ => {}
    }
}

impl Generator {
    const fn new(seed: u64, messages: bool) -> Self {
        Self { random: Random::new(seed), messages }
    }

    fn name(&mut self) -> String {
        // The first ones more often, so that keywords meet each other.
        let most = if self.random.one_in(3) { NAMES.len() } else { 3 };
        NAMES[self.random.below(most)].to_owned()
    }

    fn names(&mut self) -> Vec<String> {
        let mut names: Vec<_> = (0..self.random.below(4)).map(|_| self.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn scalar(&mut self) -> Value {
        match self.random.below(8) {
            0 => json!(null),
            1 => json!(self.random.one_in(2)),
            2 | 3 => json!(self.random.below(6)),
            4 => self.random.pick(&[json!(-1), json!(1.5), json!(0.5), json!(2.0), json!(1e10), json!(-3.25)]).clone(),
            _ => json!(self.random.pick(TEXTS)),
        }
    }

    fn any(&mut self, depth: usize) -> Value {
        match self.random.below(if depth == 0 { 3 } else { 5 }) {
            0..=2 => self.scalar(),
            3 => (0..self.random.below(4)).map(|_| self.any(depth - 1)).collect(),
            _ => (0..self.random.below(4)).map(|_| (self.name(), self.any(depth - 1))).collect::<Map<_, _>>().into(),
        }
    }

    fn number(&mut self) -> Value {
        self.random.pick(&[json!(0), json!(1), json!(2), json!(3), json!(1.5), json!(-1), json!(2.0)]).clone()
    }

    /// A schema with references into its definitions.
    fn whole(&mut self) -> Value {
        let mut schema = match self.schema(3) {
            Value::Object(schema) => schema,
            other => return other,
        };
        // `$ref` is written as `#/$defs/p` and so on.
        let mut defs = Map::new();
        for name in ["p", "q", "r s/t"] {
            let definition = self.schema(1);
            defs.insert(name.to_owned(), definition);
        }
        if let Some(Value::Object(anchored)) = defs.get_mut("q") {
            anchored.insert("$anchor".to_owned(), json!("anchor"));
        } else {
            defs.insert("q".to_owned(), json!({"$anchor": "anchor", "type": "string"}));
        }
        if self.random.one_in(3) {
            // What a dynamic reference leads to depends on the way; here there is one such anchor, or two on one way.
            let dynamic = match self.schema(1) {
                Value::Object(mut dynamic) => {
                    dynamic.insert("$dynamicAnchor".to_owned(), json!("dynamic"));
                    dynamic.into()
                }
                _ => json!({"$dynamicAnchor": "dynamic", "type": "integer"}),
            };
            defs.insert("dynamic".to_owned(), dynamic);
            let inner = if self.random.one_in(2) {
                json!({"$dynamicRef": "#dynamic"})
            } else {
                json!({"items": {"$dynamicRef": "#dynamic"}})
            };
            defs.insert("p".to_owned(), inner);
        }
        if self.random.one_in(4) {
            let own = self.schema(1);
            let inner =
                json!({"$id": "https://example.org/r", "allOf": [{"$ref": "#/$defs/own"}], "$defs": {"own": own}});
            defs.insert("r s/t".to_owned(), without_references(inner));
        }
        schema.insert("$defs".to_owned(), defs.into());
        schema.into()
    }

    /// A message of the author's own, with a value in it now and then.
    fn message(&mut self) -> String {
        let text = self.random.pick(&[
            "wrong",
            "no, not this",
            "ü: {1}",
            "it is ${0}",
            "${/a} beside ${0}",
            "${}",
            "${/b/0}",
            "${/x~1y}",
            "\"${0}\"",
        ]);
        (*text).to_owned()
    }

    fn messages_by_name(&mut self) -> Value {
        (0..1 + self.random.below(2)).map(|_| (self.name(), self.message().into())).collect::<Map<_, _>>().into()
    }

    /// An `errorMessage` for a schema of these keywords.
    fn error_message(&mut self, schema: &Map<String, Value>) -> Value {
        if self.random.one_in(3) {
            return self.message().into();
        }
        let mut messages = Map::new();
        for _ in 0..1 + self.random.below(2) {
            let (key, message) = match self.random.below(6) {
                0 => ("_".to_owned(), self.message().into()),
                1 if self.random.one_in(2) => ("required".to_owned(), self.messages_by_name()),
                1 => ("dependencies".to_owned(), self.messages_by_name()),
                2 => ("properties".to_owned(), self.messages_by_name()),
                3 => ("items".to_owned(), (0..1 + self.random.below(3)).map(|_| self.message()).collect()),
                _ => {
                    let names: Vec<&String> =
                        schema.keys().filter(|name| !["items", "properties"].contains(&name.as_str())).collect();
                    let Some(name) = names.get(self.random.below(names.len().max(1))) else { continue };
                    ((*name).clone(), self.message().into())
                }
            };
            messages.insert(key, message);
        }
        messages.into()
    }

    fn schema(&mut self, depth: usize) -> Value {
        if self.random.one_in(if depth == 0 { 6 } else { 14 }) {
            return json!(!self.random.one_in(3));
        }
        let mut schema = Map::new();
        let kind = *self.random.pick(&["string", "number", "array", "array", "object", "object", "object", "mixed"]);
        if !self.random.one_in(3) {
            let types = match (kind, self.random.below(4)) {
                ("mixed", _) | (_, 0) => {
                    let mut types = vec![*self.random.pick(TYPES), *self.random.pick(TYPES)];
                    types.dedup();
                    json!(types)
                }
                ("number", 1) => json!("integer"),
                _ => json!(kind),
            };
            schema.insert("type".to_owned(), types);
        }
        for _ in 0..1 + self.random.below(3) {
            self.keyword(kind, depth, &mut schema);
        }
        if depth > 0 && self.random.one_in(3) {
            self.combination(depth - 1, &mut schema);
        }
        if self.messages && self.random.one_in(3) {
            let messages = self.error_message(&schema);
            schema.insert("errorMessage".to_owned(), messages);
        }
        schema.into()
    }

    fn list(&mut self, depth: usize) -> Value {
        (0..1 + self.random.below(3)).map(|_| self.schema(depth)).collect()
    }

    fn named(&mut self, depth: usize) -> Value {
        (0..1 + self.random.below(3)).map(|_| (self.name(), self.schema(depth))).collect::<Map<_, _>>().into()
    }

    fn keyword(&mut self, kind: &str, depth: usize, schema: &mut Map<String, Value>) {
        let below = depth.saturating_sub(1);
        let flat = depth == 0;
        let (name, value) = match (kind, self.random.below(if flat { 7 } else { 13 })) {
            (_, 0) if self.random.one_in(2) => ("enum", (0..1 + self.random.below(3)).map(|_| self.any(1)).collect()),
            (_, 0) => ("const", self.any(1)),
            ("string", 1) => ("minLength", json!(self.random.below(4))),
            ("string", 2) => ("maxLength", json!(self.random.below(4))),
            ("string", 3 | 4) => ("pattern", json!(self.random.pick(PATTERNS))),
            ("string", 5) => {
                schema.insert("contentMediaType".to_owned(), json!("application/json"));
                schema.insert("contentSchema".to_owned(), json!({"type": "object"}));
                ("contentEncoding", json!("base64"))
            }
            ("string", _) => ("format", json!(self.random.pick(FORMATS))),
            ("number", 1) => ("minimum", self.number()),
            ("number", 2) => ("maximum", self.number()),
            ("number", 3) => ("exclusiveMinimum", self.number()),
            ("number", 4) => ("exclusiveMaximum", self.number()),
            ("number", _) => ("multipleOf", self.random.pick(&[json!(2), json!(3), json!(0.5), json!(1)]).clone()),
            ("array", 1) => ("minItems", json!(self.random.below(4))),
            ("array", 2) => ("maxItems", json!(self.random.below(4))),
            ("array", 3) => ("uniqueItems", json!(!self.random.one_in(6))),
            ("array", 4 | 5) if flat => ("items", json!({"type": self.random.pick(TYPES)})),
            ("array", 4 | 5) => ("items", self.schema(below)),
            ("array", 6 | 7) => ("prefixItems", self.list(below)),
            ("array", 8) => ("unevaluatedItems", self.schema(below)),
            ("array", _) => {
                if self.random.one_in(2) {
                    schema.insert("minContains".to_owned(), json!(self.random.below(3)));
                }
                if self.random.one_in(2) {
                    schema.insert("maxContains".to_owned(), json!(self.random.below(4)));
                }
                ("contains", self.schema(below))
            }
            ("object", 1) => ("required", json!(self.names())),
            ("object", 2) if self.random.one_in(2) => ("minProperties", json!(self.random.below(3))),
            ("object", 2) => ("maxProperties", json!(self.random.below(4))),
            ("object", 3) => {
                let names = |this: &mut Self| (this.name(), json!(this.names()));
                ("dependentRequired", (0..2).map(|_| names(self)).collect::<Map<_, _>>().into())
            }
            ("object", 4) if flat => ("additionalProperties", json!({"type": self.random.pick(TYPES)})),
            ("object", 4) => ("additionalProperties", self.schema(below)),
            ("object", 5) => (
                "propertyNames",
                self.random
                    .pick(&[
                        json!({"maxLength": 1}),
                        json!({"pattern": "^[a-c]"}),
                        json!({"enum": ["a", "b"]}),
                        json!(false),
                    ])
                    .clone(),
            ),
            ("object", 6..=8) => ("properties", self.named(below)),
            ("object", 9) => {
                let pattern = |this: &mut Self| ((*this.random.pick(PATTERNS)).to_owned(), this.schema(below));
                (
                    "patternProperties",
                    (0..1 + self.random.below(2)).map(|_| pattern(self)).collect::<Map<_, _>>().into(),
                )
            }
            ("object", 10) => ("unevaluatedProperties", self.schema(below)),
            ("object", 11) => ("dependentSchemas", self.named(below)),
            ("object", _) => {
                let mut dependencies = self.named(below);
                dependencies[self.name()] = json!(self.names());
                ("dependencies", dependencies)
            }
            (_, 1..=3) => {
                ("$ref", json!(self.random.pick(&["#/$defs/p", "#/$defs/q", "#/$defs/r%20s~1t", "#anchor", "#"])))
            }
            (_, 4) => {
                for name in ["deprecated", "readOnly", "writeOnly"] {
                    schema.insert(name.to_owned(), json!(self.random.one_in(2)));
                }
                for name in ["description", "$comment"] {
                    schema.insert(name.to_owned(), json!("a text"));
                }
                schema.insert("examples".to_owned(), json!([self.any(1)]));
                ("title", json!("a title"))
            }
            (_, 5) => ("default", self.any(1)),
            _ => ("format", json!(self.random.pick(FORMATS))),
        };
        schema.insert(name.to_owned(), value);
    }

    fn combination(&mut self, depth: usize, schema: &mut Map<String, Value>) {
        let (name, value) = match self.random.below(6) {
            0 => ("allOf", self.list(depth)),
            1 => ("anyOf", self.list(depth)),
            2 => ("oneOf", self.list(depth)),
            3 => ("not", self.schema(depth)),
            4 => {
                for name in ["then", "else"] {
                    if !self.random.one_in(3) {
                        schema.insert(name.to_owned(), self.schema(depth));
                    }
                }
                ("if", self.schema(depth))
            }
            _ => ("$ref", json!(self.random.pick(&["#/$defs/p", "#/$defs/q", "#/$defs/r%20s~1t", "#anchor"]))),
        };
        schema.insert(name.to_owned(), value);
    }

    /// A value that has a chance to fit.
    fn near(&mut self, schema: &Value, depth: usize) -> Value {
        let Some(schema) = schema.as_object().filter(|_| depth > 0) else { return self.any(1) };
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return self.random.pick(values).clone();
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => self.random.pick(kinds).as_str().unwrap_or_default().to_owned(),
            _ if schema.keys().any(|name| name.to_lowercase().contains("propert") || name == "required") => {
                "object".into()
            }
            _ if schema.keys().any(|name| name.to_lowercase().contains("items") || name == "contains") => {
                "array".into()
            }
            _ => String::new(),
        };
        match kind.as_str() {
            "null" => Value::Null,
            "boolean" => json!(self.random.one_in(2)),
            "string" => json!(self.random.pick(TEXTS)),
            "integer" => json!(self.random.below(6)),
            "number" => self.number(),
            "array" => {
                let prefix = schema.get("prefixItems").and_then(Value::as_array).cloned().unwrap_or_default();
                let rest = ["items", "contains", "unevaluatedItems"].iter().find_map(|name| schema.get(*name));
                let rest = rest.cloned().unwrap_or(json!(true));
                (0..self.random.below(5)).map(|at| self.near(prefix.get(at).unwrap_or(&rest), depth - 1)).collect()
            }
            "object" => {
                let mut object = Map::new();
                for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    if !self.random.one_in(3) {
                        object.insert(name.clone(), self.near(schema, depth - 1));
                    }
                }
                for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                    if let Some(name) = name.as_str().filter(|name| !object.contains_key(*name)) {
                        object.insert(name.to_owned(), self.any(1));
                    }
                }
                for _ in 0..self.random.below(3) {
                    let name = self.name();
                    let value = self.any(1);
                    object.entry(name).or_insert(value);
                }
                object.into()
            }
            _ => {
                for name in ["allOf", "anyOf", "oneOf"] {
                    if let Some(branches) = schema.get(name).and_then(Value::as_array) {
                        let branch = self.random.pick(branches).clone();
                        return self.near(&branch, depth - 1);
                    }
                }
                self.any(2)
            }
        }
    }

    /// The value with one thing changed.
    fn mutated(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) if !items.is_empty() && !self.random.one_in(4) => {
                let at = self.random.below(items.len());
                match self.random.below(4) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    _ => self.mutated(&mut items[at]),
                }
            }
            Value::Object(members) if !members.is_empty() && !self.random.one_in(4) => {
                let name = members.keys().nth(self.random.below(members.len())).cloned().unwrap_or_default();
                match self.random.below(4) {
                    0 => drop(members.remove(&name)),
                    1 => {
                        let name = self.name();
                        let value = self.any(1);
                        members.insert(name, value);
                    }
                    _ => self.mutated(&mut members[&name]),
                }
            }
            value => *value = self.any(1),
        }
    }
}

/// The schema with every reference in it that leads out of a schema with an `$id` of its own taken away.
fn without_references(schema: Value) -> Value {
    let change = |members: &mut Map<String, Value>| {
        if members.get("$ref").is_some_and(|path| path != "#/$defs/own") {
            members.remove("$ref");
        }
    };
    rewritten(&schema, &change).unwrap_or(schema)
}

/// The violations as comparable texts. The order of AJV is not imitated.
fn told(errors: &Value, members: &[&str]) -> Vec<String> {
    let one = |error: &Value| {
        let part = |name: &&str| match (*name, error["params"].get("errors")) {
            // A message stands for others.
            ("params", Some(errors)) => {
                assert!(errors.as_array().is_some_and(|errors| errors.iter().all(|error| error["emUsed"] == true)));
                format!("{:?}", told(errors, members))
            }
            (name, _) => super::canonical(&error[name]),
        };
        members.iter().map(part).collect::<Vec<_>>().join(" ")
    };
    let mut all: Vec<_> = errors.as_array().into_iter().flatten().map(one).collect();
    all.sort_unstable();
    all
}

/// A schema made to mean here what AJV takes the given one to mean; `None` where the difference does not concern it.
type Reading = fn(&Value) -> Option<Value>;

/// The intended differences. One is the excuse for another answer when the validator gives just that answer for the schema
/// as AJV reads it.
const READINGS: &[(&str, Reading)] = &[
    ("contains-evaluates-all", |schema| rewritten(schema, &contains_evaluates_all)),
    ("if-alone", |schema| rewritten(schema, &if_alone)),
    ("failed-if-evaluates", |schema| rewritten(schema, &failed_if_evaluates)),
];

/// The ids of the other ones.
const OTHERS: &[&str] = &[
    "reference-to-itself",
    "compiler-fails",
    "place-that-is-not-there",
    "contains-without-items",
    "prefix-of-a-shorter-array",
    "dynamic-reference-into-definitions",
    "unevaluated-after-others",
];

/// The ids of those that are about messages.
const ABOUT_MESSAGES: &[&str] = &[
    "errors-of-references",
    "errors-of-other-schemas",
    "message-that-is-nothing",
    "messages-do-not-compile",
    "messages-in-loops",
    "position-in-a-text",
];

/// Ways to say the same that lead AJV around a mistake of its own. Asked in such a way, both have to say the same, and we what we
/// said before.
const WAYS_AROUND: &[(&str, Reading)] = &[
    ("contains-without-items", |schema| rewritten(schema, &limited_contains)),
    ("prefix-of-a-shorter-array", |schema| rewritten(schema, &prefix_apart)),
    ("dynamic-reference-into-definitions", |schema| rewritten(schema, &plain_reference)),
    ("errors-of-references", without_way),
    ("position-in-a-text", |schema| rewritten(schema, &no_position)),
];

/// What is taken away of a schema where AJV answers otherwise only because of it. Without it both have to say the same.
const REMOVALS: &[(&str, Reading)] = &[
    ("unevaluated-after-others", |schema| rewritten(schema, &nothing_left_over)),
    ("errors-of-other-schemas", |schema| rewritten(schema, &no_messages_of_parts)),
    ("messages-in-loops", |schema| rewritten(schema, &no_messages_in_loops)),
    ("errors-of-references", |schema| rewritten(schema, &no_messages_above_references)),
];

/// The differences that are the excuse because AJV, asked without them, says what we say.
fn asked_otherwise(node: &mut Node, schema: &Value, value: &Value, found: &Value) -> Option<Vec<&'static str>> {
    let all: Vec<_> = WAYS_AROUND.iter().chain(REMOVALS).collect();
    // The fewest first.
    let mut choices: Vec<usize> = (1..1 << all.len()).filter(|choice: &usize| choice.count_ones() <= 3).collect();
    choices.sort_by_key(|choice| (choice >> WAYS_AROUND.len(), choice.count_ones()));
    for choice in choices {
        let chosen = all.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1).map(|(_, way)| *way);
        let mut other = schema.clone();
        let mut taken = Vec::new();
        for (id, change) in chosen {
            let Some(next) = change(&other) else { break };
            other = next;
            taken.push(*id);
        }
        if taken.len() as u32 != choice.count_ones() {
            continue;
        }
        let Ok(validator) = Validator::new(&other) else { continue };
        let again = found_by(&validator, value);
        let places = &["instancePath", "keyword"];
        if choice >> WAYS_AROUND.len() == 0 && told(&again, places) != told(found, places) {
            continue;
        }
        let mut answer = node.ask(&json!({"schema": other, "values": [value]}));
        if answer.get("refused").is_some() {
            continue;
        }
        if something(&mut answer) {
            taken.push("message-that-is-nothing");
        }
        let theirs = told(&answer[0], MEMBERS);
        if told(&again, MEMBERS) == theirs {
            return Some(taken);
        }
        if let Some(more) = intended(&other, value, &theirs) {
            taken.extend(more);
            return Some(taken);
        }
    }
    None
}

/// Gives messages that are nothing the text that they have inside of a longer one. Says whether there was one.
fn something(errors: &mut Value) -> bool {
    match errors {
        Value::Array(items) => items.iter_mut().fold(false, |found, item| something(item) | found),
        Value::Object(error) => {
            let mut found = false;
            if error.get("keyword").is_some_and(|keyword| keyword == "errorMessage") && !error.contains_key("message") {
                error.insert("message".to_owned(), json!("undefined"));
                found = true;
            }
            found | error.get_mut("params").and_then(|params| params.get_mut("errors")).is_some_and(something)
        }
        _ => false,
    }
}

/// The first items apart from what is asked of all of them.
fn prefix_apart(schema: &mut Map<String, Value>) {
    if schema.contains_key("items") || schema.len() == 1 {
        return;
    }
    if let Some(prefix) = schema.remove("prefixItems")
        && let Value::Array(all) = schema.entry("allOf").or_insert_with(|| json!([]))
    {
        all.push(json!({"prefixItems": prefix}));
    }
}

/// There is one dynamic anchor in these schemas, so that it does not depend on the way which one is meant.
fn plain_reference(schema: &mut Map<String, Value>) {
    if schema.remove("$dynamicRef").is_some() {
        schema.insert("$ref".to_owned(), json!("#/$defs/dynamic"));
    }
}

/// The schema with what its references lead to in their places, as far as that has an end.
fn without_way(schema: &Value) -> Option<Value> {
    fn inlined(root: &Value, value: &mut Value, depth: usize) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| inlined(root, item, depth)),
            Value::Object(members) => {
                for (name, inner) in &mut *members {
                    if !["const", "enum", "default", "examples", "$defs"].contains(&name.as_str()) {
                        inlined(root, inner, depth);
                    }
                }
                let target = members.get("$ref").and_then(Value::as_str).and_then(|path| match path {
                    "#anchor" => root.pointer("/$defs/q"),
                    path => root.pointer(&path.strip_prefix('#')?.replace("%20", " ")),
                });
                let Some(mut target) = target.cloned().filter(|_| depth > 0) else { return };
                inlined(root, &mut target, depth - 1);
                match target {
                    Value::Object(target) if target.keys().all(|name| !members.contains_key(name)) => {
                        members.remove("$ref");
                        members.extend(target.into_iter().filter(|(name, _)| !name.contains("nchor")));
                    }
                    mut target if !members.contains_key("allOf") => {
                        members.remove("$ref");
                        if let Value::Object(target) = &mut target {
                            target.retain(|name, _| !name.contains("nchor"));
                        }
                        members.insert("allOf".to_owned(), json!([target]));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let mut changed = schema.clone();
    inlined(schema, &mut changed, 3);
    (changed != *schema).then_some(changed)
}

/// The schema without messages in what is asked of each of several parts.
fn no_messages_in_loops(schema: &mut Map<String, Value>) {
    const LOOPS: &[&str] = &[
        "items",
        "contains",
        "unevaluatedItems",
        "additionalProperties",
        "unevaluatedProperties",
        "patternProperties",
    ];
    for keyword in LOOPS {
        if let Some(inner) = schema.get_mut(*keyword)
            && let Some(without) = rewritten(inner, &|schema| drop(schema.remove("errorMessage")))
        {
            *inner = without;
        }
    }
}

/// Messages only where no reference leads anywhere; for references that cannot be put in their places.
fn no_messages_above_references(schema: &mut Map<String, Value>) {
    fn refers(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(refers),
            Value::Object(members) => {
                members.iter().any(|(name, inner)| ["$ref", "$dynamicRef"].contains(&name.as_str()) || refers(inner))
            }
            _ => false,
        }
    }
    if schema.values().any(refers) || schema.keys().any(|name| ["$ref", "$dynamicRef"].contains(&name.as_str())) {
        schema.remove("errorMessage");
    }
}

/// Messages that show a whole where they would show its first part.
fn no_position(schema: &mut Map<String, Value>) {
    if let Some(messages) = schema.get_mut("errorMessage") {
        *messages = serde_json::from_str(&messages.to_string().replace("${/b/0}", "${/b}")).unwrap();
    }
}

/// The schema without messages about members and elements where another schema may speak of the same ones.
fn no_messages_of_parts(schema: &mut Map<String, Value>) {
    if let Some(Value::Object(messages)) = schema.get_mut("errorMessage") {
        messages.remove("properties");
        messages.remove("items");
    }
}

/// The schema with a change made to each object in it.
fn rewritten(schema: &Value, change: &dyn Fn(&mut Map<String, Value>)) -> Option<Value> {
    fn all(value: &mut Value, change: &dyn Fn(&mut Map<String, Value>)) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| all(item, change)),
            Value::Object(members) => {
                // What stands in these are values, not schemas.
                let inner =
                    members.iter_mut().filter(|(name, _)| !["const", "enum", "default"].contains(&name.as_str()));
                inner.for_each(|(_, inner)| all(inner, change));
                change(members);
            }
            _ => {}
        }
    }
    let mut changed = schema.clone();
    all(&mut changed, change);
    (changed != *schema).then_some(changed)
}

fn contains_evaluates_all(schema: &mut Map<String, Value>) {
    if schema.contains_key("contains") && !schema.contains_key("items") {
        schema.insert("items".to_owned(), json!(true));
    }
}

/// An `if` whose consequences ask for nothing is left out.
fn if_alone(schema: &mut Map<String, Value>) {
    const ASKS_NOTHING: &[&str] = &["title", "default", "contentEncoding", "$anchor"];
    let nothing = |clause: Option<&Value>| match clause {
        Some(Value::Object(clause)) => clause.keys().all(|name| ASKS_NOTHING.contains(&name.as_str())),
        clause => clause.is_none_or(|clause| clause == &Value::Bool(true)),
    };
    if nothing(schema.get("then")) && nothing(schema.get("else")) {
        schema.remove("if");
    }
}

/// A `contains` without limits, said in another way.
fn limited_contains(schema: &mut Map<String, Value>) {
    if schema.contains_key("contains") && !schema.contains_key("maxContains") {
        schema.insert("maxContains".to_owned(), json!(1_000_000));
    }
}

fn failed_if_evaluates(schema: &mut Map<String, Value>) {
    // What a branch looks at is seen when the branch fits: here there is one without its assertions.
    if let Some(condition) = schema.get("if").and_then(Value::as_object) {
        let mut looks = Map::new();
        for name in ["properties", "patternProperties"] {
            if let Some(Value::Object(named)) = condition.get(name) {
                let named = named.keys().map(|name| (name.clone(), json!(true))).collect::<Map<_, _>>();
                looks.insert(name.to_owned(), named.into());
            }
        }
        for name in ["additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems"] {
            if condition.contains_key(name) {
                looks.insert(name.to_owned(), json!(true));
            }
        }
        if condition.contains_key("contains") {
            looks.insert("items".to_owned(), json!(true));
        }
        if let Some(Value::Array(prefix)) = condition.get("prefixItems") {
            looks.insert("prefixItems".to_owned(), vec![json!(true); prefix.len()].into());
        }
        if looks.is_empty() {
            return;
        }
        if let Value::Array(all) = schema.entry("allOf").or_insert_with(|| json!([])) {
            all.push(looks.into());
        }
    }
}

/// The differences that make AJV's answer out of ours.
fn intended(schema: &Value, value: &Value, theirs: &[String]) -> Option<Vec<&'static str>> {
    let gives = |schema: &Value| {
        Validator::new(schema).is_ok_and(|validator| told(&found_by(&validator, value), MEMBERS) == theirs)
    };
    for (id, reading) in READINGS {
        if reading(schema).is_some_and(|schema| gives(&schema)) {
            return Some(vec![id]);
        }
    }
    let (mut read, mut taken) = (schema.clone(), Vec::new());
    for (id, reading) in READINGS {
        if let Some(next) = reading(&read) {
            read = next;
            taken.push(*id);
        }
    }
    gives(&read).then_some(taken)
}

const MEMBERS: &[&str] = &["instancePath", "keyword", "message", "params"];

fn found_by(validator: &Validator, value: &Value) -> Value {
    let error = validator.check(value).err();
    serde_json::to_value(error.as_ref().map(crate::error::Error::violations).unwrap_or_default()).unwrap()
}

/// What is wrong with one schema and value, and what it is about; `None` when both answer alike, or are meant not to.
fn compare(node: &mut Node, schema: &Value, value: &Value) -> Option<(String, String)> {
    let theirs = node.ask(&json!({"schema": schema, "values": [value]}));
    judge(node, schema, value, &theirs, theirs.get(0)).err()
}

/// What a schema and a value come to: the differences that were the excuse, or what is wrong.
fn judge(
    node: &mut Node,
    schema: &Value,
    value: &Value,
    answer: &Value,
    theirs: Option<&Value>,
) -> Result<Vec<&'static str>, (String, String)> {
    let validator = match (Validator::new(schema), answer.get("refused")) {
        (Err(_), Some(_)) => return Ok(Vec::new()),
        (Ok(validator), None) => validator,
        (Err(reason), None) if reason.ends_with("leads back to itself") => return Ok(vec!["reference-to-itself"]),
        (Ok(_), Some(Value::String(reason))) if reason.starts_with("TypeError") => return Ok(vec!["compiler-fails"]),
        // What means itself has no end.
        (Ok(validator), Some(Value::String(reason))) if reason.starts_with("RangeError") => {
            let taken = asked_otherwise(node, schema, value, &found_by(&validator, value));
            return taken.ok_or_else(|| ("no end".to_owned(), String::new()));
        }
        (Ok(_), Some(Value::String(reason)))
            if schema.to_string().contains("errorMessage")
                && (reason.starts_with("SyntaxError") || reason.starts_with("ReferenceError")) =>
        {
            return Ok(vec!["messages-do-not-compile"]);
        }
        (ours, theirs) => {
            let about = theirs.map_or_else(|| "refused here".to_owned(), |theirs| format!("refused there: {theirs}"));
            return Err((about, format!("{:?}", ours.map(drop))));
        }
    };
    let found = found_by(&validator, value);
    let ours = told(&found, MEMBERS);
    let mut theirs = theirs.cloned().unwrap_or_default();
    if ours == told(&theirs, MEMBERS) {
        return Ok(Vec::new());
    }
    if something(&mut theirs) && ours == told(&theirs, MEMBERS) {
        return Ok(vec!["message-that-is-nothing"]);
    }
    if let Value::Array(errors) = &mut theirs {
        let all = errors.len();
        errors.retain(|error| error["instancePath"].as_str().is_some_and(|place| value.pointer(place).is_some()));
        if errors.len() < all && ours == told(&theirs, MEMBERS) {
            return Ok(vec!["place-that-is-not-there"]);
        }
    }
    let told_theirs = told(&theirs, MEMBERS);
    if let Some(taken) = intended(schema, value, &told_theirs) {
        return Ok(taken);
    }
    if let Some(taken) = asked_otherwise(node, schema, value, &found) {
        return Ok(taken);
    }
    let only = |some: &[String], others: &[String]| {
        some.iter().filter(|one| !others.contains(one)).cloned().collect::<Vec<_>>()
    };
    let (ours, theirs) = (only(&ours, &told_theirs), only(&told_theirs, &ours));
    let first = ours.first().or(theirs.first()).cloned().unwrap_or_default();
    let about = first.split('"').nth(3).unwrap_or_default().to_owned();
    Err((about, format!("ours {ours:?}, theirs {theirs:?}")))
}

/// Takes away the unevaluated keywords that stand beside others which evaluate under a condition.
fn nothing_left_over(schema: &mut Map<String, Value>) {
    const UNDER_A_CONDITION: &[&str] =
        &["contains", "if", "dependentSchemas", "dependencies", "anyOf", "oneOf", "allOf", "not", "$ref"];
    if UNDER_A_CONDITION.iter().any(|name| schema.contains_key(*name)) {
        schema.remove("unevaluatedItems");
        schema.remove("unevaluatedProperties");
    }
}

/// All values with one part less.
fn smaller(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Array(items) => {
            for at in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(at);
                all.push(fewer.into());
                for less in smaller(&items[at]) {
                    let mut changed = items.clone();
                    changed[at] = less;
                    all.push(changed.into());
                }
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let mut fewer = members.clone();
                fewer.remove(name);
                all.push(fewer.into());
                for less in smaller(member) {
                    let mut changed = members.clone();
                    changed[name] = less;
                    all.push(changed.into());
                }
            }
        }
        _ => {}
    }
    all
}

/// The least schema and value with which the same is wrong.
fn shrunk(node: &mut Node, mut schema: Value, mut value: Value, about: &str) -> String {
    let mut same =
        |schema: &Value, value: &Value| compare(node, schema, value).is_some_and(|(other, _)| other == about);
    loop {
        if let Some(less) = smaller(&schema).into_iter().find(|less| same(less, &value)) {
            schema = less;
        } else if let Some(less) = smaller(&value).into_iter().find(|less| same(&schema, less)) {
            value = less;
        } else {
            break;
        }
    }
    let (_, text) = compare(node, &schema, &value).unwrap_or_default();
    format!("{schema} on {value}: {text}")
}

#[test]
#[ignore = "needs node and the npm packages ajv, ajv-formats and ajv-errors in $MODELLER_NPM; .ci/run installs them"]
fn e1_errors_are_those_of_ajv() {
    ask_ajv(false);
}

#[test]
#[ignore = "needs node and the npm packages ajv, ajv-formats and ajv-errors in $MODELLER_NPM; .ci/run installs them"]
fn c9_messages_are_those_of_ajv_errors() {
    ask_ajv(true);
}

/// Random schemas and values, and what both say of them.
#[expect(clippy::print_stdout, reason = "counts that show what the test has done")]
fn ask_ajv(messages: bool) {
    let ids: Vec<&str> = READINGS.iter().map(|(id, _)| *id).chain(OTHERS.iter().copied()).collect();
    let mut differences = Differences::from("ajv", &ids);
    let mut about_messages = Differences::from("ajv-errors", ABOUT_MESSAGES);
    let pairs = Random::seed("MODELLER_AJV", 12_000);
    let first = Random::seed("MODELLER_SEED", 1);
    let mut node = Node::start("ajv.mjs");
    let mut counted = BTreeMap::new();
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut checked, mut fitting, mut violations) = (0, 0, 0);
    for seed in first.. {
        if checked >= pairs {
            break;
        }
        let mut generator = Generator::new(seed, messages);
        let schema = generator.whole();
        count_keywords(&schema, &mut counted);
        let mut values = Vec::new();
        for at in 0..VALUES {
            let mut value = generator.near(&schema, 4);
            for _ in 0..at / 3 {
                generator.mutated(&mut value);
            }
            values.push(value);
        }
        let answer = node.ask(&json!({"schema": schema, "values": values}));
        for (at, value) in values.iter().enumerate() {
            let theirs = answer.get(at);
            if let Some(errors) = theirs.and_then(Value::as_array) {
                checked += 1;
                fitting += u64::from(errors.is_empty());
                violations += errors.len();
            }
            match judge(&mut node, &schema, value, &answer, theirs) {
                Ok(taken) => taken.into_iter().for_each(|id| {
                    let is_of_messages = ABOUT_MESSAGES.contains(&id);
                    assert!(messages || !is_of_messages, "{id}: {schema} on {value}");
                    if is_of_messages { about_messages.take(id) } else { differences.take(id) }
                }),
                Err((about, _)) => {
                    let examples = wrong.entry(about.clone()).or_default();
                    let text = if examples.len() < 4 {
                        shrunk(&mut node, schema.clone(), value.clone(), &about)
                    } else {
                        String::new()
                    };
                    examples.push(format!("{text} (seed {seed})"));
                }
            }
        }
    }
    println!("{checked} values, {fitting} of them fit AJV, with {violations} violations\n{}", differences.report());
    println!("{}", about_messages.report());
    let never: Vec<_> = KEYWORDS.iter().filter(|keyword| !counted.contains_key(*keyword)).collect();
    assert!(never.is_empty(), "keywords that never came up: {never:?}");
    println!("keywords: {counted:?}");
    // It is an excuse that could hide something, so it must stay rare.
    assert!(
        messages || differences.taken("unevaluated-after-others") as u64 * 200 < checked,
        "{}",
        differences.report()
    );
    let hidden =
        ["errors-of-other-schemas", "errors-of-references", "messages-in-loops"].map(|id| about_messages.taken(id));
    assert!(hidden.iter().sum::<usize>() as u64 * 40 < checked, "{}", about_messages.report());
    let mut text = String::new();
    for (about, wrong) in &wrong {
        let _ = writeln!(text, "{about}: {} times, e.g.", wrong.len());
        for line in wrong.iter().take(4) {
            let _ = writeln!(text, "    {line}");
        }
    }
    assert!(wrong.is_empty(), "{text}");
}

#[test]
#[ignore = "needs node and the npm packages ajv and ajv-formats in $MODELLER_NPM; .ci/run installs them"]
#[expect(clippy::print_stdout, reason = "counts that show what the test has done")]
fn c10_formats_as_in_ajv() {
    let mut node = Node::start("ajv.mjs");
    let mut differences = Differences::from("ajv-formats", FORMAT_DIFFERENCES);
    let mut wrong = Vec::new();
    for (format, _, good, bad) in super::formats::FORMATS {
        let texts: Vec<&str> = good.iter().chain(*bad).copied().collect();
        let theirs = node.ask(&json!({"schema": {"format": format}, "values": texts}));
        for (at, text) in texts.iter().enumerate() {
            let theirs = theirs[at] == json!([]);
            if theirs == super::formats::fits(format, text) {
                continue;
            }
            // The line in the file names format and text.
            let id = format!("{format} {text}");
            if FORMAT_DIFFERENCES.contains(&id.as_str()) {
                differences.take(&id);
            } else {
                wrong.push(format!("{id}: fits AJV: {theirs}"));
            }
        }
    }
    println!("{}", differences.report());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Format and text.
const FORMAT_DIFFERENCES: &[&str] = &["uri x:", "uri-reference 12:30"];
