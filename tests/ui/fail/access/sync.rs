use modeller::prelude::*;

#[model(id = "notes")]
pub struct Note {
    pub owner: String,
}

#[access(Note)]
fn own_notes(caller: Caller) -> Result<Access<Note>> {
    Ok(Access::none())
}

fn main() {}
