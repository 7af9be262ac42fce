//! Workers: functions that run again and again.
//!
//! A worker's handles are those of the application: each operation is a transaction of its own, because what a worker does
//! usually takes longer than a transaction may live. One worker never overlaps with itself. An error or a panic is logged, and
//! the interval goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::caller::{Call, Caller};
use super::declaration::WorkerDeclaration;
use super::handler::{Invocation, Payload};
use super::runtime::{Runtime, caught};
use crate::core::collection::ModelIndex;

/// All workers of an application.
#[derive(Default)]
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    model: ModelIndex,
    declaration: &'static WorkerDeclaration,
    running: Mutex<Option<Arc<Running>>>,
}

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
}

impl Workers {
    pub(crate) fn new(workers: Vec<(ModelIndex, &'static WorkerDeclaration)>) -> Self {
        Self(
            workers
                .into_iter()
                .map(|(model, declaration)| Worker { model, declaration, running: Mutex::new(None) })
                .collect(),
        )
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn selected(&self, model: Option<ModelIndex>, id: Option<&str>) -> impl Iterator<Item = &Worker> {
        self.0.iter().filter(move |worker| {
            model.is_none_or(|model| model == worker.model) && (id.is_none() || worker.declaration.id == id)
        })
    }

    /// Starts those that do not run. False when there is none.
    pub(crate) fn start(&self, runtime: &Runtime, model: Option<ModelIndex>, id: Option<&str>) -> bool {
        let mut any = false;
        for worker in self.selected(model, id) {
            any = true;
            let mut running = worker.running.lock();
            if running.as_ref().is_some_and(|running| !running.is_stopped()) {
                continue;
            }
            let start = Arc::new(Running {
                stopped: AtomicBool::new(false),
                wake: Notify::new(),
                done: Notify::new(),
                finished: AtomicBool::new(false),
            });
            // A start after a stop waits for the run that was under way, so that no two runs overlap.
            let before = running.replace(start.clone());
            tokio::spawn(run(Arc::downgrade(runtime.inner()), worker.declaration, start, before));
        }
        any
    }

    /// Stops those that run. False when there is none.
    pub(crate) fn stop(&self, model: Option<ModelIndex>, id: Option<&str>) -> bool {
        let mut any = false;
        for worker in self.selected(model, id) {
            any = true;
            if let Some(running) = worker.running.lock().as_ref() {
                running.stop();
            }
        }
        any
    }

    pub(crate) fn is_running(&self, model: ModelIndex, id: &str) -> bool {
        self.selected(Some(model), Some(id))
            .any(|worker| worker.running.lock().as_ref().is_some_and(|running| !running.is_stopped()))
    }

    /// Waits for the runs that were under way when the workers were stopped.
    pub(crate) async fn drained(&self) {
        for worker in &self.0 {
            let running = worker.running.lock().clone();
            if let Some(running) = running {
                finished(&running).await;
            }
        }
    }
}

async fn finished(running: &Running) {
    loop {
        let done = running.done.notified();
        if running.finished.load(Ordering::Acquire) {
            return;
        }
        done.await;
    }
}

async fn run(
    runtime: std::sync::Weak<super::runtime::Inner>,
    worker: &'static WorkerDeclaration,
    running: Arc<Running>,
    before: Option<Arc<Running>>,
) {
    if let Some(before) = before {
        finished(&before).await;
    }
    let begin = if worker.immediate { Instant::now() } else { Instant::now() + worker.every };
    let mut interval = tokio::time::interval_at(begin, worker.every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = running.wake.notified() => {}
            _ = interval.tick() => {}
        }
        if running.is_stopped() {
            break;
        }
        // The application may be gone: its workers end with it.
        let Some(inner) = runtime.upgrade() else { break };
        let scope = Runtime::from_inner(inner).scope(Caller::application());
        let invocation = Invocation {
            scope,
            caller: Caller::application(),
            call: Call::new(),
            event: None,
            payload: Payload::Taken,
            previous: None,
            room: None,
        };
        if let Err(error) = caught((worker.run)(invocation)).await {
            tracing::error!(model = worker.model.id, worker = worker.id.unwrap_or("unnamed"), error = ?error, "worker failed");
        }
    }
    running.finished.store(true, Ordering::Release);
    running.done.notify_waiters();
}
