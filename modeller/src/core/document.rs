//! Documents: a value with an id and a revision, shared and never changed.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::decimal::to_value;
use super::id::{Id, RawId};
use super::private::Audience;
use super::private::for_storage;
use super::private::written_for;
use super::tree::Entry;
use super::value::{ObjectRef, ValueRef};
use crate::error::{Error, Result};

/// A type that can be stored: what `#[model]` makes of a struct.
///
/// Below [`ModelType`](super::schema::ModelType), which adds an id and a schema known at compile time.
pub trait Stored:
    Clone + Send + Sync + Serialize + DeserializeOwned + JsonSchema + ObjectRef + fmt::Debug + 'static
{
}

impl<T> Stored for T where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + JsonSchema + ObjectRef + fmt::Debug + 'static
{
}

/// A stored value of the model `T` with its id and its revision.
///
/// A clone shares the value. The fields of `T` are reached directly. Serialized it is the fields plus `_id` and `_rev`.
pub struct Doc<T>(Arc<Inner<T>>);

pub(crate) struct Inner<T> {
    id: RawId,
    rev: u64,
    value: T,
}

impl<T> Doc<T> {
    /// A document from its parts. It is not stored by this.
    #[must_use]
    pub fn from_parts(id: Id<T>, rev: u64, value: T) -> Self {
        Self(Arc::new(Inner { id: id.into_raw(), rev, value }))
    }

    /// Its id, `_id` on the wire.
    #[must_use]
    pub fn id(&self) -> Id<T> {
        Id::from_raw(self.0.id.clone())
    }

    /// Its revision, `_rev` on the wire: strictly growing for each document, and its `ETag`.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.0.rev
    }

    /// A copy of its value, e.g. to change it.
    #[must_use]
    pub fn value(&self) -> T
    where
        T: Clone,
    {
        self.0.value.clone()
    }

    /// Whether both are the same version of the same document, by identity.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: Stored> Doc<T> {
    /// Whether an erased document is of this type.
    pub(crate) fn is_of(doc: &DynDoc) -> bool {
        let any: &dyn Any = &**doc;
        any.is::<Inner<T>>()
    }

    /// The typed document behind an erased one; `None` when it is of another model.
    pub(crate) fn from_dyn(doc: DynDoc) -> Option<Self> {
        let any: Arc<dyn Any + Send + Sync> = doc;
        any.downcast::<Inner<T>>().ok().map(Self)
    }
}

impl<T> Clone for Doc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Doc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Doc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doc").field("_id", &self.0.id).field("_rev", &self.0.rev).field("value", &self.0.value).finish()
    }
}

/// The same id, revision and value.
impl<T: PartialEq> PartialEq for Doc<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && self.0.rev == other.0.rev && self.0.value == other.0.value
    }
}

#[derive(Serialize)]
struct FlatRef<'a, T> {
    _id: &'a RawId,
    _rev: u64,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct Flat {
    _id: RawId,
    _rev: u64,
    // The rest is read in a second step: serde cannot refuse unknown fields of a flattened struct.
    #[serde(flatten)]
    value: serde_json::Map<String, Value>,
}

impl<T: Serialize> Serialize for Doc<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FlatRef { _id: &self.0.id, _rev: self.0.rev, value: &self.0.value }.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Doc<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        let value = T::deserialize(Value::Object(flat.value)).map_err(serde::de::Error::custom)?;
        Ok(Self::from_parts(Id::from_raw(flat._id), flat._rev, value))
    }
}

/// The schema of the value with `_id` and `_rev`, both required.
impl<T: JsonSchema> JsonSchema for Doc<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Doc_{}", T::schema_name()).into()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("modeller::Doc<{}>", T::schema_id()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        super::schema::add_document_members(&mut schema);
        schema
    }
}

/// A document of whatever model. This is what collections hold.
pub(crate) type DynDoc = Arc<dyn AnyDoc>;

/// A tree of documents is in the order of their ids.
impl Entry for DynDoc {
    type Key = RawId;
    fn key(&self) -> &RawId {
        self.id()
    }
}

/// What the core needs of a document without knowing its type.
pub(crate) trait AnyDoc: Any + Send + Sync {
    /// Its id.
    fn id(&self) -> &RawId;
    /// Its revision.
    fn rev(&self) -> u64;
    /// Its value, without `_id` and `_rev`.
    fn object(&self) -> &dyn ObjectRef;
    /// A copy of its value.
    fn copy(&self) -> Box<dyn AnyValue>;
    /// The stored form: JSON text without `_id` and `_rev`, private fields included.
    fn encode(&self) -> Result<String>;
    /// About how many bytes the stored form has.
    fn weight(&self) -> usize;
    /// The stored form as JSON.
    fn to_stored(&self) -> Result<Value>;
    /// As JSON with what this audience sees, without `_id` and `_rev`.
    fn to_form(&self, audience: Audience) -> Result<Value>;
    /// Appends what this audience sees: JSON text with `_id` and `_rev`.
    fn write_for(&self, audience: Audience, out: &mut Vec<u8>) -> Result<()>;
}

impl<T: Stored> AnyDoc for Inner<T> {
    fn id(&self) -> &RawId {
        &self.id
    }
    fn rev(&self) -> u64 {
        self.rev
    }
    fn object(&self) -> &dyn ObjectRef {
        &self.value
    }
    fn copy(&self) -> Box<dyn AnyValue> {
        Box::new(self.value.clone())
    }
    fn encode(&self) -> Result<String> {
        AnyValue::encode(&self.value)
    }
    fn weight(&self) -> usize {
        AnyValue::weight(&self.value)
    }
    fn to_stored(&self) -> Result<Value> {
        AnyValue::to_stored(&self.value)
    }
    fn to_form(&self, audience: Audience) -> Result<Value> {
        written_for(audience, || to_value(&self.value)).map_err(Error::internal)
    }
    fn write_for(&self, audience: Audience, out: &mut Vec<u8>) -> Result<()> {
        let flat = FlatRef { _id: &self.id, _rev: self.rev, value: &self.value };
        written_for(audience, || serde_json::to_writer(&mut *out, &flat)).map_err(Error::internal)
    }
}

/// What the core needs of a value, before it is a document, without knowing its type.
pub(crate) trait AnyValue: Any + Send + Sync {
    /// The stored form: JSON text, private fields included.
    fn encode(&self) -> Result<String>;
    /// Its members as they are.
    fn object(&self) -> &dyn ObjectRef;
    /// About how many bytes the stored form has.
    fn weight(&self) -> usize;
    /// The stored form as JSON.
    fn to_stored(&self) -> Result<Value>;
    /// A copy.
    fn copy(&self) -> Box<dyn AnyValue>;
    /// The document with this value.
    fn into_doc(self: Box<Self>, id: RawId, rev: u64) -> DynDoc;
    /// The value, to be changed by someone who knows its type.
    fn as_any_mut(&mut self) -> &mut (dyn Any + Send);
}

impl<T: Stored> AnyValue for T {
    fn object(&self) -> &dyn ObjectRef {
        self
    }
    fn weight(&self) -> usize {
        // What cannot be written has no stored form, and will be refused for that.
        let written = || AnyValue::encode(self).map_or(0, |text| text.len());
        ValueRef::Object(self).weight().unwrap_or_else(written)
    }
    fn encode(&self) -> Result<String> {
        for_storage(|| serde_json::to_string(self)).map_err(Error::internal)
    }
    fn to_stored(&self) -> Result<Value> {
        for_storage(|| to_value(self)).map_err(Error::internal)
    }
    fn copy(&self) -> Box<dyn AnyValue> {
        Box::new(self.clone())
    }
    fn into_doc(self: Box<Self>, id: RawId, rev: u64) -> DynDoc {
        Arc::new(Inner { id, rev, value: *self })
    }
    fn as_any_mut(&mut self) -> &mut (dyn Any + Send) {
        self
    }
}

/// A document as filters and sorts see it: `_id` and `_rev` beside the fields.
#[derive(Clone, Copy)]
pub(crate) struct DocView<'a>(pub(crate) &'a dyn AnyDoc);

impl ObjectRef for DocView<'_> {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "_id" => Some(ValueRef::Id(self.0.id())),
            "_rev" => Some(ValueRef::UInt(self.0.rev())),
            _ => self.0.object().get(name),
        }
    }
    fn slots(&self) -> usize {
        self.0.object().slots() + 2
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        match slot {
            0 => Some(("_id", ValueRef::Id(self.0.id()))),
            1 => Some(("_rev", ValueRef::UInt(self.0.rev()))),
            _ => self.0.object().entry(slot - 2),
        }
    }
}
