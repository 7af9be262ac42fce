//! Fills in what a value lacks and its schema has a `default` for. A typed value gets its defaults from its type; this is for
//! values that are JSON.
//!
//! As in AJV with `useDefaults`, a default counts where the schema is sure to apply: below `properties`, `prefixItems`, `items`
//! and `additionalProperties`, through `allOf` and `$ref`. Inside `anyOf`, `oneOf`, `not`, `if` and `patternProperties` it says
//! nothing but what a reader can expect. (AJV manual, "Modifying data during validation", "Assigning defaults".)

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::walk::{self, Role};
use crate::error::{Error, ErrorCode, Result};

/// How many defaults one value may need. A schema whose defaults need defaults could go on without end.
const MAX_FILLED: usize = 10_000;

/// How deep defaults are filled in: a value cannot be nested deeper.
const MAX_DEPTH: usize = 127;

/// The defaults of one schema.
pub(super) struct Defaults(Vec<Node>);

/// What is filled into the values of one schema.
#[derive(Default)]
struct Node {
    members: Vec<(String, Slot)>,
    /// All members but those that this very schema names.
    others: Option<(usize, HashSet<String>)>,
    first: Vec<Slot>,
    /// Elements after the first ones.
    elements: Option<usize>,
    /// Schemas of the same value, at whatever distance.
    same: Vec<usize>,
}

/// What stands for a member or an element that is missing, and what is filled into it.
struct Slot {
    default: Option<Value>,
    node: usize,
}

impl Defaults {
    /// The defaults of a schema; `None` when it has none that count.
    pub(super) fn of(root: &Value) -> Option<Self> {
        let mut builder = Builder { root, known: HashMap::new(), nodes: Vec::new() };
        builder.node(root);
        let has = builder.nodes.iter().any(|node| {
            let mut slots = node.members.iter().map(|(_, slot)| slot).chain(&node.first);
            slots.any(|slot| slot.default.is_some())
        });
        has.then_some(Self(builder.nodes))
    }

    /// Fills in what a value lacks.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE` where there is no end to it.
    pub(super) fn fill(&self, value: &mut Value) -> Result<()> {
        let mut left = MAX_FILLED;
        self.at(0, value, 0, &mut left)
    }

    fn at(&self, node: usize, value: &mut Value, depth: usize, left: &mut usize) -> Result<()> {
        let same = self.0.get(node).map_or(&[][..], |node| &node.same);
        std::iter::once(&node).chain(same).try_for_each(|node| self.alone(*node, value, depth, left))
    }

    /// What one schema says, without those that it leads to.
    fn alone(&self, node: usize, value: &mut Value, depth: usize, left: &mut usize) -> Result<()> {
        let endless = || {
            Error::new(ErrorCode::PayloadTooLarge)
                .message(format!("the value lacks more than {MAX_FILLED} defaults, or they are nested too deep"))
        };
        let Some(node) = self.0.get(node) else { return Ok(()) };
        if depth > MAX_DEPTH {
            return Err(endless());
        }
        let mut fill = |default: &Value| {
            *left = left.checked_sub(1).ok_or_else(endless)?;
            Ok::<Value, Error>(default.clone())
        };
        match value {
            Value::Object(object) => {
                for (name, slot) in &node.members {
                    if let (None, Some(default)) = (object.get(name), &slot.default) {
                        object.insert(name.clone(), fill(default)?);
                    }
                }
                for (name, slot) in &node.members {
                    if let Some(member) = object.get_mut(name) {
                        self.at(slot.node, member, depth + 1, left)?;
                    }
                }
                if let Some((others, named)) = &node.others {
                    for (_, member) in object.iter_mut().filter(|(name, _)| !named.contains(*name)) {
                        self.at(*others, member, depth + 1, left)?;
                    }
                }
            }
            Value::Array(array) => {
                for (at, slot) in node.first.iter().enumerate() {
                    if let (true, Some(default)) = (array.len() == at, &slot.default) {
                        array.push(fill(default)?);
                    }
                }
                for (at, element) in array.iter_mut().enumerate() {
                    let node = node.first.get(at).map(|slot| slot.node).or(node.elements);
                    if let Some(node) = node {
                        self.at(node, element, depth + 1, left)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

struct Builder<'a> {
    root: &'a Value,
    known: HashMap<*const Value, usize>,
    nodes: Vec<Node>,
}

impl<'a> Builder<'a> {
    fn node(&mut self, schema: &'a Value) -> usize {
        let address = std::ptr::from_ref(schema);
        if let Some(at) = self.known.get(&address) {
            return *at;
        }
        let at = self.nodes.len();
        self.known.insert(address, at);
        self.nodes.push(Node::default());
        let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let members: Vec<(String, Slot)> = members.map(|(name, it)| (name.clone(), self.slot(it))).collect();
        let first = schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
        let first = first.map(|it| self.slot(it)).collect();
        let others = schema.get("additionalProperties").filter(|_| schema.get("patternProperties").is_none());
        let others = others.map(|it| {
            let named = schema.get("properties").and_then(Value::as_object);
            (self.node(it), named.into_iter().flat_map(Map::keys).cloned().collect())
        });
        let elements = schema.get("items").map(|it| self.node(it));
        let same = self.same(schema).into_iter().map(|it| self.node(it)).collect();
        if let Some(node) = self.nodes.get_mut(at) {
            *node = Node { members, others, first, elements, same };
        }
        at
    }

    fn slot(&mut self, schema: &'a Value) -> Slot {
        Slot { default: schema.get("default").cloned(), node: self.node(schema) }
    }

    /// The schemas that `$ref` and `allOf` of this one lead to, each once.
    fn same(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut seen = HashSet::from([std::ptr::from_ref(schema)]);
        let mut all = Vec::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            let beside = walk::inside(schema).into_iter().filter(|inner| inner.role == Role::Same);
            let next = beside.map(|inner| inner.schema).chain(walk::referred(self.root, schema).ok().flatten());
            for schema in next.filter(|schema| seen.insert(std::ptr::from_ref(*schema))) {
                all.push(schema);
                open.push(schema);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(schema: &Value, mut value: Value) -> Value {
        if let Some(defaults) = Defaults::of(schema) {
            defaults.fill(&mut value).unwrap();
        }
        value
    }

    #[test]
    fn as_in_the_manual_of_ajv() {
        let schema = json!({"type": "object", "properties": {"foo": {"type": "number"}, "bar": {"type": "string", "default": "baz"}}});
        assert_eq!(filled(&schema, json!({"foo": 1})), json!({"foo": 1, "bar": "baz"}));
        let schema =
            json!({"type": "array", "prefixItems": [{"type": "number"}, {"type": "string", "default": "foo"}]});
        assert_eq!(filled(&schema, json!([1])), json!([1, "foo"]));
        assert_eq!(filled(&schema, json!([])), json!([]));
        // Not where it depends on something.
        for keyword in ["anyOf", "oneOf"] {
            let schema = json!({keyword: [{"properties": {"a": {"default": 1}}}]});
            assert_eq!(filled(&schema, json!({})), json!({}), "{keyword}");
        }
        for keyword in ["not", "if", "then", "else"] {
            let schema = json!({keyword: {"properties": {"a": {"default": 1}}}});
            assert_eq!(filled(&schema, json!({})), json!({}), "{keyword}");
        }
    }

    #[test]
    fn at_every_depth() {
        let leaf = json!({"properties": {"a": {"default": 1}}});
        let schema = json!({"properties": {
            "o": {"properties": {"p": leaf}, "default": {"p": {}}},
            "l": {"items": leaf}, "m": {"additionalProperties": leaf, "properties": {"own": {}}},
            "r": {"$ref": "#/$defs/leaf"}, "all": {"allOf": [leaf, {"properties": {"b": {"default": [2]}}}]},
            "n": {"default": null}}, "$defs": {"leaf": leaf}});
        assert_eq!(
            filled(&schema, json!({"l": [{}, 3, {"a": 2}], "m": {"x": {}, "own": {}}, "r": {}, "all": {}})),
            json!({"l": [{"a": 1}, 3, {"a": 2}], "m": {"x": {"a": 1}, "own": {}}, "r": {"a": 1},
                   "all": {"a": 1, "b": [2]}, "o": {"p": {"a": 1}}, "n": null})
        );
        // What is there stays, also `null`.
        assert_eq!(filled(&leaf, json!({"a": null})), json!({"a": null}));
    }

    #[test]
    fn defaults_without_end_are_an_error() {
        for schema in [
            json!({"properties": {"a": {"$ref": "#", "default": {}}}}),
            json!({"properties": {"a": {"$ref": "#", "default": {}}, "b": {"$ref": "#", "default": {}}}}),
        ] {
            let error = Defaults::of(&schema).unwrap().fill(&mut json!({})).unwrap_err();
            assert_eq!(error.code(), &ErrorCode::PayloadTooLarge);
        }
    }
}
