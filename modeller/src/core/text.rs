//! JSON text as a tree that borrows its strings: for looking at input before it becomes a typed value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::value::{ArrayRef, AsValue, ObjectRef, ValueRef};

/// As what `serde_json` hands numbers on where its feature `arbitrary_precision` is on, which any crate of a program can turn on: an
/// object with this member. What has one is left to `serde_json::Value`, which knows.
pub(crate) const NUMBER: &str = "$serde_json::private::Number";

/// Members of one object above which it is left to `serde_json::Value`, whose objects find a name without going through all.
const MAX_MEMBERS: usize = 64;

/// A JSON value that borrows from its text.
pub(crate) enum Json<'t> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(Cow<'t, str>),
    Array(Vec<Json<'t>>),
    Object(Members<'t>),
}

/// The members of an object in the order of the text; no name stands twice.
pub(crate) struct Members<'t>(Vec<(Cow<'t, str>, Json<'t>)>);

impl ObjectRef for Members<'_> {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_value())
    }
    fn slots(&self) -> usize {
        self.0.len()
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        self.0.get(slot).map(|(name, value)| (name.as_ref(), value.as_value()))
    }
}

impl AsValue for Json<'_> {
    fn as_value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Int(value) => ValueRef::Int(*value),
            Self::UInt(value) => ValueRef::UInt(*value),
            Self::Float(value) => ValueRef::Float(*value),
            Self::Text(text) => ValueRef::Str(text),
            Self::Array(items) => ValueRef::Array(items as &dyn ArrayRef),
            Self::Object(members) => ValueRef::Object(members),
        }
    }
}

struct JsonVisitor;

impl<'t> Visitor<'t> for JsonVisitor {
    type Value = Json<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json<'t>, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json<'t>, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json<'t>, E> {
        Ok(Json::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json<'t>, E> {
        Ok(Json::UInt(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json<'t>, E> {
        Ok(Json::Float(value))
    }
    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Json<'t>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Json<'t>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<Json<'t>, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }
    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<Json<'t>, A::Error> {
        let mut all: Vec<(Cow<'t, str>, Json<'t>)> = Vec::with_capacity(8);
        while let Some(Name(name)) = members.next_key()? {
            if all.len() >= MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            if name == NUMBER || all.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a name stands twice, or is that of a number"));
            }
            all.push((name, members.next_value()?));
        }
        Ok(Json::Object(Members(all)))
    }
}

impl<'t> Deserialize<'t> for Json<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// The name of a member. `Cow` by itself never borrows.
struct Name<'t>(Cow<'t, str>);

impl<'t> Deserialize<'t> for Name<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'t> Visitor<'t> for NameVisitor {
            type Value = Name<'t>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Name<'t>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'t>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_tree_is_what_serde_json_reads() {
        for text in [
            "null",
            " [true, -1, 18446744073709551615, 1.0, 1e2, -0, 0.1] ",
            r#"{"a": {"b": ["x", "\u00e9\n", ""]}, "\u0061b": {}, "": []}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let json: Json<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(json.as_value().to_json(), value, "{text}");
        }
    }

    #[test]
    fn what_it_is_not_made_for_is_refused() {
        let many: Vec<String> = (0..=MAX_MEMBERS).map(|at| format!("\"{at}\":0")).collect();
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        for text in [
            r#"{"a":1,"\u0061":2}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            &format!("{{{}}}", many.join(",")),
            &deep,
            "{",
            "1 2",
            "1e999",
        ] {
            assert!(serde_json::from_str::<Json<'_>>(text).is_err(), "{text}");
        }
    }
}
