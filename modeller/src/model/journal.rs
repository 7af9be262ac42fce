//! The journal: what happens in the models of an application, entry by entry.
//!
//! Everything that this layer has to say goes one way, [`Journal::note`]: past the switches of the model, to `tracing`, to whoever
//! listens to the model, and to the sinks of the application. An entry that nobody wants costs a look at one number, and is neither
//! formatted nor allocated.
//!
//! Entries are given at once, also from inside of a transaction that is undone or run again, with the call and the run they are
//! from. Held back until the commit, what a failed transaction had to say would be lost, and that is what people look for in a log.
//! What was done to documents is the exception: it is told once it is durable, because until then it was not done.
//!
//! In an entry there are ids, codes, keywords and paths, what handlers say, and data with its private and protected parts left out.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::caller::Call;
use super::emitter::Listening;
use super::handler::{Extract, HookEvent, Invocation};
use crate::core::clock::{Clock, millis};
use crate::core::collection::ModelIndex;
use crate::core::log::Commit;
use crate::core::private::{Audience, written_for};
use crate::core::schema::{ModelType, Site};
use crate::error::{Error, Result};

/// How many entries wait for a listener before it misses the oldest.
const BACKLOG: usize = 1_024;
/// How many bytes of a message are kept.
const MOST_TEXT: usize = 16 * 1_024;
/// How many bytes the data of an entry has at most, as JSON.
const MOST_DATA: usize = 16 * 1_024;
/// What `tracing` knows the entries by.
const TARGET: &str = "modeller";

/// How much an entry matters; of a model, how much it has to matter to be given.
///
/// ```
/// use modeller::LogLevel;
/// assert!(LogLevel::Debug < LogLevel::Error);
/// assert_eq!("warn".parse::<LogLevel>().unwrap(), LogLevel::Warn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// All that is done: each run of a handler, each change of a document.
    Debug,
    /// What is good to know.
    Info,
    /// What may be a mistake.
    Warn,
    /// What has failed.
    Error,
    /// Of a model that says nothing. No entry has this level.
    Silent,
}

impl LogLevel {
    const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Silent];

    /// Its name, e.g. `debug`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Silent => "silent",
        }
    }

    /// Whether `tracing` has somebody who wants to know.
    fn is_traced(self) -> bool {
        match self {
            Self::Debug => tracing::enabled!(target: TARGET, tracing::Level::DEBUG),
            Self::Info => tracing::enabled!(target: TARGET, tracing::Level::INFO),
            Self::Warn => tracing::enabled!(target: TARGET, tracing::Level::WARN),
            Self::Error => tracing::enabled!(target: TARGET, tracing::Level::ERROR),
            Self::Silent => false,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// By its name, for what is set from outside of the program.
impl FromStr for LogLevel {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join("`, `");
            Error::new("INVALID_LOG_LEVEL").message(format!("a level of the log is one of `{names}`"))
        })
    }
}

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident => $text:literal;)*) => {
        /// What an entry is from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LogFeature {
            $($(#[$doc])* $name,)*
        }

        impl LogFeature {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name, e.g. `hook`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

features! {
    /// A hook that runs with an operation.
    Hook => "hook";
    /// A worker.
    Worker => "worker";
    /// A method.
    Method => "method";
    /// An event of a subscription.
    Event => "event";
    /// Documents that were inserted, updated and deleted.
    Crud => "crud";
    /// What was published to a subscription.
    Subscription => "subscription";
    /// A job: its runs, and what keeps jobs going.
    Job => "job";
    /// The model as an emitter: events of its own, and functions that listen in process.
    Emitter => "emitter";
    /// The adapter of a model.
    Adapter => "adapter";
    /// The trash.
    Trash => "trash";
    /// What a transaction left to be done after its commit.
    Transaction => "transaction";
}

impl LogFeature {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for LogFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallSite {
    /// Path of the file, as the compiler was given it.
    pub file: &'static str,
    /// Line in it, from 1 on.
    pub line: u32,
}

impl CallSite {
    /// Where the function was called that asks.
    #[track_caller]
    pub(crate) fn here() -> Self {
        let place = Location::caller();
        Self { file: place.file(), line: place.line() }
    }
}

impl From<Site> for CallSite {
    fn from(site: Site) -> Self {
        Self { file: site.file, line: site.line }
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Something that happened.
///
/// As JSON, by its `Serialize`, it has the names of the reference package: `level`, `feature`, `modelId`, `message`, `callSite`,
/// `timestamp` in milliseconds since the Unix epoch, `data`, `initial`; and `operation`, `call` and `attempt`. What is not there is
/// left out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogEntry {
    /// How much it matters; never [`LogLevel::Silent`].
    pub level: LogLevel,
    /// What it is from.
    pub feature: LogFeature,
    /// Id of the model; `None` for what belongs to no model.
    pub model: Option<Arc<str>>,
    /// Id of the hook, worker, method or event that it is from or about.
    pub operation: Option<Cow<'static, str>>,
    /// A sentence for people, of 16 KiB at most.
    pub message: Cow<'static, str>,
    /// Where it was said, or where the handler stands that it is about.
    pub call_site: Option<CallSite>,
    /// When. In tests that is the time of the test's clock.
    pub time: SystemTime,
    /// What goes with the message, of 16 KiB of JSON at most; private and protected parts are left out.
    pub data: Option<Value>,
    /// Whether it tells that something was registered, rather than that something happened.
    pub initial: bool,
    /// The call that it is from. A transaction that loses against another is run once more: what is said in it is said again, with
    /// the same id and the next number of the attempt.
    pub call: Option<Call>,
}

impl Serialize for LogEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("feature", self.feature.as_str())?;
        if let Some(model) = &self.model {
            map.serialize_entry("modelId", &**model)?;
        }
        if let Some(operation) = &self.operation {
            map.serialize_entry("operation", operation)?;
        }
        map.serialize_entry("message", &self.message)?;
        if let Some(place) = &self.call_site {
            map.serialize_entry("callSite", &place.to_string())?;
        }
        map.serialize_entry("timestamp", &self.time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis))?;
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        map.serialize_entry("initial", &self.initial)?;
        if let Some(call) = &self.call {
            map.serialize_entry("call", &call.id().to_string())?;
            map.serialize_entry("attempt", &call.attempt())?;
        }
        map.end()
    }
}

/// One line: level, where it is from, the message, the data.
impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.level, self.feature)?;
        if let Some(model) = &self.model {
            write!(f, " {model}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(data) = &self.data {
            write!(f, " {data}")?;
        }
        Ok(())
    }
}

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
    fn or(self, others: Self) -> Self {
        Self {
            level: self.level.or(others.level),
            on: self.on | (others.on & !self.off),
            off: self.off | (others.off & !self.on),
        }
    }

    /// As one number, where all is on that is not off, from [`LogLevel::Info`] on.
    fn packed(self) -> u32 {
        ((self.level.unwrap_or(LogLevel::Info) as u32) << LEVEL_SHIFT) | (!self.off & FEATURES)
    }
}

/// The features in the number that switches are.
const FEATURES: u32 = (1 << LEVEL_SHIFT) - 1;
/// Where in that number the level stands.
const LEVEL_SHIFT: u32 = 24;

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
    all: LogSwitches,
    /// By the ids of the models.
    models: BTreeMap<String, LogSwitches>,
    sinks: Vec<Arc<dyn LogSink>>,
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

/// What an entry is from or about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) model: Option<ModelIndex>,
    pub(crate) feature: LogFeature,
    pub(crate) operation: Option<Cow<'static, str>>,
    pub(crate) call_site: Option<CallSite>,
    pub(crate) call: Option<Call>,
}

impl Subject {
    /// Of a model, if of any.
    pub(crate) fn new(model: impl Into<Option<ModelIndex>>, feature: LogFeature) -> Self {
        Self { model: model.into(), feature, operation: None, call_site: None, call: None }
    }

    /// The same about a handler of this id.
    pub(crate) fn of(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// The same about what stands there.
    pub(crate) fn at(mut self, place: impl Into<CallSite>) -> Self {
        self.call_site = Some(place.into());
        self
    }

    /// The same in a call.
    pub(crate) fn in_call(mut self, call: &Call) -> Self {
        self.call = Some(call.clone());
        self
    }

    /// The id of the handler, as a message has it.
    fn name(&self) -> &str {
        self.operation.as_deref().unwrap_or("unnamed")
    }
}

/// What an entry says.
pub(crate) struct Words {
    message: Cow<'static, str>,
    data: Option<Value>,
}

impl Words {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), data: None }
    }

    pub(crate) fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

/// The journal of one model.
struct Pages {
    /// `None` for what belongs to no model.
    model: Option<Arc<str>>,
    /// As [`LogSwitches::packed`] has them.
    switches: AtomicU32,
    /// Made by the first who listens.
    listeners: OnceLock<broadcast::Sender<Arc<LogEntry>>>,
}

impl Pages {
    fn new(model: Option<&str>, switches: LogSwitches) -> Self {
        Self { model: model.map(Arc::from), switches: AtomicU32::new(switches.packed()), listeners: OnceLock::new() }
    }

    fn gives(&self, feature: LogFeature, level: LogLevel) -> bool {
        let switches = self.switches.load(Ordering::Relaxed);
        level as u32 >= switches >> LEVEL_SHIFT && switches & feature.bit() != 0
    }

    /// Those who listen, if there are any.
    fn listeners(&self) -> Option<&broadcast::Sender<Arc<LogEntry>>> {
        self.listeners.get().filter(|listeners| listeners.receiver_count() > 0)
    }
}

/// The journal of an application.
pub(crate) struct Journal {
    /// By the places of the models.
    models: Vec<Pages>,
    /// For what belongs to no model.
    rest: Pages,
    sinks: Vec<Arc<dyn LogSink>>,
    clock: Clock,
}

thread_local! {
    /// Whether a sink runs on this thread. What is logged by that is not given to sinks again, which would not end.
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

impl Journal {
    /// Of models with these ids, in the order of their places.
    pub(crate) fn new<'a>(
        settings: LogSettings,
        ids: impl Iterator<Item = &'a str> + Clone,
        clock: Clock,
    ) -> Result<Self> {
        let LogSettings { all, models, sinks } = settings;
        if let Some(id) = models.keys().find(|id| !ids.clone().any(|known| known == *id)) {
            let text = format!("there are settings of the log for the model `{id}`, and no such model");
            return Err(Error::new("INVALID_DECLARATION").status(500).message(text));
        }
        let switches = |id: &str| models.get(id).copied().unwrap_or_default().or(all);
        let models = ids.map(|id| Pages::new(Some(id), switches(id))).collect();
        Ok(Self { models, rest: Pages::new(None, all), sinks, clock })
    }

    fn pages(&self, model: Option<ModelIndex>) -> &Pages {
        model.and_then(|at| self.models.get(at)).unwrap_or(&self.rest)
    }

    /// Whether an entry of this kind reaches anybody.
    fn wants(&self, pages: &Pages, feature: LogFeature, level: LogLevel) -> bool {
        pages.gives(feature, level) && (!self.sinks.is_empty() || pages.listeners().is_some() || level.is_traced())
    }

    /// Makes an entry, if anybody wants it.
    pub(crate) fn note(&self, subject: &Subject, level: LogLevel, words: impl FnOnce() -> Words) {
        let pages = self.pages(subject.model);
        if self.wants(pages, subject.feature, level) {
            self.give(pages, subject.clone(), level, false, words());
        }
    }

    /// Tells that something was registered, by its name.
    pub(crate) fn registered(&self, subject: &Subject) {
        let pages = self.pages(subject.model);
        if self.wants(pages, subject.feature, LogLevel::Debug) {
            let words = Words::new(match &subject.operation {
                Some(name) => format!("{} `{name}` registered", subject.feature),
                None => format!("{} registered", subject.feature),
            });
            self.give(pages, subject.clone(), LogLevel::Debug, true, words);
        }
    }

    fn give(&self, pages: &Pages, subject: Subject, level: LogLevel, initial: bool, words: Words) {
        let entry = LogEntry {
            level,
            feature: subject.feature,
            model: pages.model.clone(),
            operation: subject.operation,
            message: cut(words.message),
            call_site: subject.call_site,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.now()),
            data: words.data,
            initial,
            call: subject.call,
        };
        trace(&entry);
        if IN_SINK.get() {
            return;
        }
        let _in_sink = InSink::enter();
        for sink in &self.sinks {
            if std::panic::catch_unwind(AssertUnwindSafe(|| sink.log(&entry))).is_err() {
                tracing::error!(target: TARGET, "a sink of the log panicked");
            }
        }
        if let Some(listeners) = pages.listeners() {
            // That the last one has just gone is no error.
            let _ = listeners.send(Arc::new(entry));
        }
    }

    /// What time it is, if anybody wants to know how long a run takes.
    pub(crate) fn begin(&self, subject: &Subject) -> Option<Instant> {
        let wants = self.wants(self.pages(subject.model), subject.feature, LogLevel::Debug);
        wants.then(Instant::now)
    }

    /// A hook has run.
    pub(crate) fn hook(
        &self,
        subject: &Subject,
        on: HookEvent,
        began: Option<Instant>,
        outcome: std::result::Result<(), &Error>,
    ) {
        let name = subject.name();
        let (timing, operation) = (on.timing.as_str(), on.operation.as_str());
        let data = || json!({"timing": timing, "operation": operation});
        match (outcome, began) {
            (Ok(()), None) => {}
            (Ok(()), Some(began)) => self.note(subject, LogLevel::Debug, || {
                Words::new(format!("hook `{name}` ran {timing} {operation}")).with(timed(data(), began))
            }),
            (Err(error), _) => self.note(subject, LogLevel::Error, || {
                // Its cause is told by who gets the error, unless nobody does.
                let reason = if on.is_in_transaction() { error.for_log() } else { error.for_log_with_causes() };
                let data = coded(data(), error);
                Words::new(format!("hook `{name}` failed {timing} {operation}: {reason}")).with(data)
            }),
        }
    }

    /// A hook is to run later.
    pub(crate) fn scheduled(&self, subject: &Subject, on: HookEvent) {
        let (timing, operation) = (on.timing.as_str(), on.operation.as_str());
        self.note(subject, LogLevel::Debug, || {
            Words::new(format!("hook `{}` scheduled {timing} {operation}", subject.name()))
                .with(json!({"timing": timing, "operation": operation}))
        });
    }

    /// A method or an event has run. That it failed is for its caller to know, and no error of the program.
    pub(crate) fn operation(&self, subject: &Subject, began: Option<Instant>, failed: Option<&Error>) {
        let Some(began) = began else { return };
        let (feature, name) = (subject.feature, subject.name());
        self.note(subject, LogLevel::Debug, || match failed {
            None => Words::new(format!("{feature} `{name}` ran")).with(timed(no_data(), began)),
            Some(error) => Words::new(format!("{feature} `{name}` answered {}", error.for_log()))
                .with(timed(coded(no_data(), error), began)),
        });
    }

    /// A worker has run.
    pub(crate) fn worker(&self, subject: &Subject, began: Option<Instant>, outcome: std::result::Result<(), &Error>) {
        let what = || match &subject.operation {
            Some(id) => format!("worker `{id}`"),
            None => "an unnamed worker".to_owned(),
        };
        self.ran(subject, what, began, no_data, outcome);
    }

    /// Something has run, and nobody else learns of its error.
    pub(crate) fn ran(
        &self,
        subject: &Subject,
        what: impl Fn() -> String,
        began: Option<Instant>,
        data: impl Fn() -> Value,
        outcome: std::result::Result<(), &Error>,
    ) {
        match (outcome, began) {
            (Ok(()), None) => {}
            (Ok(()), Some(began)) => {
                self.note(subject, LogLevel::Debug, || {
                    Words::new(format!("{} ran", what())).with(timed(data(), began))
                });
            }
            (Err(error), _) => self.failed(subject, &format!("{} failed", what()), data, error),
        }
    }

    /// Something has failed of which nobody else learns.
    pub(crate) fn failed(&self, subject: &Subject, what: &str, data: impl FnOnce() -> Value, error: &Error) {
        self.note(subject, LogLevel::Error, || {
            Words::new(format!("{what}: {}", error.for_log_with_causes())).with(coded(data(), error))
        });
    }

    /// A commit of this application is durable.
    pub(crate) fn committed(&self, commit: &Commit, call: Option<&Call>) {
        let about = |model, feature| Subject { call: call.cloned(), ..Subject::new(model, feature) };
        for change in &commit.changes {
            let Some(pages) = self.models.get(change.model) else { continue };
            if !self.wants(pages, LogFeature::Crud, LogLevel::Debug) || pages.is_own() {
                continue;
            }
            let (what, doc) = match (&change.before, &change.after) {
                (None, Some(after)) => ("inserted", after),
                (Some(_), Some(after)) => ("updated", after),
                (Some(before), None) => ("deleted", before),
                (None, None) => continue,
            };
            let words = Words::new(format!("{what} `{}`", change.id))
                .with(json!({"id": change.id.to_string(), "rev": doc.rev(), "seq": commit.seq}));
            self.give(pages, about(change.model, LogFeature::Crud), LogLevel::Debug, false, words);
        }
        for publish in &commit.published {
            let event = publish.room.strip_prefix('@');
            let feature = if event.is_some() { LogFeature::Emitter } else { LogFeature::Subscription };
            self.note(&about(publish.model, feature), LogLevel::Debug, || {
                let data = json!({"seq": commit.seq, "bytes": publish.payload.len()});
                // The filter of a room has values in it.
                match event {
                    Some(name) => Words::new(format!("emitted `{name}`")).with(data),
                    None => Words::new("published").with(data),
                }
            });
        }
    }

    /// Entries of this level and above are given from here on.
    pub(crate) fn set_level(&self, model: ModelIndex, level: LogLevel) {
        self.switch(model, |switches| (switches & FEATURES) | ((level as u32) << LEVEL_SHIFT));
    }

    /// Whether entries of this kind are given from here on.
    pub(crate) fn set_feature(&self, model: ModelIndex, feature: LogFeature, is_on: bool) {
        let bit = feature.bit();
        self.switch(model, |switches| if is_on { switches | bit } else { switches & !bit });
    }

    fn switch(&self, model: ModelIndex, change: impl Fn(u32) -> u32) {
        let switches = &self.pages(Some(model)).switches;
        let _ = switches.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |switches| Some(change(switches)));
    }

    /// From which level on entries of the model are given.
    pub(crate) fn level(&self, model: ModelIndex) -> LogLevel {
        let level = self.pages(Some(model)).switches.load(Ordering::Relaxed) >> LEVEL_SHIFT;
        LogLevel::ALL.into_iter().find(|known| *known as u32 == level).unwrap_or(LogLevel::Silent)
    }

    /// Whoever asks hears of the entries of a model from here on.
    pub(crate) fn listen(&self, model: ModelIndex) -> LogEntries {
        let pages = self.pages(Some(model));
        LogEntries(pages.listeners.get_or_init(|| broadcast::Sender::new(BACKLOG)).subscribe())
    }
}

impl Pages {
    /// Whether the model is ours, and its documents are nobody's business.
    fn is_own(&self) -> bool {
        self.model.as_ref().is_some_and(|id| id.starts_with('@'))
    }
}

/// Notes that a sink runs, also when it panics.
struct InSink;

impl InSink {
    fn enter() -> Self {
        IN_SINK.set(true);
        Self
    }
}

impl Drop for InSink {
    fn drop(&mut self) {
        IN_SINK.set(false);
    }
}

/// For an entry without data of its own.
pub(crate) fn no_data() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The data with how long it took since.
fn timed(mut data: Value, began: Instant) -> Value {
    if let Some(members) = data.as_object_mut() {
        members.insert("micros".into(), u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).into());
    }
    data
}

/// The data with the code of an error.
fn coded(mut data: Value, error: &Error) -> Value {
    if let Some(members) = data.as_object_mut() {
        members.insert("code".into(), error.code().as_str().into());
    }
    data
}

/// A text of the length that is kept.
fn cut(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= MOST_TEXT {
        return text;
    }
    format!("{}…", beginning(&text, MOST_TEXT - '…'.len_utf8())).into()
}

/// As much of a text as is whole characters in so many bytes.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Hands the entry to `tracing`.
fn trace(entry: &LogEntry) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: TARGET,
                tracing::Level::$level,
                feature = entry.feature.as_str(),
                model = entry.model.as_deref(),
                operation = entry.operation.as_deref(),
                call_site = entry.call_site.map(tracing::field::display),
                call = entry.call.as_ref().map(|call| tracing::field::display(call.id())),
                attempt = entry.call.as_ref().map(Call::attempt),
                initial = entry.initial.then_some(true),
                data = entry.data.as_ref().map(tracing::field::display),
                "{}",
                entry.message
            )
        };
    }
    match entry.level {
        LogLevel::Debug => event!(DEBUG),
        LogLevel::Info => event!(INFO),
        LogLevel::Warn => event!(WARN),
        LogLevel::Error => event!(ERROR),
        LogLevel::Silent => {}
    }
}

/// The log, as an argument of a handler: what is said to it is an entry of the handler's model.
///
/// An entry is given at once, also in a transaction that is undone later or run once more; [`LogEntry::call`] tells which run it is
/// from. A message is any text, best `format_args!(…)`, which is written out only if somebody wants it.
///
/// ```
/// use modeller::prelude::*;
/// # use modeller::__private::serde_json::{self, json};
/// #[model(id = "users")]
/// pub struct User { pub name: String, #[field(default)] pub password: Private<String> }
///
/// #[hook(User, after(insert))]
/// async fn greet(user: Doc<User>, log: Log) -> Result<()> {
///     log.info(format_args!("welcome {}", user.name));
///     log.with(&user).debug("with all that may be known of it");
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let users = app.model::<User>();
/// let mut entries = users.on_log();
/// users.insert(User { name: "Ada".into(), password: "correct horse".into() }).await?;
/// assert_eq!(entries.once().await.unwrap().message, "welcome Ada");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Log {
    journal: Arc<Journal>,
    subject: Subject,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("subject", &self.subject).finish_non_exhaustive()
    }
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $level:ident;)*) => {
        impl Log {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self, message: impl fmt::Display) {
                self.say(LogLevel::$level, CallSite::here(), &message, || None);
            })*
        }

        impl<D: Serialize> LogWith<'_, D> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self, message: impl fmt::Display) {
                self.log.say(LogLevel::$level, CallSite::here(), &message, || Some(bounded(&self.data)));
            })*
        }
    };
}

levels! {
    /// Says what is of use only to who looks for a mistake.
    debug Debug;
    /// Says what is good to know.
    info Info;
    /// Says what may be a mistake.
    warn Warn;
    /// Says what has failed.
    error Error;
}

impl Log {
    pub(crate) fn of(invocation: &Invocation<'_>) -> Self {
        Self { journal: invocation.scope.runtime().journal().clone(), subject: invocation.subject.clone() }
    }

    /// Whether an entry of this level reaches anybody: for what is costly to find out, and is for the log alone.
    #[must_use]
    pub fn is_enabled(&self, level: LogLevel) -> bool {
        level != LogLevel::Silent
            && self.journal.wants(self.journal.pages(self.subject.model), self.subject.feature, level)
    }

    /// The log with data that goes with what is said, e.g. `json!({"count": 3})`, a document, or a `#[value]`. It is written, as JSON,
    /// only if somebody wants it, and without what is private or protected in it; what was taken out of its
    /// [`Private`](crate::Private) before is private no more. More than 16 KiB, or what cannot be written, is left out.
    pub fn with<D: Serialize>(&self, data: D) -> LogWith<'_, D> {
        LogWith { log: self, data }
    }

    fn say(
        &self,
        level: LogLevel,
        from: CallSite,
        message: &dyn fmt::Display,
        data: impl FnOnce() -> Option<std::result::Result<Value, &'static str>>,
    ) {
        let pages = self.journal.pages(self.subject.model);
        if !self.journal.wants(pages, self.subject.feature, level) {
            return;
        }
        let mut text = Text(String::new());
        // That it is longer than what is kept ends the writing.
        let _ = write!(text, "{message}");
        let data = match data() {
            None => None,
            Some(Ok(data)) => Some(data),
            Some(Err(why)) => {
                text.0 = format!("{}{why}", beginning(&text.0, MOST_TEXT - why.len()));
                None
            }
        };
        let subject = Subject { call_site: Some(from), ..self.subject.clone() };
        self.journal.give(pages, subject, level, false, Words { message: text.0.into(), data });
    }
}

impl<'a> Extract<'a> for Log {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Ok(Self::of(invocation))
    }
}

/// The [`Log`] with data, from [`Log::with`].
#[must_use = "it says nothing until it is given a message"]
pub struct LogWith<'a, D> {
    log: &'a Log,
    data: D,
}

impl<D> fmt::Debug for LogWith<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWith").field("log", self.log).finish_non_exhaustive()
    }
}

/// A text that takes no more than a little over what is kept, so that [`cut`] sees that it is too long.
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let most = (MOST_TEXT + '…'.len_utf8()).saturating_sub(self.0.len());
        let fits = beginning(text, most);
        self.0.push_str(fits);
        if fits.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Bytes up to a number of them.
struct Bytes(Vec<u8>);

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_DATA {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The data as JSON, with nothing in it that is not for everybody; else why it is left out.
fn bounded(data: &impl Serialize) -> std::result::Result<Value, &'static str> {
    let mut bytes = Bytes(Vec::new());
    let written = written_for(Audience::Anyone, || serde_json::to_writer(&mut bytes, data));
    match written {
        Ok(()) => serde_json::from_slice(&bytes.0).map_err(|_| " (with data that cannot be read again)"),
        Err(error) if error.is_io() => Err(" (with more data than an entry may have)"),
        Err(_) => Err(" (with data that cannot be written)"),
    }
}

/// What [`LogEntries`] tell.
#[derive(Clone, Debug)]
pub enum Logged {
    /// An entry.
    Entry(Arc<LogEntry>),
    /// The listener was too slow, and missed so many.
    Missed(u64),
}

/// One who listens to the log of a model in process: what [`Model::on_log`](crate::Model::on_log) answers.
///
/// It hears of the entries that the switches of the model let through, in the order in which they were made. It never holds anything
/// back: up to 1,024 entries wait for it, and when it does not keep up it is told how many it missed.
#[derive(Debug)]
pub struct LogEntries(broadcast::Receiver<Arc<LogEntry>>);

impl LogEntries {
    /// What is heard next; `None` when nothing can follow.
    pub async fn next(&mut self) -> Option<Logged> {
        match self.0.recv().await {
            Ok(entry) => Some(Logged::Entry(entry)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Logged::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next entry alone, after which nobody listens any more.
    pub async fn once(mut self) -> Option<Arc<LogEntry>> {
        loop {
            match self.next().await? {
                Logged::Entry(entry) => return Some(entry),
                Logged::Missed(_) => {}
            }
        }
    }

    /// Runs a function for each, one after the other, until [`Listening::off`]. A panic in it is told to `tracing`, and it goes on.
    pub fn each<F, Fut>(mut self, mut run: F) -> Listening
    where
        F: FnMut(Logged) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Listening::spawn(async move {
            while let Some(logged) = self.next().await {
                if super::emitter::guarded(|| run(logged)).await.is_err() {
                    // Not an entry: it would be told that it panicked, and panic.
                    tracing::error!(target: TARGET, "a listener of the log panicked");
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(settings: LogSettings) -> Journal {
        Journal::new(settings, ["users", "notes"].into_iter(), Clock::default()).unwrap()
    }

    #[test]
    fn switches_of_a_model_go_before_those_of_all() {
        let settings = LogSettings::new()
            .level(LogLevel::Error)
            .feature(LogFeature::Hook, false)
            .feature(LogFeature::Event, false)
            .model_by_id("users", LogSwitches::new().level(LogLevel::Debug).feature(LogFeature::Hook, true));
        let journal = journal(settings);
        let gives = |model, feature, level| journal.pages(model).gives(feature, level);
        assert!(gives(Some(0), LogFeature::Hook, LogLevel::Debug));
        assert!(!gives(Some(0), LogFeature::Event, LogLevel::Error));
        assert!(gives(Some(1), LogFeature::Crud, LogLevel::Error) && !gives(Some(1), LogFeature::Crud, LogLevel::Warn));
        assert!(!gives(Some(1), LogFeature::Hook, LogLevel::Error) && !gives(None, LogFeature::Hook, LogLevel::Error));
        journal.set_level(0, LogLevel::Silent);
        assert_eq!(journal.level(0), LogLevel::Silent);
        assert!(!gives(Some(0), LogFeature::Hook, LogLevel::Error));
    }

    #[test]
    fn every_feature_has_a_bit_of_its_own() {
        let mut bits = 0;
        for feature in LogFeature::ALL {
            assert!(feature.bit() & (bits | !FEATURES) == 0, "{feature}");
            bits |= feature.bit();
        }
    }

    #[test]
    fn what_nobody_wants_is_not_made() {
        let journal = journal(LogSettings::new().level(LogLevel::Debug));
        let subject = Subject::new(0, LogFeature::Crud);
        journal.note(&subject, LogLevel::Debug, || unreachable!("nobody listens"));
        assert!(journal.begin(&subject).is_none());
        let heard = journal.listen(0);
        assert!(journal.begin(&subject).is_some());
        // Of another model there are no listeners.
        assert!(journal.begin(&Subject::new(1, LogFeature::Crud)).is_none());
        drop(heard);
        journal.note(&subject, LogLevel::Debug, || unreachable!("nobody listens any more"));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        for text in ["x".repeat(MOST_TEXT + 1), "é".repeat(MOST_TEXT), format!("x{}", "é".repeat(MOST_TEXT))] {
            let mut text_of = Text(String::new());
            let _ = write!(text_of, "{text}");
            for kept in [cut(text.clone().into()), cut(text_of.0.into())] {
                assert!(kept.len() <= MOST_TEXT && kept.len() > MOST_TEXT - 4 && kept.ends_with('…'), "{}", kept.len());
                assert!(text.starts_with(kept.trim_end_matches('…')));
            }
        }
        let whole = "x".repeat(MOST_TEXT);
        assert_eq!(cut(whole.clone().into()), whole);
    }

    #[test]
    fn an_unknown_model_has_no_settings() {
        let settings = LogSettings::new().model_by_id("nobody", LogSwitches::new());
        let error = Journal::new(settings, ["users"].into_iter(), Clock::default()).err().unwrap();
        assert!(error.text().contains("`nobody`"), "{error}");
    }
}
