use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[method(User)]
async fn promote() -> bool {
    true
}

fn main() {}
