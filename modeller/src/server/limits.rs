//! What a server takes at most, and how it counts.
//!
//! Every queue and every buffer between a client and the commit log has a bound, so that no client can make the process grow
//! or hold up another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long the header of a request may take, and how long a connection may be idle between two requests.
pub(super) const HEADER_TIME: Duration = Duration::from_secs(10);
/// How long the body of a request may take.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what is written to it.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(30);
/// How many bytes the header of a request may have; what is read at once of a body.
pub(super) const HEADER_BYTES: usize = 64 << 10;
/// How many bytes beyond the limit are read and thrown away, so that a client that is still sending hears why.
pub(super) const DISCARD_BYTES: usize = 16 << 20;
/// How long that may take.
pub(super) const DISCARD_TIME: Duration = Duration::from_secs(5);
/// How long a request waits for the commit that it names in `Modeller-Min-Seq`.
pub(super) const MIN_SEQ_TIME: Duration = Duration::from_secs(1);
/// How long requests in flight may take when the server stops.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How many calls are under way at once, those of clients that are gone included.
const CALLS: usize = 20_000;

/// How many subscriptions a session has.
pub(super) const SUBSCRIPTIONS: usize = 100;
/// How many requests of a session are under way; no more is read meanwhile.
pub(super) const IN_FLIGHT: usize = 64;
/// How many frames wait for a client that reads slowly. A burst of commits comes faster than the best client can be woken, so
/// that the number is generous: a frame that waits costs its place in the queue, and its bytes, which all of its room share.
pub(super) const QUEUE_FRAMES: usize = 65_536;
/// How many bytes they have. This is what bounds the memory of a client that does not read.
pub(super) const QUEUE_BYTES: usize = 16 << 20;
/// How many bytes a frame of a client has.
pub(super) const FRAME_BYTES: usize = 1 << 20;
/// How often a client is pinged.
pub(super) const PING_EVERY: Duration = Duration::from_secs(25);
/// A client of whom nothing was heard for so long is gone: it has had 20 seconds to answer a ping, as in Socket.IO.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
/// How long the goodbye of a socket may take.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The limits that a program chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(super) body: usize,
    pub(super) connections: usize,
    pub(super) sockets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1 << 20, connections: 10_000, sockets: 10_000 }
    }
}

/// Lets so many in at once, and knows when all are out.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    free: Arc<Semaphore>,
    size: u32,
}

impl Gate {
    pub(super) fn new(size: usize) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self { free: Arc::new(Semaphore::new(size as usize)), size }
    }

    pub(super) fn of_calls() -> Self {
        Self::new(CALLS)
    }

    /// Waits to be let in. `None` never happens: the gate is not closed.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// `None` when it is full.
    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Resolves when all are out. Nobody is let in from here on.
    pub(super) async fn drained(&self) {
        if let Ok(all) = self.free.acquire_many(self.size).await {
            all.forget();
        }
    }
}
