//! The in-process measurement runs, and all subjects answer the same. How fast they are is no matter of a test.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[test]
fn all_subjects_answer_the_same() {
    let output = Command::new(env!("CARGO_BIN_EXE_in_process")).args(["20000", "1"]).output().unwrap();
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}");
    for case in ["insert text, 64 tasks", "get by email", "scan", "bytes a document", "reject, ajv in Node"] {
        assert!(told.contains(case), "{told}");
    }
}
