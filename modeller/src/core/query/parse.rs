//! From MongoDB syntax to the tree of a query, and from the parameters of a request to a [`RawQuery`].
//!
//! What comes from outside is bounded here: depth, number of clauses, lengths of lists. Whatever is malformed is
//! `INVALID_QUERY` with the path and the reason; nothing is ignored, and `null` is not "everything".

use std::sync::Arc;

use serde_json::{Map, Value};

use super::RawQuery;
use super::filter::{Compare, ElemMatch, Path, RawFilter, Test, position};
use super::operator::{Bits, BitsTest, Modulo, Pattern, Types, whole};
use super::sort::{Direction, RawSort};
use crate::core::private::Audience;
use crate::core::schema::ModelSchema;
use crate::error::{Error, Result};

/// How deep logical operators and `$not` may be nested.
const MAX_DEPTH: usize = 32;
/// How many tests one filter may have.
const MAX_CLAUSES: usize = 1_000;
/// How many patterns one filter may have: each takes memory for as long as the filter lives.
const MAX_PATTERNS: usize = 16;
/// How many operands `$in`, `$nin` and `$all` may have.
const MAX_LIST: usize = 10_000;
/// How many names a dotted path may have.
const MAX_PATH: usize = 32;
/// How many of them may be numbers. Each leads into an array by position and into its elements by name, so each can double
/// the ways through a document.
const MAX_POSITIONS: usize = 8;
/// How many keys a sort may have.
const MAX_SORT: usize = 16;
/// How many documents may be passed over.
const MAX_SKIP: u64 = 10_000_000;

/// The operators that join filters.
const LOGICAL: [&str; 3] = ["$and", "$or", "$nor"];

/// All operators of filters.
pub(crate) const OPERATORS: &[&str] = &[
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$and",
    "$or",
    "$nor",
    "$not",
    "$exists",
    "$type",
    "$regex",
    "$options",
    "$mod",
    "$size",
    "$all",
    "$elemMatch",
    "$bitsAllSet",
    "$bitsAnySet",
    "$bitsAllClear",
    "$bitsAnyClear",
];

/// Which names a query may use.
pub(crate) enum Schema<'a> {
    /// Any: the query was written in the program.
    Any,
    /// The fields of the model that are visible from outside.
    Visible(&'a ModelSchema, Audience),
}

impl Schema<'_> {
    /// The path as it may be followed. Refuses a name that is not there; a private field is not there.
    pub(crate) fn check(&self, path: Path) -> Result<Path> {
        let Self::Visible(model, by) = self else { return Ok(path) };
        let name = path.head();
        if name == "_id" || name == "_rev" || model.field(name).is_some_and(|field| !field.is_withheld(*by)) {
            // A private value further down is not there for such a path.
            return Ok(path.by(*by));
        }
        if model.is_open_object(*by) {
            // Some document may have it. A private one is not there, as one that no document has.
            return Ok(path.by(*by));
        }
        let visible = model.fields.iter().filter(|field| !field.is_withheld(*by)).map(|field| field.name.as_ref());
        let reason = match nearest(name, visible) {
            Some(near) => format!("`{}` has no such field; did you mean `{near}`?", model.id),
            None => format!("`{}` has no such field", model.id),
        };
        Err(Error::query(&path.dotted(), reason))
    }

    /// The path as it may be followed from an element of an array. Its names are not those of the model, so nothing is
    /// refused; private values are not there for it all the same.
    fn check_inside(&self, path: Path) -> Path {
        match self {
            Self::Any => path,
            Self::Visible(_, by) => path.by(*by),
        }
    }
}

/// The name that is at most two edits away, and nearest.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, near)| near)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, char_a) in a.chars().enumerate() {
        let mut corner = at;
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
        for (column, char_b) in b.iter().enumerate() {
            let above = row.get(column + 1).copied().unwrap_or(0);
            let left = row.get(column).copied().unwrap_or(0);
            let cost = (corner + usize::from(char_a != *char_b)).min(above + 1).min(left + 1);
            corner = above;
            if let Some(cell) = row.get_mut(column + 1) {
                *cell = cost;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

pub(super) struct Parser<'a> {
    schema: &'a Schema<'a>,
    clauses: usize,
    patterns: usize,
    /// Whether names are those of an element of an array.
    inside: bool,
}

/// Reads a filter.
pub(crate) fn parse_filter(json: &Value, schema: &Schema<'_>) -> Result<RawFilter> {
    Parser::of(schema).filter(json, "", 0)
}

pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn check_depth(depth: usize, at: &str) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::query(at, format!("a filter is nested at most {MAX_DEPTH} deep")));
    }
    Ok(())
}

impl<'a> Parser<'a> {
    pub(super) const fn of(schema: &'a Schema<'a>) -> Self {
        Self { schema, clauses: 0, patterns: 0, inside: false }
    }
}

impl Parser<'_> {
    fn count(&mut self, at: &str) -> Result<()> {
        self.clauses += 1;
        if self.clauses > MAX_CLAUSES {
            return Err(Error::query(at, format!("a filter has at most {MAX_CLAUSES} tests")));
        }
        Ok(())
    }

    fn filter(&mut self, json: &Value, at: &str, depth: usize) -> Result<RawFilter> {
        check_depth(depth, at)?;
        let Value::Object(object) = json else {
            return Err(Error::query(at, "a filter is an object"));
        };
        let mut members = Vec::new();
        for (name, value) in object {
            let here = joined(at, name);
            match name.as_str() {
                "$and" => members.push(RawFilter::And { members: self.list(value, &here, depth)?, explicit: true }),
                "$or" => members.push(RawFilter::Or(self.list(value, &here, depth)?)),
                "$nor" => members.push(RawFilter::Nor(self.list(value, &here, depth)?)),
                name if name.starts_with('$') => {
                    return Err(Error::query(&here, format!("unknown operator `{name}`")));
                }
                name => self.field(name, value, &here, depth, &mut members)?,
            }
        }
        Ok(RawFilter::conjunction(members))
    }

    fn list(&mut self, json: &Value, at: &str, depth: usize) -> Result<Vec<RawFilter>> {
        match json {
            Value::Array(members) if !members.is_empty() => members
                .iter()
                .enumerate()
                .map(|(index, member)| {
                    self.count(at)?;
                    self.filter(member, &joined(at, &index.to_string()), depth + 1)
                })
                .collect(),
            _ => Err(Error::query(at, "needs a list of at least one filter")),
        }
    }

    fn field(&mut self, name: &str, value: &Value, at: &str, depth: usize, members: &mut Vec<RawFilter>) -> Result<()> {
        let path = parse_path(name, at)?;
        let path = if self.inside { self.schema.check_inside(path) } else { self.schema.check(path)? };
        match value {
            Value::Object(object) if object.keys().any(|key| key.starts_with('$')) => {
                for test in self.tests(object, at, depth)? {
                    members.push(RawFilter::Field(path.clone(), test));
                }
            }
            literal => {
                self.count(at)?;
                members.push(RawFilter::Field(path, Test::Compare(Compare::Eq, literal.clone())));
            }
        }
        Ok(())
    }

    fn tests(&mut self, operators: &Map<String, Value>, at: &str, depth: usize) -> Result<Vec<Test>> {
        check_depth(depth, at)?;
        operators
            .iter()
            // It belongs to the pattern beside it.
            .filter(|(name, _)| *name != "$options" || !operators.contains_key("$regex"))
            .map(|(name, operand)| {
                let here = joined(at, name);
                self.count(&here)?;
                if name == "$regex" {
                    return self.pattern(operand, operators.get("$options"), &here, &joined(at, "$options"));
                }
                self.test(name, operand, &here, depth)
            })
            .collect()
    }

    fn pattern(&mut self, pattern: &Value, options: Option<&Value>, at: &str, options_at: &str) -> Result<Test> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(Error::query(at, format!("a filter has at most {MAX_PATTERNS} patterns")));
        }
        Pattern::parse(pattern, options, at, options_at).map(Test::Regex)
    }

    fn all(&mut self, operand: &Value, at: &str, depth: usize) -> Result<Test> {
        let Value::Array(values) = operand else { return Err(Error::query(at, "needs a list")) };
        if values.len() > MAX_LIST {
            return Err(Error::query(at, format!("takes at most {MAX_LIST} values")));
        }
        let of_elements = values.iter().any(is_elem_match);
        values
            .iter()
            .map(|value| match value.as_object().and_then(|object| object.get("$elemMatch")) {
                Some(operand) if is_elem_match(value) => {
                    self.count(at)?;
                    self.elem_match(operand, &joined(at, "$elemMatch"), depth).map(Test::ElemMatch)
                }
                _ if of_elements => Err(Error::query(at, "takes either values or `$elemMatch`")),
                _ if holds_operators(value) => {
                    Err(Error::query(at, "takes values, and of operators only `$elemMatch`"))
                }
                _ => {
                    self.count(at)?;
                    Ok(Test::Compare(Compare::Eq, value.clone()))
                }
            })
            .collect::<Result<_>>()
            .map(Test::All)
    }

    pub(super) fn elem_match(&mut self, operand: &Value, at: &str, depth: usize) -> Result<ElemMatch> {
        let Value::Object(object) = operand else { return Err(Error::query(at, "needs an object")) };
        let test = if is_of_values(object) {
            ElemMatch::Tests(self.tests(object, at, depth + 1)?)
        } else {
            let outside = std::mem::replace(&mut self.inside, true);
            let filter = self.filter(operand, at, depth + 1);
            self.inside = outside;
            ElemMatch::Object(Box::new(filter?))
        };
        Ok(test)
    }

    fn test(&mut self, name: &str, operand: &Value, at: &str, depth: usize) -> Result<Test> {
        let compare = |compare| Ok(Test::Compare(compare, operand.clone()));
        match name {
            // What is not in the list is not there, so that the list tells of all.
            name if name.starts_with('$') && (!OPERATORS.contains(&name) || LOGICAL.contains(&name)) => {
                Err(Error::query(at, format!("unknown operator `{name}`")))
            }
            "$eq" => compare(Compare::Eq),
            "$ne" => compare(Compare::Ne),
            "$gt" => compare(Compare::Gt),
            "$gte" => compare(Compare::Gte),
            "$lt" => compare(Compare::Lt),
            "$lte" => compare(Compare::Lte),
            "$in" | "$nin" => match operand {
                Value::Array(values) if values.len() > MAX_LIST => {
                    Err(Error::query(at, format!("takes at most {MAX_LIST} values")))
                }
                Value::Array(values) if values.iter().any(holds_operators) => {
                    Err(Error::query(at, "takes values, not operators"))
                }
                Value::Array(values) => Ok(Test::is_in(values.clone(), name == "$nin")),
                _ => Err(Error::query(at, "needs a list")),
            },
            "$exists" => match operand {
                Value::Bool(wanted) => Ok(Test::Exists(*wanted)),
                _ => Err(Error::query(at, "needs true or false")),
            },
            "$not" => match operand {
                Value::Object(operators) if holds_operators(operand) => {
                    Ok(Test::Not(self.tests(operators, at, depth + 1)?))
                }
                _ => Err(Error::query(at, "needs an object of operators")),
            },
            "$type" => Types::parse(operand, at).map(Test::Type),
            "$options" => Err(Error::query(at, "belongs to a `$regex`")),
            "$mod" => Modulo::parse(operand, at).map(Test::Mod),
            "$size" => whole(operand)
                .and_then(|size| u64::try_from(size).ok())
                .map(Test::Size)
                .ok_or_else(|| Error::query(at, "needs a whole number from 0")),
            "$all" => self.all(operand, at, depth),
            "$elemMatch" => self.elem_match(operand, at, depth).map(Test::ElemMatch),
            "$bitsAllSet" => Bits::parse(BitsTest::AllSet, operand, at).map(Test::Bits),
            "$bitsAnySet" => Bits::parse(BitsTest::AnySet, operand, at).map(Test::Bits),
            "$bitsAllClear" => Bits::parse(BitsTest::AllClear, operand, at).map(Test::Bits),
            "$bitsAnyClear" => Bits::parse(BitsTest::AnyClear, operand, at).map(Test::Bits),
            _ => Err(Error::query(at, "operators and names are mixed")),
        }
    }
}

fn holds_operators(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.keys().any(|name| name.starts_with('$')))
}

fn is_elem_match(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key("$elemMatch"))
}

/// Whether an `$elemMatch` asks for values: operators, and not those that join filters.
pub(super) fn is_of_values(operand: &Map<String, Value>) -> bool {
    operand.keys().any(|name| name.starts_with('$') && !LOGICAL.contains(&name.as_str()))
}

/// Reads a dotted path.
pub(crate) fn parse_path(name: &str, at: &str) -> Result<Path> {
    if name.len() > 1_024 || name.split('.').count() > MAX_PATH {
        return Err(Error::query(at, format!("a path has at most {MAX_PATH} names")));
    }
    if name.split('.').any(|part| part.is_empty() || part.starts_with('$')) {
        return Err(Error::query(at, "a path is names joined by dots"));
    }
    if name.split('.').filter(|part| position(part).is_some()).count() > MAX_POSITIONS {
        return Err(Error::query(at, format!("a path has at most {MAX_POSITIONS} numbers")));
    }
    Ok(Path::new(name))
}

/// Reads a sort: an object of 1 and -1.
pub(crate) fn parse_sort(json: &Value, schema: &Schema<'_>) -> Result<RawSort> {
    let Value::Object(object) = json else {
        return Err(Error::query("sort", "a sort is an object"));
    };
    if object.len() > MAX_SORT {
        return Err(Error::query("sort", format!("a sort has at most {MAX_SORT} keys")));
    }
    let mut sort = RawSort::default();
    for (name, direction) in object {
        let path = schema.check(parse_path(name, &joined("sort", name))?)?;
        let direction = match direction.as_f64() {
            Some(1.0) => Direction::Ascending,
            Some(-1.0) => Direction::Descending,
            _ => return Err(Error::query(&joined("sort", name), "the direction is 1 or -1")),
        };
        sort.push(path, direction);
    }
    Ok(sort)
}

/// The parts of a query as a request gives them, each JSON or absent.
#[derive(Default, PartialEq)]
pub(crate) struct QueryParts {
    pub(crate) filter: Option<Value>,
    pub(crate) sort: Option<Value>,
    pub(crate) skip: Option<Value>,
    pub(crate) limit: Option<Value>,
    pub(crate) fields: Option<Value>,
    pub(crate) cursor: Option<Value>,
}

impl QueryParts {
    /// The part of that name.
    pub(crate) fn part(&mut self, name: &str) -> Result<&mut Option<Value>> {
        match name {
            "filter" => Ok(&mut self.filter),
            "sort" => Ok(&mut self.sort),
            "skip" => Ok(&mut self.skip),
            "limit" => Ok(&mut self.limit),
            "fields" => Ok(&mut self.fields),
            "cursor" => Ok(&mut self.cursor),
            _ => Err(Error::query(
                name,
                "there is no such parameter; there are `filter`, `sort`, `skip`, `limit`, `fields`, `cursor`, `count` and `explain`",
            )),
        }
    }
}

/// Reads a query from outside.
pub(crate) fn parse_query(parts: &QueryParts, schema: &Schema<'_>) -> Result<RawQuery> {
    let number = |name: &str, value: &Option<Value>, most: u64| match value {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if number <= most => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
            Some(_) => Err(Error::query(name, format!("is at most {most}"))),
            None => Err(Error::query(name, "is a whole number from 0")),
        },
    };
    Ok(RawQuery {
        filter: Arc::new(parts.filter.as_ref().map_or(Ok(RawFilter::all()), |filter| parse_filter(filter, schema))?),
        sort: parts.sort.as_ref().map_or(Ok(RawSort::default()), |sort| parse_sort(sort, schema))?,
        skip: number("skip", &parts.skip, MAX_SKIP)?.unwrap_or(0),
        limit: number("limit", &parts.limit, super::MAX_LIMIT as u64)?,
        cursor: match &parts.cursor {
            None => None,
            Some(Value::String(cursor)) => Some(cursor.clone()),
            Some(_) => return Err(Error::query("cursor", "is a text")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn malformed_filters_are_refused_with_their_place() {
        let deep = (0..40).fold(json!({"a": 1}), |inner, _| json!({"$and": [inner]}));
        let cases = [
            (json!(null), ""),
            (json!("x"), ""),
            (json!([]), ""),
            (json!({"$and": []}), "$and"),
            (json!({"$where": "1"}), "$where"),
            (json!({"a": {"$foo": 1}}), "a.$foo"),
            (json!({"a": {"$in": 1}}), "a.$in"),
            (json!({"a": {"$in": [{"$gt": 1}]}}), "a.$in"),
            (json!({"a": {"$gt": 1, "b": 2}}), "a.b"),
            (json!({"a": {"$not": 1}}), "a.$not"),
            (json!({"a": {"$not": {}}}), "a.$not"),
            (json!({"a..b": 1}), "a..b"),
            (json!({"a": {"$exists": 1}}), "a.$exists"),
            (json!({"a": {"$not": "x"}}), "a.$not"),
            (json!({"a": {"$type": "date"}}), "a.$type"),
            (json!({"a": {"$type": 9}}), "a.$type"),
            (json!({"a": {"$type": 2.5}}), "a.$type"),
            (json!({"a": {"$type": []}}), "a.$type"),
            (json!({"a": {"$type": ["string", "x"]}}), "a.$type"),
            (json!({"a": {"$type": null}}), "a.$type"),
            (json!({"a": {"$regex": 1}}), "a.$regex"),
            (json!({"a": {"$regex": "("}}), "a.$regex"),
            (json!({"a": {"$regex": "(?=a)"}}), "a.$regex"),
            (json!({"a": {"$regex": "(?<!a)b"}}), "a.$regex"),
            (json!({"a": {"$regex": r"(a)\1"}}), "a.$regex"),
            (json!({"a": {"$regex": "(?x)a b"}}), "a.$regex"),
            (json!({"a": {"$regex": "(?-u:a)"}}), "a.$regex"),
            (json!({"a": {"$regex": "a*+"}}), "a.$regex"),
            (json!({"a": {"$regex": "[a[b]]"}}), "a.$regex"),
            (json!({"a": {"$regex": "[a&&b]"}}), "a.$regex"),
            (json!({"a": {"$regex": r"\<a"}}), "a.$regex"),
            (json!({"a": {"$regex": "(a{1000}){1000}"}}), "a.$regex"),
            (json!({"a": {"$regex": "(".repeat(100) + &")".repeat(100)}}), "a.$regex"),
            (json!({"a": {"$regex": "a".repeat(5_000)}}), "a.$regex"),
            (json!({"a": {"$regex": "a", "$options": "x"}}), "a.$options"),
            (json!({"a": {"$regex": "a", "$options": "g"}}), "a.$options"),
            (json!({"a": {"$regex": "a", "$options": 1}}), "a.$options"),
            (json!({"a": {"$options": "i"}}), "a.$options"),
            (json!({"a": {"$mod": 4}}), "a.$mod"),
            (json!({"a": {"$mod": [4]}}), "a.$mod"),
            (json!({"a": {"$mod": [4, 0, 0]}}), "a.$mod"),
            (json!({"a": {"$mod": [0, 0]}}), "a.$mod"),
            (json!({"a": {"$mod": [0.5, 0]}}), "a.$mod"),
            (json!({"a": {"$mod": ["4", 0]}}), "a.$mod"),
            (json!({"a": {"$mod": [4, null]}}), "a.$mod"),
            (json!({"a": {"$mod": [1e300, 0]}}), "a.$mod"),
            (json!({"a": {"$size": -1}}), "a.$size"),
            (json!({"a": {"$size": 1.5}}), "a.$size"),
            (json!({"a": {"$size": "1"}}), "a.$size"),
            (json!({"a": {"$all": 1}}), "a.$all"),
            (json!({"a": {"$all": [{"$gt": 1}]}}), "a.$all"),
            (json!({"a": {"$all": [{"$elemMatch": {"b": 1}}, 1]}}), "a.$all"),
            (json!({"a": {"$all": [{"$elemMatch": {"b": 1}, "c": 1}]}}), "a.$all"),
            (json!({"a": {"$all": [{"$elemMatch": 1}]}}), "a.$all.$elemMatch"),
            (json!({"a": {"$elemMatch": 1}}), "a.$elemMatch"),
            (json!({"a": {"$elemMatch": [1]}}), "a.$elemMatch"),
            (json!({"a": {"$elemMatch": {"$gt": 1, "b": 2}}}), "a.$elemMatch.b"),
            (json!({"a": {"$elemMatch": {"$gt": 1, "$or": [{"b": 2}]}}}), "a.$elemMatch.$or"),
            (json!({"a": {"$elemMatch": {"b": {"$foo": 1}}}}), "a.$elemMatch.b.$foo"),
            (json!({"a": {"$bitsAllSet": -1}}), "a.$bitsAllSet"),
            (json!({"a": {"$bitsAnySet": 1.5}}), "a.$bitsAnySet"),
            (json!({"a": {"$bitsAllClear": [-1]}}), "a.$bitsAllClear"),
            (json!({"a": {"$bitsAnyClear": "1"}}), "a.$bitsAnyClear"),
        ];
        for (filter, place) in cases {
            let error = parse_filter(&filter, &Schema::Any).unwrap_err();
            assert_eq!(
                (error.code().as_str(), error.get("path").unwrap()),
                ("INVALID_QUERY", &json!(place)),
                "{filter}"
            );
        }
        assert!(parse_filter(&deep, &Schema::Any).is_err());
    }

    #[test]
    fn what_is_inside_of_operators_is_bounded_too() {
        let nested = |operator: &str, times| (0..times).fold(json!({"$gt": 1}), |inner, _| json!({operator: inner}));
        for operator in ["$not", "$elemMatch"] {
            assert!(parse_filter(&json!({"a": nested(operator, 30)}), &Schema::Any).is_ok());
            assert!(parse_filter(&json!({"a": nested(operator, 40)}), &Schema::Any).is_err());
        }
        let objects = (0..40).fold(json!({"a": 1}), |inner, _| json!({"a": {"$elemMatch": inner}}));
        assert!(parse_filter(&objects, &Schema::Any).is_err());
        let wide = |count| json!({"a": {"$elemMatch": {"$or": vec![json!({"b": 1}); count]}}});
        assert!(parse_filter(&wide(400), &Schema::Any).is_ok());
        assert!(parse_filter(&wide(600), &Schema::Any).is_err());
        let all = |count| json!({"a": {"$all": vec![json!({"$elemMatch": {"$gt": 1}}); count]}});
        assert!(parse_filter(&all(400), &Schema::Any).is_ok());
        assert!(parse_filter(&all(600), &Schema::Any).is_err());
        let patterns = |count| json!({"$or": vec![json!({"a": {"$regex": "b"}}); count]});
        assert!(parse_filter(&patterns(MAX_PATTERNS), &Schema::Any).is_ok());
        assert!(parse_filter(&patterns(MAX_PATTERNS + 1), &Schema::Any).is_err());
    }

    #[test]
    fn hints_are_near() {
        assert_eq!(nearest("emial", ["email", "role"].into_iter()), Some("email"));
        assert_eq!(nearest("zzz", ["email", "role"].into_iter()), None);
    }
}
