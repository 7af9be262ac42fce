//! `$slice` of projections (MongoDB manual, "$slice (projection)").

use std::ops::Range;

use serde_json::{Value, json};

use super::whole;
use crate::error::{Error, Result};

/// A part of an array: the first so many elements, the last so many, or so many from some place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slice {
    /// How many are passed over; from the end where it is negative.
    skip: i64,
    limit: u64,
}

impl Slice {
    pub(crate) fn parse(operand: &Value, at: &str) -> Result<Self> {
        let number = |value: &Value| whole(value).and_then(|number| i64::try_from(number).ok());
        let wrong = || {
            let text = "needs a whole number, or a list of how many to pass over and how many to show, from 1";
            Error::query(at, text)
        };
        match operand {
            Value::Array(pair) => match pair.as_slice() {
                [skip, limit] => {
                    let limit = number(limit).and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
                    Ok(Self { skip: number(skip).ok_or_else(wrong)?, limit: limit.ok_or_else(wrong)? })
                }
                _ => Err(wrong()),
            },
            operand => {
                let count = number(operand).ok_or_else(wrong)?;
                Ok(Self { skip: count.min(0), limit: count.unsigned_abs().min(i64::MAX as u64) })
            }
        }
    }

    pub(crate) fn to_json(self) -> Value {
        if self.limit == 0 { json!(0) } else { json!([self.skip, self.limit]) }
    }

    /// Which elements of an array with so many.
    pub(crate) fn of(self, length: usize) -> Range<usize> {
        let places = usize::try_from(self.skip.unsigned_abs()).unwrap_or(usize::MAX);
        // Before the first one is the first one, behind the last one there are none.
        let start = if self.skip < 0 { length.saturating_sub(places) } else { places.min(length) };
        let end = start.saturating_add(usize::try_from(self.limit).unwrap_or(usize::MAX)).min(length);
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_array_of_five() {
        for (operand, expected) in [
            (json!(3), 0..3),
            (json!(-3), 2..5),
            (json!(0), 0..0),
            (json!(9), 0..5),
            (json!(-9), 0..5),
            (json!(2.0), 0..2),
            (json!([1, 2]), 1..3),
            (json!([-3, 2]), 2..4),
            (json!([-9, 2]), 0..2),
            (json!([4, 9]), 4..5),
            (json!([5, 1]), 5..5),
            (json!([9, 1]), 5..5),
            (json!([i64::MAX, i64::MAX]), 5..5),
            (json!([i64::MIN, i64::MAX]), 0..5),
            (json!(i64::MIN), 0..5),
        ] {
            assert_eq!(Slice::parse(&operand, "").unwrap().of(5), expected, "{operand}");
        }
        assert_eq!(Slice::parse(&json!(-2), "").unwrap().of(0), 0..0);
        for wrong in [
            json!(1.5),
            json!("1"),
            json!(null),
            json!([1]),
            json!([1, 0]),
            json!([1, -1]),
            json!([1, 2, 3]),
            json!({}),
            json!(1e300),
        ] {
            assert!(Slice::parse(&wrong, "").is_err(), "{wrong}");
        }
    }
}
