use modeller::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Opaque;


#[model(id = "users")]
pub struct User {
    #[field(default)]
    pub field: Opaque,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
