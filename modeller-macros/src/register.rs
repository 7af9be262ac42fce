//! The one line by which a declaration is found at the start of a program.

use proc_macro2::TokenStream;
use quote::quote;

/// An element of the distributed slice. `declaration` is a constant expression of the type `Declaration`.
pub(crate) fn register(m: &TokenStream, declaration: &TokenStream) -> TokenStream {
    quote! {
        #[#m::linkme::distributed_slice(#m::DECLARATIONS)]
        #[linkme(crate = #m::linkme)]
        static DECLARATION: #m::Declaration = #declaration;
    }
}

/// Where the item stands.
pub(crate) fn site(m: &TokenStream) -> TokenStream {
    quote!(#m::Site { module: ::core::module_path!(), file: ::core::file!(), line: ::core::line!() })
}

/// Whether a text can be the id of a model or an operation; the runtime checks the same for models given at run time.
pub(crate) fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
