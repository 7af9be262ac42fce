//! `#[method]`: a function that callers reach, in process as a method of `Model<T>` and over the wire by its id. `#[event]`
//! is the same on a subscription, so [`Operation`] serves both.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Type};

use crate::diagnostics::Diagnostics;
use crate::hook::assertion;
use crate::keys::{Key, Keys};
use crate::model::check::function_id;
use crate::model::emit::access;
use crate::model::ir::Access;
use crate::rename::pascal;
use crate::signature::{self, Handler, Param, conditions, docs, plain, summary};
use crate::{paths, register};

/// The keys of an attribute for operations, which are the same but for those in brackets, and its [`Role`].
macro_rules! operation_keys {
    (
        $(#[$meta:meta])*
        $name:ident for $attribute:literal, $word:literal, [$($more:tt)*] $(as $transaction:ident)? $(up to $max:ident)?, $role:expr
    ) => {
        $crate::keys::keys! {
            $(#[$meta])*
            enum $name for $attribute {
                Public = "public", Flag, "public";
                Protected = "protected", Flag, "protected";
                Internal = "internal", Flag, "internal";
                $($more)*
                Id = "id", Text, "id = \"name\"";
                Crate = "crate", Path, "crate = path::to::modeller";
            }
            conflicts {
                Public, Protected: concat!($word, " is reached by anyone or by verified callers; remove one");
                Public, Internal: concat!($word, " is reached by anyone or in process only; remove one");
                Protected, Internal: concat!($word, " is reached by verified callers or in process only; remove one");
            }
        }

        impl $crate::method::OperationKey for $name {
            const ROLE: $crate::method::Role = $role;
            const PUBLIC: Self = Self::Public;
            const PROTECTED: Self = Self::Protected;
            const INTERNAL: Self = Self::Internal;
            const ID: Self = Self::Id;
            const CRATE: Self = Self::Crate;
            $(const TRANSACTION: Option<Self> = Some(Self::$transaction);)?
            $(const MAX_BYTES: Option<Self> = Some(Self::$max);)?
        }
    };
}
pub(crate) use operation_keys;

operation_keys! {
    /// The keys of `#[method]`, after the model.
    MethodKey for "#[method]", "a method", [Transaction = "transaction", Path, "transaction = none";] as Transaction,
    Role {
        word: "method",
        declaration: "Method",
        argument: "MethodArg",
        argument_of_model: false,
        receives: None,
        transaction: true,
        receiver: "Model",
        calls: Some("Calls"),
        entry: "call",
        taken: &[
            "call",
            "call_once",
            "call_stream",
            "call_upload",
            "clone",
            "count",
            "delete",
            "delete_many",
            "detached",
            "emit",
            "extension",
            "extension_by_id",
            "extensions",
            "find",
            "get",
            "hook",
            "hook_later",
            "insert",
            "insert_json",
            "insert_many",
            "insert_with_id",
            "is_running",
            "list",
            "live",
            "log_level",
            "methods",
            "modify",
            "on",
            "on_delete",
            "on_insert",
            "on_log",
            "on_update",
            "pull",
            "replace",
            "schedule",
            "schema",
            "set_log_feature",
            "set_log_level",
            "start_worker",
            "start_workers",
            "stop_worker",
            "stop_workers",
            "streams",
            "subscription",
            "sync_all",
            "unhook",
            "update",
            "update_many",
            "uploads",
            "upsert",
            "worker",
            "workers",
        ],
    }
}

/// Expands `#[method(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<MethodKey>(args, item)
}

/// What tells methods and events apart.
pub(crate) struct Role {
    /// In messages; in pascal case the end of the trait's name.
    pub(crate) word: &'static str,
    /// Variant of the runtime's `Declaration`.
    pub(crate) declaration: &'static str,
    /// The trait of what it may take.
    pub(crate) argument: &'static str,
    /// Whether that trait has the model as its parameter.
    pub(crate) argument_of_model: bool,
    /// The type of what it is given beside its arguments.
    pub(crate) receives: Option<&'static str>,
    /// Whether it is one transaction, unless it says otherwise.
    pub(crate) transaction: bool,
    /// What it becomes a method of.
    pub(crate) receiver: &'static str,
    /// The trait of all that it becomes a method of, where that is not the receiver alone: a handle of a client has it too.
    pub(crate) calls: Option<&'static str>,
    /// The runtime's function that calls it by its id.
    pub(crate) entry: &'static str,
    /// What the receiver has of its own: Rust would call that, and silently where the arguments agree.
    pub(crate) taken: &'static [&'static str],
}

/// The keys that methods and events share.
pub(crate) trait OperationKey: Key {
    const ROLE: Role;
    const PUBLIC: Self;
    const PROTECTED: Self;
    const INTERNAL: Self;
    const ID: Self;
    const CRATE: Self;
    /// By which it may say that it is no transaction.
    const TRANSACTION: Option<Self> = None;
    /// By which it may say how much it takes.
    const MAX_BYTES: Option<Self> = None;
}

/// A method or an event that was proved.
struct Operation {
    m: TokenStream,
    role: Role,
    model: Type,
    handler: Handler,
    /// Which parameter is the arguments.
    args_at: Option<usize>,
    /// Whether it is one transaction.
    transaction: bool,
    access: Option<Access>,
    /// How many bytes it takes of what it is given.
    max_bytes: Option<syn::Expr>,
    id: String,
}

/// Types that a parameter is extracted by; a first parameter of any other type is the arguments.
const EXTRACTED: &[&str] = &["Model", "System", "Caller", "Call", "Transaction", "Log", "State", "Subscription"];

/// Expands an operation.
pub(crate) fn operation<K: OperationKey>(args: TokenStream, item: &TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let (model, keys) = Keys::<K>::parse_after_model(args, &errors);
    let handler = signature::parse(K::ATTRIBUTE, item, &errors);
    let operation = check(model, &keys, handler, &errors);
    let clean = errors.is_clean();
    let tokens = operation.map(|operation| {
        // The call contract stays after a mistake, so that calls do not fail too.
        let contract = contract(&operation);
        let registration = clean.then(|| registration(&operation));
        quote!(#contract #registration)
    });
    let errors = errors.finish();
    quote!(#errors #item #tokens)
}

fn check<K: OperationKey>(
    model: Option<Type>,
    keys: &Keys<K>,
    handler: Option<Handler>,
    errors: &Diagnostics,
) -> Option<Operation> {
    let handler = handler?;
    let id = function_id(keys, K::ID, handler.name(), errors);
    let name = plain(handler.name());
    if K::ROLE.taken.contains(&name.as_str()) {
        let receiver = K::ROLE.receiver;
        errors.at(
            handler.name(),
            format!(
                "`{name}` is a method of every `{receiver}`, which would be called instead; rename the function, and write \
                 `id = \"{name}\"` to keep the name on the wire"
            ),
        );
    }
    let access = [(K::PUBLIC, Access::Public), (K::PROTECTED, Access::Protected), (K::INTERNAL, Access::Internal)]
        .into_iter()
        .find(|(key, _)| keys.has(*key))
        .map(|(_, access)| access);
    let is_of = |param: &Param, names: &[&str]| param.type_name().is_some_and(|name| names.contains(&name.as_str()));
    let is_received = |param: &Param| is_of(param, K::ROLE.receives.as_slice());
    if let Some(receives) = K::ROLE.receives
        && !handler.params.iter().any(is_received)
    {
        let word = K::ROLE.word;
        errors.at(
            handler.name(),
            format!("`{name}` has to take what the {word} is about; add a parameter of type `{receives}`"),
        );
    }
    // What it is given may stand in front of them.
    let first = handler.params.iter().enumerate().take(2).find(|(_, param)| !is_received(param));
    let args_at = first.filter(|(_, param)| !is_of(param, EXTRACTED)).map(|(at, _)| at);
    let transaction = K::ROLE.transaction && !outside(keys, errors);
    for param in handler.params.iter().filter(|param| param.mutable) {
        errors.at(
            &param.ty,
            format!("{} takes its arguments by value or by `&`; remove `mut`", with_article(K::ROLE.word)),
        );
    }
    let m = paths::runtime(keys.path(K::CRATE));
    let max_bytes = K::MAX_BYTES.and_then(|key| keys.expr(key)).cloned();
    Some(Operation { m, role: K::ROLE, model: model?, handler, args_at, transaction, access, max_bytes, id })
}

/// Whether it says that it is no transaction.
fn outside<K: OperationKey>(keys: &Keys<K>, errors: &Diagnostics) -> bool {
    let Some(path) = K::TRANSACTION.and_then(|key| keys.path(key)) else { return false };
    if !path.is_ident("none") {
        errors.at(path, "`transaction` is `none`, for what takes long, or is left out");
    }
    true
}

impl Operation {
    fn args(&self) -> Option<&Param> {
        self.handler.params.get(self.args_at?)
    }

    fn rest(&self) -> impl Iterator<Item = &Param> {
        self.handler.params.iter().enumerate().filter(|(at, _)| Some(*at) != self.args_at).map(|(_, param)| param)
    }

    fn docs(&self) -> impl Iterator<Item = &Attribute> {
        docs(&self.handler.item.attrs)
    }

    /// What it answers when nothing failed.
    fn answer(&self) -> TokenStream {
        let (m, output) = (&self.m, &self.handler.output);
        let span = output.span();
        quote_spanned!(span=> <#output as #m::Returned>::Output)
    }
}

/// The trait by which the operation is a method of the model or the subscription.
fn contract(operation: &Operation) -> TokenStream {
    let Operation { m, role, model, handler, id, .. } = operation;
    let (name, vis) = (handler.name(), &handler.item.vis);
    let contract = format_ident!("{}{}", pascal(&plain(name)), pascal(role.word), span = name.span());
    let (receiver, entry) = (format_ident!("{}", role.receiver), format_ident!("{}", role.entry));
    let docs: Vec<&Attribute> = operation.docs().collect();
    let text = format!(" The {} `{id}` as a method of `{}`.", role.word, role.receiver);
    let own_doc = docs.is_empty().then(|| quote!(#[doc = #text]));
    let answer = operation.answer();
    let (parameter, argument, ty) = match operation.args() {
        Some(param) => {
            let ty = match &param.ty {
                // Refused already.
                Type::Reference(reference) => &reference.elem,
                ty => ty,
            };
            (quote!(, args: #ty), quote!(args), quote!(#ty))
        }
        None => (TokenStream::new(), quote!(()), quote!(())),
    };
    // In the order in which the function is documented to take them.
    let (received, given) = match role.receives {
        Some(receives) => {
            let ty = format_ident!("{receives}");
            let local = format_ident!("{}", receives.to_lowercase());
            (quote!(, #local: #m::#ty), quote!(#local,))
        }
        None => (TokenStream::new(), TokenStream::new()),
    };
    let signature = quote! {
        fn #name(&self #received #parameter) -> impl ::core::future::Future<Output = #m::Result<#answer>> + ::core::marker::Send
    };
    let cfg = conditions(&handler.item.attrs);
    let implementation = match role.calls {
        Some(calls) => {
            let (calls, transaction) = (format_ident!("{calls}"), operation.transaction);
            quote! {
                impl<C: #m::#calls<#model>> #contract for C {
                    #signature {
                        #[allow(unused_imports)]
                        use #m::{Unfit as _, UnfitCall as _};
                        const CALLED: #m::Called<#answer> =
                            #m::Called { id: #id, transaction: #transaction, read: #m::Witness::<#answer>::READ };
                        #m::Calling::<#ty, #answer>::#entry::<#model, C>(self, CALLED, #argument)
                    }
                }
            }
        }
        None => quote! {
            impl #contract for #m::#receiver<#model> {
                #signature {
                    #[allow(unused_imports)]
                    use #m::UnfitCall as _;
                    #m::Calling::<#ty, #answer>::#entry(self, #id, #given #argument)
                }
            }
        },
    };
    quote! {
        #(#cfg)*
        #[doc = #text]
        #[allow(dead_code, private_interfaces)]
        #vis trait #contract {
            #own_doc
            #(#docs)*
            #signature;
        }
        #(#cfg)*
        #[automatically_derived]
        #implementation
    }
}

fn registration(operation: &Operation) -> TokenStream {
    let Operation { m, role, model, handler, id, .. } = operation;
    let outside = role.transaction && !operation.transaction;
    let argument = if outside { format_ident!("Long{}", role.argument) } else { format_ident!("{}", role.argument) };
    let bound = if role.argument_of_model { quote!(#argument<#model>) } else { quote!(#argument) };
    let offered = format_ident!("offered");
    let offers = operation.rest().map(|param| assertion(&offered, param));
    let (args, take) = match operation.args() {
        Some(param) => {
            let (ty, local) = (&param.ty, &param.local);
            (
                quote!(::core::option::Option::Some(#m::Witness::<#ty>::PAYLOAD)),
                quote!(let #local: #ty = #m::Witness::<#ty>::payload(&mut __call)?;),
            )
        }
        None => (quote!(::core::option::Option::None), TokenStream::new()),
    };
    let extract = operation.rest().map(|param| param.extract(m));
    let access = operation.access.map_or_else(
        || quote!(::core::option::Option::None),
        |level| {
            let level = access(m, level);
            quote!(::core::option::Option::Some(#level))
        },
    );
    let (max_bytes, check) = match &operation.max_bytes {
        None => (quote!(::core::option::Option::None), TokenStream::new()),
        Some(bytes) => {
            let message = format!("{} takes at least one byte; `max_bytes` is 0", with_article(role.word));
            (
                quote!(::core::option::Option::Some(MAX_BYTES)),
                quote_spanned! {bytes.span()=>
                    const MAX_BYTES: u64 = #bytes;
                    const _: () = ::core::assert!(MAX_BYTES > 0, #message);
                },
            )
        }
    };
    let transaction = operation.transaction;
    let description = summary(&handler.item.attrs);
    let (answer, call, site) = (operation.answer(), handler.call(), register::site(m));
    let variant = format_ident!("{}", role.declaration);
    let registration = register::register(m, &quote!(#m::Declaration::#variant(&OPERATION)));
    let (binding, cfg) = (handler.binding(), conditions(&handler.item.attrs));
    let schemas = schemas(operation);
    quote! {
        #(#cfg)*
        const _: () = {
            #[allow(unused_imports)]
            use #m::Unfit as _;
            #schemas
            #check
            const _: fn() = || {
                #[allow(dead_code)]
                fn offered<A: #m::#bound>() {}
                #(#offers)*
            };
            static OPERATION: #m::OperationDeclaration = #m::OperationDeclaration {
                model: <#model as #m::ModelType>::DECLARATION,
                id: #id,
                access: #access,
                description: #description,
                args: #args,
                output: #m::Witness::<#answer>::OUTPUT,
                transaction: #transaction,
                max_bytes: #max_bytes,
                run: |#binding| ::std::boxed::Box::pin(async move {
                    #take
                    #(#extract)*
                    #m::Witness::<#answer>::output(#call)
                }),
                site: #site,
            };
            #registration
        };
    }
}

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

/// The assertions that arguments and answer have a schema.
fn schemas(operation: &Operation) -> TokenStream {
    let Operation { m, role, handler, .. } = operation;
    let word = with_article(role.word);
    let args = operation.args().map(|param| {
        let ty = &param.ty;
        let message = format!(
            "`{}` cannot be the arguments of {word}, it has no schema; annotate it with `#[value]` (what {word} is given \
             beside its arguments stands after them)",
            paths::shown(ty),
        );
        quote_spanned!(ty.span()=> const _: () = ::core::assert!(#m::Witness::<#ty>::IS_ARGS, #message);)
    });
    let answer = operation.answer();
    let message = format!(
        "what `{}` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`",
        handler.name(),
    );
    let span = handler.answer().unwrap_or(&handler.output).span();
    let output = quote_spanned!(span=> const _: () = ::core::assert!(#m::Witness::<#answer>::IS_OUTPUT, #message););
    quote!(#args #output)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use syn::{ImplItem, Item, Visibility};

    use super::{MethodKey, OperationKey, Role};
    use crate::event::EventKey;
    use crate::signature::last_segment;

    /// The methods of its own that a type has, from the source of the runtime.
    fn own_methods(file: &str, receiver: &str) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modeller/src").join(file);
        let source = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut names = vec![String::from("clone")];
        for item in source.items {
            let Item::Impl(item) = item else { continue };
            let of_receiver = last_segment(&item.self_ty).is_some_and(|segment| segment.ident == receiver);
            if item.trait_.is_some() || !of_receiver {
                continue;
            }
            for member in item.items {
                if let ImplItem::Fn(function) = member
                    && matches!(function.vis, Visibility::Public(_))
                    && function.sig.receiver().is_some()
                {
                    names.push(function.sig.ident.to_string());
                }
            }
        }
        names.sort();
        names
    }

    /// Of the handle in process and of the one of a client.
    fn of_both(here: Vec<String>, there: Vec<String>) -> Vec<String> {
        BTreeSet::from_iter(here.into_iter().chain(there)).into_iter().collect()
    }

    #[test]
    fn names_that_would_be_hidden_are_known() {
        let Role { taken, .. } = MethodKey::ROLE;
        let there = own_methods("client/model.rs", "RemoteModel");
        assert_eq!(of_both(own_methods("model/handle.rs", "Model"), there), taken);
        let Role { taken, .. } = EventKey::ROLE;
        let there = own_methods("client/subscription.rs", "RemoteSubscription");
        assert_eq!(of_both(own_methods("model/subscription.rs", "Subscription"), there), taken);
    }
}
