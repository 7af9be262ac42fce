//! For the tests of a program: its application on a store in memory, with a clock that the test moves, and a plug to pull.
//!
//! ```
//! use std::time::Duration;
//! use modeller::{prelude::*, test::TestApp};
//!
//! #[model(id = "visits", public)]
//! pub struct Visit { #[field(index)] pub page: String }
//!
//! #[worker(Visit, every = "1h", immediate = false)]
//! async fn forget(visits: Model<Visit>) -> Result<()> {
//!     visits.delete_many(Filter::all()).await.map(drop)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let mut app = TestApp::open(|| App::new().model::<Visit>()).await?;
//! app.model::<Visit>().insert(Visit { page: "/".into() }).await?;
//! app.crash().await?;
//! assert_eq!(app.model::<Visit>().count(Filter::all()).await?, 1);
//!
//! app.start_workers();
//! let mut gone = app.model::<Visit>().on_delete();
//! app.advance(Duration::from_secs(3600));
//! gone.next().await;
//! assert_eq!(app.model_as::<Visit>(&Caller::anyone())?.count(Filter::all()).await?, 0);
//! # Ok(())
//! # }
//! ```

use std::ops::Deref;
use std::time::{Duration, SystemTime};

use crate::app::{App, AppBuilder};
use crate::core::clock::{Clock, now_ms};
use crate::core::schema::ModelType;
use crate::error::Result;
use crate::model::caller::Caller;
use crate::model::handle::Model;
use crate::storage::{Faults, Memory};

/// An application under test: on a store in memory that outlives it, with a clock of its own.
///
/// The first run of every transaction is thrown away and its body run again, as happens in earnest to one that loses against another:
/// a handler that does something outside of the data is found by its author's first test. [`TestApp::without_rehearsal`] leaves
/// that out.
///
/// It is an [`App`], by `Deref`.
pub struct TestApp {
    build: Box<dyn Fn() -> AppBuilder + Send + Sync>,
    memory: Memory,
    clock: Clock,
    rehearses: bool,
    app: App,
}

impl std::fmt::Debug for TestApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestApp").field("app", &self.app).finish_non_exhaustive()
    }
}

impl Deref for TestApp {
    type Target = App;
    fn deref(&self) -> &App {
        &self.app
    }
}

impl TestApp {
    /// Opens what the function builds, which is called again for each new start. Workers are not started by this.
    ///
    /// # Errors
    /// As [`AppBuilder::open`].
    pub async fn open(build: impl Fn() -> AppBuilder + Send + Sync + 'static) -> Result<Self> {
        Self::on(Memory::with_faults(Faults::seeded(0)), build).await
    }

    /// The same on this store, e.g. one that misbehaves or was left behind by a process that ended. It has to be one that can
    /// [`crash`](Memory::crash).
    ///
    /// # Errors
    /// As [`AppBuilder::open`].
    pub async fn on(memory: Memory, build: impl Fn() -> AppBuilder + Send + Sync + 'static) -> Result<Self> {
        let (build, clock) = (Box::new(build), Clock::standing_at(now_ms()));
        let app = start(&build, &memory, &clock, true).await?;
        Ok(Self { build, memory, clock, rehearses: true, app })
    }

    /// The same, started anew, with transactions that run once.
    ///
    /// # Errors
    /// As [`AppBuilder::open`].
    pub async fn without_rehearsal(mut self) -> Result<Self> {
        self.rehearses = false;
        self.crash().await?;
        Ok(self)
    }

    /// What time it is for workers and jobs.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.now())
    }

    /// Moves the clock. What is due by then is woken by this, and not waited for.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Runs the jobs that are due, and those that become due by that, and waits for all of them. Where the store fails meanwhile,
    /// they stay as they are.
    pub async fn run_due(&self) {
        self.app.start_jobs();
        self.app.runtime.inner().jobs.idle(&self.app.runtime).await;
    }

    /// Pulls the plug and starts anew: what was durable is there, and nothing else. Operations that are under way fail with
    /// `UNAVAILABLE`, as do those of handles from before.
    ///
    /// # Errors
    /// As [`AppBuilder::open`].
    pub async fn crash(&mut self) -> Result<()> {
        self.memory.crash();
        self.memory = self.memory.reopen_with(Faults::seeded(0));
        self.app = start(&self.build, &self.memory, &self.clock, self.rehearses).await?;
        Ok(())
    }

    /// The handle of a model as it is for this caller: with his rights, and nothing that is hidden from him.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model_as<T: ModelType>(&self, caller: &Caller) -> Result<Model<T>> {
        Model::of_scope(&self.app.runtime.scope(caller.clone()))
    }
}

async fn start(build: &dyn Fn() -> AppBuilder, memory: &Memory, clock: &Clock, rehearses: bool) -> Result<App> {
    let mut builder = build().storage(memory.clone());
    builder.clock = clock.clone();
    builder.rehearses = rehearses;
    builder.open().await
}
