use modeller::prelude::*;

#[model(id = "notes")]
pub struct Note {
    pub owner: String,
}

#[access(Note)]
async fn own_notes(tx: Transaction) -> Result<Access<Note>> {
    let _ = tx;
    Ok(Access::all())
}

fn main() {}
