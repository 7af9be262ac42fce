//! SIGKILL at random moments under 64 concurrent writers: what was acknowledged is there, nothing is half there, and what is
//! unique stays unique.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "counts that show what the test has done")]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modeller::prelude::*;
use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use modeller_tests::served::{Counter, Entry};
use modeller_tests::shop::{Journal, Stock, build};
use serde_json::json;

const KILLS: u64 = 50;
const WRITERS: u64 = 64;

/// What the clients were told.
#[derive(Default)]
struct Told {
    /// Id to the lowest and the highest count that it may have.
    inserted: HashMap<String, (i64, i64)>,
    deleted: HashSet<String>,
    refused: u64,
}

async fn write(addr: std::net::SocketAddr, kill: u64, writer: u64, told: Arc<Mutex<Told>>, over: Arc<AtomicBool>) {
    let Ok(mut connection) = Connection::open(addr).await else { return };
    for step in 0_u64.. {
        // Every fourth name is wanted by all.
        let name = if step % 4 == 0 { format!("all-{kill}-{step}") } else { format!("own-{kill}-{writer}-{step}") };
        let body = json!({"name": name, "team": "t", "secret": "x".repeat(200)});
        let Ok(answer) = connection.json("POST", "/entries", Some(&body)).await else { return };
        if answer.status == 409 {
            told.lock().unwrap().refused += 1;
            continue;
        }
        assert_eq!(answer.status, 201, "{}", answer.json());
        let id = answer.json()["_id"].as_str().unwrap().to_owned();
        told.lock().unwrap().inserted.insert(id.clone(), (0, 0));
        if step % 3 == 1 {
            told.lock().unwrap().inserted.insert(id.clone(), (0, 1));
            let path = format!("/entries/{id}");
            let Ok(answer) = connection.json("PATCH", &path, Some(&json!({"$inc": {"n": 1}}))).await else { return };
            assert_eq!(answer.status, 200, "{}", answer.json());
            told.lock().unwrap().inserted.insert(id.clone(), (1, 1));
        }
        if step % 7 == 6 {
            // Until it is answered it may be there or not.
            told.lock().unwrap().inserted.remove(&id);
            let Ok(answer) = connection.json("DELETE", &format!("/entries/{id}"), None).await else { return };
            assert_eq!(answer.status, 200, "{}", answer.json());
            told.lock().unwrap().deleted.insert(id);
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The ids of the documents in the trash, each of them there once.
async fn in_trash(entries: &Model<Entry>) -> HashSet<String> {
    let mut found = HashSet::new();
    loop {
        let page = entries.trash().list(Filter::all()).skip(found.len()).limit(modeller::MAX_LIMIT).await.unwrap();
        for one in &page {
            assert!(found.insert(one.document_id().to_string()), "{} is in the trash twice", one.document_id());
        }
        if page.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing() {
    let folder = Folder::new();
    let told = Arc::new(Mutex::new(Told::default()));
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut unknown, mut names) = (0, 0);
    for kill in 0..KILLS {
        let mut served = Served::start(env!("CARGO_BIN_EXE_served"), folder.path());
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(served.addr, kill, writer, told.clone(), over.clone())))
            .collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(40 + random % 300)).await;
        served.kill();
        over.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }

        // The store itself says whether a document is whole: it is decoded and was validated.
        let app = App::new().model::<Entry>().model::<Counter>().data(folder.path()).open().await.unwrap();
        let stored = app.model::<Entry>().find(Filter::all()).await.unwrap();
        let trash = in_trash(&app.model()).await;
        let told = told.lock().unwrap();
        let by_id: HashMap<String, &Doc<Entry>> = stored.iter().map(|entry| (entry.id().to_string(), entry)).collect();
        for (id, (least, most)) in &told.inserted {
            let entry = by_id.get(id).unwrap_or_else(|| panic!("kill {kill}: {id} was acknowledged and is lost"));
            assert!((*least..=*most).contains(&entry.n), "kill {kill}: {id} counts {}", entry.n);
        }
        assert!(told.deleted.iter().all(|id| !by_id.contains_key(id)), "kill {kill}: a deleted entry is back");
        assert!(told.deleted.iter().all(|id| trash.contains(id)), "kill {kill}: a deleted entry is not in the trash");
        assert!(trash.iter().all(|id| !by_id.contains_key(id)), "kill {kill}: an entry is there and in the trash");
        let unique: HashSet<&str> = stored.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(unique.len(), stored.len(), "kill {kill}: a unique name is there twice");
        assert!(
            stored.iter().all(|entry| entry.secret.get().is_some_and(|secret| secret.len() == 200)),
            "half a document"
        );
        unknown = stored.len() - told.inserted.len();
        names = unique.len();
    }
    let told = told.lock().unwrap();
    println!(
        "{KILLS} kills, {WRITERS} writers: {} acknowledged inserts, all there; {} deletes; {} refused as not unique; \
         {unknown} not acknowledged and there; {names} documents",
        told.inserted.len() + told.deleted.len(),
        told.deleted.len(),
        told.refused,
    );
    assert!(told.inserted.len() > 1_000, "too few writes to prove anything");
}

/// What one life of the shop said: numbers by word.
fn said(lines: &str) -> HashMap<&str, HashSet<u64>> {
    let mut said: HashMap<&str, HashSet<u64>> = HashMap::new();
    // Without the last line, when it was cut.
    let whole = lines.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        let (word, number) = line.split_once(' ').unwrap();
        assert!(said.entry(word).or_default().insert(number.parse().unwrap()), "twice: {line}");
    }
    said
}

/// A transaction with three models, a hook, two jobs, and events, killed at random moments beside its jobs: of each order all is
/// there or nothing, nobody heard of one that is not there, and each job has its effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_kills_leave_all_or_none_of_each_order() {
    let folder = Folder::new();
    let mut random = modeller_tests::random::Random::new(7);
    let (mut placed, mut heard, mut most) = (HashSet::new(), 0, 0);
    for kill in 0..30_u64 {
        let first = kill * 1_000_000;
        let out = folder.path().join(format!("said-{kill}"));
        let mut shop = std::process::Command::new(env!("CARGO_BIN_EXE_shop"))
            .arg(folder.path())
            .arg(first.to_string())
            .stdout(std::fs::File::create(&out).unwrap())
            .spawn()
            .unwrap();
        // Now and then before it is open.
        let begun = std::time::Instant::now();
        while kill % 5 != 4 && !std::fs::read_to_string(&out).unwrap().contains("open") {
            assert!(begun.elapsed() < Duration::from_secs(60), "the shop does not open");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(250) as u64)).await;
        shop.kill().unwrap();
        shop.wait().unwrap();
        let lines = std::fs::read_to_string(out).unwrap();
        let said = said(&lines);
        let of = |word: &str| said.get(word).cloned().unwrap_or_default();

        let app = build(Journal::new(|_, _| {})).data(folder.path()).open().await.unwrap();
        let stock = Stock::of(&app).await.unwrap();
        let when = format!("kill {kill}");
        stock.check(&when);
        most = most.max(stock.waiting());
        placed.extend(of("placed"));
        assert!(placed.is_subset(&stock.orders.iter().copied().collect()), "{when}: an order is lost");
        assert!(of("refused").iter().all(|number| number % 4 == 3 && !stock.orders.contains(number)), "{when}");
        assert!(stock.orders.iter().all(|number| number % 4 != 3), "{when}: a refused order is there");
        for word in ["published", "emitted", "noted", "after"] {
            let numbers = of(word);
            assert!(numbers.iter().all(|number| stock.orders.contains(number)), "{when}: {word} what is not there");
            heard += numbers.len();
        }
        drop(app);
    }

    // What is left of the jobs is done by one that nobody kills; the claims of the last one hold for a while.
    let app = build(Journal::new(|_, _| {})).data(folder.path()).open().await.unwrap();
    app.start_jobs();
    let begun = std::time::Instant::now();
    let stock = loop {
        let stock = Stock::of(&app).await.unwrap();
        if stock.waiting() == 0 {
            break stock;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{} jobs wait", stock.waiting());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    stock.check_done("at the end");
    assert_eq!(stock.effects.len(), 2 * stock.orders.len());
    println!(
        "{} orders over 30 kills, {} of them acknowledged; heard of {heard} times; {most} jobs waited",
        stock.orders.len(),
        placed.len()
    );
    assert!(placed.len() > 100, "too little happened");
}
