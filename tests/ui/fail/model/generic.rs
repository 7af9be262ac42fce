use modeller::prelude::*;

#[model(id = "boxes")]
pub struct Boxed<T> {
    pub content: T,
}

fn main() {}
