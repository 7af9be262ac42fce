//! P5: authorization and a quota by a hook before an insert.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use modeller::prelude::*;
use modeller::test::TestApp;
use quota::{Limits, Note, UsageMethod as _};
use serde_json::Map;

fn caller(name: &str) -> Caller {
    Caller::verified(Map::from_iter([("sub".to_owned(), name.into())]))
}

async fn app() -> TestApp {
    TestApp::open(|| App::new().model::<Note>().state(Limits { notes: 3, bytes: 100 })).await.unwrap()
}

fn note(text: &str) -> Note {
    Note { owner: "somebody else".into(), text: text.into() }
}

#[tokio::test]
async fn p5_a_quota_in_before_insert() {
    let app = app().await;
    let ada = app.model_as::<Note>(&caller("ada")).unwrap();
    for text in ["one", "two", "three"] {
        assert_eq!(ada.insert(note(text)).await.unwrap().owner, "ada");
    }
    let error = ada.insert(note("four")).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.get("notes").and_then(|it| it.as_u64())), ("QUOTA_EXCEEDED", Some(3)));
    let usage = ada.usage().await.unwrap();
    assert_eq!((usage.notes, usage.bytes, usage.most_notes), (3, 11, 3));
    // Somebody else has a quota of his own, which is of bytes too.
    let bob = app.model_as::<Note>(&caller("bob")).unwrap();
    bob.insert(note(&"x".repeat(90))).await.unwrap();
    assert_eq!(bob.insert(note(&"x".repeat(11))).await.unwrap_err().code().as_str(), "QUOTA_EXCEEDED");
    bob.insert(note(&"x".repeat(10))).await.unwrap();
    // What is deleted counts no more.
    let mine = ada.find(Note::OWNER.eq("ada")).await.unwrap();
    ada.delete(&mine[0]).await.unwrap();
    ada.insert(note("four")).await.unwrap();
}

#[tokio::test]
async fn p5_nobody_changes_what_is_not_his() {
    let app = app().await;
    let (ada, bob) = (app.model_as::<Note>(&caller("ada")).unwrap(), app.model_as::<Note>(&caller("bob")).unwrap());
    let one = ada.insert(note("one")).await.unwrap();
    assert_eq!(bob.update(&one, Note::TEXT.set("mine")).await.unwrap_err().code(), &ErrorCode::Forbidden);
    assert_eq!(bob.delete(&one).await.unwrap_err().code(), &ErrorCode::Forbidden);
    let given = ada.update(&one, Note::OWNER.set("bob") & Note::TEXT.set("two")).await.unwrap();
    assert_eq!((given.owner.as_str(), given.text.as_str()), ("ada", "two"));
    let anyone = app.model_as::<Note>(&Caller::anyone()).unwrap();
    assert_eq!(anyone.insert(note("x")).await.unwrap_err().code(), &ErrorCode::Unauthenticated);
}

/// Fifty at a time want the three places.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_no_number_of_inserts_at_the_same_time_gets_past_it() {
    let app = app().await;
    let tasks: Vec<_> = (0..50)
        .map(|at| {
            let ada = app.model_as::<Note>(&caller("ada")).unwrap();
            tokio::spawn(async move { ada.insert(note(&at.to_string())).await.map(drop) })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => stored += 1,
            Err(error) => assert_eq!(error.code().as_str(), "QUOTA_EXCEEDED"),
        }
    }
    assert_eq!((stored, app.model::<Note>().count(Filter::all()).await.unwrap()), (3, 3));
}

#[test]
fn its_client_is_what_it_was() {
    modeller_tests::typescript::is_golden("quota", env!("CARGO_BIN_EXE_quota"));
}
