//! What was proved: everything that is emitted, and no more decisions.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Ident, ItemStruct, LitStr, Path, Type, Visibility};

/// A struct of named fields, as a model or a value.
pub(crate) struct Record {
    /// Path of the runtime.
    pub(crate) m: TokenStream,
    /// The struct, our attributes taken out and the derived ones not yet put in.
    pub(crate) item: ItemStruct,
    /// What makes it a model.
    pub(crate) model: Option<ModelPart>,
    /// The struct that it is a part of.
    pub(crate) of: Option<Path>,
    /// `rename_all` for serde, when it was given by our key.
    pub(crate) rename_all: Option<String>,
    /// `errorMessage` in its schema, a JSON literal in Rust tokens.
    pub(crate) message: Option<TokenStream>,
    pub(crate) fields: Vec<Field>,
}

/// What a model has beyond a value.
pub(crate) struct ModelPart {
    /// Its own id, without those of its parents.
    pub(crate) id: String,
    /// The model that it extends.
    pub(crate) parent: Option<Path>,
    pub(crate) access: Access,
    /// Whether its documents are those who call.
    pub(crate) caller: bool,
    /// Whether clients may choose the ids of documents.
    pub(crate) client_ids: bool,
    pub(crate) trash: Trash,
    /// Its indexes over several fields.
    pub(crate) indexes: Vec<Index>,
}

/// What becomes of deleted documents.
#[derive(Clone, Copy)]
pub(crate) enum Trash {
    /// They are kept as long as the runtime says.
    Usual,
    /// They are kept for so long.
    Kept(Duration),
    /// They are gone at once.
    None,
}

/// An index over several fields.
pub(crate) struct Index {
    pub(crate) unique: bool,
    /// Places of the fields, each with where its name was written.
    pub(crate) fields: Vec<(usize, Span)>,
}

/// Who may reach it from outside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Access {
    Internal,
    Protected,
    Public,
}

/// A field.
pub(crate) struct Field {
    pub(crate) name: Ident,
    pub(crate) vis: Visibility,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) ty: Type,
    /// Name on the wire.
    pub(crate) wire: String,
    /// `rename` for serde, when it was given by our key.
    pub(crate) rename: Option<String>,
    /// `None` after a mistake.
    pub(crate) constant: Option<Ident>,
    pub(crate) unique: bool,
    pub(crate) index: bool,
    pub(crate) private: bool,
    pub(crate) protected: bool,
    /// Its members stand beside the other fields.
    pub(crate) flatten: bool,
    /// Not when serde skips it (after a mistake): its type may not be serializable.
    pub(crate) viewed: bool,
    pub(crate) default: Default,
    /// The constant of the field that it refers to.
    pub(crate) references: Option<Path>,
    pub(crate) keywords: Vec<Keyword>,
    /// What is said when it is missing.
    pub(crate) missing: Option<LitStr>,
}

/// What a field is when input has none.
pub(crate) enum Default {
    /// Input must have it.
    None,
    /// The default of its type.
    OfType,
    /// What the expression says.
    Value(TokenStream),
}

/// A keyword in the JSON Schema of a field.
pub(crate) struct Keyword {
    /// Its name there.
    pub(crate) json: &'static str,
    /// Its value, a JSON literal in Rust tokens.
    pub(crate) value: TokenStream,
    /// The trait in `keywords` that the type of the field must have.
    pub(crate) fits: Option<&'static str>,
    /// Where the key was written.
    pub(crate) span: Span,
}
