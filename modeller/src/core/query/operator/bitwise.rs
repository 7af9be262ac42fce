//! `$bit` (MongoDB manual, "$bit"): bits of whole numbers, negative ones in two's complement.

use serde_json::Value;

use super::whole;
use crate::core::query::filter::Path;
use crate::error::{Error, Result};

/// How many steps one operand may have.
const MAX_STEPS: usize = 16;

/// What is done to the bits, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bitwise(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    And(i128),
    Or(i128),
    Xor(i128),
}

/// A whole number of the wire.
fn integer(value: &Value) -> Option<i128> {
    whole(value).filter(|whole| i64::try_from(*whole).is_ok() || u64::try_from(*whole).is_ok())
}

impl Bitwise {
    pub(super) fn parse(operand: &Value, at: &str) -> Result<Self> {
        let steps = operand.as_object().filter(|steps| (1..=MAX_STEPS).contains(&steps.len()));
        let steps = steps.ok_or_else(|| Error::query(at, "needs an object of `and`, `or` and `xor`"))?;
        let step = |(name, mask): (&String, &Value)| {
            let here = format!("{at}.{name}");
            let mask = integer(mask).ok_or_else(|| Error::query(&here, "needs a whole number"))?;
            match name.as_str() {
                "and" => Ok(Step::And(mask)),
                "or" => Ok(Step::Or(mask)),
                "xor" => Ok(Step::Xor(mask)),
                _ => Err(Error::query(&here, "there are `and`, `or` and `xor`")),
            }
        };
        steps.iter().map(step).collect::<Result<_>>().map(Self)
    }

    /// The operand that it is read from.
    #[cfg(any(feature = "client", test))]
    pub(super) fn to_json(&self) -> Value {
        let step = |step: &Step| {
            let (name, mask) = match step {
                Step::And(mask) => ("and", mask),
                Step::Or(mask) => ("or", mask),
                Step::Xor(mask) => ("xor", mask),
            };
            // What was read is one of the two.
            let mask = i64::try_from(*mask).map(Value::from).or_else(|_| u64::try_from(*mask).map(Value::from));
            (name.to_owned(), mask.unwrap_or_default())
        };
        Value::Object(self.0.iter().map(step).collect())
    }

    /// Of what is missing, which has no bit set, too.
    pub(super) fn apply(&self, current: Option<&Value>, path: &Path) -> Result<Value> {
        let wrong = |reason: &str| Error::query(&path.dotted(), reason);
        let start = current.map_or(Some(0), integer).ok_or_else(|| wrong("is not a whole number"))?;
        let bits = self.0.iter().fold(start, |bits, step| match step {
            Step::And(mask) => bits & mask,
            Step::Or(mask) => bits | mask,
            Step::Xor(mask) => bits ^ mask,
        });
        let number = i64::try_from(bits).map(Value::from).or_else(|_| u64::try_from(bits).map(Value::from));
        number.map_err(|_| wrong("the result is out of range"))
    }
}
