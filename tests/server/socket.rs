//! Sessions over a WebSocket.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use modeller::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use modeller_tests::random::Random;

use crate::support::{Role, User, ask, serve, served, token};

const ADMINS: &str = r#"{"role":"admin"}"#;

fn admins() -> Value {
    serde_json::from_str(ADMINS).unwrap()
}

#[tokio::test]
async fn what_is_published_is_heard_before_its_answer_and_by_nobody_else() {
    let served = served().await;
    let mut a = served.socket(None).await;
    let mut other = served.socket(None).await;
    let subscribed = a.ask("subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    let (id, room) = (&subscribed["result"]["subscription"], &subscribed["result"]["room"]);
    assert!(id.is_string() && room.is_string(), "{subscribed}");
    assert_eq!(subscribed["seq"], served.app.seq());
    // The same filter, written otherwise, is the same room.
    let again = a.ask("subscribe", json!({"model": "users", "filter": {"role": {"$eq": "admin"}}})).await;
    assert_eq!((&again["result"]["subscription"], &again["result"]["room"]), (id, room));
    other.ask("subscribe", json!({"model": "users", "filter": {"role": "user"}})).await;

    for text in ["one", "two"] {
        let asked = a.request("call", json!({"model": "users", "method": "announce", "args": {"text": text}})).await;
        let push = a.frame().await.unwrap();
        assert_eq!(
            (&push["method"], &push["params"]["subscription"], &push["params"]["payload"]),
            (&json!("publish"), id, &json!(text))
        );
        assert!(push.get("id").is_none() && push["params"]["seq"].as_u64() == Some(served.app.seq()));
        let answer = a.frame().await.unwrap();
        assert_eq!(
            (&answer["id"], &answer["result"], &answer["seq"]),
            (&json!(asked), &json!(1), &push["params"]["seq"])
        );
    }
    assert_eq!(other.ask("call", json!({"model": "users", "method": "ping"})).await["result"], "pong");

    let dispatched = other
        .request(
            "dispatch",
            json!({"model": "users", "filter": {"role": "admin"}, "event": "shout", "args": {"text": "hey"}}),
        )
        .await;
    assert_eq!(
        other.frame().await.unwrap(),
        json!({"jsonrpc": "2.0", "id": dispatched, "result": 3, "seq": served.app.seq()})
    );
    assert_eq!(a.frame().await.unwrap()["params"]["payload"], "hey");

    assert_eq!(a.ask("unsubscribe", json!({"subscription": id})).await["result"], json!({}));
    assert_eq!(a.ask("unsubscribe", json!({"subscription": id})).await["error"]["data"]["code"], "NOT_FOUND");
    ask(&served.app.router(), "POST", "/users/announce", json!({"text": "unheard"})).await;
    assert_eq!(a.ask("call", json!({"model": "users", "method": "ping"})).await["result"], "pong");
}

/// Two thousand commits, of which each of ten sockets hears all, in order and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_or_out_of_order() {
    let served = served().await;
    let mut listeners = Vec::new();
    for _ in 0..10 {
        let mut socket = served.socket(None).await;
        socket.ask("subscribe", json!({"model": "users", "filter": admins()})).await;
        listeners.push(tokio::spawn(async move {
            let mut heard = Vec::new();
            while heard.len() < 2_000 {
                let frame = socket.frame().await.unwrap();
                heard.push((frame["params"]["seq"].as_u64().unwrap(), frame["params"]["payload"].as_u64().unwrap()));
            }
            heard
        }));
    }
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    for number in 0..2_000_u64 {
        room.publish(&number).await.unwrap();
    }
    for listener in listeners {
        let heard = listener.await.unwrap();
        assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 + 1 == pair[1].1));
    }
}

/// Who subscribes while others publish gets its answer first, and then every payload of a later commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_from_which_commit_on_it_is_heard() {
    let served = served().await;
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    let publisher = tokio::spawn(async move {
        let mut last = 0_u64;
        while is_done.try_recv().is_err() {
            last += 1;
            room.publish(&last).await.unwrap();
        }
    });
    for _ in 0..200 {
        let mut socket = served.socket(None).await;
        let answer = socket.ask("subscribe", json!({"model": "users", "filter": admins()})).await;
        let from = answer["seq"].as_u64().unwrap();
        let mut expected = None;
        for _ in 0..5 {
            let push = socket.frame().await.unwrap()["params"].take();
            let (seq, number) = (push["seq"].as_u64().unwrap(), push["payload"].as_u64().unwrap());
            assert!(expected.is_none_or(|expected| expected == number));
            // Each commit has one payload, so that a gap would show in the sequence numbers.
            assert!(expected.is_some() || seq <= from + 1, "{from} {seq}");
            expected = Some(number + 1);
        }
    }
    done.send(()).unwrap();
    publisher.await.unwrap();
}

/// A client that does not read loses its session; another one in the same room loses nothing, and no commit waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_is_closed_and_others_lose_nothing() {
    const PUSHES: usize = 12_000;
    let served = served().await;
    let mut slow = served.socket(None).await;
    let mut quick = served.socket(None).await;
    for socket in [&mut slow, &mut quick] {
        socket.ask("subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    }
    let listener = tokio::spawn(async move {
        let mut seqs = Vec::new();
        while seqs.len() < PUSHES {
            seqs.push(quick.frame().await.unwrap()["params"]["seq"].as_u64().unwrap());
        }
        seqs
    });
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let text = "x".repeat(4 << 10);
    let begin = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..PUSHES {
        let asked = Instant::now();
        room.publish(&text).await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    println!("{PUSHES} pushes of 4 KiB in {:?}, the slowest {slowest:?}", begin.elapsed());
    let seqs = listener.await.unwrap();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(slowest < Duration::from_secs(1), "a commit waited {slowest:?} for a socket");
    let mut heard = 0;
    let end = loop {
        match slow.frame().await {
            Ok(_) => heard += 1,
            Err(code) => break code,
        }
    };
    println!("the slow one heard {heard} and was closed with {end}");
    assert!(heard < PUSHES && (end == 1013 || end == 0), "{heard} {end}");
}

/// As before, but it wakes up while the goodbye is still waiting for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_that_wakes_up_is_told_why() {
    let served = served().await;
    let mut slow = served.socket(None).await;
    slow.ask("subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    let room = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin));
    let text = "x".repeat(64 << 10);
    // More than its queue and the buffers of the connection hold, and not much more: the goodbye does not wait for long.
    for _ in 0..480 {
        room.publish(&text).await.unwrap();
    }
    let mut last = 0;
    let end = loop {
        match slow.frame().await {
            Ok(frame) => {
                let seq = frame["params"]["seq"].as_u64().unwrap();
                assert!(seq > last);
                last = seq;
            }
            Err(code) => break code,
        }
    };
    assert_eq!(end, 1013);
    let mut again = served.socket(None).await;
    again.ask("subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    room.publish(&"back").await.unwrap();
    assert_eq!(again.frame().await.unwrap()["params"]["payload"], "back");
}

#[tokio::test]
async fn requests_that_are_none() {
    let served = served().await;
    let mut socket = served.socket(None).await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (text, code) in [
        ("", -32700),
        ("{", -32700),
        (deep.as_str(), -32700),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"call","params":{}}]"#, -32600),
        ("1", -32600),
        ("null", -32600),
        (r#"{"jsonrpc":"2.0","method":7,"id":1}"#, -32600),
        (r#"{"method":"call","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"call","id":[1]}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"drop","id":1}"#, -32601),
        (r#"{"jsonrpc":"2.0","method":"call","params":[],"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"call","id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"call","params":{"model":"users","method":7},"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"call","params":{"model":"users","method":"ping","more":1},"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"subscribe","params":{"model":"users"},"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"authenticate","params":{},"id":1}"#, -32602),
    ] {
        socket.send_text(text).await;
        let answer = socket.frame().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{text}: {answer}");
        assert!(
            answer["error"]["message"].is_string() && answer["error"]["data"]["code"] == "INVALID_REQUEST",
            "{answer}"
        );
        assert!(answer["seq"].is_number() && answer.get("result").is_none());
    }
    for (method, params, code) in [
        ("subscribe", json!({"model": "nowhere", "filter": {}}), "MODEL_NOT_FOUND"),
        ("subscribe", json!({"model": "ledger", "filter": {}}), "MODEL_NOT_FOUND"),
        ("subscribe", json!({"model": "notes", "filter": {}}), "UNAUTHENTICATED"),
        ("subscribe", json!({"model": "users", "filter": null}), "INVALID_QUERY"),
        ("subscribe", json!({"model": "users", "filter": {"$where": "1"}}), "INVALID_QUERY"),
        ("subscribe", json!({"model": "users", "filter": {"nickname": 1}}), "INVALID_QUERY"),
        ("unsubscribe", json!({"subscription": "s999"}), "NOT_FOUND"),
        ("call", json!({"model": "users", "method": "nothing"}), "METHOD_NOT_FOUND"),
        ("call", json!({"model": "users", "method": "sweep"}), "METHOD_NOT_FOUND"),
        ("call", json!({"model": "users", "method": "shout", "args": {"text": "x"}}), "METHOD_NOT_FOUND"),
        ("call", json!({"model": "ledger", "method": "x"}), "MODEL_NOT_FOUND"),
        ("call", json!({"model": "users", "method": "secret_report"}), "UNAUTHENTICATED"),
        ("call", json!({"model": "users", "method": "promote", "args": {"email": 1}}), "VALIDATION_ERROR"),
        ("call", json!({"model": "users", "method": "explode"}), "INTERNAL"),
        ("call", json!({"model": "users", "method": "panics"}), "INTERNAL"),
        ("dispatch", json!({"model": "users", "filter": {}, "event": "nothing"}), "EVENT_NOT_FOUND"),
        ("dispatch", json!({"model": "users", "filter": {}, "event": "ping"}), "EVENT_NOT_FOUND"),
        ("dispatch", json!({"model": "users", "filter": [], "event": "shout", "args": {"text": "x"}}), "INVALID_QUERY"),
        ("dispatch", json!({"model": "users", "filter": {}, "event": "shout", "args": {}}), "VALIDATION_ERROR"),
        ("authenticate", json!({"token": "x"}), "UNAUTHENTICATED"),
    ] {
        let answer = socket.ask(method, params).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["data"]["code"]),
            (&json!(-32000), &json!(code)),
            "{answer}"
        );
    }
    // A notification is obeyed and not answered.
    socket.send_text(r#"{"jsonrpc":"2.0","method":"subscribe","params":{"model":"users","filter":{}}}"#).await;
    socket.send_text(r#"{"jsonrpc":"2.0","method":"nonsense"}"#).await;
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "ping"})).await["result"], "pong");
}

/// 64 at once, and the rest when there is room; all are answered, also those whose socket is gone meanwhile.
#[tokio::test]
async fn requests_run_side_by_side_within_a_bound() {
    let served = served().await;
    let mut socket = served.socket(None).await;
    let begin = Instant::now();
    for _ in 0..130 {
        socket.request("call", json!({"model": "users", "method": "dawdle"})).await;
    }
    let mut answered = std::collections::HashSet::new();
    while answered.len() < 130 {
        let answer = socket.frame().await.unwrap();
        assert_eq!(answer["result"], "done");
        assert!(answered.insert(answer["id"].as_u64().unwrap()));
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(1_800) && took < Duration::from_secs(10), "{took:?}");

    socket.request("call", json!({"model": "users", "method": "linger"})).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(socket);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(served.app.model::<User>().count(Filter::all()).await.unwrap(), 1);
}

#[tokio::test]
async fn who_says_who_he_is_may_more_from_then_on() {
    let served = served().await;
    let token = token(&served.app, "ada");
    let mut socket = served.socket(None).await;
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], Value::Null);
    assert_eq!(socket.ask("authenticate", json!({"token": token})).await["result"], json!({}));
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], "ada");
    assert!(socket.ask("subscribe", json!({"model": "notes", "filter": {}})).await["result"].is_object());
    // A bad token changes nothing.
    assert_eq!(socket.ask("authenticate", json!({"token": "x"})).await["error"]["data"]["code"], "UNAUTHENTICATED");
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], "ada");

    let mut known = served.socket(Some(&token)).await;
    assert_eq!(known.ask("call", json!({"model": "users", "method": "secret_report"})).await["result"], "report");
    let handshake = "GET /@socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer x\r\n\r\n";
    assert!(served.raw(handshake.as_bytes()).await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let served = served().await;
    let claims = serde_json::Map::from_iter([("sub".to_owned(), json!("ada"))]);
    // It holds for the leeway between clocks, five seconds.
    let token = served.app.sign_token(claims, Duration::ZERO).unwrap();
    let mut socket = served.socket(Some(&token)).await;
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], "ada");
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    socket.request("call", json!({"model": "users", "method": "whoami"})).await;
    assert_eq!(socket.frame().await, Err(1008));
}

#[tokio::test]
async fn subscriptions_of_a_socket_are_bounded() {
    let served = served().await;
    let mut socket = served.socket(None).await;
    for age in 0..100 {
        assert!(socket.ask("subscribe", json!({"model": "users", "filter": {"age": age}})).await["result"].is_object());
    }
    assert_eq!(
        socket.ask("subscribe", json!({"model": "users", "filter": {"age": 100}})).await["error"]["data"]["code"],
        "RATE_LIMITED"
    );
    assert!(socket.ask("subscribe", json!({"model": "users", "filter": {"age": 7}})).await["result"].is_object());
}

/// Garbage of all kinds ends its own socket; the one that was there before goes on.
#[tokio::test]
async fn garbage_closes_its_own_socket() {
    let served = served().await;
    let mut good = served.socket(None).await;
    good.ask("subscribe", json!({"model": "users", "filter": {}})).await;

    let mut binary = served.socket(None).await;
    binary.inner.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(binary.frame().await, Err(1003));

    let mut large = served.socket(None).await;
    let _ = large.inner.send(Message::text("x".repeat(2 << 20))).await;
    assert!(matches!(large.frame().await, Err(1009 | 0)));

    let mut fragments = served.socket(None).await;
    for _ in 0..40 {
        let part = Frame::message(vec![b'x'; 64 << 10], OpCode::Data(Data::Text), false);
        if fragments.inner.send(Message::Frame(part)).await.is_err() {
            break;
        }
    }
    assert!(fragments.frame().await.is_err());

    let mut latin = served.socket(None).await;
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    latin.inner.send(Message::Frame(frame)).await.unwrap();
    assert!(matches!(latin.frame().await, Err(1007 | 1002)));

    let handshake = "GET /@socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let raw: [&[u8]; 8] = [
        b"\x81\x05hello",                                    // not masked
        b"\x83\x80\0\0\0\0",                                 // reserved opcode
        b"\xf1\x80\0\0\0\0",                                 // reserved bits
        b"\x89\xfe\x04\x00\0\0\0\0",                         // a ping that is too long
        b"\x09\x80\0\0\0\0",                                 // a ping in fragments
        b"\x80\x80\0\0\0\0",                                 // a continuation of nothing
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", // 2^64 bytes
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in raw {
        let mut stream = served.connect().await;
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await.unwrap();
        assert!(head[..read].starts_with(b"HTTP/1.1 101"));
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        // Half closed by us, so that the server need not wait for an answer to its goodbye.
        stream.shutdown().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{bytes:?}");
    }
    ask(&served.app.router(), "POST", "/users/promote", json!({"email": "nobody"}))
        .await
        .assert_problem(404, "NOT_FOUND");
    served.app.model::<User>().subscription(Filter::all()).publish(&"still here").await.unwrap();
    assert_eq!(good.frame().await.unwrap()["params"]["payload"], "still here");
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let mut served = served().await;
    let mut socket = served.socket(None).await;
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "ping"})).await["result"], "pong");
    // What was asked before is answered.
    let asked = socket.request("call", json!({"model": "users", "method": "ping"})).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.stop.take();
    assert_eq!(socket.frame().await.unwrap()["id"], asked);
    assert_eq!(socket.frame().await, Err(1001));
    while socket.inner.next().await.is_some() {}
    served.serving.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(served.addr).await.is_err());
}

#[tokio::test]
async fn sockets_are_counted() {
    let app = App::new().model::<User>().max_sockets(1).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let mut first = served.socket(None).await;
    assert_eq!(first.ask("call", json!({"model": "users", "method": "ping"})).await["result"], "pong");
    let handshake = "GET /@socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(served.raw(handshake.as_bytes()).await.starts_with("HTTP/1.1 503"));
    first.inner.close(None).await.unwrap();
    while first.inner.next().await.is_some() {}
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = served.socket(None).await;
    assert_eq!(second.ask("call", json!({"model": "users", "method": "ping"})).await["result"], "pong");
}

/// A client that comes back says how far it has heard: it is sent what it missed, once and in order, and then what follows; cuts fall
/// also between two payloads of one commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_is_sent_what_he_has_missed() {
    let served = served().await;
    let seed = Random::seed("MODELLER_SEED", 7);
    let mut random = Random::new(seed);
    let app = served.app.clone();
    let start = app.seq();
    let publisher = tokio::spawn(async move {
        let mut next = 0_u64;
        while next < 600 {
            let burst = 1 + next % 3;
            let publish = |tx: Transaction| async move {
                let users = tx.model::<User>()?;
                for at in 0..burst {
                    users.subscription(User::ROLE.eq(Role::Admin)).publish(&(next + at)).await?;
                    users.subscription(User::ROLE.eq(Role::User)).publish(&"not for you").await?;
                }
                Ok(())
            };
            app.transaction(publish).await.unwrap();
            next += burst;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        next
    });
    let mut heard: Vec<u64> = Vec::new();
    let (mut seq, mut of_seq) = (start, 0_u64);
    let mut cuts = 0;
    while heard.len() < 600 {
        let mut socket = served.socket(None).await;
        let mut params = json!({"model": "users", "filter": admins(), "since": seq});
        if of_seq > 0 {
            params["received"] = of_seq.into();
        }
        let subscribed = socket.ask("subscribe", params).await;
        assert_eq!(subscribed["result"]["complete"], true, "{subscribed}");
        let stay = 1 + random.below(40);
        for _ in 0..stay {
            if heard.len() >= 600 {
                break;
            }
            let frame = socket.frame().await.unwrap();
            let told = frame["params"]["seq"].as_u64().unwrap();
            of_seq = if told == seq { of_seq + 1 } else { 1 };
            seq = told;
            heard.push(frame["params"]["payload"].as_u64().unwrap());
        }
        cuts += 1;
        // Cut off without a word, in the middle of whatever is on its way.
        drop(socket);
        tokio::time::sleep(Duration::from_millis(random.below(20) as u64)).await;
    }
    let published = publisher.await.unwrap();
    assert_eq!(heard, (0..heard.len() as u64).collect::<Vec<_>>(), "seed {seed}");
    assert!(cuts > 10 && heard.len() as u64 >= 600 && published >= 600);
    // What was published before the process began is not there.
    let mut late = served.socket(None).await;
    let subscribed = late.ask("subscribe", json!({"model": "users", "filter": admins(), "since": 0})).await;
    assert_eq!(subscribed["result"]["complete"], false);
    for (params, code) in [
        (json!({"model": "users", "filter": {}, "since": -1}), -32602),
        (json!({"model": "users", "filter": {}, "since": "1"}), -32602),
        (json!({"model": "users", "filter": {}, "received": 1}), -32602),
    ] {
        assert_eq!(late.ask("subscribe", params).await["error"]["code"], code);
    }
}
