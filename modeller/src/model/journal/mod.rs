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

mod entry;
mod listener;
mod said;
mod settings;

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::broadcast;
use tracing::Instrument;

pub use self::entry::{CallSite, LogEntry, LogFeature, LogLevel};
use self::entry::{cut, trace};
use self::listener::BACKLOG;
pub use self::listener::{LogEntries, Logged};
pub use self::said::{Log, LogWith};
use self::settings::{FEATURES, LEVEL_SHIFT};
pub use self::settings::{LogSettings, LogSink, LogSwitches};
use super::caller::Call;
use super::handler::HookEvent;
use crate::core::clock::Clock;
use crate::core::collection::ModelIndex;
use crate::core::log::Commit;
use crate::error::{Error, Result};

/// What `tracing` knows the entries by.
const TARGET: &str = "modeller";

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

    /// Whether the model is ours, and its documents are nobody's business.
    fn is_own(&self) -> bool {
        self.model.as_ref().is_some_and(|id| id.starts_with('@'))
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

    /// Tells what of a model is reached from outside.
    pub(crate) fn reached(&self, subject: &Subject, words: impl FnOnce() -> String) {
        let pages = self.pages(subject.model);
        if self.wants(pages, subject.feature, LogLevel::Info) {
            self.give(pages, subject.clone(), LogLevel::Info, true, Words::new(words()));
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

    /// Runs a handler in a span of its own, which tells by its code how it failed.
    pub(crate) async fn traced<R>(&self, subject: &Subject, run: impl Future<Output = Result<R>>) -> Result<R> {
        let span = self.span(subject);
        if span.is_disabled() {
            return run.await;
        }
        let outcome = run.instrument(span.clone()).await;
        if let Err(error) = &outcome {
            span.record("error.type", error.code().as_str());
            span.record("otel.status_code", "ERROR");
        }
        outcome
    }

    /// The span of a run, for what collects traces; disabled, and as good as nothing, where nobody does. There is nothing in it of
    /// what the handler was given.
    fn span(&self, subject: &Subject) -> tracing::Span {
        let span = tracing::info_span!(
            target: "modeller::run",
            "run",
            otel.name = tracing::field::Empty,
            feature = subject.feature.as_str(),
            model = tracing::field::Empty,
            operation = subject.name(),
            error.type = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        if !span.is_disabled() {
            let model = self.pages(subject.model).model.as_deref().unwrap_or_default();
            span.record("model", model);
            span.record("otel.name", format!("{} {model}.{}", subject.feature.as_str(), subject.name()));
        }
        span
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
    fn an_unknown_model_has_no_settings() {
        let settings = LogSettings::new().model_by_id("nobody", LogSwitches::new());
        let error = Journal::new(settings, ["users"].into_iter(), Clock::default()).err().unwrap();
        assert!(error.text().contains("`nobody`"), "{error}");
    }
}
