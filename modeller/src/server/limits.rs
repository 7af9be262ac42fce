//! What a server takes at most, and how it counts.
//!
//! Every queue and every buffer between a client and the commit log has a bound, so that no client can make the process grow
//! or hold up another.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::query::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::error::{Error, ErrorCode, Result};

/// How many bytes the header of a request may have before it is not even read to its end.
pub(super) const HEADER_BYTES: usize = 80 << 10;
/// How many bytes beyond the limit are read and thrown away, so that a client that is still sending hears why.
pub(super) const DISCARD_BYTES: usize = 16 << 20;
/// How long that may take.
pub(super) const DISCARD_TIME: Duration = Duration::from_secs(5);
/// How long a request waits for the commit that it names in `Modeller-Min-Seq`.
pub(super) const MIN_SEQ_TIME: Duration = Duration::from_secs(1);
/// How many calls are under way at once, those of clients that are gone included.
const CALLS: usize = 20_000;
/// A client that reads slower than this, in bytes a second, is as good as one that does not read.
pub(super) const READ_RATE: u32 = 1 << 10;
/// How deep JSON may be nested for it to be read at all.
const MOST_DEPTH: usize = 127;

/// How many subscriptions a session has.
pub(super) const SUBSCRIPTIONS: usize = 100;
/// How many requests of a session are under way; no more is read meanwhile.
pub(super) const IN_FLIGHT: usize = 64;
/// How many frames wait for a client that reads slowly. A burst of commits comes faster than the best client can be woken, so
/// that the number is generous: a frame that waits costs its place in the queue, and its bytes, which all of its room share.
pub(super) const QUEUE_FRAMES: usize = 65_536;
/// How many bytes they have. This is what bounds the memory of a client that does not read.
pub(super) const QUEUE_BYTES: usize = 16 << 20;
/// So many bytes, and so many frames, of what commits change in live queries wait for a socket that reads slowly. It is told the
/// difference later of what comes then, so that it costs one frame more at most, whatever is committed.
pub(super) const LIVE_BYTES: usize = 256 << 10;
pub(super) const LIVE_FRAMES: usize = 4_096;
/// So many frames are on the way to a client that says which it has applied.
pub(super) const LIVE_UNACKED: usize = 64;
/// So much may wait for a session however many there are.
const LEAST_SHARE: usize = 16 << 10;
/// How many bytes a frame of a client has.
pub(super) const FRAME_BYTES: usize = 1 << 20;
/// How often a client is pinged.
pub(super) const PING_EVERY: Duration = Duration::from_secs(25);
/// A client of whom nothing was heard for so long is gone: it has had 20 seconds to answer a ping, as in Socket.IO.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
/// How long the goodbye of a socket may take.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What a server takes at most. All of it has a value from the start; a program that knows better says so.
///
/// What goes beyond is answered by a problem body (RFC 9457), and nothing else is disturbed by it.
///
/// | limit | unless given | answer |
/// |---|---|---|
/// | [`body`](Self::body) | 1 MiB | 413 `PAYLOAD_TOO_LARGE` |
/// | [`body_time`](Self::body_time) | 30 s | 408 `TIMEOUT` |
/// | [`url`](Self::url) | 32 KiB | 414 `PAYLOAD_TOO_LARGE` |
/// | [`header_bytes`](Self::header_bytes), [`header_fields`](Self::header_fields) | 32 KiB, 64 | 431 `PAYLOAD_TOO_LARGE` |
/// | [`header_time`](Self::header_time) | 10 s | the connection ends |
/// | [`write_time`](Self::write_time) | 30 s | the connection ends |
/// | [`json_depth`](Self::json_depth) | 127 | 413 `PAYLOAD_TOO_LARGE` |
/// | [`filter_tests`](Self::filter_tests), [`filter_depth`](Self::filter_depth), [`filter_list`](Self::filter_list) | 1,000, 32, 10,000 | 400 `INVALID_QUERY` |
/// | [`page`](Self::page) | 100, 1,000 at most | 400 `INVALID_QUERY` |
/// | [`request_time`](Self::request_time), [`call_time`](Self::call_time) | 30 s, 60 s | 504 `TIMEOUT` |
/// | [`connections`](Self::connections) | 10,000 | who comes then waits |
/// | [`connections_per_address`](Self::connections_per_address) | 1,000 | 429 `RATE_LIMITED` |
/// | [`sockets`](Self::sockets) | 10,000 | 503 `UNAVAILABLE` |
/// | [`sockets_per_caller`](Self::sockets_per_caller) | 1,000 | 429 `RATE_LIMITED` |
/// | [`backlog`](Self::backlog) | 256 MiB | sockets that do not read are closed |
/// | [`requests_per_minute`](Self::requests_per_minute) | no limit | 429 `RATE_LIMITED` |
/// | [`sign_ins_per_minute`](Self::sign_ins_per_minute) | 300 | 429 `RATE_LIMITED` |
/// | [`drain_time`](Self::drain_time) | 10 s | the connection ends |
///
/// ```
/// # use modeller::prelude::*;
/// use modeller::Limits;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let limits = Limits::new().body(64 << 10).connections_per_address(50).requests_per_minute(600);
/// let app = App::new().limits(limits).in_memory().open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(super) body: usize,
    pub(super) body_time: Duration,
    pub(super) url: usize,
    pub(super) header_bytes: usize,
    pub(super) header_fields: usize,
    pub(super) header_time: Duration,
    pub(super) write_time: Duration,
    pub(super) json_depth: usize,
    pub(super) filter_tests: usize,
    pub(super) filter_depth: usize,
    pub(super) filter_list: usize,
    pub(super) page: usize,
    pub(super) most_page: usize,
    pub(super) request_time: Duration,
    pub(super) call_time: Duration,
    pub(super) connections: usize,
    pub(super) connections_per_address: usize,
    pub(super) sockets: usize,
    pub(super) sockets_per_caller: usize,
    pub(super) backlog: usize,
    pub(super) counts_loopback: bool,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) sign_ins_per_minute: u32,
    pub(super) drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            body_time: Duration::from_secs(30),
            url: 32 << 10,
            header_bytes: 32 << 10,
            header_fields: 64,
            header_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            json_depth: MOST_DEPTH,
            filter_tests: usize::MAX,
            filter_depth: usize::MAX,
            filter_list: usize::MAX,
            page: DEFAULT_LIMIT,
            most_page: MAX_LIMIT,
            request_time: Duration::from_secs(30),
            call_time: Duration::from_secs(60),
            connections: 10_000,
            connections_per_address: 1_000,
            sockets: 10_000,
            sockets_per_caller: 1_000,
            backlog: 256 << 20,
            counts_loopback: false,
            requests_per_minute: None,
            sign_ins_per_minute: 300,
            drain_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Those that hold unless others are given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The body of a request has so many bytes at most.
    #[must_use]
    pub fn body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// The body of a request arrives within so long.
    #[must_use]
    pub fn body_time(mut self, time: Duration) -> Self {
        self.body_time = time;
        self
    }

    /// Path and query string of a request have so many bytes at most (RFC 9110 §15.5.15); up to 64 KiB can be had. What is
    /// longer goes into the body of `POST /{model}/@query`.
    #[must_use]
    pub fn url(mut self, bytes: usize) -> Self {
        self.url = bytes;
        self
    }

    /// Names and values of all header fields of a request but `Authorization` together have so many bytes at most (RFC 6585 §5). The whole head of a
    /// request beyond 80 KiB is refused without a body.
    #[must_use]
    pub fn header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = bytes;
        self
    }

    /// A request has so many header fields at most (RFC 6585 §5). More than 100 are refused without a body.
    #[must_use]
    pub fn header_fields(mut self, fields: usize) -> Self {
        self.header_fields = fields;
        self
    }

    /// The head of a request arrives within so long after the connection was made, or after the answer before. It is also how
    /// long a connection may be idle, and how long the handshake of TLS may take.
    #[must_use]
    pub fn header_time(mut self, time: Duration) -> Self {
        self.header_time = time;
        self
    }

    /// A client that is written to takes nothing, or less than 1 KiB a second, for so long at most.
    #[must_use]
    pub fn write_time(mut self, time: Duration) -> Self {
        self.write_time = time;
        self
    }

    /// JSON from outside is nested so deep at most; more than 127 is not read in any case.
    #[must_use]
    pub fn json_depth(mut self, levels: usize) -> Self {
        self.json_depth = levels.min(MOST_DEPTH);
        self
    }

    /// A filter from outside has so many tests at most; the 1,000 of any filter are the most.
    #[must_use]
    pub fn filter_tests(mut self, tests: usize) -> Self {
        self.filter_tests = tests;
        self
    }

    /// The operators of a filter from outside nest so deep at most; the 32 of any filter are the most.
    #[must_use]
    pub fn filter_depth(mut self, levels: usize) -> Self {
        self.filter_depth = levels;
        self
    }

    /// `$in`, `$nin` and `$all` of a filter from outside take so many values at most; the 10,000 of any filter are the most.
    #[must_use]
    pub fn filter_list(mut self, values: usize) -> Self {
        self.filter_list = values;
        self
    }

    /// A list answers so many documents where the request does not say, and so many at most, which is not above 1,000.
    #[must_use]
    pub fn page(mut self, usual: usize, most: usize) -> Self {
        self.most_page = most.min(MAX_LIMIT);
        self.page = usual.min(self.most_page);
        self
    }

    /// A request that only reads is answered within so long.
    #[must_use]
    pub fn request_time(mut self, time: Duration) -> Self {
        self.request_time = time;
        self
    }

    /// A call of a method that is no transaction is answered within so long. What the method does goes on. One that is a
    /// transaction has the time of one; once its commit was handed over it is answered as it ends, and never that it took too
    /// long.
    #[must_use]
    pub fn call_time(mut self, time: Duration) -> Self {
        self.call_time = time;
        self
    }

    /// There are so many connections at once at most. Who comes then waits to be accepted. One that has become a socket counts as
    /// that alone, here and by its address.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// There are so many connections at once at most from one address, or from one network of 64 bits of IPv6. Those of proxies
    /// that are trusted are not counted, as many clients come by them.
    #[must_use]
    pub fn connections_per_address(mut self, connections: usize) -> Self {
        self.connections_per_address = connections;
        self
    }

    /// There are so many sockets at once at most.
    #[must_use]
    pub fn sockets(mut self, sockets: usize) -> Self {
        self.sockets = sockets;
        self
    }

    /// There are so many sockets at once at most of one verified caller, or, where nobody says who he is, from one address.
    #[must_use]
    pub fn sockets_per_caller(mut self, sockets: usize) -> Self {
        self.sockets_per_caller = sockets;
        self
    }

    /// About so many bytes wait for all sockets together. A socket alone has 16 MiB at most; when half of this is reached, no
    /// more than this divided by the number of sockets, and 16 KiB at least. One that has more, because it does not read, is closed
    /// with 1013, as it would be otherwise later. What is the same for several sockets counts once.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let app = App::new().limits(modeller::Limits::new().backlog(64 << 20));
    /// # drop(app);
    /// ```
    #[must_use]
    pub fn backlog(mut self, bytes: usize) -> Self {
        self.backlog = bytes;
        self
    }

    /// Whether connections and sockets are also counted by address when they come from this machine. They are not unless this is
    /// said: what comes from there is a proxy, which has many clients, or the operator.
    #[must_use]
    pub fn count_loopback(mut self, counts: bool) -> Self {
        self.counts_loopback = counts;
        self
    }

    /// One caller asks each route, and calls each method, so many times a minute at most, and so many times at once. See
    /// [`AppBuilder::rate_limit`](crate::AppBuilder::rate_limit) for single ones.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = Some(requests);
        self
    }

    /// From one address there are so many requests a minute at most to what begins with `/@auth`, and so many that come with a
    /// token or a cookie that does not hold; after them whoever comes from there with one is told to wait.
    #[must_use]
    pub fn sign_ins_per_minute(mut self, requests: u32) -> Self {
        self.sign_ins_per_minute = requests;
        self
    }

    /// When the server stops, what is under way has so long to end.
    #[must_use]
    pub fn drain_time(mut self, time: Duration) -> Self {
        self.drain_time = time;
        self
    }

    /// Refuses JSON that is nested deeper than the program wants. Deeper than can be read is found by whoever reads it.
    pub(super) fn check_depth(&self, json: &[u8]) -> Result<()> {
        if self.json_depth >= MOST_DEPTH {
            return Ok(());
        }
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        for byte in json {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'[' | b'{' if !in_text => {
                    depth += 1;
                    if depth > self.json_depth {
                        let text = format!("JSON is nested {} deep at most", self.json_depth);
                        return Err(Error::new(ErrorCode::PayloadTooLarge).message(text));
                    }
                }
                b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses a filter that asks for more than the program wants. What no filter may ask for is found where it is read.
    pub(super) fn check_filter(&self, filter: &Value) -> Result<()> {
        if (self.filter_tests, self.filter_depth, self.filter_list) == (usize::MAX, usize::MAX, usize::MAX) {
            return Ok(());
        }
        let mut tests = 0;
        self.count_tests(filter, 0, &mut tests)
    }

    fn count_tests(&self, filter: &Value, depth: usize, tests: &mut usize) -> Result<()> {
        let refused = |reason: String| Err(Error::query("filter", reason));
        if depth > self.filter_depth {
            return refused(format!("a filter is nested at most {} deep", self.filter_depth));
        }
        for (name, value) in filter.as_object().into_iter().flatten() {
            *tests += 1;
            match value {
                Value::Array(list) if matches!(name.as_str(), "$in" | "$nin" | "$all") => {
                    if list.len() > self.filter_list {
                        return refused(format!("`{name}` takes at most {} values", self.filter_list));
                    }
                    for value in list {
                        self.count_tests(value, depth + 1, tests)?;
                    }
                }
                Value::Array(list) if name.starts_with('$') => {
                    for value in list {
                        self.count_tests(value, depth + 1, tests)?;
                    }
                }
                Value::Object(inner) if name.starts_with('$') || inner.keys().any(|name| name.starts_with('$')) => {
                    // The operators of a field are no level of their own.
                    let nested = usize::from(name.starts_with('$'));
                    *tests -= 1;
                    self.count_tests(value, depth + nested, tests)?;
                }
                _ => {}
            }
            if *tests > self.filter_tests {
                return refused(format!("a filter has at most {} tests", self.filter_tests));
            }
        }
        Ok(())
    }

    /// How many documents a list answers that was asked for so many.
    pub(super) fn page_of(&self, asked: Option<usize>) -> Result<usize> {
        match asked {
            None => Ok(self.page),
            Some(asked) if asked <= self.most_page => Ok(asked),
            Some(_) => Err(Error::query("limit", format!("is at most {}", self.most_page))),
        }
    }
}

/// Lets so many in at once, and knows when all are out.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    free: Arc<Semaphore>,
    size: u32,
}

impl Gate {
    pub(super) fn new(size: usize) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self { free: Arc::new(Semaphore::new(size as usize)), size }
    }

    pub(super) fn of_calls() -> Self {
        Self::new(CALLS)
    }

    /// Waits to be let in. `None` never happens: the gate is not closed.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        match self.try_enter() {
            Some(permit) => Some(permit),
            None => self.free.clone().acquire_owned().await.ok(),
        }
    }

    /// `None` when it is full.
    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Whether nobody is let in right now.
    pub(super) fn is_full(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Resolves when all are out. Nobody is let in from here on.
    pub(super) async fn drained(&self) {
        if let Ok(all) = self.free.acquire_many(self.size).await {
            all.forget();
        }
    }
}

/// What waits for all sockets together.
#[derive(Debug)]
pub(super) struct Backlog {
    /// As many bytes, roughly.
    most: usize,
    waiting: AtomicUsize,
    sessions: AtomicUsize,
}

impl Backlog {
    pub(super) fn new(most: usize) -> Self {
        Self { most, waiting: AtomicUsize::new(0), sessions: AtomicUsize::new(0) }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How much may wait for one session. Any amount, as far as this is concerned, while it is little for all; else what each may
    /// have when all have the same. So it is those who do not read that lose their sessions, and not those who come last.
    fn share(&self) -> usize {
        if self.waiting.load(Ordering::Relaxed) <= self.most / 2 {
            return usize::MAX;
        }
        (self.most / self.sessions.load(Ordering::Relaxed).max(1)).max(LEAST_SHARE)
    }
}

/// What waits for one session, as a part of what waits for all, and for as long as it is there.
#[derive(Debug)]
pub(super) struct Waiting {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl Waiting {
    /// Of another session, for which nothing waits yet.
    pub(super) fn new(backlog: Arc<Backlog>) -> Self {
        backlog.sessions.fetch_add(1, Ordering::Relaxed);
        Self { backlog, bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.backlog.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.backlog.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How much may wait for this session.
    pub(super) fn share(&self) -> usize {
        self.backlog.share()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.take(self.bytes);
        self.backlog.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts what is there at once by whom it belongs to. It holds no more than what is counted.
#[derive(Debug)]
pub(super) struct Tally<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

impl<K: Eq + Hash + Clone> Tally<K> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Counts one more, until what is answered is dropped. `None` when there are as many.
    pub(super) fn enter(&self, key: K, most: usize) -> Option<Counted<K>> {
        let mut counts = self.0.lock();
        let count = counts.entry(key.clone()).or_default();
        if *count >= most {
            if *count == 0 {
                counts.remove(&key);
            }
            return None;
        }
        *count += 1;
        Some(Counted { counts: self.0.clone(), key })
    }

    /// How many there are who have something that is counted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// One that is counted.
#[derive(Debug)]
pub(super) struct Counted<K: Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
                if counts.capacity() > 64 && counts.len() < counts.capacity() / 4 {
                    counts.shrink_to_fit();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let limits = Limits::new().json_depth(2);
        for fine in ["[[1], [2], {\"a\": 3}]", "[\"[[[{{{\\\"[[[\"]", "1", "]]]][["] {
            assert!(limits.check_depth(fine.as_bytes()).is_ok(), "{fine}");
        }
        for deep in ["[[[1]]]", "{\"a\": [{}]}", "[\"\\\\\", [[1]]]"] {
            assert_eq!(limits.check_depth(deep.as_bytes()).unwrap_err().code(), &ErrorCode::PayloadTooLarge, "{deep}");
        }
    }

    #[test]
    fn filters_are_counted_as_they_are_read() {
        let refused = |limits: Limits, filter: Value| limits.check_filter(&filter).is_err();
        let three = Limits::new().filter_tests(3);
        assert!(!refused(three, json!({"a": 1, "b": {"$gt": 1, "$lt": 2}})));
        assert!(refused(three, json!({"a": 1, "b": {"$gt": 1, "$lt": 2}, "c": 1})));
        assert!(refused(three, json!({"$or": [{"a": 1}, {"a": 2}, {"$and": [{"a": 3}, {"a": 4}]}]})));
        assert!(refused(three, json!({"a": {"$elemMatch": {"b": 1, "c": 1, "d": 1, "e": 1}}})));
        let flat = Limits::new().filter_depth(1);
        assert!(!refused(flat, json!({"$or": [{"a": {"$gt": 1}}]})));
        assert!(refused(flat, json!({"$or": [{"$and": [{"a": 1}]}]})));
        assert!(refused(flat, json!({"$or": [{"a": {"$not": {"$gt": 1}}}]})));
        let few = Limits::new().filter_list(2);
        assert!(!refused(few, json!({"a": {"$in": [1, 2]}})));
        assert!(refused(few, json!({"a": {"$in": [1, 2, 3]}})) && refused(few, json!({"a": {"$all": [1, 2, 3]}})));
        // A value that is a list is no list of operands.
        assert!(!refused(few, json!({"a": [1, 2, 3]})));
    }

    #[test]
    fn a_tally_holds_what_is_counted() {
        let tally = Tally::new();
        let (one, two) = (tally.enter("a", 2).unwrap(), tally.enter("a", 2).unwrap());
        assert!(tally.enter("a", 2).is_none() && tally.enter("b", 0).is_none());
        let other = tally.enter("b", 1).unwrap();
        drop(one);
        assert!(tally.enter("a", 2).is_some());
        drop((two, other));
        assert!(tally.0.lock().is_empty());
    }
}
