//! Checksums of what is appended (tus 1.0, extension *checksum*).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorCode, Result};

/// The algorithms, as clients are told.
pub(super) const ALGORITHMS: &str = "sha1,sha256";

/// A checksum on its way, and what it has to become.
pub(super) struct Checksum {
    hash: Hash,
    expected: Vec<u8>,
}

enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// Reads an algorithm and a sum in Base64, as in `sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, also for an algorithm that is not known.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |text: String| Error::new(ErrorCode::InvalidRequest).message(text);
        let (algorithm, sum) = text.split_once(' ').unwrap_or((text, ""));
        let (hash, length) = match algorithm {
            "sha1" => (Hash::Sha1(Sha1::new()), 20),
            "sha256" => (Hash::Sha256(Sha256::new()), 32),
            _ => return Err(wrong(format!("the algorithm of a checksum is one of {ALGORITHMS}"))),
        };
        let expected = BASE64_STANDARD.decode(sum).ok().filter(|sum| sum.len() == length);
        let expected = expected.ok_or_else(|| wrong("a checksum is an algorithm and a sum in Base64".to_owned()))?;
        Ok(Self { hash, expected })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
        }
    }

    /// # Errors
    /// `CHECKSUM_MISMATCH`, whose status is that of the protocol.
    pub(super) fn check(self) -> Result<()> {
        let sum = match self.hash {
            Hash::Sha1(hash) => hash.finalize().to_vec(),
            Hash::Sha256(hash) => hash.finalize().to_vec(),
        };
        if sum == self.expected {
            return Ok(());
        }
        Err(Error::new("CHECKSUM_MISMATCH").message("the bytes do not have this checksum").status(460))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        // FIPS 180-4, of `abc`.
        for right in ["sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="] {
            let mut checksum = Checksum::parse(right).unwrap();
            checksum.update(b"a");
            checksum.update(b"bc");
            checksum.check().unwrap();
            let mut checksum = Checksum::parse(right).unwrap();
            checksum.update(b"abd");
            assert_eq!(checksum.check().unwrap_err().http_status(), 460);
        }
        for wrong in
            ["", "sha1", "sha1 ", "sha1 x", "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0="]
        {
            assert_eq!(Checksum::parse(wrong).err().map(|error| error.http_status()), Some(400), "{wrong}");
        }
    }
}
