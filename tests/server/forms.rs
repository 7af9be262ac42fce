//! Files and streams over HTTP and on the socket, each in one request.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use modeller::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::support::*;

#[value]
#[derive(PartialEq)]
pub enum Shelf {
    Top,
    Bottom,
}

#[model(id = "papers", public)]
pub struct Paper {
    #[field(unique)]
    pub title: String,
    #[field(default)]
    pub text: String,
    #[field(default)]
    pub key: Private<String>,
}

#[model(id = "vault")]
pub struct Vault {
    pub name: String,
}

#[value]
pub struct About {
    #[field(min_length = 2)]
    pub title: String,
    #[field(default)]
    pub pages: i64,
    #[field(default)]
    pub shelf: Option<Shelf>,
    #[field(default)]
    pub tags: Vec<String>,
}

#[value]
pub struct Told {
    pub name: Option<String>,
    pub content_type: Option<String>,
    pub bytes: u64,
    pub sha256: String,
    pub about: String,
}

async fn hashed(file: &mut File) -> Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(piece) = file.chunk().await? {
        bytes += piece.len() as u64;
        hash.update(&piece);
    }
    Ok((bytes, format!("{:x}", hash.finalize())))
}

/// Says what came.
#[upload(Paper)]
async fn tell(mut file: File, about: About) -> Result<Told> {
    let (bytes, sha256) = hashed(&mut file).await?;
    let shelf = match about.shelf {
        Some(Shelf::Top) => "top",
        Some(Shelf::Bottom) => "bottom",
        None => "-",
    };
    let about = format!("{} {} {shelf} {}", about.title, about.pages, about.tags.join("|"));
    let (name, content_type) = (file.name().map(str::to_owned), file.content_type().map(str::to_owned));
    Ok(Told { name, content_type, bytes, sha256, about })
}

/// Stores a paper, when all of it is there.
#[upload(Paper)]
async fn submit(mut file: File, about: About, papers: Model<Paper>) -> Result<Doc<Paper>> {
    let text = String::from_utf8_lossy(&file.bytes(1 << 20).await?).into_owned();
    papers.insert(Paper { title: about.title, text, key: CANARY.to_owned().into() }).await
}

#[upload(Paper)]
async fn peek(mut file: File) -> Result<usize> {
    Ok(file.chunk().await?.map_or(0, |piece| piece.len()))
}

#[upload(Paper)]
async fn refuse(_: File) -> Result<()> {
    Err(Error::new("NO_ROOM").status(409))
}

static WAITING: AtomicU64 = AtomicU64::new(0);
static GO_ON: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(0));

#[upload(Paper)]
async fn hold(mut file: File) -> Result<u64> {
    WAITING.fetch_add(1, Ordering::SeqCst);
    let _ = GO_ON.acquire().await;
    file.copy_to(&mut tokio::io::sink()).await
}

#[upload(Paper, protected)]
async fn guarded(mut file: File, caller: Caller) -> Result<String> {
    file.copy_to(&mut tokio::io::sink()).await?;
    Ok(caller.subject().unwrap_or_default().to_owned())
}

#[upload(Vault, public)]
async fn lock_away(mut file: File) -> Result<u64> {
    file.copy_to(&mut tokio::io::sink()).await
}

#[upload(Paper, internal)]
async fn hidden(_: File) -> Result<()> {
    Ok(())
}

/// Appends a part of a paper, and answers where it ends.
#[stream(Paper)]
async fn append(chunk: Chunk, about: About, papers: Model<Paper>) -> Result<u64> {
    let paper = papers.get(Paper::TITLE.eq(&about.title)).await?.ok_or_else(|| Error::new("NO_SUCH_PAPER"))?;
    if chunk.offset() != paper.text.len() as u64 {
        return Err(Error::new("WRONG_OFFSET"));
    }
    let mut text = format!("{}{}", paper.text, String::from_utf8_lossy(&chunk));
    if text.contains("bad") {
        return Err(Error::new("BAD_CHUNK"));
    }
    if chunk.is_last() {
        text.push('.');
    }
    Ok(papers.update(&paper, Paper::TEXT.set(text)).await?.text.len() as u64)
}

async fn papers(limit: u64) -> App {
    let builder = App::new().model::<Paper>().model::<Vault>().secret(SECRET).in_memory();
    builder.upload_limit(limit).body_limit(64 << 10).max_uploads_per_caller(4).open().await.unwrap()
}

const FORM: &str = "multipart/form-data; boundary=XX";

/// A form of these parts, each a header and a content.
fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (header, content) in parts {
        body.push_str(&format!("--XX\r\nContent-Disposition: form-data; {header}\r\n\r\n{content}\r\n"));
    }
    body.push_str("--XX--\r\n");
    body.into_bytes()
}

async fn post(router: &Router, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method("POST").uri(path);
    let request = if content_type.is_empty() { request } else { request.header("content-type", content_type) };
    send(router, request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn m9_a_form_becomes_a_file_and_typed_fields() {
    let app = papers(1 << 20).await;
    let router = app.router();
    let fields = [
        ("name=\"title\"", "12"),
        ("name=\"pages\"", "12"),
        ("name=\"shelf\"", "bottom"),
        ("name=\"tags\"", "one"),
        ("name=\"tags\"", "2"),
        ("name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/markdown", "hello"),
    ];
    let answer = post(&router, "/papers/tell", FORM, form(&fields)).await;
    let told = json!({"name": "a.txt", "content_type": "text/markdown", "bytes": 5, "about": "12 12 bottom one|2",
        "sha256": format!("{:x}", Sha256::digest("hello"))});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, told.clone()));

    // All arguments as one field, and a field that says of itself that it is JSON.
    let all = "{\"title\":\"12\",\"pages\":12,\"shelf\":\"bottom\",\"tags\":[\"one\",\"2\"]}";
    let file = ("name=\"x\"; filename=\"a.txt\"\r\nContent-Type: text/markdown", "hello");
    let answer = post(&router, "/papers/tell", FORM, form(&[("name=\"args\"", all), file])).await;
    assert_eq!(answer.json(), told);
    let marked = ("name=\"title\"\r\nContent-Type: application/json", "\"12\"");
    let answer = post(&router, "/papers/tell", FORM, form(&[marked, file])).await;
    assert_eq!(answer.json()["about"], "12 0 - ");

    // A bare file, with its arguments in the query string.
    let request = Request::post("/papers/tell?args=%7B%22title%22%3A%22ab%22%7D")
        .header("content-type", "image/png")
        .header("content-disposition", "attachment; size=3; filename=\"b \\\"c\\\".png\"")
        .body(Body::from("hello"))
        .unwrap();
    let told = send(&router, request).await.json();
    assert_eq!((&told["name"], &told["content_type"]), (&json!("b \"c\".png"), &json!("image/png")));
    assert_eq!((&told["bytes"], &told["about"]), (&json!(5), &json!("ab 0 - ")));

    // What is stored is answered as any document.
    let answer = post(&router, "/papers/submit", FORM, form(&[("name=\"title\"", "one"), file])).await;
    assert_eq!((&answer.json()["text"], answer.json().get("key")), (&json!("hello"), None));
}

#[tokio::test]
async fn s3_a_form_comes_into_a_buffer() {
    let app = papers(4 << 20).await;
    let router = app.router();
    let fields = |content| [("name=\"title\"", "one"), ("name=\"f\"; filename=\"a.txt\"", content)];
    let longer = "x".repeat((1 << 20) + 1);
    let answer = post(&router, "/papers/submit", FORM, form(&fields(&longer))).await;
    answer.assert_problem(413, "PAYLOAD_TOO_LARGE");
    let answer = post(&router, "/papers/submit", FORM, form(&fields(&longer[1..]))).await;
    assert_eq!((answer.status.as_u16(), answer.json()["text"].as_str().unwrap().len()), (200, 1 << 20));
    assert_eq!(app.model::<Paper>().count(Filter::all()).await.unwrap(), 1);
}

#[tokio::test]
async fn m9_what_is_no_upload_is_refused() {
    let app = papers(1 << 10).await;
    let router = app.router();
    let file = ("name=\"f\"; filename=\"f\"", "x");
    let refused = async |path: &str, kind: &str, body: Vec<u8>, status: u16, code: &str| {
        let answer = post(&router, path, kind, body).await;
        answer.assert_problem(status, code)
    };
    let title = ("name=\"title\"", "ab");
    let large = "x".repeat(1 << 10);
    refused("/papers/tell", "", form(&[file]), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    for kind in ["multipart/mixed; boundary=XX", "application/x-www-form-urlencoded", "text", "/", "multipart"] {
        refused("/papers/tell", kind, form(&[file]), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for kind in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary", &long] {
        refused("/papers/tell", kind, form(&[file]), 400, "INVALID_REQUEST").await;
    }
    refused("/papers/tell", FORM, form(&[title]), 400, "INVALID_REQUEST").await;
    refused("/papers/tell", FORM, form(&[]), 400, "INVALID_REQUEST").await;
    refused("/papers/tell", FORM, form(&[file, title]), 422, "VALIDATION_ERROR").await;
    refused("/papers/tell", FORM, form(&[title, file, file]), 400, "INVALID_REQUEST").await;
    refused("/papers/tell", FORM, form(&[title, ("name=\"pages\"", "many"), file]), 422, "VALIDATION_ERROR").await;
    refused("/papers/tell", FORM, form(&[title, ("name=\"other\"", "1"), file]), 422, "VALIDATION_ERROR").await;
    refused("/papers/tell", FORM, form(&[title, title, file]), 400, "INVALID_REQUEST").await;
    let violations =
        refused("/papers/tell", FORM, form(&[("name=\"title\"", "t"), file]), 422, "VALIDATION_ERROR").await;
    assert_eq!(violations["errors"][0]["instancePath"], "/title");
    refused(
        "/papers/tell",
        FORM,
        form(&[title, ("name=\"f\"; filename=\"f\"", &format!("{large}x"))]),
        413,
        "PAYLOAD_TOO_LARGE",
    )
    .await;
    assert_eq!(
        post(&router, "/papers/tell", FORM, form(&[title, ("name=\"f\"; filename=\"f\"", &large)])).await.status,
        200
    );
    refused("/papers/tell?args=%7B%7D", "image/png", b"x".to_vec(), 422, "VALIDATION_ERROR").await;
    refused("/papers/tell?x=1", "image/png", b"x".to_vec(), 400, "INVALID_REQUEST").await;
    refused("/papers/tell", "image/png", format!("{large}x").into_bytes(), 413, "PAYLOAD_TOO_LARGE").await;
    refused("/papers/refuse", FORM, form(&[file]), 409, "NO_ROOM").await;
    // What is not there, or not for those outside.
    refused("/papers/nothing", FORM, form(&[file]), 404, "UPLOAD_NOT_FOUND").await;
    refused("/papers/hidden", FORM, form(&[file]), 404, "UPLOAD_NOT_FOUND").await;
    refused("/papers/nothing", "image/png", form(&[file]), 404, "METHOD_NOT_FOUND").await;
    refused("/nothing/tell", FORM, form(&[file]), 404, "MODEL_NOT_FOUND").await;
    refused("/papers/guarded", FORM, form(&[file]), 401, "UNAUTHENTICATED").await;
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let request = Request::post("/papers/guarded").header("content-type", FORM).header("authorization", bearer);
    assert_eq!(send(&router, request.body(Body::from(form(&[file]))).unwrap()).await.json(), "ada");
    // An operation may be more open than its model.
    assert_eq!(post(&router, "/vault/lock_away", FORM, form(&[file])).await.json(), 1);
    let request = Request::post("/papers/tell").header("content-type", FORM).header("idempotency-key", "k");
    send(&router, request.body(Body::from(form(&[title, file]))).unwrap()).await.assert_problem(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn hostile_forms_are_refused() {
    let app = papers(1 << 20).await;
    let router = app.router();
    let refused = async |what: &str, body: Vec<u8>, status: u16, code: &str| {
        let answer = post(&router, "/papers/tell", FORM, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{what}");
    };
    let title = "--XX\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nab\r\n";
    let file = "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nhello";
    let many: Vec<_> = (0..10_000).map(|at| (format!("name=\"f{at}\""), "x")).collect();
    let many: Vec<_> = many.iter().map(|(header, content)| (header.as_str(), *content)).collect();
    refused("ten thousand parts", form(&many), 400, "INVALID_REQUEST").await;
    let header = format!("--XX\r\nContent-Disposition: form-data; name=\"a\"\r\nX-A: {}\r\n\r\n", "x".repeat(9 << 10));
    refused("a long header", header.into_bytes(), 413, "PAYLOAD_TOO_LARGE").await;
    let header = format!("--XX\r\nContent-Disposition: form-data; name=\"a\"\r\nX-A: {}", "x".repeat(1 << 20));
    refused("an endless header", header.into_bytes(), 413, "PAYLOAD_TOO_LARGE").await;
    let headers = format!("--XX\r\n{}\r\n", "X-A: b\r\n".repeat(100));
    refused("many headers", headers.into_bytes(), 400, "INVALID_REQUEST").await;
    let preamble = format!("{}\r\n{title}{file}\r\n--XX--\r\n", "x".repeat(1 << 20));
    refused("a long preamble", preamble.into_bytes(), 413, "PAYLOAD_TOO_LARGE").await;
    refused("nothing", Vec::new(), 400, "INVALID_REQUEST").await;
    refused("noise", vec![0xFF; 1000], 400, "INVALID_REQUEST").await;
    refused(
        "another boundary",
        form(&[]).iter().map(|byte| if *byte == b'X' { b'Y' } else { *byte }).collect(),
        400,
        "INVALID_REQUEST",
    )
    .await;
    refused("no end of a field", title.as_bytes()[..title.len() - 2].to_vec(), 400, "INVALID_REQUEST").await;
    refused("no end of the file", format!("{title}{file}").into_bytes(), 400, "INVALID_REQUEST").await;
    refused("no end of the form", format!("{title}{file}\r\n--XX").into_bytes(), 400, "INVALID_REQUEST").await;
    refused(
        "no blank line",
        b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n--XX--\r\n".to_vec(),
        400,
        "INVALID_REQUEST",
    )
    .await;
    refused(
        "a part without a name",
        format!("--XX\r\nX: y\r\n\r\nab\r\n{file}\r\n--XX--\r\n").into_bytes(),
        400,
        "INVALID_REQUEST",
    )
    .await;
    refused(
        "a header with a zero",
        format!("--XX\r\nX: \0\r\n\r\nab\r\n{file}\r\n--XX--\r\n").into_bytes(),
        400,
        "INVALID_REQUEST",
    )
    .await;
    let mut field = form(&[("name=\"title\"", "ab")]);
    let at = field.windows(2).position(|pair| pair == b"ab").unwrap();
    field[at] = 0xFF;
    refused("a field that is no text", field, 400, "INVALID_REQUEST").await;
    let fields =
        format!("--XX\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n{}\r\n--XX--", "x".repeat(65 << 10));
    refused("a long field", fields.into_bytes(), 413, "PAYLOAD_TOO_LARGE").await;
    let half = "x".repeat(40 << 10);
    refused("long fields", form(&[("name=\"a\"", &half), ("name=\"b\"", &half)]), 413, "PAYLOAD_TOO_LARGE").await;
    // A form in a form is the content of a part, and a boundary that is only like it stays in the file.
    let nested = format!(
        "{title}--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\nContent-Type: multipart/mixed; boundary=YY\r\n\r\n--YY\r\n\r\n\r\n--X\r\n--YY--\r\n--XX--\r\n"
    );
    let answer = post(&router, "/papers/tell", FORM, nested.into_bytes()).await;
    assert_eq!(answer.json()["bytes"], "--YY\r\n\r\n\r\n--X\r\n--YY--".len());
    assert_eq!(
        post(&router, "/papers/tell", FORM, format!("{title}{file}\r\n--XX--\r\nwhat comes after")).await.status,
        200
    );
}

#[tokio::test]
async fn names_of_files_are_no_paths() {
    let app = papers(1 << 20).await;
    let router = app.router();
    let long = format!("{}.txt", "é".repeat(200));
    for (given, name) in [
        ("../../etc/passwd", json!("passwd")),
        ("..\\\\..\\\\windows\\\\x.ini", json!("x.ini")),
        ("/", Value::Null),
        ("..", Value::Null),
        ("", Value::Null),
        ("a\tb\x1b[0m.txt", json!("ab[0m.txt")),
        ("gpj\u{202E}exe", json!("gpjexe")),
        (&long, json!("é".repeat(127))),
        ("con.txt ", json!("con.txt")),
    ] {
        let header = format!("name=\"f\"; filename=\"{given}\"");
        let answer = post(&router, "/papers/tell", FORM, form(&[("name=\"title\"", "ab"), (&header, "x")])).await;
        let told = String::from_utf8_lossy(&answer.bytes).into_owned();
        // A header may have no control characters at all; then the form is broken.
        assert!(answer.status == 400 || answer.json()["name"] == name, "{given:?} {told}");
        assert_eq!(answer.status == 400, given.contains('\x1b'), "{given:?} {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_off_commits_nothing() {
    let app = papers(1 << 20).await;
    let served = serve(app.clone()).await;
    let body = format!(
        "{}--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nhello",
        "--XX\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\ncut\r\n"
    );
    let head =
        format!("POST /papers/submit HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: 1000\r\n\r\n");
    let mut failures = app.model::<Paper>().on_log();
    app.model::<Paper>().set_log_level(modeller::LogLevel::Debug);
    for _ in 0..3 {
        let mut stream = served.connect().await;
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stream);
        let broken = async { while !format!("{:?}", failures.next().await.unwrap()).contains("broke off") {} };
        tokio::time::timeout(Duration::from_secs(10), broken).await.unwrap();
    }
    assert_eq!(app.model::<Paper>().count(Filter::all()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_stops_reading_is_answered_for() {
    let app = papers(64 << 20).await;
    let served = serve(app).await;
    for operation in ["peek", "refuse"] {
        let bytes = 8 << 20;
        let head = format!(
            "POST /papers/{operation} HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: {bytes}\r\n\r\n"
        );
        let stream = served.connect().await;
        let (mut read, mut write) = stream.into_split();
        let sending = tokio::spawn(async move {
            write.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..bytes / (1 << 16) {
                write.write_all(&vec![7; 1 << 16]).await.unwrap();
            }
            write.write_all(b"GET /@health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            write
        });
        let mut answers = String::new();
        tokio::time::timeout(Duration::from_secs(20), read.read_to_string(&mut answers)).await.unwrap().unwrap();
        drop(sending.await.unwrap());
        // The connection goes on.
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), if operation == "peek" { 2 } else { 1 }, "{answers}");
        assert_eq!(answers.contains("NO_ROOM"), operation == "refuse", "{answers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_has_so_many_uploads_under_way() {
    let app = papers(64 << 20).await;
    let router = app.router();
    let file = form(&[("name=\"f\"; filename=\"f\"", "x")]);
    let held: Vec<_> = (0..4)
        .map(|_| {
            let (router, file) = (router.clone(), file.clone());
            tokio::spawn(async move { post(&router, "/papers/hold", FORM, file).await })
        })
        .collect();
    while WAITING.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    post(&router, "/papers/peek", FORM, file.clone()).await.assert_problem(429, "RATE_LIMITED");
    post(&router, "/papers/append", "", "x").await.assert_problem(429, "RATE_LIMITED");
    // Somebody else has places of his own.
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let request = Request::post("/papers/peek").header("content-type", FORM).header("authorization", bearer);
    assert_eq!(send(&router, request.body(Body::from(file.clone())).unwrap()).await.json(), 1);
    GO_ON.add_permits(4);
    for held in held {
        assert_eq!(held.await.unwrap().json(), 1);
    }
    assert_eq!(post(&router, "/papers/peek", FORM, file).await.json(), 1);
}

#[tokio::test]
async fn m10_a_body_is_cut_into_chunks() {
    let app = papers(4 << 20).await;
    let router = app.router();
    let insert = async |title: &str| {
        let paper = Paper { title: title.into(), text: String::new(), key: CANARY.to_owned().into() };
        app.model::<Paper>().insert(paper).await.unwrap();
    };
    let text =
        async |title: &str| app.model::<Paper>().get(Paper::TITLE.eq(title)).await.unwrap().unwrap().text.clone();
    let path = |title: &str, more: &str| format!("/papers/append?args=%7B%22title%22%3A%22{title}%22%7D{more}");
    insert("whole").await;
    let body = "x".repeat((1 << 20) + 5);
    let answer = post(&router, &path("whole", ""), "text/plain", body.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!(body.len() + 1)));
    assert_eq!(answer.header("upload-offset"), body.len().to_string());
    assert_eq!(text("whole").await, format!("{body}."));

    insert("parts").await;
    let answer = post(&router, &path("parts", "&offset=0&last=false"), "", "he").await;
    assert_eq!((answer.json(), answer.header("upload-offset")), (json!(2), "2"));
    let error =
        post(&router, &path("parts", "&offset=1&last=false"), "", "llo").await.assert_problem(400, "WRONG_OFFSET");
    assert_eq!(error["offset"], 1);
    assert_eq!(post(&router, &path("parts", "&offset=2"), "", "llo").await.json(), 6);
    assert_eq!(text("parts").await, "hello.");

    // What was taken before a chunk that is refused stays, and the error says how much.
    insert("half").await;
    let body = format!("{}bad", "x".repeat(1 << 20));
    let error = post(&router, &path("half", ""), "", body).await.assert_problem(400, "BAD_CHUNK");
    assert_eq!((&error["offset"], text("half").await.len()), (&json!(1 << 20), 1 << 20));
    // None at all is one that is empty.
    assert_eq!(post(&router, &path("half", &format!("&offset={}", 1 << 20)), "", "").await.json(), (1 << 20) + 1);

    for (path, status, code) in [
        ("/papers/append".to_owned(), 422, "VALIDATION_ERROR"),
        (path("nobody", ""), 400, "NO_SUCH_PAPER"),
        (path("parts", "&offset=x"), 400, "INVALID_REQUEST"),
        (path("parts", "&offset=18446744073709551615"), 400, "INVALID_REQUEST"),
        (path("parts", "&x=1"), 400, "INVALID_REQUEST"),
    ] {
        post(&router, &path, "", "x").await.assert_problem(status, code);
    }
    let error =
        post(&router, &path("parts", ""), "", "x".repeat((4 << 20) + 1)).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(error.get("offset"), None, "refused before anything was taken");
}

#[tokio::test]
async fn m10_chunks_come_on_the_socket() {
    let app = papers(4 << 20).await;
    let paper = Paper { title: "one".into(), text: String::new(), key: CANARY.to_owned().into() };
    app.model::<Paper>().insert(paper).await.unwrap();
    let served = serve(app.clone()).await;
    let mut socket = served.socket(None).await;
    let about = json!({"title": "one"});
    let chunk = |text: &str, offset: u64, last: bool| {
        let data = BASE64_STANDARD.encode(text);
        json!({"model": "papers", "stream": "append", "args": about, "offset": offset, "last": last, "data": data})
    };
    assert_eq!(socket.ask("stream", chunk("he", 0, false)).await["result"], 2);
    assert_eq!(socket.ask("stream", chunk("llo", 2, true)).await["result"], 6);
    assert_eq!(app.model::<Paper>().find(Filter::all()).await.unwrap()[0].text, "hello.");
    let code = |answer: &Value| answer["error"]["data"]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(code(&socket.ask("stream", chunk("x", 2, true)).await), "WRONG_OFFSET");
    let with = |name: &str, value: Value| {
        let mut params = chunk("x", 6, true);
        params[name] = value;
        params
    };
    assert_eq!(code(&socket.ask("stream", with("stream", "nothing".into())).await), "STREAM_NOT_FOUND");
    assert_eq!(code(&socket.ask("stream", with("stream", "tell".into())).await), "STREAM_NOT_FOUND");
    assert_eq!(code(&socket.ask("stream", with("args", json!({}))).await), "VALIDATION_ERROR");
    for (name, value) in
        [("data", json!("x y")), ("data", json!(1)), ("offset", json!(-1)), ("last", json!(1)), ("other", json!(1))]
    {
        let answer = socket.ask("stream", with(name, value)).await;
        assert_eq!((code(&answer).as_str(), &answer["error"]["code"]), ("INVALID_REQUEST", &json!(-32602)), "{name}");
    }
}

#[tokio::test]
async fn uploads_and_streams_are_in_the_metadata() {
    let app = papers(1 << 20).await;
    let router = app.router();
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let ids = |model: &Value, list: &str| {
        model[list].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let model = &metadata["models"][0];
    assert_eq!(model["id"], "papers");
    assert_eq!(ids(model, "uploads"), ["hold", "peek", "refuse", "submit", "tell"]);
    assert_eq!((ids(model, "streams"), ids(model, "operations")), (vec!["append".to_owned()], vec![]));
    let tell = &model["uploads"][4];
    assert_eq!((&tell["access"], &tell["description"]), (&json!("public"), &json!("Says what came.")));
    assert_eq!(tell["args"]["required"], json!(["title"]));
    assert_eq!(tell["output"]["properties"]["bytes"]["type"], "integer");
    // A model of which only an upload is reached.
    let vault = &metadata["models"][1];
    assert_eq!(
        (&vault["id"], ids(vault, "uploads"), vault.get("schema")),
        (&json!("vault"), vec!["lock_away".into()], None)
    );
}
