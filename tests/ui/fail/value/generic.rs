use modeller::prelude::*;

#[value]
pub struct Pair<T> {
    pub left: T,
}

#[value]
pub struct Wrapped<T>(T);

#[value]
pub enum Either<T> {
    Left(T),
}

fn main() {}
