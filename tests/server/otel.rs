//! What a collector of traces is sent.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures_util::{SinkExt as _, StreamExt as _};
use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// What a client sends, and what is stored, that must not be told.
const SECRETS: &[&str] =
    &["canary-text", "wax on", "canary-token", "canary-query", "canary-cookie", "is sealed", "/src/"];

/// Takes what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

impl Collector {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = self.0.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            taken.lock().unwrap().push((headers, body));
            StatusCode::OK
        };
        let router = axum::Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.0.lock().unwrap();
        let mut spans = Vec::new();
        for (headers, body) in &*taken {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            let told = String::from_utf8_lossy(body);
            for secret in SECRETS {
                assert!(!told.contains(secret), "{secret}");
            }
            for resource in ExportTraceServiceRequest::decode(body.clone()).unwrap().resource_spans {
                let attributes = &resource.resource.as_ref().unwrap().attributes;
                let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
                assert!(format!("{:?}", name.value).contains("post office"), "{name:?}");
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        spans
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn program(endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traced"));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_SERVICE_NAME", "post office");
    // So that it is the end that sends them.
    command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000").stderr(Stdio::piped());
    command
}

/// Has it end, and waits for that.
async fn end(mut served: Served) -> Option<i32> {
    let sent = Command::new("kill").args(["-TERM", &served.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    tokio::task::spawn_blocking(move || served.child.wait().unwrap().code()).await.unwrap()
}

async fn write_letter(served: &Served, headers: &str) {
    let mut connection = Connection::open(served.addr).await.unwrap();
    let headers = format!("content-type: application/json\r\ncookie: a=canary-cookie\r\n{headers}");
    let body = json!({"text": "canary-text"}).to_string();
    let answer = connection.send("POST", "/letters?x=canary-query", &headers, body.as_bytes()).await.unwrap();
    assert!(answer.status == 201 || answer.status == 401 || answer.status == 400, "{}", answer.status);
    assert_eq!(answer.header("traceparent"), None);
}

/// What a request tells a collector: itself, within what its client named, and within it what ran.
async fn a_request_and_its_hooks(command: Command, collector: &Collector) {
    let folder = Folder::new();
    let served = Served::start_command(command, folder.path());
    write_letter(&served, &format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1\r\n")).await;
    write_letter(&served, &format!("traceparent: 00-{}-{PARENT}-01\r\n", TRACE.to_uppercase())).await;
    write_letter(&served, "authorization: Bearer canary-token\r\n").await;
    let mut connection = Connection::open(served.addr).await.unwrap();
    assert_eq!(connection.json("POST", "/letters/burn", None).await.unwrap().status, 400);
    let (mut socket, _) = connect_async(format!("ws://{}/@socket", served.addr)).await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "call", "params": {"model": "letters", "method": "burn"}});
    socket.send(call.to_string().into()).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().to_text().unwrap().contains("TOO_WET"));
    socket.close(None).await.unwrap();
    assert_eq!(end(served).await, Some(0));

    let spans = collector.spans();
    let inserts = named(&spans, "POST /{model}");
    assert_eq!(inserts.len(), 3, "{spans:#?}");
    let (of_client, own): (Vec<&Span>, Vec<&Span>) = inserts.into_iter().partition(|span| hex(&span.trace_id) == TRACE);
    assert_eq!((of_client.len(), own.len()), (1, 2));
    let insert = of_client[0];
    assert_eq!((hex(&insert.parent_span_id).as_str(), insert.trace_state.as_str()), (PARENT, "a=1"));
    assert_eq!(insert.kind, SpanKind::Server as i32);
    assert!(own.iter().all(|span| span.parent_span_id.is_empty() && span.trace_id.len() == 16));
    assert_ne!(own[0].trace_id, own[1].trace_id);
    for hook in ["hook letters.seal", "hook letters.count"] {
        let runs = named(&spans, hook);
        let within: Vec<_> = runs.iter().filter(|run| run.parent_span_id == insert.span_id).collect();
        assert_eq!(within.len(), 1, "{spans:#?}");
        assert_eq!(hex(&within[0].trace_id), TRACE);
    }
    let burn = named(&spans, "method letters.burn");
    assert_eq!(burn[0].status.as_ref().unwrap().code, SpanStatus::Error as i32);
    assert!(format!("{:?}", burn[0].attributes).contains("TOO_WET"), "{burn:?}");
    let mut within = [named(&spans, "POST /{model}/{id}"), named(&spans, "call")].map(|spans| &spans[0].span_id);
    let mut parents = [0, 1].map(|at| &burn[at].parent_span_id);
    within.sort();
    parents.sort();
    assert_eq!(parents, within);
    assert!(spans.iter().all(|span| span.events.is_empty()), "{spans:#?}");
}

#[tokio::test]
async fn a_request_and_its_hooks_are_one_trace() {
    let collector = Collector::default();
    let command = program(&collector.listen().await);
    a_request_and_its_hooks(command, &collector).await;
}

/// A program with a subscriber of its own adds the layer, and is served all the same.
#[tokio::test]
async fn a_subscriber_of_the_program_takes_the_layer() {
    let collector = Collector::default();
    let mut command = program(&collector.listen().await);
    command.env("OWN_SUBSCRIBER", "yes");
    a_request_and_its_hooks(command, &collector).await;
}

/// By TLS, to a collector whose certificate is named, and to none whose is not.
#[tokio::test]
async fn traces_go_over_tls_to_whom_is_trusted() {
    let collector = Collector::default();
    let inner = collector.listen().await.trim_start_matches("http://").to_owned();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut plain = tokio::net::TcpStream::connect(&inner).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut plain).await });
        }
    });
    let folder = Folder::new();
    let file = folder.path().join("roots.pem");
    fs::write(&file, own.cert.pem()).unwrap();
    let endpoint = format!("https://localhost:{port}");
    for trusts in [false, true] {
        let mut command = program(&endpoint);
        if trusts {
            command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", &file);
        }
        let served = Served::start_command(command, &folder.path().join("data"));
        write_letter(&served, "").await;
        assert_eq!(end(served).await, Some(0));
        assert_eq!(named(&collector.spans(), "POST /{model}").len(), usize::from(trusts));
    }
}

/// Nobody waits for a collector that does not answer, but for a while at the end.
#[tokio::test]
async fn a_collector_that_is_silent_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = program(&format!("http://{}", silent.local_addr().unwrap()));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50").env("OTEL_BSP_MAX_QUEUE_SIZE", "16");
    let folder = Folder::new();
    let served = Served::start_command(command, folder.path());
    let begun = Instant::now();
    for _ in 0..100 {
        write_letter(&served, "").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let ending = Instant::now();
    assert_eq!(end(served).await, Some(0));
    assert!(ending.elapsed() < Duration::from_secs(12), "{:?}", ending.elapsed());
}

#[test]
fn what_cannot_be_sent_to_is_no_start() {
    let refused = |name: &str, value: &str| {
        let output = program("http://127.0.0.1:1").env(name, value).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 1), "{errors}");
        errors
    };
    assert!(refused("OTEL_EXPORTER_OTLP_ENDPOINT", "no url").contains("traces cannot be sent"));
    assert!(refused("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").contains("http/protobuf"));
    assert!(refused("OTEL_EXPORTER_OTLP_TIMEOUT", "soon").contains("OTEL_EXPORTER_OTLP_TIMEOUT"));
    assert!(refused("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nothing/here").contains("OTEL_EXPORTER_OTLP_CERTIFICATE"));
}
