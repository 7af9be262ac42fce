//! What a caller may do with which documents of a model: rules, and what they grant.
//!
//! A rule is asked anew by each operation, in its transaction: what it read is a part of what the transaction read, so that an
//! operation never counts on a right that was taken away before it. What a rule grants are filters. They are joined to every
//! query, and a write has to match them before and after.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::caller::Caller;
use super::declaration::{AccessDeclaration, AuthenticateDeclaration, RunRights};
use super::handle::Model;
use super::handler::{BoxFuture, Invocation, Payload, With};
use super::journal::{CallSite, Log, LogFeature, Subject, no_data};
use super::live::Ruled;
use super::runtime::{Runtime, Scope, Step, Target, caught};
use crate::core::collection::ModelIndex;
use crate::core::document::{AnyValue, DocView, DynDoc};
use crate::core::id::{Id, RawId};
use crate::core::json::Document;
use crate::core::log::Reads;
use crate::core::query::filter::{Filter, RawFilter};
use crate::core::schema::ModelType;
use crate::core::transaction::missing;
use crate::error::{Error, ErrorCode, Result};

/// What a caller may do with the documents of the model `T`: what a rule of [`access`](macro@crate::access) answers.
///
/// A right is a filter: it is had for the documents that match. What is granted adds up. An update needs the right for the document as it
/// was and for what it becomes, an insert for what it becomes. Whoever may not read a document is answered as if it were not
/// there, whatever else he may do with it.
///
/// ```
/// use modeller::prelude::*;
///
/// #[model(id = "notes")]
/// pub struct Note {
///     pub owner: String,
///     pub shared: bool,
/// }
///
/// #[access(Note)]
/// async fn own_notes(caller: Caller) -> Result<Access<Note>> {
///     let shared = Access::none().read(Note::SHARED.eq(true));
///     Ok(match caller.subject() {
///         Some(me) => shared.read(Note::OWNER.eq(me)).write(Note::OWNER.eq(me)),
///         None => shared,
///     })
/// }
/// ```
pub struct Access<T> {
    rights: Rights,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Access<T> {
    fn clone(&self) -> Self {
        Self { rights: self.rights.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Access<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Access");
        for right in Right::ALL {
            shown.field(right.as_str(), &self.rights.filter(right).map(|filter| filter.to_json()));
        }
        shown.finish()
    }
}

impl<T> Access<T> {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { rights: Rights::default(), of: PhantomData }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::none().read(Filter::all()).write(Filter::all())
    }

    /// And to read the documents that match: to get, list, count and follow them.
    #[must_use]
    pub fn read(self, filter: Filter<T>) -> Self {
        self.grant(Right::Read, filter.into_raw())
    }

    /// And to insert documents that match.
    #[must_use]
    pub fn insert(self, filter: Filter<T>) -> Self {
        self.grant(Right::Insert, filter.into_raw())
    }

    /// And to change the documents that match to others that match.
    #[must_use]
    pub fn update(self, filter: Filter<T>) -> Self {
        self.grant(Right::Update, filter.into_raw())
    }

    /// And to delete the documents that match.
    #[must_use]
    pub fn delete(self, filter: Filter<T>) -> Self {
        self.grant(Right::Delete, filter.into_raw())
    }

    /// And to insert, to change and to delete the documents that match.
    #[must_use]
    pub fn write(self, filter: Filter<T>) -> Self {
        self.insert(filter.clone()).update(filter.clone()).delete(filter)
    }

    fn grant(mut self, right: Right, filter: RawFilter) -> Self {
        let [read, insert, update, delete] = &mut self.rights.0;
        let place = match right {
            Right::Read => read,
            Right::Insert => insert,
            Right::Update => update,
            Right::Delete => delete,
        };
        *place = Some(match place.take() {
            // What is granted without a condition is not looked at twice.
            Some(known) if is_all(&known) => known,
            Some(known) if !is_all(&filter) => Arc::new(RawFilter::clone(&known).or(filter)),
            _ => Arc::new(filter),
        });
        self
    }
}

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Insert,
    Update,
    Delete,
}

impl Right {
    pub(crate) const ALL: [Self; 4] = [Self::Read, Self::Insert, Self::Update, Self::Delete];

    /// The spelling in the metadata.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// The rights of one caller, in the order of [`Right::ALL`]; `None` where he has none.
#[derive(Clone, Debug, Default)]
pub struct Rights([Option<Arc<RawFilter>>; 4]);

impl Rights {
    /// All of them, for all documents.
    #[cfg(all(feature = "server", feature = "codegen"))]
    pub(crate) fn all() -> Self {
        Self(std::array::from_fn(|_| Some(Arc::new(RawFilter::all()))))
    }

    fn filter(&self, right: Right) -> Option<&Arc<RawFilter>> {
        let [read, insert, update, delete] = &self.0;
        match right {
            Right::Read => read,
            Right::Insert => insert,
            Right::Update => update,
            Right::Delete => delete,
        }
        .as_ref()
    }

    /// Whether it is had for any document at all.
    pub(crate) fn has(&self, right: Right) -> bool {
        self.filter(right).is_some()
    }

    /// Whether it is had for this document.
    pub(crate) fn allows(&self, right: Right, doc: &DynDoc) -> bool {
        self.filter(right).is_some_and(|filter| filter.matches(&DocView(&**doc)))
    }

    /// What of the documents that match is within these rights.
    pub(crate) fn joined(&self, rights: &[Right], filter: &Arc<RawFilter>) -> Arc<RawFilter> {
        let mut joined = filter.clone();
        for right in rights {
            joined = match self.filter(*right) {
                Some(granted) if is_all(granted) => joined,
                Some(granted) => Arc::new(RawFilter::clone(&joined).and(RawFilter::clone(granted))),
                None => Arc::new(RawFilter::Or(Vec::new())),
            };
        }
        joined
    }
}

fn is_all(filter: &RawFilter) -> bool {
    *filter == RawFilter::all()
}

/// The future of a rule that is a closure: `Box::pin(async move { … })`.
pub type AccessFuture<'a> = BoxFuture<'a, Result<Access<Document>>>;

/// What a rule that is a closure is given, see [`SchemaModel::rule`](crate::SchemaModel::rule).
pub struct AccessCall {
    scope: Scope,
    caller: Caller,
    log: Log,
}

impl fmt::Debug for AccessCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessCall").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl AccessCall {
    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The log, which a declared rule takes as [`Log`].
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The handle of a model in the transaction of the operation. It acts as the application.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model<N: ModelType>(&self) -> Result<Model<N>> {
        Model::of_scope(&self.scope)
    }

    /// The same of a model by its id.
    ///
    /// # Errors
    /// As [`App::model_by_id`](crate::App::model_by_id).
    pub fn model_by_id(&self, id: &str) -> Result<Model<Document>> {
        Model::by_id(&self.scope, id)
    }
}

/// What the closure of a rule is.
type RuleClosure = dyn Fn(AccessCall) -> AccessFuture<'static> + Send + Sync;

/// The rule of a model.
#[derive(Clone)]
pub(crate) struct Rule {
    run: RunRule,
    site: CallSite,
}

#[derive(Clone)]
enum RunRule {
    Declared(RunRights),
    Closure(Arc<RuleClosure>),
}

impl Rule {
    pub(crate) fn declared(rule: &AccessDeclaration) -> Self {
        Self { run: RunRule::Declared(rule.run), site: rule.site.into() }
    }

    pub(crate) fn by_closure(site: CallSite, run: Arc<RuleClosure>) -> Self {
        Self { run: RunRule::Closure(run), site }
    }

    /// What the log knows it by.
    pub(crate) fn subject(&self, model: ModelIndex) -> Subject {
        Subject::new(model, LogFeature::Access).at(self.site)
    }

    async fn run(&self, invocation: Invocation<'_>) -> Result<Rights> {
        match &self.run {
            RunRule::Declared(run) => run(invocation).await,
            RunRule::Closure(run) => {
                let log = Log::of(&invocation);
                let call = AccessCall { scope: invocation.scope, caller: invocation.caller, log };
                run(call).await.map(|access| access.rights)
            }
        }
    }
}

/// What a rule has answered, without its type. For expansions.
///
/// # Errors
/// What the rule answered.
pub fn rights<T, E: Into<Error>>(answer: Result<Access<T>, E>) -> Result<Rights> {
    answer.map(|access| access.rights).map_err(Into::into)
}

/// A refusal for want of a right.
pub(super) fn refused(caller: &Caller) -> Error {
    if caller.is_verified() {
        Error::new(ErrorCode::Forbidden).message("this is not allowed to you")
    } else {
        Error::unauthenticated()
    }
}

impl Scope {
    /// The rule that the one who acts is under, if he is under one.
    fn rule(&self, index: ModelIndex) -> Result<Option<&Rule>> {
        if self.caller().is_application() {
            return Ok(None);
        }
        Ok(self.runtime().model(index)?.rule.as_ref())
    }

    /// Whether a rule is to be asked what the one who acts may do with the documents of a model.
    pub(crate) fn is_ruled(&self, index: ModelIndex) -> Result<bool> {
        self.rule(index).map(|rule| rule.is_some())
    }

    /// What the one who acts may do with the documents of a model, asked in the transaction of the step; `None` where he may do
    /// all that the model is open for.
    pub(crate) async fn rights(&self, index: ModelIndex, step: &Arc<Step>) -> Result<Option<Rights>> {
        let Some(rule) = self.rule(index)? else { return Ok(None) };
        let model = self.runtime().model(index)?;
        // On the heap: it is a part of every operation, and most of them are under no rule.
        let asked = Box::pin(step.aside(
            || model.named("access"),
            |step| async move {
                let subject = rule.subject(index).in_call(step.call());
                let journal = self.runtime().journal();
                let outcome = caught(rule.run(self.asking(&step, self.caller(), subject.clone()))).await;
                if let Err(error) = &outcome {
                    journal.failed(&subject, "an access rule failed", no_data, error);
                }
                outcome
            },
        ));
        asked.await.map(Some)
    }

    /// What a function of the program is given that is asked about a caller, as the application.
    fn asking(&self, step: &Arc<Step>, caller: &Caller, subject: Subject) -> Invocation<'static> {
        Invocation {
            scope: self.as_application().in_step(step.clone()),
            caller: caller.clone(),
            call: step.call().clone(),
            event: None,
            payload: Payload::Taken,
            previous: None,
            with: With::Nothing,
            subject,
        }
    }

    /// Whether the one who acts has this right for something.
    ///
    /// # Errors
    /// `FORBIDDEN`, `UNAUTHENTICATED`.
    pub(crate) fn check_has(&self, right: Right, rights: Option<&Rights>) -> Result<()> {
        match rights {
            Some(rights) if !rights.has(right) => Err(refused(self.caller())),
            _ => Ok(()),
        }
    }

    /// What the one who acts may do with the documents of a model, and what that rests on.
    ///
    /// # Errors
    /// What the rule answered.
    pub(super) async fn ruled(&self, index: ModelIndex) -> Result<Ruled> {
        let (outcome, read) = self.ruled_by(index).await?;
        Ok(Ruled { rights: outcome?, read })
    }

    /// The same for one who follows the documents already: what became of the model is looked at as well, and a rule that fails
    /// grants nothing.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `FORBIDDEN` where nothing of the model may be reached.
    pub(super) async fn ruled_outside(&self, index: ModelIndex) -> Result<Ruled> {
        let model = self.runtime().model(index)?;
        self.allow(model.visibility(), &model.schema.id)?;
        let (outcome, read) = self.ruled_by(index).await?;
        // Why is in the log.
        Ok(Ruled { rights: outcome.unwrap_or_else(|_| Some(Rights::default())), read })
    }

    async fn ruled_by(&self, index: ModelIndex) -> Result<(Result<Option<Rights>>, Option<(Reads, u64)>)> {
        if !self.is_ruled(index)? {
            return Ok((Ok(None), None));
        }
        let asked = self.own_step("access", |step| async move {
            let outcome = self.rights(index, &step).await;
            Ok((outcome, step.transaction().read_by_now()?))
        });
        let (outcome, read) = asked.await?;
        Ok((outcome, Some(read)))
    }

    /// These rights, where the one who acts has this one for something.
    ///
    /// # Errors
    /// `FORBIDDEN`, `UNAUTHENTICATED`.
    fn having(&self, right: Right, rights: Option<Rights>) -> Result<Option<Rights>> {
        self.check_has(right, rights.as_ref())?;
        Ok(rights)
    }

    /// The same where the one who acts needs a right for something: refused where he has it for nothing.
    pub(super) async fn rights_to(&self, right: Right, index: ModelIndex, step: &Arc<Step>) -> Result<Option<Rights>> {
        self.having(right, self.rights(index, step).await?)
    }

    /// What of the documents that match the one who acts has these rights for.
    pub(super) async fn within(
        &self,
        rights: &[Right],
        index: ModelIndex,
        step: &Arc<Step>,
        filter: &Arc<RawFilter>,
    ) -> Result<Arc<RawFilter>> {
        let granted = self.rights(index, step).await?;
        Ok(granted.map_or_else(|| filter.clone(), |granted| granted.joined(rights, filter)))
    }

    /// The document that is meant, which the one who acts may read, and has this right for.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none, or none that he may read; `FORBIDDEN`, `UNAUTHENTICATED`.
    pub(super) fn resolve(
        &self,
        step: &Step,
        index: ModelIndex,
        target: &Target,
        rights: Option<&Rights>,
        right: Right,
    ) -> Result<DynDoc> {
        let Some(rights) = rights else { return step.resolve(index, target) };
        let doc = match target {
            Target::Id(id) => {
                let found = step.transaction().get(index, id)?;
                found.filter(|doc| rights.allows(Right::Read, doc)).ok_or_else(|| missing(id))?
            }
            Target::First(filter) => step.resolve(index, &Target::First(rights.joined(&[Right::Read], filter)))?,
        };
        if rights.allows(right, &doc) { Ok(doc) } else { Err(refused(self.caller())) }
    }

    /// Whether the one who acts may make this value a document, or a document this value.
    pub(super) fn check_next(
        &self,
        rights: Option<&Rights>,
        right: Right,
        id: &RawId,
        value: &dyn AnyValue,
    ) -> Result<()> {
        match rights {
            Some(rights) if !rights.allows(right, &value.copy().into_doc(id.clone(), 0)) => Err(refused(self.caller())),
            _ => Ok(()),
        }
    }

    /// Whether the one who acts has a right for some of the documents of a model.
    ///
    /// # Errors
    /// `FORBIDDEN`, `UNAUTHENTICATED`.
    pub(crate) async fn check_right(&self, index: ModelIndex, right: Right) -> Result<()> {
        self.having(right, self.rights_now(index).await?).map(drop)
    }

    /// Whether the one who acts may read this document.
    pub(crate) async fn may_read(&self, index: ModelIndex, doc: &DynDoc) -> Result<bool> {
        let rights = self.rights_now(index).await?;
        Ok(rights.is_none_or(|rights| rights.allows(Right::Read, doc)))
    }

    /// What the one who acts may do with the documents of a model as they are now; `None` where that is all.
    pub(crate) async fn rights_now(&self, index: ModelIndex) -> Result<Option<Rights>> {
        if !self.is_ruled(index)? {
            return Ok(None);
        }
        if let Some(step) = self.step() {
            return self.rights(index, step).await;
        }
        self.own_step("access", |step| async move { self.rights(index, &step).await }).await
    }
}

/// Who callers are: documents of one model.
pub(crate) struct Callers {
    pub(crate) model: ModelIndex,
    /// How they are found; by the subject of the token where nothing is said.
    pub(crate) find: Option<&'static AuthenticateDeclaration>,
}

/// The id that was found, without its type. For expansions.
///
/// # Errors
/// What the handler answered.
pub fn found<T, E: Into<Error>>(answer: Result<Id<T>, E>) -> Result<RawId> {
    answer.map(|id| id.raw().clone()).map_err(Into::into)
}

impl Runtime {
    /// Whether the program says itself which document a caller is.
    pub(crate) fn finds_callers(&self) -> bool {
        self.inner().callers.as_ref().is_some_and(|callers| callers.find.is_some())
    }

    /// The caller as the document that he is, where the program has a model of callers.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when there is none; what the program's own function answers.
    pub(crate) async fn recognize(&self, caller: Caller) -> Result<Caller> {
        let Some(callers) = &self.inner().callers else { return Ok(caller) };
        if !caller.is_verified() {
            return Ok(caller);
        }
        let model = self.model(callers.model)?.schema.id.clone();
        let Some(find) = callers.find else {
            let id =
                caller.subject().and_then(|subject| RawId::parse(subject).ok()).ok_or_else(Error::unauthenticated)?;
            self.durable().get(callers.model, &id).ok_or_else(Error::unauthenticated)?;
            return Ok(caller.known_as(&model, id));
        };
        let subject = subject_of(callers.model, find);
        let asked = self.scope(Caller::application());
        let (asked, caller_again) = (&asked, &caller);
        let id = asked
            .own_step("authenticate", |step| async move {
                let subject = subject_of(callers.model, find).in_call(step.call());
                let id = caught((find.run)(asked.asking(&step, caller_again, subject))).await?;
                step.transaction().get(callers.model, &id)?.ok_or_else(Error::unauthenticated)?;
                Ok(id)
            })
            .await;
        match id {
            Ok(id) => Ok(caller.known_as(&model, id)),
            Err(error) => {
                if error.http_status() >= 500 {
                    self.journal().failed(&subject, "it could not be found out who calls", no_data, &error);
                }
                Err(if *error.code() == ErrorCode::NotFound { Error::unauthenticated() } else { error })
            }
        }
    }
}

fn subject_of(model: ModelIndex, find: &AuthenticateDeclaration) -> Subject {
    Subject::new(model, LogFeature::Access).at(find.site)
}
