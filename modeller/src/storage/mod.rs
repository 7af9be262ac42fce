//! Engines: where the commit log lives.
//!
//! | engine | keeps | for |
//! |---|---|---|
//! | [`Memory`] | a log in this process | tests, and data that may be lost; with [`Faults`] it misbehaves on purpose |
//! | [`Sqlite`] | one file, synced before a write is answered | everything else |
//!
//! Both, and any that a user writes, implement [`Storage`] and pass [`conformance::run`]. An engine knows models, ids and
//! JSON text, and nothing of what the documents mean.
//!
//! Errors of an engine have these codes, all with the status 503 but the first:
//!
//! | code | what happened |
//! |---|---|
//! | `STORAGE_GROUP` | the caller made a group that cannot follow; a bug above the engine |
//! | `UNAVAILABLE` | the store is held by another process, or cannot be reached or written |
//! | `STORAGE_FOREIGN` | what lies there was not made by this crate; it was not touched |
//! | `STORAGE_VERSION` | it was made by another version of this crate; it was not touched |
//! | `STORAGE_DAMAGED` | it contradicts itself; it was not changed |
//! | `STORAGE_DIVERGED` | the caller's position is not one of this log |
//! | `STORAGE_CANNOT_FORGET` | the engine has no [`Storage::forget`]; with the status 500 |
//! | `STORAGE_FAILED` | a write or a sync failed, or an earlier one did: the engine takes no more until it is opened anew |

pub mod conformance;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub(crate) mod volatile;

pub use memory::{Faults, Memory};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteOptions};

pub use crate::core::storage::{
    Append, Entry, EntryKind, Group, Hash, Head, LoggedGroup, Opened, Storage, StoredChange, StoredDocument,
    StoredPublish, Tail,
};
use crate::error::Error;

/// An error of a store, which no client can do anything about.
fn failure(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(code).status(503).message(message)
}

/// What is to be forgotten ends the log, and the last group always stays.
fn nothing_follows(until: u64) -> Error {
    failure("STORAGE_GROUP", "no group follows what is to be forgotten").status(500).detail("position", until)
}

/// The caller's position is no position of this log: it followed another one, or this one was put back to an older copy.
fn diverged(caller: u64, log: u64) -> Error {
    failure("STORAGE_DIVERGED", "the position is not one of this log").detail("position", caller).detail("head", log)
}
