use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(min_properties = 1)]
    pub field: Vec<u8>,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
