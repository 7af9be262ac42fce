use modeller::prelude::*;

#[value(id = "roles")]
pub enum Role {
    Admin,
}

fn main() {}
