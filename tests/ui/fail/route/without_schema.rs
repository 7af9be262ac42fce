use modeller::prelude::*;

pub struct Opaque;

#[route(POST, "/body")]
async fn body(args: Opaque) -> Result<()> {
    let _ = args;
    Ok(())
}

#[route(GET, "/answer")]
async fn answer() -> Result<Opaque> {
    Ok(Opaque)
}

#[route(GET, "/query")]
async fn query(QueryArgs(_query): QueryArgs<Opaque>) -> Result<()> {
    Ok(())
}

fn main() {}
