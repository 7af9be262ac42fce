//! `/@files`: resumable uploads by the protocol tus 1.0 (<https://tus.io/protocols/resumable-upload>), with the extensions *creation*,
//! *creation-with-upload*, *creation-defer-length*, *expiration*, *checksum* and *termination*.
//!
//! Beside the protocol, `GET` answers where an upload stands as JSON, and when it is done, what its handler answered.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::checksum::{ALGORITHMS, Checksum};
use super::files::{self, Append, Metadata};
use super::incoming::Incoming;
use super::store::{Phase, State};
use super::stream::OFFSET;
use crate::error::{Error, ErrorCode, Result};
use crate::server::call::Context;
use crate::server::respond;
use crate::server::router::Segments;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderName = HeaderName::from_static("tus-version");
const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

const ONE: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,creation-defer-length,expiration,checksum,termination");
const BYTES: &str = "application/offset+octet-stream";

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidRequest).message(text.into())
}

/// `/@files`
pub(in crate::server) async fn all(context: Context, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(&parts.headers, body, u64::MAX);
    let outcome = match method(&parts) {
        Ok(Method::OPTIONS) => return finished(options(&context)),
        Ok(Method::POST) => match another_version(&parts.headers) {
            None => create(&context, &parts, &mut body).await,
            Some(refusal) => Ok(refusal),
        },
        Ok(_) => Err(not_allowed()),
        Err(error) => Err(error),
    };
    body.discard().await;
    finished(outcome.unwrap_or_else(IntoResponse::into_response))
}

/// `/@files/{id}`
pub(in crate::server) async fn one(context: Context, at: Segments, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(&parts.headers, body, u64::MAX);
    let method = method(&parts);
    if matches!(method, Ok(Method::OPTIONS)) {
        return finished(options(&context));
    }
    if !matches!(method, Ok(Method::GET))
        && let Some(refusal) = another_version(&parts.headers)
    {
        body.discard().await;
        return finished(refusal);
    }
    let outcome = match method {
        Ok(Method::HEAD) => head(&context, at.id()).await,
        Ok(Method::GET) => get(&context, at.id()).await,
        Ok(Method::DELETE) => delete(&context, at.id()).await,
        Ok(Method::PATCH) => patch(&context, at.id(), &parts, &mut body).await,
        Ok(_) => Err(not_allowed()),
        Err(error) => Err(error),
    };
    body.discard().await;
    finished(outcome.unwrap_or_else(IntoResponse::into_response))
}

fn not_allowed() -> Error {
    Error::new(ErrorCode::MethodNotAllowed).message("this path cannot be asked with this method")
}

/// What every answer has.
fn finished(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(RESUMABLE, ONE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The method that is meant, where the one that is wanted cannot be sent.
fn method(parts: &Parts) -> Result<Method> {
    match parts.headers.get(METHOD_OVERRIDE) {
        None => Ok(parts.method.clone()),
        Some(meant) => match meant.as_bytes() {
            b"PATCH" => Ok(Method::PATCH),
            b"DELETE" => Ok(Method::DELETE),
            b"HEAD" => Ok(Method::HEAD),
            b"POST" => Ok(Method::POST),
            _ => Err(wrong("`X-HTTP-Method-Override` is a method of uploads")),
        },
    }
}

/// Refuses another version of the protocol, or none.
pub(super) fn another_version(headers: &HeaderMap) -> Option<Response> {
    if headers.get(RESUMABLE).is_some_and(|version| *version == ONE) {
        return None;
    }
    let error = wrong("the version of the protocol is 1.0.0, which `Tus-Resumable` says").status(412);
    let mut response = error.into_response();
    response.headers_mut().insert(VERSION, ONE);
    Some(response)
}

fn options(context: &Context) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(VERSION, ONE);
    headers.insert(EXTENSION, EXTENSIONS);
    headers.insert(MAX_SIZE, HeaderValue::from(context.server.configuration.uploads.highest));
    headers.insert(CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHMS));
    headers.insert(header::ALLOW, HeaderValue::from_static("OPTIONS, POST, HEAD, PATCH, DELETE, GET"));
    response
}

/// The one value of a header.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(Some).ok_or_else(|| wrong(format!("`{name}` is given once, in ASCII")))
}

/// A number of bytes, in digits alone.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.map(Some).ok_or_else(|| wrong(format!("`{name}` is a number of bytes")))
}

fn is_bytes(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(BYTES.as_bytes()))
}

fn unsupported() -> Error {
    Error::new(ErrorCode::UnsupportedMediaType).message(format!("the body has to be of type `{BYTES}`"))
}

/// Begins an upload, with its first bytes if there are any.
async fn create(context: &Context, parts: &Parts, body: &mut Incoming) -> Result<Response> {
    let headers = &parts.headers;
    if headers.contains_key("upload-concat") {
        return Err(wrong("uploads are not put together from parts"));
    }
    let length = match (number(headers, &LENGTH)?, text(headers, &DEFER_LENGTH)?) {
        (Some(length), None) => Some(length),
        (None, Some("1")) => None,
        _ => return Err(wrong("an upload says its `Upload-Length`, or `Upload-Defer-Length: 1`")),
    };
    let metadata = Metadata::parse(text(headers, &METADATA)?.unwrap_or_default())?;
    let has_bytes = headers.contains_key(header::CONTENT_TYPE);
    if !is_bytes(headers) && (has_bytes || body.announced() > 0) {
        return Err(unsupported());
    }
    let checksum = text(headers, &CHECKSUM)?.map(Checksum::parse).transpose()?;
    let counted = context.server.configuration.uploads.enter(&context.caller, context.peer)?;
    let upload = files::create(context, context.peer, length, &metadata).await?;
    let location = format!("/@files/{}", upload.id);
    let mut error = None;
    // One without bytes is whole as it is.
    if has_bytes || length == Some(0) {
        let append = Append { offset: 0, length: None, checksum };
        let taken = std::mem::replace(body, Incoming::none());
        let (outcome, rest) = files::append(context, upload.clone(), append, taken).await;
        *body = rest.unwrap_or_else(Incoming::none);
        error = outcome.err();
    }
    drop(counted);
    let state = upload.state();
    let mut response = match error {
        // What was refused by the handler, or did not have its checksum; else the client goes on from where it is.
        Some(error) if state.phase != Phase::Open || error.http_status() == 460 || state.is_whole() => {
            error.into_response()
        }
        _ => empty(StatusCode::CREATED),
    };
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(standing(response, &state))
}

/// An answer that says where the upload stands.
fn standing(mut response: Response, state: &State) -> Response {
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(state.offset));
    if let Some(expires) = http_date(state.expires) {
        headers.insert(EXPIRES, expires);
    }
    response
}

/// RFC 9110 §5.6.7
fn http_date(milliseconds: u64) -> Option<HeaderValue> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()?;
    HeaderValue::try_from(time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

async fn patch(context: &Context, id: &str, parts: &Parts, body: &mut Incoming) -> Result<Response> {
    let headers = &parts.headers;
    let upload = files::find(context, id).await?;
    if !is_bytes(headers) {
        return Err(unsupported());
    }
    let offset = number(headers, &OFFSET)?.ok_or_else(|| wrong("`Upload-Offset` is missing"))?;
    let checksum = text(headers, &CHECKSUM)?.map(Checksum::parse).transpose()?;
    let append = Append { offset, length: number(headers, &LENGTH)?, checksum };
    let counted = context.server.configuration.uploads.enter(&context.caller, context.peer)?;
    let taken = std::mem::replace(body, Incoming::none());
    let (outcome, rest) = files::append(context, upload, append, taken).await;
    *body = rest.unwrap_or_else(Incoming::none);
    drop(counted);
    Ok(standing(empty(StatusCode::NO_CONTENT), &outcome?))
}

async fn head(context: &Context, id: &str) -> Result<Response> {
    let upload = files::find(context, id).await?;
    let state = files::ask(context, &upload).await?;
    if matches!(state.phase, Phase::Failed | Phase::Gone) {
        return Err(Error::not_found(ErrorCode::NotFound, id).status(410));
    }
    let mut response = standing(empty(StatusCode::OK), &state);
    let headers = response.headers_mut();
    match state.length {
        Some(length) => headers.insert(LENGTH, HeaderValue::from(length)),
        None => headers.insert(DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    let metadata = files::metadata_header(context, &upload).await?;
    if let Some(metadata) = HeaderValue::try_from(metadata).ok().filter(|metadata| !metadata.is_empty()) {
        headers.insert(METADATA, metadata);
    }
    Ok(response)
}

async fn get(context: &Context, id: &str) -> Result<Response> {
    let upload = files::find(context, id).await?;
    if upload.state().phase == Phase::Open {
        files::ask(context, &upload).await?;
    }
    let described = files::described_state(context, &upload).await?;
    Ok(respond::json(StatusCode::OK, serde_json::to_vec(&described)?))
}

async fn delete(context: &Context, id: &str) -> Result<Response> {
    let upload = files::find(context, id).await?;
    files::terminate(context, &upload).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
