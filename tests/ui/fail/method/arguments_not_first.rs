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
async fn promote(users: Model<User>, args: Promote) -> Result<()> {
    let _ = (users, args);
    Ok(())
}

fn main() {}
