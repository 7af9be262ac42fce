//! Tests of behaviour, through the public surface: hooks, methods, events, workers, subscriptions.

#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod adapter;
mod all_or_none;
mod calls;
mod extensions;
mod handles;
mod hooks;
mod jobs;
mod later;
mod live;
mod logging;
mod many;
mod operations;
mod paths;
mod references;
mod trash;
mod uploads;
mod workers;
