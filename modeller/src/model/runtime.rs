//! An application as it runs: the models with their behaviour, on one commit log.
//!
//! A [`Scope`] says where an operation happens and who acts. From a handle of the application each operation is a transaction
//! of its own; from a handle that a handler was given it is a step of that handler's transaction. Every step is a savepoint:
//! when it fails, what it and its hooks did is undone, and the handler may go on.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::oneshot;

use super::access::{Callers, Right, Rights, Rule};
use super::adapter::Mirrors;
use super::caller::{Call, Caller};
use super::declaration::{HookDeclaration, OperationDeclaration, RunClosure};
use super::emitter::Emitters;
use super::handler::{AnyOutput, AnyPayload, BoxFuture, HookEvent, Invocation, Operation, Payload, Timing, With};
use super::job::{self, ATTEMPTS, Jobs};
use super::journal::{CallSite, Journal, LogFeature, LogLevel, Subject, Words, no_data};
use super::live::Lives;
use super::login::LoginState;
use super::once::Calls;
use super::route::RouteRuntime;
use super::subscription::Rooms;
use super::trash::Alive;
use super::worker::Workers;
use crate::core::clock::Clock;
use crate::core::collection::{Change as CommittedChange, Collection, ModelIndex, State};
use crate::core::document::{AnyValue, DocView, DynDoc};
use crate::core::id::RawId;
use crate::core::log::{Accepted, Answer, CommitLog, Expect, Intent, Publish, Settled, check_rev};
use crate::core::private::Audience;
use crate::core::query::RawQuery;
use crate::core::query::cursor::Listing;
use crate::core::query::filter::RawFilter;
use crate::core::query::project::RawProjection;
use crate::core::query::sort::Position;
use crate::core::query::update::RawUpdate;
use crate::core::reference::{OnDelete, Places};
use crate::core::schema::outside::{Checked, Described};
use crate::core::schema::{ModelSchema, Visibility, parse_json};
use crate::core::secret::Secret;
use crate::core::transaction::{Later, Limits, Referring, Transaction, closed, missing};
use crate::core::trash::{Deletion, Mark};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::explanation::Explanation;

/// How long a transaction lives at most.
const LIFETIME: Duration = Duration::from_secs(10);
/// How deep operations nest: a hook that inserts into a model whose hook inserts, and so on.
const MAX_DEPTH: usize = 16;

tokio::task_local! {
    /// The application whose transaction this task is in.
    static CURRENT: u64;
}

/// A running application. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Runtime(Arc<Inner>);

/// What a runtime is made of.
pub(crate) struct Inner {
    pub(crate) log: Arc<CommitLog>,
    pub(crate) models: Vec<ModelRuntime>,
    pub(crate) states: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) lives: Arc<Lives>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) emitters: Arc<Emitters>,
    pub(crate) workers: Workers,
    pub(crate) jobs: Jobs,
    pub(crate) calls: Calls,
    /// Who callers are, where the program says so.
    pub(crate) callers: Option<Callers>,
    pub(crate) logins: LoginState,
    pub(crate) mirrors: Mirrors,
    /// Those of the program's own.
    pub(crate) routes: Vec<RouteRuntime>,
    pub(crate) limits: Limits,
    pub(crate) secret: Secret,
    /// Dropped with the application, which ends what clears the trash.
    pub(crate) _alive: Alive,
    pub(crate) clock: Clock,
    /// Whether the first run of each transaction is thrown away, for tests of what handlers do twice.
    pub(crate) rehearses: bool,
    /// Tells the applications of one process apart.
    pub(crate) number: u64,
}

/// A model with its behaviour.
pub(crate) struct ModelRuntime {
    pub(crate) schema: Arc<ModelSchema>,
    pub(crate) hooks: Hooks,
    /// What its documents are open for; to anyone whom the schema lets in where there is none.
    pub(crate) rule: Option<Rule>,
    /// Methods, events, uploads and streams, each by its id.
    pub(crate) operations: BTreeMap<&'static str, OperationRuntime>,
}

/// A hook of a model.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) id: Cow<'static, str>,
    on: Cow<'static, [HookEvent]>,
    order: i32,
    /// For how long it waits, as a job; it runs in the transaction unless it does.
    delay: Option<Duration>,
    /// How often the job is tried.
    attempts: u32,
    /// Where it stands, or was added.
    site: CallSite,
    run: RunHook,
}

#[derive(Clone)]
enum RunHook {
    Declared(&'static HookDeclaration),
    Closure(Arc<RunClosure>),
}

impl Hook {
    pub(crate) fn declared(hook: &'static HookDeclaration) -> Self {
        Self {
            id: hook.id.into(),
            on: hook.on.into(),
            order: hook.order,
            delay: hook.schedule,
            attempts: hook.attempts.unwrap_or(ATTEMPTS),
            site: hook.site.into(),
            run: RunHook::Declared(hook),
        }
    }

    pub(crate) fn by_closure(id: String, on: Vec<HookEvent>, site: CallSite, run: Arc<RunClosure>) -> Self {
        let run = RunHook::Closure(run);
        Self { id: id.into(), on: on.into(), order: 0, delay: None, attempts: ATTEMPTS, site, run }
    }

    /// What the log knows it by.
    pub(crate) fn subject(&self, model: ModelIndex) -> Subject {
        Subject::new(model, LogFeature::Hook).of(self.id.clone()).at(self.site)
    }

    /// The same as a job that runs so much later.
    pub(crate) fn later(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether it waits for nothing but what is over when it runs, so that it can be a job.
    pub(crate) fn is_after(&self) -> bool {
        let is_after = |on: &HookEvent| on.timing == Timing::After && on.operation != Operation::List;
        self.on.iter().all(is_after)
    }

    /// Whether it waits for nothing.
    pub(crate) fn is_never(&self) -> bool {
        self.on.is_empty()
    }

    fn run<'a>(&self, invocation: Invocation<'a>) -> BoxFuture<'a, Result<()>> {
        match &self.run {
            RunHook::Declared(hook) => (hook.run)(invocation),
            RunHook::Closure(run) => run(invocation),
        }
    }
}

/// The hooks of a model in the order in which they run: by `order`, and where it is equal, those that were declared before
/// those that were added. They change while operations run, each of which sees one list of them.
#[derive(Default)]
pub(crate) struct Hooks(ArcSwap<Vec<Hook>>);

impl Hooks {
    fn now(&self) -> arc_swap::Guard<Arc<Vec<Hook>>> {
        self.0.load()
    }

    /// The same, to be held while they run.
    fn all(&self) -> Arc<Vec<Hook>> {
        self.0.load_full()
    }

    /// Says of each that it is there.
    fn register(&self, model: ModelIndex, journal: &Journal) {
        self.now().iter().for_each(|hook| journal.registered(&hook.subject(model)));
    }

    pub(crate) fn len(&self) -> usize {
        self.now().len()
    }

    /// The hook of that id.
    pub(crate) fn find(&self, id: &str) -> Option<Hook> {
        self.now().iter().find(|hook| hook.id == id).cloned()
    }

    /// Adds a hook. False when there is one of that id.
    pub(crate) fn add(&self, hook: &Hook) -> bool {
        let mut added = false;
        self.0.rcu(|hooks| {
            added = !hooks.iter().any(|known| known.id == hook.id);
            let mut next = Vec::clone(hooks);
            if added {
                next.push(hook.clone());
                // Stable: within one order the last one comes last.
                next.sort_by_key(|hook| hook.order);
            }
            next
        });
        added
    }

    /// Takes a hook away. False when there is none of that id.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let before = self.0.rcu(|hooks| hooks.iter().filter(|hook| hook.id != id).cloned().collect::<Vec<_>>());
        before.iter().any(|hook| hook.id == id)
    }
}

/// A method, an event, an upload or a stream, proved.
pub(crate) struct OperationRuntime {
    pub(crate) kind: OperationKind,
    pub(crate) declaration: &'static OperationDeclaration,
    pub(crate) access: Visibility,
    pub(crate) args: Option<Checked>,
    pub(crate) output: Described,
}

impl OperationRuntime {
    /// What the log knows it by.
    fn subject(&self, model: ModelIndex) -> Subject {
        Subject::new(model, self.kind.feature()).of(self.declaration.id).at(self.declaration.site)
    }
}

/// Which kind of operation is called.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum OperationKind {
    Method,
    Event,
    Upload,
    Stream,
}

impl OperationKind {
    /// The code of the error when there is none of an id.
    fn not_found(self) -> ErrorCode {
        match self {
            Self::Method => ErrorCode::MethodNotFound,
            Self::Event => ErrorCode::EventNotFound,
            Self::Upload => ErrorCode::UploadNotFound,
            Self::Stream => ErrorCode::StreamNotFound,
        }
    }

    /// Under which the log has it.
    fn feature(self) -> LogFeature {
        match self {
            Self::Method => LogFeature::Method,
            Self::Event => LogFeature::Event,
            Self::Upload => LogFeature::Upload,
            Self::Stream => LogFeature::Stream,
        }
    }
}

impl ModelRuntime {
    /// A model without behaviour.
    pub(crate) fn new(schema: Arc<ModelSchema>) -> Self {
        Self { schema, hooks: Hooks::default(), rule: None, operations: BTreeMap::new() }
    }

    /// What a step is called that is an operation of it.
    pub(super) fn named(&self, operation: &'static str) -> Name {
        Name::Operation(self.schema.clone(), operation)
    }

    /// Who reaches its documents: a rule opens a model that says nothing itself to anyone, and says what for.
    pub(crate) fn visibility(&self) -> Visibility {
        match self.schema.access {
            Visibility::Internal if self.rule.is_some() => Visibility::Public,
            declared => declared,
        }
    }

    /// Whether somebody outside may know of the model: of its documents, or of an operation that is more open than they are.
    pub(crate) fn is_known_outside(&self) -> bool {
        let mut operations = self.operations.values();
        self.visibility() != Visibility::Internal
            || operations.any(|operation| operation.access != Visibility::Internal)
    }

    /// What of it is reached from outside, and by whom.
    fn reached(&self) -> String {
        let by = |visibility| if visibility == Visibility::Public { "anyone" } else { "verified callers" };
        let mut parts = Vec::new();
        if self.visibility() != Visibility::Internal {
            let rule = if self.rule.is_some() { ", as its rule says" } else { "" };
            parts.push(format!("its documents by {}{rule}", by(self.visibility())));
        }
        for visibility in [Visibility::Public, Visibility::Protected] {
            let of = self.operations.values().filter(|operation| operation.access == visibility);
            let ids: Vec<String> = of.map(|operation| format!("`{}`", operation.declaration.id)).collect();
            if !ids.is_empty() {
                parts.push(format!("{} by {}", ids.join(", "), by(visibility)));
            }
        }
        format!("reached from outside: {}", parts.join("; "))
    }

    fn has_hooks_on(&self, event: HookEvent) -> bool {
        self.hooks.now().iter().any(|hook| hook.on.contains(&event))
    }

    fn has_hooks(&self, operation: Operation) -> bool {
        self.hooks.now().iter().any(|hook| hook.on.iter().any(|event| event.operation == operation))
    }

    pub(crate) fn operation(&self, kind: OperationKind, id: &str) -> Option<&OperationRuntime> {
        self.operations.get(id).filter(|operation| operation.kind == kind)
    }

    /// Its operations of a kind, in the order of their ids.
    pub(crate) fn operations_of(&self, kind: OperationKind) -> impl Iterator<Item = &OperationRuntime> {
        self.operations.values().filter(move |operation| operation.kind == kind)
    }

    /// The ids of its operations of a kind.
    pub(crate) fn ids_of(&self, kind: OperationKind) -> Vec<&'static str> {
        self.operations_of(kind).map(|operation| operation.declaration.id).collect()
    }
}

/// A number that no other application of the process has.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Runtime {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn log(&self) -> &Arc<CommitLog> {
        &self.0.log
    }

    pub(crate) fn models(&self) -> &[ModelRuntime] {
        &self.0.models
    }

    pub(crate) fn lives(&self) -> &Arc<Lives> {
        &self.0.lives
    }

    pub(crate) fn rooms(&self) -> &Arc<Rooms> {
        &self.0.rooms
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.0.journal
    }

    /// Tells the log of all that was declared.
    pub(crate) fn register(&self) {
        let journal = self.journal();
        for (index, model) in self.models().iter().enumerate() {
            model.hooks.register(index, journal);
            if let Some(rule) = &model.rule {
                journal.registered(&rule.subject(index));
            }
            for operation in model.operations.values() {
                journal.registered(&operation.subject(index));
            }
            if model.is_known_outside() {
                journal.reached(&Subject::new(index, LogFeature::Access), || model.reached());
            }
        }
        self.workers().register(journal);
        self.0.mirrors.register(journal);
    }

    pub(crate) fn emitters(&self) -> &Arc<Emitters> {
        &self.0.emitters
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.0.workers
    }

    pub(crate) fn find_model(&self, id: &str) -> Option<ModelIndex> {
        self.0.models.iter().position(|model| model.schema.id == id)
    }

    pub(crate) fn model(&self, index: ModelIndex) -> Result<&ModelRuntime> {
        self.0.models.get(index).ok_or_else(|| Error::internal("unknown model"))
    }

    /// The error as one that anyone may know nothing of, when it is about a value of a protected field.
    fn guarded(&self, index: ModelIndex, error: Error) -> Error {
        if *error.code() != ErrorCode::UniqueViolation {
            return error;
        }
        let schema = self.0.models.get(index).map(|model| &model.schema);
        let several = error.get("fields").and_then(Value::as_array).into_iter().flatten();
        let mut names = error.get("field").into_iter().chain(several).filter_map(Value::as_str);
        let protected = names.any(|name| schema.and_then(|schema| schema.field(name)).is_some_and(|it| it.protected));
        if protected { error.known_to_anyone(Vec::new()) } else { error }
    }

    /// An operation that the caller may reach.
    pub(crate) fn operation(
        &self,
        caller: &Caller,
        index: ModelIndex,
        kind: OperationKind,
        id: &str,
    ) -> Result<&OperationRuntime> {
        let model = self.model(index)?;
        let missing = || Error::not_found(kind.not_found(), id);
        let operation = model.operation(kind, id).ok_or_else(missing)?;
        if operation.access == Visibility::Internal && !caller.is_application() {
            // What cannot be reached from outside is not there.
            return Err(missing());
        }
        allow(caller, operation.access, id)?;
        Ok(operation)
    }

    pub(crate) fn state<S: Clone + 'static>(&self) -> Option<S> {
        self.0.states.get(&TypeId::of::<S>())?.downcast_ref::<S>().cloned()
    }

    /// The durable head.
    pub(crate) fn durable(&self) -> Arc<State> {
        self.0.log.durable()
    }

    /// The routes of the program's own, in the order of their paths.
    pub(crate) fn routes(&self) -> &[RouteRuntime] {
        &self.0.routes
    }

    /// The scope of handles of the application.
    pub(crate) fn scope(&self, caller: Caller) -> Scope {
        Scope { runtime: self.clone(), caller, binding: Binding::Application }
    }

    /// Runs a transaction: once, and once more holding the turn if it lost.
    pub(crate) async fn transact<R, F, Fut>(&self, body: F) -> Result<R>
    where
        F: Fn(Arc<Step>) -> Fut + Sync,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        self.transact_as(|| None, body).await
    }

    /// The same of one operation alone, which has a name.
    async fn transact_as<R, F, Fut>(&self, name: impl Fn() -> Option<Name> + Sync, mut body: F) -> Result<R>
    where
        F: FnMut(Arc<Step>) -> Fut,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        let log = self.log();
        // Most are done when they are asked for the first time, and need no clock.
        let mut until = None;
        let mut call = Call::new();
        let mut turn = None;
        loop {
            let step = Step::root(Transaction::new(log.clone(), self.0.limits), call.clone(), name());
            let transaction = step.transaction();
            // It lies in one place, and is lent: handed on, it would be there once for each who has it.
            let mut run = pin!(CURRENT.scope(self.0.number, body(step.clone())));
            let mut timer = None;
            let outcome = poll_fn(|context| {
                if let Poll::Ready(outcome) = poll_caught(|| run.as_mut().poll(context)) {
                    return Poll::Ready(Some(outcome));
                }
                let until = *until.get_or_insert_with(|| Instant::now() + LIFETIME);
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
                timer.as_mut().poll(context).map(|()| None)
            });
            let outcome = outcome.await;
            step.close();
            if self.0.rehearses && call.attempt() == 1 && outcome.is_some() {
                transaction.close();
                call = call.again();
                continue;
            }
            match outcome {
                None => {
                    transaction.close();
                    return Err(Error::new(ErrorCode::Timeout)
                        .message(format!("a transaction lives {} seconds at most", LIFETIME.as_secs())));
                }
                Some(Err(error)) => {
                    transaction.close();
                    drop(turn.take());
                    // It was refused for what it saw, which the caller must not learn before it is durable.
                    if settled(log, transaction).await? {
                        return Err(error);
                    }
                }
                Some(Ok(value)) => {
                    let (batch, later) = transaction.finish();
                    let Some(batch) = batch else {
                        drop(turn.take());
                        if settled(log, transaction).await? {
                            if !later.is_empty() {
                                done_later(self.journal().clone(), later).await;
                            }
                            return Ok(value);
                        }
                        call = call.again();
                        continue;
                    };
                    // On the heap, like all that follows: what only reads has no need of the place.
                    match Box::pin(log.accept(batch, turn.as_ref())).await? {
                        Accepted::In(answer) => {
                            // Others are let in while this one becomes durable.
                            drop(turn.take());
                            match Box::pin(answered(answer, self.journal(), &call, later)).await {
                                Some(Answer::Durable(_)) => return Ok(value),
                                Some(Answer::Again) => {}
                                Some(Answer::Refused(error, ..)) => return Err(error),
                                Some(Answer::Closed) | None => return Err(log.closed_error()),
                            }
                        }
                        Accepted::Lost => {
                            if turn.as_ref().is_some_and(|turn| !log.holds(turn)) {
                                return Err(Error::new(ErrorCode::Conflict)
                                    .message("the transaction lost twice; its second run took longer than its turn"));
                            }
                        }
                    }
                    if turn.is_none() {
                        turn = Some(Box::pin(log.turn()).await);
                    }
                }
            }
            let now = Instant::now();
            if now >= *until.get_or_insert(now + LIFETIME) {
                return Err(Error::new(ErrorCode::Conflict).message("the transaction lost until its time ran out"));
            }
            call = call.again();
        }
    }
}

/// Whether what a transaction has seen is durable, once that is known; it is not where it has vanished. One that saw nothing has
/// nothing to wait for.
async fn settled(log: &CommitLog, transaction: &Transaction) -> Result<bool> {
    match transaction.seen() {
        None => Ok(true),
        Some(seen) => Ok(log.settled(seen).await? == Settled::Durable),
    }
}

/// How a transaction ended that was put in order, once it was logged and all is done that it has left for when it is durable: that
/// also where its caller gives it up meanwhile, because it is committed all the same.
async fn answered(
    answer: oneshot::Receiver<Answer>,
    journal: &Arc<Journal>,
    call: &Call,
    later: Vec<Later>,
) -> Option<Answer> {
    if later.is_empty() {
        let answer = answer.await.ok()?;
        if let Answer::Durable(commit) = &answer {
            journal.committed(commit, Some(call));
        }
        return Some(answer);
    }
    let (journal, call) = (journal.clone(), call.clone());
    let task = tokio::spawn(async move {
        let answer = answer.await.ok()?;
        if let Answer::Durable(commit) = &answer {
            journal.committed(commit, Some(&call));
            done_later(journal.clone(), later).await;
        }
        Some(answer)
    });
    task.await.ok().flatten()
}

/// Does what a transaction has left for when it is durable. That is not cut off when nobody waits for the answer any more, and
/// holds the answer up for as long as a transaction may live.
fn done_later(journal: Arc<Journal>, later: Vec<Later>) -> BoxFuture<'static, ()> {
    if later.is_empty() {
        return Box::pin(std::future::ready(()));
    }
    let subject = Subject::new(None, LogFeature::Transaction);
    let (noted, about) = (journal.clone(), subject.clone());
    let all = tokio::spawn(async move {
        for one in later {
            let done = async {
                one().await;
                Ok(())
            };
            if let Err(error) = caught(done).await {
                noted.failed(&about, "what was to be done after a commit failed", no_data, &error);
            }
        }
    });
    Box::pin(async move {
        if tokio::time::timeout(LIFETIME, all).await.is_err() {
            journal.note(&subject, LogLevel::Warn, || {
                Words::new("what is done after a commit takes long; its caller is answered before it")
            });
        }
    })
}

/// A future whose panic is an `INTERNAL` error: a handler's mistake is not the end of the connection that met it.
pub(crate) async fn caught<R>(future: impl Future<Output = Result<R>>) -> Result<R> {
    let mut future = pin!(future);
    poll_fn(move |context| poll_caught(|| future.as_mut().poll(context))).await
}

/// The same of one step of a future, which is not asked again after a panic.
pub(crate) fn poll_caught<R>(poll: impl FnOnce() -> Poll<Result<R>>) -> Poll<Result<R>> {
    std::panic::catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Poll::Ready(Err(Error::internal(format!("a handler panicked: {text}"))))
    })
}

/// What a step is called where it is said that operations nest too deep. It is put into words only then.
pub(super) enum Name {
    Text(Cow<'static, str>),
    /// An operation of a model.
    Operation(Arc<ModelSchema>, &'static str),
}

impl From<&'static str> for Name {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Operation(schema, operation) => write!(f, "{}.{operation}", schema.id),
        }
    }
}

/// One level of a transaction: what the handles of one handler share.
pub(crate) struct Step {
    pub(super) transaction: Arc<Transaction>,
    call: Call,
    /// Operations of one handler run one after the other, also when it starts several at once: each is a savepoint, and
    /// savepoints only nest.
    turn: tokio::sync::Mutex<()>,
    closed: AtomicBool,
    parent: Option<Arc<Self>>,
    /// Nothing where it is the transaction as such.
    name: Option<Name>,
    /// How many steps have a name, with this one.
    depth: usize,
}

impl Step {
    fn root(transaction: Transaction, call: Call, name: Option<Name>) -> Arc<Self> {
        Arc::new(Self {
            transaction: Arc::new(transaction),
            call,
            turn: tokio::sync::Mutex::new(()),
            closed: AtomicBool::new(false),
            parent: None,
            depth: usize::from(name.is_some()),
            name,
        })
    }

    fn child(self: &Arc<Self>, name: Name) -> Result<Arc<Self>> {
        if self.depth >= MAX_DEPTH {
            let mut names = vec![name.to_string()];
            let mut step = Some(self);
            while let Some(Self { name, parent, .. }) = step.map(AsRef::as_ref) {
                names.extend(name.as_ref().map(Name::to_string));
                step = parent.as_ref();
            }
            names.reverse();
            return Err(Error::new(ErrorCode::TransactionTooLarge)
                .message(format!("operations nest {MAX_DEPTH} deep at most: {}", names.join(" > "))));
        }
        Ok(Arc::new(Self {
            transaction: self.transaction.clone(),
            call: self.call.clone(),
            turn: tokio::sync::Mutex::new(()),
            closed: AtomicBool::new(false),
            parent: Some(self.clone()),
            name: Some(name),
            depth: self.depth + 1,
        }))
    }

    pub(super) fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// Runs something that leaves nothing behind but what it has read.
    pub(super) async fn aside<R, F, Fut>(self: &Arc<Self>, name: impl Fn() -> Name, body: F) -> Result<R>
    where
        F: FnOnce(Arc<Self>) -> Fut,
        Fut: Future<Output = Result<R>> + Send,
    {
        self.check_open()?;
        let _one_at_a_time = self.turn.lock().await;
        self.check_open()?;
        let step = self.child(name())?;
        let savepoint = self.transaction.savepoint()?;
        let outcome = body(step.clone()).await;
        step.close();
        self.transaction.roll_back(savepoint);
        outcome
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }
}

/// Whether the caller may reach something of this level at all.
fn allow(caller: &Caller, access: Visibility, what: &str) -> Result<()> {
    if caller.is_application() {
        return Ok(());
    }
    match access {
        Visibility::Public => Ok(()),
        Visibility::Protected if caller.is_verified() => Ok(()),
        Visibility::Protected => Err(Error::unauthenticated()),
        Visibility::Internal => Err(Error::new(ErrorCode::Forbidden).message(format!(
            "`{what}` is not reachable for a caller; a handler that means to act as the application takes `System<Model<…>>`"
        ))),
    }
}

/// Where an operation happens, and who acts.
#[derive(Clone)]
pub(crate) struct Scope {
    runtime: Runtime,
    /// Whose rights count.
    caller: Caller,
    binding: Binding,
}

#[derive(Clone)]
enum Binding {
    /// A transaction for each operation.
    Application,
    /// The same, and also inside of a transaction of the same application.
    Detached,
    /// A step of this.
    Step(Arc<Step>),
}

/// What [`Scope::modify`] does to a value, whose type it knows.
pub(crate) type Change<'a> = dyn Fn(&mut (dyn Any + Send)) -> Result<()> + Send + Sync + 'a;

/// In which form a value is handed to [`Scope::modify`]'s function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AsForm {
    /// That of the model.
    Stored,
    /// A [`Document`](crate::core::json::Document), whatever the type of the model is.
    Json,
}

/// Which document.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Id(RawId),
    /// The first that matches.
    First(Arc<RawFilter>),
}

impl Scope {
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        matches!(self.binding, Binding::Step(_))
    }

    /// The step that it is in.
    pub(super) fn step(&self) -> Option<&Arc<Step>> {
        match &self.binding {
            Binding::Step(step) => Some(step),
            Binding::Application | Binding::Detached => None,
        }
    }

    /// Whether an operation needs no transaction of its own: it is no part of one, and asks nobody for a right.
    fn is_plain(&self, index: ModelIndex) -> Result<bool> {
        Ok(!self.is_in_transaction() && !self.is_ruled(index)?)
    }

    /// Has something done once the transaction is durable.
    pub(crate) fn after_commit(&self, later: Later) -> Result<()> {
        match &self.binding {
            Binding::Step(step) => {
                step.check_open()?;
                step.transaction.later(later)
            }
            Binding::Application | Binding::Detached => Err(closed()),
        }
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same for somebody else: what asks for his rights is to be allowed by other means.
    pub(super) fn on_behalf_of(&self, caller: Caller) -> Self {
        Self { caller, ..self.clone() }
    }

    pub(crate) fn as_application(&self) -> Self {
        Self { caller: Caller::application(), ..self.clone() }
    }

    pub(crate) fn detached(&self) -> Self {
        Self { binding: Binding::Detached, ..self.clone() }
    }

    /// The scope of the handles in a transaction's body.
    pub(crate) fn in_step(&self, step: Arc<Step>) -> Self {
        Self { binding: Binding::Step(step), ..self.clone() }
    }

    /// Whether the one who acts may reach something of this level at all.
    pub(crate) fn allow(&self, access: Visibility, what: &str) -> Result<()> {
        allow(&self.caller, access, what)
    }

    pub(super) fn model(&self, index: ModelIndex) -> Result<&ModelRuntime> {
        let model = self.runtime.model(index)?;
        self.allow(model.visibility(), &model.schema.id)?;
        Ok(model)
    }

    /// Refuses a handle of the application inside of one of its transactions: it would not see what that has written, and
    /// could wait for itself.
    fn check_not_nested(&self) -> Result<()> {
        let nested = CURRENT.try_with(|number| *number == self.runtime.0.number).unwrap_or(false);
        if nested && matches!(self.binding, Binding::Application) {
            return Err(Error::new(ErrorCode::NestedTransaction).message(
                "a handle of the application was used inside one of its transactions; \
                 take a `Model<…>` as an argument of the handler, or say `.detached()`",
            ));
        }
        Ok(())
    }

    /// Runs one operation as a step of its transaction, or as a transaction of its own.
    pub(super) async fn operate<R, F, Fut>(&self, name: impl Fn() -> Name + Sync, mut body: F) -> Result<R>
    where
        F: FnMut(Arc<Step>) -> Fut,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        // On the heap: both are large, and are a part of whatever future asks for one.
        match &self.binding {
            Binding::Step(step) => Box::pin(run_step(step, name(), &mut body)).await,
            Binding::Application | Binding::Detached => {
                self.check_not_nested()?;
                let run = Box::pin(self.runtime.transact_as(|| Some(name()), body));
                run.await.map_err(|error| self.shown(error))
            }
        }
    }

    /// An error as the one who acts may see it: which model refers to a document is nothing that he learns, unless he may know
    /// of that model.
    fn shown(&self, error: Error) -> Error {
        if self.caller.is_application() || *error.code() != ErrorCode::ReferenceViolation {
            return error;
        }
        let named = error.to_json().get("model").and_then(Value::as_str).map(str::to_owned);
        let known =
            named.as_deref().and_then(|id| self.runtime.find_model(id)).and_then(|at| self.runtime.model(at).ok());
        if known.is_some_and(|model| !model.is_known_outside()) { Error::referenced_by_another() } else { error }
    }

    /// The scope of a hook: it acts as the application.
    fn of_hook(&self, step: &Arc<Step>) -> Self {
        self.as_application().in_step(step.clone())
    }

    async fn run_hooks(
        &self,
        index: ModelIndex,
        event: HookEvent,
        step: &Arc<Step>,
        payload: &mut HookPayload<'_>,
        previous: Option<&DynDoc>,
    ) -> Result<()> {
        let model = self.runtime.model(index)?;
        // One that is added or taken away meanwhile counts for what begins after.
        let journal = self.runtime.journal();
        for hook in model.hooks.all().iter().filter(|hook| hook.on.contains(&event)) {
            let subject = hook.subject(index).in_call(&step.call);
            let outcome = match (hook.delay, &*payload) {
                (Some(_), HookPayload::Doc(doc)) => {
                    job::schedule_hook(self, step, (&model.schema.id, hook, event), &self.caller, doc, previous)
                        .inspect(|()| journal.scheduled(&subject, event))
                        .inspect_err(|error| journal.hook(&subject, event, None, Err(error)))
                }
                _ => {
                    let began = journal.begin(&subject);
                    let run = self.run_hook(
                        (step, index),
                        hook,
                        event,
                        payload.borrow(),
                        previous.cloned(),
                        self.caller.clone(),
                    );
                    // A panic is a failure of the operation, and told as one.
                    let outcome = journal.traced(&subject, caught(run)).await;
                    journal.hook(&subject, event, began, outcome.as_ref().map(drop));
                    outcome
                }
            };
            outcome?;
        }
        Ok(())
    }

    /// Runs one hook in the transaction of the step.
    pub(super) fn run_hook<'a>(
        &self,
        (step, model): (&Arc<Step>, ModelIndex),
        hook: &Hook,
        event: HookEvent,
        payload: Payload<'a>,
        previous: Option<DynDoc>,
        caller: Caller,
    ) -> BoxFuture<'a, Result<()>> {
        hook.run(Invocation {
            scope: self.of_hook(step),
            caller,
            call: step.call.clone(),
            event: Some(event),
            payload,
            previous,
            with: With::Nothing,
            subject: hook.subject(model).in_call(&step.call),
        })
    }

    /// Has the hooks run that wait for the transaction to be durable.
    fn run_hooks_later(
        &self,
        index: ModelIndex,
        operation: Operation,
        step: &Arc<Step>,
        doc: &DynDoc,
        previous: Option<&DynDoc>,
    ) -> Result<()> {
        let event = HookEvent::after_commit(operation);
        if !self.runtime.model(index)?.has_hooks_on(event) {
            return Ok(());
        }
        let (runtime, caller, call) = (self.runtime.clone(), self.caller.clone(), step.call.clone());
        let (doc, previous) = (doc.clone(), previous.cloned());
        step.transaction.later(Arc::new(move || {
            let (runtime, caller, call) = (runtime.clone(), caller.clone(), call.clone());
            let (doc, previous) = (doc.clone(), previous.clone());
            Box::pin(async move {
                let Ok(model) = runtime.model(index) else { return };
                let journal = runtime.journal();
                for hook in model.hooks.all().iter().filter(|hook| hook.on.contains(&event)) {
                    let subject = hook.subject(index).in_call(&call);
                    let invocation = Invocation {
                        scope: runtime.scope(Caller::application()),
                        caller: caller.clone(),
                        call: call.clone(),
                        event: Some(event),
                        payload: Payload::Doc(doc.clone()),
                        previous: previous.clone(),
                        with: With::Nothing,
                        subject: subject.clone(),
                    };
                    let began = journal.begin(&subject);
                    // The operation is done, and cannot be refused any more.
                    let outcome = journal.traced(&subject, caught(hook.run(invocation))).await;
                    journal.hook(&subject, event, began, outcome.as_ref().map(drop));
                }
            })
        }))
    }

    pub(crate) async fn insert(
        &self,
        index: ModelIndex,
        id: Option<RawId>,
        value: Box<dyn AnyValue>,
        checked: bool,
    ) -> Result<DynDoc> {
        let model = self.model(index)?;
        let id = id.unwrap_or_else(RawId::generate);
        if self.is_plain(index)? && !model.has_hooks(Operation::Insert) {
            self.check_not_nested()?;
            let value = if checked { value } else { model.schema.admit(value)? };
            let value = self.runtime.log().put_value(value)?;
            let intent = Intent::Put { model: index, id, value, expect: Expect::Absent };
            return self.intent(index, intent, |change| &change.after).await;
        }
        self.insert_with_hooks(index, &id, &*value, checked, Expect::Absent).await
    }

    /// The part that an insert shares with what comes back out of the trash.
    pub(super) async fn insert_with_hooks(
        &self,
        index: ModelIndex,
        id: &RawId,
        value: &dyn AnyValue,
        checked: bool,
        expect: Expect,
    ) -> Result<DynDoc> {
        let model = self.runtime.model(index)?;
        self.operate(
            || model.named("insert"),
            |step| async move {
                let rights = self.rights_to(Right::Insert, index, &step).await?;
                let mut value = value.copy();
                let event = |timing| HookEvent { timing, operation: Operation::Insert };
                let before = event(Timing::Before);
                let hooked = model.has_hooks_on(before);
                if hooked && !checked {
                    // A hook sees only what fits the schema, as it would from outside.
                    value = model.schema.admit(value)?;
                }
                self.run_hooks(index, before, &step, &mut HookPayload::Value(&mut *value), None).await?;
                self.check_next(rights.as_ref(), Right::Insert, id, &*value)?;
                let doc = step
                    .transaction
                    .put(index, id, value, expect, checked && !hooked)
                    .map_err(|error| self.runtime.guarded(index, error))?;
                self.run_hooks(index, event(Timing::After), &step, &mut HookPayload::Doc(&doc), None).await?;
                self.run_hooks_later(index, Operation::Insert, &step, &doc, None)?;
                Ok(doc)
            },
        )
        .await
    }

    /// Has the committer evaluate a write, and answers the version of the document that is asked for.
    async fn intent(
        &self,
        index: ModelIndex,
        intent: Intent,
        version: fn(&CommittedChange) -> &Option<DynDoc>,
    ) -> Result<DynDoc> {
        let outcome = self.runtime.log().intent(intent).await.map_err(|error| self.shown(error));
        let commit = outcome.map_err(|error| self.runtime.guarded(index, error))?;
        self.runtime.journal().committed(&commit, None);
        commit
            .changes
            .first()
            .and_then(|change| version(change).clone())
            .ok_or_else(|| Error::internal("an empty commit"))
    }

    pub(crate) async fn update(
        &self,
        index: ModelIndex,
        target: Target,
        update: Arc<RawUpdate>,
        if_rev: Option<u64>,
    ) -> Result<DynDoc> {
        let model = self.model(index)?;
        if let (Target::Id(id), false) = (&target, model.has_hooks(Operation::Update))
            && self.is_plain(index)?
        {
            self.check_not_nested()?;
            let intent = Intent::Update { model: index, id: id.clone(), update, if_rev };
            return self.intent(index, intent, |change| &change.after).await;
        }
        let (target, update) = (&target, &update);
        self.operate(
            || model.named("update"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                let current = self.resolve(&step, index, target, rights.as_ref(), Right::Update)?;
                check_rev(if_rev, &current)?;
                let value = model.schema.updated(&current, update)?;
                self.next_version(index, &step, &current, value, rights.as_ref()).await
            },
        )
        .await
    }

    /// Inserts all of these, under the ids that are given, or none. An error says which one it is about.
    pub(crate) async fn insert_many(
        &self,
        index: ModelIndex,
        values: Vec<(Option<RawId>, Box<dyn AnyValue>)>,
        checked: bool,
    ) -> Result<Vec<DynDoc>> {
        let model = self.model(index)?;
        let values: Vec<(RawId, Box<dyn AnyValue>)> =
            values.into_iter().map(|(id, value)| (id.unwrap_or_else(RawId::generate), value)).collect();
        if self.is_plain(index)? && !model.has_hooks(Operation::Insert) && self.is_batch(model, &values, checked) {
            // No hook has to see one document after the other: it is one write, that the committer evaluates.
            self.check_not_nested()?;
            let log = self.runtime.log();
            let put = |(id, value)| Ok((id, log.put_value(value)?));
            let values = values.into_iter().map(put).collect::<Result<_>>()?;
            let intent = Intent::Insert { model: index, values };
            let commit = log.intent(intent).await.map_err(|error| self.runtime.guarded(index, self.shown(error)))?;
            self.runtime.journal().committed(&commit, None);
            return Ok(commit.changes.iter().filter_map(|change| change.after.clone()).collect());
        }
        let values = &values;
        self.operate(
            || model.named("insert_many"),
            |step| async move {
                let scope = self.in_step(step);
                let mut docs = Vec::with_capacity(values.len());
                for (at, (id, value)) in values.iter().enumerate() {
                    let inserted = scope.insert(index, Some(id.clone()), value.copy(), checked).await;
                    docs.push(inserted.map_err(|error| error.of_element(at))?);
                }
                Ok(docs)
            },
        )
        .await
    }

    /// Whether the values can be one write: there are some, all fit, and together they are not too much. Where they cannot,
    /// going through them one after the other tells which is the first that is wrong.
    fn is_batch(&self, model: &ModelRuntime, values: &[(RawId, Box<dyn AnyValue>)], checked: bool) -> bool {
        let limits = self.runtime.0.limits;
        let fits = |value: &dyn AnyValue| checked || model.schema.admits(value);
        (1..=limits.changes).contains(&values.len())
            && values.iter().all(|(_, value)| fits(&**value))
            && values.iter().map(|(_, value)| value.weight()).sum::<usize>() <= limits.bytes
    }

    /// Updates all documents that match, or none.
    pub(crate) async fn update_many(
        &self,
        index: ModelIndex,
        filter: &Arc<RawFilter>,
        update: &Arc<RawUpdate>,
    ) -> Result<usize> {
        self.for_each(index, ("update_many", Right::Update), filter, |scope, id| async move {
            scope.update(index, Target::Id(id), update.clone(), None).await.map(drop)
        })
        .await
    }

    /// Deletes all documents that match, or none.
    pub(crate) async fn delete_many(&self, index: ModelIndex, filter: &Arc<RawFilter>) -> Result<usize> {
        self.for_each(index, ("delete_many", Right::Delete), filter, |scope, id| async move {
            scope.delete(index, Target::Id(id), None).await.map(drop)
        })
        .await
    }

    /// Does the same to all documents that match, in one step, and counts them. Those that the one who acts has not the right for
    /// are passed over.
    async fn for_each<F, Fut>(
        &self,
        index: ModelIndex,
        (name, right): (&'static str, Right),
        filter: &Arc<RawFilter>,
        body: F,
    ) -> Result<usize>
    where
        F: Fn(Self, RawId) -> Fut + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        let model = self.model(index)?;
        let body = &body;
        self.operate(
            || model.named(name),
            |step| async move {
                let filter = &self.within(&[Right::Read, right], index, &step, filter).await?;
                let query = RawQuery::of(filter.clone());
                let scope = self.in_step(step.clone());
                let mut done = 0;
                for found in step.transaction.find(index, &query, usize::MAX)? {
                    // A hook that ran for another one may have changed or deleted this one.
                    let Some(current) = step.transaction.get(index, found.id())? else { continue };
                    if current.rev() != found.rev() && !filter.matches(&DocView(&*current)) {
                        continue;
                    }
                    body(scope.clone(), found.id().clone()).await?;
                    done += 1;
                }
                Ok(done)
            },
        )
        .await
    }

    /// Changes a copy of a document by a function, and puts it in its place.
    pub(crate) async fn modify(
        &self,
        index: ModelIndex,
        target: Target,
        form: AsForm,
        change: &Change<'_>,
        if_rev: Option<u64>,
    ) -> Result<DynDoc> {
        let model = self.model(index)?;
        let target = &target;
        self.operate(
            || model.named("modify"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                let current = self.resolve(&step, index, target, rights.as_ref(), Right::Update)?;
                check_rev(if_rev, &current)?;
                let mut value = match form {
                    AsForm::Stored => current.copy(),
                    AsForm::Json => Box::new(model.schema.dynamic(&current)?),
                };
                change(value.as_any_mut())?;
                let value = model.schema.admit(value)?;
                self.next_version(index, &step, &current, value, rights.as_ref()).await
            },
        )
        .await
    }

    /// Puts another value, in its stored form, in the place of a document. Private parts that are not there are kept: whoever
    /// read the document outside could not see them.
    pub(crate) async fn replace(
        &self,
        index: ModelIndex,
        id: RawId,
        json: Value,
        if_rev: Option<u64>,
        by: Audience,
    ) -> Result<DynDoc> {
        let model = self.model(index)?;
        let (id, json) = (&id, &json);
        self.operate(
            || model.named("replace"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                let target = Target::Id(id.clone());
                let current = self.resolve(&step, index, &target, rights.as_ref(), Right::Update)?;
                check_rev(if_rev, &current)?;
                let value = model.schema.replaced(&current, json.clone(), by)?;
                self.next_version(index, &step, &current, value, rights.as_ref()).await
            },
        )
        .await
    }

    /// Puts a value, in its stored form, in the place of a document, as [`Scope::replace`] does, or inserts it where there is
    /// none. With a revision there has to be one. Says whether it was inserted.
    pub(crate) async fn upsert(
        &self,
        index: ModelIndex,
        target: Target,
        json: Value,
        if_rev: Option<u64>,
        by: Audience,
    ) -> Result<(DynDoc, bool)> {
        let model = self.model(index)?;
        // Run again, the insert is under the same id.
        let fresh = match &target {
            Target::Id(id) => id.clone(),
            Target::First(_) => RawId::generate(),
        };
        let (target, json, fresh) = (&target, &json, &fresh);
        self.operate(
            || model.named("upsert"),
            |step| async move {
                let scope = self.in_step(step.clone());
                let rights = self.rights(index, &step).await?;
                match self.resolve(&step, index, target, rights.as_ref(), Right::Update) {
                    Ok(current) => {
                        Ok((scope.replace(index, current.id().clone(), json.clone(), if_rev, by).await?, false))
                    }
                    Err(error) if *error.code() == ErrorCode::NotFound && if_rev.is_none() => {
                        let value = model.schema.value_by(by, json.clone())?;
                        Ok((scope.insert(index, Some(fresh.clone()), value, true).await?, true))
                    }
                    Err(error) => Err(error),
                }
            },
        )
        .await
    }

    /// The part that updates and replacements share. The value is known to fit the schema, the revision to be the wanted one.
    async fn next_version(
        &self,
        index: ModelIndex,
        step: &Arc<Step>,
        current: &DynDoc,
        mut value: Box<dyn AnyValue>,
        rights: Option<&Rights>,
    ) -> Result<DynDoc> {
        let model = self.runtime.model(index)?;
        let event = |timing| HookEvent { timing, operation: Operation::Update };
        let before = event(Timing::Before);
        let hooked = model.has_hooks_on(before);
        let mut payload = HookPayload::Value(&mut *value);
        self.run_hooks(index, before, step, &mut payload, Some(current)).await?;
        self.check_next(rights, Right::Update, current.id(), &*value)?;
        let doc =
            step.transaction.put(index, current.id(), value, Expect::Present { if_rev: Some(current.rev()) }, !hooked);
        let doc = doc.map_err(|error| self.runtime.guarded(index, error))?;
        self.run_hooks(index, event(Timing::After), step, &mut HookPayload::Doc(&doc), Some(current)).await?;
        self.run_hooks_later(index, Operation::Update, step, &doc, Some(current))?;
        Ok(doc)
    }

    pub(crate) async fn delete(&self, index: ModelIndex, target: Target, if_rev: Option<u64>) -> Result<DynDoc> {
        let model = self.model(index)?;
        let spreads = model.has_hooks(Operation::Delete) || self.runtime.log().links().spreads(index);
        if let (Target::Id(id), false) = (&target, spreads)
            && self.is_plain(index)?
        {
            self.check_not_nested()?;
            let trash = model.schema.trash.map(|_| Box::new((RawId::generate(), self.deletion())));
            let intent = Intent::Delete { model: index, id: id.clone(), if_rev, trash };
            return self.intent(index, intent, |change| &change.before).await;
        }
        let target = &target;
        self.operate(
            || model.named("delete"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                let current = self.resolve(&step, index, target, rights.as_ref(), Right::Delete)?;
                check_rev(if_rev, &current)?;
                // Boxed, because the walk is large, and what awaits it is moved about.
                Box::pin(self.remove(index, &step, current, true)).await
            },
        )
        .await
    }

    /// Who acts, as it is kept with what he deletes.
    fn subject(&self) -> Option<Arc<str>> {
        self.caller.subject().map(Arc::from)
    }

    /// A deletion of one document, which nothing goes with.
    fn deletion(&self) -> Deletion {
        Deletion { id: RawId::generate(), at: self.runtime.0.clock.now(), by: self.subject() }
    }

    /// Deletes a document with all that goes with it, what refers to another one before that one, each with its hooks, and to
    /// the trash where it is to be kept. It acts as the application: whether the one who asks may do the same to those documents
    /// does not matter.
    pub(super) async fn remove(
        &self,
        index: ModelIndex,
        step: &Arc<Step>,
        current: DynDoc,
        kept: bool,
    ) -> Result<DynDoc> {
        let transaction = &step.transaction;
        let event = |timing| HookEvent { timing, operation: Operation::Delete };
        let doomed = transaction.doomed(index, &current)?;
        let mut entered = Places::new();
        // A path down the references is as long as it likes, so it is not the stack of the program that is walked on.
        let mut open = vec![Going::In(index, current.clone())];
        let root = current.id().clone();
        let mut removed = current;
        while let Some(going) = open.pop() {
            let (model, doc) = match going {
                Going::In(model, doc) => {
                    if !entered.insert((model, doc.id().clone())) {
                        continue;
                    }
                    // Hooks of others may have changed it, or deleted it.
                    let Some(doc) = transaction.get(model, doc.id())? else { continue };
                    let mut payload = HookPayload::Id(doc.id());
                    self.run_hooks(model, event(Timing::Before), step, &mut payload, Some(&doc)).await?;
                    (model, doc)
                }
                Going::Out(model, doc) => {
                    if transaction.get(model, doc.id())?.is_none() && *doc.id() != root {
                        continue;
                    }
                    (model, doc)
                }
            };
            let stays = |one: &Referring| {
                let place = (one.link.child, one.doc.id().clone());
                !entered.contains(&place) && !doomed.contains(&place)
            };
            let referring = transaction.referring(model, &doc)?;
            // Hooks may have added some that were not there when it began.
            let cascade: Vec<Going> = referring
                .iter()
                .filter(|one| one.link.on_delete == OnDelete::Cascade)
                .filter(|one| !entered.contains(&(one.link.child, one.doc.id().clone())))
                .map(|one| Going::In(one.link.child, one.doc.clone()))
                .collect();
            if !cascade.is_empty() {
                open.push(Going::Out(model, doc));
                open.extend(cascade.into_iter().rev());
                continue;
            }
            let mut left: BTreeMap<(ModelIndex, RawId), Vec<Referring>> = BTreeMap::new();
            for one in referring.into_iter().filter(stays) {
                match one.link.on_delete {
                    OnDelete::Restrict => return Err(one.link.is_in_use()),
                    OnDelete::SetNull => {
                        left.entry((one.link.child, one.doc.id().clone())).or_default().push(one);
                    }
                    OnDelete::Cascade => {}
                }
            }
            for ((child, _), references) in left {
                self.let_go(child, step, &references).await?;
            }
            let mark = kept.then(|| Mark { at: self.runtime.0.clock.now(), by: self.subject() });
            let gone = transaction.delete(model, doc.id(), Some(doc.rev()), mark)?;
            self.run_hooks(model, event(Timing::After), step, &mut HookPayload::Doc(&gone), None).await?;
            self.run_hooks_later(model, Operation::Delete, step, &gone, None)?;
            removed = gone;
        }
        Ok(removed)
    }

    /// Takes references, all of one document, out of it.
    async fn let_go(&self, index: ModelIndex, step: &Arc<Step>, references: &[Referring]) -> Result<()> {
        let model = self.runtime.model(index)?;
        let Some(first) = references.first() else { return Ok(()) };
        // The hook of another one may have changed it.
        let Some(current) = step.transaction.get(index, first.doc.id())? else { return Ok(()) };
        let mut json = current.to_stored()?;
        references.iter().for_each(|one| one.link.cut(&mut json, &one.key));
        let value = model.schema.value_from_json(json)?;
        self.next_version(index, step, &current, value, None).await.map(drop)
    }

    pub(crate) async fn get(&self, index: ModelIndex, target: &Target) -> Result<Option<DynDoc>> {
        self.model(index)?;
        if !self.is_ruled(index)? {
            return self.get_at(index, target);
        }
        let within = |step: Arc<Step>| async move {
            let rights = self.rights(index, &step).await?.unwrap_or_default();
            let scope = self.in_step(step);
            match target {
                Target::Id(_) => Ok(scope.get_at(index, target)?.filter(|doc| rights.allows(Right::Read, doc))),
                Target::First(filter) => scope.get_at(index, &Target::First(rights.joined(&[Right::Read], filter))),
            }
        };
        match self.step() {
            Some(step) => within(step.clone()).await,
            None => Box::pin(self.own_step("get", within)).await,
        }
    }

    /// The same of whatever collection.
    pub(super) fn get_at(&self, index: ModelIndex, target: &Target) -> Result<Option<DynDoc>> {
        match &self.binding {
            Binding::Step(step) => {
                step.check_open()?;
                match target {
                    Target::Id(id) => step.transaction.get(index, id),
                    Target::First(filter) => Ok(step.transaction.find(index, &first(filter), 1)?.into_iter().next()),
                }
            }
            Binding::Application | Binding::Detached => {
                self.check_not_nested()?;
                let state = self.runtime.durable();
                match target {
                    Target::Id(id) => Ok(state.get(index, id).cloned()),
                    Target::First(filter) => {
                        Ok(state.collection(index).map(|collection| collection.first(filter)).transpose()?.flatten())
                    }
                }
            }
        }
    }

    /// Looks at a collection at a commit, where this scope reads; what the filter matches is noted as read.
    pub(super) fn look_at<R>(
        &self,
        place: ModelIndex,
        filter: &Arc<RawFilter>,
        look: impl FnOnce(&Collection, u64) -> R,
    ) -> Result<R> {
        match &self.binding {
            Binding::Step(step) => {
                step.check_open()?;
                step.transaction.read(place, filter, |collection| look(collection, step.transaction.seq()))
            }
            Binding::Application | Binding::Detached => {
                self.check_not_nested()?;
                let state = self.runtime.durable();
                let collection = state.collection(place).ok_or_else(|| Error::internal("unknown model"))?;
                Ok(look(collection, state.seq))
            }
        }
    }

    /// Looks for the documents that match the filter, where this scope reads: of those that the one who acts may read, by the
    /// filter that `look` is given.
    async fn read<R: Send>(
        &self,
        index: ModelIndex,
        filter: &Arc<RawFilter>,
        look: impl Fn(&Collection, &Arc<RawFilter>) -> R + Sync,
    ) -> Result<R> {
        self.model(index)?;
        if !self.is_ruled(index)? {
            return self.look_at(index, filter, |collection, _| look(collection, filter));
        }
        let look = &look;
        let within = |step: Arc<Step>| async move {
            let filter = self.within(&[Right::Read], index, &step, filter).await?;
            self.in_step(step).look_at(index, &filter, |collection, _| look(collection, &filter))
        };
        match self.step() {
            Some(step) => within(step.clone()).await,
            None => Box::pin(self.own_step("read", within)).await,
        }
    }

    pub(crate) async fn find(&self, index: ModelIndex, query: &RawQuery, most: usize) -> Result<Vec<DynDoc>> {
        self.read(index, &query.filter, |collection, filter| collection.find(&query.within(filter), most)).await?
    }

    pub(crate) async fn count(&self, index: ModelIndex, filter: &Arc<RawFilter>) -> Result<usize> {
        self.read(index, filter, |collection, filter| collection.count(filter)).await
    }

    /// Answers the query, and how that was done.
    pub(crate) async fn explain(&self, index: ModelIndex, query: &RawQuery, most: usize) -> Result<Explanation> {
        let explain = |collection: &Collection, filter: &Arc<RawFilter>| {
            Ok(collection.search(&query.within(filter), most, None)?.explain())
        };
        self.read(index, &query.filter, explain).await?
    }

    /// The documents of a query with the hooks of `list`, and the commit they were read at. `shown` is the part of them that is
    /// answered.
    pub(crate) async fn list(
        &self,
        index: ModelIndex,
        query: &RawQuery,
        shown: Option<&RawProjection>,
    ) -> Result<Listed> {
        let caller = self.caller.identity();
        let (page, query, seq) = self
            .listed(index, query, |collection, executed| {
                let list = self.as_list(index, &caller, query, executed, shown)?;
                let behind = self.behind(&list, collection)?;
                let (docs, next) = collection.page(executed, behind.as_ref())?;
                let next = next.map(|next| list.cursor(self.runtime.0.secret.cursors()?, &next)).transpose()?;
                Ok((docs, next))
            })
            .await?;
        let (docs, next) = page;
        Ok(Listed { docs, next, query, seq })
    }

    /// How a list is answered, as one may know who knows of some of the fields.
    pub(crate) async fn explain_list(
        &self,
        index: ModelIndex,
        query: &RawQuery,
        shown: Option<&RawProjection>,
        to: Audience,
    ) -> Result<(Explanation, u64)> {
        let caller = self.caller.identity();
        let schema = &self.model(index)?.schema;
        let (told, _, seq) = self
            .listed(index, query, |collection, executed| {
                if to != Audience::Store && !query.asks_the_same(executed) {
                    let text = "a hook or a rule of the model changes the query, and how that is answered is not told";
                    return Err(Error::query("explain", text));
                }
                let list = self.as_list(index, &caller, query, executed, shown)?;
                let behind = self.behind(&list, collection)?;
                let known = collection.known_by(|name| schema.field(name).is_some_and(|field| !field.is_withheld(to)));
                known.explain_page(executed, behind.as_ref())
            })
            .await?;
        Ok((told, seq))
    }

    /// A list as what its cursors belong to.
    fn as_list<'a>(
        &'a self,
        index: ModelIndex,
        caller: &'a str,
        asked: &'a RawQuery,
        executed: &'a RawQuery,
        shown: Option<&'a RawProjection>,
    ) -> Result<Listing<'a>> {
        let model = self.runtime.model(index)?.schema.id.as_ref();
        Ok(Listing { model, caller, asked, sort: &executed.sort, shown })
    }

    /// Where a list goes on.
    fn behind(&self, list: &Listing<'_>, collection: &Collection) -> Result<Option<Position>> {
        let Some(cursor) = &list.asked.cursor else { return Ok(None) };
        let now = |id: &RawId| list.sort.position(collection.get(id)?).ok();
        list.position(self.runtime.0.secret.cursors()?, cursor, now).map(Some)
    }

    /// Runs the hooks of `list`, and looks up what they left of a query; with the query that was left, and the commit that was
    /// looked at.
    async fn listed<R: Send>(
        &self,
        index: ModelIndex,
        query: &RawQuery,
        look: impl Fn(&Collection, &RawQuery) -> Result<R> + Sync,
    ) -> Result<(R, RawQuery, u64)> {
        let model = self.model(index)?;
        if query.cursor.is_some() && query.skip > 0 {
            return Err(Error::query("skip", "counts from the beginning, and a cursor goes on from elsewhere"));
        }
        if self.is_plain(index)? && !model.has_hooks(Operation::List) {
            self.check_not_nested()?;
            let state = self.runtime.durable();
            let collection = state.collection(index).ok_or_else(|| Error::internal("unknown model"))?;
            return Ok((look(collection, query)?, query.clone(), state.seq));
        }
        let look = &look;
        self.operate(
            || model.named("list"),
            |step| async move {
                let mut typed = model.schema.typed_query(query.clone());
                let event = |timing| HookEvent { timing, operation: Operation::List };
                self.run_hooks(index, event(Timing::Before), &step, &mut HookPayload::Query(&mut *typed), None).await?;
                let mut changed = model.schema.raw_query(&*typed).unwrap_or_else(|| query.clone());
                if query.cursor.is_some() {
                    // Passed over on the first page.
                    changed.skip = 0;
                }
                let filter = self.within(&[Right::Read], index, &step, &changed.filter).await?;
                let executed = changed.within(&filter);
                let found =
                    step.transaction.read(index, &executed.filter, |collection| look(collection, &executed))??;
                self.run_hooks(index, event(Timing::After), &step, &mut HookPayload::Query(&mut *typed), None).await?;
                Ok((found, changed, step.transaction.seq()))
            },
        )
        .await
    }

    /// Runs an operation with checked arguments.
    pub(crate) async fn call(
        &self,
        index: ModelIndex,
        kind: OperationKind,
        id: &str,
        args: Box<dyn AnyPayload>,
        with: With,
    ) -> Result<Box<dyn AnyOutput>> {
        self.perform(index, self.operation(index, kind, id)?, args, with).await
    }

    /// Runs an operation, which the one who acts is known to be allowed.
    pub(crate) async fn perform(
        &self,
        index: ModelIndex,
        operation: &OperationRuntime,
        args: Box<dyn AnyPayload>,
        with: With,
    ) -> Result<Box<dyn AnyOutput>> {
        self.perform_with(index, operation, || Ok((*args).copy()), with).await
    }

    /// The same with arguments from outside as JSON text, which may be none. They are made of it again for a second run, which
    /// is rare, and not copied for the first one.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server reads text from outside"))]
    pub(crate) async fn perform_of_text(
        &self,
        index: ModelIndex,
        operation: &OperationRuntime,
        text: &[u8],
        by: Audience,
    ) -> Result<Box<dyn AnyOutput>> {
        let mut first = Some(self.args_of_text(operation, text, by)?);
        let args = || match first.take() {
            Some(args) => Ok(args),
            None => self.args_of_text(operation, text, by),
        };
        self.perform_with(index, operation, args, With::Nothing).await
    }

    /// The same with arguments that are asked for by each run.
    async fn perform_with<F>(
        &self,
        index: ModelIndex,
        operation: &OperationRuntime,
        mut args: F,
        with: With,
    ) -> Result<Box<dyn AnyOutput>>
    where
        F: FnMut() -> Result<Box<dyn AnyPayload>>,
    {
        let model = self.runtime.model(index)?;
        let with = match with {
            With::Chunk(chunk) => {
                chunk.check()?;
                With::Chunk(chunk)
            }
            With::File(file) => With::File(match operation.declaration.max_bytes {
                Some(most) => Box::new(file.up_to(most)),
                None => file,
            }),
            other => other,
        };
        if !operation.declaration.transaction {
            return Box::pin(self.perform_outside(index, operation, args()?, with)).await;
        }
        let with = &with;
        self.operate(
            || model.named(operation.declaration.id),
            |step| {
                let args = args();
                async move {
                    let call = step.call.clone();
                    self.run_operation(index, operation, (self.in_step(step), call), args?, with.again()).await
                }
            },
        )
        .await
    }

    /// Runs an operation that is no transaction: what it does with its handles is one for each operation.
    async fn perform_outside(
        &self,
        index: ModelIndex,
        operation: &OperationRuntime,
        args: Box<dyn AnyPayload>,
        with: With,
    ) -> Result<Box<dyn AnyOutput>> {
        if self.is_in_transaction() {
            return Err(Error::new(ErrorCode::NestedTransaction).message(format!(
                "`{}` takes as long as it likes, which a transaction cannot wait for; call it by `detached()`",
                operation.declaration.id
            )));
        }
        self.check_not_nested()?;
        self.run_operation(index, operation, (self.clone(), Call::new()), args, with).await
    }

    /// Runs the handler of an operation in a scope of this application. What it is given is handed on before there is anything to
    /// wait for, and is no part of what waits.
    fn run_operation<'a>(
        &'a self,
        index: ModelIndex,
        operation: &OperationRuntime,
        (scope, call): (Self, Call),
        args: Box<dyn AnyPayload>,
        with: With,
    ) -> impl Future<Output = Result<Box<dyn AnyOutput>>> + Send + use<'a> {
        let subject = operation.subject(index).in_call(&call);
        let invocation = Invocation {
            scope,
            caller: self.caller.clone(),
            call,
            event: None,
            payload: Payload::Args(args),
            previous: None,
            with,
            subject: subject.clone(),
        };
        let run = (operation.declaration.run)(invocation);
        async move {
            let journal = self.runtime.journal();
            let began = journal.begin(&subject);
            let outcome = journal.traced(&subject, caught(run)).await;
            journal.operation(&subject, began, outcome.as_ref().err());
            outcome
        }
    }

    /// An operation that the one who acts may reach.
    pub(crate) fn operation(&self, index: ModelIndex, kind: OperationKind, id: &str) -> Result<&OperationRuntime> {
        self.runtime.operation(&self.caller, index, kind, id)
    }

    /// The arguments of an operation from JSON, checked.
    pub(crate) fn args(
        &self,
        operation: &OperationRuntime,
        json: Option<Value>,
        by: Audience,
    ) -> Result<Box<dyn AnyPayload>> {
        match (&operation.args, &operation.declaration.args) {
            (Some(checked), Some(kind)) => checked.typed(json.unwrap_or(Value::Null), by, kind.from_json),
            _ => match json {
                None | Some(Value::Null) => Ok(Box::new(())),
                Some(Value::Object(object)) if object.is_empty() => Ok(Box::new(())),
                Some(_) => Err(Error::new(ErrorCode::ValidationError).message("this operation takes no arguments")),
            },
        }
    }

    /// The same from JSON text, without the way through a value where that makes no difference.
    fn args_of_text(&self, operation: &OperationRuntime, text: &[u8], by: Audience) -> Result<Box<dyn AnyPayload>> {
        if let (Some(checked), Some(kind), Ok(text)) =
            (&operation.args, &operation.declaration.args, std::str::from_utf8(text))
            && let Some(args) = checked.typed_of_text(text, by, kind.from_text)
        {
            return args;
        }
        let json = if text.is_empty() { None } else { Some(parse_json(text)?) };
        self.args(operation, json, by)
    }

    pub(crate) async fn publish(&self, publish: Publish) -> Result<()> {
        self.model(publish.model)?;
        let publish = &publish;
        self.operate(|| "publish".into(), |step| async move { step.transaction.publish(publish.clone()) }).await
    }

    /// What has no model that others may know, as one step.
    pub(super) async fn own_step<R, F, Fut>(&self, name: &'static str, body: F) -> Result<R>
    where
        F: Fn(Arc<Step>) -> Fut + Sync,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        self.operate(|| name.into(), body).await
    }

    /// A handler that belongs to no model, as one step.
    pub(super) async fn as_step<R, F, Fut>(&self, name: impl Fn() -> Name + Sync, body: F) -> Result<R>
    where
        F: Fn(Self, Call) -> Fut + Sync,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        let body = &body;
        self.operate(name, |step| body(self.in_step(step.clone()), step.call.clone())).await
    }

    /// Several operations, and whatever else, as one step.
    pub(crate) async fn together<R, F, Fut>(&self, name: &'static str, body: F) -> Result<R>
    where
        F: Fn(Self) -> Fut + Sync,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        let body = &body;
        self.operate(|| name.into(), |step| body(self.in_step(step))).await
    }
}

/// What a list found.
pub(crate) struct Listed {
    pub(crate) docs: Vec<DynDoc>,
    /// The cursor of the next page, if there is one.
    pub(crate) next: Option<String>,
    /// The query as the hooks left it.
    pub(crate) query: RawQuery,
    pub(crate) seq: u64,
}

fn first(filter: &Arc<RawFilter>) -> RawQuery {
    RawQuery { limit: Some(1), ..RawQuery::of(filter.clone()) }
}

async fn run_step<R, F, Fut>(parent: &Arc<Step>, name: Name, body: &mut F) -> Result<R>
where
    F: FnMut(Arc<Step>) -> Fut,
    Fut: Future<Output = Result<R>> + Send,
{
    parent.check_open()?;
    let _one_at_a_time = parent.turn.lock().await;
    parent.check_open()?;
    let step = parent.child(name)?;
    let savepoint = parent.transaction.savepoint()?;
    let outcome = body(step.clone()).await;
    step.close();
    if outcome.is_err() {
        parent.transaction.roll_back(savepoint);
    }
    outcome
}

impl Step {
    pub(super) fn resolve(&self, index: ModelIndex, target: &Target) -> Result<DynDoc> {
        match target {
            Target::Id(id) => self.transaction.get(index, id)?.ok_or_else(|| missing(id)),
            Target::First(filter) => self
                .transaction
                .find(index, &first(filter), 1)?
                .into_iter()
                .next()
                .ok_or_else(|| Error::new(ErrorCode::NotFound).message("no document matches")),
        }
    }
}

/// A step of a walk over what goes with a document: on the way to what refers to it, and on the way back.
enum Going {
    In(ModelIndex, DynDoc),
    Out(ModelIndex, DynDoc),
}

/// The payload of a hook's event, lent to one hook after the other.
enum HookPayload<'a> {
    Value(&'a mut dyn AnyValue),
    Doc(&'a DynDoc),
    Id(&'a RawId),
    Query(&'a mut (dyn Any + Send)),
}

impl HookPayload<'_> {
    fn borrow(&mut self) -> Payload<'_> {
        match self {
            Self::Value(value) => Payload::Value(value.as_any_mut()),
            Self::Doc(doc) => Payload::Doc(DynDoc::clone(doc)),
            Self::Id(id) => Payload::Id(RawId::clone(id)),
            Self::Query(query) => Payload::Query(&mut **query),
        }
    }
}
