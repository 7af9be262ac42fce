use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
    pub password: Private<String>,
    pub age: u8,
}

#[value(of = User)]
pub struct Card {
    pub name: String,
    pub age: u16,
}

#[value(of = User)]
pub struct Leak {
    pub password: String,
}

fn main() {}
