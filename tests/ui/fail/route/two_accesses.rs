use modeller::prelude::*;

#[route(GET, "/ping", public, protected)]
async fn ping() -> Result<()> {
    Ok(())
}

fn main() {}
