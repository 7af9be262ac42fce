//! All documents of one model at one moment, with their indexes: a value. A clone is cheap and shares everything.

use std::cmp::Ordering;
use std::sync::Arc;

use imbl::OrdMap;

use super::document::{DocView, DynDoc};
use super::id::RawId;
use super::index::Index;
use super::query::RawQuery;
use super::query::filter::RawFilter;
use super::query::plan::Plan;
use super::schema::ModelSchema;

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

    /// Every document that matches, until `f` answers false. In the order of their ids, unless an index was used.
    fn each<'a>(&'a self, filter: &RawFilter, f: &mut dyn FnMut(&'a DynDoc) -> bool) {
        let mut visit = |doc: &'a DynDoc| !filter.matches(&DocView(doc.as_ref())) || f(doc);
        match Plan::of(filter, self) {
            Plan::Scan => {
                self.docs.values().all(visit);
            }
            Plan::Ids(ids) => {
                ids.iter().filter_map(|id| self.docs.get(id)).all(visit);
            }
            Plan::Index(index, keys) => {
                for key in &keys {
                    if !index.ids(key).filter_map(|id| self.docs.get(id)).all(&mut visit) {
                        return;
                    }
                }
            }
        }
    }

    /// The documents that the query asks for, in its order.
    pub(crate) fn find(&self, query: &RawQuery, most: usize) -> Vec<DynDoc> {
        let wanted = query.skip.saturating_add(most);
        let by_id = query.sort.is_empty();
        let ordered = by_id && !matches!(Plan::of(&query.filter, self), Plan::Index(_, keys) if keys.len() != 1);
        let mut found: Vec<&DynDoc> = Vec::new();
        self.each(&query.filter, &mut |doc| {
            found.push(doc);
            !(ordered && found.len() >= wanted)
        });
        if !ordered {
            // One document with several of the keys is found once for each.
            let compare = |a: &&DynDoc, b: &&DynDoc| -> Ordering { query.sort.compare(a, b) };
            if wanted < found.len() {
                if by_id {
                    found.sort_unstable_by(compare);
                    found.dedup_by(|a, b| Arc::ptr_eq(a, b));
                } else {
                    dedup(&mut found);
                    if wanted < found.len() {
                        found.select_nth_unstable_by(wanted, compare);
                        found.truncate(wanted);
                    }
                    found.sort_unstable_by(compare);
                }
            } else {
                found.sort_unstable_by(compare);
                found.dedup_by(|a, b| Arc::ptr_eq(a, b));
            }
        }
        found.into_iter().skip(query.skip).take(most).cloned().collect()
    }

    /// How many documents match.
    pub(crate) fn count(&self, filter: &RawFilter) -> usize {
        if *filter == RawFilter::all() {
            return self.len();
        }
        let mut found: Vec<&DynDoc> = Vec::new();
        self.each(filter, &mut |doc| {
            found.push(doc);
            true
        });
        dedup(&mut found);
        found.len()
    }
}

fn dedup(found: &mut Vec<&DynDoc>) {
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

/// A unique value that another document has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) field: String,
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

    /// The collection, to be changed: in place where nobody else holds it, else a copy that shares what stays.
    pub(crate) fn collection_mut(&mut self, model: ModelIndex) -> Option<&mut Collection> {
        self.collections.get_mut(model).map(Arc::make_mut)
    }

    /// Makes all changes or none. Their befores have to be what is there.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), Taken> {
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
                failed = Some((at, Taken { field: field.to_owned() }));
                break;
            }
            collection.put(after.clone());
        }
        let Some((at, taken)) = failed else { return Ok(()) };
        for change in changes.iter().take(at).filter(|change| change.after.is_some()) {
            if let Some(collection) = self.collection_mut(change.model) {
                collection.remove(&change.id);
            }
        }
        for change in changes {
            if let (Some(before), Some(collection)) = (&change.before, self.collection_mut(change.model)) {
                collection.put(before.clone());
            }
        }
        Err(taken)
    }
}
