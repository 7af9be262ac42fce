use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    #[field(example = "secret")]
    pub field: Private<String>,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
