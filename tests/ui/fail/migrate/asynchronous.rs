use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[migrate(User)]
async fn old_user(old: Document) -> Result<Document> {
    Ok(old)
}

fn main() {}
