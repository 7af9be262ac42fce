//! A filter made ready to look at many documents.
//!
//! Nearly all filters compare top-level fields with texts and numbers. For these the field is looked for once, by its name, and
//! then read by its place, and the operand is taken apart once. Whatever else is asked is asked as [`RawFilter::matches`] does;
//! so is what is withheld, or can only be read by serde.

use std::cell::Cell;

use serde_json::Value;

use super::filter::{Compare, RawFilter, Test, compares};
use crate::core::document::{AnyDoc, DocView};
use crate::core::index::Seen;
use crate::core::value::ValueRef;

pub(crate) enum Matcher<'a> {
    All(Vec<Self>),
    Any(Vec<Self>),
    None(Vec<Self>),
    Field(FieldTest<'a>),
    /// Nothing of it is known beforehand.
    Filter(&'a RawFilter),
}

/// A comparison of a top-level field with what is not an array.
pub(crate) struct FieldTest<'a> {
    slot: Slot<'a>,
    /// Where its numbers stand beside the documents, those that pass: not before the first, and not after the second.
    beside: Option<(i64, i64)>,
    compare: Compare,
    /// Whether it is that none is equal.
    negated: bool,
    operand: Operand<'a>,
    value: &'a Value,
    filter: &'a RawFilter,
}

/// A top-level field of many documents, which is looked for once.
pub(crate) struct Slot<'a> {
    name: &'a str,
    place: Cell<Place>,
}

impl<'a> Slot<'a> {
    pub(crate) fn of(name: &'a str) -> Self {
        Self { name, place: Cell::new(Place::Unknown) }
    }

    /// Calls `f` with the value of the field, and whether it was found by its place.
    #[inline]
    pub(crate) fn with<R>(&self, doc: &dyn AnyDoc, f: impl FnOnce(Option<&ValueRef<'_>>, bool) -> R) -> R {
        let object = doc.object();
        match self.place.get() {
            // The value is looked at where it was answered. A copy of it would wait until all of it is written, and that until
            // what was read of the documents before has come from memory.
            Place::Slot(slot, address) => match &object.entry(slot) {
                Some((name, value)) if std::ptr::eq(name.as_ptr(), address) && name.len() == self.name.len() => {
                    return f(Some(value), true);
                }
                _ => self.place.set(Place::ByName),
            },
            Place::Unknown => {
                let mut slots = (0..object.slots()).filter_map(|slot| object.entry(slot).map(|(name, _)| (slot, name)));
                let found = slots.find(|(_, name)| *name == self.name);
                self.place.set(found.map_or(Place::ByName, |(slot, name)| Place::Slot(slot, name.as_ptr())));
            }
            Place::ByName => {}
        }
        f(object.get(self.name).as_ref(), false)
    }
}

/// Where the documents have a field.
#[derive(Clone, Copy)]
enum Place {
    Unknown,
    /// In this slot, as long as its name is the very text at this address: so it is with the fields of a struct.
    Slot(usize, *const u8),
    /// They differ.
    ByName,
}

enum Operand<'a> {
    Text(&'a str),
    /// A whole number, as either kind that can hold it.
    Whole(Option<i64>, Option<u64>),
    Other,
}

impl<'a> Matcher<'a> {
    /// For documents beside which there are the numbers of a field.
    pub(crate) fn of(filter: &'a RawFilter, beside: Option<&str>) -> Self {
        let each = |members: &'a [RawFilter]| members.iter().map(|member| Self::of(member, beside)).collect();
        match filter {
            RawFilter::And { members, .. } => Self::All(each(members)),
            RawFilter::Or(members) => Self::Any(each(members)),
            RawFilter::Nor(members) => Self::None(each(members)),
            RawFilter::Field(path, Test::Compare(compare, value)) => match path.single() {
                Some(name) if !matches!(name, "_id" | "_rev") && !value.is_array() => {
                    Self::Field(FieldTest::new(filter, name, *compare, value, beside))
                }
                _ => Self::Filter(filter),
            },
            RawFilter::Field(..) => Self::Filter(filter),
        }
    }

    /// What is left of a filter for documents that are known to pass some of its tests, which all of it asks for.
    pub(crate) fn of_rest(filter: &'a RawFilter, passed: &[&Test], beside: Option<&str>) -> Self {
        let is_passed = |filter: &RawFilter| match filter {
            RawFilter::Field(_, test) => passed.iter().any(|one| std::ptr::eq(*one, test)),
            _ => false,
        };
        match filter {
            RawFilter::And { members, .. } => {
                let rest = members.iter().filter(|member| !is_passed(member));
                Self::All(rest.map(|member| Self::of_rest(member, passed, beside)).collect())
            }
            _ if is_passed(filter) => Self::All(Vec::new()),
            _ => Self::of(filter, beside),
        }
    }

    /// Whether the document matches.
    pub(crate) fn matches(&self, seen: Seen<'_>) -> bool {
        match self {
            Self::All(members) => members.iter().all(|member| member.matches(seen)),
            Self::Any(members) => members.iter().any(|member| member.matches(seen)),
            Self::None(members) => !members.iter().any(|member| member.matches(seen)),
            Self::Field(test) => test.matches(seen),
            Self::Filter(filter) => filter.matches(&DocView(seen.doc.as_ref())),
        }
    }

    /// Leaves those that match. What is asked first is asked of all before the next: while one document comes from memory, the
    /// next ones are already on their way.
    pub(crate) fn retain(&self, docs: &mut Vec<Seen<'_>>) {
        match self {
            Self::All(members) => members.iter().for_each(|member| member.retain(docs)),
            Self::Field(test) => retain(docs, |doc| test.matches(doc)),
            _ => retain(docs, |doc| self.matches(doc)),
        }
    }
}

/// Leaves those that match. First all answers, then the moves: where a document is moved to waits for the answers of those before,
/// and what is read next would wait for that.
#[inline]
fn retain<'a>(docs: &mut Vec<Seen<'a>>, matches: impl Fn(Seen<'a>) -> bool) {
    let (mut kept, mut begin) = (0, 0);
    while begin < docs.len() {
        let mut answers = 0_u64;
        let end = docs.len().min(begin + 64);
        for (bit, doc) in docs.get(begin..end).unwrap_or_default().iter().enumerate() {
            answers |= u64::from(matches(*doc)) << bit;
        }
        for at in begin..end {
            if let Some(doc) = docs.get(at).copied()
                && let Some(place) = docs.get_mut(kept)
            {
                *place = doc;
            }
            kept += usize::from(answers >> (at - begin) & 1 == 1);
        }
        begin = end;
    }
    docs.truncate(kept);
}

impl<'a> FieldTest<'a> {
    fn new(filter: &'a RawFilter, name: &'a str, compare: Compare, value: &'a Value, beside: Option<&str>) -> Self {
        let operand = match value {
            Value::String(text) => Operand::Text(text),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                Operand::Whole(number.as_i64(), number.as_u64())
            }
            _ => Operand::Other,
        };
        let negated = compare == Compare::Ne;
        let compare = if negated { Compare::Eq } else { compare };
        let beside = match operand {
            Operand::Whole(Some(number), _) if beside == Some(name) => compare.passing(number),
            _ => None,
        };
        Self { slot: Slot::of(name), beside, compare, negated, operand, value, filter }
    }

    #[inline]
    fn matches(&self, seen: Seen<'_>) -> bool {
        match (self.beside, seen.number()) {
            (Some((low, high)), Some(number)) => (low <= number && number <= high) != self.negated,
            _ => self.looks_at(seen.doc.as_ref()),
        }
    }

    fn looks_at(&self, doc: &dyn AnyDoc) -> bool {
        self.slot.with(doc, |value, in_slot| match value {
            Some(value) if in_slot => self.passes(value, doc),
            value => self.passes_otherwise(value.copied(), doc),
        })
    }

    #[inline]
    fn passes(&self, value: &ValueRef<'_>, doc: &dyn AnyDoc) -> bool {
        let holds = match (value, &self.operand) {
            (ValueRef::Str(a), Operand::Text(b)) if self.compare == Compare::Eq => a == b,
            (ValueRef::UInt(a), Operand::Whole(_, Some(b))) => self.compare.holds(a.cmp(b)),
            (ValueRef::Int(a), Operand::Whole(Some(b), _)) => self.compare.holds(a.cmp(b)),
            // An array is of another kind than the operand, so that it is its elements that count.
            (ValueRef::Array(array), Operand::Text(text)) if self.compare == Compare::Eq => array.has_text(text),
            _ => return self.passes_otherwise(Some(*value), doc),
        };
        holds != self.negated
    }

    #[inline(never)]
    fn passes_otherwise(&self, value: Option<ValueRef<'_>>, doc: &dyn AnyDoc) -> bool {
        let holds = match value {
            Some(ValueRef::Serialized(_) | ValueRef::Part { .. } | ValueRef::Private(_) | ValueRef::Protected(_)) => {
                return self.filter.matches(&DocView(doc));
            }
            Some(ValueRef::Array(array)) => {
                array.any(&mut |element| element.resolved(|element| compares(self.compare, Some(element), self.value)))
            }
            value => compares(self.compare, value, self.value),
        };
        holds != self.negated
    }
}
