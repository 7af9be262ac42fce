use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[method(User, transaction = none)]
async fn takes_one(tx: Transaction) -> Result<()> {
    Ok(())
}

#[method(User, transaction = some)]
async fn of_another_kind() -> Result<()> {
    Ok(())
}

#[method(User)]
async fn takes_a_file(users: Model<User>, file: File) -> Result<()> {
    Ok(())
}

fn main() {}
