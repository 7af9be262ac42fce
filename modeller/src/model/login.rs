//! Logins: who has signed in, from where, and until when, as documents of a model of our own, `@logins`.
//!
//! A token is short-lived and names its login (`sid`); what keeps somebody signed in is the login, which is durable and can be
//! revoked: every request that names it looks at it. A client holds one of two things to it. A *refresh token* is exchanged for the
//! next pair of tokens, each once; a *session cookie* is sent by a browser by itself. Both are made of 256 random bits that the store
//! knows a hash of (no salt: nobody guesses 256 bits), with the id of the login in front, by which it is found.
//!
//! All refresh tokens of a login are of one *family*, whose name they carry and nobody else knows. So one that is of the family and not
//! the current one was used before, however long ago: it was stolen from its owner, or he from the thief. Who was first cannot be told,
//! and the login ends (RFC 9700 §4.14.2). There is no time in which a second use is forgiven: within it a thief would be a retry.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::attempts::{Attempts, Name};
use super::handler::{Extract, Invocation, LongMethodArg, MethodArg};
use super::journal::{LogFeature, LogLevel, Subject, Words};
use super::runtime::{Runtime, Scope, Step, Target};
use crate::core::clock::millis;
use crate::core::collection::ModelIndex;
use crate::core::document::{Doc, DynDoc};
use crate::core::id::RawId;
use crate::core::json::Document;
use crate::core::log::Expect;
use crate::core::query::RawQuery;
use crate::core::query::filter::Filter;
use crate::core::query::sort::Sort;
use crate::core::schema::{FieldDeclaration, Kind, ModelSchema};
use crate::core::token::{Checks, Keyring, invalid_claims};
use crate::core::value::{ObjectRef, ValueRef};
use crate::error::{Error, ErrorCode, Result};

/// How far two clocks may be apart, unless said.
pub(crate) const LEEWAY: Duration = Duration::from_secs(5);
/// How long a token of a login holds, unless said.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long a login lasts, unless said, and how long one that is not used.
const LOGIN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
const LOGIN_IDLE: Duration = Duration::from_secs(14 * 24 * 3600);
/// How many attempts under one name may go wrong at once, unless said, and in what time they come back.
const ATTEMPTS: (u32, Duration) = (10, Duration::from_secs(15 * 60));
/// How many logins of one subject there are; the oldest goes.
const MOST_LOGINS: usize = 100;
/// The longest subject, in bytes (OpenID Connect Core §2 has 255 characters of ASCII).
const LONGEST_SUBJECT: usize = 255;
/// How many bytes the claims of a login have as JSON: a token has room for them.
const LONGEST_CLAIMS: usize = 4 << 10;
/// How many bytes an ID token has that is kept: it travels in an address when its user signs out.
#[cfg(feature = "oidc")]
const LONGEST_ID_TOKEN: usize = 4 << 10;
/// How many characters are kept of what a client says of itself.
const LONGEST_AGENT: usize = 256;
/// How long a login may be used before that is written down: else each request would be a commit.
const NOTED_EVERY: Duration = Duration::from_secs(3600);
/// How many uses are being written down at a time; others are noted the next time.
const NOTED_AT_ONCE: usize = 64;
/// The latest time of a login, as that of a token: the end of the year 9999.
const LATEST: u64 = 253_402_300_799_000;
/// The claims that say what a token is, and are not the login's to choose.
const OURS: &[&str] = &["sub", "sid", "iss", "aud", "exp", "nbf", "iat", "jti"];

/// The id of the model.
pub(crate) const MODEL: &str = "@logins";

const ID: usize = 16;
const FAMILY: usize = 16;
const RANDOM: usize = 32;

/// A login as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    subject: String,
    claims: Map<String, Value>,
    /// What the client said of itself.
    agent: Option<String>,
    /// When it began; this and the next ones in milliseconds since the Unix epoch.
    since: u64,
    /// When it was used last, to the hour.
    used: u64,
    /// When it ends unless it is used before.
    expires: u64,
    /// When it ends, however much it is used; with `expires`, where it does not say.
    #[serde(default)]
    until: Option<u64>,
    /// By what its provider knows it, for when its user signs out there.
    #[serde(default)]
    id_token: Option<String>,
    /// A hash of the name of the family of its refresh tokens; none when it has no such tokens.
    family: Option<String>,
    /// A hash of the current one; none when that was exchanged for a cookie.
    refresh: Option<String>,
    /// A hash of the session cookie.
    cookie: Option<String>,
}

impl Record {
    fn until(&self) -> u64 {
        self.until.unwrap_or(self.expires)
    }

    /// The same, used now.
    fn used(self, now: u64, idle: Duration) -> Self {
        let expires = now.saturating_add(millis(idle)).min(self.until()).max(self.expires);
        Self { used: now, expires, ..self }
    }
}

impl ObjectRef for Record {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "expires" => Some(ValueRef::UInt(self.expires)),
            "since" => Some(ValueRef::UInt(self.since)),
            "subject" => Some(ValueRef::Str(&self.subject)),
            _ => None,
        }
    }
    fn slots(&self) -> usize {
        3
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        let name = *["expires", "since", "subject"].get(slot)?;
        Some((name, self.get(name)?))
    }
}

/// The model of the logins, as an application has it beside its own.
pub(crate) fn schema() -> Result<Arc<ModelSchema>> {
    static FIELDS: [FieldDeclaration; 2] = [FieldDeclaration::indexed("expires"), FieldDeclaration::indexed("subject")];
    ModelSchema::prove_own(MODEL, Kind::of::<Record>(), &FIELDS)
}

/// What a program says of tokens and logins.
#[derive(Clone, Debug)]
pub(crate) struct LoginSettings {
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) leeway: Duration,
    /// Secrets that were used before, and still verify.
    pub(crate) previous: Vec<Vec<u8>>,
    pub(crate) token_lifetime: Duration,
    pub(crate) login_lifetime: Duration,
    pub(crate) login_idle: Duration,
    pub(crate) attempts: (u32, Duration),
}

impl Default for LoginSettings {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            leeway: LEEWAY,
            previous: Vec::new(),
            token_lifetime: TOKEN_LIFETIME,
            login_lifetime: LOGIN_LIFETIME,
            login_idle: LOGIN_IDLE,
            attempts: ATTEMPTS,
        }
    }
}

/// The logins of an application, and what their tokens are signed with.
pub(crate) struct LoginState {
    pub(crate) model: ModelIndex,
    settings: LoginSettings,
    /// Made when it is first needed, as the secret is.
    keyring: OnceLock<Arc<Keyring>>,
    /// Those whose use is being written down.
    noting: Mutex<Vec<RawId>>,
    attempts: Attempts,
}

impl LoginState {
    pub(crate) fn new(model: ModelIndex, settings: LoginSettings) -> Self {
        let attempts = Attempts::new(settings.attempts.0, settings.attempts.1);
        Self { model, settings, keyring: OnceLock::new(), noting: Mutex::default(), attempts }
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| Error::internal(format!("no randomness: {cause}")))?;
    Ok(bytes)
}

/// What is stored of random bits; what they are for is a part of it, so that a cookie is no refresh token.
fn hash(purpose: &str, bits: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(purpose).chain_update([0]).chain_update(bits).finalize())
}

/// A refresh token, taken apart.
#[derive(Clone)]
struct RefreshToken {
    id: Uuid,
    family: [u8; FAMILY],
    random: [u8; RANDOM],
}

impl RefreshToken {
    fn read(text: &str) -> Option<Self> {
        let (id, rest) = parts(text, ID + FAMILY + RANDOM)?;
        let (family, random) = rest.split_first_chunk()?;
        Some(Self { id, family: *family, random: random.try_into().ok()? })
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode([self.id.as_bytes(), self.family.as_slice(), &self.random].concat())
    }

    fn family(&self) -> String {
        hash("family", &self.family)
    }

    fn hash(&self) -> String {
        hash("refresh", &self.random)
    }

    fn next(&self) -> Result<Self> {
        Ok(Self { random: random()?, ..self.clone() })
    }
}

/// The id that stands in front of so many bytes in base64, and the others.
fn parts(text: &str, length: usize) -> Option<(Uuid, Vec<u8>)> {
    // Before it is decoded: what is longer is none, however long it is.
    if text.len() != (length * 4).div_ceil(3) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (id, rest) = bytes.split_first_chunk::<ID>()?;
    Some((Uuid::from_bytes(*id), rest.to_vec()))
}

fn raw(id: Uuid) -> Result<RawId> {
    RawId::parse(&id.to_string())
}

/// The tokens of a login: what a client gets that signs in.
///
/// It is an answer of a method as it is, with the members `token`, `refreshToken` and `expiresIn`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// The token, for `Authorization: Bearer`.
    pub token: String,
    /// What the next pair is asked for with, once: `POST /@auth/refresh`.
    pub refresh_token: String,
    /// For how many seconds the token holds (RFC 6749 §5.1).
    pub expires_in: u64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// A session of a browser: the content of its cookie.
pub(crate) struct Session {
    pub(crate) cookie: String,
    /// For how many seconds it lasts.
    pub(crate) lasts: u64,
}

/// A login, to be looked at.
#[derive(Clone)]
pub struct Login(Doc<Record>);

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("id", &self.id()).field("subject", &self.subject()).finish_non_exhaustive()
    }
}

fn time(at: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(at)).unwrap_or(UNIX_EPOCH)
}

impl Login {
    /// Its id, the claim `sid` of its tokens.
    #[must_use]
    pub fn id(&self) -> RawId {
        self.0.id().into_raw()
    }

    /// Who has signed in, the claim `sub` of its tokens.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// One of the claims that it was begun with.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.claims.get(name)
    }

    /// What the client said of itself when it began, 256 characters of it at most.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.0.agent.as_deref()
    }

    /// When it began.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        time(self.0.since)
    }

    /// When it was used last, to the hour.
    #[must_use]
    pub fn used(&self) -> SystemTime {
        time(self.0.used)
    }

    /// When it ends, however much it is used.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        time(self.0.until())
    }
}

/// The logins of an application: what [`App::logins`](crate::App::logins) answers, and an argument of a `#[method]`.
///
/// Somebody who has shown who he is gets a login, and by that a token, which holds for ten minutes, and a refresh token, which is
/// exchanged for the next pair at `POST /@auth/refresh`, or for a session cookie at `POST /@auth/session`. A login lasts 30 days, and
/// ends before that when it is not used for 14, or is revoked, which counts from the next request on. A subject has 100 logins at most; with one more the oldest goes.
///
/// ```
/// use modeller::prelude::*;
/// use modeller::{Tokens, Logins};
/// #[model(id = "users")]
/// pub struct User {
///     #[field(unique)]
///     pub name: String,
///     /// A real program keeps a hash, of a kind that is slow on purpose.
///     pub password: Private<String>,
/// }
///
/// #[value]
/// pub struct SignIn { pub name: String, pub password: Private<String> }
///
/// #[method(User, public)]
/// async fn sign_in(args: SignIn, users: System<Model<User>>, logins: Logins) -> Result<Tokens> {
///     logins.attempt(&args.name)?;
///     match users.get(User::NAME.eq(args.name)).await? {
///         Some(user) if user.password == args.password => logins.begin(user.id().to_string()).await,
///         _ => Err(Error::new(ErrorCode::Unauthenticated).message("the name or the password is wrong")),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let ada = User { name: "ada".into(), password: "correct horse".to_owned().into() };
/// let ada = app.model::<User>().insert(ada).await?.id().to_string();
/// let args = SignIn { name: "ada".into(), password: "correct horse".to_owned().into() };
/// let issued = app.model::<User>().sign_in(args).await?;
/// assert_eq!(issued.expires_in, 600);
///
/// let logins = app.logins().list(&ada).await?;
/// assert_eq!(logins.len(), 1);
/// app.logins().revoke(&logins[0].id()).await?;
/// assert!(app.logins().refresh(&issued.refresh_token).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Logins {
    scope: Scope,
    /// The attempts that were counted by this one, and not taken back by a login.
    attempts: Arc<Mutex<Vec<Name>>>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").finish_non_exhaustive()
    }
}

impl<'a> Extract<'a> for Logins {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Ok(Self::new(&invocation.scope))
    }
}

impl MethodArg for Logins {}
impl LongMethodArg for Logins {}

/// What became of a refresh token.
enum Used<R> {
    Well(R),
    /// It had been used before, and its login has ended by that.
    Again(RawId),
    /// It is none, or its login is over.
    Not,
}

impl Logins {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self { scope: scope.as_application(), attempts: Arc::default() }
    }

    fn runtime(&self) -> &Runtime {
        self.scope.runtime()
    }

    fn state(&self) -> &LoginState {
        &self.runtime().inner().logins
    }

    fn now(&self) -> u64 {
        self.runtime().inner().clock.now()
    }

    /// Counts an attempt to sign in under this name, before it is known whether it goes well: passwords are not tried out by this. A
    /// login that is begun after it, by this `Logins`, takes it back. Ten may go wrong at once, and one more each 90 seconds; see
    /// [`AppBuilder::login_attempts`](crate::AppBuilder::login_attempts).
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().in_memory().open().await?;
    /// for _ in 0..10 {
    ///     app.logins().attempt("ada@example.com")?;
    /// }
    /// let error = app.logins().attempt("ada@example.com").unwrap_err();
    /// assert_eq!((error.code(), error.get("retryAfter")), (&ErrorCode::RateLimited, Some(&90.into())));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `RATE_LIMITED` when there were too many, with the seconds to wait as `retryAfter`.
    pub fn attempt(&self, name: &str) -> Result<()> {
        match self.state().attempts.take(name, self.now()) {
            Ok(name) => {
                self.attempts.lock().push(name);
                Ok(())
            }
            Err(wait) => Err(Error::new(ErrorCode::RateLimited)
                .message("there were too many attempts to sign in; wait before the next")
                .detail("retryAfter", wait.as_millis().div_ceil(1_000) as u64)),
        }
    }

    /// Begins a login of this subject, by `.await`. In a method it is a part of its transaction: when that fails, there is none.
    pub fn begin(&self, subject: impl Into<String>) -> Beginning<'_> {
        Beginning {
            logins: self,
            subject: subject.into(),
            claims: Map::new(),
            agent: None,
            lifetime: self.state().settings.login_lifetime,
            until: LATEST,
            id_token: None,
        }
    }

    /// The logins of a subject that have not ended, the latest first.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn list(&self, subject: &str) -> Result<Vec<Login>> {
        let query = of_subject(subject, -1)?;
        let (now, found) = (self.now(), self.scope.find(self.state().model, &query, MOST_LOGINS).await?);
        Ok(found.iter().filter_map(record).filter(|login| login.expires > now).map(Login).collect())
    }

    /// One of them; `None` also when it has ended.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn get(&self, id: &RawId) -> Result<Option<Login>> {
        let found = self.scope.get(self.state().model, &Target::Id(id.clone())).await?;
        let now = self.now();
        Ok(found.as_ref().and_then(record).filter(|login| login.expires > now).map(Login))
    }

    /// Ends one: its tokens and its cookie are refused from the next request on.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of that id, or it has ended.
    pub async fn revoke(&self, id: &RawId) -> Result<()> {
        let model = self.state().model;
        self.scope
            .own_step("revoke", |step| async move { step.transaction().delete(model, id, None, None).map(drop) })
            .await
    }

    /// Ends all of a subject, and answers how many those were: when his password was changed, or he wants to be out everywhere.
    ///
    /// # Errors
    /// Those of a transaction.
    pub async fn revoke_all(&self, subject: &str) -> Result<usize> {
        let (model, query) = (self.state().model, &of_subject(subject, 1)?);
        let all = self.scope.own_step("revoke", |step| async move {
            let found = step.transaction().find(model, query, MOST_LOGINS)?;
            for doc in &found {
                step.transaction().delete(model, doc.id(), None, None)?;
            }
            Ok(found.len())
        });
        all.await
    }

    /// Exchanges a refresh token for the next pair of tokens. One that was exchanged before ends its login.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when it is none, was used before, or its login has ended; `NESTED_TRANSACTION` in a transaction, which could
    /// run twice.
    pub async fn refresh(&self, token: &str) -> Result<Tokens> {
        let used = self.use_up(token, "refresh", |known, next| {
            let next = next.next()?;
            Ok((Record { refresh: Some(next.hash()), ..known }, next))
        });
        let (doc, next) = used.await?;
        self.issue(&doc.id().into_raw(), &doc, &next)
    }

    /// Exchanges a refresh token for a cookie. There is no refresh token of the login after that.
    pub(crate) async fn exchange(&self, token: &str) -> Result<(Session, Login)> {
        let used = self.use_up(token, "exchange", |known, _| {
            let bits = random::<RANDOM>()?;
            Ok((Record { refresh: None, cookie: Some(hash("cookie", &bits)), ..known }, bits))
        });
        let (doc, bits) = used.await?;
        Ok((self.session(&doc, &bits)?, Login(doc)))
    }

    /// Gives the login a cookie, a new one if it had one.
    pub(crate) async fn give_cookie(&self, id: &RawId) -> Result<Session> {
        let model = self.state().model;
        let given = self.scope.own_step("exchange", |step| async move {
            let doc =
                step.transaction().get(model, id)?.and_then(|doc| record(&doc)).ok_or_else(Error::unauthenticated)?;
            let bits = random::<RANDOM>()?;
            let known = doc.value().clone().used(self.now(), self.state().settings.login_idle);
            let next = Record { cookie: Some(hash("cookie", &bits)), ..known };
            put(&step, model, id, next, Expect::Present { if_rev: None })?;
            Ok((doc, bits))
        });
        let (doc, bits) = given.await?;
        self.session(&doc, &bits)
    }

    /// Ends the login of a refresh token, of whatever age.
    pub(crate) async fn give_up(&self, token: &str) -> Result<()> {
        let ended = self.use_up(token, "revoke", |_, _| Err::<(Record, ()), _>(Error::unauthenticated())).await;
        match ended {
            Err(error) if *error.code() != ErrorCode::Unauthenticated => Err(error),
            _ => Ok(()),
        }
    }

    /// Uses a refresh token.
    async fn use_up<R: Send>(
        &self,
        token: &str,
        name: &'static str,
        next: impl Fn(Record, &RefreshToken) -> Result<(Record, R)> + Send + Sync,
    ) -> Result<(Doc<Record>, R)> {
        if self.scope.is_in_transaction() {
            return Err(Error::new(ErrorCode::NestedTransaction).message(
                "a refresh token is good for one use, and a transaction may run twice; use it outside of one",
            ));
        }
        let Some(token) = &RefreshToken::read(token) else { return Err(Error::unauthenticated()) };
        let (model, now, next, id) = (self.state().model, self.now(), &next, &raw(token.id)?);
        let idle = self.state().settings.login_idle;
        let used = self.scope.own_step(name, |step| async move {
            let Some(known) = step.transaction().get(model, id)?.as_ref().and_then(record) else {
                return Ok(Used::Not);
            };
            // How long it takes to compare hashes tells nothing of what they are hashes of.
            if known.family != Some(token.family()) || known.expires <= now {
                return Ok(Used::Not);
            }
            if known.refresh != Some(token.hash()) {
                step.transaction().delete(model, id, None, None)?;
                return Ok(Used::Again(id.clone()));
            }
            let (next, made) = next(known.value().clone().used(now, idle), token)?;
            let doc = put(&step, model, id, next, Expect::Present { if_rev: None })?;
            Ok(Used::Well((doc, made)))
        });
        match used.await? {
            Used::Well(made) => Ok(made),
            Used::Not => Err(Error::unauthenticated()),
            Used::Again(id) => {
                let subject = Subject::new(model, LogFeature::Method);
                self.runtime().journal().note(&subject, LogLevel::Warn, || {
                    Words::new(format!("a refresh token of the login {id} was used twice; the login was revoked"))
                });
                Err(Error::unauthenticated())
            }
        }
    }

    /// The pair of a login.
    fn issue(&self, id: &RawId, login: &Record, refresh: &RefreshToken) -> Result<Tokens> {
        let now = self.now();
        let left = Duration::from_millis(login.until().saturating_sub(now));
        let lifetime = self.state().settings.token_lifetime.min(left);
        let token = self.runtime().keyring()?.sign(claims_of(id, login), now, lifetime)?;
        Ok(Tokens { token, refresh_token: refresh.text(), expires_in: lifetime.as_secs() })
    }

    fn session(&self, login: &Doc<Record>, bits: &[u8]) -> Result<Session> {
        let id = Uuid::try_parse(&login.id().to_string()).map_err(Error::internal)?;
        let lasts = login.until().saturating_sub(self.now()) / 1_000;
        Ok(Session { cookie: URL_SAFE_NO_PAD.encode([id.as_bytes(), bits].concat()), lasts })
    }
}

fn record(doc: &DynDoc) -> Option<Doc<Record>> {
    Doc::from_dyn(doc.clone())
}

fn put(step: &Arc<Step>, model: ModelIndex, id: &RawId, login: Record, expect: Expect) -> Result<Doc<Record>> {
    let doc = step.transaction().put(model, id, Box::new(login), expect, true)?;
    record(&doc).ok_or_else(|| Error::internal("a login of another type"))
}

/// The claims that a caller of this login has, without those of a single token.
fn claims_of(id: &RawId, login: &Record) -> Map<String, Value> {
    let mut claims = login.claims.clone();
    claims.insert("sub".into(), login.subject.as_str().into());
    claims.insert("sid".into(), id.to_string().into());
    claims
}

/// The logins of a subject, by when they began: rising, or falling.
fn of_subject(subject: &str, order: i8) -> Result<RawQuery> {
    let filter = Filter::<Document>::parse(&json!({"subject": subject}))?;
    let sort = Sort::<Document>::parse(&json!({"since": order}))?;
    Ok(RawQuery { sort: sort.raw().clone(), limit: Some(MOST_LOGINS), ..RawQuery::of(filter.raw().clone()) })
}

/// A login that is about to begin, by `.await`; see [`Logins::begin`].
#[must_use = "a login begins by `.await`"]
pub struct Beginning<'a> {
    logins: &'a Logins,
    subject: String,
    claims: Map<String, Value>,
    agent: Option<String>,
    lifetime: Duration,
    until: u64,
    id_token: Option<String>,
}

impl fmt::Debug for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beginning").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl<'a> Beginning<'a> {
    /// With a claim, which its tokens have and the [`Caller`](crate::Caller) shows; all together 4 KiB of JSON at most. Those that say
    /// what a token is (`sub`, `sid`, `iss`, `aud`, `exp`, `nbf`, `iat`, `jti`) are set by the application.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// With all of these claims.
    pub fn claims(mut self, claims: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.claims.extend(claims);
        self
    }

    /// From a client that says this of itself, for the list that its user is shown. The first 256 characters are kept.
    pub fn user_agent(mut self, agent: impl AsRef<str>) -> Self {
        let agent: String = agent.as_ref().chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect();
        self.agent = Some(agent).filter(|agent| !agent.is_empty());
        self
    }

    /// For so long, in the place of what the application has for all, see
    /// [`AppBuilder::login_lifetime`](crate::AppBuilder::login_lifetime).
    pub fn lasting(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Not longer than until this time, in milliseconds since the Unix epoch.
    pub(crate) fn until(mut self, at: u64) -> Self {
        self.until = at;
        self
    }

    /// With what its provider knows it by, unless that is too long to be sent back.
    #[cfg(feature = "oidc")]
    pub(crate) fn id_token(mut self, token: String) -> Self {
        self.id_token = Some(token).filter(|token| token.len() <= LONGEST_ID_TOKEN);
        self
    }

    fn record(&self, now: u64) -> Result<Record> {
        if self.subject.is_empty() || self.subject.len() > LONGEST_SUBJECT {
            return Err(invalid_claims(format!("a subject has 1 to {LONGEST_SUBJECT} bytes")));
        }
        if let Some(name) = OURS.iter().find(|name| self.claims.contains_key(**name)) {
            return Err(invalid_claims(format!("the claim `{name}` of a login is set by the application")));
        }
        if serde_json::to_vec(&self.claims)?.len() > LONGEST_CLAIMS {
            return Err(invalid_claims(format!("the claims of a login have {LONGEST_CLAIMS} bytes at most")));
        }
        let until = now.saturating_add(millis(self.lifetime)).min(self.until).min(LATEST);
        let idle = self.logins.state().settings.login_idle;
        Ok(Record {
            subject: self.subject.clone(),
            claims: self.claims.clone(),
            agent: self.agent.clone(),
            since: now,
            used: now,
            expires: now.saturating_add(millis(idle)).min(until),
            until: Some(until),
            id_token: self.id_token.clone(),
            family: None,
            refresh: None,
            cookie: None,
        })
    }

    /// Stores the login, in the place of the oldest of too many.
    async fn store<R: Send>(
        &self,
        with: impl Fn(Uuid, Record) -> Result<(Record, R)> + Send + Sync,
    ) -> Result<(Doc<Record>, R)> {
        let (model, now) = (self.logins.state().model, self.logins.now());
        let (new, query, with) = (&self.record(now)?, &of_subject(&self.subject, 1)?, &with);
        let stored = self.logins.scope.own_step("login", |step| async move {
            let known = step.transaction().find(model, query, MOST_LOGINS)?;
            for oldest in known.iter().take((known.len() + 1).saturating_sub(MOST_LOGINS)) {
                step.transaction().delete(model, oldest.id(), None, None)?;
            }
            let id = Uuid::now_v7();
            let (login, made) = with(id, new.clone())?;
            Ok((put(&step, model, &raw(id)?, login, Expect::Absent)?, made))
        });
        let stored = stored.await?;
        for name in self.logins.attempts.lock().drain(..) {
            self.logins.state().attempts.give_back(name);
        }
        Ok(stored)
    }

    /// Begins it for a browser: with a cookie, and without a refresh token.
    pub(crate) async fn session(self) -> Result<(Session, Login)> {
        let begun = self.store(|_, login| {
            let bits = random::<RANDOM>()?;
            Ok((Record { cookie: Some(hash("cookie", &bits)), ..login }, bits))
        });
        let (doc, bits) = begun.await?;
        Ok((self.logins.session(&doc, &bits)?, Login(doc)))
    }
}

impl<'a> IntoFuture for Beginning<'a> {
    type Output = Result<Tokens>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let begun = self.store(|id, login| {
                let token = RefreshToken { id, family: random()?, random: random()? };
                Ok((Record { family: Some(token.family()), refresh: Some(token.hash()), ..login }, token))
            });
            let (doc, token) = begun.await?;
            self.logins.issue(&doc.id().into_raw(), &doc, &token)
        })
    }
}

impl Runtime {
    /// What tokens are signed and verified with.
    ///
    /// # Errors
    /// `INVALID_SECRET` when the secret can be neither read nor made.
    pub(crate) fn keyring(&self) -> Result<Arc<Keyring>> {
        let LoginState { settings, keyring, .. } = &self.inner().logins;
        if let Some(keyring) = keyring.get() {
            return Ok(keyring.clone());
        }
        let LoginSettings { issuer, audience, leeway, previous, .. } = settings;
        let checks = Checks { issuer: issuer.clone(), audience: audience.clone(), leeway: *leeway };
        let made = Arc::new(Keyring::new(&self.inner().secret.bytes()?, previous, checks)?);
        Ok(keyring.get_or_init(|| made).clone())
    }
}

/// What the server asks of the logins, of those that are durable.
impl Runtime {
    fn login(&self, id: &RawId) -> Option<Doc<Record>> {
        let found = self.durable().get(self.inner().logins.model, id).and_then(record)?;
        (found.expires > self.inner().clock.now()).then_some(found)
    }

    /// Whether there is such a login, which is noted as used.
    pub(crate) fn uses_login(&self, id: &RawId) -> bool {
        let Some(login) = self.login(id) else { return false };
        self.note_use(&login);
        true
    }

    /// The same, and nothing is noted.
    pub(crate) fn has_login(&self, id: &RawId) -> bool {
        self.login(id).is_some()
    }

    /// The login of a session cookie: its id, the claims of its caller, and until when it lasts, in milliseconds since the Unix epoch.
    pub(crate) fn login_of_cookie(&self, cookie: &str) -> Option<(RawId, Map<String, Value>, u64)> {
        let (id, bits) = parts(cookie, ID + RANDOM)?;
        let id = raw(id).ok()?;
        let login = self.login(&id)?;
        if login.cookie != Some(hash("cookie", &bits)) {
            return None;
        }
        self.note_use(&login);
        let mut claims = claims_of(&id, &login);
        // As its tokens have it: who it is does not depend on what he shows.
        if let Some(issuer) = &self.inner().logins.settings.issuer {
            claims.insert("iss".into(), issuer.as_str().into());
        }
        Some((id, claims, login.until()))
    }

    /// By what the provider of this name knows a login, when it is one of that provider.
    #[cfg(feature = "oidc")]
    pub(crate) fn id_token_of(&self, id: &RawId, provider: &str) -> Option<String> {
        let login = self.login(id)?;
        let is_of = login.claims.get("provider").and_then(|known| known.get("id")).is_some_and(|id| id == provider);
        login.id_token.clone().filter(|_| is_of)
    }

    /// Writes down that a login was used, when that was not done for a while. Nobody waits for it.
    fn note_use(&self, login: &Doc<Record>) {
        let inner = self.inner();
        let now = inner.clock.now();
        let idle = inner.logins.settings.login_idle;
        // Often enough that it does not end while it is used.
        if now < login.used.saturating_add(millis(NOTED_EVERY.min(idle / 4))) {
            return;
        }
        let id = login.id().into_raw();
        {
            let mut noting = inner.logins.noting.lock();
            if noting.len() >= NOTED_AT_ONCE || noting.contains(&id) {
                return;
            }
            noting.push(id.clone());
        }
        let runtime = self.clone();
        tokio::spawn(async move {
            let (model, place) = (runtime.inner().logins.model, &id);
            let noted = runtime.transact(|step| async move {
                let Some(login) = step.transaction().get(model, place)?.as_ref().and_then(record) else {
                    return Ok(());
                };
                let next = login.value().clone().used(now, idle);
                put(&step, model, place, next, Expect::Present { if_rev: None }).map(drop)
            });
            if let Err(error) = noted.await {
                let subject = Subject::new(model, LogFeature::Method);
                runtime.journal().note(&subject, LogLevel::Debug, || {
                    Words::new(format!("the use of a login could not be noted: {}", error.for_log_with_causes()))
                });
            }
            runtime.inner().logins.noting.lock().retain(|noted| *noted != id);
        });
    }
}

/// Takes away logins that have ended, so many at most, and answers how many those were.
pub(super) async fn clear(runtime: &Runtime, most: usize) -> Result<usize> {
    let (model, now) = (runtime.inner().logins.model, runtime.inner().clock.now());
    let old = Filter::<Document>::parse(&json!({"expires": {"$lte": now}}))?;
    let query = RawQuery { limit: Some(most), ..RawQuery::of(old.raw().clone()) };
    let state = runtime.durable();
    let Some(logins) = state.collection(model) else { return Ok(0) };
    let old: Vec<RawId> = logins.find(&query, most)?.iter().map(|doc| doc.id().clone()).collect();
    if old.is_empty() {
        return Ok(0);
    }
    let old = &old;
    runtime
        .transact(|step| async move {
            for id in old {
                // It was revoked meanwhile.
                if step.transaction().get(model, id)?.is_some() {
                    step.transaction().delete(model, id, None, None)?;
                }
            }
            Ok(old.len())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_tokens_are_what_was_made() {
        let token = RefreshToken { id: Uuid::now_v7(), family: random().unwrap(), random: random().unwrap() };
        let text = token.text();
        let read = RefreshToken::read(&text).unwrap();
        assert_eq!((read.id, read.family(), read.hash()), (token.id, token.family(), token.hash()));
        let next = token.next().unwrap();
        assert_eq!((next.id, next.family()), (token.id, token.family()));
        assert_ne!(next.hash(), token.hash());
        assert_ne!(hash("cookie", &token.random), token.hash());
        for wrong in ["", "x", &text[1..], &format!("{text}A"), &text.replace(|_: char| true, "!"), &"é".repeat(43)] {
            assert!(RefreshToken::read(wrong).is_none(), "{wrong}");
        }
    }
}
