//! A private field cannot refer.

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
    pub team: Private<Id<Team>>,
}

fn main() {}
