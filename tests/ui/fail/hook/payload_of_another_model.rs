use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[model(id = "teams")]
pub struct Team {
    pub name: String,
}

#[hook(User, before(insert))]
async fn check(_: &mut Team) -> Result<()> {
    Ok(())
}

fn main() {}
