//! Numbers of single precision as the decimals that they are on the wire.
//!
//! An `f32` is written as the shortest decimal that leads back to it, so 0.1 is `0.1`, which whoever reads the JSON takes for
//! the `f64` 0.1. Widened, as `serde_json::to_value` does it, it would be 0.10000000149011612, and a filter for what a client
//! has read would not find it.

use std::fmt::Display;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Value;

/// Below this all whole numbers are exact in single precision, and their own shortest decimals.
const EXACT: f64 = 16_777_216.0;

/// The shortest decimal that leads back to the number. Infinities and NaN stay what they are.
pub(crate) fn shortest(number: f32) -> f64 {
    let wide = f64::from(number);
    if (wide.fract() == 0.0 && wide.abs() < EXACT) || !wide.is_finite() {
        return wide;
    }
    // By the one that writes it to the wire: of two decimals that are equally short and near another one may take the other.
    let mut text = [0; 32];
    let mut rest = text.as_mut_slice();
    let written = serde_json::to_writer(&mut rest, &number).map(|()| rest.len());
    let digits = written.ok().and_then(|left| std::str::from_utf8(text.get(..text.len().checked_sub(left)?)?).ok());
    digits.and_then(|text| text.parse().ok()).unwrap_or(wide)
}

/// The value as JSON, as it would be read back from its text.
///
/// # Errors
/// Those of its `Serialize`.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, serde_json::Error> {
    Decimal(value).serialize(serde_json::value::Serializer)
}

/// A value whose numbers of single precision are written as decimals.
struct Decimal<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Decimal<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Decimals(serializer))
    }
}

/// A serializer, or what it has begun, that is given `f64` for `f32`.
struct Decimals<S>(S);

macro_rules! as_they_are {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$name(value)
        }
    )*};
}

impl<S: Serializer> Serializer for Decimals<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Decimals<S::SerializeSeq>;
    type SerializeTuple = Decimals<S::SerializeTuple>;
    type SerializeTupleStruct = Decimals<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Decimals<S::SerializeTupleVariant>;
    type SerializeMap = Decimals<S::SerializeMap>;
    type SerializeStruct = Decimals<S::SerializeStruct>;
    type SerializeStructVariant = Decimals<S::SerializeStructVariant>;

    as_they_are! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8]
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.0.serialize_f64(shortest(value))
    }
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Decimal(value))
    }
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_struct(name)
    }
    fn serialize_unit_variant(self, name: &'static str, at: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, at, variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Decimal(value))
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, at, variant, &Decimal(value))
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(length).map(Decimals)
    }
    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(length).map(Decimals)
    }
    fn serialize_tuple_struct(self, name: &'static str, length: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, length).map(Decimals)
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0.serialize_tuple_variant(name, at, variant, length).map(Decimals)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(length).map(Decimals)
    }
    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, length).map(Decimals)
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0.serialize_struct_variant(name, at, variant, length).map(Decimals)
    }
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! of_elements {
    ($($trait:ident::$next:ident),*) => {$(
        impl<S: $trait> $trait for Decimals<S> {
            type Ok = S::Ok;
            type Error = S::Error;
            fn $next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$next(&Decimal(value))
            }
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

of_elements! {
    SerializeSeq::serialize_element, SerializeTuple::serialize_element, SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
}

macro_rules! of_fields {
    ($($trait:ident),*) => {$(
        impl<S: $trait> $trait for Decimals<S> {
            type Ok = S::Ok;
            type Error = S::Error;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
                self.0.serialize_field(key, &Decimal(value))
            }
            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.0.skip_field(key)
            }
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

of_fields! { SerializeStruct, SerializeStructVariant }

/// Keys are texts, and written as such.
impl<S: SerializeMap> SerializeMap for Decimals<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Decimal(value))
    }
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), S::Error> {
        self.0.serialize_entry(key, &Decimal(value))
    }
    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_what_the_text_says(bits in any::<u32>(), other in any::<u32>()) {
            let (number, other) = (f32::from_bits(bits), f32::from_bits(other));
            prop_assume!(number.is_finite() && other.is_finite());
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(shortest(number).to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
            #[allow(clippy::cast_possible_truncation, reason = "back to where it came from")]
            let back = shortest(number) as f32;
            prop_assert_eq!(back.to_bits(), number.to_bits());
            // The order stays.
            prop_assert_eq!(shortest(number).partial_cmp(&shortest(other)), number.partial_cmp(&other));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// As long as serde_json is built for it: without, one in eight with 17 digits is read as another one.
        #[test]
        fn what_is_written_is_read(bits in any::<u64>(), fraction in 0.0..1.0_f64) {
            for number in [f64::from_bits(bits), fraction] {
                prop_assume!(number.is_finite());
                let back: f64 = serde_json::from_str(&serde_json::to_string(&number).unwrap()).unwrap();
                prop_assert_eq!(back.to_bits(), number.to_bits());
            }
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        Newtype(f32),
        Tuple(f32, u8),
        Struct { x: f32, y: Option<f32> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Nested {
        plain: f32,
        wide: f64,
        text: String,
        list: Vec<f32>,
        pair: (f32, bool),
        map: BTreeMap<String, Option<f32>>,
        shapes: Vec<Shape>,
        wrapped: Wrapped,
        nothing: (),
        #[serde(flatten)]
        flat: BTreeMap<String, f32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        skipped: Option<f32>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(f32);

    #[test]
    fn a_value_is_what_its_text_is_read_as() {
        let nested = Nested {
            plain: 0.1,
            wide: f64::from(0.1_f32),
            text: "é".into(),
            list: vec![0.3, 16_777_218.0, 1e-45, f32::MAX],
            pair: (0.7, true),
            map: [("a".to_owned(), Some(1.1)), ("b".to_owned(), None)].into(),
            shapes: vec![
                Shape::Unit,
                Shape::Newtype(0.1),
                Shape::Tuple(0.2, 3),
                Shape::Struct { x: 0.4, y: Some(0.5) },
            ],
            wrapped: Wrapped(0.9),
            nothing: (),
            flat: [("flat".to_owned(), 0.6)].into(),
            skipped: None,
        };
        let text = serde_json::to_string(&nested).unwrap();
        let value = to_value(&nested).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(value.to_string(), text);
        assert_eq!(serde_json::from_value::<Nested>(value).unwrap(), nested);
        assert_eq!(to_value(&[f32::NAN, f32::INFINITY]).unwrap(), json!([null, null]));
        assert_eq!(to_value("x").unwrap(), json!("x"));
    }
}
