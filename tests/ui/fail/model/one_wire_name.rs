use modeller::prelude::*;

#[model(id = "users", rename_all = "camelCase")]
pub struct User {
    pub first_name: String,
    #[serde(rename = "firstName")]
    pub given_name: String,
}

fn main() {}
