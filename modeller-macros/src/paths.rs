//! Where expansions find the runtime.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;

/// `::modeller::__private`, or the same below the path that `crate = …` gives. Users need only `modeller` in their manifest,
/// so nothing else may be named by a bare crate name; std's things are written `::core::…` and `::std::…`.
pub(crate) fn runtime(given: Option<&Path>) -> TokenStream {
    given.map_or_else(|| quote!(::modeller::__private), |path| quote!(#path::__private))
}

/// A path as serde and schemars want it, in a string.
pub(crate) fn text(path: &TokenStream) -> String {
    path.to_string().replace(' ', "")
}
