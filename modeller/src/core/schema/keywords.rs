//! Which keyword fits which type, as traits: `#[field(min_length = 12)]` on a number is a compile error at the keyword,
//! also when the type is an alias.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ModelType;
use crate::core::field::{Field, Unique};
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
impl<T: List> List for Protected<T> {}

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
impl<T: Indexable> Indexable for Protected<T> {}

/// A value that can be without a reference: `on_delete = set_null` fits. A list is left without the element that refers.
#[diagnostic::on_unimplemented(
    message = "`set_null` needs a field that can be without a value, and `{Self}` always has one",
    label = "this field cannot be without a value",
    note = "make it an `Option<…>`, or choose `restrict` or `cascade`"
)]
pub trait Nullable {}
impl<T> Nullable for Option<T> {}
impl<T> Nullable for Vec<T> {}
impl<T> Nullable for BTreeSet<T> {}

/// A field that can refer to a field of the type `F`: it holds the same, perhaps, or a list of the same.
#[diagnostic::on_unimplemented(
    message = "a field of the type `{Self}` cannot refer to one of the type `{F}`",
    label = "this field refers to one of another type",
    note = "it needs the type of the field that it refers to, an `Option` or a list of that"
)]
pub trait RefersTo<F: ?Sized> {}
macro_rules! references {
    ($($type:ty),*) => {$(
        impl RefersTo<$type> for $type {}
        impl RefersTo<Option<$type>> for $type {}
    )*};
}
references!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, String);
impl<T> RefersTo<Id<T>> for Id<T> {}
impl<T> RefersTo<Option<Id<T>>> for Id<T> {}
impl<C: RefersTo<F>, F> RefersTo<F> for Option<C> {}
impl<C: RefersTo<F>, F> RefersTo<F> for Vec<C> {}
impl<C: RefersTo<F>, F> RefersTo<F> for BTreeSet<C> {}

/// The mark of a field whose value belongs to one document, so that others can refer to it.
#[diagnostic::on_unimplemented(
    message = "a reference leads to `_ID` or to a unique field",
    label = "several documents can have one value of this field",
    note = "refer to `_ID`, or write `#[field(unique)]` above that field"
)]
pub trait BelongsToOne {}
impl BelongsToOne for Unique {}

/// The keyword `model` of a field of the type `C` that refers to this field. For expansions.
#[must_use]
pub fn reference<C, M, F, K>(to: Field<M, F, K>) -> String
where
    C: RefersTo<F>,
    M: ModelType,
    K: BelongsToOne,
{
    format!("{}.{}", M::DECLARATION.id, to.name())
}
