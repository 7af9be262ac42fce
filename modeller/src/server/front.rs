//! The requests that most of all are, answered without a look at the table of routes.
//!
//! To list and to insert documents, to read one, and to call a method: what these are is told by the method and the segments of the
//! path alone. The table has a place for every route that a program may have, and takes a request apart for each of them; it
//! answers the same, and everything else.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::{Either, Map};
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::service::Service as _;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};

use super::Server;
use super::call::Context;
use super::carrier::line::Line;
use super::network::Peer;
use super::rest;
use super::router::{Answer, Segments, around, identity, mount, table};
use super::surround::{RouteName, Surrounded};
use crate::error::Result;

/// What is known here.
#[derive(Clone, Copy)]
enum Known {
    List,
    Insert,
    Read,
    Call,
}

/// What a request is asked for, when it is known.
struct Asked {
    known: Known,
    at: Segments,
}

/// All routes.
#[derive(Clone)]
pub(super) struct Front {
    server: Arc<Server>,
    table: TowerToHyperService<Router>,
    /// Where paths begin that are not those of a model; `None` where everything is for the table.
    taken: Option<Arc<BTreeSet<String>>>,
}

type Answered = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;
type Whole<F> = Map<Surrounded<Answer<F>>, fn(Response) -> Result<Response, Infallible>>;

impl Front {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let configuration = &server.configuration;
        let own = server.runtime.routes().iter().map(|route| &*route.path);
        // What counts requests, or tells the program of them, goes by the route of the table.
        let is_simple = configuration.edge.prefix.is_empty()
            && configuration.events.request.is_empty()
            && !server.has_rates()
            && own.clone().all(|path| !path.starts_with("/{"));
        let table = table(&server);
        let taken = is_simple.then(|| {
            // No model begins as these do.
            let is_told_apart = |path: &&str| ["/{", "/@"].iter().any(|begin| path.starts_with(begin));
            let paths = table.paths().iter().map(String::as_str).filter(|path| !is_told_apart(path));
            Arc::new(paths.map(|path| first_segment(path).to_owned()).collect())
        });
        Self { table: TowerToHyperService::new(mount(server.clone(), table)), taken, server }
    }

    /// Answers a request of a connection with that other end; one for another protocol may go on with its line.
    pub(super) fn call(
        &self,
        mut request: Request<Incoming>,
        end: SocketAddr,
        line: Option<&Weak<Line>>,
    ) -> Either<Whole<Answered>, TowerToHyperServiceFuture<Router, Request<Incoming>>> {
        let Some(Asked { known, at }) = self.asked(&request) else {
            request.extensions_mut().insert(ConnectInfo(end));
            if let Some(line) = line
                && request.headers().contains_key(UPGRADE)
            {
                request.extensions_mut().insert(line.clone());
            }
            return Either::Right(self.table.call(request));
        };
        let route = match known {
            Known::List | Known::Insert => "/{model}",
            Known::Read | Known::Call => "/{model}/{id}",
        };
        let peer = Peer::of(end, request.headers(), &self.server.configuration.edge.trusted_proxies);
        let answer = move |server: &Arc<Server>, request: Request<Body>| {
            let context = Context { server: server.clone(), caller: identity(request.extensions()).caller, peer };
            handle(context, known, at, request)
        };
        let answered = around(&self.server, request.map(Body::new), peer, Some(RouteName::Known(route)), answer);
        Either::Left(answered.map(Ok))
    }

    fn asked(&self, request: &Request<Incoming>) -> Option<Asked> {
        let taken = self.taken.as_ref()?;
        let path = request.uri().path().strip_prefix('/')?;
        let end = path.bytes().position(|byte| byte == b'/').unwrap_or(path.len());
        let (model, id) = (path.get(..end)?, path.get(end + 1..).unwrap_or_default());
        let known = match (request.method(), path.len() > model.len()) {
            (&Method::GET, false) => Known::List,
            (&Method::POST, false) => Known::Insert,
            (&Method::GET, true) => Known::Read,
            (&Method::POST, true) => Known::Call,
            _ => return None,
        };
        let is_plain = |segment: &str| {
            let is_other = |byte| matches!(byte, b'/' | b'%');
            !segment.is_empty() && !segment.starts_with('@') && !segment.bytes().any(is_other)
        };
        let is_whole = is_plain(model) && (path.len() == model.len() || is_plain(id)) && !taken.contains(model);
        is_whole.then(|| Asked { known, at: Segments::new(model, id) })
    }
}

fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn handle(context: Context, known: Known, at: Segments, request: Request<Body>) -> Answered {
    // Of each as it is, so that none is as large as the largest.
    match known {
        Known::List => boxed(rest::list(context, at, request)),
        Known::Insert => boxed(rest::insert(context, at, request)),
        Known::Read => boxed(rest::read(context, at, request)),
        Known::Call => boxed(rest::call(context, at, request)),
    }
}

fn boxed(answer: impl Future<Output = Result<Response>> + Send + 'static) -> Answered {
    Box::pin(answer.map(|answer| Ok(answer.into_response())))
}
