//! Texts that are handed out and come back: nobody else can read one, change one, or make one up.
//!
//! First encrypted, then authenticated (the order of RFC 7366), both by HMAC-SHA-256 (RFC 2104), which is a
//! pseudorandom function: of counted blocks it makes the stream that the text is joined with (the counter mode of NIST
//! SP 800-108r1 §4.1, with a nonce that no other text has), and of the whole the tag. What a text is good for is part of what
//! is authenticated, and not of the text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::error::{Error, Result};

/// Drawn at random: 2^64 texts are sealed before two of them are likely to share one.
const NONCE: usize = 16;
/// RFC 2104 §5: half the hash is the least that a tag is cut to.
const TAG: usize = 16;
/// How many bytes one block of the stream has.
const BLOCK: usize = 32;
/// The least size of what is encrypted; the next ones are twice that, and so on.
const LEAST: usize = 64;

/// Seals texts of one purpose.
#[derive(Clone)]
pub(crate) struct Seal {
    stream: Hmac<Sha256>,
    tag: Hmac<Sha256>,
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>> {
    // A key of any length will do.
    Hmac::new_from_slice(key).map_err(Error::internal)
}

impl Seal {
    /// With keys made from a secret that other purposes may share.
    pub(crate) fn of(secret: &[u8], purpose: &str) -> Result<Self> {
        let secret = keyed(secret)?;
        // A token is signed as two texts of base64 with a dot between, so none of its signatures is one of these keys.
        let key =
            |part: &str| keyed(&secret.clone().chain_update(format!("{purpose}: {part}")).finalize().into_bytes());
        Ok(Self { stream: key("stream")?, tag: key("tag")? })
    }

    /// How many characters the text of so many bytes has at most.
    pub(crate) const fn longest(bytes: usize) -> usize {
        let padded = if bytes + 2 < LEAST { LEAST } else { (bytes + 2).next_power_of_two() };
        (NONCE + padded + TAG).div_ceil(3) * 4
    }

    /// The text, in characters that a query string takes as they are. Its length tells how long the content is only in powers
    /// of two.
    pub(crate) fn close(&self, content: &[u8], about: &[u8]) -> Result<String> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|cause| Error::internal(format!("no randomness: {cause}")))?;
        let length = u16::try_from(content.len()).map_err(Error::internal)?;
        let mut text = [&length.to_be_bytes(), content].concat();
        text.resize(text.len().next_power_of_two().max(LEAST), 0);
        self.cross(&nonce, &mut text);
        let tag = self.tag(&nonce, &text, about).finalize().into_bytes();
        Ok(URL_SAFE_NO_PAD.encode([&nonce, text.as_slice(), tag.get(..TAG).unwrap_or_default()].concat()))
    }

    /// The content, if this is a text that was sealed about the same.
    pub(crate) fn open(&self, text: &str, about: &[u8]) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        // Takes as long for every wrong tag.
        self.tag(nonce, text, about).verify_truncated_left(tag).ok()?;
        let mut text = text.to_vec();
        self.cross(nonce, &mut text);
        let (length, content) = text.split_first_chunk::<2>()?;
        content.get(..usize::from(u16::from_be_bytes(*length))).map(<[u8]>::to_vec)
    }

    /// Encrypts, or decrypts.
    fn cross(&self, nonce: &[u8; NONCE], text: &mut [u8]) {
        for (block, at) in text.chunks_mut(BLOCK).zip(0_u32..) {
            let stream = self.stream.clone().chain_update(at.to_be_bytes()).chain_update(nonce).finalize().into_bytes();
            block.iter_mut().zip(stream).for_each(|(byte, other)| *byte ^= other);
        }
    }

    fn tag(&self, nonce: &[u8; NONCE], text: &[u8], about: &[u8]) -> Hmac<Sha256> {
        let length = (about.len() as u64).to_be_bytes();
        self.tag.clone().chain_update(length).chain_update(about).chain_update(nonce).chain_update(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        Seal::of(b"0123456789abcdef0123456789abcdef", "tests").unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened() {
        let seal = seal();
        for length in [0, 1, 61, 62, 63, 64, 1_000, 4_096, 65_000] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let text = seal.close(&content, b"about").unwrap();
            assert!(text.len() <= Seal::longest(length), "{length}: {}", text.len());
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
            assert_eq!(seal.open(&text, b"about"), Some(content), "{length}");
        }
        assert!(seal.close(&[0; 65_536], b"").is_err());
    }

    #[test]
    fn it_tells_nothing() {
        let seal = seal();
        let length = |content: &str| seal.close(content.as_bytes(), b"").unwrap().len();
        assert_eq!((length(""), length("a"), length(&"a".repeat(62))), (128, 128, 128));
        assert_eq!(length(&"a".repeat(63)), length(&"a".repeat(126)));
        let texts: Vec<String> = (0..2).map(|_| seal.close(b"the same", b"").unwrap()).collect();
        assert_ne!(texts[0], texts[1]);
        let bytes = |text: &String| URL_SAFE_NO_PAD.decode(text).unwrap();
        let (first, second) = (bytes(&texts[0]), bytes(&texts[1]));
        assert!(!first.windows(4).any(|part| part == b"same"));
        let equal = first.iter().zip(&second).filter(|(a, b)| a == b).count();
        assert!(equal < 12, "{equal} of {} bytes are those of the other text", first.len());
    }

    #[test]
    fn whatever_was_changed_is_refused() {
        let seal = seal();
        let text = seal.close(b"content", b"about").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert_eq!(seal.open(&URL_SAFE_NO_PAD.encode(bytes), b"about"), None, "byte {at}, bit {bit}");
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(seal.open(&URL_SAFE_NO_PAD.encode(&bytes[..length]), b"about"), None, "{length} bytes");
        }
        assert_eq!(seal.open(&URL_SAFE_NO_PAD.encode([&bytes[..], &[0]].concat()), b"about"), None);
        for other in [&b""[..], b"abou", b"about ", b"About"] {
            assert_eq!(seal.open(&text, other), None);
        }
        for other in ["", "!", "=", &format!("{text}="), &format!(" {text}"), &text.replace(['-', '_'], "+")] {
            assert!(seal.open(other, b"about").is_none() || *other == text, "{other}");
        }
        let others = [
            Seal::of(b"0123456789abcdef0123456789abcdeg", "tests"),
            Seal::of(b"0123456789abcdef0123456789abcdef", "text"),
        ];
        assert!(others.into_iter().all(|other| other.unwrap().open(&text, b"about").is_none()));
    }
}
