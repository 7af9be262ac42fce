use modeller::prelude::*;

#[route(GET, "/ping")]
fn ping() -> Result<()> {
    Ok(())
}

#[route(GET, "/generic")]
async fn generic<T>() -> Result<()> {
    Ok(())
}

fn main() {}
