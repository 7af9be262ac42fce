//! The JSON keywords that `#[field]` writes, and what can be wrong with them without knowing the type.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, quote};
use syn::Expr;
use syn::spanned::Spanned as _;

use super::args::FieldKey;
use super::fields;
use super::ir::Keyword;
use crate::diagnostics::Diagnostics;
use crate::keys::{Given, Key as _, Keys, Number, nearest, number, text};

/// A row: the key, its JSON name, and the trait that the type must have.
type Row = (FieldKey, &'static str, Option<&'static str>);

/// Whether a value keeps to a bound.
type Keeps = fn(&Number, &Number) -> bool;

/// The table of keywords. A new one is a row here and a key in `args`.
const KEYWORDS: &[Row] = &[
    (FieldKey::Unique, "unique", Some("Indexable")),
    (FieldKey::Index, "index", Some("Indexable")),
    (FieldKey::MinLength, "minLength", Some("Text")),
    (FieldKey::MaxLength, "maxLength", Some("Text")),
    (FieldKey::Pattern, "pattern", Some("Text")),
    (FieldKey::Format, "format", Some("Text")),
    (FieldKey::Minimum, "minimum", Some("Number")),
    (FieldKey::Maximum, "maximum", Some("Number")),
    (FieldKey::ExclusiveMinimum, "exclusiveMinimum", Some("Number")),
    (FieldKey::ExclusiveMaximum, "exclusiveMaximum", Some("Number")),
    (FieldKey::MultipleOf, "multipleOf", Some("Number")),
    (FieldKey::MinItems, "minItems", Some("List")),
    (FieldKey::MaxItems, "maxItems", Some("List")),
    (FieldKey::UniqueItems, "uniqueItems", Some("List")),
    (FieldKey::Contains, "contains", Some("List")),
    (FieldKey::MinProperties, "minProperties", Some("Map")),
    (FieldKey::MaxProperties, "maxProperties", Some("Map")),
    (FieldKey::Const, "const", None),
    (FieldKey::SchemaRef, "$ref", None),
    (FieldKey::Title, "title", None),
    (FieldKey::Example, "examples", None),
    (FieldKey::Hidden, "hidden", None),
];

/// The formats of JSON Schema draft 2020-12, §7.3 of its validation part.
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// The keywords of a field that report something, by the names of their keys and in JSON.
pub(crate) fn reports(keys: &Keys<FieldKey>) -> impl Iterator<Item = (&'static str, &'static str)> {
    let says_nothing = [FieldKey::Unique, FieldKey::Index, FieldKey::Hidden, FieldKey::Title, FieldKey::Example];
    KEYWORDS.iter().filter(move |(key, ..)| keys.has(*key) && !says_nothing.contains(key)).filter_map(
        |(key, json, _)| {
            let spec = FieldKey::SPECS.iter().find(|spec| spec.key == *key)?;
            Some((spec.name, *json))
        },
    )
}

/// The keywords of a field, in the order of the table; what is said in place of what they report comes last.
pub(crate) fn keywords(keys: &Keys<FieldKey>, message: Option<TokenStream>, errors: &Diagnostics) -> Vec<Keyword> {
    check(keys, errors);
    let message = message.map(|value| Keyword {
        json: "errorMessage",
        value,
        fits: None,
        span: keys.span(FieldKey::ErrorMessage),
    });
    KEYWORDS
        .iter()
        .filter_map(|(key, json, fits)| {
            let entry = keys.get(*key)?;
            let value: TokenStream = match &entry.given {
                Given::Flag => quote!(true),
                Given::Text(text) => text.to_token_stream(),
                Given::Number(number) => number.tokens.clone(),
                Given::Expr(expr) => match key {
                    FieldKey::Contains => quote!({ "const": #expr }),
                    FieldKey::Example => quote!([#expr]),
                    _ => quote!(#expr),
                },
                _ => return None,
            };
            Some(Keyword { json, value, fits: *fits, span: entry.name.span() })
        })
        .chain(message)
        .collect()
}

/// The keywords of a field that refers to another one.
pub(crate) fn reference(
    of: &Ident,
    name: &Ident,
    keys: &Keys<FieldKey>,
    refers: bool,
    errors: &Diagnostics,
) -> Vec<Keyword> {
    let mut keywords = Vec::new();
    if let Some(entry) = keys.get(FieldKey::References).filter(|_| refers) {
        // A function, because the constant may be of a model whose constant leads back here.
        let text = fields::reference_name(name);
        keywords.push(Keyword { json: "model", value: quote!(#of::#text()), fits: None, span: entry.name.span() });
    }
    let Some(entry) = keys.get(FieldKey::OnDelete) else { return keywords };
    if keys.lacks(FieldKey::References) {
        errors.at(&entry.name, "`on_delete` needs a reference; write `references = Team::_ID, on_delete = cascade`");
    }
    let Given::Path(policy) = &entry.given else { return keywords };
    let (json, fits) = match policy.get_ident().map(ToString::to_string).as_deref() {
        Some("restrict") => ("restrict", None),
        Some("cascade") => ("cascade", None),
        Some("set_null") => ("setNull", Some("Nullable")),
        _ => {
            errors.at(policy, "`on_delete` is `restrict`, `cascade` or `set_null`; write one of them");
            return keywords;
        }
    };
    keywords.push(Keyword { json: "onDelete", value: quote!(#json), fits, span: policy.span() });
    keywords
}

fn check(keys: &Keys<FieldKey>, errors: &Diagnostics) {
    for (low, high, strict) in [
        (FieldKey::MinLength, FieldKey::MaxLength, false),
        (FieldKey::MinItems, FieldKey::MaxItems, false),
        (FieldKey::MinProperties, FieldKey::MaxProperties, false),
        (FieldKey::Minimum, FieldKey::Maximum, false),
        (FieldKey::ExclusiveMinimum, FieldKey::Maximum, true),
        (FieldKey::Minimum, FieldKey::ExclusiveMaximum, true),
        (FieldKey::ExclusiveMinimum, FieldKey::ExclusiveMaximum, true),
    ] {
        let (Some(a), Some(b)) = (keys.number(low), keys.number(high)) else { continue };
        if above(a, b) || strict && !above(b, a) {
            let (Some(low), Some(high)) = (keys.get(low), keys.get(high)) else { continue };
            let (low, high) = (&low.name, &high.name);
            errors.at(
                high,
                format!("nothing fits between `{low} = {}` and `{high} = {}`; widen one", shown(a), shown(b)),
            );
        }
    }
    if let Some(step) = keys.number(FieldKey::MultipleOf)
        && step.value <= 0.0
    {
        errors.at_span(keys.span(FieldKey::MultipleOf), "`multiple_of` must be above 0; write `multiple_of = 5`");
    }
    if let Some(format) = keys.text(FieldKey::Format) {
        let value = format.value();
        if !FORMATS.contains(&value.as_str()) {
            let hint = nearest(&value, FORMATS.iter().copied())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let names: Vec<String> = FORMATS.iter().map(|name| format!("`{name}`")).collect();
            errors.at(format, format!("unknown format `{value}`{hint} (the formats are {})", names.join(", ")));
        }
    }
    if let Some(pattern) = keys.text(FieldKey::Pattern)
        && let Err(error) = regex_syntax::ast::parse::Parser::new().parse(&pattern.value())
    {
        let offset = error.span().start.offset;
        errors.at(
            pattern,
            format!("`{}` is no regular expression: {} at byte {offset}; correct it", pattern.value(), error.kind()),
        );
    }
    check_default(keys, errors);
}

/// A literal default against the bounds beside it.
fn check_default(keys: &Keys<FieldKey>, errors: &Diagnostics) {
    let Some(Given::Expr(default)) = keys.get(FieldKey::Default).map(|entry| &entry.given) else { return };
    let refuse = |key: FieldKey, bound: &Number| {
        if let Some(entry) = keys.get(key) {
            let shown_default = default.to_token_stream().to_string();
            errors.at(
                default,
                format!(
                    "the default `{shown_default}` does not keep to `{} = {}`; change one of them",
                    entry.name,
                    shown(bound)
                ),
            );
        }
    };
    let bound = |key: FieldKey| keys.number(key).map(|bound| (key, bound));
    if let Some(value) = number(default) {
        let checks: [(FieldKey, Keeps); 5] = [
            (FieldKey::Minimum, |value, bound| !above(bound, value)),
            (FieldKey::Maximum, |value, bound| !above(value, bound)),
            (FieldKey::ExclusiveMinimum, above),
            (FieldKey::ExclusiveMaximum, |value, bound| above(bound, value)),
            (FieldKey::MultipleOf, |value, step| match (value.whole, step.whole) {
                (Some(value), Some(step)) if step > 0 => value % step == 0,
                // Fractions are left to the check at the start: their remainder is a matter of rounding.
                _ => true,
            }),
        ];
        for (key, keeps) in checks {
            if let Some((key, bound)) = bound(key)
                && !keeps(&value, bound)
            {
                refuse(key, bound);
            }
        }
    }
    if let Some(value) = text(default) {
        let length = i128::try_from(value.chars().count()).unwrap_or(i128::MAX);
        if let Some((key, min)) = bound(FieldKey::MinLength)
            && min.whole.is_some_and(|min| length < min)
        {
            refuse(key, min);
        }
        if let Some((key, max)) = bound(FieldKey::MaxLength)
            && max.whole.is_some_and(|max| length > max)
        {
            refuse(key, max);
        }
    }
}

/// Whether `a` is greater, exactly where both are whole.
fn above(a: &Number, b: &Number) -> bool {
    match (a.whole, b.whole) {
        (Some(a), Some(b)) => a > b,
        _ => a.value > b.value,
    }
}

fn shown(number: &Number) -> String {
    number.tokens.to_string().replace(' ', "")
}

/// The value of a default, converted where it is a text: the type of the field may be `String`, `Private<String>` …
pub(crate) fn default_value(default: &Expr) -> TokenStream {
    if text(default).is_some() { quote!(::core::convert::Into::into(#default)) } else { quote!(#default) }
}
