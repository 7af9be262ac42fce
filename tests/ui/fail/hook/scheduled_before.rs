use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[hook(User, before(insert), schedule = "5s")]
async fn welcome(user: &mut User) -> Result<()> {
    let _ = user;
    Ok(())
}

fn main() {}
