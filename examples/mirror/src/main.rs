//! Notes that are mirrored into a folder of JSON files, one for each, and filled from it at the start: whoever has the folder has
//! the notes, also when the store is lost.
//!
//! ```sh
//! MIRROR=mirrored cargo run -p mirror
//! curl --json '{"text":"hello"}' localhost:3030/notes
//! ls mirrored
//! ```

use std::path::{Path, PathBuf};

use modeller::Adapter;
use modeller::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::fs;

#[model(id = "notes", public)]
pub struct Note {
    pub text: String,
    #[field(default)]
    pub tags: Vec<String>,
}

/// A folder of files, one for each note.
struct Files(PathBuf);

/// What is in a file. An id may have letters that no file name has, so it stands inside.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    note: Note,
}

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new("MIRROR_FAILED").status(503).caused_by(cause)
}

/// A name for the file of an id: every letter that is not plain is written by its number.
fn name(id: &str) -> String {
    let escaped = id.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("_{other:02x}"),
    });
    escaped.collect::<String>() + ".json"
}

/// Writes a file so that it is there whole, or as it was before.
async fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, bytes).await?;
    fs::rename(&next, file).await
}

impl Adapter<Note> for Files {
    async fn sync(&self, id: &Id<Note>, doc: Option<&Doc<Note>>) -> Result<()> {
        let file = self.0.join(name(&id.to_string()));
        let Some(doc) = doc else {
            return match fs::remove_file(&file).await {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(failed(cause)),
                _ => Ok(()),
            };
        };
        let kept = Kept { id: id.to_string(), note: doc.value() };
        let bytes = serde_json::to_vec_pretty(&kept).map_err(failed)?;
        replace(&file, &bytes).await.map_err(failed)
    }

    async fn pull(&self) -> Result<Vec<(Id<Note>, Note)>> {
        let mut found = Vec::new();
        let mut files = fs::read_dir(&self.0).await.map_err(failed)?;
        while let Some(entry) = files.next_entry().await.map_err(failed)? {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = fs::read(&path).await.map_err(failed)?;
                let kept: Kept = serde_json::from_slice(&bytes).map_err(failed)?;
                found.push((kept.id.parse()?, kept.note));
            }
        }
        Ok(found)
    }
}

#[modeller::main]
async fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::var_os("MIRROR").unwrap_or_else(|| "mirrored".into()));
    fs::create_dir_all(&folder).await.map_err(failed)?;
    App::discover().adapter::<Note>(Files(folder)).serve("127.0.0.1:3030").await
}
