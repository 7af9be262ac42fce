//! `POST /{model}/{operation}` of an upload: a form (`multipart/form-data`, RFC 7578), or a bare file.
//!
//! The fields of a form stand before its file, because the handler is called when the file begins, and reads it while it comes: it is
//! never in memory, and never on the disk unless the handler puts it there. A client that sends faster than the handler reads is
//! not read.
//!
//! multer finds the parts. What it does not bound is bounded here: how many there are, the header of each, and how much of the
//! body it takes in at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Waker, Poll};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::Stream;
use multer::{Constraints, Field, Multipart, SizeLimit};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::args::{Asked, Fields};
use super::incoming::{Incoming, broke_off, too_large};
use super::refuse_key;
use crate::core::collection::ModelIndex;
use crate::error::{Error, ErrorCode, Result};
use crate::model::handler::With;
use crate::model::once::answer_json;
use crate::model::runtime::OperationKind;
use crate::model::upload::{File, Pieces};
use crate::server::call::Context;
use crate::server::events::Uploaded;
use crate::server::respond;

/// How many fields a form has.
const FIELDS: usize = 128;
/// How many bytes the header of a part has.
const PART_HEADER_BYTES: usize = 8 << 10;
/// In pieces of so many bytes the body is handed to multer.
const PIECE: usize = 16 << 10;
/// How many bytes stand around the fields and the file: boundaries, headers, what is before the first boundary.
const AROUND: u64 = ((FIELDS + 2) * (PART_HEADER_BYTES + 512)) as u64;
/// The longest name of a file, in bytes; that of most file systems.
const NAME_BYTES: usize = 255;

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidRequest).message(text.into())
}

/// `POST /{model}/{operation}` of an upload.
pub(in crate::server) async fn upload(
    context: Context,
    index: ModelIndex,
    id: String,
    request: Request,
) -> Result<Response> {
    let uploads = &context.server.configuration.uploads;
    let limit = uploads.limit_of(context.scope().operation(index, OperationKind::Upload, &id)?);
    let (parts, body) = request.into_parts();
    refuse_key(&parts.headers)?;
    let form = Form::of(&parts.headers)?;
    let most = match &form {
        Form::Multipart { .. } => limit.saturating_add(fields_limit(&context)).saturating_add(AROUND),
        Form::Bare { .. } => limit,
    };
    let mut body = Incoming::new(&parts.headers, body, most);
    let entered = uploads.enter(&context.caller, context.peer);
    let counted = match entered.and_then(|counted| body.check_announced().map(|()| counted)) {
        Ok(counted) => counted,
        Err(error) => {
            body.discard().await;
            return Err(error);
        }
    };
    let body = Arc::new(Mutex::new(body));
    let outcome = match form {
        Form::Multipart { boundary } => multipart(&context, index, id, &boundary, &body).await,
        Form::Bare { name, content_type } => {
            let query = parts.uri.query().unwrap_or_default();
            bare(&context, index, id, query, name, content_type, &body).await
        }
    };
    // What the handler did not want, or what came after a mistake.
    let mut body = std::mem::replace(&mut *body.lock(), Incoming::none());
    body.discard().await;
    drop(counted);
    Ok(respond::json(StatusCode::OK, outcome?))
}

/// How many bytes all fields have.
fn fields_limit(context: &Context) -> u64 {
    context.server.configuration.limits.body as u64
}

/// What a body is.
enum Form {
    Multipart { boundary: String },
    Bare { name: Option<String>, content_type: String },
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let unsupported = |text: &'static str| Error::new(ErrorCode::UnsupportedMediaType).message(text);
        let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
        let given =
            given.ok_or_else(|| unsupported("a file comes in a form, or with its media type as `Content-Type`"))?;
        let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "multipart/form-data" {
            let boundary = multer::parse_boundary(given).map_err(|_| wrong("the form does not say its boundary"))?;
            // RFC 2046 §5.1.1.
            return match boundary.len() {
                1..=70 => Ok(Self::Multipart { boundary }),
                _ => Err(wrong("the boundary of a form has 1 to 70 characters")),
            };
        }
        let is_type = essence.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
        if !is_type || essence.starts_with("multipart/") || essence == "application/x-www-form-urlencoded" {
            return Err(unsupported("a file comes in a `multipart/form-data`, or as it is under its own media type"));
        }
        let disposition = headers.get(header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
        let name = disposition.and_then(file_name_parameter).and_then(|name| file_name(&name));
        Ok(Self::Bare { name, content_type: given.to_owned() })
    }
}

/// The parameter `filename` of a `Content-Disposition` (RFC 6266 §4.3), a token or a quoted string.
pub(super) fn file_name_parameter(disposition: &str) -> Option<String> {
    let mut rest = disposition.split_once(';')?.1;
    loop {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            None => {
                let (value, after) = value.split_once(';').unwrap_or((value, ""));
                (value.trim().to_owned(), after)
            }
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let end = loop {
                    match characters.next()? {
                        (at, '"') => break at + 1,
                        (_, '\\') => value.push(characters.next()?.1),
                        (_, other) => value.push(other),
                    }
                };
                let after = quoted.get(end..).unwrap_or_default();
                (value, after.split_once(';').map_or("", |(_, after)| after))
            }
        };
        if name.trim().eq_ignore_ascii_case("filename") {
            return Some(value);
        }
        rest = after;
    }
}

/// What a client calls a file, as far as it is a name: without the folders before it (RFC 7578 §4.2), without what cannot be seen, and
/// of a length that has an end.
pub(super) fn file_name(given: &str) -> Option<String> {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    // Also what turns the direction of the text around, so that a name looks like another one.
    let is_seen = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let mut name: String = last.chars().filter(is_seen).collect();
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    let name = name.trim();
    (!matches!(name, "" | "." | "..")).then(|| name.to_owned())
}

/// The body as multer reads it: one small piece each time it is asked, since it takes in all that is there, and no more for the
/// header of a part than is allowed.
struct Feed {
    body: Arc<Mutex<Incoming>>,
    rest: Bytes,
    /// How many bytes may be read before the next part begins; `None` within a part.
    between: Arc<Mutex<Option<usize>>>,
    rests: bool,
}

impl Stream for Feed {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if std::mem::take(&mut this.rests) {
            waker.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.rest.is_empty() {
            match this.body.lock().poll_next(waker) {
                Poll::Ready(Some(Ok(piece))) => this.rest = piece,
                other => return other,
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        if let Some(left) = &mut *this.between.lock() {
            match left.checked_sub(piece.len()) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Some(Err(header_too_large()))),
            }
        }
        this.rests = true;
        Poll::Ready(Some(Ok(piece)))
    }
}

fn header_too_large() -> Error {
    Error::new(ErrorCode::PayloadTooLarge)
        .message(format!("the header of a part has {PART_HEADER_BYTES} bytes at most"))
}

/// What went wrong in a form.
fn form_error(error: multer::Error) -> Error {
    use multer::Error as E;
    match error {
        E::StreamReadFailed(cause) => match cause.downcast::<Error>() {
            Ok(error) => *error,
            Err(cause) => Error::internal(cause),
        },
        E::FieldSizeExceeded { limit, .. } => {
            Error::new(ErrorCode::PayloadTooLarge).message(format!("the file has more than {limit} bytes"))
        }
        E::StreamSizeExceeded { limit } => too_large(limit),
        E::LockFailure => Error::internal("a part of a form was not let go"),
        // Which is all that it says of where.
        _ => wrong("the form is broken: it ends too early, or a part of it has no proper header"),
    }
}

/// A form, part by part.
struct Parts {
    form: Multipart<'static>,
    between: Arc<Mutex<Option<usize>>>,
}

impl Parts {
    fn of(boundary: &str, body: &Arc<Mutex<Incoming>>, file_limit: u64) -> Self {
        let between = Arc::new(Mutex::new(None));
        let feed = Feed { body: body.clone(), rest: Bytes::new(), between: between.clone(), rests: false };
        let limits = SizeLimit::new().per_field(file_limit);
        Self { form: Multipart::with_constraints(feed, boundary, Constraints::new().size_limit(limits)), between }
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>> {
        // What is in the buffer of the end of the part before, and what comes with the header.
        *self.between.lock() = Some(PART_HEADER_BYTES + 2 * PIECE);
        let part = self.form.next_field().await.map_err(form_error)?;
        *self.between.lock() = None;
        if let Some(part) = &part {
            let bytes =
                |(name, value): (&header::HeaderName, &header::HeaderValue)| name.as_str().len() + value.len() + 4;
            if part.headers().iter().map(bytes).sum::<usize>() > PART_HEADER_BYTES {
                return Err(header_too_large());
            }
        }
        Ok(part)
    }
}

/// Whether a part is a file, and not a field.
fn is_file(part: &Field<'_>) -> bool {
    let is_other = |essence: &str| !matches!(essence, "text/plain" | "application/json");
    part.file_name().is_some() || part.content_type().is_some_and(|kind| is_other(kind.essence_str()))
}

async fn multipart(
    context: &Context,
    index: ModelIndex,
    id: String,
    boundary: &str,
    body: &Arc<Mutex<Incoming>>,
) -> Result<Vec<u8>> {
    let scope = context.scope();
    let operation = scope.operation(index, OperationKind::Upload, &id)?;
    let mut parts = Parts::of(boundary, body, context.server.configuration.uploads.limit_of(operation));
    let mut fields = Fields::of(operation.args.as_ref().map(|args| args.json(context.audience())));
    let mut left = context.server.configuration.limits.body;
    for at in 0.. {
        let Some(mut part) = parts.next().await? else { return Err(wrong("the form has no file")) };
        if is_file(&part) {
            let (name, kind) = (part.file_name().and_then(file_name), part.content_type().map(ToString::to_string));
            // What is wrong with the fields is told before the file is read.
            let args = fields.whole()?;
            let (filling, file) = pipe();
            let given = filling.given.clone();
            let file = described(file, name, kind);
            let filled = async move {
                let outcome = fill(&filling, part, parts).await;
                filling.end(outcome).await;
            };
            return called(context, index, id, args, file, (given, filled)).await;
        }
        if at == FIELDS {
            return Err(wrong(format!("a form has {FIELDS} fields at most")));
        }
        let name = part.name().ok_or_else(|| wrong("a field has no name"))?.to_owned();
        let is_json = part.content_type().is_some_and(|kind| kind.essence_str() == "application/json");
        let mut pieces = Pieces::up_to(left);
        while let Some(piece) = part.chunk().await.map_err(form_error)? {
            if !pieces.push(piece) {
                let most = context.server.configuration.limits.body;
                let text = format!("the fields of the form have more than {most} bytes");
                return Err(Error::new(ErrorCode::PayloadTooLarge).message(text));
            }
        }
        let text = pieces.whole();
        left -= text.len();
        let text = std::str::from_utf8(&text).map_err(|_| wrong("a field is not UTF-8"))?;
        fields.take(&name, text, is_json)?;
    }
    Err(wrong("the form has no file"))
}

/// Hands over the file of a form, which has to be the last of it: what comes after it could not be given to the handler any more.
async fn fill(filling: &Filling, mut part: Field<'static>, mut parts: Parts) -> Result<()> {
    while let Some(piece) = part.chunk().await.map_err(form_error)? {
        if !piece.is_empty() && !filling.push(piece).await {
            // The handler has read enough.
            return Ok(());
        }
    }
    // Only then the next one is looked for.
    drop(part);
    match parts.next().await? {
        None => Ok(()),
        Some(_) => Err(wrong("the file is the last part of a form, and there is one")),
    }
}

pub(super) fn described(file: File, name: Option<String>, content_type: Option<String>) -> File {
    let file = match name {
        Some(name) => file.with_name(name),
        None => file,
    };
    match content_type {
        Some(kind) => file.with_content_type(kind),
        None => file,
    }
}

async fn bare(
    context: &Context,
    index: ModelIndex,
    id: String,
    query: &str,
    name: Option<String>,
    content_type: String,
    body: &Arc<Mutex<Incoming>>,
) -> Result<Vec<u8>> {
    let args = Asked::read(query, false)?.args;
    let (filling, file) = pipe();
    let given = filling.given.clone();
    let body = body.clone();
    let filled = async move {
        let outcome = loop {
            match std::future::poll_fn(|waker| body.lock().poll_next(waker)).await {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(piece)) => {
                    if !filling.push(piece).await {
                        break Ok(());
                    }
                }
            }
        };
        filling.end(outcome).await;
    };
    called(context, index, id, args, described(file, name, Some(content_type)), (given, filled)).await
}

/// Runs the handler while its file is filled.
async fn called(
    context: &Context,
    index: ModelIndex,
    id: String,
    args: Option<serde_json::Value>,
    file: File,
    (given, filled): (Arc<AtomicU64>, impl Future<Output = ()>),
) -> Result<Vec<u8>> {
    let (name, content_type) = (file.name().map(str::to_owned), file.content_type().map(str::to_owned));
    let of_call = context.clone();
    let call = context.to_the_end(async move {
        let output = of_call.call(index, OperationKind::Upload, &id, args, With::File(Box::new(file))).await?;
        let answer = answer_json(output.as_ref(), of_call.audience())?;
        let model = of_call.server.runtime.model(index)?.schema.id.to_string();
        of_call.server.configuration.events.uploaded.tell(|| Uploaded {
            operation: Some((model, id)),
            id: None,
            name,
            content_type,
            bytes: given.load(Ordering::Relaxed),
            metadata: BTreeMap::new(),
            caller: of_call.caller.clone(),
        });
        Ok(answer)
    });
    // When the handler is through, nobody takes what is filled in, and that ends as well.
    let (outcome, ()) = tokio::join!(call, filled);
    outcome
}

/// What goes into the file of a handler.
struct Filling {
    sender: mpsc::Sender<Result<Option<Bytes>>>,
    /// How many bytes were given.
    given: Arc<AtomicU64>,
}

/// A file that is filled while it is read. It ends when that is said; dropped before, it has broken off.
fn pipe() -> (Filling, File) {
    let (sender, receiver) = mpsc::channel(1);
    (Filling { sender, given: Arc::default() }, File::from_stream(Filled { receiver, ended: false }))
}

impl Filling {
    /// Waits until there is room. False when nobody reads.
    async fn push(&self, piece: Bytes) -> bool {
        // Counted before it is read, which another thread may do to the end.
        let bytes = piece.len() as u64;
        self.given.fetch_add(bytes, Ordering::Relaxed);
        let is_taken = self.sender.send(Ok(Some(piece))).await.is_ok();
        if !is_taken {
            self.given.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    async fn end(self, outcome: Result<()>) {
        let _ = self.sender.send(outcome.map(|()| None)).await;
    }
}

struct Filled {
    receiver: mpsc::Receiver<Result<Option<Bytes>>>,
    ended: bool,
}

impl Stream for Filled {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(waker).map(|piece| match piece {
            Some(Ok(Some(piece))) => Some(Ok(piece)),
            Some(Ok(None)) => {
                self.ended = true;
                None
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            None => {
                self.ended = true;
                Some(Err(broke_off()))
            }
        })
    }
}
