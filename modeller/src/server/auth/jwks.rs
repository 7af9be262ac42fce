//! Tokens that others sign: JSON Web Signatures (RFC 7515) by the keys of a set (RFC 7517).
//!
//! A key is good for one algorithm, which is written in the set or follows from the key, and never from the token. A token names
//! its key by `kid` at most; one that brings a key along, or the address of one, is refused. The set of an address is fetched
//! when it is first needed, and again when it is old or when a token names a key that is not in it, but not more often than
//! [`COOLDOWN`] allows, and by one task at a time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Map, Value};

use super::jwt::Identity;
use super::upstream::{Address, Fault, Upstream};
use crate::app::AppBuilder;
use crate::core::token::object;
use crate::error::{Error, Result};
use crate::model::runtime::Runtime;
use crate::server::auth::oidc::Outside;

/// How far two clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(5);
/// The longest token; providers put the roles of a user into it.
const MOST_BYTES: usize = 16 << 10;
/// How many keys of a set are looked at.
const MOST_KEYS: usize = 100;
/// For how long a set is taken as current.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// For how long it serves when it cannot be fetched again.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How often it is fetched at most.
const COOLDOWN: Duration = Duration::from_secs(10);

/// The public keys of somebody who signs tokens, as a JSON Web Key Set (RFC 7517 §5).
///
/// Those that are for signatures are used: RSA with RS256, or PS256 where the key says so, with 2048 bits at least; P-256 with
/// ES256; Ed25519 with EdDSA. Others are passed over.
#[derive(Clone, Debug)]
pub struct KeySet(Source);

#[derive(Clone, Debug)]
enum Source {
    Given(Value),
    At(String),
}

impl KeySet {
    /// The keys of this document.
    #[must_use]
    pub fn given(document: Value) -> Self {
        Self(Source::Given(document))
    }

    /// The keys at this `https` URL, or `http` URL of the machine itself. They are fetched when a token needs them, kept for
    /// ten minutes, and fetched again, every ten seconds at most, when a token names a key that is not among them.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self(Source::At(url.into()))
    }
}

impl AppBuilder {
    /// With the tokens of this issuer accepted beside the application's own: those that are signed with a key of the set, whose
    /// `iss` is the issuer, among whose `aud` is the audience, and that have not expired (RFC 9068, RFC 8725). The caller has their
    /// claims.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// use modeller::server::KeySet;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let keys = KeySet::at("https://login.example.com/jwks");
    /// let app = App::new().jwks("https://login.example.com", "my-api", keys).in_memory().open().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Who it is are `iss` and `sub` together: two issuers may call different people the same.
    ///
    /// Opening the application refuses a document that has no key to verify with, and a URL that is not `https`.
    pub fn jwks(mut self, issuer: impl Into<String>, audience: impl Into<String>, keys: KeySet) -> Self {
        let (issuer, audience) = (issuer.into(), audience.into());
        let proved = match issuer.is_empty() || audience.is_empty() {
            true => Err(Fault::new("a key set needs an issuer and an audience")),
            false => Keys::new(keys),
        };
        match proved {
            Ok(keys) => {
                let issuer = Arc::new(Issuer { issuer, audience, keys });
                self.set(|settings| settings.outside.issuers.push(issuer))
            }
            Err(fault) => {
                let mistake = Error::new("INVALID_KEY_SET").status(500);
                self.mistakes.push(mistake.message(format!("the keys of `{issuer}` do not do: {fault}")));
                self
            }
        }
    }
}

/// Somebody whose tokens are taken.
pub(super) struct Issuer {
    issuer: String,
    audience: String,
    keys: Arc<Keys>,
}

impl Outside {
    /// Who a token of somebody else speaks for.
    pub(in crate::server) async fn verify(&self, runtime: &Runtime, token: &str) -> Result<Identity> {
        let now = UNIX_EPOCH + Duration::from_millis(runtime.inner().clock.now());
        match self.verify_or_say(token, now).await {
            Ok(identity) => Ok(identity),
            Err(fault) => {
                tracing::debug!(%fault, "a token was refused");
                Err(Error::unauthenticated())
            }
        }
    }

    async fn verify_or_say(&self, token: &str, now: SystemTime) -> Result<Identity, Fault> {
        let token = Token::parse(token, MOST_BYTES)?;
        let kind = token.kind.as_deref().map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
        if !kind.is_none_or(|kind| kind == "jwt" || kind == "at+jwt") {
            return Err(Fault::new("it is for something else by its type"));
        }
        // It says who signed it, which chooses among those that are known, and is true when the signature is.
        let by = token.claims.get("iss").and_then(Value::as_str);
        let of =
            |issuer: &&Arc<Issuer>| by == Some(&issuer.issuer) && audience(&token.claims).contains(&&*issuer.audience);
        let issuer = self.issuers.iter().find(of).ok_or_else(|| Fault::new("of no known issuer for this audience"))?;
        let upstream = self.upstream.as_ref().ok_or_else(|| Fault::new("nobody is asked"))?;
        issuer.keys.verify(upstream, &token).await?;
        // RFC 7800: a token that is bound to a key is worth nothing without the proof of that key, which is not asked for here.
        if token.claims.contains_key("cnf") {
            return Err(Fault::new("it is bound to a key"));
        }
        let until = check_times(&token.claims, now)?;
        Ok(Identity::of_another_issuer(token.claims, until))
    }
}

/// For whom a token is meant; nobody, when the claim is of no right form.
pub(super) fn audience(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(audiences)) => audiences.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// A time of a claim (RFC 7519 §2, `NumericDate`).
pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<SystemTime>, Fault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds));
    let seconds = seconds.ok_or_else(|| Fault::new(format!("`{name}` is no time")))?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

/// Until when a token holds, if it does by now.
pub(super) fn check_times(claims: &Map<String, Value>, now: SystemTime) -> Result<SystemTime, Fault> {
    let until = time(claims, "exp")?.ok_or_else(|| Fault::new("there is no `exp`"))? + LEEWAY;
    if until < now {
        return Err(Fault::new("it has expired"));
    }
    if time(claims, "nbf")?.is_some_and(|from| from > now + LEEWAY) {
        return Err(Fault::new("it does not hold yet"));
    }
    Ok(until)
}

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A token that is read and not verified.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    /// Its `typ`, in lower case.
    kind: Option<String>,
    key: Option<String>,
    /// What is signed.
    message: &'a str,
    signature: Vec<u8>,
    pub(super) claims: Map<String, Value>,
}

/// Members of a header that bring a key or change what is signed, and that a token may rely on.
const FOREIGN: [&str; 8] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"];

impl<'a> Token<'a> {
    /// Reads the compact form (RFC 7515 §7.1).
    pub(super) fn parse(token: &'a str, most: usize) -> Result<Self, Fault> {
        if token.len() > most {
            return Err(Fault::new("it is too long"));
        }
        let wrong = || Fault::new("it is no signed token");
        let (message, signature) = token.rsplit_once('.').ok_or_else(wrong)?;
        let (header, claims) = message.split_once('.').ok_or_else(wrong)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| wrong());
        let object = |part: &str| object(part).ok_or_else(wrong);
        let header = object(header)?;
        if FOREIGN.iter().any(|name| header.contains_key(*name)) {
            return Err(Fault::new("its header asks for more than a signature"));
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong()),
        };
        Ok(Self {
            algorithm: text("alg")?
                .as_deref()
                .and_then(Algorithm::parse)
                .ok_or_else(|| Fault::new("its algorithm is not taken"))?,
            kind: text("typ")?.map(|kind| kind.to_ascii_lowercase()),
            key: text("kid")?,
            message,
            signature: decode(signature)?,
            claims: object(claims)?,
        })
    }

    /// Whether it may be an ID token, which says nothing of its type, or that it is a JWT.
    pub(super) fn is_plain(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == "jwt" || kind == "application/jwt")
    }
}

/// One key, which verifies one algorithm.
#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    Point(Vec<u8>),
}

impl Key {
    /// A key of a set; `None` when it is not for signatures, or not one that is used here.
    fn parse(json: &Value) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        // RFC 7517 §4.2 and §4.3; and who publishes a private key has lost it.
        let is_for_signatures = json.get("use").is_none_or(|of| of == "sig")
            && json.get("key_ops").is_none_or(|does| does.as_array().is_some_and(|all| all.contains(&"verify".into())))
            && ["d", "p", "q", "k"].iter().all(|member| json.get(member).is_none());
        let id = match json.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        let said = match json.get("alg") {
            None => None,
            Some(algorithm) => Some(Algorithm::parse(algorithm.as_str()?)?),
        };
        if !is_for_signatures {
            return None;
        }
        let point = |curve: &str, parts: &[&str], prefix: &[u8]| {
            let mut point = prefix.to_vec();
            for part in parts {
                point.extend(bytes(part).filter(|coordinate| coordinate.len() == 32)?);
            }
            (text("crv") == Some(curve)).then_some(Material::Point(point))
        };
        let (material, default) = match text("kty")? {
            "RSA" => {
                let unsigned = |name: &str| {
                    let bytes = bytes(name)?;
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    Some(bytes.get(zeros..)?.to_vec()).filter(|number| !number.is_empty())
                };
                let (n, e) = (unsigned("n")?, unsigned("e")?);
                let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
                // RFC 7518 §3.3; and an exponent of 1 or 2 would verify anything, or nothing.
                let is_sound = (2048..=8192).contains(&bits) && e.last()? & 1 == 1 && e != [1];
                (is_sound.then_some(Material::Rsa(RsaPublicKeyComponents { n, e }))?, Algorithm::Rs256)
            }
            // SEC 1 §2.3.3: both coordinates, after a byte that says so.
            "EC" => (point("P-256", &["x", "y"], &[4])?, Algorithm::Es256),
            "OKP" => (point("Ed25519", &["x"], &[])?, Algorithm::EdDsa),
            _ => return None,
        };
        let algorithm = said.unwrap_or(default);
        // What a key says of itself has to be what it can do.
        let fits = algorithm == default || (default, algorithm) == (Algorithm::Rs256, Algorithm::Ps256);
        fits.then_some(Self { id, algorithm, material })
    }

    fn verifies(&self, token: &Token<'_>) -> bool {
        let (message, signature) = (token.message.as_bytes(), &token.signature);
        let with = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let outcome = match (self.algorithm, &self.material) {
            (Algorithm::Rs256, Material::Rsa(key)) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            (Algorithm::Ps256, Material::Rsa(key)) => key.verify(&RSA_PSS_2048_8192_SHA256, message, signature),
            (Algorithm::Es256, Material::Point(key)) => with(&ECDSA_P256_SHA256_FIXED, key),
            (Algorithm::EdDsa, Material::Point(key)) => with(&ED25519, key),
            _ => return false,
        };
        token.algorithm == self.algorithm && outcome.is_ok()
    }
}

/// The keys of a set that are used here.
fn parse_set(json: &Value) -> Result<Arc<[Key]>, Fault> {
    let keys = json.get("keys").and_then(Value::as_array).ok_or_else(|| Fault::new("it is no key set"))?;
    if keys.len() > MOST_KEYS {
        return Err(Fault::new(format!("it has more than {MOST_KEYS} keys")));
    }
    Ok(keys.iter().filter_map(Key::parse).collect())
}

/// The one key that a token can be signed with. A set that leaves it open decides nothing (OpenID Connect Core §10.1).
fn pick<'a>(keys: &'a [Key], token: &Token<'_>) -> Result<Option<&'a Key>, Fault> {
    let is_named = |key: &&Key| token.key.is_none() || key.id == token.key;
    let mut fitting = keys.iter().filter(|key| key.algorithm == token.algorithm).filter(is_named);
    match (fitting.next(), fitting.next()) {
        (first, None) => Ok(first),
        _ => Err(Fault::new("there are several keys that it may mean")),
    }
}

/// The keys of somebody, kept.
#[derive(Debug)]
pub(super) struct Keys {
    /// `None` for those that were given and stay as they are.
    address: Option<Address>,
    known: Mutex<Known>,
    /// Held by whoever fetches.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Known {
    keys: Arc<[Key]>,
    /// When they were fetched, and when that was tried.
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Keys {
    fn new(set: KeySet) -> Result<Arc<Self>, Fault> {
        let (address, keys) = match set.0 {
            Source::At(url) => (Some(Address::parse(&url)?), Arc::from([])),
            Source::Given(document) => (None, parse_set(&document)?),
        };
        if address.is_none() && keys.is_empty() {
            return Err(Fault::new("there is no key to verify with"));
        }
        let known = Known { keys, fetched: None, tried: None };
        Ok(Arc::new(Self { address, known: Mutex::new(known), turn: tokio::sync::Mutex::default() }))
    }

    /// The keys at an address.
    pub(super) fn at(address: Address) -> Arc<Self> {
        let known = Known { keys: Arc::from([]), fetched: None, tried: None };
        Arc::new(Self { address: Some(address), known: Mutex::new(known), turn: tokio::sync::Mutex::default() })
    }

    /// Whether the token is signed with one of the keys.
    pub(super) async fn verify(self: &Arc<Self>, upstream: &Arc<Upstream>, token: &Token<'_>) -> Result<(), Fault> {
        let mut known = self.known.lock().clone();
        if self.address.is_some() {
            let is_fresh = known.fetched.is_some_and(|at| at.elapsed() < FRESH);
            if !is_fresh || pick(&known.keys, token)?.is_none() {
                let (this, upstream, seen) = (self.clone(), upstream.clone(), known.fetched);
                // To its end, also when the client that it is for is gone: others wait for it.
                let fetching = tokio::spawn(async move { this.fetch(&upstream, seen).await });
                known = fetching.await.map_err(|_| Fault::new("the keys cannot be fetched"))?;
            }
            if known.fetched.is_none_or(|at| at.elapsed() > STALE) {
                return Err(Fault::new("the keys cannot be fetched"));
            }
        }
        match pick(&known.keys, token)? {
            Some(key) if key.verifies(token) => Ok(()),
            Some(_) => Err(Fault::new("its signature does not hold")),
            None => Err(Fault::new("there is no such key")),
        }
    }

    /// What is known when they have been fetched since `seen`, or could not be, or were too short a while ago.
    async fn fetch(&self, upstream: &Upstream, seen: Option<Instant>) -> Known {
        let _turn = self.turn.lock().await;
        let mut known = self.known.lock().clone();
        let Some(address) = &self.address else { return known };
        if known.fetched != seen || known.tried.is_some_and(|at| at.elapsed() < COOLDOWN) {
            return known;
        }
        let fetched = upstream.get(address, None).await.and_then(|json| parse_set(&json));
        // It counts from the end, so that a slow answer is not asked for without a pause.
        known.tried = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                known.keys = keys;
                known.fetched = known.tried;
            }
            Err(fault) => tracing::warn!(%fault, ?address, "the keys of an issuer cannot be fetched"),
        }
        self.known.lock().clone_from(&known);
        known
    }
}
