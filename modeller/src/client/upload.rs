//! Files, by the protocol tus 1.0: in pieces, each acknowledged, going on from where the server has them.

use std::future::IntoFuture;
use std::io::SeekFrom;
use std::pin::Pin;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::http::{Answer, Asked, encoded};
use super::{Client, problem};
use crate::error::{Error, ErrorCode, Result};

/// How large a piece is.
const PIECE: usize = 1 << 20;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");

/// A file on its way: what [`RemoteModel::call_upload`](super::RemoteModel::call_upload) gives. It is sent by `.await`, which answers
/// what the handler does.
///
/// ```no_run
/// # use modeller::{client::Client, prelude::*};
/// # use modeller::__private::serde_json::json;
/// # #[model(id = "users", public)]
/// # pub struct User { pub name: String }
/// # async fn example() -> Result<()> {
/// let users = Client::connect("http://127.0.0.1:3030")?.model::<User>();
/// let picture = std::io::Cursor::new(vec![0; 5_000_000]);
/// let answer = users
///     .call_upload("avatar", picture, json!({"name": "Ada"}))
///     .filename("ada.png")
///     .progress(|sent, total| println!("{sent} of {total} bytes"))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a file is sent by `.await`"]
pub struct RemoteUpload<'a, R> {
    client: &'a Client,
    model: &'a str,
    id: &'a str,
    source: R,
    fields: Value,
    filename: Option<String>,
    content_type: Option<String>,
    progress: Option<Box<dyn FnMut(u64, u64) + Send + 'a>>,
}

impl<R> std::fmt::Debug for RemoteUpload<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteUpload").field("model", &self.model).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where an upload stands, as far as it says what the handler has answered.
#[derive(Deserialize)]
struct Standing {
    done: bool,
    #[serde(default)]
    result: Value,
}

impl<'a, R> RemoteUpload<'a, R> {
    pub(super) fn new(client: &'a Client, model: &'a str, id: &'a str, source: R, fields: Value) -> Self {
        Self { client, model, id, source, fields, filename: None, content_type: None, progress: None }
    }

    /// What the file is called.
    pub fn filename(mut self, name: impl Into<String>) -> Self {
        self.filename = Some(name.into());
        self
    }

    /// Of which media type it is.
    pub fn content_type(mut self, kind: impl Into<String>) -> Self {
        self.content_type = Some(kind.into());
        self
    }

    /// Tells of each piece that the server has acknowledged: how many bytes it has, and of how many.
    pub fn progress(mut self, tell: impl FnMut(u64, u64) + Send + 'a) -> Self {
        self.progress = Some(Box::new(tell));
        self
    }

    fn metadata(&self) -> String {
        let args = (!self.fields.is_null()).then(|| self.fields.to_string());
        let members = [
            ("model", Some(self.model)),
            ("upload", Some(self.id)),
            ("args", args.as_deref()),
            ("filename", self.filename.as_deref()),
            ("filetype", self.content_type.as_deref()),
        ];
        let member = |(name, text): (&str, Option<&str>)| Some(format!("{name} {}", BASE64_STANDARD.encode(text?)));
        members.into_iter().filter_map(member).collect::<Vec<_>>().join(",")
    }
}

fn number(value: u64) -> HeaderValue {
    HeaderValue::from(value)
}

fn tus(method: Method, path: &str) -> Asked {
    Asked::new(method, path).header(RESUMABLE, HeaderValue::from_static("1.0.0"))
}

fn offset_of(answer: &Answer) -> Result<u64> {
    let offset = answer.headers.get(OFFSET).and_then(|offset| offset.to_str().ok()?.parse().ok());
    offset.ok_or_else(|| Error::internal("an upload that does not say where it stands"))
}

impl<R: AsyncRead + AsyncSeek + Send + Unpin> RemoteUpload<'_, R> {
    async fn send(mut self) -> Result<Value> {
        let length = self.source.seek(SeekFrom::End(0)).await?;
        let wrong = |_| Error::new(ErrorCode::InvalidRequest).message("what is said of the file does not fit a header");
        let begin = tus(Method::POST, "/@files")
            .header(LENGTH, number(length))
            .header(METADATA, HeaderValue::try_from(self.metadata()).map_err(wrong)?);
        // Begun twice there is one that nobody goes on with, which the server throws away in time.
        let begun = self.client.ask(&begin).await?;
        let place = begun.headers.get(header::LOCATION).and_then(|place| place.to_str().ok());
        let id = place.and_then(|place| place.rsplit('/').next()).unwrap_or_default();
        let path = format!("/@files/{}", encoded(id));
        let mut offset = offset_of(&begun)?;
        let mut backoff = Backoff::default();
        let mut until = Instant::now() + self.client.core.patience;
        while offset < length {
            match self.piece(&path, offset, length).await {
                Ok(next) => {
                    offset = next;
                    backoff.reset();
                    until = Instant::now() + self.client.core.patience;
                    if let Some(tell) = &mut self.progress {
                        tell(offset, length);
                    }
                }
                // The connection broke, or a request that broke off is still at it: go on from where the server is.
                Err(error) if *error.code() == ErrorCode::Unavailable || error.http_status() == 423 => {
                    let wait = backoff.next();
                    if Instant::now() + wait >= until {
                        return Err(error);
                    }
                    tokio::time::sleep(wait).await;
                    match self.client.ask(&tus(Method::HEAD, &path)).await {
                        Ok(standing) => offset = offset_of(&standing)?,
                        // Refused by the handler: why, is what `GET` says, to which a `HEAD` has no body.
                        Err(error) if error.http_status() == StatusCode::GONE.as_u16() => break,
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let standing = self.client.ask(&Asked::new(Method::GET, path)).await?;
        let Standing { done, result } = super::read(&standing.body)?;
        if done { Ok(result) } else { Err(Error::internal("an upload that is whole, and not done")) }
    }

    /// Sends the next piece, and answers how far the server is.
    async fn piece(&mut self, path: &str, offset: u64, length: u64) -> Result<u64> {
        let size = usize::try_from(length - offset).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; size];
        self.source.seek(SeekFrom::Start(offset)).await?;
        self.source.read_exact(&mut piece).await?;
        let mut asked = tus(Method::PATCH, path)
            .header(OFFSET, number(offset))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/offset+octet-stream"));
        asked.body = piece.into();
        // Not sent again as it is: the server may have a part of it.
        let token = self.client.core.tokens.read().token.clone();
        match self.client.core.transport.send(&asked, token.as_ref()).await {
            Ok(answer) if answer.status.is_success() => offset_of(&answer),
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                let refused = problem(&answer);
                if self.client.core.refresh(token.as_ref()).await? { Ok(offset) } else { Err(refused) }
            }
            Ok(answer) => Err(problem(&answer)),
            Err(broken) => Err(broken.into_error()),
        }
    }
}

impl<'a, R: AsyncRead + AsyncSeek + Send + Unpin + 'a> IntoFuture for RemoteUpload<'a, R> {
    type Output = Result<Value>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Value>> + Send + 'a>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
