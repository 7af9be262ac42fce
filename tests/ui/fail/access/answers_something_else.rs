use modeller::prelude::*;

#[model(id = "notes")]
pub struct Note {
    pub owner: String,
}

#[access(Note)]
async fn own_notes(caller: Caller) -> Result<bool> {
    Ok(caller.is_verified())
}

fn main() {}
