use modeller::prelude::*;

#[route(GET, "/things/{id}/parts/{id}")]
async fn part() -> Result<()> {
    Ok(())
}

fn main() {}
