//! Tokens as others sign them, right and wrong: what is checked with is not what is checked.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use modeller_tests::encoding::base64url;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// A key that signs with one algorithm.
pub(crate) struct Signer {
    pub(crate) algorithm: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

fn rsa(pem: &str) -> Pair {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    Pair::Rsa(RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap())
}

const FIRST: &str = include_str!("keys/rsa-1.pem");
const SECOND: &str = include_str!("keys/rsa-2.pem");

pub(crate) static RS256: LazyLock<Signer> = LazyLock::new(|| Signer { algorithm: "RS256", pair: rsa(FIRST) });
/// Another key of the same kind.
pub(crate) static OTHER: LazyLock<Signer> = LazyLock::new(|| Signer { algorithm: "RS256", pair: rsa(SECOND) });
pub(crate) static PS256: LazyLock<Signer> = LazyLock::new(|| Signer { algorithm: "PS256", pair: rsa(FIRST) });
pub(crate) static ES256: LazyLock<Signer> = LazyLock::new(|| {
    let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap();
    Signer { algorithm: "ES256", pair: Pair::Curve(pair) }
});
pub(crate) static EDDSA: LazyLock<Signer> = LazyLock::new(|| {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Signer { algorithm: "EdDSA", pair: Pair::Edwards(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap()) }
});

impl Signer {
    /// Its public key (RFC 7517).
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let key = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": base64url(&key.n), "e": base64url(&key.e)})
            }
            Pair::Curve(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
            Pair::Edwards(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref())})
            }
        };
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm.into();
        if !id.is_empty() {
            jwk["kid"] = id.into();
        }
        jwk
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                match self.algorithm {
                    "PS256" => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature),
                    _ => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
                }
                .unwrap();
                signature
            }
            Pair::Curve(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with this header, whatever it says.
    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        format!("{message}.{}", base64url(&self.signature(message.as_bytes())))
    }

    /// A token with the header that it ought to have.
    pub(crate) fn sign(&self, id: &str, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm, "kid": id, "typ": "JWT"}), claims)
    }
}

/// What is signed.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()))
}

pub(crate) fn set(keys: &[Value]) -> Value {
    json!({"keys": keys})
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
