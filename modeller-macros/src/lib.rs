//! The attributes of [modeller](https://docs.rs/modeller). They are documented there, at their re-exports.
//!
//! Each attribute has one file with `expand(args, item)`, which knows nothing of the compiler and is tested as a function.
//! All go the same way: what was written → what was proved → tokens. Mistakes are collected in
//! `diagnostics::Diagnostics`, so that all of one item are told at once; after a mistake the item and stand-ins
//! for what is generated are still emitted, so that one mistake makes one message.

#![allow(missing_docs, reason = "what stands here would be repeated below the documentation of the re-export")]

use proc_macro::TokenStream;

mod access;
mod authenticate;
mod diagnostics;
mod entry;
mod event;
mod hook;
mod keys;
mod method;
mod migrate;
mod model;
mod paths;
mod register;
mod rename;
mod route;
mod signature;
mod stream;
mod stub;
mod upload;
mod value;
mod variants;
mod worker;

#[cfg(test)]
mod golden;

#[proc_macro_attribute]
pub fn model(args: TokenStream, item: TokenStream) -> TokenStream {
    model::expand(args.into(), item.into()).into()
}

#[proc_macro_attribute]
pub fn value(args: TokenStream, item: TokenStream) -> TokenStream {
    value::expand(args.into(), item.into()).into()
}

#[proc_macro_attribute]
pub fn hook(args: TokenStream, item: TokenStream) -> TokenStream {
    hook::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn method(args: TokenStream, item: TokenStream) -> TokenStream {
    method::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn event(args: TokenStream, item: TokenStream) -> TokenStream {
    event::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn upload(args: TokenStream, item: TokenStream) -> TokenStream {
    upload::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn stream(args: TokenStream, item: TokenStream) -> TokenStream {
    stream::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn access(args: TokenStream, item: TokenStream) -> TokenStream {
    access::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn authenticate(args: TokenStream, item: TokenStream) -> TokenStream {
    authenticate::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn migrate(args: TokenStream, item: TokenStream) -> TokenStream {
    migrate::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn worker(args: TokenStream, item: TokenStream) -> TokenStream {
    worker::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn route(args: TokenStream, item: TokenStream) -> TokenStream {
    route::expand(args.into(), &item.into()).into()
}

#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(args.into(), &item.into()).into()
}
