//! All documents of one model at one moment, with their indexes: a value. A clone is cheap and shares everything.

use std::sync::Arc;

use imbl::OrdMap;

use super::document::{DocView, DynDoc};
use super::id::RawId;
use super::index::{Index, Key};
use super::query::RawQuery;
use super::query::filter::RawFilter;
use super::query::plan::Plan;
use super::reference::{Links, broken};
use super::schema::ModelSchema;
use crate::error::Error;

/// Place of a model in the list of all models of an application.
pub(crate) type ModelIndex = usize;

/// One document's before and after.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) model: ModelIndex,
    pub(crate) id: RawId,
    /// `None` when it was not there.
    pub(crate) before: Option<DynDoc>,
    /// `None` when it is not there any more.
    pub(crate) after: Option<DynDoc>,
}

/// The documents of one model.
#[derive(Clone)]
pub(crate) struct Collection {
    docs: OrdMap<RawId, DynDoc>,
    indexes: Vec<Index>,
}

impl Collection {
    pub(crate) fn new(schema: &ModelSchema) -> Self {
        let indexes = schema
            .fields
            .iter()
            .filter(|field| field.unique || field.index)
            .map(|field| Index::new(&field.name, field.unique))
            .collect();
        Self { docs: OrdMap::new(), indexes }
    }

    pub(crate) fn get(&self, id: &RawId) -> Option<&DynDoc> {
        self.docs.get(id)
    }

    /// All documents in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = &DynDoc> {
        self.docs.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.docs.len()
    }

    pub(crate) fn index(&self, field: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| &*index.field == field)
    }

    /// The unique field whose value another document has.
    pub(crate) fn taken(&self, doc: &DynDoc) -> Option<&str> {
        self.indexes.iter().find(|index| index.is_taken(doc)).map(|index| &*index.field)
    }

    /// The ids of the other documents that have a unique value of this one.
    pub(crate) fn holders(&self, doc: &DynDoc) -> Vec<RawId> {
        self.indexes.iter().flat_map(|index| index.holders(doc)).collect()
    }

    /// The documents that have this key on `_id` or on an indexed field.
    pub(crate) fn with_key<'a>(&'a self, field: &str, key: &Key) -> Box<dyn Iterator<Item = &'a DynDoc> + 'a> {
        match (field, key) {
            ("_id", Key::Text(id)) => Box::new(self.docs.get(id).into_iter()),
            ("_id", _) => Box::new(std::iter::empty()),
            _ => match self.index(field) {
                Some(index) => index.docs(key),
                None => Box::new(std::iter::empty()),
            },
        }
    }

    /// Puts a document in the place of the one with its id. Whether its unique values are free is asked before.
    pub(crate) fn put(&mut self, doc: DynDoc) {
        if let Some(old) = self.docs.get(doc.id()).cloned() {
            self.indexes.iter_mut().for_each(|index| index.remove(&old));
        }
        self.indexes.iter_mut().for_each(|index| index.add(&doc));
        self.docs.insert(doc.id().clone(), doc);
    }

    pub(crate) fn remove(&mut self, id: &RawId) {
        if let Some(old) = self.docs.remove(id) {
            self.indexes.iter_mut().for_each(|index| index.remove(&old));
        }
    }

    /// Every document that matches, until `f` answers false. With several keys of an index in no order, and some twice.
    fn each<'a>(&'a self, plan: &Plan<'a>, filter: &RawFilter, f: &mut dyn FnMut(&'a DynDoc) -> bool) {
        let mut visit = |doc: &'a DynDoc| !filter.matches(&DocView(doc.as_ref())) || f(doc);
        match plan {
            Plan::Scan => {
                self.docs.values().all(visit);
            }
            Plan::Ids(ids) => {
                ids.iter().filter_map(|id| self.docs.get(id)).all(visit);
            }
            Plan::Index(index, keys) => {
                keys.iter().all(|key| index.docs(key).all(&mut visit));
            }
        }
    }

    /// The documents that the query asks for, in its order.
    pub(crate) fn find(&self, query: &RawQuery, most: usize) -> Vec<DynDoc> {
        let wanted = query.skip.saturating_add(most);
        let plan = Plan::of(&query.filter, self);
        let mut found: Vec<&DynDoc> = Vec::new();
        if query.sort.is_empty() && plan.is_by_id() {
            self.each(&plan, &query.filter, &mut |doc| {
                found.push(doc);
                found.len() < wanted
            });
        } else {
            // Twice what is wanted is kept at most: whenever there is that much, the worse half goes.
            let compare = |a: &&DynDoc, b: &&DynDoc| query.sort.compare(a, b);
            let full = wanted.saturating_mul(2).saturating_add(64);
            let mut bound: Option<&DynDoc> = None;
            self.each(&plan, &query.filter, &mut |doc| {
                if bound.is_some_and(|bound| query.sort.compare(doc, bound).is_gt()) {
                    return true;
                }
                found.push(doc);
                if found.len() >= full && wanted > 0 {
                    dedup(&mut found, plan.may_repeat());
                    if found.len() > wanted {
                        let (_, last, _) = found.select_nth_unstable_by(wanted - 1, compare);
                        bound = Some(last);
                        found.truncate(wanted);
                    }
                }
                true
            });
            dedup(&mut found, plan.may_repeat());
            found.sort_unstable_by(compare);
        }
        found.into_iter().skip(query.skip).take(most).cloned().collect()
    }

    /// How many documents match.
    pub(crate) fn count(&self, filter: &RawFilter) -> usize {
        if *filter == RawFilter::all() {
            return self.len();
        }
        let plan = Plan::of(filter, self);
        let mut found: Vec<&DynDoc> = Vec::new();
        let mut count = 0;
        self.each(&plan, filter, &mut |doc| {
            count += 1;
            if plan.may_repeat() {
                found.push(doc);
            }
            true
        });
        if plan.may_repeat() {
            dedup(&mut found, true);
            count = found.len();
        }
        count
    }
}

/// Takes out what was found twice.
fn dedup(found: &mut Vec<&DynDoc>, may_repeat: bool) {
    if !may_repeat {
        return;
    }
    found.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    found.dedup_by(|a, b| Arc::ptr_eq(a, b));
}

/// All collections of an application at one moment.
#[derive(Clone)]
pub(crate) struct State {
    /// Sequence number of the last commit that it shows.
    pub(crate) seq: u64,
    collections: Vec<Arc<Collection>>,
}

/// Changes that cannot be made.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// Why not.
    pub(crate) error: Error,
    /// Which of the changes it is about.
    pub(crate) at: usize,
}

impl State {
    pub(crate) fn new(schemas: &[Arc<ModelSchema>]) -> Self {
        Self { seq: 0, collections: schemas.iter().map(|schema| Arc::new(Collection::new(schema))).collect() }
    }

    /// Nothing at all: what is left in the place of a state that was given up.
    pub(crate) fn empty() -> Self {
        Self { seq: 0, collections: Vec::new() }
    }

    pub(crate) fn collection(&self, model: ModelIndex) -> Option<&Arc<Collection>> {
        self.collections.get(model)
    }

    pub(crate) fn get(&self, model: ModelIndex, id: &RawId) -> Option<&DynDoc> {
        self.collection(model)?.get(id)
    }

    /// The documents of a model that have this key on `_id` or on an indexed field.
    pub(crate) fn with_key<'a>(
        &'a self,
        model: ModelIndex,
        field: &str,
        key: &Key,
    ) -> Box<dyn Iterator<Item = &'a DynDoc> + 'a> {
        match self.collection(model) {
            Some(collection) => collection.with_key(field, key),
            None => Box::new(std::iter::empty()),
        }
    }

    /// The collection, to be changed: in place where nobody else holds it, else a copy that shares what stays.
    pub(crate) fn collection_mut(&mut self, model: ModelIndex) -> Option<&mut Collection> {
        self.collections.get_mut(model).map(Arc::make_mut)
    }

    /// Makes all changes or none. Their befores have to be what is there. With references, a change that would leave one of them
    /// leading nowhere is none.
    pub(crate) fn apply(&mut self, changes: &[Change], links: Option<&Links>) -> Result<(), Unfit> {
        // All befores go first, so that two documents can swap a unique value in one commit.
        for change in changes.iter().filter(|change| change.before.is_some()) {
            if let Some(collection) = self.collection_mut(change.model) {
                collection.remove(&change.id);
            }
        }
        let mut failed = None;
        for (at, change) in changes.iter().enumerate() {
            let (Some(after), Some(collection)) = (&change.after, self.collection_mut(change.model)) else { continue };
            if let Some(field) = collection.taken(after) {
                failed = Some((at, Unfit { error: Error::unique(field), at }));
                break;
            }
            collection.put(after.clone());
        }
        if failed.is_none() {
            let unfit = links.and_then(|links| broken(self, links, changes));
            failed = unfit.map(|(at, error)| (changes.len(), Unfit { error, at }));
        }
        let Some((made, unfit)) = failed else { return Ok(()) };
        for change in changes.iter().take(made).filter(|change| change.after.is_some()) {
            if let Some(collection) = self.collection_mut(change.model) {
                collection.remove(&change.id);
            }
        }
        for change in changes {
            if let (Some(before), Some(collection)) = (&change.before, self.collection_mut(change.model)) {
                collection.put(before.clone());
            }
        }
        Err(unfit)
    }
}
