use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[hook(User, after(insert), schedule = "soon")]
async fn welcome(user: Doc<User>) -> Result<()> {
    let _ = user;
    Ok(())
}

fn main() {}
