//! Schemas that others refer to by their `$id`, and schemas of an older draft.
//!
//! A schema is made self-contained before anything else looks at it: what it refers to among the registered schemas is taken
//! into its `$defs`, and its references lead there. So whoever reads a schema, be it the validator, the search for what is
//! private in it, or a client with the metadata, follows references within one value.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::walk::{self, escaped};
use crate::core::private::Level;
use crate::core::query::update::nests_deeper;
use crate::core::validate::{BASE, DIALECT, Validator, resolved};

/// The older dialect that is read.
const DRAFT_07: &str = "http://json-schema.org/draft-07/schema";

/// How deep a schema may be nested: as deep as JSON text that is read.
const MAX_NESTING: usize = 127;

/// The schemas of an application that others refer to.
#[derive(Default)]
pub(crate) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Reads schemas, each with its `$id`.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(crate) fn new(all: &[Value]) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for schema in all {
            if nests_deeper(schema, MAX_NESTING) {
                return Err(format!("a registered schema is nested more than {MAX_NESTING} deep"));
            }
            let Some(id) = schema.get("$id").and_then(Value::as_str) else {
                return Err("a registered schema has no `$id` that others could refer to".to_owned());
            };
            let wrong = |what: &str| format!("the registered schema `{id}`: {what}");
            let uri = resolved(BASE, id).map_err(|what| wrong(&what))?;
            if uri.contains('#') {
                return Err(wrong("its `$id` has a fragment; write it without"));
            }
            let schema = upgraded(schema.clone()).map_err(|what| wrong(&what))?;
            for (place, inner) in walk::all(&schema) {
                let keyword = ["$id", "$dynamicRef", "$dynamicAnchor"]
                    .into_iter()
                    .find(|keyword| inner.get(*keyword).is_some() && (place != "#" || *keyword != "$id"));
                if let Some(keyword) = keyword {
                    return Err(wrong(&format!(
                        "`{place}/{keyword}` cannot be taken over; register that part by itself"
                    )));
                }
            }
            if known.insert(uri, schema).is_some() {
                return Err(format!("two registered schemas have the `$id` `{id}`"));
            }
        }
        let schemas = Self(known);
        for uri in schemas.0.keys() {
            // What nothing refers to is never run, but a mistake in it is one all the same.
            let whole = schemas.contained(json!({"$ref": uri}));
            whole
                .and_then(|whole| Validator::new(&whole))
                .map_err(|what| format!("the registered schema `{uri}`: {what}"))?;
        }
        Ok(schemas)
    }

    /// The schema with all that it refers to, in the draft that is read here.
    ///
    /// # Errors
    /// A reference that leads nowhere in a registered schema, with its place.
    pub(crate) fn contained(&self, schema: Value) -> Result<Value, String> {
        let mut schema = upgraded(schema)?;
        if self.0.is_empty() {
            return Ok(schema);
        }
        let base = resolved(BASE, schema.get("$id").and_then(Value::as_str).unwrap_or_default())?;
        let mut taken = Taken { schemas: self, all: Vec::new(), names: names(&schema, "$defs") };
        taken.rewrite(&mut schema, &base, None, "#")?;
        let mut next = 0;
        while let Some((uri, name)) = taken.all.get(next).cloned() {
            next += 1;
            let mut inner = self.0.get(&uri).cloned().unwrap_or_default();
            if let Value::Object(members) = &mut inner {
                members.remove("$id");
            }
            taken.rewrite(&mut inner, &uri, Some(&name), &uri)?;
            if let Value::Object(members) = &mut schema {
                let defs = members.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(defs) = defs {
                    defs.insert(name, inner);
                }
            }
        }
        Ok(schema)
    }

    /// The same for the schema of a Rust type.
    ///
    /// # Errors
    /// Also where a registered schema withholds something: of its values a type alone can know that.
    pub(crate) fn contained_in_type(&self, schema: Value) -> Result<Value, String> {
        let own = names(&schema, "$defs");
        let schema = self.contained(schema)?;
        let defs = schema.get("$defs").and_then(Value::as_object).into_iter().flatten();
        for (name, taken) in defs.filter(|(name, _)| !own.contains(name)) {
            let level = walk::all(taken).into_iter().find_map(|(_, schema)| Level::of(schema));
            if let Some(level) = level {
                return Err(format!(
                    "the registered schema `{name}` has something {0} in it, which the type of a field has to say; leave \
                     `{0}` out there, and write a type with such a field",
                    level.keyword()
                ));
            }
        }
        Ok(schema)
    }
}

fn names(schema: &Value, keyword: &str) -> Vec<String> {
    schema.get(keyword).and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect()
}

/// What one schema takes over.
struct Taken<'a> {
    schemas: &'a Schemas,
    /// By URI, with the name that each gets in `$defs`.
    all: Vec<(String, String)>,
    /// Names in `$defs` that are given away.
    names: Vec<String>,
}

impl Taken<'_> {
    /// Makes the references of a schema that stands at `base`, and will stand in the definition `home`, lead to definitions.
    fn rewrite(&mut self, schema: &mut Value, base: &str, home: Option<&str>, place: &str) -> Result<(), String> {
        if let Value::Object(members) = schema {
            if place != "#" && members.contains_key("$id") {
                // Within it, `#` is it itself. It resolves what it refers to by its own definitions.
                return Ok(());
            }
            if home.is_some() {
                members.remove("$anchor");
            }
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(path) =
                    self.path(reference, base, home).map_err(|what| format!("`{place}/$ref`: {what}"))?
            {
                *reference = path;
            }
        }
        for (step, inner) in walk::inside_mut(schema) {
            self.rewrite(inner, base, home, &format!("{place}{step}"))?;
        }
        Ok(())
    }

    /// Where a reference leads now, if it does not stay as it is.
    fn path(&mut self, reference: &str, base: &str, home: Option<&str>) -> Result<Option<String>, String> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let uri = resolved(base, address)?;
        if home.is_none() && uri == base {
            return Ok(None);
        }
        let Some(target) = self.schemas.0.get(&uri) else { return Ok(None) };
        let inner = match fragment {
            "" => String::new(),
            pointer if pointer.starts_with('/') => {
                target.pointer(pointer).map(|_| pointer.to_owned()).unwrap_or_default()
            }
            anchor => walk::all(target)
                .into_iter()
                .find(|(_, schema)| schema.get("$anchor").and_then(Value::as_str) == Some(anchor))
                .map(|(place, _)| place.trim_start_matches('#').to_owned())
                .unwrap_or_default(),
        };
        if inner.is_empty() && !fragment.is_empty() {
            return Err(format!("`{reference}` leads nowhere"));
        }
        Ok(Some(format!("#/$defs/{}{inner}", escaped(&self.name(&uri)))))
    }

    /// The name of a registered schema in `$defs`.
    fn name(&mut self, uri: &str) -> String {
        if let Some((_, name)) = self.all.iter().find(|(known, _)| known == uri) {
            return name.clone();
        }
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
        let last = uri.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or(uri);
        let mut name: String = last.chars().map(|it| if plain(it) { it } else { '_' }).collect();
        while self.names.contains(&name) {
            name.push('_');
        }
        self.names.push(name.clone());
        self.all.push((uri.to_owned(), name.clone()));
        name
    }
}

/// The schema in the draft that is read here.
fn upgraded(mut schema: Value) -> Result<Value, String> {
    let dialect = schema.get("$schema").and_then(Value::as_str).map(|dialect| dialect.trim_end_matches('#').to_owned());
    match dialect.as_deref() {
        None | Some(DIALECT) => Ok(schema),
        Some(DRAFT_07) => {
            jsonschema::draft7::meta::validate(&schema)
                .map_err(|error| format!("the schema is not valid at `{}`", error.instance_path().as_str()))?;
            if let Value::Object(members) = &mut schema {
                members.remove("$schema");
            }
            upgrade(&mut schema);
            Ok(schema)
        }
        Some(other) => {
            Err(format!("the schema is written in `{other}`, but only `{DIALECT}` and `{DRAFT_07}` are understood"))
        }
    }
}

/// From draft-07 to 2020-12, as the release notes of 2019-09 and 2020-12 list the changes.
fn upgrade(schema: &mut Value) {
    if let Value::Object(members) = schema {
        if members.contains_key("$ref") {
            // In draft-07 nothing beside it counts; the definitions can still be led to, and our own keywords are no assertions.
            let kept = ["$ref", "$id", "definitions", "$defs", "title", "description", "default", "examples"];
            let ours = ["unique", "index", "private", "protected", "hidden", "model", "errorMessage"];
            members.retain(|keyword, _| kept.contains(&keyword.as_str()) || ours.contains(&keyword.as_str()));
        }
        if let Some(Value::Array(_)) = members.get("items") {
            if let Some(items) = members.remove("items") {
                members.insert("prefixItems".to_owned(), items);
            }
            if let Some(items) = members.remove("additionalItems") {
                members.insert("items".to_owned(), items);
            }
        }
        members.remove("additionalItems");
        let anchor = members.get("$id").and_then(Value::as_str).and_then(|id| id.strip_prefix('#')).map(str::to_owned);
        if let Some(anchor) = anchor {
            members.remove("$id");
            members.insert("$anchor".to_owned(), anchor.into());
        }
    }
    for (_, inner) in walk::inside_mut(schema) {
        upgrade(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(all: &[Value]) -> Schemas {
        Schemas::new(all).unwrap()
    }

    #[test]
    fn what_is_referred_to_is_taken_over() {
        let known = schemas(&[
            json!({"$id": "https://example.org/address.json", "type": "object",
                   "properties": {"country": {"$ref": "country.json#code"}, "next": {"$ref": "#"}, "zip": {"$ref": "#/$defs/zip"}},
                   "$defs": {"zip": {"minLength": 4}}}),
            json!({"$id": "https://example.org/country.json", "$defs": {"c": {"$anchor": "code", "enum": ["de", "fr"]}}}),
            json!({"$id": "unused", "type": "null"}),
        ]);
        let schema = json!({"properties": {
            "home": {"$ref": "https://example.org/address.json"}, "zip": {"$ref": "https://example.org/address.json#/$defs/zip"},
            "own": {"$ref": "#/$defs/address.json"}, "example": {"const": {"$ref": "unused"}}},
            "$defs": {"address.json": {"type": "number"}}});
        let whole = known.contained(schema).unwrap();
        assert_eq!(
            whole["properties"],
            json!({"home": {"$ref": "#/$defs/address.json_"}, "zip": {"$ref": "#/$defs/address.json_/$defs/zip"},
                   "own": {"$ref": "#/$defs/address.json"}, "example": {"const": {"$ref": "unused"}}})
        );
        assert_eq!(
            whole["$defs"],
            json!({"address.json": {"type": "number"}, "country.json": {"$defs": {"c": {"enum": ["de", "fr"]}}},
                "address.json_": {"type": "object", "$defs": {"zip": {"minLength": 4}}, "properties": {
                    "country": {"$ref": "#/$defs/country.json/$defs/c"}, "next": {"$ref": "#/$defs/address.json_"},
                    "zip": {"$ref": "#/$defs/address.json_/$defs/zip"}}}})
        );
        let validator = Validator::new(&whole).unwrap();
        assert!(validator.check(&json!({"home": {"country": "de", "next": {"zip": "1234"}}})).is_ok());
        for wrong in [json!({"home": {"next": {"country": "x"}}}), json!({"zip": "1"}), json!({"home": {"zip": "1"}})] {
            assert!(validator.check(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(known.contained(whole.clone()).unwrap(), whole);
    }

    #[test]
    fn relative_ids_resolve_against_that_of_the_schema() {
        let known =
            schemas(&[json!({"$id": "name", "type": "string"}), json!({"$id": "urn:x:age", "type": "integer"})]);
        let whole =
            known.contained(json!({"properties": {"n": {"$ref": "name"}, "a": {"$ref": "urn:x:age"}}})).unwrap();
        assert_eq!(whole["$defs"], json!({"name": {"type": "string"}, "age": {"type": "integer"}}));
        let elsewhere = known.contained(json!({"$id": "https://example.org/a", "$ref": "name"})).unwrap();
        assert_eq!(elsewhere["$ref"], "name");
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_its_place() {
        let known = || json!({"$id": "a", "properties": {"b": {}}});
        for (all, schema, expected) in [
            (
                vec![known()],
                json!({"items": {"$ref": "a#/properties/c"}}),
                "`#/items/$ref`: `a#/properties/c` leads nowhere",
            ),
            (vec![known()], json!({"items": {"$ref": "a#c"}}), "leads nowhere"),
            (vec![known(), known()], json!({}), "two registered schemas have the `$id` `a`"),
            (vec![json!({})], json!({}), "has no `$id`"),
            (vec![json!({"$id": "a#b"})], json!({}), "has a fragment"),
            (vec![json!({"$id": "a", "items": {"$id": "b"}})], json!({}), "`#/items/$id` cannot be taken over"),
            (
                vec![json!({"$id": "a", "items": {"$ref": "a#/x"}})],
                json!({}),
                "the registered schema `json-schema:///a`: `",
            ),
            (vec![], json!({"$schema": "http://json-schema.org/draft-04/schema#"}), "draft-04"),
            (vec![], json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": 5}), "not valid at `/type`"),
        ] {
            let found = Schemas::new(&all).and_then(|known| known.contained(schema.clone()));
            let sentence = found.unwrap_err();
            assert!(sentence.contains(expected), "{schema}: {sentence}");
        }
        let dangling = schemas(&[known()]).contained(json!({"items": {"$ref": "other"}})).unwrap();
        let sentence = Validator::new(&dangling).err().unwrap();
        assert!(sentence.contains("`$ref` to `other` does not resolve"), "{sentence}");
        assert!(sentence.contains("`#/items`"), "{sentence}");
    }

    #[test]
    fn draft_07_is_read() {
        let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
            "properties": {
                "pair": {"items": [{"type": "string"}, {"$ref": "#n", "minimum": 100}], "additionalItems": false},
                "all": {"items": {"type": "null"}, "additionalItems": false},
                "a": {"$ref": "#/definitions/positive"}},
            "dependencies": {"a": ["all"], "all": {"required": ["pair"]}},
            "definitions": {"positive": {"exclusiveMinimum": 0}, "n": {"$id": "#n", "type": "number"}}});
        let whole = Schemas::default().contained(schema).unwrap();
        let validator = Validator::new(&whole).unwrap();
        let fits = |value: &Value| validator.check(value).is_ok();
        assert!(fits(&json!({"pair": ["a", 1], "all": [null, null], "a": 1})));
        for wrong in [
            json!({"pair": [1]}),
            json!({"pair": ["a", "b"]}),
            json!({"pair": ["a", 1, 2]}),
            json!({"pair": [], "all": [1]}),
            json!({"pair": [], "all": [], "a": 0}),
            json!({"a": 1}),
            json!({"all": []}),
        ] {
            assert!(!fits(&wrong), "{wrong}");
        }
    }
}
