//! Which keyword fits which type, as traits: `#[field(min_length = 12)]` on a number is a compile error at the keyword,
//! also when the type is an alias.

use std::collections::BTreeSet;

use crate::core::id::Id;
use crate::core::private::Private;
use crate::core::private::Protected;

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
impl<T: Text> Text for Protected<T> {}

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
impl<T: Number> Number for Protected<T> {}

/// A list: `min_items`, `max_items` and `unique_items` fit.
#[diagnostic::on_unimplemented(
    message = "`min_items`, `max_items` and `unique_items` are for lists, and `{Self}` is none",
    label = "this field holds no list"
)]
pub trait List {}
impl<T> List for Vec<T> {}
impl<T> List for BTreeSet<T> {}
impl<T: List> List for Option<T> {}
impl<T: List> List for Private<T> {}
impl<T: List> List for Protected<T> {}

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
impl<T: Indexable> Indexable for Protected<T> {}
