//! A model from a JSON Schema that was given at run time.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::defaults::Defaults;
use super::outside::OpenForm;
use super::registered::Schemas;
use super::shape::Shape;
use super::walk::{self, Role};
use super::{
    FieldSchema, Form, IndexSchema, Kind, MEMBERS_OF_THE_DOCUMENT, ModelSchema, Visibility, is_model_id, says_private,
};
use crate::core::json::Document;
use crate::core::private::Level;
use crate::core::query::update::nests_deeper;
use crate::core::reference::{KEYWORDS, Reference};
use crate::core::validate::Validator;
use crate::error::{Error, Result};

/// How deep a schema may be nested: as deep as JSON text that is read.
const MAX_NESTING: usize = 127;

/// Keywords of ours that are true or false.
const FLAGS: [&str; 5] = ["unique", "index", "private", "protected", "hidden"];

impl ModelSchema {
    /// Proves a schema that was given as JSON.
    ///
    /// # Errors
    /// `INVALID_DECLARATION` with what is wrong, and the place in the schema.
    pub(crate) fn prove_json(
        id: &str,
        access: Visibility,
        client_ids: bool,
        trash: Option<Duration>,
        json: Value,
        schemas: &Schemas,
    ) -> Result<Arc<Self>> {
        let wrong = |what: String| {
            Error::new("INVALID_DECLARATION").message(format!("the schema of the model `{id}`: {what}")).status(500)
        };
        if !is_model_id(id) {
            return Err(wrong("the id of the model must match [a-z][A-Za-z0-9_-]*".into()));
        }
        if nests_deeper(&json, MAX_NESTING) {
            return Err(wrong(format!("it is nested more than {MAX_NESTING} deep")));
        }
        if !json.is_object() {
            return Err(wrong("it is an object, which describes the documents".into()));
        }
        let json = schemas.contained(json).map_err(&wrong)?;
        let validator = Validator::new(&json).map_err(&wrong)?;
        check_keywords(&json).map_err(&wrong)?;
        let shape = Shape::of(&json).map_err(&wrong)?.map(Arc::new);
        let references = references(&json).map_err(&wrong)?;
        let open_form = shape.as_ref().map_or(Ok(None), |shape| OpenForm::of_shape(&json, shape)).map_err(&wrong)?;
        let mut fields = fields(&json, shape.as_deref()).map_err(&wrong)?;
        for field in &mut fields {
            // Who refers to a document is asked whenever one goes.
            field.index |= references.iter().any(|reference| *reference.field == *field.name);
        }
        let indexes = IndexSchema::all(&fields, &json).map_err(&wrong)?;
        Ok(Arc::new(Self {
            id: Cow::Owned(id.to_owned()),
            access,
            client_ids,
            trash,
            open: is_open(&json),
            has_private: says_private(&json),
            defaults: Defaults::of(&json),
            open_form,
            shape: Ok(shape),
            json,
            fields,
            indexes,
            references,
            kind: Kind::of::<Document>(),
            form: Form::Json,
            validator,
        }))
    }
}

/// The schemas that speak of the document as a whole, whatever it is, with their places.
fn of_the_document(root: &Value) -> Vec<(String, &Value)> {
    let mut found: Vec<(String, &Value)> = Vec::new();
    let mut open = vec![("#".to_owned(), root)];
    while let Some((place, schema)) = open.pop() {
        if found.iter().any(|(_, known)| std::ptr::eq(*known, schema)) {
            continue;
        }
        let same = walk::inside(schema).into_iter().filter(|inner| inner.role == Role::Same);
        open.extend(same.map(|inner| (format!("{place}{}", inner.place()), inner.schema)));
        if let (Some(path), Ok(Some(target))) =
            (schema.get("$ref").and_then(Value::as_str), walk::referred(root, schema))
        {
            open.push((path.to_owned(), target));
        }
        found.push((place, schema));
    }
    found
}

fn check_keywords(root: &Value) -> Result<(), String> {
    let top = of_the_document(root);
    let properties: Vec<&Value> =
        top.iter().filter_map(|(_, schema)| schema.get("properties")?.as_object()).flat_map(Map::values).collect();
    for (place, schema) in walk::all(root) {
        for keyword in FLAGS {
            // There they are lists of what belongs together, which are read with the indexes.
            let of_several = std::ptr::eq(schema, root) && matches!(keyword, "unique" | "index");
            if !of_several && schema.get(keyword).is_some_and(|value| !value.is_boolean()) {
                return Err(format!("`{place}/{keyword}`: is true or false"));
            }
        }
        let is_property = properties.iter().any(|property| {
            std::ptr::eq(*property, schema) || property.get("items").is_some_and(|items| std::ptr::eq(items, schema))
        });
        if let Some(keyword) = KEYWORDS.into_iter().find(|keyword| schema.get(keyword).is_some() && !is_property) {
            return Err(format!(
                "`{place}/{keyword}`: only a member of the document itself, or an element of it, refers"
            ));
        }
        let kept = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
        if let Some(keyword) = ["unique", "index"].into_iter().find(|keyword| kept(keyword)) {
            if !properties.iter().any(|property| std::ptr::eq(*property, schema)) {
                return Err(format!("`{place}/{keyword}`: only a member of the document itself can be looked up by"));
            }
            if kept("private") {
                return Err(format!(
                    "`{place}/{keyword}`: a private member cannot be `{keyword}`: whether a value is taken would tell what it is"
                ));
            }
        }
    }
    for (place, schema) in &top {
        let named = schema.get("properties").and_then(Value::as_object);
        if let Some(name) =
            MEMBERS_OF_THE_DOCUMENT.into_iter().find(|name| named.is_some_and(|named| named.contains_key(*name)))
        {
            return Err(format!(
                "`{place}/properties/{name}`: every document has its `_id` and `_rev`; leave them out"
            ));
        }
    }
    Ok(())
}

/// Whether a document may have members that the schema does not name.
pub(super) fn is_open(root: &Value) -> bool {
    let top = of_the_document(root);
    let closes = |schema: &Value| {
        let closed = |keyword| schema.get(keyword) == Some(&Value::Bool(false));
        closed("unevaluatedProperties") || (closed("additionalProperties") && schema.get("patternProperties").is_none())
    };
    let patterns = top.iter().any(|(_, schema)| schema.get("patternProperties").is_some());
    patterns || !top.iter().any(|(_, schema)| closes(schema))
}

/// What the members refer to.
fn references(root: &Value) -> Result<Vec<Reference>, String> {
    let top = of_the_document(root);
    let named = top.iter().filter_map(|(_, schema)| schema.get("properties").and_then(Value::as_object));
    Reference::read_all(root, named.flatten())
}

/// The members that the schema names.
fn fields(root: &Value, shape: Option<&Shape>) -> Result<Vec<FieldSchema>, String> {
    let mut fields: Vec<FieldSchema> = Vec::new();
    for (_, schema) in of_the_document(root) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let says = |keyword: &str| property.get(keyword) == Some(&Value::Bool(true));
            let level = shape.and_then(|shape| shape.member_level(name));
            match fields.iter_mut().find(|field| field.name == *name) {
                Some(known) => {
                    known.unique |= says("unique");
                    known.index |= says("index");
                }
                None => fields.push(FieldSchema {
                    name: Cow::Owned(name.clone()),
                    unique: says("unique"),
                    index: says("index"),
                    private: level == Some(Level::Private),
                    protected: level == Some(Level::Protected),
                }),
            }
        }
    }
    match fields.iter().find(|field| field.private && (field.unique || field.index)) {
        Some(field) => Err(format!("the member `{}` is private, and cannot be `unique` or `index`", field.name)),
        None => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_forms_are_refused_with_their_place() {
        let deep = (0..200).fold(json!({}), |inner, _| json!({"items": inner}));
        let cases = [
            (json!({"properties": {"a": {"unique": 1}}}), "#/properties/a/unique"),
            (json!({"properties": {"a": {"index": "yes"}}}), "#/properties/a/index"),
            (json!({"properties": {"a": {"hidden": null}}}), "#/properties/a/hidden"),
            (json!({"$defs": {"x/y": {"private": 0}}}), "#/$defs/x~1y/private"),
            (
                json!({"properties": {"a": {"properties": {"b": {"unique": true}}}}}),
                "#/properties/a/properties/b/unique",
            ),
            (json!({"anyOf": [{"properties": {"a": {"index": true}}}]}), "#/anyOf/0/properties/a/index"),
            (json!({"properties": {"a": {"unique": true, "private": true}}}), "#/properties/a/unique"),
            (
                json!({"properties": {"a": {"unique": true, "$ref": "#/$defs/p"}}, "$defs": {"p": {"private": true}}}),
                "`a` is private",
            ),
            (json!({"properties": {"_id": {}}}), "#/properties/_id"),
            (json!({"allOf": [{"properties": {"_rev": {}}}]}), "#/allOf/0/properties/_rev"),
            (json!({"properties": {"a": {"protected": "yes"}}}), "#/properties/a/protected"),
            (json!({"protected": true}), "#/protected"),
            (json!({"properties": {"a": {"items": {"protected": true}}}}), "#/properties/a/items"),
            (json!({"patternProperties": {"^a": {"protected": true}}}), "#/patternProperties/^a"),
            (
                json!({"properties": {"a": {"protected": true, "properties": {"b": {"private": true}}}}}),
                "#/properties/a",
            ),
            (
                json!({"properties": {"a": {"protected": true}}, "if": {"properties": {"a": {"const": 1}}}, "then": {}}),
                "#/if",
            ),
            (json!({"properties": {"a": {"protected": true}}, "not": {"required": ["a"]}}), "#/not"),
            (
                json!({"properties": {"a": {"protected": true}}, "dependentRequired": {"a": ["b"]}}),
                "#/dependentRequired",
            ),
            (
                json!({"properties": {"a": {"protected": true, "properties": {"c": {}}},
                                      "b": {"$ref": "#/properties/a/properties/c"}}}),
                "without what is protected",
            ),
            (json!({"properties": {"a": {"type": "no"}}}), "/properties/a/type"),
            (json!({"$ref": "other.json"}), "does not resolve"),
            (json!(true), "an object"),
            (deep, "nested"),
        ];
        for (schema, place) in cases {
            let error =
                ModelSchema::prove_json("things", Visibility::Public, false, None, schema.clone(), &Schemas::default())
                    .map(drop)
                    .unwrap_err();
            assert_eq!(error.code().as_str(), "INVALID_DECLARATION", "{schema}");
            assert!(error.text().contains("`things`") && error.text().contains(place), "{schema}: {}", error.text());
        }
        assert!(
            ModelSchema::prove_json("Things", Visibility::Public, false, None, json!({}), &Schemas::default()).is_err()
        );
    }

    #[test]
    fn members_are_found_through_what_the_schema_refers_to() {
        let schema = json!({
            "$ref": "#/$defs/base",
            "$defs": {"base": {"properties": {"a": {"unique": true}}}, "secret": {"private": true}},
            "allOf": [{"properties": {"b": {"index": true}, "c": {"$ref": "#/$defs/secret"}}}],
            "properties": {"d": {}, "unique": {"type": "boolean"}},
        });
        let proved =
            ModelSchema::prove_json("things", Visibility::Public, false, None, schema, &Schemas::default()).unwrap();
        let of = |name: &str| proved.field(name).map(|field| (field.unique, field.index, field.private));
        assert_eq!(of("a"), Some((true, false, false)));
        assert_eq!(of("b"), Some((false, true, false)));
        assert_eq!(of("c"), Some((false, false, true)));
        assert_eq!((of("unique"), of("e")), (Some((false, false, false)), None));
        assert!(proved.open);
    }

    #[test]
    fn open_and_closed() {
        for (schema, open) in [
            (json!({}), true),
            (json!({"additionalProperties": {"type": "string"}}), true),
            (json!({"additionalProperties": false}), false),
            (json!({"unevaluatedProperties": false}), false),
            (json!({"additionalProperties": false, "patternProperties": {"^x": {}}}), true),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": {"additionalProperties": false}}}), false),
        ] {
            assert_eq!(is_open(&schema), open, "{schema}");
        }
    }
}
