//! How often one caller may ask, in memory of a fixed size.
//!
//! The rate of each caller is kept by the generic cell rate algorithm (ITU-T I.371): one number, the time at which his allowance
//! is whole again. The numbers stand in two rows of a table, at places that a keyed hash chooses; the smaller one counts. So
//! nobody can make the table grow, and two callers share an allowance only where both of their places are the same.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many places a row has; a power of two.
const PLACES: usize = 1 << 14;
const MINUTE: u64 = 60_000_000_000;

pub(super) struct Rates {
    hasher: RandomState,
    begin: Instant,
    /// Both rows, made when the first is counted.
    places: OnceLock<Box<[AtomicU64]>>,
}

impl Rates {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), begin: Instant::now(), places: OnceLock::new() }
    }

    /// Takes one of the so many that a key has a minute, and at once. `Err` is how long to wait for the next.
    pub(super) fn take(&self, key: &impl Hash, per_minute: u32) -> Result<(), Duration> {
        // From one on, so that an empty place is in the past.
        let now = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX / 4).saturating_add(1);
        self.take_at(key, per_minute, now)
    }

    fn take_at(&self, key: &impl Hash, per_minute: u32, now: u64) -> Result<(), Duration> {
        let Some(interval) = MINUTE.checked_div(per_minute.into()) else { return Err(Duration::from_nanos(MINUTE)) };
        let places = self.places.get_or_init(|| (0..2 * PLACES).map(|_| AtomicU64::new(0)).collect());
        let hash = self.hasher.hash_one((key, per_minute));
        let at = |row: usize| (hash >> (row * 32)) as usize % PLACES + row * PLACES;
        let (Some(one), Some(two)) = (places.get(at(0)), places.get(at(1))) else { return Ok(()) };
        loop {
            let (first, second) = (one.load(Ordering::Acquire), two.load(Ordering::Acquire));
            let (least, other, known) = if first <= second { (one, two, first) } else { (two, one, second) };
            let next = known.max(now) + interval;
            let ahead = next - now;
            if ahead > MINUTE {
                return Err(Duration::from_nanos(ahead - MINUTE));
            }
            // The greater one goes first: no place ever falls, so whoever then sees the lesser one raised cannot take
            // the same allowance from the greater one. The other way round, he would find that one the least.
            other.fetch_max(next, Ordering::AcqRel);
            if least.compare_exchange_weak(known, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn so_many_at_once_and_then_as_they_come_back() {
        let rates = Rates::new();
        let taken =
            |key: &str, per_minute, now| (0..1_000).filter(|_| rates.take_at(&key, per_minute, now).is_ok()).count();
        assert_eq!(taken("ada", 60, 1), 60);
        assert_eq!(rates.take_at(&"ada", 60, 1), Err(Duration::from_secs(1)));
        assert_eq!(taken("ada", 60, 1 + 10 * SECOND), 10);
        assert_eq!(taken("bob", 60, 1), 60, "one caller's rate is not the other's");
        assert_eq!(taken("ada", 60, 1 + 600 * SECOND), 60, "what was not used is not saved up");
        assert_eq!((taken("eve", 0, 1), taken("eve", 1, 1)), (0, 1));
    }

    #[test]
    fn many_callers_share_no_allowance() {
        let rates = Rates::new();
        for caller in 0..2_000 {
            assert!((0..5).all(|_| rates.take_at(&caller, 5, 1).is_ok()) || caller > 100, "{caller}");
        }
        let again = (0..2_000).filter(|caller| rates.take_at(caller, 5, 1).is_ok()).count();
        assert!(again < 40, "{again} were let through beyond their rate");
    }

    #[test]
    fn threads_take_no_more_together() {
        let (rates, callers, threads) = (Rates::new(), 2_000, 4);
        let taken: Vec<AtomicU64> = (0..callers).map(|_| AtomicU64::new(0)).collect();
        let barrier = std::sync::Barrier::new(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for (caller, taken) in taken.iter().enumerate() {
                        // Begun together, for what goes wrong between threads does so within nanoseconds.
                        barrier.wait();
                        let many = (0..50).filter(|_| rates.take_at(&caller, 50, 1).is_ok()).count();
                        taken.fetch_add(many as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        // A caller may have less, where both of his places are those of callers before him; never more.
        let taken: Vec<u64> = taken.into_iter().map(AtomicU64::into_inner).collect();
        assert_eq!(taken.iter().max(), Some(&50), "{taken:?}");
        assert_eq!(taken.first(), Some(&50));
    }
}
