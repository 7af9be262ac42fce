use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[value(of = User)]
pub enum Card {
    Name,
}

#[value(of = User)]
pub struct Name(String);

fn main() {}
