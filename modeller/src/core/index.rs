//! Indexes of one collection: from the values of one field, or of several, to the documents that have them.
//!
//! Every document is in every index: what is missing is there as `null`, an array by each of its elements, and an empty one by
//! a key of its own below `null`, which is where sorts have it. So an index whose documents hold no array has each of them once, in the
//! order of a sort by its fields; it knows in how many there is one.
//!
//! Documents that share a key stand side by side, each with one whole number of it: the field is the same for all indexes of a
//! collection. What is asked of that field is answered without a look at the documents, which lie all over the memory.

use std::cmp::Ordering;
use std::ops::Bound;
use std::slice;
use std::sync::Arc;

use super::document::{AnyDoc, DynDoc};
use super::id::RawId;
use super::key::{ABOVE, Key, push_empty, push_value};
use super::private::Level;
use super::query::filter::is_scalar;
use super::tree::{Entry, Range, Tree};
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
    entries: Tree<(Key, Holders)>,
    /// In how many documents each member is an array; empty as long as none ever was.
    arrays: Vec<usize>,
    /// The field whose numbers stand beside the documents.
    beside: Option<Arc<str>>,
}

/// The whole number that a document has in the field that its index keeps beside it.
#[derive(Clone, Copy, Debug)]
struct Number(i64);

impl Number {
    /// The document has something else there, or has to be asked.
    const UNKNOWN: Self = Self(i64::MIN);

    fn of(doc: &dyn AnyDoc, field: Option<&str>) -> Self {
        let value = field.and_then(|field| doc.object().get(field));
        value.and_then(|value| value.whole()).map_or(Self::UNKNOWN, Self)
    }
}

/// A document as it is come across.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) doc: &'a DynDoc,
    number: Number,
}

impl<'a> Seen<'a> {
    /// The whole number that it has in the field of [`Index::beside`], where that is known without a look at it.
    pub(crate) fn number(self) -> Option<i64> {
        (self.number.0 != Number::UNKNOWN.0).then_some(self.number.0)
    }
}

impl<'a> From<&'a DynDoc> for Seen<'a> {
    fn from(doc: &'a DynDoc) -> Self {
        Self { doc, number: Number::UNKNOWN }
    }
}

/// A document among others with the same key.
#[derive(Clone)]
struct Holder {
    doc: DynDoc,
    number: Number,
}

impl Holder {
    fn seen(&self) -> Seen<'_> {
        Seen { doc: &self.doc, number: self.number }
    }
}

impl Entry for Holder {
    type Key = RawId;
    fn key(&self) -> &RawId {
        self.doc.id()
    }
}

/// The documents that have one key, in the order of their ids.
#[derive(Clone)]
enum Holders {
    One(DynDoc),
    /// More than one.
    Many(Arc<Tree<Holder>>),
}

impl Holders {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(docs) => docs.len(),
        }
    }

    fn add(&mut self, doc: DynDoc, beside: Option<&str>) {
        let holder = |doc: DynDoc| Holder { number: Number::of(doc.as_ref(), beside), doc };
        match self {
            Self::One(only) if only.id() == doc.id() => *only = doc,
            Self::One(only) => {
                let mut docs = Tree::new();
                docs.insert(holder(only.clone()));
                docs.insert(holder(doc));
                *self = Self::Many(Arc::new(docs));
            }
            Self::Many(docs) => drop(Arc::make_mut(docs).insert(holder(doc))),
        }
    }

    /// Takes a document out; true when it was the only one.
    fn remove(&mut self, id: &RawId) -> bool {
        let Self::Many(docs) = self else { return true };
        let docs = Arc::make_mut(docs);
        docs.remove(id);
        if docs.len() == 1
            && let Some(only) = docs.iter().next()
        {
            *self = Self::One(only.doc.clone());
        }
        false
    }

    /// All of them, or those behind an id.
    fn walk(&self, reverse: bool, behind: Option<&RawId>) -> Group<'_> {
        match self {
            Self::One(doc) => {
                let is_behind = |id: &RawId| if reverse { doc.id() < id } else { doc.id() > id };
                Group::One(behind.is_none_or(is_behind).then_some(doc))
            }
            Self::Many(docs) => {
                let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
                let (low, high) = if reverse { (Bound::Unbounded, from) } else { (from, Bound::Unbounded) };
                Group::Many(docs.range(low, high, reverse))
            }
        }
    }
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

/// Documents with one key.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack, and a box would cost each look-up an allocation")]
enum Group<'a> {
    One(Option<&'a DynDoc>),
    Many(Range<'a, Holder>),
}

impl<'a> Iterator for Group<'a> {
    type Item = Seen<'a>;

    fn next(&mut self) -> Option<Seen<'a>> {
        match self {
            Self::One(doc) => doc.take().map(Seen::from),
            Self::Many(docs) => docs.next().map(Holder::seen),
        }
    }
}

/// The documents of one key after the other.
pub(crate) struct Walk<'a> {
    group: Group<'a>,
    rest: Option<Range<'a, (Key, Holders)>>,
    ids_reverse: bool,
}

impl<'a> Walk<'a> {
    /// Appends what comes next until there is so much in all; false when nothing is left.
    pub(crate) fn fill(&mut self, out: &mut Vec<Seen<'a>>, most: usize) -> bool {
        loop {
            match &mut self.group {
                Group::One(doc) => out.extend(doc.take().map(Seen::from)),
                Group::Many(docs) => drop(docs.fill(out, most, Holder::seen)),
            }
            if out.len() >= most {
                return true;
            }
            let Some((_, holders)) = self.rest.as_mut().and_then(Iterator::next) else { return false };
            self.group = holders.walk(self.ids_reverse, None);
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Seen<'a>;

    fn next(&mut self) -> Option<Seen<'a>> {
        loop {
            let next = self.group.next();
            if next.is_some() {
                return next;
            }
            let (_, holders) = self.rest.as_mut()?.next()?;
            self.group = holders.walk(self.ids_reverse, None);
        }
    }
}

/// The keys of one document, each with whether it counts for `unique`: not where one of its values is `null`.
enum List {
    One((Key, bool)),
    Several(Vec<(Key, bool)>),
}

/// What an index keeps of one document.
pub(crate) struct Keys {
    list: List,
    /// The members that are arrays, one bit each.
    arrays: u32,
}

impl Keys {
    fn list(&self) -> &[(Key, bool)] {
        match &self.list {
            List::One(only) => slice::from_ref(only),
            List::Several(list) => list,
        }
    }
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
        Self { members: members.into(), unique, entries: Tree::new(), arrays: Vec::new(), beside: None }
    }

    /// The same, empty, with the numbers of a field beside the documents.
    pub(crate) fn with_numbers_of(self, field: Option<Arc<str>>) -> Self {
        Self { entries: Tree::new(), beside: field, ..self }
    }

    /// The field whose numbers stand beside the documents, where they are whole.
    pub(crate) fn beside(&self) -> Option<&str> {
        self.beside.as_deref()
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

    /// The keys of a document.
    pub(crate) fn keys(&self, doc: &dyn AnyDoc) -> Keys {
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
            List::One((only.unwrap_or_else(|| Key::of(&first)), counts))
        } else {
            List::Several(several.iter().map(|(bytes, counts)| (Key::of(bytes), *counts)).collect())
        };
        Keys { list, arrays }
    }

    /// Calls `f` with each other document that has one of the keys, where that is forbidden.
    fn each_holder(&self, keys: &Keys, id: &RawId, f: &mut dyn FnMut(&RawId)) {
        if !self.unique {
            return;
        }
        for (key, _) in keys.list().iter().filter(|(_, counts)| *counts) {
            // Those that count are alone.
            if let Some((_, Holders::One(holder))) = self.entries.get(key)
                && holder.id() != id
            {
                f(holder.id());
            }
        }
    }

    /// Whether another document has a value that this one has, where that is forbidden.
    pub(crate) fn is_taken(&self, keys: &Keys, id: &RawId) -> bool {
        let mut taken = false;
        self.each_holder(keys, id, &mut |_| taken = true);
        taken
    }

    /// The documents that [`Index::is_taken`] speaks of.
    pub(crate) fn holders(&self, doc: &DynDoc) -> Vec<RawId> {
        let mut holders = Vec::new();
        self.each_holder(&self.keys(doc.as_ref()), doc.id(), &mut |id| holders.push(id.clone()));
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

    /// Adds a document under its keys.
    pub(crate) fn add(&mut self, keys: Keys, doc: &DynDoc) {
        self.count_arrays(keys.arrays, |documents| documents + 1);
        let add = |(key, counts)| {
            if (self.unique && counts) || self.entries.get(&key).is_none() {
                self.entries.insert((key, Holders::One(doc.clone())));
            } else if let Some((_, holders)) = self.entries.get_mut(&key) {
                holders.add(doc.clone(), self.beside.as_deref());
            }
        };
        match keys.list {
            List::One(only) => Some(only).into_iter().for_each(add),
            List::Several(list) => list.into_iter().for_each(add),
        }
    }

    pub(crate) fn remove(&mut self, doc: &DynDoc) {
        let keys = self.keys(doc.as_ref());
        self.count_arrays(keys.arrays, |documents| documents.saturating_sub(1));
        for (key, _) in keys.list() {
            if let Some((_, holders)) = self.entries.get_mut(key)
                && holders.remove(doc.id())
            {
                self.entries.remove(key);
            }
        }
    }

    /// The document that has a key alone, or the first that has it.
    pub(crate) fn first(&self, key: &Key) -> Option<&DynDoc> {
        match &self.entries.get(key)?.1 {
            Holders::One(doc) => Some(doc),
            Holders::Many(docs) => docs.iter().next().map(|holder| &holder.doc),
        }
    }

    /// How many entries a span has, counted up to `most` or a little further.
    pub(crate) fn count(&self, span: &Span, most: usize) -> usize {
        match span {
            Span::Point(key) => self.entries.get(key).map_or(0, |(_, holders)| holders.len()),
            Span::Between(low, high) => {
                let mut count = 0;
                for (_, holders) in self.entries.range(Bound::Included(low), Bound::Excluded(high), false) {
                    count += holders.len();
                    if count >= most {
                        break;
                    }
                }
                count
            }
        }
    }

    /// The documents of a span, in the order of the course; only those behind a key and an id, when these are given.
    pub(crate) fn walk(&self, span: &Span, course: Course, behind: Option<&(Key, RawId)>) -> Walk<'_> {
        let Course { reverse, ids_reverse } = course;
        let walk = |group, rest| Walk { group, rest, ids_reverse };
        let nothing = || walk(Group::One(None), None);
        let (low, high) = match span {
            Span::Point(key) => {
                let Some((_, holders)) = self.entries.get(key) else { return nothing() };
                let behind = behind.map(|(other, id)| (key.cmp(other), id));
                return match behind {
                    None => walk(holders.walk(ids_reverse, None), None),
                    Some((Ordering::Equal, id)) => walk(holders.walk(ids_reverse, Some(id)), None),
                    Some((order, _)) if order.is_lt() == reverse => walk(holders.walk(ids_reverse, None), None),
                    Some(_) => nothing(),
                };
            }
            Span::Between(low, high) => (low, high),
        };
        let (mut from, mut to) = (Bound::Included(low), Bound::Excluded(high));
        let mut group = Group::One(None);
        if let Some((key, id)) = behind {
            if if reverse { key < low } else { key >= high } {
                return nothing();
            }
            if if reverse { key < high } else { key >= low } {
                // Whoever has the very key now may not be who had it then.
                if let Some((_, holders)) = self.entries.get(key) {
                    group = holders.walk(ids_reverse, Some(id));
                }
                if reverse {
                    to = Bound::Excluded(key);
                } else {
                    from = Bound::Excluded(key);
                }
            }
        }
        walk(group, Some(self.entries.range(from, to, reverse)))
    }
}
