//! Resumable uploads: the protocol by hand, by a client that is not ours, and through cut connections, restarts and kills.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream;
use modeller::prelude::*;
use modeller::server::WholeUpload;
use modeller::test::TestApp;
use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::node::Node;
use modeller_tests::process::Served as Program;
use modeller_tests::proxy::Proxy;
use modeller_tests::random::Random;
use modeller_tests::uploads::{Archive, hashed};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::support::*;

const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

fn builder() -> modeller::AppBuilder {
    App::new().model::<Archive>().secret(SECRET).upload_limit(1 << 20)
}

async fn archives() -> App {
    builder().in_memory().open().await.unwrap()
}

/// The metadata of an upload for the operation `store`.
fn metadata(name: &str) -> String {
    metadata_of(&[("model", "archives"), ("upload", "store"), ("args", &json!({"name": name}).to_string())])
}

fn metadata_of(members: &[(&str, &str)]) -> String {
    let pairs = members.iter().map(|(name, value)| format!("{name} {}", BASE64_STANDARD.encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Asks with these headers, and those that every request of the protocol has.
async fn tus(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == TUS.0) {
        request = request.header(TUS.0, TUS.1);
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let answer = send(router, request.body(body.into()).unwrap()).await;
    assert_eq!((answer.header("tus-resumable"), answer.header("cache-control")), ("1.0.0", "no-store"));
    answer
}

/// Begins an upload, and answers its path.
async fn create(router: &Router, length: usize, name: &str) -> String {
    let (length, metadata) = (length.to_string(), metadata(name));
    let headers = [("upload-length", &*length), ("upload-metadata", &*metadata)];
    let answer = tus(router, "POST", "/@files", &headers, "").await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
    assert!(answer.header("upload-expires").ends_with(" GMT") && answer.header("upload-offset") == "0");
    answer.header("location").to_owned()
}

async fn patch(router: &Router, path: &str, offset: u64, body: impl Into<Body>) -> Answer {
    tus(router, "PATCH", path, &[BYTES, ("upload-offset", &offset.to_string())], body).await
}

async fn offset(router: &Router, path: &str) -> u64 {
    let answer = tus(router, "HEAD", path, &[], "").await;
    assert_eq!(answer.status, 200);
    answer.header("upload-offset").parse().unwrap()
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// What the client in JavaScript sends, too.
fn bytes(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 32);
    for at in (0..length).step_by(32) {
        out.extend_from_slice(&Sha256::digest(at.to_string()));
    }
    out.truncate(length);
    out
}

#[tokio::test]
async fn an_upload_goes_on_where_it_ended() {
    let app = archives().await;
    let router = app.router();
    let options = tus(&router, "OPTIONS", "/@files", &[("tus-resumable", "")], "").await;
    assert_eq!((options.status.as_u16(), options.header("tus-version")), (204, "1.0.0"));
    assert_eq!((options.header("tus-max-size"), options.header("tus-checksum-algorithm")), ("1048576", "sha1,sha256"));
    for extension in
        ["creation", "creation-with-upload", "creation-defer-length", "expiration", "checksum", "termination"]
    {
        assert!(options.header("tus-extension").split(',').any(|known| known == extension), "{extension}");
    }
    let path = create(&router, 11, "one").await;
    assert!(path.strip_prefix("/@files/").is_some_and(|id| id.len() == 32));
    let answer = patch(&router, &path, 0, "hello ").await;
    assert_eq!((answer.status.as_u16(), answer.header("upload-offset"), answer.bytes.len()), (204, "6", 0));
    let answer = tus(&router, "HEAD", &path, &[], "").await;
    assert_eq!((answer.header("upload-offset"), answer.header("upload-length")), ("6", "11"));
    assert_eq!(answer.header("upload-metadata"), metadata("one"));
    let told = tus(&router, "GET", &path, &[("tus-resumable", "")], "").await.json();
    assert_eq!((&told["offset"], &told["length"], &told["done"]), (&json!(6), &json!(11), &json!(false)));
    assert_eq!(patch(&router, &path, 6, "world").await.status, 204);
    let told = tus(&router, "GET", &path, &[], "").await.json();
    assert_eq!((&told["done"], &told["result"]["sha256"]), (&json!(true), &json!(sha256("hello world"))));
    assert_eq!((&told["result"]["name"], offset(&router, &path).await), (&json!("one"), 11));
    // Nothing can be put behind it, and asking again changes nothing.
    assert_eq!(patch(&router, &path, 11, "").await.status, 204);
    patch(&router, &path, 11, "x").await.assert_problem(400, "INVALID_REQUEST");
    assert_eq!(app.model::<Archive>().count(Filter::all()).await.unwrap(), 1);

    // All in the request that begins it; and one whose length is said later.
    let name = metadata("two");
    let headers = [BYTES, ("upload-length", "5"), ("upload-metadata", &*name)];
    let answer = tus(&router, "POST", "/@files", &headers, "hello").await;
    assert_eq!((answer.status.as_u16(), answer.header("upload-offset")), (201, "5"));
    let name = metadata("three");
    let headers = [("upload-defer-length", "1"), ("upload-metadata", &*name)];
    let path = tus(&router, "POST", "/@files", &headers, "").await.header("location").to_owned();
    assert_eq!(patch(&router, &path, 0, "hel").await.status, 204);
    let answer = tus(&router, "HEAD", &path, &[], "").await;
    assert_eq!((answer.header("upload-defer-length"), answer.header("upload-length")), ("1", ""));
    let headers = [BYTES, ("upload-offset", "3"), ("upload-length", "2")];
    tus(&router, "PATCH", &path, &headers, "").await.assert_problem(400, "INVALID_REQUEST");
    let headers = [BYTES, ("upload-offset", "3"), ("upload-length", "5")];
    assert_eq!(tus(&router, "PATCH", &path, &headers, "lo").await.header("upload-offset"), "5");
    // And one without a byte.
    create(&router, 0, "nothing").await;
    let all = app.model::<Archive>().find(Filter::all()).await.unwrap();
    let mut all: Vec<_> = all.iter().map(|archive| (archive.name.as_str(), archive.bytes)).collect();
    all.sort_unstable();
    assert_eq!(all, [("nothing", 0), ("one", 11), ("three", 5), ("two", 5)]);
}

#[tokio::test]
async fn what_is_against_the_protocol_is_refused() {
    let app = archives().await;
    let router = app.router();
    let path = create(&router, 10, "one").await;
    let at = |offset: &'static str| ("upload-offset", offset);
    // Version, type, offset, checksum.
    for version in ["", "0.2.2", "1.0.1", "x"] {
        let answer = tus(&router, "PATCH", &path, &[("tus-resumable", version), BYTES, at("0")], "x").await;
        answer.assert_problem(412, "INVALID_REQUEST");
        assert_eq!(answer.header("tus-version"), "1.0.0");
    }
    for kind in ["application/octet-stream", "", "application/offset+octet-stream; x"] {
        let answer = tus(&router, "PATCH", &path, &[("content-type", kind), at("0")], "x").await;
        answer.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let problem = patch(&router, &path, 1, "x").await.assert_problem(409, "CONFLICT");
    assert_eq!((&problem["expected"], &problem["actual"]), (&json!(1), &json!(0)));
    for wrong in ["", "-1", "+1", "0x1", "1.0", "18446744073709551616", "a"] {
        tus(&router, "PATCH", &path, &[BYTES, at(wrong)], "x").await.assert_problem(400, "INVALID_REQUEST");
    }
    let sum = |text: &str| format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(text)));
    let answer = tus(&router, "PATCH", &path, &[BYTES, at("0"), ("upload-checksum", &sum("hello"))], "hallo").await;
    answer.assert_problem(460, "CHECKSUM_MISMATCH");
    assert_eq!(offset(&router, &path).await, 0);
    for wrong in ["md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", "sha1 x", "x"] {
        let answer = tus(&router, "PATCH", &path, &[BYTES, at("0"), ("upload-checksum", wrong)], "x").await;
        answer.assert_problem(400, "INVALID_REQUEST");
    }
    let answer = tus(&router, "PATCH", &path, &[BYTES, at("0"), ("upload-checksum", &sum("hello"))], "hello").await;
    assert_eq!((answer.status.as_u16(), answer.header("upload-offset")), (204, "5"));
    // More than was said, whether that is announced or not.
    patch(&router, &path, 5, "x".repeat(6)).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
    let pieces = stream::iter(["abc", "def"].map(Ok::<_, std::io::Error>));
    patch(&router, &path, 5, Body::from_stream(pieces)).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(offset(&router, &path).await, 5);
    // A body that breaks off leaves what has come of it; where a checksum was promised, nothing.
    let broken = || stream::iter([Ok("ab"), Err(std::io::Error::other("gone"))]);
    let answer =
        tus(&router, "PATCH", &path, &[BYTES, at("5"), ("upload-checksum", &sum("abc"))], Body::from_stream(broken()))
            .await;
    assert_eq!((answer.status.as_u16(), offset(&router, &path).await), (400, 5));
    patch(&router, &path, 5, Body::from_stream(broken())).await.assert_problem(400, "INVALID_REQUEST");
    assert_eq!(offset(&router, &path).await, 7);
    // By another method than is meant.
    let headers = [BYTES, at("7"), ("x-http-method-override", "PATCH")];
    assert_eq!(tus(&router, "POST", &path, &headers, "cde").await.status, 204);
    tus(&router, "POST", &path, &[("x-http-method-override", "PUT")], "").await.assert_problem(400, "INVALID_REQUEST");
    tus(&router, "POST", &path, &[], "").await.assert_problem(405, "METHOD_NOT_ALLOWED");
    for (method, path) in [("PUT", &*path), ("GET", "/@files"), ("DELETE", "/@files")] {
        let request = Request::builder().method(method).uri(path).header(TUS.0, TUS.1).body(Body::empty()).unwrap();
        send(&router, request).await.assert_problem(405, "METHOD_NOT_ALLOWED");
    }
    // Taken back.
    let path = create(&router, 10, "two").await;
    assert_eq!(tus(&router, "DELETE", &path, &[], "").await.status, 204);
    for method in ["HEAD", "DELETE", "PATCH", "GET"] {
        assert_eq!(tus(&router, method, &path, &[BYTES, at("0")], "").await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn what_an_upload_begins_with_is_checked() {
    let app = archives().await;
    let router = app.router();
    let long = format!("a {}", BASE64_STANDARD.encode("x".repeat(9000)));
    let many = (0..65).map(|at| format!("k{at} ZA==")).collect::<Vec<_>>().join(",");
    let good = metadata("one");
    let with = |members: &[(&str, &str)]| metadata_of(members);
    for (headers, status, code) in [
        (vec![("upload-metadata", &*good)], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "x"), ("upload-metadata", &good)], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "-1"), ("upload-metadata", &good)], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1"), ("upload-length", "1"), ("upload-metadata", &good)], 400, "INVALID_REQUEST"),
        (
            vec![("upload-length", "1"), ("upload-defer-length", "1"), ("upload-metadata", &good)],
            400,
            "INVALID_REQUEST",
        ),
        (vec![("upload-defer-length", "2"), ("upload-metadata", &good)], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1048577"), ("upload-metadata", &good)], 413, "PAYLOAD_TOO_LARGE"),
        (
            vec![("upload-length", "1"), ("upload-concat", "partial"), ("upload-metadata", &good)],
            400,
            "INVALID_REQUEST",
        ),
        (vec![("upload-length", "1")], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1"), ("upload-metadata", "a %")], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1"), ("upload-metadata", "a /w==")], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1"), ("upload-metadata", &long)], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1"), ("upload-metadata", &many)], 400, "INVALID_REQUEST"),
        (vec![("upload-length", "1"), ("upload-metadata", &with(&[("model", "archives")]))], 400, "INVALID_REQUEST"),
        (
            vec![("upload-length", "1"), ("upload-metadata", &with(&[("model", "x"), ("upload", "store")]))],
            404,
            "MODEL_NOT_FOUND",
        ),
        (
            vec![("upload-length", "1"), ("upload-metadata", &with(&[("model", "archives"), ("upload", "x")]))],
            404,
            "UPLOAD_NOT_FOUND",
        ),
        (
            vec![("upload-length", "1"), ("upload-metadata", &with(&[("model", "archives"), ("upload", "store")]))],
            422,
            "VALIDATION_ERROR",
        ),
        (
            vec![
                ("upload-length", "1"),
                ("upload-metadata", &with(&[("model", "archives"), ("upload", "store"), ("args", "{")])),
            ],
            400,
            "INVALID_REQUEST",
        ),
        (
            vec![
                ("upload-length", "1"),
                ("upload-metadata", &with(&[("model", "archives"), ("upload", "store_mine")])),
            ],
            401,
            "UNAUTHENTICATED",
        ),
        (
            vec![("upload-length", "1"), ("content-type", "text/plain"), ("upload-metadata", &good)],
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
    ] {
        let answer = tus(&router, "POST", "/@files", &headers, "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{headers:?}");
        assert_eq!(answer.header("location"), "");
    }
    // Ids that are none.
    let long = "a".repeat(5000);
    for id in [
        "..",
        "%2e%2e",
        "..%2f..%2fsecret",
        "%00",
        "0",
        &long,
        "%ff",
        "..%5c",
        "A0000000000000000000000000000000",
        "00000000000000000000000000000000",
        "0000000000000000000000000000000",
        "0000000000000000000000000000000%00",
    ] {
        for method in ["HEAD", "PATCH", "DELETE", "GET"] {
            let request = Request::builder().method(method).uri(format!("/@files/{id}")).header(TUS.0, TUS.1);
            let request = request.header(BYTES.0, BYTES.1).header("upload-offset", "0").body(Body::empty()).unwrap();
            let answer = send(&router, request).await;
            assert!((400..500).contains(&answer.status.as_u16()), "{method} {id} {}", answer.status);
        }
    }
}

#[tokio::test]
async fn only_who_began_an_upload_knows_of_it() {
    let app = archives().await;
    let router = app.router();
    let [ada, eve] = ["ada", "eve"].map(|name| format!("Bearer {}", token(&app, name)));
    let mine = metadata_of(&[("model", "archives"), ("upload", "store_mine"), ("args", "{\"name\":\"a\"}")]);
    let headers = [("upload-length", "4"), ("upload-metadata", &*mine), ("authorization", &*ada)];
    let path = tus(&router, "POST", "/@files", &headers, "").await.header("location").to_owned();
    for who in [("authorization", &*eve), ("x-nobody", "1")] {
        for method in ["HEAD", "PATCH", "DELETE", "GET"] {
            let answer = tus(&router, method, &path, &[who, BYTES, ("upload-offset", "0")], "hell").await;
            assert_eq!(answer.status, 404, "{method} {who:?}");
        }
    }
    let headers = [("authorization", &*ada), BYTES, ("upload-offset", "0")];
    assert_eq!(tus(&router, "PATCH", &path, &headers, "hell").await.status, 204);
    assert_eq!(tus(&router, "GET", &path, &headers[..1], "").await.json()["result"]["name"], "a");

    // How much one may have that is not whole; another one has his own.
    let app = builder().incomplete_uploads(0, 3 << 20).in_memory().open().await.unwrap();
    let router = app.router();
    let begin = async |who: &str, length: &str| {
        let metadata = metadata("x");
        let headers = [("upload-length", length), ("upload-metadata", &*metadata), ("authorization", who)];
        tus(&router, "POST", "/@files", &headers, "").await
    };
    let first = begin(&ada, "1000000").await;
    begin(&ada, "100000").await.assert_problem(429, "RATE_LIMITED");
    assert_eq!((begin(&ada, "10").await.status.as_u16(), begin(&eve, "1000000").await.status.as_u16()), (201, 201));
    assert_eq!(begin("", "1000000").await.status, 201);
    let bob = format!("Bearer {}", token(&app, "bob"));
    begin(&bob, "1000000").await.assert_problem(503, "UNAVAILABLE");
    let path = first.header("location").to_owned();
    assert_eq!(tus(&router, "DELETE", &path, &[("authorization", &*ada)], "").await.status, 204);
    assert_eq!(begin(&bob, "1000000").await.status, 201);
}

#[tokio::test]
async fn what_a_handler_refuses_is_over_and_what_fails_is_tried_again() {
    let app = archives().await;
    let router = app.router();
    let first = create(&router, 1, "same").await;
    let second = create(&router, 1, "same").await;
    assert_eq!(patch(&router, &first, 0, "x").await.status, 204);
    let problem = patch(&router, &second, 0, "x").await.assert_problem(409, "UNIQUE_VIOLATION");
    // Whoever did not hear hears it when he asks, and no client takes it for done.
    let told = tus(&router, "GET", &second, &[], "").await.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!(told, problem);
    assert_eq!(tus(&router, "HEAD", &second, &[], "").await.status, 410);
    patch(&router, &second, 1, "").await.assert_problem(404, "NOT_FOUND");

    // One that is nobody's fault.
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = tries.clone();
    let app = builder()
        .upload_handler(move |mut uploaded: WholeUpload| {
            let tries = counted.clone();
            async move {
                let (bytes, _) = hashed(&mut uploaded.file).await?;
                match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => Err(Error::internal("a cause")),
                    1 => panic!("a handler panics"),
                    _ => Ok(json!({"name": uploaded.file.name(), "type": uploaded.file.content_type(), "bytes": bytes,
                        "mood": uploaded.metadata["mood"], "archives": uploaded.app.model::<Archive>().count(Filter::all()).await?})),
                }
            }
        })
        .in_memory()
        .open()
        .await
        .unwrap();
    let router = app.router();
    let metadata = metadata_of(&[("filename", "../a.txt"), ("filetype", "text/plain"), ("mood", "good")]);
    let headers = [("upload-length", "3"), ("upload-metadata", &*metadata)];
    let path = tus(&router, "POST", "/@files", &headers, "").await.header("location").to_owned();
    patch(&router, &path, 0, "abc").await.assert_problem(500, "INTERNAL");
    assert_eq!(tus(&router, "HEAD", &path, &[], "").await.status, 500);
    assert_eq!(offset(&router, &path).await, 3);
    let told = tus(&router, "GET", &path, &[], "").await.json();
    assert_eq!(
        told["result"],
        json!({"name": "a.txt", "type": "text/plain", "bytes": 3, "mood": "good", "archives": 0})
    );
    assert_eq!(tries.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_upload_expires() {
    let app = TestApp::open(|| builder().upload_expiry(Duration::from_secs(3600))).await.unwrap();
    let router = app.router();
    let (left, renewed) = (create(&router, 3, "left").await, create(&router, 3, "renewed").await);
    let done = create(&router, 0, "done").await;
    app.advance(Duration::from_secs(3000));
    assert_eq!(patch(&router, &renewed, 0, "a").await.status, 204);
    app.advance(Duration::from_secs(700));
    for gone in [&left, &done] {
        assert_eq!(tus(&router, "HEAD", gone, &[], "").await.status, 404);
    }
    assert_eq!(patch(&router, &renewed, 1, "bc").await.status, 204);
}

#[tokio::test]
async fn expired_uploads_leave_the_disk_and_others_survive_a_restart() {
    let folder = Folder::new();
    let open = async |expiry: u64| {
        builder().data(folder.path()).upload_expiry(Duration::from_millis(expiry)).open().await.unwrap()
    };
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path().join("uploads"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    };
    let app = open(3_600_000).await;
    let router = app.router();
    let path = create(&router, 6, "kept").await;
    let id = path.strip_prefix("/@files/").unwrap().to_owned();
    patch(&router, &path, 0, "abc").await;
    let (done, refused) = (create(&router, 1, "done").await, create(&router, 1, "done").await);
    assert_eq!(
        (patch(&router, &done, 0, "x").await.status, patch(&router, &refused, 0, "x").await.status.as_u16()),
        (204.try_into().unwrap(), 409)
    );
    drop((app, router));
    // What a process that was killed may leave: bytes that nobody was told of, a line that was not written to its end, a record
    // that was not put in its place, bytes without a record. And what is not ours.
    let uploads = folder.path().join("uploads");
    let append = |name: String, text: &str| {
        let path = uploads.join(name);
        let before = std::fs::read(&path).unwrap_or_default();
        std::fs::write(path, [&before, text.as_bytes()].concat()).unwrap();
    };
    append(format!("{id}.part"), "never acknowledged");
    append(format!("{id}.upload"), "21 9999");
    append("00000000000000000000000000000001.tmp".into(), "{");
    append("00000000000000000000000000000002.part".into(), "x");
    append("00000000000000000000000000000003.upload".into(), "{");
    append("notes.txt".into(), "mine");
    let app = open(3_600_000).await;
    let router = app.router();
    assert_eq!(offset(&router, &path).await, 3);
    assert_eq!(tus(&router, "GET", &done, &[], "").await.json()["result"]["bytes"], 1);
    tus(&router, "GET", &refused, &[], "").await.assert_problem(409, "UNIQUE_VIOLATION");
    let left = names();
    assert!(left.contains(&"notes.txt".to_owned()) && left.contains(&format!("{id}.part")), "{left:?}");
    assert!(!left.iter().any(|name| name.ends_with(".tmp") || name.contains("0002")), "{left:?}");
    assert_eq!(patch(&router, &path, 3, "d").await.status, 204);
    assert_eq!(std::fs::read(uploads.join(format!("{id}.part"))).unwrap(), b"abcd");
    drop((app, router));
    let app = open(1).await;
    let router = app.router();
    assert_eq!(patch(&router, &path, 4, "ef").await.status, 204);
    let told = tus(&router, "GET", &path, &[], "").await.json();
    assert_eq!(told["result"]["sha256"], sha256("abcdef"));
    // The application in memory leaves nothing at all, and this one only what it remembers.
    let short = create(&router, 5, "short").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(tus(&router, "HEAD", &short, &[], "").await.status, 404);
    drop((app, router));
    let served = serve(open(1).await).await;
    let id = short.strip_prefix("/@files/").unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while names().iter().any(|name| name.starts_with(id)) {
        assert!(Instant::now() < until, "nobody asked for it, and it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(served);
}

/// A body that is sent by and by.
fn slowly(pieces: Vec<Vec<u8>>, wait: u64) -> Body {
    Body::from_stream(stream::unfold(VecDeque::from(pieces), move |mut pieces| async move {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        pieces.pop_front().map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_do_not_mix() {
    let app = archives().await;
    let router = app.router();
    for round in 0..20 {
        let path = create(&router, 200_000, &format!("n{round}")).await;
        let writer = |byte: u8| {
            let (router, path) = (router.clone(), path.clone());
            tokio::spawn(async move {
                let pieces = (0..20).map(|_| vec![byte; 10_000]).collect();
                patch(&router, &path, 0, slowly(pieces, 1)).await.status.as_u16()
            })
        };
        let statuses = [writer(b'a'), writer(b'b')];
        let [one, other] = statuses;
        let mut statuses = [one.await.unwrap(), other.await.unwrap()];
        statuses.sort_unstable();
        assert!(statuses[0] == 204 && matches!(statuses[1], 409 | 423), "{statuses:?}");
        let told = tus(&router, "GET", &path, &[], "").await.json();
        let pure = [b'a', b'b'].map(|byte| json!(sha256(vec![byte; 200_000])));
        assert!(pure.contains(&told["result"]["sha256"]));
    }
    // While one writes, another is told that it does; who asks where it stands after a silence takes its place.
    let path = create(&router, 30, "slow").await;
    let slow = {
        let (router, path) = (router.clone(), path.clone());
        tokio::spawn(async move {
            patch(&router, &path, 0, slowly(vec![vec![b'a'; 10], vec![b'b'; 10]], 2_000)).await.status
        })
    };
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    assert_eq!(patch(&router, &path, 0, "x").await.status, 423);
    assert_eq!(offset(&router, &path).await, 0, "not taken to be gone yet");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(offset(&router, &path).await, 10);
    assert_eq!(slow.await.unwrap(), 423);
    assert_eq!(patch(&router, &path, 10, "c".repeat(20)).await.status, 204);
}

#[tokio::test]
async fn s4_uploads_go_on_on_the_socket() {
    let app = archives().await;
    let served = serve(app.clone()).await;
    let data = bytes(100_000);
    let mut socket = served.socket(None).await;
    let metadata = json!({"model": "archives", "upload": "store", "args": {"name": "one"}, "filename": "a"});
    let created = socket.ask("upload.create", json!({"length": data.len(), "metadata": metadata})).await;
    let id = created["result"]["id"].as_str().unwrap().to_owned();
    assert_eq!((&created["result"]["offset"], &created["result"]["done"]), (&json!(0), &json!(false)));
    let chunk =
        |from: usize, to: usize| json!({"id": id, "offset": from, "data": BASE64_STANDARD.encode(&data[from..to])});
    assert_eq!(socket.ask("upload.append", chunk(0, 40_000)).await["result"]["offset"], 40_000);
    drop(socket);
    // Another socket goes on, and the same upload is there over HTTP.
    let mut socket = served.socket(None).await;
    let stands = socket.ask("upload.offset", json!({"id": id})).await;
    assert_eq!((&stands["result"]["offset"], &stands["result"]["length"]), (&json!(40_000), &json!(100_000)));
    let code = |answer: &Value| answer["error"]["data"]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(code(&socket.ask("upload.append", chunk(0, 10)).await), "CONFLICT");
    let path = format!("/@files/{id}");
    assert_eq!(patch(&app.router(), &path, 40_000, data[40_000..70_000].to_vec()).await.status, 204);
    let done = socket.ask("upload.append", chunk(70_000, 100_000)).await;
    assert_eq!((&done["result"]["done"], &done["result"]["result"]["sha256"]), (&json!(true), &json!(sha256(&data))));

    let other = socket.ask("upload.create", json!({"metadata": metadata})).await;
    let other = other["result"]["id"].as_str().unwrap().to_owned();
    let end = socket.ask("upload.append", json!({"id": other, "offset": 0, "length": 1, "data": "eA=="})).await;
    assert_eq!(code(&end), "UNIQUE_VIOLATION");
    let third = socket.ask("upload.create", json!({"length": 5, "metadata": metadata})).await;
    let third = third["result"]["id"].as_str().unwrap().to_owned();
    assert_eq!(socket.ask("upload.terminate", json!({"id": third})).await["result"], json!({}));
    assert_eq!(code(&socket.ask("upload.offset", json!({"id": third})).await), "NOT_FOUND");
    for (method, params) in [
        ("upload.create", json!({"metadata": []})),
        ("upload.create", json!({"length": -1})),
        ("upload.create", json!({"length": 1, "metadata": {"model": 1}})),
        ("upload.create", json!({"length": 1})),
        ("upload.append", json!({"id": id, "data": "eA=="})),
        ("upload.append", json!({"id": id, "offset": 0, "data": "?"})),
        ("upload.offset", json!({"id": 1})),
        ("upload.offset", json!({"id": id, "x": 1})),
        ("upload.terminate", json!({})),
    ] {
        assert_eq!(code(&socket.ask(method, params.clone()).await), "INVALID_REQUEST", "{method} {params}");
    }
}

/// Asks the client in JavaScript without holding up the server.
async fn asked(mut node: Node, question: Value) -> (Node, Value) {
    tokio::task::spawn_blocking(move || {
        let answer = node.ask(&question);
        (node, answer)
    })
    .await
    .unwrap()
}

fn label(name: &str) -> Value {
    json!({"model": "archives", "upload": "store", "args": json!({"name": name}).to_string(), "filename": "ü.bin"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(has_tus), ignore = "needs node and the npm package tus-js-client in $MODELLER_NPM; .ci/run installs it")]
async fn u1_tus_js_client_gets_along() {
    let served = serve(builder().upload_limit(16 << 20).in_memory().open().await.unwrap()).await;
    let endpoint = format!("http://{}/@files", served.addr);
    let bearer = json!({"authorization": format!("Bearer {}", token(&served.app, "ada"))});
    let mut node = Node::start("tus.mjs");
    let mut checks = 0;
    let with = |name: &str, length: usize, more: Value| {
        let mut question = json!({"endpoint": endpoint, "length": length, "metadata": label(name)});
        for (name, value) in more.as_object().unwrap() {
            question[name] = value.clone();
        }
        question
    };
    // Ways to success: in which, and by which requests.
    let mine = json!({"model": "archives", "upload": "store_mine", "args": "{\"name\":\"mine\"}"});
    for (name, length, more, requests) in [
        ("at-once", 1 << 20, json!({}), vec!["POST 201", "PATCH 204"]),
        ("chunks", 300_000, json!({"chunkSize": 100_000}), vec!["POST 201", "PATCH 204", "PATCH 204", "PATCH 204"]),
        ("with-creation", 50_000, json!({"uploadDataDuringCreation": true}), vec!["POST 201"]),
        (
            "with-creation-and-chunks",
            50_000,
            json!({"uploadDataDuringCreation": true, "chunkSize": 30_000}),
            vec!["POST 201", "PATCH 204"],
        ),
        (
            "deferred",
            150_000,
            json!({"uploadLengthDeferred": true, "stream": true, "chunkSize": 100_000}),
            vec!["POST 201", "PATCH 204"],
        ),
        ("override", 1000, json!({"overridePatchMethod": true}), vec!["POST 201", "PATCH 204"]),
        ("empty", 0, json!({}), vec!["POST 201"]),
        ("checksum", 1000, json!({"checksum": "right"}), vec!["POST 201", "PATCH 204"]),
        ("mine", 1000, json!({"metadata": mine, "headers": bearer}), vec!["POST 201", "PATCH 204"]),
    ] {
        let (back, answer) = asked(node, with(name, length, more)).await;
        node = back;
        assert_eq!(answer["success"], true, "{name}: {answer}");
        assert_eq!(answer["requests"], json!(requests), "{name}");
        let result = &answer["result"]["body"]["result"];
        assert_eq!((&result["sha256"], &result["bytes"]), (&answer["sha256"], &json!(length)), "{name}: {answer}");
        assert_eq!((&answer["acknowledged"], &answer["lost"]), (&json!(length), &json!(0)), "{name}");
        checks += 3;
    }
    // What is refused is not tried again.
    let patient = json!([10, 10, 10]);
    for (name, length, more, status, requests) in [
        ("chunks", 1000, json!({"retryDelays": patient}), 409, vec!["POST 201", "PATCH 409"]),
        ("wrong-sum", 1000, json!({"checksum": "wrong", "retryDelays": patient}), 460, vec!["POST 201", "PATCH 460"]),
        ("no-rights", 1000, json!({"metadata": mine, "retryDelays": patient}), 401, vec!["POST 401"]),
        ("nothing", 1000, json!({"metadata": {}, "retryDelays": patient}), 400, vec!["POST 400"]),
        ("too-long", 17 << 20, json!({"retryDelays": patient}), 413, vec!["POST 413"]),
        ("in-parts", 1000, json!({"parallelUploads": 2}), 400, vec!["POST 400", "POST 400"]),
    ] {
        let (back, answer) = asked(node, with(name, length, more)).await;
        node = back;
        assert_eq!(answer["status"], status, "{name}: {answer}");
        // Of two at once one may be given up before it is sent.
        let sent = answer["requests"].as_array().unwrap();
        assert!(
            !sent.is_empty() && sent.iter().zip(&requests).all(|(sent, expected)| sent == expected),
            "{name}: {answer}"
        );
        checks += 1;
    }
    // Given up in the middle, and taken up again by its address; given up for good.
    let (back, stopped) =
        asked(node, with("resumed", 8 << 20, json!({"chunkSize": 100_000, "abortAt": 1_000_000}))).await;
    assert_eq!(stopped["aborted"], true, "{stopped}");
    let (back, resumed) = asked(back, with("resumed", 8 << 20, json!({"uploadUrl": stopped["url"]}))).await;
    assert_eq!((&resumed["success"], &resumed["requests"][0]), (&json!(true), &json!("HEAD 200")), "{resumed}");
    assert_eq!(
        (&resumed["result"]["body"]["result"]["sha256"], &resumed["url"]),
        (&resumed["sha256"], &stopped["url"])
    );
    assert_eq!(resumed["lost"], 0);
    let (back, again) = asked(back, with("resumed", 8 << 20, json!({"uploadUrl": stopped["url"]}))).await;
    assert_eq!(
        (&again["success"], &again["requests"]),
        (&json!(true), &json!(["HEAD 200"])),
        "what is done is not sent again"
    );
    let (back, ended) =
        asked(back, with("ended", 8 << 20, json!({"chunkSize": 100_000, "abortAt": 500_000, "terminate": true}))).await;
    assert_eq!(ended["aborted"], true);
    let (_, gone) = asked(back, with("ended", 8 << 20, json!({"uploadUrl": ended["url"], "endpoint": null}))).await;
    assert_eq!(gone["requests"], json!(["HEAD 404"]), "{gone}");
    checks += 5;
    assert!(checks >= 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(has_tus), ignore = "needs node and the npm package tus-js-client in $MODELLER_NPM; .ci/run installs it")]
async fn u1_cut_connections_and_a_kill_lose_nothing() {
    let folder = Folder::new();
    let mut program = Program::start(env!("CARGO_BIN_EXE_uploads"), folder.path());
    let proxy = Proxy::start(program.addr).await;
    // Twelve cuts in eight MiB, all in one request each.
    proxy.cut_after((0..12).map(|at| 200_000 + at * 40_000));
    let endpoint = format!("http://{}/@files", proxy.addr);
    let question = json!({"endpoint": endpoint, "length": 8 << 20, "metadata": label("cut"),
        "retryDelays": [20, 50, 100, 200, 400, 800, 1000, 1000]});
    let node = Node::start("tus.mjs");
    let (node, answer) = asked(node, question).await;
    assert_eq!((&answer["success"], proxy.cuts()), (&json!(true), 12), "{answer}");
    assert_eq!((&answer["result"]["body"]["result"]["sha256"], &answer["lost"]), (&answer["sha256"], &json!(0)));

    // Killed in the middle, and started again.
    let question = json!({"endpoint": endpoint, "length": 8 << 20, "metadata": label("killed"), "chunkSize": 128 << 10,
        "retryDelays": [50, 100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000]});
    let asking = tokio::spawn(asked(node, question));
    let sent = || {
        let parts = std::fs::read_dir(folder.path().join("uploads")).unwrap().filter_map(|entry| {
            let entry = entry.unwrap();
            entry.path().extension().is_some_and(|kind| kind == "part").then(|| entry.metadata().unwrap().len())
        });
        parts.max().unwrap_or(0)
    };
    while sent() < 2 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!asking.is_finished());
    }
    program.kill();
    drop(program);
    let program = Program::start(env!("CARGO_BIN_EXE_uploads"), folder.path());
    proxy.lead_to(program.addr);
    let (_, answer) = asking.await.unwrap();
    assert_eq!((&answer["success"], &answer["lost"]), (&json!(true), &json!(0)), "{answer}");
    assert_eq!(answer["result"]["body"]["result"]["sha256"], answer["sha256"]);
    let requests = answer["requests"].as_array().unwrap();
    assert_eq!(
        requests.iter().filter(|request| request.as_str().unwrap().starts_with("POST")).count(),
        1,
        "one address"
    );
    assert!(requests.contains(&json!("HEAD 200")), "{requests:?}");
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Sends what is missing from an offset on, until the connection is cut, and answers whether all was sent.
async fn send_rest(addr: SocketAddr, path: &str, data: &[u8], from: usize) -> bool {
    let Ok(mut stream) = tokio::net::TcpStream::connect(addr).await else { return false };
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: x\r\ntus-resumable: 1.0.0\r\ncontent-type: {}\r\nupload-offset: {from}\r\ncontent-length: {}\r\n\r\n",
        BYTES.1,
        data.len() - from
    );
    if stream.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    for piece in data[from..].chunks(64 << 10) {
        if stream.write_all(piece).await.is_err() {
            return false;
        }
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), tokio::io::AsyncReadExt::read_buf(&mut stream, &mut answer))
        .await;
    answer.starts_with(b"HTTP/1.1 204")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "sends 200 MB through 20 cuts and two restarts; .ci/run runs it"]
async fn u1_two_hundred_megabytes_arrive_at_constant_memory() {
    const LENGTH: usize = 200_000_000;
    let began = Instant::now();
    let folder = Folder::new();
    let mut random = Random::new(7);
    let start = || Program::start(env!("CARGO_BIN_EXE_uploads"), folder.path());
    let mut program = start();
    let proxy = Proxy::start(program.addr).await;
    let data = bytes(LENGTH);
    let cuts: Vec<usize> = (0..20).map(|_| random.below(14_000_000) + 1_000_000).collect();
    let restarts = [5, 13];
    let mut connection = Connection::open(program.addr).await.unwrap();
    let headers =
        format!("tus-resumable: 1.0.0\r\nupload-length: {LENGTH}\r\nupload-metadata: {}\r\n", metadata("large"));
    let created = connection.send("POST", "/@files", &headers, b"").await.unwrap();
    let path = created.header("location").unwrap().to_owned();
    let (mut most, mut least, mut known) = (0, u64::MAX, 0);
    for at in 0.. {
        if let Some(cut) = cuts.get(at) {
            proxy.cut_after([*cut]);
        }
        let (addr, pid) = (proxy.addr, program.child.id());
        let sending = send_rest(addr, &path, &data, known);
        let mut sending = std::pin::pin!(sending);
        let mut killed = false;
        let done = loop {
            tokio::select! {
                done = &mut sending => break done,
                () = tokio::time::sleep(Duration::from_millis(20)), if !killed => {
                    let now = resident(pid);
                    (most, least) = (most.max(now), least.min(now));
                    let sent = std::fs::metadata(folder.path().join("uploads").join(format!("{}.part", &path[8..])));
                    if restarts.contains(&at) && sent.is_ok_and(|sent| sent.len() as usize > known + 500_000) {
                        killed = true;
                        if at == restarts[0] {
                            program.kill();
                        } else {
                            // SIGTERM.
                            Command::new("kill").arg(pid.to_string()).status().unwrap();
                            program.child.wait().unwrap();
                        }
                    }
                }
            }
        };
        if killed || program.child.try_wait().unwrap().is_some() {
            program = start();
            proxy.lead_to(program.addr);
        }
        if done {
            break;
        }
        let mut connection = Connection::open(program.addr).await.unwrap();
        let standing = loop {
            let answer = connection.send("HEAD", &path, "tus-resumable: 1.0.0\r\n", b"").await.unwrap();
            let offset: usize = answer.header("upload-offset").unwrap().parse().unwrap();
            let held = connection
                .send(
                    "PATCH",
                    &path,
                    &format!("tus-resumable: 1.0.0\r\ncontent-type: {}\r\nupload-offset: {offset}\r\n", BYTES.1),
                    b"",
                )
                .await
                .unwrap();
            if held.status == 204 {
                break offset;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(standing >= known, "{standing} of {known}");
        known = standing;
        assert!(at < 60, "it does not get on");
    }
    let mut connection = Connection::open(program.addr).await.unwrap();
    let told = connection.send("GET", &path, "", b"").await.unwrap().json();
    assert_eq!(told["result"]["sha256"], sha256(&data));
    assert!(proxy.cuts() >= 18, "{} cuts", proxy.cuts());
    println!(
        "200 MB in {:.1} s, {} cuts, two restarts; {} to {} KiB resident",
        began.elapsed().as_secs_f64(),
        proxy.cuts(),
        least >> 10,
        most >> 10
    );
    assert!(most - least < 48 << 20, "{least} to {most} bytes");
    assert!(Path::new(&folder.path().join("uploads")).exists());
}
