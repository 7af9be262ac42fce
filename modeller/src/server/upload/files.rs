//! Resumable uploads, whatever carries them: what they are for, who may do what with them, and what happens when one is whole.
//!
//! An upload says in its metadata which operation it is for (`model`, `upload`, and `args` as JSON). Whether the caller may run it is
//! asked when the upload begins, and again when it is whole; then the handler is given a file that is read from the disk, and what it
//! answers is remembered for an hour. An upload that says nothing is for the program, if that wants such: see
//! [`AppBuilder::upload_handler`](crate::AppBuilder::upload_handler).
//!
//! A handler that refuses an upload ends it. One that fails through no fault of the caller, or is interrupted by the end of the
//! process, is run again when the client asks again where the upload stands, or sends its last bytes again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::WholeUpload;
use super::checksum::Checksum;
use super::form::{described, file_name};
use super::incoming::Incoming;
use super::store::{Outcome, Phase, State, Store, Turn, Upload};
use crate::core::collection::ModelIndex;
use crate::core::private::Audience;
use crate::core::schema::parse_json;
use crate::error::{Error, ErrorCode, Result};
use crate::model::caller::Caller;
use crate::model::handler::With;
use crate::model::once::answer_json;
use crate::model::runtime::OperationKind;
use crate::model::upload::File;
use crate::server::call::Context;
use crate::server::events::Uploaded;
use crate::server::network::Peer;
use crate::server::stopped;

/// How long the metadata of an upload is, as a header, and how many members it has.
const METADATA_BYTES: usize = 8 << 10;
const METADATA_MEMBERS: usize = 64;
/// Of whom nothing came for so long, he is taken to be gone when somebody asks where the upload stands.
const STALLED: Duration = Duration::from_secs(1);
/// How long it is waited for him to leave.
const LEAVING: Duration = Duration::from_secs(5);
/// How long it is waited for a handler whose answer somebody wants to know.
const HANDLING: Duration = Duration::from_secs(30);

const BASE64_LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidRequest).message(text.into())
}

/// Whether a member of the metadata may have this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn wrong_name() -> Error {
    wrong("the name of a member of the metadata is visible ASCII without a comma")
}

/// Somebody else writes to the upload.
fn locked() -> Error {
    Error::new(ErrorCode::Conflict).message("another request is at this upload").status(423)
}

/// What a client says of an upload, texts by names.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) members: BTreeMap<String, String>,
    /// As it came.
    header: String,
}

impl Metadata {
    /// Reads the header `Upload-Metadata`: names, each with a value in Base64 if it has one, separated by commas.
    ///
    /// # Errors
    /// `INVALID_REQUEST`
    pub(super) fn parse(header: &str) -> Result<Self> {
        if header.len() > METADATA_BYTES {
            return Err(wrong(format!("the metadata of an upload has {METADATA_BYTES} bytes at most")));
        }
        let mut members = BTreeMap::new();
        for pair in header.split(',').map(str::trim).filter(|_| !header.trim().is_empty()) {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if !is_name(name) {
                return Err(wrong_name());
            }
            let value = BASE64_LENIENT.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let value = value.ok_or_else(|| wrong("a value of the metadata is UTF-8 in Base64"))?;
            if members.insert(name.to_owned(), value).is_some() || members.len() > METADATA_MEMBERS {
                return Err(wrong(format!("the metadata has {METADATA_MEMBERS} members at most, each once")));
            }
        }
        Ok(Self { members, header: header.to_owned() })
    }

    /// Reads an object of texts; `args` may be any JSON.
    ///
    /// # Errors
    /// `INVALID_REQUEST`
    pub(super) fn of_json(members: Map<String, Value>) -> Result<Self> {
        let text = |(name, value): (String, Value)| match value {
            // In a header a comma would end the member, and without a name the value would be one.
            _ if !is_name(&name) || name.contains(',') => Err(wrong_name()),
            Value::String(text) if name != "args" => Ok((name, text)),
            value if name == "args" => Ok((name, value.to_string())),
            _ => Err(wrong("the metadata are texts")),
        };
        let members = members.into_iter().map(text).collect::<Result<Vec<_>>>()?;
        let pairs = members.iter().map(|(name, value)| format!("{name} {}", BASE64_STANDARD.encode(value)));
        // The same bounds hold, and what is kept is the header.
        Self::parse(&pairs.collect::<Vec<_>>().join(","))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.members.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Name and type of the file, by the names that clients of tus use.
    fn describe(&self, file: File) -> File {
        let name = self.get("filename").or_else(|| self.get("name")).and_then(file_name);
        let kind = self.get("filetype").or_else(|| self.get("type"));
        described(file, name, kind.map(str::to_owned))
    }
}

/// What an upload is for.
enum Purpose {
    Operation { index: ModelIndex, id: String, args: Option<Value>, limit: u64 },
    Program { limit: u64 },
}

impl Purpose {
    /// How many bytes such an upload has at most.
    fn limit(&self) -> u64 {
        let (Self::Operation { limit, .. } | Self::Program { limit }) = self;
        *limit
    }
}

/// What an upload is for, when the caller may have that.
///
/// # Errors
/// Those of calling the operation without its file.
fn purpose(context: &Context, metadata: &Metadata) -> Result<Purpose> {
    let uploads = &context.server.configuration.uploads;
    let (model, id) = match (metadata.get("model"), metadata.get("upload")) {
        (Some(model), Some(id)) => (model, id),
        (None, None) if uploads.handler.is_some() => return Ok(Purpose::Program { limit: uploads.limit }),
        _ => return Err(wrong("the metadata of an upload says what it is for: `model` and `upload`")),
    };
    let index = context.visible(model)?;
    let scope = context.scope();
    let operation = scope.operation(index, OperationKind::Upload, id)?;
    let args = metadata.get("args").map(|text| parse_json(text.as_bytes())).transpose()?;
    scope.args(operation, args.clone(), context.audience())?;
    Ok(Purpose::Operation { index, id: id.to_owned(), args, limit: uploads.limit_of(operation) })
}

fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// Whose the uploads are that a caller begins: nobody's, when he is not verified.
pub(super) fn owner(caller: &Caller) -> Option<String> {
    caller.is_verified().then(|| hash(&caller.identity()))
}

async fn store(context: &Context) -> Result<Arc<Store>> {
    context.server.configuration.uploads.store().await
}

/// The upload of that id, for the caller.
///
/// # Errors
/// `NOT_FOUND`
pub(super) async fn find(context: &Context, id: &str) -> Result<Arc<Upload>> {
    store(context).await?.find(id, owner(&context.caller).as_deref())
}

/// Begins an upload.
///
/// # Errors
/// Those of calling its operation without its file, and those of the bounds.
pub(super) async fn create(
    context: &Context,
    peer: Peer,
    length: Option<u64>,
    metadata: &Metadata,
) -> Result<Arc<Upload>> {
    let limit = purpose(context, metadata)?.limit();
    let counted = hash(&super::owner(&context.caller, peer));
    store(context).await?.create(owner(&context.caller), counted, length, limit, metadata.header.clone()).await
}

/// What is appended.
pub(super) struct Append {
    pub(super) offset: u64,
    /// How long the upload is, when that was not known before.
    pub(super) length: Option<u64>,
    pub(super) checksum: Option<Checksum>,
}

/// Appends what a body has, as far as it comes, and hands the upload over when it is whole. It goes on when the client is gone, so
/// that what has come is kept.
///
/// # Errors
/// 409 for another offset than the one where the upload ends, 423 while somebody else appends, those of the body, those of the handler.
pub(super) async fn append(
    context: &Context,
    upload: Arc<Upload>,
    append: Append,
    mut body: Incoming,
) -> (Result<State>, Option<Incoming>) {
    let of_task = context.clone();
    let appended = context.to_the_end(async move {
        let outcome = Box::pin(append_now(&of_task, &upload, append, &mut body)).await;
        Ok((outcome, body))
    });
    match appended.await {
        Ok((outcome, body)) => (outcome, Some(body)),
        Err(error) => (Err(error), None),
    }
}

async fn append_now(context: &Context, upload: &Arc<Upload>, append: Append, body: &mut Incoming) -> Result<State> {
    let store = store(context).await?;
    let turn = upload.try_turn().ok_or_else(locked)?;
    let before = upload.state();
    match before.phase {
        Phase::Open | Phase::Done => {}
        Phase::Failed | Phase::Gone => return Err(Error::not_found(ErrorCode::NotFound, &upload.id.to_string())),
    }
    if append.offset != before.offset {
        return Err(Error::new(ErrorCode::Conflict)
            .message(format!("the upload ends at {}, not at {}", before.offset, append.offset))
            .detail("expected", append.offset)
            .detail("actual", before.offset));
    }
    match (append.length, before.length) {
        (Some(given), Some(known)) if given != known => {
            return Err(wrong(format!("the upload has {known} bytes, and not {given}")));
        }
        (Some(given), None) if given < before.offset => {
            return Err(wrong(format!("there are {} bytes already", before.offset)));
        }
        (Some(given), None) => store.set_length(upload, &turn, given).await?,
        _ => {}
    }
    if before.phase == Phase::Done {
        return if body.announced() == 0 { Ok(before) } else { Err(wrong("the upload is whole")) };
    }
    let left = upload.most().saturating_sub(before.offset);
    if body.announced() > left {
        let text = format!("the upload has {left} more bytes, and not {}", body.announced());
        return Err(Error::new(ErrorCode::PayloadTooLarge).message(text));
    }
    if left > 0 {
        take(context, &store, upload, &turn, append.checksum, body).await?;
    }
    if upload.state().is_whole() {
        complete(context, &store, upload, &turn).await?;
    }
    Ok(upload.state())
}

/// Writes what comes.
async fn take(
    context: &Context,
    store: &Arc<Store>,
    upload: &Arc<Upload>,
    turn: &Turn,
    checksum: Option<Checksum>,
    body: &mut Incoming,
) -> Result<()> {
    let mut hurry = pin!(upload.hurry.notified());
    hurry.as_mut().enable();
    let mut stopping = context.server.stopping.subscribe();
    let mut ending = pin!(stopped(&mut stopping));
    let mut appending = store.append(upload, turn, checksum).await?;
    let outcome = loop {
        let piece = tokio::select! {
            biased;
            () = hurry.as_mut() => break Err(locked()),
            () = ending.as_mut() => break Err(Error::new(ErrorCode::Unavailable).message("the server stops")),
            piece = body.next() => piece,
        };
        match piece {
            None => break appending.check(),
            Some(Err(error)) => break Err(error),
            // What does not fit is no reason to keep what is before it, and what the disk does not take even less.
            Some(Ok(piece)) => appending.write(&piece).await?,
        }
    };
    // Of what breaks off, what came is kept; of what was to be checked, nothing that was not.
    let is_wrong = outcome.as_ref().is_err_and(|error| error.http_status() == 460);
    if !is_wrong && !appending.is_unchecked() {
        appending.keep().await?;
    }
    outcome
}

/// Hands a whole upload to its handler.
async fn complete(context: &Context, store: &Arc<Store>, upload: &Arc<Upload>, turn: &Turn) -> Result<()> {
    let record = store.record(upload).await?;
    let metadata = Metadata::parse(&record.metadata)?;
    // Who is verified now, and has not begun it, does not lend his rights to it.
    let caller = if upload.is_nobodys() { Caller::anyone() } else { context.caller.clone() };
    let context = Context { caller, ..context.clone() };
    match run(&context, store, upload, &metadata).await {
        Ok(answer) => {
            let answer = String::from_utf8(answer).map_err(Error::internal)?;
            store.end(upload, turn, Outcome::Done(Some(answer))).await
        }
        Err(error) => {
            if error.http_status() < 500 {
                let known = error.for_anyone().filter(|_| context.audience() == Audience::Anyone);
                let problem = known.as_ref().unwrap_or(&error).to_json();
                store.end(upload, turn, Outcome::Failed(problem)).await?;
            }
            Err(error)
        }
    }
}

/// Runs what an upload is for, and answers the bytes of JSON.
async fn run(context: &Context, store: &Arc<Store>, upload: &Arc<Upload>, metadata: &Metadata) -> Result<Vec<u8>> {
    let purpose = purpose(context, metadata)?;
    let file = metadata.describe(store.file(upload).await?);
    let (name, content_type) = (file.name().map(str::to_owned), file.content_type().map(str::to_owned));
    let mut operation = None;
    let answer = match purpose {
        Purpose::Operation { index, id, args, .. } => {
            let output = context.call(index, OperationKind::Upload, &id, args, With::File(Box::new(file))).await?;
            operation = Some((context.server.runtime.model(index)?.schema.id.to_string(), id));
            answer_json(output.as_ref(), context.audience())?
        }
        Purpose::Program { .. } => {
            let Some(handler) = &context.server.configuration.uploads.handler else {
                return Err(Error::internal("there is nobody to take the upload"));
            };
            let whole = WholeUpload {
                id: upload.id.to_string(),
                file,
                metadata: metadata.members.clone(),
                caller: context.caller.clone(),
                app: context.server.app.clone(),
            };
            crate::model::runtime::caught(handler(whole, context.audience())).await?
        }
    };
    context.server.configuration.events.uploaded.tell(|| Uploaded {
        operation,
        id: Some(upload.id.to_string()),
        name,
        content_type,
        bytes: upload.state().offset,
        metadata: metadata.members.clone(),
        caller: context.caller.clone(),
    });
    Ok(answer)
}

/// Where an upload stands. When it is whole and nobody has taken it yet, it is handed over first.
///
/// # Errors
/// Those of the handler; 423 while that is at it for long.
pub(super) async fn ask(context: &Context, upload: &Arc<Upload>) -> Result<State> {
    if upload.state().phase == Phase::Open && upload.state().heard.elapsed() > STALLED && upload.try_turn().is_none() {
        // Whoever asks has lost the connection on which he sent, which only he knows yet.
        upload.hurry.notify_waiters();
        drop(upload.turn_within(LEAVING).await);
    }
    let state = upload.state();
    if state.phase != Phase::Open || !state.is_whole() {
        return Ok(state);
    }
    let turn = upload.turn_within(HANDLING).await.ok_or_else(locked)?;
    if upload.state().phase == Phase::Open {
        let (of_task, upload) = (context.clone(), upload.clone());
        let completed = context.to_the_end(async move {
            let store = store(&of_task).await?;
            Box::pin(complete(&of_task, &store, &upload, &turn)).await
        });
        completed.await?;
    }
    Ok(upload.state())
}

/// Takes an upload back, with what has come of it.
///
/// # Errors
/// 423 while its handler runs.
pub(super) async fn terminate(context: &Context, upload: &Arc<Upload>) -> Result<()> {
    upload.hurry.notify_waiters();
    let turn = upload.turn_within(LEAVING).await.ok_or_else(locked)?;
    store(context).await?.remove(upload, turn).await
}

/// The header that the upload was begun with.
pub(super) async fn metadata_header(context: &Context, upload: &Upload) -> Result<String> {
    Ok(store(context).await?.record(upload).await?.metadata)
}

/// Where an upload stands, as JSON: `id`, `offset`, `length`, `expires`, `done`, and when it is done `result`.
///
/// # Errors
/// What its handler refused it by.
pub(super) async fn described_state(context: &Context, upload: &Upload) -> Result<Value> {
    let state = upload.state();
    let mut body = json!({
        "id": upload.id.to_string(),
        "offset": state.offset,
        "length": state.length,
        "expires": timestamp(state.expires),
        "done": state.phase == Phase::Done,
    });
    if matches!(state.phase, Phase::Open | Phase::Gone) {
        return Ok(body);
    }
    match store(context).await?.record(upload).await?.outcome {
        Some(Outcome::Failed(problem)) => Err(as_it_was(problem)),
        Some(Outcome::Done(Some(answer))) => {
            body["result"] = serde_json::from_str(&answer)?;
            Ok(body)
        }
        // It was too long.
        Some(Outcome::Done(None)) | None => Ok(body),
    }
}

/// An error that was written down.
fn as_it_was(problem: Value) -> Error {
    let Value::Object(mut members) = problem else { return Error::internal("a problem is an object") };
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let status = members.remove("status").and_then(|status| u16::try_from(status.as_u64()?).ok());
    let (code, detail) = (text(members.remove("code")), text(members.remove("detail")));
    let (_, _) = (members.remove("type"), members.remove("title"));
    let violations = members.remove("errors").and_then(|errors| serde_json::from_value(errors).ok());
    let error = match violations {
        Some(violations) if code == ErrorCode::ValidationError.as_str() => Error::validation(violations),
        _ => Error::new(code),
    };
    let error = members.into_iter().fold(error.message(detail), |error, (name, value)| error.detail(name, value));
    error.status(status.unwrap_or(400))
}

/// A time of RFC 3339.
fn timestamp(milliseconds: u64) -> Option<String> {
    let milliseconds = i64::try_from(milliseconds).ok()?;
    jiff::Timestamp::from_millisecond(milliseconds).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata() {
        let metadata = Metadata::parse("filename d29ybGQ=,is_confidential, model Zg").unwrap();
        let expected = [("filename", "world"), ("is_confidential", ""), ("model", "f")];
        assert_eq!(metadata.members, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(Metadata::parse("").unwrap().members.len(), 0);
        let many = (0..65).map(|at| format!("k{at} ZA==")).collect::<Vec<_>>().join(",");
        for wrong in
            ["a ZA==,a ZA==", ",", "a %", "a \u{ff}", "é ZA==", "a /w==", "a ZA== ZA==", &many, &"x".repeat(9000)]
        {
            assert_eq!(Metadata::parse(wrong).unwrap_err().code(), &ErrorCode::InvalidRequest, "{wrong}");
        }
        let members = Map::from_iter([("args".to_owned(), json!({"a": 1})), ("model".to_owned(), json!("m"))]);
        let metadata = Metadata::of_json(members).unwrap();
        assert_eq!((metadata.get("args"), metadata.get("model")), (Some("{\"a\":1}"), Some("m")));
        assert!(Metadata::of_json(Map::from_iter([("model".to_owned(), json!(1))])).is_err());
        assert!(Metadata::of_json(Map::from_iter([("a b".to_owned(), json!("x"))])).is_err());
    }

    #[test]
    fn a_problem_is_read_as_it_was_written() {
        for error in [
            Error::new("QUOTA_EXCEEDED").message("only 3").status(402).detail("limit", 3),
            Error::validation(vec![crate::Violation {
                instance_path: "/a".into(),
                keyword: "type".into(),
                message: "must be string".into(),
                params: json!({"type": "string"}),
                schema_path: "#/a".into(),
            }]),
            Error::new(ErrorCode::NotFound),
        ] {
            assert_eq!(as_it_was(error.to_json()).to_json(), error.to_json());
        }
    }
}
