//! Compression of answers (gzip, RFC 1952), where it is worth it and gives nothing away.
//!
//! Left as they are: what is short; what has an entity tag, which would have to be another one for the compressed form (RFC 9110
//! §8.8.3), while ours is the revision that writes name; streams, whose length is not known; and answers to requests with a cookie,
//! because a page of another origin that can have such requests sent, and watches the lengths of the answers, could find out what
//! is in them (BREACH).

use std::io::Write as _;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;

/// What is shorter fits into a packet or two anyway.
const LEAST: u64 = 2 << 10;
/// What is longer takes so long that no other request of the thread should wait for it.
const LARGE: u64 = 128 << 10;
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Whether the client takes gzip (RFC 9110 §12.5.3).
pub(super) fn is_taken(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::COOKIE) {
        return false;
    }
    let mut any = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for element in value.to_str().unwrap_or_default().split(',') {
            let (coding, weight) = element.split_once(';').unwrap_or((element, ""));
            let refused = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0);
            match coding.trim() {
                coding if coding.eq_ignore_ascii_case("gzip") => return !refused,
                "*" => any = !refused,
                _ => {}
            }
        }
    }
    any
}

/// Whether the answer gets shorter by it.
pub(super) fn is_worth_it(response: &Response) -> bool {
    // The first question rules out nearly all answers.
    if response.body().size_hint().exact().is_none_or(|bytes| bytes < LEAST) {
        return false;
    }
    let headers = response.headers();
    let whole = [StatusCode::NO_CONTENT, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED];
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let is_text = (essence.starts_with("text/") && essence != "text/event-stream")
        || essence.ends_with("/json")
        || essence.ends_with("+json")
        || essence.ends_with("/javascript")
        || essence.ends_with("/typescript")
        || essence.ends_with("+xml")
        || essence.ends_with("/xml");
    is_text
        && !response.status().is_informational()
        && !whole.contains(&response.status())
        && ![header::ETAG, header::CONTENT_ENCODING, header::CONTENT_RANGE]
            .iter()
            .any(|name| headers.contains_key(name))
}

/// An answer for which it is worth it, compressed where the client takes it.
pub(super) async fn compressed(response: Response, is_taken: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.append(header::VARY, ACCEPT_ENCODING);
    if !is_taken {
        return Response::from_parts(parts, body);
    }
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        // It breaks off as it would have.
        Err(error) => return Response::from_parts(parts, Body::from_stream(broken(error))),
    };
    let compress = {
        let bytes = bytes.clone();
        move || {
            let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
            encoder.write_all(&bytes).and_then(|()| encoder.finish()).ok()
        }
    };
    let compressed = if bytes.len() as u64 > LARGE {
        tokio::task::spawn_blocking(compress).await.ok().flatten()
    } else {
        compress()
    };
    match compressed {
        Some(compressed) if compressed.len() < bytes.len() => {
            parts.headers.insert(header::CONTENT_ENCODING, GZIP);
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, compressed.into())
        }
        _ => Response::from_parts(parts, bytes.into()),
    }
}

fn broken(error: axum::Error) -> impl futures_core::Stream<Item = Result<bytes::Bytes, axum::Error>> {
    futures_util::stream::once(std::future::ready(Err(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_takes() {
        let takes = |text: &'static str| {
            is_taken(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]))
        };
        for yes in ["gzip", "deflate, gzip;q=0.5", "br, *", "GZIP"] {
            assert!(takes(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "*, gzip;q=0", "*;q=0", "identity"] {
            assert!(!takes(no), "{no}");
        }
        assert!(!is_taken(&HeaderMap::new()));
    }
}
