//! The ways in which a step is asked for.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use modeller::client::{Client, Delivery, RemoteListener, RemoteLiveChange, RemoteLiveEvent, RemoteModel};
use modeller::prelude::*;
use modeller::{Listener, ModelType, Stored};
use modeller_tests::events::Events;
use modeller_tests::http::Connection;
use modeller_tests::node::Node;
use modeller_tests::socket::Socket;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::outcome::{Outcome, Replica, commit};
use crate::subject::{Book, CANARY, Note, Order, Person, Served};

/// A step, with what the server has named put in.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: String,
    /// Who asks; anyone when nobody is named.
    pub(crate) who: Option<String>,
    pub(crate) model: String,
    pub(crate) params: Value,
}

impl Step {
    fn text(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_else(|| panic!("{self:?} has no `{name}`"))
    }

    fn count(&self) -> usize {
        usize::try_from(self.params["count"].as_u64().unwrap()).unwrap()
    }

    fn query(&self) -> Value {
        self.params.get("query").cloned().unwrap_or_else(|| json!({}))
    }

    fn rev(&self) -> Option<u64> {
        self.params.get("ifRev").map(|rev| rev.as_u64().unwrap())
    }
}

/// What carries steps to an application.
pub(crate) trait Carrier {
    async fn carry(&mut self, served: &Served, step: &Step) -> Outcome;
}

/// What stands in the place of something that was not told in time.
pub(crate) const SILENCE: &str = "nothing was told in time";

/// What is told next.
async fn next<F: Future>(future: F) -> Result<F::Output, Value> {
    tokio::time::timeout(Duration::from_secs(5), future).await.map_err(|_| SILENCE.into())
}

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what} in time"))
}

fn json_of(value: &impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn page<T: Serialize>(page: &Page<T>) -> Value {
    json!({"items": json_of(&page.items), "nextCursor": page.next_cursor, "seq": page.seq})
}

/// What is told of a live query: each commit in the one form, and the list after it.
type Told = mpsc::UnboundedReceiver<Result<(Value, Vec<Value>)>>;

async fn told(told: &mut Told, count: usize) -> Result<Value> {
    let (mut commits, mut items) = (Vec::new(), Vec::new());
    for _ in 0..count {
        match next(told.recv()).await {
            Ok(told) => {
                let (commit, list) = told.expect("it goes on")?;
                commits.push(commit);
                items = list;
            }
            Err(silence) => commits.push(silence),
        }
    }
    Ok(json!({"commits": commits, "items": items}))
}

/// As many payloads as are waited for, each with its commit.
async fn heard(count: usize, mut payload: impl AsyncFnMut() -> Result<(u64, Value)>) -> Result<Value> {
    let mut heard = Vec::new();
    for _ in 0..count {
        heard.push(match next(payload()).await {
            Ok(payload) => payload.map(|(seq, payload)| json!({"seq": seq, "payload": payload}))?,
            Err(silence) => silence,
        });
    }
    Ok(heard.into())
}

/// What `Model` and `RemoteModel` have in common is asked for by the same words, but for what makes a document that is not there. `None` where the value is none of the type.
macro_rules! by_the_surface {
    ($model:expr, $step:expr, $T:ty, $upsert:ident) => {{
        let (model, step) = ($model, $step);
        let params = &step.params;
        let value = |json: &Value| serde_json::from_value::<$T>(json.clone()).ok();
        let id = || Id::<$T>::from_str(step.text("id"));
        let filter = || Filter::<$T>::parse(&params["filter"]);
        let update = || Update::<$T>::parse(params["update"].clone());
        macro_rules! conditional {
            ($write:expr) => {{
                let write = $write;
                json_of(&match step.rev() {
                    Some(rev) => write.if_rev(rev).await?,
                    None => write.await?,
                })
            }};
        }
        Ok(Some(match step.kind.as_str() {
            "insertMany" => {
                let docs = params["docs"].as_array().unwrap();
                let Some(values) = docs.iter().map(value).collect::<Option<Vec<_>>>() else { return Ok(None) };
                json_of(&model.insert_many(values).await?)
            }
            "get" => json_of(&model.get(id()?).await?),
            "list" => {
                let mut query = step.query();
                let fields = query.as_object_mut().unwrap().remove("fields");
                let listing = model.list(Query::<$T>::parse(query)?);
                match fields {
                    Some(fields) => page(&listing.fields(Projection::parse(&fields)?).await?),
                    None => page(&listing.await?),
                }
            }
            "count" => model.count(filter()?).await?.into(),
            "update" => conditional!(model.update(id()?, update()?)),
            "updateMany" => model.update_many(filter()?, update()?).await?.into(),
            "replace" => {
                let Some(value) = value(&params["doc"]) else { return Ok(None) };
                conditional!(model.replace(id()?, value))
            }
            "upsert" => {
                let Some(value) = value(&params["doc"]) else { return Ok(None) };
                json_of(&model.$upsert(id()?, value).await?)
            }
            "delete" => conditional!(model.delete(id()?)),
            "deleteMany" => model.delete_many(filter()?).await?.into(),
            "call" => model.call(step.text("method"), params["args"].clone()).await?,
            "callOnce" => model.call_once(step.text("key"), step.text("method"), params["args"].clone()).await?,
            "dispatch" => model.subscription(filter()?).dispatch(step.text("event"), params["args"].clone()).await?,
            other => panic!("{other}"),
        }))
    }};
}

/// In process, by handles that act as whoever asks.
#[derive(Default)]
pub(crate) struct InProcess {
    rooms: HashMap<String, Listener>,
    lives: HashMap<String, Told>,
}

impl Carrier for InProcess {
    async fn carry(&mut self, served: &Served, step: &Step) -> Outcome {
        let who = step.who.as_deref();
        let outcome = match step.model.as_str() {
            "people" => self.done(served.model_as::<Person>(who), step).await,
            "books" => self.done(served.model_as::<Book>(who), step).await,
            "notes" => self.done(served.model_as::<Note>(who), step).await,
            "orders" => self.done(served.model_as::<Order>(who), step).await,
            // By its id, of which only the application has handles: one that is there is not hidden from it.
            other => served.app.model_by_id(other).map(|_| None),
        };
        match outcome {
            Ok(None) => Outcome::Cannot,
            Ok(Some(value)) => Outcome::Fine(value),
            Err(error) => Outcome::of(Err(error)),
        }
    }
}

impl InProcess {
    async fn done<T>(&mut self, model: Model<T>, step: &Step) -> Result<Option<Value>>
    where
        T: ModelType + Stored + Serialize + DeserializeOwned,
    {
        let params = &step.params;
        match step.kind.as_str() {
            "insert" => {
                let mut doc = params["doc"].clone();
                let Some(id) = doc.as_object_mut().and_then(|members| members.remove("_id")) else {
                    return Ok(Some(json_of(&model.insert_json(&doc.to_string()).await?)));
                };
                let Ok(value) = serde_json::from_value(doc) else { return Ok(None) };
                let id = Id::from_str(id.as_str().unwrap())?;
                Ok(Some(json_of(&model.insert_with_id(id, value).await?)))
            }
            "subscribe" => {
                let room = model.subscription(Filter::parse(&params["filter"])?);
                self.rooms.insert(step.text("name").to_owned(), room.listen());
                Ok(Some(Value::Null))
            }
            "heard" => {
                let listener = self.rooms.get_mut(step.text("name")).expect("it listens");
                let heard = heard(step.count(), async || match listener.next().await {
                    Some(Heard::Payload { seq, payload }) => Ok((seq, payload)),
                    other => panic!("{other:?}"),
                });
                heard.await.map(Some)
            }
            "live" => {
                let mut live = model.live(Query::<T>::parse(step.query())?).await?;
                let begun = json!({"seq": live.seq(), "items": json_of(&live.items())});
                let (tell, told) = mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Some(next) = live.next().await {
                        let next = next.map(|LiveCommit { seq, changes }| {
                            let items: Vec<Value> = live.items().iter().map(json_of).collect();
                            let (mut leaves, mut touched) = (Vec::new(), Vec::new());
                            for change in changes {
                                match change {
                                    LiveChange::Leave { id } => leaves.push(id.to_string()),
                                    LiveChange::Change { doc, .. } => touched.push(("change", doc.id().to_string())),
                                    LiveChange::Enter { doc, .. } => touched.push(("enter", doc.id().to_string())),
                                }
                            }
                            (commit(seq, &leaves, &touched, &items), items)
                        });
                        if tell.send(next).is_err() {
                            return;
                        }
                    }
                });
                self.lives.insert(step.text("name").to_owned(), told);
                Ok(Some(begun))
            }
            "commits" => {
                let live = self.lives.get_mut(step.text("name")).expect("it follows");
                told(live, step.count()).await.map(Some)
            }
            _ => by_the_surface!(model, step, T, upsert),
        }
    }
}

/// The Rust client, with its documents as the models' types or as JSON.
#[derive(Default)]
pub(crate) struct Remote {
    pub(crate) typed: bool,
    clients: HashMap<Option<String>, Client>,
    rooms: HashMap<String, RemoteListener>,
    lives: HashMap<String, Told>,
}

impl Remote {
    pub(crate) fn typed() -> Self {
        Self { typed: true, ..Self::default() }
    }

    async fn done<T>(&mut self, model: RemoteModel<T>, step: &Step) -> Result<Option<Value>>
    where
        T: Stored + Serialize + DeserializeOwned,
    {
        let params = &step.params;
        match step.kind.as_str() {
            "insert" => {
                let mut doc = params["doc"].clone();
                let id = doc.as_object_mut().and_then(|members| members.remove("_id"));
                let Ok(value) = serde_json::from_value(doc) else { return Ok(None) };
                Ok(Some(json_of(&match id {
                    Some(id) => model.insert_with_id(Id::from_str(id.as_str().unwrap())?, value).await?,
                    None => model.insert(value).await?,
                })))
            }
            "subscribe" => {
                let listener = model.subscription(Filter::parse(&params["filter"])?).listen().await?;
                self.rooms.insert(step.text("name").to_owned(), listener);
                Ok(Some(Value::Null))
            }
            "heard" => {
                let listener = self.rooms.get_mut(step.text("name")).expect("it listens");
                let heard = heard(step.count(), async || match listener.next().await.expect("it goes on")? {
                    Delivery::Payload { seq, payload } => Ok((seq, payload)),
                    other => panic!("{other:?}"),
                });
                heard.await.map(Some)
            }
            "live" => {
                let mut live = model.live(Query::<T>::parse(step.query())?).await?;
                let Some(RemoteLiveEvent::Snapshot { seq, items }) = live.next().await.transpose()? else {
                    panic!("a snapshot comes first")
                };
                let begun = json!({"seq": seq, "items": json_of(&items)});
                let mut items: Vec<Value> = items.iter().map(json_of).collect();
                let (tell, told) = mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Some(next) = live.next().await {
                        let next = next.map(|event| {
                            let RemoteLiveEvent::Commit { seq, changes } = event else { panic!("{event:?}") };
                            let (mut leaves, mut touched) = (Vec::new(), Vec::new());
                            for change in &changes {
                                let id = match change {
                                    RemoteLiveChange::Leave { id } => id.to_string(),
                                    RemoteLiveChange::Change { doc, .. } | RemoteLiveChange::Enter { doc, .. } => {
                                        doc.id().to_string()
                                    }
                                    other => panic!("{other:?}"),
                                };
                                items.retain(|item| item["_id"] != *id);
                                match change {
                                    RemoteLiveChange::Leave { .. } => leaves.push(id),
                                    RemoteLiveChange::Enter { .. } => touched.push(("enter", id)),
                                    _ => touched.push(("change", id)),
                                }
                            }
                            for change in &changes {
                                if let RemoteLiveChange::Change { doc, at } | RemoteLiveChange::Enter { doc, at } =
                                    change
                                {
                                    items.insert(*at, json_of(doc));
                                }
                            }
                            // The list that the client keeps goes on without anybody who reads.
                            let (kept, list) = live.snapshot();
                            assert!(kept > seq || list.iter().map(json_of).eq(items.iter().cloned()));
                            (commit(seq, &leaves, &touched, &items), items.clone())
                        });
                        if tell.send(next).is_err() {
                            return;
                        }
                    }
                });
                self.lives.insert(step.text("name").to_owned(), told);
                Ok(Some(begun))
            }
            "commits" => {
                let live = self.lives.get_mut(step.text("name")).expect("it follows");
                told(live, step.count()).await.map(Some)
            }
            _ => by_the_surface!(model, step, T, replace),
        }
    }
}

impl Carrier for Remote {
    async fn carry(&mut self, served: &Served, step: &Step) -> Outcome {
        let open = || {
            let client = Client::builder(format!("http://{}", served.addr));
            match &step.who {
                Some(who) => client.token(served.token(who)).connect().unwrap(),
                None => client.connect().unwrap(),
            }
        };
        let client = self.clients.entry(step.who.clone()).or_insert_with(open).clone();
        let outcome = match step.model.as_str() {
            "people" if self.typed => self.done(client.model::<Person>(), step).await,
            "books" if self.typed => self.done(client.model::<Book>(), step).await,
            "notes" if self.typed => self.done(client.model::<Note>(), step).await,
            "orders" if self.typed => self.done(client.model::<Order>(), step).await,
            // There is no type of that.
            _ if self.typed => Ok(None),
            other => self.done(client.model_by_id(other), step).await,
        };
        match outcome {
            Ok(None) => Outcome::Cannot,
            Ok(Some(value)) => Outcome::Fine(value),
            Err(error) => Outcome::of(Err(error)),
        }
    }
}

/// Plain HTTP, with server-sent events for what is heard.
#[derive(Default)]
pub(crate) struct Http {
    connection: Option<Connection>,
    rooms: HashMap<String, Events>,
    lives: HashMap<String, (Events, Replica)>,
}

/// A text as a part of a query string.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

impl Http {
    async fn ask(&mut self, served: &Served, step: &Step, method: &str, path: &str, body: Option<Value>) -> Outcome {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(served.addr).await.unwrap());
        }
        let mut headers = head(served, step);
        if body.is_some() {
            headers.push_str("content-type: application/json\r\n");
        }
        if let Some(rev) = step.rev() {
            headers.push_str(&format!("if-match: \"{rev}\"\r\n"));
        }
        if let Some(key) = step.params.get("key").and_then(Value::as_str) {
            headers.push_str(&format!("idempotency-key: {key}\r\n"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let sent = self.connection.as_mut().unwrap().send(method, path, &headers, body.as_bytes());
        let answer = in_time("an answer", sent).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY), "private: {answer:?}");
        let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        if answer.status < 300 {
            return Outcome::Fine(body);
        }
        assert_eq!(body["status"], answer.status, "{body}");
        Outcome::Refused(body)
    }

    /// A stream whose first event is of that name, and its data.
    async fn listen(&self, served: &Served, step: &Step, path: &str, first: &str) -> Result<(Events, Value), Outcome> {
        let mut events = Events::open(served.addr, path, &head(served, step)).await;
        if !events.head.starts_with("http/1.1 200") {
            return Err(Outcome::Refused(events.body().await));
        }
        let begun = events.next().await.unwrap();
        assert_eq!(begun.name, first);
        Ok((events, begun.data))
    }
}

fn head(served: &Served, step: &Step) -> String {
    let bearer = |who: &String| format!("authorization: Bearer {}\r\n", served.token(who));
    step.who.as_ref().map(bearer).unwrap_or_default()
}

impl Carrier for Http {
    async fn carry(&mut self, served: &Served, step: &Step) -> Outcome {
        let Step { model, params, .. } = step;
        let all = format!("/{model}");
        let one = || format!("/{model}/{}", step.text("id"));
        let matching = || format!("/{model}?filter={}", encoded(&params["filter"].to_string()));
        let query = |mut query: Value, name: &str| {
            let parameters = std::mem::take(query.as_object_mut().unwrap()).into_iter();
            let parameter = |(name, value): (String, Value)| match (name.as_str(), &value) {
                ("cursor", Value::String(cursor)) => format!("cursor={}", encoded(cursor)),
                _ => format!("{name}={}", encoded(&value.to_string())),
            };
            format!("/{model}{name}?{}", parameters.map(parameter).collect::<Vec<_>>().join("&"))
        };
        match step.kind.as_str() {
            "insert" => self.ask(served, step, "POST", &all, Some(params["doc"].clone())).await,
            "insertMany" => {
                let inserted = self.ask(served, step, "POST", &all, Some(params["docs"].clone())).await;
                inserted.map(|mut answer| answer["items"].take())
            }
            "get" => match self.ask(served, step, "GET", &one(), None).await {
                // As clients take it.
                Outcome::Refused(problem) if problem["code"] == "NOT_FOUND" => Outcome::Fine(Value::Null),
                outcome => outcome,
            },
            "list" => {
                let listed = self.ask(served, step, "POST", &format!("{all}/@query"), Some(step.query())).await;
                // By the query string it is the same, but for the cursor, which is another one each time.
                let again = self.ask(served, step, "GET", &query(step.query(), ""), None).await;
                let without_cursor = |outcome: &Outcome| {
                    let (Outcome::Fine(answer) | Outcome::Refused(answer)) = outcome else { panic!("{outcome:?}") };
                    let mut answer = answer.clone();
                    answer.as_object_mut().unwrap().remove("nextCursor");
                    answer
                };
                assert_eq!(without_cursor(&again), without_cursor(&listed));
                listed
            }
            "count" => {
                let body = json!({"filter": params["filter"], "limit": 1, "count": true});
                let counted = self.ask(served, step, "POST", &format!("{all}/@query"), Some(body)).await;
                counted.map(|mut answer| answer["count"].take())
            }
            "update" => self.ask(served, step, "PATCH", &one(), Some(params["update"].clone())).await,
            "updateMany" => {
                let updated = self.ask(served, step, "PATCH", &matching(), Some(params["update"].clone())).await;
                updated.map(|mut answer| answer["updated"].take())
            }
            "replace" | "upsert" => self.ask(served, step, "PUT", &one(), Some(params["doc"].clone())).await,
            "delete" => self.ask(served, step, "DELETE", &one(), None).await,
            "deleteMany" => {
                let deleted = self.ask(served, step, "DELETE", &matching(), None).await;
                deleted.map(|mut answer| answer["deleted"].take())
            }
            "call" | "callOnce" => {
                let path = format!("{all}/{}", step.text("method"));
                self.ask(served, step, "POST", &path, Some(params["args"].clone())).await
            }
            "dispatch" => {
                // There is no route for it: that of methods has none of this name, and may have one of another kind.
                let path = format!("{all}/{}", step.text("event"));
                match self.ask(served, step, "POST", &path, Some(params["args"].clone())).await {
                    Outcome::Refused(problem) if problem["code"] == "METHOD_NOT_FOUND" => Outcome::Cannot,
                    Outcome::Fine(_) if step.text("event") == "ping" => Outcome::Cannot,
                    outcome => outcome,
                }
            }
            "subscribe" => {
                let path = query(json!({"filter": params["filter"]}), "/@events");
                match self.listen(served, step, &path, "subscribed").await {
                    Ok((events, _)) => {
                        self.rooms.insert(step.text("name").to_owned(), events);
                        Outcome::Fine(Value::Null)
                    }
                    Err(refused) => refused,
                }
            }
            "heard" => {
                let events = self.rooms.get_mut(step.text("name")).expect("it listens");
                let mut heard = Vec::new();
                for _ in 0..step.count() {
                    heard.push(match next(events.next()).await.map(Option::unwrap) {
                        Ok(event) => {
                            assert_eq!(event.name, "publish");
                            json!({"seq": event.data["seq"], "payload": event.data["payload"]})
                        }
                        Err(silence) => silence,
                    });
                }
                Outcome::Fine(heard.into())
            }
            "live" => match self.listen(served, step, &query(step.query(), "/@live"), "snapshot").await {
                Ok((events, begun)) => {
                    let items = begun["items"].as_array().unwrap().clone();
                    self.lives.insert(step.text("name").to_owned(), (events, Replica(items)));
                    Outcome::Fine(json!({"seq": begun["seq"], "items": begun["items"]}))
                }
                Err(refused) => refused,
            },
            "commits" => {
                let (events, replica) = self.lives.get_mut(step.text("name")).expect("it follows");
                let mut commits = Vec::new();
                for _ in 0..step.count() {
                    commits.push(match next(events.next()).await.map(Option::unwrap) {
                        Ok(event) => {
                            assert_eq!(event.name, "commit");
                            {
                                let changes = &event.data["subscriptions"][0]["changes"];
                                applied(&json!({"seq": event.data["seq"], "changes": changes}), replica)
                            }
                        }
                        Err(silence) => silence,
                    });
                }
                Outcome::Fine(json!({"commits": commits, "items": replica.0}))
            }
            other => panic!("{other}"),
        }
    }
}

/// What is told of a commit about one live query, in the one form.
fn applied(told: &Value, replica: &mut Replica) -> Value {
    replica.apply(told["seq"].as_u64().unwrap(), &told["changes"])
}

/// A connection over which requests of JSON-RPC go, and what it is told beside the answers.
pub(crate) trait Line {
    async fn open(served: &Served, who: Option<&str>) -> Self;
    /// The answer, or the acknowledgement.
    async fn ask(&mut self, method: &str, params: Value) -> Value;
    /// The next that it is told: the method and its params.
    async fn next(&mut self) -> Option<(String, Value)>;
}

/// Frames of JSON-RPC over a WebSocket.
pub(crate) struct Raw {
    socket: Socket,
    told: std::collections::VecDeque<Value>,
}

impl Line for Raw {
    async fn open(served: &Served, who: Option<&str>) -> Self {
        let token = who.map(|who| served.token(who));
        Self { socket: Socket::open(served.addr, token.as_deref()).await, told: Default::default() }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.socket.request(method, params).await;
        loop {
            let frame = self.socket.frame().await.unwrap();
            if frame["id"] == id {
                return frame;
            }
            assert!(frame.get("id").is_none(), "{frame}");
            self.told.push_back(frame);
        }
    }

    async fn next(&mut self) -> Option<(String, Value)> {
        let mut frame = match self.told.pop_front() {
            Some(frame) => frame,
            None => next(self.socket.frame()).await.ok()?.unwrap(),
        };
        Some((frame["method"].as_str().unwrap().to_owned(), frame["params"].take()))
    }
}

/// A program of Node that answers lines, asked without holding up what else is done here.
fn ask(node: &mut Node, question: &Value) -> Value {
    let answer = tokio::task::block_in_place(|| node.ask(question));
    assert_eq!(answer.get("error"), None, "{question}");
    assert!(!answer.to_string().contains(CANARY), "private: {answer}");
    answer
}

/// The official client of Socket.IO.
pub(crate) struct SocketIo {
    node: Node,
    listener: Value,
}

impl Line for SocketIo {
    async fn open(served: &Served, who: Option<&str>) -> Self {
        let mut node = Node::start("socketio.mjs");
        let token = who.map(|who| json!({"token": served.token(who)}));
        let options = json!({"auth": token.unwrap_or_else(|| json!({}))});
        let url = format!("http://{}", served.addr);
        let question = json!({"command": "listen", "url": url, "kind": "websocket", "count": 1, "options": options});
        let listener = ask(&mut node, &question)["result"]["first"].take();
        Self { node, listener }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let question = json!({"command": "emit", "listener": self.listener, "name": method, "params": params});
        ask(&mut self.node, &question)["result"].take()
    }

    async fn next(&mut self) -> Option<(String, Value)> {
        let mut told = ask(&mut self.node, &json!({"command": "told", "listener": self.listener}))["result"].take();
        Some((told["name"].as_str()?.to_owned(), told["params"].take()))
    }
}

/// A connection, with what was told on it of the subscriptions that nobody has asked about since.
struct Opened<L> {
    line: L,
    unread: Vec<(String, String, Value)>,
}

impl<L: Line> Opened<L> {
    /// What is told next of a subscription.
    async fn told(&mut self, method: &str, subscription: &str) -> Option<Value> {
        loop {
            if let Some(at) = self.unread.iter().position(|(_, of, _)| of == subscription) {
                let (told, _, params) = self.unread.remove(at);
                assert_eq!(told, method, "{params}");
                return Some(params);
            }
            let (told, params) = self.line.next().await?;
            let mut put = |of: &Value, params| {
                self.unread.push((told.clone(), of.as_str().unwrap().to_owned(), params));
            };
            match params.get("subscriptions").and_then(Value::as_array) {
                Some(parts) => {
                    for part in parts {
                        put(&part["subscription"], json!({"seq": params["seq"], "changes": part["changes"]}));
                    }
                }
                None => put(&params["subscription"].clone(), params),
            }
        }
    }
}

/// Requests of a socket, each caller on a connection of his own.
pub(crate) struct OnLine<L> {
    lines: HashMap<Option<String>, Opened<L>>,
    /// Who follows it, its name at the server, and the list where it has one.
    followed: HashMap<String, (Option<String>, String, Replica)>,
}

impl<L> Default for OnLine<L> {
    fn default() -> Self {
        Self { lines: HashMap::new(), followed: HashMap::new() }
    }
}

impl<L: Line> Carrier for OnLine<L> {
    async fn carry(&mut self, served: &Served, step: &Step) -> Outcome {
        let Step { model, params, who, .. } = step;
        let name = || step.text("name").to_owned();
        match step.kind.as_str() {
            "heard" => {
                let (who, subscription, _) = &self.followed[&name()];
                let line = self.lines.get_mut(who).unwrap();
                let mut heard = Vec::new();
                for _ in 0..step.count() {
                    heard.push(match line.told("publish", subscription).await {
                        Some(params) => json!({"seq": params["seq"], "payload": params["payload"]}),
                        None => SILENCE.into(),
                    });
                }
                return Outcome::Fine(heard.into());
            }
            "commits" => {
                let (who, subscription, replica) = self.followed.get_mut(&name()).unwrap();
                let line = self.lines.get_mut(who).unwrap();
                let mut commits = Vec::new();
                for _ in 0..step.count() {
                    commits.push(match line.told("commit", subscription).await {
                        Some(params) => applied(&params, replica),
                        None => SILENCE.into(),
                    });
                }
                return Outcome::Fine(json!({"commits": commits, "items": replica.0}));
            }
            _ => {}
        }
        if !self.lines.contains_key(who) {
            let line = L::open(served, who.as_deref()).await;
            self.lines.insert(who.clone(), Opened { line, unread: Vec::new() });
        }
        let line = &mut self.lines.get_mut(who).unwrap().line;
        let mut asked = Map::from_iter([("model".to_owned(), json!(model))]);
        let mut put = |names: &[&str]| {
            for name in names {
                asked.insert((*name).to_owned(), params[*name].clone());
            }
        };
        let method = match step.kind.as_str() {
            "call" => {
                put(&["method", "args"]);
                "call"
            }
            "callOnce" => {
                put(&["key", "method", "args"]);
                "call"
            }
            "dispatch" => {
                put(&["filter", "event", "args"]);
                "dispatch"
            }
            "subscribe" => {
                put(&["filter"]);
                "subscribe"
            }
            "live" => {
                asked.extend(step.query().as_object().unwrap().clone());
                "live"
            }
            // Were there such a method, this would have to be one of those that carry it.
            other => other,
        };
        let answer = in_time("an answer", line.ask(method, asked.into())).await;
        let outcome = Outcome::of_answer(answer);
        match (method, outcome) {
            (other, Outcome::Refused(problem)) if problem["detail"] == format!("there is no method `{other}`") => {
                Outcome::Cannot
            }
            ("subscribe", Outcome::Fine(result)) => {
                let subscription = result["subscription"].as_str().unwrap().to_owned();
                self.followed.insert(name(), (who.clone(), subscription, Replica(Vec::new())));
                Outcome::Fine(Value::Null)
            }
            ("live", Outcome::Fine(result)) => {
                let subscription = result["subscription"].as_str().unwrap().to_owned();
                let items = result["items"].as_array().unwrap().clone();
                self.followed.insert(name(), (who.clone(), subscription, Replica(items)));
                Outcome::Fine(json!({"seq": result["seq"], "items": result["items"]}))
            }
            (_, outcome) => outcome,
        }
    }
}

/// The generated client, in Node.
pub(crate) struct TypeScript {
    node: Node,
    replicas: HashMap<String, Replica>,
}

impl TypeScript {
    /// Runs the program that carries steps to the generated client, compiled.
    pub(crate) fn start(program: &std::path::Path, served: &Served) -> Self {
        Self { node: Node::run(program, &[&format!("http://{}", served.addr)]), replicas: HashMap::new() }
    }
}

impl Carrier for TypeScript {
    async fn carry(&mut self, served: &Served, step: &Step) -> Outcome {
        let token = step.who.as_ref().map(|who| served.token(who));
        let question = json!({
            "kind": step.kind, "model": step.model, "who": step.who, "token": token, "params": step.params,
        });
        let mut answer = ask(&mut self.node, &question);
        if answer.get("cannot").is_some() {
            return Outcome::Cannot;
        }
        if let Some(problem) = answer.get_mut("refused") {
            return Outcome::Refused(problem.take());
        }
        let value = answer["fine"].take();
        match step.kind.as_str() {
            "live" => {
                let items = value["items"].as_array().unwrap().clone();
                self.replicas.insert(step.text("name").to_owned(), Replica(items));
                Outcome::Fine(value)
            }
            "commits" => {
                let replica = self.replicas.get_mut(step.text("name")).unwrap();
                let told = value["told"].as_array().unwrap();
                let commits: Vec<Value> = told
                    .iter()
                    .map(|told| if told.is_null() { SILENCE.into() } else { applied(told, replica) })
                    .collect();
                // The list as the client has kept it, which has to be that of who follows what is told.
                assert_eq!(value["items"], json!(replica.0));
                Outcome::Fine(json!({"commits": commits, "items": value["items"]}))
            }
            _ => Outcome::Fine(value),
        }
    }
}
