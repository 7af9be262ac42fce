//! One kept-alive HTTP/1.1 connection, with nothing between the caller and hyper.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use modeller::ErrorCode;
use modeller::prelude::*;
use tokio::net::TcpStream;

/// A connection to a server. Requests go one after the other.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Connects to the server at an address like `http://127.0.0.1:3030`.
    ///
    /// # Errors
    /// `INVALID_ADDRESS`, or `UNAVAILABLE` when nobody answers there.
    pub async fn open(url: &str) -> Result<Self> {
        let bad = || Error::new("INVALID_ADDRESS").message(format!("`{url}` is no address like http://127.0.0.1:3030"));
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(bad)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
        let port = authority.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((authority.host(), port)).await.map_err(|error| gone(url, &error))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| gone(url, &error))?;
        // An error of the connection is told to the request that waits for it.
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    /// Sends a request with a JSON body, empty for none, and waits for the whole answer.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the connection breaks.
    pub async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(Bytes::from(body)))
            .map_err(Error::internal)?;
        self.sender.ready().await.map_err(|error| gone("the server", &error))?;
        let answer = self.sender.send_request(request).await.map_err(|error| gone("the server", &error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| gone("the server", &error))?;
        Ok((status, body.to_bytes()))
    }
}

fn gone(whom: &str, cause: &dyn std::error::Error) -> Error {
    let cause = cause.source().map_or_else(|| cause.to_string(), ToString::to_string);
    Error::new(ErrorCode::Unavailable).message(format!("no answer from {whom}: {cause}"))
}
