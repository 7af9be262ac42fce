//! The commit log: everything durable and everything live is derived from this one order of commits.
//!
//! There are two heads. The *accepted* head is where commits are put in order: a batch is validated against it and applied to
//! it under one lock, and transactions start from it. The *durable* head follows when the engine has taken a group of
//! accepted commits in one append; reads from outside, answers, and all that follows the log see the durable head only. So
//! one group fills while the one before is being synced, and nobody learns of a commit that a crash can undo: whoever is
//! answered, also with a refusal or with what was only read, waits until the durable head has reached what he saw.
//!
//! Where the engine keeps nothing, an accepted commit cannot be undone, and the accepted head is the durable one.
//!
//! The engine may have taken another writer's groups in the meantime. Then what was accepted and is not durable is put back,
//! the other groups are applied, and each batch is put in order again: an intent is evaluated anew, a transaction is
//! validated against what came between, and run again where it lost.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex, RwLock};
use serde_json::Value;
use tokio::sync::{Notify, oneshot, watch};
use uuid::Uuid;

use super::clock::now_ms;
use super::collection::{Change, ModelIndex, State};
use super::document::{AnyValue, DocView, DynDoc};
use super::id::RawId;
use super::index::keys_of;
use super::key::Key;
use super::migrate::{self, Migrations, Unfit};
use super::query::filter::RawFilter;
use super::query::update::RawUpdate;
use super::reference::{Links, dangling};
use super::schema::ModelSchema;
use super::storage::{Append, Entry, EntryKind, Group, Head, LoggedGroup, Storage, StoredChange, StoredPublish};
use super::transaction::{Limits, missing};
use super::trash::{self, Deletion};
use super::value::ValueRef;
use crate::error::{Error, ErrorCode, Result, Violation};

/// How long one transaction may keep all others from being accepted.
const TURN: Duration = Duration::from_secs(1);
/// How many changes of recent commits are kept at most to validate open transactions against; one that started before loses its
/// first run.
const RECENT_CHANGES: usize = 65_536;
/// How many recent commits are let go at most when one is added: all at once would take a while.
const LET_GO: usize = 16;
/// Commits that a transaction checks outside of the lock before it takes it.
const CHECKED_INSIDE: usize = 16;
/// How long the engine is asked what became of a group before the application gives up.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Rollbacks that are remembered to tell whether a snapshot has vanished.
const REMEMBERED_ROLLBACKS: usize = 1_024;

/// A payload that leaves with a commit.
#[derive(Clone)]
pub(crate) struct Publish {
    pub(crate) model: ModelIndex,
    /// Canonical text of the filter.
    pub(crate) room: Arc<str>,
    /// JSON text.
    pub(crate) payload: Arc<str>,
    /// The document that it is about: it is for those alone who may read that.
    pub(crate) about: Option<RawId>,
}

/// One atomic set of changes.
pub(crate) struct Commit {
    pub(crate) seq: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) published: Vec<Publish>,
}

/// What a transaction has seen, so that it can be told whether somebody changed it since.
#[derive(Clone, Default)]
pub(crate) struct Reads {
    pub(crate) ids: HashSet<(ModelIndex, RawId)>,
    pub(crate) filters: Vec<(ModelIndex, Arc<RawFilter>)>,
    /// By model and field: the keys of which it was asked who has them.
    pub(crate) keys: BTreeMap<(ModelIndex, Box<str>), BTreeSet<Key>>,
}

impl Reads {
    pub(crate) fn changed_by(&self, commit: &Commit) -> bool {
        commit.changes.iter().any(|change| {
            self.ids.contains(&(change.model, change.id.clone()))
                || self.filters.iter().any(|(model, filter)| {
                    let matches =
                        |doc: &Option<DynDoc>| doc.as_ref().is_some_and(|doc| filter.matches(&DocView(doc.as_ref())));
                    *model == change.model && (matches(&change.before) || matches(&change.after))
                })
                || self.keys.iter().any(|((model, field), keys)| {
                    let has =
                        |doc: &Option<DynDoc>| doc.as_ref().map(|doc| keys_of(doc.as_ref(), field)).unwrap_or_default();
                    *model == change.model && {
                        let (before, after) = (has(&change.before), has(&change.after));
                        let other =
                            |one: &[Key], two: &[Key]| one.iter().any(|key| keys.contains(key) && !two.contains(key));
                        other(&before, &after) || other(&after, &before)
                    }
                })
        })
    }

    /// Notes that it was asked who has this key.
    pub(crate) fn key(&mut self, model: ModelIndex, field: &str, key: &Key) {
        self.keys.entry((model, field.into())).or_default().insert(key.clone());
    }
}

/// Where a transaction starts: a snapshot of the accepted head.
pub(crate) struct Base {
    pub(crate) seen: Seen,
    pub(crate) state: Arc<State>,
    pub(crate) started: Started,
}

/// The points of the order that open transactions started from, with how many did.
#[derive(Default)]
struct Starts(Mutex<BTreeMap<u64, usize>>);

impl Starts {
    fn add(self: &Arc<Self>, seq: u64) -> Started {
        *self.0.lock().entry(seq).or_default() += 1;
        Started { starts: self.clone(), seq }
    }

    /// The first of them.
    fn oldest(&self) -> Option<u64> {
        self.0.lock().keys().next().copied()
    }
}

/// That a transaction is open: what was committed since it started is kept as long as this is.
pub(crate) struct Started {
    starts: Arc<Starts>,
    seq: u64,
}

impl Drop for Started {
    fn drop(&mut self) {
        let mut starts = self.starts.0.lock();
        if let Some(count) = starts.get_mut(&self.seq) {
            *count -= 1;
            if *count == 0 {
                starts.remove(&self.seq);
            }
        }
    }
}

/// What a transaction ends as.
pub(crate) struct Batch {
    /// Where it started. The snapshot itself is let go, so that the committer can change collections in place.
    pub(crate) seen: Seen,
    pub(crate) changes: Vec<Change>,
    /// The stored form of each change's after.
    pub(crate) encoded: Vec<Option<String>>,
    pub(crate) published: Vec<Publish>,
    pub(crate) reads: Reads,
    /// It is validated until it is answered.
    pub(crate) _started: Started,
}

/// A write that the committer evaluates itself, so that it cannot conflict.
pub(crate) enum Intent {
    /// A checked value in the place of whatever has the id.
    Put { model: ModelIndex, id: RawId, value: PutValue, expect: Expect },
    /// Checked values under ids that are free.
    Insert { model: ModelIndex, values: Vec<(RawId, PutValue)> },
    /// The next version of a document.
    Update { model: ModelIndex, id: RawId, update: Arc<RawUpdate>, if_rev: Option<u64> },
    /// A commit without changes.
    Nothing,
    /// The end of a document, which may leave an entry of this id in the trash.
    Delete { model: ModelIndex, id: RawId, if_rev: Option<u64>, trash: Option<Box<(RawId, Deletion)>> },
}

/// A value on its way to be a document. It is moved there, and copied from there when the intent is evaluated again.
pub(crate) struct PutValue {
    fresh: Option<Box<dyn AnyValue>>,
    /// The stored form, where the engine keeps it.
    encoded: Option<String>,
    placed: Option<DynDoc>,
}

impl PutValue {
    fn new(value: Box<dyn AnyValue>, encoded: Option<String>) -> Self {
        Self { fresh: Some(value), encoded, placed: None }
    }

    fn place(&mut self, id: &RawId, rev: u64) -> Result<DynDoc> {
        let fresh = self.fresh.take().or_else(|| self.placed.as_ref().map(|doc| doc.copy()));
        let doc = fresh.ok_or_else(|| Error::internal("a put without a value"))?.into_doc(id.clone(), rev);
        self.placed = Some(doc.clone());
        Ok(doc)
    }
}

/// What has to be in the place of a put.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// Nothing.
    Absent,
    /// Nothing, and what is put comes out of the trash. What it refers to is checked afterwards, because that may be on its
    /// way back, too.
    Restored,
    Present {
        if_rev: Option<u64>,
    },
}

/// How what was handed over ended.
pub(crate) enum Answer {
    /// It is durable.
    Durable(Arc<Commit>),
    /// The order was changed by another writer, and it no longer fits: run it again.
    Again,
    /// Evaluated again, the intent was refused.
    Refused(Error, Seen, Intent),
    /// The log is closed.
    Closed,
}

/// A point of the accepted order.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    /// Grows when accepted commits are put back.
    generation: u64,
    pub(crate) seq: u64,
}

/// What became of a point of the accepted order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Settled {
    /// It is durable.
    Durable,
    /// It was put back.
    Vanished,
}

/// Who wants to know of every commit, in order, when it is durable and before anybody is answered. It must not block.
pub(crate) trait Follower: Send + Sync {
    /// `heads` is for one who has to look at what is there by then.
    fn committed(&self, commits: &[Arc<Commit>], heads: &dyn Heads);
}

/// What is there, for one who has followed the log up to some commit.
pub(crate) trait Heads {
    /// A state that is that commit or later, and the commits that it is ahead by, in order.
    fn ahead(&self, of: u64) -> (Arc<State>, Vec<Arc<Commit>>);
}

impl Heads for CommitLog {
    fn ahead(&self, of: u64) -> (Arc<State>, Vec<Arc<Commit>>) {
        self.shared.ahead(of)
    }
}

enum Work {
    Batch(Batch),
    Intent(Intent),
}

impl Work {
    /// Whether it takes so long that nobody should wait for it who only reads.
    fn is_large(&self) -> bool {
        /// Changes, of a few microseconds each.
        const LARGE: usize = 256;
        match self {
            Self::Batch(batch) => batch.changes.len() > LARGE,
            Self::Intent(Intent::Insert { values, .. }) => values.len() > LARGE,
            Self::Intent(_) => false,
        }
    }
}

struct Pending {
    commit: Arc<Commit>,
    encoded: Vec<Option<String>>,
    at: u64,
    work: Work,
    answer: oneshot::Sender<Answer>,
}

struct TurnHeld {
    id: u64,
    until: Instant,
}

struct Accept {
    state: Arc<State>,
    head: Head,
    generation: u64,
    /// For each rollback, the generation that it began and the seq that it went back to.
    rollbacks: VecDeque<(u64, u64)>,
    starts: Arc<Starts>,
    recent: VecDeque<Arc<Commit>>,
    recent_changes: usize,
    pending: Vec<Pending>,
    /// What is being written, or shown to the followers.
    in_flight: Arc<[Arc<Commit>]>,
    waiters: BTreeMap<u64, Vec<oneshot::Sender<Result<Settled, ()>>>>,
    durable_seq: u64,
    turn: Option<TurnHeld>,
    turns: u64,
    flushing: bool,
    stopping: bool,
    closed: Option<Arc<str>>,
}

struct Shared {
    schemas: Vec<Arc<ModelSchema>>,
    links: Links,
    storage: Arc<dyn Storage>,
    /// Nothing where the engine keeps nothing: what is accepted cannot be undone, so that it is shown as it is. Then no
    /// second hold on the state makes each commit copy what it changes.
    durable: ArcSwapOption<State>,
    /// Set before anybody can see that commit.
    shown_seq: AtomicU64,
    accept: Mutex<Accept>,
    work: Condvar,
    turn_queue: tokio::sync::Mutex<()>,
    turn_free: Notify,
    followers: RwLock<Vec<Arc<dyn Follower>>>,
    closed: watch::Sender<Option<Arc<str>>>,
}

/// The commit log of one application, open.
pub(crate) struct CommitLog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The right to be the only one accepted, for a second at most.
pub(crate) struct Turn<'a> {
    log: &'a CommitLog,
    id: u64,
    _queue: tokio::sync::MutexGuard<'a, ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut accept = self.log.shared.accept.lock();
        if accept.turn.as_ref().is_some_and(|held| held.id == self.id) {
            accept.turn = None;
        }
        drop(accept);
        self.log.shared.turn_free.notify_waiters();
    }
}

/// What the order says of a batch.
pub(crate) enum Accepted {
    /// It is in; the answer follows.
    In(oneshot::Receiver<Answer>),
    /// Somebody changed what it had seen.
    Lost,
}

/// What another writer has made of the log.
struct Ahead {
    state: State,
    head: Head,
    commits: Vec<Arc<Commit>>,
}

enum Verdict {
    In(Taken),
    Lost,
    Refused(Error, Work),
}

/// What was put in order, before it is known whom to answer.
struct Taken {
    commit: Arc<Commit>,
    encoded: Vec<Option<String>>,
    work: Work,
}

/// Whether something could be handed over.
enum Tried {
    Done(Handed),
    /// Somebody has the turn, until then at most.
    NotNow(Instant, Work),
}

/// What became of what was handed over.
#[expect(clippy::large_enum_variant, reason = "it is handed on at once, and a box would cost each write an allocation")]
enum Handed {
    In(oneshot::Receiver<Answer>),
    Lost,
    Refused(Error, Seen, Work),
}

impl CommitLog {
    /// Opens the engine, reads all documents and, where the schemas are not those of the store, begins an epoch.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        schemas: Vec<Arc<ModelSchema>>,
        migrations: &Migrations,
    ) -> Result<Self> {
        let links = Links::of(&schemas).map_err(|wrong| {
            let wrong: Vec<String> = wrong.into_iter().map(|(_, what)| what).collect();
            Error::new("INVALID_DECLARATION").status(500).message(wrong.join("; "))
        })?;
        let text = epoch_text(&schemas);
        let Loaded { mut state, mut head, schemas: stored, mut unfit, dropped } =
            load(storage.as_ref(), &schemas, migrations)?;
        let is_other = stored.as_deref() != Some(text.as_str());
        if is_other && stored.is_some() {
            unfit.extend(migrations.take_unfit(&mut state, &schemas)?);
        }
        let mut wrong = Vec::new();
        let mut changes = migrations.rewrite(&mut state, &schemas, head.seq, unfit, &mut wrong);
        refuse(&wrong)?;
        changes.extend(dropped);
        if stored.is_some() && (is_other || !changes.is_empty()) {
            prove_all(&state, &schemas, &links)?;
        }
        // The epoch, and what was made to fit it: all of it or none.
        let mut entries = Vec::new();
        if is_other {
            let kind = EntryKind::Epoch { number: head.epoch + 1, schemas: text };
            entries.push(Entry { seq: head.seq + 1, at: now_ms(), kind });
        }
        let behind = head.seq + u64::from(is_other);
        entries.extend(migrate::entries(&changes, behind, now_ms()));
        if !entries.is_empty() {
            let group = Group { id: Uuid::new_v4(), entries };
            head = match storage.append(&head, &group)? {
                Append::Appended(head) => head,
                Append::Behind(_) | Append::Truncated => {
                    return Err(
                        Error::new(ErrorCode::Unavailable).message("another writer changed the store at the start")
                    );
                }
                Append::Unknown(id) => storage.find(id)?.ok_or_else(|| {
                    Error::new(ErrorCode::Unavailable).message("the store did not take the new schemas")
                })?,
            };
        }
        state.seq = head.seq;
        let state = Arc::new(state);
        let (instant, storage_keeps) = (storage.is_instant(), storage.keeps());
        let shared = Arc::new(Shared {
            schemas,
            links,
            storage,
            durable: ArcSwapOption::new(storage_keeps.then(|| state.clone())),
            shown_seq: AtomicU64::new(state.seq),
            accept: Mutex::new(Accept {
                durable_seq: state.seq,
                state,
                head,
                generation: 0,
                rollbacks: VecDeque::new(),
                starts: Arc::default(),
                recent: VecDeque::new(),
                recent_changes: 0,
                pending: Vec::new(),
                in_flight: Arc::default(),
                waiters: BTreeMap::new(),
                turn: None,
                turns: 0,
                flushing: false,
                stopping: false,
                closed: None,
            }),
            work: Condvar::new(),
            turn_queue: tokio::sync::Mutex::new(()),
            turn_free: Notify::new(),
            followers: RwLock::new(Vec::new()),
            closed: watch::Sender::new(None),
        });
        let thread = if instant {
            None
        } else {
            let shared = shared.clone();
            Some(std::thread::Builder::new().name("modeller-committer".into()).spawn(move || shared.run())?)
        };
        Ok(Self { shared, thread })
    }

    /// A value for an intent. Its stored form is made here and not by the committer, who holds up everybody else.
    pub(crate) fn put_value(&self, value: Box<dyn AnyValue>) -> Result<PutValue> {
        let encoded = if self.keeps() { Some(value.encode()?) } else { None };
        Ok(PutValue::new(value, encoded))
    }

    /// Whether the engine wants the stored forms.
    pub(crate) fn keeps(&self) -> bool {
        self.shared.storage.keeps()
    }

    pub(crate) fn schema(&self, model: ModelIndex) -> Option<&Arc<ModelSchema>> {
        self.shared.schemas.get(model)
    }

    /// How many models there are.
    pub(crate) fn models(&self) -> usize {
        self.shared.schemas.len()
    }

    /// Where the trash is that the deleted documents of a model go to, if they do.
    pub(crate) fn trash_for(&self, model: ModelIndex) -> Option<ModelIndex> {
        self.schema(model)?.trash.map(|_| trash::trash_of(model, self.models()))
    }

    /// The references between the models.
    pub(crate) fn links(&self) -> &Links {
        &self.shared.links
    }

    /// The durable head.
    pub(crate) fn durable(&self) -> Arc<State> {
        self.shared.durable()
    }

    /// A durable commit that is not before any that somebody was shown by now.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server tells of it"))]
    pub(crate) fn shown_seq(&self) -> u64 {
        self.shared.shown_seq.load(Ordering::Acquire)
    }

    /// The accepted head.
    pub(crate) fn base(&self) -> Base {
        let accept = self.shared.accept.lock();
        let seen = Seen { generation: accept.generation, seq: accept.state.seq };
        Base { seen, state: accept.state.clone(), started: accept.starts.add(seen.seq) }
    }

    pub(crate) fn follow(&self, follower: Arc<dyn Follower>) {
        self.shared.followers.write().push(follower);
    }

    /// Resolves when the log had to close, with the reason.
    pub(crate) async fn failed(&self) -> Arc<str> {
        let mut closed = self.shared.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(|| "closed".into()),
            Err(_) => "closed".into(),
        }
    }

    /// How many commits are accepted and not yet durable.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server is asked"))]
    pub(crate) fn waiting(&self) -> u64 {
        let accept = self.shared.accept.lock();
        accept.state.seq.saturating_sub(accept.durable_seq)
    }

    /// Whether the turn has not been taken away.
    pub(crate) fn holds(&self, turn: &Turn<'_>) -> bool {
        self.shared.accept.lock().turn.as_ref().is_some_and(|held| held.id == turn.id)
    }

    /// Waits for the turn: nothing but what its holder hands over is accepted while it lasts.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        let queue = self.shared.turn_queue.lock().await;
        let mut accept = self.shared.accept.lock();
        accept.turns += 1;
        let id = accept.turns;
        accept.turn = Some(TurnHeld { id, until: Instant::now() + TURN });
        Turn { log: self, id, _queue: queue }
    }

    /// Puts a batch in order, or says that it lost.
    pub(crate) async fn accept(&self, batch: Batch, turn: Option<&Turn<'_>>) -> Result<Accepted> {
        let mut checked = batch.seen.seq;
        // What can be validated without the lock is.
        loop {
            let commits: Vec<Arc<Commit>> = {
                let accept = self.shared.accept.lock();
                match accept.since(checked) {
                    Some(since) if since.len() > CHECKED_INSIDE => since.cloned().collect(),
                    _ => break,
                }
            };
            if commits.iter().any(|commit| batch.reads.changed_by(commit)) {
                return Ok(Accepted::Lost);
            }
            checked = commits.last().map_or(checked, |commit| commit.seq);
        }
        match self.hand_over(Work::Batch(batch), checked, turn).await? {
            Handed::In(receiver) => Ok(Accepted::In(receiver)),
            Handed::Lost => Ok(Accepted::Lost),
            Handed::Refused(error, seen, _) => match self.settled(seen).await? {
                Settled::Durable => Err(error),
                Settled::Vanished => Ok(Accepted::Lost),
            },
        }
    }

    /// Evaluates an intent and waits until it, or what it was refused for, is durable.
    pub(crate) async fn intent(&self, mut intent: Intent) -> Result<Arc<Commit>> {
        loop {
            let (error, seen) = match self.hand_over(Work::Intent(intent), 0, None).await? {
                Handed::In(receiver) => match receiver.await {
                    Ok(Answer::Durable(commit)) => return Ok(commit),
                    Ok(Answer::Refused(error, seen, back)) => {
                        intent = back;
                        (error, seen)
                    }
                    Ok(Answer::Again | Answer::Closed) | Err(_) => return Err(self.closed_error()),
                },
                Handed::Refused(error, seen, Work::Intent(back)) => {
                    intent = back;
                    (error, seen)
                }
                Handed::Refused(_, _, Work::Batch(_)) | Handed::Lost => {
                    return Err(Error::internal("an intent cannot lose"));
                }
            };
            // A refusal whose reason vanished is evaluated again.
            if self.settled(seen).await? == Settled::Durable {
                return Err(error);
            }
        }
    }

    /// Has the engine forget all that was written before now and is no part of the documents any more.
    pub(crate) async fn forget(&self) -> Result<()> {
        if !self.keeps() {
            return Ok(());
        }
        let until = self.durable().seq;
        // The group of the last commit stays, and may hold earlier versions.
        self.intent(Intent::Nothing).await?;
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || shared.storage.forget(until)).await.map_err(Error::internal)?
    }

    /// Waits until a snapshot is durable, or was put back.
    pub(crate) async fn settled(&self, seen: Seen) -> Result<Settled> {
        let receiver = {
            let mut accept = self.shared.accept.lock();
            if accept.vanished(seen) {
                return Ok(Settled::Vanished);
            }
            if seen.seq <= accept.durable_seq {
                return Ok(Settled::Durable);
            }
            if accept.closed.is_some() {
                drop(accept);
                return Err(self.closed_error());
            }
            let (sender, receiver) = oneshot::channel();
            accept.waiters.entry(seen.seq).or_default().push(sender);
            receiver
        };
        match receiver.await {
            Ok(Ok(settled)) => Ok(settled),
            Ok(Err(())) | Err(_) => Err(self.closed_error()),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        let accept = self.shared.accept.lock();
        accept.closed.is_some() || accept.stopping
    }

    pub(crate) fn closed_error(&self) -> Error {
        let reason = self.shared.accept.lock().closed.clone();
        let error = Error::new(ErrorCode::Unavailable).message("the store is closed");
        match reason {
            Some(reason) => error.caused_by(reason.to_string()),
            None => error,
        }
    }

    async fn hand_over(&self, mut work: Work, checked: u64, turn: Option<&Turn<'_>>) -> Result<Handed> {
        loop {
            let free = self.shared.turn_free.notified();
            let until = match self.try_hand_over(work, checked, turn)? {
                Tried::Done(Handed::In(receiver)) => {
                    self.shared.kick();
                    return Ok(Handed::In(receiver));
                }
                Tried::Done(handed) => return Ok(handed),
                Tried::NotNow(until, back) => {
                    work = back;
                    until
                }
            };
            // Whoever takes the turn away looks again at what is there.
            let _ = tokio::time::timeout_at(until.into(), free).await;
        }
    }

    fn try_hand_over(&self, work: Work, checked: u64, turn: Option<&Turn<'_>>) -> Result<Tried> {
        let mut accept = self.shared.accept.lock();
        if accept.closed.is_some() || accept.stopping {
            drop(accept);
            return Err(self.closed_error());
        }
        let held = accept.turn.as_ref().filter(|held| Some(held.id) != turn.map(|turn| turn.id));
        match held.map(|held| held.until) {
            Some(until) if until > Instant::now() => return Ok(Tried::NotNow(until, work)),
            Some(_) => accept.turn = None,
            None => {}
        }
        // Readers look at what was before, and not for as long as a large write takes.
        let shown = !self.keeps() && work.is_large();
        if shown {
            self.shared.durable.store(Some(accept.state.clone()));
        }
        let verdict = accept.take(&self.shared.schemas, &self.shared.links, self.keeps(), work, checked);
        if !self.keeps() {
            self.shared.shown_seq.fetch_max(accept.state.seq, Ordering::Release);
        }
        if shown {
            self.shared.durable.store(None);
        }
        let seen = Seen { generation: accept.generation, seq: accept.state.seq };
        Ok(Tried::Done(match verdict {
            Verdict::In(taken) => {
                let (sender, receiver) = oneshot::channel();
                accept.pend(taken, sender);
                Handed::In(receiver)
            }
            Verdict::Lost => Handed::Lost,
            Verdict::Refused(error, work) => Handed::Refused(error, seen, work),
        }))
    }
}

impl Drop for CommitLog {
    /// What was accepted is written before the engine is let go.
    fn drop(&mut self) {
        self.shared.accept.lock().stopping = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}

/// A change, and the stored form of its after where the engine keeps it.
type Evaluated = (Change, Option<String>);

/// The same of several.
type AllEvaluated = (Vec<Change>, Vec<Option<String>>);

impl Intent {
    /// The changes that the intent amounts to at this state.
    fn evaluate(&mut self, state: &State, schemas: &[Arc<ModelSchema>], keeps: bool) -> Result<AllEvaluated> {
        let (change, encoded) = match self {
            Self::Put { model, id, value, expect } => put(state, *model, id, value, *expect, keeps)?,
            Self::Insert { model, values } => {
                // Ids that we make rise.
                if !values.is_sorted_by(|(a, _), (b, _)| a < b) {
                    let mut known = HashSet::with_capacity(values.len());
                    if let Some(at) = values.iter().position(|(id, _)| !known.insert(id)) {
                        return Err(Error::unique("_id").of_element(at));
                    }
                }
                return values
                    .iter_mut()
                    .enumerate()
                    .map(|(at, (id, value))| {
                        put(state, *model, id, value, Expect::Absent, keeps).map_err(|error| error.of_element(at))
                    })
                    .collect();
            }
            Self::Update { model, id, update, if_rev } => {
                let before = state.get(*model, id).ok_or_else(|| missing(id))?;
                check_rev(*if_rev, before)?;
                let schema = schemas.get(*model).ok_or_else(|| missing(id))?;
                let value = schema.updated(before, update)?;
                let after = value.into_doc(id.clone(), next_rev(Some(before), state.seq));
                let text = stored_form(&after, None, keeps)?;
                (Change { model: *model, id: id.clone(), before: Some(before.clone()), after: Some(after) }, text)
            }
            Self::Nothing => return Ok(Default::default()),
            Self::Delete { model, id, if_rev, trash } => {
                let before = state.get(*model, id).ok_or_else(|| missing(id))?;
                check_rev(*if_rev, before)?;
                let gone = Change { model: *model, id: id.clone(), before: Some(before.clone()), after: None };
                let Some((entry, deletion)) = trash.as_deref() else { return Ok((vec![gone], vec![None])) };
                let after =
                    trash::Entry::new(entry.clone(), next_rev(None, state.seq), before.clone(), deletion.clone());
                let kept = Change {
                    model: trash::trash_of(*model, schemas.len()),
                    id: entry.clone(),
                    before: None,
                    after: Some(Arc::new(after)),
                };
                // The stored form of the entry is made when the group is written, and nobody waits here for it.
                return Ok((vec![gone, kept], vec![None, None]));
            }
        };
        Ok((vec![change], vec![encoded]))
    }
}

fn put(
    state: &State,
    model: ModelIndex,
    id: &RawId,
    value: &mut PutValue,
    expect: Expect,
    keeps: bool,
) -> Result<Evaluated> {
    let before = state.get(model, id).cloned();
    expect.check(id, before.as_ref())?;
    let after = value.place(id, next_rev(before.as_ref(), state.seq))?;
    let text = stored_form(&after, value.encoded.take(), keeps)?;
    Ok((Change { model, id: id.clone(), before, after: Some(after) }, text))
}

/// The stored form of a document, unless it is there already or nobody keeps it.
fn stored_form(doc: &DynDoc, made: Option<String>, keeps: bool) -> Result<Option<String>> {
    if !keeps {
        // That nearly every document is far from it costs less to see than how much it has.
        let most = ValueRef::Object(doc.object()).most_weight();
        if most.is_none_or(|most| most > Limits::default().bytes) {
            check_size(doc.weight())?;
        }
        return Ok(None);
    }
    let text = match made {
        Some(text) => text,
        None => doc.encode()?,
    };
    check_size(text.len())?;
    Ok(Some(text))
}

/// A document that grows with each update is stopped before nobody can carry it.
fn check_size(bytes: usize) -> Result<()> {
    if bytes <= Limits::default().bytes {
        return Ok(());
    }
    Err(Error::new(ErrorCode::TransactionTooLarge)
        .message(format!("a document has at most {} bytes", Limits::default().bytes)))
}

impl Expect {
    /// Whether what is in the place of `id` is what has to be there.
    pub(crate) fn check(self, id: &RawId, before: Option<&DynDoc>) -> Result<()> {
        match (self, before) {
            (Self::Absent | Self::Restored, Some(_)) => Err(Error::unique("_id")),
            (Self::Present { .. }, None) => Err(missing(id)),
            (Self::Present { if_rev }, Some(before)) => check_rev(if_rev, before),
            (Self::Absent | Self::Restored, None) => Ok(()),
        }
    }
}

pub(crate) fn check_rev(if_rev: Option<u64>, doc: &DynDoc) -> Result<()> {
    match if_rev {
        Some(expected) if expected != doc.rev() => Err(Error::conflict(expected, doc.rev())),
        _ => Ok(()),
    }
}

/// 1 + max(revision of the version before, seq of the snapshot): known before the commit, and strictly growing.
pub(crate) fn next_rev(before: Option<&DynDoc>, seq: u64) -> u64 {
    next_rev_after(before.map_or(0, |doc| doc.rev()), seq)
}

/// The same of a version by its revision, 0 where there is none.
pub(crate) fn next_rev_after(rev: u64, seq: u64) -> u64 {
    1 + rev.max(seq)
}

impl Accept {
    /// The recent commits after this one; `None` when they do not reach back that far.
    fn since(&self, seq: u64) -> Option<impl ExactSizeIterator<Item = &Arc<Commit>>> {
        let from = self.recent.partition_point(|commit| commit.seq <= seq);
        let reach = self.state.seq <= seq || self.recent.front().is_some_and(|first| first.seq <= seq + 1);
        reach.then(|| self.recent.range(from..))
    }

    fn vanished(&self, seen: Seen) -> bool {
        if seen.generation == self.generation {
            return false;
        }
        match self.rollbacks.iter().find(|(generation, _)| *generation > seen.generation) {
            // The floors rise, so that the first rollback after the snapshot is the lowest.
            Some((generation, floor)) => *generation != seen.generation + 1 || seen.seq > *floor,
            None => true,
        }
    }

    /// Puts work in order, if it still fits.
    fn take(
        &mut self,
        schemas: &[Arc<ModelSchema>],
        links: &Links,
        keeps: bool,
        mut work: Work,
        checked: u64,
    ) -> Verdict {
        let (changes, encoded, published) = match &mut work {
            Work::Intent(intent) => match intent.evaluate(&self.state, schemas, keeps) {
                Ok((changes, encoded)) => (changes, encoded, Vec::new()),
                Err(error) => return Verdict::Refused(error, work),
            },
            Work::Batch(batch) => {
                let seen = batch.seen;
                if self.vanished(seen) {
                    return Verdict::Lost;
                }
                // What was checked outside may have been put back since.
                let checked = if seen.generation == self.generation { checked } else { seen.seq };
                let changed = match self.since(checked.max(seen.seq)) {
                    None => true,
                    Some(mut since) => since.any(|commit| batch.reads.changed_by(commit)),
                };
                if changed {
                    return Verdict::Lost;
                }
                (batch.changes.clone(), std::mem::take(&mut batch.encoded), batch.published.clone())
            }
        };
        let state = Arc::make_mut(&mut self.state);
        if let Err(unfit) = state.apply(&changes, Some(links)) {
            // A transaction that saw the value free, or the document that it refers to, is to meet that in its handler.
            return match &work {
                Work::Batch(batch) if batch.seen.seq < state.seq => Verdict::Lost,
                Work::Intent(Intent::Insert { .. }) => Verdict::Refused(unfit.error.of_element(unfit.at), work),
                _ => Verdict::Refused(unfit.error, work),
            };
        }
        state.seq += 1;
        let commit = Arc::new(Commit { seq: state.seq, changes, published });
        self.remember(commit.clone());
        Verdict::In(Taken { commit, encoded, work })
    }

    /// Lets what was put in order wait for the next group.
    fn pend(&mut self, Taken { commit, encoded, work }: Taken, answer: oneshot::Sender<Answer>) {
        self.pending.push(Pending { commit, encoded, at: now_ms(), work, answer });
    }

    fn remember(&mut self, commit: Arc<Commit>) {
        self.recent_changes += commit.changes.len();
        self.recent.push_back(commit);
        // Nobody is to be told of what came before all that are open.
        let oldest = self.starts.oldest().unwrap_or(u64::MAX);
        for _ in 0..LET_GO {
            if self.recent.front().is_none_or(|commit| commit.seq > oldest) {
                break;
            }
            self.recent_changes -= self.recent.pop_front().map_or(0, |commit| commit.changes.len());
        }
        while self.recent_changes > RECENT_CHANGES
            && self.recent.len() > 1
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_changes -= oldest.changes.len();
        }
    }

    /// Takes what is pending, to be written and shown to the followers.
    fn take_off(&mut self) -> (Vec<Pending>, Arc<[Arc<Commit>]>) {
        self.in_flight = self.pending.iter().map(|pending| pending.commit.clone()).collect();
        (std::mem::take(&mut self.pending), self.in_flight.clone())
    }
}

impl Heads for Shared {
    fn ahead(&self, of: u64) -> (Arc<State>, Vec<Arc<Commit>>) {
        let accept = self.accept.lock();
        // What is in flight was put down before the state that holds it was shown, and stays until the followers have it.
        let state = self.durable.load_full().unwrap_or_else(|| accept.state.clone());
        let waiting = accept.pending.iter().map(|pending| &pending.commit);
        let commits = accept.in_flight.iter().chain(waiting);
        let ahead = commits.filter(|commit| commit.seq > of && commit.seq <= state.seq).cloned().collect();
        (state, ahead)
    }
}

impl Shared {
    /// The durable head.
    fn durable(&self) -> Arc<State> {
        self.durable.load_full().unwrap_or_else(|| self.accept.lock().state.clone())
    }

    /// Sees to it that what is pending is written: here where the engine is instant, else by the committer's thread.
    fn kick(&self) {
        if !self.storage.is_instant() {
            self.work.notify_one();
            return;
        }
        {
            let mut accept = self.accept.lock();
            if accept.flushing {
                return;
            }
            accept.flushing = true;
        }
        while self.flush() {}
    }

    /// The committer's thread.
    fn run(&self) {
        loop {
            {
                let mut accept = self.accept.lock();
                while accept.pending.is_empty() && !accept.stopping && accept.closed.is_none() {
                    self.work.wait(&mut accept);
                }
                if accept.closed.is_some() || (accept.stopping && accept.pending.is_empty()) {
                    return;
                }
            }
            self.flush();
        }
    }

    /// Writes all that is pending as one group. False when there was nothing.
    ///
    /// A panic in here (of an engine, or a follower) leaves nobody waiting: what was in flight is answered by its dropped
    /// channel, and the log is closed.
    fn flush(&self) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.flush_group())).unwrap_or_else(|_| {
            self.close(Vec::new(), &Error::internal("the committer panicked"));
            false
        })
    }

    fn flush_group(&self) -> bool {
        let (mut pending, commits, state, head) = {
            let mut accept = self.accept.lock();
            if accept.pending.is_empty() || accept.closed.is_some() {
                accept.flushing = false;
                return false;
            }
            if !self.storage.keeps() {
                let head = Head { seq: accept.state.seq, ..accept.head };
                let (pending, commits) = accept.take_off();
                drop(accept);
                self.publish(pending, &commits, None, head);
                return true;
            }
            let (pending, commits) = accept.take_off();
            (pending, commits, accept.state.clone(), accept.head)
        };
        let group = match self.group(&mut pending) {
            Ok(group) => group,
            Err(error) => {
                self.close(pending, &error);
                return true;
            }
        };
        match self.append(&head, &group) {
            Ok(Append::Appended(head)) => self.publish(pending, &commits, Some(state), head),
            Ok(Append::Behind(groups)) => match self.catch_up(&groups) {
                Ok(ahead) => self.fall_back(pending, ahead),
                Err(error) => self.close(pending, &error),
            },
            Ok(Append::Truncated) => match self.start_over() {
                Ok(ahead) => self.fall_back(pending, ahead),
                Err(error) => self.close(pending, &error),
            },
            Ok(Append::Unknown(_)) => {
                self.close(pending, &Error::internal("the store cannot tell what became of a group"));
            }
            Err(error) => self.close(pending, &error),
        }
        true
    }

    fn group(&self, pending: &mut [Pending]) -> Result<Group> {
        let model = |index: ModelIndex| trash::name_of(&self.schemas, index).into_owned();
        let entries = pending
            .iter_mut()
            .map(|pending| {
                let mut encoded = std::mem::take(&mut pending.encoded).into_iter();
                let changes = pending.commit.changes.iter().map(|change| {
                    let doc = match (&change.after, encoded.next().flatten()) {
                        (None, _) => None,
                        (Some(_), Some(text)) => Some(text),
                        (Some(after), None) => Some(after.encode()?),
                    };
                    let version = change.after.as_ref().or(change.before.as_ref());
                    let rev = version.map_or(0, |doc| doc.rev());
                    Ok(StoredChange { model: model(change.model), id: change.id.to_string(), rev, doc })
                });
                let published = pending.commit.published.iter().map(|publish| StoredPublish {
                    model: model(publish.model),
                    room: publish.room.to_string(),
                    payload: publish.payload.to_string(),
                    about: publish.about.as_ref().map(ToString::to_string),
                });
                let kind =
                    EntryKind::Commit { changes: changes.collect::<Result<_>>()?, published: published.collect() };
                Ok(Entry { seq: pending.commit.seq, at: pending.at, kind })
            })
            .collect::<Result<_>>()?;
        Ok(Group { id: Uuid::new_v4(), entries })
    }

    /// Appends, and finds out what became of the group where that is not known. Nobody is answered meanwhile.
    fn append(&self, head: &Head, group: &Group) -> Result<Append> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let id = match self.storage.append(head, group)? {
                Append::Unknown(id) => id,
                known => return Ok(known),
            };
            loop {
                match self.storage.find(id) {
                    Ok(Some(head)) => return Ok(Append::Appended(head)),
                    Ok(None) => break,
                    Err(error) if begun.elapsed() > UNKNOWN_FOR => return Err(error),
                    Err(_) => {
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(Duration::from_millis(500));
                    }
                }
            }
            if begun.elapsed() > UNKNOWN_FOR {
                return Ok(Append::Unknown(id));
            }
        }
    }

    /// Tells the followers what has become durable.
    fn tell(&self, commits: &[Arc<Commit>]) {
        for follower in self.followers.read().iter() {
            follower.committed(commits, self);
        }
    }

    /// The group is durable: show it, tell the followers, answer, in this order.
    fn publish(&self, pending: Vec<Pending>, commits: &[Arc<Commit>], state: Option<Arc<State>>, head: Head) {
        let seq = head.seq;
        self.shown_seq.fetch_max(seq, Ordering::Release);
        let old = state.map(|state| self.durable.swap(Some(state)));
        self.tell(commits);
        let due = {
            let mut accept = self.accept.lock();
            accept.in_flight = Arc::default();
            accept.head = head;
            accept.durable_seq = seq;
            let later = accept.waiters.split_off(&(seq + 1));
            std::mem::replace(&mut accept.waiters, later)
        };
        for pending in pending {
            let _ = pending.answer.send(Answer::Durable(pending.commit));
        }
        for waiter in due.into_values().flatten() {
            let _ = waiter.send(Ok(Settled::Durable));
        }
        // Last, because taking an old state apart can take a while.
        drop(old);
    }

    /// What the log amounts to after another writer's groups.
    fn catch_up(&self, groups: &[LoggedGroup]) -> Result<Ahead> {
        let mut state = State::clone(&self.durable());
        let mut commits = Vec::new();
        for entry in groups.iter().flat_map(|logged| &logged.group.entries) {
            let commit = self.decode(&state, entry)?;
            // What it refers to was checked by whoever wrote it, and is no longer a question.
            state.apply(&commit.changes, None).map_err(|unfit| unfit.error)?;
            state.seq = entry.seq;
            commits.push(Arc::new(commit));
        }
        let head = groups.last().map(|logged| logged.head);
        let head = head.ok_or_else(|| Error::internal("the store says that it is ahead, and by nothing"))?;
        Ok(Ahead { state, head, commits })
    }

    /// The same from a snapshot, where the log does not reach back far enough: all that differs is one commit. What was
    /// published in between is gone; a listener that has to know compares sequence numbers.
    fn start_over(&self) -> Result<Ahead> {
        let Loaded { mut state, head, schemas: stored, .. } =
            load(self.storage.as_ref(), &self.schemas, &Migrations::default())?;
        if stored.as_deref() != Some(epoch_text(&self.schemas).as_str()) {
            return Err(other_epoch());
        }
        state.seq = head.seq;
        let before = self.durable();
        let mut changes = Vec::new();
        for model in 0..state.places() {
            let (Some(old), Some(new)) = (before.collection(model), state.collection(model)) else { continue };
            for doc in old.all() {
                let after = new.get(doc.id());
                if after.is_none_or(|after| after.rev() != doc.rev()) {
                    changes.push(Change {
                        model,
                        id: doc.id().clone(),
                        before: Some(doc.clone()),
                        after: after.cloned(),
                    });
                }
            }
            for doc in new.all().filter(|doc| old.get(doc.id()).is_none()) {
                changes.push(Change { model, id: doc.id().clone(), before: None, after: Some(doc.clone()) });
            }
        }
        let commit = Arc::new(Commit { seq: head.seq, changes, published: Vec::new() });
        Ok(Ahead { state, head, commits: vec![commit] })
    }

    /// Another writer was first: shows what he wrote, and puts what was accepted in order again behind it.
    fn fall_back(&self, in_flight: Vec<Pending>, ahead: Ahead) {
        let Ahead { state, head, commits: foreign } = ahead;
        let mut accept = self.accept.lock();
        let floor = accept.durable_seq;
        let later = std::mem::take(&mut accept.pending);
        accept.generation += 1;
        let generation = accept.generation;
        accept.rollbacks.push_back((generation, floor));
        if accept.rollbacks.len() > REMEMBERED_ROLLBACKS {
            accept.rollbacks.pop_front();
        }
        while let Some(newest) = accept.recent.pop_back() {
            if newest.seq <= floor {
                accept.recent.push_back(newest);
                break;
            }
            accept.recent_changes -= newest.changes.len();
        }
        foreign.iter().for_each(|commit| accept.remember(commit.clone()));
        let state = Arc::new(state);
        accept.state = state.clone();
        let foreign: Arc<[_]> = foreign.into();
        accept.in_flight = foreign.clone();
        accept.head = head;
        accept.durable_seq = head.seq;
        let vanished: Vec<_> = std::mem::take(&mut accept.waiters).into_values().flatten().collect();
        drop(accept);

        self.shown_seq.fetch_max(head.seq, Ordering::Release);
        self.durable.store(Some(state));
        self.tell(&foreign);
        for waiter in vanished {
            let _ = waiter.send(Ok(Settled::Vanished));
        }

        let mut accept = self.accept.lock();
        accept.in_flight = Arc::default();
        for pending in in_flight.into_iter().chain(later) {
            let Pending { work, answer, .. } = pending;
            let seq = match &work {
                Work::Batch(batch) => batch.seen.seq,
                Work::Intent(_) => 0,
            };
            match accept.take(&self.schemas, &self.links, self.storage.keeps(), work, seq) {
                Verdict::In(taken) => accept.pend(taken, answer),
                Verdict::Lost => {
                    let _ = answer.send(Answer::Again);
                }
                Verdict::Refused(error, Work::Intent(intent)) => {
                    let seen = Seen { generation: accept.generation, seq: accept.state.seq };
                    let _ = answer.send(Answer::Refused(error, seen, intent));
                }
                Verdict::Refused(_, Work::Batch(_)) => {
                    let _ = answer.send(Answer::Again);
                }
            }
        }
    }

    /// Another writer's entry as a commit at this state.
    fn decode(&self, state: &State, entry: &Entry) -> Result<Commit> {
        let EntryKind::Commit { changes, published } = &entry.kind else {
            return Err(other_epoch());
        };
        let model = |id: &str| {
            trash::place_of(&self.schemas, id)
                .ok_or_else(|| Error::internal(format!("another node has written to an unknown model `{id}`")))
        };
        let changes = changes
            .iter()
            .map(|change| {
                let index = model(&change.model)?;
                let id = RawId::parse(&change.id)?;
                let after = match &change.doc {
                    None => None,
                    Some(text) => Some(trash::decode(&self.schemas, index, id.clone(), change.rev, text)?),
                };
                Ok(Change { model: index, before: state.get(index, &id).cloned(), id, after })
            })
            .collect::<Result<_>>()?;
        let published = published
            .iter()
            .map(|publish| {
                Ok(Publish {
                    model: model(&publish.model)?,
                    room: publish.room.as_str().into(),
                    payload: publish.payload.as_str().into(),
                    about: publish.about.as_deref().map(RawId::parse).transpose()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Commit { seq: entry.seq, changes, published })
    }

    /// The engine failed: what it holds now is not known, so nothing more is accepted and nobody is told that it went well.
    fn close(&self, in_flight: Vec<Pending>, error: &Error) {
        let reason: Arc<str> = format!("{error:?}").into();
        tracing::error!(error = %reason, "the store failed; nothing more is accepted");
        let (pending, waiters) = {
            let mut accept = self.accept.lock();
            accept.closed = Some(reason.clone());
            accept.flushing = false;
            (std::mem::take(&mut accept.pending), std::mem::take(&mut accept.waiters))
        };
        for pending in in_flight.into_iter().chain(pending) {
            let _ = pending.answer.send(Answer::Closed);
        }
        for waiter in waiters.into_values().flatten() {
            let _ = waiter.send(Err(()));
        }
        self.closed.send_replace(Some(reason));
        self.turn_free.notify_waiters();
    }
}

/// The schemas of an epoch, as text: what decides whether stored documents still mean the same.
fn epoch_text(schemas: &[Arc<ModelSchema>]) -> String {
    let all: serde_json::Map<String, Value> = schemas
        .iter()
        .map(|schema| {
            let names = |fields: &[Box<str>]| match fields {
                [field] => Value::from(field.as_ref()),
                fields => fields.iter().map(AsRef::as_ref).map(Value::from).collect(),
            };
            let unique = schema.indexes.iter().filter(|index| index.unique);
            let unique: Vec<Value> = unique.map(|index| names(&index.fields)).collect();
            (schema.id.to_string(), serde_json::json!({"schema": schema.json, "unique": unique}))
        })
        .collect();
    Value::Object(all).to_string()
}

fn other_epoch() -> Error {
    Error::new(ErrorCode::Unavailable).message("another node has begun an epoch with other schemas")
}

/// How many offending documents a refused start names.
const NAMED: usize = 10;

/// What an engine held at the start.
struct Loaded {
    state: State,
    head: Head,
    /// Those of the epoch.
    schemas: Option<String>,
    /// What is not in the state, and is to be rewritten.
    unfit: Vec<Unfit>,
    /// What is to be let go.
    dropped: Vec<StoredChange>,
}

fn load(storage: &dyn Storage, schemas: &[Arc<ModelSchema>], migrations: &Migrations) -> Result<Loaded> {
    let mut state = State::new(schemas);
    let mut wrong: Vec<String> = Vec::new();
    let mut unfit: Vec<Unfit> = Vec::new();
    let mut dropped: Vec<StoredChange> = Vec::new();
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    let places: std::collections::HashMap<String, ModelIndex> =
        (0..state.places()).map(|place| (trash::name_of(schemas, place).into_owned(), place)).collect();
    let opened = storage.open(&mut |stored| {
        let Some(model) = places.get(stored.model).copied() else {
            if let Some(tell) = migrations.dropped.get(stored.model) {
                tell(stored.id, stored.doc)?;
                let (model, id) = (stored.model.to_owned(), stored.id.to_owned());
                dropped.push(StoredChange { model, id, rev: stored.rev, doc: None });
                return Ok(());
            }
            *unknown.entry(stored.model.to_owned()).or_default() += 1;
            return Ok(());
        };
        if wrong.len() >= NAMED {
            return Ok(());
        }
        let id = RawId::parse(stored.id)?;
        let can_be_rewritten = schemas.get(model).is_some_and(|schema| migrations.of(schema).is_some());
        let mut rewrite = |id: RawId| {
            unfit.push(Unfit { model, id, rev: stored.rev, text: stored.doc.to_owned() });
            Ok(())
        };
        match trash::decode(schemas, model, id.clone(), stored.rev, stored.doc) {
            Ok(doc) => {
                if let Some(collection) = state.collection_mut(model) {
                    if let Some(taken) = collection.taken(&doc) {
                        if can_be_rewritten {
                            return rewrite(id);
                        }
                        let fields = taken.fields.join("`, `");
                        wrong.push(format!("{}/{}: another document has its `{fields}`", stored.model, stored.id));
                        return Ok(());
                    }
                    collection.put(&doc);
                }
            }
            Err(_) if can_be_rewritten => return rewrite(id),
            Err(_) => {
                let what = what_does_not_fit(schemas.get(model), stored.doc);
                wrong.push(format!("{}/{}: {what}", stored.model, stored.id));
            }
        }
        Ok(())
    })?;
    unknown.retain(|id, count| {
        if trash::is_trash(id) {
            tracing::warn!(trash = %id, entries = *count, "the trash of a model that this program does not have stays as it is");
        }
        !trash::is_trash(id)
    });
    if !unknown.is_empty() {
        let models: Vec<String> = unknown.iter().map(|(id, count)| format!("`{id}` ({count} documents)")).collect();
        return Err(Error::new("SCHEMA_CHANGED").status(500).message(format!(
            "the store holds models that this program does not have: {}; is a crate with models not linked? Nothing was changed. \
             To let go of a model: `modeller migrate --drop ID`",
            models.join(", ")
        )));
    }
    refuse(&wrong)?;
    Ok(Loaded { state, head: opened.head, schemas: opened.schemas, unfit, dropped })
}

/// Why a stored document is not read, in the words of its schema. Those of serde repeat values, which may be private.
fn what_does_not_fit(schema: Option<&Arc<ModelSchema>>, text: &str) -> String {
    let refused = |schema: &Arc<ModelSchema>| schema.check(&serde_json::from_str(text).ok()?).err();
    // Where the schema takes it, the type has a rule of its own.
    let own_rule = || "its type does not read the stored form".to_owned();
    schema.and_then(refused).map_or_else(own_rule, |error| by_field(&error))
}

/// What a value violates, without a part of the value.
pub(super) fn by_field(error: &Error) -> String {
    let mut told: Vec<String> = error.violations().iter().map(of_field).collect();
    told.dedup();
    told.join(", ")
}

/// A violation by its field: further in, a path may have parts of a value.
fn of_field(violation: &Violation) -> String {
    let message = &violation.message;
    match violation.instance_path.split('/').nth(1) {
        Some(field) => format!("`{field}` {message}"),
        None => match violation.params.get("additionalProperty").and_then(Value::as_str) {
            Some(field) => format!("`{field}` is no member of it"),
            None => message.to_string(),
        },
    }
}

fn prove_all(state: &State, schemas: &[Arc<ModelSchema>], links: &Links) -> Result<()> {
    let mut wrong = Vec::new();
    for (model, schema) in schemas.iter().enumerate() {
        let Some(collection) = state.collection(model) else { continue };
        for doc in collection.all() {
            if wrong.len() >= NAMED {
                break;
            }
            if let Err(error) = schema.check(&doc.to_stored()?) {
                wrong.push(format!("{}/{}: {}", schema.id, doc.id(), by_field(&error)));
            } else if let Some(link) = dangling(state, links, model, doc) {
                wrong.push(format!("{}/{}: {}", schema.id, doc.id(), link.leads_nowhere()));
            }
        }
    }
    refuse(&wrong)
}

fn refuse(wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new("SCHEMA_CHANGED").status(500).message(format!(
        "stored documents no longer fit their models; nothing was changed. Write a `#[migrate]` function for the model, or rewrite \
         them by `modeller migrate`. The first of them: {}",
        wrong.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ")
    )))
}
