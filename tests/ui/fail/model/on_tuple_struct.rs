use modeller::prelude::*;

#[model(id = "names")]
pub struct Name(String);

pub async fn uses(_: Model<Name>) {}

fn main() {}
