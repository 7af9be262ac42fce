//! `#[upload]`: a method that is given a file beside its arguments, which are its fields.

use proc_macro2::TokenStream;

use crate::method::{MethodKey, Role, operation, operation_keys};

operation_keys! {
    /// The keys of `#[upload]`, after the model.
    UploadKey for "#[upload]", "an upload", [MaxBytes = "max_bytes", Expr, "max_bytes = 10 << 20";] up to MaxBytes,
    Role {
        word: "upload",
        declaration: "Upload",
        argument: "UploadArg",
        receives: Some("File"),
        transaction: false,
        calls: None,
        entry: "upload",
        ..MethodKey::ROLE
    }
}

/// Expands `#[upload(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<UploadKey>(args, item)
}
