//! One script of operations, by every carrier that can ask for them: the outcomes and the errors are the same, to the byte.
//!
//! `script.json` has the steps. Each carrier has a fresh application, and a step that it has no way to ask for is done there in
//! process, so that all applications see the same. [`GAPS`] says which kinds of steps a carrier cannot ask for, and why; the member
//! `gaps` of a step says it of that step alone, and `differs` which of them answers otherwise on purpose. A carrier that could ask for a
//! step and does not, one that can where a gap is stated, and one that does not differ where that is stated, fail the test.
//! [`outcome::Names::text`] says what of an outcome is not compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is told is shown when it is wrong, or when it is asked for")]
#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]

mod carriers;
mod outcome;
mod subject;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use modeller_tests::Folder;
use modeller_tests::typescript::{folder, tsc};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use crate::carriers::{Carrier, Http, InProcess, OnLine, Raw, Remote, SocketIo, Step, TypeScript};
use crate::outcome::{Names, Outcome};
use crate::subject::Served;

const IN_PROCESS: &str = "in process";
const HTTP: &str = "http";
const WEBSOCKET: &str = "websocket";
const SOCKET_IO: &str = "socket.io";
const TYPED: &str = "rust";
const UNTYPED: &str = "rust, json";
const TYPESCRIPT: &str = "typescript";

/// All carriers. What the others tell is compared with what the first tells that can ask for the step.
const CARRIERS: &[&str] = &[IN_PROCESS, HTTP, WEBSOCKET, SOCKET_IO, TYPED, UNTYPED, TYPESCRIPT];

/// The kinds of steps that are about documents.
const DOCUMENTS: &[&str] = &[
    "insert",
    "insertMany",
    "get",
    "list",
    "count",
    "update",
    "updateMany",
    "replace",
    "upsert",
    "delete",
    "deleteMany",
];
/// The other kinds.
const OTHERS: &[&str] = &["call", "callOnce", "dispatch", "subscribe", "heard", "live", "commits"];

fn kinds() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.iter().chain(OTHERS).copied()
}

const NO_DOCUMENTS: &str = "requests of a socket are about operations, rooms and live queries; documents are HTTP's";

/// The kinds of steps that a carrier has no way to ask for, and why.
const GAPS: &[(&str, &[&str], &str)] = &[
    (WEBSOCKET, DOCUMENTS, NO_DOCUMENTS),
    (SOCKET_IO, DOCUMENTS, NO_DOCUMENTS),
    (HTTP, &["dispatch"], "events are dispatched over sockets"),
];
/// A step as it stands in the script.
struct Written {
    name: String,
    step: Step,
    gaps: Map<String, Value>,
    /// The carriers that tell something else, and why they should.
    differs: Map<String, Value>,
}

impl Written {
    fn gap(&self, carrier: &str) -> Option<&str> {
        let of_kind = GAPS.iter().find(|(of, kinds, _)| *of == carrier && kinds.contains(&self.step.kind.as_str()));
        of_kind.map(|(.., why)| *why).or_else(|| self.gaps.get(carrier)?.as_str())
    }
}

fn script() -> &'static [Written] {
    static SCRIPT: OnceLock<Vec<Written>> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let steps: Vec<Map<String, Value>> = serde_json::from_str(include_str!("script.json")).unwrap();
        let read = |mut members: Map<String, Value>| {
            let mut text = |name: &str| match members.remove(name) {
                Some(Value::String(text)) => Some(text),
                None => None,
                other => panic!("`{name}` is {other:?}"),
            };
            let (name, kind) = (text("step").unwrap(), text("do").unwrap());
            let (who, model) = (text("as"), text("model").unwrap_or_else(|| "people".into()));
            let mut by_carrier = |member: &str| match members.remove(member) {
                Some(Value::Object(reasons)) => {
                    assert!(reasons.keys().all(|of| CARRIERS.contains(&of.as_str())), "{name}: {reasons:?}");
                    reasons
                }
                _ => Map::new(),
            };
            let (gaps, differs) = (by_carrier("gaps"), by_carrier("differs"));
            assert!(kinds().any(|known| known == kind), "{kind}");
            Written { name, step: Step { kind, who, model, params: members.into() }, gaps, differs }
        };
        steps.into_iter().map(read).collect()
    })
}

/// What came of each step; `None` where the carrier cannot ask for it.
type Told = Vec<Option<String>>;

/// Runs the script by a carrier, on an application of its own.
async fn run(name: &str, served: &Served, mut carrier: impl Carrier) -> Told {
    let mut in_process = InProcess::default();
    let mut names = Names::default();
    let mut all = Vec::new();
    let begun = Instant::now();
    for Written { name: of_step, step, .. } in script() {
        // Shown when it goes wrong.
        println!("{name}: {of_step}");
        let step = Step { params: names.resolved(&step.params), ..step.clone() };
        let outcome = carrier.carry(served, &step).await;
        if !matches!(outcome, Outcome::Cannot) {
            all.push(Some(names.text(&outcome)));
            continue;
        }
        all.push(None);
        let outcome = in_process.carry(served, &step).await;
        names.text(&outcome);
    }
    println!("{name}: {} of {} steps in {:?}", all.iter().flatten().count(), all.len(), begun.elapsed());
    all
}

/// What the first of all carriers that can ask for a step tells of it.
async fn expected() -> &'static Told {
    static EXPECTED: OnceCell<Told> = OnceCell::const_new();
    let make = async || {
        let mut told = run(IN_PROCESS, &Served::start().await, InProcess::default()).await;
        assert_gaps(IN_PROCESS, &told);
        let others = [
            run(HTTP, &Served::start().await, Http::default()).await,
            run(WEBSOCKET, &Served::start().await, OnLine::<Raw>::default()).await,
        ];
        for (at, written) in script().iter().enumerate() {
            let other = others.iter().find_map(|other| other[at].as_ref());
            if written.differs.contains_key(IN_PROCESS) {
                assert_ne!(told[at].as_ref(), other, "`{}` differs no more", written.name);
                told[at] = None;
            }
            if told[at].is_none() {
                told[at] = other.cloned();
            }
        }
        told
    };
    EXPECTED.get_or_init(make).await
}

/// The carrier has asked for all steps but for those of which it is said that it cannot.
fn assert_gaps(carrier: &str, told: &Told) {
    for (written, told) in script().iter().zip(told) {
        let gap = written.gap(carrier);
        assert!(told.is_some() || gap.is_some(), "{carrier} leaves out `{}` without a reason", written.name);
        assert!(told.is_none() || gap.is_none(), "{carrier} can ask for `{}`: {gap:?}", written.name);
    }
}

fn assert_same(carrier: &str, told: &Told, expected: &Told) {
    let mut wrong = String::new();
    for ((written, told), expected) in script().iter().zip(told).zip(expected) {
        if let (Some(told), Some(expected)) = (told, expected)
            && (told != expected) != written.differs.contains_key(carrier)
        {
            wrong.push_str(&format!("\n`{}`\n  expected: {expected}\n  {carrier}: {told}", written.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_gaps(carrier, told);
}

async fn is_the_same(carrier: &str, by: impl Carrier) {
    let told = run(carrier, &Served::start().await, by).await;
    assert_same(carrier, &told, expected().await);
}

/// What the script is meant to have in it: each kind of step, going well and going wrong, and each error that a client can cause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_has_all_of_it() {
    let told = expected().await;
    let mut codes = BTreeMap::new();
    let mut counted: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (written, told) in script().iter().zip(told) {
        let told = told.as_ref().unwrap_or_else(|| panic!("nobody can ask for `{}`", written.name));
        assert!(!told.contains(carriers::SILENCE), "`{}`: {told}", written.name);
        let told: Value = serde_json::from_str(told).unwrap();
        let counts = counted.entry(&written.step.kind).or_default();
        match told.get("refused") {
            None => counts[0] += 1,
            Some(problem) => {
                counts[1] += 1;
                *codes.entry(problem["code"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
    }
    for kind in kinds() {
        let [fine, refused] = counted.get(kind).copied().unwrap_or_default();
        // What is told is never an error by itself.
        assert!(fine > 0 && (refused > 0 || matches!(kind, "heard" | "commits")), "{kind}: {fine} {refused}");
    }
    for code in CODES {
        assert!(codes.contains_key(*code), "no step is refused by {code}");
    }
    let names: Vec<&String> = script().iter().map(|written| &written.name).collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "a name is that of one step");
    println!("{} steps: {counted:?}; {codes:?}", names.len());
    for (carrier, kinds, why) in GAPS {
        println!("not by {carrier}: {} ({why})", kinds.join(", "));
    }
}

/// The errors that a client can cause by what it asks for.
const CODES: &[&str] = &[
    "VALIDATION_ERROR",
    "UNIQUE_VIOLATION",
    "REFERENCE_VIOLATION",
    "METHOD_NOT_FOUND",
    "EVENT_NOT_FOUND",
    "MODEL_NOT_FOUND",
    "NOT_FOUND",
    "INVALID_QUERY",
    "INVALID_REQUEST",
    "CONFLICT",
    "IDEMPOTENCY_MISMATCH",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "INTERNAL",
    "QUOTA_EXCEEDED",
    "BANNED",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_http() {
    is_the_same(HTTP, Http::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_json_rpc_over_a_websocket() {
    is_the_same(WEBSOCKET, OnLine::<Raw>::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(has_socketio),
    ignore = "needs node and the npm package socket.io-client in $MODELLER_NPM; .ci/run installs it"
)]
async fn by_socket_io() {
    is_the_same(SOCKET_IO, OnLine::<SocketIo>::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_rust_client() {
    is_the_same(TYPED, Remote::typed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_rust_client_with_documents_as_json() {
    is_the_same(UNTYPED, Remote::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(
    not(all(has_typescript, has_ws)),
    ignore = "needs node and the npm packages typescript and ws in $MODELLER_NPM; .ci/run installs them"
)]
async fn by_the_generated_typescript_client() {
    let served = Served::start().await;
    let out = Folder::new();
    std::fs::write(out.path().join("client.ts"), served.client().await).unwrap();
    std::fs::write(out.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
    std::fs::copy(folder().join("node/node.d.ts"), out.path().join("node.d.ts")).unwrap();
    std::fs::write(out.path().join("carrier.ts"), include_str!("carrier.ts")).unwrap();
    let (is_fine, said) = tsc(out.path(), &["client.ts", "carrier.ts", "node.d.ts"]);
    assert!(is_fine, "{said}");
    let carrier = TypeScript::start(&out.path().join("carrier.js"), &served);
    let told = run(TYPESCRIPT, &served, carrier).await;
    assert_same(TYPESCRIPT, &told, expected().await);
}
