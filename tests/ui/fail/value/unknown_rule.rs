use modeller::prelude::*;

#[value(rename_all = "kebab")]
pub enum Role {
    Admin,
}

fn main() {}
