//! Asks a server for work over 64 kept-alive connections, each sending the next request when it has its answer, and counts.
//!
//! ```sh
//! load run --url http://127.0.0.1:3031 --pid 4711 --label yardstick/memory [--cities FILE] [--scale 0.1] w1 w2 w3 w4 w7 cities
//! load report < results.jsonl
//! load fan-out --url http://127.0.0.1:3031 --pid 4711 --label yardstick --room plain [--clients N] [--window N] [--changes N]
//! load fan-out-report < results.jsonl
//! ```
//!
//! `run` prints one line of JSON for each workload: operations per second, processor time of the server for one operation (from
//! `/proc/PID/stat`, which holds even when other work slows the clock), and its resident size before and after. `w2` and `w3`
//! need the documents of `w1`. An answer that is not the right one ends the run. `report` reads such lines of any number of
//! runs, labelled `subject/…` and `yardstick/…`, and prints the medians and their ratios. `fan-out` changes one document and
//! waits until every client of a room has heard of every change.

mod fan_out;
mod process;
mod report;
mod workload;

use std::path::PathBuf;

use modeller::{Error, Result};

use fan_out::FanOut;
use process::Process;
use workload::{Plan, Workload};

const USAGE: &str = "load run --url URL --pid PID --label NAME/STORAGE [--connections N] [--cities FILE] [--scale F] WORKLOAD… | load report < LINES | \
    load fan-out --url URL --pid PID --label NAME --room live|plain|socketio [--clients N] [--window N] [--changes N] | load fan-out-report < LINES";

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
            Some("fan-out") => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(fan_out(args))
            }
            Some("fan-out-report") => fan_out::report(std::io::stdin().lock()),
            _ => Err(wrong("`run`, `report`, `fan-out` or `fan-out-report`?")),
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

async fn fan_out(mut args: impl Iterator<Item = String>) -> Result<()> {
    let mut process = None;
    let mut plan = FanOut {
        url: String::new(),
        label: String::new(),
        speech: String::new(),
        clients: 1_000,
        window: 1,
        changes: 200,
    };
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| wrong(&format!("`{arg}` needs a value")))?;
        match arg.as_str() {
            "--url" => plan.url = value,
            "--pid" => process = Some(Process::new(value.parse()?)),
            "--label" => plan.label = value,
            "--room" => plan.speech = value,
            "--clients" => plan.clients = value.parse()?,
            "--window" => plan.window = value.parse()?,
            "--changes" => plan.changes = value.parse()?,
            _ => return Err(wrong(&format!("`{arg}` is not known"))),
        }
    }
    fan_out::run(plan, &process.ok_or_else(|| wrong("`--pid` is missing"))?).await
}

#[expect(clippy::print_stdout, reason = "the measurement")]
fn say(what: &str) {
    println!("{what}");
}

#[expect(clippy::print_stderr, reason = "why there is none")]
fn complain(error: &Error) {
    eprintln!("error: {error}");
}
