use modeller::prelude::*;

#[value]
pub struct Search {
    pub words: String,
}

#[route(GET, "/search")]
async fn search(search: Search) -> Result<()> {
    let _ = search;
    Ok(())
}

fn main() {}
