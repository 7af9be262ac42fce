//! Calls that are made once, however often they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use modeller::prelude::*;
use modeller::storage::{Faults, Memory};
use modeller::test::TestApp;
use serde_json::{Map, Value, json};

#[model(id = "accounts", public)]
pub struct Account {
    pub cents: i64,
    pub pin: Private<String>,
}

#[value]
pub struct Pay {
    pub id: Id<Account>,
    pub cents: i64,
}

/// How often the handlers were run.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

#[method(Account)]
async fn pay(args: Pay, accounts: Model<Account>, State(runs): State<Runs>) -> Result<Doc<Account>> {
    runs.0.fetch_add(1, Ordering::Relaxed);
    let account = accounts.update(args.id, Account::CENTS.inc(args.cents)).await?;
    tokio::task::yield_now().await;
    if account.cents < 0 {
        return Err(Error::new("TOO_LITTLE"));
    }
    Ok(account)
}

#[method(Account)]
async fn total(accounts: Model<Account>, State(runs): State<Runs>) -> Result<i64> {
    runs.0.fetch_add(1, Ordering::Relaxed);
    Ok(accounts.find(Filter::all()).await?.iter().map(|account| account.cents).sum())
}

#[method(Account)]
async fn long() -> Result<String> {
    Ok("x".repeat(2 << 20))
}

#[method(Account)]
async fn long_after_a_write(accounts: Model<Account>) -> Result<String> {
    accounts.insert(account()).await?;
    Ok("x".repeat(2 << 20))
}

fn build(runs: &Runs) -> impl Fn() -> modeller::AppBuilder + Send + Sync + 'static + use<> {
    let runs = runs.clone();
    move || App::new().model::<Account>().state(runs.clone())
}

async fn opened(runs: &Runs) -> (App, Id<Account>) {
    let app = build(runs)().in_memory().open().await.unwrap();
    let account = app.model::<Account>().insert(account()).await.unwrap();
    (app, account.id())
}

fn account() -> Account {
    Account { cents: 0, pin: "secret".to_owned().into() }
}

fn verified(subject: &str) -> Caller {
    let mut claims = Map::new();
    claims.insert("sub".into(), subject.into());
    Caller::verified(claims)
}

#[tokio::test]
async fn a_call_with_a_key_is_made_once_and_answers_the_same() {
    let runs = Runs::default();
    let (app, id) = opened(&runs).await;
    let accounts = app.model::<Account>();
    let args = json!({"id": id, "cents": 5});
    let first = accounts.call_once("k", "pay", args.clone()).await.unwrap();
    accounts.update(&id, Account::CENTS.inc(100)).await.unwrap();
    let again = accounts.call_once("k", "pay", args.clone()).await.unwrap();
    assert_eq!((&first, first["cents"].as_i64(), runs.0.load(Ordering::Relaxed)), (&again, Some(5), 1));
    assert!(first.get("pin").is_none(), "{first}");
    // The order of members says nothing; the arguments do.
    let turned: Value = serde_json::from_str(&format!(r#"{{"cents":5,"id":"{id}"}}"#)).unwrap();
    assert_eq!(accounts.call_once("k", "pay", turned).await.unwrap(), first);
    let error = accounts.call_once("k", "pay", json!({"id": id, "cents": 6})).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::IdempotencyMismatch);
    // Another key is another call.
    assert_eq!(accounts.call_once("l", "pay", args).await.unwrap()["cents"], 110);
    for wrong in ["", "a b", "ä"] {
        let error = accounts.call_once(wrong, "total", json!({})).await.unwrap_err();
        assert_eq!(error.code(), &ErrorCode::InvalidRequest);
    }
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_its_method() {
    let runs = Runs::default();
    let app = TestApp::open(build(&runs)).await.unwrap();
    let id = app.model::<Account>().insert(account()).await.unwrap().id();
    let args = json!({"id": id, "cents": 1});
    let key = "0190b0a0-7e0c-7000";
    for (at, caller) in [verified("a"), verified("b"), Caller::anyone(), Caller::application()].iter().enumerate() {
        let accounts = app.model_as::<Account>(caller).unwrap();
        for _ in 0..2 {
            assert_eq!(accounts.call_once(key, "pay", args.clone()).await.unwrap()["cents"], at as i64 + 1);
        }
        assert_eq!(accounts.call_once(key, "total", json!({})).await.unwrap(), at as i64 + 1);
        // Those that nobody knows have their keys in common, and must not meet by chance.
        let short = accounts.call_once("fifteen-letters", "total", json!({})).await;
        assert_eq!(short.is_err(), at == 2, "{short:?}");
    }
}

#[tokio::test]
async fn what_failed_or_wrote_nothing_is_made_again_and_leaves_nothing() {
    let runs = Runs::default();
    let memory = Memory::new();
    let app = build(&runs)().storage(memory.clone()).open().await.unwrap();
    let accounts = app.model::<Account>();
    let id = accounts.insert(account()).await.unwrap().id();
    let groups = memory.history().len();
    for _ in 0..2 {
        assert_eq!(accounts.call_once("k", "total", json!({})).await.unwrap(), 0);
        let error = accounts.call_once("l", "pay", json!({"id": id, "cents": -1})).await.unwrap_err();
        assert_eq!(error.code().as_str(), "TOO_LITTLE");
        assert_eq!(accounts.call_once("m", "long", json!({})).await.unwrap().as_str().unwrap().len(), 2 << 20);
        let error = accounts.call_once("n", "long_after_a_write", json!({})).await.unwrap_err();
        assert_eq!(error.code(), &ErrorCode::TransactionTooLarge);
    }
    assert_eq!(memory.history().len(), groups, "nothing was stored");
    assert_eq!(runs.0.load(Ordering::Relaxed), 4);
    // The same key may be used with other arguments after a failure.
    assert_eq!(accounts.call_once("l", "pay", json!({"id": id, "cents": 3})).await.unwrap()["cents"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_that_ask_at_the_same_time_wait_for_the_first() {
    let runs = Runs::default();
    let (app, id) = opened(&runs).await;
    let args = json!({"id": id, "cents": 1});
    for round in 0..20 {
        let asked: Vec<_> = (0..16)
            .map(|_| {
                let (accounts, args) = (app.model::<Account>(), args.clone());
                tokio::spawn(async move { accounts.call_once(&format!("k{round}"), "pay", args).await.unwrap() })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap()["cents"], round + 1);
        }
    }
    assert_eq!(runs.0.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn a_call_in_a_transaction_is_recorded_by_its_commit() {
    let runs = Runs::default();
    let (app, id) = opened(&runs).await;
    let pay = |tx: Transaction, fails: bool| {
        let args = json!({"id": id, "cents": 1});
        async move {
            let accounts = tx.model::<Account>()?;
            let first = accounts.call_once("k", "pay", args.clone()).await?;
            assert_eq!(accounts.call_once("k", "pay", args).await?, first);
            if fails { Err(Error::new("NO")) } else { Ok(first) }
        }
    };
    app.transaction(|tx| pay(tx, true)).await.unwrap_err();
    assert_eq!(app.transaction(|tx| pay(tx, false)).await.unwrap()["cents"], 1);
    assert_eq!(app.transaction(|tx| pay(tx, false)).await.unwrap()["cents"], 1);
    assert_eq!(runs.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_answer_survives_a_restart_and_is_kept_for_a_day() {
    let runs = Runs::default();
    let mut app = TestApp::open(build(&runs)).await.unwrap();
    let id = app.model::<Account>().insert(account()).await.unwrap().id();
    let args = json!({"id": id, "cents": 1});
    app.model::<Account>().call_once("k", "pay", args.clone()).await.unwrap();
    app.crash().await.unwrap();
    assert_eq!(app.model::<Account>().call_once("k", "pay", args.clone()).await.unwrap()["cents"], 1);
    app.advance(Duration::from_secs(23 * 3600));
    assert_eq!(app.model::<Account>().call_once("k", "pay", args.clone()).await.unwrap()["cents"], 1);
    app.advance(Duration::from_secs(3600));
    let other = json!({"id": id, "cents": 7});
    assert_eq!(app.model::<Account>().call_once("k", "pay", other.clone()).await.unwrap()["cents"], 8);
    assert_eq!(app.model::<Account>().call_once("k", "pay", other).await.unwrap()["cents"], 8);
}

/// What is kept for long enough is cleared away, also from the store.
#[tokio::test]
async fn what_was_kept_for_long_enough_is_gone() {
    let runs = Runs::default();
    let memory = Memory::new();
    let calls = |memory: &Memory| {
        let text = format!("{:?}", memory.history());
        text.matches("@calls").count()
    };
    let app = TestApp::on(memory.clone(), build(&runs)).await.unwrap();
    let id = app.model::<Account>().insert(account()).await.unwrap().id();
    for at in 0..50 {
        let args = json!({"id": id, "cents": 1});
        app.model::<Account>().call_once(&format!("k{at}"), "pay", args).await.unwrap();
    }
    let kept = calls(&memory);
    assert!(kept >= 50, "{kept}");
    app.advance(Duration::from_secs(25 * 3600));
    for _ in 0..200 {
        if calls(&memory) >= kept + 50 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was cleared: {kept}, {}", calls(&memory));
}

/// Whatever the store does, who asks until he is answered has paid once.
#[tokio::test]
async fn a_call_is_made_once_whatever_the_store_does() {
    for seed in 0..60 {
        let runs = Runs::default();
        let memory = Memory::new();
        let app = build(&runs)().storage(memory.clone()).open().await.unwrap();
        let id = app.model::<Account>().insert(account()).await.unwrap().id();
        drop(app);
        let args = json!({"id": id, "cents": 1});
        let mut faults = match seed % 3 {
            0 => Faults::seeded(seed).crash_during(2),
            1 => Faults::seeded(seed).fail_append(2),
            _ => Faults::seeded(seed).lose_answers(0.5),
        };
        let mut answer = None;
        for _ in 0..10 {
            let opened = build(&runs)().storage(memory.reopen_with(faults)).open().await;
            faults = Faults::seeded(seed);
            let Ok(app) = opened else { continue };
            if let Ok(answered) = app.model::<Account>().call_once("k", "pay", args.clone()).await {
                answer = Some(answered);
                break;
            }
        }
        assert_eq!(answer.unwrap()["cents"], 1, "seed {seed}");
        let app = build(&runs)().storage(memory.reopen()).open().await.unwrap();
        assert_eq!(app.model::<Account>().get(&id).await.unwrap().unwrap().cents, 1, "seed {seed}");
    }
}
