//! The list of a live query, kept as the one at the server is.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::Client;
use super::mailbox::{Mailbox, Reader};
use super::model::members;
use super::socket::{Replica, Sink, Target};
use crate::core::document::{Doc, Stored};
use crate::core::id::{Id, RawId};
use crate::core::private::read_as_answer;
use crate::core::query::Query;
use crate::error::{Error, ErrorCode, Result};
use crate::wire::live::LiveChange;

/// How many events wait for who reads them, before they become one with the list as a whole.
const BACKLOG: usize = 256;

/// One change of the list of a live query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RemoteLiveChange<T> {
    /// A document is no longer in the list.
    Leave {
        /// Its id.
        id: Id<T>,
    },
    /// A document that stays in the list was changed, or has another place.
    Change {
        /// As it is now.
        doc: Doc<T>,
        /// Its index in the list after the commit.
        at: usize,
    },
    /// A document that was not in the list.
    Enter {
        /// The document.
        doc: Doc<T>,
        /// Its index in the list after the commit.
        at: usize,
    },
}

/// What becomes of the list of a live query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RemoteLiveEvent<T> {
    /// The list as a whole: at the beginning, where it could not be told what has changed, and where who reads was too slow for each
    /// commit.
    Snapshot {
        /// The commit that it shows.
        seq: u64,
        /// The documents, in order.
        items: Vec<Doc<T>>,
    },
    /// What a commit has changed, or all commits while the connection was away.
    Commit {
        /// The commit that the list shows now.
        seq: u64,
        /// First those that leave; the others by their place in the list.
        changes: Vec<RemoteLiveChange<T>>,
    },
}

/// The list of a query that stays as the one at the server is: what [`RemoteModel::live`](super::RemoteModel::live) gives.
///
/// [`RemoteLiveQuery::items`] is at any time the whole list as it was after some commit, and goes on without anybody who reads. As a
/// stream it tells what has become of it. While the connection is away it stays as it is; then it catches up by the difference.
///
/// ```no_run
/// # use modeller::{client::{Client, RemoteLiveEvent}, prelude::*};
/// # #[model(id = "todos", public)]
/// # pub struct Todo { pub title: String, pub done: bool }
/// # async fn example() -> Result<()> {
/// let todos = Client::connect("http://127.0.0.1:3030")?.model::<Todo>();
/// let mut open = todos.live(Query::of(Todo::DONE.eq(false)).sort(Todo::TITLE.asc()).limit(50)).await?;
/// while let Some(event) = open.next().await {
///     event?;
///     println!("{} to do, as of commit {}", open.items().len(), open.seq());
/// }
/// # Ok(())
/// # }
/// ```
pub struct RemoteLiveQuery<T> {
    list: Arc<List<T>>,
    reader: Reader<RemoteLiveEvent<T>>,
}

impl<T> std::fmt::Debug for RemoteLiveQuery<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteLiveQuery").field("seq", &self.list.held.lock().0).finish_non_exhaustive()
    }
}

/// What the socket writes, and the program reads.
struct List<T> {
    held: Mutex<(u64, Vec<Doc<T>>)>,
    events: Arc<Mailbox<RemoteLiveEvent<T>>>,
}

impl<T: Stored> RemoteLiveQuery<T> {
    pub(super) async fn begin(client: &Client, model: &str, query: &Query<T>) -> Result<Self> {
        if query.cursor.is_some() {
            return Err(Error::query("cursor", "a live query has no cursor; it has `skip` and `limit`"));
        }
        let events = Mailbox::new();
        let list = Arc::new(List { held: Mutex::default(), events: events.clone() });
        let reader = Reader::new(events, client.socket().clone());
        let mut params = members(query);
        params.insert("model".into(), model.into());
        client.socket().join(Target::Live, params, Sink::Live(list.clone()), client.core.patience).await?;
        Ok(Self { list, reader })
    }

    /// The documents, in order.
    #[must_use]
    pub fn items(&self) -> Vec<Doc<T>> {
        self.list.held.lock().1.clone()
    }

    /// The commit that the list shows.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.list.held.lock().0
    }

    /// The commit, and the list as it was after it.
    #[must_use]
    pub fn snapshot(&self) -> (u64, Vec<Doc<T>>) {
        self.list.held.lock().clone()
    }

    /// What becomes of the list next: first the list as it is. `None` after the error that it has ended with.
    pub async fn next(&mut self) -> Option<Result<RemoteLiveEvent<T>>> {
        self.reader.next().await
    }
}

impl<T: Stored> Stream for RemoteLiveQuery<T> {
    type Item = Result<RemoteLiveEvent<T>>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.reader).poll_next(cx)
    }
}

fn typed<T: Stored>(doc: &Map<String, Value>) -> Result<Doc<T>> {
    let unfit = |cause: serde_json::Error| Error::internal(cause).message("a document does not fit the type");
    read_as_answer(|| serde_json::from_value(Value::Object(doc.clone()))).map_err(unfit)
}

fn id_of(doc: &Map<String, Value>) -> Result<RawId> {
    let id = doc.get("_id").and_then(Value::as_str).unwrap_or_default();
    RawId::parse(id)
}

impl<T: Stored> List<T> {
    fn tell(&self, seq: u64, event: RemoteLiveEvent<T>) {
        let items = || self.held.lock().1.clone();
        self.events.put(|queue| {
            if queue.len() >= BACKLOG {
                queue.clear();
                queue.push_back(RemoteLiveEvent::Snapshot { seq, items: items() });
            } else {
                queue.push_back(event);
            }
        });
    }

    fn show(&self, seq: u64, list: &[Map<String, Value>]) -> Result<()> {
        let items = list.iter().map(typed).collect::<Result<Vec<_>>>()?;
        *self.held.lock() = (seq, items.clone());
        self.tell(seq, RemoteLiveEvent::Snapshot { seq, items });
        Ok(())
    }

    fn change(&self, seq: u64, list: &[Map<String, Value>], changes: &[LiveChange]) -> Result<()> {
        let mut touched = HashSet::new();
        let mut entered = HashSet::new();
        let mut told = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                LiveChange::Leave { id } => told.push(RemoteLiveChange::Leave { id: Id::from_raw(RawId::parse(id)?) }),
                LiveChange::Change { id, .. } => drop(touched.insert(RawId::parse(id)?)),
                LiveChange::Enter { doc, .. } => {
                    let id = id_of(doc)?;
                    touched.insert(id.clone());
                    entered.insert(id);
                }
            }
        }
        let before = self.held.lock().1.clone();
        let known: HashMap<RawId, Doc<T>> = before.into_iter().map(|doc| (doc.id().into_raw(), doc)).collect();
        let mut items = Vec::with_capacity(list.len());
        for (at, raw) in list.iter().enumerate() {
            let id = id_of(raw)?;
            let doc = match known.get(&id).filter(|_| !touched.contains(&id)) {
                Some(doc) => doc.clone(),
                None => typed(raw)?,
            };
            if touched.contains(&id) {
                let doc = doc.clone();
                told.push(match entered.contains(&id) {
                    true => RemoteLiveChange::Enter { doc, at },
                    false => RemoteLiveChange::Change { doc, at },
                });
            }
            items.push(doc);
        }
        *self.held.lock() = (seq, items);
        self.tell(seq, RemoteLiveEvent::Commit { seq, changes: told });
        Ok(())
    }
}

impl<T: Stored> Replica for List<T> {
    fn snapshot(&self, seq: u64, list: &[Map<String, Value>]) {
        if let Err(error) = self.show(seq, list) {
            self.end(error);
        }
    }

    fn commit(&self, seq: u64, list: &[Map<String, Value>], changes: &[LiveChange]) {
        if let Err(error) = self.change(seq, list, changes) {
            self.end(error);
        }
    }

    fn end(&self, error: Error) {
        self.events.end(Some(error));
    }

    fn is_over(&self) -> bool {
        self.events.is_over()
    }
}

/// The error of a subscription that the server has ended.
pub(super) fn ended(code: &str) -> Error {
    Error::new(ErrorCode::from(code.to_owned())).message("the server has ended the subscription")
}
