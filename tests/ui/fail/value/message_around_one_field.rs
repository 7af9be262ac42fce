use modeller::prelude::*;

#[value(error_message = "no good name")]
pub struct Name(#[field(error_message(required = "give one"))] pub String);

fn main() {}
