//! What all that is measured here works on: the documents, their rules, and the model that says them.

pub mod document;
pub mod format;
pub mod model;
