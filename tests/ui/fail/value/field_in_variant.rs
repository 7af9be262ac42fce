use modeller::prelude::*;

#[value]
pub enum Shape {
    Circle {
        #[field(minimum = 0)]
        radius: f64,
    },
}

fn main() {}
