//! Signatures that handlers may have.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]

use modeller::prelude::*;

/// A person.
#[model(id = "users", public)]
pub struct User {
    /// Where mail goes.
    #[field(unique)]
    pub email: String,
}

/// What to call someone.
#[value]
pub struct Greet {
    /// The word.
    pub word: String,
}

/// A state of the application.
#[derive(Clone)]
pub struct Clock;

#[hook(User, before(insert, update), order = -1)]
async fn many(user: &mut User, operation: Operation, caller: &Caller, users: &Model<User>, log: &Log) -> Result<()> {
    let _ = (user, operation, caller, users, log);
    Ok(())
}

#[hook(User, before(update))]
async fn previous(before: Previous<User>, next: &mut User) -> Result<()> {
    let _ = (before, next);
    Ok(())
}

#[hook(User, after(insert, update, delete), id = "afterwards")]
async fn after(user: &Doc<User>) -> Result<()> {
    let _ = user;
    Ok(())
}

#[hook(User, before(list), after(list))]
async fn listed(_: &mut Query<User>) -> Result<()> {
    Ok(())
}

#[hook(User, before(delete))]
async fn nothing() -> Result<()> {
    Ok(())
}

/// Greets.
///
/// And no more.
#[method(User, protected, id = "say-hello")]
pub async fn greet(args: Greet, State(clock): State<Clock>, call: Call, Caller { .. }: Caller) -> Result<String> {
    let _ = (clock, call);
    Ok(args.word)
}

#[method(User, internal)]
async fn by_reference(args: &Greet, users: &Model<User>) -> Result<u64> {
    let _ = users;
    Ok(args.word.len() as u64)
}

#[method(User, id = "call")]
async fn do_call(log: Log, users: System<Model<User>>) -> Result<()> {
    log.with(users.count(Filter::all()).await?).warn("called");
    Ok(())
}

#[method(User)]
async fn of_library_types(names: Vec<String>) -> Result<Option<Doc<User>>> {
    let _ = names;
    Ok(None)
}

/// An error of one's own.
pub struct OwnError;

impl From<OwnError> for Error {
    fn from(_: OwnError) -> Self {
        Error::new("OWN")
    }
}

#[method(User)]
async fn own_error() -> std::result::Result<u8, OwnError> {
    Err(OwnError)
}

#[event(User)]
async fn moved(args: Greet, room: Subscription<User>, users: Model<User>) -> Result<()> {
    let _ = (args, room, users);
    Ok(())
}

#[event(User, public)]
async fn tick(log: Log) -> Result<()> {
    log.info("tick");
    Ok(())
}

#[worker(User, every = "1h 30m", immediate = false)]
async fn sweep(users: Model<User>, clock: State<Clock>, log: Log) -> Result<()> {
    let _ = (users, clock, log);
    Ok(())
}

#[worker(User, every = "100ms", unnamed)]
async fn spin() -> Result<()> {
    Ok(())
}

#[hook(User, before(insert))]
#[cfg(any())]
async fn left_out(_: NotThere) -> Result<()> {
    Ok(())
}

#[method(User)]
#[cfg(any())]
async fn left_out_too(_: NotThere) -> Result<()> {
    Ok(())
}

#[model(id = "left-out")]
#[cfg(any())]
struct LeftOut {
    field: NotThere,
}

/// In a function, with names that the expansions use too.
pub fn inner() {
    #[model(id = "inner")]
    struct Inner {
        slot: u8,
        name: String,
    }
    #[value]
    enum Value {
        Option,
        Some(u8),
    }
    #[hook(Inner, before(insert))]
    async fn returned(_: &mut Inner) -> Result<()> {
        Ok(())
    }
    #[method(Inner)]
    async fn output(payload: Value) -> Result<Value> {
        let _ = Value::Option;
        Ok(payload)
    }
    let _ = (Inner::SLOT, Inner::NAME);
}

/// Uses them.
pub async fn uses(users: &Model<User>, room: &Subscription<User>) -> Result<()> {
    let word: String = users.greet(Greet { word: String::new() }).await?;
    let length: u64 = users.by_reference(Greet { word }).await?;
    users.do_call().await?;
    let _: Option<Doc<User>> = users.of_library_types(vec![length.to_string()]).await?;
    let _: u8 = users.own_error().await?;
    room.moved(Greet { word: String::new() }).await?;
    room.tick().await
}

fn main() {
    // They stay ordinary functions.
    let _ = many;
    let _ = greet;
}
