use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

pub struct Promote {
    pub email: String,
}

#[method(User)]
async fn promote(args: Promote) -> Result<()> {
    let _ = args;
    Ok(())
}

fn main() {}
