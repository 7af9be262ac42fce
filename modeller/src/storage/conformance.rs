//! What every engine must do, as one suite.
//!
//! The contract of [`Storage`] is prose; this is the same contract as a program. The suite keeps a model of what the store
//! should hold, computes the head of each group itself, and compares after every step and after every reopening: what an
//! engine answers about itself is never taken for granted.
//!
//! ```
//! use modeller::storage::{Memory, conformance};
//! conformance::run(&|| {
//!     let memory = Memory::new();
//!     Box::new(move || Box::new(memory.clone()))
//! });
//! ```
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "the suite is a test: it says by a panic what an engine does wrong"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use uuid::Uuid;

use crate::core::storage::{
    Append, Entry, EntryKind, Group, Head, LoggedGroup, Storage, StoredChange, StoredPublish, Tail,
};
use crate::error::Error;

/// Gives an engine over one store, each time it is called. The one before was dropped by then.
pub type Reopen = Box<dyn Fn() -> Box<dyn Storage>>;

type Case = fn(&Reopen);

/// Runs the whole suite. `fresh` makes a new, empty store, whose log keeps at least 300 groups.
///
/// # Panics
/// When the engine breaks the contract; the message says where.
pub fn run(fresh: &dyn Fn() -> Reopen) {
    let cases: [(&str, Case); 16] = [
        ("an empty store", empty),
        ("what was appended is there after reopening", reopening),
        ("changes, deletes and re-inserts of one document", one_document),
        ("a stale head", stale_head),
        ("a position that is not in the log", unknown_position),
        ("groups that do not follow on", broken_groups),
        ("finding groups", finding),
        ("the tail from every position", tails),
        ("epochs and published payloads", epochs),
        ("odd ids and bodies", odd_text),
        ("models whose ids differ in case only", odd_models),
        ("large documents and revisions", large),
        ("an error while loading", load_error),
        ("forgetting", forgetting),
        ("random histories", random_history),
        ("several callers at once", several_callers),
    ];
    for (name, case) in cases {
        let reopen = fresh();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&reopen)));
        if let Err(cause) = outcome {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
            panic!("the engine breaks the contract in the case of {name}: {text}");
        }
    }
}

/// The store as it should be.
#[derive(Default)]
struct Model {
    head: Head,
    schemas: Option<String>,
    documents: BTreeMap<(String, String), (u64, String)>,
    /// The groups after `forgotten`.
    log: Vec<LoggedGroup>,
    forgotten: u64,
}

impl Model {
    /// The next group with these entries; its id depends on the position only, so that hashes can be compared.
    fn group(&self, kinds: Vec<EntryKind>) -> Group {
        let first = self.head.seq + 1;
        let entries =
            (first..).zip(kinds).map(|(seq, kind)| Entry { seq, at: 1_700_000_000_000 + seq, kind }).collect();
        Group { id: Uuid::from_u128(u128::from(first) << 64 | 0xabcd), entries }
    }

    /// Takes over a group that is in the log.
    fn follow(&mut self, group: Group) -> Head {
        let body = group.body().expect("a group has a text");
        self.head = group.head_after(&self.head, body.as_bytes());
        for entry in &group.entries {
            match &entry.kind {
                EntryKind::Epoch { schemas, .. } => self.schemas = Some(schemas.clone()),
                EntryKind::Commit { changes, .. } => {
                    for change in changes {
                        let key = (change.model.clone(), change.id.clone());
                        match &change.doc {
                            Some(doc) => drop(self.documents.insert(key, (change.rev, doc.clone()))),
                            None => drop(self.documents.remove(&key)),
                        }
                    }
                }
            }
        }
        self.log.push(LoggedGroup { group, head: self.head });
        self.head
    }

    /// Appends, and insists that it succeeds with the head that the contract demands.
    fn append(&mut self, engine: &dyn Storage, kinds: Vec<EntryKind>) {
        let before = self.head;
        let group = self.group(kinds);
        let answer = engine.append(&before, &group).expect("append");
        let expected = Append::Appended(self.follow(group));
        assert_eq!(answer, expected, "the answer to an append at {before:?}");
    }

    /// Compares all that the engine can tell with what it should hold.
    fn compare(&self, engine: &dyn Storage) {
        let mut documents = BTreeMap::new();
        let opened = engine.open(&mut |one| {
            let twice = documents.insert((one.model.to_owned(), one.id.to_owned()), (one.rev, one.doc.to_owned()));
            assert!(twice.is_none(), "`{}` of `{}` is handed out twice", one.id, one.model);
            Ok(())
        });
        let opened = opened.expect("open");
        assert_eq!(opened.head, self.head, "the head when opened");
        assert_eq!(opened.schemas, self.schemas, "the schemas when opened");
        assert!(documents.keys().eq(self.documents.keys()), "the ids of the documents when opened");
        for (key, expected) in &self.documents {
            assert!(documents.get(key) == Some(expected), "the document {key:?} is not what was appended");
        }
        assert!(self.tail(engine, self.forgotten) == self.log, "the log from its start is not what was appended");
        for after in 0..self.forgotten {
            assert_eq!(
                engine.tail(after).expect("tail"),
                Tail::Truncated,
                "the tail after {after}, which is forgotten"
            );
        }
    }

    fn tail(&self, engine: &dyn Storage, after: u64) -> Vec<LoggedGroup> {
        match engine.tail(after).expect("tail") {
            Tail::Groups(groups) => groups,
            Tail::Truncated => panic!("the log is cut off after {after}, and holds {} groups only", self.log.len()),
        }
    }
}

/// Opens an engine and compares; whoever opens must be told all.
fn opened(reopen: &Reopen, model: &Model) -> Box<dyn Storage> {
    let engine = reopen();
    model.compare(&*engine);
    engine
}

fn put(model: &str, id: &str, rev: u64, doc: impl Into<String>) -> StoredChange {
    StoredChange { model: model.into(), id: id.into(), rev, doc: Some(doc.into()) }
}

fn delete(model: &str, id: &str, rev: u64) -> StoredChange {
    StoredChange { model: model.into(), id: id.into(), rev, doc: None }
}

fn commit(changes: Vec<StoredChange>) -> EntryKind {
    EntryKind::Commit { changes, published: Vec::new() }
}

fn empty(reopen: &Reopen) {
    let model = Model::default();
    for _ in 0..2 {
        let engine = opened(reopen, &model);
        assert_eq!(engine.tail(0).expect("tail"), Tail::Groups(Vec::new()));
        assert_eq!(engine.find(Uuid::from_u128(1)).expect("find"), None);
        assert!(!engine.describe().is_empty(), "an engine has something to say of itself");
    }
}

fn reopening(reopen: &Reopen) {
    let mut model = Model::default();
    for round in 0..4u64 {
        let engine = opened(reopen, &model);
        for step in 0..5u64 {
            let rev = 1 + round * 5 + step;
            let changes = vec![
                put("users", &format!("u{rev}"), rev, format!(r#"{{"n":{rev}}}"#)),
                put("teams", "one", rev, format!(r#"{{"last":"u{rev}"}}"#)),
            ];
            model.append(&*engine, vec![commit(changes)]);
        }
        // An open engine can be asked again, e.g. by a follower that the log no longer reaches.
        model.compare(&*engine);
    }
    opened(reopen, &model);
}

fn one_document(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    let first = vec![
        commit(vec![put("users", "a", 1, r#"{"n":1}"#), put("users", "b", 1, "{}")]),
        commit(vec![put("users", "a", 2, r#"{"n":2}"#)]),
        commit(vec![delete("users", "b", 2), put("users", "a", 3, r#"{"n":3}"#)]),
    ];
    model.append(&*engine, first);
    model.append(&*engine, vec![commit(vec![delete("users", "a", 4)])]);
    model.append(&*engine, vec![commit(vec![put("users", "a", 6, r#"{"n":6}"#)])]);
    // Gone, back and changed within one group.
    let last = vec![
        commit(vec![delete("users", "a", 7)]),
        commit(vec![put("users", "a", 8, r#"{"n":8}"#)]),
        commit(vec![delete("users", "never", 1), delete("nothing", "of-it", 1)]),
        // A commit may be of payloads only, or of nothing at all.
        commit(vec![]),
    ];
    model.append(&*engine, last);
    model.compare(&*engine);
    drop(engine);
    opened(reopen, &model);
}

fn stale_head(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    for rev in 1..=6 {
        model.append(&*engine, vec![commit(vec![put("users", "a", rev, format!(r#"{{"n":{rev}}}"#))]), commit(vec![])]);
    }
    for missed in (0..model.log.len()).rev() {
        let mut past = Model::default();
        for logged in model.log.iter().take(missed) {
            past.follow(logged.group.clone());
        }
        let mut group = past.group(vec![commit(vec![put("users", "late", 99, "{}"), delete("users", "a", 99)])]);
        group.id = Uuid::from_u128(999);
        let answer = engine.append(&past.head, &group).expect("append at a stale head");
        let Append::Behind(groups) = answer else { panic!("a stale head was answered {answer:?}") };
        assert_eq!(groups, model.log[missed..], "the groups that the caller has missed");
        assert_eq!(engine.find(group.id).expect("find"), None, "a refused group is not in the log");
    }
    model.compare(&*engine);
    drop(engine);
    let engine = opened(reopen, &model);
    model.append(&*engine, vec![commit(vec![put("users", "a", 7, "{}")])]);
    drop(engine);
    opened(reopen, &model);
}

fn unknown_position(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    for rev in 1..=2 {
        model.append(&*engine, vec![commit(vec![put("users", "a", rev, "{}")]), commit(vec![])]);
    }
    let ahead = Head { seq: model.head.seq + 5, ..model.head };
    let other = Head { hash: [7; 32], ..model.head };
    let other_before = Head { hash: [7; 32], ..model.log[0].head };
    for head in [ahead, other, other_before] {
        let entry = Entry { seq: head.seq + 1, at: 0, kind: commit(vec![put("users", "fork", 1, "{}")]) };
        let answer = engine.append(&head, &Group { id: Uuid::from_u128(77), entries: vec![entry] });
        assert!(answer.is_err(), "an append after the foreign position {head:?} was answered {answer:?}");
    }
    assert!(engine.tail(model.head.seq + 1).is_err(), "a tail from beyond the head");
    assert!(engine.tail(1).is_err(), "a tail from within a group");
    model.compare(&*engine);
    drop(engine);
    opened(reopen, &model);
}

fn broken_groups(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    for round in 0..2u64 {
        let head = model.head;
        let entry = |seq: u64, kind: EntryKind| Entry { seq, at: 0, kind };
        let change = || commit(vec![put("users", "wrong", 1, "{}")]);
        let epoch = |number| EntryKind::Epoch { number, schemas: "{}".into() };
        let broken: Vec<Vec<Entry>> = vec![
            vec![],
            vec![entry(head.seq, change())],
            vec![entry(head.seq + 2, change())],
            vec![entry(head.seq + 1, change()), entry(head.seq + 1, change())],
            vec![entry(head.seq + 1, change()), entry(head.seq + 3, change())],
            vec![entry(head.seq + 1, change()), entry(head.seq + 2, epoch(head.epoch))],
            vec![entry(head.seq + 1, epoch(head.epoch + 2))],
            vec![entry(head.seq + 1, commit(vec![put("users", "wrong", u64::MAX, "{}")]))],
            vec![entry(head.seq + 1, commit(vec![put("", "wrong", 1, "{}")]))],
            vec![entry(head.seq + 1, commit(vec![put("a\0b", "wrong", 1, "{}")]))],
        ];
        for (nth, entries) in broken.into_iter().enumerate() {
            let group = Group { id: Uuid::from_u128(500 + nth as u128), entries };
            let answer = engine.append(&head, &group);
            assert!(answer.is_err(), "a group that cannot follow {head:?} was answered {answer:?}: {group:?}");
            assert_eq!(engine.find(group.id).expect("find"), None);
        }
        model.compare(&*engine);
        // The engine takes the next good group all the same.
        model.append(&*engine, vec![commit(vec![put("users", "right", round + 1, "{}")])]);
    }
    let mut again = model.group(vec![commit(vec![put("users", "wrong", 1, "{}")])]);
    again.id = model.log[0].group.id;
    assert!(engine.append(&model.head, &again).is_err(), "a second group of one id");
    model.compare(&*engine);
    model.append(&*engine, vec![commit(vec![put("users", "right", 9, "{}")])]);
    drop(engine);
    opened(reopen, &model);
}

fn finding(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    for rev in 1..=5 {
        model.append(&*engine, vec![commit(vec![put("users", "a", rev, "{}")])]);
    }
    let check = |engine: &dyn Storage| {
        for logged in &model.log {
            assert_eq!(engine.find(logged.group.id).expect("find"), Some(logged.head));
        }
        assert_eq!(engine.find(Uuid::from_u128(42)).expect("find"), None);
    };
    check(&*engine);
    drop(engine);
    check(&*opened(reopen, &model));
}

/// An engine may say that it cannot.
fn forgetting(reopen: &Reopen) {
    let mut model = Model::default();
    let mut engine = opened(reopen, &model);
    let mut heads = vec![model.head];
    for rev in 1..=6 {
        let kinds = match rev {
            6 => vec![commit(vec![delete("users", "a", 5)])],
            rev => vec![commit(vec![put("users", "a", rev, "{}"), put("users", &format!("b{rev}"), rev, "{}")])],
        };
        model.append(&*engine, kinds);
        heads.push(model.head);
    }
    for until in [3, 3, 5] {
        match engine.forget(until) {
            Ok(()) => {}
            Err(error) if error.code().as_str() == "STORAGE_CANNOT_FORGET" => return,
            Err(error) => panic!("forgetting what was until {until}: {error:?}"),
        }
        model.forgotten = until;
        model.log.retain(|logged| logged.head.seq > until);
        model.compare(&*engine);
        // Whoever is as far behind has to start over, as he does where the log has been cut for its length.
        let stale = Group { id: Uuid::from_u128(7), ..model.group(vec![commit(vec![put("users", "c", 9, "{}")])]) };
        let entries = stale.entries.iter().map(|entry| Entry { seq: 1, ..entry.clone() }).collect();
        let answer = engine.append(&Head::default(), &Group { entries, ..stale });
        assert_eq!(answer.expect("append"), Append::Truncated);
        drop(engine);
        engine = opened(reopen, &model);
    }
    for until in [6, 7] {
        engine.forget(until).expect_err("the last group stays");
        model.compare(&*engine);
    }
    model.append(&*engine, vec![commit(vec![put("users", "a", 8, "{}")])]);
    engine.forget(6).expect("what is not the last group can be forgotten");
    (model.forgotten, model.log) = (6, model.log.split_off(model.log.len() - 1));
    model.compare(&*engine);
    drop(engine);
    let engine = opened(reopen, &model);
    model.append(&*engine, vec![commit(vec![put("users", "d", 9, "{}")])]);
    model.compare(&*engine);
    assert!(!heads.contains(&model.head));
}

fn tails(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    for length in [1, 3, 1, 2, 5] {
        let kinds = (0..length).map(|nth| commit(vec![put("users", &format!("{nth}"), 1 + model.head.seq, "{}")]));
        model.append(&*engine, kinds.collect());
    }
    let check = |engine: &dyn Storage| {
        assert_eq!(model.tail(engine, 0), model.log);
        for (nth, logged) in model.log.iter().enumerate() {
            assert_eq!(model.tail(engine, logged.head.seq), model.log[nth + 1..], "the tail after {}", logged.head.seq);
        }
    };
    check(&*engine);
    drop(engine);
    check(&*opened(reopen, &model));
}

fn epochs(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    let epoch = |number: u64, schemas: &str| EntryKind::Epoch { number, schemas: schemas.to_owned() };
    let publish = |nth: u64| StoredPublish {
        model: "users".into(),
        room: format!(r#"{{"room":"{nth} \" \\ é"}}"#),
        payload: format!("[{nth}]"),
        about: (nth == 2).then(|| "a".to_owned()),
    };
    model.append(&*engine, vec![epoch(1, r#"{"users":{"type":"object"}}"#)]);
    let with_payloads =
        EntryKind::Commit { changes: vec![put("users", "a", 2, "{}")], published: vec![publish(1), publish(2)] };
    model.append(&*engine, vec![with_payloads, EntryKind::Commit { changes: vec![], published: vec![publish(3)] }]);
    drop(engine);
    let engine = opened(reopen, &model);
    assert_eq!(model.head.epoch, 1);
    // In the middle of a group, and two of them.
    let big = format!(r#"{{"users":{{"description":"{}"}}}}"#, "é".repeat(50_000));
    let several = vec![
        commit(vec![put("users", "b", 5, "{}")]),
        epoch(2, "{}"),
        epoch(3, &big),
        commit(vec![put("users", "b", 6, r#"{"new":true}"#)]),
    ];
    model.append(&*engine, several);
    model.append(&*engine, vec![commit(vec![])]);
    assert_eq!(model.head.epoch, 3);
    model.compare(&*engine);
    drop(engine);
    opened(reopen, &model);
}

fn odd_text(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    let ids = [
        "é",
        "e\u{301}",
        "日本語",
        "🦀",
        "'",
        "\"",
        "';--",
        "`x`",
        "a b",
        " a",
        "a ",
        "A",
        "a",
        "%",
        "_",
        "NULL",
        "0",
        "00",
        "1e3",
        "\u{10ffff}",
        "\u{202e}x",
        "true",
        "-",
        ".",
        "..",
        "\\",
        "[]",
        "?1",
        ":id",
    ];
    let bodies = [
        "{}",
        r#"{"text":"it's \"quoted\" \\ and \u0000 escaped"}"#,
        "{\"text\":\"日本語 🦀 \u{2028} e\u{301}\"}",
        r#"{"big":9007199254740993,"small":1e-300,"zero":-0.0,"exact":0.1}"#,
        "{ \"spaces\" :  1 ,\n\t\"order\":2, \"a\":3 }",
        r#"{"":{"":[null,true,false,[],{}]}}"#,
    ];
    for (nth, id) in ids.iter().enumerate() {
        let body = bodies[nth % bodies.len()];
        model.append(&*engine, vec![commit(vec![put("users", id, 1 + nth as u64, body)])]);
    }
    let all = ids.iter().enumerate().map(|(nth, id)| put("notes", id, 90, bodies[(nth + 1) % bodies.len()])).collect();
    model.append(&*engine, vec![commit(all)]);
    model.compare(&*engine);
    model.append(&*engine, vec![commit(ids.iter().map(|id| delete("users", id, 91)).collect())]);
    let long = "é".repeat(64);
    model.append(&*engine, vec![commit(vec![put("users", &long, 92, "{}")])]);
    drop(engine);
    opened(reopen, &model);
}

fn odd_models(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    let ids = [
        "users",
        "uSers",
        "usErs",
        "select",
        "table",
        "a",
        "x-y",
        "x_y",
        "sqlite_master",
        "sqlite_x",
        "log",
        "head",
        "models",
        "epochs",
        "order",
        "pg_class",
        "rowid",
        "sQlite_x",
    ];
    for (nth, id) in ids.iter().enumerate() {
        model.append(&*engine, vec![commit(vec![put(id, "same", 1 + nth as u64, format!(r#"{{"of":"{id}"}}"#))])]);
    }
    let long = format!("m{}", "x".repeat(126));
    model.append(&*engine, vec![commit(vec![put(&long, "same", 50, "{}"), put("_own", "same", 50, "{}")])]);
    drop(engine);
    let engine = opened(reopen, &model);
    model.append(&*engine, vec![commit(vec![delete("uSers", "same", 60), put("users", "same", 60, "{}")])]);
    drop(engine);
    opened(reopen, &model);
}

fn large(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    let big = |letter: &str| format!(r#"{{"text":"{}"}}"#, letter.repeat((1 << 20) / letter.len()));
    model.append(&*engine, vec![commit(vec![put("users", "big", 1, big("a")), put("users", "unicode", 1, big("é"))])]);
    model.append(&*engine, vec![commit(vec![put("users", "big", 2, big("\\n"))])]);
    let revs = [1, 255, 1 << 31, (1 << 53) + 1, i64::MAX as u64 - 1, i64::MAX as u64];
    let changes = revs.iter().map(|rev| put("users", &format!("rev{rev}"), *rev, "{}")).collect();
    model.append(&*engine, vec![commit(changes)]);
    let many =
        (0..2_000).map(|nth| put("many", &format!("{:05}", nth * 7_919 % 2_000), 3, format!(r#"{{"n":{nth}}}"#)));
    model.append(&*engine, vec![commit(many.collect())]);
    model.append(&*engine, vec![commit(vec![put("users", "big", 4, "{}"), delete("users", "unicode", 4)])]);
    model.compare(&*engine);
    drop(engine);
    opened(reopen, &model);
}

fn load_error(reopen: &Reopen) {
    let mut model = Model::default();
    let engine = opened(reopen, &model);
    model.append(&*engine, vec![commit(vec![put("users", "a", 1, "{}"), put("users", "b", 1, "{}")])]);
    drop(engine);
    let engine = reopen();
    let mut seen = 0;
    let answer = engine.open(&mut |_| {
        seen += 1;
        Err(Error::new("REFUSED"))
    });
    assert_eq!(answer.map_err(|error| error.code().as_str().to_owned()), Err("REFUSED".into()));
    assert_eq!(seen, 1, "after an error no more documents are handed out");
    model.compare(&*engine);
    model.append(&*engine, vec![commit(vec![delete("users", "a", 2)])]);
    drop(engine);
    opened(reopen, &model);
}

fn random_history(reopen: &Reopen) {
    let mut model = Model::default();
    let mut state = 0x5eed_u64;
    let mut random = move |bound: u64| {
        // Knuth's MMIX generator; its upper bits are good enough to shuffle with.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut engine = opened(reopen, &model);
    let mut epoch = 0;
    for step in 0..200u64 {
        let mut kinds = Vec::new();
        for _ in 0..=random(4) {
            if random(40) == 0 {
                epoch += 1;
                kinds.push(EntryKind::Epoch { number: epoch, schemas: format!(r#"{{"epoch":{epoch}}}"#) });
                continue;
            }
            let mut changes: Vec<StoredChange> = Vec::new();
            for _ in 0..random(5) {
                let (of, id) = (["users", "teams", "notes"][random(3) as usize], format!("{}", random(30)));
                if changes.iter().any(|other| other.model == of && other.id == id) {
                    continue;
                }
                changes.push(match random(3) {
                    0 => delete(of, &id, 1 + step),
                    _ => put(of, &id, 1 + step, format!(r#"{{"n":"{}"}}"#, "x".repeat(random(3_000) as usize))),
                });
            }
            kinds.push(commit(changes));
        }
        model.append(&*engine, kinds);
        if random(20) == 0 {
            drop(engine);
            engine = opened(reopen, &model);
        }
    }
    model.compare(&*engine);
    drop(engine);
    opened(reopen, &model);
}

/// Several callers race on one engine by compare-and-append: every group is there once, in one order.
fn several_callers(reopen: &Reopen) {
    const CALLERS: u64 = 4;
    const EACH: u64 = 20;
    let engine = opened(reopen, &Model::default());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (engine, done) = (&*engine, &done);
            scope.spawn(move || {
                let mut head = Head::default();
                for nth in 0..EACH {
                    loop {
                        let change = put("users", &format!("{caller}"), 1 + head.seq, format!(r#"{{"nth":{nth}}}"#));
                        let entry = Entry { seq: head.seq + 1, at: 0, kind: commit(vec![change]) };
                        let id = Uuid::from_u128(u128::from(1 + caller * EACH + nth));
                        match engine.append(&head, &Group { id, entries: vec![entry] }).expect("append") {
                            Append::Appended(next) => {
                                head = next;
                                done.lock().expect("no caller has panicked").push((id, next));
                                break;
                            }
                            Append::Behind(groups) => head = groups.last().expect("at least one group").head,
                            Append::Truncated => panic!("a log that was not cut does not reach back"),
                            Append::Unknown(_) => panic!("nothing broke, and yet the answer is not known"),
                        }
                    }
                }
            });
        }
    });
    let mut model = Model::default();
    for logged in model.tail(&*engine, 0) {
        model.follow(logged.group);
    }
    assert_eq!(model.log.len() as u64, CALLERS * EACH, "every group is in the log once");
    for (id, head) in done.into_inner().expect("no caller has panicked") {
        assert!(model.log.iter().any(|logged| logged.group.id == id && logged.head == head), "an answer was not true");
    }
    model.compare(&*engine);
    drop(engine);
    opened(reopen, &model);
}
