//! The update operators of the MongoDB manual: their operands, and what they do to a stored form.

pub(super) mod date;
mod list;
mod number;

use std::cmp::Ordering;

use serde_json::{Map, Value};

pub(crate) use list::{End, Pull, Push};

use super::filter::{Path, position};
use super::parse::parse_path;
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
    /// `$pull`
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
    pub(super) fn parse(name: &str, operand: Value, at: &str, now: &mut Option<String>) -> Result<Self> {
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
            "$pull" => Self::Pull(Pull::parse(operand, at)?),
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

    /// Whether what comes of it depends on what was there at all.
    pub(super) fn is_blind(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Unset)
    }

    /// Whether what comes of it depends on the whole of what was there, or moves it.
    pub(super) fn looks_inside(&self) -> bool {
        match self {
            Self::Min(_) | Self::Max(_) | Self::Pull(_) | Self::AddToSet(_) | Self::Rename(_) => true,
            Self::Push(push) => push.looks_at_elements(),
            Self::Set(_) | Self::Unset | Self::Inc(_) | Self::Mul(_) | Self::Pop(_) => false,
        }
    }

    /// Does it to the stored form of a document.
    pub(super) fn apply(&self, value: &mut Value, path: &Path) -> Result<()> {
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
    match current {
        Some(Value::Array(list)) => {
            change(list);
            Ok(Next::Stays)
        }
        Some(_) => Err(Error::query(&path.dotted(), "is not a list")),
        None if make => {
            let mut list = Vec::new();
            change(&mut list);
            Ok(Next::Is(Value::Array(list)))
        }
        None => Ok(Next::Stays),
    }
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
