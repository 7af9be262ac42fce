use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[value]
pub struct Promote {
    pub email: String,
}

pub struct Opaque;

#[method(User)]
async fn promote(args: Promote) -> Result<Opaque> {
    let _ = args;
    Ok(Opaque)
}

fn main() {}
