//! Rooms: what is published is heard once and in order, whatever becomes of the connection.

use std::time::Duration;

use futures_util::StreamExt;
use modeller::client::{Delivery, RemoteListener};
use modeller::prelude::*;
use modeller_tests::proxy::Proxy;
use serde_json::{Value, json};

use crate::support::{AnnounceMethod, Note, Role, Say, User, client_at, served};

pub(crate) async fn next(heard: &mut RemoteListener) -> Value {
    let next = tokio::time::timeout(Duration::from_secs(20), heard.next()).await.expect("a payload in time");
    match next.expect("a payload").unwrap() {
        Delivery::Payload { payload, .. } => payload,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn cuts_lose_nothing_and_double_nothing() {
    let served = served().await;
    let proxy = Proxy::start(served.addr).await;
    let users = client_at(proxy.addr).model::<User>();
    let admins = users.subscription(User::ROLE.eq(Role::Admin));
    let mut heard = admins.listen().await.unwrap();
    // Two who listen to the same are one to the server.
    let mut other = admins.listen().await.unwrap();
    let here = served.app.model::<User>();
    for round in 0..6 {
        for number in 0..20 {
            here.announce(Say { text: format!("{round}.{number}") }).await.unwrap();
        }
        // The next bytes of the client break the connection: a pong, or a request.
        proxy.cut_after([1]);
        let _ = tokio::time::timeout(Duration::from_millis(200), admins.dispatch("nothing", json!({}))).await;
        for number in 20..40 {
            here.announce(Say { text: format!("{round}.{number}") }).await.unwrap();
        }
        for number in 0..40 {
            let expected = json!(format!("{round}.{number}"));
            assert_eq!((next(&mut heard).await, next(&mut other).await), (expected.clone(), expected));
        }
    }
    assert!(proxy.cuts() >= 3, "{}", proxy.cuts());
    drop(other);
    here.announce(Say { text: "last".into() }).await.unwrap();
    // As a stream.
    assert!(matches!(StreamExt::next(&mut heard).await, Some(Ok(Delivery::Payload { .. }))));
}

#[tokio::test]
async fn what_may_not_be_heard_is_refused() {
    let served = served().await;
    let client = served.client();
    let all = client.model::<Note>().subscription(Filter::all());
    assert_eq!(all.listen().await.unwrap_err().code(), &ErrorCode::Unauthenticated);
    client.set_token(Some(&served.token("ada", 60))).unwrap();
    let mut heard = all.listen().await.unwrap();
    served.app.model::<Note>().subscription(Filter::all()).publish(&"a").await.unwrap();
    assert_eq!(next(&mut heard).await, json!("a"));
    // As anyone again, it ends.
    client.set_token(None).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), heard.next()).await.unwrap();
    assert_eq!(ended.unwrap().unwrap_err().code(), &ErrorCode::Unauthenticated);
    assert!(heard.next().await.is_none());
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = modeller::client::Client::builder(format!("http://{addr}"))
        .patience(Duration::from_millis(300))
        .connect()
        .unwrap();
    let users = client.model::<User>();
    let begun = std::time::Instant::now();
    assert_eq!(users.count(Filter::all()).await.unwrap_err().code(), &ErrorCode::Unavailable);
    let listening = users.subscription(Filter::all()).listen().await;
    assert_eq!(listening.unwrap_err().code(), &ErrorCode::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
