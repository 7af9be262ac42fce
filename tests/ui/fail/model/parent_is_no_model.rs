use modeller::prelude::*;

pub struct Plain;

#[model(id = "ssh", parent = Plain)]
pub struct Ssh {
    pub user: String,
}

#[model(id = "docker", parent = "machines")]
pub struct Docker {
    pub user: String,
}

#[model(id = "machines.rack")]
pub struct Rack {
    pub user: String,
}

fn main() {}
