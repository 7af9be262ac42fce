//! The store that one would write by hand for this one type: maps, and nothing that this type does not need.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use modeller::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use workload::document::{self, INVALID};
use workload::format::{is_date_time, is_email};
use workload::model::{Role, User};

use crate::picks::Picks;
use crate::{Clock, Measured, chunks, each, finds, picked, rejections, resident, scans};

/// A user as it arrives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewUser {
    email: String,
    name: String,
    role: Role,
    age: u8,
    tags: Vec<String>,
    created_at: String,
}

impl From<User> for NewUser {
    fn from(User { email, name, role, age, tags, created_at }: User) -> Self {
        Self { email, name, role, age, tags, created_at }
    }
}

/// A stored user.
#[expect(dead_code, reason = "a store keeps all fields, also those that no case reads")]
struct Stored {
    id: Uuid,
    rev: u64,
    email: String,
    name: String,
    role: Role,
    age: u8,
    tags: Vec<String>,
    created_at: String,
}

#[derive(Default)]
struct Store {
    by_id: HashMap<Uuid, Arc<Stored>>,
    by_email: HashMap<String, Uuid>,
    /// In the order of the ids, so that one can be taken out again.
    by_role: HashMap<Role, BTreeSet<Uuid>>,
}

#[derive(Debug)]
enum Refused {
    Invalid(Vec<u8>),
    Taken,
}

impl Store {
    fn insert(&mut self, new: NewUser) -> Result<Arc<Stored>, Refused> {
        if !fits(&new) {
            return Err(Refused::Invalid(Vec::new()));
        }
        let NewUser { email, name, role, age, tags, created_at } = new;
        let id = Uuid::now_v7();
        match self.by_email.entry(email.clone()) {
            Entry::Occupied(_) => return Err(Refused::Taken),
            Entry::Vacant(place) => place.insert(id),
        };
        let stored = Arc::new(Stored { id, rev: 1, email, name, role, age, tags, created_at });
        self.by_role.entry(role).or_default().insert(id);
        self.by_id.insert(id, stored.clone());
        Ok(stored)
    }

    fn insert_text(&mut self, text: &str) -> Result<Arc<Stored>, Refused> {
        match serde_json::from_str::<NewUser>(text) {
            Ok(new) if fits(&new) => self.insert(new),
            _ => Err(Refused::Invalid(violations(text))),
        }
    }
}

fn fits(user: &NewUser) -> bool {
    // Bytes are at least as many as characters, and cheaper to count.
    !user.name.is_empty()
        && (user.name.len() <= 80 || user.name.chars().count() <= 80)
        && user.age <= 150
        && user.tags.len() <= 10
        && is_email(&user.email)
        && is_date_time(&user.created_at)
}

/// What is wrong with a text that is JSON and no user, as ajv says it. Types and members of the top level that are wrong would
/// be more of the same; no case has them.
fn violations(text: &str) -> Vec<u8> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut out = vec![b'['];
    let mut fail = |what: &str| {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(what.as_bytes());
    };
    if value["email"].as_str().is_some_and(|email| !is_email(email)) {
        fail(
            r##"{"instancePath":"/email","keyword":"format","message":"must match format \"email\"","params":{"format":"email"},"schemaPath":"#/properties/email/format"}"##,
        );
    }
    let length = value["name"].as_str().map(|name| name.chars().count());
    if length == Some(0) {
        fail(
            r##"{"instancePath":"/name","keyword":"minLength","message":"must NOT have fewer than 1 characters","params":{"limit":1},"schemaPath":"#/properties/name/minLength"}"##,
        );
    }
    if length > Some(80) {
        fail(
            r##"{"instancePath":"/name","keyword":"maxLength","message":"must NOT have more than 80 characters","params":{"limit":80},"schemaPath":"#/properties/name/maxLength"}"##,
        );
    }
    if !matches!(value["role"].as_str(), Some("user" | "admin")) {
        fail(
            r##"{"instancePath":"/role","keyword":"enum","message":"must be equal to one of the allowed values","params":{"allowedValues":["user","admin"]},"schemaPath":"#/$defs/Role/enum"}"##,
        );
    }
    let age = value["age"].as_f64();
    if age.is_some_and(|age| age < 0.0) {
        fail(
            r##"{"instancePath":"/age","keyword":"minimum","message":"must be >= 0","params":{"comparison":">=","limit":0},"schemaPath":"#/properties/age/minimum"}"##,
        );
    }
    if age.is_some_and(|age| age > 150.0) {
        fail(
            r##"{"instancePath":"/age","keyword":"maximum","message":"must be <= 150","params":{"comparison":"<=","limit":150},"schemaPath":"#/properties/age/maximum"}"##,
        );
    }
    if let Value::Array(tags) = &value["tags"] {
        if tags.len() > 10 {
            fail(
                r##"{"instancePath":"/tags","keyword":"maxItems","message":"must NOT have more than 10 items","params":{"limit":10},"schemaPath":"#/properties/tags/maxItems"}"##,
            );
        }
        for (at, _) in tags.iter().enumerate().filter(|(_, tag)| !tag.is_string()) {
            fail(&format!(
                r##"{{"instancePath":"/tags/{at}","keyword":"type","message":"must be string","params":{{"type":"string"}},"schemaPath":"#/properties/tags/items/type"}}"##
            ));
        }
    }
    if value["createdAt"].as_str().is_some_and(|text| !is_date_time(text)) {
        fail(
            r##"{"instancePath":"/createdAt","keyword":"format","message":"must match format \"date-time\"","params":{"format":"date-time"},"schemaPath":"#/properties/createdAt/format"}"##,
        );
    }
    out.push(b']');
    out
}

fn refused(refused: &Refused) -> Error {
    Error::new("WRONG_ANSWER").message(format!("a document was refused: {refused:?}"))
}

/// All cases.
pub(crate) fn run(documents: u32) -> Result<Measured> {
    let mut figures = std::collections::BTreeMap::new();
    let mut figure = |name: &str, figure: f64| {
        figures.insert(name.to_owned(), figure);
    };

    let mut store = Store::default();
    let before = resident()?;
    let mut took = Duration::ZERO;
    for chunk in chunks(documents) {
        let texts: Vec<String> = chunk.map(document::text).collect();
        let begun = Clock::start();
        for text in &texts {
            store.insert_text(text).map_err(|error| refused(&error))?;
        }
        took += begun.elapsed();
    }
    figure("insert text", each(took, documents));
    // There are no tasks and no batches that would do it in another way.
    figure("insert text, 64 tasks", each(took, documents));
    figure("insert_many", each(took, documents));
    figure("memory", (resident()? - before) / f64::from(documents));

    let ids: Vec<Uuid> = {
        let mut ids: Vec<Uuid> = store.by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    };
    let mut picks = Picks::new(documents);
    let (mut took, mut sum) = (Duration::ZERO, 0_u64);
    for chunk in chunks(picked(documents)) {
        let picked: Vec<Uuid> =
            picks.by_ref().take(chunk.len()).filter_map(|at| ids.get(at as usize).copied()).collect();
        let begun = Clock::start();
        for id in &picked {
            let found = store.by_id.get(id).cloned();
            sum += found.map_or(0, |user| u64::from(user.age));
        }
        took += begun.elapsed();
    }
    figure("get by id", each(took, picked(documents)));
    let by_id = sum;

    let (mut took, mut sum) = (Duration::ZERO, 0_u64);
    for chunk in chunks(picked(documents)) {
        let picked: Vec<String> = picks.by_ref().take(chunk.len()).map(document::email).collect();
        let begun = Clock::start();
        for email in &picked {
            let found = store.by_email.get(email).and_then(|id| store.by_id.get(id)).cloned();
            sum += found.map_or(0, |user| u64::from(user.age));
        }
        took += begun.elapsed();
    }
    figure("get by email", each(took, picked(documents)));
    let by_email = sum;

    let times = finds(documents);
    let begun = Clock::start();
    let mut first = Vec::new();
    for _ in 0..times {
        let ids = store.by_role.get(&Role::Admin).into_iter().flatten().take(100);
        first = ids.filter_map(|id| store.by_id.get(id)).cloned().collect();
    }
    figure("find 100", each(begun.elapsed(), times));

    let begun = Clock::start();
    let mut matching = 0;
    for _ in 0..scans(documents) {
        let fits = |user: &&Arc<Stored>| user.age > 30 && user.tags.iter().any(|tag| tag == "x");
        let found: Vec<Arc<Stored>> = store.by_id.values().filter(fits).cloned().collect();
        matching = found.len();
    }
    figure("scan", each(begun.elapsed(), scans(documents)));

    let times = rejections(documents);
    let mut out = Vec::new();
    let begun = Clock::start();
    for _ in 0..times {
        match store.insert_text(INVALID) {
            Err(Refused::Invalid(violations)) => out = violations,
            _ => return Err(Error::new("WRONG_ANSWER").message("the invalid document was taken")),
        }
    }
    figure("reject", each(begun.elapsed(), times));
    let first: Vec<&str> = first.iter().map(|user| user.email.as_str()).collect();
    let answers = json!({"byId": by_id, "byEmail": by_email, "first": first, "matching": matching});
    drop(store);

    let mut store = Store::default();
    let mut took = Duration::ZERO;
    for chunk in chunks(documents) {
        let users: Vec<NewUser> = chunk.map(|i| document::user(i).into()).collect();
        let begun = Clock::start();
        for user in users {
            store.insert(user).map_err(|error| refused(&error))?;
        }
        took += begun.elapsed();
    }
    figure("insert struct", each(took, documents));
    Ok(Measured { figures, answers, violations: serde_json::from_slice(&out)? })
}
