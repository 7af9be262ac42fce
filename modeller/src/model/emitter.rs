//! The model as an emitter: who wants to know of its documents is told of each commit, in order, once it is durable.
//!
//! A listener never holds a commit back. Up to 1,024 events wait for it; one that does not keep up is told how many it missed.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use super::handle::Model;
use super::handler::Operation;
use super::journal::{CallSite, Journal, LogFeature, Subject, no_data};
use super::subscription::{Heard, Listener};
use crate::core::collection::{Change, ModelIndex};
use crate::core::document::{Doc, DynDoc, Stored};
use crate::core::log::{Commit, Follower, Heads};
use crate::error::Result;

/// How many events wait for a listener before it misses the oldest.
const BACKLOG: usize = 1_024;

/// A change as listeners hear of it.
#[derive(Clone)]
struct Emitted {
    seq: u64,
    /// The version that the change is about: of a deleted document the last one.
    doc: DynDoc,
    /// At an update, the version before.
    previous: Option<DynDoc>,
}

/// Made by the first who listens: most models have no listeners.
type Channel = OnceLock<broadcast::Sender<Emitted>>;

/// Those of one model.
#[derive(Default)]
struct Channels {
    insert: Channel,
    update: Channel,
    delete: Channel,
}

impl Channels {
    fn of(&self, operation: Operation) -> Option<&Channel> {
        match operation {
            Operation::Insert => Some(&self.insert),
            Operation::Update => Some(&self.update),
            Operation::Delete => Some(&self.delete),
            Operation::List => None,
        }
    }
}

/// Whoever listens to the models of an application.
pub(crate) struct Emitters(Vec<Channels>);

impl Emitters {
    pub(crate) fn new(models: usize) -> Self {
        Self((0..models).map(|_| Channels::default()).collect())
    }

    fn listen(&self, model: ModelIndex, operation: Operation) -> Option<broadcast::Receiver<Emitted>> {
        let channel = self.0.get(model)?.of(operation)?;
        Some(channel.get_or_init(|| broadcast::Sender::new(BACKLOG)).subscribe())
    }
}

impl Follower for Emitters {
    fn committed(&self, commits: &[Arc<Commit>], _: &dyn Heads) {
        for commit in commits {
            for change in &commit.changes {
                let Some(channels) = self.0.get(change.model) else { continue };
                let (operation, doc, previous) = match change {
                    Change { before: None, after: Some(after), .. } => (Operation::Insert, after, None),
                    Change { before: Some(before), after: Some(after), .. } => (Operation::Update, after, Some(before)),
                    Change { before: Some(before), after: None, .. } => (Operation::Delete, before, None),
                    Change { before: None, after: None, .. } => continue,
                };
                let Some(channel) = channels.of(operation).and_then(OnceLock::get) else { continue };
                // That nobody listens any more is no error.
                let _ = channel.send(Emitted { seq: commit.seq, doc: doc.clone(), previous: previous.cloned() });
            }
        }
    }
}

/// What [`Emissions`] tell.
#[derive(Clone, Debug)]
pub enum Emission<T> {
    /// A document was inserted, updated or deleted.
    Doc {
        /// Sequence number of the commit.
        seq: u64,
        /// The new version; of a deleted document the last one.
        doc: Doc<T>,
        /// At an update, the version before.
        previous: Option<Doc<T>>,
    },
    /// The listener was too slow, and missed so many.
    Missed(u64),
}

/// One who listens to a model in process: what [`Model::on_insert`], [`Model::on_update`] and [`Model::on_delete`] answer.
///
/// It hears of each commit in order, once it is durable, and before whoever made it is answered. It never holds a commit back: up to
/// 1,024 events wait for it, and when it does not keep up it is told how many it missed.
///
/// ```
/// use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let users = app.model::<User>();
/// let mut inserted = users.on_insert();
/// users.insert(User { name: "Ada".into() }).await?;
/// let Some(Emission::Doc { doc, .. }) = inserted.next().await else { panic!() };
/// assert_eq!(doc.name, "Ada");
///
/// let greeting = inserted.each(|emission| async move {
///     if let Emission::Doc { doc, .. } = emission { println!("hello {}", doc.name) }
/// });
/// greeting.off();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Emissions<T> {
    model: Model<T>,
    receiver: Option<broadcast::Receiver<Emitted>>,
}

impl<T: Stored> Emissions<T> {
    pub(crate) fn new(model: Model<T>, operation: Operation) -> Self {
        let receiver = model.scope.runtime().emitters().listen(model.index, operation);
        Self { model, receiver }
    }

    /// What is heard next; `None` when nothing can follow.
    pub async fn next(&mut self) -> Option<Emission<T>> {
        loop {
            let emitted = match self.receiver.as_mut()?.recv().await {
                Ok(emitted) => emitted,
                Err(broadcast::error::RecvError::Lagged(missed)) => return Some(Emission::Missed(missed)),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            let typed = |doc: &DynDoc| self.model.typed(doc.clone());
            match (typed(&emitted.doc), emitted.previous.as_ref().map(typed).transpose()) {
                (Ok(doc), Ok(previous)) => return Some(Emission::Doc { seq: emitted.seq, doc, previous }),
                // Never with a handle of the model's type; a view of it as JSON could fail to be made.
                (Err(error), _) | (_, Err(error)) => {
                    let subject = Subject::new(self.model.index, LogFeature::Emitter);
                    let journal = self.model.scope.runtime().journal();
                    journal.failed(&subject, "a document could not be emitted", no_data, &error);
                }
            }
        }
    }

    /// The next document alone, after which nobody listens any more.
    pub async fn once(mut self) -> Option<Doc<T>> {
        loop {
            match self.next().await? {
                Emission::Doc { doc, .. } => return Some(doc),
                Emission::Missed(_) => {}
            }
        }
    }

    /// Runs a function for each, one after the other, until [`Listening::off`]. A panic in it is logged, and it goes on.
    #[track_caller]
    pub fn each<F, Fut>(mut self, mut run: F) -> Listening
    where
        F: FnMut(Emission<T>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let about = (self.model.index, CallSite::here());
        Listening::spawn(async move {
            while let Some(emission) = self.next().await {
                heard(self.model.scope.runtime().journal(), about, || run(emission)).await;
            }
        })
    }
}

impl Listener {
    /// The next payload alone, after which nobody listens any more.
    pub async fn once(mut self) -> Option<serde_json::Value> {
        loop {
            match self.next().await? {
                Heard::Payload { payload, .. } => return Some(payload),
                Heard::Missed(_) => {}
            }
        }
    }

    /// Runs a function for each payload, one after the other, until [`Listening::off`]. A panic in it is logged, and it goes on.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// let users = app.model::<User>();
    /// let listening = users.on("promoted")?.each(|heard| async move { println!("{heard:?}") });
    /// users.emit("promoted", &"Ada").await?;
    /// listening.off();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn each<F, Fut>(mut self, mut run: F) -> Listening
    where
        F: FnMut(Heard) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (room, site) = (self.room.clone(), CallSite::here());
        Listening::spawn(async move {
            while let Some(payload) = self.next().await {
                heard(&room.journal, (room.model, site), || run(payload)).await;
            }
        })
    }
}

/// Runs a listener's function; its panic is its own, and is answered as an error.
pub(super) async fn guarded<Fut: Future<Output = ()>>(run: impl FnOnce() -> Fut) -> Result<()> {
    // The function is called within, so that its own panic is caught as that of its future.
    super::runtime::caught(async {
        run().await;
        Ok(())
    })
    .await
}

/// Runs a function that listens to a model, from a place in the source. That it panicked is logged.
async fn heard<Fut: Future<Output = ()>>(
    journal: &Journal,
    (model, site): (ModelIndex, CallSite),
    run: impl FnOnce() -> Fut,
) {
    if let Err(error) = guarded(run).await {
        let subject = Subject::new(model, LogFeature::Emitter).at(site);
        journal.failed(&subject, "a listener failed", no_data, &error);
    }
}

/// A function that listens, from `each`. Letting go of this does not end it.
#[derive(Debug)]
pub struct Listening(AbortHandle);

impl Listening {
    pub(super) fn spawn(listen: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(listen).abort_handle())
    }

    /// Ends it: the function is not run again. A run that is under way ends at its next `.await`.
    pub fn off(&self) {
        self.0.abort();
    }
}
