//! The typed handle of a model: `users.insert(…)`, `users.find(…)`.

use std::any::Any;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::adapter::{self, Pulled};
use super::emitter::Emissions;
use super::handler::{self, HookEvent, With};
use super::hook::{HookCall, HookFuture};
use super::job::Scheduling;
use super::journal::{CallSite, LogEntries, LogFeature, LogLevel};
use super::live::local::LiveQuery;
use super::once::CallKey;
use super::runtime::{AsForm, Change, Hook, OperationKind, Runtime, Scope, Target};
use super::schedule::Schedule;
use super::subscription::{Listener, Subscription, event_key};
use super::upload::{Chunk, File};
use super::worker::Worker;
use crate::core::collection::ModelIndex;
use crate::core::document::{AnyValue, Doc, DynDoc, Stored};
use crate::core::id::Id;
use crate::core::json::Document;
use crate::core::log::Publish;
use crate::core::private::Audience;
use crate::core::query::filter::Filter;
use crate::core::query::project::{PartOf, Projection, RawProjection};
use crate::core::query::sort::Sort;
use crate::core::query::update::Update;
use crate::core::query::{Page, Query};
use crate::core::schema::{Extends, ModelType, extensions};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::explanation::Explanation;

/// The documents and the behaviour of one model.
///
/// As a handler's argument it belongs to the handler's transaction: it reads what that has written, and after its end it
/// answers `TRANSACTION_CLOSED`. From [`App::model`](crate::App::model) each operation is a transaction of its own, and is
/// answered when it is durable.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { #[field(unique)] pub email: String, pub age: u8 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let users = app.model::<User>();
/// let ada = users.insert(User { email: "ada@example.com".into(), age: 36 }).await?;
/// let older = users.update(ada.id(), User::AGE.inc(1)).await?;
/// assert_eq!((older.age, older.rev() > ada.rev()), (37, true));
/// let oldest = users.find(User::AGE.gt(36)).sort(User::AGE.desc()).limit(10).await?;
/// assert_eq!(oldest[0].email, "ada@example.com");
/// # Ok(())
/// # }
/// ```
pub struct Model<T> {
    pub(crate) scope: Scope,
    pub(crate) index: ModelIndex,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Model<T> {
    fn clone(&self) -> Self {
        Self { scope: self.scope.clone(), index: self.index, of: PhantomData }
    }
}

impl<T> std::fmt::Debug for Model<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Model").field(&std::any::type_name::<T>()).finish()
    }
}

/// A handle that acts as the application in a handler that callers reach: `System<Model<T>>`.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users", public)]
/// # pub struct User { pub name: String }
/// #[model(id = "audit")]
/// pub struct Audit { pub what: String }
///
/// #[method(User)]
/// async fn note(audit: System<Model<Audit>>) -> Result<()> {
///     audit.insert(Audit { what: "noted".into() }).await?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct System<H>(pub H);

impl<H> std::ops::Deref for System<H> {
    type Target = H;
    fn deref(&self) -> &H {
        &self.0
    }
}

/// Which document: by its id, or the first that matches a filter.
#[derive(Debug)]
pub struct Selector<T>(Target, PhantomData<fn() -> T>);

impl<T> From<Id<T>> for Selector<T> {
    fn from(id: Id<T>) -> Self {
        Self(Target::Id(id.raw().clone()), PhantomData)
    }
}

impl<T> From<&Id<T>> for Selector<T> {
    fn from(id: &Id<T>) -> Self {
        Self(Target::Id(id.raw().clone()), PhantomData)
    }
}

impl<T> From<&Doc<T>> for Selector<T> {
    fn from(doc: &Doc<T>) -> Self {
        doc.id().into()
    }
}

impl<T> From<Filter<T>> for Selector<T> {
    fn from(filter: Filter<T>) -> Self {
        Self(Target::First(filter.raw().clone()), PhantomData)
    }
}

type Operation<'a, R> = Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>;

impl<T: ModelType> Model<T> {
    pub(crate) fn of_scope(scope: &Scope) -> Result<Self> {
        Self::find_id(scope, T::DECLARATION.id)
    }
}

impl Model<Document> {
    /// The model of that id, with its documents as JSON.
    pub(crate) fn by_id(scope: &Scope, id: &str) -> Result<Self> {
        Self::find_id(scope, id)
    }
}

impl<T: Stored> Model<T> {
    fn find_id(scope: &Scope, id: &str) -> Result<Self> {
        let index = scope.runtime().find_model(id).ok_or_else(|| Error::not_found(ErrorCode::ModelNotFound, id))?;
        Ok(Self { scope: scope.clone(), index, of: PhantomData })
    }

    /// The document as one of this handle.
    pub(crate) fn typed(&self, doc: DynDoc) -> Result<Doc<T>> {
        let wrong = || Error::internal("a document of another type");
        if Doc::<T>::is_of(&doc) {
            return Doc::from_dyn(doc).ok_or_else(wrong);
        }
        // A handle of documents as JSON, of a model that has a type.
        let json = self.runtime().model(self.index)?.schema.dynamic(&doc)?;
        let json: DynDoc = (Box::new(json) as Box<dyn AnyValue>).into_doc(doc.id().clone(), doc.rev());
        Doc::from_dyn(json).ok_or_else(wrong)
    }

    /// The same handle of the application, which may also be used inside of one of its transactions. What it does there is
    /// a transaction of its own: it does not see what the surrounding one has written, and stays when that is undone.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { scope: self.scope.detached(), index: self.index, of: PhantomData }
    }

    /// The JSON Schema (draft 2020-12) that input has to fit.
    #[must_use]
    pub fn schema(&self) -> Value {
        self.runtime().models().get(self.index).map(|model| model.schema.json.clone()).unwrap_or_default()
    }

    fn runtime(&self) -> &Runtime {
        self.scope.runtime()
    }

    /// Stores a new document under a new id.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `UNIQUE_VIOLATION`, or what a hook answers.
    pub async fn insert(&self, value: T) -> Result<Doc<T>> {
        self.typed(self.scope.insert(self.index, None, Box::new(value), false).await?)
    }

    /// Stores a new document under an id of the program's choice.
    ///
    /// # Errors
    /// As [`Model::insert`]; `UNIQUE_VIOLATION` on `_id` when there is a document with that id.
    pub async fn insert_with_id(&self, id: Id<T>, value: T) -> Result<Doc<T>> {
        self.typed(self.scope.insert(self.index, Some(id.raw().clone()), Box::new(value), false).await?)
    }

    /// Stores a new document, given as JSON text, under a new id. What fits is never more than read, checked and kept, so
    /// this costs less than reading the text first.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { #[field(min_length = 1)] pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// # let users = app.model::<User>();
    /// let ada = users.insert_json(r#"{"name":"Ada"}"#).await?;
    /// assert_eq!(ada.name, "Ada");
    /// let refused = users.insert_json(r#"{"name":""}"#).await.unwrap_err();
    /// assert_eq!(refused.violations()[0].keyword, "minLength");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Model::insert`]; `INVALID_REQUEST` for a text that is not JSON, `PAYLOAD_TOO_LARGE` for JSON that is nested deeper
    /// than 127.
    pub async fn insert_json(&self, text: &str) -> Result<Doc<T>> {
        let value = self.runtime().model(self.index)?.schema.value_from_text(text)?;
        self.typed(self.scope.insert(self.index, None, value, true).await?)
    }

    /// Stores new documents under new ids: all of them or none, in one transaction. The hooks run for each.
    ///
    /// # Errors
    /// As [`Model::insert`], with the place of the value in the list in front of `instancePath` and as the detail `index`;
    /// `TRANSACTION_TOO_LARGE` for more than one transaction can hold.
    pub async fn insert_many(&self, values: Vec<T>) -> Result<Vec<Doc<T>>> {
        let values = values.into_iter().map(|value| (None, Box::new(value) as _)).collect();
        self.scope.insert_many(self.index, values, false).await?.into_iter().map(|doc| self.typed(doc)).collect()
    }

    /// The document with the id, or the first that matches, in the order of their ids. Fires no hooks.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn get(&self, which: impl Into<Selector<T>>) -> Result<Option<Doc<T>>> {
        let target = which.into().0;
        self.scope.get(self.index, &target).await?.map(|doc| self.typed(doc)).transpose()
    }

    /// The documents that match, all of them unless limited. Fires no hooks.
    pub fn find(&self, filter: Filter<T>) -> Find<'_, T> {
        Find { model: self, query: Query::of(filter) }
    }

    /// A page of the documents of a query. Fires the hooks of `list`.
    ///
    /// # Errors
    /// What a hook answers.
    pub fn list(&self, query: impl Into<Query<T>>) -> Listing<'_, T> {
        Listing { model: self, query: query.into() }
    }

    /// How many documents match. Fires no hooks.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn count(&self, filter: Filter<T>) -> Result<usize> {
        self.scope.count(self.index, filter.raw()).await
    }

    /// Changes one document. `.if_rev(…)` makes it conditional.
    pub fn update(&self, which: impl Into<Selector<T>>, update: Update<T>) -> Changing<'_, T> {
        Changing { model: self, target: which.into().0, what: What::Update(update), if_rev: None }
    }

    /// Changes all documents that match, or none, in one transaction, and answers how many. The hooks run for each.
    ///
    /// # Errors
    /// As [`Model::update`], but for `NOT_FOUND`; `TRANSACTION_TOO_LARGE` for more than one transaction can hold.
    pub async fn update_many(&self, filter: Filter<T>, update: Update<T>) -> Result<usize> {
        self.scope.update_many(self.index, filter.raw(), update.raw()).await
    }

    /// Deletes all documents that match, or none, in one transaction, and answers how many. The hooks run for each.
    ///
    /// # Errors
    /// What a hook answers; `TRANSACTION_TOO_LARGE` for more than one transaction can hold.
    pub async fn delete_many(&self, filter: Filter<T>) -> Result<usize> {
        self.scope.delete_many(self.index, filter.raw()).await
    }

    /// Changes one document by a function, which answers nothing or a `Result<()>`; an error leaves the document as it is.
    /// `.if_rev(…)` makes it conditional.
    ///
    /// The function runs in the transaction. Where that loses against another one it runs once more, on the newer value; it
    /// should do nothing but change the value.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "accounts")]
    /// # pub struct Account { pub cents: u64, pub closed: bool }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<Account>().in_memory().open().await?;
    /// # let accounts = app.model::<Account>();
    /// # let account = accounts.insert(Account { cents: 500, closed: false }).await?;
    /// let account = accounts
    ///     .modify(&account, |account| {
    ///         account.cents = account.cents.checked_sub(200).ok_or_else(|| Error::new("TOO_LITTLE"))?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// assert_eq!(account.cents, 300);
    /// let account = accounts.modify(&account, |account| account.closed = true).await?;
    /// assert!(account.closed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn modify<'a, F, R>(&'a self, which: impl Into<Selector<T>>, change: F) -> Changing<'a, T>
    where
        F: Fn(&mut T) -> R + Send + Sync + 'a,
        R: Modified,
    {
        let form = match self.runtime().model(self.index) {
            Ok(model) if !model.schema.is_of::<T>() => AsForm::Json,
            _ => AsForm::Stored,
        };
        let change = move |value: &mut (dyn Any + Send)| match value.downcast_mut::<T>() {
            Some(value) => change(value).into_result(),
            None => Err(Error::internal("a document of another type")),
        };
        Changing { model: self, target: which.into().0, what: What::Modify(form, Box::new(change)), if_rev: None }
    }

    /// Puts another value in the place of a document; private fields that are withheld in it are kept. `.if_rev(…)` makes it conditional.
    pub fn replace(&self, id: impl Into<Id<T>>, value: T) -> Changing<'_, T> {
        let target = Target::Id(id.into().raw().clone());
        Changing { model: self, target, what: What::Replace(Box::new(value)), if_rev: None }
    }

    /// Puts a value in the place of a document, as [`Model::replace`] does, or inserts it where there is none: under the id
    /// that was given, or a new one. The hooks are those of what it turns out to be. With `.if_rev(…)` there has to be a
    /// document, at that revision.
    ///
    /// A filter chooses and does no more: whether the value matches it is not asked. By a unique field, two that run at the same
    /// time insert one document.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "visits")]
    /// # pub struct Visit { #[field(unique)] pub page: String, pub last: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<Visit>().in_memory().open().await?;
    /// # let visits = app.model::<Visit>();
    /// for last in ["monday", "tuesday"] {
    ///     visits.upsert(Visit::PAGE.eq("/"), Visit { page: "/".into(), last: last.into() }).await?;
    /// }
    /// let all = visits.find(Filter::all()).await?;
    /// assert_eq!((all.len(), all[0].last.as_str()), (1, "tuesday"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn upsert(&self, which: impl Into<Selector<T>>, value: T) -> Changing<'_, T> {
        Changing { model: self, target: which.into().0, what: What::Upsert(Box::new(value)), if_rev: None }
    }

    /// Deletes one document, and answers it. It goes to the [trash](Model::trash). `.if_rev(…)` makes it conditional.
    pub fn delete(&self, which: impl Into<Selector<T>>) -> Changing<'_, T> {
        Changing { model: self, target: which.into().0, what: What::Delete, if_rev: None }
    }

    /// Calls a method by its id, with JSON arguments.
    ///
    /// # Errors
    /// `METHOD_NOT_FOUND`, `VALIDATION_ERROR`, or what the handler answers.
    pub async fn call(&self, id: &str, args: Value) -> Result<Value> {
        self.call_with(OperationKind::Method, id, args, With::Nothing).await
    }

    /// Calls an upload by its id, with JSON for its fields.
    ///
    /// # Errors
    /// `UPLOAD_NOT_FOUND`, `VALIDATION_ERROR`, or what the handler answers; `NESTED_TRANSACTION` in a transaction.
    pub async fn call_upload(&self, id: &str, file: File, fields: Value) -> Result<Value> {
        self.call_with(OperationKind::Upload, id, fields, With::File(Box::new(file))).await
    }

    /// Hands a chunk to a stream by its id, with JSON for what is said of it.
    ///
    /// # Errors
    /// `STREAM_NOT_FOUND`, `VALIDATION_ERROR`, or what the handler answers; `PAYLOAD_TOO_LARGE` for a chunk of more than 1 MiB.
    pub async fn call_stream(&self, id: &str, chunk: Chunk, meta: Value) -> Result<Value> {
        self.call_with(OperationKind::Stream, id, meta, With::Chunk(Box::new(chunk))).await
    }

    async fn call_with(&self, kind: OperationKind, id: &str, args: Value, with: With) -> Result<Value> {
        let operation = self.scope.operation(self.index, kind, id)?;
        let args = self.scope.args(operation, Some(args), Audience::Store)?;
        let output = self.scope.perform(self.index, operation, args, with).await?;
        super::output_json(output.as_ref())
    }

    /// Calls a method as [`Model::call`] does, once, however often it is asked for under this key: for the same caller, method and
    /// arguments the answer is that of the first time. It is recorded by the commit of the call, and kept for a day; two that
    /// ask at the same time wait for each other. A call that failed, or wrote nothing, leaves nothing, and is made again.
    ///
    /// The key is 1 to 255 visible characters of ASCII, and 16 at least for a caller without a verified token: all of those have theirs
    /// in common, so it should be random. The answer has 1 MiB at most. Over HTTP it is the header `Idempotency-Key`, and
    /// the member `key` of a call on a socket.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// # #[model(id = "accounts", public)]
    /// # pub struct Account { pub cents: i64 }
    /// #[value]
    /// pub struct Pay { pub id: Id<Account>, pub cents: i64 }
    ///
    /// #[method(Account)]
    /// async fn pay(args: Pay, accounts: Model<Account>) -> Result<i64> {
    ///     Ok(accounts.update(args.id, Account::CENTS.inc(args.cents)).await?.cents)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<Account>().in_memory().open().await?;
    /// # let accounts = app.model::<Account>();
    /// # let account = accounts.insert(Account { cents: 0 }).await?.id();
    /// for _ in 0..3 {
    ///     let args = json!({"id": account, "cents": 500});
    ///     assert_eq!(accounts.call_once("order-7", "pay", args).await?, json!(500));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Model::call`]; `IDEMPOTENCY_MISMATCH` when the key was used with other arguments, `INVALID_REQUEST` for a text that
    /// cannot be a key, `TRANSACTION_TOO_LARGE` for an answer that is too long.
    pub async fn call_once(&self, key: &str, id: &str, args: Value) -> Result<Value> {
        let key = CallKey::parse(key)?;
        let answer = self.scope.call_once(self.index, id, Some(args), Audience::Store, &key).await?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Has a method run later, as a job: recorded by a commit, and run after it by whoever runs the application's jobs
    /// ([`App::start_workers`](crate::App::start_workers), which `serve` does), also in another process. In a transaction it is
    /// scheduled by its commit, and not at all when that fails.
    ///
    /// What the method does to the data happens once; what it does outside of it, as often as it is tried. It acts for the caller
    /// that scheduled it. When it fails it is tried again, five times in all unless said, with pauses from a second on that double; then
    /// it is set aside, to be looked at by [`App::jobs`](crate::App::jobs).
    ///
    /// ```
    /// use std::time::Duration;
    /// use modeller::{prelude::*, test::TestApp};
    /// # #[model(id = "users", public)]
    /// # pub struct User { pub name: String, #[field(default)] pub greeted: bool }
    /// #[value]
    /// pub struct Greet { pub id: Id<User> }
    ///
    /// #[method(User, internal)]
    /// async fn greet(args: Greet, users: System<Model<User>>) -> Result<()> {
    ///     users.update(args.id, User::GREETED.set(true)).await.map(drop)
    /// }
    ///
    /// #[hook(User, after(insert))]
    /// async fn greet_later(user: Doc<User>, users: Model<User>) -> Result<()> {
    ///     users.schedule("greet", &Greet { id: user.id() }).after(Duration::from_secs(60)).await.map(drop)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = TestApp::open(|| App::new().model::<User>()).await?;
    /// app.model::<User>().insert(User { name: "Ada".into(), greeted: false }).await?;
    /// app.advance(Duration::from_secs(60));
    /// app.run_due().await;
    /// assert_eq!(app.model::<User>().count(User::GREETED.eq(true)).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `METHOD_NOT_FOUND`, `VALIDATION_ERROR` for arguments that do not fit, `INVALID_DECLARATION` for a schedule that is none.
    pub fn schedule(&self, id: &str, args: &(impl Serialize + ?Sized)) -> Scheduling<'_, T> {
        Scheduling::new(self, id, args)
    }

    /// Fills the model from its [`Adapter`](crate::Adapter): inserts what is not there and replaces what is another, by id, in
    /// transactions of a thousand documents each. No hooks run, documents that the adapter does not have stay, and what is pulled is not
    /// sent back.
    ///
    /// # Errors
    /// `NO_ADAPTER`; what the adapter answers; `VALIDATION_ERROR`, `UNIQUE_VIOLATION` and `REFERENCE_VIOLATION` with the id of the
    /// document as the detail `document`: the batches before it were written.
    pub async fn pull(&self) -> Result<Pulled> {
        adapter::pull(&self.scope.as_application(), self.index).await
    }

    /// Has all documents sent to the model's [`Adapter`](crate::Adapter) as they are, e.g. after a process ended before it had taken
    /// all changes, or for a new foreign store.
    ///
    /// # Errors
    /// `NO_ADAPTER`.
    pub fn sync_all(&self) -> Result<()> {
        adapter::sync_all(self.runtime(), self.index)
    }

    /// The handle of a model that extends this one. It is for whom this one is: the same caller, in the same transaction.
    ///
    /// ```
    /// use modeller::prelude::*;
    ///
    /// #[model(id = "system")]
    /// pub struct System { pub name: String }
    ///
    /// #[model(id = "ssh", parent = System)]
    /// pub struct Ssh { pub port: u16 }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new().model::<System>().model::<Ssh>().in_memory().open().await?;
    /// let system = app.model::<System>();
    /// system.extension::<Ssh>()?.insert(Ssh { port: 22 }).await?;
    /// assert_eq!(system.extensions(), ["ssh"]);
    /// assert_eq!(app.model_by_id("system.ssh")?.find(Filter::all()).await?[0]["port"], 22);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn extension<E: Extends<T>>(&self) -> Result<Model<E>> {
        Model::of_scope(&self.scope)
    }

    /// The same by its id within this model, with its documents as JSON.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when there is none of that id.
    pub fn extension_by_id(&self, id: &str) -> Result<Model<Document>> {
        let own = &self.runtime().model(self.index)?.schema.id;
        Model::by_id(&self.scope, &format!("{own}.{id}"))
    }

    /// The ids, within this model, of those that extend it.
    #[must_use]
    pub fn extensions(&self) -> Vec<String> {
        let Ok(own) = self.runtime().model(self.index) else { return Vec::new() };
        extensions(&own.schema.id, self.runtime().models().iter().map(|model| model.schema.id.as_ref()))
    }

    /// The ids of the model's methods.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static str> {
        self.ids_of(OperationKind::Method)
    }

    /// The ids of the model's uploads.
    #[must_use]
    pub fn uploads(&self) -> Vec<&'static str> {
        self.ids_of(OperationKind::Upload)
    }

    /// The ids of the model's streams.
    #[must_use]
    pub fn streams(&self) -> Vec<&'static str> {
        self.ids_of(OperationKind::Stream)
    }

    fn ids_of(&self, kind: OperationKind) -> Vec<&'static str> {
        self.runtime().model(self.index).map(|model| model.ids_of(kind)).unwrap_or_default()
    }

    /// The room of this filter.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "filters are handed over, here as everywhere")]
    pub fn subscription(&self, filter: Filter<T>) -> Subscription<T> {
        Subscription::new(self.clone(), &filter)
    }

    /// A list that follows what happens: the documents of the query as they are at one commit, and then what each commit changes
    /// in them; see [`LiveQuery`](crate::LiveQuery). The handler of a caller follows what that may read, by the rule of the
    /// model, also when that changes. The hooks of `list` are not run.
    ///
    /// # Errors
    /// `INVALID_QUERY`; `FORBIDDEN`, `UNAUTHENTICATED` where nothing may be read.
    pub async fn live(&self, query: impl Into<Query<T>>) -> Result<LiveQuery<T>> {
        LiveQuery::open(self, &query.into()).await
    }

    /// Hears of each document that is inserted from here on; see [`Emissions`].
    #[must_use]
    pub fn on_insert(&self) -> Emissions<T> {
        Emissions::new(self.clone(), handler::Operation::Insert)
    }

    /// Hears of each document that is updated from here on, with the version before; see [`Emissions`].
    #[must_use]
    pub fn on_update(&self) -> Emissions<T> {
        Emissions::new(self.clone(), handler::Operation::Update)
    }

    /// Hears of each document that is deleted from here on; see [`Emissions`].
    #[must_use]
    pub fn on_delete(&self) -> Emissions<T> {
        Emissions::new(self.clone(), handler::Operation::Delete)
    }

    /// Hears of each entry of the model's log from here on; see [`LogEntries`]. Entries of the level
    /// [`Debug`](LogLevel::Debug), e.g. one for each change of a document, are given where [`Model::set_log_level`] or
    /// [`LogSettings`](crate::LogSettings) say so.
    ///
    /// ```
    /// use modeller::{LogLevel, Logged, prelude::*};
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// let users = app.model::<User>();
    /// users.set_log_level(LogLevel::Debug);
    /// let mut entries = users.on_log();
    /// let ada = users.insert(User { name: "Ada".into() }).await?;
    /// let Some(Logged::Entry(entry)) = entries.next().await else { panic!() };
    /// assert_eq!(entry.message, format!("inserted `{}`", ada.id()));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_log(&self) -> LogEntries {
        self.runtime().journal().listen(self.index)
    }

    /// From which level on entries of the model's log are given.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        self.runtime().journal().level(self.index)
    }

    /// Has entries of this level and above given from here on, for all who use the model.
    pub fn set_log_level(&self, level: LogLevel) {
        self.runtime().journal().set_level(self.index, level);
    }

    /// Says whether entries of this kind are given from here on, errors as well as others, for all who use the model.
    pub fn set_log_feature(&self, feature: LogFeature, is_on: bool) {
        self.runtime().journal().set_feature(self.index, feature, is_on);
    }

    /// Hears in process of an event of the program's own, by its name: whatever [`Model::emit`] says from here on.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a name that is empty or longer than 128 bytes.
    pub fn on(&self, name: &str) -> Result<Listener> {
        check_event_name(name)?;
        Ok(self.runtime().rooms().room_of_event(self.index, name).listen())
    }

    /// Tells all who listen to an event of the program's own, in process. In a transaction it leaves with the commit, and not at
    /// all when that fails.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// let users = app.model::<User>();
    /// let heard = users.on("promoted")?;
    /// users.emit("promoted", &"Ada").await?;
    /// assert_eq!(heard.once().await, Some("Ada".into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Model::on`], and those of a transaction.
    pub async fn emit(&self, name: &str, payload: &(impl Serialize + ?Sized + Sync)) -> Result<()> {
        check_event_name(name)?;
        let payload = serde_json::to_string(payload)?;
        let publish = Publish { model: self.index, room: event_key(name), payload: payload.into(), about: None };
        self.scope.publish(publish).await
    }

    /// Adds a hook to the model, for all who use it: it runs with what begins from here on, after those that were declared. See
    /// [`HookCall`] for what the closure is given. It is gone with the application.
    ///
    /// # Errors
    /// `INVALID_DECLARATION` when there is a hook of that id, without an event, and on a handle of JSON to a model that has a
    /// Rust type: a hook is for values of that type.
    #[track_caller]
    pub fn hook<F>(&self, id: impl Into<String>, on: impl IntoIterator<Item = HookEvent>, run: F) -> Result<()>
    where
        F: for<'a> Fn(HookCall<'a, T>) -> HookFuture<'a> + Send + Sync + 'static,
    {
        self.add_hook(&Hook::new(id.into(), on, run))
    }

    /// The same as a job that runs so much later: for what comes after insert, update and delete. It is told of the document as
    /// it was stored then. See [`Model::schedule`] for what becomes of a job; one whose hook was not added again after a restart is
    /// set aside.
    ///
    /// # Errors
    /// As [`Model::hook`]; and for an event that is not over when it runs.
    #[track_caller]
    pub fn hook_later<F>(
        &self,
        id: impl Into<String>,
        on: impl IntoIterator<Item = HookEvent>,
        delay: Duration,
        run: F,
    ) -> Result<()>
    where
        F: for<'a> Fn(HookCall<'a, T>) -> HookFuture<'a> + Send + Sync + 'static,
    {
        self.add_hook(&Hook::new(id.into(), on, run).later(delay))
    }

    fn add_hook(&self, hook: &Hook) -> Result<()> {
        let model = self.runtime().model(self.index)?;
        let wrong = |what: &str| {
            let text = format!("the hook `{}` of `{}`: {what}", hook.id, model.schema.id);
            Error::new("INVALID_DECLARATION").status(500).message(text)
        };
        if !model.schema.is_of::<T>() {
            return Err(wrong("the model has a Rust type; add the hook by `app.model::<…>()`"));
        }
        if hook.is_never() {
            return Err(wrong("it waits for no event"));
        }
        if hook.delay().is_some() && !hook.is_after() {
            return Err(wrong("only what comes after insert, update and delete can run later"));
        }
        if !model.hooks.add(hook) {
            return Err(wrong("there is one of that id"));
        }
        self.runtime().journal().registered(&hook.subject(self.index));
        Ok(())
    }

    /// Takes a hook away, also one that was declared. What has begun still runs it. False when there is none of that id.
    pub fn unhook(&self, id: &str) -> bool {
        self.runtime().model(self.index).is_ok_and(|model| model.hooks.remove(id))
    }

    /// Adds a worker to the model, named or not. It is started as all others: by [`Model::start_worker`] and its like. It is given a
    /// handle of the application, and is gone with that.
    ///
    /// ```
    /// use std::time::Duration;
    /// use modeller::{Schedule, prelude::*};
    /// # #[model(id = "sessions")]
    /// # pub struct Session { pub closed: bool }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<Session>().in_memory().open().await?;
    /// let sessions = app.model::<Session>();
    /// sessions.worker(Some("sweep"), Schedule::every(Duration::from_secs(30)), |sessions| async move {
    ///     sessions.delete_many(Session::CLOSED.eq(true)).await.map(drop)
    /// })?;
    /// assert!(sessions.start_worker("sweep") && sessions.is_running("sweep"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `INVALID_DECLARATION` when there is a worker of that id, and for a schedule that is none.
    #[expect(clippy::needless_pass_by_value, reason = "a schedule is handed over")]
    #[track_caller]
    pub fn worker<F, Fut>(&self, id: Option<&str>, schedule: Schedule, run: F) -> Result<()>
    where
        F: Fn(Self) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let (index, timetable) = (self.index, schedule.prove()?);
        let added = CallSite::here();
        let worker = Worker::by_closure(index, id.map(str::to_owned), timetable, added, move |scope| {
            Box::pin(run(Self { scope, index, of: PhantomData }))
        });
        let subject = worker.subject();
        self.runtime().workers().add(worker)?;
        self.runtime().journal().registered(&subject);
        Ok(())
    }

    /// The ids of the model's workers; unnamed ones have none.
    #[must_use]
    pub fn workers(&self) -> Vec<String> {
        self.runtime().workers().ids(self.index)
    }

    /// Starts all workers of the model that do not run.
    pub fn start_workers(&self) {
        self.runtime().workers().start(self.runtime(), Some(self.index), None);
    }

    /// Starts a worker by its id. False when there is none of that id.
    pub fn start_worker(&self, id: &str) -> bool {
        self.runtime().workers().start(self.runtime(), Some(self.index), Some(id))
    }

    /// Stops all workers of the model; a run that has begun is finished.
    pub fn stop_workers(&self) {
        self.runtime().workers().stop(Some(self.index), None);
    }

    /// Stops a worker by its id; a run that has begun is finished. False when there is none of that id.
    pub fn stop_worker(&self, id: &str) -> bool {
        self.runtime().workers().stop(Some(self.index), Some(id))
    }

    /// Whether the worker of that id runs.
    #[must_use]
    pub fn is_running(&self, id: &str) -> bool {
        self.runtime().workers().is_running(self.index, id)
    }
}

/// The name of an event is kept in the log, with each payload.
fn check_event_name(name: &str) -> Result<()> {
    const LONGEST: usize = 128;
    if (1..=LONGEST).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::new("INVALID_REQUEST").message(format!("the name of an event has 1 to {LONGEST} bytes")))
}

impl<T> From<&Doc<T>> for Id<T> {
    fn from(doc: &Doc<T>) -> Self {
        doc.id()
    }
}

/// A query of [`Model::find`], run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a query is run by `.await`"]
pub struct Find<'a, T> {
    model: &'a Model<T>,
    query: Query<T>,
}

impl<'a, T: Stored> Find<'a, T> {
    /// In this order.
    pub fn sort(mut self, sort: Sort<T>) -> Self {
        self.query.sort = sort;
        self
    }

    /// Without the first so many.
    pub fn skip(mut self, skip: usize) -> Self {
        self.query.skip = skip;
        self
    }

    /// At most so many.
    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = Some(limit);
        self
    }

    /// Of each document these fields, as JSON.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String, pub bio: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// # let users = app.model::<User>();
    /// # users.insert(User { name: "Ada".into(), bio: "…".into() }).await?;
    /// let names = users.find(Filter::all()).fields(Projection::include(User::NAME)).await?;
    /// assert_eq!((&names[0]["name"], names[0].get("bio")), (&"Ada".into(), None));
    /// # Ok(())
    /// # }
    /// ```
    pub fn fields(self, projection: Projection<T>) -> Showing<Self, Projection<T>> {
        Showing { query: self, view: projection }
    }

    /// Of each document the part that a struct with `#[value(of = …)]` is.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub name: String, pub bio: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// # let users = app.model::<User>();
    /// # users.insert(User { name: "Ada".into(), bio: "…".into() }).await?;
    /// #[value(of = User)]
    /// pub struct Card { pub name: String }
    ///
    /// let cards: Vec<Doc<Card>> = users.find(Filter::all()).project().await?;
    /// assert_eq!(cards[0].name, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    pub fn project<P: PartOf<T>>(self) -> Showing<Self, As<T, P>> {
        Showing { query: self, view: As(P::part_of) }
    }

    async fn docs(&self) -> Result<Vec<DynDoc>> {
        // As in MongoDB, a limit of 0 is none.
        let most = self.query.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        self.model.scope.find(self.model.index, &self.query.to_raw(), most).await
    }
}

impl<T: Stored> Find<'_, T> {
    /// Answers the query, and says how: by which index, and how many documents were looked at. See [`Explanation`].
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn explain(self) -> Result<Explanation> {
        self.model.scope.explain(self.model.index, &self.query.to_raw(), self.most()).await
    }

    /// How many documents it answers at most.
    fn most(&self) -> usize {
        // As in MongoDB, a limit of 0 is none.
        self.query.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX)
    }
}

impl<'a, T: Stored> IntoFuture for Find<'a, T> {
    type Output = Result<Vec<Doc<T>>>;
    type IntoFuture = Operation<'a, Vec<Doc<T>>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let docs = self.docs().await?;
            docs.into_iter().map(|doc| self.model.typed(doc)).collect()
        })
    }
}

/// A list of [`Model::list`], run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a query is run by `.await`"]
pub struct Listing<'a, T> {
    model: &'a Model<T>,
    query: Query<T>,
}

impl<'a, T: Stored> Listing<'a, T> {
    /// Of each document these fields, as JSON; see [`Find::fields`].
    pub fn fields(self, projection: Projection<T>) -> Showing<Self, Projection<T>> {
        Showing { query: self, view: projection }
    }

    /// Of each document the part that a struct with `#[value(of = …)]` is; see [`Find::project`].
    pub fn project<P: PartOf<T>>(self) -> Showing<Self, As<T, P>> {
        Showing { query: self, view: As(P::part_of) }
    }

    /// Answers the list with its hooks, and says how: as [`Find::explain`] does.
    ///
    /// # Errors
    /// What a hook answers.
    pub async fn explain(self) -> Result<Explanation> {
        let query = self.query.to_raw();
        Ok(self.model.scope.explain_list(self.model.index, &query, None, Audience::Store).await?.0)
    }

    async fn page<P>(
        &self,
        shown: Option<&RawProjection>,
        show: impl Fn(&DynDoc) -> Result<Doc<P>>,
    ) -> Result<Page<P>> {
        let listed = self.model.scope.list(self.model.index, &self.query.to_raw(), shown).await?;
        let items = listed.docs.iter().map(show).collect::<Result<_>>()?;
        Ok(Page { items, next_cursor: listed.next, seq: listed.seq })
    }
}

impl<'a, T: Stored> IntoFuture for Listing<'a, T> {
    type Output = Result<Page<T>>;
    type IntoFuture = Operation<'a, Page<T>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.page(None, |doc| self.model.typed(doc.clone())).await })
    }
}

/// A query whose documents are answered in part, run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a query is run by `.await`"]
pub struct Showing<Q, V> {
    query: Q,
    view: V,
}

/// As a struct that is a part of a model.
pub struct As<T, P>(fn(&T) -> P);

impl<T, P> Clone for As<T, P> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T, P> std::fmt::Debug for As<T, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("As").field(&std::any::type_name::<P>()).finish()
    }
}

/// What a document is answered as.
trait View<T>: Send + Sync {
    type Shown;
    /// Which part of the document it is, where the query says so.
    fn part(&self) -> Option<&RawProjection> {
        None
    }
    fn of(&self, model: &Model<T>, doc: &DynDoc) -> Result<Doc<Self::Shown>>;
}

impl<T: Stored> View<T> for Projection<T> {
    type Shown = Document;
    fn part(&self) -> Option<&RawProjection> {
        Some(self.raw())
    }
    fn of(&self, model: &Model<T>, doc: &DynDoc) -> Result<Doc<Document>> {
        let mut document = model.runtime().model(model.index)?.schema.dynamic(doc)?;
        document.retain(self.raw());
        Ok(Doc::from_parts(Id::from_raw(doc.id().clone()), doc.rev(), document))
    }
}

impl<T: Stored, P> View<T> for As<T, P> {
    type Shown = P;
    fn of(&self, model: &Model<T>, doc: &DynDoc) -> Result<Doc<P>> {
        let part = (self.0)(&*model.typed(doc.clone())?);
        Ok(Doc::from_parts(Id::from_raw(doc.id().clone()), doc.rev(), part))
    }
}

macro_rules! shown {
    ($($query:ident as $all:ident by $read:expr;)*) => {$(
        impl<'a, T: Stored> IntoFuture for Showing<$query<'a, T>, Projection<T>> {
            type Output = Result<$all<Document>>;
            type IntoFuture = Operation<'a, $all<Document>>;
            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move { $read(self.query, self.view).await })
            }
        }

        impl<'a, T: Stored, P: Send + Sync + 'static> IntoFuture for Showing<$query<'a, T>, As<T, P>> {
            type Output = Result<$all<P>>;
            type IntoFuture = Operation<'a, $all<P>>;
            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move { $read(self.query, self.view).await })
            }
        }
    )*};
}

/// Documents of a query.
type Docs<T> = Vec<Doc<T>>;

shown! {
    Find as Docs by found;
    Listing as Page by listed;
}

async fn found<T: Stored, V: View<T>>(find: Find<'_, T>, view: V) -> Result<Docs<V::Shown>> {
    find.docs().await?.iter().map(|doc| view.of(find.model, doc)).collect()
}

async fn listed<T: Stored, V: View<T>>(list: Listing<'_, T>, view: V) -> Result<Page<V::Shown>> {
    list.page(view.part(), |doc| view.of(list.model, doc)).await
}

/// What the function of [`Model::modify`] may answer: nothing, or a `Result<()>`.
pub trait Modified {
    /// As a result.
    #[doc(hidden)]
    fn into_result(self) -> Result<()>;
}

impl Modified for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl Modified for Result<()> {
    fn into_result(self) -> Result<()> {
        self
    }
}

enum What<'a, T> {
    Update(Update<T>),
    Modify(AsForm, Box<Change<'a>>),
    Replace(Box<T>),
    Upsert(Box<T>),
    Delete,
}

/// A write to one document, done by `.await`.
#[must_use = "a write is done by `.await`"]
pub struct Changing<'a, T> {
    model: &'a Model<T>,
    target: Target,
    what: What<'a, T>,
    if_rev: Option<u64>,
}

impl<T> std::fmt::Debug for Changing<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changing").field("if_rev", &self.if_rev).finish_non_exhaustive()
    }
}

impl<T> Changing<'_, T> {
    /// Only if the document is at this revision; else `CONFLICT`.
    pub fn if_rev(mut self, rev: u64) -> Self {
        self.if_rev = Some(rev);
        self
    }
}

/// The errors are `NOT_FOUND`, `CONFLICT`, `VALIDATION_ERROR`, `UNIQUE_VIOLATION`, and what a hook answers.
impl<'a, T: Stored> IntoFuture for Changing<'a, T> {
    type Output = Result<Doc<T>>;
    type IntoFuture = Operation<'a, Doc<T>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Model { scope, index, .. } = self.model;
            let doc = match (self.what, self.target) {
                (What::Update(update), target) => {
                    scope.update(*index, target, update.raw().clone(), self.if_rev).await?
                }
                (What::Modify(form, change), target) => {
                    scope.modify(*index, target, form, &*change, self.if_rev).await?
                }
                (What::Replace(value), Target::Id(id)) => {
                    scope.replace(*index, id, AnyValue::to_stored(&*value)?, self.if_rev, Audience::Store).await?
                }
                (What::Replace(_), Target::First(_)) => return Err(Error::internal("a replacement is by id")),
                (What::Upsert(value), target) => {
                    scope.upsert(*index, target, AnyValue::to_stored(&*value)?, self.if_rev, Audience::Store).await?.0
                }
                (What::Delete, target) => scope.delete(*index, target, self.if_rev).await?,
            };
            self.model.typed(doc)
        })
    }
}
