//! JSON text as a tree that borrows its strings: for looking at input before it becomes a typed value, which is made of the tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{Error as Unfit, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::value::{ArrayRef, AsValue, ObjectRef, ValueRef};

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

/// What asks for a kind of value is given no other one, whatever it would make of that.
macro_rules! of_kind {
    ($($($method:ident)+ => $kind:pat),* $(,)?) => {$($(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            match self {
                value @ $kind => value.deserialize_any(visitor),
                _ => Err(Unfit::custom("a value of another kind")),
            }
        }
    )+)*};
}

/// As that of `serde_json::Value`.
impl<'de> Deserializer<'de> for Json<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Int(value) => visitor.visit_i64(value),
            Self::UInt(value) => visitor.visit_u64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Self::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Self::Array(items) => SeqDeserializer::new(items.into_iter()).deserialize_any(visitor),
            Self::Object(Members(members)) => MapDeserializer::new(members.into_iter()).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self {
            Self::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self {
            Self::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Self::Object(Members(members)) if members.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(members.into_iter())))
            }
            _ => Err(Unfit::custom("no variant")),
        }
    }

    of_kind! {
        deserialize_bool => Self::Bool(_),
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 => Self::Int(_) | Self::UInt(_) | Self::Float(_),
        deserialize_char deserialize_str deserialize_string deserialize_identifier => Self::Text(_),
        deserialize_bytes deserialize_byte_buf => Self::Text(_) | Self::Array(_),
        deserialize_unit => Self::Null,
        deserialize_seq => Self::Array(_),
        deserialize_map => Self::Object(_),
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self {
            Self::Array(_) => self.deserialize_seq(visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    forward_to_deserialize_any! { ignored_any }
}

impl<'t> IntoDeserializer<'t, Unfit> for Json<'t> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
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
            if all.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a name stands twice"));
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
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde::Deserialize;
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

    /// A type of it is what it is of a `Value`, also where it is none.
    #[test]
    fn types_are_made_of_the_tree_as_of_a_value() {
        fn same<T: serde::de::DeserializeOwned + Debug>(texts: &[&str]) -> usize {
            let made = texts.iter().filter(|text| {
                let json: Json<'_> = serde_json::from_str(text).unwrap();
                let value: Value = serde_json::from_str(text).unwrap();
                let (of_tree, of_value) = (T::deserialize(json).ok(), T::deserialize(value).ok());
                assert_eq!(format!("{of_tree:?}"), format!("{of_value:?}"), "{text}");
                of_tree.is_some()
            });
            made.count()
        }
        let texts = [
            "null",
            "true",
            "0",
            "-1",
            "1.5",
            "300",
            "18446744073709551615",
            r#""""#,
            r#""One""#,
            r#""\u00e9\n""#,
            "[]",
            "[1,2]",
            r#"["x",null]"#,
            "{}",
            r#"{"One":null}"#,
            r#"{"Two":7}"#,
            r#"{"Two":"7"}"#,
            r#"{"Three":[1,"x"]}"#,
            r#"{"Three":[1,"x",2]}"#,
            r#"{"Four":{"a":1,"b":["x"]}}"#,
            r#"{"Four":{"a":1},"Two":7}"#,
            r#"{"a":1,"b":["x","\u00e9"]}"#,
            r#"{"a":1,"b":["x"],"c":0}"#,
            r#"{"a":1}"#,
            r#"{"b":null,"a":255}"#,
            r#"{"kind":"One","a":1,"b":null}"#,
            r#"{"kind":"Four","a":1,"b":[]}"#,
            r#"{"t":"Two","c":7}"#,
        ];
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct Open {
            a: u8,
            b: Option<Vec<String>>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Closed {
            a: f32,
            b: Vec<char>,
        }
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct Flat {
            a: i64,
            #[serde(flatten)]
            rest: BTreeMap<String, Value>,
        }
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        enum Tagged {
            One,
            Two(u8),
            Three(u8, String),
            Four { a: u8, b: Vec<String> },
        }
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind")]
        #[allow(dead_code)]
        enum Inside {
            One,
            Four { a: u8, b: Vec<String> },
        }
        #[derive(Debug, Deserialize)]
        #[serde(tag = "t", content = "c")]
        #[allow(dead_code)]
        enum Beside {
            One,
            Two(u8),
        }
        #[derive(Debug, Deserialize)]
        #[serde(untagged)]
        #[allow(dead_code)]
        enum Any {
            Number(i8),
            Pair(u8, u8),
            Open(Open),
            Text(String),
        }
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct New(Option<u16>);
        #[derive(Debug, Deserialize)]
        struct Unit;
        let made = [
            same::<Value>(&texts),
            same::<Open>(&texts),
            same::<Closed>(&texts),
            same::<Flat>(&texts),
            same::<Tagged>(&texts),
            same::<Inside>(&texts),
            same::<Beside>(&texts),
            same::<Any>(&texts),
            same::<New>(&texts),
            same::<Unit>(&texts),
            same::<(u8, u8)>(&texts),
            same::<f64>(&texts),
            same::<u128>(&texts),
            same::<String>(&texts),
            same::<BTreeMap<String, Option<u8>>>(&texts),
            same::<serde::de::IgnoredAny>(&texts),
        ];
        assert!(made.iter().all(|made| *made > 0), "{made:?}");
    }

    #[test]
    fn what_it_is_not_made_for_is_refused() {
        let many: Vec<String> = (0..=MAX_MEMBERS).map(|at| format!("\"{at}\":0")).collect();
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        for text in [r#"{"a":1,"\u0061":2}"#, &format!("{{{}}}", many.join(",")), &deep, "{", "1 2", "1e999"] {
            assert!(serde_json::from_str::<Json<'_>>(text).is_err(), "{text}");
        }
    }
}
