use modeller::prelude::*;

pub type Answer = Result<()>;

#[modeller::main]
async fn main() {}
