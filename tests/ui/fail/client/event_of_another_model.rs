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

#[value]
pub struct Say {
    pub text: String,
}

#[event(User)]
pub async fn shout(args: Say, room: Subscription<User>) -> Result<()> {
    room.publish(&args.text).await
}

async fn misuse(client: Client) -> Result<()> {
    client.model::<Note>().subscription(Filter::all()).shout(Say { text: "a".into() }).await?;
    Ok(())
}

fn main() {}
