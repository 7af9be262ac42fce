use modeller::prelude::*;

type Age = u8;


#[model(id = "users")]
pub struct User {
    #[field(min_length = 3)]
    pub field: Age,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
