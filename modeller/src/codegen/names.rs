//! Names: identifiers of what the metadata calls however it likes, and no two of them the same.

use std::collections::{BTreeMap, BTreeSet};

/// Whether a text is an identifier as it is. Those of ASCII will do.
pub(super) fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_' || letter == '$');
    first && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$')
}

/// The name of a member, in quotes where it has to be.
pub(super) fn key(name: &str) -> String {
    if is_identifier(name) { name.to_owned() } else { quoted(name) }
}

/// A string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A part of a template literal.
pub(super) fn templated(text: &str) -> String {
    text.replace('\\', "\\\\").replace('`', "\\`").replace("${", "\\${")
}

/// A text in `UpperCamelCase`, of what of it can be in an identifier: `T` where nothing can.
pub(super) fn pascal(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect();
    match name.chars().next() {
        None => "T".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("T{name}"),
        Some(_) => name,
    }
}

/// The types of a client, by their names.
#[derive(Default)]
pub(super) struct Names {
    reserved: BTreeSet<String>,
    /// What is behind each name, as text; empty while it is made.
    known: BTreeMap<String, String>,
}

impl Names {
    /// Without those that occur in the runtime, which would mean something else there.
    pub(super) fn beside(runtime: &str) -> Self {
        // What is said in comments means nothing there.
        let code = runtime.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
        let words = code.flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric()));
        let reserved = words.filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase()));
        let globals =
            ["Array", "Object", "String", "Number", "Boolean", "Function", "Symbol", "BigInt", "Record", "Pick"];
        Self { reserved: reserved.chain(globals).map(str::to_owned).collect(), known: BTreeMap::new() }
    }

    /// The names that something may have that would like to be called so, the best first.
    pub(super) fn candidates(&self, base: &str) -> impl Iterator<Item = String> + use<> {
        let base = if self.reserved.contains(base) { format!("{base}_") } else { base.to_owned() };
        let numbered = base.clone();
        std::iter::once(base).chain((2_u32..).map(move |number| format!("{numbered}{number}")))
    }

    /// What is known under a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, body: String) {
        self.known.insert(name.to_owned(), body);
    }

    /// A name that nothing else has.
    pub(super) fn take(&mut self, base: &str) -> String {
        let name = self.candidates(base).find(|name| self.get(name).is_none()).unwrap_or_default();
        self.set(&name, String::new());
        name
    }
}
