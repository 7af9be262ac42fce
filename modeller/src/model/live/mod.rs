//! Live queries: filter, sort, skip and limit, as a list and then what each commit changes in it.
//!
//! The law is that whoever has applied the frame of a commit holds exactly the list at that commit. All windows follow the log
//! under one lock, commit by commit; equal queries of callers with the same rights share one window. What a commit concerns is
//! found by an index over the filters, so that it costs what it matches.
//!
//! A client that does not keep up is sent nothing for a while. What it holds is noted as ids and revisions, and when it reads
//! again it is sent the difference between that and what is there by then: so that its backlog is bounded, and never merged.
//! The same way one goes on that was cut off, saying itself what it holds.
//!
//! What an access rule has read is watched as well. A commit that changes some of it stops what the caller is sent, before
//! anything of that commit is; the rule is asked anew, and the caller is sent the difference.

pub(crate) mod local;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::access::{Right, Rights};
use super::runtime::Scope;
use crate::core::collection::{Change, ModelIndex};
use crate::core::document::DynDoc;
use crate::core::id::RawId;
use crate::core::interest::Interests;
use crate::core::log::{Commit, CommitLog, Follower, Heads, Reads};
use crate::core::private::Audience;
use crate::core::query::RawQuery;
use crate::core::query::canonical::canonical;
use crate::core::window::{Frame, Moved, Place, Step, Window, difference, difference_from};
use crate::error::{Error, ErrorCode, Result};

/// Changes of recent commits that are kept while somebody reads a window or asks a rule.
const MOST_RECENT: usize = 65_536;
/// What is skipped may have to be held, where the list is hardly longer.
const MOST_SKIP: usize = 10_000;
/// How often a window is read and a rule is asked for one who subscribes, when it changes all the time.
const MOST_TRIES: usize = 16;

/// Whether a client takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// It has to read first.
    Full,
}

/// What a frame says of one subscription.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) name: Arc<str>,
    pub(crate) delta: Arc<Delta>,
}

/// Who is sent what changes.
pub(crate) trait LiveSink: Send + Sync {
    /// Takes what a commit changed, always; and says whether it takes another one.
    fn deliver(&self, seq: u64, parts: &[Part]) -> Flow;
    /// Takes a list in the place of whatever it had.
    fn reset(&self, name: &str, seq: u64, list: &Listing<'_>) -> Flow;
    /// Is told that a subscription has ended.
    fn ended(&self, name: &str, error: &Error);
    /// Whether it takes something.
    fn is_open(&self) -> bool;
    /// Is told that [`Lives::refresh`] is to be called, on a task of its own.
    fn stale(&self);
    /// Is told that this has been done.
    fn refreshed(&self);
    /// Who asks, and whom it is written for.
    fn asks(&self) -> (Scope, Audience);
}

/// A list as it is sent.
pub(crate) struct Listing<'a> {
    pub(crate) places: &'a [Place],
    pub(crate) audience: Audience,
}

impl Listing<'_> {
    /// JSON text.
    ///
    /// # Errors
    /// `INTERNAL` when a document cannot be serialized.
    pub(crate) fn json(&self) -> Result<Vec<u8>> {
        let mut out = vec![b'['];
        for (at, place) in self.places.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            place.doc.write_for(self.audience, &mut out)?;
        }
        out.push(b']');
        Ok(out)
    }
}

/// What changed in a window.
pub(crate) struct Delta {
    pub(crate) steps: Vec<Step>,
    audience: Audience,
    texts: Arc<Texts>,
    json: OnceLock<Option<Box<str>>>,
    /// How many clients it is for.
    pub(crate) hearers: usize,
    /// What a carrier makes of it when it is all that a frame says.
    pub(crate) encoded: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What documents are written as: many windows may have the same changes.
#[derive(Default)]
struct Texts(Mutex<HashMap<(usize, usize, bool), Arc<str>>>);

/// What tells documents apart while they are held.
fn place_of(doc: &DynDoc) -> usize {
    Arc::as_ptr(doc).cast::<()>() as usize
}

impl Delta {
    fn new(steps: Vec<Step>, audience: Audience, texts: &Arc<Texts>, hearers: usize) -> Arc<Self> {
        let (json, encoded) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { steps, audience, texts: texts.clone(), json, hearers, encoded })
    }

    /// The `changes` as JSON text; `None` when a document cannot be serialized.
    pub(crate) fn json(&self) -> Option<&str> {
        self.json.get_or_init(|| self.write().ok().map(Into::into)).as_deref()
    }

    fn write(&self) -> Result<String> {
        let mut out = String::from("[");
        for (number, step) in self.steps.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            match step {
                Step::Leave(id) => {
                    out.push_str("{\"op\":\"leave\",\"id\":");
                    out.push_str(&serde_json::to_string(id)?);
                }
                Step::Change { before, after, at } => {
                    out.push_str("{\"op\":\"change\",\"id\":");
                    out.push_str(&serde_json::to_string(after.id())?);
                    out.push_str(&self.text(Some(before), after)?);
                    if let Some(at) = at {
                        out.push_str(&format!(",\"at\":{at}"));
                    }
                }
                Step::Enter { doc, at } => {
                    out.push_str("{\"op\":\"enter\",\"doc\":");
                    out.push_str(&self.text(None, doc)?);
                    out.push_str(&format!(",\"at\":{at}"));
                }
            }
            out.push('}');
        }
        out.push(']');
        Ok(out)
    }

    fn text(&self, before: Option<&DynDoc>, doc: &DynDoc) -> Result<Arc<str>> {
        let key = (before.map_or(0, place_of), place_of(doc), self.audience == Audience::Anyone);
        if let Some(known) = self.texts.0.lock().get(&key) {
            return Ok(known.clone());
        }
        let text: Arc<str> = match before {
            Some(before) => self.what_changed(before, doc)?.into(),
            None => {
                let mut text = Vec::new();
                doc.write_for(self.audience, &mut text)?;
                String::from_utf8(text).map_err(Error::internal)?.into()
            }
        };
        self.texts.0.lock().insert(key, text.clone());
        Ok(text)
    }

    /// The fields that are others, and those that are gone.
    fn what_changed(&self, before: &DynDoc, after: &DynDoc) -> Result<String> {
        let object = |doc: &DynDoc| match doc.to_form(self.audience) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Error::internal("a document is an object")),
            Err(error) => Err(error),
        };
        let (old, new) = (object(before)?, object(after)?);
        let unset: Vec<Value> = old.keys().filter(|name| !new.contains_key(*name)).cloned().map(Value::from).collect();
        let mut set: Map<String, Value> =
            new.into_iter().filter(|(name, value)| old.get(name) != Some(value)).collect();
        set.insert("_rev".into(), after.rev().into());
        Ok(format!(",\"set\":{},\"unset\":{}", Value::Object(set), Value::Array(unset)))
    }
}

/// What is wanted to be followed.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) model: ModelIndex,
    /// With the filter as it was given, which no rule is a part of.
    pub(crate) query: RawQuery,
}

impl Wanted {
    /// Of a query that says all by itself.
    ///
    /// # Errors
    /// `INVALID_QUERY` when it goes on from a page, or skips too much.
    pub(crate) fn new(model: ModelIndex, query: RawQuery) -> Result<Self> {
        match query.cursor {
            Some(_) => Err(Error::query("cursor", "a live query has `skip` and `limit`, and no cursor")),
            None if query.skip > MOST_SKIP => {
                Err(Error::query("skip", format!("a live query skips {MOST_SKIP} documents at most")))
            }
            None => Ok(Self { model, query }),
        }
    }
}

/// What somebody holds already: ids and revisions, in order.
pub(crate) struct Holding {
    /// The commit that it is of.
    pub(crate) since: u64,
    pub(crate) list: Vec<(RawId, u64)>,
}

/// What one who subscribes is told.
pub(crate) struct Opened<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) seq: u64,
    pub(crate) list: Listing<'a>,
    /// What makes the list of what was held; `None` where that says nothing.
    pub(crate) from_held: Option<Arc<Delta>>,
}

/// A query as it was given: what it is called is the same for all who ask it, whatever their rights, so that a frame is the same
/// for all who may see the same.
struct Asked {
    wanted: Wanted,
    key: String,
    uses: usize,
}

/// What a window is known by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct WindowKey {
    /// That of the query.
    name: Arc<str>,
    /// The canonical text of its filter within the rights of who asks; empty for who is under no rule.
    rule: String,
    /// Whom it is written for.
    audience: Audience,
}

struct Watched {
    window: Window,
    model: ModelIndex,
    key: WindowKey,
    watchers: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Token {
    Window(u64),
    /// The rule of a model, of a client.
    Rule(u64, ModelIndex),
}

struct Client {
    sink: Weak<dyn LiveSink>,
    subscriptions: BTreeMap<Arc<str>, Subscribed>,
    rules: BTreeMap<ModelIndex, Reads>,
    /// Whether it is sent nothing at the moment.
    behind: bool,
    /// The models whose rules have to be asked anew.
    stale: BTreeSet<ModelIndex>,
    /// Counts how often that was said.
    turn: u64,
}

struct Subscribed {
    window: u64,
    /// What it was sent last, while it is sent nothing.
    held: Option<Arc<[(RawId, u64)]>>,
    /// Whether what it holds was written for somebody else.
    afresh: bool,
}

/// What a rule answered, and what that rests on.
pub(crate) struct Ruled {
    pub(crate) rights: Option<Rights>,
    /// What it read, at which commit.
    pub(crate) read: Option<(Reads, u64)>,
}

/// All live queries of an application.
pub(crate) struct Lives {
    inner: Mutex<Inner>,
}

struct Inner {
    /// The last commit that was followed.
    head: u64,
    next: u64,
    asked: HashMap<String, Arc<str>>,
    by_name: HashMap<Arc<str>, Asked>,
    windows: HashMap<u64, Watched>,
    by_key: HashMap<WindowKey, u64>,
    interests: HashMap<ModelIndex, Interests<Token>>,
    clients: HashMap<u64, Client>,
    /// How many read something at the moment that commits may pass by.
    readers: usize,
    /// The last commits, as long as somebody reads.
    recent: VecDeque<Arc<Commit>>,
    recent_changes: usize,
    /// All commits after this one are among them.
    floor: u64,
}

/// Keeps the last commits for as long as it lives.
struct Reading<'a>(&'a Lives);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.readers -= 1;
        if inner.readers == 0 {
            inner.recent.clear();
            inner.recent_changes = 0;
        }
    }
}

/// Keeps the name of a query until somebody follows it.
struct Naming<'a> {
    lives: &'a Lives,
    name: Arc<str>,
}

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        let mut inner = self.lives.inner.lock();
        if inner.by_name.get(&self.name).is_some_and(|asked| asked.uses == 0) {
            inner.unuse(&self.name);
        }
    }
}

/// A window that was read, and belongs to nobody yet.
struct Prepared {
    window: Window,
    seq: u64,
}

impl Lives {
    /// Of an application that starts with this commit.
    pub(crate) fn new(seq: u64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                head: seq,
                next: 0,
                asked: HashMap::new(),
                by_name: HashMap::new(),
                windows: HashMap::new(),
                by_key: HashMap::new(),
                interests: HashMap::new(),
                clients: HashMap::new(),
                readers: 0,
                recent: VecDeque::new(),
                recent_changes: 0,
                floor: seq,
            }),
        }
    }

    /// How many queries are followed, and by how many clients.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only the server is asked"))]
    pub(crate) fn count(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.windows.len(), inner.clients.len())
    }

    fn reading(&self) -> Reading<'_> {
        let mut inner = self.inner.lock();
        if inner.readers == 0 {
            inner.floor = inner.head;
        }
        inner.readers += 1;
        Reading(self)
    }

    fn naming(&self, wanted: &Wanted) -> Naming<'_> {
        let name = self.inner.lock().name(wanted);
        Naming { lives: self, name }
    }

    /// Lets a client follow a query. `opened` is called before anything of it is delivered.
    ///
    /// # Errors
    /// `FORBIDDEN`, `UNAUTHENTICATED` where the client may read nothing; `INVALID_QUERY`, `RATE_LIMITED`.
    pub(crate) async fn open(
        &self,
        log: &CommitLog,
        (number, sink): (u64, &Arc<dyn LiveSink>),
        wanted: Wanted,
        held: Option<Holding>,
        most: usize,
        opened: impl FnOnce(Opened<'_>) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..MOST_TRIES {
            let _reading = self.reading();
            let (scope, audience) = sink.asks();
            let ruled = scope.ruled(wanted.model).await?;
            scope.check_has(Right::Read, ruled.rights.as_ref())?;
            let naming = self.naming(&wanted);
            let name = naming.name.clone();
            let (key, frame) = window_of(&name, &wanted, ruled.rights.as_ref(), audience);
            let prepared = self.prepare(log, wanted.model, &key, &frame)?;
            let mut inner = self.inner.lock();
            if !inner.still_holds(&ruled) || inner.name(&wanted) != name {
                // By now it may be called another name, since all others who asked it have gone.
                continue;
            }
            let inner = &mut *inner;
            let is_new = |client: &Client| !client.subscriptions.contains_key(&name);
            if inner.clients.get(&number).is_some_and(|client| client.subscriptions.len() >= most && is_new(client)) {
                let text = format!("a client has at most {most} subscriptions");
                return Err(Error::new(ErrorCode::RateLimited).message(text));
            }
            let window = inner.admit(log, wanted.model, (key, frame), prepared)?;
            inner.attach((number, sink), &wanted, window, ruled)?;
            let Some(watched) = inner.windows.get(&window) else { return Err(Error::internal("a window is gone")) };
            let from_held = held.filter(|held| held.since <= inner.head).map(|held| {
                Delta::new(difference_from(&held.list, watched.window.seen()), audience, &Arc::default(), 1)
            });
            let list = Listing { places: watched.window.seen(), audience };
            let told = opened(Opened { name: &watched.key.name, seq: inner.head, list, from_held });
            let name = watched.key.name.clone();
            if told.is_err() {
                inner.detach(number, &name);
            }
            return told;
        }
        Err(Error::new(ErrorCode::Unavailable).message("what may be read changes faster than it can be found out"))
    }

    /// Reads a window outside of the lock, unless it is there.
    fn prepare(&self, log: &CommitLog, model: ModelIndex, key: &WindowKey, frame: &Frame) -> Result<Option<Prepared>> {
        let (state, ahead, seq) = {
            let inner = self.inner.lock();
            if inner.by_key.contains_key(key) {
                return Ok(None);
            }
            let (state, ahead) = log.ahead(inner.head);
            (state, ahead, inner.head)
        };
        let collection = state.collection(model).ok_or_else(|| Error::internal("unknown model"))?;
        let window = Window::load(frame, collection, &of_model(&ahead, model))?;
        Ok(Some(Prepared { window, seq }))
    }

    /// Ends one subscription of a client. Whether there was one.
    pub(crate) fn leave(&self, number: u64, name: &str) -> bool {
        self.inner.lock().detach(number, name)
    }

    /// Ends all subscriptions of a client.
    pub(crate) fn close(&self, number: u64) {
        self.inner.lock().forget(number);
    }

    /// Notes that it is another one who asks, or with other rights. Whether anything has to be asked anew.
    pub(crate) fn reidentify(&self, number: u64) -> bool {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(client) = inner.clients.get(&number) else { return false };
        let models: Vec<ModelIndex> = client
            .subscriptions
            .values()
            .filter_map(|of| inner.windows.get(&of.window).map(|watched| watched.model))
            .collect();
        models.iter().for_each(|model| inner.mark_stale(number, *model));
        !models.is_empty()
    }

    /// Asks the rules of a client anew that may answer something else by now, and sends it what has become of its lists.
    pub(crate) async fn refresh(&self, log: &CommitLog, number: u64) {
        loop {
            let _reading = self.reading();
            let (sink, turn, models, subscribed) = {
                let inner = self.inner.lock();
                let Some(client) = inner.clients.get(&number) else { return };
                let Some(sink) = client.sink.upgrade() else { return };
                if client.stale.is_empty() {
                    break;
                }
                let subscribed: Vec<(Arc<str>, Wanted)> = client
                    .subscriptions
                    .keys()
                    .filter_map(|name| Some((name.clone(), inner.by_name.get(name)?.wanted.clone())))
                    .filter(|(_, wanted)| client.stale.contains(&wanted.model))
                    .collect();
                (sink, client.turn, client.stale.clone(), subscribed)
            };
            let (scope, audience) = sink.asks();
            let mut answers: BTreeMap<ModelIndex, Result<Ruled>> = BTreeMap::new();
            for model in &models {
                answers.insert(*model, scope.ruled_outside(*model).await);
            }
            let mut moves = Vec::new();
            for (name, wanted) in subscribed {
                let moved = match answers.get(&wanted.model) {
                    Some(Ok(ruled)) => {
                        let (key, frame) = window_of(&name, &wanted, ruled.rights.as_ref(), audience);
                        self.prepare(log, wanted.model, &key, &frame).map(|prepared| ((key, frame), prepared))
                    }
                    Some(Err(error)) => {
                        Err(Error::new(error.code().clone()).message("it may not be followed any more"))
                    }
                    None => continue,
                };
                moves.push((name, wanted, moved));
            }
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            let Some(client) = inner.clients.get(&number) else { return };
            let holds = answers.values().all(|answer| answer.as_ref().map_or(true, |ruled| inner.still_holds(ruled)));
            if client.turn != turn || !holds {
                continue;
            }
            for (name, wanted, moved) in moves {
                let moved = moved.and_then(|(of, prepared)| inner.admit(log, wanted.model, of, prepared));
                match moved {
                    Ok(window) => inner.move_to(number, &name, window),
                    Err(error) => {
                        inner.detach(number, &name);
                        sink.ended(&name, &error);
                    }
                }
            }
            for (model, answer) in answers {
                inner.note_rule(number, model, answer.ok().and_then(|ruled| ruled.read).map(|(reads, _)| reads));
            }
            if let Some(client) = inner.clients.get_mut(&number) {
                client.stale.clear();
            }
            inner.catch_up(number);
        }
        let sink = self.inner.lock().clients.get(&number).and_then(|client| client.sink.upgrade());
        if let Some(sink) = sink {
            sink.refreshed();
        }
    }

    /// Sends a client that was behind, and takes something again, what has become of its lists.
    pub(crate) fn catch_up(&self, number: u64) {
        self.inner.lock().catch_up(number);
    }
}

/// What a window is known by, and what it shows.
fn window_of(name: &Arc<str>, wanted: &Wanted, rights: Option<&Rights>, audience: Audience) -> (WindowKey, Frame) {
    let query = &wanted.query;
    let (filter, rule) = match rights {
        None => (query.filter.clone(), String::new()),
        Some(rights) => {
            let filter = rights.joined(&[Right::Read], &query.filter);
            let rule = canonical(&filter);
            (filter, rule)
        }
    };
    let frame = Frame { filter, sort: query.sort.clone(), skip: query.skip, limit: query.page_size() };
    (WindowKey { name: name.clone(), rule, audience }, frame)
}

/// The changes of one model, in order.
fn of_model(commits: &[Arc<Commit>], model: ModelIndex) -> Vec<&Change> {
    commits.iter().flat_map(|commit| &commit.changes).filter(|change| change.model == model).collect()
}

fn held_of(places: &[Place]) -> Arc<[(RawId, u64)]> {
    places.iter().map(|place| (place.doc.id().clone(), place.doc.rev())).collect()
}

impl Inner {
    /// What a query is called.
    fn name(&mut self, wanted: &Wanted) -> Arc<str> {
        let query = &wanted.query;
        let key = format!(
            "{} {} {} {} {}",
            wanted.model,
            query.skip,
            query.page_size(),
            query.sort.to_json(),
            canonical(&query.filter)
        );
        if let Some(name) = self.asked.get(&key) {
            return name.clone();
        }
        self.next += 1;
        let name: Arc<str> = format!("l{}", self.next).into();
        self.asked.insert(key.clone(), name.clone());
        self.by_name.insert(name.clone(), Asked { wanted: wanted.clone(), key, uses: 0 });
        name
    }

    /// Whether a rule would answer the same at the commit that was followed last.
    fn still_holds(&self, ruled: &Ruled) -> bool {
        let Some((reads, seq)) = &ruled.read else { return true };
        *seq >= self.floor
            && !self.recent.iter().filter(|commit| commit.seq > *seq).any(|commit| reads.changed_by(commit))
    }

    /// The window of that key, which may have been read a while ago.
    fn admit(
        &mut self,
        heads: &dyn Heads,
        model: ModelIndex,
        (key, frame): (WindowKey, Frame),
        prepared: Option<Prepared>,
    ) -> Result<u64> {
        if let Some(window) = self.by_key.get(&key) {
            return Ok(*window);
        }
        let head = self.head;
        let reload = || {
            let (state, ahead) = heads.ahead(head);
            let collection = state.collection(model).ok_or_else(|| Error::internal("unknown model"))?;
            Window::load(&frame, collection, &of_model(&ahead, model))
        };
        let window = match prepared {
            Some(Prepared { mut window, seq }) if seq >= self.floor => {
                let mut known = true;
                for commit in self.recent.iter().filter(|commit| commit.seq > seq) {
                    let changes: Vec<&Change> = commit.changes.iter().filter(|change| change.model == model).collect();
                    known &= changes.is_empty() || !matches!(window.follow(&changes)?, Moved::Lost(_));
                }
                if known { window } else { reload()? }
            }
            _ => reload()?,
        };
        self.next += 1;
        let number = self.next;
        self.interests.entry(model).or_default().add(Token::Window(number), &window.frame.filter);
        self.by_key.insert(key.clone(), number);
        self.windows.insert(number, Watched { window, model, key, watchers: Vec::new() });
        Ok(number)
    }

    /// Lets a client watch a window.
    fn attach(
        &mut self,
        (number, sink): (u64, &Arc<dyn LiveSink>),
        wanted: &Wanted,
        window: u64,
        ruled: Ruled,
    ) -> Result<()> {
        let watched = self.windows.get_mut(&window).ok_or_else(|| Error::internal("a window is gone"))?;
        let name = watched.key.name.clone();
        let client = self.clients.entry(number).or_insert_with(|| Client {
            sink: Arc::downgrade(sink),
            subscriptions: BTreeMap::new(),
            rules: BTreeMap::new(),
            behind: false,
            stale: BTreeSet::new(),
            turn: 0,
        });
        let held = client.behind.then(|| held_of(watched.window.seen()));
        if client.subscriptions.contains_key(&name) {
            // Twice the same query is one subscription, which goes on.
            self.move_to(number, &name, window);
            if let Some(of) = self.clients.get_mut(&number).and_then(|client| client.subscriptions.get_mut(&name)) {
                (of.held, of.afresh) = (held, false);
            }
        } else {
            watched.watchers.push(number);
            client.subscriptions.insert(name.clone(), Subscribed { window, held, afresh: false });
            if let Some(asked) = self.by_name.get_mut(&name) {
                asked.uses += 1;
            }
        }
        self.note_rule(number, wanted.model, ruled.read.map(|(reads, _)| reads));
        Ok(())
    }

    /// Lets a client watch another window of the same query.
    fn move_to(&mut self, number: u64, name: &Arc<str>, window: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let Some(subscribed) = client.subscriptions.get_mut(name) else { return };
        let old = std::mem::replace(&mut subscribed.window, window);
        if old == window {
            return;
        }
        let of = |windows: &HashMap<u64, Watched>, window| {
            windows.get(&window).map(|watched: &Watched| watched.key.audience)
        };
        subscribed.afresh |= of(&self.windows, old) != of(&self.windows, window);
        if let Some(watched) = self.windows.get_mut(&window) {
            watched.watchers.push(number);
        }
        self.unwatch(old, number);
    }

    fn unwatch(&mut self, window: u64, number: u64) {
        let Some(watched) = self.windows.get_mut(&window) else { return };
        watched.watchers.retain(|watcher| *watcher != number);
        if !watched.watchers.is_empty() {
            return;
        }
        if let Some(watched) = self.windows.remove(&window) {
            self.by_key.remove(&watched.key);
            self.lose_interest(watched.model, Token::Window(window));
        }
    }

    fn lose_interest(&mut self, model: ModelIndex, token: Token) {
        if let Some(interests) = self.interests.get_mut(&model) {
            interests.remove(token);
            if interests.is_empty() {
                self.interests.remove(&model);
            }
        }
    }

    /// Ends a subscription. Whether there was one.
    fn detach(&mut self, number: u64, name: &str) -> bool {
        let Some(client) = self.clients.get_mut(&number) else { return false };
        let Some(subscribed) = client.subscriptions.remove(name) else { return false };
        let is_last = client.subscriptions.is_empty();
        self.unwatch(subscribed.window, number);
        self.unuse(name);
        if is_last {
            self.forget(number);
        }
        true
    }

    fn unuse(&mut self, name: &str) {
        let Some(asked) = self.by_name.get_mut(name) else { return };
        asked.uses = asked.uses.saturating_sub(1);
        if asked.uses == 0
            && let Some(asked) = self.by_name.remove(name)
        {
            self.asked.remove(&asked.key);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(client) = self.clients.remove(&number) else { return };
        for (name, subscribed) in client.subscriptions {
            self.unwatch(subscribed.window, number);
            self.unuse(&name);
        }
        for model in client.rules.into_keys() {
            // What a rule has read may be of other models.
            self.forget_rule(number, model);
        }
    }

    fn forget_rule(&mut self, number: u64, model: ModelIndex) {
        let token = Token::Rule(number, model);
        let read: Vec<ModelIndex> = self.interests.keys().copied().collect();
        read.into_iter().for_each(|of| self.lose_interest(of, token));
    }

    /// Watches what a rule has read.
    fn note_rule(&mut self, number: u64, model: ModelIndex, reads: Option<Reads>) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.rules.remove(&model).is_some() {
            self.forget_rule(number, model);
        }
        let Some(reads) = reads else { return };
        let token = Token::Rule(number, model);
        for (of, id) in &reads.ids {
            self.interests.entry(*of).or_default().add_id(token, id);
        }
        for (of, filter) in &reads.filters {
            self.interests.entry(*of).or_default().add(token, filter);
        }
        for ((of, field), keys) in &reads.keys {
            self.interests.entry(*of).or_default().add_keys(token, field, keys.iter().cloned());
        }
        if let Some(client) = self.clients.get_mut(&number) {
            client.rules.insert(model, reads);
        }
    }

    /// From here on a client is sent nothing; what it holds is what it was sent last.
    fn pause(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if std::mem::replace(&mut client.behind, true) {
            return;
        }
        for subscribed in client.subscriptions.values_mut() {
            subscribed.held = self.windows.get(&subscribed.window).map(|watched| held_of(watched.window.seen()));
        }
    }

    fn mark_stale(&mut self, number: u64, model: ModelIndex) {
        self.pause(number);
        let Some(client) = self.clients.get_mut(&number) else { return };
        let is_first = client.stale.is_empty();
        client.stale.insert(model);
        client.turn += 1;
        if is_first && let Some(sink) = client.sink.upgrade() {
            sink.stale();
        }
    }

    fn catch_up(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let Some(sink) = client.sink.upgrade() else { return };
        if !client.behind || !client.stale.is_empty() || !sink.is_open() {
            return;
        }
        let texts = Arc::default();
        let mut parts = Vec::new();
        let mut flow = Flow::Open;
        for (name, subscribed) in &mut client.subscriptions {
            let Some(watched) = self.windows.get(&subscribed.window) else { continue };
            let seen = watched.window.seen();
            if std::mem::take(&mut subscribed.afresh) {
                flow = sink.reset(name, self.head, &Listing { places: seen, audience: watched.key.audience });
            } else if let Some(held) = &subscribed.held {
                let steps = difference_from(held, seen);
                if !steps.is_empty() {
                    parts.push(Part { name: name.clone(), delta: Delta::new(steps, watched.key.audience, &texts, 1) });
                }
            }
        }
        client.behind = false;
        client.subscriptions.values_mut().for_each(|subscribed| subscribed.held = None);
        if !parts.is_empty() {
            flow = sink.deliver(self.head, &parts);
        }
        if flow == Flow::Full {
            self.pause(number);
        }
    }

    fn remember(&mut self, commit: &Arc<Commit>) {
        self.recent_changes += commit.changes.len();
        self.recent.push_back(commit.clone());
        while self.recent_changes > MOST_RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_changes -= oldest.changes.len();
            self.floor = oldest.seq;
        }
    }

    fn follow(&mut self, heads: &dyn Heads, commit: &Arc<Commit>) {
        if commit.seq <= self.head {
            return;
        }
        self.head = commit.seq;
        if self.readers > 0 {
            self.remember(commit);
        }
        if self.interests.is_empty() {
            return;
        }
        let mut touched: BTreeMap<u64, Vec<&Change>> = BTreeMap::new();
        let mut rules: BTreeSet<(u64, ModelIndex)> = BTreeSet::new();
        for change in &commit.changes {
            let Some(interests) = self.interests.get(&change.model) else { continue };
            for doc in [&change.before, &change.after].into_iter().flatten() {
                interests.concerned(doc.as_ref(), &mut |token| match token {
                    Token::Window(window) => {
                        let changes = touched.entry(window).or_default();
                        if !changes.last().is_some_and(|last| std::ptr::eq(*last, change)) {
                            changes.push(change);
                        }
                    }
                    Token::Rule(client, model) => {
                        rules.insert((client, model));
                    }
                });
            }
        }
        // Before anything of this commit is sent, which may be what a right was lost to.
        for (number, model) in rules {
            let reads = self.clients.get(&number).and_then(|client| client.rules.get(&model));
            if reads.is_some_and(|reads| reads.changed_by(commit)) {
                self.mark_stale(number, model);
            }
        }
        let texts = Arc::default();
        let mut deltas: Vec<(u64, Arc<Delta>)> = Vec::new();
        let mut failed: Vec<(u64, Error)> = Vec::new();
        for (number, changes) in touched {
            let Some(watched) = self.windows.get_mut(&number) else { continue };
            match watched.follow(heads, commit.seq, &changes) {
                Ok(steps) if steps.is_empty() => {}
                Ok(steps) => {
                    let delta = Delta::new(steps, watched.key.audience, &texts, watched.watchers.len());
                    deltas.push((number, delta));
                }
                Err(error) => failed.push((number, error)),
            }
        }
        self.send(commit.seq, &deltas);
        for (window, error) in failed {
            self.end(window, &error);
        }
    }

    fn send(&mut self, seq: u64, deltas: &[(u64, Arc<Delta>)]) {
        let (mut full, mut gone) = (Vec::new(), Vec::new());
        let mut deliver = |number: u64, client: &Client, parts: &[Part]| match client.sink.upgrade() {
            _ if client.behind => {}
            None => gone.push(number),
            Some(sink) => {
                if sink.deliver(seq, parts) == Flow::Full {
                    full.push(number);
                }
            }
        };
        if let [(window, delta)] = deltas {
            let Some(watched) = self.windows.get(window) else { return };
            let part = [Part { name: watched.key.name.clone(), delta: delta.clone() }];
            for number in &watched.watchers {
                if let Some(client) = self.clients.get(number) {
                    deliver(*number, client, &part);
                }
            }
        } else {
            let mut parts: BTreeMap<u64, Vec<Part>> = BTreeMap::new();
            for (window, delta) in deltas {
                let Some(watched) = self.windows.get(window) else { continue };
                for number in &watched.watchers {
                    let part = Part { name: watched.key.name.clone(), delta: delta.clone() };
                    parts.entry(*number).or_default().push(part);
                }
            }
            for (number, parts) in parts {
                if let Some(client) = self.clients.get(&number) {
                    deliver(number, client, &parts);
                }
            }
        }
        full.into_iter().for_each(|number| self.pause(number));
        gone.into_iter().for_each(|number| self.forget(number));
    }

    /// Ends all subscriptions of a window that cannot be followed any more.
    fn end(&mut self, window: u64, error: &Error) {
        let Some(watched) = self.windows.get(&window) else { return };
        let (name, watchers) = (watched.key.name.clone(), watched.watchers.clone());
        for number in watchers {
            let sink = self.clients.get(&number).and_then(|client| client.sink.upgrade());
            self.detach(number, &name);
            if let Some(sink) = sink {
                sink.ended(&name, error);
            }
        }
    }
}

impl Watched {
    fn follow(&mut self, heads: &dyn Heads, seq: u64, changes: &[&Change]) -> Result<Vec<Step>> {
        match self.window.follow(changes)? {
            Moved::Nothing => Ok(Vec::new()),
            Moved::By(steps) => Ok(steps),
            Moved::Lost(before) => {
                let (state, ahead) = heads.ahead(seq);
                let collection = state.collection(self.model).ok_or_else(|| Error::internal("unknown model"))?;
                self.window = Window::load(&self.window.frame, collection, &of_model(&ahead, self.model))?;
                Ok(difference(&before, self.window.seen()))
            }
        }
    }
}

impl Follower for Lives {
    fn committed(&self, commits: &[Arc<Commit>], heads: &dyn Heads) {
        let mut inner = self.inner.lock();
        for commit in commits {
            inner.follow(heads, commit);
        }
    }
}
