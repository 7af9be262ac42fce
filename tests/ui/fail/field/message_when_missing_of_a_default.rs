use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(default = 1, error_message(required = "give one"))]
    pub field: u8,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
