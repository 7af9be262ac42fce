//! Files, and chunks of what is longer than a file: what uploads and streams are given beside their arguments.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::handler::{Extract, Invocation, With, absent};
use crate::error::{Error, ErrorCode, Result};

/// The longest chunk of a stream, in bytes.
pub(crate) const MAX_CHUNK: usize = 1 << 20;

type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A file as an [`upload`](macro@crate::upload) is given it: a name, a type, and a stream of bytes, which is read once.
///
/// Name and type are what the client says. They are no path, and no promise of what is in it.
///
/// ```
/// use modeller::File;
/// # use modeller::Result;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let mut file = File::new("hello.txt", "hello");
/// assert_eq!(file.name(), Some("hello.txt"));
/// assert_eq!(file.bytes(1024).await?, "hello");
///
/// let mut file = File::new("hello.txt", "hello");
/// assert!(file.bytes(4).await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct File {
    name: Option<String>,
    content_type: Option<String>,
    /// Never locked, but asked for with exclusive access: so a file can be shared between threads, and its bytes need not be.
    body: Mutex<Body>,
    /// How many bytes it has at most, and how many of them may still come.
    most: u64,
    left: u64,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

impl File {
    /// A file whose bytes are there.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let mut bytes = Some(bytes.into());
        let body = Chunks(Box::new(move || bytes.take().map(Ok)));
        Self { name: Some(name.into()), ..Self::of(body) }
    }

    /// A file whose bytes come by and by, without a name.
    pub fn from_stream(bytes: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self::of(bytes)
    }

    fn of(bytes: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        let (most, left) = (u64::MAX, u64::MAX);
        Self { name: None, content_type: None, body: Mutex::new(Box::pin(bytes)), most, left }
    }

    /// The same of at most so many bytes.
    pub(crate) fn up_to(self, most: u64) -> Self {
        Self { most, left: most, ..self }
    }

    /// The same under a name.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The same of a media type (RFC 9110 §8.3.1).
    #[must_use]
    pub fn with_content_type(self, content_type: impl Into<String>) -> Self {
        Self { content_type: Some(content_type.into()), ..self }
    }

    /// What the client calls it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Of which media type the client says that it is.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The next bytes, as they came; `None` at the end.
    ///
    /// # Errors
    /// What went wrong on their way; `PAYLOAD_TOO_LARGE` when the file is longer than what is taken.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let next = std::future::poll_fn(|context| self.body.get_mut().as_mut().poll_next(context)).await.transpose()?;
        let Some(chunk) = &next else { return Ok(None) };
        match self.left.checked_sub(chunk.len() as u64) {
            Some(left) => self.left = left,
            None => {
                // Nothing comes after that.
                self.body = Mutex::new(Box::pin(Chunks(Box::new(|| None))));
                let text = format!("the file has more than {} bytes", self.most);
                return Err(Error::new(ErrorCode::PayloadTooLarge).message(text));
            }
        }
        Ok(next)
    }

    /// All bytes that are left, so many at most.
    ///
    /// # Errors
    /// As [`File::chunk`]; `PAYLOAD_TOO_LARGE` when there are more.
    pub async fn bytes(&mut self, most: usize) -> Result<Bytes> {
        let mut pieces = Pieces::up_to(most);
        while let Some(chunk) = self.chunk().await? {
            if !pieces.push(chunk) {
                return Err(
                    Error::new(ErrorCode::PayloadTooLarge).message(format!("the file has more than {most} bytes"))
                );
            }
        }
        Ok(pieces.whole())
    }

    /// Writes all bytes that are left, as they come, and answers how many those were.
    ///
    /// # Errors
    /// As [`File::chunk`]; `INTERNAL` when they cannot be written.
    pub async fn copy_to(&mut self, to: &mut (impl AsyncWrite + Unpin + ?Sized)) -> Result<u64> {
        let mut written = 0_u64;
        while let Some(chunk) = self.chunk().await? {
            to.write_all(&chunk).await.map_err(Error::internal)?;
            written = written.saturating_add(chunk.len() as u64);
        }
        to.flush().await.map_err(Error::internal)?;
        Ok(written)
    }
}

/// Bytes that come piece by piece, up to so many.
pub(crate) struct Pieces {
    most: usize,
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    pub(crate) fn up_to(most: usize) -> Self {
        Self { most, first: Bytes::new(), all: BytesMut::new() }
    }

    /// Takes the next piece. False when that are too many.
    #[must_use]
    pub(crate) fn push(&mut self, piece: Bytes) -> bool {
        if self.first.len().max(self.all.len()).saturating_add(piece.len()) > self.most {
            return false;
        }
        // Most bodies and small files come in one piece, which is used where it lies.
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&piece);
        }
        true
    }

    pub(crate) fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

/// What a function has, one after the other.
struct Chunks(Box<dyn FnMut() -> Option<Result<Bytes>> + Send>);

impl Stream for Chunks {
    type Item = Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready((self.0)())
    }
}

impl<'a> Extract<'a> for File {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        match std::mem::replace(&mut invocation.with, With::Nothing) {
            With::File(file) => Ok(*file),
            other => {
                invocation.with = other;
                Err(absent("a file"))
            }
        }
    }
}

/// A part of something long, as a [`stream`](macro@crate::stream) is given it: 1 MiB at most, with its place in the whole.
///
/// ```
/// use modeller::Chunk;
///
/// let chunk = Chunk::new("lo").at(3).last();
/// assert_eq!((&chunk[..], chunk.offset(), chunk.is_last()), (&b"lo"[..], 3, true));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    bytes: Bytes,
    offset: u64,
    last: bool,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("bytes", &self.bytes.len())
            .field("offset", &self.offset)
            .field("last", &self.last)
            .finish()
    }
}

impl Chunk {
    /// The first chunk, with others behind it.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), offset: 0, last: false }
    }

    /// The same with so many bytes before it.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The same with nothing behind it.
    #[must_use]
    pub fn last(self) -> Self {
        Self { last: true, ..self }
    }

    /// How many bytes there are before it, as the client says.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Its bytes, which are shared and not copied.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// # Errors
    /// `PAYLOAD_TOO_LARGE` when it is longer than a chunk may be.
    pub(crate) fn check(&self) -> Result<()> {
        if self.bytes.len() <= MAX_CHUNK {
            return Ok(());
        }
        Err(Error::new(ErrorCode::PayloadTooLarge).message(format!("a chunk has {MAX_CHUNK} bytes at most")))
    }
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Extract<'a> for Chunk {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        match &invocation.with {
            With::Chunk(chunk) => Ok((**chunk).clone()),
            _ => Err(absent("a chunk")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_once_and_as_far_as_is_allowed() {
        let pieces = |lengths: &'static [usize]| {
            let mut left = lengths.iter();
            File::from_stream(Chunks(Box::new(move || Some(Ok(vec![7; *left.next()?].into())))))
        };
        assert_eq!(pieces(&[]).bytes(0).await.unwrap().len(), 0);
        assert_eq!(pieces(&[3, 0, 4]).bytes(7).await.unwrap().len(), 7);
        for lengths in [&[8][..], &[3, 5], &[7, 0, 1]] {
            assert_eq!(pieces(lengths).bytes(7).await.unwrap_err().code(), &ErrorCode::PayloadTooLarge);
        }
        let mut file = pieces(&[3, 4]);
        let mut written = Vec::new();
        assert_eq!((file.copy_to(&mut written).await.unwrap(), written.len()), (7, 7));
        assert_eq!(file.chunk().await.unwrap(), None);
        let mut left = 2;
        let mut broken = File::from_stream(Chunks(Box::new(move || {
            left -= 1;
            Some(if left > 0 { Ok("ab".into()) } else { Err(Error::new("BROKE_OFF")) })
        })));
        assert_eq!(broken.bytes(100).await.unwrap_err().code().as_str(), "BROKE_OFF");
    }

    #[tokio::test]
    async fn a_file_has_no_more_bytes_than_its_upload_takes() {
        assert_eq!(File::new("a", "1234").up_to(4).bytes(100).await.unwrap(), "1234");
        let mut file = File::new("a", "12345").up_to(4);
        assert_eq!(file.chunk().await.unwrap_err().code(), &ErrorCode::PayloadTooLarge);
        assert_eq!(file.chunk().await.unwrap(), None);
    }

    #[test]
    fn chunks_are_bounded() {
        assert!(Chunk::new(vec![0; MAX_CHUNK]).check().is_ok());
        assert_eq!(Chunk::new(vec![0; MAX_CHUNK + 1]).check().unwrap_err().code(), &ErrorCode::PayloadTooLarge);
        assert!(!format!("{:?}", Chunk::new("secret")).contains("secret"));
    }
}
