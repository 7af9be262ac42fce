//! Checks values against a JSON Schema (draft 2020-12), and words what is wrong as AJV 8 does with `allErrors`.
//!
//! Whether a value fits is decided by the crate `jsonschema`; about plain schemas, by [`Checker`] first. Only for a value that does not fit, the schema is gone
//! through once more, by the rules below: what AJV reports (each branch of an `anyOf`, both places of a duplicate item)
//! cannot be had from the errors of another validator. The rules ask `jsonschema` about every single keyword, so that the
//! two cannot differ about a number or a pattern; and where they find nothing to report, a plain violation is reported.
//!
//! A violation says where and which rule, never which value: that may be private.

mod messages;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Registry, Uri, ValidationError, ValidationOptions};
use serde_json::{Map, Number, Value, json};

use self::messages::Messages;
use super::check::reading::is_without;
use super::check::{Checker, Outcome};
use super::private::Level;
use super::schema::walk::find_reference;
use super::text::Json;
use super::value::{AsValue, ValueRef};
use crate::error::{Error, Result, Violation};

/// The most violations that are reported of one value. A hostile body has room for millions.
pub(super) const MAX_VIOLATIONS: usize = 100;

/// What the violations of one value may take together, in bytes. Each of them repeats names from the value, which the
/// sender may have made long. The first violation is always reported, however long it is.
pub(super) const MAX_VIOLATION_BYTES: usize = 64 * 1024;

/// The only dialect that is read.
pub(super) const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The base of references in a schema without `$id`; it is never shown.
pub(super) const BASE: &str = "json-schema:///";

/// A schema, made ready to check values.
pub(crate) struct Validator {
    /// Decides about most values, where the schema is plain.
    checker: Option<Checker>,
    fits: jsonschema::Validator,
    nodes: Vec<Node>,
    /// Some `unevaluated…` keyword stands in the schema, so what was evaluated has to be remembered.
    tracks: bool,
    /// The schema, where messages show values and some are withheld.
    schema: Option<Value>,
}

impl Validator {
    /// Makes a schema ready. Nothing is fetched: references lead into the schema or to the meta-schemas.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the schema.
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        if let Some(dialect) = schema.get("$schema").and_then(Value::as_str)
            && dialect.trim_end_matches('#') != DIALECT
        {
            return Err(format!("the schema is written in `{dialect}`, but only `{DIALECT}` is understood"));
        }
        jsonschema::draft202012::meta::validate(schema).map_err(|error| told(&error))?;
        let base = jsonschema::uri::from_str(BASE).map_err(|error| error.to_string())?;
        let registry = Registry::new()
            .draft(Draft::Draft202012)
            .add(BASE, schema)
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| unresolved(schema, &error.to_string()))?;
        let mut compiler = Compiler {
            schema,
            registry: &registry,
            known: HashMap::new(),
            nodes: Vec::new(),
            anchors: anchors(schema),
            tracks: false,
            shows_values: false,
        };
        compiler.node(schema, &base)?;
        let Compiler { nodes, tracks, shows_values, .. } = compiler;
        refuse_loops(&nodes)?;
        let fits = options().build(schema).map_err(|error| told(&error))?;
        let checker = Checker::new(schema);
        let schema = shows_values.then(|| schema.clone()).and_then(all_private);
        Ok(Self { checker, fits, nodes, tracks, schema })
    }

    /// Checks a value.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with the violations, in the order of the schema's keywords; the first
    /// [`MAX_VIOLATIONS`] of them if there are more.
    pub(crate) fn check(&self, value: &Value) -> Result<()> {
        self.check_view(&value.as_value()).unwrap_or_else(|| self.check_thoroughly(value))
    }

    /// Checks a value that is not JSON yet; `None` when it has to be for that.
    pub(crate) fn check_view(&self, value: &ValueRef<'_>) -> Option<Result<()>> {
        match self.checker.as_ref()?.check(value) {
            Outcome::Fits => Some(Ok(())),
            Outcome::Broken(violations) => Some(Err(Error::violated(violations))),
            Outcome::Unsure => None,
        }
    }

    /// Checks a value that is still a text; `None` when it has to be JSON for that, or is, where there are names, no object without
    /// members of these.
    pub(crate) fn check_text(&self, text: &str, without: Option<&'static [&'static str]>) -> Option<Result<()>> {
        if self.checker.as_ref()?.fits_text(text, without) {
            return Some(Ok(()));
        }
        let json: Json<'_> = serde_json::from_str(text).ok()?;
        let view = json.as_value();
        if is_without(&view, without) { self.check_view(&view) } else { None }
    }

    pub(super) fn check_thoroughly(&self, value: &Value) -> Result<()> {
        if self.fits.is_valid(value) {
            return Ok(());
        }
        let mut walk = Walk {
            nodes: &self.nodes,
            tracks: self.tracks,
            root: value,
            schema: self.schema.as_ref(),
            place: String::new(),
            path: "#".to_owned(),
            violations: Vec::new(),
            mark: Mark::default(),
            branches: 0,
            silent: 0,
        };
        walk.visit(ROOT, value);
        if walk.violations.is_empty() {
            // The rules below know less than `jsonschema` does, e.g. of a `$dynamicRef` whose target depends on the way
            // that led to it. Its error messages quote the value, so only the places are taken over.
            for violation in self.fits.iter_errors(value).map(|error| unexplained(&error)) {
                if walk.has_no_room() {
                    break;
                }
                walk.keep(violation);
            }
        }
        Err(Error::validation(walk.violations))
    }
}

impl std::fmt::Debug for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validator").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

fn options() -> ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .with_pattern_options(PatternOptions::regex())
        .offline()
}

/// An error about the schema itself, whose values may be shown.
fn told(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    let place = if place.is_empty() { String::new() } else { format!(" at `{place}`") };
    match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => format!(
            "the schema is not valid{place}: {} is not a regular expression that runs in linear time \
             (without look-around and back-references, and of moderate size)",
            error.instance()
        ),
        _ => format!("the schema is not valid{place}: {error}"),
    }
}

fn unexplained(error: &ValidationError<'_>) -> Violation {
    let keyword = error.kind().keyword().to_owned();
    let mut path = "#".to_owned();
    for segment in error.schema_path().as_str().split('/').skip(1) {
        path.push('/');
        // A keyword, in contrast to a name, is written as it is.
        if segment == "$defs" { path.push_str(segment) } else { encode(segment, &mut path) }
    }
    Violation {
        instance_path: error.instance_path().as_str().to_owned(),
        message: format!("must pass \"{keyword}\" keyword validation").into(),
        keyword: keyword.into(),
        params: json!({}),
        schema_path: path.into(),
    }
}

/// One schema object or boolean; its rules are in the order of its keywords.
type Node = Vec<Rule>;

/// The node of the whole schema, which is compiled first.
const ROOT: usize = 0;

/// A schema below another one.
struct Child {
    node: usize,
    /// What leads to it from its parent, e.g. `/properties/email`.
    path: String,
}

/// A schema that goes with a property.
struct Property {
    name: String,
    schema: Child,
}

/// A schema that goes with all properties of a pattern.
struct Pattern {
    regex: Leaf,
    schema: Child,
}

/// One keyword by itself, as `jsonschema` understands it. It is made ready when a value first fails, as most never do.
pub(super) struct Leaf {
    schema: Value,
    ready: OnceLock<Option<jsonschema::Validator>>,
}

impl Leaf {
    pub(super) fn new(keyword: &str, value: &Value) -> Self {
        let mut schema = Map::new();
        schema.insert(keyword.to_owned(), value.clone());
        Self { schema: Value::Object(schema), ready: OnceLock::new() }
    }

    fn pattern(regex: &str) -> Self {
        Self::new("pattern", &Value::from(regex))
    }

    pub(super) fn fits(&self, value: &Value) -> bool {
        // It always builds, since it was built before as a part of the whole schema.
        let ready = self.ready.get_or_init(|| options().build(&self.schema).ok());
        ready.as_ref().is_none_or(|ready| ready.is_valid(value))
    }
}

/// What has to hold for a property to be there.
struct Dependency {
    property: String,
    required: Vec<String>,
    /// The names, as a message lists them.
    list: String,
}

/// One keyword.
enum Rule {
    /// The schema `false`.
    Never,
    /// A keyword that looks at the value itself: all but those below.
    Assert {
        keyword: &'static str,
        check: Leaf,
        message: Cow<'static, str>,
        params: Value,
    },
    Required(Vec<String>),
    DependentRequired {
        keyword: &'static str,
        dependencies: Vec<Dependency>,
    },
    Unique {
        check: Leaf,
        types: Option<Leaf>,
    },

    Reference {
        path: String,
        target: usize,
    },
    AllOf(Vec<Child>),
    AnyOf(Vec<Child>),
    OneOf(Vec<Child>),
    Not(Child),
    If {
        condition: Child,
        then: Option<Child>,
        otherwise: Option<Child>,
    },
    DependentSchemas(Vec<Property>),

    Properties(Vec<Property>),
    PatternProperties(Vec<Pattern>),
    AdditionalProperties {
        schema: Option<Child>,
        names: HashSet<String>,
        patterns: Vec<Leaf>,
    },
    PropertyNames(Child),
    PrefixItems(Vec<Child>),
    Items {
        schema: Option<Child>,
        after: usize,
    },
    Contains {
        schema: Child,
        min: u64,
        max: Option<u64>,
    },
    UnevaluatedItems(Option<Child>),
    UnevaluatedProperties(Option<Child>),

    /// What to say instead.
    Messages(Messages),
}

impl Rule {
    /// The schemas that look at the same value as this keyword, not into it.
    fn beside(&self) -> Vec<usize> {
        match self {
            Self::Reference { target, .. } => vec![*target],
            Self::AllOf(all) | Self::AnyOf(all) | Self::OneOf(all) => all.iter().map(|child| child.node).collect(),
            Self::Not(child) => vec![child.node],
            Self::If { condition, then, otherwise } => [Some(condition), then.as_ref(), otherwise.as_ref()]
                .into_iter()
                .flatten()
                .map(|child| child.node)
                .collect(),
            Self::DependentSchemas(all) => all.iter().map(|property| property.schema.node).collect(),
            _ => Vec::new(),
        }
    }
}

/// Turns a schema that fits its meta-schema into rules.
struct Compiler<'s> {
    schema: &'s Value,
    registry: &'s Registry<'s>,
    /// Schemas that were seen, by their address: references lead to them more than once, and may lead back.
    known: HashMap<*const Value, usize>,
    nodes: Vec<Node>,
    /// How often each dynamic anchor is declared.
    anchors: HashMap<String, usize>,
    tracks: bool,
    shows_values: bool,
}

impl Compiler<'_> {
    fn node(&mut self, schema: &Value, base: &Uri<String>) -> Result<usize, String> {
        match schema.get("$id").and_then(Value::as_str) {
            Some(id) => self.placed(schema, &resolve(base, id)?),
            None => self.placed(schema, base),
        }
    }

    /// The same for a schema whose `$id` is counted in the base.
    fn placed(&mut self, schema: &Value, base: &Uri<String>) -> Result<usize, String> {
        let address = std::ptr::from_ref(schema);
        if let Some(node) = self.known.get(&address) {
            return Ok(*node);
        }
        let node = self.nodes.len();
        self.known.insert(address, node);
        self.nodes.push(Vec::new());
        let rules = match schema {
            Value::Bool(false) => vec![Rule::Never],
            Value::Object(members) => self.rules(members, base)?,
            _ => Vec::new(),
        };
        if let Some(place) = self.nodes.get_mut(node) {
            *place = rules;
        }
        Ok(node)
    }

    fn rules(&mut self, members: &Map<String, Value>, base: &Uri<String>) -> Result<Vec<Rule>, String> {
        let mut rules = Vec::new();
        let mut last = Vec::new();
        for (keyword, value) in members {
            match keyword.as_str() {
                "unevaluatedItems" | "unevaluatedProperties" => last.extend(self.rule(keyword, value, members, base)?),
                "dependencies" => {
                    // Not in this draft any more, but still read; it is two keywords in one.
                    rules.push(Rule::DependentRequired { keyword: "dependencies", dependencies: dependencies(value) });
                    rules.push(Rule::DependentSchemas(self.named("dependencies", value, base)?));
                }
                _ => rules.extend(self.rule(keyword, value, members, base)?),
            }
        }
        // They look at what all the others have left over.
        rules.append(&mut last);
        if let Some(messages) = members.get(messages::KEYWORD) {
            let reference = rules.iter().find_map(|rule| match rule {
                Rule::Reference { path, .. } => Some(path.as_str()),
                _ => None,
            });
            let messages = Messages::new(messages, reference)?;
            self.shows_values |= messages.shows_values();
            rules.push(Rule::Messages(messages));
        }
        Ok(rules)
    }

    fn rule(
        &mut self,
        keyword: &str,
        value: &Value,
        members: &Map<String, Value>,
        base: &Uri<String>,
    ) -> Result<Option<Rule>, String> {
        Ok(Some(match keyword {
            "$ref" | "$dynamicRef" => return self.reference(keyword, value, base),
            "$defs" | "definitions" => {
                // What nothing refers to is never run, but a mistake in it is one all the same.
                for schema in value.as_object().into_iter().flat_map(Map::values).filter(|schema| is_schema(schema)) {
                    self.node(schema, base)?;
                }
                return Ok(None);
            }
            "allOf" => Rule::AllOf(self.list("allOf", value, base)?),
            "anyOf" => Rule::AnyOf(self.list("anyOf", value, base)?),
            "oneOf" => Rule::OneOf(self.list("oneOf", value, base)?),
            "prefixItems" => Rule::PrefixItems(self.list("prefixItems", value, base)?),
            "not" => Rule::Not(self.child("not", value, base)?),
            "propertyNames" => Rule::PropertyNames(self.child("propertyNames", value, base)?),
            "if" => {
                let condition = self.child("if", value, base)?;
                let then = members.get("then").map(|then| self.child("then", then, base)).transpose()?;
                let otherwise = members.get("else").map(|otherwise| self.child("else", otherwise, base)).transpose()?;
                Rule::If { condition, then, otherwise }
            }
            "properties" => Rule::Properties(self.named("properties", value, base)?),
            "dependentSchemas" => Rule::DependentSchemas(self.named("dependentSchemas", value, base)?),
            "patternProperties" => {
                let named = self.named("patternProperties", value, base)?;
                let pattern = |Property { name, schema }| Pattern { regex: Leaf::pattern(&name), schema };
                Rule::PatternProperties(named.into_iter().map(pattern).collect())
            }
            "additionalProperties" => Rule::AdditionalProperties {
                schema: self.child_unless_false("additionalProperties", value, base)?,
                names: names(members.get("properties")).map(str::to_owned).collect(),
                patterns: names(members.get("patternProperties")).map(Leaf::pattern).collect(),
            },
            "items" => match members.get("prefixItems").and_then(Value::as_array) {
                Some(prefix) => {
                    Rule::Items { schema: self.child_unless_false("items", value, base)?, after: prefix.len() }
                }
                None => Rule::Items { schema: Some(self.child("items", value, base)?), after: 0 },
            },
            "contains" => Rule::Contains {
                schema: self.child("contains", value, base)?,
                min: members.get("minContains").and_then(count).unwrap_or(1),
                max: members.get("maxContains").and_then(count),
            },
            "unevaluatedItems" => {
                self.tracks = true;
                Rule::UnevaluatedItems(self.child_unless_false("unevaluatedItems", value, base)?)
            }
            "unevaluatedProperties" => {
                self.tracks = true;
                Rule::UnevaluatedProperties(self.child_unless_false("unevaluatedProperties", value, base)?)
            }
            "required" => Rule::Required(texts(value)),
            "dependentRequired" => {
                Rule::DependentRequired { keyword: "dependentRequired", dependencies: dependencies(value) }
            }
            "uniqueItems" if value == &Value::Bool(true) => Rule::Unique {
                check: Leaf::new("uniqueItems", value),
                types: members.get("items").and_then(scalar_types).map(|types| Leaf::new("type", types)),
            },
            _ => return Ok(assertion(keyword, value)),
        }))
    }

    fn reference(&mut self, keyword: &str, value: &Value, base: &Uri<String>) -> Result<Option<Rule>, String> {
        let Some(reference) = value.as_str() else { return Ok(None) };
        let found = self.registry.resolver(base.clone()).lookup(reference).map_err(|error| {
            let found = find_reference(self.schema, |other| other == reference);
            let place = found.map(|(place, _)| format!(" at `{place}`")).unwrap_or_default();
            format!("`{keyword}` to `{reference}` does not resolve{place}: {error}")
        })?;
        if keyword == "$dynamicRef"
            && let Some(anchor) = found.contents().get("$dynamicAnchor").and_then(Value::as_str)
            && reference.ends_with(&format!("#{anchor}"))
            && self.anchors.get(anchor) != Some(&1)
        {
            // The target depends on the way that led here; such values are left to `jsonschema`.
            return Ok(None);
        }
        if !is_schema(found.contents()) {
            return Err(format!("`{keyword}` to `{reference}` does not lead to a schema"));
        }
        let base = found.resolver().base_uri();
        let target = self.placed(found.contents(), &base)?;
        // As it is written, except that the schema itself is always `#`.
        let path = if target == ROOT { "#" } else { reference };
        Ok(Some(Rule::Reference { path: path.to_owned(), target }))
    }

    fn child(&mut self, keyword: &str, schema: &Value, base: &Uri<String>) -> Result<Child, String> {
        Ok(Child { node: self.node(schema, base)?, path: format!("/{keyword}") })
    }

    /// `None` for `false`, which these keywords report in their own words.
    fn child_unless_false(
        &mut self,
        keyword: &str,
        schema: &Value,
        base: &Uri<String>,
    ) -> Result<Option<Child>, String> {
        if schema == &Value::Bool(false) { Ok(None) } else { self.child(keyword, schema, base).map(Some) }
    }

    fn list(&mut self, keyword: &str, schemas: &Value, base: &Uri<String>) -> Result<Vec<Child>, String> {
        let schemas = schemas.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut all = Vec::with_capacity(schemas.len());
        for (at, schema) in schemas.iter().enumerate() {
            all.push(Child { node: self.node(schema, base)?, path: format!("/{keyword}/{at}") });
        }
        Ok(all)
    }

    fn named(&mut self, keyword: &str, schemas: &Value, base: &Uri<String>) -> Result<Vec<Property>, String> {
        let mut all = Vec::new();
        for (name, schema) in schemas.as_object().into_iter().flatten().filter(|(_, schema)| is_schema(schema)) {
            let mut path = format!("/{keyword}/");
            encode(&escape(name), &mut path);
            all.push(Property { name: name.clone(), schema: Child { node: self.node(schema, base)?, path } });
        }
        Ok(all)
    }
}

/// What is said of a value that a keyword does not take.
pub(super) struct Told {
    pub(super) message: Cow<'static, str>,
    pub(super) params: Value,
}

impl Told {
    pub(super) fn new(message: impl Into<Cow<'static, str>>, params: Value) -> Self {
        Self { message: message.into(), params }
    }

    pub(super) fn required(name: &str) -> Self {
        Self::new(format!("must have required property '{name}'"), json!({"missingProperty": name}))
    }

    pub(super) fn additional(name: &str) -> Self {
        Self::new("must NOT have additional properties", json!({"additionalProperty": name}))
    }
}

/// A keyword that looks at the value itself; `None` for what asserts nothing, e.g. a keyword or a format of our own.
fn assertion(keyword: &str, value: &Value) -> Option<Rule> {
    let (keyword, Told { message, params }) = told_of(keyword, value)?;
    Some(Rule::Assert { keyword, check: Leaf::new(keyword, value), message, params })
}

/// What such a keyword says.
pub(super) fn told_of(keyword: &str, value: &Value) -> Option<(&'static str, Told)> {
    let limit = || json!({"limit": plain(value)});
    let compare =
        |sign: &str| (format!("must be {sign} {}", number(value)), json!({"comparison": sign, "limit": plain(value)}));
    let amount = |which: &str, of: &str| (format!("must NOT have {which} than {} {of}", number(value)), limit());
    let (keyword, (message, params)) = match keyword {
        "type" => {
            let types = value.as_str().map_or_else(|| texts(value).join(","), str::to_owned);
            ("type", (format!("must be {types}"), json!({"type": value})))
        }
        "enum" => ("enum", ("must be equal to one of the allowed values".to_owned(), json!({"allowedValues": value}))),
        "const" => ("const", ("must be equal to constant".to_owned(), json!({"allowedValue": value}))),
        "maximum" => ("maximum", compare("<=")),
        "minimum" => ("minimum", compare(">=")),
        "exclusiveMaximum" => ("exclusiveMaximum", compare("<")),
        "exclusiveMinimum" => ("exclusiveMinimum", compare(">")),
        "multipleOf" => {
            ("multipleOf", (format!("must be multiple of {}", number(value)), json!({"multipleOf": plain(value)})))
        }
        "maxLength" => ("maxLength", amount("more", "characters")),
        "minLength" => ("minLength", amount("fewer", "characters")),
        "maxItems" => ("maxItems", amount("more", "items")),
        "minItems" => ("minItems", amount("fewer", "items")),
        "maxProperties" => ("maxProperties", amount("more", "properties")),
        "minProperties" => ("minProperties", amount("fewer", "properties")),
        "pattern" => {
            let pattern = value.as_str().unwrap_or_default();
            ("pattern", (format!("must match pattern \"{pattern}\""), json!({"pattern": pattern})))
        }
        "format" => {
            let format = value.as_str().unwrap_or_default();
            if !jsonschema::options().is_known_format(Draft::Draft202012, format) {
                return None;
            }
            ("format", (format!("must match format \"{format}\""), json!({"format": format})))
        }
        _ => return None,
    };
    Some((keyword, Told::new(message, params)))
}

/// A schema of which some reference leads out of it; the error names the address.
fn unresolved(schema: &Value, error: &str) -> String {
    let base = schema.get("$id").and_then(Value::as_str).unwrap_or_default();
    let is_meant = |reference: &str| {
        let address = reference.split('#').next().filter(|address| !address.is_empty());
        let whole = address.and_then(|address| resolved(&resolved(BASE, base).ok()?, address).ok());
        // Without a base it is named as it is written.
        address.into_iter().chain(whole.as_deref()).any(|address| error.contains(&format!("'{address}'")))
    };
    match find_reference(schema, is_meant) {
        Some((place, reference)) => format!("`$ref` to `{reference}` does not resolve at `{place}`: {error}"),
        None => format!("a reference of the schema does not resolve: {error}"),
    }
}

/// The URI of a reference from a base.
///
/// # Errors
/// What is wrong with it.
pub(super) fn resolved(base: &str, reference: &str) -> Result<String, String> {
    let base = jsonschema::uri::from_str(base).map_err(|error| error.to_string())?;
    resolve(&base, reference).map(|uri| uri.as_str().to_owned())
}

fn resolve(base: &Uri<String>, id: &str) -> Result<Uri<String>, String> {
    jsonschema::uri::resolve_against(&base.borrow(), id)
        .map_err(|error| format!("the `$id` `{id}` is no reference: {error}"))
}

fn is_schema(value: &Value) -> bool {
    value.is_object() || value.is_boolean()
}

fn names(object: Option<&Value>) -> impl Iterator<Item = &str> {
    object.and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn dependencies(value: &Value) -> Vec<Dependency> {
    let dependency = |(property, required): (&String, &Value)| {
        let required = texts(required);
        Dependency { property: property.clone(), list: required.join(", "), required }
    };
    value.as_object().into_iter().flatten().filter(|(_, required)| required.is_array()).map(dependency).collect()
}

/// A count is an integer, but may be written `2.0`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|float| *float >= 0.0).map(|float| float as u64))
}

/// The schema with all that is withheld from anybody as private; `None` when nothing is. A message does not know whom it is for.
fn all_private(mut schema: Value) -> Option<Value> {
    let mut found = false;
    let mut open = vec![&mut schema];
    while let Some(value) = open.pop() {
        if Level::of(value).is_some() {
            found = true;
            value["private"] = true.into();
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values_mut()),
            _ => {}
        }
    }
    found.then_some(schema)
}

/// The types of items, if they are declared and neither arrays nor objects. AJV then looks for duplicates from the end
/// and among items of these types only, and so it names other ones.
fn scalar_types(items: &Value) -> Option<&Value> {
    let types = items.get("type")?;
    let listed = types.as_array().map_or(std::slice::from_ref(types), Vec::as_slice);
    (!listed.is_empty() && !listed.iter().any(|kind| kind == "object" || kind == "array")).then_some(types)
}

/// How often each dynamic anchor is declared.
fn anchors(schema: &Value) -> HashMap<String, usize> {
    let mut counted = HashMap::new();
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                if let Some(anchor) = members.get("$dynamicAnchor").and_then(Value::as_str) {
                    *counted.entry(anchor.to_owned()).or_insert(0) += 1;
                }
                open.extend(members.values());
            }
            _ => {}
        }
    }
    counted
}

/// Refuses a schema that leads back to itself without going into the value: checking any value against it would not end.
fn refuse_loops(nodes: &[Node]) -> Result<(), String> {
    // Schemas from which no way leads back are taken away until none is left; what stays leads into a loop.
    let beside: Vec<Vec<usize>> = nodes.iter().map(|rules| rules.iter().flat_map(Rule::beside).collect()).collect();
    let mut users = vec![Vec::new(); nodes.len()];
    for (node, targets) in beside.iter().enumerate() {
        for target in targets {
            if let Some(users) = users.get_mut(*target) {
                users.push(node);
            }
        }
    }
    let mut left: Vec<usize> = beside.iter().map(Vec::len).collect();
    let mut free: Vec<usize> = (0..nodes.len()).filter(|node| left.get(*node) == Some(&0)).collect();
    let mut taken = 0;
    while let Some(node) = free.pop() {
        taken += 1;
        for user in users.get(node).into_iter().flatten() {
            if let Some(left) = left.get_mut(*user) {
                *left -= 1;
                if *left == 0 {
                    free.push(*user);
                }
            }
        }
    }
    if taken == nodes.len() { Ok(()) } else { Err("a `$ref` of the schema leads back to itself".to_owned()) }
}

/// What of a value was looked at by some keyword, for `unevaluatedProperties` and `unevaluatedItems`.
#[derive(Default)]
struct Seen<'v> {
    all_properties: bool,
    properties: HashSet<&'v str>,
    all_items: bool,
    /// So many items from the start.
    items: usize,
    /// Single items, that fit a `contains`.
    contained: HashSet<usize>,
}

impl Seen<'_> {
    fn merge(&mut self, other: Self) {
        self.all_properties |= other.all_properties;
        self.properties.extend(other.properties);
        self.all_items |= other.all_items;
        self.items = self.items.max(other.items);
        self.contained.extend(other.contained);
    }

    fn has_item(&self, at: usize) -> bool {
        self.all_items || at < self.items || self.contained.contains(&at)
    }
}

/// How far the report is, to go back to when a branch fits after all.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// Violations that were found, reported or not.
    found: usize,
    reported: usize,
    bytes: usize,
}

/// A step into the value.
enum Step<'a> {
    Stay,
    Into(&'a str),
    At(usize),
}

/// One way through a value and its schema.
struct Walk<'a> {
    nodes: &'a [Node],
    tracks: bool,
    /// The whole value, and the whole schema where some of it is withheld; for messages that show values.
    root: &'a Value,
    schema: Option<&'a Value>,
    /// JSON Pointer to the value at hand.
    place: String,
    /// URI fragment of the schema at hand.
    path: String,
    violations: Vec<Violation>,
    mark: Mark,
    /// How many keywords are open that may drop what was found.
    branches: usize,
    /// How many keywords are open that only ask whether the value fits.
    silent: usize,
}

impl Walk<'_> {
    /// Whether the value fits, and what of it was looked at.
    fn visit<'v>(&mut self, node: usize, value: &'v Value) -> (bool, Seen<'v>) {
        let (before, start) = (self.mark.found, self.violations.len());
        let mut seen = Seen::default();
        let nodes = self.nodes;
        for rule in nodes.get(node).into_iter().flatten() {
            if let Rule::Messages(messages) = rule
                && self.silent == 0
            {
                self.replace(messages, start, value);
            }
            if self.is_full() {
                continue;
            }
            match value {
                Value::Object(members) => self.apply_to_object(rule, members, &mut seen),
                Value::Array(items) => self.apply_to_array(rule, items, value, &mut seen),
                _ => {}
            }
            self.apply(rule, value, &mut seen);
        }
        (before == self.mark.found, seen)
    }

    fn descend<'v>(&mut self, step: &Step<'_>, child: &Child, value: &'v Value) -> (bool, Seen<'v>) {
        let (place, path) = (self.place.len(), self.path.len());
        match step {
            Step::Stay => {}
            Step::Into(name) => {
                self.place.push('/');
                self.place.push_str(&escape(name));
            }
            Step::At(at) => {
                // Writing to a string does not fail.
                let _ = write!(self.place, "/{at}");
            }
        }
        self.path.push_str(&child.path);
        let answer = self.visit(child.node, value);
        self.place.truncate(place);
        self.path.truncate(path);
        answer
    }

    /// Whether it fits, without a word about why not.
    fn ask<'v>(&mut self, step: &Step<'_>, child: &Child, value: &'v Value) -> (bool, Seen<'v>) {
        let mark = self.mark;
        self.silent += 1;
        let answer = self.descend(step, child, value);
        self.silent -= 1;
        self.go_back(mark);
        answer
    }

    fn report(
        &mut self,
        keyword: &'static str,
        message: impl FnOnce() -> Cow<'static, str>,
        params: impl FnOnce() -> Value,
    ) {
        self.mark.found += 1;
        if self.silent > 0 || self.has_no_room() {
            return;
        }
        self.keep(Violation {
            instance_path: self.place.clone(),
            keyword: keyword.into(),
            message: message(),
            params: params(),
            schema_path: format!("{}/{keyword}", self.path).into(),
        });
    }

    fn keep(&mut self, violation: Violation) {
        let bytes = bytes(&violation);
        if self.mark.reported > 0 && self.mark.bytes + bytes > MAX_VIOLATION_BYTES {
            self.mark.bytes = MAX_VIOLATION_BYTES;
            return;
        }
        self.mark.reported += 1;
        self.mark.bytes += bytes;
        self.violations.push(violation);
    }

    fn has_no_room(&self) -> bool {
        self.mark.reported >= MAX_VIOLATIONS || self.mark.bytes >= MAX_VIOLATION_BYTES
    }

    /// No more can be reported, and nothing of what was reported can be dropped.
    fn is_full(&self) -> bool {
        self.branches == 0 && self.silent == 0 && self.has_no_room()
    }

    fn go_back(&mut self, mark: Mark) {
        self.violations.truncate(mark.reported);
        self.mark = mark;
    }

    /// Keywords that look at a value of any type.
    fn apply<'v>(&mut self, rule: &Rule, value: &'v Value, seen: &mut Seen<'v>) {
        match rule {
            Rule::Never => self.report("false schema", || "boolean schema is false".into(), || json!({})),
            Rule::Assert { keyword, check, message, params } if !check.fits(value) => {
                self.report(keyword, || message.clone(), || params.clone());
            }
            Rule::Reference { path, target } => {
                let path = std::mem::replace(&mut self.path, path.clone());
                let (_, inner) = self.visit(*target, value);
                self.path = path;
                seen.merge(inner);
            }
            Rule::AllOf(all) => {
                for child in all {
                    let (_, inner) = self.descend(&Step::Stay, child, value);
                    seen.merge(inner);
                }
            }
            Rule::AnyOf(all) => {
                let mark = self.mark;
                let mut fits = false;
                self.branches += 1;
                for child in all {
                    let (valid, inner) = self.descend(&Step::Stay, child, value);
                    if valid {
                        fits = true;
                        seen.merge(inner);
                    }
                }
                self.branches -= 1;
                if fits {
                    self.go_back(mark);
                } else {
                    self.report("anyOf", || "must match a schema in anyOf".into(), || json!({}));
                }
            }
            Rule::OneOf(all) => self.one_of(all, value, seen),
            Rule::DependentSchemas(properties) => {
                for Property { name, schema } in properties {
                    if value.get(name).is_some() {
                        let (valid, inner) = self.descend(&Step::Stay, schema, value);
                        if valid {
                            seen.merge(inner);
                        }
                    }
                }
            }
            Rule::Not(child) if self.ask(&Step::Stay, child, value).0 => {
                self.report("not", || "must NOT be valid".into(), || json!({}));
            }
            Rule::If { condition, then, otherwise } => {
                let (valid, inner) = self.ask(&Step::Stay, condition, value);
                if valid {
                    seen.merge(inner);
                }
                let (clause, child) = if valid { ("then", then) } else { ("else", otherwise) };
                let Some(child) = child else { return };
                let (valid, inner) = self.descend(&Step::Stay, child, value);
                if valid {
                    seen.merge(inner);
                } else {
                    let message = || format!("must match \"{clause}\" schema").into();
                    self.report("if", message, || json!({"failingKeyword": clause}));
                }
            }
            _ => {}
        }
    }

    fn one_of<'v>(&mut self, all: &[Child], value: &'v Value, seen: &mut Seen<'v>) {
        let mark = self.mark;
        let mut first = None;
        let mut second = None;
        self.branches += 1;
        for (at, child) in all.iter().enumerate() {
            let (valid, inner) = self.descend(&Step::Stay, child, value);
            if valid && first.is_some() {
                second = Some(at);
                break;
            }
            if valid {
                first = Some(at);
                seen.merge(inner);
            }
        }
        self.branches -= 1;
        let passing = match (first, second) {
            (Some(_), None) => return self.go_back(mark),
            (Some(first), Some(second)) => json!([first, second]),
            (None, _) => Value::Null,
        };
        self.report("oneOf", || "must match exactly one schema in oneOf".into(), || json!({"passingSchemas": passing}));
    }

    fn apply_to_object<'v>(&mut self, rule: &Rule, members: &'v Map<String, Value>, seen: &mut Seen<'v>) {
        match rule {
            Rule::Required(names) => {
                for name in names.iter().filter(|name| !members.contains_key(*name)) {
                    self.report("required", || Told::required(name).message, || Told::required(name).params);
                }
            }
            Rule::DependentRequired { keyword, dependencies } => {
                for Dependency { property, required, list } in dependencies {
                    if !members.contains_key(property) {
                        continue;
                    }
                    let noun = if required.len() == 1 { "property" } else { "properties" };
                    for missing in required.iter().filter(|name| !members.contains_key(*name)) {
                        let message = || format!("must have {noun} {list} when property {property} is present").into();
                        self.report(keyword, message, || {
                            json!({"property": property, "missingProperty": missing, "depsCount": required.len(), "deps": list})
                        });
                    }
                }
            }
            Rule::Properties(properties) => {
                for Property { name, schema } in properties {
                    if let Some((name, value)) = members.get_key_value(name) {
                        self.descend(&Step::Into(name), schema, value);
                        self.see_property(name, seen);
                    }
                }
            }
            Rule::PatternProperties(patterns) => {
                let names: Vec<Value> = members.keys().map(|name| Value::from(name.as_str())).collect();
                for Pattern { regex, schema } in patterns {
                    for ((name, value), text) in members.iter().zip(&names) {
                        if !self.is_full() && regex.fits(text) {
                            self.descend(&Step::Into(name), schema, value);
                            self.see_property(name, seen);
                        }
                    }
                }
            }
            Rule::AdditionalProperties { schema, names, patterns } => {
                for (name, value) in members {
                    if self.is_full() {
                        break;
                    }
                    let text = Value::from(if patterns.is_empty() { "" } else { name });
                    if names.contains(name) || patterns.iter().any(|regex| regex.fits(&text)) {
                        continue;
                    }
                    let Some(schema) = schema else {
                        let told = || Told::additional(name);
                        self.report("additionalProperties", || told().message, || told().params);
                        continue;
                    };
                    self.descend(&Step::Into(name), schema, value);
                }
                seen.all_properties = true;
            }
            Rule::PropertyNames(schema) => {
                for name in members.keys() {
                    if self.is_full() {
                        break;
                    }
                    let (valid, _) = self.descend(&Step::Stay, schema, &Value::from(name.as_str()));
                    if !valid {
                        let message = || "property name must be valid".into();
                        self.report("propertyNames", message, || json!({"propertyName": name}));
                    }
                }
            }
            Rule::UnevaluatedProperties(schema) => {
                if seen.all_properties {
                    return;
                }
                for (name, value) in members.iter().filter(|(name, _)| !seen.properties.contains(name.as_str())) {
                    if self.is_full() {
                        break;
                    }
                    let Some(schema) = schema else {
                        let message = || "must NOT have unevaluated properties".into();
                        self.report("unevaluatedProperties", message, || json!({"unevaluatedProperty": name}));
                        continue;
                    };
                    self.descend(&Step::Into(name), schema, value);
                }
                seen.all_properties = true;
            }
            _ => {}
        }
    }

    fn see_property<'v>(&self, name: &'v str, seen: &mut Seen<'v>) {
        if self.tracks {
            seen.properties.insert(name);
        }
    }

    fn apply_to_array(&mut self, rule: &Rule, items: &[Value], array: &Value, seen: &mut Seen<'_>) {
        match rule {
            Rule::PrefixItems(schemas) => {
                for (at, (schema, item)) in schemas.iter().zip(items).enumerate() {
                    self.descend(&Step::At(at), schema, item);
                }
                seen.items = seen.items.max(schemas.len());
            }
            Rule::Items { schema: Some(schema), after } => {
                for (at, item) in items.iter().enumerate().skip(*after) {
                    if self.is_full() {
                        break;
                    }
                    self.descend(&Step::At(at), schema, item);
                }
                seen.all_items = true;
            }
            Rule::Items { schema: None, after } => {
                if items.len() > *after {
                    self.too_many("items", *after);
                }
                seen.all_items = true;
            }
            Rule::Contains { schema, min, max } => self.contains(schema, *min, *max, items, seen),
            Rule::Unique { check, types } => {
                if !check.fits(array)
                    && let Some((i, j)) = duplicate(items, types.as_ref())
                {
                    let message =
                        || format!("must NOT have duplicate items (items ## {j} and {i} are identical)").into();
                    self.report("uniqueItems", message, || json!({"i": i, "j": j}));
                }
            }
            Rule::UnevaluatedItems(schema) => {
                match schema {
                    None => {
                        if (0..items.len()).any(|at| !seen.has_item(at)) {
                            self.too_many("unevaluatedItems", seen.items);
                        }
                    }
                    Some(schema) => {
                        for (at, item) in items.iter().enumerate().filter(|(at, _)| !seen.has_item(*at)) {
                            if self.is_full() {
                                break;
                            }
                            self.descend(&Step::At(at), schema, item);
                        }
                    }
                }
                seen.all_items = true;
            }
            _ => {}
        }
    }

    fn too_many(&mut self, keyword: &'static str, limit: usize) {
        self.report(keyword, || format!("must NOT have more than {limit} items").into(), || json!({"limit": limit}));
    }

    fn contains(&mut self, schema: &Child, min: u64, max: Option<u64>, items: &[Value], seen: &mut Seen<'_>) {
        let mark = self.mark;
        let mut fitting: u64 = 0;
        self.branches += 1;
        for (at, item) in items.iter().enumerate() {
            let settled = if let Some(max) = max { min > max || fitting > max } else { fitting >= min };
            let (valid, _) = match (settled, self.tracks) {
                (false, _) => self.descend(&Step::At(at), schema, item),
                // How the matter ends is known; which items fit is still asked for.
                (true, true) => self.ask(&Step::At(at), schema, item),
                (true, false) => break,
            };
            if valid {
                fitting += 1;
                if self.tracks {
                    seen.contained.insert(at);
                }
            }
        }
        self.branches -= 1;
        if fitting >= min && max.is_none_or(|max| fitting <= max) {
            return self.go_back(mark);
        }
        let message = || {
            let upper = max.map(|max| format!(" and no more than {max}")).unwrap_or_default();
            format!("must contain at least {min}{upper} valid item(s)").into()
        };
        self.report("contains", message, || match max {
            Some(max) => json!({"minContains": min, "maxContains": max}),
            None => json!({"minContains": min}),
        });
    }
}

/// How much room a violation takes.
fn bytes(violation: &Violation) -> usize {
    let Violation { instance_path, message, params, schema_path, .. } = violation;
    instance_path.len() + message.len() + params.to_string().len() + schema_path.len()
}

/// The pair of equal items that AJV names: `(i, j)`.
fn duplicate(items: &[Value], types: Option<&Leaf>) -> Option<(usize, usize)> {
    // Compared by a text that is equal for equal values, since comparing all pairs of a large array takes too long.
    let mut last: HashMap<String, usize> = HashMap::new();
    let Some(types) = types else {
        let mut found = None;
        for (i, item) in items.iter().enumerate() {
            if let Some(j) = last.insert(canonical(item), i) {
                found = Some((i, j));
            }
        }
        return found;
    };
    items.iter().enumerate().rev().filter(|(_, item)| types.fits(item)).find_map(|(i, item)| {
        let j = last.insert(canonical(item), i)?;
        Some((i, j))
    })
}

/// A text that is equal for values that JSON Schema takes as equal: the order of members and `1` or `1.0` do not matter.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(_) => plain(value).to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}

/// The number as JavaScript would put it into JSON: without a fraction if it has none.
#[allow(clippy::cast_possible_truncation)]
fn plain(value: &Value) -> Value {
    // Up to here every integer has a float of its own (2⁵³).
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.as_number().filter(|number| number.is_f64()).and_then(Number::as_f64) {
        Some(float) if float.fract() == 0.0 && float.abs() <= EXACT => Value::from(float as i64),
        _ => value.clone(),
    }
}

/// The number as JavaScript would put it into a text (ECMAScript `Number::toString`).
fn number(value: &Value) -> String {
    let value = plain(value);
    let Some(float) = value.as_number().filter(|number| number.is_f64()).and_then(Number::as_f64) else {
        return value.to_string();
    };
    if (1e-6..1e21).contains(&float.abs()) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// A name as a segment of a JSON Pointer (RFC 6901 §3).
pub(super) fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name.into() }
}

/// Appends a text with the characters percent-encoded that ECMAScript's `encodeURIComponent` encodes.
pub(super) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(byte.into()),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => out.push(byte.into()),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod ajv;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod formats;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn violations(schema: &Value, value: &Value) -> Vec<Violation> {
        let validator = Validator::new(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
        validator.check(value).err().map(|error| error.violations().to_vec()).unwrap_or_default()
    }

    fn refusal(schema: &Value) -> String {
        Validator::new(schema).err().unwrap_or_else(|| panic!("{schema} is taken"))
    }

    /// The order is not AJV's: it has one of its own, here it is that of the schema.
    fn sorted(violations: &Value) -> Vec<String> {
        let mut all: Vec<String> = violations.as_array().into_iter().flatten().map(canonical).collect();
        all.sort_unstable();
        all
    }

    /// The cases in which the answer is meant to be another one than AJV's, and why.
    const DIFFERENCES: &[(&str, Difference, &str)] = &[
        (
            "a tree in $defs",
            Difference::Path,
            "AJV drops the way to a target that holds references itself; here it is kept",
        ),
        ("$ref to a $ref", Difference::Path, "AJV names the first of two references, where the keyword is not"),
        (
            "unevaluatedItems after contains",
            Difference::Verdict,
            "AJV takes all items as evaluated, the draft those that fit",
        ),
        (
            "unevaluatedProperties after an if that does not hold",
            Difference::Verdict,
            "AJV takes what a failed `if` looked at as evaluated, the draft does not",
        ),
        (
            "format int32",
            Difference::Verdict,
            "not a format of the draft; the ranges of integers are written as limits",
        ),
        ("nullable", Difference::Verdict, "a keyword of OpenAPI 3.0, not of the draft"),
        (
            "errorMessage beside a $ref",
            Difference::Words,
            "ajv-errors leaves what a `$ref` reports alone, here it is about the same value",
        ),
        (
            "errorMessage of a keyword beside a $ref",
            Difference::Words,
            "ajv-errors leaves what a `$ref` reports alone, here it is about the same value",
        ),
    ];

    #[derive(PartialEq)]
    enum Difference {
        /// Only `schemaPath` differs.
        Path,
        /// What fits for AJV does not fit here, or the other way round.
        Verdict,
        /// It does not fit for either, but other words are used.
        Words,
    }

    #[test]
    fn violations_are_those_of_ajv() {
        let mut cases: Vec<Value> = serde_json::from_str(include_str!("validate.golden.json")).unwrap();
        assert!(cases.len() > 250);
        let mut wrong = String::new();
        let mut differing = HashSet::new();
        for case in &mut cases {
            let mut found = serde_json::to_value(violations(&case["schema"], &case["value"])).unwrap();
            let difference = DIFFERENCES.iter().find(|(name, ..)| case["name"] == *name);
            let same = sorted(&found) == sorted(&case["errors"]);
            if let Some((name, difference, _)) = difference
                && !same
            {
                differing.insert(name);
                let same_verdict = (found == json!([])) == (case["errors"] == json!([]));
                assert_eq!(same_verdict, *difference != Difference::Verdict, "{name}");
                if *difference != Difference::Path {
                    continue;
                }
                for error in found.as_array_mut().into_iter().chain(case["errors"].as_array_mut()).flatten() {
                    error.as_object_mut().unwrap().remove("schemaPath");
                }
            }
            let (found, expected) = (sorted(&found), sorted(&case["errors"]));
            if found != expected {
                writeln!(wrong, "{}: {}\n  found    {found:#?}\n  expected {expected:#?}", case["name"], case["value"])
                    .unwrap();
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        // A difference that is gone is to be struck off the list.
        assert_eq!(differing.len(), DIFFERENCES.len());
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_said() {
        for (schema, expected) in [
            (json!(5), "not valid: 5 is not of types"),
            (
                json!({"properties": {"a": {"minLength": -1}}}),
                "at `/properties/a/minLength`: -1 is less than the minimum",
            ),
            (
                json!({"properties": {"a": {"pattern": "(?=a)b"}}}),
                "at `/properties/a/pattern`: \"(?=a)b\" is not a regular",
            ),
            (
                json!({"properties": {"a": {"pattern": "a{1000}{1000}"}}}),
                "is not a regular expression that runs in linear time",
            ),
            (json!({"patternProperties": {"(": true}}), "\"(\" is not a regular expression"),
            (json!({"properties": {"a": {"$ref": "#/$defs/A"}}}), "`$ref` to `#/$defs/A` does not resolve"),
            (json!({"$defs": {"Unused": {"$ref": "#/$defs/A"}}}), "`$ref` to `#/$defs/A` does not resolve"),
            (json!({"$ref": "#/required", "required": ["a"]}), "does not lead to a schema"),
            (json!({"$ref": "#/x", "x": {"type": 5}}), "not valid"),
            (json!({"$dynamicRef": "#a"}), "`$dynamicRef` to `#a` does not resolve"),
            (json!({"$ref": "https://example.org/a"}), "'https://example.org/a' is not present"),
            (json!({"$ref": "file:///etc/passwd"}), "'file:///etc/passwd' is not present"),
            (json!({"$ref": "#"}), "leads back to itself"),
            (json!({"$id": "::::"}), "::::"),
            (
                json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
                "`http://json-schema.org/draft-07/schema#`",
            ),
            (
                json!({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {
                    "A": {"allOf": [true, {"$ref": "#/$defs/B"}]}, "B": {"anyOf": [{"if": {"$ref": "#/$defs/A"}}]}}}),
                "leads back to itself",
            ),
        ] {
            let sentence = refusal(&schema);
            assert!(sentence.contains(expected), "{schema}: {sentence}");
        }
    }

    #[test]
    fn keywords_and_formats_of_our_own_assert_nothing() {
        for format in ["uint8", "int64", "double", "shoe-size"] {
            assert_eq!(violations(&json!({"format": format}), &json!("x")), []);
            assert_eq!(violations(&json!({"format": format}), &json!(-1.5)), []);
        }
        let own = json!({"unique": true, "index": true, "private": true, "protected": true, "hidden": true,
            "model": "teams._id", "default": 5});
        assert_eq!(violations(&own, &json!([1])), []);
    }

    #[test]
    fn messages_are_checked_and_show_nothing_private() {
        for (message, expected) in [
            (json!(5), "must be a text or an object of texts"),
            (json!({"type": 5}), "`errorMessage/type` must be a text"),
            (json!({"type": {"a": "b"}}), "`errorMessage/type` must be a text"),
            (json!({"required": {"a": 1}}), "`errorMessage/required` must be a text"),
            (json!({"properties": "x"}), "`errorMessage/properties` must be an object"),
            (json!({"items": {"0": "x"}}), "`errorMessage/items` a list"),
            (json!("${a}"), "`${a}` in `errorMessage` is no JSON pointer"),
            (json!("${1a}"), "`${1a}` in `errorMessage`"),
            (json!({"_": "${99999999999999999999999}"}), "is no JSON pointer"),
        ] {
            let sentence = refusal(&json!({"properties": {"a": {"errorMessage": message}}}));
            assert!(sentence.contains(expected), "{message}: {sentence}");
        }
        // Numbers as JavaScript writes them, at every depth.
        let shown =
            violations(&json!({"type": "null", "errorMessage": "${0}"}), &json!([1e10, {"a": 2.0, "b": [1e21, 0.5]}]));
        assert_eq!(shown[0].message, r#"[10000000000,{"a":2,"b":[1e+21,0.5]}]"#);
        let schema = json!({"properties": {"a": {"$ref": "#/$defs/A"}, "n": {"type": "null", "errorMessage":
            "${/a} ${/a/p} ${/a/p/0} ${/a/o} ${1/a/p} ${1} ${/} ${0}"}}, "$defs": {"A": {"properties": {"p": {"private": true}}}}});
        let found = violations(&schema, &json!({"n": 1, "a": {"p": ["tr0ub4dor"], "o": "open"}}));
        let hidden = "<private>";
        assert_eq!(found[0].message, format!("{hidden} {hidden} {hidden} \"open\" {hidden} {hidden} {hidden} 1"));
        let long =
            violations(&json!({"type": "null", "errorMessage": "${0}"}), &json!("ü".repeat(MAX_VIOLATION_BYTES)));
        assert!(long[0].message.len() < 1100);
    }

    #[test]
    fn the_order_is_that_of_the_schema() {
        let schema = json!({
            "unevaluatedProperties": false,
            "required": ["z"],
            "properties": {"b": {"pattern": "^b", "minLength": 5}, "a": {"type": "string"}},
            "minProperties": 9,
        });
        let found = violations(&schema, &json!({"a": 1, "b": "x", "c": 1}));
        let keywords: Vec<&str> = found.iter().map(|violation| violation.keyword.as_ref()).collect();
        assert_eq!(keywords, ["required", "pattern", "minLength", "type", "minProperties", "unevaluatedProperties"]);
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        let pair: Value = serde_json::from_str("[1, 2, 1.0]").unwrap();
        let found = violations(&json!({"uniqueItems": true}), &pair);
        assert_eq!(found[0].params, json!({"i": 2, "j": 0}));
        let limit: Value = serde_json::from_str(r#"{"minimum": 5.0, "multipleOf": 2.0}"#).unwrap();
        let found = violations(&limit, &json!(3));
        assert_eq!((found[0].message.as_ref(), &found[0].params["limit"]), ("must be >= 5", &json!(5)));
        assert_eq!((found[1].message.as_ref(), &found[1].params), ("must be multiple of 2", &json!({"multipleOf": 2})));
        let counts: Value = serde_json::from_str(r#"{"contains": {"type": "null"}, "minContains": 2.0}"#).unwrap();
        assert_eq!(violations(&counts, &json!([null]))[0].params, json!({"minContains": 2}));
        let big = violations(&json!({"maximum": 18_446_744_073_709_551_614_u64}), &json!(u64::MAX));
        assert_eq!(big[0].message, "must be <= 18446744073709551614");
    }

    #[test]
    fn no_value_is_in_a_violation() {
        let secret = "tr0ub4dor";
        let schema = json!({"properties": {"a": {
            "type": "integer", "enum": [1], "const": 2, "minLength": 50, "maxLength": 1, "pattern": "^x", "format": "email",
            "not": {"type": "string"}, "allOf": [false], "anyOf": [{"type": "null"}], "oneOf": [{"minLength": 60}],
            "if": true, "then": {"maxLength": 2}, "$ref": "#/$defs/A",
        }}, "$defs": {"A": {"type": ["null", "array"]}}});
        let error = Validator::new(&schema).unwrap().check(&json!({"a": secret})).unwrap_err();
        assert!(error.violations().len() > 12);
        assert!(!format!("{error} {error:?} {}", error.to_json()).contains(secret));
        let items = json!({"uniqueItems": true, "contains": {"type": "null"}, "maxItems": 1, "unevaluatedItems": {"maxLength": 1}});
        let error = Validator::new(&items).unwrap().check(&json!([secret, secret])).unwrap_err();
        assert!(!format!("{error} {error:?} {}", error.to_json()).contains(secret));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_the_value() {
        // Which `#n` is meant depends on the way there: reached from the tree, the items are objects.
        let schema = json!({
            "$id": "https://example.org/tree", "$dynamicAnchor": "n", "type": "object",
            "properties": {"list": {"$ref": "list"}},
            "$defs": {"list": {"$id": "list", "$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}}},
        });
        assert_eq!(violations(&schema, &json!({"list": [{}]})), []);
        let found = violations(&schema, &json!({"list": ["tr0ub4dor"]}));
        assert_eq!((found[0].instance_path.as_str(), found[0].keyword.as_ref()), ("/list/0", "type"));
        assert_eq!(found[0].message, "must pass \"type\" keyword validation");
        let meta = json!({"$ref": DIALECT});
        assert_eq!(violations(&meta, &json!({"properties": {"a": {"minLength": 1}}})), []);
        let found = violations(&meta, &json!({"properties": {"a": {"minLength": "tr0ub4dor"}}}));
        assert_eq!(found[0].instance_path, "/properties/a/minLength");
        assert!(!format!("{found:?}").contains("tr0ub4dor"));
    }

    #[test]
    fn violations_are_bounded() {
        let numbers = Value::Array((0..1000).map(Value::from).collect());
        let text = json!({"items": {"type": "string"}});
        assert_eq!(violations(&text, &numbers).len(), MAX_VIOLATIONS);
        assert_eq!(violations(&json!({"anyOf": [text, text]}), &numbers).len(), MAX_VIOLATIONS);
        // A branch that fits gives back the room that its predecessor took.
        let found = violations(&json!({"anyOf": [text, true], "allOf": [false]}), &numbers);
        assert_eq!(found.iter().map(|violation| violation.keyword.as_ref()).collect::<Vec<_>>(), ["false schema"]);

        let long = "n".repeat(10_000);
        let long = json!({long: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]});
        let found = violations(&json!({"additionalProperties": text}), &long);
        assert_eq!(found.len(), 6);
        let longer = json!({"n".repeat(MAX_VIOLATION_BYTES * 2): 1});
        assert_eq!(violations(&json!({"additionalProperties": false}), &longer).len(), 1);
    }

    #[test]
    fn large_values_are_checked_in_time() {
        let start = std::time::Instant::now();
        let mut numbers: Vec<Value> = (0..100_000).map(Value::from).collect();
        numbers.push(json!(3));
        let found = violations(&json!({"uniqueItems": true}), &Value::Array(numbers));
        assert_eq!(found[0].params, json!({"i": 100_000, "j": 3}));
        assert!(start.elapsed().as_secs() < 10, "comparing all pairs would take minutes");
    }

    #[test]
    fn deep_values_are_checked() {
        // As deep as JSON is parsed.
        let deep = (0..120).fold(json!({"name": 5}), |inner, _| json!({"name": "a", "child": inner}));
        let schema = json!({"$ref": "#/$defs/Node", "$defs": {"Node": {
            "allOf": [{"anyOf": [{"properties": {"name": {"type": "string"}, "child": {"$ref": "#/$defs/Node"}}}]}]}}});
        let found = violations(&schema, &deep);
        assert_eq!(found[0].instance_path, format!("{}/name", "/child".repeat(120)));
        assert_eq!(found[0].schema_path, "#/$defs/Node/allOf/0/anyOf/0/properties/name/type");
    }

    #[test]
    fn the_id_of_what_a_reference_leads_to_counts_once() {
        for reference in ["nested/foo.json", "#/$defs/foo"] {
            let schema = json!({
                "$id": "https://example.com/base.json",
                "$ref": reference,
                "$defs": {
                    "foo": {"$id": "nested/foo.json", "$ref": "./bar.json"},
                    "bar": {"$id": "nested/bar.json", "type": "number"},
                },
            });
            assert!(violations(&schema, &json!(5)).is_empty());
            let found = violations(&schema, &json!("a"));
            assert_eq!(found.iter().map(|found| found.keyword.as_ref()).collect::<Vec<_>>(), ["type"], "{reference}");
        }
    }
}
