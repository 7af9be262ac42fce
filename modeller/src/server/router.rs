//! The table of routes, and what surrounds every request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::FutureExt as _;
use futures_util::future::{Either, Map, Ready, ready};
use tower::{Layer, Service};

use super::auth::jwt::Identity;
use super::auth::{authenticate, logins};
use super::call::Context;
#[cfg(feature = "socketio")]
use super::carrier::socketio;
use super::carrier::{sse, websocket};
#[cfg(feature = "codegen")]
use super::client;
use super::events::Requested;
use super::limits::MIN_SEQ_TIME;
use super::network::Peer;
use super::respond::{MIN_SEQ, for_verified};
use super::surround::{Fields, RouteName, Surrounded, surround};
use super::upload::tus;
use super::{Server, metadata, openapi, probes, rest, route, trash};
use crate::core::schema::Visibility;
use crate::error::{Error, ErrorCode, Result};
use crate::model::caller::Caller;

/// Whatever is ours begins with `@`, which no model and no operation does.
pub(super) fn router(server: Arc<Server>) -> Router {
    let table = table(&server);
    mount(server, table)
}

/// The same of a table that is made.
pub(super) fn mount(server: Arc<Server>, table: Table) -> Router {
    let layer = Surrounding(server.clone());
    let prefix = server.configuration.edge.prefix.clone();
    let routes = table.router.method_not_allowed_fallback(wrong_method);
    let routes = if prefix.is_empty() { routes } else { Router::new().nest(&prefix, routes) };
    routes.fallback(nowhere).layer(layer).with_state(server)
}

/// The routes as they are mounted, and their paths: what is mounted has to be described.
pub(super) struct Table {
    router: Router<Arc<Server>>,
    paths: Vec<String>,
}

impl Table {
    fn new() -> Self {
        Self { router: Router::new(), paths: Vec::new() }
    }

    pub(super) fn route(mut self, path: &str, methods: MethodRouter<Arc<Server>>) -> Self {
        self.paths.push(path.to_owned());
        Self { router: self.router.route(path, methods), ..self }
    }

    /// The paths, in the order in which they were mounted.
    pub(super) fn paths(&self) -> &[String] {
        &self.paths
    }
}

/// All routes of the server, of its models and of the program.
pub(super) fn table(server: &Arc<Server>) -> Table {
    let table = Table::new()
        .route("/@health", get(probes::health))
        .route("/@ready", get(probes::ready))
        .route("/@metrics", get(probes::metrics))
        .route("/@metadata", get(metadata::describe))
        .route("/@openapi.json", get(openapi::describe))
        .route("/@socket", get(websocket::open))
        .route("/@auth/refresh", post(logins::refresh))
        .route("/@auth/session", post(logins::session))
        .route("/@auth/logout", post(logins::logout))
        .route("/@files", post(tus::all).options(tus::all))
        .route("/@files/{id}", get(tus::one).patch(tus::one).delete(tus::one).post(tus::one).options(tus::one))
        .route(
            "/{model}",
            get(Direct(rest::list)).post(Direct(rest::insert)).patch(rest::update_many).delete(rest::delete_many),
        )
        .route("/{model}/@query", post(rest::query))
        .route("/{model}/@events", get(sse::open))
        .route("/{model}/@live", get(sse::live))
        .route("/{model}/@trash", get(trash::list).delete(trash::purge_all))
        .route("/{model}/@trash/{id}", post(trash::restore).delete(trash::purge))
        .route(
            "/{model}/{id}",
            get(Direct(rest::read))
                .patch(rest::update)
                .put(rest::replace)
                .delete(rest::delete)
                .post(Direct(rest::call)),
        );
    #[cfg(feature = "codegen")]
    let table = table.route("/@client.ts", get(client::typescript));
    #[cfg(feature = "socketio")]
    let table = table.route("/socket.io/", socketio::route(server));
    route::mount(server.configuration.outside.mount(table), server)
}

/// A handler that is given its arguments at once. As a function it would be one, too, but within a future that takes the request
/// apart and has a place for each of the steps.
#[derive(Clone, Copy)]
struct Direct<F>(F);

impl<F, Fut> Handler<(), Arc<Server>> for Direct<F>
where
    F: FnOnce(Context, Segments, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    type Future = Either<Map<Fut, fn(Result<Response>) -> Response>, Ready<Response>>;

    fn call(self, request: Request, server: Arc<Server>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let segments = Segments::of(&mut parts);
        let context = Context::of(&parts.extensions, server);
        match segments {
            Ok(segments) => {
                let answer = (self.0)(context, segments, Request::from_parts(parts, body));
                Either::Left(answer.map(IntoResponse::into_response))
            }
            Err(error) => Either::Right(ready(error.into_response())),
        }
    }
}

async fn nowhere(request: Request) -> Response {
    // RFC 9110 §9.3.7: what is asked of the server as a whole.
    if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        return StatusCode::NO_CONTENT.into_response();
    }
    Error::not_found(ErrorCode::NotFound, request.uri().path()).into_response()
}

/// The header `Allow`, which both answers have to have, is written by axum.
async fn wrong_method(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let method: String = request.method().as_str().chars().take(16).collect();
    Error::new(ErrorCode::MethodNotAllowed).message(format!("this path cannot be asked with {method}")).into_response()
}

/// Makes each route an [`Around`].
#[derive(Clone)]
struct Surrounding(Arc<Server>);

impl<S> Layer<S> for Surrounding {
    type Service = Around<S>;

    fn layer(&self, inner: S) -> Around<S> {
        Around { server: self.0.clone(), inner }
    }
}

/// A route with what surrounds every request.
#[derive(Clone)]
struct Around<S> {
    server: Arc<Server>,
    inner: S,
}

impl<S> Service<Request> for Around<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + Unpin> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Map<Surrounded<Answer<S::Future>>, fn(Response) -> Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let trusted = &self.server.configuration.edge.trusted_proxies;
        let peer = Peer::said_by(request.extensions(), request.headers(), trusted);
        request.extensions_mut().insert(peer);
        // The one that is ready is this one.
        let next = self.inner.clone();
        let mut next = std::mem::replace(&mut self.inner, next);
        let route = request.extensions().get::<MatchedPath>().cloned().map(RouteName::Matched);
        around(&self.server, request, peer, route, move |_, request| next.call(request)).map(Ok)
    }
}

/// Answers a request by `next`, with what surrounds every request.
#[inline]
pub(super) fn around<F>(
    server: &Arc<Server>,
    request: Request,
    peer: Peer,
    route: Option<RouteName>,
    next: impl FnOnce(&Arc<Server>, Request) -> F + Send + 'static,
) -> Surrounded<Answer<F>>
where
    F: Future<Output = Result<Response, Infallible>> + Send + Unpin,
{
    surround(server.clone(), request, route, |server, request, fields| {
        if is_plain(server, &request, fields) {
            Answer::Plain(next(server, request))
        } else {
            let server = server.clone();
            Answer::Other(Box::pin(async move { answer(&server, request, peer, next).await }))
        }
    })
}

/// What a route answers.
pub(super) enum Answer<F> {
    Plain(F),
    Other(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Answer<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Response> {
        match self.get_mut() {
            Self::Plain(answer) => Pin::new(answer).poll(context).map(|answered| {
                let Ok(response) = answered;
                response
            }),
            Self::Other(answer) => answer.as_mut().poll(context),
        }
    }
}

/// Whether a request comes from anyone, and nothing has to be asked or waited for before it is answered. What [`answer`] would
/// do for it is nothing, then.
fn is_plain(server: &Server, request: &Request, fields: Fields) -> bool {
    !fields.prepared && server.configuration.events.request.is_empty() && !server.has_rate(request)
}

async fn answer<F>(
    server: &Arc<Server>,
    mut request: Request,
    peer: Peer,
    next: impl FnOnce(&Arc<Server>, Request) -> F + Send,
) -> Response
where
    F: Future<Output = Result<Response, Infallible>> + Send,
{
    let prepared = prepare(server, request.method(), request.headers(), peer).await;
    if !server.configuration.events.request.is_empty() {
        request = Box::pin(tell(server, request, prepared.as_ref().ok())).await;
    }
    let identity = match prepared {
        Ok(identity) => identity,
        Err(error) => return error.into_response(),
    };
    let mut request = match server.admit_request(request, &identity.caller, peer).await {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let (verified, by_cookie) = (identity.caller.is_verified(), identity.by_cookie);
    request.extensions_mut().insert(identity);
    let Ok(mut response) = next(server, request).await;
    if by_cookie {
        // Unlike what is asked with `Authorization` (RFC 9111 §3.5), shared caches could keep it.
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
    }
    if verified { for_verified(response) } else { response }
}

/// Tells the callbacks of the program of a request.
async fn tell(server: &Arc<Server>, request: Request, identity: Option<&Identity>) -> Request {
    let (mut parts, body) = request.into_parts();
    let segments = Segments::from_request_parts(&mut parts, server).await.ok();
    server.configuration.events.request.tell(|| Requested {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        route: parts.extensions.get::<MatchedPath>().map(|route| route.as_str().to_owned()),
        protected: segments.is_some_and(|at| is_protected(server, &parts, &at)),
        caller: identity.map_or_else(Caller::anyone, |identity| identity.caller.clone()),
        peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer),
    });
    Request::from_parts(parts, body)
}

/// Whether what is asked for needs a verified caller.
fn is_protected(server: &Server, parts: &Parts, at: &Segments) -> bool {
    let method = &parts.method;
    let matched = parts.extensions.get::<MatchedPath>();
    if let Some(route) = matched.and_then(|matched| route::find(server, method.as_str(), matched.as_str())) {
        return route.access == Visibility::Protected;
    }
    let Some(model) = server.runtime.find_model(at.model()).and_then(|index| server.runtime.model(index).ok()) else {
        return false;
    };
    let called = model.operations.get(at.id()).filter(|_| *method == Method::POST);
    called.map_or(model.visibility(), |operation| operation.access) == Visibility::Protected
}

async fn prepare(server: &Server, method: &Method, headers: &HeaderMap, peer: Peer) -> Result<Identity> {
    let identity = authenticate(server, method, headers).await.map_err(|error| server.refuse(error, peer))?;
    if let Some(least) = headers.get(MIN_SEQ) {
        let least = least.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Error::new(ErrorCode::InvalidRequest).message("`Modeller-Min-Seq` is the sequence number of a commit")
        })?;
        Box::pin(wait_for(server, least)).await?;
    }
    Ok(identity)
}

/// Waits until the commit is durable here: a client that saw it on another node, or in a frame, reads what it wrote.
async fn wait_for(server: &Server, least: u64) -> Result<()> {
    let until = Instant::now() + MIN_SEQ_TIME;
    loop {
        let seq = server.runtime.durable().seq;
        if seq >= least {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(
                Error::new(ErrorCode::Timeout).message(format!("commit {least} is not known here; the last is {seq}"))
            );
        }
        // Rare enough that asking again is cheaper than to be told of every commit.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

pub(super) fn identity(extensions: &Extensions) -> Identity {
    // Whoever mounts a handler without `around` serves anyone.
    extensions.get::<Identity>().cloned().unwrap_or_else(Identity::anyone)
}

impl Context {
    fn of(extensions: &Extensions, server: Arc<Server>) -> Self {
        Self { server, caller: identity(extensions).caller, peer: Peer::carried(extensions) }
    }
}

impl FromRequestParts<Arc<Server>> for Context {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self> {
        Ok(Self::of(&parts.extensions, server.clone()))
    }
}

impl FromRequestParts<Arc<Server>> for Identity {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self> {
        Ok(identity(&parts.extensions))
    }
}

/// The segments of the path, decoded.
pub(super) struct Segments {
    /// One after the other.
    text: String,
    /// Where the id begins.
    at: usize,
}

impl FromRequestParts<Arc<Server>> for Segments {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self> {
        Self::of(parts)
    }
}

impl Segments {
    pub(super) fn new(model: &str, id: &str) -> Self {
        Self { text: [model, id].concat(), at: model.len() }
    }

    pub(super) fn model(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The id of a document or an operation; empty where the route has none.
    pub(super) fn id(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn of(parts: &mut Parts) -> Result<Self> {
        // It waits for nothing.
        let params = RawPathParams::from_request_parts(parts, &()).now_or_never();
        let params = params
            .and_then(Result::ok)
            .ok_or_else(|| Error::new(ErrorCode::InvalidRequest).message("the path is not UTF-8"))?;
        // There may be others, of a router that this one is mounted in.
        let last = |name| params.iter().filter(|(known, _)| *known == name).last().map_or("", |(_, value)| value);
        Ok(Self::new(last("model"), last("id")))
    }
}
