use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[hook(User, before(insert))]
pub struct Check;

fn main() {}
