//! Tests of the data layer, through the public surface: documents, queries, transactions, the commit log and its engines.

#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "counts that show what a test has done")]

mod contention;
mod cursors;
mod engine;
mod faults;
mod indexes;
mod law;
mod lists;
mod migrations;
mod model;
mod projections;
mod references;
mod schema;
mod schema_models;
mod serializable;
