//! `$type`: which type a value has, by the names and numbers that BSON gives to the types that JSON has too.
//!
//! JSON has one type of number. So it is the value that decides, the same for `1` and `1.0`: whole numbers of 32 bits are
//! `int`, other integers of the wire are `long`, and everything else is `double`.

use serde_json::Value;

use super::whole;
use crate::core::value::{Num, ValueRef};
use crate::error::{Error, Result};

/// Name, number in BSON, and the bit that stands for it.
const TYPES: [(&str, i128, u8); 8] = [
    ("double", 1, DOUBLE),
    ("string", 2, STRING),
    ("object", 3, OBJECT),
    ("array", 4, ARRAY),
    ("bool", 8, BOOL),
    ("null", 10, NULL),
    ("int", 16, INT),
    ("long", 18, LONG),
];
const DOUBLE: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 4;
const ARRAY: u8 = 8;
const BOOL: u8 = 16;
const NULL: u8 = 32;
const INT: u8 = 64;
const LONG: u8 = 128;
/// What the name `number` stands for.
const NUMBER: u8 = DOUBLE | INT | LONG;

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    pub(crate) fn parse(operand: &Value, at: &str) -> Result<Self> {
        match operand {
            Value::Array(list) if list.is_empty() => Err(Error::query(at, "needs at least one type")),
            Value::Array(list) => {
                list.iter().try_fold(Self(0), |types, one| Ok(Self(types.0 | Self::parse_one(one, at)?.0)))
            }
            one => Self::parse_one(one, at),
        }
    }

    fn parse_one(operand: &Value, at: &str) -> Result<Self> {
        let known = match operand {
            Value::String(name) if name == "number" => Some(NUMBER),
            Value::String(name) => TYPES.iter().find(|(known, ..)| known == name).map(|(.., bit)| *bit),
            Value::Number(_) => whole(operand)
                .and_then(|number| TYPES.iter().find(|(_, known, _)| *known == number))
                .map(|(.., bit)| *bit),
            _ => return Err(Error::query(at, "needs the name or the number of a type, or a list of them")),
        };
        known.map(Self).ok_or_else(|| Error::query(at, format!("JSON has no type {operand}")))
    }

    pub(crate) fn to_json(self) -> Value {
        let mut names = Vec::new();
        let mut left = self.0;
        if left & NUMBER == NUMBER {
            names.push(Value::from("number"));
            left &= !NUMBER;
        }
        names.extend(TYPES.iter().filter(|(.., bit)| left & bit != 0).map(|(name, ..)| Value::from(*name)));
        match names.pop() {
            Some(only) if names.is_empty() => only,
            last => names.into_iter().chain(last).collect(),
        }
    }

    pub(crate) fn holds(self, value: &ValueRef<'_>) -> bool {
        let bit = match value {
            ValueRef::Null | ValueRef::Private(_) | ValueRef::Protected(_) => NULL,
            ValueRef::Bool(_) => BOOL,
            ValueRef::Str(_) | ValueRef::Id(_) => STRING,
            ValueRef::Array(_) => ARRAY,
            ValueRef::Object(_) => OBJECT,
            ValueRef::Int(_) | ValueRef::UInt(_) | ValueRef::Float(_) => match value.number() {
                Some(Num::Int(whole)) if i32::try_from(whole).is_ok() => INT,
                Some(Num::Int(whole)) if i64::try_from(whole).is_ok() || u64::try_from(whole).is_ok() => LONG,
                _ => DOUBLE,
            },
            ValueRef::Serialized(_) | ValueRef::Part { .. } => return value.resolved(|value| self.holds(&value)),
        };
        self.0 & bit != 0
    }
}
