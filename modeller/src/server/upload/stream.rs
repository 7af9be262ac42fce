//! `POST /{model}/{operation}` of a stream: the body as it is, cut into chunks, each of which is a call of the handler.
//!
//! One request may have one chunk (`?offset=…&last=false`), or all of them. The arguments are JSON in the parameter `args` of the query
//! string. The answer is that of the last chunk; how many bytes were taken stands in `Upload-Offset`, and in an error as `offset`, so
//! that a client can go on from there.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::BytesMut;
use serde_json::Value;

use super::args::Asked;
use super::incoming::Incoming;
use super::refuse_key;
use crate::core::collection::ModelIndex;
use crate::error::{Error, ErrorCode, Result};
use crate::model::handler::With;
use crate::model::once::answer_json;
use crate::model::runtime::OperationKind;
use crate::model::upload::{Chunk, MAX_CHUNK};
use crate::server::call::Context;
use crate::server::respond;

pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// `POST /{model}/{operation}` of a stream.
pub(in crate::server) async fn stream(
    context: Context,
    index: ModelIndex,
    id: String,
    request: Request,
) -> Result<Response> {
    context.scope().operation(index, OperationKind::Stream, &id)?;
    let (parts, body) = request.into_parts();
    refuse_key(&parts.headers)?;
    let asked = Asked::read(parts.uri.query().unwrap_or_default(), true);
    let uploads = &context.server.configuration.uploads;
    let mut body = Incoming::new(&parts.headers, body, uploads.limit);
    let entered = uploads.enter(&context.caller, context.peer);
    let checked = entered.and_then(|counted| body.check_announced().and(asked).map(|asked| (asked, counted)));
    let (asked, counted) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            body.discard().await;
            return Err(error);
        }
    };
    let mut taken = Taken { offset: asked.offset.unwrap_or(0), answer: Vec::new() };
    let last = asked.last.unwrap_or(true);
    let outcome = taken.all(&context, index, &id, asked.args, last, &mut body).await;
    if outcome.is_err() {
        body.discard().await;
    }
    drop(counted);
    outcome.map_err(|error| error.detail("offset", taken.offset))?;
    let mut response = respond::json(StatusCode::OK, taken.answer);
    response.headers_mut().insert(OFFSET, HeaderValue::from(taken.offset));
    Ok(response)
}

/// What was taken of a stream.
struct Taken {
    offset: u64,
    /// What the handler said to the last chunk.
    answer: Vec<u8>,
}

impl Taken {
    async fn all(
        &mut self,
        context: &Context,
        index: ModelIndex,
        id: &str,
        args: Option<Value>,
        last: bool,
        body: &mut Incoming,
    ) -> Result<()> {
        let mut cut = Cut::default();
        loop {
            let (bytes, is_end) = cut.next(body).await?;
            let next = add(self.offset, bytes.len())?;
            let chunk = Chunk::new(bytes).at(self.offset);
            let chunk = if last && is_end { chunk.last() } else { chunk };
            let (of_call, id, args) = (context.clone(), id.to_owned(), args.clone());
            let called = context.to_the_end(async move { one(&of_call, index, &id, args, chunk).await });
            self.answer = called.await?;
            self.offset = next;
            if is_end {
                return Ok(());
            }
        }
    }
}

fn add(offset: u64, bytes: usize) -> Result<u64> {
    let next = offset.checked_add(bytes as u64);
    next.ok_or_else(|| Error::new(ErrorCode::InvalidRequest).message("there is nothing behind this offset"))
}

/// Hands over one chunk, and answers the bytes of JSON.
pub(in crate::server) async fn one(
    context: &Context,
    index: ModelIndex,
    id: &str,
    args: Option<Value>,
    chunk: Chunk,
) -> Result<Vec<u8>> {
    let output = context.call(index, OperationKind::Stream, id, args, With::Chunk(Box::new(chunk))).await?;
    answer_json(output.as_ref(), context.audience())
}

/// A body, cut into chunks. Each but the last has the length that a chunk has at most.
#[derive(Default)]
struct Cut {
    /// What came after the end of the chunk before.
    rest: Bytes,
}

impl Cut {
    /// The next chunk, and whether there is none behind it.
    async fn next(&mut self, body: &mut Incoming) -> Result<(Bytes, bool)> {
        let mut chunk = BytesMut::new();
        loop {
            if self.rest.is_empty() {
                match body.next().await {
                    None => return Ok((chunk.freeze(), true)),
                    Some(piece) => self.rest = piece?,
                }
            }
            // Only when there is more it is known that a full one is not the last.
            if chunk.len() == MAX_CHUNK {
                return Ok((chunk.freeze(), false));
            }
            let fits = self.rest.len().min(MAX_CHUNK - chunk.len());
            chunk.extend_from_slice(&self.rest.split_to(fits));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::HeaderMap;

    #[tokio::test]
    async fn a_body_is_cut_where_a_chunk_is_full() {
        let cut = async |pieces: &[usize]| {
            let pieces: Vec<_> = pieces.iter().map(|length| Ok::<_, std::io::Error>(vec![7; *length])).collect();
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            let (mut body, mut cut) = (Incoming::new(&HeaderMap::new(), body, u64::MAX), Cut::default());
            let mut lengths = Vec::new();
            loop {
                let (chunk, is_end) = cut.next(&mut body).await.unwrap();
                lengths.push(chunk.len());
                if is_end {
                    return lengths;
                }
            }
        };
        assert_eq!(cut(&[]).await, [0]);
        assert_eq!(cut(&[3, 4]).await, [7]);
        assert_eq!(cut(&[MAX_CHUNK - 1, 1]).await, [MAX_CHUNK]);
        assert_eq!(cut(&[MAX_CHUNK, 1]).await, [MAX_CHUNK, 1]);
        assert_eq!(cut(&[3 * MAX_CHUNK + 5]).await, [MAX_CHUNK, MAX_CHUNK, MAX_CHUNK, 5]);
    }
}
