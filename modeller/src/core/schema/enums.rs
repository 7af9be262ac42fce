//! Enums whose variants are texts, as one list.
//!
//! A variant with a doc comment has a schema of its own in what is derived, so that a wrong text would be told of once for each
//! variant and once more for `oneOf`. Here they are one `enum` again, which says in a single violation what there is to choose
//! from; the texts of the doc comments are kept beside it, under `x-enumDescriptions`, by variant.

use schemars::Schema;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Map, Value, json};

/// Where the texts about the variants are.
pub(crate) const DESCRIPTIONS: &str = "x-enumDescriptions";

/// Makes one `enum` of the variants that are texts, in a schema and all that is in it.
pub(super) fn joined() -> impl Transform + Clone + Send + 'static {
    RecursiveTransform(join as fn(&mut Schema))
}

/// Texts, with what is said of them.
#[derive(Default)]
struct Texts {
    values: Vec<Value>,
    descriptions: Map<String, Value>,
}

impl Texts {
    /// Takes the texts of a schema that says nothing but which they are. False when it says something else.
    fn take(&mut self, schema: &Value) -> bool {
        let Some(members) = schema.as_object().filter(|members| members.get("type") == Some(&json!("string"))) else {
            return false;
        };
        if !members.keys().all(|keyword| ["type", "const", "enum", "description"].contains(&keyword.as_str())) {
            return false;
        }
        match (members.get("const"), members.get("enum").and_then(Value::as_array), members.get("description")) {
            (Some(Value::String(text)), None, description) => {
                if let Some(description) = description {
                    self.descriptions.insert(text.clone(), description.clone());
                }
                self.values.push(text.as_str().into());
            }
            (None, Some(texts), None) => self.values.extend(texts.iter().cloned()),
            _ => return false,
        }
        true
    }

    fn write(self, schema: &mut Map<String, Value>) {
        schema.insert("type".into(), "string".into());
        schema.insert("enum".into(), self.values.into());
        if !self.descriptions.is_empty() {
            schema.insert(DESCRIPTIONS.into(), self.descriptions.into());
        }
    }
}

fn join(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else { return };
    let Some(Value::Array(variants)) = members.get_mut("oneOf") else { return };
    let mut texts = Texts::default();
    let mut first = None;
    let mut rest = Vec::new();
    for variant in variants.drain(..) {
        if texts.take(&variant) {
            first.get_or_insert(rest.len());
        } else {
            rest.push(variant);
        }
    }
    let alone = rest.is_empty() && !["type", "enum", "const"].into_iter().any(|keyword| members.contains_key(keyword));
    match first {
        Some(_) if alone => {
            members.remove("oneOf");
            texts.write(members);
        }
        Some(at) => {
            let mut joined = Map::new();
            texts.write(&mut joined);
            rest.insert(at, joined.into());
            members.insert("oneOf".into(), rest.into());
        }
        None => drop(members.insert("oneOf".into(), rest.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::schema::{output_schema_of, schema_of};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Role {
        Guest,
        /// May change others.
        Admin,
        /// May read.
        #[serde(rename = "the-reader")]
        Reader,
        Other,
    }

    /// What happened.
    #[derive(JsonSchema, Serialize, Deserialize)]
    enum Event {
        /// Nothing more is known.
        Seen,
        /// With a number.
        Counted(u8),
        /// It went.
        Gone,
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        /// Nothing in it.
        Empty,
        /// A role in it.
        With { role: Role },
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(tag = "t", content = "c")]
    enum Adjacent {
        /// Nothing in it.
        Empty,
        /// A role in it.
        With(Role),
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        /// One.
        One(Role),
        /// Several.
        Several(Vec<Role>),
    }

    fn role() -> Value {
        json!({"type": "string", "enum": ["guest", "other", "admin", "the-reader"],
               "x-enumDescriptions": {"admin": "May change others.", "the-reader": "May read."}})
    }

    #[test]
    fn variants_with_texts_of_their_own_are_one_list() {
        for schema in [schema_of::<Role>().to_value(), output_schema_of::<Role>().to_value()] {
            for (keyword, value) in role().as_object().unwrap() {
                assert_eq!(&schema[keyword], value, "{schema}");
            }
            assert_eq!(schema.get("oneOf"), None);
        }
    }

    #[test]
    fn texts_among_others_are_one_of_them() {
        let event = schema_of::<Event>().to_value();
        let variants = event["oneOf"].as_array().unwrap();
        assert_eq!((variants.len(), &event["description"]), (2, &json!("What happened.")));
        let texts = json!({"type": "string", "enum": ["Seen", "Gone"],
                           "x-enumDescriptions": {"Seen": "Nothing more is known.", "Gone": "It went."}});
        assert_eq!(variants[0], texts);
        assert_eq!(variants[1]["required"], json!(["Counted"]));
    }

    #[test]
    fn other_representations_keep_their_objects() {
        for (schema, many) in [(schema_of::<Tagged>().to_value(), 2), (schema_of::<Adjacent>().to_value(), 2)] {
            assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(many), "{schema}");
            assert_eq!(schema["$defs"]["Role"], role());
        }
        let untagged = schema_of::<Untagged>().to_value();
        assert_eq!(untagged["anyOf"].as_array().map(Vec::len), Some(2));
        assert_eq!(untagged["$defs"]["Role"], role());
    }

    #[test]
    fn what_says_more_is_left_alone() {
        for schema in [
            json!({"oneOf": [{"type": "string", "const": "a", "deprecated": true}, {"type": "integer"}]}),
            json!({"oneOf": [{"type": "string", "minLength": 2}, {"type": "string", "format": "email"}]}),
            json!({"oneOf": [{"const": 1}, {"const": 2}]}),
            json!({"oneOf": []}),
        ] {
            let mut joined = Schema::try_from(schema.clone()).unwrap();
            join(&mut joined);
            assert_eq!(joined.to_value(), schema);
        }
    }
}
