use modeller::prelude::*;

#[model(id = "users", trash = "long")]
pub struct User {
    pub email: String,
}

#[model(id = "teams", trash = "0s")]
pub struct Team {
    pub name: String,
}

#[model(id = "rooms", trash = true)]
pub struct Room {
    pub name: String,
}

#[model(id = "desks", trash = 90)]
pub struct Desk {
    pub name: String,
}

fn main() {}
