//! A program that serves, and clients that are not ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::process::Stdio;

use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const UPDATES: i64 = 2_000;
const ENTRIES: i64 = 8;

async fn subscriber(served: &Served, filter: &Value) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/js/subscriber.mjs"))
        .args([format!("ws://{}/@socket", served.addr), "entries".into(), filter.to_string()])
        .env("MODELLER_NPM", env!("MODELLER_NPM"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(ready["ready"]["room"], filter.to_string());
    (child, lines)
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(std::time::Duration::from_secs(30), lines.next_line()).await;
    serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(has_ws), ignore = "needs node and the npm package ws in $MODELLER_NPM; .ci/run installs it")]
async fn a_foreign_client_misses_nothing() {
    let folder = Folder::new();
    let served = Served::start(env!("CARGO_BIN_EXE_served"), folder.path());
    let mut connection = Connection::open(served.addr).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..ENTRIES {
        let body = json!({"name": format!("red-{n}"), "team": "red"});
        ids.push(
            connection.json("POST", "/entries", Some(&body)).await.unwrap().json()["_id"].as_str().unwrap().to_owned(),
        );
    }
    let blue = json!({"name": "blue", "team": "blue"});
    let blue =
        connection.json("POST", "/entries", Some(&blue)).await.unwrap().json()["_id"].as_str().unwrap().to_owned();
    let (_red_child, mut reds) = subscriber(&served, &json!({"team": "red"})).await;
    let (_blue_child, mut blues) = subscriber(&served, &json!({"team": "blue"})).await;

    // Sixteen callers, by operators and by a method that reads and writes, so that commits come in groups.
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (addr, ids) = (served.addr, ids.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(addr).await.unwrap();
                for step in 0..UPDATES / 16 {
                    let id = &ids[usize::try_from((caller + step) % ENTRIES).unwrap()];
                    let answer = if step % 2 == 0 {
                        connection.json("PATCH", &format!("/entries/{id}"), Some(&json!({"$inc": {"n": 1}}))).await
                    } else {
                        connection.json("POST", "/entries/bump", Some(&json!({"id": id}))).await
                    };
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.json());
                }
            })
        })
        .collect();
    let mut last_seq = 0;
    let mut counts: HashMap<String, i64> = HashMap::new();
    for _ in 0..UPDATES {
        let heard = next(&mut reds).await;
        assert_eq!(heard["method"], "publish");
        let seq = heard["seq"].as_u64().unwrap();
        assert!(seq > last_seq, "{seq} after {last_seq}");
        last_seq = seq;
        let count = counts.entry(heard["payload"]["id"].as_str().unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(heard["payload"]["n"], *count, "one is missing or doubled");
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(counts.values().sum::<i64>(), UPDATES);

    // The other one has heard nothing: what it hears first is its own.
    let answer = connection.json("PATCH", &format!("/entries/{blue}"), Some(&json!({"n": 7}))).await.unwrap();
    assert_eq!(answer.status, 200);
    let heard = next(&mut blues).await;
    assert_eq!((&heard["payload"]["id"], &heard["payload"]["n"]), (&json!(blue), &json!(7)));
    // And the first one nothing more.
    let first = json!({"n": 0});
    connection.json("PATCH", &format!("/entries/{}", ids[0]), Some(&first)).await.unwrap();
    assert_eq!(next(&mut reds).await["payload"]["n"], 0);
}

/// 64 callers count one document up 500 times each, by an operator and by a method that reads and writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_over_http_are_exact_and_nobody_conflicts() {
    const CALLERS: i64 = 64;
    const EACH: i64 = 500;
    let folder = Folder::new();
    let served = Served::start(env!("CARGO_BIN_EXE_served"), folder.path());
    let mut connection = Connection::open(served.addr).await.unwrap();
    let counter = connection.json("POST", "/counters", Some(&json!({"n": 0}))).await.unwrap().json();
    let entry = connection.json("POST", "/entries", Some(&json!({"name": "one"}))).await.unwrap().json();
    let path = |model: &str, doc: &Value| format!("/{model}/{}", doc["_id"].as_str().unwrap());
    let (counter_path, entry_path) = (path("counters", &counter), path("entries", &entry));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (addr, counter, entry) = (served.addr, counter_path.clone(), entry_path.clone());
            let id = json!({"id": entry.rsplit('/').next().unwrap()});
            tokio::spawn(async move {
                let mut connection = Connection::open(addr).await.unwrap();
                let inc = json!({"$inc": {"n": 1}});
                for step in 0..EACH {
                    // Without hooks, which is an intent; with one, which is a transaction; and a method.
                    for (method, path, body) in
                        [("PATCH", &counter, &inc), ("PATCH", &entry, &inc), ("POST", &"/entries/bump".to_owned(), &id)]
                    {
                        if method == "PATCH" && path == &entry && step % 10 != 0 {
                            continue;
                        }
                        let answer = connection.json(method, path, Some(body)).await.unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.json());
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    // The first one was idle for longer than the server keeps a connection.
    let mut connection = Connection::open(served.addr).await.unwrap();
    let n = |answer: modeller_tests::http::Answer| answer.json()["n"].as_i64().unwrap();
    assert_eq!(n(connection.json("GET", &counter_path, None).await.unwrap()), CALLERS * EACH);
    assert_eq!(n(connection.json("GET", &entry_path, None).await.unwrap()), CALLERS * (EACH + EACH / 10));
}
