//! Which keyword fits which type, as traits: `#[field(min_length = 12)]` on a number is a compile error at the keyword,
//! also when the type is an alias.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::core::id::Id;
use crate::core::private::Private;

/// A text: `min_length`, `max_length`, `pattern` and `format` fit.
#[diagnostic::on_unimplemented(
    message = "`min_length`, `max_length`, `pattern` and `format` are for texts, and `{Self}` is none",
    label = "this field holds no text"
)]
pub trait Text {}
impl Text for String {}
impl<T> Text for Id<T> {}
impl<T: Text> Text for Option<T> {}
impl<T: Text> Text for Private<T> {}

/// A number: `minimum`, `maximum`, `exclusive_minimum`, `exclusive_maximum` and `multiple_of` fit.
#[diagnostic::on_unimplemented(
    message = "`minimum`, `maximum` and `multiple_of` are for numbers, and `{Self}` is none",
    label = "this field holds no number"
)]
pub trait Number {}
macro_rules! numbers {
    ($($type:ty),*) => {$(impl Number for $type {})*};
}
numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);
impl<T: Number> Number for Option<T> {}
impl<T: Number> Number for Private<T> {}

/// A list: `min_items`, `max_items`, `unique_items` and `contains` fit.
#[diagnostic::on_unimplemented(
    message = "`min_items`, `max_items`, `unique_items` and `contains` are for lists, and `{Self}` is none",
    label = "this field holds no list"
)]
pub trait List {}
impl<T> List for Vec<T> {}
impl<T> List for BTreeSet<T> {}
impl<T: List> List for Option<T> {}
impl<T: List> List for Private<T> {}

/// A map: `min_properties` and `max_properties` fit.
#[diagnostic::on_unimplemented(
    message = "`min_properties` and `max_properties` are for maps, and `{Self}` is none",
    label = "this field holds no map"
)]
pub trait Map {}
impl<V> Map for BTreeMap<String, V> {}
impl<V, S> Map for HashMap<String, V, S> {}
impl<T: Map> Map for Option<T> {}
impl<T: Map> Map for Private<T> {}

/// A value that an index can hold: `unique` and `index` fit.
#[diagnostic::on_unimplemented(
    message = "`unique` and `index` need a value that an index can hold, and `{Self}` is none",
    label = "this field cannot be indexed",
    note = "a `Private<…>` field cannot be either: whether a value is taken would tell what it is"
)]
pub trait Indexable {}
macro_rules! indexables {
    ($($type:ty),*) => {$(impl Indexable for $type {})*};
}
indexables!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, String);
impl<T> Indexable for Id<T> {}
impl<T: Indexable> Indexable for Option<T> {}
impl<T: Indexable> Indexable for Vec<T> {}
