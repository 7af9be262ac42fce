//! How often somebody may try to sign in under a name, in memory of a bounded size.
//!
//! For each name one time is kept: when its allowance is whole again (the generic cell rate algorithm, ITU-T I.371). An attempt moves
//! it on by one interval, and one that went well moves it back.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

use crate::core::clock::millis;

/// How many names are known at a time. With more, those are forgotten first that have least to wait.
const MOST: usize = 1 << 14;

/// A name that an attempt was counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(u64);

pub(super) struct Attempts {
    /// How many at once.
    most: u64,
    /// In how many milliseconds one comes back.
    interval: u64,
    hasher: RandomState,
    whole: Mutex<HashMap<Name, u64>>,
}

impl Attempts {
    pub(super) fn new(most: u32, within: Duration) -> Self {
        let most = u64::from(most.max(1));
        Self { most, interval: (millis(within) / most).max(1), hasher: RandomState::new(), whole: Mutex::default() }
    }

    /// Counts an attempt. `Err` is how long to wait for the next.
    pub(super) fn take(&self, name: &str, now: u64) -> Result<Name, Duration> {
        let name = Name(self.hasher.hash_one(name));
        let mut whole = self.whole.lock();
        let until = whole.get(&name).map_or(now, |until| *until.max(&now)).saturating_add(self.interval);
        let ahead = until - now;
        let allowed = self.interval.saturating_mul(self.most);
        if ahead > allowed {
            return Err(Duration::from_millis(ahead - allowed));
        }
        if whole.len() >= MOST && !whole.contains_key(&name) {
            whole.retain(|_, until| *until > now);
            if whole.len() >= MOST
                && let Some(least) = whole.iter().min_by_key(|(_, until)| **until).map(|(name, _)| *name)
            {
                whole.remove(&least);
            }
        }
        whole.insert(name, until);
        Ok(name)
    }

    /// Takes back one that went well.
    pub(super) fn give_back(&self, name: Name) {
        if let Some(until) = self.whole.lock().get_mut(&name) {
            *until = until.saturating_sub(self.interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn so_many_at_once_and_then_as_they_come_back() {
        let attempts = Attempts::new(10, Duration::from_secs(900));
        let taken = |name: &str, now| (0..1_000).filter(|_| attempts.take(name, now).is_ok()).count();
        assert_eq!(taken("ada", NOW), 10);
        assert_eq!(attempts.take("ada", NOW), Err(Duration::from_secs(90)));
        assert_eq!(attempts.take("ada", NOW + 89_000), Err(Duration::from_secs(1)));
        assert_eq!((taken("ada", NOW + 90_000), taken("bob", NOW)), (1, 10));
        assert_eq!(taken("ada", NOW + 10_000_000), 10, "what was not used is not saved up");
        // Those that go well cost nothing.
        for _ in 0..100 {
            attempts.give_back(attempts.take("eve", NOW).unwrap());
        }
        assert_eq!(taken("eve", NOW), 10);
    }

    #[test]
    fn it_holds_no_more_than_so_many_names() {
        let attempts = Attempts::new(3, Duration::from_secs(60));
        let tried = |name: &str| (0..9).filter(|_| attempts.take(name, NOW).is_ok()).count();
        assert_eq!(tried("ada"), 3);
        for at in 0..2 * MOST {
            assert!(attempts.take(&at.to_string(), NOW).is_ok());
        }
        assert!(attempts.whole.lock().len() <= MOST);
        assert_eq!(tried("ada"), 0, "who has most to wait is not forgotten");
        assert!(attempts.take("late", NOW + 3_600_000).is_ok());
        assert_eq!(attempts.whole.lock().len(), 1);
    }
}
