use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(min_length = "12", unique = true, pattern, max_length = -1)]
    pub field: String,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
