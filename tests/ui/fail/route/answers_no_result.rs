use modeller::prelude::*;

#[route(GET, "/ping")]
async fn ping() -> String {
    "pong".into()
}

fn main() {}
