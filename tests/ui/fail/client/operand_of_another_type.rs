use modeller::client::Client;
use modeller::prelude::*;

#[model(id = "users", public)]
pub struct User {
    pub email: String,
    pub password: Private<String>,
    pub age: i64,
}

async fn misuse(client: Client) -> Result<()> {
    client.model::<User>().find(User::AGE.eq("old")).await?;
    Ok(())
}

fn main() {}
