//! The room of a filter, from outside.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use serde_json::{Map, Value};

use super::mailbox::{Mailbox, Reader};
use super::model::RemoteModel;
use super::socket::{Sink, Target};
use crate::core::call::{Args, Called, Dispatches, Output};
use crate::core::decimal::to_value;
use crate::core::document::Stored;
use crate::core::private::{read_as_answer, written_for};
use crate::core::schema::ModelType;
use crate::error::{Error, Result};

/// How many payloads wait for a listener before it misses the oldest; as in process.
const BACKLOG: usize = 1_024;

/// What a [`RemoteListener`] hears.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Delivery {
    /// A payload, and the commit that it left with.
    Payload {
        /// Sequence number of the commit.
        seq: u64,
        /// What was published.
        payload: Value,
    },
    /// Here payloads are missing: the listener was too slow, or the connection was away for longer than the server keeps what was
    /// published. Who needs all of them reads afresh what they are about.
    Missed,
}

/// A room of the model `T` of an application that is served elsewhere: what [`RemoteModel::subscription`] gives. It has the surface
/// of a [`Subscription`](crate::Subscription) in process, but for what only the application does there, and the events of the model by
/// their traits.
///
/// ```no_run
/// # use modeller::{client::{Client, Delivery}, prelude::*};
/// # #[model(id = "users", public)]
/// # pub struct User { pub name: String, pub admin: bool }
/// # async fn example() -> Result<()> {
/// let users = Client::connect("http://127.0.0.1:3030")?.model::<User>();
/// let mut heard = users.subscription(User::ADMIN.eq(true)).listen().await?;
/// while let Some(delivery) = heard.next().await {
///     match delivery? {
///         Delivery::Payload { payload, .. } => println!("{payload}"),
///         _ => println!("something was missed"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct RemoteSubscription<T> {
    model: RemoteModel<T>,
    filter: Value,
}

impl<T> Clone for RemoteSubscription<T> {
    fn clone(&self) -> Self {
        Self { model: self.model.clone(), filter: self.filter.clone() }
    }
}

impl<T> std::fmt::Debug for RemoteSubscription<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteSubscription").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<T> RemoteSubscription<T> {
    pub(super) fn new(model: RemoteModel<T>, filter: Value) -> Self {
        Self { model, filter }
    }

    fn params(&self) -> Map<String, Value> {
        let model = Value::from(&*self.model.id);
        Map::from_iter([("model".to_owned(), model), ("filter".to_owned(), self.filter.clone())])
    }
}

impl<T: Stored> RemoteSubscription<T> {
    /// Hears all that is published from here on, also what is while the connection is away for a while.
    ///
    /// # Errors
    /// Those of the server; `UNAVAILABLE` when it is not reached in time.
    pub async fn listen(&self) -> Result<RemoteListener> {
        let socket = self.model.client.socket();
        let mailbox = Mailbox::new();
        let reader = Reader::new(mailbox.clone(), socket.clone());
        socket.join(Target::Room, self.params(), Sink::Room(mailbox), self.model.client.core.patience).await?;
        Ok(RemoteListener(reader))
    }

    /// Runs an event of the model with JSON arguments. It goes over the socket, and is not sent again when that breaks.
    ///
    /// # Errors
    /// `EVENT_NOT_FOUND`, `VALIDATION_ERROR`, or what the handler answers; `UNAVAILABLE` when the connection broke before the
    /// answer, and then it may have been run.
    pub async fn dispatch(&self, id: &str, args: Value) -> Result<Value> {
        let mut params = self.params();
        params.insert("event".into(), id.into());
        params.insert("args".into(), args);
        self.model.client.socket().ask("dispatch", params, self.model.client.core.patience).await
    }
}

impl<M: ModelType> Dispatches<M> for RemoteSubscription<M> {
    async fn dispatch_event<A: Args, O: Output>(&self, called: Called<O>, args: A) -> Result<O> {
        let audience = self.model.client.core.audience();
        let args = written_for(audience, || to_value(&args)).map_err(Error::internal)?;
        let value = self.dispatch(called.id, args).await?;
        read_as_answer(|| (called.read)(value))
    }
}

/// One who listens to a room: a stream of what is published. Up to 1,024 payloads wait for it; then the oldest are missed, which it
/// is told. It ends with an error when the caller may not listen any more.
pub struct RemoteListener(Reader<Delivery>);

impl std::fmt::Debug for RemoteListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteListener").finish()
    }
}

impl RemoteListener {
    /// What is heard next; `None` when nothing can follow.
    pub async fn next(&mut self) -> Option<Result<Delivery>> {
        self.0.next().await
    }
}

impl Stream for RemoteListener {
    type Item = Result<Delivery>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// Puts a delivery in, within the bound.
pub(super) fn deliver(mailbox: &Arc<Mailbox<Delivery>>, delivery: Delivery) {
    mailbox.put(|queue: &mut VecDeque<Delivery>| {
        if delivery == Delivery::Missed && queue.back() == Some(&Delivery::Missed) {
            return;
        }
        if queue.len() >= BACKLOG {
            // What is missed is told where it would have been.
            queue.pop_front();
            match queue.front_mut() {
                Some(first) => *first = Delivery::Missed,
                None => queue.push_front(Delivery::Missed),
            }
        }
        queue.push_back(delivery);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_reads_too_slowly_is_told_what_is_missing() {
        let mailbox = Mailbox::new();
        for seq in 0..3_000 {
            deliver(&mailbox, Delivery::Payload { seq, payload: seq.into() });
        }
        mailbox.end(None);
        let mut heard = Vec::new();
        let mut reader = Reader::new(mailbox, super::super::socket::Socket::nowhere());
        while let Some(delivery) = reader.next().await {
            heard.push(delivery.unwrap());
        }
        assert_eq!((heard.len(), &heard[0]), (BACKLOG, &Delivery::Missed));
        let last = Delivery::Payload { seq: 2_999, payload: 2_999.into() };
        assert_eq!((&heard[BACKLOG - 1], heard.iter().filter(|one| **one == Delivery::Missed).count()), (&last, 1));
    }
}
