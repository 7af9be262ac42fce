//! What sockets cost: many that are idle and some that are busy, against a program of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const IDLE: usize = 5_000;
const BUSY: usize = 1_000;
/// So many busy sockets listen to one another.
const TEAM: usize = 5;

/// The resident memory of a process in KiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn open(addr: SocketAddr, team: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(4 << 10);
    let url = format!("ws://{addr}/@socket");
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await.unwrap();
    let params = json!({"model": "entries", "filter": {"team": team}});
    let subscribe = json!({"jsonrpc": "2.0", "id": 0, "method": "subscribe", "params": params});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("\"result\""), "{answer}");
    socket
}

/// Run it alone: `MODELLER_SECONDS=120 cargo test -p modeller-tests --test server idle -- --ignored --nocapture`. Needs 13,000 open
/// files at once (`ulimit -n`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, and takes as long as it is told"]
async fn five_thousand_idle_and_a_thousand_busy_sockets() {
    let seconds = std::env::var("MODELLER_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let folder = Folder::new();
    let served = Served::start(env!("CARGO_BIN_EXE_served"), folder.path());
    let (addr, process) = (served.addr, served.child.id());
    let mut http = Connection::open(addr).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..BUSY {
        let entry = json!({"name": format!("e{number}"), "team": format!("t{}", number / TEAM)});
        let answer = http.json("POST", "/entries", Some(&entry)).await.unwrap();
        ids.push(answer.json()["_id"].as_str().unwrap().to_owned());
    }
    let begin = memory(process);
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut socket = open(addr, "idle").await;
        idle.push(tokio::spawn(async move { while socket.next().await.is_some_and(|message| message.is_ok()) {} }));
    }
    let with_idle = memory(process);
    let each = (with_idle.saturating_sub(begin)) as f64 / IDLE as f64;
    println!("{begin} KiB at the start; {with_idle} KiB with {IDLE} idle sockets: {each:.1} KiB each");
    let mut busy = Vec::new();
    for (number, id) in ids.into_iter().enumerate() {
        let mut socket = open(addr, &format!("t{}", number / TEAM)).await;
        busy.push(tokio::spawn(async move {
            let mut asked = 0_u64;
            let mut heard = 0_u64;
            tokio::time::sleep(Duration::from_millis(number as u64)).await;
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    _ = tick.tick() => {
                        asked += 1;
                        let params = json!({"model": "entries", "method": "bump", "args": {"id": id}});
                        let call = json!({"jsonrpc": "2.0", "id": asked, "method": "call", "params": params});
                        if socket.send(Message::text(call.to_string())).await.is_err() {
                            return heard;
                        }
                        if asked > seconds {
                            return heard;
                        }
                    }
                    message = socket.next() => match message {
                        Some(Ok(_)) => heard += 1,
                        _ => panic!("a busy socket was closed"),
                    },
                }
            }
        }));
    }
    let begun = Instant::now();
    let with_all = memory(process);
    println!("{with_all} KiB with {BUSY} busy sockets more");
    let mut times = Vec::new();
    let mut said = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let asked = Instant::now();
        assert_eq!(http.json("GET", "/entries?limit=1", None).await.unwrap().status, 200);
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
        if begun.elapsed().as_secs() / 20 > said {
            said += 1;
            println!("{} KiB after {} s", memory(process), begun.elapsed().as_secs());
        }
    }
    let with_work = memory(process);
    let mut heard = 0;
    for socket in busy {
        heard += socket.await.unwrap();
    }
    let open = idle.iter().filter(|socket| !socket.is_finished()).count();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    println!("{with_work} KiB at the end, {heard} frames heard, {open} idle sockets open, HTTP p99 {p99:?}");
    idle.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("{} KiB after all have closed", memory(process));
    assert_eq!(open, IDLE);
    assert!(each <= 20.0, "{each:.1} KiB for each idle socket");
}
