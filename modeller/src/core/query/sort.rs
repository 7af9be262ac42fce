//! The order of a list.

use std::cmp::Ordering;
use std::marker::PhantomData;

use serde_json::Value;

use super::filter::Path;
use super::parse::{Schema, parse_sort};
use crate::core::document::{AnyDoc, DocView, DynDoc};
use crate::core::id::RawId;
use crate::core::value::{AsValue, ValueRef};
use crate::error::Result;

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// A sort by fields of whatever model; documents that are equal in all of them come in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RawSort(Vec<(Path, Direction)>);

impl RawSort {
    /// Appends a key. Behind the id, which no two documents share, none counts.
    pub(crate) fn push(&mut self, path: Path, direction: Direction) {
        if !self.0.iter().any(|(known, _)| known.single() == Some("_id")) {
            self.0.push((path, direction));
        }
    }

    /// The paths in the order in which they count.
    pub(crate) fn keys(&self) -> &[(Path, Direction)] {
        &self.0
    }

    pub(crate) fn compare(&self, a: &DynDoc, b: &DynDoc) -> Ordering {
        self.0
            .iter()
            .map(|(path, direction)| direction.directed(compare_at(a.as_ref(), b.as_ref(), path, *direction)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.id().cmp(b.id()))
    }

    /// Where the document stands in this order.
    #[cfg(test)]
    pub(crate) fn position(&self, doc: &DynDoc) -> Position {
        let values = self.0.iter().map(|(path, direction)| key(doc.as_ref(), path, *direction)).collect();
        Position { values, id: doc.id().clone() }
    }

    /// Whether the document comes after that position.
    pub(crate) fn is_behind(&self, doc: &DynDoc, position: &Position) -> bool {
        self.0
            .iter()
            .zip(&position.values)
            .map(|((path, direction), value)| {
                let own = key(doc.as_ref(), path, *direction);
                direction.directed(compare_keys(own.as_ref(), value.as_ref()))
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| doc.id().cmp(&position.id))
            .is_gt()
    }
}

impl Direction {
    fn directed(self, order: Ordering) -> Ordering {
        match self {
            Self::Ascending => order,
            Self::Descending => order.reverse(),
        }
    }
}

/// A place in an order: that of a document when it was read, which may have changed or gone since.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    /// What it is sorted by, for each key of the sort; `None` for an empty array.
    pub(crate) values: Vec<Option<Value>>,
    pub(crate) id: RawId,
}

/// An array stands for its least element when rising, its greatest when falling; an empty one is below `null`.
fn compare_at(a: &dyn AnyDoc, b: &dyn AnyDoc, path: &Path, direction: Direction) -> Ordering {
    // A plain field, which nearly all sorts are by, is compared where it lies.
    if let Some(name) = path.single()
        && let (Some(of_a), Some(of_b)) = (plain(a, name), plain(b, name))
    {
        return of_a.compare(&of_b);
    }
    compare_keys(key(a, path, direction).as_ref(), key(b, path, direction).as_ref())
}

fn compare_keys(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.as_value().compare(&b.as_value()),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// The value of a top-level field, unless it has to be looked into.
fn plain<'a>(doc: &'a dyn AnyDoc, name: &str) -> Option<ValueRef<'a>> {
    match name {
        "_id" => Some(ValueRef::Id(doc.id())),
        "_rev" => Some(ValueRef::UInt(doc.rev())),
        _ => match doc.object().get(name) {
            Some(
                ValueRef::Array(_)
                | ValueRef::Serialized(_)
                | ValueRef::Part { .. }
                | ValueRef::Private(_)
                | ValueRef::Protected(_),
            ) => None,
            value => Some(value.unwrap_or(ValueRef::Null)),
        },
    }
}

/// The value that the document is sorted by; `None` for an empty array.
fn key(doc: &dyn AnyDoc, path: &Path, direction: Direction) -> Option<Value> {
    let mut best: Option<Value> = None;
    let mut empty = false;
    path.reach(&DocView(doc), &mut |value| {
        let value = value.unwrap_or(ValueRef::Null);
        if let ValueRef::Array(array) = value {
            // Its elements follow; an empty one has none.
            empty |= array.is_empty();
            return false;
        }
        let better = best.as_ref().is_none_or(|best| match direction {
            Direction::Ascending => value.compare(&best.as_value()).is_lt(),
            Direction::Descending => value.compare(&best.as_value()).is_gt(),
        });
        if better {
            best = Some(value.to_json());
        }
        false
    });
    best.or(if empty { None } else { Some(Value::Null) })
}

/// A sort by fields of the model `T`.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String, pub age: u8 }
/// let oldest_first = User::AGE.desc().then(User::NAME.asc());
/// ```
#[derive(Debug)]
pub struct Sort<T: ?Sized>(RawSort, PhantomData<fn(&T)>);

impl<T: ?Sized> Sort<T> {
    pub(crate) fn none() -> Self {
        Self::from_raw(RawSort::default())
    }

    /// Reads an object of names with 1, for rising, or -1, for falling. The names are not checked here.
    ///
    /// # Errors
    /// `INVALID_QUERY` with the path and the reason.
    pub fn parse(json: &Value) -> Result<Self> {
        parse_sort(json, &Schema::Any).map(Self::from_raw)
    }

    pub(crate) fn by(name: &str, direction: Direction) -> Self {
        Self::from_raw(RawSort(vec![(Path::new(name), direction)]))
    }

    /// By this first, by `next` where it is equal.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        next.0.0.into_iter().for_each(|(path, direction)| self.0.push(path, direction));
        self
    }

    pub(crate) fn from_raw(raw: RawSort) -> Self {
        Self(raw, PhantomData)
    }

    pub(crate) fn raw(&self) -> &RawSort {
        &self.0
    }
}

impl<T: ?Sized> Clone for Sort<T> {
    fn clone(&self) -> Self {
        Self::from_raw(self.0.clone())
    }
}
