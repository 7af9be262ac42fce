//! What a program of models names: `use modeller::prelude::*;`.

pub use crate::{
    Access, App, Call, Caller, Chunk, Doc, Document, Emission, Error, ErrorCode, Field, File, Filter, Heard, Id, Log,
    Model, Operation, Page, Previous, Private, Projection, Protected, Query, Result, SchemaModel, Sort, State,
    Subscription, System, Timing, Transaction, Update, Visibility,
};
#[cfg(feature = "macros")]
pub use modeller_macros::{access, authenticate, event, hook, method, migrate, model, stream, upload, value, worker};
