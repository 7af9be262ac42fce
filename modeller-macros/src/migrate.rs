//! `#[migrate]`: a function that makes old documents fit.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, ItemFn, ReturnType, Type};

use crate::diagnostics::Diagnostics;
use crate::keys::{Keys, keys};
use crate::signature::{conditions, last_segment};
use crate::{paths, register};

keys! {
    /// The keys of `#[migrate]`, after the model.
    enum MigrateKey for "#[migrate]" {
        Crate = "crate", Path, "crate = path::to::modeller";
    }
}

/// A migration that was proved.
struct Migration {
    m: TokenStream,
    model: Type,
    item: ItemFn,
    old: Type,
}

/// Expands `#[migrate(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let (model, keys) = Keys::<MigrateKey>::parse_after_model(args, &errors);
    let m = paths::runtime(keys.path(MigrateKey::Crate));
    let migration = check(m, model, item, &errors);
    let tokens = migration.filter(|_| errors.is_clean()).map(|migration| emit(&migration));
    let errors = errors.finish();
    quote!(#errors #item #tokens)
}

fn check(m: TokenStream, model: Option<Type>, item: &TokenStream, errors: &Diagnostics) -> Option<Migration> {
    let item: ItemFn = match syn::parse2(item.clone()) {
        Ok(item) => item,
        Err(_) => {
            let at = item.clone().into_iter().next();
            errors.at(at, "`#[migrate]` is for functions; put it above a `fn`");
            return None;
        }
    };
    let (sig, name) = (&item.sig, &item.sig.ident);
    if let Some(token) = &sig.asyncness {
        errors.at(token, format!("`{name}` has nothing to wait for at the start; remove `async`"));
    }
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics, format!("`{name}` cannot be generic; write the types it is for"));
    }
    match &sig.output {
        ReturnType::Default => {
            errors.at(name, format!("`{name}` must answer what it made of the document; write `-> Result<Document>`"));
        }
        ReturnType::Type(_, answer) if last_segment(answer).is_none_or(|segment| segment.ident != "Result") => {
            let shown = paths::shown(answer);
            errors.at(answer, format!("a migration answers a `Result`, not `{shown}`; write `-> Result<{shown}>`"));
        }
        ReturnType::Type(..) => {}
    }
    let mut inputs = sig.inputs.iter();
    let old = match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(typed)), None) => (*typed.ty).clone(),
        (None, _) => {
            errors.at(name, format!("`{name}` takes the old document; write `fn {name}(old: Document)`"));
            return None;
        }
        (Some(_), _) => {
            errors.at(&sig.inputs, format!("`{name}` takes the old document alone; write `fn {name}(old: Document)`"));
            return None;
        }
    };
    if last_segment(&old).is_none_or(|segment| segment.ident != "Document") {
        let shown = paths::shown(&old);
        errors.at(&old, format!("what was stored may not be a `{shown}` any more; write `old: Document`"));
    }
    Some(Migration { m, model: model?, old, item })
}

fn emit(migration: &Migration) -> TokenStream {
    let Migration { m, model, item, old } = migration;
    let (name, cfg, site) = (&item.sig.ident, conditions(&item.attrs), register::site(m));
    let registration = register::register(m, &quote!(#m::Declaration::Migrate(&MIGRATE)));
    let call = match &item.sig.output {
        ReturnType::Type(_, answer) => quote_spanned!(answer.span()=> #m::Returned::returned(#name(old))),
        ReturnType::Default => quote!(#name(old)),
    };
    quote! {
        #(#cfg)*
        const _: () = {
            static MIGRATE: #m::MigrateDeclaration = #m::MigrateDeclaration {
                model: <#model as #m::ModelType>::DECLARATION,
                run: |old: #m::Document| {
                    let old: #old = old;
                    #m::migrated(&#call?)
                },
                site: #site,
            };
            #registration
        };
    }
}
