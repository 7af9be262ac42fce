//! Documents: what the client answers is what the model answers in process.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{CANARY, Card, Note, Role, User, served, user};

#[tokio::test]
async fn documents_are_written_and_read() {
    let served = served().await;
    let users = served.users();
    let ada = users.insert(user("ada")).await.unwrap();
    assert_eq!((ada.email.as_str(), ada.age, ada.role.clone()), ("ada", 36, Role::User));
    // What was left out is withheld, and not the default.
    assert_eq!((ada.password.get(), ada.hint.get(), ada.salary.get()), (None, None, None));
    // But it was sent, and kept.
    let kept = served.app.model::<User>().get(ada.id()).await.unwrap().unwrap();
    assert_eq!((kept.password.get().unwrap().as_str(), kept.hint.get().unwrap().as_str()), (CANARY, CANARY));

    let older = users.update(&ada, User::AGE.inc(1) & User::TAGS.push("x")).await.unwrap();
    assert_eq!((older.age, older.tags.as_slice(), older.rev() > ada.rev()), (37, &["x".to_owned()][..], true));
    let conflict = users.update(&ada, User::AGE.inc(1)).if_rev(ada.rev()).await.unwrap_err();
    assert_eq!((conflict.code(), conflict.get("actual")), (&ErrorCode::Conflict, Some(&json!(older.rev()))));
    let again = users.get(ada.id()).await.unwrap().unwrap();
    assert_eq!((again.rev(), *again == *older), (older.rev(), true));

    // What is withheld in a replacement is kept.
    let replaced = users.replace(&ada, User { age: 1, ..again.value() }).if_rev(again.rev()).await.unwrap();
    assert_eq!(replaced.age, 1);
    let kept = served.app.model::<User>().get(ada.id()).await.unwrap().unwrap();
    assert_eq!((kept.password.get().unwrap().as_str(), kept.hint.get().unwrap().as_str()), (CANARY, CANARY));

    let gone = users.delete(&ada).await.unwrap();
    assert_eq!(gone.id(), ada.id());
    assert!(users.get(ada.id()).await.unwrap().is_none());
    assert_eq!(users.delete(&ada).await.unwrap_err().code(), &ErrorCode::NotFound);
}

#[tokio::test]
async fn lists() {
    let served = served().await;
    let users = served.users();
    let many: Vec<User> = (0..1_203).map(|age| User { age, ..user(&format!("user-{age}")) }).collect();
    let made = users.insert_many(many).await.unwrap();
    assert_eq!((made.len(), made[7].age), (1_203, 7));
    // All of them, by several pages.
    let all = users.find(User::AGE.gte(2)).sort(User::AGE.desc()).skip(1).await.unwrap();
    assert_eq!((all.len(), all[0].age, all[1_199].age), (1_200, 1_201, 2));
    assert_eq!(users.find(Filter::all()).limit(1_100).await.unwrap().len(), 1_100);
    assert_eq!(users.count(User::AGE.lt(1_000)).await.unwrap(), 1_000);

    let query = Query::of(User::AGE.lt(5)).sort(User::AGE.asc()).limit(2);
    let page = users.list(query.clone()).await.unwrap();
    let next = users.list(query.clone().cursor(page.next_cursor.unwrap())).await.unwrap();
    assert_eq!((page.items[1].age, next.items[0].age, next.seq), (1, 2, served.app.seq()));
    let cards: Vec<Doc<Card>> = users.find(User::AGE.eq(3)).project().await.unwrap();
    assert_eq!(*cards[0], Card { email: "user-3".into(), age: 3 });
    let names = users.list(query).fields(Projection::include(User::EMAIL)).await.unwrap();
    assert_eq!((&names.items[0]["email"], names.items[0].get("age")), (&json!("user-0"), None));

    assert_eq!(users.update_many(User::AGE.lt(10), User::ROLE.set(Role::Admin)).await.unwrap(), 10);
    assert_eq!(users.delete_many(User::ROLE.eq(Role::Admin)).await.unwrap(), 10);
    assert_eq!(served.app.model::<User>().count(Filter::all()).await.unwrap(), 1_193);

    let json = served.client().model_by_id("users");
    let first = json.find(Filter::parse(&json!({"age": 20})).unwrap()).await.unwrap();
    assert_eq!((first.len(), &first[0]["email"]), (1, &json!("user-20")));
}

/// An error as it is, but for the status, which conditions of HTTP have of their own.
fn told(error: &Error) -> Value {
    let mut json = error.to_json();
    json["status"] = Value::Null;
    json
}

#[tokio::test]
async fn errors_are_those_of_the_model() {
    let served = served().await;
    let (here, there) = (served.app.model::<User>(), served.users());
    let ada = here.insert(user("ada")).await.unwrap();
    let nobody: Id<User> = "nobody".parse().unwrap();
    let short = || User { email: "x".into(), ..user("") };
    let update = || User::AGE.set(1);
    let cases: Vec<(Error, Error)> = vec![
        (here.insert(short()).await.unwrap_err(), there.insert(short()).await.unwrap_err()),
        (here.insert(user("ada")).await.unwrap_err(), there.insert(user("ada")).await.unwrap_err()),
        (
            here.insert_many(vec![user("bob"), short()]).await.unwrap_err(),
            there.insert_many(vec![user("bob"), short()]).await.unwrap_err(),
        ),
        (here.update(&nobody, update()).await.unwrap_err(), there.update(&nobody, update()).await.unwrap_err()),
        (
            here.update(&ada, update()).if_rev(99).await.unwrap_err(),
            there.update(&ada, update()).if_rev(99).await.unwrap_err(),
        ),
        (here.delete(&nobody).await.unwrap_err(), there.delete(&nobody).await.unwrap_err()),
        (
            here.update(&ada, User::EMAIL.set("y")).await.unwrap_err(),
            there.update(&ada, User::EMAIL.set("y")).await.unwrap_err(),
        ),
        (here.call("nothing", json!({})).await.unwrap_err(), there.call("nothing", json!({})).await.unwrap_err()),
        (
            here.call("promote", json!({"x": 1})).await.unwrap_err(),
            there.call("promote", json!({"x": 1})).await.unwrap_err(),
        ),
    ];
    for (here, there) in cases {
        assert_eq!(told(&there), told(&here));
        assert_eq!((there.code(), there.text(), there.violations()), (here.code(), here.text(), here.violations()));
    }
    let unknown = served.client().model_by_id("nothing").count(Filter::all()).await.unwrap_err();
    assert_eq!(unknown.code(), &ErrorCode::ModelNotFound);
    // What is private is not asked about from outside.
    let asked = there.count(Filter::parse(&json!({"password": CANARY})).unwrap()).await.unwrap_err();
    assert_eq!(asked.code(), &ErrorCode::InvalidQuery);
}

#[tokio::test]
async fn ids_of_the_clients_choice() {
    let served = served().await;
    let token = served.token("ada", 60);
    let notes = served.client();
    notes.set_token(Some(&token)).unwrap();
    let notes = notes.model::<Note>();
    let id: Id<Note> = "first/../x".replace('/', "-").parse().unwrap();
    let note = notes.insert_with_id(id.clone(), Note { text: "a".into() }).await.unwrap();
    assert_eq!(note.id(), id);
    let twice = notes.insert_with_id(id.clone(), Note { text: "b".into() }).await.unwrap_err();
    assert_eq!((twice.code(), twice.get("field")), (&ErrorCode::UniqueViolation, Some(&json!("_id"))));
    // A character that is one of paths and queries.
    let odd: Id<Note> = "ä?b&c#d%2F".parse().unwrap();
    let made = notes.replace(odd.clone(), Note { text: "c".into() }).await.unwrap();
    assert_eq!((made.id(), notes.get(odd).await.unwrap().unwrap().text.as_str()), (made.id(), "c"));
}
