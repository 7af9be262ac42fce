//! What travels between a server and its clients, as types. It knows nothing of either side.

pub mod explanation;
#[cfg(feature = "server")]
pub(crate) mod frame;
pub mod live;
pub mod metadata;
#[cfg(feature = "socketio")]
pub(crate) mod packet;
pub(crate) mod schema;
