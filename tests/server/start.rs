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
