//! `#[authenticate]`: a function that finds the document that a caller is.

use proc_macro2::TokenStream;

use crate::access::{Role, asked};
use crate::keys::{Keys, keys};

keys! {
    /// The keys of `#[authenticate]`, after the model.
    enum AuthenticateKey for "#[authenticate]" {
        Crate = "crate", Path, "crate = path::to::modeller";
    }
}

/// Expands `#[authenticate(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let role = Role { declaration: "Authenticate", argument: "AuthenticateArg", answer: "Id", taken_by: "found" };
    asked(args, item, &role, |keys: &Keys<AuthenticateKey>| keys.path(AuthenticateKey::Crate))
}
