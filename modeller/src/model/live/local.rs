//! Live queries in process.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::{Flow, Listing, LiveSink, Part, Wanted};
use crate::core::document::{Doc, DynDoc, Stored};
use crate::core::id::Id;
use crate::core::private::Audience;
use crate::core::query::Query;
use crate::core::window::{Place, Step};
use crate::error::{Error, Result};
use crate::model::handle::Model;
use crate::model::runtime::Scope;

/// So many bytes of documents, and so many commits, wait for one who reads slowly. What comes then is not kept: he is told the
/// difference to what is there when he reads again.
const MOST_BYTES: usize = 512 << 10;
const MOST_COMMITS: usize = 4_096;

/// What happened to one document of a [`LiveQuery`]'s list.
#[derive(Clone, Debug)]
pub enum LiveChange<T> {
    /// It is not in the list any more.
    Leave {
        /// Which one.
        id: Id<T>,
    },
    /// It is another version.
    Change {
        /// The version that it is now.
        doc: Doc<T>,
        /// Its place in the list as it is in the end, when it has another one.
        at: Option<usize>,
    },
    /// It has come into the list.
    Enter {
        /// Which one.
        doc: Doc<T>,
        /// Its place in the list as it is in the end.
        at: usize,
    },
}

/// What one commit changed in the list of a [`LiveQuery`], or several commits where the reader was slow.
#[derive(Clone, Debug)]
pub struct LiveCommit<T> {
    /// Sequence number of the commit that the list is at now.
    pub seq: u64,
    /// First all that leave, then all that change or enter, by their places. What leaves or has a place in `at` is taken out of the
    /// list, and then put in one after the other.
    pub changes: Vec<LiveChange<T>>,
}

/// A list that follows what happens: the documents of a query at one commit, and then what each commit changes in them. Made by
/// [`Model::live`](crate::Model::live).
///
/// It is a [`Stream`] of commits. [`items`](LiveQuery::items) is the list as the commits that were read have left it, which is
/// always the list as it was at one commit.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "tasks")]
/// # pub struct Task { pub title: String, pub rank: i32 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<Task>().in_memory().open().await?;
/// let tasks = app.model::<Task>();
/// let mut first = tasks.live(Query::all().sort(Task::RANK.asc()).limit(2)).await?;
/// assert!(first.items().is_empty());
///
/// let later = tasks.insert(Task { title: "later".into(), rank: 2 }).await?;
/// tasks.insert(Task { title: "now".into(), rank: 1 }).await?;
/// tasks.update(later.id(), Task::RANK.set(0)).await?;
/// for _ in 0..3 {
///     first.next().await;
/// }
/// assert_eq!((&*first.items()[0].title, &*first.items()[1].title), ("later", "now"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LiveQuery<T> {
    model: Model<T>,
    number: u64,
    sink: Arc<Local>,
    items: Vec<Doc<T>>,
    seq: u64,
}

impl<T: Stored> LiveQuery<T> {
    pub(crate) async fn open(model: &Model<T>, query: &Query<T>) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1 << 63);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let scope = model.scope.detached();
        // As a list: what rules there are is asked beyond that.
        scope.model(model.index)?;
        let tasks = Handle::try_current().map_err(Error::internal)?;
        let sink = Arc::new(Local { number, scope, tasks, queue: Mutex::default() });
        let as_sink: Arc<dyn LiveSink> = sink.clone();
        let wanted = Wanted::new(model.index, query.to_raw())?;
        let runtime = model.scope.runtime();
        let mut opened = None;
        let open = runtime.lives().open(runtime.log(), (number, &as_sink), wanted, None, 1, |list| {
            opened = Some((list.list.places.to_vec(), list.seq));
            Ok(())
        });
        open.await?;
        let (places, seq) = opened.unwrap_or_default();
        let items = typed(&places)?;
        Ok(Self { model: model.clone(), number, sink, items, seq })
    }

    /// The list as the commits that were read have left it.
    #[must_use]
    pub fn items(&self) -> &[Doc<T>] {
        &self.items
    }

    /// Sequence number of the commit that [`items`](LiveQuery::items) is the list of.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What the next commit changes, as soon as it is durable. Commits that change nothing in the list are passed over.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN` when the one who asks may not follow it any more, `INVALID_QUERY` when documents cannot be
    /// put in order any more. `None` follows on an error.
    pub async fn next(&mut self) -> Option<Result<LiveCommit<T>>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<LiveCommit<T>>>> {
        loop {
            let (waiting, emptied) = {
                let mut queue = self.sink.queue.lock();
                let waiting = queue.waiting.pop_front();
                if let Some(Waiting::Commit(commit)) = &waiting {
                    queue.bytes -= commit.bytes;
                }
                let emptied = waiting.is_none() && std::mem::take(&mut queue.full);
                if waiting.is_none() && !emptied {
                    if queue.over {
                        return Poll::Ready(None);
                    }
                    queue.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
                (waiting, emptied)
            };
            if emptied {
                self.model.scope.runtime().lives().catch_up(self.number);
                continue;
            }
            return Poll::Ready(match waiting {
                Some(Waiting::Commit(commit)) => Some(self.apply(&commit)),
                Some(Waiting::Ended(error)) => Some(Err(error)),
                None => continue,
            });
        }
    }

    fn apply(&mut self, commit: &Commit) -> Result<LiveCommit<T>> {
        let mut changes = Vec::with_capacity(commit.steps.len());
        for step in &commit.steps {
            changes.push(match step {
                Step::Leave(id) => LiveChange::Leave { id: Id::from_raw(id.clone()) },
                Step::Change { after, at, .. } => LiveChange::Change { doc: typed_one(after)?, at: *at },
                Step::Enter { doc, at } => LiveChange::Enter { doc: typed_one(doc)?, at: *at },
            });
        }
        for change in &changes {
            match change {
                LiveChange::Leave { id } => self.items.retain(|item| item.id() != *id),
                LiveChange::Change { doc, at: Some(_) } => self.items.retain(|item| item.id() != doc.id()),
                LiveChange::Change { doc, at: None } => {
                    if let Some(item) = self.items.iter_mut().find(|item| item.id() == doc.id()) {
                        *item = doc.clone();
                    }
                }
                LiveChange::Enter { .. } => {}
            }
        }
        for change in &changes {
            if let LiveChange::Change { doc, at: Some(at) } | LiveChange::Enter { doc, at } = change {
                self.items.insert((*at).min(self.items.len()), doc.clone());
            }
        }
        self.seq = commit.seq;
        Ok(LiveCommit { seq: commit.seq, changes })
    }
}

impl<T: Stored> Stream for LiveQuery<T> {
    type Item = Result<LiveCommit<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<T> Unpin for LiveQuery<T> {}

impl<T> Drop for LiveQuery<T> {
    fn drop(&mut self) {
        self.model.scope.runtime().lives().close(self.number);
    }
}

fn typed_one<T: Stored>(doc: &DynDoc) -> Result<Doc<T>> {
    Doc::from_dyn(doc.clone()).ok_or_else(|| Error::internal("a document of another model"))
}

fn typed<T: Stored>(places: &[Place]) -> Result<Vec<Doc<T>>> {
    places.iter().map(|place| typed_one(&place.doc)).collect()
}

struct Commit {
    seq: u64,
    steps: Vec<Step>,
    bytes: usize,
}

enum Waiting {
    Commit(Commit),
    Ended(Error),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Whether nothing more was taken.
    full: bool,
    over: bool,
    waker: Option<Waker>,
}

/// Where commits wait for whoever reads them.
struct Local {
    number: u64,
    scope: Scope,
    tasks: Handle,
    queue: Mutex<Queue>,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Local {
    fn push(&self, waiting: Waiting) -> Flow {
        let mut queue = self.queue.lock();
        match &waiting {
            Waiting::Commit(commit) => queue.bytes += commit.bytes,
            Waiting::Ended(_) => queue.over = true,
        }
        queue.waiting.push_back(waiting);
        queue.full = queue.bytes > MOST_BYTES || queue.waiting.len() >= MOST_COMMITS;
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        if queue.full { Flow::Full } else { Flow::Open }
    }
}

impl LiveSink for Local {
    fn deliver(&self, seq: u64, parts: &[Part]) -> Flow {
        let Some(Part { delta, .. }) = parts.first() else { return Flow::Open };
        let weight = |step: &Step| match step {
            Step::Leave(_) => 0,
            Step::Change { after: doc, .. } | Step::Enter { doc, .. } => doc.weight(),
        };
        let bytes = delta.steps.iter().map(|step| weight(step) + 64).sum();
        self.push(Waiting::Commit(Commit { seq, steps: delta.steps.clone(), bytes }))
    }

    fn reset(&self, _: &str, _: u64, _: &Listing<'_>) -> Flow {
        // It is always the same one who asks.
        Flow::Open
    }

    fn ended(&self, _: &str, error: &Error) {
        self.push(Waiting::Ended(Error::new(error.code().clone()).message(error.to_string())));
    }

    fn is_open(&self) -> bool {
        !self.queue.lock().full
    }

    fn stale(&self) {
        let (runtime, number) = (self.scope.runtime().clone(), self.number);
        self.tasks.spawn(async move { runtime.lives().refresh(runtime.log(), number).await });
    }

    fn refreshed(&self) {}

    fn asks(&self) -> (Scope, Audience) {
        (self.scope.clone(), Audience::Store)
    }
}
