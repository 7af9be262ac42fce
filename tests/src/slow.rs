//! An engine that takes its time.

use std::sync::Mutex;
use std::time::Duration;

use modeller::Result;
use modeller::storage::{Append, Group, Head, Memory, Opened, Storage, StoredDocument, Tail};

use crate::random::Random;

/// A store in memory whose appends take up to so long before and after it does them. With any time at all the committer has a
/// thread of its own; without, it is whoever comes first.
#[derive(Debug)]
pub struct Slow {
    memory: Memory,
    most: Duration,
    random: Mutex<Random>,
}

impl Slow {
    /// This store, and how long an append takes at most, twice.
    #[must_use]
    pub fn new(memory: Memory, most: Duration, seed: u64) -> Self {
        Self { memory, most, random: Mutex::new(Random::new(seed)) }
    }

    fn wait(&self) {
        if self.most.is_zero() {
            return;
        }
        let parts = self.random.lock().map_or(0, |mut random| random.below(1_000));
        std::thread::sleep(self.most.mul_f64(parts as f64 / 1_000.0));
    }
}

impl Storage for Slow {
    fn open(&self, load: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened> {
        self.memory.open(load)
    }

    fn append(&self, head: &Head, group: &Group) -> Result<Append> {
        self.wait();
        let answer = self.memory.append(head, group);
        self.wait();
        answer
    }

    fn find(&self, group: uuid::Uuid) -> Result<Option<Head>> {
        self.memory.find(group)
    }

    fn tail(&self, after: u64) -> Result<Tail> {
        self.memory.tail(after)
    }

    fn is_instant(&self) -> bool {
        self.most.is_zero()
    }

    fn describe(&self) -> String {
        "memory that takes its time".into()
    }
}
