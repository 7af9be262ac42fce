//! What happens to those who listen when their connection is cut, when they say that they are somebody else, and when others flood
//! the server or vanish.

use std::time::Duration;

use futures_util::StreamExt;
use modeller::prelude::*;
use modeller_tests::random::Random;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{SECRET, Served, Socket, serve, token};

#[model(id = "chats", public)]
pub(crate) struct Chat {
    pub(crate) topic: String,
}

/// What only ada may read.
#[model(id = "diaries", public)]
pub(crate) struct Diary {
    pub(crate) text: String,
}

#[access(Diary)]
async fn diary_access(caller: &Caller) -> Result<Access<Diary>> {
    Ok(match caller.subject() {
        Some("ada") => Access::none().read(Filter::all()),
        _ => Access::none(),
    })
}

/// What its owner may read.
#[model(id = "pages", public, client_ids)]
pub(crate) struct Page {
    pub(crate) owner: String,
}

#[access(Page)]
async fn page_access(caller: &Caller) -> Result<Access<Page>> {
    Ok(caller.subject().map_or_else(Access::none, |owner| Access::none().read(Page::OWNER.eq(owner))))
}

/// Tells of all of them, in one commit.
#[method(Page)]
async fn turn(pages: System<Model<Page>>) -> Result<()> {
    let room = pages.subscription(Filter::all());
    for page in pages.find(Filter::all()).sort(Page::_ID.asc()).await?.iter() {
        room.publish_about(page, &page.id().to_string()).await?;
    }
    Ok(())
}

/// Numbers that are published, in two rooms in turn.
#[value]
pub(crate) struct Numbers {
    pub(crate) from: u64,
    pub(crate) count: u64,
}

/// All of them in one commit.
#[method(Chat)]
async fn number(args: Numbers, chats: Model<Chat>) -> Result<()> {
    for number in args.from..args.from + args.count {
        chats.subscription(Chat::TOPIC.eq("a")).publish(&number).await?;
        chats.subscription(Chat::TOPIC.eq("b")).publish(&(number + 1_000_000)).await?;
    }
    Ok(())
}

#[event(Chat)]
async fn tell(args: String, room: Subscription<Chat>) -> Result<()> {
    room.publish(&args).await
}

fn builder() -> modeller::AppBuilder {
    App::new().model::<Chat>().model::<Diary>().model::<Page>().secret(SECRET).in_memory()
}

async fn chats() -> Served {
    serve(builder().open().await.unwrap()).await
}

async fn say(app: &App, from: u64, count: u64) {
    app.model::<Chat>().call("number", json!({"from": from, "count": count})).await.unwrap();
}

const HANDSHAKE: &str = "GET /@socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a client remembers of a room.
struct Memory {
    since: Value,
    received: Value,
    heard: Vec<u64>,
}

impl Memory {
    fn new(answer: &Value) -> Self {
        Self { since: answer["result"]["since"].clone(), received: Value::Null, heard: Vec::new() }
    }

    /// Subscribes with it.
    async fn resume(&self, socket: &mut Socket) -> Value {
        let mut params = json!({"model": "chats", "filter": {"topic": "a"}, "since": self.since});
        if !self.received.is_null() {
            params["received"] = self.received.clone();
        }
        let answer = socket.ask("subscribe", params).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer
    }

    async fn hear(&mut self, socket: &mut Socket) {
        let frame = socket.frame().await.unwrap();
        assert_eq!(frame["method"], "publish", "{frame}");
        let params = &frame["params"];
        self.heard.push(params["payload"].as_u64().unwrap());
        (self.since, self.received) = (params["seq"].clone(), params["received"].clone());
    }
}

#[tokio::test]
async fn what_was_said_while_a_client_was_away_arrives_once_and_in_order() {
    let served = chats().await;
    let mut socket = served.socket(None).await;
    let answer = socket.ask("subscribe", json!({"model": "chats", "filter": {"topic": "a"}})).await;
    assert_eq!(answer["result"]["since"], answer["seq"]);
    let mut memory = Memory::new(&answer);
    say(&served.app, 0, 1).await;
    memory.hear(&mut socket).await;
    drop(socket);
    for number in 1..6 {
        say(&served.app, number, 1).await;
    }
    let mut socket = served.socket(None).await;
    let answer = memory.resume(&mut socket).await;
    assert_eq!((&answer["result"]["complete"], &answer["result"]["since"]), (&json!(true), &memory.since));
    say(&served.app, 6, 1).await;
    for _ in 0..6 {
        memory.hear(&mut socket).await;
    }
    assert_eq!(memory.heard, [0, 1, 2, 3, 4, 5, 6]);
    // Who is there already misses nothing, and hears nothing twice.
    memory.resume(&mut socket).await;
    say(&served.app, 7, 1).await;
    memory.hear(&mut socket).await;
    assert_eq!(memory.heard.last(), Some(&7));
}

/// What a client may not have is counted all the same, so that it goes on at the right place.
#[tokio::test]
async fn payloads_that_are_not_for_a_client_do_not_shift_where_it_goes_on() {
    let served = chats().await;
    for (id, owner) in [("1", "bob"), ("2", "ada"), ("3", "bob"), ("4", "ada"), ("5", "ada"), ("6", "bob")] {
        served.app.model::<Page>().insert_with_id(id.parse().unwrap(), Page { owner: owner.into() }).await.unwrap();
    }
    let token = token(&served.app, "ada");
    let mut socket = served.socket(Some(&token)).await;
    let answer = socket.ask("subscribe", json!({"model": "pages", "filter": {}})).await;
    assert!(answer["result"].is_object(), "{answer}");
    served.app.model::<Page>().call("turn", Value::Null).await.unwrap();
    let first = socket.frame().await.unwrap()["params"].take();
    assert_eq!((&first["payload"], &first["received"]), (&json!("2"), &json!(2)));
    drop(socket);
    let mut socket = served.socket(Some(&token)).await;
    let params = json!({"model": "pages", "filter": {}, "since": first["seq"], "received": first["received"]});
    let answer = socket.ask("subscribe", params).await;
    assert_eq!(answer["result"]["complete"], true);
    for id in ["4", "5"] {
        assert_eq!(socket.frame().await.unwrap()["params"]["payload"], id);
    }
}

/// Connections that are cut at random, also between the payloads of one commit, while it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_at_random_lose_nothing_and_double_nothing() {
    const ALL: u64 = 3_000;
    let served = chats().await;
    let mut random = Random::new(20_261);
    let mut socket = served.socket(None).await;
    let mut memory = Memory::new(&socket.ask("subscribe", json!({"model": "chats", "filter": {"topic": "a"}})).await);
    let app = served.app.clone();
    let publisher = tokio::spawn(async move {
        let mut random = Random::new(7);
        let mut next = 0;
        while next < ALL {
            let count = (1 + random.below(5) as u64).min(ALL - next);
            say(&app, next, count).await;
            next += count;
            if random.below(4) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut cuts = 0;
    while (memory.heard.len() as u64) < ALL {
        for _ in 0..random.below(40) {
            if memory.heard.len() as u64 == ALL {
                break;
            }
            memory.hear(&mut socket).await;
        }
        drop(socket);
        cuts += 1;
        socket = served.socket(None).await;
        assert_eq!(memory.resume(&mut socket).await["result"]["complete"], true);
    }
    publisher.await.unwrap();
    println!("{cuts} cuts in {ALL} payloads");
    assert!(memory.heard.iter().copied().eq(0..ALL), "{:?}", memory.heard);
}

#[tokio::test]
async fn who_was_away_for_too_long_is_told() {
    let app = builder().keep_published(4_000, Duration::from_secs(60)).open().await.unwrap();
    let served = serve(app).await;
    let mut socket = served.socket(None).await;
    let mut memory = Memory::new(&socket.ask("subscribe", json!({"model": "chats", "filter": {"topic": "a"}})).await);
    drop(socket);
    say(&served.app, 0, 100).await;
    let mut socket = served.socket(None).await;
    let answer = memory.resume(&mut socket).await;
    assert_eq!((&answer["result"]["complete"], &answer["result"]["since"]), (&json!(false), &answer["seq"]));
    say(&served.app, 100, 1).await;
    memory.hear(&mut socket).await;
    assert_eq!(memory.heard, [100]);
    for wrong in [json!("7"), json!(-1), json!(1.5)] {
        let answer = socket.ask("subscribe", json!({"model": "chats", "filter": {}, "since": wrong})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn who_says_he_is_somebody_else_loses_what_that_one_may_not_reach() {
    let served = chats().await;
    let mut socket = served.socket(Some(&token(&served.app, "ada"))).await;
    let diaries = socket.ask("subscribe", json!({"model": "diaries", "filter": {}})).await;
    let chats = socket.ask("subscribe", json!({"model": "chats", "filter": {}})).await;
    assert!(diaries["result"].is_object() && chats["result"].is_object(), "{diaries} {chats}");
    // As herself she keeps all.
    let renewed = socket.ask("authenticate", json!({"token": token(&served.app, "ada")})).await;
    assert_eq!(renewed["result"], json!({}));
    let asked = socket.request("authenticate", json!({"token": token(&served.app, "bob")})).await;
    let told = socket.frame().await.unwrap();
    assert_eq!(
        (&told["method"], &told["params"]["subscription"], &told["params"]["code"]),
        (&json!("unsubscribed"), &diaries["result"]["subscription"], &json!("FORBIDDEN"))
    );
    assert_eq!(socket.frame().await.unwrap()["id"], asked);
    served.app.model::<Diary>().subscription(Filter::all()).publish(&"dear diary").await.unwrap();
    served.app.model::<Chat>().subscription(Filter::all()).publish(&"hello").await.unwrap();
    assert_eq!(socket.frame().await.unwrap()["params"]["payload"], "hello");
    let again = socket.ask("subscribe", json!({"model": "diaries", "filter": {}})).await;
    assert_eq!(again["error"]["data"]["code"], "FORBIDDEN");
    let unknown = socket.ask("unsubscribe", json!({"subscription": diaries["result"]["subscription"]})).await;
    assert_eq!(unknown["error"]["data"]["code"], "NOT_FOUND");
}

/// A flood of cheap requests on some sockets holds up nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_starves_nobody() {
    let served = chats().await;
    let mut floods = Vec::new();
    for _ in 0..4 {
        let mut stream = served.connect().await;
        stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        floods.push(tokio::spawn(async move {
            let (mut input, mut output) = stream.into_split();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
            // Requests that are none, of two bytes, each in a masked frame.
            let frame = [0x81, 0x82, 0, 0, 0, 0, b'{', b'}'];
            let many = frame.repeat(8_192);
            while output.write_all(&many).await.is_ok() {}
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut socket = served.socket(None).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = std::time::Instant::now();
        socket.ask("dispatch", json!({"model": "chats", "filter": {}, "event": "tell", "args": "x"})).await;
        slowest = slowest.max(asked.elapsed());
    }
    println!("the slowest of 50 beside four floods took {slowest:?}");
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test]
#[ignore = "waits for three quarters of a minute"]
async fn a_vanished_client_is_dropped() {
    let served = chats().await;
    // It opens a socket, and is never heard of again; the other one answers pings.
    let mut silent = served.connect().await;
    let mut alive = served.socket(None).await.inner;
    let alive = tokio::spawn(async move { while alive.next().await.is_some_and(|message| message.is_ok()) {} });
    let begun = std::time::Instant::now();
    silent.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 1024];
    // 1008, as it is written in a goodbye.
    while !all.windows(2).any(|pair| pair == [0x03, 0xf0]) {
        let read = tokio::time::timeout(Duration::from_secs(60), silent.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0);
        all.extend_from_slice(&buffer[..read]);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(44) && took < Duration::from_secs(50), "{took:?}");
    assert!(!alive.is_finished());
}
