use modeller::client::Client;
use modeller::prelude::*;

#[model(id = "users", public)]
pub struct User {
    pub email: String,
    pub password: Private<String>,
    pub age: i64,
}

#[value]
pub struct Promote {
    pub id: Id<User>,
}

#[method(User)]
pub async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(args.id, User::AGE.inc(1)).await
}

async fn misuse(client: Client, id: Id<User>) -> Result<()> {
    client.model::<User>().promote(id).await?;
    Ok(())
}

fn main() {}
