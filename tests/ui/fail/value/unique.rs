use modeller::prelude::*;

#[value]
pub struct Address {
    #[field(unique)]
    pub city: String,
}

fn main() {}
