#![doc = include_str!("docs/crate.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "queries and metadata that only the transport asks for")
)]

// The expansions name `::modeller`, also in this crate's own tests and examples.
extern crate self as modeller;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod app;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "codegen")]
pub mod codegen;
mod core;
mod error;
mod model;
pub mod prelude;
mod registry;
#[cfg(feature = "server")]
pub mod server;
pub mod storage;
pub mod test;
pub mod wire;

#[cfg(feature = "macros")]
#[doc = include_str!("docs/access.md")]
pub use modeller_macros::access;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/authenticate.md")]
pub use modeller_macros::authenticate;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/event.md")]
pub use modeller_macros::event;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/hook.md")]
pub use modeller_macros::hook;
#[cfg(all(feature = "macros", feature = "server"))]
#[doc = include_str!("docs/main.md")]
pub use modeller_macros::main;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/method.md")]
pub use modeller_macros::method;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/migrate.md")]
pub use modeller_macros::migrate;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/model.md")]
pub use modeller_macros::model;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/route.md")]
pub use modeller_macros::route;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/stream.md")]
pub use modeller_macros::stream;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/upload.md")]
pub use modeller_macros::upload;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/value.md")]
pub use modeller_macros::value;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/worker.md")]
pub use modeller_macros::worker;

pub use crate::app::{App, AppBuilder};
pub use crate::core::document::{Doc, Stored};
pub use crate::core::field::{
    Field, FieldKind, Flattened, Holds, List, Numeric, Operand, Ordered, Place, Plain, Spread, Text, Unique,
};
pub use crate::core::id::{Id, MAX_ID_BYTES, RawId};
pub use crate::core::json::Document;
pub use crate::core::private::Private;
pub use crate::core::private::Protected;
pub use crate::core::query::filter::Filter;
pub use crate::core::query::project::{PartOf, Projection};
pub use crate::core::query::sort::Sort;
pub use crate::core::query::update::Update;
pub use crate::core::query::{DEFAULT_LIMIT, MAX_LIMIT, Page, Query};
pub use crate::core::schema::{Extends, ModelType, Visibility};
pub use crate::error::{Error, ErrorCode, Result, Violation};
pub use crate::model::access::{Access, AccessCall, AccessFuture};
pub use crate::model::adapter::{Adapter, Pulled};
pub use crate::model::caller::{Call, Caller};
pub use crate::model::emitter::{Emission, Emissions, Listening};
pub use crate::model::given::SchemaModel;
pub use crate::model::handle::{As, Changing, Find, Listing, Model, Modified, Selector, Showing, System};
pub use crate::model::handler::{Args, HookEvent, Operation, Output, Previous, State, Timing};
pub use crate::model::hook::{HookCall, HookFuture};
pub use crate::model::job::{Job, JobQueue, Scheduling};
pub use crate::model::journal::{
    CallSite, Log, LogEntries, LogEntry, LogFeature, LogLevel, LogSettings, LogSink, LogSwitches, LogWith, Logged,
};
pub use crate::model::live::local::{LiveChange, LiveCommit, LiveQuery};
pub use crate::model::login::{Beginning, Login, Logins, Tokens};
pub use crate::model::route::{HttpMethod, PathArgs, QueryArgs, RouteOutput, RouteRequest};
pub use crate::model::schedule::Schedule;
pub use crate::model::subscription::{Heard, Listener, Subscription};
pub use crate::model::transaction::Transaction;
pub use crate::model::trash::{Deletion, Trash, TrashList, Trashed};
pub use crate::model::upload::{Chunk, File};
#[cfg(feature = "server")]
pub use crate::server::Limits;
pub use crate::wire::explanation::{Explanation, PlanKind};
