//! How methods and events are called by their traits: the same on a handle in process and on one of a client.
//!
//! `#[method]` implements its trait for whatever [`Calls`] the model, `#[event]` for whatever [`Dispatches`] to it. A handle of a
//! client has to read the answer, which one in process does not: so it is given how that is done, and a type that cannot be read
//! is no error where nobody calls over the wire.

use std::future::Future;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Result;

/// The arguments of a method or an event: what `#[value]` makes of a type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of an operation",
    label = "this has no schema",
    note = "annotate the type with `#[value]`; what a handler is given beside its arguments stands after them"
)]
pub trait Args: Clone + Send + Sync + Serialize + DeserializeOwned + JsonSchema + 'static {}

impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + JsonSchema + 'static> Args for T {}

/// What a method or an event answers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be answered by a method or an event",
    label = "this has no schema",
    note = "annotate the type with `#[value]`, or answer `Doc<…>`, a library type, or `()`"
)]
pub trait Output: Send + Sync + Serialize + JsonSchema + 'static {}

impl<T: Send + Sync + Serialize + JsonSchema + 'static> Output for T {}

/// Reads an answer that came over the wire.
pub type Reads<O> = fn(Value) -> Result<O>;

/// An operation as its trait knows it.
pub struct Called<O> {
    /// Its id.
    pub id: &'static str,
    /// Whether it is one transaction, so that it can be called once under a key.
    pub transaction: bool,
    /// Reads what it answers.
    pub read: Reads<O>,
}

impl<O> std::fmt::Debug for Called<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Called").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A handle of the model `M`, by which its methods are called.
pub trait Calls<M>: Sync {
    /// Calls a method.
    fn call_method<A: Args, O: Output>(&self, called: Called<O>, args: A) -> impl Future<Output = Result<O>> + Send;
}

/// A subscription of the model `M`, by which its events are dispatched.
pub trait Dispatches<M>: Sync {
    /// Dispatches an event.
    fn dispatch_event<A: Args, O: Output>(&self, called: Called<O>, args: A) -> impl Future<Output = Result<O>> + Send;
}
