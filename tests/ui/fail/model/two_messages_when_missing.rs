use modeller::prelude::*;

#[model(id = "users", error_message(required = "something is missing"))]
pub struct User {
    #[field(error_message(required = "the name is missing"))]
    pub name: String,
}

fn main() {}
