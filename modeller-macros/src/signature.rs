//! The signature of a handler: what a function has to look like, and how its parameters are passed.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Expr, FnArg, GenericArgument, Ident, ItemFn, Lit, Meta, PathArguments, ReturnType, Safety, Type};

use crate::diagnostics::Diagnostics;
use crate::paths;

/// A function that was proved to be a handler. After a mistake, as much of it as can be read.
pub(crate) struct Handler {
    pub(crate) item: ItemFn,
    pub(crate) params: Vec<Param>,
    /// `()` where none is written.
    pub(crate) output: Type,
}

/// A parameter.
pub(crate) struct Param {
    /// Without a shared reference.
    pub(crate) ty: Type,
    /// Whether the handler takes it by a shared reference.
    pub(crate) shared: bool,
    /// Whether it is a mutable reference.
    pub(crate) mutable: bool,
    /// What extraction calls it.
    pub(crate) local: Ident,
}

impl Param {
    /// The name of its type, without path and arguments.
    pub(crate) fn type_name(&self) -> Option<String> {
        last_segment(&self.ty).map(|segment| segment.ident.to_string())
    }

    /// What is passed to the handler.
    pub(crate) fn pass(&self) -> TokenStream {
        let local = &self.local;
        if self.shared { quote!(&#local) } else { quote!(#local) }
    }

    /// Takes it out of the invocation.
    pub(crate) fn extract(&self, m: &TokenStream) -> TokenStream {
        let (local, ty) = (&self.local, &self.ty);
        let span = ty.span();
        quote_spanned!(span=> let #local: #ty = #m::Taking::<#ty>::take(&mut __call)?;)
    }
}

/// Reads the function below an attribute.
pub(crate) fn parse(attribute: &str, item: &TokenStream, errors: &Diagnostics) -> Option<Handler> {
    let item: ItemFn = match syn::parse2(item.clone()) {
        Ok(item) => item,
        Err(error) => {
            if syn::parse2::<syn::Item>(item.clone()).is_ok() {
                errors.at(
                    item.clone().into_iter().next(),
                    format!("`{attribute}` is for functions; put it above an `async fn`"),
                );
            } else {
                errors.push(error);
            }
            return None;
        }
    };
    let sig = &item.sig;
    let name = &sig.ident;
    if sig.asyncness.is_none() {
        errors.at(sig.fn_token, format!("`{name}` must be async; write `async fn {name}`"));
    }
    if let Some(constness) = &sig.constness {
        errors.at(constness, format!("`{name}` cannot be `const`; remove it"));
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.at(token, format!("`{name}` cannot be `unsafe`; the framework calls it"));
    }
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics, format!("`{name}` cannot be generic; write the types it is for"));
    }
    if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, format!("`{name}` cannot have bounds; write the types it is for"));
    }
    let mut params = Vec::new();
    for (at, input) in sig.inputs.iter().enumerate() {
        match input {
            FnArg::Receiver(receiver) => errors
                .at(receiver, format!("`{name}` cannot take `self`; make it a free function and ask for `Model<…>`")),
            FnArg::Typed(typed) => {
                if let Some(token) = impl_trait(&typed.ty) {
                    errors.at_span(token, "`impl …` is no type that can be extracted; write the type");
                    continue;
                }
                let (ty, shared, mutable) = match &*typed.ty {
                    Type::Reference(reference) if reference.mutability.is_none() => {
                        ((*reference.elem).clone(), true, false)
                    }
                    Type::Reference(_) => ((*typed.ty).clone(), false, true),
                    ty => (ty.clone(), false, false),
                };
                params.push(Param { ty, shared, mutable, local: format_ident!("__a{at}") });
            }
        }
    }
    let output = match &sig.output {
        ReturnType::Default => {
            errors.at(name, format!("`{name}` must answer a `Result`; write `-> Result<()>` and end with `Ok(())`"));
            Type::Verbatim(quote!(()))
        }
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    Some(Handler { item, params, output })
}

impl Handler {
    pub(crate) fn name(&self) -> &Ident {
        &self.item.sig.ident
    }

    /// The `T` of an answer that is written `Result<T>`.
    pub(crate) fn answer(&self) -> Option<&Type> {
        let segment = last_segment(&self.output).filter(|segment| segment.ident == "Result")?;
        let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
        match arguments.args.first() {
            Some(GenericArgument::Type(answer)) => Some(answer),
            _ => None,
        }
    }

    /// What a hook or a worker answers is dropped, so there must be nothing in it.
    pub(crate) fn answers_nothing(&self, what: &str, errors: &Diagnostics) {
        let Some(answer) = self.answer() else { return };
        if !matches!(answer, Type::Tuple(tuple) if tuple.elems.is_empty()) {
            let shown = paths::shown(answer);
            errors.at(answer, format!("a {what} answers nothing, not `{shown}`; write `-> Result<()>`"));
        }
    }

    /// What the invocation is bound to in the function that runs the handler.
    pub(crate) fn binding(&self) -> TokenStream {
        if self.params.is_empty() { quote!(_) } else { quote!(mut __call) }
    }

    /// The call of the handler with all that was extracted.
    pub(crate) fn call(&self) -> TokenStream {
        let name = self.name();
        let args = self.params.iter().map(Param::pass);
        quote!(#name(#(#args),*).await)
    }
}

/// The last segment of a path type.
pub(crate) fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

fn impl_trait(ty: &Type) -> Option<Span> {
    match ty {
        Type::ImplTrait(found) => Some(found.impl_token.span()),
        Type::Reference(reference) => impl_trait(&reference.elem),
        _ => None,
    }
}

/// The first line of a doc comment.
pub(crate) fn summary(attrs: &[Attribute]) -> String {
    for attr in attrs {
        if let Meta::NameValue(pair) = &attr.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(lit) = &pair.value
            && let Lit::Str(text) = &lit.lit
            && let Some(line) = text.value().lines().map(str::trim).find(|line| !line.is_empty())
        {
            return line.to_owned();
        }
    }
    String::new()
}

/// The doc comment.
pub(crate) fn docs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("doc"))
}

/// The conditions under which an item is compiled. What is generated beside it has the same ones.
pub(crate) fn conditions(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect()
}

/// The name without `r#`.
pub(crate) fn plain(name: &Ident) -> String {
    use syn::ext::IdentExt as _;
    name.unraw().to_string()
}
