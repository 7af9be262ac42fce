use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[cfg(all())]
    pub field: String,
}

fn main() {}
