//! How a handler gets its arguments: by type, in any order, from one [`Invocation`].
//!
//! Two traits share the work. [`Extract`] takes a value out of an invocation at run time. The *role* traits ([`HookArg`],
//! [`MethodArg`], [`EventArg`], [`WorkerArg`]) say at compile time which values a role offers; the attributes assert them at
//! each parameter, so that a wrong signature is one worded error at the parameter and not a page about futures.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::Schema;
use serde_json::Value;

use super::caller::{Call, Caller};
use super::handle::{Model, System};
use super::journal::{Log, Subject};
use super::runtime::Scope;
use super::subscription::Subscription;
use super::transaction::Transaction;
use super::upload::{Chunk, File};
pub use crate::core::call::{Args, Output};
use crate::core::decimal::to_value;
use crate::core::document::{Doc, DynDoc, Stored};
use crate::core::id::{Id, RawId};
use crate::core::private::for_storage;
use crate::core::query::Query;
use crate::core::schema::{ModelType, output_schema_of, schema_of};
use crate::error::{Error, Result};

/// A future behind a pointer.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new document.
    Insert,
    /// A next version of a document.
    Update,
    /// The end of a document.
    Delete,
    /// A query by `list`.
    List,
}

impl Operation {
    /// Its name in the metadata and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Before the operation, which it may change or refuse.
    Before,
    /// After the operation, in the same transaction.
    After,
    /// Once the transaction of the operation is durable, and outside of it.
    AfterCommit,
}

impl Timing {
    /// Its name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::AfterCommit => "after_commit",
        }
    }
}

/// What a hook waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookEvent {
    /// When.
    pub timing: Timing,
    /// What.
    pub operation: Operation,
}

impl HookEvent {
    /// Before this operation, which the hook may change or refuse.
    #[must_use]
    pub const fn before(operation: Operation) -> Self {
        Self { timing: Timing::Before, operation }
    }

    /// After this operation, in the same transaction.
    #[must_use]
    pub const fn after(operation: Operation) -> Self {
        Self { timing: Timing::After, operation }
    }

    /// Once the transaction of this operation is durable, and outside of it. Of a list there is none.
    #[must_use]
    pub const fn after_commit(operation: Operation) -> Self {
        Self { timing: Timing::AfterCommit, operation }
    }

    /// Whether it is a part of the operation, so that its error is that of the operation.
    pub(super) fn is_in_transaction(self) -> bool {
        self.timing != Timing::AfterCommit
    }
}

/// The events as types, for the assertions of `#[hook]`.
pub mod on {
    use super::{HookEvent, Operation, Timing};

    macro_rules! events {
        ($($name:ident: $timing:ident $operation:ident;)*) => {$(
            #[doc = concat!("`", stringify!($timing), "` `", stringify!($operation), "`.")]
            #[derive(Debug)]
            pub enum $name {}
            impl $name {
                /// The event as a value.
                pub const EVENT: HookEvent = HookEvent { timing: Timing::$timing, operation: Operation::$operation };
            }
        )*};
    }

    events! {
        BeforeInsert: Before Insert;
        BeforeUpdate: Before Update;
        BeforeDelete: Before Delete;
        BeforeList: Before List;
        AfterInsert: After Insert;
        AfterUpdate: After Update;
        AfterDelete: After Delete;
        AfterList: After List;
        AfterCommitInsert: AfterCommit Insert;
        AfterCommitUpdate: AfterCommit Update;
        AfterCommitDelete: AfterCommit Delete;
    }
}

/// All that a handler can ask for, for one run of it.
pub struct Invocation<'a> {
    pub(crate) scope: Scope,
    pub(crate) caller: Caller,
    pub(crate) call: Call,
    pub(crate) event: Option<HookEvent>,
    pub(crate) payload: Payload<'a>,
    pub(crate) previous: Option<DynDoc>,
    pub(crate) with: With,
    /// What the log knows the run by.
    pub(crate) subject: Subject,
}

/// What comes with the arguments of an operation.
#[derive(Debug)]
pub(crate) enum With {
    /// Nothing, or it was taken.
    Nothing,
    /// The room of an event.
    Room(Arc<super::subscription::Room>),
    /// The file of an upload, which can be read once.
    File(Box<File>),
    /// The chunk of a stream.
    Chunk(Box<Chunk>),
    /// The request of a route.
    Request(Arc<super::route::RouteInput>),
}

impl With {
    /// The same for another run.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Nothing | Self::File(_) => Self::Nothing,
            Self::Room(room) => Self::Room(room.clone()),
            Self::Chunk(chunk) => Self::Chunk(chunk.clone()),
            Self::Request(input) => Self::Request(input.clone()),
        }
    }
}

/// What the run is about.
pub(crate) enum Payload<'a> {
    /// Nothing, or it was taken.
    Taken,
    /// A value before it is stored.
    Value(&'a mut (dyn Any + Send)),
    /// A stored document.
    Doc(DynDoc),
    /// The id of a document.
    Id(RawId),
    /// A query before and after it is run; a `Query<T>`.
    Query(&'a mut (dyn Any + Send)),
    /// The arguments of a method or an event.
    Args(Box<dyn AnyPayload>),
}

impl Payload<'_> {
    pub(crate) fn value_mut<T: 'static>(&mut self) -> Option<&mut T> {
        match self {
            Self::Value(value) => value.downcast_mut(),
            _ => None,
        }
    }

    pub(crate) fn query_mut<T: 'static>(&mut self) -> Option<&mut Query<T>> {
        match self {
            Self::Query(query) => query.downcast_mut(),
            _ => None,
        }
    }
}

/// A value that a handler can have as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of any handler here",
    label = "no handler is offered this",
    note = "`Model<…>`, `State<…>` and what the attribute's documentation lists can be; the arguments of a method or an event \
            stand first"
)]
pub trait Extract<'a>: Sized {
    /// Takes it out of the invocation.
    ///
    /// # Errors
    /// `INTERNAL` when it is not there: the same payload asked for twice, a state that was not given.
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self>;
}

/// The extraction as a function, for expansions: the type is inferred from the handler's parameter.
///
/// # Errors
/// As `Extract::extract`.
pub fn arg<'a, A: Extract<'a>>(invocation: &mut Invocation<'a>) -> Result<A> {
    A::extract(invocation)
}

pub(super) fn absent(what: &str) -> Error {
    Error::internal(format!("a handler asked for {what}, which is not there or was taken by an argument before"))
}

/// A document as it was before the update or the delete that a hook watches.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String }
/// #[hook(User, before(update))]
/// async fn names_stay(next: &mut User, previous: Previous<User>) -> Result<()> {
///     if next.name != previous.name { return Err(Error::new("NAMES_STAY")); }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Previous<T>(pub Doc<T>);

impl<T> std::ops::Deref for Previous<T> {
    type Target = Doc<T>;
    fn deref(&self) -> &Doc<T> {
        &self.0
    }
}

/// A value that the application was given by [`AppBuilder::state`](crate::AppBuilder::state).
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String }
/// #[derive(Clone)]
/// struct Greeting(&'static str);
///
/// #[method(User)]
/// async fn greet(State(greeting): State<Greeting>) -> Result<String> {
///     Ok(greeting.0.to_owned())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct State<S>(pub S);

impl<'a, S: Clone + Send + Sync + 'static> Extract<'a> for State<S> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        invocation.scope.runtime().state::<S>().map(Self).ok_or_else(|| {
            Error::internal(format!("the application was given no state of type `{}`", std::any::type_name::<S>()))
        })
    }
}

impl<'a, T: Send + 'static> Extract<'a> for &'a mut T {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        match std::mem::replace(&mut invocation.payload, Payload::Taken) {
            Payload::Value(value) | Payload::Query(value) => value.downcast_mut().ok_or_else(|| absent("a value")),
            _ => Err(absent("a value")),
        }
    }
}

impl<'a, T: Stored> Extract<'a> for Doc<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        match &invocation.payload {
            Payload::Doc(doc) => Self::from_dyn(doc.clone()).ok_or_else(|| absent("a document")),
            _ => Err(absent("a document")),
        }
    }
}

impl<'a, T: Stored> Extract<'a> for Id<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        match &invocation.payload {
            Payload::Id(id) => Ok(Self::from_raw(id.clone())),
            Payload::Doc(doc) => Ok(Self::from_raw(doc.id().clone())),
            _ => Err(absent("an id")),
        }
    }
}

impl<'a, T: Stored> Extract<'a> for Previous<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        invocation.previous.clone().and_then(Doc::from_dyn).map(Self).ok_or_else(|| absent("the previous document"))
    }
}

impl<'a> Extract<'a> for Operation {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        invocation.event.map(|event| event.operation).ok_or_else(|| absent("an operation"))
    }
}

impl<'a> Extract<'a> for Timing {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        invocation.event.map(|event| event.timing).ok_or_else(|| absent("a timing"))
    }
}

impl<'a> Extract<'a> for Caller {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Ok(invocation.caller.clone())
    }
}

impl<'a> Extract<'a> for Call {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Ok(invocation.call.clone())
    }
}

impl<'a> Extract<'a> for Transaction {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        if invocation.scope.is_in_transaction() {
            Ok(Self { scope: invocation.scope.clone(), subject: invocation.subject.clone() })
        } else {
            Err(absent("a transaction"))
        }
    }
}

impl<'a, T: ModelType> Extract<'a> for Model<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Self::of_scope(&invocation.scope)
    }
}

impl<'a, T: ModelType> Extract<'a> for System<Model<T>> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Model::of_scope(&invocation.scope.as_application()).map(Self)
    }
}

impl<'a, T: ModelType> Extract<'a> for Subscription<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        match &invocation.with {
            With::Room(room) => Subscription::of_scope(&invocation.scope, room.clone()),
            _ => Err(absent("a subscription")),
        }
    }
}

/// What a `#[hook]` on the model `M` may take when the event `E` happens.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of this hook on `{M}`",
    label = "not offered at `{E}`",
    note = "before insert and update: `&mut {M}`; after insert, update and delete: `Doc<{M}>`; before delete: `Id<{M}>`; \
            list: `&mut Query<{M}>`; update: `Previous<{M}>`",
    note = "always: `Model<…>`, `Caller`, `Call`, `Log`, `State<…>`, `Operation`, `Timing`; before and after: `Transaction`"
)]
pub trait HookArg<M, E> {}

/// What a `#[method]` may take after its arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a method here",
    label = "not offered to a method",
    note = "a method takes its arguments first, one `#[value]` type, then `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Transaction`, `Log`, `Logins`, `State<…>` in any order"
)]
pub trait MethodArg {}

/// What an `#[event]` on the model `M` may take after its arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of an event of `{M}` here",
    label = "not offered to an event",
    note = "an event takes its arguments first, one `#[value]` type, then `Subscription<{M}>`, `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Transaction`, `Log`, `State<…>` in any order"
)]
pub trait EventArg<M> {}

/// What a `#[method(…, transaction = none)]` may take after its arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a method that is no transaction",
    label = "not offered to a method that is no transaction",
    note = "it takes its arguments first, one `#[value]` type, then `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Log`, `Logins`, `State<…>` in any order; what it does with a `Model<…>` is a transaction for each operation"
)]
pub trait LongMethodArg {}

/// What an `#[upload]` may take beside its file and its fields.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of an upload here",
    label = "not offered to an upload",
    note = "an upload takes a `File` and its fields first, one `#[value]` type, then `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Log`, `State<…>` in any order; it is no transaction, as reading the file takes as long as it takes"
)]
pub trait UploadArg {}

/// What a `#[stream]` may take beside its chunk and what is said of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a stream here",
    label = "not offered to a stream",
    note = "a stream takes a `Chunk` and what is said of it first, one `#[value]` type, then `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Transaction`, `Log`, `State<…>` in any order"
)]
pub trait StreamArg {}

/// What a `#[worker]` may take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a worker",
    label = "not offered to a worker",
    note = "a worker takes `Model<…>`, `Log` and `State<…>` in any order"
)]
pub trait WorkerArg {}

/// What a rule of `#[access]` may take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of an access rule",
    label = "not offered to an access rule",
    note = "a rule takes `Caller`, `Model<…>`, `Log`, `State<…>` in any order, and writes nothing"
)]
pub trait AccessArg {}

/// What a function of `#[authenticate]` may take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of what finds a caller",
    label = "not offered to `#[authenticate]`",
    note = "it takes `Caller`, `Model<…>`, `Call`, `Transaction`, `Log`, `State<…>` in any order"
)]
pub trait AuthenticateArg {}

macro_rules! offered {
    ($event:ident: $($arg:ty),*) => {$(impl<T: Stored> HookArg<T, on::$event> for $arg {})*};
}

offered!(BeforeInsert: &mut T);
offered!(BeforeUpdate: &mut T, Previous<T>, Id<T>);
offered!(BeforeDelete: Id<T>, Previous<T>);
offered!(BeforeList: &mut Query<T>);
offered!(AfterInsert: Doc<T>, Id<T>);
offered!(AfterUpdate: Doc<T>, Previous<T>, Id<T>);
offered!(AfterDelete: Doc<T>, Id<T>);
offered!(AfterList: &mut Query<T>);
offered!(AfterCommitInsert: Doc<T>, Id<T>);
offered!(AfterCommitUpdate: Doc<T>, Previous<T>, Id<T>);
offered!(AfterCommitDelete: Doc<T>, Id<T>);

impl<T, E, N: ModelType> HookArg<T, E> for Model<N> {}
impl<T, E, S> HookArg<T, E> for State<S> {}
impl<T, E> HookArg<T, E> for Caller {}
impl<T, E> HookArg<T, E> for Call {}
impl<T, E> HookArg<T, E> for Operation {}
impl<T, E> HookArg<T, E> for Timing {}
impl<T, E> HookArg<T, E> for Log {}

/// An event that happens inside of a transaction.
#[diagnostic::on_unimplemented(
    message = "there is no `Transaction` at `{Self}`",
    label = "its transaction has ended when the hook runs",
    note = "what an `after_commit` hook does with its `Model<…>` is a transaction for each operation"
)]
pub trait InTransaction {}

macro_rules! in_transaction {
    ($($event:ident)*) => {$(impl InTransaction for on::$event {})*};
}

in_transaction!(BeforeInsert BeforeUpdate BeforeDelete BeforeList AfterInsert AfterUpdate AfterDelete AfterList);

impl<T, E: InTransaction> HookArg<T, E> for Transaction {}

impl<T: ModelType> EventArg<T> for Subscription<T> {}
impl<T, N: ModelType> EventArg<T> for Model<N> {}
impl<T, N: ModelType> EventArg<T> for System<Model<N>> {}
impl<T, S> EventArg<T> for State<S> {}
impl<T> EventArg<T> for Caller {}
impl<T> EventArg<T> for Call {}
impl<T> EventArg<T> for Transaction {}
impl<T> EventArg<T> for Log {}

macro_rules! offered_to {
    ($($role:ident)*) => {$(
        impl<N: ModelType> $role for Model<N> {}
        impl<N: ModelType> $role for System<Model<N>> {}
        impl<S> $role for State<S> {}
        impl $role for Caller {}
        impl $role for Call {}
        impl $role for Log {}
    )*};
}

offered_to!(MethodArg LongMethodArg UploadArg StreamArg);
impl MethodArg for Transaction {}
impl UploadArg for File {}
impl StreamArg for Chunk {}
impl StreamArg for Transaction {}

impl<N: ModelType> AccessArg for Model<N> {}
impl<S> AccessArg for State<S> {}
impl AccessArg for Caller {}
impl AccessArg for Log {}

impl<N: ModelType> AuthenticateArg for Model<N> {}
impl<S> AuthenticateArg for State<S> {}
impl AuthenticateArg for Caller {}
impl AuthenticateArg for Call {}
impl AuthenticateArg for Transaction {}
impl AuthenticateArg for Log {}

impl<N: ModelType> WorkerArg for Model<N> {}
impl<S> WorkerArg for State<S> {}
impl WorkerArg for Log {}

/// What a handler's future resolves to.
#[diagnostic::on_unimplemented(
    message = "a handler answers a `Result`, not `{Self}`",
    label = "expected `Result<…>`",
    note = "write `-> Result<()>` and end the function with `Ok(())`"
)]
pub trait Returned {
    /// What it is when nothing failed.
    type Output;
    /// With the error as ours.
    ///
    /// # Errors
    /// What the handler answered.
    fn returned(self) -> Result<Self::Output>;
}

impl<T, E: Into<Error>> Returned for std::result::Result<T, E> {
    type Output = T;
    fn returned(self) -> Result<T> {
        self.map_err(Into::into)
    }
}

/// Arguments without their type.
pub(crate) trait AnyPayload: Any + Send + Sync {
    /// A copy: a transaction may run twice.
    fn copy(&self) -> Box<dyn AnyPayload>;
    /// As JSON with private parts, for validation.
    fn to_stored(&self) -> Result<Value>;
}

impl<T: Args> AnyPayload for T {
    fn copy(&self) -> Box<dyn AnyPayload> {
        Box::new(self.clone())
    }
    fn to_stored(&self) -> Result<Value> {
        for_storage(|| to_value(self)).map_err(Error::internal)
    }
}

/// An answer without its type.
pub trait AnyOutput: Any + Send + Sync {
    /// Appends it as JSON with what is shown to whom it is written for.
    fn write_json(&self, out: &mut Vec<u8>) -> Result<()>;
}

impl<T: Output> AnyOutput for T {
    fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, self).map_err(Error::internal)
    }
}

/// The type of the arguments, as a value.
#[derive(Clone, Copy)]
pub struct PayloadKind {
    pub(crate) from_json: fn(Value) -> Result<Box<dyn AnyPayload>, serde_json::Error>,
    pub(crate) from_text: fn(&str) -> Option<Box<dyn AnyPayload>>,
    pub(crate) schema: fn() -> Schema,
}

impl PayloadKind {
    /// The kind of a type.
    #[must_use]
    pub const fn of<A: Args>() -> Self {
        Self {
            from_json: |value| serde_json::from_value::<A>(value).map(|value| Box::new(value) as _),
            from_text: |text| serde_json::from_str::<A>(text).ok().map(|value| Box::new(value) as _),
            schema: schema_of::<A>,
        }
    }
}

/// The type of the answer, as a value.
#[derive(Clone, Copy)]
pub struct OutputKind {
    pub(crate) schema: fn() -> Schema,
}

impl OutputKind {
    /// The kind of a type.
    #[must_use]
    pub const fn of<O: Output>() -> Self {
        Self { schema: output_schema_of::<O> }
    }
}

/// The arguments of an invocation, typed. For expansions.
///
/// # Errors
/// `INTERNAL` when they are not there.
pub fn payload<A: Args>(invocation: &mut Invocation<'_>) -> Result<A> {
    match std::mem::replace(&mut invocation.payload, Payload::Taken) {
        Payload::Args(args) => {
            let any: Box<dyn Any> = args;
            any.downcast::<A>().map(|args| *args).map_err(|_| absent("arguments"))
        }
        _ => Err(absent("arguments")),
    }
}

/// A handler's answer without its type. For expansions.
///
/// # Errors
/// What the handler answered.
pub fn output<R: Returned>(returned: R) -> Result<Box<dyn AnyOutput>>
where
    R::Output: Output,
{
    returned.returned().map(|output| Box::new(output) as _)
}

impl fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation").field("event", &self.event).finish_non_exhaustive()
    }
}
