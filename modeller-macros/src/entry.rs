//! `#[modeller::main]`: the entry of a program, with the runtime, the log and the exit code around it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::diagnostics::Diagnostics;
use crate::keys::{Keys, keys};
use crate::{paths, signature};

keys! {
    /// The keys of `#[modeller::main]`.
    enum MainKey for "#[modeller::main]" {
        Crate = "crate", Path, "crate = path::to::modeller";
    }
}

/// Expands `#[modeller::main] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let keys = Keys::<MainKey>::parse(args, &errors);
    let m = paths::runtime(keys.path(MainKey::Crate));
    let handler = signature::parse("#[modeller::main]", item, &errors);
    if let Some(handler) = &handler {
        handler.answers_nothing("main function", &errors);
        let name = handler.name();
        if name != "main" {
            errors.at(name, format!("`#[modeller::main]` is for the entry of a program; rename `{name}` to `main`"));
        }
        if !handler.item.sig.inputs.is_empty() {
            errors.at(&handler.item.sig.inputs, "`main` takes no arguments; remove them");
        }
    }
    let clean = errors.is_clean();
    let errors = errors.finish();
    let Some(handler) = handler else { return quote!(#errors #item) };
    let mut item = handler.item;
    if !clean {
        // A program without an entry, or with an async one, would be one more mistake.
        let entry = (item.sig.ident == "main").then(|| {
            item.sig.ident = format_ident!("main_", span = item.sig.ident.span());
            quote!(
                fn main() {}
            )
        });
        return quote!(#errors #[allow(dead_code)] #item #entry);
    }
    let attrs = std::mem::take(&mut item.attrs);
    item.sig.ident = format_ident!("main_", span = item.sig.ident.span());
    quote! {
        #(#attrs)*
        fn main() -> ::std::process::ExitCode {
            #item
            #m::main(main_())
        }
    }
}
