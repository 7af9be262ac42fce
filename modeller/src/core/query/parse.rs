//! From MongoDB syntax to the tree of a query, and from the parameters of a request to a [`RawQuery`].
//!
//! What comes from outside is bounded here: depth, number of clauses, lengths of lists. Whatever is malformed is
//! `INVALID_QUERY` with the path and the reason; nothing is ignored, and `null` is not "everything".

use std::sync::Arc;

use serde_json::{Map, Value};

use super::RawQuery;
use super::filter::{Compare, Path, RawFilter, Test};
use super::sort::{Direction, RawSort};
use crate::core::schema::ModelSchema;
use crate::error::{Error, Result};

/// How deep logical operators and `$not` may be nested.
const MAX_DEPTH: usize = 32;
/// How many tests one filter may have.
const MAX_CLAUSES: usize = 1_000;
/// How many operands `$in` and `$nin` may have.
const MAX_LIST: usize = 10_000;
/// How many names a dotted path may have.
const MAX_PATH: usize = 32;
/// How many keys a sort may have.
const MAX_SORT: usize = 16;
/// How many documents may be passed over.
const MAX_SKIP: u64 = 10_000_000;

/// Which names a query may use.
pub(crate) enum Schema<'a> {
    /// Any: the query was written in the program.
    Any,
    /// The fields of the model that are visible from outside.
    Visible(&'a ModelSchema),
}

impl Schema<'_> {
    /// The path as it may be followed. Refuses a name that is not there; a private field is not there.
    pub(crate) fn check(&self, path: Path) -> Result<Path> {
        let Self::Visible(model) = self else { return Ok(path) };
        let name = path.head();
        if name == "_id" || name == "_rev" || model.field(name).is_some_and(|field| !field.private) {
            // A private value further down is not there for such a path.
            return Ok(path.untrusted());
        }
        let visible = model.fields.iter().filter(|field| !field.private).map(|field| field.name.as_ref());
        let reason = match nearest(name, visible) {
            Some(near) => format!("`{}` has no such field; did you mean `{near}`?", model.id),
            None => format!("`{}` has no such field", model.id),
        };
        Err(Error::query(&path.dotted(), reason))
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

struct Parser<'a> {
    schema: &'a Schema<'a>,
    clauses: usize,
}

/// Reads a filter.
pub(crate) fn parse_filter(json: &Value, schema: &Schema<'_>) -> Result<RawFilter> {
    Parser { schema, clauses: 0 }.filter(json, "", 0)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
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
        if depth > MAX_DEPTH {
            return Err(Error::query(at, format!("a filter is nested at most {MAX_DEPTH} deep")));
        }
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
        let path = self.schema.check(parse_path(name, at)?)?;
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
        operators
            .iter()
            .map(|(name, operand)| {
                let here = joined(at, name);
                self.count(&here)?;
                self.test(name, operand, &here, depth)
            })
            .collect()
    }

    fn test(&mut self, name: &str, operand: &Value, at: &str, depth: usize) -> Result<Test> {
        let compare = |compare| Ok(Test::Compare(compare, operand.clone()));
        match name {
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
                Value::Array(values) => Ok(Test::In { values: values.clone(), negated: name == "$nin" }),
                _ => Err(Error::query(at, "needs a list")),
            },
            "$exists" => match operand {
                Value::Bool(wanted) => Ok(Test::Exists(*wanted)),
                _ => Err(Error::query(at, "needs true or false")),
            },
            "$not" => match operand {
                Value::Object(operators) if holds_operators(operand) && depth < MAX_DEPTH => {
                    Ok(Test::Not(self.tests(operators, at, depth + 1)?))
                }
                _ => Err(Error::query(at, "needs an object of operators")),
            },
            name if name.starts_with('$') => Err(Error::query(at, format!("unknown operator `{name}`"))),
            _ => Err(Error::query(at, "operators and names are mixed")),
        }
    }
}

fn holds_operators(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.keys().any(|name| name.starts_with('$')))
}

/// Reads a dotted path.
pub(crate) fn parse_path(name: &str, at: &str) -> Result<Path> {
    if name.len() > 1_024 || name.split('.').count() > MAX_PATH {
        return Err(Error::query(at, format!("a path has at most {MAX_PATH} names")));
    }
    if name.split('.').any(|part| part.is_empty() || part.starts_with('$')) {
        return Err(Error::query(at, "a path is names joined by dots"));
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
#[derive(Default)]
pub(crate) struct QueryParts {
    pub(crate) filter: Option<Value>,
    pub(crate) sort: Option<Value>,
    pub(crate) skip: Option<Value>,
    pub(crate) limit: Option<Value>,
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
    fn hints_are_near() {
        assert_eq!(nearest("emial", ["email", "role"].into_iter()), Some("email"));
        assert_eq!(nearest("zzz", ["email", "role"].into_iter()), None);
    }
}
