use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[hook(User, after_commit(insert))]
async fn inserted(tx: Transaction) -> Result<()> {
    let _ = tx;
    Ok(())
}

fn main() {}
