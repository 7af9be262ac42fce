//! The yardstick measures the same work: both servers take the same, refuse the same, and pass the checks of the load.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::process::Command;

use modeller_tests::Folder;
use modeller_tests::http::{Answer, Connection};
use modeller_tests::process::Served;
use serde_json::{Value, json};

const SERVERS: [&str; 2] = [env!("CARGO_BIN_EXE_subject"), env!("CARGO_BIN_EXE_yardstick")];

fn user() -> Value {
    json!({
        "email": "ada@example.com", "name": "Ada", "role": "admin", "age": 36, "tags": ["a", "b"],
        "createdAt": "2024-01-01T00:00:00.000Z",
    })
}

/// Places and keywords of the violations.
fn violations(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let body = answer.json();
    let errors = body["errors"].as_array().into_iter().flatten();
    let mut found: Vec<_> = errors.map(|error| (text(&error["instancePath"]), text(&error["keyword"]))).collect();
    found.sort();
    found
}

#[tokio::test]
async fn they_take_and_refuse_the_same() {
    let mut bodies = vec![user(), user()];
    let fields: [(&str, &[Value]); 6] = [
        (
            "email",
            &[
                json!("a"),
                json!("@a.de"),
                json!("a@"),
                json!("a b@c.de"),
                json!("a..b@c.de"),
                json!("a@-b.de"),
                json!("a@b_c.de"),
                json!("a@b"),
                json!("o'neil+x@mail.example.com"),
                json!(null),
                json!(5),
            ],
        ),
        ("name", &[json!(""), json!("é".repeat(80)), json!("é".repeat(81)), json!({})]),
        ("role", &[json!("root"), json!("Admin"), json!(1)]),
        ("age", &[json!(-1), json!(151), json!(300), json!(1.5), json!("36")]),
        ("tags", &[json!(vec!["x"; 10]), json!(vec!["x"; 11]), json!([1, "a", null]), json!("a"), json!([])]),
        (
            "createdAt",
            &[
                json!("2024-02-29T23:59:60Z"),
                json!("2024-02-30T00:00:00Z"),
                json!("2024-01-01"),
                json!("2024-01-01T25:00:00Z"),
                json!("2024-01-01T00:00:00+25:00"),
                json!("2024-01-01T00:00:00.Z"),
                json!("2024-01-01t00:00:00z"),
                json!(0),
            ],
        ),
    ];
    for (number, (field, value)) in
        fields.iter().flat_map(|(field, values)| values.iter().map(move |v| (*field, v))).enumerate()
    {
        let mut body = user();
        body["email"] = json!(format!("user{number}@example.com"));
        body[field] = value.clone();
        bodies.push(body);
    }
    bodies.extend([json!({}), json!("a"), json!({"email": "b@example.com", "extra": 1})]);
    let mut answers = Vec::new();
    for server in SERVERS {
        let folder = Folder::new();
        let served = Served::start(server, folder.path());
        let mut connection = Connection::open(served.addr).await.unwrap();
        let mut of_server = Vec::new();
        for body in &bodies {
            let answer = connection.json("POST", "/users", Some(body)).await.unwrap();
            of_server.push((body.to_string(), answer.status, violations(&answer)));
        }
        answers.push(of_server);
    }
    let (yardstick, subject) = (answers.pop().unwrap(), answers.pop().unwrap());
    assert_eq!(subject.iter().map(|(_, status, _)| *status).take(2).collect::<Vec<_>>(), [201, 409]);
    let different: Vec<_> = subject.iter().zip(&yardstick).filter(|(a, b)| a != b).collect();
    assert!(different.is_empty(), "subject and yardstick: {different:#?}");
}

#[test]
fn the_load_accepts_the_answers_of_both_also_after_a_restart() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/cities/sample.json");
    for server in SERVERS {
        let folder = Folder::new();
        for workloads in [&["w1", "w2", "w3", "w4", "w7", "cities"][..], &["w3"]] {
            // A second start reads what the first one stored.
            let served = Served::start(server, folder.path());
            let output = Command::new(env!("CARGO_BIN_EXE_load"))
                .args(["run", "--url", &format!("http://{}", served.addr), "--pid", &served.child.id().to_string()])
                .args(["--label", "test/durable", "--cities", sample, "--scale", "0.02"])
                .args(workloads)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), workloads.len());
        }
    }
}
