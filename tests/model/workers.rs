//! Workers by a clock that the test moves, and the testing kit itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modeller::test::TestApp;
use modeller::{Schedule, prelude::*};
use tokio::sync::mpsc;

const MINUTE: Duration = Duration::from_secs(60);

#[model(id = "rules")]
pub struct Rule {
    pub port: u16,
}

/// Where workers say that they ran.
#[derive(Clone)]
struct Ran(mpsc::UnboundedSender<String>);

#[worker(Rule, every = "1m")]
async fn sweep(ran: State<Ran>) -> Result<()> {
    ran.0.0.send("sweep".into()).unwrap();
    Err(Error::new("NOTHING_TO_SWEEP"))
}

#[worker(Rule, every = "1m", immediate = false, unnamed)]
async fn nameless(ran: State<Ran>) -> Result<()> {
    ran.0.0.send("nameless".into()).unwrap();
    panic!("a mistake of the author")
}

#[worker(Rule, cron = "0 3 * * *", zone = "Europe/Berlin")]
async fn nightly(ran: State<Ran>) -> Result<()> {
    ran.0.0.send("nightly".into()).unwrap();
    Ok(())
}

#[worker(Rule, every = "1m", id = "stops_itself")]
async fn suicidal(ran: State<Ran>, rules: Model<Rule>) -> Result<()> {
    assert!(rules.is_running("stops_itself"));
    rules.stop_worker("stops_itself");
    ran.0.0.send("stops_itself".into()).unwrap();
    Ok(())
}

async fn app() -> (TestApp, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let app = TestApp::open(move || App::new().model::<Rule>().state(Ran(sender.clone()))).await.unwrap();
    (app, receiver)
}

async fn heard(ran: &mut mpsc::UnboundedReceiver<String>, how_many: usize) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..how_many {
        let next = tokio::time::timeout(Duration::from_secs(10), ran.recv()).await;
        heard.push(next.unwrap_or_else(|_| panic!("only {heard:?} ran")).unwrap());
    }
    heard.sort();
    // Whatever should not have run would have had the time to say so.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(ran.try_recv().is_err(), "more than {heard:?} ran");
    heard
}

#[tokio::test]
async fn m6_workers_run_at_intervals_and_by_patterns() {
    let (app, mut ran) = app().await;
    let rules = app.model::<Rule>();
    assert!(heard(&mut ran, 0).await.is_empty());
    app.start_workers();
    assert_eq!(heard(&mut ran, 2).await, ["stops_itself", "sweep"]);
    // Errors and panics end nothing.
    for _ in 0..3 {
        app.advance(MINUTE);
        assert_eq!(heard(&mut ran, 2).await, ["nameless", "sweep"]);
    }
    rules.stop_worker("sweep");
    rules.stop_workers();
    rules.start_worker("nightly");
    app.advance(Duration::from_secs(24 * 3600));
    // Once for all that was missed, and not before its hour.
    let before = app.now();
    assert_eq!(heard(&mut ran, 1).await, ["nightly"]);
    app.advance(Duration::from_secs(24 * 3600));
    assert_eq!(heard(&mut ran, 1).await, ["nightly"]);
    assert_eq!(app.now().duration_since(before).unwrap(), Duration::from_secs(24 * 3600));
}

#[tokio::test]
async fn m7_workers_start_and_stop_by_their_ids() {
    let (app, mut ran) = app().await;
    let rules = app.model::<Rule>();
    assert_eq!(rules.workers().len(), 3);
    assert!(!rules.start_worker("nothing") && !rules.is_running("sweep"));
    assert!(rules.start_worker("sweep") && rules.is_running("sweep") && !rules.is_running("nightly"));
    assert_eq!(heard(&mut ran, 1).await, ["sweep"]);
    // A second start is none.
    assert!(rules.start_worker("sweep"));
    app.advance(MINUTE);
    assert_eq!(heard(&mut ran, 1).await, ["sweep"]);
    assert!(rules.stop_worker("sweep") && !rules.is_running("sweep"));
    app.advance(MINUTE);
    assert!(heard(&mut ran, 0).await.is_empty());
    // From inside of its own run.
    rules.start_worker("stops_itself");
    assert_eq!(heard(&mut ran, 1).await, ["stops_itself"]);
    assert!(!rules.is_running("stops_itself"));
    app.advance(MINUTE);
    assert!(heard(&mut ran, 0).await.is_empty());
    rules.start_worker("stops_itself");
    assert_eq!(heard(&mut ran, 1).await, ["stops_itself"]);
    app.stop_workers().await;
}

#[tokio::test]
async fn m6_a_worker_is_added_at_run_time() {
    let (app, _ran) = app().await;
    let rules = app.model::<Rule>();
    let runs = Arc::new(AtomicU32::new(0));
    let (counted, (begun, mut began)) = (runs.clone(), mpsc::unbounded_channel());
    rules
        .worker(Some("added"), Schedule::every(MINUTE), move |rules| {
            let (counted, begun) = (counted.clone(), begun.clone());
            async move {
                begun.send(()).unwrap();
                // The next one is due meanwhile, and waits: no two runs overlap.
                tokio::time::sleep(Duration::from_millis(30)).await;
                counted.fetch_add(1, Ordering::SeqCst);
                rules.insert(Rule { port: 22 }).await.map(drop)
            }
        })
        .unwrap();
    let twice = rules.worker(Some("added"), Schedule::every(MINUTE), |_| async { Ok(()) }).unwrap_err();
    assert!(twice.text().contains("`added`"), "{twice}");
    let none = rules.worker(None, Schedule::cron("every day"), |_| async { Ok(()) }).unwrap_err();
    assert!(none.text().contains("no cron pattern"), "{none}");
    assert!(rules.start_worker("added"));
    began.recv().await.unwrap();
    app.advance(MINUTE);
    app.advance(MINUTE);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    began.recv().await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // What has begun is finished.
    app.stop_workers().await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(rules.count(Filter::all()).await.unwrap(), 2);
    assert!(began.try_recv().is_err());
}

static OUTSIDE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

#[method(Rule)]
async fn careless(call: Call, tx: Transaction, rules: Model<Rule>) -> Result<u32> {
    OUTSIDE.lock().unwrap().push(call.attempt());
    rules.insert(Rule { port: 80 }).await?;
    tx.after_commit(|| async { OUTSIDE.lock().unwrap().push(0) })?;
    Ok(call.attempt())
}

#[tokio::test]
async fn the_first_run_of_a_transaction_is_thrown_away_in_tests() {
    let (app, _ran) = app().await;
    assert_eq!(app.model::<Rule>().careless().await.unwrap(), 2);
    assert_eq!(*OUTSIDE.lock().unwrap(), [1, 2, 0]);
    assert_eq!(app.model::<Rule>().count(Filter::all()).await.unwrap(), 1);
    let app = app.without_rehearsal().await.unwrap();
    assert_eq!(app.model::<Rule>().careless().await.unwrap(), 1);
    assert_eq!(app.model::<Rule>().count(Filter::all()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_crash_leaves_what_was_durable() {
    let (mut app, _ran) = app().await;
    let before = app.model::<Rule>();
    before.insert(Rule { port: 22 }).await.unwrap();
    app.crash().await.unwrap();
    assert_eq!(before.insert(Rule { port: 23 }).await.unwrap_err().code(), &ErrorCode::Unavailable);
    let rules = app.model::<Rule>();
    assert_eq!(rules.find(Filter::all()).await.unwrap()[0].port, 22);
    let hidden = app.model_as::<Rule>(&Caller::anyone()).unwrap();
    assert_eq!(hidden.count(Filter::all()).await.unwrap_err().code(), &ErrorCode::Forbidden);
}
