//! Arithmetic on wire numbers: exact for whole ones, and refused where a result leaves the range of the wire.

use serde_json::{Number, Value};

use crate::core::query::filter::Path;
use crate::error::{Error, Result};

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn calculated(
    (a, b): (&Value, &Value),
    path: &Path,
    exact: impl Fn(i128, i128) -> Option<i128>,
    near: impl Fn(f64, f64) -> f64,
) -> Result<Value> {
    let (a, b) = match (a, b) {
        (Value::Number(a), Value::Number(b)) => (a, b),
        (_, Value::Number(_)) => return Err(Error::query(&path.dotted(), "is not a number")),
        _ => return Err(Error::query(&path.dotted(), "needs a number")),
    };
    let result = match (whole(a), whole(b)) {
        (Some(a), Some(b)) => exact(a, b).and_then(|result| {
            i64::try_from(result).map(Value::from).or_else(|_| u64::try_from(result).map(Value::from)).ok()
        }),
        _ => Number::from_f64(near(float(a), float(b))).map(Value::Number),
    };
    result.ok_or_else(|| Error::query(&path.dotted(), "the result is out of range"))
}

pub(super) fn sum(a: &Value, b: &Value, path: &Path) -> Result<Value> {
    calculated((a, b), path, i128::checked_add, |a, b| a + b)
}

pub(super) fn product(a: &Value, b: &Value, path: &Path) -> Result<Value> {
    calculated((a, b), path, i128::checked_mul, |a, b| a * b)
}

/// Zero of the same kind: whole for a whole number.
pub(super) fn zero(like: &Value, path: &Path) -> Result<Value> {
    match like {
        Value::Number(number) if whole(number).is_some() => Ok(Value::from(0)),
        Value::Number(_) => Ok(Value::from(0.0)),
        _ => Err(Error::query(&path.dotted(), "needs a number")),
    }
}
