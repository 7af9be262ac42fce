//! Indexes of one collection: from the value of a field to the documents that have it.
//!
//! A key is the canonical wire value in a compact form, so that what is equal to a filter is equal to an index. Only scalars
//! have keys; an array is found by each of its scalar elements. What has no key (`null`, a missing field, an object) is not
//! in the index, so that it does not count for `unique`, and a query for it does not use the index.

use std::cmp::Ordering;

use imbl::OrdMap;

use super::document::{AnyDoc, DynDoc};
use super::id::RawId;
use super::value::{Num, ValueRef};

/// A scalar wire value, ordered as on the wire.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    UInt(u64),
    /// With a fraction, or out of the range of the integers.
    Float(f64),
    Text(RawId),
}

impl Key {
    /// The key of a value; `None` when it has none.
    pub(crate) fn of(value: &ValueRef<'_>) -> Option<Self> {
        match *value {
            ValueRef::Bool(value) => Some(Self::Bool(value)),
            ValueRef::Int(value) => Some(Self::Int(value)),
            ValueRef::UInt(value) => Some(i64::try_from(value).map_or(Self::UInt(value), Self::Int)),
            ValueRef::Float(value) => Some(match Num::of_float(value) {
                Num::Int(whole) => match (i64::try_from(whole), u64::try_from(whole)) {
                    (Ok(whole), _) => Self::Int(whole),
                    (_, Ok(whole)) => Self::UInt(whole),
                    _ => Self::Float(value),
                },
                Num::Float(value) => Self::Float(value),
            }),
            ValueRef::Str(text) => Some(Self::Text(RawId::of_any_text(text))),
            ValueRef::Id(id) => Some(Self::Text(id.clone())),
            ValueRef::Null
            | ValueRef::Private(_)
            | ValueRef::Protected(_)
            | ValueRef::Array(_)
            | ValueRef::Object(_)
            | ValueRef::Part { .. } => None,
            ValueRef::Serialized(_) => value.resolved(|value| match value {
                ValueRef::Serialized(_) => None,
                value => Self::of(&value),
            }),
        }
    }

    fn view(&self) -> ValueRef<'_> {
        match self {
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Int(value) => ValueRef::Int(*value),
            Self::UInt(value) => ValueRef::UInt(*value),
            Self::Float(value) => ValueRef::Float(*value),
            Self::Text(text) => ValueRef::Id(text),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            _ => self.view().compare(&other.view()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// Calls `f` with each key that the document has in an index on this field.
fn each_key(doc: &dyn AnyDoc, field: &str, f: &mut dyn FnMut(Key)) {
    match doc.object().get(field) {
        None => {}
        // Whether somebody may ask for it is told by the path of the query.
        Some(ValueRef::Protected(value)) => each_key_of(value.as_value(), f),
        Some(part @ ValueRef::Part { .. }) => part.resolved(|part| each_key_of(part, f)),
        Some(value) => each_key_of(value, f),
    }
}

fn each_key_of(value: ValueRef<'_>, f: &mut dyn FnMut(Key)) {
    match value {
        ValueRef::Array(array) => {
            let mut keys: Vec<Key> = (0..array.len()).filter_map(|at| Key::of(&array.at(at))).collect();
            // A value that stands twice in one document is one entry.
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().for_each(f);
        }
        value => {
            if let Some(key) = Key::of(&value) {
                f(key);
            }
        }
    }
}

/// The keys of a document on this field, each once. The id of the document has a key as well.
pub(crate) fn keys_of(doc: &dyn AnyDoc, field: &str) -> Vec<Key> {
    if field == "_id" {
        return vec![Key::Text(doc.id().clone())];
    }
    let mut keys = Vec::new();
    each_key(doc, field, &mut |key| keys.push(key));
    keys
}

/// The index on one field.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) field: Box<str>,
    entries: Entries,
}

#[derive(Clone)]
enum Entries {
    Unique(OrdMap<Key, DynDoc>),
    /// With the id in the key, so that documents with one value are in the order of their ids.
    Shared(OrdMap<(Key, RawId), DynDoc>),
}

impl Index {
    pub(crate) fn new(field: &str, unique: bool) -> Self {
        let entries = if unique { Entries::Unique(OrdMap::new()) } else { Entries::Shared(OrdMap::new()) };
        Self { field: field.into(), entries }
    }

    /// Whether another document than this one has a value that the document has, where that is forbidden.
    pub(crate) fn is_taken(&self, doc: &DynDoc) -> bool {
        let Entries::Unique(entries) = &self.entries else { return false };
        let mut taken = false;
        each_key(doc.as_ref(), &self.field, &mut |key| {
            taken |= entries.get(&key).is_some_and(|holder| holder.id() != doc.id());
        });
        taken
    }

    /// The documents that [`Index::is_taken`] speaks of.
    pub(crate) fn holders(&self, doc: &DynDoc) -> Vec<RawId> {
        let Entries::Unique(entries) = &self.entries else { return Vec::new() };
        let mut holders = Vec::new();
        each_key(doc.as_ref(), &self.field, &mut |key| {
            holders.extend(entries.get(&key).map(|holder| holder.id()).filter(|id| *id != doc.id()).cloned());
        });
        holders
    }

    pub(crate) fn add(&mut self, doc: &DynDoc) {
        let Self { field, entries } = self;
        each_key(doc.as_ref(), field, &mut |key| match entries {
            Entries::Unique(entries) => {
                entries.insert(key, doc.clone());
            }
            Entries::Shared(entries) => {
                entries.insert((key, doc.id().clone()), doc.clone());
            }
        });
    }

    pub(crate) fn remove(&mut self, doc: &DynDoc) {
        let Self { field, entries } = self;
        each_key(doc.as_ref(), field, &mut |key| match entries {
            Entries::Unique(entries) => {
                entries.remove(&key);
            }
            Entries::Shared(entries) => {
                entries.remove(&(key, doc.id().clone()));
            }
        });
    }

    /// How many documents have the key, counted up to `most`.
    pub(crate) fn count(&self, key: &Key, most: usize) -> usize {
        match &self.entries {
            Entries::Unique(entries) => usize::from(entries.contains_key(key)),
            Entries::Shared(_) => self.docs(key).take(most).count(),
        }
    }

    /// The documents that have the key, in the order of their ids.
    pub(crate) fn docs<'a>(&'a self, key: &Key) -> Box<dyn Iterator<Item = &'a DynDoc> + 'a> {
        match &self.entries {
            Entries::Unique(entries) => Box::new(entries.get(key).into_iter()),
            Entries::Shared(entries) => {
                let key = key.clone();
                Box::new(
                    entries
                        .range((key.clone(), RawId::least())..)
                        .take_while(move |(entry, _)| entry.0 == key)
                        .map(|(_, doc)| doc),
                )
            }
        }
    }
}
