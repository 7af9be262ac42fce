//! `#[stream]`: a method that is given one chunk after the other, with what is said of each.

use proc_macro2::TokenStream;

use crate::keys::keys;
use crate::method::{MethodKey, OperationKey, Role, operation};

keys! {
    /// The keys of `#[stream]`, after the model.
    enum StreamKey for "#[stream]" {
        Public = "public", Flag, "public";
        Protected = "protected", Flag, "protected";
        Internal = "internal", Flag, "internal";
        Id = "id", Text, "id = \"name\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Public, Protected: "a stream is reached by anyone or by verified callers; remove one";
        Public, Internal: "a stream is reached by anyone or in process only; remove one";
        Protected, Internal: "a stream is reached by verified callers or in process only; remove one";
    }
}

impl OperationKey for StreamKey {
    const ROLE: Role = Role {
        word: "stream",
        declaration: "Stream",
        argument: "StreamArg",
        receives: Some("Chunk"),
        transaction: true,
        entry: "stream",
        ..MethodKey::ROLE
    };
    const PUBLIC: Self = Self::Public;
    const PROTECTED: Self = Self::Protected;
    const INTERNAL: Self = Self::Internal;
    const ID: Self = Self::Id;
    const CRATE: Self = Self::Crate;
}

/// Expands `#[stream(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<StreamKey>(args, item)
}
