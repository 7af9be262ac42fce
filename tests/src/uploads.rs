//! The model of the program `uploads`, which tests cut off, stop and kill while files are sent to it.

use modeller::prelude::*;
use sha2::{Digest, Sha256};

/// What came of a file.
#[model(id = "archives", public)]
pub struct Archive {
    /// What it is called.
    #[field(unique, min_length = 1)]
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Their hash, in hexadecimal.
    pub sha256: String,
}

/// What a file is to be called.
#[value]
pub struct Label {
    /// The name.
    #[field(min_length = 1)]
    pub name: String,
}

/// How many bytes a file has, and their hash.
///
/// # Errors
/// What went wrong on their way.
pub async fn hashed(file: &mut File) -> Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(piece) = file.chunk().await? {
        bytes += piece.len() as u64;
        hash.update(&piece);
    }
    Ok((bytes, format!("{:x}", hash.finalize())))
}

/// Reads a file, and keeps its hash.
#[upload(Archive)]
pub async fn store(mut file: File, label: Label, archives: Model<Archive>) -> Result<Doc<Archive>> {
    let (bytes, sha256) = hashed(&mut file).await?;
    archives.insert(Archive { name: label.name, bytes, sha256 }).await
}

/// The same for those who are known.
#[upload(Archive, protected)]
pub async fn store_mine(mut file: File, label: Label, archives: Model<Archive>) -> Result<Doc<Archive>> {
    let (bytes, sha256) = hashed(&mut file).await?;
    archives.insert(Archive { name: label.name, bytes, sha256 }).await
}

/// The same for what is small.
#[upload(Archive, max_bytes = 1 << 20)]
pub async fn store_small(mut file: File, label: Label, archives: Model<Archive>) -> Result<Doc<Archive>> {
    let (bytes, sha256) = hashed(&mut file).await?;
    archives.insert(Archive { name: label.name, bytes, sha256 }).await
}
