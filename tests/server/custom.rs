//! Routes of the program's own.

use std::sync::{Arc, Mutex};

use modeller::prelude::*;
use modeller::server::RouteResponse;
use serde_json::{Value, json};

use crate::support::*;

#[model(id = "things")]
pub(crate) struct Thing {
    pub(crate) name: String,
    #[field(default)]
    pub(crate) secret: Private<String>,
}

/// Which thing.
#[value]
pub(crate) struct ThingPath {
    pub(crate) id: Id<Thing>,
}

#[value]
pub(crate) struct Rename {
    #[field(min_length = 1)]
    pub(crate) name: String,
}

#[value]
pub(crate) struct Search {
    #[field(default)]
    pub(crate) words: Vec<String>,
    #[field(default = 10, maximum = 100)]
    pub(crate) limit: u32,
    #[field(default)]
    pub(crate) exact: Option<bool>,
}

#[value]
pub(crate) struct SquarePath {
    pub(crate) number: i32,
}

mod routes {
    use super::*;

    pub(super) const HERE: &str = module_path!();

    /// Whether the program answers.
    #[route(GET, "/ping")]
    async fn ping(caller: Caller) -> Result<String> {
        Ok(format!("pong {}", caller.subject().unwrap_or("anyone")))
    }

    #[route(GET, "/me", protected)]
    async fn me(caller: &Caller) -> Result<Option<String>> {
        Ok(caller.subject().map(str::to_owned))
    }

    #[route(GET, "/square/{number}")]
    async fn square(PathArgs(path): PathArgs<SquarePath>) -> Result<i64> {
        Ok(i64::from(path.number).pow(2))
    }

    #[route(GET, "/search")]
    async fn search(QueryArgs(search): QueryArgs<Search>) -> Result<Value> {
        Ok(json!({"words": search.words, "limit": search.limit, "exact": search.exact}))
    }

    /// Makes a thing.
    #[route(POST, "/make")]
    async fn make(args: Rename, System(things): System<Model<Thing>>) -> Result<Doc<Thing>> {
        things.insert(Thing { name: args.name, secret: CANARY.to_owned().into() }).await
    }

    /// Gives a thing another name, and refuses afterwards where it is told to: then it has the old one.
    #[route(PATCH, "/rename/{id}", protected)]
    async fn rename(
        args: Rename,
        PathArgs(path): PathArgs<ThingPath>,
        System(things): System<Model<Thing>>,
        call: Call,
    ) -> Result<Doc<Thing>> {
        assert_eq!(call.attempt(), 1);
        let thing = things.update(&path.id, Thing::NAME.set(&args.name)).await?;
        if args.name == "refused" {
            return Err(Error::new("REFUSED").status(418));
        }
        Ok(thing)
    }

    /// The same outside of a transaction: what was written stays.
    #[route(PUT, "/rename/{id}", transaction = none, id = "rename_at_once")]
    async fn rename_at_once(
        args: Rename,
        PathArgs(path): PathArgs<ThingPath>,
        System(things): System<Model<Thing>>,
    ) -> Result<()> {
        things.update(&path.id, Thing::NAME.set(&args.name)).await?;
        Err(Error::new("REFUSED").status(418))
    }

    /// As the caller, who may not reach the model.
    #[route(GET, "/count")]
    async fn count(things: Model<Thing>) -> Result<usize> {
        things.count(Filter::all()).await
    }

    #[route(POST, "/raw/{*rest}")]
    async fn raw(request: RouteRequest) -> Result<Value> {
        Ok(json!({
            "method": request.method(), "path": request.path(), "query": request.query(), "rest": request.param("rest"),
            "kind": request.header("Content-Type"), "length": request.body().len(),
        }))
    }

    #[route(GET, "/robots.txt")]
    async fn robots() -> Result<RouteResponse> {
        Ok(RouteResponse::new("Disallow: /"))
    }

    #[route(DELETE, "/door")]
    async fn door() -> Result<RouteResponse> {
        Ok(RouteResponse::new((axum::http::StatusCode::ACCEPTED, [("x-door", "shut")])))
    }

    #[route(GET, "/explode")]
    async fn explode() -> Result<()> {
        Err(Error::internal(CANARY))
    }

    #[route(GET, "/panic")]
    async fn panics() -> Result<()> {
        panic!("{CANARY}")
    }
}

/// What clashes with others, each alone in its module.
mod clashing {
    pub(super) mod of_a_model {
        use modeller::prelude::*;
        pub(in super::super) const HERE: &str = module_path!();

        #[route(GET, "/things/special")]
        async fn special() -> Result<()> {
            Ok(())
        }
    }

    pub(super) mod twice {
        use modeller::prelude::*;
        pub(in super::super) const HERE: &str = module_path!();

        #[route(GET, "/once")]
        async fn once() -> Result<()> {
            Ok(())
        }

        #[route(GET, "/once", id = "other")]
        async fn again() -> Result<()> {
            Ok(())
        }
    }

    pub(super) mod path {
        use modeller::prelude::*;
        pub(in super::super) const HERE: &str = module_path!();

        #[value]
        pub struct Two {
            pub a: u8,
            pub b: u8,
        }

        #[route(GET, "/two/{a}")]
        async fn two(PathArgs(two): PathArgs<Two>) -> Result<u8> {
            Ok(two.a + two.b)
        }

        #[route(GET, "/three/{a}/{b}/{c}")]
        async fn three(PathArgs(two): PathArgs<Two>) -> Result<u8> {
            Ok(two.a + two.b)
        }
    }
}

fn builder() -> modeller::AppBuilder {
    App::new()
        .model::<Thing>()
        .secret(SECRET)
        .in_memory()
        .routes_in(routes::HERE)
        .route(HttpMethod::Post, "/system/ping", |_| async { Ok(json!({"ok": true})) })
        .protected_route(HttpMethod::Get, "/system/who", |request: RouteRequest| async move {
            Ok(request.caller().subject().map(str::to_owned))
        })
}

async fn world() -> (App, axum::Router, String) {
    let app = builder().open().await.unwrap();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    (app.clone(), app.router(), bearer)
}

#[tokio::test]
async fn s2_routes_of_the_programs_own_are_declared_and_given() {
    let (_app, router, bearer) = world().await;
    let verified = [("authorization", bearer.as_str())];
    let answer = ask(&router, "GET", "/ping", Value::Null).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!("pong anyone")));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(ask_with(&router, "GET", "/ping", Value::Null, &verified).await.json(), "pong ada");
    // The flag.
    let refused = ask(&router, "GET", "/me", Value::Null).await;
    refused.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    assert_eq!(ask_with(&router, "GET", "/me", Value::Null, &verified).await.json(), "ada");
    // Given as closures, as the reference package has them.
    assert_eq!(ask(&router, "POST", "/system/ping", Value::Null).await.json(), json!({"ok": true}));
    ask(&router, "GET", "/system/who", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(ask_with(&router, "GET", "/system/who", Value::Null, &verified).await.json(), "ada");
}

#[tokio::test]
async fn path_and_query_are_typed_and_checked() {
    let (_app, router, _) = world().await;
    for (path, answer) in [
        ("/square/-12", json!(144)),
        ("/search", json!({"words": [], "limit": 10, "exact": null})),
        ("/search?words=a&limit=3&words=b+c&exact=true", json!({"words": ["a", "b c"], "limit": 3, "exact": true})),
    ] {
        assert_eq!(ask(&router, "GET", path, Value::Null).await.json(), answer, "{path}");
    }
    for (path, place, instance_path, keyword) in [
        ("/square/many", "path", "/number", "type"),
        ("/search?limit=101", "query", "/limit", "maximum"),
        ("/search?limit=x", "query", "/limit", "type"),
        ("/search?exact=yes", "query", "/exact", "type"),
        ("/search?unknown=1", "query", "", "additionalProperties"),
    ] {
        let problem = ask(&router, "GET", path, Value::Null).await.assert_problem(422, "VALIDATION_ERROR");
        let told = (&problem["in"], &problem["errors"][0]["instancePath"], &problem["errors"][0]["keyword"]);
        assert_eq!(told, (&json!(place), &json!(instance_path), &json!(keyword)), "{path}: {problem}");
    }
    ask(&router, "GET", "/square/99999999999", Value::Null).await.assert_problem(422, "VALIDATION_ERROR");
    ask(&router, "GET", "/search?limit=1&limit=2", Value::Null).await.assert_problem(400, "INVALID_REQUEST");
    ask(&router, "GET", "/search?limit=%zz", Value::Null).await.assert_problem(400, "INVALID_QUERY");
}

#[tokio::test]
async fn a_body_is_typed_and_a_route_is_a_transaction() {
    let (app, router, bearer) = world().await;
    let verified = [("authorization", bearer.as_str())];
    let thing = ask(&router, "POST", "/make", json!({"name": "old"})).await.json();
    assert!(thing.get("secret").is_none() && thing["name"] == "old", "{thing}");
    let id: Id<Thing> = thing["_id"].as_str().unwrap().parse().unwrap();
    let path = format!("/rename/{id}");
    let name = || async { app.model::<Thing>().get(&id).await.unwrap().unwrap().name.clone() };
    let problem = ask_with(&router, "PATCH", &path, json!({"name": ""}), &verified).await;
    assert_eq!(problem.assert_problem(422, "VALIDATION_ERROR")["errors"][0]["instancePath"], "/name");
    ask_with(&router, "PATCH", &path, Value::Null, &verified).await.assert_problem(422, "VALIDATION_ERROR");
    let text = [("content-type", "text/plain"), verified[0]];
    ask_with(&router, "PATCH", &path, json!({"name": "x"}), &text).await.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    // Who may not ask learns nothing of what else is wrong.
    ask(&router, "PATCH", &path, json!({"name": ""})).await.assert_problem(401, "UNAUTHENTICATED");
    let renamed = ask_with(&router, "PATCH", &path, json!({"name": "new"}), &verified).await.json();
    assert_eq!((renamed["name"].as_str(), name().await.as_str()), (Some("new"), "new"));
    ask_with(&router, "PATCH", &path, json!({"name": "refused"}), &verified).await.assert_problem(418, "REFUSED");
    assert_eq!(name().await, "new", "it was rolled back");
    ask(&router, "PUT", &path, json!({"name": "kept"})).await.assert_problem(418, "REFUSED");
    assert_eq!(name().await, "kept", "it is no transaction");
    ask_with(&router, "PATCH", "/rename/unknown", json!({"name": "x"}), &verified)
        .await
        .assert_problem(404, "NOT_FOUND");
    // The handle that acts as the caller does so.
    ask(&router, "GET", "/count", Value::Null).await.assert_problem(403, "FORBIDDEN");
}

#[tokio::test]
async fn requests_and_answers_as_they_are() {
    let (_app, router, _) = world().await;
    let raw = axum::http::Request::post("/raw/a/b%20c?x=1&y").header("content-type", "text/csv").body("1,2".into());
    assert_eq!(
        send(&router, raw.unwrap()).await.json(),
        json!({"method": "POST", "path": "/raw/a/b%20c", "query": "x=1&y", "rest": "a/b c", "kind": "text/csv", "length": 3})
    );
    let robots = ask(&router, "GET", "/robots.txt", Value::Null).await;
    assert_eq!((robots.header("content-type"), &*robots.bytes), ("text/plain; charset=utf-8", &b"Disallow: /"[..]));
    let door = ask(&router, "DELETE", "/door", Value::Null).await;
    assert_eq!((door.status.as_u16(), door.header("x-door"), door.bytes.len()), (202, "shut", 0));
    let head = ask(&router, "HEAD", "/ping", Value::Null).await;
    assert_eq!((head.status.as_u16(), head.header("content-type"), head.bytes.len()), (200, "application/json", 0));
    let wrong = ask(&router, "POST", "/ping", Value::Null).await;
    wrong.assert_problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    ask(&router, "GET", "/explode", Value::Null).await.assert_problem(500, "INTERNAL");
    ask(&router, "GET", "/panic", Value::Null).await.assert_problem(500, "INTERNAL");
    let large = "x".repeat((1 << 20) + 1);
    let large = axum::http::Request::post("/raw/large").body(large.into()).unwrap();
    send(&router, large).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn routes_are_in_the_metadata_of_who_may_reach_them() {
    let (_app, router, bearer) = world().await;
    let listed = |metadata: Value| -> Vec<String> {
        let routes = metadata["routes"].as_array().unwrap().iter();
        routes
            .map(|route| format!("{} {}", route["method"].as_str().unwrap(), route["path"].as_str().unwrap()))
            .collect()
    };
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let ping = metadata["routes"].as_array().unwrap().iter().find(|route| route["path"] == "/ping").unwrap();
    assert_eq!(
        ping,
        &json!({"id": "ping", "method": "GET", "path": "/ping", "access": "public", "raw": false,
                "description": "Whether the program answers.",
                "output": {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "string", "type": "string"}})
    );
    let square = metadata["routes"].as_array().unwrap().iter().find(|route| route["id"] == "square").unwrap();
    assert_eq!(square["params"]["properties"]["number"]["type"], "integer");
    let anyone = listed(metadata);
    let verified = ask_with(&router, "GET", "/@metadata", Value::Null, &[("authorization", &bearer)]).await.json();
    let of_verified = listed(verified);
    let more: Vec<&String> = of_verified.iter().filter(|route| !anyone.contains(route)).collect();
    assert_eq!(more, ["GET /me", "PATCH /rename/{id}", "GET /system/who"]);
    assert!(of_verified.is_sorted_by_key(|route| route.split_once(' ').unwrap().1.to_owned()), "{of_verified:?}");
}

#[tokio::test]
async fn requests_to_protected_routes_are_told_so() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let requested = told.clone();
    let app = builder()
        .on_request(move |event| {
            requested.lock().unwrap().push(format!(
                "{} {:?} {}",
                event.method,
                event.route.as_deref(),
                event.protected
            ));
        })
        .open()
        .await
        .unwrap();
    let router = axum::Router::new().nest("/api", app.router());
    for (path, line) in [
        ("/ping", "GET Some(\"/api/ping\") false"),
        ("/me", "GET Some(\"/api/me\") true"),
        ("/square/5", "GET Some(\"/api/square/{number}\") false"),
    ] {
        ask(&router, "GET", &format!("/api{path}"), Value::Null).await;
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), [line]);
    }
}

/// What is wrong with an application.
async fn refused(builder: modeller::AppBuilder) -> String {
    let error = builder.in_memory().open().await.err().unwrap();
    assert_eq!(error.code().as_str(), "INVALID_DECLARATION");
    error.text().to_owned()
}

#[tokio::test]
async fn routes_that_clash_are_refused_with_both_places() {
    let told = refused(App::new().model::<Thing>().routes_in(clashing::of_a_model::HERE)).await;
    assert!(told.contains("`GET /things/special`") && told.contains("of the model `things`"), "{told}");
    assert_eq!(told.matches("custom.rs:").count(), 2, "{told}");
    // Without the model it is a route as any other.
    App::new().routes_in(clashing::of_a_model::HERE).in_memory().open().await.unwrap();
    let told = refused(App::new().routes_in(clashing::twice::HERE)).await;
    assert!(told.contains("two routes `GET /once`"), "{told}");
    assert_eq!(told.matches("custom.rs:").count(), 2, "{told}");
    let told = refused(App::new().routes_in(clashing::path::HERE)).await;
    assert!(told.contains("no parameter `{b}`") && told.contains("no field for the parameter `{c}`"), "{told}");

    let nothing = |_| async { Ok(()) };
    let given = |path: &str| App::new().route(HttpMethod::Get, path, nothing);
    for (path, what) in [
        ("ping", "a path begins with `/`"),
        ("/@ping", "the server's own"),
        ("/{all}", "the ids of models stand there"),
        ("/a/{x}/{x}", "two parameters are named `x`"),
        ("/a/b{x}", "a segment of its own"),
        ("/socket.io", "Socket.IO"),
    ] {
        let told = refused(given(path)).await;
        assert!(told.contains(what) && told.contains("custom.rs:"), "{told}");
    }
    let told = refused(given("/a/{x}").route(HttpMethod::Post, "/a/{y}", nothing)).await;
    assert!(told.contains("cannot be told apart"), "{told}");
    let open = given("/a/{x}").route(HttpMethod::Post, "/a/{x}", nothing).route(HttpMethod::Get, "/a/b", nothing);
    let router = open.in_memory().open().await.unwrap().router();
    assert_eq!(ask(&router, "POST", "/a/b", Value::Null).await.header("allow"), "GET,HEAD");
    let schema = SchemaModel::new("pages", json!({"type": "object"})).public();
    let told = refused(given("/pages").schema_model(schema)).await;
    assert!(told.contains("of the model `pages` (given as JSON)"), "{told}");
}
