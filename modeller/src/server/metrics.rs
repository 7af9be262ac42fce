//! What is counted, and how it is shown: the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! The number of time series is bounded: a request is counted by the pattern of its path, never by the path.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::http::{Method, StatusCode};
use parking_lot::{Mutex, RwLock};

use super::Server;
use crate::app::App;
use crate::model::runtime::Runtime;

/// How many patterns are told apart. A program that adds more routes sees the rest as one.
const MOST_ROUTES: usize = 256;
/// How many pairs of method and status one of them has.
const MOST_KINDS: usize = 64;
/// The upper bounds of the histogram, in seconds, and how they are written.
const BOUNDS: [(Duration, &str); 12] = [
    (Duration::from_micros(250), "0.00025"),
    (Duration::from_micros(500), "0.0005"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2_500), "0.0025"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2_500), "2.5"),
    (Duration::from_secs(10), "10"),
];

/// What an application counts while it is served.
pub(super) struct Metrics {
    begun: SystemTime,
    routes: RwLock<BTreeMap<Box<str>, Mutex<Route>>>,
    connections: AtomicUsize,
    sockets: AtomicUsize,
    /// Requests that were refused because somebody asked too often, and connections that were.
    limited: AtomicU64,
}

/// The requests to one pattern.
#[derive(Clone, Default)]
struct Route {
    kinds: BTreeMap<(&'static str, u16), u64>,
    buckets: [u64; BOUNDS.len()],
    micros: u64,
}

impl Route {
    fn count(&mut self, kind: (&'static str, u16), took: Duration) {
        match self.kinds.get_mut(&kind) {
            Some(count) => *count += 1,
            None => {
                let kind = if self.kinds.len() < MOST_KINDS { kind } else { ("other", 0) };
                *self.kinds.entry(kind).or_default() += 1;
            }
        }
        let bucket = BOUNDS.iter().position(|(bound, _)| took <= *bound).and_then(|at| self.buckets.get_mut(at));
        if let Some(bucket) = bucket {
            *bucket += 1;
        }
        self.micros = self.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// What is counted as long as it is there.
pub(super) struct Present(Arc<Metrics>, fn(&Metrics) -> &AtomicUsize);

impl Present {
    fn of(metrics: &Arc<Metrics>, which: fn(&Metrics) -> &AtomicUsize) -> Self {
        which(metrics).fetch_add(1, Ordering::Relaxed);
        Self(metrics.clone(), which)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            begun: SystemTime::now(),
            routes: RwLock::default(),
            connections: AtomicUsize::new(0),
            sockets: AtomicUsize::new(0),
            limited: AtomicU64::new(0),
        }
    }

    pub(super) fn connection(self: &Arc<Self>) -> Present {
        Present::of(self, |metrics| &metrics.connections)
    }

    pub(super) fn socket(self: &Arc<Self>) -> Present {
        Present::of(self, |metrics| &metrics.sockets)
    }

    pub(super) fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered. A path that no route has is counted under an empty pattern.
    pub(super) fn request(&self, method: &Method, pattern: &str, status: StatusCode, took: Duration) {
        let kind = (method_of(method), status.as_u16());
        if let Some(route) = self.routes.read().get(pattern) {
            return route.lock().count(kind, took);
        }
        let mut routes = self.routes.write();
        let pattern = if routes.len() < MOST_ROUTES { pattern } else { "other" };
        routes.entry(pattern.into()).or_default().get_mut().count(kind, took);
    }

    /// All that is counted, of the server and of the application behind it.
    pub(super) fn text(&self, runtime: &Runtime) -> String {
        let mut out = Text(String::with_capacity(8 << 10));
        out.of("modeller_info", "gauge", "Which version it is.");
        out.line("modeller_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.requests(&mut out);
        let number = |atomic: &AtomicUsize| atomic.load(Ordering::Relaxed) as u64;
        out.one("modeller_connections", "gauge", "Connections that are open.", number(&self.connections));
        out.one("modeller_sockets", "gauge", "WebSockets and event streams that are open.", number(&self.sockets));
        let limited = self.limited.load(Ordering::Relaxed);
        out.one(
            "modeller_limited_total",
            "counter",
            "Requests and connections refused for their rate or number.",
            limited,
        );
        let (rooms, listeners) = runtime.rooms().count();
        out.one("modeller_rooms", "gauge", "Filters that somebody listens to.", rooms as u64);
        out.one("modeller_subscriptions", "gauge", "Subscriptions of sockets.", listeners as u64);
        let (windows, clients) = runtime.lives().count();
        out.one(
            "modeller_live_queries",
            "gauge",
            "Live queries that are followed, equal ones counted once.",
            windows as u64,
        );
        out.one("modeller_live_clients", "gauge", "Clients that follow live queries.", clients as u64);
        let state = runtime.durable();
        out.one("modeller_commits_total", "counter", "Sequence number of the last durable commit.", state.seq);
        let waiting = runtime.log().waiting();
        out.one("modeller_commit_queue", "gauge", "Commits that are accepted and not yet durable.", waiting);
        out.of("modeller_documents", "gauge", "Documents of each model.");
        for (at, model) in runtime.models().iter().enumerate() {
            // What begins with `@` is ours, and counted otherwise.
            if !model.schema.id.starts_with('@') {
                let count = state.collection(at).map_or(0, |collection| collection.len());
                out.line("modeller_documents", &[("model", &model.schema.id)], count as u64);
            }
        }
        let jobs = state.collection(runtime.inner().jobs.model).map_or(0, |collection| collection.len());
        out.one("modeller_jobs", "gauge", "Jobs that wait, run, or were set aside.", jobs as u64);
        if let Some(bytes) = resident() {
            out.one("process_resident_memory_bytes", "gauge", "Resident memory of the process.", bytes);
        }
        let begun = self.begun.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        out.one("process_start_time_seconds", "gauge", "When it began to serve, since 1970.", begun);
        out.0
    }

    fn requests(&self, out: &mut Text) {
        let routes: Vec<(Box<str>, Route)> =
            self.routes.read().iter().map(|(pattern, route)| (pattern.clone(), route.lock().clone())).collect();
        const COUNT: &str = "modeller_requests_total";
        out.of(COUNT, "counter", "Requests that were answered.");
        for (pattern, route) in &routes {
            for ((method, status), count) in &route.kinds {
                let status = status.to_string();
                out.line(COUNT, &[("method", method), ("route", pattern), ("status", &status)], *count);
            }
        }
        const TIME: &str = "modeller_request_duration_seconds";
        out.of(TIME, "histogram", "Time until an answer begins.");
        for (pattern, route) in &routes {
            let mut sum = 0;
            for ((_, bound), bucket) in BOUNDS.iter().zip(&route.buckets) {
                sum += bucket;
                out.line("modeller_request_duration_seconds_bucket", &[("route", pattern), ("le", bound)], sum);
            }
            let count: u64 = route.kinds.values().sum();
            out.line("modeller_request_duration_seconds_bucket", &[("route", pattern), ("le", "+Inf")], count);
            let seconds = format!("{}.{:06}", route.micros / 1_000_000, route.micros % 1_000_000);
            out.line("modeller_request_duration_seconds_sum", &[("route", pattern)], seconds);
            out.line("modeller_request_duration_seconds_count", &[("route", pattern)], count);
        }
    }
}

/// A method by a name of a fixed set.
fn method_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Resident memory of the process, where the system tells it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

struct Text(String);

impl Text {
    fn of(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.of(name, kind, help);
        self.line(name, &[], value);
    }
}

impl App {
    /// The metrics of the application in the text format of Prometheus, for a program that shows them in a place of its own:
    /// requests by pattern, method and status, how long they took, connections, sockets, subscriptions, commits, documents, jobs
    /// and memory. There is nothing in it of what callers sent.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "notes", public)]
    /// # pub struct Note { pub text: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new().model::<Note>().in_memory().open().await?;
    /// app.model::<Note>().insert(Note { text: "hello".into() }).await?;
    /// assert!(app.metrics().contains("modeller_documents{model=\"notes\"} 1\n"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> String {
        Server::metrics_of(self).text(&self.runtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded_whatever_is_asked() {
        let metrics = Metrics::new();
        for at in 0..2 * MOST_ROUTES {
            let method = Method::from_bytes(format!("M{at}").as_bytes()).unwrap();
            metrics.request(&method, &format!("/{at}"), StatusCode::OK, Duration::from_millis(3));
        }
        for status in 100..600 {
            metrics.request(&Method::GET, "/0", StatusCode::from_u16(status).unwrap(), Duration::from_secs(60));
        }
        assert!(metrics.routes.read().len() <= MOST_ROUTES + 1);
        let mut out = Text(String::new());
        metrics.requests(&mut out);
        assert!(out.0.contains("modeller_request_duration_seconds_bucket{route=\"/1\",le=\"0.0025\"} 0\n"));
        assert!(out.0.contains("modeller_request_duration_seconds_bucket{route=\"/1\",le=\"0.005\"} 1\n"));
        assert!(
            out.0.contains("modeller_requests_total{method=\"other\",route=\"/1\",status=\"200\"} 1\n"),
            "{}",
            out.0
        );
        assert!(out.0.lines().filter(|line| line.contains("route=\"/0\"")).count() < MOST_KINDS + 20);
    }
}
