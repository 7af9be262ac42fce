use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[upload(User, max_bytes)]
async fn without_a_value(file: File) -> Result<()> {
    drop(file);
    Ok(())
}

#[upload(User, max_size = 10)]
async fn of_another_name(file: File) -> Result<()> {
    drop(file);
    Ok(())
}

#[method(User, max_bytes = 10)]
async fn of_a_method() -> Result<()> {
    Ok(())
}

fn main() {}
