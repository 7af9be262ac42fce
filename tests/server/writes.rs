//! Writes to many documents, ids of the client's choice, and what makes a document where there is none.

use axum::Router;
use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{CANARY, ask, ask_with, serve};

#[model(id = "labels", public, client_ids)]
pub struct Label {
    #[field(unique, min_length = 2)]
    pub name: String,
    #[field(index, default)]
    pub uses: i64,
    #[field(default)]
    pub key: Private<Option<String>>,
}

#[model(id = "plain_labels", public)]
pub struct PlainLabel {
    #[field(unique)]
    pub name: String,
}

async fn app() -> App {
    App::new().model::<Label>().model::<PlainLabel>().in_memory().open().await.unwrap()
}

async fn names(router: &Router, model: &str) -> Vec<String> {
    let list = ask(router, "GET", &format!("/{model}"), Value::Null).await.json();
    let name = |doc: &Value| doc["name"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_list_is_inserted_wholly_or_not_at_all() {
    let app = app().await;
    let router = app.router();
    let seq = app.seq();
    let made = ask(&router, "POST", "/plain_labels", json!([{"name": "red"}, {"name": "blue"}])).await;
    let body = made.json();
    assert_eq!((made.status.as_u16(), app.seq()), (201, seq + 1), "one commit");
    assert_eq!((&body["items"][0]["name"], &body["items"][1]["name"]), (&json!("red"), &json!("blue")));
    assert_eq!(ask(&router, "POST", "/plain_labels", json!([])).await.json(), json!({"items": []}));

    let taken = ask(&router, "POST", "/plain_labels", json!([{"name": "green"}, {"name": "red"}])).await;
    let problem = taken.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!((&problem["index"], &problem["field"]), (&json!(1), &json!("name")));
    let wrong = json!([{"name": "green"}, {"name": 7, "_id": "x"}, 1]);
    let problem = ask(&router, "POST", "/plain_labels", wrong).await.assert_problem(422, "VALIDATION_ERROR");
    let places: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["instancePath"].as_str().unwrap()).collect();
    assert_eq!((places, &problem["index"]), (vec!["/1", "/1/name"], &json!(1)));
    let many: Value = (0..10_001).map(|n| json!({"name": n.to_string()})).collect();
    ask(&router, "POST", "/plain_labels", many).await.assert_problem(413, "TRANSACTION_TOO_LARGE");
    assert_eq!((names(&router, "plain_labels").await, app.seq()), (vec!["red".to_owned(), "blue".to_owned()], seq + 1));
}

#[tokio::test]
async fn ids_are_chosen_by_clients_only_where_the_model_says_so() {
    let router = app().await.router();
    let made = ask(&router, "POST", "/labels", json!({"_id": "red", "name": "red"})).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location"), &made.json()["_id"]),
        (201, "/labels/red", &json!("red"))
    );
    let problem = ask(&router, "POST", "/labels", json!({"_id": "red", "name": "other"})).await;
    assert_eq!(problem.assert_problem(409, "UNIQUE_VIOLATION")["field"], "_id");
    for id in [json!(7), json!("a/b"), json!(""), json!("@x"), json!(null), json!("x".repeat(129))] {
        let problem = ask(&router, "POST", "/labels", json!({"_id": id, "name": "x"})).await;
        let errors = problem.assert_problem(422, "VALIDATION_ERROR")["errors"].clone();
        let places: Vec<&Value> = errors.as_array().unwrap().iter().map(|error| &error["instancePath"]).collect();
        assert_eq!(places, ["/_id", "/name"], "all that is wrong at once: {id}");
    }
    ask(&router, "POST", "/labels", json!({"_rev": 1, "name": "xx"})).await.assert_problem(422, "VALIDATION_ERROR");
    let several = ask(&router, "POST", "/labels", json!([{"_id": "a", "name": "aa"}, {"name": "bb"}])).await.json();
    assert_eq!((&several["items"][0]["_id"], several["items"][1]["_id"].as_str().unwrap().len()), (&json!("a"), 36));
    for body in [json!({"_id": "red", "name": "red"}), json!([{"_id": "red", "name": "red"}])] {
        ask(&router, "POST", "/plain_labels", body).await.assert_problem(422, "VALIDATION_ERROR");
    }
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let chosen: Vec<&Value> = metadata["models"].as_array().unwrap().iter().map(|model| &model["clientIds"]).collect();
    assert_eq!(chosen, [&json!(true), &json!(false)]);
}

#[tokio::test]
async fn a_put_makes_what_is_not_there() {
    let app = app().await;
    let router = app.router();
    let made = ask(&router, "PUT", "/labels/red", json!({"name": "red", "key": CANARY})).await;
    assert_eq!((made.status.as_u16(), made.header("location"), &made.json()["uses"]), (201, "/labels/red", &json!(0)));
    let again = ask(&router, "PUT", "/labels/red", json!({"name": "red", "uses": 4})).await;
    assert_eq!((again.status.as_u16(), &again.json()["uses"]), (200, &json!(4)));
    let stored = app.model::<Label>().get(Label::NAME.eq("red")).await.unwrap().unwrap();
    assert_eq!(stored.key.get().and_then(Option::as_deref), Some(CANARY), "kept");

    // RFC 9110 §13.1.
    let only_new = [("if-none-match", "*")];
    ask_with(&router, "PUT", "/labels/red", json!({"name": "red"}), &only_new).await.assert_problem(412, "CONFLICT");
    assert_eq!(ask_with(&router, "PUT", "/labels/blue", json!({"name": "blue"}), &only_new).await.status, 201);
    ask_with(&router, "PUT", "/labels/pink", json!({"name": "pink"}), &[("if-none-match", "\"7\"")])
        .await
        .assert_problem(400, "INVALID_REQUEST");
    for tag in ["*", "\"7\""] {
        ask_with(&router, "PUT", "/labels/pink", json!({"name": "pink"}), &[("if-match", tag)])
            .await
            .assert_problem(404, "NOT_FOUND");
    }
    let problem = ask(&router, "PUT", "/labels/pink", json!({"name": "red"})).await;
    assert_eq!(problem.assert_problem(409, "UNIQUE_VIOLATION")["field"], "name");
    ask(&router, "PUT", "/labels/pink", json!({"name": "x"})).await.assert_problem(422, "VALIDATION_ERROR");
    ask(&router, "PUT", "/labels/@x", json!({"name": "xx"})).await.assert_problem(404, "NOT_FOUND");

    let plain = ask(&router, "POST", "/plain_labels", json!({"name": "red"})).await.json();
    let path = format!("/plain_labels/{}", plain["_id"].as_str().unwrap());
    ask_with(&router, "PUT", &path, json!({"name": "red"}), &only_new).await.assert_problem(412, "CONFLICT");
    for headers in [&only_new[..], &[]] {
        ask_with(&router, "PUT", "/plain_labels/x", json!({"name": "x"}), headers)
            .await
            .assert_problem(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn all_that_match_are_changed_or_deleted() {
    let router = app().await.router();
    let labels: Value = (0..6).map(|n| json!({"name": format!("label {n}"), "uses": n, "key": CANARY})).collect();
    assert_eq!(ask(&router, "POST", "/labels", labels).await.status, 201);
    let some = "/labels?filter=%7B%22uses%22%3A%7B%22%24gte%22%3A3%7D%7D";
    assert_eq!(ask(&router, "PATCH", some, json!({"$inc": {"uses": 10}})).await.json(), json!({"updated": 3}));
    assert_eq!(ask(&router, "PATCH", some, json!({"uses": 3})).await.json(), json!({"updated": 3}));
    // The second of them cannot have the name of the first.
    ask(&router, "PATCH", some, json!({"name": "same"})).await.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!(names(&router, "labels").await.len(), 6);
    assert_eq!(ask(&router, "DELETE", some, Value::Null).await.json(), json!({"deleted": 3}));
    assert_eq!(ask(&router, "DELETE", some, Value::Null).await.json(), json!({"deleted": 0}));
    assert_eq!(names(&router, "labels").await, ["label 0", "label 1", "label 2"]);

    let private = "/labels?filter=%7B%22key%22%3A%22x%22%7D";
    for (path, place) in [("/labels", "filter"), ("/labels?filter=%7B%7D&limit=1", ""), (private, "key")] {
        for method in ["PATCH", "DELETE"] {
            let problem = ask(&router, method, path, json!({"uses": 1})).await.assert_problem(400, "INVALID_QUERY");
            assert_eq!(problem["path"], place, "{method} {path}");
        }
    }
    ask_with(&router, "DELETE", "/labels?filter=%7B%7D", Value::Null, &[("if-match", "\"1\"")])
        .await
        .assert_problem(400, "INVALID_REQUEST");
    assert_eq!(ask(&router, "DELETE", "/labels?filter=%7B%7D", Value::Null).await.json(), json!({"deleted": 3}));
}

#[value]
pub struct CountUp {
    pub by: i64,
}

/// Counts the uses of the first label up, and answers how many those are.
#[method(Label)]
async fn count_up(args: CountUp, labels: Model<Label>) -> Result<i64> {
    Ok(labels.update(Filter::all(), Label::USES.inc(args.by)).await?.uses)
}

#[tokio::test]
async fn a_call_with_an_idempotency_key_is_made_once() {
    const K1: &str = "key-number-one-1";
    const K2: &str = "key-number-two-2";
    let app = app().await;
    app.model::<Label>().insert(Label { name: "red".into(), uses: 0, key: None.into() }).await.unwrap();
    let router = app.router();
    let call = async |key: &str, by: i64| {
        ask_with(&router, "POST", "/labels/count_up", json!({"by": by}), &[("idempotency-key", key)]).await
    };
    assert_eq!(call(K1, 2).await.json(), 2);
    assert_eq!(call(K1, 2).await.json(), 2);
    assert_eq!(call(&format!("\"{K1}\""), 2).await.json(), 2, "as the string of a structured field");
    call(K1, 3).await.assert_problem(422, "IDEMPOTENCY_MISMATCH");
    assert_eq!(call(K2, 2).await.json(), 4);
    for wrong in ["", "a b", "too-short", &"k".repeat(256)] {
        call(wrong, 2).await.assert_problem(400, "INVALID_REQUEST");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let refused = ask_with(&router, "POST", "/labels/count_up", json!({"by": 1}), &twice).await;
    refused.assert_problem(400, "INVALID_REQUEST");

    // The same key on a socket is the same call.
    let served = serve(app.clone()).await;
    let mut socket = served.socket(None).await;
    let params = |key: Value| json!({"model": "labels", "method": "count_up", "args": {"by": 2}, "key": key});
    assert_eq!(socket.ask("call", params(json!(K2))).await["result"], 4);
    assert_eq!(socket.ask("call", params(json!("key-number-three"))).await["result"], 6);
    assert_eq!(socket.ask("call", params(json!("key-number-three"))).await["result"], 6);
    for wrong in [json!(1), json!(null), json!("a b"), json!("too-short")] {
        assert_eq!(socket.ask("call", params(wrong)).await["error"]["data"]["code"], "INVALID_REQUEST");
    }
    assert_eq!(app.model::<Label>().find(Filter::all()).await.unwrap()[0].uses, 6);
}

/// Beside what was given, which run it is that answers.
#[method(Label)]
async fn which_run(args: CountUp, call: Call, labels: Model<Label>) -> Result<(i64, u32)> {
    labels.count(Filter::all()).await?;
    Ok((args.by, call.attempt()))
}

#[tokio::test]
async fn the_second_run_of_a_call_is_given_the_same() {
    let app = modeller::test::TestApp::open(|| App::new().model::<Label>()).await.unwrap();
    let answer = ask(&app.router(), "POST", "/labels/which_run", json!({"by": 7})).await;
    assert_eq!(answer.json(), json!([7, 2]));
}
