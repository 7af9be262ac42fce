//! A session over server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): one subscription,
//! for clients that only listen.
//!
//! The id of an event is the commit, and where more payloads of the same commit follow how many of them there are so far, `7.2`: a
//! client that was cut off names the last that it has heard in `Last-Event-ID`, as browsers do by themselves, and hears the rest.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Push, UNSUBSCRIBED, ask};
use crate::error::{Error, ErrorCode, Result};
use crate::server::auth::jwt::Identity;
use crate::server::edge::SocketPlace;
use crate::server::events::{Connected, ConnectionKind};
use crate::server::limits::PING_EVERY;
use crate::server::network::Peer;
use crate::server::respond::problem_response;
use crate::server::rest::pairs;
use crate::server::router::Segments;
use crate::server::session::Session;
use crate::server::{Server, stopped};

/// So much is collected before it is written; what waits for the client waits in the session's queue.
const CHUNK: usize = 32 << 10;

/// What a client has heard last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Heard {
    seq: u64,
    /// How many payloads of that commit; `None` for all of them.
    received: Option<u64>,
}

impl Heard {
    /// Reads the id of an event.
    fn parse(id: &str) -> Option<Self> {
        let (seq, received) = match id.split_once('.') {
            None => (id, None),
            Some((seq, received)) => (seq, Some(received.parse().ok()?)),
        };
        Some(Self { seq: seq.parse().ok()?, received })
    }

    /// The id of the event that was written last.
    fn id(self) -> String {
        let Self { seq, received } = self;
        match received {
            None => seq.to_string(),
            Some(received) => format!("{seq}.{received}"),
        }
    }
}

/// `GET /{model}/@events?filter=…`
///
/// The first event is `subscribed`, with what a socket is answered; those that follow are the notifications of the socket,
/// each with its `params` as `data` and its `seq` as `id`.
pub(in crate::server) async fn open(
    State(server): State<Arc<Server>>,
    identity: Identity,
    at: Segments,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    from: Peer,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let mut params = read_query(query.as_deref().unwrap_or_default(), &["filter", "since", "received"])?;
    params.entry("filter").or_insert_with(|| json!({}));
    params.insert("model".into(), at.model().into());
    for name in ["since", "received"] {
        // Also where a header counts instead.
        if params.get(name).is_some_and(|value| !value.is_u64()) {
            return Err(Error::query(name, "is a whole number, and not below zero"));
        }
    }
    let heard = last_heard(&headers)?;
    if let Some(Heard { seq, received }) = heard {
        // Newer than what the address says, which a browser repeats.
        params.insert("since".into(), seq.into());
        match received {
            Some(received) => drop(params.insert("received".into(), received.into())),
            None => drop(params.remove("received")),
        }
    }
    let listener = Listener { server, identity, peer, from };
    let first = |answer: &Value, seq| {
        // Who is cut off before he has heard anything says where he began; what he has missed before that comes now.
        let begun = answer.get("complete") != Some(&Value::Bool(true));
        let since = answer.get("since").and_then(Value::as_u64).unwrap_or(seq);
        ("subscribed", begun.then_some(since))
    };
    listener.listen("subscribe", params, first).await
}

/// `GET /{model}/@live?filter=…&sort=…&skip=…&limit=…`
///
/// The first event is `snapshot`, with what a socket is answered; those that follow are `commit` and `reset`, each with the
/// `params` of the notification as `data` and its `seq` as `id`. Who was cut off begins with a `snapshot` again.
pub(in crate::server) async fn live(
    State(server): State<Arc<Server>>,
    identity: Identity,
    at: Segments,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    from: Peer,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let mut params = read_query(query.as_deref().unwrap_or_default(), &["filter", "sort", "skip", "limit"])?;
    params.insert("model".into(), at.model().into());
    let listener = Listener { server, identity, peer, from };
    listener.listen("live", params, |_, seq| ("snapshot", Some(seq))).await
}

/// Who wants to listen.
struct Listener {
    server: Arc<Server>,
    identity: Identity,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    from: Peer,
}

impl Listener {
    /// Opens a session for one subscription, and answers for as long as the client listens. `first` says from the session's answer
    /// and its `seq` what the event that carries it is called, and of which commit it is.
    async fn listen(
        self,
        method: &str,
        params: Map<String, Value>,
        first: impl FnOnce(&Value, u64) -> (&'static str, Option<u64>),
    ) -> Result<Response> {
        let Self { server, identity, peer, from } = self;
        let counted = server.admit_socket(&identity.caller, from)?;
        let session = Session::new(server.clone(), identity.clone());
        session.comes_from(from);
        let mut stream = Stream {
            stopping: server.stopping.subscribe(),
            heartbeat: interval_at(Instant::now() + PING_EVERY, PING_EVERY),
            next: Vec::new(),
            ended: false,
            session: session.clone(),
            _counted: counted,
        };
        stream.heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (answer, seq) = match ask(&session, method, Value::Object(params)).await {
            Ok(answer) => answer,
            Err(problem) => return Ok(problem_response(&problem)),
        };
        let (event, seq) = first(&answer, seq);
        let id = seq.map(|seq| Heard { seq, received: None }.id());
        write_event(&mut stream.next, event, id.as_deref(), &answer.to_string());
        server.configuration.events.connection.tell(|| Connected {
            kind: ConnectionKind::Socket,
            peer: peer.map(|Extension(ConnectInfo(peer))| peer),
            caller: identity.caller,
        });
        let body = futures_util::stream::unfold(stream, async |mut stream| {
            let chunk = stream.chunk().await?;
            Some((Ok::<_, Infallible>(chunk), stream))
        });
        let mut response = Response::new(Body::from_stream(body));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// The parameters of the query string, each JSON text.
fn read_query(query: &str, known: &[&str]) -> Result<Map<String, Value>> {
    let mut params = Map::new();
    for (name, value) in pairs(query)? {
        if !known.contains(&name.as_str()) {
            let text = format!("is no parameter of a stream of events; `{}` are", known.join("`, `"));
            return Err(Error::query(&name, text));
        }
        let value =
            serde_json::from_str(&value).map_err(|cause| Error::query(&name, format!("is not JSON: {cause}")))?;
        if params.insert(name.clone(), value).is_some() {
            return Err(Error::query(&name, "is given twice"));
        }
    }
    Ok(params)
}

/// What the header `Last-Event-ID` says.
fn last_heard(headers: &HeaderMap) -> Result<Option<Heard>> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let heard = id.to_str().ok().and_then(Heard::parse);
    let wrong =
        || Error::new(ErrorCode::InvalidRequest).message("`Last-Event-ID` is the id of an event that was sent here");
    heard.map(Some).ok_or_else(wrong)
}

/// Appends an event. `data` is JSON text of one line.
fn write_event(out: &mut Vec<u8>, event: &str, id: Option<&str>, data: &str) {
    out.extend_from_slice(format!("event: {event}\n").as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    for line in data.split(['\n', '\r']) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The body. It ends when the client does not keep up, when its token has expired, and when the server stops; the client then
/// connects again by itself, and is told why it may not.
struct Stream {
    session: Arc<Session>,
    stopping: watch::Receiver<bool>,
    heartbeat: Interval,
    /// What is sent next.
    next: Vec<u8>,
    /// What is there is the last.
    ended: bool,
    _counted: SocketPlace,
}

impl Stream {
    async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            if self.session.is_over() {
                return None;
            }
            while self.next.len() < CHUNK && !self.ended {
                let Some(frame) = self.session.fetch() else { break };
                if let Some(push) = Push::read(&frame) {
                    let id = push.seq.map(|seq| Heard { seq, received: push.received }.id());
                    write_event(&mut self.next, push.event, id.as_deref(), push.params);
                    // There is one subscription: when that has ended, nothing can follow.
                    self.ended = push.event == UNSUBSCRIBED;
                }
            }
            if !self.next.is_empty() {
                return Some(std::mem::take(&mut self.next).into());
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                biased;
                () = self.session.overflown() => return None,
                () = stopped(&mut self.stopping) => return None,
                () = self.session.filled() => {}
                // A comment, by which a client that is gone is noticed.
                _ = self.heartbeat.tick() => self.next.extend_from_slice(b":\n\n"),
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_query_string() {
        let read_query = |query| read_query(query, &["filter", "since", "received"]);
        assert_eq!(Value::Object(read_query("").unwrap()), json!({}));
        let query = read_query("filter=%7B%22a%22%3A+1%7D&since=7&received=2").unwrap();
        assert_eq!(Value::Object(query), json!({"filter": {"a": 1}, "since": 7, "received": 2}));
        for wrong in ["filter=x", "filter={}&filter={}", "sort={}", "filter=%zz", "since="] {
            assert_eq!(read_query(wrong).unwrap_err().code(), &ErrorCode::InvalidQuery, "{wrong}");
        }
    }

    #[test]
    fn ids_say_what_was_heard() {
        for (received, id) in [(Some(1), "7.1"), (Some(2), "7.2"), (None, "7")] {
            let heard = Heard { seq: 7, received };
            assert_eq!((heard.id().as_str(), Heard::parse(id)), (id, Some(heard)));
        }
        for wrong in ["", "x", "7.", ".7", "7.x", "-1", "7.2.3"] {
            assert_eq!(Heard::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_event_is_lines_and_an_empty_one() {
        let mut out = Vec::new();
        write_event(&mut out, "publish", Some("7"), r#"{"a":"\n"}"#);
        write_event(&mut out, "other", None, "1\n2");
        assert_eq!(out, b"event: publish\nid: 7\ndata: {\"a\":\"\\n\"}\n\nevent: other\ndata: 1\ndata: 2\n\n");
    }
}
