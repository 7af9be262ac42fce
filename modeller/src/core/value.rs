//! Reading a value without copying it.
//!
//! Filters, sorts and indexes see documents through [`ValueRef`], a borrowed view that structs with `#[model]` or
//! `#[value]`, the usual library types and [`serde_json::Value`] all offer. What it shows is the *wire value*: the JSON that
//! the same value is serialized to. So there is one equality and one order for typed fields and JSON alike, and evaluating a
//! filter allocates nothing. A type that knows only serde still works; it is turned into JSON each time it is looked at.
//!
//! The order is that of the MongoDB manual ("Comparison/Sort Order"), with two differences, both because JSON objects have no
//! order: embedded objects are equal regardless of the order of their keys, and they are ordered with their keys sorted.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::decimal::{shortest, to_value};
use super::id::{Id, RawId};
use super::schema::shape::{Part, Shape};

/// A borrowed view of a wire value.
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    /// JSON `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits `i64`.
    Int(i64),
    /// Any non-negative integer.
    UInt(u64),
    /// A number with a fraction, or one out of the range of the integers.
    Float(f64),
    /// A string.
    Str(&'a str),
    /// The id of a document, on the wire a string.
    Id(&'a RawId),
    /// An array.
    Array(&'a dyn ArrayRef),
    /// An object.
    Object(&'a dyn ObjectRef),
    /// A value that only serde can look into.
    Serialized(&'a dyn ToJson),
    /// An array or an object of JSON that holds private members, as the schema of its model says.
    Part {
        /// All of it.
        value: &'a Value,
        /// What the schema says.
        shape: &'a Shape,
        /// Which part of the schema speaks of it.
        spot: u32,
    },
    /// A private value. Compared as it is it is `null`, and as a member of an object it is not there; only a path that was
    /// written in the program leads into it.
    Private(&'a dyn AsValue),
    /// A protected value: as a private one, but a path of a verified caller leads into it too.
    Protected(&'a dyn AsValue),
}

/// A value that offers its view.
///
/// `#[model]` and `#[value]` implement it; a foreign type that does not is read through its `Serialize`.
pub trait AsValue {
    /// The view.
    fn as_value(&self) -> ValueRef<'_>;
}

/// An array that can be read by position.
pub trait ArrayRef {
    /// Number of elements.
    fn len(&self) -> usize;
    /// The element at a position below [`ArrayRef::len`].
    fn at(&self, index: usize) -> ValueRef<'_>;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether the function holds for one element; asks them in order. What is slow to reach by position does it better.
    fn any(&self, f: &mut dyn FnMut(ValueRef<'_>) -> bool) -> bool {
        (0..self.len()).any(|at| f(self.at(at)))
    }
    /// Whether one element is this text.
    fn has_text(&self, text: &str) -> bool {
        (0..self.len()).any(|at| self.at(at).is_text(text))
    }
}

/// An object that can be read by name.
pub trait ObjectRef {
    /// The member of that name; `None` when there is none.
    fn get(&self, name: &str) -> Option<ValueRef<'_>>;
    /// Number of slots that [`ObjectRef::entry`] knows; a slot may be empty.
    fn slots(&self) -> usize;
    /// Name and value of the member in a slot below [`ObjectRef::slots`].
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)>;
    /// Calls the function with each member. What is slow to reach by slot does it better.
    fn each(&self, f: &mut dyn FnMut(&str, ValueRef<'_>)) {
        for (name, value) in (0..self.slots()).filter_map(|slot| self.entry(slot)) {
            f(name, value);
        }
    }
}

/// Whatever serde can turn into JSON, behind a pointer.
pub trait ToJson {
    /// The wire value. A value that cannot be serialized is `null`.
    fn to_json(&self) -> Value;
}

impl<T: Serialize + ?Sized> ToJson for T {
    fn to_json(&self) -> Value {
        to_value(self).unwrap_or_default()
    }
}

/// Where a type stands in the order of mixed values (MongoDB manual, "Comparison/Sort Order").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `null`, and what is missing.
    Null,
    /// All numbers.
    Number,
    /// Strings, and the ids of documents.
    String,
    /// Objects.
    Object,
    /// Arrays.
    Array,
    /// Booleans.
    Bool,
}

impl<'a> ValueRef<'a> {
    /// The integer that it is, where that fits `i64`.
    pub(crate) fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::UInt(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The class of the value in the order of mixed values.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null | Self::Private(_) | Self::Protected(_) => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => Kind::Number,
            Self::Str(_) | Self::Id(_) => Kind::String,
            Self::Array(_) => Kind::Array,
            Self::Object(_) => Kind::Object,
            Self::Serialized(value) => value.to_json().as_value().kind(),
            Self::Part { value, .. } => value.as_value().kind(),
        }
    }

    /// Calls `f` with the same value as one that can be looked into: as JSON where only serde can, and as an object or an array
    /// where it was a part of one.
    pub(crate) fn resolved<R>(self, f: impl FnOnce(ValueRef<'_>) -> R) -> R {
        match self {
            Self::Serialized(foreign) => f(foreign.to_json().as_value()),
            Self::Part { value, shape, spot } => f(Part::new(value, shape, spot).view()),
            value => f(value),
        }
    }

    /// Whether it is this text.
    #[inline]
    fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Str(own) => *own == text,
            Self::Id(_) | Self::Serialized(_) | Self::Part { .. } => self.equals(&ValueRef::Str(text)),
            _ => false,
        }
    }

    /// Runs `f` on the text of a string or an id, without allocating; `None` for any other kind.
    pub fn with_text<R>(&self, f: impl FnOnce(&str) -> R) -> Option<R> {
        match self {
            Self::Str(text) => Some(f(text)),
            Self::Id(id) => Some(id.with_text(f)),
            _ => None,
        }
    }

    /// The wire value, copied.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null | Self::Private(_) | Self::Protected(_) => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::from(*value),
            Self::UInt(value) => Value::from(*value),
            Self::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Self::Str(text) => Value::String((*text).to_owned()),
            Self::Id(id) => Value::String(id.to_string()),
            Self::Array(array) => {
                let mut all = Vec::with_capacity(array.len());
                array.any(&mut |element| {
                    all.push(element.to_json());
                    false
                });
                Value::Array(all)
            }
            Self::Object(object) => {
                let mut all = Map::new();
                object.each(&mut |name, value| {
                    if !value.is_withheld() {
                        all.insert(name.to_owned(), value.to_json());
                    }
                });
                Value::Object(all)
            }
            Self::Serialized(value) => value.to_json(),
            Self::Part { .. } => self.resolved(|value| value.to_json()),
        }
    }

    /// About how many bytes the value has as JSON, private parts included; `None` for what is so large that reading it by
    /// position can take longer than writing it.
    pub(crate) fn weight(&self) -> Option<usize> {
        self.weight_by(text_weight)
    }

    /// No less than [`ValueRef::weight`], which looks at each byte.
    pub(crate) fn most_weight(&self) -> Option<usize> {
        self.weight_by(|text| text.len().saturating_mul(ESCAPED) + 2)
    }

    fn weight_by(&self, text_weight: fn(&str) -> usize) -> Option<usize> {
        const MANY: usize = 64;
        Some(match self {
            Self::Null | Self::Bool(_) => 4,
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => 20,
            Self::Str(text) => text_weight(text),
            Self::Id(id) => id.with_text(text_weight),
            Self::Array(array) if array.len() <= MANY => {
                (0..array.len()).try_fold(2, |sum, at| Some(sum + array.at(at).weight_by(text_weight)? + 1))?
            }
            Self::Object(object) if object.slots() <= MANY => {
                let mut members = (0..object.slots()).filter_map(|slot| object.entry(slot));
                members.try_fold(2, |sum, (name, value)| {
                    Some(sum + text_weight(name) + value.weight_by(text_weight)? + 2)
                })?
            }
            Self::Private(value) | Self::Protected(value) => value.as_value().weight_by(text_weight)?,
            Self::Array(_) | Self::Object(_) | Self::Part { .. } | Self::Serialized(_) => return None,
        })
    }

    /// The order of mixed values: by kind first, then by value. `Equal` is the equality of filters.
    #[must_use]
    pub fn compare(&self, other: &ValueRef<'_>) -> Ordering {
        match (self, other) {
            (Self::Serialized(_) | Self::Part { .. }, _) => self.resolved(|value| value.compare(other)),
            (_, ValueRef::Serialized(_) | ValueRef::Part { .. }) => other.resolved(|other| self.compare(&other)),
            (Self::Private(_) | Self::Protected(_), _) => ValueRef::Null.compare(other),
            (_, ValueRef::Private(_) | ValueRef::Protected(_)) => self.compare(&ValueRef::Null),
            (Self::Null, ValueRef::Null) => Ordering::Equal,
            (Self::Bool(a), ValueRef::Bool(b)) => a.cmp(b),
            (Self::Str(a), ValueRef::Str(b)) => a.cmp(b),
            (Self::Id(a), ValueRef::Id(b)) => a.cmp(b),
            (Self::Str(a), ValueRef::Id(b)) => b.with_text(|b| (*a).cmp(b)),
            (Self::Id(a), ValueRef::Str(b)) => a.with_text(|a| a.cmp(b)),
            (Self::Array(a), ValueRef::Array(b)) => compare_arrays(*a, *b),
            (Self::Object(a), ValueRef::Object(b)) => compare_objects(*a, *b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.compare(b),
                _ => self.kind().cmp(&other.kind()),
            },
        }
    }

    fn is_withheld(&self) -> bool {
        matches!(self, Self::Private(_) | Self::Protected(_))
    }

    /// Whether both are the same wire value.
    #[must_use]
    pub fn equals(&self, other: &ValueRef<'_>) -> bool {
        self.compare(other) == Ordering::Equal
    }

    /// The number in canonical form; `None` for any other kind.
    pub(crate) fn number(&self) -> Option<Num> {
        match *self {
            Self::Int(value) => Some(Num::Int(i128::from(value))),
            Self::UInt(value) => Some(Num::Int(i128::from(value))),
            Self::Float(value) => Some(Num::of_float(value)),
            _ => None,
        }
    }
}

/// As many bytes a character of JSON text takes at most for one of the text that it stands for.
const ESCAPED: usize = 6;

/// How many bytes a text has as JSON: a control character takes six of them at most, a quote or a backslash two.
fn text_weight(text: &str) -> usize {
    let escapes: usize = text
        .bytes()
        .map(|byte| usize::from(byte < b' ') * (ESCAPED - 1) + usize::from(matches!(byte, b'"' | b'\\')))
        .sum();
    text.len() + escapes + 2
}

/// A number in canonical form: whole numbers are exact, `1.0` is `1`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Num {
    /// A whole number.
    Int(i128),
    /// A number with a fraction, or one too large to be held exactly.
    Float(f64),
}

impl Num {
    pub(crate) fn of_float(value: f64) -> Self {
        // 2^126 is far above all integers of the wire, and far below where the cast would saturate.
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within the range of i128")]
        if value.fract() == 0.0 && value.abs() < 8.5e37 { Self::Int(value as i128) } else { Self::Float(value) }
    }

    /// A total order: that of the numbers, NaN below all and equal to itself (as in MongoDB).
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => float_order(a, b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(a, b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(b, a).reverse(),
        }
    }
}

fn float_order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// `b` is not whole, or beyond all integers of the wire (see [`Num::of_float`]); never equal to `a`.
fn compare_int_float(a: i128, b: f64) -> Ordering {
    if b.is_nan() {
        return Ordering::Greater;
    }
    if b.abs() >= 8.5e37 {
        return if b > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    #[expect(clippy::cast_possible_truncation, reason = "the floor of a number within the range of i128")]
    let floor = b.floor() as i128;
    if a <= floor { Ordering::Less } else { Ordering::Greater }
}

fn compare_arrays(a: &dyn ArrayRef, b: &dyn ArrayRef) -> Ordering {
    let (mut at, mut order) = (0, Ordering::Equal);
    a.any(&mut |element| {
        if at < b.len() {
            order = element.compare(&b.at(at));
            at += 1;
        }
        order.is_ne() || at >= b.len()
    });
    order.then_with(|| a.len().cmp(&b.len()))
}

/// With their keys sorted; at each position first the kind of the value, then the name, then the value, as in MongoDB.
fn compare_objects(a: &dyn ObjectRef, b: &dyn ObjectRef) -> Ordering {
    let sorted = |object: &dyn ObjectRef| {
        let mut names = Vec::with_capacity(object.slots());
        object.each(&mut |name, value| {
            if !value.is_withheld() {
                names.push(name.to_owned());
            }
        });
        names.sort_unstable();
        names
    };
    let (names_a, names_b) = (sorted(a), sorted(b));
    for (name_a, name_b) in names_a.iter().zip(&names_b) {
        let (Some(value_a), Some(value_b)) = (a.get(name_a), b.get(name_b)) else { continue };
        let order = value_a
            .kind()
            .cmp(&value_b.kind())
            .then_with(|| name_a.cmp(name_b))
            .then_with(|| value_a.compare(&value_b));
        if order.is_ne() {
            return order;
        }
    }
    names_a.len().cmp(&names_b.len())
}

macro_rules! views {
    ($($type:ty: $value:ident => $view:expr;)*) => {$(
        impl AsValue for $type {
            fn as_value(&self) -> ValueRef<'_> {
                let $value = self;
                $view
            }
        }
    )*};
}

views! {
    bool: v => ValueRef::Bool(*v);
    i8: v => ValueRef::Int((*v).into());
    i16: v => ValueRef::Int((*v).into());
    i32: v => ValueRef::Int((*v).into());
    i64: v => ValueRef::Int(*v);
    u8: v => ValueRef::UInt((*v).into());
    u16: v => ValueRef::UInt((*v).into());
    u32: v => ValueRef::UInt((*v).into());
    u64: v => ValueRef::UInt(*v);
    f32: v => float(shortest(*v));
    f64: v => float(*v);
    str: v => ValueRef::Str(v);
    String: v => ValueRef::Str(v);
    Cow<'_, str>: v => ValueRef::Str(v);
    RawId: v => ValueRef::Id(v);
    (): _v => ValueRef::Null;
}

/// JSON has no NaN and no infinities; serde_json writes `null`.
fn float(value: f64) -> ValueRef<'static> {
    if value.is_finite() { ValueRef::Float(value) } else { ValueRef::Null }
}

impl<T: 'static> AsValue for Id<T> {
    fn as_value(&self) -> ValueRef<'_> {
        ValueRef::Id(self.raw())
    }
}

impl<T: AsValue + ?Sized> AsValue for &T {
    fn as_value(&self) -> ValueRef<'_> {
        (**self).as_value()
    }
}

impl<T: AsValue + ?Sized> AsValue for Box<T> {
    fn as_value(&self) -> ValueRef<'_> {
        (**self).as_value()
    }
}

impl<T: AsValue> AsValue for Option<T> {
    fn as_value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, AsValue::as_value)
    }
}

impl<T: AsValue> ArrayRef for Vec<T> {
    fn len(&self) -> usize {
        Self::len(self)
    }
    fn at(&self, index: usize) -> ValueRef<'_> {
        self.get(index).map_or(ValueRef::Null, AsValue::as_value)
    }
    fn has_text(&self, text: &str) -> bool {
        self.iter().any(|element| element.as_value().is_text(text))
    }
}

impl<T: AsValue> AsValue for Vec<T> {
    fn as_value(&self) -> ValueRef<'_> {
        ValueRef::Array(self)
    }
}

impl<T: AsValue> ArrayRef for BTreeSet<T> {
    fn len(&self) -> usize {
        Self::len(self)
    }
    fn at(&self, index: usize) -> ValueRef<'_> {
        self.iter().nth(index).map_or(ValueRef::Null, AsValue::as_value)
    }
    fn any(&self, f: &mut dyn FnMut(ValueRef<'_>) -> bool) -> bool {
        self.iter().any(|element| f(element.as_value()))
    }
    fn has_text(&self, text: &str) -> bool {
        self.any(&mut |element| element.is_text(text))
    }
}

impl<T: AsValue> AsValue for BTreeSet<T> {
    fn as_value(&self) -> ValueRef<'_> {
        ValueRef::Array(self)
    }
}

macro_rules! maps {
    ($($map:ident<$hasher:ident>),*; $($plain:ident),*) => {$(
        impl<T: AsValue, $hasher: std::hash::BuildHasher> ObjectRef for $map<String, T, $hasher> {
            maps!(@body);
        }
        impl<T: AsValue, $hasher: std::hash::BuildHasher> AsValue for $map<String, T, $hasher> {
            fn as_value(&self) -> ValueRef<'_> {
                ValueRef::Object(self)
            }
        }
    )*$(
        impl<T: AsValue> ObjectRef for $plain<String, T> {
            maps!(@body);
        }
        impl<T: AsValue> AsValue for $plain<String, T> {
            fn as_value(&self) -> ValueRef<'_> {
                ValueRef::Object(self)
            }
        }
    )*};
    (@body) => {
        fn get(&self, name: &str) -> Option<ValueRef<'_>> {
            Self::get(self, name).map(AsValue::as_value)
        }
        fn slots(&self) -> usize {
            self.len()
        }
        fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
            self.iter().nth(slot).map(|(name, value)| (name.as_str(), value.as_value()))
        }
        fn each(&self, f: &mut dyn FnMut(&str, ValueRef<'_>)) {
            self.iter().for_each(|(name, value)| f(name, value.as_value()));
        }
    };
}

maps!(HashMap<S>; BTreeMap);

impl ObjectRef for Map<String, Value> {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        Self::get(self, name).map(AsValue::as_value)
    }
    fn slots(&self) -> usize {
        self.len()
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        self.iter().nth(slot).map(|(name, value)| (name.as_str(), value.as_value()))
    }
    fn each(&self, f: &mut dyn FnMut(&str, ValueRef<'_>)) {
        self.iter().for_each(|(name, value)| f(name, value.as_value()));
    }
}

impl AsValue for Value {
    fn as_value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => ValueRef::Int(value),
                (None, Some(value)) => ValueRef::UInt(value),
                (None, None) => number.as_f64().map_or(ValueRef::Null, float),
            },
            Self::String(text) => ValueRef::Str(text),
            Self::Array(array) => ValueRef::Array(array),
            Self::Object(object) => ValueRef::Object(object),
        }
    }
}

/// An enum of which some variants are objects on the wire, so that they are read in place.
pub trait Variants {
    /// Hands the members of such a variant on, one by one, until one is taken; whether one was.
    fn members<'a>(&'a self, take: &mut Take<'_, 'a>) -> bool;
}

/// Takes a member, or passes it by.
pub type Take<'t, 'a> = dyn FnMut(&'a str, ValueRef<'a>) -> bool + 't;

/// The members of a value within a variant, as those of the variant itself.
pub fn inner_members<'a>(value: ValueRef<'a>, take: &mut Take<'_, 'a>) -> bool {
    let ValueRef::Object(object) = value else { return false };
    (0..object.slots()).filter_map(|slot| object.entry(slot)).any(|(name, value)| take(name, value))
}

/// [`ObjectRef::get`] of a variant.
pub fn variant_member<'a>(of: &'a dyn Variants, name: &str) -> Option<ValueRef<'a>> {
    let mut found = None;
    of.members(&mut |member, value| {
        let is_it = member == name;
        if is_it {
            found = Some(value);
        }
        is_it
    });
    found
}

/// [`ObjectRef::slots`] of a variant.
pub fn variant_slots(of: &dyn Variants) -> usize {
    let mut count = 0;
    of.members(&mut |_, _| {
        count += 1;
        false
    });
    count
}

/// [`ObjectRef::entry`] of a variant.
pub fn variant_entry(of: &dyn Variants, slot: usize) -> Option<(&str, ValueRef<'_>)> {
    let (mut found, mut at) = (None, 0);
    of.members(&mut |name, value| {
        let is_it = at == slot;
        if is_it {
            found = Some((name, value));
        }
        at += 1;
        is_it
    });
    found
}

/// Picks, in an expansion, the view of a field whose type the macro cannot know: by [`AsValue`] where there is one, else by
/// `Serialize`. Method lookup tries `Probe<T>` before `&Probe<T>`, which is the whole trick.
pub struct Probe<'a, T: ?Sized>(pub &'a T);

/// The better half of [`Probe`].
pub trait ByView<'a> {
    /// The view.
    fn view(&self) -> ValueRef<'a>;
}

impl<'a, T: AsValue + ?Sized> ByView<'a> for Probe<'a, T> {
    fn view(&self) -> ValueRef<'a> {
        self.0.as_value()
    }
}

/// The other half of [`Probe`].
pub trait BySerialize<'a> {
    /// The view.
    fn view(&self) -> ValueRef<'a>;
}

impl<'a, T: Serialize> BySerialize<'a> for &Probe<'a, T> {
    fn view(&self) -> ValueRef<'a> {
        ValueRef::Serialized(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(a: &Value, b: &Value) -> Ordering {
        a.as_value().compare(&b.as_value())
    }

    #[test]
    fn kinds_are_ordered_as_in_the_manual() {
        let rising = [
            json!(null),
            json!(-1),
            json!(1.5),
            json!(""),
            json!("a"),
            json!({}),
            json!({"a": 1}),
            json!([]),
            json!([1]),
            json!(false),
            json!(true),
        ];
        for (at, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                assert_eq!(order(a, b), at.cmp(&other), "{a} {b}");
            }
        }
    }

    #[test]
    fn integers_are_exact_and_floats_compare_by_value() {
        assert_eq!(order(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)), Ordering::Greater);
        assert_eq!(order(&json!(u64::MAX), &json!(i64::MIN)), Ordering::Greater);
        assert_eq!(order(&json!(1), &json!(1.0)), Ordering::Equal);
        assert_eq!(order(&json!(1), &json!(1.5)), Ordering::Less);
        assert_eq!(order(&json!(-1), &json!(-1.5)), Ordering::Greater);
        assert_eq!(order(&json!(1e300), &json!(u64::MAX)), Ordering::Greater);
        assert_eq!(order(&json!(0.0), &json!(-0.0)), Ordering::Equal);
    }

    #[test]
    fn objects_have_no_order_of_keys() {
        assert_eq!(order(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1})), Ordering::Equal);
        assert_eq!(order(&json!({"a": 1}), &json!({"a": 1, "b": 2})), Ordering::Less);
    }

    #[test]
    #[expect(clippy::needless_borrow, reason = "as in an expansion, where it makes the second trait reachable")]
    fn a_foreign_type_is_read_through_serde() {
        #[derive(Serialize)]
        struct Foreign {
            a: u8,
        }
        let foreign = Foreign { a: 7 };
        let view = (&Probe(&foreign)).view();
        assert!(view.equals(&json!({"a": 7}).as_value()));
        let text = String::from("x");
        assert!(matches!((&Probe(&text)).view(), ValueRef::Str("x")));
    }
}
