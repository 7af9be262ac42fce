use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[worker(User, every = "1h", cron = "0 * * * *")]
async fn hourly(users: Model<User>) -> Result<()> {
    let _ = users;
    Ok(())
}

fn main() {}
