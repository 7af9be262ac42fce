//! LAYER 3, transport: HTTP routes, the socket, and `serve`.
//!
//! A request is turned into an operation on a `Scope` of the model layer and its outcome into bytes; nothing here decides what
//! an operation does. A *session* is one client's subscriptions, their order and their flow control; a *carrier* moves its
//! frames.

mod auth;
mod call;
mod carrier;
#[cfg(feature = "codegen")]
pub(crate) mod client;
mod compress;
pub(crate) mod console;
mod cors;
#[cfg(any(feature = "oidc", feature = "otel"))]
mod dial;
mod edge;
mod events;
mod front;
mod limits;
mod metadata;
mod metrics;
mod network;
mod openapi;
#[cfg(feature = "otel")]
pub mod otel;
mod patience;
mod probes;
mod rate;
mod respond;
mod rest;
mod route;
mod router;
pub(crate) mod serve;
mod session;
mod surround;
#[cfg(feature = "tls")]
mod tls;
mod trash;
mod upload;

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::auth::jwt::Keys;
use self::auth::oidc::{Outside, Said};
#[cfg(feature = "oidc")]
pub use self::auth::{KeySet, oidc::OidcProvider};
use self::carrier::line::Pump;
use self::edge::Edge;
use self::events::Events;
pub use self::events::{Authenticated, Connected, ConnectionKind, Issued, Mounted, Requested, Uploaded};
pub use self::limits::Limits;
use self::limits::{Backlog, Gate, Tally};
use self::metrics::Metrics;
use self::rate::Rates;
pub use self::route::RouteResponse;
use self::upload::Uploads;
pub use self::upload::WholeUpload;
use crate::app::{App, AppBuilder};
use crate::error::Result;
use crate::model::runtime::Runtime;

/// How an application is served, as the program says it.
#[derive(Clone, Default)]
struct Settings {
    limits: Limits,
    /// Pages of other origins that may act for their users.
    origins: Vec<String>,
    edge: Edge,
    events: Events,
    /// Others who know users of the application.
    outside: Said,
    uploads: upload::Settings,
}

/// How an application is served, proved.
struct Configuration {
    keys: Keys,
    /// Others who know users of the application.
    outside: Outside,
    limits: Limits,
    origins: Vec<String>,
    edge: Edge,
    events: Events,
    uploads: Uploads,
}

impl Settings {
    fn proved(self, app: &App, keys: Keys, outside: Outside) -> Configuration {
        let Self { limits, origins, edge, events, uploads, outside: _ } = self;
        let uploads = Uploads::new(uploads, app);
        Configuration { keys, outside, limits, origins, edge, events, uploads }
    }
}

impl Configuration {
    /// Whether a request that a browser sent comes from a page that may act for its user: one of the server's own origin, or of
    /// one that was allowed. Without `Origin` it comes from no page of another origin (Fetch §3.2, RFC 6454 §7.3).
    fn trusts_origin(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = given.next() else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if given.next().is_some() {
            return false;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let own = origin.split_once("://").map(|(_, authority)| authority);
        (own.is_some() && own == host) || self.origins.iter().any(|known| known == origin)
    }
}

/// What the routes of one router share.
struct Server {
    app: App,
    runtime: Runtime,
    configuration: Arc<Configuration>,
    sockets: Gate,
    /// Sockets by whose they are.
    sockets_of: Tally<String>,
    /// What waits for all of them.
    backlog: Arc<Backlog>,
    rates: Rates,
    metrics: Arc<Metrics>,
    #[cfg(feature = "codegen")]
    clients: client::Clients,
    /// Calls under way, also those whose clients are gone.
    calls: Gate,
    /// Whether it is about to stop.
    draining: AtomicBool,
    /// True when sockets have to say goodbye.
    stopping: watch::Sender<bool>,
    /// Write what is pushed on connections that are known, each for some of the sessions; they run while it is served.
    pumps: Box<[Arc<Pump>]>,
}

/// How many processors may write to clients at once.
const PUMPS: usize = 8;

impl Server {
    fn new(app: &App, configuration: Arc<Configuration>) -> Arc<Self> {
        Arc::new(Self {
            app: app.clone(),
            runtime: app.runtime.clone(),
            sockets: Gate::new(configuration.limits.sockets),
            sockets_of: Tally::new(),
            backlog: Arc::new(Backlog::new(configuration.limits.backlog)),
            rates: Rates::new(),
            #[cfg(feature = "codegen")]
            clients: client::Clients::default(),
            metrics: Self::metrics_of(app),
            draining: AtomicBool::new(false),
            configuration,
            calls: Gate::of_calls(),
            stopping: watch::Sender::new(false),
            pumps: (0..PUMPS).map(|_| Arc::default()).collect(),
        })
    }
}

/// Resolves when the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Nobody left who could say so is the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

impl App {
    /// The routes of the application, for a program that has a server of its own. [`App::serve_on`] and
    /// [`AppBuilder::serve`] also bound the time of headers, the size of headers and the number of connections, which a router
    /// cannot.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "notes", public)]
    /// # pub struct Note { pub text: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<Note>().in_memory().open().await?;
    /// let router = axum::Router::new().route("/ping", axum::routing::get(|| async { "pong" })).merge(app.router());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// When the secret of the data folder can be neither read nor made, which [`App::serve_on`] answers as an error, that is
    /// logged and no token is accepted.
    pub fn router(&self) -> axum::Router {
        let configuration = self.configuration().unwrap_or_else(|error| {
            tracing::error!(?error, "this cannot be served as it is set up; no token is accepted");
            Arc::new(self.settings().proved(self, Keys::none(), Outside::none()))
        });
        router::router(Server::new(self, configuration))
    }

    /// Proved when it is first needed.
    fn configuration(&self) -> Result<Arc<Configuration>> {
        let mut settings = self.settings();
        let (keyring, secret) = (self.runtime.keyring()?, self.runtime.inner().secret.bytes()?);
        self.extras.get_or_make(|| {
            settings.edge.check(&self.runtime)?;
            settings.outside.check(&self.runtime)?;
            let outside = Outside::new(std::mem::take(&mut settings.outside), &secret)?;
            Ok(settings.proved(self, Keys::new(keyring), outside))
        })
    }

    fn settings(&self) -> Settings {
        self.extras.get::<Settings>().map(|settings| Settings::clone(&settings)).unwrap_or_default()
    }

    /// A token with these claims, of which `sub` says whom it speaks for, and to which `iat` and `exp` are added, and `iss` and `aud`
    /// where the application has them. It is good for this application and all that have the same secret.
    ///
    /// It holds for as long as it says, and nothing takes it back: somebody who signs in gets a login, see [`App::logins`].
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().in_memory().open().await?;
    /// let claims = serde_json::Map::from_iter([("sub".to_owned(), "ada".into())]);
    /// let token = app.sign_token(claims, Duration::from_secs(3600))?;
    /// assert_eq!(token.split('.').count(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `INVALID_CLAIMS` without a subject, or with more than a token of 8 KiB holds; when the secret of the data folder can be neither
    /// read nor made.
    pub fn sign_token(&self, claims: Map<String, Value>, lifetime: Duration) -> Result<String> {
        self.runtime.keyring()?.sign(claims, self.runtime.inner().clock.now(), lifetime)
    }
}

impl AppBuilder {
    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.extras.get::<Settings>().map(|settings| Settings::clone(&settings)).unwrap_or_default();
        change(&mut settings);
        self.extras.set(settings);
        self
    }
}

/// Runs the body of `#[modeller::main]`: exit code 0, or 1 and one line that says why.
#[expect(clippy::print_stderr, reason = "the one line of a failed start")]
pub fn main<F: Future<Output = Result<()>>>(body: F) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(crate::Error::internal)
        .and_then(|runtime| runtime.block_on(body));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("error: {}", format!("{error}{cause}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
