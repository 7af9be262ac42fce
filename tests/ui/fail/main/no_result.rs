use modeller::prelude::*;

#[modeller::main]
async fn main() {}
