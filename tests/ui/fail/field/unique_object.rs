use modeller::prelude::*;

#[value]
pub struct Address {
    pub city: String,
}


#[model(id = "users")]
pub struct User {
    #[field(unique)]
    pub field: Address,
}

// A use of what the attribute makes: it must not fail as well.
pub fn known() -> &'static str {
    User::FIELD.name()
}

fn main() {}
