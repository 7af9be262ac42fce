//! P7: a model that is mirrored by an adapter, and filled from it at the start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::{Value, json};

fn start(mirror: &Path, data: &Path) -> Served {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mirror"));
    program.env("MIRROR", mirror);
    Served::start_command(program, data)
}

fn files(mirror: &Path) -> Vec<Value> {
    let mut found: Vec<Value> = std::fs::read_dir(mirror)
        .unwrap()
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.unwrap().path()).ok()?).ok())
        .collect();
    found.sort_by_key(|kept| kept["note"]["text"].to_string());
    found
}

/// Waits until the folder has these texts.
fn has(mirror: &Path, texts: &[&str]) {
    let begun = Instant::now();
    loop {
        let found = files(mirror);
        let found: Vec<&str> = found.iter().map(|kept| kept["note"]["text"].as_str().unwrap()).collect();
        if found == texts {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{found:?} instead of {texts:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_was_mirrored_is_there_when_the_store_is_lost() {
    let (mirror, data) = (Folder::new(), Folder::new());
    let mut served = start(mirror.path(), data.path());
    let mut connection = Connection::open(served.addr).await.unwrap();
    let mut ids = Vec::new();
    for text in ["a", "b", "c"] {
        let answer = connection.json("POST", "/notes", Some(&json!({"text": text}))).await.unwrap();
        assert_eq!(answer.status, 201);
        ids.push(answer.json()["_id"].as_str().unwrap().to_owned());
    }
    connection.json("PATCH", &format!("/notes/{}", ids[0]), Some(&json!({"text": "changed"}))).await.unwrap();
    connection.json("DELETE", &format!("/notes/{}", ids[1]), None).await.unwrap();
    has(mirror.path(), &["c", "changed"]);
    served.kill();

    // The store is lost; the folder is not, and somebody has changed something in it meanwhile.
    let mut kept = files(mirror.path()).remove(0);
    kept["note"]["text"] = "by hand".into();
    for entry in std::fs::read_dir(mirror.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(kept["id"].as_str().unwrap()) {
            std::fs::write(path, kept.to_string()).unwrap();
        }
    }
    let data = Folder::new();
    let mut served = start(mirror.path(), data.path());
    let texts = async |served: &Served| {
        let list = Connection::open(served.addr).await.unwrap().json("GET", "/notes", None).await.unwrap().json();
        let items = list["items"].as_array().unwrap().iter();
        items.map(|doc| (doc["_id"].clone(), doc["text"].clone())).collect::<Vec<_>>()
    };
    let expected = vec![(json!(ids[0]), json!("changed")), (json!(ids[2]), json!("by hand"))];
    assert_eq!(texts(&served).await, expected);
    served.kill();
    // And what is in both is there once.
    let served = start(mirror.path(), data.path());
    assert_eq!(texts(&served).await, expected);
}

#[test]
fn its_client_is_what_it_was() {
    modeller_tests::typescript::is_golden("mirror", env!("CARGO_BIN_EXE_mirror"));
}
