//! Every operator by a table of cases, from the page of the MongoDB manual that it names: as the manual has it where that can be
//! said in JSON, and what becomes of `null`, of what is missing, of arrays and of other types. Each case is asked in process, of an
//! index, over HTTP, and a part of them of the program `modeller`.
//!
//! A case is `{"filter": …, "finds": [documents], "not": [documents]}`, `{"update": …, "before": …, "after": …}` or
//! `{"fields": …, "before": …, "after": …}`. The field that is looked at is `v`, which is the one with the index.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use modeller::prelude::*;
use modeller::{PlanKind, Projection};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cli");

/// One operator with what is asked of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table<C, M> {
    operator: String,
    page: String,
    /// Whether an index can answer one of the cases.
    #[serde(default)]
    index: bool,
    cases: Vec<C>,
    /// What the operands are and the document is not.
    #[serde(default)]
    refused: Vec<Refused>,
    malformed: Vec<M>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    filter: Value,
    finds: Vec<Value>,
    not: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    #[serde(alias = "fields")]
    update: Value,
    before: Value,
    after: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    update: Value,
    before: Value,
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Malformed {
    #[serde(alias = "update", alias = "fields")]
    filter: Value,
    path: String,
}

type Filters = Vec<Table<Found, Malformed>>;
type Changes = Vec<Table<Changed, Malformed>>;

fn filters() -> Filters {
    serde_json::from_str(include_str!("filters.json")).unwrap()
}

fn updates() -> Changes {
    serde_json::from_str(include_str!("updates.json")).unwrap()
}

fn projections() -> Changes {
    serde_json::from_str(include_str!("projections.json")).unwrap()
}

/// A model without an index, and one with an index over `v`.
async fn models() -> (App, Router) {
    let indexed = json!({"properties": {"v": {"index": true}}});
    let app = App::new()
        .schema_model(SchemaModel::new("plain", json!({})).public().client_ids())
        .schema_model(SchemaModel::new("indexed", indexed).public().client_ids())
        .in_memory()
        .open()
        .await
        .unwrap();
    let router = app.router();
    (app, router)
}

async fn ask(router: &Router, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn document(members: &Value) -> Document {
    members.clone().try_into().unwrap()
}

fn without_own(value: &Value) -> Value {
    let members = value.as_object().unwrap().iter().filter(|(name, _)| !["_id", "_rev"].contains(&name.as_str()));
    members.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// The documents of a case, by their ids: those that are found begin with `f`.
fn documents(case: &Found) -> Vec<(String, &Value)> {
    let named = |letter: &'static str, all: &'_ [Value]| {
        (0..all.len()).map(move |at| format!("{letter}{at}")).collect::<Vec<_>>()
    };
    let ids = named("f", &case.finds).into_iter().chain(named("n", &case.not));
    ids.zip(case.finds.iter().chain(&case.not)).collect()
}

fn expected(case: &Found) -> BTreeSet<String> {
    (0..case.finds.len()).map(|at| format!("f{at}")).collect()
}

fn ids(items: &Value) -> BTreeSet<String> {
    items.as_array().unwrap().iter().map(|item| item["_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn filters_find_the_same_in_process_by_an_index_and_over_http() {
    let (app, router) = models().await;
    for table in filters() {
        let mut by_index = false;
        for case in &table.cases {
            let said = format!("{}, {}: {}", table.operator, table.page, case.filter);
            for model in ["plain", "indexed"] {
                let handle = app.model_by_id(model).unwrap();
                for (id, value) in documents(case) {
                    handle.insert_with_id(id.parse().unwrap(), document(value)).await.unwrap();
                }
                let filter = Filter::parse(&case.filter).unwrap();
                let found = handle.find(filter.clone()).await.unwrap();
                let found: BTreeSet<String> = found.iter().map(|doc| doc.id().to_string()).collect();
                assert_eq!(found, expected(case), "{model}: {said}");
                // What the filter says of itself is the same filter.
                assert_eq!(Filter::<Document>::parse(&filter.to_json()).unwrap(), filter, "{said}");
                by_index |= handle.find(filter.clone()).explain().await.unwrap().plan != PlanKind::Scan;
                let (status, list) =
                    ask(&router, "POST", &format!("/{model}/@query"), &json!({"filter": case.filter})).await;
                assert_eq!((status, ids(&list["items"])), (200, expected(case)), "{model} over HTTP: {said}");
                assert_eq!(handle.count(filter).await.unwrap(), case.finds.len(), "{said}");
                handle.delete_many(Filter::all()).await.unwrap();
            }
        }
        assert!(by_index || !table.index, "{} was never answered by an index", table.operator);
    }
}

#[tokio::test]
async fn malformed_filters_are_refused_with_their_place() {
    let (_, router) = models().await;
    for table in filters() {
        for Malformed { filter, path } in &table.malformed {
            let error = Filter::<Document>::parse(filter).unwrap_err();
            let told = (error.code().as_str(), error.get("path").and_then(Value::as_str));
            assert_eq!(told, ("INVALID_QUERY", Some(path.as_str())), "{}: {filter}", table.operator);
            let (status, problem) = ask(&router, "POST", "/plain/@query", &json!({"filter": filter})).await;
            assert_eq!((status, &problem["code"]), (400, &json!("INVALID_QUERY")), "{filter}: {problem}");
        }
    }
}

fn query(args: &[&str], input: &str) -> std::process::Output {
    let mut child = Command::new(PROGRAM)
        .arg("query")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn lines(output: &std::process::Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
}

#[test]
fn the_program_answers_the_same() {
    for table in filters() {
        // The first case is the one of the manual, the second one is often that of `null`.
        for case in table.cases.iter().take(2) {
            let mut input = String::new();
            for (id, value) in documents(case) {
                let mut value = value.clone();
                value["_id"] = id.into();
                input += &format!("{value}\n");
            }
            let output = query(&[&case.filter.to_string()], &input);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                (output.status.code(), ids(&lines(&output))),
                (Some(0), expected(case)),
                "{}: {said}",
                case.filter
            );
        }
        let malformed = &table.malformed[0].filter;
        let output = query(&[&malformed.to_string()], "{}\n");
        assert!(!output.status.success() && output.stdout.is_empty(), "{malformed}");
    }
    for table in projections() {
        for case in &table.cases {
            let output = query(&["{}", "--fields", &case.update.to_string()], &format!("{}\n", case.before));
            assert_eq!(without_own(&lines(&output)[0]), case.after, "{}", case.update);
        }
        for Malformed { filter, .. } in &table.malformed {
            assert!(!query(&["{}", "--fields", &filter.to_string()], "{}\n").status.success(), "{filter}");
        }
    }
}

/// Whether a value is the expected one, in which `@now` is a time of today, everywhere the same.
fn is_after(value: &Value, expected: &Value, now: &mut Option<String>) -> bool {
    match (value, expected) {
        (Value::String(time), Value::String(text)) if text == "@now" => {
            let known = now.get_or_insert_with(|| time.clone());
            // RFC 3339, in UTC, to the millisecond.
            let shape: String = time.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
            known == time && shape == "0000-00-00T00:00:00.000Z" && time.as_str() > "2024"
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|b| is_after(value, b, now)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_after(a, b, now)),
        // The text as well: `1` and `1.0` are not the same on the wire.
        (a, b) => {
            let [a, b] = [a, b].map(ToString::to_string);
            a == b
        }
    }
}

#[tokio::test]
async fn updates_do_the_same_in_process_by_an_index_and_over_http() {
    let (app, router) = models().await;
    for table in updates() {
        for case in &table.cases {
            for model in ["plain", "indexed"] {
                let said = format!("{}, {}: {} of {}", table.operator, table.page, case.update, case.before);
                let handle = app.model_by_id(model).unwrap();
                let update = Update::parse(case.update.clone()).unwrap();
                let here = handle.insert_with_id("here".parse().unwrap(), document(&case.before)).await.unwrap();
                let there = handle.insert_with_id("there".parse().unwrap(), document(&case.before)).await.unwrap();
                let changed = handle.update(&here, update.clone()).await.unwrap();
                let after = Value::from(changed.value());
                assert!(is_after(&after, &case.after, &mut None), "{model}: {said} is {after}, not {}", case.after);
                let (status, body) = ask(&router, "PATCH", &format!("/{model}/{}", there.id()), &case.update).await;
                let after = without_own(&body);
                assert_eq!(status, 200, "{said}: {body}");
                assert!(
                    is_after(&after, &case.after, &mut None),
                    "{model} over HTTP: {said} is {after}, not {}",
                    case.after
                );
                // An index knows the new value, and not the old one.
                let value =
                    |value: &Value| Filter::parse(&json!({"v": {"$eq": value.get("v").cloned().unwrap_or_default()}}));
                let found = handle.find(value(&Value::from(changed.value())).unwrap()).await.unwrap();
                assert!(found.iter().any(|doc| doc.id() == here.id()), "{model}: {said}");
                let all = handle.find(Filter::all()).await.unwrap();
                assert_eq!(all.len(), 2);
                // All at once, or none.
                handle.delete_many(Filter::all()).await.unwrap();
                handle.insert_many(vec![document(&case.before); 3]).await.unwrap();
                assert_eq!(handle.update_many(Filter::all(), update).await.unwrap(), 3, "{said}");
                for doc in handle.find(Filter::all()).await.unwrap() {
                    assert!(is_after(&doc.value().into(), &case.after, &mut None), "{said}");
                }
                handle.delete_many(Filter::all()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn updates_that_do_not_fit_change_nothing() {
    let (app, router) = models().await;
    let handle = app.model_by_id("indexed").unwrap();
    for table in updates() {
        for Refused { update, before, path } in &table.refused {
            let said = format!("{}: {update} of {before}", table.operator);
            let doc = handle.insert(document(before)).await.unwrap();
            let error = handle.update(&doc, Update::parse(update.clone()).unwrap()).await.unwrap_err();
            let told = (error.code().as_str(), error.get("path").and_then(Value::as_str));
            assert_eq!(told, ("INVALID_QUERY", Some(path.as_str())), "{said}");
            let (status, problem) = ask(&router, "PATCH", &format!("/indexed/{}", doc.id()), update).await;
            assert_eq!((status, &problem["path"]), (400, &json!(path)), "{said}: {problem}");
            let now = handle.get(&doc).await.unwrap().unwrap();
            assert_eq!((now.rev(), now.value()), (doc.rev(), document(before)), "{said}");
            handle.delete(&doc).await.unwrap();
        }
        let doc = handle.insert(document(&json!({"v": 1}))).await.unwrap();
        for Malformed { filter: update, path } in &table.malformed {
            let error = Update::<Document>::parse(update.clone()).unwrap_err();
            let told = (error.code().as_str(), error.get("path").and_then(Value::as_str));
            assert_eq!(told, ("INVALID_QUERY", Some(path.as_str())), "{}: {update}", table.operator);
            let (status, problem) = ask(&router, "PATCH", &format!("/indexed/{}", doc.id()), update).await;
            assert_eq!((status, &problem["path"]), (400, &json!(path)), "{update}: {problem}");
        }
        assert_eq!(handle.get(&doc).await.unwrap().unwrap().rev(), doc.rev());
        handle.delete(&doc).await.unwrap();
    }
}

#[tokio::test]
async fn projections_show_the_same_in_process_and_over_http() {
    let (app, router) = models().await;
    let handle = app.model_by_id("plain").unwrap();
    for table in projections() {
        for case in &table.cases {
            let said = format!("{}: {} of {}", table.operator, case.update, case.before);
            handle.insert(document(&case.before)).await.unwrap();
            let shown = handle.find(Filter::all()).fields(Projection::parse(&case.update).unwrap()).await.unwrap();
            assert_eq!(Value::from(shown[0].value()), case.after, "{said}");
            let (status, list) = ask(&router, "POST", "/plain/@query", &json!({"fields": case.update})).await;
            let item = &list["items"][0];
            assert_eq!((status, without_own(item)), (200, case.after.clone()), "{said}: {list}");
            for name in ["_id", "_rev"] {
                assert_eq!(item.get(name).is_some(), case.update[name] != 0, "{name}, {said}");
            }
            handle.delete_many(Filter::all()).await.unwrap();
        }
        for Malformed { filter: fields, path } in &table.malformed {
            let error = Projection::<Document>::parse(fields).unwrap_err();
            let told = (error.code().as_str(), error.get("path").and_then(Value::as_str));
            assert_eq!(told, ("INVALID_QUERY", Some(path.as_str())), "{}: {fields}", table.operator);
            let (status, problem) = ask(&router, "POST", "/plain/@query", &json!({"fields": fields})).await;
            assert_eq!((status, &problem["code"]), (400, &json!("INVALID_QUERY")), "{fields}: {problem}");
        }
    }
}

/// Whether some of the documents have `null`, nothing, an array and three more types in `v`.
fn assert_all_kinds<'a>(operator: &str, documents: impl Iterator<Item = &'a Value>) {
    let mut kinds = BTreeSet::new();
    for document in documents {
        kinds.insert(match document.get("v") {
            None => "missing",
            Some(Value::Null) => "null",
            Some(Value::Array(_)) => "array",
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Number(_)) => "number",
            Some(Value::String(_)) => "string",
            Some(Value::Object(_)) => "object",
        });
    }
    for kind in ["missing", "null", "array"] {
        assert!(kinds.contains(kind), "{operator} is not asked about {kind}");
    }
    assert!(kinds.len() >= 5, "{operator} is asked about {kinds:?} only");
}

#[test]
fn no_operator_is_without_its_table() {
    let (filters, updates) = (filters(), updates());
    let names = |known: &[&str]| known.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let tables: Vec<String> = filters.iter().map(|table| table.operator.clone()).collect();
    assert_eq!(tables.iter().cloned().collect::<BTreeSet<_>>(), names(Filter::<Document>::OPERATORS));
    assert_eq!(tables.len(), Filter::<Document>::OPERATORS.len());
    let tables: BTreeSet<String> = updates.iter().map(|table| table.operator.clone()).collect();
    let modifiers = names(&["$each", "$position", "$slice", "$sort"]);
    assert_eq!(tables, names(Update::<Document>::OPERATORS).union(&modifiers).cloned().collect());
    for table in &filters {
        assert!(table.page.starts_with("MongoDB manual, "), "{}", table.operator);
        assert!(table.cases.len() >= 5 && !table.malformed.is_empty(), "{}", table.operator);
        let named = |case: &Found| case.filter.to_string().contains(&format!("\"{}\"", table.operator));
        assert!(table.cases.iter().filter(|case| named(case)).count() >= 5, "{}", table.operator);
        assert_all_kinds(&table.operator, table.cases.iter().flat_map(|case| case.finds.iter().chain(&case.not)));
    }
    for table in &updates {
        assert!(table.page.starts_with("MongoDB manual, "), "{}", table.operator);
        assert!(table.cases.len() >= 5 && !table.malformed.is_empty(), "{}", table.operator);
        let named = |case: &Changed| case.update.to_string().contains(&format!("\"{}\"", table.operator));
        assert!(table.cases.iter().all(named), "{}", table.operator);
        let refused = table.refused.iter().map(|it| &it.before);
        let before = table.cases.iter().map(|it| &it.before).chain(refused);
        let kinds: BTreeSet<_> = before
            .map(|document| match document.get("v") {
                None => "missing",
                Some(Value::Null) => "null",
                Some(Value::Array(_)) => "array",
                Some(_) => "other",
            })
            .collect();
        assert_eq!(kinds.len(), 4, "{} is asked about {kinds:?} only", table.operator);
    }
    // None of them runs code.
    for name in ["$where", "$expr", "$function", "$jsonSchema", "$text", "$near", "$comment"] {
        assert!(Filter::<Document>::parse(&json!({name: "1"})).is_err(), "{name}");
        assert!(Filter::<Document>::parse(&json!({"v": {name: "1"}})).is_err(), "{name}");
    }
}
