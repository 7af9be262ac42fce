//! What the log consists of: entries, with their levels and where they are from.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::TARGET;
use crate::core::clock::millis;
use crate::core::schema::Site;
use crate::error::{Error, Result};
use crate::model::caller::Call;

/// How many bytes of a message are kept.
pub(super) const MOST_TEXT: usize = 16 * 1_024;

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
    pub(super) const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Silent];

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
    pub(super) fn is_traced(self) -> bool {
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
    /// An upload.
    Upload => "upload";
    /// A chunk of a stream.
    Stream => "stream";
    /// The rule of what callers may do with the documents of a model, and who a caller is.
    Access => "access";
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
    /// A route of the program's own.
    Route => "route";
}

impl LogFeature {
    pub(super) const fn bit(self) -> u32 {
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

/// A text of the length that is kept.
pub(super) fn cut(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= MOST_TEXT {
        return text;
    }
    format!("{}…", beginning(&text, MOST_TEXT - '…'.len_utf8())).into()
}

/// As much of a text as is whole characters in so many bytes.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Hands the entry to `tracing`.
pub(super) fn trace(entry: &LogEntry) {
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
