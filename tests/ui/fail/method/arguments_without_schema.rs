use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

pub struct Promote;

#[method(User)]
async fn promote(args: Promote) -> Result<()> {
    let _ = args;
    Ok(())
}

pub async fn calls(users: Model<User>) -> Result<()> {
    users.promote(Promote).await
}

fn main() {}
