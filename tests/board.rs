//! The board as people use it: two windows of a browser, one of them behind a network that is cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use modeller_tests::Folder;
use modeller_tests::node::Node;
use modeller_tests::process::Served;
use modeller_tests::proxy::Proxy;
use serde_json::{Value, json};

const PROGRAM: &str = include_str!("../examples/board/src/main.rs");

/// The program, built where this test was. It is no part of the package of the tests.
fn board() -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "board"]).status().unwrap();
    assert!(built.success());
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("board")
}

#[test]
fn the_server_is_short() {
    assert!(PROGRAM.lines().count() <= 80);
}

/// What the page is made of is what the compiler makes of it and of the client of the program. `UPDATE=1` writes it.
#[test]
#[cfg_attr(
    not(has_typescript),
    ignore = "needs node and the npm package typescript in $MODELLER_NPM; .ci/run installs it"
)]
fn the_page_is_up_to_date() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/board/page");
    std::fs::copy(page.join("board.ts"), folder.path().join("board.ts")).unwrap();
    let client = folder.path().join("client.ts");
    let made = Command::new(board()).args(["client", "typescript", "--out"]).arg(&client).status().unwrap();
    assert!(made.success());
    let packages = Path::new(env!("MODELLER_NPM"));
    let compiled = Command::new("node")
        .arg(packages.join("node_modules/typescript/bin/tsc"))
        .args(["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--skipLibCheck"])
        .args([
            "--target",
            "es2022",
            "--module",
            "es2022",
            "--moduleResolution",
            "bundler",
            "--lib",
            "es2023,dom,dom.iterable",
        ])
        .arg(folder.path().join("board.ts"))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stdout));
    for name in ["board.js", "client.js"] {
        let made = std::fs::read_to_string(folder.path().join(name)).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(page.join(name), made).unwrap();
        } else {
            let known = std::fs::read_to_string(page.join(name)).unwrap();
            assert!(made == known, "examples/board/page/{name} is another one; UPDATE=1 writes it");
        }
    }
}

struct Windows(Node);

impl Windows {
    fn ask(&mut self, question: &Value) -> Value {
        let answer = self.0.ask(question);
        assert_eq!(answer.get("failed"), None, "{question}");
        answer["done"].clone()
    }

    /// Both see it.
    fn see(&mut self, title: &str, place: &str) {
        for window in 0..2 {
            self.ask(&json!({"op": "sees", "window": window, "title": title, "where": place}));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(has_browser),
    ignore = "needs chromium and the npm package playwright-core in $MODELLER_NPM; .ci/run installs both"
)]
async fn two_windows_share_a_board() {
    let folder = Folder::new();
    let served = Served::start(board(), folder.path());
    let proxy = Proxy::start(served.addr).await;
    let mut windows = Windows(Node::start("board.mjs"));
    windows.ask(&json!({"op": "open", "url": format!("http://{}/", served.addr)}));
    windows.ask(&json!({"op": "open", "url": format!("http://{}/", proxy.addr)}));

    let titles = ["Write the invitation", "Book the room", "Order the cake", "Find a band", "Thank everybody"];
    for (number, title) in titles.iter().enumerate() {
        windows.ask(&json!({"op": "add", "window": number % 2, "title": title}));
        windows.see(title, "todo");
    }
    windows.ask(&json!({"op": "drag", "window": 0, "title": titles[0], "to": "done"}));
    windows.see(titles[0], "done");
    for title in &titles[1..4] {
        windows.ask(&json!({"op": "drag", "window": 1, "title": title, "to": "doing"}));
        windows.see(title, "doing");
    }
    if let Some(path) = std::env::var_os("SCREENSHOT") {
        windows.ask(&json!({"op": "screenshot", "window": 0, "path": path.to_str().unwrap()}));
    }

    // A fourth one in work is refused: it goes back, and it is said why.
    windows.ask(&json!({"op": "drag", "window": 0, "title": titles[4], "to": "doing"}));
    windows.ask(&json!({"op": "message", "window": 0, "text": "no more than 3 cards are in work"}));
    windows.see(titles[4], "todo");

    // One is cut off. What the other one does meanwhile is there when the network is, and nothing is loaded anew.
    proxy.close();
    windows.ask(&json!({"op": "online", "window": 1, "is": false}));
    windows.ask(&json!({"op": "drag", "window": 0, "title": titles[1], "to": "done"}));
    windows.ask(&json!({"op": "sees", "window": 0, "title": titles[1], "where": "done"}));
    windows.ask(&json!({"op": "add", "window": 0, "title": "Pay the bills"}));
    windows.ask(&json!({"op": "sees", "window": 0, "title": "Pay the bills", "where": "todo"}));
    proxy.open();
    windows.ask(&json!({"op": "online", "window": 1, "is": true}));
    windows.see(titles[1], "done");
    windows.see("Pay the bills", "todo");
    for window in 0..2 {
        assert_eq!(windows.ask(&json!({"op": "loads", "window": window})), 1);
    }
    let columns = |windows: &mut Windows, window: usize| {
        ["todo", "doing", "done"].map(|place| windows.ask(&json!({"op": "titles", "window": window, "where": place})))
    };
    let first = columns(&mut windows, 0);
    assert_eq!(first, columns(&mut windows, 1));
    assert_eq!(first[0], json!([titles[4], "Pay the bills"]));
    assert_eq!(windows.ask(&json!({"op": "errors"})), json!([]));
}
