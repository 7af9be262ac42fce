//! Jobs: work that is recorded by a commit and done after it, whatever happens in between.
//!
//! A job is a document of a model of our own, `@jobs`: it is scheduled by the commit of whoever wants it done, and not at all
//! when that fails; it survives whatever documents survive. A commit claims it before it runs, and counts the attempt, so that one
//! that takes the process down is not tried for ever. What its handler does to the data and the removal of the job are one commit:
//! that effect happens once. What fails is tried again, later and later, and is set aside in the end, to be looked at.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::IntoFuture;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};

use super::caller::Caller;
use super::handle::Model;
use super::handler::{HookEvent, Operation, Payload, Timing, With};
use super::journal::{LogFeature, Subject, no_data};
use super::runtime::{Hook, Inner, OperationKind, Runtime, Scope, Step, Target};
use super::schedule::Schedule;
use crate::core::clock::millis;
use crate::core::collection::ModelIndex;
use crate::core::document::{Doc, DynDoc, Stored};
use crate::core::id::RawId;
use crate::core::json::Document;
use crate::core::log::{Commit, Expect, Follower, Heads};
use crate::core::private::{Audience, for_storage};
use crate::core::query::RawQuery;
use crate::core::query::filter::Filter;
use crate::core::query::sort::Sort;
use crate::core::schema::{FieldDeclaration, Kind, ModelSchema};
use crate::core::transaction::missing;
use crate::core::value::{ObjectRef, ValueRef};
use crate::error::{Error, ErrorCode, Result};

/// How many run at a time.
const AT_ONCE: usize = 16;
/// How long a claim holds: longer than a transaction may live. A job whose process ended is taken up again after that.
const CLAIM: Duration = Duration::from_secs(30);
/// How often a job is tried, unless it says otherwise.
pub(crate) const ATTEMPTS: u32 = 5;
/// The pause after the first failure, which doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How far ahead a job is scheduled at most, about a thousand years: what is later is a mistake.
const FURTHEST: u64 = 31_556_952_000_000;
/// How many an inspection shows at most.
const MOST_SHOWN: usize = 1_000;

/// The id of the model.
pub(crate) const MODEL: &str = "@jobs";

/// A job as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    /// The model it belongs to.
    model: String,
    /// Id of the method or the hook.
    operation: String,
    work: Work,
    by: By,
    /// When it is tried next, in milliseconds since the Unix epoch; none once it was set aside.
    due: Option<u64>,
    /// How often it was begun.
    attempts: u32,
    /// How often it is begun at most.
    most: u32,
    /// When it runs again after it went well.
    repeat: Option<Repeat>,
    /// Why it failed last.
    error: Option<String>,
    /// When it was scheduled.
    since: u64,
}

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
enum Work {
    /// A method, with its arguments: JSON text.
    Method { args: String },
    /// A hook, with what it is told.
    Hook { on: Hooked, doc: Version, previous: Option<Version> },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Hooked {
    Insert,
    Update,
    Delete,
}

/// A version of a document, in its stored form.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Version {
    id: String,
    rev: u64,
    doc: String,
}

/// Who asked for what the job follows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum By {
    Application,
    Anyone,
    Verified(Map<String, Value>),
    /// The same, and which document that is.
    Known {
        claims: Map<String, Value>,
        model: String,
        id: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Repeat {
    Every(u64),
    Cron { pattern: String, zone: String },
}

impl ObjectRef for Record {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "due" => Some(self.due.map_or(ValueRef::Null, ValueRef::UInt)),
            "model" => Some(ValueRef::Str(&self.model)),
            _ => None,
        }
    }
    fn slots(&self) -> usize {
        2
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        let name = *["due", "model"].get(slot)?;
        Some((name, self.get(name)?))
    }
}

/// The model of the jobs, as an application has it beside its own.
pub(crate) fn schema() -> Result<Arc<ModelSchema>> {
    static FIELDS: [FieldDeclaration; 1] = [FieldDeclaration::indexed("due")];
    ModelSchema::prove_own(MODEL, Kind::of::<Record>(), &FIELDS)
}

impl Record {
    fn of(doc: &DynDoc) -> Option<Doc<Self>> {
        Doc::from_dyn(doc.clone())
    }

    fn of_hook(model: &str, hook: &Hook, event: HookEvent, caller: &Caller, now: u64) -> Option<Self> {
        let on = match event.operation {
            Operation::Insert => Hooked::Insert,
            Operation::Update => Hooked::Update,
            Operation::Delete => Hooked::Delete,
            Operation::List => return None,
        };
        Some(Self {
            model: model.to_owned(),
            operation: hook.id.to_string(),
            work: Work::Hook { on, doc: Version { id: String::new(), rev: 0, doc: String::new() }, previous: None },
            by: By::of(caller),
            due: Some(now.saturating_add(millis(hook.delay()?))),
            attempts: 0,
            most: hook.attempts(),
            repeat: None,
            error: None,
            since: now,
        })
    }
}

impl By {
    fn of(caller: &Caller) -> Self {
        match (caller.claims(), caller.document()) {
            (Some(claims), Some(known)) => {
                Self::Known { claims: claims.clone(), model: known.model.clone(), id: known.id.to_string() }
            }
            (Some(claims), None) => Self::Verified(claims.clone()),
            (None, _) if caller.is_application() => Self::Application,
            (None, _) => Self::Anyone,
        }
    }

    fn caller(&self) -> Caller {
        match self {
            Self::Application => Caller::application(),
            Self::Anyone => Caller::anyone(),
            Self::Verified(claims) => Caller::verified(claims.clone()),
            Self::Known { claims, model, id } => {
                let caller = Caller::verified(claims.clone());
                match RawId::parse(id) {
                    Ok(id) => caller.known_as(model, id),
                    Err(_) => caller,
                }
            }
        }
    }
}

impl Version {
    fn of(doc: &DynDoc) -> Result<Self> {
        Ok(Self { id: doc.id().to_string(), rev: doc.rev(), doc: doc.encode()? })
    }

    fn decode(&self, schema: &ModelSchema) -> Result<DynDoc> {
        let value = schema.decode(&self.doc).map_err(|_| {
            Error::new("SCHEMA_CHANGED").message("the document that the job is about no longer fits its model")
        })?;
        Ok(value.into_doc(RawId::parse(&self.id)?, self.rev))
    }
}

impl Repeat {
    fn schedule(&self) -> Schedule {
        match self {
            Self::Every(interval) => Schedule::every(Duration::from_millis(*interval)),
            Self::Cron { pattern, zone } => Schedule::cron(pattern.clone()).in_zone(zone.clone()),
        }
    }
}

/// Records a hook that runs later. It is a part of the transaction of the step.
pub(super) fn schedule_hook(
    scope: &Scope,
    step: &Arc<Step>,
    (model, hook, event): (&str, &Hook, HookEvent),
    caller: &Caller,
    doc: &DynDoc,
    previous: Option<&DynDoc>,
) -> Result<()> {
    let inner = scope.runtime().inner();
    let Some(mut record) = Record::of_hook(model, hook, event, caller, inner.clock.now()) else {
        return Ok(());
    };
    if let Work::Hook { doc: told, previous: told_before, .. } = &mut record.work {
        *told = Version::of(doc)?;
        *told_before = previous.map(Version::of).transpose()?;
    }
    let id = RawId::generate();
    step.transaction().put(inner.jobs.model, &id, Box::new(record), Expect::Absent, true).map(drop)
}

/// The jobs of an application, and what runs them.
pub(crate) struct Jobs {
    pub(crate) model: ModelIndex,
    wake: Arc<Notify>,
    runner: Mutex<Option<Arc<AtomicBool>>>,
    /// The jobs that run here, or are being claimed.
    running: watch::Sender<HashSet<RawId>>,
}

/// Tells the runner of each commit that is about jobs.
struct Waker(ModelIndex, Arc<Notify>);

impl Follower for Waker {
    fn committed(&self, commits: &[Arc<Commit>], _: &dyn Heads) {
        if commits.iter().any(|commit| commit.changes.iter().any(|change| change.model == self.0)) {
            self.1.notify_one();
        }
    }
}

impl Jobs {
    pub(crate) fn new(model: ModelIndex) -> Self {
        Self {
            model,
            wake: Arc::new(Notify::new()),
            runner: Mutex::new(None),
            running: watch::Sender::new(HashSet::new()),
        }
    }

    /// What the log knows them by, all together.
    fn subject(&self) -> Subject {
        Subject::new(self.model, LogFeature::Job)
    }

    /// Who has to follow the log.
    pub(crate) fn follower(&self) -> Arc<dyn Follower> {
        Arc::new(Waker(self.model, self.wake.clone()))
    }

    /// Starts to run jobs, unless they are run already.
    pub(crate) fn start(&self, runtime: &Runtime) {
        let mut runner = self.runner.lock();
        if runner.as_ref().is_some_and(|stopped| !stopped.load(Ordering::Acquire)) {
            return;
        }
        let stopped = Arc::new(AtomicBool::new(false));
        *runner = Some(stopped.clone());
        tokio::spawn(run_due(Arc::downgrade(runtime.inner()), self.wake.clone(), stopped));
    }

    /// Begins no further job.
    pub(crate) fn stop(&self) {
        if let Some(stopped) = self.runner.lock().take() {
            stopped.store(true, Ordering::Release);
            self.wake.notify_one();
        }
    }

    /// Waits for those that were begun.
    pub(crate) async fn drained(&self) {
        let _ = self.running.subscribe().wait_for(HashSet::is_empty).await;
    }

    /// Waits until none is due and none runs; where the store has failed, until none runs: nothing that is due can be done any more.
    pub(crate) async fn idle(&self, runtime: &Runtime) {
        let mut running = self.running.subscribe();
        let mut failed = pin!(runtime.log().failed());
        loop {
            running.borrow_and_update();
            let due = find_due(runtime.inner(), runtime.inner().clock.now(), 1);
            if running.borrow().is_empty() && due.is_empty() {
                return;
            }
            tokio::select! {
                _ = running.changed() => {}
                _ = &mut failed => return self.drained().await,
            }
        }
    }
}

/// Those that are due, the one that is due longest first.
fn find_due(inner: &Inner, now: u64, most: usize) -> Vec<DynDoc> {
    look(inner, &serde_json::json!({"due": {"$gte": 0, "$lte": now}}), most)
}

/// When the first is due that is not due yet.
fn next_due(inner: &Inner, now: u64) -> Option<u64> {
    Record::of(look(inner, &serde_json::json!({"due": {"$gt": now}}), 1).first()?)?.due
}

/// The jobs that match, by when they are due.
fn look(inner: &Inner, filter: &Value, most: usize) -> Vec<DynDoc> {
    let find = || {
        let query = by_due(filter, most)?;
        inner.log.durable().collection(inner.jobs.model).map(|jobs| jobs.find(&query, most)).transpose()
    };
    match find() {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => {
            inner.journal.failed(&inner.jobs.subject(), "jobs could not be looked for", no_data, &error);
            Vec::new()
        }
    }
}

/// The query for the jobs that match, by when they are due.
fn by_due(filter: &Value, most: usize) -> Result<RawQuery> {
    let filter = Filter::<Document>::parse(filter)?;
    let sort = Sort::<Document>::parse(&serde_json::json!({"due": 1}))?;
    Ok(RawQuery { filter: filter.raw().clone(), sort: sort.raw().clone(), skip: 0, limit: Some(most), cursor: None })
}

async fn run_due(runtime: Weak<Inner>, wake: Arc<Notify>, stopped: Arc<AtomicBool>) {
    loop {
        let (clock, next) = {
            let Some(inner) = runtime.upgrade() else { return };
            if stopped.load(Ordering::Acquire) {
                return;
            }
            // One time for both questions: what became due between them would be neither due nor next.
            let now = inner.clock.now();
            let begun = begin(&inner, &find_due(&inner, now, AT_ONCE));
            // Who stops the runner either finds them begun, and waits for them, or is found here.
            if stopped.load(Ordering::Acquire) {
                return;
            }
            if !begun.is_empty() {
                let runtime = Runtime::from_inner(inner.clone());
                let due: Vec<DynDoc> = begun.iter().map(|(due, _)| due.clone()).collect();
                match claim(&runtime, &due).await {
                    Ok(claimed) => {
                        let mut begun: HashMap<RawId, Begun> =
                            begun.into_iter().map(|(due, begun)| (due.id().clone(), begun)).collect();
                        for job in claimed {
                            if let Some(begun) = begun.remove(&job.id().into_raw()) {
                                spawn(&runtime, job, begun);
                            }
                        }
                    }
                    Err(error) if *error.code() == ErrorCode::Unavailable => return,
                    Err(error) => {
                        drop(begun);
                        inner.journal.failed(&inner.jobs.subject(), "jobs could not be claimed", no_data, &error);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            let is_full = inner.jobs.running.borrow().len() >= AT_ONCE;
            // Whoever ends makes room, and wakes.
            (inner.clock.clone(), if is_full { None } else { next_due(&inner, now) })
        };
        let sleep = async {
            match next {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wake.notified() => {}
            () = sleep => {}
        }
    }
}

/// Counts an attempt for each, by a commit: whoever finds it claimed leaves it alone. Those that were begun too often, because the
/// process ended each time, are set aside.
async fn claim(runtime: &Runtime, due: &[DynDoc]) -> Result<Vec<Doc<Record>>> {
    let jobs = runtime.inner().jobs.model;
    let now = runtime.inner().clock.now();
    runtime
        .transact(|step| async move {
            let mut claimed = Vec::new();
            for found in due {
                let Some(current) = step.transaction().get(jobs, found.id())? else { continue };
                let Some(job) = Record::of(&current).filter(|job| job.due.is_some_and(|due| due <= now)) else {
                    continue;
                };
                let mut next = job.value();
                if next.attempts >= next.most {
                    next.due = None;
                    next.error.get_or_insert_with(|| "the process ended while it ran".into());
                } else {
                    next.attempts += 1;
                    next.due = Some(now.saturating_add(millis(CLAIM)));
                }
                let is_claimed = next.due.is_some();
                let expect = Expect::Present { if_rev: Some(current.rev()) };
                let doc = step.transaction().put(jobs, current.id(), Box::new(next), expect, true)?;
                if is_claimed {
                    claimed.extend(Record::of(&doc));
                }
            }
            Ok(claimed)
        })
        .await
}

/// That a job runs or is being claimed: taken back when this is dropped, also with the task that has it.
struct Begun(Arc<Inner>, RawId);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.jobs.running.send_modify(|running| {
            running.remove(&self.1);
        });
        self.0.jobs.wake.notify_one();
    }
}

/// Counts jobs among those that run, before they are claimed: as many as there is room for. One that still runs, although its claim
/// has run out, is left alone until it has ended.
fn begin(inner: &Arc<Inner>, due: &[DynDoc]) -> Vec<(DynDoc, Begun)> {
    let mut begun = Vec::new();
    if due.is_empty() {
        return begun;
    }
    inner.jobs.running.send_if_modified(|running| {
        for job in due {
            if running.len() >= AT_ONCE {
                break;
            }
            if running.insert(job.id().clone()) {
                begun.push((job.clone(), Begun(inner.clone(), job.id().clone())));
            }
        }
        !begun.is_empty()
    });
    begun
}

fn spawn(runtime: &Runtime, job: Doc<Record>, begun: Begun) {
    let runtime = runtime.clone();
    tokio::spawn(async move {
        let _begun = begun;
        run(&runtime, &job).await;
    });
}

async fn run(runtime: &Runtime, job: &Doc<Record>) {
    let jobs = runtime.inner().jobs.model;
    let id = job.id().into_raw();
    let journal = runtime.journal();
    let subject = Subject::new(runtime.find_model(&job.model), LogFeature::Job).of(job.operation.clone());
    let what = || format!("job `{}.{}`", job.model, job.operation);
    let data = || json!({"job": id.to_string(), "attempt": job.attempts});
    let began = journal.begin(&subject);
    let run = runtime.transact(|step| {
        let id = &id;
        async move {
            // Whoever has claimed it since, or taken it away, has the say.
            let Some(current) = step.transaction().get(jobs, id)?.filter(|current| current.rev() == job.rev()) else {
                return Ok(());
            };
            perform(runtime, &step, job).await?;
            let next = match &job.repeat {
                None => None,
                Some(repeat) => repeat.schedule().prove()?.next(runtime.inner().clock.now()),
            };
            // Its handler may have scheduled it anew, or taken it away.
            let untouched = step.transaction().get(jobs, id)?.is_some_and(|now| now.rev() == current.rev());
            match next {
                _ if !untouched => Ok(()),
                None => step.transaction().delete(jobs, id, Some(current.rev()), None).map(drop),
                Some(due) => {
                    let next = Record { due: Some(due), attempts: 0, error: None, ..job.value() };
                    let expect = Expect::Present { if_rev: Some(current.rev()) };
                    step.transaction().put(jobs, id, Box::new(next), expect, true).map(drop)
                }
            }
        }
    });
    let done = journal.traced(&subject, run).await;
    let error = match done {
        Ok(()) => return journal.ran(&subject, what, began, data, Ok(())),
        Err(error) if *error.code() == ErrorCode::Unavailable && runtime.log().is_closed() => return,
        Err(error) => error,
    };
    journal.ran(&subject, what, None, data, Err(&error));
    if let Err(cause) = fail(runtime, job, &error).await {
        let what = format!("the failure of the job `{id}` could not be noted, its claim runs out");
        journal.failed(&subject, &what, data, &cause);
    }
}

/// Notes a failure: it is tried again later, or set aside.
async fn fail(runtime: &Runtime, job: &Doc<Record>, error: &Error) -> Result<()> {
    let jobs = runtime.inner().jobs.model;
    let (id, now) = (job.id().into_raw(), runtime.inner().clock.now());
    let is_final = job.attempts >= job.most || is_hopeless(error);
    let pause = pause(job.attempts, &id);
    let reason = format!("{}: {}", error.code(), error.text());
    let (id, reason) = (&id, &reason);
    runtime
        .transact(|step| async move {
            let Some(current) = step.transaction().get(jobs, id)?.filter(|current| current.rev() == job.rev()) else {
                return Ok(());
            };
            let due = (!is_final).then(|| now.saturating_add(millis(pause)));
            let next = Record { due, error: Some(reason.clone()), ..job.value() };
            let expect = Expect::Present { if_rev: Some(current.rev()) };
            step.transaction().put(jobs, id, Box::new(next), expect, true).map(drop)
        })
        .await
}

/// Whether another try can only fail the same way.
fn is_hopeless(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::MethodNotFound | ErrorCode::ModelNotFound)
        || ["HOOK_NOT_FOUND", "SCHEMA_CHANGED"].contains(&error.code().as_str())
}

/// The pause after so many attempts: it doubles, and differs from job to job by up to a half, so that what failed together does not
/// come back together.
fn pause(attempts: u32, id: &RawId) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let doubled =
        PAUSE.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    let spread = u32::try_from(RandomState::new().hash_one(id) % 512).unwrap_or_default();
    doubled - doubled * spread / 1_024
}

async fn perform(runtime: &Runtime, step: &Arc<Step>, job: &Doc<Record>) -> Result<()> {
    let index = runtime.find_model(&job.model).ok_or_else(|| Error::not_found(ErrorCode::ModelNotFound, &job.model))?;
    let scope = runtime.scope(Caller::application()).in_step(step.clone());
    match &job.work {
        Work::Method { args } => {
            let operation = scope.operation(index, OperationKind::Method, &job.operation)?;
            let args = scope.args(operation, Some(serde_json::from_str(args)?), Audience::Store)?;
            scope.on_behalf_of(job.by.caller()).perform(index, operation, args, With::Nothing).await.map(drop)
        }
        Work::Hook { on, doc, previous } => {
            let model = runtime.model(index)?;
            let operation = match on {
                Hooked::Insert => Operation::Insert,
                Hooked::Update => Operation::Update,
                Hooked::Delete => Operation::Delete,
            };
            let event = HookEvent { timing: Timing::After, operation };
            let hook = model
                .hooks
                .find(&job.operation)
                .ok_or_else(|| Error::not_found(ErrorCode::from("HOOK_NOT_FOUND"), &job.operation))?;
            let doc = doc.decode(&model.schema)?;
            let previous = previous.as_ref().map(|previous| previous.decode(&model.schema)).transpose()?;
            scope.run_hook((step, index), &hook, event, Payload::Doc(doc), previous, job.by.caller()).await
        }
    }
}

/// A method that is to be run later, by [`Model::schedule`]; scheduled by `.await`.
#[must_use = "a job is scheduled by `.await`"]
pub struct Scheduling<'a, T> {
    model: &'a Model<T>,
    operation: String,
    args: Result<Value>,
    delay: Duration,
    at: Option<SystemTime>,
    attempts: u32,
    key: Option<String>,
    repeat: Option<Schedule>,
}

impl<T> fmt::Debug for Scheduling<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduling").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl<'a, T: Stored> Scheduling<'a, T> {
    pub(crate) fn new(model: &'a Model<T>, operation: &str, args: &(impl Serialize + ?Sized)) -> Self {
        Self {
            model,
            operation: operation.to_owned(),
            args: for_storage(|| serde_json::to_value(args)).map_err(Error::internal),
            delay: Duration::ZERO,
            at: None,
            attempts: ATTEMPTS,
            key: None,
            repeat: None,
        }
    }

    /// Not before so much time has passed.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Not before this time; what is in the past is due at once.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(time);
        self
    }

    /// Tried so many times, five unless said: at least once.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Under a name: one that is scheduled under the same name, and not done yet, is replaced by this.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Again and again, until it is cancelled: each time when it went well, or was tried in vain as often as it is tried. With a key,
    /// a program may schedule it at each start.
    pub fn repeat(mut self, schedule: Schedule) -> Self {
        self.repeat = Some(schedule);
        self
    }

    fn record(&self) -> Result<(RawId, Record)> {
        let scope = &self.model.scope;
        let inner = scope.runtime().inner();
        let now = inner.clock.now();
        let index = self.model.index;
        let args = match &self.args {
            Ok(args) => args.clone(),
            Err(error) => return Err(Error::internal(error.text().to_owned())),
        };
        // It acts for the caller, and is chosen by the program.
        let application = scope.as_application();
        let operation = application.operation(index, OperationKind::Method, &self.operation)?;
        if !operation.declaration.transaction {
            return Err(Error::new(ErrorCode::InvalidRequest).message(format!(
                "`{}` is no transaction, and what a job does is one, so that it happens once",
                self.operation
            )));
        }
        let args = if args.is_null() { Value::Object(Map::new()) } else { args };
        scope.args(operation, Some(args.clone()), Audience::Store)?;
        let timetable = self.repeat.as_ref().map(Schedule::prove).transpose()?;
        let begin = match (self.at, &timetable) {
            (Some(time), _) => time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis),
            (None, Some(timetable)) => timetable.first(now).unwrap_or(now),
            (None, None) => now,
        };
        let due = begin.saturating_add(millis(self.delay));
        if due > now.saturating_add(FURTHEST) {
            return Err(
                Error::new(ErrorCode::InvalidRequest).message("a job is scheduled a thousand years ahead at most")
            );
        }
        let id = match &self.key {
            Some(key) => RawId::parse(key)?,
            None => RawId::generate(),
        };
        let record = Record {
            model: scope.runtime().model(index)?.schema.id.to_string(),
            operation: self.operation.clone(),
            work: Work::Method { args: args.to_string() },
            by: By::of(scope.caller()),
            due: Some(due),
            attempts: 0,
            most: self.attempts,
            repeat: self.repeat.as_ref().map(Schedule::to_repeat),
            error: None,
            since: now,
        };
        Ok((id, record))
    }
}

impl Schedule {
    fn to_repeat(&self) -> Repeat {
        match self.parts() {
            (Ok(interval), _) => Repeat::Every(millis(interval).max(1)),
            (Err(pattern), zone) => Repeat::Cron { pattern: pattern.to_owned(), zone: zone.to_owned() },
        }
    }
}

type Future<'a, R> = Pin<Box<dyn std::future::Future<Output = Result<R>> + Send + 'a>>;

impl<'a, T: Stored> IntoFuture for Scheduling<'a, T> {
    /// The id of the job: its key, where it has one.
    type Output = Result<RawId>;
    type IntoFuture = Future<'a, RawId>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (id, record) = self.record()?;
            let scope = self.model.scope.as_application();
            let jobs = scope.runtime().inner().jobs.model;
            let (place, record) = (&id, &record);
            scope
                .own_step("schedule", |step| async move {
                    let transaction = step.transaction();
                    let expect = match transaction.get(jobs, place)? {
                        Some(_) => Expect::Present { if_rev: None },
                        None => Expect::Absent,
                    };
                    transaction.put(jobs, place, Box::new(record.clone()), expect, true).map(drop)
                })
                .await?;
            Ok(id)
        })
    }
}

/// A job as it can be looked at. Its arguments, which may hold private values, are shown in process alone.
#[derive(Clone)]
pub struct Job {
    doc: Doc<Record>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id())
            .field("model", &self.model())
            .field("operation", &self.operation())
            .field("attempts", &self.attempts())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}

impl Job {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> RawId {
        self.doc.id().into_raw()
    }

    /// The model it belongs to.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.doc.model
    }

    /// The id of its method, or of the hook that runs later.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.doc.operation
    }

    /// The arguments of a method; the document that a hook is told of, in its stored form.
    #[must_use]
    pub fn args(&self) -> Value {
        let text = match &self.doc.work {
            Work::Method { args } => args,
            Work::Hook { doc, .. } => &doc.doc,
        };
        serde_json::from_str(text).unwrap_or_default()
    }

    /// When it is tried next; `None` for one that was set aside. While it runs it is the time when its claim ends.
    #[must_use]
    pub fn due(&self) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(self.doc.due?))
    }

    /// When it was scheduled.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.doc.since)
    }

    /// How often it was begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.doc.attempts
    }

    /// Why it failed last.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.doc.error.as_deref()
    }

    /// Whether it was set aside, because it failed as often as it is tried.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.doc.due.is_none()
    }
}

/// The jobs of an application, to be looked at: what [`App::jobs`](crate::App::jobs) answers.
///
/// ```
/// use std::time::Duration;
/// use modeller::{prelude::*, test::TestApp};
/// # #[model(id = "users")]
/// # pub struct User { pub name: String }
/// #[value]
/// pub struct Greet { pub name: String }
///
/// #[method(User, internal)]
/// async fn greet(args: Greet) -> Result<()> {
///     Err(Error::new("NOBODY_HOME").message(args.name))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = TestApp::open(|| App::new().model::<User>()).await?;
/// let id = app.model::<User>().schedule("greet", &Greet { name: "Ada".into() }).attempts(1).await?;
/// app.run_due().await;
/// let dead = app.jobs().dead().await?;
/// assert_eq!((dead[0].id(), dead[0].error()), (id.clone(), Some("NOBODY_HOME: Ada")));
/// app.jobs().requeue(&id).await?;
/// assert!(app.jobs().dead().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JobQueue(Scope);

impl fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobQueue").finish()
    }
}

impl JobQueue {
    pub(crate) fn new(scope: Scope) -> Self {
        Self(scope)
    }

    fn model(&self) -> ModelIndex {
        self.0.runtime().inner().jobs.model
    }

    async fn shown(&self, filter: &Value) -> Result<Vec<Job>> {
        let query = by_due(filter, MOST_SHOWN)?;
        let found = self.0.find(self.model(), &query, MOST_SHOWN).await?;
        Ok(found.iter().filter_map(Record::of).map(|doc| Job { doc }).collect())
    }

    /// Those that wait or run, by when they are due; a thousand at most.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn waiting(&self) -> Result<Vec<Job>> {
        self.shown(&serde_json::json!({"due": {"$gte": 0}})).await
    }

    /// Those that were set aside, because they failed as often as they are tried or nobody is there to do them; a thousand at most.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn dead(&self) -> Result<Vec<Job>> {
        self.shown(&serde_json::json!({"due": null})).await
    }

    /// One of them.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn get(&self, id: &RawId) -> Result<Option<Job>> {
        let found = self.0.get(self.model(), &Target::Id(id.clone())).await?;
        Ok(found.as_ref().and_then(Record::of).map(|doc| Job { doc }))
    }

    /// Makes one due at once, with as many attempts as it had at the beginning.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of that id, or it was done meanwhile.
    pub async fn requeue(&self, id: &RawId) -> Result<()> {
        let (jobs, now) = (self.model(), self.0.runtime().inner().clock.now());
        self.0
            .own_step("requeue", |step| async move {
                let current = step.transaction().get(jobs, id)?.ok_or_else(|| missing(id))?;
                let job = Record::of(&current).ok_or_else(|| missing(id))?;
                let next = Record { due: Some(now), attempts: 0, ..job.value() };
                let expect = Expect::Present { if_rev: Some(current.rev()) };
                step.transaction().put(jobs, id, Box::new(next), expect, true).map(drop)
            })
            .await
    }

    /// Takes one away. One that runs at this moment is undone, unless its commit was first.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of that id, or it was done meanwhile.
    pub async fn cancel(&self, id: &RawId) -> Result<()> {
        let jobs = self.model();
        self.0.own_step("cancel", |step| async move { step.transaction().delete(jobs, id, None, None).map(drop) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_differ() {
        for (attempts, longest) in [(1, 1_000), (2, 2_000), (5, 16_000), (13, 3_600_000), (90, 3_600_000)] {
            let pauses: Vec<u64> = (0..64).map(|_| millis(pause(attempts, &RawId::generate()))).collect();
            assert!(pauses.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{attempts}: {pauses:?}");
            assert!(pauses.iter().collect::<HashSet<_>>().len() > 32, "{attempts}: {pauses:?}");
        }
    }
}
