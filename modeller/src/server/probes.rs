//! What operators ask: whether the server lives, whether it is to be sent requests, and what it counts.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::Server;
use super::network::{self, Peer};
use super::respond::json;
use crate::error::{Error, ErrorCode, Result};

const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `GET /@health`: lives, 200, or 503 when the store failed.
pub(super) async fn health(State(server): State<Arc<Server>>) -> Response {
    match server.runtime.log().failed().now_or_never() {
        None => json(StatusCode::OK, r#"{"status":"ok"}"#),
        // Why is in the log of the process, where it was written when it happened.
        Some(_) => Error::new(ErrorCode::Unavailable).message("the store failed").into_response(),
    }
}

/// `GET /@ready`: takes requests, 200, or 503 when it stops or the store failed. Before all documents are read it does not answer
/// at all.
pub(super) async fn ready(State(server): State<Arc<Server>>) -> Response {
    if *server.stopping.borrow() || server.draining.load(Ordering::Acquire) {
        return Error::new(ErrorCode::Unavailable).message("the server stops").into_response();
    }
    match server.runtime.log().failed().now_or_never() {
        None => json(StatusCode::OK, r#"{"status":"ready"}"#),
        Some(_) => Error::new(ErrorCode::Unavailable).message("the store failed").into_response(),
    }
}

/// `GET /@metrics`
pub(super) async fn metrics(State(server): State<Arc<Server>>, peer: Peer, headers: HeaderMap) -> Result<Response> {
    let may = match &server.configuration.edge.metrics {
        Some(networks) => peer.0.is_some_and(|address| network::is_in(networks, address)),
        None => peer.0.is_some_and(|address| is_operator(address, &headers)),
    };
    if !may {
        // As a route that is not there.
        return Err(Error::not_found(ErrorCode::NotFound, "/@metrics"));
    }
    let mut response = Response::new(server.metrics.text(&server.runtime).into());
    response.headers_mut().insert(header::CONTENT_TYPE, PROMETHEUS);
    Ok(response)
}

/// Whether a request comes from this machine, by no proxy that says so, and by no name that somebody else's name server may have
/// said leads here.
fn is_operator(address: IpAddr, headers: &HeaderMap) -> bool {
    let by_proxy = [header::FORWARDED, header::VIA].iter().any(|name| headers.contains_key(name))
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded") || name == "x-real-ip");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_here = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    address.is_loopback() && !by_proxy && is_here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_the_operator() {
        let is = |address: &str, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_operator(address.parse().unwrap(), &headers.collect())
        };
        for host in ["localhost", "localhost:3030", "127.0.0.1:3030", "[::1]:3030", "127.0.0.1"] {
            assert!(is("127.0.0.1", &[("host", host)]) && is("::1", &[("host", host)]), "{host}");
            assert!(!is("10.0.0.1", &[("host", host)]));
        }
        assert!(!is("127.0.0.1", &[("host", "rebound.example.com")]) && !is("127.0.0.1", &[]));
        for by in ["x-forwarded-for", "x-forwarded-proto", "x-real-ip", "forwarded", "via"] {
            assert!(!is("127.0.0.1", &[("host", "localhost"), (by, "x")]), "{by}");
        }
    }
}
