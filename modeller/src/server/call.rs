//! What HTTP and sockets share: who may reach what, and calls that outlive their caller.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;
use tracing::instrument::Instrumented;

use super::Server;
use super::limits::Gate;
use super::network::Peer;
use crate::core::collection::ModelIndex;
use crate::core::document::DynDoc;
use crate::core::private::Audience;
use crate::core::query::RawQuery;
use crate::core::query::parse::{QueryParts, Schema, parse_query};
use crate::core::schema::{ModelSchema, Visibility, parse_json};
use crate::error::{Error, ErrorCode, Result};
use crate::model::access::Right;
use crate::model::caller::Caller;
use crate::model::handler::{AnyOutput, With};
use crate::model::once::{CallKey, answer_json};
use crate::model::runtime::{ModelRuntime, OperationKind, OperationRuntime, Scope, poll_caught};

/// What a write has made.
pub(super) struct Written {
    pub(super) doc: DynDoc,
    /// Whether the one who wrote it may read it.
    pub(super) shown: bool,
}

impl Written {
    /// As one that he may read.
    pub(super) fn whole(doc: DynDoc) -> Self {
        Self { doc, shown: true }
    }

    /// Appends it as JSON.
    pub(super) fn write_for(&self, audience: Audience, body: &mut Vec<u8>) -> Result<()> {
        if self.shown {
            return self.doc.write_for(audience, body);
        }
        serde_json::to_writer(body, &json!({"_id": self.doc.id(), "_rev": self.doc.rev()})).map_err(Error::internal)
    }
}

/// One request: where it is served, and who asks.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) server: std::sync::Arc<Server>,
    pub(super) caller: Caller,
    pub(super) peer: Peer,
}

impl Context {
    /// Whom the answer is for.
    pub(super) fn audience(&self) -> Audience {
        if self.caller.is_verified() { Audience::Verified } else { Audience::Anyone }
    }

    /// The names that the caller may use of a model.
    pub(super) fn names<'a>(&self, schema: &'a ModelSchema) -> Schema<'a> {
        Schema::Visible(schema, self.audience())
    }

    /// A query of the caller, within the limits.
    ///
    /// # Errors
    /// `INVALID_QUERY`.
    pub(super) fn query(&self, index: ModelIndex, parts: &QueryParts) -> Result<RawQuery> {
        let limits = &self.server.configuration.limits;
        parts.filter.as_ref().map_or(Ok(()), |filter| limits.check_filter(filter))?;
        let mut query = parse_query(parts, &self.names(&self.server.runtime.model(index)?.schema))?;
        query.limit = Some(limits.page_of(query.limit)?);
        Ok(query)
    }

    pub(super) fn scope(&self) -> Scope {
        self.server.runtime.scope(self.caller.clone())
    }

    /// The model of that id, unless all of it is internal, which is answered exactly as what does not exist.
    pub(super) fn visible(&self, id: &str) -> Result<ModelIndex> {
        self.known(id, ModelRuntime::is_known_outside)
    }

    /// The model of that id, when its documents may be reached.
    pub(super) fn open(&self, id: &str) -> Result<ModelIndex> {
        let index = self.known(id, |model| model.visibility() != Visibility::Internal)?;
        self.scope().allow(self.server.runtime.model(index)?.visibility(), id)?;
        Ok(index)
    }

    /// The same for whoever has a right for some of the documents, so that a body is not looked at in vain. What may be read is
    /// asked where it is read.
    pub(super) async fn open_to(&self, right: Right, id: &str) -> Result<ModelIndex> {
        let index = self.open(id)?;
        self.scope().check_right(index, right).await?;
        Ok(index)
    }

    /// Runs a write to its end, and answers the document that it has made as the caller may see it.
    pub(super) async fn write<F, Fut>(&self, index: ModelIndex, write: F) -> Result<Written>
    where
        F: Fn(Scope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<DynDoc>> + Send,
    {
        let scope = self.scope();
        self.to_the_end(async move {
            if !scope.is_ruled(index)? {
                return write(scope).await.map(Written::whole);
            }
            let write = &write;
            let written = scope.together("write", |scope| async move {
                let doc = write(scope.clone()).await?;
                let shown = scope.may_read(index, &doc).await?;
                Ok(Written { doc, shown })
            });
            written.await
        })
        .await
    }

    fn known(&self, id: &str, is_known: impl FnOnce(&ModelRuntime) -> bool) -> Result<ModelIndex> {
        let runtime = &self.server.runtime;
        match runtime.find_model(id) {
            Some(index) if is_known(runtime.model(index)?) => Ok(index),
            // Whatever begins with `@` is a route of ours, and this one is not there.
            _ if id.starts_with('@') => Err(Error::not_found(ErrorCode::NotFound, id)),
            _ => Err(Error::not_found(ErrorCode::ModelNotFound, id)),
        }
    }

    /// Runs something to its end, also when the client is gone before: user code is not stopped half way.
    pub(super) fn to_the_end<R, F>(&self, work: F) -> impl Future<Output = Result<R>> + use<R, F>
    where
        F: Future<Output = Result<R>> + Send + 'static,
        R: Send + 'static,
    {
        self.entering().run(work)
    }

    /// A place among the calls under way, or the way to one.
    pub(super) fn entering(&self) -> Entering {
        let calls = &self.server.calls;
        calls.try_enter().map_or_else(|| Entering::Full(calls.clone()), Entering::In)
    }

    /// How long the caller of an operation waits at most. One that is a transaction has the time of one, and is answered as that
    /// ends: once its commit is handed over, that it took too long would say nothing of what became of it.
    pub(super) fn time_of(&self, index: ModelIndex, kind: OperationKind, id: &str) -> Result<Option<Duration>> {
        let operation = self.server.runtime.operation(&self.caller, index, kind, id)?;
        Ok(self.time(operation))
    }

    /// The same of one that is known.
    pub(super) fn time(&self, operation: &OperationRuntime) -> Option<Duration> {
        (!operation.declaration.transaction).then_some(self.server.configuration.limits.call_time)
    }

    /// What an operation answers, unless it takes longer. It goes on all the same.
    pub(super) async fn in_time<R>(most: Option<Duration>, call: impl Future<Output = Result<R>>) -> Result<R> {
        let Some(most) = most else { return call.await };
        tokio::time::timeout(most, call).await.unwrap_or_else(|_| {
            let text = format!("the call took more than {} seconds; what it does goes on", most.as_secs_f32());
            Err(Error::new(ErrorCode::Timeout).message(text))
        })
    }

    /// Calls a method or an event with arguments from outside.
    pub(super) async fn call(
        &self,
        index: ModelIndex,
        kind: OperationKind,
        id: &str,
        args: Option<Value>,
        with: With,
    ) -> Result<Box<dyn AnyOutput>> {
        let scope = self.scope();
        let operation = scope.operation(index, kind, id)?;
        let args = scope.args(operation, args, self.audience())?;
        scope.perform(index, operation, args, with).await
    }

    /// Calls a method with arguments from outside as JSON text, which may be none, and answers the bytes of JSON; with a key it is
    /// called once.
    pub(super) async fn call_method_of_text(
        &self,
        index: ModelIndex,
        id: &str,
        text: &[u8],
        key: Option<&CallKey>,
    ) -> Result<Vec<u8>> {
        if key.is_some() {
            let args = if text.is_empty() { None } else { Some(parse_json(text)?) };
            return Box::pin(self.call_method(index, id, args, key)).await;
        }
        let (scope, kind) = (self.scope(), OperationKind::Method);
        let operation = scope.operation(index, kind, id)?;
        let output = scope.perform_of_text(index, operation, text, self.audience()).await?;
        answer_json(output.as_ref(), self.audience())
    }

    /// Calls a method with arguments from outside, and answers the bytes of JSON; with a key it is called once.
    pub(super) async fn call_method(
        &self,
        index: ModelIndex,
        id: &str,
        args: Option<Value>,
        key: Option<&CallKey>,
    ) -> Result<Vec<u8>> {
        match key {
            Some(key) => self.scope().call_once(index, id, args, self.audience(), key).await.map(String::into_bytes),
            None => {
                let output = self.call(index, OperationKind::Method, id, args, With::Nothing).await?;
                answer_json(output.as_ref(), self.audience())
            }
        }
    }
}

/// How work comes to its place among the calls under way.
pub(super) enum Entering {
    In(OwnedSemaphorePermit),
    Full(Gate),
}

impl Entering {
    /// Runs it as [`Context::to_the_end`] does.
    pub(super) fn run<R, F>(self, work: F) -> impl Future<Output = Result<R>> + use<R, F>
    where
        F: Future<Output = Result<R>> + Send + 'static,
        R: Send + 'static,
    {
        // On the heap from the start: what is large is moved about with all that awaits it.
        let work = Box::pin(work).in_current_span();
        async move {
            let counted = match self {
                Self::In(permit) => Some(permit),
                Self::Full(calls) => calls.enter().await,
            };
            Unstopped { work: Some((work, counted)) }.await
        }
    }
}

/// Work with its place among the calls under way.
type UnderWay<F> = (Instrumented<Pin<Box<F>>>, Option<OwnedSemaphorePermit>);

/// Work that goes on in a task of its own when nobody waits for it any more. Where somebody waits to the end, which is nearly
/// always, it costs no task.
struct Unstopped<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> {
    /// Until it is done.
    work: Option<UnderWay<F>>,
}

impl<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> Future for Unstopped<R, F> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Result<R>> {
        let Some((work, _)) = &mut self.work else { return Poll::Pending };
        let outcome = poll_caught(|| Pin::new(&mut *work).poll(context));
        if outcome.is_ready() {
            self.work = None;
        }
        outcome
    }
}

impl<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> Drop for Unstopped<R, F> {
    fn drop(&mut self) {
        let Some((work, counted)) = self.work.take() else { return };
        // Where there is no runtime any more, there is nobody left to do it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Nobody is there to be answered.
                let _ = work.await;
                drop(counted);
            });
        }
    }
}
