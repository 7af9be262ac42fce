//! Checks a value as it is, typed or read from a text, without making it a JSON value first.
//!
//! Most schemas say no more than types, bounds, lengths, formats and which members there are. For these the rules below are
//! quicker than a validator of everything, and what is wrong is known beforehand but for the place, so that it is written as
//! JSON straight away. A schema with any other keyword is not taken, and a value about which the rules are not sure is left
//! to the validator. Where both have an answer it is the same one, byte for byte; a test compares them.

pub(crate) mod reading;

use std::fmt::Write as _;

use serde_json::{Value, json};

use self::reading::Plan;

use super::schema::enums::DESCRIPTIONS;
use super::validate::{Leaf, MAX_VIOLATION_BYTES, MAX_VIOLATIONS, Told, encode, escape, told_of};
use super::value::{ArrayRef, Num, ObjectRef, ValueRef};

/// A schema made of plain keywords only.
pub(crate) struct Checker {
    nodes: Vec<Node>,
}

/// What a check found.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The value fits.
    Fits,
    /// It does not; the violations as a JSON array.
    Broken(String),
    /// The validator has to be asked.
    Unsure,
}

struct Node {
    rules: Vec<Rule>,
    /// Whether the value may be withheld, which a view of it does not show.
    private: bool,
    /// How a text is checked while it is read.
    plan: Plan,
}

/// A violation but for its place in the value.
struct Words {
    /// What stands behind the place, as JSON.
    text: Box<str>,
}

enum Rule {
    Type(Types, Words),
    /// A string that is one of these, or one of one.
    Texts(Box<[Box<str>]>, Words),
    Bound(Bound, Num, Words),
    MultipleOf(u64, Words),
    /// In characters.
    MinLength(usize, Words),
    MaxLength(usize, Words),
    MinItems(usize, Words),
    MaxItems(usize, Words),
    Text(TextTest, Words),
    Unique,
    Required(Vec<(Box<str>, Words)>),
    Properties(Vec<Property>),
    /// No members but those named.
    Closed(Vec<Box<str>>, Prefix),
    Items(usize),
    Reference(usize),
    AllOf(Vec<usize>),
    AnyOf(Vec<usize>, Words),
    /// With the words for a value that fits none.
    OneOf(Vec<usize>, Words),
}

struct Property {
    name: Box<str>,
    /// `/name`, as a JSON Pointer has it and JSON text has that.
    step: Box<str>,
    node: usize,
}

/// The schema path of the keyword `additionalProperties`, whose violations name a member of the value.
struct Prefix(Box<str>);

#[derive(Clone, Copy)]
enum Bound {
    Minimum,
    Maximum,
    Above,
    Below,
}

/// A set of JSON types.
#[derive(Clone, Copy)]
struct Types(u8);

impl Types {
    const NULL: u8 = 1;
    const BOOL: u8 = 2;
    const INTEGER: u8 = 4;
    const NUMBER: u8 = 8;
    const STRING: u8 = 16;
    const ARRAY: u8 = 32;
    const OBJECT: u8 = 64;

    fn of(value: &Value) -> Option<Self> {
        let one = |name: &Value| {
            Some(match name.as_str()? {
                "null" => Self::NULL,
                "boolean" => Self::BOOL,
                "integer" => Self::INTEGER,
                "number" => Self::NUMBER,
                "string" => Self::STRING,
                "array" => Self::ARRAY,
                "object" => Self::OBJECT,
                _ => return None,
            })
        };
        match value {
            Value::Array(names) => names.iter().try_fold(0, |all, name| Some(all | one(name)?)).map(Self),
            name => one(name).map(Self),
        }
    }

    fn has(self, one: u8) -> bool {
        self.0 & one != 0
    }
}

/// A keyword that looks at a text.
struct TextTest {
    /// Tells of the common texts that they fit, and of no other one.
    fits_surely: fn(&str) -> bool,
    /// Tells of all.
    leaf: Leaf,
}

/// Keywords that assert nothing.
const SILENT: &[&str] = &[
    "$schema",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "unique",
    "index",
    "private",
    "protected",
    "hidden",
    "model",
    "onDelete",
    DESCRIPTIONS,
];

struct Compiler<'s> {
    root: &'s Value,
    nodes: Vec<Node>,
    /// By the address of the schema.
    known: Vec<(*const Value, usize)>,
}

impl Checker {
    /// The checker of a schema that is known to be valid; `None` when it says more than is understood here.
    pub(crate) fn new(schema: &Value) -> Option<Self> {
        let mut compiler = Compiler { root: schema, nodes: Vec::new(), known: Vec::new() };
        compiler.node(schema, "#")?;
        compiler.nodes.iter_mut().for_each(|node| node.plan = Plan::of(&node.rules));
        Some(Self { nodes: compiler.nodes })
    }

    pub(crate) fn check(&self, value: &ValueRef<'_>) -> Outcome {
        let mut run = Run::new(&self.nodes);
        match run.visit(0, value) {
            Some(()) if run.found == 0 => Outcome::Fits,
            // The validator knows what is left out where there is too much to tell.
            Some(()) if run.found < MAX_VIOLATIONS && run.out.len() < MAX_VIOLATION_BYTES => {
                run.out.push(']');
                Outcome::Broken(run.out)
            }
            _ => Outcome::Unsure,
        }
    }
}

impl Compiler<'_> {
    /// `path` leads to the schema from the root, as a URI fragment.
    fn node(&mut self, schema: &Value, path: &str) -> Option<usize> {
        let address = std::ptr::from_ref(schema);
        if let Some((_, node)) = self.known.iter().find(|(known, _)| *known == address) {
            return Some(*node);
        }
        let node = self.nodes.len();
        self.known.push((address, node));
        self.nodes.push(Node { rules: Vec::new(), private: false, plan: Plan::Whole });
        let members = match schema {
            Value::Bool(true) => return Some(node),
            schema => schema.as_object()?,
        };
        let mut rules = Vec::new();
        for (keyword, value) in members {
            if !SILENT.contains(&keyword.as_str()) {
                rules.extend(self.rule(keyword, value, members, path)?);
            }
        }
        // It reports nothing, and tells of a set, whose items are slow to read by position, before they are.
        rules.sort_by_key(|rule| !matches!(rule, Rule::Unique));
        let private = members.contains_key("private") || members.contains_key("protected");
        if let Some(place) = self.nodes.get_mut(node) {
            *place = Node { rules, private, plan: Plan::Whole };
        }
        Some(node)
    }

    /// `None` when the keyword is not understood; of an empty list it is known that it asserts nothing.
    fn rule(
        &mut self,
        keyword: &str,
        value: &Value,
        members: &serde_json::Map<String, Value>,
        path: &str,
    ) -> Option<Option<Rule>> {
        let here = format!("{path}/{keyword}");
        let words = || {
            let (name, told) = told_of(keyword, value)?;
            Some(Words::new(name, &told, &here))
        };
        let size = || value.as_u64().and_then(|size| usize::try_from(size).ok());
        let bound = |bound| {
            let limit = match value.as_number()? {
                whole if whole.is_i64() || whole.is_u64() => Num::Int(whole.as_i128()?),
                number => Num::of_float(number.as_f64()?),
            };
            Some(Rule::Bound(bound, limit, words()?))
        };
        Some(Some(match keyword {
            "type" => Rule::Type(Types::of(value)?, words()?),
            "enum" => Rule::Texts(texts(value)?, words()?),
            "const" => Rule::Texts([value.as_str()?.into()].into(), words()?),
            "minimum" => bound(Bound::Minimum)?,
            "maximum" => bound(Bound::Maximum)?,
            "exclusiveMinimum" => bound(Bound::Above)?,
            "exclusiveMaximum" => bound(Bound::Below)?,
            // So far a float is exact, and the validator divides by floats.
            "multipleOf" => Rule::MultipleOf(value.as_u64().filter(|of| (1..=1 << 53).contains(of))?, words()?),
            "minLength" => Rule::MinLength(size()?, words()?),
            "maxLength" => Rule::MaxLength(size()?, words()?),
            "minItems" => Rule::MinItems(size()?, words()?),
            "maxItems" => Rule::MaxItems(size()?, words()?),
            "pattern" => Rule::Text(TextTest { fits_surely: |_| false, leaf: Leaf::new(keyword, value) }, words()?),
            "format" => {
                // What is not known asserts nothing.
                let Some(words) = words() else { return Some(None) };
                let fits_surely = match value.as_str()? {
                    "email" => is_plain_email,
                    "date-time" => is_plain_date_time,
                    _ => |_: &str| false,
                };
                Rule::Text(TextTest { fits_surely, leaf: Leaf::new(keyword, value) }, words)
            }
            "uniqueItems" => match value.as_bool()? {
                true => Rule::Unique,
                false => return Some(None),
            },
            "required" => {
                let required = texts(value)?.into_vec().into_iter().map(|name| {
                    let words = Words::new("required", &Told::required(&name), &here);
                    (name, words)
                });
                Rule::Required(required.collect())
            }
            "properties" => {
                let mut all = Vec::new();
                for (name, schema) in value.as_object()? {
                    let escaped = escape(name);
                    let mut path = format!("{here}/");
                    encode(&escaped, &mut path);
                    let node = self.node(schema, &path)?;
                    let step = Value::from(format!("/{escaped}")).to_string().trim_matches('"').into();
                    all.push(Property { name: name.as_str().into(), step, node });
                }
                Rule::Properties(all)
            }
            "additionalProperties" if *value == Value::Bool(false) => {
                let known = members.get("properties").and_then(Value::as_object);
                let names = known.into_iter().flat_map(|known| known.keys()).map(|name| name.as_str().into());
                Rule::Closed(names.collect(), Prefix(here.into()))
            }
            "additionalProperties" if *value == Value::Bool(true) => return Some(None),
            "items" => Rule::Items(self.node(value, &here)?),
            "$ref" => {
                let reference = value.as_str()?;
                let pointer = reference.strip_prefix('#')?;
                // An anchor, or a name that is written in another way than it is found.
                if reference.contains(['%', '~']) || !(pointer.is_empty() || pointer.starts_with('/')) {
                    return None;
                }
                let target = self.root.pointer(pointer)?;
                Rule::Reference(self.node(target, reference)?)
            }
            "allOf" => Rule::AllOf(self.list(value, &here)?),
            "anyOf" => {
                let words = Words::new("anyOf", &Told::new("must match a schema in anyOf", json!({})), &here);
                Rule::AnyOf(self.list(value, &here)?, words)
            }
            "oneOf" => {
                let told = Told::new("must match exactly one schema in oneOf", json!({"passingSchemas": null}));
                Rule::OneOf(self.list(value, &here)?, Words::new("oneOf", &told, &here))
            }
            _ => return None,
        }))
    }

    fn list(&mut self, schemas: &Value, here: &str) -> Option<Vec<usize>> {
        schemas.as_array()?.iter().enumerate().map(|(at, schema)| self.node(schema, &format!("{here}/{at}"))).collect()
    }
}

fn texts(list: &Value) -> Option<Box<[Box<str>]>> {
    list.as_array()?.iter().map(|text| text.as_str().map(Into::into)).collect()
}

impl Words {
    fn new(keyword: &str, told: &Told, path: &str) -> Self {
        let Told { message, params } = told;
        let (message, path) = (Value::from(message.as_ref()), Value::from(path));
        let text = format!(r#"","keyword":"{keyword}","message":{message},"params":{params},"schemaPath":{path}}}"#);
        Self { text: text.into() }
    }
}

/// One way through a value.
struct Run<'a> {
    nodes: &'a [Node],
    /// The way to the value at hand.
    place: Vec<Step<'a>>,
    out: String,
    found: usize,
}

/// A step into a value.
enum Step<'a> {
    /// As it stands in JSON text: `/name`.
    Into(&'a str),
    At(usize),
}

impl<'a> Run<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        Self { nodes, place: Vec::new(), out: String::new(), found: 0 }
    }

    fn report(&mut self, words: &Words) {
        self.begin();
        self.out.push_str(&words.text);
    }

    /// Writes up to the end of the place, without the quote behind it.
    fn begin(&mut self) {
        self.out.push_str(if self.found == 0 { r#"[{"instancePath":""# } else { r#",{"instancePath":""# });
        self.found += 1;
        for step in &self.place {
            match step {
                Step::Into(step) => self.out.push_str(step),
                Step::At(at) => {
                    // Writing to a string does not fail.
                    let _ = write!(self.out, "/{at}");
                }
            }
        }
    }

    /// Nothing when it cannot be said whether the value fits.
    fn visit(&mut self, node: usize, value: &ValueRef<'_>) -> Option<()> {
        let nodes = self.nodes;
        let Node { rules, private, .. } = nodes.get(node)?;
        match value {
            ValueRef::Private(inner) | ValueRef::Protected(inner) => return self.visit(node, &inner.as_value()),
            ValueRef::Serialized(_) | ValueRef::Part { .. } => return None,
            ValueRef::Null if *private => return None,
            _ => {}
        }
        if self.found >= MAX_VIOLATIONS || self.out.len() >= MAX_VIOLATION_BYTES {
            return None;
        }
        rules.iter().try_for_each(|rule| self.apply(rule, value))
    }

    fn apply(&mut self, rule: &'a Rule, value: &ValueRef<'_>) -> Option<()> {
        let broken = match (rule, value) {
            (Rule::Type(types, words), _) => (!has_type(*types, value)?).then_some(words),
            (Rule::Texts(texts, words), _) => {
                let fits = value.with_text(|text| texts.iter().any(|known| **known == *text)).unwrap_or(false);
                (!fits).then_some(words)
            }
            (Rule::Bound(bound, limit, words), ValueRef::Int(_) | ValueRef::UInt(_) | ValueRef::Float(_)) => {
                let order = value.number()?.compare(*limit);
                let fits = match bound {
                    Bound::Minimum => order.is_ge(),
                    Bound::Maximum => order.is_le(),
                    Bound::Above => order.is_gt(),
                    Bound::Below => order.is_lt(),
                };
                (!fits).then_some(words)
            }
            (Rule::MultipleOf(of, words), ValueRef::UInt(value)) => (value % of != 0).then_some(words),
            (Rule::MultipleOf(of, words), ValueRef::Int(value)) => (value.unsigned_abs() % of != 0).then_some(words),
            (Rule::MultipleOf(..), ValueRef::Float(_)) => return None,
            (Rule::MinLength(least, words), ValueRef::Str(_) | ValueRef::Id(_)) => {
                let fits = value.with_text(|text| text.len() >= *least && has_chars(text, *least)).unwrap_or(true);
                (!fits).then_some(words)
            }
            (Rule::MaxLength(most, words), ValueRef::Str(_) | ValueRef::Id(_)) => {
                // Bytes are at least as many as characters, and need not be counted.
                let fits = |text: &str| text.len() <= *most || text.chars().nth(*most).is_none();
                (!value.with_text(fits).unwrap_or(true)).then_some(words)
            }
            (Rule::Text(test, words), ValueRef::Str(_) | ValueRef::Id(_)) => {
                let fits = |text: &str| (test.fits_surely)(text) || test.leaf.fits(&Value::from(text));
                (!value.with_text(fits).unwrap_or(true)).then_some(words)
            }
            (Rule::MinItems(least, words), ValueRef::Array(items)) => (items.len() < *least).then_some(words),
            (Rule::MaxItems(most, words), ValueRef::Array(items)) => (items.len() > *most).then_some(words),
            // Which two are equal is for the validator to say.
            (Rule::Unique, ValueRef::Array(items)) => return are_different(*items),
            (Rule::Items(node), ValueRef::Array(items)) => return self.items(*node, *items),
            (Rule::Required(required), ValueRef::Object(object)) => {
                for (at, (name, words)) in required.iter().enumerate() {
                    if member(*object, at, name).is_none() {
                        self.report(words);
                    }
                }
                None
            }
            (Rule::Properties(properties), ValueRef::Object(object)) => {
                for (at, Property { name, step, node }) in properties.iter().enumerate() {
                    if let Some(value) = member(*object, at, name) {
                        self.place.push(Step::Into(step));
                        self.visit(*node, &value)?;
                        self.place.pop();
                    }
                }
                None
            }
            (Rule::Closed(names, path), ValueRef::Object(object)) => {
                self.closed(names, path, *object);
                None
            }
            (Rule::Reference(node), _) => return self.visit(*node, value),
            (Rule::AllOf(nodes), _) => return nodes.iter().try_for_each(|node| self.visit(*node, value)),
            (Rule::OneOf(nodes, words), _) => return self.one_of(nodes, words, value),
            (Rule::AnyOf(nodes, words), _) => {
                let (found, length) = (self.found, self.out.len());
                let mut fits = false;
                for node in nodes {
                    let before = self.found;
                    self.visit(*node, value)?;
                    fits |= self.found == before;
                }
                if fits {
                    self.found = found;
                    self.out.truncate(length);
                }
                (!fits).then_some(words)
            }
            _ => None,
        };
        if let Some(words) = broken {
            self.report(words);
        }
        Some(())
    }

    fn items(&mut self, node: usize, items: &dyn ArrayRef) -> Option<()> {
        for at in 0..items.len() {
            self.place.push(Step::At(at));
            self.visit(node, &items.at(at))?;
            self.place.pop();
        }
        Some(())
    }

    /// Which of the schemas the value fits, if it is one.
    fn one_of(&mut self, nodes: &[usize], words: &Words, value: &ValueRef<'_>) -> Option<()> {
        let (found, length) = (self.found, self.out.len());
        let mut fitting = 0;
        for node in nodes {
            let before = self.found;
            self.visit(*node, value)?;
            fitting += usize::from(self.found == before);
        }
        match fitting {
            0 => self.report(words),
            1 => {
                self.found = found;
                self.out.truncate(length);
            }
            // Which they are is for the validator to say.
            _ => return None,
        }
        Some(())
    }

    fn closed(&mut self, names: &[Box<str>], Prefix(path): &Prefix, object: &dyn ObjectRef) {
        for slot in 0..object.slots() {
            let Some((name, _)) = object.entry(slot) else { continue };
            // In most values the members are in the order of the schema.
            if names.get(slot).is_some_and(|known| **known == *name) || names.iter().any(|known| **known == *name) {
                continue;
            }
            if self.found >= MAX_VIOLATIONS || self.out.len() >= MAX_VIOLATION_BYTES {
                return;
            }
            self.report(&Words::new("additionalProperties", &Told::additional(name), path));
        }
    }
}

/// The member of that name. In most values the members are in the order of the schema, so that it stands in this slot.
fn member<'v>(object: &'v dyn ObjectRef, slot: usize, name: &str) -> Option<ValueRef<'v>> {
    if slot < object.slots()
        && let Some((known, value)) = object.entry(slot)
        && known == name
    {
        return Some(value);
    }
    object.get(name)
}

fn has_type(types: Types, value: &ValueRef<'_>) -> Option<bool> {
    Some(match value {
        ValueRef::Null => types.has(Types::NULL),
        ValueRef::Bool(_) => types.has(Types::BOOL),
        ValueRef::Int(_) | ValueRef::UInt(_) => types.has(Types::INTEGER | Types::NUMBER),
        ValueRef::Float(_) if types.has(Types::NUMBER) => true,
        // `1.0` is an integer, and whether a large float is one is for the validator to say.
        ValueRef::Float(_) if types.has(Types::INTEGER) => return None,
        ValueRef::Float(_) => false,
        ValueRef::Str(_) | ValueRef::Id(_) => types.has(Types::STRING),
        ValueRef::Array(_) => types.has(Types::ARRAY),
        ValueRef::Object(_) => types.has(Types::OBJECT),
        ValueRef::Serialized(_) | ValueRef::Part { .. } | ValueRef::Private(_) | ValueRef::Protected(_) => return None,
    })
}

fn has_chars(text: &str, least: usize) -> bool {
    // A character has four bytes at most.
    text.len() / 4 >= least || least == 0 || text.chars().nth(least - 1).is_some()
}

/// Nothing when two items are equal, or when it would take long to see whether they are.
fn are_different(items: &dyn ArrayRef) -> Option<()> {
    const COMPARED: usize = 32;
    let plain = |value: &ValueRef<'_>| matches!(value, ValueRef::Str(_) | ValueRef::Int(_) | ValueRef::UInt(_));
    if items.len() > COMPARED {
        return None;
    }
    for at in 0..items.len() {
        let item = items.at(at);
        if !plain(&item) || (0..at).any(|other| items.at(other).equals(&item)) {
            return None;
        }
    }
    Some(())
}

/// An address of RFC 5321 in its common form: plain atoms, and a domain of letters and digits with single hyphens inside.
fn is_plain_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let (local, domain) = (local.as_bytes(), domain.as_bytes());
    // Dots and hyphens stand alone, and between others.
    let is_plain = |part: &[u8], alone: &[u8], more: &[u8]| {
        let mut before = b'.';
        let fits = part.iter().all(|byte| {
            let is_alone = alone.contains(byte);
            let fits = (is_alone && !alone.contains(&before)) || byte.is_ascii_alphanumeric() || more.contains(byte);
            before = *byte;
            fits
        });
        fits && !alone.contains(&before)
    };
    (1..=64).contains(&local.len())
        && (3..=190).contains(&domain.len())
        && is_plain(local, b".", b"_+-")
        && domain.contains(&b'.')
        && is_plain(domain, b".-", b"")
        && domain.split(|byte| *byte == b'.').all(|label| label.len() <= 63)
}

/// A time of RFC 3339 §5.6 in UTC, on a day that every month has.
fn is_plain_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((head, tail)) = bytes.split_at_checked(19) else { return false };
    let shape = head.iter().zip(b"0000-00-00T00:00:00").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    });
    let pair =
        |at: usize| head.get(at..at + 2).map_or(0, |pair| pair.iter().fold(0, |sum, digit| sum * 10 + (digit & 15)));
    let fraction = match tail {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    shape
        && fraction
        && (1..=12).contains(&pair(5))
        && (1..=28).contains(&pair(8))
        && pair(11) <= 23
        && pair(14) <= 59
        && pair(17) <= 59
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::value::AsValue as _;
    use crate::error::Violation;

    /// Every keyword that is understood, with neighbours.
    fn schemas() -> Vec<Value> {
        vec![
            json!({
                "type": "object", "title": "t", "description": "d",
                "required": ["email", "a/b~\"c", "age"],
                "additionalProperties": false,
                "properties": {
                    "email": {"type": "string", "format": "email", "unique": true},
                    "a/b~\"c": {"type": ["string", "null"], "minLength": 2, "maxLength": 3},
                    "age": {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 150, "multipleOf": 2},
                    "price": {"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 9_007_199_254_740_993_u64},
                    "role": {"$ref": "#/$defs/Role"},
                    "other": {"anyOf": [{"$ref": "#/$defs/Role"}, {"type": "null"}], "default": null},
                    "kind": {"$ref": "#/$defs/Kind"},
                    "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "minItems": 1, "maxItems": 3,
                        "uniqueItems": true},
                    "at": {"type": "string", "format": "date-time"},
                    "any": true,
                    "self": {"$ref": "#"},
                    "nested": {"type": "array", "items": {"type": "array", "items": {"$ref": "#/$defs/Point"}}},
                },
                "$defs": {
                    "Role": {"type": "string", "enum": ["user", "admin"]},
                    "Kind": {"oneOf": [{"type": "string", "const": "a", "description": "first"}, {"type": "string", "const": "b"}]},
                    "Point": {"allOf": [{"type": "object", "properties": {"x": {"maximum": 1.0}}}, {"required": ["x"]}]},
                },
            }),
            json!({"properties": {"age": {"minimum": -1.5, "maximum": 1e3}, "email": {"const": "x"}, "tags": {"uniqueItems": false}}}),
            json!({"anyOf": [{"type": "string"}, {"required": ["age"], "properties": {"age": {"oneOf": [{"minimum": 2}, {"maximum": 3}]}}}]}),
        ]
    }

    fn scalars() -> BoxedStrategy<Value> {
        let texts = prop::sample::select(vec![
            "",
            "a",
            "b",
            "é",
            "user",
            "admin",
            "root",
            "abc",
            "äöüß",
            "a@b.de",
            "a@b",
            "a.b@c-d.example",
            "a@b--c.de",
            "\"@b.de",
            "2024-02-28T23:59:59Z",
            "2024-02-30T00:00:00Z",
            "2024-06-30T23:59:60Z",
            "2024-01-01t00:00:00.5+01:00",
            "x",
        ]);
        let numbers = prop::sample::select(vec![
            json!(0),
            json!(1),
            json!(2),
            json!(-2),
            json!(3),
            json!(150),
            json!(151),
            json!(0.5),
            json!(0.6),
            json!(1.0),
            json!(2.0),
            json!(-0.0),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(9_007_199_254_740_992_u64),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992.0),
        ]);
        prop_oneof![Just(json!(null)), any::<bool>().prop_map(Value::from), numbers, texts.prop_map(Value::from)]
            .boxed()
    }

    fn values() -> impl Strategy<Value = Value> {
        let names = prop::sample::select(vec![
            "email",
            "a/b~\"c",
            "age",
            "price",
            "role",
            "other",
            "kind",
            "tags",
            "at",
            "any",
            "self",
            "nested",
            "x",
            "new\n\"name",
        ]);
        scalars().prop_recursive(4, 24, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((names.clone(), inner), 0..9)
                    .prop_map(|all| all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()),
            ]
        })
    }

    /// A value that fits the first schema but for a member.
    fn nearly_right() -> impl Strategy<Value = Value> {
        let names = prop::sample::select(vec![
            "email", "a/b~\"c", "age", "price", "role", "other", "kind", "tags", "at", "self", "y",
        ]);
        (names, values(), any::<bool>()).prop_map(|(name, value, out)| {
            let mut right = json!({"email": "a@b.de", "a/b~\"c": null, "age": 36, "price": 1, "role": "user", "kind": "b",
                "tags": ["a", "b"], "at": "2024-01-01T00:00:00Z", "nested": [[{"x": 1}]]});
            match out {
                true => drop(right.as_object_mut().unwrap().remove(name)),
                false => right[name] = value,
            }
            right
        })
    }

    fn compare(at: usize, value: &Value) -> Result<(), TestCaseError> {
        let schema = &schemas()[at];
        let validator = crate::core::validate::Validator::new(schema).unwrap();
        let checker = Checker::new(schema).unwrap();
        let expected = validator.check_thoroughly(value).err().map(|error| error.violations_json().into_owned());
        let text = value.to_string();
        let json: crate::core::text::Json<'_> = serde_json::from_str(&text).unwrap();
        prop_assert!(!checker.fits_text(&text, None) || expected.is_none(), "{}", value);
        for outcome in [checker.check(&value.as_value()), checker.check(&json.as_value())] {
            match outcome {
                Outcome::Fits => prop_assert_eq!(&None, &expected, "{}", value),
                Outcome::Broken(found) => {
                    prop_assert!(serde_json::from_str::<Vec<Violation>>(&found).is_ok());
                    prop_assert_eq!(Some(found), expected.clone(), "{}", value);
                }
                Outcome::Unsure => {}
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_says_what_the_validator_says(at in 0..3_usize, value in prop_oneof![values(), nearly_right()]) {
            compare(at, &value)?;
        }
    }

    #[test]
    fn it_is_sure_of_common_values() {
        let checker = Checker::new(&schemas()[0]).unwrap();
        let right = json!({"email": "a@b.de", "a/b~\"c": "abc", "age": 36, "kind": "b", "tags": ["a"], "other": null});
        assert_eq!(checker.check(&right.as_value()), Outcome::Fits);
        assert!(checker.fits_text(&right.to_string(), None));
        let wrong =
            json!({"email": "a", "a/b~\"c": "abcd", "age": 151, "kind": "c", "tags": ["A", 1], "other": 5, "more": 1});
        let Outcome::Broken(found) = checker.check(&wrong.as_value()) else { panic!("{wrong}") };
        assert_eq!(serde_json::from_str::<Vec<Violation>>(&found).unwrap().len(), 14);
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_validator() {
        for (schema, value) in [
            (json!({"private": true, "type": ["string", "null"]}), json!(null)),
            (json!({"type": "integer"}), json!(1.0)),
            (json!({"multipleOf": 2}), json!(0.5)),
            (json!({"uniqueItems": true}), json!([1, 1.0])),
            (json!({"oneOf": [true, {"type": "null"}]}), json!(null)),
            (json!({"items": {"type": "string"}}), Value::Array((0..200).map(Value::from).collect())),
        ] {
            assert_eq!(Checker::new(&schema).unwrap().check(&value.as_value()), Outcome::Unsure, "{schema}");
        }
        for schema in [
            json!(false),
            json!({"not": {}}),
            json!({"errorMessage": "no"}),
            json!({"enum": [1]}),
            json!({"const": null}),
            json!({"multipleOf": 0.1}),
            json!({"minLength": 1.0}),
            json!({"properties": {"a": {"unevaluatedProperties": false}}}),
            json!({"additionalProperties": {"type": "string"}}),
            json!({"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor"}}}),
            json!({"$id": "https://example.org/a"}),
        ] {
            assert!(Checker::new(&schema).is_none(), "{schema}");
        }
    }

    #[test]
    fn plain_texts_have_the_format() {
        for (format, is_plain, texts) in [
            ("email", is_plain_email as fn(&str) -> bool, ["a@b.de", "a.b+c_d-e@x-y.example.org", "A1@9a.Z9"]),
            (
                "date-time",
                is_plain_date_time,
                ["2024-02-28T23:59:59Z", "0000-12-01T00:00:00.123456789Z", "9999-01-01T00:00:00.0Z"],
            ),
        ] {
            let leaf = Leaf::new("format", &json!(format));
            for text in texts {
                assert!(is_plain(text) && leaf.fits(&json!(text)), "{text}");
                // Whatever is one character off is plain only where it has the format all the same.
                for at in 0..text.len() {
                    for other in ["", "@", ".", "-", "0", "9", "T", "z", "Z", ":", " ", "é", "\0", "--"] {
                        let near = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                        assert!(!is_plain(&near) || leaf.fits(&json!(near)), "{near}");
                    }
                }
            }
        }
        let long = format!("{}@b.de", "a".repeat(65));
        assert!(!is_plain_email(&long));
    }
}
