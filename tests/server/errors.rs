//! The errors of the reference, each by every door: in process, over HTTP, on a socket.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{User, ask, served, user};

/// What an error says by each door: by the model's handle, as a problem body, and as `error.data` of a frame.
struct Doors {
    served: crate::support::Served,
    socket: crate::support::Socket,
}

impl Doors {
    async fn open() -> Self {
        let served = served().await;
        let socket = served.socket(None).await;
        Self { served, socket }
    }

    /// Calls a method by all three doors, and answers the body that all of them have in common.
    async fn call(&mut self, id: &str) -> Value {
        let inside = self.served.app.model::<User>().call(id, json!(null)).await.unwrap_err().to_json();
        let http = ask(&self.served.app.router(), "POST", &format!("/users/{id}"), Value::Null).await;
        assert_eq!(http.status.as_u16(), inside["status"].as_u64().unwrap() as u16);
        let frame = self.socket.ask("call", json!({"model": "users", "method": id})).await;
        assert_eq!((&http.json(), &frame["error"]["data"]), (&inside, &inside));
        inside
    }
}

#[tokio::test]
async fn e2_unique_violation_with_the_field() {
    let served = served().await;
    let users = served.app.model::<User>();
    let router = served.app.router();
    let insert = |email: &str| User {
        email: email.into(),
        password: "long enough now".to_owned().into(),
        role: crate::support::Role::User,
        age: 0,
    };
    let ada = users.insert(insert("ada@example.com")).await.unwrap();
    let bob = users.insert(insert("bob@example.com")).await.unwrap();
    let on_insert = users.insert(insert("ada@example.com")).await.unwrap_err();
    let on_update = users.update(&bob, User::EMAIL.set("ada@example.com")).await.unwrap_err();
    let http = ask(&router, "POST", "/users", user("ada@example.com")).await.assert_problem(409, "UNIQUE_VIOLATION");
    for body in [on_insert.to_json(), on_update.to_json(), http] {
        assert_eq!((&body["code"], &body["field"]), (&json!("UNIQUE_VIOLATION"), &json!("email")));
    }
    // The same value again in the same document is not another document's.
    users.update(&ada, User::EMAIL.set("ada@example.com")).await.unwrap();
    users.delete(&ada).await.unwrap();
    users.update(&bob, User::EMAIL.set("ada@example.com")).await.unwrap();
}

#[tokio::test]
async fn e3_what_is_not_found_says_its_id() {
    let mut doors = Doors::open().await;
    let method = doors.call("nothing").await;
    assert_eq!((&method["code"], &method["id"]), (&json!("METHOD_NOT_FOUND"), &json!("nothing")));
    let room = doors.served.app.model::<User>().subscription(Filter::all());
    let inside = room.dispatch("nothing", json!({})).await.unwrap_err().to_json();
    let params = json!({"model": "users", "filter": {}, "event": "nothing", "args": {}});
    let frame = doors.socket.ask("dispatch", params).await;
    for body in [&inside, &frame["error"]["data"]] {
        assert_eq!((&body["code"], &body["id"]), (&json!("EVENT_NOT_FOUND"), &json!("nothing")));
    }
    // There is an event of that id, and a method of that one: neither is the other.
    assert_eq!(doors.call("shout").await["code"], "METHOD_NOT_FOUND");
    room.dispatch("shout", json!({"text": "x"})).await.unwrap();
}

#[tokio::test]
async fn e4_an_error_with_a_code_of_its_own_reaches_the_caller() {
    let mut doors = Doors::open().await;
    let body = doors.call("quota").await;
    assert_eq!((&body["code"], &body["limit"], &body["status"]), (&json!("QUOTA_EXCEEDED"), &json!(3), &json!(402)));
    assert_eq!(body["detail"], "only 3 are free");
}
