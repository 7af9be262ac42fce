//! `#[stream]`: a method that is given one chunk after the other, with what is said of each.

use proc_macro2::TokenStream;

use crate::method::{MethodKey, Role, operation, operation_keys};

operation_keys! {
    /// The keys of `#[stream]`, after the model.
    StreamKey for "#[stream]", "a stream", [],
    Role {
        word: "stream",
        declaration: "Stream",
        argument: "StreamArg",
        receives: Some("Chunk"),
        transaction: true,
        calls: None,
        entry: "stream",
        ..MethodKey::ROLE
    }
}

/// Expands `#[stream(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<StreamKey>(args, item)
}
