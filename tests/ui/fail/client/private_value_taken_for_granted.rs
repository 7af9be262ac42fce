use modeller::client::Client;
use modeller::prelude::*;

#[model(id = "users", public)]
pub struct User {
    pub email: String,
    pub password: Private<String>,
    pub age: i64,
}

async fn misuse(client: Client, id: Id<User>) -> Result<()> {
    let user = client.model::<User>().get(id).await?.unwrap();
    let password: &str = user.password.as_str();
    Ok(())
}

fn main() {}
