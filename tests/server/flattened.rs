//! Members of flattened types over HTTP: known, checked, and private where they are.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{CANARY, ask};

#[value]
pub struct Key {
    pub token: Private<String>,
    #[field(minimum = 1)]
    pub version: u32,
}

#[model(id = "flats", public)]
pub struct Flat {
    #[field(unique)]
    pub name: String,
    #[serde(flatten)]
    pub key: Key,
}

#[tokio::test]
async fn what_is_flattened_is_a_part_of_the_document() {
    let app = App::new().model::<Flat>().in_memory().open().await.unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/flats", json!({"name": "a", "token": CANARY, "version": 2})).await;
    assert_eq!((made.status.as_u16(), made.json()["version"].clone()), (201, json!(2)));
    let path = format!("/flats/{}", made.json()["_id"].as_str().unwrap());
    let replaced = ask(&router, "PUT", &path, json!({"name": "a", "version": 3})).await;
    assert_eq!((replaced.status.as_u16(), replaced.json()["version"].clone()), (200, json!(3)));
    let stored = app.model::<Flat>().get(Flat::NAME.eq("a")).await.unwrap().unwrap();
    assert_eq!(stored.key.token.get().map(String::as_str), Some(CANARY), "kept");

    let found =
        ask(&router, "GET", "/flats?filter=%7B%22version%22%3A3%7D&sort=%7B%22version%22%3A1%7D", Value::Null).await;
    assert_eq!(found.json()["items"].as_array().unwrap().len(), 1);
    for name in ["token", "key", "nothing"] {
        let path = format!("/flats?filter=%7B%22{name}%22%3A3%7D");
        let problem = ask(&router, "GET", &path, Value::Null).await.assert_problem(400, "INVALID_QUERY");
        let text = problem.to_string().replace(name, "…");
        assert!(text.contains("has no such field"), "{text}");
    }
    for (body, place, keyword) in [
        (json!({"name": "b", "token": CANARY, "version": 0}), "/version", "minimum"),
        (json!({"name": "b", "version": 1}), "", "required"),
        (json!({"name": "b", "token": CANARY, "version": 1, "key": {}}), "", "additionalProperties"),
    ] {
        let problem = ask(&router, "POST", "/flats", body).await.assert_problem(422, "VALIDATION_ERROR");
        let error = &problem["errors"][0];
        assert_eq!((&error["instancePath"], &error["keyword"]), (&json!(place), &json!(keyword)));
    }
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let fields = metadata["models"][0]["fields"].as_array().unwrap();
    let names: Vec<(&str, bool)> =
        fields.iter().map(|field| (field["name"].as_str().unwrap(), field["private"] == true)).collect();
    assert_eq!(names, [("name", false), ("token", true), ("version", false)]);
}
