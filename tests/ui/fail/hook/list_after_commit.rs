use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[hook(User, after_commit(list))]
async fn listed(users: Model<User>) -> Result<()> {
    let _ = users;
    Ok(())
}

fn main() {}
