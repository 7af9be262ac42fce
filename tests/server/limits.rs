//! What a server takes at most: each limit has its answer, and disturbs nobody else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use futures_util::StreamExt;
use modeller::Limits;
use modeller::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, SECRET, Served, User, ask, ask_with, insert_user, request, send, serve, token, user};

#[model(id = "works", public)]
pub struct Work {
    pub name: String,
}

/// Takes longer than its caller waits.
#[method(Work, transaction = none)]
async fn slow(works: Model<Work>) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(400)).await;
    works.insert(Work { name: "done all the same".into() }).await?;
    Ok(())
}

#[method(Work)]
async fn slow_transaction(works: Model<Work>) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(400)).await;
    works.insert(Work { name: "in time".into() }).await?;
    Ok(())
}

/// So slow that a list is not answered in time.
#[hook(Work, before(list))]
async fn dawdle() -> Result<()> {
    tokio::time::sleep(Duration::from_millis(400)).await;
    Ok(())
}

#[method(Work)]
async fn reset_password() -> Result<String> {
    Ok("reset".into())
}

#[event(Work)]
async fn hello() -> Result<()> {
    Ok(())
}

async fn limited(limits: Limits) -> App {
    let app = App::new().model::<User>().model::<Work>().secret(SECRET).limits(limits);
    app.in_memory().open().await.unwrap()
}

/// The same request from an address.
async fn ask_from(router: &Router, addr: &str, mut request: Request<Body>) -> Answer {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(addr.parse().unwrap(), 4711)));
    send(router, request).await
}

#[tokio::test]
async fn a_url_that_is_too_long() {
    let router = limited(Limits::new()).await.router();
    let filter = |length: usize| format!("/users?filter=%7B%22email%22%3A%22{}%22%7D", "x".repeat(length));
    assert_eq!(ask(&router, "GET", &filter(10_000), Value::Null).await.status, 200);
    ask(&router, "GET", &filter(40_000), Value::Null).await.assert_problem(414, "PAYLOAD_TOO_LARGE");
    let long = ask(&router, "POST", "/users/@query", json!({"filter": {"email": "x".repeat(40_000)}})).await;
    assert_eq!(long.status, 200, "the same as a body");
    let router = limited(Limits::new().url(20)).await.router();
    ask(&router, "GET", "/users?limit=1&skip=10", Value::Null).await.assert_problem(414, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn headers_that_are_too_many_or_too_long() {
    let router = limited(Limits::new()).await.router();
    let long = "x".repeat(33 << 10);
    ask_with(&router, "GET", "/users", Value::Null, &[("x-long", &long)])
        .await
        .assert_problem(431, "PAYLOAD_TOO_LARGE");
    let names: Vec<String> = (0..70).map(|at| format!("x-{at}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    ask_with(&router, "GET", "/users", Value::Null, &many).await.assert_problem(431, "PAYLOAD_TOO_LARGE");
    assert_eq!(ask_with(&router, "GET", "/users", Value::Null, &many[..60]).await.status, 200);
    let router = limited(Limits::new().header_bytes(100).header_fields(2)).await.router();
    ask_with(&router, "GET", "/users", Value::Null, &[("x-a", &"x".repeat(100))])
        .await
        .assert_problem(431, "PAYLOAD_TOO_LARGE");
    ask_with(&router, "GET", "/users", Value::Null, &many[..3]).await.assert_problem(431, "PAYLOAD_TOO_LARGE");
    // Over the wire it is the same answer.
    let served = serve(limited(Limits::new()).await).await;
    let head = format!("GET /users HTTP/1.1\r\nhost: x\r\nx: {long}\r\nconnection: close\r\n\r\n");
    let answer = served.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
}

#[tokio::test]
async fn json_that_is_nested_too_deep() {
    let router = limited(Limits::new().json_depth(4)).await.router();
    ask(&router, "POST", "/users/@query", json!({"filter": {"$or": [{"$and": [{"age": 1}]}]}}))
        .await
        .assert_problem(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(ask(&router, "POST", "/users/@query", json!({"filter": {"age": {"$gt": 1}}})).await.status, 200);
    let router = limited(Limits::new()).await.router();
    for depth in [128, 100_000] {
        let mut request = request("POST", "/users", Some(Value::Null), &[]);
        *request.body_mut() = Body::from(format!("{{\"email\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
        send(&router, request).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
    }
    let served = serve(limited(Limits::new().json_depth(5)).await).await;
    let mut socket = served.socket(None).await;
    let deep = json!({"model": "users", "filter": {"$or": [{"$and": [{"age": 1}]}]}});
    socket.request("subscribe", deep).await;
    let refused = socket.frame().await.unwrap();
    assert_eq!(refused["error"]["data"]["code"], "PAYLOAD_TOO_LARGE", "{refused}");
    assert!(refused["id"].is_number(), "{refused}");
    let flat = socket.ask("subscribe", json!({"model": "users", "filter": {"age": 1}})).await;
    assert!(flat.get("result").is_some(), "{flat}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_that_ask_for_too_much() {
    let router = limited(Limits::new().body(8 << 20)).await.router();
    for at in 0..300 {
        insert_user(&router, &format!("{}{at}@example.com", "a".repeat(30))).await;
    }
    let clauses = |count: usize| json!({"filter": {"$or": vec![json!({"age": {"$gt": 1}}); count]}});
    let operands = |count: usize| json!({"filter": {"age": {"$in": (0..count).collect::<Vec<_>>()}}});
    let deep = (0..40).fold(json!({"age": 1}), |inner, _| json!({"$and": [inner]}));
    for query in [clauses(40_000), clauses(600), operands(40_000), json!({"filter": deep})] {
        let begun = Instant::now();
        ask(&router, "POST", "/users/@query", query).await.assert_problem(400, "INVALID_QUERY");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    for query in [clauses(490), operands(10_000)] {
        let begun = Instant::now();
        assert_eq!(ask(&router, "POST", "/users/@query", query).await.status, 200);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    // Patterns that make other engines try for longer than the sun will shine.
    for pattern in [
        "^(a+)+$",
        "(a|a)*b",
        "(a*)*b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(.*a){20}$",
        "(x+x+)+y",
        "((a{1,30}){1,30}){1,3}b",
        "(?i)(a?){50}a{50}",
    ] {
        let begun = Instant::now();
        let answer = ask(&router, "POST", "/users/@query", json!({"filter": {"email": {"$regex": pattern}}})).await;
        assert!(answer.status == 200 || answer.status == 400, "{pattern}: {}", answer.status);
        assert!(begun.elapsed() < Duration::from_secs(2), "{pattern}: {:?}", begun.elapsed());
    }
    // The program may want less.
    let router = limited(Limits::new().filter_tests(2).filter_depth(1).filter_list(3)).await.router();
    for filter in [
        json!({"age": 1, "role": "user", "email": "x"}),
        json!({"$or": [{"$and": [{"age": 1}]}]}),
        json!({"age": {"$in": [1, 2, 3, 4]}}),
    ] {
        ask(&router, "POST", "/users/@query", json!({"filter": filter})).await.assert_problem(400, "INVALID_QUERY");
        let encoded = filter.to_string().replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let path = format!("/users?filter={}", encoded.replace('[', "%5B").replace(']', "%5D"));
        ask(&router, "DELETE", &path, Value::Null).await.assert_problem(400, "INVALID_QUERY");
    }
    assert_eq!(ask(&router, "POST", "/users/@query", json!({"filter": {"age": 1, "role": "user"}})).await.status, 200);
}

#[tokio::test]
async fn lists_have_a_usual_and_a_largest_length() {
    let router = limited(Limits::new().page(2, 5)).await.router();
    for at in 0..8 {
        insert_user(&router, &format!("{at}@example.com")).await;
    }
    let length =
        async |path: &str| ask(&router, "GET", path, Value::Null).await.json()["items"].as_array().unwrap().len();
    assert_eq!((length("/users").await, length("/users?limit=5").await), (2, 5));
    ask(&router, "GET", "/users?limit=6", Value::Null).await.assert_problem(400, "INVALID_QUERY");
    let first = ask(&router, "GET", "/users", Value::Null).await.json();
    assert_eq!(length(&format!("/users?cursor={}", first["nextCursor"].as_str().unwrap())).await, 2);
    let router = limited(Limits::new()).await.router();
    ask(&router, "GET", "/users?limit=1001", Value::Null).await.assert_problem(400, "INVALID_QUERY");
}

#[tokio::test]
async fn what_takes_too_long() {
    let limits = Limits::new().request_time(Duration::from_millis(100)).call_time(Duration::from_millis(100));
    let app = limited(limits).await;
    let router = app.router();
    ask(&router, "GET", "/works", Value::Null).await.assert_problem(504, "TIMEOUT");
    ask(&router, "POST", "/works/@query", json!({})).await.assert_problem(504, "TIMEOUT");
    let problem = ask(&router, "POST", "/works/slow", Value::Null).await.assert_problem(504, "TIMEOUT");
    assert!(problem["detail"].as_str().unwrap().contains("goes on"), "{problem}");
    // A transaction is answered as it ends.
    assert_eq!(ask(&router, "POST", "/works/slow_transaction", Value::Null).await.status, 200);
    let served = serve(app.clone()).await;
    let mut socket = served.socket(None).await;
    let answer = socket.ask("call", json!({"model": "works", "method": "slow"})).await;
    assert_eq!(answer["error"]["data"]["code"], "TIMEOUT", "{answer}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(app.model::<Work>().count(Filter::all()).await.unwrap(), 3, "what was called was done");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly() {
    let served = serve(limited(Limits::new().body_time(Duration::from_millis(300))).await).await;
    let mut stream = served.connect().await;
    let head = "POST /users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await;
    assert!(read.is_ok() && answer.starts_with("HTTP/1.1 408") && answer.contains("TIMEOUT"), "{answer}");
}

#[tokio::test]
async fn connections_of_one_address() {
    let limits = Limits::new().connections_per_address(3).count_loopback(true);
    let served = serve(limited(limits).await).await;
    let ping = b"GET /@health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut taken = Vec::new();
    for _ in 0..3 {
        let mut stream = served.connect().await;
        stream.write_all(ping).await.unwrap();
        let mut buffer = [0; 1024];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        taken.push(stream);
    }
    let refused = served.raw(ping).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("\"code\":\"RATE_LIMITED\""), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("application/problem+json"), "{refused}");
    taken.pop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(served.raw(ping).await.starts_with("HTTP/1.1 200"), "there is room again");
    // Unless it is said, this machine is not counted; and a trusted proxy never is.
    for app in [
        limited(Limits::new().connections_per_address(1)).await,
        App::new()
            .limits(Limits::new().connections_per_address(1).count_loopback(true))
            .trusted_proxies(["127.0.0.0/8"])
            .in_memory()
            .open()
            .await
            .unwrap(),
    ] {
        let served = serve(app).await;
        let _idle = (served.connect().await, served.connect().await);
        assert!(served.raw(ping).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn sockets_of_one_caller() {
    let app = limited(Limits::new().sockets_per_caller(2).count_loopback(true)).await;
    let (ada, bob) = (token(&app, "ada"), token(&app, "bob"));
    let served = serve(app).await;
    let upgrade = async |token: &str| {
        let head = format!(
            "GET /@socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{token}\r\n"
        );
        served.raw(head.as_bytes()).await
    };
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let first = served.socket(Some(&ada)).await;
    let _second = served.socket(Some(&ada)).await;
    let refused = upgrade(&bearer(&ada)).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("RATE_LIMITED"), "{refused}");
    // Whoever else it is, also from the same address.
    let _other = served.socket(Some(&bob)).await;
    let _nobody = (served.socket(None).await, served.socket(None).await);
    assert!(upgrade("").await.starts_with("HTTP/1.1 429"));
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _again = served.socket(Some(&ada)).await;
    // As many as the server takes, of all callers together.
    let app = App::new().model::<User>().max_sockets(1).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let _only = served.socket(None).await;
    let head = "GET /@socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let refused = served.raw(head.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("UNAVAILABLE"), "{refused}");
}

#[tokio::test]
async fn how_often_one_caller_may_ask() {
    let app = App::new()
        .model::<User>()
        .model::<Work>()
        .secret(SECRET)
        .rate_limit("works.reset_password", 3)
        .rate_limit("works.hello", 2)
        .rate_limit("users.insert", 1)
        .rate_limit("/@metadata", 1)
        .in_memory()
        .open()
        .await
        .unwrap();
    let (router, ada, bob) = (app.router(), token(&app, "ada"), token(&app, "bob"));
    let reset = |bearer: Option<&str>| {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        request("POST", "/works/reset_password", None, &headers)
    };
    for _ in 0..3 {
        assert_eq!(ask_from(&router, "192.0.2.1", reset(None)).await.status, 200);
    }
    let refused = ask_from(&router, "192.0.2.1", reset(None)).await;
    let problem = refused.assert_problem(429, "RATE_LIMITED");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait) && problem["retryAfter"] == wait, "{problem}");
    // Another address, and a caller who is known, wherever he is.
    assert_eq!(ask_from(&router, "192.0.2.2", reset(None)).await.status, 200);
    for addr in ["192.0.2.1", "192.0.2.3", "192.0.2.4"] {
        assert_eq!(ask_from(&router, addr, reset(Some(&ada))).await.status, 200);
    }
    ask_from(&router, "192.0.2.5", reset(Some(&ada))).await.assert_problem(429, "RATE_LIMITED");
    assert_eq!(ask_from(&router, "192.0.2.5", reset(Some(&bob))).await.status, 200);
    // One network of IPv6 is one client.
    for at in 1..=3 {
        assert_eq!(ask_from(&router, &format!("2001:db8::{at}"), reset(None)).await.status, 200);
    }
    ask_from(&router, "2001:db8::4", reset(None)).await.assert_problem(429, "RATE_LIMITED");
    assert_eq!(ask_from(&router, "2001:db8:0:1::1", reset(None)).await.status, 200);
    // Documents, and routes by their pattern; other operations are not counted.
    let insert = |name: &str| request("POST", "/users", Some(user(name)), &[]);
    assert_eq!(ask_from(&router, "192.0.2.1", insert("a@example.com")).await.status, 201);
    ask_from(&router, "192.0.2.1", insert("b@example.com")).await.assert_problem(429, "RATE_LIMITED");
    assert_eq!(ask_from(&router, "192.0.2.1", request("GET", "/users", None, &[])).await.status, 200);
    assert_eq!(ask_from(&router, "192.0.2.1", request("GET", "/@metadata", None, &[])).await.status, 200);
    ask_from(&router, "192.0.2.1", request("GET", "/@metadata", None, &[])).await.assert_problem(429, "RATE_LIMITED");
    // A socket is no way around it.
    let served = serve(app).await;
    let mut socket = served.socket(Some(&ada)).await;
    for at in 0..5 {
        let answer = socket.ask("call", json!({"model": "works", "method": "reset_password"})).await;
        assert_eq!(
            answer.get("error").map(|error| &error["data"]["code"]),
            (at >= 3).then_some(&json!("RATE_LIMITED"))
        );
    }
    for at in 0..4 {
        let dispatch = json!({"model": "works", "filter": {}, "event": "hello"});
        let answer = socket.ask("dispatch", dispatch).await;
        assert_eq!(
            answer.get("error").map(|error| &error["data"]["code"]),
            (at >= 2).then_some(&json!("RATE_LIMITED"))
        );
    }
}

#[tokio::test]
async fn a_rate_of_everything_and_of_nothing() {
    let router = limited(Limits::new().requests_per_minute(5)).await.router();
    let list = || request("GET", "/users", None, &[]);
    for _ in 0..5 {
        assert_eq!(ask_from(&router, "192.0.2.1", list()).await.status, 200);
    }
    ask_from(&router, "192.0.2.1", list()).await.assert_problem(429, "RATE_LIMITED");
    let other = request("GET", "/users/x", None, &[]);
    assert_eq!(ask_from(&router, "192.0.2.1", other).await.status, 404, "each operation has its own");
    for (name, known) in [("nobody.insert", false), ("insert", false), ("users.anything", true), ("@auth", true)] {
        let app = App::new().model::<User>().rate_limit(name, 1).in_memory().open().await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(app.serve_on(listener, async {}).await.is_ok(), known, "{name}");
    }
}

/// A thousand tokens that somebody tries.
#[tokio::test]
async fn wrong_tokens_are_counted() {
    let app = limited(Limits::new()).await;
    let (router, ada) = (app.router(), token(&app, "ada"));
    let with = |token: &str| request("GET", "/users", None, &[("authorization", &format!("Bearer {token}"))]);
    let mut answers = [0; 2];
    for at in 0..1_000 {
        let answer = ask_from(&router, "192.0.2.1", with(&format!("wrong-{at}"))).await;
        match answer.status.as_u16() {
            401 => answers[0] += 1,
            429 => answers[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!((300..320).contains(&answers[0]) && answers[1] > 600, "{answers:?}");
    // Whoever has a good one is served, also from there.
    assert_eq!(ask_from(&router, "192.0.2.1", with(&ada)).await.status, 200);
    ask_from(&router, "192.0.2.2", with("wrong")).await.assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn only_trusted_proxies_say_whose_a_request_is() {
    let app = App::new().model::<User>().rate_limit("users.list", 1).trusted_proxies(["10.0.0.0/8"]);
    let router = app.in_memory().open().await.unwrap().router();
    let list = |by: &str| request("GET", "/users", None, &[("x-forwarded-for", by)]);
    assert_eq!(ask_from(&router, "10.0.0.1", list("192.0.2.1")).await.status, 200);
    assert_eq!(ask_from(&router, "10.0.0.1", list("192.0.2.2")).await.status, 200);
    ask_from(&router, "10.0.0.2", list("6.6.6.6, 192.0.2.1")).await.assert_problem(429, "RATE_LIMITED");
    // Nobody else is believed, so that nobody gets around it by a header.
    assert_eq!(ask_from(&router, "198.51.100.1", list("192.0.2.7")).await.status, 200);
    ask_from(&router, "198.51.100.1", list("192.0.2.8")).await.assert_problem(429, "RATE_LIMITED");
    let refused = App::new().trusted_proxies(["10.0.0.0/40"]).in_memory().open().await.unwrap_err();
    assert_eq!(refused.code().as_str(), "INVALID_DECLARATION");
}

/// A client that asks for much and takes it a little at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_are_cut() {
    let app = limited(Limits::new().write_time(Duration::from_millis(700))).await;
    let router = app.router();
    for at in 0..900 {
        let email = format!("{}{at}@example.com", "x".repeat(4_000));
        assert_eq!(ask(&router, "POST", "/users", user(&email)).await.status, 201);
    }
    let served = serve(app).await;
    let ask_much = async |served: &Served| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream: TcpStream = socket.connect(served.addr).await.unwrap();
        for _ in 0..3 {
            stream.write_all(b"GET /users?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        }
        stream
    };
    let mut stream = ask_much(&served).await;
    let begun = Instant::now();
    let mut buffer = [0; 16];
    let ended = tokio::time::timeout(Duration::from_secs(15), async {
        loop {
            // About 800 bytes a second.
            tokio::time::sleep(Duration::from_millis(20)).await;
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) if begun.elapsed() > Duration::from_secs(4) => {
                    // What the system still holds for us is read at once.
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    assert!(rest.len() < 8 << 20, "{}", rest.len());
                    return;
                }
                Ok(_) => {}
            }
        }
    });
    assert!(ended.await.is_ok(), "it was never cut");
    // Another one that reads slowly, but reads, gets all of it.
    let mut stream = ask_much(&served).await;
    let mut all = 0;
    let mut buffer = vec![0; 64 << 10];
    while all < 10_000_000 {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "cut after {all} bytes");
        all += read;
    }
}

/// Many slow clients at once, and another one that is served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_nobody_up() {
    let limits = Limits::new().header_time(Duration::from_secs(2)).body_time(Duration::from_secs(3));
    let served = serve(limited(limits).await).await;
    let begun = Instant::now();
    let mut slow = Vec::new();
    for at in 0..400 {
        let mut stream = served.connect().await;
        let head = if at % 2 == 0 {
            "GET /users HTTP/1.1\r\nhost: x\r\nx-slow: "
        } else {
            "POST /users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"email\":\""
        };
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(tokio::spawn(async move {
            let mut buffer = [0; 1024];
            loop {
                let _ = stream.write_all(b"x").await;
                let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await;
                if let Ok(Ok(0) | Err(_)) = read {
                    return begun.elapsed();
                }
            }
        }));
    }
    let mut worst = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(served.raw(b"GET /@health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.contains("ok"));
        worst = worst.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    let ended = futures_util::stream::iter(slow).then(|task| async { task.await.unwrap() });
    let last = ended.fold(Duration::ZERO, |last, at| async move { last.max(at) }).await;
    assert!(last < Duration::from_secs(12), "the last was cut after {last:?}");
}

/// Clients that do not read, none of whom has too much by itself, beside one that reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_all_sockets_is_bounded() {
    const IDLE: usize = 6;
    let served = serve(limited(Limits::new().backlog(4 << 20)).await).await;
    let users = served.app.model::<User>();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        let mut socket = served.socket(None).await;
        // Each in a room of its own, so that no two wait for the same.
        socket.ask("subscribe", json!({"model": "users", "filter": {"age": number}})).await;
        idle.push(socket);
    }
    let mut reader = served.socket(None).await;
    reader.ask("subscribe", json!({"model": "users", "filter": {"age": 100}})).await;
    let text = "x".repeat(64 << 10);
    // 10 MB for each, of which a connection holds some; one alone might have 16 MiB waiting.
    for round in 0..160_u32 {
        for number in 0..IDLE {
            users.subscription(User::AGE.eq(number as i64)).publish(&text).await.unwrap();
        }
        users.subscription(User::AGE.eq(100)).publish(&round).await.unwrap();
        assert_eq!(reader.frame().await.unwrap()["params"]["payload"], round);
    }
    for mut socket in idle {
        let mut heard = 0;
        let end = loop {
            match socket.frame().await {
                Ok(_) => heard += 1,
                Err(code) => break code,
            }
        };
        assert!(heard < 160 && (end == 1013 || end == 0), "{heard} {end}");
    }
}
