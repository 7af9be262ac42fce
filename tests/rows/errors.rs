//! E1 to E4.

use modeller::HookEvent;
use modeller::prelude::*;
use serde_json::{Value, json};

use crate::{MODELS, SECRET, User, user, world};

#[tokio::test]
async fn e1_all_violations_at_once_as_ajv_tells_them() {
    let world = world().await;
    for model in MODELS {
        let wrong = json!({"email": 5, "password": "short", "age": 1.5, "role": "king", "extra": true});
        let (status, problem) = world.ask("POST", &format!("/{model}"), wrong.clone()).await;
        assert_eq!((status, &problem["code"]), (422, &json!("VALIDATION_ERROR")), "{model}");
        let errors = problem["errors"].as_array().unwrap();
        for error in errors {
            let mut members: Vec<&str> = error.as_object().unwrap().keys().map(String::as_str).collect();
            members.sort_unstable();
            assert_eq!(members, ["instancePath", "keyword", "message", "params", "schemaPath"], "{model}");
        }
        let find = |place: &str| errors.iter().find(|error| error["instancePath"] == place).unwrap().clone();
        assert_eq!(
            find("/email"),
            json!({"instancePath": "/email", "keyword": "type", "message": "must be string",
                   "params": {"type": "string"}, "schemaPath": "#/properties/email/type"})
        );
        assert_eq!(
            find("/password"),
            json!({"instancePath": "/password", "keyword": "minLength", "message": "must NOT have fewer than 12 characters",
                   "params": {"limit": 12}, "schemaPath": "#/properties/password/minLength"})
        );
        assert_eq!(find("")["params"], json!({"additionalProperty": "extra"}));
        let king = find("/role");
        assert_eq!(king["params"]["allowedValues"], json!(["user", "admin"]), "{model}");
        assert_eq!(find("/age")["message"], "an age is a number of years");
        assert_eq!(errors.len(), 5, "{model}: {problem}");
        let error = world.model(model).insert(wrong.try_into().unwrap()).await.unwrap_err();
        assert_eq!((error.code(), &error.to_json()["errors"]), (&ErrorCode::ValidationError, &problem["errors"]));
        // The same of a change, and of the element of a list, which it names.
        let made = world.inserted(model, user("a")).await;
        let path = format!("/{model}/{}", made["_id"].as_str().unwrap());
        for (method, path, body) in [
            ("PATCH", path.clone(), json!({"password": "short"})),
            ("PATCH", path.clone(), json!({"$set": {"password": "short"}})),
            ("PUT", path.clone(), json!({"email": "a@example.com", "password": "short"})),
        ] {
            let (status, problem) = world.ask(method, &path, body).await;
            assert_eq!((status, &problem["errors"][0]), (422, &find("/password")), "{model} {method}");
        }
        let second = json!([user("b"), {"email": "c@example.com", "password": "short"}]);
        let (status, problem) = world.ask("POST", &format!("/{model}"), second).await;
        assert_eq!((status, &problem["errors"][0]["instancePath"]), (422, &json!("/1/password")), "{model}");
    }
}

#[tokio::test]
async fn e2_unique_violation_names_the_field() {
    let world = world().await;
    for model in MODELS {
        world.inserted(model, user("a")).await;
        let b = world.inserted(model, user("b")).await;
        let path = format!("/{model}/{}", b["_id"].as_str().unwrap());
        let on_insert = world.ask("POST", &format!("/{model}"), user("a")).await;
        let on_update = world.ask("PATCH", &path, json!({"email": "a@example.com"})).await;
        let handle = world.model(model);
        let inside = handle.insert(user("a").try_into().unwrap()).await.unwrap_err().to_json();
        for (status, body) in [on_insert, on_update, (409, inside)] {
            let told = (status, body["code"].as_str(), body["field"].as_str(), body.get("fields"));
            assert_eq!(told, (409, Some("UNIQUE_VIOLATION"), Some("email"), None), "{model}: {body}");
            // Whose value it is, and which, is not said.
            assert!(!body.to_string().contains("a@example.com"), "{body}");
        }
    }
}

#[tokio::test]
async fn e3_what_is_not_found_says_its_id() {
    let world = world().await;
    for model in MODELS {
        let (status, body) = world.ask("POST", &format!("/{model}/nothing"), json!({})).await;
        let told = (status, body["code"].as_str(), body["id"].as_str());
        assert_eq!(told, (404, Some("METHOD_NOT_FOUND"), Some("nothing")), "{model}");
        let handle = world.model(model);
        let inside = handle.call("nothing", json!({})).await.unwrap_err();
        assert_eq!((inside.code(), inside.get("id")), (&ErrorCode::MethodNotFound, Some(&json!("nothing"))));
        let upload = handle.call_upload("nothing", File::new("a", "b"), json!({})).await.unwrap_err();
        assert_eq!((upload.code(), upload.get("id")), (&ErrorCode::UploadNotFound, Some(&json!("nothing"))));
        let stream = handle.call_stream("nothing", Chunk::new("a"), json!({})).await.unwrap_err();
        assert_eq!((stream.code(), stream.get("id")), (&ErrorCode::StreamNotFound, Some(&json!("nothing"))));
        let event = handle.subscription(Filter::all()).dispatch("nothing", json!({})).await.unwrap_err();
        assert_eq!((event.code(), event.get("id")), (&ErrorCode::EventNotFound, Some(&json!("nothing"))));
    }
    // There is an event `say`, which is no method.
    assert_eq!(world.ask("POST", "/users/say", json!({"text": "x"})).await.1["code"], "METHOD_NOT_FOUND");
    let room = world.app.model::<User>().subscription(Filter::all());
    room.dispatch("say", json!({"text": "x"})).await.unwrap();
    assert_eq!(room.events(), ["say"]);
    let (status, body) = world.ask("GET", "/nowhere", Value::Null).await;
    assert_eq!((status, &body["code"], &body["id"]), (404, &json!("MODEL_NOT_FOUND"), &json!("nowhere")));
}

#[tokio::test]
async fn e4_an_error_with_a_code_of_its_own_reaches_the_caller() {
    let world = world().await;
    let (status, body) = world.ask("POST", "/users/quota", Value::Null).await;
    assert_eq!((status, &body["code"], &body["limit"]), (402, &json!("QUOTA_EXCEEDED"), &json!(3)));
    assert_eq!((&body["detail"], &body["status"]), (&json!("only 3 are free"), &json!(402)));
    let inside = world.app.model::<User>().call("quota", Value::Null).await.unwrap_err();
    assert_eq!(inside.to_json(), body);
    // From a hook as well, which undoes what it is about; what the program fails at is not told.
    for model in MODELS {
        let before = HookEvent::before(Operation::Insert);
        let handle = world.model(model);
        world.hook(model, "full", before, || Err(Error::new("FULL").message("no more").detail("most", 0)));
        let (status, body) = world.ask("POST", &format!("/{model}"), user("a")).await;
        assert_eq!((status, &body["code"], &body["most"]), (400, &json!("FULL"), &json!(0)), "{model}");
        assert_eq!(handle.count(Filter::all()).await.unwrap(), 0, "{model}");
        assert!(handle.unhook("full"));
        world.hook(model, "broken", before, || Err(Error::internal(SECRET)));
        let (status, body) = world.ask("POST", &format!("/{model}"), user("a")).await;
        assert_eq!((status, &body["code"]), (500, &json!("INTERNAL")), "{model}");
    }
}
