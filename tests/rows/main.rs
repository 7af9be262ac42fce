//! Tests for the rows of the reference package, named after them; those that are not here stand with what they are about. Each asks in process, and
//! over HTTP where the row is about what callers see, of models with a Rust type and of those given as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]

mod behaviour;
mod data;
mod errors;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use modeller::HookEvent;
use modeller::prelude::*;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

/// In every private value of these tests.
const SECRET: &str = "correct-horse-battery";

#[value]
#[derive(Default, PartialEq)]
pub enum Role {
    /// With a text of its own, as any variant may have.
    #[default]
    User,
    /// Another one.
    Admin,
}

#[model(id = "teams", public)]
pub struct Team {
    #[field(unique)]
    pub name: String,
}

#[model(id = "users", public, unique(nick, role))]
pub struct User {
    #[field(unique, format = "email", max_length = 40, error_message(format = "${0} is no address"))]
    pub email: String,
    #[field(min_length = 12)]
    pub password: Private<String>,
    #[field(default)]
    pub salary: Protected<Option<i64>>,
    #[field(index, default = 18, minimum = 0, error_message = "an age is a number of years")]
    pub age: i64,
    #[field(default)]
    pub role: Role,
    #[field(default, hidden)]
    pub nick: Option<String>,
    #[field(default, references = Team::_ID, on_delete = set_null)]
    pub team: Option<Id<Team>>,
}

#[value]
pub struct Say {
    pub text: String,
}

#[method(User)]
async fn me(args: String, users: Model<User>) -> Result<Option<Doc<User>>> {
    users.get(User::EMAIL.eq(args)).await
}

#[method(User)]
async fn quota() -> Result<()> {
    Err(Error::new("QUOTA_EXCEEDED").message("only 3 are free").status(402).detail("limit", 3))
}

#[event(User)]
async fn say(args: Say, room: Subscription<User>) -> Result<()> {
    room.publish(&args.text).await
}

/// The same model given as JSON, under the id `people`.
fn people() -> SchemaModel {
    let schema = json!({
        "type": "object",
        "properties": {
            "email": {"type": "string", "format": "email", "maxLength": 40, "unique": true,
                      "errorMessage": {"format": "${0} is no address"}},
            "password": {"type": "string", "minLength": 12, "private": true},
            "salary": {"type": ["integer", "null"], "protected": true},
            "age": {"type": "integer", "minimum": 0, "default": 18, "index": true,
                    "errorMessage": "an age is a number of years"},
            "role": {"enum": ["user", "admin"], "default": "user"},
            "nick": {"type": ["string", "null"], "hidden": true},
            "team": {"type": ["string", "null"], "model": "teams._id", "onDelete": "setNull"},
        },
        "required": ["email", "password"],
        "unique": [["nick", "role"]],
        "additionalProperties": false,
    });
    SchemaModel::new("people", schema).public().client_ids()
}

/// An application with both, and who asks it.
struct World {
    app: App,
    router: Router,
    bearer: String,
}

/// The models that every row is asked of.
const MODELS: [&str; 2] = ["users", "people"];

async fn world() -> World {
    let builder = App::new().model::<Team>().model::<User>().schema_model(people());
    let app = builder.secret(b"0123456789abcdef0123456789abcdef-rows").in_memory().open().await.unwrap();
    let claims = Map::from_iter([("sub".to_owned(), "ada".into())]);
    let bearer = format!("Bearer {}", app.sign_token(claims, Duration::from_secs(60)).unwrap());
    World { router: app.router(), bearer, app }
}

/// Status and body of an answer.
type Answer = (u16, Value);

async fn send(router: &Router, method: &str, path: &str, body: Value, bearer: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "private: {method} {path}");
    let expected = if parts.status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(parts.headers["content-type"], expected, "{method} {path}: {}", String::from_utf8_lossy(&bytes));
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap())
}

impl World {
    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        send(&self.router, method, path, body, None).await
    }

    async fn ask_verified(&self, method: &str, path: &str, body: Value) -> Answer {
        send(&self.router, method, path, body, Some(&self.bearer)).await
    }

    /// The model as JSON, whatever it is made of.
    fn model(&self, id: &str) -> Model<Document> {
        self.app.model_by_id(id).unwrap()
    }

    /// Runs a function at an event of a model.
    fn hook(&self, model: &str, id: &str, event: HookEvent, run: impl Fn() -> Result<()> + Send + Sync + 'static) {
        let hooked = if model == "users" {
            self.app.model::<User>().hook(id, [event], move |_| {
                let done = run();
                Box::pin(async move { done })
            })
        } else {
            self.model(model).hook(id, [event], move |_| {
                let done = run();
                Box::pin(async move { done })
            })
        };
        hooked.unwrap();
    }

    async fn inserted(&self, model: &str, body: Value) -> Value {
        let (status, body) = self.ask("POST", &format!("/{model}"), body).await;
        assert_eq!(status, 201, "{model}: {body}");
        body
    }

    /// The values of a member of what a query answers, in order.
    async fn listed(&self, model: &str, query: Value, member: &str) -> Vec<Value> {
        let (status, list) = self.ask("POST", &format!("/{model}/@query"), query.clone()).await;
        assert_eq!(status, 200, "{query}: {list}");
        list["items"].as_array().unwrap().iter().map(|item| item[member].clone()).collect()
    }
}

fn user(name: &str) -> Value {
    json!({"email": format!("{name}@example.com"), "password": SECRET})
}

fn filter(json: &Value) -> Filter<Document> {
    Filter::parse(json).unwrap()
}

/// The names of all tests beside this one, and in the folders beside its own.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What does not compile has no tests.
                if !path.ends_with("ui") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(tests_of(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn tests_of(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
            && is_test
        {
            found.insert(rest.split('(').next().unwrap().to_owned());
        }
        is_test = line.starts_with("#[tokio::test") || line.starts_with("#[test]");
    }
    found
}

#[test]
fn every_row_has_a_test_of_its_name() {
    let rows: Vec<&str> = include_str!("rows.txt").lines().filter(|line| !line.starts_with('#')).collect();
    let tests = tests();
    let mut named = BTreeSet::new();
    for row in &rows {
        let (number, promise) = row.split_once(' ').unwrap();
        let prefix = format!("{}_", number.to_lowercase());
        assert!(!promise.is_empty() && named.insert(prefix.clone()), "{row}");
        assert!(tests.iter().any(|test| test.starts_with(&prefix)), "no test of the row {row}");
    }
    // And here no test of a row that is not in the list.
    let sources = [include_str!("behaviour.rs"), include_str!("data.rs"), include_str!("errors.rs")];
    let here = sources.into_iter().flat_map(tests_of);
    let stray: Vec<String> = here.filter(|test| !named.iter().any(|prefix| test.starts_with(prefix))).collect();
    assert!(stray.is_empty(), "{stray:?}");
}
