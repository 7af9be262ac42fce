//! The requests, and what a right answer is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cities::connection::Connection;
use cities::import::{Lane, Rows, import};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use modeller::{Error, Result};
use tokio::task::JoinSet;
use workload::document;

/// A kind of request.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Workload {
    /// Distinct users are inserted.
    Insert,
    /// One of them is got by its id.
    Get,
    /// Admins from 30 on, the first 20 by age.
    List,
    /// A method answers its arguments.
    Call,
    /// A user with a fault in each field is refused.
    Reject,
    /// The rows of a file are imported.
    Cities,
}

const ALL: [(&str, Workload); 6] = [
    ("w1", Workload::Insert),
    ("w2", Workload::Get),
    ("w3", Workload::List),
    ("w4", Workload::Call),
    ("w7", Workload::Reject),
    ("cities", Workload::Cities),
];

impl Workload {
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|(known, _)| *known == name).map(|(_, workload)| workload)
    }

    pub(crate) fn name(self) -> &'static str {
        ALL.into_iter().find(|(_, workload)| *workload == self).map_or("", |(name, _)| name)
    }

    /// How many operations make a measurement of some seconds.
    fn operations(self) -> u32 {
        match self {
            Self::Insert | Self::Get | Self::Call => 100_000,
            Self::Reject => 50_000,
            Self::List => 5_000,
            Self::Cities => 0,
        }
    }
}

/// What was done.
pub(crate) struct Done {
    pub(crate) operations: usize,
    pub(crate) took: Duration,
}

/// The runs against one server.
pub(crate) struct Plan {
    url: String,
    connections: usize,
    scale: f64,
    cities: Option<PathBuf>,
    /// Paths of the users that were inserted.
    users: Arc<Vec<String>>,
}

impl Plan {
    pub(crate) fn new(url: String, connections: usize, scale: f64, cities: Option<PathBuf>) -> Self {
        Self { url, connections, scale, cities, users: Arc::default() }
    }

    pub(crate) async fn run(&mut self, workload: Workload) -> Result<Done> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(&self.url).await?);
        }
        if workload == Workload::Cities {
            return self.import(connections).await;
        }
        if workload == Workload::Get && self.users.is_empty() {
            return Err(Error::new("USAGE").message("`w2` needs the users of `w1`"));
        }
        let count = (f64::from(workload.operations()) * self.scale).max(1.0) as usize;
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for mut connection in connections {
            let (next, users) = (next.clone(), self.users.clone());
            tasks.spawn(async move {
                let mut inserted = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return Ok(inserted);
                    }
                    let (method, path, body) = request(workload, at, &users);
                    let (status, answer) = connection.send(method, &path, body).await?;
                    if !is_right(workload, status, &answer) {
                        let answer = String::from_utf8_lossy(&answer);
                        let message = format!("{} {at}: {status} {answer}", workload.name());
                        return Err(Error::new("WRONG_ANSWER").message(message));
                    }
                    if workload == Workload::Insert {
                        inserted.extend(id(&answer).map(|id| format!("/users/{id}")));
                    }
                }
            });
        }
        let mut users = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            users.extend(ended??);
        }
        let took = start.elapsed();
        if workload == Workload::Insert {
            self.users = Arc::new(users);
        }
        Ok(Done { operations: count, took })
    }

    async fn import(&self, connections: Vec<Connection>) -> Result<Done> {
        let file = self.cities.as_ref().ok_or_else(|| Error::new("USAGE").message("`cities` needs `--cities FILE`"))?;
        let rows = Rows::parse(&std::fs::read_to_string(file)?)?;
        let report = import(rows, connections.into_iter().map(Lane::Http).collect(), || ()).await?;
        match report.refused.first() {
            None => Ok(Done { operations: report.stored, took: report.took }),
            Some(refused) => {
                Err(Error::new("WRONG_ANSWER").message(format!("row {}: {}", refused.row, refused.reason)))
            }
        }
    }
}

fn request(workload: Workload, at: usize, users: &[String]) -> (Method, String, Vec<u8>) {
    // What `{"role":"admin","age":{"$gte":30}}` and `{"age":1}` are in a URL.
    const LIST: &str = "/users?filter=%7B%22role%22%3A%22admin%22%2C%22age%22%3A%7B%22%24gte%22%3A30%7D%7D\
                        &sort=%7B%22age%22%3A1%7D&limit=20";
    const ECHO: &[u8] = br#"{"text":"hello modeller","n":42}"#;
    match workload {
        Workload::Insert => {
            (Method::POST, "/users".into(), document::text(u32::try_from(at).unwrap_or(u32::MAX)).into_bytes())
        }
        // A fixed walk that visits all of them without an order that caches would like.
        Workload::Get => {
            let pick = at.wrapping_mul(2_654_435_761) % users.len().max(1);
            (Method::GET, users.get(pick).cloned().unwrap_or_default(), Vec::new())
        }
        Workload::List => (Method::GET, LIST.into(), Vec::new()),
        Workload::Call => (Method::POST, "/users/echo".into(), ECHO.into()),
        Workload::Reject | Workload::Cities => (Method::POST, "/users".into(), document::INVALID.into()),
    }
}

fn is_right(workload: Workload, status: StatusCode, answer: &Bytes) -> bool {
    let count = |part: &[u8]| answer.windows(part.len()).filter(|window| *window == part).count();
    match workload {
        Workload::Insert | Workload::Get => status.is_success() && id(answer).is_some(),
        Workload::List => status == StatusCode::OK && count(b"\"_id\"") == 20,
        Workload::Call => status == StatusCode::OK && answer.as_ref() == br#"{"text":"hello modeller","n":42}"#,
        Workload::Reject => status.is_client_error() && count(b"\"instancePath\"") == 6,
        Workload::Cities => false,
    }
}

/// The id in a document.
fn id(document: &Bytes) -> Option<&str> {
    const NAME: &str = "\"_id\":\"";
    let text = std::str::from_utf8(document).ok()?;
    let (_, rest) = text.split_once(NAME)?;
    rest.split_once('"').map(|(id, _)| id)
}
