//! Updates: operators of the MongoDB manual, or a merge patch (RFC 7396), as one list of steps on the stored form.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::filter::{Path, position};
use super::parse::{Schema, parse_path};
use crate::core::schema::ModelSchema;
use crate::error::{Error, Result};

/// How many steps one update may have.
const MAX_STEPS: usize = 1_000;

/// What is done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateOperator {
    /// `$set`
    Set,
    /// `$unset`
    Unset,
    /// `$inc`
    Inc,
}

/// An update of a document of whatever model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawUpdate {
    /// Operators on paths.
    Operators(Vec<(UpdateOperator, Path, Value)>),
    /// RFC 7396.
    Merge(Map<String, Value>),
}

impl RawUpdate {
    pub(crate) fn operator(operator: UpdateOperator, path: &str, operand: Value) -> Self {
        Self::Operators(vec![(operator, Path::new(path), operand)])
    }

    /// Reads an update from outside: an object whose keys are all operators, or a merge patch without any.
    pub(crate) fn parse(json: Value, model: &ModelSchema) -> Result<Self> {
        let Value::Object(object) = json else {
            return Err(Error::query("", "an update is an object"));
        };
        if !object.keys().any(|name| name.starts_with('$')) {
            return Self::parse_merge(object);
        }
        let mut steps = Vec::new();
        for (name, fields) in object {
            let operator = match name.as_str() {
                "$set" => UpdateOperator::Set,
                "$unset" => UpdateOperator::Unset,
                "$inc" => UpdateOperator::Inc,
                _ if name.starts_with('$') => return Err(Error::query(&name, format!("unknown operator `{name}`"))),
                _ => return Err(Error::query(&name, "operators and fields are mixed")),
            };
            let Value::Object(fields) = fields else {
                return Err(Error::query(&name, "needs an object of fields"));
            };
            for (field, operand) in fields {
                let at = format!("{name}.{field}");
                let path = parse_path(&field, &at)?;
                writable(path.head(), &at)?;
                // A private field may be written from outside, so it is known here; its value is never told.
                let known = model.field(path.head());
                if known.is_none() {
                    Schema::Visible(model).check(path.clone())?;
                }
                if operator == UpdateOperator::Inc && known.is_some_and(|field| field.private) {
                    // Whether the sum still fits the schema would tell what was there.
                    return Err(Error::query(&at, "a private field can be set, not counted up"));
                }
                if operator == UpdateOperator::Inc && !operand.is_number() {
                    return Err(Error::query(&at, "needs a number"));
                }
                if steps.len() >= MAX_STEPS {
                    return Err(Error::query(&at, format!("an update has at most {MAX_STEPS} steps")));
                }
                if let Some((_, other, _)) = steps.iter().find(|(_, other, _)| overlap(other, &path)) {
                    return Err(Error::query(&at, format!("`{}` is updated twice", other.dotted())));
                }
                steps.push((operator, path, operand));
            }
        }
        Ok(Self::Operators(steps))
    }

    fn parse_merge(object: Map<String, Value>) -> Result<Self> {
        for (name, value) in &object {
            writable(name, name)?;
            if has_operators(value, 0) {
                return Err(Error::query(name, "a merge patch holds no operators"));
            }
        }
        Ok(Self::Merge(object))
    }

    /// The stored form after the update.
    pub(crate) fn apply(&self, value: &mut Value) -> Result<()> {
        match self {
            Self::Merge(patch) => {
                merge(value, patch);
                Ok(())
            }
            Self::Operators(steps) => {
                for (operator, path, operand) in steps {
                    step(*operator, value, path, operand)?;
                }
                Ok(())
            }
        }
    }
}

/// What the document itself decides cannot be written.
fn writable(name: &str, at: &str) -> Result<()> {
    match name {
        "_id" | "_rev" => Err(Error::query(at, "cannot be changed")),
        _ => Ok(()),
    }
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.names().iter().zip(b.names()).all(|(a, b)| a == b)
}

fn has_operators(value: &Value, depth: usize) -> bool {
    match value {
        _ if depth > 128 => true,
        Value::Object(object) => {
            object.iter().any(|(name, value)| name.starts_with('$') || has_operators(value, depth + 1))
        }
        Value::Array(values) => values.iter().any(|value| has_operators(value, depth + 1)),
        _ => false,
    }
}

/// RFC 7396 §2.
fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                object.remove(name);
            }
            Value::Object(inner) => merge(object.entry(name.as_str()).or_insert(Value::Null), inner),
            value => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}

fn step(operator: UpdateOperator, value: &mut Value, path: &Path, operand: &Value) -> Result<()> {
    let Some((last, way)) = path.names().split_last() else { return Ok(()) };
    let cannot = |reason: &str| Err(Error::query(&path.dotted(), reason));
    let mut place = value;
    for name in way {
        if place.is_array() {
            let Some(next) = position(name).and_then(|at| place.get_mut(at)) else {
                return if operator == UpdateOperator::Unset {
                    Ok(())
                } else {
                    cannot("the list has no such position")
                };
            };
            place = next;
            continue;
        }
        let Value::Object(object) = place else {
            return if operator == UpdateOperator::Unset {
                Ok(())
            } else {
                cannot("leads through a value that is no object")
            };
        };
        if operator == UpdateOperator::Unset && !object.contains_key(name.as_ref()) {
            return Ok(());
        }
        place = object.entry(name.as_ref()).or_insert_with(|| Value::Object(Map::new()));
    }
    match place {
        Value::Object(object) => match operator {
            UpdateOperator::Set => {
                object.insert(last.to_string(), operand.clone());
            }
            UpdateOperator::Unset => {
                object.remove(last.as_ref());
            }
            UpdateOperator::Inc => {
                let next = match object.get(last.as_ref()) {
                    None => operand.clone(),
                    Some(Value::Number(number)) => sum(number, operand, path)?,
                    Some(_) => return cannot("is not a number"),
                };
                object.insert(last.to_string(), next);
            }
        },
        Value::Array(array) => {
            let Some(element) = position(last).and_then(|at| array.get_mut(at)) else {
                return cannot("the list has no such position");
            };
            *element = match (operator, &*element) {
                (UpdateOperator::Set, _) => operand.clone(),
                // As in MongoDB: a list keeps its length.
                (UpdateOperator::Unset, _) => Value::Null,
                (UpdateOperator::Inc, Value::Number(number)) => sum(number, operand, path)?,
                (UpdateOperator::Inc, _) => return cannot("is not a number"),
            };
        }
        _ => return cannot("leads through a value that is no object"),
    }
    Ok(())
}

/// Whole numbers are added exactly, and refused where they leave the range of the wire.
fn sum(number: &Number, operand: &Value, path: &Path) -> Result<Value> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let Value::Number(by) = operand else { return Err(Error::query(&path.dotted(), "needs a number")) };
    let out_of_range = || Error::query(&path.dotted(), "the sum is out of range");
    match (whole(number), whole(by)) {
        (Some(a), Some(b)) => {
            let sum = a + b;
            i64::try_from(sum)
                .map(Value::from)
                .or_else(|_| u64::try_from(sum).map(Value::from))
                .map_err(|_| out_of_range())
        }
        _ => {
            let sum = number.as_f64().unwrap_or(f64::NAN) + by.as_f64().unwrap_or(f64::NAN);
            Number::from_f64(sum).map(Value::Number).ok_or_else(out_of_range)
        }
    }
}

/// An update of documents of the model `T`, made by its field constants.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String, pub age: u8 }
/// let birthday = User::AGE.inc(1) & User::NAME.set("Ada");
/// ```
pub struct Update<T: ?Sized>(Arc<RawUpdate>, PhantomData<fn(&T)>);

impl<T: ?Sized> Update<T> {
    pub(crate) fn from_raw(raw: RawUpdate) -> Self {
        Self(Arc::new(raw), PhantomData)
    }

    pub(crate) fn raw(&self) -> &Arc<RawUpdate> {
        &self.0
    }

    /// A merge patch (RFC 7396) of the fields.
    ///
    /// # Errors
    /// `INVALID_QUERY` for a patch that is no object or holds operators.
    pub fn merge(patch: Value) -> Result<Self> {
        match patch {
            Value::Object(object) => RawUpdate::parse_merge(object).map(Self::from_raw),
            _ => Err(Error::query("", "a merge patch is an object")),
        }
    }
}

impl<T: ?Sized> Clone for Update<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T: ?Sized> std::fmt::Debug for Update<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The operands may be private values.
        f.debug_tuple("Update").finish()
    }
}

/// Both, the left one first.
impl<T: ?Sized> std::ops::BitAnd for Update<T> {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        let steps = |update: Arc<RawUpdate>| match Arc::unwrap_or_clone(update) {
            RawUpdate::Operators(steps) => steps,
            RawUpdate::Merge(patch) => patch
                .into_iter()
                .map(|(name, value)| match value {
                    Value::Null => (UpdateOperator::Unset, Path::new(&name), Value::Null),
                    value => (UpdateOperator::Set, Path::new(&name), value),
                })
                .collect(),
        };
        let mut all = steps(self.0);
        all.extend(steps(other.0));
        Self::from_raw(RawUpdate::Operators(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_patches_of_the_rfc() {
        // RFC 7396, appendix A, those whose patch is an object.
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut target, patch, expected) in cases {
            RawUpdate::Merge(patch.as_object().unwrap().clone()).apply(&mut target).unwrap();
            assert_eq!(target, expected, "{patch}");
        }
    }

    #[test]
    fn operators() {
        let mut value = json!({"a": 1, "l": [1, 2], "o": {"x": 1}, "big": u64::MAX});
        let apply = |value: &mut Value, operator, path: &str, operand| {
            RawUpdate::operator(operator, path, operand).apply(value)
        };
        apply(&mut value, UpdateOperator::Inc, "a", json!(2)).unwrap();
        apply(&mut value, UpdateOperator::Inc, "l.1", json!(0.5)).unwrap();
        apply(&mut value, UpdateOperator::Set, "o.y.z", json!(3)).unwrap();
        apply(&mut value, UpdateOperator::Unset, "o.x", json!("")).unwrap();
        assert_eq!(value, json!({"a": 3, "l": [1, 2.5], "o": {"y": {"z": 3}}, "big": u64::MAX}));
        assert!(apply(&mut value, UpdateOperator::Inc, "big", json!(1)).is_err());
        assert!(apply(&mut value, UpdateOperator::Inc, "o", json!(1)).is_err());
        assert!(apply(&mut value, UpdateOperator::Set, "a.b", json!(1)).is_err());
    }
}
