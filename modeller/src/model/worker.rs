//! Workers: functions that run again and again.
//!
//! A worker's handles are those of the application: each operation is a transaction of its own, because what a worker does
//! usually takes longer than a transaction may live. One worker never overlaps with itself. An error or a panic is logged, and
//! the schedule goes on.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::caller::{Call, Caller};
use super::declaration::WorkerDeclaration;
use super::handler::{BoxFuture, Invocation, Payload, With};
use super::journal::{CallSite, Journal, LogFeature, Subject};
use super::runtime::{Inner, Runtime, Scope, caught};
use super::schedule::Timetable;
use crate::core::collection::ModelIndex;
use crate::error::{Error, Result};

/// All workers of an application.
#[derive(Default)]
pub(crate) struct Workers(RwLock<Vec<Arc<Worker>>>);

/// One worker.
pub(crate) struct Worker {
    model: ModelIndex,
    /// `None` for an unnamed one.
    id: Option<Cow<'static, str>>,
    timetable: Timetable,
    /// Where it stands, or was added.
    site: CallSite,
    run: RunWorker,
    running: Mutex<Option<Arc<Running>>>,
}

/// How a worker is run.
enum RunWorker {
    Declared(&'static WorkerDeclaration),
    Closure(Box<RunClosure>),
}

/// How a worker is run that was added by a closure.
type RunClosure = dyn Fn(Scope) -> BoxFuture<'static, Result<()>> + Send + Sync;

/// One start of a worker.
struct Running {
    stopped: AtomicBool,
    wake: Notify,
    done: Notify,
    finished: AtomicBool,
}

impl Running {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Waits until the last run has ended.
    async fn finished(&self) {
        loop {
            let done = self.done.notified();
            if self.finished.load(Ordering::Acquire) {
                return;
            }
            done.await;
        }
    }
}

/// Says that a start has ended, also when its task is dropped.
struct Finish(Arc<Running>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Release);
        self.0.finished.store(true, Ordering::Release);
        self.0.done.notify_waiters();
    }
}

impl Worker {
    pub(crate) fn declared(model: ModelIndex, worker: &'static WorkerDeclaration) -> Result<Self> {
        let (id, timetable) = (worker.id.map(Cow::Borrowed), worker.schedule.prove()?);
        Ok(Self::new(model, id, timetable, worker.site.into(), RunWorker::Declared(worker)))
    }

    pub(crate) fn by_closure(
        model: ModelIndex,
        id: Option<String>,
        timetable: Timetable,
        site: CallSite,
        run: impl Fn(Scope) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(model, id.map(Cow::Owned), timetable, site, RunWorker::Closure(Box::new(run)))
    }

    fn new(
        model: ModelIndex,
        id: Option<Cow<'static, str>>,
        timetable: Timetable,
        site: CallSite,
        run: RunWorker,
    ) -> Self {
        Self { model, id, timetable, site, run, running: Mutex::new(None) }
    }

    /// What the log knows it by.
    pub(crate) fn subject(&self) -> Subject {
        let subject = Subject::new(self.model, LogFeature::Worker).at(self.site);
        match &self.id {
            Some(id) => subject.of(id.clone()),
            None => subject,
        }
    }

    fn is(&self, model: Option<ModelIndex>, id: Option<&str>) -> bool {
        model.is_none_or(|model| model == self.model) && (id.is_none() || self.id.as_deref() == id)
    }

    fn start(self: &Arc<Self>, runtime: &Runtime) {
        let mut running = self.running.lock();
        if running.as_ref().is_some_and(|running| !running.is_stopped()) {
            return;
        }
        let start = Arc::new(Running {
            stopped: AtomicBool::new(false),
            wake: Notify::new(),
            done: Notify::new(),
            finished: AtomicBool::new(false),
        });
        // A start after a stop waits for the run that was under way, so that no two runs overlap.
        let before = running.replace(start.clone());
        // It counts from here, and not from when the task gets its turn.
        let first = self.timetable.first(runtime.inner().clock.now());
        tokio::spawn(work(Arc::downgrade(runtime.inner()), self.clone(), first, start, before));
    }

    fn stop(&self) {
        if let Some(running) = self.running.lock().as_ref() {
            running.stop();
        }
    }

    fn is_running(&self) -> bool {
        self.running.lock().as_ref().is_some_and(|running| !running.is_stopped())
    }

    async fn run(&self, runtime: &Runtime) -> Result<()> {
        let scope = runtime.scope(Caller::application());
        let run = match &self.run {
            RunWorker::Closure(run) => run(scope),
            RunWorker::Declared(worker) => (worker.run)(Invocation {
                scope,
                caller: Caller::application(),
                call: Call::new(),
                event: None,
                payload: Payload::Taken,
                previous: None,
                with: With::Nothing,
                subject: self.subject(),
            }),
        };
        run.await
    }
}

impl Workers {
    pub(crate) fn new(workers: Vec<Worker>) -> Self {
        Self(RwLock::new(workers.into_iter().map(Arc::new).collect()))
    }

    /// Says of each that it is there.
    pub(crate) fn register(&self, journal: &Journal) {
        self.0.read().iter().for_each(|worker| journal.registered(&worker.subject()));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Adds a worker, which does not run yet.
    ///
    /// # Errors
    /// `INVALID_DECLARATION` when the model has one of that id.
    pub(crate) fn add(&self, worker: Worker) -> Result<()> {
        let mut workers = self.0.write();
        if let Some(id) = &worker.id
            && workers.iter().any(|known| known.is(Some(worker.model), Some(id.as_ref())))
        {
            let text = format!("there is a worker with the id `{id}`");
            return Err(Error::new("INVALID_DECLARATION").status(500).message(text));
        }
        workers.push(Arc::new(worker));
        Ok(())
    }

    /// Those of a model and an id, or all.
    fn selected(&self, model: Option<ModelIndex>, id: Option<&str>) -> Vec<Arc<Worker>> {
        self.0.read().iter().filter(|worker| worker.is(model, id)).cloned().collect()
    }

    /// Starts those that do not run. False when there is none.
    pub(crate) fn start(&self, runtime: &Runtime, model: Option<ModelIndex>, id: Option<&str>) -> bool {
        let selected = self.selected(model, id);
        selected.iter().for_each(|worker| worker.start(runtime));
        !selected.is_empty()
    }

    /// Stops those that run. False when there is none.
    pub(crate) fn stop(&self, model: Option<ModelIndex>, id: Option<&str>) -> bool {
        let selected = self.selected(model, id);
        selected.iter().for_each(|worker| worker.stop());
        !selected.is_empty()
    }

    pub(crate) fn is_running(&self, model: ModelIndex, id: &str) -> bool {
        self.selected(Some(model), Some(id)).iter().any(|worker| worker.is_running())
    }

    /// The ids of the workers of a model; unnamed ones have none.
    pub(crate) fn ids(&self, model: ModelIndex) -> Vec<String> {
        let named = self.selected(Some(model), None);
        named.iter().filter_map(|worker| worker.id.as_ref().map(ToString::to_string)).collect()
    }

    /// Waits for the runs that were under way when the workers were stopped.
    pub(crate) async fn drained(&self) {
        for worker in self.selected(None, None) {
            let running = worker.running.lock().clone();
            if let Some(running) = running {
                running.finished().await;
            }
        }
    }
}

async fn work(
    runtime: Weak<Inner>,
    worker: Arc<Worker>,
    first: Option<u64>,
    running: Arc<Running>,
    before: Option<Arc<Running>>,
) {
    let _finish = Finish(running.clone());
    if let Some(before) = before {
        before.finished().await;
    }
    let Some(clock) = runtime.upgrade().map(|inner| inner.clock.clone()) else { return };
    let mut due = first;
    while let Some(at) = due {
        tokio::select! {
            biased;
            () = running.wake.notified() => {}
            () = clock.sleep_until(at) => {}
        }
        if running.is_stopped() {
            return;
        }
        // The application may be gone: its workers end with it.
        let Some(inner) = runtime.upgrade() else { return };
        let begun = clock.now();
        let runtime = Runtime::from_inner(inner);
        let (journal, subject) = (runtime.journal(), worker.subject());
        let started = journal.begin(&subject);
        let outcome = journal.traced(&subject, caught(worker.run(&runtime))).await;
        journal.worker(&subject, started, outcome.as_ref().map(drop));
        // What took longer than the interval is followed at once, and by no more than one run for all that it has missed.
        due = worker.timetable.next(begun);
    }
}
