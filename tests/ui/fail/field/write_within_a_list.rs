use modeller::prelude::*;

#[value]
pub struct Order {
    pub total: u32,
}

#[model(id = "users")]
pub struct User {
    pub orders: Vec<Order>,
}

fn main() {
    let _ = User::ORDERS.at(Order::TOTAL).set(1_u32);
}
