use modeller::prelude::*;

#[model(id = "machines")]
pub struct Machine {
    pub name: String,
}

#[model(id = "ssh", parent = Machine)]
pub struct Ssh {
    pub user: String,
}

#[model(id = "users")]
pub struct User {
    pub name: String,
}

pub fn extension(machines: &Model<Machine>, users: &Model<User>) -> Result<()> {
    machines.extension::<Ssh>()?;
    machines.extension::<User>()?;
    users.extension::<Ssh>()?;
    Ok(())
}

fn main() {}
