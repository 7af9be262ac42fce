//! Imports point downwards: what a layer may name of the crate is written here, and checked in the source.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// Layer, and the layers that it may name beside itself.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("wire", &["error"]),
    ("core", &["wire", "error"]),
    ("storage", &["core", "wire", "error"]),
    ("model", &["core", "wire", "error"]),
    ("registry", &["model", "core", "wire", "error"]),
    ("app", &["registry", "model", "storage", "core", "wire", "error"]),
    ("test", &["app", "model", "storage", "core", "error"]),
    ("server", &["codegen", "app", "registry", "model", "storage", "core", "wire", "error"]),
    ("cli", &["codegen", "server", "app", "registry", "model", "storage", "core", "wire", "error"]),
    ("client", &["wire", "core", "error"]),
    ("codegen", &["wire", "error"]),
];

/// What gathers names for others, and belongs to no layer.
const GATHERS: &[&str] = &["lib", "prelude", "private", "bin"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The layer of a file, from its place below `src`.
fn layer(file: &Path) -> String {
    let first = file.components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn imports_point_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modeller/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files {
        let place = file.strip_prefix(&root).unwrap();
        let layer = layer(place);
        if GATHERS.contains(&layer.as_str()) {
            continue;
        }
        let Some((_, may)) = MAY_NAME.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{}: `{layer}` is no layer; add it to this test", place.display()));
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for rest in code.split("crate::").skip(1) {
                if rest.starts_with('{') {
                    wrong.push(format!("{}:{}: name layers one by one, not in braces", place.display(), number + 1));
                }
                let named: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let is_layer = MAY_NAME.iter().any(|(name, _)| *name == named);
                if is_layer && named != layer && !may.contains(&named.as_str()) {
                    wrong.push(format!("{}:{}: `{layer}` names `crate::{named}`", place.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point upwards:\n{}", wrong.join("\n"));
}
