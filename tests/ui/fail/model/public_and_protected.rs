use modeller::prelude::*;

#[model(id = "users", public, protected)]
pub struct User {
    pub email: String,
}

fn main() {}
