use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[migrate(User)]
fn old_user() -> Result<Document> {
    Ok(Document::new())
}

fn main() {}
