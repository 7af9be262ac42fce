use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[hook(User, before(insert, update, insert))]
async fn check(user: &mut User) -> Result<()> {
    let _ = user;
    Ok(())
}

fn main() {}
