//! C1 to C14.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modeller::prelude::*;
use modeller::{Adapter, HookEvent, PlanKind, Pulled};
use serde_json::{Value, json};

use crate::{MODELS, Role, SECRET, Team, User, filter, people, send, user, world};

fn keywords(error: &Error) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        error.violations().iter().map(|it| (it.instance_path.clone(), it.keyword.to_string())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn c1_the_schema_is_json_schema_with_references_by_name_and_by_id() {
    let address = json!({
        "$id": "https://example.com/address.json",
        "type": "object",
        "properties": {"zip": {"$ref": "#/$defs/zip"}, "city": {"type": "string"}},
        "required": ["zip"],
        "$defs": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
    });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "name": {"$ref": "#/$defs/name"},
            "old": {"$ref": "#/definitions/old"},
            "home": {"$ref": "https://example.com/address.json"},
            "zip": {"$ref": "https://example.com/address.json#/$defs/zip"},
            "list": {"type": "array", "prefixItems": [{"type": "integer"}], "items": false, "contains": {"minimum": 1}},
            "one": {"oneOf": [{"type": "integer"}, {"multipleOf": 0.5}]},
        },
        "required": ["name"],
        "dependentRequired": {"zip": ["home"]},
        "if": {"required": ["old"]}, "then": {"required": ["one"]},
        "unevaluatedProperties": false,
        "$defs": {"name": {"type": "string", "minLength": 2}},
        "definitions": {"old": {"const": 5}},
    });
    let app = App::new().schema(address).schema_model(SchemaModel::new("things", schema.clone()).public());
    let app = app.in_memory().open().await.unwrap();
    let (things, router) = (app.model_by_id("things").unwrap(), app.router());
    for (wrong, expected) in [
        (json!({"name": "a"}), vec![("/name", "minLength")]),
        (json!({"name": "ab", "old": 6, "one": 0.5}), vec![("/old", "const")]),
        (json!({"name": "ab", "old": 5}), vec![("", "if"), ("", "required")]),
        (json!({"name": "ab", "home": {}}), vec![("/home", "required")]),
        (json!({"name": "ab", "home": {"zip": "1"}}), vec![("/home/zip", "pattern")]),
        (json!({"name": "ab", "zip": "123"}), vec![("", "dependentRequired"), ("/zip", "pattern")]),
        (json!({"name": "ab", "list": [0, 1]}), vec![("/list", "items")]),
        (json!({"name": "ab", "list": [0]}), vec![("/list", "contains"), ("/list/0", "minimum")]),
        (json!({"name": "ab", "one": 2}), vec![("/one", "oneOf")]),
        (json!({"name": "ab", "other": 1}), vec![("", "unevaluatedProperties")]),
        (json!({}), vec![("", "required")]),
    ] {
        let error = things.insert(wrong.clone().try_into().unwrap()).await.unwrap_err();
        let expected: Vec<_> = expected.iter().map(|(at, it)| ((*at).to_owned(), (*it).to_owned())).collect();
        assert_eq!(keywords(&error), expected, "{wrong}");
        let (status, problem) = send(&router, "POST", "/things", wrong, None).await;
        assert_eq!((status, &problem["errors"]), (422, &error.to_json()["errors"]));
    }
    let fits = json!({"name": "ab", "old": 5, "one": 1.5, "home": {"zip": "12345"}, "zip": "54321", "list": [1]});
    things.insert(fits.clone().try_into().unwrap()).await.unwrap();
    assert_eq!(send(&router, "POST", "/things", fits, None).await.0, 201);
    // What is registered is told with it.
    let (_, metadata) = send(&router, "GET", "/@metadata", Value::Null, None).await;
    for told in [&things.schema(), &metadata["models"][0]["schema"]] {
        assert_eq!(told["properties"]["name"], schema["properties"]["name"]);
        let place = told["properties"]["zip"]["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        assert_eq!(told.pointer(place).unwrap()["pattern"], "^[0-9]{5}$");
    }
    // What leads nowhere is said at the start.
    let nowhere = json!({"properties": {"a": {"$ref": "nowhere.json"}}});
    let error = App::new().schema_model(SchemaModel::new("things", nowhere)).in_memory().open().await.unwrap_err();
    assert_eq!(error.code().as_str(), "INVALID_DECLARATION");
    assert!(error.text().contains("nowhere.json"), "{}", error.text());
    // That of a struct is one as well.
    let schema = world().await.app.model::<User>().schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!((&schema["type"], &schema["properties"]["email"]["format"]), (&json!("object"), &json!("email")));
    assert_eq!(schema["required"], json!(["email", "password"]));
}

#[tokio::test]
async fn c2_unique_holds_over_all_documents_on_insert_and_update() {
    let world = world().await;
    for model in MODELS {
        let handle = world.model(model);
        let a = world.inserted(model, user("a")).await;
        let b = world.inserted(model, user("b")).await;
        let (at, other) =
            (format!("/{model}/{}", a["_id"].as_str().unwrap()), format!("/{model}/{}", b["_id"].as_str().unwrap()));
        for (method, path, body) in [
            ("POST", format!("/{model}"), user("a")),
            ("POST", format!("/{model}"), json!([user("c"), user("c")])),
            ("PATCH", other.clone(), json!({"email": "a@example.com"})),
            ("PATCH", other.clone(), json!({"$set": {"email": "a@example.com"}})),
            ("PUT", other.clone(), user("a")),
        ] {
            let (status, problem) = world.ask(method, &path, body).await;
            let told = (status, problem["code"].as_str(), problem["field"].as_str());
            assert_eq!(told, (409, Some("UNIQUE_VIOLATION"), Some("email")), "{model} {method}: {problem}");
        }
        let taken = handle
            .update_many(Filter::all(), Update::parse(json!({"$set": {"email": "x@example.com"}})).unwrap())
            .await;
        assert_eq!(taken.unwrap_err().code(), &ErrorCode::UniqueViolation);
        // Several together; what has no value counts for nothing.
        world.inserted(model, json!({"email": "d@example.com", "password": SECRET, "nick": "n"})).await;
        let second = json!({"email": "e@example.com", "password": SECRET, "nick": "n"});
        let (status, problem) = world.ask("POST", &format!("/{model}"), second).await;
        assert_eq!((status, &problem["fields"]), (409, &json!(["nick", "role"])));
        world
            .inserted(model, json!({"email": "e@example.com", "password": SECRET, "nick": "n", "role": "admin"}))
            .await;
        // The same value again in the same document is not another document's; one that has gone is free.
        assert_eq!(world.ask("PATCH", &at, json!({"email": "a@example.com"})).await.0, 200);
        assert_eq!(world.ask("DELETE", &at, Value::Null).await.0, 200);
        assert_eq!(world.ask("PATCH", &other, json!({"email": "a@example.com"})).await.0, 200);
        // Of many at once one gets it.
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let handle = handle.clone();
                tokio::spawn(async move { handle.insert(user("race").try_into().unwrap()).await.is_ok() })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap());
        }
        assert_eq!(won, 1, "{model}");
    }
}

#[tokio::test]
async fn c3_private_is_stripped_from_all_but_reads_in_process() {
    let world = world().await;
    for model in MODELS {
        let made = world.inserted(model, user("a")).await;
        assert_eq!(made.get("password"), None);
        let at = format!("/{model}/{}", made["_id"].as_str().unwrap());
        for (method, path, body) in [
            ("GET", at.clone(), Value::Null),
            ("PATCH", at.clone(), json!({"password": format!("{SECRET}-2")})),
            ("PUT", at.clone(), json!({"email": "b@example.com"})),
        ] {
            let (status, answer) = world.ask(method, &path, body).await;
            assert_eq!((status, answer.get("password")), (200, None), "{model} {method}");
        }
        assert_eq!(world.listed(model, json!({}), "password").await, [Value::Null]);
        // A replacement keeps what it cannot name; in process it is read.
        let stored = world.model(model).get(Filter::all()).await.unwrap().unwrap();
        assert_eq!(stored["password"], format!("{SECRET}-2"));
        assert!(!format!("{stored:?}").contains(SECRET) && !serde_json::to_string(&stored).unwrap().contains(SECRET));
        // From outside it is a name that is not there.
        for query in [
            json!({"filter": {"password": SECRET}}),
            json!({"sort": {"password": 1}}),
            json!({"fields": {"password": 1}}),
        ] {
            let (status, refused) = world.ask("POST", &format!("/{model}/@query"), query.clone()).await;
            let unknown = serde_json::from_str(&query.to_string().replace("password", "passport")).unwrap();
            let unknown = world.ask("POST", &format!("/{model}/@query"), unknown).await.1;
            assert_eq!(status, 400, "{query}");
            assert_eq!(refused.to_string().replace("password", "passport"), unknown.to_string());
        }
        let (status, problem) =
            world.ask("POST", &format!("/{model}"), json!({"email": "c@example.com", "password": "short"})).await;
        assert_eq!((status, problem.to_string().contains("short\"")), (422, false));
    }
    let typed = world.app.model::<User>().get(Filter::all()).await.unwrap().unwrap();
    assert_eq!(typed.password.get().map(String::as_str), Some(format!("{SECRET}-2").as_str()));
    let (_, mine) = world.ask("POST", "/users/me", json!("b@example.com")).await;
    assert_eq!((&mine["email"], mine.get("password")), (&json!("b@example.com"), None));
}

#[tokio::test]
async fn c4_look_ups_go_by_the_index() {
    let world = world().await;
    for model in MODELS {
        let handle = world.model(model);
        let many = (0..200).map(|at| {
            let mut user = user(&format!("u{at}"));
            user["age"] = (at % 20).into();
            user["nick"] = format!("n{at}").into();
            user.try_into().unwrap()
        });
        handle.insert_many(many.collect()).await.unwrap();
        let told = handle.find(filter(&json!({"age": 7}))).explain().await.unwrap();
        assert_eq!((told.plan, told.index), (PlanKind::Index, Some(vec!["age".to_owned()])), "{model}");
        assert_eq!((told.documents_examined, told.returned), (10, 10), "{model}");
        let told = handle.find(filter(&json!({"email": "u3@example.com"}))).explain().await.unwrap();
        assert_eq!((told.plan, told.documents_examined), (PlanKind::Index, 1), "{model}");
        let told = handle.find(filter(&json!({"age": {"$gte": 18}}))).explain().await.unwrap();
        assert_eq!((told.plan, told.documents_examined), (PlanKind::Index, 20), "{model}");
        // What no index helps with looks at all, and finds the same.
        let slow = json!({"$nor": [{"age": {"$ne": 7}}]});
        let told = handle.find(filter(&slow)).explain().await.unwrap();
        assert_eq!((told.plan, told.documents_examined), (PlanKind::Scan, 200), "{model}");
        let by_index = world.listed(model, json!({"filter": {"age": 7}}), "email").await;
        assert_eq!(
            (by_index.len(), world.listed(model, json!({"filter": slow}), "email").await),
            (10, by_index),
            "{model}"
        );
        // An index follows what changes.
        handle
            .update_many(filter(&json!({"age": 7})), Update::parse(json!({"$set": {"age": 99}})).unwrap())
            .await
            .unwrap();
        let counts = [
            handle.count(filter(&json!({"age": 7}))).await.unwrap(),
            handle.count(filter(&json!({"age": 99}))).await.unwrap(),
        ];
        assert_eq!(counts, [0, 10], "{model}");
    }
}

#[tokio::test]
async fn c5_protected_is_for_verified_callers() {
    let world = world().await;
    for model in MODELS {
        let mut paid = user("a");
        paid["salary"] = 4000.into();
        let (status, made) = world.ask_verified("POST", &format!("/{model}"), paid.clone()).await;
        assert_eq!((status, &made["salary"]), (201, &json!(4000)), "{model}: {made}");
        let at = format!("/{model}/{}", made["_id"].as_str().unwrap());
        assert_eq!(world.ask("GET", &at, Value::Null).await.1.get("salary"), None, "{model}");
        assert_eq!(world.ask_verified("GET", &at, Value::Null).await.1["salary"], 4000, "{model}");
        // To anyone else it is a name that is not there.
        for (method, path, body) in [
            ("POST", format!("/{model}"), paid.clone()),
            ("PATCH", at.clone(), json!({"salary": 1})),
            ("PATCH", at.clone(), json!({"$inc": {"salary": 1}})),
            ("POST", format!("/{model}/@query"), json!({"filter": {"salary": 4000}})),
            ("POST", format!("/{model}/@query"), json!({"sort": {"salary": 1}})),
        ] {
            let (status, told) = world.ask(method, &path, body.clone()).await;
            let unknown = serde_json::from_str(&body.to_string().replace("salary", "celery")).unwrap();
            let unknown = world.ask(method, &path, unknown).await;
            assert!([400, 422].contains(&status), "{model} {method} {body}: {told}");
            assert_eq!((status, told.to_string().replace("salary", "celery")), (unknown.0, unknown.1.to_string()));
        }
        let (_, metadata) = world.ask("GET", "/@metadata", Value::Null).await;
        assert!(!metadata.to_string().contains("salary"));
        assert_eq!(world.ask("PUT", &at, user("b")).await.0, 200);
        let raised = world.ask_verified("PATCH", &at, json!({"$inc": {"salary": 500}})).await.1;
        assert_eq!((&raised["salary"], &raised["email"]), (&json!(4500), &json!("b@example.com")), "{model}");
        let found = world
            .ask_verified("POST", &format!("/{model}/@query"), json!({"filter": {"salary": {"$gt": 4000}}}))
            .await
            .1;
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
    }
    assert!(world.ask_verified("GET", "/@metadata", Value::Null).await.1.to_string().contains("salary"));
}

#[tokio::test]
async fn c6_hidden_is_a_hint_for_clients() {
    let world = world().await;
    let (_, metadata) = world.ask("GET", "/@metadata", Value::Null).await;
    for model in MODELS {
        let told = metadata["models"].as_array().unwrap().iter().find(|told| told["id"] == model).unwrap();
        assert_eq!(told["schema"]["properties"]["nick"]["hidden"], true, "{model}");
        assert_eq!(told["schema"]["properties"]["email"].get("hidden"), None, "{model}");
        let field = told["fields"].as_array().unwrap().iter().find(|field| field["name"] == "nick").unwrap();
        assert_eq!((&field["schema"]["hidden"], &field["private"]), (&json!(true), &json!(false)), "{model}");
        assert_eq!(world.model(model).schema()["properties"]["nick"]["hidden"], true);
        // It is a hint: the value itself is answered, and asked for.
        let mut named = user("a");
        named["nick"] = "ace".into();
        assert_eq!(world.inserted(model, named).await["nick"], "ace");
        assert_eq!(world.listed(model, json!({"filter": {"nick": "ace"}}), "nick").await, ["ace"]);
    }
}

#[tokio::test]
async fn c7_defaults_are_filled_in_before_validation() {
    let world = world().await;
    for model in MODELS {
        let made = world.inserted(model, user("a")).await;
        assert_eq!((&made["age"], &made["role"]), (&json!(18), &json!("user")), "{model}");
        let at = format!("/{model}/{}", made["_id"].as_str().unwrap());
        assert_eq!(world.ask("PATCH", &at, json!({"age": 30})).await.1["age"], 30);
        // A replacement is a new value, a `null` is a value.
        assert_eq!(world.ask("PUT", &at, user("a")).await.1["age"], 18);
        assert_eq!(world.ask("PATCH", &at, json!({"$set": {"age": null}})).await.0, 422, "{model}");
        let in_process = world.model(model).insert(user("b").try_into().unwrap()).await.unwrap();
        assert_eq!((&in_process["age"], &in_process["role"]), (&json!(18), &json!("user")), "{model}");
    }
    // Before: what is required is there, at every depth.
    let leaf =
        json!({"type": "object", "properties": {"kind": {"type": "string", "default": "home"}}, "required": ["kind"]});
    let schema = json!({"properties": {"n": {"type": "integer", "default": 1}, "leaf": leaf, "list": {"items": leaf}}, "required": ["n"]});
    let app = App::new().schema_model(SchemaModel::new("deep", schema).public()).in_memory().open().await.unwrap();
    let (status, made) =
        send(&app.router(), "POST", "/deep", json!({"leaf": {}, "list": [{}, {"kind": "x"}]}), None).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!((&made["n"], &made["leaf"]), (&json!(1), &json!({"kind": "home"})));
    assert_eq!(made["list"], json!([{"kind": "home"}, {"kind": "x"}]));
}

#[tokio::test]
async fn c8_what_is_referred_to_exists_in_the_other_model() {
    let world = world().await;
    let team = world.inserted("teams", json!({"name": "red"})).await;
    let at = format!("/teams/{}", team["_id"].as_str().unwrap());
    for model in MODELS {
        let member = |name: &str, team: &Value| {
            let mut member = user(name);
            member["team"] = team.clone();
            member
        };
        let made = world.inserted(model, member("a", &team["_id"])).await;
        let here = format!("/{model}/{}", made["_id"].as_str().unwrap());
        for (method, path, body) in [
            ("POST", format!("/{model}"), member("b", &json!("nowhere"))),
            ("PATCH", here.clone(), json!({"team": "nowhere"})),
            ("PUT", here.clone(), member("a", &json!("nowhere"))),
        ] {
            let (status, problem) = world.ask(method, &path, body).await;
            let told = (status, problem["code"].as_str(), problem["field"].as_str(), problem["model"].as_str());
            assert_eq!(told, (409, Some("REFERENCE_VIOLATION"), Some("team"), Some("teams")), "{model} {method}");
        }
        world.inserted(model, member("c", &Value::Null)).await;
        let error = world.model(model).insert(member("d", &json!("nowhere")).try_into().unwrap()).await.unwrap_err();
        assert_eq!(error.code(), &ErrorCode::ReferenceViolation, "{model}");
    }
    // It goes, and is forgotten by both.
    assert_eq!(world.ask("DELETE", &at, Value::Null).await.0, 200);
    for model in MODELS {
        assert_eq!(world.listed(model, json!({"filter": {"team": {"$ne": null}}}), "team").await, Vec::<Value>::new());
    }
    // By a unique field, restricting and cascading.
    let schema = |on_delete: &str| json!({"properties": {"team": {"type": "string", "model": "teams.name", "onDelete": on_delete}}});
    let app = App::new()
        .model::<Team>()
        .schema_model(SchemaModel::new("kept", schema("restrict")).public())
        .schema_model(SchemaModel::new("lost", schema("cascade")).public())
        .in_memory()
        .open()
        .await
        .unwrap();
    let (teams, router) = (app.model::<Team>(), app.router());
    let blue = teams.insert(Team { name: "blue".into() }).await.unwrap();
    assert_eq!(send(&router, "POST", "/lost", json!({"team": "green"}), None).await.0, 409);
    assert_eq!(send(&router, "POST", "/lost", json!({"team": "blue"}), None).await.0, 201);
    let (_, kept) = send(&router, "POST", "/kept", json!({"team": "blue"}), None).await;
    let (status, problem) = send(&router, "DELETE", &format!("/teams/{}", blue.id()), Value::Null, None).await;
    assert_eq!((status, &problem["code"], &problem["model"]), (409, &json!("REFERENCE_VIOLATION"), &json!("kept")));
    send(&router, "DELETE", &format!("/kept/{}", kept["_id"].as_str().unwrap()), Value::Null, None).await;
    assert_eq!(send(&router, "DELETE", &format!("/teams/{}", blue.id()), Value::Null, None).await.0, 200);
    assert_eq!(app.model_by_id("lost").unwrap().count(Filter::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn c9_messages_of_the_author_for_a_field_and_for_a_keyword() {
    let world = world().await;
    for model in MODELS {
        let wrong = json!({"email": "nobody", "password": SECRET, "age": -1});
        let (status, problem) = world.ask("POST", &format!("/{model}"), wrong.clone()).await;
        assert_eq!(status, 422, "{model}");
        let errors = problem["errors"].as_array().unwrap();
        let mut told: Vec<_> = errors
            .iter()
            .map(|it| {
                (it["instancePath"].as_str().unwrap(), it["keyword"].as_str().unwrap(), it["message"].as_str().unwrap())
            })
            .collect();
        told.sort_unstable();
        let expected = [
            ("/age", "errorMessage", "an age is a number of years"),
            ("/email", "errorMessage", "\"nobody\" is no address"),
        ];
        assert_eq!(told, expected, "{model}");
        // It says what it stands for, as ajv-errors has it.
        let age = errors.iter().find(|it| it["instancePath"] == "/age").unwrap();
        let stands_for = &age["params"]["errors"][0];
        assert_eq!((&stands_for["keyword"], &stands_for["emUsed"]), (&json!("minimum"), &json!(true)), "{model}");
        // What there is no message for keeps AJV's words.
        let long = format!("{}@example.com", "a".repeat(40));
        let (_, problem) = world.ask("POST", &format!("/{model}"), json!({"email": long, "password": SECRET})).await;
        assert_eq!(problem["errors"][0]["message"], "must NOT have more than 40 characters", "{model}");
        let error = world.model(model).insert(wrong.try_into().unwrap()).await.unwrap_err();
        assert_eq!(error.violations().len(), 2, "{model}");
    }
}

#[tokio::test]
async fn c10_formats_are_asserted() {
    let formats = [
        ("email", "ada@example.com", "ada@", "ada example.com"),
        ("date-time", "2024-02-29T12:00:00Z", "2023-02-29T12:00:00Z", "2024-02-29"),
        ("date", "2024-02-29", "2023-02-29", "29.2.2024"),
        ("time", "12:00:00Z", "25:00:00Z", "noon"),
        ("duration", "P1DT12H", "1 day", "P"),
        ("uri", "https://example.com/a?b#c", "//example.com", "not a uri"),
        ("uri-reference", "../a?b", "a b", "\\\\host"),
        ("uri-template", "/users/{id}", "/users/{id", "{}}"),
        ("uuid", "018f0000-0000-7000-8000-000000000001", "018f0000", "018f0000-0000-7000-8000-00000000000g"),
        ("hostname", "a.example.com", "-a.example.com", "a b"),
        ("ipv4", "192.168.0.1", "256.0.0.1", "1.2.3"),
        ("ipv6", "::1", "12345::", "1.2.3.4"),
        ("json-pointer", "/a/~0b/0", "a/b", "/a~"),
        ("relative-json-pointer", "1/a", "/a", "-1/a"),
        ("regex", "^[a-z]+$", "(", "[a"),
    ];
    let properties = formats.iter().map(|(name, ..)| ((*name).to_owned(), json!({"type": "string", "format": name})));
    let schema = json!({"properties": Value::Object(properties.collect())});
    let app = App::new().schema_model(SchemaModel::new("things", schema).public()).in_memory().open().await.unwrap();
    let (things, router) = (app.model_by_id("things").unwrap(), app.router());
    for (name, good, bad, worse) in formats {
        things.insert(json!({name: good}).try_into().unwrap()).await.unwrap();
        for wrong in [bad, worse] {
            let error = things.insert(json!({name: wrong}).try_into().unwrap()).await.unwrap_err();
            assert_eq!(keywords(&error), [(format!("/{name}"), "format".to_owned())], "{wrong}");
            let (status, problem) = send(&router, "POST", "/things", json!({name: wrong}), None).await;
            let told = &problem["errors"][0];
            assert_eq!((status, &told["params"]), (422, &json!({"format": name})), "{wrong}");
            assert_eq!(told["message"], format!("must match format \"{name}\""));
        }
    }
    // That of a struct is asserted as well.
    let (status, problem) = world().await.ask("POST", "/users", json!({"email": "ada@", "password": SECRET})).await;
    assert_eq!((status, &problem["errors"][0]["params"]["errors"][0]["keyword"]), (422, &json!("format")));
}

#[tokio::test]
async fn c11_insert_update_delete_get_list_find_and_schema() {
    let world = world().await;
    for model in MODELS {
        let handle = world.model(model);
        let lists = Arc::new(AtomicUsize::new(0));
        let counted = lists.clone();
        world.hook(model, "count", HookEvent::before(Operation::List), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let a = handle.insert(user("a").try_into().unwrap()).await.unwrap();
        let b = world.inserted(model, user("b")).await;
        let at = format!("/{model}/{}", b["_id"].as_str().unwrap());
        let changed = handle.update(&a, Update::parse(json!({"$inc": {"age": 2}})).unwrap()).await.unwrap();
        assert_eq!((&changed["age"], changed.rev() > a.rev()), (&json!(20), true), "{model}");
        assert_eq!(world.ask("PATCH", &at, json!({"$inc": {"age": 4}})).await.1["age"], 22);
        assert_eq!(handle.get(&a).await.unwrap().unwrap()["age"], 20);
        assert_eq!(handle.get(filter(&json!({"age": 22}))).await.unwrap().unwrap()["email"], "b@example.com");
        assert_eq!(world.ask("GET", &at, Value::Null).await.1["age"], 22);
        // A list is paged and hooked, a find is neither.
        let query = Query::parse(json!({"filter": {"age": {"$gt": 18}}, "sort": {"age": -1}, "limit": 1})).unwrap();
        let page = handle.list(query).await.unwrap();
        assert_eq!((page.items.len(), &page.items[0]["age"]), (1, &json!(22)), "{model}");
        assert_eq!(world.listed(model, json!({"sort": {"age": 1}}), "age").await, [20, 22]);
        assert_eq!(lists.load(Ordering::Relaxed), 2, "{model}");
        let found = handle.find(Filter::all()).sort(Sort::parse(&json!({"age": 1})).unwrap()).skip(1).await.unwrap();
        assert_eq!((found.len(), &found[0]["age"]), (1, &json!(22)), "{model}");
        assert_eq!((handle.count(Filter::all()).await.unwrap(), lists.load(Ordering::Relaxed)), (2, 2));
        assert_eq!(handle.schema()["properties"]["email"]["format"], "email");
        let deleted = handle.delete(&a).await.unwrap();
        assert_eq!((deleted["email"].as_str(), handle.get(&a).await.unwrap().is_none()), (Some("a@example.com"), true));
        assert_eq!(world.ask("DELETE", &at, Value::Null).await.0, 200);
        let (status, gone) = world.ask("GET", &at, Value::Null).await;
        assert_eq!((status, &gone["code"], &gone["id"]), (404, &json!("NOT_FOUND"), &b["_id"]));
        assert_eq!(handle.count(Filter::all()).await.unwrap(), 0, "{model}");
    }
    // With types.
    let users = world.app.model::<User>();
    let ada: User = serde_json::from_value(user("ada")).unwrap();
    let ada = users.insert(ada).await.unwrap();
    let ada = users.update(&ada, User::ROLE.set(Role::Admin) & User::AGE.inc(1)).await.unwrap();
    assert_eq!((&ada.role, ada.age), (&Role::Admin, 19));
    let found = users.find(User::ROLE.eq(Role::Admin) & User::AGE.gte(19)).sort(User::EMAIL.asc()).await.unwrap();
    assert_eq!(found.iter().map(Doc::id).collect::<Vec<_>>(), [ada.id()]);
}

#[tokio::test]
async fn c12_queries_in_the_syntax_of_mongodb() {
    let world = world().await;
    for model in MODELS {
        for (name, age, nick) in
            [("a", 5, json!("x")), ("b", 20, json!(null)), ("c", 20, json!("y")), ("d", 40, json!("xy"))]
        {
            let mut user = user(name);
            (user["age"], user["nick"]) = (age.into(), nick);
            world.inserted(model, user).await;
        }
        for (query, expected) in [
            (json!({"filter": {"age": 20}, "sort": {"email": -1}}), "cb"),
            (json!({"filter": {"age": {"$gte": 20, "$lt": 40}}, "sort": {"email": 1}}), "bc"),
            (json!({"filter": {"$or": [{"age": 5}, {"nick": "y"}]}, "sort": {"age": 1}}), "ac"),
            (json!({"filter": {"nick": null}}), "b"),
            (json!({"filter": {"nick": {"$regex": "^X", "$options": "i"}}, "sort": {"email": 1}}), "ad"),
            (json!({"filter": {"age": {"$in": [5, 40]}}, "sort": {"age": -1}}), "da"),
            (json!({"filter": {"age": {"$not": {"$mod": [20, 0]}}}}), "a"),
            (
                json!({"filter": {"nick": {"$type": "string"}, "email": {"$ne": "a@example.com"}}, "sort": {"email": 1}}),
                "cd",
            ),
            (json!({"sort": {"age": -1, "email": 1}}), "dbca"),
            (json!({"sort": {"nick": 1}, "limit": 2}), "ba"),
            (json!({"sort": {"email": 1}, "skip": 1, "limit": 2}), "bc"),
            (json!({"filter": {}, "sort": {"email": 1}}), "abcd"),
        ] {
            let expected: Vec<Value> = expected.chars().map(|name| format!("{name}@example.com").into()).collect();
            assert_eq!(world.listed(model, query.clone(), "email").await, expected, "{model}: {query}");
            let page = world.model(model).list(Query::parse(query.clone()).unwrap()).await.unwrap();
            let emails: Vec<&Value> = page.items.iter().map(|item| &item["email"]).collect();
            assert_eq!(emails, expected.iter().collect::<Vec<_>>(), "{model} in process: {query}");
        }
        let shown = world.listed(model, json!({"fields": {"email": 1}, "filter": {"age": 5}}), "age").await;
        assert_eq!(shown, [Value::Null]);
        for (query, path) in [
            (json!({"filter": {"age": {"$foo": 1}}}), "age.$foo"),
            (json!({"filter": {"$where": "1"}}), "$where"),
            (json!({"filter": null}), ""),
            (json!({"filter": {"aeg": 1}}), "aeg"),
            (json!({"sort": {"age": 2}}), "sort.age"),
        ] {
            let (status, problem) = world.ask("POST", &format!("/{model}/@query"), query.clone()).await;
            let told = (status, &problem["code"], &problem["path"]);
            assert_eq!(told, (400, &json!("INVALID_QUERY"), &json!(path)), "{query}");
        }
    }
}

/// A foreign store of documents of whatever type, by their ids.
struct Elsewhere<T>(Arc<Mutex<BTreeMap<String, T>>>);

impl<T> Default for Elsewhere<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Elsewhere<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: modeller::Stored> Adapter<T> for Elsewhere<T> {
    async fn sync(&self, id: &Id<T>, doc: Option<&Doc<T>>) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        match doc {
            Some(doc) => kept.insert(id.to_string(), doc.value()),
            None => kept.remove(&id.to_string()),
        };
        Ok(())
    }

    async fn pull(&self) -> Result<Vec<(Id<T>, T)>> {
        self.0.lock().unwrap().iter().map(|(id, value)| Ok((id.parse()?, value.clone()))).collect()
    }
}

/// The same, of a model with a type and of one that is given as JSON: what was written is elsewhere, and comes back from there.
#[tokio::test]
async fn c13_an_adapter_is_synced_and_pulled_from() {
    let (typed, json) = (Elsewhere::<User>::default(), Elsewhere::<Document>::default());
    let open = || async {
        let given = people().adapter(json.clone());
        let app = App::new().model::<Team>().model::<User>().adapter(typed.clone()).schema_model(given);
        app.in_memory().open().await.unwrap()
    };
    let app = open().await;
    let mut ids = Vec::new();
    for model in MODELS {
        let handle = app.model_by_id(model).unwrap();
        let a = handle.insert(user("a").try_into().unwrap()).await.unwrap();
        let b = handle.insert(user("b").try_into().unwrap()).await.unwrap();
        handle.update(&a, Update::parse(json!({"$set": {"age": 40}})).unwrap()).await.unwrap();
        handle.delete(&b).await.unwrap();
        ids.push(a.id());
    }
    app.synced().await;
    assert_eq!((typed.0.lock().unwrap().len(), json.0.lock().unwrap().len()), (1, 1));
    assert_eq!(typed.0.lock().unwrap().values().next().unwrap().age, 40);
    drop(app);

    let app = open().await;
    for (model, id) in MODELS.into_iter().zip(&ids) {
        let handle = app.model_by_id(model).unwrap();
        assert_eq!(handle.count(Filter::all()).await.unwrap(), 0);
        assert_eq!(handle.pull().await.unwrap(), Pulled { inserted: 1, replaced: 0, unchanged: 0 }, "{model}");
        let pulled = handle.get(id).await.unwrap().unwrap();
        assert_eq!((&pulled["age"], &pulled["password"]), (&json!(40), &json!(SECRET)), "{model}");
        assert_eq!(handle.pull().await.unwrap().unchanged, 1);
    }
    let missing = world().await.model("users").pull().await.unwrap_err();
    assert_eq!(missing.code().as_str(), "NO_ADAPTER");
}

#[tokio::test]
async fn c14_the_trash_lists_restores_purges_and_forgets() {
    let world = world().await;
    for model in MODELS {
        let made = world.inserted(model, user("a")).await;
        let id = made["_id"].as_str().unwrap();
        let (at, trash) = (format!("/{model}/{id}"), format!("/{model}/@trash"));
        assert_eq!(world.ask("DELETE", &at, Value::Null).await.0, 200);
        let (status, list) = world.ask("GET", &trash, Value::Null).await;
        let entry = &list["items"][0];
        assert_eq!((status, &entry["documentId"], &entry["document"]["email"]), (200, &made["_id"], &made["email"]));
        assert_eq!(entry["document"].get("password"), None, "{model}");
        // Its unique value is free, and taken it is in the way of the return.
        let other = world.inserted(model, user("a")).await;
        let back = format!("{trash}/{}", entry["_id"].as_str().unwrap());
        let (status, refused) = world.ask("POST", &back, Value::Null).await;
        assert_eq!((status, &refused["code"], &refused["field"]), (409, &json!("UNIQUE_VIOLATION"), &json!("email")));
        assert_eq!(
            world.ask("DELETE", &format!("/{model}/{}", other["_id"].as_str().unwrap()), Value::Null).await.0,
            200
        );
        let (status, restored) = world.ask("POST", &back, Value::Null).await;
        assert_eq!((status, &restored["_id"]), (201, &made["_id"]), "{model}");
        // All of it, also what is private.
        assert_eq!(world.model(model).get(Filter::all()).await.unwrap().unwrap()["password"], SECRET);
        let (_, list) = world.ask("GET", &trash, Value::Null).await;
        assert_eq!(list["items"][0]["documentId"], other["_id"], "{model}");
        let purge = format!("{trash}/{}", list["items"][0]["_id"].as_str().unwrap());
        assert_eq!(world.ask("DELETE", &purge, Value::Null).await, (200, json!({"purged": 1})));
        assert_eq!(world.ask("DELETE", &purge, Value::Null).await.0, 404);
        // What is older than its retention goes.
        let handle = world.model(model);
        handle.delete(filter(&json!({"email": "a@example.com"}))).await.unwrap();
        assert_eq!(handle.trash().purge_older_than(Duration::from_secs(3600)).await.unwrap(), 0);
        assert_eq!(handle.trash().purge_older_than(Duration::ZERO).await.unwrap(), 1);
        assert!(handle.trash().list(Filter::all()).await.unwrap().is_empty(), "{model}");
    }
}
