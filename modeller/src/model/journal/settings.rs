//! Which entries there are, and who gets them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::entry::{LogEntry, LogFeature, LogLevel};
use crate::core::schema::ModelType;

/// Where entries are kept or sent, beside `tracing`: see [`LogSettings::sink`].
pub trait LogSink: Send + Sync + 'static {
    /// Takes an entry. It is called on the thread where the entry was made, often inside of a transaction, so it must not wait: what
    /// takes long is handed to a thread or a task of its own. A panic in it is told to `tracing`, and ends nothing.
    ///
    /// What it does on this thread that would be logged goes to `tracing` alone. It must not hold a handle of the application, which
    /// holds the sink: the two would never be let go.
    fn log(&self, entry: &LogEntry);
}

struct ByClosure<F>(F);

impl<F: Fn(&LogEntry) + Send + Sync + 'static> LogSink for ByClosure<F> {
    fn log(&self, entry: &LogEntry) {
        (self.0)(entry);
    }
}

/// Which entries of a model are given. What is not said is as [`LogSettings`] say it for all models.
///
/// ```
/// use modeller::{LogFeature, LogLevel, LogSwitches};
/// let quiet = LogSwitches::new().level(LogLevel::Warn).feature(LogFeature::Event, false);
/// # let _ = quiet;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "switches belong to settings, by `LogSettings::model`"]
pub struct LogSwitches {
    level: Option<LogLevel>,
    on: u32,
    off: u32,
}

impl LogSwitches {
    /// All as it is for all models.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries of this level and above.
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = Some(level);
        self
    }

    /// Whether entries of this kind are given, errors as well as others.
    pub fn feature(mut self, feature: LogFeature, is_on: bool) -> Self {
        let (into, out_of) = if is_on { (&mut self.on, &mut self.off) } else { (&mut self.off, &mut self.on) };
        *into |= feature.bit();
        *out_of &= !feature.bit();
        self
    }

    /// These, and where they say nothing, those.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            level: self.level.or(others.level),
            on: self.on | (others.on & !self.off),
            off: self.off | (others.off & !self.on),
        }
    }

    /// As one number, where all is on that is not off, from [`LogLevel::Info`] on.
    pub(super) fn packed(self) -> u32 {
        ((self.level.unwrap_or(LogLevel::Info) as u32) << LEVEL_SHIFT) | (!self.off & FEATURES)
    }
}

/// The features in the number that switches are.
pub(super) const FEATURES: u32 = (1 << LEVEL_SHIFT) - 1;
/// Where in that number the level stands.
pub(super) const LEVEL_SHIFT: u32 = 24;

/// Which entries there are, and who gets them: for [`AppBuilder::log`](crate::AppBuilder::log).
///
/// All entries go to `tracing`, whose subscriber has its own say; here is said which of them are made at all. Unless it is said
/// otherwise, they are those of the level [`Info`](LogLevel::Info) and above, of all features: failures, and what handlers say. At
/// [`Debug`](LogLevel::Debug) each run of a handler is told with how long it took, and each document that was changed.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use modeller::{LogFeature, LogLevel, LogSettings, LogSwitches, prelude::*};
///
/// #[model(id = "users")]
/// pub struct User { pub name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let kept = lines.clone();
/// let settings = LogSettings::new()
///     .level(LogLevel::Warn)
///     .model::<User>(LogSwitches::new().level(LogLevel::Debug).feature(LogFeature::Worker, false))
///     .on_entry(move |entry| kept.lock().unwrap().push(entry.to_string()));
/// let app = App::new().model::<User>().log(settings).in_memory().open().await?;
///
/// let ada = app.model::<User>().insert(User { name: "Ada".into() }).await?;
/// let line = format!("debug crud users: inserted `{}`", ada.id());
/// assert!(lines.lock().unwrap()[0].starts_with(&line));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "settings belong to an application, by `AppBuilder::log`"]
pub struct LogSettings {
    pub(super) all: LogSwitches,
    /// By the ids of the models.
    pub(super) models: BTreeMap<String, LogSwitches>,
    pub(super) sinks: Vec<Arc<dyn LogSink>>,
}

impl fmt::Debug for LogSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSettings").field("all", &self.all).field("models", &self.models).finish_non_exhaustive()
    }
}

impl LogSettings {
    /// Entries from [`LogLevel::Info`] on, for `tracing` alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries of this level and above, of all models that say nothing else.
    pub fn level(mut self, level: LogLevel) -> Self {
        self.all = self.all.level(level);
        self
    }

    /// Whether entries of this kind are given, errors as well as others, of all models that say nothing else.
    pub fn feature(mut self, feature: LogFeature, is_on: bool) -> Self {
        self.all = self.all.feature(feature, is_on);
        self
    }

    /// What is otherwise for one model.
    pub fn model<T: ModelType>(self, switches: LogSwitches) -> Self {
        self.model_by_id(T::DECLARATION.id, switches)
    }

    /// The same for a model by its id. Opening the application refuses one that there is not.
    pub fn model_by_id(mut self, id: impl Into<String>, switches: LogSwitches) -> Self {
        let known = self.models.entry(id.into()).or_default();
        *known = switches.or(*known);
        self
    }

    /// Calls a function with each entry, as [`LogSink::log`] is called.
    pub fn on_entry(self, run: impl Fn(&LogEntry) + Send + Sync + 'static) -> Self {
        self.sink(ByClosure(run))
    }

    /// Gives each entry to this as well.
    pub fn sink(mut self, sink: impl LogSink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }
}
