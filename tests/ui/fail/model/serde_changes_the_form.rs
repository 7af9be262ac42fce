use modeller::prelude::*;

#[value]
#[derive(Default)]
pub struct Address {
    pub city: String,
}

#[model(id = "users")]
pub struct User {
    #[serde(skip)]
    pub cache: String,
    #[serde(flatten)]
    pub address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
}

fn main() {}
