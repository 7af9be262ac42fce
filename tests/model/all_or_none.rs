//! A process that ends, or an engine that fails, at every single write of orders and their jobs: of each order all is there
//! afterwards or nothing, nobody heard of one that is not there, and each job has its effect once. The shop is
//! [`modeller_tests::shop`].

#![expect(clippy::print_stdout, reason = "counts that show what the tests have done")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use modeller::Listener;
use modeller::prelude::*;
use modeller::storage::{EntryKind, Faults, Memory, StoredChange};
use modeller::test::TestApp;
use modeller_tests::shop::{Invoice, JOBS, Journal, Order, Place, PlaceMethod as _, REGISTER, Stock, build};
use modeller_tests::slow::Slow;

/// How many orders a life of the process places; each fourth is refused at its end.
const ORDERS: u64 = 8;

/// What goes wrong at the n-th write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nothing,
    /// Nothing is written, and an error is answered.
    Fails,
    /// All is written, and the process ends before it hears of it.
    EndsBeforeAnswer,
    /// All is written and answered, and nothing after it.
    EndsAfterAnswer,
    RequestLost,
    AnswerLost,
    /// Another writer is first, with the document that all orders write.
    AnotherWriter,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Fails,
        Self::EndsBeforeAnswer,
        Self::EndsAfterAnswer,
        Self::RequestLost,
        Self::AnswerLost,
        Self::AnotherWriter,
    ];

    fn at(self, nth: u64) -> Faults {
        let faults = Faults::seeded(nth);
        match self {
            Self::Nothing => faults,
            Self::Fails => faults.fail_append(nth),
            Self::EndsBeforeAnswer => faults.crash_during(nth),
            Self::EndsAfterAnswer => faults.crash_after(nth),
            Self::RequestLost => faults.lose_request(nth),
            Self::AnswerLost => faults.lose_answer(nth),
            Self::AnotherWriter => {
                let mut calls = 0;
                faults.second_writer(move |head, look| {
                    calls += 1;
                    let (rev, doc) = look("registers", REGISTER).filter(|_| calls == nth)?;
                    let mut doc: serde_json::Value = serde_json::from_str(&doc).ok()?;
                    doc["others"] = (doc["others"].as_u64()? + 1).into();
                    let (model, id, doc) = ("registers".into(), REGISTER.into(), Some(doc.to_string()));
                    let changes = vec![StoredChange { model, id, rev: 1 + rev.max(head.seq), doc }];
                    Some(vec![EntryKind::Commit { changes, published: Vec::new() }])
                })
            }
        }
    }

    /// Whether the process goes on.
    fn is_survived(self) -> bool {
        matches!(self, Self::Nothing | Self::RequestLost | Self::AnswerLost | Self::AnotherWriter)
    }
}

/// What one process did, as it knew.
#[derive(Debug, Default)]
struct Life {
    placed: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    /// Without an answer that says which.
    unknown: BTreeSet<u64>,
    /// What was heard of each order, by the way it was heard.
    heard: Vec<(&'static str, Vec<u64>)>,
    shipped: Vec<u64>,
}

/// What is noted outside of the data.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(String, u64)>>>);

impl Notes {
    fn journal(&self) -> Journal {
        let notes = self.0.clone();
        Journal::new(move |what, number| notes.lock().unwrap().push((what.to_owned(), number)))
    }

    fn of(&self, wanted: &str) -> Vec<u64> {
        self.0.lock().unwrap().iter().filter(|(what, _)| what == wanted).map(|(_, number)| *number).collect()
    }
}

/// All that was heard so far.
fn heard(listener: &mut Listener) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(heard) = listener.next().now_or_never() {
        let Some(Heard::Payload { payload, .. }) = heard else { panic!("missed: {heard:?}") };
        numbers.push(payload.as_u64().unwrap());
    }
    numbers
}

fn emitted<T: modeller::Stored>(emissions: &mut modeller::Emissions<T>, number: impl Fn(&T) -> u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(emission) = emissions.next().now_or_never() {
        let Some(Emission::Doc { doc, .. }) = emission else { panic!("missed: {emission:?}") };
        numbers.push(number(&doc));
    }
    numbers
}

/// Places orders, two at a time, beside the jobs of those that were placed, until all is done or nothing works any more.
async fn live(memory: &Memory, most: Duration, dies: bool) -> Life {
    let mut life = Life::default();
    let notes = Notes::default();
    let slow = Slow::new(memory.clone(), most, 1);
    let Ok(app) = build(notes.journal()).storage(slow).open().await else { return life };
    let orders = app.model::<Order>();
    let (mut published, mut placed, mut shipped) =
        (orders.subscription(Filter::all()).listen(), orders.on("placed").unwrap(), orders.on("shipped").unwrap());
    let (mut inserted, mut invoiced) = (orders.on_insert(), app.model::<Invoice>().on_insert());
    app.start_jobs();
    let tasks = [0, 1].map(|task| {
        let orders = app.model::<Order>();
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for number in (task..ORDERS).step_by(2) {
                answers.push((number, orders.place(Place { number, fail: number % 4 == 3 }).await));
            }
            answers
        })
    });
    for task in tasks {
        for (number, answer) in task.await.unwrap() {
            match answer.map_err(|error| error.code().to_string()) {
                Ok(()) => life.placed.insert(number),
                Err(code) if code == "REFUSED" => life.refused.insert(number),
                Err(code) if code == "UNAVAILABLE" => life.unknown.insert(number),
                Err(code) => panic!("{number} was answered {code}"),
            };
        }
    }
    let begun = std::time::Instant::now();
    while !(app.jobs().waiting().await.unwrap().is_empty() || dies && memory.faults_met() > 0) {
        assert!(begun.elapsed() < Duration::from_secs(20), "jobs wait for ever");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    app.stop_workers().await;
    life.heard = vec![
        ("a subscription", heard(&mut published)),
        ("an event", heard(&mut placed)),
        ("an inserted order", emitted(&mut inserted, |order| order.number)),
        ("an inserted invoice", emitted(&mut invoiced, |invoice| invoice.order)),
        ("what was to be done after the commit", notes.of("noted")),
        ("a hook after the commit", notes.of("after")),
    ];
    life.shipped = heard(&mut shipped);
    life
}

/// Each number once.
fn once(numbers: &[u64], what: &str) -> BTreeSet<u64> {
    let set: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(set.len(), numbers.len(), "{what}: {numbers:?}");
    set
}

impl Life {
    /// What was heard is what the process knew to be durable.
    fn check(&self, when: &str) {
        for (way, numbers) in &self.heard {
            assert_eq!(once(numbers, way), self.placed, "{when}: heard by {way}");
        }
        let shipped = once(&self.shipped, "shipped");
        assert!(shipped.is_subset(&self.placed), "{when}: {shipped:?} were shipped, and {:?} placed", self.placed);
        assert!(self.refused.iter().all(|number| number % 4 == 3), "{when}: {:?} were refused", self.refused);
    }

    /// And what is there afterwards is that, and at most what nobody was told about.
    fn check_left(&self, kind: Kind, stock: &Stock, when: &str) {
        stock.check(when);
        assert!(self.placed.is_subset(&stock.orders), "{when}: {:?} of {:?} are there", stock.orders, self.placed);
        let more: BTreeSet<u64> = stock.orders.difference(&self.placed).copied().collect();
        assert!(more.is_subset(&self.unknown), "{when}: {more:?} are there, and were refused");
        match kind {
            // What was in one group.
            Kind::EndsBeforeAnswer => assert!(more.len() <= 2, "{when}: {more:?} are there, and were not answered"),
            _ => assert!(more.is_empty(), "{when}: {more:?} are there, and failed"),
        }
        if kind.is_survived() {
            assert!(self.unknown.is_empty(), "{when}: {:?} failed", self.unknown);
        }
        for number in &self.shipped {
            assert_eq!(stock.effects.get(&("ship".to_owned(), *number)), Some(&1), "{when}: {number} was shipped");
        }
    }
}

/// A process that takes up what those before it left, as the how manyth of them, and does the jobs as far as it gets. What it
/// shipped.
async fn take_up(memory: &Memory, nth: u32) -> (TestApp, Vec<u64>) {
    let notes = Notes::default();
    let app = TestApp::on(memory.clone(), move || build(notes.journal())).await.unwrap();
    let mut shipped = app.model::<Order>().on("shipped").unwrap();
    app.run_due().await;
    // By then the claims of those before it are no longer held, whose clocks were moved as well.
    app.advance(nth * Duration::from_secs(60));
    app.run_due().await;
    let shipped = heard(&mut shipped);
    (app, shipped)
}

/// All of it with one fault at one write; how many faults were met, and how many writes there were.
async fn ends(kind: Kind, nth: u64, most: Duration) -> (u64, u64) {
    let when = format!("{kind:?} at write {nth}, {most:?}");
    let memory = Memory::with_faults(kind.at(nth));
    let life = live(&memory, most, !kind.is_survived()).await;
    life.check(&when);
    let writes = memory.history().len() as u64;
    let look = async |memory: &Memory| {
        let app = build(Notes::default().journal()).storage(memory.reopen()).open().await.unwrap();
        Stock::of(&app).await.unwrap()
    };
    let stock = look(&memory).await;
    life.check_left(kind, &stock, &when);

    // The next one ends as well, somewhere in what is left of the jobs.
    let second = 1 + nth % 5;
    let kind_of_end = if nth.is_multiple_of(2) { Kind::EndsBeforeAnswer } else { Kind::EndsAfterAnswer };
    let again = memory.reopen_with(kind_of_end.at(second));
    let (app, second_shipped) = take_up(&again, 1).await;
    drop(app);
    let between = look(&again).await;
    between.check(&format!("{when}, then at {second}"));
    assert_eq!(between.orders, stock.orders, "{when}");

    let (app, third_shipped) = take_up(&again.reopen_with(Faults::seeded(0)), 2).await;
    let done = Stock::of(&app).await.unwrap();
    done.check_done(&when);
    assert_eq!((done.orders, done.effects.len()), (stock.orders.clone(), stock.orders.len() * JOBS.len()), "{when}");
    let shipped = once(&[life.shipped, second_shipped, third_shipped].concat(), "shipped by all processes");
    let unheard = stock.orders.len() - shipped.len();
    // The jobs of one group, where the answer to it is lost with the process.
    assert!(unheard <= 16 && (unheard == 0 || [kind, kind_of_end].contains(&Kind::EndsBeforeAnswer)), "{when}");
    (memory.faults_met(), writes)
}

async fn at_every_write(most: Duration) {
    let (_, writes) = ends(Kind::Nothing, 0, most).await;
    let mut all_met = 0;
    for kind in Kind::ALL {
        let mut met = 0;
        for nth in 1..=writes {
            met += ends(kind, nth, most).await.0;
        }
        println!("{kind:?}: {met} met at {writes} writes, {most:?}");
        all_met += met;
    }
    // How many writes there are is not always the same, because one can take several commits.
    assert!(writes >= 10 && all_met > 3 * writes, "{all_met} met at {writes} writes: too little happened");
}

#[tokio::test]
async fn all_or_none_wherever_a_write_fails() {
    at_every_write(Duration::ZERO).await;
}

/// With several commits in one write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_none_where_the_committer_has_a_thread_of_its_own() {
    at_every_write(Duration::from_micros(200)).await;
}
