//! Random histories on an engine that misbehaves: another writer is first, answers are lost, the log is cut.
//!
//! A history is one round of concurrent calls on values that no other round uses. It is held against what the engine
//! confirmed: no commit is lost, doubled, or seen before it is durable, and a refusal never names a document that did not
//! become durable. Set `MODELLER_HISTORIES` to run another number of them; each application takes its share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use modeller::RawId;
use modeller::prelude::*;
use modeller::storage::{
    Append, EntryKind, Faults, Group, Head, Memory, Opened, Storage, StoredChange, StoredDocument, Tail,
};

#[model(id = "items")]
pub struct Item {
    /// Two calls of one round want the same.
    #[field(unique)]
    pub name: String,
    /// Says which call wrote it.
    pub token: String,
}

#[model(id = "counters")]
pub struct Counter {
    pub n: i64,
}

/// A document and the call that wrote it, both in one transaction.
#[value]
pub struct Count {
    pub counter: String,
    pub token: String,
    pub fail: bool,
}

#[method(Counter)]
async fn count_up(args: Count, counters: Model<Counter>, items: Model<Item>) -> Result<i64> {
    let id: Id<Counter> = args.counter.parse()?;
    let counter = counters.get(&id).await?.ok_or_else(|| Error::new("NO_COUNTER"))?;
    items.insert(Item { name: args.token.clone(), token: args.token }).await?;
    let next = counters.update(&id, Counter::N.set(counter.n + 1)).await?;
    if args.fail {
        return Err(Error::new("ON_PURPOSE"));
    }
    Ok(next.n)
}

/// Records what the engine has confirmed, before the committer hears of it.
struct Watched {
    memory: Memory,
    instant: bool,
    confirmed: Arc<Mutex<Confirmed>>,
    asked: Mutex<HashMap<uuid::Uuid, Vec<String>>>,
}

#[derive(Default)]
struct Confirmed {
    names: HashSet<String>,
    tokens: HashMap<String, usize>,
}

impl Confirmed {
    fn note(&mut self, docs: &[String]) {
        for doc in docs {
            let Ok(item) = serde_json::from_str::<serde_json::Value>(doc) else { continue };
            if let (Some(name), Some(token)) = (item["name"].as_str(), item["token"].as_str()) {
                self.names.insert(name.to_owned());
                *self.tokens.entry(token.to_owned()).or_default() += 1;
            }
        }
    }
}

impl Storage for Watched {
    fn open(&self, load: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened> {
        // A snapshot confirms what it holds, too.
        let mut seen = Vec::new();
        let opened = self.memory.open(&mut |doc| {
            seen.push(doc.doc.to_owned());
            load(doc)
        })?;
        let mut confirmed = self.confirmed.lock().unwrap();
        for doc in seen {
            if let Ok(item) = serde_json::from_str::<serde_json::Value>(&doc)
                && let Some(name) = item["name"].as_str()
            {
                confirmed.names.insert(name.to_owned());
            }
        }
        Ok(opened)
    }

    fn append(&self, head: &Head, group: &Group) -> Result<Append> {
        let docs = docs(group);
        self.asked.lock().unwrap().insert(group.id, docs.clone());
        let answer = self.memory.append(head, group)?;
        match &answer {
            Append::Appended(_) => self.confirmed.lock().unwrap().note(&docs),
            Append::Behind(groups) => {
                let mut confirmed = self.confirmed.lock().unwrap();
                groups.iter().for_each(|logged| confirmed.note(&self::docs(&logged.group)));
            }
            Append::Truncated | Append::Unknown(_) => {}
        }
        Ok(answer)
    }

    fn find(&self, group: uuid::Uuid) -> Result<Option<Head>> {
        let found = self.memory.find(group)?;
        if found.is_some()
            && let Some(docs) = self.asked.lock().unwrap().remove(&group)
        {
            self.confirmed.lock().unwrap().note(&docs);
        }
        Ok(found)
    }

    fn tail(&self, after: u64) -> Result<Tail> {
        self.memory.tail(after)
    }

    fn is_instant(&self) -> bool {
        self.instant
    }

    fn describe(&self) -> String {
        "memory that misbehaves".into()
    }
}

fn docs(group: &Group) -> Vec<String> {
    let changes = group.entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Commit { changes, .. } => Some(changes),
        EntryKind::Epoch { .. } => None,
    });
    changes.flatten().filter_map(|change| change.doc.clone()).collect()
}

/// A foreign commit: counts the counter up, takes names that the rounds want, deletes one of them again.
fn other_writer(seed: u64, counted: Arc<AtomicU64>, round: Arc<AtomicU64>) -> Faults {
    let mut calls = seed;
    let mut taken: Option<String> = None;
    Faults::seeded(seed).lose_requests(0.05).lose_answers(0.05).fail_find(0.1).truncate(0.03).second_writer(
        move |head, look| {
            calls = calls.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = calls >> 33;
            if !dice.is_multiple_of(3) {
                return None;
            }
            let mut changes = Vec::new();
            if let Some((rev, doc)) = look("counters", "c") {
                let n = serde_json::from_str::<serde_json::Value>(&doc).ok()?["n"].as_i64()?;
                counted.fetch_add(1, Ordering::Relaxed);
                let rev = 1 + rev.max(head.seq);
                let doc = Some(serde_json::json!({"n": n + 1}).to_string());
                changes.push(StoredChange { model: "counters".into(), id: "c".into(), rev, doc });
            }
            if dice.is_multiple_of(2) {
                // The id is the name, so that a name which our side has taken in the same moment is not taken twice: the
                // foreign writer only writes where it sees nothing, as a correct one does.
                let name = format!("shared-{}", round.load(Ordering::Relaxed));
                let id = format!("foreign-{name}");
                let item = serde_json::json!({"name": id.clone(), "token": id}).to_string();
                if look("items", &id).is_none() {
                    changes.push(StoredChange {
                        model: "items".into(),
                        id: id.clone(),
                        rev: 1 + head.seq,
                        doc: Some(item),
                    });
                    taken = Some(id);
                }
            } else if let Some(id) = taken.take()
                && let Some((rev, _)) = look("items", &id)
            {
                changes.push(StoredChange { model: "items".into(), id, rev: 1 + rev.max(head.seq), doc: None });
            }
            (!changes.is_empty()).then(|| vec![EntryKind::Commit { changes, published: Vec::new() }])
        },
    )
}

struct Outcome {
    token: String,
    /// Counted, if it went well.
    counted: bool,
    result: Result<()>,
}

/// Id, revision and text of what the engine holds.
fn stored_items(memory: &Memory) -> HashMap<String, (u64, String)> {
    let mut stored = HashMap::new();
    memory
        .reopen()
        .open(&mut |doc| {
            if doc.model == "items" {
                stored.insert(doc.id.to_owned(), (doc.rev, doc.doc.to_owned()));
            }
            Ok(())
        })
        .unwrap();
    stored
}

async fn histories(seed: u64, rounds: u64, instant: bool) -> u64 {
    let foreign = Arc::new(AtomicU64::new(0));
    let round_now = Arc::new(AtomicU64::new(0));
    let memory = Memory::with_faults(other_writer(seed, foreign.clone(), round_now.clone()));
    let confirmed = Arc::new(Mutex::new(Confirmed::default()));
    let watched = Watched { memory: memory.clone(), instant, confirmed: confirmed.clone(), asked: Mutex::default() };
    let app = loop {
        // The first append, that of the epoch, can find another writer ahead as well.
        let watched =
            Watched { memory: watched.memory.clone(), instant, confirmed: confirmed.clone(), asked: Mutex::default() };
        match App::new().model::<Item>().model::<Counter>().storage(watched).open().await {
            Ok(app) => break app,
            Err(error) => assert_eq!(error.code(), &ErrorCode::Unavailable, "{error}"),
        }
    };
    let counters = app.model::<Counter>();
    let items = app.model::<Item>();
    let counter: Id<Counter> = "c".parse().unwrap();
    counters.insert_with_id(counter.clone(), Counter { n: 0 }).await.unwrap();
    let mut counted = 0_u64;
    for round in 0..rounds {
        round_now.store(round, Ordering::Relaxed);
        let tasks: Vec<_> = (0..6_u64)
            .map(|call| {
                let (counters, items, counter) = (counters.clone(), items.clone(), counter.clone());
                let confirmed = confirmed.clone();
                tokio::spawn(async move {
                    let token = format!("{seed}-{round}-{call}");
                    let shared = format!("shared-{round}");
                    let (counts, result) = match (seed + round + call) % 7 {
                        0 => (true, counters.update(&counter, Counter::N.inc(1)).await.map(drop)),
                        1 => {
                            let args = Count { counter: "c".into(), token: token.clone(), fail: false };
                            (true, counters.count_up(args).await.map(drop))
                        }
                        2 => {
                            let args = Count { counter: "c".into(), token: token.clone(), fail: true };
                            (false, counters.count_up(args).await.map(drop))
                        }
                        3 => {
                            // What is read is durable.
                            let seen = items.find(Item::NAME.eq(shared.as_str())).await.unwrap();
                            let confirmed = confirmed.lock().unwrap();
                            assert!(seen.iter().all(|item| confirmed.names.contains(&item.name)), "seen too early");
                            (false, Ok(()))
                        }
                        _ => (false, items.insert(Item { name: shared.clone(), token: token.clone() }).await.map(drop)),
                    };
                    if let Err(error) = &result
                        && error.code() == &ErrorCode::UniqueViolation
                    {
                        let confirmed = confirmed.lock().unwrap();
                        let named = confirmed.names.contains(&shared) || confirmed.names.contains(&token);
                        assert!(named, "refused for a document that is not durable");
                    }
                    Outcome { token, counted: counts, result }
                })
            })
            .collect();
        for task in tasks {
            let outcome = task.await.unwrap();
            let written = confirmed.lock().unwrap().tokens.get(&outcome.token).copied().unwrap_or(0);
            match outcome.result {
                Ok(()) => {
                    counted += u64::from(outcome.counted);
                    assert!(written <= 1, "{} was written {written} times", outcome.token);
                }
                Err(error) => {
                    assert!(
                        matches!(error.code().as_str(), "UNIQUE_VIOLATION" | "ON_PURPOSE"),
                        "{} answered {error:?}",
                        outcome.token
                    );
                    assert_eq!(written, 0, "{} was refused, and written", outcome.token);
                }
            }
        }
    }
    let n = counters.get(&counter).await.unwrap().unwrap().n;
    assert_eq!(n as u64, counted + foreign.load(Ordering::Relaxed), "counts were lost or doubled");

    // What is shown is what is stored. A write that nobody else follows lets the application catch up with the other writer.
    let (shown, stored) = loop {
        items.insert(Item { name: format!("last-{}", RawId::generate()), token: String::new() }).await.unwrap();
        let (shown, stored) = (items.find(Filter::all()).await.unwrap(), stored_items(&memory));
        if shown.len() == stored.len() {
            break (shown, stored);
        }
    };
    for item in shown {
        let (rev, doc) = stored.get(&item.id().to_string()).expect("what is shown is stored");
        assert_eq!((item.rev(), serde_json::to_string(&*item).unwrap()), (*rev, doc.clone()));
    }
    memory.faults_met()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_doubled_or_seen_early() {
    const PER_APP: u64 = 250;
    let wanted: u64 =
        std::env::var("MODELLER_HISTORIES").ok().and_then(|number| number.parse().ok()).unwrap_or(100_000);
    let mut done = 0;
    let mut met = 0;
    let mut seed = 0;
    while done < wanted {
        // Alternately with the committer's own thread, and flushed by whoever comes first.
        met += histories(seed, PER_APP, seed % 2 == 0).await;
        seed += 1;
        done += PER_APP;
    }
    println!("{done} histories, {met} faults met");
    assert!(met > done / 10, "the engine behaved too well to prove anything");
}
