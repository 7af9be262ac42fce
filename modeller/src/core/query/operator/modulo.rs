//! `$mod`: the remainder of a division. What has a fraction loses it first, towards zero.

use serde_json::Value;

use crate::core::value::{AsValue, Num, ValueRef};
use crate::error::{Error, Result};

/// Divisor and remainder; the divisor is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modulo {
    divisor: i64,
    remainder: i64,
}

impl Modulo {
    pub(crate) fn parse(operand: &Value, at: &str) -> Result<Self> {
        let [divisor, remainder] = operand.as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(Error::query(at, "needs a list of divisor and remainder"));
        };
        let number = |value: &Value, name: &str| {
            let number =
                value.as_value().number().ok_or_else(|| Error::query(at, format!("the {name} is a number")))?;
            truncated(number)
                .and_then(|whole| i64::try_from(whole).ok())
                .ok_or_else(|| Error::query(at, format!("the {name} is out of range")))
        };
        let (divisor, remainder) = (number(divisor, "divisor")?, number(remainder, "remainder")?);
        if divisor == 0 {
            return Err(Error::query(at, "the divisor is not 0"));
        }
        Ok(Self { divisor, remainder })
    }

    pub(crate) fn to_json(self) -> Value {
        Value::from(vec![self.divisor, self.remainder])
    }

    pub(crate) fn holds(self, value: &ValueRef<'_>) -> bool {
        value
            .number()
            .and_then(truncated)
            .and_then(|number| number.checked_rem(i128::from(self.divisor)))
            .is_some_and(|remainder| remainder == i128::from(self.remainder))
    }
}

/// Without the fraction; `None` for a number so large that its digits are not all known.
fn truncated(number: Num) -> Option<i128> {
    match number {
        Num::Int(whole) => Some(whole),
        Num::Float(float) => match Num::of_float(float.trunc()) {
            Num::Int(whole) => Some(whole),
            Num::Float(_) => None,
        },
    }
}
