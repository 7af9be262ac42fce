use modeller::prelude::*;

#[model(id = "names")]
pub fn name() {}

fn main() {}
