//! JSON Schemas as types.

use serde_json::{Map, Value};

use super::literal;
use super::model::Printer;
use super::names::{key, pascal};

/// How many references one after the other lead somewhere.
const DEEPEST: usize = 32;
/// How deep a schema is looked into that does not refer.
const NESTED: usize = 64;

/// What a type is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// A document or an answer as it is read: what is private is not there, and what has a default is.
    Output,
    /// What is sent: what is private is there, and what has a default may be left out.
    Input,
    /// A merge patch (RFC 7396).
    Patch,
}

/// A schema whose references begin at its root.
#[derive(Clone, Copy)]
pub(super) struct Root<'a> {
    /// Which of all.
    pub(super) number: usize,
    pub(super) schema: &'a Value,
    /// Whether it says what is always there, as the schemas of answers do.
    pub(super) is_answer: bool,
}

/// What a value may be.
#[derive(Clone, Default, Debug)]
pub(super) struct Kinds<'a> {
    pub(super) text: bool,
    pub(super) number: bool,
    pub(super) integer: bool,
    pub(super) boolean: bool,
    pub(super) null: bool,
    /// Anything at all.
    pub(super) any: bool,
    pub(super) lists: Vec<&'a Value>,
    pub(super) objects: Vec<&'a Map<String, Value>>,
}

impl Kinds<'_> {
    /// Whether it is one of these, and perhaps null, and nothing else.
    pub(super) fn is_text(&self) -> bool {
        self.text && !self.number && !self.boolean && !self.is_deep()
    }
    pub(super) fn is_number(&self) -> bool {
        self.number && !self.text && !self.boolean && !self.is_deep()
    }
    pub(super) fn is_list(&self) -> bool {
        !self.lists.is_empty() && self.objects.is_empty() && !self.any && !self.text && !self.number && !self.boolean
    }
    fn is_deep(&self) -> bool {
        self.any || !self.lists.is_empty() || !self.objects.is_empty()
    }
}

/// Whether a schema says this of itself.
pub(super) fn says(schema: &Value, word: &str) -> bool {
    schema.get(word) == Some(&Value::Bool(true))
}

pub(super) fn required<'a>(object: &'a Map<String, Value>) -> impl Iterator<Item = &'a str> + use<'a> {
    object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

pub(super) fn properties<'a>(
    object: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    object.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The schema of the members that are not named, where there may be some.
pub(super) fn others(object: &Map<String, Value>) -> Option<&Value> {
    let additional = object.get("additionalProperties").filter(|schema| **schema != Value::Bool(false));
    let patterns = || object.get("patternProperties").and_then(Value::as_object).and_then(|all| all.values().next());
    let has_names = object.get("properties").and_then(Value::as_object).is_some_and(|names| !names.is_empty());
    let closed = object.get("additionalProperties").is_some()
        || object.get("unevaluatedProperties") == Some(&Value::Bool(false));
    const ANY: &Value = &Value::Bool(true);
    additional.or_else(patterns).or((!has_names && !closed).then_some(ANY))
}

/// A question about a property: its name, its schema, and the object that it belongs to.
type PropertyTest<'t> = dyn Fn(&str, &Value, &Map<String, Value>) -> bool + 't;

impl<'a> Root<'a> {
    /// Where a reference leads.
    fn target(self, reference: &str) -> Option<&'a Value> {
        let pointer = reference.strip_prefix('#')?;
        // A URI fragment (RFC 6901 §6): what it has in it of percent signs is decoded.
        self.schema.pointer(&decoded(pointer))
    }

    /// The schema that a chain of references leads to.
    pub(super) fn resolved(self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..DEEPEST {
            match schema.get("$ref").and_then(Value::as_str).and_then(|reference| self.target(reference)) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// What a value of this schema may be.
    pub(super) fn kinds(self, schema: &'a Value) -> Kinds<'a> {
        let mut kinds = Kinds::default();
        self.gather(schema, &mut kinds, 0);
        kinds
    }

    fn gather(self, schema: &'a Value, kinds: &mut Kinds<'a>, depth: usize) {
        let resolved = self.resolved(schema);
        let Some(object) = resolved.as_object().filter(|_| depth < DEEPEST) else {
            kinds.any |= *resolved != Value::Bool(false);
            return;
        };
        let values = object.get("enum").and_then(Value::as_array).into_iter().flatten().chain(object.get("const"));
        let mut is_said = false;
        for value in values {
            is_said = true;
            match value {
                Value::Null => kinds.null = true,
                Value::Bool(_) => kinds.boolean = true,
                Value::Number(number) => {
                    (kinds.number, kinds.integer) = (true, kinds.integer || number.is_i64() || number.is_u64());
                }
                Value::String(_) => kinds.text = true,
                Value::Array(_) => kinds.lists.push(resolved),
                Value::Object(_) => kinds.objects.push(object),
            }
        }
        if is_said {
            return;
        }
        let mut branches = ["anyOf", "oneOf", "allOf"]
            .into_iter()
            .filter_map(|word| object.get(word)?.as_array())
            .flatten()
            .peekable();
        let has_branches = branches.peek().is_some();
        branches.for_each(|branch| self.gather(branch, kinds, depth + 1));
        let names: Vec<&str> = match object.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if object.contains_key("properties") || object.contains_key("additionalProperties") => vec!["object"],
            _ if object.contains_key("items") || object.contains_key("prefixItems") => vec!["array"],
            _ if has_branches => Vec::new(),
            _ => vec![""],
        };
        for name in names {
            match name {
                "string" => kinds.text = true,
                "integer" => (kinds.number, kinds.integer) = (true, true),
                "number" => kinds.number = true,
                "boolean" => kinds.boolean = true,
                "null" => kinds.null = true,
                "array" => kinds.lists.push(resolved),
                // What its branches say more of.
                "object" if has_branches && !object.contains_key("properties") && !kinds.objects.is_empty() => {}
                "object" => kinds.objects.push(object),
                _ => kinds.any = true,
            }
        }
    }

    /// Whether something in it is private, so that it is not to be found out.
    pub(super) fn holds_private(self, schema: &'a Value) -> bool {
        let mut seen = Vec::new();
        self.any_property(schema, &mut seen, 0, &|_, property, _| says(property, "private"))
    }

    /// Whether what is sent has another form than what is read.
    fn differs(self, schema: &'a Value) -> bool {
        let mut seen = Vec::new();
        self.any_property(schema, &mut seen, 0, &|name, property, object| {
            let is_required = required(object).any(|known| known == name);
            says(property, "private") || (property.get("default").is_some() && !is_required)
        })
    }

    fn any_property(
        self,
        schema: &'a Value,
        seen: &mut Vec<*const Value>,
        depth: usize,
        test: &PropertyTest<'_>,
    ) -> bool {
        let resolved = self.resolved(schema);
        let Some(object) = resolved.as_object() else { return false };
        if seen.contains(&std::ptr::from_ref(resolved)) || depth > NESTED {
            return false;
        }
        seen.push(resolved);
        let mut inner = Vec::new();
        for (name, property) in properties(object) {
            if test(name, property, object) {
                return true;
            }
            inner.push(property);
        }
        for word in ["items", "additionalProperties", "then", "else"] {
            inner.extend(object.get(word));
        }
        for word in ["anyOf", "oneOf", "allOf", "prefixItems"] {
            inner.extend(object.get(word).and_then(Value::as_array).into_iter().flatten());
        }
        inner.extend(object.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values));
        inner.into_iter().any(|inner| self.any_property(inner, seen, depth + 1, test))
    }
}

/// A URI fragment without its percent signs (RFC 3986 §2.1).
fn decoded(fragment: &str) -> String {
    let mut parts = fragment.split('%');
    let mut out: Vec<u8> = parts.next().unwrap_or_default().bytes().collect();
    for part in parts {
        match part.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                out.push(byte);
                out.extend(part.bytes().skip(2));
            }
            _ => {
                out.push(b'%');
                out.extend(part.bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A type as a part of another one that binds more tightly.
pub(super) fn bound(text: &str) -> String {
    let is_one = !text.contains(" | ") && !text.contains(" & ") && !text.starts_with("readonly ");
    if is_one || (text.starts_with("{ ") && matches(text)) { text.to_owned() } else { format!("({text})") }
}

/// Whether the brace at the beginning is closed at the end.
fn matches(text: &str) -> bool {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1 == text.len();
        }
    }
    false
}

/// Several types of which one fits, each said once.
pub(super) fn union(types: impl IntoIterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for text in types {
        if !all.contains(&text) && text != "never" {
            all.push(text);
        }
    }
    if all.iter().any(|text| text == "unknown") {
        return "unknown".to_owned();
    }
    match all.as_slice() {
        [] => "never".to_owned(),
        [one] => one.clone(),
        _ => all
            .iter()
            .map(|text| if text.contains(" & ") { bound(text) } else { text.clone() })
            .collect::<Vec<_>>()
            .join(" | "),
    }
}

/// The same, or null.
pub(super) fn nullable(text: String) -> String {
    if text == "null" || text.ends_with(" | null") { text } else { union([text, "null".to_owned()]) }
}

/// The words that say what a value is, and not only what it is like.
const SHAPING: &[&str] = &[
    "type",
    "properties",
    "additionalProperties",
    "patternProperties",
    "items",
    "prefixItems",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
];

impl<'a> Printer<'a> {
    /// The type of a schema.
    pub(super) fn type_of(&mut self, root: Root<'a>, schema: &'a Value, purpose: Purpose) -> String {
        self.type_within(root, schema, purpose, 0)
    }

    fn type_within(&mut self, root: Root<'a>, schema: &'a Value, purpose: Purpose, depth: usize) -> String {
        let object = match schema {
            Value::Bool(false) => return "never".to_owned(),
            Value::Object(object) if depth < NESTED => object,
            _ => return "unknown".to_owned(),
        };
        let mut all = Vec::new();
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            all.push(self.reference(root, reference, purpose));
        }
        if let Some(value) = object.get("const") {
            all.push(literal(value));
        } else if let Some(values) = object.get("enum").and_then(Value::as_array) {
            all.push(union(values.iter().map(literal)));
        } else if SHAPING.iter().any(|word| object.contains_key(*word)) {
            let own = self.of_types(root, object, purpose, depth);
            all.extend(own.filter(|own| own != "unknown"));
        }
        for word in ["anyOf", "oneOf"] {
            let Some(branches) = object.get(word).and_then(Value::as_array) else { continue };
            let one = union(branches.iter().map(|branch| self.type_within(root, branch, purpose, depth + 1)));
            // What is required in one way or another is not said by a type.
            if one != "unknown" {
                all.push(one);
            }
        }
        for branch in object.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let one = self.type_within(root, branch, purpose, depth + 1);
            if one != "unknown" {
                all.push(one);
            }
        }
        all.dedup();
        match all.as_slice() {
            [] => "unknown".to_owned(),
            [one] => one.clone(),
            _ => all
                .iter()
                .map(|text| if text.contains(" | ") { bound(text) } else { text.clone() })
                .collect::<Vec<_>>()
                .join(" & "),
        }
    }

    /// What `type` says, with the words that belong to it; nothing where it says nothing.
    fn of_types(
        &mut self,
        root: Root<'a>,
        object: &'a Map<String, Value>,
        purpose: Purpose,
        depth: usize,
    ) -> Option<String> {
        let has = |word: &str| object.contains_key(word);
        let names: Vec<&str> = match object.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if has("properties") || has("additionalProperties") || has("patternProperties") => vec!["object"],
            _ if has("items") || has("prefixItems") => vec!["array"],
            _ => return None,
        };
        let has_branches = ["anyOf", "oneOf", "allOf", "$ref"].iter().any(|word| has(word));
        let types = names.into_iter().filter_map(|name| {
            Some(match name {
                "string" => "string".to_owned(),
                "integer" | "number" => "number".to_owned(),
                "boolean" => "boolean".to_owned(),
                "null" => "null".to_owned(),
                "array" => self.list(root, object, purpose, depth),
                // Its branches say what it is.
                "object" if has_branches && !has("properties") => return None,
                "object" => self.inline(root, object, purpose, depth),
                _ => "unknown".to_owned(),
            })
        });
        let types: Vec<String> = types.collect();
        (!types.is_empty()).then(|| union(types))
    }

    fn list(&mut self, root: Root<'a>, object: &'a Map<String, Value>, purpose: Purpose, depth: usize) -> String {
        // An array of a patch is there as a whole.
        let purpose = if purpose == Purpose::Patch { Purpose::Input } else { purpose };
        let readonly = if purpose == Purpose::Output { "" } else { "readonly " };
        let rest = object.get("items").or_else(|| object.get("unevaluatedItems"));
        if let Some(tuple) = object.get("prefixItems").and_then(Value::as_array) {
            let least = object
                .get("minItems")
                .and_then(Value::as_u64)
                .and_then(|least| usize::try_from(least).ok())
                .unwrap_or(0);
            let mut items: Vec<String> = Vec::new();
            for (at, item) in tuple.iter().enumerate() {
                let of_item = self.type_within(root, item, purpose, depth + 1);
                items.push(if at < least { of_item } else { format!("{}?", bound(&of_item)) });
            }
            let is_closed = rest == Some(&Value::Bool(false))
                || object.get("maxItems").and_then(Value::as_u64).is_some_and(|most| most <= tuple.len() as u64);
            if !is_closed {
                let of_rest =
                    rest.map_or_else(|| "unknown".to_owned(), |rest| self.type_within(root, rest, purpose, depth + 1));
                items.push(format!("...{}[]", bound(&of_rest)));
            }
            return format!("{readonly}[{}]", items.join(", "));
        }
        let item = object
            .get("items")
            .map_or_else(|| "unknown".to_owned(), |items| self.type_within(root, items, purpose, depth + 1));
        format!("{readonly}{}[]", bound(&item))
    }

    /// An object where it stands.
    fn inline(&mut self, root: Root<'a>, object: &'a Map<String, Value>, purpose: Purpose, depth: usize) -> String {
        let members = self.members(root, object, purpose, depth, false);
        match members.as_slice() {
            [] => "{}".to_owned(),
            members => {
                format!("{{ {} }}", members.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// The members of an object, each with its comment. The two that every document has are left out where they are inherited.
    fn members(
        &mut self,
        root: Root<'a>,
        object: &'a Map<String, Value>,
        purpose: Purpose,
        depth: usize,
        inherits: bool,
    ) -> Vec<(String, String)> {
        let mut members = Vec::new();
        for (name, property) in properties(object) {
            let is_private = says(property, "private");
            if (is_private && purpose == Purpose::Output) || (inherits && (name == "_id" || name == "_rev")) {
                continue;
            }
            let mut of_property = self.type_within(root, property, purpose, depth + 1);
            if of_property == "never" {
                continue;
            }
            let is_required = required(object).any(|known| known == name);
            let has_default = property.get("default").is_some();
            let is_optional = match purpose {
                Purpose::Patch => true,
                Purpose::Input => !is_required,
                // An answer says of what may be null that it is there. What is stored does not, and both are of one type.
                Purpose::Output if root.is_answer && !has_default => !is_required || root.kinds(property).null,
                Purpose::Output => says(property, "protected") || !(is_required || has_default),
            };
            if purpose == Purpose::Patch && !is_required {
                of_property = nullable(of_property);
            }
            let mark = if is_optional { "?" } else { "" };
            members.push((self.comment(root, property), format!("readonly {}{mark}: {of_property}", key(name))));
        }
        if let Some(of_others) = others(object) {
            let named = !members.is_empty();
            let mut value = self.type_within(root, of_others, purpose, depth + 1);
            if purpose == Purpose::Patch {
                value = nullable(value);
            }
            // Of several kinds of names only this can be said: any of them may be anything.
            let is_one = !named
                && object
                    .get("patternProperties")
                    .and_then(Value::as_object)
                    .is_none_or(|all| all.len() == 1 && !object.contains_key("additionalProperties"));
            let names = object.get("propertyNames").map(|names| self.type_within(root, names, purpose, depth + 1));
            match names.filter(|names| is_one && names.starts_with('"')) {
                Some(names) => members.push((String::new(), format!("readonly [name in {names}]?: {value}"))),
                None => members.push((
                    String::new(),
                    format!("readonly [name: string]: {}", if is_one { &value } else { "unknown" }),
                )),
            }
        }
        members
    }

    /// A type that has a name.
    fn reference(&mut self, root: Root<'a>, reference: &str, purpose: Purpose) -> String {
        let Some(target) = root.target(reference) else { return "unknown".to_owned() };
        let name = match reference.rsplit(['/', '#']).next() {
            Some(name) if !name.is_empty() => decoded(name).replace("~1", "/").replace("~0", "~"),
            _ => target.get("title").and_then(Value::as_str).unwrap_or("Recursive").to_owned(),
        };
        self.named(root, target, &name, purpose)
    }

    /// The name of the type of a schema that would like to be called so.
    pub(super) fn named(&mut self, root: Root<'a>, schema: &'a Value, name: &str, purpose: Purpose) -> String {
        let purpose = if purpose == Purpose::Input && !root.differs(schema) { Purpose::Output } else { purpose };
        let place = (root.number, std::ptr::from_ref(schema) as usize, purpose);
        if let Some(name) = self.made.get(&place) {
            return name.clone();
        }
        let base = pascal(name.strip_prefix("Doc_").unwrap_or(name));
        let base = match purpose {
            Purpose::Output => base,
            Purpose::Input => format!("{base}Input"),
            Purpose::Patch if root.kinds(schema).objects.is_empty() => {
                return self.named(root, schema, name, Purpose::Input);
            }
            Purpose::Patch => format!("{base}Patch"),
        };
        for name in self.names.candidates(&base) {
            self.made.insert(place, name.clone());
            let is_new = self.names.get(&name).is_none();
            if is_new {
                // Kept, while it is looked at what is in it.
                self.names.set(&name, String::new());
            }
            let body = self.body(root, schema, purpose);
            if is_new {
                let comment = self.comment(root, schema);
                self.declare(&name, &comment, &body);
                return name;
            }
            if self.names.get(&name) == Some(&body) {
                return name;
            }
        }
        "unknown".to_owned()
    }

    /// What stands behind the name of a type.
    pub(super) fn body(&mut self, root: Root<'a>, schema: &'a Value, purpose: Purpose) -> String {
        let object = schema.as_object().filter(|object| {
            let is_object = object.get("type").is_some_and(|kind| kind == "object");
            let is_more = ["$ref", "anyOf", "oneOf", "allOf", "enum", "const", "propertyNames"]
                .iter()
                .any(|word| object.contains_key(*word));
            is_object && !is_more
        });
        let Some(object) = object else { return format!(" = {};\n", self.type_of(root, schema, purpose)) };
        let is_document = ["_id", "_rev"].iter().all(|name| properties(object).any(|(known, _)| known == name));
        self.interface(root, object, purpose, is_document, &[])
    }

    /// The body of an interface.
    pub(super) fn interface(
        &mut self,
        root: Root<'a>,
        object: &'a Map<String, Value>,
        purpose: Purpose,
        is_document: bool,
        more: &[String],
    ) -> String {
        let mut body = if is_document { " extends Key {\n".to_owned() } else { " {\n".to_owned() };
        for member in more {
            body.push_str(&format!("  {member};\n"));
        }
        for (comment, member) in self.members(root, object, purpose, 0, is_document || !more.is_empty()) {
            body.push_str(&indented(&comment));
            body.push_str(&format!("  {member};\n"));
        }
        body.push_str("}\n");
        body
    }

    /// What is said about a schema.
    pub(super) fn comment(&self, root: Root<'a>, schema: &'a Value) -> String {
        let text = |word: &str| schema.get(word).and_then(Value::as_str);
        let mut lines: Vec<String> = text("description").into_iter().flat_map(str::lines).map(str::to_owned).collect();
        let resolved = root.resolved(schema);
        let format = text("format").or_else(|| resolved.get("format").and_then(Value::as_str));
        match format {
            // Of a number it is how large it may be, which is said where that is more than a number is exact for here.
            Some("int64" | "uint64") => lines.push("Beyond 2^53 it is rounded.".to_owned()),
            Some(format) if root.kinds(schema).text => lines.push(format!("@format {format}")),
            _ => {}
        }
        if let Some(default) = schema.get("default") {
            lines.push(format!("@default {default}"));
        }
        if let Some(to) = text("model") {
            lines.push(format!("Refers to `{to}`."));
        }
        if says(schema, "deprecated") {
            lines.push("@deprecated".to_owned());
        }
        let values =
            resolved.get("x-enumDescriptions").and_then(Value::as_object).filter(|_| std::ptr::eq(schema, resolved));
        for (name, said) in values.into_iter().flatten() {
            lines.push(format!("- `{name}`: {}", said.as_str().unwrap_or_default()));
        }
        doc(&lines)
    }
}

/// A comment of these lines.
pub(super) fn doc(lines: &[String]) -> String {
    let safe: Vec<String> = lines.iter().map(|line| line.replace("*/", "*\u{200B}/").trim_end().to_owned()).collect();
    match safe.as_slice() {
        [] => String::new(),
        [line] => format!("/** {line} */\n"),
        lines => format!(
            "/**\n{} */\n",
            lines.iter().map(|line| format!(" * {line}").trim_end().to_owned() + "\n").collect::<String>()
        ),
    }
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
