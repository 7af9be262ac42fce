use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(default = 11, maximum = 10)]
    pub field: u8,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
