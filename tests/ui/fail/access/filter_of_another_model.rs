use modeller::prelude::*;

#[model(id = "notes")]
pub struct Note {
    pub owner: String,
}

#[model(id = "teams")]
pub struct Team {
    pub owner: String,
}

#[access(Note)]
async fn own_notes(caller: Caller) -> Result<Access<Note>> {
    Ok(Access::none().read(Team::OWNER.eq(caller.subject().unwrap_or_default())))
}

fn main() {}
