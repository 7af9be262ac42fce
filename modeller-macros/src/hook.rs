//! `#[hook]`: a function that runs before or after operations on documents.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Ident, LitStr, Token, Type};

use crate::diagnostics::Diagnostics;
use crate::keys::{Given, Keys, keys, nearest};
use crate::model::check::function_id;
use crate::rename::pascal;
use crate::signature::{self, Handler, Param, conditions};
use crate::{paths, register};

keys! {
    /// The keys of `#[hook]`, after the model.
    enum HookKey for "#[hook]" {
        Before = "before", List, "before(insert, update)";
        After = "after", List, "after(delete)";
        AfterCommit = "after_commit", List, "after_commit(insert)";
        Order = "order", Whole, "order = 5";
        Schedule = "schedule", Text, "schedule = \"5s\"";
        Attempts = "attempts", Count, "attempts = 5";
        Id = "id", Text, "id = \"name\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
}

/// A hook that was proved.
struct Hook {
    m: TokenStream,
    model: Type,
    handler: Handler,
    /// Names of the types in the runtime's `on`.
    events: Vec<Ident>,
    order: i32,
    schedule: Option<Duration>,
    attempts: Option<u32>,
    id: String,
}

/// Expands `#[hook(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let (model, keys) = Keys::<HookKey>::parse_after_model(args, &errors);
    let handler = signature::parse("#[hook]", item, &errors);
    let hook = check(model, &keys, handler, &errors);
    let tokens = hook.filter(|_| errors.is_clean()).map(|hook| emit(&hook));
    let errors = errors.finish();
    quote!(#errors #item #tokens)
}

fn check(model: Option<Type>, keys: &Keys<HookKey>, handler: Option<Handler>, errors: &Diagnostics) -> Option<Hook> {
    let mut events = Vec::new();
    for key in [HookKey::Before, HookKey::After, HookKey::AfterCommit] {
        let Some(entry) = keys.get(key) else { continue };
        let Given::List(list) = &entry.given else { continue };
        read_events(&entry.name, list.clone(), &mut events, errors);
    }
    let handler = handler?;
    let waits = [HookKey::Before, HookKey::After, HookKey::AfterCommit].into_iter().any(|key| keys.has(key));
    if !waits && errors.is_clean() {
        errors.at(
            handler.name(),
            format!(
                "the hook `{}` waits for nothing; write `#[hook(…, before(insert))]` or `after(…)`",
                handler.name()
            ),
        );
    }
    handler.answers_nothing("hook", errors);
    let order = keys.number(HookKey::Order).map_or(Some(0), |order| i32::try_from(order.whole?).ok());
    if order.is_none() {
        errors.at_span(keys.span(HookKey::Order), "`order` must fit 32 bits; write a smaller number");
    }
    let schedule = keys.text(HookKey::Schedule).and_then(|text| duration(text, "schedule", errors));
    if keys.has(HookKey::Schedule)
        && let Some(event) = events.iter().find(|event| !LATER.contains(&event.to_string().as_str()))
    {
        errors.at(
            event,
            "a hook with `schedule` runs after the commit, as a job: it waits for `after(insert)`, `after(update)` or \
             `after(delete)`; write it there, or remove `schedule`",
        );
    }
    let attempts =
        keys.number(HookKey::Attempts).map(|number| number.whole.and_then(|whole| u32::try_from(whole).ok()));
    match attempts {
        Some(None | Some(0)) => {
            errors.at_span(keys.span(HookKey::Attempts), "`attempts` is one at least; write `attempts = 5`");
        }
        Some(_) if keys.lacks(HookKey::Schedule) => {
            errors.at_span(
                keys.span(HookKey::Attempts),
                "`attempts` is for a hook that is a job; add `schedule = \"5s\"`, or remove it",
            );
        }
        _ => {}
    }
    let id = function_id(keys, HookKey::Id, handler.name(), errors);
    let m = paths::runtime(keys.path(HookKey::Crate));
    Some(Hook { m, model: model?, handler, events, order: order?, schedule, attempts: attempts.flatten(), id })
}

/// The events that are over when a job runs.
const LATER: &[&str] = &["AfterInsert", "AfterUpdate", "AfterDelete"];

/// A duration as it is written in an attribute.
pub(crate) fn duration(text: &LitStr, key: &str, errors: &Diagnostics) -> Option<Duration> {
    let duration = humantime::parse_duration(&text.value()).ok();
    if duration.is_none() {
        errors.at(
            text,
            format!("`{}` is no duration; write e.g. `{key} = \"30s\"`, `\"5m\"` or `\"1h 30m\"`", text.value()),
        );
    }
    duration
}

/// A duration as an expression.
pub(crate) fn duration_tokens(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}

const OPERATIONS: &[&str] = &["insert", "update", "delete", "list"];

fn read_events(timing: &Ident, list: TokenStream, events: &mut Vec<Ident>, errors: &Diagnostics) {
    let parser =
        |input: ParseStream<'_>| Punctuated::<Ident, Token![,]>::parse_terminated_with(input, Ident::parse_any);
    let operations = match parser.parse2(list) {
        Ok(operations) => operations,
        Err(error) => return errors.push(error),
    };
    if operations.is_empty() {
        errors.at(timing, format!("`{timing}` needs an operation; write `{timing}(insert)`"));
    }
    for operation in operations {
        let text = operation.to_string();
        if !OPERATIONS.contains(&text.as_str()) {
            let hint = nearest(&text, OPERATIONS.iter().copied())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            errors.at(
                &operation,
                format!("unknown operation `{text}`{hint} (the operations are `insert`, `update`, `delete`, `list`)"),
            );
            continue;
        }
        if timing == "after_commit" && text == "list" {
            errors.at(&operation, "a list commits nothing; write `after(list)`");
            continue;
        }
        let event = format_ident!("{}{}", pascal(&timing.to_string()), pascal(&text), span = operation.span());
        if events.contains(&event) {
            errors.at(&operation, format!("`{timing}({text})` is given twice; remove one"));
        } else {
            events.push(event);
        }
    }
}

fn emit(hook: &Hook) -> TokenStream {
    let Hook { m, model, handler, events, order, schedule, attempts, id } = hook;
    let option = |tokens: Option<TokenStream>| {
        tokens.map_or_else(
            || quote!(::core::option::Option::None),
            |tokens| quote!(::core::option::Option::Some(#tokens)),
        )
    };
    let schedule = option(schedule.map(duration_tokens));
    let attempts = option(attempts.map(|attempts| quote!(#attempts)));
    let extract = handler.params.iter().map(|param| param.extract(m));
    let call = handler.call();
    let site = register::site(m);
    let offers = events.iter().map(|event| {
        let offered = format_ident!("offered_{}", event.to_string().to_lowercase());
        let calls = handler.params.iter().map(|param| assertion(&offered, param));
        quote! {
            fn #offered<A: #m::HookArg<#model, #m::on::#event>>() {}
            #(#calls)*
        }
    });
    let returned = returned(m, &handler.output);
    let registration = register::register(m, &quote!(#m::Declaration::Hook(&HOOK)));
    let unfit = handler.params.first().map(|_| quote!(#[allow(unused_imports)] use #m::Unfit as _;));
    let (binding, cfg) = (handler.binding(), conditions(&handler.item.attrs));
    quote! {
        #(#cfg)*
        const _: () = {
            const _: fn() = || {
                #(#offers)*
            };
            static HOOK: #m::HookDeclaration = #m::HookDeclaration {
                model: <#model as #m::ModelType>::DECLARATION,
                id: #id,
                on: &[#(#m::on::#events::EVENT),*],
                order: #order,
                schedule: #schedule,
                attempts: #attempts,
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

/// The assertion that a role offers what a parameter asks for, at the parameter.
pub(crate) fn assertion(offered: &Ident, param: &Param) -> TokenStream {
    let ty = &param.ty;
    quote_spanned!(ty.span()=> #offered::<#ty>();)
}

/// The function that takes what the handler answers; a wrong answer is told at its type.
pub(crate) fn returned(m: &TokenStream, output: &Type) -> TokenStream {
    quote_spanned!(output.span()=> #m::Returned::returned)
}
