//! Who listens to the log of a model.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::TARGET;
use super::entry::LogEntry;
use crate::model::emitter::{Listening, guarded};

/// How many entries wait for a listener before it misses the oldest.
pub(super) const BACKLOG: usize = 1_024;

/// What [`LogEntries`] tell.
#[derive(Clone, Debug)]
pub enum Logged {
    /// An entry.
    Entry(Arc<LogEntry>),
    /// The listener was too slow, and missed so many.
    Missed(u64),
}

/// One who listens to the log of a model in process: what [`Model::on_log`](crate::Model::on_log) answers.
///
/// It hears of the entries that the switches of the model let through, in the order in which they were made. It never holds anything
/// back: up to 1,024 entries wait for it, and when it does not keep up it is told how many it missed.
#[derive(Debug)]
pub struct LogEntries(pub(super) broadcast::Receiver<Arc<LogEntry>>);

impl LogEntries {
    /// What is heard next; `None` when nothing can follow.
    pub async fn next(&mut self) -> Option<Logged> {
        match self.0.recv().await {
            Ok(entry) => Some(Logged::Entry(entry)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Logged::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next entry alone, after which nobody listens any more.
    pub async fn once(mut self) -> Option<Arc<LogEntry>> {
        loop {
            match self.next().await? {
                Logged::Entry(entry) => return Some(entry),
                Logged::Missed(_) => {}
            }
        }
    }

    /// Runs a function for each, one after the other, until [`Listening::off`]. A panic in it is told to `tracing`, and it goes on.
    pub fn each<F, Fut>(mut self, mut run: F) -> Listening
    where
        F: FnMut(Logged) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Listening::spawn(async move {
            while let Some(logged) = self.next().await {
                if guarded(|| run(logged)).await.is_err() {
                    // Not an entry: it would be told that it panicked, and panic.
                    tracing::error!(target: TARGET, "a listener of the log panicked");
                }
            }
        })
    }
}
