use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub _rev: u64,
    #[field(rename = "a.b")]
    pub dotted: String,
}

fn main() {}
