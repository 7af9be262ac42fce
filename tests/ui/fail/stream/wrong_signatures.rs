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

#[stream(User)]
async fn without_a_chunk(fields: Fields) -> Result<()> {
    Ok(())
}

#[stream(User)]
async fn with_a_room(chunk: Chunk, room: Subscription<User>) -> Result<()> {
    Ok(())
}

#[stream(User)]
async fn with_two_fields(chunk: Chunk, fields: Fields, more: Fields) -> Result<()> {
    Ok(())
}

#[stream(User)]
async fn without_a_schema(chunk: Chunk, fields: Plain) -> Result<()> {
    Ok(())
}

#[stream(User, public, internal)]
fn not_async(chunk: Chunk) {}

#[stream(User, transaction = none)]
async fn of_another_key(chunk: Chunk) -> Result<()> {
    Ok(())
}

#[stream(User)]
async fn streams(chunk: Chunk) -> Result<()> {
    Ok(())
}

fn main() {}
