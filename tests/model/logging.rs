//! The log: what is told of, to whom, and what is in no entry.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Duration;

use modeller::test::TestApp;
use modeller::{
    Adapter, HookEvent, LogEntry, LogFeature, LogLevel, LogSettings, LogSink, LogSwitches, Logged, Protected, Schedule,
    prelude::*,
};
use serde_json::{Value, json};
use tracing::field::{Field as Said, Visit};
use tracing::span::{Attributes, Id as SpanId, Record};
use tracing::{Event, Metadata, Subscriber};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// In every private and protected value of these tests.
const SECRET: &str = "correct-horse-battery";

#[model(id = "accounts")]
pub struct Account {
    #[field(unique, max_length = 40, error_message(max_length = "${0} is too long"))]
    pub name: String,
    #[field(default)]
    pub pin: Private<String>,
    #[field(default)]
    pub salary: Protected<String>,
}

fn account(name: &str) -> Account {
    Account { name: name.into(), pin: SECRET.into(), salary: SECRET.into() }
}

/// What a handler does beside its work: it is named by the document that it is about.
fn behave(name: &str, pin: &Private<String>) -> Result<()> {
    let unread = || serde_json::from_value::<u8>(pin.get().unwrap().as_str().into()).unwrap_err();
    match name {
        "refused" => Err(Error::new("REFUSED").message("not this one").detail("pin", pin.get().unwrap().as_str())),
        "unread" => Err(Error::internal(unread())),
        "panics" => panic!("a mistake of the author"),
        _ => Ok(()),
    }
}

#[hook(Account, before(insert))]
async fn check(account: &mut Account, log: Log) -> Result<()> {
    log.info(format_args!("checking {}", account.name));
    behave(account.name.strip_prefix("before ").unwrap_or_default(), &account.pin)
}

#[hook(Account, after_commit(insert))]
async fn greet(account: Doc<Account>, log: &Log) -> Result<()> {
    log.with(&account).debug("greeting");
    behave(account.name.strip_prefix("greet ").unwrap_or_default(), &account.pin)
}

#[hook(Account, after(insert), schedule = "1s", attempts = 2)]
async fn welcome(account: Doc<Account>) -> Result<()> {
    behave(account.name.strip_prefix("welcome ").unwrap_or_default(), &account.pin)
}

#[value]
pub struct Open {
    pub name: String,
    #[field(default)]
    pub pin: Private<String>,
}

#[method(Account)]
async fn open(args: Open, accounts: Model<Account>, tx: Transaction, log: Log) -> Result<()> {
    let opened = accounts.insert(account(&args.name)).await?;
    tx.after_commit(|| async { panic!("left for later") })?;
    log.with(json!({"id": opened.id(), "args": args})).warn("opened");
    if args.name == "undone" { Err(Error::new("UNDONE")) } else { Ok(()) }
}

#[event(Account)]
async fn wave(log: Log, room: Subscription<Account>) -> Result<()> {
    log.error("waving");
    room.publish(&SECRET).await
}

/// How the worker of these tests is to behave.
type Mood = Arc<Mutex<&'static str>>;

#[worker(Account, every = "1m")]
async fn tick(mood: State<Mood>, log: Log) -> Result<()> {
    log.debug("ticking");
    let mood = *mood.0.lock().unwrap();
    behave(mood, &SECRET.into())
}

/// Keeps all entries.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<LogEntry>>>);

impl LogSink for Kept {
    fn log(&self, entry: &LogEntry) {
        self.0.lock().unwrap().push(entry.clone());
    }
}

impl Kept {
    /// What was kept since it was asked last.
    fn take(&self) -> Vec<LogEntry> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The same as level, feature and message.
    fn told(&self) -> Vec<String> {
        self.take().iter().map(|entry| format!("{} {} {}", entry.level, entry.feature, entry.message)).collect()
    }

    /// The same of the level of errors.
    fn errors(&self) -> Vec<String> {
        let errors = self.take().into_iter().filter(|entry| entry.level == LogLevel::Error);
        errors.map(|entry| format!("{} {}", entry.feature, entry.message)).collect()
    }
}

/// An application whose transactions run once.
async fn app(settings: impl Fn() -> LogSettings + Send + Sync + 'static) -> TestApp {
    rehearsing(settings, Mood::default()).await.without_rehearsal().await.unwrap()
}

async fn rehearsing(settings: impl Fn() -> LogSettings + Send + Sync + 'static, mood: Mood) -> TestApp {
    let build = move || App::new().model::<Account>().state(mood.clone()).log(settings());
    TestApp::open(build).await.unwrap()
}

/// The same, with all that is told from here on.
async fn kept(level: LogLevel) -> (TestApp, Kept) {
    let kept = Kept::default();
    let sink = kept.clone();
    let app = app(move || LogSettings::new().level(level).sink(sink.clone())).await;
    kept.take();
    (app, kept)
}

/// The line of this file where this is written.
fn line_of(text: &str) -> u32 {
    let found = include_str!("logging.rs").lines().position(|line| line.contains(text)).unwrap();
    u32::try_from(found).unwrap() + 1
}

#[tokio::test]
async fn m15_entries_tell_what_happened_where_and_when() {
    let (app, kept) = kept(LogLevel::Debug).await;
    let accounts = app.model::<Account>();
    let ada = accounts.insert(account("ada")).await.unwrap();
    let told = kept.take();
    let texts: Vec<&str> = told.iter().map(|entry| &*entry.message).collect();
    let inserted = format!("inserted `{}`", ada.id());
    assert_eq!(
        texts,
        [
            "checking ada",
            "hook `check` ran before insert",
            "hook `welcome` scheduled after insert",
            &inserted,
            "greeting",
            "hook `greet` ran after_commit insert"
        ]
    );
    for entry in &told {
        assert_eq!((entry.model.as_deref(), entry.time, entry.initial), (Some("accounts"), app.now(), false));
        // All of one call.
        let call = entry.call.as_ref().unwrap();
        assert_eq!((call.id(), call.attempt()), (told[0].call.as_ref().unwrap().id(), 1));
    }
    let place = |entry: &LogEntry| (entry.call_site.unwrap().file, entry.call_site.unwrap().line);
    // A handler's own words are told of where they stand, what the framework says of it by where the handler does.
    assert_eq!((told[0].level, told[0].feature), (LogLevel::Info, LogFeature::Hook));
    assert_eq!(place(&told[0]), (file!(), line_of("log.info(format_args!(\"checking")));
    assert_eq!((told[1].level, told[1].operation.as_deref()), (LogLevel::Debug, Some("check")));
    assert_eq!(place(&told[1]).0, file!());
    assert!(place(&told[1]).1.abs_diff(line_of("async fn check(")) <= 1);
    assert!(told[1].data.as_ref().unwrap()["micros"].is_u64());
    assert_eq!((told[3].level, told[3].feature), (LogLevel::Debug, LogFeature::Crud));
    assert_eq!(told[3].data, Some(json!({"id": ada.id(), "rev": ada.rev(), "seq": app.seq()})));
    let json = serde_json::to_value(&told[0]).unwrap();
    assert_eq!(
        json,
        json!({
            "level": "info", "feature": "hook", "modelId": "accounts", "operation": "check", "message": "checking ada",
            "callSite": told[0].call_site.unwrap().to_string(), "initial": false, "attempt": 1,
            "timestamp": app.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64,
            "call": told[0].call.as_ref().unwrap().id().to_string(),
        })
    );

    // Writes without hooks, of one document and of several.
    accounts.update(&ada, Account::NAME.set("Ada".to_owned())).await.unwrap();
    accounts.update_many(Filter::all(), Account::NAME.set("ada".to_owned())).await.unwrap();
    accounts.delete(&ada).await.unwrap();
    let id = ada.id();
    let updated = format!("debug crud updated `{id}`");
    assert_eq!(kept.told(), [updated.clone(), updated, format!("debug crud deleted `{id}`")]);
    accounts.emit("moved", &1).await.unwrap();
    assert_eq!(kept.told(), ["debug emitter emitted `moved`"]);
    accounts.subscription(Account::NAME.eq("ada")).wave().await.unwrap();
    assert_eq!(kept.told(), ["error event waving", "debug event event `wave` ran", "debug subscription published"]);
}

#[tokio::test]
async fn m15_initial_entries_tell_what_is_registered() {
    let kept = Kept::default();
    let sink = kept.clone();
    let people = || {
        SchemaModel::new("people", json!({}))
            .hook("given", [HookEvent::before(Operation::Insert)], |_| Box::pin(async { Ok(()) }))
    };
    let build = |level| {
        let app =
            App::new().model::<Account>().schema_model(people()).adapter::<Account>(Broken).state(Mood::default());
        app.log(LogSettings::new().level(level).sink(sink.clone())).in_memory()
    };
    let app = build(LogLevel::Debug).open().await.unwrap();
    let told = kept.take();
    assert!(told.iter().all(|entry| entry.initial && entry.level == LogLevel::Debug && entry.call.is_none()));
    let mut texts: Vec<_> = told.iter().map(|entry| (entry.model.as_deref().unwrap(), &*entry.message)).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [
            ("accounts", "adapter registered"),
            ("accounts", "event `wave` registered"),
            ("accounts", "hook `check` registered"),
            ("accounts", "hook `greet` registered"),
            ("accounts", "hook `welcome` registered"),
            ("accounts", "method `open` registered"),
            ("accounts", "worker `tick` registered"),
            ("people", "hook `given` registered"),
        ]
    );
    let accounts = app.model::<Account>();
    let mut heard = accounts.on_log();
    accounts.hook("added", [HookEvent::before(Operation::Delete)], |_| Box::pin(async { Ok(()) })).unwrap();
    let added = line!() - 1;
    accounts.worker(None, Schedule::every(MINUTE), |_| async { Ok(()) }).unwrap();
    let told = kept.take();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|entry| entry.initial));
    assert_eq!((told[0].call_site.unwrap().file, told[0].call_site.unwrap().line), (file!(), added));
    assert_eq!((&*told[1].message, told[1].operation.as_deref()), ("worker registered", None));
    // Who listens to the model hears the same.
    let Some(Logged::Entry(entry)) = heard.next().await else { panic!("nothing heard") };
    assert_eq!((&*entry.message, entry.initial), ("hook `added` registered", true));

    build(LogLevel::Info).open().await.unwrap();
    assert!(kept.take().is_empty());
}

#[tokio::test]
async fn m15_each_switch_lets_through_what_it_says() {
    let kept = Kept::default();
    let sink = kept.clone();
    let told = Arc::new(AtomicUsize::new(0));
    let counted = told.clone();
    let settings = move || {
        let counted = counted.clone();
        LogSettings::new()
            .level(LogLevel::Silent)
            .feature(LogFeature::Event, false)
            .model::<Account>(LogSwitches::new().level(LogLevel::Debug))
            .model_by_id("accounts", LogSwitches::new().feature(LogFeature::Crud, false))
            .on_entry(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .sink(sink.clone())
    };
    let app = app(settings).await;
    let accounts = app.model::<Account>();
    // Those of the model go before those of all; where it says nothing, they count.
    assert_eq!(accounts.log_level(), LogLevel::Debug);
    kept.take();
    told.store(0, Ordering::SeqCst);
    accounts.insert(account("a")).await.unwrap();
    accounts.subscription(Filter::all()).wave().await.unwrap();
    let texts = kept.told();
    assert!(texts.iter().any(|text| text == "info hook checking a") && texts.len() == 6, "{texts:?}");
    assert!(texts.iter().all(|text| !text.contains("crud") && !text.contains("event")), "{texts:?}");
    assert_eq!(told.load(Ordering::SeqCst), 6);

    // At run time, for all handles.
    let other = app.model::<Account>();
    other.set_log_feature(LogFeature::Crud, true);
    other.set_log_feature(LogFeature::Hook, false);
    accounts.insert(account("b")).await.unwrap();
    let texts = kept.told();
    assert!(texts.len() == 1 && texts[0].starts_with("debug crud inserted"), "{texts:?}");
    other.set_log_feature(LogFeature::Hook, true);
    let all =
        ["info hook checking before refused", "error hook hook `check` failed before insert: REFUSED: not this one"];
    for (level, heard) in
        [(LogLevel::Info, &all[..]), (LogLevel::Warn, &all[1..]), (LogLevel::Error, &all[1..]), (LogLevel::Silent, &[])]
    {
        other.set_log_level(level);
        assert_eq!(accounts.log_level(), level);
        accounts.insert(account("before refused")).await.unwrap_err();
        assert_eq!(kept.told(), heard, "{level}");
    }
}

#[tokio::test]
async fn m15_without_settings_entries_are_those_from_info_on() {
    let app = rehearsing(LogSettings::new, Mood::default()).await;
    let accounts = app.model::<Account>();
    assert_eq!(accounts.log_level(), LogLevel::Info);
    let entries = accounts.on_log();
    accounts.insert(account("a")).await.unwrap();
    assert_eq!(entries.once().await.unwrap().message, "checking a");
    let log = LogSettings::new().model_by_id("nobody", LogSwitches::new().level(LogLevel::Error));
    let refused = App::new().model::<Account>().log(log).in_memory().open().await.unwrap_err();
    assert!(refused.code().as_str() == "INVALID_DECLARATION" && refused.text().contains("`nobody`"), "{refused}");
    assert_eq!("loud".parse::<LogLevel>().unwrap_err().code().as_str(), "INVALID_LOG_LEVEL");
}

#[model(id = "readings")]
pub struct Reading {
    pub value: i64,
}

fn readings(from: i64, to: i64) -> Vec<Reading> {
    (from..to).map(|value| Reading { value }).collect()
}

#[tokio::test]
async fn m13_a_listener_of_the_log_that_lags_is_told_so() {
    let app = App::new().model::<Reading>().in_memory().open().await.unwrap();
    let model = app.model::<Reading>();
    model.set_log_level(LogLevel::Debug);
    let mut slow = model.on_log();
    // Nobody reads meanwhile, and no commit waits for it.
    let docs = model.insert_many(readings(0, 1_500)).await.unwrap();
    assert_eq!(model.count(Filter::all()).await.unwrap(), 1_500);
    let Some(Logged::Missed(missed)) = slow.next().await else { panic!("it was not told") };
    assert_eq!(missed, 1_500 - 1_024);
    for doc in &docs[1_500 - 1_024..] {
        let Some(Logged::Entry(entry)) = slow.next().await else { panic!("it missed more") };
        assert_eq!(entry.message, format!("inserted `{}`", doc.id()));
    }

    // A function that panics is called for the next one all the same, and not for its own panic.
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let listening = model.on_log().each(move |logged| {
        heard.send(logged).unwrap();
        async { panic!("a mistake of the listener") }
    });
    model.insert_many(readings(0, 3)).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(hears.recv().await, Some(Logged::Entry(entry)) if entry.feature == LogFeature::Crud));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(hears.try_recv().is_err());
    listening.off();
    assert!(hears.recv().await.is_none());
}

#[tokio::test]
async fn m5_a_throwing_hook_is_logged_and_thrown_again() {
    let (app, kept) = kept(LogLevel::Warn).await;
    let accounts = app.model::<Account>();
    for (name, code, entry) in [
        ("before refused", "REFUSED", "hook hook `check` failed before insert: REFUSED: not this one"),
        ("before unread", "INTERNAL", "hook hook `check` failed before insert: INTERNAL: internal error"),
        ("before panics", "INTERNAL", "hook hook `check` failed before insert: INTERNAL: internal error"),
    ] {
        let error = accounts.insert(account(name)).await.unwrap_err();
        assert_eq!(error.code().as_str(), code);
        let told = kept.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(format!("{} {}", told[0].feature, told[0].message), entry);
        assert_eq!(told[0].data, Some(json!({"timing": "before", "operation": "insert", "code": code})));
    }
    assert_eq!(accounts.count(Filter::all()).await.unwrap(), 0);
    // Of one that runs after the commit nobody else learns, so its cause is told too.
    accounts.insert(account("greet panics")).await.unwrap();
    assert_eq!(
        kept.errors(),
        [
            "hook hook `greet` failed after_commit insert: INTERNAL: internal error: a handler panicked: a mistake of the author"
        ]
    );
}

#[tokio::test]
async fn m4_a_deferred_hook_that_fails_is_logged() {
    let (app, kept) = kept(LogLevel::Warn).await;
    app.model::<Account>().insert(account("welcome refused")).await.unwrap();
    for attempt in 1..=2 {
        app.advance(MINUTE);
        app.run_due().await;
        let told = kept.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].message, "job `accounts.welcome` failed: REFUSED: not this one");
        assert_eq!((told[0].feature, told[0].operation.as_deref()), (LogFeature::Job, Some("welcome")));
        assert_eq!((told[0].level, &told[0].data.as_ref().unwrap()["attempt"]), (LogLevel::Error, &attempt.into()));
    }
    assert_eq!(app.jobs().dead().await.unwrap().len(), 1);
}

#[tokio::test]
async fn e5_errors_and_panics_of_workers_are_logged() {
    let (kept, mood) = (Kept::default(), Mood::default());
    let sink = kept.clone();
    let app = rehearsing(move || LogSettings::new().level(LogLevel::Debug).sink(sink.clone()), mood.clone()).await;
    let accounts = app.model::<Account>();
    let mut heard = accounts.on_log();
    kept.take();
    *mood.lock().unwrap() = "refused";
    accounts.start_worker("tick");
    for (next, told) in [
        ("panics", "worker `tick` failed: REFUSED: not this one"),
        ("well", "worker `tick` failed: INTERNAL: internal error: a handler panicked: a mistake of the author"),
        ("well", "worker `tick` ran"),
    ] {
        for expected in ["ticking", told] {
            let next = tokio::time::timeout(10 * SECOND, heard.next()).await.unwrap();
            let Some(Logged::Entry(entry)) = next else { panic!("nothing heard") };
            assert_eq!((&*entry.message, entry.feature), (expected, LogFeature::Worker));
            assert_eq!(entry.operation.as_deref(), Some("tick"));
            let level = if expected.contains("failed") { LogLevel::Error } else { LogLevel::Debug };
            assert_eq!(entry.level, level);
        }
        *mood.lock().unwrap() = next;
        app.advance(MINUTE);
    }
    // Whatever is told once too often would have been told by then.
    app.stop_workers().await;
    let told = kept.take();
    assert_eq!(told.iter().filter(|entry| entry.level == LogLevel::Error).count(), 2, "{told:?}");
}

/// A foreign store that takes nothing the first time.
struct Broken;

impl Adapter<Account> for Broken {
    async fn sync(&self, _: &Id<Account>, _: Option<&Doc<Account>>) -> Result<()> {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        if ASKED.fetch_add(1, Ordering::SeqCst) == 0 { Err(Error::new("ELSEWHERE_BROKEN")) } else { Ok(()) }
    }

    async fn pull(&self) -> Result<Vec<(Id<Account>, Account)>> {
        Ok(vec![(Id::generate(), account("pulled"))])
    }
}

#[tokio::test]
async fn what_nobody_else_learns_of_is_logged_once() {
    let kept = Kept::default();
    let settings = LogSettings::new().level(LogLevel::Debug).feature(LogFeature::Hook, false).sink(kept.clone());
    let app = App::new().model::<Account>().adapter::<Account>(Broken).state(Mood::default()).log(settings);
    let app = app.in_memory().open().await.unwrap();
    let accounts = app.model::<Account>();
    kept.take();
    // An adapter.
    let ada = accounts.insert(account("ada")).await.unwrap();
    app.synced().await;
    let told: Vec<LogEntry> = kept.take().into_iter().filter(|entry| entry.feature == LogFeature::Adapter).collect();
    let id = ada.id();
    assert_eq!(told[0].message, format!("sync of `{id}` failed, and is tried again: ELSEWHERE_BROKEN"));
    assert_eq!((told[0].level, told[1].level, told.len()), (LogLevel::Error, LogLevel::Debug, 2));
    assert_eq!(told[1].message, format!("sync of `{id}` ran"));
    accounts.pull().await.unwrap();
    let pulled = "debug adapter pulled: 1 inserted, 0 replaced, 0 unchanged";
    assert!(kept.told().iter().any(|text| text == pulled));

    // What was left for after the commit, with the method that left it.
    accounts.open(Open { name: "eve".into(), pin: SECRET.into() }).await.unwrap();
    let told: Vec<LogEntry> = kept.take().into_iter().filter(|entry| entry.level == LogLevel::Error).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0].message,
        "what was to be done after a commit failed: INTERNAL: internal error: a handler panicked: left for later"
    );
    let about = (told[0].feature, told[0].model.as_deref(), told[0].operation.as_deref());
    assert_eq!(about, (LogFeature::Transaction, Some("accounts"), Some("open")));
    app.transaction(|tx| async move { tx.after_commit(|| async { panic!("of no model") }) }).await.unwrap();
    let told = kept.take();
    assert_eq!((told.len(), &told[0].model), (1, &None), "{told:?}");

    // Functions that listen: to documents, and to events.
    let (done, mut is_done) = tokio::sync::mpsc::unbounded_channel();
    let (panics, done_too) = (done.clone(), done.clone());
    let listening = [
        accounts.on_delete().each(move |_| {
            panics.send(()).unwrap();
            async { panic!("a mistake of the listener") }
        }),
        accounts.on("moved").unwrap().each(move |_| {
            done_too.send(()).unwrap();
            if true {
                panic!("before there is a future");
            }
            std::future::ready(())
        }),
    ];
    accounts.delete(&ada).await.unwrap();
    accounts.emit("moved", &1).await.unwrap();
    is_done.recv().await.unwrap();
    is_done.recv().await.unwrap();
    app.synced().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut errors = kept.errors();
    errors.sort();
    assert_eq!(
        errors,
        [
            "emitter a listener failed: INTERNAL: internal error: a handler panicked: a mistake of the listener",
            "emitter a listener failed: INTERNAL: internal error: a handler panicked: before there is a future",
        ]
    );
    listening.iter().for_each(modeller::Listening::off);
}

#[tokio::test]
async fn what_is_undone_or_run_again_is_told_at_once_and_what_was_written_only_then() {
    let kept = Kept::default();
    let sink = kept.clone();
    let settings =
        move || LogSettings::new().level(LogLevel::Debug).feature(LogFeature::Transaction, false).sink(sink.clone());
    let app = rehearsing(settings, Mood::default()).await;
    let accounts = app.model::<Account>();
    kept.take();
    // The words of both runs are told, with which run it is; the document is inserted once.
    accounts.open(Open { name: "ada".into(), pin: SECRET.into() }).await.unwrap();
    let told = kept.take();
    let of = |text: &str| -> Vec<u32> {
        let of = told.iter().filter(|entry| entry.message.starts_with(text));
        of.map(|entry| entry.call.as_ref().unwrap().attempt()).collect()
    };
    assert_eq!((of("opened"), of("checking"), of("method `open` ran")), (vec![1, 2], vec![1, 2], vec![1, 2]));
    assert_eq!((of("inserted"), of("hook `greet` ran")), (vec![2], vec![2]));
    let call = told[0].call.as_ref().unwrap().id();
    assert!(told.iter().all(|entry| entry.call.as_ref().unwrap().id() == call));
    // Nothing was inserted, and what was said is not lost.
    let undone = accounts.open(Open { name: "undone".into(), pin: SECRET.into() }).await.unwrap_err();
    assert_eq!(undone.code().as_str(), "UNDONE");
    let run = [
        "info hook checking undone",
        "debug hook hook `check` ran before insert",
        "debug hook hook `welcome` scheduled after insert",
        "warn method opened",
        "debug method method `open` answered UNDONE",
    ];
    assert_eq!(kept.told(), [run, run].concat());
}

thread_local! {
    /// What `tracing` was told on this thread, which is that of one test.
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Hears what `tracing` is told, on all threads: who is asked what it wants to hear may be asked on any.
struct Ears;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Said, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("modeller")
    }
    fn new_span(&self, _: &Attributes<'_>) -> SpanId {
        SpanId::from_u64(1)
    }
    fn record(&self, _: &SpanId, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &SpanId, _: &SpanId) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        HEARD.with_borrow_mut(|heard| heard.push(line.0));
    }
    fn enter(&self, _: &SpanId) {}
    fn exit(&self, _: &SpanId) {}
}

impl Ears {
    /// Listens from here on.
    fn listen() -> Self {
        static SET: Once = Once::new();
        SET.call_once(|| {
            tracing::subscriber::set_global_default(Self).unwrap();
            // What others said first at that very moment was asked about before there was anybody.
            std::thread::sleep(Duration::from_millis(50));
            tracing::callsite::rebuild_interest_cache();
        });
        Self
    }

    fn take(&self) -> Vec<String> {
        HEARD.take()
    }
}

#[tokio::test]
async fn m15_tracing_is_told_of_everything_in_fields() {
    let ears = Ears::listen();
    let app = app(LogSettings::new).await;
    ears.take();
    let accounts = app.model::<Account>();
    accounts.insert(account("before refused")).await.unwrap_err();
    let lines = ears.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let failed = [
        "ERROR ",
        "message=hook `check` failed before insert: REFUSED: not this one",
        " feature=\"hook\"",
        " model=\"accounts\"",
        " operation=\"check\"",
        " attempt=1",
        " data={\"timing\":\"before\",\"operation\":\"insert\",\"code\":\"REFUSED\"}",
        concat!(" call_site=", file!(), ":"),
        " call=",
    ];
    for part in failed {
        assert!(lines[1].contains(part), "{part} in {}", lines[1]);
    }
    assert!(!lines[1].contains("initial"), "{}", lines[1]);
    // What the switches hold back is not told here either.
    accounts.set_log_level(LogLevel::Silent);
    accounts.insert(account("before refused")).await.unwrap_err();
    assert!(ears.take().is_empty());
}

/// All ways of saying something that has something private in it.
#[tokio::test]
async fn no_entry_has_a_private_or_a_protected_value() {
    let ears = Ears::listen();
    let (kept, mood) = (Kept::default(), Mood::default());
    let sink = kept.clone();
    let people = json!({"properties": {"name": {"type": "string"}, "pin": {"type": "string", "private": true}}});
    let build = {
        let mood = mood.clone();
        move || {
            let log = LogSettings::new().level(LogLevel::Debug).sink(sink.clone());
            let people = SchemaModel::new("people", people.clone()).hook(
                "tell",
                [HookEvent::after(Operation::Insert)],
                |mut hook| {
                    Box::pin(async move {
                        let doc = hook.doc()?;
                        hook.log().with(&doc).info("a document given as JSON");
                        hook.log().info(format_args!("{doc:?}"));
                        hook.log().with(json!({"doc": doc})).info("in a value");
                        Ok(())
                    })
                },
            );
            App::new().model::<Account>().schema_model(people).state(mood.clone()).log(log)
        }
    };
    let app = TestApp::open(build).await.unwrap();
    let (accounts, people) = (app.model::<Account>(), app.model_by_id("people").unwrap());
    for way in
        ["", "before refused", "before unread", "greet refused", "greet unread", "welcome refused", "welcome unread"]
    {
        let _ = accounts.insert(account(way)).await;
    }
    // A message of one's own for a violation has the value in it.
    let long = SECRET.repeat(3);
    accounts
        .hook("nested", [HookEvent::before(Operation::Update)], {
            let long = long.clone();
            move |hook| {
                let long = long.clone();
                Box::pin(async move { hook.model::<Account>()?.insert(account(&long)).await.map(drop) })
            }
        })
        .unwrap();
    let error = accounts.update(Account::NAME.eq(""), Account::PIN.set(SECRET)).await.unwrap_err();
    assert!(error.violations()[0].message.contains(SECRET), "{error}");
    people.insert(json!({"name": "ada", "pin": SECRET}).try_into().unwrap()).await.unwrap();
    accounts.open(Open { name: "ada".into(), pin: SECRET.into() }).await.unwrap();
    accounts.subscription(Account::PIN.eq(SECRET)).wave().await.unwrap();
    accounts.emit("moved", &SECRET).await.unwrap();
    for mood_of_it in ["refused", "unread"] {
        *mood.lock().unwrap() = mood_of_it;
        app.start_workers();
        app.advance(MINUTE);
        tokio::time::sleep(Duration::from_millis(20)).await;
        app.stop_workers().await;
    }
    app.advance(MINUTE);
    app.run_due().await;
    accounts.delete_many(Filter::all()).await.unwrap();

    let entries = kept.take();
    let features: std::collections::BTreeSet<LogFeature> = entries.iter().map(|entry| entry.feature).collect();
    assert!(features.len() >= 7 && entries.len() > 40, "{features:?}");
    // What may be known is there.
    let told = |text: &str| entries.iter().find(|entry| entry.message == text).unwrap_or_else(|| panic!("no {text}"));
    assert_eq!(told("greeting").data.as_ref().unwrap()["name"], "");
    assert_eq!(told("opened").data.as_ref().unwrap()["args"], json!({"name": "ada"}));
    assert_eq!(told("a document given as JSON").data.as_ref().unwrap()["name"], "ada");
    assert_eq!(told("in a value").data.as_ref().unwrap()["doc"]["name"], "ada");
    let nested =
        "hook `nested` failed before update: VALIDATION_ERROR: the value does not fit its schema: /name errorMessage";
    assert!(told(nested).level == LogLevel::Error);
    assert!(entries.iter().any(|entry| entry.message.contains("JSON that does not fit")));
    let lines = ears.take();
    assert!(lines.len() >= entries.len());
    let all = entries.iter().map(|entry| format!("{entry} {}", serde_json::to_value(entry).unwrap())).chain(lines);
    for line in all {
        // The document whose very name is too long is named by what it was asked to be.
        let line = line.replace(&format!("checking {long}"), "");
        assert!(!line.contains(SECRET), "{line}");
    }
}

#[tokio::test]
async fn a_sink_that_panics_breaks_nothing() {
    let kept = Kept::default();
    let settings =
        LogSettings::new().level(LogLevel::Debug).on_entry(|_| panic!("a mistake of the sink")).sink(kept.clone());
    let app = App::new().model::<Reading>().log(settings).in_memory().open().await.unwrap();
    kept.take();
    let mut heard = app.model::<Reading>().on_log();
    let docs = app.model::<Reading>().insert_many(readings(0, 3)).await.unwrap();
    assert_eq!((docs.len(), app.model::<Reading>().count(Filter::all()).await.unwrap()), (3, 3));
    // The others are given what they are to be given.
    assert_eq!(kept.take().len(), 3);
    assert!(matches!(heard.next().await, Some(Logged::Entry(_))));
}

#[method(Reading)]
async fn lend(log: Log) -> Result<()> {
    LENT.set(log).map_err(|_| Error::new("LENT_TWICE"))
}

static LENT: OnceLock<Log> = OnceLock::new();

#[tokio::test]
async fn what_a_sink_says_is_not_told_to_sinks() {
    let ears = Ears::listen();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let settings = LogSettings::new().on_entry(move |entry| {
        counted.fetch_add(1, Ordering::SeqCst);
        LENT.get().unwrap().warn(format_args!("a sink was given: {}", entry.message));
    });
    let app = App::new().model::<Reading>().log(settings).in_memory().open().await.unwrap();
    app.model::<Reading>().lend().await.unwrap();
    LENT.get().unwrap().info("hello");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let lines = ears.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("message=a sink was given: hello"), "{lines:?}");
}

#[value]
pub struct Much {
    pub of: String,
}

#[method(Reading)]
async fn say(args: Much, log: Log) -> Result<bool> {
    log.info(&args.of);
    log.with(&args).info("short");
    log.with(Unwritable).info(&args.of);
    log.debug(Costly);
    log.with(Unwritable).debug(Costly);
    Ok(log.is_enabled(LogLevel::Debug))
}

/// A message that must not be written.
struct Costly;

impl std::fmt::Display for Costly {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("written for nobody")
    }
}

struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(SECRET))
    }
}

#[tokio::test]
async fn entries_are_bounded_and_what_is_held_back_is_not_written() {
    const MOST: usize = 16 * 1_024;
    let (kept, much) = (Kept::default(), Much { of: "é".repeat(100_000) });
    let app = App::new().model::<Reading>().log(LogSettings::new().sink(kept.clone())).in_memory();
    let app = app.open().await.unwrap();
    assert!(!app.model::<Reading>().say(much).await.unwrap());
    let told = kept.take();
    assert_eq!(told.len(), 3);
    assert!(told[0].message.len() <= MOST && told[0].message.len() > MOST - 8 && told[0].message.ends_with("é…"));
    assert_eq!((&*told[1].message, &told[1].data), ("short (with more data than an entry may have)", &None));
    assert!(told[2].message.len() <= MOST && told[2].message.ends_with("é (with data that cannot be written)"));
    assert_eq!(told[2].data, None::<Value>);
    app.model::<Reading>().say(Much { of: "x".repeat(1_000) }).await.unwrap();
    let told = kept.take();
    assert_eq!((told[0].message.len(), told[1].data.as_ref().unwrap()["of"].as_str().unwrap().len()), (1_000, 1_000));
}
