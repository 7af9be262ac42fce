use modeller::prelude::*;

#[value]
pub struct Nothing;

fn main() {}
