//! Who a token speaks for.
//!
//! How a token is read, and what has to be true of it, is in [`crate::core::token`]; here is with whose keys it is verified. Tokens
//! of the application's own are signed with HS256 and nothing else is ever verified with its secret, so that a public key of somebody
//! else is no secret (RFC 8725 §2.1).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::core::id::RawId;
use crate::core::token::{Keyring, Unverified};
use crate::error::{Error, Result};
use crate::model::caller::Caller;
use crate::model::runtime::Runtime;

/// Who somebody is, and for how long.
#[derive(Clone, Debug)]
pub(in crate::server) struct Identity {
    pub(in crate::server) caller: Caller,
    pub(in crate::server) until: Option<SystemTime>,
    /// The login that it stands and falls with.
    pub(super) login: Option<RawId>,
    /// Whether it was shown by a cookie, which a browser sends without being asked.
    pub(in crate::server) by_cookie: bool,
    /// Whether somebody else says who it is, whose subjects are not ours.
    pub(super) is_of_another_issuer: bool,
}

impl Identity {
    pub(in crate::server) fn anyone() -> Self {
        Self { caller: Caller::anyone(), until: None, login: None, by_cookie: false, is_of_another_issuer: false }
    }

    /// Somebody with these claims, until then.
    pub(in crate::server) fn verified(claims: Map<String, Value>, until: SystemTime) -> Self {
        Self { caller: Caller::verified(claims), until: Some(until), ..Self::anyone() }
    }

    /// Somebody with these claims of another issuer, until then.
    #[cfg(feature = "oidc")]
    pub(super) fn of_another_issuer(claims: Map<String, Value>, until: SystemTime) -> Self {
        Self { is_of_another_issuer: true, ..Self::verified(claims, until) }
    }

    /// Somebody with a session cookie.
    pub(super) fn of_session(claims: Map<String, Value>, login: RawId, until: u64) -> Self {
        Self { login: Some(login), by_cookie: true, ..Self::verified(claims, time(until)) }
    }

    /// Whether it holds no longer: its token has expired, or its login has ended.
    pub(in crate::server) fn is_over(&self, runtime: &Runtime) -> bool {
        self.until.is_some_and(|until| until <= time(runtime.inner().clock.now()))
            || self.login.as_ref().is_some_and(|login| !runtime.has_login(login))
    }
}

/// A time in milliseconds since the Unix epoch.
fn time(at: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(at)).unwrap_or(UNIX_EPOCH)
}

/// What the application's own tokens are verified with.
pub(in crate::server) struct Keys(Option<Arc<Keyring>>);

impl Keys {
    pub(in crate::server) fn new(keyring: Arc<Keyring>) -> Self {
        Self(Some(keyring))
    }

    /// No keys, by which no token is verified.
    pub(in crate::server) fn none() -> Self {
        Self(None)
    }

    /// Who a token of the application speaks for.
    pub(super) fn verify(&self, runtime: &Runtime, token: &str) -> Result<Identity> {
        self.holds(runtime, token).ok_or_else(Error::unauthenticated)
    }

    fn holds(&self, runtime: &Runtime, token: &str) -> Option<Identity> {
        let token = Unverified::read(token)?;
        let until = self.0.as_ref()?.verify(&token, runtime.inner().clock.now())?;
        let login = match token.claims.get("sid") {
            None => None,
            Some(id) => Some(RawId::parse(id.as_str()?).ok().filter(|id| runtime.uses_login(id))?),
        };
        Some(Identity { login, ..Identity::verified(token.claims, time(until)) })
    }
}
