//! From what was written to what was proved. All mistakes are collected; after one, the result is the nearest thing that can
//! be emitted, so that uses of the type do not fail too.

use std::collections::BTreeMap;

use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Token, Type};

use super::args::{
    FieldKey, ModelKey, SerdeItem, ValueKey, Written, WrittenField, nested_withheld, take_derives, withheld,
};
use super::ir::{Access, Default, Field, Index, ModelPart, Record, Trash};
use super::message::Messages;
use super::{message, schema};
use crate::diagnostics::Diagnostics;
use crate::keys::{Given, Key, Keys, nearest};
use crate::register::is_id;
use crate::rename::RenameRule;
use crate::signature::{docs, last_segment, plain};

/// How many fields one index is over at most: what the runtime takes.
const MAX_MEMBERS: usize = 32;

/// Proves a model.
pub(crate) fn model(m: TokenStream, keys: &Keys<ModelKey>, written: Written, errors: &Diagnostics) -> Record {
    let access = if keys.has(ModelKey::Public) {
        Access::Public
    } else if keys.has(ModelKey::Protected) {
        Access::Protected
    } else {
        Access::Internal
    };
    let name = plain(&written.item.ident);
    let part = ModelPart {
        id: model_id(keys, &name, &written.item.ident, errors),
        parent: keys.path(ModelKey::Parent).cloned(),
        access,
        caller: keys.has(ModelKey::Caller),
        client_ids: keys.has(ModelKey::ClientIds),
        trash: trash(keys, errors),
        indexes: Vec::new(),
    };
    let mut record = record(m, "#[model]", keys, keys.text(ModelKey::RenameAll), Some(part), written, errors);
    let indexes = indexes(keys, &record, errors);
    if let Some(part) = &mut record.model {
        part.indexes = indexes;
    }
    record
}

/// What becomes of deleted documents.
fn trash(keys: &Keys<ModelKey>, errors: &Diagnostics) -> Trash {
    match (keys.text(ModelKey::Trash), keys.bool(ModelKey::Trash)) {
        (Some(text), _) => match humantime::parse_duration(&text.value()) {
            Ok(kept) if kept.is_zero() => {
                errors.at(text, "`trash` must be longer than nothing; write `trash = false` to keep nothing");
                Trash::Usual
            }
            Ok(kept) => Trash::Kept(kept),
            Err(_) => {
                let text_is = text.value();
                errors.at(text, format!("`{text_is}` is no duration; write e.g. `trash = \"90d\"` or `\"12h\"`"));
                Trash::Usual
            }
        },
        (None, Some(true)) => {
            errors.at_span(
                keys.span(ModelKey::Trash),
                "a model has a trash anyway; remove `trash = true`, or say for how long: `trash = \"90d\"`",
            );
            Trash::Usual
        }
        (None, Some(false)) => Trash::None,
        (None, None) => Trash::Usual,
    }
}

/// The indexes over several fields. One with a mistake is left out.
fn indexes(keys: &Keys<ModelKey>, record: &Record, errors: &Diagnostics) -> Vec<Index> {
    let mut found: Vec<Index> = Vec::new();
    for (key, unique) in [(ModelKey::Unique, true), (ModelKey::Index, false)] {
        for (word, list) in keys.lists(key) {
            let names = Punctuated::<Ident, Token![,]>::parse_terminated_with;
            let names = match (|input: ParseStream<'_>| names(input, Ident::parse_any)).parse2(list.clone()) {
                Ok(names) => names,
                Err(error) => {
                    let example = if unique { "unique(owner, name)" } else { "index(role, age)" };
                    errors.at_span(error.span(), format!("`{word}` needs names of fields; write `{example}`"));
                    continue;
                }
            };
            let Some(fields) = members(&names, unique, record, errors) else { continue };
            if fields.len() < 2 {
                errors.at(
                    word,
                    format!("`{word}(…)` is over several fields; for one, write `#[field({word})]` above it"),
                );
                continue;
            }
            if fields.len() > MAX_MEMBERS {
                errors.at(word, format!("`{word}(…)` is over at most {MAX_MEMBERS} fields; take some out"));
                continue;
            }
            if found.iter().any(|known| known.fields.iter().map(|field| field.0).eq(fields.iter().map(|field| field.0)))
            {
                errors.at(word, "there are two indexes over these fields in this order; remove one");
                continue;
            }
            found.push(Index { unique, fields });
        }
    }
    found
}

/// The places of the fields that a list names; `None` after a mistake.
fn members(
    names: &Punctuated<Ident, Token![,]>,
    unique: bool,
    record: &Record,
    errors: &Diagnostics,
) -> Option<Vec<(usize, Span)>> {
    let mut fields: Vec<(usize, Span)> = Vec::new();
    let mut right = true;
    for name in names {
        let text = plain(name);
        let mistake = match record.fields.iter().position(|field| plain(&field.name) == text) {
            None => {
                let known: Vec<String> = record.fields.iter().map(|field| plain(&field.name)).collect();
                let hint = nearest(&text, known.iter().map(String::as_str))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                format!("`{}` has no field `{text}`{hint}", plain(&record.item.ident))
            }
            Some(at) if fields.iter().any(|(known, _)| *known == at) => {
                format!("`{text}` is named twice in one list; remove one")
            }
            Some(at) if record.fields[at].flatten => {
                format!("`{text}` is flattened, and has no value of its own to be found by; remove it")
            }
            Some(at) if unique && record.fields[at].private => {
                format!(
                    "`unique` cannot be over the `Private<…>` field `{text}`: what is taken would tell what it is; remove it"
                )
            }
            Some(at) => {
                fields.push((at, name.span()));
                continue;
            }
        };
        errors.at(name, mistake);
        right = false;
    }
    right.then_some(fields)
}

/// Proves a value that is a struct of named fields.
pub(crate) fn value(m: TokenStream, keys: &Keys<ValueKey>, written: Written, errors: &Diagnostics) -> Record {
    for field in &written.fields {
        for key in [FieldKey::Unique, FieldKey::Index, FieldKey::References, FieldKey::OnDelete] {
            if let Some(entry) = field.keys.get(key) {
                errors.at(
                    &entry.name,
                    format!(
                        "`{0}` is for the fields of a model, and a value is no collection; remove `{0}`",
                        entry.name
                    ),
                );
            }
        }
    }
    let record = record(m, "#[value]", keys, keys.text(ValueKey::RenameAll), None, written, errors);
    Record { of: keys.path(ValueKey::Of).cloned(), ..record }
}

fn model_id(keys: &Keys<ModelKey>, name: &str, ident: &Ident, errors: &Diagnostics) -> String {
    let guess = || {
        let mut id = name.to_ascii_lowercase();
        id.push('s');
        id
    };
    match keys.text(ModelKey::Id) {
        Some(id) if is_id(&id.value()) => id.value(),
        Some(id) => {
            errors.at(
                id,
                format!(
                    "`{}` cannot be the id of a model: ids match `[a-z][A-Za-z0-9_-]*`; write `id = \"{}\"`",
                    id.value(),
                    guess()
                ),
            );
            guess()
        }
        None => {
            if keys.lacks(ModelKey::Id) {
                errors.at(ident, format!("the model `{name}` needs an id; write `#[model(id = \"{}\")]`", guess()));
            }
            guess()
        }
    }
}

/// The rename rule, by our key or serde's.
pub(crate) fn rename_rule(
    ours: Option<&syn::LitStr>,
    serde: Option<&syn::LitStr>,
    errors: &Diagnostics,
) -> Option<RenameRule> {
    if let (Some(_), Some(serde)) = (ours, serde) {
        errors.at(serde, "`rename_all` is given twice; remove one");
    }
    match (ours, serde) {
        (Some(text), _) => RenameRule::parse(text, errors),
        // A rule that is none is told by serde.
        (None, Some(text)) => RenameRule::named(&text.value()),
        (None, None) => None,
    }
}

fn record<K: Messages>(
    m: TokenStream,
    attribute: &str,
    keys: &Keys<K>,
    rename_all: Option<&syn::LitStr>,
    model: Option<ModelPart>,
    written: Written,
    errors: &Diagnostics,
) -> Record {
    let Written { mut item, fields } = written;
    take_derives(attribute, &mut item.attrs, errors);
    let serde = SerdeItem::read(attribute, &mut item.attrs, errors);
    let rule = rename_rule(rename_all, serde.rename_all.as_ref(), errors);
    let mut fields: Vec<Field> = fields.into_iter().map(|written| field(&item.ident, written, rule, errors)).collect();
    check_names(&mut fields, model.is_some(), errors);
    let rename_all = rename_all.filter(|_| rule.is_some() && serde.rename_all.is_none()).map(syn::LitStr::value);
    let missing: Vec<_> =
        fields.iter().filter_map(|field| Some((field.wire.clone(), field.missing.clone()?))).collect();
    let message = message::of_container(keys, &missing, errors);
    Record { m, item, model, of: None, rename_all, message, fields }
}

fn field(of: &Ident, written: WrittenField, rule: Option<RenameRule>, errors: &Diagnostics) -> Field {
    let WrittenField { field, keys, serde } = written;
    // `Fields::Named` is what the caller matched.
    let name = field.ident.clone().unwrap_or_else(|| quote::format_ident!("_0"));
    let withheld_by = match &field.ty {
        Type::Path(path) => withheld(&path.path),
        _ => None,
    };
    let (private, protected) = (withheld_by == Some("Private"), withheld_by == Some("Protected"));
    if let Some(inner) = nested_withheld(&field.ty) {
        let name = withheld(inner).unwrap_or_default();
        errors.at(
            inner,
            format!(
                "`{name}` must be the outermost type of a field, so that it can be left out; write `{name}<Option<…>>`"
            ),
        );
    }
    let flattened = serde.flatten && check_flattened(&keys, &field.ty, serde.default, errors);
    if let (true, Some(entry)) = (private, keys.get(FieldKey::Example)) {
        errors
            .at(&entry.name, "`example` cannot be on a `Private<…>` field: the schema is shown to clients; remove it");
    }
    if private {
        for key in [FieldKey::Unique, FieldKey::Index, FieldKey::References] {
            if let Some(entry) = keys.get(key) {
                errors.at(
                    &entry.name,
                    format!(
                        "`{0}` cannot be on a `Private<…>` field: what is taken would tell what it is; remove `{0}`",
                        entry.name
                    ),
                );
            }
        }
    }
    if let (Some(_), Some(serde)) = (keys.get(FieldKey::Rename), &serde.rename) {
        errors.at(serde, "`rename` is given twice; remove one");
    }
    let rename = keys.text(FieldKey::Rename);
    let wire = rename.or(serde.rename.as_ref()).map_or_else(
        || {
            let name = plain(&name);
            rule.map_or(name.clone(), |rule| rule.field(&name))
        },
        syn::LitStr::value,
    );
    if wire.is_empty() || wire.starts_with(['_', '$', '@']) || wire.contains('.') {
        errors.at(
            &name,
            format!(
                "`{wire}` cannot be the name of a field on the wire: it is empty, starts with `_`, `$` or `@`, or holds a \
                 `.`; write `#[field(rename = \"name\")]`"
            ),
        );
    }
    let default = match keys.get(FieldKey::Default).map(|entry| &entry.given) {
        Some(_) if serde.default => {
            errors.at_span(keys.span(FieldKey::Default), "`default` is given twice; remove the one in `#[serde(…)]`");
            Default::None
        }
        Some(Given::Expr(expr)) => Default::Value(schema::default_value(expr)),
        Some(_) => Default::OfType,
        None => Default::None,
    };
    let references = keys.path(FieldKey::References).filter(|_| !private).cloned();
    let (message, missing) = message::of_field(&keys, errors);
    let mut keywords = schema::keywords(&keys, message, errors);
    keywords.extend(schema::reference(of, &name, &keys, references.is_some(), errors));
    Field {
        wire,
        rename: rename.filter(|_| serde.rename.is_none()).map(syn::LitStr::value),
        constant: Some(constant(&name, &keys, errors)),
        unique: keys.has(FieldKey::Unique) && !private,
        index: keys.has(FieldKey::Index) && !private,
        private,
        protected,
        flatten: serde.flatten,
        viewed: !serde.skipped && flattened == serde.flatten,
        default,
        references,
        keywords,
        missing,
        docs: docs(&field.attrs).cloned().collect(),
        vis: field.vis,
        ty: field.ty,
        name,
    }
}

/// Types that are never a struct with named fields.
const NO_RECORD: &[&str] = &["Option", "Vec", "Box", "Private", "Protected", "BTreeMap", "HashMap", "Map", "Value"];

/// A flattened field has no member of its own, so that nothing can be said of it. Whether its type can be looked into.
fn check_flattened(keys: &Keys<FieldKey>, ty: &Type, default: bool, errors: &Diagnostics) -> bool {
    for entry in keys.entries.iter().filter(|entry| entry.name != "constant") {
        errors.at(
            &entry.name,
            format!(
                "`{0}` cannot be on a flattened field, which has no name on the wire; write it on the fields of its type",
                entry.name
            ),
        );
    }
    let record = !last_segment(ty).is_some_and(|last| NO_RECORD.iter().any(|name| last.ident == name));
    if !record {
        errors.at(
            ty,
            "only a struct with named fields can be flattened, so that unknown members can be refused; give the field a name \
             of its own",
        );
    } else if default {
        errors.at(ty, "a flattened field is always there; write `default` on the fields of its type");
    }
    record
}

/// The name of the field constant, with the span of the field.
fn constant(name: &Ident, keys: &Keys<FieldKey>, errors: &Diagnostics) -> Ident {
    if let Some(text) = keys.text(FieldKey::Constant) {
        let value = text.value();
        match syn::parse_str::<Ident>(&value) {
            Ok(_) if value.chars().any(char::is_lowercase) => {
                errors.at(
                    text,
                    format!("`{value}` is no name of a constant; write `constant = \"{}\"`", value.to_uppercase()),
                );
            }
            Ok(_) => return Ident::new(&value, text.span()),
            Err(_) => errors.at(text, format!("`{value}` is no identifier; write `constant = \"NAME\"`")),
        }
    }
    let folded = plain(name).to_uppercase();
    let folded = if syn::parse_str::<Ident>(&folded).is_ok() { folded } else { format!("{folded}_") };
    Ident::new(&folded, name.span())
}

/// No two fields may have one wire name or one constant. The constant of the later one is not emitted.
fn check_names(fields: &mut [Field], model: bool, errors: &Diagnostics) {
    let mut wires = BTreeMap::new();
    let mut constants = BTreeMap::new();
    for field in fields {
        let name = &field.name;
        if !field.flatten
            && let Some(first) = wires.insert(field.wire.clone(), name.clone())
        {
            errors.at(
                name,
                format!(
                    "`{first}` and `{name}` are both `{}` on the wire; rename one with `#[field(rename = \"…\")]`",
                    field.wire
                ),
            );
            field.viewed = false;
        }
        let Some(constant) = &field.constant else { continue };
        if model && constant == "_ID" {
            errors.at(name, "`_ID` is the constant of the document's id; write `#[field(constant = \"…\")]`");
            field.constant = None;
        } else if let Some(first) = constants.get(&constant.to_string()) {
            errors.at(
                name,
                format!(
                    "`{first}` and `{name}` have one constant `{constant}`; give one another with \
                     `#[field(constant = \"…\")]`"
                ),
            );
            field.constant = None;
        } else {
            constants.insert(constant.to_string(), name.clone());
        }
    }
}

/// The id of an operation or a unit: the name of its function unless given.
pub(crate) fn function_id<K: Key>(keys: &Keys<K>, key: K, name: &Ident, errors: &Diagnostics) -> String {
    let own = plain(name);
    match keys.text(key) {
        Some(id) if is_id(&id.value()) => id.value(),
        Some(id) => {
            errors.at(
                id,
                format!("`{}` cannot be an id: ids match `[a-z][A-Za-z0-9_-]*`; write `id = \"{own}\"`", id.value()),
            );
            own
        }
        None if is_id(&own) => own,
        None => {
            errors.at(
                name,
                format!("`{own}` cannot be an id: ids match `[a-z][A-Za-z0-9_-]*`; rename the function or write `id = \"…\"`"),
            );
            own
        }
    }
}
