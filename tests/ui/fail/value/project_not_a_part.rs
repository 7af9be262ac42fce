use modeller::prelude::*;

#[model(id = "users")]
pub struct User {
    pub name: String,
}

#[model(id = "notes")]
pub struct Note {
    pub name: String,
}

#[value(of = Note)]
pub struct Card {
    pub name: String,
}

async fn cards(users: Model<User>) -> Result<Vec<Doc<Card>>> {
    users.find(Filter::all()).project::<Card>().await
}

fn main() {}
