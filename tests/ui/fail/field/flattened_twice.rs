use modeller::prelude::*;

#[value]
pub struct Address {
    pub city: String,
    pub name: String,
}

#[model(id = "users")]
pub struct User {
    pub name: String,
    #[serde(flatten)]
    pub address: Address,
}

fn main() {}
