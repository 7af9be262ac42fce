//! Random writes over models that refer to each other, from several tasks and beside a second writer, held against what the
//! engine logged: after no commit does a reference lead nowhere, and nothing goes that was meant to hold another document.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use modeller::prelude::*;
use modeller::storage::{EntryKind, Faults, Memory, StoredChange};
use serde_json::{Value, json};

/// The first of a ring: it loses its reference, which leads to somebody who goes with it.
#[model(id = "alphas")]
pub struct Alpha {
    #[field(unique)]
    pub name: String,
    #[field(references = Beta::_ID, on_delete = set_null)]
    pub beta: Option<Id<Beta>>,
}

#[model(id = "betas")]
pub struct Beta {
    #[field(references = Alpha::_ID, on_delete = cascade)]
    pub alpha: Id<Alpha>,
    #[field(references = Beta::_ID, on_delete = cascade)]
    pub next: Option<Id<Beta>>,
}

#[model(id = "gammas")]
pub struct Gamma {
    #[field(references = Alpha::NAME)]
    pub alpha: Option<String>,
    #[field(references = Beta::_ID, on_delete = set_null)]
    pub betas: Vec<Id<Beta>>,
    #[field(references = Gamma::_ID, on_delete = restrict)]
    pub gamma: Option<Id<Gamma>>,
}

/// So few documents that the tasks meet.
const IDS: u64 = 4;

/// Random numbers that are the same again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn id<T>(&mut self) -> Id<T> {
        self.roll(IDS).to_string().parse().unwrap()
    }

    fn maybe<T>(&mut self) -> Option<Id<T>> {
        (self.roll(2) == 0).then(|| self.id())
    }

    fn alpha(&mut self) -> Alpha {
        Alpha { name: format!("n{}", self.roll(IDS + 2)), beta: self.maybe() }
    }

    fn beta(&mut self) -> Beta {
        Beta { alpha: self.id(), next: self.maybe() }
    }

    fn gamma(&mut self) -> Gamma {
        let alpha = (self.roll(2) == 0).then(|| format!("n{}", self.roll(IDS + 2)));
        Gamma { alpha, betas: (0..self.roll(3)).map(|_| self.id()).collect(), gamma: self.maybe() }
    }
}

#[derive(Clone)]
struct Models {
    alphas: Model<Alpha>,
    betas: Model<Beta>,
    gammas: Model<Gamma>,
}

impl Models {
    fn of(tx: &Transaction) -> Result<Self> {
        Ok(Self { alphas: tx.model()?, betas: tx.model()?, gammas: tx.model()? })
    }

    async fn write(&self, dice: &mut Dice) -> Result<()> {
        let Self { alphas, betas, gammas } = self;
        match dice.roll(10) {
            0 | 1 => alphas.insert_with_id(dice.id(), dice.alpha()).await.map(drop),
            2 | 3 => betas.insert_with_id(dice.id(), dice.beta()).await.map(drop),
            4 => gammas.insert_with_id(dice.id(), dice.gamma()).await.map(drop),
            5 => alphas.replace(dice.id::<Alpha>(), dice.alpha()).await.map(drop),
            6 => match dice.roll(2) {
                0 => betas.replace(dice.id::<Beta>(), dice.beta()).await.map(drop),
                _ => betas.update(dice.id::<Beta>(), Beta::NEXT.set(dice.maybe())).await.map(drop),
            },
            7 => gammas.replace(dice.id::<Gamma>(), dice.gamma()).await.map(drop),
            8 => match dice.roll(2) {
                0 => betas.delete(dice.id::<Beta>()).await.map(drop),
                _ => gammas.delete(dice.id::<Gamma>()).await.map(drop),
            },
            _ => alphas.delete(dice.id::<Alpha>()).await.map(drop),
        }
    }
}

/// Documents by model and id, as JSON.
type Docs = BTreeMap<(String, String), Value>;

/// What a document refers to, by which field: a model, a field there, and the value.
fn references(model: &str, doc: &Value) -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let mut found = Vec::new();
    let fields: &[(&'static str, &'static str, &'static str)] = match model {
        "alphas" => &[("beta", "betas", "_id")],
        "betas" => &[("alpha", "alphas", "_id"), ("next", "betas", "_id")],
        "gammas" => &[("alpha", "alphas", "name"), ("betas", "betas", "_id"), ("gamma", "gammas", "_id")],
        _ => &[],
    };
    for (field, to, target) in fields {
        match &doc[*field] {
            Value::Null => {}
            Value::Array(values) => found.extend(values.iter().map(|value| (*field, *to, *target, value.clone()))),
            value => found.push((*field, *to, *target, value.clone())),
        }
    }
    found
}

fn holds(docs: &Docs, model: &str, target: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    if target == "_id" {
        return docs.contains_key(&(model.to_owned(), text.to_owned()));
    }
    docs.iter().any(|((of, _), doc)| of == model && doc[target] == *value)
}

fn dangling(docs: &Docs) -> Option<String> {
    docs.iter().find_map(|((model, id), doc)| {
        references(model, doc)
            .iter()
            .find(|(_, to, target, value)| !holds(docs, to, target, value))
            .map(|(field, _, _, value)| format!("{model}/{id} refers by `{field}` to {value}, which is not there"))
    })
}

/// A foreign commit, as a correct writer makes it: it deletes what nothing refers to, and inserts what fits.
fn other_writer(seed: u64, foreign: Arc<AtomicU64>) -> Faults {
    let mut dice = Dice(seed);
    Faults::seeded(seed).lose_requests(0.03).lose_answers(0.03).truncate(0.02).second_writer(move |head, look| {
        if dice.roll(3) != 0 {
            return None;
        }
        let mut docs = seen(look);
        let model = ["alphas", "betas", "gammas"][usize::try_from(dice.roll(3)).unwrap()];
        let id = dice.roll(IDS).to_string();
        let key = (model.to_owned(), id.clone());
        let before = look(model, &id);
        let after = match (&before, model) {
            (Some(_), _) => None,
            (None, "alphas") => Some(serde_json::to_value(dice.alpha()).unwrap()),
            (None, "betas") => Some(serde_json::to_value(dice.beta()).unwrap()),
            (None, _) => Some(serde_json::to_value(dice.gamma()).unwrap()),
        };
        match &after {
            Some(doc) => {
                let taken = model == "alphas" && holds(&docs, "alphas", "name", &doc["name"]);
                if taken {
                    return None;
                }
                docs.insert(key, doc.clone());
            }
            None => drop(docs.remove(&key)),
        }
        if dangling(&docs).is_some() {
            return None;
        }
        foreign.fetch_add(1, Ordering::Relaxed);
        let rev = 1 + before.map_or(0, |(rev, _)| rev).max(head.seq);
        let doc = after.map(|doc| doc.to_string());
        Some(vec![EntryKind::Commit {
            changes: vec![StoredChange { model: model.into(), id, rev, doc }],
            published: Vec::new(),
        }])
    })
}

/// Finds a document by model and id: its revision and its text.
type Look<'a> = &'a dyn Fn(&str, &str) -> Option<(u64, String)>;

fn seen(look: Look<'_>) -> Docs {
    let mut docs = Docs::new();
    for model in ["alphas", "betas", "gammas"] {
        for id in 0..IDS {
            if let Some((_, text)) = look(model, &id.to_string()) {
                docs.insert((model.to_owned(), id.to_string()), serde_json::from_str(&text).unwrap());
            }
        }
    }
    docs
}

/// Goes through the log, commit by commit, and counts the documents that went along with others.
fn replay(memory: &Memory) -> (u64, u64) {
    let (mut commits, mut along) = (0, 0);
    let mut docs = Docs::new();
    for logged in memory.history() {
        for entry in logged.group.entries {
            let EntryKind::Commit { changes, .. } = entry.kind else { continue };
            commits += 1;
            let before = docs.clone();
            let (trash, changes): (Vec<_>, Vec<_>) =
                changes.into_iter().partition(|change| change.model.starts_with("@trash."));
            for change in &changes {
                let key = (change.model.clone(), change.id.clone());
                match &change.doc {
                    Some(text) => drop(docs.insert(key, serde_json::from_str(text).unwrap())),
                    None => drop(docs.remove(&key)),
                }
            }
            assert_eq!(dangling(&docs), None, "after commit {}: {changes:?}", entry.seq);
            // Every operation of the test deletes one document itself, so a second one of the same commit went along.
            for ((model, id), doc) in before.iter().filter(|(key, _)| !docs.contains_key(key)) {
                assert!(model != "gammas" || changes.len() == 1, "gammas/{id} goes with nothing: {doc}");
            }
            let gone = before.keys().filter(|key| !docs.contains_key(key)).count();
            // The other writer knows no trash, and deletes one at a time.
            let is_foreign = trash.is_empty() && changes.len() == 1;
            assert!(trash.len() == gone || is_foreign, "commit {}: {gone} are gone, and kept: {trash:?}", entry.seq);
            along += gone.saturating_sub(1) as u64;
        }
    }
    (commits, along)
}

async fn open(memory: &Memory) -> App {
    loop {
        let app = App::new().model::<Alpha>().model::<Beta>().model::<Gamma>().storage(memory.clone());
        match app.open().await {
            Ok(app) => return app,
            // The first append, that of the epoch, can find another writer ahead.
            Err(error) => assert_eq!(error.code(), &ErrorCode::Unavailable, "{error}"),
        }
    }
}

/// What a call may be refused with.
fn assert_expected(error: &Error) {
    let code = error.code().as_str();
    assert!(matches!(code, "REFERENCE_VIOLATION" | "UNIQUE_VIOLATION" | "NOT_FOUND" | "ON_PURPOSE"), "{error:?}");
}

async fn histories(seed: u64, rounds: u64, memory: &Memory) -> u64 {
    let app = open(memory).await;
    let models = Models { alphas: app.model(), betas: app.model(), gammas: app.model() };
    let tasks: Vec<_> = (0..4_u64)
        .map(|task| {
            let (app, models) = (app.clone(), models.clone());
            tokio::spawn(async move {
                let mut dice = Dice(seed.wrapping_mul(31) + task);
                let mut refused = 0;
                for _ in 0..rounds {
                    let outcome = if dice.roll(4) == 0 {
                        // One operation that goes on when others are refused, with what they leave.
                        let start = dice.roll(1 << 30);
                        app.transaction(|tx| async move {
                            let models = Models::of(&tx)?;
                            let mut dice = Dice(start);
                            models
                                .alphas
                                .insert_with_id(dice.id(), dice.alpha())
                                .await
                                .map(drop)
                                .or_else(|error| caught(&error))?;
                            models
                                .betas
                                .insert_with_id(dice.id(), dice.beta())
                                .await
                                .map(drop)
                                .or_else(|error| caught(&error))?;
                            models
                                .gammas
                                .insert_with_id(dice.id(), dice.gamma())
                                .await
                                .map(drop)
                                .or_else(|error| caught(&error))?;
                            if dice.roll(4) == 0 { Err(Error::new("ON_PURPOSE")) } else { Ok(()) }
                        })
                        .await
                    } else {
                        models.write(&mut dice).await
                    };
                    if let Err(error) = outcome {
                        assert_expected(&error);
                        refused += u64::from(*error.code() == ErrorCode::ReferenceViolation);
                    }
                    tokio::task::yield_now().await;
                }
                refused
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += task.await.unwrap();
    }
    refused
}

fn caught(error: &Error) -> Result<()> {
    assert_expected(error);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c8_nothing_dangles_after_any_commit() {
    const ROUNDS: u64 = 50;
    let wanted: u64 = std::env::var("MODELLER_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000) / 4;
    let foreign = Arc::new(AtomicU64::new(0));
    let (mut commits, mut along, mut refused, mut seed) = (0, 0, 0, 0);
    while commits < wanted {
        let memory = if seed % 2 == 0 {
            Memory::with_faults(Faults::seeded(seed))
        } else {
            Memory::with_faults(other_writer(seed, foreign.clone()))
        };
        refused += histories(seed, ROUNDS, &memory).await;
        let (done, went) = replay(&memory);
        commits += done;
        along += went;
        seed += 1;
    }
    let foreign = foreign.load(Ordering::Relaxed);
    println!("{commits} commits, {foreign} of another writer, {along} documents went along, {refused} refused");
    assert!(along > commits / 100 && refused > commits / 20 && foreign > commits / 20, "too little happened");
}

#[test]
fn the_check_of_this_test_finds_what_dangles() {
    let mut docs = Docs::new();
    docs.insert(("betas".into(), "1".into()), json!({"alpha": "0", "next": null}));
    assert!(dangling(&docs).is_some());
    docs.insert(("alphas".into(), "0".into()), json!({"name": "n", "beta": "1"}));
    assert_eq!(dangling(&docs), None);
}
