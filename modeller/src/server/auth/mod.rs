//! Who asks: from the `Authorization` header, and from nowhere else.
//!
//! A token in the query string or in a cookie is not looked at: the one ends in logs, and the other is sent by browsers on
//! behalf of foreign pages. Because there is no cookie, a page of another origin that opens a socket or sends a form acts as
//! anyone, and `Origin` need not be checked.

pub(super) mod jwt;

use axum::http::{HeaderMap, header};

use super::Server;
use crate::error::{Error, ErrorCode, Result};

/// The one refusal for all that is wrong with a token: what exactly would help only those who try.
pub(super) fn unauthenticated() -> Error {
    Error::new(ErrorCode::Unauthenticated).message("a verified token is needed")
}

/// Who sent the headers: anyone, when they say nothing of it. A token that does not hold is refused, also where none is
/// needed, because the client believes that it is known.
pub(super) fn authenticate(keys: &jwt::Keys, headers: &HeaderMap) -> Result<jwt::Identity> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(jwt::Identity::anyone()) };
    if given.next().is_some() {
        return Err(unauthenticated());
    }
    let value = value.to_str().map_err(|_| unauthenticated())?;
    match value.split_once(' ') {
        // RFC 9110 §11.1: the name of the scheme is case-insensitive.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => keys.verify(token.trim_start_matches(' ')),
        _ => Err(unauthenticated()),
    }
}

/// The same caller as the document that he is.
pub(super) async fn recognize(server: &Server, identity: jwt::Identity) -> Result<jwt::Identity> {
    let jwt::Identity { caller, until } = identity;
    Ok(jwt::Identity { caller: server.runtime.recognize(caller).await?, until })
}
