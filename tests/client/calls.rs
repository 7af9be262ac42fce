//! Methods and events, by their traits and by their ids.

use modeller::prelude::*;
use serde_json::json;

use crate::support::{
    CANARY, PingMethod, Promote, PromoteMethod, Role, Say, ShoutEvent, SlowlyMethod, User, WhoamiMethod, served, user,
};

/// The same line in process and over the wire.
async fn promoted(users: &impl PromoteMethod, id: Id<User>) -> Result<Doc<User>> {
    users.promote(Promote { id, reason: CANARY.into() }).await
}

#[tokio::test]
async fn methods_are_called_by_their_traits() {
    let served = served().await;
    let (here, there) = (served.app.model::<User>(), served.users());
    let ada = here.insert(user("ada")).await.unwrap();
    let once = promoted(&here, ada.id()).await.unwrap();
    let twice = promoted(&there, ada.id()).await.unwrap();
    assert_eq!((once.age, twice.age, twice.role.clone()), (37, 38, Role::Admin));
    // The answer of the one in process has what is private, the other one does not.
    assert_eq!(once.password.get().map(String::as_str), Some(CANARY));
    assert_eq!((twice.password.get(), twice.hint.get()), (None, None));
    assert_eq!(there.ping().await.unwrap(), "pong");
    // One that is no transaction has no key.
    assert_eq!(there.slowly(ada.id()).await.unwrap(), 39);
    assert_eq!(there.call("slowly", json!(ada.id())).await.unwrap(), json!(40));

    let refused = Promote { id: ada.id(), reason: "because".into() };
    let (a, b) = (here.promote(refused.clone()).await.unwrap_err(), there.promote(refused).await.unwrap_err());
    assert_eq!((b.to_json(), b.http_status()), (a.to_json(), 402));
    assert_eq!(there.whoami().await.unwrap_err().code(), &ErrorCode::Unauthenticated);
    let args = json!({"id": ada.id(), "reason": CANARY});
    assert_eq!(there.call("promote", args.clone()).await.unwrap()["age"], 41);
    for _ in 0..2 {
        let answer = there.call_once("0123456789abcdef-key", "promote", args.clone()).await.unwrap();
        assert_eq!(answer["age"], 42);
    }
    let other = there.call_once("0123456789abcdef-key", "promote", json!({"id": ada.id(), "reason": "x"})).await;
    assert_eq!(other.unwrap_err().code(), &ErrorCode::IdempotencyMismatch);
}

#[tokio::test]
async fn events_are_dispatched_by_their_traits() {
    let served = served().await;
    let admins = served.users().subscription(User::ROLE.eq(Role::Admin));
    let mut heard = served.app.model::<User>().subscription(User::ROLE.eq(Role::Admin)).listen();
    assert_eq!(admins.shout(Say { text: "hello".into() }).await.unwrap(), 5);
    assert_eq!(admins.dispatch("shout", json!({"text": "again"})).await.unwrap(), json!(5));
    for text in ["hello", "again"] {
        let Some(Heard::Payload { payload, .. }) = heard.next().await else { panic!("nothing was heard") };
        assert_eq!(payload, json!(text));
    }
    let error = admins.shout(Say { text: String::new() }).await.unwrap_err();
    assert_eq!((error.code(), error.violations()[0].instance_path.as_str()), (&ErrorCode::ValidationError, "/text"));
    assert_eq!(admins.dispatch("nothing", json!({})).await.unwrap_err().code(), &ErrorCode::EventNotFound);
}
