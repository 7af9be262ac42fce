//! The handle of a model of another process, with the surface of `Model<T>`.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Method;
use hyper::header::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncSeek};

use super::http::{Answer, Asked, encoded};
use super::live::RemoteLiveQuery;
use super::subscription::RemoteSubscription;
use super::upload::RemoteUpload;
use super::{Client, KEY, if_match, path, read};
use crate::core::call::{Args, Called, Calls, Output};
use crate::core::decimal::to_value;
use crate::core::document::{Doc, Stored};
use crate::core::id::Id;
use crate::core::json::Document;
use crate::core::private::{read_as_answer, written_for};
use crate::core::query::filter::Filter;
use crate::core::query::project::{PartOf, Projection};
use crate::core::query::sort::Sort;
use crate::core::query::update::Update;
use crate::core::query::{MAX_LIMIT, Page, Query};
use crate::core::schema::{Extends, ModelType, schema_of};
use crate::error::{Error, ErrorCode, Result};

/// The documents and the behaviour of one model of an application that is served elsewhere: what [`Client::model`] gives.
///
/// It has the surface of a [`Model`](crate::Model) in process, and the methods of the model by their traits. What it answers is what
/// the caller of the client may see; it is durable. Where a model in process takes a document by a filter, this one takes an id.
///
/// ```no_run
/// # use modeller::{client::Client, prelude::*};
/// # #[model(id = "users", public)]
/// # pub struct User { #[field(unique)] pub email: String, pub age: u8 }
/// # async fn example() -> Result<()> {
/// let users = Client::connect("http://127.0.0.1:3030")?.model::<User>();
/// let ada = users.insert(User { email: "ada@example.com".into(), age: 36 }).await?;
/// let older = users.update(ada.id(), User::AGE.inc(1)).if_rev(ada.rev()).await?;
/// let oldest = users.find(User::AGE.gt(36)).sort(User::AGE.desc()).limit(10).await?;
/// # Ok(())
/// # }
/// ```
pub struct RemoteModel<T> {
    pub(super) client: Client,
    pub(super) id: Arc<str>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for RemoteModel<T> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), id: self.id.clone(), of: PhantomData }
    }
}

impl<T> std::fmt::Debug for RemoteModel<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteModel").field(&self.id).finish()
    }
}

type Operation<'a, R> = Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>;

impl<T> RemoteModel<T> {
    pub(super) fn new(client: Client, id: &str) -> Self {
        Self { client, id: id.into(), of: PhantomData }
    }

    fn path(&self) -> String {
        format!("/{}", encoded(&self.id))
    }

    fn of_document(&self, id: &Id<T>) -> String {
        path(&self.id, &id.to_string())
    }

    /// Something that is written, with its private values.
    fn written(&self, value: &impl serde::Serialize) -> Result<Value> {
        written_for(self.client.core.audience(), || to_value(value)).map_err(Error::internal)
    }
}

/// The document of an answer. One that may not be read by the one who wrote it is answered by its id and its revision alone.
fn document<T: DeserializeOwned>(answer: &Answer) -> Result<Doc<T>> {
    let outcome = read(&answer.body);
    let Err(unfit) = outcome else { return outcome };
    match serde_json::from_slice::<Map<String, Value>>(&answer.body) {
        Ok(members) if members.keys().all(|name| matches!(name.as_str(), "_id" | "_rev")) => {
            let mut error = Error::new(ErrorCode::Custom("WITHHELD".into()))
                .message("the document was written, and may not be read by the one who has");
            for (name, value) in members {
                error = error.detail(name, value);
            }
            Err(error)
        }
        _ => Err(unfit),
    }
}

impl<T: Stored> RemoteModel<T> {
    /// Stores a new document under a new id.
    ///
    /// # Errors
    /// As in process; `WITHHELD` with `_id` and `_rev` when it was written, and the caller may not read it.
    pub async fn insert(&self, value: T) -> Result<Doc<T>> {
        self.insert_members(self.written(&value)?).await
    }

    /// Stores a new document under an id of the caller's choice, where the model has `client_ids`.
    ///
    /// # Errors
    /// As [`RemoteModel::insert`]; `UNIQUE_VIOLATION` on `_id` when there is a document with that id.
    pub async fn insert_with_id(&self, id: Id<T>, value: T) -> Result<Doc<T>> {
        let mut value = self.written(&value)?;
        value["_id"] = id.to_string().into();
        self.insert_members(value).await
    }

    async fn insert_members(&self, value: Value) -> Result<Doc<T>> {
        let asked = Asked::new(Method::POST, self.path()).json(serde_json::to_vec(&value)?);
        document(&self.client.write(asked).await?)
    }

    /// Stores new documents under new ids: all of them or none, in one transaction.
    ///
    /// # Errors
    /// As [`RemoteModel::insert`], with the place of the value as the detail `index`.
    pub async fn insert_many(&self, values: Vec<T>) -> Result<Vec<Doc<T>>> {
        #[derive(serde::Deserialize)]
        #[serde(bound = "T: DeserializeOwned")]
        struct Items<T> {
            items: Vec<Doc<T>>,
        }
        let values = values.iter().map(|value| self.written(value)).collect::<Result<Vec<_>>>()?;
        let asked = Asked::new(Method::POST, self.path()).json(serde_json::to_vec(&values)?);
        Ok(read::<Items<T>>(&self.client.write(asked).await?.body)?.items)
    }

    /// The document with the id; `None` when there is none, or none that the caller may read.
    ///
    /// # Errors
    /// Those of the server, but for `NOT_FOUND`.
    pub async fn get(&self, id: impl Into<Id<T>>) -> Result<Option<Doc<T>>> {
        match self.client.ask(&Asked::new(Method::GET, self.of_document(&id.into()))).await {
            Ok(answer) => read(&answer.body).map(Some),
            Err(error) if *error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The documents that match, all of them unless limited: page after page, each of a thousand. What changes meanwhile is seen
    /// or not.
    pub fn find(&self, filter: Filter<T>) -> RemoteFind<'_, T> {
        RemoteFind { model: self, query: Query::of(filter) }
    }

    /// A page of the documents of a query.
    pub fn list(&self, query: impl Into<Query<T>>) -> RemoteListing<'_, T> {
        RemoteListing { model: self, query: query.into() }
    }

    /// How many documents match.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn count(&self, filter: Filter<T>) -> Result<usize> {
        #[derive(serde::Deserialize)]
        struct Count {
            count: usize,
        }
        let body = json!({"filter": filter.to_json(), "limit": 1, "fields": {"_id": 1}, "count": true});
        let asked = Asked::new(Method::POST, path(&self.id, "@query")).json(serde_json::to_vec(&body)?);
        Ok(read::<Count>(&self.client.ask(&asked).await?.body)?.count)
    }

    async fn page<P: DeserializeOwned>(&self, query: &Query<T>, fields: Option<&Value>) -> Result<Page<P>> {
        let mut body = members(query);
        if let Some(fields) = fields {
            body.insert("fields".into(), fields.clone());
        }
        let asked = Asked::new(Method::POST, path(&self.id, "@query")).json(serde_json::to_vec(&body)?);
        read(&self.client.ask(&asked).await?.body)
    }

    /// All pages, up to the limit.
    async fn pages<P: DeserializeOwned>(&self, query: &Query<T>, fields: Option<&Value>) -> Result<Vec<Doc<P>>> {
        let most = query.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let mut query = query.clone();
        let mut found = Vec::new();
        loop {
            query.limit = Some((most - found.len()).min(MAX_LIMIT));
            let page = self.page(&query, fields).await?;
            found.extend(page.items);
            // A cursor is behind what was passed over.
            query.skip = 0;
            match page.next_cursor {
                Some(next) if found.len() < most => query.cursor = Some(next),
                _ => return Ok(found),
            }
        }
    }

    /// Changes one document. `.if_rev(…)` makes it conditional.
    pub fn update(&self, id: impl Into<Id<T>>, update: Update<T>) -> RemoteChanging<'_, T> {
        RemoteChanging { model: self, id: id.into(), what: What::Update(update), if_rev: None }
    }

    /// Changes all documents that match, or none, and answers how many.
    ///
    /// # Errors
    /// As [`RemoteModel::update`], but for `NOT_FOUND`.
    pub async fn update_many(&self, filter: Filter<T>, update: Update<T>) -> Result<usize> {
        #[derive(serde::Deserialize)]
        struct Updated {
            updated: usize,
        }
        let asked = Asked::new(Method::PATCH, self.all_that_match(&filter));
        let asked = asked.json(serde_json::to_vec(&update.raw().to_json()?)?);
        Ok(read::<Updated>(&self.client.write(asked).await?.body)?.updated)
    }

    /// Deletes all documents that match, or none, and answers how many.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn delete_many(&self, filter: Filter<T>) -> Result<usize> {
        #[derive(serde::Deserialize)]
        struct Deleted {
            deleted: usize,
        }
        let asked = Asked::new(Method::DELETE, self.all_that_match(&filter));
        Ok(read::<Deleted>(&self.client.write(asked).await?.body)?.deleted)
    }

    fn all_that_match(&self, filter: &Filter<T>) -> String {
        format!("{}?filter={}", self.path(), encoded(&filter.to_json().to_string()))
    }

    /// Puts another value in the place of a document; private fields that are withheld in it are kept. `.if_rev(…)` makes it
    /// conditional. Where the model has `client_ids` and it is not conditional, a document that is not there is made.
    pub fn replace(&self, id: impl Into<Id<T>>, value: T) -> RemoteChanging<'_, T> {
        RemoteChanging { model: self, id: id.into(), what: What::Replace(Box::new(value)), if_rev: None }
    }

    /// Deletes one document, and answers it. `.if_rev(…)` makes it conditional.
    pub fn delete(&self, id: impl Into<Id<T>>) -> RemoteChanging<'_, T> {
        RemoteChanging { model: self, id: id.into(), what: What::Delete, if_rev: None }
    }

    /// Calls a method by its id, with JSON arguments. A method that is a transaction is called once, however often the call is sent.
    ///
    /// # Errors
    /// `METHOD_NOT_FOUND`, `VALIDATION_ERROR`, or what the handler answers.
    pub async fn call(&self, id: &str, args: Value) -> Result<Value> {
        let key = uuid::Uuid::new_v4().to_string();
        match self.call_once(&key, id, args.clone()).await {
            // Refused before anything was done.
            Err(error) if error.get("transaction") == Some(&Value::Bool(false)) => self.called(id, &args, None).await,
            outcome => outcome,
        }
    }

    /// The same under a key of the program's own; see [`Model::call_once`](crate::Model::call_once).
    ///
    /// # Errors
    /// As in process.
    pub async fn call_once(&self, key: &str, id: &str, args: Value) -> Result<Value> {
        self.called(id, &args, Some(key)).await
    }

    async fn called(&self, id: &str, args: &Value, key: Option<&str>) -> Result<Value> {
        let mut asked = Asked::new(Method::POST, path(&self.id, id)).json(serde_json::to_vec(args)?);
        if let Some(key) = key {
            let wrong = |_| Error::new(ErrorCode::InvalidRequest).message("the key of a call is visible ASCII");
            asked = asked.header(KEY, HeaderValue::try_from(key).map_err(wrong)?);
        }
        let answer = self.client.core.ask(&asked, key.is_some()).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Sends a file to an upload by its id, with JSON for its fields, in pieces that are acknowledged: where the connection breaks it
    /// goes on from where the server has it. `.progress(…)` is told how far it is.
    pub fn call_upload<'a, R>(&'a self, id: &'a str, source: R, fields: Value) -> RemoteUpload<'a, R>
    where
        R: AsyncRead + AsyncSeek + Send + Unpin + 'a,
    {
        RemoteUpload::new(&self.client, &self.id, id, source, fields)
    }

    /// The handle of a model that extends this one.
    #[must_use]
    pub fn extension<E: Extends<T>>(&self) -> RemoteModel<E> {
        RemoteModel::new(self.client.clone(), <E as ModelType>::DECLARATION.id)
    }

    /// The room of this filter: what is published to it, and its events.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "filters are handed over, here as everywhere")]
    pub fn subscription(&self, filter: Filter<T>) -> RemoteSubscription<T> {
        RemoteSubscription::new(self.clone(), filter.to_json())
    }

    /// The list of a query that stays as the one at the server is: what matches now, and each commit that changes it. See
    /// [`RemoteLiveQuery`].
    ///
    /// # Errors
    /// Those of the server; `UNAVAILABLE` when it is not reached in time.
    pub async fn live(&self, query: impl Into<Query<T>>) -> Result<RemoteLiveQuery<T>> {
        RemoteLiveQuery::begin(&self.client, &self.id, &query.into()).await
    }
}

/// A query as the wire has it.
pub(super) fn members<T>(query: &Query<T>) -> Map<String, Value> {
    let raw = query.to_raw();
    let mut body = Map::from_iter([("filter".to_owned(), raw.filter.to_json())]);
    if !raw.sort.keys().is_empty() {
        body.insert("sort".into(), raw.sort.to_json());
    }
    if raw.skip > 0 {
        body.insert("skip".into(), raw.skip.into());
    }
    if let Some(limit) = raw.limit {
        // In process more than the most is the most.
        body.insert("limit".into(), limit.min(MAX_LIMIT).into());
    }
    if let Some(cursor) = raw.cursor {
        body.insert("cursor".into(), cursor.into());
    }
    body
}

impl<M: ModelType> Calls<M> for RemoteModel<M> {
    async fn call_method<A: Args, O: Output>(&self, called: Called<O>, args: A) -> Result<O> {
        let args = self.written(&args)?;
        let key = called.transaction.then(|| uuid::Uuid::new_v4().to_string());
        let value = self.called(called.id, &args, key.as_deref()).await?;
        read_as_answer(|| (called.read)(value))
    }
}

/// A query of [`RemoteModel::find`], run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a query is run by `.await`"]
pub struct RemoteFind<'a, T> {
    model: &'a RemoteModel<T>,
    query: Query<T>,
}

impl<T: Stored> RemoteFind<'_, T> {
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
}

/// A list of [`RemoteModel::list`], run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a query is run by `.await`"]
pub struct RemoteListing<'a, T> {
    model: &'a RemoteModel<T>,
    query: Query<T>,
}

/// A query whose documents are answered in part, as `P`; run by `.await`.
#[derive(Clone, Debug)]
#[must_use = "a query is run by `.await`"]
pub struct RemoteShowing<Q, P> {
    query: Q,
    fields: Value,
    shown: PhantomData<fn() -> P>,
}

/// The projection that a part of a model is.
fn fields_of<P: schemars::JsonSchema>() -> Value {
    let schema = schema_of::<P>();
    let names = schema.get("properties").and_then(Value::as_object);
    names.into_iter().flat_map(Map::keys).map(|name| (name.clone(), Value::from(1))).collect()
}

macro_rules! queries {
    ($($query:ident as $all:ident by $read:ident;)*) => {$(
        impl<T: Stored> $query<'_, T> {
            /// Of each document these fields, as JSON.
            pub fn fields(self, projection: Projection<T>) -> RemoteShowing<Self, Document> {
                RemoteShowing { query: self, fields: projection.raw().to_json(), shown: PhantomData }
            }

            /// Of each document the part that a struct with `#[value(of = …)]` is. Nothing else is sent.
            pub fn project<P: PartOf<T> + Stored>(self) -> RemoteShowing<Self, P> {
                RemoteShowing { query: self, fields: fields_of::<P>(), shown: PhantomData }
            }
        }

        impl<'a, T: Stored> IntoFuture for $query<'a, T> {
            type Output = Result<$all<T>>;
            type IntoFuture = Operation<'a, $all<T>>;
            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move { self.model.$read(&self.query, None).await })
            }
        }

        impl<'a, T: Stored, P: DeserializeOwned + Send + Sync + 'static> IntoFuture for RemoteShowing<$query<'a, T>, P> {
            type Output = Result<$all<P>>;
            type IntoFuture = Operation<'a, $all<P>>;
            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move { self.query.model.$read(&self.query.query, Some(&self.fields)).await })
            }
        }
    )*};
}

/// Documents of a query.
type Docs<T> = Vec<Doc<T>>;

queries! {
    RemoteFind as Docs by pages;
    RemoteListing as Page by page;
}

enum What<T> {
    Update(Update<T>),
    Replace(Box<T>),
    Delete,
}

/// A write to one document, done by `.await`. The errors are those of the same write in process.
#[must_use = "a write is done by `.await`"]
pub struct RemoteChanging<'a, T> {
    model: &'a RemoteModel<T>,
    id: Id<T>,
    what: What<T>,
    if_rev: Option<u64>,
}

impl<T> std::fmt::Debug for RemoteChanging<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteChanging").field("if_rev", &self.if_rev).finish_non_exhaustive()
    }
}

impl<T> RemoteChanging<'_, T> {
    /// Only if the document is at this revision; else `CONFLICT`.
    pub fn if_rev(mut self, rev: u64) -> Self {
        self.if_rev = Some(rev);
        self
    }
}

impl<'a, T: Stored> IntoFuture for RemoteChanging<'a, T> {
    type Output = Result<Doc<T>>;
    type IntoFuture = Operation<'a, Doc<T>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let path = self.model.of_document(&self.id);
            let asked = match &self.what {
                What::Update(update) => {
                    Asked::new(Method::PATCH, path).json(serde_json::to_vec(&update.raw().to_json()?)?)
                }
                What::Replace(value) => {
                    Asked::new(Method::PUT, path).json(serde_json::to_vec(&self.model.written(&**value)?)?)
                }
                What::Delete => Asked::new(Method::DELETE, path),
            };
            document(&self.model.client.write(if_match(asked, self.if_rev)?).await?)
        })
    }
}
