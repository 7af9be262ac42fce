//! The keyword `errorMessage`: sentences of the author's own in place of what a schema would report
//! (<https://ajv.js.org/packages/ajv-errors.html>).
//!
//! It looks at what its schema reported, once all other keywords have had their say: a keyword at a time, a member or an
//! element at a time, then all that is left. What it finds is replaced by one violation with the keyword `errorMessage`, which
//! carries the violations that it stands for. In one thing it goes further than the npm package: what a `$ref` beside it reports
//! counts as reported by the same schema, since it speaks of the same value.

use serde_json::{Map, Value, json};

use super::{Walk, escape, number};
use crate::core::schema::held_level;
use crate::error::Violation;

/// The keyword.
pub(super) const KEYWORD: &str = "errorMessage";

/// The most bytes of a value that a message shows.
const MAX_SHOWN: usize = 1024;

/// What one `errorMessage` says.
pub(super) struct Messages {
    keywords: Vec<(String, Message)>,
    /// Keywords that report names, with a message for each name.
    names: Vec<(String, Vec<(String, Message)>)>,
    members: Vec<(String, Message)>,
    elements: Vec<Message>,
    /// For whatever is left.
    rest: Option<Message>,
    /// Where the `$ref` beside it leads.
    reference: Option<String>,
}

/// A sentence, with places in it for values.
struct Message(Vec<Part>);

enum Part {
    Text(String),
    Value(Pointer),
}

/// Where a value is: so many steps up from the one at hand, or from the root, then down by names.
struct Pointer {
    up: Option<usize>,
    down: Vec<String>,
    /// Not the value, but its name in what holds it (`0#` of relative JSON Pointers).
    name: bool,
}

impl Messages {
    /// Reads the value of the keyword.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(value: &Value, reference: Option<&str>) -> Result<Self, String> {
        let mut read = Self {
            keywords: Vec::new(),
            names: Vec::new(),
            members: Vec::new(),
            elements: Vec::new(),
            rest: None,
            reference: reference.map(str::to_owned),
        };
        match value {
            Value::String(text) => read.rest = Some(Message::new(text)?),
            Value::Object(entries) => {
                for (key, entry) in entries {
                    read.entry(key, entry)?;
                }
            }
            _ => return Err(format!("`{KEYWORD}` must be a text or an object of texts")),
        }
        Ok(read)
    }

    fn entry(&mut self, key: &str, entry: &Value) -> Result<(), String> {
        match (key, entry) {
            ("_", Value::String(text)) => self.rest = Some(Message::new(text)?),
            ("properties", Value::Object(texts)) => self.members = messages(key, texts)?,
            ("items", Value::Array(texts)) => {
                let texts = texts.iter().map(|text| text.as_str().ok_or_else(|| no_text(key)));
                self.elements = texts.map(|text| Message::new(text?)).collect::<Result<_, _>>()?;
            }
            ("properties" | "items", _) => {
                return Err(format!("`{KEYWORD}/properties` must be an object and `{KEYWORD}/items` a list of texts"));
            }
            (_, Value::String(text)) => self.keywords.push((key.to_owned(), Message::new(text)?)),
            (_, Value::Object(texts)) if name_in(key).is_some() => {
                self.names.push((key.to_owned(), messages(key, texts)?));
            }
            _ => return Err(no_text(key)),
        }
        Ok(())
    }

    /// Whether there is a message that shows a value.
    pub(super) fn shows_values(&self) -> bool {
        let named = self.names.iter().flat_map(|(_, named)| named).chain(&self.keywords).chain(&self.members);
        let mut all = named.map(|(_, message)| message).chain(&self.elements).chain(&self.rest);
        all.any(|message| message.0.iter().any(|part| matches!(part, Part::Value(_))))
    }
}

fn no_text(key: &str) -> String {
    format!("`{KEYWORD}/{key}` must be a text")
}

fn messages(key: &str, texts: &Map<String, Value>) -> Result<Vec<(String, Message)>, String> {
    let message =
        |(name, text): (&String, &Value)| Ok((name.clone(), Message::new(text.as_str().ok_or_else(|| no_text(key))?)?));
    texts.iter().map(message).collect()
}

/// The parameter in which a keyword reports a name.
fn name_in(keyword: &str) -> Option<&'static str> {
    match keyword {
        "required" => Some("missingProperty"),
        "dependencies" | "dependentRequired" => Some("property"),
        _ => None,
    }
}

impl Message {
    fn new(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${")
            && let Some(length) = rest[start + 2..].find('}')
        {
            let (before, pointer) = (&rest[..start], &rest[start + 2..start + 2 + length]);
            rest = &rest[start + 2 + length + 1..];
            parts.push(Part::Text(before.to_owned()));
            parts.push(match pointer {
                "" => Part::Text("${}".to_owned()),
                _ => Part::Value(Pointer::new(pointer)?),
            });
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    fn text(&self, walk: &Walk<'_>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(pointer) => pointer.show(walk),
        };
        self.0.iter().map(part).collect()
    }
}

impl Pointer {
    fn new(text: &str) -> Result<Self, String> {
        let wrong = || format!("`${{{text}}}` in `{KEYWORD}` is no JSON pointer");
        let (up, down) = match text.find(|character: char| !character.is_ascii_digit()) {
            Some(0) => (None, text),
            Some(at) => (Some(text[..at].parse().map_err(|_| wrong())?), &text[at..]),
            None => (Some(text.parse().map_err(|_| wrong())?), ""),
        };
        if down == "#" && up.is_some() {
            return Ok(Self { up, down: Vec::new(), name: true });
        }
        if !(down.is_empty() || down.starts_with('/')) {
            return Err(wrong());
        }
        let names = down.split('/').filter(|segment| !segment.is_empty());
        Ok(Self { up, down: names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect(), name: false })
    }

    /// The value as JSON; what is not there is `undefined`, as in JavaScript.
    fn show(&self, walk: &Walk<'_>) -> String {
        let mut names: Vec<Box<str>> = match self.up {
            None => Vec::new(),
            Some(up) => {
                let mut here: Vec<Box<str>> = walk
                    .place
                    .split('/')
                    .skip(1)
                    .map(|name| name.replace("~1", "/").replace("~0", "~").into())
                    .collect();
                let Some(left) = here.len().checked_sub(up) else { return "undefined".to_owned() };
                here.truncate(left);
                here
            }
        };
        if self.name {
            let Some(name) = names.pop() else { return "undefined".to_owned() };
            let holder = names.iter().try_fold(walk.root, |value, name| inside(value, name));
            return if holder.is_some_and(Value::is_array) { name.into() } else { Value::from(&*name).to_string() };
        }
        names.extend(self.down.iter().map(|name| name.as_str().into()));
        if let Some(level) = walk.schema.and_then(|schema| held_level(schema, &names)) {
            return level.shown().to_owned();
        }
        let mut value = walk.root;
        for name in &names {
            // `value && value[name]`, as JavaScript has it: what holds nothing is shown itself.
            if matches!(value, Value::Null | Value::Bool(false)) || value == "" || value.as_f64() == Some(0.0) {
                break;
            }
            match inside(value, name) {
                Some(inner) => value = inner,
                None => return "undefined".to_owned(),
            }
        }
        let mut shown = String::new();
        write_json(value, &mut shown);
        if shown.len() > MAX_SHOWN {
            let end = (0..=MAX_SHOWN).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
            shown.truncate(end);
            shown.push('…');
        }
        shown
    }
}

/// Appends a value as JavaScript puts it into JSON; of a long one not much more than is shown.
fn write_json(value: &Value, out: &mut String) {
    let comma = |at: usize| if at > 0 { "," } else { "" };
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if out.len() > MAX_SHOWN {
                    break;
                }
                out.push_str(comma(at));
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if out.len() > MAX_SHOWN {
                    break;
                }
                out.push_str(comma(at));
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_json(member, out);
            }
            out.push('}');
        }
        Value::Number(_) => out.push_str(&number(value)),
        value => out.push_str(&value.to_string()),
    }
}

/// The member or the element of that name.
fn inside<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => name.parse().ok().and_then(|at: usize| items.get(at)),
        _ => None,
    }
}

impl Walk<'_> {
    /// Replaces what the schema at hand reported, which is everything behind `start`.
    pub(super) fn replace(&mut self, messages: &Messages, start: usize, value: &Value) {
        let mut old: Vec<Option<Violation>> = self.violations.drain(start..).map(Some).collect();
        let mut new = Vec::new();
        for (keyword, message) in &messages.keywords {
            let is = |it: &Violation| it.keyword == *keyword && self.is_own(messages, it);
            new.extend(self.stand_in(take(&mut old, is), message, ""));
        }
        for (keyword, named) in &messages.names {
            let Some(param) = name_in(keyword) else { continue };
            for (name, message) in named {
                let is =
                    |it: &Violation| it.keyword == *keyword && it.params[param] == **name && self.is_own(messages, it);
                new.extend(self.stand_in(take(&mut old, is), message, ""));
            }
        }
        let elements = messages.elements.iter().enumerate().map(|(at, message)| (at.to_string(), message));
        let children: Vec<(String, &Message)> = match value {
            Value::Object(_) => messages.members.iter().map(|(name, message)| (name.clone(), message)).collect(),
            Value::Array(_) => elements.collect(),
            _ => Vec::new(),
        };
        for (name, message) in children {
            let step = format!("/{}", escape(&name));
            let is = |it: &Violation| {
                let inside = self.inside(it).and_then(|rest| rest.strip_prefix(step.as_str()));
                inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            new.extend(self.stand_in(take(&mut old, is), message, &step));
        }
        if let Some(message) = &messages.rest {
            let is = |it: &Violation| self.inside(it).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            new.extend(self.stand_in(take(&mut old, is), message, ""));
        }
        // Everything is counted anew, messages without regard to what there is room for: what they stand for had it.
        self.violations.extend(old.into_iter().flatten().chain(new));
        self.mark.reported = self.violations.len();
        self.mark.bytes = self.violations.iter().map(super::bytes).sum();
    }

    /// Whether a violation is one of a keyword beside the `errorMessage`, about the value at hand.
    fn is_own(&self, messages: &Messages, violation: &Violation) -> bool {
        let keyword = |path: &str| violation.schema_path.strip_prefix(path).and_then(|path| path.strip_prefix('/'));
        let is_below = |path: &str| keyword(path).is_some_and(|keyword| !keyword.contains('/'));
        violation.instance_path == self.place
            && (is_below(&self.path) || messages.reference.as_deref().is_some_and(is_below))
    }

    /// The rest of the place of a violation that is about the value at hand, or what begins like it.
    fn inside<'v>(&self, violation: &'v Violation) -> Option<&'v str> {
        violation.instance_path.strip_prefix(self.place.as_str())
    }

    /// The violation that stands for others, if there are any.
    fn stand_in(&self, errors: Vec<Violation>, message: &Message, step: &str) -> Option<Violation> {
        if errors.is_empty() {
            return None;
        }
        let used = |violation: Violation| {
            let mut json = serde_json::to_value(violation).unwrap_or_default();
            json["emUsed"] = true.into();
            json
        };
        Some(Violation {
            instance_path: format!("{}{step}", self.place),
            keyword: KEYWORD.into(),
            message: message.text(self).into(),
            params: json!({"errors": errors.into_iter().map(used).collect::<Vec<_>>()}),
            schema_path: format!("{}/{KEYWORD}", self.path).into(),
        })
    }
}

/// Takes the violations out that are meant; never those that stand for others already.
fn take(violations: &mut [Option<Violation>], is: impl Fn(&Violation) -> bool) -> Vec<Violation> {
    let meant = |it: &mut Option<Violation>| it.take_if(|it| it.keyword != KEYWORD && is(it));
    violations.iter_mut().filter_map(meant).collect()
}
