//! Projections in process. Which parts of a document they let through is tested beside them; over HTTP in the tests of routes.

use modeller::prelude::*;
use serde_json::json;

#[model(id = "users")]
pub struct User {
    pub name: String,
    pub age: u8,
    pub password: Private<String>,
    #[field(default)]
    pub tags: Vec<String>,
}

#[value(of = User)]
pub struct Card {
    pub age: u8,
    pub name: String,
}

#[value(of = User)]
pub struct Login {
    pub password: Private<String>,
}

async fn users() -> Model<User> {
    let app = App::new().model::<User>().in_memory().open().await.unwrap();
    let users = app.model::<User>();
    for (name, age) in [("Ada", 36), ("Bob", 20)] {
        let user = User { name: name.into(), age, password: "correct horse".into(), tags: vec!["a".into()] };
        users.insert(user).await.unwrap();
    }
    users
}

#[tokio::test]
async fn a_part_that_is_a_struct() {
    let users = users().await;
    let cards: Vec<Doc<Card>> = users.find(User::AGE.gt(30)).project().await.unwrap();
    assert_eq!((cards.len(), cards[0].name.as_str(), cards[0].age), (1, "Ada", 36));
    let whole = users.get(User::AGE.gt(30)).await.unwrap().unwrap();
    assert_eq!((cards[0].id().to_string(), cards[0].rev()), (whole.id().to_string(), whole.rev()));
    let page = users.list(Query::all().sort(User::NAME.desc()).limit(1)).project::<Card>().await.unwrap();
    assert_eq!((page.items.len(), page.items[0].name.as_str(), page.seq), (1, "Bob", 3));
    // What is private stays so.
    let logins = users.find(Filter::all()).project::<Login>().await.unwrap();
    assert_eq!(logins[0].password.get().unwrap(), "correct horse");
    assert!(!serde_json::to_string(&logins).unwrap().contains("horse"));
}

#[tokio::test]
async fn a_part_that_is_json() {
    let users = users().await;
    let named = Projection::include(User::NAME).and(User::PASSWORD);
    let found = users.find(Filter::all()).sort(User::NAME.asc()).fields(named.clone()).await.unwrap();
    // In process a private field can be asked for; it is left out wherever it would be seen.
    assert_eq!((&found[0]["name"], &found[0]["password"]), (&json!("Ada"), &json!("correct horse")));
    assert_eq!((found[0].get("age"), found[0].members().len()), (None, 2));
    assert!(!format!("{found:?}{}", serde_json::to_string(&found).unwrap()).contains("horse"));
    let page = users.list(Query::all().limit(1)).fields(Projection::exclude(User::TAGS).and(User::AGE)).await.unwrap();
    let names: Vec<_> = page.items[0].members().keys().collect();
    assert_eq!(names, ["name", "password"]);
    assert_eq!(serde_json::to_value(&page).unwrap()["items"][0]["name"], "Ada");
}
