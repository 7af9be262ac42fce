use modeller::prelude::*;

#[model(id = "users")]
#[derive(Clone, PartialEq)]
pub struct User {
    pub email: String,
}

fn main() {}
