//! Indexes of one collection: from the values of one field, or of several, to the documents that have them.
//!
//! Every document is in every index: what is missing is there as `null`, an array by each of its elements, and an empty one by
//! a key of its own below `null`, which is where sorts have it. So an index whose documents hold no array has each of them once, in the
//! order of a sort by its fields; it knows in how many there is one.

use std::iter;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use super::document::{AnyDoc, DynDoc};
use super::id::RawId;
use super::key::{ABOVE, Key, push_empty, push_value};
use super::private::Level;
use super::query::filter::is_scalar;
use super::value::{ArrayRef, Kind, ValueRef};

/// A field that an index is over.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Box<str>,
    /// From whom it is withheld: a path of theirs does not lead to it.
    pub(crate) withheld: Option<Level>,
}

/// An index on one or several fields.
#[derive(Clone)]
pub(crate) struct Index {
    members: Arc<[Member]>,
    unique: bool,
    /// Where the index is unique, the documents whose values count: each of them has its key alone.
    held: OrdMap<Key, DynDoc>,
    /// The others. With the id in the key, so that documents with one value are in the order of their ids.
    shared: OrdMap<(Key, RawId), DynDoc>,
    /// In how many documents each member is an array; empty as long as none ever was.
    arrays: Vec<usize>,
}

/// Neighbouring keys.
#[derive(Clone, Debug)]
pub(crate) enum Span {
    /// This one, with a value for each member.
    Point(Key),
    /// From the first up to and without the second.
    Between(Key, Key),
}

impl Span {
    /// All keys that begin with these bytes.
    pub(crate) fn beginning(bytes: &[u8]) -> Self {
        Self::Between(Key::of(bytes), Key::of(&[bytes, &[ABOVE]].concat()))
    }
}

/// In which order entries are visited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// The greatest keys first.
    pub(crate) reverse: bool,
    /// Of those with one key, the greatest ids first.
    pub(crate) ids_reverse: bool,
}

impl Course {
    /// Whether this id comes after the other one.
    fn is_behind(self, id: &RawId, other: &RawId) -> bool {
        if self.ids_reverse { id < other } else { id > other }
    }
}

/// An entry: a document under one of its keys.
type Entry<'a> = (&'a Key, &'a DynDoc);
type Entries<'a> = Box<dyn Iterator<Item = Entry<'a>> + 'a>;

/// The keys of one document.
struct Keys {
    /// Each with whether it counts for `unique`: not where one of its values is `null`.
    list: Vec<(Key, bool)>,
    /// The members that are arrays, one bit each.
    arrays: u32,
}

/// The most members of an index, as in MongoDB.
pub(crate) const MAX_MEMBERS: usize = 32;

/// Calls `f` with the value of a field, as it is where the program looks for it.
fn with_member(doc: &dyn AnyDoc, name: &str, f: &mut dyn FnMut(&ValueRef<'_>)) {
    fn resolved(value: ValueRef<'_>, f: &mut dyn FnMut(&ValueRef<'_>)) {
        match value {
            // Whether somebody may ask for it is told by the path of the query.
            ValueRef::Private(inner) | ValueRef::Protected(inner) => resolved(inner.as_value(), f),
            value => value.resolved(|value| f(&value)),
        }
    }
    resolved(doc.object().get(name).unwrap_or(ValueRef::Null), f);
}

/// The forms of the elements, each once, and whether it counts.
fn elements(array: &dyn ArrayRef) -> Vec<(Vec<u8>, bool)> {
    let mut forms: Vec<(Vec<u8>, bool)> = (0..array.len())
        .map(|at| {
            let element = array.at(at);
            let mut form = Vec::new();
            push_value(&mut form, &element);
            (form, element.kind() != Kind::Null)
        })
        .collect();
    if forms.is_empty() {
        let mut form = Vec::new();
        push_empty(&mut form);
        forms.push((form, false));
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The keys of a document on this field, each once; `null` and objects refer to nothing and have none. The id of the document
/// has a key as well.
pub(crate) fn keys_of(doc: &dyn AnyDoc, field: &str) -> Vec<Key> {
    if field == "_id" {
        return vec![Key::of_value(&ValueRef::Id(doc.id()))];
    }
    let mut keys = Vec::new();
    let mut add = |value: &ValueRef<'_>| {
        if is_scalar(value.kind()) {
            keys.push(Key::of_value(value));
        }
    };
    with_member(doc, field, &mut |value| match value {
        ValueRef::Array(array) => (0..array.len()).for_each(|at| add(&array.at(at))),
        value => add(value),
    });
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl Index {
    pub(crate) fn new(members: Vec<Member>, unique: bool) -> Self {
        Self { members: members.into(), unique, held: OrdMap::new(), shared: OrdMap::new(), arrays: Vec::new() }
    }

    /// The fields that it is over.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether it is over this field alone.
    pub(crate) fn is_on(&self, field: &str) -> bool {
        matches!(&*self.members, [only] if &*only.name == field)
    }

    /// The names of the fields that it is over.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.to_string()).collect()
    }

    /// Whether some document holds an array there, and may have several keys for it.
    pub(crate) fn has_arrays(&self, member: usize) -> bool {
        self.arrays.get(member).is_some_and(|documents| *documents > 0)
    }

    fn keys(&self, doc: &dyn AnyDoc) -> Keys {
        // Nearly all documents have one key, which is made in one go.
        let mut first = Vec::new();
        let mut counts = true;
        let mut arrays = 0;
        let mut several: Vec<(Vec<u8>, bool)> = Vec::new();
        let mut only = None;
        for (at, member) in self.members.iter().enumerate() {
            with_member(doc, &member.name, &mut |value| match value {
                ValueRef::Array(array) => {
                    arrays |= 1 << at;
                    if several.is_empty() {
                        several.push((std::mem::take(&mut first), counts));
                    }
                    // The schema sees to it that there is no second array, which would multiply the keys.
                    let elements = elements(*array);
                    several = several
                        .iter()
                        .flat_map(|(begun, counts)| {
                            elements
                                .iter()
                                .map(move |(form, does)| ([begun.as_slice(), form].concat(), *counts && *does))
                        })
                        .collect();
                }
                value if self.members.len() == 1 => {
                    counts = value.kind() != Kind::Null;
                    only = Some(Key::of_value(value));
                }
                value => {
                    let does = value.kind() != Kind::Null;
                    if several.is_empty() {
                        push_value(&mut first, value);
                        counts &= does;
                    }
                    for (begun, counts) in &mut several {
                        push_value(begun, value);
                        *counts &= does;
                    }
                }
            });
        }
        let list = if several.is_empty() {
            vec![(only.unwrap_or_else(|| Key::of(&first)), counts)]
        } else {
            several.iter().map(|(bytes, counts)| (Key::of(bytes), *counts)).collect()
        };
        Keys { list, arrays }
    }

    /// Calls `f` with each other document that has a key of this one, where that is forbidden.
    fn each_holder(&self, doc: &DynDoc, f: &mut dyn FnMut(&RawId)) {
        if !self.unique {
            return;
        }
        for (key, counts) in self.keys(doc.as_ref()).list {
            if let Some(holder) = self.held.get(&key)
                && counts
                && holder.id() != doc.id()
            {
                f(holder.id());
            }
        }
    }

    /// Whether another document than this one has a value that the document has, where that is forbidden.
    pub(crate) fn is_taken(&self, doc: &DynDoc) -> bool {
        let mut taken = false;
        self.each_holder(doc, &mut |_| taken = true);
        taken
    }

    /// The documents that [`Index::is_taken`] speaks of.
    pub(crate) fn holders(&self, doc: &DynDoc) -> Vec<RawId> {
        let mut holders = Vec::new();
        self.each_holder(doc, &mut |id| holders.push(id.clone()));
        holders
    }

    fn count_arrays(&mut self, mut arrays: u32, change: impl Fn(usize) -> usize) {
        if arrays == 0 {
            return;
        }
        self.arrays.resize(self.members.len(), 0);
        for documents in &mut self.arrays {
            if arrays & 1 == 1 {
                *documents = change(*documents);
            }
            arrays >>= 1;
        }
    }

    pub(crate) fn add(&mut self, doc: &DynDoc) {
        let Keys { list, arrays } = self.keys(doc.as_ref());
        self.count_arrays(arrays, |documents| documents + 1);
        for (key, counts) in list {
            if self.unique && counts {
                self.held.insert(key, doc.clone());
            } else {
                self.shared.insert((key, doc.id().clone()), doc.clone());
            }
        }
    }

    pub(crate) fn remove(&mut self, doc: &DynDoc) {
        let Keys { list, arrays } = self.keys(doc.as_ref());
        self.count_arrays(arrays, |documents| documents.saturating_sub(1));
        for (key, counts) in list {
            if self.unique && counts {
                self.held.remove(&key);
            } else {
                self.shared.remove(&(key, doc.id().clone()));
            }
        }
    }

    /// The documents of a span, in the order of the course; only those behind a key and an id, when these are given.
    pub(crate) fn walk<'a>(
        &'a self,
        span: &Span,
        course: Course,
        behind: Option<&(Key, RawId)>,
    ) -> Box<dyn Iterator<Item = &'a DynDoc> + 'a> {
        if let Span::Point(key) = span
            && let Some(doc) = self.held.get(key)
        {
            // Nobody else has the key; where someone has it, nobody has it without counting.
            let key = key.clone();
            let is_behind = behind.is_none_or(|(other, id)| match key.cmp(other) {
                std::cmp::Ordering::Equal => course.is_behind(doc.id(), id),
                order => order.is_lt() == course.reverse,
            });
            return Box::new(is_behind.then_some(doc).into_iter());
        }
        let (low, high) = match span {
            Span::Point(key) => (key.clone(), key.above()),
            Span::Between(low, high) => (low.clone(), high.clone()),
        };
        let beyond = behind.is_some_and(|(key, _)| if course.reverse { *key < low } else { *key >= high });
        if low >= high || beyond {
            return Box::new(iter::empty());
        }
        let behind = behind.filter(|(key, _)| if course.reverse { *key < high } else { *key >= low });
        let docs = |(_, doc): Entry<'a>| doc;
        if self.held.is_empty() {
            return Box::new(self.walk_shared(low, high, course, behind).map(docs));
        }
        let held = self.walk_held(low.clone(), high.clone(), course, behind);
        if self.shared.is_empty() {
            return Box::new(held.map(docs));
        }
        Box::new(merged(held, self.walk_shared(low, high, course, behind), course.reverse).map(docs))
    }

    fn walk_held(&self, low: Key, high: Key, course: Course, behind: Option<&(Key, RawId)>) -> Entries<'_> {
        let Some((key, id)) = behind.cloned() else {
            let entries = self.held.range(low..high);
            return if course.reverse { Box::new(entries.rev()) } else { Box::new(entries) };
        };
        // Whoever has the very key now may not be who had it then.
        let skipped = {
            let key = key.clone();
            move |(other, doc): &Entry<'_>| **other == key && !course.is_behind(doc.id(), &id)
        };
        if course.reverse {
            Box::new(self.held.range(low..=key).rev().skip_while(skipped))
        } else {
            Box::new(self.held.range(key..high).skip_while(skipped))
        }
    }

    fn walk_shared(&self, low: Key, high: Key, course: Course, behind: Option<&(Key, RawId)>) -> Entries<'_> {
        let low = Bound::Included((low, RawId::least()));
        let high = Bound::Excluded((high, RawId::least()));
        let from = behind.cloned().map(Bound::Excluded);
        match course {
            Course { reverse: false, ids_reverse: false } => {
                Box::new(self.shared.range((from.unwrap_or(low), high)).map(|((key, _), doc)| (key, doc)))
            }
            Course { reverse: true, ids_reverse: true } => {
                Box::new(self.shared.range((low, from.unwrap_or(high))).rev().map(|((key, _), doc)| (key, doc)))
            }
            _ => Box::new(self.walk_groups(low, high, course, behind.cloned())),
        }
    }

    /// One key after the other in one direction, and the documents of each in the other.
    fn walk_groups(
        &self,
        low: Bound<(Key, RawId)>,
        high: Bound<(Key, RawId)>,
        course: Course,
        behind: Option<(Key, RawId)>,
    ) -> impl Iterator<Item = Entry<'_>> {
        let (mut low, mut high) = (low, high);
        let mut group: Entries<'_> = Box::new(iter::empty());
        if let Some((key, id)) = behind {
            let at = Bound::Excluded((key.clone(), id));
            let (start, end) = ((key.clone(), RawId::least()), (key.above(), RawId::least()));
            group = if course.reverse {
                high = Bound::Excluded(start);
                self.group(at, Bound::Excluded(end), false)
            } else {
                low = Bound::Included(end);
                self.group(Bound::Included(start), at, true)
            };
        }
        iter::from_fn(move || {
            loop {
                if let Some(entry) = group.next() {
                    return Some(entry);
                }
                if is_empty(&low, &high) {
                    return None;
                }
                let mut rest = self.shared.range((low.clone(), high.clone()));
                let ((key, _), _) = if course.reverse { rest.next_back() } else { rest.next() }?;
                let start = (key.clone(), RawId::least());
                let end = (key.above(), RawId::least());
                if course.reverse {
                    high = Bound::Excluded(start.clone());
                } else {
                    low = Bound::Included(end.clone());
                }
                group = self.group(Bound::Included(start), Bound::Excluded(end), course.ids_reverse);
            }
        })
    }

    fn group(&self, low: Bound<(Key, RawId)>, high: Bound<(Key, RawId)>, reverse: bool) -> Entries<'_> {
        let entries = self.shared.range((low, high)).map(|((key, _), doc)| (key, doc));
        if reverse { Box::new(entries.rev()) } else { Box::new(entries) }
    }
}

/// Whether nothing lies between.
pub(crate) fn is_empty<T: Ord>(low: &Bound<T>, high: &Bound<T>) -> bool {
    match (low, high) {
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}

/// Two walks as one, by their keys. No key is in both.
fn merged<'a>(a: Entries<'a>, b: Entries<'a>, reverse: bool) -> impl Iterator<Item = Entry<'a>> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    iter::from_fn(move || {
        let first = match (a.peek(), b.peek()) {
            (Some((of_a, _)), Some((of_b, _))) => (of_a < of_b) != reverse,
            (in_a, _) => in_a.is_some(),
        };
        if first { a.next() } else { b.next() }
    })
}
