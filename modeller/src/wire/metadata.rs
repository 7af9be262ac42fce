//! The answer to `GET /@metadata`: what a caller may reach, and in which shapes.
//!
//! A model, an operation or an event that the caller may not reach is absent, as if it did not exist.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::schema::draft_07;

/// Version of the shapes on the wire. It grows when a client that knows the version before could misread something.
pub const VERSION: u32 = 1;

/// What an application offers to one caller.
///
/// ```
/// # use modeller::wire::metadata::Metadata;
/// let text = r#"{"version": 1, "modeller": "0.1.0", "models": []}"#;
/// let metadata: Metadata = serde_json::from_str(text)?;
/// assert_eq!(metadata.version, modeller::wire::metadata::VERSION);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Version of the shapes, [`VERSION`].
    pub version: u32,
    /// Version of the crate that serves them.
    pub modeller: String,
    /// The models, in the order of their ids.
    pub models: Vec<ModelMetadata>,
    /// The routes of the program's own, in the order of their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteMetadata>,
}

impl Metadata {
    /// The same with its schemas in the form of draft-07; see [`draft_07`].
    #[must_use]
    pub fn in_draft_07(mut self) -> Self {
        let all = self.models.iter_mut().flat_map(|model| {
            let of_files = model.uploads.iter_mut().chain(&mut model.streams);
            let operations = model.operations.iter_mut().chain(&mut model.events).chain(of_files);
            let of_operations =
                operations.flat_map(|operation| operation.args.as_mut().into_iter().chain([&mut operation.output]));
            model.schema.as_mut().into_iter().chain(of_operations)
        });
        let of_routes = self.routes.iter_mut().flat_map(|route| {
            [&mut route.params, &mut route.query, &mut route.args, &mut route.output].into_iter().flatten()
        });
        for schema in all.chain(of_routes) {
            *schema = draft_07(schema);
        }
        for model in &mut self.models {
            for field in &mut model.fields {
                // A part of the schema of the model, and as it is there.
                let part = model.schema.as_ref().and_then(|schema| schema.get("properties")?.get(&field.name));
                field.schema = part.cloned().unwrap_or_default();
            }
        }
        self
    }
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelMetadata {
    /// Its id, the first segment of its routes.
    pub id: String,
    /// Who may reach its documents: `public`, `protected`, or `internal` where only operations are reached.
    pub access: String,
    /// What the caller may do with some of its documents, of `read`, `insert`, `update` and `delete`, where a rule of the model says
    /// which; absent where the model has no rule, and he may do everything with all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Vec<String>>,
    /// Whether a client may choose the id of a document: by `_id` in an insert, or by a `PUT` to where none is.
    #[serde(default)]
    pub client_ids: bool,
    /// Whether its deleted documents go to a trash, reached by `/{id}/@trash`.
    #[serde(default)]
    pub trash: bool,
    /// JSON Schema (draft 2020-12) that input has to fit. Absent when the caller may reach an operation of the model but not
    /// its documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Its fields; none when `schema` is absent.
    pub fields: Vec<FieldMetadata>,
    /// Its methods, called by `POST /{model}/{id}` or `call`.
    pub operations: Vec<OperationMetadata>,
    /// Its events, run by `dispatch`.
    pub events: Vec<OperationMetadata>,
    /// Its uploads, called by `POST /{model}/{id}` with a file, or by a resumable upload that names them.
    #[serde(default)]
    pub uploads: Vec<OperationMetadata>,
    /// Its streams, called by `POST /{model}/{id}` with the bytes, or chunk by chunk by `stream`.
    #[serde(default)]
    pub streams: Vec<OperationMetadata>,
    /// The ids of the models that extend it, within it: `ssh` for the model `system.ssh`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}

/// A field of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldMetadata {
    /// Its name.
    pub name: String,
    /// No two documents have the same value.
    pub unique: bool,
    /// Look-ups by it are fast.
    pub index: bool,
    /// It is written and never answered, and cannot be filtered or sorted by.
    pub private: bool,
    /// Only verified callers see it, know of it, and give it.
    pub protected: bool,
    /// Its part of the schema of the model; references in it are resolved there.
    pub schema: Value,
}

/// A route of the program's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteMetadata {
    /// Its id.
    pub id: String,
    /// The method of its requests, e.g. `GET`.
    pub method: String,
    /// Its path, e.g. `/things/{id}`; `{*rest}` takes all that follows.
    pub path: String,
    /// Who may reach it: `public` or `protected`.
    pub access: String,
    /// What it does, in a line; may be empty.
    pub description: String,
    /// JSON Schema (draft 2020-12) of the parameters of its path; absent where they are any texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// JSON Schema (draft 2020-12) of the members of its query string; absent where it does not say what it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// JSON Schema (draft 2020-12) of its body; absent where it is none, or any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// Whether it takes a body of any media type.
    #[serde(default)]
    pub raw: bool,
    /// JSON Schema (draft 2020-12) of its answer; absent where that is no JSON, or not always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// A method, an event, an upload or a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationMetadata {
    /// Its id.
    pub id: String,
    /// Who may call it: `public` or `protected`.
    pub access: String,
    /// What it does, in a line; may be empty.
    pub description: String,
    /// JSON Schema (draft 2020-12) of its arguments; `null` when it takes none.
    pub args: Option<Value>,
    /// JSON Schema (draft 2020-12) of its answer.
    pub output: Value,
    /// Whether it is a method that is made once under an `Idempotency-Key`, however often it is asked for; the key is refused where it
    /// is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// How many bytes the file of an upload has at most; absent where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}
