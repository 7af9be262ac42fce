use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[value]
pub struct Address {
    pub city: String,
}

#[hook(Address, before(insert))]
async fn check() -> Result<()> {
    Ok(())
}

fn main() {}
