//! The application that the clients of these tests talk to: some of each that a client can do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use modeller::prelude::*;
use modeller::test::TestApp;
use modeller::{AppBuilder, Chunk, File, Logins, Tokens};
use modeller_tests::http::{Answer, Connection};
use modeller_tests::serving::Serving;
use modeller_tests::uploads::hashed;

/// A person who can sign in.
#[model(id = "users", public)]
pub(crate) struct User {
    /// Where mail goes.
    #[field(unique, format = "email")]
    pub(crate) email: String,
    #[field(default, max_length = 40)]
    pub(crate) password: Private<String>,
    #[field(index, default = 18, minimum = 0, maximum = 150)]
    pub(crate) age: u8,
    #[field(default)]
    pub(crate) role: Role,
    #[field(default, max_items = 5)]
    pub(crate) tags: Vec<String>,
    #[field(default)]
    pub(crate) homes: Vec<Home>,
    #[field(default)]
    pub(crate) main_home: Option<Home>,
    /// Without a default.
    pub(crate) nick: Option<String>,
    #[field(default)]
    pub(crate) counts: BTreeMap<String, u32>,
    #[field(default)]
    pub(crate) shape: Shape,
    #[field(default)]
    pub(crate) active: bool,
}

/// What may be done.
#[value]
#[derive(Default, PartialEq)]
pub(crate) enum Role {
    #[default]
    User,
    Admin,
}

/// A place to live.
#[value]
pub(crate) struct Home {
    #[field(min_length = 1)]
    pub(crate) town: String,
    #[field(default)]
    pub(crate) key: Private<Option<String>>,
    pub(crate) size: f64,
}

/// A form.
#[value]
#[derive(Default)]
pub(crate) enum Shape {
    #[default]
    Empty,
    Circle {
        radius: f64,
    },
    Square(f64),
}

/// A tree, within itself.
#[value]
pub(crate) struct Tree {
    pub(crate) name: String,
    #[field(default)]
    pub(crate) below: Vec<Tree>,
}

#[value]
pub(crate) struct Promote {
    pub(crate) email: String,
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
pub(crate) struct SignIn {
    pub(crate) name: String,
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
pub(crate) struct Say {
    #[field(min_length = 1, max_length = 100)]
    pub(crate) text: String,
    #[field(default = 1, minimum = 1, maximum = 100)]
    pub(crate) times: u8,
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
pub(crate) struct Label {
    pub(crate) name: String,
}

#[value]
pub(crate) struct Received {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
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
pub(crate) struct Note {
    pub(crate) owner: String,
    pub(crate) text: String,
    #[field(default)]
    pub(crate) public: bool,
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
pub(crate) struct Device {
    #[field(unique)]
    pub(crate) serial: String,
    #[field(default, format = "date-time")]
    pub(crate) seen: Option<String>,
}

pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-typescript";

pub(crate) fn builder() -> AppBuilder {
    App::new().model::<User>().model::<Note>().model::<Device>().secret(SECRET)
}

/// Served until it is dropped, with a clock that the test moves.
pub(crate) struct Served {
    pub(crate) app: TestApp,
    pub(crate) addr: SocketAddr,
    _serving: Serving,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let app = TestApp::open(builder).await.unwrap().without_rehearsal().await.unwrap();
        let serving = Serving::start(&app).await;
        Self { app, addr: serving.addr, _serving: serving }
    }

    pub(crate) fn token(&self, subject: &str) -> String {
        let claims = serde_json::Map::from_iter([("sub".to_owned(), subject.into())]);
        self.app.sign_token(claims, Duration::from_secs(24 * 3600)).unwrap()
    }

    /// What is answered to who asks for the client, with these header lines.
    pub(crate) async fn ask_for_client(&self, headers: &str) -> Answer {
        let mut connection = Connection::open(self.addr).await.unwrap();
        connection.send("GET", "/@client.ts", headers, b"").await.unwrap()
    }

    /// The client of somebody who is known.
    pub(crate) async fn client(&self) -> String {
        let answer = self.ask_for_client(&format!("authorization: Bearer {}\r\n", self.token("ada"))).await;
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body).unwrap()
    }
}
