use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(pattern = "^[a-z")]
    pub field: String,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
