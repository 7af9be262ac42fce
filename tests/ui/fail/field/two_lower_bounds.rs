use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(minimum = 1, exclusive_minimum = 0)]
    pub field: u8,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
