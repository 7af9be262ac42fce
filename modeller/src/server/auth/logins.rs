//! `/@auth/refresh`, `/@auth/session` and `/@auth/logout`, and what a program says of tokens and logins.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::cookie;
use super::jwt::Identity;
use crate::app::AppBuilder;
use crate::core::clock::millis;
use crate::core::id::RawId;
use crate::core::secret;
use crate::error::{Error, ErrorCode, Result};
use crate::model::login::{Logins, Session};
use crate::server::call::Context;
use crate::server::respond;
use crate::server::rest::{read_json, read_optional_json};

/// The claims of a token that are about the token, and those that a login has by itself.
const OF_THE_TOKEN: &[&str] = &["sub", "sid", "iss", "aud", "exp", "nbf", "iat", "jti"];

/// `POST /@auth/refresh`: the next pair of tokens for a refresh token.
pub(in crate::server) async fn refresh(context: Context, request: Request) -> Result<Response> {
    let token = refresh_token(read_json(&context, request, false).await?)?;
    let logins = logins(&context);
    let tokens = context.to_the_end(async move { logins.refresh(&token).await }).await?;
    Ok(unkept(respond::json(StatusCode::OK, serde_json::to_vec(&tokens)?)))
}

/// `POST /@auth/session`: a cookie for the token that the request has, or for a refresh token in its body, which is used up by that.
pub(in crate::server) async fn session(context: Context, identity: Identity, request: Request) -> Result<Response> {
    if !context.server.configuration.trusts_origin(request.headers()) {
        let text = "a page of this origin may not sign its user in; the program can allow it";
        return Err(Error::new(ErrorCode::Forbidden).message(text));
    }
    let agent = agent(&request);
    let logins = logins(&context);
    let session = match read_optional_json(&context, request).await? {
        Some(body) => {
            let token = refresh_token(body)?;
            context.to_the_end(async move { logins.exchange(&token).await }).await?.0
        }
        // What one cookie is good for is no other cookie.
        None if identity.by_cookie => return Err(Error::unauthenticated()),
        // A login is of a subject of ours, and theirs could be called the same.
        None if identity.is_of_another_issuer => return Err(Error::unauthenticated()),
        None => match (identity.login.clone(), identity.caller.subject()) {
            (Some(login), _) => context.to_the_end(async move { logins.give_cookie(&login).await }).await?,
            (None, Some(subject)) => {
                let (subject, claims) = (subject.to_owned(), claims_of(&identity));
                let until = identity.until.and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map_or(0, millis);
                let begun = async move {
                    // The token is no login of ours, and so gives no longer one than it is good for itself.
                    logins.begin(subject).claims(claims).user_agent(agent).until(until).session().await
                };
                context.to_the_end(begun).await?.0
            }
            (None, None) => return Err(Error::unauthenticated()),
        },
    };
    begun(&session)
}

/// The answer to who has a session now.
pub(in crate::server) fn begun(session: &Session) -> Result<Response> {
    let mut response = respond::json(StatusCode::OK, format!("{{\"expiresIn\":{}}}", session.lasts));
    response.headers_mut().append(header::SET_COOKIE, cookie::set(session)?);
    Ok(unkept(response))
}

/// `POST /@auth/logout`: ends the login of the token or the cookie of the request, or of a refresh token in its body, and takes the
/// cookie away.
pub(in crate::server) async fn logout(context: Context, identity: Identity, request: Request) -> Result<Response> {
    // One that does not hold any more is taken away as well.
    let cookie = cookie::of_request(&context.server.configuration, &Method::POST, request.headers());
    let of_cookie = cookie.and_then(|cookie| context.server.runtime.login_of_cookie(cookie)).map(|(login, ..)| login);
    let has_cookie = cookie.is_some();
    let body = read_optional_json(&context, request).await?;
    if body.is_none() && !has_cookie && !identity.caller.is_verified() {
        return Err(Error::unauthenticated());
    }
    let token = body.map(refresh_token).transpose()?;
    let logins = logins(&context);
    let ending: BTreeSet<RawId> = identity.login.clone().into_iter().chain(of_cookie).collect();
    let ended = async move {
        if let Some(token) = token {
            logins.give_up(&token).await?;
        }
        for login in ending {
            match logins.revoke(&login).await {
                Err(error) if *error.code() != ErrorCode::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    context.to_the_end(ended).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if has_cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie::clear());
    }
    Ok(unkept(response))
}

fn logins(context: &Context) -> Logins {
    Logins::new(&context.scope())
}

/// An answer that no cache may keep (RFC 6749 §5.1).
fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The refresh token of a body, which is nothing else.
fn refresh_token(body: Value) -> Result<String> {
    let wrong = || Error::new(ErrorCode::InvalidRequest).message("the body is `{\"refreshToken\": \"…\"}`");
    let Value::Object(mut members) = body else { return Err(wrong()) };
    match (members.remove("refreshToken"), members.is_empty()) {
        (Some(Value::String(token)), true) => Ok(token),
        _ => Err(wrong()),
    }
}

fn claims_of(identity: &Identity) -> Map<String, Value> {
    let claims = identity.caller.claims().cloned().unwrap_or_default();
    claims.into_iter().filter(|(name, _)| !OF_THE_TOKEN.contains(&name.as_str())).collect()
}

pub(super) fn agent(request: &Request) -> String {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.unwrap_or_default().to_owned()
}

impl AppBuilder {
    /// With tokens that have this as their `iss` (RFC 7519 §4.1.1), and no others: of applications that share a secret each takes
    /// its own.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new().token_issuer("https://shop.example.com").token_audience("shop").in_memory().open().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.logins.issuer = Some(issuer.into());
        self
    }

    /// With tokens that have this as their `aud`, or in it (RFC 7519 §4.1.3), and no others. Without it those are refused that are
    /// for anybody.
    pub fn token_audience(mut self, audience: impl Into<String>) -> Self {
        self.logins.audience = Some(audience.into());
        self
    }

    /// With clocks that are so far apart at most, in whole seconds: 5 seconds unless given. A token holds so much longer, and may have
    /// been issued so much later.
    pub fn token_leeway(mut self, leeway: Duration) -> Self {
        self.logins.leeway = leeway;
        self
    }

    /// With tokens of logins that hold so long: 10 minutes unless given. A login that is revoked takes its tokens with it at once.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.logins.token_lifetime = lifetime;
        self
    }

    /// With logins that last so long, however much they are used: 30 days unless given.
    pub fn login_lifetime(mut self, lifetime: Duration) -> Self {
        self.logins.login_lifetime = lifetime;
        self
    }

    /// With logins that end when they are not used for so long: 14 days unless given. A request that shows a token of the login, or its
    /// cookie, is a use of it, and so is the exchange of its refresh token; it is noted each hour, or four times in this time where that
    /// is shorter.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use std::time::Duration;
    /// let builder = App::discover().login_idle(Duration::from_secs(30 * 60)).login_lifetime(Duration::from_secs(12 * 3600));
    /// # drop(builder);
    /// ```
    pub fn login_idle(mut self, time: Duration) -> Self {
        self.logins.login_idle = time;
        self
    }

    /// With so many attempts to sign in under one name that may go wrong at once, and that come back over this time: 10 and 15 minutes
    /// unless given. See [`Logins::attempt`].
    pub fn login_attempts(mut self, attempts: u32, within: Duration) -> Self {
        self.logins.attempts = (attempts, within);
        self
    }

    /// With a secret that was the one before: what was signed with it is still accepted, and nothing more is signed with it. It can
    /// be said of several. To change the secret, give the new one by [`AppBuilder::secret`] and the old one by this, until all tokens
    /// of before have expired. Cursors of before are refused.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let (next, old) = (b"0123456789abcdef0123456789abcdef-2", b"0123456789abcdef0123456789abcdef-1");
    /// let app = App::new().secret(next).previous_secret(old).in_memory().open().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn previous_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        match secret::given(&secret.into(), "the program") {
            Ok(secret) => self.logins.previous.push(secret),
            Err(mistake) => self.mistakes.push(mistake),
        }
        self
    }
}
