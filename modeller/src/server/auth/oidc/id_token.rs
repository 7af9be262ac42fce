//! What an ID token has to say (OpenID Connect Core §3.1.3.7).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};

use crate::server::auth::jwks::{Algorithm, audience, check_times, time};
use crate::server::auth::upstream::Fault;

/// How far the clock of a provider may be behind, or ahead, of ours when it says when it signed.
const SKEW: Duration = Duration::from_secs(60);
/// OpenID Connect Core §2: the longest subject.
const MOST_SUBJECT_BYTES: usize = 255;

/// What was asked for, and what came with the token.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) access_token: &'a str,
    pub(super) code: &'a str,
    /// When it was asked for.
    pub(super) since: SystemTime,
}

/// The subject of a token whose signature holds, when it is an answer to what was asked for.
pub(super) fn check<'a>(
    claims: &'a Map<String, Value>,
    algorithm: Algorithm,
    expected: &Expected<'_>,
    now: SystemTime,
) -> Result<&'a str, Fault> {
    let text = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Fault::new(format!("`{name}` is no text"))),
    };
    let refused = |what: &'static str| Err(Fault::new(what));
    if text("iss")? != Some(expected.issuer) {
        return refused("it is of another issuer");
    }
    let audience = audience(claims);
    if !audience.contains(&expected.client_id) {
        return refused("it is for somebody else");
    }
    // Whom it was given to has to be said when several may have it, and has to be us.
    let party = text("azp")?;
    if party.is_some_and(|party| party != expected.client_id) || (party.is_none() && audience.len() > 1) {
        return refused("it was given to somebody else");
    }
    check_times(claims, now)?;
    let Some(signed) = time(claims, "iat")? else { return refused("there is no `iat`") };
    if signed > now + SKEW || signed + SKEW < expected.since {
        return refused("it was not signed since it was asked for");
    }
    if text("nonce")? != Some(expected.nonce) {
        return refused("it was asked for by somebody else");
    }
    for (name, of) in [("at_hash", expected.access_token), ("c_hash", expected.code)] {
        if text(name)?.is_some_and(|given| given != half_hash(algorithm, of)) {
            return refused("it belongs to another access token, or to another code");
        }
    }
    let subject = text("sub")?.unwrap_or_default();
    if subject.is_empty() || subject.len() > MOST_SUBJECT_BYTES || subject.chars().any(char::is_control) {
        return refused("there is no `sub`, or none that does");
    }
    Ok(subject)
}

/// The left half of a hash, that of the algorithm of the signature (OpenID Connect Core §3.1.3.6; for Ed25519 it is SHA-512).
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    match algorithm {
        Algorithm::EdDsa => URL_SAFE_NO_PAD.encode(Sha512::digest(text).first_chunk::<32>().unwrap_or(&[0; 32])),
        _ => URL_SAFE_NO_PAD.encode(Sha256::digest(text).first_chunk::<16>().unwrap_or(&[0; 16])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_of_the_specification() {
        // OpenID Connect Core, appendix A.3 and A.4.
        let hash = half_hash(Algorithm::Rs256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(half_hash(Algorithm::EdDsa, "x").len(), 43);
    }

    #[test]
    fn each_claim_counts() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let expected = Expected {
            issuer: "https://a",
            client_id: "us",
            nonce: "n",
            access_token: "at",
            code: "c",
            since: now - Duration::from_secs(100),
        };
        let good =
            json!({"iss": "https://a", "aud": "us", "exp": 1_000_060, "iat": 999_990, "nonce": "n", "sub": "ada"});
        let with = |change: Value| {
            let mut claims = good.as_object().unwrap().clone();
            for (name, value) in change.as_object().unwrap() {
                match value {
                    Value::Null => drop(claims.remove(name)),
                    value => drop(claims.insert(name.clone(), value.clone())),
                }
            }
            check(&claims, Algorithm::Rs256, &expected, now).map(str::to_owned)
        };
        for fine in [
            json!({}),
            json!({"aud": ["us"]}),
            json!({"azp": "us"}),
            json!({"aud": ["us", "them"], "azp": "us"}),
            json!({"at_hash": half_hash(Algorithm::Rs256, "at"), "c_hash": half_hash(Algorithm::Rs256, "c")}),
            json!({"exp": 1_000_060.5, "nbf": 999_990, "unknown": {"a": 1}}),
        ] {
            assert_eq!(with(fine.clone()).as_deref(), Ok("ada"), "{fine}");
        }
        for wrong in [
            json!({"iss": null}),
            json!({"iss": "https://a/"}),
            json!({"iss": ["https://a"]}),
            json!({"aud": null}),
            json!({"aud": "them"}),
            json!({"aud": []}),
            json!({"aud": ["us", 5]}),
            json!({"aud": ["us", "them"]}),
            json!({"azp": "them"}),
            json!({"azp": 5}),
            json!({"exp": null}),
            json!({"exp": 999_900}),
            json!({"exp": "1000060"}),
            json!({"exp": -1}),
            json!({"nbf": 1_000_100}),
            json!({"iat": null}),
            json!({"iat": 1_000_100}),
            json!({"iat": 999_800}),
            json!({"nonce": null}),
            json!({"nonce": "m"}),
            json!({"nonce": ""}),
            json!({"at_hash": half_hash(Algorithm::Rs256, "other")}),
            json!({"at_hash": 5}),
            json!({"c_hash": half_hash(Algorithm::Rs256, "other")}),
            json!({"sub": null}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "x".repeat(256)}),
        ] {
            assert!(with(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
