//! The framework in process against a bare map store that does the same work by hand, on one thread, and W7 also against ajv in
//! Node.
//!
//! ```sh
//! cargo run --release -p yardstick --bin in_process -- [DOCUMENTS] [ROUNDS]
//! ```
//!
//! 1,000,000 documents and 3 rounds unless said otherwise. In each round each subject runs in a process of its own, one after the
//! other, so that one does not live on memory that the other has freed; the table shows the medians of the rounds and what share
//! of the bare store's speed the framework reaches. Time is processor time of the one thread. Answers that are not the same for all subjects end the run. Ajv is looked for
//! in `MODELLER_NPM`, or `target/npm`:
//!
//! ```sh
//! npm install --prefix target/npm --no-save ajv@8 ajv-formats@3
//! ```

mod bare;
mod framework;
mod node;
mod picks;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::Duration;

use modeller::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one subject did in one round.
#[derive(Serialize, Deserialize)]
struct Measured {
    /// Of a case, nanoseconds of one operation; of `memory`, bytes of one document.
    figures: BTreeMap<String, f64>,
    /// What the cases that read answered.
    answers: Value,
    /// The violations of the invalid document.
    violations: Value,
}

/// The cases in the order of the table: name, and the share of the bare store's speed that is aimed at.
const CASES: [(&str, Option<f64>); 9] = [
    ("insert struct", None),
    ("insert text", Some(0.3)),
    ("insert text, 64 tasks", Some(0.5)),
    ("insert_many", Some(0.8)),
    ("get by id", Some(0.5)),
    ("get by email", Some(0.5)),
    ("find 100", Some(0.5)),
    ("scan", Some(0.5)),
    ("reject", None),
];

const USAGE: &str = "in_process [DOCUMENTS] [ROUNDS]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["bare", documents] => number(documents).and_then(bare::run).and_then(|measured| tell(&measured)),
        ["framework", documents] => number(documents).and_then(framework::run).and_then(|measured| tell(&measured)),
        [] => compare(1_000_000, 3),
        [documents] => number(documents).and_then(|documents| compare(documents, 3)),
        [documents, rounds] => {
            number(documents).and_then(|documents| number(rounds).and_then(|rounds| compare(documents, rounds)))
        }
        _ => Err(Error::new("USAGE").message(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Error::new("USAGE").message(format!("`{text}` is no number; usage: {USAGE}"))),
    }
}

fn tell(measured: &Measured) -> Result<()> {
    say(&serde_json::to_string(measured)?);
    Ok(())
}

/// Runs one subject in a process of its own.
fn child(subject: &str, documents: u32) -> Result<Measured> {
    let output = Command::new(std::env::current_exe()?).arg(subject).arg(documents.to_string()).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::new("WRONG_ANSWER").message(format!("{subject}: {text}")));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn compare(documents: u32, rounds: u32) -> Result<()> {
    let (mut bare, mut framework, mut node) = (Sides::new(), Sides::new(), Vec::new());
    for _ in 0..rounds {
        let by_hand = child("bare", documents)?;
        let by_framework = child("framework", documents)?;
        agree("answers", &by_hand.answers, &by_framework.answers)?;
        agree("violations", &sorted(&by_hand.violations), &sorted(&by_framework.violations))?;
        if let Some((figure, violations)) = node::reject(&framework::schema()?, rejections(documents))? {
            agree("violations of ajv", &sorted(&violations), &sorted(&by_framework.violations))?;
            node.push(figure);
        }
        collect(&mut bare, by_hand);
        collect(&mut framework, by_framework);
    }
    let mut table = format!("{documents} documents, medians of {rounds} rounds\n");
    table += "case                     bare store     framework  share   aim\n";
    for (name, aim) in CASES {
        let (by_hand, by_framework) = (median(bare.get_mut(name)), median(framework.get_mut(name)));
        let aim = aim.map(|aim| format!("{aim:>5.1}")).unwrap_or_default();
        table += &format!(
            "{name:<22} {:>12} {:>13} {:>6.2} {aim}\n",
            time(by_hand),
            time(by_framework),
            by_hand / by_framework
        );
    }
    let (by_hand, by_framework) = (median(bare.get_mut("memory")), median(framework.get_mut("memory")));
    table += &format!(
        "bytes a document       {by_hand:>12.0} {by_framework:>13.0} {:>6.2}   1.0 at most\n",
        by_framework / by_hand
    );
    table += &if node.is_empty() {
        "reject, ajv in Node: ajv is not installed, left out".to_owned()
    } else {
        let (by_node, by_framework) = (median(Some(&mut node)), median(framework.get_mut("reject")));
        format!(
            "reject, ajv in Node    {:>12} {:>13} {:>6.2}   2.0",
            time(by_node),
            time(by_framework),
            by_node / by_framework
        )
    };
    say(&table);
    Ok(())
}

type Sides = BTreeMap<String, Vec<f64>>;

fn collect(side: &mut Sides, measured: Measured) {
    for (name, figure) in measured.figures {
        side.entry(name).or_default().push(figure);
    }
}

fn agree(what: &str, a: &Value, b: &Value) -> Result<()> {
    if a == b {
        return Ok(());
    }
    Err(Error::new("WRONG_ANSWER").message(format!("the {what} differ: {a} and {b}")))
}

/// The violations without their order, which is each validator's own.
fn sorted(violations: &Value) -> Value {
    let mut all = violations.as_array().cloned().unwrap_or_default();
    all.sort_by_key(|violation| format!("{} {}", violation["instancePath"], violation["keyword"]));
    Value::Array(all)
}

fn median(values: Option<&mut Vec<f64>>) -> f64 {
    let Some(values) = values else { return f64::NAN };
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        short if short < 1e4 => format!("{short:.0} ns"),
        middle if middle < 1e7 => format!("{:.1} µs", middle / 1e3),
        long => format!("{:.1} ms", long / 1e6),
    }
}

/// How often the invalid document is refused.
fn rejections(documents: u32) -> u32 {
    (documents / 5).max(1)
}

/// How many documents are read one by one.
fn picked(documents: u32) -> u32 {
    documents.max(1_000_000)
}

/// How often 100 documents are found. The clock of some kernels goes on by milliseconds only.
fn finds(documents: u32) -> u32 {
    documents.max(1)
}

/// How often all documents are looked through.
fn scans(documents: u32) -> u32 {
    (3_000_000 / documents.max(1)).clamp(3, 1_000)
}

/// How many documents are made before the clock runs again.
const CHUNK: u32 = 10_000;

/// The numbers of the documents in chunks, which are made outside of the measurement.
fn chunks(documents: u32) -> impl Iterator<Item = std::ops::Range<u32>> {
    (0..documents).step_by(CHUNK as usize).map(move |from| from..documents.min(from.saturating_add(CHUNK)))
}

/// The figure of a case.
fn each(took: Duration, operations: u32) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(operations)
}

/// Counts the processor time of this thread, which holds even when other work slows the clock.
pub(crate) struct Clock(Duration);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Self::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().saturating_sub(self.0)
    }

    /// The first number is nanoseconds on a processor (Linux, Documentation/scheduler/sched-stats.rst).
    fn now() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
        nanoseconds.map_or(Duration::ZERO, Duration::from_nanos)
    }
}

/// The resident size of this process in bytes.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let size =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    size.map(|kib| kib * 1024.0).ok_or_else(|| Error::new("NO_PROCESS").message("cannot read /proc/self/status"))
}

#[expect(clippy::print_stdout, reason = "the measurement")]
fn say(what: &str) {
    println!("{what}");
}

#[expect(clippy::print_stderr, reason = "why there is none")]
fn complain(error: &Error) {
    eprintln!("error: {error}");
}
