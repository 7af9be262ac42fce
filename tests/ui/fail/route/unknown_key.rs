use modeller::prelude::*;

#[route(GET, "/ping", protect)]
async fn ping() -> Result<()> {
    Ok(())
}

#[route(POST, "/pong", transaction = some)]
async fn pong() -> Result<()> {
    Ok(())
}

fn main() {}
