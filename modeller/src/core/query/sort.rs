//! The order of a list.
//!
//! An array stands for its least element when rising, for its greatest when falling, and an empty one is below `null`
//! (MongoDB manual, "Comparison/Sort Order", "Arrays"). Two keys that go through one array go through it together: of
//! `[{b: 1, c: 9}, {b: 2, c: 0}]` a rising sort by `b` and `c` takes the first element, as an index over both would have it
//! ("Multikey Indexes"). Two keys with an array each would have a value for each pair of their elements, and are an error.

use std::cmp::Ordering;
use std::marker::PhantomData;

use serde_json::{Map, Value};

use super::filter::{Path, position};
use super::matcher::Slot;
use super::parse::{Schema, parse_sort};
use crate::core::document::{AnyDoc, DynDoc};
use crate::core::id::RawId;
use crate::core::index::Seen;
use crate::core::key::{push_empty, push_value};
use crate::core::private::{Audience, Level};
use crate::core::value::{AsValue, ValueRef};
use crate::error::{Error, Result};

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

/// What a document is sorted by, for each key of a sort; `None` for an empty array.
type Keys = Box<[Option<Value>]>;

/// A document that is being sorted.
pub(crate) struct Sorted<'a> {
    pub(crate) doc: &'a DynDoc,
    /// `None` where all of them are plain fields, which are compared where they lie.
    keys: Option<Keys>,
    /// What the only key of the sort is, where that is a whole number and was looked for.
    whole: Option<i64>,
}

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

    /// The sort in MongoDB syntax.
    pub(crate) fn to_json(&self) -> Value {
        let keys = self.0.iter().map(|(path, direction)| (path.dotted(), direction.to_json()));
        Value::Object(keys.collect())
    }

    /// The same of a document whose only key is this number, as [`WholeKey::of`] says.
    pub(crate) fn of_whole(doc: &DynDoc, number: i64) -> Sorted<'_> {
        Sorted { doc, keys: None, whole: Some(number) }
    }

    /// The document with what it is sorted by.
    ///
    /// # Errors
    /// `INVALID_QUERY` when two keys have an array each.
    pub(crate) fn of<'a>(&self, doc: &'a DynDoc) -> Result<Sorted<'a>> {
        let is_plain =
            |(path, _): &(Path, Direction)| path.single().is_some_and(|name| plain(doc.as_ref(), name).is_some());
        let keys = if self.0.iter().all(is_plain) { None } else { Some(self.values(doc.as_ref())?) };
        Ok(Sorted { doc, keys, whole: None })
    }

    pub(crate) fn compare(&self, a: &Sorted<'_>, b: &Sorted<'_>) -> Ordering {
        if let (Some(own), Some(other), [(_, direction)]) = (a.whole, b.whole, self.0.as_slice()) {
            return direction.directed(own.cmp(&other)).then_with(|| a.doc.id().cmp(b.doc.id()));
        }
        self.0
            .iter()
            .enumerate()
            .map(|(at, (path, direction))| {
                direction.directed(a.with(at, path, |own| b.with(at, path, |other| compare_keys(own, other))))
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.doc.id().cmp(b.doc.id()))
    }

    /// The one key of the sort, where documents that have a whole number there can be told apart by that; of a field, the numbers
    /// stand beside the documents.
    pub(crate) fn whole_key(&self, beside: Option<&str>) -> Option<WholeKey<'_>> {
        let [(path, direction)] = self.0.as_slice() else { return None };
        let name = path.single().filter(|name| !matches!(*name, "_id" | "_rev"))?;
        Some(WholeKey { slot: Slot::of(name), is_beside: beside == Some(name), direction: *direction })
    }

    /// The documents in this order.
    ///
    /// # Errors
    /// Those of [`RawSort::of`].
    #[cfg(feature = "cli")]
    pub(crate) fn sorted(&self, docs: &[DynDoc]) -> Result<Vec<DynDoc>> {
        let mut sorted = docs.iter().map(|doc| self.of(doc)).collect::<Result<Vec<_>>>()?;
        sorted.sort_by(|a, b| self.compare(a, b));
        Ok(sorted.into_iter().map(|one| one.doc.clone()).collect())
    }

    /// Where the document stands in this order.
    ///
    /// # Errors
    /// Those of [`RawSort::of`].
    pub(crate) fn position(&self, doc: &DynDoc) -> Result<Position> {
        Ok(self.position_of(&self.of(doc)?))
    }

    pub(crate) fn position_of(&self, sorted: &Sorted<'_>) -> Position {
        let keys = self.0.iter().enumerate().map(|(at, (path, _))| {
            let mut key = Vec::new();
            sorted.with(at, path, |value| match value {
                Some(value) => push_value(&mut key, &value),
                None => push_empty(&mut key),
            });
            key
        });
        Position { keys: keys.collect(), id: sorted.doc.id().clone() }
    }

    /// Which of two positions of this order comes first.
    pub(crate) fn compare_positions(&self, a: &Position, b: &Position) -> Ordering {
        let keys = self.0.iter().zip(a.keys.iter().zip(&b.keys));
        keys.map(|((_, direction), (a, b))| direction.directed(a.cmp(b)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.id.cmp(&b.id))
    }

    /// Whether the document comes after that position.
    pub(crate) fn is_behind(&self, sorted: &Sorted<'_>, position: &Position) -> bool {
        self.compare_positions(&self.position_of(sorted), position).is_gt()
    }

    /// What the document is sorted by.
    fn values(&self, doc: &dyn AnyDoc) -> Result<Keys> {
        // Each array once, so that two keys that lead to it meet in it.
        let mut heads: Vec<(&Path, Head)> = Vec::new();
        let mut places = Vec::new();
        for (path, _) in &self.0 {
            let known = heads.iter().position(|(other, head)| {
                let way = other.names().get(..head.taken);
                let is_array = head.value.as_ref().is_some_and(Value::is_array);
                is_array && path.names().get(..head.taken) == way && path.written_by() == other.written_by()
            });
            places.push(known.unwrap_or(heads.len()));
            if known.is_none() {
                heads.push((path, Head::of(doc, path)));
            }
        }
        let walks = self.0.iter().zip(places).filter_map(|((path, _), place)| {
            let (_, head) = heads.get(place)?;
            Some(Walk::Under { value: head.value.as_ref(), rest: path.names().get(head.taken..)? })
        });
        let mut best: Option<Keys> = None;
        each_key(walks.collect(), &mut |keys| {
            let is_better = best.as_ref().is_none_or(|best| {
                let order = self.0.iter().zip(keys.iter().zip(best)).map(|((_, direction), (own, best))| {
                    direction.directed(compare_keys(own.map(AsValue::as_value), best.as_ref().map(AsValue::as_value)))
                });
                order.into_iter().find(|order| order.is_ne()).is_some_and(Ordering::is_lt)
            });
            if is_better {
                best = Some(keys.iter().map(|value| value.cloned()).collect());
            }
        })?;
        Ok(best.unwrap_or_default())
    }
}

/// The only key of a sort, read as a whole number.
pub(crate) struct WholeKey<'a> {
    slot: Slot<'a>,
    is_beside: bool,
    direction: Direction,
}

impl WholeKey<'_> {
    /// What the document has there, if that is a whole number.
    pub(crate) fn of(&self, seen: Seen<'_>) -> Option<i64> {
        if self.is_beside
            && let Some(number) = seen.number()
        {
            return Some(number);
        }
        self.slot.with(seen.doc.as_ref(), |value, _| value.and_then(ValueRef::whole))
    }

    /// Whether one number comes after another.
    pub(crate) fn is_behind(&self, own: i64, other: i64) -> bool {
        self.direction.directed(own.cmp(&other)).is_gt()
    }
}

impl Sorted<'_> {
    /// What the only key of the sort is, where that is a whole number.
    pub(crate) fn whole(&self) -> Option<i64> {
        self.whole
    }

    /// Calls `f` with the value of a key.
    fn with<R>(&self, at: usize, path: &Path, f: impl FnOnce(Option<ValueRef<'_>>) -> R) -> R {
        match &self.keys {
            Some(keys) => f(keys.get(at).and_then(|key| key.as_ref().map(AsValue::as_value))),
            None => f(path.single().and_then(|name| plain(self.doc.as_ref(), name))),
        }
    }
}

impl Direction {
    /// As in MongoDB.
    pub(super) fn to_json(self) -> Value {
        if self == Self::Ascending { 1.into() } else { (-1).into() }
    }

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
    /// What it is sorted by, for each key of the sort, in the form of the keys of indexes.
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) id: RawId,
}

/// An empty array is below all values.
fn compare_keys(a: Option<ValueRef<'_>>, b: Option<ValueRef<'_>>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.compare(&b),
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

/// The first value on a path that is no object, or the last one.
struct Head {
    /// How many names lead to it.
    taken: usize,
    /// `None` where there is none.
    value: Option<Value>,
}

impl Head {
    fn of(doc: &dyn AnyDoc, path: &Path) -> Self {
        let names = path.names();
        let start = match path.head() {
            "_id" => Some(ValueRef::Id(doc.id())),
            "_rev" => Some(ValueRef::UInt(doc.rev())),
            name => doc.object().get(name),
        };
        let nothing = Self { taken: names.len(), value: None };
        start.map_or(nothing, |value| Self::under(value, names, 1, path.written_by()))
    }

    fn under(value: ValueRef<'_>, names: &[Box<str>], taken: usize, by: Audience) -> Self {
        let nothing = Self { taken: names.len(), value: None };
        match value {
            ValueRef::Serialized(_) | ValueRef::Part { .. } => {
                value.resolved(|value| Self::under(value, names, taken, by))
            }
            ValueRef::Private(inner) if by.sees(Level::Private) => Self::under(inner.as_value(), names, taken, by),
            ValueRef::Protected(inner) if by.sees(Level::Protected) => Self::under(inner.as_value(), names, taken, by),
            ValueRef::Private(_) | ValueRef::Protected(_) => nothing,
            ValueRef::Object(object) => match names.get(taken) {
                None => Self { taken, value: seen(value, by) },
                Some(name) => object.get(name).map_or(nothing, |value| Self::under(value, names, taken + 1, by)),
            },
            ValueRef::Array(_) => Self { taken, value: seen(value, by) },
            _ if taken < names.len() => nothing,
            value => Self { taken, value: Some(value.to_json()) },
        }
    }
}

/// The value as JSON, as far as it is there for whoever wrote the path.
fn seen(value: ValueRef<'_>, by: Audience) -> Option<Value> {
    match value {
        ValueRef::Private(inner) => by.sees(Level::Private).then(|| seen(inner.as_value(), by)).flatten(),
        ValueRef::Protected(inner) => by.sees(Level::Protected).then(|| seen(inner.as_value(), by)).flatten(),
        ValueRef::Array(array) => {
            let mut all = Vec::with_capacity(array.len());
            array.any(&mut |element| {
                all.push(seen(element, by).unwrap_or_default());
                false
            });
            Some(Value::Array(all))
        }
        ValueRef::Object(object) => {
            let mut all = Map::new();
            object.each(&mut |name, value| {
                if let Some(value) = seen(value, by) {
                    all.insert(name.to_owned(), value);
                }
            });
            Some(Value::Object(all))
        }
        ValueRef::Serialized(_) | ValueRef::Part { .. } => value.resolved(|value| seen(value, by)),
        value => Some(value.to_json()),
    }
}

/// How far a key has got.
#[derive(Clone, Copy)]
enum Walk<'a> {
    /// It is this; `None` for an empty array.
    At(Option<&'a Value>),
    /// It is below this, if there is something.
    Under { value: Option<&'a Value>, rest: &'a [Box<str>] },
}

const NULL: &Value = &Value::Null;

impl<'a> Walk<'a> {
    /// Goes on until it is done or there is an array. A number is a position where it leads somewhere and no element has it as
    /// a name.
    fn settled(self) -> Self {
        let (mut at, mut left) = match self {
            Self::At(_) => return self,
            Self::Under { value, rest } => (value, rest),
        };
        loop {
            at = match (at, left.split_first()) {
                (None, _) => return Self::At(Some(NULL)),
                (Some(Value::Array(array)), next) => {
                    let place = next.and_then(|(name, rest)| {
                        let is_name = array.iter().any(|element| element.get(&**name).is_some());
                        position(name).filter(|_| !is_name).and_then(|at| array.get(at)).map(|element| (element, rest))
                    });
                    let Some((element, rest)) = place else { return Self::Under { value: at, rest: left } };
                    left = rest;
                    Some(element)
                }
                (value, None) => return Self::At(value),
                (Some(Value::Object(object)), Some((name, rest))) => {
                    left = rest;
                    object.get(&**name)
                }
                (Some(_), Some(_)) => return Self::At(Some(NULL)),
            };
        }
    }

    /// The array that it stands before.
    fn array(self) -> Option<&'a Value> {
        match self {
            Self::Under { value, .. } => value.filter(|value| value.is_array()),
            Self::At(_) => None,
        }
    }

    /// The same behind an element of the array, if that is the one it stands before; `None` for the element of an empty one.
    fn entered(self, array: &Value, element: Option<&'a Value>) -> Self {
        match self {
            Self::Under { rest, .. } if self.array().is_some_and(|own| std::ptr::eq(own, array)) => match element {
                None if rest.is_empty() => Self::At(None),
                Some(element) if rest.is_empty() => Self::At(Some(element)),
                // Arrays directly in arrays are not entered.
                None | Some(Value::Array(_)) => Self::At(Some(NULL)),
                element => Self::Under { value: element, rest },
            },
            walk => walk,
        }
    }
}

/// Calls `f` with each combination of values that an index over the paths would have an entry for. There are no more than the
/// arrays have elements: all keys go through one array at a time.
fn each_key<'a>(walks: Vec<Walk<'a>>, f: &mut dyn FnMut(&[Option<&'a Value>])) -> Result<()> {
    let walks: Vec<Walk<'a>> = walks.into_iter().map(Walk::settled).collect();
    let mut arrays = walks.iter().filter_map(|walk| walk.array());
    let Some(array) = arrays.next() else {
        let keys: Vec<Option<&Value>> = walks
            .iter()
            .map(|walk| match walk {
                Walk::At(value) => *value,
                Walk::Under { value, .. } => Some(value.unwrap_or(NULL)),
            })
            .collect();
        f(&keys);
        return Ok(());
    };
    if arrays.any(|other| !std::ptr::eq(other, array)) {
        return Err(Error::query("sort", "two of its fields are arrays in one document"));
    }
    let entered = |element: Option<&'a Value>| walks.iter().map(|walk| walk.entered(array, element)).collect();
    match array.as_array().map(Vec::as_slice) {
        None | Some([]) => each_key(entered(None), f),
        Some(elements) => elements.iter().try_for_each(|element| each_key(entered(Some(element)), f)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::document::AnyValue;
    use crate::core::json::Document;
    use serde_json::json;

    fn document(value: &Value) -> DynDoc {
        Box::new(Document::try_from(value.clone()).unwrap()).into_doc(RawId::parse("id").unwrap(), 7)
    }

    fn keys(sort: &Value, value: &Value) -> Result<Vec<Option<Value>>> {
        let sort = parse_sort(sort, &Schema::Any).unwrap();
        let doc = document(value);
        let sorted = sort.of(&doc)?;
        Ok((0..sort.keys().len())
            .map(|at| sorted.with(at, &sort.keys()[at].0, |value| value.map(|value| value.to_json())))
            .collect())
    }

    /// MongoDB manual, "Comparison/Sort Order", "Arrays" and "Multikey Indexes".
    #[test]
    fn what_a_document_is_sorted_by() {
        let null = || Some(json!(null));
        let of = |value: Value| Some(value);
        let cases = [
            (json!({"a": 1}), json!({"a": 5}), vec![of(json!(5))]),
            (json!({"a": 1}), json!({}), vec![null()]),
            (json!({"a": 1}), json!({"a": [3, 1, 2]}), vec![of(json!(1))]),
            (json!({"a": -1}), json!({"a": [3, 1, 2]}), vec![of(json!(3))]),
            (json!({"a": 1}), json!({"a": []}), vec![None]),
            // An array in an array is a value, above the numbers.
            (json!({"a": 1}), json!({"a": [[0], 2]}), vec![of(json!(2))]),
            (json!({"a": -1}), json!({"a": [[0], 2]}), vec![of(json!([0]))]),
            (json!({"a": 1}), json!({"a": [[]]}), vec![of(json!([]))]),
            (json!({"a.b": 1}), json!({"a": {"b": 2}}), vec![of(json!(2))]),
            (json!({"a.b": 1}), json!({"a": {"b": [2, 1]}}), vec![of(json!(1))]),
            (json!({"a.b": 1}), json!({"a": [{"b": 2}, {"b": [1, 3]}]}), vec![of(json!(1))]),
            (json!({"a.b": -1}), json!({"a": [{"b": 2}, {"b": [1, 3]}]}), vec![of(json!(3))]),
            (json!({"a.b": 1}), json!({"a": [{"b": 2}, {}]}), vec![null()]),
            (json!({"a.b": 1}), json!({"a": [{"b": 2}, 5]}), vec![null()]),
            (json!({"a.b": 1}), json!({"a": [{"b": 2}, {"b": []}]}), vec![None]),
            (json!({"a.b": -1}), json!({"a": [{"b": 2}, {"b": []}]}), vec![of(json!(2))]),
            (json!({"a.b": 1}), json!({"a": []}), vec![null()]),
            (json!({"a.b": 1}), json!({"a": [[{"b": 1}]]}), vec![null()]),
            (json!({"a.b": 1}), json!({"a": 5}), vec![null()]),
            (json!({"a.0": 1}), json!({"a": [7, 3]}), vec![of(json!(7))]),
            (json!({"a.1": 1}), json!({"a": [7, [5, 4]]}), vec![of(json!(4))]),
            (json!({"a.0.b": 1}), json!({"a": [{"b": 3}, {"b": 2}]}), vec![of(json!(3))]),
            (json!({"a.0": 1}), json!({"a": [{"0": 3}, {"0": 2}]}), vec![of(json!(2))]),
            // Two keys through one array go through it together.
            (
                json!({"a.b": 1, "a.c": 1}),
                json!({"a": [{"b": 2, "c": 0}, {"b": 1, "c": 9}]}),
                vec![of(json!(1)), of(json!(9))],
            ),
            (
                json!({"a.b": 1, "a.c": -1}),
                json!({"a": [{"b": 1, "c": 8}, {"b": 1, "c": 9}]}),
                vec![of(json!(1)), of(json!(9))],
            ),
            (json!({"a": 1, "a.b": 1}), json!({"a": [3, {"b": 1}]}), vec![of(json!(3)), null()]),
            (json!({"a": 1, "a.b": 1}), json!({"a": []}), vec![None, null()]),
            (json!({"a.0": 1, "a.1": 1}), json!({"a": [7, 3]}), vec![of(json!(7)), of(json!(3))]),
            (
                json!({"a.b": 1, "a.c": 1}),
                json!({"a": [{"b": [2, 1], "c": 5}, {"b": 3, "c": 0}]}),
                vec![of(json!(1)), of(json!(5))],
            ),
            (json!({"b": 1, "a": 1, "_id": 1}), json!({"a": [2, 1]}), vec![null(), of(json!(1)), of(json!("id"))]),
            (json!({"a": 1, "_rev": 1}), json!({"a": [2, 1]}), vec![of(json!(1)), of(json!(7))]),
        ];
        for (sort, value, expected) in cases {
            assert_eq!(keys(&sort, &value).unwrap(), expected, "{value} by {sort}");
        }
    }

    /// MongoDB: "cannot sort with keys that are parallel arrays".
    #[test]
    fn two_arrays_in_one_document_are_refused() {
        for (sort, value) in [
            (json!({"a": 1, "b": 1}), json!({"a": [1], "b": [1]})),
            (json!({"a": 1, "b": 1}), json!({"a": [], "b": []})),
            (json!({"a": 1, "c": 1, "b": -1}), json!({"a": [1, 2], "b": [1, 2], "c": 3})),
            (json!({"a.b": 1, "a.c": 1}), json!({"a": {"b": [1], "c": [1]}})),
            (json!({"a.b": 1, "a.c": 1}), json!({"a": [{"b": [1], "c": [1]}]})),
            (json!({"a.0": 1, "a.1": 1}), json!({"a": [[1], [1]]})),
        ] {
            let error = keys(&sort, &value).unwrap_err();
            assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!("sort"))), "{value}");
        }
        // One at a time is none.
        assert!(keys(&json!({"a": 1, "b": 1}), &json!({"a": [1], "b": 1})).is_ok());
        assert!(keys(&json!({"a": 1, "_id": 1, "b": 1}), &json!({"a": [1], "b": [1]})).is_ok());
    }
}
