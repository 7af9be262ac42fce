//! `#[model]`: a struct as a typed collection. `#[value]` goes through the same stages.
//!
//! [`args`] reads what was written, [`check`] proves it into [`ir`], [`emit`] prints it and decides nothing.

pub(crate) mod args;
pub(crate) mod check;
pub(crate) mod emit;
pub(crate) mod fields;
pub(crate) mod ir;
pub(crate) mod message;
pub(crate) mod schema;

use proc_macro2::TokenStream;
use quote::quote;

use crate::diagnostics::Diagnostics;
use crate::keys::Keys;
use crate::{paths, stub};

/// Expands `#[model(args)] item`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Diagnostics::new();
    let keys = Keys::<args::ModelKey>::parse(args, &errors);
    let m = paths::runtime(keys.path(args::ModelKey::Crate));
    let shape = args::structure("#[model]", &item, &errors);
    let tokens = match shape {
        Some(item) => {
            let written = args::Written::new(item, &errors);
            let record = check::model(m, &keys, written, &errors);
            emit::record(&record, errors.is_clean())
        }
        None => stub::model(&m, item),
    };
    let errors = errors.finish();
    quote!(#errors #tokens)
}
