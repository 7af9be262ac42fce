//! Subscriptions: rooms of a model, each keyed by the canonical text of a filter.
//!
//! What is published leaves with the commit of its transaction: the rooms follow the log, so that listeners hear commits in
//! their order, each once it is durable and before the one who made it is answered. A listener that does not keep up never
//! holds a commit back: in process it is told how much it missed, a socket is closed and has to subscribe again.
//!
//! What was published lately is kept in memory, for all rooms within one bound, so that a client that was cut off is sent what
//! it has missed. Who joins a room and what was published before is decided under one lock, which the delivery of commits holds
//! as well: so nothing falls between what was kept and what follows, and nothing is in both.

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
use crate::core::log::{Commit, Follower, Heads, Publish};
use crate::core::private::Audience;
use crate::core::query::canonical::canonical;
use crate::core::query::filter::{Filter, RawFilter};
use crate::core::schema::ModelType;
use crate::error::Result;

/// How many payloads wait for a listener in process before it misses the oldest.
const LISTENER_BACKLOG: usize = 1_024;

/// How many payloads one who was away is sent at once; who has missed more is better off to read afresh.
const MOST_MISSED: usize = 16_384;
/// How many bytes they have.
const MOST_MISSED_BYTES: usize = 4 << 20;

/// A payload as it was published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) seq: u64,
    /// How many payloads of its commit there are in this room with this one, when more of them follow.
    pub(crate) received: Option<u32>,
    /// JSON text.
    pub(crate) payload: Arc<str>,
    /// The document that it is about.
    pub(crate) about: Option<About>,
    /// How many were in the room.
    pub(crate) hearers: usize,
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
    pub(crate) fn new(journal: Arc<Journal>, keep: Keep, seq: u64) -> Self {
        let recent = Mutex::new(Recent { keep, entries: VecDeque::new(), bytes: 0, head: seq, complete_after: seq });
        Self { open: Mutex::default(), recent, next: AtomicU64::new(0), journal }
    }

    /// Lets a socket listen. Where it says what it has heard, what it has missed is delivered first; what follows is delivered
    /// once. `joining` is called before anything is delivered.
    pub(crate) fn join(
        &self,
        room: &Room,
        since: Option<Since>,
        (number, sink): (u64, &Arc<dyn Sink>),
        joining: impl FnOnce(Joining),
    ) {
        let recent = self.recent.lock();
        let head = Since { seq: recent.head, received: None };
        let (since, missed, complete) = match since {
            None => (head, Vec::new(), true),
            Some(since) => match recent.after(room, since) {
                Some(missed) => (since, missed, true),
                None => (head, Vec::new(), false),
            },
        };
        // Still under the lock, which whoever delivers needs.
        joining(Joining { since, complete });
        for published in &missed {
            sink.deliver(room, published);
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

    /// How many rooms are open, and how many sockets are in them.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server is asked"))]
    pub(crate) fn count(&self) -> (usize, usize) {
        // Counted outside of the lock, which the last one to leave a room needs.
        let open: Vec<Arc<Room>> = self.open.lock().values().filter_map(Weak::upgrade).collect();
        (open.len(), open.iter().map(|room| room.sinks.lock().len()).sum())
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
    fn committed(&self, commits: &[Arc<Commit>], _: &dyn Heads) {
        self.deliver(commits);
    }
}

impl Rooms {
    fn deliver(&self, commits: &[Arc<Commit>]) {
        // Held until all is delivered: whoever joins a room comes before a commit or after it.
        let mut recent = self.recent.lock();
        for commit in commits {
            if commit.seq > recent.head + 1 {
                // What the commits between had published is not known here.
                recent.complete_after = commit.seq - 1;
            }
            // How many payloads of the commit are yet to come in each room, and how many have been.
            let mut counts: HashMap<(ModelIndex, &str), (u32, u32)> = HashMap::new();
            if commit.published.len() > 1 {
                for publish in &commit.published {
                    counts.entry((publish.model, &*publish.room)).or_default().0 += 1;
                }
            }
            for publish in &commit.published {
                let received = counts.get_mut(&(publish.model, &*publish.room)).and_then(|(left, been)| {
                    (*left, *been) = (left.saturating_sub(1), been.saturating_add(1));
                    (*left > 0).then_some(*been)
                });
                let about = publish.about.as_ref().map(|id| {
                    let change = commit.changes.iter().find(|change| change.model == publish.model && change.id == *id);
                    let doc = change.and_then(|change| change.after.clone().or_else(|| change.before.clone()));
                    About { id: id.clone(), doc }
                });
                let room = self.open.lock().get(&(publish.model, publish.room.clone())).and_then(Weak::upgrade);
                let published = Arc::new(Published {
                    seq: commit.seq,
                    received,
                    payload: publish.payload.clone(),
                    about,
                    hearers: room.as_ref().map_or(0, |room| room.sinks.lock().len()),
                    encoded: OnceLock::new(),
                });
                if let Some(room) = room {
                    room.deliver(&published);
                }
                // Those who hear the events of a model are in the process, and are never cut off.
                if !publish.room.starts_with('@') {
                    recent.push(publish, published);
                }
            }
            recent.head = recent.head.max(commit.seq);
        }
        recent.trim(Instant::now());
    }
}

/// From where on somebody wants to hear what was published in a room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Since {
    /// The last commit that he has heard of.
    pub(crate) seq: u64,
    /// How many payloads of that he has heard in the room; all of them unless given.
    pub(crate) received: Option<u32>,
}

/// What one who joins a room has to know.
pub(crate) struct Joining {
    /// From where on it hears everything.
    pub(crate) since: Since,
    /// Whether that is from where it asked for.
    pub(crate) complete: bool,
}

/// How much of what was published is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

impl Default for Keep {
    /// Two minutes: so long Socket.IO, too, lets clients that were cut off go on.
    fn default() -> Self {
        Self { bytes: 16 << 20, time: Duration::from_secs(120) }
    }
}

/// What was published a short while ago, for those who were away for that long, in the order of the commits.
struct Recent {
    keep: Keep,
    entries: VecDeque<Kept>,
    bytes: usize,
    /// The last commit that was delivered.
    head: u64,
    /// All that was published after this commit is here.
    complete_after: u64,
}

struct Kept {
    room: RoomKey,
    published: Arc<Published>,
    at: Instant,
}

impl Recent {
    /// About how many bytes a payload takes that is kept, with its encoded form.
    fn weight(published: &Published) -> usize {
        2 * published.payload.len() + 256
    }

    fn push(&mut self, publish: &Publish, published: Arc<Published>) {
        self.bytes += Self::weight(&published);
        self.entries.push_back(Kept { room: (publish.model, publish.room.clone()), published, at: Instant::now() });
    }

    /// Lets go of what is too much or too old. Of a commit all or nothing is kept.
    fn trim(&mut self, now: Instant) {
        while let Some(kept) = self.entries.front() {
            let is_over = self.bytes > self.keep.bytes || now.saturating_duration_since(kept.at) > self.keep.time;
            if !is_over && kept.published.seq > self.complete_after {
                return;
            }
            self.bytes -= Self::weight(&kept.published);
            self.complete_after = self.complete_after.max(kept.published.seq);
            self.entries.pop_front();
        }
    }

    /// What was published in a room after this; `None` when that is not known any more, or is more than one is sent at once.
    fn after(&self, room: &Room, since: Since) -> Option<Vec<Arc<Published>>> {
        // In the middle of a commit that is gone one cannot go on; and what is to come is of another history.
        let reaches = since.seq > self.complete_after || (since.seq == self.complete_after && since.received.is_none());
        if !reaches || since.seq > self.head {
            return None;
        }
        // Of the commit itself, all but so many.
        let mut heard = since.received.unwrap_or(u32::MAX);
        let from = self.entries.partition_point(|kept| kept.published.seq < since.seq);
        let (mut missed, mut bytes) = (Vec::new(), 0);
        for Kept { room: of, published, .. } in self.entries.range(from..) {
            if of.0 != room.model || of.1 != room.key {
                continue;
            }
            if published.seq == since.seq && heard > 0 {
                heard -= 1;
                continue;
            }
            bytes += published.payload.len();
            if missed.len() == MOST_MISSED || bytes > MOST_MISSED_BYTES {
                return None;
            }
            missed.push(published.clone());
        }
        Some(missed)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::journal::LogSettings;

    /// One who hears, and whose connection can be cut.
    #[derive(Default)]
    struct Heard(Mutex<Vec<Arc<Published>>>);

    impl Sink for Heard {
        fn deliver(&self, _: &Room, published: &Arc<Published>) {
            self.0.lock().push(published.clone());
        }
    }

    fn rooms(keep: Keep) -> Arc<Rooms> {
        let journal = Journal::new(LogSettings::default(), std::iter::once("users"), Default::default()).unwrap();
        Arc::new(Rooms::new(Arc::new(journal), keep, 7))
    }

    fn commit(seq: u64, rooms: &[&str], text: &str) -> Arc<Commit> {
        let of = |(at, room): (usize, &&str)| Publish {
            model: 0,
            room: (*room).into(),
            payload: format!("\"{seq}.{at}{text}\"").into(),
            about: None,
        };
        Arc::new(Commit { seq, changes: Vec::new(), published: rooms.iter().enumerate().map(of).collect() })
    }

    /// Joins as one who has heard so much.
    fn join(rooms: &Rooms, room: &Room, number: u64, heard: &Arc<Heard>, since: Option<Since>) -> (Since, usize, bool) {
        let sink: Arc<dyn Sink> = heard.clone();
        let mut told = None;
        rooms.join(room, since, (number, &sink), |joining| told = Some(joining));
        let Joining { since, complete } = told.unwrap();
        (since, heard.0.lock().len(), complete)
    }

    fn positions(heard: &[Arc<Published>]) -> Vec<(u64, Option<u32>)> {
        heard.iter().map(|published| (published.seq, published.received)).collect()
    }

    #[test]
    fn payloads_of_one_commit_are_counted_but_the_last() {
        let rooms = rooms(Keep::default());
        let sink = Arc::new(Heard::default());
        let room = rooms.room_of(0, "{}".into());
        join(&rooms, &room, 1, &sink, None);
        rooms.deliver(&[commit(8, &["{}", "x", "{}", "{}", "x"], ""), commit(9, &["{}"], "")]);
        let heard = positions(&sink.0.lock());
        assert_eq!(heard, [(8, Some(1)), (8, Some(2)), (8, None), (9, None)]);
    }

    #[test]
    fn what_is_not_kept_is_told() {
        let rooms = rooms(Keep { bytes: 2_000, time: Duration::from_secs(60) });
        let room = rooms.room_of(0, "{}".into());
        let mut number = 0;
        let mut ask = |seq, received| {
            number += 1;
            let told = join(&rooms, &room, number, &Arc::default(), Some(Since { seq, received }));
            (told.0.seq, told.1, told.2)
        };
        assert_eq!(ask(7, None), (7, 0, true), "what the store has begun with");
        assert_eq!(ask(6, None), (7, 0, false), "before this process");
        assert_eq!(ask(8, None), (7, 0, false), "not of this history");
        for seq in 8..40 {
            rooms.deliver(&[commit(seq, &["{}", "{}"], "")]);
        }
        assert_eq!(ask(39, None), (39, 0, true));
        assert_eq!(ask(39, Some(1)), (39, 1, true), "in the middle of a commit");
        assert_eq!(ask(38, None), (38, 2, true));
        assert_eq!(ask(10, None), (39, 0, false));
        let floor = rooms.recent.lock().complete_after;
        assert_eq!((ask(floor, None).2, ask(floor, Some(1)).2, ask(floor - 1, None).2), (true, false, false));
        let bytes = rooms.recent.lock().bytes;
        assert!(bytes <= 2_000 && bytes > 500, "{bytes}");
        // A gap: another node has published what is not known here.
        rooms.deliver(&[commit(50, &["{}"], "")]);
        assert_eq!((ask(39, None).2, ask(49, None).1), (false, 1));
        // And old is gone as well.
        rooms.recent.lock().trim(Instant::now() + Duration::from_secs(61));
        assert_eq!((ask(50, None), ask(49, None)), ((50, 0, true), (50, 0, false)));
        let recent = rooms.recent.lock();
        assert_eq!((recent.bytes, recent.entries.len()), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// A client that is cut off at random, also in the middle of a commit, and comes back with what it has heard last, has
        /// heard everything once and in order in the end, or was told that it has not.
        #[test]
        fn cuts_lose_nothing_and_double_nothing(
            script in proptest::collection::vec((0_usize..4, 0_usize..5, any::<bool>(), 0_usize..8), 1..60),
            bytes in prop_oneof![Just(1_usize << 20), Just(3_000_usize)],
        ) {
            let rooms = rooms(Keep { bytes, time: Duration::from_secs(60) });
            let (mut expected, mut heard) = (Vec::new(), Vec::new());
            let mut last = Since { seq: 7, received: None };
            let mut number = 1;
            let mut told = true;
            let mut connected: Option<(Arc<Room>, Arc<Heard>)> = None;
            for (step, (mine, others, away, taken)) in script.into_iter().enumerate() {
                if connected.is_none() {
                    let (room, sink) = (rooms.room_of(0, "{}".into()), Arc::new(Heard::default()));
                    number += 1;
                    let (since, _, complete) = join(&rooms, &room, number, &sink, Some(last));
                    if !complete {
                        told = false;
                        // It reads afresh.
                        heard.clone_from(&expected);
                    }
                    last = since;
                    connected = Some((room, sink));
                }
                let in_rooms: Vec<&str> =
                    (0..mine.max(others)).flat_map(|at| [(at < mine).then_some("{}"), (at < others).then_some("x")]).flatten().collect();
                let commit = commit(8 + step as u64, &in_rooms, "");
                let own = commit.published.iter().filter(|publish| &*publish.room == "{}");
                expected.extend(own.map(|publish| publish.payload.clone()));
                if away {
                    // So many of its frames have arrived when it is cut off.
                    let (room, sink) = connected.take().unwrap();
                    rooms.deliver(&[commit]);
                    room.leave(number);
                    for published in sink.0.lock().iter().take(taken) {
                        heard.push(published.payload.clone());
                        last = Since { seq: published.seq, received: published.received };
                    }
                } else {
                    rooms.deliver(&[commit]);
                }
            }
            let (room, sink) = match connected {
                Some(connected) => connected,
                None => {
                    let (room, sink) = (rooms.room_of(0, "{}".into()), Arc::new(Heard::default()));
                    if !join(&rooms, &room, 0, &sink, Some(last)).2 {
                        told = false;
                        heard.clone_from(&expected);
                    }
                    (room, sink)
                }
            };
            heard.extend(sink.0.lock().iter().map(|published| published.payload.clone()));
            drop(room);
            prop_assert_eq!(heard, expected);
            prop_assert!(told || bytes < 1 << 20, "a large ring reaches back");
        }
    }
}
