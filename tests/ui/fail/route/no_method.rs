use modeller::prelude::*;

#[route("/ping")]
async fn ping() -> Result<()> {
    Ok(())
}

#[route(GET)]
async fn no_path() -> Result<()> {
    Ok(())
}

#[route(GET, path = "/ping")]
async fn named() -> Result<()> {
    Ok(())
}

fn main() {}
