//! `#[worker]`: a function that runs again and again.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Type;

use crate::diagnostics::Diagnostics;
use crate::hook::{assertion, returned};
use crate::keys::{Keys, keys};
use crate::model::check::function_id;
use crate::signature::{self, Handler, conditions};
use crate::{paths, register};

keys! {
    /// The keys of `#[worker]`, after the model.
    enum WorkerKey for "#[worker]" {
        Every = "every", Text, "every = \"30s\"";
        Immediate = "immediate", Bool, "immediate = false";
        Id = "id", Text, "id = \"name\"";
        Unnamed = "unnamed", Flag, "unnamed";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Id, Unnamed: "an unnamed worker has no id; remove one";
    }
}

/// A worker that was proved.
struct Worker {
    m: TokenStream,
    model: Type,
    handler: Handler,
    every: Duration,
    immediate: bool,
    id: Option<String>,
}

/// Expands `#[worker(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let (model, keys) = Keys::<WorkerKey>::parse_after_model(args, &errors);
    let handler = signature::parse("#[worker]", item, &errors);
    let worker = check(model, &keys, handler, &errors);
    let tokens = worker.filter(|_| errors.is_clean()).map(|worker| emit(&worker));
    let errors = errors.finish();
    quote!(#errors #item #tokens)
}

fn check(
    model: Option<Type>,
    keys: &Keys<WorkerKey>,
    handler: Option<Handler>,
    errors: &Diagnostics,
) -> Option<Worker> {
    let handler = handler?;
    handler.answers_nothing("worker", errors);
    let every = match keys.text(WorkerKey::Every) {
        Some(text) => match humantime::parse_duration(&text.value()) {
            Ok(every) if every.is_zero() => {
                errors.at(text, "`every` must be longer than nothing; write `every = \"30s\"`");
                None
            }
            Ok(every) => Some(every),
            Err(_) => {
                errors.at(
                    text,
                    format!(
                        "`{}` is no duration; write e.g. `every = \"30s\"`, `\"5m\"` or `\"1h 30m\"`",
                        text.value()
                    ),
                );
                None
            }
        },
        None => {
            if errors.is_clean() {
                let name = handler.name();
                errors
                    .at(name, format!("the worker `{name}` needs an interval; write `#[worker(…, every = \"30s\")]`"));
            }
            None
        }
    };
    let unnamed = keys.has(WorkerKey::Unnamed);
    let id = (!unnamed).then(|| function_id(keys, WorkerKey::Id, handler.name(), errors));
    let m = paths::runtime(keys.path(WorkerKey::Crate));
    let immediate = keys.bool(WorkerKey::Immediate).unwrap_or(true);
    Some(Worker { m, model: model?, handler, every: every?, immediate, id })
}

fn emit(worker: &Worker) -> TokenStream {
    let Worker { m, model, handler, every, immediate, id } = worker;
    let offered = format_ident!("offered");
    let offers = handler.params.iter().map(|param| assertion(&offered, param));
    let extract = handler.params.iter().map(|param| param.extract(m));
    let (call, site, returned) = (handler.call(), register::site(m), returned(m, &handler.output));
    let (seconds, nanos) = (every.as_secs(), every.subsec_nanos());
    let id = id
        .as_ref()
        .map_or_else(|| quote!(::core::option::Option::None), |id| quote!(::core::option::Option::Some(#id)));
    let registration = register::register(m, &quote!(#m::Declaration::Worker(&WORKER)));
    let unfit = handler.params.first().map(|_| quote!(#[allow(unused_imports)] use #m::Unfit as _;));
    let (binding, cfg) = (handler.binding(), conditions(&handler.item.attrs));
    quote! {
        #(#cfg)*
        const _: () = {
            const _: fn() = || {
                #[allow(dead_code)]
                fn offered<A: #m::WorkerArg>() {}
                #(#offers)*
            };
            static WORKER: #m::WorkerDeclaration = #m::WorkerDeclaration {
                model: <#model as #m::ModelType>::DECLARATION,
                id: #id,
                every: ::core::time::Duration::new(#seconds, #nanos),
                immediate: #immediate,
                run: |#binding| ::std::boxed::Box::pin(async move {
                    #unfit
                    #(#extract)*
                    #returned(#call)
                }),
                site: #site,
            };
            #registration
        };
    }
}
