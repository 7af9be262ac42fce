//! What is measured: the users and cities of the yardstick, written with the framework.
//!
//! ```sh
//! cargo run --release -p yardstick --bin subject -- --addr 127.0.0.1:3032 --data /tmp/subject
//! ```
//!
//! `SUBJECT_MEMORY=1` keeps it in memory only.

// Linked for its model.
use cities as _;
use modeller::prelude::*;

/// A user.
#[model(id = "users", public, rename_all = "camelCase")]
struct User {
    #[field(unique, format = "email")]
    email: String,
    #[field(min_length = 1, max_length = 80)]
    name: String,
    #[field(index)]
    role: Role,
    #[field(minimum = 0, maximum = 150)]
    age: u8,
    #[field(max_items = 10)]
    tags: Vec<String>,
    #[field(format = "date-time")]
    created_at: String,
}

#[value]
#[derive(PartialEq)]
enum Role {
    User,
    Admin,
}

/// What is sent to `echo`, and comes back.
#[value]
struct Echo {
    #[field(max_length = 100)]
    text: String,
    n: u64,
}

#[method(User)]
async fn echo(args: Echo) -> Result<Echo> {
    Ok(args)
}

#[modeller::main]
async fn main() -> Result<()> {
    let app = App::discover();
    let app = if std::env::var_os("SUBJECT_MEMORY").is_some() { app.in_memory() } else { app };
    app.serve("127.0.0.1:3032").await
}
