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

#[value(of = Note)]
pub struct Card {
    pub text: String,
}

async fn misuse(client: Client) -> Result<()> {
    let cards: Vec<Doc<Card>> = client.model::<User>().find(Filter::all()).project().await?;
    Ok(())
}

fn main() {}
