//! `__private`: everything that an expansion may name, and nothing else. No promise of stability: the macro crate is pinned
//! to the same version.

pub use linkme;
pub use schemars;
pub use serde;
pub use serde_json;

pub use crate::core::call::{Args, Called, Calls, Dispatches, Output, Reads};
pub use crate::core::document::Doc;
pub use crate::core::field::{
    Field, FieldKind, Flattened, Holds, Names, Numeric, Ordered, Plain, Record, Unique, flatten,
};
pub use crate::core::id::Id;
pub use crate::core::json::Document;
pub use crate::core::migrate::migrated;
pub use crate::core::private::{defaulted, withholds};
pub use crate::core::query::project::PartOf;
pub use crate::core::schema::keywords::reference;
pub use crate::core::schema::{
    Extends, FieldDeclaration, IndexDeclaration, Kind, ModelDeclaration, ModelType, Site, Visibility, joined,
    joined_length, joined_text, keywords,
};
pub use crate::core::trash::RETENTION;
pub use crate::core::value::{
    AsValue, BySerialize, ByView, ObjectRef, Probe, Take, ValueRef, Variants, inner_members, variant_entry,
    variant_member, variant_slots,
};
pub use crate::error::{Error, Result};
pub use crate::model::access::{Access, found, rights};
pub use crate::model::declaration::{
    AccessDeclaration, AuthenticateDeclaration, HookDeclaration, MigrateDeclaration, OperationDeclaration,
    WorkerDeclaration,
};
pub use crate::model::handle::Model;
pub use crate::model::handler::{
    AccessArg, AuthenticateArg, EventArg, HookArg, HookEvent, Invocation, LongMethodArg, MethodArg, OutputKind,
    PayloadKind, Returned, StreamArg, UploadArg, WorkerArg, arg, on, output, payload,
};
pub use crate::model::route::{HttpMethod, LongRouteArg, RouteAnswer, RouteArg, RouteDeclaration, RoutePart};
pub use crate::model::schedule::Schedule;
pub use crate::model::subscription::Subscription;
pub use crate::model::upload::{Chunk, File};
pub use crate::model::witness::{Calling, Taking, Unfit, UnfitCall, Witness};
pub use crate::registry::{DECLARATIONS, Declaration};
#[cfg(feature = "server")]
pub use crate::server::main;
