//! The TypeScript client: what the compiler says of it, and what it does in Node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, reason = "what the program says, and figures")]

mod behaviour;
mod subject;
mod types;
