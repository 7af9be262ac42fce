//! The indexes that a JSON Schema asks for.
//!
//! The keywords are ours: `unique` and `index` are `true` at a property, and at the top lists of lists of properties, as in
//! `"index": [["role", "age"]]`. A model made from a struct and one given as a schema are read in the same way.

use serde_json::{Value, json};

use super::FieldSchema;
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
    /// Whether a document could have arrays in two fields of the index.
    pub(crate) fn asks_for_one_array(&self) -> bool {
        !self.arrays.is_empty()
    }

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

/// The types that a property is said to have; none where that is not said, and it may be anything.
fn types<'a>(schema: &'a Value, name: &str) -> Vec<&'a str> {
    match schema.get("properties").and_then(|properties| properties.get(name)?.get("type")) {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

impl IndexSchema {
    /// The indexes of a model: those of one field, in the order of the fields, then those of several, as its schema says.
    ///
    /// # Errors
    /// What is wrong with the schema, in words.
    pub(crate) fn all(fields: &[FieldSchema], schema: &Value) -> Result<Vec<Self>, String> {
        let alone = fields.iter().filter(|field| field.unique || field.index);
        let mut found: Vec<Self> = alone
            .map(|field| Self { fields: vec![field.name.as_ref().into()], unique: field.unique, arrays: Vec::new() })
            .collect();
        for unique in [true, false] {
            let keyword = keyword(unique);
            let lists = match schema.get(keyword) {
                None => continue,
                Some(Value::Array(lists)) => lists,
                Some(_) => return Err(format!("`{keyword}` is a list of lists of properties")),
            };
            for list in lists {
                let index = read_list(list, unique, fields, schema)?;
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
}

fn read_list(list: &Value, unique: bool, fields: &[FieldSchema], schema: &Value) -> Result<IndexSchema, String> {
    let keyword = keyword(unique);
    let names: Option<Vec<&str>> = list.as_array().map(|names| names.iter().map_while(Value::as_str).collect());
    let names = names
        .filter(|names| (2..=MAX_MEMBERS).contains(&names.len()) && list.as_array().map(Vec::len) == Some(names.len()))
        .ok_or_else(|| format!("each list in `{keyword}` has from 2 to {MAX_MEMBERS} names of properties"))?;
    let mut always = Vec::new();
    let mut arrays: Vec<Box<str>> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let field = fields.iter().find(|field| field.name == *name);
        let field = field.ok_or_else(|| format!("`{keyword}` names `{name}`, which is no property"))?;
        if names.iter().take(at).any(|other| other == name) {
            return Err(format!("`{keyword}` names `{name}` twice in one list"));
        }
        if unique && field.private {
            return Err(format!("`unique` names `{name}`, which is private: what is taken would tell what it is"));
        }
        let types = types(schema, name);
        if types.contains(&"array") && types.iter().all(|name| matches!(*name, "array" | "null")) {
            always.push(*name);
        }
        if types.is_empty() || types.contains(&"array") {
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
    use std::borrow::Cow;

    const fn field(name: &'static str, unique: bool, index: bool, private: bool) -> FieldSchema {
        FieldSchema { name: Cow::Borrowed(name), unique, index, private, protected: false }
    }

    fn schema(keys: &Value) -> Value {
        let mut schema = json!({"properties": {
            "a": {"type": "string"}, "b": {"type": "integer"}, "c": {}, "d/e": {},
            "list": {"type": "array"}, "lists": {"type": ["array", "null"]}, "secret": {"type": "string"},
        }});
        if let (Some(schema), Some(keys)) = (schema.as_object_mut(), keys.as_object()) {
            schema.extend(keys.clone());
        }
        schema
    }

    fn read(keys: &Value) -> Result<Vec<IndexSchema>, String> {
        let plain = |name| field(name, false, false, false);
        let fields = [
            field("a", true, false, false),
            field("b", false, true, false),
            plain("c"),
            plain("d/e"),
            plain("list"),
            plain("lists"),
            field("secret", false, false, true),
        ];
        IndexSchema::all(&fields, &schema(keys))
    }

    #[test]
    fn keys_of_one_and_of_several_fields() {
        let found = read(&json!({"unique": [["b", "c"]], "index": [["list", "a"], ["a", "secret"]]})).unwrap();
        let found: Vec<(String, bool)> = found.iter().map(|index| (index.fields.join(" "), index.unique)).collect();
        let expected = [("a", true), ("b", false), ("b c", true), ("list a", false), ("a secret", false)];
        assert_eq!(found, expected.map(|(names, unique)| (names.to_owned(), unique)));
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
        let index = read(&json!({"index": [["c", "b", "d/e"]]})).unwrap().pop().unwrap();
        assert_eq!(index.second_array(&json!({"c": [1], "d/e": 1, "b": 1})), None);
        let told = index.second_array(&json!({"c": [1], "d/e": [], "b": 1})).unwrap();
        assert_eq!((told.instance_path.as_str(), told.keyword.as_ref()), ("/d~1e", "index"));
    }
}
