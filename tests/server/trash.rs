//! Row C14 of the reference over HTTP: the trash of a model, and that it is no way out for what is withheld.

use axum::Router;
use modeller::prelude::*;
use modeller_tests::Folder;
use serde_json::{Value, json};

use crate::support::{Answer, CANARY, SECRET, ask, ask_with, token};

/// In every protected field; no answer to anyone may hold it.
const HIDDEN: &str = "hidden-canary-7f";

#[model(id = "cards", public)]
pub struct Card {
    #[field(unique)]
    pub name: String,
    #[field(default)]
    pub n: i64,
    pub pin: Private<String>,
    #[field(unique, default)]
    pub account: Protected<Option<String>>,
    #[field(default, references = Owner::_ID, on_delete = cascade)]
    pub owner: Option<Id<Owner>>,
}

/// Nobody outside knows of it.
#[model(id = "owners")]
pub struct Owner {
    pub name: String,
}

#[model(id = "papers", protected)]
pub struct Paper {
    pub text: String,
}

#[model(id = "clicks", public, trash = false)]
pub struct Click {
    pub n: i64,
}

async fn open() -> (App, Router) {
    let app = App::new().model::<Card>().model::<Owner>().model::<Paper>().model::<Click>();
    let app = app.secret(SECRET).in_memory().open().await.unwrap();
    let router = app.router();
    (app, router)
}

fn shows_nothing(answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.bytes);
    assert!(!text.contains(HIDDEN) && !text.contains("account") && !text.contains("deletedBy"), "{text}");
}

/// Asks as anyone, who learns nothing of what is protected.
async fn anyone(router: &Router, method: &str, path: &str) -> Answer {
    let answer = ask(router, method, path, Value::Null).await;
    shows_nothing(&answer);
    answer
}

async fn delete(app: &App, router: &Router, name: &str) -> (String, String) {
    let card = Card {
        name: name.into(),
        n: 1,
        pin: CANARY.into(),
        account: Some(format!("{HIDDEN}-{name}")).into(),
        owner: None,
    };
    let id = app.model::<Card>().insert(card).await.unwrap().id().to_string();
    let bearer = format!("Bearer {}", token(app, "ada"));
    let gone = ask_with(router, "DELETE", &format!("/cards/{id}"), Value::Null, &[("authorization", &bearer)]).await;
    assert_eq!(gone.status, 200);
    let kept = app.model::<Card>().trash().list(Card::_ID.eq(id.parse::<Id<Card>>().unwrap())).await.unwrap();
    assert_eq!(kept[0].deleted_by(), Some("ada"));
    (id, kept[0].id().to_string())
}

#[tokio::test]
async fn c14_the_trash_is_listed_restored_and_purged() {
    let (app, router) = open().await;
    let (a, entry_a) = delete(&app, &router, "a").await;
    let (b, entry_b) = delete(&app, &router, "b").await;
    let answer = anyone(&router, "GET", "/cards/@trash").await;
    let list = answer.json();
    assert_eq!((answer.status.as_u16(), &list["nextCursor"], &list["seq"]), (200, &Value::Null, &json!(app.seq())));
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["_id"].as_str().unwrap()).collect::<Vec<_>>(), [&entry_b, &entry_a]);
    let first = &items[0];
    assert_eq!((&first["documentId"], &first["document"]["_id"]), (&json!(b), &json!(b)));
    assert_eq!((&first["document"]["name"], first["document"].get("pin")), (&json!("b"), None));
    let at = first["deletedAt"].as_str().unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z') && at.len() == "2026-01-01T00:00:00.000Z".len(), "{at}");
    assert_ne!(first["deletion"], items[1]["deletion"]);

    // A filter is about the document.
    let of = |text: &str| format!("/cards/@trash?{text}");
    let found = anyone(&router, "GET", &of("filter=%7B%22name%22:%22a%22%7D&count=true")).await.json();
    assert_eq!((found["items"][0]["_id"].as_str(), &found["count"]), (Some(entry_a.as_str()), &json!(1)));
    let page = anyone(&router, "GET", &of("skip=1&limit=1&count=true")).await.json();
    assert_eq!((page["items"][0]["_id"].as_str(), &page["count"]), (Some(entry_a.as_str()), &json!(2)));
    for wrong in ["sort=%7B%22name%22:1%7D", "fields=%7B%22name%22:1%7D", "limit=100000", "nope=1", "filter=null"] {
        anyone(&router, "GET", &of(wrong)).await.assert_problem(400, "INVALID_QUERY");
    }

    let back = anyone(&router, "POST", &format!("/cards/@trash/{entry_a}")).await;
    assert_eq!((back.status.as_u16(), back.header("location")), (201, format!("/cards/{a}").as_str()));
    assert_eq!((&back.json()["_id"], &back.json()["name"]), (&json!(a), &json!("a")));
    assert_eq!(back.header("etag"), format!("\"{}\"", back.json()["_rev"]));
    // All of it is back, also what nobody outside saw.
    let card = app.model::<Card>().get(Card::NAME.eq("a")).await.unwrap().unwrap();
    assert_eq!(card.pin.get().map(String::as_str), Some(CANARY));
    assert_eq!(card.account.get().unwrap().as_deref(), Some(format!("{HIDDEN}-a").as_str()));

    for method in ["POST", "DELETE"] {
        for entry in [entry_a.as_str(), "nobody", "@trash", a.as_str()] {
            anyone(&router, method, &format!("/cards/@trash/{entry}")).await.assert_problem(404, "NOT_FOUND");
        }
    }
    anyone(&router, "DELETE", "/cards/@trash?filter=%7B%7D").await.assert_problem(400, "INVALID_QUERY");
    let gone = anyone(&router, "DELETE", &format!("/cards/@trash/{entry_b}")).await;
    assert_eq!((gone.status.as_u16(), gone.json()), (200, json!({"purged": 1})));
    delete(&app, &router, "c").await;
    delete(&app, &router, "d").await;
    assert_eq!(anyone(&router, "DELETE", "/cards/@trash").await.json(), json!({"purged": 2}));
    assert_eq!(anyone(&router, "GET", "/cards/@trash").await.json()["items"], json!([]));
    anyone(&router, "PUT", "/cards/@trash").await.assert_problem(405, "METHOD_NOT_ALLOWED");
    anyone(&router, "GET", &format!("/cards/@trash/{entry_b}")).await.assert_problem(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn what_is_protected_is_there_for_verified_callers() {
    let (app, router) = open().await;
    let (_, entry) = delete(&app, &router, "a").await;
    let bearer = format!("Bearer {}", token(&app, "bob"));
    let verified = [("authorization", bearer.as_str())];
    let list = ask_with(&router, "GET", "/cards/@trash", Value::Null, &verified).await.json();
    let item = &list["items"][0];
    assert_eq!((&item["deletedBy"], &item["document"]["account"]), (&json!("ada"), &json!(format!("{HIDDEN}-a"))));
    // No oracle: for anyone there is no such field to ask for.
    let asked = |name: &str, guess: &str| {
        let filter = json!({name: guess}).to_string().replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        format!("/cards/@trash?filter={filter}")
    };
    for name in ["account", "pin"] {
        for guess in [CANARY, &format!("{HIDDEN}-a"), "wrong"] {
            let answer = ask(&router, "GET", &asked(name, guess), Value::Null).await;
            answer.assert_problem(400, "INVALID_QUERY");
        }
    }
    let found = ask_with(&router, "GET", &asked("account", &format!("{HIDDEN}-a")), Value::Null, &verified).await;
    assert_eq!(found.json()["items"][0]["_id"].as_str(), Some(entry.as_str()));
    // That its value is taken is nothing that anyone learns of a protected field.
    let taken =
        Card { name: "b".into(), n: 1, pin: CANARY.into(), account: Some(format!("{HIDDEN}-a")).into(), owner: None };
    app.model::<Card>().insert(taken).await.unwrap();
    let path = format!("/cards/@trash/{entry}");
    let refused = ask(&router, "POST", &path, Value::Null).await;
    shows_nothing(&refused);
    assert!(refused.status.is_client_error(), "{}", refused.status);
    let told = ask_with(&router, "POST", &path, Value::Null, &verified).await.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!(told["field"], "account");
}

#[tokio::test]
async fn the_access_of_the_model_is_that_of_its_trash() {
    let (app, router) = open().await;
    let papers = app.model::<Paper>();
    let paper = papers.insert(Paper { text: "secret".into() }).await.unwrap();
    papers.delete(&paper).await.unwrap();
    let owners = app.model::<Owner>();
    let owner = owners.insert(Owner { name: "o".into() }).await.unwrap();
    owners.delete(&owner).await.unwrap();
    let entry = papers.trash().list(Filter::all()).await.unwrap()[0].id();
    let hidden = owners.trash().list(Filter::all()).await.unwrap()[0].id();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let verified = [("authorization", bearer.as_str())];
    for (method, of) in [("GET", ""), ("DELETE", ""), ("POST", "/x"), ("DELETE", "/x")] {
        let path = |model: &str, id: String| format!("/{model}/@trash{}", of.replace("x", &id));
        let protected = path("papers", entry.to_string());
        ask(&router, method, &protected, Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
        let internal = path("owners", hidden.to_string());
        let nowhere = path("nowhere", hidden.to_string());
        for headers in [&[][..], &verified[..]] {
            let (one, two) = (
                ask_with(&router, method, &internal, Value::Null, headers).await,
                ask_with(&router, method, &nowhere, Value::Null, headers).await,
            );
            one.assert_problem(404, "MODEL_NOT_FOUND");
            let same = String::from_utf8_lossy(&one.bytes).replace("owners", "nowhere");
            assert_eq!(same, String::from_utf8_lossy(&two.bytes));
        }
    }
    let list = ask_with(&router, "GET", "/papers/@trash", Value::Null, &verified).await.json();
    assert_eq!(
        (&list["items"][0]["deletedBy"], &list["items"][0]["document"]["text"]),
        (&Value::Null, &json!("secret"))
    );
}

/// What refers to a hidden model, and cannot come back, says nothing of it.
#[tokio::test]
async fn a_restore_names_no_model_that_nobody_may_know() {
    let (app, router) = open().await;
    let owners = app.model::<Owner>();
    let owner = owners.insert(Owner { name: "o".into() }).await.unwrap();
    let card = Card { name: "a".into(), n: 1, pin: CANARY.into(), account: None.into(), owner: Some(owner.id()) };
    app.model::<Card>().insert(card).await.unwrap();
    owners.delete(&owner).await.unwrap();
    let list = ask(&router, "GET", "/cards/@trash", Value::Null).await.json();
    let entry = list["items"][0]["_id"].as_str().unwrap();
    let answer = ask(&router, "POST", &format!("/cards/@trash/{entry}"), Value::Null).await;
    answer.assert_problem(409, "REFERENCE_VIOLATION");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("owners"));
}

#[tokio::test]
async fn the_metadata_says_who_has_a_trash() {
    let (_app, router) = open().await;
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let models = metadata["models"].as_array().unwrap();
    let said: Vec<_> = models.iter().map(|model| (model["id"].as_str().unwrap(), &model["trash"])).collect();
    assert_eq!(said, [("cards", &json!(true)), ("clicks", &json!(false))]);
    let click = ask(&router, "POST", "/clicks", json!({"n": 1})).await.json();
    ask(&router, "DELETE", &format!("/clicks/{}", click["_id"].as_str().unwrap()), Value::Null).await;
    let answer = ask(&router, "GET", "/clicks/@trash", Value::Null).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["items"]), (200, &json!([])));
}

mod first {
    use super::*;
    #[model(id = "things", public)]
    pub struct Thing {
        pub n: u8,
        pub key: Private<String>,
    }
}

mod next {
    use super::*;
    /// What was private is no field any more.
    #[model(id = "things", public)]
    pub struct Thing {
        pub n: u8,
    }
}

#[tokio::test]
async fn what_cannot_be_read_any_more_is_not_shown() {
    let folder = Folder::new();
    let app = App::new().model::<first::Thing>().data(folder.path()).open().await.unwrap();
    let things = app.model::<first::Thing>();
    let thing = things.insert(first::Thing { n: 1, key: CANARY.into() }).await.unwrap();
    things.delete(&thing).await.unwrap();
    drop((app, things));
    let app = App::new().model::<next::Thing>().data(folder.path()).open().await.unwrap();
    let router = app.router();
    let list = ask(&router, "GET", "/things/@trash", Value::Null).await.json();
    let item = &list["items"][0];
    assert_eq!((&item["document"], &item["documentId"]), (&Value::Null, &json!(thing.id())));
    let path = format!("/things/@trash/{}", item["_id"].as_str().unwrap());
    let refused = ask(&router, "POST", &path, Value::Null).await;
    refused.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(ask(&router, "DELETE", &path, Value::Null).await.json(), json!({"purged": 1}));
}
