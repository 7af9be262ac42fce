use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[upload(User, max_bytes = 0)]
async fn of_nothing(file: File) -> Result<()> {
    drop(file);
    Ok(())
}

#[upload(User, max_bytes = "10 MiB")]
async fn in_words(file: File) -> Result<()> {
    drop(file);
    Ok(())
}

#[upload(User, max_bytes = -1)]
async fn of_less(file: File) -> Result<()> {
    drop(file);
    Ok(())
}

fn main() {}
