//! A log in memory, and one that misbehaves on purpose.
//!
//! [`Memory`] keeps what [`Storage`] promises for as long as one of its clones lives. Its second use is to be the worst
//! engine there can be: with [`Faults`] it fails, loses answers, lets another writer go first, forgets old groups and dies,
//! all of it decided by a seed, so that a test that fails can be run again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::{diverged, failure, nothing_follows};
use crate::core::storage::{Append, Entry, EntryKind, Group, Head, LoggedGroup, Opened, Storage, StoredDocument, Tail};
use crate::error::Result;

/// Groups that the log keeps unless [`Memory::window`] says otherwise.
const WINDOW_GROUPS: usize = 10_000;

/// Bytes of logged text above which old groups are dropped even if there are fewer of them: the window serves followers
/// that fell behind for a moment, and must not become a second copy of the data.
const WINDOW_BYTES: usize = 64 << 20;

/// A log in memory. Clones share the store, so a test "restarts" an application by giving a clone to a new one.
///
/// ```
/// use modeller::storage::{Append, Entry, EntryKind, Group, Head, Memory, Storage};
/// # fn main() -> modeller::Result<()> {
/// let memory = Memory::new();
/// let kind = EntryKind::Epoch { number: 1, schemas: "{}".into() };
/// let group = Group { id: uuid::Uuid::from_u128(1), entries: vec![Entry { seq: 1, at: 0, kind }] };
/// let Append::Appended(head) = memory.append(&Head::default(), &group)? else { unreachable!() };
///
/// let opened = memory.clone().open(&mut |_| Ok(()))?;
/// assert_eq!((opened.head, opened.schemas.as_deref()), (head, Some("{}")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Memory {
    store: Arc<Mutex<Store>>,
    /// `None` for a well-behaved engine. Apart from the store, because what dies is a process, not the data.
    faults: Option<Arc<Mutex<Faults>>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { store: Arc::default(), faults: None }
    }

    /// An empty store that misbehaves. It also records every group for good, see [`Memory::history`].
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        let store = Store { recorded: Some(Vec::new()), ..Store::default() };
        Self { store: Arc::new(Mutex::new(store)), faults: Some(Arc::new(Mutex::new(faults))) }
    }

    /// The same store with a log of at most this many groups; the last one is always kept. 10,000 unless set, and never more
    /// than 64 MiB of text.
    #[must_use]
    pub fn window(self, groups: usize) -> Self {
        {
            let mut store = self.store.lock();
            store.window = groups.max(1);
            store.trim();
        }
        self
    }

    /// A new process over the same store: what was durable is there, faults and a crash are not.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { store: Arc::clone(&self.store), faults: None }
    }

    /// A new process over the same store, which misbehaves in its own way.
    #[must_use]
    pub fn reopen_with(&self, faults: Faults) -> Self {
        let mut store = self.store.lock();
        if store.recorded.is_none() {
            let so_far = store.log.iter().map(|kept| kept.group.clone()).collect();
            store.recorded = Some(so_far);
        }
        drop(store);
        Self { store: Arc::clone(&self.store), faults: Some(Arc::new(Mutex::new(faults))) }
    }

    /// Every group that was ever appended, by whichever writer; without faults, as far back as the log reaches.
    #[must_use]
    pub fn history(&self) -> Vec<LoggedGroup> {
        let store = self.store.lock();
        match &store.recorded {
            Some(all) => all.clone(),
            None => store.log.iter().map(|kept| kept.group.clone()).collect(),
        }
    }

    /// How many faults this process has met, so that a test can tell that it tested something.
    #[must_use]
    pub fn faults_met(&self) -> u64 {
        self.faults.as_ref().map_or(0, |faults| faults.lock().met)
    }

    /// Ends this process, where it has faults to meet: every call from here on is refused.
    pub fn crash(&self) {
        if let Some(faults) = &self.faults {
            faults.lock().dead = true;
        }
    }

    /// Refuses every call of a process that has crashed.
    fn alive(&self) -> Result<()> {
        match &self.faults {
            Some(faults) if faults.lock().dead => Err(dead()),
            _ => Ok(()),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("head", &self.store.lock().head).finish_non_exhaustive()
    }
}

impl Storage for Memory {
    fn open(&self, load: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened> {
        self.alive()?;
        let store = self.store.lock();
        for (model, documents) in &store.documents {
            for (id, kept) in documents {
                load(StoredDocument { model, id, rev: kept.rev, doc: &kept.doc })?;
            }
        }
        Ok(Opened { head: store.head, schemas: store.schemas.clone() })
    }

    fn append(&self, head: &Head, group: &Group) -> Result<Append> {
        let Some(faults) = &self.faults else {
            return self.store.lock().append(head, group);
        };
        let mut faults = faults.lock();
        let mut store = self.store.lock();
        match faults.before_append(&mut store, group)? {
            Fate::Fine => {}
            Fate::RequestLost => return Ok(Append::Unknown(group.id)),
            Fate::AnswerLost => {
                store.append(head, group)?;
                return Ok(Append::Unknown(group.id));
            }
            Fate::DiesBeforeAnswer => {
                store.append(head, group)?;
                return Err(dead());
            }
        }
        store.append(head, group)
    }

    fn find(&self, group: Uuid) -> Result<Option<Head>> {
        self.alive()?;
        if let Some(faults) = &self.faults {
            let mut faults = faults.lock();
            let chance = faults.find_fails;
            if faults.happens(chance) {
                return Err(failure("UNAVAILABLE", "the engine cannot tell now (a fault that was asked for)"));
            }
        }
        Ok(self.store.lock().ids.get(&group).copied())
    }

    fn tail(&self, after: u64) -> Result<Tail> {
        self.alive()?;
        self.store.lock().tail(after)
    }

    fn forget(&self, until: u64) -> Result<()> {
        self.alive()?;
        let mut store = self.store.lock();
        if store.head.seq <= until {
            return Err(nothing_follows(until));
        }
        while store.log.front().is_some_and(|oldest| oldest.group.head.seq <= until) {
            if let Some(id) = store.forget() {
                store.ids.remove(&id);
            }
        }
        Ok(())
    }

    fn is_instant(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        match &self.faults {
            None => "memory".into(),
            Some(faults) => format!("memory, with faults of seed {}", faults.lock().seed),
        }
    }
}

fn dead() -> crate::Error {
    failure("STORAGE_FAILED", "the process has crashed (a fault that was asked for)")
}

/// What survives a process.
struct Store {
    head: Head,
    schemas: Option<String>,
    /// Model to id to version. Boxed text: one word less for each of what may be millions.
    documents: HashMap<Box<str>, HashMap<Box<str>, Kept>>,
    log: VecDeque<Logged>,
    bytes: usize,
    window: usize,
    /// Group id to the head after it: of the window, and of what a fault cut off before its time. Without the latter, an
    /// `Unknown` followed by a truncation would be answered "not written", which no engine may say of a group that was.
    ids: HashMap<Uuid, Head>,
    cut: VecDeque<Uuid>,
    recorded: Option<Vec<LoggedGroup>>,
}

struct Kept {
    rev: u64,
    doc: Box<str>,
}

struct Logged {
    group: LoggedGroup,
    /// Length of its text.
    bytes: usize,
    before: Head,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            head: Head::default(),
            schemas: None,
            documents: HashMap::new(),
            log: VecDeque::new(),
            bytes: 0,
            window: WINDOW_GROUPS,
            ids: HashMap::new(),
            cut: VecDeque::new(),
            recorded: None,
        }
    }
}

impl Store {
    fn append(&mut self, head: &Head, group: &Group) -> Result<Append> {
        group.check(head)?;
        if self.head != *head {
            return self.behind(head);
        }
        if self.ids.contains_key(&group.id) {
            return Err(failure("STORAGE_GROUP", "the log has a group of this id").status(500));
        }
        let body = group.body()?;
        let next = group.head_after(head, body.as_bytes());
        for entry in &group.entries {
            self.apply(&entry.kind);
        }
        let group = LoggedGroup { group: group.clone(), head: next };
        if let Some(recorded) = &mut self.recorded {
            recorded.push(group.clone());
        }
        self.ids.insert(group.group.id, next);
        self.log.push_back(Logged { group, bytes: body.len(), before: *head });
        self.bytes += body.len();
        self.head = next;
        self.trim();
        Ok(Append::Appended(next))
    }

    fn apply(&mut self, kind: &EntryKind) {
        let changes = match kind {
            EntryKind::Commit { changes, .. } => changes,
            EntryKind::Epoch { schemas, .. } => {
                self.schemas = Some(schemas.clone());
                return;
            }
        };
        for change in changes {
            match &change.doc {
                Some(doc) => {
                    let kept = Kept { rev: change.rev, doc: doc.as_str().into() };
                    match self.documents.get_mut(change.model.as_str()) {
                        Some(documents) => match documents.get_mut(change.id.as_str()) {
                            Some(old) => *old = kept,
                            None => drop(documents.insert(change.id.as_str().into(), kept)),
                        },
                        None => {
                            let documents = HashMap::from([(change.id.as_str().into(), kept)]);
                            self.documents.insert(change.model.as_str().into(), documents);
                        }
                    }
                }
                None => {
                    if let Some(documents) = self.documents.get_mut(change.model.as_str()) {
                        documents.remove(change.id.as_str());
                    }
                }
            }
        }
    }

    fn behind(&self, caller: &Head) -> Result<Append> {
        // The group that follows the caller's position knows the hash of that position.
        match self.after(caller.seq) {
            Some(at) if self.log.get(at).is_some_and(|next| next.before == *caller) => {
                Ok(Append::Behind(self.log.range(at..).map(|kept| kept.group.clone()).collect()))
            }
            None if caller.seq < self.reaches_back_to() => Ok(Append::Truncated),
            _ => Err(diverged(caller.seq, self.head.seq)),
        }
    }

    fn tail(&self, after: u64) -> Result<Tail> {
        if after == self.head.seq {
            return Ok(Tail::Groups(Vec::new()));
        }
        match self.after(after) {
            Some(at) => Ok(Tail::Groups(self.log.range(at..).map(|kept| kept.group.clone()).collect())),
            None if after < self.reaches_back_to() => Ok(Tail::Truncated),
            None => Err(diverged(after, self.head.seq)),
        }
    }

    /// Where in the log the group is that follows this sequence number.
    fn after(&self, seq: u64) -> Option<usize> {
        self.log.binary_search_by_key(&seq, |kept| kept.before.seq).ok()
    }

    /// The earliest position that the log can go on from.
    fn reaches_back_to(&self) -> u64 {
        self.log.front().map_or(0, |kept| kept.before.seq)
    }

    fn trim(&mut self) {
        while self.log.len() > 1 && (self.log.len() > self.window || self.bytes > WINDOW_BYTES) {
            if let Some(id) = self.forget() {
                self.ids.remove(&id);
            }
        }
        while self.cut.len() > self.window {
            if let Some(id) = self.cut.pop_front() {
                self.ids.remove(&id);
            }
        }
    }

    /// Drops the oldest group of the log, and answers its id.
    fn forget(&mut self) -> Option<Uuid> {
        let oldest = self.log.pop_front()?;
        self.bytes -= oldest.bytes;
        Some(oldest.group.group.id)
    }
}

/// Another writer: given the head, and a look at the documents by model and id, it may say what it commits now.
type Writer = Box<dyn FnMut(&Head, Look<'_>) -> Option<Vec<EntryKind>> + Send>;

/// Finds a document by model and id: its revision and its text.
pub type Look<'a> = &'a dyn Fn(&str, &str) -> Option<(u64, String)>;

/// What goes wrong with a [`Memory`], and when. Equal faults meet equal calls in equal ways.
///
/// Probabilities are between 0 and 1; calls of `append` are counted from 1. Faults combine.
///
/// ```
/// use modeller::storage::{Faults, Memory, Storage};
/// let memory = Memory::with_faults(Faults::seeded(7).lose_answers(0.2).crash_after(100));
/// assert_eq!(memory.describe(), "memory, with faults of seed 7");
/// ```
pub struct Faults {
    seed: u64,
    state: u64,
    calls: u64,
    met: u64,
    dead: bool,
    fail_at: BTreeSet<u64>,
    request_lost_at: BTreeSet<u64>,
    answer_lost_at: BTreeSet<u64>,
    request_lost: f64,
    answer_lost: f64,
    find_fails: f64,
    truncate: f64,
    crash_after: Option<u64>,
    crash_during: Option<u64>,
    writer: Option<Writer>,
}

/// How an append is to end.
enum Fate {
    Fine,
    RequestLost,
    AnswerLost,
    DiesBeforeAnswer,
}

impl Faults {
    /// No faults yet; the seed decides all that is left to chance.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            state: seed,
            calls: 0,
            met: 0,
            dead: false,
            fail_at: BTreeSet::new(),
            request_lost_at: BTreeSet::new(),
            answer_lost_at: BTreeSet::new(),
            request_lost: 0.0,
            answer_lost: 0.0,
            find_fails: 0.0,
            truncate: 0.0,
            crash_after: None,
            crash_during: None,
            writer: None,
        }
    }

    /// The n-th append answers an error and writes nothing. May be said more than once.
    #[must_use]
    pub fn fail_append(mut self, nth: u64) -> Self {
        self.fail_at.insert(nth);
        self
    }

    /// The n-th append never arrives: nothing is written, and the answer is [`Append::Unknown`]. May be said more than once.
    ///
    /// ```
    /// use modeller::storage::{Append, Entry, EntryKind, Faults, Group, Head, Memory, Storage};
    /// # fn main() -> modeller::Result<()> {
    /// let memory = Memory::with_faults(Faults::seeded(1).lose_request(1).lose_answer(2));
    /// let kind = EntryKind::Epoch { number: 1, schemas: "{}".into() };
    /// let group = Group { id: uuid::Uuid::from_u128(1), entries: vec![Entry { seq: 1, at: 0, kind }] };
    /// for is_there in [false, true] {
    ///     assert_eq!(memory.append(&Head::default(), &group)?, Append::Unknown(group.id));
    ///     assert_eq!(memory.find(group.id)?.is_some(), is_there);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn lose_request(mut self, nth: u64) -> Self {
        self.request_lost_at.insert(nth);
        self
    }

    /// The answer of the n-th append never arrives: it is done as ever, and the answer is [`Append::Unknown`]. May be said more
    /// than once.
    #[must_use]
    pub fn lose_answer(mut self, nth: u64) -> Self {
        self.answer_lost_at.insert(nth);
        self
    }

    /// Appends that never arrive: nothing is written, and the answer is [`Append::Unknown`].
    #[must_use]
    pub fn lose_requests(mut self, chance: f64) -> Self {
        self.request_lost = chance;
        self
    }

    /// Appends whose answer never arrives: they are done as ever, and the answer is [`Append::Unknown`].
    #[must_use]
    pub fn lose_answers(mut self, chance: f64) -> Self {
        self.answer_lost = chance;
        self
    }

    /// [`Storage::find`] answers an error, and has to be asked again.
    #[must_use]
    pub fn fail_find(mut self, chance: f64) -> Self {
        self.find_fails = chance;
        self
    }

    /// Before an append, all groups up to a random one (never the last) leave the log, so that followers must start from a
    /// snapshot.
    #[must_use]
    pub fn truncate(mut self, chance: f64) -> Self {
        self.truncate = chance;
        self
    }

    /// The n-th append is the last thing that works: after its answer every call errs, until [`Memory::reopen`].
    #[must_use]
    pub fn crash_after(mut self, nth: u64) -> Self {
        self.crash_after = Some(nth);
        self
    }

    /// The process dies in the n-th append, between the moment when the group is durable and the answer.
    #[must_use]
    pub fn crash_during(mut self, nth: u64) -> Self {
        self.crash_during = Some(nth);
        self
    }

    /// A second writer. It is asked before each append and may say what it commits first (sequence numbers and times are
    /// filled in); the append then finds itself behind. It must not call the engine.
    ///
    /// ```
    /// use modeller::storage::{EntryKind, Faults, Memory, StoredChange};
    /// let mut left = 3;
    /// let memory = Memory::with_faults(Faults::seeded(1).second_writer(move |head, look| {
    ///     let (rev, _) = look("users", "ann")?;
    ///     left -= 1;
    ///     let rev = 1 + rev.max(head.seq);
    ///     let gone = StoredChange { model: "users".into(), id: "ann".into(), rev, doc: None };
    ///     (left >= 0).then(|| vec![EntryKind::Commit { changes: vec![gone], published: vec![] }])
    /// }));
    /// # let _ = memory;
    /// ```
    #[must_use]
    pub fn second_writer(
        mut self,
        writer: impl FnMut(&Head, Look<'_>) -> Option<Vec<EntryKind>> + Send + 'static,
    ) -> Self {
        self.writer = Some(Box::new(writer));
        self
    }

    fn before_append(&mut self, store: &mut Store, group: &Group) -> Result<Fate> {
        if self.dead {
            return Err(dead());
        }
        self.calls += 1;
        if self.fail_at.contains(&self.calls) {
            self.met += 1;
            return Err(failure("STORAGE_FAILED", "the append failed (a fault that was asked for)"));
        }
        if self.happens(self.truncate) && store.log.len() > 1 {
            let drop_to = self.below(store.log.len() as u64);
            for _ in 0..drop_to {
                if let Some(id) = store.forget() {
                    store.cut.push_back(id);
                }
            }
        }
        if let Some(writer) = &mut self.writer {
            let look = |model: &str, id: &str| {
                let kept = store.documents.get(model)?.get(id)?;
                Some((kept.rev, String::from(&*kept.doc)))
            };
            if let Some(kinds) = writer(&store.head, &look) {
                self.met += 1;
                let at = group.entries.first().map_or(0, |entry| entry.at);
                let entries = (store.head.seq + 1..).zip(kinds).map(|(seq, kind)| Entry { seq, at, kind }).collect();
                let id = Uuid::from_u64_pair(self.random(), self.random());
                let head = store.head;
                store.append(&head, &Group { id, entries })?;
            }
        }
        if self.crash_during == Some(self.calls) {
            self.met += 1;
            self.dead = true;
            return Ok(Fate::DiesBeforeAnswer);
        }
        if self.crash_after == Some(self.calls) {
            self.met += 1;
            self.dead = true;
        }
        let (request, answer) = (self.request_lost_at.contains(&self.calls), self.answer_lost_at.contains(&self.calls));
        self.met += u64::from(request || answer);
        if request || self.happens(self.request_lost) {
            return Ok(Fate::RequestLost);
        }
        if answer || self.happens(self.answer_lost) {
            return Ok(Fate::AnswerLost);
        }
        Ok(Fate::Fine)
    }

    fn happens(&mut self, chance: f64) -> bool {
        if chance <= 0.0 {
            return false;
        }
        // The upper 53 bits are what a double holds.
        let happens = ((self.random() >> 11) as f64) < chance * (1u64 << 53) as f64;
        self.met += u64::from(happens);
        happens
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound.max(1)
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("seed", &self.seed).field("met", &self.met).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::core::storage::StoredChange;

    fn put(id: &str, rev: u64) -> EntryKind {
        let change =
            StoredChange { model: "users".into(), id: id.into(), rev, doc: Some(format!("{{\"rev\":{rev}}}")) };
        EntryKind::Commit { changes: vec![change], published: vec![] }
    }

    fn group(head: &Head, id: u128, kind: EntryKind) -> Group {
        Group { id: Uuid::from_u128(id), entries: vec![Entry { seq: head.seq + 1, at: 5, kind }] }
    }

    /// What a committer does with each answer, until the group is in the log.
    fn persist(memory: &Memory, head: &mut Head, id: u128, asked: &mut u32) {
        loop {
            let group = group(head, id, put("a", 1 + head.seq));
            *asked += 1;
            match memory.append(head, &group).unwrap() {
                Append::Truncated => *head = memory.open(&mut |_| Ok(())).unwrap().head,
                Append::Appended(next) => return *head = next,
                Append::Behind(groups) => *head = groups.last().unwrap().head,
                Append::Unknown(id) => loop {
                    match memory.find(id) {
                        Ok(Some(next)) => return *head = next,
                        Ok(None) => break,
                        Err(_) => {}
                    }
                },
            }
        }
    }

    #[test]
    fn conforms() {
        super::super::conformance::run(&|| {
            let memory = Memory::new();
            Box::new(move || Box::new(memory.clone()))
        });
    }

    #[test]
    fn the_window_is_bounded() {
        let memory = Memory::new().window(3);
        let mut head = Head::default();
        for id in 1..=5 {
            persist(&memory, &mut head, id, &mut 0);
        }
        assert_eq!(memory.tail(1).unwrap(), Tail::Truncated);
        let Tail::Groups(groups) = memory.tail(2).unwrap() else { panic!("2 is in reach") };
        assert_eq!(groups.iter().map(|group| group.head.seq).collect::<Vec<_>>(), [3, 4, 5]);
        let stale = memory.append(&Head::default(), &group(&Head::default(), 9, put("a", 1)));
        assert_eq!(stale.unwrap(), Append::Truncated);
        assert_eq!(memory.find(Uuid::from_u128(1)).unwrap(), None);
        assert_eq!(memory.history().len(), 3);
    }

    #[test]
    fn the_nth_append_fails_and_writes_nothing() {
        let memory = Memory::with_faults(Faults::seeded(1).fail_append(2));
        let mut head = Head::default();
        persist(&memory, &mut head, 1, &mut 0);
        let second = group(&head, 2, put("b", 2));
        assert!(memory.append(&head, &second).is_err());
        assert_eq!(memory.find(second.id).unwrap(), None);
        assert!(matches!(memory.append(&head, &second).unwrap(), Append::Appended(_)));
        assert_eq!(memory.faults_met(), 1);
    }

    #[test]
    fn whatever_happens_each_group_is_there_once() {
        let run = |seed: u64| {
            let mut foreign = 0;
            let faults = Faults::seeded(seed).lose_requests(0.2).lose_answers(0.2).fail_find(0.3).truncate(0.2);
            let memory = Memory::with_faults(faults.second_writer(move |head, look| {
                foreign += 1;
                let (rev, _) = look("users", "a")?;
                (foreign % 3 == 0).then(|| vec![put("foreign", 1 + head.seq), put("a", rev + 1)])
            }));
            let (mut head, mut asked) = (Head::default(), 0);
            for id in 1..=200 {
                persist(&memory, &mut head, id, &mut asked);
            }
            assert!(asked > 250, "{asked}");
            (memory.history(), memory.faults_met(), memory)
        };
        for seed in 0..20 {
            let (history, met, memory) = run(seed);
            assert_eq!((&history, met), (&run(seed).0, run(seed).1), "seed {seed} is not deterministic");
            let own: Vec<u128> = history.iter().map(|one| one.group.id.as_u128()).filter(|id| *id <= 200).collect();
            assert_eq!(own, (1..=200).collect::<Vec<_>>(), "seed {seed}");
            let mut head = Head::default();
            for one in &history {
                head = one.group.head_after(&head, one.group.body().unwrap().as_bytes());
                assert_eq!(head, one.head);
                assert_eq!(memory.reopen().find(one.group.id).unwrap(), Some(head));
            }
            assert_eq!(memory.reopen().open(&mut |_| Ok(())).unwrap().head, head);
        }
    }

    #[test]
    fn after_a_crash_only_a_new_process_goes_on() {
        for (faults, answered) in [(Faults::seeded(3).crash_after(2), true), (Faults::seeded(3).crash_during(2), false)]
        {
            let memory = Memory::with_faults(faults);
            let mut head = Head::default();
            persist(&memory, &mut head, 1, &mut 0);
            let second = group(&head, 2, put("b", 2));
            assert_eq!(memory.append(&head, &second).is_ok(), answered);
            assert!(memory.append(&head, &second).is_err());
            assert!(memory.clone().open(&mut |_| Ok(())).is_err());
            assert!(memory.find(second.id).is_err() && memory.tail(0).is_err());
            let next = memory.reopen();
            let mut documents = 0;
            let opened = next.open(&mut |_| {
                documents += 1;
                Ok(())
            });
            assert_eq!((opened.unwrap().head.seq, documents), (2, 2));
            assert!(next.find(second.id).unwrap().is_some());
        }
    }
}
