//! A reference leads to a document, and a value is none.

use modeller::prelude::*;

#[value]
pub struct Place {
    #[field(references = Member::_ID)]
    pub owner: Id<Member>,
    pub name: String,
}

#[model(id = "members")]
pub struct Member {
    pub place: Place,
}

fn main() {}
