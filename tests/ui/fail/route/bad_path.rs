use modeller::prelude::*;

#[route(GET, "ping")]
async fn no_slash() -> Result<()> {
    Ok(())
}

#[route(GET, "/@ping")]
async fn ours() -> Result<()> {
    Ok(())
}

#[route(GET, "/things/{id")]
async fn open_brace() -> Result<()> {
    Ok(())
}

#[route(GET, "/things/:id")]
async fn colon() -> Result<()> {
    Ok(())
}

#[route(GET, "/things/{1}")]
async fn no_name() -> Result<()> {
    Ok(())
}

#[route(GET, "/things/{*rest}/more")]
async fn behind_the_rest() -> Result<()> {
    Ok(())
}

#[route(GET, "/{model}")]
async fn of_the_models() -> Result<()> {
    Ok(())
}

#[route(GET, "/things/")]
async fn trailing() -> Result<()> {
    Ok(())
}

fn main() {}
