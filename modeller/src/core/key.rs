//! Keys of indexes: wire values as bytes, whose order is the order of mixed values.
//!
//! A key is one value, or several one after the other for a compound index. The form of a value tells where it ends, so that
//! the keys that begin with some values lie between those values and the same with [`ABOVE`] behind them. Equal values have
//! equal bytes: `1` and `1.0`, objects whatever the order of their members.

use std::cmp::Ordering;
use std::iter;
use std::sync::Arc;

use uuid::Uuid;

use super::id::RawId;
use super::value::{Kind, Num, ValueRef};

/// Behind the bytes of a value it is above whatever goes on from there: no value begins with it, and no text holds it.
pub(crate) const ABOVE: u8 = 0xFF;
/// Ends texts, arrays and objects; below whatever a value begins with.
const END: u8 = 0;
/// Before a byte of a text that is one of these two.
const ESCAPE: u8 = 1;
const EMPTY: u8 = 0x04;
const NULL: u8 = 0x08;
const NAN: u8 = 0x10;
/// A negative number whose whole part has no byte; less for each byte that it has.
const NEGATIVE: u8 = 0x30;
/// The same for the others; more for each byte.
const POSITIVE: u8 = 0x31;
/// So many bytes stand for what is too large to be held exactly.
const HUGE: u8 = 17;
const TEXT: u8 = 0x50;
const OBJECT: u8 = 0x60;
const ARRAY: u8 = 0x70;
const FALSE: u8 = 0x80;
const TRUE: u8 = 0x81;

/// How many bytes lie in the key itself: enough for most addresses and names, which are then neither allocated nor far away
/// when keys are compared.
const SHORT: usize = 30;

/// A key, in 32 bytes where it is short or the text of a UUID.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// The one value is the canonical text of a UUID.
    Uuid(u64, u64),
    /// So many bytes; the others are zero.
    Short(u8, [u8; SHORT]),
    Long(Arc<[u8]>),
}

impl Key {
    /// The key with these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if let [TEXT, text @ .., END] = bytes
            && text.len() == 36
            && let Some((high, low)) = std::str::from_utf8(text).ok().and_then(RawId::uuid_of_text)
        {
            return Self::Uuid(high, low);
        }
        let mut short = [0; SHORT];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Self::Short(length, short)
            }
            _ => Self::Long(bytes.into()),
        }
    }

    /// The key of one value.
    pub(crate) fn of_value(value: &ValueRef<'_>) -> Self {
        if let ValueRef::Id(id) = value
            && let Some((high, low)) = id.as_uuid()
        {
            return Self::Uuid(high, low);
        }
        if let ValueRef::Str(text) = value
            && !has_escapes(text)
        {
            return Self::of_plain_text(text);
        }
        let mut bytes = Vec::with_capacity(64);
        push_value(&mut bytes, value);
        Self::of(&bytes)
    }

    /// The key of a text without bytes that are escaped.
    fn of_plain_text(text: &str) -> Self {
        if let Some((high, low)) = RawId::uuid_of_text(text) {
            return Self::Uuid(high, low);
        }
        let mut short = [END; SHORT];
        let length = text.len() + 2;
        if let (Some([first, place @ .., _]), Ok(length)) = (short.get_mut(..length), u8::try_from(length)) {
            *first = TEXT;
            place.copy_from_slice(text.as_bytes());
            return Self::Short(length, short);
        }
        Self::Long(iter::once(TEXT).chain(text.bytes()).chain(iter::once(END)).collect())
    }

    /// Runs `f` on the bytes.
    pub(crate) fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Uuid(high, low) => {
                let mut bytes = [END; 38];
                let [first, text @ .., _] = &mut bytes;
                *first = TEXT;
                Uuid::from_u64_pair(*high, *low).hyphenated().encode_lower(text);
                f(&bytes)
            }
            Self::Short(length, bytes) => f(bytes.get(..usize::from(*length)).unwrap_or_default()),
            Self::Long(bytes) => f(bytes),
        }
    }

    /// The id whose key it is.
    pub(crate) fn to_id(&self) -> Option<RawId> {
        self.with_bytes(|bytes| match bytes {
            // An id holds none of the characters that are escaped.
            [TEXT, text @ .., END] => RawId::parse(std::str::from_utf8(text).ok()?).ok(),
            _ => None,
        })
    }
}

/// Eight bytes as a number that is in the same order.
#[inline]
fn word(bytes: &[u8; SHORT], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Uuid(a, b), Self::Uuid(c, d)) => (a, b).cmp(&(c, d)),
            // Nothing is below zero, so that the zeros behind the shorter one decide nothing that its length would not.
            (Self::Short(of_a, a), Self::Short(of_b, b)) => word(a, 0)
                .cmp(&word(b, 0))
                .then_with(|| word(a, 8).cmp(&word(b, 8)))
                .then_with(|| word(a, 16).cmp(&word(b, 16)))
                .then_with(|| word(a, SHORT - 8).cmp(&word(b, SHORT - 8)))
                .then_with(|| of_a.cmp(of_b)),
            (a, b) => a.with_bytes(|a| b.with_bytes(|b| a.cmp(b))),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// Appends what stands for an empty array, which is below `null`.
pub(crate) fn push_empty(out: &mut Vec<u8>) {
    out.push(EMPTY);
}

/// Appends a value.
pub(crate) fn push_value(out: &mut Vec<u8>, value: &ValueRef<'_>) {
    match value {
        ValueRef::Null | ValueRef::Private(_) | ValueRef::Protected(_) => out.push(NULL),
        ValueRef::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        ValueRef::Int(_) | ValueRef::UInt(_) | ValueRef::Float(_) => {
            if let Some(number) = value.number() {
                push_number(out, number);
            }
        }
        ValueRef::Str(text) => {
            out.push(TEXT);
            push_text(out, text);
            out.push(END);
        }
        ValueRef::Id(id) => {
            out.push(TEXT);
            id.with_text(|text| push_text(out, text));
            out.push(END);
        }
        ValueRef::Array(array) => {
            out.push(ARRAY);
            (0..array.len()).for_each(|at| push_value(out, &array.at(at)));
            out.push(END);
        }
        ValueRef::Object(object) => {
            out.push(OBJECT);
            let mut members: Vec<(&str, ValueRef<'_>)> = (0..object.slots())
                .filter_map(|slot| object.entry(slot))
                .filter(|(_, value)| !matches!(value, ValueRef::Private(_) | ValueRef::Protected(_)))
                .collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                out.push(kind(value.kind()).0);
                push_text(out, name);
                out.push(END);
                push_value(out, &value);
            }
            out.push(END);
        }
        ValueRef::Serialized(_) | ValueRef::Part { .. } => value.resolved(|value| push_value(out, &value)),
    }
}

/// Appends the beginning of all texts that begin with this one.
pub(crate) fn push_beginning(out: &mut Vec<u8>, text: &str) {
    out.push(TEXT);
    push_text(out, text);
}

/// What values of a kind begin with: from the first up to and without the second.
pub(crate) fn kind(kind: Kind) -> (u8, u8) {
    match kind {
        Kind::Null => (NULL, NAN),
        Kind::Number => (NAN, TEXT),
        Kind::String => (TEXT, OBJECT),
        Kind::Object => (OBJECT, ARRAY),
        Kind::Array => (ARRAY, FALSE),
        Kind::Bool => (FALSE, TRUE + 1),
    }
}

fn has_escapes(text: &str) -> bool {
    // Not `any`: without an end in between, many bytes are looked at at once.
    text.bytes().fold(false, |found, byte| found | (byte <= ESCAPE))
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    if !has_escapes(text) {
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            END | ESCAPE => out.extend_from_slice(&[ESCAPE, byte + 1]),
            byte => out.push(byte),
        }
    }
}

/// How many bytes the whole part has, those bytes, and the fraction if there is one; of a negative number the complement of all.
fn push_number(out: &mut Vec<u8>, number: Num) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and below 2^127")]
    let (negative, whole, fraction) = match number {
        Num::Int(value) => (value < 0, value.unsigned_abs(), 0.0),
        Num::Float(value) if value.is_nan() => return out.push(NAN),
        Num::Float(value) if value.abs() >= 8.5e37 => {
            let bits = value.abs().to_bits().to_be_bytes();
            return push_signed(out, value < 0.0, HUGE, bits.into_iter());
        }
        // The difference is exact: both are multiples of the last bit of the number.
        Num::Float(value) => (value < 0.0, value.abs().trunc() as u128, value.abs().fract()),
    };
    let bytes = whole.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let length = bytes.len() - zeros;
    let more = (fraction > 0.0).then(|| fraction.to_bits().to_be_bytes());
    let rest = iter::once(u8::from(more.is_some())).chain(more.into_iter().flatten());
    push_signed(out, negative, length as u8, bytes.into_iter().skip(zeros).chain(rest));
}

fn push_signed(out: &mut Vec<u8>, negative: bool, length: u8, bytes: impl Iterator<Item = u8>) {
    if negative {
        out.push(NEGATIVE - length);
        out.extend(bytes.map(|byte| !byte));
    } else {
        out.push(POSITIVE + length);
        out.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::value::AsValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn bytes(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        push_value(&mut out, &value.as_value());
        out
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-4.0..4.0_f64).prop_map(Value::from),
            prop::sample::select(vec![
                json!(0.5),
                json!(-0.5),
                json!(-0.0),
                json!(1e300),
                json!(-1e300),
                json!(5e-324),
                json!(-5e-324),
                json!(1e38),
                json!(8.4e37),
                json!(-8.4e37),
                json!(9_007_199_254_740_993_i64),
                json!(9_007_199_254_740_992.0),
                json!(u64::MAX),
                json!(18_446_744_073_709_551_616.0),
                json!(i64::MIN),
                json!(256),
                json!(255),
                json!(255.5),
                json!("018f0000-0000-7000-8000-000000000000"),
                json!("018f0000-0000-7000-8000-000000000001"),
                json!("018f0000-0000-7000-8000-00000000000"),
                json!("018F0000-0000-7000-8000-000000000000"),
                json!("018g"),
                json!("018f0000-0000-7000-8000-0000000000000"),
                json!("a text of twenty-eight bytes"),
                json!("a text of twenty-eight bytes\u{0}"),
                json!("a text of twenty-nine bytes.."),
            ]),
            "[ab\\x00\\x01\\x02é\u{ffff}😀]{0,4}".prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab\\x00]{0,2}", inner, 0..3)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_of_keys_is_that_of_values(a in value(), b in value(), c in value(), d in value()) {
            let order = a.as_value().compare(&b.as_value());
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), order, "{} {}", a, b);
            prop_assert_eq!(Key::of_value(&a.as_value()).cmp(&Key::of_value(&b.as_value())), order, "{} {}", a, b);
            // Several of them are compared one after the other, and none goes on in the next.
            let both = order.then_with(|| c.as_value().compare(&d.as_value()));
            let pair = |first: &Value, second: &Value| Key::of(&[bytes(first), bytes(second)].concat());
            prop_assert_eq!(pair(&a, &c).cmp(&pair(&b, &d)), both, "{} {} {} {}", a, c, b, d);
            let within = |key: &Key| *key >= Key::of(&bytes(&a)) && *key < Key::of(&[bytes(&a), vec![ABOVE]].concat());
            prop_assert!(within(&pair(&a, &c)) && within(&Key::of_value(&a.as_value())));
            prop_assert_eq!(within(&pair(&b, &d)), order.is_eq());
            let (low, high) = kind(a.as_value().kind());
            prop_assert!(bytes(&a).as_slice() >= &[low][..] && bytes(&a).as_slice() < &[high][..]);
        }
    }

    #[test]
    fn keys_are_small() {
        assert_eq!(size_of::<Key>(), 32);
        assert!(matches!(Key::of_value(&json!("018f0000-0000-7000-8000-000000000000").as_value()), Key::Uuid(..)));
        assert!(matches!(Key::of_value(&json!("a text of twenty-nine bytes..").as_value()), Key::Long(..)));
        assert!(matches!(Key::of_value(&json!("a text of twenty-eight bytes").as_value()), Key::Short(..)));
        assert_eq!(bytes(&json!(30)).len(), 3);
    }
}
