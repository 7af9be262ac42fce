//! A small program with all that `serve` does for one, for the tests that start and stop a process.

use modeller::prelude::*;

/// Something that is written down.
#[model(id = "notes", public)]
pub struct Note {
    /// What it says.
    pub text: String,
}

#[modeller::main]
async fn main() -> Result<()> {
    App::new().model::<Note>().serve("127.0.0.1:0").await
}
