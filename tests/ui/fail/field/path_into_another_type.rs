use modeller::prelude::*;

#[value]
pub struct Address {
    pub city: String,
}

#[value]
pub struct Order {
    pub total: u32,
}

#[model(id = "users")]
pub struct User {
    pub address: Address,
    pub name: String,
}

fn main() {
    let _ = User::ADDRESS.at(Order::TOTAL);
    let _ = User::NAME.at(Address::CITY);
}
