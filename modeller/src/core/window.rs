//! A part of a list that is kept as commits go by, and what changes in it.
//!
//! A window holds the documents of filter, sort, skip and limit, and some more of the order on both sides, so that it need not be
//! read again when one leaves. Where a document stands depends on nothing but itself: so a change takes out its before and puts
//! in its after, and no other two change places.

use std::collections::HashMap;
use std::sync::Arc;

use super::collection::{Change, Collection};
use super::document::{DocView, DynDoc};
use super::id::RawId;
use super::query::RawQuery;
use super::query::filter::RawFilter;
use super::query::sort::{Position, RawSort};
use crate::error::Result;

/// So many documents are held on each side of a window at least.
const LEAST_MARGIN: usize = 16;

/// Which part of which list.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) filter: Arc<RawFilter>,
    pub(crate) sort: RawSort,
    pub(crate) skip: usize,
    pub(crate) limit: usize,
}

/// A document and where it stands.
#[derive(Clone)]
pub(crate) struct Place {
    position: Arc<Position>,
    pub(crate) doc: DynDoc,
}

/// What becomes of a list. All that leaves stands first, then what stays where it is, then what comes in, by its place.
#[derive(Clone)]
pub(crate) enum Step {
    /// It is not there any more.
    Leave(RawId),
    /// It is another version, and at another place where one is named: then it is taken out first.
    Change { before: DynDoc, after: DynDoc, at: Option<usize> },
    /// It is there, at this place of the list as it is in the end.
    Enter { doc: DynDoc, at: usize },
}

/// What a commit did to a window.
pub(crate) enum Moved {
    /// Nothing that is seen.
    Nothing,
    /// This.
    By(Vec<Step>),
    /// It is not known any more what stands in it; this stood in it before.
    Lost(Vec<Place>),
}

/// A part of a list.
pub(crate) struct Window {
    pub(crate) frame: Frame,
    /// Documents that follow on each other in the order of the list.
    held: Vec<Place>,
    /// How many stand before them.
    start: usize,
    /// Whether none stands behind them.
    to_the_end: bool,
}

impl Window {
    /// The list in a collection, without the commits that this one is ahead by.
    ///
    /// # Errors
    /// `INVALID_QUERY` when two fields of the sort are arrays in one document.
    pub(crate) fn load(frame: &Frame, collection: &Collection, ahead: &[&Change]) -> Result<Self> {
        let mut margin = LEAST_MARGIN.max(frame.limit / 2) + ahead.len();
        loop {
            let from = frame.skip.saturating_sub(margin);
            let most = (frame.skip - from).saturating_add(frame.limit).saturating_add(margin);
            let query = RawQuery {
                filter: frame.filter.clone(),
                sort: frame.sort.clone(),
                skip: from,
                limit: None,
                cursor: None,
            };
            let found = collection.search(&query, most, None)?.into_docs();
            let to_the_end = found.len() < most;
            let held = found.into_iter().map(|doc| frame.place(doc)).collect::<Result<_>>()?;
            let mut window = Self { frame: frame.clone(), held, start: from, to_the_end };
            if window.held.is_empty() && from > 0 {
                // What stands before nothing is not known: it is read from the beginning.
                margin = margin.max(frame.skip);
                continue;
            }
            let mut known = true;
            for change in ahead.iter().rev() {
                known &= window.replace(change.after.as_ref(), change.before.as_ref())?;
            }
            if known && window.is_known() {
                window.trim();
                return Ok(window);
            }
            margin = margin.saturating_mul(4);
        }
    }

    /// The documents that are seen.
    pub(crate) fn seen(&self) -> &[Place] {
        let from = self.frame.skip.saturating_sub(self.start).min(self.held.len());
        let to = (from + self.frame.limit).min(self.held.len());
        self.held.get(from..to).unwrap_or_default()
    }

    /// Follows a commit.
    ///
    /// # Errors
    /// As [`Window::load`].
    pub(crate) fn follow(&mut self, changes: &[&Change]) -> Result<Moved> {
        if let [change] = changes
            && let Some(moved) = self.change_in_place(change)?
        {
            return Ok(moved);
        }
        let before = self.seen().to_vec();
        let mut known = true;
        // All befores go first, so that two documents can change places.
        for change in changes {
            known &= self.replace(change.before.as_ref(), None)?;
        }
        for change in changes {
            known &= self.replace(None, change.after.as_ref())?;
        }
        if !known || !self.is_known() {
            return Ok(Moved::Lost(before));
        }
        self.trim();
        let steps = difference(&before, self.seen());
        Ok(if steps.is_empty() { Moved::Nothing } else { Moved::By(steps) })
    }

    /// Most commits change one document that stays where it is.
    fn change_in_place(&mut self, change: &Change) -> Result<Option<Moved>> {
        let matches = |doc: &DynDoc| self.frame.filter.matches(&DocView(doc.as_ref()));
        let (before, after) =
            (change.before.as_ref().filter(|doc| matches(doc)), change.after.as_ref().filter(|doc| matches(doc)));
        let (before, after) = match (before, after) {
            (None, None) => return Ok(Some(Moved::Nothing)),
            (Some(before), Some(after)) => (before, after),
            _ => return Ok(None),
        };
        let (of_before, of_after) = (self.frame.place(before.clone())?, self.frame.place(after.clone())?);
        if *of_before.position != *of_after.position {
            return Ok(None);
        }
        let Ok(at) = self.find(&of_before.position) else { return Ok(Some(Moved::Nothing)) };
        let Some(place) = self.held.get_mut(at) else { return Ok(None) };
        *place = of_after;
        let seen = (self.start + at).checked_sub(self.frame.skip).is_some_and(|at| at < self.frame.limit);
        Ok(Some(if seen {
            Moved::By(vec![Step::Change { before: before.clone(), after: after.clone(), at: None }])
        } else {
            Moved::Nothing
        }))
    }

    fn find(&self, position: &Position) -> Result<usize, usize> {
        self.held.binary_search_by(|place| self.frame.sort.compare_positions(&place.position, position))
    }

    /// Takes one version out and puts another in. False when it is not known any more what stands where.
    fn replace(&mut self, out: Option<&DynDoc>, into: Option<&DynDoc>) -> Result<bool> {
        for (doc, comes) in [(out, false), (into, true)] {
            let Some(doc) = doc.filter(|doc| self.frame.filter.matches(&DocView(doc.as_ref()))) else { continue };
            let place = self.frame.place(doc.clone())?;
            match self.find(&place.position) {
                Ok(at) if comes => {
                    if let Some(known) = self.held.get_mut(at) {
                        *known = place;
                    }
                }
                Ok(at) => drop(self.held.remove(at)),
                Err(_) if self.held.is_empty() && self.start > 0 => return Ok(false),
                // Before all that is held.
                Err(0) if self.start > 0 => self.start = if comes { self.start + 1 } else { self.start - 1 },
                Err(at) if comes && (at < self.held.len() || self.to_the_end) => self.held.insert(at, place),
                // Behind all that is held.
                Err(_) => {}
            }
        }
        Ok(true)
    }

    /// Whether it holds all that is seen.
    fn is_known(&self) -> bool {
        let reaches = self.start + self.held.len() >= self.frame.end();
        self.start <= self.frame.skip
            && (self.to_the_end || reaches)
            && !(self.held.is_empty() && self.start > 0 && !self.to_the_end)
    }

    /// Lets go of what is far from what is seen.
    fn trim(&mut self) {
        let margin = LEAST_MARGIN.max(self.frame.limit / 2);
        let behind = self.frame.end().saturating_add(2 * margin).saturating_sub(self.start);
        if self.held.len() > behind {
            self.held.truncate(behind - margin);
            self.to_the_end = false;
        }
        let before = self.frame.skip.saturating_sub(self.start);
        if before > 2 * margin && before - margin < self.held.len() {
            self.held.drain(..before - margin);
            self.start += before - margin;
        }
    }
}

impl Frame {
    /// Behind how many documents it ends.
    fn end(&self) -> usize {
        self.skip.saturating_add(self.limit)
    }

    fn place(&self, doc: DynDoc) -> Result<Place> {
        Ok(Place { position: Arc::new(self.sort.position(&doc)?), doc })
    }
}

/// What makes one list another one. Of two versions of one document both are known.
pub(crate) fn difference(before: &[Place], after: &[Place]) -> Vec<Step> {
    let is_same = |(a, b): &(&Place, &Place)| Arc::ptr_eq(&a.doc, &b.doc);
    let ahead = before.iter().zip(after).take_while(is_same).count();
    let (before, rest) = (before.get(ahead..).unwrap_or_default(), after.get(ahead..).unwrap_or_default());
    let behind = before.iter().rev().zip(rest.iter().rev()).take_while(is_same).count();
    let before = before.get(..before.len() - behind).unwrap_or_default();
    let rest = rest.get(..rest.len() - behind).unwrap_or_default();

    let known: HashMap<&RawId, (usize, &DynDoc)> =
        before.iter().enumerate().map(|(at, place)| (place.doc.id(), (at, &place.doc))).collect();
    let (stays, still) = stays(rest.iter().map(|place| known.get(place.doc.id()).map(|(at, _)| *at)), before.len());
    let mut steps: Vec<Step> = before
        .iter()
        .zip(&still)
        .filter(|(_, still)| !**still)
        .map(|(place, _)| Step::Leave(place.doc.id().clone()))
        .collect();
    let mut moved = Vec::new();
    for (at, (place, stays)) in rest.iter().zip(stays).enumerate() {
        match known.get(place.doc.id()) {
            None => moved.push(Step::Enter { doc: place.doc.clone(), at: ahead + at }),
            Some((_, before)) if stays => {
                if !Arc::ptr_eq(before, &place.doc) {
                    steps.push(Step::Change { before: DynDoc::clone(before), after: place.doc.clone(), at: None });
                }
            }
            Some((_, before)) => {
                let (before, after) = (DynDoc::clone(before), place.doc.clone());
                moved.push(Step::Change { before, after, at: Some(ahead + at) });
            }
        }
    }
    steps.extend(moved);
    steps
}

/// The same from what somebody holds, of which the content is not known here: ids and revisions. What has changed leaves, and
/// enters.
pub(crate) fn difference_from(held: &[(RawId, u64)], after: &[Place]) -> Vec<Step> {
    let known: HashMap<&RawId, (usize, u64)> =
        held.iter().enumerate().map(|(at, (id, rev))| (id, (at, *rev))).collect();
    let old = |place: &Place| known.get(place.doc.id()).filter(|(_, rev)| *rev == place.doc.rev()).map(|(at, _)| *at);
    let (stays, _) = stays(after.iter().map(old), held.len());
    let mut staying = vec![false; held.len()];
    for (place, _) in after.iter().zip(&stays).filter(|(_, stays)| **stays) {
        if let Some(place) = old(place).and_then(|at| staying.get_mut(at)) {
            *place = true;
        }
    }
    let leaves = held.iter().zip(staying).filter(|(_, stays)| !stays).map(|((id, _), _)| Step::Leave(id.clone()));
    let mut steps: Vec<Step> = leaves.collect();
    let enters = after.iter().enumerate().zip(stays).filter(|(_, stays)| !stays);
    steps.extend(enters.map(|((at, place), _)| Step::Enter { doc: place.doc.clone(), at }));
    steps
}

/// Which of a list keep their order among each other, as many as possible; and which of the `count` old places are in it at all.
fn stays(old: impl Iterator<Item = Option<usize>>, count: usize) -> (Vec<bool>, Vec<bool>) {
    let old: Vec<Option<usize>> = old.collect();
    let mut still = vec![false; count];
    // The longest increasing subsequence: for each length the one that ends lowest.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; old.len()];
    for (at, of) in old.iter().enumerate() {
        let Some(of) = *of else { continue };
        if let Some(still) = still.get_mut(of) {
            *still = true;
        }
        let length = ends.partition_point(|(_, end)| *end < of);
        if let (Some(previous), Some((before, _))) =
            (previous.get_mut(at), length.checked_sub(1).and_then(|at| ends.get(at)))
        {
            *previous = Some(*before);
        }
        match ends.get_mut(length) {
            Some(end) => *end = (at, of),
            None => ends.push((at, of)),
        }
    }
    let mut stays = vec![false; old.len()];
    let mut next = ends.last().map(|(at, _)| *at);
    while let Some(at) = next {
        if let Some(stays) = stays.get_mut(at) {
            *stays = true;
        }
        next = previous.get(at).copied().flatten();
    }
    (stays, still)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::document::AnyValue;
    use crate::core::json::Document;
    use crate::core::query::parse::{Schema, parse_filter, parse_sort};

    fn doc(id: u8, rev: u64, a: i64, b: i64) -> DynDoc {
        let Value::Object(object) = json!({"a": a, "b": b}) else { panic!() };
        let value: Box<dyn AnyValue> = Box::new(Document::from(object));
        value.into_doc(RawId::parse(&format!("d{id:03}")).unwrap(), rev)
    }

    /// What a client does with the steps.
    fn apply(list: &mut Vec<(RawId, u64)>, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Leave(id) => list.retain(|(known, _)| known != id),
                Step::Change { after, at, .. } => match at {
                    None => list.iter_mut().find(|(known, _)| known == after.id()).unwrap().1 = after.rev(),
                    Some(_) => list.retain(|(known, _)| known != after.id()),
                },
                Step::Enter { .. } => {}
            }
        }
        let mut last = None;
        for step in steps {
            let (Step::Change { after: doc, at: Some(at), .. } | Step::Enter { doc, at }) = step else { continue };
            assert!(last < Some(*at), "in rising order");
            last = Some(*at);
            list.insert(*at, (doc.id().clone(), doc.rev()));
        }
    }

    fn listed(places: &[Place]) -> Vec<(RawId, u64)> {
        places.iter().map(|place| (place.doc.id().clone(), place.doc.rev())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Snapshot and differences are the list, after every commit; and a window that is read from a later state without what
        /// came since is the one of its time.
        #[test]
        fn what_is_followed_is_the_list(
            script in proptest::collection::vec(proptest::collection::vec((0_u8..60, 0_u8..4, -4_i64..5, 0_i64..3), 1..4), 1..80),
            frames in proptest::collection::vec((0_usize..4, 0_usize..4, prop_oneof![Just(0_usize), 0_usize..40], 1_usize..12), 1..4),
            held_at in 0_usize..80,
        ) {
            let filters = [json!({}), json!({"a": {"$gte": 0}}), json!({"b": 1}), json!({"a": {"$in": [1, 2]}})];
            let sorts = [json!({}), json!({"a": 1}), json!({"b": -1, "a": 1}), json!({"_id": -1})];
            let frames: Vec<Frame> = frames.into_iter().map(|(filter, sort, skip, limit)| Frame {
                filter: parse_filter(&filters[filter], &Schema::Any).unwrap().into(),
                sort: parse_sort(&sorts[sort], &Schema::Any).unwrap(),
                skip,
                limit,
            }).collect();
            let mut collection = Collection::with(Vec::new());
            let mut followed: Vec<_> = frames.iter().map(|frame| {
                (Window::load(frame, &collection, &[]).unwrap(), Vec::new(), Vec::new())
            }).collect();
            let (mut then, mut since): (Vec<Vec<(RawId, u64)>>, Vec<Change>) = (Vec::new(), Vec::new());
            for (number, commit) in script.into_iter().enumerate() {
                let mut changes: Vec<Change> = Vec::new();
                for (id, what, a, b) in commit {
                    let after = (what > 0).then(|| doc(id, number as u64 + 1, a, b));
                    let id = RawId::parse(&format!("d{id:03}")).unwrap();
                    let before = collection.get(&id).cloned();
                    if changes.iter().any(|change| change.id == id) || (before.is_none() && after.is_none()) {
                        continue;
                    }
                    changes.push(Change { model: 0, id, before, after });
                }
                for change in &changes {
                    match &change.after {
                        Some(after) => collection.put(after),
                        None => collection.remove(&change.id),
                    }
                }
                let changed: Vec<&Change> = changes.iter().collect();
                for (window, list, held) in &mut followed {
                    match window.follow(&changed).unwrap() {
                        Moved::Nothing => {}
                        Moved::By(steps) => apply(list, &steps),
                        Moved::Lost(before) => {
                            *window = Window::load(&window.frame, &collection, &[]).unwrap();
                            apply(list, &difference(&before, window.seen()));
                        }
                    }
                    let frame = &window.frame;
                    let query = RawQuery { filter: frame.filter.clone(), sort: frame.sort.clone(), skip: frame.skip, limit: None, cursor: None };
                    let fresh = collection.find(&query, frame.limit).unwrap();
                    let fresh: Vec<_> = fresh.iter().map(|doc| (doc.id().clone(), doc.rev())).collect();
                    prop_assert_eq!(&*list, &fresh);
                    prop_assert_eq!(listed(window.seen()), fresh);
                    if number == held_at {
                        held.clone_from(list);
                    }
                }
                if number == held_at {
                    then = followed.iter().map(|(_, list, _)| list.clone()).collect();
                } else if number > held_at {
                    since.extend(changes);
                }
            }
            for (frame, then) in frames.iter().zip(&then) {
                let window = Window::load(frame, &collection, &since.iter().collect::<Vec<_>>()).unwrap();
                prop_assert_eq!(&listed(window.seen()), then);
            }
            for (window, list, mut held) in followed {
                let steps = difference_from(&held, window.seen());
                apply(&mut held, &steps);
                prop_assert_eq!(held, list);
            }
        }
    }
}
