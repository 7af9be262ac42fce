//! The transport layer from outside: routes by a router without a network, the socket and the limits by real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod auth;
mod bad_input;
mod routes;
mod socket;
mod start;
mod support;
