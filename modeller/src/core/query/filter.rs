//! The tree of a filter, and whether a document matches it.
//!
//! The semantics are those of the MongoDB manual, with the decisions on record where its JavaScript imitation differs. A test
//! on a path looks at every value that the path reaches, through arrays of objects too, and holds when one of them passes;
//! what negates ([`Compare::Ne`], `$nin`, `$not`, `$nor`) negates the whole of that. Comparisons by size hold only between
//! values of one kind. `null` matches what is missing.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::parse::{Schema, parse_filter};
use crate::core::value::{AsValue, Kind, ObjectRef, ValueRef};
use crate::error::Result;

/// How a value is compared with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    /// `$eq`
    Eq,
    /// `$ne`
    Ne,
    /// `$gt`
    Gt,
    /// `$gte`
    Gte,
    /// `$lt`
    Lt,
    /// `$lte`
    Lte,
}

impl Compare {
    const fn name(self) -> &'static str {
        match self {
            Self::Eq => "$eq",
            Self::Ne => "$ne",
            Self::Gt => "$gt",
            Self::Gte => "$gte",
            Self::Lt => "$lt",
            Self::Lte => "$lte",
        }
    }
}

/// Names from the document down to a value, as in `address.city`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    names: Box<[Box<str>]>,
    /// Whether it leads into private values: it was written in the program. To one from outside they are not there.
    trusted: bool,
}

impl Path {
    /// Splits a dotted text that was written in the program.
    pub(crate) fn new(dotted: &str) -> Self {
        Self { names: dotted.split('.').map(Into::into).collect(), trusted: true }
    }

    /// The same path as somebody outside may follow it.
    pub(crate) fn untrusted(self) -> Self {
        Self { trusted: false, ..self }
    }

    /// Calls `f` with every value that the path reaches in the document; see [`reach`].
    pub(crate) fn reach(&self, document: &dyn ObjectRef, f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool) -> bool {
        reach(document, &self.names, self.trusted, f)
    }

    /// The first name.
    pub(crate) fn head(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// The only name; `None` for a path with dots.
    pub(crate) fn single(&self) -> Option<&str> {
        match &*self.names {
            [name] => Some(name),
            _ => None,
        }
    }

    /// The names in order.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The dotted text.
    pub(crate) fn dotted(&self) -> String {
        self.names.join(".")
    }
}

/// What is asked of the values that a path reaches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// A comparison with one operand.
    Compare(Compare, Value),
    /// `$in`; `$nin` when negated.
    In {
        /// The operands.
        values: Vec<Value>,
        /// Whether it is `$nin`.
        negated: bool,
    },
    /// `$exists`.
    Exists(bool),
    /// `$not`: not all of these hold.
    Not(Vec<Test>),
}

/// A filter on documents of whatever model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawFilter {
    /// All of these; none is everything. `explicit` when it was written as `$and`.
    And {
        /// The parts.
        members: Vec<RawFilter>,
        /// Whether it is printed as `$and`.
        explicit: bool,
    },
    /// One of these.
    Or(Vec<RawFilter>),
    /// None of these.
    Nor(Vec<RawFilter>),
    /// A test on a path.
    Field(Path, Test),
}

impl RawFilter {
    /// Everything.
    pub(crate) const fn all() -> Self {
        Self::And { members: Vec::new(), explicit: false }
    }

    pub(crate) fn compare(path: &str, compare: Compare, operand: Value) -> Self {
        Self::Field(Path::new(path), Test::Compare(compare, operand))
    }

    pub(crate) fn is_in(path: &str, values: Vec<Value>, negated: bool) -> Self {
        Self::Field(Path::new(path), Test::In { values, negated })
    }

    /// All of both.
    pub(crate) fn and(self, other: Self) -> Self {
        let mut members = Vec::new();
        for part in [self, other] {
            match part {
                Self::And { members: inner, .. } => members.extend(inner),
                part => members.push(part),
            }
        }
        Self::conjunction(members)
    }

    /// All of these.
    pub(crate) fn conjunction(mut members: Vec<Self>) -> Self {
        match members.pop() {
            Some(only) if members.is_empty() => only,
            Some(last) => {
                members.push(last);
                Self::And { members, explicit: false }
            }
            None => Self::all(),
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        let mut members = Vec::new();
        for part in [self, other] {
            match part {
                Self::Or(inner) => members.extend(inner),
                part => members.push(part),
            }
        }
        Self::Or(members)
    }

    /// Whether the document matches.
    pub(crate) fn matches(&self, document: &dyn ObjectRef) -> bool {
        match self {
            Self::And { members, .. } => members.iter().all(|member| member.matches(document)),
            Self::Or(members) => members.iter().any(|member| member.matches(document)),
            Self::Nor(members) => !members.iter().any(|member| member.matches(document)),
            Self::Field(path, test) => test.holds(document, path),
        }
    }

    /// The filter as JSON, in MongoDB syntax.
    pub(crate) fn to_json(&self) -> Value {
        let list = |members: &[Self]| members.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::And { members, explicit: true } => one("$and", list(members)),
            Self::And { members, explicit: false } => {
                merged(members).map_or_else(|| one("$and", list(members)), Value::Object)
            }
            Self::Or(members) => one("$or", list(members)),
            Self::Nor(members) => one("$nor", list(members)),
            Self::Field(path, test) => one(&path.dotted(), test.to_json()),
        }
    }
}

fn one(name: &str, value: impl Into<Value>) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value.into())]))
}

/// The parts of a conjunction as one object, where no two of them need the same place in it.
fn merged(members: &[RawFilter]) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    for member in members {
        let (name, operators) = match member {
            RawFilter::Field(path, test) => (path.dotted(), test.operators()),
            member => {
                let Value::Object(inner) = member.to_json() else { return None };
                for (name, value) in inner {
                    if object.insert(name, value).is_some() {
                        return None;
                    }
                }
                continue;
            }
        };
        let place = Map::entry(&mut object, name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
        for (operator, operand) in operators {
            if place.insert(operator, operand).is_some() {
                return None;
            }
        }
    }
    for (name, value) in &mut object {
        if !name.starts_with('$')
            && let Some(operand) = super::canonical::implicit_eq(value)
        {
            *value = operand;
        }
    }
    Some(object)
}

impl Test {
    /// The test as an object of operators.
    fn operators(&self) -> Map<String, Value> {
        let (name, operand) = match self {
            Self::Compare(compare, operand) => (compare.name(), operand.clone()),
            Self::In { values, negated } => (if *negated { "$nin" } else { "$in" }, Value::Array(values.clone())),
            Self::Exists(wanted) => ("$exists", Value::Bool(*wanted)),
            Self::Not(tests) => ("$not", Value::Object(tests.iter().flat_map(Self::operators).collect())),
        };
        Map::from_iter([(name.to_owned(), operand)])
    }

    fn to_json(&self) -> Value {
        let operators = Value::Object(self.operators());
        super::canonical::implicit_eq(&operators).unwrap_or(operators)
    }

    fn holds(&self, document: &dyn ObjectRef, path: &Path) -> bool {
        let any = |f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool| path.reach(document, f);
        match self {
            Self::Compare(Compare::Ne, operand) => !any(&mut |value| compares(Compare::Eq, value, operand)),
            Self::Compare(compare, operand) => any(&mut |value| compares(*compare, value, operand)),
            Self::In { values, negated } => {
                *negated != any(&mut |value| values.iter().any(|operand| compares(Compare::Eq, value, operand)))
            }
            Self::Exists(wanted) => *wanted == any(&mut |value| value.is_some()),
            Self::Not(tests) => !tests.iter().all(|test| test.holds(document, path)),
        }
    }
}

/// One comparison of one value; `None` is a missing one.
fn compares(compare: Compare, value: Option<ValueRef<'_>>, operand: &Value) -> bool {
    let value = value.unwrap_or(ValueRef::Null);
    let operand = operand.as_value();
    let order = value.compare(&operand);
    match compare {
        Compare::Eq => order == Ordering::Equal,
        Compare::Ne => order != Ordering::Equal,
        // Sizes are compared within one kind; the order of mixed values is for sorting only.
        _ if value.kind() != operand.kind() => false,
        Compare::Gt => order == Ordering::Greater,
        Compare::Gte => order != Ordering::Less,
        Compare::Lt => order == Ordering::Less,
        Compare::Lte => order != Ordering::Greater,
    }
}

/// Calls `f` with every value that the path reaches, until it answers true; `None` stands for a missing one.
///
/// An array at the end of the path is reached itself and by its elements. An array on the way is entered: by position where
/// the name is a number, and through each element that is an object; arrays directly in arrays are not entered.
fn reach(
    object: &dyn ObjectRef,
    path: &[Box<str>],
    trusted: bool,
    f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool,
) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    match object.get(name) {
        None => f(None),
        Some(value) => reach_value(value, rest, trusted, f),
    }
}

fn reach_value(
    value: ValueRef<'_>,
    rest: &[Box<str>],
    trusted: bool,
    f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool,
) -> bool {
    match value {
        ValueRef::Serialized(foreign) => return reach_value(foreign.to_json().as_value(), rest, trusted, f),
        ValueRef::Private(inner) if trusted => return reach_value(inner.as_value(), rest, trusted, f),
        ValueRef::Private(_) => return f(None),
        _ => {}
    }
    let Some((name, _)) = rest.split_first() else {
        return f(Some(value))
            || matches!(value, ValueRef::Array(array) if (0..array.len()).any(|at| f(Some(array.at(at)))));
    };
    match value {
        ValueRef::Object(object) => reach(object, rest, trusted, f),
        ValueRef::Array(array) => {
            let by_position = position(name)
                .filter(|at| *at < array.len())
                .is_some_and(|at| reach_value(array.at(at), rest.get(1..).unwrap_or_default(), trusted, f));
            by_position
                || (0..array.len()).any(|at| match array.at(at) {
                    ValueRef::Object(object) => reach(object, rest, trusted, f),
                    ValueRef::Serialized(foreign) => match foreign.to_json() {
                        Value::Object(object) => reach(&object, rest, trusted, f),
                        _ => false,
                    },
                    _ => false,
                })
        }
        _ => f(None),
    }
}

/// A name that is a position in an array: digits without a leading zero.
pub(crate) fn position(name: &str) -> Option<usize> {
    let plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| name.parse().ok()).flatten()
}

/// Whether a kind can be the key of an index.
pub(crate) fn is_scalar(kind: Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Number | Kind::String)
}

/// A filter on documents of the model `T`, made by its field constants or from MongoDB syntax.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String, pub age: u8 }
/// let filter = User::AGE.gte(18) & User::NAME.ne("root");
/// assert_eq!(filter, Filter::parse(&serde_json::json!({"age": {"$gte": 18}, "name": {"$ne": "root"}}))?);
/// assert_eq!(filter.canonical(), r#"{"age":{"$gte":18},"name":{"$ne":"root"}}"#);
/// # use modeller::__private::serde_json;
/// # Ok::<(), modeller::Error>(())
/// ```
pub struct Filter<T: ?Sized>(Arc<RawFilter>, PhantomData<fn(&T)>);

impl<T: ?Sized> Filter<T> {
    /// All documents.
    #[must_use]
    pub fn all() -> Self {
        Self::from_raw(RawFilter::all())
    }

    /// Reads MongoDB syntax. The names of fields are not checked here.
    ///
    /// # Errors
    /// `INVALID_QUERY` with the path and the reason.
    pub fn parse(json: &Value) -> Result<Self> {
        parse_filter(json, &Schema::Any).map(Self::from_raw)
    }

    /// The filter in MongoDB syntax.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.0.to_json()
    }

    /// The one text that equal filters have: the key of a room.
    #[must_use]
    pub fn canonical(&self) -> String {
        super::canonical::canonical(&self.0)
    }

    pub(crate) fn from_raw(raw: RawFilter) -> Self {
        Self::from_arc(Arc::new(raw))
    }

    pub(crate) fn from_arc(raw: Arc<RawFilter>) -> Self {
        Self(raw, PhantomData)
    }

    pub(crate) fn raw(&self) -> &Arc<RawFilter> {
        &self.0
    }
}

impl<T: ?Sized> Clone for Filter<T> {
    fn clone(&self) -> Self {
        Self::from_arc(self.0.clone())
    }
}

impl<T: ?Sized> std::fmt::Debug for Filter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The operands may be private values.
        f.debug_tuple("Filter").finish()
    }
}

/// The same canonical text.
impl<T: ?Sized> PartialEq for Filter<T> {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

fn owned(filter: Arc<RawFilter>) -> RawFilter {
    Arc::try_unwrap(filter).unwrap_or_else(|shared| (*shared).clone())
}

impl<T: ?Sized> BitAnd for Filter<T> {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self::from_raw(owned(self.0).and(owned(other.0)))
    }
}

impl<T: ?Sized> BitOr for Filter<T> {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self::from_raw(owned(self.0).or(owned(other.0)))
    }
}

impl<T: ?Sized> Not for Filter<T> {
    type Output = Self;
    fn not(self) -> Self {
        Self::from_raw(RawFilter::Nor(vec![owned(self.0)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(filter: &Value, document: &Value) -> bool {
        let filter = parse_filter(filter, &Schema::Any).unwrap();
        filter.matches(document.as_object().unwrap())
    }

    #[test]
    fn facts_of_the_manual() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1.0}), true),
            (json!({"a": 1}), json!({"a": [2, 1]}), true),
            (json!({"a": [2, 1]}), json!({"a": [2, 1]}), true),
            (json!({"a": null}), json!({}), true),
            (json!({"a": {"$ne": null}}), json!({}), false),
            (json!({"a": {"$ne": 1}}), json!({"a": [1, 2]}), false),
            (json!({"a": {"$gte": null}}), json!({}), true),
            (json!({"a": {"$gt": null}}), json!({"a": 1}), false),
            (json!({"a": {"$gt": 1}}), json!({"a": "2"}), false),
            (json!({"a": {"$gt": 1, "$lt": 3}}), json!({"a": [0, 5]}), true),
            (json!({"a": {"$gt": [1]}}), json!({"a": [1, 0]}), true),
            (json!({"a.b": 1}), json!({"a": [{"b": 2}, {"b": 1}]}), true),
            (json!({"a.b": null}), json!({"a": [{"b": 1}, {}]}), true),
            (json!({"a.b": null}), json!({"a": []}), false),
            (json!({"a.b": null}), json!({"a": 5}), true),
            (json!({"a.b": null}), json!({"a": [5]}), false),
            (json!({"a.0": 7}), json!({"a": [7, 8]}), true),
            (json!({"a.0": null}), json!({"a": []}), false),
            (json!({"a.b": 1}), json!({"a": [[{"b": 1}]]}), false),
            (json!({"a": {"$in": [[1, 2]]}}), json!({"a": [1, 2]}), true),
            (json!({"a": {"$nin": [1]}}), json!({"a": [1, 2]}), false),
            (json!({"a": {"$not": {"$gt": 1}}}), json!({}), true),
            (json!({"a": {"$exists": true}}), json!({"a": null}), true),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 2, "x": 1}}), true),
            (json!({"$or": [{"a": 1}, {"b": 1}]}), json!({"b": 1}), true),
            (json!({"$nor": [{"a": 1}, {"b": 1}]}), json!({"b": 1}), false),
            (json!({}), json!({"b": 1}), true),
        ];
        for (filter, document, expected) in cases {
            assert_eq!(matches(&filter, &document), expected, "{filter} on {document}");
        }
    }

    #[test]
    fn a_filter_survives_its_json() {
        for filter in [
            json!({"a": 1, "b": {"$gt": 1, "$lte": 4}}),
            json!({"$and": [{"a": 1}, {"a": 2}]}),
            json!({"a": {"$not": {"$in": [1, 2]}}}),
            json!({"a": {"$eq": {"$odd": 1}}}),
            json!({}),
        ] {
            assert_eq!(parse_filter(&filter, &Schema::Any).unwrap().to_json(), filter);
        }
    }
}
