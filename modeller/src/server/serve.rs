//! `serve`: from the arguments of the process to a server that drains.
//!
//! It has an accept loop of its own, because the one of axum sets no timer, without which the limits that hyper has for slow
//! headers do nothing.

use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::carrier::line::{Line, Wire};
use super::events::{Connected, ConnectionKind, Mounted};
use super::front::Front;
use super::limits::{Gate, HEADER_BYTES, Tally};
use super::network::{client, is_in};
use super::patience::{Clock, Patient, time_goes_on};
use super::{Server, console, stopped};
use crate::app::{App, AppBuilder};
use crate::core::secret;
use crate::error::{Error, ErrorCode, Result};
use crate::model::caller::Caller;

/// How many connections at once are told why they are not taken; further ones are closed.
const REFUSALS: usize = 64;
/// How long that may take.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// What the arguments of [`Options`] are.
pub(crate) const USAGE: &str = "\
--addr HOST:PORT    where to listen; also MODELLER_ADDR
--data DIR          the folder of the data; also MODELLER_DATA
--secret-file FILE  the secret of tokens and cursors, 32 bytes at least; also its text in MODELLER_SECRET
--tls-cert FILE     the chain of certificates to serve TLS with, as PEM; also MODELLER_TLS_CERT
--tls-key FILE      the private key of its first one, as PEM; also MODELLER_TLS_KEY
--help              this text
";

/// What the command line and the environment say; the command line goes first.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    addr: Option<String>,
    data: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    secret: Option<Vec<u8>>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    pub(crate) help: bool,
}

/// The value of the argument that was met last, from behind its `=` or from the next one.
pub(crate) type NextValue<'a> = dyn FnMut() -> Result<OsString> + 'a;

impl Options {
    /// Reads the arguments of a process, and its environment. What is not known here is offered to `more`, which says whether
    /// it knows it.
    pub(crate) fn read(
        mut args: impl Iterator<Item = OsString>,
        env: impl Fn(&str) -> Option<OsString>,
        more: &mut dyn FnMut(&str, &mut NextValue<'_>) -> Result<bool>,
    ) -> Result<Self> {
        let wrong = |what: String| Error::new("INVALID_ARGUMENT").message(what);
        let utf8 = |name: &str, text: OsString| text.into_string().map_err(|_| wrong(format!("`{name}` is not UTF-8")));
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            let arg = utf8("an argument", arg)?;
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
                None => (arg, None),
            };
            let mut value =
                || inline.clone().or_else(|| args.next()).ok_or_else(|| wrong(format!("`{name}` needs a value")));
            match name.as_str() {
                "--addr" => options.addr = Some(utf8("--addr", value()?)?),
                "--data" => options.data = Some(value()?.into()),
                "--secret-file" => options.secret_file = Some(value()?.into()),
                "--tls-cert" => options.tls_cert = Some(value()?.into()),
                "--tls-key" => options.tls_key = Some(value()?.into()),
                "--help" | "-h" => options.help = true,
                name if more(name, &mut value)? => {}
                name => return Err(wrong(format!("unknown argument `{name}`; see --help"))),
            }
        }
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        if let (None, Some(addr)) = (&options.addr, env("MODELLER_ADDR")) {
            options.addr = Some(utf8("MODELLER_ADDR", addr)?);
        }
        if options.data.is_none() {
            options.data = env("MODELLER_DATA").map(PathBuf::from);
        }
        if (&options.tls_cert, &options.tls_key) == (&None, &None) {
            options.tls_cert = env("MODELLER_TLS_CERT").map(PathBuf::from);
            options.tls_key = env("MODELLER_TLS_KEY").map(PathBuf::from);
        }
        if options.secret_file.is_none() {
            options.secret = env("MODELLER_SECRET").map(OsString::into_encoded_bytes);
        }
        Ok(options)
    }

    /// The application with the certificate that is named.
    fn with_tls(&self, app: AppBuilder) -> Result<AppBuilder> {
        let wrong = |what: String| Error::new("INVALID_ARGUMENT").message(what);
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(app),
            #[cfg(feature = "tls")]
            (Some(certificates), Some(key)) => {
                let read = |path: &Path| {
                    std::fs::read(path).map_err(|cause| wrong(format!("cannot read {}: {cause}", path.display())))
                };
                Ok(app.tls(read(certificates)?, read(key)?))
            }
            #[cfg(not(feature = "tls"))]
            (Some(_), Some(_)) => Err(wrong("this program was built without the feature `tls` of modeller".into())),
            _ => Err(wrong("`--tls-cert` and `--tls-key` go together".into())),
        }
    }

    fn secret(&self) -> Result<Option<Vec<u8>>> {
        match (&self.secret_file, &self.secret) {
            (Some(file), _) => secret::from_file(Path::new(file)).map(Some),
            (None, Some(text)) => secret::given(text, "MODELLER_SECRET").map(Some),
            (None, None) => Ok(None),
        }
    }
}

impl AppBuilder {
    /// Opens the application, starts its workers and serves it, until ctrl-c or SIGTERM: then no more is accepted, what is
    /// under way is finished, for ten seconds at most, and sockets are told goodbye. A second signal ends the process at once, with
    /// exit code 130 or 143; what was answered is durable all the same.
    ///
    /// The address is the one that is used when neither the command line (`--addr HOST:PORT`, `--data DIR`,
    /// `--secret-file FILE`, and with the feature `tls` `--tls-cert FILE` and `--tls-key FILE`) nor the environment
    /// (`MODELLER_ADDR`, `MODELLER_DATA`, `MODELLER_SECRET`, `MODELLER_TLS_CERT`, `MODELLER_TLS_KEY`) names another. With the
    /// arguments `client typescript [--out FILE]` nothing is served: the typed client of the program is written. When it is ready it prints one line with its address and what it assembled. A program that has set up no `tracing` subscriber
    /// gets warnings and errors on standard error.
    ///
    /// ```no_run
    /// # use modeller::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// App::discover().serve("127.0.0.1:3030").await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`AppBuilder::open`]; an argument or a secret that will not do; an address that cannot be listened on;
    /// `UNAVAILABLE` when the store failed while serving.
    pub async fn serve(self, addr: &str) -> Result<()> {
        console::install()?;
        #[cfg(feature = "codegen")]
        if std::env::args_os().nth(1).is_some_and(|first| first == "client") {
            return self.write_client(std::env::args_os().skip(2)).await;
        }
        let options = Options::read(std::env::args_os().skip(1), |name| std::env::var_os(name), &mut |_, _| Ok(false))?;
        if options.help {
            let _ = io::stdout().write_all(USAGE.as_bytes());
            #[cfg(feature = "codegen")]
            let _ = io::stdout().write_all(super::client::USAGE.as_bytes());
            return Ok(());
        }
        self.serve_as(options, addr).await
    }

    /// The same with options that are read.
    pub(crate) async fn serve_as(mut self, options: Options, addr: &str) -> Result<()> {
        if let Some(secret) = options.secret()? {
            self = self.secret(secret);
        }
        self = options.with_tls(self)?;
        if let Some(mistake) = self.mistakes.pop() {
            return Err(mistake);
        }
        if let Some(data) = options.data {
            self.data = Some(data);
        }
        let addr = options.addr.as_deref().unwrap_or(addr);
        // Before the data is opened, so that a mistake in the address costs nothing. Who connects meanwhile waits.
        let cannot = |cause: io::Error| {
            Error::new("CANNOT_LISTEN").status(500).message(format!("cannot listen on {addr}: {cause}"))
        };
        let listener = TcpListener::bind(addr).await.map_err(cannot)?;
        let local = listener.local_addr().map_err(cannot)?;
        let mut signals = Signals::listen()?;
        let app = self.open().await?;
        // A secret that cannot be read or made is a failed start, and not one that is noticed when it is over.
        let configuration = app.configuration()?;
        app.pull().await?;
        app.start_workers();
        // Not by `println!`, which panics when nobody reads.
        let scheme = if configuration.edge.is_encrypted() { "https" } else { "http" };
        let _ = writeln!(io::stdout(), "modeller: {scheme}://{local}, {}", app.summary());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let signals = tokio::spawn(async move {
            signals.next().await;
            if stop.send(()).is_ok() {
                signals.next().await;
            }
            // Whoever asks twice does not want to wait. All that was answered is durable.
            tracing::warn!("asked to stop once more; what is under way is broken off");
            std::process::exit(signals.code());
        });
        let shutdown = async {
            let _ = stopped.await;
            // While it is waited for calls, workers and jobs begin nothing new.
            app.cease_workers();
        };
        let outcome = app.serve_on(listener, shutdown).await;
        let time = configuration.limits.drain_time;
        if tokio::time::timeout(time, app.stop_workers()).await.is_err() {
            tracing::warn!("a worker did not end in time");
        }
        if tokio::time::timeout(time, app.synced()).await.is_err() {
            tracing::warn!("an adapter did not take all changes in time");
        }
        #[cfg(feature = "otel")]
        super::otel::flush().await;
        if outcome.is_err() {
            signals.abort();
        }
        outcome
    }
}

impl App {
    /// Serves on a listener until `shutdown` resolves, then finishes what is under way, for ten seconds at most unless
    /// [`Limits::drain_time`](crate::Limits::drain_time) says otherwise. Workers are not started by this.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().in_memory().open().await?;
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let serving = tokio::spawn(async move { app.serve_on(listener, async { drop(stopped.await) }).await });
    /// drop(stop);
    /// serving.await??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store failed.
    pub async fn serve_on(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        let configuration = self.configuration()?;
        configuration.uploads.begin().await;
        let server = Server::new(self, configuration.clone());
        let service = Front::new(server.clone());
        let connections = Gate::new(configuration.limits.connections);
        let mut http = http1::Builder::new();
        let limits = configuration.limits;
        http.timer(Clock::default()).header_read_timeout(limits.header_time).max_buf_size(HEADER_BYTES);
        // A client that has sent all it wanted may close its side and still be answered; and one that is gone altogether does
        // not take back the call that it made.
        http.half_close(true);
        let of_address = Tally::new();
        let refusals = Gate::new(REFUSALS);
        // They end with this.
        let mut pumping = JoinSet::new();
        for pump in &server.pumps {
            let pump = pump.clone();
            pumping.spawn(async move { pump.run().await });
        }
        let mut shutdown = pin!(async {
            shutdown.await;
            server.draining.store(true, Ordering::Release);
            tokio::time::sleep(configuration.edge.lame_duck).await;
        });
        let mut failed = pin!(self.runtime.log().failed());
        let mut counted = None;
        let events = &configuration.events;
        if let Ok(address) = listener.local_addr() {
            events.mounted.tell(|| Mounted { app: self.clone(), address });
        }
        let failure = loop {
            let accept = async {
                // As many as are taken; who comes then waits in the queue of the system.
                if counted.is_none() {
                    counted = connections.enter().await;
                }
                listener.accept().await
            };
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break None,
                reason = &mut failed => break Some(reason),
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let address = client(peer.ip());
                    let by_address =
                        match server.counts(address) && !is_in(&configuration.edge.trusted_proxies, address) {
                            false => None,
                            true => match of_address.enter(address, limits.connections_per_address) {
                                Some(counted) => Some(counted),
                                None => {
                                    server.metrics.limited();
                                    if let Some(refusal) = refusals.try_enter() {
                                        let text = format!(
                                            "one address has at most {} connections",
                                            limits.connections_per_address
                                        );
                                        let encrypted = configuration.edge.is_encrypted();
                                        tokio::spawn(async move {
                                            refuse(stream, encrypted, text).await;
                                            drop(refusal);
                                        });
                                    }
                                    continue;
                                }
                            },
                        };
                    let (kind, caller) = (ConnectionKind::Http, Caller::anyone());
                    events.connection.tell(|| Connected { kind, peer: Some(peer), caller });
                    let (mut http, service, counted) = (http.clone(), service.clone(), counted.take());
                    http.timer(Clock::default());
                    let (server, shown) = (server.clone(), server.metrics.connection());
                    tokio::spawn(async move {
                        connection(&http, stream, peer, service, &server).await;
                        // What knows the application goes first: when the last place is free, the server has ended.
                        drop((http, server));
                        drop((counted, by_address, shown));
                    });
                }
                Err(cause) if is_of_the_peer(&cause) => {}
                Err(cause) => {
                    // No file descriptors, no memory: it may pass, and asking again at once would only burn.
                    tracing::warn!(%cause, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        drop(listener);
        // The place that was kept for the next one.
        drop(counted);
        server.stopping.send_replace(true);
        let drained = async {
            connections.drained().await;
            server.sockets.drained().await;
            server.calls.drained().await;
        };
        if tokio::time::timeout(limits.drain_time, drained).await.is_err() {
            tracing::warn!("stopped with requests under way");
        }
        pumping.shutdown().await;
        match failure {
            None => Ok(()),
            Some(reason) => {
                tracing::error!(%reason, "the store failed; the server stops");
                Err(Error::new(ErrorCode::Unavailable).message(format!("the store failed: {reason}")))
            }
        }
    }
}

async fn connection(http: &http1::Builder, stream: TcpStream, peer: SocketAddr, service: Front, server: &Server) {
    // Answers and pushes are small, and none waits for the next.
    let _ = stream.set_nodelay(true);
    #[cfg(feature = "tls")]
    if let Some(tls) = &server.configuration.edge.tls {
        let mut stopping = server.stopping.subscribe();
        // Who greets too slowly, or not in a way that is understood, is not answered.
        let stream = tokio::select! {
            stream = tls.accept(stream, server.configuration.limits.header_time) => stream,
            () = stopped(&mut stopping) => None,
        };
        if let Some(stream) = stream {
            exchange(http, stream, None, peer, service, server).await;
        }
        return;
    }
    let stream = Wire::new(stream);
    let line = stream.line();
    exchange(http, stream, Some(line), peer, service, server).await;
}

/// Answers all requests of a connection.
async fn exchange<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    http: &http1::Builder,
    stream: T,
    line: Option<Weak<Line>>,
    peer: SocketAddr,
    service: Front,
    server: &Server,
) {
    let mut stopping = server.stopping.subscribe();
    let service = service_fn(move |request| service.call(request, peer, line.as_ref()));
    let stream = Patient::new(TokioIo::new(stream), server.configuration.limits.write_time);
    let mut connection = pin!(http.serve_connection(stream, service).with_upgrades());
    let seen = stopping.clone();
    let mut stopped = pin!(stopped(&mut stopping));
    let mut is_heard = false;
    let stops = poll_fn(|context| {
        time_goes_on();
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(false);
        }
        // Once it was asked it wakes this; it is not asked again for each request.
        if is_heard && !seen.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        is_heard = true;
        stopped.as_mut().poll(context).map(|()| true)
    });
    // How a connection ends is the client's affair.
    if stops.await {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Says why a connection is not taken, whatever is asked on it.
async fn refuse(mut stream: TcpStream, encrypted: bool, text: String) {
    if encrypted {
        return;
    }
    let body = Error::new(ErrorCode::RateLimited).message(text).to_json_text();
    let head = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let told = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await?;
        // Closed on bytes that were not read, the connection is reset, and the answer with it.
        let mut left = HEADER_BYTES;
        let mut buffer = [0; 1024];
        while left > 0 {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(REFUSAL_TIME, told).await;
}

/// Errors of `accept` that are about the connection and not about us.
fn is_of_the_peer(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// The signals by which the process is asked to end. It listens from the start, so that none is missed while the data is opened.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    terminated: bool,
}

impl Signals {
    fn listen() -> Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            terminated: false,
        })
    }

    /// Resolves when the process is asked to end, or is asked once more.
    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => self.terminated = true,
            _ = self.interrupt.recv() => self.terminated = false,
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }

    /// The exit code of a process that the last signal has ended, as shells have it.
    fn code(&self) -> i32 {
        if self.terminated { 128 + 15 } else { 128 + 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Options> {
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        Options::read(args.iter().map(OsString::from), env, &mut |_, _| Ok(false))
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let env = [("MODELLER_ADDR", "b:2"), ("MODELLER_DATA", "e"), ("MODELLER_SECRET", "")];
        let options = read(&["--addr", "a:1", "--secret-file=s"], &env).unwrap();
        assert_eq!((options.addr.as_deref(), options.data, options.secret), (Some("a:1"), Some("e".into()), None));
        assert_eq!(options.secret_file, Some("s".into()));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [&["--port"][..], &["x"], &["--addr"], &["--data"]] {
            assert_eq!(read(wrong, &[]).unwrap_err().code().as_str(), "INVALID_ARGUMENT", "{wrong:?}");
        }
    }
}
