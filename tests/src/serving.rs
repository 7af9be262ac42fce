//! Applications that tests serve in their own process.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use modeller::App;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An application that is served until this is dropped.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub addr: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Serving {
    /// Serves an application on a port of its own.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn start(app: &App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = app.clone();
        tokio::spawn(async move { served.serve_on(listener, async { drop(stopped.await) }).await });
        Self { addr, _stop: stop }
    }
}
