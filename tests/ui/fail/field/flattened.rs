use modeller::prelude::*;
use std::collections::BTreeMap;

#[value]
pub struct Address {
    pub city: String,
    pub name: String,
}

#[model(id = "users")]
pub struct User {
    #[serde(flatten)]
    pub rest: BTreeMap<String, String>,
    #[serde(flatten)]
    #[field(unique)]
    pub address: Address,
}

fn main() {}
