use modeller::prelude::*;

#[model(id = "users", caller)]
pub struct User {
    pub email: String,
}

#[authenticate(User)]
async fn by_email(user: Doc<User>) -> Result<Id<User>> {
    Ok(user.id())
}

fn main() {}
