//! Every route, and what it answers when all is well.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{CANARY, SECRET, app, ask, ask_with, insert_user, serve, served, token, user};

#[tokio::test]
async fn documents_are_made_read_changed_and_deleted() {
    let router = app().await.router();
    let made = ask(&router, "POST", "/users", user("ada@example.com")).await;
    assert_eq!((made.status.as_u16(), made.header("content-type")), (201, "application/json"));
    let doc = made.json();
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    assert_eq!(
        (made.header("location"), made.header("etag")),
        (path.as_str(), format!("\"{}\"", doc["_rev"]).as_str())
    );
    assert_eq!((&doc["email"], &doc["role"], doc.get("password")), (&"ada@example.com".into(), &"user".into(), None));

    let read = ask(&router, "GET", &path, Value::Null).await;
    assert_eq!((read.status.as_u16(), read.json(), read.header("etag")), (200, doc.clone(), made.header("etag")));
    let head = ask(&router, "HEAD", &path, Value::Null).await;
    assert_eq!((head.status.as_u16(), head.bytes.len(), head.header("etag")), (200, 0, made.header("etag")));

    let patched = ask(&router, "PATCH", &path, json!({"age": 36})).await;
    assert_eq!((patched.status.as_u16(), &patched.json()["age"]), (200, &json!(36)));
    let merged =
        ask_with(&router, "PATCH", &path, json!({"age": 37}), &[("content-type", "application/merge-patch+json")])
            .await;
    assert_eq!(merged.json()["age"], 37);
    let operated = ask(&router, "PATCH", &path, json!({"$inc": {"age": 1}, "$set": {"role": "admin"}})).await;
    assert_eq!((&operated.json()["age"], &operated.json()["role"]), (&json!(38), &json!("admin")));
    assert!(operated.json()["_rev"].as_u64() > merged.json()["_rev"].as_u64());

    let deleted = ask(&router, "DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status.as_u16(), deleted.json()), (200, operated.json()));
    ask(&router, "GET", &path, Value::Null).await.assert_problem(404, "NOT_FOUND");
    ask(&router, "DELETE", &path, Value::Null).await.assert_problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_replacement_keeps_what_is_private_and_was_not_sent() {
    let app = app().await;
    let router = app.router();
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    let replaced = ask(&router, "PUT", &path, json!({"email": "countess@example.com", "age": 36})).await;
    assert_eq!((replaced.status.as_u16(), &replaced.json()["age"]), (200, &json!(36)));
    let stored = app
        .model::<crate::support::User>()
        .get(doc["_id"].as_str().unwrap().parse::<Id<crate::support::User>>().unwrap())
        .await
        .unwrap();
    assert_eq!(stored.unwrap().password.get().map(String::as_str), Some(CANARY));
    ask(&router, "PUT", &path, json!({"email": "x", "password": "short"}))
        .await
        .assert_problem(422, "VALIDATION_ERROR");
    ask(&router, "PUT", "/users/nobody", user("x")).await.assert_problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_revision_that_is_not_the_expected_one_is_a_failed_precondition() {
    let router = app().await.router();
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    let tag = format!("\"{}\"", doc["_rev"]);
    let fresh = ask_with(&router, "PATCH", &path, json!({"age": 1}), &[("if-match", &tag)]).await;
    assert_eq!(fresh.status, 200);
    for (method, body) in [("PATCH", json!({"age": 2})), ("PUT", user("ada@example.com")), ("DELETE", Value::Null)] {
        let stale = ask_with(&router, method, &path, body.clone(), &[("if-match", &tag)]).await;
        let problem = stale.assert_problem(412, "CONFLICT");
        assert_eq!((&problem["expected"], &problem["actual"]), (&doc["_rev"], &fresh.json()["_rev"]), "{method}");
        ask_with(&router, method, &path, body, &[("if-match", "7")]).await.assert_problem(400, "INVALID_REQUEST");
    }
    let any = ask_with(&router, "DELETE", &path, Value::Null, &[("if-match", "*")]).await;
    assert_eq!(any.status, 200);
}

#[tokio::test]
async fn lists_are_filtered_sorted_cut_and_counted() {
    let router = app().await.router();
    for age in 0..7 {
        let body = json!({"email": format!("u{age}@example.com"), "password": CANARY, "age": age});
        assert_eq!(ask(&router, "POST", "/users", body).await.status, 201);
    }
    let list = ask(
        &router,
        "GET",
        "/users?filter=%7B%22age%22%3A%7B%22%24gte%22%3A3%7D%7D&sort=%7B%22age%22:-1%7D&skip=1&limit=2&count=true",
        Value::Null,
    )
    .await;
    let body = list.json();
    let ages: Vec<_> = body["items"].as_array().unwrap().iter().map(|doc| doc["age"].as_i64().unwrap()).collect();
    assert_eq!((ages, &body["count"], body["nextCursor"].is_string()), (vec![5, 4], &json!(4), true));
    assert_eq!(body["seq"].to_string(), list.header("modeller-seq"));
    let all = ask(&router, "GET", "/users", Value::Null).await.json();
    assert_eq!((all["items"].as_array().unwrap().len(), all.get("count"), &all["nextCursor"]), (7, None, &Value::Null));

    let same = json!({"filter": {"age": {"$gte": 3}}, "sort": {"age": -1}, "skip": 1, "limit": 2, "count": true});
    assert_eq!(ask(&router, "POST", "/users/@query", same).await.json()["items"], body["items"]);
    assert_eq!(ask(&router, "POST", "/users/@query", json!({})).await.json()["items"], all["items"]);
}

#[tokio::test]
async fn methods_are_called() {
    let router = app().await.router();
    insert_user(&router, "ada@example.com").await;
    let promoted = ask(&router, "POST", "/users/promote", json!({"email": "ada@example.com"})).await;
    assert_eq!((promoted.status.as_u16(), &promoted.json()["role"]), (200, &json!("admin")));
    assert_eq!(ask(&router, "POST", "/users/ping", Value::Null).await.json(), "pong");
    assert_eq!(ask(&router, "POST", "/users/ping", json!({})).await.json(), "pong");
    let problem = ask(&router, "POST", "/users/quota", Value::Null).await.assert_problem(402, "QUOTA_EXCEEDED");
    assert_eq!(problem["limit"], 3);
}

#[tokio::test]
async fn an_internal_error_shows_an_id_and_not_its_cause() {
    let router = app().await.router();
    for method in ["explode", "panics"] {
        let problem =
            ask(&router, "POST", &format!("/users/{method}"), Value::Null).await.assert_problem(500, "INTERNAL");
        assert!(problem["id"].as_str().unwrap().len() > 30, "{problem}");
        assert_eq!(problem["detail"], "internal error");
    }
    assert_eq!(ask(&router, "POST", "/users/ping", Value::Null).await.json(), "pong");
}

#[tokio::test]
async fn health_and_sequence_numbers() {
    let router = app().await.router();
    let health = ask(&router, "GET", "/@health", Value::Null).await;
    assert_eq!((health.status.as_u16(), health.json()), (200, json!({"status": "ok"})));
    let before: u64 = health.header("modeller-seq").parse().unwrap();
    let made = ask(&router, "POST", "/users", user("a@example.com")).await;
    let after: u64 = made.header("modeller-seq").parse().unwrap();
    assert!(after > before);
    let seen = ask_with(&router, "GET", "/users", Value::Null, &[("modeller-min-seq", &after.to_string())]).await;
    assert_eq!(seen.status, 200);
    let unknown = ask_with(&router, "GET", "/users", Value::Null, &[("modeller-min-seq", "999999")]).await;
    unknown.assert_problem(504, "TIMEOUT");
    ask_with(&router, "GET", "/users", Value::Null, &[("modeller-min-seq", "x")])
        .await
        .assert_problem(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn metadata_shows_what_the_caller_may_reach() {
    let app = app().await;
    let router = app.router();
    let of_anyone = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let of_ada = ask_with(&router, "GET", "/@metadata", Value::Null, &[("authorization", &bearer)]).await.json();
    let ids = |metadata: &Value| -> Vec<String> {
        metadata["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids(&of_anyone), ids(&of_ada)),
        (vec!["notes".to_owned(), "users".to_owned()], vec!["notes".to_owned(), "users".to_owned()])
    );
    // `notes` is there for its public method alone.
    assert_eq!((of_anyone["models"][0].get("schema"), &of_anyone["models"][0]["fields"]), (None, &json!([])));
    assert_eq!(of_anyone["models"][0]["operations"][0]["id"], "motd");
    assert_eq!(of_ada["models"][0]["schema"]["properties"]["text"]["type"], "string");

    let users = &of_anyone["models"][1];
    assert_eq!(
        (&users["access"], &users["schema"]["properties"]["email"]["type"]),
        (&json!("public"), &json!("string"))
    );
    let email = users["fields"].as_array().unwrap().iter().find(|field| field["name"] == "email").unwrap();
    assert_eq!((&email["unique"], &email["private"]), (&json!(true), &json!(false)));
    let operations: Vec<_> =
        users["operations"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(
        operations.contains(&"promote") && !operations.contains(&"sweep") && !operations.contains(&"secret_report")
    );
    let promote = users["operations"].as_array().unwrap().iter().find(|it| it["id"] == "promote").unwrap();
    assert_eq!(
        (&promote["description"], &promote["args"]["required"]),
        (&json!("Makes somebody an administrator."), &json!(["email"]))
    );
    assert_eq!(users["events"][0]["id"], "shout");
    assert!(of_ada["models"][1]["operations"].to_string().contains("secret_report"));
    assert!(!of_anyone.to_string().contains("ledger"));
    assert_eq!(of_anyone["version"], 1);
}

#[model(id = "racks", public)]
pub struct Rack {
    pub name: String,
}

#[model(id = "units", parent = Rack, public)]
pub struct Unit {
    pub height: u8,
}

#[model(id = "keys", parent = Rack)]
pub struct RackKey {
    pub code: String,
}

#[model(id = "audits", parent = Rack, protected)]
pub struct RackAudit {
    pub by: String,
}

#[method(Unit)]
async fn tallest(units: Model<Unit>) -> Result<u8> {
    Ok(units.find(Filter::all()).await?.iter().map(|unit| unit.height).max().unwrap_or_default())
}

/// M14 over the wire: an extension has routes of its own, and its parent tells of those that the caller may reach.
#[tokio::test]
async fn m14_extensions_have_routes_and_rights_of_their_own() {
    let app = App::new()
        .model::<Rack>()
        .model::<Unit>()
        .model::<RackKey>()
        .model::<RackAudit>()
        .secret(SECRET)
        .in_memory()
        .open()
        .await
        .unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/racks.units", json!({"height": 2})).await;
    assert_eq!(made.status.as_u16(), 201);
    let location = made.header("location").to_owned();
    assert!(location.starts_with("/racks.units/"), "{location}");
    assert_eq!(ask(&router, "GET", &location, Value::Null).await.json()["height"], 2);
    assert_eq!(ask(&router, "POST", "/racks.units/tallest", Value::Null).await.json(), 2);
    assert_eq!(ask(&router, "GET", "/racks", Value::Null).await.json()["items"], json!([]), "not merged");
    for absent in ["/racks.keys", "/racks.nothing", "/units", "/racks.", "/racks.units.more", "/.units"] {
        ask(&router, "GET", absent, Value::Null).await.assert_problem(404, "MODEL_NOT_FOUND");
    }
    ask(&router, "GET", "/racks.audits", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");

    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let told = |metadata: &Value| {
        let models = metadata["models"].as_array().unwrap().iter();
        models.map(|model| (model["id"].clone(), model["extensions"].clone())).collect::<Vec<_>>()
    };
    let (racks, units) = (json!("racks"), json!("racks.units"));
    assert_eq!(told(&metadata), [(racks.clone(), json!(["units"])), (units.clone(), Value::Null)]);
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let metadata = ask_with(&router, "GET", "/@metadata", Value::Null, &[("authorization", &bearer)]).await.json();
    let audits = (json!("racks.audits"), Value::Null);
    assert_eq!(told(&metadata), [(racks, json!(["audits", "units"])), audits, (units, Value::Null)]);

    let served = serve(app.clone()).await;
    let mut socket = served.socket(None).await;
    let answer = socket.ask("subscribe", json!({"model": "racks.units", "filter": {"height": 2}})).await;
    assert!(answer["result"]["subscription"].is_string(), "{answer}");
    let answer = socket.ask("call", json!({"model": "racks.units", "method": "tallest"})).await;
    assert_eq!(answer["result"], 2);
}

#[tokio::test]
async fn s5_models_methods_and_events_are_endpoints_without_wiring() {
    let served = served().await;
    let router = served.app.router();
    let user = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", user["_id"].as_str().unwrap());
    assert_eq!(ask(&router, "GET", &path, Value::Null).await.json(), user);
    assert_eq!(ask(&router, "POST", "/users/ping", Value::Null).await.json(), "pong");
    // The same by a socket, where an event reaches the room.
    let mut socket = served.socket(None).await;
    let answer = socket.ask("call", json!({"model": "users", "method": "ping"})).await;
    assert_eq!(answer["result"], "pong");
    let room = json!({"role": "user"});
    socket.ask("subscribe", json!({"model": "users", "filter": room})).await;
    let said = json!({"model": "users", "filter": room, "event": "shout", "args": {"text": "hello"}});
    socket.request("dispatch", said).await;
    assert_eq!(socket.frame().await.unwrap()["params"]["payload"], "hello");
    // Behind what the model says of who may reach it.
    ask(&router, "GET", "/notes", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    ask(&router, "GET", "/ledger", Value::Null).await.assert_problem(404, "MODEL_NOT_FOUND");
}

#[tokio::test]
async fn s7_the_metadata_advertises_models_operations_and_events() {
    let app = app().await;
    let router = app.router();
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let models = metadata["models"].as_array().unwrap();
    let users = models.iter().find(|model| model["id"] == "users").unwrap();
    let ids =
        |of: &Value| of.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(ids(&users["operations"]).contains(&"promote".to_owned()), "{users}");
    assert_eq!(ids(&users["events"]), ["shout"]);
    assert_eq!(users["access"], "public");
    assert_eq!(users["schema"]["properties"]["email"]["type"], "string");
    let promote = users["operations"].as_array().unwrap().iter().find(|it| it["id"] == "promote").unwrap();
    assert_eq!(promote["description"], "Makes somebody an administrator.");
    assert_eq!(promote["args"]["properties"]["email"]["type"], "string");
    // Of what the caller may not reach it says nothing.
    assert!(!ids(&users["operations"]).contains(&"secret_report".to_owned()));
    assert!(models.iter().all(|model| model["id"] != "ledger"));
}

/// Method, path, body, headers.
type Asked<'a> = (&'a str, &'a str, Value, &'a [(&'a str, &'a str)]);

/// What a server answers by itself, and what its routes answer in somebody else's.
#[tokio::test]
async fn a_server_answers_as_its_routes_do() {
    let served = served().await;
    let router = served.app.router();
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    let bearer = format!("Bearer {}", token(&served.app, "ada"));
    let tag = format!("\"{}\"", doc["_rev"]);
    let none: &[(&str, &str)] = &[];
    let (known, verified) = ([("if-none-match", tag.as_str())], [("authorization", bearer.as_str())]);
    let mut asked: Vec<Asked<'_>> = vec![
        ("GET", &path, Value::Null, none),
        ("GET", &path, Value::Null, &known),
        ("GET", &path, Value::Null, &verified),
        ("GET", &path, Value::Null, &[("authorization", "Bearer x.y.z")]),
        ("GET", &path, Value::Null, &[("modeller-min-seq", "x")]),
        ("GET", &path, Value::Null, &[("origin", "https://elsewhere.example"), ("cookie", "a=b")]),
        ("HEAD", &path, Value::Null, none),
        ("OPTIONS", &path, Value::Null, none),
        ("POST", "/users", json!({"email": 1}), none),
        ("POST", "/users", Value::Null, none),
        ("POST", "/users", json!([]), &[("content-type", "text/plain")]),
        ("POST", "/users/nothing", json!({}), none),
        ("POST", "/users/@query", json!({"filter": {"role": "user"}}), none),
        ("POST", "/ledger", json!({}), none),
        ("POST", "/notes", json!({"text": "a"}), none),
        ("PUT", "/users", json!({}), none),
    ];
    let paths = [
        "/",
        "//",
        "///",
        "/users",
        "/users?limit=1&count=true",
        "/users?limit=x",
        "/users?",
        "/users/",
        "/users//",
        "//users",
        "/users/a/b",
        "/users/nobody",
        "/users/%6eobody",
        "/%75sers",
        "/users/%ff",
        "/users/@trash",
        "/@health",
        "/@nothing",
        "/nowhere",
        "/nowhere/x",
        "/ledger",
        "/ledger/x",
        "/notes",
        "/notes/x",
        "/users/..",
        "/./users",
        "/Users",
        "/users/a%2Fb",
    ];
    asked.extend(paths.iter().map(|path| ("GET", *path, Value::Null, none)));
    for (method, path, body, headers) in asked {
        let by_routes = ask_with(&router, method, path, body.clone(), headers).await;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        let all = headers.iter().copied().chain([("content-type", "application/json")]);
        for (at, (name, value)) in all.enumerate() {
            // The one that is given counts.
            if at < headers.len() || (!body.is_empty() && !headers.iter().any(|(given, _)| given == &name)) {
                head += &format!("{name}: {value}\r\n");
            }
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        let answer = served.raw(format!("{head}\r\n{body}").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer}"));
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(status, by_routes.status.as_u16(), "{method} {path}: {answer}");
        assert_eq!(body.as_bytes(), &*by_routes.bytes, "{method} {path}");
        let changing = ["date", "connection", "content-length", "transfer-encoding", "x-request-id"];
        let mut of_server: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .filter(|(name, _)| !changing.contains(&name.as_str()))
            .collect();
        let mut of_routes: Vec<(String, String)> = by_routes
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
            .filter(|(name, _)| !changing.contains(&name.as_str()))
            .collect();
        of_server.sort();
        of_routes.sort();
        assert_eq!(of_server, of_routes, "{method} {path}");
    }
}
