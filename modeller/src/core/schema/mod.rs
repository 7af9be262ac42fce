//! What a model is made of: its declaration, as an attribute or a program writes it, and the schema that is proved from it.

mod defaults;
pub(crate) mod enums;
mod indexes;
pub mod keywords;
pub(crate) mod outside;
pub(crate) mod ranges;
pub(crate) mod registered;
mod runtime;
pub(crate) mod shape;
pub(crate) mod walk;

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use self::defaults::Defaults;
pub(crate) use self::indexes::IndexSchema;
use self::outside::OpenForm;
use self::registered::Schemas;
use self::shape::Shape;
use self::walk::Role;
use super::document::{AnyValue, DynDoc, Stored};
use super::json::{Document, not_an_object};
use super::private::Audience;
use super::private::Level;
use super::query::{Query, RawQuery};
use super::reference::Reference;
use super::validate::Validator;
use super::value::ValueRef;
use crate::error::{Error, ErrorCode, Result, Violation};

/// Who may reach a model or an operation from outside.
///
/// ```
/// use modeller::Visibility;
/// assert!(Visibility::Internal < Visibility::Protected && Visibility::Protected < Visibility::Public);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Visibility {
    /// Nobody: in process only. The default.
    #[default]
    Internal,
    /// A caller with a verified token.
    Protected,
    /// Anyone.
    Public,
}

impl Visibility {
    /// The spelling in the metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Protected => "protected",
            Self::Public => "public",
        }
    }
}

/// Where something was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Path of the module.
    pub module: &'static str,
    /// Path of the file.
    pub file: &'static str,
    /// Line in it.
    pub line: u32,
}

/// A Rust type as a model: what `#[model]` implements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    label = "not a model",
    note = "annotate the struct with `#[model(id = \"…\")]`"
)]
pub trait ModelType: Stored {
    /// What the attribute said.
    const DECLARATION: &'static ModelDeclaration;
}

/// A model that extends another one: what `#[model(parent = …)]` implements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no extension of `{Parent}`",
    label = "not an extension of `{Parent}`",
    note = "an extension says so itself: `#[model(id = \"…\", parent = {Parent})]`"
)]
pub trait Extends<Parent>: ModelType {}

/// What `#[model]` says of a struct.
#[derive(Debug)]
pub struct ModelDeclaration {
    /// Id of the model, the first segment of its routes; of an extension behind that of its parent, as in `system.ssh`.
    pub id: &'static str,
    /// Who may reach it.
    pub access: Visibility,
    /// Whether its documents are those who call.
    pub caller: bool,
    /// Whether a client may choose the id of a document that it inserts.
    pub client_ids: bool,
    /// How long what was deleted is kept in its trash; `None` when it is gone at once.
    pub trash: Option<Duration>,
    /// Its fields, in the order of the struct.
    pub fields: &'static [FieldDeclaration],
    /// Its indexes over several fields.
    pub indexes: &'static [IndexDeclaration],
    /// The Rust type.
    pub kind: Kind,
    /// Where it was declared.
    pub site: Site,
}

/// What `#[field]` says of a field, as far as the core acts on it; bounds and formats are in the schema.
#[derive(Clone, Copy, Debug)]
pub struct FieldDeclaration {
    /// Name on the wire.
    pub name: &'static str,
    /// No two documents have the same value.
    pub unique: bool,
    /// Look-ups are fast.
    pub index: bool,
    /// Its type is written `Private<…>`.
    pub private: bool,
    /// Its type is written `Protected<…>`.
    pub protected: bool,
}

impl FieldDeclaration {
    /// A field of a model of our own, by which it is looked up.
    pub(crate) const fn indexed(name: &'static str) -> Self {
        Self { name, unique: false, index: true, private: false, protected: false }
    }
}

/// What `index(…)` and `unique(…)` of `#[model]` say.
#[derive(Clone, Copy, Debug)]
pub struct IndexDeclaration {
    /// Names of the fields on the wire, in the order of the index.
    pub fields: &'static [&'static str],
    /// No two documents have the same values.
    pub unique: bool,
}

/// A Rust type that documents of a model have: how to make its values, and its schema.
#[derive(Clone, Copy)]
pub struct Kind {
    name: fn() -> &'static str,
    from_json: fn(Value) -> Result<Box<dyn AnyValue>, serde_json::Error>,
    from_text: fn(&str) -> Result<Box<dyn AnyValue>, serde_json::Error>,
    schema: fn() -> Schema,
    id: fn() -> TypeId,
    to_query: fn(RawQuery) -> Box<dyn Any + Send>,
    from_query: fn(&(dyn Any + Send)) -> Option<RawQuery>,
}

impl Kind {
    /// The kind of a type.
    #[must_use]
    pub const fn of<T: Stored>() -> Self {
        Self {
            name: std::any::type_name::<T>,
            from_json: |value| T::deserialize(value).map(|value| Box::new(value) as _),
            from_text: |text| serde_json::from_str::<T>(text).map(|value| Box::new(value) as _),
            schema: schema_of::<T>,
            id: TypeId::of::<T>,
            to_query: |raw| Box::new(Query::<T>::from_raw(raw)),
            from_query: |query| query.downcast_ref::<Query<T>>().map(Query::to_raw),
        }
    }
}

impl Kind {
    fn is_of<T: Stored>(&self) -> bool {
        (self.id)() == TypeId::of::<T>()
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str((self.name)())
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with_transform(enums::joined())
}

/// The JSON Schema (draft 2020-12) that input for the type has to fit.
#[must_use]
pub(crate) fn schema_of<T: JsonSchema + ?Sized>() -> Schema {
    settings().for_deserialize().into_generator().into_root_schema_for::<T>()
}

/// The JSON Schema (draft 2020-12) that output of the type fits.
#[must_use]
pub(crate) fn output_schema_of<T: JsonSchema + ?Sized>() -> Schema {
    settings().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// What a document has beside its value.
pub(crate) const MEMBERS_OF_THE_DOCUMENT: [&str; 2] = ["_id", "_rev"];

/// What is wrong with a value that names its own id or revision: those are given by the store.
pub(crate) fn member_of_the_document(name: &str) -> Violation {
    Violation {
        instance_path: String::new(),
        keyword: "additionalProperties".into(),
        message: "must NOT have additional properties".into(),
        params: json!({"additionalProperty": name}),
        schema_path: "#/additionalProperties".into(),
    }
}

/// Adds `_id` and `_rev` to the schema of a value.
pub(crate) fn add_document_members(schema: &mut Schema) {
    let object = schema.ensure_object();
    if let Some(properties) = object.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.retain(|_, property| property.get("private") != Some(&Value::Bool(true)));
        properties
            .insert("_id".into(), json!({"type": "string", "minLength": 1, "maxLength": super::id::MAX_ID_BYTES}));
        properties.insert("_rev".into(), json!({"type": "integer", "minimum": 1}));
    }
    let properties: Vec<String> =
        object.get("properties").and_then(Value::as_object).map(|p| p.keys().cloned().collect()).unwrap_or_default();
    if let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.retain(|name| name.as_str().is_some_and(|name| properties.iter().any(|known| known == name)));
        required.insert(0, "_rev".into());
        required.insert(0, "_id".into());
    }
}

/// A model as the core runs it: proved at the start, then shared and never changed.
pub(crate) struct ModelSchema {
    /// Its id.
    pub id: Cow<'static, str>,
    /// Who may reach it.
    pub access: Visibility,
    /// Whether a client may choose the id of a document that it inserts.
    pub client_ids: bool,
    /// How long what was deleted is kept in its trash; `None` when it is gone at once.
    pub trash: Option<Duration>,
    /// Its schema, that input has to fit.
    pub json: Value,
    /// Its fields.
    pub fields: Vec<FieldSchema>,
    /// Its indexes: those of one field, in the order of the fields, and those of several.
    pub indexes: Vec<IndexSchema>,
    /// What its fields refer to.
    pub references: Vec<Reference>,
    /// Whether a document may have members that are not among the fields.
    pub open: bool,
    /// Whether there is something private in it, at whatever depth.
    has_private: bool,
    /// What is private in its values as JSON; or why that cannot be told.
    shape: Result<Option<Arc<Shape>>, String>,
    /// What is filled into values that are JSON. The type of others knows its defaults itself.
    defaults: Option<Defaults>,
    /// What of it is there for anyone, when some of it is protected.
    open_form: Option<OpenForm>,
    form: Form,
    kind: Kind,
    validator: Validator,
}

/// In which form a model has its values.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// As a Rust type.
    Typed,
    /// As a [`Document`]: the schema was given at run time.
    Json,
}

/// How deep [`keep_withheld`] looks; a type that holds itself has no end.
const KEPT_DEPTH: usize = 32;

/// What a `$ref` within the schema leads to.
fn referred<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    root.pointer(path.strip_prefix('#')?)
}

fn keep_withheld(
    root: &Value,
    schema: &Value,
    next: &mut Value,
    current: &Value,
    kept: &dyn Fn(&Value) -> bool,
    depth: usize,
) {
    let mut schema = schema;
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        match referred(root, path) {
            Some(target) => schema = target,
            None => return,
        }
    }
    let (Some(properties), Value::Object(next)) = (schema.get("properties").and_then(Value::as_object), next) else {
        return;
    };
    for (name, property) in properties {
        let Some(old) = current.get(name) else { continue };
        match next.get_mut(name) {
            None if kept(property) => {
                next.insert(name.clone(), old.clone());
            }
            Some(next) if depth < KEPT_DEPTH => keep_withheld(root, property, next, old, kept, depth + 1),
            _ => {}
        }
    }
}

/// Whether a schema says `"private": true` anywhere. A member of that name in an example is harmless.
fn says_private(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => object.get("private") == Some(&Value::Bool(true)) || object.values().any(says_private),
        Value::Array(values) => values.iter().any(says_private),
        _ => false,
    }
}

/// What is asked about the values that a path leads to.
#[derive(Clone, Copy, PartialEq)]
enum Secrecy {
    /// Whether they are private, or parts of something private.
    Is,
    /// Also whether they have private parts.
    Holds,
    /// The same of what is private or protected.
    HoldsAny,
}

impl Secrecy {
    /// Whether a schema says it of its value.
    fn is_said(self, schema: &Value) -> bool {
        match self {
            Self::Is | Self::Holds => schema.get("private") == Some(&Value::Bool(true)),
            Self::HoldsAny => Level::of(schema).is_some(),
        }
    }
}

/// How far what the names lead to is withheld, or the most secret of its parts.
pub(crate) fn held_level(root: &Value, names: &[Box<str>]) -> Option<Level> {
    [(Level::Private, Secrecy::Holds), (Level::Protected, Secrecy::HoldsAny)]
        .into_iter()
        .find_map(|(level, asked)| secret(root, root, names, asked, 0).then_some(level))
}

/// Whether what the names lead to is private. Where the schema leaves a choice, one private alternative is enough; a schema that
/// is nested too deep to be looked at counts as private.
fn secret(root: &Value, schema: &Value, names: &[Box<str>], asked: Secrecy, depth: usize) -> bool {
    if depth > 2 * KEPT_DEPTH || asked.is_said(schema) {
        return true;
    }
    let inner = |schema: &Value, names: &[Box<str>]| secret(root, schema, names, asked, depth + 1);
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        let target_is = match (referred(root, path), names) {
            // A type that holds itself would be followed without end; its parts are all in the definitions.
            (Some(target), []) if asked == Secrecy::Is => asked.is_said(target),
            (Some(target), []) => says_with(root, target, asked),
            (Some(target), names) => inner(target, names),
            (None, _) => true,
        };
        if target_is {
            return true;
        }
    }
    let inside = walk::inside(schema);
    let mut alternatives = inside.iter().filter(|inner| matches!(inner.role, Role::Same | Role::Maybe));
    let Some((name, rest)) = names.split_first() else {
        return match asked {
            Secrecy::Is => alternatives.any(|it| inner(it.schema, names)),
            Secrecy::Holds | Secrecy::HoldsAny => says_with(root, schema, asked),
        };
    };
    // Of the properties only that one; of all others it is not known whether they speak of it.
    let speaks = |it: &&walk::Inner<'_>| it.keyword != "properties" || it.name.as_deref() == Some(name.as_ref());
    let mut parts = inside.iter().filter(|it| it.role == Role::Part).filter(speaks);
    alternatives.any(|it| inner(it.schema, names)) || parts.any(|it| inner(it.schema, rest))
}

fn members(schema: &Value) -> Vec<&Value> {
    match schema {
        Value::Object(object) => object.values().collect(),
        Value::Array(values) => values.iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether a schema says it anywhere, the definitions that it leads to included.
fn says_with(root: &Value, schema: &Value, asked: Secrecy) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        if asked.is_said(schema) {
            return true;
        }
        if let Some(path) = schema.get("$ref").and_then(Value::as_str)
            && !seen.contains(&path)
        {
            seen.push(path);
            open.extend(referred(root, path));
        }
        open.extend(members(schema));
    }
    false
}

/// A field as the core runs it.
#[derive(Clone, Debug)]
pub(crate) struct FieldSchema {
    /// Name on the wire.
    pub name: Cow<'static, str>,
    /// No two documents have the same value.
    pub unique: bool,
    /// Look-ups are fast.
    pub index: bool,
    /// It does not leave the process.
    pub private: bool,
    /// It is there for verified callers only.
    pub protected: bool,
}

impl FieldSchema {
    /// Whether it is neither shown to this audience nor asked for by it.
    pub(crate) fn is_withheld(&self, from: Audience) -> bool {
        (self.private && !from.sees(Level::Private)) || self.is_hidden(from)
    }

    /// Whether this audience does not know of it at all.
    pub(crate) fn is_hidden(&self, from: Audience) -> bool {
        self.protected && !from.sees(Level::Protected)
    }
}

impl ModelSchema {
    /// Proves a declaration: the schema compiles, and agrees with what the attribute saw.
    ///
    /// # Errors
    /// `INTERNAL` with what is wrong with the declaration, and where it stands.
    pub(crate) fn prove(declaration: &ModelDeclaration, schemas: &Schemas) -> Result<Arc<Self>> {
        let wrong = |what: String| {
            let Site { file, line, .. } = declaration.site;
            Error::new("INVALID_DECLARATION")
                .message(format!("model `{}` ({file}:{line}): {what}", declaration.id))
                .status(500)
        };
        if !is_model_id(declaration.id) {
            return Err(wrong("its id must match [a-z][A-Za-z0-9_-]*".into()));
        }
        Self::prove_named(declaration, schemas)
    }

    /// The same of a model of our own, whose id begins with `@`, so that none of a program has it, with indexes of these fields.
    pub(crate) fn prove_own(id: &'static str, kind: Kind, indexed: &'static [FieldDeclaration]) -> Result<Arc<Self>> {
        let declaration = ModelDeclaration {
            id,
            access: Visibility::Internal,
            caller: false,
            client_ids: false,
            trash: None,
            fields: indexed,
            indexes: &[],
            kind,
            site: Site { module: module_path!(), file: file!(), line: line!() },
        };
        Self::prove_named(&declaration, &Schemas::default())
    }

    fn prove_named(declaration: &ModelDeclaration, schemas: &Schemas) -> Result<Arc<Self>> {
        let wrong = |what: String| {
            let Site { file, line, .. } = declaration.site;
            Error::new("INVALID_DECLARATION")
                .message(format!("model `{}` ({file}:{line}): {what}", declaration.id))
                .status(500)
        };
        let json = schemas.contained_in_type((declaration.kind.schema)().to_value()).map_err(&wrong)?;
        let validator = Validator::new(&json).map_err(&wrong)?;
        let open_form = OpenForm::of(&json).map_err(&wrong)?;
        let empty = Map::new();
        let properties = json.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        for field in declaration.fields {
            let Some(property) = properties.get(field.name) else {
                return Err(wrong(format!("its schema has no property `{}`", field.name)));
            };
            let marked = |level: Level| property.get(level.keyword()) == Some(&Value::Bool(true));
            for (level, written, name) in
                [(Level::Private, field.private, "Private"), (Level::Protected, field.protected, "Protected")]
            {
                if marked(level) != written {
                    return Err(wrong(format!(
                        "the field `{}` is {} by an alias; write its type as `{name}<…>`, so that it can be left out",
                        field.name,
                        level.keyword()
                    )));
                }
            }
        }
        let references = Reference::read_all(&json, properties.iter()).map_err(&wrong)?;
        let mut fields: Vec<FieldSchema> = declaration
            .fields
            .iter()
            .map(|field| FieldSchema {
                name: field.name.into(),
                unique: field.unique,
                // Who refers to a document is asked whenever one goes.
                index: field.index || references.iter().any(|reference| *reference.field == *field.name),
                private: field.private,
                protected: field.protected,
            })
            .collect();
        // What is left are the members of flattened fields, which the attribute does not see.
        for (name, property) in properties {
            if declaration.fields.iter().all(|field| field.name != name) {
                let level = Level::of(property);
                fields.push(FieldSchema {
                    name: name.clone().into(),
                    unique: false,
                    index: false,
                    private: level == Some(Level::Private),
                    protected: level == Some(Level::Protected),
                });
            }
        }
        let indexes = IndexSchema::all(&fields, &json).map_err(&wrong)?;
        for index in declaration.indexes {
            let is_it = |known: &IndexSchema| {
                known.unique == index.unique && known.fields.iter().map(AsRef::as_ref).eq(index.fields.iter().copied())
            };
            if !indexes.iter().any(is_it) {
                let fields = index.fields.join("`, `");
                return Err(wrong(format!("its schema does not know of the index over `{fields}`")));
            }
        }
        Ok(Arc::new(Self {
            id: declaration.id.into(),
            access: declaration.access,
            open: false,
            client_ids: declaration.client_ids,
            trash: declaration.trash,
            has_private: says_private(&json),
            shape: Shape::of(&json).map(|shape| shape.map(Arc::new)),
            defaults: None,
            json,
            fields,
            indexes,
            references,
            open_form,
            form: Form::Typed,
            kind: declaration.kind,
            validator,
        }))
    }

    /// Checks a value against the schema and makes it typed.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations.
    pub(crate) fn value_from_json(&self, json: Value) -> Result<Box<dyn AnyValue>> {
        if self.form == Form::Json {
            return self.document_from_json(json);
        }
        self.check(&json)?;
        let beyond = ranges::beyond(&self.json, &json);
        (self.kind.from_json)(json).map_err(|cause| {
            if !beyond.is_empty() {
                return self.guarded(Error::validation(beyond));
            }
            // The schema took what the type does not: the type has a rule of its own, which serde words; with the value, which may be
            // one of what is private.
            let message = if self.has_private { "must fit its type".to_owned() } else { cause.to_string() };
            Error::validation(vec![Violation {
                instance_path: String::new(),
                keyword: "type".into(),
                message: message.into(),
                params: json!({}),
                schema_path: "#".into(),
            }])
        })
    }

    /// Reads JSON text, checks it against the schema and makes it typed.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations, or why it is not JSON.
    pub(crate) fn value_from_text(&self, text: &str) -> Result<Box<dyn AnyValue>> {
        self.value_at_once(text).unwrap_or_else(|| self.value_from_json(parse_json(text.as_bytes())?))
    }

    /// The same without the way through `Value`, where that cannot make a difference: for an object without members of the
    /// document, in a schema of plain keywords.
    pub(crate) fn value_at_once(&self, text: &str) -> Option<Result<Box<dyn AnyValue>>> {
        if self.form == Form::Json || self.indexes.iter().any(IndexSchema::asks_for_one_array) {
            return None;
        }
        match self.validator.check_text(text, Some(&MEMBERS_OF_THE_DOCUMENT))? {
            // Of what the type refuses the words are those of the other way.
            Ok(()) => (self.kind.from_text)(text).ok().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// Fills in what a value lacks, where its type does not.
    fn fill(&self, json: &mut Value) -> Result<()> {
        self.defaults.as_ref().map_or(Ok(()), |defaults| defaults.fill(json))
    }

    fn document_from_json(&self, mut json: Value) -> Result<Box<dyn AnyValue>> {
        self.fill(&mut json)?;
        self.check(&json)?;
        let Value::Object(members) = json else { return Err(Error::validation(vec![not_an_object()])) };
        if let Some(name) = MEMBERS_OF_THE_DOCUMENT.into_iter().find(|name| members.contains_key(*name)) {
            return Err(Error::validation(vec![member_of_the_document(name)]));
        }
        Ok(Box::new(Document::of(members, self.shape.clone().unwrap_or_default())))
    }

    /// A value that a program made: checked, and in the form that the model has its values in.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations.
    pub(crate) fn admit(&self, mut value: Box<dyn AnyValue>) -> Result<Box<dyn AnyValue>> {
        match value.as_any_mut().downcast_mut::<Document>() {
            Some(document) => self.value_from_json(Value::Object(document.take())),
            None => {
                self.check_value(&*value)?;
                Ok(value)
            }
        }
    }

    /// A document as JSON that knows what is private in it.
    ///
    /// # Errors
    /// `NOT_DYNAMIC` where that cannot be told.
    pub(crate) fn dynamic(&self, doc: &DynDoc) -> Result<Document> {
        let shape = self.is_dynamic()?.clone();
        match doc.to_stored()? {
            Value::Object(members) => Ok(Document::of(members, shape)),
            _ => Err(Error::internal("a document that is no object")),
        }
    }

    /// Whether documents can be had as JSON.
    fn is_dynamic(&self) -> Result<&Option<Arc<Shape>>> {
        self.shape.as_ref().map_err(|reason| {
            Error::new("NOT_DYNAMIC")
                .status(500)
                .message(format!("the documents of `{}` cannot be had as JSON: {reason}", self.id))
        })
    }

    /// What is private in its documents as JSON, if that is anything.
    #[cfg(feature = "cli")]
    pub(crate) fn shape(&self) -> Option<Arc<Shape>> {
        self.shape.clone().unwrap_or_default()
    }

    /// Whether its values are of the type `T`.
    pub(crate) fn is_of<T: Stored>(&self) -> bool {
        self.kind.is_of::<T>()
    }

    /// Checks the stored form of a value against the schema.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations.
    pub(crate) fn check(&self, json: &Value) -> Result<()> {
        self.validator.check(json).map_err(|error| self.guarded(error))?;
        let violations: Vec<Violation> = self.indexes.iter().filter_map(|index| index.second_array(json)).collect();
        if violations.is_empty() { Ok(()) } else { Err(self.guarded(Error::validation(violations))) }
    }

    /// Checks a typed value against the schema.
    fn check_value(&self, value: &dyn AnyValue) -> Result<()> {
        let checked = self.validator.check_view(&ValueRef::Object(value.object()));
        match checked {
            None => self.check(&value.to_stored()?),
            Some(outcome) => outcome.map_err(|error| self.guarded(error)),
        }
    }

    /// Whether [`ModelSchema::admit`] would answer the value as it is.
    pub(crate) fn admits(&self, value: &dyn AnyValue) -> bool {
        let of_kind = (value as &dyn Any).type_id() == (self.kind.id)();
        self.form == Form::Typed && of_kind && self.check_value(value).is_ok()
    }

    /// Whether what the names lead to is private, or part of something private.
    pub(crate) fn is_private(&self, names: &[Box<str>], by: Audience) -> bool {
        let schema = self.json_for(by);
        self.has_private && secret(schema, schema, names, Secrecy::Is, 0)
    }

    /// Whether what the names lead to is private, or has private parts.
    pub(crate) fn holds_private(&self, names: &[Box<str>], by: Audience) -> bool {
        let schema = self.json_for(by);
        self.has_private && secret(schema, schema, names, Secrecy::Holds, 0)
    }

    /// Makes a typed value from its stored form, which was checked when it was written.
    ///
    /// # Errors
    /// What serde says when the type has changed since.
    pub(crate) fn decode(&self, text: &str) -> Result<Box<dyn AnyValue>, serde_json::Error> {
        if self.form == Form::Typed {
            return (self.kind.from_text)(text);
        }
        let mut document: Document = serde_json::from_str(text)?;
        if let Some(defaults) = &self.defaults {
            // As a type does that has gained a field. Whether it fits then is asked when the schema has changed.
            let mut json = Value::Object(document.take());
            let _ = defaults.fill(&mut json);
            document = json.try_into().unwrap_or_default();
        }
        Ok(Box::new(Document::of(document.into_members(), self.shape.clone().unwrap_or_default())))
    }

    /// A query as the hooks of the model see it.
    pub(crate) fn typed_query(&self, raw: RawQuery) -> Box<dyn Any + Send> {
        (self.kind.to_query)(raw)
    }

    /// The query that the hooks left.
    pub(crate) fn raw_query(&self, query: &(dyn Any + Send)) -> Option<RawQuery> {
        (self.kind.from_query)(query)
    }

    /// The field of that name.
    #[must_use]
    pub(crate) fn field(&self, name: &str) -> Option<&FieldSchema> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The first field that is declared as a whole number, which many documents can be told apart by.
    pub(crate) fn first_whole(&self) -> Option<&str> {
        let is_whole = |name: &str| self.json["properties"][name]["type"] == "integer";
        self.fields.iter().map(|field| &*field.name).find(|name| is_whole(name))
    }
}

/// JSON from outside.
///
/// # Errors
/// `INVALID_REQUEST`, or `PAYLOAD_TOO_LARGE` when it is nested too deep.
pub(crate) fn parse_json(text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|cause| {
        let text = cause.to_string();
        // serde_json has no other sign of it.
        if text.starts_with("recursion limit exceeded") {
            return Error::new(ErrorCode::PayloadTooLarge).message("JSON is nested 127 deep at most");
        }
        Error::new(ErrorCode::InvalidRequest).message(format!("malformed JSON: {text}"))
    })
}

impl std::fmt::Debug for ModelSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelSchema").field("id", &self.id).field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// How deep extensions nest.
const MOST_PARENTS: usize = 7;

/// Whether a text can be the id of a model: one as of an operation, behind those of the models that it extends, as in
/// `system.ssh`.
#[must_use]
pub(crate) fn is_model_id(text: &str) -> bool {
    text.split('.').all(is_operation_id) && text.split('.').count() <= MOST_PARENTS + 1
}

/// The id of the model that the model of this id extends, and its own.
pub(crate) fn extended(id: &str) -> Option<(&str, &str)> {
    id.rsplit_once('.')
}

/// Those of the ids that are of extensions of a model, each within it.
pub(crate) fn extensions<'a>(of: &str, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    ids.filter_map(extended).filter(|(parent, _)| *parent == of).map(|(_, own)| own.to_owned()).collect()
}

/// The length of an extension's id. For expansions.
#[must_use]
pub const fn joined_length(parent: &str, own: &str) -> usize {
    parent.len() + 1 + own.len()
}

/// The bytes of an extension's id. For expansions.
#[must_use]
pub const fn joined<const LENGTH: usize>(parent: &str, own: &str) -> [u8; LENGTH] {
    let (parent, own) = (parent.as_bytes(), own.as_bytes());
    let mut joined = [b'.'; LENGTH];
    let (before, rest) = joined.split_at_mut(parent.len());
    before.copy_from_slice(parent);
    let (_, after) = rest.split_at_mut(1);
    after.copy_from_slice(own);
    joined
}

/// The text of an extension's id. For expansions.
///
/// # Panics
/// Never: two texts and a dot are a text. It is evaluated by the compiler.
#[must_use]
#[expect(clippy::panic, reason = "at compile time it is a message")]
pub const fn joined_text(joined: &'static [u8]) -> &'static str {
    match std::str::from_utf8(joined) {
        Ok(text) => text,
        Err(_) => panic!("an id is no text"),
    }
}

/// Whether a text can be the id of an operation, or of a model within the one that it extends: `[a-z][A-Za-z0-9_-]*`, at most 64 bytes.
#[must_use]
pub(crate) fn is_operation_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
