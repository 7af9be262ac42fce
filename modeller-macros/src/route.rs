//! `#[route]`: a function that serves a path of the program's own.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{GenericArgument, Ident, LitStr, PathArguments, Token};

use crate::diagnostics::Diagnostics;
use crate::hook::assertion;
use crate::keys::{Keys, keys, nearest};
use crate::model::check::function_id;
use crate::model::emit::access;
use crate::model::ir::Access;
use crate::signature::{self, Handler, Param, conditions, last_segment, summary};
use crate::{paths, register};

keys! {
    /// The keys of `#[route]`, after the method and the path.
    enum RouteKey for "#[route]" {
        Public = "public", Flag, "public";
        Protected = "protected", Flag, "protected";
        Transaction = "transaction", Path, "transaction = none";
        Id = "id", Text, "id = \"name\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Public, Protected: "a route is reached by anyone or by verified callers; remove one";
    }
}

/// The methods, as they are written, and their names in the runtime.
const METHODS: &[(&str, &str)] =
    &[("GET", "Get"), ("POST", "Post"), ("PUT", "Put"), ("PATCH", "Patch"), ("DELETE", "Delete")];

/// What is extracted; a first parameter of any other type is the body.
const EXTRACTED: &[&str] = &[
    "PathArgs",
    "QueryArgs",
    "RouteRequest",
    "Model",
    "System",
    "Caller",
    "Call",
    "Transaction",
    "Log",
    "State",
    "Subscription",
];

/// What takes a typed part of the request, and which.
const PARTS: &[(&str, &str)] = &[("PathArgs", "a path"), ("QueryArgs", "a query string")];

/// A route that was proved.
struct Route {
    m: TokenStream,
    handler: Handler,
    /// A variant of the runtime's `HttpMethod`.
    method: Ident,
    path: LitStr,
    /// Whether the first parameter is the body.
    has_body: bool,
    access: Access,
    transaction: bool,
    id: String,
}

/// Expands `#[route(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let (method, path, rest) = target(args, &errors);
    let keys = Keys::<RouteKey>::parse(rest, &errors);
    let handler = signature::parse("#[route]", item, &errors);
    let route = check(method, path, &keys, handler, &errors);
    let tokens = route.filter(|_| errors.is_clean()).map(|route| emit(&route));
    let errors = errors.finish();
    quote!(#errors #item #tokens)
}

/// The method and the path, and what follows them.
fn target(args: TokenStream, errors: &Diagnostics) -> (Option<Ident>, Option<LitStr>, TokenStream) {
    const HOW: &str = "write `#[route(GET, \"/ping\")]`";
    let parser = |input: ParseStream<'_>| {
        let comma = |input: ParseStream<'_>| {
            if !input.is_empty() && input.parse::<Token![,]>().is_err() {
                errors.push(input.error("expected `,`"));
            }
        };
        let method = if input.peek(Ident::peek_any) {
            let method = input.call(Ident::parse_any)?;
            comma(input);
            Some(method)
        } else {
            errors.at_span(input.span(), format!("`#[route]` needs the method first; {HOW}"));
            // A text where the method should be.
            None
        };
        let path = if input.peek(LitStr) {
            let path = input.parse::<LitStr>()?;
            comma(input);
            Some(path)
        } else {
            if method.is_some() {
                errors.at_span(input.span(), format!("`#[route]` needs a path after the method; {HOW}"));
            }
            None
        };
        Ok((method, path, input.parse::<TokenStream>()?))
    };
    parser.parse2(args).unwrap_or_else(|error| {
        errors.push(error);
        (None, None, TokenStream::new())
    })
}

fn check(
    method: Option<Ident>,
    path: Option<LitStr>,
    keys: &Keys<RouteKey>,
    handler: Option<Handler>,
    errors: &Diagnostics,
) -> Option<Route> {
    let method = method.and_then(|method| known(&method, errors));
    if let Some(path) = &path
        && let Err(what) = check_path(&path.value())
    {
        errors.at(path, what);
    }
    let handler = handler?;
    let id = function_id(keys, RouteKey::Id, handler.name(), errors);
    let is_get = method.as_ref().is_some_and(|method| method == "Get");
    let mut transaction = !is_get;
    if let Some(path) = keys.path(RouteKey::Transaction) {
        if !path.is_ident("none") {
            errors.at(path, "`transaction` is `none`, for what takes long, or is left out");
        }
        transaction = false;
    }
    let first = handler.params.first();
    let has_body = first.is_some_and(|param| param.type_name().is_none_or(|name| !EXTRACTED.contains(&name.as_str())));
    if has_body
        && let Some(param) = first
        && let Some(method) = method.as_ref().filter(|method| *method == "Get" || *method == "Delete")
    {
        let (ty, method) = (paths::shown(&param.ty), method.to_string().to_uppercase());
        errors.at(
            &param.ty,
            format!("a {method} has no body that could be a `{ty}`; write `QueryArgs<{ty}>`, or use another method"),
        );
    }
    for param in handler.params.iter().filter(|param| param.mutable) {
        errors.at(&param.ty, "a route takes its arguments by value or by `&`; remove `mut`");
    }
    let access = if keys.has(RouteKey::Protected) { Access::Protected } else { Access::Public };
    let m = paths::runtime(keys.path(RouteKey::Crate));
    Some(Route { m, handler, method: method?, path: path?, has_body, access, transaction, id })
}

/// The method as the runtime names it.
fn known(method: &Ident, errors: &Diagnostics) -> Option<Ident> {
    let text = method.to_string();
    if let Some((_, variant)) = METHODS.iter().find(|(name, _)| *name == text) {
        return Some(Ident::new(variant, method.span()));
    }
    let names = METHODS.iter().map(|(name, _)| *name);
    let hint = match text.as_str() {
        "HEAD" => "; it is served where `GET` is".to_owned(),
        _ => nearest(&text, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?")),
    };
    errors.at(
        method,
        format!("unknown method `{text}`{hint} (the methods of a route are `GET`, `POST`, `PUT`, `PATCH`, `DELETE`)"),
    );
    None
}

/// Whether a path can be that of a route; the runtime checks the same of paths that are given at run time.
fn check_path(path: &str) -> Result<(), String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(format!("a path begins with `/`; write `\"/{path}\"`"));
    };
    if rest.starts_with('@') {
        return Err("what begins with `/@` is the server's own; write another path".to_owned());
    }
    if rest.is_empty() {
        return Ok(());
    }
    let mut names: Vec<&str> = Vec::new();
    let count = rest.split('/').count();
    for (at, text) in rest.split('/').enumerate() {
        let name = match text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            Some(inner) => match inner.strip_prefix('*') {
                Some(name) if at + 1 == count => name,
                Some(_) => {
                    return Err(format!("`{text}` takes all that follows, so that nothing can follow it; put it last"));
                }
                None => inner,
            },
            None if text.is_empty() => {
                return Err("there is nothing between two `/`, or behind the last; remove one".to_owned());
            }
            None if text.starts_with([':', '*']) => {
                let name = text.trim_start_matches([':', '*']);
                return Err(format!("a parameter is written in braces; write `{{{name}}}` instead of `{text}`"));
            }
            None if text.contains(['{', '}']) => {
                return Err(format!(
                    "`{text}` is neither a text nor a parameter; give the parameter a segment of its own"
                ));
            }
            None if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)) => {
                return Err(format!(
                    "`{text}` has a character in it that a path cannot have; write letters, digits, `-`, `.`, `_`"
                ));
            }
            None => continue,
        };
        let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
        if !begins || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("`{text}` is no parameter; its name is letters, digits and `_`, as in `{{id}}`"));
        }
        if names.contains(&name) {
            return Err(format!("two parameters are named `{name}`; rename one"));
        }
        if at == 0 {
            return Err(format!(
                "the first part of a path is a text, as the ids of models stand there; write e.g. `\"/things/{text}\"`"
            ));
        }
        names.push(name);
    }
    Ok(())
}

impl Route {
    fn body(&self) -> Option<&Param> {
        self.handler.params.first().filter(|_| self.has_body)
    }

    fn rest(&self) -> &[Param] {
        self.handler.params.get(usize::from(self.has_body)..).unwrap_or_default()
    }
}

fn emit(route: &Route) -> TokenStream {
    let Route { m, handler, method, path, id, transaction, .. } = route;
    let offered = format_ident!("offered");
    let role = if *transaction { format_ident!("RouteArg") } else { format_ident!("LongRouteArg") };
    let offers = route.rest().iter().map(|param| assertion(&offered, param));
    let parts = route.rest().iter().map(|param| {
        let ty = &param.ty;
        quote_spanned!(ty.span()=> #m::Witness::<#ty>::PART)
    });
    let (args, take) = match route.body() {
        Some(param) => {
            let (ty, local) = (&param.ty, &param.local);
            (
                quote!(::core::option::Option::Some(#m::Witness::<#ty>::PAYLOAD)),
                quote!(let #local: #ty = #m::Witness::<#ty>::payload(&mut __call)?;),
            )
        }
        None => (quote!(::core::option::Option::None), TokenStream::new()),
    };
    let extract = route.rest().iter().map(|param| param.extract(m));
    let output = &handler.output;
    let answer = quote_spanned!(output.span()=> <#output as #m::Returned>::Output);
    let (level, description) = (access(m, route.access), summary(&handler.item.attrs));
    let (call, site) = (handler.call(), register::site(m));
    let registration = register::register(m, &quote!(#m::Declaration::Route(&ROUTE)));
    let (binding, cfg) = (handler.binding(), conditions(&handler.item.attrs));
    let schemas = schemas(route, &answer);
    quote! {
        #(#cfg)*
        const _: () = {
            #[allow(unused_imports)]
            use #m::Unfit as _;
            #schemas
            const _: fn() = || {
                #[allow(dead_code)]
                fn offered<A: #m::#role>() {}
                #(#offers)*
            };
            static ROUTE: #m::RouteDeclaration = #m::RouteDeclaration {
                id: #id,
                method: #m::HttpMethod::#method,
                path: #path,
                access: #level,
                description: #description,
                args: #args,
                parts: &[#(#parts),*],
                output: #m::Witness::<#answer>::ROUTE_OUTPUT,
                transaction: #transaction,
                run: |#binding| ::std::boxed::Box::pin(async move {
                    #take
                    #(#extract)*
                    #m::Witness::<#answer>::answer(#call)
                }),
                site: #site,
            };
            #registration
        };
    }
}

/// The assertions that body and answer have a schema.
fn schemas(route: &Route, answer: &TokenStream) -> TokenStream {
    let Route { m, handler, .. } = route;
    let body = route.body().map(|param| {
        let ty = &param.ty;
        let message = format!(
            "`{}` cannot be the body of a route, it has no schema; annotate it with `#[value]` (what a route is given \
             beside its body stands after it)",
            paths::shown(ty),
        );
        quote_spanned!(ty.span()=> const _: () = ::core::assert!(#m::Witness::<#ty>::IS_ARGS, #message);)
    });
    // What they are of is asked for its schema here, as the types themselves are offered whatever it is.
    let parts = route.rest().iter().filter_map(|param| {
        let segment = last_segment(&param.ty)?;
        let (_, place) = PARTS.iter().find(|(name, _)| segment.ident == name)?;
        let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
        let Some(GenericArgument::Type(ty)) = arguments.args.first() else { return None };
        let message = format!(
            "`{}` cannot be read from {place}, it has no schema; annotate it with `#[value]`",
            paths::shown(ty),
        );
        Some(quote_spanned!(ty.span()=> const _: () = ::core::assert!(#m::Witness::<#ty>::IS_ARGS, #message);))
    });
    let message = format!(
        "what `{}` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type, `()`, or a \
         `RouteResponse`",
        handler.name(),
    );
    let span = handler.answer().unwrap_or(&handler.output).span();
    let output =
        quote_spanned!(span=> const _: () = ::core::assert!(#m::Witness::<#answer>::IS_ROUTE_OUTPUT, #message););
    quote!(#body #(#parts)* #output)
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn paths() {
        for right in ["/", "/ping", "/things/{id}", "/a/{b}/c/{d_1}", "/files/{*path}"] {
            assert_eq!(check_path(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "a",
            "/@a",
            "//",
            "/a/",
            "/{id}",
            "/a/:id",
            "/a/{}",
            "/a/{1}",
            "/a/x{id}",
            "/a/{x}/{x}",
            "/a/{*x}/b",
            "/ä",
        ] {
            assert!(check_path(wrong).is_err(), "{wrong}");
        }
    }
}
