use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(error_message(type = 5))]
    pub field: String,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
