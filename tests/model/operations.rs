//! Methods, events, subscriptions and workers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use modeller::prelude::*;
use serde_json::json;

#[model(id = "users", public)]
pub struct User {
    #[field(unique, format = "email")]
    pub email: String,
    #[field(min_length = 12)]
    pub password: Private<String>,
    #[field(index, default)]
    pub role: Role,
}

#[value]
#[derive(Default, PartialEq)]
pub enum Role {
    #[default]
    User,
    Admin,
}

#[value]
pub struct Promote {
    #[field(format = "email")]
    pub email: String,
}

#[value]
pub struct RoleChange {
    pub email: String,
    pub role: Role,
}

#[method(User)]
async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
}

/// Runs a method from a method: one transaction.
#[method(User)]
async fn promote_all(emails: Vec<String>, users: Model<User>) -> Result<usize> {
    for email in &emails {
        users.promote(Promote { email: email.clone() }).await?;
    }
    Ok(emails.len())
}

#[event(User)]
async fn role_changed(args: RoleChange, room: Subscription<User>, users: Model<User>) -> Result<Doc<User>> {
    let user = users.update(User::EMAIL.eq(args.email), User::ROLE.set(args.role)).await?;
    room.publish(&json!({"type": "role-changed", "_id": user.id()})).await?;
    Ok(user)
}

#[method(User)]
async fn publish_and_fail(users: Model<User>) -> Result<()> {
    users.subscription(User::ROLE.eq(Role::Admin)).publish("never").await?;
    Err(Error::new("ON_PURPOSE"))
}

static TICKS: AtomicU32 = AtomicU32::new(0);

#[worker(User, every = "20ms")]
async fn tick(users: Model<User>) -> Result<()> {
    let count = TICKS.fetch_add(1, Ordering::Relaxed);
    users.count(Filter::all()).await?;
    match count {
        1 => Err(Error::new("ON_PURPOSE")),
        #[expect(clippy::panic, reason = "a worker goes on after a panic")]
        2 => panic!("on purpose"),
        _ => Ok(()),
    }
}

static LATE: AtomicU32 = AtomicU32::new(0);

#[worker(User, every = "1h", immediate = false)]
async fn late() -> Result<()> {
    LATE.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[worker(User, every = "1ms", id = "once")]
async fn stops_itself(users: Model<User>) -> Result<()> {
    assert!(users.stop_worker("once"));
    ONCE.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

static ONCE: AtomicU32 = AtomicU32::new(0);

async fn app() -> App {
    App::new().model::<User>().in_memory().open().await.unwrap()
}

fn user(email: &str) -> User {
    User { email: email.into(), password: "correct horse battery".into(), role: Role::User }
}

#[tokio::test]
async fn a_method_is_a_method() {
    let app = app().await;
    let users = app.model::<User>();
    users.insert(user("ada@example.com")).await.unwrap();
    let ada = users.promote(Promote { email: "ada@example.com".into() }).await.unwrap();
    assert_eq!(ada.role, Role::Admin);
    let by_id = users.call("promote", json!({"email": "ada@example.com"})).await.unwrap();
    assert_eq!((&by_id["role"], by_id.get("password")), (&json!("admin"), None));
    assert_eq!(users.methods(), ["promote", "promote_all", "publish_and_fail"]);
}

#[tokio::test]
async fn arguments_are_checked_by_type_and_by_id() {
    let app = app().await;
    let users = app.model::<User>();
    let typed = users.promote(Promote { email: "nobody".into() }).await.unwrap_err();
    let by_id = users.call("promote", json!({"email": "nobody"})).await.unwrap_err();
    assert_eq!(typed.violations(), by_id.violations());
    assert_eq!(typed.violations()[0].instance_path, "/email");
    let unknown = users.call("promote", json!({"email": "a@b.c", "x": 1})).await.unwrap_err();
    assert_eq!(unknown.violations()[0].keyword, "additionalProperties");
    let missing = users.call("nothing", json!({})).await.unwrap_err();
    assert_eq!((missing.code(), missing.get("id").unwrap()), (&ErrorCode::MethodNotFound, &json!("nothing")));
}

#[tokio::test]
async fn a_method_in_a_method_is_one_transaction() {
    let app = app().await;
    let users = app.model::<User>();
    users.insert(user("a@example.com")).await.unwrap();
    let seq = app.seq();
    let error = users.promote_all(vec!["a@example.com".into(), "b@example.com".into()]).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::NotFound);
    assert_eq!((app.seq(), users.count(User::ROLE.eq(Role::Admin)).await.unwrap()), (seq, 0));
    assert_eq!(users.promote_all(vec!["a@example.com".into()]).await.unwrap(), 1);
    assert_eq!(app.seq(), seq + 1);
}

#[tokio::test]
async fn an_event_goes_through_its_room() {
    let app = app().await;
    let users = app.model::<User>();
    users.insert(user("ada@example.com")).await.unwrap();
    let admins = users.subscription(User::ROLE.eq(Role::Admin));
    let same = users.subscription(Filter::parse(&json!({"role": {"$eq": "admin"}})).unwrap());
    let others = users.subscription(User::ROLE.eq(Role::User));
    assert_eq!((admins.id(), admins.room()), (same.id(), r#"{"role":"admin"}"#));
    assert_ne!(admins.id(), others.id());
    let (mut heard, mut unheard) = (same.listen(), others.listen());
    let ada = admins.role_changed(RoleChange { email: "ada@example.com".into(), role: Role::Admin }).await.unwrap();
    let payload = json!({"type": "role-changed", "_id": ada.id()});
    // The answer comes after what was published.
    assert_eq!(heard.next().await, Some(Heard::Payload { seq: app.seq(), payload }));
    let missing = admins.dispatch("nothing", json!({})).await.unwrap_err();
    assert_eq!(missing.code(), &ErrorCode::EventNotFound);
    assert_eq!(admins.dispatch("role_changed", json!({})).await.unwrap_err().code(), &ErrorCode::ValidationError);
    assert_eq!(admins.events(), ["role_changed"]);
    assert!(tokio::time::timeout(Duration::from_millis(20), unheard.next()).await.is_err());
}

#[tokio::test]
async fn what_a_failed_transaction_published_is_never_heard() {
    let app = app().await;
    let users = app.model::<User>();
    let admins = users.subscription(User::ROLE.eq(Role::Admin));
    let mut heard = admins.listen();
    assert!(users.publish_and_fail().await.is_err());
    admins.publish("then").await.unwrap();
    assert!(matches!(heard.next().await, Some(Heard::Payload { payload, .. }) if payload == json!("then")));
}

#[tokio::test]
async fn a_slow_listener_is_told_what_it_missed() {
    let app = app().await;
    let room = app.model::<User>().subscription(Filter::all());
    let mut slow = room.listen();
    for n in 0..1_500 {
        room.publish(&n).await.unwrap();
    }
    assert_eq!(slow.next().await, Some(Heard::Missed(1_500 - 1_024)));
    assert!(matches!(slow.next().await, Some(Heard::Payload { payload, .. }) if payload == json!(476)));
}

#[tokio::test]
async fn workers_go_on_and_stop() {
    let app = app().await;
    let users = app.model::<User>();
    assert!(!users.is_running("tick"));
    app.start_workers();
    assert!(users.is_running("tick") && users.is_running("late"));
    for _ in 0..200 {
        if TICKS.load(Ordering::Relaxed) >= 6 && !users.is_running("once") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(TICKS.load(Ordering::Relaxed) >= 6, "an error or a panic ended the worker");
    assert_eq!((LATE.load(Ordering::Relaxed), ONCE.load(Ordering::Relaxed)), (0, 1));
    assert!(users.stop_worker("tick") && !users.stop_worker("nothing"));
    assert!(!users.is_running("tick") && users.is_running("late"));
    assert!(users.start_worker("tick") && users.is_running("tick"));
    app.stop_workers().await;
    let ticks = TICKS.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(TICKS.load(Ordering::Relaxed), ticks);
}

#[tokio::test]
async fn private_fields_stay_in() {
    let app = app().await;
    let users = app.model::<User>();
    let short = User { password: "short".into(), ..user("a@example.com") };
    let error = users.insert(short).await.unwrap_err();
    assert_eq!(error.violations()[0].instance_path, "/password");
    assert!(!format!("{error:?} {error} {}", error.to_json()).contains("\"short\""));
    let ada = users.insert(user("ada@example.com")).await.unwrap();
    assert_eq!(ada.password.get().unwrap(), "correct horse battery");
    assert!(!serde_json::to_string(&ada).unwrap().contains("horse"));
    assert!(!format!("{ada:?}").contains("horse"));
    let found = users.get(User::PASSWORD.eq("correct horse battery".to_owned())).await.unwrap();
    assert!(found.is_some(), "in process it is read, and so compared");
}
