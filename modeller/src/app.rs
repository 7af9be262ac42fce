//! The composition root: models and an engine become an application.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::core::clock::Clock;
use crate::core::json::Document;
use crate::core::log::CommitLog;
use crate::core::migrate::Dropped;
use crate::core::schema::{ModelDeclaration, ModelSchema, ModelType};
use crate::core::secret::{self, Secret, Source};
use crate::core::storage::Storage;
use crate::core::transaction::Limits;
use crate::error::{Error, Result};
use crate::model::adapter::{self, Adapter, AnyAdapter, Mirroring, Mirrors, erased};
use crate::model::caller::Caller;
use crate::model::emitter::Emitters;
use crate::model::given::SchemaModel;
use crate::model::handle::Model;
use crate::model::job::{self, JobQueue, Jobs};
use crate::model::journal::{Journal, LogFeature, LogSettings, Subject};
use crate::model::live::Lives;
use crate::model::login::{self, LoginSettings, LoginState, Logins};
use crate::model::once::{self, Calls};
use crate::model::route::GivenRoute;
use crate::model::runtime::{Inner, ModelRuntime, OperationKind, Runtime, next_number};
use crate::model::subscription::{Keep, Rooms};
use crate::model::transaction::Transaction;
use crate::model::trash;
use crate::model::worker::Workers;
use crate::registry::{DeclaredRoutes, assemble, schemas};

/// An application that is open: its documents are in memory, and what is committed is durable.
///
/// A clone is the same application. It is closed when the last clone, and the last handle, is dropped.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "notes")]
/// # pub struct Note { pub text: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<Note>().in_memory().open().await?;
/// app.model::<Note>().insert(Note { text: "hello".into() }).await?;
/// assert_eq!(app.seq(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct App {
    pub(crate) runtime: Runtime,
    pub(crate) summary: Arc<str>,
    pub(crate) extras: Extras,
    /// The folder of its data, when it has one.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only the server keeps files of its own"))]
    pub(crate) folder: Option<Arc<Path>>,
}

/// What the layers above keep with an application, one value of each type: this layer does not know them.
#[derive(Clone, Default)]
pub(crate) struct Extras(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Extras {
    /// The value of this type, if there is one.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.lock().get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }

    /// Keeps a value in the place of the one of its type.
    pub(crate) fn set<T: Send + Sync + 'static>(&self, value: T) {
        self.0.lock().insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type, made by whoever asks first. `make` must not ask for another one.
    pub(crate) fn get_or_make<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut values = self.0.lock();
        let known = values.get(&TypeId::of::<T>()).cloned().and_then(|value| value.downcast().ok());
        if let Some(known) = known {
            return Ok(known);
        }
        let made = Arc::new(make()?);
        values.insert(TypeId::of::<T>(), made.clone());
        Ok(made)
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl App {
    /// All models of the program, with all that belongs to them, and all routes.
    ///
    /// A crate that nothing of the program names is not linked, and its models are missing without a word from the compiler:
    /// write `use my_models as _;`. The line that `AppBuilder::serve` prints says what was found.
    pub fn discover() -> AppBuilder {
        AppBuilder { models: None, ..AppBuilder::default() }
    }

    /// No models but those that are named by [`AppBuilder::model`], and no routes of the program's own but those of
    /// [`AppBuilder::routes_in`].
    #[expect(clippy::new_ret_no_self, reason = "an application exists when it is opened")]
    pub fn new() -> AppBuilder {
        let routes = DeclaredRoutes::In(Vec::new());
        AppBuilder { models: Some(Vec::new()), declared_routes: routes, ..AppBuilder::default() }
    }

    /// The handle of a model: each operation is a transaction of its own.
    ///
    /// # Panics
    /// When the application was built without the model, which is a mistake in the program; [`App::try_model`] answers an
    /// error instead.
    #[must_use]
    #[expect(clippy::panic, reason = "a mistake in the program, and documented")]
    pub fn model<T: ModelType>(&self) -> Model<T> {
        match self.try_model() {
            Ok(model) => model,
            Err(_) => panic!("the application was built without the model `{}`", T::DECLARATION.id),
        }
    }

    /// The handle of a model.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn try_model<T: ModelType>(&self) -> Result<Model<T>> {
        Model::of_scope(&self.runtime.scope(Caller::application()))
    }

    /// The handle of a model by its id, with its documents as JSON: of one that was given as a JSON Schema, or as a view of one
    /// that has a Rust type. The view validates and stores as the type does, and runs its hooks on values of the type.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// # #[model(id = "notes")]
    /// # pub struct Note { pub text: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new().model::<Note>().in_memory().open().await?;
    /// let note = app.model_by_id("notes")?.insert(json!({"text": "hello"}).try_into()?).await?;
    /// assert_eq!(note["text"], "hello");
    /// assert_eq!(app.model::<Note>().find(Filter::all()).await?[0].text, "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model_by_id(&self, id: &str) -> Result<Model<Document>> {
        Model::by_id(&self.runtime.scope(Caller::application()), id)
    }

    /// Runs several operations as one transaction: all of them or none, serializable with all others. The body may be run a
    /// second time when another transaction changed what it had read.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "accounts")]
    /// # pub struct Account { pub balance: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<Account>().in_memory().open().await?;
    /// # let accounts = app.model::<Account>();
    /// # let (a, b) = (accounts.insert(Account { balance: 5 }).await?.id(), accounts.insert(Account { balance: 0 }).await?.id());
    /// app.transaction(|tx| {
    ///     let (a, b) = (a.clone(), b.clone());
    ///     async move {
    ///         let accounts = tx.model::<Account>()?;
    ///         accounts.update(a, Account::BALANCE.inc(-5)).await?;
    ///         accounts.update(b, Account::BALANCE.inc(5)).await?;
    ///         Ok(())
    ///     }
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the body answers; `CONFLICT` when it lost twice because its second run took longer than a second.
    pub async fn transaction<R, F, Fut>(&self, body: F) -> Result<R>
    where
        F: Fn(Transaction) -> Fut + Sync,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        let (body, subject) = (&body, &Subject::new(None, LogFeature::Transaction));
        let scope = self.runtime.scope(Caller::application());
        scope.together("transaction", |scope| body(Transaction { scope, subject: subject.clone() })).await
    }

    /// Sequence number of the last durable commit.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.runtime.durable().seq
    }

    /// Starts all workers that do not run, and begins to run jobs.
    pub fn start_workers(&self) {
        self.runtime.workers().start(&self.runtime, None, None);
        self.start_jobs();
    }

    /// Begins to run jobs as they become due. [`App::start_workers`] does that as well.
    pub fn start_jobs(&self) {
        self.runtime.inner().jobs.start(&self.runtime);
    }

    /// Begins no further run of a worker and no further job.
    pub(crate) fn cease_workers(&self) {
        self.runtime.workers().stop(None, None);
        self.runtime.inner().jobs.stop();
    }

    /// Stops all workers, begins no further job, and waits for what is under way.
    pub async fn stop_workers(&self) {
        self.cease_workers();
        self.runtime.workers().drained().await;
        self.runtime.inner().jobs.drained().await;
    }

    /// Waits until whatever is durable by now was taken by the adapters of its models.
    pub async fn synced(&self) {
        self.runtime.inner().mirrors.idle().await;
    }

    /// Fills each model that has an adapter from it; see [`Model::pull`](crate::Model::pull). `serve` does that before it serves.
    ///
    /// # Errors
    /// As [`Model::pull`](crate::Model::pull).
    pub async fn pull(&self) -> Result<()> {
        let scope = self.runtime.scope(Caller::application());
        for model in self.runtime.inner().mirrors.models() {
            adapter::pull(&scope, model).await?;
        }
        Ok(())
    }

    /// The jobs, to be looked at, begun anew or taken away.
    #[must_use]
    pub fn jobs(&self) -> JobQueue {
        JobQueue::new(self.runtime.scope(Caller::application()))
    }

    /// The logins: to begin one for somebody who has shown who he is, to look at them, and to revoke them.
    #[must_use]
    pub fn logins(&self) -> Logins {
        Logins::new(&self.runtime.scope(Caller::application()))
    }

    /// What was assembled, in one line.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

enum Engine {
    /// What the features and the settings say.
    Default,
    Memory,
    Given(Arc<dyn Storage>),
}

/// An application before it is opened.
#[must_use = "an application is opened by `open` or `serve`"]
pub struct AppBuilder {
    models: Option<Vec<&'static ModelDeclaration>>,
    given: Vec<SchemaModel>,
    declared_routes: DeclaredRoutes,
    /// Those that are closures.
    pub(crate) routes: Vec<GivenRoute>,
    schemas: Vec<Value>,
    engine: Engine,
    states: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// By the ids of their models.
    adapters: HashMap<String, Arc<dyn AnyAdapter>>,
    log: LogSettings,
    /// Models of the store that are let go at the start.
    pub(crate) dropped: BTreeMap<String, Dropped>,
    pub(crate) clock: Clock,
    /// Whether the first run of each transaction is thrown away.
    pub(crate) rehearses: bool,
    pub(crate) data: Option<PathBuf>,
    secret: Option<Vec<u8>>,
    published: Keep,
    pub(crate) logins: LoginSettings,
    pub(crate) extras: Extras,
    /// What is wrong with what was said so far; told when the application is opened.
    pub(crate) mistakes: Vec<Error>,
}

impl Default for AppBuilder {
    fn default() -> Self {
        Self {
            models: None,
            given: Vec::new(),
            declared_routes: DeclaredRoutes::All,
            routes: Vec::new(),
            schemas: Vec::new(),
            engine: Engine::Default,
            states: HashMap::new(),
            adapters: HashMap::new(),
            log: LogSettings::default(),
            dropped: BTreeMap::new(),
            clock: Clock::default(),
            rehearses: false,
            data: None,
            secret: None,
            published: Keep::default(),
            logins: LoginSettings::default(),
            extras: Extras::default(),
            mistakes: Vec::new(),
        }
    }
}

impl std::fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppBuilder").field("data", &self.data).finish_non_exhaustive()
    }
}

impl AppBuilder {
    /// With this model, and all that belongs to it.
    pub fn model<T: ModelType>(mut self) -> Self {
        self.models.get_or_insert_default().push(T::DECLARATION);
        self
    }

    /// With a model that is given as a JSON Schema.
    pub fn schema_model(mut self, model: SchemaModel) -> Self {
        self.given.push(model);
        self
    }

    /// With the routes that are declared by [`#[route]`](macro@crate::route) in this module, as `module_path!()` names it, and in
    /// modules of it. [`App::discover`] finds all routes of the program; [`App::new`] has none but those that are named.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// mod pings {
    ///     use modeller::prelude::*;
    ///
    ///     #[route(GET, "/ping")]
    ///     async fn ping() -> Result<String> {
    ///         Ok("pong".into())
    ///     }
    ///
    ///     pub const HERE: &str = module_path!();
    /// }
    /// let app = App::new().routes_in(pings::HERE).in_memory().open().await?;
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    pub fn routes_in(mut self, module: impl Into<String>) -> Self {
        match &mut self.declared_routes {
            // All are more than some.
            DeclaredRoutes::All => {}
            DeclaredRoutes::In(modules) => modules.push(module.into()),
        }
        self
    }

    /// With what was published kept in memory for so long, and within so many bytes for all subscriptions together, so that a
    /// client whose connection was cut is sent what it has missed. Two minutes and 16 MiB unless given; a client that was away
    /// for longer is told so.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use std::time::Duration;
    /// let builder = App::discover().keep_published(64 << 20, Duration::from_secs(600));
    /// # drop(builder);
    /// ```
    pub fn keep_published(mut self, bytes: usize, time: Duration) -> Self {
        self.published = Keep { bytes, time };
        self
    }

    /// With this model mirrored into a foreign store; see [`Adapter`]. `serve` pulls from it before it serves.
    pub fn adapter<T: ModelType>(mut self, adapter: impl Adapter<T>) -> Self {
        self.adapters.insert(T::DECLARATION.id.to_owned(), erased(adapter));
        self
    }

    /// With these settings of the log, in the place of those from before.
    pub fn log(mut self, settings: LogSettings) -> Self {
        self.log = settings;
        self
    }

    /// With a schema that others refer to by its `$id`: those of models given as JSON, and fields with
    /// `#[field(schema_ref = "…")]`. Nothing is ever fetched. Whoever refers to it takes it into its own `$defs`, so that what
    /// [`Model::schema`] and the metadata show is complete. It is written in draft 2020-12, or in draft-07 when its `$schema` says so.
    ///
    /// A `$ref` that leads nowhere is told with its place when the application is opened.
    ///
    /// ```
    /// use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// #[model(id = "users")]
    /// pub struct User {
    ///     #[field(schema_ref = "zip.json#/$defs/german")]
    ///     pub zip: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let zip = json!({"$id": "zip.json", "$defs": {"german": {"pattern": "^[0-9]{5}$"}}});
    /// let app = App::new().schema(zip).model::<User>().in_memory().open().await?;
    /// let error = app.model::<User>().insert(User { zip: "1234".into() }).await.unwrap_err();
    /// assert_eq!(error.violations()[0].keyword, "pattern");
    /// # Ok(())
    /// # }
    /// ```
    pub fn schema(mut self, schema: Value) -> Self {
        self.schemas.push(schema);
        self
    }

    /// With a value that handlers take as `State<S>`.
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(TypeId::of::<S>(), Box::new(state));
        self
    }

    /// On this engine.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.engine = Engine::Given(Arc::new(storage));
        self
    }

    /// In memory alone: what is stored is gone with the application.
    pub fn in_memory(mut self) -> Self {
        self.engine = Engine::Memory;
        self
    }

    /// With its data in this folder, which is made when it is not there. `data` unless given.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// With this secret, 32 bytes at least, for tokens and cursors; opening the application refuses a shorter one. Without it the
    /// secret is made once and kept in the data folder, in a file that only its owner reads; without a folder it is another one
    /// each time.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        match secret::given(&secret.into(), "the program") {
            Ok(secret) => self.secret = Some(secret),
            Err(mistake) => self.mistakes.push(mistake),
        }
        self
    }

    /// The folder of the data.
    fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| PathBuf::from("data"))
    }

    /// Whether the application keeps something in its folder.
    fn is_in_memory(&self) -> bool {
        match self.engine {
            Engine::Memory => true,
            Engine::Given(_) => self.data.is_none(),
            Engine::Default => cfg!(not(feature = "sqlite")),
        }
    }

    /// Opens the engine, reads all documents, and is ready for work. Workers are not started by this.
    ///
    /// # Errors
    /// `INVALID_DECLARATION` with all that contradicts itself, `SCHEMA_CHANGED` when stored documents no longer fit, or why
    /// the engine cannot be opened.
    pub async fn open(mut self) -> Result<App> {
        if let Some(mistake) = self.mistakes.pop() {
            return Err(mistake);
        }
        let folder: Option<Arc<Path>> = (!self.is_in_memory()).then(|| self.folder().into());
        let secret = Secret::new(match self.secret.take() {
            Some(secret) => Source::Given(secret),
            None if self.is_in_memory() => Source::Random,
            None => Source::Folder(self.folder().into()),
        });
        let mut assembly =
            assemble(self.models.as_deref(), &self.given, &self.schemas, (&self.declared_routes, &self.routes))?;
        // Behind those of the program, whose places stay as they are.
        let programs = assembly.models.len();
        assembly.models.push(ModelRuntime::new(job::schema()?));
        assembly.models.push(ModelRuntime::new(once::schema()?));
        assembly.models.push(ModelRuntime::new(login::schema()?));
        let storage: Arc<dyn Storage> = match &self.engine {
            Engine::Given(storage) => storage.clone(),
            Engine::Memory => Arc::new(crate::storage::volatile::Volatile),
            #[cfg(feature = "sqlite")]
            Engine::Default => Arc::new(crate::storage::sqlite::Sqlite::at(self.folder())),
            #[cfg(not(feature = "sqlite"))]
            Engine::Default => Arc::new(crate::storage::volatile::Volatile),
        };
        let described = storage.describe();
        let schemas = schemas(&assembly.models);
        let ids = schemas.iter().map(|schema| schema.id.as_ref());
        let journal = Arc::new(Journal::new(std::mem::take(&mut self.log), ids, self.clock.clone())?);
        let mut adapters = std::mem::take(&mut self.adapters);
        adapters.extend(self.given.iter().filter_map(|model| Some((model.id.clone(), model.adapter.clone()?))));
        let mirrors = mirrors(adapters, &schemas)?;
        let mut migrations = std::mem::take(&mut assembly.migrations);
        migrations.dropped = std::mem::take(&mut self.dropped);
        // Reading all documents takes a while, and would hold the runtime.
        let log = tokio::task::spawn_blocking(move || CommitLog::open(storage, schemas, &migrations))
            .await
            .map_err(Error::internal)??;
        let log = Arc::new(log);
        let rooms = Arc::new(Rooms::new(journal.clone(), self.published, log.durable().seq));
        log.follow(rooms.clone());
        let lives = Arc::new(Lives::new(log.durable().seq));
        log.follow(lives.clone());
        let emitters = Arc::new(Emitters::new(assembly.models.len()));
        log.follow(emitters.clone());
        let workers = Workers::new(assembly.workers);
        let jobs = Jobs::new(programs);
        log.follow(jobs.follower());
        if !mirrors.is_empty() {
            log.follow(Arc::new(Mirroring::of(&mirrors)));
        }
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let state = log.durable();
        let documents: usize =
            (0..programs).filter_map(|at| state.collection(at)).map(|collection| collection.len()).sum();
        let operations = |kind| assembly.models.iter().map(|model| model.operations_of(kind).count()).sum::<usize>();
        let summary = format!(
            "{} ({}), {}, {}, {}, {}; {} in {described}",
            count(programs, "model"),
            assembly.models.iter().take(programs).map(|model| model.schema.id.as_ref()).collect::<Vec<_>>().join(", "),
            count(assembly.models.iter().map(|model| model.hooks.len()).sum(), "hook"),
            count(operations(OperationKind::Method), "method"),
            count(operations(OperationKind::Event), "event"),
            count(workers.len(), "worker"),
            count(documents, "document"),
        );
        let (alive, ended) = trash::alive();
        let runtime = Runtime::new(Inner {
            log,
            models: assembly.models,
            states: self.states,
            rooms,
            lives,
            journal,
            emitters,
            workers,
            jobs,
            calls: Calls::new(programs + 1),
            callers: assembly.callers,
            logins: LoginState::new(programs + 2, self.logins),
            mirrors,
            routes: assembly.routes,
            limits: Limits::default(),
            secret,
            clock: self.clock,
            rehearses: self.rehearses,
            _alive: alive,
            number: next_number(),
        });
        runtime.register();
        runtime.inner().mirrors.start(&runtime);
        trash::keep_short(&runtime, ended).await;
        Ok(App { runtime, summary: summary.into(), extras: self.extras, folder })
    }
}

/// The adapters by the places of their models.
fn mirrors(adapters: HashMap<String, Arc<dyn AnyAdapter>>, schemas: &[Arc<ModelSchema>]) -> Result<Mirrors> {
    let mut placed = HashMap::new();
    for (id, adapter) in adapters {
        let Some(at) = schemas.iter().position(|schema| *schema.id == *id) else {
            let text = format!("there is an adapter for the model `{id}`, and no such model");
            return Err(Error::new("INVALID_DECLARATION").status(500).message(text));
        };
        placed.insert(at, adapter);
    }
    Ok(Mirrors::new(placed))
}
