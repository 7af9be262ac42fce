use modeller::prelude::*;

#[model(id = "users", publc)]
pub struct User {
    pub email: String,
}

fn main() {}
