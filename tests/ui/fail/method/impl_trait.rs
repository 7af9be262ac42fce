use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[method(User)]
async fn promote(args: impl Clone) -> Result<()> {
    let _ = args;
    Ok(())
}

fn main() {}
