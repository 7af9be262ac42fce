//! Users with a sign-in, served: the smallest program that uses all of the framework's parts.
//!
//! ```sh
//! cargo run -p quickstart
//! curl --json '{"email":"Ada@example.com","password":"correct horse"}' localhost:3030/users
//! curl --json '{"email":"ada@example.com"}' localhost:3030/users/promote
//! curl -G localhost:3030/users --data-urlencode 'filter={"role":"admin"}'
//! ```
//!
//! A WebSocket at `/@socket` that sends
//! `{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"model":"users","filter":{"role":"admin"}}}`
//! hears of each change to an admin. The documents are in the folder `data`, and there again after a restart.

use modeller::prelude::*;

/// A person who can sign in.
#[model(id = "users", public)]
pub struct User {
    #[field(unique, format = "email")]
    pub email: String,
    #[field(min_length = 12)]
    pub password: Private<String>,
    #[field(index, default)]
    pub role: Role,
}

#[value]
#[derive(Default, PartialEq)]
pub enum Role {
    #[default]
    User,
    Admin,
}

#[value]
pub struct Promote {
    pub email: String,
}

/// What one subscriber says to all others of the room.
#[value]
pub struct Say {
    #[field(min_length = 1, max_length = 500)]
    pub text: String,
}

/// How many there are.
#[value]
pub struct Census {
    pub users: usize,
    pub admins: usize,
}

#[hook(User, before(insert, update))]
async fn lowercase_email(user: &mut User) -> Result<()> {
    user.email.make_ascii_lowercase();
    Ok(())
}

/// Whoever subscribed to `{"role":"admin"}` hears of each change to an admin, once it is durable.
#[hook(User, after(update))]
async fn announce(user: Doc<User>, users: Model<User>) -> Result<()> {
    if user.role == Role::Admin {
        users.subscription(User::ROLE.eq(Role::Admin)).publish(&user).await?;
    }
    Ok(())
}

#[method(User)]
async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
}

#[event(User)]
async fn say(args: Say, room: Subscription<User>) -> Result<()> {
    room.publish(&args).await
}

/// Whoever subscribed to `{}` is told the numbers every minute.
#[worker(User, every = "1m")]
async fn census(users: Model<User>) -> Result<()> {
    let all = users.count(Filter::all()).await?;
    let admins = users.count(User::ROLE.eq(Role::Admin)).await?;
    users.subscription(Filter::all()).publish(&Census { users: all, admins }).await
}

#[modeller::main]
async fn main() -> Result<()> {
    App::discover().serve("127.0.0.1:3030").await
}
