//! JSON Web Tokens (RFC 7519), HS256 alone, by the advice of RFC 8725.
//!
//! The algorithm is pinned, so that a token cannot choose how it is checked; a header that asks for anything but its signature
//! (`crit`, `jku`, `jwk`, `x5u`, …) is refused, so that a token cannot bring its own key.

use std::sync::Once;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use serde_json::{Map, Value};
use sha2::Sha256;
use signature::{Signer, Verifier};

use super::unauthenticated;
use crate::error::{Error, Result};
use crate::model::caller::Caller;

/// The longest token.
const MOST_BYTES: usize = 8 << 10;
/// How far two clocks may be apart, in seconds.
const LEEWAY: u64 = 5;

/// Who a token speaks for, and until when.
#[derive(Clone, Debug)]
pub(in crate::server) struct Identity {
    pub(in crate::server) caller: Caller,
    pub(in crate::server) until: Option<SystemTime>,
}

impl Identity {
    pub(in crate::server) fn anyone() -> Self {
        Self { caller: Caller::anyone(), until: None }
    }

    /// Whether its token has expired since.
    pub(in crate::server) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until < SystemTime::now())
    }
}

/// What tokens are signed and verified with.
pub(crate) struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Keys {
    pub(in crate::server) fn new(secret: &[u8]) -> Self {
        install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), validation }
    }

    /// Who the token speaks for.
    pub(in crate::server) fn verify(&self, token: &str) -> Result<Identity> {
        if token.len() > MOST_BYTES {
            return Err(unauthenticated());
        }
        let TokenData { header, claims } =
            jsonwebtoken::decode::<Map<String, Value>>(token, &self.decoding, &self.validation)
                .map_err(|_| unauthenticated())?;
        if asks_for_more(&header) {
            return Err(unauthenticated());
        }
        let until = claims.get("exp").and_then(Value::as_f64).map(|seconds| {
            // Beyond any calendar it is the same as for ever.
            SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds.clamp(0.0, 1e11)) + Duration::from_secs(LEEWAY)
        });
        Ok(Identity { caller: Caller::verified(claims), until })
    }

    /// A token with these claims that holds so long.
    pub(in crate::server) fn sign(&self, mut claims: Map<String, Value>, lifetime: Duration) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        claims.insert("iat".into(), now.as_secs().into());
        claims.insert("exp".into(), (now + lifetime).as_secs().into());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(Error::internal)
    }
}

/// Whether the header has members that this server does not act on, and that the token may rely on.
fn asks_for_more(header: &Header) -> bool {
    header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.x5t.is_some()
        || header.x5t_s256.is_some()
        || header.crit.is_some()
        || header.enc.is_some()
        || header.zip.is_some()
        || header.url.is_some()
        || header.nonce.is_some()
        || !header.extras.inner().is_empty()
}

/// jsonwebtoken takes its cryptography from whoever installs it; its own feature would build RSA and elliptic curves as well.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes())?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

fn install() {
    static ONCE: Once = Once::new();
    // The program may have installed another one, which serves as well.
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(secret: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        Hmac::new_from_slice(secret).map(Self).map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        // Takes as long for every wrong signature.
        self.0.clone().chain_update(message).verify_slice(signature).map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_verifies_and_is_expired() {
        // RFC 7515 §A.1, whose token expired in 2011.
        let secret = [
            3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84, 201, 40,
            169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61,
            34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
        ];
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                     cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let mut keys = Keys::new(&secret);
        assert!(keys.verify(token).is_err());
        keys.validation.validate_exp = false;
        assert_eq!(keys.verify(token).unwrap().caller.claim("iss"), Some(&"joe".into()));
        assert!(Keys::new(&[1; 32]).verify(token).is_err());
    }

    #[test]
    fn what_is_signed_verifies() {
        let keys = Keys::new(&[7; 32]);
        let claims = Map::from_iter([("sub".to_owned(), Value::from("ada"))]);
        let identity = keys.verify(&keys.sign(claims.clone(), Duration::from_secs(60)).unwrap()).unwrap();
        assert_eq!(identity.caller.subject(), Some("ada"));
        assert!(keys.verify(&keys.sign(claims, Duration::ZERO).unwrap()).is_ok(), "clocks differ by a few seconds");
    }
}
