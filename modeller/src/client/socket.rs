//! The one WebSocket of a client: JSON-RPC 2.0, one message in each text frame.
//!
//! A task owns it. It connects when there is something to connect for, and again when the connection breaks, after a wait that
//! doubles; then it asks for all that somebody listens to, saying what has come of it: the last payload of a room, the documents
//! and revisions of a live query. So nothing is lost or doubled by a connection that breaks, but for what the server does not
//! keep for that long, of which the listener is told. What readers are slow to read never holds the socket back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::backoff::Backoff;
use super::http::{Stream, unreachable};
use super::mailbox::Mailbox;
use super::subscription::{Delivery, deliver};
use super::{Core, live};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::live::{LiveChange, apply};

/// How many wishes of the program wait for the task; who has another one waits.
const COMMANDS: usize = 64;
/// How many requests are under way at once, as many as a server takes of one socket; others wait their turn.
const IN_FLIGHT: usize = 64;
/// The largest message of a server: it ends a socket for which more is waiting.
const MESSAGE_BYTES: usize = 32 << 20;
/// A server pings every 25 seconds; of whom nothing is heard for so long, it is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long it takes at most to open a socket, and to get rid of a message.
const STEP_TIME: Duration = Duration::from_secs(15);

/// What keeps the list of a live query for the program.
pub(super) trait Replica: Send + Sync {
    /// The list as a whole.
    fn snapshot(&self, seq: u64, list: &[Map<String, Value>]);
    /// The list after a commit, and what that has changed.
    fn commit(&self, seq: u64, list: &[Map<String, Value>], changes: &[LiveChange]);
    /// Nothing follows.
    fn end(&self, error: Error);
    /// Whether it is not wanted any more.
    fn is_over(&self) -> bool;
}

/// Where what comes is put.
#[derive(Clone)]
pub(super) enum Sink {
    Room(Arc<Mailbox<Delivery>>),
    Live(Arc<dyn Replica>),
}

impl Sink {
    fn is_over(&self) -> bool {
        match self {
            Self::Room(mailbox) => mailbox.is_over(),
            Self::Live(replica) => replica.is_over(),
        }
    }

    fn end(&self, error: Error) {
        match self {
            Self::Room(mailbox) => mailbox.end(Some(error)),
            Self::Live(replica) => replica.end(error),
        }
    }
}

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Room,
    Live,
}

enum Command {
    Join { target: Target, params: Map<String, Value>, sink: Sink, reply: oneshot::Sender<Result<()>> },
    Ask(Ask),
}

struct Ask {
    method: &'static str,
    params: Map<String, Value>,
    reply: oneshot::Sender<Result<Value>>,
}

/// The end of the socket that the program holds. It is closed when the last one is dropped.
#[derive(Clone)]
pub(super) struct Socket {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Somebody has left, or it is to be connected anew.
    wake: Notify,
    reconnect: AtomicBool,
}

impl Socket {
    /// Starts the task. Nothing is opened by this.
    pub(super) fn start(core: Arc<Core>) -> Self {
        let (commands, taken) = mpsc::channel(COMMANDS);
        let shared = Arc::<Shared>::default();
        let task = Task {
            core,
            commands: taken,
            shared: shared.clone(),
            entries: Vec::new(),
            asking: VecDeque::new(),
            under_way: HashMap::new(),
            next: 0,
        };
        tokio::spawn(task.run());
        Self { commands, shared }
    }

    /// One that leads nowhere.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self { commands: mpsc::channel(1).0, shared: Arc::default() }
    }

    /// Opens it anew, as who calls is somebody else by now.
    pub(super) fn reconnect(&self) {
        self.shared.reconnect.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// Looks for those who have left.
    pub(super) fn sweep(&self) {
        self.shared.wake.notify_one();
    }

    /// Listens, from the answer of the server on.
    pub(super) async fn join(
        &self,
        target: Target,
        params: Map<String, Value>,
        sink: Sink,
        patience: Duration,
    ) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Join { target, params, sink, reply }, answer, patience).await
    }

    /// Asks for something once.
    pub(super) async fn ask(
        &self,
        method: &'static str,
        params: Map<String, Value>,
        patience: Duration,
    ) -> Result<Value> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Ask(Ask { method, params, reply }), answer, patience).await
    }

    async fn send<R>(&self, command: Command, answer: oneshot::Receiver<Result<R>>, patience: Duration) -> Result<R> {
        let gone = || Error::new(ErrorCode::Unavailable).message("the client was closed");
        let asked = async {
            self.commands.send(command).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        timeout(patience, asked).await.unwrap_or_else(|cause| Err(unreachable("the server cannot be reached", cause)))
    }
}

/// What is listened to, by whom, and what has come of it.
struct Entry {
    target: Target,
    params: Map<String, Value>,
    sinks: Vec<Sink>,
    /// Those who wait for the first answer.
    waiting: Vec<oneshot::Sender<Result<()>>>,
    /// What the server calls it, on this connection.
    subscription: Option<String>,
    /// The commit that was heard last, and how many payloads of it, when more of them follow.
    since: Option<(u64, Option<u64>)>,
    /// The list of a live query.
    list: Vec<Map<String, Value>>,
    /// The list is not that of the server: it has to be asked for as a whole.
    lost: bool,
}

impl Entry {
    /// How it is asked for, with what was heard.
    fn request(&self) -> Map<String, Value> {
        let mut params = self.params.clone();
        let Some((seq, received)) = self.since.filter(|_| !self.lost) else { return params };
        params.insert("since".into(), seq.into());
        match self.target {
            Target::Room => {
                if let Some(received) = received {
                    params.insert("received".into(), received.into());
                }
            }
            Target::Live => {
                let of = |doc: &Map<String, Value>| json!([doc.get("_id"), doc.get("_rev")]);
                params.insert("held".into(), self.list.iter().map(of).collect());
            }
        }
        params
    }

    fn deliver(&self, delivery: &Delivery) {
        for sink in &self.sinks {
            if let Sink::Room(mailbox) = sink {
                deliver(mailbox, delivery.clone());
            }
        }
    }

    /// Has the list as a whole.
    fn reset(&mut self, seq: u64, list: Vec<Map<String, Value>>) {
        (self.list, self.since, self.lost) = (list, Some((seq, None)), false);
        for sink in &self.sinks {
            if let Sink::Live(replica) = sink {
                replica.snapshot(seq, &self.list);
            }
        }
    }

    /// Does what a commit has done. False when it is not about this list.
    fn commit(&mut self, seq: u64, changes: Vec<LiveChange>) -> bool {
        // What is before the list that was asked for. One of the commit that is known already is another change of it: of rights.
        if self.lost || self.since.is_some_and(|(known, _)| seq < known) {
            return true;
        }
        let told = changes.clone();
        if let Err(mismatch) = apply(&mut self.list, changes) {
            tracing::warn!(%mismatch, "a live query has lost its place, and asks for the list");
            self.lost = true;
            return false;
        }
        self.since = Some((seq, None));
        for sink in &self.sinks {
            if let Sink::Live(replica) = sink {
                replica.commit(seq, &self.list, &told);
            }
        }
        true
    }

    /// Nothing follows for any of them.
    fn end(self, error: &Error) {
        for waiting in self.waiting {
            let _ = waiting.send(Err(again(error)));
        }
        for sink in self.sinks {
            sink.end(again(error));
        }
    }
}

/// The same error for another one.
fn again(error: &Error) -> Error {
    Error::from_json(error.to_json())
}

/// A request under way.
enum Pending {
    /// By the number of its entry.
    Join(u64),
    Ask(oneshot::Sender<Result<Value>>),
}

/// Why a connection has ended.
enum Ending {
    /// It broke, or was refused.
    Broken,
    /// To begin anew at once.
    Anew,
    /// Nobody is there any more.
    Done,
}

type Output = SplitSink<WebSocketStream<Box<dyn Stream>>, Message>;
type Input = SplitStream<WebSocketStream<Box<dyn Stream>>>;

struct Task {
    core: Arc<Core>,
    commands: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    /// Each with its number.
    entries: Vec<(u64, Entry)>,
    /// What was not sent yet.
    asking: VecDeque<Ask>,
    under_way: HashMap<u64, Pending>,
    /// Of requests and entries.
    next: u64,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            self.sweep();
            while self.entries.is_empty() && self.asking.is_empty() {
                match self.commands.recv().await {
                    None => return,
                    Some(command) => drop(self.take(command)),
                }
            }
            self.shared.reconnect.store(false, Ordering::Release);
            let ending = match self.open().await {
                Ok(Some(socket)) => Box::pin(self.serve(socket, &mut backoff)).await,
                // There are other tokens.
                Ok(None) => Ending::Anew,
                Err(error) => {
                    tracing::debug!(error = %error.for_log_with_causes(), "the socket could not be opened");
                    Ending::Broken
                }
            };
            self.cut();
            match ending {
                Ending::Done => return,
                Ending::Anew => {}
                Ending::Broken => {
                    if !self.wait(backoff.next()).await {
                        return;
                    }
                }
            }
        }
    }

    /// Waits, and takes what the program wishes meanwhile. False when nobody is there any more.
    async fn wait(&mut self, time: Duration) -> bool {
        let shared = self.shared.clone();
        let until = tokio::time::Instant::now() + time;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                () = shared.wake.notified() => {
                    self.sweep();
                    if shared.reconnect.load(Ordering::Acquire) {
                        return true;
                    }
                }
                command = self.commands.recv() => match command {
                    None => return false,
                    Some(command) => drop(self.take(command)),
                },
            }
        }
    }

    /// Opens the socket; `None` when there are other tokens to do it with.
    async fn open(&mut self) -> Result<Option<WebSocketStream<Box<dyn Stream>>>> {
        let token = self.core.tokens.read().token.clone();
        let origin = &self.core.transport.origin;
        let mut request = origin.socket("/@socket").into_client_request().map_err(Error::internal)?;
        if let Some(token) = &token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MESSAGE_BYTES);
        config.max_frame_size = Some(MESSAGE_BYTES);
        let stream = self.core.transport.connect().await?;
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let opened = timeout(STEP_TIME, opened).await;
        match opened.map_err(|cause| unreachable("the server does not answer", cause))? {
            Ok((socket, _)) => Ok(Some(socket)),
            Err(tungstenite::Error::Http(response)) if response.status() == 401 => {
                let refused = match self.core.refresh(token.as_ref()).await {
                    Ok(true) => return Ok(None),
                    Ok(false) => Error::unauthenticated(),
                    Err(error) if error.http_status() >= 500 => return Err(error),
                    Err(error) => error,
                };
                // As who calls now there is nothing to be had.
                for (_, entry) in std::mem::take(&mut self.entries) {
                    entry.end(&refused);
                }
                for ask in std::mem::take(&mut self.asking) {
                    let _ = ask.reply.send(Err(again(&refused)));
                }
                Err(refused)
            }
            Err(cause) => Err(unreachable("the server cannot be reached", cause)),
        }
    }

    /// The connection is gone, and with it what was under way on it.
    fn cut(&mut self) {
        for (_, entry) in &mut self.entries {
            entry.subscription = None;
        }
        for pending in std::mem::take(&mut self.under_way).into_values() {
            if let Pending::Ask(reply) = pending {
                let text = "the connection broke; what was asked for may have been done";
                let _ = reply.send(Err(Error::new(ErrorCode::Unavailable).message(text)));
            }
        }
    }

    /// Takes a wish; the number of the entry that has to be asked for.
    fn take(&mut self, command: Command) -> Option<u64> {
        let (target, params, sink, reply) = match command {
            Command::Ask(ask) => {
                self.asking.push_back(ask);
                return None;
            }
            Command::Join { target, params, sink, reply } => (target, params, sink, reply),
        };
        let is_same = |entry: &Entry| entry.target == target && entry.params == params;
        if let Some((_, entry)) = self.entries.iter_mut().find(|(_, entry)| is_same(entry)) {
            let Some((seq, _)) = entry.since else {
                entry.sinks.push(sink);
                entry.waiting.push(reply);
                return None;
            };
            if let Sink::Live(replica) = &sink {
                replica.snapshot(seq, &entry.list);
            }
            entry.sinks.push(sink);
            let _ = reply.send(Ok(()));
            return None;
        }
        self.next += 1;
        let entry = Entry {
            target,
            params,
            sinks: vec![sink],
            waiting: vec![reply],
            subscription: None,
            since: None,
            list: Vec::new(),
            lost: false,
        };
        self.entries.push((self.next, entry));
        Some(self.next)
    }

    /// Forgets who has left, and answers the subscriptions that nobody listens to any more.
    fn sweep(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        self.entries.retain_mut(|(_, entry)| {
            entry.sinks.retain(|sink| !sink.is_over());
            if entry.sinks.is_empty() {
                left.extend(entry.subscription.take());
            }
            !entry.sinks.is_empty()
        });
        // Equal ones have one name.
        left.retain(|name| !self.entries.iter().any(|(_, entry)| entry.subscription.as_ref() == Some(name)));
        left
    }

    async fn serve(&mut self, socket: WebSocketStream<Box<dyn Stream>>, backoff: &mut Backoff) -> Ending {
        let (mut output, mut input) = socket.split();
        let shared = self.shared.clone();
        let all: Vec<u64> = self.entries.iter().map(|(number, _)| *number).collect();
        for number in all {
            if self.ask_for(&mut output, number).await.is_none() {
                return Ending::Broken;
            }
        }
        loop {
            if self.send_asked(&mut output).await.is_none() {
                return Ending::Broken;
            }
            let done = tokio::select! {
                text = heard(&mut input) => match text {
                    Some(text) => self.hear(&text, &mut output, backoff).await,
                    None => None,
                },
                command = self.commands.recv() => match command {
                    None => {
                        let _ = timeout(STEP_TIME, output.close()).await;
                        return Ending::Done;
                    }
                    Some(command) => match self.take(command) {
                        Some(number) => self.ask_for(&mut output, number).await,
                        None => Some(()),
                    },
                },
                () = shared.wake.notified() => {
                    if shared.reconnect.load(Ordering::Acquire) {
                        let _ = timeout(STEP_TIME, output.close()).await;
                        return Ending::Anew;
                    }
                    self.leave(&mut output).await
                }
            };
            if done.is_none() {
                return Ending::Broken;
            }
        }
    }

    async fn leave(&mut self, output: &mut Output) -> Option<()> {
        for subscription in self.sweep() {
            let params = Map::from_iter([("subscription".to_owned(), subscription.into())]);
            send(output, None, "unsubscribe", params).await?;
        }
        Some(())
    }

    /// Asks for what somebody listens to.
    async fn ask_for(&mut self, output: &mut Output, number: u64) -> Option<()> {
        let Some((_, entry)) = self.entries.iter().find(|(known, _)| *known == number) else { return Some(()) };
        let method = if entry.target == Target::Room { "subscribe" } else { "live" };
        let params = entry.request();
        self.next += 1;
        self.under_way.insert(self.next, Pending::Join(number));
        send(output, Some(self.next), method, params).await
    }

    /// Sends what waits to be asked, as far as more may be under way.
    async fn send_asked(&mut self, output: &mut Output) -> Option<()> {
        while self.under_way.len() < IN_FLIGHT {
            let Some(Ask { method, params, reply }) = self.asking.pop_front() else { break };
            // Who does not wait any more does not want it done any more.
            if reply.is_closed() {
                continue;
            }
            self.next += 1;
            self.under_way.insert(self.next, Pending::Ask(reply));
            send(output, Some(self.next), method, params).await?;
        }
        Some(())
    }

    /// Takes a message of the server. `None` when it is to be begun anew.
    async fn hear(&mut self, text: &str, output: &mut Output, backoff: &mut Backoff) -> Option<()> {
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else { return None };
        let Some(method) = message.remove("method") else {
            backoff.reset();
            return self.answered(message, output).await;
        };
        let Some(Value::Object(mut params)) = message.remove("params") else { return Some(()) };
        let seq = params.get("seq").and_then(Value::as_u64).unwrap_or_default();
        let name = params.remove("subscription").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        match method.as_str().unwrap_or_default() {
            "publish" => {
                let received = params.get("received").and_then(Value::as_u64);
                let delivery = Delivery::Payload { seq, payload: params.remove("payload").unwrap_or_default() };
                for (_, entry) in self.named(&name, Target::Room) {
                    entry.since = Some((seq, received));
                    entry.deliver(&delivery);
                }
            }
            "commit" => {
                let mut lost = Vec::new();
                for part in params.remove("subscriptions").and_then(list).unwrap_or_default() {
                    let Value::Object(mut part) = part else { continue };
                    let name = part.get("subscription").and_then(Value::as_str).unwrap_or_default().to_owned();
                    let changes = part.remove("changes").unwrap_or_default();
                    let Ok(changes) = serde_json::from_value::<Vec<LiveChange>>(changes) else { return None };
                    for (number, entry) in self.named(&name, Target::Live) {
                        if !entry.commit(seq, changes.clone()) {
                            lost.push(*number);
                        }
                    }
                }
                acknowledge(output, seq).await?;
                for number in lost {
                    self.ask_for(output, number).await?;
                }
            }
            "reset" => {
                let Ok(items) = serde_json::from_value::<Vec<_>>(params.remove("items").unwrap_or_default()) else {
                    return None;
                };
                for (_, entry) in self.named(&name, Target::Live) {
                    entry.reset(seq, items.clone());
                }
                acknowledge(output, seq).await?;
            }
            "unsubscribed" => {
                let error = live::ended(params.get("code").and_then(Value::as_str).unwrap_or("FORBIDDEN"));
                let (ended, others) = std::mem::take(&mut self.entries)
                    .into_iter()
                    .partition(|(_, entry)| entry.subscription.as_ref() == Some(&name));
                self.entries = others;
                for (_, entry) in ended {
                    entry.end(&error);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// The entries that the server calls so.
    fn named<'a>(&'a mut self, name: &'a str, target: Target) -> impl Iterator<Item = &'a mut (u64, Entry)> {
        let is_named = move |entry: &Entry| entry.target == target && entry.subscription.as_deref() == Some(name);
        self.entries.iter_mut().filter(move |(_, entry)| is_named(entry))
    }

    async fn answered(&mut self, mut message: Map<String, Value>, output: &mut Output) -> Option<()> {
        let outcome = match message.remove("error") {
            None => Ok(message.remove("result").unwrap_or_default()),
            Some(mut error) => Err(match error.get_mut("data").map(Value::take) {
                Some(problem @ Value::Object(_)) => Error::from_json(problem),
                _ => Error::internal("a refusal without a problem body"),
            }),
        };
        let number = match message.get("id").and_then(Value::as_u64).and_then(|id| self.under_way.remove(&id)) {
            Some(Pending::Ask(reply)) => {
                let _ = reply.send(outcome);
                return Some(());
            }
            Some(Pending::Join(number)) => number,
            None => return Some(()),
        };
        let Some(at) = self.entries.iter().position(|(known, _)| *known == number) else {
            // Everybody has left before there was an answer.
            let name = outcome.ok().and_then(|result| Some(result.get("subscription")?.as_str()?.to_owned()));
            let name =
                name.filter(|name| !self.entries.iter().any(|(_, entry)| entry.subscription.as_ref() == Some(name)));
            if let Some(name) = name {
                let params = Map::from_iter([("subscription".to_owned(), name.into())]);
                send(output, None, "unsubscribe", params).await?;
            }
            return Some(());
        };
        let result = match outcome {
            Ok(Value::Object(result)) => result,
            Ok(_) => return None,
            Err(error) => {
                self.entries.swap_remove(at).1.end(&error);
                return Some(());
            }
        };
        let (_, entry) = self.entries.get_mut(at)?;
        if joined(entry, result)? {
            for waiting in std::mem::take(&mut entry.waiting) {
                let _ = waiting.send(Ok(()));
            }
            Some(())
        } else {
            self.ask_for(output, number).await
        }
    }
}

/// Takes the answer to what was listened to. False when it has to be asked for again; `None` when it is none.
fn joined(entry: &mut Entry, mut result: Map<String, Value>) -> Option<bool> {
    entry.subscription = Some(result.get("subscription")?.as_str()?.to_owned());
    if entry.target == Target::Room {
        let since = (result.get("since")?.as_u64()?, result.get("received").and_then(Value::as_u64));
        if entry.since.is_some() && result.get("complete") == Some(&Value::Bool(false)) {
            entry.deliver(&Delivery::Missed);
        }
        entry.since = Some(since);
        return Some(true);
    }
    let seq = result.get("seq")?.as_u64()?;
    if let Some(items) = result.remove("items") {
        entry.reset(seq, serde_json::from_value(items).ok()?);
        return Some(true);
    }
    let changes: Vec<LiveChange> = serde_json::from_value(result.remove("changes")?).ok()?;
    if changes.is_empty() {
        entry.since = Some((seq, None));
        return Some(true);
    }
    Some(entry.commit(seq, changes))
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

/// The next text; `None` when the connection is gone, or nothing was heard for too long.
async fn heard(input: &mut Input) -> Option<tungstenite::Utf8Bytes> {
    loop {
        match timeout(SILENCE, input.next()).await.ok()?? {
            Ok(Message::Text(text)) => return Some(text),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn acknowledge(output: &mut Output, seq: u64) -> Option<()> {
    send(output, None, "ack", Map::from_iter([("seq".to_owned(), seq.into())])).await
}

/// Sends a request, or without an id a notification. `None` when that is not possible.
async fn send(output: &mut Output, id: Option<u64>, method: &str, params: Map<String, Value>) -> Option<()> {
    let mut message = json!({"jsonrpc": "2.0", "method": method, "params": params});
    if let Some(id) = id {
        message["id"] = id.into();
    }
    timeout(STEP_TIME, output.send(Message::text(message.to_string()))).await.ok()?.ok()
}
