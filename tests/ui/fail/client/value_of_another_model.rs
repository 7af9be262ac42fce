use modeller::client::Client;
use modeller::prelude::*;

#[model(id = "users", public)]
pub struct User {
    pub email: String,
    pub password: Private<String>,
    pub age: i64,
}

#[model(id = "notes", public)]
pub struct Note {
    pub text: String,
}

async fn misuse(client: Client) -> Result<()> {
    client.model::<User>().insert(Note { text: "a".into() }).await?;
    Ok(())
}

fn main() {}
