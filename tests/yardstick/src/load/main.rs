//! Asks a server for work over 64 kept-alive connections, each sending the next request when it has its answer, and counts.
//!
//! ```sh
//! load run --url http://127.0.0.1:3031 --pid 4711 --label yardstick/memory [--cities FILE] [--scale 0.1] w1 w2 w3 w4 w7 cities
//! load report < results.jsonl
//! ```
//!
//! `run` prints one line of JSON for each workload: operations per second, processor time of the server for one operation (from
//! `/proc/PID/stat`, which holds even when other work slows the clock), and its resident size before and after. `w2` and `w3`
//! need the documents of `w1`. An answer that is not the right one ends the run. `report` reads such lines of any number of
//! runs, labelled `subject/…` and `yardstick/…`, and prints the medians and their ratios.

mod process;
mod report;
mod workload;

use std::path::PathBuf;

use modeller::{Error, Result};

use process::Process;
use workload::{Plan, Workload};

const USAGE: &str = "load run --url URL --pid PID --label NAME/STORAGE [--connections N] [--cities FILE] [--scale F] WORKLOAD… | load report < LINES";

fn main() -> std::process::ExitCode {
    // One thread, so that it can be pinned to one processor and leaves the others to the server.
    let run = || {
        let mut args = std::env::args().skip(1);
        match args.next().as_deref() {
            Some("run") => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(run(args))
            }
            Some("report") => report::print(std::io::stdin().lock()),
            _ => Err(wrong("`run` or `report`?")),
        }
    };
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            std::process::ExitCode::FAILURE
        }
    }
}

fn wrong(what: &str) -> Error {
    Error::new("USAGE").message(format!("{what}; usage: {USAGE}"))
}

async fn run(mut args: impl Iterator<Item = String>) -> Result<()> {
    let (mut url, mut process, mut label) = (None, None, String::new());
    let (mut connections, mut scale, mut cities) = (64, 1.0, None);
    let mut workloads = Vec::new();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| wrong(&format!("`{arg}` needs a value")));
        match arg.as_str() {
            "--url" => url = Some(value()?),
            "--pid" => process = Some(Process::new(value()?.parse()?)),
            "--label" => label = value()?,
            "--connections" => connections = value()?.parse()?,
            "--cities" => cities = Some(PathBuf::from(value()?)),
            "--scale" => scale = value()?.parse()?,
            name => workloads.push(Workload::named(name).ok_or_else(|| wrong(&format!("`{name}` is not known")))?),
        }
    }
    let url = url.ok_or_else(|| wrong("`--url` is missing"))?;
    let process = process.ok_or_else(|| wrong("`--pid` is missing"))?;
    let mut plan = Plan::new(url, connections, scale, cities);
    for workload in workloads {
        let before = process.now()?;
        let done = plan.run(workload).await?;
        let after = process.now()?;
        say(&report::line(&label, workload, &done, &before, &after));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the measurement")]
fn say(what: &str) {
    println!("{what}");
}

#[expect(clippy::print_stderr, reason = "why there is none")]
fn complain(error: &Error) {
    eprintln!("error: {error}");
}
