//! `$bitsAllSet`, `$bitsAnySet`, `$bitsAllClear`, `$bitsAnyClear`: the bits of integers, negative ones in two's complement.

use serde_json::Value;

use super::whole;
use crate::core::value::{Num, ValueRef};
use crate::error::{Error, Result};

/// What is asked of the chosen bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitsTest {
    /// `$bitsAllSet`
    AllSet,
    /// `$bitsAnySet`
    AnySet,
    /// `$bitsAllClear`
    AllClear,
    /// `$bitsAnyClear`
    AnyClear,
}

/// A test of chosen bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    test: BitsTest,
    /// As wide as the sign is extended: every position from [`SIGN`] on is that bit.
    mask: u128,
}

/// The highest position of the mask. All integers of the wire have their sign there.
const SIGN: u32 = 127;

/// How many positions one operand may have.
const MAX_POSITIONS: usize = 1_000;

impl Bits {
    pub(crate) fn parse(test: BitsTest, operand: &Value, at: &str) -> Result<Self> {
        let mask = match operand {
            Value::Array(positions) if positions.len() > MAX_POSITIONS => {
                return Err(Error::query(at, format!("takes at most {MAX_POSITIONS} positions")));
            }
            Value::Array(positions) => positions.iter().try_fold(0, |mask, position| {
                let position = whole(position).filter(|position| *position >= 0);
                let position = position.ok_or_else(|| Error::query(at, "a position is a whole number from 0"))?;
                Ok::<_, Error>(mask | 1_u128 << u32::try_from(position).map_or(SIGN, |position| position.min(SIGN)))
            })?,
            mask => whole(mask)
                .and_then(|mask| i64::try_from(mask).ok())
                .and_then(|mask| u128::try_from(mask).ok())
                .ok_or_else(|| Error::query(at, "needs a whole number from 0, or a list of positions"))?,
        };
        Ok(Self { test, mask })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self.test {
            BitsTest::AllSet => "$bitsAllSet",
            BitsTest::AnySet => "$bitsAnySet",
            BitsTest::AllClear => "$bitsAllClear",
            BitsTest::AnyClear => "$bitsAnyClear",
        }
    }

    /// A number where the mask is one, else the positions: the same bits have one form.
    pub(crate) fn to_json(self) -> Value {
        i64::try_from(self.mask).map_or_else(
            |_| (0..=SIGN).filter(|position| self.mask >> position & 1 == 1).collect::<Vec<_>>().into(),
            Value::from,
        )
    }

    pub(crate) fn holds(self, value: &ValueRef<'_>) -> bool {
        let Some(Num::Int(whole)) = value.number() else { return false };
        if i64::try_from(whole).is_err() && u64::try_from(whole).is_err() {
            return false;
        }
        let set = self.mask & whole.cast_unsigned();
        match self.test {
            BitsTest::AllSet => set == self.mask,
            BitsTest::AnySet => set != 0,
            BitsTest::AllClear => set == 0,
            BitsTest::AnyClear => set != self.mask,
        }
    }
}
