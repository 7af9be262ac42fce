use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[route(GET, "/ping")]
async fn ping(_tx: Transaction) -> Result<()> {
    Ok(())
}

#[route(POST, "/file")]
async fn file(_caller: Caller, _file: File) -> Result<()> {
    Ok(())
}

fn main() {}
