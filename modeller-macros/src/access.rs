//! `#[access]`: a function that says what a caller may do with the documents of a model. `#[authenticate]` says which document a
//! caller is, and looks the same from here, so that [`asked`] serves both.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned as _;
use syn::{Path, Type};

use crate::diagnostics::Diagnostics;
use crate::hook::assertion;
use crate::keys::{Key, Keys, keys};
use crate::signature::{self, Handler, conditions};
use crate::{paths, register};

keys! {
    /// The keys of `#[access]`, after the model.
    enum AccessKey for "#[access]" {
        Crate = "crate", Path, "crate = path::to::modeller";
    }
}

/// What tells the two apart.
pub(crate) struct Role {
    /// Variant of the runtime's `Declaration`.
    pub(crate) declaration: &'static str,
    /// The trait of what it may take.
    pub(crate) argument: &'static str,
    /// The type that it answers, with the model as its parameter.
    pub(crate) answer: &'static str,
    /// The runtime's function that takes the answer.
    pub(crate) taken_by: &'static str,
}

/// Expands `#[access(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let role = Role { declaration: "Access", argument: "AccessArg", answer: "Access", taken_by: "rights" };
    asked(args, item, &role, |keys: &Keys<AccessKey>| keys.path(AccessKey::Crate))
}

/// Expands a function that is asked about a caller.
pub(crate) fn asked<K: Key>(
    args: TokenStream,
    item: &TokenStream,
    role: &Role,
    crate_of: fn(&Keys<K>) -> Option<&Path>,
) -> TokenStream {
    let errors = Diagnostics::new();
    let (model, keys) = Keys::<K>::parse_after_model(args, &errors);
    let handler = signature::parse(K::ATTRIBUTE, item, &errors);
    let m = paths::runtime(crate_of(&keys));
    let proved = model.zip(handler).filter(|(model, handler)| check(role, model, handler, &errors));
    let tokens = proved.filter(|_| errors.is_clean()).map(|(model, handler)| emit(&m, role, &model, &handler));
    let errors = errors.finish();
    quote!(#errors #item #tokens)
}

fn check(role: &Role, model: &Type, handler: &Handler, errors: &Diagnostics) -> bool {
    let wanted = format!("{}<{}>", role.answer, paths::shown(model));
    let is_named = |ty: &Type, name: &str| signature::last_segment(ty).is_some_and(|last| last.ident == name);
    let answer = handler.answer();
    let is_result =
        signature::last_segment(&handler.output).is_none_or(|last| last.ident.to_string().ends_with("Result"));
    if !is_result || answer.is_some_and(|answer| !is_named(answer, role.answer)) {
        let shown = paths::shown(&handler.output);
        errors.at(&handler.output, format!("`{}` answers `Result<{wanted}>`, not `{shown}`", handler.name()));
    }
    for param in handler.params.iter().filter(|param| param.mutable) {
        errors.at(&param.ty, "what it is given is not changed by it; remove `mut`");
    }
    errors.is_clean()
}

fn emit(m: &TokenStream, role: &Role, model: &Type, handler: &Handler) -> TokenStream {
    let (declaration, argument) =
        (format_ident!("{}Declaration", role.declaration), format_ident!("{}", role.argument));
    let (variant, taken_by) = (format_ident!("{}", role.declaration), format_ident!("{}", role.taken_by));
    let offered = format_ident!("offered");
    let offers = handler.params.iter().map(|param| assertion(&offered, param));
    let extract = handler.params.iter().map(|param| param.extract(m));
    let (call, site) = (handler.call(), register::site(m));
    // The answer of another model is told at its type.
    let answer = format_ident!("__answer", span = handler.output.span());
    let registration = register::register(m, &quote!(#m::Declaration::#variant(&ASKED)));
    let unfit = handler.params.first().map(|_| quote!(#[allow(unused_imports)] use #m::Unfit as _;));
    let (binding, cfg) = (handler.binding(), conditions(&handler.item.attrs));
    quote! {
        #(#cfg)*
        const _: () = {
            const _: fn() = || {
                #[allow(dead_code)]
                fn offered<A: #m::#argument>() {}
                #(#offers)*
            };
            static ASKED: #m::#declaration = #m::#declaration {
                model: <#model as #m::ModelType>::DECLARATION,
                run: |#binding| ::std::boxed::Box::pin(async move {
                    #unfit
                    #(#extract)*
                    let #answer = #call;
                    #m::#taken_by::<#model, _>(#answer)
                }),
                site: #site,
            };
            #registration
        };
    }
}
