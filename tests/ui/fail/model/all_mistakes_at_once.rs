use modeller::prelude::*;

#[model(id = "Users", publik)]
pub struct User {
    #[field(uniqe, format = "e-mail")]
    pub email: String,
    #[field(min_length = 12, max_length = 3)]
    pub name: String,
}

pub fn known() -> [&'static str; 2] {
    [User::EMAIL.name(), User::NAME.name()]
}

fn main() {}
