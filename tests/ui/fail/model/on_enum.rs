use modeller::prelude::*;

#[model(id = "roles")]
pub enum Role {
    User,
    Admin,
}

pub async fn uses(_: Model<Role>) {}

fn main() {}
