//! The users as the framework is told of them.

use modeller::prelude::*;

/// A user.
#[cfg_attr(not(feature = "compound"), model(id = "users", public, rename_all = "camelCase"))]
#[cfg_attr(feature = "compound", model(id = "users", public, rename_all = "camelCase", index(role, age)))]
pub struct User {
    /// Where mail goes.
    #[field(unique, format = "email")]
    pub email: String,
    /// What they are called.
    #[field(min_length = 1, max_length = 80)]
    pub name: String,
    /// What they may.
    #[field(index)]
    pub role: Role,
    /// In years.
    #[field(minimum = 0, maximum = 150)]
    pub age: u8,
    /// Words of their own.
    #[field(max_items = 10)]
    pub tags: Vec<String>,
    /// When they came.
    #[field(format = "date-time")]
    pub created_at: String,
}

/// What a user may.
#[value]
#[derive(Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Only what is his own.
    User,
    /// All of it.
    Admin,
}
