use modeller::client::Client;
use modeller::prelude::*;

#[model(id = "users", public)]
pub struct User {
    pub email: String,
    pub password: Private<String>,
    pub age: i64,
}

async fn misuse(client: Client, user: Doc<User>) -> Result<()> {
    client.model::<User>().update(&user, User::EMAIL.inc(1)).await?;
    Ok(())
}

fn main() {}
