//! A connection that breaks: stands between a client and a server, and cuts off what it is told to.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where it leads, and what it cuts off.
#[derive(Debug, Default)]
struct State {
    target: Option<SocketAddr>,
    /// After how many bytes of the client each of the next connections is cut off.
    cuts: VecDeque<usize>,
    made: usize,
}

/// A proxy. It ends with the runtime that it was started in.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Whether nobody gets through. All connections end when it is told anew.
    closed: watch::Sender<bool>,
}

impl Proxy {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let proxy = Self {
            addr,
            state: Arc::new(Mutex::new(State { target: Some(target), ..State::default() })),
            closed: watch::Sender::new(false),
        };
        let of_task = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = of_task.clone();
                tokio::spawn(async move { proxy.carry(client).await });
            }
        });
        proxy
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads to another server from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state().target = Some(target);
    }

    /// Cuts off all connections, and takes none until it is opened again.
    pub fn close(&self) {
        let _ = self.closed.send_replace(true);
    }

    /// Takes connections again.
    pub fn open(&self) {
        let _ = self.closed.send_replace(false);
    }

    /// Cuts off the next connection that sends so many bytes, and then the next.
    pub fn cut_after(&self, cuts: impl IntoIterator<Item = usize>) {
        self.state().cuts.extend(cuts);
    }

    /// Cuts off all connections that there are.
    pub fn cut_all(&self) {
        self.closed.send_modify(|_| {});
    }

    /// How many connections were cut off.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.state().made
    }

    async fn carry(&self, mut client: TcpStream) {
        let mut cut = self.closed.subscribe();
        let Some(target) = self.state().target.filter(|_| !*cut.borrow_and_update()) else { return };
        let Ok(mut server) = TcpStream::connect(target).await else { return };
        let (mut from_client, mut from_server) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        let mut sent = 0;
        loop {
            tokio::select! {
                _ = cut.changed() => return,
                read = client.read(&mut from_client) => {
                    let Ok(read @ 1..) = read else { return };
                    if server.write_all(&from_client[..read]).await.is_err() {
                        return;
                    }
                    sent += read;
                    let mut state = self.state();
                    if state.cuts.front().is_some_and(|after| sent >= *after) {
                        state.cuts.pop_front();
                        state.made += 1;
                        return;
                    }
                }
                read = server.read(&mut from_server) => {
                    let Ok(read @ 1..) = read else { return };
                    if client.write_all(&from_server[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
