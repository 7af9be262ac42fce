use modeller::prelude::*;

#[model(
    id = "users",
    index(role, agee),
    index(role, role),
    index(role),
    index(role, age),
    index(role, age),
    index("role", "age"),
    index = "role",
    unique(role, password),
)]
pub struct User {
    pub role: String,
    pub age: u8,
    pub password: Private<String>,
}

fn main() {}
