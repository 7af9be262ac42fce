//! Connections that break: a write that is sent again is made once.

use modeller::prelude::*;
use modeller_tests::proxy::Proxy;
use serde_json::json;

use crate::support::{Note, SlowlyMethod, User, client_at, served, user};

#[tokio::test]
async fn each_write_is_made_once() {
    let served = served().await;
    let proxy = Proxy::start(served.addr).await;
    let client = client_at(proxy.addr);
    let users = client.model::<User>();
    let here = served.app.model::<User>();
    let seq = || served.app.seq();

    // Each is handed to the server, and cut off before its answer.
    proxy.cut_after([1]);
    let before = seq();
    let ada = users.insert(user("ada")).await.unwrap();
    assert_eq!((seq() - before, here.count(Filter::all()).await.unwrap()), (1, 1));
    // A second cut on the way of the repetition.
    proxy.cut_after([1, 1]);
    let older = users.update(&ada, User::AGE.inc(1)).await.unwrap();
    assert_eq!((older.age, here.get(ada.id()).await.unwrap().unwrap().age), (37, 37));
    // One that is conditional does not conflict with itself.
    proxy.cut_after([1]);
    let older = users.update(&ada, User::AGE.inc(1)).if_rev(older.rev()).await.unwrap();
    assert_eq!(older.age, 38);
    proxy.cut_after([1]);
    let replaced = users.replace(&ada, User { age: 50, ..older.value() }).if_rev(older.rev()).await.unwrap();
    assert_eq!(replaced.age, 50);
    proxy.cut_after([1]);
    assert_eq!(users.insert_many(vec![user("bob"), user("eve")]).await.unwrap().len(), 2);
    proxy.cut_after([1]);
    assert_eq!(users.update_many(Filter::all(), User::AGE.inc(1)).await.unwrap(), 3);
    assert_eq!(here.get(ada.id()).await.unwrap().unwrap().age, 51);
    proxy.cut_after([1]);
    let args = json!({"id": ada.id(), "reason": crate::support::CANARY});
    assert_eq!(users.call("promote", args).await.unwrap()["age"], 52);
    proxy.cut_after([1]);
    let gone = users.delete(&ada).if_rev(here.get(ada.id()).await.unwrap().unwrap().rev()).await.unwrap();
    assert_eq!((gone.id(), here.get(ada.id()).await.unwrap().is_none()), (ada.id(), true));
    proxy.cut_after([1]);
    assert_eq!(users.delete_many(Filter::all()).await.unwrap(), 2);
    assert_eq!(proxy.cuts(), 10);

    // What cannot be made once is not sent again, and says so.
    let bob = users.insert(user("bob")).await.unwrap();
    proxy.cut_after([1]);
    assert_eq!(users.slowly(bob.id()).await.unwrap_err().code(), &ErrorCode::Unavailable);

    client.set_token(Some(&served.token("ada", 60))).unwrap();
    let notes = client.model::<Note>();
    let id: Id<Note> = "one".parse().unwrap();
    proxy.cut_after([1]);
    let note = notes.insert_with_id(id.clone(), Note { text: "a".into() }).await.unwrap();
    proxy.cut_after([1]);
    let again = notes.replace(&id, Note { text: "b".into() }).await.unwrap();
    assert_eq!((note.text.as_str(), again.text.as_str(), proxy.cuts()), ("a", "b", 13));
}
