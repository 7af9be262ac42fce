//! A connection that is written to from two sides: by whom it belongs to, and, between two of his frames, by whoever has a
//! frame for many clients.
//!
//! To wake a task for each client of a room costs about as much as the rest of a delivery that is not the kernel's. So what is pushed
//! is written by the [`Pump`] right away, one client after the other; where a client does not take all of it, its own task is
//! woken and goes on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::server::session::Session;

/// The side of a connection that is written to.
pub(in crate::server) struct Line {
    out: Mutex<Out>,
    /// Whether the owner has written something, and not yet said that it is whole. Only he changes it, and says so with the lock held.
    begun: AtomicBool,
    /// Whether anything was sent between. As long as nothing was, which is always so for requests, he need not look for a rest.
    shared: AtomicBool,
}

struct Out {
    half: OwnedWriteHalf,
    /// What was sent here and not taken yet; it goes before anything that the owner begins.
    rest: Vec<u8>,
}

impl Out {
    /// Resolves when nothing is left of what was sent.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.half).poll_write(context, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.drain(..written);
            if self.rest.is_empty() {
                // An idle client holds on to no buffer.
                self.rest = Vec::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Line {
    /// Whether something can be sent that would not wait for anything.
    pub(in crate::server) fn is_clear(&self) -> bool {
        let out = self.out.lock();
        !self.begun.load(Ordering::Acquire) && out.rest.is_empty()
    }

    /// Sends whole frames. False when not all of it was taken at once: the owner has to flush what is left.
    pub(in crate::server) fn send(&self, frames: &[u8]) -> bool {
        let mut out = self.out.lock();
        self.shared.store(true, Ordering::Release);
        let taken = match self.begun.load(Ordering::Acquire) || !out.rest.is_empty() {
            true => 0,
            // Whatever is wrong, the owner finds it too.
            false => out.half.try_write(frames).unwrap_or_default(),
        };
        let left = frames.get(taken..).unwrap_or_default();
        out.rest.extend_from_slice(left);
        left.is_empty()
    }
}

/// The connection as it is for its owner.
pub(in crate::server) struct Wire {
    half: OwnedReadHalf,
    line: Arc<Line>,
}

impl Wire {
    pub(in crate::server) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        let out = Mutex::new(Out { half: write, rest: Vec::new() });
        let line = Line { out, begun: AtomicBool::new(false), shared: AtomicBool::new(false) };
        Self { half: read, line: Arc::new(line) }
    }

    /// The side of it that others can write to, for as long as the connection is there.
    pub(in crate::server) fn line(&self) -> Weak<Line> {
        Arc::downgrade(&self.line)
    }

    fn poll_begin(
        &self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut out = self.line.out.lock();
        if !self.line.begun.load(Ordering::Acquire) {
            ready!(out.poll_rest(context))?;
        }
        let written = ready!(write(Pin::new(&mut out.half), context))?;
        self.line.begun.store(true, Ordering::Release);
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_begin(context, |half, context| half.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > JOINED {
            return self.poll_begin(context, |half, context| half.poll_write_vectored(context, parts));
        }
        let mut room = [0; JOINED];
        let bytes = joined(parts, &mut room);
        self.poll_begin(context, |half, context| half.poll_write(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has no buffer of ours.
        self.line.begun.store(false, Ordering::Release);
        if !self.line.shared.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.line.out.lock().poll_rest(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.line.out.lock();
        Pin::new(&mut out.half).poll_shutdown(context)
    }
}

/// The head and the body of an answer are written as one up to so many bytes: to copy them costs less than a system call that takes
/// several parts.
const JOINED: usize = 2048;

/// The parts one after the other, as far as there is room.
fn joined<'a>(parts: &[IoSlice<'_>], room: &'a mut [u8; JOINED]) -> &'a [u8] {
    let mut length = 0;
    for part in parts {
        let Some(place) = room.get_mut(length..length + part.len()) else { break };
        place.copy_from_slice(part);
        length += part.len();
    }
    room.get(..length).unwrap_or_default()
}

/// Appends a text frame of a server (RFC 6455 §5.2), which is whole and not masked.
pub(in crate::server) fn push_text_frame(out: &mut Vec<u8>, text: &str) {
    out.push(0x81);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..126), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// So many sessions are served before others have their turn.
const AT_ONCE: usize = 8;

/// Writes what is pushed to the clients whose connections are known.
#[derive(Default)]
pub(in crate::server) struct Pump {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    sessions: Vec<Arc<Session>>,
    /// Nobody comes for them any more. A session that stood here then would keep the server, which keeps this.
    closed: bool,
}

impl Pump {
    /// Serves a session soon. Each stands there once: it says itself whether it does.
    pub(in crate::server) fn add(&self, session: Arc<Session>) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        waiting.sessions.push(session);
        if waiting.sessions.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Runs until it is dropped, and takes nothing any more then.
    pub(in crate::server) async fn run(&self) {
        struct Closing<'a>(&'a Pump);
        impl Drop for Closing<'_> {
            fn drop(&mut self) {
                let left =
                    std::mem::replace(&mut *self.0.waiting.lock(), Waiting { closed: true, ..Waiting::default() });
                drop(left);
            }
        }
        let _closing = Closing(self);
        let mut buffer = Vec::new();
        loop {
            self.filled.notified().await;
            let sessions = std::mem::take(&mut self.waiting.lock().sessions);
            for (number, session) in sessions.into_iter().enumerate() {
                if number % AT_ONCE == AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
                session.write_out(&mut buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Wire::new(accepted.unwrap().0), client.unwrap())
    }

    #[test]
    fn frames_are_those_of_the_library() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let text = "x".repeat(length);
            let mut own = Vec::new();
            push_text_frame(&mut own, &text);
            let header: &[u8] = match length {
                0..126 => &[0x81, length as u8],
                126..65_536 => &[0x81, 126, (length >> 8) as u8, length as u8],
                _ => &[0x81, 127, 0, 0, 0, 0, 0, (length >> 16) as u8, (length >> 8) as u8, length as u8],
            };
            assert_eq!(own, [header, text.as_bytes()].concat());
        }
    }

    #[tokio::test]
    async fn what_is_sent_between_goes_between() {
        let (mut wire, mut client) = pair().await;
        let line = wire.line().upgrade().unwrap();
        assert!(line.is_clear() && line.send(b"one "));
        wire.write_all(b"two, begun ").await.unwrap();
        assert!(!line.is_clear(), "it is not whole");
        assert!(!line.send(b"three "));
        assert!(!line.send(b"four "));
        wire.write_all(b"and ended ").await.unwrap();
        wire.flush().await.unwrap();
        assert!(line.is_clear() && line.send(b"five"));
        drop(line);
        let weak = wire.line();
        drop(wire);
        assert!(weak.upgrade().is_none(), "the connection is gone");
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "one two, begun and ended three four five");
    }

    #[tokio::test]
    async fn parts_arrive_as_one_whether_few_or_many() {
        for lengths in [&[1, 2][..], &[JOINED - 1, 0, 1], &[JOINED, 1], &[100_000, 10]] {
            let (mut wire, mut client) = pair().await;
            let parts: Vec<Vec<u8>> = lengths.iter().zip(b'a'..).map(|(length, byte)| vec![byte; *length]).collect();
            let whole = parts.concat();
            let writing = tokio::spawn(async move {
                let (mut written, all) = (0, parts.concat());
                while written < all.len() {
                    // What is left, in parts as they were.
                    let mut skipped = written;
                    let left = parts.iter().map(|part| {
                        let rest = &part[skipped.min(part.len())..];
                        skipped -= part.len() - rest.len();
                        IoSlice::new(rest)
                    });
                    written += wire.write_vectored(&left.collect::<Vec<_>>()).await.unwrap();
                }
            });
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            writing.await.unwrap();
            assert!(heard == whole, "{lengths:?}");
        }
    }

    #[tokio::test]
    async fn what_a_slow_client_does_not_take_is_kept_in_order() {
        let (mut wire, mut client) = pair().await;
        let line = wire.line().upgrade().unwrap();
        let part = |number: u32| format!("{number:>9}\n").repeat(1_000);
        let mut sent = 0;
        while line.is_clear() {
            line.send(part(sent).as_bytes());
            sent += 1;
        }
        let reading = tokio::spawn(async move {
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.unwrap();
            heard
        });
        wire.write_all(b"last").await.unwrap();
        wire.flush().await.unwrap();
        assert!(line.is_clear());
        drop((wire, line));
        let heard = reading.await.unwrap();
        assert_eq!(heard, (0..sent).map(part).collect::<String>() + "last");
    }
}
