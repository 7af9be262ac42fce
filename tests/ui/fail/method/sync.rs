use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[value]
pub struct Promote {
    pub email: String,
}

#[method(User)]
fn promote(args: Promote) -> Result<()> {
    let _ = args;
    Ok(())
}

pub async fn calls(users: Model<User>) -> Result<()> {
    users.promote(Promote { email: String::new() }).await
}

fn main() {}
