use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[value]
pub struct Fields {
    pub name: String,
}

pub struct Plain;

#[upload(User)]
async fn without_a_file(fields: Fields) -> Result<()> {
    Ok(())
}

#[upload(User)]
async fn in_a_transaction(file: File, tx: Transaction) -> Result<()> {
    Ok(())
}

#[upload(User)]
async fn with_two_fields(file: File, fields: Fields, more: Fields) -> Result<()> {
    Ok(())
}

#[upload(User)]
async fn without_a_schema(file: File, fields: Plain) -> Result<()> {
    Ok(())
}

#[upload(User, public, internal)]
fn not_async(file: File) {}

#[upload(User, transaction = none)]
async fn of_another_key(file: File) -> Result<()> {
    Ok(())
}

#[upload(User)]
async fn uploads(file: File) -> Result<()> {
    Ok(())
}

fn main() {}
