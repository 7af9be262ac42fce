use modeller::prelude::*;

#[route(GTE, "/ping")]
async fn ping() -> Result<()> {
    Ok(())
}

#[route(HEAD, "/head")]
async fn head() -> Result<()> {
    Ok(())
}

fn main() {}
