//! One test for each way on which a private value could leave: in none of them does it.

use std::fmt::Write as _;
use std::sync::Mutex;

use axum::Router;
use modeller::prelude::*;
use serde_json::{Value, json};
use tracing::field::{Field as Said, Visit};
use tracing::span::{Attributes, Id as SpanId, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{CANARY, ask, ask_with, serve};

#[value]
pub struct Key {
    pub name: String,
    #[field(min_length = 3, max_length = 60)]
    pub code: Private<String>,
}

#[model(id = "vaults", public)]
pub struct Vault {
    #[field(unique)]
    pub name: String,
    #[field(min_length = 12, max_length = 60, pattern = "^[a-z-]+$")]
    pub secret: Private<String>,
    #[field(default, format = "email")]
    pub mail: Private<Option<String>>,
    #[field(default, maximum = 10)]
    pub count: Private<i64>,
    #[field(default)]
    pub keys: Vec<Key>,
    #[field(default)]
    pub level: i64,
}

/// Answers with the whole document.
#[method(Vault)]
async fn open(args: String, vaults: Model<Vault>) -> Result<Option<Doc<Vault>>> {
    vaults.get(Vault::NAME.eq(args)).await
}

/// Fails with what it was given.
#[method(Vault)]
async fn fail(args: String) -> Result<()> {
    Err(Error::internal(args))
}

fn vault(name: &str) -> Value {
    json!({"name": name, "secret": CANARY, "keys": [{"name": "k", "code": CANARY}]})
}

async fn vaults() -> (App, Router) {
    let app = App::new().model::<Vault>().in_memory().open().await.unwrap();
    let router = app.router();
    (app, router)
}

/// Asks, and looks through status, headers and body.
async fn asked(router: &Router, method: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = ask(router, method, path, body).await;
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(!text.contains(CANARY), "{method} {path}: {text}");
    assert!(!format!("{:?}", answer.headers).contains(CANARY), "{method} {path}: {:?}", answer.headers);
    (answer.status.as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn private_never_in_responses() {
    let (_app, router) = vaults().await;
    let (status, made) = asked(&router, "POST", "/vaults", vault("a")).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["keys"], json!([{"name": "k"}]));
    let path = format!("/vaults/{}", made["_id"].as_str().unwrap());
    let secrets = json!({"secret": CANARY, "keys": [{"name": "k", "code": CANARY}]});
    for (method, body) in [
        ("GET", Value::Null),
        ("PATCH", json!({"level": 1})),
        ("PATCH", secrets.clone()),
        ("PATCH", json!({"$set": {"secret": CANARY, "keys.0.code": CANARY}})),
        ("PATCH", json!({"$push": {"keys": {"name": "l", "code": CANARY}}})),
        ("PUT", vault("b")),
        ("DELETE", Value::Null),
    ] {
        let (status, answer) = asked(&router, method, &path, body).await;
        assert!((200..300).contains(&status), "{method}: {answer}");
        assert!(answer.get("secret").is_none() && answer.get("count").is_none(), "{method}: {answer}");
    }
}

#[tokio::test]
async fn private_never_in_answers_of_methods() {
    let (_app, router) = vaults().await;
    asked(&router, "POST", "/vaults", vault("a")).await;
    let (status, answer) = asked(&router, "POST", "/vaults/open", json!("a")).await;
    assert_eq!((status, &answer["name"], answer.get("secret")), (200, &json!("a"), None));
    let (status, answer) = asked(&router, "POST", "/vaults/fail", json!(CANARY)).await;
    assert_eq!((status, &answer["code"]), (500, &json!("INTERNAL")));
}

#[tokio::test]
async fn private_never_in_lists() {
    let (_app, router) = vaults().await;
    for name in ["a", "b", "c"] {
        asked(&router, "POST", "/vaults", vault(name)).await;
    }
    for query in ["", "?limit=1", "?sort=%7B%22name%22:-1%7D", "?filter=%7B%22name%22:%22a%22%7D", "?count=true"] {
        let (status, list) = asked(&router, "GET", &format!("/vaults{query}"), Value::Null).await;
        assert_eq!(status, 200, "{list}");
        assert!(list["items"][0].get("name").is_some() && list["items"][0].get("secret").is_none(), "{list}");
    }
    let (status, list) = asked(&router, "POST", "/vaults/@query", json!({"limit": 2})).await;
    assert_eq!((status, list["items"].as_array().map(Vec::len)), (200, Some(2)));
}

/// What comes back for a private name and for one that does not exist, without the names.
async fn alike(router: &Router, query: impl Fn(&str) -> Value) {
    let mut answers = Vec::new();
    for name in ["secret", "sekret"] {
        let (status, mut answer) = asked(router, "POST", "/vaults/@query", query(name)).await;
        assert_eq!((status, &answer["code"]), (400, &json!("INVALID_QUERY")));
        // An internal number of the request may differ.
        answer.as_object_mut().unwrap().remove("instance");
        answers.push(answer.to_string().replace(name, "NAME"));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn private_never_in_sorts() {
    let (_app, router) = vaults().await;
    asked(&router, "POST", "/vaults", vault("a")).await;
    alike(&router, |name| json!({"sort": {name: 1}})).await;
    alike(&router, |name| json!({"sort": {"name": 1, name: -1}})).await;
}

#[tokio::test]
async fn private_never_in_filters() {
    let (_app, router) = vaults().await;
    asked(&router, "POST", "/vaults", vault("a")).await;
    for test in [json!(CANARY), json!({"$exists": true}), json!({"$regex": "^c"}), json!({"$ne": null})] {
        alike(&router, |name| json!({"filter": {name: test}})).await;
        alike(&router, |name| json!({"filter": {"$or": [{"name": "a"}, {name: test}]}})).await;
        alike(&router, |name| json!({"filter": {"$nor": [{name: test}]}})).await;
    }
}

#[tokio::test]
async fn private_never_in_violations() {
    let (_app, router) = vaults().await;
    let (_, made) = asked(&router, "POST", "/vaults", vault("a")).await;
    let path = format!("/vaults/{}", made["_id"].as_str().unwrap());
    // Too short, too long, out of the pattern, of another type, too large; in fields and in elements.
    let upper = format!("X{CANARY}");
    let long = CANARY.repeat(3);
    let wrong = [
        json!({"secret": upper}),
        json!({"secret": long}),
        json!({"secret": [CANARY]}),
        json!({"secret": {CANARY: CANARY}}),
        json!({"mail": CANARY}),
        json!({"count": CANARY}),
        json!({"keys": [{"name": "k", "code": long}]}),
        json!({"keys": [{"name": "k", "code": {"in": CANARY}}]}),
        json!({"keys": [{"name": 1, "code": CANARY}]}),
        json!({"keys": CANARY}),
    ];
    for wrong in wrong {
        let (status, answer) = asked(&router, "PATCH", &path, wrong.clone()).await;
        assert_eq!((status, &answer["code"]), (422, &json!("VALIDATION_ERROR")), "{wrong}: {answer}");
        let mut whole = vault("b");
        whole.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let (status, answer) = asked(&router, "POST", "/vaults", whole).await;
        assert_eq!((status, &answer["code"]), (422, &json!("VALIDATION_ERROR")), "{wrong}: {answer}");
        assert!(answer["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{answer}");
    }
}

#[tokio::test]
async fn private_never_in_malformed_requests() {
    let (_app, router) = vaults().await;
    let (_, made) = asked(&router, "POST", "/vaults", vault("a")).await;
    let path = format!("/vaults/{}", made["_id"].as_str().unwrap());
    for update in [
        json!({"$set": {"secret": CANARY}, "$unset": {"secret": ""}}),
        json!({"$inc": {"secret": 1}}),
        json!({"$min": {"secret": CANARY}}),
        json!({"$rename": {"secret": "name"}}),
        json!({"$pull": {"keys": {"code": CANARY}}}),
        json!({"$foo": {"secret": 1}}),
        json!({"secret": {"$set": CANARY}}),
    ] {
        let (status, answer) = asked(&router, "PATCH", &path, update.clone()).await;
        assert_eq!(status, 400, "{update}: {answer}");
    }
}

#[tokio::test]
async fn private_never_in_conflicts() {
    let (_app, router) = vaults().await;
    let (_, made) = asked(&router, "POST", "/vaults", vault("a")).await;
    let (status, answer) = asked(&router, "POST", "/vaults", vault("a")).await;
    assert_eq!((status, &answer["code"], &answer["field"]), (409, &json!("UNIQUE_VIOLATION"), &json!("name")));
    let path = format!("/vaults/{}", made["_id"].as_str().unwrap());
    let stale = ask_with(&router, "PATCH", &path, json!({"secret": CANARY}), &[("if-match", "\"999\"")]).await;
    assert!(stale.status.is_client_error(), "{}", stale.status);
    assert!(!String::from_utf8_lossy(&stale.bytes).contains(CANARY));
}

#[tokio::test]
async fn private_never_in_metadata() {
    let (_app, router) = vaults().await;
    asked(&router, "POST", "/vaults", vault("a")).await;
    let (status, metadata) = asked(&router, "GET", "/@metadata", Value::Null).await;
    assert_eq!(status, 200);
    let text = metadata.to_string();
    assert!(text.contains("\"level\"") && !text.contains("\"example"), "{text}");
}

#[tokio::test]
async fn private_never_in_frames() {
    let (app, _) = vaults().await;
    let served = serve(app).await;
    let vaults = served.app.model::<Vault>();
    let value: Vault = serde_json::from_value(vault("a")).unwrap();
    let doc = vaults.insert(value).await.unwrap();
    // Each frame is looked through as it is read.
    let mut socket = served.socket(None).await;
    let ready = socket.ask("subscribe", json!({"model": "vaults", "filter": {}})).await;
    assert!(ready.get("result").is_some(), "{ready}");
    vaults.subscription(Filter::all()).publish(&doc).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!((&frame["method"], &frame["params"]["payload"]["name"]), (&json!("publish"), &json!("a")), "{frame}");
    let opened = socket.ask("call", json!({"model": "vaults", "method": "open", "args": "a"})).await;
    assert_eq!(opened["result"]["name"], "a", "{opened}");
    let refused = socket.ask("subscribe", json!({"model": "vaults", "filter": {"secret": CANARY}})).await;
    assert_eq!(refused["error"]["data"]["code"], "INVALID_QUERY", "{refused}");
    let failed = socket.ask("call", json!({"model": "vaults", "method": "fail", "args": CANARY})).await;
    assert_eq!(failed["error"]["data"]["code"], "INTERNAL", "{failed}");
}

#[tokio::test]
async fn private_never_in_debug() {
    let (app, _) = vaults().await;
    let vaults = app.model::<Vault>();
    let value: Vault = serde_json::from_value(vault("a")).unwrap();
    let doc = vaults.insert(value).await.unwrap();
    assert_eq!(doc.secret.get().map(String::as_str), Some(CANARY));
    let update = Vault::SECRET.set(CANARY.to_owned());
    let filter = Filter::<Vault>::parse(&json!({"secret": CANARY})).unwrap();
    let wrong = Vault { count: 11.into(), name: "b".into(), ..doc.value() };
    let error = vaults.insert(wrong).await.unwrap_err();
    let page = vaults.list(Query::all()).await.unwrap();
    for text in [
        format!("{doc:?}"),
        format!("{:#?}", doc.value()),
        format!("{:?}", doc.secret),
        format!("{:?}", doc.keys),
        format!("{update:?}"),
        format!("{filter:?}"),
        format!("{:?}", Query::of(filter.clone())),
        format!("{error:?} {error} {}", error.to_json()),
        format!("{page:?}"),
        format!("{app:?}"),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
    // Its error in a filter shows no operand either.
    let malformed = Filter::<Vault>::parse(&json!({"secret": {"$in": [CANARY], "$regex": CANARY, "$type": CANARY}}));
    let error = malformed.unwrap_err();
    assert_eq!(error.code().as_str(), "INVALID_QUERY");
}

/// Listens to everything, and keeps what it should not hear.
struct Ears {
    heard: &'static Mutex<(usize, Vec<String>)>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Said, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Ears {
    fn hear(&self, line: &Line, of: &Metadata<'_>) {
        let mut heard = self.heard.lock().unwrap();
        // Other tests of this program may speak too, but only these models are looked at here.
        heard.0 += usize::from(of.target().starts_with("modeller"));
        if line.0.contains(LOGGED) {
            heard.1.push(format!("{}:{}", of.target(), line.0));
        }
    }
}

impl Subscriber for Ears {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> SpanId {
        let mut line = Line(String::new());
        span.record(&mut line);
        self.hear(&line, span.metadata());
        SpanId::from_u64(1)
    }
    fn record(&self, _: &SpanId, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        let mut heard = self.heard.lock().unwrap();
        if line.0.contains(LOGGED) {
            heard.1.push(line.0);
        }
    }
    fn record_follows_from(&self, _: &SpanId, _: &SpanId) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.hear(&line, event.metadata());
    }
    fn enter(&self, _: &SpanId) {}
    fn exit(&self, _: &SpanId) {}
}

/// A value of its own: what others log on purpose is not looked for here.
const LOGGED: &str = "a-private-value-that-no-log-shows";

#[tokio::test]
async fn private_never_in_logs() {
    static HEARD: Mutex<(usize, Vec<String>)> = Mutex::new((0, Vec::new()));
    tracing::subscriber::set_global_default(Ears { heard: &HEARD }).unwrap();
    let (app, _) = vaults().await;
    let served = serve(app).await;
    let router = served.app.router();
    let vault = |name: &str| json!({"name": name, "secret": LOGGED, "keys": [{"name": "k", "code": LOGGED}]});
    let made = ask(&router, "POST", "/vaults", vault("a")).await.json();
    let path = format!("/vaults/{}", made["_id"].as_str().unwrap());
    for (method, path, body) in [
        ("POST", "/vaults", vault("a")),
        ("POST", "/vaults", json!({"name": "b", "secret": [LOGGED]})),
        ("PATCH", &*path, json!({"secret": format!("X{LOGGED}")})),
        ("PATCH", &*path, json!({"$set": {"keys.0.code": LOGGED}})),
        ("PATCH", &*path, json!({"$min": {"secret": LOGGED}})),
        ("POST", "/vaults/@query", json!({"filter": {"secret": LOGGED}})),
        ("POST", "/vaults/open", json!("a")),
        ("PUT", &*path, vault("c")),
        ("DELETE", &*path, Value::Null),
    ] {
        ask(&router, method, path, body).await;
    }
    let mut socket = served.socket(None).await;
    socket.ask("subscribe", json!({"model": "vaults", "filter": {"secret": LOGGED}})).await;
    // That something is heard at all.
    ask(&router, "POST", "/vaults/fail", json!("a cause that is logged")).await;
    // The lock is given back before anything can fail: the other tests speak into it too.
    let heard = HEARD.lock().unwrap().clone();
    assert!(heard.0 > 0, "nothing is logged");
    assert!(heard.1.is_empty(), "{:?}", heard.1);
}
