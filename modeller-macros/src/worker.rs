//! `#[worker]`: a function that runs again and again.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{LitStr, Type};

use crate::diagnostics::Diagnostics;
use crate::hook::{assertion, duration, duration_tokens, returned};
use crate::keys::{Keys, keys};
use crate::model::check::function_id;
use crate::signature::{self, Handler, conditions};
use crate::{paths, register};

keys! {
    /// The keys of `#[worker]`, after the model.
    enum WorkerKey for "#[worker]" {
        Every = "every", Text, "every = \"30s\"";
        Cron = "cron", Text, "cron = \"0 3 * * *\"";
        Zone = "zone", Text, "zone = \"Europe/Berlin\"";
        Immediate = "immediate", Bool, "immediate = false";
        Id = "id", Text, "id = \"name\"";
        Unnamed = "unnamed", Flag, "unnamed";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Every, Cron: "a worker has one schedule; remove one";
        Every, Zone: "an interval is the same everywhere; remove it";
        Id, Unnamed: "an unnamed worker has no id; remove one";
    }
}

/// A worker that was proved.
struct Worker {
    m: TokenStream,
    model: Type,
    handler: Handler,
    schedule: Schedule,
    immediate: Option<bool>,
    id: Option<String>,
}

/// When it runs.
enum Schedule {
    Every(Duration),
    Cron { pattern: String, zone: String },
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
    let schedule = schedule(keys, &handler, errors);
    let unnamed = keys.has(WorkerKey::Unnamed);
    let id = (!unnamed).then(|| function_id(keys, WorkerKey::Id, handler.name(), errors));
    let m = paths::runtime(keys.path(WorkerKey::Crate));
    let immediate = keys.bool(WorkerKey::Immediate);
    Some(Worker { m, model: model?, handler, schedule: schedule?, immediate, id })
}

fn schedule(keys: &Keys<WorkerKey>, handler: &Handler, errors: &Diagnostics) -> Option<Schedule> {
    if let Some(text) = keys.text(WorkerKey::Every) {
        let every = duration(text, "every", errors);
        if every.is_some_and(|every| every.is_zero()) {
            errors.at(text, "`every` must be longer than nothing; write `every = \"30s\"`");
            return None;
        }
        return every.map(Schedule::Every);
    }
    if let Some(text) = keys.text(WorkerKey::Cron) {
        let pattern = text.value();
        if let Err(cause) = pattern.parse::<croner::Cron>() {
            let cause = cause.to_string();
            let cause = cause.trim_end_matches('.');
            errors.at(
                text,
                format!(
                    "`{pattern}` is no cron pattern ({cause}); write minute, hour, day, month and weekday, e.g. `cron = \"0 3 * * *\"`"
                ),
            );
            return None;
        }
        let zone = keys.text(WorkerKey::Zone).map_or_else(|| "UTC".to_owned(), LitStr::value);
        return Some(Schedule::Cron { pattern, zone });
    }
    if errors.is_clean() {
        let name = handler.name();
        errors.at(
            name,
            format!(
                "the worker `{name}` needs a schedule; write `#[worker(…, every = \"30s\")]` or `cron = \"0 3 * * *\"`"
            ),
        );
    }
    None
}

fn emit(worker: &Worker) -> TokenStream {
    let Worker { m, model, handler, schedule, immediate, id } = worker;
    let offered = format_ident!("offered");
    let offers = handler.params.iter().map(|param| assertion(&offered, param));
    let extract = handler.params.iter().map(|param| param.extract(m));
    let (call, site, returned) = (handler.call(), register::site(m), returned(m, &handler.output));
    let schedule = match schedule {
        Schedule::Every(every) => {
            let every = duration_tokens(*every);
            quote!(#m::Schedule::every(#every))
        }
        Schedule::Cron { pattern, zone } => quote!(#m::Schedule::declared(#pattern, #zone)),
    };
    let immediate = immediate.map(|immediate| quote!(.immediate(#immediate)));
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
                schedule: #schedule #immediate,
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
