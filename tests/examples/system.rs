//! P3: a root that is put together from extensions. P4: a worker that keeps documents in step with the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::{Value, json};

async fn ask(served: &Served, method: &str, path: &str, body: Value) -> (u16, Value) {
    let mut connection = Connection::open(served.addr).await.unwrap();
    let body = Some(body).filter(|body| !body.is_null());
    let answer = connection.json(method, path, body.as_ref()).await.unwrap();
    (answer.status, answer.json())
}

/// Waits until the program knows of the port, or no more.
async fn knows(served: &Served, port: u16, wanted: bool) -> Value {
    let begun = Instant::now();
    loop {
        let found = ask(served, "POST", "/system.firewall/@query", json!({"filter": {"port": port}})).await.1;
        if found["items"].as_array().unwrap().is_empty() != wanted {
            return found["items"][0].clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{port} {wanted}: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_system_of_ssh_docker_and_firewall() {
    let data = Folder::new();
    let served = Served::start(env!("CARGO_BIN_EXE_system"), data.path());
    let models = ask(&served, "GET", "/@metadata", Value::Null).await.1;
    assert_eq!(models["models"][0]["id"], "system");
    assert_eq!(models["models"][0]["extensions"], json!(["docker", "firewall", "ssh"]));
    let key = json!({"user": "ada", "key": "ssh-ed25519 AAAA"});
    assert_eq!(ask(&served, "POST", "/system.ssh", key).await.0, 201);
    assert_eq!(ask(&served, "POST", "/system.docker", json!({"name": "db", "image": "postgres"})).await.0, 201);
    let started = ask(&served, "POST", "/system.docker/start", json!({"name": "db"})).await.1;
    assert_eq!(started["running"], true);
    let overview = ask(&served, "POST", "/system/overview", Value::Null).await.1;
    assert_eq!((&overview["accounts"], &overview["containers"]), (&json!(1), &json!(1)));
    assert_eq!(ask(&served, "POST", "/system.ssh/revoke", json!({"user": "ada"})).await.1["revoked"], true);
    assert_eq!(ask(&served, "POST", "/system/overview", Value::Null).await.1["accounts"], 0);
    // A method of one is none of another.
    assert_eq!(ask(&served, "POST", "/system/revoke", json!({"user": "ada"})).await.1["code"], "METHOD_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_worker_that_follows_what_the_machine_listens_to() {
    if !std::path::Path::new("/proc/net/tcp").exists() {
        eprintln!("ignored: this machine has no /proc/net/tcp");
        return;
    }
    let data = Folder::new();
    let served = Served::start(env!("CARGO_BIN_EXE_system"), data.path());
    // The program itself, first of all.
    knows(&served, served.addr.port(), true).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let found = knows(&served, addr.port(), true).await;
    assert_eq!(found["listens"], addr.to_string());
    let path = format!("/system.firewall/{}", found["_id"].as_str().unwrap());
    assert_eq!(ask(&served, "DELETE", &path, Value::Null).await.1["code"], "FORBIDDEN");
    let own = json!({"listens": "1.2.3.4:5", "port": 5});
    assert_eq!(ask(&served, "POST", "/system.firewall", own).await.1["code"], "FORBIDDEN");
    drop(listener);
    knows(&served, addr.port(), false).await;
}

#[test]
fn its_client_is_what_it_was() {
    modeller_tests::typescript::is_golden("system", env!("CARGO_BIN_EXE_system"));
}
