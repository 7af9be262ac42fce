//! The events of a server, as callbacks.

use std::sync::{Arc, Mutex};

use modeller::prelude::*;
use modeller::server::{ConnectionKind, Requested};
use serde_json::{Value, json};

use crate::support::*;

/// What was told, one line each.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn builder() -> modeller::AppBuilder {
    App::new().model::<User>().model::<Note>().model::<Ledger>().secret(SECRET).in_memory()
}

fn line(request: &Requested) -> String {
    let route = request.route.as_deref().unwrap_or("nowhere");
    let protected = if request.protected { " protected" } else { "" };
    format!("{} {} {route}{protected} {:?}", request.method, request.path, request.caller)
}

#[tokio::test]
async fn s10_mounted_connection_and_request_are_told_to_callbacks() {
    let told = Told::default();
    let (mounted, connected, requested) = (told.clone(), told.clone(), told.clone());
    let app = builder()
        .on_mounted(move |event| mounted.add(format!("mounted at {}: {}", event.address, event.app.seq())))
        .on_connection(move |event| {
            assert!(event.peer.unwrap().ip().is_loopback());
            connected.add(format!("{:?} {:?}", event.kind, event.caller));
        })
        .on_request(move |event| {
            assert!(event.peer.unwrap().ip().is_loopback());
            requested.add(line(event));
        })
        .open()
        .await
        .unwrap();
    let token = token(&app, "ada");
    let served = serve(app).await;
    assert!(served.raw(b"GET /notes HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.contains(" 401 "));
    assert_eq!(
        told.take(),
        [
            format!("mounted at {}: {}", served.addr, served.app.seq()),
            "Http Caller::Anyone".into(),
            "GET /notes /{model} protected Caller::Anyone".into(),
        ]
    );
    let mut socket = served.socket(Some(&token)).await;
    socket.ask("call", json!({"model": "users", "method": "ping"})).await;
    assert_eq!(
        told.take(),
        [
            "Http Caller::Anyone",
            "GET /@socket /@socket Caller::Verified(Some(\"ada\"))",
            "Socket Caller::Verified(Some(\"ada\"))",
        ]
    );
}

#[tokio::test]
async fn a_request_is_told_with_its_route_and_whether_it_is_protected() {
    let told = Told::default();
    let requested = told.clone();
    let app = builder().on_request(move |event| requested.add(line(event))).open().await.unwrap();
    let (router, bearer) = (app.router(), format!("Bearer {}", token(&app, "ada")));
    for (method, path, headers, line) in [
        ("GET", "/users?limit=1", &[][..], "GET /users /{model} Caller::Anyone"),
        ("GET", "/notes/1", &[], "GET /notes/1 /{model}/{id} protected Caller::Anyone"),
        ("POST", "/users/secret_report", &[], "POST /users/secret_report /{model}/{id} protected Caller::Anyone"),
        ("POST", "/notes/motd", &[], "POST /notes/motd /{model}/{id} Caller::Anyone"),
        ("GET", "/@health", &[], "GET /@health /@health Caller::Anyone"),
        ("GET", "/a/b/c/d", &[], "GET /a/b/c/d nowhere Caller::Anyone"),
        ("GET", "/nothing", &[], "GET /nothing /{model} Caller::Anyone"),
        (
            "GET",
            "/notes",
            &[("authorization", &*bearer)],
            "GET /notes /{model} protected Caller::Verified(Some(\"ada\"))",
        ),
        // A token that does not hold is told too, as that of nobody.
        ("GET", "/notes", &[("authorization", "Bearer nonsense")], "GET /notes /{model} protected Caller::Anyone"),
    ] {
        ask_with(&router, method, path, Value::Null, headers).await;
        assert_eq!(told.take(), [line], "{method} {path}");
    }
    // Within a router of the program's own, too.
    let outer = axum::Router::new().nest("/api", app.router());
    ask(&outer, "GET", "/api/notes", Value::Null).await;
    assert_eq!(told.take(), ["GET /notes /api/{model} protected Caller::Anyone"]);
}

#[tokio::test]
async fn a_callback_changes_nothing_also_when_it_panics() {
    let told = Told::default();
    let requested = told.clone();
    let app = builder()
        .on_request(|_| panic!("a mistake in a callback"))
        .on_connection(|event| assert_eq!(event.kind, ConnectionKind::Socket, "a mistake in a callback"))
        .on_mounted(|_| panic!("a mistake in a callback"))
        .on_request(move |event| requested.add(event.path.clone()))
        .open()
        .await
        .unwrap();
    let served = serve(app).await;
    for _ in 0..2 {
        let answer = served.raw(b"POST /users/ping HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(answer.contains(" 200 ") && answer.ends_with("\"pong\""), "{answer}");
    }
    assert_eq!(told.take(), ["/users/ping", "/users/ping"]);
}
