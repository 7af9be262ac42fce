//! Values of models without a Rust type: a JSON object, and what its schema says is private.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::query::project::RawProjection;
use super::schema::shape::{Part, ROOT, Shape, serialize_members};
use super::value::{AsValue, ObjectRef, ValueRef};
use crate::error::{Error, Result, Violation};

/// A value of a model that has no Rust type: a JSON object.
///
/// What comes out of a model knows what its schema says is private: that is read in process as any other member, and left out
/// when the value is serialized or printed. A value that was made by hand knows no schema yet.
///
/// ```
/// use modeller::Document;
/// use serde_json::json;
/// # use modeller::__private::serde_json;
/// let mut ada = Document::try_from(json!({"name": "Ada", "address": {"city": "London"}}))?;
/// ada.insert("age", 36);
/// assert_eq!((&ada["name"], &ada["address"]["city"]), (&json!("Ada"), &json!("London")));
/// assert_eq!((ada.get("age"), ada.get("email")), (Some(&json!(36)), None));
/// # Ok::<(), modeller::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Document {
    members: Map<String, Value>,
    shape: Option<Arc<Shape>>,
}

impl Document {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With what its schema says of it.
    pub(crate) fn of(members: Map<String, Value>, shape: Option<Arc<Shape>>) -> Self {
        Self { members, shape }
    }

    /// The member of that name, also a private one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The member of that name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.members.get_mut(name)
    }

    /// Gives a member this value, and answers the one that it had.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.members.insert(name.into(), value.into())
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// All members, private ones too.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// All members, private ones too, taken out.
    #[must_use]
    pub fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// Leaves only what the projection asks for.
    pub(crate) fn retain(&mut self, projection: &RawProjection) {
        projection.members(&mut self.members);
    }

    /// All members, taken out and left empty.
    pub(crate) fn take(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.members)
    }
}

/// A missing member is `null`, as in [`serde_json::Value`].
impl Index<&str> for Document {
    type Output = Value;
    fn index(&self, name: &str) -> &Value {
        self.members.get(name).unwrap_or(&Value::Null)
    }
}

impl From<Map<String, Value>> for Document {
    fn from(members: Map<String, Value>) -> Self {
        Self { members, shape: None }
    }
}

/// A JSON object; anything else is a `VALIDATION_ERROR`.
impl TryFrom<Value> for Document {
    type Error = Error;
    fn try_from(value: Value) -> Result<Self> {
        match value {
            Value::Object(members) => Ok(members.into()),
            _ => Err(Error::validation(vec![not_an_object()])),
        }
    }
}

/// A document is an object, whatever its schema says.
pub(crate) fn not_an_object() -> Violation {
    Violation {
        instance_path: String::new(),
        keyword: "type".into(),
        message: "must be object".into(),
        params: serde_json::json!({"type": "object"}),
        schema_path: "#/type".into(),
    }
}

impl From<Document> for Value {
    fn from(document: Document) -> Self {
        Self::Object(document.members)
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Document {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(members: I) -> Self {
        Map::from_iter(members.into_iter().map(|(name, value)| (name.into(), value.into()))).into()
    }
}

/// The same members with the same values.
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

/// Private members are shown as `<private>`, the values of others as JSON without what is private in them.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.members {
            match self.shape.as_deref().and_then(|shape| Some((shape, shape.member(ROOT, name)?))) {
                None => map.entry(name, &format_args!("{value}")),
                Some((shape, at)) => {
                    if let Some(level) = shape.level(at) {
                        map.entry(name, &format_args!("{}", level.shown()));
                        continue;
                    }
                    let shown = serde_json::to_string(&Part::new(value, shape, at)).unwrap_or_default();
                    map.entry(name, &format_args!("{shown}"))
                }
            };
        }
        map.finish()
    }
}

/// Without what is private, unless it is written for the store.
impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.shape {
            Some(shape) => serialize_members(&self.members, shape, ROOT, serializer),
            _ => self.members.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for Document {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Document".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

impl ObjectRef for Document {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        self.members.get(name).map(|value| self.view(name, value))
    }
    fn slots(&self) -> usize {
        self.members.len()
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        let (name, value) = self.members.iter().nth(slot)?;
        Some((name, self.view(name, value)))
    }
    fn each(&self, f: &mut dyn FnMut(&str, ValueRef<'_>)) {
        self.members.iter().for_each(|(name, value)| f(name, self.view(name, value)));
    }
}

impl Document {
    fn view<'a>(&'a self, name: &str, value: &'a Value) -> ValueRef<'a> {
        match &self.shape {
            None => value.as_value(),
            Some(shape) => shape.view(shape.member(ROOT, name), value),
        }
    }
}

impl AsValue for Document {
    fn as_value(&self) -> ValueRef<'_> {
        ValueRef::Object(self)
    }
}
