//! Field constants, the compile-time heart: `User::EMAIL.eq("…")`.
//!
//! `#[model]` and `#[value]` emit one [`Field`] for each field. A constant knows the model it belongs to and the type of the
//! field, so that a wrong name, a wrong operand and an order on a type that has none are compile errors at the user's token.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;

use super::decimal::to_value;
use super::document::Doc;
use super::id::Id;
use super::private::{Private, Protected, for_storage};
use super::query::filter::{Compare, ElemMatch, Filter, RawFilter, Test, is_scalar};
use super::query::operator::{End, Pattern, Pull, Push};
use super::query::sort::{Direction, Sort};
use super::query::update::{RawUpdate, Update, UpdateOperator};
use super::value::AsValue;
use crate::error::Result;

/// How deep a path of constants leads.
const MAX_NAMES: usize = 16;

/// A field of the model or value `M` with the type `F`. `K` is [`Unique`] where no two documents have the same value.
///
/// ```
/// use modeller::prelude::*;
/// #[model(id = "users")]
/// pub struct User {
///     #[field(unique)]
///     pub email: String,
///     pub age: u8,
/// }
/// let grown = User::AGE.gte(18) & !User::EMAIL.eq("root@example.com");
/// assert_eq!(grown.to_json(), serde_json::json!({"age": {"$gte": 18}, "$nor": [{"email": "root@example.com"}]}));
/// # use modeller::__private::serde_json;
/// ```
pub struct Field<M: ?Sized, F: ?Sized, K = Plain> {
    names: [&'static str; MAX_NAMES],
    /// How many of the names count; what follows is empty.
    count: usize,
    /// Belongs to `M`, holds an `F`; owns neither, and is `Send` and `Sync` whatever they are.
    of: PhantomData<Of<M, F, K>>,
}

type Of<M, F, K> = (fn(&M) -> Box<F>, fn() -> K);

/// Marks a [`Field`] that several documents may share a value of.
#[derive(Debug)]
pub enum Plain {}

/// Marks a [`Field`] whose value belongs to one document.
#[derive(Debug)]
pub enum Unique {}

impl<M: ?Sized, F: ?Sized, K> Clone for Field<M, F, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized, F: ?Sized, K> Copy for Field<M, F, K> {}

impl<M: ?Sized, F: ?Sized, K> std::fmt::Debug for Field<M, F, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Field").field(&self.path()).finish()
    }
}

impl<M: ?Sized, F: ?Sized, K> Field<M, F, K> {
    /// The field with this name on the wire. For expansions.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let mut names = [""; MAX_NAMES];
        names[0] = name;
        Self { names, count: 1, of: PhantomData }
    }

    /// Its name on the wire, the last of its path.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.names[self.count - 1]
    }

    /// Its path on the wire, as filters write it: the name, or several of them with dots.
    #[must_use]
    pub fn path(&self) -> Cow<'static, str> {
        match self.names.split_at(self.count).0 {
            [name] => Cow::Borrowed(name),
            names => Cow::Owned(names.join(".")),
        }
    }

    /// A field within this one: of a value, of what an `Option`, a `Box` or a `Private` holds, of the elements of a list.
    ///
    /// A filter by a field within a list holds where it holds for any element; all conditions for one and the same element are
    /// [`Field::elem`]. Such a field cannot be written, as it is not one place.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// #[value]
    /// pub struct Address { pub city: String, pub zip: String }
    /// #[value]
    /// pub struct Order { pub total: u32 }
    /// #[model(id = "users")]
    /// pub struct User { pub address: Option<Address>, pub orders: Vec<Order> }
    ///
    /// const CITY: Field<User, String> = User::ADDRESS.at(Address::CITY);
    /// assert_eq!(CITY.eq("Lyon").canonical(), r#"{"address.city":"Lyon"}"#);
    /// assert_eq!(User::ORDERS.at(Order::TOTAL).gt(100).canonical(), r#"{"orders.total":{"$gt":100}}"#);
    /// let moved = CITY.set("Paris") & User::ADDRESS.at(Address::ZIP).set("75001");
    /// # use modeller::Field;
    /// ```
    ///
    /// A field of something else is refused by the compiler, and so is a write to all elements of a list:
    /// ```compile_fail
    /// # use modeller::prelude::*;
    /// # #[value] pub struct Address { pub city: String }
    /// # #[value] pub struct Order { pub total: u32 }
    /// # #[model(id = "users")] pub struct User { pub address: Address, pub orders: Vec<Order> }
    /// let wrong = User::ADDRESS.at(Order::TOTAL);
    /// ```
    /// ```compile_fail
    /// # use modeller::prelude::*;
    /// # #[value] pub struct Order { pub total: u32 }
    /// # #[model(id = "users")] pub struct User { pub orders: Vec<Order> }
    /// let wrong = User::ORDERS.at(Order::TOTAL).set(1_u32);
    /// ```
    ///
    /// # Panics
    /// For a path of more than 16 names. In a `const` that is a compile error.
    #[must_use]
    pub const fn at<V, G, L>(self, inner: Field<V, G, L>) -> Field<M, G, <F as Holds<V>>::Kind<L>>
    where
        F: Holds<V>,
        L: FieldKind,
    {
        assert!(self.count + inner.count <= MAX_NAMES, "a path has at most 16 names");
        let mut names = self.names;
        let mut next = 0;
        // `for` cannot be in a function that a `const` calls.
        while next < inner.count {
            names[self.count + next] = inner.names[next];
            next += 1;
        }
        Field { names, count: self.count + inner.count, of: PhantomData }
    }
}

/// A field whose members stand beside those of the model or value `M`, by `#[serde(flatten)]`. It is no place of its own, and
/// leads to the fields of its type.
///
/// ```
/// # use modeller::prelude::*;
/// #[value]
/// pub struct Address { pub city: String }
/// #[model(id = "users")]
/// pub struct User { pub name: String, #[serde(flatten)] pub address: Address }
/// assert_eq!(User::ADDRESS.at(Address::CITY).eq("Lyon").canonical(), r#"{"city":"Lyon"}"#);
/// ```
pub struct Flattened<M: ?Sized, F: ?Sized>(PhantomData<Of<M, F, Plain>>);

impl<M: ?Sized, F: ?Sized> Clone for Flattened<M, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized, F: ?Sized> Copy for Flattened<M, F> {}

impl<M: ?Sized, F: ?Sized> std::fmt::Debug for Flattened<M, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flattened")
    }
}

impl<M: ?Sized, F: ?Sized> Flattened<M, F> {
    /// For expansions.
    #[doc(hidden)]
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// A field of the flattened type as one of `M`.
    #[must_use]
    pub const fn at<G, L: FieldKind>(self, inner: Field<F, G, L>) -> Field<M, G, L::Nested> {
        Field { names: inner.names, count: inner.count, of: PhantomData }
    }
}

/// The names of the members of a struct on the wire.
#[derive(Debug)]
pub struct Names {
    /// Those of its own fields.
    pub own: &'static [&'static str],
    /// Those of the types that it flattens.
    pub flattened: &'static [&'static Names],
}

/// A struct with named fields: what `#[model]` and `#[value]` make of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be flattened",
    label = "only a struct with named fields can",
    note = "which members there are has to be known, so that unknown ones can be refused; annotate the struct with `#[value]`, \
            or give the field a name of its own"
)]
pub trait Record {
    /// The names of its members.
    const NAMES: &'static Names;
}

/// Asserts that a type can be flattened. For expansions.
#[doc(hidden)]
pub const fn flatten<T: Record + ?Sized>() {}

impl Names {
    const fn meets(&self, other: &Self) -> bool {
        let mut at = 0;
        while at < self.own.len() {
            let mut of_other = 0;
            while of_other < other.own.len() {
                if is_same(self.own[at], other.own[of_other]) {
                    return true;
                }
                of_other += 1;
            }
            at += 1;
        }
        false
    }

    /// Whether no name of a flattened type is also one of another, or of the struct's own. For expansions.
    #[doc(hidden)]
    #[must_use]
    pub const fn are_distinct(&self) -> bool {
        let mut at = 0;
        while at < self.flattened.len() {
            if self.flattened[at].meets(self) {
                return false;
            }
            let mut other = at + 1;
            while other < self.flattened.len() {
                if self.flattened[at].meets(self.flattened[other]) {
                    return false;
                }
                other += 1;
            }
            at += 1;
        }
        true
    }

    /// Whether no flattened type flattens others: what such a one leaves over cannot be told from what is unknown. For
    /// expansions.
    #[doc(hidden)]
    #[must_use]
    pub const fn are_level(&self) -> bool {
        let mut at = 0;
        while at < self.flattened.len() {
            if !self.flattened[at].flattened.is_empty() {
                return false;
            }
            at += 1;
        }
        true
    }
}

/// `==`, which cannot be used where constants are made.
const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// What a [`Field`] can be: [`Plain`], [`Unique`], or one within a list.
pub trait FieldKind {
    /// What it is as a field within another one.
    type Nested: FieldKind;
}

/// A [`Field`] that is one place in a document, so that it can be written.
#[diagnostic::on_unimplemented(
    message = "a field within a list is in each of its elements, and cannot be written",
    label = "not one place in a document",
    note = "change the list by its own field, or the document by `modify`"
)]
pub trait Place: FieldKind {}

/// Marks a [`Field`] that is within the elements of a list.
#[derive(Debug)]
pub enum Spread {}

impl FieldKind for Plain {
    type Nested = Self;
}
impl FieldKind for Unique {
    type Nested = Plain;
}
impl FieldKind for Spread {
    type Nested = Self;
}
impl Place for Plain {}
impl Place for Unique {}

/// A type that holds values of the type `V`, so that [`Field::at`] leads to their fields. What `#[model]` and `#[value]` make of
/// a struct holds itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` holds no `{V}`",
    label = "this is a field of `{V}`",
    note = "`.at(…)` takes a field of the value that is there, of what an `Option` or a `Private` holds, or of the elements of a list"
)]
pub trait Holds<V: ?Sized> {
    /// What a field of `V` is within it.
    type Kind<K: FieldKind>: FieldKind;
}

macro_rules! holds {
    ($($holder:ident),*) => {$(
        impl<V: ?Sized, F: Holds<V>> Holds<V> for $holder<F> {
            type Kind<K: FieldKind> = F::Kind<K>;
        }
    )*};
}

holds!(Option, Box, Private, Protected);

impl<V: ?Sized, F: Holds<V>> Holds<V> for Vec<F> {
    type Kind<K: FieldKind> = Spread;
}

/// A value that a field of type `F` can be compared with or set to.
#[diagnostic::on_unimplemented(
    message = "a field of type `{F}` cannot be compared with or set to `{Self}`",
    label = "expected a value of type `{F}`"
)]
pub trait Operand<F: ?Sized> {
    /// The wire value, private parts included.
    fn into_operand(self) -> Value;
}

fn wire<T: Serialize>(value: &T) -> Value {
    for_storage(|| to_value(value)).unwrap_or_default()
}

impl<F: Serialize> Operand<F> for F {
    fn into_operand(self) -> Value {
        wire(&self)
    }
}

impl<F: Serialize> Operand<F> for &F {
    fn into_operand(self) -> Value {
        wire(self)
    }
}

impl<F: Serialize> Operand<Option<F>> for F {
    fn into_operand(self) -> Value {
        wire(&self)
    }
}

impl<F: Serialize> Operand<Private<F>> for F {
    fn into_operand(self) -> Value {
        wire(&self)
    }
}

impl<F: Serialize> Operand<Protected<F>> for F {
    fn into_operand(self) -> Value {
        wire(&self)
    }
}

macro_rules! text_operands {
    ($($text:ty),*) => {$(
        impl Operand<String> for $text {
            fn into_operand(self) -> Value {
                Value::String(self.to_string())
            }
        }
        impl Operand<Option<String>> for $text {
            fn into_operand(self) -> Value {
                Value::String(self.to_string())
            }
        }
        impl Operand<Private<String>> for $text {
            fn into_operand(self) -> Value {
                Value::String(self.to_string())
            }
        }
        impl Operand<Protected<String>> for $text {
            fn into_operand(self) -> Value {
                Value::String(self.to_string())
            }
        }
    )*};
}

text_operands!(&str, Cow<'_, str>);

impl<T> Operand<Id<T>> for &Doc<T> {
    fn into_operand(self) -> Value {
        Value::String(self.id().to_string())
    }
}

/// A type whose Rust order is the order of its wire value, so that it can be sorted and compared by size.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no order on the wire",
    label = "this field can be compared with `.eq` and `.ne`, not by size",
    note = "numbers, `bool`, `String`, ids, and `Option`s of them have one"
)]
pub trait Ordered {}

macro_rules! marks {
    ($trait:ident: $($type:ty),*) => {$(impl $trait for $type {})*};
}

marks!(Ordered: bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, String);
impl<T> Ordered for Id<T> {}
impl<F: Ordered> Ordered for Option<F> {}
impl<F: Ordered> Ordered for Protected<F> {}

/// A type that holds a number, so that it can be counted up.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a number", label = "only a number can be counted up")]
pub trait Numeric {}

marks!(Numeric: i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);
impl<F: Numeric> Numeric for Option<F> {}

/// A type that holds a text, so that it can be matched with a pattern.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a text", label = "only a text can be matched with a pattern")]
pub trait Text {}

marks!(Text: String);
impl<F: Text> Text for Option<F> {}
impl<F: Text> Text for Private<F> {}
impl<F: Text> Text for Protected<F> {}

/// A type that holds a list, so that its elements can be asked for.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a list", label = "only a list has elements")]
pub trait List {
    /// What it is a list of.
    type Item;
}

impl<E> List for Vec<E> {
    type Item = E;
}
impl<E> List for BTreeSet<E> {
    type Item = E;
}
impl<F: List> List for Option<F> {
    type Item = F::Item;
}
impl<F: List> List for Private<F> {
    type Item = F::Item;
}
impl<F: List> List for Protected<F> {
    type Item = F::Item;
}

/// The test that one element is equal to the operand. An implicit equality would also hold for a list that is itself equal to
/// it, and `null` for no list at all.
fn element_is(operand: Value) -> Test {
    Test::ElemMatch(ElemMatch::Tests(vec![Test::Compare(Compare::Eq, operand)]))
}

/// Whether the plain comparison of a list with it finds just the elements. Then it is preferred, for it can use an index.
fn is_plain(operand: &Value) -> bool {
    is_scalar(operand.as_value().kind())
}

impl<M: 'static, F, K> Field<M, F, K> {
    fn compare(self, compare: Compare, operand: Value) -> Filter<M> {
        Filter::from_raw(RawFilter::compare(&self.path(), compare, operand))
    }

    /// Documents whose field is equal to this.
    #[must_use]
    pub fn eq(self, value: impl Operand<F>) -> Filter<M> {
        self.compare(Compare::Eq, value.into_operand())
    }

    /// Documents whose field is not equal to this.
    #[must_use]
    pub fn ne(self, value: impl Operand<F>) -> Filter<M> {
        self.compare(Compare::Ne, value.into_operand())
    }

    /// Documents whose field is equal to one of these.
    #[must_use]
    pub fn is_in<V: Operand<F>>(self, values: impl IntoIterator<Item = V>) -> Filter<M> {
        Filter::from_raw(RawFilter::is_in(&self.path(), values.into_iter().map(Operand::into_operand).collect(), false))
    }

    /// Documents whose field is equal to none of these.
    #[must_use]
    pub fn not_in<V: Operand<F>>(self, values: impl IntoIterator<Item = V>) -> Filter<M> {
        Filter::from_raw(RawFilter::is_in(&self.path(), values.into_iter().map(Operand::into_operand).collect(), true))
    }

    /// Documents that have the field, be it `null`; with `false`, those that lack it. A struct has all its fields; whether there
    /// is a value in an `Option` is asked with `.ne(None)`.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub nick: Option<String> }
    /// assert_eq!(User::NICK.exists(true).canonical(), r#"{"nick":{"$exists":true}}"#);
    /// ```
    #[must_use]
    pub fn exists(self, wanted: bool) -> Filter<M> {
        Filter::from_raw(RawFilter::test(&self.path(), Test::Exists(wanted)))
    }

    /// Documents whose text the pattern is found in. Patterns are matched in linear time, so there is no look-around and no
    /// reference back; `\d`, `\w`, `\s` and `\b` are ASCII; `(?i)` in front ignores case.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub email: String }
    /// let ours = User::EMAIL.matches(r"(?i)@example\.com$")?;
    /// assert_eq!(ours.canonical(), r#"{"email":{"$regex":"(?i)@example\\.com$"}}"#);
    /// assert!(User::EMAIL.matches("(").is_err());
    /// # Ok::<(), modeller::Error>(())
    /// ```
    ///
    /// # Errors
    /// `INVALID_QUERY` with the reason, for what is not a pattern or too large a one.
    pub fn matches(self, pattern: &str) -> Result<Filter<M>>
    where
        F: Text,
    {
        Ok(Filter::from_raw(RawFilter::test(&self.path(), Test::Regex(Pattern::plain(pattern, &self.path())?))))
    }

    /// Documents whose list has an element that is equal to this.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "posts")]
    /// # pub struct Post { pub tags: Vec<String> }
    /// assert_eq!(Post::TAGS.contains("rust").canonical(), r#"{"tags":"rust"}"#);
    /// ```
    #[must_use]
    pub fn contains(self, element: impl Operand<F::Item>) -> Filter<M>
    where
        F: List,
    {
        let operand = element.into_operand();
        let test = if is_plain(&operand) { Test::Compare(Compare::Eq, operand) } else { element_is(operand) };
        Filter::from_raw(RawFilter::test(&self.path(), test))
    }

    /// Documents whose list has all of these among its elements. With none of them, no documents, as in MongoDB.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "posts")]
    /// # pub struct Post { pub tags: Vec<String> }
    /// assert_eq!(Post::TAGS.all(["web", "rust"]).canonical(), r#"{"tags":{"$all":["rust","web"]}}"#);
    /// ```
    #[must_use]
    pub fn all<V: Operand<F::Item>>(self, elements: impl IntoIterator<Item = V>) -> Filter<M>
    where
        F: List,
    {
        let operands: Vec<Value> = elements.into_iter().map(Operand::into_operand).collect();
        // One list of `$all` has either values or `$elemMatch`.
        let tests = if operands.iter().all(is_plain) {
            operands.into_iter().map(|operand| Test::Compare(Compare::Eq, operand)).collect()
        } else {
            operands.into_iter().map(element_is).collect()
        };
        Filter::from_raw(RawFilter::test(&self.path(), Test::All(tests)))
    }

    /// Documents whose list has just so many elements.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "posts")]
    /// # pub struct Post { pub tags: Option<Vec<String>> }
    /// assert_eq!(Post::TAGS.size(2).canonical(), r#"{"tags":{"$size":2}}"#);
    /// ```
    #[must_use]
    pub fn size(self, size: usize) -> Filter<M>
    where
        F: List,
    {
        Filter::from_raw(RawFilter::test(&self.path(), Test::Size(size as u64)))
    }

    /// Documents whose list has an element that matches all of the filter.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// #[value]
    /// pub struct Item { pub name: String, pub count: u32 }
    /// #[model(id = "orders")]
    /// pub struct Order { pub items: Vec<Item> }
    /// let large = Order::ITEMS.elem(Item::NAME.eq("nail") & Item::COUNT.gt(100));
    /// assert_eq!(large.canonical(), r#"{"items":{"$elemMatch":{"count":{"$gt":100},"name":"nail"}}}"#);
    /// ```
    #[must_use]
    pub fn elem(self, filter: Filter<F::Item>) -> Filter<M>
    where
        F: List,
    {
        let filter = Box::new(filter.into_raw());
        Filter::from_raw(RawFilter::test(&self.path(), Test::ElemMatch(ElemMatch::Object(filter))))
    }

    /// Documents whose field is greater.
    #[must_use]
    pub fn gt(self, value: impl Operand<F>) -> Filter<M>
    where
        F: Ordered,
    {
        self.compare(Compare::Gt, value.into_operand())
    }

    /// Documents whose field is greater or equal.
    #[must_use]
    pub fn gte(self, value: impl Operand<F>) -> Filter<M>
    where
        F: Ordered,
    {
        self.compare(Compare::Gte, value.into_operand())
    }

    /// Documents whose field is less.
    #[must_use]
    pub fn lt(self, value: impl Operand<F>) -> Filter<M>
    where
        F: Ordered,
    {
        self.compare(Compare::Lt, value.into_operand())
    }

    /// Documents whose field is less or equal.
    #[must_use]
    pub fn lte(self, value: impl Operand<F>) -> Filter<M>
    where
        F: Ordered,
    {
        self.compare(Compare::Lte, value.into_operand())
    }

    /// Rising order by this field.
    #[must_use]
    pub fn asc(self) -> Sort<M>
    where
        F: Ordered,
    {
        Sort::by(&self.path(), Direction::Ascending)
    }

    /// Falling order by this field.
    #[must_use]
    pub fn desc(self) -> Sort<M>
    where
        F: Ordered,
    {
        Sort::by(&self.path(), Direction::Descending)
    }

    /// Gives the field this value.
    #[must_use]
    pub fn set(self, value: impl Operand<F>) -> Update<M>
    where
        K: Place,
    {
        Update::from_raw(RawUpdate::operator(&self.path(), UpdateOperator::Set(value.into_operand())))
    }

    /// Counts the field up by this much; down, when it is negative.
    #[must_use]
    pub fn inc(self, by: impl Operand<F>) -> Update<M>
    where
        F: Numeric,
        K: Place,
    {
        Update::from_raw(RawUpdate::operator(&self.path(), UpdateOperator::Inc(by.into_operand())))
    }
}

/// Updates by what is there.
impl<M: 'static, F, K: Place> Field<M, F, K> {
    fn change(self, operator: UpdateOperator) -> Update<M> {
        Update::from_raw(RawUpdate::operator(&self.path(), operator))
    }

    /// Multiplies the field by this.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub score: f64 }
    /// let halved = User::SCORE.mul(0.5);
    /// ```
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "named after the operator, as all of these")]
    pub fn mul(self, by: impl Operand<F>) -> Update<M>
    where
        F: Numeric,
    {
        self.change(UpdateOperator::Mul(by.into_operand()))
    }

    /// Gives the field this value where it is less than what is there, or nothing is there.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub best: u32, pub worst: u32 }
    /// let range = User::WORST.min(7_u32) & User::BEST.max(7_u32);
    /// ```
    #[must_use]
    pub fn min(self, value: impl Operand<F>) -> Update<M>
    where
        F: Ordered,
    {
        self.change(UpdateOperator::Min(value.into_operand()))
    }

    /// Gives the field this value where it is greater than what is there, or nothing is there.
    #[must_use]
    pub fn max(self, value: impl Operand<F>) -> Update<M>
    where
        F: Ordered,
    {
        self.change(UpdateOperator::Max(value.into_operand()))
    }
}

/// Updates of what may be missing.
impl<M: 'static, F, K: Place> Field<M, Option<F>, K> {
    /// Takes the value away.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String, pub nickname: Option<String> }
    /// let formal = User::NICKNAME.unset();
    /// ```
    ///
    /// A field that is always there cannot be taken away:
    /// ```compile_fail
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String, pub nickname: Option<String> }
    /// let nameless = User::NAME.unset();
    /// ```
    #[must_use]
    pub fn unset(self) -> Update<M> {
        self.change(UpdateOperator::Unset)
    }
}

/// Updates of lists.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "posts")]
/// # pub struct Post { pub tags: Vec<String> }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<Post>().in_memory().open().await?;
/// let posts = app.model::<Post>();
/// let post = posts.insert(Post { tags: vec!["rust".into()] }).await?;
/// let post = posts.update(&post, Post::TAGS.add_to_set("rust") & Post::TAGS.push("web")).await?;
/// assert_eq!(post.tags, ["rust", "web"]);
/// let post = posts.update(&post, Post::TAGS.pull("rust")).await?;
/// assert_eq!(post.tags, ["web"]);
/// let post = posts.update(&post, Post::TAGS.pop_last()).await?;
/// assert!(post.tags.is_empty());
/// # Ok(())
/// # }
/// ```
impl<M: 'static, E, K: Place> Field<M, Vec<E>, K> {
    /// Appends an element.
    #[must_use]
    pub fn push(self, element: impl Operand<E>) -> Update<M> {
        self.change(UpdateOperator::Push(Push::one(element.into_operand())))
    }

    /// Takes away all elements that are equal to this.
    #[must_use]
    pub fn pull(self, element: impl Operand<E>) -> Update<M> {
        self.change(UpdateOperator::Pull(Pull::Equal(element.into_operand())))
    }

    /// Appends an element unless there is one that is equal to it.
    #[must_use]
    pub fn add_to_set(self, element: impl Operand<E>) -> Update<M> {
        self.change(UpdateOperator::AddToSet(vec![element.into_operand()]))
    }

    /// Takes the first element away. An empty list stays as it is.
    #[must_use]
    pub fn pop_first(self) -> Update<M> {
        self.change(UpdateOperator::Pop(End::First))
    }

    /// Takes the last element away. An empty list stays as it is.
    #[must_use]
    pub fn pop_last(self) -> Update<M> {
        self.change(UpdateOperator::Pop(End::Last))
    }
}
