//! One change, heard by many: documents are changed over HTTP, and every client hears of every change once.

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cities::connection::Connection;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Method;
use modeller::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use workload::document;

use crate::process::{Process, Used};
use crate::report::median;

/// How a server is told that one wants to hear of admins, and how it tells what has changed.
#[derive(Clone, Copy, PartialEq)]
enum Speech {
    /// A live query of this framework.
    Live,
    /// A WebSocket without a word.
    Plain,
    /// Socket.IO (<https://socket.io/docs/v4/socket-io-protocol/>).
    SocketIo,
}

impl Speech {
    fn named(name: &str) -> Option<Self> {
        [("live", Self::Live), ("plain", Self::Plain), ("socketio", Self::SocketIo)]
            .into_iter()
            .find_map(|(known, speech)| (known == name).then_some(speech))
    }

    fn path(self) -> &'static str {
        match self {
            Self::Live => "/@socket",
            Self::Plain => "/room",
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        }
    }
}

/// What is measured.
pub(crate) struct FanOut {
    pub(crate) url: String,
    pub(crate) label: String,
    pub(crate) speech: String,
    pub(crate) clients: usize,
    /// How many changes are on their way at once.
    pub(crate) window: usize,
    pub(crate) changes: usize,
}

/// A measurement.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    label: String,
    clients: usize,
    window: usize,
    deliveries: usize,
    seconds: f64,
    per_second: f64,
    /// Processor time of the server, its work for the changes included.
    microseconds_per_delivery: f64,
    /// From when the change is sent until a client has it.
    p50_milliseconds: f64,
    p99_milliseconds: f64,
    /// Resident size of the server, after so many clients have come.
    kib_per_client: f64,
}

type Socket = WebSocketStream<TcpStream>;

/// The changes that were sent, and who waits for them.
struct Board {
    /// When each was sent, in microseconds since the beginning.
    sent: Vec<AtomicU64>,
    /// How many clients have each.
    heard: Vec<AtomicU64>,
    clients: u64,
    begin: Instant,
    done: Notify,
}

impl Board {
    fn micros(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn wrong(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new("WRONG_ANSWER").message(what)
}

/// The text of the next message; pings of the library are answered by it.
async fn text(socket: &mut Socket) -> Result<String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => return Err(wrong(format!("the socket has ended: {other:?}"))),
        }
    }
}

async fn say(socket: &mut Socket, text: impl Into<String>) -> Result<()> {
    socket.send(Message::text(text.into())).await.map_err(Error::internal)
}

/// A client that has subscribed.
async fn member(url: &str, speech: Speech) -> Result<Socket> {
    let addr: SocketAddr = url.trim_start_matches("http://").parse().map_err(Error::internal)?;
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    // The default costs 128 KiB for each.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    let url = format!("ws://{addr}{}", speech.path());
    let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await;
    let (mut socket, _) = opened.map_err(Error::internal)?;
    match speech {
        Speech::Plain => {
            // What the server says when it has put the client into the room.
            text(&mut socket).await?;
        }
        Speech::Live => {
            let asked = r#"{"jsonrpc":"2.0","id":1,"method":"live","params":{"model":"users","filter":{"role":"admin"},"limit":20}}"#;
            say(&mut socket, asked).await?;
            let answer = text(&mut socket).await?;
            if !answer.contains("\"items\":[{") {
                return Err(wrong(answer));
            }
        }
        Speech::SocketIo => {
            text(&mut socket).await?;
            say(&mut socket, "40").await?;
            text(&mut socket).await?;
            say(&mut socket, r#"420["subscribe",{"role":"admin"}]"#).await?;
            let answer = text(&mut socket).await?;
            if !answer.starts_with("430") {
                return Err(wrong(answer));
            }
        }
    }
    Ok(socket)
}

/// The number of the change in a message, if it tells of one.
fn change_in(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("change-")?;
    rest.split_once('-')?.0.parse().ok()
}

/// Hears all changes, each once and in order, and answers how long each took in microseconds.
async fn listen(mut socket: Socket, speech: Speech, board: Arc<Board>) -> Result<Vec<u32>> {
    let mut took = Vec::with_capacity(board.sent.len());
    while took.len() < board.sent.len() {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            other => return Err(wrong(format!("the socket has ended: {other:?}"))),
        };
        if speech == Speech::SocketIo && text.as_str() == "2" {
            say(&mut socket, "3").await?;
            continue;
        }
        let Some(number) = change_in(&text) else { continue };
        if number != took.len() {
            return Err(wrong(format!("change {number} came where {} was due", took.len())));
        }
        let (Some(sent), Some(heard)) = (board.sent.get(number), board.heard.get(number)) else {
            return Err(wrong(format!("there is no change {number}")));
        };
        let micros = board.micros().saturating_sub(sent.load(Ordering::Acquire));
        took.push(u32::try_from(micros).unwrap_or(u32::MAX));
        if heard.fetch_add(1, Ordering::AcqRel) + 1 == board.clients {
            board.done.notify_one();
        }
    }
    Ok(took)
}

/// The whole document but its role, so that what is told of it is all of it: about 250 bytes.
fn change(number: usize) -> Vec<u8> {
    format!(
        r#"{{"email":"change{number}@example.com","name":"change-{number}-of-one-document-that-all-of-the-clients-hear","age":{},"tags":["t{}","t{}","t{}"],"createdAt":"2024-02-01T00:00:00.000Z"}}"#,
        number % 100,
        number % 50,
        (number + 1) % 50,
        (number + 2) % 50,
    )
    .into_bytes()
}

async fn send(connection: &mut Connection, method: Method, path: &str, body: Vec<u8>) -> Result<String> {
    let (status, answer) = connection.send(method, path, body).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if status.is_success() { Ok(answer) } else { Err(wrong(format!("{status} {answer}"))) }
}

/// Measures, and prints a line.
pub(crate) async fn run(plan: FanOut, process: &Process) -> Result<()> {
    let speech = Speech::named(&plan.speech).ok_or_else(|| wrong("the room is `live`, `plain` or `socketio`"))?;
    let mut connection = Connection::open(&plan.url).await?;
    let mut first = None;
    for number in 0..100 {
        let stored = send(&mut connection, Method::POST, "/users", document::text(number).into_bytes()).await?;
        if first.is_none() {
            first =
                stored.split_once("\"_id\":\"").and_then(|(_, rest)| rest.split_once('"')).map(|(id, _)| id.to_owned());
        }
    }
    // The first document is an admin, and the first of the list.
    let path = format!("/users/{}", first.ok_or_else(|| wrong("the document has no id"))?);
    // Whatever is made once is made.
    drop(member(&plan.url, speech).await?);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let alone = process.now()?;

    let mut joining = JoinSet::new();
    let mut sockets = Vec::with_capacity(plan.clients);
    while sockets.len() < plan.clients {
        while joining.len() < 64 && joining.len() + sockets.len() < plan.clients {
            let url = plan.url.clone();
            joining.spawn(async move { member(&url, speech).await });
        }
        if let Some(joined) = joining.join_next().await {
            sockets.push(joined??);
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let board = Arc::new(Board {
        sent: (0..plan.changes).map(|_| AtomicU64::new(0)).collect(),
        heard: (0..plan.changes).map(|_| AtomicU64::new(0)).collect(),
        clients: plan.clients as u64,
        begin: Instant::now(),
        done: Notify::new(),
    });
    let before = process.now()?;
    let mut listening = JoinSet::new();
    for socket in sockets {
        listening.spawn(listen(socket, speech, board.clone()));
    }
    let started = Instant::now();
    let changing = change_all(&plan, &path, &board, connection);
    let mut took = Vec::with_capacity(plan.changes * plan.clients);
    let hearing = async {
        while let Some(heard) = listening.join_next().await {
            took.extend(heard??);
        }
        Ok::<_, Error>(())
    };
    let wait = Duration::from_secs(300);
    let outcome = tokio::time::timeout(wait, async { tokio::try_join!(changing, hearing) }).await;
    outcome.map_err(|_| wrong("a delivery is missing"))??;
    let seconds = started.elapsed().as_secs_f64();
    let after = process.now()?;
    took.sort_unstable();
    print(&plan, &took, seconds, [&alone, &before, &after])
}

/// Sends the changes one after the other, so many ahead of the slowest client.
async fn change_all(plan: &FanOut, path: &str, board: &Board, mut connection: Connection) -> Result<()> {
    let (ahead, mut behind) = mpsc::channel::<()>(plan.window);
    let sending = async {
        for number in 0..plan.changes {
            ahead.send(()).await.map_err(Error::internal)?;
            if let Some(sent) = board.sent.get(number) {
                sent.store(board.micros(), Ordering::Release);
            }
            send(&mut connection, Method::PATCH, path, change(number)).await?;
        }
        Ok::<_, Error>(())
    };
    let waiting = async {
        for heard in &board.heard {
            while heard.load(Ordering::Acquire) < board.clients {
                board.done.notified().await;
            }
            behind.recv().await;
        }
        Ok::<_, Error>(())
    };
    tokio::try_join!(sending, waiting)?;
    Ok(())
}

fn print(plan: &FanOut, took: &[u32], seconds: f64, [alone, before, after]: [&Used; 3]) -> Result<()> {
    let deliveries = took.len();
    let at = |share: f64| {
        let place = (deliveries as f64 * share) as usize;
        f64::from(took.get(place.min(deliveries.saturating_sub(1))).copied().unwrap_or_default()) / 1e3
    };
    let used = after.processor.saturating_sub(before.processor);
    let line = Line {
        label: plan.label.clone(),
        clients: plan.clients,
        window: plan.window,
        deliveries,
        seconds,
        per_second: deliveries as f64 / seconds,
        microseconds_per_delivery: used.as_secs_f64() * 1e6 / deliveries as f64,
        p50_milliseconds: at(0.5),
        p99_milliseconds: at(0.99),
        kib_per_client: before.resident.saturating_sub(alone.resident) as f64 / 1_024.0 / plan.clients as f64,
    };
    crate::say(&serde_json::to_string(&line)?);
    Ok(())
}

/// Prints the medians of such lines.
pub(crate) fn report(lines: impl BufRead) -> Result<()> {
    let mut groups = std::collections::BTreeMap::<(usize, usize, String), Vec<Line>>::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(&line?)?;
        groups.entry((line.clients, line.window, line.label.clone())).or_default().push(line);
    }
    let mut table =
        String::from("clients  window  server      µs/delivery  deliveries/s   p50 ms   p99 ms  KiB/client\n");
    // Of each window as many changes are heard, so that what all of them cost is the mean.
    let mut all = std::collections::BTreeMap::<(usize, String), Vec<f64>>::new();
    for ((clients, window, label), lines) in groups {
        let of = |f: fn(&Line) -> f64| median(&mut lines.iter().map(f).collect::<Vec<_>>());
        let cost = of(|line| line.microseconds_per_delivery);
        all.entry((clients, label.clone())).or_default().push(cost);
        table += &format!(
            "{clients:>7} {window:>7}  {label:<10} {cost:>12.2} {:>13.0} {:>8.2} {:>8.2} {:>11.1}\n",
            of(|line| line.per_second),
            of(|line| line.p50_milliseconds),
            of(|line| line.p99_milliseconds),
            of(|line| line.kib_per_client),
        );
    }
    table += "clients  server      µs/delivery of all windows  the subject's share of it\n";
    for ((clients, label), costs) in &all {
        let mean = |costs: &[f64]| costs.iter().sum::<f64>() / costs.len() as f64;
        let share = all.get(&(*clients, "subject".to_owned())).map_or(f64::NAN, |own| mean(own) / mean(costs));
        table += &format!("{clients:>7}  {label:<10} {:>27.2} {share:>26.2}\n", mean(costs));
    }
    crate::say(table.trim_end());
    Ok(())
}
