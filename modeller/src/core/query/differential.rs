//! Whatever plan answers a query, the answer is that of a scan, a filter and a sort by hand.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::RawQuery;
use super::parse::{Schema, parse_filter, parse_sort};
use super::sort::Position;
use crate::core::collection::Collection;
use crate::core::document::{AnyValue, DocView, DynDoc};
use crate::core::id::RawId;
use crate::core::index::{Index, Member};
use crate::core::key::{push_empty, push_value};
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

/// SplitMix64: the same cases in every run; and how many ids there are.
struct Dice(u64, usize);

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
        let element = |dice: &mut Self| match dice.below(8) {
            0 => json!([dice.scalar()]),
            1 | 2 => json!({"x": dice.scalar()}),
            _ => dice.scalar(),
        };
        (0..self.below(4)).map(|_| element(self)).collect()
    }

    fn id(&mut self) -> String {
        format!("{:02}", self.below(self.1))
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
            8 if self.one_in(2) => json!({"$gte": self.scalar(), "$lt": self.scalar()}),
            8 => {
                let some = |dice: &mut Self| (0..4).map(|_| dice.scalar()).collect::<Value>();
                let (points, more) = (some(self), some(self));
                self.pick(&[
                    json!({"$in": points, "$eq": more[0]}),
                    json!({"$in": points, "$gte": more[0]}),
                    json!({"$in": points, "$not": {"$nin": more}}),
                    json!({"$eq": points[0], "$in": more}),
                ])
            }
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
            13 => json!({"$regex": self.pick(&["^a", "^ab", "^ab?", "^a$", "^ab+c", "b", "^a|b"])}),
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

    /// A query that an index was made for: some of its fields are given, and the others are sorted by.
    fn made_for_an_index(&mut self) -> (Value, Value) {
        let (names, _) = self.pick(&INDEXES);
        let given = self.below(names.len() + 1);
        let filter = names.iter().take(given).map(|name| {
            let test = if self.one_in(4) { self.test() } else { json!({"$eq": self.scalar()}) };
            ((*name).to_owned(), test)
        });
        let filter: Map<String, Value> = filter.collect();
        let direction = self.pick(&[1, -1]);
        // A field that is given does not count, wherever it stands in the sort.
        let from = if self.one_in(2) { 0 } else { given };
        let mut names: Vec<&str> = names.iter().skip(from).copied().collect();
        if self.one_in(2) && !names.is_empty() {
            let last = names.len() - 1;
            names.swap(0, last);
        }
        let sort: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), direction.into())).collect();
        (filter.into(), sort.into())
    }

    fn indexes(&mut self) -> Vec<Index> {
        let chosen: Vec<_> = INDEXES.into_iter().filter(|_| self.one_in(3)).collect();
        let member = |name: &&str| Member { name: (*name).into(), withheld: None };
        let beside: Option<Arc<str>> = (!self.one_in(3)).then(|| self.pick(&FIELDS).into());
        let index = |(names, unique): (&[&str], bool)| Index::new(names.iter().map(member).collect(), unique);
        chosen.into_iter().map(|chosen| index(chosen).with_numbers_of(beside.clone())).collect()
    }
}

/// Those that there may be, and whether they are unique.
const INDEXES: [(&[&str], bool); 8] = [
    (&["a"], false),
    (&["b"], false),
    (&["c"], true),
    (&["a", "b"], false),
    (&["b", "a", "c"], false),
    (&["a", "d"], true),
    (&["d", "b"], false),
    (&["d"], false),
];

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
        for _ in 0..dice.below(dice.1) {
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
                self.collection.put(&doc);
                self.documents.insert(id.clone(), (doc, Value::Object(document)));
            }
        }
        id
    }

    /// The answer by hand; `None` where it is an error.
    fn expected(&self, query: &RawQuery, sort: &Value) -> Option<Vec<String>> {
        let found = self.documents.iter().filter(|(_, (doc, _))| query.filter.matches(&DocView(doc.as_ref())));
        let mut found = found
            .map(|(id, (_, document))| Some((sort_keys(id, document, sort)?, id.clone())))
            .collect::<Option<Vec<_>>>()?;
        // Stable, and they come in the order of their ids.
        found.sort_by(|(a, _), (b, _)| order(a, b, sort));
        Some(found.into_iter().map(|(_, id)| id).collect())
    }
}

/// The keys of a sort that count.
fn until_the_id(sort: &Value) -> Value {
    let sort = sort.as_object().unwrap();
    let behind = sort.keys().position(|name| name == "_id").map_or(sort.len(), |at| at + 1);
    sort.iter().take(behind).map(|(name, direction)| (name.clone(), direction.clone())).collect::<Map<_, _>>().into()
}

/// What a document is sorted by, one for each key; `None` is an empty array.
type Keys = Vec<Option<Value>>;

/// The order of two documents by their keys alone.
fn order(a: &Keys, b: &Keys, sort: &Value) -> Ordering {
    let directions = sort.as_object().unwrap().values();
    let each = directions.zip(a.iter().zip(b)).map(|(direction, (a, b))| {
        let order = match (a, b) {
            (Some(a), Some(b)) => a.as_value().compare(&b.as_value()),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        if *direction == json!(-1) { order.reverse() } else { order }
    });
    each.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The first in the order of the sort of what the one array that the keys go through leaves of them; `None` when there are two.
fn sort_keys(id: &str, document: &Value, sort: &Value) -> Option<Keys> {
    let null = Value::Null;
    let names: Vec<&str> = sort.as_object().unwrap().keys().map(String::as_str).collect();
    let value = |path: &str| path.split('.').try_fold(document, |at, name| at.get(name)).unwrap_or(&null);
    let array_of = |name: &str| {
        let ways: &[&str] = if name == "a.x" { &["a", "a.x"] } else { &[name] };
        ways.iter().find(|way| value(way).is_array()).map(|way| (*way).to_owned())
    };
    let arrays: BTreeSet<String> = names.iter().filter_map(|name| array_of(name)).collect();
    let plain = |name: &str| if name == "_id" { json!(id) } else { value(name).clone() };
    let Some(array) = arrays.first() else { return Some(names.iter().map(|name| Some(plain(name))).collect()) };
    if arrays.len() > 1 {
        return None;
    }
    let elements = value(array).as_array().unwrap();
    let of_element = |name: &str, element: Option<&Value>| match (array_of(name), element) {
        (None, _) => Some(plain(name)),
        (Some(way), element) if way == name => element.cloned(),
        // No element of an array has another array as its `x`.
        (Some(_), element) => Some(element.and_then(|element| element.get("x")).cloned().unwrap_or_default()),
    };
    let keys = |element: Option<&Value>| names.iter().map(|name| of_element(name, element)).collect::<Keys>();
    match elements.as_slice() {
        [] => Some(keys(None)),
        elements => elements.iter().map(|element| keys(Some(element))).min_by(|a, b| order(a, b, sort)),
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
    refused: usize,
    pages: usize,
}

#[test]
fn every_plan_answers_what_a_scan_answers() {
    let mut ways = Ways::default();
    for seed in 0..CASES / QUERIES {
        // Some with so many documents that not all of them are kept to be sorted.
        let mut dice = Dice(seed as u64, if seed % 20 == 0 { 400 } else { 40 });
        let mut world = World::new(&mut dice);
        for _ in 0..QUERIES {
            let (filter, sort) = if dice.one_in(4) { dice.made_for_an_index() } else { (dice.filter(2), dice.sort()) };
            let mut query = RawQuery::of(Arc::new(parse_filter(&filter, &Schema::Any).unwrap()));
            query.sort = parse_sort(&sort, &Schema::Any).unwrap();
            let sort = until_the_id(&sort);
            let context = || format!("seed {seed}: {filter} sorted {sort}");
            let Some(all) = world.expected(&query, &sort) else {
                let error = world.collection.search(&query, 1, None).map(|found| ids(&found.into_docs())).unwrap_err();
                assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!("sort"))));
                ways.refused += 1;
                continue;
            };
            assert_eq!(world.collection.count(&query.filter), all.len(), "count, {}", context());

            query.skip = if dice.one_in(2) { 0 } else { dice.below(6) };
            let most = if dice.one_in(3) { usize::MAX } else { dice.below(12) };
            let expected: Vec<String> = all.iter().skip(query.skip).take(most).cloned().collect();
            let found =
                world.collection.search(&query, most, None).unwrap_or_else(|error| panic!("{error}, {}", context()));
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
    assert!(least.iter().all(|taken| *taken > CASES / 100) && ways.refused > CASES / 1_000, "{ways:?}");
}

/// Lists of which nearly nothing is kept, by an index that has the numbers that they are sorted by beside its documents.
#[test]
fn the_first_of_many_are_those_of_a_scan() {
    let mut found_by_index = 0;
    for seed in 0..30 {
        let mut dice = Dice(seed, 800);
        let member = Member { name: "a".into(), withheld: None };
        let index = Index::new(vec![member], false).with_numbers_of(Some("b".into()));
        let (collection, documents) = (Collection::with(vec![index]), BTreeMap::new());
        let mut world = World { collection, documents, arrays: vec![false; FIELDS.len()] };
        let wide = dice.pick(&[3, 100, 100_000]);
        let number = |dice: &mut Dice| json!(i64::try_from(dice.below(wide)).unwrap() - 10);
        for _ in 0..600 {
            let id = dice.id();
            let b = if dice.one_in(30) { dice.value(seed % 3 == 0) } else { number(&mut dice) };
            let document = json!({"a": dice.pick(&[1, 1, 1, 2]), "b": b});
            let doc = Box::new(Free(document.as_object().unwrap().clone())).into_doc(RawId::parse(&id).unwrap(), 1);
            world.collection.put(&doc);
            world.documents.insert(id, (doc, document));
        }
        for _ in 0..30 {
            let b = [number(&mut dice), number(&mut dice)];
            let filter = dice.pick(&[
                json!({"a": 1}),
                json!({"a": 1, "b": {"$gte": b[0]}}),
                json!({"a": 1, "b": {"$lt": b[0]}}),
                json!({"a": {"$in": [1, 2]}, "b": {"$gt": b[0], "$lte": b[1]}}),
                json!({"a": 1, "b": {"$ne": b[0]}}),
                json!({"a": 1, "$or": [{"b": b[0]}, {"b": {"$gt": b[1]}}]}),
            ]);
            let sort = json!({"b": dice.pick(&[1, -1])});
            let mut query = RawQuery::of(Arc::new(parse_filter(&filter, &Schema::Any).unwrap()));
            query.sort = parse_sort(&sort, &Schema::Any).unwrap();
            let context = || format!("seed {seed}: {filter} sorted {sort}");
            let all = world.expected(&query, &sort).unwrap();
            assert_eq!(world.collection.count(&query.filter), all.len(), "count, {}", context());
            let (skip, most) = (dice.below(4), dice.below(12));
            query.skip = skip;
            let found = world.collection.search(&query, most, None).unwrap();
            let told = found.explain();
            found_by_index += usize::from(most > 0 && told.plan == PlanKind::Index && !told.sorted);
            // Each document of the key is counted, also one of which no more than its number is looked at.
            let of_key = world.documents.values().filter(|(_, document)| document["a"] == 1).count() as u64;
            let is_of_key = filter["a"] == 1 && most > 0;
            assert!(!is_of_key || told.documents_examined == of_key, "{told:?}, {}", context());
            let expected: Vec<String> = all.into_iter().skip(skip).take(most).collect();
            assert_eq!(ids(&found.into_docs()), expected, "skip {skip} most {most}, {}", context());
            query.skip = 0;
            if dice.one_in(30) {
                pages(&mut dice, &mut world, &query, &sort, &context);
            }
        }
    }
    assert!(found_by_index > 500, "{found_by_index}");
}

/// Goes through a list page by page, sometimes with writes in between, and counts the pages.
fn pages(dice: &mut Dice, world: &mut World, query: &RawQuery, sort: &Value, context: &dyn Fn() -> String) -> usize {
    let size = 1 + dice.below(20);
    let writes = dice.one_in(2);
    let before: BTreeSet<String> = world.expected(query, sort).unwrap().into_iter().collect();
    let mut touched: BTreeSet<String> = BTreeSet::new();
    let mut place: Option<(Keys, String)> = None;
    let mut listed: Vec<String> = Vec::new();
    let mut pages = 0;
    // A write can bring a document that cannot be sorted.
    while let Some(all) = world.expected(query, sort) {
        let behind = place.as_ref().map(|(keys, id)| position(keys, id));
        let page = world.collection.search(query, size, behind.as_ref()).unwrap().into_docs();
        pages += 1;
        if let Some((keys, id)) = &place {
            let is_behind = |other: &String| {
                let own = sort_keys(other, &world.documents[other].1, sort).unwrap();
                let order = order(&own, keys, sort);
                order.is_gt() || (order.is_eq() && other > id)
            };
            let rest: Vec<String> = all.into_iter().filter(is_behind).take(size).collect();
            assert_eq!(ids(&page), rest, "page {pages} of {size} behind {place:?}, {}", context());
        }
        let Some(last) = page.last() else { break };
        let id = last.id().to_string();
        let keys = sort_keys(&id, &world.documents[&id].1, sort).unwrap();
        assert_eq!(query.sort.position(last).unwrap(), position(&keys, &id));
        place = Some((keys, id));
        listed.extend(ids(&page));
        if writes {
            for _ in 0..dice.below(3) {
                touched.insert(world.write(dice));
            }
        }
        assert!(pages < 1_000, "no end, {}", context());
    }
    let Some(all) = world.expected(query, sort) else { return pages };
    if touched.is_empty() {
        assert_eq!(listed, all, "pages of {size}, {}", context());
    }
    let stayed = |ids: &mut dyn Iterator<Item = String>| ids.filter(|id| !touched.contains(id)).collect::<Vec<_>>();
    let mut found = stayed(&mut listed.into_iter());
    found.sort_unstable();
    assert_eq!(found, stayed(&mut before.into_iter()), "what nobody touched, pages of {size}, {}", context());
    pages
}

fn position(keys: &[Option<Value>], id: &str) -> Position {
    let bytes = |key: &Option<Value>| {
        let mut bytes = Vec::new();
        match key {
            Some(value) => push_value(&mut bytes, &value.as_value()),
            None => push_empty(&mut bytes),
        }
        bytes
    };
    Position { keys: keys.iter().map(bytes).collect(), id: RawId::parse(id).unwrap() }
}
