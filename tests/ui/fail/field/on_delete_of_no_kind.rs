//! What becomes of a document when the one that it refers to is deleted is one of three.

use modeller::prelude::*;

#[model(id = "teams")]
pub struct Team {
    #[field(unique)]
    pub name: String,
    pub motto: String,
}

#[model(id = "members")]
pub struct Member {
    #[field(references = Team::_ID, on_delete = set_nul)]
    pub team: Option<Id<Team>>,
    #[field(on_delete = cascade)]
    pub other: Id<Team>,
    #[field(references = Team::_ID, index)]
    pub third: Id<Team>,
}

fn main() {}
