//! One client's subscriptions, their order, and their flow control. It knows no carrier: frames come in as text and wait in a
//! queue until a carrier fetches them.
//!
//! There is one queue for pushes and answers. A push is put into it while its commit is published, and the one who made the
//! commit is answered after that; so the frame of a commit goes out before the answer of the call that made it. The queue has
//! a bound. A client that reads too slowly to stay below it loses the session, not single frames, because it could not know
//! which ones; it subscribes again, saying what it has heard last, and nobody else waits for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use super::Server;
use super::auth::identify;
use super::auth::jwt::Identity;
use super::call::Context;
use super::carrier::line::{Line, push_text_frame};
use super::limits::{
    IN_FLIGHT, LIVE_BYTES, LIVE_FRAMES, LIVE_UNACKED, QUEUE_BYTES, QUEUE_FRAMES, SUBSCRIPTIONS, Waiting,
};
use super::network::Peer;
use super::respond::problem_value;
use super::surround::span_on_socket as span;
use super::upload;
use crate::core::collection::ModelIndex;
use crate::core::id::RawId;
use crate::core::private::Audience;
use crate::core::query::MAX_LIMIT;
use crate::core::query::parse::{QueryParts, parse_filter};
use crate::error::{Error, ErrorCode, Result};
use crate::model::access::{Right, Rights};
#[cfg(feature = "socketio")]
use crate::model::caller::Caller;
use crate::model::handler::With;
use crate::model::live::{Flow, Holding, Listing, LiveSink, Opened, Part, Wanted};
use crate::model::once::{CallKey, answer_json};
use crate::model::runtime::{OperationKind, Scope};
use crate::model::subscription::{Joining, Published, Room, Since, Sink};
use crate::model::upload::Chunk;
use crate::wire::frame::{self, Refusal, Request, code};

/// So much is written to a connection in one go.
const PUMPED_BYTES: usize = 64 << 10;

/// What waits for the client.
struct Queue {
    frames: VecDeque<Slot>,
    /// The number of the first place.
    first: u64,
    bytes: usize,
    /// How much memory it takes, as far as this client alone is the reason.
    charge: Waiting,
    overflown: bool,
    live: Live,
    /// Who has frames in hand that are not written yet.
    writer: Option<Writer>,
}

/// Who writes what is fetched.
#[derive(Clone, Copy, PartialEq)]
enum Writer {
    /// The task of the client.
    Carrier,
    /// One that writes for many clients.
    Pump,
}

impl Queue {
    fn new(charge: Waiting) -> Self {
        Self {
            frames: VecDeque::new(),
            first: 0,
            bytes: 0,
            charge,
            overflown: false,
            live: Live::default(),
            writer: None,
        }
    }

    fn count(&mut self, frame: &Frame) {
        self.bytes += frame.text.len();
        self.charge.add(frame.charge);
    }

    fn discount(&mut self, frame: &Frame) {
        self.bytes -= frame.text.len();
        self.charge.take(frame.charge);
    }

    /// Nothing of it is left, and nothing is taken any more.
    fn overflow(&mut self) {
        self.charge.take(self.charge.bytes());
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.live = Live::default();
        self.overflown = true;
    }

    /// The next frame, if it is there and nobody else has one in hand.
    fn fetch(&mut self, writer: Writer) -> Option<Utf8Bytes> {
        if self.writer.is_some_and(|other| other != writer) {
            return None;
        }
        let frame = loop {
            let is_live = match self.frames.front()? {
                Slot::Waiting => return None,
                Slot::Ready(_) | Slot::Dropped => false,
                Slot::Live(_) => true,
            };
            self.first += 1;
            let Some(Slot::Ready(frame) | Slot::Live(frame)) = self.frames.pop_front() else { continue };
            self.discount(&frame);
            if is_live {
                self.live.bytes -= frame.text.len();
                self.live.frames -= 1;
            }
            break frame.text;
        };
        if self.frames.is_empty() {
            // A burst leaves no room behind that an idle client would hold on to.
            self.frames.shrink_to(16);
        }
        self.writer = Some(writer);
        Some(frame)
    }

    /// What was in hand is written. False when there is more, which is then still for the same one.
    fn settle(&mut self, writer: Writer) -> bool {
        if self.writer != Some(writer) {
            return true;
        }
        while let Some(Slot::Dropped) = self.frames.front() {
            self.frames.pop_front();
            self.first += 1;
        }
        let has_more = matches!(self.frames.front(), Some(Slot::Ready(_) | Slot::Live(_)));
        if !has_more {
            self.writer = None;
        }
        !has_more
    }

    /// A place that was kept, unless it is behind us.
    fn slot(&mut self, place: u64) -> Option<&mut Slot> {
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.frames.get_mut(at)
    }

    /// The next place.
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }
}

/// What of it is of live queries.
#[derive(Default)]
struct Live {
    bytes: usize,
    frames: usize,
    /// The commits that a client has not said that it has applied, where it says so at all.
    unacked: Option<VecDeque<u64>>,
    /// Nothing more is taken until some of it is gone.
    full: bool,
    /// Kept for the next frame, while a rule is asked anew that decides what is in it.
    place: Option<u64>,
}

impl Live {
    fn is_too_much(&self) -> bool {
        self.bytes > LIVE_BYTES
            || self.frames > LIVE_FRAMES
            || self.unacked.as_ref().is_some_and(|unacked| unacked.len() >= LIVE_UNACKED)
    }

    /// Whether it takes something again, after it did not.
    fn opens(&mut self) -> bool {
        let is_little = self.bytes <= LIVE_BYTES / 4
            && self.frames <= LIVE_FRAMES / 4
            && self.unacked.as_ref().is_none_or(|unacked| unacked.len() <= LIVE_UNACKED / 2);
        is_little && std::mem::take(&mut self.full)
    }
}

/// A frame that waits.
#[derive(Clone)]
struct Frame {
    text: Utf8Bytes,
    /// How much memory it takes: of what is the same for several clients, the part of each.
    charge: usize,
}

impl Frame {
    fn own(text: Utf8Bytes) -> Self {
        Self::shared(text, 1)
    }

    fn shared(text: Utf8Bytes, clients: usize) -> Self {
        Self { charge: size_of::<Slot>() + text.len() / clients.max(1), text }
    }
}

/// A place in the queue.
enum Slot {
    Ready(Frame),
    /// Of live queries.
    Live(Frame),
    /// Kept for what is being looked at; what stands behind it waits.
    Waiting,
    /// What it was kept for is not for the client.
    Dropped,
}

/// A payload of which it is to be asked whether the client may have it.
struct Check {
    place: u64,
    model: ModelIndex,
    frame: Frame,
    published: Arc<Published>,
}

#[derive(Default)]
struct Checks {
    waiting: VecDeque<Check>,
    /// Whether a task works at them.
    running: bool,
}

/// One client.
pub(super) struct Session {
    server: Arc<Server>,
    /// Tells the sessions of a room apart.
    number: u64,
    this: Weak<Self>,
    /// Where tasks are started: what is published comes from a thread of its own.
    tasks: Handle,
    identity: Mutex<Identity>,
    /// Counts how often it was said who the client is.
    identified: AtomicU64,
    /// Where the client is, where that is known.
    peer: OnceLock<Peer>,
    /// By the id of the subscription, which is the name of the room.
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    in_flight: Arc<Semaphore>,
    queue: Mutex<Queue>,
    checks: Mutex<Checks>,
    /// A frame can be fetched, or the queue has run over.
    changed: Notify,
    overflow: Notify,
    /// The connection, where the carrier has one that others can write to.
    line: OnceLock<Weak<Line>>,
    /// Whether a pump is going to look at it.
    is_pumped: AtomicBool,
}

impl Session {
    pub(super) fn new(server: Arc<Server>, identity: Identity) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            tasks: Handle::current(),
            queue: Mutex::new(Queue::new(Waiting::new(server.backlog.clone()))),
            server,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            identity: Mutex::new(identity),
            identified: AtomicU64::new(0),
            peer: OnceLock::new(),
            rooms: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            checks: Mutex::default(),
            changed: Notify::new(),
            overflow: Notify::new(),
            line: OnceLock::new(),
            is_pumped: AtomicBool::new(false),
        })
    }

    /// Says where the client is, whose requests are counted by that while nobody knows who it is.
    pub(super) fn comes_from(&self, peer: Peer) {
        let _ = self.peer.set(peer);
    }

    /// Refuses an operation that the client has asked for too often.
    fn admit_operation(&self, model: &str, id: &str) -> Result<()> {
        let Context { server, caller, peer } = self.context();
        server.admit(&format!("{model}.{id}"), &caller, peer)
    }

    /// The next frame for the client, when one is there.
    pub(super) fn fetch(&self) -> Option<Utf8Bytes> {
        let (frame, opens) = {
            let mut queue = self.queue.lock();
            let frame = queue.fetch(Writer::Carrier)?;
            (frame, queue.live.opens())
        };
        if opens {
            self.server.runtime.lives().catch_up(self.number);
        }
        Some(frame)
    }

    /// All that was fetched is written. False when there is more.
    pub(super) fn settle(&self) -> bool {
        self.queue.lock().settle(Writer::Carrier)
    }

    /// Waits until nobody else writes, and leaves nothing to others any more.
    pub(super) async fn hold(&self) {
        loop {
            {
                let mut queue = self.queue.lock();
                if queue.writer != Some(Writer::Pump) {
                    queue.writer = Some(Writer::Carrier);
                    return;
                }
            }
            // It does not wait for the client, so it is nearly done.
            tokio::task::yield_now().await;
        }
    }

    /// From here on, what is pushed is written to the connection itself where that takes it.
    pub(super) fn writes_to(&self, line: Weak<Line>) {
        let _ = self.line.set(line);
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// There is something that was pushed.
    fn pushed(&self) {
        let pumps = &self.server.pumps;
        let pump = pumps.get(usize::try_from(self.number).unwrap_or_default() % pumps.len().max(1));
        match (self.line.get(), pump, self.this.upgrade()) {
            (Some(_), Some(pump), Some(session)) => {
                if !self.is_pumped.swap(true, Ordering::AcqRel) {
                    pump.add(session);
                }
            }
            _ => self.changed.notify_one(),
        }
    }

    /// Writes what waits to the connection itself, or wakes the task of the client when it cannot be written at once.
    pub(super) fn write_out(&self, buffer: &mut Vec<u8>) {
        self.is_pumped.store(false, Ordering::Release);
        let line = self.line.get().and_then(Weak::upgrade);
        let Some(line) = line.filter(|line| line.is_clear() && !self.is_over()) else {
            return self.changed.notify_one();
        };
        loop {
            buffer.clear();
            let opens = {
                let mut queue = self.queue.lock();
                while buffer.len() < PUMPED_BYTES
                    && let Some(frame) = queue.fetch(Writer::Pump)
                {
                    push_text_frame(buffer, &frame);
                }
                if buffer.is_empty() {
                    // Nothing is left, or the client's task is at it and will find what there is.
                    queue.settle(Writer::Pump);
                    break;
                }
                queue.live.opens()
            };
            if opens {
                self.server.runtime.lives().catch_up(self.number);
            }
            if !line.send(buffer) {
                self.queue.lock().writer = None;
                self.changed.notify_one();
                break;
            }
            if self.queue.lock().settle(Writer::Pump) {
                break;
            }
        }
        if buffer.capacity() > 4 * PUMPED_BYTES {
            *buffer = Vec::new();
        }
    }

    /// Puts a frame of live queries into the queue, in the place that was kept for it if there is one.
    fn push_live(&self, seq: u64, frame: Frame) -> Flow {
        let mut flow = Flow::Full;
        self.change(Writer::Pump, |queue| {
            queue.count(&frame);
            queue.live.bytes += frame.text.len();
            queue.live.frames += 1;
            if let Some(unacked) = &mut queue.live.unacked {
                unacked.push_back(seq);
            }
            match queue.live.place.take().and_then(|place| queue.slot(place)) {
                Some(slot) => *slot = Slot::Live(frame),
                None => queue.frames.push_back(Slot::Live(frame)),
            }
            queue.live.full = queue.live.is_too_much() || queue.charge.bytes() > queue.charge.share() / 2;
            if !queue.live.full {
                flow = Flow::Open;
            }
        });
        flow
    }

    /// The client has applied a commit.
    fn acked(&self, seq: u64) {
        let opens = {
            let mut queue = self.queue.lock();
            let unacked = queue.live.unacked.get_or_insert_default();
            while unacked.front().is_some_and(|known| *known <= seq) {
                unacked.pop_front();
            }
            queue.live.opens()
        };
        if opens {
            self.server.runtime.lives().catch_up(self.number);
        }
    }

    /// It cannot be told what it has missed, so that it has to begin again.
    fn overflow(&self, queue: &mut Queue) {
        queue.overflow();
        self.overflow.notify_one();
    }

    /// Resolves when it is worth to fetch.
    pub(super) async fn filled(&self) {
        self.changed.notified().await;
    }

    /// Resolves when the client did not keep up.
    pub(super) async fn overflown(&self) {
        self.overflow.notified().await;
    }

    /// Whether the token that it was opened with has expired, or its login has ended.
    pub(super) fn is_over(&self) -> bool {
        self.identity.lock().is_over(&self.server.runtime)
    }

    /// Who the client is now.
    #[cfg(feature = "socketio")]
    pub(super) fn caller(&self) -> Caller {
        self.identity.lock().caller.clone()
    }

    /// Waits until another request may be under way.
    pub(super) async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.in_flight.clone().acquire_owned().await.ok()
    }

    /// Resolves when no request is under way.
    pub(super) async fn idle(&self) {
        let _ = self.in_flight.acquire_many(IN_FLIGHT as u32).await;
    }

    /// Puts an answer into the queue.
    fn push(&self, text: Utf8Bytes) {
        self.put(Writer::Carrier, Frame::own(text));
    }

    /// Puts a frame there that is not only for this client.
    fn push_shared(&self, frame: Frame) {
        self.put(Writer::Pump, frame);
    }

    fn put(&self, writer: Writer, frame: Frame) {
        self.change(writer, |queue| {
            queue.count(&frame);
            queue.frames.push_back(Slot::Ready(frame));
        });
    }

    /// Keeps a place in the queue, and counts what may be put there.
    fn reserve(&self, frame: &Frame) -> u64 {
        let mut place = 0;
        self.change(Writer::Pump, |queue| {
            place = queue.end();
            queue.count(frame);
            queue.frames.push_back(Slot::Waiting);
        });
        place
    }

    /// Fills a place that was kept for a frame, with that or with nothing.
    fn fill(&self, place: u64, frame: Frame, wanted: bool) {
        self.change(Writer::Pump, |queue| {
            let Some(slot) = queue.slot(place) else { return };
            if wanted {
                *slot = Slot::Ready(frame);
            } else {
                *slot = Slot::Dropped;
                queue.discount(&frame);
            }
        });
    }

    /// Changes the queue, unless that is or gets too long, and wakes the one who is to write what can be fetched by then.
    fn change(&self, writer: Writer, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        if queue.overflown {
            return;
        }
        let before = queue.charge.bytes();
        change(&mut queue);
        let now = queue.charge.bytes();
        let fits = queue.frames.len() <= QUEUE_FRAMES
            && queue.bytes <= QUEUE_BYTES
            && (now <= before || now <= queue.charge.share());
        if !fits {
            return self.overflow(&mut queue);
        }
        drop(queue);
        match writer {
            Writer::Carrier => self.changed.notify_one(),
            Writer::Pump => self.pushed(),
        }
    }

    /// Has it asked whether the client may have a payload, and keeps its place meanwhile.
    fn check(&self, model: ModelIndex, frame: Frame, published: &Arc<Published>) {
        let place = self.reserve(&frame);
        let mut checks = self.checks.lock();
        checks.waiting.push_back(Check { place, model, frame, published: published.clone() });
        if !std::mem::replace(&mut checks.running, true)
            && let Some(session) = self.this.upgrade()
        {
            session.aside(|session| async move { session.work_at_checks().await });
        }
    }

    /// Does something that nobody has asked for, and that the end of the server waits for, as it does for calls.
    fn aside<F: Future<Output = ()> + Send + 'static>(self: Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) {
        let counted = self.server.calls.try_enter();
        let (tasks, work) = (self.tasks.clone(), work(self));
        tasks.spawn(async move {
            work.await;
            drop(counted);
        });
    }

    /// One after the other, so that a burst asks no more than once for each commit.
    async fn work_at_checks(&self) {
        let mut known: Option<((ModelIndex, u64, u64), Option<Rights>)> = None;
        loop {
            let check = {
                let mut checks = self.checks.lock();
                match checks.waiting.pop_front() {
                    Some(check) if !self.queue.lock().overflown => check,
                    _ => {
                        *checks = Checks::default();
                        return;
                    }
                }
            };
            let Check { place, model, frame, published } = check;
            // What holds at a commit holds until the next one.
            let now = (model, self.seq(), self.identified.load(Ordering::Acquire));
            if known.as_ref().is_none_or(|(at, _)| *at != now) {
                // A rule that fails grants nothing; why is in the log.
                let rights = self.context().scope().rights_now(model).await;
                known = Some((now, rights.unwrap_or_else(|_| Some(Rights::default()))));
            }
            let rights = known.as_ref().and_then(|(_, rights)| rights.as_ref());
            let may_read = |rights: &Rights| match &published.about {
                None => rights.has(Right::Read),
                Some(about) => {
                    let doc = about.doc.clone();
                    let doc = doc.or_else(|| self.server.runtime.durable().get(model, &about.id).cloned());
                    doc.is_some_and(|doc| rights.allows(Right::Read, &doc))
                }
            };
            self.fill(place, frame, rights.is_none_or(may_read));
        }
    }

    fn seq(&self) -> u64 {
        self.server.runtime.durable().seq
    }

    fn context(&self) -> Context {
        Context {
            server: self.server.clone(),
            caller: self.identity.lock().caller.clone(),
            peer: self.peer.get().copied().unwrap_or_default(),
        }
    }

    /// Takes a frame of the client. What may take a while runs on its own, and holds the permit until it is answered.
    pub(super) async fn take(self: &Arc<Self>, text: &str, permit: Option<OwnedSemaphorePermit>) {
        let limits = &self.server.configuration.limits;
        if let Err(error) = limits.check_depth(text.as_bytes()) {
            return self.push(self.refusal(&frame::id_of(text), code::REQUEST, error));
        }
        let Request { id, method, params } = match Request::parse(text) {
            Ok(request) => request,
            Err(Refusal { id, code, error }) => return self.push(self.refusal(&id, code, error)),
        };
        match method.as_str() {
            "subscribe" => {
                if let Err(refused) = self.subscribe(id.as_ref(), params).await {
                    self.answer(id.as_ref(), Err(refused));
                }
            }
            "live" => {
                if let Err(refused) = self.live(id.as_ref(), params).await {
                    self.answer(id.as_ref(), Err(refused));
                }
            }
            "ack" => {
                let outcome = self.ack(params);
                self.answer(id.as_ref(), outcome);
            }
            "unsubscribe" => {
                let outcome = self.unsubscribe(params);
                self.answer(id.as_ref(), outcome);
            }
            "authenticate" => {
                let outcome = self.authenticate(params).await;
                self.answer(id.as_ref(), outcome);
            }
            "call" => span("call").in_scope(|| self.run(id, permit, self.plan_call(params))),
            "dispatch" => span("dispatch").in_scope(|| self.run(id, permit, self.plan_dispatch(params))),
            "stream" => span("stream").in_scope(|| self.run(id, permit, self.plan_stream(params))),
            "upload.create" | "upload.append" | "upload.offset" | "upload.terminate" => {
                match upload_asked(&method, params) {
                    Ok(asked) => {
                        let context = self.context();
                        let of_call = context.clone();
                        let peer = self.peer.get().copied().unwrap_or_default();
                        let made = async move { upload::socket::ask(&of_call, peer, asked).await };
                        span("upload").in_scope(|| self.spawn(id, permit, context, None, made));
                    }
                    Err(refused) => self.answer(id.as_ref(), Err(refused)),
                }
            }
            _ => {
                let shown: String = method.chars().take(64).collect();
                let error = Error::new(ErrorCode::InvalidRequest).message(format!("there is no method `{shown}`"));
                self.answer(id.as_ref(), Err(Refused { code: code::METHOD, error }));
            }
        }
    }

    async fn subscribe(self: &Arc<Self>, id: Option<&Value>, params: Map<String, Value>) -> Result<(), Refused> {
        let mut params = Params(params);
        let (model, filter) = (params.text("model")?, params.value("filter")?);
        let since = match params.whole("since")? {
            Some(seq) => {
                let received = params.whole("received")?.map(|received| u32::try_from(received).unwrap_or(u32::MAX));
                Some(Since { seq, received })
            }
            None => None,
        };
        params.end()?;
        let room = self.room(&model, &filter)?;
        // Who may read nothing of the model hears nothing of it.
        self.context().scope().check_right(room.model, Right::Read).await?;
        let mut rooms = self.rooms.lock();
        let is_new = !rooms.contains_key(&room.name);
        if rooms.len() >= SUBSCRIPTIONS && is_new {
            let text = format!("a socket has at most {SUBSCRIPTIONS} subscriptions");
            return Err(Error::new(ErrorCode::RateLimited).message(text).into());
        }
        rooms.insert(room.name.clone(), room.clone());
        drop(rooms);
        let sink: Arc<dyn Sink> = self.clone();
        // Twice the same filter is one subscription, that has missed nothing.
        let missed = since.filter(|_| is_new);
        let rooms = self.server.runtime.rooms();
        rooms.join(&room, missed, (self.number, &sink), |Joining { since: from, complete }| {
            // The answer stands before the first frame of the room, and says from where on they come.
            let mut answer = serde_json::json!({"subscription": room.name, "room": &*room.key, "since": from.seq});
            if let Some(received) = from.received {
                answer["received"] = received.into();
            }
            if since.is_some() {
                answer["complete"] = complete.into();
            }
            self.answer(id, Ok(answer));
        });
        Ok(())
    }

    /// A list, and what each commit changes in it from here on.
    async fn live(self: &Arc<Self>, id: Option<&Value>, params: Map<String, Value>) -> Result<(), Refused> {
        let mut params = Params(params);
        let model = params.text("model")?;
        let mut parts = QueryParts::default();
        for name in ["filter", "sort", "skip", "limit"] {
            *parts.part(name)? = params.0.remove(name);
        }
        let held = params.holding()?;
        params.end()?;
        let context = self.context();
        let index = context.open(&model)?;
        let runtime = &self.server.runtime;
        let query = context.query(index, &parts)?;
        let wanted = Wanted::new(index, query)?;
        let rooms = self.rooms.lock().len();
        let sink: Arc<dyn LiveSink> = self.clone();
        let opened = |opened: Opened<'_>| {
            let Some(id) = id else { return Ok(()) };
            let list = match &opened.from_held {
                Some(changes) => changes.json().ok_or_else(|| Error::internal("a document cannot be written"))?.into(),
                None => opened.list.json()?,
            };
            if list.len() > QUEUE_BYTES / 2 {
                let text = format!("the list has more than {} bytes", QUEUE_BYTES / 2);
                return Err(Error::new(ErrorCode::PayloadTooLarge).message(text));
            }
            let member = if opened.from_held.is_some() { "changes" } else { "items" };
            let head = format!("{{\"subscription\":\"{}\",\"seq\":{},\"{member}\":", opened.name, opened.seq);
            let frame = frame::answer(id, opened.seq, |out| {
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(&list);
                out.push(b'}');
                Ok::<_, Error>(())
            })?;
            self.push(text_of(frame));
            Ok(())
        };
        let most = SUBSCRIPTIONS.saturating_sub(rooms);
        // On the heap: it asks rules, and most frames are something else.
        Box::pin(runtime.lives().open(runtime.log(), (self.number, &sink), wanted, held, most, opened)).await?;
        Ok(())
    }

    fn ack(&self, params: Map<String, Value>) -> Result<Value, Refused> {
        let mut params = Params(params);
        let seq = params.whole("seq")?.ok_or_else(|| Params::wrong("`seq` is missing".into()))?;
        params.end()?;
        self.acked(seq);
        Ok(Value::Object(Map::new()))
    }

    fn unsubscribe(&self, params: Map<String, Value>) -> Result<Value, Refused> {
        let mut params = Params(params);
        let subscription = params.text("subscription")?;
        params.end()?;
        if self.server.runtime.lives().leave(self.number, &subscription) {
            return Ok(Value::Object(Map::new()));
        }
        let room = self.rooms.lock().remove(&subscription);
        room.ok_or_else(|| Error::not_found(ErrorCode::NotFound, &subscription))?.leave(self.number);
        Ok(Value::Object(Map::new()))
    }

    /// What was subscribed before stays, as far as whoever it is now may have it.
    async fn authenticate(&self, params: Map<String, Value>) -> Result<Value, Refused> {
        let mut params = Params(params);
        let token = params.text("token")?;
        params.end()?;
        let peer = self.peer.get().copied().unwrap_or_default();
        let identity = identify(&self.server, &token).await.map_err(|error| self.server.refuse(error, peer))?;
        *self.identity.lock() = identity;
        self.identified.fetch_add(1, Ordering::Release);
        self.server.runtime.lives().reidentify(self.number);
        let rooms: Vec<Arc<Room>> = self.rooms.lock().values().cloned().collect();
        for room in rooms {
            let context = self.context();
            let id = self.server.runtime.model(room.model)?.schema.id.clone();
            let open = match context.open(&id) {
                Ok(_) => context.scope().check_right(room.model, Right::Read).await,
                Err(error) => Err(error),
            };
            if let Err(error) = open {
                self.rooms.lock().remove(&room.name);
                room.leave(self.number);
                self.push(frame::unsubscribed(&room.name, error.code().as_str()).into());
            }
        }
        Ok(Value::Object(Map::new()))
    }

    fn plan_call(&self, params: Map<String, Value>) -> Result<Plan, Refused> {
        let mut params = Params(params);
        let (model, id, args) = (params.text("model")?, params.text("method")?, params.0.remove("args"));
        let key = match params.0.contains_key("key") {
            true => Some(CallKey::parse(&params.text("key")?)?),
            false => None,
        };
        params.end()?;
        let index = self.context().visible(&model)?;
        self.admit_operation(&model, &id)?;
        Ok(Plan { index, id, args, to: Called::Method(key) })
    }

    fn plan_dispatch(&self, params: Map<String, Value>) -> Result<Plan, Refused> {
        let mut params = Params(params);
        let (model, filter) = (params.text("model")?, params.value("filter")?);
        let (id, args) = (params.text("event")?, params.0.remove("args"));
        params.end()?;
        let context = self.context();
        // The operation's own right is asked first, which may be wider than that of the documents.
        let index = context.visible(&model)?;
        context.scope().operation(index, OperationKind::Event, &id)?;
        self.admit_operation(&model, &id)?;
        let room = self.room_of(index, &filter)?;
        Ok(Plan { index, id, args, to: Called::Event(room) })
    }

    fn plan_stream(&self, params: Map<String, Value>) -> Result<Plan, Refused> {
        let mut params = Params(params);
        let (model, id, args) = (params.text("model")?, params.text("stream")?, params.0.remove("args"));
        let chunk = params.chunk()?;
        params.end()?;
        let index = self.context().visible(&model)?;
        Ok(Plan { index, id, args, to: Called::Stream(chunk) })
    }

    /// The room of a filter of a model whose documents the client may reach.
    fn room(&self, model: &str, filter: &Value) -> Result<Arc<Room>> {
        self.room_of(self.context().open(model)?, filter)
    }

    fn room_of(&self, index: ModelIndex, filter: &Value) -> Result<Arc<Room>> {
        let runtime = &self.server.runtime;
        self.server.configuration.limits.check_filter(filter)?;
        let filter = parse_filter(filter, &self.context().names(&runtime.model(index)?.schema))?;
        Ok(runtime.rooms().room(index, &filter))
    }

    /// Runs a call on its own. The permit is given back when it is answered.
    fn run(self: &Arc<Self>, id: Option<Value>, permit: Option<OwnedSemaphorePermit>, plan: Result<Plan, Refused>) {
        let Plan { index, id: operation, args, to } = match plan {
            Ok(plan) => plan,
            Err(refused) => return self.answer(id.as_ref(), Err(refused)),
        };
        let context = self.context();
        let kind = match &to {
            Called::Method(_) => OperationKind::Method,
            Called::Event(_) => OperationKind::Event,
            Called::Stream(_) => OperationKind::Stream,
        };
        let most = context.time_of(index, kind, &operation).unwrap_or_default();
        // Of who asked, also when he says in the meantime that he is somebody else.
        let called = context.clone();
        let made = async move {
            match to {
                Called::Method(key) => called.call_method(index, &operation, args, key.as_ref()).await,
                Called::Stream(chunk) => upload::stream::one(&called, index, &operation, args, chunk).await,
                Called::Event(room) => {
                    let output = called.call(index, OperationKind::Event, &operation, args, With::Room(room)).await?;
                    answer_json(output.as_ref(), called.audience())
                }
            }
        };
        self.spawn(id, permit, context, most, made);
    }

    /// Does something on its own, and answers the JSON that it made.
    fn spawn(
        self: &Arc<Self>,
        id: Option<Value>,
        permit: Option<OwnedSemaphorePermit>,
        context: Context,
        most: Option<Duration>,
        made: impl Future<Output = Result<Vec<u8>>> + Send + 'static,
    ) {
        let session = self.clone();
        let answered = async move {
            let outcome = Context::in_time(most, context.to_the_end(made)).await;
            if let Some(id) = &id {
                let frame = outcome.and_then(|json| {
                    frame::answer(id, session.seq(), |out| {
                        out.extend_from_slice(&json);
                        Ok::<_, Error>(())
                    })
                });
                session.push(match frame {
                    Ok(frame) => session.fitting(id, frame),
                    Err(error) => session.refusal(id, code::APPLICATION, error),
                });
            }
            drop(permit);
        };
        tokio::spawn(answered.in_current_span());
    }

    fn answer(&self, id: Option<&Value>, outcome: Result<Value, Refused>) {
        // A request without an id is a notification, and nobody waits.
        if let Some(id) = id {
            self.push(self.answer_json(id, outcome));
        }
    }

    fn answer_json(&self, id: &Value, outcome: Result<Value, Refused>) -> Utf8Bytes {
        match outcome.map(|result| frame::answer(id, self.seq(), |out| serde_json::to_writer(out, &result))) {
            Ok(Ok(frame)) => self.fitting(id, frame),
            Ok(Err(cause)) => self.refusal(id, code::APPLICATION, Error::internal(cause)),
            Err(Refused { code, error }) => self.refusal(id, code, error),
        }
    }

    /// An answer that could never be sent is an error instead, and not the end of the session.
    fn fitting(&self, id: &Value, frame: Vec<u8>) -> Utf8Bytes {
        if frame.len() > QUEUE_BYTES / 2 {
            let text = format!("the answer has more than {} bytes", QUEUE_BYTES / 2);
            return self.refusal(id, code::APPLICATION, Error::new(ErrorCode::PayloadTooLarge).message(text));
        }
        text_of(frame)
    }

    fn refusal(&self, id: &Value, code: i32, error: Error) -> Utf8Bytes {
        let (message, problem) = problem_value(error, self.context().audience());
        text_of(frame::refusal(id, self.seq(), code, &message, &problem))
    }

    /// Leaves all rooms. Not when it is dropped: that may happen inside of a delivery, which holds the lock of the room, and a
    /// room forgets who is gone by itself.
    pub(super) fn close(&self) {
        self.server.runtime.lives().close(self.number);
        for room in std::mem::take(&mut *self.rooms.lock()).into_values() {
            room.leave(self.number);
        }
    }
}

/// What is asked of a resumable upload.
fn upload_asked(method: &str, params: Map<String, Value>) -> Result<upload::socket::Asked, Refused> {
    use upload::socket::Asked;
    let mut params = Params(params);
    let asked = match method {
        "upload.create" => {
            let length = params.whole("length")?;
            match params.0.remove("metadata") {
                None => Asked::Create { length, metadata: Map::new() },
                Some(Value::Object(metadata)) => Asked::Create { length, metadata },
                Some(_) => return Err(Params::wrong("`metadata` is an object".into())),
            }
        }
        "upload.append" => Asked::Append {
            id: params.text("id")?,
            offset: params.whole("offset")?.ok_or_else(|| Params::wrong("`offset` is missing".into()))?,
            length: params.whole("length")?,
            data: params.bytes("data")?,
        },
        "upload.offset" => Asked::Offset { id: params.text("id")? },
        _ => Asked::Terminate { id: params.text("id")? },
    };
    params.end()?;
    Ok(asked)
}

/// JSON is UTF-8.
fn text_of(frame: Vec<u8>) -> Utf8Bytes {
    Utf8Bytes::try_from(frame).unwrap_or_default()
}

impl Sink for Session {
    fn deliver(&self, room: &Room, published: &Arc<Published>) {
        let made = || frame::publish(&room.name, published.seq, published.received, &published.payload);
        let shared = published.encoded.get_or_init(|| Box::new((room.name.clone(), Utf8Bytes::from(made()))));
        // Who comes back when all have left is in another room of the same filter, with another name.
        let shared = shared.downcast_ref::<(String, Utf8Bytes)>().filter(|(name, _)| *name == room.name);
        let frame = match shared {
            Some((_, text)) => Frame::shared(text.clone(), published.hearers),
            None => Frame::own(made().into()),
        };
        match self.server.runtime.model(room.model) {
            Ok(model) if model.rule.is_none() => self.push_shared(frame),
            _ => self.check(room.model, frame, published),
        }
    }
}

impl LiveSink for Session {
    fn deliver(&self, seq: u64, parts: &[Part]) -> Flow {
        let made = || -> Option<Utf8Bytes> {
            let lists: Option<Vec<(&str, &str)>> =
                parts.iter().map(|part| Some((&*part.name, part.delta.json()?))).collect();
            Some(frame::commit(seq, lists?.into_iter()).into())
        };
        let frame = match parts {
            // The same for all who follow nothing else that the commit has changed.
            [Part { delta, .. }] => {
                let shared = delta.encoded.get_or_init(|| Box::new(made()));
                let text = shared.downcast_ref::<Option<Utf8Bytes>>().cloned().flatten();
                text.map(|text| Frame::shared(text, delta.hearers))
            }
            _ => made().map(Frame::own),
        };
        match frame {
            Some(frame) => self.push_live(seq, frame),
            None => {
                self.overflow(&mut self.queue.lock());
                Flow::Full
            }
        }
    }

    fn reset(&self, name: &str, seq: u64, list: &Listing<'_>) -> Flow {
        let Ok(Ok(items)) = list.json().map(String::from_utf8) else {
            self.overflow(&mut self.queue.lock());
            return Flow::Full;
        };
        self.push_live(seq, Frame::own(frame::reset(name, seq, &items).into()))
    }

    fn ended(&self, name: &str, error: &Error) {
        self.push(frame::unsubscribed(name, error.code().as_str()).into());
    }

    fn is_open(&self) -> bool {
        let queue = self.queue.lock();
        !queue.live.full && !queue.overflown
    }

    fn stale(&self) {
        // What becomes of the list has its place before whatever is sent from here on.
        self.change(Writer::Pump, |queue| {
            if queue.live.place.is_none() {
                queue.live.place = Some(queue.end());
                queue.frames.push_back(Slot::Waiting);
            }
        });
        if let Some(session) = self.this.upgrade() {
            session.aside(|session| async move {
                let runtime = &session.server.runtime;
                runtime.lives().refresh(runtime.log(), session.number).await;
            });
        }
    }

    fn refreshed(&self) {
        self.change(Writer::Pump, |queue| {
            if let Some(slot) = queue.live.place.take().and_then(|place| queue.slot(place)) {
                *slot = Slot::Dropped;
            }
        });
    }

    fn asks(&self) -> (Scope, Audience) {
        let context = self.context();
        (context.scope(), context.audience())
    }
}

/// A call that may be made.
struct Plan {
    index: ModelIndex,
    id: String,
    args: Option<Value>,
    to: Called,
}

/// What is called.
enum Called {
    /// A method; with a key, once.
    Method(Option<CallKey>),
    /// An event of a room.
    Event(Arc<Room>),
    /// A stream, with the next of it.
    Stream(Chunk),
}

/// An error with the code of JSON-RPC that it is answered with.
struct Refused {
    code: i32,
    error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { code: code::APPLICATION, error }
    }
}

/// The parameters of a request, taken out one by one.
struct Params(Map<String, Value>);

impl Params {
    fn wrong(why: String) -> Refused {
        Refused { code: code::PARAMS, error: Error::new(ErrorCode::InvalidRequest).message(why) }
    }

    fn value(&mut self, name: &str) -> Result<Value, Refused> {
        self.0.remove(name).ok_or_else(|| Self::wrong(format!("`{name}` is missing")))
    }

    fn text(&mut self, name: &str) -> Result<String, Refused> {
        match self.value(name)? {
            Value::String(text) => Ok(text),
            _ => Err(Self::wrong(format!("`{name}` is a string"))),
        }
    }

    /// A whole number that may be left out.
    fn whole(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| Self::wrong(format!("`{name}` is a whole number"))),
        }
    }

    /// What a client holds of a list, if it says so.
    fn holding(&mut self) -> Result<Option<Holding>, Refused> {
        let wrong = || {
            Self::wrong(format!("`held` is a list of at most {MAX_LIMIT} pairs of an id and a revision, each id once"))
        };
        match (self.whole("since")?, self.0.remove("held")) {
            (None, None) => Ok(None),
            (Some(since), Some(Value::Array(pairs))) if pairs.len() <= MAX_LIMIT => {
                let mut known = HashSet::with_capacity(pairs.len());
                let mut list = Vec::with_capacity(pairs.len());
                for pair in &pairs {
                    let Some([Value::String(id), rev]) = pair.as_array().map(Vec::as_slice) else {
                        return Err(wrong());
                    };
                    let id = RawId::parse(id).map_err(|_| wrong())?;
                    if !known.insert(id.clone()) {
                        return Err(wrong());
                    }
                    list.push((id, rev.as_u64().ok_or_else(wrong)?));
                }
                Ok(Some(Holding { since, list }))
            }
            (Some(_), Some(_)) => Err(wrong()),
            _ => Err(Self::wrong("`since` and `held` belong together".into())),
        }
    }

    /// Bytes in Base64 (RFC 4648 §4).
    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Refused> {
        let text = self.text(name)?;
        BASE64_STANDARD.decode(text).map_err(|_| Self::wrong(format!("`{name}` is not Base64")))
    }

    /// A chunk of a stream.
    fn chunk(&mut self) -> Result<Chunk, Refused> {
        let chunk = Chunk::new(self.bytes("data")?).at(self.whole("offset")?.unwrap_or(0));
        match self.0.remove("last").unwrap_or(Value::Bool(false)) {
            Value::Bool(true) => Ok(chunk.last()),
            Value::Bool(false) => Ok(chunk),
            _ => Err(Self::wrong("`last` is true or false".into())),
        }
    }

    /// Nothing is ignored.
    fn end(self) -> Result<(), Refused> {
        self.0.keys().next().map_or(Ok(()), |name| {
            let shown: String = name.chars().take(64).collect();
            Err(Self::wrong(format!("unknown parameter `{shown}`")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;

    async fn session() -> Arc<Session> {
        let app = App::new().secret(*b"0123456789abcdef0123456789abcdef").in_memory().open().await.unwrap();
        Session::new(Server::new(&app, app.configuration().unwrap()), Identity::anyone())
    }

    /// Whether the carrier was woken since it was asked last.
    async fn is_woken(session: &Session) -> bool {
        tokio::time::timeout(Duration::from_millis(20), session.filled()).await.is_ok()
    }

    #[tokio::test]
    async fn what_stands_behind_a_place_comes_when_that_is_given_up() {
        let session = session().await;
        session.stale();
        session.push("behind".into());
        assert!(is_woken(&session).await && session.fetch().is_none());
        session.refreshed();
        assert!(is_woken(&session).await, "nobody would ever come for it");
        assert_eq!(session.fetch().as_deref(), Some("behind"));
    }

    #[tokio::test]
    async fn one_writes_at_a_time_and_nothing_is_left() {
        let session = session().await;
        session.push("one".into());
        session.push("two".into());
        assert_eq!(session.fetch().as_deref(), Some("one"));
        assert!(session.queue.lock().fetch(Writer::Pump).is_none(), "the carrier is at it");
        assert!(!session.settle(), "there is more");
        assert_eq!(session.fetch().as_deref(), Some("two"));
        assert!(session.settle());
        session.push("three".into());
        assert_eq!(session.queue.lock().fetch(Writer::Pump).as_deref(), Some("three"));
        session.push("four".into());
        assert!(session.fetch().is_none(), "the pump is at it");
        assert!(session.settle(), "and it is for that to go on");
        assert!(!session.queue.lock().settle(Writer::Pump));
        assert_eq!(session.queue.lock().fetch(Writer::Pump).as_deref(), Some("four"));
        assert!(session.queue.lock().settle(Writer::Pump));
        session.hold().await;
        session.push("five".into());
        assert!(session.queue.lock().fetch(Writer::Pump).is_none());
        assert_eq!(session.fetch().as_deref(), Some("five"));
        assert_eq!(session.queue.lock().charge.bytes(), 0);
    }

    /// A server keeps its pumps, and a session keeps its server.
    #[tokio::test]
    async fn a_pump_that_has_ended_keeps_no_session() {
        let session = session().await;
        session.writes_to(Weak::new());
        let pumps = session.server.pumps.clone();
        let pumping: Vec<_> = pumps.into_iter().map(|pump| tokio::spawn(async move { pump.run().await })).collect();
        tokio::task::yield_now().await;
        session.push_shared(Frame::own("before".into()));
        assert_eq!(Arc::strong_count(&session), 2);
        for pump in pumping {
            pump.abort();
            let _ = pump.await;
        }
        session.push_shared(Frame::own("after".into()));
        assert_eq!(Arc::strong_count(&session), 1);
    }

    #[tokio::test]
    async fn what_waits_for_all_is_counted_until_it_is_gone() {
        let session = session().await;
        let server = session.server.clone();
        let other = Session::new(server.clone(), Identity::anyone());
        session.push("x".repeat(1_000).into());
        other.push_shared(Frame::shared("y".repeat(1_000).into(), 10));
        let waiting = || server.backlog.waiting();
        assert!((1_100..1_300).contains(&waiting()), "{}", waiting());
        session.fetch();
        assert!((100..200).contains(&waiting()), "{}", waiting());
        session.push("z".into());
        session.overflow(&mut session.queue.lock());
        drop((session, other));
        assert_eq!(waiting(), 0);
    }
}
