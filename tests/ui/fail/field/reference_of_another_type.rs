//! A reference holds what it refers to.

use modeller::prelude::*;

#[model(id = "teams")]
pub struct Team {
    #[field(unique)]
    pub name: String,
    pub motto: String,
}

#[model(id = "members")]
pub struct Member {
    #[field(references = Team::_ID)]
    pub team: String,
    #[field(references = Team::NAME)]
    pub other: Id<Team>,
    #[field(references = Team::_ID)]
    pub own: Id<Member>,
}

fn main() {}
