//! A session over Socket.IO (<https://socket.io/docs/v4/>), for clients that speak it already.
//!
//! Engine.IO, which moves packets over a WebSocket or over HTTP requests, is a library; the packets of Socket.IO are read here,
//! because the order of what a client sends is kept only below the handlers of a library of Socket.IO, each of which is a task
//! of its own. An event of the client is a request of the session: its one argument holds the parameters, and its
//! acknowledgement the answer, `{result, seq}` or a problem. A notification of the session is an event of the server.
//!
//! What was received and not yet taken waits in a bounded inbox, because the library cannot be made to stop reading; a client
//! that fills it loses its connection. What goes out waits in the queue of the session, and enters the small buffer of the
//! library when there is place: the library would throw away what does not fit.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use engineioxide::config::EngineIoConfig;
use engineioxide::handler::EngineIoHandler;
use engineioxide::service::EngineIoService;
use engineioxide::socket::{DisconnectReason, Permit};
use engineioxide::{Socket, Str};
use hyper::service::Service;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use uuid::Uuid;

use super::{Push, UNSUBSCRIBED, ask};
use crate::error::{Error, ErrorCode};
use crate::model::caller::Caller;
use crate::server::auth::jwt::Identity;
use crate::server::edge::SocketPlace;
use crate::server::events::{Connected, ConnectionKind};
use crate::server::limits::{CLOSE_TIME, FRAME_BYTES, PING_EVERY};
use crate::server::network::Peer;
use crate::server::session::Session;
use crate::server::{Server, stopped};
use crate::wire::packet::{self, Packet};

/// How long a client may take to answer a ping.
const PONG_TIME: Duration = Duration::from_secs(20);
/// How long it may take from the transport to the namespace.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How many packets of a client wait to be taken, and how many bytes they have.
const INBOX_PACKETS: usize = 16_384;
const INBOX_BYTES: usize = 4 << 20;
/// How many packets the buffer of the library holds.
const BUFFER: usize = 64;
/// How many places of it are left free: a ping that finds none ends the connection.
const SPARE: usize = 3;
/// A packet of more bytes waits until the buffer is all but empty, so that it does not hold many of them.
const LARGE: usize = 64 << 10;

/// The route of all transports.
pub(in crate::server) fn route(server: &Arc<Server>) -> MethodRouter<Arc<Server>> {
    let config = EngineIoConfig::builder()
        .req_path("/socket.io")
        .ping_interval(PING_EVERY)
        .ping_timeout(PONG_TIME)
        .max_buffer_size(BUFFER)
        .max_payload(FRAME_BYTES as u64)
        .ws_read_buffer_size(4 << 10)
        .ws_max_message_size(FRAME_BYTES)
        .ws_max_frame_size(FRAME_BYTES)
        .build();
    let carrier = Arc::new(Carrier { server: server.clone() });
    let engine = EngineIoService::with_config(carrier, config);
    let server = server.clone();
    let answer = move |request: Request| open(server.clone(), engine.clone(), request);
    get(answer.clone()).post(answer)
}

/// The place that a new socket has among those that the server takes, until the library has made the socket.
#[derive(Clone)]
struct Place(Arc<Mutex<Option<SocketPlace>>>);

async fn open(server: Arc<Server>, engine: EngineIoService<Carrier>, mut request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if *request.method() == Method::GET && !query.split('&').any(|pair| pair.starts_with("sid=")) {
        let extensions = request.extensions();
        let caller = extensions.get::<Identity>().map_or_else(Caller::anyone, |identity| identity.caller.clone());
        let from = Peer::carried(extensions);
        let counted = match server.admit_socket(&caller, from) {
            Ok(counted) => counted,
            Err(error) => return error.into_response(),
        };
        request.extensions_mut().insert(Place(Arc::new(Mutex::new(Some(counted)))));
    }
    // A request that asks for packets waits for one; one that brings some may not take for ever.
    let brings = *request.method() == Method::POST;
    let answered = Service::call(&engine, request);
    let response = if brings {
        match timeout(server.configuration.limits.body_time, answered).await {
            Ok(response) => response,
            Err(_) => {
                let error = Error::new(ErrorCode::Timeout).message("the body took too long").status(408);
                return error.into_response();
            }
        }
    } else {
        answered.await
    };
    match response {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// What the library calls.
struct Carrier {
    server: Arc<Server>,
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

impl EngineIoHandler for Carrier {
    type Data = Inbox;

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Inbox>>) {
        tokio::spawn(carry(self.server.clone(), socket));
    }

    fn on_disconnect(&self, socket: Arc<Socket<Inbox>>, _: DisconnectReason) {
        socket.data.end();
    }

    fn on_message(self: &Arc<Self>, text: Str, socket: Arc<Socket<Inbox>>) {
        if !socket.data.put(text) {
            socket.close(DisconnectReason::TransportClose);
        }
    }

    fn on_binary(self: &Arc<Self>, _: Bytes, socket: Arc<Socket<Inbox>>) {
        socket.data.end();
        socket.close(DisconnectReason::PacketParsingError);
    }
}

/// What a client has sent.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
    ending: Notify,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<Str>,
    bytes: usize,
    ended: bool,
}

impl Inbox {
    /// False when there is no place.
    fn put(&self, text: Str) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.ended {
            return false;
        }
        waiting.bytes += text.len();
        waiting.packets.push_back(text);
        let fits = waiting.packets.len() <= INBOX_PACKETS && waiting.bytes <= INBOX_BYTES;
        drop(waiting);
        if fits {
            self.changed.notify_one();
        } else {
            self.end();
        }
        fits
    }

    fn end(&self) {
        *self.waiting.lock() = Waiting { ended: true, ..Waiting::default() };
        self.changed.notify_one();
        self.ending.notify_one();
    }

    /// The next packet; `None` when there can be none.
    async fn next(&self) -> Option<Str> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if let Some(text) = waiting.packets.pop_front() {
                    waiting.bytes -= text.len();
                    if waiting.packets.is_empty() {
                        waiting.packets.shrink_to(16);
                    }
                    return Some(text);
                }
                if waiting.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Resolves when the connection is gone, or has to go.
    async fn ended(&self) {
        while !self.waiting.lock().ended {
            self.ending.notified().await;
        }
    }
}

async fn carry(server: Arc<Server>, socket: Arc<Socket<Inbox>>) {
    let place = socket.req_parts.extensions.get::<Place>().and_then(|place| place.0.lock().take());
    if place.is_some() {
        let mut stopping = server.stopping.subscribe();
        let session = tokio::select! {
            session = timeout(CONNECT_TIME, connect(&server, &socket)) => session.ok().flatten(),
            () = socket.data.ended() => None,
            () = stopped(&mut stopping) => None,
        };
        if let Some(session) = session {
            converse(&server, &session, &socket).await;
            session.close();
        }
    }
    socket.data.end();
    socket.close(DisconnectReason::TransportClose);
    // What it holds is free when its connection has ended, which that of a client that does not read does later.
    socket.closed().await;
    // What knows the application goes first: when the last place is free, the server has ended.
    drop(server);
    drop(place);
}

/// Waits until the client is connected to the namespace `/`. One that is refused may try again for as long.
async fn connect(server: &Arc<Server>, socket: &Socket<Inbox>) -> Option<Arc<Session>> {
    let extensions = &socket.req_parts.extensions;
    let identity = extensions.get::<Identity>().cloned().unwrap_or_else(Identity::anyone);
    loop {
        let text = socket.data.next().await?;
        let Ok(Packet::Connect { namespace, mut auth }) = Packet::parse(&text) else { return None };
        if namespace != "/" {
            send(socket, packet::not_connected(namespace, "Invalid namespace", None)).await?;
            continue;
        }
        let session = Session::new(server.clone(), identity.clone());
        session.comes_from(Peer::carried(extensions));
        if let Some(token) = auth.remove("token")
            && let Err(problem) = ask(&session, "authenticate", json!({"token": token})).await
        {
            let message = problem.get("message").or_else(|| problem.get("detail")).and_then(Value::as_str);
            let message = message.unwrap_or("a verified token is needed");
            send(socket, packet::not_connected("/", message, Some(&problem))).await?;
            continue;
        }
        server.configuration.events.connection.tell(|| Connected {
            kind: ConnectionKind::Socket,
            peer: extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer),
            caller: session.caller(),
        });
        // Not the id of the transport, which is a secret of its requests.
        send(socket, packet::connected(&Uuid::new_v4().to_string())).await?;
        return Some(session);
    }
}

/// Why a conversation ends.
enum Ending {
    /// The connection is gone, the client has said goodbye, or speaks something else.
    Gone,
    /// The client may connect again, and does so by itself.
    Interrupted,
    /// It is not to come back by itself.
    Over,
}

async fn converse(server: &Server, session: &Arc<Session>, socket: &Socket<Inbox>) {
    let mut stopping = server.stopping.subscribe();
    let rooms = Rooms::default();
    let ending = tokio::select! {
        ending = read(session, socket) => ending,
        ending = write(session, socket, &rooms) => ending,
        () = session.overflown() => Ending::Gone,
        () = socket.data.ended() => Ending::Gone,
        () = stopped(&mut stopping) => {
            // No more is read; what was asked before is answered.
            tokio::select! {
                () = session.idle() => {}
                _ = write(session, socket, &rooms) => {}
            }
            let rest = async {
                while let Some(frame) = session.fetch() {
                    if let Some(text) = rooms.packet(&frame) {
                        send(socket, text).await?;
                    }
                }
                Some(())
            };
            let _ = timeout(CLOSE_TIME, rest).await;
            Ending::Interrupted
        }
    };
    let flushed = async {
        if let Ending::Over = ending {
            send(socket, packet::DISCONNECT.to_owned()).await?;
        }
        while matches!(place(socket, BUFFER - SPARE), Err(TrySendError::Full(()))) {
            sleep(Duration::from_millis(5)).await;
        }
        Some(())
    };
    if !matches!(ending, Ending::Gone) {
        let _ = timeout(CLOSE_TIME, flushed).await;
    }
}

async fn read(session: &Arc<Session>, socket: &Socket<Inbox>) -> Ending {
    loop {
        // Who has enough under way has to wait to be heard.
        let permit = session.admit().await;
        let (id, name, arguments) = loop {
            let Some(text) = socket.data.next().await else { return Ending::Gone };
            match Packet::parse(&text) {
                Ok(Packet::Event { namespace: "/", id, name, arguments }) => break (id, name, arguments),
                Ok(Packet::Ack) => {}
                Ok(Packet::Connect { namespace, .. }) if namespace != "/" => {
                    if send(socket, packet::not_connected(namespace, "Invalid namespace", None)).await.is_none() {
                        return Ending::Gone;
                    }
                }
                // Also a goodbye.
                Ok(_) | Err(packet::Malformed) => return Ending::Gone,
            }
        };
        if session.is_over() {
            return Ending::Over;
        }
        session.take(&request(id, &name, arguments), permit).await;
    }
}

/// The request that an event is. What its answer is of stands in its id.
fn request(id: Option<u64>, name: &str, mut arguments: Vec<Value>) -> String {
    let params = match arguments.len() {
        0 => json!({}),
        1 => arguments.remove(0),
        // As a request of JSON-RPC that has anything but an object, it is refused.
        _ => Value::Array(arguments),
    };
    let mut request = Map::from_iter([("jsonrpc".to_owned(), "2.0".into()), ("method".to_owned(), name.into())]);
    let subscription = params
        .get("subscription")
        .and_then(Value::as_str)
        .filter(|text| text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let kind = match (name, subscription) {
        ("subscribe", _) => "s".to_owned(),
        ("unsubscribe", Some(subscription)) => format!("u{subscription}"),
        _ => String::new(),
    };
    // The rooms are followed also where the client does not wait for an answer.
    if id.is_some() || !kind.is_empty() {
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        request.insert("id".into(), format!("{id}:{kind}").into());
    }
    request.insert("params".into(), params);
    Value::Object(request).to_string()
}

async fn write(session: &Session, socket: &Socket<Inbox>, rooms: &Rooms) -> Ending {
    // The library pings.
    let mut watch = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = session.filled() => {
                while let Some(frame) = session.fetch() {
                    if let Some(text) = rooms.packet(&frame)
                        && send(socket, text).await.is_none()
                    {
                        return Ending::Gone;
                    }
                }
            }
            _ = watch.tick() => {
                if session.is_over() {
                    return Ending::Over;
                }
            }
        }
    }
}

/// The rooms of a client, as JSON text by subscription: an event names both. As many as the session has, which bounds them.
#[derive(Default)]
struct Rooms(Mutex<HashMap<String, String>>);

impl Rooms {
    /// The packet that a frame of the session is; `None` where nobody waits for it.
    fn packet(&self, frame: &str) -> Option<String> {
        if let Some(push) = Push::read(frame) {
            let Some((subscription, behind)) = push.subscription else {
                return Some(packet::event(push.event, push.params));
            };
            let mut rooms = self.0.lock();
            if push.event == UNSUBSCRIBED {
                rooms.remove(subscription);
            }
            let Some(room) = rooms.get(subscription) else {
                return Some(packet::event(push.event, push.params));
            };
            let argument = format!(r#"{{"subscription":"{subscription}","room":{room}{behind}"#);
            return Some(packet::event(push.event, &argument));
        }
        let (id, behind) = frame.strip_prefix(r#"{"jsonrpc":"2.0","id":""#)?.split_once(r#"","#)?;
        let (id, kind) = id.split_once(':')?;
        let fine = behind.starts_with(r#""result":"#);
        if fine {
            match kind.split_at_checked(1) {
                Some(("s", _)) => self.join(frame),
                Some(("u", subscription)) => drop(self.0.lock().remove(subscription)),
                _ => {}
            }
        }
        let id = id.parse().ok()?;
        if fine {
            // `{result, seq}` as it is written there.
            return Some(packet::ack(id, &format!("{{{behind}")));
        }
        let mut refusal: Value = serde_json::from_str(frame).unwrap_or_default();
        let problem = refusal.pointer_mut("/error/data").map(Value::take).unwrap_or_default();
        Some(packet::ack(id, &problem.to_string()))
    }

    fn join(&self, frame: &str) {
        let answer: Value = serde_json::from_str(frame).unwrap_or_default();
        let told = |name: &str| answer.pointer(&format!("/result/{name}")).filter(|told| told.is_string());
        if let (Some(Value::String(subscription)), Some(room)) = (told("subscription"), told("room")) {
            self.0.lock().insert(subscription.clone(), room.to_string());
        }
    }
}

/// Puts a packet into the buffer of the library, once there is place for it. `None` when the connection is gone.
async fn send(socket: &Socket<Inbox>, text: String) -> Option<()> {
    let places = if text.len() > LARGE { BUFFER - SPARE } else { 1 + SPARE };
    let text = Str::from(text);
    for tries in 0_u32.. {
        match place(socket, places) {
            Ok(place) => {
                place.emit(text);
                return Some(());
            }
            Err(TrySendError::Closed(())) => return None,
            // The library does not tell when there is place again.
            Err(TrySendError::Full(())) if tries < 4 => tokio::task::yield_now().await,
            Err(TrySendError::Full(())) => sleep(Duration::from_millis(1 << (tries - 4).min(5))).await,
        }
    }
    None
}

/// One place in the buffer of the library, when so many are free.
fn place(socket: &Socket<Inbox>, free: usize) -> Result<Permit<'_>, TrySendError<()>> {
    let place = socket.reserve()?;
    let _others: Vec<Permit<'_>> = (1..free).map(|_| socket.reserve()).collect::<Result<_, _>>()?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    #[test]
    fn an_event_is_a_request() {
        let read = |text: String| {
            let request = frame::Request::parse(&text).unwrap();
            (request.id, request.method, Value::Object(request.params))
        };
        assert_eq!(
            read(request(Some(3), "call", vec![json!({"model": "users"})])),
            (Some("3:".into()), "call".to_owned(), json!({"model": "users"}))
        );
        assert_eq!(read(request(None, "call", vec![])), (None, "call".to_owned(), json!({})));
        assert_eq!(read(request(Some(3), "subscribe", vec![json!({})])).0, Some("3:s".into()));
        assert_eq!(read(request(None, "subscribe", vec![json!({})])).0, Some(":s".into()));
        assert_eq!(read(request(Some(1), "unsubscribe", vec![json!({"subscription": "s1"})])).0, Some("1:us1".into()));
        let odd = request(Some(1), "unsubscribe", vec![json!({"subscription": "a\"b"})]);
        assert_eq!(read(odd).0, Some("1:".into()));
        for wrong in [vec![json!(1)], vec![json!({}), json!({})]] {
            let refusal = frame::Request::parse(&request(Some(1), "call", wrong)).unwrap_err();
            assert_eq!((refusal.id, refusal.code), (json!("1:"), frame::code::PARAMS));
        }
    }

    #[test]
    fn frames_are_packets() {
        let rooms = Rooms::default();
        let answer = |id: &str, result: Value| {
            let made = frame::answer(&id.into(), 7, |out| serde_json::to_writer(out, &result)).unwrap();
            String::from_utf8(made).unwrap()
        };
        let push = frame::publish("s1", 9, None, r#"{"a":1}"#);
        assert_eq!(rooms.packet(&push).unwrap(), r#"2["publish",{"subscription":"s1","seq":9,"payload":{"a":1}}]"#);
        let room = json!({"subscription": "s1", "room": r#"{"a":"x"}"#});
        let text = rooms.packet(&answer("4:s", room.clone())).unwrap();
        let Value::Array(arguments) = serde_json::from_str(text.strip_prefix("34").unwrap()).unwrap() else { panic!() };
        assert_eq!(arguments, [json!({"result": room, "seq": 7})]);
        assert_eq!(
            rooms.packet(&push).unwrap(),
            r#"2["publish",{"subscription":"s1","room":"{\"a\":\"x\"}","seq":9,"payload":{"a":1}}]"#
        );
        let refusal =
            String::from_utf8(frame::refusal(&"5:us1".into(), 7, -32000, "no", &json!({"code": "X"}))).unwrap();
        assert_eq!(rooms.packet(&refusal).unwrap(), r#"35[{"code":"X"}]"#);
        assert!(rooms.packet(&push).unwrap().contains("room"));
        assert_eq!(rooms.packet(&answer(":us1", json!({}))), None);
        assert!(!rooms.packet(&push).unwrap().contains("room"));
        assert_eq!(rooms.packet(&answer(":s", json!({"subscription": "s2", "room": "{}"}))), None);
        assert!(rooms.packet(&frame::publish("s2", 9, None, "1")).unwrap().contains(r#""room":"{}""#));
        assert!(rooms.packet(&frame::unsubscribed("s2", "FORBIDDEN")).unwrap().starts_with(r#"2["unsubscribed",{"#));
        assert!(rooms.0.lock().is_empty());
    }

    #[test]
    fn the_inbox_is_bounded() {
        let inbox = Inbox::default();
        for _ in 0..INBOX_PACKETS {
            assert!(inbox.put("x".into()));
        }
        assert!(!inbox.put("x".into()) && !inbox.put("x".into()));
        assert!(inbox.waiting.lock().packets.is_empty());
        let inbox = Inbox::default();
        for _ in 0..4 {
            assert!(inbox.put("x".repeat(1 << 20).into()));
        }
        assert!(!inbox.put("x".into()));
    }
}
