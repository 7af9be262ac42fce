//! Hooks that are added at run time, by a closure.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use super::caller::{Call, Caller};
use super::declaration::RunClosure;
use super::handle::Model;
use super::handler::{Extract, HookEvent, Invocation, Operation, Previous, Timing};
use super::journal::{CallSite, Log};
use super::runtime::Hook;
use crate::core::document::{Doc, Stored};
use crate::core::id::Id;
use crate::core::json::Document;
use crate::core::query::Query;
use crate::core::schema::ModelType;
use crate::error::{Error, Result};

/// What the closure of a hook answers: `Box::pin(async move { … })`.
pub type HookFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// What a hook that is a closure is given: the event and all that a declared hook can ask for.
///
/// Which of the methods have an answer depends on the event, as the types of a declared hook's arguments do; where there is
/// none they answer an `INTERNAL` error, which ends the operation.
///
/// ```
/// use modeller::prelude::*;
/// use modeller::{HookEvent, Operation};
/// # use modeller::__private::serde_json::{self, json};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let users = SchemaModel::new("users", json!({"properties": {"email": {"type": "string"}}}));
/// let app = App::new().schema_model(users).in_memory().open().await?;
/// let users = app.model_by_id("users")?;
/// users.hook("lowercase", [HookEvent::before(Operation::Insert), HookEvent::before(Operation::Update)], |mut hook| {
///     Box::pin(async move {
///         if let Some(email) = hook.value()?.get_mut("email") {
///             *email = email.as_str().unwrap_or_default().to_lowercase().into();
///         }
///         Ok(())
///     })
/// })?;
/// let ada = users.insert(json!({"email": "Ada@Example.com"}).try_into()?).await?;
/// assert_eq!(ada["email"], "ada@example.com");
/// assert!(users.unhook("lowercase"));
/// # Ok(())
/// # }
/// ```
pub struct HookCall<'a, T> {
    invocation: Invocation<'a>,
    event: HookEvent,
    of: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for HookCall<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookCall").field("event", &self.event).finish_non_exhaustive()
    }
}

impl<'a, T: Stored> HookCall<'a, T> {
    fn of(invocation: Invocation<'a>) -> Result<Self> {
        let event = invocation.event.ok_or_else(|| Error::internal("a hook without an event"))?;
        Ok(Self { invocation, event, of: PhantomData })
    }

    /// What is done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.event.operation
    }

    /// Whether it is about to be done, or was.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.event.timing
    }

    /// The whole next value, to be changed: before insert and update.
    ///
    /// # Errors
    /// `INTERNAL` at any other event.
    pub fn value(&mut self) -> Result<&mut T> {
        let event = self.event;
        self.invocation.payload.value_mut().ok_or_else(|| absent(event, "a value"))
    }

    /// The query, to be changed: before list; as it was run: after.
    ///
    /// # Errors
    /// `INTERNAL` at any other event.
    pub fn query(&mut self) -> Result<&mut Query<T>> {
        let event = self.event;
        self.invocation.payload.query_mut().ok_or_else(|| absent(event, "a query"))
    }

    /// The document: after insert and update, and after delete the one that was there.
    ///
    /// # Errors
    /// `INTERNAL` at any other event.
    pub fn doc(&mut self) -> Result<Doc<T>> {
        Doc::extract(&mut self.invocation)
    }

    /// The id: before delete, and wherever there is a document.
    ///
    /// # Errors
    /// `INTERNAL` at any other event.
    pub fn id(&mut self) -> Result<Id<T>> {
        match &self.invocation.previous {
            Some(previous) => Ok(Id::from_raw(previous.id().clone())),
            None => Id::extract(&mut self.invocation),
        }
    }

    /// The document as it was: at update, and before delete.
    ///
    /// # Errors
    /// `INTERNAL` at any other event.
    pub fn previous(&mut self) -> Result<Doc<T>> {
        Previous::extract(&mut self.invocation).map(|previous| previous.0)
    }

    /// Who asks for the operation.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.invocation.caller
    }

    /// Which call it is.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.invocation.call
    }

    /// The log, which a declared hook takes as [`Log`].
    #[must_use]
    pub fn log(&self) -> Log {
        Log::of(&self.invocation)
    }

    /// The handle of a model in the transaction of the operation. It acts as the application.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model<N: ModelType>(&self) -> Result<Model<N>> {
        Model::of_scope(&self.invocation.scope)
    }

    /// The same of a model by its id.
    ///
    /// # Errors
    /// As [`App::model_by_id`](crate::App::model_by_id).
    pub fn model_by_id(&self, id: &str) -> Result<Model<Document>> {
        Model::by_id(&self.invocation.scope, id)
    }
}

fn absent(event: HookEvent, what: &str) -> Error {
    let (timing, operation) = (event.timing.as_str(), event.operation.as_str());
    Error::internal(format!("a hook asked for {what}, which is not there {timing} {operation}"))
}

/// Tells the compiler that a closure is for invocations of any lifetime.
fn higher<F>(run: F) -> Arc<RunClosure>
where
    F: for<'a> Fn(Invocation<'a>) -> HookFuture<'a> + Send + Sync + 'static,
{
    Arc::new(run)
}

impl Hook {
    /// A hook that is a closure, added by whoever calls.
    #[track_caller]
    pub(crate) fn new<T, F>(id: String, on: impl IntoIterator<Item = HookEvent>, run: F) -> Self
    where
        T: Stored,
        F: for<'a> Fn(HookCall<'a, T>) -> HookFuture<'a> + Send + Sync + 'static,
    {
        let run = higher(move |invocation| match HookCall::of(invocation) {
            Ok(call) => run(call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        });
        Self::by_closure(id, on.into_iter().collect(), CallSite::here(), run)
    }
}
