//! What surrounds the routes, and what operators see of a server.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use modeller::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Answer, User, app, ask, ask_with, insert_user, request, send, serve, token};

const PAGE: &str = "https://app.example.com";

async fn with_origin(origin: &str) -> Router {
    App::new().model::<User>().allow_origin(origin).in_memory().open().await.unwrap().router()
}

#[tokio::test]
async fn every_get_has_a_head_and_every_route_options() {
    let router = app().await.router();
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    for path in ["/users", &path, "/@metadata", "/@health", "/@ready", "/users?limit=x"] {
        let (got, head) = (ask(&router, "GET", path, Value::Null).await, ask(&router, "HEAD", path, Value::Null).await);
        assert_eq!((head.status, head.bytes.len()), (got.status, 0), "{path}");
        for name in ["content-type", "etag", "allow", "cache-control"] {
            assert_eq!(head.header(name), got.header(name), "{path}: {name}");
        }
        assert_eq!(head.header("content-length"), got.bytes.len().to_string(), "{path}");
    }
    for (path, allow) in [
        ("/users", "GET,HEAD,POST,PATCH,DELETE"),
        (path.as_str(), "GET,HEAD,PATCH,PUT,DELETE,POST"),
        ("/users/@query", "POST"),
        ("/@metadata", "GET,HEAD"),
    ] {
        let answer = ask(&router, "OPTIONS", path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow"), answer.bytes.len()), (204, allow, 0), "{path}");
    }
    ask(&router, "OPTIONS", "/a/b/c", Value::Null).await.assert_problem(404, "NOT_FOUND");
    let served = serve(app().await).await;
    let answer = served.raw(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

#[tokio::test]
async fn other_origins_are_told_nothing_unless_they_are_allowed() {
    let preflight = [("origin", PAGE), ("access-control-request-method", "PATCH")];
    let router = app().await.router();
    for (method, path) in [("GET", "/users"), ("OPTIONS", "/users"), ("GET", "/nowhere/at/all")] {
        let answer = ask_with(&router, method, path, Value::Null, &preflight).await;
        let told: Vec<_> = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control")).collect();
        assert!(told.is_empty() && answer.header("vary").is_empty(), "{told:?}");
    }
    let router = with_origin(PAGE).await;
    let mut wanted = preflight.to_vec();
    wanted.push(("access-control-request-headers", "authorization,if-match"));
    let answer = ask_with(&router, "OPTIONS", "/users/x", Value::Null, &wanted).await;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,if-match");
    assert!(answer.header("access-control-allow-methods").contains("PATCH"));
    assert!(answer.header("vary").contains("origin") && answer.header("access-control-max-age") == "600");
    // Also errors are read by scripts.
    for (path, status) in [("/users", 200), ("/users?limit=x", 400), ("/nobody", 404)] {
        let answer = ask_with(&router, "GET", path, Value::Null, &[("origin", PAGE)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (status, PAGE));
        let exposed = answer.header("access-control-expose-headers");
        for name in ["etag", "modeller-seq", "location", "retry-after", "x-request-id", "upload-offset"] {
            assert!(exposed.contains(name), "{name}");
        }
        assert_eq!(answer.header("vary"), "origin");
    }
    for foreign in ["https://evil.example.com", "https://app.example.com.evil.com", "null", "http://app.example.com"] {
        for method in ["GET", "OPTIONS"] {
            let headers = [("origin", foreign), ("access-control-request-method", "GET")];
            let answer = ask_with(&router, method, "/users", Value::Null, &headers).await;
            assert!(answer.headers.get("access-control-allow-origin").is_none(), "{foreign}");
            assert_eq!(answer.header("vary"), "origin");
        }
    }
    // Anyone may read what anyone may know, and no cookie counts.
    let router = with_origin("*").await;
    let answer = ask_with(&router, "GET", "/users", Value::Null, &[("origin", "https://any.example.com")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.headers.get("access-control-allow-credentials").is_none());
    for wrong in ["app.example.com", "https://app.example.com/", "HTTPS://app.example.com"] {
        let error = App::new().allow_origin(wrong).in_memory().open().await.unwrap_err();
        assert!(error.text().contains(wrong), "{error}");
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

#[tokio::test]
async fn answers_are_compressed_where_it_is_worth_it() {
    let router = app().await.router();
    let doc = insert_user(&router, &format!("{}@example.com", "a".repeat(3_000))).await;
    for at in 0..100 {
        insert_user(&router, &format!("{at}@example.com")).await;
    }
    let takes = [("accept-encoding", "br, gzip")];
    let plain = ask(&router, "GET", "/users", Value::Null).await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    let packed = ask_with(&router, "GET", "/users", Value::Null, &takes).await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("gzip", "accept-encoding"));
    assert!(packed.bytes.len() * 4 < plain.bytes.len(), "{} of {}", packed.bytes.len(), plain.bytes.len());
    let unpacked: Value = serde_json::from_slice(&gunzip(&packed.bytes)).unwrap();
    assert!(unpacked["items"] == plain.json()["items"], "it is another list");
    let asked = ask_with(&router, "POST", "/users/@query", json!({"limit": 1000}), &takes).await;
    assert_eq!(asked.header("content-encoding"), "gzip");
    // What has an entity tag, what is short, and what a cookie was sent for.
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    assert_eq!(ask_with(&router, "GET", &path, Value::Null, &takes).await.header("content-encoding"), "");
    assert_eq!(ask_with(&router, "GET", "/@health", Value::Null, &takes).await.header("content-encoding"), "");
    let with_cookie = [takes[0], ("cookie", "session=1")];
    assert_eq!(ask_with(&router, "GET", "/users", Value::Null, &with_cookie).await.header("content-encoding"), "");
    let router = App::new().model::<User>().compress(false).in_memory().open().await.unwrap().router();
    assert_eq!(ask_with(&router, "GET", "/@metadata", Value::Null, &takes).await.header("content-encoding"), "");
}

#[tokio::test]
async fn requests_have_ids_and_answers_are_kept_by_nobody() {
    let router = app().await.router();
    let of = async |headers: &[(&str, &str)]| {
        ask_with(&router, "GET", "/users/x", Value::Null, headers).await.header("x-request-id").to_owned()
    };
    assert_eq!(of(&[("x-request-id", "mine-1")]).await, "mine-1");
    assert_eq!(of(&[("request-id", "mine-2")]).await, "mine-2");
    let (one, two) = (of(&[]).await, of(&[("x-request-id", "two words")]).await);
    assert!(one.len() == 32 && two.len() == 32 && one != two);
    let doc = insert_user(&router, "ada@example.com").await;
    let path = format!("/users/{}", doc["_id"].as_str().unwrap());
    for path in ["/users", &path, "/nobody", "/@metadata"] {
        assert_eq!(ask(&router, "GET", path, Value::Null).await.header("cache-control"), "no-store", "{path}");
    }
    let tag = format!("\"{}\"", doc["_rev"]);
    for known in [tag.as_str(), &format!("W/{tag}"), &format!("\"0\", {tag}"), "*"] {
        let answer = ask_with(&router, "GET", &path, Value::Null, &[("if-none-match", known)]).await;
        assert_eq!((answer.status.as_u16(), answer.bytes.len(), answer.header("etag")), (304, 0, tag.as_str()));
    }
    let newer = ask_with(&router, "GET", &path, Value::Null, &[("if-none-match", "\"0\"")]).await;
    assert_eq!((newer.status.as_u16(), newer.json()), (200, doc));
    let missing = ask_with(&router, "GET", "/users/x", Value::Null, &[("if-none-match", "*")]).await;
    missing.assert_problem(404, "NOT_FOUND");
}

fn from(addr: &str, host: &str, path: &str) -> Request<Body> {
    let mut request = request("GET", path, None, &[("host", host)]);
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(addr.parse().unwrap(), 4711)));
    request
}

/// All lines of the metrics are of the format, each series once.
fn check_prometheus(text: &str) {
    let mut seen = std::collections::BTreeSet::new();
    let mut kinds = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok() && seen.insert(series.to_owned()), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(kinds.contains_key(family) || kinds.contains_key(name), "{line}");
            assert!(series.ends_with('}') == series.contains('{'), "{line}");
        }
    }
    assert!(text.ends_with('\n'));
}

#[tokio::test]
async fn metrics_count_and_say_nothing_private() {
    let app = app().await;
    let router = app.router();
    insert_user(&router, "ada@example.com").await;
    for at in 0..50 {
        ask(&router, "GET", &format!("/users/nobody-{at}?limit=ada"), Value::Null).await;
        ask(&router, "GET", &format!("/made/up/path/{at}"), Value::Null).await;
    }
    let served = serve(app.clone()).await;
    let mut socket = served.socket(None).await;
    socket.ask("subscribe", json!({"model": "users", "filter": {"email": "ada@example.com"}})).await;
    let answer = send(&router, from("127.0.0.1", "localhost:3030", "/@metrics")).await;
    let text = String::from_utf8(answer.bytes).unwrap();
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    check_prometheus(&text);
    for line in [
        "modeller_requests_total{method=\"GET\",route=\"/{model}/{id}\",status=\"404\"} 50",
        "modeller_requests_total{method=\"GET\",route=\"\",status=\"404\"} 50",
        "modeller_requests_total{method=\"POST\",route=\"/{model}\",status=\"201\"} 1",
        "modeller_request_duration_seconds_count{route=\"/{model}/{id}\"} 50",
        "modeller_documents{model=\"users\"} 1",
        "modeller_documents{model=\"ledger\"} 0",
        "modeller_sockets 1",
        "modeller_connections 0",
        "modeller_subscriptions 1",
        "modeller_rooms 1",
        "modeller_commit_queue 0",
        "modeller_jobs 0",
        &format!("modeller_commits_total {}", app.seq()),
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("ada") && !text.contains("nobody") && !text.contains("made"), "{text}");
    let bytes = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    assert!(!cfg!(target_os = "linux") || bytes.unwrap().parse::<u64>().unwrap() > 1 << 20);
    drop(socket);
}

#[tokio::test]
async fn metrics_are_for_the_operator() {
    let app = app().await;
    let router = app.router();
    assert_eq!(send(&router, from("127.0.0.1", "localhost", "/@metrics")).await.status, 200);
    let by_proxy = |name: &'static str| {
        let mut request = from("127.0.0.1", "localhost", "/@metrics");
        request.headers_mut().insert(name, "192.0.2.1".parse().unwrap());
        request
    };
    for refused in [
        from("192.0.2.1", "localhost", "/@metrics"),
        from("127.0.0.1", "rebound.example.com", "/@metrics"),
        by_proxy("x-forwarded-for"),
        by_proxy("forwarded"),
        by_proxy("via"),
        // Of a connection that nobody knows.
        request("GET", "/@metrics", None, &[("host", "localhost")]),
    ] {
        send(&router, refused).await.assert_problem(404, "NOT_FOUND");
    }
    let served = serve(app).await;
    let head = format!("GET /@metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", served.addr);
    assert!(served.raw(head.as_bytes()).await.contains("modeller_info"));
    let networks = App::new().metrics_for(["10.0.0.0/8"]).in_memory().open().await.unwrap().router();
    assert_eq!(send(&networks, from("10.9.9.9", "anything", "/@metrics")).await.status, 200);
    send(&networks, from("127.0.0.1", "localhost", "/@metrics")).await.assert_problem(404, "NOT_FOUND");
    let nobody = App::new().metrics_for::<&str>([]).in_memory().open().await.unwrap().router();
    send(&nobody, from("127.0.0.1", "localhost", "/@metrics")).await.assert_problem(404, "NOT_FOUND");
}

async fn plain(router: &Router, method: &str, path: &str, body: Value) -> Answer {
    let response = router.clone().oneshot(request(method, path, (!body.is_null()).then_some(body), &[])).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

#[tokio::test]
async fn s1_a_server_with_a_domain_is_one_with_a_prefix() {
    let app = App::new().model::<User>().path_prefix("/api/v1").in_memory().open().await.unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/api/v1/users", crate::support::user("ada@example.com")).await;
    let location = made.header("location").to_owned();
    assert_eq!(location, format!("/api/v1/users/{}", made.json()["_id"].as_str().unwrap()));
    assert_eq!(ask(&router, "GET", &location, Value::Null).await.json(), made.json());
    for path in ["/api/v1/@metadata", "/api/v1/@health", "/api/v1/@ready", "/api/v1/users?limit=1"] {
        assert_eq!(ask(&router, "GET", path, Value::Null).await.status, 200, "{path}");
    }
    for path in ["/users", "/@health", "/api", "/api/v1", "/api/v2/users", "/api/v1/a/b/c"] {
        ask(&router, "GET", path, Value::Null).await.assert_problem(404, "NOT_FOUND");
    }
    ask(&router, "PUT", "/api/v1/users", json!({})).await.assert_problem(405, "METHOD_NOT_ALLOWED");
    // With a slash behind it, or as nothing, it is the same as without.
    for (prefix, path) in [("/api/", "/api/users"), ("", "/users"), ("/", "/users")] {
        let app = App::new().model::<User>().path_prefix(prefix).in_memory().open().await.unwrap();
        assert_eq!(ask(&app.router(), "GET", path, Value::Null).await.status, 200, "{prefix}");
    }
    for wrong in ["api", "/a b", "/{model}", "/a//b", "/a?b"] {
        let error = App::new().path_prefix(wrong).in_memory().open().await.unwrap_err();
        assert_eq!(error.code().as_str(), "INVALID_DECLARATION", "{wrong}");
    }
    let served = serve(app).await;
    let answer = served.raw(b"GET /api/v1/@health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// In a service of the program's own, with its state, its layers and its fallback.
#[tokio::test]
async fn in_an_axum_service_of_ones_own() {
    #[derive(Clone)]
    struct Own(&'static str);
    async fn own(axum::extract::State(Own(name)): axum::extract::State<Own>) -> String {
        json!({"name": name}).to_string()
    }
    async fn mine() -> (axum::http::StatusCode, &'static str) {
        (axum::http::StatusCode::IM_A_TEAPOT, "mine")
    }
    let app = app().await;
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let layer = axum::middleware::map_response(|mut response: axum::response::Response| async {
        response.headers_mut().insert("x-layer", "own".parse().unwrap());
        response
    });
    let merged = Router::new().route("/own", get(own)).with_state(Own("ada")).merge(app.router()).layer(layer.clone());
    assert_eq!(plain(&merged, "GET", "/own", Value::Null).await.json(), json!({"name": "ada"}));
    let made = plain(&merged, "POST", "/users", crate::support::user("ada@example.com")).await;
    assert_eq!((made.status.as_u16(), made.header("x-layer")), (201, "own"));
    assert_eq!(made.header("location"), format!("/users/{}", made.json()["_id"].as_str().unwrap()));
    plain(&merged, "GET", "/nobody", Value::Null).await.assert_problem(404, "MODEL_NOT_FOUND");
    plain(&merged, "GET", "/a/b/c", Value::Null).await.assert_problem(404, "NOT_FOUND");

    let nested = Router::new()
        .route("/own", get(own))
        .with_state(Own("bob"))
        .nest("/data", app.router())
        .fallback(mine)
        .layer(layer);
    assert_eq!(plain(&nested, "GET", "/own", Value::Null).await.json(), json!({"name": "bob"}));
    let made = plain(&nested, "POST", "/data/users", crate::support::user("bob@example.com")).await;
    let location = made.header("location").to_owned();
    assert_eq!(location, format!("/data/users/{}", made.json()["_id"].as_str().unwrap()));
    assert_eq!(plain(&nested, "GET", &location, Value::Null).await.json(), made.json());
    assert_eq!(made.header("x-layer"), "own");
    plain(&nested, "GET", "/data/a/b/c", Value::Null).await.assert_problem(404, "NOT_FOUND");
    plain(&nested, "GET", "/data/notes", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    let mut notes = request("GET", "/data/notes", None, &[("authorization", &bearer)]);
    *notes.version_mut() = axum::http::Version::HTTP_10;
    assert_eq!(nested.clone().oneshot(notes).await.unwrap().status(), 200);
    let elsewhere = plain(&nested, "GET", "/elsewhere", Value::Null).await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.bytes.as_slice()), (418, b"mine".as_slice()));
}

#[tokio::test]
async fn s8_what_is_protected_needs_a_bearer_token() {
    let app = app().await;
    let router = app.router();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    for (method, path) in [("GET", "/notes"), ("POST", "/users/secret_report")] {
        ask(&router, method, path, Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
        let cookie = [("cookie", bearer.as_str())];
        ask_with(&router, method, path, Value::Null, &cookie).await.assert_problem(401, "UNAUTHENTICATED");
        let answer = ask_with(&router, method, path, Value::Null, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, 200, "{path}");
        let cut = &bearer[..bearer.len() - 2];
        let wrong = ask_with(&router, method, path, Value::Null, &[("authorization", cut)]).await;
        wrong.assert_problem(401, "UNAUTHENTICATED");
    }
}

/// A subscriber that keeps the spans with what is recorded on them, and nothing else.
#[derive(Default)]
struct Spans(std::sync::Mutex<Vec<String>>);

struct Recorded<'a>(&'a mut String);

impl tracing::field::Visit for Recorded<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("modeller::")
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut spans = self.0.lock().unwrap();
        let mut text = attributes.metadata().name().to_owned();
        attributes.record(&mut Recorded(&mut text));
        spans.push(text);
        tracing::span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        values.record(&mut Recorded(&mut spans[span.into_u64() as usize - 1]));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[model(id = "traced", public)]
pub struct Traced {
    pub name: String,
}

#[hook(Traced, before(insert))]
async fn trace_me(traced: &mut Traced) -> Result<()> {
    traced.name.push('!');
    Ok(())
}

#[method(Traced)]
async fn trace_call() -> Result<()> {
    Ok(())
}

/// Each request and each run of a handler is a span; what a client sent is in none of them.
#[tokio::test]
async fn requests_and_runs_are_spans() {
    let spans = std::sync::Arc::new(Spans::default());
    let _guard = tracing::subscriber::set_default(spans.clone());
    // While there is one subscriber alone, the thread that meets the place of a span first decides for all whether somebody
    // listens. With a second one all of them are asked.
    let _second = tracing::Dispatch::new(Spans::default());
    // Other tests may have met it before, when nobody listened.
    tracing::callsite::rebuild_interest_cache();
    let app = App::new().model::<Traced>().in_memory().open().await.unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/traced", json!({"name": "s3cret"})).await.json();
    let path = format!("/traced/{}?s3cret=1", made["_id"].as_str().unwrap());
    ask_with(&router, "GET", &path, Value::Null, &[("x-request-id", "mine-7")]).await;
    ask(&router, "POST", "/traced/trace_call", Value::Null).await;
    let told = spans.0.lock().unwrap().clone();
    let has = |parts: &[&str]| told.iter().any(|span| parts.iter().all(|part| span.contains(part)));
    assert!(has(&["request ", "GET /{model}/{id}", "mine-7", "status_code=200", "otel.kind=\"server\""]), "{told:#?}");
    assert!(has(&["request ", "POST /{model}", "status_code=201"]), "{told:#?}");
    assert!(has(&["run ", "feature=\"hook\"", "operation=\"trace_me\"", "model=\"traced\""]), "{told:#?}");
    assert!(has(&["run ", "feature=\"method\"", "operation=\"trace_call\""]), "{told:#?}");
    assert!(!told.iter().any(|span| span.contains("s3cret")), "{told:#?}");
}
