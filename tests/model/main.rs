//! Tests of behaviour, through the public surface: hooks, methods, events, workers, subscriptions.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod handles;
mod hooks;
mod operations;
