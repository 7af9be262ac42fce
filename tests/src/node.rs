//! A program of Node that answers a line of JSON with a line of JSON, to ask what another implementation says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A running program. It ends when this is dropped.
pub struct Node {
    process: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Starts the program. The packages are those in `$MODELLER_NPM`, or where `.ci/run` installs them.
    #[must_use]
    pub fn start(program: &str) -> Self {
        // Also from another crate of the workspace, which this is a module of.
        Self::run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/js").join(program), &[])
    }

    /// Starts a program that is elsewhere, with these arguments.
    #[must_use]
    pub fn run(program: &Path, arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let packages = std::env::var_os("MODELLER_NPM").map_or_else(|| root.join("target/npm"), PathBuf::from);
        let mut process = Command::new("node")
            .arg(program)
            .args(arguments)
            .env("MODELLER_NPM", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let input = BufWriter::new(process.stdin.take().expect("it is piped"));
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, input, output }
    }

    /// What the program answers.
    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").and_then(|()| self.input.flush()).expect("the program reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the program answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the answer `{line}` is no JSON: {error}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
