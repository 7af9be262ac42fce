//! `error_message`: the sentences of a field, a model or a value in place of what its schema would report.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Token};

use super::args::{FieldKey, ModelKey, ValueKey};
use super::schema::reports;
use crate::diagnostics::Diagnostics;
use crate::keys::{Entry, Given, Key, Keys, nearest};

/// The key among those of an attribute.
pub(crate) trait Messages: Key {
    const ERROR_MESSAGE: Self;
}

impl Messages for ModelKey {
    const ERROR_MESSAGE: Self = Self::ErrorMessage;
}

impl Messages for ValueKey {
    const ERROR_MESSAGE: Self = Self::ErrorMessage;
}

impl Messages for FieldKey {
    const ERROR_MESSAGE: Self = Self::ErrorMessage;
}

/// A sentence for a keyword.
pub(crate) struct Message {
    /// The keyword, by its JSON name.
    keyword: &'static str,
    text: LitStr,
}

/// The sentences of a field, and the one for when it is missing, which its container reports.
pub(crate) fn of_field(keys: &Keys<FieldKey>, errors: &Diagnostics) -> (Option<TokenStream>, Option<LitStr>) {
    // What is defaulted is never missing.
    let required = (!keys.has(FieldKey::Default)).then_some(("required", "required"));
    let known: Vec<_> = [("type", "type")].into_iter().chain(required).chain(reports(keys)).collect();
    let missing = "a keyword of this field";
    let (whole, mut messages) = read(keys, &known, missing, errors);
    let at = messages.iter().position(|message| message.keyword == "required");
    let required = at.map(|at| messages.remove(at).text);
    (printed(whole.as_ref(), &messages, &[]), required)
}

/// The sentences of a container, those of its fields for when they are missing among them.
pub(crate) fn of_container<K: Messages>(
    keys: &Keys<K>,
    missing: &[(String, LitStr)],
    errors: &Diagnostics,
) -> Option<TokenStream> {
    const KNOWN: &[(&str, &str)] =
        &[("type", "type"), ("required", "required"), ("additional_properties", "additionalProperties"), ("rest", "_")];
    let (whole, messages) = read(keys, KNOWN, "one of `type`, `required`, `additional_properties` and `rest`", errors);
    let own = messages.iter().find(|message| message.keyword == "required");
    if let (Some(own), Some((name, _))) = (own, missing.first()) {
        errors.at(
            &own.text,
            format!(
                "the field `{name}` has a message of its own for `required`; give all fields one, or remove theirs"
            ),
        );
        return None;
    }
    printed(whole.as_ref(), &messages, missing)
}

/// One sentence for everything, or one for each keyword.
fn read<K: Messages>(
    keys: &Keys<K>,
    known: &[(&'static str, &'static str)],
    missing: &str,
    errors: &Diagnostics,
) -> (Option<LitStr>, Vec<Message>) {
    let Some(Entry { name, given, .. }) = keys.get(K::ERROR_MESSAGE) else { return (None, Vec::new()) };
    let tokens = match given {
        Given::Text(text) => return (Some(text.clone()), Vec::new()),
        Given::List(tokens) if !tokens.is_empty() => tokens,
        _ => {
            errors.at(name, "`error_message` needs sentences; write `error_message(type = \"…\")`");
            return (None, Vec::new());
        }
    };
    let pair = |input: ParseStream<'_>| {
        let key = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Ok((key, input.parse::<LitStr>()?))
    };
    let all = |input: ParseStream<'_>| Punctuated::<_, Token![,]>::parse_terminated_with(input, pair);
    let pairs = match all.parse2(tokens.clone()) {
        Ok(pairs) => pairs,
        Err(error) => {
            errors.push(syn::Error::new(error.span(), format!("{error}; write `error_message(type = \"…\")`")));
            return (None, Vec::new());
        }
    };
    let mut messages: Vec<Message> = Vec::new();
    for (key, text) in pairs {
        let written = key.to_string();
        match known.iter().find(|(name, _)| *name == written) {
            Some((_, keyword)) if messages.iter().any(|message| message.keyword == *keyword) => {
                errors.at(&key, format!("`{written}` is given twice; remove one"));
            }
            Some((_, keyword)) => messages.push(Message { keyword, text }),
            None => {
                let hint = nearest(&written, known.iter().map(|(name, _)| *name))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                errors.at(&key, format!("`{written}` is never reported here: it is not {missing}{hint}"));
            }
        }
    }
    (None, messages)
}

fn printed(whole: Option<&LitStr>, messages: &[Message], missing: &[(String, LitStr)]) -> Option<TokenStream> {
    let missing = (!missing.is_empty()).then(|| {
        let rows = missing.iter().map(|(name, text)| quote!(#name: #text));
        quote!("required": { #(#rows),* })
    });
    let rest = whole.map(|text| quote!("_": #text));
    match (whole, &missing, messages) {
        (Some(text), None, []) => Some(text.to_token_stream()),
        (None, None, []) => None,
        _ => {
            let rows = messages.iter().map(|Message { keyword, text }| quote!(#keyword: #text));
            let rows = rows.chain(missing).chain(rest);
            Some(quote!({ #(#rows),* }))
        }
    }
}
