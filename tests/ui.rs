//! The words that the attributes say to a user, and programs that have to compile.
//!
//! A difference in a `.stderr` is a change for every user: look at it like at code, then renew the files with
//! `TRYBUILD=overwrite cargo test -p modeller-tests --test ui`. The words of rustc change with its version, so the failing
//! programs are compared only by the version that wrote them.

#[test]
fn programs_that_compile() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn programs_that_do_not() {
    trybuild::TestCases::new().compile_fail("ui/fail/*/*.rs");
}
