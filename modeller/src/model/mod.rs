//! LAYER 2, behaviour: hooks, methods, events, workers, subscriptions, and the handles that reach them. It knows no HTTP.

pub(crate) mod access;
pub(crate) mod adapter;
mod attempts;
pub(crate) mod caller;
pub(crate) mod declaration;
pub(crate) mod emitter;
pub(crate) mod given;
pub(crate) mod handle;
pub(crate) mod handler;
pub(crate) mod hook;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod live;
pub(crate) mod login;
pub(crate) mod once;
pub(crate) mod route;
pub(crate) mod runtime;
pub(crate) mod schedule;
pub(crate) mod subscription;
pub(crate) mod transaction;
pub(crate) mod trash;
pub(crate) mod upload;
pub(crate) mod witness;
pub(crate) mod worker;

use std::any::Any;
use std::future::Future;

use serde_json::Value;

use self::handle::Model;
use self::handler::{AnyOutput, AnyPayload, Args, Output, With};
use self::runtime::OperationKind;
use self::subscription::Subscription;
use crate::core::call::{Called, Calls, Dispatches};
use crate::core::document::Stored;
use crate::core::private::Audience;
use crate::core::schema::ModelType;
use crate::error::{Error, Result};

impl<M: ModelType> Calls<M> for Model<M> {
    fn call_method<A: Args, O: Output>(&self, called: Called<O>, args: A) -> impl Future<Output = Result<O>> + Send {
        call_typed(self, OperationKind::Method, called.id, args, With::Nothing)
    }
}

impl<M: ModelType> Dispatches<M> for Subscription<M> {
    fn dispatch_event<A: Args, O: Output>(&self, called: Called<O>, args: A) -> impl Future<Output = Result<O>> + Send {
        self.dispatch_typed(called.id, args)
    }
}

pub(crate) async fn call_typed<M: Stored, A: Args, O: Output>(
    model: &Model<M>,
    kind: OperationKind,
    id: &'static str,
    args: A,
    with: With,
) -> Result<O> {
    let operation = model.scope.operation(model.index, kind, id)?;
    if let Some(checked) = &operation.args {
        checked.check(&args.to_stored()?, Audience::Store)?;
    }
    let output = model.scope.call(model.index, kind, id, Box::new(args), with).await?;
    let any: Box<dyn Any + Send + Sync> = output;
    any.downcast::<O>().map(|output| *output).map_err(|_| Error::internal("an answer of another type"))
}

/// An answer as JSON, private and protected parts left out.
pub(crate) fn output_json(output: &dyn AnyOutput) -> Result<Value> {
    let mut text = Vec::new();
    output.write_json(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
