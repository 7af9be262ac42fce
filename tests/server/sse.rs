//! Sessions over server-sent events.

use std::sync::Arc;
use std::time::Duration;

use modeller::prelude::*;
use modeller_tests::events::Events;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Role, User, app, ask, serve, served, token};

/// `filter={"role":"admin"}`
const ADMINS: &str = "/users/@events?filter=%7B%22role%22:%22admin%22%7D";

#[tokio::test]
async fn what_is_published_is_heard_as_on_a_socket() {
    let served = served().await;
    let mut socket = served.socket(None).await;
    let subscribed = socket.ask("subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    let mut events = Events::open(served.addr, ADMINS, "").await;
    assert!(events.head.starts_with("http/1.1 200"), "{}", events.head);
    assert!(events.head.contains("content-type: text/event-stream\r\n"), "{}", events.head);
    assert!(events.head.contains("cache-control: no-store\r\n") && events.head.contains("modeller-seq: "));
    let first = events.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.id), ("subscribed", served.app.seq().to_string()));
    assert_eq!(first.data, subscribed["result"]);
    // Another room is not heard.
    let users = served.app.model::<User>();
    users.subscription(User::ROLE.eq(Role::User)).publish(&"unheard").await.unwrap();
    for text in ["one", "two\nlines\r\nof it", "three"] {
        ask(&served.app.router(), "POST", "/users/announce", json!({"text": text})).await;
        let frame = socket.frame().await.unwrap();
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data), ("publish", &frame["params"]), "{frame}");
        assert_eq!((event.id, &event.data["payload"]), (frame["params"]["seq"].to_string(), &json!(text)));
    }
}

#[tokio::test]
async fn who_was_cut_off_hears_the_rest() {
    let served = served().await;
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let publish = async |from: u32| {
        let published = served.app.transaction(move |transaction| async move {
            let room = transaction.model::<User>()?.subscription(User::ROLE.eq(Role::Admin));
            for number in from..from + 3 {
                room.publish(&number).await?;
            }
            Ok(())
        });
        published.await.unwrap();
    };
    room.publish(&"before").await.unwrap();
    let mut events = Events::open(served.addr, ADMINS, "").await;
    let mut last = events.next().await.unwrap().id;
    // Each time it hears of one, and is cut off.
    for from in [0, 3, 6] {
        publish(from).await;
        drop(events);
        for number in from..from + 3 {
            let mut events = Events::open(served.addr, ADMINS, &format!("last-event-id: {last}\r\n")).await;
            let first = events.next().await.unwrap();
            assert_eq!(
                (first.name.as_str(), &first.data["complete"], first.id.as_str()),
                ("subscribed", &json!(true), "")
            );
            let event = events.next().await.unwrap();
            assert_eq!(event.data["payload"], number, "after {last}");
            last = event.id;
        }
        events = Events::open(served.addr, ADMINS, &format!("last-event-id: {last}\r\n")).await;
        assert_eq!(events.next().await.unwrap().name, "subscribed");
    }
    // As on a socket, for clients that set no header.
    let mut socket = served.socket(None).await;
    let since = json!({"model": "users", "filter": {"role": "admin"}, "since": 0});
    let told = socket.ask("subscribe", since).await;
    let mut again = Events::open(served.addr, &format!("{ADMINS}&since=0"), "").await;
    assert_eq!(again.next().await.unwrap().data, told["result"]);
    let wrong = Events::open(served.addr, ADMINS, "last-event-id: x\r\n").await;
    assert!(wrong.head.starts_with("http/1.1 400"), "{}", wrong.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_or_out_of_order() {
    let served = served().await;
    let mut listeners = Vec::new();
    for _ in 0..5 {
        let mut events = Events::open(served.addr, ADMINS, "").await;
        assert_eq!(events.next().await.unwrap().name, "subscribed");
        listeners.push(tokio::spawn(async move {
            let mut last = 0;
            for number in 0..1_000 {
                let event = events.next().await.unwrap();
                assert_eq!(event.data["payload"], number);
                let seq = event.data["seq"].as_u64().unwrap();
                assert!(seq > last && event.id == seq.to_string());
                last = seq;
            }
        }));
    }
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    for number in 0..1_000 {
        room.publish(&number).await.unwrap();
    }
    for listener in listeners {
        listener.await.unwrap();
    }
}

#[tokio::test]
async fn what_may_not_be_heard_is_a_problem() {
    let served = served().await;
    let router = served.app.router();
    for (path, status, code) in [
        ("/nowhere/@events", 404, "MODEL_NOT_FOUND"),
        ("/ledger/@events", 404, "MODEL_NOT_FOUND"),
        ("/notes/@events", 401, "UNAUTHENTICATED"),
        ("/users/@events?filter=null", 400, "INVALID_QUERY"),
        ("/users/@events?filter=%7B%22password%22:1%7D", 400, "INVALID_QUERY"),
        ("/users/@events?filter=%7B%22$where%22:1%7D", 400, "INVALID_QUERY"),
        ("/users/@events?filter=x", 400, "INVALID_QUERY"),
        ("/users/@events?since=-1", 400, "INVALID_QUERY"),
        ("/users/@events?since=1&received=1.5", 400, "INVALID_QUERY"),
        ("/users/@events?limit=1", 400, "INVALID_QUERY"),
    ] {
        let answer = ask(&router, "GET", path, Value::Null).await;
        answer.assert_problem(status, code);
        assert_eq!(answer.header("www-authenticate") == "Bearer", status == 401);
    }
    ask(&router, "POST", "/users/@events", json!({})).await.assert_problem(405, "METHOD_NOT_ALLOWED");
    let known = format!("authorization: Bearer {}\r\n", token(&served.app, "ada"));
    let mut events = Events::open(served.addr, "/notes/@events", &known).await;
    assert_eq!(events.next().await.unwrap().name, "subscribed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_loses_its_session_and_nobody_else_anything() {
    let served = served().await;
    let mut slow = Events::open(served.addr, ADMINS, "").await;
    let mut good = Events::open(served.addr, ADMINS, "").await;
    assert_eq!(good.next().await.unwrap().name, "subscribed");
    const PUSHES: usize = 600;
    // It is never far behind, however busy the machine is.
    let behind = Arc::new(Semaphore::new(100));
    let read = behind.clone();
    let listener = tokio::spawn(async move {
        for number in 0..PUSHES {
            let event = good.next().await.unwrap();
            assert_eq!(event.data["payload"][0], number);
            read.add_permits(1);
        }
    });
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let text = "x".repeat(64 << 10);
    for number in 0..PUSHES {
        behind.acquire().await.unwrap().forget();
        room.publish(&json!([number, text])).await.unwrap();
    }
    listener.await.unwrap();
    let (mut heard, mut next) = (0, 0);
    while let Some(event) = slow.next().await {
        if event.name == "publish" {
            assert_eq!(event.data["payload"][0], next, "a gap");
            next += 1;
            heard += 1;
        }
    }
    assert!(heard < PUSHES, "{heard}");
}

#[tokio::test]
async fn streams_are_counted_as_sockets_and_end_with_the_server() {
    let app = App::new().model::<User>().max_sockets(1).in_memory().open().await.unwrap();
    let mut served = serve(app).await;
    let mut events = Events::open(served.addr, ADMINS, "").await;
    assert_eq!(events.next().await.unwrap().name, "subscribed");
    let refused = Events::open(served.addr, ADMINS, "").await;
    assert!(refused.head.starts_with("http/1.1 503"), "{}", refused.head);
    drop(refused);
    served.stop.take();
    assert_eq!(events.next().await, None);
    tokio::time::timeout(Duration::from_secs(5), served.serving).await.expect("it drains").unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let served = serve(app().await).await;
    let claims = serde_json::Map::from_iter([("sub".to_owned(), json!("ada"))]);
    // It holds for the leeway between clocks, five seconds.
    let token = served.app.sign_token(claims, Duration::ZERO).unwrap();
    let mut events = Events::open(served.addr, "/notes/@events", &format!("authorization: Bearer {token}\r\n")).await;
    assert_eq!(events.next().await.unwrap().name, "subscribed");
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    // What comes then is not told any more.
    served.app.model::<crate::support::Note>().subscription(Filter::all()).publish(&"late").await.unwrap();
    assert_eq!(events.next().await, None);
}
