//! Adapters: a model mirrored into a store that is not ours, and filled from it.
//!
//! A mirror follows the log. It takes each change once it is durable, in the order of the commits, and never holds one back: up to
//! 4,096 changes wait for it as they were, and beyond that the ids of what changed, each of which is mirrored as it is by then.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::handler::BoxFuture;
use super::journal::{Journal, LogFeature, LogLevel, Subject, Words};
use super::runtime::{Inner, Runtime, Scope, caught};
use crate::core::collection::{ModelIndex, State};
use crate::core::document::{AnyValue, Doc, DynDoc, Stored};
use crate::core::id::{Id, RawId};
use crate::core::log::{Commit, Expect, Follower, Heads};
use crate::error::{Error, ErrorCode, Result};

/// How many changes wait as they were.
const BACKLOG: usize = 4_096;
/// The pause after the first failure, which doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How many documents one transaction of a pull writes.
const BATCH: usize = 1_000;

/// A store that a model is mirrored into, and filled from.
///
/// The durable store of the application is the truth, also for a model with an adapter; the adapter is for whoever wants the same
/// documents elsewhere. It is in process: it is given private fields as they are.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use modeller::prelude::*;
/// use modeller::Adapter;
///
/// #[model(id = "users")]
/// pub struct User { pub name: String }
///
/// /// A map in the place of a foreign store.
/// #[derive(Clone, Default)]
/// struct Elsewhere(Arc<Mutex<BTreeMap<String, User>>>);
///
/// impl Adapter<User> for Elsewhere {
///     async fn sync(&self, id: &Id<User>, doc: Option<&Doc<User>>) -> Result<()> {
///         let mut kept = self.0.lock().map_err(|_| Error::new("ELSEWHERE_BROKEN"))?;
///         match doc {
///             Some(doc) => kept.insert(id.to_string(), doc.value()),
///             None => kept.remove(&id.to_string()),
///         };
///         Ok(())
///     }
///
///     async fn pull(&self) -> Result<Vec<(Id<User>, User)>> {
///         let kept = self.0.lock().map_err(|_| Error::new("ELSEWHERE_BROKEN"))?;
///         kept.iter().map(|(id, user)| Ok((id.parse()?, user.clone()))).collect()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let elsewhere = Elsewhere::default();
/// let app = App::new().model::<User>().adapter(elsewhere.clone()).in_memory().open().await?;
/// let ada = app.model::<User>().insert(User { name: "Ada".into() }).await?;
/// app.synced().await;
/// assert_eq!(elsewhere.0.lock().unwrap()[&ada.id().to_string()].name, "Ada");
///
/// let app = App::new().model::<User>().adapter(elsewhere).in_memory().open().await?;
/// assert_eq!(app.model::<User>().pull().await?.inserted, 1);
/// # Ok(())
/// # }
/// ```
pub trait Adapter<T: Stored>: Send + Sync + 'static {
    /// Mirrors one document: as it is now, or `None` when it was deleted. Called for one change after the other, in the order of their
    /// commits, once each is durable. When it fails it is called again for the same change, later and later, and what follows waits.
    ///
    /// # Errors
    /// Whatever went wrong; it is logged.
    fn sync(&self, id: &Id<T>, doc: Option<&Doc<T>>) -> impl Future<Output = Result<()>> + Send;

    /// All documents of the foreign store.
    ///
    /// # Errors
    /// Whatever went wrong; it is what [`Model::pull`](crate::Model::pull) answers.
    fn pull(&self) -> impl Future<Output = Result<Vec<(Id<T>, T)>>> + Send;
}

/// What an adapter has, by ids.
type All = Vec<(RawId, Box<dyn AnyValue>)>;

/// An adapter without the type of its model.
pub(crate) trait AnyAdapter: Send + Sync {
    fn sync<'a>(&'a self, id: &'a RawId, doc: Option<&'a DynDoc>) -> BoxFuture<'a, Result<()>>;
    fn pull(&self) -> BoxFuture<'_, Result<All>>;
}

struct Erased<T, A>(A, std::marker::PhantomData<fn() -> T>);

/// The adapter without its type.
pub(crate) fn erased<T: Stored, A: Adapter<T>>(adapter: A) -> Arc<dyn AnyAdapter> {
    Arc::new(Erased(adapter, std::marker::PhantomData))
}

impl<T: Stored, A: Adapter<T>> AnyAdapter for Erased<T, A> {
    fn sync<'a>(&'a self, id: &'a RawId, doc: Option<&'a DynDoc>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let typed = match doc {
                None => None,
                Some(doc) => {
                    Some(Doc::from_dyn(doc.clone()).ok_or_else(|| Error::internal("an adapter of another type"))?)
                }
            };
            self.0.sync(&Id::from_raw(id.clone()), typed.as_ref()).await
        })
    }

    fn pull(&self) -> BoxFuture<'_, Result<All>> {
        Box::pin(async move {
            let pulled = self.0.pull().await?;
            Ok(pulled.into_iter().map(|(id, value)| (id.into_raw(), Box::new(value) as _)).collect())
        })
    }
}

/// What a pull did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Documents that were not there.
    pub inserted: usize,
    /// Documents that were there with another value.
    pub replaced: usize,
    /// Documents that were there as they are, or that are newer here.
    pub unchanged: usize,
}

/// The adapter of a model, and what waits for it.
pub(crate) struct Mirror {
    model: ModelIndex,
    adapter: Arc<dyn AnyAdapter>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Whether nothing waits.
    idle: watch::Sender<bool>,
    /// Pulls come one after the other.
    turn: tokio::sync::Mutex<()>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<(RawId, Option<DynDoc>)>,
    /// Those that are behind the changes, to be mirrored as they are by then.
    ids: BTreeSet<RawId>,
    /// What the adapter is asked to mirror at this moment.
    under_way: Option<RawId>,
    /// While a pull is under way, what it knows.
    pull: Option<Pull>,
}

/// A pull that is under way.
#[derive(Default)]
struct Pull {
    /// What was not mirrored when it began, or has changed since: what is there is older.
    newer: BTreeSet<RawId>,
    /// What it is about to write, which came from there.
    writes: BTreeSet<RawId>,
    /// Changes of those, with the revisions they left. Which of them are its own is known when it has written.
    held: Vec<(RawId, Option<u64>)>,
}

/// All mirrors of an application.
#[derive(Default)]
pub(crate) struct Mirrors(HashMap<ModelIndex, Arc<Mirror>>);

impl Mirrors {
    pub(crate) fn new(adapters: HashMap<ModelIndex, Arc<dyn AnyAdapter>>) -> Self {
        let mirror = |(model, adapter)| {
            let mirror = Mirror {
                model,
                adapter,
                waiting: Mutex::default(),
                wake: Notify::new(),
                idle: watch::Sender::new(true),
                turn: tokio::sync::Mutex::default(),
                ended: AtomicBool::new(false),
            };
            (model, Arc::new(mirror))
        };
        Self(adapters.into_iter().map(mirror).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says of each that it is there.
    pub(crate) fn register(&self, journal: &Journal) {
        self.0.keys().for_each(|model| journal.registered(&Subject::new(*model, LogFeature::Adapter)));
    }

    /// Begins to mirror.
    pub(crate) fn start(&self, runtime: &Runtime) {
        for mirror in self.0.values() {
            tokio::spawn(follow(Arc::downgrade(runtime.inner()), mirror.clone(), runtime.journal().clone()));
        }
    }

    /// Waits until everything is mirrored that was durable.
    pub(crate) async fn idle(&self) {
        for mirror in self.0.values() {
            let _ = mirror.idle.subscribe().wait_for(|idle| *idle).await;
        }
    }

    /// The models that have one.
    pub(crate) fn models(&self) -> BTreeSet<ModelIndex> {
        self.0.keys().copied().collect()
    }

    fn of(&self, model: ModelIndex) -> Option<&Arc<Mirror>> {
        self.0.get(&model)
    }
}

impl Drop for Mirrors {
    /// What waits is still mirrored, as long as the program runs.
    fn drop(&mut self) {
        for mirror in self.0.values() {
            mirror.ended.store(true, Ordering::Release);
            mirror.wake.notify_one();
        }
    }
}

/// Hands each change to the mirror of its model.
pub(crate) struct Mirroring(pub(crate) HashMap<ModelIndex, Weak<Mirror>>);

impl Mirroring {
    pub(crate) fn of(mirrors: &Mirrors) -> Self {
        Self(mirrors.0.iter().map(|(model, mirror)| (*model, Arc::downgrade(mirror))).collect())
    }
}

impl Follower for Mirroring {
    fn committed(&self, commits: &[Arc<Commit>], _: &dyn Heads) {
        for change in commits.iter().flat_map(|commit| &commit.changes) {
            if let Some(mirror) = self.0.get(&change.model).and_then(Weak::upgrade) {
                mirror.note(&change.id, change.after.as_ref());
            }
        }
    }
}

impl Mirror {
    fn note(&self, id: &RawId, after: Option<&DynDoc>) {
        let mut waiting = self.waiting.lock();
        self.idle.send_replace(false);
        if let Some(pull) = &mut waiting.pull {
            if pull.writes.contains(id) {
                pull.held.push((id.clone(), after.map(|doc| doc.rev())));
                return;
            }
            pull.newer.insert(id.clone());
        }
        if waiting.ids.is_empty() && waiting.changes.len() < BACKLOG {
            waiting.changes.push_back((id.clone(), after.cloned()));
        } else {
            // Behind what waits as it was, so that nothing older overtakes it.
            waiting.ids.insert(id.clone());
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// What is next. A change as it was, or the id of a document.
    fn next(&self) -> Option<(RawId, Option<Option<DynDoc>>)> {
        let mut waiting = self.waiting.lock();
        let change = waiting.changes.pop_front().map(|(id, after)| (id, Some(after)));
        let next = change.or_else(|| waiting.ids.pop_first().map(|id| (id, None)));
        waiting.under_way = next.as_ref().map(|(id, _)| id.clone());
        let holds = waiting.pull.as_ref().is_some_and(|pull| !pull.held.is_empty());
        if next.is_none() && !holds {
            self.idle.send_replace(true);
        }
        next
    }

    /// Has these mirrored as they are when it is their turn.
    fn later(&self, ids: impl IntoIterator<Item = RawId>) {
        let mut waiting = self.waiting.lock();
        waiting.ids.extend(ids);
        self.idle.send_replace(false);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Begins a pull, which ends when what this answers is dropped.
    fn begin_pull(&self) -> PullUnderWay<'_> {
        let mut waiting = self.waiting.lock();
        let changes = waiting.changes.iter().map(|(id, _)| id);
        let newer = changes.chain(&waiting.ids).chain(&waiting.under_way).cloned().collect();
        waiting.pull = Some(Pull { newer, ..Pull::default() });
        PullUnderWay(self)
    }
}

/// A pull that has begun and not ended.
struct PullUnderWay<'a>(&'a Mirror);

impl PullUnderWay<'_> {
    /// Takes the changes of these for its own until it has written.
    fn writes(&self, ids: impl Iterator<Item = RawId>) {
        if let Some(pull) = &mut self.0.waiting.lock().pull {
            pull.writes = ids.collect();
        }
    }

    /// Whether what is there is older than what is here.
    fn is_older(&self, id: &RawId) -> bool {
        self.0.waiting.lock().pull.as_ref().is_none_or(|pull| pull.newer.contains(id))
    }

    /// It has written these revisions; all else that has changed is mirrored.
    fn wrote(&self, revs: &HashMap<RawId, u64>) {
        let mut waiting = self.0.waiting.lock();
        let Some(pull) = &mut waiting.pull else { return };
        pull.writes.clear();
        let by_others =
            |(id, rev): (RawId, Option<u64>)| (rev.is_none() || revs.get(&id).copied() != rev).then_some(id);
        let others: Vec<RawId> = pull.held.drain(..).filter_map(by_others).collect();
        pull.newer.extend(others.iter().cloned());
        drop(waiting);
        self.0.later(others);
    }
}

impl Drop for PullUnderWay<'_> {
    fn drop(&mut self) {
        // Also when it failed, or nobody waits for it any more.
        self.wrote(&HashMap::new());
        self.0.waiting.lock().pull = None;
    }
}

async fn follow(runtime: Weak<Inner>, mirror: Arc<Mirror>, journal: Arc<Journal>) {
    let subject = Subject::new(mirror.model, LogFeature::Adapter);
    loop {
        let Some((id, change)) = mirror.next() else {
            if mirror.ended.load(Ordering::Acquire) {
                return;
            }
            mirror.wake.notified().await;
            continue;
        };
        let mut pause = PAUSE;
        loop {
            let doc = match &change {
                Some(after) => after.clone(),
                None => match runtime.upgrade() {
                    Some(inner) => inner.log.durable().get(mirror.model, &id).cloned(),
                    // Nobody knows any more what it is.
                    None => return,
                },
            };
            let began = journal.begin(&subject);
            let synced = caught(mirror.adapter.sync(&id, doc.as_ref())).await;
            let data = || json!({"id": id.to_string()});
            let Err(error) = synced else {
                journal.ran(&subject, || format!("sync of `{id}`"), began, data, Ok(()));
                break;
            };
            journal.failed(&subject, &format!("sync of `{id}` failed, and is tried again"), data, &error);
            if mirror.ended.load(Ordering::Acquire) && pause >= LONGEST_PAUSE {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Fills a model from its adapter. No hooks run: what is pulled is no news. What has changed here and was not mirrored yet when the
/// adapter was asked is newer than what it has, and stays.
pub(crate) async fn pull(scope: &Scope, index: ModelIndex) -> Result<Pulled> {
    let runtime = scope.runtime();
    let mirror = mirror_of(runtime, index)?;
    if scope.is_in_transaction() {
        return Err(Error::new(ErrorCode::NestedTransaction).message(
            "a pull takes as long as the foreign store does; do it outside of the transaction, by `detached()`",
        ));
    }
    let _turn = mirror.turn.lock().await;
    let under_way = mirror.begin_pull();
    let began = runtime.durable();
    // Whatever is in that state was told to the mirror when this is answered.
    scope.own_step("pull", |_| async { Ok(()) }).await?;
    let mut pulled = Pulled::default();
    let mut all = mirror.adapter.pull().await?.into_iter();
    loop {
        let batch: Vec<(RawId, Box<dyn AnyValue>)> = all.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            runtime.journal().note(&Subject::new(index, LogFeature::Adapter), LogLevel::Debug, || {
                let Pulled { inserted, replaced, unchanged } = pulled;
                Words::new(format!("pulled: {inserted} inserted, {replaced} replaced, {unchanged} unchanged"))
            });
            return Ok(pulled);
        }
        // What comes from there is not sent back.
        under_way.writes(batch.iter().map(|(id, _)| id.clone()));
        let written = write(scope, index, &batch, &began, &under_way).await?;
        let count = |wanted: Wrote| written.iter().filter(|(_, what)| *what == wanted).count();
        pulled.inserted += count(Wrote::Inserted);
        pulled.replaced += count(Wrote::Replaced);
        pulled.unchanged += count(Wrote::Nothing);
        let revs = batch.iter().zip(&written).filter_map(|((id, _), (rev, _))| Some((id.clone(), (*rev)?)));
        under_way.wrote(&revs.collect());
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Wrote {
    Inserted,
    Replaced,
    Nothing,
}

/// Writes a batch, and says what became of each, with the revision that was written.
async fn write(
    scope: &Scope,
    index: ModelIndex,
    batch: &[(RawId, Box<dyn AnyValue>)],
    began: &State,
    under_way: &PullUnderWay<'_>,
) -> Result<Vec<(Option<u64>, Wrote)>> {
    scope
        .own_step("pull", |step| async move {
            let transaction = step.transaction();
            let mut written = Vec::with_capacity(batch.len());
            for (id, value) in batch {
                let told = |error: Error| error.detail("document", id.to_string());
                let current = transaction.get(index, id)?;
                let was = began.get(index, id).map(|doc| doc.rev());
                if current.as_ref().map(|doc| doc.rev()) != was || under_way.is_older(id) {
                    written.push((None, Wrote::Nothing));
                    continue;
                }
                let (what, expect) = match &current {
                    None => (Wrote::Inserted, Expect::Absent),
                    Some(doc) if doc.to_stored()? == value.to_stored()? => {
                        written.push((None, Wrote::Nothing));
                        continue;
                    }
                    Some(_) => (Wrote::Replaced, Expect::Present { if_rev: None }),
                };
                let rev = transaction.put(index, id, value.copy(), expect, false).map_err(told)?.rev();
                written.push((Some(rev), what));
            }
            Ok(written)
        })
        .await
}

fn mirror_of(runtime: &Runtime, index: ModelIndex) -> Result<&Arc<Mirror>> {
    let id = &runtime.model(index)?.schema.id;
    runtime
        .inner()
        .mirrors
        .of(index)
        .ok_or_else(|| Error::new("NO_ADAPTER").status(500).message(format!("the model `{id}` has no adapter")))
}

/// Marks all documents of a model to be mirrored as they are when it is their turn.
pub(super) fn sync_all(runtime: &Runtime, index: ModelIndex) -> Result<()> {
    let mirror = mirror_of(runtime, index)?;
    let state = runtime.durable();
    mirror.later(state.collection(index).into_iter().flat_map(|all| all.all()).map(|doc| doc.id().clone()));
    Ok(())
}
