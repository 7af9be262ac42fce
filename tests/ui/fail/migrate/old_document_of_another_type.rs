use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[migrate(User)]
fn old_user(old: User) -> Result<Document> {
    let _ = old;
    Ok(Document::new())
}

fn main() {}
