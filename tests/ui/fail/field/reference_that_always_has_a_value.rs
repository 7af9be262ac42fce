//! `set_null` needs a field that can be `null`.

use modeller::prelude::*;

#[model(id = "teams")]
pub struct Team {
    #[field(unique)]
    pub name: String,
    pub motto: String,
}

#[model(id = "members")]
pub struct Member {
    #[field(references = Team::_ID, on_delete = set_null)]
    pub team: Id<Team>,
}

fn main() {}
