use modeller::prelude::*;

#[value]
pub struct Pair<T> {
    pub left: T,
}

fn main() {}
