use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

pub struct Opaque;

#[method(User)]
async fn promote() -> Result<Vec<Opaque>> {
    Ok(vec![Opaque])
}

fn main() {}
