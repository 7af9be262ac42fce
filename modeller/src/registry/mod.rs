//! From the attributes of the whole program to the models of one application.

mod assemble;
mod declaration;
mod routes;

pub(crate) use assemble::{assemble, schemas};
pub use declaration::{DECLARATIONS, Declaration};
pub(crate) use routes::DeclaredRoutes;
