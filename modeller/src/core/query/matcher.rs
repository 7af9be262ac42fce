//! A filter made ready to look at many documents.
//!
//! Nearly all filters compare top-level fields with texts and numbers. For these the field is looked for once, by its name, and
//! then read by its place, and the operand is taken apart once. Whatever else is asked is asked as [`RawFilter::matches`] does;
//! so is what is withheld, or can only be read by serde.

use std::cell::Cell;

use serde_json::Value;

use super::filter::{Compare, RawFilter, Test, compares};
use crate::core::document::{AnyDoc, DocView, DynDoc};
use crate::core::value::{ObjectRef, ValueRef};

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
    name: &'a str,
    place: Cell<Place>,
    compare: Compare,
    /// Whether it is that none is equal.
    negated: bool,
    operand: Operand<'a>,
    value: &'a Value,
    filter: &'a RawFilter,
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
    pub(crate) fn of(filter: &'a RawFilter) -> Self {
        let each = |members: &'a [RawFilter]| members.iter().map(Self::of).collect();
        match filter {
            RawFilter::And { members, .. } => Self::All(each(members)),
            RawFilter::Or(members) => Self::Any(each(members)),
            RawFilter::Nor(members) => Self::None(each(members)),
            RawFilter::Field(path, Test::Compare(compare, value)) => match path.single() {
                Some(name) if !matches!(name, "_id" | "_rev") && !value.is_array() => {
                    Self::Field(FieldTest::new(filter, name, *compare, value))
                }
                _ => Self::Filter(filter),
            },
            RawFilter::Field(..) => Self::Filter(filter),
        }
    }

    /// Whether the document matches.
    pub(crate) fn matches(&self, doc: &dyn AnyDoc) -> bool {
        match self {
            Self::All(members) => members.iter().all(|member| member.matches(doc)),
            Self::Any(members) => members.iter().any(|member| member.matches(doc)),
            Self::None(members) => !members.iter().any(|member| member.matches(doc)),
            Self::Field(test) => test.matches(doc),
            Self::Filter(filter) => filter.matches(&DocView(doc)),
        }
    }

    /// Leaves those that match. What is asked first is asked of all before the next: while one document comes from memory, the
    /// next ones are already on their way.
    pub(crate) fn retain(&self, docs: &mut Vec<&DynDoc>) {
        if let Self::All(members) = self {
            return members.iter().for_each(|member| member.retain(docs));
        }
        // Without a branch, which would be guessed wrong often.
        let mut kept = 0;
        for at in 0..docs.len() {
            docs.swap(kept, at);
            kept += usize::from(docs.get(kept).is_some_and(|doc| self.matches(doc.as_ref())));
        }
        docs.truncate(kept);
    }
}

impl<'a> FieldTest<'a> {
    fn new(filter: &'a RawFilter, name: &'a str, compare: Compare, value: &'a Value) -> Self {
        let operand = match value {
            Value::String(text) => Operand::Text(text),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                Operand::Whole(number.as_i64(), number.as_u64())
            }
            _ => Operand::Other,
        };
        let negated = compare == Compare::Ne;
        let compare = if negated { Compare::Eq } else { compare };
        Self { name, place: Cell::new(Place::Unknown), compare, negated, operand, value, filter }
    }

    fn matches(&self, doc: &dyn AnyDoc) -> bool {
        let holds = match self.value(doc.object()) {
            Some(ValueRef::Serialized(_) | ValueRef::Part { .. } | ValueRef::Private(_) | ValueRef::Protected(_)) => {
                return self.filter.matches(&DocView(doc));
            }
            // An array is of another kind than the operand, so that it is its elements that count.
            Some(ValueRef::Array(array)) => match self.operand {
                Operand::Text(text) if self.compare == Compare::Eq => array.has_text(text),
                _ => array.any(&mut |element| element.resolved(|element| self.holds(Some(element)))),
            },
            value => self.holds(value),
        };
        holds != self.negated
    }

    fn value<'d>(&self, object: &'d dyn ObjectRef) -> Option<ValueRef<'d>> {
        match self.place.get() {
            Place::Slot(slot, address) => match object.entry(slot) {
                Some((name, value)) if std::ptr::eq(name.as_ptr(), address) && name.len() == self.name.len() => {
                    return Some(value);
                }
                _ => self.place.set(Place::ByName),
            },
            Place::Unknown => {
                let slots = (0..object.slots()).filter_map(|slot| object.entry(slot).map(|(name, _)| (slot, name)));
                let found = slots.into_iter().find(|(_, name)| *name == self.name);
                self.place.set(found.map_or(Place::ByName, |(slot, name)| Place::Slot(slot, name.as_ptr())));
            }
            Place::ByName => {}
        }
        object.get(self.name)
    }

    fn holds(&self, value: Option<ValueRef<'_>>) -> bool {
        match (value, &self.operand) {
            (Some(ValueRef::Str(a)), Operand::Text(b)) if self.compare == Compare::Eq => a == *b,
            (Some(ValueRef::Str(a)), Operand::Text(b)) => self.compare.holds(a.cmp(b)),
            (Some(ValueRef::UInt(a)), Operand::Whole(_, Some(b))) => self.compare.holds(a.cmp(b)),
            (Some(ValueRef::Int(a)), Operand::Whole(Some(b), _)) => self.compare.holds(a.cmp(b)),
            (value, _) => compares(self.compare, value, self.value),
        }
    }
}
