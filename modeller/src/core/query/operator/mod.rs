//! Operators that need more than a comparison, of filters, projections and updates: each reads its operand once, and is asked often.

mod bits;
mod bitwise;
mod change;
pub(in crate::core) mod date;
mod list;
mod modulo;
mod number;
mod pattern;
mod slice;
mod types;

pub(crate) use self::bits::{Bits, BitsTest};
pub(crate) use self::bitwise::Bitwise;
pub(crate) use self::change::UpdateOperator;
pub(crate) use self::list::{End, Pull, Push};
pub(crate) use self::modulo::Modulo;
pub(crate) use self::pattern::Pattern;
pub(crate) use self::slice::Slice;
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
