//! Whatever is wrong has a code, an answer, and no further effect.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use modeller::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{CANARY, app, ask, ask_with, insert_user, request, send, served, user};

fn text(method: &str, path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).header("content-type", kind).body(body.into()).unwrap()
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let router = app().await.router();
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep_objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    for (method, path) in [
        ("POST", "/users"),
        ("POST", "/users/@query"),
        ("PUT", path.as_str()),
        ("PATCH", path.as_str()),
        ("POST", "/users/promote"),
    ] {
        for malformed in ["{", "", "{]", "nul", "{\"a\":1,}", "{\"a\" 1}", "\u{feff}{}", "{} {}"] {
            if malformed.is_empty() && path.ends_with("promote") {
                continue;
            }
            send(&router, text(method, path, "application/json", malformed))
                .await
                .assert_problem(400, "INVALID_REQUEST");
        }
        send(&router, text(method, path, "application/json", vec![b'"', 0xff, b'"']))
            .await
            .assert_problem(400, "INVALID_REQUEST");
        for depth in [128, 10_000, 100_000] {
            send(&router, text(method, path, "application/json", deep(depth)))
                .await
                .assert_problem(413, "PAYLOAD_TOO_LARGE");
        }
        send(&router, text(method, path, "application/json", deep_objects.clone()))
            .await
            .assert_problem(413, "PAYLOAD_TOO_LARGE");
        let ten_megabytes = format!("\"{}\"", "x".repeat(10 << 20));
        send(&router, text(method, path, "application/json", ten_megabytes))
            .await
            .assert_problem(413, "PAYLOAD_TOO_LARGE");
        for kind in [
            "text/plain",
            "application/xml",
            "multipart/form-data",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "",
        ] {
            send(&router, text(method, path, kind, "{}")).await.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        let fine = send(&router, text(method, path, "Application/JSON; charset=utf-8", "[]")).await;
        assert_ne!(fine.status, 415);
    }
    send(&router, text("POST", "/users", "application/merge-patch+json", "{}"))
        .await
        .assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let untyped = Request::builder().method("POST").uri("/users").body(Body::from("{}")).unwrap();
    send(&router, untyped).await.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(ask(&router, "GET", &path, Value::Null).await.json()["_rev"], doc["_rev"], "nothing was written");
}

#[tokio::test]
async fn values_that_do_not_fit() {
    let router = app().await.router();
    for value in [json!(null), json!("x"), json!(1), json!([1]), json!([{}]), json!({}), json!({"email": "a"})] {
        ask_body(&router, "POST", "/users", &value).await.assert_problem(422, "VALIDATION_ERROR");
    }
    let mut unknown = user("a@example.com");
    unknown["nickname"] = json!("x");
    let problem = ask(&router, "POST", "/users", unknown).await.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(problem["errors"][0]["params"]["additionalProperty"], "nickname");
    for (name, value) in
        [("_id", json!("mine")), ("_rev", json!(7)), ("__proto__", json!({})), ("$set", json!({"age": 1}))]
    {
        let mut body = user("a@example.com");
        body[name] = value;
        let problem = ask(&router, "POST", "/users", body).await.assert_problem(422, "VALIDATION_ERROR");
        assert_eq!(problem["errors"][0]["keyword"], "additionalProperties", "{problem}");
        assert_eq!(problem["errors"][0]["params"]["additionalProperty"], name);
    }
    let short = ask(&router, "POST", "/users", json!({"email": "a", "password": "canary"})).await;
    let problem = short.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(
        (&problem["errors"][0]["instancePath"], &problem["errors"][0]["keyword"]),
        (&json!("/password"), &json!("minLength"))
    );
    assert!(!problem.to_string().contains("canary"));
    insert_user(&router, "a@example.com").await;
    let twice = ask(&router, "POST", "/users", user("a@example.com")).await.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!(twice["field"], "email");
    ask(&router, "POST", "/users/promote", Value::Null).await.assert_problem(422, "VALIDATION_ERROR");
    ask(&router, "POST", "/users/promote", json!({"email": 1})).await.assert_problem(422, "VALIDATION_ERROR");
    ask(&router, "POST", "/users/promote", json!({"email": "a", "more": 1}))
        .await
        .assert_problem(422, "VALIDATION_ERROR");
    ask(&router, "POST", "/users/ping", json!({"more": 1})).await.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(ask(&router, "GET", "/users?count=true", Value::Null).await.json()["count"], 1);
}

/// `null` is a body here, and no sign for none.
async fn ask_body(router: &axum::Router, method: &str, path: &str, body: &Value) -> crate::support::Answer {
    send(router, request(method, path, Some(body.clone()), &[])).await
}

#[tokio::test]
async fn updates_that_cannot_be_read() {
    let router = app().await.router();
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    for update in [
        json!(null),
        json!([]),
        json!("x"),
        json!({"$set": {"age": 1}, "age": 2}),
        json!({"$foo": {"age": 1}}),
        json!({"$set": 1}),
        json!({"$set": {"_id": "x"}}),
        json!({"$set": {"_rev": 1}}),
        json!({"_id": "x"}),
        json!({"_rev": 1}),
        json!({"$set": {"nickname": "x"}}),
        json!({"$inc": {"age": "x"}}),
        json!({"$set": {"age": 1}, "$inc": {"age": 1}}),
        json!({"role": {"$set": "admin"}}),
        json!({"$push": {"role": 1}, "$pull": {"role": 1}}),
        json!({"$mul": {"age": 2}, "$max": {"age.x": 2}}),
        json!({"$rename": {"age": "age"}}),
        json!({"$rename": {"age": "age.x"}}),
        json!({"$rename": {"age": "_id"}}),
        json!({"$rename": {"_rev": "age"}}),
        json!({"$rename": {"age": "nickname"}}),
        json!({"$rename": {"age": "role"}, "$set": {"role": "admin"}}),
        json!({"$rename": {"age": "role", "email": "role"}}),
        json!({"$pop": {"age": 1}}),
        json!({"$addToSet": {"email": "x"}}),
        json!({"$currentDate": {"age": 1}}),
        json!({"$min": 1}),
    ] {
        ask_body(&router, "PATCH", &path, &update).await.assert_problem(400, "INVALID_QUERY");
    }
    for update in
        [json!({"nickname": "x"}), json!({"age": "x"}), json!({"email": null}), json!({"$unset": {"email": ""}})]
    {
        ask_body(&router, "PATCH", &path, &update).await.assert_problem(422, "VALIDATION_ERROR");
    }
    assert_eq!(ask(&router, "GET", &path, Value::Null).await.json()["_rev"], doc["_rev"]);
}

#[model(id = "scratch", public)]
pub struct Scratch {
    pub v: Value,
    pub w: Value,
}

/// What was stored nested deeper than it can be read would keep the application from starting.
#[tokio::test]
async fn updates_do_not_nest_deeper_than_can_be_read_back() {
    let folder = modeller_tests::Folder::new();
    let open = || App::new().model::<Scratch>().data(folder.path()).open();
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({"a": inner}));
    let app = open().await.unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/scratch", json!({"v": deep(126), "w": []})).await.json();
    let path = format!("/scratch/{}", made["_id"].as_str().unwrap());
    let below = format!("v{}", ".a".repeat(30));
    for (update, status) in [
        (json!({"$set": {&below: deep(97)}}), 413),
        (json!({"$set": {&below: deep(96)}}), 200),
        (json!({"$max": {&below: deep(110)}}), 413),
        (json!({"$push": {"w": deep(126)}}), 413),
        (json!({"$push": {"w": deep(125)}}), 200),
        (json!({"$set": {"w": {}}}), 200),
        (json!({"$rename": {"v": "w.x"}}), 413),
    ] {
        assert_eq!(ask(&router, "PATCH", &path, update.clone()).await.status, status, "{update}");
    }
    drop((router, app));
    assert_eq!(open().await.unwrap().model::<Scratch>().count(Filter::all()).await.unwrap(), 1);
}

#[tokio::test]
async fn queries_that_cannot_be_read() {
    let router = app().await.router();
    insert_user(&router, "ada@example.com").await;
    for query in [
        "filter=%7B",
        "filter=null",
        "filter=1",
        "filter=%22x%22",
        "filter=%5B%5D",
        "filter",
        "filter=%7B%22%24where%22%3A%221%22%7D",
        "filter=%7B%22age%22%3A%7B%22%24foo%22%3A1%7D%7D",
        "filter=%7B%22nickname%22%3A1%7D",
        "filter=%7B%22password%22%3A1%7D",
        "filter=%7B%7D&filter=%7B%7D",
        "filter=%zz",
        "filter=%ff",
        "sort=age",
        "sort=%7B%22age%22%3A2%7D",
        "sort=%7B%22password%22%3A1%7D",
        "skip=-1",
        "skip=x",
        "skip=1.5",
        "limit=1001",
        "limit=null",
        "limit=-1",
        "count=1",
        "count=",
        "unknown=1",
        "fields=null",
        "fields=%7B%22age%22%3A%22x%22%7D",
        "fields=%7B%22password%22%3A1%7D",
        "fields=%7B%22age%22%3A1%2C%22role%22%3A0%7D",
        "cursor=x",
        "=1",
    ] {
        ask(&router, "GET", &format!("/users?{query}"), Value::Null).await.assert_problem(400, "INVALID_QUERY");
    }
    for query in [
        json!([]),
        json!("x"),
        json!({"filter": null}),
        json!({"more": 1}),
        json!({"count": "true"}),
        json!({"limit": "5"}),
    ] {
        ask_body(&router, "POST", "/users/@query", &query).await.assert_problem(400, "INVALID_QUERY");
    }
    let hint = ask(&router, "POST", "/users/@query", json!({"filter": {"emial": 1}}))
        .await
        .assert_problem(400, "INVALID_QUERY");
    assert_eq!(hint["path"], "emial");
    assert!(hint["reason"].as_str().unwrap().contains("`email`"));
}

#[tokio::test]
async fn places_that_do_not_exist() {
    let router = app().await.router();
    for (method, path, code) in [
        ("GET", "/", "NOT_FOUND"),
        ("GET", "/a/b/c", "NOT_FOUND"),
        ("GET", "/@nothing", "NOT_FOUND"),
        ("POST", "/@nothing", "NOT_FOUND"),
        ("GET", "/users/", "NOT_FOUND"),
        ("GET", "/Users", "MODEL_NOT_FOUND"),
        ("GET", "/users%00", "MODEL_NOT_FOUND"),
        ("GET", "/users/nobody", "NOT_FOUND"),
        ("GET", "/users/@nobody", "NOT_FOUND"),
        ("GET", "/users/a%2fb", "NOT_FOUND"),
        ("GET", "/users/..%2f..%2fetc", "NOT_FOUND"),
        ("GET", "/users/%00", "NOT_FOUND"),
        ("DELETE", "/users/%7B%22$ne%22:null%7D", "NOT_FOUND"),
        ("POST", "/users/nothing", "METHOD_NOT_FOUND"),
        ("POST", "/users/@nothing", "METHOD_NOT_FOUND"),
    ] {
        ask(&router, method, path, Value::Null).await.assert_problem(404, code);
    }
    let long = format!("/users/{}", "x".repeat(5_000));
    let problem = ask(&router, "GET", &long, Value::Null).await.assert_problem(404, "NOT_FOUND");
    assert!(problem.to_string().len() < 1_000);
    ask(&router, "GET", "/users/%ff", Value::Null).await.assert_problem(400, "INVALID_REQUEST");
    for (method, path, allow) in [
        ("PUT", "/users", "GET,HEAD,POST,PATCH,DELETE"),
        ("GET", "/users/@query", "POST"),
        ("TRACE", "/users/x", "GET,HEAD,PATCH,PUT,DELETE,POST"),
        ("POST", "/@health", "GET,HEAD"),
        ("PUT", "/@metadata", "GET,HEAD"),
        ("POST", "/@socket", "GET,HEAD"),
    ] {
        let answer = ask(&router, method, path, Value::Null).await;
        answer.assert_problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    ask(&router, "GET", "/@socket", Value::Null).await.assert_problem(426, "INVALID_REQUEST");
    for header in ["", "7", "\"7", "\"1\", \"2\""] {
        ask_with(&router, "DELETE", "/users/x", Value::Null, &[("if-match", header)])
            .await
            .assert_problem(400, "INVALID_REQUEST");
    }
}

/// Bytes that are no HTTP, or not in time, end their own connection and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_misbehave() {
    let served = served().await;
    let garbage: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /users HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"POST /users HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        b"POST /users HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for bytes in garbage {
        let answer = served.raw(bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let huge = format!("GET /users HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    assert!(served.raw(huge.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(100_000));
    let answer = served.raw(long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414") || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..500).map(|at| format!("h{at}: x\r\n")).collect();
    assert!(
        served
            .raw(format!("GET /users HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );

    // 10 MB that are sent whatever is answered: the answer arrives, it is not lost in a reset.
    let body = format!("{{\"email\":\"{}\"}}", "x".repeat(10 << 20));
    let head = format!(
        "POST /users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = served.raw(format!("{head}{body}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    // Who asks first is told before it sends.
    let asked = format!(
        "POST /users HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    assert!(served.raw(asked.as_bytes()).await.starts_with("HTTP/1.1 413"));
    // A body that breaks off.
    let mut stream = served.connect().await;
    stream.write_all(format!("{head}{{\"email\"").as_bytes()).await.unwrap();
    drop(stream);
    let ping = b"POST /users/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(served.raw(ping).await.contains("pong"));
}

/// A header that comes byte by byte is cut after ten seconds, while others are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_are_cut() {
    let served = served().await;
    let begin = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET /users HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        slow.push(stream);
    }
    let asked = Instant::now();
    assert!(served.raw(b"POST /users/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.contains("pong"));
    assert!(asked.elapsed() < Duration::from_secs(1));
    for mut stream in slow {
        let mut out = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(15), async {
            let mut buffer = [0; 1024];
            loop {
                let _ = stream.write_all(b"x").await;
                match tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(read)) => out.extend_from_slice(&buffer[..read]),
                    Err(_) => {}
                }
            }
        });
        assert!(read.await.is_ok(), "a slow header was never cut");
    }
    assert!(begin.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn limits_are_the_programs() {
    let app = App::new().model::<crate::support::User>().body_limit(64).in_memory().open().await.unwrap();
    let router = app.router();
    ask(&router, "POST", "/users", user("ada-with-a-long-name-that-goes-on@example.com"))
        .await
        .assert_problem(413, "PAYLOAD_TOO_LARGE");
    assert!(!CANARY.is_empty());
}

#[model(id = "meters", public)]
pub(crate) struct Meter {
    pub(crate) count: i64,
    #[field(default)]
    pub(crate) parts: Vec<u32>,
}

#[value]
pub(crate) struct Add {
    pub(crate) by: i64,
    #[field(default)]
    pub(crate) more: Option<i32>,
}

#[method(Meter)]
async fn add(args: Add) -> Result<i64> {
    Ok(args.by.saturating_add(args.more.unwrap_or_default().into()))
}

/// An integer that fits its schema and not its type is told as if the schema had said how large it may be.
#[tokio::test]
async fn integers_beyond_their_type_are_told_where_they_are() {
    let router = App::new().model::<Meter>().in_memory().open().await.unwrap().router();
    let large = 9_223_372_036_854_775_808_u64;
    for (path, body, place, limit) in [
        ("/meters", json!({"count": large}), "/count", json!(i64::MAX)),
        ("/meters", json!({"count": 1e19}), "/count", json!(i64::MAX)),
        ("/meters", json!({"count": 1, "parts": [1, 4_294_967_296_u64]}), "/parts/1", json!(u32::MAX)),
        ("/meters/add", json!({"by": large}), "/by", json!(i64::MAX)),
        ("/meters/add", json!({"by": 1, "more": 2_147_483_648_u64}), "/more", json!(i32::MAX)),
    ] {
        let problem = ask(&router, "POST", path, body).await.assert_problem(422, "VALIDATION_ERROR");
        let error = &problem["errors"][0];
        assert_eq!((&error["instancePath"], &error["keyword"]), (&json!(place), &json!("maximum")), "{problem}");
        assert_eq!(error["params"], json!({"comparison": "<=", "limit": limit}), "{problem}");
        assert_eq!(error["message"], format!("must be <= {limit}"));
    }
    assert_eq!(ask(&router, "POST", "/meters", json!({"count": i64::MAX, "parts": [u32::MAX]})).await.status, 201);
    assert_eq!(ask(&router, "POST", "/meters/add", json!({"by": i64::MIN, "more": null})).await.json(), i64::MIN);
}

/// What is not there is no part of a patch, also where it would only be taken away.
#[tokio::test]
async fn a_patch_takes_away_only_what_may_be_there() {
    let router = App::new().model::<Meter>().in_memory().open().await.unwrap().router();
    let made = ask(&router, "POST", "/meters", json!({"count": 1, "parts": [1]})).await.json();
    let path = format!("/meters/{}", made["_id"].as_str().unwrap());
    for unknown in ["", "nothing", "parts.0", "count.x", "__proto__"] {
        ask(&router, "PATCH", &path, json!({unknown: null})).await.assert_problem(400, "INVALID_QUERY");
    }
    let patched = ask(&router, "PATCH", &path, json!({"parts": null})).await;
    assert_eq!((patched.status.as_u16(), &patched.json()["parts"]), (200, &json!([])));
}
