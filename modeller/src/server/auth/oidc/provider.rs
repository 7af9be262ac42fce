//! A provider of logins: what the program says of it, and what it says of itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::server::auth::jwks::Keys;
use crate::server::auth::upstream::{Address, Fault, Upstream, encoded, push_pair};

/// For how long what a provider says of itself is taken as current.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// For how long it serves when it cannot be asked again.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How soon a provider that did not answer well is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// What is kept of a user unless the program says otherwise (OpenID Connect Core §5.1).
const CLAIMS: [&str; 8] =
    ["email", "email_verified", "name", "given_name", "family_name", "preferred_username", "picture", "locale"];
/// How many bytes that has at most: it is stored with the login, and travels with its tokens.
const MOST_CLAIM_BYTES: usize = 4 << 10;
/// The longest subject of a login.
const MOST_SUBJECT_BYTES: usize = 255;
/// What a login says of itself, and no claim of a provider may say in its place (RFC 7519 §4.1).
const RESERVED: [&str; 9] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "provider"];

/// Somebody whom users have an account with, by OpenID Connect. See
/// [`AppBuilder::oidc_providers`](crate::AppBuilder::oidc_providers).
///
/// ```
/// use modeller::server::OidcProvider;
/// let provider = OidcProvider::new("corp", "https://login.example.com", "my-client", "its secret")
///     .scopes(["email", "groups"])
///     .claim("groups", "roles");
/// assert!(!format!("{provider:?}").contains("its secret"));
/// ```
#[derive(Clone)]
pub struct OidcProvider {
    pub(super) id: String,
    pub(super) issuer: String,
    pub(super) client_id: String,
    client_secret: Option<String>,
    scopes: Vec<String>,
    claims: Vec<(String, String)>,
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider").field("id", &self.id).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl OidcProvider {
    /// A provider with an id of one's own, which is a part of the paths, its issuer, whose
    /// `/.well-known/openid-configuration` says the rest (OpenID Connect Discovery §4), and what the application was registered
    /// there as.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Self { client_secret: Some(client_secret.into()), ..Self::public(id, issuer, client_id) }
    }

    /// A provider that the application is registered with as a public client, without a secret (RFC 6749 §2.1).
    #[must_use]
    pub fn public(id: impl Into<String>, issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            issuer: issuer.into(),
            client_id: client_id.into(),
            client_secret: None,
            scopes: ["openid", "email", "profile"].map(str::to_owned).into(),
            claims: CLAIMS.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect(),
        }
    }

    /// With these scopes asked for, in the place of `email` and `profile`; `openid` always is.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes = scopes.into_iter().map(Into::into).filter(|scope: &String| scope != "openid");
        self.scopes = std::iter::once("openid".to_owned()).chain(scopes).collect();
        self
    }

    /// With a claim of the provider kept, under this name, beside `email`, `email_verified`, `name`, `given_name`, `family_name`,
    /// `preferred_username`, `picture` and `locale`: of the ID token, or else of what the provider answers about the user. All
    /// together have 4 KiB at most.
    #[must_use]
    pub fn claim(mut self, of_provider: impl Into<String>, name: impl Into<String>) -> Self {
        self.claims.push((of_provider.into(), name.into()));
        self
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut signs = self.id.bytes();
        let is_id = signs.next().is_some_and(|sign| sign.is_ascii_lowercase())
            && self.id.len() <= 64
            && signs.all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, b'-' | b'_'));
        if !is_id {
            return Err(Fault::new("its id does not match [a-z][A-Za-z0-9_-]*"));
        }
        // OpenID Connect Core §1.2: an issuer has no query and no fragment.
        if Address::parse(&self.issuer)?.has_query() {
            return Err(Fault::new("its issuer has a query"));
        }
        if self.client_id.is_empty() || self.client_secret.as_deref() == Some("") {
            return Err(Fault::new("its client has no id, or an empty secret"));
        }
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(|sign| sign.is_ascii_graphic());
        if !self.scopes.iter().all(is_scope) {
            return Err(Fault::new("a scope is one word"));
        }
        match self.claims.iter().find(|(_, name)| RESERVED.contains(&name.as_str())) {
            Some((_, name)) => Err(Fault::new(format!("`{name}` is no name for a claim of the provider"))),
            None => Ok(()),
        }
    }
}

/// What a provider says of itself (OpenID Connect Discovery §3).
pub(super) struct Metadata {
    pub(super) authorization: String,
    token: Address,
    userinfo: Option<Address>,
    pub(super) end_session: Option<String>,
    pub(super) keys: Arc<Keys>,
    keys_url: String,
    /// Whether the secret of the client goes into a header, or else into the form.
    is_basic: bool,
    /// Whether an answer without `iss` is not one of this provider's (RFC 9207 §2.3).
    pub(super) names_itself: bool,
}

/// What a provider answers to a code.
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) access_token: String,
}

/// A provider, with what is known of it.
pub(super) struct Provider {
    pub(super) said: OidcProvider,
    /// Held by whoever asks, so that one asks for all.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Instant)>,
    failed: Option<Instant>,
}

impl Provider {
    pub(super) fn new(said: OidcProvider) -> Self {
        Self { said, known: tokio::sync::Mutex::default() }
    }

    /// What it says of itself.
    pub(super) async fn metadata(&self, upstream: &Upstream) -> Result<Arc<Metadata>, Fault> {
        let mut known = self.known.lock().await;
        let serves = |most: Duration, known: &Known| {
            known.metadata.as_ref().filter(|(_, at)| at.elapsed() < most).map(|(metadata, _)| metadata.clone())
        };
        if let Some(metadata) = serves(FRESH, &known) {
            return Ok(metadata);
        }
        let asked = match known.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            true => Err(Fault::new("it did not answer well a moment ago")),
            false => self.discover(upstream, known.metadata.as_ref().map(|(metadata, _)| &**metadata)).await,
        };
        match asked {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Known { metadata: Some((metadata.clone(), Instant::now())), failed: None };
                Ok(metadata)
            }
            Err(fault) => {
                known.failed = Some(Instant::now());
                serves(STALE, &known).ok_or(fault)
            }
        }
    }

    async fn discover(&self, upstream: &Upstream, before: Option<&Metadata>) -> Result<Metadata, Fault> {
        let issuer = &self.said.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let json = upstream.get(&Address::parse(&url)?, None).await.map_err(|fault| fault.at(&url))?;
        self.read(&json, before).map_err(|fault| fault.at(&url))
    }

    fn read(&self, json: &Value, before: Option<&Metadata>) -> Result<Metadata, Fault> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let needed = |name: &str| text(name).ok_or_else(|| Fault::new(format!("there is no `{name}`")));
        // Discovery §4.3: exactly the one that was asked.
        if needed("issuer")? != self.said.issuer {
            return Err(Fault::new("the issuer is another one"));
        }
        // Over a connection that nobody listens to; and nobody of the internet leads to what listens on this machine.
        let demands_secure = Address::parse(&self.said.issuer)?.is_secure();
        let address = |name: &str, url: &str| match Address::parse(url) {
            Ok(address) if address.is_secure() || !demands_secure => Ok(address),
            Ok(_) => Err(Fault::new("it is not https").at(name)),
            Err(fault) => Err(fault.at(name)),
        };
        let optional = |name: &str| text(name).map(|url| address(name, url).map(|address| (address, url))).transpose();
        let offers = |name: &str, wanted: &str| {
            json.get(name).map(|all| all.as_array().is_some_and(|all| all.iter().any(|one| one == wanted)))
        };
        if offers("response_types_supported", "code") == Some(false) {
            return Err(Fault::new("there is no authorization code flow"));
        }
        // RFC 8414 §2: who says nothing of it may have it all the same.
        if offers("code_challenge_methods_supported", "S256") == Some(false) {
            return Err(Fault::new("there is no PKCE with S256"));
        }
        let methods = "token_endpoint_auth_methods_supported";
        // Discovery §3: the default is `client_secret_basic`.
        let is_basic = offers(methods, "client_secret_basic").unwrap_or(true);
        if !is_basic && self.said.client_secret.is_some() && offers(methods, "client_secret_post") == Some(false) {
            return Err(Fault::new("there is no way to show the secret of the client"));
        }
        let authorization = needed("authorization_endpoint")?;
        address("authorization_endpoint", authorization)?;
        let keys_url = needed("jwks_uri")?;
        let keys = match before.filter(|before| before.keys_url == keys_url) {
            Some(before) => before.keys.clone(),
            None => Keys::at(address("jwks_uri", keys_url)?),
        };
        Ok(Metadata {
            authorization: authorization.to_owned(),
            token: address("token_endpoint", needed("token_endpoint")?)?,
            userinfo: optional("userinfo_endpoint")?.map(|(address, _)| address),
            end_session: optional("end_session_endpoint")?.map(|(_, url)| url.to_owned()),
            keys,
            keys_url: keys_url.to_owned(),
            is_basic,
            names_itself: json.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        })
    }

    /// The request of a browser for a code (OpenID Connect Core §3.1.2.1).
    pub(super) fn authorization(
        &self,
        metadata: &Metadata,
        redirect: &str,
        state: &str,
        nonce: &str,
        challenge: &str,
    ) -> String {
        let mut query = String::new();
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", &self.said.client_id),
            ("redirect_uri", redirect),
            ("scope", &self.said.scopes.join(" ")),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ] {
            push_pair(&mut query, name, value);
        }
        with_query(&metadata.authorization, &query)
    }

    /// Changes a code into tokens (OpenID Connect Core §3.1.3.1).
    pub(super) async fn exchange(
        &self,
        upstream: &Upstream,
        metadata: &Metadata,
        code: &str,
        redirect: &str,
        verifier: &str,
    ) -> Result<Tokens, Fault> {
        let mut form = String::new();
        let id = &self.said.client_id;
        for (name, value) in [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ] {
            push_pair(&mut form, name, value);
        }
        let authorization = match &self.said.client_secret {
            // RFC 6749 §2.3.1: both encoded before they are joined.
            Some(secret) if metadata.is_basic => {
                let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
                Some(
                    HeaderValue::try_from(format!("Basic {pair}"))
                        .map_err(|_| Fault::new("the secret is no header"))?,
                )
            }
            Some(secret) => {
                push_pair(&mut form, "client_id", id);
                push_pair(&mut form, "client_secret", secret);
                None
            }
            None => {
                push_pair(&mut form, "client_id", id);
                None
            }
        };
        let json =
            upstream.post(&metadata.token, form, authorization).await.map_err(|fault| fault.at("token endpoint"))?;
        let text = |name: &str| {
            let text = json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.ok_or_else(|| Fault::new(format!("there is no `{name}`")).at("token endpoint"))
        };
        // Core §3.1.3.3.
        if !text("token_type")?.eq_ignore_ascii_case("bearer") {
            return Err(Fault::new("the token is of another type").at("token endpoint"));
        }
        Ok(Tokens { id_token: text("id_token")?.to_owned(), access_token: text("access_token")?.to_owned() })
    }

    /// What a provider knows of the user whom an access token is about, when it is the one of the ID token (OpenID Connect
    /// Core §5.3).
    pub(super) async fn userinfo(
        &self,
        upstream: &Upstream,
        metadata: &Metadata,
        access_token: &str,
        subject: &str,
    ) -> Result<Map<String, Value>, Fault> {
        let Some(address) = &metadata.userinfo else { return Ok(Map::new()) };
        let bearer = HeaderValue::try_from(format!("Bearer {access_token}"));
        let bearer = bearer.map_err(|_| Fault::new("the access token is no header"))?;
        match upstream.get(address, Some(bearer)).await.map_err(|fault| fault.at("userinfo"))? {
            // §5.3.2: else it is about somebody else, whose claims must not be used.
            Value::Object(claims) if claims.get("sub").and_then(Value::as_str) == Some(subject) => Ok(claims),
            _ => Err(Fault::new("it is not about the subject of the ID token").at("userinfo")),
        }
    }

    /// What a subject of the provider is called here, where those of other providers are as well.
    pub(super) fn subject(&self, subject: &str) -> String {
        let id = &self.said.id;
        match id.len() + 1 + subject.len() <= MOST_SUBJECT_BYTES {
            true => format!("{id}|{subject}"),
            false => format!("{id}|{}", URL_SAFE_NO_PAD.encode(Sha256::digest(subject))),
        }
    }

    /// What is kept of a user: who it is at the provider, and what the program asked for.
    pub(super) fn claims(
        &self,
        subject: &str,
        id_token: &Map<String, Value>,
        userinfo: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Fault> {
        let who = serde_json::json!({"id": self.said.id, "iss": self.said.issuer, "sub": subject});
        let mut kept = Map::from_iter([("provider".to_owned(), who)]);
        for (of_provider, name) in &self.said.claims {
            // What is signed goes first.
            if let Some(value) = id_token.get(of_provider).or_else(|| userinfo.get(of_provider)) {
                kept.insert(name.clone(), value.clone());
            }
        }
        match serde_json::to_vec(&kept) {
            Ok(bytes) if bytes.len() <= MOST_CLAIM_BYTES => Ok(kept),
            _ => Err(Fault::new("the claims are too large")),
        }
    }
}

/// A URL with more in its query, which it may have already.
pub(super) fn with_query(url: &str, query: &str) -> String {
    format!("{url}{}{query}", if url.contains('?') { '&' } else { '?' })
}
