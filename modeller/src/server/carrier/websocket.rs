//! A session over a WebSocket (RFC 6455), one JSON-RPC message in each text frame.
//!
//! A handshake from a foreign page is not refused: it gets what anyone gets, as the session cookie that a browser attaches to it
//! counts only where `Origin` is that of a page that may act for its user.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::line::Line;
use crate::error::{Error, ErrorCode, Result};
use crate::server::auth::jwt::Identity;
use crate::server::events::{Connected, ConnectionKind};
use crate::server::limits::{CLOSE_TIME, FRAME_BYTES, PING_EVERY, QUEUE_BYTES, SILENCE};
use crate::server::network::Peer;
use crate::server::session::Session;
use crate::server::{Server, stopped};

/// The default of the library costs 128 KiB a socket.
const READ_BUFFER: usize = 4 << 10;
/// So much is collected before it is written; what waits for the client waits in the session's queue.
const WRITE_BUFFER: usize = 16 << 10;
/// So many messages of one client are taken before others have their turn.
const AT_ONCE: u32 = 32;

/// `GET /@socket`
pub(in crate::server) async fn open(
    State(server): State<Arc<Server>>,
    identity: Identity,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    from: Peer,
    line: Option<Extension<Weak<Line>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        // RFC 9110 §15.5.22.
        let error = Error::new(ErrorCode::InvalidRequest).message("this path is a WebSocket of version 13").status(426);
        let mut response = error.into_response();
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let counted = match server.admit_socket(&identity.caller, from) {
        Ok(counted) => counted,
        Err(error) => return error.into_response(),
    };
    server.configuration.events.connection.tell(|| Connected {
        kind: ConnectionKind::Socket,
        peer: peer.map(|Extension(ConnectInfo(peer))| peer),
        caller: identity.caller.clone(),
    });
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        // The largest frame fits after what was collected before it.
        .max_write_buffer_size(QUEUE_BYTES + 2 * WRITE_BUFFER)
        .max_message_size(FRAME_BYTES)
        .max_frame_size(FRAME_BYTES)
        .on_upgrade(async move |socket| {
            let session = Session::new(server, identity);
            session.comes_from(from);
            if let Some(Extension(line)) = line {
                session.writes_to(line);
            }
            carry(&session, socket).await;
            // What knows the application goes first: when the last place is free, the server has ended.
            drop(session);
            drop(counted);
        })
}

/// Why a socket ends.
enum Ending {
    /// The connection is gone, or the client said goodbye.
    Gone,
    /// We say goodbye.
    Close(u16, &'static str),
}

async fn carry(session: &Arc<Session>, socket: WebSocket) {
    let mut stopping = session.server().stopping.subscribe();
    let (mut output, mut input) = socket.split();
    let ending = tokio::select! {
        ending = read(session, &mut input) => ending,
        ending = write(session, &mut output) => ending,
        () = session.overflown() => Ending::Close(close_code::AGAIN, "slow consumer; subscribe again"),
        () = stopped(&mut stopping) => {
            // No more is read; what was asked before is answered.
            tokio::select! {
                () = session.idle() => {}
                _ = write(session, &mut output) => {}
            }
            session.hold().await;
            while let Some(frame) = session.fetch() {
                if !matches!(timeout(CLOSE_TIME, output.feed(Message::Text(frame))).await, Ok(Ok(()))) {
                    break;
                }
            }
            Ending::Close(close_code::AWAY, "the server stops")
        }
    };
    session.close();
    // Nothing is written behind the goodbye.
    session.hold().await;
    if let Ending::Close(code, reason) = ending {
        let goodbye = async {
            let frame = CloseFrame { code, reason: reason.into() };
            output.send(Message::Close(Some(frame))).await?;
            // Until the client has answered it: closed on bytes that were not read, a connection is reset, and what it had
            // not yet received is lost.
            while input.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, axum::Error>(())
        };
        let _ = timeout(CLOSE_TIME, goodbye).await;
    }
}

async fn read(session: &Arc<Session>, input: &mut SplitStream<WebSocket>) -> Ending {
    let mut taken = 0_u32;
    loop {
        taken = taken.wrapping_add(1);
        if taken.is_multiple_of(AT_ONCE) {
            // Many small messages come in one piece, and are read without a wait: others have their turn in between.
            tokio::task::yield_now().await;
        }
        // Who has enough under way is not read, and has to wait to be heard.
        let permit = session.admit().await;
        let text = loop {
            match timeout(SILENCE, input.next()).await {
                Err(_) => return Ending::Close(close_code::POLICY, "nothing was heard for too long"),
                Ok(None) => return Ending::Gone,
                Ok(Some(Err(error))) => return broken(&error),
                Ok(Some(Ok(Message::Text(text)))) => break text,
                Ok(Some(Ok(Message::Binary(_)))) => return Ending::Close(close_code::UNSUPPORTED, "text frames only"),
                // Answered by the library, which ends the stream after a goodbye.
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)))) => {}
            }
        };
        if session.is_over() {
            return EXPIRED;
        }
        session.take(&text, permit).await;
    }
}

const EXPIRED: Ending = Ending::Close(close_code::POLICY, "the token has expired or was revoked");

/// What the library could not read.
fn broken(error: &axum::Error) -> Ending {
    let text = error.to_string();
    // The kinds of its error are not passed on.
    if text.starts_with("Space limit exceeded") {
        Ending::Close(close_code::SIZE, "the message is too large")
    } else if text.starts_with("UTF-8") {
        Ending::Close(close_code::INVALID, "the message is not UTF-8")
    } else if text.starts_with("IO error")
        || text.starts_with("Connection")
        || text.contains("without closing handshake")
    {
        Ending::Gone
    } else {
        Ending::Close(close_code::PROTOCOL, "this is no WebSocket frame")
    }
}

async fn write(session: &Session, output: &mut SplitSink<WebSocket, Message>) -> Ending {
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = session.filled() => {
                // What is meant for somebody does not go to who is nobody by now.
                if session.is_over() {
                    return EXPIRED;
                }
                loop {
                    while let Some(frame) = session.fetch() {
                        if output.feed(Message::Text(frame)).await.is_err() {
                            return Ending::Gone;
                        }
                    }
                    if output.flush().await.is_err() {
                        return Ending::Gone;
                    }
                    if session.settle() {
                        break;
                    }
                }
            }
            _ = ping.tick() => {
                if session.is_over() {
                    return EXPIRED;
                }
                if output.send(Message::Ping(axum::body::Bytes::new())).await.is_err() {
                    return Ending::Gone;
                }
            }
        }
    }
}
