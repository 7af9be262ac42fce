//! Tests of the data layer, through the public surface: documents, queries, transactions, the commit log and its engines.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod contention;
mod faults;
mod model;
