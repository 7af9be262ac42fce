//! Prints what was proved. Generic work lives in the runtime: users pay for expansions in compile time.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, LitStr, parse_quote};

use super::args::without_wrapper;
use super::fields;
use super::ir::{Access, Default, Field, Index, Record, Trash};
use crate::signature::conditions;
use crate::{paths, register};

/// The struct and everything about it. After a mistake without registration and assertions, which would only repeat it.
pub(crate) fn record(record: &Record, clean: bool) -> TokenStream {
    let item = structure(record);
    let constants = fields::constants(record);
    let view = view(record);
    let model = record.model.is_some().then(|| model(record, clean));
    let part = clean.then(|| part(record));
    let fits = clean.then(|| fits(&record.m, &record.fields));
    let distinct = (clean && record.fields.iter().any(|field| field.flatten)).then(|| distinct(record));
    let indexable = clean.then(|| indexable(record));
    let cfg = conditions(&record.item.attrs);
    quote! {
        #item
        #(#cfg)*
        #constants
        #(#cfg)*
        const _: () = {
            #view
            #model
            #part
            #fits
            #distinct
            #indexable
        };
    }
}

/// The assertions that the fields of indexes over several can be in one. A private field can: it is asked for in process alone.
fn indexable(record: &Record) -> TokenStream {
    let Record { m, model, fields, .. } = record;
    let members = model.iter().flat_map(|model| &model.indexes).flat_map(|index| &index.fields);
    let calls: Vec<TokenStream> = members
        .filter_map(|(at, span)| {
            let ty = without_wrapper(&fields.get(*at)?.ty);
            Some(quote_spanned!(*span=> indexable::<#ty>();))
        })
        .collect();
    if calls.is_empty() {
        return TokenStream::new();
    }
    quote! {
        const _: fn() = || {
            fn indexable<T: ?::core::marker::Sized + #m::keywords::Indexable>() {}
            #(#calls)*
        };
    }
}

/// The assertions that what is flattened has no name twice, and flattens nothing itself.
fn distinct(record: &Record) -> TokenStream {
    let (m, name) = (&record.m, &record.item.ident);
    let twice =
        format!("two members of `{name}` have one name on the wire; rename one with `#[field(rename = \"…\")]`");
    let nested = format!("a flattened type of `{name}` flattens another one; flatten both in `{name}`");
    quote_spanned! {name.span()=>
        const _: () = {
            ::core::assert!(<#name as #m::Record>::NAMES.are_level(), #nested);
            ::core::assert!(<#name as #m::Record>::NAMES.are_distinct(), #twice);
        };
    }
}

/// How it is made as a part of another struct. That there is a field of the name, and of the type, is told at the field.
fn part(record: &Record) -> TokenStream {
    let Record { m, item, of: Some(of), fields, .. } = record else { return TokenStream::new() };
    let name = &item.ident;
    let taken = fields.iter().map(|field| {
        let name = &field.name;
        quote_spanned!(name.span()=> #name: ::core::clone::Clone::clone(&value.#name),)
    });
    quote! {
        #[automatically_derived]
        impl #m::PartOf<#of> for #name {
            fn part_of(value: &#of) -> Self {
                Self { #(#taken)* }
            }
        }
    }
}

/// The derives, written out so that users need no crate but `modeller`.
pub(crate) fn derives(m: &TokenStream) -> TokenStream {
    let serde = LitStr::new(&paths::text(&quote!(#m::serde)), Span::call_site());
    let schemars = LitStr::new(&paths::text(&quote!(#m::schemars)), Span::call_site());
    quote! {
        #[derive(
            ::core::clone::Clone,
            ::core::fmt::Debug,
            #m::serde::Serialize,
            #m::serde::Deserialize,
            #m::schemars::JsonSchema,
        )]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
    }
}

fn structure(record: &Record) -> TokenStream {
    let Record { m, item, rename_all, message, fields, .. } = record;
    let mut item = item.clone();
    item.attrs.extend(message.as_ref().map(said));
    for (target, field) in item.fields.iter_mut().zip(fields) {
        let name = &record.item.ident;
        if let Some(rename) = &field.rename {
            target.attrs.push(parse_quote!(#[serde(rename = #rename)]));
        }
        match &field.default {
            Default::None => {}
            Default::OfType => target.attrs.push(parse_quote!(#[serde(default)])),
            Default::Value(_) => {
                let path = format!("{name}::{}", fields::default_name(field));
                target.attrs.push(parse_quote!(#[serde(default = #path)]));
            }
        }
        if field.private || field.protected {
            let path = paths::text(&quote!(#m::withholds));
            target.attrs.push(parse_quote!(#[serde(skip_serializing_if = #path)]));
        }
        target.attrs.extend(keywords(field));
    }
    let derives = derives(m);
    let indexes = schema_indexes(record);
    let rename_all = rename_all.as_ref().map(|rule| quote!(, rename_all = #rule));
    quote! {
        #derives
        #[serde(deny_unknown_fields #rename_all)]
        #indexes
        #item
    }
}

/// The names on the wire of the fields of an index.
fn names<'a>(record: &'a Record, index: &'a Index) -> impl Iterator<Item = &'a str> {
    index.fields.iter().filter_map(|(at, _)| record.fields.get(*at)).map(|field| field.wire.as_str())
}

/// The indexes over several fields, for the schema.
fn schema_indexes(record: &Record) -> Option<TokenStream> {
    let indexes = &record.model.as_ref()?.indexes;
    let keywords: Vec<TokenStream> = [("unique", true), ("index", false)]
        .into_iter()
        .filter_map(|(keyword, unique)| {
            let lists: Vec<TokenStream> = indexes
                .iter()
                .filter(|index| index.unique == unique)
                .map(|index| {
                    let names = names(record, index);
                    quote!([#(#names),*])
                })
                .collect();
            (!lists.is_empty()).then(|| quote!(#keyword = [#(#lists),*]))
        })
        .collect();
    (!keywords.is_empty()).then(|| quote!(#[schemars(extend(#(#keywords),*))]))
}

/// The keywords of a field, for its schema.
pub(crate) fn keywords(field: &Field) -> Option<syn::Attribute> {
    if field.keywords.is_empty() {
        return None;
    }
    let rows = field.keywords.iter().map(|keyword| {
        let (json, value) = (keyword.json, &keyword.value);
        quote!(#json = #value)
    });
    Some(parse_quote!(#[schemars(extend(#(#rows),*))]))
}

/// What is said in place of what the schema of a type reports.
pub(crate) fn said(message: &TokenStream) -> syn::Attribute {
    parse_quote!(#[schemars(extend("errorMessage" = #message))])
}

/// How filters and indexes read it.
fn view(record: &Record) -> TokenStream {
    let Record { m, item, fields, .. } = record;
    let name = &item.ident;
    let viewed: Vec<&Field> = fields.iter().filter(|field| field.viewed && !field.flatten).collect();
    let flattened: Vec<&Ident> =
        fields.iter().filter(|field| field.viewed && field.flatten).map(|field| &field.name).collect();
    let view = |field: &Field| {
        let name = &field.name;
        quote!((&#m::Probe(&self.#name)).view())
    };
    let by_name = viewed.iter().map(|field| {
        let (wire, view) = (&field.wire, view(field));
        quote!(#wire => ::core::option::Option::Some(#view),)
    });
    let by_slot = viewed.iter().enumerate().map(|(slot, field)| {
        let (wire, view) = (&field.wire, view(field));
        quote!(#slot => ::core::option::Option::Some((#wire, #view)),)
    });
    let slots = viewed.len();
    let wires = viewed.iter().map(|field| &field.wire);
    let types = fields.iter().filter(|field| field.viewed && field.flatten).map(|field| &field.ty);
    // The last arm of `entry`, where there is something to look into.
    let rest = (!flattened.is_empty()).then(|| {
        quote! {
            _ => {
                let mut slot = slot - #slots;
                #(
                    if slot < #m::ObjectRef::slots(&self.#flattened) {
                        return #m::ObjectRef::entry(&self.#flattened, slot);
                    }
                    slot -= #m::ObjectRef::slots(&self.#flattened);
                )*
                let _ = slot;
                ::core::option::Option::None
            }
        }
    });
    let rest = rest.unwrap_or_else(|| quote!(_ => ::core::option::Option::None,));
    quote! {
        #[allow(unused_imports)]
        use #m::{BySerialize as _, ByView as _};

        #[automatically_derived]
        impl #m::ObjectRef for #name {
            fn get(&self, name: &str) -> ::core::option::Option<#m::ValueRef<'_>> {
                match name {
                    #(#by_name)*
                    _ => ::core::option::Option::None #(.or_else(|| #m::ObjectRef::get(&self.#flattened, name)))*,
                }
            }
            fn slots(&self) -> usize {
                #slots #(+ #m::ObjectRef::slots(&self.#flattened))*
            }
            fn entry(&self, slot: usize) -> ::core::option::Option<(&str, #m::ValueRef<'_>)> {
                match slot {
                    #(#by_slot)*
                    #rest
                }
            }
        }

        #[automatically_derived]
        impl #m::AsValue for #name {
            fn as_value(&self) -> #m::ValueRef<'_> {
                #m::ValueRef::Object(self)
            }
        }

        #[automatically_derived]
        impl #m::Holds<#name> for #name {
            type Kind<K: #m::FieldKind> = K::Nested;
        }

        #[automatically_derived]
        impl #m::Record for #name {
            const NAMES: &'static #m::Names = &#m::Names {
                own: &[#(#wires),*],
                flattened: &[#(<#types as #m::Record>::NAMES),*],
            };
        }
    }
}

fn model(record: &Record, clean: bool) -> TokenStream {
    let Record { m, item, model, fields, .. } = record;
    let Some(model) = model else { return TokenStream::new() };
    let (name, own) = (&item.ident, &model.id);
    let parent = model.parent.as_ref();
    let id = parent.map_or_else(|| quote!(#own), |parent| extended(m, parent, own));
    let extends = parent.filter(|_| clean).map(|parent| {
        quote! {
            #[automatically_derived]
            impl #m::Extends<#parent> for #name {}
        }
    });
    let (access, trash) = (access(m, model.access), trash(m, model.trash));
    let (caller, client_ids) = (model.caller, model.client_ids);
    let declared = fields.iter().filter(|field| field.viewed && !field.flatten).map(|field| {
        let Field { wire, unique, index, private, protected, .. } = field;
        quote! {
            #m::FieldDeclaration {
                name: #wire,
                unique: #unique,
                index: #index,
                private: #private,
                protected: #protected,
            },
        }
    });
    let indexes = model.indexes.iter().map(|index| {
        let (unique, names) = (index.unique, names(record, index));
        quote!(#m::IndexDeclaration { fields: &[#(#names),*], unique: #unique },)
    });
    let site = register::site(m);
    let registration =
        clean.then(|| register::register(m, &quote!(#m::Declaration::Model(<#name as #m::ModelType>::DECLARATION))));
    quote! {
        #[automatically_derived]
        impl #m::ModelType for #name {
            const DECLARATION: &'static #m::ModelDeclaration = &#m::ModelDeclaration {
                id: #id,
                access: #access,
                caller: #caller,
                client_ids: #client_ids,
                trash: #trash,
                fields: &[#(#declared)*],
                indexes: &[#(#indexes)*],
                kind: #m::Kind::of::<#name>(),
                site: #site,
            };
        }
        #extends
        #registration
    }
}

/// The id of an extension: that of its parent in front of its own. Only the compiler knows the former.
fn extended(m: &TokenStream, parent: &syn::Path, own: &str) -> TokenStream {
    quote_spanned! {syn::spanned::Spanned::span(parent)=>
        {
            const PARENT: &str = <#parent as #m::ModelType>::DECLARATION.id;
            const JOINED: [u8; #m::joined_length(PARENT, #own)] = #m::joined(PARENT, #own);
            #m::joined_text(&JOINED)
        }
    }
}

/// How long deleted documents are kept, as the runtime's value.
fn trash(m: &TokenStream, trash: Trash) -> TokenStream {
    match trash {
        Trash::Usual => quote!(::core::option::Option::Some(#m::RETENTION)),
        Trash::Kept(kept) => {
            let (seconds, nanos) = (kept.as_secs(), kept.subsec_nanos());
            quote!(::core::option::Option::Some(::core::time::Duration::new(#seconds, #nanos)))
        }
        Trash::None => quote!(::core::option::Option::None),
    }
}

/// An access level as the runtime's value.
pub(crate) fn access(m: &TokenStream, access: Access) -> TokenStream {
    match access {
        Access::Internal => quote!(#m::Visibility::Internal),
        Access::Protected => quote!(#m::Visibility::Protected),
        Access::Public => quote!(#m::Visibility::Public),
    }
}

/// The assertions that each keyword fits the type of its field, also behind an alias.
pub(crate) fn fits(m: &TokenStream, fields: &[Field]) -> TokenStream {
    let mut asserted: Vec<&str> = Vec::new();
    let mut calls = Vec::new();
    for field in fields {
        // One assertion for each field and trait: two keywords on a wrong type are one mistake.
        let mut told: Vec<&str> = Vec::new();
        for keyword in &field.keywords {
            let Some(fits) = keyword.fits else { continue };
            if told.contains(&fits) {
                continue;
            }
            told.push(fits);
            if !asserted.contains(&fits) {
                asserted.push(fits);
            }
            let (check, ty) = (check_name(fits), &field.ty);
            calls.push(quote_spanned!(keyword.span=> #check::<#ty>();));
        }
    }
    for field in fields.iter().filter(|field| field.flatten) {
        let ty = &field.ty;
        calls.push(quote_spanned!(syn::spanned::Spanned::span(ty)=> #m::flatten::<#ty>();));
    }
    if calls.is_empty() {
        return TokenStream::new();
    }
    let checks = asserted.iter().map(|fits| {
        let (check, fits) = (check_name(fits), format_ident!("{fits}"));
        quote!(fn #check<T: ?::core::marker::Sized + #m::keywords::#fits>() {})
    });
    quote! {
        const _: fn() = || {
            #(#checks)*
            #(#calls)*
        };
    }
}

fn check_name(fits: &str) -> Ident {
    format_ident!("{}", fits.to_lowercase())
}
