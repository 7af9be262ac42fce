//! The keys of an attribute, parsed by one helper: each attribute brings an enum and a table, and gets the same checks and
//! the same words for unknown, duplicate, conflicting and misshapen keys.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{Expr, Ident, Lit, LitStr, Path, Token, Type, UnOp, parenthesized, token};

use crate::diagnostics::Diagnostics;

/// The keys of one attribute.
pub(crate) trait Key: Copy + PartialEq + 'static {
    /// The attribute, as it is written.
    const ATTRIBUTE: &'static str;
    /// All keys, in the order in which messages list them.
    const SPECS: &'static [Spec<Self>];
    /// Keys that exclude each other, with the cure. The later one in the source is pointed at.
    const CONFLICTS: &'static [(Self, Self, &'static str)];
}

/// What a key looks like.
pub(crate) struct Spec<K> {
    pub(crate) key: K,
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// How it is written right, for messages.
    pub(crate) example: &'static str,
}

/// The form of a key's value.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// `key`
    Flag,
    /// `key` or `key = expression`
    FlagOrExpr,
    /// `key = expression`
    Expr,
    /// `key = "text"`
    Text,
    /// `key = 12`
    Count,
    /// `key = -1.5`
    Number,
    /// `key = -1`
    Whole,
    /// `key = true`
    Bool,
    /// `key = "text"` or `key = false`
    TextOrBool,
    /// `key = a::path`
    Path,
    /// `key(…)`
    List,
    /// `key = "text"` or `key(…)`
    TextOrList,
    /// `key(…)`, as often as one likes
    Lists,
}

impl Form {
    fn in_words(self) -> &'static str {
        match self {
            Self::Flag => "no value",
            Self::FlagOrExpr | Self::Expr => "an expression",
            Self::Text => "a text",
            Self::Count => "a whole number, not negative",
            Self::Number => "a number",
            Self::Whole => "a whole number",
            Self::Bool => "`true` or `false`",
            Self::TextOrBool => "a text, or `false`",
            Self::Path => "a path",
            Self::List | Self::Lists => "a list in parentheses",
            Self::TextOrList => "a text, or a list in parentheses",
        }
    }
}

/// A number as it was written.
#[derive(Clone)]
pub(crate) struct Number {
    /// Without suffix.
    pub(crate) tokens: TokenStream,
    pub(crate) value: f64,
    /// Exact, where it is whole.
    pub(crate) whole: Option<i128>,
}

/// The value of a key.
pub(crate) enum Given {
    Flag,
    Expr(Expr),
    Text(LitStr),
    Number(Number),
    Bool(bool),
    Path(Path),
    List(TokenStream),
}

/// One key with its value.
pub(crate) struct Entry<K> {
    pub(crate) key: K,
    pub(crate) name: Ident,
    pub(crate) given: Given,
}

/// The keys that one attribute was given.
pub(crate) struct Keys<K> {
    pub(crate) entries: Vec<Entry<K>>,
    /// Keys that were given with a value that is none.
    misshapen: Vec<K>,
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Self { entries: Vec::new(), misshapen: Vec::new() }
    }
}

impl<K: Key> Keys<K> {
    /// Parses what stands between the parentheses.
    pub(crate) fn parse(tokens: TokenStream, errors: &Diagnostics) -> Self {
        let mut keys = Self::default();
        keys.extend(tokens, errors);
        keys
    }

    /// Parses one more attribute of the same kind.
    pub(crate) fn extend(&mut self, tokens: TokenStream, errors: &Diagnostics) {
        run(tokens, errors, |input| self.parse_all(input, errors));
        self.check_conflicts(errors);
    }

    /// Parses an attribute that starts with the model.
    pub(crate) fn parse_after_model(tokens: TokenStream, errors: &Diagnostics) -> (Option<Type>, Self) {
        let mut keys = Self::default();
        let mut model = None;
        run(tokens, errors, |input| {
            if !starts_with_key::<K>(input) && !input.is_empty() {
                match input.parse::<Type>() {
                    Ok(ty) => model = Some(ty),
                    Err(error) => {
                        errors.push(error);
                        skip(input);
                    }
                }
                separator(input, errors);
            } else {
                let attribute = K::ATTRIBUTE.trim_end_matches(']');
                errors.at_span(
                    input.span(),
                    format!("`{}` needs the model first; write `{attribute}(User, …)]`", K::ATTRIBUTE),
                );
            }
            keys.parse_all(input, errors);
        });
        keys.check_conflicts(errors);
        (model, keys)
    }

    fn parse_all(&mut self, input: ParseStream<'_>, errors: &Diagnostics) {
        while !input.is_empty() {
            match entry::<K>(input) {
                Ok(entry) => match self.entries.iter().find(|known| known.key == entry.key) {
                    Some(_) if !is_repeatable(entry.key) => {
                        errors.at(&entry.name, format!("`{}` is given twice; remove one", entry.name));
                    }
                    _ => self.entries.push(entry),
                },
                Err((key, error)) => {
                    self.misshapen.extend(key);
                    errors.push(error);
                    skip(input);
                }
            }
            separator(input, errors);
        }
    }

    fn check_conflicts(&mut self, errors: &Diagnostics) {
        for (a, b, cure) in K::CONFLICTS {
            let at = |key: &K| self.entries.iter().position(|entry| entry.key == *key);
            if let (Some(a), Some(b)) = (at(a), at(b)) {
                let (first, last) = (&self.entries[a.min(b)].name, &self.entries[a.max(b)].name);
                errors.at(last, format!("`{last}` cannot stand beside `{first}`; {cure}"));
                // Told once, also when a second attribute follows.
                self.entries.remove(a.max(b));
            }
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&Entry<K>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The lists of a key that may be given several times, each with the key as it was written.
    pub(crate) fn lists(&self, key: K) -> impl Iterator<Item = (&Ident, &TokenStream)> {
        self.entries.iter().filter(move |entry| entry.key == key).filter_map(|entry| match &entry.given {
            Given::List(tokens) => Some((&entry.name, tokens)),
            _ => None,
        })
    }

    pub(crate) fn has(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Whether the key was not even tried.
    pub(crate) fn lacks(&self, key: K) -> bool {
        !self.has(key) && !self.misshapen.contains(&key)
    }

    pub(crate) fn text(&self, key: K) -> Option<&LitStr> {
        match self.get(key)?.given {
            Given::Text(ref text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: K) -> Option<&Number> {
        match self.get(key)?.given {
            Given::Number(ref number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn path(&self, key: K) -> Option<&Path> {
        match self.get(key)?.given {
            Given::Path(ref path) => Some(path),
            _ => None,
        }
    }

    pub(crate) fn expr(&self, key: K) -> Option<&Expr> {
        match &self.get(key)?.given {
            Given::Expr(expr) => Some(expr),
            _ => None,
        }
    }

    pub(crate) fn bool(&self, key: K) -> Option<bool> {
        match self.get(key)?.given {
            Given::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn span(&self, key: K) -> Span {
        self.get(key).map_or_else(Span::call_site, |entry| entry.name.span())
    }
}

fn is_repeatable<K: Key>(key: K) -> bool {
    K::SPECS.iter().any(|spec| spec.key == key && spec.form == Form::Lists)
}

/// Runs a parser that reports by itself.
fn run(tokens: TokenStream, errors: &Diagnostics, mut parse: impl FnMut(ParseStream<'_>)) {
    let parser = |input: ParseStream<'_>| {
        parse(input);
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        errors.push(error);
    }
}

/// Goes on after the next comma.
fn skip(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

fn separator(input: ParseStream<'_>, errors: &Diagnostics) {
    if input.is_empty() {
        return;
    }
    if input.peek(Token![,]) {
        let _comma = input.parse::<Token![,]>();
        return;
    }
    errors.push(input.error("expected `,`"));
    skip(input);
    let _comma = input.parse::<Option<Token![,]>>();
}

fn starts_with_key<K: Key>(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    let Ok(name) = ahead.call(Ident::parse_any) else { return false };
    ahead.peek(Token![=]) || ahead.peek(token::Paren) || K::SPECS.iter().any(|spec| name == spec.name)
}

/// One key with its value, or which key it would have been.
fn entry<K: Key>(input: ParseStream<'_>) -> Result<Entry<K>, (Option<K>, syn::Error)> {
    let name = input
        .call(Ident::parse_any)
        .map_err(|error| (None, syn::Error::new(error.span(), format!("expected a key {}", allowed::<K>()))))?;
    let Some(spec) = K::SPECS.iter().find(|spec| name == spec.name) else {
        let text = name.to_string();
        let hint = nearest(&text, K::SPECS.iter().map(|spec| spec.name))
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err((None, syn::Error::new(name.span(), format!("unknown key `{text}`{hint} {}", allowed::<K>()))));
    };
    match given(spec, &name, input) {
        Ok(given) => Ok(Entry { key: spec.key, name, given }),
        Err(error) => Err((Some(spec.key), error)),
    }
}

/// The value of a key.
fn given<K: Key>(spec: &Spec<K>, name: &Ident, input: ParseStream<'_>) -> syn::Result<Given> {
    let words = spec.form.in_words();
    let verb = if spec.form == Form::Flag { "takes" } else { "needs" };
    let misshapen = format!("`{}` {verb} {words}; write `{}`", spec.name, spec.example);
    let refuse = |span: Span| Err(syn::Error::new(span, &misshapen));
    if input.peek(token::Paren) {
        let content;
        parenthesized!(content in input);
        let tokens: TokenStream = content.parse()?;
        return if matches!(spec.form, Form::List | Form::Lists | Form::TextOrList) {
            Ok(Given::List(tokens))
        } else {
            refuse(name.span())
        };
    }
    if !input.peek(Token![=]) {
        let bare = matches!(spec.form, Form::Flag | Form::FlagOrExpr);
        return if bare { Ok(Given::Flag) } else { refuse(name.span()) };
    }
    let equals = input.parse::<Token![=]>()?;
    if matches!(spec.form, Form::Flag | Form::List | Form::Lists) {
        return refuse(name.span());
    }
    if input.is_empty() || input.peek(Token![,]) {
        return refuse(equals.span());
    }
    if spec.form == Form::Path {
        let start = input.span();
        return input.call(Path::parse_mod_style).map(Given::Path).or_else(|_| refuse(start));
    }
    let expr: Expr = input.parse()?;
    let wrong = syn::Error::new_spanned(&expr, &misshapen);
    shape(spec.form, expr).ok_or(wrong)
}

/// The value in the form that the key has, if it is that.
fn shape(form: Form, expr: Expr) -> Option<Given> {
    match form {
        Form::FlagOrExpr | Form::Expr => Some(Given::Expr(expr)),
        Form::Text | Form::TextOrList => match bare(&expr) {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(text) => Some(Given::Text(text.clone())),
                _ => None,
            },
            _ => None,
        },
        Form::Bool => match bare(&expr) {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Bool(value) => Some(Given::Bool(value.value())),
                _ => None,
            },
            _ => None,
        },
        Form::TextOrBool => shape(Form::Text, expr.clone()).or_else(|| shape(Form::Bool, expr)),
        Form::Number => number(&expr).map(Given::Number),
        Form::Whole => number(&expr).filter(|number| number.whole.is_some()).map(Given::Number),
        Form::Count => number(&expr)
            .filter(|number| number.whole.is_some_and(|whole| u64::try_from(whole).is_ok()))
            .map(Given::Number),
        Form::Flag | Form::Path | Form::List | Form::Lists => None,
    }
}

/// Without the invisible groups that `macro_rules!` puts around what it hands on.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => bare(&group.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        _ => expr,
    }
}

/// A number literal, perhaps with a minus.
pub(crate) fn number(expr: &Expr) -> Option<Number> {
    match bare(expr) {
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => {
            let Number { tokens, value, whole } = number(&unary.expr)?;
            Some(Number { tokens: quote!(-#tokens), value: -value, whole: whole.map(|whole| -whole) })
        }
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(int) => {
                let whole: i128 = int.base10_parse().ok()?;
                let literal = proc_macro2::Literal::i128_unsuffixed(whole);
                #[expect(clippy::cast_precision_loss, reason = "compared only where the exact form is not known")]
                let value = whole as f64;
                Some(Number { tokens: quote!(#literal), value, whole: Some(whole) })
            }
            Lit::Float(float) => {
                let value: f64 = float.base10_parse().ok()?;
                let literal = proc_macro2::Literal::f64_unsuffixed(value);
                Some(Number { tokens: quote!(#literal), value, whole: None })
            }
            _ => None,
        },
        _ => None,
    }
}

/// A string literal.
pub(crate) fn text(expr: &Expr) -> Option<String> {
    match bare(expr) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn allowed<K: Key>() -> String {
    let names: Vec<String> = K::SPECS.iter().map(|spec| format!("`{}`", spec.name)).collect();
    format!("(the keys of `{}` are {})", K::ATTRIBUTE, names.join(", "))
}

/// The known word that someone who wrote `text` most likely meant.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let text = folded(text);
    // Someone who wrote the beginning of a word meant it, however long the rest is.
    let begun = |word: &str| text.len() > 2 && folded(word).starts_with(&text);
    known
        .into_iter()
        .map(|word| (distance(&text, &folded(word)), word))
        .filter(|(distance, word)| *distance <= word.len().max(3) / 3 || begun(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters have to be put in, taken out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The enum and the table of an attribute's keys.
macro_rules! keys {
    (
        $(#[$meta:meta])*
        enum $name:ident for $attribute:literal {
            $($(#[$key_meta:meta])* $key:ident = $text:literal, $form:ident, $example:literal;)*
        }
        $(conflicts { $($a:ident, $b:ident: $cure:expr;)* })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub(crate) enum $name {
            $($(#[$key_meta])* $key,)*
        }

        impl $crate::keys::Key for $name {
            const ATTRIBUTE: &'static str = $attribute;
            const SPECS: &'static [$crate::keys::Spec<Self>] = &[$($crate::keys::Spec {
                key: Self::$key,
                name: $text,
                form: $crate::keys::Form::$form,
                example: $example,
            },)*];
            const CONFLICTS: &'static [(Self, Self, &'static str)] = &[$($((Self::$a, Self::$b, $cure),)*)?];
        }
    };
}
pub(crate) use keys;

#[cfg(test)]
mod tests {
    use super::*;

    keys! {
        enum Test for "#[test]" {
            Unique = "unique", Flag, "unique";
            Index = "index", Flag, "index";
            MinLength = "min_length", Count, "min_length = 12";
            Minimum = "minimum", Number, "minimum = 0";
            Crate = "crate", Path, "crate = other";
            Before = "before", List, "before(insert)";
        }
        conflicts { Unique, Index: "a unique field is indexed"; }
    }

    fn told(tokens: TokenStream) -> String {
        let errors = Diagnostics::new();
        let _keys = Keys::<Test>::parse(tokens, &errors);
        errors.finish().to_string()
    }

    #[test]
    fn keys_are_read() {
        let errors = Diagnostics::new();
        let tokens = quote!(unique, min_length = 12u8, minimum = -1.5, crate = a::b, before(insert, x),);
        let keys = Keys::<Test>::parse(tokens, &errors);
        assert_eq!(errors.finish().to_string(), "");
        assert!(keys.has(Test::Unique) && !keys.has(Test::Index));
        assert_eq!(keys.number(Test::MinLength).unwrap().tokens.to_string(), "12");
        assert_eq!(keys.number(Test::Minimum).unwrap().tokens.to_string(), "- 1.5");
        assert!(keys.path(Test::Crate).is_some());
    }

    #[test]
    fn mistakes_are_told_together() {
        let text = told(quote!(uniqe, min_length, unique = 1, minimum = "a", index, index, unique));
        for part in [
            "unknown key `uniqe`; did you mean `unique`?",
            "`min_length` needs a whole number, not negative; write `min_length = 12`",
            "`unique` takes no value; write `unique`",
            "`minimum` needs a number; write `minimum = 0`",
            "`index` is given twice; remove one",
            "`unique` cannot stand beside `index`; a unique field is indexed",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn the_nearest_word() {
        assert_eq!(nearest("minLength", ["max_length", "min_length"]), Some("min_length"));
        assert_eq!(nearest("zzz", ["max_length", "min_length"]), None);
    }
}
