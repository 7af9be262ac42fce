//! The secret of an application, which tokens are signed with and cursors are sealed with: given, or made once and kept in the
//! data folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::seal::Seal;
use crate::error::{Error, Result};

/// RFC 7518 §3.2: a key as long as the hash, at least.
const LEAST: usize = 32;
/// A secret is no more than this; whoever names a larger file has named the wrong one.
const MOST: u64 = 64 << 10;

fn wrong(what: impl Into<String>) -> Error {
    Error::new("INVALID_SECRET").status(500).message(what.into())
}

fn check(secret: Vec<u8>, source: &str) -> Result<Vec<u8>> {
    if secret.len() < LEAST {
        return Err(wrong(format!("the secret from {source} has {} bytes; it needs {LEAST} at least", secret.len())));
    }
    Ok(secret)
}

/// A secret as a text of the environment or a value of the program.
pub(crate) fn given(secret: &[u8], source: &str) -> Result<Vec<u8>> {
    check(secret.to_vec(), source)
}

/// The content of a file, without the line end that editors leave.
pub(crate) fn from_file(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let cannot = |cause: io::Error| wrong(format!("cannot read the secret from {shown}: {cause}"));
    let file = File::open(path).map_err(cannot)?;
    let mut secret = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MOST + 1), &mut secret).map_err(cannot)?;
    if secret.len() as u64 > MOST {
        return Err(wrong(format!("{shown} is too large for a secret")));
    }
    while secret.last().is_some_and(u8::is_ascii_whitespace) {
        secret.pop();
    }
    check(secret, &shown.to_string())
}

/// 32 random bytes, as the text that a file of a secret holds.
fn random() -> Result<Vec<u8>> {
    let mut bytes = [0_u8; LEAST];
    getrandom::fill(&mut bytes).map_err(|cause| wrong(format!("no randomness: {cause}")))?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0') as u8;
    Ok(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// The secret of a data folder, made when it is not there.
fn of_folder(folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join("secret");
    if path.exists() {
        return from_file(&path);
    }
    let secret = random()?;
    let cannot = |cause: io::Error| wrong(format!("cannot write the secret to {}: {cause}", path.display()));
    // Written beside and then linked: the file is there whole or not at all, and one that appeared meanwhile is kept.
    let beside = folder.join(format!("secret.{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).map_err(cannot)?;
    file.write_all(&secret).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(cannot)?;
    let linked = fs::hard_link(&beside, &path);
    let _ = fs::remove_file(&beside);
    match linked {
        Ok(()) => {
            // A power loss must not take back the secret of tokens that were given out.
            #[cfg(unix)]
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)?;
            Ok(secret)
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => from_file(&path),
        Err(cause) => Err(cannot(cause)),
    }
}

/// Where the secret comes from.
#[derive(Clone)]
pub(crate) enum Source {
    /// From the program or its environment.
    Given(Vec<u8>),
    /// From this folder, made there when it is not there yet.
    Folder(Arc<Path>),
    /// From nowhere: it is gone with the application.
    Random,
}

/// The secret, read or made when it is first needed.
pub(crate) struct Secret {
    source: Source,
    known: Mutex<Option<Arc<[u8]>>>,
    cursors: OnceLock<Seal>,
}

impl Secret {
    pub(crate) const fn new(source: Source) -> Self {
        Self { source, known: Mutex::new(None), cursors: OnceLock::new() }
    }

    /// Its bytes. The engine's lock makes this the only process that may write the file.
    ///
    /// # Errors
    /// `INVALID_SECRET` when it can be neither read nor made.
    pub(crate) fn bytes(&self) -> Result<Arc<[u8]>> {
        let mut known = self.known.lock();
        if let Some(secret) = &*known {
            return Ok(secret.clone());
        }
        let secret: Arc<[u8]> = match &self.source {
            Source::Given(secret) => given(secret, "the program")?,
            Source::Folder(folder) => of_folder(folder)?,
            Source::Random => random()?,
        }
        .into();
        *known = Some(secret.clone());
        Ok(secret)
    }

    /// What cursors are sealed with.
    ///
    /// # Errors
    /// Those of [`Secret::bytes`].
    pub(crate) fn cursors(&self) -> Result<&Seal> {
        if let Some(seal) = self.cursors.get() {
            return Ok(seal);
        }
        let seal = Seal::of(&self.bytes()?, "cursors 1")?;
        Ok(self.cursors.get_or_init(|| seal))
    }
}
