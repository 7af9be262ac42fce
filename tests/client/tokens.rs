//! Tokens, and those that come after them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use modeller::Tokens;
use modeller::client::Client;
use modeller::prelude::*;
use serde_json::json;

use crate::rooms::next;
use crate::support::{Note, SECRET, User, WhoamiMethod, serve, served, user};

#[tokio::test]
async fn what_is_protected_takes_a_token() {
    let served = served().await;
    let users = served.users();
    served.app.model::<User>().insert(User { salary: 7.into(), ..user("ada") }).await.unwrap();
    assert_eq!(users.find(Filter::all()).await.unwrap()[0].salary.get(), None);
    let client = Client::builder(format!("http://{}", served.addr)).token(served.token("ada", 60)).connect().unwrap();
    let users = client.model::<User>();
    assert_eq!(users.find(Filter::all()).await.unwrap()[0].salary.get(), Some(&7));
    assert_eq!(users.whoami().await.unwrap().as_deref(), Some("ada"));
    let rich = users.insert(User { salary: 9.into(), ..user("bob") }).await.unwrap();
    assert_eq!(rich.salary.get(), Some(&9));
    client.set_token(None).unwrap();
    // Anyone writes a document whose protected fields he does not know.
    assert_eq!(users.insert(user("eve")).await.unwrap().salary.get(), None);
    assert_eq!(client.model::<Note>().count(Filter::all()).await.unwrap_err().code(), &ErrorCode::Unauthenticated);
    assert!(client.set_token(Some("no\ntoken")).is_err());
}

#[tokio::test]
async fn tokens_are_refreshed() {
    let builder = App::new().model::<User>().model::<Note>().secret(SECRET);
    let app =
        builder.token_lifetime(Duration::from_secs(2)).token_leeway(Duration::ZERO).in_memory().open().await.unwrap();
    let served = serve(app).await;
    let first: Tokens = serde_json::from_value(served.users().call("sign_in", json!("ada")).await.unwrap()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let of_client = told.clone();
    let client = Client::builder(format!("http://{}", served.addr))
        .token(&first.token)
        .refresh_token(&first.refresh_token)
        .on_refresh(move |token, refresh| of_client.lock().unwrap().push((token.to_owned(), refresh.to_owned())))
        .connect()
        .unwrap();
    let notes = client.model::<Note>();
    let mut heard = notes.subscription(Filter::all()).listen().await.unwrap();
    // The time of a token is in whole seconds: of two of them, one at least is left.
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    // Several at once ask for the next pair once: twice would end the login.
    let asked = (0..8).map(|_| async { notes.count(Filter::all()).await });
    for outcome in futures_util::future::join_all(asked).await {
        assert_eq!(outcome.unwrap(), 0);
    }
    assert_eq!(told.lock().unwrap().len(), 1);
    assert_ne!(told.lock().unwrap()[0].1, first.refresh_token);
    // The socket comes back as well, and has missed nothing.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for text in ["a", "b"] {
        served.app.model::<Note>().subscription(Filter::all()).publish(&text).await.unwrap();
    }
    assert_eq!((next(&mut heard).await, next(&mut heard).await), (json!("a"), json!("b")));
    // A login that has ended is told as what it is.
    served.app.logins().revoke_all("ada").await.unwrap();
    assert_eq!(notes.count(Filter::all()).await.unwrap_err().code(), &ErrorCode::Unauthenticated);
}
