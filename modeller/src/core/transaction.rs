//! A transaction: a snapshot, what was changed on top of it, and what was read of it.
//!
//! It starts when it is asked for something, so that a handler that asks for nothing costs the log nothing.
//! It reads its own writes: the collections that it writes to are its own copies, which share what stays. A savepoint is a copy
//! of all that. What was read stays read when a savepoint is taken back, because the program may have acted on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use imbl::OrdMap;
use parking_lot::Mutex;

use super::collection::{Change, Collection, ModelIndex, State};
use super::document::{AnyValue, DynDoc};
use super::id::RawId;
use super::index::keys_of;
use super::key::Key;
use super::log::{Base, Batch, CommitLog, Expect, Publish, Reads, Seen, Started, check_rev, next_rev};
use super::query::RawQuery;
use super::query::filter::RawFilter;
use super::reference::{Link, Links, OnDelete, Places, lost};
use super::trash::{self, DELETION, DOCUMENT_ID, Deletion, Mark};
use super::value::ValueRef;
use crate::error::{Error, ErrorCode, Result};

/// How much one transaction may change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Documents, published payloads, and what is noted to be done after the commit. A document that goes to the trash, or comes
    /// from there, is one.
    pub(crate) changes: usize,
    /// Bytes of their stored forms, that of a document that goes to the trash included.
    pub(crate) bytes: usize,
}

impl Limits {
    /// What is answered to whoever wants more.
    pub(crate) fn exceeded(&self) -> Error {
        Error::new(ErrorCode::TransactionTooLarge).message(format!(
            "a transaction changes at most {} documents and {} bytes; do it in several",
            self.changes, self.bytes
        ))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { changes: 10_000, bytes: 16 * 1024 * 1024 }
    }
}

/// One transaction. Shared by all handles that belong to it.
pub(crate) struct Transaction {
    log: Arc<CommitLog>,
    /// Since it has started.
    seen: OnceLock<Seen>,
    limits: Limits,
    /// What all have in common that it deletes.
    deletion: OnceLock<RawId>,
    phase: Mutex<Phase>,
}

enum Phase {
    /// It was asked for nothing.
    Waiting,
    Open(Box<Inner>),
    Closed,
}

struct Inner {
    seen: Seen,
    written: Written,
    reads: Reads,
    started: Started,
}

/// What a savepoint remembers.
#[derive(Clone)]
struct Written {
    /// Shared with whoever has the same until something is written.
    state: Arc<State>,
    changes: OrdMap<(ModelIndex, RawId), Next>,
    published: imbl::Vector<Publish>,
    later: imbl::Vector<Later>,
    bytes: usize,
    /// Changes that are the other side of another one: a document goes to the trash, or comes from there.
    uncounted: usize,
}

#[derive(Clone)]
struct Next {
    before: Option<DynDoc>,
    after: Option<DynDoc>,
    encoded: Option<Arc<str>>,
    /// Whether the document came to be in this transaction. When it goes again, nothing is lost.
    is_new: bool,
}

/// A document that refers to another one.
pub(crate) struct Referring {
    pub(crate) link: Arc<Link>,
    /// What both have.
    pub(crate) key: Key,
    pub(crate) doc: DynDoc,
}

/// What is to be done once the transaction is durable, and not at all when it is not. The layers above know what.
pub(crate) type Later = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Where a transaction can be taken back to.
pub(crate) struct Savepoint(Written);

impl Transaction {
    pub(crate) fn new(log: Arc<CommitLog>, limits: Limits) -> Self {
        Self { log, seen: OnceLock::new(), limits, deletion: OnceLock::new(), phase: Mutex::new(Phase::Waiting) }
    }

    /// The point of the order that it started from; `None` when it saw nothing.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.seen.get().copied()
    }

    /// The commit that it started from, or would start from now.
    pub(crate) fn seq(&self) -> u64 {
        self.seen().map_or_else(|| self.log.durable().seq, |seen| seen.seq)
    }

    fn open<R>(&self, f: impl FnOnce(&mut Inner) -> Result<R>) -> Result<R> {
        let mut phase = self.phase.lock();
        if let Phase::Waiting = *phase {
            let inner = Box::new(Inner::of(self.log.base()));
            self.seen.get_or_init(|| inner.seen);
            *phase = Phase::Open(inner);
        }
        match &mut *phase {
            Phase::Open(inner) => f(inner),
            Phase::Waiting | Phase::Closed => Err(closed()),
        }
    }

    /// Looks at what was done by now, if that is anything.
    fn look(&self, f: impl FnOnce(&Inner) -> bool) -> Result<bool> {
        match &*self.phase.lock() {
            Phase::Waiting => Ok(false),
            Phase::Open(inner) => Ok(f(inner)),
            Phase::Closed => Err(closed()),
        }
    }

    pub(crate) fn get(&self, model: ModelIndex, id: &RawId) -> Result<Option<DynDoc>> {
        self.open(|inner| {
            inner.reads.ids.insert((model, id.clone()));
            Ok(inner.written.state.get(model, id).cloned())
        })
    }

    /// Looks for the documents that match the filter, which is noted as read.
    pub(crate) fn read<R>(
        &self,
        model: ModelIndex,
        filter: &Arc<RawFilter>,
        look: impl FnOnce(&Collection) -> R,
    ) -> Result<R> {
        self.open(|inner| {
            inner.read_filter(model, filter);
            let collection = inner.written.state.collection(model);
            collection.map(|collection| look(collection)).ok_or_else(|| Error::internal("unknown model"))
        })
    }

    pub(crate) fn find(&self, model: ModelIndex, query: &RawQuery, most: usize) -> Result<Vec<DynDoc>> {
        self.read(model, &query.filter, |collection| collection.find(query, most))?
    }

    /// Puts a value in the place of an id. `checked` says that it is known to fit the schema.
    pub(crate) fn put(
        &self,
        model: ModelIndex,
        id: &RawId,
        mut value: Box<dyn AnyValue>,
        expect: Expect,
        checked: bool,
    ) -> Result<DynDoc> {
        if !checked && let Some(schema) = self.log.schema(model) {
            value = schema.admit(value)?;
        }
        self.open(|inner| {
            inner.reads.ids.insert((model, id.clone()));
            let before = inner.written.state.get(model, id).cloned();
            expect.check(id, before.as_ref())?;
            let known = inner.written.changes.get(&(model, id.clone()));
            let is_new = match before {
                None => matches!(expect, Expect::Absent),
                Some(_) => known.is_some_and(|next| next.is_new),
            };
            let first = known.map_or(before, |next| next.before.clone());
            let doc = value.into_doc(id.clone(), next_rev(first.as_ref(), inner.seen.seq));
            let Some(collection) = Arc::make_mut(&mut inner.written.state).collection_mut(model) else {
                return Err(Error::internal("unknown model"));
            };
            if let Some(taken) = collection.taken(&doc) {
                // Who is in the way was seen by this.
                inner.read_holders(model, &doc);
                return Err(taken.into());
            }
            if !matches!(expect, Expect::Restored) {
                inner.check_references(self.log.links(), model, &doc)?;
            }
            let encoded: Option<Arc<str>> = if self.log.keeps() { Some(doc.encode()?.into()) } else { None };
            let bytes = inner.written.bytes + encoded.as_ref().map_or_else(|| doc.weight(), |text| text.len());
            inner.bound(&self.limits, bytes)?;
            if let Some(collection) = Arc::make_mut(&mut inner.written.state).collection_mut(model) {
                collection.put(&doc);
            }
            inner.written.bytes = bytes;
            let next = Next { before: first, after: Some(doc.clone()), encoded, is_new };
            inner.written.changes.insert((model, id.clone()), next);
            Ok(doc)
        })
    }

    /// The documents that refer to one, by which reference, and by which of its values.
    pub(crate) fn referring(&self, model: ModelIndex, doc: &DynDoc) -> Result<Vec<Referring>> {
        self.open(|inner| Ok(inner.referring(self.log.links().to(model), doc)))
    }

    /// What goes with a document when it is deleted, itself included. Nothing is deleted by this.
    ///
    /// # Errors
    /// `REFERENCE_VIOLATION` when another document that stays is against it, `TRANSACTION_TOO_LARGE`.
    pub(crate) fn doomed(&self, model: ModelIndex, doc: &DynDoc) -> Result<Places> {
        self.open(|inner| {
            let mut doomed = Places::from([(model, doc.id().clone())]);
            let mut open = vec![(model, doc.clone())];
            let mut against: Vec<Referring> = Vec::new();
            while let Some((model, doc)) = open.pop() {
                for referring in inner.referring(self.log.links().to(model), &doc) {
                    match referring.link.on_delete {
                        OnDelete::Restrict => against.push(referring),
                        OnDelete::Cascade if doomed.insert((referring.link.child, referring.doc.id().clone())) => {
                            if doomed.len() > self.limits.changes {
                                return Err(self.limits.exceeded());
                            }
                            open.push((referring.link.child, referring.doc));
                        }
                        OnDelete::Cascade | OnDelete::SetNull => {}
                    }
                }
            }
            match against.iter().find(|one| !doomed.contains(&(one.link.child, one.doc.id().clone()))) {
                Some(one) => Err(one.link.is_in_use()),
                None => Ok(doomed),
            }
        })
    }

    /// Deletes a document. With a mark it goes to the trash, where its model has one, unless it came to be in this transaction.
    pub(crate) fn delete(
        &self,
        model: ModelIndex,
        id: &RawId,
        if_rev: Option<u64>,
        mark: Option<Mark>,
    ) -> Result<DynDoc> {
        self.open(|inner| {
            inner.reads.ids.insert((model, id.clone()));
            let Some(before) = inner.written.state.get(model, id).cloned() else { return Err(missing(id)) };
            check_rev(if_rev, &before)?;
            let is_new = inner.written.changes.get(&(model, id.clone())).is_some_and(|next| next.is_new);
            let Some((trash, Mark { at, by })) = self.log.trash_for(model).filter(|_| !is_new).zip(mark) else {
                inner.bound(&self.limits, inner.written.bytes)?;
                inner.written.remove(model, id, &before);
                return Ok(before);
            };
            let together = self.deletion.get_or_init(RawId::generate).clone();
            let deletion = Deletion { id: together, at, by };
            let entry = RawId::generate();
            let doc: DynDoc =
                Arc::new(trash::Entry::new(entry.clone(), next_rev(None, inner.seen.seq), before.clone(), deletion));
            let encoded: Option<Arc<str>> = if self.log.keeps() { Some(doc.encode()?.into()) } else { None };
            let bytes = inner.written.bytes + encoded.as_ref().map_or_else(|| doc.weight(), |text| text.len());
            inner.bound(&self.limits, bytes)?;
            inner.written.remove(model, id, &before);
            if let Some(collection) = Arc::make_mut(&mut inner.written.state).collection_mut(trash) {
                collection.put(&doc);
            }
            inner.written.bytes = bytes;
            inner.written.uncounted += 1;
            let next = Next { before: None, after: Some(doc), encoded, is_new: true };
            inner.written.changes.insert((trash, entry), next);
            Ok(before)
        })
    }

    /// Takes an entry out of the trash: it is restored, which is one change together with its document, or purged, which is
    /// one by itself.
    pub(crate) fn take_out(&self, trash: ModelIndex, id: &RawId, restored: bool) -> Result<()> {
        self.open(|inner| {
            inner.reads.ids.insert((trash, id.clone()));
            let Some(entry) = inner.written.state.get(trash, id).cloned() else { return Err(missing(id)) };
            inner.bound(&self.limits, inner.written.bytes)?;
            let came_here = inner.written.remove(trash, id, &entry);
            if came_here {
                inner.written.uncounted -= 1;
            } else if restored {
                inner.written.uncounted += 1;
            }
            Ok(())
        })
    }

    /// The entries of a trash that one transaction left there.
    pub(crate) fn of_deletion(&self, trash: ModelIndex, deletion: &RawId) -> Result<Vec<DynDoc>> {
        self.entries(trash, DELETION, deletion)
    }

    /// The entries of a trash that hold a document.
    pub(crate) fn of_document(&self, trash: ModelIndex, id: &RawId) -> Result<Vec<DynDoc>> {
        self.entries(trash, DOCUMENT_ID, id)
    }

    fn entries(&self, trash: ModelIndex, member: &str, id: &RawId) -> Result<Vec<DynDoc>> {
        self.open(|inner| {
            let key = Key::of_value(&ValueRef::Id(id));
            inner.reads.key(trash, member, &key);
            Ok(inner.written.state.with_key(trash, member, &key).cloned().collect())
        })
    }

    /// Whether a document that was restored, if it is still there, refers to what is there.
    ///
    /// # Errors
    /// `REFERENCE_VIOLATION` when it does not.
    pub(crate) fn check_restored(&self, model: ModelIndex, id: &RawId) -> Result<()> {
        self.open(|inner| match inner.written.state.get(model, id).cloned() {
            None => Ok(()),
            Some(doc) => inner.check_references(self.log.links(), model, &doc),
        })
    }

    pub(crate) fn publish(&self, publish: Publish) -> Result<()> {
        self.open(|inner| {
            let bytes = inner.written.bytes + publish.payload.len();
            inner.bound(&self.limits, bytes)?;
            inner.written.bytes = bytes;
            inner.written.published.push_back(publish);
            Ok(())
        })
    }

    /// Notes what is to be done once it is durable.
    pub(crate) fn later(&self, later: Later) -> Result<()> {
        self.open(|inner| {
            inner.bound(&self.limits, inner.written.bytes)?;
            inner.written.later.push_back(later);
            Ok(())
        })
    }

    /// What it has read by now, and the commit that it started from.
    pub(crate) fn read_by_now(&self) -> Result<(Reads, u64)> {
        self.open(|inner| Ok((inner.reads.clone(), inner.seen.seq)))
    }

    /// Whether it has anything to commit by now.
    pub(crate) fn has_written(&self) -> Result<bool> {
        self.look(|inner| !inner.written.changes.is_empty() || !inner.written.published.is_empty())
    }

    /// Whether it has changed documents of this model by now.
    pub(crate) fn has_changed(&self, model: ModelIndex) -> Result<bool> {
        self.look(|inner| inner.written.changes.keys().any(|(changed, _)| *changed == model))
    }

    pub(crate) fn savepoint(&self) -> Result<Savepoint> {
        self.open(|inner| Ok(Savepoint(inner.written.clone())))
    }

    pub(crate) fn roll_back(&self, savepoint: Savepoint) {
        if let Phase::Open(inner) = &mut *self.phase.lock() {
            inner.written = savepoint.0;
        }
    }

    /// Ends the transaction: nothing can be done with it any more.
    pub(crate) fn close(&self) {
        // What it was is dropped when nobody waits for the lock.
        let _ended = self.end();
    }

    fn end(&self) -> Option<Box<Inner>> {
        match std::mem::replace(&mut *self.phase.lock(), Phase::Closed) {
            Phase::Open(inner) => Some(inner),
            Phase::Waiting | Phase::Closed => None,
        }
    }

    /// Ends it and hands out what it amounts to, which is nothing when it only read, and what is to be done after.
    pub(crate) fn finish(&self) -> (Option<Batch>, Vec<Later>) {
        let Some(inner) = self.end() else { return (None, Vec::new()) };
        let Inner { seen, written, reads, started } = *inner;
        let Written { state, changes, published, later, .. } = written;
        // The working copy would keep the committer from changing its collections in place.
        drop(state);
        let later = later.into_iter().collect();
        if changes.is_empty() && published.is_empty() {
            return (None, later);
        }
        let mut batch = Batch {
            seen,
            changes: Vec::with_capacity(changes.len()),
            encoded: Vec::with_capacity(changes.len()),
            published: published.into_iter().collect(),
            reads,
            _started: started,
        };
        for ((model, id), next) in changes {
            batch.encoded.push(next.encoded.map(|text| text.to_string()));
            batch.changes.push(Change { model, id, before: next.before, after: next.after });
        }
        (Some(batch), later)
    }
}

impl Written {
    /// Takes out what is there under an id. Whether it came here within the transaction.
    fn remove(&mut self, model: ModelIndex, id: &RawId, now: &DynDoc) -> bool {
        if let Some(collection) = Arc::make_mut(&mut self.state).collection_mut(model) {
            collection.remove(id);
        }
        let key = (model, id.clone());
        let first = self.changes.get(&key).map_or_else(|| Some(now.clone()), |next| next.before.clone());
        let came_here = first.is_none();
        if came_here {
            self.changes.remove(&key);
        } else {
            self.changes.insert(key, Next { before: first, after: None, encoded: None, is_new: false });
        }
        came_here
    }
}

impl Inner {
    fn of(Base { seen, state, started }: Base) -> Self {
        let written = Written {
            state,
            changes: OrdMap::new(),
            published: imbl::Vector::new(),
            later: imbl::Vector::new(),
            bytes: 0,
            uncounted: 0,
        };
        Self { seen, written, reads: Reads::default(), started }
    }

    fn read_filter(&mut self, model: ModelIndex, filter: &Arc<RawFilter>) {
        // A loop over the same query is one read.
        if !self.reads.filters.iter().rev().take(8).any(|(known, read)| *known == model && read == filter) {
            self.reads.filters.push((model, filter.clone()));
        }
    }

    /// Notes the documents that hold a unique value that this one wants.
    fn read_holders(&mut self, model: ModelIndex, doc: &DynDoc) {
        let Some(collection) = self.written.state.collection(model) else { return };
        for id in collection.holders(doc) {
            self.reads.ids.insert((model, id));
        }
    }

    /// Whether what the next version of a document refers to is there, and whether what refers to its last one can stay.
    fn check_references(&mut self, links: &Links, model: ModelIndex, doc: &DynDoc) -> Result<()> {
        let is_this = |one: &DynDoc| one.id() == doc.id();
        for link in links.from(model) {
            for key in keys_of(doc.as_ref(), &link.field) {
                self.reads.key(link.parent, &link.target, &key);
                let mut holders = self.written.state.with_key(link.parent, &link.target, &key);
                // Of this one the next version counts, which is not yet in the state.
                let to_itself = link.parent == model && keys_of(doc.as_ref(), &link.target).contains(&key);
                if !to_itself && !holders.any(|holder| link.parent != model || !is_this(holder)) {
                    return Err(link.leads_nowhere());
                }
            }
        }
        let Some(before) = self.written.state.get(model, doc.id()).cloned() else { return Ok(()) };
        for link in links.to(model) {
            for key in lost(before.as_ref(), Some(doc.as_ref()), &link.target) {
                self.reads.key(link.child, &link.field, &key);
                let mut children = self.written.state.with_key(link.child, &link.field, &key);
                if children.any(|child| link.child != model || !is_this(child)) {
                    return Err(link.is_in_use());
                }
            }
        }
        Ok(())
    }

    fn referring(&mut self, links: &[Arc<Link>], doc: &DynDoc) -> Vec<Referring> {
        let mut found = Vec::new();
        for link in links {
            for key in keys_of(doc.as_ref(), &link.target) {
                self.reads.key(link.child, &link.field, &key);
                let children = self.written.state.with_key(link.child, &link.field, &key);
                found.extend(children.map(|child| Referring {
                    link: link.clone(),
                    key: key.clone(),
                    doc: child.clone(),
                }));
            }
        }
        found
    }

    fn bound(&self, limits: &Limits, bytes: usize) -> Result<()> {
        let Written { changes, published, later, uncounted, .. } = &self.written;
        let written = changes.len() + published.len() + later.len() - uncounted;
        if written < limits.changes && bytes <= limits.bytes {
            return Ok(());
        }
        Err(limits.exceeded())
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorCode::TransactionClosed)
        .message("this handle belongs to a transaction that has ended; take one from the application")
}

pub(crate) fn missing(id: &RawId) -> Error {
    Error::not_found(ErrorCode::NotFound, &id.to_string())
}
