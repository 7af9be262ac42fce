//! Updates: operators of the MongoDB manual, or a merge patch (RFC 7396), as one list of steps on the stored form.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::filter::Path;
pub(crate) use super::operator::UpdateOperator;
use super::parse::{Schema, parse_path};
use crate::core::private::Audience;
use crate::error::{Error, ErrorCode, Result};

/// How many steps one update may have.
const MAX_STEPS: usize = 1_000;
/// How deep a document may be nested after an update. What is stored deeper could not be read any more; a body cannot be
/// deeper, but an operand comes below a path.
const MAX_NESTING: usize = 127;
/// What an update may do.
pub(crate) const OPERATORS: &[&str] = &[
    "$set",
    "$unset",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$push",
    "$bit",
    "$pull",
    "$pullAll",
    "$addToSet",
    "$pop",
    "$rename",
    "$currentDate",
];

/// An update of a document of whatever model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawUpdate {
    /// Operators on paths.
    Operators(Vec<(Path, UpdateOperator)>),
    /// RFC 7396.
    Merge(Map<String, Value>),
    /// One of the others, by somebody to whom what is protected is not there.
    Open(Box<RawUpdate>),
}

impl RawUpdate {
    pub(crate) fn operator(path: &str, operator: UpdateOperator) -> Self {
        Self::Operators(vec![(Path::new(path), operator)])
    }

    /// Reads an update: an object whose keys are all operators, or a merge patch without any.
    pub(crate) fn parse(json: Value, schema: &Schema<'_>) -> Result<Self> {
        let update = Self::parse_whole(json, schema)?;
        Ok(match schema {
            Schema::Visible(model, Audience::Anyone) if model.is_partly_open() => Self::Open(Box::new(update)),
            _ => update,
        })
    }

    fn parse_whole(json: Value, schema: &Schema<'_>) -> Result<Self> {
        let Value::Object(object) = json else {
            return Err(Error::query("", "an update is an object"));
        };
        if !object.keys().any(|name| name.starts_with('$')) {
            return Self::parse_merge(object, schema);
        }
        let mut steps = Vec::new();
        let mut now = None;
        for (name, fields) in object {
            if !name.starts_with('$') {
                return Err(Error::query(&name, "operators and fields are mixed"));
            }
            let Value::Object(fields) = fields else {
                return Err(Error::query(&name, "needs an object of fields"));
            };
            if name == "$setOnInsert" {
                return Err(Error::query(&name, "an update inserts nothing, an upsert is given the whole document"));
            }
            if !OPERATORS.contains(&name.as_str()) {
                return Err(Error::query(&name, format!("unknown operator `{name}`")));
            }
            for (field, operand) in fields {
                let at = format!("{name}.{field}");
                if field.split('.').any(|name| name.starts_with('$')) {
                    let text = "there is no positional `$` here: an element is named by its position, as in `list.0`";
                    return Err(Error::query(&at, text));
                }
                let path = parse_path(&field, &at)?;
                written(&path, &at, schema)?;
                let operator = UpdateOperator::parse(&name, operand, &at, &mut now)?;
                tells_nothing(&path, &operator, &name, &at, schema)?;
                if steps.len() >= MAX_STEPS {
                    return Err(Error::query(&at, format!("an update has at most {MAX_STEPS} steps")));
                }
                let step = (path, operator);
                let twice = |other: &Path| Error::query(&at, format!("`{}` is updated twice", other.dotted()));
                if let UpdateOperator::Rename(to) = &step.1 {
                    written(to, &at, schema)?;
                    if overlap(&step.0, to) {
                        return Err(twice(to));
                    }
                }
                for known in &steps {
                    for path in paths(&step) {
                        if let Some(other) = paths(known).find(|other| overlap(other, path)) {
                            return Err(twice(other));
                        }
                    }
                }
                steps.push(step);
            }
        }
        Ok(Self::Operators(steps))
    }

    fn parse_merge(object: Map<String, Value>, schema: &Schema<'_>) -> Result<Self> {
        for (name, value) in &object {
            writable(name, name)?;
            if value.is_null() {
                // What is not there is not taken away either; any other value would be seen where the document is checked.
                written(&Path::member(name), name, schema)?;
            }
            if has_operators(value, 0) {
                return Err(Error::query(name, "a merge patch holds no operators"));
            }
        }
        Ok(Self::Merge(object))
    }

    /// The update as [`RawUpdate::parse`] reads it.
    ///
    /// # Errors
    /// `INVALID_QUERY` for two steps that write to one path, which cannot be said in one object.
    #[cfg(any(feature = "client", test))]
    pub(crate) fn to_json(&self) -> Result<Value> {
        let steps = match self {
            Self::Merge(patch) => return Ok(Value::Object(patch.clone())),
            Self::Open(update) => return update.to_json(),
            Self::Operators(steps) => steps,
        };
        let mut json = Map::new();
        for (path, operator) in steps {
            let path = path.dotted();
            let (name, operand) = operator.to_json();
            let fields = json.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let fields = fields.as_object_mut().filter(|fields| !fields.contains_key(&path));
            let twice = || Error::query(&format!("{name}.{path}"), format!("`{path}` is updated twice"));
            fields.ok_or_else(twice)?.insert(path.clone(), operand);
        }
        Ok(Value::Object(json))
    }

    /// The stored form after the update.
    pub(crate) fn apply(&self, value: &mut Value) -> Result<()> {
        match self {
            Self::Merge(patch) => {
                merge(value, patch);
                Ok(())
            }
            Self::Open(update) => update.apply(value),
            Self::Operators(steps) => {
                for (path, operator) in steps {
                    operator.apply(value, path)?;
                }
                if nests_deeper(value, MAX_NESTING) {
                    return Err(Error::new(ErrorCode::PayloadTooLarge)
                        .message(format!("a document is nested {MAX_NESTING} deep at most")));
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

/// A field that an update from outside may write to. A private one may be written, so it is known here; its value is never told.
fn written(path: &Path, at: &str, schema: &Schema<'_>) -> Result<()> {
    writable(path.head(), at)?;
    match schema {
        Schema::Visible(model, by) if model.field(path.head()).is_none_or(|field| field.is_hidden(*by)) => {
            schema.check(path.clone()).map(drop)
        }
        _ => Ok(()),
    }
}

/// Refuses what would tell somebody outside about a private value: whether the outcome fits the schema, or what can be seen
/// afterwards, must not depend on it.
fn tells_nothing(path: &Path, operator: &UpdateOperator, name: &str, at: &str, schema: &Schema<'_>) -> Result<()> {
    let Schema::Visible(model, by) = schema else { return Ok(()) };
    if operator.is_blind() && name != "$currentDate" {
        return Ok(());
    }
    let target = match operator {
        UpdateOperator::Rename(to) => model.holds_private(to.names(), *by),
        _ => false,
    };
    if target || model.is_private(path.names(), *by) {
        return Err(Error::query(at, format!("a private value can be set and unset, `{name}` is not for it")));
    }
    if operator.looks_inside() && model.holds_private(path.names(), *by) {
        return Err(Error::query(at, format!("holds private values, which `{name}` would tell about")));
    }
    Ok(())
}

/// All paths that a step writes to.
fn paths((path, operator): &(Path, UpdateOperator)) -> impl Iterator<Item = &Path> {
    let target = match operator {
        UpdateOperator::Rename(to) => Some(to),
        _ => None,
    };
    std::iter::once(path).chain(target)
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

/// Whether a value is nested deeper than this.
pub(crate) fn nests_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels == 0 || values.iter().any(|value| nests_deeper(value, levels - 1)),
        Value::Object(object) => levels == 0 || object.values().any(|value| nests_deeper(value, levels - 1)),
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
    /// All operators that an update may have, as MongoDB spells them.
    ///
    /// ```
    /// use modeller::{Document, Update};
    /// assert!(Update::<Document>::OPERATORS.contains(&"$addToSet"));
    /// ```
    pub const OPERATORS: &'static [&'static str] = OPERATORS;

    pub(crate) fn from_raw(raw: RawUpdate) -> Self {
        Self(Arc::new(raw), PhantomData)
    }

    pub(crate) fn raw(&self) -> &Arc<RawUpdate> {
        &self.0
    }

    /// Reads an update in MongoDB syntax: an object whose keys are all operators, or a merge patch (RFC 7396) without any. The
    /// names of fields are not checked here.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// let birthday = Update::<Document>::parse(json!({"$inc": {"age": 1}, "$unset": {"draft": 1}}))?;
    /// let married = Update::<Document>::parse(json!({"name": "King", "draft": null}))?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// `INVALID_QUERY` with the path and the reason.
    pub fn parse(json: Value) -> Result<Self> {
        RawUpdate::parse(json, &Schema::Any).map(Self::from_raw)
    }

    /// A merge patch (RFC 7396) of the fields.
    ///
    /// # Errors
    /// `INVALID_QUERY` for a patch that is no object or holds operators.
    pub fn merge(patch: Value) -> Result<Self> {
        match patch {
            Value::Object(object) => RawUpdate::parse_merge(object, &Schema::Any).map(Self::from_raw),
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
            // What is joined here was written in the program.
            RawUpdate::Open(_) => Vec::new(),
            RawUpdate::Merge(patch) => patch
                .into_iter()
                .map(|(name, value)| match value {
                    Value::Null => (Path::new(&name), UpdateOperator::Unset),
                    value => (Path::new(&name), UpdateOperator::Set(value)),
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
    fn what_there_is_not_is_refused_with_a_reason() {
        for (update, place, reason) in [
            (json!({"$setOnInsert": {"a": 1}}), "$setOnInsert", "inserts nothing"),
            (json!({"$foo": {"a": 1}}), "$foo", "unknown operator"),
            (json!({"$set": {"a.$": 1}}), "$set.a.$", "positional"),
            (json!({"$inc": {"a.$[].b": 1}}), "$inc.a.$[].b", "positional"),
            (json!({"$set": {"a.$[one]": 1}}), "$set.a.$[one]", "positional"),
        ] {
            let error = RawUpdate::parse(update.clone(), &Schema::Any).unwrap_err();
            assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!(place))), "{update}");
            assert!(error.get("reason").and_then(Value::as_str).unwrap().contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for update in [
            json!({"$set": {"a.b": {"$x": 1}}, "$unset": {"c": 1}, "$inc": {"d": 2}, "$mul": {"e": 1.5}}),
            json!({"$min": {"a": "x"}, "$max": {"b": [1]}, "$rename": {"c": "d.e"}, "$pop": {"f": -1, "g": 1}}),
            json!({"$push": {"a": {"$each": [1, {"b": 2}], "$position": -1, "$slice": 5, "$sort": {"b": -1}}, "c": {"$each": [1]}}}),
            json!({"$push": {"a": {"$each": [3], "$sort": 1}}, "$addToSet": {"b": {"$each": [1, 2]}}}),
            json!({"$pull": {"a": {"$gte": 3}, "b": {"c": 1, "d": {"$in": [1]}}, "e": {"$gt": 1, "$lt": 9}}, "$pullAll": {"f": [1, 2]}}),
            json!({"$bit": {"a": {"and": 5, "or": 2, "xor": 1}}}),
            json!({"a": {"b": null}, "c": 1}),
            json!({}),
        ] {
            let read = RawUpdate::parse(update.clone(), &Schema::Any).unwrap();
            let written = read.to_json().unwrap();
            let again = RawUpdate::parse(written.clone(), &Schema::Any).unwrap();
            assert_eq!(format!("{again:?}"), format!("{read:?}"), "{written}");
        }
        // One that is equal is one of a list of one.
        let pull = RawUpdate::parse(json!({"$pull": {"a": 7}}), &Schema::Any).unwrap();
        assert_eq!(pull.to_json().unwrap(), json!({"$pullAll": {"a": [7]}}));
        let twice = RawUpdate::Operators(
            [1, 2].map(|by| (Path::new("a"), UpdateOperator::Inc(by.into()))).into_iter().collect(),
        );
        assert_eq!(twice.to_json().unwrap_err().get("path"), Some(&json!("$inc.a")));
    }

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
}
