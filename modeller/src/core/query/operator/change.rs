//! The update operators of the MongoDB manual: their operands, and what they do to a stored form.
//!
//! With one difference: to operators that go by what is there, `null` is missing. An `Option` that nobody has given a value is
//! stored as `null`, and whoever counts it up or appends to it must not have to know that.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{Bitwise, End, Pull, Push, date, list, number};
use crate::core::query::filter::{Path, position};
use crate::core::query::parse::parse_path;
use crate::core::value::AsValue;
use crate::error::{Error, Result};

/// What is done to a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum UpdateOperator {
    /// `$set`, and `$currentDate` once the time is fixed.
    Set(Value),
    /// `$unset`
    Unset,
    /// `$inc`
    Inc(Value),
    /// `$mul`
    Mul(Value),
    /// `$min`
    Min(Value),
    /// `$max`
    Max(Value),
    /// `$push`
    Push(Push),
    /// `$bit`
    Bit(Bitwise),
    /// `$pull` and `$pullAll`
    Pull(Pull),
    /// `$addToSet`
    AddToSet(Vec<Value>),
    /// `$pop`
    Pop(End),
    /// `$rename`, to this path.
    Rename(Path),
}

/// What becomes of a place.
enum Next {
    /// It is as it should be.
    Stays,
    /// It gets this value.
    Is(Value),
    /// It goes.
    Goes,
}

impl UpdateOperator {
    /// Reads the operand of an operator at a path from outside. `now` is the time of the update.
    pub(in crate::core::query) fn parse(
        name: &str,
        operand: Value,
        at: &str,
        now: &mut Option<String>,
    ) -> Result<Self> {
        let number = |operand: Value| match operand {
            Value::Number(_) => Ok(operand),
            _ => Err(Error::query(at, "needs a number")),
        };
        Ok(match name {
            "$set" => Self::Set(operand),
            "$unset" => Self::Unset,
            "$inc" => Self::Inc(number(operand)?),
            "$mul" => Self::Mul(number(operand)?),
            "$min" => Self::Min(operand),
            "$max" => Self::Max(operand),
            "$push" => Self::Push(Push::parse(operand, at)?),
            "$bit" => Self::Bit(Bitwise::parse(&operand, at)?),
            "$pull" => Self::Pull(Pull::parse(operand, at)?),
            "$pullAll" => Self::Pull(Pull::parse_all(operand, at)?),
            "$addToSet" => Self::AddToSet(list::parse_set(operand, at)?),
            "$pop" => Self::Pop(End::parse(&operand, at)?),
            "$rename" => match operand {
                Value::String(to) => Self::Rename(parse_path(&to, at)?),
                _ => return Err(Error::query(at, "needs the new name, a string")),
            },
            "$currentDate" => {
                let date = Value::Object(Map::from_iter([("$type".to_owned(), "date".into())]));
                if operand != Value::Bool(true) && operand != date {
                    return Err(Error::query(at, "needs true; a time is written as a date-time string"));
                }
                // Evaluated again, the update has to do the same again: the time is part of it.
                Self::Set(now.get_or_insert_with(date::now).clone().into())
            }
            _ => return Err(Error::query(name, format!("unknown operator `{name}`"))),
        })
    }

    /// The name of the operator, and its operand.
    #[cfg(any(feature = "client", test))]
    pub(in crate::core::query) fn to_json(&self) -> (&'static str, Value) {
        match self {
            Self::Set(value) => ("$set", value.clone()),
            Self::Unset => ("$unset", 1.into()),
            Self::Inc(by) => ("$inc", by.clone()),
            Self::Mul(by) => ("$mul", by.clone()),
            Self::Min(value) => ("$min", value.clone()),
            Self::Max(value) => ("$max", value.clone()),
            Self::Push(push) => ("$push", push.to_json()),
            Self::Bit(bits) => ("$bit", bits.to_json()),
            Self::Pull(pull) => pull.to_json(),
            Self::AddToSet(values) => ("$addToSet", serde_json::json!({"$each": values})),
            Self::Pop(end) => ("$pop", end.to_json()),
            Self::Rename(to) => ("$rename", to.dotted().into()),
        }
    }

    /// Whether what comes of it is the same whatever was there.
    pub(in crate::core::query) fn is_blind(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Unset)
    }

    /// Whether what comes of it depends on the whole of what was there, or moves it.
    pub(in crate::core::query) fn looks_inside(&self) -> bool {
        match self {
            Self::Min(_) | Self::Max(_) | Self::Pull(_) | Self::AddToSet(_) | Self::Rename(_) => true,
            Self::Push(push) => push.looks_at_elements(),
            Self::Set(_) | Self::Unset | Self::Inc(_) | Self::Mul(_) | Self::Bit(_) | Self::Pop(_) => false,
        }
    }

    /// Does it to the stored form of a document.
    pub(in crate::core::query) fn apply(&self, value: &mut Value, path: &Path) -> Result<()> {
        if let Self::Rename(to) = self {
            return rename(value, path, to);
        }
        let Some((last, way)) = path.names().split_last() else { return Ok(()) };
        // What only takes away has nothing to do where nothing is.
        let takes = matches!(self, Self::Unset | Self::Pull(_) | Self::Pop(_));
        let cannot = |reason: &str| if takes { Ok(()) } else { Err(Error::query(&path.dotted(), reason)) };
        const NO_POSITION: &str = "the list has no such position";
        const NO_OBJECT: &str = "leads through a value that is no object";
        let mut place = value;
        for name in way {
            place = match place {
                Value::Array(array) => match position(name).and_then(|at| array.get_mut(at)) {
                    Some(next) => next,
                    None => return cannot(NO_POSITION),
                },
                Value::Object(object) if takes && !object.contains_key(name.as_ref()) => return Ok(()),
                Value::Object(object) => object.entry(name.as_ref()).or_insert_with(|| Value::Object(Map::new())),
                _ => return cannot(NO_OBJECT),
            };
        }
        match place {
            Value::Object(object) => match self.next(object.get_mut(last.as_ref()), path)? {
                Next::Stays => {}
                Next::Is(value) => drop(object.insert(last.to_string(), value)),
                Next::Goes => drop(object.remove(last.as_ref())),
            },
            Value::Array(array) => {
                let Some(element) = position(last).and_then(|at| array.get_mut(at)) else {
                    return cannot(NO_POSITION);
                };
                match self.next(Some(&mut *element), path)? {
                    Next::Stays => {}
                    Next::Is(value) => *element = value,
                    // As in MongoDB: a list keeps its length.
                    Next::Goes => *element = Value::Null,
                }
            }
            _ => return cannot(NO_OBJECT),
        }
        Ok(())
    }

    /// What becomes of a value; `None` is a missing one.
    fn next(&self, current: Option<&mut Value>, path: &Path) -> Result<Next> {
        let current = current.filter(|value| !value.is_null());
        Ok(match self {
            Self::Set(value) => Next::Is(value.clone()),
            Self::Unset => Next::Goes,
            Self::Inc(by) => Next::Is(match current {
                Some(current) => number::sum(current, by, path)?,
                None => by.clone(),
            }),
            Self::Mul(by) => Next::Is(match current {
                Some(current) => number::product(current, by, path)?,
                None => number::zero(by, path)?,
            }),
            Self::Min(value) => replaced_if(Ordering::Less, value, current),
            Self::Max(value) => replaced_if(Ordering::Greater, value, current),
            Self::Bit(bits) => Next::Is(bits.apply(current.as_deref(), path)?),
            Self::Push(push) => in_list(current, path, true, |list| push.apply(list))?,
            Self::Pull(pull) => in_list(current, path, false, |list| pull.apply(list))?,
            Self::AddToSet(values) => in_list(current, path, true, |list| list::add_to_set(list, values))?,
            Self::Pop(end) => in_list(current, path, false, |list| end.pop(list))?,
            Self::Rename(_) => Next::Stays,
        })
    }
}

/// Changes a list; a missing one is made where the operator makes one.
fn in_list(current: Option<&mut Value>, path: &Path, make: bool, change: impl Fn(&mut Vec<Value>)) -> Result<Next> {
    let Some(current) = current else {
        if !make {
            return Ok(Next::Stays);
        }
        let mut list = Vec::new();
        change(&mut list);
        return Ok(Next::Is(Value::Array(list)));
    };
    let Value::Array(list) = current else {
        return Err(Error::query(&path.dotted(), "is not a list"));
    };
    change(list);
    Ok(Next::Stays)
}

/// The value where there is none, or where it stands in this order to what is there.
fn replaced_if(order: Ordering, value: &Value, current: Option<&mut Value>) -> Next {
    match current {
        Some(current) if value.as_value().compare(&current.as_value()) != order => Next::Stays,
        _ => Next::Is(value.clone()),
    }
}

/// Moves a value. What is at the new place goes; where nothing is at the old one, nothing happens.
fn rename(value: &mut Value, from: &Path, to: &Path) -> Result<()> {
    let object = |path: &Path, value: &mut Value| match value {
        Value::Object(_) => Ok(()),
        Value::Array(_) => Err(Error::query(&path.dotted(), "a name cannot be changed through a list")),
        _ => Err(Error::query(&path.dotted(), "leads through a value that is no object")),
    };
    let (Some((old, way)), Some((new, way_to))) = (from.names().split_last(), to.names().split_last()) else {
        return Ok(());
    };
    let mut place = &mut *value;
    for name in way {
        match place {
            Value::Object(inner) if !inner.contains_key(name.as_ref()) => return Ok(()),
            Value::Object(inner) => place = inner.entry(name.as_ref()).or_insert(Value::Null),
            Value::Array(_) => return object(from, place),
            _ => return Ok(()),
        }
    }
    let moved = match place {
        Value::Object(object) => object.remove(old.as_ref()),
        Value::Array(_) => return object(from, place),
        _ => None,
    };
    let Some(moved) = moved else { return Ok(()) };
    let mut place = value;
    for name in way_to {
        object(to, place)?;
        let Value::Object(inner) = place else { return Ok(()) };
        place = inner.entry(name.as_ref()).or_insert_with(|| Value::Object(Map::new()));
    }
    object(to, place)?;
    if let Value::Object(inner) = place {
        inner.insert(new.to_string(), moved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(name: &str, operand: Value) -> Result<UpdateOperator> {
        UpdateOperator::parse(name, operand, &format!("{name}.f"), &mut None)
    }

    fn applied(name: &str, path: &str, operand: Value, mut value: Value) -> Result<Value> {
        parsed(name, operand)?.apply(&mut value, &Path::new(path))?;
        Ok(value)
    }

    /// Operator, path, operand, before, after.
    type Case = (&'static str, &'static str, Value, Value, Value);

    fn check(cases: Vec<Case>) {
        for (name, path, operand, before, after) in cases {
            let outcome = applied(name, path, operand.clone(), before.clone());
            let said = format!("{name} {path} {operand} on {before}");
            match outcome {
                // The text as well: 1 and 1.0 are not the same on the wire.
                Ok(outcome) => assert_eq!((outcome.to_string(), &outcome), (after.to_string(), &after), "{said}"),
                Err(error) => panic!("{said}: {error}"),
            }
        }
    }

    #[test]
    fn fields() {
        check(vec![
            // "$set"
            ("$set", "a", json!(1), json!({}), json!({"a": 1})),
            ("$set", "a.b.c", json!(1), json!({}), json!({"a": {"b": {"c": 1}}})),
            ("$set", "l.1", json!("x"), json!({"l": [1, 2]}), json!({"l": [1, "x"]})),
            // "$unset"
            ("$unset", "a.b", json!(""), json!({"a": {"b": 1}}), json!({"a": {}})),
            ("$unset", "a.b", json!(""), json!({"a": 1}), json!({"a": 1})),
            ("$unset", "a.b", json!(""), json!({}), json!({})),
            ("$unset", "l.0", json!(""), json!({"l": [1, 2]}), json!({"l": [null, 2]})),
            ("$unset", "l.7", json!(""), json!({"l": [1, 2]}), json!({"l": [1, 2]})),
            // "$inc"
            ("$inc", "a", json!(-2), json!({"a": 1}), json!({"a": -1})),
            ("$inc", "a", json!(2), json!({}), json!({"a": 2})),
            ("$inc", "a", json!(2), json!({"a": null}), json!({"a": 2})),
            ("$inc", "l.1", json!(0.5), json!({"l": [1, 2]}), json!({"l": [1, 2.5]})),
            ("$inc", "a", json!(u64::MAX), json!({"a": -1}), json!({"a": u64::MAX - 1})),
            // "$bit"
            ("$bit", "a", json!({"and": 10}), json!({"a": 13}), json!({"a": 8})),
            ("$bit", "a", json!({"or": 5}), json!({"a": 3}), json!({"a": 7})),
            ("$bit", "a", json!({"xor": 5}), json!({"a": 1}), json!({"a": 4})),
            ("$bit", "a", json!({"and": 12, "or": 3.0}), json!({"a": 10}), json!({"a": 11})),
            ("$bit", "a", json!({"and": -2}), json!({"a": -1}), json!({"a": -2})),
            ("$bit", "a", json!({"and": u64::MAX}), json!({"a": -1}), json!({"a": u64::MAX})),
            ("$bit", "a.b", json!({"or": 5}), json!({}), json!({"a": {"b": 5}})),
            ("$bit", "l.1", json!({"xor": -1}), json!({"l": [0, null]}), json!({"l": [0, -1]})),
            // "$mul"
            ("$mul", "price", json!(1.25), json!({"price": 10.0}), json!({"price": 12.5})),
            ("$mul", "a.b", json!(3), json!({"a": {"b": 7}}), json!({"a": {"b": 21}})),
            ("$mul", "a", json!(100), json!({}), json!({"a": 0})),
            ("$mul", "a", json!(1.5), json!({}), json!({"a": 0.0})),
            ("$mul", "a", json!(0.5), json!({"a": 3}), json!({"a": 1.5})),
            ("$mul", "a", json!(-1), json!({"a": 9_223_372_036_854_775_808_u64}), json!({"a": i64::MIN})),
            // "$min"
            ("$min", "low", json!(150), json!({"low": 200}), json!({"low": 150})),
            ("$min", "low", json!(250), json!({"low": 200}), json!({"low": 200})),
            ("$min", "low", json!(250), json!({}), json!({"low": 250})),
            ("$min", "low", json!(250), json!({"low": "x"}), json!({"low": 250})),
            ("$min", "low", json!(1.0), json!({"low": 1}), json!({"low": 1})),
            ("$min", "low", json!(1), json!({"low": null}), json!({"low": 1})),
            ("$min", "low", json!(null), json!({"low": 1}), json!({"low": null})),
            // "$max"
            ("$max", "high", json!(950), json!({"high": 800}), json!({"high": 950})),
            ("$max", "high", json!(870), json!({"high": 950}), json!({"high": 950})),
            ("$max", "high", json!(870), json!({}), json!({"high": 870})),
            ("$max", "high", json!(1), json!({"high": null}), json!({"high": 1})),
            ("$max", "high", json!("a"), json!({"high": 1e300}), json!({"high": "a"})),
            // "$rename"
            ("$rename", "cell", json!("mobile"), json!({"cell": 1, "x": 2}), json!({"x": 2, "mobile": 1})),
            ("$rename", "cell", json!("mobile"), json!({"cell": 1, "mobile": 2}), json!({"mobile": 1})),
            ("$rename", "wife", json!("spouse"), json!({"spouse": 1}), json!({"spouse": 1})),
            (
                "$rename",
                "name.first",
                json!("name.fname"),
                json!({"name": {"first": 1}}),
                json!({"name": {"fname": 1}}),
            ),
            ("$rename", "name.first", json!("a.b"), json!({"name": {"first": 1}}), json!({"name": {}, "a": {"b": 1}})),
            ("$rename", "a.b", json!("c"), json!({"a": 1}), json!({"a": 1})),
        ]);
    }

    #[test]
    fn lists() {
        let quizzes = json!([{"wk": 1, "score": 10}, {"wk": 2, "score": 8}]);
        let survey = json!([{"item": "A", "score": 5}, {"item": "B", "score": 8}, 8]);
        check(vec![
            // "$push"
            ("$push", "s", json!(89), json!({"s": [1]}), json!({"s": [1, 89]})),
            ("$push", "s", json!(89), json!({}), json!({"s": [89]})),
            ("$push", "s", json!(89), json!({"s": null}), json!({"s": [89]})),
            ("$pull", "s", json!(89), json!({"s": null}), json!({"s": null})),
            ("$push", "s", json!([1, 2]), json!({"s": []}), json!({"s": [[1, 2]]})),
            ("$push", "s", json!({"each": 1}), json!({"s": []}), json!({"s": [{"each": 1}]})),
            ("$push", "o.s", json!(1), json!({}), json!({"o": {"s": [1]}})),
            // "$each"
            ("$push", "s", json!({"$each": [90, 92]}), json!({"s": [1]}), json!({"s": [1, 90, 92]})),
            ("$push", "s", json!({"$each": []}), json!({}), json!({"s": []})),
            // "$position"
            ("$push", "s", json!({"$each": [5, 6], "$position": 0}), json!({"s": [1, 2]}), json!({"s": [5, 6, 1, 2]})),
            ("$push", "s", json!({"$each": [5], "$position": 1}), json!({"s": [1, 2]}), json!({"s": [1, 5, 2]})),
            ("$push", "s", json!({"$each": [5], "$position": 9}), json!({"s": [1, 2]}), json!({"s": [1, 2, 5]})),
            ("$push", "s", json!({"$each": [5, 6], "$position": -1}), json!({"s": [1, 2]}), json!({"s": [1, 5, 6, 2]})),
            ("$push", "s", json!({"$each": [5], "$position": -9}), json!({"s": [1, 2]}), json!({"s": [5, 1, 2]})),
            ("$push", "s", json!({"$each": [5], "$position": i64::MIN}), json!({"s": [1]}), json!({"s": [5, 1]})),
            // "$slice"
            ("$push", "s", json!({"$each": [3, 4], "$slice": -3}), json!({"s": [1, 2]}), json!({"s": [2, 3, 4]})),
            ("$push", "s", json!({"$each": [3], "$slice": 2}), json!({"s": [1, 2]}), json!({"s": [1, 2]})),
            ("$push", "s", json!({"$each": [3], "$slice": 0}), json!({"s": [1, 2]}), json!({"s": []})),
            ("$push", "s", json!({"$each": [], "$slice": -1}), json!({"s": [1, 2]}), json!({"s": [2]})),
            ("$push", "s", json!({"$each": [3], "$slice": i64::MIN}), json!({"s": [1]}), json!({"s": [1, 3]})),
            // "$sort"
            ("$push", "s", json!({"$each": [40], "$sort": 1}), json!({"s": [89, 70]}), json!({"s": [40, 70, 89]})),
            (
                "$push",
                "s",
                json!({"$each": [], "$sort": -1}),
                json!({"s": [1, "a", null]}),
                json!({"s": ["a", 1, null]}),
            ),
            (
                "$push",
                "q",
                json!({"$each": [{"wk": 5, "score": 8}, {"wk": 6, "score": 9}], "$sort": {"score": -1, "wk": -1}, "$slice": 3}),
                json!({"q": quizzes}),
                json!({"q": [{"wk": 1, "score": 10}, {"wk": 6, "score": 9}, {"wk": 5, "score": 8}]}),
            ),
            (
                "$push",
                "q",
                json!({"$each": [7, {"a": {"b": -1}}], "$sort": {"a.b": 1}}),
                json!({"q": [{"a": {"b": 0}}]}),
                json!({"q": [7, {"a": {"b": -1}}, {"a": {"b": 0}}]}),
            ),
            // "$pull"
            ("$pull", "v", json!(3), json!({"v": [3, 5, 3.0, "3"]}), json!({"v": [5, "3"]})),
            ("$pull", "v", json!({"$gte": 6}), json!({"v": [3, 5, 6, 7, "8"]}), json!({"v": [3, 5, "8"]})),
            ("$pull", "v", json!({"$gte": 5, "$lt": 7}), json!({"v": [3, 5, 6, 7]}), json!({"v": [3, 7]})),
            ("$pull", "v", json!({"$in": ["a", "b"]}), json!({"v": ["a", "c", "b"]}), json!({"v": ["c"]})),
            ("$pull", "v", json!([1, 2]), json!({"v": [[1, 2], [2, 1], 1]}), json!({"v": [[2, 1], 1]})),
            ("$pull", "v", json!(1), json!({}), json!({})),
            ("$pull", "v.x", json!(1), json!({"v": 1}), json!({"v": 1})),
            ("$pull", "r", json!({"score": 8}), json!({"r": survey}), json!({"r": [{"item": "A", "score": 5}, 8]})),
            (
                "$pull",
                "r",
                json!({"score": {"$gt": 4}, "item": "A"}),
                json!({"r": survey}),
                json!({"r": [survey[1], 8]}),
            ),
            ("$pull", "r", json!({"$or": [{"score": 5}, {"item": "B"}]}), json!({"r": survey}), json!({"r": [8]})),
            (
                "$pull",
                "r",
                json!({"gone": null}),
                json!({"r": [{"a": 1}, 1, {"gone": 2}]}),
                json!({"r": [1, {"gone": 2}]}),
            ),
            // "$pullAll"
            ("$pullAll", "v", json!([0, 5]), json!({"v": [0, 2, 5, 5, 1, 0.0]}), json!({"v": [2, 1]})),
            (
                "$pullAll",
                "v",
                json!([{"a": 1, "b": 2}, [1]]),
                json!({"v": [{"b": 2, "a": 1}, 1, [1]]}),
                json!({"v": [1]}),
            ),
            ("$pullAll", "v", json!([{"$gt": 1}, null]), json!({"v": [2, null]}), json!({"v": [2]})),
            ("$pullAll", "v", json!([]), json!({"v": [1]}), json!({"v": [1]})),
            ("$pullAll", "v", json!([1]), json!({}), json!({})),
            // "$addToSet"
            ("$addToSet", "t", json!("a"), json!({"t": ["a", "b"]}), json!({"t": ["a", "b"]})),
            ("$addToSet", "t", json!("c"), json!({"t": ["a", "b"]}), json!({"t": ["a", "b", "c"]})),
            ("$addToSet", "t", json!("c"), json!({}), json!({"t": ["c"]})),
            ("$addToSet", "t", json!(["a"]), json!({"t": ["a"]}), json!({"t": ["a", ["a"]]})),
            ("$addToSet", "t", json!({"$each": [2, 1.0, 2, 3]}), json!({"t": [1, 1]}), json!({"t": [1, 1, 2, 3]})),
            (
                "$addToSet",
                "t",
                json!({"b": 2, "a": 1}),
                json!({"t": [{"a": 1, "b": 2}]}),
                json!({"t": [{"a": 1, "b": 2}]}),
            ),
            // "$pop"
            ("$pop", "s", json!(-1), json!({"s": [8, 9, 10]}), json!({"s": [9, 10]})),
            ("$pop", "s", json!(1), json!({"s": [9, 10]}), json!({"s": [9]})),
            ("$pop", "s", json!(1), json!({"s": []}), json!({"s": []})),
            ("$pop", "s", json!(-1), json!({"s": []}), json!({"s": []})),
            ("$pop", "s", json!(1), json!({}), json!({})),
        ]);
    }

    #[test]
    fn what_does_not_fit_the_document_is_refused() {
        let cases = [
            ("$set", "a.b", json!(1), json!({"a": 1})),
            ("$set", "l.2", json!(1), json!({"l": [1, 2]})),
            ("$set", "l.x", json!(1), json!({"l": [1, 2]})),
            ("$inc", "a", json!(1), json!({"a": "1"})),
            ("$inc", "a", json!(1), json!({"a": u64::MAX})),
            ("$mul", "a", json!(2), json!({"a": {}})),
            ("$mul", "a", json!(2), json!({"a": u64::MAX})),
            ("$mul", "a", json!(u64::MAX), json!({"a": u64::MAX})),
            ("$mul", "a", json!(1e300), json!({"a": 1e300})),
            ("$push", "a", json!(1), json!({"a": 1})),
            ("$bit", "a", json!({"or": 1}), json!({"a": 1.5})),
            ("$bit", "a", json!({"or": 1}), json!({"a": "1"})),
            ("$bit", "a", json!({"or": 1}), json!({"a": 1e300})),
            ("$bit", "a", json!({"xor": u64::MAX}), json!({"a": -1})),
            ("$pull", "a", json!(1), json!({"a": 1})),
            ("$pullAll", "a", json!([1]), json!({"a": 1})),
            ("$addToSet", "a", json!(1), json!({"a": {}})),
            ("$pop", "a", json!(1), json!({"a": "x"})),
            ("$rename", "l.0", json!("x"), json!({"l": [1]})),
            ("$rename", "a", json!("l.0"), json!({"a": 1, "l": [1]})),
            ("$rename", "a", json!("b.c"), json!({"a": 1, "b": 1})),
        ];
        for (name, path, operand, value) in cases {
            let error = applied(name, path, operand, value.clone()).unwrap_err();
            let reached = error.get("path").and_then(Value::as_str).unwrap_or_default();
            assert_eq!(error.code().as_str(), "INVALID_QUERY", "{name} on {value}");
            assert!([path, "l.0", "b.c"].contains(&reached), "{name} on {value}: {reached}");
        }
    }

    #[test]
    fn malformed_operands_are_refused_with_their_place() {
        let many: Vec<u32> = (0..10_001).collect();
        let cases = [
            ("$inc", json!("1"), ""),
            ("$mul", json!(null), ""),
            ("$push", json!({"$slice": 1}), ""),
            ("$push", json!({"$each": 1}), ".$each"),
            ("$push", json!({"$each": many}), ".$each"),
            ("$push", json!({"$each": [], "$position": 0.5}), ".$position"),
            ("$push", json!({"$each": [], "$slice": "1"}), ".$slice"),
            ("$push", json!({"$each": [], "$sort": 2}), ".$sort"),
            ("$push", json!({"$each": [], "$sort": {}}), ".$sort"),
            ("$push", json!({"$each": [], "$sort": {"a": 0}}), ".$sort.a"),
            ("$push", json!({"$each": [], "$sort": {"a..b": 1}}), ".$sort.a..b"),
            ("$push", json!({"$each": [], "$foo": 1}), ".$foo"),
            ("$push", json!({"$each": [], "foo": 1}), ".foo"),
            ("$bit", json!(1), ""),
            ("$bit", json!({}), ""),
            ("$bit", json!({"not": 1}), ".not"),
            ("$bit", json!({"and": 1.5}), ".and"),
            ("$bit", json!({"and": 1e30}), ".and"),
            ("$bit", json!({"and": "1"}), ".and"),
            ("$pullAll", json!(1), ""),
            ("$pullAll", json!(many), ""),
            ("$pull", json!({"$foo": 1}), ".$foo"),
            ("$pull", json!({"$in": 1}), ".$in"),
            ("$pull", json!({"$gt": 1, "a": 1}), ".a"),
            ("$pull", json!({"a": {"$foo": 1}}), ".a.$foo"),
            ("$pull", json!({"$or": []}), ".$or"),
            ("$addToSet", json!({"$each": 1}), ".$each"),
            ("$addToSet", json!({"$each": [], "$slice": 1}), ".$slice"),
            ("$pop", json!(0), ""),
            ("$pop", json!("1"), ""),
            ("$rename", json!(1), ""),
            ("$rename", json!(""), ""),
            ("$rename", json!("a..b"), ""),
            ("$rename", json!("$a"), ""),
            ("$currentDate", json!(false), ""),
            ("$currentDate", json!({"$type": "timestamp"}), ""),
        ];
        for (name, operand, place) in cases {
            let error = parsed(name, operand.clone()).unwrap_err();
            let place = json!(format!("{name}.f{place}"));
            assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&place)), "{name} {operand}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_update() {
        // "$currentDate"
        let mut now = None;
        let mut read = |operand| UpdateOperator::parse("$currentDate", operand, "$currentDate.f", &mut now).unwrap();
        let (first, second) = (read(json!(true)), read(json!({"$type": "date"})));
        assert_eq!(first, second);
        let UpdateOperator::Set(Value::String(text)) = first else { panic!("{first:?}") };
        assert!(text.len() == 24 && text.starts_with("20") && text.ends_with('Z'), "{text}");
    }
}
