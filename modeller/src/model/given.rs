//! Models that are given at run time, without a Rust type.

use std::time::Duration;

use std::sync::Arc;

use serde_json::Value;

use super::access::{AccessCall, AccessFuture, Rule};
use super::adapter::{Adapter, AnyAdapter, erased};
use super::handler::HookEvent;
use super::hook::{HookCall, HookFuture};
use super::journal::CallSite;
use super::runtime::Hook;
use crate::core::json::Document;
use crate::core::migrate::Migrate;
use crate::core::schema::Visibility;
use crate::core::trash::RETENTION;
use crate::error::Result;

/// A model whose documents are JSON, from a JSON Schema (draft 2020-12) that is given at run time.
///
/// It is a model as any other: the same operations, hooks, storage, routes and metadata. On a member of the document the schema
/// says `unique` and `index`, on any member `private`, `protected` and `hidden`; a `default` is filled in before a value is checked,
/// at every depth. Whether a document may have members that the schema does not name is the schema's to say
/// (`additionalProperties`).
///
/// An id of the form `system.ssh` makes it an extension of the model `system`.
///
/// A `protected` member is for verified callers, as [`Protected`](crate::Protected) is. Let the object that has it be closed: where
/// any member is taken, anyone who guesses the name of a protected one learns by the refusal that there is such a name. A schema
/// that would tell what a withheld member holds is refused when the application is opened: one with private parts in something
/// protected, or where `if`, `not` or `dependentRequired` ask for a protected member.
///
/// ```
/// use modeller::prelude::*;
/// # use modeller::__private::serde_json::{self, json};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let schema = json!({
///     "type": "object",
///     "properties": {
///         "email": {"type": "string", "format": "email", "unique": true},
///         "password": {"type": "string", "minLength": 12, "private": true},
///         "role": {"enum": ["user", "admin"], "default": "user", "index": true},
///     },
///     "required": ["email", "password"],
///     "additionalProperties": false,
/// });
/// let app = App::new().schema_model(SchemaModel::new("users", schema).public()).in_memory().open().await?;
/// let users = app.model_by_id("users")?;
/// users.insert(json!({"email": "ada@example.com", "password": "correct horse"}).try_into()?).await?;
/// let found = users.get(Filter::parse(&json!({"role": "user"}))?).await?.ok_or_else(|| Error::new("NOBODY"))?;
/// assert_eq!(found["password"], "correct horse");
/// assert!(!format!("{found:?}").contains("correct horse"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a model belongs to an application, by `AppBuilder::schema_model`"]
pub struct SchemaModel {
    pub(crate) id: String,
    pub(crate) schema: Value,
    pub(crate) access: Visibility,
    pub(crate) client_ids: bool,
    pub(crate) trash: Option<Duration>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) rule: Option<Rule>,
    pub(crate) migrate: Option<Migrate>,
    pub(crate) adapter: Option<Arc<dyn AnyAdapter>>,
}

impl std::fmt::Debug for SchemaModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchemaModel").field("id", &self.id).field("access", &self.access).finish_non_exhaustive()
    }
}

impl SchemaModel {
    /// A model of this id, reached in process only until it says otherwise. Its schema is checked when the application is
    /// opened, which refuses one that does not hold together, with the place.
    pub fn new(id: impl Into<String>, schema: Value) -> Self {
        Self {
            id: id.into(),
            schema,
            access: Visibility::Internal,
            client_ids: false,
            trash: Some(RETENTION),
            hooks: Vec::new(),
            rule: None,
            migrate: None,
            adapter: None,
        }
    }

    /// Reached by anyone.
    pub fn public(self) -> Self {
        self.access(Visibility::Public)
    }

    /// Reached by callers with a verified token.
    pub fn protected(self) -> Self {
        self.access(Visibility::Protected)
    }

    /// Reached by these.
    pub fn access(mut self, access: Visibility) -> Self {
        self.access = access;
        self
    }

    /// Open for what a rule says, which is asked at each operation of a caller; see [`Access`](crate::Access) and
    /// [`access`](macro@crate::access). A model that says nothing else is reached by anyone then.
    ///
    /// ```
    /// use modeller::Access;
    /// use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// let notes = SchemaModel::new("notes", json!({"properties": {"owner": {"type": "string"}}})).rule(|call| {
    ///     Box::pin(async move {
    ///         let own = Filter::parse(&json!({"owner": call.caller().subject()}))?;
    ///         Ok(if call.caller().is_verified() { Access::none().read(own.clone()).write(own) } else { Access::none() })
    ///     })
    /// });
    /// # let _ = notes;
    /// ```
    #[track_caller]
    pub fn rule(mut self, rule: impl Fn(AccessCall) -> AccessFuture<'static> + Send + Sync + 'static) -> Self {
        self.rule = Some(Rule::by_closure(CallSite::here(), Arc::new(rule)));
        self
    }

    /// A client may choose the id of a document: by `_id` in an insert, or by a `PUT` to where none is.
    pub fn client_ids(mut self) -> Self {
        self.client_ids = true;
        self
    }

    /// What is deleted is kept in the trash for so long, see [`Model::trash`](crate::Model::trash); 30 days unless given.
    ///
    /// ```
    /// use std::time::Duration;
    /// use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// let notes = SchemaModel::new("notes", json!({})).trash(Duration::from_secs(7 * 24 * 60 * 60));
    /// let visits = SchemaModel::new("visits", json!({})).without_trash();
    /// # let _ = (notes, visits);
    /// ```
    pub fn trash(mut self, retention: Duration) -> Self {
        self.trash = Some(retention);
        self
    }

    /// What is deleted is gone at once.
    pub fn without_trash(mut self) -> Self {
        self.trash = None;
        self
    }

    /// With a function that makes documents fit which were stored under another schema and do not any more. It is asked at the start,
    /// for those alone, with all that was stored of them; what it makes of them has to fit. All of them are rewritten, or the start is
    /// refused and nothing is changed. See `#[migrate]` for models that have a Rust type.
    pub fn migrate(mut self, run: impl Fn(Document) -> Result<Document> + Send + Sync + 'static) -> Self {
        self.migrate = Some(Arc::new(run));
        self
    }

    /// Mirrored into a foreign store; see [`Adapter`].
    pub fn adapter(mut self, adapter: impl Adapter<Document>) -> Self {
        self.adapter = Some(erased(adapter));
        self
    }

    /// With a hook; see [`HookCall`]. The id must not be that of another hook of the model.
    #[track_caller]
    pub fn hook<F>(mut self, id: impl Into<String>, on: impl IntoIterator<Item = HookEvent>, run: F) -> Self
    where
        F: for<'a> Fn(HookCall<'a, Document>) -> HookFuture<'a> + Send + Sync + 'static,
    {
        self.hooks.push(Hook::new(id.into(), on, run));
        self
    }
}
