use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

#[value]
pub struct Promote {
    pub email: String,
}

#[model(id = "teams")]
pub struct Team {
    pub name: String,
}

#[event(User)]
async fn moved(_: Promote, _: Subscription<Team>) -> Result<()> {
    Ok(())
}

fn main() {}
