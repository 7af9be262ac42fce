//! The application under test, as the server and the client have it.

use std::net::SocketAddr;
use std::time::Duration;

use modeller::client::{Client, RemoteModel};
use modeller::prelude::*;
use modeller::{Logins, Tokens};
use modeller_tests::serving::Serving;
use serde_json::{Map, Value};

pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-client";
/// In every private field; it must not come back.
pub(crate) const CANARY: &str = "correct-horse-battery-canary";

#[value]
#[derive(Default, PartialEq)]
pub(crate) enum Role {
    #[default]
    User,
    Admin,
}

#[model(id = "users", public)]
#[derive(PartialEq)]
pub(crate) struct User {
    #[field(unique, min_length = 3)]
    pub(crate) email: String,
    /// With a default, which is not what is read where it was withheld.
    #[field(default)]
    pub(crate) password: Private<String>,
    #[field(default = "none".to_owned().into())]
    pub(crate) hint: Private<String>,
    #[field(default)]
    pub(crate) salary: Protected<i64>,
    #[field(index, default)]
    pub(crate) role: Role,
    #[field(default)]
    pub(crate) age: i64,
    #[field(default)]
    pub(crate) tags: Vec<String>,
}

#[model(id = "notes", protected, client_ids)]
#[derive(PartialEq)]
pub(crate) struct Note {
    pub(crate) text: String,
}

#[value(of = User)]
#[derive(PartialEq)]
pub(crate) struct Card {
    pub(crate) email: String,
    pub(crate) age: i64,
}

#[value]
pub(crate) struct Promote {
    pub(crate) id: Id<User>,
    /// Sent over the wire, and read by the handler.
    pub(crate) reason: Private<String>,
}

#[value]
pub(crate) struct Say {
    #[field(min_length = 1)]
    pub(crate) text: String,
}

/// Makes somebody an administrator.
#[method(User)]
pub(crate) async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    if args.reason.get().map(String::as_str) != Some(CANARY) {
        return Err(Error::new("NO_REASON").status(402).detail("wanted", 1));
    }
    users.update(args.id, User::ROLE.set(Role::Admin) & User::AGE.inc(1)).await
}

#[method(User)]
pub(crate) async fn ping() -> Result<String> {
    Ok("pong".into())
}

/// Counts how often it runs.
#[method(User, transaction = none)]
pub(crate) async fn slowly(args: Id<User>, users: Model<User>) -> Result<i64> {
    Ok(users.update(args, User::AGE.inc(1)).await?.age)
}

#[method(User, protected)]
pub(crate) async fn whoami(caller: Caller) -> Result<Option<String>> {
    Ok(caller.subject().map(str::to_owned))
}

/// Says something to all who listen to the administrators, each in a commit of its own.
#[method(User)]
pub(crate) async fn announce(args: Say, users: Model<User>) -> Result<()> {
    users.subscription(User::ROLE.eq(Role::Admin)).publish(&args.text).await
}

#[event(User)]
pub(crate) async fn shout(args: Say, room: Subscription<User>) -> Result<usize> {
    room.publish(&args.text).await?;
    Ok(args.text.len())
}

#[method(User)]
pub(crate) async fn sign_in(args: String, logins: Logins) -> Result<Tokens> {
    logins.begin(args).await
}

#[value]
pub(crate) struct About {
    pub(crate) email: String,
}

/// Counts bytes.
#[upload(User)]
pub(crate) async fn portrait(mut file: File, args: About) -> Result<Value> {
    let mut sum = 0_u64;
    let mut size = 0_u64;
    while let Some(piece) = file.chunk().await? {
        for byte in piece {
            sum = sum.wrapping_mul(31).wrapping_add(u64::from(byte));
            size += 1;
        }
    }
    if size == 13 {
        return Err(Error::new("UNLUCKY").status(409));
    }
    Ok(serde_json::json!({"sum": sum, "size": size, "of": args.email, "name": file.name()}))
}

pub(crate) async fn app() -> App {
    App::new().model::<User>().model::<Note>().secret(SECRET).in_memory().open().await.unwrap()
}

/// A served application; it stops when this is dropped.
pub(crate) struct Served {
    pub(crate) app: App,
    pub(crate) addr: SocketAddr,
    _serving: Serving,
}

pub(crate) async fn serve(app: App) -> Served {
    let serving = Serving::start(&app).await;
    Served { app, addr: serving.addr, _serving: serving }
}

pub(crate) async fn served() -> Served {
    serve(app().await).await
}

impl Served {
    pub(crate) fn client(&self) -> Client {
        client_at(self.addr)
    }

    pub(crate) fn users(&self) -> RemoteModel<User> {
        self.client().model()
    }

    pub(crate) fn token(&self, subject: &str, seconds: u64) -> String {
        let claims = Map::from_iter([("sub".to_owned(), subject.into())]);
        self.app.sign_token(claims, Duration::from_secs(seconds)).unwrap()
    }
}

pub(crate) fn client_at(addr: SocketAddr) -> Client {
    Client::connect(format!("http://{addr}")).unwrap()
}

pub(crate) fn user(email: &str) -> User {
    User {
        email: email.into(),
        password: CANARY.into(),
        hint: CANARY.into(),
        salary: Protected::withheld(),
        role: Role::User,
        age: 36,
        tags: Vec::new(),
    }
}
