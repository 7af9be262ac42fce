//! The rename rules of serde, by which the macro knows the name of a field or a variant on the wire.

use crate::diagnostics::Diagnostics;
use crate::keys::nearest;
use syn::LitStr;

/// A value of `rename_all`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum RenameRule {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

const RULES: &[(&str, RenameRule)] = &[
    ("lowercase", RenameRule::Lower),
    ("UPPERCASE", RenameRule::Upper),
    ("PascalCase", RenameRule::Pascal),
    ("camelCase", RenameRule::Camel),
    ("snake_case", RenameRule::Snake),
    ("SCREAMING_SNAKE_CASE", RenameRule::ScreamingSnake),
    ("kebab-case", RenameRule::Kebab),
    ("SCREAMING-KEBAB-CASE", RenameRule::ScreamingKebab),
];

impl RenameRule {
    /// The rule of that name.
    pub(crate) fn named(text: &str) -> Option<Self> {
        RULES.iter().find(|(name, _)| *name == text).map(|(_, rule)| *rule)
    }

    /// The rule of that name; a mistake if there is none.
    pub(crate) fn parse(text: &LitStr, errors: &Diagnostics) -> Option<Self> {
        let value = text.value();
        let rule = Self::named(&value);
        if rule.is_none() {
            let hint = nearest(&value, RULES.iter().map(|(name, _)| *name))
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let names: Vec<String> = RULES.iter().map(|(name, _)| format!("`{name}`")).collect();
            errors.at(text, format!("unknown rule `{value}`{hint} (the rules are {})", names.join(", ")));
        }
        rule
    }

    /// The wire name of a field, which is written in snake case.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(name),
            Self::Camel => lower_first(&pascal(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// The wire name of a variant, which is written in pascal case.
    pub(crate) fn variant(self, name: &str) -> String {
        match self {
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Pascal => name.to_owned(),
            Self::Camel => lower_first(name),
            Self::Snake => snake(name),
            Self::ScreamingSnake => snake(name).to_ascii_uppercase(),
            Self::Kebab => snake(name).replace('_', "-"),
            Self::ScreamingKebab => snake(name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// `promote_user` as `PromoteUser`.
pub(crate) fn pascal(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for word in name.split('_') {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            text.push(first.to_ascii_uppercase());
            text.push_str(letters.as_str());
        }
    }
    text
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_ascii_lowercase(), letters.as_str()))
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_serde_does() {
        assert_eq!(RenameRule::Camel.field("created_at"), "createdAt");
        assert_eq!(RenameRule::Camel.field("_hidden_one"), "hiddenOne");
        assert_eq!(RenameRule::Kebab.field("created_at"), "created-at");
        assert_eq!(RenameRule::Pascal.field("created_at"), "CreatedAt");
        assert_eq!(RenameRule::Camel.variant("SuperAdmin"), "superAdmin");
        assert_eq!(RenameRule::Snake.variant("SuperAdmin"), "super_admin");
        assert_eq!(RenameRule::ScreamingKebab.variant("SuperAdmin"), "SUPER-ADMIN");
        assert_eq!(RenameRule::Upper.variant("SuperAdmin"), "SUPERADMIN");
    }
}
