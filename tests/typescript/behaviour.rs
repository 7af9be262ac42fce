//! What the client does in Node, against a server, and through connections that are cut off.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use modeller_tests::Folder;
use modeller_tests::proxy::Proxy;
use modeller_tests::typescript::{folder, packages, tsc};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::subject::Served;

/// The client of the subject as a verified caller is given it, and the programs that use it, compiled.
fn compiled() -> PathBuf {
    static COMPILED: OnceLock<Folder> = OnceLock::new();
    let make = || {
        let out = Folder::new();
        let client = tokio::runtime::Handle::current().block_on(async { Served::start().await.client().await });
        std::fs::write(out.path().join("client.ts"), client).unwrap();
        std::fs::write(out.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
        let mut files = vec!["client.ts".to_owned()];
        for entry in std::fs::read_dir(folder().join("node")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            std::fs::copy(&path, out.path().join(&name)).unwrap();
            files.push(name);
        }
        let names: Vec<&str> = files.iter().map(String::as_str).collect();
        let (is_fine, said) = tsc(out.path(), &names);
        assert!(is_fine, "{said}");
        out
    };
    COMPILED.get_or_init(make).path().to_owned()
}

/// Runs a program to its end, and does what it asks for.
async fn run(program: &str, served: &Served, proxy: &Proxy, arguments: &[&str]) {
    let folder = tokio::task::spawn_blocking(compiled).await.unwrap();
    let mut child = Command::new("node")
        .arg(folder.join(program))
        .arg(format!("http://{}", proxy.addr))
        .args(arguments)
        .env("MODELLER_NPM", packages())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut asked = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answers = child.stdin.take().unwrap();
    let talk = async {
        while let Some(line) = asked.next_line().await.unwrap() {
            match line.as_str() {
                "cut" => proxy.cut_all(),
                "hour" => served.app.advance(Duration::from_secs(3600)),
                line => {
                    println!("{line}");
                    continue;
                }
            }
            // What was cut off is noticed.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = answers.write_all(b"done\n").await;
        }
        child.wait().await.unwrap()
    };
    let status = tokio::time::timeout(Duration::from_secs(120), talk).await.expect("it comes to an end");
    assert!(status.success(), "{program}");
}

async fn start() -> (Served, Proxy) {
    let served = Served::start().await;
    let proxy = Proxy::start(served.addr).await;
    (served, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_typescript, has_ws)),
    ignore = "needs node and the npm packages typescript and ws in $MODELLER_NPM; .ci/run installs them"
)]
async fn documents_lists_methods_and_errors() {
    let (served, proxy) = start().await;
    run("documents.js", &served, &proxy, &[&served.token("ada")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_typescript, has_ws)),
    ignore = "needs node and the npm packages typescript and ws in $MODELLER_NPM; .ci/run installs them"
)]
async fn what_is_live_over_cuts() {
    let (served, proxy) = start().await;
    run("live.js", &served, &proxy, &[&served.token("ada")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_typescript, has_ws)),
    ignore = "needs node and the npm packages typescript and ws in $MODELLER_NPM; .ci/run installs them"
)]
async fn tokens_are_exchanged() {
    let (served, proxy) = start().await;
    run("logins.js", &served, &proxy, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_typescript, has_ws)),
    ignore = "needs node and the npm packages typescript and ws in $MODELLER_NPM; .ci/run installs them"
)]
async fn files_are_sent() {
    let (served, proxy) = start().await;
    // The two that are sent at once go through, and then the one that is resumed is cut off again and again.
    proxy.cut_after([7 << 20, 2 << 20, 4 << 20]);
    run("files.js", &served, &proxy, &[]).await;
    assert_eq!(proxy.cuts(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_typescript, has_ws)),
    ignore = "needs node and the npm packages typescript and ws in $MODELLER_NPM; .ci/run installs them"
)]
async fn a_call_whose_answer_is_lost_is_made_once() {
    let (served, proxy) = start().await;
    proxy.cut_after([1, 1, 1, 700, 1, 400, 900, 1, 1, 600, 1, 1]);
    run("retries.js", &served, &proxy, &[]).await;
    assert_eq!(proxy.cuts(), 12);
}
