//! Which documents are looked at to answer a query, and in which order.
//!
//! A filter narrows the entries of an index by its tests on the fields of the index, one field after the other: by the values
//! that a test allows, and at last by a range. The filter is applied to what comes of it, unless the entries are proved to be
//! just the documents that match, so a plan can be wasteful, never wrong. Where no document holds an array in a field, all
//! tests on it narrow together; else only one, because each may be passed by another element.
//!
//! The order of an index is that of a sort where the sort goes by all fields of the index behind those that have one value,
//! and none of them holds an array. Then the walk ends with the last document that is wanted.

use std::ops::Bound;

use serde_json::{Map, Value};

use super::RawQuery;
use super::filter::{Compare, ElemMatch, Path, RawFilter, Test};
use super::sort::{Direction, Position, RawSort};
use crate::core::collection::Collection;
use crate::core::id::RawId;
use crate::core::index::{Course, Index, Member, Span};
use crate::core::key::{ABOVE, Key, kind, push_beginning, push_value};
use crate::core::private::Level;
use crate::core::value::AsValue;
use crate::wire::explanation::{Explanation, PlanKind};

/// How many entries are counted to choose between plans.
const COUNTED: usize = 1_000;
/// How many spans one plan walks.
const MAX_SPANS: usize = 10_000;

/// Where the documents come from.
pub(crate) enum Source<'a> {
    /// These ids.
    Ids(Vec<RawId>),
    /// All documents between these ids.
    Documents(Bound<RawId>, Bound<RawId>),
    /// Entries of an index.
    Index(IndexScan<'a>),
    /// What at least one of these finds.
    Any(Vec<Plan<'a>>),
}

/// The part of an index that is walked.
pub(crate) struct IndexScan<'a> {
    pub(crate) index: &'a Index,
    /// Rising, and apart from each other.
    pub(crate) spans: Vec<Span>,
    /// The form of the members at the front that have one value each.
    prefix: Vec<u8>,
    /// For each member behind them, the key of the sort that it is, where the walk is in the order of the sort.
    sorted: Vec<usize>,
    /// For each member that is narrowed, the tests that do it.
    used: Vec<Vec<&'a Test>>,
}

impl IndexScan<'_> {
    /// Where a walk in the order of the sort goes on behind a position.
    pub(crate) fn place(&self, position: &Position) -> (Key, RawId) {
        let mut bytes = self.prefix.clone();
        for key in &self.sorted {
            bytes.extend_from_slice(position.keys.get(*key).map(Vec::as_slice).unwrap_or_default());
        }
        (Key::of(&bytes), position.id.clone())
    }
}

/// A way to find the documents of a query.
pub(crate) struct Plan<'a> {
    pub(crate) source: Source<'a>,
    /// Whether they all match: the filter need not be applied.
    pub(crate) is_covered: bool,
    /// Tests that all of them pass, for those where the filter has to be applied.
    pub(crate) proved: Vec<&'a Test>,
    /// Whether one document may come several times.
    pub(crate) may_repeat: bool,
    /// How to walk so that they come in the order of the query; `None` where no walk does that.
    pub(crate) course: Option<Course>,
    /// How many there are, counted up to [`COUNTED`].
    count: usize,
}

/// A plan, and another one for when it takes too long.
pub(crate) struct Choice<'a> {
    pub(crate) plan: Plan<'a>,
    /// After so many documents the other one is taken.
    pub(crate) otherwise: Option<(usize, Plan<'a>)>,
}

/// One test that all documents pass.
#[derive(Clone, Copy)]
struct Clause<'a> {
    path: &'a Path,
    test: &'a Test,
}

/// What has to hold of a document that matches.
#[derive(Default)]
struct Clauses<'a> {
    tests: Vec<Clause<'a>>,
    alternatives: Vec<&'a [RawFilter]>,
    /// Whether there is more than these tests.
    has_more: bool,
}

impl<'a> Clauses<'a> {
    fn of(filter: &'a RawFilter) -> Self {
        let mut clauses = Self::default();
        clauses.add(filter);
        clauses
    }

    fn add(&mut self, filter: &'a RawFilter) {
        match filter {
            RawFilter::And { members, .. } => members.iter().for_each(|member| self.add(member)),
            RawFilter::Field(path, Test::All(tests)) => {
                self.tests.extend(tests.iter().map(|test| Clause { path, test }));
                self.has_more = true;
            }
            RawFilter::Field(path, test) => self.tests.push(Clause { path, test }),
            RawFilter::Or(members) => {
                self.alternatives.push(members);
                self.has_more = true;
            }
            RawFilter::Nor(_) => self.has_more = true,
        }
    }

    fn on(&self, name: &str, withheld: Option<Level>) -> impl Iterator<Item = (usize, &'a Test)> {
        let clauses = self.tests.iter().enumerate();
        let wanted = move |path: &Path| path.single() == Some(name) && path.leads_into(withheld);
        clauses.filter(move |(_, clause)| wanted(clause.path)).map(|(at, clause)| (at, clause.test))
    }
}

/// What a field can be where a test is passed, as the bytes of keys.
#[derive(Clone, Debug)]
enum Bounds {
    /// One of these; rising, each once.
    Points(Vec<Vec<u8>>),
    /// From the first up to and without the second.
    Between(Vec<u8>, Vec<u8>),
}

impl Bounds {
    /// The bounds that a test sets, and whether everything within them passes it. An array is not compared with keys: it has
    /// none of its own.
    fn of(test: &Test) -> Option<(Self, bool)> {
        let is_array = |value: &Value| value.is_array();
        match test {
            Test::Compare(Compare::Eq, value) if !is_array(value) => Some((Self::Points(vec![bytes(value)]), true)),
            Test::In { values, negated: false } if !values.iter().any(is_array) => {
                let mut points: Vec<Vec<u8>> = values.iter().map(bytes).collect();
                points.sort_unstable();
                points.dedup();
                Some((Self::Points(points), true))
            }
            Test::Compare(compare, value) if !is_array(value) => {
                // Sizes are compared within one kind.
                let (first, last) = kind(value.as_value().kind());
                let (at, above) = (bytes(value), [bytes(value), vec![ABOVE]].concat());
                let (low, high) = match compare {
                    Compare::Gt => (above, vec![last]),
                    Compare::Gte => (at, vec![last]),
                    Compare::Lt => (vec![first], at),
                    Compare::Lte => (vec![first], above),
                    Compare::Eq | Compare::Ne => return None,
                };
                Some((Self::Between(low, high), true))
            }
            Test::Regex(pattern) => {
                let mut low = Vec::new();
                push_beginning(&mut low, &pattern.beginning()?);
                let high = [low.as_slice(), &[ABOVE]].concat();
                Some((Self::Between(low, high), false))
            }
            // One element passes them all. One that is a list itself has one key, and none for its elements.
            Test::ElemMatch(ElemMatch::Tests(tests)) => tests
                .iter()
                .filter(|test| !matches!(test, Test::ElemMatch(_)))
                .filter_map(Self::of)
                .map(|(bounds, _)| bounds)
                .reduce(Self::and)
                .map(|bounds| (bounds, false)),
            _ => None,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Points(mut points), Self::Points(others)) => {
                points.retain(|point| others.binary_search(point).is_ok());
                Self::Points(points)
            }
            (Self::Points(mut points), Self::Between(low, high))
            | (Self::Between(low, high), Self::Points(mut points)) => {
                points.retain(|point| *point >= low && *point < high);
                Self::Points(points)
            }
            (Self::Between(low, high), Self::Between(other_low, other_high)) => {
                Self::Between(low.max(other_low), high.min(other_high))
            }
        }
    }

    /// How much it is expected to leave, for comparison only.
    fn width(&self) -> usize {
        match self {
            Self::Points(points) => points.len(),
            Self::Between(..) => usize::MAX,
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    push_value(&mut out, &value.as_value());
    out
}

/// A clause by its place, its test, and whether the bounds say all of it.
type Used<'a> = (usize, &'a Test, bool);

/// The bounds of a member of an index, and the clauses that they come from.
fn narrowed<'a>(clauses: &Clauses<'a>, member: &Member, has_arrays: bool) -> Option<(Bounds, Vec<Used<'a>>)> {
    let each = clauses
        .on(&member.name, member.withheld)
        .filter_map(|(at, test)| Bounds::of(test).map(|(bounds, exact)| (bounds, vec![(at, test, exact)])));
    if has_arrays {
        return each.min_by_key(|(bounds, _)| bounds.width());
    }
    each.reduce(|(bounds, mut from), (other, more)| {
        from.extend(more);
        (bounds.and(other), from)
    })
}

/// What is left of a sort: the places of the keys that count, and the direction of the ids.
fn remaining(sort: &RawSort, is_constant: impl Fn(&Path) -> bool) -> (Vec<usize>, Direction) {
    let mut places = Vec::new();
    for (at, (path, direction)) in sort.keys().iter().enumerate() {
        if path.single() == Some("_id") {
            return (places, *direction);
        }
        if !is_constant(path) {
            places.push(at);
        }
    }
    (places, Direction::Ascending)
}

fn is_reverse(direction: Direction) -> bool {
    direction == Direction::Descending
}

impl<'a> Plan<'a> {
    /// The plan that looks at the fewest documents, as far as that is cheap to know.
    pub(crate) fn choose(query: &'a RawQuery, wanted: usize, collection: &'a Collection) -> Choice<'a> {
        let alone = |plan| Choice { plan, otherwise: None };
        let mut plans = Self::all(&query.filter, Some(&query.sort), collection);
        // Nothing is looked at in vain.
        if let Some(at) = plans.iter().position(|plan| plan.course.is_some() && plan.is_covered) {
            return alone(plans.swap_remove(at));
        }
        plans.iter_mut().for_each(|plan| plan.count(collection));
        let fewest = |ordered: bool, plans: &[Self]| {
            let plans = plans.iter().enumerate().filter(|(_, plan)| plan.course.is_some() || !ordered);
            plans.min_by_key(|(_, plan)| (plan.count, plan.course.is_none())).map(|(at, plan)| (at, plan.count))
        };
        let Some((best, count)) = fewest(false, &plans) else { return alone(Self::everything()) };
        match fewest(true, &plans) {
            // In order, and no more of them.
            Some((ordered, least)) if least <= count => alone(plans.swap_remove(ordered)),
            // In order they may be found at once, or hardly ever; that is seen after as many as the other plan looks at.
            Some((ordered, _)) if wanted < count => {
                let otherwise = plans.swap_remove(best);
                // The last one took the place of the other.
                let ordered = if ordered == plans.len() { best } else { ordered };
                Choice { plan: plans.swap_remove(ordered), otherwise: Some((count, otherwise)) }
            }
            _ => alone(plans.swap_remove(best)),
        }
    }

    /// The plan that looks at the fewest documents, in whatever order.
    pub(crate) fn narrowest(filter: &'a RawFilter, collection: &'a Collection) -> Self {
        let mut plans = Self::all(filter, None, collection);
        if let Some(at) = plans.iter().position(|plan| plan.is_covered && !plan.may_repeat) {
            return plans.swap_remove(at);
        }
        plans.iter_mut().for_each(|plan| plan.count(collection));
        plans.into_iter().min_by_key(|plan| plan.count).unwrap_or_else(Self::everything)
    }

    fn everything() -> Self {
        Self {
            source: Source::Documents(Bound::Unbounded, Bound::Unbounded),
            is_covered: false,
            proved: Vec::new(),
            may_repeat: false,
            course: None,
            count: usize::MAX,
        }
    }

    /// All plans that narrow, or that are in the order of the sort, the most promising first; a scan is the last of them.
    fn all(filter: &'a RawFilter, sort: Option<&'a RawSort>, collection: &'a Collection) -> Vec<Self> {
        let clauses = Clauses::of(filter);
        let mut plans: Vec<Self> = Vec::new();
        let by_ids = sort.and_then(|sort| match remaining(sort, |_| false) {
            (places, direction) if places.is_empty() => {
                let reverse = is_reverse(direction);
                Some(Course { reverse, ids_reverse: reverse })
            }
            _ => None,
        });
        let (documents, is_covered) = by_id(&clauses);
        let is_narrow = matches!(documents, Source::Ids(_));
        let proved = Vec::new();
        let documents = Self { source: documents, is_covered, proved, may_repeat: false, course: by_ids, count: 0 };
        if is_narrow {
            return vec![documents];
        }
        plans.extend(collection.indexes().iter().filter_map(|index| Self::of_index(index, &clauses, sort)));
        for members in &clauses.alternatives {
            // Each on its own has to narrow, else all documents are looked at anyway.
            let each: Option<Vec<Self>> = members
                .iter()
                .map(|member| {
                    let plan = Self::narrowest(member, collection);
                    (!plan.is_everything()).then_some(plan)
                })
                .collect();
            if let Some(each) = each {
                let source = Source::Any(each);
                let proved = Vec::new();
                plans.push(Self { source, is_covered: false, proved, may_repeat: true, course: None, count: 0 });
            }
        }
        plans.push(documents);
        plans
    }

    fn is_everything(&self) -> bool {
        matches!(self.source, Source::Documents(Bound::Unbounded, Bound::Unbounded))
    }

    fn of_index(index: &'a Index, clauses: &Clauses<'a>, sort: Option<&RawSort>) -> Option<Self> {
        let members = index.members();
        let mut begun: Vec<Vec<u8>> = vec![Vec::new()];
        let mut spans: Option<Vec<Span>> = None;
        let mut fixed = 0;
        let mut used: Vec<Vec<&Test>> = Vec::new();
        let mut covered: Vec<usize> = Vec::new();
        for (at, member) in members.iter().enumerate() {
            let Some((bounds, from)) = narrowed(clauses, member, index.has_arrays(at)) else { break };
            match bounds {
                Bounds::Points(points) => {
                    if begun.len().saturating_mul(points.len()) > MAX_SPANS {
                        break;
                    }
                    if fixed == at && points.len() == 1 {
                        fixed += 1;
                    }
                    begun = begun
                        .iter()
                        .flat_map(|begun| points.iter().map(move |point| [begun.as_slice(), point].concat()))
                        .collect();
                }
                Bounds::Between(low, high) => {
                    let at = |begun: &Vec<u8>, end: &[u8]| Key::of(&[begun.as_slice(), end].concat());
                    spans = Some(begun.iter().map(|begun| Span::Between(at(begun, &low), at(begun, &high))).collect());
                }
            }
            used.push(from.iter().map(|(_, test, _)| *test).collect());
            covered.extend(from.iter().filter(|(_, _, exact)| *exact).map(|(at, ..)| *at));
            if spans.is_some() {
                break;
            }
        }
        let is_whole = used.len() == members.len();
        let spans = spans.unwrap_or_else(|| {
            let span = |begun: &Vec<u8>| if is_whole { Span::Point(Key::of(begun)) } else { Span::beginning(begun) };
            begun.iter().map(span).collect()
        });
        // Under one value of an array a document stands once, under several perhaps more often.
        let may_repeat = (fixed..members.len()).any(|member| index.has_arrays(member));
        let order = sort.filter(|_| !may_repeat).and_then(|sort| in_order(index, fixed, sort));
        if used.is_empty() && order.is_none() {
            return None;
        }
        let (course, sorted) = order.map_or((None, Vec::new()), |(course, sorted)| (Some(course), sorted));
        let prefix = if fixed == 0 { Vec::new() } else { prefix(clauses, index, fixed) };
        covered.sort_unstable();
        covered.dedup();
        let is_covered = !clauses.has_more && covered.len() == clauses.tests.len();
        let proved = covered.iter().filter_map(|at| clauses.tests.get(*at)).map(|clause| clause.test).collect();
        let source = Source::Index(IndexScan { index, spans, prefix, sorted, used });
        Some(Self { source, is_covered, proved, may_repeat, course, count: 0 })
    }

    /// Counts what there is to look at.
    fn count(&mut self, collection: &Collection) {
        self.count = match &mut self.source {
            Source::Ids(ids) => ids.len(),
            Source::Documents(Bound::Unbounded, Bound::Unbounded) => collection.len(),
            Source::Documents(low, high) => collection.between(low, high, false).take(COUNTED).count(),
            Source::Index(scan) if scan.used.is_empty() => collection.len(),
            Source::Index(scan) => {
                let mut count = 0;
                for span in &scan.spans {
                    count += scan.index.count(span, COUNTED - count);
                    if count >= COUNTED {
                        break;
                    }
                }
                count
            }
            Source::Any(plans) => plans
                .iter_mut()
                .map(|plan| {
                    plan.count(collection);
                    plan.count
                })
                .fold(0, usize::saturating_add),
        };
    }

    /// What the plan is, for people.
    pub(crate) fn explain(&self, is_sorted: bool) -> Explanation {
        let mut told = Explanation::of(PlanKind::Scan);
        match &self.source {
            Source::Ids(ids) => {
                told.plan = PlanKind::Ids;
                told.bounds =
                    Some(one("_id", one("$in", ids.iter().map(ToString::to_string).collect::<Vec<_>>().into())));
            }
            Source::Documents(Bound::Unbounded, Bound::Unbounded) => {}
            Source::Documents(low, high) => {
                told.plan = PlanKind::Ids;
                let mut range = Map::new();
                for (bound, names) in [(low, ["$gte", "$gt"]), (high, ["$lte", "$lt"])] {
                    let (name, id) = match bound {
                        Bound::Included(id) => (names[0], id),
                        Bound::Excluded(id) => (names[1], id),
                        Bound::Unbounded => continue,
                    };
                    range.insert(name.to_owned(), id.to_string().into());
                }
                told.bounds = Some(one("_id", Value::Object(range)));
            }
            Source::Index(scan) => {
                told.plan = PlanKind::Index;
                told.index = Some(scan.index.names());
                let bounds = scan.index.members().iter().zip(&scan.used).map(|(member, tests)| {
                    let mut operators = Map::new();
                    for (operator, operand) in tests.iter().flat_map(|test| test.operators()) {
                        // Of two with one name the first is shown.
                        operators.entry(operator).or_insert(operand);
                    }
                    (member.name.to_string(), Value::Object(operators))
                });
                told.bounds = Some(Value::Object(bounds.collect()));
            }
            Source::Any(plans) => {
                told.plan = PlanKind::Or;
                told.parts = plans.iter().map(|plan| plan.explain(false)).collect();
            }
        }
        told.sorted = is_sorted;
        told
    }
}

fn one(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// The form of the members at the front, each of which has one value.
fn prefix(clauses: &Clauses<'_>, index: &Index, fixed: usize) -> Vec<u8> {
    let points = index.members().iter().enumerate().take(fixed).map(|(at, member)| {
        match narrowed(clauses, member, index.has_arrays(at)) {
            Some((Bounds::Points(mut points), _)) => points.pop().unwrap_or_default(),
            _ => Vec::new(),
        }
    });
    points.collect::<Vec<_>>().concat()
}

/// How an index is walked so that the documents come in the order of the sort, and which of its keys each member is behind
/// those that have one value.
fn in_order(index: &Index, fixed: usize, sort: &RawSort) -> Option<(Course, Vec<usize>)> {
    let members = index.members();
    let leads_to =
        |path: &Path, member: &Member| path.single() == Some(&*member.name) && path.leads_into(member.withheld);
    let is_constant = |path: &Path| {
        members.iter().take(fixed).enumerate().any(|(at, member)| leads_to(path, member) && !index.has_arrays(at))
    };
    let (places, ids) = remaining(sort, is_constant);
    let rest = members.get(fixed..)?;
    if places.len() != rest.len() {
        return None;
    }
    let mut reverse = None;
    for (place, member) in places.iter().zip(rest) {
        let (path, direction) = sort.keys().get(*place)?;
        if !leads_to(path, member) || *reverse.get_or_insert(*direction) != *direction {
            return None;
        }
    }
    let ids_reverse = is_reverse(ids);
    Some((Course { reverse: reverse.map_or(ids_reverse, is_reverse), ids_reverse }, places))
}

/// The documents that the tests on `_id` leave, and whether there are no other tests.
fn by_id<'a>(clauses: &Clauses<'a>) -> (Source<'a>, bool) {
    let mut points: Option<Vec<RawId>> = None;
    let (mut low, mut high) = (Bound::Unbounded, Bound::Unbounded);
    let mut covered = 0;
    for (_, test) in clauses.on("_id", None) {
        let ids = |values: &[Value]| {
            // A text that cannot be an id is the id of no document.
            let mut ids: Vec<RawId> =
                values.iter().filter_map(Value::as_str).filter_map(|text| RawId::parse(text).ok()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let found = match test {
            Test::Compare(Compare::Eq, value) => ids(std::slice::from_ref(value)),
            Test::In { values, negated: false } => ids(values),
            Test::Compare(Compare::Ne, _) => continue,
            Test::Compare(compare, value) => {
                covered += 1;
                match value.as_str().map(RawId::of_any_text) {
                    // Sizes are compared within one kind, and all ids are texts.
                    None => Vec::new(),
                    Some(id) => {
                        match compare {
                            Compare::Gt => low = tighter(low, Bound::Excluded(id), false),
                            Compare::Gte => low = tighter(low, Bound::Included(id), false),
                            Compare::Lt => high = tighter(high, Bound::Excluded(id), true),
                            _ => high = tighter(high, Bound::Included(id), true),
                        }
                        continue;
                    }
                }
            }
            _ => continue,
        };
        if !matches!(test, Test::Compare(Compare::Gt | Compare::Gte | Compare::Lt | Compare::Lte, _)) {
            covered += 1;
        }
        points = Some(match points {
            None => found,
            Some(points) => points.into_iter().filter(|id| found.binary_search(id).is_ok()).collect(),
        });
    }
    let is_covered = !clauses.has_more && covered == clauses.tests.len();
    match points {
        Some(mut points) => {
            let within = (low, high);
            points.retain(|id| std::ops::RangeBounds::contains(&within, id));
            (Source::Ids(points), is_covered)
        }
        None => (Source::Documents(low, high), is_covered),
    }
}

/// The one of two bounds of one side that leaves less.
pub(crate) fn tighter(a: Bound<RawId>, b: Bound<RawId>, is_high: bool) -> Bound<RawId> {
    let first = match (&a, &b) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Included(of_a) | Bound::Excluded(of_a), Bound::Included(of_b) | Bound::Excluded(of_b)) => {
            match of_a.cmp(of_b) {
                std::cmp::Ordering::Equal => matches!(a, Bound::Excluded(_)),
                order => order.is_lt() == is_high,
            }
        }
    };
    if first { a } else { b }
}
