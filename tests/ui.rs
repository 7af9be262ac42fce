//! The words that the attributes say to a user, and programs that have to compile.
//!
//! A difference in a `.stderr` is a change for every user: look at it like at code, then renew the files with
//! `TRYBUILD=overwrite cargo test -p modeller-tests --test ui`. Part of the words are rustc's and change with its version, so
//! the failing programs are compared by one version only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// The compiler that wrote the `.stderr` files.
const WRITTEN_BY: &str = "rustc 1.95.";

#[test]
fn programs_that_compile() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn programs_that_do_not() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().unwrap().stdout;
    if version.starts_with(WRITTEN_BY.as_bytes()) {
        trybuild::TestCases::new().compile_fail("ui/fail/*/*.rs");
    }
}
