//! JSON Web Tokens (RFC 7519) as texts: read strictly, signed and verified with HMAC-SHA-256, by the advice of RFC 8725.
//!
//! A token is taken apart once, and what is not understood is not there: a header has `alg`, `typ` and `kid` and nothing else, so
//! that no token can bring its own key (`jwk`, `jku`, `x5c`, `x5u`), change what is signed (`b64`) or ask for more (`crit`); no
//! object has a member twice; base64 and the times have one spelling. Which algorithm a signature has is a property of the key that
//! it is checked with (RFC 8725 §3.1), never of the token: whoever has a key compares its algorithm with `alg` and refuses.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use sha2::Sha256;

use crate::error::{Error, Result};

/// The longest token, in bytes.
pub(crate) const MOST_BYTES: usize = 8 << 10;
/// The last second of the year 9999, where calendars end (RFC 3339 §1). What expires later was written in milliseconds, or by
/// somebody who tries.
const LAST_SECOND: u64 = 253_402_300_799;
/// The one algorithm that a secret is used with.
pub(crate) const HS256: &str = "HS256";

/// A token that was taken apart, and of which nothing is known to be true.
pub(crate) struct Unverified<'a> {
    pub(crate) header: Header,
    pub(crate) claims: Map<String, Value>,
    /// What is signed.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

/// What a header may say.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) alg: String,
    /// Which key it was signed with, as its issuer calls it.
    pub(crate) kid: Option<String>,
}

impl<'a> Unverified<'a> {
    /// `None` for what is no token.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        // A text with more dots has one of them in here, which is no base64.
        let (header, claims) = message.split_once('.')?;
        let header = Header::of(object(header)?)?;
        Some(Self {
            header,
            claims: object(claims)?,
            message: message.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
}

impl Header {
    fn of(mut members: Map<String, Value>) -> Option<Self> {
        let mut text = |name: &str| match members.remove(name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(_) => None,
        };
        let (alg, kid, typ) = (text("alg")??, text("kid")?, text("typ")?);
        (members.is_empty() && typ.is_none_or(|typ| is_of_access(&typ))).then_some(Self { alg, kid })
    }
}

/// Whether the `typ` of a header is that of a token that says who asks (RFC 7519 §5.1, RFC 9068 §2.1): not one of a logout, of a
/// proof of possession, or of whatever else may have been signed with the same key (RFC 8725 §3.11).
fn is_of_access(typ: &str) -> bool {
    // RFC 7515 §4.1.9: a media type, compared as one, of which `application/` may be left out.
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// The object that is written in base64.
pub(crate) fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()? {
        Strict(Value::Object(members)) => Some(members),
        Strict(_) => None,
    }
}

/// JSON without an object that has a member twice: which of the two counts is told differently by each who reads it (RFC 7515 §4).
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadStrict).map(Self)
    }
}

struct ReadStrict;

impl<'de> Visitor<'de> for ReadStrict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(object.into())
    }
}

/// A secret that tokens are signed with, and its name.
#[derive(Clone)]
pub(crate) struct SecretKey {
    mac: Hmac<Sha256>,
    kid: String,
}

impl SecretKey {
    pub(crate) fn of(secret: &[u8]) -> Result<Self> {
        // A key of any length will do.
        let mac: Hmac<Sha256> = Hmac::new_from_slice(secret).map_err(Error::internal)?;
        // What is signed of a token has no space in it, so that this is the signature of none; and it tells nothing of the secret.
        let name = mac.clone().chain_update("the name of the key").finalize().into_bytes();
        Ok(Self { kid: URL_SAFE_NO_PAD.encode(name.get(..9).unwrap_or_default()), mac })
    }

    /// What tokens call it.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The token with these claims.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> Result<String> {
        let header = serde_json::json!({"alg": HS256, "kid": self.kid, "typ": "JWT"});
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = self.mac.clone().chain_update(&token).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > MOST_BYTES {
            return Err(invalid_claims(format!("a token has {MOST_BYTES} bytes at most")));
        }
        Ok(token)
    }

    /// Whether the token was signed with it.
    pub(crate) fn verifies(&self, token: &Unverified<'_>) -> bool {
        // Takes as long for every wrong signature.
        token.header.alg == HS256 && self.mac.clone().chain_update(token.message).verify_slice(&token.signature).is_ok()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Claims that no token can have: a mistake in the program.
pub(crate) fn invalid_claims(what: impl Into<String>) -> Error {
    Error::new("INVALID_CLAIMS").status(500).message(what.into())
}

/// What has to be true of the claims of a token.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    /// Who signed it, when that matters.
    pub(crate) issuer: Option<String>,
    /// Whom it is for. A token for somebody is refused by whoever has no name (RFC 7519 §4.1.3).
    pub(crate) audience: Option<String>,
    /// How far two clocks may be apart.
    pub(crate) leeway: Duration,
}

impl Checks {
    /// Until when the claims hold, in milliseconds since the Unix epoch; `None` when they do not.
    pub(crate) fn pass(&self, claims: &Map<String, Value>, now: u64) -> Option<u64> {
        let (leeway, now) = (self.leeway.as_secs(), now / 1_000);
        let subject = claims.get("sub")?.as_str()?;
        // Whole seconds since 1970: RFC 7519 §2 would take others, which nobody needs.
        let expires = claims.get("exp")?.as_u64().filter(|seconds| *seconds <= LAST_SECOND)?;
        let began = ["nbf", "iat"].into_iter().all(|name| match claims.get(name) {
            None => true,
            Some(seconds) => seconds.as_u64().is_some_and(|seconds| seconds <= now.saturating_add(leeway)),
        });
        let until = expires.saturating_add(leeway);
        let holds = !subject.is_empty() && began && now < until && self.is_issuer(claims) && self.is_audience(claims);
        holds.then(|| until.saturating_mul(1_000))
    }

    fn is_issuer(&self, claims: &Map<String, Value>) -> bool {
        match (&self.issuer, claims.get("iss")) {
            (None, None | Some(Value::String(_))) => true,
            (Some(issuer), Some(Value::String(given))) => issuer == given,
            _ => false,
        }
    }

    fn is_audience(&self, claims: &Map<String, Value>) -> bool {
        let is_meant = |given: &Value| given.as_str().is_some() && given.as_str() == self.audience.as_deref();
        match claims.get("aud") {
            None => self.audience.is_none(),
            Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_meant),
            Some(one) => is_meant(one),
        }
    }

    /// The claims with who signs it, for whom, and for how long.
    pub(crate) fn complete(&self, mut claims: Map<String, Value>, now: u64, lifetime: Duration) -> Map<String, Value> {
        let now = now / 1_000;
        let expires = now.saturating_add(lifetime.as_secs()).min(LAST_SECOND);
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), expires.into());
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if let Some(value) = value {
                claims.insert(name.into(), value.as_str().into());
            }
        }
        claims
    }
}

/// The secrets of an application: the one that it signs with, and those that it signed with before.
#[derive(Debug)]
pub(crate) struct Keyring {
    current: SecretKey,
    previous: Vec<SecretKey>,
    pub(crate) checks: Checks,
}

impl Keyring {
    pub(crate) fn new(secret: &[u8], previous: &[Vec<u8>], checks: Checks) -> Result<Self> {
        let previous = previous.iter().map(|secret| SecretKey::of(secret)).collect::<Result<_>>()?;
        Ok(Self { current: SecretKey::of(secret)?, previous, checks })
    }

    /// A token with these claims that holds so long.
    ///
    /// # Errors
    /// `INVALID_CLAIMS` without a subject, or when it becomes too long.
    pub(crate) fn sign(&self, claims: Map<String, Value>, now: u64, lifetime: Duration) -> Result<String> {
        if claims.get("sub").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(invalid_claims("a token is about somebody, whom its claim `sub` names"));
        }
        self.current.sign(&self.checks.complete(claims, now, lifetime))
    }

    /// Whether the token was signed by this application and holds, and until when. One that does not name its key is tried with the
    /// current one; one that names a key which is none of these is refused.
    pub(crate) fn verify(&self, token: &Unverified<'_>, now: u64) -> Option<u64> {
        let key = match &token.header.kid {
            None => &self.current,
            Some(kid) => [&self.current].into_iter().chain(&self.previous).find(|key| key.kid() == *kid)?,
        };
        if key.verifies(token) { self.checks.pass(&token.claims, now) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_700_000_000_000;

    fn checks() -> Checks {
        Checks { issuer: None, audience: None, leeway: Duration::from_secs(5) }
    }

    fn ring(secret: u8) -> Keyring {
        Keyring::new(&[secret; 32], &[], checks()).unwrap()
    }

    fn claims(json: &Value) -> Map<String, Value> {
        json.as_object().cloned().unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_verifies_and_is_about_nobody() {
        // RFC 7515 §A.1, whose token has no subject and expired in 2011.
        let secret = [
            3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84, 201, 40,
            169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61,
            34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
        ];
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                    cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let token = Unverified::read(text).unwrap();
        assert_eq!((token.header.alg.as_str(), &token.claims["iss"]), ("HS256", &json!("joe")));
        assert!(SecretKey::of(&secret).unwrap().verifies(&token));
        assert!(!SecretKey::of(&[1; 32]).unwrap().verifies(&token));
        assert_eq!(Keyring::new(&secret, &[], checks()).unwrap().verify(&token, 0), None);
    }

    #[test]
    fn what_is_signed_verifies_for_as_long_as_it_says() {
        let ring = ring(7);
        let text = ring.sign(claims(&json!({"sub": "ada"})), NOW, Duration::from_secs(60)).unwrap();
        let token = Unverified::read(&text).unwrap();
        assert_eq!(ring.verify(&token, NOW), Some(NOW + 65_000));
        for (later, holds) in [(0, true), (64_999, true), (65_000, false), (u64::MAX - NOW, false)] {
            assert_eq!(ring.verify(&token, NOW + later).is_some(), holds, "{later}");
        }
        assert!(ring.verify(&token, NOW - 5_000).is_some(), "clocks differ by a few seconds");
        assert!(ring.verify(&token, NOW - 6_000).is_none(), "it was issued in the future");
        assert!(ring.sign(Map::new(), NOW, Duration::ZERO).is_err());
        let ever = ring.sign(claims(&json!({"sub": "ada"})), NOW, Duration::MAX).unwrap();
        assert!(ring.verify(&Unverified::read(&ever).unwrap(), NOW).is_some());
        let long = ring.sign(claims(&json!({"sub": "a".repeat(9_000)})), NOW, Duration::ZERO);
        assert_eq!(long.unwrap_err().code().as_str(), "INVALID_CLAIMS");
    }

    #[test]
    fn a_secret_of_before_verifies_what_names_it() {
        let (old, next) = (ring(1), Keyring::new(&[2; 32], &[vec![1; 32]], checks()).unwrap());
        let of_old = old.sign(claims(&json!({"sub": "ada"})), NOW, Duration::from_secs(60)).unwrap();
        assert!(next.verify(&Unverified::read(&of_old).unwrap(), NOW).is_some());
        assert!(ring(3).verify(&Unverified::read(&of_old).unwrap(), NOW).is_none());
        // The same without the name of its key is tried with the current one.
        let message = |header: Value| {
            let claims = json!({"sub": "ada", "exp": NOW / 1_000 + 60}).to_string();
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims))
        };
        let by = |ring: &Keyring, header: Value| {
            let message = message(header);
            let signature = ring.current.mac.clone().chain_update(&message).finalize().into_bytes();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let verifies = |text: String| next.verify(&Unverified::read(&text).unwrap(), NOW).is_some();
        assert!(!verifies(by(&old, json!({"alg": "HS256"}))));
        assert!(verifies(by(&next, json!({"alg": "HS256"}))));
        for kid in ["", "1", "../../dev/null", "' OR 1=1 --", &"k".repeat(4_000), old.current.kid()] {
            assert!(!verifies(by(&next, json!({"alg": "HS256", "kid": kid}))), "{kid}");
        }
        assert_ne!(old.current.kid(), next.current.kid());
        assert_eq!(old.current.kid().len(), 12);
    }

    #[test]
    fn claims_that_hold_and_claims_that_do_not() {
        let now = NOW / 1_000;
        let named = Checks { issuer: Some("us".into()), audience: Some("api".into()), ..checks() };
        let right = [
            (checks(), json!({"sub": "a", "exp": now + 1})),
            (checks(), json!({"sub": "a", "exp": now - 4, "nbf": now + 5, "iat": now})),
            (checks(), json!({"sub": "a", "exp": LAST_SECOND, "iss": "anybody"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "us", "aud": "api"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "us", "aud": ["web", "api"]})),
        ];
        for (checks, json) in right {
            assert!(checks.pass(&claims(&json), NOW).is_some(), "{json}");
        }
        let wrong = [
            (checks(), json!({})),
            (checks(), json!({"sub": "a"})),
            (checks(), json!({"exp": now + 1})),
            (checks(), json!({"sub": "", "exp": now + 1})),
            (checks(), json!({"sub": 7, "exp": now + 1})),
            (checks(), json!({"sub": null, "exp": now + 1})),
            (checks(), json!({"sub": ["a"], "exp": now + 1})),
            (checks(), json!({"sub": "a", "exp": now - 5})),
            (checks(), json!({"sub": "a", "exp": LAST_SECOND + 1})),
            (checks(), json!({"sub": "a", "exp": u64::MAX})),
            (checks(), json!({"sub": "a", "exp": 1e300})),
            (checks(), json!({"sub": "a", "exp": (now + 60) as f64})),
            (checks(), json!({"sub": "a", "exp": -1})),
            (checks(), json!({"sub": "a", "exp": "NaN"})),
            (checks(), json!({"sub": "a", "exp": true})),
            (checks(), json!({"sub": "a", "exp": now + 1, "nbf": now + 6})),
            (checks(), json!({"sub": "a", "exp": now + 1, "nbf": "soon"})),
            (checks(), json!({"sub": "a", "exp": now + 1, "nbf": null})),
            (checks(), json!({"sub": "a", "exp": now + 1, "iat": now + 6})),
            (checks(), json!({"sub": "a", "exp": now + 1, "iat": "now"})),
            (checks(), json!({"sub": "a", "exp": now + 1, "iss": 7})),
            (checks(), json!({"sub": "a", "exp": now + 1, "aud": "api"})),
            (checks(), json!({"sub": "a", "exp": now + 1, "aud": null})),
            (checks(), json!({"sub": "a", "exp": now + 1, "aud": []})),
            (named.clone(), json!({"sub": "a", "exp": now + 1})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "us"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "aud": "api"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "US", "aud": "api"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": ["us"], "aud": "api"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "us", "aud": "web"})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "us", "aud": []})),
            (named.clone(), json!({"sub": "a", "exp": now + 1, "iss": "us", "aud": ["api", 7]})),
            (named, json!({"sub": "a", "exp": now + 1, "iss": "us", "aud": {"api": true}})),
        ];
        for (checks, json) in wrong {
            assert!(checks.pass(&claims(&json), NOW).is_none(), "{json}");
        }
    }

    #[test]
    fn headers_that_are_read_and_headers_that_are_not() {
        let read = |header: &str| {
            let text = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"));
            Unverified::read(&text).map(|token| token.header.alg)
        };
        for right in [
            r#"{"alg":"HS256"}"#,
            r#" {"typ": "JWT", "alg": "none"} "#,
            r#"{"alg":"x","typ":"at+jwt","kid":"1"}"#,
            r#"{"alg":"x","typ":"application/AT+JWT"}"#,
        ] {
            assert!(read(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "{",
            "[]",
            "\"HS256\"",
            "{}",
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"alg":"HS256","kid":{"a":1}}"#,
            r#"{"alg":"HS256","typ":"secevent+jwt"}"#,
            r#"{"alg":"HS256","typ":"dpop+jwt"}"#,
            r#"{"alg":"HS256","typ":""}"#,
            r#"{"alg":"HS256","typ":7}"#,
            r#"{"alg":"HS256","cty":"JWT"}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","b64":true}"#,
            r#"{"alg":"HS256","jwk":{}}"#,
            r#"{"alg":"HS256","whatever":null}"#,
            r#"{"alg":"HS256"}x"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(read(&format!(r#"{{"alg":{}1{}}}"#, "[".repeat(3_000), "]".repeat(3_000))).is_none());
    }
}
