//! The quickstart does what it and the README say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use modeller_tests::schemathesis::exercise;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const README: &str = include_str!("../../README.md");
const PROGRAM: &str = include_str!("../../examples/quickstart/src/main.rs");
const QUICKSTART: &str = env!("CARGO_BIN_EXE_quickstart");

/// As strangers would find it: asked at random, it does what it says, and nothing makes it fail.
#[test]
#[ignore = "a while; run by .ci/run"]
fn nothing_is_found_by_asking_the_quickstart_at_random() {
    exercise(Path::new(QUICKSTART), &[]);
}

#[test]
fn the_readme_shows_the_program() {
    let (_header, program) = PROGRAM.split_once("\n\n").unwrap();
    assert!(README.contains(&format!("```rust\n{program}```\n")), "README.md has another program than the quickstart");
}

/// Blocks of the README that ask the quickstart: commands behind `$ `, each followed by the answer. The others are about the program
/// `modeller`, whose tests run them.
fn blocks() -> Vec<Vec<(String, String)>> {
    let mut blocks = Vec::new();
    for block in README.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        let mut commands = Vec::<(String, String)>::new();
        for line in block.lines().filter(|line| !line.is_empty()) {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.into(), String::new())),
                (None, Some((_, answer))) => answer.push_str(line),
                (None, None) => panic!("an answer without a command: {line}"),
            }
        }
        if commands.iter().all(|(command, _)| command.starts_with("curl ")) {
            blocks.push(commands);
        }
    }
    blocks
}

/// The words of a command, without quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in command.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// What curl would do.
async fn curl(connection: &mut Connection, command: &str) -> Value {
    let (mut method, mut path, mut body, mut query) = ("GET".to_owned(), String::new(), None, Vec::new());
    let mut words = words(command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"));
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => {
                body = serde_json::from_str::<Value>(&words.next().unwrap()).unwrap().into();
                if method == "GET" {
                    method = "POST".into();
                }
            }
            "-X" => method = words.next().unwrap(),
            "-G" => {}
            "--data-urlencode" | "-d" => query.push(encoded(&words.next().unwrap())),
            url => path = url.strip_prefix("localhost:3030").expect("an address of the quickstart").to_owned(),
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    connection.json(&method, &path, body.as_ref()).await.unwrap().json()
}

/// `name=value` as in a URL (RFC 3986 §2.1).
fn encoded(parameter: &str) -> String {
    let (name, value) = parameter.split_once('=').unwrap();
    let value: String = value
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("{name}={value}")
}

/// Without what differs from run to run.
fn masked(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members {
                let differs = matches!(name.as_str(), "_id" | "_rev" | "seq");
                *member = if differs { Value::from("…") } else { masked(member.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = masked(item.take())),
        _ => {}
    }
    value
}

#[tokio::test]
async fn the_readmes_commands_have_the_printed_answers_also_after_a_restart() {
    let folder = Folder::new();
    let blocks = blocks();
    assert!(blocks.len() >= 2, "before and after the restart");
    for block in blocks {
        // Killed at the end of each block, so that the next one sees what survives that.
        let served = Served::start(QUICKSTART, folder.path());
        let mut connection = Connection::open(served.addr).await.unwrap();
        for (command, answer) in block {
            let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert_eq!(masked(curl(&mut connection, &command).await), masked(answer), "{command}");
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn receive(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(std::time::Duration::from_secs(20), socket.next()).await;
    serde_json::from_str(message.unwrap().unwrap().unwrap().to_text().unwrap()).unwrap()
}

async fn request(socket: &mut Socket, method: &str, params: Value) {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::text(request.to_string())).await.unwrap();
}

#[tokio::test]
async fn who_subscribed_to_the_admins_hears_of_them() {
    let folder = Folder::new();
    let served = Served::start(QUICKSTART, folder.path());
    let url = format!("ws://{}/@socket", served.addr);
    let (mut admins, _) = connect_async(url.as_str()).await.unwrap();
    let (mut users, _) = connect_async(url.as_str()).await.unwrap();
    for (socket, role) in [(&mut admins, "admin"), (&mut users, "user")] {
        request(socket, "subscribe", json!({"model": "users", "filter": {"role": role}})).await;
        assert_eq!(receive(socket).await["result"]["room"], format!(r#"{{"role":"{role}"}}"#));
    }
    let mut connection = Connection::open(served.addr).await.unwrap();
    let ada = json!({"email": "Ada@example.com", "password": "correct horse"});
    assert_eq!(connection.json("POST", "/users", Some(&ada)).await.unwrap().status, 201);
    let promoted = connection.json("POST", "/users/promote", Some(&json!({"email": "ada@example.com"}))).await.unwrap();
    assert_eq!(receive(&mut admins).await["params"]["payload"], promoted.json());

    let room = json!({"model": "users", "filter": {"role": "admin"}, "event": "say", "args": {"text": "welcome"}});
    request(&mut users, "dispatch", room).await;
    assert_eq!(receive(&mut admins).await["params"]["payload"], json!({"text": "welcome"}));
    // Nothing of another room came before the answer.
    assert_eq!(receive(&mut users).await["id"], 1);
}

#[test]
fn its_client_is_what_it_was() {
    modeller_tests::typescript::is_golden("quickstart", env!("CARGO_BIN_EXE_quickstart"));
}
