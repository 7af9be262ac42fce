use modeller::prelude::*;

#[modeller::main]
async fn main(args: Vec<String>) -> Result<()> {
    let _ = args;
    Ok(())
}
