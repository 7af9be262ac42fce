//! Requests to one server: connections that are kept, answers of bounded size, in bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::error::{Error, ErrorCode, Result};

/// How many bytes an answer has at most.
const MOST_BYTES: usize = 256 << 20;
/// How many bytes the header of an answer has at most.
const HEADER_BYTES: usize = 64 << 10;
/// How many requests are under way at once; others wait.
const CONNECTIONS: usize = 32;
/// A connection that was idle for so long is not used again: the server may be closing it.
const IDLE: Duration = Duration::from_secs(20);
/// How long it takes to connect at most.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long an answer takes at most, from the first byte of the request.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Without brackets.
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: HeaderValue,
    /// What stands before all paths, where the application is not at the root; without a slash at the end.
    prefix: String,
    is_secure: bool,
}

impl Origin {
    /// Reads the URL of an application.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let shown: String = url.chars().take(128).collect();
            Error::new(ErrorCode::InvalidRequest).message(format!("`{shown}` {what}"))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("is no URL"));
        };
        let is_secure = match scheme {
            "http" => false,
            "https" if cfg!(feature = "client-tls") => true,
            "https" => return Err(wrong("is https, which is the feature `client-tls`")),
            _ => return Err(wrong("is not http or https")),
        };
        if authority.as_str().contains('@') || uri.query().is_some() || url.contains('#') {
            return Err(wrong("has more than a host and a path in it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|_| wrong("is no URL"))?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            is_secure,
        })
    }

    /// The URL of a socket at this path.
    pub(super) fn socket(&self, path: &str) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}{path}", self.authority.to_str().unwrap_or_default(), self.prefix)
    }
}

/// A connection, whatever is below it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A request, which can be sent again.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// With its query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With a body of JSON.
    pub(super) fn json(mut self, body: Vec<u8>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.into();
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The request has not been sent.
    Unsent(Error),
    /// What became of it is not known.
    Cut(Error),
}

impl Broken {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Unsent(error) | Self::Cut(error) => error,
        }
    }
}

/// An error of the way to the server.
pub(super) fn unreachable(what: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorCode::Unavailable).message(what.to_owned()).caused_by(cause)
}

/// The connections to one server.
pub(super) struct Transport {
    pub(super) origin: Origin,
    idle: Mutex<Vec<(SendRequest<Full<Bytes>>, Instant)>>,
    turns: Semaphore,
    #[cfg(feature = "client-tls")]
    tls: tokio_rustls::TlsConnector,
}

impl Transport {
    pub(super) fn new(origin: Origin) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            origin,
            idle: Mutex::default(),
            turns: Semaphore::new(CONNECTIONS),
            #[cfg(feature = "client-tls")]
            tls: tls()?,
        }))
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>> {
        let connect = async {
            let stream = TcpStream::connect((self.origin.host.as_str(), self.origin.port)).await?;
            stream.set_nodelay(true)?;
            self.secured(stream).await
        };
        match tokio::time::timeout(CONNECT_TIME, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(cause)) => Err(unreachable("the server cannot be reached", cause)),
            Err(cause) => Err(unreachable("the server does not answer", cause)),
        }
    }

    #[cfg(feature = "client-tls")]
    async fn secured(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        if !self.origin.is_secure {
            return Ok(Box::new(stream));
        }
        let name = rustls::pki_types::ServerName::try_from(self.origin.host.clone()).map_err(std::io::Error::other)?;
        Ok(Box::new(self.tls.connect(name, stream).await?))
    }

    #[cfg(not(feature = "client-tls"))]
    async fn secured(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        Ok(Box::new(stream))
    }

    /// Sends a request once, and waits for its answer.
    pub(super) async fn send(&self, asked: &Asked, token: Option<&HeaderValue>) -> Result<Answer, Broken> {
        let cannot = |cause: tokio::sync::AcquireError| Broken::Unsent(Error::internal(cause));
        let _turn = self.turns.acquire().await.map_err(cannot)?;
        let mut sender = self.sender().await?;
        let request = self.request(asked, token).map_err(Broken::Unsent)?;
        let answered = async {
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut refused) => {
                    // What is given back was not sent.
                    let unsent = refused.take_message().is_some();
                    let error = unreachable("the connection to the server broke", refused.into_error());
                    return Err(if unsent { Broken::Unsent(error) } else { Broken::Cut(error) });
                }
            };
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|cause| Broken::Cut(unreachable("the answer of the server broke off", cause)))?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        let late = |cause| Broken::Cut(unreachable("the server does not answer", cause));
        let answer = tokio::time::timeout(ANSWER_TIME, answered).await.map_err(late)??;
        self.keep(sender);
        Ok(answer)
    }

    fn request(&self, asked: &Asked, token: Option<&HeaderValue>) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(asked.body.clone()));
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = format!("{}{}", self.origin.prefix, asked.path).parse().map_err(Error::internal)?;
        let headers = request.headers_mut();
        headers.clone_from(&asked.headers);
        headers.insert(header::HOST, self.origin.authority.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("modeller/", env!("CARGO_PKG_VERSION"))));
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        Ok(request)
    }

    /// A connection that is idle, or a new one.
    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, Broken> {
        loop {
            let Some((mut sender, since)) = self.idle.lock().pop() else { break };
            if since.elapsed() < IDLE && !sender.is_closed() && sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = self.connect().await.map_err(Broken::Unsent)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|cause| Broken::Unsent(unreachable("the server cannot be reached", cause)))?;
        // It ends when its sender is dropped.
        tokio::spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "a connection to the server ended");
            }
        });
        Ok(sender)
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock();
        idle.retain(|(sender, since)| since.elapsed() < IDLE && !sender.is_closed());
        if !sender.is_closed() && idle.len() < CONNECTIONS {
            idle.push((sender, Instant::now()));
        }
    }
}

/// Trusts what browsers trust.
#[cfg(feature = "client-tls")]
fn tls() -> Result<tokio_rustls::TlsConnector> {
    let trusted = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // Named, so that it does not matter which other ones are built into the program.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)))
}

/// A text as one segment of a path or as a value of a query (RFC 3986 §2.1).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let origin = Origin::parse("http://Example.com:8080/api/").unwrap();
        assert_eq!((origin.host.as_str(), origin.port, origin.prefix.as_str()), ("example.com", 8080, "/api"));
        assert_eq!(origin.socket("/@socket"), "ws://Example.com:8080/api/@socket");
        assert_eq!(Origin::parse("http://[::1]").unwrap().host, "::1");
        for wrong in ["", "example.com", "ftp://a", "http://a@b", "http://a/?b", "http://a/#b", "http://"] {
            assert_eq!(Origin::parse(wrong).unwrap_err().code(), &ErrorCode::InvalidRequest, "{wrong}");
        }
        assert_eq!(Origin::parse("https://a").is_ok(), cfg!(feature = "client-tls"));
    }

    #[test]
    fn what_is_not_plain_is_encoded() {
        assert_eq!(encoded("@a-b_c.~9"), "@a-b_c.~9");
        assert_eq!(encoded("{\"é\": 1}&+"), "%7B%22%C3%A9%22%3A%201%7D%26%2B");
    }
}
