use modeller::prelude::*;

#[model(id = "users")]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct User {
    pub email: String,
}

fn main() {}
