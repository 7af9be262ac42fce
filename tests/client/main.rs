//! The client from outside, against an application that is served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]

mod calls;
mod cuts;
mod documents;
mod live;
mod rooms;
mod support;
mod tokens;
mod uploads;
