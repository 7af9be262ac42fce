//! Checks JSON text while it is read, without making anything of it.
//!
//! This tells of a text that it fits, or nothing: what is wrong, and what can only be seen of a value as a whole, is for those who
//! have one. A member that stands twice is checked twice, so that it fits whichever of the two counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Checker, Node, Property, Rule, Run, Types};
use crate::core::text::{Json, NUMBER};
use crate::core::value::{AsValue as _, ValueRef};

/// How a text is checked that a node speaks of.
pub(super) enum Plan {
    /// As a tree: a rule looks at several of its parts at once, or several look at one.
    Whole,
    /// As another node says.
    Same(usize),
    /// One token after the other.
    Direct(Parts),
}

/// What is said of the parts of a value.
pub(super) struct Parts {
    items: Option<usize>,
    /// Which of the named members have to be there, each by a bit.
    required: u64,
    closed: bool,
}

impl Plan {
    pub(super) fn of(rules: &[Rule]) -> Self {
        if let [Rule::Reference(node)] = rules {
            return Self::Same(*node);
        }
        Parts::of(rules).map_or(Self::Whole, Self::Direct)
    }
}

impl Parts {
    fn of(rules: &[Rule]) -> Option<Self> {
        let mut parts = Self { items: None, required: 0, closed: false };
        let properties = properties(rules);
        if properties.len() > u64::BITS as usize {
            return None;
        }
        for rule in rules {
            match rule {
                Rule::Unique | Rule::Reference(_) | Rule::AllOf(_) | Rule::AnyOf(..) | Rule::OneOf(..) => return None,
                Rule::Items(node) => parts.items = Some(*node),
                Rule::Closed(..) => parts.closed = true,
                Rule::Required(required) => {
                    for (name, _) in required {
                        let at = properties.iter().position(|property| property.name == *name)?;
                        parts.required |= 1 << at;
                    }
                }
                _ => {}
            }
        }
        Some(parts)
    }
}

/// Whether the rule has nothing against an array, or an object, as such.
fn allows(rule: &Rule, kind: u8) -> bool {
    match rule {
        Rule::Type(types, _) => types.has(kind),
        Rule::Texts(..) => false,
        _ => true,
    }
}

/// The members that the rules name.
fn properties(rules: &[Rule]) -> &[Property] {
    let mut named = rules.iter().filter_map(|rule| match rule {
        Rule::Properties(properties) => Some(properties.as_slice()),
        _ => None,
    });
    named.next().unwrap_or_default()
}

/// Whether a value is, where there are names, an object that has no members of these.
pub(crate) fn is_without(value: &ValueRef<'_>, names: Option<&[&str]>) -> bool {
    match (names, value) {
        (None, _) => true,
        (Some(names), ValueRef::Object(object)) => names.iter().all(|name| object.get(name).is_none()),
        (Some(_), _) => false,
    }
}

impl Checker {
    /// Whether the text is known to fit. With names it is also an object that has no members of these.
    pub(crate) fn fits_text(&self, text: &str, without: Option<&'static [&'static str]>) -> bool {
        let mut reader = serde_json::Deserializer::from_str(text);
        let reading = Reading { nodes: &self.nodes, node: 0, without };
        reading.deserialize(&mut reader).and_then(|()| reader.end()).is_ok()
    }
}

/// A value that is about to be read.
#[derive(Clone, Copy)]
struct Reading<'c> {
    nodes: &'c [Node],
    /// What speaks of it.
    node: usize,
    /// The names that it may not have as an object, which it has to be then.
    without: Option<&'static [&'static str]>,
}

/// What ends the reading. Nobody sees it.
fn unsure<E: Error>() -> E {
    E::custom("not known to fit")
}

impl Reading<'_> {
    fn check<E: Error>(self, value: &ValueRef<'_>) -> Result<(), E> {
        let mut run = Run::new(self.nodes);
        match run.visit(self.node, value) {
            Some(()) if run.found == 0 => Ok(()),
            _ => Err(unsure()),
        }
    }

    fn scalar<E: Error>(self, value: &ValueRef<'_>) -> Result<(), E> {
        if self.without.is_some() { Err(unsure()) } else { self.check(value) }
    }

    fn parts<E: Error>(&self) -> Result<(&[Rule], &Parts), E> {
        match self.nodes.get(self.node) {
            Some(Node { rules, plan: Plan::Direct(parts), .. }) => Ok((rules, parts)),
            _ => Err(unsure()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match self.nodes.get(self.node).map(|node| &node.plan) {
            Some(Plan::Direct(_)) => reader.deserialize_any(self),
            Some(Plan::Same(node)) => Self { node: *node, ..self }.deserialize(reader),
            _ => {
                let value: Json<'_> = serde::Deserialize::deserialize(reader)?;
                let view = value.as_value();
                if is_without(&view, self.without) { self.check(&view) } else { Err(unsure()) }
            }
        }
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(&ValueRef::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(&ValueRef::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&ValueRef::Int(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(&ValueRef::UInt(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(&ValueRef::Float(value))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(&ValueRef::Str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.without.is_some() {
            return Err(unsure());
        }
        let (rules, parts) = self.parts()?;
        let mut count = 0;
        match parts.items {
            Some(node) => {
                while items.next_element_seed(Self { node, ..self })?.is_some() {
                    count += 1;
                }
            }
            None => {
                while items.next_element::<Json<'_>>()?.is_some() {
                    count += 1;
                }
            }
        }
        let fits = rules.iter().all(|rule| match rule {
            Rule::MinItems(least, _) => count >= *least,
            Rule::MaxItems(most, _) => count <= *most,
            rule => allows(rule, Types::ARRAY),
        });
        if fits { Ok(()) } else { Err(unsure()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (rules, parts) = self.parts()?;
        let properties = properties(rules);
        let mut present = 0_u64;
        let mut next = 0;
        while let Some(found) = members.next_key_seed(Naming { properties, next, without: self.without })? {
            match found.and_then(|at| Some((at, properties.get(at)?))) {
                Some((at, property)) => {
                    present |= 1 << at;
                    next = at + 1;
                    members.next_value_seed(Self { node: property.node, without: None, ..self })?;
                }
                None if parts.closed => return Err(unsure()),
                None => {
                    // Read as a value, so that it is one.
                    members.next_value::<Json<'_>>()?;
                }
            }
        }
        let is_object = rules.iter().all(|rule| allows(rule, Types::OBJECT));
        if present & parts.required == parts.required && is_object { Ok(()) } else { Err(unsure()) }
    }
}

/// The name of a member that is about to be read: which of these it is.
struct Naming<'c> {
    properties: &'c [Property],
    /// Where it stands when the members are in the order of the schema.
    next: usize,
    without: Option<&'static [&'static str]>,
}

impl<'de> DeserializeSeed<'de> for Naming<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<usize>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Naming<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let is_it = |property: &Property| *property.name == *name;
        if self.without.is_some_and(|names| names.contains(&name)) || name == NUMBER {
            return Err(unsure());
        }
        if self.properties.get(self.next).is_some_and(is_it) {
            return Ok(Some(self.next));
        }
        Ok(self.properties.iter().position(is_it))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fits(schema: &Value, text: &str, without: Option<&'static [&'static str]>) -> bool {
        Checker::new(schema).unwrap().fits_text(text, without)
    }

    #[test]
    fn only_what_is_whole_and_known_is_sure() {
        let schema = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"type": "array", "items": {"$ref": "#/$defs/B"}}},
            "$defs": {"B": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"c": {"maxLength": 2}}}]}},
        });
        for text in
            [r#" {"a": 1} "#, r#"{"b": [null, {}, {"c": "xy", "d": {"_id": 1}}], "a": 7}"#, r#"{"\u0061": 1, "a": 2}"#]
        {
            assert!(fits(&schema, text, None), "{text}");
        }
        for text in [
            "",
            "{",
            "[]",
            "1",
            r#"{"a": 1} 1"#,
            r#"{"a": 1,}"#,
            r#"{}"#,
            r#"{"a": 0}"#,
            r#"{"a": 1.0}"#,
            r#"{"a": 18446744073709551616}"#,
            r#"{"a": 1, "x": 2}"#,
            r#"{"a": 0, "a": 1}"#,
            r#"{"a": 1, "b": [1]}"#,
            r#"{"a": 1, "b": {}}"#,
            r#"{"a": 1, "b": [{"c": "xyz"}]}"#,
            r#"{"a": 1, "b": [{"c": "\ud800"}]}"#,
            &format!(r#"{{"a": 1, "b": {}1{}}}"#, "[".repeat(130), "]".repeat(130)),
        ] {
            assert!(!fits(&schema, text, None), "{text}");
        }
    }

    #[test]
    fn what_nothing_is_said_of_has_to_be_json_all_the_same() {
        let open = json!({"properties": {"a": true}});
        for text in [r#"{"a": [1], "b": {"c": [null]}}"#, "[1, [2]]", "null", r#""x""#] {
            assert!(fits(&open, text, None), "{text}");
        }
        for text in [
            r#"{"a": 1e999}"#,
            r#"{"b": 1e999}"#,
            "[1e999]",
            r#"{"b": "\ud800"}"#,
            "[1,]",
            r#"{"$serde_json::private::Number": "1"}"#,
        ] {
            assert!(!fits(&open, text, None), "{text}");
        }
    }

    #[test]
    fn a_document_has_no_member_of_these_names() {
        const NAMES: Option<&[&str]> = Some(&["_id", "_rev"]);
        let schemas = [
            json!({}),
            json!({"properties": {"_id": true}}),
            json!({"anyOf": [{}]}),
            json!({"$ref": "#/$defs/A", "$defs": {"A": {}}}),
        ];
        for schema in &schemas {
            assert!(fits(schema, r#"{"a": {"_id": 1}}"#, NAMES), "{schema}");
            for text in [r#"{"a": 1, "_id": "x"}"#, r#"{"\u005frev": 1}"#, "[]", "null", "1", r#""_id""#] {
                assert!(!fits(schema, text, NAMES), "{schema} {text}");
            }
        }
    }
}
