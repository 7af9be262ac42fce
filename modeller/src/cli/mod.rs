//! The program `modeller`, which needs no line of Rust from its user: `serve`, `migrate`, `validate`, `query` and `client`.

mod client;
mod lines;
#[cfg(feature = "sqlite")]
mod migrate;
mod query;
mod serve;
mod validate;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::error::{Error, Result};

const USAGE: &str = "\
modeller serve --model ID=SCHEMA.json [--model …] [--public | --protected] [--memory] [--addr …] [--data …] [--secret-file …]
    serves the models of JSON Schema files; see `modeller serve --help`
modeller migrate --data DIR [--model ID=SCHEMA.json …] [--update UPDATE] [--filter FILTER] [--drop ID …] [--dry-run]
    rewrites the documents of a store that no longer fit their models; see `modeller migrate --help`
modeller validate SCHEMA.json < DOCUMENTS.jsonl
    prints {\"line\": n, \"errors\": […]} for each line that does not fit, and ends with 1 if there is one
modeller query FILTER [--sort SORT] [--skip N] [--limit N] [--fields FIELDS] [--schema SCHEMA.json] < DOCUMENTS.jsonl
    prints the documents that match; FILTER, SORT and FIELDS are JSON in MongoDB syntax
modeller client typescript --url http://HOST:PORT [--out FILE]
    writes the typed client of a running program, or prints it
";

/// The largest schema file that is read, in bytes.
const MAX_SCHEMA: u64 = 4 * 1024 * 1024;

/// How a command ended.
enum Outcome {
    Done,
    /// It did its work, and what it looked at is not in order.
    Wrong,
}

/// Runs the program with the arguments of the process. Exit code 0; 1 when a line does not fit or a server failed; 2 with one
/// line that says why when the command could not be run.
#[expect(clippy::print_stderr, reason = "the one line of a command that could not be run")]
pub fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().and_then(|command| command.into_string().ok()).unwrap_or_default();
    let outcome = match command.as_str() {
        "serve" => return serve::run(args),
        #[cfg(feature = "sqlite")]
        "migrate" => return migrate::main(args),
        "validate" => validate::run(args),
        "query" => query::run(args),
        "client" => client::run(args),
        "--help" | "-h" => print(USAGE),
        "" => Err(wrong(
            "a command is needed: `serve`, `migrate`, `validate`, `query` or `client`; see `modeller --help`",
        )),
        other => Err(wrong(format!("there is no command `{other}`; see `modeller --help`"))),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Wrong) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace('\n', " "));
            ExitCode::from(2)
        }
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new("INVALID_ARGUMENT").message(what.into())
}

/// Prints a text; that nobody reads it is no failure.
fn print(text: &str) -> Result<Outcome> {
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(Outcome::Done)
}

fn text(name: &str, value: OsString) -> Result<String> {
    value.into_string().map_err(|_| wrong(format!("`{name}` is not UTF-8")))
}

/// Reads a schema file.
fn schema(path: &Path) -> Result<Value> {
    let cannot = |cause: &dyn std::fmt::Display| wrong(format!("cannot read {}: {cause}", path.display()));
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(|cause| cannot(&cause))?;
    file.take(MAX_SCHEMA + 1).read_to_end(&mut content).map_err(|cause| cannot(&cause))?;
    if content.len() as u64 > MAX_SCHEMA {
        return Err(cannot(&format!("a schema has at most {MAX_SCHEMA} bytes")));
    }
    serde_json::from_slice(&content).map_err(|cause| cannot(&cause))
}

/// What writing to an output came to: nobody reads any more, which ends a command early and is no failure.
fn unless_closed(written: io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}
