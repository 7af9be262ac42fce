//! Lines of measurements, and the table of their medians.

use std::collections::BTreeMap;
use std::io::BufRead;

use modeller::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::process::Used;
use crate::workload::{Done, Workload};

/// One measurement.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// Who and on what, e.g. `yardstick/memory`.
    label: String,
    workload: String,
    operations: usize,
    seconds: f64,
    per_second: f64,
    /// Processor time of the server.
    microseconds_per_operation: f64,
    resident_before: u64,
    resident_after: u64,
}

pub(crate) fn line(label: &str, workload: Workload, done: &Done, before: &Used, after: &Used) -> String {
    let seconds = done.took.as_secs_f64();
    let operations = done.operations as f64;
    let line = Line {
        label: label.to_owned(),
        workload: workload.name().to_owned(),
        operations: done.operations,
        seconds,
        per_second: operations / seconds,
        microseconds_per_operation: after.processor.saturating_sub(before.processor).as_secs_f64() * 1e6 / operations,
        resident_before: before.resident,
        resident_after: after.resident,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// The figures of one side.
#[derive(Default)]
struct Side {
    per_second: Vec<f64>,
    microseconds: Vec<f64>,
    bytes: Vec<f64>,
}

/// Prints the medians of the lines, and how the subject stands to the yardstick: that as the median over the rounds, in each of which
/// the two come one after the other. A shared machine is fast for a minute and slow for the next, which the medians of each side
/// alone do not see.
pub(crate) fn print(lines: impl BufRead) -> Result<()> {
    let mut sides = BTreeMap::<(String, String), [Side; 2]>::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let unknown = || Error::new("USAGE").message(format!("`{}` is no label of a comparison", line.label));
        let (who, storage) = line.label.split_once('/').ok_or_else(unknown)?;
        let [subject, yardstick] = sides.entry((storage.to_owned(), line.workload.clone())).or_default();
        let side = match who {
            "subject" => subject,
            "yardstick" => yardstick,
            _ => return Err(unknown()),
        };
        side.per_second.push(line.per_second);
        side.microseconds.push(line.microseconds_per_operation);
        let grown = line.resident_after.saturating_sub(line.resident_before) as f64;
        side.bytes.push(grown / line.operations as f64);
    }
    let mut table = String::from(
        "storage  workload   subject/s  yardstick/s  ratio   subject µs  yardstick µs  ratio   subject B/op  yardstick B/op\n",
    );
    for ((storage, workload), [mut subject, mut yardstick]) in sides {
        // Of the rounds in their order, which the medians do not leave.
        let by_rate = ratio(&subject.per_second, &yardstick.per_second);
        let by_cost = ratio(&subject.microseconds, &yardstick.microseconds);
        let (rate, rate_of) = (median(&mut subject.per_second), median(&mut yardstick.per_second));
        let (cost, cost_of) = (median(&mut subject.microseconds), median(&mut yardstick.microseconds));
        let (grown, grown_of) = (median(&mut subject.bytes), median(&mut yardstick.bytes));
        table += &format!(
            "{storage:<8} {workload:<9} {rate:>10.0} {rate_of:>12.0} {by_rate:>6.2} {cost:>12.2} {cost_of:>13.2} {by_cost:>6.2} {grown:>14.0} {grown_of:>15.0}\n",
        );
    }
    crate::say(table.trim_end());
    Ok(())
}

/// The median of the ratios of those that were measured in one round.
fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(&mut of.iter().zip(to).map(|(of, to)| of / to).collect::<Vec<_>>())
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
