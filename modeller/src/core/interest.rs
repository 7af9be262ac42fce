//! Who is interested in which documents: many filters at once, of which a change finds those that it may concern without looking
//! at the others.
//!
//! Of each filter some values are taken out that a document has to have so that it can match: those that a path is compared with,
//! or the range that one of its values lies in. What they find is more than what matches, never less; whoever asks looks at the
//! filter itself then. A filter without such a part is looked at for each change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use serde_json::Value;

use super::document::{AnyDoc, DocView};
use super::id::RawId;
use super::key::Key;
use super::query::filter::{Compare, Path, RawFilter, Test};
use super::value::{AsValue, ValueRef};

/// So many paths are looked at in each changed document; filters on others are asked each time.
const MOST_PATHS: usize = 64;
/// A filter stands in so many places at most.
const MOST_PLACES: usize = 64;
/// What a range counts for, against single values: it finds more.
const RANGE_COST: usize = 16;
/// Ranges in one block.
const BLOCK: usize = 256;

/// What a document has to have.
#[derive(Clone, Debug)]
enum Need {
    /// A path reaches one of these.
    OneOf(Path, Vec<Key>),
    /// The values that it reaches lie around this range, or in it. `None` is open.
    Within(Path, Option<Key>, Option<Key>),
}

/// The needs of which one has to be met; `None` when nothing can be said.
fn needs(filter: &RawFilter) -> Option<Vec<Need>> {
    match filter {
        RawFilter::And { members, .. } => {
            let mut best: Option<Vec<Need>> = None;
            let mut ranges: Vec<(&Path, Option<Key>, Option<Key>)> = Vec::new();
            for member in members {
                let Some(found) = needs(member) else { continue };
                if let ([Need::Within(_, low, high)], RawFilter::Field(path, _)) = (&*found, member) {
                    // Two ends of one range, which may be said apart.
                    match ranges.iter_mut().find(|(known, ..)| *known == path) {
                        Some((_, of_low, of_high)) => {
                            *of_low = of_low.take().max(low.clone());
                            *of_high = least(of_high.take(), high.clone());
                        }
                        None => ranges.push((path, low.clone(), high.clone())),
                    }
                } else if best.as_ref().is_none_or(|best| cost(&found) < cost(best)) {
                    best = Some(found);
                }
            }
            let narrowest =
                ranges.into_iter().max_by_key(|(_, low, high)| (low.is_some() && high.is_some(), low.is_some()));
            match (best, narrowest) {
                (Some(best), Some(_)) if cost(&best) <= RANGE_COST => Some(best),
                (_, Some((path, low, high))) => Some(vec![Need::Within(path.clone(), low, high)]),
                (best, None) => best,
            }
        }
        RawFilter::Or(members) => {
            let mut all = Vec::new();
            for member in members {
                all.extend(needs(member)?);
            }
            (places(&all) <= MOST_PLACES).then_some(all)
        }
        RawFilter::Nor(_) => None,
        RawFilter::Field(path, test) => {
            let need = match test {
                Test::Compare(Compare::Eq, operand) => Need::OneOf(path.clone(), vec![key(operand)?]),
                Test::In { values, negated: false } => {
                    let keys: Option<Vec<Key>> = values.iter().map(key).collect();
                    Need::OneOf(path.clone(), keys.filter(|keys| keys.len() <= MOST_PLACES)?)
                }
                Test::Compare(Compare::Gt | Compare::Gte, operand) => {
                    Need::Within(path.clone(), Some(key(operand)?), None)
                }
                Test::Compare(Compare::Lt | Compare::Lte, operand) => {
                    Need::Within(path.clone(), None, Some(key(operand)?))
                }
                _ => return None,
            };
            Some(vec![need])
        }
    }
}

/// Where one side is open, the other one counts.
fn least(a: Option<Key>, b: Option<Key>) -> Option<Key> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The key of a value that only a value equals; `null` is also what is not there, and arrays and objects are compared in ways
/// of their own.
fn key(operand: &Value) -> Option<Key> {
    match operand {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        scalar => Some(Key::of_value(&scalar.as_value())),
    }
}

fn places(needs: &[Need]) -> usize {
    needs.iter().map(|need| if let Need::OneOf(_, keys) = need { keys.len() } else { 1 }).sum()
}

fn cost(needs: &[Need]) -> usize {
    needs.iter().map(|need| if let Need::OneOf(_, keys) = need { keys.len() } else { RANGE_COST }).sum()
}

/// Filters, each with the token of who is interested.
pub(crate) struct Interests<K> {
    /// Where each stands.
    tokens: HashMap<K, Stands>,
    paths: Vec<OnPath<K>>,
    /// Those that are asked each time.
    others: BTreeSet<K>,
    ids: BTreeMap<RawId, BTreeSet<K>>,
}

/// Where a token stands.
#[derive(Default)]
struct Stands {
    needs: Vec<Need>,
    ids: Vec<RawId>,
}

/// Those who need a value on one path.
struct OnPath<K> {
    path: Path,
    equal: BTreeMap<Key, BTreeSet<K>>,
    ranges: Ranges<K>,
    uses: usize,
}

impl<K> Default for Interests<K> {
    fn default() -> Self {
        Self { tokens: HashMap::new(), paths: Vec::new(), others: BTreeSet::new(), ids: BTreeMap::new() }
    }
}

impl<K: Copy + Eq + Ord + Hash> Interests<K> {
    /// Whether nobody is interested in anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Adds an interest in the documents that match.
    pub(crate) fn add(&mut self, token: K, filter: &RawFilter) {
        let Some(needs) = needs(filter).filter(|needs| places(needs) <= MOST_PLACES) else {
            self.tokens.entry(token).or_default();
            self.others.insert(token);
            return;
        };
        let is_new = |path: &Path| !self.paths.iter().any(|on| on.path == *path);
        let new = needs.iter().filter(|need| is_new(path_of(need))).count();
        if self.paths.len() + new > MOST_PATHS {
            self.tokens.entry(token).or_default();
            self.others.insert(token);
            return;
        }
        for need in &needs {
            let on = self.on(path_of(need));
            on.uses += 1;
            match need {
                Need::OneOf(_, keys) => {
                    for key in keys {
                        on.equal.entry(key.clone()).or_default().insert(token);
                    }
                }
                Need::Within(_, low, high) => on.ranges.insert(low.clone(), high.clone(), token),
            }
        }
        self.tokens.entry(token).or_default().needs.extend(needs);
    }

    /// Adds an interest in the documents whose path reaches one of these values.
    pub(crate) fn add_keys(&mut self, token: K, field: &str, keys: impl Iterator<Item = Key>) {
        let path = Path::new(field);
        let keys: Vec<Key> = keys.collect();
        let on = self.on(&path);
        on.uses += 1;
        for key in &keys {
            on.equal.entry(key.clone()).or_default().insert(token);
        }
        self.tokens.entry(token).or_default().needs.push(Need::OneOf(path, keys));
    }

    /// Adds an interest in one document, which need not be there.
    pub(crate) fn add_id(&mut self, token: K, id: &RawId) {
        if self.ids.entry(id.clone()).or_default().insert(token) {
            self.tokens.entry(token).or_default().ids.push(id.clone());
        }
    }

    fn on(&mut self, path: &Path) -> &mut OnPath<K> {
        let at = match self.paths.iter().position(|on| on.path == *path) {
            Some(at) => at,
            None => {
                let new = OnPath { path: path.clone(), equal: BTreeMap::new(), ranges: Ranges::default(), uses: 0 };
                self.paths.push(new);
                self.paths.len() - 1
            }
        };
        &mut self.paths[at]
    }

    /// Takes out all interests of a token.
    pub(crate) fn remove(&mut self, token: K) {
        self.others.remove(&token);
        let Some(stands) = self.tokens.remove(&token) else { return };
        for id in stands.ids {
            if let Some(all) = self.ids.get_mut(&id) {
                all.remove(&token);
                if all.is_empty() {
                    self.ids.remove(&id);
                }
            }
        }
        for need in stands.needs {
            let Some(on) = self.paths.iter_mut().find(|on| on.path == *path_of(&need)) else { continue };
            on.uses -= 1;
            match need {
                Need::OneOf(_, keys) => {
                    for key in keys {
                        if let Some(all) = on.equal.get_mut(&key) {
                            all.remove(&token);
                            if all.is_empty() {
                                on.equal.remove(&key);
                            }
                        }
                    }
                }
                Need::Within(_, low, _) => on.ranges.remove(low.as_ref(), token),
            }
        }
        self.paths.retain(|on| on.uses > 0);
    }

    /// Calls `f` with every token that a document may concern, with some of them more than once.
    pub(crate) fn concerned(&self, doc: &dyn AnyDoc, f: &mut dyn FnMut(K)) {
        self.others.iter().for_each(|token| f(*token));
        if !self.ids.is_empty()
            && let Some(all) = self.ids.get(doc.id())
        {
            all.iter().for_each(|token| f(*token));
        }
        for on in &self.paths {
            let (mut low, mut high): (Option<Key>, Option<Key>) = (None, None);
            on.path.reach(&DocView(doc), &mut |value| {
                if let Some(value) = value {
                    value.resolved(|value| {
                        if !is_single(value) {
                            return;
                        }
                        let key = Key::of_value(&value);
                        if let Some(all) = on.equal.get(&key) {
                            all.iter().for_each(|token| f(*token));
                        }
                        if !on.ranges.is_empty() {
                            low = least(low.take(), Some(key.clone()));
                            high = high.take().max(Some(key));
                        }
                    });
                }
                false
            });
            if let (Some(low), Some(high)) = (low, high) {
                on.ranges.overlapping(&low, &high, f);
            }
        }
    }
}

fn is_single(value: ValueRef<'_>) -> bool {
    !matches!(value, ValueRef::Null | ValueRef::Array(_) | ValueRef::Object(_))
}

fn path_of(need: &Need) -> &Path {
    match need {
        Need::OneOf(path, _) | Need::Within(path, ..) => path,
    }
}

/// Ranges, closed at both ends or open to one side, in blocks in the order of where they begin.
struct Ranges<K> {
    blocks: Vec<Block<K>>,
}

struct Block<K> {
    /// By the low end, of which `None` is below all.
    ranges: Vec<(Option<Key>, Option<Key>, K)>,
    /// The highest end; `None` is above all.
    highest: Option<Key>,
}

impl<K> Default for Ranges<K> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

impl<K: Copy + Eq> Block<K> {
    fn of(ranges: Vec<(Option<Key>, Option<Key>, K)>) -> Self {
        let mut block = Self { ranges, highest: None };
        block.measure();
        block
    }

    fn measure(&mut self) {
        let mut ends = self.ranges.iter().map(|(_, high, _)| high);
        self.highest = ends.try_fold(None::<Key>, |most, high| Some(most.max(Some(high.clone()?)))).flatten();
    }

    fn begins(&self) -> Option<&Key> {
        self.ranges.first().and_then(|(low, ..)| low.as_ref())
    }
}

impl<K: Copy + Eq> Ranges<K> {
    fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn insert(&mut self, low: Option<Key>, high: Option<Key>, token: K) {
        // The last block that begins at or below it.
        let at = self.blocks.partition_point(|block| block.begins() <= low.as_ref()).saturating_sub(1);
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(Block::of(vec![(low, high, token)]));
            return;
        };
        let place = block.ranges.partition_point(|(known, ..)| *known <= low);
        block.ranges.insert(place, (low, high, token));
        if block.ranges.len() > 2 * BLOCK {
            let rest = block.ranges.split_off(BLOCK);
            block.measure();
            self.blocks.insert(at + 1, Block::of(rest));
        } else {
            block.measure();
        }
    }

    fn remove(&mut self, low: Option<&Key>, token: K) {
        let from = self.blocks.partition_point(|block| block.begins() < low).saturating_sub(1);
        for at in from..self.blocks.len() {
            let Some(block) = self.blocks.get_mut(at) else { return };
            if let Some(place) = block.ranges.iter().position(|(known, _, of)| *of == token && known.as_ref() == low) {
                block.ranges.remove(place);
                block.measure();
                if block.ranges.is_empty() {
                    self.blocks.remove(at);
                }
                return;
            }
            if block.begins() > low {
                return;
            }
        }
    }

    /// Those that have something in common with a range.
    fn overlapping(&self, low: &Key, high: &Key, f: &mut dyn FnMut(K)) {
        let is_open_or = |end: &Option<Key>, holds: &dyn Fn(&Key) -> bool| end.as_ref().is_none_or(holds);
        for block in &self.blocks {
            if block.begins().is_some_and(|begins| begins > high) {
                return;
            }
            if !is_open_or(&block.highest, &|end| end >= low) {
                continue;
            }
            for (from, to, token) in &block.ranges {
                if from.as_ref().is_some_and(|from| from > high) {
                    return;
                }
                if is_open_or(to, &|to| to >= low) {
                    f(*token);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::core::document::{AnyValue, DynDoc};
    use crate::core::json::Document;
    use crate::core::query::parse::{Schema, parse_filter};

    fn doc(json: Value) -> DynDoc {
        let Value::Object(object) = json else { panic!() };
        let value: Box<dyn AnyValue> = Box::new(Document::from(object));
        value.into_doc(RawId::generate(), 1)
    }

    fn filter(json: &Value) -> Arc<RawFilter> {
        parse_filter(json, &Schema::Any).unwrap().into()
    }

    fn a_filter() -> impl Strategy<Value = Value> {
        let value = || {
            prop_oneof![
                (-3..4_i64).prop_map(Value::from),
                "[ab]{0,2}".prop_map(Value::from),
                Just(Value::Null),
                any::<bool>().prop_map(Value::from)
            ]
        };
        let name = || prop_oneof![Just("a"), Just("b"), Just("c.d")];
        let leaf = prop_oneof![
            (name(), value()).prop_map(|(name, value)| json!({name: value})),
            (name(), prop_oneof![Just("$gt"), Just("$gte"), Just("$lt"), Just("$lte"), Just("$ne")], value())
                .prop_map(|(name, operator, value)| json!({name: {operator: value}})),
            (name(), -3..4_i64, -3..4_i64).prop_map(|(name, low, high)| json!({name: {"$gte": low, "$lt": high}})),
            (name(), proptest::collection::vec(value(), 0..4))
                .prop_map(|(name, values)| json!({name: {"$in": values}})),
            Just(json!({})),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({"$and": all})),
                proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({"$or": all})),
                proptest::collection::vec(inner, 1..3).prop_map(|all| json!({"$nor": all})),
            ]
        })
    }

    fn a_doc() -> impl Strategy<Value = Value> {
        let single = || {
            prop_oneof![
                (-3..4_i64).prop_map(Value::from),
                "[ab]{0,2}".prop_map(Value::from),
                Just(Value::Null),
                any::<bool>().prop_map(Value::from)
            ]
        };
        let value = || prop_oneof![single(), proptest::collection::vec(single(), 0..3).prop_map(Value::from)];
        (value(), value(), value(), any::<bool>()).prop_map(|(a, b, d, listed)| {
            let c = json!({"d": d});
            json!({"a": a, "b": b, "c": if listed { json!([c, {"d": 9}]) } else { c }})
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever matches is found, also after others have gone.
        #[test]
        fn what_matches_is_found(
            filters in proptest::collection::vec(a_filter(), 1..12),
            docs in proptest::collection::vec(a_doc(), 1..12),
            gone in proptest::collection::vec(0_usize..12, 0..6),
        ) {
            let filters: Vec<_> = filters.iter().map(filter).collect();
            let mut interests = Interests::default();
            for (token, filter) in filters.iter().enumerate() {
                interests.add(token, filter);
            }
            for token in &gone {
                interests.remove(*token);
            }
            for doc in docs.into_iter().map(doc) {
                let mut found = BTreeSet::new();
                interests.concerned(doc.as_ref(), &mut |token| {
                    found.insert(token);
                });
                for (token, filter) in filters.iter().enumerate() {
                    let is_there = !gone.contains(&token);
                    if is_there && filter.matches(&DocView(doc.as_ref())) {
                        prop_assert!(found.contains(&token), "{filter:?}");
                    }
                    prop_assert!(is_there || !found.contains(&token));
                }
            }
            (0..filters.len()).for_each(|token| interests.remove(token));
            prop_assert!(interests.is_empty() && interests.paths.is_empty() && interests.others.is_empty());
        }
    }

    #[test]
    fn only_what_may_match_is_found() {
        let mut interests = Interests::default();
        for number in 0..5_000_i64 {
            interests.add(3 * number, &filter(&json!({"owner": number, "done": false})));
            interests.add(3 * number + 1, &filter(&json!({"age": {"$gte": number, "$lt": number + 2}})));
            interests
                .add(3 * number + 2, &filter(&json!({"tags": {"$in": [format!("t{number}"), format!("u{number}")]}})));
        }
        let count = |json| {
            let mut count = 0;
            interests.concerned(doc(json).as_ref(), &mut |_| count += 1);
            count
        };
        assert_eq!(count(json!({"owner": 7, "done": true})), 1);
        assert_eq!(count(json!({"tags": ["t5", "u5", "t9"]})), 3);
        assert_eq!(count(json!({"age": 1_000})), 3);
        assert_eq!(count(json!({"other": 1})), 0);
    }
}
