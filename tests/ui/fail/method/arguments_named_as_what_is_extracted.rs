use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub email: String,
}

/// What was done, and not the log of the program.
#[value]
pub struct Log {
    pub line: String,
}

#[method(User)]
async fn note(log: Log) -> Result<()> {
    let _ = log;
    Ok(())
}

fn main() {}
