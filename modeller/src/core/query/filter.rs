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

use super::operator::{Bits, Modulo, Pattern, Types};
use super::parse::{Schema, parse_filter};
use crate::core::private::Audience;
use crate::core::private::Level;
use crate::core::value::{ArrayRef, AsValue, Kind, ObjectRef, ValueRef};
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
    /// Whether it holds of two values that are in this order.
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }

    /// The whole numbers that it holds of with this operand: from the first to the second, both included. `None` where they are no
    /// range.
    pub(super) fn passing(self, operand: i64) -> Option<(i64, i64)> {
        match self {
            Self::Eq => Some((operand, operand)),
            Self::Ne => None,
            Self::Gt => operand.checked_add(1).map(|least| (least, i64::MAX)),
            Self::Gte => Some((operand, i64::MAX)),
            Self::Lt => operand.checked_sub(1).map(|most| (i64::MIN, most)),
            Self::Lte => Some((i64::MIN, operand)),
        }
    }

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
    /// Who wrote it. It leads into the withheld values that this one sees; the others are not there for it.
    by: Audience,
}

impl Path {
    /// Splits a dotted text that was written in the program.
    pub(crate) fn new(dotted: &str) -> Self {
        Self { names: dotted.split('.').map(Into::into).collect(), by: Audience::Store }
    }

    /// A member of the document itself, whatever its name has in it.
    pub(crate) fn member(name: &str) -> Self {
        Self { names: std::iter::once(name.into()).collect(), by: Audience::Store }
    }

    /// The same path as somebody else may follow it.
    pub(crate) fn by(self, by: Audience) -> Self {
        Self { by, ..self }
    }

    /// Calls `f` with every value that the path reaches in the document, and with the elements of arrays; see [`Reach`].
    pub(crate) fn reach(&self, document: &dyn ObjectRef, f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool) -> bool {
        Reach { by: self.by, elements: true }.object(document, &self.names, f)
    }

    /// The same without the elements of an array at the end of the path.
    fn reach_whole(&self, document: &dyn ObjectRef, f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool) -> bool {
        Reach { by: self.by, elements: false }.object(document, &self.names, f)
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

    /// Who wrote it.
    pub(crate) fn written_by(&self) -> Audience {
        self.by
    }

    /// Whether it leads into what is withheld so far.
    pub(crate) fn leads_into(&self, withheld: Option<Level>) -> bool {
        withheld.is_none_or(|level| self.by.sees(level))
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
    /// `$in`; `$nin` when negated. Made by [`Test::is_in`].
    In {
        /// The operands; in their order when they are more than [`FEW`].
        values: Vec<Value>,
        /// Whether it is `$nin`.
        negated: bool,
    },
    /// `$exists`.
    Exists(bool),
    /// `$not`: not all of these hold.
    Not(Vec<Test>),
    /// `$type`.
    Type(Types),
    /// `$regex`, with its `$options`.
    Regex(Pattern),
    /// `$mod`.
    Mod(Modulo),
    /// `$size`.
    Size(u64),
    /// `$all`: there is at least one of these, and all hold. Each is [`Compare::Eq`] or an `$elemMatch`.
    All(Vec<Test>),
    /// `$elemMatch`: one element passes all of it.
    ElemMatch(ElemMatch),
    /// `$bitsAllSet` and its like.
    Bits(Bits),
}

/// What is asked of one element of an array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ElemMatch {
    /// That all these tests hold for the element as it is.
    Tests(Vec<Test>),
    /// That it is an object which matches.
    Object(Box<RawFilter>),
}

impl ElemMatch {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Tests(tests) => Value::Object(tests.iter().flat_map(Test::operators).collect()),
            Self::Object(filter) => filter.to_json(),
        }
    }

    pub(super) fn holds(&self, element: ValueRef<'_>) -> bool {
        element.resolved(|element| match (self, element) {
            (Self::Tests(tests), element) => tests.iter().all(|test| test.holds(&Subject::Element(element))),
            (Self::Object(filter), ValueRef::Object(object)) => filter.matches(object),
            (Self::Object(_), _) => false,
        })
    }
}

/// What a test looks at.
enum Subject<'a> {
    /// Whatever a path reaches in a document.
    Path(&'a dyn ObjectRef, &'a Path),
    /// One element of an array and nothing in it. [Resolved](ValueRef::resolved).
    Element(ValueRef<'a>),
}

impl Subject<'_> {
    fn any(&self, f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool) -> bool {
        match self {
            Self::Path(document, path) => path.reach(*document, f),
            Self::Element(element) => f(Some(*element)),
        }
    }

    /// The same for tests of arrays: an array at the end of a path stands for itself, not for its elements.
    fn any_array(&self, f: &mut dyn FnMut(&dyn ArrayRef) -> bool) -> bool {
        let f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool = &mut |value| match value {
            Some(ValueRef::Array(array)) => f(array),
            _ => false,
        };
        match self {
            Self::Path(document, path) => path.reach_whole(*document, f),
            Self::Element(element) => f(Some(*element)),
        }
    }
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

    pub(crate) fn test(path: &str, test: Test) -> Self {
        Self::Field(Path::new(path), test)
    }

    pub(crate) fn is_in(path: &str, values: Vec<Value>, negated: bool) -> Self {
        Self::Field(Path::new(path), Test::is_in(values, negated))
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
            Self::Field(path, test) => test.holds(&Subject::Path(document, path)),
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

/// Up to so many operands of `$in` are looked through one by one. More are searched: lists may be long on both sides.
const FEW: usize = 16;

impl Test {
    /// `$in` or `$nin`.
    pub(crate) fn is_in(mut values: Vec<Value>, negated: bool) -> Self {
        if values.len() > FEW {
            values.sort_by(|a, b| a.as_value().compare(&b.as_value()));
        }
        Self::In { values, negated }
    }

    /// The test as an object of operators.
    pub(super) fn operators(&self) -> Map<String, Value> {
        let (name, operand) = match self {
            Self::Compare(compare, operand) => (compare.name(), operand.clone()),
            Self::In { values, negated } => (if *negated { "$nin" } else { "$in" }, Value::Array(values.clone())),
            Self::Exists(wanted) => ("$exists", Value::Bool(*wanted)),
            Self::Not(tests) => ("$not", Value::Object(tests.iter().flat_map(Self::operators).collect())),
            Self::Type(types) => ("$type", types.to_json()),
            Self::Regex(pattern) => {
                let options = pattern.options().map(|options| ("$options".to_owned(), options.into()));
                let regex = ("$regex".to_owned(), pattern.text().into());
                return [regex].into_iter().chain(options).collect();
            }
            Self::Mod(modulo) => ("$mod", modulo.to_json()),
            Self::Size(size) => ("$size", (*size).into()),
            Self::All(tests) => ("$all", tests.iter().map(Self::to_json).collect()),
            Self::ElemMatch(test) => ("$elemMatch", test.to_json()),
            Self::Bits(bits) => (bits.name(), bits.to_json()),
        };
        Map::from_iter([(name.to_owned(), operand)])
    }

    fn to_json(&self) -> Value {
        let operators = Value::Object(self.operators());
        super::canonical::implicit_eq(&operators).unwrap_or(operators)
    }

    fn holds(&self, subject: &Subject<'_>) -> bool {
        let any = |f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool| subject.any(f);
        match self {
            Self::Compare(Compare::Ne, operand) => !any(&mut |value| compares(Compare::Eq, value, operand)),
            Self::Compare(compare, operand) => any(&mut |value| compares(*compare, value, operand)),
            Self::In { values, negated } => *negated != any(&mut |value| is_one_of(value, values)),
            Self::Exists(wanted) => *wanted == any(&mut |value| value.is_some()),
            Self::Not(tests) => !tests.iter().all(|test| test.holds(subject)),
            Self::Type(types) => any(&mut |value| value.is_some_and(|value| types.holds(&value))),
            Self::Regex(pattern) => any(&mut |value| value.is_some_and(|value| pattern.holds(&value))),
            Self::Mod(modulo) => any(&mut |value| value.is_some_and(|value| modulo.holds(&value))),
            Self::Bits(bits) => any(&mut |value| value.is_some_and(|value| bits.holds(&value))),
            Self::All(tests) => !tests.is_empty() && tests.iter().all(|test| test.holds(subject)),
            Self::Size(size) => {
                subject.any_array(&mut |array| u64::try_from(array.len()).is_ok_and(|len| len == *size))
            }
            Self::ElemMatch(test) => subject.any_array(&mut |array| array.any(&mut |element| test.holds(element))),
        }
    }
}

/// Whether a value is equal to one of the operands of an `$in`; `None` is a missing one.
fn is_one_of(value: Option<ValueRef<'_>>, operands: &[Value]) -> bool {
    let value = value.unwrap_or(ValueRef::Null);
    if operands.len() <= FEW {
        return operands.iter().any(|operand| value.equals(&operand.as_value()));
    }
    operands.binary_search_by(|operand| operand.as_value().compare(&value)).is_ok()
}

/// One comparison of one value; `None` is a missing one.
pub(super) fn compares(compare: Compare, value: Option<ValueRef<'_>>, operand: &Value) -> bool {
    let value = value.unwrap_or(ValueRef::Null);
    // The two kinds that nearly all comparisons are of.
    let same_kind = match (value, operand) {
        (ValueRef::Str(a), Value::String(b)) if compare == Compare::Eq => return a == b,
        (ValueRef::Str(a), Value::String(b)) => Some(a.cmp(b)),
        (ValueRef::UInt(a), Value::Number(b)) => b.as_u64().map(|b| a.cmp(&b)),
        (ValueRef::Int(a), Value::Number(b)) => b.as_i64().map(|b| a.cmp(&b)),
        _ => None,
    };
    if let Some(order) = same_kind {
        return compare.holds(order);
    }
    let operand = operand.as_value();
    match compare {
        Compare::Eq | Compare::Ne => compare.holds(value.compare(&operand)),
        // Sizes are compared within one kind; the order of mixed values is for sorting only.
        _ => value.kind() == operand.kind() && compare.holds(value.compare(&operand)),
    }
}

/// Calls a function with every value that a path reaches, until it answers true; `None` stands for a missing one.
///
/// An array at the end of the path is reached itself and by its elements. An array on the way is entered: by position where
/// the name is a number, and through each element that is an object; arrays directly in arrays are not entered.
#[derive(Clone, Copy)]
struct Reach {
    /// Whose withheld values it leads into.
    by: Audience,
    /// Whether an array at the end is reached by its elements too.
    elements: bool,
}

impl Reach {
    fn object(
        self,
        object: &dyn ObjectRef,
        path: &[Box<str>],
        f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool,
    ) -> bool {
        let Some((name, rest)) = path.split_first() else { return false };
        match object.get(name) {
            None => f(None),
            Some(value) => self.value(value, rest, f),
        }
    }

    fn value(self, value: ValueRef<'_>, rest: &[Box<str>], f: &mut dyn FnMut(Option<ValueRef<'_>>) -> bool) -> bool {
        match value {
            ValueRef::Serialized(_) | ValueRef::Part { .. } => {
                return value.resolved(|value| self.value(value, rest, f));
            }
            ValueRef::Private(inner) if self.by.sees(Level::Private) => return self.value(inner.as_value(), rest, f),
            ValueRef::Protected(inner) if self.by.sees(Level::Protected) => {
                return self.value(inner.as_value(), rest, f);
            }
            ValueRef::Private(_) | ValueRef::Protected(_) => return f(None),
            _ => {}
        }
        let Some((name, _)) = rest.split_first() else {
            return f(Some(value))
                || match value {
                    ValueRef::Array(array) if self.elements => {
                        array.any(&mut |element| element.resolved(|element| f(Some(element))))
                    }
                    _ => false,
                };
        };
        match value {
            ValueRef::Object(object) => self.object(object, rest, f),
            ValueRef::Array(array) => {
                let by_position = position(name)
                    .filter(|at| *at < array.len())
                    .is_some_and(|at| self.value(array.at(at), rest.get(1..).unwrap_or_default(), f));
                by_position
                    || array.any(&mut |element| {
                        element.resolved(|element| match element {
                            ValueRef::Object(object) => self.object(object, rest, f),
                            _ => false,
                        })
                    })
            }
            _ => f(None),
        }
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
    /// All operators that a filter may have, as MongoDB spells them.
    ///
    /// ```
    /// use modeller::{Document, Filter};
    /// assert!(Filter::<Document>::OPERATORS.contains(&"$elemMatch"));
    /// assert!(!Filter::<Document>::OPERATORS.contains(&"$where"));
    /// ```
    pub const OPERATORS: &'static [&'static str] = super::parse::OPERATORS;

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

    pub(crate) fn into_raw(self) -> RawFilter {
        owned(self.0)
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
        // Above the cases of an operator stands the page of the manual that describes it.
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
            // "$exists"
            (json!({"a": {"$exists": false}}), json!({}), true),
            (json!({"a": {"$exists": false}}), json!({"a": null}), false),
            (json!({"a": {"$exists": true}}), json!({"a": []}), true),
            (json!({"a": {"$exists": true}}), json!({}), false),
            (json!({"a.b": {"$exists": true}}), json!({"a": [{}, {"b": 1}]}), true),
            (json!({"a.b": {"$exists": false}}), json!({"a": [{}, {"b": 1}]}), false),
            (json!({"a.b": {"$exists": true}}), json!({"a": 1}), false),
            (json!({"a.1": {"$exists": true}}), json!({"a": [7]}), false),
            (json!({"a": {"$not": {"$exists": true}}}), json!({}), true),
            // "$type"
            (json!({"a": {"$type": "string"}}), json!({"a": "x"}), true),
            (json!({"a": {"$type": 2}}), json!({"a": 2}), false),
            (json!({"a": {"$type": "array"}}), json!({"a": []}), true),
            (json!({"a": {"$type": "number"}}), json!({"a": ["x", 1]}), true),
            (json!({"a": {"$type": "object"}}), json!({"a": [{"b": 1}]}), true),
            (json!({"a": {"$type": "object"}}), json!({"a": [[{}]]}), false),
            (json!({"a": {"$type": "null"}}), json!({}), false),
            (json!({"a": {"$type": 10}}), json!({"a": null}), true),
            (json!({"a": {"$type": "int"}}), json!({"a": 1.0}), true),
            (json!({"a": {"$type": "int"}}), json!({"a": 2_147_483_648_u32}), false),
            (json!({"a": {"$type": 18}}), json!({"a": 2_147_483_648_u32}), true),
            (json!({"a": {"$type": "long"}}), json!({"a": u64::MAX}), true),
            (json!({"a": {"$type": "double"}}), json!({"a": 1.5}), true),
            (json!({"a": {"$type": 1}}), json!({"a": 1e300}), true),
            (json!({"a": {"$type": ["bool", 2]}}), json!({"a": false}), true),
            (json!({"a": {"$not": {"$type": "string"}}}), json!({}), true),
            // "$regex"
            (json!({"a": {"$regex": "b+"}}), json!({"a": "abbc"}), true),
            (json!({"a": {"$regex": "^b"}}), json!({"a": "abbc"}), false),
            (json!({"a": {"$regex": "B", "$options": "i"}}), json!({"a": "abc"}), true),
            (json!({"a": {"$options": "i", "$regex": "Ä"}}), json!({"a": "ä"}), true),
            (json!({"a": {"$regex": "^b$"}}), json!({"a": "a\nb\nc"}), false),
            (json!({"a": {"$regex": "^b$", "$options": "m"}}), json!({"a": "a\nb\nc"}), true),
            (json!({"a": {"$regex": "a.b"}}), json!({"a": "a\nb"}), false),
            (json!({"a": {"$regex": "a.b", "$options": "s"}}), json!({"a": "a\nb"}), true),
            (json!({"a": {"$regex": "1"}}), json!({"a": 1}), false),
            (json!({"a": {"$regex": ""}}), json!({}), false),
            (json!({"a": {"$regex": "^b"}}), json!({"a": [1, "ab", "bc"]}), true),
            (json!({"a": {"$regex": "^.$"}}), json!({"a": "\u{1f600}"}), true),
            (json!({"a": {"$regex": r"^\W$"}}), json!({"a": "\u{1f600}"}), true),
            (json!({"a": {"$regex": r"^\d$"}}), json!({"a": "\u{663}"}), false),
            (json!({"a": {"$regex": r"^\d{2}$"}}), json!({"a": "42"}), true),
            (json!({"a": {"$regex": r"^[\w-]+$"}}), json!({"a": "a-b_1"}), true),
            (json!({"a": {"$regex": r"\w"}}), json!({"a": "é"}), false),
            (json!({"a": {"$regex": r"[^\W]"}}), json!({"a": "é"}), false),
            (json!({"a": {"$regex": r"\w", "$options": "i"}}), json!({"a": "\u{212a}"}), false),
            (json!({"a": {"$regex": r"\W", "$options": "i"}}), json!({"a": "\u{212a}"}), true),
            (json!({"a": {"$regex": r"\s"}}), json!({"a": "\u{a0}"}), false),
            (json!({"a": {"$regex": r"^\s+$"}}), json!({"a": " \t\r\n\u{b}\u{c}"}), true),
            (json!({"a": {"$regex": r"x\b"}}), json!({"a": "xé"}), true),
            (json!({"a": {"$regex": r"x\B"}}), json!({"a": "xé"}), false),
            (json!({"a": {"$regex": "(?i)B"}}), json!({"a": "b"}), true),
            (json!({"a": {"$regex": r"^\p{Lu}$"}}), json!({"a": "É"}), true),
            (json!({"a": {"$not": {"$regex": "b"}}}), json!({"a": 1}), true),
            // "$mod"
            (json!({"a": {"$mod": [4, 0]}}), json!({"a": 8}), true),
            (json!({"a": {"$mod": [4, 0]}}), json!({"a": 9}), false),
            (json!({"a": {"$mod": [4, 1]}}), json!({"a": [8, 9]}), true),
            (json!({"a": {"$mod": [4, 0]}}), json!({"a": "8"}), false),
            (json!({"a": {"$mod": [4, 0]}}), json!({"a": null}), false),
            (json!({"a": {"$mod": [4, 0]}}), json!({}), false),
            (json!({"a": {"$mod": [4, 0]}}), json!({"a": true}), false),
            (json!({"a": {"$mod": [4.9, 0.5]}}), json!({"a": 8.7}), true),
            (json!({"a": {"$mod": [4, -1]}}), json!({"a": -5}), true),
            (json!({"a": {"$mod": [4, 3]}}), json!({"a": -5}), false),
            (json!({"a": {"$mod": [-4, 1]}}), json!({"a": 5}), true),
            (json!({"a": {"$mod": [2, 1]}}), json!({"a": 9_007_199_254_740_993_u64}), true),
            (json!({"a": {"$mod": [-1, 0]}}), json!({"a": i64::MIN}), true),
            (json!({"a": {"$mod": [2, 0]}}), json!({"a": 1e300}), false),
            // "$size"
            (json!({"a": {"$size": 2}}), json!({"a": [1, 2]}), true),
            (json!({"a": {"$size": 2}}), json!({"a": [1]}), false),
            (json!({"a": {"$size": 0}}), json!({"a": []}), true),
            (json!({"a": {"$size": 0}}), json!({}), false),
            (json!({"a": {"$size": 1}}), json!({"a": "x"}), false),
            (json!({"a": {"$size": 2}}), json!({"a": [[1, 2]]}), false),
            (json!({"a.b": {"$size": 2}}), json!({"a": [{"b": [1]}, {"b": [1, 2]}]}), true),
            (json!({"a.b": {"$size": 2}}), json!({"a": [{"b": 1}, {"b": 2}]}), false),
            (json!({"a.0": {"$size": 2}}), json!({"a": [[1, 2]]}), true),
            (json!({"a": {"$not": {"$size": 2}}}), json!({}), true),
            (json!({"a": {"$size": 2.0}}), json!({"a": [1, 2]}), true),
            // "$all"
            (json!({"a": {"$all": [1, 2]}}), json!({"a": [3, 2, 1]}), true),
            (json!({"a": {"$all": [1, 4]}}), json!({"a": [3, 2, 1]}), false),
            (json!({"a": {"$all": [1]}}), json!({"a": 1}), true),
            (json!({"a": {"$all": [1, 2]}}), json!({"a": 1}), false),
            (json!({"a": {"$all": [[1, 2]]}}), json!({"a": [1, 2]}), true),
            (json!({"a": {"$all": [[1, 2]]}}), json!({"a": [[1, 2], 3]}), true),
            (json!({"a": {"$all": [null]}}), json!({}), true),
            (json!({"a": {"$all": []}}), json!({"a": []}), false),
            (json!({"a": {"$not": {"$all": []}}}), json!({"a": 1}), true),
            (json!({"a.b": {"$all": [1, 2]}}), json!({"a": [{"b": 1}, {"b": 2}]}), true),
            (json!({"a": {"$all": [{"x": 1}]}}), json!({"a": [{"x": 1}]}), true),
            (
                json!({"a": {"$all": [{"$elemMatch": {"x": 1}}, {"$elemMatch": {"y": 2}}]}}),
                json!({"a": [{"x": 1}, {"y": 2}]}),
                true,
            ),
            (json!({"a": {"$all": [{"$elemMatch": {"x": 1, "y": 2}}]}}), json!({"a": [{"x": 1}, {"y": 2}]}), false),
            // "$elemMatch (query)"
            (json!({"a": {"$elemMatch": {"$gte": 80, "$lt": 85}}}), json!({"a": [82, 90]}), true),
            (json!({"a": {"$elemMatch": {"$gte": 80, "$lt": 85}}}), json!({"a": [75, 90]}), false),
            (json!({"a": {"$elemMatch": {"x": 1, "y": {"$gt": 1}}}}), json!({"a": [{"x": 1, "y": 2}]}), true),
            (json!({"a": {"$elemMatch": {"x": 1, "y": {"$gt": 1}}}}), json!({"a": [{"x": 1}, {"y": 2}]}), false),
            (json!({"a": {"$elemMatch": {"x": 1}}}), json!({"a": {"x": 1}}), false),
            (json!({"a": {"$elemMatch": {"$gt": 1}}}), json!({"a": 2}), false),
            (json!({"a": {"$elemMatch": {"x": 5}}}), json!({"a": [5]}), false),
            (json!({"a": {"$elemMatch": {"x": null}}}), json!({"a": [5]}), false),
            (json!({"a": {"$elemMatch": {"x": null}}}), json!({"a": [{}]}), true),
            (json!({"a": {"$elemMatch": {"$gt": 1}}}), json!({"a": [[2, 3]]}), false),
            (json!({"a": {"$elemMatch": {"x": 1}}}), json!({"a": [[{"x": 1}]]}), false),
            (json!({"a": {"$elemMatch": {"$elemMatch": {"$gt": 2}}}}), json!({"a": [[2], [3]]}), true),
            (json!({"a": {"$elemMatch": {"$size": 1}}}), json!({"a": [[2]]}), true),
            (json!({"a": {"$elemMatch": {"$ne": 1}}}), json!({"a": [1, 2]}), true),
            (json!({"a": {"$elemMatch": {"$ne": 1}}}), json!({"a": [1, 1]}), false),
            (json!({"a": {"$elemMatch": {"$not": {"$gt": 1}}}}), json!({"a": [1, 2]}), true),
            (json!({"a": {"$elemMatch": {"$or": [{"x": 1}, {"y": 1}]}}}), json!({"a": [{"y": 1}]}), true),
            (json!({"a": {"$elemMatch": {"$nor": [{"x": 1}]}}}), json!({"a": [1]}), false),
            (json!({"a": {"$elemMatch": {}}}), json!({"a": [1, {}]}), true),
            (json!({"a": {"$elemMatch": {}}}), json!({"a": []}), false),
            (json!({"a.b": {"$elemMatch": {"$gt": 1}}}), json!({"a": [{"b": 2}, {"b": 3}]}), false),
            (json!({"a.b": {"$elemMatch": {"$gt": 1}}}), json!({"a": [{"b": 2}, {"b": [3]}]}), true),
            (json!({"a": {"$elemMatch": {"x.y": 1}}}), json!({"a": [{"x": [{"y": 1}]}]}), true),
            (json!({"a": {"$elemMatch": {"$in": [[1]]}}}), json!({"a": [[1]]}), true),
            (json!({"a": {"$not": {"$elemMatch": {"$gt": 1}}}}), json!({"a": 2}), true),
            // "$bitsAllSet": 20 has the bits 2 and 4, 54 has 1, 2, 4 and 5.
            (json!({"a": {"$bitsAllSet": 20}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAllSet": [1, 5]}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAllSet": 54}}), json!({"a": 20}), false),
            (json!({"a": {"$bitsAllSet": []}}), json!({"a": 0}), true),
            (json!({"a": {"$bitsAllSet": 0}}), json!({"a": "0"}), false),
            (json!({"a": {"$bitsAllSet": 20}}), json!({"a": [1, 54]}), true),
            (json!({"a": {"$bitsAllSet": 20}}), json!({"a": 54.5}), false),
            (json!({"a": {"$bitsAllSet": 20}}), json!({"a": 54.0}), true),
            (json!({"a": {"$bitsAllSet": [0, 63, 200]}}), json!({"a": -1}), true),
            (json!({"a": {"$bitsAllSet": [63]}}), json!({"a": u64::MAX}), true),
            (json!({"a": {"$bitsAllSet": [200]}}), json!({"a": u64::MAX}), false),
            (json!({"a": {"$bitsAllSet": 1}}), json!({}), false),
            // "$bitsAnySet"
            (json!({"a": {"$bitsAnySet": 35}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAnySet": [0, 3]}}), json!({"a": 54}), false),
            (json!({"a": {"$bitsAnySet": [0, 4]}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAnySet": 0}}), json!({"a": 54}), false),
            (json!({"a": {"$bitsAnySet": 1}}), json!({"a": [0, 1]}), true),
            (json!({"a": {"$bitsAnySet": [100]}}), json!({"a": -2}), true),
            (json!({"a": {"$bitsAnySet": 1}}), json!({"a": true}), false),
            (json!({"a": {"$bitsAnySet": 1}}), json!({"a": 1e300}), false),
            // "$bitsAllClear"
            (json!({"a": {"$bitsAllClear": 35}}), json!({"a": 20}), true),
            (json!({"a": {"$bitsAllClear": [1, 5]}}), json!({"a": 20}), true),
            (json!({"a": {"$bitsAllClear": 35}}), json!({"a": 54}), false),
            (json!({"a": {"$bitsAllClear": []}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAllClear": 35}}), json!({}), false),
            (json!({"a": {"$bitsAllClear": 35}}), json!({"a": null}), false),
            (json!({"a": {"$bitsAllClear": [64]}}), json!({"a": 1}), true),
            (json!({"a": {"$bitsAllClear": [64]}}), json!({"a": -1}), false),
            // "$bitsAnyClear"
            (json!({"a": {"$bitsAnyClear": 35}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAnyClear": [1, 5]}}), json!({"a": 54}), false),
            (json!({"a": {"$bitsAnyClear": [1, 3]}}), json!({"a": 54}), true),
            (json!({"a": {"$bitsAnyClear": []}}), json!({"a": 54}), false),
            (json!({"a": {"$bitsAnyClear": 1}}), json!({"a": [1, 2]}), true),
            (json!({"a": {"$bitsAnyClear": 1}}), json!({"a": "2"}), false),
            (json!({"a": {"$bitsAnyClear": [300]}}), json!({"a": 1}), true),
            (json!({"a": {"$bitsAnyClear": [300]}}), json!({"a": -1}), false),
        ];
        for (filter, document, expected) in cases {
            assert_eq!(matches(&filter, &document), expected, "{filter} on {document}");
        }
    }

    #[cfg(feature = "macros")]
    mod typed {
        use super::*;
        use crate::core::private::Audience;
        use crate::core::private::Private;
        use crate::core::schema::registered::Schemas;
        use crate::core::schema::{FieldDeclaration, Kind, ModelDeclaration, ModelSchema, Site, Visibility};
        use modeller_macros::value;

        /// A type that only serde can look into.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        struct Foreign(Vec<u8>);

        #[value]
        struct Card {
            pub holder: String,
            pub pin: Private<u8>,
            pub log: Private<Vec<String>>,
        }

        #[value]
        struct Wallet {
            pub cards: Vec<Card>,
            pub foreign: Vec<Foreign>,
            pub tags: Option<Vec<String>>,
            pub gaps: Vec<Option<u8>>,
            pub lists: Vec<Vec<u8>>,
        }

        fn schema() -> Arc<ModelSchema> {
            const fn field(name: &'static str) -> FieldDeclaration {
                FieldDeclaration { name, unique: false, index: false, private: false, protected: false }
            }
            let declaration = ModelDeclaration {
                id: "wallets",
                access: Visibility::Public,
                caller: false,
                client_ids: false,
                trash: None,
                fields: const { &[field("cards"), field("foreign"), field("tags"), field("gaps"), field("lists")] },
                indexes: &[],
                kind: Kind::of::<Wallet>(),
                site: Site { module: "", file: "", line: 0 },
            };
            ModelSchema::prove(&declaration, &Schemas::default()).unwrap()
        }

        fn wallet() -> Wallet {
            Wallet {
                cards: vec![
                    Card { holder: "Ada".into(), pin: 7.into(), log: vec!["x".into()].into() },
                    Card { holder: "Bob".into(), pin: 8.into(), log: Vec::new().into() },
                ],
                foreign: vec![Foreign(vec![1, 2])],
                tags: Some(vec!["a".into(), "b".into()]),
                gaps: vec![Some(1)],
                lists: Vec::new(),
            }
        }

        #[test]
        fn private_values_in_elements_are_not_there_for_a_filter_from_outside() {
            let schema = schema();
            let cases = [
                (json!({"cards": {"$elemMatch": {"holder": "Ada"}}}), true, true),
                (json!({"cards": {"$elemMatch": {"pin": 7}}}), true, false),
                (json!({"cards": {"$elemMatch": {"pin": {"$mod": [7, 0]}}}}), true, false),
                (json!({"cards": {"$elemMatch": {"pin": {"$type": "int"}}}}), true, false),
                (json!({"cards": {"$elemMatch": {"pin": {"$type": "null"}}}}), false, false),
                (json!({"cards": {"$elemMatch": {"$or": [{"pin": {"$bitsAllSet": 7}}]}}}), true, false),
                (json!({"cards": {"$all": [{"$elemMatch": {"pin": 7}}, {"$elemMatch": {"pin": 8}}]}}), true, false),
                (json!({"cards": {"$not": {"$elemMatch": {"pin": 7}}}}), false, true),
                (json!({"cards": {"$elemMatch": {"pin": {"$exists": true}}}}), true, false),
                (json!({"cards": {"$elemMatch": {"log": {"$regex": "x"}}}}), true, false),
                (json!({"cards": {"$elemMatch": {"log": {"$elemMatch": {"$regex": "x"}}}}}), true, false),
                (json!({"cards": {"$elemMatch": {"log": {"$size": 1}}}}), true, false),
            ];
            for (filter, inside, outside) in cases {
                let trusted = parse_filter(&filter, &Schema::Any).unwrap();
                assert_eq!(trusted.matches(&wallet()), inside, "inside: {filter}");
                let untrusted = parse_filter(&filter, &Schema::Visible(&schema, Audience::Anyone)).unwrap();
                assert_eq!(untrusted.matches(&wallet()), outside, "outside: {filter}");
            }
        }

        #[test]
        fn names_inside_elements_are_not_those_of_the_model() {
            let schema = schema();
            let parse = |filter: Value| parse_filter(&filter, &Schema::Visible(&schema, Audience::Anyone));
            assert!(parse(json!({"cards": {"$elemMatch": {"nope": 1}}})).is_ok());
            assert!(parse(json!({"cards": {"$elemMatch": {"holder": 1}}, "nope": 1})).is_err());
            assert!(parse(json!({"nope": {"$elemMatch": {"holder": 1}}})).is_err());
        }

        #[test]
        fn elements_that_only_serde_knows_are_looked_into() {
            for filter in [
                json!({"foreign": {"$elemMatch": {"$size": 2}}}),
                json!({"foreign": {"$elemMatch": {"$elemMatch": {"$gt": 1}}}}),
                json!({"foreign": {"$type": "array"}}),
                json!({"foreign": {"$all": [[1, 2]]}}),
                json!({"foreign.0": {"$bitsAllSet": 2}}),
            ] {
                assert!(parse_filter(&filter, &Schema::Any).unwrap().matches(&wallet()), "{filter}");
            }
        }

        #[test]
        fn constants_build_what_json_says() {
            let with_null = json!({"gaps": {"$elemMatch": {"$eq": null}}});
            let cases = [
                (Wallet::TAGS.exists(true), json!({"tags": {"$exists": true}}), true),
                (Wallet::TAGS.contains("a"), json!({"tags": "a"}), true),
                (Wallet::TAGS.contains("c"), json!({"tags": "c"}), false),
                (Wallet::TAGS.all(["b", "a"]), json!({"tags": {"$all": ["a", "b"]}}), true),
                (Wallet::TAGS.all([""; 0]), json!({"tags": {"$all": []}}), false),
                (Wallet::TAGS.size(2), json!({"tags": {"$size": 2}}), true),
                (Wallet::GAPS.contains(None), with_null, false),
                (
                    Wallet::GAPS.all([Some(1), None]),
                    json!({"gaps": {"$all": [{"$elemMatch": {"$eq": 1}}, {"$elemMatch": {"$eq": null}}]}}),
                    false,
                ),
                // The list is itself equal to the operand, yet holds no such element.
                (Wallet::LISTS.contains(Vec::new()), json!({"lists": {"$elemMatch": {"$eq": []}}}), false),
                (
                    Wallet::CARDS.elem(Card::PIN.eq(8) & Card::HOLDER.matches("^B").unwrap()),
                    json!({"cards": {"$elemMatch": {"pin": 8, "holder": {"$regex": "^B"}}}}),
                    true,
                ),
            ];
            for (filter, json, expected) in cases {
                assert_eq!(filter, Filter::parse(&json).unwrap(), "{json}");
                assert_eq!(filter.raw().matches(&wallet()), expected, "{json}");
            }
        }
    }

    #[test]
    fn a_filter_survives_its_json() {
        for filter in [
            json!({"a": 1, "b": {"$gt": 1, "$lte": 4}}),
            json!({"$and": [{"a": 1}, {"a": 2}]}),
            json!({"a": {"$not": {"$in": [1, 2]}}}),
            json!({"a": {"$eq": {"$odd": 1}}}),
            json!({"a": {"$type": "number"}, "b": {"$type": ["string", "bool"]}}),
            json!({"a": {"$regex": "^x", "$options": "im", "$ne": "xx"}}),
            json!({"$and": [{"a": {"$regex": "x"}}, {"a": {"$regex": "y", "$options": "i"}}]}),
            json!({"a": {"$not": {"$regex": "x", "$options": "s"}}}),
            json!({"a": {"$mod": [4, -1], "$size": 3}}),
            json!({"a": {"$all": [1, [2], {"b": 3}]}}),
            json!({"a": {"$all": [{"$elemMatch": {"$gt": 1, "$lt": 3}}, {"$elemMatch": {"b": 1}}]}}),
            json!({"a": {"$elemMatch": {"b": 1, "c": {"$elemMatch": {"$eq": 1}}}}}),
            json!({"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}}),
            json!({"a": {"$elemMatch": {}}}),
            json!({"a": {"$bitsAllSet": 5, "$bitsAnySet": [3, 70]}}),
            json!({}),
        ] {
            assert_eq!(parse_filter(&filter, &Schema::Any).unwrap().to_json(), filter);
        }
    }
}
