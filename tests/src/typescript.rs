//! Generated clients: what is in them, and what TypeScript says of them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// How clients are checked: as strictly as any program may want to.
pub const STRICT: &[&str] = &[
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noUncheckedIndexedAccess",
    "--noImplicitOverride",
    "--noPropertyAccessFromIndexSignature",
    "--noFallthroughCasesInSwitch",
    "--noImplicitReturns",
    "--target",
    "es2022",
    "--lib",
    "es2022,dom,dom.iterable,dom.asynciterable",
    "--module",
    "es2022",
    "--moduleResolution",
    "bundler",
    "--typeRoots",
    "nowhere",
    "--pretty",
    "false",
];

/// Where the tests of clients are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("typescript")
}

/// Where the packages of Node are.
#[must_use]
pub fn packages() -> PathBuf {
    PathBuf::from(env!("MODELLER_NPM"))
}

/// What a client has beside its runtime, and that.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn parts(client: &str) -> (&str, &str) {
    let line = "// The runtime: the same in every client.";
    let at = client.find(line).expect("a client has a runtime");
    let before = client.get(..at).unwrap_or_default().trim_end();
    // The line above it belongs to it.
    let at = before.rfind('\n').map_or(0, |at| at + 1);
    client.split_at(at)
}

/// The client that a program writes.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn client_of(program: impl AsRef<Path>) -> String {
    let output = Command::new(program.as_ref()).args(["client", "typescript"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Compares a text with a file, or writes it there with `UPDATE_GOLDEN=1`.
///
/// # Panics
/// When they differ.
pub fn compare(file: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, text).expect("it can be written");
        return;
    }
    let known = std::fs::read_to_string(file).unwrap_or_default();
    let differs = known.lines().zip(text.lines()).position(|(known, now)| known != now);
    let at = differs.unwrap_or_else(|| known.lines().count().min(text.lines().count()));
    assert!(
        known == text,
        "{} differs from line {}: `{}` is now `{}`; look at it, and renew it with UPDATE_GOLDEN=1",
        file.display(),
        at + 1,
        known.lines().nth(at).unwrap_or_default(),
        text.lines().nth(at).unwrap_or_default(),
    );
}

/// The client of a program is what it was when somebody looked at it.
///
/// # Panics
/// When it is not.
pub fn is_golden(name: &str, program: impl AsRef<Path>) {
    let client = client_of(program);
    compare(&folder().join("golden").join(format!("{name}.ts")), parts(&client).0);
}

/// Runs the compiler of TypeScript in a folder, and answers whether it is content, and what it says.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn tsc(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let compiler = packages().join("node_modules/typescript/bin/tsc");
    let output = Command::new("node")
        .arg(compiler)
        .args(STRICT)
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("node runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}
