//! The transport layer from outside: routes by a router without a network, the socket and the limits by real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]
#![allow(clippy::print_stdout, reason = "figures that show what a test has done")]

mod access;
mod access_law;
mod auth;
mod bad_input;
mod custom;
mod doors;
mod errors;
mod events;
mod files;
mod flattened;
mod forms;
mod jwks;
mod limits;
mod lists;
mod live;
mod logins;
mod oidc;
mod openapi;
mod operations;
mod otel;
mod private;
mod protected;
mod resume;
mod routes;
mod schema_models;
mod signing;
mod socket;
mod socketio;
mod sse;
mod start;
mod support;
mod trash;
mod uploaded;
mod ways_out;
mod writes;
