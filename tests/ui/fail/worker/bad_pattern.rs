use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[worker(User, cron = "every monday")]
async fn weekly(users: Model<User>) -> Result<()> {
    let _ = users;
    Ok(())
}

fn main() {}
