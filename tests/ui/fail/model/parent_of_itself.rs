use modeller::prelude::*;

#[model(id = "a", parent = B)]
pub struct A {
    pub user: String,
}

#[model(id = "b", parent = A)]
pub struct B {
    pub user: String,
}

fn main() {}
