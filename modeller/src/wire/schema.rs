//! JSON Schemas in other forms: those of draft-07, for tools that know nothing newer, and what the description of a server needs.

use serde_json::{Map, Value, json};

/// Keywords whose value is a schema.
const SINGLE: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
];
/// Keywords whose value is a list of schemas; `items` in draft-07, too.
const LISTS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value is an object of schemas.
const NAMED: &[&str] = &["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];

/// Visits a schema and all schemas inside of it, the inner ones first. Examples, defaults and the like are no schemas.
pub(crate) fn each(schema: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = schema else { return };
    for (keyword, value) in members.iter_mut() {
        let keyword = keyword.as_str();
        match value {
            Value::Object(_) if SINGLE.contains(&keyword) => each(value, visit),
            Value::Array(list) if LISTS.contains(&keyword) => list.iter_mut().for_each(|inner| each(inner, visit)),
            Value::Object(named) if NAMED.contains(&keyword) => named.values_mut().for_each(|inner| each(inner, visit)),
            _ => {}
        }
    }
    visit(members);
}

/// A schema of draft 2020-12 as one of draft-07: definitions are `definitions`, tuples are `items`, and what stands beside a `$ref`,
/// which draft-07 does not look at, is joined to it by `allOf`. What draft-07 has no word for, `unevaluatedProperties` and the like,
/// is left out: such a schema takes more there.
///
/// ```
/// # use modeller::wire::metadata::draft_07;
/// # use modeller::__private::serde_json::{self, json};
/// let schema = json!({"properties": {"a": {"$ref": "#/$defs/A", "default": 1}}, "$defs": {"A": {"type": "integer"}}});
/// let expected = json!({
///     "$schema": "http://json-schema.org/draft-07/schema#",
///     "properties": {"a": {"allOf": [{"$ref": "#/definitions/A"}], "default": 1}},
///     "definitions": {"A": {"type": "integer"}},
/// });
/// assert_eq!(draft_07(&schema), expected);
/// ```
#[must_use]
pub fn draft_07(schema: &Value) -> Value {
    let mut schema = schema.clone();
    each(&mut schema, &mut |members| {
        members.remove("$schema");
        if let Some(Value::String(path)) = members.get_mut("$ref") {
            *path = path.replace("#/$defs/", "#/definitions/").replace("/$defs/", "/definitions/");
        }
        if let Some(Value::Object(mut defs)) = members.remove("$defs") {
            if let Some(Value::Object(more)) = members.remove("definitions") {
                defs.extend(more);
            }
            members.insert("definitions".into(), Value::Object(defs));
        }
        if let Some(tuple) = members.remove("prefixItems") {
            if let Some(rest) = members.remove("items") {
                members.insert("additionalItems".into(), rest);
            }
            members.insert("items".into(), tuple);
        }
        dependencies(members);
        for word in ["unevaluatedProperties", "unevaluatedItems", "minContains", "maxContains"] {
            // `minContains: 0` is that `contains` asks for nothing.
            if members.remove(word).is_some_and(|value| word == "minContains" && value == 0) {
                members.remove("contains");
            }
        }
        if members.len() > 1
            && let Some(path) = members.remove("$ref")
        {
            let all = members.entry("allOf").or_insert_with(|| json!([]));
            if let Value::Array(all) = all {
                all.insert(0, json!({"$ref": path}));
            }
        }
    });
    if let Value::Object(members) = &mut schema {
        let named = json!("http://json-schema.org/draft-07/schema#");
        let rest = std::mem::take(members);
        members.insert("$schema".into(), named);
        members.extend(rest);
    }
    schema
}

/// `dependentRequired` and `dependentSchemas` are one keyword in draft-07.
fn dependencies(members: &mut Map<String, Value>) {
    let mut joined = Map::new();
    for word in ["dependentRequired", "dependentSchemas"] {
        let Some(Value::Object(of)) = members.remove(word) else { continue };
        for (name, needs) in of {
            let needs = match joined.remove(&name) {
                None => needs,
                // Both: what is required, and a schema.
                Some(required) => json!({"allOf": [{"required": required}, needs]}),
            };
            joined.insert(name, needs);
        }
    }
    if !joined.is_empty() {
        members.insert("dependencies".into(), Value::Object(joined));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_07_says_the_same_in_its_own_words() {
        let named = "http://json-schema.org/draft-07/schema#";
        for (schema, expected) in [
            (json!(true), json!(true)),
            (
                json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array",
                       "prefixItems": [{"$ref": "#/$defs/A"}, true], "items": false, "$defs": {"A": {"type": "null"}}}),
                json!({"$schema": named, "type": "array", "items": [{"$ref": "#/definitions/A"}, true],
                       "additionalItems": false, "definitions": {"A": {"type": "null"}}}),
            ),
            (
                json!({"properties": {"$defs": {"$ref": "#/$defs/A/properties/b", "private": true}, "prefixItems": {}},
                       "default": {"$ref": "#/$defs/A"}, "$defs": {"A": {"properties": {"b": {"$ref": "#"}}}}}),
                json!({"$schema": named,
                       "properties": {"$defs": {"allOf": [{"$ref": "#/definitions/A/properties/b"}], "private": true}, "prefixItems": {}},
                       "default": {"$ref": "#/$defs/A"}, "definitions": {"A": {"properties": {"b": {"$ref": "#"}}}}}),
            ),
            (
                json!({"dependentRequired": {"a": ["b"], "c": ["d"]}, "dependentSchemas": {"a": {"minProperties": 2}},
                       "contains": {"const": 1}, "minContains": 0, "unevaluatedProperties": false}),
                json!({"$schema": named, "dependencies": {"a": {"allOf": [{"required": ["b"]}, {"minProperties": 2}]}, "c": ["d"]}}),
            ),
        ] {
            assert_eq!(draft_07(&schema), expected, "{schema}");
        }
    }
}
