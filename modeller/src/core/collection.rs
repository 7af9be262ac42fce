//! All documents of one model at one moment, with their indexes: a value. A clone is cheap and shares everything.

use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use super::document::DynDoc;
use super::id::RawId;
use super::index::{Course, Index, Keys, Member, Seen, Span};
use super::key::Key;
use super::private::Level;
use super::query::RawQuery;
use super::query::filter::{Compare, RawFilter, Test};
use super::query::matcher::Matcher;
use super::query::plan::{Choice, Plan, Source, tighter};
use super::query::sort::{Position, RawSort, Sorted};
use super::reference::{Links, broken};
use super::schema::ModelSchema;
use super::trash;
use super::tree::Tree;
use super::value::AsValue;
use crate::error::{Error, Result};
use crate::wire::explanation::Explanation;

/// Place of a model in the list of all models of an application, or of the trash of one behind them.
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
    docs: Tree<(RawId, DynDoc)>,
    indexes: Vec<Index>,
}

impl Collection {
    pub(crate) fn new(schema: &ModelSchema) -> Self {
        let member = |name: &str| Member {
            name: name.into(),
            withheld: schema.field(name).and_then(|field| match (field.private, field.protected) {
                (true, _) => Some(Level::Private),
                (_, true) => Some(Level::Protected),
                _ => None,
            }),
        };
        let indexes = schema
            .indexes
            .iter()
            .map(|index| Index::new(index.fields.iter().map(|name| member(name)).collect(), index.unique))
            .map(|index| index.with_numbers_of(schema.first_whole().map(Arc::from)))
            .collect();
        Self::with(indexes)
    }

    /// No documents, with these indexes.
    pub(crate) fn with(indexes: Vec<Index>) -> Self {
        Self { docs: Tree::new(), indexes }
    }

    pub(crate) fn get(&self, id: &RawId) -> Option<&DynDoc> {
        self.docs.get(id).map(|(_, doc)| doc)
    }

    /// All documents in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = &DynDoc> {
        self.docs.iter().map(|(_, doc)| doc)
    }

    /// The same, the last first.
    pub(crate) fn all_reversed(&self) -> impl Iterator<Item = &DynDoc> {
        self.docs.range(Bound::Unbounded, Bound::Unbounded, true).map(|(_, doc)| doc)
    }

    pub(crate) fn len(&self) -> usize {
        self.docs.len()
    }

    /// The same documents with those of the indexes that are over known fields alone.
    pub(crate) fn known_by(&self, knows: impl Fn(&str) -> bool) -> Self {
        let is_known = |index: &&Index| index.members().iter().all(|member| knows(&member.name));
        Self { docs: self.docs.clone(), indexes: self.indexes.iter().filter(is_known).cloned().collect() }
    }

    pub(crate) fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    /// The field whose numbers stand beside the documents in all indexes.
    fn beside(&self) -> Option<&str> {
        self.indexes.first().and_then(Index::beside)
    }

    /// The documents between two ids, in the order of their ids or in reverse.
    pub(crate) fn between(
        &self,
        low: &Bound<RawId>,
        high: &Bound<RawId>,
        reverse: bool,
    ) -> impl Iterator<Item = &DynDoc> {
        self.docs.range(low.as_ref(), high.as_ref(), reverse).map(|(_, doc)| doc)
    }

    /// The keys of a document in each index.
    fn keys(&self, doc: &DynDoc) -> Vec<Keys> {
        self.indexes.iter().map(|index| index.keys(doc.as_ref())).collect()
    }

    /// The unique value of the document that another one has.
    pub(crate) fn taken(&self, doc: &DynDoc) -> Option<Taken> {
        self.taken_keys(&self.keys(doc), doc.id())
    }

    fn taken_keys(&self, keys: &[Keys], id: &RawId) -> Option<Taken> {
        let mut each = self.indexes.iter().zip(keys);
        each.find(|(index, keys)| index.is_taken(keys, id)).map(|(index, _)| Taken { fields: index.names() })
    }

    /// The ids of the other documents that have a unique value of this one.
    pub(crate) fn holders(&self, doc: &DynDoc) -> Vec<RawId> {
        self.indexes.iter().flat_map(|index| index.holders(doc)).collect()
    }

    /// The documents that have this key on `_id` or on an indexed field.
    pub(crate) fn with_key<'a>(&'a self, field: &str, key: &Key) -> Box<dyn Iterator<Item = &'a DynDoc> + 'a> {
        match field {
            "_id" => Box::new(key.to_id().and_then(|id| self.get(&id)).into_iter()),
            _ => match self.indexes.iter().find(|index| index.is_on(field)) {
                Some(index) => {
                    Box::new(index.walk(&Span::Point(key.clone()), Course::default(), None).map(|seen| seen.doc))
                }
                None => Box::new(std::iter::empty()),
            },
        }
    }

    /// Puts a document in the place of the one with its id. Whether its unique values are free is asked before.
    pub(crate) fn put(&mut self, doc: &DynDoc) {
        let keys = self.keys(doc);
        self.put_under(keys, doc);
    }

    /// The same, unless one of its unique values is not free.
    fn try_put(&mut self, doc: &DynDoc) -> Result<(), Taken> {
        let keys = self.keys(doc);
        match self.taken_keys(&keys, doc.id()) {
            Some(taken) => Err(taken),
            None => {
                self.put_under(keys, doc);
                Ok(())
            }
        }
    }

    fn put_under(&mut self, keys: Vec<Keys>, doc: &DynDoc) {
        if let Some((_, old)) = self.docs.insert((doc.id().clone(), doc.clone())) {
            self.indexes.iter_mut().for_each(|index| index.remove(&old));
        }
        self.indexes.iter_mut().zip(keys).for_each(|(index, keys)| index.add(keys, doc));
    }

    pub(crate) fn remove(&mut self, id: &RawId) {
        if let Some((_, old)) = self.docs.remove(id) {
            self.indexes.iter_mut().for_each(|index| index.remove(&old));
        }
    }

    /// The documents of a plan, until `f` answers false. Those that are given, only behind a position of the plan's course.
    fn visit<'a>(&'a self, plan: &Plan<'a>, behind: Option<&Position>, f: &mut dyn FnMut(Seen<'a>) -> bool) -> bool {
        let course = plan.course.unwrap_or_default();
        match &plan.source {
            Source::Ids(ids) => {
                let found = ids.iter().filter_map(|id| self.get(id));
                let mut found = found.filter(|doc| {
                    behind
                        .is_none_or(|position| (*doc.id() > position.id) != course.reverse && *doc.id() != position.id)
                });
                let f = |doc: &'a DynDoc| f(doc.into());
                if course.reverse { found.rev().all(f) } else { found.all(f) }
            }
            Source::Documents(low, high) => {
                let from = behind.map(|position| Bound::Excluded(position.id.clone()));
                let f = |doc: &'a DynDoc| f(doc.into());
                if course.reverse {
                    let high = from.map_or_else(|| high.clone(), |from| tighter(high.clone(), from, true));
                    self.between(low, &high, true).all(f)
                } else {
                    let low = from.map_or_else(|| low.clone(), |from| tighter(low.clone(), from, false));
                    self.between(&low, high, false).all(f)
                }
            }
            Source::Index(scan) => {
                let place = behind.map(|position| scan.place(position));
                let walk = |span| scan.index.walk(span, course, place.as_ref()).all(&mut *f);
                if course.reverse { scan.spans.iter().rev().all(walk) } else { scan.spans.iter().all(walk) }
            }
            Source::Any(plans) => plans.iter().all(|plan| self.visit(plan, None, f)),
        }
    }

    /// All documents of a plan, some at a time. `f` takes out what is in the batch.
    fn batches<'a, E>(
        &'a self,
        plan: &Plan<'a>,
        behind: Option<&Position>,
        f: &mut dyn FnMut(&mut Vec<Seen<'a>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut batch: Vec<Seen<'a>> = Vec::with_capacity(BATCH);
        let course = plan.course.unwrap_or_default();
        match &plan.source {
            // Leaf by leaf, and not one by one.
            Source::Documents(Bound::Unbounded, Bound::Unbounded) if behind.is_none() => {
                let mut all = self.docs.range(Bound::Unbounded, Bound::Unbounded, course.reverse);
                while all.fill(&mut batch, BATCH, |(_, doc)| Seen::from(doc)) {
                    f(&mut batch)?;
                }
            }
            Source::Index(scan) => {
                let place = behind.map(|position| scan.place(position));
                let mut walk = |span| -> Result<(), E> {
                    let mut walk = scan.index.walk(span, course, place.as_ref());
                    while walk.fill(&mut batch, BATCH) {
                        f(&mut batch)?;
                    }
                    Ok(())
                };
                if course.reverse {
                    scan.spans.iter().rev().try_for_each(&mut walk)?;
                } else {
                    scan.spans.iter().try_for_each(&mut walk)?;
                }
            }
            _ => {
                let mut outcome = Ok(());
                self.visit(plan, behind, &mut |seen| {
                    batch.push(seen);
                    if batch.len() >= BATCH {
                        outcome = f(&mut batch);
                    }
                    outcome.is_ok()
                });
                outcome?;
            }
        }
        f(&mut batch)
    }

    /// The documents that the query asks for, in its order: so many at most, and only those behind a position.
    ///
    /// # Errors
    /// `INVALID_QUERY` when two fields of the sort are arrays in one document.
    pub(crate) fn search<'a>(
        &'a self,
        query: &'a RawQuery,
        most: usize,
        behind: Option<&Position>,
    ) -> Result<Found<'a>> {
        let wanted = query.skip.saturating_add(most);
        let Choice { plan, otherwise } = Plan::choose(query, wanted, self);
        let mut found = Found { docs: Vec::new(), plan, keys: 0, documents: 0 };
        let (budget, mut otherwise) = match otherwise {
            Some((budget, plan)) => (budget, Some(plan)),
            None => (usize::MAX, None),
        };
        let mut is_done = found.run(self, query, wanted, behind, budget)?;
        while !is_done && let Some(plan) = otherwise.take() {
            found.plan = plan;
            is_done = found.run(self, query, wanted, behind, usize::MAX)?;
        }
        found.docs.drain(..query.skip.min(found.docs.len()));
        Ok(found)
    }

    /// The documents that the query asks for, in its order.
    ///
    /// # Errors
    /// Those of [`Collection::search`].
    pub(crate) fn find(&self, query: &RawQuery, most: usize) -> Result<Vec<DynDoc>> {
        if query.sort.keys().is_empty()
            && let Some((index, key)) = self.one_key(&query.filter)
        {
            let found = index.walk(&Span::Point(key), Course::default(), None).map(|seen| seen.doc);
            return Ok(if query.skip == 0 {
                found.take(most).cloned().collect()
            } else {
                found.skip(query.skip).take(most).cloned().collect()
            });
        }
        Ok(self.search(query, most, None)?.into_docs())
    }

    /// A page of the documents that the query asks for, only those behind a position; and where the next page begins, if there
    /// is one.
    ///
    /// # Errors
    /// Those of [`Collection::search`].
    pub(crate) fn page(&self, query: &RawQuery, behind: Option<&Position>) -> Result<(Vec<DynDoc>, Option<Position>)> {
        let mut docs = self.search(query, query.page_size().saturating_add(1), behind)?.into_docs();
        let has_more = docs.len() > query.page_size();
        docs.truncate(query.page_size());
        let last = docs.last().filter(|_| has_more);
        let next = last.map(|last| query.sort.position(last)).transpose()?;
        Ok((docs, next))
    }

    /// How [`Collection::page`] finds a page.
    ///
    /// # Errors
    /// Those of [`Collection::search`].
    pub(crate) fn explain_page(&self, query: &RawQuery, behind: Option<&Position>) -> Result<Explanation> {
        let mut told = self.search(query, query.page_size().saturating_add(1), behind)?.explain();
        told.returned = told.returned.min(query.page_size() as u64);
        Ok(told)
    }

    /// The first document that matches, in the order of their ids.
    ///
    /// # Errors
    /// Those of [`Collection::search`].
    pub(crate) fn first(&self, filter: &Arc<RawFilter>) -> Result<Option<DynDoc>> {
        if let Some((index, key)) = self.one_key(filter) {
            return Ok(index.first(&key).cloned());
        }
        let query = RawQuery { filter: filter.clone(), sort: RawSort::default(), skip: 0, limit: None, cursor: None };
        Ok(self.find(&query, 1)?.into_iter().next())
    }

    /// The index, and the key in it, whose documents are just those that match. What [`Plan`] finds out as well, for the filters
    /// that nearly all programs ask with, and before there is anything to be weighed.
    fn one_key(&self, filter: &RawFilter) -> Option<(&Index, Key)> {
        let RawFilter::Field(path, Test::Compare(Compare::Eq, value)) = filter else { return None };
        let name = path.single()?;
        if value.is_array() {
            return None;
        }
        let index = self.indexes.iter().find(|index| index.is_on(name))?;
        let is_seen = index.members().iter().all(|member| path.leads_into(member.withheld));
        is_seen.then(|| (index, Key::of_value(&value.as_value())))
    }

    /// How many documents match.
    pub(crate) fn count(&self, filter: &RawFilter) -> usize {
        if *filter == RawFilter::all() {
            return self.len();
        }
        if let Some((index, key)) = self.one_key(filter) {
            return index.count(&Span::Point(key), usize::MAX);
        }
        let plan = Plan::narrowest(filter, self);
        if let (Source::Index(scan), true, false) = (&plan.source, plan.is_covered, plan.may_repeat) {
            return scan.spans.iter().map(|span| scan.index.count(span, usize::MAX)).sum();
        }
        let matcher = Matcher::of(filter, self.beside());
        let mut count = 0;
        let mut found: Vec<Seen<'_>> = Vec::new();
        let mut settle = |found: &mut Vec<Seen<'_>>| {
            if !plan.is_covered {
                matcher.retain(found);
            }
            count += found.len();
            found.clear();
        };
        if plan.may_repeat {
            self.visit(&plan, None, &mut |seen| {
                found.push(seen);
                true
            });
            found.sort_unstable_by(|a, b| a.doc.id().cmp(b.doc.id()));
            found.dedup_by(|a, b| Arc::ptr_eq(a.doc, b.doc));
            settle(&mut found);
        } else {
            let Ok(()) = self.batches::<Infallible>(&plan, None, &mut |batch| {
                settle(batch);
                Ok(())
            });
        }
        count
    }
}

/// How many documents are looked at together.
const BATCH: usize = 64;

/// What a query found, and how.
pub(crate) struct Found<'a> {
    docs: Vec<&'a DynDoc>,
    plan: Plan<'a>,
    keys: usize,
    documents: usize,
}

impl<'a> Found<'a> {
    pub(crate) fn into_docs(self) -> Vec<DynDoc> {
        self.docs.into_iter().cloned().collect()
    }

    /// How they were found.
    pub(crate) fn explain(&self) -> Explanation {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut told = self.plan.explain(self.plan.course.is_some());
        told.keys_examined = count(self.keys);
        told.documents_examined = count(self.documents);
        told.returned = count(self.docs.len());
        told
    }

    /// Finds the first so many by the plan. False when that took more documents than there is a budget for.
    fn run(
        &mut self,
        collection: &'a Collection,
        query: &RawQuery,
        wanted: usize,
        behind: Option<&Position>,
        budget: usize,
    ) -> Result<bool> {
        let Self { docs: found, plan, keys, documents } = self;
        found.clear();
        if wanted == 0 {
            return Ok(true);
        }
        let is_scan = matches!(plan.source, Source::Documents(..));
        let mut left = budget;
        let matcher = Matcher::of_rest(&query.filter, &plan.proved, collection.beside());
        let is_covered = plan.is_covered;
        let mut matching = |docs: &mut Vec<Seen<'_>>| {
            *documents += docs.len();
            *keys += if is_scan { 0 } else { docs.len() };
            if !is_covered {
                matcher.retain(docs);
            }
        };
        if plan.course.is_some() && wanted == usize::MAX && budget == usize::MAX {
            let Ok(()) = collection.batches::<Infallible>(plan, behind, &mut |batch| {
                matching(batch);
                found.extend(batch.drain(..).map(|seen| seen.doc));
                Ok(())
            });
            return Ok(true);
        }
        if plan.course.is_some() {
            let mut batch: Vec<Seen<'a>> = Vec::with_capacity(1);
            // No more of them are looked at than it takes.
            collection.visit(plan, behind, &mut |doc| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                batch.push(doc);
                matching(&mut batch);
                found.extend(batch.drain(..).map(|seen| seen.doc));
                found.len() < wanted
            });
            return Ok(left > 0 || found.len() >= wanted);
        }
        // Twice what is wanted is kept at most: whenever there is that much, the worse half goes.
        let sort = &query.sort;
        let compare = |a: &Sorted<'a>, b: &Sorted<'a>| sort.compare(a, b);
        let full = wanted.saturating_mul(2).saturating_add(64);
        let mut sorted: Vec<Sorted<'a>> = Vec::new();
        let mut is_cut = false;
        let may_repeat = plan.may_repeat;
        // Of a long list nearly all are worse than those that are kept, which a number tells at once.
        let whole = sort.whole_key(collection.beside());
        let mut worst = None;
        collection.batches::<Error>(plan, None, &mut |docs| {
            matching(docs);
            for seen in docs.iter().copied() {
                let number = whole.as_ref().and_then(|key| key.of(seen));
                if let (Some(key), Some(number), Some(worst)) = (&whole, number, worst)
                    && key.is_behind(number, worst)
                {
                    continue;
                }
                let one = match number {
                    Some(number) => RawSort::of_whole(seen.doc, number),
                    None => sort.of(seen.doc)?,
                };
                let is_worse = is_cut && sorted.get(wanted - 1).is_some_and(|worst| compare(&one, worst).is_gt());
                if is_worse || behind.is_some_and(|position| !sort.is_behind(&one, position)) {
                    continue;
                }
                sorted.push(one);
                if sorted.len() >= full {
                    dedup(&mut sorted, may_repeat);
                    if sorted.len() >= wanted {
                        // The worst of those that are kept is then the last of them.
                        sorted.select_nth_unstable_by(wanted - 1, compare);
                        sorted.truncate(wanted);
                        is_cut = true;
                        worst = sorted.last().and_then(Sorted::whole);
                    }
                }
            }
            docs.clear();
            Ok(())
        })?;
        dedup(&mut sorted, plan.may_repeat);
        sorted.sort_unstable_by(compare);
        sorted.truncate(wanted);
        found.extend(sorted.iter().map(|one| one.doc));
        Ok(true)
    }
}

/// Takes out what was found twice.
fn dedup(found: &mut Vec<Sorted<'_>>, may_repeat: bool) {
    if !may_repeat {
        return;
    }
    found.sort_unstable_by(|a, b| a.doc.id().cmp(b.doc.id()));
    found.dedup_by(|a, b| Arc::ptr_eq(a.doc, b.doc));
}

/// All collections of an application at one moment.
#[derive(Clone)]
pub(crate) struct State {
    /// Sequence number of the last commit that it shows.
    pub(crate) seq: u64,
    collections: Vec<Arc<Collection>>,
    /// The trash of each model. Apart, because nearly no commit changes one: a copy of the state shares all of them.
    trash: Arc<Vec<Arc<Collection>>>,
}

/// A unique value that another document has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    /// The field, or those whose values are unique together.
    pub(crate) fields: Vec<String>,
}

impl From<Taken> for Error {
    fn from(taken: Taken) -> Self {
        match taken.fields.as_slice() {
            [field] => Self::unique(field),
            fields => Self::unique_together(fields),
        }
    }
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
        Self {
            seq: 0,
            collections: schemas.iter().map(|schema| Arc::new(Collection::new(schema))).collect(),
            trash: Arc::new(schemas.iter().map(|_| Arc::new(trash::empty())).collect()),
        }
    }

    pub(crate) fn collection(&self, model: ModelIndex) -> Option<&Arc<Collection>> {
        match self.collections.get(model) {
            None => self.trash.get(model.checked_sub(self.collections.len())?),
            found => found,
        }
    }

    /// How many collections there are: those of the models, and the trash of each.
    pub(crate) fn places(&self) -> usize {
        self.collections.len() + self.trash.len()
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
        match model.checked_sub(self.collections.len()) {
            None => self.collections.get_mut(model).map(Arc::make_mut),
            Some(model) => Arc::make_mut(&mut self.trash).get_mut(model).map(Arc::make_mut),
        }
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
            if let Err(taken) = collection.try_put(after) {
                failed = Some((at, Unfit { error: taken.into(), at }));
                break;
            }
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
                collection.put(before);
            }
        }
        Err(unfit)
    }
}
