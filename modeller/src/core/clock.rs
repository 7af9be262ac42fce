//! What time it is, for all that waits for a time: that of the machine, or one that a test moves.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// How long is slept at a stretch: the machine's clock may be set meanwhile.
const STRETCH: Duration = Duration::from_secs(30);

/// A clock. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Option<Arc<watch::Sender<u64>>>);

impl Clock {
    /// One that stands still until it is moved, from this on, in milliseconds since the Unix epoch.
    pub(crate) fn standing_at(now: u64) -> Self {
        Self(Some(Arc::new(watch::Sender::new(now))))
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Some(moved) => *moved.borrow(),
            None => now_ms(),
        }
    }

    /// Moves a clock that stands still.
    pub(crate) fn advance(&self, by: Duration) {
        if let Some(moved) = &self.0 {
            moved.send_modify(|now| *now = now.saturating_add(millis(by)));
        }
    }

    /// Waits until it is so late.
    pub(crate) async fn sleep_until(&self, at: u64) {
        match &self.0 {
            Some(moved) => {
                // The sender is held here, so that it cannot be gone.
                let _ = moved.subscribe().wait_for(|now| *now >= at).await;
            }
            None => loop {
                let now = now_ms();
                if now >= at {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(at - now).min(STRETCH)).await;
            },
        }
    }
}

/// The machine's clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
