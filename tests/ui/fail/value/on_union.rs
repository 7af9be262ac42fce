use modeller::prelude::*;

#[value]
pub union Bits {
    pub a: u8,
}

fn main() {}
