use modeller::prelude::*;

#[model(id = "users", rename_all = "camelcase")]
pub struct User {
    pub email: String,
}

fn main() {}
