//! The indexes that a JSON Schema asks for.
//!
//! The keywords are ours: `unique` and `index` are `true` at a property, and at the top lists of lists of properties, as in
//! `"index": [["role", "age"]]`. A model made from a struct and one given as a schema are read in the same way.

use serde_json::{Map, Value, json};

use crate::core::index::MAX_MEMBERS;
use crate::error::Violation;

/// How many indexes a model has at most, as in MongoDB.
const MAX_INDEXES: usize = 64;

/// An index of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IndexSchema {
    /// Names of the fields on the wire.
    pub(crate) fields: Vec<Box<str>>,
    /// No two documents have the same values, where none of them is `null` or missing.
    pub(crate) unique: bool,
    /// The fields that can be arrays, where there are several. One document has an array in one of them at most.
    arrays: Vec<Box<str>>,
}

impl IndexSchema {
    /// What is wrong with a document that has arrays in two fields of the index: it would have a key for each pair of their
    /// elements. MongoDB refuses such a document too (manual, "Multikey Indexes", "Compound Multikey Indexes").
    pub(crate) fn second_array(&self, document: &Value) -> Option<Violation> {
        let mut found = self.arrays.iter().filter(|name| document.get(name.as_ref()).is_some_and(Value::is_array));
        let (first, second) = (found.next()?, found.next()?);
        let keyword = keyword(self.unique);
        Some(Violation {
            instance_path: format!("/{}", second.replace('~', "~0").replace('/', "~1")),
            keyword: keyword.into(),
            message: format!("must NOT be an array beside `{first}`").into(),
            params: json!({"fields": self.fields}),
            schema_path: format!("#/{keyword}").into(),
        })
    }
}

const fn keyword(unique: bool) -> &'static str {
    if unique { "unique" } else { "index" }
}

fn says(property: &Value, keyword: &str) -> bool {
    property.get(keyword) == Some(&Value::Bool(true))
}

/// The types that a property names; none where it may be anything.
fn types(property: &Value) -> Vec<&str> {
    match property.get("type") {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_always_array(property: &Value) -> bool {
    let types = types(property);
    types.contains(&"array") && types.iter().all(|name| matches!(*name, "array" | "null"))
}

fn can_be_array(property: &Value) -> bool {
    let types = types(property);
    types.is_empty() || types.contains(&"array")
}

/// Reads the indexes of a model: those of one field, in the order of the properties, then those of several.
///
/// # Errors
/// What is wrong with the schema, in words.
pub(crate) fn read_indexes(schema: &Value) -> Result<Vec<IndexSchema>, String> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut found: Vec<IndexSchema> = Vec::new();
    for (name, property) in properties {
        let unique = says(property, "unique");
        if !unique && !says(property, "index") {
            continue;
        }
        if says(property, "private") {
            return Err(format!("`{name}` is private and indexed: what is taken would tell what it is"));
        }
        found.push(IndexSchema { fields: vec![name.as_str().into()], unique, arrays: Vec::new() });
    }
    for unique in [true, false] {
        let keyword = keyword(unique);
        let lists = match schema.get(keyword) {
            None => continue,
            Some(Value::Array(lists)) => lists,
            Some(_) => return Err(format!("`{keyword}` is a list of lists of properties")),
        };
        for list in lists {
            let index = read_list(list, unique, properties)?;
            if found.iter().any(|known| known.fields == index.fields) {
                return Err(format!("there are two indexes over `{}`", index.fields.join("`, `")));
            }
            found.push(index);
        }
    }
    if found.len() > MAX_INDEXES {
        return Err(format!("there are {} indexes; {MAX_INDEXES} is the most", found.len()));
    }
    Ok(found)
}

fn read_list(list: &Value, unique: bool, properties: &Map<String, Value>) -> Result<IndexSchema, String> {
    let keyword = keyword(unique);
    let names: Option<Vec<&str>> = list.as_array().map(|names| names.iter().map_while(Value::as_str).collect());
    let names = names
        .filter(|names| (2..=MAX_MEMBERS).contains(&names.len()) && list.as_array().map(Vec::len) == Some(names.len()))
        .ok_or_else(|| format!("each list in `{keyword}` has from 2 to {MAX_MEMBERS} names of properties"))?;
    let mut always = Vec::new();
    let mut arrays: Vec<Box<str>> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let property =
            properties.get(*name).ok_or_else(|| format!("`{keyword}` names `{name}`, which is no property"))?;
        if names.iter().take(at).any(|other| other == name) {
            return Err(format!("`{keyword}` names `{name}` twice in one list"));
        }
        if unique && says(property, "private") {
            return Err(format!("`unique` names `{name}`, which is private: what is taken would tell what it is"));
        }
        if is_always_array(property) {
            always.push(*name);
        }
        if can_be_array(property) {
            arrays.push((*name).into());
        }
    }
    if let [first, second, ..] = always.as_slice() {
        return Err(format!("`{keyword}` names `{first}` and `{second}`, and one index holds only one list"));
    }
    if arrays.len() < 2 {
        arrays.clear();
    }
    Ok(IndexSchema { fields: names.into_iter().map(Into::into).collect(), unique, arrays })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &Value) -> Result<Vec<(Vec<String>, bool)>, String> {
        let mut schema = json!({"properties": {
            "a": {"type": "string", "unique": true}, "b": {"type": "integer", "index": true}, "c": {},
            "list": {"type": "array"}, "lists": {"type": ["array", "null"]}, "secret": {"type": "string", "private": true},
        }});
        if let (Some(schema), Some(keys)) = (schema.as_object_mut(), keys.as_object()) {
            schema.extend(keys.clone());
        }
        let names = |index: &IndexSchema| index.fields.iter().map(ToString::to_string).collect();
        read_indexes(&schema).map(|found| found.iter().map(|index| (names(index), index.unique)).collect())
    }

    #[test]
    fn keys_of_one_and_of_several_fields() {
        let found = read(&json!({"unique": [["b", "c"]], "index": [["list", "a"], ["a", "secret"]]})).unwrap();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = [
            (names(&["a"]), true),
            (names(&["b"]), false),
            (names(&["b", "c"]), true),
            (names(&["list", "a"]), false),
            (names(&["a", "secret"]), false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_cannot_be_an_index() {
        for (keys, reason) in [
            (json!({"unique": true}), "list of lists"),
            (json!({"index": ["a"]}), "from 2 to 32"),
            (json!({"index": [["a"]]}), "from 2 to 32"),
            (json!({"index": [["a", 1]]}), "from 2 to 32"),
            (json!({"index": [["a", "x"]]}), "`x`, which is no property"),
            (json!({"index": [["a", "a"]]}), "twice"),
            (json!({"index": [["a", "b"], ["a", "b"]]}), "two indexes"),
            (json!({"unique": [["a", "secret"]]}), "private"),
            (json!({"index": [["list", "a", "lists"]]}), "only one list"),
        ] {
            let told = read(&keys).unwrap_err();
            assert!(told.contains(reason), "{keys}: {told}");
        }
    }

    #[test]
    fn a_document_has_one_array_in_an_index() {
        let schema = json!({"properties": {"a": {}, "b/c": {}, "n": {"type": "integer"}}, "index": [["a", "n", "b/c"]]});
        let index = read_indexes(&schema).unwrap().remove(0);
        assert_eq!(index.second_array(&json!({"a": [1], "b/c": 1, "n": 1})), None);
        let told = index.second_array(&json!({"a": [1], "b/c": [], "n": 1})).unwrap();
        assert_eq!((told.instance_path.as_str(), told.keyword.as_ref()), ("/b~1c", "index"));
    }
}
