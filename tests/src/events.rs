//! Server-sent events, by hand: tests want to know exactly what goes over the wire.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client that reads the chunks of an HTTP/1.1 answer, and the events in them.
#[derive(Debug)]
pub struct Events {
    stream: TcpStream,
    /// The head of the answer, in lower case.
    pub head: String,
    bytes: Vec<u8>,
    text: String,
}

/// One event.
#[derive(Debug, Default, PartialEq)]
pub struct Event {
    /// What it is.
    pub name: String,
    /// The commit that it is of.
    pub id: String,
    /// What it says.
    pub data: Value,
}

impl Events {
    /// Asks for a stream with these header lines, each ended by CRLF, and reads the head of the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn open(addr: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self { stream, head: String::new(), bytes: Vec::new(), text: String::new() };
        let end = loop {
            if let Some(end) = events.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(events.read().await, "{}", String::from_utf8_lossy(&events.bytes));
        };
        events.head = String::from_utf8(events.bytes.drain(..end).collect()).unwrap().to_ascii_lowercase();
        events
    }

    async fn read(&mut self) -> bool {
        let read = tokio::time::timeout(Duration::from_secs(40), self.stream.read_buf(&mut self.bytes)).await;
        read.expect("bytes in time").is_ok_and(|read| read > 0)
    }

    /// The body of an answer that is no stream.
    ///
    /// # Panics
    /// When the connection breaks before it is there.
    pub async fn body(&mut self) -> Value {
        let length = self.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        while self.bytes.len() < length {
            assert!(self.read().await, "a body");
        }
        serde_json::from_slice(&self.bytes[..length]).unwrap_or_default()
    }

    /// The next chunk, of which the last is empty.
    async fn chunk(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.bytes.windows(2).position(|window| window == b"\r\n") {
                let size = usize::from_str_radix(std::str::from_utf8(&self.bytes[..line]).unwrap(), 16).unwrap();
                if self.bytes.len() >= line + 2 + size + 2 {
                    let chunk: Vec<u8> = self.bytes.drain(..line + 2 + size + 2).collect();
                    return Some(String::from_utf8(chunk[line + 2..line + 2 + size].to_vec()).unwrap());
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The next event that is no comment; `None` when the stream has ended.
    ///
    /// # Panics
    /// When nothing comes, or something that is no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", name)) => name.clone_into(&mut event.name),
                        Some(("id", id)) => id.clone_into(&mut event.id),
                        Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                        _ => assert_eq!(line, ":", "{block}"),
                    }
                }
                self.text = rest.to_owned();
                if event != Event::default() {
                    return Some(event);
                }
            }
            match self.chunk().await {
                Some(chunk) if !chunk.is_empty() => self.text.push_str(&chunk),
                _ => return None,
            }
        }
    }
}
