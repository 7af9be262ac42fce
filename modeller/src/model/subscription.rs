//! Subscriptions: rooms of a model, each keyed by the canonical text of a filter.
//!
//! What is published leaves with the commit of its transaction: the rooms follow the log, so that listeners hear commits in
//! their order, each once it is durable and before the one who made it is answered. A listener that does not keep up never
//! holds a commit back: in process it is told how much it missed, a socket is closed and has to subscribe again.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;

use super::handle::Model;
use super::handler::{Args, Output, With};
use super::journal::Journal;
use super::runtime::{OperationKind, Scope};
use crate::core::collection::ModelIndex;
use crate::core::document::{DynDoc, Stored};
use crate::core::id::{Id, RawId};
use crate::core::log::{Commit, Follower, Publish};
use crate::core::private::Audience;
use crate::core::query::canonical::canonical;
use crate::core::query::filter::{Filter, RawFilter};
use crate::core::schema::ModelType;
use crate::error::Result;

/// How many payloads wait for a listener in process before it misses the oldest.
const LISTENER_BACKLOG: usize = 1_024;

/// How many bytes of what was published are kept for those who were away.
const RECENT_BYTES: usize = 16 << 20;
/// For how long.
const RECENT_TIME: Duration = Duration::from_secs(120);

/// A payload as it was published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) seq: u64,
    /// JSON text.
    pub(crate) payload: Arc<str>,
    /// The document that it is about.
    pub(crate) about: Option<About>,
    /// What a carrier makes of it, made once for all who are sent the same; only the carrier knows the type.
    pub(crate) encoded: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// The document that a payload is about.
pub(crate) struct About {
    pub(crate) id: RawId,
    /// As its commit has left it; as it was before, when that has deleted it. `None` when the commit has not touched it.
    pub(crate) doc: Option<DynDoc>,
}

impl std::fmt::Debug for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("About").field(&self.id).finish()
    }
}

/// A socket in a room.
pub(crate) trait Sink: Send + Sync {
    /// Takes a payload without waiting.
    fn deliver(&self, room: &Room, published: &Arc<Published>);
}

/// All who listen to one filter of one model.
pub(crate) struct Room {
    pub(crate) model: ModelIndex,
    /// Canonical text of the filter.
    pub(crate) key: Arc<str>,
    /// What clients call it: one for all of them, so that a frame is the same for all.
    pub(crate) name: String,
    /// Made by the first who listens in process: its buffer has 32 KiB, and most rooms have sockets alone.
    listeners: OnceLock<broadcast::Sender<Arc<Published>>>,
    sinks: Mutex<Vec<(u64, Weak<dyn Sink>)>>,
    rooms: Weak<Rooms>,
    pub(super) journal: Arc<Journal>,
}

/// Model, and canonical text of the filter.
type RoomKey = (ModelIndex, Arc<str>);

/// All rooms of an application.
pub(crate) struct Rooms {
    open: Mutex<HashMap<RoomKey, Weak<Room>>>,
    recent: Mutex<Recent>,
    next: AtomicU64,
    journal: Arc<Journal>,
}

impl Rooms {
    /// Of an application that starts with this commit.
    pub(crate) fn new(journal: Arc<Journal>, seq: u64) -> Self {
        let recent = Recent { entries: VecDeque::new(), bytes: 0, complete_after: seq };
        Self { open: Mutex::default(), recent: Mutex::new(recent), next: AtomicU64::new(0), journal }
    }

    /// Lets a socket listen. Where it says what it has heard, what it has missed is delivered first; what follows is delivered
    /// once. `joining` is called before anything is delivered, with whether all that was missed is there.
    pub(crate) fn join(
        &self,
        room: &Room,
        since: Option<Since>,
        (number, sink): (u64, &Arc<dyn Sink>),
        joining: impl FnOnce(bool),
    ) {
        let recent = self.recent.lock();
        // Of the commit itself a part may have been heard.
        let complete = since.is_none_or(|since| match since.received {
            None => since.seq >= recent.complete_after,
            Some(_) => since.seq > recent.complete_after,
        });
        joining(complete);
        if let Some(since) = since.filter(|_| complete) {
            let mut heard = since.received.unwrap_or(usize::MAX);
            let own = recent.entries.iter().filter(|kept| kept.room.0 == room.model && kept.room.1 == room.key);
            for kept in own.filter(|kept| kept.published.seq >= since.seq) {
                if kept.published.seq == since.seq && heard > 0 {
                    heard -= 1;
                    continue;
                }
                sink.deliver(room, &kept.published);
            }
        }
        room.join(number, Arc::downgrade(sink));
    }

    /// The one room of this filter.
    pub(crate) fn room(self: &Arc<Self>, model: ModelIndex, filter: &RawFilter) -> Arc<Room> {
        self.room_of(model, canonical(filter).into())
    }

    /// The one room of a model's own event.
    pub(crate) fn room_of_event(self: &Arc<Self>, model: ModelIndex, name: &str) -> Arc<Room> {
        self.room_of(model, event_key(name))
    }

    fn room_of(self: &Arc<Self>, model: ModelIndex, key: Arc<str>) -> Arc<Room> {
        let mut open = self.open.lock();
        if let Some(room) = open.get(&(model, key.clone())).and_then(Weak::upgrade) {
            return room;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let room = Arc::new(Room {
            model,
            key: key.clone(),
            name: format!("s{number}"),
            listeners: OnceLock::new(),
            sinks: Mutex::new(Vec::new()),
            rooms: Arc::downgrade(self),
            journal: self.journal.clone(),
        });
        open.insert((model, key), Arc::downgrade(&room));
        room
    }
}

/// The key of the room of a model's own event; that of a filter begins with a brace.
pub(crate) fn event_key(name: &str) -> Arc<str> {
    format!("@{name}").into()
}

impl Follower for Rooms {
    fn committed(&self, commits: &[Arc<Commit>]) {
        for commit in commits.iter().filter(|commit| !commit.published.is_empty()) {
            // Held until all is delivered: whoever joins a room comes before a commit or after it.
            let mut recent = self.recent.lock();
            for publish in &commit.published {
                let about = publish.about.as_ref().map(|id| {
                    let change = commit.changes.iter().find(|change| change.model == publish.model && change.id == *id);
                    let doc = change.and_then(|change| change.after.clone().or_else(|| change.before.clone()));
                    About { id: id.clone(), doc }
                });
                let published = Arc::new(Published {
                    seq: commit.seq,
                    payload: publish.payload.clone(),
                    about,
                    encoded: OnceLock::new(),
                });
                recent.push(publish, &published);
                let room = self.open.lock().get(&(publish.model, publish.room.clone())).and_then(Weak::upgrade);
                if let Some(room) = room {
                    room.deliver(&published);
                }
            }
        }
    }
}

/// From where on somebody wants to hear what was published in a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    /// The last commit that he has heard of.
    pub(crate) seq: u64,
    /// How many payloads of that he has heard in the room; all of them unless given.
    pub(crate) received: Option<usize>,
}

/// What was published a short while ago, for those who were away for that long.
struct Recent {
    entries: VecDeque<Kept>,
    bytes: usize,
    /// All that was published after this commit is here.
    complete_after: u64,
}

struct Kept {
    room: RoomKey,
    published: Arc<Published>,
    at: Instant,
}

impl Recent {
    /// About how many bytes a payload takes that is kept.
    fn weight(published: &Published) -> usize {
        published.payload.len() + 256
    }

    fn push(&mut self, publish: &Publish, published: &Arc<Published>) {
        let now = Instant::now();
        self.bytes += Self::weight(published);
        let room = (publish.model, publish.room.clone());
        self.entries.push_back(Kept { room, published: published.clone(), at: now });
        let is_over = |kept: &Kept, bytes| bytes > RECENT_BYTES || now.duration_since(kept.at) > RECENT_TIME;
        while let Some(kept) = self.entries.front().filter(|kept| is_over(kept, self.bytes)) {
            self.bytes -= Self::weight(&kept.published);
            self.complete_after = kept.published.seq;
            self.entries.pop_front();
        }
    }
}

impl Room {
    /// Lets a socket listen. The same number twice is one.
    fn join(&self, number: u64, sink: Weak<dyn Sink>) {
        let mut sinks = self.sinks.lock();
        if !sinks.iter().any(|(known, _)| *known == number) {
            sinks.push((number, sink));
        }
    }

    pub(crate) fn leave(&self, number: u64) {
        self.sinks.lock().retain(|(known, _)| *known != number);
    }

    /// Hears all that is published in it from here on.
    pub(crate) fn listen(self: &Arc<Self>) -> Listener {
        let listeners = self.listeners.get_or_init(|| broadcast::Sender::new(LISTENER_BACKLOG));
        Listener { receiver: listeners.subscribe(), room: self.clone() }
    }

    fn deliver(&self, published: &Arc<Published>) {
        if let Some(listeners) = self.listeners.get() {
            // That all of them are gone is no error.
            let _ = listeners.send(published.clone());
        }
        self.sinks.lock().retain(|(_, sink)| {
            sink.upgrade().is_some_and(|sink| {
                sink.deliver(self, published);
                true
            })
        });
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(rooms) = self.rooms.upgrade() else { return };
        let mut open = rooms.open.lock();
        let key = (self.model, self.key.clone());
        // Another room of the same filter may have been opened since.
        if open.get(&key).is_some_and(|room| room.strong_count() == 0) {
            open.remove(&key);
        }
    }
}

/// A room of the model `T`: whoever subscribes to the same filter is in the same one.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String, pub admin: bool }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let admins = app.model::<User>().subscription(User::ADMIN.eq(true));
/// let mut heard = admins.listen();
/// admins.publish(&"hello").await?;
/// assert_eq!(heard.next().await, Some(Heard::Payload { seq: 2, payload: "hello".into() }));
/// # Ok(())
/// # }
/// ```
pub struct Subscription<T> {
    model: Model<T>,
    room: Arc<Room>,
}

impl<T> Clone for Subscription<T> {
    fn clone(&self) -> Self {
        Self { model: self.model.clone(), room: self.room.clone() }
    }
}

impl<T> std::fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("id", &self.room.name).finish_non_exhaustive()
    }
}

impl<T: ModelType> Subscription<T> {
    pub(crate) fn of_scope(scope: &Scope, room: Arc<Room>) -> Result<Self> {
        Ok(Self { model: Model::of_scope(scope)?, room })
    }
}

impl<T: Stored> Subscription<T> {
    pub(crate) fn new(model: Model<T>, filter: &Filter<T>) -> Self {
        let room = model.scope.runtime().rooms().room(model.index, filter.raw());
        Self { model, room }
    }

    /// What the room is called towards clients, e.g. `s1`: the same for all in it, as long as somebody is.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.room.name
    }

    /// The canonical text of its filter.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room.key
    }

    /// Sends a payload to all in the room, in process and on sockets. In a transaction it leaves with the commit.
    ///
    /// # Errors
    /// `INTERNAL` when the payload cannot be serialized; otherwise those of a transaction.
    pub async fn publish(&self, payload: &(impl Serialize + ?Sized + Sync)) -> Result<()> {
        self.send(payload, None).await
    }

    /// Sends a payload about a document to those in the room who may read the document when it reaches them, by the rule of the
    /// model (see [`access`](macro@crate::access)): as the commit that the payload leaves with has made it, or as it was when that
    /// has deleted it. All who listen in process hear it.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "tasks")]
    /// # pub struct Task { pub owner: String, pub done: bool }
    /// #[hook(Task, after(update))]
    /// async fn tell(task: &Doc<Task>, tasks: Model<Task>) -> Result<()> {
    ///     tasks.subscription(Filter::all()).publish_about(task, task).await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Subscription::publish`].
    pub async fn publish_about(
        &self,
        document: impl Into<Id<T>>,
        payload: &(impl Serialize + ?Sized + Sync),
    ) -> Result<()> {
        self.send(payload, Some(document.into().raw().clone())).await
    }

    async fn send(&self, payload: &(impl Serialize + ?Sized + Sync), about: Option<RawId>) -> Result<()> {
        let payload = serde_json::to_string(payload)?;
        let publish = Publish { model: self.room.model, room: self.room.key.clone(), payload: payload.into(), about };
        self.model.scope.publish(publish).await
    }

    /// Hears all that is published from here on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.room.listen()
    }

    /// Runs an event of the model with JSON arguments.
    ///
    /// # Errors
    /// `EVENT_NOT_FOUND`, `VALIDATION_ERROR`, or what the handler answers.
    pub async fn dispatch(&self, id: &str, args: Value) -> Result<Value> {
        let scope = &self.model.scope;
        let operation = scope.operation(self.model.index, OperationKind::Event, id)?;
        let args = scope.args(operation, Some(args), Audience::Store)?;
        let output =
            scope.call(self.model.index, OperationKind::Event, id, args, With::Room(self.room.clone())).await?;
        super::output_json(output.as_ref())
    }

    /// The ids of the events of the model.
    #[must_use]
    pub fn events(&self) -> Vec<&'static str> {
        let runtime = self.model.scope.runtime();
        runtime.model(self.model.index).map(|model| model.ids_of(OperationKind::Event)).unwrap_or_default()
    }

    pub(crate) async fn dispatch_typed<A: Args, O: Output>(&self, id: &'static str, args: A) -> Result<O> {
        super::call_typed(&self.model, OperationKind::Event, id, args, With::Room(self.room.clone())).await
    }
}

/// What a [`Listener`] hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A payload, and the commit that it left with.
    Payload {
        /// Sequence number of the commit.
        seq: u64,
        /// What was published.
        payload: Value,
    },
    /// It was too slow, and missed so many payloads.
    Missed(u64),
}

/// One who listens to a room in process. Up to 1,024 payloads wait for it.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Arc<Published>>,
    /// The room lasts as long as somebody listens.
    pub(super) room: Arc<Room>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Listener {
    /// What is heard next; `None` when nothing can follow.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(published) => Some(Heard::Payload {
                seq: published.seq,
                payload: serde_json::from_str(&published.payload).unwrap_or_default(),
            }),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
