//! Whether a type fits a role, asked by expansions without an error for each place where the type is used.
//!
//! A handler's argument type is named in a dozen places of an expansion, and a type without a schema would be four errors (one
//! for each missing trait) in each of them. An associated item of a bounded inherent `impl` is found where the bounds hold,
//! else the item of the same name in [`Unfit`]; so all places compile, and one assertion on [`Unfit::IS_ARGS`] or
//! [`Unfit::IS_OUTPUT`] says what is wrong. What `Unfit` does is never run.

use std::future::Future;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::handle::Model;
use super::handler::{AnyOutput, Args, Extract, Invocation, Output, OutputKind, PayloadKind, Returned, With};
use super::route::{OfRequest, RouteAnswer, RouteOutput, RoutePart, route_answer};
use super::runtime::OperationKind;
use super::upload::{Chunk, File};
use crate::core::call::{Called, Calls, Dispatches, Reads};
use crate::core::schema::ModelType;
use crate::error::{Error, Result};

/// A type as arguments or as an answer.
pub struct Witness<T>(PhantomData<fn() -> T>);

impl<A: Args> Witness<A> {
    /// It can be arguments.
    pub const IS_ARGS: bool = true;
    /// It as a value.
    pub const PAYLOAD: PayloadKind = PayloadKind::of::<A>();

    /// Takes the arguments out of an invocation.
    ///
    /// # Errors
    /// As [`payload`](super::handler::payload).
    pub fn payload(invocation: &mut Invocation<'_>) -> Result<A> {
        super::handler::payload(invocation)
    }
}

impl<O: Output> Witness<O> {
    /// It can be answered.
    pub const IS_OUTPUT: bool = true;
    /// It as a value.
    pub const OUTPUT: OutputKind = OutputKind::of::<O>();

    /// A handler's answer without its type.
    ///
    /// # Errors
    /// What the handler answered.
    pub fn output<R: Returned<Output = O>>(returned: R) -> Result<Box<dyn AnyOutput>> {
        super::handler::output(returned)
    }
}

impl<O: DeserializeOwned> Witness<O> {
    /// How it is read that came over the wire.
    pub const READ: Reads<O> = |value| O::deserialize(value).map_err(Error::internal);
}

impl<A: OfRequest> Witness<A> {
    /// What it takes of the request of a route.
    pub const PART: RoutePart = A::PART;
}

impl<O: RouteOutput> Witness<O> {
    /// A route can answer it.
    pub const IS_ROUTE_OUTPUT: bool = true;
    /// It as a value.
    pub const ROUTE_OUTPUT: Option<OutputKind> = O::OUTPUT;

    /// A route's answer without its type.
    ///
    /// # Errors
    /// What the handler answered.
    pub fn answer<R: Returned<Output = O>>(returned: R) -> Result<RouteAnswer> {
        route_answer(returned)
    }
}

/// A type as one that is extracted.
pub struct Taking<'a, A>(PhantomData<fn(&'a ()) -> A>);

impl<'a, A: Extract<'a>> Taking<'a, A> {
    /// Takes it out of an invocation.
    ///
    /// # Errors
    /// As [`Extract::extract`].
    pub fn take(invocation: &mut Invocation<'a>) -> Result<A> {
        A::extract(invocation)
    }
}

/// Two types as arguments and answer of a call.
pub struct Calling<A, O>(PhantomData<fn(A) -> O>);

impl<A: Args, O: Output> Calling<A, O> {
    /// Calls a method.
    pub fn call<M, C: Calls<M>>(model: &C, called: Called<O>, args: A) -> impl Future<Output = Result<O>> + Send {
        model.call_method(called, args)
    }

    /// Calls an upload.
    pub fn upload<M: ModelType>(
        model: &Model<M>,
        id: &'static str,
        file: File,
        args: A,
    ) -> impl Future<Output = Result<O>> + Send {
        super::call_typed(model, OperationKind::Upload, id, args, With::File(Box::new(file)))
    }

    /// Hands a chunk to a stream.
    pub fn stream<M: ModelType>(
        model: &Model<M>,
        id: &'static str,
        chunk: Chunk,
        args: A,
    ) -> impl Future<Output = Result<O>> + Send {
        super::call_typed(model, OperationKind::Stream, id, args, With::Chunk(Box::new(chunk)))
    }

    /// Runs an event.
    pub fn dispatch<M, C: Dispatches<M>>(
        subscription: &C,
        called: Called<O>,
        args: A,
    ) -> impl Future<Output = Result<O>> + Send {
        subscription.dispatch_event(called, args)
    }
}

fn unfit() -> Error {
    Error::internal("a type that fits no role was used in one")
}

/// What is found where a type does not fit.
pub trait Unfit<A> {
    /// It cannot be arguments.
    const IS_ARGS: bool = false;
    /// It cannot be answered.
    const IS_OUTPUT: bool = false;
    /// A route cannot answer it.
    const IS_ROUTE_OUTPUT: bool = false;
    /// It takes nothing of the request of a route.
    const PART: RoutePart = RoutePart::None;
    /// A stand-in.
    const ROUTE_OUTPUT: Option<OutputKind> = None;
    /// It cannot be read.
    const READ: Reads<A> = |_| Err(Error::internal("an answer of a type that is only written"));
    /// A stand-in.
    const PAYLOAD: PayloadKind = PayloadKind::of::<()>();
    /// A stand-in.
    const OUTPUT: OutputKind = OutputKind::of::<()>();

    /// A stand-in.
    ///
    /// # Errors
    /// Always.
    fn payload(_: &mut Invocation<'_>) -> Result<A> {
        Err(unfit())
    }

    /// A stand-in.
    ///
    /// # Errors
    /// Always.
    fn output<R>(_: R) -> Result<Box<dyn AnyOutput>> {
        Err(unfit())
    }

    /// A stand-in.
    ///
    /// # Errors
    /// Always.
    fn answer<R>(_: R) -> Result<RouteAnswer> {
        Err(unfit())
    }

    /// A stand-in.
    ///
    /// # Errors
    /// Always.
    fn take(_: &mut Invocation<'_>) -> Result<A> {
        Err(unfit())
    }
}

impl<A> Unfit<A> for Witness<A> {}
impl<A> Unfit<A> for Taking<'_, A> {}

/// What is found where the types of a call do not fit.
pub trait UnfitCall<A, O> {
    /// A stand-in.
    fn call<M, C: Calls<M>>(_: &C, _: Called<O>, _: A) -> std::future::Ready<Result<O>> {
        std::future::ready(Err(unfit()))
    }

    /// A stand-in.
    fn upload<M: ModelType>(_: &Model<M>, _: &'static str, _: File, _: A) -> std::future::Ready<Result<O>> {
        std::future::ready(Err(unfit()))
    }

    /// A stand-in.
    fn stream<M: ModelType>(_: &Model<M>, _: &'static str, _: Chunk, _: A) -> std::future::Ready<Result<O>> {
        std::future::ready(Err(unfit()))
    }

    /// A stand-in.
    fn dispatch<M, C: Dispatches<M>>(_: &C, _: Called<O>, _: A) -> std::future::Ready<Result<O>> {
        std::future::ready(Err(unfit()))
    }
}

impl<A, O> UnfitCall<A, O> for Calling<A, O> {}
