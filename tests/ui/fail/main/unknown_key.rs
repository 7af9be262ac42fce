use modeller::prelude::*;

#[modeller::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    Ok(())
}
