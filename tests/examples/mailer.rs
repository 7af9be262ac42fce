//! P6: a mail five seconds after an insert, to a real mail server as far as the program can tell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail server (RFC 5321) that keeps what it is given.
#[derive(Clone, Default)]
struct Sink {
    letters: Arc<Mutex<Vec<(Instant, String)>>>,
    /// How many are refused for now, with 451.
    refuses: Arc<AtomicUsize>,
}

impl Sink {
    async fn listen(&self, addr: &str) -> SocketAddr {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let sink = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sink = sink.clone();
                tokio::spawn(async move { sink.serve(stream).await });
            }
        });
        addr
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 sink\r\n").await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let word = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            line.clear();
            let answer = match word.as_str() {
                "EHLO" | "HELO" | "RSET" | "NOOP" | "RCPT" => "250 ok\r\n",
                "MAIL" => {
                    let refuse = |left: usize| left.checked_sub(1);
                    match self.refuses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse) {
                        Ok(_) => "451 not now\r\n",
                        Err(_) => "250 ok\r\n",
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mut letter = String::new();
                    while stream.read_line(&mut line).await? > 0 && line != ".\r\n" {
                        letter.push_str(&line);
                        line.clear();
                    }
                    line.clear();
                    self.letters.lock().unwrap().push((Instant::now(), letter));
                    "250 kept\r\n"
                }
                "QUIT" => {
                    return stream.write_all(b"221 bye\r\n").await;
                }
                _ => "500 what?\r\n",
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    async fn letter_to(&self, name: &str) -> (Instant, String) {
        let begun = Instant::now();
        loop {
            let found = self.letters.lock().unwrap().iter().find(|(_, letter)| letter.contains(name)).cloned();
            if let Some(found) = found {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no letter to {name}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn start(smtp: SocketAddr, data: &Folder) -> Served {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mailer"));
    program.env("SMTP", smtp.to_string());
    Served::start_command(program, data.path())
}

async fn insert(served: &Served, name: &str) {
    let customer = json!({"name": name, "email": format!("{name}@example.com"), "welcomed": true});
    let mut connection = Connection::open(served.addr).await.unwrap();
    let answer = connection.json("POST", "/customers", Some(&customer)).await.unwrap();
    assert_eq!((answer.status, &answer.json()["welcomed"]), (201, &json!(false)));
}

/// Waits until the program knows that every letter is out.
async fn all_are_welcomed(served: &Served) {
    let begun = Instant::now();
    loop {
        let mut connection = Connection::open(served.addr).await.unwrap();
        let list = connection.json("GET", "/customers", None).await.unwrap().json();
        if list["items"].as_array().unwrap().iter().all(|customer| customer["welcomed"] == true) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{list}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_mail_five_seconds_after_an_insert() {
    let (sink, data) = (Sink::default(), Folder::new());
    let smtp = sink.listen("127.0.0.1:0").await;
    let served = start(smtp, &data);
    let begun = Instant::now();
    insert(&served, "ada").await;
    let (at, letter) = sink.letter_to("ada").await;
    assert!(at - begun >= Duration::from_secs(5), "{:?}", at - begun);
    for line in ["To: ada@example.com\r\n", "Subject: Welcome, ada\r\n", "it is good to have you."] {
        assert!(letter.contains(line), "{letter}");
    }

    // The server says no for a while: it is tried again.
    sink.refuses.store(2, Ordering::Relaxed);
    insert(&served, "bob").await;
    sink.letter_to("bob").await;
    assert_eq!(sink.refuses.load(Ordering::Relaxed), 0);

    // What a letter is about happens once, and the letter itself once more where the program ends between the two; not here.
    all_are_welcomed(&served).await;

    // The program is killed before the time has come, and is started again.
    insert(&served, "eve").await;
    let mut served = served;
    served.kill();
    let served = start(smtp, &data);
    sink.letter_to("eve").await;
    all_are_welcomed(&served).await;
    // Nobody was welcomed twice.
    assert_eq!(sink.letters.lock().unwrap().len(), 3);
}

#[test]
fn its_client_is_what_it_was() {
    modeller_tests::typescript::is_golden("mailer", env!("CARGO_BIN_EXE_mailer"));
}
