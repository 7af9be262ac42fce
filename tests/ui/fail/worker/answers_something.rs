use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[worker(User, every = "1m")]
async fn sweep() -> Result<u8> {
    Ok(1)
}

fn main() {}
