use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[hook(User, before(insert))]
async fn check<T>(user: &mut User, _: T) -> Result<()> {
    let _ = user;
    Ok(())
}

fn main() {}
