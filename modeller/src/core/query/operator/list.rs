//! What operators do to lists.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::core::query::filter::{Path, RawFilter};
use crate::core::query::parse::{Schema, parse_filter, parse_path};
use crate::core::query::sort::Direction;
use crate::core::value::AsValue;
use crate::error::{Error, Result};

/// How many values `$each` may have.
const MAX_EACH: usize = 10_000;
/// How many keys `$sort` may have.
const MAX_SORT: usize = 16;
/// The name that an element has while a test on elements looks at it.
const ELEMENT: &str = "element";

/// `$push`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Push {
    each: Vec<Value>,
    position: Option<i64>,
    slice: Option<i64>,
    sort: Option<Sorting>,
}

/// `$sort` of a `$push`.
#[derive(Clone, Debug, PartialEq)]
enum Sorting {
    /// By the elements themselves.
    Whole(Direction),
    /// By fields of the elements.
    Fields(Vec<(Path, Direction)>),
}

/// Which elements `$pull` takes away.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pull {
    /// Those that are equal to this.
    Equal(Value),
    /// Those that are equal to one of these: `$pullAll`.
    OneOf(Vec<Value>),
    /// Those that pass the tests, which are tests of a field [`ELEMENT`].
    Element(RawFilter),
    /// The objects that match.
    Object(RawFilter),
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

fn has_operators(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.keys().any(|name| name.starts_with('$')))
}

fn each(value: Value, at: &str) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) if values.len() <= MAX_EACH => Ok(values),
        Value::Array(_) => Err(Error::query(at, format!("takes at most {MAX_EACH} values"))),
        _ => Err(Error::query(at, "needs a list")),
    }
}

fn whole_number(value: &Value, at: &str) -> Result<i64> {
    value.as_i64().ok_or_else(|| Error::query(at, "needs a whole number"))
}

fn direction(value: &Value, at: &str) -> Result<Direction> {
    match value.as_f64() {
        Some(1.0) => Ok(Direction::Ascending),
        Some(-1.0) => Ok(Direction::Descending),
        _ => Err(Error::query(at, "the direction is 1 or -1")),
    }
}

impl Push {
    /// Appends one value.
    pub(crate) fn one(value: Value) -> Self {
        Self { each: vec![value], position: None, slice: None, sort: None }
    }

    pub(super) fn parse(operand: Value, at: &str) -> Result<Self> {
        let modifiers = match operand {
            Value::Object(modifiers) if modifiers.keys().any(|name| name.starts_with('$')) => modifiers,
            value => return Ok(Self::one(value)),
        };
        if !modifiers.contains_key("$each") {
            return Err(Error::query(at, "modifiers need `$each` beside them"));
        }
        let mut push = Self { each: Vec::new(), position: None, slice: None, sort: None };
        for (name, value) in modifiers {
            let here = format!("{at}.{name}");
            match name.as_str() {
                "$each" => push.each = each(value, &here)?,
                "$position" => push.position = Some(whole_number(&value, &here)?),
                "$slice" => push.slice = Some(whole_number(&value, &here)?),
                "$sort" => push.sort = Some(Sorting::parse(&value, &here)?),
                _ => return Err(Error::query(&here, format!("unknown modifier `{name}`"))),
            }
        }
        Ok(push)
    }

    /// The operand that it is read from.
    #[cfg(any(feature = "client", test))]
    pub(super) fn to_json(&self) -> Value {
        let mut operand = Map::from_iter([("$each".to_owned(), Value::from(self.each.clone()))]);
        let numbers = [("$position", self.position), ("$slice", self.slice)];
        operand.extend(numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.into()))));
        if let Some(sorting) = &self.sort {
            operand.insert("$sort".to_owned(), sorting.to_json());
        }
        Value::Object(operand)
    }

    /// Whether what comes of it depends on what the elements are.
    pub(super) fn looks_at_elements(&self) -> bool {
        self.sort.is_some()
    }

    /// In the order of the manual, whatever the order of the modifiers: placed, then sorted, then cut.
    pub(super) fn apply(&self, list: &mut Vec<Value>) {
        let at = match self.position {
            None => list.len(),
            Some(from_start) if from_start >= 0 => within(from_start, list.len()),
            Some(from_end) => list.len() - within(from_end, list.len()),
        };
        list.splice(at..at, self.each.iter().cloned());
        if let Some(sorting) = &self.sort {
            list.sort_by(|a, b| sorting.compare(a, b));
        }
        match self.slice {
            None => {}
            Some(first) if first >= 0 => list.truncate(within(first, list.len())),
            Some(last) => drop(list.drain(..list.len() - within(last, list.len()))),
        }
    }
}

/// The distance, at most so many.
fn within(distance: i64, most: usize) -> usize {
    usize::try_from(distance.unsigned_abs()).map_or(most, |distance| distance.min(most))
}

impl Sorting {
    #[cfg(any(feature = "client", test))]
    fn to_json(&self) -> Value {
        match self {
            Self::Whole(direction) => direction.to_json(),
            Self::Fields(keys) => keys.iter().map(|(path, direction)| (path.dotted(), direction.to_json())).collect(),
        }
    }

    fn parse(value: &Value, at: &str) -> Result<Self> {
        let Value::Object(fields) = value else { return direction(value, at).map(Self::Whole) };
        if fields.is_empty() || fields.len() > MAX_SORT {
            return Err(Error::query(at, format!("a sort has from 1 to {MAX_SORT} keys")));
        }
        let keys = fields.iter().map(|(name, value)| {
            let here = format!("{at}.{name}");
            Ok((parse_path(name, &here)?, direction(value, &here)?))
        });
        keys.collect::<Result<_>>().map(Self::Fields)
    }

    fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let directed = |a: &Value, b: &Value, direction: Direction| {
            let order = a.as_value().compare(&b.as_value());
            if direction == Direction::Descending { order.reverse() } else { order }
        };
        match self {
            Self::Whole(direction) => directed(a, b, *direction),
            Self::Fields(keys) => keys
                .iter()
                .map(|(path, direction)| directed(member(a, path), member(b, path), *direction))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }
}

/// What the path leads to through objects; `null` where it leads nowhere.
fn member<'a>(value: &'a Value, path: &Path) -> &'a Value {
    const NONE: &Value = &Value::Null;
    path.names().iter().try_fold(value, |value, name| value.as_object()?.get(name.as_ref())).unwrap_or(NONE)
}

impl Pull {
    /// The name of the operator, and the operand that it is read from.
    #[cfg(any(feature = "client", test))]
    pub(super) fn to_json(&self) -> (&'static str, Value) {
        match self {
            // As a value that is compared with, also where it looks like operators.
            Self::Equal(value) => ("$pullAll", Value::from(vec![value.clone()])),
            Self::OneOf(values) => ("$pullAll", Value::from(values.clone())),
            Self::Object(filter) => ("$pull", filter.to_json()),
            Self::Element(filter) => {
                let operand = filter.to_json().as_object_mut().and_then(|tests| tests.remove(ELEMENT));
                ("$pull", explicit(operand.unwrap_or_default()))
            }
        }
    }

    pub(super) fn parse(operand: Value, at: &str) -> Result<Self> {
        // The paths are those of elements in the stored form, so there is no model to look them up in. That elements with
        // private parts are not asked about is seen to where the operator is read.
        let read = |filter: &Value, prefix: &str| {
            parse_filter(filter, &Schema::Any).map_err(|error| {
                let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
                let path = text("path");
                let inner = path.strip_prefix(prefix).unwrap_or(path).trim_start_matches('.');
                let place = if inner.is_empty() { at.to_owned() } else { format!("{at}.{inner}") };
                Error::query(&place, text("reason"))
            })
        };
        let Value::Object(object) = &operand else { return Ok(Self::Equal(operand)) };
        let logical = |name: &String| matches!(name.as_str(), "$and" | "$or" | "$nor");
        if has_operators(&operand) && !object.keys().any(logical) {
            let wrapped = Value::Object(Map::from_iter([(ELEMENT.to_owned(), operand)]));
            return read(&wrapped, ELEMENT).map(Self::Element);
        }
        read(&operand, "").map(Self::Object)
    }

    pub(super) fn parse_all(operand: Value, at: &str) -> Result<Self> {
        each(operand, at).map(Self::OneOf)
    }

    pub(super) fn apply(&self, list: &mut Vec<Value>) {
        match self {
            Self::OneOf(values) => {
                let values: BTreeSet<Ordered<'_>> = values.iter().map(Ordered).collect();
                list.retain(|element| !values.contains(&Ordered(element)));
            }
            Self::Equal(value) => {
                let value = value.as_value();
                list.retain(|element| !element.as_value().equals(&value));
            }
            Self::Element(filter) => list.retain_mut(|element| {
                let mut holder = Map::from_iter([(ELEMENT.to_owned(), element.take())]);
                let goes = filter.matches(&holder);
                *element = holder.remove(ELEMENT).unwrap_or_default();
                !goes
            }),
            Self::Object(filter) => {
                list.retain(|element| !element.as_object().is_some_and(|object| filter.matches(object)));
            }
        }
    }
}

/// Tests of an element, where one that it is equal to something is written as that.
#[cfg(any(feature = "client", test))]
fn explicit(tests: Value) -> Value {
    if has_operators(&tests) { tests } else { Value::Object(Map::from_iter([("$eq".to_owned(), tests)])) }
}

/// The values of `$addToSet`.
pub(super) fn parse_set(operand: Value, at: &str) -> Result<Vec<Value>> {
    let modifiers = match operand {
        Value::Object(modifiers) if modifiers.keys().any(|name| name.starts_with('$')) => modifiers,
        value => return Ok(vec![value]),
    };
    if let Some(name) = modifiers.keys().find(|name| *name != "$each") {
        return Err(Error::query(&format!("{at}.{name}"), "beside `$each` there is nothing"));
    }
    let values = modifiers.into_iter().next().map(|(_, values)| values).unwrap_or_default();
    each(values, &format!("{at}.$each"))
}

/// Appends those that are not there yet. What was there twice stays.
pub(super) fn add_to_set(list: &mut Vec<Value>, values: &[Value]) {
    let known: BTreeSet<Ordered<'_>> = list.iter().map(Ordered).collect();
    let mut added = BTreeSet::new();
    let new: Vec<Value> = values
        .iter()
        .filter(|value| !known.contains(&Ordered(value)) && added.insert(Ordered(value)))
        .cloned()
        .collect();
    list.extend(new);
}

/// A value in the order of mixed values, so that long lists are not compared each with each.
struct Ordered<'a>(&'a Value);

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_value().compare(&other.0.as_value())
    }
}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered<'_> {}

impl End {
    pub(super) fn parse(operand: &Value, at: &str) -> Result<Self> {
        match operand.as_f64() {
            Some(1.0) => Ok(Self::Last),
            Some(-1.0) => Ok(Self::First),
            _ => Err(Error::query(at, "needs 1 for the last element or -1 for the first")),
        }
    }

    /// The operand that it is read from.
    #[cfg(any(feature = "client", test))]
    pub(super) fn to_json(self) -> Value {
        if self == Self::Last { 1.into() } else { (-1).into() }
    }

    pub(super) fn pop(self, list: &mut Vec<Value>) {
        match self {
            Self::Last => drop(list.pop()),
            Self::First => drop(list.drain(..list.len().min(1))),
        }
    }
}
