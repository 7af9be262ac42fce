use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[value]
pub struct Promote {
    pub email: String,
}

#[method(User, privat)]
async fn promote(args: Promote) -> Result<()> {
    let _ = args;
    Ok(())
}

fn main() {}
