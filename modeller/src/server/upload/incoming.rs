//! The body of a request that may be long: read as it comes, cut off when it does not, and never kept.

use std::pin::Pin;
use std::task::{Context as Waker, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{Error, ErrorCode, Result};
use crate::server::limits::{DISCARD_BYTES, DISCARD_TIME};

/// So many bytes have to come while they are waited for so long: somebody who is slow may take as long as he needs, and somebody who
/// holds a place and sends next to nothing does not. What is waited for on our side is not counted.
const PROGRESS_BYTES: u64 = 32 << 10;
const PROGRESS_TIME: Duration = Duration::from_secs(30);

/// A body, up to so many bytes.
pub(super) struct Incoming {
    body: Body,
    left: u64,
    most: u64,
    /// How many bytes have come.
    pub(super) read: u64,
    /// Whether the client waits for our consent before it sends (RFC 9110 §10.1.1), and has not got it.
    waits: bool,
    ended: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when a piece is waited for.
    since: Option<Instant>,
    /// For how long pieces were waited for, and how many bytes came, since the last [`PROGRESS_BYTES`].
    waited: Duration,
    moved: u64,
    patience: Duration,
}

impl Incoming {
    pub(super) fn new(headers: &HeaderMap, body: Body, most: u64) -> Self {
        Self {
            body,
            left: most,
            most,
            read: 0,
            waits: headers.contains_key(header::EXPECT),
            ended: false,
            timer: None,
            since: None,
            waited: Duration::ZERO,
            moved: 0,
            patience: PROGRESS_TIME,
        }
    }

    /// One that has been read.
    pub(super) fn none() -> Self {
        Self { ended: true, ..Self::new(&HeaderMap::new(), Body::empty(), 0) }
    }

    /// How many bytes there are at least, as the client says.
    pub(super) fn announced(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// # Errors
    /// `PAYLOAD_TOO_LARGE` when the client says that there are more than are taken.
    pub(super) fn check_announced(&self) -> Result<()> {
        if self.announced() > self.left { Err(too_large(self.most)) } else { Ok(()) }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when the body breaks off, `PAYLOAD_TOO_LARGE` when it is too long, `TIMEOUT` when it does not get on. There is
    /// nothing behind an error.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|waker| self.poll_next(waker)).await
    }

    pub(super) fn poll_next(&mut self, waker: &mut Waker<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.waits = false;
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(waker) else {
                ready!(self.poll_patience(waker));
                self.ended = true;
                let text =
                    format!("{PROGRESS_BYTES} bytes of the body took more than {} seconds", self.patience.as_secs());
                return Poll::Ready(Some(Err(Error::new(ErrorCode::Timeout)
                    .message(text)
                    .status(StatusCode::REQUEST_TIMEOUT.as_u16()))));
            };
            if let Some(since) = self.since.take() {
                self.waited += since.elapsed();
            }
            return Poll::Ready(match frame {
                None => {
                    self.ended = true;
                    None
                }
                Some(Err(_)) => {
                    self.ended = true;
                    Some(Err(broke_off()))
                }
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    let Ok(data) = frame.into_data() else { continue };
                    let length = data.len() as u64;
                    self.moved += length;
                    if self.moved >= PROGRESS_BYTES {
                        (self.moved, self.waited) = (0, Duration::ZERO);
                    }
                    self.read += length;
                    match self.left.checked_sub(length) {
                        Some(left) => self.left = left,
                        None => {
                            // What else comes is thrown away by who asks for that.
                            self.left = 0;
                            return Poll::Ready(Some(Err(too_large(self.most))));
                        }
                    }
                    if data.is_empty() {
                        continue;
                    }
                    Some(Ok(data))
                }
            });
        }
    }

    /// Ready when it was waited for too long.
    fn poll_patience(&mut self, waker: &mut Waker<'_>) -> Poll<()> {
        let now = Instant::now();
        let is_new = self.since.is_none();
        let until = *self.since.get_or_insert(now) + self.patience.saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if is_new {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(waker)
    }

    /// Reads on for a while and throws it away: closed on bytes that were not read, a connection is reset, and the client never sees
    /// the answer. Who waits for our consent has sent nothing.
    pub(super) async fn discard(&mut self) {
        if self.waits || self.ended {
            return;
        }
        let thrown = async {
            let mut left = DISCARD_BYTES;
            while let Some(Ok(data)) = self.raw().await {
                match left.checked_sub(data.len()) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, thrown).await;
    }

    /// The next bytes, however many there were.
    async fn raw(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|waker| {
            loop {
                return match ready!(Pin::new(&mut self.body).poll_frame(waker)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => Poll::Ready(Some(Ok(data))),
                        Err(_) => continue,
                    },
                    Some(Err(_)) => Poll::Ready(Some(Err(broke_off()))),
                    None => Poll::Ready(None),
                };
            }
        })
        .await
    }
}

pub(super) fn broke_off() -> Error {
    Error::new(ErrorCode::InvalidRequest).message("the body broke off")
}

pub(super) fn too_large(most: u64) -> Error {
    Error::new(ErrorCode::PayloadTooLarge).message(format!("the body has more than {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn incoming(pieces: Vec<Result<&'static str, std::io::Error>>, most: u64) -> Incoming {
        Incoming::new(&HeaderMap::new(), Body::from_stream(stream::iter(pieces)), most)
    }

    #[tokio::test]
    async fn a_body_is_read_as_far_as_is_allowed() {
        let mut body = incoming(vec![Ok("ab"), Ok(""), Ok("cd")], 4);
        assert_eq!(body.next().await.unwrap().unwrap(), "ab");
        assert_eq!(body.next().await.unwrap().unwrap(), "cd");
        assert!(body.next().await.is_none() && body.read == 4);
        let mut body = incoming(vec![Ok("ab"), Ok("cde"), Ok("f")], 4);
        assert_eq!(body.next().await.unwrap().unwrap(), "ab");
        assert_eq!(body.next().await.unwrap().unwrap_err().code(), &ErrorCode::PayloadTooLarge);
        body.discard().await;
        let mut body = incoming(vec![Ok("ab"), Err(std::io::Error::other("x")), Ok("f")], 4);
        assert_eq!(body.next().await.unwrap().unwrap(), "ab");
        assert_eq!(body.next().await.unwrap().unwrap_err().code(), &ErrorCode::InvalidRequest);
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn who_sends_next_to_nothing_is_cut_off_and_who_is_slow_is_not() {
        let patience = Duration::from_millis(300);
        let drip = |bytes: usize| {
            let pieces = stream::unfold(0, move |at| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                (at < 50).then(|| (Ok::<_, std::io::Error>(vec![0; bytes]), at + 1))
            });
            Incoming { patience, ..Incoming::new(&HeaderMap::new(), Body::from_stream(pieces), u64::MAX) }
        };
        let began = Instant::now();
        let mut slow = drip(16 << 10);
        while let Some(piece) = slow.next().await {
            piece.unwrap();
        }
        assert!(began.elapsed() >= 3 * patience && slow.read == 50 * (16 << 10));
        let began = Instant::now();
        let mut next_to_nothing = drip(1);
        let error = loop {
            if let Err(error) = next_to_nothing.next().await.unwrap() {
                break error;
            }
        };
        assert_eq!((error.code(), error.http_status()), (&ErrorCode::Timeout, 408));
        assert!(began.elapsed() >= patience - Duration::from_millis(50));
        assert!(next_to_nothing.next().await.is_none());
        // Who is not asked for anything does not waste time.
        let mut unread = drip(1);
        tokio::time::sleep(2 * patience).await;
        assert!(unread.next().await.unwrap().is_ok());
    }
}
