//! How the server meets the world: what the program says of limits, addresses, origins and the place of its routes; and who may ask
//! how often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use super::Server;
use super::cors::check_origin;
use super::limits::{Counted, Limits};
use super::metrics::{Metrics, Present};
use super::network::{self, Network, Peer};
use crate::app::{App, AppBuilder};
use crate::error::{Error, ErrorCode, Result};
use crate::model::caller::Caller;
use crate::model::runtime::Runtime;

/// The name of the rate of what begins with `/@auth`.
const SIGN_IN: &str = "@auth";

/// What the program says of how its server meets the world.
#[derive(Clone)]
pub(super) struct Edge {
    /// What stands in front of all paths; empty, or with a slash in front and none behind.
    pub(super) prefix: String,
    pub(super) trusted_proxies: Vec<Network>,
    /// Who may see the metrics; the operator of this machine unless given.
    pub(super) metrics: Option<Vec<Network>>,
    pub(super) compresses: bool,
    /// How often a minute something may be asked, by its name.
    rates: HashMap<String, u32>,
    /// For how long it goes on serving after it was asked to stop.
    pub(super) lame_duck: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<super::tls::Tls>,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            trusted_proxies: Vec::new(),
            metrics: None,
            compresses: true,
            rates: HashMap::new(),
            lame_duck: Duration::ZERO,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Edge {
    /// Whether connections are encrypted here.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, reason = "it is not built with TLS"))]
    pub(super) fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// What can be told only when the models are known.
    pub(super) fn check(&self, runtime: &Runtime) -> Result<()> {
        for name in self.rates.keys() {
            let model = name.rsplit_once('.').map(|(model, _)| model);
            let is_known = name.starts_with('/') || name == SIGN_IN;
            if !is_known && model.is_none_or(|model| runtime.find_model(model).is_none()) {
                let text = format!(
                    "there is a rate for `{name}`, which is no operation of a model of the program, as in `users.insert`, and no route"
                );
                return Err(Error::new("INVALID_DECLARATION").status(500).message(text));
            }
        }
        Ok(())
    }
}

/// What a socket holds for as long as it is there.
pub(super) struct SocketPlace {
    _place: OwnedSemaphorePermit,
    _counted: Option<Counted<String>>,
    _shown: Present,
}

impl Server {
    pub(super) fn metrics_of(app: &App) -> Arc<Metrics> {
        app.extras.get_or_make(|| Ok(Metrics::new())).unwrap_or_else(|_| Arc::new(Metrics::new()))
    }

    /// Whether clients of this address are counted by it.
    pub(super) fn counts(&self, address: IpAddr) -> bool {
        self.configuration.limits.counts_loopback || !address.is_loopback()
    }

    /// Lets a socket in, or an event stream.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there are as many as the server takes; `RATE_LIMITED` when there are as many of this caller.
    pub(super) fn admit_socket(&self, caller: &Caller, peer: Peer) -> Result<SocketPlace> {
        let Some(place) = self.sockets.try_enter() else {
            return Err(Error::new(ErrorCode::Unavailable).message("there are as many sockets as this server takes"));
        };
        let most = self.configuration.limits.sockets_per_caller;
        let counted = match peer.0 {
            Some(address) if !self.counts(address) => None,
            _ => owner(caller, peer),
        };
        let counted = match counted {
            None => None,
            Some(owner) => Some(self.sockets_of.enter(owner, most).ok_or_else(|| {
                self.metrics.limited();
                Error::new(ErrorCode::RateLimited).message(format!("one caller has at most {most} sockets"))
            })?),
        };
        Ok(SocketPlace { _place: place, _counted: counted, _shown: self.metrics.socket() })
    }

    /// Refuses an operation that the caller has asked for too often, by its name, as in `users.insert`.
    ///
    /// # Errors
    /// `RATE_LIMITED`
    pub(super) fn admit(&self, operation: &str, caller: &Caller, peer: Peer) -> Result<()> {
        let limits = &self.configuration.limits;
        let given = self.configuration.edge.rates.get(operation).copied();
        let usual = if operation == SIGN_IN { Some(limits.sign_ins_per_minute) } else { limits.requests_per_minute };
        let Some(per_minute) = given.or(usual) else { return Ok(()) };
        // Who signs in is nobody yet, and could be another one each time.
        let owner = if operation == SIGN_IN { owner(&Caller::anyone(), peer) } else { owner(caller, peer) };
        // Without a name and without an address there is nobody to count for but all of them.
        self.take(&(operation, owner), per_minute)
    }

    pub(super) fn has_rates(&self) -> bool {
        !self.configuration.edge.rates.is_empty() || self.configuration.limits.requests_per_minute.is_some()
    }

    /// Whether the operation of a request may have a rate.
    pub(super) fn has_rate(&self, request: &Request) -> bool {
        let route = request.extensions().get::<MatchedPath>();
        route.is_some_and(|route| self.has_rates() || is_sign_in(route.as_str()))
    }

    /// Whether the operation of a request has a rate at all; and refuses it when it was asked for too often.
    pub(super) async fn admit_request(&self, request: Request, caller: &Caller, peer: Peer) -> Result<Request, Error> {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let Some(route) = route else { return Ok(request) };
        if is_sign_in(route.as_str()) {
            self.admit(SIGN_IN, caller, peer)?;
            return Ok(request);
        }
        if !self.has_rates() {
            return Ok(request);
        }
        let (mut parts, body) = request.into_parts();
        let name = operation(route.as_str(), &mut parts).await;
        self.admit(&name, caller, peer)?;
        Ok(Request::from_parts(parts, body))
    }

    /// What somebody hears whose token or cookie does not hold: that, or that it happens too often.
    pub(super) fn refuse(&self, error: Error, peer: Peer) -> Error {
        if *error.code() != ErrorCode::Unauthenticated || peer.0.is_none() {
            return error;
        }
        let owner = owner(&Caller::anyone(), peer);
        self.take(&("refused", owner), self.configuration.limits.sign_ins_per_minute).err().unwrap_or(error)
    }

    fn take(&self, key: &impl std::hash::Hash, per_minute: u32) -> Result<()> {
        self.rates.take(key, per_minute).map_err(|wait| {
            self.metrics.limited();
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Error::new(ErrorCode::RateLimited)
                .message(format!("asked too often; the next is taken in {seconds} seconds"))
                .detail("retryAfter", seconds)
        })
    }
}

/// Whose something is that is counted: of a verified caller, or else of an address.
pub(super) fn owner(caller: &Caller, peer: Peer) -> Option<String> {
    if caller.is_verified() {
        return Some(caller.identity());
    }
    peer.0.map(|address| network::client(address).to_string())
}

fn is_sign_in(route: &str) -> bool {
    // Most have none of these, which is seen sooner.
    route.contains('@') && route.split_once("/@auth").is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'))
}

/// The name of what is asked for: an operation of a model, as in `users.insert`, or else the pattern of the route.
async fn operation(route: &str, parts: &mut Parts) -> String {
    const KNOWN: [&str; 3] = ["/{model}", "/{model}/@query", "/{model}/{id}"];
    let Some(kind) = KNOWN.iter().position(|known| route.ends_with(known)) else { return route.to_owned() };
    let Ok(params) = RawPathParams::from_request_parts(parts, &()).await else { return route.to_owned() };
    let of = |wanted: &str| params.iter().filter(|(name, _)| *name == wanted).last().map_or("", |(_, value)| value);
    let operation = match (kind, parts.method.as_str()) {
        (0, "GET" | "HEAD") | (1, _) => "list",
        (0, "POST") => "insert",
        (_, "PATCH") => "update",
        (_, "PUT") => "replace",
        (_, "DELETE") => "delete",
        (2, "GET" | "HEAD") => "get",
        (2, "POST") => of("id"),
        _ => return route.to_owned(),
    };
    format!("{}.{operation}", of("model"))
}

impl AppBuilder {
    /// With these limits, in the place of those from before; see [`Limits`].
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|settings| settings.limits = limits)
    }

    /// With bodies of at most so many bytes, 1 MiB unless given; as [`Limits::body`].
    pub fn body_limit(self, bytes: usize) -> Self {
        self.set(|settings| settings.limits.body = bytes)
    }

    /// With at most so many connections at once, 10,000 unless given; others wait to be accepted. As [`Limits::connections`].
    pub fn max_connections(self, connections: usize) -> Self {
        self.set(|settings| settings.limits.connections = connections)
    }

    /// With at most so many sockets at once, 10,000 unless given; others are refused with `UNAVAILABLE`. As [`Limits::sockets`].
    pub fn max_sockets(self, sockets: usize) -> Self {
        self.set(|settings| settings.limits.sockets = sockets)
    }

    /// With at most so many requests a minute of one caller, and so many at once, to an operation: to a method, as in
    /// `users.reset_password`, over HTTP and on sockets; to `users.list`, `users.get`, `users.insert`, `users.update`,
    /// `users.replace` or `users.delete`; to `@auth`, all that signs somebody in; or to a route by its pattern. The next one is
    /// answered 429 `RATE_LIMITED`, with `Retry-After`.
    ///
    /// A caller is who his token says, or else the address that he comes from: see [`AppBuilder::trusted_proxies`].
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users", public)]
    /// # pub struct User { pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new().model::<User>().rate_limit("users.insert", 10).in_memory().open().await?;
    /// # drop(app.router());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A name that nothing of the program has is told when the application is served.
    pub fn rate_limit(self, operation: impl Into<String>, per_minute: u32) -> Self {
        self.set(|settings| {
            settings.edge.rates.insert(operation.into(), per_minute);
        })
    }

    /// With pages of this origin (RFC 6454 §7), e.g. `https://app.example.com`, as a part of the application: their scripts may
    /// read answers (<https://fetch.spec.whatwg.org/#http-cors-protocol>), and a session cookie counts in what they send. None but
    /// the server's own, unless given. `*` lets the scripts of any page read what anyone may know, without cookies.
    ///
    /// What is no origin is told when the application is opened.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        if let Err(mistake) = check_origin(&origin) {
            self.mistakes.push(mistake);
        }
        self.set(|settings| settings.origins.push(origin))
    }

    /// With proxies at these addresses, or in these networks, as in `10.0.0.0/8`, believed about whose request they pass on: what
    /// they append to `X-Forwarded-For`, or to `Forwarded` (RFC 7239), is the address that counts for limits. Nobody is believed
    /// unless given. Where a request has both headers, and they differ, the address of the proxy counts.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().trusted_proxies(["127.0.0.1", "10.0.0.0/8"]);
    /// # drop(builder);
    /// ```
    ///
    /// What is no network is told when the application is opened.
    pub fn trusted_proxies<N: AsRef<str>>(mut self, networks: impl IntoIterator<Item = N>) -> Self {
        let parsed = self.networks(networks);
        self.set(|settings| settings.edge.trusted_proxies = parsed)
    }

    /// With the metrics at `/@metrics` shown to whoever asks from these addresses or networks, and to nobody where there are none.
    /// Unless given they are shown to whoever asks from this machine, by its own name and by no proxy.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().metrics_for(["127.0.0.1", "::1", "10.20.0.0/16"]);
    /// # drop(builder);
    /// ```
    ///
    /// What is no network is told when the application is opened.
    pub fn metrics_for<N: AsRef<str>>(mut self, networks: impl IntoIterator<Item = N>) -> Self {
        let parsed = self.networks(networks);
        self.set(|settings| settings.edge.metrics = Some(parsed))
    }

    /// With all routes below this path, as in `/api`: `/api/users`, `/api/@metadata`.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users", public)]
    /// # pub struct User { pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new().model::<User>().path_prefix("/api").in_memory().open().await?;
    /// # drop(app.router());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// What cannot be a path is told when the application is opened.
    pub fn path_prefix(mut self, prefix: impl AsRef<str>) -> Self {
        let prefix = prefix.as_ref().trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let mut segments = prefix.split('/').skip(1);
        let is_path = prefix.starts_with('/') && segments.all(|it| !it.is_empty() && it.bytes().all(is_plain));
        if !prefix.is_empty() && !is_path {
            let text = format!("`{prefix}` cannot stand in front of paths; `/api` can");
            self.mistakes.push(Error::new("INVALID_DECLARATION").status(500).message(text));
        }
        let prefix = if is_path { prefix.to_owned() } else { String::new() };
        self.set(|settings| settings.edge.prefix = prefix)
    }

    /// Whether answers are compressed for clients that take it (gzip); they are unless it is said that they are not. What has an entity
    /// tag, and what answers a request with a cookie, is sent as it is.
    pub fn compress(self, compresses: bool) -> Self {
        self.set(|settings| settings.edge.compresses = compresses)
    }

    /// Goes on serving for so long after it was asked to stop, while `/@ready` answers 503 already, so that a load balancer sends
    /// its requests elsewhere before connections are refused. Not at all unless given.
    pub fn lame_duck(self, time: Duration) -> Self {
        self.set(|settings| settings.edge.lame_duck = time)
    }

    fn networks<N: AsRef<str>>(&mut self, networks: impl IntoIterator<Item = N>) -> Vec<Network> {
        let mut parsed = Vec::new();
        for network in networks {
            match Network::parse(network.as_ref()) {
                Ok(network) => parsed.push(network),
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
        parsed
    }
}
