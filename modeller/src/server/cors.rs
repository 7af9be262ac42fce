//! Cross-origin requests of browsers (Fetch §3.2, <https://fetch.spec.whatwg.org/#http-cors-protocol>): nothing unless origins are
//! allowed.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;

use crate::error::{Error, Result};

/// What scripts of an allowed origin may read of an answer beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "etag, location, retry-after, www-authenticate, modeller-seq, x-request-id, idempotency-key, \
     tus-resumable, tus-version, tus-extension, tus-max-size, tus-checksum-algorithm, upload-offset, upload-length, \
     upload-expires, upload-metadata",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
/// How long a browser may keep what it was told, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const PREFLIGHT: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");
/// How many bytes the names of headers may have that a script wants to send.
const MOST_BYTES: usize = 2 << 10;
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// What is wrong with an origin that the program allows.
pub(super) fn check_origin(origin: &str) -> Result<()> {
    let authority = origin.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, authority)| authority);
    let is_origin = authority.is_some_and(|it| !it.is_empty() && !it.contains(['/', '?', '#', '@', ' ']));
    let is_small = origin.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
    if origin == "*" || (is_origin && is_small) {
        return Ok(());
    }
    let text = format!("`{origin}` is no origin; `https://app.example.com` is, in lower case and without a path");
    Err(Error::new("INVALID_DECLARATION").status(500).message(text))
}

/// What a page may do that has sent a request.
pub(super) enum Page {
    /// The request comes from none, or from one that may do nothing.
    Foreign,
    /// It may read answers to what anyone may ask.
    Any,
    /// It may also act for its user.
    Allowed(HeaderValue),
}

impl Page {
    pub(super) fn of(origins: &[String], headers: &HeaderMap) -> Self {
        if origins.is_empty() {
            return Self::Foreign;
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) => {
                Self::Allowed(origin.clone())
            }
            Some(_) if origins.iter().any(|known| known == "*") => Self::Any,
            _ => Self::Foreign,
        }
    }

    /// The answer to a request that only asks whether another one may be sent.
    pub(super) fn preflight(&self, request: &Request<Body>) -> Option<Response> {
        let headers = request.headers();
        if request.method() != Method::OPTIONS || matches!(self, Self::Foreign) {
            return None;
        }
        headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        answer.insert(header::VARY, PREFLIGHT);
        if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|it| it.len() <= MOST_BYTES) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        Some(response)
    }

    /// Tells the browser what the page may do.
    pub(super) fn tell(&self, answer: &mut HeaderMap) {
        match self {
            Self::Foreign => return,
            Self::Any => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            }
            Self::Allowed(origin) => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
            }
        }
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// Says that the answer depends on where it was asked from, also where nothing was allowed (Fetch §3.2.5).
pub(super) fn vary(answer: &mut HeaderMap) {
    let known = |value: &HeaderValue| value.as_bytes().starts_with(b"origin");
    if !answer.get_all(header::VARY).iter().any(known) {
        answer.append(header::VARY, ORIGIN);
    }
}

/// The id of a request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for fine in ["https://app.example.com", "http://localhost:5173", "app://x", "*"] {
            assert!(check_origin(fine).is_ok(), "{fine}");
        }
        for wrong in
            ["", "example.com", "https://", "https://a.b/", "https://A.b", "https://u@a.b", "https://a.b c", "://a"]
        {
            assert!(check_origin(wrong).is_err(), "{wrong}");
        }
    }
}
