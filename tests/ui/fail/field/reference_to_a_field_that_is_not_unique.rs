//! A reference leads to one document.

use modeller::prelude::*;

#[model(id = "teams")]
pub struct Team {
    #[field(unique)]
    pub name: String,
    pub motto: String,
}

#[model(id = "members")]
pub struct Member {
    #[field(references = Team::MOTTO)]
    pub team: String,
}

fn main() {}
