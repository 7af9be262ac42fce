//! The operators that look at one value and need more than a comparison: each reads its operand once, and is asked often.

mod bits;
mod modulo;
mod pattern;
mod types;

pub(crate) use self::bits::{Bits, BitsTest};
pub(crate) use self::modulo::Modulo;
pub(crate) use self::pattern::Pattern;
pub(crate) use self::types::Types;

use serde_json::Value;

use crate::core::value::{AsValue, Num};

/// The whole number that the operand is; `2.0` is one, `2.5` is none.
pub(crate) fn whole(operand: &Value) -> Option<i128> {
    match operand.as_value().number()? {
        Num::Int(whole) => Some(whole),
        Num::Float(_) => None,
    }
}
