//! The trash: documents that were deleted, kept for a while, each with when, by whom and with which others.
//!
//! The trash of a model is a collection of its own beside those of the models, in the same state and the same log, under the
//! name `@trash.` and the id of the model. So a deletion and its entry are one commit, and whatever holds for documents holds
//! for entries: they survive, are taken back with a savepoint, and are seen by other writers. An entry holds the deleted
//! document itself, not a copy of it. Nothing that the model says of its documents holds between entries: the unique values
//! of what was deleted are free.
//!
//! Every model has this collection, also one that throws away at once what is deleted: what its trash held before it was
//! told so is still there.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::collection::{Collection, ModelIndex};
use super::document::{AnyDoc, AnyValue, DocView, DynDoc};
use super::id::RawId;
use super::index::{Index, Member};
use super::json::Document;
use super::private::{Audience, Level};
use super::query::filter::RawFilter;
use super::query::operator::date;
use super::schema::ModelSchema;
use super::value::{ObjectRef, ValueRef};
use crate::error::{Error, Result, Violation};

/// How long what was deleted is kept, unless a model says otherwise: 30 days.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Before the id of a model in the name of its trash. No model has an id that begins so.
const PREFIX: &str = "@trash.";

/// The members of an entry that it is found by.
pub(crate) const DELETION: &str = "deletion";
pub(crate) const DOCUMENT_ID: &str = "documentId";

/// About how many bytes an entry has beside its document.
const ENVELOPE: usize = 256;

/// Where the trash of a model is among the collections of an application that has so many models.
pub(crate) fn trash_of(model: ModelIndex, models: usize) -> ModelIndex {
    models + model
}

/// The name of a collection: the id of a model, or that of its trash.
pub(crate) fn name_of(schemas: &[Arc<ModelSchema>], place: ModelIndex) -> Cow<'_, str> {
    match schemas.get(place) {
        Some(schema) => Cow::Borrowed(&schema.id),
        None => {
            let owner = place.checked_sub(schemas.len()).and_then(|model| schemas.get(model));
            Cow::Owned(owner.map_or_else(String::new, |schema| format!("{PREFIX}{}", schema.id)))
        }
    }
}

/// The collection of that name.
pub(crate) fn place_of(schemas: &[Arc<ModelSchema>], name: &str) -> Option<ModelIndex> {
    let model = |id: &str| schemas.iter().position(|schema| schema.id == id);
    match name.strip_prefix(PREFIX) {
        None => model(name),
        Some(owner) => model(owner).map(|model| trash_of(model, schemas.len())),
    }
}

/// Whether it is the name of a trash, of whatever model.
pub(crate) fn is_trash(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A trash without entries.
pub(crate) fn empty() -> Collection {
    let index = |name: &str| Index::new(vec![Member { name: name.into(), withheld: None }], false);
    Collection::with(vec![index(DOCUMENT_ID), index(DELETION)])
}

/// What a stored form is: a document of its model, or an entry of the trash of one.
///
/// # Errors
/// When it is neither. A document in the trash that its model no longer reads is no error.
pub(crate) fn decode(
    schemas: &[Arc<ModelSchema>],
    place: ModelIndex,
    id: RawId,
    rev: u64,
    text: &str,
) -> Result<DynDoc, serde_json::Error> {
    match (schemas.get(place), place.checked_sub(schemas.len()).and_then(|model| schemas.get(model))) {
        (Some(schema), _) => Ok(schema.decode(text)?.into_doc(id, rev)),
        (None, Some(owner)) => Ok(Arc::new(Entry::decode(owner, id, rev, text)?)),
        (None, None) => Err(serde::de::Error::custom("no collection")),
    }
}

/// When something was deleted, by whom, and with what else.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    /// The same for all that one transaction deleted.
    pub(crate) id: RawId,
    /// In milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// The subject of the caller, where there is one.
    pub(crate) by: Option<Arc<str>>,
}

/// When something is deleted, and by whom.
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) by: Option<Arc<str>>,
}

/// A document in the trash.
pub(crate) struct Entry {
    id: RawId,
    rev: u64,
    deletion: Deletion,
    kept: Kept,
}

/// What is kept.
enum Kept {
    Document(DynDoc),
    /// What its model does not read any more: its stored form.
    Unreadable {
        id: RawId,
        rev: u64,
        text: Box<str>,
    },
}

/// What stands before the document in the stored form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    deleted_at: u64,
    deleted_by: Option<String>,
    deletion: RawId,
    document_id: RawId,
    document_rev: u64,
    #[serde(rename = "document")]
    _document: IgnoredAny,
}

/// What the document follows in the stored form. Within a text its quotes would be escaped.
const BEFORE_DOCUMENT: &str = ",\"document\":";

impl Entry {
    pub(crate) fn new(id: RawId, rev: u64, doc: DynDoc, deletion: Deletion) -> Self {
        Self { id, rev, deletion, kept: Kept::Document(doc) }
    }

    /// The entry that a document of a trash is.
    pub(crate) fn of(doc: &DynDoc) -> Result<Arc<Self>> {
        let any: Arc<dyn Any + Send + Sync> = doc.clone();
        any.downcast().map_err(|_| Error::internal("something else than an entry in the trash"))
    }

    /// The same, to be looked at.
    pub(crate) fn view(doc: &DynDoc) -> Option<&Self> {
        let any: &dyn Any = &**doc;
        any.downcast_ref()
    }

    fn decode(schema: &ModelSchema, id: RawId, rev: u64, text: &str) -> Result<Self, serde_json::Error> {
        let envelope: Envelope = serde_json::from_str(text)?;
        let document = text
            .split_once(BEFORE_DOCUMENT)
            .and_then(|(_, rest)| rest.strip_suffix('}'))
            .ok_or_else(|| serde::de::Error::custom("an entry of the trash of another form"))?;
        let (of, of_rev) = (envelope.document_id, envelope.document_rev);
        let kept = match schema.decode(document) {
            Ok(value) => Kept::Document(value.into_doc(of, of_rev)),
            Err(_) => Kept::Unreadable { id: of, rev: of_rev, text: document.into() },
        };
        let deletion =
            Deletion { id: envelope.deletion, at: envelope.deleted_at, by: envelope.deleted_by.map(Arc::from) };
        Ok(Self { id, rev, deletion, kept })
    }

    pub(crate) fn id(&self) -> &RawId {
        &self.id
    }

    pub(crate) fn deletion(&self) -> &Deletion {
        &self.deletion
    }

    /// The document, unless its model does not read it any more.
    pub(crate) fn document(&self) -> Option<&DynDoc> {
        match &self.kept {
            Kept::Document(doc) => Some(doc),
            Kept::Unreadable { .. } => None,
        }
    }

    pub(crate) fn document_id(&self) -> &RawId {
        match &self.kept {
            Kept::Document(doc) => doc.id(),
            Kept::Unreadable { id, .. } => id,
        }
    }

    fn document_rev(&self) -> u64 {
        match &self.kept {
            Kept::Document(doc) => doc.rev(),
            Kept::Unreadable { rev, .. } => *rev,
        }
    }

    /// The document in its stored form, private fields included.
    pub(crate) fn stored(&self) -> Result<Value> {
        match &self.kept {
            Kept::Document(doc) => doc.to_stored(),
            Kept::Unreadable { text, .. } => serde_json::from_str(text).map_err(Error::internal),
        }
    }

    /// Whether its document matches. One that is not read any more is found by asking for all.
    pub(crate) fn matches(&self, filter: &RawFilter) -> bool {
        match &self.kept {
            Kept::Document(doc) => filter.matches(&DocView(doc.as_ref())),
            Kept::Unreadable { .. } => *filter == RawFilter::all(),
        }
    }

    /// Its document as a value to insert. Whether it fits is not asked by this.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` where it is not read any more.
    pub(crate) fn value(&self, schema: &ModelSchema) -> Result<Box<dyn AnyValue>> {
        let text = match &self.kept {
            Kept::Document(doc) => return Ok(doc.copy()),
            Kept::Unreadable { text, .. } => text,
        };
        let json: Value = serde_json::from_str(text).map_err(Error::internal)?;
        // What is wrong with it, as the schema says it, which names no value of a private field.
        schema.check(&json)?;
        Err(Error::validation(vec![Violation {
            instance_path: String::new(),
            keyword: "type".into(),
            message: "must be a document of its model, which has changed since".into(),
            params: json!({}),
            schema_path: "#".into(),
        }]))
    }

    /// With a document as somebody writes it; `null` in the place of one that is not read any more, because what was
    /// private in it is not known.
    fn write(&self, document: &str, out: &mut Vec<u8>, by: bool) -> Result<()> {
        out.extend_from_slice(b"{\"_id\":");
        serde_json::to_writer(&mut *out, &self.id)?;
        out.extend_from_slice(b",\"deletedAt\":");
        serde_json::to_writer(&mut *out, &date::text(Duration::from_millis(self.deletion.at)))?;
        if by {
            out.extend_from_slice(b",\"deletedBy\":");
            serde_json::to_writer(&mut *out, &self.deletion.by.as_deref())?;
        }
        out.extend_from_slice(b",\"deletion\":");
        serde_json::to_writer(&mut *out, &self.deletion.id)?;
        out.extend_from_slice(b",\"documentId\":");
        serde_json::to_writer(&mut *out, self.document_id())?;
        out.extend_from_slice(BEFORE_DOCUMENT.as_bytes());
        out.extend_from_slice(document.as_bytes());
        out.push(b'}');
        Ok(())
    }
}

impl ObjectRef for Entry {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "deletedAt" => Some(ValueRef::UInt(self.deletion.at)),
            "deletedBy" => Some(self.deletion.by.as_deref().map_or(ValueRef::Null, ValueRef::Str)),
            DELETION => Some(ValueRef::Id(&self.deletion.id)),
            DOCUMENT_ID => Some(ValueRef::Id(self.document_id())),
            _ => None,
        }
    }
    fn slots(&self) -> usize {
        4
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        let name = *["deletedAt", "deletedBy", DELETION, DOCUMENT_ID].get(slot)?;
        Some((name, self.get(name)?))
    }
}

impl AnyDoc for Entry {
    fn id(&self) -> &RawId {
        &self.id
    }
    fn rev(&self) -> u64 {
        self.rev
    }
    fn object(&self) -> &dyn ObjectRef {
        self
    }
    fn copy(&self) -> Box<dyn AnyValue> {
        let stored = self.to_stored().ok().and_then(|json| Document::try_from(json).ok());
        Box::new(stored.unwrap_or_default())
    }
    fn encode(&self) -> Result<String> {
        let document = match &self.kept {
            Kept::Document(doc) => doc.encode()?,
            Kept::Unreadable { text, .. } => text.to_string(),
        };
        let Deletion { id, at, by } = &self.deletion;
        let by = serde_json::to_string(&by.as_deref())?;
        let of = serde_json::to_string(self.document_id())?;
        let rev = self.document_rev();
        // The document comes last: it is found by that when the entry is read.
        Ok(format!(
            "{{\"deletedAt\":{at},\"deletedBy\":{by},\"deletion\":\"{id}\",\"documentId\":{of},\"documentRev\":{rev}{BEFORE_DOCUMENT}{document}}}"
        ))
    }
    fn weight(&self) -> usize {
        let by = self.deletion.by.as_ref().map_or(0, |by| by.len());
        let document = match &self.kept {
            Kept::Document(doc) => doc.weight(),
            Kept::Unreadable { text, .. } => text.len(),
        };
        document + by + ENVELOPE
    }
    fn to_stored(&self) -> Result<Value> {
        serde_json::from_str(&self.encode()?).map_err(Error::internal)
    }
    fn to_form(&self, audience: Audience) -> Result<Value> {
        let mut text = Vec::new();
        self.write_for(audience, &mut text)?;
        serde_json::from_slice(&text).map_err(Error::internal)
    }
    /// Who deleted it is for verified callers to know.
    fn write_for(&self, audience: Audience, out: &mut Vec<u8>) -> Result<()> {
        let mut document = Vec::with_capacity(256);
        match &self.kept {
            Kept::Document(doc) => doc.write_for(audience, &mut document)?,
            Kept::Unreadable { .. } => document.extend_from_slice(b"null"),
        }
        let document = String::from_utf8(document).map_err(Error::internal)?;
        self.write(&document, out, audience.sees(Level::Protected))
    }
}
