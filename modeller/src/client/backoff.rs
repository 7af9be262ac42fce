//! How long to wait before the next attempt.

use std::time::Duration;

/// The first wait is at most so long.
const FIRST: Duration = Duration::from_millis(100);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(15);

/// Waits that double, each a random part of its most: what was cut off at once does not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let mut random = [0; 4];
        // Without randomness all wait the longest.
        let part = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
        // Never at once.
        (most / 4) + (most * 3 / 4).mul_f64(f64::from(part) / f64::from(u32::MAX))
    }

    /// Begins again: it went well.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        for attempt in 0..100 {
            let (most, wait) = (FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST), backoff.next());
            assert!(wait <= most && wait >= most / 4, "{attempt}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
