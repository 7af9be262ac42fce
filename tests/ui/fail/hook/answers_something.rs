use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[hook(User, before(insert))]
async fn check(_: &mut User) -> Result<u8> {
    Ok(1)
}

fn main() {}
