use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(min_length = 3, error_message(max_length = "too long"))]
    pub field: String,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
