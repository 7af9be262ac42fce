//! What `#[hook]`, `#[method]`, `#[event]`, `#[upload]`, `#[stream]` and `#[worker]` say of a function.

use std::fmt;
use std::time::Duration;

use super::access::Rights;
use super::handler::{AnyOutput, BoxFuture, HookEvent, Invocation, OutputKind, PayloadKind};
use super::schedule::Schedule;
use crate::core::id::RawId;
use crate::core::json::Document;
use crate::core::schema::{ModelDeclaration, Site, Visibility};
use crate::error::Result;

/// How a hook or a worker is run.
pub(super) type RunUnit = for<'a> fn(Invocation<'a>) -> BoxFuture<'a, Result<()>>;

/// How a hook is run that was added by a closure.
pub(super) type RunClosure = dyn for<'a> Fn(Invocation<'a>) -> BoxFuture<'a, Result<()>> + Send + Sync;

/// How a method or an event is run.
pub(super) type RunOutput = for<'a> fn(Invocation<'a>) -> BoxFuture<'a, Result<Box<dyn AnyOutput>>>;

/// How an access rule is asked.
pub(super) type RunRights = for<'a> fn(Invocation<'a>) -> BoxFuture<'a, Result<Rights>>;

/// How it is found who a caller is.
pub(super) type RunId = for<'a> fn(Invocation<'a>) -> BoxFuture<'a, Result<RawId>>;

/// What `#[hook]` says of a function.
pub struct HookDeclaration {
    /// The model it belongs to.
    pub model: &'static ModelDeclaration,
    /// Its id, the name of the function unless given.
    pub id: &'static str,
    /// When it runs; at least one.
    pub on: &'static [HookEvent],
    /// Hooks of one event run in rising order, and by their site where it is equal.
    pub order: i32,
    /// For how long it waits after the commit, as a job; it runs in the transaction unless given.
    pub schedule: Option<Duration>,
    /// How often the job is tried.
    pub attempts: Option<u32>,
    /// The function, with its arguments taken from the invocation.
    pub run: RunUnit,
    /// Where it stands.
    pub site: Site,
}

/// What `#[method]`, `#[event]`, `#[upload]` or `#[stream]` says of a function.
pub struct OperationDeclaration {
    /// The model it belongs to.
    pub model: &'static ModelDeclaration,
    /// Its id, the name of the function unless given.
    pub id: &'static str,
    /// Who may reach it; as the model, unless given.
    pub access: Option<Visibility>,
    /// The first line of its doc comment, for the metadata.
    pub description: &'static str,
    /// Its typed arguments, if it has any.
    pub args: Option<PayloadKind>,
    /// What it answers.
    pub output: OutputKind,
    /// Whether all that it does is one transaction.
    pub transaction: bool,
    /// How many bytes it takes of a file; as many as the server takes, unless given.
    pub max_bytes: Option<u64>,
    /// The function, with its arguments taken from the invocation.
    pub run: RunOutput,
    /// Where it stands.
    pub site: Site,
}

/// What `#[worker]` says of a function.
pub struct WorkerDeclaration {
    /// The model it belongs to.
    pub model: &'static ModelDeclaration,
    /// Its id, the name of the function unless given; `None` for an unnamed one.
    pub id: Option<&'static str>,
    /// When it runs.
    pub schedule: Schedule,
    /// The function, with its arguments taken from the invocation.
    pub run: RunUnit,
    /// Where it stands.
    pub site: Site,
}

/// What `#[access]` says of a function.
pub struct AccessDeclaration {
    /// The model whose rule it is.
    pub model: &'static ModelDeclaration,
    /// The function, with its arguments taken from the invocation.
    pub run: RunRights,
    /// Where it stands.
    pub site: Site,
}

/// What `#[authenticate]` says of a function.
pub struct AuthenticateDeclaration {
    /// The model of those who call.
    pub model: &'static ModelDeclaration,
    /// The function, with its arguments taken from the invocation.
    pub run: RunId,
    /// Where it stands.
    pub site: Site,
}

/// What `#[migrate]` says of a function.
pub struct MigrateDeclaration {
    /// The model it belongs to.
    pub model: &'static ModelDeclaration,
    /// The function.
    pub run: fn(Document) -> Result<Document>,
    /// Where it stands.
    pub site: Site,
}

macro_rules! shown {
    ($($type:ty: $($field:ident),*;)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).field("model", &self.model.id)$(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

shown! {
    HookDeclaration: id, on, order, schedule, site;
    OperationDeclaration: id, access, site;
    WorkerDeclaration: id, schedule, site;
    MigrateDeclaration: site;
    AccessDeclaration: site;
    AuthenticateDeclaration: site;
}
