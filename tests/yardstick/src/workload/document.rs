//! The documents, numbered.

use crate::model::{Role, User};

/// One fault in each field, six in all.
pub const INVALID: &str =
    r#"{"email":"not-an-email","name":"","role":"root","age":200,"tags":["a",5],"createdAt":"yesterday"}"#;

/// User number `i`.
#[must_use]
pub fn user(i: u32) -> User {
    let (a, b, c) = (i % 50, i.wrapping_mul(3).wrapping_add(1) % 50, i.wrapping_mul(7).wrapping_add(2) % 50);
    let mut tags = vec![format!("t{a}"), format!("t{b}"), format!("t{c}")];
    if i.is_multiple_of(100) {
        tags.push("x".into());
    }
    User {
        email: email(i),
        name: format!("User Number {i}"),
        role: if i.is_multiple_of(10) { Role::Admin } else { Role::User },
        age: u8::try_from((i.wrapping_mul(2_654_435_761) >> 16) % 100).unwrap_or_default(),
        tags,
        created_at: created_at(i),
    }
}

/// The address of user number `i`.
#[must_use]
pub fn email(i: u32) -> String {
    format!("user{i}@example.com")
}

/// So many seconds after the beginning of 2024; for more than a month, the days begin again.
fn created_at(i: u32) -> String {
    let (day, second) = (1 + i / 86_400 % 31, i % 86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("2024-01-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// User number `i` as JSON, about 160 bytes.
#[must_use]
pub fn text(i: u32) -> String {
    let User { email, name, role, age, tags, created_at } = user(i);
    let role = if role == Role::Admin { "admin" } else { "user" };
    let tags = tags.join(r#"",""#);
    format!(
        r#"{{"email":"{email}","name":"{name}","role":"{role}","age":{age},"tags":["{tags}"],"createdAt":"{created_at}"}}"#
    )
}
