//! The engine against the programs whose behaviour it takes over: same questions, same answers. Where it is meant to answer
//! otherwise, `tests/differences.json` says why.

#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "counts that show what a test has done")]

mod mingo;
