use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[worker(User)]
async fn sweep(_: Model<User>) -> Result<()> {
    Ok(())
}

fn main() {}
