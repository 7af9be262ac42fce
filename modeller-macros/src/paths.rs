//! Where expansions find the runtime.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Path;

/// `::modeller::__private`, or the same below the path that `crate = …` gives. Users need only `modeller` in their manifest,
/// so nothing else may be named by a bare crate name; std's things are written `::core::…` and `::std::…`.
pub(crate) fn runtime(given: Option<&Path>) -> TokenStream {
    given.map_or_else(|| quote!(::modeller::__private), |path| quote!(#path::__private))
}

/// A type as a user would write it, for messages.
pub(crate) fn shown(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (printed, written) in
        [(" < ", "<"), (" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ","), (" :: ", "::"), (":: ", "::"), ("& ", "&")]
    {
        text = text.replace(printed, written);
    }
    text
}

/// A path as serde and schemars want it, in a string.
pub(crate) fn text(path: &TokenStream) -> String {
    path.to_string().replace(' ', "")
}
