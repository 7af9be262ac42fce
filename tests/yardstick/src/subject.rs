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
use workload::model::User;

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
