//! Whatever plan answers a query, the answer is that of a scan, a filter and a sort by hand.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::RawQuery;
use super::parse::{Schema, parse_filter, parse_sort};
use super::sort::{Direction, Position, RawSort};
use crate::core::collection::Collection;
use crate::core::document::{AnyValue, DocView, DynDoc};
use crate::core::id::RawId;
use crate::core::index::{Index, Member};
use crate::core::value::{AsValue, ObjectRef, ValueRef};
use crate::wire::explanation::PlanKind;

/// How many queries are compared.
const CASES: usize = 100_000;
const QUERIES: usize = 100;
const FIELDS: [&str; 4] = ["a", "b", "c", "d"];

/// A document whose fields can be anything.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Free(Map<String, Value>);

impl ObjectRef for Free {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        ObjectRef::get(&self.0, name)
    }
    fn slots(&self) -> usize {
        self.0.slots()
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        self.0.entry(slot)
    }
}

/// SplitMix64: the same cases in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap()
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn scalar(&mut self) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.pick(&[0.5, -1.5, 2.0, 1e30])),
            3 | 4 => json!(self.pick(&["", "a", "ab", "abc", "b", "a\u{0}", "018f0000-0000-7000-8000-000000000001"])),
            _ => json!(i64::try_from(self.below(7)).unwrap() - 2),
        }
    }

    /// A value of a field; an array only in a world with arrays.
    fn value(&mut self, arrays: bool) -> Value {
        match self.below(14) {
            0 => self.pick(&[json!({}), json!({"x": 1}), json!({"x": 2, "y": null}), json!({"x": [1, 2]})]),
            1..=4 if arrays => self.array(),
            _ => self.scalar(),
        }
    }

    fn array(&mut self) -> Value {
        (0..self.below(4)).map(|_| if self.one_in(8) { json!([self.scalar()]) } else { self.scalar() }).collect()
    }

    fn id(&mut self) -> String {
        format!("{:02}", self.below(40))
    }

    fn document(&mut self, arrays: &[bool]) -> Map<String, Value> {
        let mut document = Map::new();
        for (name, arrays) in FIELDS.iter().zip(arrays) {
            if !self.one_in(8) {
                document.insert((*name).to_owned(), self.value(*arrays));
            }
        }
        document
    }

    fn test(&mut self) -> Value {
        let operand = |dice: &mut Self| dice.value(true);
        let list = |dice: &mut Self| (0..dice.below(4)).map(|_| dice.value(true)).collect::<Value>();
        match self.below(17) {
            0..=2 => json!({"$eq": operand(self)}),
            3 => json!({"$ne": operand(self)}),
            4 => json!({"$gt": operand(self)}),
            5 => json!({"$gte": operand(self)}),
            6 => json!({"$lt": operand(self)}),
            7 => json!({"$lte": operand(self)}),
            8 => json!({"$gte": self.scalar(), "$lt": self.scalar()}),
            9 | 10 => json!({"$in": list(self)}),
            11 => json!({"$nin": list(self)}),
            12 => self.pick(&[
                json!({"$exists": true}),
                json!({"$exists": false}),
                json!({"$type": "number"}),
                json!({"$size": 2}),
                json!({"$mod": [2, 0]}),
                json!({"$bitsAllSet": 1}),
            ]),
            13 => json!({"$regex": self.pick(&["^a", "^ab", "^ab?", "b", "^a|b"])}),
            14 => json!({"$not": self.test()}),
            15 => json!({"$all": list(self)}),
            _ => self.pick(&[
                json!({"$elemMatch": {"$gte": 0, "$lt": 3}}),
                json!({"$elemMatch": {"$gt": "", "$lt": "b"}}),
                json!({"$elemMatch": {"$eq": 1}}),
                json!({"$elemMatch": {"$elemMatch": {"$gte": 1}}}),
                json!({"$elemMatch": {"$not": {"$elemMatch": {"$eq": 1}}}}),
            ]),
        }
    }

    fn filter(&mut self, depth: usize) -> Value {
        let mut filter = Map::new();
        for _ in 0..self.below(4) {
            let name = self.pick(&["a", "a", "b", "b", "c", "d", "a.x", "_id"]);
            if name == "_id" {
                let test = match self.below(4) {
                    0 => json!({"$in": [self.id(), self.id(), 3]}),
                    1 => json!({"$gte": self.id()}),
                    2 => json!({"$gt": self.id(), "$lte": self.id()}),
                    _ => json!({"$lt": self.pick(&[json!("20"), json!(5), json!("")])}),
                };
                filter.insert(name.to_owned(), test);
            } else {
                let test = self.test();
                filter.insert(name.to_owned(), test);
            }
        }
        if depth > 0 && self.one_in(4) {
            let name = self.pick(&["$and", "$or", "$or", "$nor"]);
            let members = (0..=self.below(3)).map(|_| self.filter(depth - 1)).collect();
            filter.insert(name.to_owned(), members);
        }
        Value::Object(filter)
    }

    fn sort(&mut self) -> Value {
        let mut sort = Map::new();
        let direction = self.pick(&[1, -1]);
        for _ in 0..self.below(4) {
            let name = self.pick(&["a", "a", "b", "b", "c", "d", "a.x", "_id"]);
            let direction = if self.one_in(5) { -direction } else { direction };
            Map::entry(&mut sort, name).or_insert(direction.into());
        }
        Value::Object(sort)
    }

    fn indexes(&mut self) -> Vec<Index> {
        let all: [(&[&str], bool); 8] = [
            (&["a"], false),
            (&["b"], false),
            (&["c"], true),
            (&["a", "b"], false),
            (&["b", "a", "c"], false),
            (&["a", "d"], true),
            (&["d", "b"], false),
            (&["d"], false),
        ];
        let chosen: Vec<_> = all.into_iter().filter(|_| self.one_in(3)).collect();
        let member = |name: &&str| Member { name: (*name).into(), private: false };
        chosen.into_iter().map(|(names, unique)| Index::new(names.iter().map(member).collect(), unique)).collect()
    }
}

/// Documents with their indexes, and the same documents without.
struct World {
    collection: Collection,
    documents: BTreeMap<String, (DynDoc, Value)>,
    arrays: Vec<bool>,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let arrays = (0..FIELDS.len()).map(|_| dice.one_in(4)).collect();
        let mut world = Self { collection: Collection::with(dice.indexes()), documents: BTreeMap::new(), arrays };
        for _ in 0..dice.below(40) {
            world.write(dice);
        }
        world
    }

    /// Puts a document, or takes one away, and says which.
    fn write(&mut self, dice: &mut Dice) -> String {
        let id = dice.id();
        let raw = RawId::parse(&id).unwrap();
        if dice.one_in(4) {
            self.collection.remove(&raw);
            self.documents.remove(&id);
        } else {
            let document = dice.document(&self.arrays);
            let doc = Box::new(Free(document.clone())).into_doc(raw, 1);
            let taken = self.collection.taken(&doc);
            assert_eq!(taken.is_some(), !self.collection.holders(&doc).is_empty());
            if taken.is_none() {
                self.collection.put(doc.clone());
                self.documents.insert(id.clone(), (doc, Value::Object(document)));
            }
        }
        id
    }

    /// The answer by hand.
    fn expected(&self, query: &RawQuery, sort: &Value) -> Vec<String> {
        let mut found: Vec<(&String, &Value)> = self
            .documents
            .iter()
            .filter(|(_, (doc, _))| query.filter.matches(&DocView(doc.as_ref())))
            .map(|(id, (_, document))| (id, document))
            .collect();
        found.sort_by(|(id, a), (other, b)| {
            let keys = sort.as_object().unwrap().iter();
            keys.map(|(name, direction)| {
                let reverse = direction == -1;
                let order = if name == "_id" {
                    id.cmp(other)
                } else {
                    let (a, b) = (sort_key(a, name, reverse), sort_key(b, name, reverse));
                    match (a, b) {
                        (Some(a), Some(b)) => a.as_value().compare(&b.as_value()),
                        (a, b) => a.is_some().cmp(&b.is_some()),
                    }
                };
                if reverse { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
        });
        found.into_iter().map(|(id, _)| id.clone()).collect()
    }
}

/// The least element of an array, or its greatest when falling; an empty one has none. Elements that are arrays do not count.
fn sort_key(document: &Value, name: &str, reverse: bool) -> Option<Value> {
    let extreme = |values: Vec<Value>| {
        let order = |a: &Value, b: &Value| a.as_value().compare(&b.as_value());
        if reverse { values.into_iter().max_by(order) } else { values.into_iter().min_by(order) }
    };
    let of_array = |elements: &Vec<Value>| {
        let empty = elements.is_empty() || elements.iter().any(|element| element.as_array().is_some_and(Vec::is_empty));
        let scalars = elements.iter().filter(|element| !element.is_array()).cloned().collect();
        extreme(scalars).or(if empty { None } else { Some(Value::Null) })
    };
    let value = document.get(name.split('.').next().unwrap()).cloned().unwrap_or_default();
    if name != "a.x" {
        return match &value {
            Value::Array(elements) => of_array(elements),
            value => Some(value.clone()),
        };
    }
    match value {
        // No element is an object in this test.
        Value::Array(_) => Some(Value::Null),
        value => match value.get("x") {
            Some(Value::Array(elements)) => of_array(elements),
            inner => Some(inner.cloned().unwrap_or_default()),
        },
    }
}

fn ids(docs: &[DynDoc]) -> Vec<String> {
    docs.iter().map(|doc| doc.id().to_string()).collect()
}

/// How often each way was taken, so that the test cannot pass by scanning.
#[derive(Debug, Default)]
struct Ways {
    scans: usize,
    ids: usize,
    indexes: usize,
    sorted_by_index: usize,
    ors: usize,
    fewer_keys: usize,
    pages: usize,
}

#[test]
fn every_plan_answers_what_a_scan_answers() {
    let mut ways = Ways::default();
    for seed in 0..CASES / QUERIES {
        let mut dice = Dice(seed as u64);
        let mut world = World::new(&mut dice);
        for _ in 0..QUERIES {
            let (filter, sort) = (dice.filter(2), dice.sort());
            let mut query = RawQuery {
                filter: Arc::new(parse_filter(&filter, &Schema::Any).unwrap()),
                sort: parse_sort(&sort, &Schema::Any).unwrap(),
                skip: 0,
                limit: None,
            };
            let context = || format!("seed {seed}: {filter} sorted {sort}");
            let all = world.expected(&query, &sort);
            assert_eq!(world.collection.count(&query.filter), all.len(), "count, {}", context());

            query.skip = if dice.one_in(2) { 0 } else { dice.below(6) };
            let most = if dice.one_in(3) { usize::MAX } else { dice.below(12) };
            let expected: Vec<String> = all.iter().skip(query.skip).take(most).cloned().collect();
            let found = world.collection.search(&query, most, None);
            let told = found.explain();
            let found = ids(&found.into_docs());
            assert_eq!(found, expected, "{} skip {} most {most}, by {told:?}", context(), query.skip);
            match told.plan {
                PlanKind::Scan => ways.scans += 1,
                PlanKind::Ids => ways.ids += 1,
                PlanKind::Index => ways.indexes += 1,
                PlanKind::Or => ways.ors += 1,
            }
            ways.sorted_by_index += usize::from(told.plan == PlanKind::Index && told.sorted && sort != json!({}));
            ways.fewer_keys += usize::from(told.documents_examined < world.documents.len() as u64);

            query.skip = 0;
            if !dice.one_in(5) {
                continue;
            }
            ways.pages += pages(&mut dice, &mut world, &query, &sort, &context);
        }
    }
    let least = [ways.scans, ways.ids, ways.indexes, ways.sorted_by_index, ways.ors, ways.fewer_keys, ways.pages];
    assert!(least.iter().all(|taken| *taken > CASES / 100), "{ways:?}");
}

/// Goes through a list page by page, sometimes with writes in between, and counts the pages.
fn pages(dice: &mut Dice, world: &mut World, query: &RawQuery, sort: &Value, context: &dyn Fn() -> String) -> usize {
    let size = 1 + dice.below(20);
    let writes = dice.one_in(2);
    let before: BTreeSet<String> = world.expected(query, sort).into_iter().collect();
    let mut touched: BTreeSet<String> = BTreeSet::new();
    let mut position: Option<Position> = None;
    let mut listed: Vec<String> = Vec::new();
    let mut pages = 0;
    loop {
        let page = world.collection.search(query, size, position.as_ref()).into_docs();
        pages += 1;
        if let Some(position) = &position {
            let rest: Vec<String> = world
                .expected(query, sort)
                .into_iter()
                .filter(|id| is_behind(&query.sort, sort, &world.documents[id], position))
                .take(size)
                .collect();
            assert_eq!(ids(&page), rest, "page {pages} of {size} behind {position:?}, {}", context());
        }
        let Some(last) = page.last() else { break };
        position = Some(query.sort.position(last));
        listed.extend(ids(&page));
        if writes {
            for _ in 0..dice.below(3) {
                touched.insert(world.write(dice));
            }
        }
        assert!(pages < 1_000, "no end, {}", context());
    }
    if touched.is_empty() {
        assert_eq!(listed, world.expected(query, sort), "pages of {size}, {}", context());
    }
    let stayed = |ids: &mut dyn Iterator<Item = String>| ids.filter(|id| !touched.contains(id)).collect::<Vec<_>>();
    let mut found = stayed(&mut listed.into_iter());
    found.sort_unstable();
    assert_eq!(found, stayed(&mut before.into_iter()), "what nobody touched, pages of {size}, {}", context());
    pages
}

/// By hand, from the values of the position.
fn is_behind(sort: &RawSort, json: &Value, (doc, document): &(DynDoc, Value), position: &Position) -> bool {
    let names = json.as_object().unwrap().keys();
    for ((name, (_, direction)), value) in names.zip(sort.keys()).zip(&position.values) {
        let reverse = *direction == Direction::Descending;
        let own = if name == "_id" { Some(json!(doc.id())) } else { sort_key(document, name, reverse) };
        let order = match (&own, value) {
            (Some(own), Some(value)) => own.as_value().compare(&value.as_value()),
            (own, value) => own.is_some().cmp(&value.is_some()),
        };
        match if reverse { order.reverse() } else { order } {
            Ordering::Less => return false,
            Ordering::Greater => return true,
            Ordering::Equal if name == "_id" => return false,
            Ordering::Equal => {}
        }
    }
    *doc.id() > position.id
}
