//! A client of the socket, by hand.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, IntoClientRequest};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// In every private field; it must not come back in any frame.
pub const CANARY: &str = "correct-horse-battery-canary";

/// A client of the socket, one that does nothing behind the test's back.
#[derive(Debug)]
pub struct Socket {
    /// The connection.
    pub inner: WebSocketStream<TcpStream>,
    next: u64,
}

impl Socket {
    /// Connects, with a token if there is one.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn open(addr: SocketAddr, token: Option<&str>) -> Self {
        let mut request = ClientRequestBuilder::new(format!("ws://{addr}/@socket").parse().unwrap());
        if let Some(token) = token {
            request = request.with_header("authorization", format!("Bearer {token}"));
        }
        Self::open_by(addr, request).await
    }

    /// Connects by this request.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn open_by(addr: SocketAddr, request: ClientRequestBuilder) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (inner, _) = tokio_tungstenite::client_async(request.into_client_request().unwrap(), stream).await.unwrap();
        Self { inner, next: 0 }
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.inner.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends a request, and answers its id.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn request(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        self.send_text(json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params}).to_string())
            .await;
        self.next
    }

    /// The next text frame; `Err` is the code of a goodbye, 0 for an end without one.
    ///
    /// # Errors
    /// The code of a goodbye.
    ///
    /// # Panics
    /// When none comes, and when something private is in it.
    pub async fn frame(&mut self) -> Result<Value, u16> {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(20), self.inner.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    assert!(!text.contains(CANARY), "private: {text}");
                    return Ok(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err(CloseCode::into(frame.code)),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(0),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Asks and takes the next frame, which has to be the answer.
    ///
    /// # Panics
    /// When it is not.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        let answer = self.frame().await.unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }
}
