use modeller::prelude::*;

#[model(id = "All Users")]
pub struct User {
    pub email: String,
}

fn main() {}
