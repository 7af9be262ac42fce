//! The application that the script is about: some of each that can be asked for, and can go wrong.

use std::net::SocketAddr;
use std::time::Duration;

use modeller::prelude::*;
use modeller::test::TestApp;
use modeller::{AppBuilder, ModelType};
use modeller_tests::http::Connection;
use modeller_tests::serving::Serving;
use serde_json::{Map, json};

/// In every private field; it must not come back.
pub(crate) use modeller_tests::socket::CANARY;

/// Somebody.
#[model(id = "people", public, client_ids)]
pub(crate) struct Person {
    #[field(unique, format = "email")]
    pub(crate) email: String,
    #[field(default, max_length = 40)]
    pub(crate) password: Private<String>,
    /// For verified callers.
    #[field(default, minimum = 0)]
    pub(crate) salary: Protected<i64>,
    #[field(index, default = 18, minimum = 0, maximum = 150)]
    pub(crate) age: i64,
    #[field(default)]
    pub(crate) role: Role,
    #[field(default, max_items = 4)]
    pub(crate) tags: Vec<String>,
    #[field(default)]
    pub(crate) home: Option<Home>,
    #[field(default)]
    pub(crate) score: f64,
}

#[value]
#[derive(Default, PartialEq)]
pub(crate) enum Role {
    #[default]
    User,
    Admin,
}

#[value]
pub(crate) struct Home {
    #[field(min_length = 1)]
    pub(crate) town: String,
    #[field(default)]
    pub(crate) key: Private<Option<String>>,
}

/// Refuses by an error of its own, and changes what is stored.
#[hook(Person, before(insert, update))]
async fn check(person: &mut Person) -> Result<()> {
    if person.email.starts_with("banned@") {
        return Err(Error::new("BANNED").message("not this one").status(451).detail("until", json!({"year": 2_100})));
    }
    person.email.make_ascii_lowercase();
    Ok(())
}

/// With ids of the server's.
#[model(id = "books", public)]
pub(crate) struct Book {
    #[field(min_length = 1)]
    pub(crate) title: String,
    #[field(references = Person::_ID)]
    pub(crate) author: Id<Person>,
    #[field(default)]
    pub(crate) pages: u32,
}

/// What anyone may read that is public, and only its owner write.
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

/// For verified callers.
#[model(id = "orders", protected, client_ids)]
pub(crate) struct Order {
    pub(crate) cents: i64,
}

/// For nobody outside.
#[model(id = "ledger")]
pub(crate) struct Ledger {
    pub(crate) cents: i64,
}

#[value]
pub(crate) struct Promote {
    pub(crate) email: String,
    #[field(default)]
    pub(crate) role: Role,
}

#[method(Person)]
async fn promote(args: Promote, people: Model<Person>) -> Result<Doc<Person>> {
    people.update(Person::EMAIL.eq(args.email), Person::ROLE.set(args.role)).await
}

/// Two of them change places in one commit.
#[method(Person)]
async fn swap(args: (Id<Person>, Id<Person>), people: Model<Person>) -> Result<(i64, i64)> {
    let gone = || Error::new(ErrorCode::NotFound);
    let one = people.get(&args.0).await?.ok_or_else(gone)?.age;
    let other = people.get(&args.1).await?.ok_or_else(gone)?.age;
    people.update(&args.0, Person::AGE.set(other)).await?;
    people.update(&args.1, Person::AGE.set(one)).await?;
    Ok((other, one))
}

#[method(Person)]
async fn ping() -> Result<String> {
    Ok("pong".into())
}

#[method(Person)]
async fn nothing_to_say() -> Result<()> {
    Ok(())
}

/// An error of its own.
#[method(Person)]
async fn quota() -> Result<()> {
    Err(Error::new("QUOTA_EXCEEDED").message("only 3 are free").status(402).detail("limit", 3))
}

/// An error that is not the caller's.
#[method(Person)]
async fn explode() -> Result<()> {
    Err(Error::internal(format!("the cause: {CANARY}")))
}

#[method(Person, protected)]
async fn whoami(caller: Caller) -> Result<Option<String>> {
    Ok(caller.subject().map(str::to_owned))
}

/// For roles that he has not.
#[method(Person, protected)]
async fn secret_report(caller: Caller) -> Result<String> {
    if caller.has_role("auditor") { Ok("report".into()) } else { Err(Error::new(ErrorCode::Forbidden)) }
}

#[method(Person, internal)]
async fn sweep() -> Result<()> {
    Ok(())
}

#[value]
pub(crate) struct Say {
    #[field(min_length = 1, max_length = 20)]
    pub(crate) text: String,
    #[field(default = 1, minimum = 1, maximum = 5)]
    pub(crate) times: u8,
}

/// Said to all in the room, in one commit.
#[event(Person)]
async fn say(args: Say, room: Subscription<Person>) -> Result<usize> {
    for number in 0..args.times {
        room.publish(&json!({"text": args.text, "number": number})).await?;
    }
    Ok(args.text.len())
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-contract";

fn builder() -> AppBuilder {
    let app = App::new().model::<Person>().model::<Book>().model::<Note>().model::<Order>().model::<Ledger>();
    app.secret(SECRET)
}

/// The claims of somebody.
fn claims(subject: &str) -> Map<String, serde_json::Value> {
    Map::from_iter([("sub".to_owned(), subject.into())])
}

/// Served until it is dropped, with a clock that stands.
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
        self.app.sign_token(claims(subject), Duration::from_secs(3_600)).unwrap()
    }

    /// The generated client, as a verified caller is given it.
    pub(crate) async fn client(&self) -> String {
        let mut connection = Connection::open(self.addr).await.unwrap();
        let headers = format!("authorization: Bearer {}\r\n", self.token("ada"));
        let answer = connection.send("GET", "/@client.ts", &headers, b"").await.unwrap();
        String::from_utf8(answer.body).unwrap()
    }

    /// A model in process as it is for somebody.
    pub(crate) fn model_as<T: ModelType>(&self, subject: Option<&str>) -> Model<T> {
        let caller = subject.map_or_else(Caller::anyone, |subject| Caller::verified(claims(subject)));
        self.app.model_as(&caller).unwrap()
    }
}
