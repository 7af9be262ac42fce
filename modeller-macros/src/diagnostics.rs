//! The mistakes of one item, collected, so that the user reads all of them at once.

use std::cell::RefCell;
use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Collects mistakes. Must be ended with [`Diagnostics::finish`]: a mistake that is dropped unread would compile.
#[derive(Default)]
pub(crate) struct Diagnostics {
    /// `None` after the end.
    errors: RefCell<Option<Vec<syn::Error>>>,
}

impl Diagnostics {
    pub(crate) fn new() -> Self {
        Self { errors: RefCell::new(Some(Vec::new())) }
    }

    /// A mistake in these tokens.
    pub(crate) fn at(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// A mistake at this place.
    pub(crate) fn at_span(&self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    /// A mistake that a parser found.
    pub(crate) fn push(&self, error: syn::Error) {
        if let Some(errors) = self.errors.borrow_mut().as_mut() {
            errors.push(error);
        }
    }

    /// Whether there is none so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors.borrow().as_ref().is_none_or(Vec::is_empty)
    }

    /// All mistakes as `compile_error!`s; nothing when there is none.
    pub(crate) fn finish(self) -> TokenStream {
        let errors = self.errors.borrow_mut().take().unwrap_or_default();
        errors.iter().map(syn::Error::to_compile_error).collect()
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        debug_assert!(self.errors.borrow().is_none() || std::thread::panicking(), "mistakes were dropped unread");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told() {
        let errors = Diagnostics::new();
        assert!(errors.is_clean());
        errors.at_span(Span::call_site(), "one");
        errors.at_span(Span::call_site(), "two");
        assert!(!errors.is_clean());
        let text = errors.finish().to_string();
        assert!(text.contains("\"one\"") && text.contains("\"two\""));
    }

    #[test]
    #[should_panic(expected = "dropped unread")]
    fn an_unread_mistake_is_a_bug() {
        drop(Diagnostics::new());
    }
}
