//! Where another implementation is meant to answer otherwise: `tests/differences.json`, and how often that was the excuse.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde_json::Value;

/// The differences from one implementation.
pub struct Differences {
    against: String,
    taken: BTreeMap<String, usize>,
}

impl Differences {
    /// Those from the implementation of this name. `known` are the ids that the test has a predicate for; the file has to
    /// list the same.
    #[must_use]
    pub fn from(against: &str, known: &[&str]) -> Self {
        let file: Value = serde_json::from_str(include_str!("../differences.json")).expect("the file is JSON");
        let mut taken = BTreeMap::new();
        for entry in file.as_array().expect("it is a list") {
            let text =
                |name: &str| entry[name].as_str().filter(|text| !text.is_empty()).expect("all members are there");
            let (id, _) = (text("id"), (text("theirs"), text("ours"), text("reason")));
            if text("against") == against {
                assert!(taken.insert(id.to_owned(), 0).is_none(), "`{id}` is listed twice");
            }
        }
        let listed: Vec<&str> = taken.keys().map(String::as_str).collect();
        let mut known = known.to_vec();
        known.sort_unstable();
        assert_eq!(listed, known, "tests/differences.json and the predicates of the test differ");
        Self { against: against.to_owned(), taken }
    }

    /// Counts a case that the difference was the excuse for.
    pub fn take(&mut self, id: &str) {
        *self.taken.get_mut(id).expect("it is listed") += 1;
    }

    /// How many cases the difference was the excuse for.
    #[must_use]
    pub fn taken(&self, id: &str) -> usize {
        self.taken.get(id).copied().unwrap_or(0)
    }

    /// What was taken how often, one to a line; with a word on those that never were.
    #[must_use]
    pub fn report(&self) -> String {
        let line = |(id, times): (&String, &usize)| match times {
            0 => format!("  {id}: never, in this run\n"),
            times => format!("  {id}: {times}\n"),
        };
        format!("intended differences from {}:\n{}", self.against, self.taken.iter().map(line).collect::<String>())
    }
}
