//! The arguments of uploads and streams, which come beside bytes and not in a body of JSON: as the fields of a form, or in the query
//! string.

use serde_json::{Map, Value};

use crate::core::schema::parse_json;
use crate::error::{Error, ErrorCode, Result};
use crate::server::rest::decode;

/// The field that has all arguments, as JSON.
const ALL: &str = "args";
/// How many references one after the other lead to the schema of a field.
const DEEPEST: usize = 16;

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidRequest).message(text.into())
}

/// The fields of a form, on their way to be arguments.
pub(super) struct Fields<'a> {
    schema: Option<&'a Value>,
    all: Option<Value>,
    members: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// For arguments of this schema, if there is one.
    pub(super) fn of(schema: Option<&'a Value>) -> Self {
        Self { schema, all: None, members: Map::new() }
    }

    /// Takes a field. Its text is a text where the schema says that its member is one, and else JSON, as is what says of itself
    /// that it is. Several of one name are a list where the schema says that its member is one. The field `args` has all arguments,
    /// unless there is a member of that name.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a second field of a name that is no list, and for JSON that is none.
    pub(super) fn take(&mut self, name: &str, text: &str, is_json: bool) -> Result<()> {
        let member = self.schema.and_then(|schema| member(schema, name));
        if name == ALL && member.is_none() {
            return match self.all.replace(parse_json(text.as_bytes())?) {
                None => Ok(()),
                Some(_) => Err(twice(name)),
            };
        }
        let root = self.schema.unwrap_or(&Value::Null);
        let items = member.and_then(|member| items(root, member));
        let value = |schema: Option<&Value>| match is_json {
            true => parse_json(text.as_bytes()),
            false => Ok(value(root, schema, text)),
        };
        let Some(items) = items else {
            return match self.members.insert(name.to_owned(), value(member)?) {
                None => Ok(()),
                Some(_) => Err(twice(name)),
            };
        };
        // One field may have the whole list.
        let whole = || serde_json::from_str(text).ok().filter(Value::is_array);
        match self.members.get_mut(name) {
            None => {
                let list = match whole() {
                    Some(list) => list,
                    None => Value::Array(vec![value(Some(items))?]),
                };
                self.members.insert(name.to_owned(), list);
            }
            Some(Value::Array(list)) => list.push(value(Some(items))?),
            Some(_) => return Err(twice(name)),
        }
        Ok(())
    }

    /// The arguments.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when all are there, and some of them again.
    pub(super) fn whole(self) -> Result<Option<Value>> {
        match (self.all, self.members.is_empty()) {
            (Some(all), true) => Ok(Some(all)),
            (Some(_), false) => Err(wrong("the field `args` has all arguments, and stands alone")),
            (None, true) => Ok(None),
            (None, false) => Ok(Some(Value::Object(self.members))),
        }
    }
}

fn twice(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    wrong(format!("`{shown}` is given twice"))
}

/// The schema that a chain of references leads to.
fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..DEEPEST {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        match target.and_then(|target| root.pointer(target)) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn member<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    resolved(root, root).get("properties")?.get(name).map(|schema| resolved(root, schema))
}

/// The schemas of which one has to fit; the schema itself where there is no choice.
fn choices<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let several = ["anyOf", "oneOf"].iter().find_map(|keyword| schema.get(keyword)?.as_array());
    match several {
        Some(several) => several.iter().map(|schema| resolved(root, schema)).collect(),
        None => vec![schema],
    }
}

fn is_of_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(known)) => known == name,
        Some(Value::Array(several)) => several.iter().any(|known| known == name),
        _ => false,
    }
}

fn items<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let list = choices(root, schema).into_iter().find(|schema| is_of_type(schema, "array"))?;
    Some(list.get("items").map_or(&Value::Null, |items| resolved(root, items)))
}

fn is_text(root: &Value, schema: &Value) -> bool {
    choices(root, schema).into_iter().any(|schema| {
        let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"));
        is_of_type(schema, "string") || values.into_iter().any(Value::is_string)
    })
}

/// The value of a text. What should be JSON and is none stays a text, of which the schema says that it does not fit.
fn value(root: &Value, schema: Option<&Value>, text: &str) -> Value {
    if schema.is_none_or(|schema| is_text(root, schema)) {
        return Value::from(text);
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// What the query string of a stream or of a bare file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) args: Option<Value>,
    pub(super) offset: Option<u64>,
    pub(super) last: Option<bool>,
}

impl Asked {
    /// # Errors
    /// `INVALID_REQUEST`
    pub(super) fn read(query: &str, of_stream: bool) -> Result<Self> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text| decode(text).map_err(|_| wrong("the query string is not well encoded"));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let is_new = match name.as_str() {
                "args" => asked.args.replace(parse_json(value.as_bytes())?).is_none(),
                "offset" if of_stream => {
                    let offset = value.parse().map_err(|_| wrong("`offset` is a number of bytes"))?;
                    asked.offset.replace(offset).is_none()
                }
                "last" if of_stream => {
                    let last = value.parse().map_err(|_| wrong("`last` is true or false"))?;
                    asked.last.replace(last).is_none()
                }
                _ => {
                    let shown: String = name.chars().take(64).collect();
                    return Err(wrong(format!("there is no parameter `{shown}`")));
                }
            };
            if !is_new {
                return Err(twice(&name));
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_read_as_their_schema_says() {
        let schema = json!({
            "$ref": "#/$defs/Args",
            "$defs": {
                "Args": {"type": "object", "properties": {
                    "title": {"type": "string"},
                    "note": {"type": ["string", "null"]},
                    "size": {"type": "integer"},
                    "open": {"type": "boolean"},
                    "kind": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "sizes": {"type": "array", "items": {"type": "integer"}},
                    "at": {"type": "object"},
                }},
                "Kind": {"type": "string", "enum": ["a", "b"]},
            },
        });
        let read = |fields: &[(&str, &str)]| {
            let mut taken = Fields::of(Some(&schema));
            fields.iter().try_for_each(|(name, text)| taken.take(name, text, false))?;
            taken.whole()
        };
        let fields = [
            ("title", "12"),
            ("note", "null"),
            ("size", "12"),
            ("open", "true"),
            ("kind", "a"),
            ("tags", "1"),
            ("tags", "[2"),
            ("sizes", "[1,2]"),
            ("at", "{\"x\":1}"),
            ("other", "1"),
        ];
        let expected = json!({"title": "12", "note": "null", "size": 12, "open": true, "kind": "a", "tags": ["1", "[2"],
            "sizes": [1, 2], "at": {"x": 1}, "other": "1"});
        assert_eq!(read(&fields).unwrap(), Some(expected));
        assert_eq!(read(&[("size", "many")]).unwrap(), Some(json!({"size": "many"})));
        assert_eq!(read(&[("args", "{\"size\":1}")]).unwrap(), Some(json!({"size": 1})));
        assert_eq!(read(&[]).unwrap(), None);
        for wrong in [
            &[("size", "1"), ("size", "2")][..],
            &[("args", "{}"), ("size", "2")],
            &[("args", "{}"), ("args", "{}")],
            &[("args", "{")],
        ] {
            assert_eq!(read(wrong).unwrap_err().code(), &ErrorCode::InvalidRequest, "{wrong:?}");
        }
        let mut marked = Fields::of(Some(&schema));
        marked.take("title", "\"x\"", true).unwrap();
        assert!(marked.take("note", "x", true).is_err());
        assert_eq!(marked.whole().unwrap(), Some(json!({"title": "x"})));
        // A reference that leads to itself is followed for a while.
        let endless = json!({"$ref": "#"});
        assert!(Fields::of(Some(&endless)).take("a", "b", false).is_ok());
    }

    #[test]
    fn query_strings() {
        let asked = Asked::read("args=%7B%22a%22%3A+1%7D&offset=5&last=false", true).unwrap();
        assert_eq!(asked, Asked { args: Some(json!({"a": 1})), offset: Some(5), last: Some(false) });
        assert_eq!(Asked::read("", true).unwrap(), Asked::default());
        for wrong in ["args=%7", "args={", "offset=-1", "last=1", "x=1", "offset=1&offset=1", "args"] {
            assert_eq!(Asked::read(wrong, true).unwrap_err().code(), &ErrorCode::InvalidRequest, "{wrong}");
        }
        assert!(Asked::read("offset=1", false).is_err());
    }
}
