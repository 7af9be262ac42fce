//! A login that was begun: what has to be known when its browser comes back.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::seal::Seal;
use crate::error::{Error, Result};

/// How long a login may take.
pub(super) const MOST_TIME: Duration = Duration::from_secs(10 * 60);
/// How many random bytes are in a state, a nonce and a verifier: RFC 7636 §7.1 asks for as many.
const RANDOM: usize = 32;
/// How many of them are remembered as used. Beyond that the oldest is forgotten, of which the provider still takes no code twice.
const MOST_USED: usize = 100_000;
/// How many signs of the state name its cookie, so that logins in several tabs do not take each other's place.
const TAG: usize = 16;
/// How many logins a browser has begun at once; with another one the others are forgotten.
const MOST_AT_ONCE: usize = 4;
/// RFC 6265bis §4.1.3.2: no other host, and nobody without TLS, can set a cookie of this name.
const PREFIX: &str = "__Host-login-";

/// What travels with the browser, sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    /// The address that the provider was told to send the browser back to.
    pub(super) redirect: String,
    /// Where the browser goes when it is over.
    pub(super) back: String,
    /// When it was begun, in seconds since 1970.
    begun: u64,
}

fn random() -> Result<String> {
    let mut bytes = [0; RANDOM];
    getrandom::fill(&mut bytes).map_err(|cause| Error::internal(format!("no randomness: {cause}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl Attempt {
    pub(super) fn new(redirect: String, back: String) -> Result<Self> {
        let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        Ok(Self { state: random()?, nonce: random()?, verifier: random()?, redirect, back, begun })
    }

    /// The challenge that goes with its verifier (RFC 7636 §4.2, `S256`).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }

    pub(super) fn begun(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.begun)
    }
}

/// Seals attempts, and knows which are over.
pub(super) struct Attempts {
    seal: Seal,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    states: HashSet<[u8; 16]>,
    order: VecDeque<(Instant, [u8; 16])>,
}

/// What a cookie is about, beside its content: that of one provider is not one of another.
fn about(provider: &str) -> Vec<u8> {
    format!("login with {provider}").into_bytes()
}

impl Attempts {
    pub(super) fn new(secret: &[u8]) -> Result<Self> {
        Ok(Self { seal: Seal::of(secret, "logins 1")?, used: Mutex::default() })
    }

    /// The cookies of a browser that begins this one.
    pub(super) fn begin(&self, provider: &str, attempt: &Attempt, headers: &HeaderMap) -> Result<Vec<HeaderValue>> {
        let value = self.seal.close(&serde_json::to_vec(attempt)?, &about(provider))?;
        let name = name(&attempt.state).ok_or_else(|| Error::internal("a state without a name"))?;
        let mut cookies = vec![cookie(&name, &value, MOST_TIME)?];
        let others: Vec<&str> = begun(headers).map(|(name, _)| name).collect();
        if others.len() >= MOST_AT_ONCE {
            for name in others {
                cookies.push(forget(name)?);
            }
        }
        Ok(cookies)
    }

    /// The attempt that a browser comes back from, once.
    pub(super) fn end(&self, provider: &str, state: &str, headers: &HeaderMap) -> Option<Attempt> {
        let name = name(state)?;
        let mut given = begun(headers).filter(|(known, _)| *known == name);
        let (_, value) = given.next()?;
        let attempt: Attempt = serde_json::from_slice(&self.seal.open(value, &about(provider))?).ok()?;
        let age = SystemTime::now().duration_since(attempt.begun()).ok()?;
        let holds = given.next().is_none() && attempt.state == state && age < MOST_TIME;
        (holds && self.used.lock().insert(state)).then_some(attempt)
    }
}

impl Used {
    /// Whether it was not used before.
    fn insert(&mut self, state: &str) -> bool {
        // What is older than any attempt cannot come again.
        while self.order.front().is_some_and(|(at, _)| at.elapsed() > MOST_TIME) || self.order.len() >= MOST_USED {
            if let Some((_, state)) = self.order.pop_front() {
                self.states.remove(&state);
            }
        }
        let hash = *Sha256::digest(state).first_chunk().unwrap_or(&[0; 16]);
        let is_new = self.states.insert(hash);
        if is_new {
            self.order.push_back((Instant::now(), hash));
        }
        is_new
    }
}

/// The name of the cookie of a state, if it is one.
pub(super) fn name(state: &str) -> Option<String> {
    let is_state = URL_SAFE_NO_PAD.decode(state).is_ok_and(|bytes| bytes.len() == RANDOM);
    Some(format!("{PREFIX}{}", state.get(..TAG).filter(|_| is_state)?))
}

/// The cookies of logins that a browser has begun.
fn begun(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| {
        name.strip_prefix(PREFIX)
            .is_some_and(|tag| tag.bytes().all(|sign| sign.is_ascii_alphanumeric() || b"-_".contains(&sign)))
    })
}

fn cookie(name: &str, value: &str, lifetime: Duration) -> Result<HeaderValue> {
    // `Lax`: it has to come along when the provider sends the browser back, and with nothing else of another site.
    let text = format!("{name}={value}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", lifetime.as_secs());
    HeaderValue::try_from(text).map_err(Error::internal)
}

/// The cookie that takes another one away.
pub(super) fn forget(name: &str) -> Result<HeaderValue> {
    cookie(name, "", Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts() -> Attempts {
        Attempts::new(&[7; 32]).unwrap()
    }

    fn begin(attempts: &Attempts, provider: &str) -> (Attempt, HeaderMap) {
        let attempt = Attempt::new("http://localhost/callback".into(), "/".into()).unwrap();
        let cookies = attempts.begin(provider, &attempt, &HeaderMap::new()).unwrap();
        let pair = cookies[0].to_str().unwrap().split(';').next().unwrap();
        (attempt, HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())]))
    }

    #[test]
    fn an_attempt_ends_once_and_where_it_was_begun() {
        let attempts = attempts();
        let (attempt, cookies) = begin(&attempts, "a");
        let (other, _) = begin(&attempts, "a");
        assert!(attempts.end("a", &other.state, &cookies).is_none());
        assert!(attempts.end("b", &attempt.state, &cookies).is_none());
        assert!(attempts.end("a", &attempt.state, &HeaderMap::new()).is_none());
        assert!(Attempts::new(&[8; 32]).unwrap().end("a", &attempt.state, &cookies).is_none());
        assert_eq!(attempts.end("a", &attempt.state, &cookies).unwrap().verifier, attempt.verifier);
        assert!(attempts.end("a", &attempt.state, &cookies).is_none());
    }

    #[test]
    fn what_is_too_old_is_over() {
        let attempts = attempts();
        let (mut attempt, _) = begin(&attempts, "a");
        attempt.begun -= MOST_TIME.as_secs() + 1;
        let cookies = attempts.begin("a", &attempt, &HeaderMap::new()).unwrap();
        let pair = HeaderValue::from_str(cookies[0].to_str().unwrap().split(';').next().unwrap()).unwrap();
        assert!(attempts.end("a", &attempt.state, &HeaderMap::from_iter([(header::COOKIE, pair)])).is_none());
    }

    #[test]
    fn all_is_random_and_nothing_grows() {
        let attempts = attempts();
        let mut seen = HashSet::new();
        for _ in 0..2_000 {
            let (attempt, _) = begin(&attempts, "a");
            assert!(attempt.verifier.len() == 43 && attempt.challenge().len() == 43);
            assert!([attempt.state, attempt.nonce, attempt.verifier].into_iter().all(|text| seen.insert(text)));
        }
        assert_eq!(attempts.used.lock().order.len(), 0);
        let mut used = Used::default();
        for number in 0..MOST_USED + 10 {
            assert!(used.insert(&number.to_string()));
        }
        assert_eq!((used.order.len(), used.states.len()), (MOST_USED, MOST_USED));
    }

    #[test]
    fn a_browser_has_a_few_at_once() {
        let attempts = attempts();
        let line = (0..MOST_AT_ONCE).map(|at| format!("{PREFIX}{at}=x")).collect::<Vec<_>>().join("; ");
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&line).unwrap())]);
        let attempt = Attempt::new(String::new(), "/".into()).unwrap();
        assert_eq!(attempts.begin("a", &attempt, &headers).unwrap().len(), 1 + MOST_AT_ONCE);
        let long = Attempt::new("x".repeat(300), "/".repeat(1_024)).unwrap();
        assert!(attempts.begin("a", &long, &HeaderMap::new()).unwrap()[0].len() < 4_096, "RFC 6265 §6.1");
    }
}
