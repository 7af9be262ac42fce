use modeller::prelude::*;

#[modeller::main]
fn main() -> Result<()> {
    Ok(())
}
