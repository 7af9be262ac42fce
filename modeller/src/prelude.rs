//! What a program of models names: `use modeller::prelude::*;`.

pub use crate::{
    Access, App, Call, Caller, Chunk, Doc, Document, Emission, Error, ErrorCode, Field, File, Filter, Heard,
    HttpMethod, Id, LiveChange, LiveCommit, LiveQuery, Log, Model, Operation, Page, PathArgs, Previous, Private,
    Projection, Protected, Query, QueryArgs, Result, RouteRequest, SchemaModel, Sort, State, Subscription, System,
    Timing, Transaction, Update, Visibility,
};
#[cfg(feature = "macros")]
pub use modeller_macros::{
    access, authenticate, event, hook, method, migrate, model, route, stream, upload, value, worker,
};
