//! Rows of the file become documents, many at a time, and a bad row costs nobody but itself.
//!
//! The file writes numbers as text and an absent code as an empty one; here they become numbers and `null`. All else is for the
//! model to refuse, so that a rule stands in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use modeller::ErrorCode;
use modeller::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::City;
use crate::connection::Connection;

/// The rows of a file, not looked into yet: a mistake in one must not lose the others.
#[derive(Debug)]
pub struct Rows(Vec<Box<RawValue>>);

impl Rows {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// `INVALID_FILE` when it is not a JSON array.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| Error::new("INVALID_FILE").message(format!("this is not a JSON array of rows: {error}")))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One way in for documents. An import uses many side by side: what arrives together is made durable together.
#[derive(Debug)]
pub enum Lane {
    /// Into an application of this process.
    Local(Model<City>),
    /// To a server, over one connection.
    Http(Connection),
}

/// What became of the rows.
#[derive(Debug)]
pub struct Report {
    /// How many rows are documents now.
    pub stored: usize,
    /// Those that are not, in the order of the file.
    pub refused: Vec<Refused>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Stored rows per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        // A count of rows is far below the 2^53 up to which this is exact.
        self.stored as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// A row that did not become a document.
#[derive(Debug)]
pub struct Refused {
    /// Which, from 1.
    pub row: usize,
    /// Why, in words.
    pub reason: String,
}

/// Why a row is not stored.
enum Failure {
    /// It is wrong in itself: the next one may be right.
    Row(String),
    /// Nothing can be stored any more: the disk is full, the server is gone.
    All(Error),
}

/// Stores all rows that can be stored. `done` is called after each.
///
/// # Errors
/// What makes it useless to go on; never a bad row.
pub async fn import(rows: Rows, lanes: Vec<Lane>, done: impl Fn() + Send + Sync + 'static) -> Result<Report> {
    let start = Instant::now();
    let (rows, next, done) = (Arc::new(rows.0), Arc::new(AtomicUsize::new(0)), Arc::new(done));
    let mut tasks = JoinSet::new();
    for mut lane in lanes {
        let (rows, next, done) = (rows.clone(), next.clone(), done.clone());
        tasks.spawn(async move {
            let mut refused = Vec::new();
            let mut stored = 0;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(row) = rows.get(at) else { return Ok((stored, refused)) };
                match lane.store(row).await {
                    Ok(()) => stored += 1,
                    Err(Failure::Row(reason)) => refused.push(Refused { row: at + 1, reason }),
                    Err(Failure::All(error)) => return Err(error),
                }
                done();
            }
        });
    }
    let mut report = Report { stored: 0, refused: Vec::new(), took: Duration::ZERO };
    while let Some(ended) = tasks.join_next().await {
        // Dropping the set on an error ends the other lanes.
        let (stored, refused) = ended??;
        report.stored += stored;
        report.refused.extend(refused);
    }
    report.refused.sort_by_key(|refused| refused.row);
    report.took = start.elapsed();
    Ok(report)
}

impl Lane {
    async fn store(&mut self, row: &RawValue) -> Result<(), Failure> {
        let city = city(row).map_err(Failure::Row)?;
        match self {
            Self::Local(cities) => match cities.insert(city).await {
                Ok(_) => Ok(()),
                Err(error) if is_of_the_row(error.code()) => Err(Failure::Row(in_words(&error))),
                Err(error) => Err(Failure::All(error)),
            },
            Self::Http(connection) => {
                let body = serde_json::to_vec(&city).map_err(|error| Failure::All(error.into()))?;
                let (status, answer) = connection.send(Method::POST, "/cities", body).await.map_err(Failure::All)?;
                if status.is_success() {
                    return Ok(());
                }
                let reason = problem(status, &answer);
                if status.is_client_error() && status != StatusCode::NOT_FOUND {
                    return Err(Failure::Row(reason));
                }
                Err(Failure::All(Error::new(ErrorCode::Unavailable).message(reason)))
            }
        }
    }
}

/// Whether another row may fare better.
fn is_of_the_row(code: &ErrorCode) -> bool {
    matches!(code, ErrorCode::ValidationError | ErrorCode::UniqueViolation | ErrorCode::Custom(_))
}

fn in_words(error: &Error) -> String {
    match error.violations() {
        [] => error.text().to_owned(),
        violations => violations
            .iter()
            .map(|violation| format!("{} {}", violation.instance_path.trim_start_matches('/'), violation.message))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// The part of a problem body (RFC 9457) that says why.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    errors: Vec<modeller::Violation>,
}

fn problem(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.errors.is_empty() => problem.detail,
        Ok(problem) => in_words(&Error::validation(problem.errors)),
        Err(_) => format!("the server answered {status}"),
    }
}

/// A row as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    country: String,
    lat: Value,
    lng: Value,
    #[serde(default)]
    admin1: String,
    #[serde(default)]
    admin2: String,
}

fn city(row: &RawValue) -> Result<City, String> {
    let Row { name, country, lat, lng, admin1, admin2 } = serde_json::from_str(row.get()).map_err(|error| {
        // The position within the row helps nobody who looks at the file.
        let text = error.to_string();
        text.split_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
    })?;
    let code = |code: String| Some(code).filter(|code| !code.is_empty());
    Ok(City {
        name: name.trim().to_owned(),
        country,
        lat: degrees("lat", &lat)?,
        lng: degrees("lng", &lng)?,
        admin1: code(admin1),
        admin2: code(admin2),
    })
}

/// A coordinate, written as a number or as text.
fn degrees(field: &str, value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    // Rust reads `NaN` and `inf` as numbers; JSON has neither.
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("{field} is no number: {value}"))
}
