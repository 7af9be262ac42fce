use modeller::prelude::*;

#[value]
pub struct Country {
    pub code: String,
}

#[value]
pub struct Address {
    pub city: String,
    #[serde(flatten)]
    pub country: Country,
}

#[model(id = "users")]
pub struct User {
    pub name: String,
    #[serde(flatten)]
    pub address: Address,
}

fn main() {}
