use modeller::prelude::*;

#[model]
pub struct User {
    pub email: String,
}

pub fn known() -> &'static str {
    User::EMAIL.name()
}

fn main() {}
