//! A machine, put together from parts: `system`, and the models that extend it, `system.ssh`, `system.docker` and
//! `system.firewall`. A worker keeps `system.firewall` in step with what the machine really listens to.
//!
//! ```sh
//! cargo run -p system
//! curl localhost:3030/system.firewall
//! curl --json '{"user":"ada","key":"ssh-ed25519 AAAA"}' localhost:3030/system.ssh
//! curl --json '{"user":"ada"}' localhost:3030/system.ssh/revoke
//! ```

mod sockets;

use std::collections::BTreeMap;

use modeller::prelude::*;

use crate::sockets::Socket;

/// The machine itself.
#[model(id = "system", public)]
pub struct Machine {
    #[field(unique)]
    pub name: String,
}

/// Who may sign in.
#[model(id = "ssh", parent = Machine, public)]
pub struct Ssh {
    #[field(unique, pattern = "^[a-z_][a-z0-9_-]*$")]
    pub user: String,
    #[field(min_length = 1)]
    pub key: String,
    #[field(default)]
    pub revoked: bool,
}

/// What runs in a container.
#[model(id = "docker", parent = Machine, public)]
pub struct Docker {
    #[field(unique)]
    pub name: String,
    pub image: String,
    #[field(default)]
    pub running: bool,
}

/// A port that the machine listens to. It is read from the machine, and so nothing that a client writes.
#[model(id = "firewall", parent = Machine, public, trash = false)]
pub struct Firewall {
    /// Address and port, as in `127.0.0.1:22`.
    #[field(unique)]
    pub listens: String,
    #[field(index)]
    pub port: u16,
}

#[value]
pub struct Who {
    pub user: String,
}

#[value]
pub struct Which {
    pub name: String,
}

/// What has changed of the ports, as subscribers of `system.firewall` hear it.
#[value]
pub struct Ports {
    pub opened: Vec<String>,
    pub closed: Vec<String>,
}

/// What there is of everything.
#[value]
pub struct Overview {
    pub accounts: usize,
    pub containers: usize,
    pub ports: usize,
}

#[method(Ssh)]
async fn revoke(args: Who, ssh: Model<Ssh>) -> Result<Doc<Ssh>> {
    ssh.update(Ssh::USER.eq(args.user), Ssh::REVOKED.set(true)).await
}

#[method(Docker)]
async fn start(args: Which, docker: Model<Docker>) -> Result<Doc<Docker>> {
    docker.update(Docker::NAME.eq(args.name), Docker::RUNNING.set(true)).await
}

/// What there is, by way of the extensions.
#[method(Machine)]
async fn overview(system: Model<Machine>) -> Result<Overview> {
    Ok(Overview {
        accounts: system.extension::<Ssh>()?.count(Ssh::REVOKED.eq(false)).await?,
        containers: system.extension::<Docker>()?.count(Docker::RUNNING.eq(true)).await?,
        ports: system.extension::<Firewall>()?.count(Filter::all()).await?,
    })
}

#[hook(Firewall, before(insert, update))]
async fn read_only(_port: &mut Firewall, caller: Caller) -> Result<()> {
    refuse(&caller)
}

#[hook(Firewall, before(delete))]
async fn stays(caller: Caller) -> Result<()> {
    refuse(&caller)
}

fn refuse(caller: &Caller) -> Result<()> {
    if caller.is_application() { Ok(()) } else { Err(Error::new(ErrorCode::Forbidden)) }
}

/// Compares what is known with what the machine listens to, and writes the difference.
#[worker(Firewall, every = "1s")]
async fn sync(ports: Model<Firewall>, log: Log) -> Result<()> {
    let known: BTreeMap<String, Doc<Firewall>> =
        ports.find(Filter::all()).await?.into_iter().map(|port| (port.listens.clone(), port)).collect();
    let listening: BTreeMap<String, Socket> =
        sockets::listening().await?.into_iter().map(|socket| (socket.to_string(), socket)).collect();
    let opened: Vec<&Socket> =
        listening.iter().filter(|(name, _)| !known.contains_key(*name)).map(|(_, socket)| socket).collect();
    let closed: Vec<&Doc<Firewall>> =
        known.iter().filter(|(name, _)| !listening.contains_key(*name)).map(|(_, port)| port).collect();
    if opened.is_empty() && closed.is_empty() {
        return Ok(());
    }
    let news = Ports {
        opened: opened.iter().map(ToString::to_string).collect(),
        closed: closed.iter().map(|port| port.listens.clone()).collect(),
    };
    let new = opened.iter().map(|socket| Firewall { listens: socket.to_string(), port: socket.port() }).collect();
    ports.insert_many(new).await?;
    for port in closed {
        ports.delete(port).await?;
    }
    log.info(format!("{} opened, {} closed", news.opened.len(), news.closed.len()));
    ports.subscription(Filter::all()).publish(&news).await
}

#[modeller::main]
async fn main() -> Result<()> {
    App::discover().serve("127.0.0.1:3030").await
}
