//! The yardstick: the server that one would write by hand for users and cities, with axum, serde and maps.
//!
//! It does the work that the framework is measured at and nothing else: the same routes, rules, indexes and answers, written for
//! these two types alone. With `--data DIR` an insert is answered when it is on the disk, together with those that arrived
//! meanwhile; without, it is in memory only.
//!
//! ```sh
//! cargo run --release -p yardstick --bin yardstick -- --addr 127.0.0.1:3031 --data /tmp/yardstick
//! ```
//!
//! What it leaves out of what the framework does for the same request: transactions over several documents, revisions that
//! change, hooks, access levels, queries of any other form, and hiding an insert from readers until it is durable.

mod city;
mod journal;
mod problem;
mod user;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::ws::Utf8Bytes;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;

use city::Cities;
use journal::{Entry, Journal};
use user::Users;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// All that the server knows.
struct Store {
    users: Users,
    cities: Cities,
    journal: Option<Journal>,
    /// Each admin that has changed, as JSON.
    changed: broadcast::Sender<Utf8Bytes>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (mut addr, mut data) = (String::from("127.0.0.1:3031"), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("`{arg}` needs a value"))?;
        match arg.as_str() {
            "--addr" => addr = value,
            "--data" => data = Some(PathBuf::from(value)),
            _ => return Err(format!("`{arg}` is not known; there are `--addr` and `--data`").into()),
        }
    }
    let (users, cities) = (Users::default(), Cities::default());
    let journal = data
        .map(|folder| {
            Journal::open(&folder, |entry| match entry {
                Entry::User(user) => users.restore(user),
                Entry::City(city) => cities.restore(city),
            })
        })
        .transpose()?;
    let router = Router::new()
        .route("/users", post(user::insert).get(user::list))
        .route("/users/{id}", get(user::get).patch(user::change))
        .route("/room", get(user::room))
        .route("/users/echo", post(user::echo))
        .route("/cities", post(city::insert))
        .layer(DefaultBodyLimit::max(1 << 20))
        .with_state(Arc::new(Store { users, cities, journal, changed: broadcast::channel(1_024).0 }));
    let listener = TcpListener::bind(&addr).await?;
    announce(&listener)?;
    let listener = listener.tap_io(|stream| {
        // Slower answers, but answers, when the socket does not take the option.
        let _ = stream.set_nodelay(true);
    });
    let mut terminated = signal(SignalKind::terminate())?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "where the one who started it reads the port")]
fn announce(listener: &TcpListener) -> std::io::Result<()> {
    println!("yardstick: http://{}", listener.local_addr()?);
    Ok(())
}
