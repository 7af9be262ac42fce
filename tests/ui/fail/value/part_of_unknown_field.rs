use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
    pub age: u8,
}

#[value(of = User)]
pub struct Card {
    pub nmae: String,
}

fn main() {}
