use modeller::client::Client;
use modeller::prelude::*;

#[model(id = "users", public)]
pub struct User {
    pub email: String,
    pub password: Private<String>,
    pub age: i64,
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
    client.model::<User>().shout(Say { text: "a".into() }).await?;
    Ok(())
}

fn main() {}
