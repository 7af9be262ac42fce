//! The program `modeller`, as a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cli");
const README: &str = include_str!("../README.md");

/// Runs the program with this input to its end.
fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn users() -> Value {
    json!({
        "type": "object",
        "properties": {
            "email": {"type": "string", "format": "email", "unique": true},
            "age": {"type": "integer", "minimum": 0, "default": 0, "index": true},
            "password": {"type": "string", "minLength": 12, "private": true},
        },
        "required": ["email"],
        "additionalProperties": false,
    })
}

/// A file with a schema, and its folder.
fn schema_file(schema: &Value) -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.path().join("users.schema.json");
    std::fs::write(&path, schema.to_string()).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn validate_tells_each_line_that_does_not_fit() {
    let (_folder, schema) = schema_file(&users());
    let input = b"{\"email\":\"ada@example.com\"}\n\n{\"email\":\"x\",\"age\":-1}\r\n{\"email\":\n[1]\n{\"email\":\"b@example.com\"}";
    let output = run(&["validate", &schema], input);
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(1), ""));
    let told = lines(&output);
    let numbers: Vec<_> = told.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 4, 5]);
    let of_ajv = json!([
        {"instancePath": "/email", "keyword": "format", "message": "must match format \"email\"",
         "params": {"format": "email"}, "schemaPath": "#/properties/email/format"},
        {"instancePath": "/age", "keyword": "minimum", "message": "must be >= 0",
         "params": {"comparison": ">=", "limit": 0}, "schemaPath": "#/properties/age/minimum"},
    ]);
    assert_eq!(told[0]["errors"], of_ajv);
    assert!(told[1]["malformed"].as_str().unwrap().contains("EOF"), "{}", told[1]);
    assert_eq!(told[2]["errors"][0]["message"], "must be object");
}

#[test]
fn validate_at_the_edges() {
    let (folder, schema) = schema_file(&users());
    for empty in [&b""[..], b"\n", b" \n\t\n"] {
        let output = run(&["validate", &schema], empty);
        assert_eq!((output.status.code(), output.stdout.len(), told(&output).as_str()), (Some(0), 0, ""));
    }
    // No text, nested too deep, longer than is read: told, and the next line is read.
    let deep = "[".repeat(100_000);
    for wrong in [&b"\xff\xfe"[..], deep.as_bytes(), &vec![b'1'; 17 * 1024 * 1024]] {
        let input = [wrong, b"\n{\"email\":\"ada@example.com\"}\n{}\n"].concat();
        let output = run(&["validate", &schema], &input);
        let told = lines(&output);
        assert_eq!((output.status.code(), told.len()), (Some(1), 2));
        assert!(
            told[0]["malformed"].is_string() && told[1]["errors"][0]["keyword"] == "required" && told[1]["line"] == 3
        );
    }
    // What cannot be run says why in one line.
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{\"type\": 5}").unwrap();
    for (args, why) in [
        (vec!["validate"], "takes a schema file"),
        (vec!["validate", &schema, "more"], "takes a schema file"),
        (vec!["validate", "no such file"], "cannot read"),
        (vec!["validate", broken.to_str().unwrap()], "the schema is not valid"),
        (vec!["valdiate"], "no command `valdiate`"),
        (vec![], "a command is needed"),
    ] {
        let output = run(&args, b"");
        let told = told(&output);
        assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{args:?}: {told}");
        assert!(told.contains(why), "{args:?}: {told}");
    }
}

const DOCUMENTS: &[u8] = b"{\"name\":\"Ada\",\"age\":36,\"tags\":[\"a\",\"b\"]}
{\"_id\":\"bob\",\"name\":\"Bob\",\"age\":20}
{\"name\":\"Eve\",\"age\":28,\"tags\":[\"b\"],\"_rev\":7}
";

#[test]
fn query_prints_what_matches() {
    let all = |args: &[&str]| {
        let output = run(&[&["query"], args].concat(), DOCUMENTS);
        assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""), "{args:?}");
        lines(&output)
    };
    let names =
        |args: &[&str]| all(args).iter().map(|doc| doc["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        all(&["{}"]),
        [
            json!({"_id": "1", "name": "Ada", "age": 36, "tags": ["a", "b"]}),
            json!({"_id": "bob", "name": "Bob", "age": 20}),
            json!({"_id": "3", "_rev": 7, "name": "Eve", "age": 28, "tags": ["b"]}),
        ]
    );
    assert_eq!(names(&["{\"tags\":\"b\"}"]), ["Ada", "Eve"]);
    assert_eq!(names(&["{\"_id\":{\"$in\":[\"3\",\"bob\"]}}"]), ["Bob", "Eve"]);
    assert_eq!(names(&["{}", "--sort", "{\"age\":1}"]), ["Bob", "Eve", "Ada"]);
    assert_eq!(names(&["{}", "--sort", "{\"age\":-1}", "--skip", "1", "--limit", "1"]), ["Eve"]);
    assert_eq!(names(&["{}", "--skip", "1", "--limit", "1"]), ["Bob"]);
    assert_eq!(names(&["{}", "--limit", "0"]), ["Ada", "Bob", "Eve"]);
    assert_eq!(all(&["{\"age\":36}", "--fields", "{\"name\":1,\"_id\":0}"]), [json!({"name": "Ada"})]);
    assert_eq!(
        all(&["{\"age\":28}", "--fields", "{\"tags\":0,\"_rev\":0}"]),
        [json!({"_id": "3", "name": "Eve", "age": 28})]
    );
    assert!(all(&["{\"age\":{\"$gt\":100}}"]).is_empty());
}

#[test]
fn query_at_the_edges() {
    let empty = run(&["query", "{}"], b"");
    assert_eq!((empty.status.code(), empty.stdout.len()), (Some(0), 0));
    // Lines that are no documents are told beside the answer.
    let output = run(&["query", "{}"], b"{\n5\n{\"_id\":1}\n{\"_id\":\"a/b\"}\n{\"ok\":true}");
    assert_eq!((output.status.code(), lines(&output)), (Some(1), vec![json!({"_id": "5", "ok": true})]));
    let told_lines = told(&output);
    assert!((1..5).all(|line| told_lines.contains(&format!("line {line}: "))), "{told_lines}");
    for (args, why) in [
        (vec!["query"], "takes a filter"),
        (vec!["query", "{}", "{}"], "takes one filter"),
        (vec!["query", "{"], "the filter is not JSON"),
        (vec!["query", "{\"a\":{\"$where\":1}}"], "$where"),
        (vec!["query", "{}", "--sort", "{\"a\":2}"], "1 or -1"),
        (vec!["query", "{}", "--limit", "-1"], "whole number"),
        (vec!["query", "{}", "--limit"], "needs a value"),
        (vec!["query", "{}", "--fields", "{\"a\":1,\"b\":0}"], "mixed"),
        (vec!["query", "{}", "--frobnicate"], "unknown argument"),
    ] {
        let output = run(&args, DOCUMENTS);
        assert_eq!((output.status.code(), told(&output).lines().count()), (Some(2), 1), "{args:?}: {}", told(&output));
        assert!(told(&output).contains(why), "{args:?}: {}", told(&output));
    }
}

#[test]
fn query_with_a_schema_knows_names_and_shows_nothing_private() {
    let (_folder, schema) = schema_file(&users());
    let input = b"{\"email\":\"ada@example.com\",\"password\":\"correct horse\"}";
    let ask = |filter: &str, more: &[&str]| run(&[&["query", filter, "--schema", &schema], more].concat(), input);
    let output = ask("{}", &[]);
    assert_eq!(lines(&output), [json!({"_id": "1", "email": "ada@example.com"})]);
    assert_eq!(lines(&ask("{}", &["--fields", "{\"email\":0}"])), [json!({"_id": "1"})]);
    for private in ["{\"password\":\"correct horse\"}", "{\"emial\":1}"] {
        let output = ask(private, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(told(&output).contains("no such field"), "{}", told(&output));
    }
    assert!(told(&ask("{\"emial\":1}", &[])).contains("did you mean `email`"));
}

/// `query … | head -1`: it ends by itself, without a word.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let (_folder, schema) = schema_file(&json!(false));
    for args in [vec!["query", "{}"], vec!["query", "{}", "--sort", "{\"n\":-1}"], vec!["validate", &schema]] {
        let mut child = Command::new(PROGRAM)
            .args(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            for n in 0..50_000 {
                if writeln!(stdin, "{{\"n\":{n}}}").is_err() {
                    break;
                }
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        assert!(first.starts_with('{'), "{first}");
        drop(stdout);
        writer.join().unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!((child.wait().unwrap().code().is_some(), told.as_str()), (true, ""), "{args:?}");
    }
}

#[tokio::test]
async fn serve_serves_schema_files() {
    let (folder, schema) = schema_file(&users());
    let data = folder.path().join("data");
    let model = format!("users={schema}");
    let args = ["serve", "--model", &model, "--public"];
    let mut served = Served::start_with(PROGRAM, &args, &data);
    assert!(served.line.contains("1 model (users)"), "{}", served.line);
    let mut http = Connection::open(served.addr).await.unwrap();
    let made = http
        .json("POST", "/users", Some(&json!({"email": "ada@example.com", "password": "correct horse"})))
        .await
        .unwrap();
    assert_eq!((made.status, &made.json()["age"], made.json().get("password")), (201, &json!(0), None));
    let taken = http.json("POST", "/users", Some(&json!({"email": "ada@example.com"}))).await.unwrap();
    assert_eq!((taken.status, &taken.json()["code"]), (409, &json!("UNIQUE_VIOLATION")));
    let wrong = http.json("POST", "/users", Some(&json!({"email": "x"}))).await.unwrap();
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["keyword"]), (422, &json!("format")));
    served.kill();
    // What was answered is there after the worst end of a process; another access is said anew.
    let served = Served::start_with(PROGRAM, &["serve", "--model", &model], &data);
    let mut http = Connection::open(served.addr).await.unwrap();
    assert_eq!(http.json("GET", "/users", None).await.unwrap().status, 404);
    drop(served);
    let served = Served::start_with(PROGRAM, &args, &data);
    let mut http = Connection::open(served.addr).await.unwrap();
    let listed = http.json("GET", "/users?fields=%7B%22email%22:1,%22_id%22:0,%22_rev%22:0%7D", None).await.unwrap();
    assert_eq!(listed.json()["items"], json!([{"email": "ada@example.com"}]));
}

#[test]
fn serve_says_why_it_does_not_start() {
    let (folder, schema) = schema_file(&json!({"properties": {"a": {"unique": "yes"}}}));
    let model = format!("users={schema}");
    for (args, why) in [
        (vec!["serve"], "needs a model"),
        (vec!["serve", "--model", "users"], "ID=FILE"),
        (vec!["serve", "--model", "users=no such file"], "cannot read"),
        (vec!["serve", "--model", &model], "#/properties/a/unique"),
        (vec!["serve", "--model", &model, "--public", "--protected"], "exclude each other"),
        (vec!["serve", "--port", "1"], "unknown argument `--port`"),
    ] {
        let data = folder.path().join("data");
        let output = run(&[&args[..], &["--addr", "127.0.0.1:0", "--data", data.to_str().unwrap()]].concat(), b"");
        let told = told(&output);
        assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{args:?}: {told}");
        assert!(told.contains(why), "{args:?}: {told}");
    }
    assert!(String::from_utf8(run(&["serve", "--help"], b"").stdout).unwrap().contains("--addr HOST:PORT"));
}

/// The commands of the README's section, as they stand there: the first line of each is run, the others are what it prints.
#[test]
fn the_readme_tells_the_truth() {
    let section = README.split("## Without a line of Rust").nth(1).unwrap().split("\n## ").next().unwrap();
    let block = |kind: &str| {
        let from = section.split(&format!("```{kind}\n")).nth(1).unwrap();
        from.split("```").next().unwrap().to_owned()
    };
    let folder = Folder::new();
    std::fs::write(folder.path().join("users.schema.json"), block("json")).unwrap();
    std::fs::write(folder.path().join("users.jsonl"), block("jsonl")).unwrap();
    let mut told = 0;
    for command in block("console").split("\n\n") {
        let (line, expected) = command.trim_end().split_once('\n').unwrap();
        let line = line.strip_prefix("$ modeller ").unwrap();
        // The shell is the one of the reader.
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("\"{PROGRAM}\" {line}"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), expected, "{line}");
        told += 1;
    }
    assert!(told >= 2);
}

/// A store with some users, as a program with these schemas leaves it behind.
async fn store(schemas: &[(&str, Value)], documents: &[(&str, Value)]) -> Folder {
    let folder = Folder::new();
    let models = schemas.iter().map(|(id, schema)| modeller::SchemaModel::new(*id, schema.clone()));
    let app =
        models.fold(modeller::App::new(), modeller::AppBuilder::schema_model).data(folder.path()).open().await.unwrap();
    for (model, document) in documents {
        app.model_by_id(model).unwrap().insert(document.clone().try_into().unwrap()).await.unwrap();
    }
    folder
}

async fn documents(folder: &Folder, schemas: &[(&str, Value)], model: &str) -> Vec<Value> {
    let models = schemas.iter().map(|(id, schema)| modeller::SchemaModel::new(*id, schema.clone()));
    let app =
        models.fold(modeller::App::new(), modeller::AppBuilder::schema_model).data(folder.path()).open().await.unwrap();
    let found = app.model_by_id(model).unwrap().find(modeller::Filter::all()).await.unwrap();
    found.iter().map(|doc| Value::Object(doc.members().clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_rewrites_what_does_not_fit() {
    let old = json!({"properties": {"name": {"type": "string"}, "pin": {"private": true}}});
    let new = json!({
        "properties": {"title": {"type": "string", "maxLength": 9}, "pin": {"private": true}},
        "required": ["title"],
        "additionalProperties": false,
    });
    let other = json!({"properties": {"n": {"type": "integer"}}});
    let store = store(
        &[("users", old.clone()), ("numbers", other.clone())],
        &[
            ("users", json!({"name": "Ada", "pin": "0000secret"})),
            ("users", json!({"name": "Eve"})),
            ("numbers", json!({"n": 7})),
        ],
    )
    .await;
    let (_files, file) = schema_file(&new);
    let (data, model) = (store.path().to_str().unwrap(), format!("users={file}"));
    let rename = r#"{"$rename":{"name":"title"}}"#;

    // Without a way to rewrite them the start is refused, and no value is shown.
    let refused = run(&["migrate", "--data", data, "--model", &model], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("users/") && !told(&refused).contains("secret"), "{}", told(&refused));
    let dry = run(&["migrate", "--data", data, "--model", &model, "--update", rename, "--dry-run"], b"");
    assert_eq!(lines(&dry), [json!({"rewritten": 2, "dropped": 0, "dryRun": true})], "{}", told(&dry));
    let before = documents(&store, &[("users", old), ("numbers", other.clone())], "users").await;
    assert_eq!(before[0], json!({"name": "Ada", "pin": "0000secret"}));

    let done = run(&["migrate", "--data", data, "--model", &model, "--update", rename], b"");
    assert_eq!(lines(&done), [json!({"rewritten": 2, "dropped": 0, "dryRun": false})], "{}", told(&done));
    // What matches is rewritten, whether it fits or not.
    let update = r#"users={"$set":{"title":"Eva"}}"#;
    let filter = r#"{"title":"Eve"}"#;
    let done = run(&["migrate", "--data", data, "--update", update, "--filter", filter], b"");
    assert_eq!(lines(&done), [json!({"rewritten": 1, "dropped": 0, "dryRun": false})], "{}", told(&done));
    let schemas = [("users", new.clone()), ("numbers", other)];
    let after = documents(&store, &schemas, "users").await;
    assert_eq!(after, [json!({"title": "Ada", "pin": "0000secret"}), json!({"title": "Eva"})]);
    assert_eq!(documents(&store, &schemas, "numbers").await, [json!({"n": 7})]);

    // A model is let go of, and shown as it goes.
    let gone = run(&["migrate", "--data", data, "--drop", "numbers"], b"");
    let printed = lines(&gone);
    assert_eq!((&printed[0]["model"], &printed[0]["document"]), (&json!("numbers"), &json!({"n": 7})));
    assert_eq!(printed[1], json!({"rewritten": 0, "dropped": 1, "dryRun": false}));
    assert_eq!(documents(&store, &[("users", new)], "users").await.len(), 2);
}

#[test]
fn migrate_at_the_edges() {
    let empty = Folder::new();
    let data = empty.path().to_str().unwrap();
    for (args, code, text) in [
        (vec!["migrate"], 2, "--data"),
        (vec!["migrate", "--data", data], 2, "no store"),
        (vec!["migrate", "--data"], 2, "needs a value"),
        (vec!["migrate", "--frobnicate"], 2, "--frobnicate"),
    ] {
        let output = run(&args, b"");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(told(&output).contains(text), "{args:?}: {}", told(&output));
        assert_eq!(told(&output).lines().count(), 1);
    }
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "nothing is made where nothing is");
    assert!(run(&["migrate", "--help"], b"").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_refuses_what_it_does_not_understand() {
    let store = store(&[("users", users())], &[("users", json!({"email": "a@example.com"}))]).await;
    let data = store.path().to_str().unwrap();
    for (args, text) in [
        (vec!["--update", "{}"], "which model"),
        (vec!["--update", "nobody={\"$set\":{\"a\":1}}"], "no model `nobody`"),
        (vec!["--update", "users={\"$frob\":{}}"], "$frob"),
        (vec!["--update", "users={"], "not JSON"),
        (vec!["--filter", "{\"$where\":1}"], "$where"),
        (vec!["--drop", "nobody"], "no model `nobody`"),
        (vec!["--model", "users"], "ID=FILE"),
    ] {
        let output = run(&[&["migrate", "--data", data], &args[..]].concat(), b"");
        assert!(!output.status.success(), "{args:?}");
        assert!(told(&output).contains(text), "{args:?}: {}", told(&output));
    }
    assert_eq!(documents(&store, &[("users", users())], "users").await.len(), 1);
}
