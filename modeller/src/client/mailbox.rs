//! Between the socket, which must not wait, and one who reads at his own pace: a queue with a bound.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::Mutex;

use crate::error::{Error, Result};

struct State<E> {
    queue: VecDeque<E>,
    /// Nothing follows what is in the queue but the error, if there is one.
    ended: bool,
    error: Option<Error>,
    waker: Option<Waker>,
    /// Nobody reads any more.
    closed: bool,
}

/// What waits for a reader.
pub(super) struct Mailbox<E>(Mutex<State<E>>);

impl<E> Mailbox<E> {
    pub(super) fn new() -> Arc<Self> {
        let state = State { queue: VecDeque::new(), ended: false, error: None, waker: None, closed: false };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Puts something in, as `put` does it within the bound.
    pub(super) fn put(&self, put: impl FnOnce(&mut VecDeque<E>)) {
        let mut state = self.0.lock();
        if state.closed || state.ended {
            return;
        }
        put(&mut state.queue);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing follows but this.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut state = self.0.lock();
        if state.ended {
            return;
        }
        (state.ended, state.error) = (true, error);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.queue = VecDeque::new();
    }

    /// Whether nothing more has to be put in.
    pub(super) fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.closed || state.ended
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<E>>> {
        let mut state = self.0.lock();
        if let Some(next) = state.queue.pop_front() {
            return Poll::Ready(Some(Ok(next)));
        }
        if state.ended {
            return Poll::Ready(state.error.take().map(Err));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The one who reads. It leaves when it is dropped.
pub(super) struct Reader<E> {
    mailbox: Arc<Mailbox<E>>,
    /// The socket lasts as long as somebody reads, and looks for those that have left when it is told.
    socket: super::socket::Socket,
}

impl<E> Reader<E> {
    pub(super) fn new(mailbox: Arc<Mailbox<E>>, socket: super::socket::Socket) -> Self {
        Self { mailbox, socket }
    }

    pub(super) async fn next(&mut self) -> Option<Result<E>> {
        std::future::poll_fn(|cx| self.mailbox.poll(cx)).await
    }
}

impl<E> Stream for Reader<E> {
    type Item = Result<E>;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.mailbox.poll(cx)
    }
}

impl<E> Drop for Reader<E> {
    fn drop(&mut self) {
        self.mailbox.close();
        self.socket.sweep();
    }
}
