//! The schemas inside of a schema: which keywords hold them, and what they speak of.

use serde_json::Value;

/// What a schema inside of a schema speaks of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// The same value.
    Same,
    /// The same value, if it happens to fit another schema.
    Maybe,
    /// A member or an element of the value.
    Part,
    /// Nothing by itself: it is referred to.
    Definition,
}

/// Keywords whose value is a schema.
const SINGLE: &[(&str, Role)] = &[
    ("not", Role::Maybe),
    ("if", Role::Maybe),
    ("then", Role::Maybe),
    ("else", Role::Maybe),
    ("additionalProperties", Role::Part),
    ("unevaluatedProperties", Role::Part),
    ("propertyNames", Role::Definition),
    ("items", Role::Part),
    ("contains", Role::Part),
    ("unevaluatedItems", Role::Part),
];

/// Keywords whose value is a list of schemas.
const LISTS: &[(&str, Role)] =
    &[("allOf", Role::Same), ("anyOf", Role::Maybe), ("oneOf", Role::Maybe), ("prefixItems", Role::Part)];

/// Keywords whose value is an object of schemas.
const NAMED: &[(&str, Role)] = &[
    ("properties", Role::Part),
    ("patternProperties", Role::Part),
    ("dependentSchemas", Role::Maybe),
    ("$defs", Role::Definition),
    ("definitions", Role::Definition),
];

/// One schema inside of another one.
pub(super) struct Inner<'a> {
    pub(super) role: Role,
    pub(super) keyword: &'static str,
    /// The name or the position below the keyword.
    pub(super) name: Option<String>,
    pub(super) schema: &'a Value,
}

impl Inner<'_> {
    /// What leads to it, as a part of a JSON pointer.
    pub(super) fn place(&self) -> String {
        match &self.name {
            None => format!("/{}", self.keyword),
            Some(name) => format!("/{}/{}", self.keyword, escaped(name)),
        }
    }
}

/// A name as a token of a JSON pointer (RFC 6901 §3).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The schemas directly inside of this one. What is no schema (an example, a default) is not looked into.
pub(super) fn inside(schema: &Value) -> Vec<Inner<'_>> {
    let mut all = Vec::new();
    let Value::Object(members) = schema else { return all };
    for (keyword, role) in SINGLE {
        if let Some(schema) = members.get(*keyword) {
            all.push(Inner { role: *role, keyword, name: None, schema });
        }
    }
    for (keyword, role) in LISTS {
        let list = members.get(*keyword).and_then(Value::as_array).into_iter().flatten();
        all.extend(list.enumerate().map(|(at, schema)| Inner {
            role: *role,
            keyword,
            name: Some(at.to_string()),
            schema,
        }));
    }
    for (keyword, role) in NAMED {
        let named = members.get(*keyword).and_then(Value::as_object).into_iter().flatten();
        all.extend(named.map(|(name, schema)| Inner { role: *role, keyword, name: Some(name.clone()), schema }));
    }
    all
}

/// The same to be changed, with what leads to each of them; also those of draft-07's `dependencies`.
pub(super) fn inside_mut(schema: &mut Value) -> Vec<(String, &mut Value)> {
    let Value::Object(members) = schema else { return Vec::new() };
    let is = |known: &[(&str, Role)], keyword: &str| known.iter().any(|(known, _)| *known == keyword);
    let mut all = Vec::new();
    for (keyword, value) in members {
        match value {
            schema if is(SINGLE, keyword) => all.push((format!("/{keyword}"), schema)),
            Value::Array(list) if is(LISTS, keyword) => {
                all.extend(list.iter_mut().enumerate().map(|(at, schema)| (format!("/{keyword}/{at}"), schema)));
            }
            Value::Object(named) if is(NAMED, keyword) || keyword == "dependencies" => {
                let named = named.iter_mut().filter(|(_, schema)| !schema.is_array());
                all.extend(named.map(|(name, schema)| (format!("/{keyword}/{}", escaped(name)), schema)));
            }
            _ => {}
        }
    }
    all
}

/// Where a `$ref` of this kind stands first in a schema, and what it says.
pub(crate) fn find_reference(root: &Value, is_meant: impl Fn(&str) -> bool) -> Option<(String, &str)> {
    let mut said = all(root).into_iter().filter_map(|(place, schema)| Some((place, schema.get("$ref")?.as_str()?)));
    said.find(|(_, reference)| is_meant(reference))
}

/// What the `$ref` of a schema leads to: `None` without one, and an error where it does not lead into `root` by a pointer.
pub(super) fn referred<'a>(root: &'a Value, schema: &Value) -> Result<Option<&'a Value>, String> {
    let Some(Value::String(path)) = schema.get("$ref") else { return Ok(None) };
    path.strip_prefix('#')
        .and_then(|pointer| root.pointer(pointer))
        .map(Some)
        .ok_or_else(|| format!("`{path}` does not lead into the schema by a pointer"))
}

/// Every schema with its place, in the order of a walk from the root down.
pub(super) fn all(root: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut open = vec![("#".to_owned(), root)];
    while let Some((place, schema)) = open.pop() {
        open.extend(inside(schema).into_iter().map(|inner| (format!("{place}{}", inner.place()), inner.schema)));
        found.push((place, schema));
    }
    found
}
