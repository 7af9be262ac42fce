//! What one attribute registers.
//!
//! Every attribute ends in one element of [`DECLARATIONS`]; the compiler points at each `match` that a new kind has to be
//! added to. The linker decides the order of the elements, so nothing may depend on it: `assemble` sorts by their site.

use linkme::distributed_slice;

use crate::core::schema::ModelDeclaration;
use crate::model::declaration::{
    AccessDeclaration, AuthenticateDeclaration, HookDeclaration, MigrateDeclaration, OperationDeclaration,
    WorkerDeclaration,
};
use crate::model::route::RouteDeclaration;

/// All declarations of the program, of every crate that is linked into it.
#[distributed_slice]
pub static DECLARATIONS: [Declaration];

/// One registration.
#[derive(Clone, Copy, Debug)]
pub enum Declaration {
    /// By `#[model]`.
    Model(&'static ModelDeclaration),
    /// By `#[hook]`.
    Hook(&'static HookDeclaration),
    /// By `#[method]`.
    Method(&'static OperationDeclaration),
    /// By `#[event]`.
    Event(&'static OperationDeclaration),
    /// By `#[upload]`.
    Upload(&'static OperationDeclaration),
    /// By `#[stream]`.
    Stream(&'static OperationDeclaration),
    /// By `#[worker]`.
    Worker(&'static WorkerDeclaration),
    /// By `#[access]`.
    Access(&'static AccessDeclaration),
    /// By `#[authenticate]`.
    Authenticate(&'static AuthenticateDeclaration),
    /// By `#[migrate]`.
    Migrate(&'static MigrateDeclaration),
    /// By `#[route]`.
    Route(&'static RouteDeclaration),
}
