//! The application that the clients of these tests talk to: some of each that a client can do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use modeller::prelude::*;
use modeller::{AppBuilder, Login, Logins, Tokens};
use modeller_tests::uploads::hashed;

/// A person who can sign in.
#[model(id = "users", public)]
pub struct User {
    /// Where mail goes.
    #[field(unique, format = "email")]
    pub email: String,
    #[field(default, max_length = 40)]
    pub password: Private<String>,
    #[field(index, default = 18, minimum = 0, maximum = 150)]
    pub age: u8,
    #[field(default)]
    pub role: Role,
    #[field(default, max_items = 5)]
    pub tags: Vec<String>,
    #[field(default)]
    pub homes: Vec<Home>,
    #[field(default)]
    pub main_home: Option<Home>,
    /// Without a default.
    pub nick: Option<String>,
    #[field(default)]
    pub counts: BTreeMap<String, u32>,
    #[field(default)]
    pub shape: Shape,
    #[field(default)]
    pub active: bool,
}

/// What may be done.
#[value]
#[derive(Default, PartialEq)]
pub enum Role {
    #[default]
    User,
    Admin,
}

/// A place to live.
#[value]
pub struct Home {
    #[field(min_length = 1)]
    pub town: String,
    #[field(default)]
    pub key: Private<Option<String>>,
    pub size: f64,
}

/// A form.
#[value]
#[derive(Default)]
pub enum Shape {
    #[default]
    Empty,
    Circle {
        radius: f64,
    },
    Square(f64),
}

/// A tree, within itself.
#[value]
pub struct Tree {
    pub name: String,
    #[field(default)]
    pub below: Vec<Tree>,
}

#[value]
pub struct Promote {
    pub email: String,
}

#[method(User)]
async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
}

/// A year older, each time that it is called.
#[method(User)]
async fn birthday(args: Promote, users: Model<User>) -> Result<u8> {
    let user = users.update(User::EMAIL.eq(args.email), User::AGE.inc(1)).await?;
    Ok(user.age)
}

/// The same tree.
#[method(User)]
async fn grow(args: Tree) -> Result<Tree> {
    Ok(args)
}

/// Called by a name that the client has itself, without arguments.
#[method(User)]
async fn list_all(users: Model<User>) -> Result<Vec<Doc<User>>> {
    Ok(users.find(Filter::all()).sort(User::EMAIL.asc()).await?.into_iter().collect())
}

/// What takes longer than a client waits.
#[method(User, transaction = none)]
async fn rest() -> Result<()> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}

/// A handler's own error.
#[method(User)]
async fn refuse() -> Result<()> {
    Err(Error::new("QUOTA_EXCEEDED").message("no more").detail("limit", 3))
}

#[value]
pub struct SignIn {
    pub name: String,
}

#[method(User)]
async fn sign_in(args: SignIn, logins: Logins) -> Result<Tokens> {
    logins.begin(args.name).await
}

/// Who asks.
#[method(User, protected)]
async fn whoami(caller: Caller) -> Result<String> {
    Ok(caller.subject().unwrap_or_default().to_owned())
}

#[value]
pub struct Say {
    #[field(min_length = 1, max_length = 100)]
    pub text: String,
    #[field(default = 1, minimum = 1, maximum = 100)]
    pub times: u8,
}

/// Says it to all in the room.
#[event(User)]
async fn say(args: Say, room: Subscription<User>) -> Result<()> {
    for _ in 0..args.times {
        room.publish(&args.text).await?;
    }
    Ok(())
}

#[value]
pub struct Label {
    pub name: String,
}

#[value]
pub struct Received {
    pub name: String,
    pub file: Option<String>,
    pub bytes: u64,
    pub sha256: String,
}

/// Reads a file.
#[upload(User)]
async fn picture(mut file: File, label: Label) -> Result<Received> {
    let name = file.name().map(str::to_owned);
    let (bytes, sha256) = hashed(&mut file).await?;
    Ok(Received { name: label.name, file: name, bytes, sha256 })
}

/// How many bytes there were until here.
#[stream(User)]
async fn append(chunk: Chunk) -> Result<u64> {
    Ok(chunk.offset() + chunk.bytes().len() as u64)
}

/// What only its owner may write, and anyone may read that is public.
#[model(id = "notes", public, client_ids)]
pub struct Note {
    pub owner: String,
    pub text: String,
    #[field(default)]
    pub public: bool,
}

#[access(Note)]
async fn note_access(caller: &Caller) -> Result<Access<Note>> {
    let public = Access::none().read(Note::PUBLIC.eq(true));
    Ok(match caller.subject() {
        None => public,
        Some(me) => public.read(Note::OWNER.eq(me)).write(Note::OWNER.eq(me)),
    })
}

/// Within users.
#[model(id = "devices", parent = User, public)]
pub struct Device {
    #[field(unique)]
    pub serial: String,
    #[field(default, format = "date-time")]
    pub seen: Option<String>,
}

pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-typescript";

pub fn builder() -> AppBuilder {
    App::new().model::<User>().model::<Note>().model::<Device>().secret(SECRET).in_memory()
}

/// Served until it is dropped.
pub struct Served {
    pub app: App,
    pub addr: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Served {
    pub async fn start() -> Self {
        Self::of(builder()).await
    }

    pub async fn of(builder: AppBuilder) -> Self {
        let app = builder.open().await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = app.clone();
        tokio::spawn(async move { served.serve_on(listener, async { drop(stopped.await) }).await });
        Self { app, addr, stop: Some(stop) }
    }

    pub fn token(&self, subject: &str) -> String {
        let claims = serde_json::Map::from_iter([("sub".to_owned(), subject.into())]);
        self.app.sign_token(claims, Duration::from_secs(3600)).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}
