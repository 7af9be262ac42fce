//! Stand-ins after a mistake: the item stays, and what its uses need is there, so that they do not fail too.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Item};

use crate::diagnostics::Diagnostics;
use crate::model::args::take_derives;
use crate::model::emit::derives;

/// An item that cannot be a model, looking like one to the rest of the program.
pub(crate) fn model(m: &TokenStream, item: TokenStream) -> TokenStream {
    record(m, item, true)
}

/// An item that cannot be a value, looking like one to the rest of the program.
pub(crate) fn value(m: &TokenStream, item: TokenStream) -> TokenStream {
    record(m, item, false)
}

fn record(m: &TokenStream, item: TokenStream, is_model: bool) -> TokenStream {
    let Ok(mut parsed) = syn::parse2::<Item>(item.clone()) else { return item };
    let (name, generic) = match &mut parsed {
        Item::Struct(item) => {
            clean(&mut item.attrs);
            item.fields.iter_mut().for_each(|field| strip(&mut field.attrs));
            (item.ident.clone(), !item.generics.params.is_empty() || item.generics.where_clause.is_some())
        }
        Item::Enum(item) => {
            clean(&mut item.attrs);
            for variant in &mut item.variants {
                variant.fields.iter_mut().for_each(|field| strip(&mut field.attrs));
            }
            (item.ident.clone(), !item.generics.params.is_empty() || item.generics.where_clause.is_some())
        }
        Item::Union(item) => {
            item.fields.named.iter_mut().for_each(|field| strip(&mut field.attrs));
            return quote!(#item);
        }
        _ => return item,
    };
    if generic {
        return quote!(#parsed);
    }
    let derives = derives(m);
    let model = is_model.then(|| {
        quote! {
            impl #name {
                #[allow(dead_code, missing_docs)]
                pub const _ID: #m::Field<#name, #m::Id<#name>, #m::Unique> = #m::Field::new("_id");
            }
            impl #m::ModelType for #name {
                const DECLARATION: &'static #m::ModelDeclaration = &#m::ModelDeclaration {
                    id: "stub",
                    access: #m::Visibility::Internal,
                    caller: false,
                    client_ids: false,
                    trash: ::core::option::Option::None,
                    fields: &[],
                    indexes: &[],
                    kind: #m::Kind::of::<#name>(),
                    site: #m::Site { module: "", file: "", line: 0 },
                };
            }
        }
    });
    quote! {
        #derives
        #parsed
        const _: () = {
            impl #m::ObjectRef for #name {
                fn get(&self, _: &str) -> ::core::option::Option<#m::ValueRef<'_>> { ::core::option::Option::None }
                fn slots(&self) -> usize { 0 }
                fn entry(&self, _: usize) -> ::core::option::Option<(&str, #m::ValueRef<'_>)> {
                    ::core::option::Option::None
                }
            }
            impl #m::AsValue for #name {
                fn as_value(&self) -> #m::ValueRef<'_> { #m::ValueRef::Object(self) }
            }
            #model
        };
    }
}

/// Without what the stand-in derives, and without saying so: the mistake that matters was told.
fn clean(attrs: &mut [Attribute]) {
    let unread = Diagnostics::new();
    take_derives("", attrs, &unread);
    let _unread = unread.finish();
}

fn strip(attrs: &mut Vec<Attribute>) {
    attrs.retain(|attr| !attr.path().is_ident("field"));
}
