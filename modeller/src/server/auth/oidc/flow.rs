//! The routes of a login: to the provider, back from it, and out again.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::attempt::{Attempt, forget, name};
use super::id_token::{self, Expected};
use super::provider::{Provider, with_query};
use super::{Outside, Providers};
use crate::error::{Error, ErrorCode, Result};
use crate::model::caller::Caller;
use crate::model::login::{Logins, Session};
use crate::server::Server;
use crate::server::auth::jwks::Token;
use crate::server::auth::jwt::Identity;
use crate::server::auth::logins::agent;
use crate::server::auth::upstream::{Fault, is_loopback, push_pair};
use crate::server::auth::{cookie, logins};
use crate::server::call::Context;
use crate::server::events::{Authenticated, Issued};
use crate::server::rest::decode;

/// The longest address to return to: it travels in a cookie.
const MOST_BACK: usize = 1 << 10;
/// The longest code, and the longest ID token.
const MOST_CODE: usize = 4 << 10;
const MOST_TOKEN: usize = 64 << 10;
/// A host name has no more (RFC 1035 §2.3.4), and a port.
const MOST_HOST: usize = 262;

/// The id of the provider, of the path.
pub(super) struct Of(String);

impl FromRequestParts<Arc<Server>> for Of {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, server).await.ok();
        let of = params.iter().flat_map(|params| params.iter()).find(|(name, _)| *name == "provider");
        Ok(Self(of.map(|(_, id)| id.to_owned()).unwrap_or_default()))
    }
}

impl Providers {
    fn provider(&self, of: &Of) -> Result<&Provider> {
        let found = self.all.iter().find(|provider| provider.said.id == of.0);
        found.ok_or_else(|| Error::not_found(ErrorCode::NotFound, &of.0))
    }

    /// The URL under which browsers know a path of this server.
    fn url(&self, headers: &HeaderMap, path: &str) -> Result<String> {
        if let Some(url) = &self.public_url {
            return Ok(format!("{url}{path}"));
        }
        let mut given = headers.get_all(header::HOST).iter();
        let host = given.next().and_then(|host| host.to_str().ok()).filter(|host| host.len() <= MOST_HOST);
        let is_host = |host: &&str| {
            !host.is_empty() && host.bytes().all(|sign| sign.is_ascii_alphanumeric() || b"-._:[]".contains(&sign))
        };
        let host = host.filter(is_host).filter(|_| given.next().is_none());
        let host = host.ok_or_else(|| Error::new(ErrorCode::InvalidRequest).message("`Host` names no host"))?;
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => host.split(':').next(),
        };
        // What the provider was not told of it refuses, so that a made-up host leads nowhere.
        let scheme = if name.is_some_and(is_loopback) { "http" } else { "https" };
        Ok(format!("{scheme}://{host}{path}"))
    }
}

/// What comes in the query string, each once.
#[derive(Default)]
struct Query {
    back: Option<String>,
    code: Option<String>,
    state: Option<String>,
    issuer: Option<String>,
    error: Option<String>,
}

impl Query {
    /// `None` when something is there twice, or not well encoded.
    fn read(request: &Request) -> Option<Self> {
        let mut query = Self::default();
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "return" => &mut query.back,
                "code" => &mut query.code,
                "state" => &mut query.state,
                "iss" => &mut query.issuer,
                "error" => &mut query.error,
                // RFC 6749 §4.1.2: what is not known is not looked at.
                _ => continue,
            };
            if slot.replace(decode(value).ok()?).is_some() {
                return None;
            }
        }
        Some(query)
    }
}

/// Where a browser may be sent when a login or a logout is over.
fn back(query: Option<&Query>, origins: &[String]) -> Result<String> {
    let wrong = || {
        Error::new(ErrorCode::InvalidRequest)
            .message("`return` is a path of this server, or an address of an origin that is allowed")
    };
    let back = query.ok_or_else(wrong)?.back.clone().unwrap_or_else(|| "/".into());
    // Browsers take a backslash for a slash, and leave tabs and line ends out.
    let is_plain = back.len() <= MOST_BACK && back.bytes().all(|sign| sign.is_ascii_graphic() && sign != b'\\');
    let is_own = back.starts_with('/') && !back.starts_with("//");
    let is_allowed = |origin: &String| {
        let rest = back.strip_prefix(origin.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    };
    if is_plain && (is_own || origins.iter().any(is_allowed)) { Ok(back) } else { Err(wrong()) }
}

/// Sends a browser on. What is in the address is for it alone.
fn redirect(to: &str) -> Result<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::try_from(to).map_err(Error::internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// The one answer to a login that fails: what it was is in the log.
fn failed() -> Response {
    let error = Error::new(ErrorCode::Unauthenticated).message("the login did not succeed; begin it anew");
    let mut response = error.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn providers(outside: &Outside) -> Result<&Providers> {
    // There are no such routes without.
    outside.providers.as_ref().ok_or_else(|| Error::new(ErrorCode::NotFound))
}

/// `GET /@auth/{provider}/login?return=…`
pub(super) async fn login(context: Context, of: Of, request: Request) -> Result<Response> {
    let configuration = &context.server.configuration;
    let providers = providers(&configuration.outside)?;
    let provider = providers.provider(&of)?;
    let back = back(Query::read(&request).as_ref(), &configuration.origins)?;
    let url = providers.url(request.headers(), &format!("{}/{}/callback", providers.path, provider.said.id))?;
    let metadata = match provider.metadata(&providers.upstream).await {
        Ok(metadata) => metadata,
        Err(fault) => {
            tracing::warn!(provider = provider.said.id, %fault, "a provider of logins does not do");
            return Ok(failed());
        }
    };
    let attempt = Attempt::new(url, back)?;
    let location =
        provider.authorization(&metadata, &attempt.redirect, &attempt.state, &attempt.nonce, &attempt.challenge());
    let mut response = redirect(&location)?;
    for cookie in providers.attempts.begin(&provider.said.id, &attempt, request.headers())? {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `GET /@auth/{provider}/callback?code=…&state=…`
pub(super) async fn callback(context: Context, of: Of, request: Request) -> Result<Response> {
    let server = context.server.clone();
    let providers = providers(&server.configuration.outside)?;
    let provider = providers.provider(&of)?;
    let query = Query::read(&request).unwrap_or_default();
    let state = query.state.as_deref().unwrap_or_default();
    let Some(attempt) = providers.attempts.end(&provider.said.id, state, request.headers()) else {
        // Whoever likes can come here, so that it is not worth a warning.
        tracing::debug!(provider = provider.said.id, "a browser came back that was not sent from here");
        return Ok(failed());
    };
    let mut response = match finish(providers, provider, &attempt, &query).await {
        Ok(user) => {
            let session = begin(&context, provider, user, agent(&request)).await?;
            let mut response = redirect(&attempt.back)?;
            response.headers_mut().append(header::SET_COOKIE, cookie::set(&session)?);
            response
        }
        Err(fault) => {
            tracing::warn!(provider = provider.said.id, %fault, "a login did not succeed");
            failed()
        }
    };
    if let Some(name) = name(&attempt.state) {
        response.headers_mut().append(header::SET_COOKIE, forget(&name)?);
    }
    Ok(response)
}

/// Whom a provider has told of.
struct User {
    subject: String,
    claims: Map<String, Value>,
    /// All that the ID token says.
    profile: Map<String, Value>,
    id_token: String,
}

/// From the code to the user.
async fn finish(providers: &Providers, provider: &Provider, attempt: &Attempt, query: &Query) -> Result<User, Fault> {
    let (upstream, said) = (&providers.upstream, &provider.said);
    let metadata = provider.metadata(upstream).await?;
    // RFC 9207 §2.4, before the code goes anywhere: it may be that of another provider.
    match &query.issuer {
        Some(issuer) if *issuer != said.issuer => return Err(Fault::new("the browser comes from another provider")),
        None if metadata.names_itself => {
            return Err(Fault::new("the browser does not say which provider it comes from"));
        }
        _ => {}
    }
    if let Some(error) = &query.error {
        let shown: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
        return Err(Fault::new(format!("the provider says {shown}")));
    }
    let code = query.code.as_deref().filter(|code| !code.is_empty() && code.len() <= MOST_CODE);
    let code = code.ok_or_else(|| Fault::new("there is no code"))?;
    let tokens = provider.exchange(upstream, &metadata, code, &attempt.redirect, &attempt.verifier).await?;
    let of_token = |fault: Fault| fault.at("ID token");
    let token = Token::parse(&tokens.id_token, MOST_TOKEN).map_err(of_token)?;
    if !token.is_plain() {
        return Err(of_token(Fault::new("it is for something else by its type")));
    }
    metadata.keys.verify(upstream, &token).await.map_err(of_token)?;
    let expected = Expected {
        issuer: &said.issuer,
        client_id: &said.client_id,
        nonce: &attempt.nonce,
        access_token: &tokens.access_token,
        code,
        since: attempt.begun(),
    };
    let subject = id_token::check(&token.claims, token.algorithm, &expected, SystemTime::now()).map_err(of_token)?;
    let userinfo = provider.userinfo(upstream, &metadata, &tokens.access_token, subject).await?;
    let claims = provider.claims(subject, &token.claims, &userinfo)?;
    let subject = provider.subject(subject);
    Ok(User { subject, claims, profile: token.claims, id_token: tokens.id_token })
}

/// Begins a login of a user for a browser.
async fn begin(context: &Context, provider: &Provider, user: User, agent: String) -> Result<Session> {
    let User { subject, claims, profile, id_token } = user;
    let (events, id) = (&context.server.configuration.events, &provider.said.id);
    events.authenticated.tell(|| Authenticated { provider: id.clone(), profile });
    let logins = Logins::new(&context.scope());
    let (known, of) = (claims.clone(), subject.clone());
    let begun = async move { logins.begin(of).claims(known).user_agent(agent).id_token(id_token).session().await };
    let (session, login) = context.to_the_end(begun).await?;
    events.provider.tell(|| {
        let mut claims = claims;
        claims.insert("sub".into(), subject.into());
        claims.insert("sid".into(), login.id().to_string().into());
        let (session, caller) = (Some(login.id().to_string()), Caller::verified(claims));
        Issued { provider: id.clone(), token: None, session, caller }
    });
    Ok(session)
}

/// `POST /@auth/{provider}/logout?return=…`: ends the login here, and sends the browser on to end it at the provider.
pub(super) async fn logout(context: Context, identity: Identity, of: Of, request: Request) -> Result<Response> {
    let server = context.server.clone();
    let providers = providers(&server.configuration.outside)?;
    let provider = providers.provider(&of)?;
    let back = back(Query::read(&request).as_ref(), &server.configuration.origins)?;
    let whole = match back.starts_with('/') {
        true => providers.url(request.headers(), &back)?,
        false => back.clone(),
    };
    // What is ended is forgotten; of both, when the request shows a token and a cookie, that which the browser signed in by.
    let cookie = cookie::of_request(&server.configuration, &Method::POST, request.headers());
    let of_cookie = cookie.and_then(|cookie| server.runtime.login_of_cookie(cookie)).map(|(login, ..)| login);
    let mut logins_of_browser = of_cookie.into_iter().chain(identity.login.clone());
    let hint = logins_of_browser.find_map(|login| server.runtime.id_token_of(&login, &provider.said.id));
    // What a form sends with it does not matter.
    let (parts, _) = request.into_parts();
    let ended = logins::logout(context, identity, Request::from_parts(parts, Body::empty())).await?;
    let end = match provider.metadata(&providers.upstream).await {
        Ok(metadata) => metadata.end_session.clone(),
        Err(fault) => {
            tracing::warn!(provider = provider.said.id, %fault, "a provider of logins does not do");
            None
        }
    };
    let mut response = match end {
        Some(end) => {
            let mut query = String::new();
            push_pair(&mut query, "client_id", &provider.said.client_id);
            push_pair(&mut query, "post_logout_redirect_uri", &whole);
            // So that the provider need not ask whose login is meant (RP-Initiated Logout §2).
            if let Some(hint) = hint {
                push_pair(&mut query, "id_token_hint", &hint);
            }
            redirect(&with_query(&end, &query))?
        }
        None => redirect(&back)?,
    };
    for cookie in ended.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    Ok(response)
}
