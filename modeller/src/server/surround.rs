//! What surrounds every request: its id, what it may not exceed, and what every answer carries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, OriginalUri, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, Sleep, sleep};
use uuid::Uuid;

use super::cors::{self, Page, REQUEST_ID};
use super::limits::Limits;
use super::patience::answered_at;
use super::respond::{MIN_SEQ, SEQ, number};
use super::{Server, compress};
use crate::core::id::RawId;
use crate::error::{Error, ErrorCode, Result};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const REQUEST_ID_OF_THE_DRAFT: HeaderName = HeaderName::from_static("request-id");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// What is only read by `GET`: another route may do what has to be done to its end.
const READ: &[&str] = &[
    "/{model}",
    "/{model}/{id}",
    "/{model}/@trash",
    "/{model}/@live",
    "/@metadata",
    "/@openapi.json",
    "/@client.ts",
    "/@health",
    "/@ready",
    "/@metrics",
];
/// How long an id may be that a client gives to its request.
const MOST_ID: usize = 128;

/// Answers a request by `inner`, within all that surrounds it.
#[inline]
pub(super) fn surround<F>(
    server: Arc<Server>,
    request: Request,
    route: Option<RouteName>,
    inner: impl FnOnce(&Arc<Server>, Request, Fields) -> F,
) -> Surrounded<F>
where
    F: Future<Output = Response> + Unpin,
{
    let begun = Instant::now();
    let configuration = &server.configuration;
    let fields = Fields::of(request.headers());
    let id = id_of(request.headers(), fields);
    let asked = Asked::of(&server, &request, fields, route, id);
    let span = asked.span();
    #[cfg(feature = "otel")]
    let span = super::otel::continued(span, super::otel::parent(request.headers()));
    let stage = match asked.page.preflight(&request) {
        Some(response) => Stage::Refused(Some(response)),
        None => match check_head(&configuration.limits, &request, fields) {
            Err(error) => Stage::Refused(Some(error.into_response())),
            Ok(()) => {
                let _entered = span.enter();
                Stage::Asked(inner(&server, request, fields))
            }
        },
    };
    Surrounded { server, begun, asked, span, stage, timer: None }
}

/// Which of the fields of a header are there that most requests do not have, so that nobody looks for those that are not.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields {
    /// Of all names and values. A token has a length of its own that it is refused for, as any other that does not hold.
    bytes: usize,
    id: bool,
    /// Who asks, or for what the answer has to wait.
    pub(super) prepared: bool,
    takes_coded: bool,
    revalidates: bool,
}

impl Fields {
    fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            if name != header::AUTHORIZATION {
                fields.bytes += name.as_str().len() + value.len();
            }
            fields.id |= name == REQUEST_ID || name == REQUEST_ID_OF_THE_DRAFT;
            fields.prepared |= [header::AUTHORIZATION, header::COOKIE, MIN_SEQ].contains(name);
            fields.takes_coded |= name == header::ACCEPT_ENCODING;
            fields.revalidates |= name == header::IF_NONE_MATCH;
        }
        fields
    }
}

/// A request that is being answered. Written by hand, because an `async` function has a place for each step of what it is given,
/// and this is made, moved and dropped for each request.
pub(super) struct Surrounded<F> {
    server: Arc<Server>,
    begun: Instant,
    asked: Asked,
    span: tracing::Span,
    stage: Stage<F>,
    /// Set for what only reads, when that cannot be answered at once.
    timer: Option<Pin<Box<Sleep>>>,
}

enum Stage<F> {
    Refused(Option<Response>),
    Asked(F),
    Compressing(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl<F: Future<Output = Response> + Unpin> Future for Surrounded<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = self.get_mut();
        let answered = match &mut this.stage {
            Stage::Refused(response) => response.take().unwrap_or_default(),
            Stage::Compressing(compressing) => {
                let response = ready!(compressing.as_mut().poll(context));
                return Poll::Ready(this.end(response));
            }
            Stage::Asked(answer) => {
                let entered = this.span.enter();
                let polled = Pin::new(answer).poll(context);
                drop(entered);
                match polled {
                    Poll::Ready(response) => response,
                    Poll::Pending => ready!(this.late(context)),
                }
            }
        };
        let response = this.asked.revalidated(answered);
        if this.server.configuration.edge.compresses && compress::is_worth_it(&response) {
            let mut compressing = Box::pin(compress::compressed(response, this.asked.takes_gzip));
            if let Poll::Ready(response) = compressing.as_mut().poll(context) {
                return Poll::Ready(this.end(response));
            }
            this.stage = Stage::Compressing(compressing);
            return Poll::Pending;
        }
        Poll::Ready(this.end(response))
    }
}

impl<F> Surrounded<F> {
    /// The answer to what takes too long. Nothing is lost by giving up on what only reads.
    fn late(&mut self, context: &mut Context<'_>) -> Poll<Response> {
        if !self.asked.reads {
            return Poll::Pending;
        }
        let time = self.server.configuration.limits.request_time;
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(context));
        let text = format!("the request took more than {} seconds", time.as_secs_f32());
        self.stage = Stage::Refused(None);
        Poll::Ready(Error::new(ErrorCode::Timeout).message(text).into_response())
    }

    /// The answer with what all carry, once it is counted.
    fn end(&mut self, response: Response) -> Response {
        let response = self.asked.finish(&self.server, response);
        let status = response.status();
        if !self.span.is_disabled() {
            self.span.record("http.response.status_code", status.as_u16());
            if status.is_server_error() {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        let route = self.asked.route.as_ref().map_or("", RouteName::as_str);
        let took = answered_at().saturating_duration_since(self.begun);
        self.server.metrics.request(&self.asked.method, route, status, took);
        response
    }
}

/// The span of a request on a socket, by what it asks for.
pub(super) fn span_on_socket(method: &'static str) -> tracing::Span {
    tracing::info_span!(
        target: "modeller::request",
        parent: None,
        "request",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "jsonrpc",
        rpc.method = method,
    )
}

/// The pattern of the path that was asked for.
pub(super) enum RouteName {
    /// By the table of routes.
    Matched(MatchedPath),
    /// Without a look at it.
    Known(&'static str),
}

impl RouteName {
    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Known(path) => path,
        }
    }
}

/// What an answer depends on beside what it says.
struct Asked {
    id: HeaderValue,
    method: Method,
    route: Option<RouteName>,
    page: Page,
    /// Whether it changes nothing.
    reads: bool,
    takes_gzip: bool,
    if_none_match: Option<HeaderValue>,
    /// What stands in front of our paths, where the client sees it.
    prefix: Option<String>,
}

impl Asked {
    fn of(server: &Server, request: &Request, fields: Fields, route: Option<RouteName>, id: HeaderValue) -> Self {
        let (headers, method) = (request.headers(), request.method());
        let configuration = &server.configuration;
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let ends =
            |ends: &[&str]| route.as_ref().is_some_and(|route| ends.iter().any(|end| route.as_str().ends_with(end)));
        Self {
            id,
            method: method.clone(),
            page: Page::of(&configuration.origins, headers),
            reads: ends(&["/{model}/@query"]) || (is_read && ends(READ)),
            takes_gzip: configuration.edge.compresses && fields.takes_coded && compress::is_taken(headers),
            if_none_match: (is_read && fields.revalidates)
                .then(|| headers.get(header::IF_NONE_MATCH).cloned())
                .flatten(),
            prefix: (!is_read).then(|| prefix(&configuration.edge.prefix, request)).flatten(),
            route,
        }
    }

    /// Of the path the pattern alone, and nothing of the query string: what a client writes there is nobody else's business.
    fn span(&self) -> tracing::Span {
        let span = tracing::info_span!(
            target: "modeller::request",
            "request",
            otel.name = tracing::field::Empty,
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            http.request.method = %self.method,
            http.route = self.route.as_ref().map(RouteName::as_str),
            http.response.status_code = tracing::field::Empty,
            request_id = self.id.to_str().unwrap_or_default(),
        );
        if !span.is_disabled() {
            let route = self.route.as_ref().map(RouteName::as_str).unwrap_or_default();
            span.record("otel.name", format!("{} {route}", self.method).trim_end());
        }
        span
    }

    /// The answer, unless the client has it.
    fn revalidated(&self, response: Response) -> Response {
        match &self.if_none_match {
            Some(known) if response.status() == StatusCode::OK && is_known(known, response.headers()) => {
                unmodified(response)
            }
            _ => response,
        }
    }

    fn finish(&mut self, server: &Server, mut response: Response) -> Response {
        let status = response.status();
        let headers = response.headers_mut();
        if status == StatusCode::CREATED
            && let (Some(prefix), Some(location)) = (&self.prefix, headers.get_mut(header::LOCATION))
            && location.as_bytes().starts_with(b"/")
            && let Ok(text) = location.to_str()
            && let Ok(whole) = HeaderValue::try_from(format!("{prefix}{text}"))
        {
            *location = whole;
        }
        // What a server answers is no business of a cache, unless it is said: rights and documents change.
        headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
        headers.insert(SEQ, number(server.runtime.log().shown_seq()));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(REQUEST_ID, std::mem::replace(&mut self.id, NO_STORE));
        if !server.configuration.origins.is_empty() {
            cors::vary(headers);
            self.page.tell(headers);
        }
        response
    }
}

/// What stands in front of our paths in what the client asked for.
fn prefix(own: &str, request: &Request) -> Option<String> {
    let outer = request.extensions().get::<OriginalUri>();
    let outer = outer.and_then(|outer| outer.path().strip_suffix(request.uri().path())).unwrap_or_default();
    (!own.is_empty() || !outer.is_empty()).then(|| format!("{outer}{own}"))
}

/// The id that the client gave to its request, where it is one; else a new one.
fn id_of(headers: &HeaderMap, fields: Fields) -> HeaderValue {
    let is_fine = |value: &&HeaderValue| {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        (1..=MOST_ID).contains(&value.len()) && value.as_bytes().iter().all(allowed)
    };
    let given = || headers.get(REQUEST_ID).or_else(|| headers.get(REQUEST_ID_OF_THE_DRAFT)).filter(is_fine);
    let made = || {
        let mut buffer = Uuid::encode_buffer();
        let text = RawId::fresh_uuid().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    };
    fields.id.then(given).flatten().cloned().unwrap_or_else(made)
}

/// Refuses a request for the size of what stands before its body.
fn check_head(limits: &Limits, request: &Request, fields: Fields) -> Result<()> {
    let url = request.uri().path_and_query().map_or(0, |all| all.as_str().len());
    if url > limits.url {
        return Err(too_large(
            StatusCode::URI_TOO_LONG,
            format!("path and query string have more than {} bytes", limits.url),
        ));
    }
    if request.headers().len() > limits.header_fields {
        let text = format!("the header has more than {} fields", limits.header_fields);
        return Err(too_large(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
    }
    if fields.bytes > limits.header_bytes {
        let text = format!("the header has more than {} bytes", limits.header_bytes);
        return Err(too_large(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
    }
    Ok(())
}

fn too_large(status: StatusCode, text: String) -> Error {
    Error::new(ErrorCode::PayloadTooLarge).message(text).status(status.as_u16())
}

/// Whether the client knows what it would be sent (RFC 9110 §13.1.2, with the weak comparison of §8.8.3.2).
fn is_known(if_none_match: &HeaderValue, answer: &HeaderMap) -> bool {
    let opaque = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let tag = answer.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(opaque);
    let (Some(tag), Ok(known)) = (tag, if_none_match.to_str()) else { return false };
    known.trim() == "*" || known.split(',').any(|known| opaque(known) == tag)
}

/// The same without what the client knows (RFC 9110 §15.4.5).
fn unmodified(mut response: Response) -> Response {
    if let Some(bytes) = response.body().size_hint().exact() {
        // As it would have been, and not that of the body that is not there.
        response.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
    }
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Body::empty();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests() {
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(text).unwrap())]);
            id_of(&headers, Fields::of(&headers)).to_str().unwrap().to_owned()
        };
        assert_eq!(of("req-1/a.b:c"), "req-1/a.b:c");
        for wrong in ["", "a b", "a\"b", "<x>", &"x".repeat(129), "é"] {
            assert_eq!(of(wrong).len(), 32, "{wrong}");
        }
        let none = HeaderMap::new();
        assert_ne!(id_of(&none, Fields::of(&none)), id_of(&none, Fields::of(&none)));
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let knows = |known: &'static str| {
            let answer = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"7\""))]);
            is_known(&HeaderValue::from_static(known), &answer)
        };
        assert!(knows("\"7\"") && knows("W/\"7\"") && knows("\"1\", \"7\"") && knows("*"));
        assert!(!knows("\"8\"") && !knows("7") && !knows(""));
        assert!(!is_known(&HeaderValue::from_static("*"), &HeaderMap::new()));
    }
}
