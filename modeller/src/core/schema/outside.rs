//! What of a schema is there for anyone, when some of it is protected: for an unverified caller a protected member does not
//! exist, so its input is checked against a schema without it, and its changes are made to a value without it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::ranges;
use super::runtime::is_open as is_open_object;
use super::shape::{ROOT, Shape, without_samples};
use super::{Form, ModelSchema, keep_withheld};
use crate::core::document::{AnyValue, DynDoc};
use crate::core::private::Audience;
use crate::core::private::Level;
use crate::core::query::update::RawUpdate;
use crate::core::validate::Validator;
use crate::error::{Error, Result, Violation};

/// How many protected members are told of one value that should have none.
const MAX_HIDDEN: usize = 100;

/// A schema without what is protected in it.
pub(crate) struct OpenForm {
    json: Value,
    validator: Validator,
    /// Where the values are JSON: what they have to have filled in, and what is protected in them.
    defaults: Option<Defaults>,
    shape: Option<Arc<Shape>>,
    /// Whether a document may have members that are not named.
    open: bool,
}

impl OpenForm {
    /// That of a schema; `None` when nothing in it is protected.
    pub(super) fn of(json: &Value) -> Result<Option<Self>, String> {
        let Some(json) = open(&without_samples(json, Audience::Anyone)) else { return Ok(None) };
        let validator = Validator::new(&json)?;
        Ok(Some(Self { json, validator, defaults: None, shape: None, open: false }))
    }

    /// That of a schema whose values are JSON, and which may say anything anywhere.
    pub(super) fn of_shape(whole: &Value, shape: &Arc<Shape>) -> Result<Option<Self>, String> {
        if !shape.has_protected() {
            return Ok(None);
        }
        let json = without_protected(&without_samples(whole, Audience::Anyone), shape);
        let validator =
            Validator::new(&json).map_err(|what| format!("without what is protected it is none: {what}"))?;
        // Also what is not shown is filled in.
        let defaults = Defaults::of(&without_protected(whole, shape));
        let open = is_open_object(&json);
        Ok(Some(Self { json, validator, defaults, shape: Some(shape.clone()), open }))
    }

    /// Checks a value that knows of nothing protected.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations. Also where any member is taken a protected one is one too many.
    fn check(&self, value: &Value) -> Result<()> {
        let checked = match &self.defaults {
            Some(defaults) => {
                let mut filled = value.clone();
                defaults.fill(&mut filled)?;
                self.validator.check(&filled)
            }
            None => self.validator.check(value),
        };
        let Some(shape) = &self.shape else { return checked };
        let hidden = shape.hidden(value, MAX_HIDDEN);
        if hidden.is_empty() {
            return checked;
        }
        let mut violations = checked.err().map(|error| error.violations().to_vec()).unwrap_or_default();
        for member in hidden {
            let params = json!({"additionalProperty": member.name});
            let is_told = |known: &Violation| {
                let name =
                    ["additionalProperty", "unevaluatedProperty"].into_iter().find_map(|by| known.params.get(by));
                known.instance_path == member.holder && name.is_some_and(|name| *name == member.name)
            };
            if !violations.iter().any(is_told) {
                violations.push(Violation {
                    instance_path: member.holder,
                    keyword: "additionalProperties".into(),
                    message: "must NOT have additional properties".into(),
                    params,
                    schema_path: format!("{}/additionalProperties", member.place).into(),
                });
            }
        }
        Err(Error::validation(violations))
    }

    /// The error with what anyone may know of it: no violation that speaks of something protected.
    pub(super) fn without_protected(&self, whole: &Value, error: Error) -> Error {
        let known = error.violations().iter().filter_map(|violation| {
            let mut violation = violation.clone();
            let path = &violation.instance_path;
            let by_shape = self.shape.as_ref().is_some_and(|shape| {
                let missing = violation.params.get("missingProperty").and_then(Value::as_str);
                shape.is_protected(path) || missing.is_some_and(|name| shape.is_protected_member(path, name))
            });
            (!by_shape && is_open(whole, &violation.schema_path, &mut violation.params)).then_some(violation)
        });
        let known = known.collect();
        error.known_to_anyone(known)
    }
}

/// Whether a violation speaks of nothing protected. One that stands for others stands for those of them that do not.
fn is_open(root: &Value, place: &str, params: &mut Value) -> bool {
    if is_protected(root, place, params) {
        return false;
    }
    let Some(Value::Array(errors)) = params.get_mut("errors") else { return true };
    errors.retain_mut(|error| {
        let place = error.get("schemaPath").and_then(Value::as_str).unwrap_or_default().to_owned();
        error.get_mut("params").is_none_or(|params| is_open(root, &place, params))
    });
    !errors.is_empty()
}

/// Whether the keyword at a place of the schema speaks of something protected.
fn is_protected(root: &Value, place: &str, params: &Value) -> bool {
    let place = place.strip_prefix('#').unwrap_or(place);
    let mut ends: Vec<usize> = place.match_indices('/').map(|(at, _)| at).skip(1).collect();
    ends.push(place.len());
    let mut on_the_way = ends.iter().filter_map(|end| root.pointer(place.get(..*end)?));
    if on_the_way.any(|schema| Level::of(schema) == Some(Level::Protected)) {
        return true;
    }
    let Some(missing) = params.get("missingProperty").and_then(Value::as_str) else { return false };
    let holder = place.rsplit_once('/').and_then(|(holder, _)| root.pointer(holder));
    let property = holder.and_then(|holder| holder.get("properties")?.get(missing));
    property.is_some_and(|property| Level::of(property) == Some(Level::Protected))
}

/// A schema without what the shape of its values says is protected.
fn without_protected(whole: &Value, shape: &Shape) -> Value {
    let mut json = whole.clone();
    for (places, names, others) in shape.protected().filter(|(_, names, others)| *others || !names.is_empty()) {
        for place in places {
            // What lies in a part that was taken out is out with it.
            let schema = json.pointer_mut(place.strip_prefix('#').unwrap_or(place));
            if let Some(Value::Object(schema)) = schema {
                take_members(schema, &names, others);
            }
        }
    }
    // What is protected below something private.
    take_protected(&mut json);
    take_unused(&mut json);
    json
}

/// Takes members of these names out of the schema of an object, and all that it does not name where they are protected.
fn take_members(schema: &mut Map<String, Value>, names: &[&str], others: bool) {
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        if let Some(said) = schema.get_mut(keyword).filter(|said| others && said.is_object()) {
            *said = Value::Bool(false);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    let mentioned = |name: &Value| name.as_str().is_some_and(|name| names.contains(&name));
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !mentioned(name));
        if required.is_empty() {
            schema.remove("required");
        }
    }
    for keyword in ["dependentRequired", "dependencies"] {
        for needed in schema.get_mut(keyword).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            if let Value::Array(needed) = needed {
                needed.retain(|name| !mentioned(name));
            }
        }
    }
    if let Some(Value::Object(messages)) = schema.get_mut("errorMessage") {
        let taken: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        take_messages(messages, &taken);
    }
}

/// The schema without its protected members; `None` when there are none.
fn open(whole: &Value) -> Option<Value> {
    let mut json = whole.clone();
    if !take_protected(&mut json) {
        return None;
    }
    take_unused(&mut json);
    Some(json)
}

fn take_protected(schema: &mut Value) -> bool {
    match schema {
        Value::Object(object) => {
            let mut taken = Vec::new();
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.retain(|name, property| {
                    let kept = Level::of(property) != Some(Level::Protected);
                    if !kept {
                        taken.push(name.clone());
                    }
                    kept
                });
            }
            if let Some(Value::Object(messages)) = object.get_mut("errorMessage") {
                take_messages(messages, &taken);
            }
            if let Some(Value::Array(required)) = object.get_mut("required") {
                required.retain(|name| !taken.iter().any(|taken| name == taken));
                // As it is written of a type that has nothing to require.
                if required.is_empty() {
                    object.remove("required");
                }
            }
            for named in ["properties", "required"] {
                let messages = object.get_mut("errorMessage").and_then(|messages| messages.get_mut(named));
                if let Some(Value::Object(messages)) = messages {
                    messages.retain(|name, _| !taken.contains(name));
                }
            }
            let below = object.values_mut().fold(false, |found, value| take_protected(value) | found);
            !taken.is_empty() || below
        }
        Value::Array(values) => values.iter_mut().fold(false, |found, value| take_protected(value) | found),
        _ => false,
    }
}

/// Takes the author's own messages about these members out of those of an object.
fn take_messages(messages: &mut Map<String, Value>, taken: &[String]) {
    for keyword in ["required", "properties"] {
        let Some(Value::Object(named)) = messages.get_mut(keyword) else { continue };
        named.retain(|name, _| !taken.contains(name));
        if named.is_empty() {
            messages.remove(keyword);
        }
    }
}

/// Takes out the definitions that nothing leads to any more: they describe what is protected.
fn take_unused(root: &mut Value) {
    while ["$defs", "definitions"].into_iter().fold(false, |taken, keyword| take_unused_of(root, keyword) | taken) {}
}

/// Whether there was one under this keyword.
fn take_unused_of(root: &mut Value, keyword: &str) -> bool {
    let mut used = Vec::new();
    let definitions = root.get(keyword).and_then(Value::as_object).cloned().unwrap_or_default();
    if let Value::Object(object) = &*root {
        object.iter().filter(|(name, _)| *name != keyword).for_each(|(_, value)| references(value, &mut used));
    }
    let place = |name: &str| format!("#/{keyword}/{}", super::walk::escaped(name));
    let leads =
        |path: &str, to: &str| path.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    // A definition that only it itself leads to is used by none.
    for (name, definition) in &definitions {
        let mut inner = Vec::new();
        references(definition, &mut inner);
        used.extend(inner.into_iter().filter(|path| !leads(path, &place(name))));
    }
    let Some(Value::Object(defs)) = root.get_mut(keyword) else { return false };
    let before = defs.len();
    defs.retain(|name, _| used.iter().any(|path| leads(path, &place(name))));
    let (after, empty) = (defs.len(), defs.is_empty());
    if empty && let Value::Object(object) = root {
        object.remove(keyword);
    }
    before != after
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(path)) = object.get("$ref") {
                found.push(path.clone());
            }
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// A schema as it is shown.
pub(crate) struct Described {
    json: Value,
    open: Option<Value>,
}

impl Described {
    pub(crate) fn new(json: &Value) -> Self {
        let anyone = without_samples(json, Audience::Anyone);
        Self { open: open(&anyone), json: without_samples(json, Audience::Verified) }
    }

    /// The schema as this audience may see it.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the metadata shows it"))]
    pub(crate) fn json(&self, to: Audience) -> &Value {
        self.open.as_ref().filter(|_| !to.sees(Level::Protected)).unwrap_or(&self.json)
    }
}

/// A schema that input is checked against.
pub(crate) struct Checked {
    shown: Value,
    validator: Validator,
    open: Option<OpenForm>,
}

impl Checked {
    pub(crate) fn new(json: &Value) -> Result<Self, String> {
        let validator = Validator::new(json)?;
        Ok(Self { open: OpenForm::of(json)?, shown: without_samples(json, Audience::Verified), validator })
    }

    /// The schema as this audience may see it.
    pub(crate) fn json(&self, to: Audience) -> &Value {
        self.open.as_ref().filter(|_| !to.sees(Level::Protected)).map_or(&self.shown, |open| &open.json)
    }

    /// Checks input of this audience, and makes it typed.
    ///
    /// # Errors
    /// Those of [`Checked::check`], and `VALIDATION_ERROR` for what fits the schema and not the type.
    pub(crate) fn typed<R>(
        &self,
        json: Value,
        by: Audience,
        from_json: impl FnOnce(Value) -> Result<R, serde_json::Error>,
    ) -> Result<R> {
        self.check(&json, by)?;
        let beyond = ranges::beyond(self.json(by), &json);
        from_json(json).map_err(|cause| {
            // The words of the type could have what is private in them.
            let whole = || Violation {
                instance_path: String::new(),
                keyword: "type".into(),
                message: "must fit its type".into(),
                params: json!({}),
                schema_path: "#".into(),
            };
            let violations = if beyond.is_empty() { vec![whole()] } else { beyond };
            Error::validation(violations).message("the arguments do not fit their type").caused_by(cause)
        })
    }

    /// Checks input of this audience.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations; `UNAUTHENTICATED` where only a verified caller can say what is needed.
    pub(crate) fn check(&self, json: &Value, by: Audience) -> Result<()> {
        match &self.open {
            Some(open) if !by.sees(Level::Protected) => {
                open.validator.check(json)?;
                self.validator.check(json).map_err(|_| Error::unauthenticated())
            }
            _ => self.validator.check(json),
        }
    }

    /// Checks input of this audience that is still a text, and makes it typed; `None` where it has to be a value for that.
    pub(crate) fn typed_of_text<R>(
        &self,
        text: &str,
        by: Audience,
        from_text: impl FnOnce(&str) -> Option<R>,
    ) -> Option<Result<R>> {
        if self.open.is_some() && !by.sees(Level::Protected) {
            return None;
        }
        match self.validator.check_text(text, None)? {
            // Of what the type refuses the words are those of the other way.
            Ok(()) => from_text(text).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

impl ModelSchema {
    /// The schema as this audience may see it.
    pub(crate) fn json_for(&self, to: Audience) -> &Value {
        self.open_form.as_ref().filter(|_| !to.sees(Level::Protected)).map_or(&self.json, |open| &open.json)
    }

    /// The schema as it is shown to this audience: its defaults and examples tell of nothing that is withheld.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the metadata shows it"))]
    pub(crate) fn shown_to(&self, to: Audience) -> Cow<'_, Value> {
        match self.open_to(to) {
            Some(open) => Cow::Borrowed(&open.json),
            None => Cow::Owned(without_samples(&self.json, to)),
        }
    }

    /// Whether some of it is protected.
    pub(crate) fn is_partly_open(&self) -> bool {
        self.open_form.is_some()
    }

    /// Whether documents may have members that are not among the fields, as this audience knows them.
    pub(crate) fn is_open_object(&self, to: Audience) -> bool {
        self.open_to(to).map_or(self.open, |open| open.open)
    }

    /// Whether this audience knows all of it.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server reads text from outside"))]
    pub(crate) fn is_open_to(&self, audience: Audience) -> bool {
        self.open_to(audience).is_none()
    }

    /// The error with what anyone may know of it.
    pub(super) fn guarded(&self, error: Error) -> Error {
        match &self.open_form {
            Some(open) => open.without_protected(&self.json, error),
            None => error,
        }
    }

    fn open_to(&self, by: Audience) -> Option<&OpenForm> {
        self.open_form.as_ref().filter(|_| !by.sees(Level::Protected))
    }

    /// Checks a value that this audience gives, and makes it typed.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with all violations; `UNAUTHENTICATED` where only a verified caller can give what is needed.
    pub(crate) fn value_by(&self, by: Audience, json: Value) -> Result<Box<dyn AnyValue>> {
        match self.open_to(by) {
            Some(open) => {
                open.check(&json)?;
                self.whole(json)
            }
            None => self.value_from_json(json),
        }
    }

    /// A value of somebody who knows of nothing protected, whose part of it fits.
    fn whole(&self, mut json: Value) -> Result<Box<dyn AnyValue>> {
        self.fill(&mut json)?;
        self.check(&json).map_err(|_| Error::unauthenticated())?;
        self.value_from_json(json)
    }

    /// The value of a document after an update.
    ///
    /// # Errors
    /// As [`ModelSchema::value_by`], and those of the update.
    pub(crate) fn updated(&self, current: &DynDoc, update: &RawUpdate) -> Result<Box<dyn AnyValue>> {
        match (update, &self.open_form) {
            (RawUpdate::Open(update), Some(open)) => {
                let seen = current.to_form(Audience::Open)?;
                let mut next = seen.clone();
                update.apply(&mut next)?;
                open.check(&next)?;
                self.with_protected(next, &seen, current)
            }
            _ => {
                let mut json = current.to_form(Audience::Store)?;
                update.apply(&mut json)?;
                self.value_from_json(json)
            }
        }
    }

    /// The value that takes the place of a document. What the giver cannot see and did not send is kept, and in process what is
    /// withheld.
    ///
    /// # Errors
    /// As [`ModelSchema::value_by`].
    pub(crate) fn replaced(&self, current: &DynDoc, mut next: Value, by: Audience) -> Result<Box<dyn AnyValue>> {
        let Some(open) = &self.open_form else {
            if self.has_private {
                self.keep(&mut next, &current.to_form(Audience::Store)?, &|_| true);
            }
            return self.value_from_json(next);
        };
        if self.open_to(by).is_some() {
            self.keep(&mut next, &current.to_form(Audience::Store)?, &|level| level == Level::Private);
            open.check(&next)?;
            return self.with_protected(next, &current.to_form(Audience::Open)?, current);
        }
        let kept = |level| by == Audience::Store || !by.sees(level);
        self.keep(&mut next, &current.to_form(Audience::Store)?, &kept);
        self.value_from_json(next)
    }

    /// Puts the parts of these levels that a next value lacks back from the current one. In lists nothing is kept: which element
    /// would be whose is not known.
    fn keep(&self, next: &mut Value, current: &Value, kept: &dyn Fn(Level) -> bool) {
        match &self.shape {
            Ok(Some(shape)) if self.form == Form::Json => shape.keep(ROOT, next, current, kept),
            _ => {
                let kept = |schema: &Value| Level::of(schema).is_some_and(kept);
                keep_withheld(&self.json, &self.json, next, current, &kept, 0);
            }
        }
    }

    fn with_protected(&self, mut next: Value, seen: &Value, current: &DynDoc) -> Result<Box<dyn AnyValue>> {
        restore(&mut next, seen, &current.to_form(Audience::Store)?);
        self.whole(next)
    }
}

/// Puts what was not `seen` of a value back into the `next` one. An element of a list keeps what was hidden in the one that
/// looked the same, else in the one at its place, when the list is as long as it was.
fn restore(next: &mut Value, seen: &Value, whole: &Value) {
    match (next, seen, whole) {
        (Value::Object(next), Value::Object(seen), Value::Object(whole)) => restore_members(next, seen, whole),
        (Value::Array(next), Value::Array(seen), Value::Array(whole)) if seen != whole => {
            let mut places: HashMap<String, Vec<usize>> = HashMap::new();
            for (at, value) in seen.iter().enumerate().rev() {
                places.entry(value.to_string()).or_default().push(at);
            }
            let same_length = next.len() == seen.len();
            let mut used = vec![false; seen.len()];
            let mut changed = Vec::new();
            for (at, element) in next.iter_mut().enumerate() {
                match places.get_mut(&element.to_string()).and_then(Vec::pop) {
                    Some(place) => {
                        if let (Some(used), Some(value)) = (used.get_mut(place), whole.get(place)) {
                            *used = true;
                            *element = value.clone();
                        }
                    }
                    None => changed.push(at),
                }
            }
            for at in changed.into_iter().filter(|_| same_length) {
                if let (Some(false), Some(next), Some(seen), Some(whole)) =
                    (used.get(at), next.get_mut(at), seen.get(at), whole.get(at))
                {
                    restore(next, seen, whole);
                }
            }
        }
        _ => {}
    }
}

fn restore_members(next: &mut Map<String, Value>, seen: &Map<String, Value>, whole: &Map<String, Value>) {
    for (name, value) in whole {
        match (next.get_mut(name), seen.get(name)) {
            (None, None) => {
                next.insert(name.clone(), value.clone());
            }
            (Some(next), Some(seen)) => restore(next, seen, value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hidden_parts_follow_their_elements() {
        let whole = json!({"a": [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}], "s": 1, "o": {"k": {"s": 2}}});
        let seen = json!({"a": [{"n": 1}, {"n": 2}], "o": {"k": {}}});
        let cases = [
            (json!({"a": [{"n": 2}, {"n": 1}]}), json!({"a": [{"n": 2, "s": "y"}, {"n": 1, "s": "x"}], "s": 1})),
            (json!({"a": [{"n": 2}]}), json!({"a": [{"n": 2, "s": "y"}], "s": 1})),
            (json!({"a": [{"n": 3}, {"n": 2}]}), json!({"a": [{"n": 3, "s": "x"}, {"n": 2, "s": "y"}], "s": 1})),
            (json!({"a": [{"n": 3}]}), json!({"a": [{"n": 3}], "s": 1})),
            (json!({"o": {"k": {"m": 1}}}), json!({"o": {"k": {"m": 1, "s": 2}}, "s": 1})),
            (json!({"o": {}}), json!({"o": {}, "s": 1})),
        ];
        for (mut next, expected) in cases {
            restore(&mut next, &seen, &whole);
            assert_eq!(next, expected);
        }
    }

    #[test]
    fn nothing_of_a_protected_member_stays_in_the_schema() {
        let whole = json!({
            "properties": {"a": {"$ref": "#/$defs/A"}, "s": {"$ref": "#/$defs/S", "protected": true},
                           "protected": {"type": "boolean"}},
            "required": ["s"],
            "errorMessage": {"required": {"s": "say s"}, "properties": {"s": "s", "a": "a"}},
            "$defs": {"A": {"properties": {"p": {"protected": true}, "q": true}, "required": ["p", "q"]},
                      "S": {"items": {"$ref": "#/$defs/T"}}, "T": {"items": {"$ref": "#/$defs/T"}}},
        });
        let expected = json!({
            "properties": {"a": {"$ref": "#/$defs/A"}, "protected": {"type": "boolean"}},
            "errorMessage": {"properties": {"a": "a"}},
            "$defs": {"A": {"properties": {"q": true}, "required": ["q"]}},
        });
        assert_eq!(open(&whole), Some(expected.clone()));
        assert_eq!(open(&expected), None);
    }

    #[test]
    fn messages_say_nothing_of_a_protected_member() {
        let whole = json!({
            "type": "object",
            "properties": {"s": {"type": "string", "protected": true}, "n": {"type": "null", "errorMessage": "not ${/s}"}},
            "required": ["s", "n"],
            "errorMessage": {"properties": {"s": "tr0ub4dor"}, "required": {"s": "tr0ub4dor", "n": "no n"}, "_": "rest"},
        });
        let form = OpenForm::of(&whole).unwrap().unwrap();
        assert!(!form.json.to_string().contains("tr0ub4dor"));
        assert_eq!(form.json["errorMessage"]["required"], json!({"n": "no n"}));
        let all = json!({"properties": whole["properties"], "required": whole["required"], "errorMessage": "all"});
        for (schema, value, known) in [
            (&whole, json!({"s": "secret", "n": 1}), vec!["not <private>"]),
            (&whole, json!({"s": 1, "n": null}), vec![]),
            (&whole, json!({"n": null}), vec![]),
            (&all, json!({"n": null}), vec![]),
            (&all, json!({}), vec!["all"]),
        ] {
            let error = Validator::new(schema).unwrap().check(&value).unwrap_err();
            let error = form.without_protected(schema, error);
            let error = error.for_anyone().unwrap_or(error);
            assert_eq!(error.violations().iter().map(|it| it.message.as_ref()).collect::<Vec<_>>(), known, "{value}");
            assert!(!error.to_json().to_string().contains("\"s\""), "{error:?}");
        }
    }
}
