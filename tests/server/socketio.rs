//! Sessions over Socket.IO: by the official client, and by one that writes the packets itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use modeller::Limits;
use modeller::prelude::*;
use modeller_tests::http::Connection;
use modeller_tests::node::Node;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{CANARY, Role, Served, User, app, serve, served, token};

const KINDS: [&str; 3] = ["websocket", "polling", "upgrade"];

/// The official client, which waits for answers elsewhere than where the server runs.
struct Client(Option<Node>);

impl Client {
    fn start() -> Self {
        Self(Some(Node::start("socketio.mjs")))
    }

    async fn ask(&mut self, question: Value) -> Value {
        let mut node = self.0.take().unwrap();
        let (node, answer) = tokio::task::spawn_blocking(move || {
            let answer = node.ask(&question);
            (node, answer)
        })
        .await
        .unwrap();
        self.0 = Some(node);
        assert_eq!(answer.get("error"), None, "{answer}");
        answer["result"].clone()
    }
}

fn url(served: &Served) -> String {
    format!("http://{}", served.addr)
}

#[cfg_attr(
    not(has_socketio),
    ignore = "needs node and the npm package socket.io-client in $MODELLER_NPM; .ci/run installs it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_by_each_transport() {
    let served = served().await;
    let token = token(&served.app, "ada");
    let mut client = Client::start();
    for kind in KINDS {
        let done = client.ask(json!({"command": "checks", "url": url(&served), "kind": kind, "token": token})).await;
        let done = done.as_array().unwrap();
        println!("{kind}: {} checks", done.len());
        assert_eq!(done.len(), 17, "{done:?}");
    }
}

/// Five hundred payloads, which ten of thirteen clients hear, whole, in order and once.
#[cfg_attr(
    not(has_socketio),
    ignore = "needs node and the npm package socket.io-client in $MODELLER_NPM; .ci/run installs it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_subscriptions_are_rooms_and_what_is_published_reaches_all_in_them_and_nobody_else() {
    let served = served().await;
    let mut client = Client::start();
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    for kind in KINDS {
        let listen = |count: u32, filter: Value| json!({"command": "listen", "url": url(&served), "kind": kind, "count": count, "filter": filter});
        let hearing = client.ask(listen(10, json!({"role": "admin"}))).await;
        let others = client.ask(listen(2, json!({"role": "user"}))).await;
        let silent = client.ask(listen(1, Value::Null)).await;
        for told in hearing["rooms"].as_array().unwrap() {
            assert_eq!((&told["subscription"], &told["room"]), (&room.id().into(), &room.room().into()));
        }
        for number in 0..500 {
            room.publish(&json!({"number": number})).await.unwrap();
        }
        let first = hearing["first"].as_u64().unwrap();
        for listener in first..first + 10 {
            let told = client.ask(json!({"command": "heard", "listener": listener, "count": 500})).await;
            assert_eq!((&told["ended"], told["heard"].as_array().unwrap().len()), (&Value::Null, 500), "{kind}");
            let mut last = 0;
            for (number, push) in told["heard"].as_array().unwrap().iter().enumerate() {
                assert_eq!(push["payload"], json!({"number": number}), "{kind}");
                assert_eq!((&push["subscription"], &push["room"]), (&room.id().into(), &room.room().into()));
                let seq = push["seq"].as_u64().unwrap();
                assert!(seq > last);
                last = seq;
            }
        }
        for listener in [others["first"].as_u64().unwrap(), silent["first"].as_u64().unwrap()] {
            let told = client.ask(json!({"command": "heard", "listener": listener, "count": 0})).await;
            assert_eq!(told["heard"], json!([]), "{kind}");
        }
        client.ask(json!({"command": "close"})).await;
    }
}

/// Faster than any client can take it, so that it stands in the queue.
#[cfg_attr(
    not(has_socketio),
    ignore = "needs node and the npm package socket.io-client in $MODELLER_NPM; .ci/run installs it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_arrives_whole_and_in_order() {
    let served = served().await;
    let mut client = Client::start();
    for kind in KINDS {
        let question =
            json!({"command": "listen", "url": url(&served), "kind": kind, "count": 1, "filter": {"role": "user"}});
        let listener = client.ask(question).await["first"].clone();
        // All of them in one commit.
        let published = served.app.transaction(|transaction| async move {
            let room = transaction.model::<User>()?.subscription(User::ROLE.eq(Role::User));
            for number in 0..1_000 {
                room.publish(&number).await?;
            }
            Ok(())
        });
        published.await.unwrap();
        let told = client.ask(json!({"command": "heard", "listener": listener, "count": 1_000})).await;
        let heard: Vec<&Value> = told["heard"].as_array().unwrap().iter().map(|push| &push["payload"]).collect();
        assert_eq!(heard, (0..1_000).map(Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>(), "{kind}");
        client.ask(json!({"command": "close"})).await;
    }
}

#[cfg_attr(
    not(has_socketio),
    ignore = "needs node and the npm package socket.io-client in $MODELLER_NPM; .ci/run installs it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_connections_that_come_back() {
    let mut client = Client::start();
    for kind in KINDS {
        let mut served = served().await;
        let options = json!({"reconnection": true, "reconnectionDelay": 100});
        let question = json!({"command": "listen", "url": url(&served), "kind": kind, "count": 1, "options": options});
        let listener = client.ask(question).await["first"].clone();
        served.stop.take();
        let told = client.ask(json!({"command": "heard", "listener": listener, "count": 1})).await;
        assert!(told["ended"].is_string() && told["active"] == true, "{kind}: {told}");
        tokio::time::timeout(Duration::from_secs(8), served.serving).await.expect("it drains").unwrap().unwrap();
    }
}

/// A client that writes and reads the packets itself, over a WebSocket.
struct Raw(WebSocketStream<TcpStream>);

impl Raw {
    /// Up to the transport, whose first packet is read.
    async fn open(served: &Served) -> Self {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", served.addr);
        let stream = served.connect().await;
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut raw = Self(socket);
        assert!(raw.text().await.unwrap().starts_with(r#"0{"sid":"#));
        raw
    }

    async fn connect(served: &Served) -> Self {
        let mut raw = Self::open(served).await;
        raw.send("40").await;
        assert!(raw.message().await.unwrap().starts_with(r#"0{"sid":"#));
        raw
    }

    async fn send(&mut self, text: impl Into<String>) {
        let _ = self.0.send(Message::text(text.into())).await;
    }

    async fn text(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("a packet in time") {
                Some(Ok(Message::Text(text))) => {
                    assert!(!text.contains(CANARY), "private: {text}");
                    return Some(text.as_str().to_owned());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next packet of Socket.IO; `None` when the connection has ended.
    async fn message(&mut self) -> Option<String> {
        loop {
            let text = self.text().await?;
            match text.split_at(1) {
                ("4", message) => return Some(message.to_owned()),
                ("2", "") => self.send("3").await,
                ("1", "") => return None,
                _ => panic!("{text}"),
            }
        }
    }

    async fn ask(&mut self, id: u64, event: &str, params: Value) -> Value {
        self.send(format!("42{id}{}", json!([event, params]))).await;
        let message = self.message().await.unwrap();
        let answer = message.strip_prefix(&format!("3{id}")).unwrap_or_else(|| panic!("{message}"));
        serde_json::from_str::<Value>(answer).unwrap()[0].clone()
    }
}

/// Whoever waits for an acknowledgement hears of what was not read.
#[tokio::test]
async fn what_is_nested_too_deep_is_acknowledged() {
    let app = App::new().model::<User>().in_memory().limits(Limits::new().json_depth(5)).open().await.unwrap();
    let served = serve(app).await;
    let mut raw = Raw::connect(&served).await;
    let deep = json!({"model": "users", "filter": {"$or": [{"$and": [{"age": 1}]}]}});
    let refused = raw.ask(7, "subscribe", deep).await;
    assert_eq!(refused["code"], "PAYLOAD_TOO_LARGE", "{refused}");
}

/// Events that stand right behind what connects, before it is answered: none is lost, and their order is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_at_once_are_all_answered_in_order() {
    let served = served().await;
    const SOCKETS: u64 = 10;
    const EVENTS: u64 = 200;
    let mut clients = Vec::new();
    for _ in 0..SOCKETS {
        let mut raw = Raw::open(&served).await;
        clients.push(tokio::spawn(async move {
            raw.0.feed(Message::text("40")).await.unwrap();
            for id in 0..EVENTS {
                // Answered where it stands, as those of a method are not.
                let event = format!("42{id}{}", json!(["unsubscribe", {"subscription": "none"}]));
                raw.0.feed(Message::text(event)).await.unwrap();
            }
            raw.0.flush().await.unwrap();
            assert!(raw.message().await.unwrap().starts_with(r#"0{"sid":"#));
            for id in 0..EVENTS {
                let message = raw.message().await.unwrap();
                assert!(message.starts_with(&format!("3{id}[{{")) && message.contains("NOT_FOUND"), "{id}: {message}");
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    // More than run at once, and slow ones: all are answered.
    let mut raw = Raw::open(&served).await;
    raw.send("40").await;
    for id in 0..130 {
        raw.send(format!("42{id}{}", json!(["call", {"model": "users", "method": "dawdle"}]))).await;
    }
    assert!(raw.message().await.unwrap().starts_with(r#"0{"sid":"#));
    let mut answered = std::collections::HashSet::new();
    while answered.len() < 130 {
        assert!(answered.insert(raw.message().await.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_closes_its_own_socket() {
    let served = served().await;
    let mut good = Raw::connect(&served).await;
    let told = good.ask(1, "subscribe", json!({"model": "users", "filter": {}})).await;
    assert!(told["result"]["room"].is_string(), "{told}");
    let deep = format!("42{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for garbage in [
        "",
        "x",
        "4",
        "7",
        "0{}",
        "40",
        "42",
        "42[]",
        "42[1]",
        r#"42{"a":1}"#,
        r#"42["call""#,
        r#"4299999999999999999999["call"]"#,
        r#"42/admin,["call"]"#,
        r#"44{"message":"x"}"#,
        r#"451-["call",{"_placeholder":true,"num":0}]"#,
        r#"461-1[{"_placeholder":true,"num":0}]"#,
        deep.as_str(),
    ] {
        let mut raw = Raw::connect(&served).await;
        raw.send(garbage).await;
        assert_eq!(raw.message().await, None, "{}", &garbage[..garbage.len().min(60)]);
    }
    // Before it is connected, too.
    for garbage in ["42[\"call\"]", "41", "43[]", "40x"] {
        let mut raw = Raw::open(&served).await;
        raw.send(garbage).await;
        assert_eq!(raw.message().await, None, "{garbage}");
    }
    let mut binary = Raw::connect(&served).await;
    let _ = binary.0.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(binary.message().await, None);
    let mut large = Raw::connect(&served).await;
    large.send("x".repeat(2 << 20)).await;
    assert_eq!(large.message().await, None);
    // What no transport of the protocol asks for.
    let mut http = Connection::open(served.addr).await.unwrap();
    for path in [
        "/socket.io/",
        "/socket.io/?EIO=4",
        "/socket.io/?EIO=3&transport=polling",
        "/socket.io/?EIO=4&transport=polling&sid=nobody",
        "/socket.io/?EIO=4&transport=carrier-pigeon",
        "/socket.io/?EIO=4&transport=websocket",
    ] {
        assert_eq!(http.json("GET", path, None).await.unwrap().status, 400, "{path}");
    }
    let posted = http.send("POST", "/socket.io/?EIO=4&transport=polling", "", b"40").await.unwrap();
    assert_eq!(posted.status, 400);

    served.app.model::<User>().subscription(Filter::all()).publish(&"still here").await.unwrap();
    assert!(good.message().await.unwrap().contains("still here"));
}

#[tokio::test]
async fn s5_what_a_program_declares_is_reached_over_http_and_by_sockets_without_wiring() {
    let served = served().await;
    let mut http = Connection::open(served.addr).await.unwrap();
    let mut native = served.socket(None).await;
    let mut raw = Raw::connect(&served).await;
    // A model.
    let made = http.json("POST", "/users", Some(&crate::support::user("a@example.com"))).await.unwrap();
    assert_eq!(made.status, 201);
    let path = format!("/users/{}", made.json()["_id"].as_str().unwrap());
    assert_eq!(http.json("GET", &path, None).await.unwrap().json(), made.json());
    // A method.
    let asked = json!({"model": "users", "method": "ping"});
    assert_eq!(http.json("POST", "/users/ping", Some(&Value::Null)).await.unwrap().json(), "pong");
    assert_eq!(native.ask("call", asked.clone()).await["result"], "pong");
    assert_eq!(raw.ask(1, "call", asked).await["result"], "pong");
    // Subscriptions, and an event in one of them, told by each carrier.
    let filter = json!({"role": "admin"});
    let room = json!({"model": "users", "filter": filter});
    native.ask("subscribe", room.clone()).await;
    raw.ask(2, "subscribe", room).await;
    let asked = json!({"model": "users", "filter": filter, "event": "shout", "args": {"text": "hey"}});
    native.request("dispatch", asked.clone()).await;
    assert_eq!(native.frame().await.unwrap()["params"]["payload"], "hey");
    assert_eq!(native.frame().await.unwrap()["result"], 3);
    assert!(raw.message().await.unwrap().contains(r#""payload":"hey"}]"#));
    raw.send(format!("423{}", json!(["dispatch", asked]))).await;
    assert!(raw.message().await.unwrap().contains(r#""payload":"hey"}]"#));
    assert!(raw.message().await.unwrap().starts_with(r#"33[{"result":3,"#));
    assert_eq!(native.frame().await.unwrap()["params"]["payload"], "hey");
}

/// One client stops reading: it is closed when it is behind by its bound, others lose nothing, and nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_dropped_and_others_lose_nothing() {
    let served = served().await;
    let filter = json!({"model": "users", "filter": {"role": "admin"}});
    let mut slow = Raw::connect(&served).await;
    slow.ask(1, "subscribe", filter.clone()).await;
    let mut good = Raw::connect(&served).await;
    good.ask(1, "subscribe", filter).await;
    const PUSHES: usize = 600;
    // It is never far behind, however busy the machine is.
    let behind = Arc::new(Semaphore::new(100));
    let read = behind.clone();
    let listener = tokio::spawn(async move {
        for number in 0..PUSHES {
            let message = good.message().await.unwrap();
            assert!(message.contains(&format!(r#""payload":[{number},"#)), "{number}: {}", &message[..100]);
            read.add_permits(1);
        }
    });
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let text = "x".repeat(64 << 10);
    let mut slowest = Duration::ZERO;
    for number in 0..PUSHES {
        behind.acquire().await.unwrap().forget();
        let asked = std::time::Instant::now();
        room.publish(&json!([number, text])).await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    listener.await.unwrap();
    assert!(slowest < Duration::from_secs(1), "a commit waited {slowest:?} for a socket");
    let mut heard = 0;
    while let Some(message) = slow.message().await {
        assert!(message.contains(&format!(r#""payload":[{heard},"#)), "a gap at {heard}");
        heard += 1;
    }
    println!("the slow one heard {heard}");
    assert!(heard < PUSHES);
}

/// A reader that is slow, and not so slow that it is dropped, is told everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_is_told_everything() {
    let served = served().await;
    let mut slow = Raw::connect(&served).await;
    slow.ask(1, "subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let text = "x".repeat(8 << 10);
    for number in 0..1_500 {
        room.publish(&json!([number, text])).await.unwrap();
    }
    for number in 0..1_500 {
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let message = slow.message().await.unwrap();
        assert!(message.contains(&format!(r#""payload":[{number},"#)), "{number}: {}", &message[..100]);
    }
}

#[tokio::test]
async fn sockets_are_counted() {
    let app = App::new().model::<User>().max_sockets(1).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let mut first = Raw::connect(&served).await;
    assert_eq!(first.ask(1, "call", json!({"model": "users", "method": "ping"})).await["result"], "pong");
    let mut http = Connection::open(served.addr).await.unwrap();
    let answer = http.json("GET", "/socket.io/?EIO=4&transport=polling", None).await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("UNAVAILABLE")));
    first.send("41").await;
    assert_eq!(first.message().await, None);
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = http.json("GET", "/socket.io/?EIO=4&transport=polling", None).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let served = serve(app().await).await;
    let claims = serde_json::Map::from_iter([("sub".to_owned(), json!("ada"))]);
    // It holds for the leeway between clocks, five seconds.
    let token = served.app.sign_token(claims, Duration::ZERO).unwrap();
    let mut raw = Raw::open(&served).await;
    raw.send(format!("40{}", json!({"token": token}))).await;
    assert!(raw.message().await.unwrap().starts_with(r#"0{"sid":"#));
    assert_eq!(raw.ask(1, "call", json!({"model": "users", "method": "whoami"})).await["result"], "ada");
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    raw.send(format!("422{}", json!(["call", {"model": "users", "method": "whoami"}]))).await;
    assert_eq!(raw.message().await.as_deref(), Some("1"), "not to come back by itself");
    assert_eq!(raw.message().await, None);
}

/// A transport that is opened and never used is not kept.
#[tokio::test]
#[ignore = "waits for half a minute; run by .ci/run"]
async fn who_does_not_connect_or_vanishes_is_dropped() {
    let app = App::new().model::<User>().max_sockets(2).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let _idle = Raw::open(&served).await;
    let mut http = Connection::open(served.addr).await.unwrap();
    let path = "/socket.io/?EIO=4&transport=polling";
    // It connects, and polls no more.
    let opened = http.json("GET", path, None).await.unwrap();
    let sid = serde_json::from_slice::<Value>(&opened.body[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
    let of_session = format!("{path}&sid={sid}");
    assert_eq!(http.send("POST", &of_session, "content-type: text/plain\r\n", b"40").await.unwrap().status, 200);
    assert_eq!(http.json("GET", path, None).await.unwrap().status, 503);
    tokio::time::sleep(Duration::from_secs(12)).await;
    // The place of the one that did not connect. A connection for requests does not stay open for so long.
    let mut http = Connection::open(served.addr).await.unwrap();
    let answer = http.json("GET", path, None).await.unwrap();
    assert_eq!(answer.status, 200);
    tokio::time::sleep(Duration::from_secs(12)).await;
    // That of the one that did not answer a ping.
    let mut http = Connection::open(served.addr).await.unwrap();
    assert_eq!(http.json("GET", &of_session, None).await.unwrap().status, 400);
    assert_eq!(http.json("GET", path, None).await.unwrap().status, 200);
}
