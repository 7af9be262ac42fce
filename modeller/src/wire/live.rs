//! What a commit changes in the list of a live query, and the one function that changes it.
//!
//! Server and clients share it, so that what a test of the one shows holds for the other: *who has applied the changes of the
//! commit with `seq` s to the list of the commit before holds exactly the list at s.*

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One change of a list. In what belongs to one commit all [`LiveChange::Leave`] come first; the others follow with rising `at`,
/// those without one wherever they are.
///
/// ```
/// use modeller::wire::live::LiveChange;
/// # use modeller::__private::serde_json;
/// let change: LiveChange = serde_json::from_str(r#"{"op":"change","id":"a","set":{"_rev":2},"at":0}"#)?;
/// assert!(matches!(change, LiveChange::Change { ref id, at: Some(0), .. } if id == "a"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
#[non_exhaustive]
pub enum LiveChange {
    /// A document is no longer in the list: deleted, out of the window, or no longer to be read.
    Leave {
        /// Its id.
        id: String,
    },
    /// A document that stays in the list has other content, another place, or both.
    Change {
        /// Its id.
        id: String,
        /// The fields that have another value, with that value. `_rev` is among them.
        set: Map<String, Value>,
        /// The fields that it has no longer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unset: Vec<String>,
        /// Its index in the list after the commit. Without it the document stays between its neighbours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<usize>,
    },
    /// A document that was not in the list, or whose former content is not known any more, in which case it has left before.
    Enter {
        /// The document, with `_id` and `_rev`.
        doc: Map<String, Value>,
        /// Its index in the list after the commit.
        at: usize,
    },
}

/// Changes that do not belong to the list that they were applied to. Whoever sees it holds another list than the server thinks, and
/// asks for a fresh one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// A document that leaves or changes is not in the list.
    Missing(String),
    /// A document enters that is in the list already, or is named by two changes.
    Twice(String),
    /// A document without an id.
    NoId,
    /// A place behind the end of the list, or places that do not rise.
    Place(usize),
    /// A document leaves after others have come.
    Order(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(id) => write!(f, "`{id}` is not in the list"),
            Self::Twice(id) => write!(f, "`{id}` would be in the list twice"),
            Self::NoId => f.write_str("a document without an id"),
            Self::Place(at) => write!(f, "there is no place {at}"),
            Self::Order(id) => write!(f, "`{id}` leaves after others have come"),
        }
    }
}

impl std::error::Error for Mismatch {}

/// Changes a list of documents, each with its `_id`, as one commit does. All that leave or have a place are taken out; then
/// those with a place are put in, in their order.
///
/// It takes time in proportion to the list and the changes, whatever their order.
///
/// ```
/// use modeller::wire::live::{LiveChange, apply};
/// # use modeller::__private::serde_json::{self, json};
/// let mut list = serde_json::from_value(json!([{"_id": "a", "_rev": 1, "n": 1}, {"_id": "b", "_rev": 1, "n": 2}]))?;
/// let changes: Vec<LiveChange> = serde_json::from_value(json!([
///     {"op": "leave", "id": "b"},
///     {"op": "enter", "doc": {"_id": "c", "_rev": 2, "n": 3}, "at": 0},
///     {"op": "change", "id": "a", "set": {"_rev": 2, "n": 4}, "at": 1},
/// ]))?;
/// apply(&mut list, changes)?;
/// assert_eq!(json!(list), json!([{"_id": "c", "_rev": 2, "n": 3}, {"_id": "a", "_rev": 2, "n": 4}]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Mismatch`] when the changes are not about this list, which then is as it was.
pub fn apply(list: &mut Vec<Map<String, Value>>, changes: Vec<LiveChange>) -> Result<(), Mismatch> {
    let found = check(list, &changes)?;
    let mut held: Vec<Option<Map<String, Value>>> = std::mem::take(list).into_iter().map(Some).collect();
    let mut placed = Vec::new();
    for (change, found) in changes.into_iter().zip(found) {
        match change {
            LiveChange::Leave { .. } => drop(found.and_then(|found| held.get_mut(found)?.take())),
            LiveChange::Change { set, unset, at, .. } => {
                let Some(slot) = found.and_then(|found| held.get_mut(found)) else { continue };
                if let Some(doc) = slot {
                    for name in unset {
                        doc.remove(&name);
                    }
                    doc.extend(set);
                }
                if let Some(at) = at {
                    placed.extend(slot.take().map(|doc| (at, doc)));
                }
            }
            LiveChange::Enter { doc, at } => placed.push((at, doc)),
        }
    }
    let mut stay = held.into_iter().flatten();
    list.reserve(stay.size_hint().0);
    for (at, doc) in placed {
        list.extend(stay.by_ref().take(at.saturating_sub(list.len())));
        list.push(doc);
    }
    list.extend(stay);
    Ok(())
}

/// Where in the list the document of each change is; `None` for one that enters.
fn check(list: &[Map<String, Value>], changes: &[LiveChange]) -> Result<Vec<Option<usize>>, Mismatch> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(list.len());
    for (at, doc) in list.iter().enumerate() {
        places.insert(id_of(doc)?, at);
    }
    let mut left = list.len();
    let mut entered = HashSet::new();
    let mut put: Vec<usize> = Vec::new();
    let mut found = Vec::with_capacity(changes.len());
    let mut only_leaves = true;
    for change in changes {
        let at = match change {
            LiveChange::Leave { id } if only_leaves => {
                found.push(Some(take(&mut places, &entered, id)?));
                left = left.saturating_sub(1);
                None
            }
            LiveChange::Leave { id } => return Err(Mismatch::Order(id.clone())),
            LiveChange::Change { id, set, at, .. } => {
                if set.get("_id").is_some_and(|other| other.as_str() != Some(id)) {
                    return Err(Mismatch::Twice(id.clone()));
                }
                found.push(Some(take(&mut places, &entered, id)?));
                entered.insert(id.as_str());
                left = left.saturating_sub(usize::from(at.is_some()));
                *at
            }
            LiveChange::Enter { doc, at } => {
                let id = id_of(doc)?;
                if places.contains_key(id) || !entered.insert(id) {
                    return Err(Mismatch::Twice(id.into()));
                }
                found.push(None);
                Some(*at)
            }
        };
        only_leaves &= matches!(change, LiveChange::Leave { .. });
        if let Some(at) = at {
            if put.last().is_some_and(|last| *last >= at) {
                return Err(Mismatch::Place(at));
            }
            put.push(at);
        }
    }
    // Behind those that stay and those that were put in before there is no place.
    match put.iter().enumerate().find(|(before, at)| **at > left + before) {
        Some((_, at)) => Err(Mismatch::Place(*at)),
        None => Ok(found),
    }
}

/// Takes a document that is found out of the map, so that the next change about it finds none.
fn take(places: &mut HashMap<&str, usize>, entered: &HashSet<&str>, id: &str) -> Result<usize, Mismatch> {
    let missing = || if entered.contains(id) { Mismatch::Twice(id.into()) } else { Mismatch::Missing(id.into()) };
    places.remove(id).ok_or_else(missing)
}

fn id_of(doc: &Map<String, Value>) -> Result<&str, Mismatch> {
    doc.get("_id").and_then(Value::as_str).ok_or(Mismatch::NoId)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    type List = Vec<Map<String, Value>>;

    fn list(value: Value) -> List {
        serde_json::from_value(value).unwrap()
    }

    fn changes(value: Value) -> Vec<LiveChange> {
        serde_json::from_value(value).unwrap()
    }

    fn of(items: &[(u8, u8)]) -> List {
        // Every third content has a field that the others have not.
        let doc = |(id, content): &(u8, u8)| match content % 3 {
            0 => json!({"_id": id.to_string(), "_rev": content, "more": content}),
            _ => json!({"_id": id.to_string(), "_rev": content}),
        };
        list(items.iter().map(doc).collect())
    }

    /// The difference of two lists by the words of the format, as plainly as it can be made. What `moves` says is moved although it
    /// need not be, and what `forgotten` says leaves and enters instead of changing.
    fn difference(from: &[(u8, u8)], to: &[(u8, u8)], moves: &[bool], forgotten: &[bool]) -> Vec<LiveChange> {
        let (old, new) = (of(from), of(to));
        let at_new = |id: u8| to.iter().position(|(other, _)| *other == id);
        let forgets = |id: u8| forgotten[usize::from(id)];
        let mut changes: Vec<_> = from
            .iter()
            .filter(|(id, _)| at_new(*id).is_none() || forgets(*id))
            .map(|(id, _)| LiveChange::Leave { id: id.to_string() })
            .collect();
        // Greedy: what is still in rising order stays.
        let mut last = None;
        let mut stays = HashSet::new();
        for (id, _) in from {
            if let Some(at) = at_new(*id).filter(|at| last < Some(*at) && !forgets(*id) && !moves[usize::from(*id)]) {
                last = Some(at);
                stays.insert(*id);
            }
        }
        for (at, (id, _)) in to.iter().enumerate() {
            let Some(before) = from.iter().position(|(other, _)| other == id).filter(|_| !forgets(*id)) else {
                changes.push(LiveChange::Enter { doc: new[at].clone(), at });
                continue;
            };
            let (before, after) = (&old[before], &new[at]);
            let set: Map<_, _> = after
                .iter()
                .filter(|(name, value)| before.get(*name) != Some(*value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let unset: Vec<_> = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
            let at = (!stays.contains(id)).then_some(at);
            if at.is_some() || !set.is_empty() || !unset.is_empty() {
                changes.push(LiveChange::Change { id: id.to_string(), set, unset, at });
            }
        }
        changes
    }

    fn lists() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let ids: Vec<u8> = (0..24).collect();
        (proptest::sample::subsequence(ids, 0..=24).prop_shuffle(), proptest::collection::vec(0..6u8, 24))
            .prop_map(|(ids, contents)| ids.into_iter().zip(contents).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn a_list_and_the_difference_to_another_make_the_other(
            from in lists(),
            to in lists(),
            moves in proptest::collection::vec(proptest::bool::weighted(0.2), 24),
            forgotten in proptest::collection::vec(proptest::bool::weighted(0.2), 24),
        ) {
            let changes = difference(&from, &to, &moves, &forgotten);
            // Also over the wire.
            let text = serde_json::to_string(&changes).unwrap();
            let read: Vec<LiveChange> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &changes);
            let mut list = of(&from);
            apply(&mut list, read).unwrap();
            prop_assert_eq!(list, of(&to));
        }

        #[test]
        fn what_does_not_fit_changes_nothing(
            held in lists(),
            other in lists(),
            to in lists(),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 4),
        ) {
            let none = vec![false; 24];
            let mut changes = difference(&other, &to, &none, &none);
            if !changes.is_empty() {
                for pair in order.chunks(2) {
                    let (a, b) = (pair[0].index(changes.len()), pair[1].index(changes.len()));
                    changes.swap(a, b);
                }
            }
            let before = of(&held);
            let mut list = before.clone();
            match apply(&mut list, changes.clone()) {
                Err(_) => prop_assert_eq!(list, before),
                // It may fit by chance; then every change with a place is there, and no id twice.
                Ok(()) => {
                    let ids: HashSet<_> = list.iter().map(|doc| doc["_id"].to_string()).collect();
                    prop_assert_eq!(ids.len(), list.len());
                    for change in &changes {
                        match change {
                            LiveChange::Enter { doc, at } => prop_assert_eq!(&list[*at], doc),
                            LiveChange::Change { id, at: Some(at), .. } => {
                                prop_assert_eq!(list[*at]["_id"].as_str(), Some(id.as_str()));
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_applied_is_refused() {
        let held = json!([{"_id": "a"}, {"_id": "b"}]);
        let cases = [
            (json!([{"op": "leave", "id": "c"}]), Mismatch::Missing("c".into())),
            (json!([{"op": "leave", "id": "a"}, {"op": "leave", "id": "a"}]), Mismatch::Missing("a".into())),
            (
                json!([{"op": "leave", "id": "a"}, {"op": "change", "id": "a", "set": {}}]),
                Mismatch::Missing("a".into()),
            ),
            (
                json!([{"op": "change", "id": "a", "set": {}}, {"op": "change", "id": "a", "set": {}}]),
                Mismatch::Twice("a".into()),
            ),
            (json!([{"op": "change", "id": "a", "set": {"_id": "b"}}]), Mismatch::Twice("a".into())),
            (json!([{"op": "enter", "doc": {"_id": "a"}, "at": 0}]), Mismatch::Twice("a".into())),
            (json!([{"op": "enter", "doc": {"_id": 1}, "at": 0}]), Mismatch::NoId),
            (json!([{"op": "enter", "doc": {"_id": "c"}, "at": 3}]), Mismatch::Place(3)),
            (json!([{"op": "change", "id": "a", "set": {}, "at": 2}]), Mismatch::Place(2)),
            (
                json!([{"op": "enter", "doc": {"_id": "c"}, "at": 1}, {"op": "enter", "doc": {"_id": "d"}, "at": 1}]),
                Mismatch::Place(1),
            ),
            (json!([{"op": "change", "id": "a", "set": {}}, {"op": "leave", "id": "b"}]), Mismatch::Order("b".into())),
        ];
        for (text, expected) in cases {
            let mut kept = list(held.clone());
            assert_eq!(apply(&mut kept, changes(text.clone())), Err(expected), "{text}");
            assert_eq!(json!(kept), held);
        }
    }

    #[test]
    fn a_document_may_leave_and_enter_at_once() {
        let mut held = list(json!([{"_id": "a", "old": 1}, {"_id": "b"}]));
        let commit = json!([{"op": "leave", "id": "a"}, {"op": "enter", "doc": {"_id": "a", "new": 1}, "at": 1}]);
        apply(&mut held, changes(commit)).unwrap();
        assert_eq!(json!(held), json!([{"_id": "b"}, {"_id": "a", "new": 1}]));
    }
}
