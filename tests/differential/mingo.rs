//! Random documents, filters and sorts, asked of the engine over HTTP and of mingo.
//!
//! Where the lists of a query differ, it is taken apart: into the single tests of the filter, each on each document, and
//! into the keys of the sort. A test that answers otherwise on a document needs an intended difference whose condition that
//! very test on that very document meets; and the whole has to follow from its parts. So an excuse cannot hide anything else.
//!
//! `MODELLER_MINGO` is the number of queries, `MODELLER_SEED` the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use modeller::prelude::*;
use modeller_tests::differences::Differences;
use modeller_tests::node::Node;
use modeller_tests::random::Random;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

/// How many documents stand beside each other, and how many queries are asked of them.
const DOCUMENTS: usize = 12;
const QUERIES: usize = 25;

#[model(id = "things", public)]
pub struct Thing {
    pub v: Value,
}

/// A test on a path: one operator, or `$regex` with its `$options`.
#[derive(Clone, Debug)]
struct Leaf {
    path: String,
    test: Value,
}

impl Leaf {
    fn to_json(&self) -> Value {
        json!({&*self.path: self.test})
    }
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf(Leaf),
    /// `$not` of several tests on one path.
    Not(Vec<Leaf>),
    /// Members that stand beside each other in one object.
    Beside(Vec<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Nor(Vec<Tree>),
}

impl Tree {
    fn to_json(&self) -> Value {
        let list = |members: &[Self]| members.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::Leaf(leaf) => leaf.to_json(),
            Self::Not(leaves) => {
                let tests = leaves.iter().filter_map(|leaf| leaf.test.as_object()).flatten();
                let tests: Map<_, _> = tests.map(|(name, operand)| (name.clone(), operand.clone())).collect();
                json!({&*leaves[0].path: {"$not": tests}})
            }
            Self::Beside(members) => {
                let parts = list(members);
                let members = parts.iter().filter_map(Value::as_object).flatten();
                members.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
            }
            Self::And(members) => json!({"$and": list(members)}),
            Self::Or(members) => json!({"$or": list(members)}),
            Self::Nor(members) => json!({"$nor": list(members)}),
        }
    }

    fn leaves<'a>(&'a self, all: &mut Vec<&'a Leaf>) {
        match self {
            Self::Leaf(leaf) => all.push(leaf),
            Self::Not(leaves) => all.extend(leaves),
            Self::Beside(members) | Self::And(members) | Self::Or(members) | Self::Nor(members) => {
                members.iter().for_each(|member| member.leaves(all));
            }
        }
    }

    /// What follows from what the leaves answer, which are given in the order of [`Tree::leaves`].
    fn holds(&self, answers: &mut dyn Iterator<Item = bool>) -> bool {
        // All leaves are asked, so that each takes its own answer.
        let mut all = |members: &[Self]| members.iter().map(|member| member.holds(answers)).collect::<Vec<_>>();
        match self {
            Self::Beside(members) | Self::And(members) => all(members).into_iter().all(|answer| answer),
            Self::Or(members) => all(members).into_iter().any(|answer| answer),
            Self::Nor(members) => !all(members).into_iter().any(|answer| answer),
            Self::Leaf(_) => answers.next().unwrap(),
            Self::Not(leaves) => !leaves.iter().map(|_| answers.next().unwrap()).fold(true, |all, one| all & one),
        }
    }
}

struct Generator(Random);

impl Generator {
    fn scalar(&mut self) -> Value {
        let common = [json!(0), json!(1), json!(2), json!("a"), json!("b"), json!("ab"), json!(null), json!(true)];
        let rare = [
            json!(-1),
            json!(5),
            json!(1.5),
            json!(-2.5),
            json!(3),
            json!(1.0),
            json!(9_007_199_254_740_991_u64),
            json!(4_294_967_296_u64),
            json!(2_147_483_648_u64),
            json!(1e300),
            json!(false),
            json!(""),
            json!("B"),
            json!("ba"),
            json!("1"),
            json!("é"),
            json!("\u{ff5e}"),
            json!("\u{1f600}"),
            json!("a\nb"),
        ];
        if self.0.one_in(3) { self.0.pick(&rare).clone() } else { self.0.pick(&common).clone() }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.0.below(if depth == 0 { 3 } else { 7 }) {
            0..=2 => self.scalar(),
            3 | 4 => (0..self.0.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.object(depth),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let mut object = Map::new();
        for _ in 0..self.0.below(4) {
            object.insert(self.name().to_owned(), self.value(depth - 1));
        }
        object.into()
    }

    /// A document as they are in practice: fields of one shape, lists of values or of objects.
    fn plain(&mut self) -> Value {
        let scalars = |this: &mut Self| (0..this.0.below(4)).map(|_| this.scalar()).collect::<Value>();
        let mut object = Map::new();
        for name in ["a", "b", "c"] {
            let value = match (name, self.0.below(6)) {
                (_, 0) => continue,
                ("a", _) => self.scalar(),
                ("b", 1 | 2) => scalars(self),
                ("b", _) => {
                    let element = |this: &mut Self| match this.0.below(3) {
                        0 => json!({"a": this.scalar(), "b": scalars(this)}),
                        1 => json!({"a": this.scalar(), "c": this.scalar()}),
                        _ => json!({"b": scalars(this)}),
                    };
                    (0..self.0.below(4)).map(|_| element(self)).collect()
                }
                _ => json!({"a": self.scalar(), "b": self.scalar()}),
            };
            object.insert(name.to_owned(), value);
        }
        object.into()
    }

    fn name(&mut self) -> &'static str {
        let names: &[&'static str] = if self.0.one_in(12) { &["0", "1"] } else { &["a", "b", "c"] };
        names[self.0.below(names.len())]
    }

    fn path(&mut self, start: &str, most: usize) -> String {
        let mut path = start.to_owned();
        for _ in 0..self.0.below(most + 1) {
            let name = if self.0.one_in(8) { "0" } else { self.name() };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        if path.is_empty() { self.name().to_owned() } else { path }
    }

    fn values(&mut self, least: usize) -> Vec<Value> {
        (0..least + self.0.below(3)).map(|_| self.value(1)).collect()
    }

    /// One operator with its operand, in an object.
    fn test(&mut self, depth: usize) -> Value {
        const PATTERNS: &[&str] =
            &["a", "^a", "b$", "", "^.$", "[ab]b?", "a.b", "^(a|b)+$", r"\d", r"^\w$", r"\W", "B", "^$", "^b$"];
        const TYPES: &[&str] = &["double", "string", "object", "array", "bool", "null", "int", "long", "number"];
        const COMPARISONS: &[&str] = &["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"];
        match self.0.below(16) {
            0..=5 => {
                let operand = if self.0.one_in(3) { self.value(2) } else { self.scalar() };
                json!({*self.0.pick(COMPARISONS): operand})
            }
            6 => json!({"$in": self.values(0)}),
            7 => json!({"$nin": self.values(0)}),
            8 => json!({"$exists": self.0.one_in(2)}),
            9 => match self.0.below(4) {
                0 => json!({"$type": [self.0.pick(TYPES), self.0.pick(TYPES)]}),
                1 => json!({"$type": self.0.pick(&[1, 2, 3, 4, 8, 10, 16, 18])}),
                _ => json!({"$type": self.0.pick(TYPES)}),
            },
            10 => {
                let pattern = *self.0.pick(PATTERNS);
                match self.0.below(2) {
                    0 => json!({"$regex": pattern}),
                    _ => json!({"$regex": pattern, "$options": self.0.pick(&["i", "m", "s", "im", "si", ""])}),
                }
            }
            11 => json!({"$mod": [self.0.pick(&[1, 2, 3, -2]), self.0.pick(&[0, 1, -1])]}),
            12 => json!({"$size": self.0.below(4)}),
            13 => match self.0.below(4) {
                0 if depth > 0 => {
                    let matches: Vec<_> = (0..1 + self.0.below(2)).map(|_| self.elem_match(depth - 1)).collect();
                    json!({"$all": matches})
                }
                _ => json!({"$all": self.values(0)}),
            },
            14 if depth > 0 => self.elem_match(depth - 1),
            _ => {
                let operator = *self.0.pick(&["$bitsAllSet", "$bitsAnySet", "$bitsAllClear", "$bitsAnyClear"]);
                let positions = [json!([0]), json!([0, 1]), json!([]), json!([2])];
                let mask = json!(self.0.below(6));
                json!({operator: if self.0.one_in(2) { mask } else { self.0.pick(&positions).clone() }})
            }
        }
    }

    fn elem_match(&mut self, depth: usize) -> Value {
        let operand = if self.0.one_in(2) {
            let mut tests = Map::new();
            for _ in 0..1 + self.0.below(2) {
                if let Value::Object(test) = self.test(depth) {
                    tests.extend(test);
                }
            }
            tests.into()
        } else {
            self.tree("", depth).to_json()
        };
        json!({"$elemMatch": operand})
    }

    fn leaf(&mut self, start: &str, depth: usize) -> Leaf {
        let path = self.path(start, 2);
        if self.0.one_in(5) {
            return Leaf { path, test: self.value(2) };
        }
        Leaf { path, test: self.test(depth) }
    }

    fn tree(&mut self, start: &str, depth: usize) -> Tree {
        let members = |this: &mut Self| (0..1 + this.0.below(2)).map(|_| this.tree(start, depth - 1)).collect();
        match self.0.below(if depth == 0 { 5 } else { 12 }) {
            0..=4 => Tree::Leaf(self.leaf(start, depth)),
            5 | 6 => {
                let first = Leaf { path: self.path(start, 2), test: self.test(depth) };
                let mut leaves = vec![first.clone()];
                let second = self.test(depth);
                let names = |test: &Value| test.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
                if self.0.one_in(3) && names(&second).is_disjoint(&names(&first.test)) {
                    leaves.push(Leaf { path: first.path, test: second });
                }
                Tree::Not(leaves)
            }
            7 | 8 => {
                let mut leaves: Vec<Leaf> = Vec::new();
                for _ in 0..2 {
                    let leaf = self.leaf(start, depth);
                    if leaves.iter().all(|other| other.path != leaf.path) {
                        leaves.push(leaf);
                    }
                }
                Tree::Beside(leaves.into_iter().map(Tree::Leaf).collect())
            }
            9 => Tree::And(members(self)),
            10 => Tree::Or(members(self)),
            _ => Tree::Nor(members(self)),
        }
    }

    fn query(&mut self) -> Query {
        let mut sort = Map::new();
        if self.0.one_in(2) {
            for _ in 0..1 + self.0.below(2) {
                sort.insert(self.path("v", 2), json!(if self.0.one_in(2) { 1 } else { -1 }));
            }
        }
        Query {
            tree: self.tree("v", 2),
            sort: (!sort.is_empty()).then_some(sort),
            skip: self.0.one_in(4).then(|| self.0.below(4)),
            limit: self.0.one_in(4).then(|| self.0.below(5)),
        }
    }
}

#[derive(Debug)]
struct Query {
    tree: Tree,
    sort: Option<Map<String, Value>>,
    skip: Option<usize>,
    limit: Option<usize>,
}

impl Query {
    fn to_json(&self) -> Value {
        let mut query = json!({"filter": self.tree.to_json()});
        for (name, value) in [
            ("sort", self.sort.clone().map(Value::Object)),
            ("skip", self.skip.map(Value::from)),
            ("limit", self.limit.map(Value::from)),
        ] {
            if let Some(value) = value {
                query[name] = value;
            }
        }
        query
    }
}

/// Both engines, with the same documents.
struct Both {
    router: Router,
    node: Node,
    /// Id and value, in the order of the ids.
    documents: Vec<(String, Value)>,
    differences: Differences,
    /// What is wrong, by what it is about.
    wrong: BTreeMap<String, Vec<String>>,
}

impl Both {
    /// The ids that are found; `None` where the sort is refused.
    async fn ours(&self, query: &Value) -> Option<Vec<String>> {
        let request = Request::post("/things/@query").header("content-type", "application/json");
        let request = request.body(Body::from(query.to_string())).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        if query.get("sort").is_some()
            && (&answer["code"], &answer["path"]) == (&json!("INVALID_QUERY"), &json!("sort"))
        {
            return None;
        }
        assert_eq!(status, 200, "{query}: {answer}");
        let items = answer["items"].as_array().unwrap();
        Some(items.iter().map(|item| item["_id"].as_str().unwrap().to_owned()).collect())
    }

    /// Whether a document that matches cannot be sorted.
    async fn is_refused(&self, query: &Query) -> bool {
        let Some(sort) = &query.sort else { return false };
        let found = self.ours(&json!({"filter": query.tree.to_json()})).await.unwrap();
        self.documents.iter().any(|(id, value)| has_two_arrays(sort, value) && found.contains(id))
    }

    fn theirs(&mut self, queries: &[Value]) -> Vec<Vec<String>> {
        let documents: Vec<_> = self.documents.iter().map(|(id, value)| json!({"_id": id, "v": value})).collect();
        let answers = self.node.ask(&json!({"documents": documents, "queries": queries}));
        serde_json::from_value(answers).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Looks into a query that is answered otherwise.
    async fn explain(&mut self, query: &Query, ours: &[String], seed: u64) {
        let mut wrong: Vec<(String, String)> = Vec::new();
        let filter = query.tree.to_json();
        let mut leaves = Vec::new();
        query.tree.leaves(&mut leaves);
        let mut parts: Vec<Value> = leaves.iter().map(|leaf| json!({"filter": leaf.to_json()})).collect();
        parts.push(json!({"filter": filter}));
        let can_be_sorted = self
            .documents
            .iter()
            .filter(|(_, value)| !query.sort.as_ref().is_some_and(|sort| has_two_arrays(sort, value)))
            .map(|(id, _)| id.clone());
        let sorted = json!({"filter": {"_id": {"$in": can_be_sorted.collect::<Vec<_>>()}}, "sort": query.sort});
        if query.sort.is_some() {
            parts.push(sorted.clone());
        }
        let theirs = self.theirs(&parts);
        let (mut of_leaves, mut whole, mut order) = (Vec::new(), Vec::new(), Vec::new());
        for (at, part) in parts.iter().enumerate() {
            let ours = self.ours(part).await.unwrap_or_else(|| panic!("{part} was refused (seed {seed})"));
            match at.cmp(&leaves.len()) {
                std::cmp::Ordering::Less => of_leaves.push(ours),
                std::cmp::Ordering::Equal => whole = ours,
                std::cmp::Ordering::Greater => order = ours,
            }
        }
        let documents = self.documents.clone();
        for (id, value) in &documents {
            let mut expected = Vec::new();
            for (at, leaf) in leaves.iter().enumerate() {
                let (our, their) = (of_leaves[at].contains(id), theirs[at].contains(id));
                if our != their {
                    match intended(&leaf.path, &leaf.test, &json!({"v": value})) {
                        Some(difference) => self.differences.take(difference),
                        None => wrong.push((
                            leaf.test.as_object().and_then(|test| test.keys().next()).cloned().unwrap_or_default(),
                            format!("{} on {value}: ours {our}, theirs {their}", leaf.to_json()),
                        )),
                    }
                }
                expected.push(our);
            }
            let follows = query.tree.holds(&mut expected.into_iter());
            if follows != whole.contains(id) {
                wrong.push(("whole".into(), format!("{filter} on {value} does not follow from its parts: {follows}")));
            }
            let same = leaves.iter().enumerate().all(|(at, _)| of_leaves[at].contains(id) == theirs[at].contains(id));
            if same && whole.contains(id) != theirs[leaves.len()].contains(id) {
                wrong.push(("whole".into(), format!("{filter} on {value}, whose parts are answered alike")));
            }
        }
        if let Some(sort) = &query.sort
            && order != theirs[leaves.len() + 1]
        {
            let difference = |value: &Value| {
                let document = json!({"v": value});
                sort.keys().find_map(|path| intended_in_sort(path, &document))
            };
            // Without those whose place is meant to be another one, the order has to be the same.
            for (_, value) in &self.documents {
                if let Some(difference) = difference(value) {
                    self.differences.take(difference);
                }
            }
            self.documents.retain(|(_, value)| difference(value).is_none());
            let theirs = self.theirs(std::slice::from_ref(&sorted)).remove(0);
            let ours: Vec<_> = order.iter().filter(|id| self.documents.iter().any(|(left, _)| left == *id)).collect();
            if !ours.iter().copied().eq(&theirs) {
                let value = |id: &String| &self.documents.iter().find(|(other, _)| other == id).unwrap().1;
                let ours: Vec<_> = ours.into_iter().map(value).collect();
                let theirs: Vec<_> = theirs.iter().map(value).collect();
                wrong.push(("sort".into(), format!("{}: ours {ours:?}, theirs {theirs:?}", sorted["sort"])));
            }
            self.documents.clone_from(&documents);
        }
        // The query itself, from its parts.
        let all = if query.sort.is_some() { order } else { documents.iter().map(|(id, _)| id.clone()).collect() };
        let limit = query.limit.filter(|limit| *limit != 0).unwrap_or(usize::MAX);
        let follows = all.into_iter().filter(|id| whole.contains(id)).skip(query.skip.unwrap_or(0)).take(limit);
        if !follows.eq(ours.iter().cloned()) {
            wrong.push(("whole".into(), format!("{} does not follow from its parts", query.to_json())));
        }
        if query.limit == Some(0) {
            self.differences.take("limit-zero");
        }
        for (about, text) in wrong {
            self.wrong.entry(about).or_default().push(format!("{text} (seed {seed})"));
        }
    }
}

/// What stands where a path leads, and what it met on its way.
#[derive(Default)]
struct Facts<'v> {
    /// Where it ends; arrays whole, `None` for what is missing.
    ends: Vec<Option<&'v Value>>,
    /// It went through the elements of an array.
    through: bool,
    /// One of those elements is an array itself.
    nested: bool,
    /// One of those elements has nothing under the name.
    missing: bool,
    /// It asked for a position that the array does not have.
    beyond: bool,
    /// A number on the way may be the position in an array or the name in its elements.
    number: bool,
}

impl<'v> Facts<'v> {
    fn of(path: &str, document: &'v Value) -> Self {
        let mut facts = Self::default();
        facts.walk(document, &path.split('.').collect::<Vec<_>>(), false);
        facts
    }

    fn walk(&mut self, value: &'v Value, rest: &[&str], inside: bool) {
        let Some((name, after)) = rest.split_first() else { return self.ends.push(Some(value)) };
        match value {
            Value::Object(object) => match object.get(*name) {
                Some(value) => self.walk(value, after, inside),
                None => self.miss(inside),
            },
            Value::Array(array) => match name.parse::<usize>() {
                Ok(at) => {
                    self.number |= array.iter().any(Value::is_object);
                    match array.get(at) {
                        Some(value) => self.walk(value, after, inside),
                        None => self.beyond = true,
                    }
                }
                Err(_) => {
                    self.through = true;
                    self.nested |= array.iter().any(Value::is_array);
                    array.iter().filter(|element| element.is_object()).for_each(|el| self.walk(el, rest, true));
                }
            },
            _ => self.miss(inside),
        }
    }

    fn miss(&mut self, inside: bool) {
        self.missing |= inside;
        self.ends.push(None);
    }

    fn arrays(&self) -> impl Iterator<Item = &'v Vec<Value>> {
        self.ends.iter().flatten().filter_map(|value| value.as_array())
    }

    /// The ends and, of arrays, the elements too.
    fn values(&self) -> impl Iterator<Item = &'v Value> {
        self.ends.iter().flatten().copied().chain(self.arrays().flatten())
    }
}

/// The ids of the intended differences.
const DIFFERENCES: &[&str] = &[
    "limit-zero",
    "number-as-name",
    "arrays-in-arrays",
    "missing-in-an-element",
    "position-behind-the-end",
    "bounds-of-null",
    "bounds-of-arrays",
    "order-of-objects",
    "order-of-strings",
    "arrays-of-elements",
    "elements-collected",
    "array-as-a-whole",
    "all-of-one-value",
    "type-of-elements",
    "type-of-numbers",
    "pattern-on-astral-characters",
    "mod-of-no-integer",
    "bits-of-no-integer",
    "elem-match-without-an-array",
    "elem-match-of-no-object",
    "elem-match-in-an-inner-array",
    "sort-by-an-array",
    "sort-by-two-arrays",
];

/// The intended difference whose condition a test meets on a document.
fn intended(path: &str, test: &Value, document: &Value) -> Option<&'static str> {
    let equal = json!({"$eq": test});
    let tests = test.as_object().filter(|test| test.keys().any(|name| name.starts_with('$')));
    tests.or(equal.as_object())?.iter().find_map(|(name, operand)| {
        if name == "$not" { intended(path, operand, document) } else { intended_of(path, name, operand, document) }
    })
}

fn intended_of(path: &str, name: &str, operand: &Value, document: &Value) -> Option<&'static str> {
    let facts = Facts::of(path, document);
    let operands = match (name, operand) {
        ("$in" | "$nin" | "$all", Value::Array(operands)) => operands.as_slice(),
        _ => std::slice::from_ref(operand),
    };
    let any_operand = |is: fn(&Value) -> bool| operands.iter().any(is);
    let any_value = |is: fn(&Value) -> bool| facts.values().any(is);
    let inner_array = facts.arrays().flatten().any(Value::is_array);
    let elements_are_arrays = facts.through && facts.arrays().next().is_some();
    // Where numbers stand on the way, or arrays in arrays, the two do not even look at the same values.
    let way = || match () {
        () if facts.number => Some("number-as-name"),
        () if facts.nested => Some("arrays-in-arrays"),
        () => None,
    };
    let null = || match () {
        () if !any_operand(Value::is_null) => None,
        () if facts.missing => Some("missing-in-an-element"),
        () if facts.beyond => Some("position-behind-the-end"),
        () => None,
    };
    let when = |holds: bool, difference: &'static str| holds.then_some(difference);
    way().or_else(|| match name {
        "$eq" | "$ne" => null()
            .or_else(|| when(inner_array, "arrays-in-arrays"))
            .or_else(|| when(facts.through && operand.is_array(), "elements-collected")),
        "$in" | "$nin" => null()
            .or_else(|| when(any_operand(Value::is_array) && any_value(Value::is_array), "array-as-a-whole"))
            .or_else(|| when(elements_are_arrays, "arrays-of-elements")),
        "$gt" | "$gte" | "$lt" | "$lte" => {
            when(operand.is_null() && name.ends_with('e') && facts.ends.contains(&None), "bounds-of-null")
                .or_else(|| when(operand.is_array(), "bounds-of-arrays"))
                .or_else(|| when(elements_are_arrays, "arrays-of-elements"))
                .or_else(|| when(operand.is_object() && any_value(Value::is_object), "order-of-objects"))
                .or_else(|| {
                    let one = is_astral(operand) && any_value(is_high);
                    when(one || (is_high(operand) && any_value(is_astral)), "order-of-strings")
                })
        }
        "$exists" | "$size" => when(facts.through, "elements-collected"),
        "$type" => when(facts.through || any_value(Value::is_array), "type-of-elements").or_else(|| {
            let of_number = |one: &Value| ["double", "int", "long"].contains(&one.as_str().unwrap_or_default());
            let named = operand.as_array().map_or_else(|| of_number(operand), |list| list.iter().any(of_number));
            let of_number = named || [1, 16, 18].iter().any(|number| operand == number);
            when(of_number && any_value(Value::is_number), "type-of-numbers")
        }),
        "$regex" => {
            when(inner_array, "arrays-in-arrays").or_else(|| when(any_value(is_astral), "pattern-on-astral-characters"))
        }
        "$mod" => when(any_value(|value| !is_integer(value)), "mod-of-no-integer")
            .or_else(|| when(facts.through && facts.ends.is_empty(), "elements-collected")),
        "$all" => null()
            .or_else(|| elements_differ(operands.iter().filter_map(|one| one.get("$elemMatch")), &facts))
            .or_else(|| when(any_operand(Value::is_array) && any_value(Value::is_array), "array-as-a-whole"))
            .or_else(|| when(elements_are_arrays, "arrays-of-elements"))
            .or_else(|| when(!facts.through && facts.ends.iter().any(|end| !is_array(*end)), "all-of-one-value")),
        "$elemMatch" => elements_differ(std::iter::once(operand), &facts),
        "$bitsAllSet" | "$bitsAnySet" | "$bitsAllClear" | "$bitsAnyClear" => {
            let other = facts.through || facts.beyond || facts.ends.contains(&None);
            when(other || any_value(|value| !is_integer(value)), "bits-of-no-integer")
        }
        _ => None,
    })
}

/// The difference that one of the tests on elements can make.
fn elements_differ<'o>(tests: impl Iterator<Item = &'o Value>, facts: &Facts<'_>) -> Option<&'static str> {
    tests.into_iter().find_map(|operand| {
        if facts.through {
            return Some("elem-match-without-an-array");
        }
        let of_values = operand
            .as_object()?
            .keys()
            .all(|name| name.starts_with('$') && !matches!(name.as_str(), "$and" | "$or" | "$nor"));
        facts.arrays().flatten().find_map(|element| match element {
            Value::Array(_) if of_values => Some("elem-match-in-an-inner-array"),
            element if of_values => intended("element", operand, &json!({"element": element})),
            Value::Object(_) => inside(operand, element),
            _ => Some("elem-match-of-no-object"),
        })
    })
}

/// The difference that one part of the filter can make.
fn inside(filter: &Value, document: &Value) -> Option<&'static str> {
    filter.as_object()?.iter().find_map(|(name, value)| match value.as_array() {
        Some(members) if name.starts_with('$') => members.iter().find_map(|member| inside(member, document)),
        _ => intended(name, value, document),
    })
}

fn is_array(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_array)
}

/// An integer that JavaScript's operators on bits see as it is.
fn is_integer(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < 2_147_483_648.0)
}

/// A text with characters that are two units of UTF-16.
fn is_astral(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.chars().any(|char| char > '\u{ffff}'))
}

/// A text with characters that UTF-16 sorts behind those.
fn is_high(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.chars().any(|char| ('\u{e000}'..='\u{ffff}').contains(&char)))
}

/// Whether two keys of the sort come to an array each.
fn has_two_arrays(sort: &Map<String, Value>, value: &Value) -> bool {
    let document = json!({"v": value});
    let paths: Vec<Vec<&str>> = sort.keys().map(|path| path.split('.').collect()).collect();
    come_to_two(paths.iter().map(|path| (&document, path.as_slice())).collect())
}

fn come_to_two(walks: Vec<(&Value, &[&str])>) -> bool {
    let at_an_array: Vec<(&Value, &[&str])> =
        walks.into_iter().filter_map(|(value, path)| arrived(value, path)).collect();
    let Some((array, _)) = at_an_array.first() else { return false };
    if at_an_array.iter().any(|(other, _)| !std::ptr::eq(*other, *array)) {
        return true;
    }
    let inner = |element: &'_ Value| -> bool {
        element.is_object() && come_to_two(at_an_array.iter().map(|(_, path)| (element, *path)).collect())
    };
    array.as_array().unwrap().iter().any(inner)
}

/// The first array that the path enters, and what is left of it there.
fn arrived<'v, 'p>(value: &'v Value, path: &'p [&'p str]) -> Option<(&'v Value, &'p [&'p str])> {
    match (value, path.split_first()) {
        (Value::Array(elements), next) => match next.and_then(|(name, rest)| Some((name.parse::<usize>().ok()?, rest)))
        {
            Some((at, rest)) if at < elements.len() && elements.iter().all(|one| one.get(path[0]).is_none()) => {
                arrived(&elements[at], rest)
            }
            _ => Some((value, path)),
        },
        (Value::Object(members), Some((name, rest))) => arrived(members.get(*name)?, rest),
        _ => None,
    }
}

/// The intended difference that makes the place of the document in the order another one.
fn intended_in_sort(path: &str, document: &Value) -> Option<&'static str> {
    let facts = Facts::of(path, document);
    let any = |is: fn(&Value) -> bool| facts.values().any(is);
    match () {
        () if facts.through || facts.number || facts.beyond || any(Value::is_array) => Some("sort-by-an-array"),
        () if any(Value::is_object) => Some("order-of-objects"),
        () if any(is_astral) => Some("order-of-strings"),
        () => None,
    }
}

#[tokio::test]
#[cfg_attr(not(has_mingo), ignore = "needs node and the npm package mingo in $MODELLER_NPM; .ci/run installs it")]
async fn c12_queries_as_in_mingo() {
    let queries = Random::seed("MODELLER_MINGO", 20_000);
    let first = Random::seed("MODELLER_SEED", 1);
    let app = App::new().model::<Thing>().in_memory().open().await.unwrap();
    let things = app.model::<Thing>();
    let mut both = Both {
        router: app.router(),
        node: Node::start("mingo.mjs"),
        documents: Vec::new(),
        differences: Differences::from("mingo", DIFFERENCES),
        wrong: BTreeMap::new(),
    };
    let (mut asked, mut other) = (0, 0);
    for seed in first.. {
        if asked >= queries {
            break;
        }
        let mut generator = Generator(Random::new(seed));
        things.delete_many(Filter::all()).await.unwrap();
        let values = (0..DOCUMENTS)
            .map(|_| Thing { v: if seed % 3 == 0 { generator.value(3) } else { generator.plain() } })
            .collect();
        let stored = things.insert_many(values).await.unwrap();
        both.documents = stored.iter().map(|doc| (doc.id().to_string(), doc.value().v)).collect();
        both.documents.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let batch: Vec<Query> = (0..QUERIES).map(|_| generator.query()).collect();
        let theirs = both.theirs(&batch.iter().map(Query::to_json).collect::<Vec<_>>());
        for (query, theirs) in batch.iter().zip(theirs) {
            asked += 1;
            let is_refused = both.is_refused(query).await;
            let Some(ours) = both.ours(&query.to_json()).await else {
                assert!(is_refused, "{} was refused (seed {seed})", query.to_json());
                both.differences.take("sort-by-two-arrays");
                continue;
            };
            assert!(!is_refused, "{} was not refused (seed {seed})", query.to_json());
            if ours != theirs {
                other += 1;
                both.explain(query, &ours, seed).await;
            }
        }
    }
    println!("{asked} queries, {other} answered otherwise\n{}", both.differences.report());
    let mut text = String::new();
    for (about, wrong) in &both.wrong {
        let _ = writeln!(text, "{about}: {} times, e.g.", wrong.len());
        for line in wrong.iter().take(12) {
            let _ = writeln!(text, "    {line}");
        }
    }
    assert!(both.wrong.is_empty(), "{text}");
}
