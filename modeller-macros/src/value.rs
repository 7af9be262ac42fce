//! `#[value]`: a struct or an enum that is not a collection: nested, argument, result, payload.
//!
//! A struct of named fields goes through the stages of `#[model]`; a newtype is read as what it wraps; a unit variant of an
//! enum is a string.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Fields, Item, ItemEnum, ItemStruct, parse_quote};

use crate::diagnostics::Diagnostics;
use crate::keys::Keys;
use crate::model::args::{
    self, FieldKey, SerdeItem, ValueKey, Written, check_generics, refuse_field_keys, take_derives,
};
use crate::model::{check, emit, message, schema};
use crate::rename::RenameRule;
use crate::signature::{conditions, last_segment};
use crate::{paths, stub, variants};

/// Expands `#[value(args)] item`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let keys = Keys::<ValueKey>::parse(args, &errors);
    let m = paths::runtime(keys.path(ValueKey::Crate));
    let tokens = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Enum(parsed)) => {
            refuse_of(&keys, &errors);
            if check_generics("#[value]", &parsed.generics, &errors) {
                enumeration(&m, &keys, parsed, &errors)
            } else {
                stub::value(&m, item)
            }
        }
        Ok(Item::Struct(parsed)) if is_newtype(&parsed.fields) => {
            refuse_of(&keys, &errors);
            if let Some(entry) = keys.get(ValueKey::ErrorMessage) {
                errors
                    .at(&entry.name, "`error_message` of a type around one other is that of its field; write it there");
            }
            if check_generics("#[value]", &parsed.generics, &errors) {
                newtype(&m, parsed, &errors)
            } else {
                stub::value(&m, item)
            }
        }
        _ => match args::structure("#[value]", &item, &errors) {
            Some(parsed) => {
                let written = Written::new(parsed, &errors);
                let record = check::value(m, &keys, written, &errors);
                emit::record(&record, errors.is_clean())
            }
            None => stub::value(&m, item),
        },
    };
    let errors = errors.finish();
    quote!(#errors #tokens)
}

fn refuse_of(keys: &Keys<ValueKey>, errors: &Diagnostics) {
    if let Some(entry) = keys.get(ValueKey::Of) {
        errors.at(
            &entry.name,
            "`of` is for a struct of named fields, each of which is a field of the model; remove `of`",
        );
    }
}

fn is_newtype(fields: &Fields) -> bool {
    matches!(fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1)
}

fn enumeration(m: &TokenStream, keys: &Keys<ValueKey>, mut item: ItemEnum, errors: &Diagnostics) -> TokenStream {
    take_derives("#[value]", &mut item.attrs, errors);
    let serde = SerdeItem::read("#[value]", &mut item.attrs, errors);
    let ours = keys.text(ValueKey::RenameAll);
    let rule = check::rename_rule(ours, serde.rename_all.as_ref(), errors);
    let rename_all = serde.rename_all.is_none().then(|| {
        let rule = ours.filter(|_| rule.is_some()).map_or_else(|| String::from("camelCase"), syn::LitStr::value);
        quote!(#[serde(rename_all = #rule)])
    });
    let rule = rule.unwrap_or(RenameRule::Camel);
    let said = message::of_container(keys, &[], errors).as_ref().map(emit::said);
    for variant in &mut item.variants {
        refuse_field_keys(&mut variant.attrs, errors);
        variant.fields.iter_mut().for_each(|field| refuse_field_keys(&mut field.attrs, errors));
    }
    let structs = item.variants.iter().any(|variant| matches!(variant.fields, Fields::Named(_)));
    let deny = structs.then(|| quote!(#[serde(deny_unknown_fields)]));
    let name = &item.ident;
    let all_units =
        item.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)) && !item.variants.is_empty();
    let (view, impls) = variants::view(m, &item, rule);
    let indexable = (all_units && !serde.tagged).then(|| {
        quote! {
            #[automatically_derived]
            impl #m::keywords::Indexable for #name {}
        }
    });
    let (derives, cfg) = (emit::derives(m), conditions(&item.attrs));
    quote! {
        #derives
        #rename_all
        #deny
        #said
        #item
        #(#cfg)*
        const _: () = {
            #[automatically_derived]
            impl #m::AsValue for #name {
                fn as_value(&self) -> #m::ValueRef<'_> {
                    #view
                }
            }
            #impls
            #indexable
        };
    }
}

/// Which keyword traits a wrapped library type brings, by its name.
const WRAPPED: &[(&str, &[&str])] = &[
    ("String", &["Text", "Indexable"]),
    ("bool", &["Indexable"]),
    ("i8", &["Number", "Indexable"]),
    ("i16", &["Number", "Indexable"]),
    ("i32", &["Number", "Indexable"]),
    ("i64", &["Number", "Indexable"]),
    ("u8", &["Number", "Indexable"]),
    ("u16", &["Number", "Indexable"]),
    ("u32", &["Number", "Indexable"]),
    ("u64", &["Number", "Indexable"]),
    ("f32", &["Number", "Indexable"]),
    ("f64", &["Number", "Indexable"]),
];

fn newtype(m: &TokenStream, mut item: ItemStruct, errors: &Diagnostics) -> TokenStream {
    take_derives("#[value]", &mut item.attrs, errors);
    let _serde = SerdeItem::read("#[value]", &mut item.attrs, errors);
    let written = Written::new(item, errors);
    let Written { mut item, fields } = written;
    let Some(field) = fields.first() else { return TokenStream::new() };
    for key in [
        FieldKey::Unique,
        FieldKey::Index,
        FieldKey::References,
        FieldKey::OnDelete,
        FieldKey::Default,
        FieldKey::Constant,
        FieldKey::Rename,
    ] {
        if let Some(entry) = field.keys.get(key) {
            errors.at(
                &entry.name,
                format!(
                    "`{0}` is for a named field, and this one has no name; write it where the type is used",
                    entry.name
                ),
            );
        }
    }
    let (said, missing) = message::of_field(&field.keys, errors);
    if let Some(text) = missing {
        errors.at(text, "`required` is for a named field; write it where the type is used");
    }
    let keywords = schema::keywords(&field.keys, said, errors);
    if !keywords.is_empty() {
        let rows = keywords.iter().map(|keyword| {
            let (json, value) = (keyword.json, &keyword.value);
            quote!(#json = #value)
        });
        item.attrs.push(parse_quote!(#[schemars(extend(#(#rows),*))]));
    }
    let (name, ty) = (&item.ident, &field.field.ty);
    let brings = last_segment(ty)
        .and_then(|segment| WRAPPED.iter().find(|(known, _)| segment.ident == known && segment.arguments.is_empty()))
        .map_or(&[][..], |(_, traits)| traits)
        .iter()
        .map(|name| format_ident!("{name}"));
    let brings = brings.map(|fits| {
        let refers = (fits == "Indexable").then(|| {
            quote! {
                impl #m::keywords::RefersTo<#name> for #name {}
                impl #m::keywords::RefersTo<::core::option::Option<#name>> for #name {}
            }
        });
        quote!(impl #m::keywords::#fits for #name {} #refers)
    });
    let fits = errors.is_clean().then(|| {
        let checks = keywords.iter().filter_map(|keyword| {
            let fits = format_ident!("{}", keyword.fits?);
            Some(quote_spanned!(keyword.span=> { fn fits<T: #m::keywords::#fits>() {} fits::<#ty>(); }))
        });
        quote!(const _: fn() = || { #(#checks)* };)
    });
    let (derives, cfg) = (emit::derives(m), conditions(&item.attrs));
    quote! {
        #derives
        #item
        #(#cfg)*
        const _: () = {
            #[automatically_derived]
            impl #m::AsValue for #name {
                fn as_value(&self) -> #m::ValueRef<'_> {
                    #[allow(unused_imports)]
                    use #m::{BySerialize as _, ByView as _};
                    (&#m::Probe(&self.0)).view()
                }
            }
            #(#brings)*
            #fits
        };
    }
}
