//! What the compiler of TypeScript takes, and what it refuses.

use std::path::Path;
use std::time::Instant;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use modeller::SchemaModel;
use modeller::prelude::*;
use modeller_tests::Folder;
use modeller_tests::typescript::{client_of, compare, folder, is_golden, parts, tsc};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use crate::subject::Served;

const DESCRIBED: &str = env!("CARGO_BIN_EXE_described");

fn write(folder: &Folder, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

#[test]
fn the_client_of_what_is_described() {
    is_golden("described", DESCRIBED);
}

#[test]
#[cfg_attr(
    not(has_typescript),
    ignore = "needs node and the npm package typescript in $MODELLER_NPM; .ci/run installs it"
)]
fn clients_are_strict() {
    let out = Folder::new();
    let runtime = parts(&client_of(DESCRIBED)).1.to_owned();
    let mut files = Vec::new();
    for program in [DESCRIBED, env!("CARGO_BIN_EXE_served"), env!("CARGO_BIN_EXE_uploads"), env!("CARGO_BIN_EXE_noted")]
    {
        let name = format!("{}.ts", Path::new(program).file_stem().unwrap().to_string_lossy());
        write(&out, &name, &client_of(program));
        files.push(name);
    }
    // Those of the examples, which their own tests compare.
    for entry in std::fs::read_dir(folder().join("golden")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("golden-{}", path.file_name().unwrap().to_string_lossy());
        write(&out, &name, &(std::fs::read_to_string(&path).unwrap() + &runtime));
        files.push(name);
    }
    assert!(files.len() > 5, "{files:?}");
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let (is_fine, said) = tsc(out.path(), &[&["--noEmit"], names.as_slice()].concat());
    assert!(is_fine, "{said}");
}

#[tokio::test]
async fn a_caller_is_given_the_client_of_what_he_may_reach() {
    let served = Served::start().await;
    let anyones = served.ask_for_client("").await;
    let text = String::from_utf8(anyones.body.clone()).unwrap();
    assert_eq!(anyones.header("content-type"), Some("text/typescript; charset=utf-8"));
    assert!(
        text.contains("promote(args: Promote") && !text.contains("whoami"),
        "protected methods are for who is known"
    );
    // A rule lets anyone read, and no more.
    assert!(text.contains("interface NotesModel extends Reads<") && !text.contains("NoteInsert,"));
    let adas = served.client().await;
    assert!(adas.contains("whoami(") && adas.contains("Inserts<NoteInsert, Note | Key>"));
    assert_eq!(parts(&adas).1, parts(&text).1);

    let tag = anyones.header("etag").unwrap();
    let known = served.ask_for_client(&format!("if-none-match: {tag}\r\n")).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let other = format!("if-none-match: {tag}\r\nauthorization: Bearer {}\r\n", served.token("ada"));
    assert_eq!(served.ask_for_client(&other).await.status, 200);
}

/// Each wrong use is refused, and in the words that are in the file beside it. Renew those with `UPDATE_GOLDEN=1`.
#[tokio::test]
#[cfg_attr(
    not(has_typescript),
    ignore = "needs node and the npm package typescript in $MODELLER_NPM; .ci/run installs it"
)]
async fn misuse_is_refused() {
    let out = Folder::new();
    write(&out, "client.ts", &Served::start().await.client().await);
    let folder = folder().join("misuse");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ts") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            std::fs::copy(&path, out.path().join(&name)).unwrap();
            files.push(name);
        }
    }
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let (is_fine, said) = tsc(out.path(), &[&["--noEmit"], names.as_slice()].concat());
    assert!(!is_fine);
    let mut of_files = std::collections::BTreeMap::<String, String>::new();
    let mut file = String::new();
    for line in said.lines() {
        if let Some((name, _)) = line.split_once(".ts(") {
            name.clone_into(&mut file);
        }
        of_files.entry(file.clone()).or_default().push_str(&format!("{line}\n"));
    }
    for name in &files {
        let stem = name.trim_end_matches(".ts");
        let said = of_files.remove(stem).unwrap_or_default();
        assert!(said.contains("error TS"), "{name} is taken");
        // A file is about one mistake.
        assert_eq!(said.matches("error TS").count(), 1, "{said}");
        compare(&folder.join(format!("{stem}.stderr")), &said);
    }
    assert!(of_files.is_empty(), "{of_files:?}");
}

/// The client of an application of so many models with 20 fields each.
async fn client_of_models(count: usize) -> String {
    let kinds = [
        json!({"type": "string"}),
        json!({"type": "string", "format": "email"}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "integer", "minimum": 0}),
        json!({"type": "number"}),
        json!({"type": "boolean"}),
        json!({"enum": ["open", "done", "late"]}),
        json!({"type": "array", "items": {"type": "string"}, "maxItems": 10}),
        json!({"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}}, "required": ["city"]}),
        json!({"type": ["string", "null"]}),
    ];
    let mut app = App::new();
    for number in 0..count {
        let fields: Map<String, Value> =
            (0..20).map(|field| (format!("field{field}"), kinds[(number + field) % kinds.len()].clone())).collect();
        let required: Vec<String> = (0..10).map(|field| format!("field{field}")).collect();
        let schema =
            json!({"type": "object", "properties": fields, "required": required, "additionalProperties": false});
        app = app.schema_model(SchemaModel::new(format!("model{number:03}"), schema).public());
    }
    let router = app.in_memory().open().await.unwrap().router();
    let request = Request::builder().uri("/@client.ts").body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
#[cfg_attr(
    not(has_typescript),
    ignore = "needs node and the npm package typescript in $MODELLER_NPM; .ci/run installs it"
)]
#[expect(clippy::print_stdout, reason = "the figures")]
async fn two_hundred_models_are_checked_about_as_fast_as_ten() {
    let out = Folder::new();
    let used = "import * as client from './models';\nexport const all: typeof client = client;\n";
    let mut took = Vec::new();
    for count in [10, 200] {
        let text = client_of_models(count).await;
        write(&out, "models.ts", &text);
        write(&out, "used.ts", used);
        // The better of two: whatever else runs does not count.
        let times = (0..2).map(|_| {
            let begin = Instant::now();
            let (is_fine, said) = tsc(out.path(), &["--noEmit", "models.ts", "used.ts"]);
            assert!(is_fine, "{said}");
            begin.elapsed()
        });
        let best = times.min().unwrap();
        println!("{count} models: {} KiB, {best:?}", text.len() >> 10);
        took.push(best);
    }
    assert!(took[1] < took[0] * 3, "{took:?}");
}
