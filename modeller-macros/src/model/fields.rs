//! The field constants: `User::EMAIL`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::ir::{Default, Field, Record};
use crate::signature::plain;

/// The inherent impl with the constants, and with the functions that make defaults.
pub(crate) fn constants(record: &Record) -> TokenStream {
    let Record { m, item, model, fields, .. } = record;
    let (name, vis) = (&item.ident, &item.vis);
    let id = model.as_ref().map(|_| {
        quote! {
            /// The id of a document.
            #vis const _ID: #m::Field<#name, #m::Id<#name>, #m::Unique> = #m::Field::new("_id");
        }
    });
    let constants = fields.iter().filter_map(|field| {
        let Field { vis, ty, wire, docs, .. } = field;
        let constant = field.constant.as_ref()?;
        let doc = docs.is_empty().then(|| {
            let text = format!(" The field `{}` of [`{}`].", plain(&field.name), plain(name));
            quote!(#[doc = #text])
        });
        if field.flatten {
            return Some(quote! {
                #doc
                #(#docs)*
                #vis const #constant: #m::Flattened<#name, #ty> = #m::Flattened::new();
            });
        }
        let kind = if field.unique { quote!(Unique) } else { quote!(Plain) };
        Some(quote! {
            #doc
            #(#docs)*
            #vis const #constant: #m::Field<#name, #ty, #m::#kind> = #m::Field::new(#wire);
        })
    });
    let defaults = fields.iter().filter_map(|field| {
        let Default::Value(value) = &field.default else { return None };
        let (function, ty) = (default_name(field), &field.ty);
        // What a server has left out of an answer has no value, not this one.
        let value = if field.private || field.protected { quote!(#m::defaulted(|| #value)) } else { quote!(#value) };
        Some(quote! {
            #[doc(hidden)]
            fn #function() -> #ty { #value }
        })
    });
    let references = fields.iter().filter_map(|field| {
        let (path, ty) = (field.references.as_ref()?, &field.ty);
        let function = reference_name(&field.name);
        let text = quote_spanned!(path.span()=> #m::reference::<#ty, _, _, _>(#path));
        Some(quote! {
            #[doc(hidden)]
            fn #function() -> ::std::string::String { #text }
        })
    });
    quote! {
        #[allow(dead_code, non_upper_case_globals, private_interfaces)]
        impl #name {
            #id
            #(#constants)*
            #(#defaults)*
            #(#references)*
        }
    }
}

/// The function that says what a field refers to.
pub(crate) fn reference_name(field: &syn::Ident) -> syn::Ident {
    format_ident!("__reference_{}", plain(field))
}

/// The function that makes the default of a field.
pub(crate) fn default_name(field: &Field) -> syn::Ident {
    format_ident!("__default_{}", plain(&field.name))
}
