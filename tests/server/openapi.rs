//! The description of a server in OpenAPI, by tools of others: one that reads it, and one that asks the server at random whether
//! what it promises is so. And the metadata in the form of draft-07.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use modeller_tests::Folder;
use modeller_tests::described::builder;
use modeller_tests::node::Node;
use modeller_tests::schemathesis::{exercise, tool};
use serde_json::{Map, Value, json};

use crate::support::{ask, ask_with};

async fn described(verified: bool) -> (axum::Router, Value, String) {
    let app = builder().in_memory().open().await.unwrap();
    let claims = Map::from_iter([("sub".to_owned(), "ada".into())]);
    let bearer = format!("Bearer {}", app.sign_token(claims, Duration::from_secs(60)).unwrap());
    let router = app.router();
    let headers = [("authorization", bearer.as_str())];
    let answer = ask_with(&router, "GET", "/@openapi.json", Value::Null, if verified { &headers } else { &[] }).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    (router, answer.json(), bearer)
}

#[tokio::test]
#[cfg_attr(not(has_schemathesis), ignore = "needs the Python packages that .ci/run installs")]
async fn a_validator_of_others_takes_the_description() {
    let folder = Folder::new();
    for verified in [false, true] {
        let (_, description, _) = described(verified).await;
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, description.to_string()).unwrap();
        let output = Command::new(tool("openapi-spec-validator")).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("OK"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn a_caller_is_told_what_he_may_reach_and_know() {
    let (_, of_anyone, _) = described(false).await;
    let (_, of_verified, _) = described(true).await;
    let has = |description: &Value, path: &str| description["paths"].get(path).is_some();
    for (path, for_anyone) in [
        ("/people/{id}", true),
        ("/people/oldest", false),
        ("/notes", false),
        ("/me", false),
        ("/squares/{number}", true),
    ] {
        assert_eq!((has(&of_anyone, path), has(&of_verified, path)), (for_anyone, true), "{path}");
    }
    let schemas = |description: &Value| description["components"]["schemas"].clone();
    let (anyone, verified) = (schemas(&of_anyone), schemas(&of_verified));
    // What is protected is not there for anyone; what is private comes in, and never goes out.
    assert!(
        anyone["people"]["properties"].get("salary").is_none()
            && anyone["Input.people"]["properties"].get("salary").is_none()
    );
    assert!(verified["people"]["properties"].get("salary").is_some());
    for schemas in [&anyone, &verified] {
        assert!(schemas["people"]["properties"].get("password").is_none());
        assert_eq!(schemas["Input.people"]["properties"]["password"]["writeOnly"], true);
        assert!(schemas["Def.people.Home"]["properties"].get("key").is_none());
        assert_eq!(schemas["Def.Input.people.Home"]["properties"]["key"]["writeOnly"], true);
        assert!(schemas["pages"]["properties"].get("draft").is_none());
        assert!(schemas["Output.people.oldest"].to_string().matches("password").count() == 0);
    }
    assert_eq!(of_verified["paths"]["/people/{id}"]["get"]["operationId"], "people.get");
    assert_eq!(of_verified["paths"]["/notes"]["get"]["security"], json!([{"bearer": []}]));
    assert_eq!(of_verified["paths"]["/squares/{number}"]["get"]["summary"], "The square of a number.");
    // Every operation has an id of its own, and every reference leads somewhere.
    for description in [&of_anyone, &of_verified] {
        let paths = description["paths"].as_object().unwrap().values();
        let mut ids: Vec<&str> = paths
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        let mut found = Vec::new();
        references(description, &mut found);
        assert!(found.len() > 50);
        for path in found {
            assert!(description.pointer(path.strip_prefix('#').unwrap()).is_some_and(|it| !it.is_null()), "{path}");
        }
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|inner| references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[tokio::test]
#[cfg_attr(not(has_ajv), ignore = "needs the npm packages that .ci/run installs")]
async fn the_default_class_of_ajv_reads_the_metadata_in_draft_07() {
    let (router, _, bearer) = described(true).await;
    let headers = [("authorization", bearer.as_str())];
    let metadata = ask_with(&router, "GET", "/@metadata?draft=07", Value::Null, &headers).await.json();
    let model = |id: &str| metadata["models"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap();
    let mut ajv = Node::start("draft07.mjs");
    let mut judged = |schema: &Value, good: Value, bad: Value| {
        let said = ajv.ask(&json!({"schema": schema, "good": good, "bad": bad}));
        let all = |name: &str, fits: bool| said[name].as_array().is_some_and(|all| all.iter().all(|it| *it == fits));
        assert!(all("good", true) && all("bad", false), "{said}: {schema}");
    };
    let people = &model("people")["schema"];
    assert_eq!(people["$schema"], "http://json-schema.org/draft-07/schema#");
    assert!(!people.to_string().contains("$defs"));
    judged(
        people,
        json!([{"email": "a", "role": "admin", "homes": [{"town": "x", "size": 1.5}]}]),
        json!([{"email": "a", "role": "king"}, {"email": "a", "homes": [{"town": "", "size": 1}]}, {"email": 1}, {"email": "a", "age": 151}]),
    );
    let operation = |id: &str| {
        model("people")["operations"]
            .as_array()
            .unwrap()
            .iter()
            .find(|operation| operation["id"] == id)
            .unwrap()
            .clone()
    };
    judged(&operation("echo")["args"], json!([{"text": "a"}]), json!([{"text": ""}, {"text": "a", "times": 6}, {}]));
    judged(&operation("oldest")["output"], json!([null]), json!([5, {}]));
    let route = metadata["routes"].as_array().unwrap().iter().find(|route| route["id"] == "square").unwrap();
    judged(&route["query"], json!([{}, {"times": 2, "between": null}]), json!([{"times": 4}, {"more": 1}]));
    // Without it, and by its name, they are in the form that they are written in.
    for query in ["", "?draft=2020-12"] {
        let metadata = ask(&router, "GET", &format!("/@metadata{query}"), Value::Null).await.json();
        assert_eq!(metadata["models"][1]["schema"]["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
    for query in ["?draft=04", "?draft=07&draft=07", "?drift=07"] {
        ask(&router, "GET", &format!("/@metadata{query}"), Value::Null).await.assert_problem(400, "INVALID_QUERY");
    }
}

#[test]
#[ignore = "half a minute; run by .ci/run"]
fn nothing_is_found_by_asking_the_server_at_random() {
    exercise(Path::new(env!("CARGO_BIN_EXE_described")), &[]);
    // As a verified caller, who is told of more.
    let app = tokio::runtime::Runtime::new().unwrap().block_on(builder().in_memory().open()).unwrap();
    let claims = Map::from_iter([("sub".to_owned(), "ada".into())]);
    let token = app.sign_token(claims, Duration::from_secs(86_400)).unwrap();
    exercise(Path::new(env!("CARGO_BIN_EXE_described")), &["--header", &format!("Authorization: Bearer {token}")]);
}
