//! What was written: the keys of `#[model]`, `#[value]` and `#[field]`, and the serde attributes that matter.

use proc_macro2::TokenStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Fields, Item, ItemStruct, Lit, LitStr, Meta, Path, Token, Type};

use crate::diagnostics::Diagnostics;
use crate::keys::{Keys, keys};

keys! {
    /// The keys of `#[model]`.
    enum ModelKey for "#[model]" {
        Id = "id", Text, "id = \"users\"";
        Parent = "parent", Path, "parent = System";
        Public = "public", Flag, "public";
        Protected = "protected", Flag, "protected";
        Caller = "caller", Flag, "caller";
        ClientIds = "client_ids", Flag, "client_ids";
        Trash = "trash", TextOrBool, "trash = \"90d\"";
        Unique = "unique", Lists, "unique(owner, name)";
        Index = "index", Lists, "index(role, age)";
        RenameAll = "rename_all", Text, "rename_all = \"camelCase\"";
        ErrorMessage = "error_message", TextOrList, "error_message = \"…\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Public, Protected: "a model is reached by anyone or by verified callers; remove one";
    }
}

keys! {
    /// The keys of `#[value]`.
    enum ValueKey for "#[value]" {
        Of = "of", Path, "of = User";
        RenameAll = "rename_all", Text, "rename_all = \"camelCase\"";
        ErrorMessage = "error_message", TextOrList, "error_message = \"…\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
}

keys! {
    /// The keys of `#[field]`.
    enum FieldKey for "#[field]" {
        Unique = "unique", Flag, "unique";
        Index = "index", Flag, "index";
        References = "references", Path, "references = Team::_ID";
        OnDelete = "on_delete", Path, "on_delete = cascade";
        Default = "default", FlagOrExpr, "default = 1";
        MinLength = "min_length", Count, "min_length = 12";
        MaxLength = "max_length", Count, "max_length = 200";
        Pattern = "pattern", Text, "pattern = \"^[a-z]+$\"";
        Format = "format", Text, "format = \"email\"";
        Minimum = "minimum", Number, "minimum = 0";
        Maximum = "maximum", Number, "maximum = 100";
        ExclusiveMinimum = "exclusive_minimum", Number, "exclusive_minimum = 0";
        ExclusiveMaximum = "exclusive_maximum", Number, "exclusive_maximum = 100";
        MultipleOf = "multiple_of", Number, "multiple_of = 5";
        MinItems = "min_items", Count, "min_items = 1";
        MaxItems = "max_items", Count, "max_items = 10";
        UniqueItems = "unique_items", Flag, "unique_items";
        Contains = "contains", Expr, "contains = \"admin\"";
        MinProperties = "min_properties", Count, "min_properties = 1";
        MaxProperties = "max_properties", Count, "max_properties = 10";
        Const = "const", Expr, "const = 1";
        SchemaRef = "schema_ref", Text, "schema_ref = \"address.json\"";
        Title = "title", Text, "title = \"A name\"";
        Example = "example", Expr, "example = \"ada@example.com\"";
        Constant = "constant", Text, "constant = \"NAME\"";
        Rename = "rename", Text, "rename = \"wireName\"";
        Hidden = "hidden", Flag, "hidden";
        ErrorMessage = "error_message", TextOrList, "error_message = \"…\"";
    }
    conflicts {
        Unique, Index: "a unique field is indexed anyway; remove `index`";
        References, Index: "a reference is indexed anyway; remove `index`";
        Minimum, ExclusiveMinimum: "they are two lower bounds; remove one";
        Maximum, ExclusiveMaximum: "they are two upper bounds; remove one";
    }
}

/// The struct below the attribute, when it has a form that can be a record.
pub(crate) fn structure(attribute: &str, item: &TokenStream, errors: &Diagnostics) -> Option<ItemStruct> {
    let parsed = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            errors.push(error);
            return None;
        }
    };
    let cure = format!("`{attribute}` is for structs with named fields");
    match parsed {
        Item::Struct(item) => {
            if !check_generics(attribute, &item.generics, errors) {
                return None;
            }
            let name = &item.ident;
            match &item.fields {
                Fields::Named(_) => Some(item),
                Fields::Unnamed(fields) => {
                    errors.at(fields, format!("{cure}; name the fields of `{name}`: `{{ name: Type }}`"));
                    None
                }
                Fields::Unit => {
                    errors.at(name, format!("{cure}; write `struct {name} {{}}` or add fields"));
                    None
                }
            }
        }
        Item::Enum(item) => {
            let name = &item.ident;
            errors.at(
                item.enum_token,
                format!("{cure}; annotate the enum `{name}` with `#[value]` and make it a field of a model"),
            );
            None
        }
        Item::Union(item) => {
            errors.at(item.union_token, format!("{cure}; a union cannot be stored, write `struct {}`", item.ident));
            None
        }
        _ => {
            errors.at(item.clone().into_iter().next(), format!("{cure}; put it above one"));
            None
        }
    }
}

/// Whether there are no generics.
pub(crate) fn check_generics(attribute: &str, generics: &syn::Generics, errors: &Diagnostics) -> bool {
    if generics.params.is_empty() && generics.where_clause.is_none() {
        return true;
    }
    let message = format!("a type with `{attribute}` cannot be generic; write one type for each use");
    match &generics.where_clause {
        Some(clause) if generics.params.is_empty() => errors.at(clause, message),
        _ => errors.at(generics, message),
    }
    false
}

/// A struct as it was written.
pub(crate) struct Written {
    /// Without `#[field]`.
    pub(crate) item: ItemStruct,
    pub(crate) fields: Vec<WrittenField>,
}

/// A field as it was written.
pub(crate) struct WrittenField {
    pub(crate) field: syn::Field,
    pub(crate) keys: Keys<FieldKey>,
    pub(crate) serde: SerdeField,
}

impl Written {
    pub(crate) fn new(mut item: ItemStruct, errors: &Diagnostics) -> Self {
        let fields = item
            .fields
            .iter_mut()
            .map(|field| {
                let keys = take_field_keys(&mut field.attrs, errors);
                if let Some(cfg) = field.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                    errors.at(
                        cfg,
                        "`cfg` cannot be on a field of a model or a value: what is stored would depend on how a program was \
                         built; put the whole struct under it",
                    );
                }
                let serde = SerdeField::read(&field.attrs, errors);
                WrittenField { field: field.clone(), keys, serde }
            })
            .collect();
        Self { item, fields }
    }
}

/// Takes the `#[field]` attributes out.
fn take_field_keys(attrs: &mut Vec<Attribute>, errors: &Diagnostics) -> Keys<FieldKey> {
    let mut keys = Keys::default();
    attrs.retain(|attr| {
        if !attr.path().is_ident("field") {
            return true;
        }
        match &attr.meta {
            Meta::List(list) => keys.extend(list.tokens.clone(), errors),
            _ => errors.at(attr, "`#[field]` needs keys; write `#[field(index)]`, or remove it"),
        }
        false
    });
    keys
}

/// Takes `#[field]` out where it has no meaning, with a mistake for each.
pub(crate) fn refuse_field_keys(attrs: &mut Vec<Attribute>, errors: &Diagnostics) {
    attrs.retain(|attr| {
        let ours = attr.path().is_ident("field");
        if ours {
            errors
                .at(attr, "`#[field]` is for the fields of a struct; move these fields into a struct with `#[value]`");
        }
        !ours
    });
}

/// The serde attributes of a field, as far as they are honoured.
#[derive(Default)]
pub(crate) struct SerdeField {
    pub(crate) rename: Option<LitStr>,
    pub(crate) default: bool,
    /// Its members are those of the struct.
    pub(crate) flatten: bool,
    /// It is skipped, and cannot be looked at.
    pub(crate) skipped: bool,
}

impl SerdeField {
    fn read(attrs: &[Attribute], errors: &Diagnostics) -> Self {
        let mut found = Self::default();
        for meta in serde_metas(attrs) {
            let Some(name) = meta.path().get_ident().map(ToString::to_string) else { continue };
            let cure = match name.as_str() {
                "rename" => {
                    match name_value(&meta) {
                        Some(text) => found.rename = Some(text),
                        None => errors.at(
                            &meta,
                            "`rename` must be one name, the same for reading and writing; write `rename = \"name\"`",
                        ),
                    }
                    continue;
                }
                "default" => {
                    found.default = true;
                    continue;
                }
                "flatten" => {
                    found.flatten = true;
                    continue;
                }
                "skip" | "skip_serializing" | "skip_deserializing" => {
                    found.skipped = true;
                    "a field is stored; remove it, or move what is not stored out of the struct"
                }
                "skip_serializing_if" => {
                    "a field is always stored; remove it (`null` and missing are the same to filters)"
                }
                "with" | "serialize_with" | "deserialize_with" | "getter" => {
                    "filters would see another value than the wire; wrap the value in a type that serializes like this"
                }
                "alias" => "the schema knows one name; rename the field with `#[field(rename = \"…\")]`",
                _ => continue,
            };
            errors.at(&meta, format!("`{name}` cannot be on a field of a model or a value: {cure}"));
        }
        found
    }
}

/// The serde attributes of a struct or an enum, as far as they are honoured.
#[derive(Default)]
pub(crate) struct SerdeItem {
    pub(crate) rename_all: Option<LitStr>,
    /// `tag`, `content` or `untagged`: unit variants are not plain strings.
    pub(crate) tagged: bool,
}

impl SerdeItem {
    /// Reads them, and takes those out that are refused. On a model nothing may change the form of the object.
    pub(crate) fn read(attribute: &str, attrs: &mut [Attribute], errors: &Diagnostics) -> Self {
        let mut found = Self::default();
        for attr in attrs.iter_mut().filter(|attr| attr.path().is_ident("serde")) {
            let kept: Vec<Meta> = serde_metas(std::slice::from_ref(attr))
                .into_iter()
                .filter(|meta| found.keep(attribute, meta, errors))
                .collect();
            // What serde cannot read either stays as it is, for its own words.
            if !errors.is_clean() && attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).is_ok() {
                *attr = syn::parse_quote!(#[serde(#(#kept),*)]);
            }
        }
        found
    }

    fn keep(&mut self, attribute: &str, meta: &Meta, errors: &Diagnostics) -> bool {
        let Some(name) = meta.path().get_ident().map(ToString::to_string) else { return true };
        let model = attribute == "#[model]";
        let cure = match name.as_str() {
            "rename_all" => {
                let Some(text) = name_value(meta) else {
                    errors.at(
                        meta,
                        "`rename_all` must be one rule, the same for reading and writing; write \
                         `rename_all = \"camelCase\"`",
                    );
                    return false;
                };
                self.rename_all = Some(text);
                return true;
            }
            "tag" | "content" | "untagged" if !model => {
                self.tagged = true;
                return true;
            }
            "transparent" if !model => return true,
            "deny_unknown_fields" | "crate" => "it is written by the attribute; remove it",
            "tag" | "content" | "untagged" | "transparent" => "a document is a plain object; remove it",
            "from" | "try_from" | "into" | "remote" => {
                "filters would see another value than the wire; convert where the value is made"
            }
            _ => return true,
        };
        errors.at(meta, format!("`{name}` cannot be beside `{attribute}`: {cure}"));
        false
    }
}

/// What stands in the `#[serde(…)]` attributes. What cannot be read is left to serde's own words.
pub(crate) fn serde_metas(attrs: &[Attribute]) -> Vec<Meta> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("serde"))
        .filter_map(|attr| attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok())
        .flatten()
        .collect()
}

/// The text of `name = "text"`.
pub(crate) fn name_value(meta: &Meta) -> Option<LitStr> {
    let Meta::NameValue(pair) = meta else { return None };
    let Expr::Lit(lit) = &pair.value else { return None };
    match &lit.lit {
        Lit::Str(text) => Some(text.clone()),
        _ => None,
    }
}

/// The traits that the attributes derive, as a user would name them.
const DERIVED: &[&str] = &["Clone", "Debug", "Serialize", "Deserialize", "JsonSchema"];

/// Takes derives out that the attribute writes itself, with a mistake for each.
pub(crate) fn take_derives(attribute: &str, attrs: &mut [Attribute], errors: &Diagnostics) {
    for attr in attrs.iter_mut().filter(|attr| attr.path().is_ident("derive")) {
        let Ok(paths) = attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated) else { continue };
        let ours = |path: &Path| path.segments.last().is_some_and(|last| DERIVED.iter().any(|name| last.ident == name));
        if !paths.iter().any(ours) {
            continue;
        }
        let mut kept = Punctuated::<Path, Token![,]>::new();
        for path in paths {
            if ours(&path) {
                let name = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
                errors.at(&path, format!("`{name}` is derived by `{attribute}`; remove it"));
            } else {
                kept.push(path);
            }
        }
        *attr = syn::parse_quote!(#[derive(#kept)]);
    }
}

/// A `Private<…>` or `Protected<…>` that stands inside of another type.
pub(crate) fn nested_withheld(ty: &Type) -> Option<&Path> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(Type::Path(inner)) if withheld(&inner.path).is_some() => Some(&inner.path),
        syn::GenericArgument::Type(inner) => nested_withheld(inner),
        _ => None,
    })
}

/// The name of a type that withholds its value, where a path is written `Private<…>` or `Protected<…>`.
pub(crate) fn withheld(path: &Path) -> Option<&'static str> {
    let last = path.segments.last().filter(|last| !last.arguments.is_empty())?;
    ["Private", "Protected"].into_iter().find(|name| last.ident == name)
}

/// The type in a `Private<…>` or a `Protected<…>`; any other as it is.
pub(crate) fn without_wrapper(ty: &Type) -> &Type {
    if let Type::Path(path) = ty
        && withheld(&path.path).is_some()
        && let Some(last) = path.path.segments.last()
        && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(syn::GenericArgument::Type(inner)) = arguments.args.first()
    {
        return inner;
    }
    ty
}
