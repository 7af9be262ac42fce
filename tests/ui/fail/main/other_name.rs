use modeller::prelude::*;

#[modeller::main]
async fn start() -> Result<()> {
    Ok(())
}

fn main() {}
