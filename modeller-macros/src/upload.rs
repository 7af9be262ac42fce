//! `#[upload]`: a method that is given a file beside its arguments, which are its fields.

use proc_macro2::TokenStream;

use crate::keys::keys;
use crate::method::{MethodKey, OperationKey, Role, operation};

keys! {
    /// The keys of `#[upload]`, after the model.
    enum UploadKey for "#[upload]" {
        Public = "public", Flag, "public";
        Protected = "protected", Flag, "protected";
        Internal = "internal", Flag, "internal";
        Id = "id", Text, "id = \"name\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Public, Protected: "an upload is reached by anyone or by verified callers; remove one";
        Public, Internal: "an upload is reached by anyone or in process only; remove one";
        Protected, Internal: "an upload is reached by verified callers or in process only; remove one";
    }
}

impl OperationKey for UploadKey {
    const ROLE: Role = Role {
        word: "upload",
        declaration: "Upload",
        argument: "UploadArg",
        receives: Some("File"),
        transaction: false,
        entry: "upload",
        ..MethodKey::ROLE
    };
    const PUBLIC: Self = Self::Public;
    const PROTECTED: Self = Self::Protected;
    const INTERNAL: Self = Self::Internal;
    const ID: Self = Self::Id;
    const CRATE: Self = Self::Crate;
}

/// Expands `#[upload(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<UploadKey>(args, item)
}
