//! `$regex` with `$options`, in linear time.
//!
//! The manual describes the patterns of PCRE. The engine here knows no look-around and no references back, which is what
//! makes it linear. Where it reads a text otherwise than PCRE does, the pattern is rewritten or refused; it never quietly
//! means something else. One difference is left: `$` without the option `m` is the very end, also behind a last line feed.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, FlagsItemKind};
use serde_json::Value;

use crate::core::value::ValueRef;
use crate::error::{Error, Result};

/// How long a pattern may be, in bytes.
const MAX_LENGTH: usize = 4_096;
/// How much memory a compiled pattern may take. The time of a search is at most its product with the length of the text.
const MAX_COMPILED: usize = 1 << 18;
/// How deep groups may be nested.
const MAX_NESTING: u32 = 64;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    options: Options,
    regex: Regex,
}

/// What the letters of `$options` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    ignore_case: bool,
    lines: bool,
    dot_all: bool,
}

impl Pattern {
    /// Reads the operand of `$regex` and, where there is one, that of `$options`.
    pub(crate) fn parse(pattern: &Value, options: Option<&Value>, at: &str, options_at: &str) -> Result<Self> {
        let Value::String(pattern) = pattern else { return Err(Error::query(at, "needs a text")) };
        let options = match options {
            None => Options::default(),
            Some(Value::String(letters)) => Options::parse(letters, options_at)?,
            Some(_) => return Err(Error::query(options_at, "needs a text")),
        };
        Self::new(pattern, options, at)
    }

    /// A pattern without options.
    pub(crate) fn plain(pattern: &str, at: &str) -> Result<Self> {
        Self::new(pattern, Options::default(), at)
    }

    fn new(text: &str, options: Options, at: &str) -> Result<Self> {
        if text.len() > MAX_LENGTH {
            return Err(Error::query(at, format!("a pattern has at most {MAX_LENGTH} bytes")));
        }
        let regex = RegexBuilder::new(&translated(text).map_err(|reason| Error::query(at, reason))?)
            .case_insensitive(options.ignore_case)
            .multi_line(options.lines)
            .dot_matches_new_line(options.dot_all)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => Error::query(at, "the pattern takes too much memory"),
                _ => Error::query(at, "not a pattern"),
            })?;
        Ok(Self { text: text.into(), options, regex })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The letters of `$options`, sorted; `None` where there are none.
    pub(crate) fn options(&self) -> Option<String> {
        let Options { ignore_case, lines, dot_all } = self.options;
        let letters: String = [(ignore_case, 'i'), (lines, 'm'), (dot_all, 's')]
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, letter)| letter)
            .collect();
        (!letters.is_empty()).then_some(letters)
    }

    /// A text that all texts begin with which the pattern is found in, where that is easily seen.
    pub(crate) fn beginning(&self) -> Option<String> {
        let rest = self.text.strip_prefix('^')?;
        // An alternative may begin otherwise, and a line need not be the first.
        if self.options.ignore_case || self.options.lines || rest.contains('|') {
            return None;
        }
        let end = rest.find(|letter| r"\.+*?()[]{}^$".contains(letter)).unwrap_or(rest.len());
        let (letters, more) = rest.split_at(end);
        let mut beginning = letters.to_owned();
        if more.starts_with(['*', '?', '{']) {
            // The last one may be missing.
            beginning.pop();
        }
        (!beginning.is_empty()).then_some(beginning)
    }

    pub(crate) fn holds(&self, value: &ValueRef<'_>) -> bool {
        value.with_text(|text| self.regex.is_match(text)).unwrap_or(false)
    }
}

/// The same pattern with the same options; what it is compiled to follows from them.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.options) == (&other.text, other.options)
    }
}

impl Options {
    fn parse(letters: &str, at: &str) -> Result<Self> {
        let mut options = Self::default();
        for letter in letters.chars() {
            match letter {
                'i' => options.ignore_case = true,
                'm' => options.lines = true,
                's' => options.dot_all = true,
                // Texts are Unicode anyway; the manual calls it redundant too.
                'u' => {}
                'x' => {
                    return Err(Error::query(
                        at,
                        "`x` is not supported: write the pattern without spaces and comments",
                    ));
                }
                letter => {
                    return Err(Error::query(at, format!("`{letter}` is not an option; there are `i`, `m` and `s`")));
                }
            }
        }
        Ok(options)
    }
}

/// The pattern in the words of the engine, in which `\d`, `\w`, `\s` and `\b` would otherwise mean all of Unicode.
fn translated(pattern: &str) -> std::result::Result<String, String> {
    let tree =
        ast::parse::ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(pattern).map_err(|error| match error
            .kind()
        {
            ast::ErrorKind::UnsupportedLookAround => {
                "look-around is not supported: a pattern is matched in linear time".to_owned()
            }
            ast::ErrorKind::UnsupportedBackreference => {
                "references back are not supported: a pattern is matched in linear time".to_owned()
            }
            kind => format!("{kind}, at byte {}", error.span().start.offset),
        })?;
    let changes = ast::visit(&tree, Translator::default())?;
    let mut text = String::with_capacity(pattern.len());
    let mut done = 0;
    for (span, replacement) in changes {
        text.push_str(pattern.get(done..span.start.offset).unwrap_or_default());
        text.push_str(replacement);
        done = span.end.offset;
    }
    text.push_str(pattern.get(done..).unwrap_or_default());
    Ok(text)
}

/// Collects what has to be replaced, in the order of the text.
#[derive(Default)]
struct Translator(Vec<(ast::Span, &'static str)>);

impl Translator {
    fn flags(flags: &ast::Flags) -> std::result::Result<(), String> {
        let known = |item: &ast::FlagsItem| {
            use ast::Flag::{CaseInsensitive, DotMatchesNewLine, MultiLine};
            matches!(
                item.kind,
                FlagsItemKind::Negation | FlagsItemKind::Flag(CaseInsensitive | DotMatchesNewLine | MultiLine)
            )
        };
        if flags.items.iter().all(known) { Ok(()) } else { Err("only `i`, `m` and `s` can be set inside".to_owned()) }
    }
}

impl ast::Visitor for Translator {
    type Output = Vec<(ast::Span, &'static str)>;
    type Err = String;

    fn finish(self) -> std::result::Result<Self::Output, String> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, tree: &Ast) -> std::result::Result<(), String> {
        match tree {
            Ast::Flags(set) => Self::flags(&set.flags),
            Ast::Group(group) => group.flags().map_or(Ok(()), Self::flags),
            Ast::Assertion(assertion) => {
                match assertion.kind {
                    AssertionKind::WordBoundary => self.0.push((assertion.span, r"(?-u:\b)")),
                    AssertionKind::NotWordBoundary => self.0.push((assertion.span, r"(?-u:\B)")),
                    AssertionKind::StartLine
                    | AssertionKind::EndLine
                    | AssertionKind::StartText
                    | AssertionKind::EndText => {}
                    _ => return Err("the boundaries of words are `\\b` and `\\B`".to_owned()),
                }
                Ok(())
            }
            Ast::ClassPerl(class) => {
                // Ignoring case would add two letters of Unicode whose lower case is an ASCII one.
                self.0.push((
                    class.span,
                    ascii(
                        class,
                        ["(?-i:[0-9])", "(?-i:[0-9A-Za-z_])", r"(?-i:[\t-\r ])"],
                        ["(?-i:[^0-9])", "(?-i:[^0-9A-Za-z_])", r"(?-i:[^\t-\r ])"],
                    ),
                ));
                Ok(())
            }
            // The engine would repeat the repetition; PCRE gives up ways to match.
            Ast::Repetition(repetition) if matches!(*repetition.ast, Ast::Repetition(_)) => {
                Err("possessive and double quantifiers are not supported".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> std::result::Result<(), String> {
        match item {
            ClassSetItem::Perl(class) => {
                self.0.push((
                    class.span,
                    ascii(class, ["[0-9]", "[0-9A-Za-z_]", r"[\t-\r ]"], ["[^0-9]", "[^0-9A-Za-z_]", r"[^\t-\r ]"]),
                ));
                Ok(())
            }
            // To the engine these are sets of sets, to PCRE they are characters.
            ClassSetItem::Bracketed(_) => Err("a `[` in a class is written `\\[`".to_owned()),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> std::result::Result<(), String> {
        Err("a doubled `&`, `-` or `~` in a class is written with `\\` before each".to_owned())
    }
}

/// Digits, letters of words or spaces: the ASCII ones, or all but them.
fn ascii(class: &ClassPerl, these: [&'static str; 3], others: [&'static str; 3]) -> &'static str {
    let [digit, word, space] = if class.negated { others } else { these };
    match class.kind {
        ClassPerlKind::Digit => digit,
        ClassPerlKind::Word => word,
        ClassPerlKind::Space => space,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_spelled_out_and_the_rest_is_kept() {
        let cases = [
            (r"ä\d+ö", "ä(?-i:[0-9])+ö"),
            (r"[\w-]", "[[0-9A-Za-z_]-]"),
            (r"[^\D\s]", r"[^[^0-9][\t-\r ]]"),
            (r"\bx\B", r"(?-u:\b)x(?-u:\B)"),
            (r"\\d[[:alpha:]](?s-i:.)", r"\\d[[:alpha:]](?s-i:.)"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(translated(pattern).as_deref(), Ok(expected), "{pattern}");
            assert!(Pattern::plain(pattern, "").is_ok(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_at_the_start_says_how_texts_begin() {
        let cases = [
            ("^abc", Some("abc")),
            ("^ab*", Some("a")),
            ("^ab?c", Some("a")),
            ("^ab{0,1}", Some("a")),
            ("^ab+c", Some("ab")),
            (r"^a\.b", Some("a")),
            ("^é(b|c)", None),
            ("^ab|cd", None),
            ("^a(?i)b", Some("a")),
            ("(?i)^ab", None),
            ("^a?", None),
            ("^", None),
            ("ab", None),
        ];
        for (pattern, beginning) in cases {
            assert_eq!(Pattern::plain(pattern, "").unwrap().beginning().as_deref(), beginning, "{pattern}");
        }
        for options in ["i", "m"] {
            let pattern = Pattern::parse(&"^ab".into(), Some(&options.into()), "", "").unwrap();
            assert_eq!(pattern.beginning(), None, "{options}");
        }
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused() {
        for pattern in
            [r"[\d-x]", r"\Qa\E", r"\Z", r"\0", "(?U)a", "(?>a)", "(?P=n)", r"[\d--5]", "[a~~b]", r"\b{start}"]
        {
            assert!(Pattern::plain(pattern, "").is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_makes_others_go_back_ends() {
        let text = "a".repeat(100_000) + "b";
        for pattern in ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){10}$"] {
            assert!(!Pattern::plain(pattern, "").unwrap().holds(&ValueRef::Str(&text)), "{pattern}");
        }
    }
}
