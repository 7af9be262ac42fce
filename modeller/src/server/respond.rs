//! Answers: documents as bytes, errors as problem bodies, and the headers that all of them carry.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use super::call::Written;
use crate::core::document::DynDoc;
use crate::core::private::Audience;
use crate::error::{Error, ErrorCode, Result};

/// The durable head that the answer saw.
pub(super) const SEQ: HeaderName = HeaderName::from_static("modeller-seq");
/// The commit that the answer has to have seen.
pub(super) const MIN_SEQ: HeaderName = HeaderName::from_static("modeller-min-seq");

/// How many headers most answers have, with those that all of them carry. Room for more is more than twice as large.
const HEADERS: usize = 6;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// JSON text as an answer.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    json_with(status, body, HEADERS)
}

fn json_with(status: StatusCode, body: impl Into<Body>, headers: usize) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().reserve(headers);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A document as an answer, with its revision as the `ETag`.
pub(super) fn document(status: StatusCode, doc: &DynDoc, audience: Audience) -> Result<Response> {
    written(status, &Written::whole(doc.clone()), audience)
}

/// What a write has made as an answer: of what the one who wrote it may not read no more than that it is there.
pub(super) fn written(status: StatusCode, written: &Written, audience: Audience) -> Result<Response> {
    let mut body = Vec::with_capacity(256);
    written.write_for(audience, &mut body)?;
    // What is new says where it is as well.
    let mut response = json_with(status, body, HEADERS + usize::from(status == StatusCode::CREATED));
    tag(&mut response, written.doc.rev());
    Ok(response)
}

/// Gives an answer a revision as its `ETag`.
pub(super) fn tag(response: &mut Response, rev: u64) {
    if let Ok(tag) = HeaderValue::try_from(["\"", itoa::Buffer::new().format(rev), "\""].concat()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// A number as the value of a header. That of the library allocates twice.
pub(super) fn number(number: u64) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or_else(|_| number.into())
}

/// The error as the outside may see it. What is not the caller's fault is logged with its cause, and an internal one is shown
/// as no more than the id that it was logged under.
pub(super) fn public(error: Error) -> Error {
    if error.http_status() < 500 {
        return error;
    }
    let id = Uuid::now_v7().to_string();
    if *error.code() == ErrorCode::Internal {
        tracing::error!(%id, error = %error.for_log_with_causes(), "internal error");
        return Error::new(ErrorCode::Internal).message("internal error").detail("id", id);
    }
    if std::error::Error::source(&error).is_some() {
        tracing::error!(%id, error = %error.for_log_with_causes(), "request failed");
        return error.detail("id", id);
    }
    error
}

/// The problem body of an error that is already [`public`].
fn problem(error: &Error) -> Response {
    let body = error.to_json_text();
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM);
    match error.code() {
        // RFC 9110 §15.5.2 and RFC 6750 §3.
        ErrorCode::Unauthenticated => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // RFC 6585 §4.
        ErrorCode::RateLimited => {
            let seconds = error.get("retryAfter").and_then(Value::as_u64).unwrap_or(1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        ErrorCode::Unavailable => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// The answer of a problem that was made for a session.
pub(super) fn problem_response(problem: &Value) -> Response {
    let status = problem.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), problem.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROBLEM);
    // As in `problem`.
    if status == Some(StatusCode::UNAUTHORIZED) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = problem.get("retryAfter").and_then(Value::as_u64) {
        headers.insert(header::RETRY_AFTER, seconds.into());
    } else if status == Some(StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The error of an answer that anyone may know a part of only, for the one who may know all of it.
#[derive(Clone)]
struct Whole(Arc<Error>);

/// The answer as a verified caller may see it.
pub(super) fn for_verified(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Whole>() {
        None => response,
        Some(Whole(error)) => problem(&error),
    }
}

/// An error of a handler, also of a route that the program adds, is answered as `application/problem+json` (RFC 9457).
///
/// ```
/// use axum::response::IntoResponse;
/// let response = modeller::Error::new("QUOTA_EXCEEDED").status(402).into_response();
/// assert_eq!(response.status(), 402);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let error = public(self);
        match error.for_anyone() {
            None => problem(&error),
            Some(known) => {
                let mut response = problem(&known);
                response.extensions_mut().insert(Whole(Arc::new(error)));
                response
            }
        }
    }
}

/// The same error as the `data` of an answer on a socket.
pub(super) fn problem_value(error: Error, audience: Audience) -> (String, Value) {
    let error = public(error);
    let error = error.for_anyone().filter(|_| audience == Audience::Anyone).unwrap_or(error);
    (error.text().to_owned(), error.to_json())
}
