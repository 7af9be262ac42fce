//! The law of access: whatever a caller asks, by whatever way, no version of a document that his rule excludes reaches him, nor a
//! private or a protected field; and nothing changes that he has no right to change. Rules, callers, documents and requests are
//! random, and what they mean is worked out here a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use modeller::prelude::*;
use modeller_tests::random::Random;
use serde_json::{Value, json};

use crate::support::{Answer, SECRET, Served, Socket, request, send, serve, token};

const PIN: &str = "pin-canary";
const LEVEL: &str = "level-canary";
const NAMES: [&str; 3] = ["ada", "bob", "eve"];
const TAGS: [&str; 3] = ["x", "y", "z"];

/// What each of the callers may do; nothing where nothing is said.
#[derive(Clone, Default)]
struct Grants(Arc<Mutex<BTreeMap<String, [Option<Value>; 4]>>>);

/// Every version that a document ever had, by the stamp that it was given.
#[derive(Clone, Default)]
struct Versions(Arc<Mutex<Vec<Value>>>);

#[model(id = "things", client_ids)]
pub struct Thing {
    #[field(index)]
    pub owner: String,
    #[field(index)]
    pub n: i64,
    #[field(default)]
    pub tags: Vec<String>,
    /// Given by the server, so that nobody knows it who has not read it.
    #[field(default)]
    pub stamp: String,
    #[field(default)]
    pub pin: Private<Option<String>>,
    #[field(default)]
    pub level: Protected<Option<String>>,
}

#[access(Thing)]
async fn thing_access(caller: Caller, State(grants): State<Grants>) -> Result<Access<Thing>> {
    let [read, insert, update, delete] =
        grants.0.lock().unwrap().get(caller.subject().unwrap_or_default()).cloned().unwrap_or_default();
    let mut access = Access::none();
    if let Some(filter) = read {
        access = access.read(Filter::parse(&filter)?);
    }
    if let Some(filter) = insert {
        access = access.insert(Filter::parse(&filter)?);
    }
    if let Some(filter) = update {
        access = access.update(Filter::parse(&filter)?);
    }
    if let Some(filter) = delete {
        access = access.delete(Filter::parse(&filter)?);
    }
    Ok(access)
}

#[hook(Thing, before(insert, update))]
async fn stamp(thing: &mut Thing, State(versions): State<Versions>) -> Result<()> {
    let mut versions = versions.0.lock().unwrap();
    thing.stamp = format!("<{}>", versions.len());
    versions.push(json!({"owner": thing.owner, "n": thing.n, "tags": thing.tags}));
    Ok(())
}

#[value]
pub struct Asked {
    pub filter: String,
}

impl Asked {
    fn filter(&self) -> Result<Filter<Thing>> {
        Filter::parse(&serde_json::from_str(&self.filter).map_err(Error::internal)?)
    }
}

#[method(Thing, public)]
async fn found(args: Asked, things: Model<Thing>) -> Result<Vec<Doc<Thing>>> {
    things.find(args.filter()?).await
}

#[method(Thing, public)]
async fn first(args: Asked, things: Model<Thing>) -> Result<Option<Doc<Thing>>> {
    things.get(args.filter()?).await
}

#[method(Thing, public)]
async fn number(args: Asked, things: Model<Thing>) -> Result<usize> {
    things.count(args.filter()?).await
}

#[method(Thing, public)]
async fn raise(args: Asked, things: Model<Thing>) -> Result<usize> {
    things.update_many(args.filter()?, Thing::N.inc(1)).await
}

#[method(Thing, public)]
async fn raise_first(args: Asked, things: Model<Thing>) -> Result<i64> {
    Ok(things.modify(args.filter()?, |thing| thing.n += 1).await?.n)
}

#[method(Thing, public)]
async fn drop_first(args: Asked, things: Model<Thing>) -> Result<()> {
    things.delete(args.filter()?).await.map(drop)
}

/// A condition of the few kinds whose meaning is worked out by [`holds`].
fn condition(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => json!({}),
        1 => json!({"owner": random.pick(&NAMES)}),
        2 => json!({"n": {"$gte": random.below(6)}}),
        3 => json!({"n": {"$lt": random.below(6)}}),
        4 => json!({"tags": random.pick(&TAGS)}),
        5 => json!({"$or": [condition(random, depth - 1), condition(random, depth - 1)]}),
        _ => json!({"$and": [condition(random, depth - 1), condition(random, depth - 1)]}),
    }
}

fn holds(condition: &Value, thing: &Value) -> bool {
    condition.as_object().unwrap().iter().all(|(name, operand)| match name.as_str() {
        "$or" => operand.as_array().unwrap().iter().any(|one| holds(one, thing)),
        "$and" => operand.as_array().unwrap().iter().all(|one| holds(one, thing)),
        "owner" => thing["owner"] == *operand,
        "tags" => thing["tags"].as_array().unwrap().contains(operand),
        "n" => {
            let n = thing["n"].as_i64().unwrap();
            operand["$gte"].as_i64().is_none_or(|least| n >= least)
                && operand["$lt"].as_i64().is_none_or(|most| n < most)
        }
        other => panic!("{other}"),
    })
}

type Documents = BTreeMap<String, Value>;

struct World {
    served: Served,
    router: Router,
    grants: Grants,
    versions: Versions,
    sockets: BTreeMap<&'static str, Socket>,
}

impl World {
    async fn new() -> Self {
        let (grants, versions) = (Grants::default(), Versions::default());
        let app = App::new()
            .model::<Thing>()
            .state(grants.clone())
            .state(versions.clone())
            .secret(SECRET)
            .in_memory()
            .open()
            .await
            .unwrap();
        let router = app.router();
        let served = serve(app).await;
        let mut sockets = BTreeMap::new();
        for name in ["", "ada", "bob", "eve"] {
            let token = (!name.is_empty()).then(|| token(&served.app, name));
            sockets.insert(name, served.socket(token.as_deref()).await);
        }
        Self { served, router, grants, versions, sockets }
    }

    async fn documents(&self) -> Documents {
        let docs = self.served.app.model::<Thing>().find(Filter::all()).await.unwrap();
        docs.iter()
            .map(|doc| {
                let shown = json!({"owner": doc.owner, "n": doc.n, "tags": doc.tags, "rev": doc.rev()});
                (doc.id().to_string(), shown)
            })
            .collect()
    }

    fn rights(&self, who: &str) -> [Option<Value>; 4] {
        self.grants.0.lock().unwrap().get(who).cloned().unwrap_or_default()
    }

    async fn http(&self, who: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", token(&self.served.app, if who.is_empty() { "ada" } else { who }));
        let headers: &[(&str, &str)] = if who.is_empty() { &[] } else { &[("authorization", &bearer)] };
        send(&self.router, request(method, path, body, headers)).await
    }

    /// No stamp of a version that this caller may not read, and nothing withheld.
    fn check_text(&self, who: &str, what: &str, text: &str) {
        let [read, ..] = self.rights(who);
        assert!(!text.contains(PIN), "{who} {what}: private: {text}");
        assert!(!who.is_empty() || !text.contains(LEVEL), "{what}: protected: {text}");
        let versions = self.versions.0.lock().unwrap();
        for part in text.split('<').skip(1) {
            let Some(number) = part.split('>').next().and_then(|number| number.parse::<usize>().ok()) else { continue };
            let may = read.as_ref().is_some_and(|read| holds(read, &versions[number]));
            assert!(may, "{who} {what} may read {read:?}, and was told of {}: {text}", versions[number]);
        }
    }
}

fn encoded(value: &Value) -> String {
    value.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn thing(random: &mut Random) -> Value {
    let tags: Vec<&str> = TAGS.into_iter().filter(|_| random.one_in(2)).collect();
    let mut thing = json!({"owner": random.pick(&NAMES), "n": random.below(6), "tags": tags, "pin": PIN});
    if random.one_in(2) {
        thing["stamp"] = "<mine>".into();
    }
    thing
}

fn has(right: &Option<Value>, thing: &Value) -> bool {
    right.as_ref().is_some_and(|right| holds(right, thing))
}

/// The lists of a caller are those that the rule leaves: whole, counted right, sorted, and the same page by page.
async fn check_lists(world: &World, random: &mut Random, who: &str, before: &Documents) {
    let asked = condition(random, 1);
    let [read, ..] = world.rights(who);
    let matching = |thing: &Value| has(&read, thing) && holds(&asked, thing);
    let expected: BTreeSet<&String> = before.iter().filter(|(_, thing)| matching(thing)).map(|(id, _)| id).collect();
    let mut listed: Vec<(String, i64)> = Vec::new();
    let mut cursor = String::new();
    let limit = 1 + random.below(7);
    loop {
        let filter = encoded(&asked);
        let path = format!("/things?filter={filter}&sort=%7B%22n%22%3A1%7D&limit={limit}&count=true{cursor}");
        let answer = world.http(who, "GET", &path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        world.check_text(who, &path, &String::from_utf8_lossy(&answer.bytes));
        let json = answer.json();
        assert_eq!(json["count"], expected.len(), "{who} {asked} {read:?}");
        for item in json["items"].as_array().unwrap() {
            listed.push((item["_id"].as_str().unwrap().to_owned(), item["n"].as_i64().unwrap()));
        }
        match json["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(listed.is_sorted_by_key(|(_, n)| *n), "{listed:?}");
    assert_eq!(listed.iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), expected, "{who} {asked} {read:?}");
    assert_eq!(listed.len(), expected.len());
}

/// One request of any kind; what came back, as text.
async fn ask_something(
    world: &mut World,
    random: &mut Random,
    who: &'static str,
    before: &Documents,
) -> (String, String) {
    let known: Vec<&String> = before.keys().collect();
    let id = if known.is_empty() || random.one_in(4) {
        format!("t{}", random.below(40))
    } else {
        (*random.pick(&known)).clone()
    };
    let filter = condition(random, 1);
    let patch = match random.below(4) {
        0 => json!({"owner": random.pick(&NAMES)}),
        1 => json!({"$inc": {"n": 1}}),
        2 => json!({"tags": [random.pick(&TAGS)]}),
        _ => json!({"n": random.below(6), "pin": PIN}),
    };
    let (method, path, body): (&str, String, Option<Value>) = match random.below(18) {
        0 => ("POST", "/things".to_owned(), Some(thing(random))),
        1 => ("POST", "/things".to_owned(), Some(json!([thing(random), thing(random)]))),
        2 => (
            "POST",
            "/things".to_owned(),
            Some({
                let mut chosen = thing(random);
                chosen["_id"] = id.into();
                chosen
            }),
        ),
        3 => ("GET", format!("/things/{id}"), None),
        4 => ("PATCH", format!("/things/{id}"), Some(patch)),
        5 => ("PATCH", format!("/things?filter={}", encoded(&filter)), Some(patch)),
        6 => ("PUT", format!("/things/{id}"), Some(thing(random))),
        7 => ("DELETE", format!("/things/{id}"), None),
        8 if random.one_in(4) => ("DELETE", format!("/things?filter={}", encoded(&filter)), None),
        8 => {
            ("POST", "/things/@query".to_owned(), Some(json!({"filter": filter, "sort": {"stamp": -1}, "count": true})))
        }
        9 => ("GET", format!("/things?filter={}&fields=%7B%22stamp%22%3A1%7D", encoded(&filter)), None),
        10 => ("GET", format!("/things?filter={}&explain=true", encoded(&filter)), None),
        11 => ("GET", format!("/things/@trash?filter={}&count=true", encoded(&filter)), None),
        12 | 13 => {
            let trash = world.served.app.model::<Thing>();
            let entries = trash.trash().list(Filter::all()).await.unwrap();
            let entry = match entries.is_empty() {
                true => "none".to_owned(),
                false => random.pick(&entries).id().to_string(),
            };
            (if random.one_in(3) { "DELETE" } else { "POST" }, format!("/things/@trash/{entry}"), None)
        }
        14 if random.one_in(8) => ("DELETE", "/things/@trash".to_owned(), None),
        operation => {
            let name = *random.pick(&["found", "first", "number", "raise", "raise_first", "drop_first"]);
            let args = json!({"filter": filter.to_string()});
            if operation % 2 == 0 {
                let socket = world.sockets.get_mut(who).unwrap();
                let answer = socket.ask("call", json!({"model": "things", "method": name, "args": args})).await;
                let code = answer["error"]["data"]["status"].as_u64().unwrap_or(200);
                assert!(code < 500, "{answer}");
                return (format!("{name} {args}"), answer.to_string());
            }
            ("POST", format!("/things/{name}"), Some(args))
        }
    };
    let what = format!("{method} {path} {body:?}");
    let answer = world.http(who, method, &path, body).await;
    assert!(answer.status.as_u16() < 500, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    (what, format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.bytes)))
}

async fn run(seed: u64, requests: usize) {
    let mut random = Random::new(seed);
    let mut world = World::new().await;
    let (mut refused, mut changed) = (0, 0);
    for step in 0..requests {
        if step % 15 == 0 {
            for who in ["", "ada", "bob", "eve"] {
                let mut right = || if random.one_in(4) { None } else { Some(condition(&mut random, 2)) };
                let rights = [right(), right(), right(), right()];
                world.grants.0.lock().unwrap().insert(who.to_owned(), rights);
            }
            for at in 0..4 {
                let id = format!("t{}", random.below(40)).parse().unwrap();
                let made = thing(&mut random);
                let value = Thing {
                    owner: made["owner"].as_str().unwrap().to_owned(),
                    n: at,
                    tags: serde_json::from_value(made["tags"].clone()).unwrap(),
                    stamp: String::new(),
                    pin: Some(PIN.to_owned()).into(),
                    level: Some(LEVEL.to_owned()).into(),
                };
                // Taken ids stay as they are.
                let _ = world.served.app.model::<Thing>().insert_with_id(id, value).await;
            }
        }
        let who = *random.pick(&["", "ada", "bob", "eve"]);
        let before = world.documents().await;
        if random.one_in(4) {
            check_lists(&world, &mut random, who, &before).await;
            continue;
        }
        let (what, text) = ask_something(&mut world, &mut random, who, &before).await;
        world.check_text(who, &what, &text);
        refused += usize::from(text.contains("FORBIDDEN") || text.contains("UNAUTHENTICATED"));
        let after = world.documents().await;
        let [read, insert, update, delete] = world.rights(who);
        for id in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let allowed = match (before.get(id), after.get(id)) {
                (Some(old), Some(new)) if old["rev"] == new["rev"] => continue,
                (Some(old), Some(new)) => has(&read, old) && has(&update, old) && has(&update, new),
                (None, Some(new)) => has(&insert, new),
                (Some(old), None) => has(&read, old) && has(&delete, old),
                (None, None) => continue,
            };
            changed += 1;
            assert!(allowed, "{who} {what} made {:?} of {:?}", after.get(id), before.get(id));
        }
    }
    println!("seed {seed}: {requests} requests, {changed} changes, {refused} refusals");
    assert!(changed > requests / 20 && refused > requests / 50, "hardly anything happened");
}

#[tokio::test]
async fn no_version_that_a_rule_excludes_reaches_a_caller() {
    run(Random::seed("MODELLER_SEED", 1), 2_000).await;
}

#[tokio::test]
#[ignore = "takes a minute; run with `--ignored`"]
async fn no_version_that_a_rule_excludes_reaches_a_caller_in_many_requests() {
    for seed in 2..6 {
        run(seed, 5_000).await;
    }
}
