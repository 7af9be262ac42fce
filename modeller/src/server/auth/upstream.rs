//! Requests that the server makes itself: to providers of logins, and for the keys of those who sign tokens.
//!
//! They go to addresses that the program named, or that a provider named by the program answers with; never to one from a token,
//! a document or a request. What comes back is not trusted either: an answer is JSON, is of bounded size, comes in bounded time,
//! and a redirect is not followed (OWASP API10:2023).

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::error::Result;
use crate::server::dial::{Dial, Stream};
use crate::server::limits::Gate;

/// How many bytes an answer has at most.
const MOST_BYTES: usize = 1 << 20;
/// How many bytes its header has at most.
const HEADER_BYTES: usize = 64 << 10;
/// How long an answer takes at most, from the name of the host to the last byte.
const MOST_TIME: Duration = Duration::from_secs(10);
/// How many requests are under way at once; others wait for their turn, within their time.
const AT_ONCE: usize = 64;

/// What was wrong. It is for the log, and not for whoever sent the token or the code.
#[derive(Debug, PartialEq)]
pub(super) struct Fault(Cow<'static, str>);

impl Fault {
    pub(super) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }

    /// The same with where it was.
    pub(super) fn at(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0).into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a request goes to: `https`, or `http` on this machine.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Without brackets.
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: HeaderValue,
    path: PathAndQuery,
    is_secure: bool,
}

impl Address {
    /// Reads a URL that was configured, or that came from one that was.
    pub(super) fn parse(url: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| {
            let shown: String = url.chars().take(256).collect();
            Fault::new(format!("`{}` {what}", shown.escape_debug()))
        };
        // `Uri` would leave a fragment out without a word.
        let uri: Uri = match url.contains('#') {
            true => return Err(wrong("has a fragment")),
            false => url.parse().map_err(|_| wrong("is no URL"))?,
        };
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(wrong("is no URL")) };
        if authority.as_str().contains('@') {
            return Err(wrong("has a user in it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        let is_secure = scheme == Scheme::HTTPS;
        let is_here = scheme == Scheme::HTTP && is_loopback(&host);
        if !(is_secure || is_here) {
            return Err(wrong("is not https; http is for this machine alone"));
        }
        Ok(Self {
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|_| wrong("is no URL"))?,
            path: parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")),
            host,
            is_secure,
        })
    }

    /// Whether nobody on the way can read or change what is sent.
    pub(super) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Whether there is a query.
    pub(super) fn has_query(&self) -> bool {
        self.path.query().is_some()
    }
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Makes the requests.
pub(super) struct Upstream {
    dial: Dial,
    calls: Gate,
}

impl Upstream {
    /// One that trusts what browsers trust, and these certificates in PEM.
    pub(super) fn new(roots: &[Vec<u8>]) -> Result<Self> {
        Ok(Self { dial: Dial::new(roots)?, calls: Gate::new(AT_ONCE) })
    }

    /// What is there.
    pub(super) async fn get(&self, address: &Address, authorization: Option<HeaderValue>) -> Result<Value, Fault> {
        self.send(address, Method::GET, String::new(), authorization).await
    }

    /// What is answered to a form.
    pub(super) async fn post(
        &self,
        address: &Address,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<Value, Fault> {
        self.send(address, Method::POST, form, authorization).await
    }

    async fn send(
        &self,
        address: &Address,
        method: Method,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<Value, Fault> {
        let mut request = Request::new(Body::empty());
        let headers = request.headers_mut();
        headers.insert(header::HOST, address.authority.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("modeller/", env!("CARGO_PKG_VERSION"))));
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            *request.body_mut() = Body::from(form);
        }
        *request.method_mut() = method;
        *request.uri_mut() = address.path.clone().into();
        let answered = async {
            let _counted = self.calls.enter().await;
            self.answer(address, request).await
        };
        tokio::time::timeout(MOST_TIME, answered).await.map_err(|_| Fault::new("there was no answer in time"))?
    }

    async fn answer(&self, address: &Address, request: Request<Body>) -> Result<Value, Fault> {
        let io = TokioIo::new(self.connect(address).await?);
        let broken = |cause: hyper::Error| Fault::new(format!("no answer: {cause}"));
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEADER_BYTES).handshake(io).await.map_err(broken)?;
        // It ends with this request, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(is_json);
        if head.status != StatusCode::OK && !(head.status.is_client_error() && is_json) {
            return Err(Fault::new(format!("the status of the answer is {}", head.status.as_u16())));
        }
        if !is_json {
            return Err(Fault::new("the answer is not JSON by its type"));
        }
        let bytes = Limited::new(body, MOST_BYTES).collect().await;
        let bytes = bytes.map_err(|cause| Fault::new(format!("the answer breaks off: {cause}")))?.to_bytes();
        let json = serde_json::from_slice(&bytes).map_err(|_| Fault::new("the answer is not JSON"));
        if head.status == StatusCode::OK {
            return json;
        }
        // RFC 6749 §5.2: a word that says why, of a few signs.
        let json = json.unwrap_or_default();
        let why =
            json.get("error").and_then(Value::as_str).filter(|why| why.bytes().all(|sign| sign.is_ascii_graphic()));
        let why: String = why.unwrap_or("no reason").chars().take(64).collect();
        Err(Fault::new(format!("the status of the answer is {}, {why}", head.status.as_u16())))
    }

    async fn connect(&self, address: &Address) -> Result<Box<dyn Stream>, Fault> {
        let cannot = |cause: std::io::Error| Fault::new(format!("cannot connect to {}: {cause}", address.host));
        self.dial.connect(&address.host, address.port, address.is_secure).await.map_err(cannot)
    }
}

/// `application/json`, or what is JSON by its suffix (RFC 6839 §3.1), as `application/jwk-set+json`.
fn is_json(kind: &HeaderValue) -> bool {
    let Ok(kind) = kind.to_str() else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Appends a pair to a form or a query, in the encoding of `application/x-www-form-urlencoded`.
pub(super) fn push_pair(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(&encoded(name));
    form.push('=');
    form.push_str(&encoded(value));
}

/// With everything but the unreserved signs (RFC 3986 §2.3) as `%XX`.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_of_this_machine() {
        for good in [
            "https://accounts.example.com",
            "https://accounts.example.com:8443/a/b?c=d",
            "http://localhost:4000/x",
            "http://127.0.0.1:4000",
            "http://127.9.9.9",
            "http://[::1]:4000/",
        ] {
            Address::parse(good).unwrap();
        }
        for bad in [
            "",
            "/x",
            "accounts.example.com",
            "http://accounts.example.com",
            "http://10.0.0.1/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "https://user@example.com/",
            "https://example.com/#x",
            "ftp://localhost/",
            "file:///etc/passwd",
            "https://",
            "https://exa mple.com/",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_is_known_by_its_type() {
        let is = |kind: &str| is_json(&HeaderValue::from_str(kind).unwrap());
        assert!(is("application/json") && is("Application/JSON; charset=utf-8") && is("application/jwk-set+json"));
        assert!(!is("text/html") && !is("application/jwt") && !is("text/json") && !is("application/jsonp") && !is(""));
    }

    #[test]
    fn pairs_are_encoded() {
        let mut form = String::new();
        push_pair(&mut form, "a", "b c&d=ä");
        push_pair(&mut form, "e", "");
        assert_eq!(form, "a=b%20c%26d%3D%C3%A4&e=");
    }
}
