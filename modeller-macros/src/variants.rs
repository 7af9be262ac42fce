//! How filters read an enum: in place where its variants are texts, objects of what they hold, or what they hold. The others are
//! read through serde, since without copying there is nothing that could stand for their inner part.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Fields, Ident, ItemEnum, Meta, Variant};

use crate::model::args::{name_value, serde_metas, withheld};
use crate::rename::RenameRule;
use crate::signature::{conditions, plain};

/// Which of serde's representations an enum has.
enum Form {
    /// `{"circle": …}`
    External,
    /// `{"type": "circle", …}`
    Internal(String),
    /// `{"type": "circle", "value": …}`
    Adjacent(String, String),
    Untagged,
}

impl Form {
    fn of(attrs: &[Attribute]) -> Self {
        let metas = serde_metas(attrs);
        let text = |name: &str| {
            let meta = metas.iter().find(|meta| meta.path().is_ident(name));
            meta.and_then(name_value).map(|text| text.value())
        };
        match (text("tag"), text("content")) {
            (Some(tag), Some(content)) => Self::Adjacent(tag, content),
            (Some(tag), None) => Self::Internal(tag),
            _ if metas.iter().any(|meta| meta.path().is_ident("untagged")) => Self::Untagged,
            _ => Self::External,
        }
    }
}

/// How one variant is read.
enum Reading {
    /// As what the expression shows.
    As(TokenStream),
    /// As an object, whose members the second tokens hand on.
    Object(TokenStream, TokenStream),
    Serialized,
}

/// The view of an enum, as the body of `as_value`, and the impls that it needs.
pub(crate) fn view(m: &TokenStream, item: &ItemEnum, rule: RenameRule) -> (TokenStream, TokenStream) {
    let name = &item.ident;
    let form = Form::of(&item.attrs);
    let fields = renaming(&serde_metas(&item.attrs), "rename_all_fields");
    let mut arms = Vec::new();
    let mut objects = Vec::new();
    for variant in &item.variants {
        let (own, cfg) = (&variant.ident, conditions(&variant.attrs));
        match read(m, variant, &form, rule, fields) {
            Reading::As(view) => arms.push(quote!(#(#cfg)* Self::#own #view,)),
            Reading::Object(view, members) => {
                arms.push(quote!(#(#cfg)* Self::#own #view,));
                objects.push(quote!(#(#cfg)* Self::#own #members,));
            }
            Reading::Serialized => {}
        }
    }
    let whole = arms.len() < item.variants.len() || item.variants.is_empty();
    let rest = whole.then(|| quote!(_ => #m::ValueRef::Serialized(self),));
    let has_data = item.variants.iter().any(|variant| !matches!(variant.fields, Fields::Unit));
    let uses = has_data.then(|| {
        quote! {
            #[allow(unused_imports)]
            use #m::{BySerialize as _, ByView as _};
        }
    });
    let view = quote!(#uses match self { #(#arms)* #rest });
    if objects.is_empty() {
        return (view, TokenStream::new());
    }
    let rest = (objects.len() < item.variants.len()).then(|| quote!(_ => false,));
    let impls = quote! {
        #[automatically_derived]
        impl #m::Variants for #name {
            fn members<'a>(&'a self, take: &mut #m::Take<'_, 'a>) -> bool {
                #uses
                match self { #(#objects)* #rest }
            }
        }

        #[automatically_derived]
        impl #m::ObjectRef for #name {
            fn get(&self, name: &str) -> ::core::option::Option<#m::ValueRef<'_>> {
                #m::variant_member(self, name)
            }
            fn slots(&self) -> usize {
                #m::variant_slots(self)
            }
            fn entry(&self, slot: usize) -> ::core::option::Option<(&str, #m::ValueRef<'_>)> {
                #m::variant_entry(self, slot)
            }
        }
    };
    (view, impls)
}

/// The rule of a serde key.
fn renaming(metas: &[Meta], key: &str) -> Option<RenameRule> {
    let text = metas.iter().find(|meta| meta.path().is_ident(key)).and_then(name_value)?;
    RenameRule::named(&text.value())
}

/// The new name of a variant or a field.
fn renamed(metas: &[Meta]) -> Option<String> {
    metas.iter().filter(|meta| meta.path().is_ident("rename")).find_map(name_value).map(|text| text.value())
}

/// Whether nothing is said but names, so that it is known what serde writes.
fn is_plain(metas: &[Meta]) -> bool {
    let known = ["rename", "rename_all", "default", "alias"];
    let is_known = |meta: &Meta| known.iter().any(|name| meta.path().is_ident(name));
    metas.iter().all(|meta| is_known(meta) && (name_value(meta).is_some() || meta.path().is_ident("default")))
}

fn read(m: &TokenStream, variant: &Variant, form: &Form, rule: RenameRule, fields: Option<RenameRule>) -> Reading {
    let metas = serde_metas(&variant.attrs);
    if !is_plain(&metas) || variant.fields.iter().any(|field| !is_read(field)) {
        return Reading::Serialized;
    }
    let wire = renamed(&metas).unwrap_or_else(|| rule.variant(&plain(&variant.ident)));
    let text = quote!(#m::ValueRef::Str(#wire));
    let object = quote!(#m::ValueRef::Object(self));
    let inner = quote!((&#m::Probe(inner)).view());
    match (&variant.fields, form) {
        (Fields::Unit, Form::External) => Reading::As(quote!(=> #text)),
        (Fields::Unit, Form::Untagged) => Reading::As(quote!(=> #m::ValueRef::Null)),
        (Fields::Unit, Form::Internal(tag) | Form::Adjacent(tag, _)) => {
            Reading::Object(quote!(=> #object), quote!(=> take(#tag, #text)))
        }
        (Fields::Unnamed(one), _) if one.unnamed.len() == 1 => match form {
            Form::External => Reading::Object(quote!((_) => #object), quote!((inner) => take(#wire, #inner))),
            Form::Untagged => Reading::As(quote!((inner) => #inner)),
            Form::Adjacent(tag, content) => {
                Reading::Object(quote!((_) => #object), quote!((inner) => take(#tag, #text) || take(#content, #inner)))
            }
            // Beside the tag stand the members of what it holds, if they can be seen.
            Form::Internal(tag) => Reading::Object(
                quote! {
                    (inner) => match #inner {
                        #m::ValueRef::Object(_) => #object,
                        _ => #m::ValueRef::Serialized(self),
                    }
                },
                quote!((inner) => take(#tag, #text) || #m::inner_members(#inner, take)),
            ),
        },
        (Fields::Named(named), Form::Internal(_) | Form::Untagged) => {
            let rule = renaming(&metas, "rename_all").or(fields);
            let names: Vec<&Ident> = named.named.iter().filter_map(|field| field.ident.as_ref()).collect();
            let bound: Vec<Ident> = (0..names.len()).map(|at| format_ident!("member{at}")).collect();
            let members = named.named.iter().zip(&names).zip(&bound).map(|((field, name), bound)| {
                let own = plain(name);
                let wire = renamed(&serde_metas(&field.attrs))
                    .unwrap_or_else(|| rule.map_or(own.clone(), |rule| rule.field(&own)));
                quote!(take(#wire, (&#m::Probe(#bound)).view()))
            });
            let tag = match form {
                Form::Internal(tag) => Some(quote!(take(#tag, #text))),
                _ => None,
            };
            let all: Vec<TokenStream> = tag.into_iter().chain(members).collect();
            let all = if all.is_empty() { quote!(false) } else { quote!(#(#all)||*) };
            Reading::Object(quote!({ .. } => #object), quote!({ #(#names: #bound),* } => #all))
        }
        _ => Reading::Serialized,
    }
}

/// Whether a field of a variant is written, always, and as it is.
fn is_read(field: &syn::Field) -> bool {
    let is_withheld = matches!(&field.ty, syn::Type::Path(path) if withheld(&path.path).is_some());
    !is_withheld && conditions(&field.attrs).is_empty() && is_plain(&serde_metas(&field.attrs))
}
