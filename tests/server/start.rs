//! How a server starts, refuses to start, stops, and fails.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use modeller::App;
use modeller::storage::memory::{Faults, Memory};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{CANARY, User, ask, serve, served, user};

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("modeller-server-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noted"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["MODELLER_ADDR", "MODELLER_DATA", "MODELLER_SECRET"] {
        command.env_remove(name);
    }
    command
}

/// A process that serves. It is killed when the test fails.
struct Process {
    child: Child,
    line: String,
    addr: String,
    out: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let addr = line
            .strip_prefix("modeller: http://")
            .and_then(|rest| rest.split(',').next())
            .unwrap_or_default()
            .to_owned();
        assert!(!addr.is_empty(), "{line}");
        Self { child, line, addr, out }
    }

    fn ask(&self, method: &str, path: &str, body: &str, more: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Exit code, what else it printed, and what it complained of.
    fn end(mut self) -> (Option<i32>, String, String) {
        let status = self.child.wait().unwrap();
        let (mut rest, mut errors) = (String::new(), String::new());
        self.out.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code(), rest, errors)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(command: &mut Command) -> String {
    let begin = Instant::now();
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!((errors.lines().count(), output.stdout.len()), (1, 0), "{errors}");
    assert!(errors.starts_with("error: ") && begin.elapsed() < Duration::from_secs(10), "{errors}");
    errors
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_process_serves_stops_and_serves_again() {
    let folder = Folder::new("serves");
    let data = folder.join("made/by/itself");
    let process = Process::start(&mut program(&["--data", text(&data)]));
    assert!(process.line.contains("1 model (notes)") && process.line.ends_with('\n'), "{}", process.line);
    assert_eq!(process.ask("GET", "/@health", "", ""), (200, json!({"status": "ok"})));
    let (status, doc) = process.ask("POST", "/notes", r#"{"text":"kept"}"#, "");
    assert_eq!(status, 201);
    let secret = fs::read_to_string(data.join("secret")).unwrap();
    assert_eq!(secret.trim().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(data.join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    process.signal("TERM");
    assert_eq!(process.end(), (Some(0), String::new(), String::new()));

    // The environment says where, and is not asked where the command line has an answer.
    let again = Process::start(
        program(&["--data", text(&data)]).env("MODELLER_DATA", "/nowhere").env("MODELLER_ADDR", "127.0.0.1:0"),
    );
    let path = format!("/notes/{}", doc["_id"].as_str().unwrap());
    assert_eq!(again.ask("GET", &path, "", ""), (200, doc));
    assert_eq!(fs::read_to_string(data.join("secret")).unwrap(), secret);
    again.signal("INT");
    assert_eq!(again.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn a_start_that_cannot_be_says_why_in_one_line() {
    let folder = Folder::new("refused");
    let data = folder.join("data");
    let running = Process::start(program(&[]).env("MODELLER_DATA", &data));
    let second = refused(&mut program(&["--data", text(&data)]));
    assert!(second.contains("data"), "{second}");
    let port = refused(&mut program(&["--data", text(&folder.join("other")), "--addr", &running.addr]));
    assert!(port.contains("CANNOT_LISTEN") && port.contains(&running.addr), "{port}");
    assert!(!folder.join("other").exists(), "nothing is made for a server that cannot listen");

    fs::write(folder.join("file"), "x").unwrap();
    refused(&mut program(&["--data", text(&folder.join("file"))]));
    refused(&mut program(&["--data", "/proc/nothing"]));
    fs::create_dir(folder.join("foreign")).unwrap();
    for file in fs::read_dir(&data).unwrap() {
        let name = file.unwrap().file_name();
        if name != "secret" && !text(Path::new(&name)).contains("lock") {
            fs::write(folder.join("foreign").join(name), "this is no file of ours").unwrap();
        }
    }
    refused(&mut program(&["--data", text(&folder.join("foreign"))]));

    for addr in ["nonsense", "127.0.0.1:99999", "256.1.1.1:1"] {
        refused(&mut program(&["--data", text(&folder.join("x")), "--addr", addr]));
    }
    fs::write(folder.join("short"), "too short\n").unwrap();
    let short =
        refused(&mut program(&["--data", text(&folder.join("x")), "--secret-file", text(&folder.join("short"))]));
    assert!(short.contains("32") && !short.contains("too short"), "{short}");
    refused(&mut program(&["--data", text(&folder.join("x")), "--secret-file", text(&folder.join("nothing"))]));
    refused(program(&["--data", text(&folder.join("x"))]).env("MODELLER_SECRET", "too short"));
    fs::create_dir(folder.join("short-secret")).unwrap();
    fs::write(folder.join("short-secret/secret"), "").unwrap();
    refused(&mut program(&["--data", text(&folder.join("short-secret"))]));
    for args in [&["--port", "1"][..], &["serve"], &["--addr"]] {
        assert!(refused(&mut program(args)).contains("INVALID_ARGUMENT"));
    }
    let help = program(&["--help"]).output().unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--addr HOST:PORT"));

    // None of them disturbed the one that runs.
    assert_eq!(running.ask("POST", "/notes", r#"{"text":"x"}"#, "").0, 201);
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn the_secret_may_be_given() {
    let folder = Folder::new("secret");
    let secret = "a secret of the operator, long enough";
    fs::write(folder.join("s"), format!("{secret}\n")).unwrap();
    let data = folder.join("data");
    let process = Process::start(
        program(&["--data", text(&data), "--secret-file", text(&folder.join("s"))]).env("MODELLER_SECRET", "x"),
    );
    assert!(!data.join("secret").exists());
    let header = modeller_tests::encoding::base64url(br#"{"alg":"HS256"}"#);
    let claims = modeller_tests::encoding::base64url(br#"{"sub":"ada","exp":4000000000}"#);
    let signature = modeller_tests::encoding::hmac_sha256(secret.as_bytes(), format!("{header}.{claims}").as_bytes());
    let token =
        format!("authorization: Bearer {header}.{claims}.{}\r\n", modeller_tests::encoding::base64url(&signature));
    assert_eq!(process.ask("GET", "/notes", "", &token).0, 200);
    assert_eq!(process.ask("GET", "/notes", "", "authorization: Bearer x\r\n").0, 401);
}

#[tokio::test]
async fn what_is_under_way_is_finished() {
    let mut served = served().await;
    let mut busy = served.connect().await;
    let idle = served.connect().await;
    busy.write_all(b"POST /users/dawdle HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    served.stop.take();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\"done\""), "{answer}");
    served.serving.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "an idle connection held it up");
    drop(idle);
}

#[tokio::test]
async fn a_call_goes_on_when_its_caller_is_gone() {
    let served = served().await;
    for _ in 0..20 {
        let mut stream = served.connect().await;
        let body = user(&format!("{}@example.com", stream.local_addr().unwrap().port())).to_string();
        let head = format!(
            "POST /users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let list = ask(&served.app.router(), "GET", "/users?count=true", Value::Null).await.json();
    assert_eq!(list["count"], 20);
}

#[tokio::test]
async fn connections_beyond_the_most_wait() {
    let app = App::new().model::<User>().max_connections(2).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let ping = b"POST /users/ping HTTP/1.1\r\nhost: x\r\n\r\n";
    let (first, _second) = (served.connect().await, served.connect().await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = served.connect().await;
    third.write_all(ping).await.unwrap();
    let mut buffer = [0; 1024];
    let early = tokio::time::timeout(Duration::from_millis(300), third.read(&mut buffer)).await;
    assert!(early.is_err(), "the third was served");
    drop(first);
    let read = tokio::time::timeout(Duration::from_secs(5), third.read(&mut buffer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&buffer[..read]).contains("pong"));
}

#[tokio::test]
async fn a_store_that_fails_ends_the_server() {
    // The first append is the start of the log.
    let storage = Memory::with_faults(Faults::seeded(1).fail_append(3));
    let app = App::new().model::<User>().storage(storage).open().await.unwrap();
    let router = app.router();
    let served = serve(app).await;
    assert_eq!(ask(&router, "GET", "/@health", Value::Null).await.status, 200);
    let mut failed = false;
    for at in 0..5 {
        let answer = ask(&router, "POST", "/users", user(&format!("{at}@example.com"))).await;
        assert!(answer.status == 201 || answer.status == 503, "{}", String::from_utf8_lossy(&answer.bytes));
        failed |= answer.status == 503;
    }
    assert!(failed && !CANARY.is_empty());
    ask(&router, "GET", "/@health", Value::Null).await.assert_problem(503, "UNAVAILABLE");
    let outcome = tokio::time::timeout(Duration::from_secs(15), served.serving).await.unwrap().unwrap();
    assert_eq!(outcome.unwrap_err().code(), &modeller::ErrorCode::Unavailable);
}

/// Writers whose answers stand for what has to be there after the end.
#[test]
fn the_end_loses_nothing_that_was_answered() {
    let folder = Folder::new("load");
    let data = folder.join("data");
    let process = Process::start(&mut program(&["--data", text(&data)]));
    let addr = process.addr.clone();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let addr = addr.clone();
            std::thread::spawn(move || {
                let mut known = Vec::new();
                let mut stream = TcpStream::connect(&addr).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                for number in 0.. {
                    let body = json!({"text": format!("{writer}-{number}")}).to_string();
                    let head = format!(
                        "POST /notes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                        return known;
                    }
                    let (mut status, mut length) = (String::new(), 0);
                    if reader.read_line(&mut status).unwrap_or(0) == 0 {
                        return known;
                    }
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return known;
                        }
                        if line == "\r\n" {
                            break;
                        }
                        let (name, value) = line.split_once(':').unwrap();
                        if name.eq_ignore_ascii_case("content-length") {
                            length = value.trim().parse().unwrap();
                        }
                    }
                    let mut answer = vec![0; length];
                    if reader.read_exact(&mut answer).is_err() {
                        return known;
                    }
                    assert!(status.contains(" 201 "), "{status}");
                    let doc: Value = serde_json::from_slice(&answer).unwrap();
                    known.push(doc["_id"].as_str().unwrap().to_owned());
                }
                known
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    let begun = Instant::now();
    process.signal("TERM");
    let known: Vec<String> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert_eq!(process.end(), (Some(0), String::new(), String::new()));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(known.len() > 50, "{} were written", known.len());
    let again = Process::start(&mut program(&["--data", text(&data)]));
    for id in &known {
        assert_eq!(again.ask("GET", &format!("/notes/{id}"), "", "").0, 200, "{id} is lost");
    }
    again.signal("TERM");
    assert_eq!(again.end().0, Some(0));
}

/// Somebody holds the end up, and the operator does not want to wait.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let folder = Folder::new(signal);
        let process = Process::start(&mut program(&["--data", text(&folder.join("data"))]));
        let mut busy = TcpStream::connect(&process.addr).unwrap();
        busy.write_all(
            b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{",
        )
        .unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        process.signal("TERM");
        std::thread::sleep(Duration::from_millis(500));
        process.signal(signal);
        let (status, _, errors) = process.end();
        assert_eq!(status, Some(code), "{errors}");
        assert!(begun.elapsed() < Duration::from_secs(4) && errors.contains("once more"), "{errors}");
    }
}

#[tokio::test]
async fn ready_says_so_before_connections_are_refused() {
    let app = App::new().model::<User>().lame_duck(Duration::from_millis(600)).in_memory().open().await.unwrap();
    let mut served = serve(app).await;
    let probe = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes();
    assert!(served.raw(&probe("/@ready")).await.ends_with(r#"{"status":"ready"}"#));
    served.stop.take();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = served.raw(&probe("/@ready")).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("UNAVAILABLE"), "{told}");
    assert!(served.raw(&probe("/@health")).await.starts_with("HTTP/1.1 200"), "it serves on");
    served.serving.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(served.addr).await.is_err());
}

/// A certificate for `localhost` that nobody but the test trusts, and its key.
fn certificate() -> (rcgen::CertifiedKey<rcgen::KeyPair>, tokio_rustls::TlsConnector) {
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(std::sync::Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (own, tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)))
}

#[tokio::test]
async fn connections_may_be_encrypted() {
    let (own, connector) = certificate();
    let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let limits = modeller::Limits::new().header_time(Duration::from_millis(500));
    let app = App::new().model::<User>().tls(&cert, &key).limits(limits).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let mut stream = connector.connect("localhost".try_into().unwrap(), served.connect().await).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    stream.write_all(b"GET /@health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // What is no greeting, or none in time, is not answered, and holds nobody up.
    let plain = served.raw(b"GET /@health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!plain.contains("200"), "{plain}");
    let mut silent = served.connect().await;
    let mut buffer = [0; 16];
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut buffer)).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    for (cert, key) in [(key.as_str(), cert.as_str()), ("", &key), (&cert, ""), (&cert, "nonsense")] {
        let error = App::new().tls(cert, key).in_memory().open().await.unwrap_err();
        assert_eq!(error.code().as_str(), "INVALID_DECLARATION");
        assert!(!error.to_string().contains("PRIVATE"), "{error}");
    }
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().signing_key.serialize_pem();
    assert!(App::new().tls(&cert, other).in_memory().open().await.is_err(), "a key of another certificate");
}

#[test]
fn a_process_serves_encrypted() {
    let folder = Folder::new("tls");
    let (own, connector) = certificate();
    fs::write(folder.join("cert.pem"), own.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (data, cert, key) = (folder.join("data"), folder.join("cert.pem"), folder.join("key.pem"));
    let args = ["--data", text(&data), "--tls-cert", text(&cert), "--tls-key", text(&key)];
    assert!(refused(&mut program(&args[..4])).contains("go together"));
    assert!(refused(&mut program(&["--tls-cert", text(&key), "--tls-key", text(&cert)])).contains("certificate"));
    let mut child = program(&args).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.strip_prefix("modeller: https://").and_then(|rest| rest.split(',').next()).unwrap().to_owned();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        stream.write_all(b"GET /@health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    });
    child.kill().unwrap();
    child.wait().unwrap();
}
