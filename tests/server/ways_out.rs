//! One test for each way on which a private value could leave: in none of them does it.

use std::fmt::Write as _;
use std::sync::Mutex;

use axum::Router;
use modeller::prelude::*;
use serde_json::{Value, json};
use tracing::field::{Field as Said, Visit};
use tracing::span::{Attributes, Id as SpanId, Record};
use tracing::{Event, Metadata, Subscriber};

use modeller::{HookEvent, Operation, Projection};

use crate::support::{CANARY, SECRET, ask, ask_with, serve, token};

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

/// The same model given as JSON, with its private members in places of every kind.
fn safes() -> SchemaModel {
    let key = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
                     "allOf": [{"$ref": "#/$defs/code"}], "unevaluatedProperties": false});
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "unique": true},
            "secret": {"type": "string", "private": true, "minLength": 12, "maxLength": 60, "pattern": "^[a-z-]+$",
                       "default": CANARY, "examples": [CANARY]},
            "mail": {"type": ["string", "null"], "private": true, "format": "email"},
            "count": {"type": "integer", "private": true, "maximum": 10},
            "keys": {"type": "array", "items": {"$ref": "#/$defs/key"}, "default": [],
                     "examples": [[{"name": "k", "code": CANARY}]]},
            "level": {"type": "integer", "default": 0},
            "inner": {"anyOf": [{"type": "null"}, {"properties": {"deep": {"properties": {"pin": {"private": true}}}}}]},
            "by_door": {"additionalProperties": {"$ref": "#/$defs/key"}},
            "pair": {"prefixItems": [{"$ref": "#/$defs/key"}]},
        },
        "required": ["name"],
        "additionalProperties": false,
        "examples": [{"name": "a", "secret": CANARY}],
        "$defs": {
            "key": key,
            "code": {"properties": {"code": {"type": "string", "minLength": 3, "maxLength": 60, "private": true}}},
        },
    });
    SchemaModel::new("safes", schema).public()
}

/// What is asked of the one is asked of the other.
const MODELS: [&str; 2] = ["vaults", "safes"];

/// With samples of what is private.
#[model(id = "samples", public)]
pub struct Sample {
    pub name: String,
    #[field(default = "correct-horse-battery-canary")]
    pub secret: Private<String>,
    #[field(default = vec![Hidden { code: CANARY.into() }])]
    pub hidden: Vec<Hidden>,
}

#[value]
pub struct Hidden {
    #[field(default = "correct-horse-battery-canary")]
    pub code: Private<String>,
}

#[method(Sample)]
async fn give(args: Hidden) -> Result<Vec<Hidden>> {
    Ok(vec![args])
}

/// A part of the model, with its private parts.
#[value(of = Vault)]
pub struct Part {
    pub name: String,
    pub secret: Private<String>,
    pub keys: Vec<Key>,
}

#[method(Vault)]
async fn parts(vaults: Model<Vault>) -> Result<Vec<Doc<Part>>> {
    vaults.find(Filter::all()).project().await
}

#[method(Vault)]
async fn fields(vaults: Model<Vault>) -> Result<Vec<Doc<Document>>> {
    let wanted = Projection::include(Vault::SECRET).and(Vault::KEYS).and(Vault::NAME);
    vaults.find(Filter::all()).fields(wanted).await
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
    let app = App::new().model::<Vault>().schema_model(safes()).model::<Sample>();
    let app = app.secret(SECRET).in_memory().open().await.unwrap();
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
    for model in MODELS {
        let (status, made) = asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        assert_eq!(status, 201, "{made}");
        assert_eq!(made["keys"], json!([{"name": "k"}]));
        let path = format!("/{model}/{}", made["_id"].as_str().unwrap());
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
    for model in MODELS {
        for name in ["a", "b", "c"] {
            asked(&router, "POST", &format!("/{model}"), vault(name)).await;
        }
        for query in ["", "?limit=1", "?sort=%7B%22name%22:-1%7D", "?filter=%7B%22name%22:%22a%22%7D", "?count=true"] {
            let (status, list) = asked(&router, "GET", &format!("/{model}{query}"), Value::Null).await;
            assert_eq!(status, 200, "{list}");
            assert!(list["items"][0].get("name").is_some() && list["items"][0].get("secret").is_none(), "{list}");
        }
        let (status, list) = asked(&router, "POST", &format!("/{model}/@query"), json!({"limit": 2})).await;
        assert_eq!((status, list["items"].as_array().map(Vec::len)), (200, Some(2)));
    }
}

/// What comes back for a private name and for one that does not exist, without the names.
async fn alike(router: &Router, model: &str, query: impl Fn(&str) -> Value) {
    let mut answers = Vec::new();
    for name in ["secret", "sekret"] {
        let (status, mut answer) = asked(router, "POST", &format!("/{model}/@query"), query(name)).await;
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
    for model in MODELS {
        asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        alike(&router, model, |name| json!({"sort": {name: 1}})).await;
        alike(&router, model, |name| json!({"sort": {"name": 1, name: -1}})).await;
    }
}

#[tokio::test]
async fn private_never_in_filters() {
    let (_app, router) = vaults().await;
    for model in MODELS {
        asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        for test in [json!(CANARY), json!({"$exists": true}), json!({"$regex": "^c"}), json!({"$ne": null})] {
            alike(&router, model, |name| json!({"filter": {name: test}})).await;
            alike(&router, model, |name| json!({"filter": {"$or": [{"name": "a"}, {name: test}]}})).await;
            alike(&router, model, |name| json!({"filter": {"$nor": [{name: test}]}})).await;
        }
    }
}

#[tokio::test]
async fn private_never_in_violations() {
    let (_app, router) = vaults().await;
    for model in MODELS {
        let (_, made) = asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        let path = format!("/{model}/{}", made["_id"].as_str().unwrap());
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
            let (status, answer) = asked(&router, "POST", &format!("/{model}"), whole).await;
            assert_eq!((status, &answer["code"]), (422, &json!("VALIDATION_ERROR")), "{wrong}: {answer}");
            assert!(answer["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{answer}");
        }
    }
}

#[tokio::test]
async fn private_never_in_malformed_requests() {
    let (_app, router) = vaults().await;
    for model in MODELS {
        let (_, made) = asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        let path = format!("/{model}/{}", made["_id"].as_str().unwrap());
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
}

#[tokio::test]
async fn private_never_in_conflicts() {
    let (_app, router) = vaults().await;
    for model in MODELS {
        let (_, made) = asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        let (status, answer) = asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        assert_eq!((status, &answer["code"], &answer["field"]), (409, &json!("UNIQUE_VIOLATION"), &json!("name")));
        let path = format!("/{model}/{}", made["_id"].as_str().unwrap());
        let stale = ask_with(&router, "PATCH", &path, json!({"secret": CANARY}), &[("if-match", "\"999\"")]).await;
        assert!(stale.status.is_client_error(), "{}", stale.status);
        assert!(!String::from_utf8_lossy(&stale.bytes).contains(CANARY));
    }
}

#[tokio::test]
async fn private_never_in_metadata() {
    let (app, router) = vaults().await;
    let bearer = format!("Bearer {}", token(&app, "ada"));
    for model in MODELS {
        asked(&router, "POST", &format!("/{model}"), vault("a")).await;
    }
    for headers in [&[][..], &[("authorization", bearer.as_str())]] {
        // The answer is looked through: samples of what is private are in none of the schemas.
        let answer = ask_with(&router, "GET", "/@metadata", Value::Null, headers).await;
        let text = String::from_utf8(answer.bytes.clone()).unwrap();
        assert!(!text.contains(CANARY) && answer.status == 200, "{text}");
        let metadata = answer.json();
        let models = metadata["models"].as_array().unwrap();
        let of = |id: &str| models.iter().find(|model| model["id"] == id).unwrap();
        assert_eq!(of("safes")["schema"]["properties"]["keys"]["examples"], json!([[{"name": "k"}]]));
        assert_eq!(of("safes")["schema"]["examples"], json!([{"name": "a"}]));
        let secret = &of("safes")["schema"]["properties"]["secret"];
        assert_eq!((secret.get("default"), secret.get("examples"), &secret["minLength"]), (None, None, &json!(12)));
        assert!(of("samples")["operations"][0]["args"]["properties"]["code"]["private"] == true, "{text}");
    }
    // The program itself sees them, and they are filled in.
    assert_eq!(app.model_by_id("safes").unwrap().schema()["properties"]["secret"]["default"], CANARY);
    assert_eq!(asked(&router, "POST", "/samples", json!({"name": "a"})).await.0, 201);
    assert_eq!(asked(&router, "POST", "/safes", json!({"name": "b"})).await.0, 201);
    let sample = app.model::<Sample>().get(Filter::all()).await.unwrap().unwrap();
    assert_eq!(sample.secret.get().map(String::as_str), Some(CANARY));
    assert_eq!(sample.hidden[0].code.get().map(String::as_str), Some(CANARY));
    let (status, given) = asked(&router, "POST", "/samples/give", json!({"code": CANARY})).await;
    assert_eq!((status, given), (200, json!([{}])));
}

#[tokio::test]
async fn private_never_in_projections() {
    let (_app, router) = vaults().await;
    for model in MODELS {
        asked(&router, "POST", &format!("/{model}"), vault("a")).await;
        for (fields, expected) in [
            (json!({"keys": 1, "_id": 0, "_rev": 0}), json!({"keys": [{"name": "k"}]})),
            (json!({"keys.code": 1, "_id": 0, "_rev": 0}), json!({"keys": [{}]})),
            (json!({"keys": {"code": 1, "name": 1}, "_id": 0, "_rev": 0}), json!({"keys": [{"name": "k"}]})),
            (json!({"level": 0, "name": 0, "keys.name": 0, "_id": 0, "_rev": 0}), json!({"keys": [{}]})),
        ] {
            let (status, list) = asked(&router, "POST", &format!("/{model}/@query"), json!({"fields": fields})).await;
            assert_eq!((status, &list["items"][0]), (200, &expected), "{model}: {fields}");
        }
        for wanted in [json!(1), json!(0), json!({"x": 1})] {
            alike(&router, model, |name| json!({"fields": {name: wanted}})).await;
        }
    }
    for method in ["parts", "fields"] {
        let (status, parts) = asked(&router, "POST", &format!("/vaults/{method}"), Value::Null).await;
        assert_eq!((status, &parts[0]["name"], &parts[0]["keys"]), (200, &json!("a"), &json!([{"name": "k"}])));
        assert!(parts[0].get("secret").is_none(), "{parts}");
    }
}

#[tokio::test]
async fn private_never_in_nested_places_of_json() {
    let (app, router) = vaults().await;
    let whole = json!({"name": "a", "inner": {"deep": {"pin": CANARY, "x": 1}}, "by_door": {"d": {"name": "k", "code": CANARY}},
                       "pair": [{"name": "k", "code": CANARY}]});
    let (status, made) = asked(&router, "POST", "/safes", whole).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["inner"], json!({"deep": {"x": 1}}));
    assert_eq!((&made["by_door"], &made["pair"]), (&json!({"d": {"name": "k"}}), &json!([{"name": "k"}])));
    let path = format!("/safes/{}", made["_id"].as_str().unwrap());
    let stored = app.model_by_id("safes").unwrap().get(Filter::all()).await.unwrap().unwrap();
    assert_eq!((&stored["inner"]["deep"]["pin"], &stored["pair"][0]["code"]), (&json!(CANARY), &json!(CANARY)));
    for text in [format!("{stored:?}"), serde_json::to_string(&stored).unwrap()] {
        assert!(!text.contains(CANARY) && text.contains("deep"), "{text}");
    }
    // Right and wrong guesses are answered alike.
    for guess in ["inner.deep.pin", "by_door.d.code", "pair.0.code", "pair.code"] {
        let mut answers = Vec::new();
        for value in [CANARY, "x"] {
            let tests =
                [json!({guess: value}), json!({guess: {"$gte": value}}), json!({guess: {"$not": {"$lt": value}}})];
            for filter in tests {
                let (status, list) = asked(&router, "POST", "/safes/@query", json!({"filter": filter})).await;
                assert_eq!(status, 200, "{list}");
                answers.push(list["items"].as_array().unwrap().len());
            }
        }
        assert_eq!(answers[..3], answers[3..], "{guess}");
    }
    for update in [
        json!({"$max": {"inner.deep.pin": "0"}}),
        json!({"$min": {"by_door.d.code": "0"}}),
        json!({"$rename": {"inner.deep": "name"}}),
        json!({"$rename": {"inner.deep.pin": "name"}}),
        json!({"$pull": {"pair": {"code": CANARY}}}),
        json!({"$addToSet": {"pair": {"name": "k", "code": CANARY}}}),
    ] {
        let (status, answer) = asked(&router, "PATCH", &path, update.clone()).await;
        assert_eq!((status, &answer["code"]), (400, &json!("INVALID_QUERY")), "{update}: {answer}");
    }
    for wrong in [json!({"by_door": {"d": {"name": "k", "code": [CANARY]}}}), json!({"pair": [{"code": CANARY}]})] {
        let (status, answer) = asked(&router, "PATCH", &path, wrong.clone()).await;
        assert_eq!((status, &answer["code"]), (422, &json!("VALIDATION_ERROR")), "{wrong}: {answer}");
    }
    let (status, answer) = asked(&router, "DELETE", &path, Value::Null).await;
    assert_eq!((status, &answer["name"]), (200, &json!("a")));
}

#[tokio::test]
async fn private_never_by_hooks_of_lists() {
    let (app, router) = vaults().await;
    for model in MODELS {
        asked(&router, "POST", &format!("/{model}"), vault("a")).await;
    }
    // A program may ask for what it likes; what is answered is what anyone sees.
    let before = HookEvent::before(Operation::List);
    let narrowed = Filter::<Document>::parse(&json!({"secret": CANARY})).unwrap();
    let safes = app.model_by_id("safes").unwrap();
    safes
        .hook("narrow", [before], move |mut hook| {
            let narrowed = narrowed.clone();
            Box::pin(async move {
                *hook.query()? = Query::of(narrowed);
                Ok(())
            })
        })
        .unwrap();
    let (status, list) = asked(&router, "GET", "/safes", Value::Null).await;
    assert_eq!((status, list["items"].as_array().unwrap().len()), (200, 1), "{list}");
    assert!(safes.unhook("narrow"));
    safes
        .hook("fail", [before], |mut hook| {
            Box::pin(async move { Err(Error::internal(format!("{CANARY} {:?}", hook.query()?))) })
        })
        .unwrap();
    let (status, refused) = asked(&router, "GET", "/safes", Value::Null).await;
    assert_eq!((status, &refused["code"]), (500, &json!("INTERNAL")));
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
    // A document as JSON, and one inside of something else.
    let safes = served.app.model_by_id("safes").unwrap();
    let safe = safes.insert(vault("a").try_into().unwrap()).await.unwrap();
    assert_eq!(safe["secret"], CANARY);
    let ready = socket.ask("subscribe", json!({"model": "safes", "filter": {}})).await;
    assert!(ready.get("result").is_some(), "{ready}");
    let room = safes.subscription(Filter::all());
    room.publish(&safe).await.unwrap();
    room.publish(&(1, [Some(&safe)])).await.unwrap();
    for pointer in ["/params/payload/name", "/params/payload/1/0/name"] {
        let frame = socket.frame().await.unwrap();
        assert_eq!(frame.pointer(pointer), Some(&json!("a")), "{frame}");
    }
    let refused = socket.ask("subscribe", json!({"model": "safes", "filter": {"secret": CANARY}})).await;
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
    for model in MODELS {
        let (all, query) = (&*format!("/{model}"), &*format!("/{model}/@query"));
        let made = ask(&router, "POST", all, vault("a")).await.json();
        let path = format!("{all}/{}", made["_id"].as_str().unwrap());
        for (method, path, body) in [
            ("POST", all, vault("a")),
            ("POST", all, json!({"name": "b", "secret": [LOGGED]})),
            ("PATCH", &*path, json!({"secret": format!("X{LOGGED}")})),
            ("PATCH", &*path, json!({"$set": {"keys.0.code": LOGGED}})),
            ("PATCH", &*path, json!({"$min": {"secret": LOGGED}})),
            ("POST", query, json!({"filter": {"secret": LOGGED}})),
            ("POST", query, json!({"fields": {"secret": 1}})),
            ("PATCH", &*path, json!({"keys": [{"name": 5, "code": LOGGED}]})),
            ("PATCH", &*path, json!({"$inc": {"secret": LOGGED}})),
            ("PUT", &*path, vault("c")),
            ("DELETE", &*path, Value::Null),
        ] {
            ask(&router, method, path, body).await;
        }
    }
    ask(&router, "POST", "/vaults", vault("a")).await;
    ask(&router, "POST", "/vaults/open", json!("a")).await;
    let mut socket = served.socket(None).await;
    for model in MODELS {
        socket.ask("subscribe", json!({"model": model, "filter": {"secret": LOGGED}})).await;
    }
    // That something is heard at all.
    ask(&router, "POST", "/vaults/fail", json!("a cause that is logged")).await;
    // The lock is given back before anything can fail: the other tests speak into it too.
    let heard = HEARD.lock().unwrap().clone();
    assert!(heard.0 > 0, "nothing is logged");
    assert!(heard.1.is_empty(), "{:?}", heard.1);
}
