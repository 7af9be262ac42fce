use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[migrate(User)]
fn old_user(old: Document) {
    drop(old);
}

fn main() {}
