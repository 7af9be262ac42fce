//! The trash of a model: what was deleted, to be looked at, restored or purged.
//!
//! What it holds is known to the core, see [`crate::core::trash`]; here is what a program does with it, and the task that
//! purges what was there for long enough.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::access::{Right, Rights, refused};
use super::caller::Caller;
use super::handle::Model;
use super::journal::{LogFeature, LogLevel, Subject, Words};
use super::login;
use super::once;
use super::runtime::{Runtime, Scope, Step, Target};
use crate::core::clock::millis;
use crate::core::collection::{Collection, ModelIndex};
use crate::core::document::{Doc, DynDoc, Stored};
use crate::core::id::{Id, RawId};
use crate::core::log::Expect;
use crate::core::query::filter::{Filter, RawFilter};
use crate::core::query::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::core::transaction::missing;
use crate::core::trash::{Entry, RETENTION, trash_of};
use crate::error::{Error, ErrorCode, Result};

/// How many entries one transaction purges, where several may.
const BATCH: usize = 1_000;
/// How many entries of one model are purged at once because of their age, so that a start does not take long.
const AT_ONCE: usize = 10_000;

/// How often it is asked what was in the trash for long enough.
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(60 * 60);

/// What one transaction deleted, all models together.
///
/// ```
/// use modeller::Deletion;
/// let deletion: Deletion = "01890a5d-ac96-774b-bcce-b302099a8057".parse()?;
/// assert_eq!(deletion.to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
/// # Ok::<(), modeller::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deletion(RawId);

impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that cannot be an id is a `VALIDATION_ERROR`.
impl FromStr for Deletion {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        RawId::parse(text).map(Self)
    }
}

/// A document in the trash.
#[derive(Clone)]
pub struct Trashed<T> {
    entry: Arc<Entry>,
    document: Option<Doc<T>>,
}

impl<T> Trashed<T> {
    /// The id of the entry. One document can be deleted several times, and has an entry for each.
    #[must_use]
    pub fn id(&self) -> Id<Trashed<T>> {
        Id::from_raw(self.entry.id().clone())
    }

    /// The document as it was deleted; `None` when its model has changed since so that it cannot be read any more.
    #[must_use]
    pub fn document(&self) -> Option<&Doc<T>> {
        self.document.as_ref()
    }

    /// The id of the document.
    #[must_use]
    pub fn document_id(&self) -> Id<T> {
        Id::from_raw(self.entry.document_id().clone())
    }

    /// When it was deleted, to the millisecond.
    #[must_use]
    pub fn deleted_at(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.entry.deletion().at)).unwrap_or(UNIX_EPOCH)
    }

    /// The subject of the caller who deleted it, the claim `sub` of his token; `None` when it was the application, or somebody
    /// who did not say who he is.
    #[must_use]
    pub fn deleted_by(&self) -> Option<&str> {
        self.entry.deletion().by.as_deref()
    }

    /// What it was deleted with: by [`Trash::restore_commit`] all of that comes back.
    #[must_use]
    pub fn deletion(&self) -> Deletion {
        Deletion(self.entry.deletion().id.clone())
    }

    /// The document as it was stored, private fields included, also when its model cannot read it any more.
    ///
    /// # Errors
    /// None that can be met: what is stored is JSON.
    pub fn stored(&self) -> Result<Value> {
        self.entry.stored()
    }
}

/// Private fields are shown as nowhere else.
impl<T: fmt::Debug> fmt::Debug for Trashed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trashed")
            .field("id", self.entry.id())
            .field("document", &self.document)
            .field("deletion", self.entry.deletion())
            .finish()
    }
}

/// The trash of a model, from [`Model::trash`].
///
/// A deleted document goes there with when and by whom it was deleted, in the same commit, and is purged 30 days later, or
/// when the model says (`trash = "90d"`). Of a model with `trash = false` nothing goes there; what was there before stays
/// its 30 days. A document that came and went within one transaction leaves nothing.
///
/// ```
/// use modeller::prelude::*;
///
/// #[model(id = "teams", trash = "90d")]
/// pub struct Team {
///     #[field(unique)]
///     pub name: String,
/// }
///
/// #[model(id = "members")]
/// pub struct Member {
///     pub name: String,
///     #[field(references = Team::_ID, on_delete = cascade)]
///     pub team: Id<Team>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<Team>().model::<Member>().in_memory().open().await?;
/// let (teams, members) = (app.model::<Team>(), app.model::<Member>());
/// let red = teams.insert(Team { name: "red".into() }).await?;
/// members.insert(Member { name: "Ada".into(), team: red.id() }).await?;
/// teams.delete(&red).await?;
/// assert_eq!(members.count(Filter::all()).await?, 0);
///
/// let deleted = teams.trash().list(Team::NAME.eq("red")).await?;
/// assert_eq!(deleted[0].deleted_by(), None);
/// // The team, and the members that went with it.
/// teams.trash().restore_commit(&deleted[0].deletion()).await?;
/// assert_eq!(members.count(Filter::all()).await?, 1);
/// assert!(teams.trash().list(Filter::all()).await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Trash<'a, T> {
    model: &'a Model<T>,
}

impl<T> Clone for Trash<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Trash<'_, T> {}

impl<T: Stored> Model<T> {
    /// What was deleted, see [`Trash`].
    #[must_use]
    pub fn trash(&self) -> Trash<'_, T> {
        Trash { model: self }
    }

    /// Deletes a document so that nothing of it stays: not in the trash, where what it holds of earlier deletions of the document
    /// goes as well, and in no earlier version in the log or in the files of the store. Its hooks run, and what goes with it by
    /// `on_delete = cascade` is deleted in the same way. A document that is in the trash alone is taken out of there. Where an
    /// erasure was interrupted, another one finishes it, also when there is no such document any more.
    ///
    /// The engine drops its log up to here and writes its file anew, which takes as long as the store is large, and room for
    /// a second one, beside it and in the place for temporary files; other writes wait meanwhile. What a file system or a device
    /// keeps of overwritten files, and copies made before, are out of its reach. What other documents repeat of it is theirs.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// let users = app.model::<User>();
    /// let ada = users.insert(User { name: "Ada".into() }).await?;
    /// users.erase(&ada).await?;
    /// assert!(users.get(&ada).await?.is_none());
    /// assert!(users.trash().list(Filter::all()).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Model::delete`]; `NESTED_TRANSACTION` inside of a transaction; `UNAVAILABLE` when another process keeps the file from being
    /// written anew, or there is no room for that. The document is deleted then, and what was in the files may still be there.
    pub async fn erase(&self, id: impl Into<Id<T>>) -> Result<()> {
        self.scope.erase(self.index, id.into().raw()).await
    }

    fn trashed(&self, doc: &DynDoc) -> Result<Trashed<T>> {
        let entry = Entry::of(doc)?;
        let document = entry.document().map(|doc| self.typed(doc.clone())).transpose()?;
        Ok(Trashed { entry, document })
    }
}

impl<'a, T: Stored> Trash<'a, T> {
    /// The entries whose documents match, those that were deleted last first. A document that cannot be read any more
    /// matches [`Filter::all`] alone.
    pub fn list(self, filter: Filter<T>) -> TrashList<'a, T> {
        TrashList { model: self.model, filter, skip: 0, limit: DEFAULT_LIMIT }
    }

    /// The entry of that id.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn get(self, entry: &Id<Trashed<T>>) -> Result<Option<Trashed<T>>> {
        let Model { scope, index, .. } = self.model;
        scope.trash_entry(*index, entry.raw()).await?.map(|doc| self.model.trashed(&doc)).transpose()
    }

    /// Puts a document back under its old id, with a new revision, and takes its entry out of the trash. It is checked as an
    /// insert, and the hooks of an insert run.
    ///
    /// # Errors
    /// `NOT_FOUND` without such an entry; `UNIQUE_VIOLATION` when one of its unique values, or its id, is taken by now;
    /// `REFERENCE_VIOLATION` when what it refers to is gone; `VALIDATION_ERROR` when it no longer fits its model; or what a
    /// hook answers. The entry stays then.
    pub async fn restore(self, entry: &Id<Trashed<T>>) -> Result<Doc<T>> {
        let Model { scope, index, .. } = self.model;
        self.model.typed(scope.restore(*index, entry.raw()).await?)
    }

    /// Puts back what one transaction deleted, of all models, as far as it is still in the trash: all of that or nothing.
    /// What others refer to comes before them. Answers the documents of this model. A reference that was set to `null`, because
    /// what it led to was deleted, stays so.
    ///
    /// # Errors
    /// As [`Trash::restore`]; `NOT_FOUND` when nothing of this model is there that went with it.
    pub async fn restore_commit(self, deletion: &Deletion) -> Result<Vec<Doc<T>>> {
        let Model { scope, index, .. } = self.model;
        scope.restore_commit(*index, &deletion.0).await?.into_iter().map(|doc| self.model.typed(doc)).collect()
    }

    /// Takes an entry out for good.
    ///
    /// # Errors
    /// `NOT_FOUND` without such an entry.
    pub async fn purge(self, entry: &Id<Trashed<T>>) -> Result<()> {
        self.model.scope.purge(self.model.index, entry.raw()).await
    }

    /// Takes all entries out for good, and answers how many. Those that come in meanwhile may stay.
    ///
    /// From a handle of the application these are several transactions, so that it does not matter how many there are.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn purge_all(self) -> Result<usize> {
        self.model.scope.purge_until(self.model.index, u64::MAX, usize::MAX).await
    }

    /// The same with the entries of what was deleted at least so long ago.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn purge_older_than(self, age: Duration) -> Result<usize> {
        let Model { scope, index, .. } = self.model;
        scope.purge_until(*index, scope.runtime().before(age), usize::MAX).await
    }
}

/// A list of [`Trash::list`], run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a list is read by `.await`"]
pub struct TrashList<'a, T> {
    model: &'a Model<T>,
    filter: Filter<T>,
    skip: usize,
    limit: usize,
}

impl<T> TrashList<'_, T> {
    /// Without the first so many.
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// At most so many: [`DEFAULT_LIMIT`] unless given, and [`MAX_LIMIT`] at most, also for 0, which is no limit in MongoDB.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

impl<'a, T: Stored> IntoFuture for TrashList<'a, T> {
    type Output = Result<Vec<Trashed<T>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Model { scope, index, .. } = self.model;
            let most = if self.limit == 0 { MAX_LIMIT } else { self.limit };
            let listed = scope.list_trash(*index, self.filter.raw(), self.skip, most).await?;
            listed.docs.iter().map(|doc| self.model.trashed(doc)).collect()
        })
    }
}

/// What a list of the trash found.
pub(crate) struct ListedTrash {
    pub(crate) docs: Vec<DynDoc>,
    pub(crate) seq: u64,
}

fn entries<'a>(trash: &'a Collection, filter: &'a RawFilter) -> impl Iterator<Item = &'a DynDoc> {
    trash.all_reversed().filter(|doc| Entry::view(doc).is_some_and(|entry| entry.matches(filter)))
}

impl Runtime {
    /// The time that was so long ago, in milliseconds since the Unix epoch.
    fn before(&self, age: Duration) -> u64 {
        self.inner().clock.now().saturating_sub(millis(age))
    }
}

impl Scope {
    fn trash_of(&self, index: ModelIndex) -> ModelIndex {
        trash_of(index, self.runtime().models().len())
    }

    /// Looks at the entries of what the one who acts may read, by the filter of their documents that `look` is given.
    async fn look_at_trash<R: Send>(
        &self,
        index: ModelIndex,
        filter: &Arc<RawFilter>,
        look: impl Fn(&Collection, &RawFilter, u64) -> R + Sync,
    ) -> Result<R> {
        self.model(index)?;
        // Filters are about the documents, and what was read is noted by a filter of entries.
        let (trash, entries, look) = (self.trash_of(index), &Arc::new(RawFilter::all()), &look);
        if !self.is_ruled(index)? {
            return self.look_at(trash, entries, |trash, seq| look(trash, filter, seq));
        }
        let within = |step: Arc<Step>| async move {
            let filter = self.within(&[Right::Read], index, &step, filter).await?;
            self.in_step(step).look_at(trash, entries, |trash, seq| look(trash, &filter, seq))
        };
        match self.step() {
            Some(step) => within(step.clone()).await,
            None => Box::pin(self.own_step("trash", within)).await,
        }
    }

    /// The entries whose documents match, the last ones first.
    pub(crate) async fn list_trash(
        &self,
        index: ModelIndex,
        filter: &Arc<RawFilter>,
        skip: usize,
        limit: usize,
    ) -> Result<ListedTrash> {
        let list = |trash: &Collection, filter: &RawFilter, seq| {
            let docs = entries(trash, filter).skip(skip).take(limit.min(MAX_LIMIT)).cloned().collect();
            ListedTrash { docs, seq }
        };
        self.look_at_trash(index, filter, list).await
    }

    /// How many entries there are whose documents match.
    pub(crate) async fn count_trash(&self, index: ModelIndex, filter: &Arc<RawFilter>) -> Result<usize> {
        self.look_at_trash(index, filter, |trash, filter, _| entries(trash, filter).count()).await
    }

    /// The entry of that id.
    pub(crate) async fn trash_entry(&self, index: ModelIndex, entry: &RawId) -> Result<Option<DynDoc>> {
        if !self.is_ruled(index)? {
            self.model(index)?;
            return self.get_at(self.trash_of(index), &Target::Id(entry.clone()));
        }
        let all = Arc::new(RawFilter::all());
        let look = |trash: &Collection, filter: &RawFilter, _| {
            trash.get(entry).filter(|doc| Entry::view(doc).is_some_and(|kept| kept.matches(filter))).cloned()
        };
        self.look_at_trash(index, &all, look).await
    }

    /// The entry of that id, whose document the one who acts may read and, where it is asked, has this right for.
    fn entry_within(
        &self,
        step: &Step,
        index: ModelIndex,
        entry: &RawId,
        rights: Option<&Rights>,
        right: Option<Right>,
    ) -> Result<DynDoc> {
        let found = step.transaction().get(self.trash_of(index), entry)?;
        let Some(rights) = rights else { return found.ok_or_else(|| missing(entry)) };
        let all = Arc::new(RawFilter::all());
        let within = |rights_of: &[Right], doc: &DynDoc| {
            Entry::view(doc).is_some_and(|kept| kept.matches(&rights.joined(rights_of, &all)))
        };
        let doc = found.filter(|doc| within(&[Right::Read], doc)).ok_or_else(|| missing(entry))?;
        match right {
            Some(right) if !within(&[right], &doc) => Err(refused(self.caller())),
            _ => Ok(doc),
        }
    }

    pub(crate) async fn restore(&self, index: ModelIndex, entry: &RawId) -> Result<DynDoc> {
        let model = self.model(index)?;
        self.operate(
            || model.named("restore"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                let entry = self.entry_within(&step, index, entry, rights.as_ref(), None)?;
                let id = self.put_back(&step, index, &entry).await?;
                step.transaction.check_restored(index, &id)?;
                self.restored(&step, index, &id)
            },
        )
        .await
    }

    /// Restores all that one transaction deleted and that is still in the trash, and answers what is of this model.
    pub(crate) async fn restore_commit(&self, index: ModelIndex, deletion: &RawId) -> Result<Vec<DynDoc>> {
        let model = self.model(index)?;
        self.operate(
            || model.named("restore_commit"),
            |step| async move {
                let mut deleted: Vec<(ModelIndex, DynDoc)> = Vec::new();
                for place in 0..self.runtime().models().len() {
                    let entries = step.transaction.of_deletion(self.trash_of(place), deletion)?;
                    if !entries.is_empty() {
                        // Whoever brings back a part of what went together has to reach all of it.
                        self.model(place)?;
                        let rights = self.rights(place, &step).await?;
                        for entry in &entries {
                            self.entry_within(&step, place, entry.id(), rights.as_ref(), None)?;
                        }
                    }
                    deleted.extend(entries.into_iter().map(|entry| (place, entry)));
                }
                if !deleted.iter().any(|(place, _)| *place == index) {
                    return Err(missing(deletion));
                }
                // What refers to a document was deleted before it.
                deleted.sort_unstable_by(|(_, a), (_, b)| b.id().cmp(a.id()));
                let mut back = Vec::with_capacity(deleted.len());
                for (place, entry) in &deleted {
                    back.push((*place, self.put_back(&step, *place, entry).await?));
                }
                for (place, id) in &back {
                    step.transaction.check_restored(*place, id)?;
                }
                let own = back.iter().filter(|(place, _)| *place == index);
                own.map(|(place, id)| self.restored(&step, *place, id)).collect()
            },
        )
        .await
    }

    /// Puts the document of an entry back, and takes the entry out. Whether it refers to what is there is not asked.
    async fn put_back(&self, step: &Arc<Step>, index: ModelIndex, entry: &DynDoc) -> Result<RawId> {
        let schema = &self.runtime().model(index)?.schema;
        let kept = Entry::of(entry)?;
        let value = kept.value(schema)?;
        // Before the hooks run, so that one that deletes the document leaves an entry that stays.
        step.transaction.take_out(self.trash_of(index), entry.id(), true)?;
        let id = kept.document_id().clone();
        self.in_step(step.clone()).insert_with_hooks(index, &id, &*value, false, Expect::Restored).await?;
        Ok(id)
    }

    /// A document that was restored, as the hooks left it.
    fn restored(&self, step: &Arc<Step>, index: ModelIndex, id: &RawId) -> Result<DynDoc> {
        step.transaction
            .get(index, id)?
            .ok_or_else(|| Error::new(ErrorCode::Conflict).message("a hook deleted the document while it was restored"))
    }

    /// Deletes a document with all that goes with it, takes what the trash holds of it out, and has the engine forget what it
    /// was.
    pub(crate) async fn erase(&self, index: ModelIndex, id: &RawId) -> Result<()> {
        let model = self.model(index)?;
        if self.is_in_transaction() {
            return Err(Error::new(ErrorCode::NestedTransaction)
                .message("an erasure is no part of a transaction; say `.detached()`, or do it outside"));
        }
        let trash = self.trash_of(index);
        self.operate(
            || model.named("erase"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                if step.transaction.get(index, id)?.is_some() {
                    let target = Target::Id(id.clone());
                    let current = self.resolve(&step, index, &target, rights.as_ref(), Right::Delete)?;
                    Box::pin(self.remove(index, &step, current, false)).await?;
                }
                for entry in step.transaction.of_document(trash, id)? {
                    self.entry_within(&step, index, entry.id(), rights.as_ref(), Some(Right::Delete))?;
                    step.transaction.take_out(trash, entry.id(), false)?;
                }
                Ok(())
            },
        )
        .await?;
        self.runtime().log().forget().await
    }

    pub(crate) async fn purge(&self, index: ModelIndex, entry: &RawId) -> Result<()> {
        let model = self.model(index)?;
        let trash = self.trash_of(index);
        self.operate(
            || model.named("purge"),
            |step| async move {
                let rights = self.rights(index, &step).await?;
                let entry = self.entry_within(&step, index, entry, rights.as_ref(), Some(Right::Delete))?;
                step.transaction.take_out(trash, entry.id(), false)
            },
        )
        .await
    }

    /// Purges so many at most of what was deleted until then, the oldest first, and answers how many entries that were.
    pub(crate) async fn purge_until(&self, index: ModelIndex, until: u64, most: usize) -> Result<usize> {
        let model = self.model(index)?;
        let trash = self.trash_of(index);
        let ruled = self.is_ruled(index)?;
        let old = |trash: &Collection, filter: &RawFilter, _| {
            // The ids of entries rise with time.
            let is_old = |doc: &&DynDoc| Entry::view(doc).is_some_and(|entry| entry.deletion().at <= until);
            let is_meant = |doc: &&DynDoc| !ruled || Entry::view(doc).is_some_and(|entry| entry.matches(filter));
            trash.all().take_while(is_old).filter(is_meant).take(most).map(|doc| doc.id().clone()).collect()
        };
        let old: Vec<RawId> = self.look_at_trash(index, &Arc::new(RawFilter::all()), old).await?;
        let mut purged = 0;
        for batch in old.chunks(BATCH) {
            purged += self
                .operate(
                    || model.named("purge"),
                    |step| async move {
                        let rights = self.rights(index, &step).await?;
                        let mut purged = 0;
                        for entry in batch {
                            // Another one may have been first.
                            match self.entry_within(&step, index, entry, rights.as_ref(), Some(Right::Delete)) {
                                Ok(_) => {
                                    step.transaction.take_out(trash, entry, false)?;
                                    purged += 1;
                                }
                                Err(error) if error.http_status() < 500 => {}
                                Err(error) => return Err(error),
                            }
                        }
                        Ok(purged)
                    },
                )
                .await?;
        }
        Ok(purged)
    }
}

/// Held by an application as long as it lives.
pub(crate) struct Alive(#[expect(dead_code, reason = "that it is dropped is what counts")] oneshot::Sender<()>);

/// What an application holds, and what ends with it.
pub(crate) fn alive() -> (Alive, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    (Alive(sender), receiver)
}

/// Purges what was in the trash for long enough, and from now on does so again and again, until the application ends.
pub(crate) async fn keep_short(runtime: &Runtime, mut ended: oneshot::Receiver<()>) {
    let mut next = clear(runtime).await;
    let (inner, clock) = (Arc::downgrade(runtime.inner()), runtime.inner().clock.clone());
    tokio::spawn(async move {
        while let Some(at) = next {
            tokio::select! {
                () = clock.sleep_until(at) => {}
                _ = &mut ended => return,
            }
            // Only as long as it works does it hold what would otherwise be closed.
            let Some(inner) = inner.upgrade() else { return };
            next = clear(&Runtime::from_inner(inner)).await;
        }
    });
}

/// Purges what was kept for long enough, in the trash and of the answers to calls, and says at what time to do so again: where
/// there are models.
async fn clear(runtime: &Runtime) -> Option<u64> {
    let now = runtime.inner().clock.now();
    let scope = runtime.scope(Caller::application());
    let mut pause: Option<Duration> = None;
    for (index, model) in runtime.models().iter().enumerate() {
        let kept = model.schema.trash.unwrap_or(RETENTION);
        // Within a tenth of the time that it is kept it is gone.
        let next = match scope.purge_until(index, runtime.before(kept), AT_ONCE).await {
            Ok(AT_ONCE) => OFTEN,
            Ok(_) => (kept / 10).clamp(OFTEN, SELDOM),
            Err(error) => {
                runtime.journal().note(&Subject::new(index, LogFeature::Trash), LogLevel::Warn, || {
                    Words::new(format!("the trash could not be cleared: {}", error.for_log_with_causes()))
                });
                SELDOM
            }
        };
        pause = Some(pause.map_or(next, |pause| pause.min(next)));
    }
    match once::clear(runtime, AT_ONCE).await {
        Ok(AT_ONCE) => pause = Some(OFTEN),
        Ok(_) => {}
        Err(error) => {
            let subject = Subject::new(runtime.inner().calls.model, LogFeature::Method);
            runtime.journal().note(&subject, LogLevel::Warn, || {
                Words::new(format!("the answers to calls could not be cleared: {}", error.for_log_with_causes()))
            });
        }
    }
    match login::clear(runtime, AT_ONCE).await {
        Ok(AT_ONCE) => pause = Some(OFTEN),
        Ok(_) => pause = pause.or(Some(SELDOM)),
        Err(error) => {
            let subject = Subject::new(runtime.inner().logins.model, LogFeature::Method);
            runtime.journal().note(&subject, LogLevel::Warn, || {
                Words::new(format!("logins that have ended could not be cleared: {}", error.for_log_with_causes()))
            });
        }
    }
    pause.map(|pause| now.saturating_add(millis(pause)))
}
