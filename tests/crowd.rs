//! How much memory sockets cost a server in a process of its own: idle ones, busy ones over time, and one that never reads.
//!
//! `ulimit -n 20000; IDLE=5000 BUSY=1000 SECONDS=60 cargo test -p modeller-tests --test crowd -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

type Socket = WebSocketStream<TcpStream>;

fn asked_for(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn open(addr: SocketAddr) -> Socket {
    let stream = TcpStream::connect(addr).await.unwrap();
    // The default costs this process 128 KiB for each.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    let url = format!("ws://{addr}/@socket");
    tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await.unwrap().0
}

async fn send(socket: &mut Socket, method: &str, params: Value) {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::text(request.to_string())).await.unwrap();
}

/// One that has subscribed to a room.
async fn member(addr: SocketAddr, room: &str) -> Socket {
    let mut socket = open(addr).await;
    send(&mut socket, "subscribe", json!({"model": "talks", "filter": {"room": room}})).await;
    let Some(Ok(Message::Text(answer))) = socket.next().await else { panic!("no answer") };
    assert!(answer.contains("\"result\""), "{answer}");
    socket
}

async fn call(socket: &mut Socket, method: &str, args: Value) {
    send(socket, "call", json!({"model": "talks", "method": method, "args": args})).await;
}

/// KiB of memory of the server.
fn memory(served: &Served) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Says something now and then, and hears what the others of the room say.
async fn talk(mut socket: Socket, room: String, pause: Duration, until: Instant, heard: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(pause);
    while Instant::now() < until {
        tokio::select! {
            _ = ticks.tick() => call(&mut socket, "say", json!({"room": room, "text": "x".repeat(200)})).await,
            message = socket.next() => {
                match message {
                    Some(Ok(Message::Text(text))) if text.contains("\"publish\"") => {
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Ok(_)) => {}
                    end => panic!("a busy socket has ended: {end:?}"),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute of thousands of sockets, for figures"]
async fn what_sockets_cost() {
    let (idle, busy, seconds) = (asked_for("IDLE", 5_000), asked_for("BUSY", 1_000), asked_for("SECONDS", 60));
    let pause = Duration::from_millis(asked_for("PAUSE", 2_000));
    let folder = Folder::new();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n "$(ulimit -H -n)"; exec "$0" "$@""#, env!("CARGO_BIN_EXE_crowd")]);
    let served = Served::start_command(command, folder.path());
    let addr = served.addr;
    // Whatever is made once is made.
    drop(member(addr, "first").await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = memory(&served);
    println!("the server alone: {before:.0} KiB");

    let mut silent = Vec::new();
    for number in 0..idle {
        let mut socket = member(addr, &format!("idle-{}", number % 500)).await;
        // It answers pings.
        silent.push(tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let with_idle = memory(&served);
    let each = (with_idle - before) / idle as f64;
    println!("{idle} idle sockets in 500 rooms: {with_idle:.0} KiB, {each:.1} KiB each");

    let heard = Arc::new(AtomicU64::new(0));
    let mut members = Vec::new();
    for number in 0..busy {
        let room = format!("busy-{}", number / 20);
        members.push((member(addr, &room).await, room));
    }
    let begin = Instant::now();
    let until = begin + Duration::from_secs(seconds);
    let talking: Vec<_> = members
        .into_iter()
        .map(|(socket, room)| tokio::spawn(talk(socket, room, pause, until, heard.clone())))
        .collect();
    let mut samples = Vec::new();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_secs((seconds / 6).max(1))).await;
        samples.push(memory(&served));
        let deliveries = heard.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
        println!("after {:?}: {:.0} KiB, {deliveries:.0} deliveries/s", begin.elapsed(), samples[samples.len() - 1]);
    }
    for talking in talking {
        talking.await.unwrap();
    }
    assert!(heard.load(Ordering::Relaxed) > 0);
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    println!(
        "{busy} busy sockets: {:.1} KiB each, grown by {:.0} KiB since the first sample",
        (last - with_idle) / busy as f64,
        last - first
    );

    // One that never reads, until it is dropped.
    assert!(silent.iter().all(|socket| !socket.is_finished()), "an idle socket has ended");
    silent.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = memory(&served);
    println!("all closed: {before:.0} KiB");
    let stuck = member(addr, "flood").await;
    let mut caller = open(addr).await;
    let mut most = before;
    for _ in 0..50 {
        call(&mut caller, "flood", json!({"room": "flood", "count": 200, "bytes": 4096})).await;
        let Some(Ok(Message::Text(_))) = caller.next().await else { panic!("no answer") };
        most = most.max(memory(&served));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!(
        "a client that reads none of 10,000 × 4 KiB: {:.0} KiB at most, {:.0} KiB afterwards",
        most - before,
        memory(&served) - before
    );
    assert!(most - before < 64.0 * 1024.0, "{most} {before}");
    drop(stuck);
}

/// A document of 50 KB is changed 2,000 times, once while nobody follows it and once while a client does that reads nothing.
#[tokio::test]
#[ignore = "takes 20 s; a server of its own is measured"]
async fn a_client_that_reads_nothing_of_a_live_query_costs_less_than_a_megabyte() {
    let folder = Folder::new();
    let served = Served::start(env!("CARGO_BIN_EXE_crowd"), folder.path());
    let addr = served.addr;
    let mut writer = Connection::open(addr).await.unwrap();
    let page = writer.json("POST", "/pages", Some(&json!({"n": 0, "text": "x".repeat(50_000)}))).await.unwrap().json();
    let path = format!("/pages/{}", page["_id"].as_str().unwrap());
    let mut n = 0;
    let mut most = 0.0_f64;
    let mut grown = Vec::new();
    for follows in [false, false, true] {
        let mut stuck = open(addr).await;
        if follows {
            send(&mut stuck, "live", json!({"model": "pages"})).await;
        }
        let before = most;
        for _ in 0..2_000 {
            n += 1;
            let letter = char::from(b'a' + (n % 26) as u8).to_string();
            let next = json!({"n": n, "text": letter.repeat(50_000)});
            assert_eq!(writer.json("PATCH", &path, Some(&next)).await.unwrap().status, 200);
            if n % 50 == 0 {
                most = most.max(memory(&served));
            }
        }
        grown.push(most - before);
        drop(stuck);
    }
    println!("2,000 changes of 50 KB: {:.0} KiB more at most than when nobody follows", grown[2]);
    assert!(grown[2] < 1024.0, "{grown:?}");
}
