//! Users: six fields, unique by email, found by role.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use workload::format::{is_date_time, is_email};

use crate::Store;
use crate::journal::Entry;
use crate::problem::{Checks, Problem, json_bytes};

/// A stored user.
#[derive(Serialize, Deserialize)]
pub(crate) struct User {
    _id: Uuid,
    _rev: u64,
    email: Arc<str>,
    name: String,
    role: Role,
    age: u8,
    tags: Vec<String>,
    #[serde(rename = "createdAt")]
    created_at: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Role {
    User,
    Admin,
}

/// A user as it arrives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewUser {
    email: Arc<str>,
    name: String,
    role: Role,
    age: u8,
    tags: Vec<String>,
    created_at: String,
}

const FIELDS: &[&str] = &["email", "name", "role", "age", "tags", "createdAt"];

/// All users, with their indexes.
#[derive(Default)]
pub(crate) struct Users(RwLock<Tables>);

#[derive(Default)]
struct Tables {
    by_id: HashMap<Uuid, Arc<User>>,
    emails: HashSet<Arc<str>>,
    by_role: HashMap<Role, Vec<Arc<User>>>,
}

impl Tables {
    fn put(&mut self, user: Arc<User>) {
        self.emails.insert(user.email.clone());
        self.by_role.entry(user.role).or_default().push(user.clone());
        self.by_id.insert(user._id, user);
    }
}

impl Users {
    /// Puts a user back that was stored before.
    pub(crate) fn restore(&self, user: Arc<User>) {
        self.0.write().put(user);
    }
}

/// `POST /users`
pub(crate) async fn insert(State(store): State<Arc<Store>>, body: Bytes) -> Result<Response, Problem> {
    let new = read(&body)?;
    let user = Arc::new(User {
        _id: Uuid::now_v7(),
        _rev: 1,
        email: new.email,
        name: new.name,
        role: new.role,
        age: new.age,
        tags: new.tags,
        created_at: new.created_at,
    });
    let durable = {
        let mut tables = store.users.0.write();
        if tables.emails.contains(&user.email) {
            return Err(Problem::Taken("email"));
        }
        tables.put(user.clone());
        store.journal.as_ref().map(|journal| journal.append(Entry::User(user.clone())))
    };
    if let Some(durable) = durable {
        durable.await.map_err(|_| Problem::Unreadable("the journal is gone".into()))?;
    }
    Ok(json_bytes(StatusCode::CREATED, &*user))
}

/// `GET /users/{id}`
pub(crate) async fn get(State(store): State<Arc<Store>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::NotFound)?;
    let user = store.users.0.read().by_id.get(&id).cloned().ok_or(Problem::NotFound)?;
    Ok(json_bytes(StatusCode::OK, &*user))
}

/// What is changed of a user.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Changes {
    email: Option<Arc<str>>,
    name: Option<String>,
    age: Option<u8>,
    tags: Option<Vec<String>>,
    created_at: Option<String>,
}

/// `PATCH /users/{id}`, which tells the room when it is an admin. A role stays what it is.
pub(crate) async fn change(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let id: Uuid = id.parse().map_err(|_| Problem::NotFound)?;
    let changes: Changes = serde_json::from_slice(&body).map_err(|error| Problem::Unreadable(error.to_string()))?;
    let (user, durable) = {
        let mut tables = store.users.0.write();
        let old = tables.by_id.get(&id).cloned().ok_or(Problem::NotFound)?;
        let new = NewUser {
            email: changes.email.unwrap_or_else(|| old.email.clone()),
            name: changes.name.unwrap_or_else(|| old.name.clone()),
            role: old.role,
            age: changes.age.unwrap_or(old.age),
            tags: changes.tags.unwrap_or_else(|| old.tags.clone()),
            created_at: changes.created_at.unwrap_or_else(|| old.created_at.clone()),
        };
        if !fits(&new) {
            return Err(Problem::Unreadable("a rule is violated".into()));
        }
        if new.email != old.email && tables.emails.contains(&new.email) {
            return Err(Problem::Taken("email"));
        }
        let NewUser { email, name, role, age, tags, created_at } = new;
        let user = Arc::new(User { _id: id, _rev: old._rev + 1, email, name, role, age, tags, created_at });
        tables.emails.remove(&old.email);
        if let Some(users) = tables.by_role.get_mut(&old.role) {
            users.retain(|other| other._id != id);
        }
        tables.put(user.clone());
        if user.role == Role::Admin
            && let Ok(text) = serde_json::to_string(&*user)
        {
            // Nobody hears it where nobody listens.
            let _ = store.changed.send(Utf8Bytes::from(text));
        }
        (user.clone(), store.journal.as_ref().map(|journal| journal.append(Entry::User(user))))
    };
    if let Some(durable) = durable {
        durable.await.map_err(|_| Problem::Unreadable("the journal is gone".into()))?;
    }
    Ok(json_bytes(StatusCode::OK, &*user))
}

/// `GET /room`: a WebSocket that hears of each admin that changes.
pub(crate) async fn room(State(store): State<Arc<Store>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(4 << 10).on_upgrade(async move |mut socket| {
        let mut changed = store.changed.subscribe();
        if socket.send(Message::Text("joined".into())).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                change = changed.recv() => {
                    // Who is too slow has missed something, and has to come again.
                    let Ok(text) = change else { return };
                    if socket.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                message = socket.recv() => {
                    if !matches!(message, Some(Ok(_))) {
                        return;
                    }
                }
            }
        }
    })
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    filter: String,
    sort: String,
    limit: usize,
}

/// The one form of filter that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    role: Role,
    age: AtLeast,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AtLeast {
    #[serde(rename = "$gte")]
    gte: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    items: Vec<&'a User>,
    next_cursor: Option<String>,
}

/// `GET /users?filter={"role":…,"age":{"$gte":…}}&sort={"age":1}&limit=…`
pub(crate) async fn list(State(store): State<Arc<Store>>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let unreadable = |error: serde_json::Error| Problem::Unreadable(error.to_string());
    let filter: Filter = serde_json::from_str(&query.filter).map_err(unreadable)?;
    if query.sort != r#"{"age":1}"# || query.limit > 1_000 {
        return Err(Problem::Unreadable("the order is by age, and at most 1,000".into()));
    }
    // The first of those seen so far, the last of them on top.
    let mut first: BinaryHeap<(u8, Uuid)> = BinaryHeap::with_capacity(query.limit + 1);
    let users: Vec<Arc<User>> = {
        let tables = store.users.0.read();
        for user in tables.by_role.get(&filter.role).into_iter().flatten().filter(|user| user.age >= filter.age.gte) {
            let key = (user.age, user._id);
            if first.len() < query.limit {
                first.push(key);
            } else if first.peek().is_some_and(|last| key < *last) {
                first.pop();
                first.push(key);
            }
        }
        first.into_sorted_vec().iter().filter_map(|(_, id)| tables.by_id.get(id).cloned()).collect()
    };
    let items = users.iter().map(AsRef::as_ref).collect();
    Ok(json_bytes(StatusCode::OK, &Page { items, next_cursor: None }))
}

/// What is sent to `echo`, and comes back.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    text: String,
    n: u64,
}

/// `POST /users/echo`
pub(crate) async fn echo(body: Bytes) -> Result<Response, Problem> {
    let fits = |echo: &Echo| echo.text.len() <= 100 || echo.text.chars().count() <= 100;
    let error = match serde_json::from_slice::<Echo>(&body) {
        Ok(echo) if fits(&echo) => return Ok(json_bytes(StatusCode::OK, &echo)),
        Ok(_) => serde::de::Error::custom("the text is too long"),
        Err(error) => error,
    };
    let value: Value = serde_json::from_slice(&body).map_err(|error| Problem::Unreadable(error.to_string()))?;
    let mut checks = Checks::new(&value, &["text", "n"], &["text", "n"])?;
    checks.text("text", 0, 100);
    checks.number("n", 0, i32::MAX, true);
    Err(checks.finish(&error))
}

/// The user in a body. One that is right costs one parse; only one that is wrong is walked through for its faults.
fn read(body: &[u8]) -> Result<NewUser, Problem> {
    let error = match serde_json::from_slice::<NewUser>(body) {
        Ok(user) if fits(&user) => return Ok(user),
        Ok(_) => serde::de::Error::custom("a rule is violated"),
        Err(error) => error,
    };
    let value: Value = serde_json::from_slice(body).map_err(|error| Problem::Unreadable(error.to_string()))?;
    let mut checks = Checks::new(&value, FIELDS, FIELDS)?;
    if checks.text("email", 0, usize::MAX).is_some_and(|text| !is_email(text)) {
        checks.fail("email", "format", "must match format \"email\"".into(), json!({"format": "email"}));
    }
    checks.text("name", 1, 80);
    if let Some(role) = checks.get("role")
        && !matches!(role.as_str(), Some("user" | "admin"))
    {
        if !role.is_string() {
            checks.fail("role", "type", "must be string".into(), json!({"type": "string"}));
        }
        let message = "must be equal to one of the allowed values".into();
        checks.fail("role", "enum", message, json!({"allowedValues": ["user", "admin"]}));
    }
    checks.number("age", 0, 150, true);
    match checks.get("tags") {
        Some(Value::Array(tags)) => {
            if tags.len() > 10 {
                checks.fail("tags", "maxItems", "must NOT have more than 10 items".into(), json!({"limit": 10}));
            }
            for (at, _) in tags.iter().enumerate().filter(|(_, tag)| !tag.is_string()) {
                checks.fail_item("tags", at, "string");
            }
        }
        Some(_) => checks.fail("tags", "type", "must be array".into(), json!({"type": "array"})),
        None => {}
    }
    if checks.text("createdAt", 0, usize::MAX).is_some_and(|text| !is_date_time(text)) {
        checks.fail("createdAt", "format", "must match format \"date-time\"".into(), json!({"format": "date-time"}));
    }
    Err(checks.finish(&error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_each_field_is_six_violations() {
        let body =
            br#"{"email":"not-an-email","name":"","role":"root","age":200,"tags":["a",5],"createdAt":"yesterday"}"#;
        let Err(Problem::Invalid(found)) = read(body) else { panic!("it was taken") };
        let found: Vec<_> = found.iter().map(|violation| (&*violation.instance_path, violation.keyword)).collect();
        assert_eq!(
            found,
            [
                ("/email", "format"),
                ("/name", "minLength"),
                ("/role", "enum"),
                ("/age", "maximum"),
                ("/tags/1", "type"),
                ("/createdAt", "format")
            ]
        );
    }
}
