//! What a start may do to stored documents that no longer fit: rewrite them by a function of the program, or let go of models
//! that it does not have any more. Nothing else is ever done to them.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use serde_json::Value;

use super::collection::{ModelIndex, State};
use super::document::{AnyValue, Stored};
use super::id::RawId;
use super::json::Document;
use super::log::{by_field, next_rev_after};
use super::schema::ModelSchema;
use super::storage::{Entry, EntryKind, StoredChange};
use crate::error::{Error, Result};

/// Makes a document that fits out of one that does not.
pub(crate) type Migrate = Arc<dyn Fn(Document) -> Result<Document> + Send + Sync>;

/// Is told of each document of a model that is let go: its id, and its stored form.
pub(crate) type Dropped = Arc<dyn Fn(&str, &str) -> Result<()> + Send + Sync>;

/// How many changes one entry of the log has at most.
const AT_ONCE: usize = 10_000;

/// What a start may do, by the ids of models.
#[derive(Clone, Default)]
pub(crate) struct Migrations {
    pub(crate) functions: BTreeMap<String, Migrate>,
    pub(crate) dropped: BTreeMap<String, Dropped>,
}

/// A stored document that does not fit.
pub(crate) struct Unfit {
    pub(crate) model: ModelIndex,
    pub(crate) id: RawId,
    pub(crate) rev: u64,
    pub(crate) text: String,
}

impl Migrations {
    pub(crate) fn of(&self, schema: &ModelSchema) -> Option<&Migrate> {
        self.functions.get(schema.id.as_ref())
    }

    /// Takes the documents out of the state that its schemas no longer take, and that can be rewritten.
    pub(crate) fn take_unfit(&self, state: &mut State, schemas: &[Arc<ModelSchema>]) -> Result<Vec<Unfit>> {
        let mut unfit = Vec::new();
        for (model, schema) in schemas.iter().enumerate().filter(|(_, schema)| self.of(schema).is_some()) {
            let Some(collection) = state.collection_mut(model) else { continue };
            let mut out = Vec::new();
            for doc in collection.all() {
                if schema.check(&doc.to_stored()?).is_err() {
                    out.push(Unfit { model, id: doc.id().clone(), rev: doc.rev(), text: doc.encode()? });
                }
            }
            out.iter().for_each(|one| collection.remove(&one.id));
            unfit.extend(out);
        }
        Ok(unfit)
    }

    /// Rewrites them into the state, and answers what has to be stored. What is wrong is said of `wrong`.
    pub(crate) fn rewrite(
        &self,
        state: &mut State,
        schemas: &[Arc<ModelSchema>],
        head: u64,
        unfit: Vec<Unfit>,
        wrong: &mut Vec<String>,
    ) -> Vec<StoredChange> {
        let mut changes = Vec::with_capacity(unfit.len());
        for Unfit { model, id, rev, text } in unfit {
            let Some(schema) = schemas.get(model) else { continue };
            let Some(function) = self.of(schema) else { continue };
            let mut refuse = |what: String| wrong.push(format!("{}/{id}: {what}", schema.id));
            let made = match made(function, schema, &text) {
                Ok(made) => made,
                Err(what) => {
                    refuse(what);
                    continue;
                }
            };
            let doc = made.into_doc(id.clone(), next_rev_after(rev, head));
            let Some(collection) = state.collection_mut(model) else { continue };
            if let Some(taken) = collection.taken(&doc) {
                refuse(format!("another document has its `{}`", taken.fields.join("`, `")));
                continue;
            }
            match doc.encode() {
                Ok(text) => changes.push(StoredChange {
                    model: schema.id.to_string(),
                    id: id.to_string(),
                    rev: doc.rev(),
                    doc: Some(text),
                }),
                Err(error) => refuse(error.text().to_owned()),
            }
            collection.put(&doc);
        }
        changes
    }
}

/// What the function makes of one document; else what is wrong, without a value of the document.
fn made(function: &Migrate, schema: &ModelSchema, text: &str) -> Result<Box<dyn AnyValue>, String> {
    let old: Document = serde_json::from_str(text).map_err(|_| "its stored form is no object".to_owned())?;
    let made = std::panic::catch_unwind(AssertUnwindSafe(|| function(old)))
        .map_err(|_| "its migration panicked".to_owned())?
        .map_err(|error| format!("its migration failed: {error}"))?;
    schema
        .value_from_json(Value::Object(made.into_members()))
        .map_err(|error| format!("what its migration made of it does not fit: {}", by_field(&error)))
}

/// The changes as entries of the log behind a position.
pub(crate) fn entries(changes: &[StoredChange], behind: u64, at: u64) -> Vec<Entry> {
    let chunks = changes.chunks(AT_ONCE).map(<[StoredChange]>::to_vec);
    let commit = |changes| EntryKind::Commit { changes, published: Vec::new() };
    (behind + 1..).zip(chunks).map(|(seq, changes)| Entry { seq, at, kind: commit(changes) }).collect()
}

/// What a migration made, as JSON. For expansions.
///
/// # Errors
/// `INTERNAL` when it cannot be written.
pub fn migrated<T: Stored>(made: &T) -> Result<Document> {
    Document::try_from(AnyValue::to_stored(made)?).map_err(|error| Error::internal(error.to_string()))
}
