#![allow(non_snake_case)]

use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
    pub Name: String,
}

fn main() {}
