//! How much an upload takes that says it, by each way in, whose an upload is that is counted, and what is told when one is whole.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use modeller::prelude::*;
use modeller::server::Uploaded;
use modeller_tests::http::Connection;
use modeller_tests::process::Served as Program;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::*;

#[model(id = "frames", public)]
pub struct Frame {
    pub name: String,
}

const SMALL: u64 = 8;

/// Takes less than the server does.
#[upload(Frame, max_bytes = SMALL)]
async fn small(mut file: File) -> Result<u64> {
    file.copy_to(&mut tokio::io::sink()).await
}

/// Takes more.
#[upload(Frame, max_bytes = 4 << 10)]
async fn large(mut file: File) -> Result<u64> {
    file.copy_to(&mut tokio::io::sink()).await
}

#[upload(Frame)]
async fn usual(mut file: File) -> Result<u64> {
    file.copy_to(&mut tokio::io::sink()).await
}

#[upload(Frame)]
async fn picky(mut file: File) -> Result<()> {
    file.bytes(1024).await?;
    Err(Error::new("NOT_THIS_ONE"))
}

fn builder() -> modeller::AppBuilder {
    App::new().model::<Frame>().secret(SECRET).upload_limit(1024).in_memory()
}

/// The upload, and how many bytes it takes.
const UPLOADS: [(&str, usize); 3] = [("small", 8), ("large", 4096), ("usual", 1024)];

async fn post(router: &Router, upload: &str, kind: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(format!("/frames/{upload}")).header("content-type", kind);
    send(router, request.body(Body::from(body)).unwrap()).await
}

fn form(bytes: usize) -> Vec<u8> {
    let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n";
    [head.as_bytes(), &vec![b'x'; bytes], b"\r\n--b--\r\n"].concat()
}

fn metadata(upload: &str) -> String {
    let pairs = [("model", "frames"), ("upload", upload), ("filename", "a.txt")];
    pairs.map(|(name, value)| format!("{name} {}", BASE64_STANDARD.encode(value))).join(",")
}

async fn tus(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("tus-resumable", "1.0.0");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(router, request.body(Body::from(body)).unwrap()).await
}

const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");

#[tokio::test]
async fn an_upload_takes_what_it_says_by_each_way() {
    let app = builder().open().await.unwrap();
    let (router, frames) = (app.router(), app.model::<Frame>());
    for (upload, most) in UPLOADS {
        for (kind, body) in
            [("multipart/form-data; boundary=b", form as fn(usize) -> Vec<u8>), ("text/plain", |n| vec![b'x'; n])]
        {
            let answer = post(&router, upload, kind, body(most)).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!(most)), "{upload} {kind}");
            post(&router, upload, kind, body(most + 1)).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
        }
        // Of a length that is said, and of one that is not.
        let metadata = metadata(upload);
        let length = (most + 1).to_string();
        let headers = [("upload-length", &*length), ("upload-metadata", &*metadata)];
        tus(&router, "POST", "/@files", &headers, vec![]).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
        let length = most.to_string();
        let headers = [BYTES, ("upload-length", &*length), ("upload-metadata", &*metadata)];
        let whole = tus(&router, "POST", "/@files", &headers, vec![b'x'; most]).await;
        assert_eq!((whole.status.as_u16(), whole.header("upload-offset")), (201, &*length));
        let headers = [("upload-defer-length", "1"), ("upload-metadata", &*metadata)];
        let path = tus(&router, "POST", "/@files", &headers, vec![]).await.header("location").to_owned();
        let at = [BYTES, ("upload-offset", "0")];
        tus(&router, "PATCH", &path, &at, vec![b'x'; most + 1]).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
        let longer = (most + 1).to_string();
        let at = [BYTES, ("upload-offset", "0"), ("upload-length", &*longer)];
        tus(&router, "PATCH", &path, &at, vec![]).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
    }
    // In process it is what the upload says, and nothing where it says nothing.
    let file = |bytes: usize| File::new("a", vec![b'x'; bytes]);
    assert_eq!(frames.small(file(8)).await.unwrap(), 8);
    assert_eq!(frames.small(file(9)).await.unwrap_err().code(), &ErrorCode::PayloadTooLarge);
    assert_eq!(
        frames.call_upload("large", file(4097), Value::Null).await.unwrap_err().code(),
        &ErrorCode::PayloadTooLarge
    );
    assert_eq!(frames.usual(file(1 << 20)).await.unwrap(), 1 << 20);

    let options = tus(&router, "OPTIONS", "/@files", &[], vec![]).await;
    assert_eq!(options.header("tus-max-size"), "4096");
    let told = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let openapi = ask(&router, "GET", "/@openapi.json", Value::Null).await.json();
    for (upload, most) in UPLOADS {
        let uploads = told["models"][0]["uploads"].as_array().unwrap();
        assert_eq!(uploads.iter().find(|it| it["id"] == upload).unwrap()["maxBytes"], most, "{upload}");
        let content = &openapi["paths"][format!("/frames/{upload}")]["post"]["requestBody"]["content"];
        assert_eq!(content["multipart/form-data"]["schema"]["properties"]["file"]["maxLength"], most);
        assert_eq!(content["application/octet-stream"]["schema"]["maxLength"], most);
    }
}

/// An upload that was begun keeps its bounds through a restart.
#[tokio::test]
async fn how_long_an_upload_may_be_is_remembered() {
    let folder = modeller_tests::Folder::new();
    let metadata = metadata("large");
    let open = async || {
        App::new().model::<Frame>().secret(SECRET).upload_limit(1024).data(folder.path()).open().await.unwrap()
    };
    let app = open().await;
    let headers = [("upload-defer-length", "1"), ("upload-metadata", &*metadata)];
    let path = tus(&app.router(), "POST", "/@files", &headers, vec![]).await.header("location").to_owned();
    drop(app);
    let app = open().await;
    let at = [BYTES, ("upload-offset", "0")];
    let answer = tus(&app.router(), "PATCH", &path, &at, vec![b'x'; 4096]).await;
    assert_eq!((answer.status.as_u16(), answer.header("upload-offset")), (204, "4096"));
}

/// Who is not verified is counted by his address, or by that which a proxy says that is trusted, and by the network of it.
#[tokio::test]
async fn uploads_are_counted_by_who_is_behind_a_proxy() {
    let app = builder().incomplete_uploads(1024, 1 << 20).trusted_proxies(["127.0.0.1"]).open().await.unwrap();
    let served = serve(app).await;
    let mut connection = Connection::open(served.addr).await.unwrap();
    let metadata = metadata("usual");
    for (address, status) in [
        ("9.9.9.9", 201),
        ("9.9.9.9", 429),
        ("9.9.9.8", 201),
        ("2001:db8::1", 201),
        ("2001:db8::ffff", 429),
        ("2001:db8:0:1::1", 201),
    ] {
        // Each is as much as one may have.
        let headers = format!(
            "tus-resumable: 1.0.0\r\nupload-length: 4096\r\nupload-metadata: {}\r\nx-forwarded-for: {address}\r\n",
            metadata.replace(&BASE64_STANDARD.encode("usual"), &BASE64_STANDARD.encode("large"))
        );
        let answer = connection.send("POST", "/@files", &headers, b"").await.unwrap();
        assert_eq!(answer.status, status, "{address}");
    }
}

#[tokio::test]
async fn s10_uploaded_is_told_of_each_file_that_was_taken() {
    let told: Arc<Mutex<Vec<Uploaded>>> = Arc::default();
    let heard = told.clone();
    let app = builder()
        .on_uploaded(move |uploaded| heard.lock().unwrap().push(uploaded.clone()))
        .on_uploaded(|_| panic!("a callback changes nothing"))
        .upload_handler(|mut whole| async move { whole.file.copy_to(&mut tokio::io::sink()).await })
        .open()
        .await
        .unwrap();
    let served = serve(app.clone()).await;
    let router = app.router();
    let take = || std::mem::take(&mut *told.lock().unwrap());
    let operation = |upload: &str| Some(("frames".to_owned(), upload.to_owned()));

    assert_eq!(post(&router, "usual", "multipart/form-data; boundary=b", form(7)).await.status, 200);
    let form = take();
    assert_eq!((form.len(), &form[0].operation, form[0].bytes), (1, &operation("usual"), 7));
    assert_eq!((form[0].name.as_deref(), form[0].id.as_deref()), (Some("a.txt"), None));
    assert_eq!(post(&router, "usual", "image/png", vec![0; 5]).await.status, 200);
    let bare = take();
    assert_eq!((bare[0].content_type.as_deref(), bare[0].bytes), (Some("image/png"), 5));

    let metadata = metadata("usual");
    let headers = [BYTES, ("upload-length", "3"), ("upload-metadata", &*metadata)];
    let path = tus(&router, "POST", "/@files", &headers, b"abc".to_vec()).await.header("location").to_owned();
    let resumable = take();
    assert_eq!((&resumable[0].operation, resumable[0].bytes), (&operation("usual"), 3));
    assert_eq!(resumable[0].id.as_deref(), path.strip_prefix("/@files/"));
    assert_eq!(resumable[0].metadata["filename"], "a.txt");
    assert!(!format!("{resumable:?}").contains(&path[8..]), "the id is the right to it");

    let token = token(&app, "ada");
    let mut socket = served.socket(Some(&token)).await;
    let create = json!({"length": 2, "metadata": {"mood": "good"}});
    let id = socket.ask("upload.create", create).await["result"]["id"].as_str().unwrap().to_owned();
    assert_eq!(take().len(), 0, "it is not whole");
    socket.ask("upload.append", json!({"id": id, "offset": 0, "data": BASE64_STANDARD.encode("ab")})).await;
    let on_socket = take();
    assert_eq!((&on_socket[0].operation, on_socket[0].bytes, &*on_socket[0].metadata["mood"]), (&None, 2, "good"));
    assert_eq!(on_socket[0].caller.subject(), Some("ada"));

    post(&router, "picky", "text/plain", b"x".to_vec()).await.assert_problem(400, "NOT_THIS_ONE");
    post(&router, "small", "text/plain", vec![b'x'; 9]).await.assert_problem(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(take().len(), 0, "of what was refused");
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A body far over what is taken, announced or in chunks: it is refused, and kept nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_a_body_of_300_mib_is_refused_in_little_memory() {
    const LENGTH: usize = 300 << 20;
    let folder = modeller_tests::Folder::new();
    let program = Program::start(env!("CARGO_BIN_EXE_uploads"), folder.path());
    let pid = program.child.id();
    let piece = vec![b'x'; 64 << 10];
    let form = "--b\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\nx\r\n\
                --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let before = resident(pid);
    let mut most = before;
    for (path, kind, begin) in [
        ("/archives", "application/json", "\""),
        ("/archives/store_small?args=%7B%22name%22%3A%22x%22%7D", "application/octet-stream", ""),
        ("/archives/store_small", "multipart/form-data; boundary=b", form),
    ] {
        for is_chunked in [false, true] {
            let stream = TcpStream::connect(program.addr).await.unwrap();
            let (mut reader, mut writer) = stream.into_split();
            let answer = tokio::spawn(async move {
                let mut text = Vec::new();
                let _ = timeout(Duration::from_secs(30), reader.read_to_end(&mut text)).await;
                String::from_utf8_lossy(&text).into_owned()
            });
            let length =
                if is_chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {LENGTH}") };
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n{length}\r\n\r\n"
            );
            writer.write_all(head.as_bytes()).await.unwrap();
            let mut sent = 0;
            let mut next = begin.as_bytes();
            while sent < LENGTH {
                let framed = match is_chunked {
                    true => [format!("{:x}\r\n", next.len()).as_bytes(), next, b"\r\n"].concat(),
                    false => next.to_vec(),
                };
                // Who is refused is let go before he has sent it all.
                if !next.is_empty()
                    && !matches!(timeout(Duration::from_secs(20), writer.write_all(&framed)).await, Ok(Ok(())))
                {
                    break;
                }
                sent += next.len();
                next = &piece;
                most = most.max(resident(pid));
            }
            let answer = answer.await.unwrap();
            // A connection that is closed on what was not read may be reset before the answer is.
            assert!(
                answer.starts_with("HTTP/1.1 413 ") || (answer.is_empty() && sent < LENGTH),
                "{path}: {answer:.200}"
            );
            assert!(sent < LENGTH, "{path}: all of it was taken");
        }
    }
    println!("{} KiB resident, {} KiB at most", before >> 10, most >> 10);
    assert!(most - before < 64 << 20, "{before} to {most} bytes");
}
