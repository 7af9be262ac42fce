use modeller::prelude::*;

#[model(id = "users", caller)]
pub struct User {
    #[field(unique)]
    pub email: String,
}

#[authenticate(User)]
async fn by_email(caller: Caller, users: Model<User>) -> Result<Doc<User>> {
    let _ = caller;
    users.get(User::EMAIL.eq("ada@example.com")).await?.ok_or_else(|| Error::new("NOBODY"))
}

fn main() {}
