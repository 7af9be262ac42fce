//! What HTTP and sockets share: who may reach what, and calls that outlive their caller.

use std::future::Future;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tracing::{Instrument as _, Span};

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
use crate::model::handler::{AnyOutput, BoxFuture, With};
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
        Unstopped::new(self.calls(), work)
    }

    /// The calls under way.
    pub(super) fn calls(&self) -> Gate {
        self.server.calls.clone()
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
    pub(super) fn in_time<R>(
        most: Option<Duration>,
        call: impl Future<Output = Result<R>> + Unpin,
    ) -> impl Future<Output = Result<R>> {
        InTime { most, call, timer: None }
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

/// What is waited for so long at most. The clock is set when there is something to wait for.
struct InTime<F> {
    most: Option<Duration>,
    call: F,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<R, F: Future<Output = Result<R>> + Unpin> Future for InTime<F> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Result<R>> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.call).poll(context) {
            return Poll::Ready(outcome);
        }
        let Some(most) = self.most else { return Poll::Pending };
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(most))).as_mut().poll(context));
        let text = format!("the call took more than {} seconds; what it does goes on", most.as_secs_f32());
        Poll::Ready(Err(Error::new(ErrorCode::Timeout).message(text)))
    }
}

/// Work that goes on in a task of its own when nobody waits for it any more. Where somebody waits to the end, which is nearly
/// always, it costs no task; and where it is done as it is begun, no place among the calls under way.
pub(super) struct Unstopped<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> {
    /// Until it is done. On the heap from the start: what is large is moved about with all that awaits it.
    work: Option<Pin<Box<F>>>,
    stage: Stage,
}

enum Stage {
    New(Gate),
    /// There is no place for it yet.
    Waits(BoxFuture<'static, Option<OwnedSemaphorePermit>>),
    /// With its place, where it began.
    Begun(Option<OwnedSemaphorePermit>, Span),
}

impl<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> Unstopped<R, F> {
    pub(super) fn new(calls: Gate, work: F) -> Self {
        Self { work: Some(Box::pin(work)), stage: Stage::New(calls) }
    }
}

impl<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> Future for Unstopped<R, F> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Result<R>> {
        let this = &mut *self;
        if let Stage::New(calls) = &this.stage
            && calls.is_full()
        {
            let calls = calls.clone();
            this.stage = Stage::Waits(Box::pin(async move { calls.enter().await }));
        }
        if let Stage::Waits(place) = &mut this.stage {
            let place = ready!(place.as_mut().poll(context));
            this.stage = Stage::Begun(place, Span::current());
        }
        let Some(work) = &mut this.work else { return Poll::Pending };
        let outcome = poll_caught(|| work.as_mut().poll(context));
        if outcome.is_ready() {
            this.work = None;
        } else if let Stage::New(calls) = &this.stage {
            // Where another took the last place meanwhile, it is one more than there are places: it has begun.
            this.stage = Stage::Begun(calls.try_enter(), Span::current());
        }
        outcome
    }
}

impl<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static> Drop for Unstopped<R, F> {
    fn drop(&mut self) {
        let (Some(work), Stage::Begun(place, span)) = (self.work.take(), &mut self.stage) else { return };
        let (counted, span) = (place.take(), std::mem::replace(span, Span::none()));
        // Where there is no runtime any more, there is nobody left to do it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let going_on = async move {
                // Nobody is there to be answered.
                let _ = work.await;
                drop(counted);
            };
            runtime.spawn(going_on.instrument(span));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    use tokio::sync::Notify;

    use super::*;

    /// Whether it is not done yet.
    fn waits<R>(work: &mut (impl Future<Output = R> + Unpin)) -> bool {
        Pin::new(work).poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending()
    }

    fn work(done: &Arc<AtomicBool>, go: &Arc<Notify>) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, go) = (done.clone(), go.clone());
        async move {
            go.notified().await;
            done.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_has_begun_goes_on_and_is_waited_for() {
        let (calls, done, go) = (Gate::new(1), Arc::<AtomicBool>::default(), Arc::new(Notify::new()));
        let mut begun = Unstopped::new(calls.clone(), work(&done, &go));
        assert!(!calls.is_full(), "it has not begun");
        assert!(waits(&mut begun) && calls.is_full());
        drop(begun);
        let mut drained = Box::pin(calls.drained());
        assert!(waits(&mut drained), "it is under way");
        go.notify_one();
        drained.await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn what_is_done_at_once_has_no_place_and_what_has_none_does_not_begin() {
        let (calls, done, go) = (Gate::new(1), Arc::<AtomicBool>::default(), Arc::new(Notify::new()));
        let taken = calls.try_enter();
        let mut second = Unstopped::new(calls.clone(), work(&done, &go));
        go.notify_one();
        assert!(waits(&mut second), "there is no place for it");
        drop(second);
        tokio::task::yield_now().await;
        assert!(!done.load(Ordering::Relaxed), "it has not begun, and nobody wants it");
        let mut third = Unstopped::new(calls.clone(), work(&done, &go));
        assert!(waits(&mut third));
        drop(taken);
        third.await.unwrap();
        assert!(done.load(Ordering::Relaxed) && !calls.is_full());
        drop(Unstopped::new(calls.clone(), async { Err::<(), _>(Error::internal("asked for, and never polled")) }));
        Unstopped::new(calls.clone(), async { Ok(()) }).await.unwrap();
        assert!(!calls.is_full());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_call() {
        let calls = Gate::new(1);
        let outcome = Unstopped::<(), _>::new(calls.clone(), async { panic!("a mistake") }).await;
        assert_eq!(outcome.unwrap_err().code(), &ErrorCode::Internal);
        assert!(!calls.is_full());
    }

    #[tokio::test]
    async fn only_what_waits_is_cut_off() {
        let late = Context::in_time(Some(Duration::from_millis(5)), Box::pin(std::future::pending::<Result<()>>()));
        assert_eq!(late.await.unwrap_err().code(), &ErrorCode::Timeout);
        Context::in_time(Some(Duration::ZERO), Box::pin(async { Ok(()) })).await.unwrap();
    }
}
