//! The application under test, and clients for it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use modeller::prelude::*;
pub(crate) use modeller_tests::socket::{CANARY, Socket};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-tests";

#[value]
#[derive(Default, PartialEq)]
pub(crate) enum Role {
    #[default]
    User,
    Admin,
}

#[model(id = "users", public)]
pub(crate) struct User {
    #[field(unique)]
    pub(crate) email: String,
    #[field(min_length = 12)]
    pub(crate) password: Private<String>,
    #[field(index, default)]
    pub(crate) role: Role,
    #[field(default)]
    pub(crate) age: i64,
}

#[model(id = "notes", protected)]
pub(crate) struct Note {
    pub(crate) text: String,
}

#[model(id = "ledger")]
pub(crate) struct Ledger {
    pub(crate) amount: i64,
}

#[value]
pub(crate) struct Promote {
    pub(crate) email: String,
}

#[value]
pub(crate) struct Say {
    pub(crate) text: String,
}

#[value]
pub(crate) struct Many {
    pub(crate) count: u32,
    pub(crate) bytes: u32,
}

/// Makes somebody an administrator.
#[method(User)]
async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
}

#[method(User)]
async fn ping() -> Result<String> {
    Ok("pong".into())
}

#[method(User)]
async fn whoami(caller: Caller) -> Result<Option<String>> {
    Ok(caller.subject().map(str::to_owned))
}

#[method(User, internal)]
async fn sweep() -> Result<()> {
    Ok(())
}

#[method(User, protected)]
async fn secret_report() -> Result<String> {
    Ok("report".into())
}

#[method(User)]
async fn explode() -> Result<String> {
    Err(Error::internal(format!("the cause: {CANARY}")))
}

#[method(User)]
async fn panics(users: Model<User>) -> Result<String> {
    let _ = users;
    panic!("{CANARY}")
}

#[method(User)]
async fn dawdle() -> Result<String> {
    tokio::time::sleep(Duration::from_millis(600)).await;
    Ok("done".into())
}

#[method(User)]
async fn linger(users: Model<User>) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (email, password) = ("late@example.com".into(), CANARY.to_owned().into());
    users.insert(User { email, password, role: Role::User, age: 0 }).await?;
    Ok(())
}

#[method(User)]
async fn quota() -> Result<String> {
    Err(Error::new("QUOTA_EXCEEDED").message("only 3 are free").status(402).detail("limit", 3))
}

/// Says something to all who listen to users of a role.
#[method(User)]
async fn announce(args: Say, users: Model<User>) -> Result<u32> {
    users.subscription(User::ROLE.eq(Role::Admin)).publish(&args.text).await?;
    Ok(1)
}

/// Publishes many payloads in as many commits.
#[method(User)]
async fn flood(args: Many, users: Model<User>) -> Result<u32> {
    let text = "x".repeat(args.bytes as usize);
    for _ in 0..args.count {
        users.subscription(User::ROLE.eq(Role::User)).publish(&text).await?;
    }
    Ok(args.count)
}

#[event(User)]
async fn shout(args: Say, room: Subscription<User>) -> Result<usize> {
    room.publish(&args.text).await?;
    Ok(args.text.len())
}

#[method(Note, public)]
async fn motd() -> Result<String> {
    Ok("welcome".into())
}

pub(crate) async fn app() -> App {
    App::new().model::<User>().model::<Note>().model::<Ledger>().secret(SECRET).in_memory().open().await.unwrap()
}

pub(crate) fn token(app: &App, subject: &str) -> String {
    app.sign_token(Map::from_iter([("sub".to_owned(), subject.into())]), Duration::from_secs(60)).unwrap()
}

/// An answer without a network.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.bytes)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// It is a problem of this status and code, and says nothing private.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!((self.status.as_u16(), self.header("content-type")), (status, "application/problem+json"), "{text}");
        let body = self.json();
        assert_eq!((&body["code"], &body["status"]), (&code.into(), &status.into()), "{text}");
        body
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes().to_vec();
    // What every answer promises.
    assert!(parts.headers.contains_key("modeller-seq"), "{parts:?}");
    assert_eq!(parts.headers["x-content-type-options"], "nosniff");
    assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "private: {}", String::from_utf8_lossy(&bytes));
    assert!(!format!("{:?}", parts.headers).contains(CANARY));
    Answer { status: parts.status, headers: parts.headers, bytes }
}

pub(crate) fn request(method: &str, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
        builder = builder.header("content-type", "application/json");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
}

pub(crate) async fn ask(router: &Router, method: &str, path: &str, body: Value) -> Answer {
    send(router, request(method, path, (!body.is_null()).then_some(body), &[])).await
}

pub(crate) async fn ask_with(
    router: &Router,
    method: &str,
    path: &str,
    body: Value,
    headers: &[(&str, &str)],
) -> Answer {
    send(router, request(method, path, (!body.is_null()).then_some(body), headers)).await
}

pub(crate) fn user(email: &str) -> Value {
    json!({"email": email, "password": CANARY})
}

pub(crate) async fn insert_user(router: &Router, email: &str) -> Value {
    let answer = ask(router, "POST", "/users", user(email)).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

/// A served application; it stops when this is dropped.
pub(crate) struct Served {
    pub(crate) app: App,
    pub(crate) addr: std::net::SocketAddr,
    pub(crate) stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub(crate) serving: tokio::task::JoinHandle<Result<()>>,
}

pub(crate) async fn served() -> Served {
    serve(app().await).await
}

pub(crate) async fn serve(app: App) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let of_task = app.clone();
    let serving = tokio::spawn(async move { of_task.serve_on(listener, async { drop(stopped.await) }).await });
    Served { app, addr, stop: Some(stop), serving }
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends bytes as they are, and reads until the server closes or is silent for a while.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes).await;
        let mut out = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await {
            if read == 0 {
                break;
            }
            out.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    pub(crate) async fn socket(&self, token: Option<&str>) -> Socket {
        Socket::open(self.addr, token).await
    }
}
