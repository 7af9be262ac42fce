//! Who asks: from the `Authorization` header, or from the session cookie of a browser, and from nowhere else.
//!
//! A token in the query string or in a cookie is not looked at: the one ends in logs, and the other is sent by browsers on behalf
//! of foreign pages. The one cookie there is is no token but the id of a login, and counts only where no foreign page can have sent
//! the request; see [`cookie`]. Where there is a token as well, the token counts.

pub(super) mod cookie;
#[cfg(feature = "oidc")]
mod jwks;
pub(super) mod jwt;
pub(super) mod logins;
#[cfg(feature = "oidc")]
pub(super) mod oidc;
#[cfg(not(feature = "oidc"))]
#[path = "without_oidc.rs"]
pub(super) mod oidc;
#[cfg(feature = "oidc")]
mod upstream;

use axum::http::{HeaderMap, Method, header};

#[cfg(feature = "oidc")]
pub use self::jwks::KeySet;
use self::jwt::Identity;
use super::Server;
use crate::error::{Error, ErrorCode, Result};

/// Who sent the headers: anyone, when they say nothing of it. A token that does not hold is refused, also where none is
/// needed, because the client believes that it is known. A cookie that does not hold is nothing: browsers send it by themselves.
pub(super) async fn authenticate(server: &Server, method: &Method, headers: &HeaderMap) -> Result<Identity> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return of_cookie(server, method, headers).await };
    if given.next().is_some() {
        return Err(Error::unauthenticated());
    }
    let value = value.to_str().map_err(|_| Error::unauthenticated())?;
    match value.split_once(' ') {
        // RFC 9110 §11.1: the name of the scheme is case-insensitive.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Box::pin(identify(server, token.trim_start_matches(' '))).await
        }
        _ => Err(Error::unauthenticated()),
    }
}

/// Who a token speaks for: one of our own, or one of somebody else whose keys are known.
pub(super) async fn identify(server: &Server, token: &str) -> Result<Identity> {
    let identity = match server.configuration.keys.verify(&server.runtime, token) {
        // Each is verified by the algorithm of its key, so that none that is refused here can be taken for one of the others.
        Err(_) => server.configuration.outside.verify(&server.runtime, token).await?,
        Ok(own) => own,
    };
    recognize(server, identity).await
}

async fn of_cookie(server: &Server, method: &Method, headers: &HeaderMap) -> Result<Identity> {
    let cookie = cookie::of_request(&server.configuration, method, headers);
    let Some((login, claims, until)) = cookie.and_then(|cookie| server.runtime.login_of_cookie(cookie)) else {
        return Ok(Identity::anyone());
    };
    match Box::pin(recognize(server, Identity::of_session(claims, login, until))).await {
        // Of somebody who is not there any more.
        Err(error) if *error.code() == ErrorCode::Unauthenticated => Ok(Identity::anyone()),
        outcome => outcome,
    }
}

/// The same caller as the document that he is.
async fn recognize(server: &Server, identity: Identity) -> Result<Identity> {
    if identity.is_of_another_issuer && !server.runtime.finds_callers() {
        // The subjects of somebody else are not our ids, however alike they look: who they are is the program's to say.
        return Ok(identity);
    }
    let caller = server.runtime.recognize(identity.caller.clone()).await?;
    Ok(Identity { caller, ..identity })
}
