use modeller::prelude::*;

#[value]
pub struct Place {
    pub city: String,
}

#[model(id = "users", index(role, place), index(role, password))]
pub struct User {
    pub role: String,
    pub place: Place,
    pub password: Private<String>,
}

fn main() {}
