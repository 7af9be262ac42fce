//! Jobs: scheduled by a commit, done after it, whatever happens in between.

#![expect(clippy::print_stdout, reason = "counts that show what the tests have done")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use modeller::storage::{Faults, Memory};
use modeller::test::TestApp;
use modeller::{HookEvent, Schedule, prelude::*};
use modeller_tests::slow::Slow;

const SECOND: Duration = Duration::from_secs(1);

#[model(id = "members", public)]
pub struct Member {
    #[field(unique)]
    pub name: String,
    pub password: Private<String>,
}

/// What jobs have done to the data.
#[model(id = "letters")]
pub struct Letter {
    #[field(index)]
    pub to: String,
    pub text: String,
}

#[value]
pub struct Write {
    #[field(min_length = 1)]
    pub to: String,
}

#[value]
pub struct Join {
    pub name: String,
    pub fail: bool,
}

#[hook(Member, after(insert), schedule = "5s")]
async fn welcome(member: Doc<Member>, caller: Caller, letters: Model<Letter>) -> Result<()> {
    let who = caller.subject().unwrap_or("nobody").to_owned();
    assert_eq!(member.password.get().map(String::as_str), Some("secret"), "it is told all that was stored");
    letters.insert(Letter { to: member.name.clone(), text: format!("welcome, says {who}") }).await.map(drop)
}

#[hook(Member, after(update), schedule = "1s", attempts = 2)]
async fn tell_change(member: Doc<Member>, previous: Previous<Member>, letters: Model<Letter>) -> Result<()> {
    letters.insert(Letter { to: member.name.clone(), text: format!("you were {}", previous.name) }).await.map(drop)
}

static TRIES: AtomicU32 = AtomicU32::new(0);

/// Writes a letter, and fails after that for those who are `unlucky`.
#[method(Member, internal)]
async fn write(args: Write, letters: System<Model<Letter>>) -> Result<()> {
    letters.insert(Letter { to: args.to.clone(), text: "written".into() }).await?;
    if args.to == "unlucky" {
        TRIES.fetch_add(1, Ordering::SeqCst);
        return Err(Error::new("NO_LUCK").message("not today"));
    }
    Ok(())
}

/// What anyone may call, and has something done later that he may not call.
#[method(Member)]
async fn join(args: Join, members: Model<Member>) -> Result<()> {
    members.insert(Member { name: args.name.clone(), password: "secret".to_owned().into() }).await?;
    members.schedule("write", &Write { to: args.name }).await?;
    if args.fail { Err(Error::new("NOT_TODAY")) } else { Ok(()) }
}

fn build() -> modeller::AppBuilder {
    App::new().model::<Member>().model::<Letter>()
}

async fn app() -> TestApp {
    TestApp::open(build).await.unwrap()
}

fn member(name: &str) -> Member {
    Member { name: name.into(), password: "secret".to_owned().into() }
}

async fn letters(app: &App) -> Vec<(String, String)> {
    let all = app.model::<Letter>().find(Filter::all()).await.unwrap();
    all.iter().map(|letter| (letter.to.clone(), letter.text.clone())).collect()
}

fn pair(to: &str, text: &str) -> (String, String) {
    (to.to_owned(), text.to_owned())
}

#[tokio::test]
async fn m4_a_scheduled_hook_runs_later_and_is_told_what_was_stored() {
    let mut app = app().await;
    let ada = app.model::<Member>().insert(member("ada")).await.unwrap();
    app.run_due().await;
    assert!(letters(&app).await.is_empty());
    // It survives the end of the process, and the document.
    app.model::<Member>().delete(&ada).await.unwrap();
    app.crash().await.unwrap();
    app.advance(5 * SECOND);
    app.run_due().await;
    assert_eq!(letters(&app).await, [pair("ada", "welcome, says nobody")]);
    assert!(app.jobs().waiting().await.unwrap().is_empty() && app.jobs().dead().await.unwrap().is_empty());

    let caller = Caller::verified([("sub".to_owned(), "eve".into())].into_iter().collect());
    let eve = app.model_as::<Member>(&caller).unwrap().insert(member("eve")).await.unwrap();
    app.model::<Member>().update(&eve, Member::NAME.set("eva")).await.unwrap();
    app.advance(5 * SECOND);
    app.run_due().await;
    assert_eq!(letters(&app).await[1..], [pair("eva", "you were eve"), pair("eve", "welcome, says eve")]);
}

#[tokio::test]
async fn what_fails_schedules_nothing() {
    let app = app().await;
    let members = app.model_as::<Member>(&Caller::anyone()).unwrap();
    let refused = members.join(Join { name: "ada".into(), fail: true }).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "NOT_TODAY");
    assert!(app.jobs().waiting().await.unwrap().is_empty());
    members.join(Join { name: "ada".into(), fail: false }).await.unwrap();
    assert_eq!(app.jobs().waiting().await.unwrap().len(), 2);
    app.run_due().await;
    assert_eq!(letters(&app).await, [pair("ada", "written")]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_when_it_is_scheduled() {
    let app = app().await;
    let members = app.model::<Member>();
    let codes = [
        members.schedule("nothing", &()).await.unwrap_err(),
        members.schedule("write", &Write { to: String::new() }).await.unwrap_err(),
        members.schedule("write", &()).await.unwrap_err(),
        members.schedule("write", &Write { to: "x".into() }).repeat(Schedule::cron("never")).await.unwrap_err(),
        members.schedule("write", &Write { to: "x".into() }).key("a/b").await.unwrap_err(),
        members.schedule("write", &Write { to: "x".into() }).after(Duration::MAX).await.unwrap_err(),
    ]
    .map(|error| error.code().to_string());
    assert_eq!(codes[..4], ["METHOD_NOT_FOUND", "VALIDATION_ERROR", "VALIDATION_ERROR", "INVALID_DECLARATION"]);
    assert_eq!(codes[5], "INVALID_REQUEST");
    assert!(app.jobs().waiting().await.unwrap().is_empty());
    let later = members.hook_later("x", [HookEvent::before(Operation::Insert)], SECOND, |_| Box::pin(async { Ok(()) }));
    assert!(later.unwrap_err().text().contains("can run later"));
}

#[tokio::test]
async fn what_fails_is_tried_later_and_later_and_then_set_aside() {
    let app = app().await;
    let members = app.model::<Member>();
    TRIES.store(0, Ordering::SeqCst);
    let id = members.schedule("write", &Write { to: "unlucky".into() }).attempts(3).await.unwrap();
    app.run_due().await;
    let waiting = app.jobs().get(&id).await.unwrap().unwrap();
    assert_eq!((waiting.attempts(), waiting.error(), waiting.is_dead()), (1, Some("NO_LUCK: not today"), false));
    assert!(waiting.due().unwrap() > app.now() && waiting.due().unwrap() <= app.now() + SECOND);
    app.advance(SECOND);
    app.run_due().await;
    app.advance(2 * SECOND);
    app.run_due().await;
    // Each try ran twice: the first run of a transaction is thrown away in tests. None left anything behind.
    assert_eq!(TRIES.load(Ordering::SeqCst), 6);
    assert!(letters(&app).await.is_empty());
    let dead = app.jobs().dead().await.unwrap();
    assert_eq!((dead.len(), dead[0].id(), dead[0].attempts(), dead[0].due()), (1, id.clone(), 3, None));
    assert_eq!((dead[0].model(), dead[0].operation(), &dead[0].args()["to"]), ("members", "write", &"unlucky".into()));
    assert!(!format!("{:?}", dead[0]).contains("unlucky"), "arguments may be private");
    app.advance(3600 * SECOND);
    app.run_due().await;
    assert_eq!(TRIES.load(Ordering::SeqCst), 6);

    app.jobs().requeue(&id).await.unwrap();
    app.run_due().await;
    assert_eq!(TRIES.load(Ordering::SeqCst), 8);
    app.jobs().cancel(&id).await.unwrap();
    assert_eq!(app.jobs().cancel(&id).await.unwrap_err().code(), &ErrorCode::NotFound);
    assert_eq!(app.jobs().requeue(&id).await.unwrap_err().code(), &ErrorCode::NotFound);
}

#[tokio::test]
async fn a_key_is_one_job_and_repeats() {
    let mut app = app().await;
    for to in ["a", "b"] {
        let members = app.model::<Member>();
        let job = members.schedule("write", &Write { to: to.into() }).key("hourly");
        assert_eq!(job.repeat(Schedule::every(3600 * SECOND).immediate(false)).await.unwrap().to_string(), "hourly");
    }
    app.run_due().await;
    assert!(letters(&app).await.is_empty());
    for hours in 1..4 {
        app.advance(3600 * SECOND);
        app.run_due().await;
        assert_eq!(letters(&app).await, vec![pair("b", "written"); hours]);
        app.crash().await.unwrap();
    }
    app.jobs().cancel(&app.jobs().waiting().await.unwrap()[0].id()).await.unwrap();
    app.advance(3600 * SECOND);
    app.run_due().await;
    assert_eq!(letters(&app).await.len(), 3);
}

#[tokio::test]
async fn a_job_whose_handler_is_gone_is_set_aside() {
    let mut app = app().await;
    let members = app.model::<Member>();
    let events = [HookEvent::after(Operation::Insert)];
    members.hook_later("by_closure", events, SECOND, |_| Box::pin(async { Ok(()) })).unwrap();
    members.insert(member("ada")).await.unwrap();
    app.crash().await.unwrap();
    app.advance(5 * SECOND);
    app.run_due().await;
    let dead = app.jobs().dead().await.unwrap();
    assert_eq!((dead.len(), dead[0].operation(), dead[0].attempts()), (1, "by_closure", 1));
    assert!(dead[0].error().unwrap().starts_with("HOOK_NOT_FOUND"));
    // A panic is a failure as any other.
    let events = [HookEvent::after(Operation::Insert)];
    app.model::<Member>().hook_later("panics", events, SECOND, |_| Box::pin(async { panic!("a mistake") })).unwrap();
    app.model::<Member>().insert(member("eve")).await.unwrap();
    app.advance(SECOND);
    app.run_due().await;
    let waiting = app.jobs().waiting().await.unwrap();
    let panicked = waiting.iter().find(|job| job.operation() == "panics").unwrap();
    assert_eq!((panicked.attempts(), panicked.error()), (1, Some("INTERNAL: internal error")));
}

/// The effects of jobs on the data by whom they are about.
async fn effects(app: &App) -> BTreeMap<String, usize> {
    let mut effects = BTreeMap::new();
    for (to, _) in letters(app).await {
        *effects.entry(to).or_default() += 1;
    }
    effects
}

/// The process ends at each write of the store in turn: what was answered as scheduled is done, once.
#[tokio::test]
async fn no_job_is_lost_or_done_twice_wherever_the_process_ends() {
    let mut ends = 0;
    for nth in 1..200 {
        let memory = Memory::with_faults(Faults::seeded(nth).crash_during(nth));
        let mut answered = Vec::new();
        let begun = build().storage(memory.clone()).open().await;
        if let Ok(app) = begun {
            app.start_jobs();
            for n in 0..8 {
                let members = app.model::<Member>();
                let to = format!("m{n}");
                if members.schedule("write", &Write { to: to.clone() }).await.is_ok() {
                    answered.push(to);
                }
            }
            tokio::task::yield_now().await;
            app.stop_workers().await;
        }
        let finished = memory.faults_met() == 0;
        ends += u32::from(!finished);
        // The next process takes up what was claimed when the claim has run out.
        let app = TestApp::on(memory.reopen_with(Faults::seeded(0)), build).await.unwrap();
        app.run_due().await;
        app.advance(60 * SECOND);
        app.run_due().await;
        let effects = effects(&app).await;
        for to in &answered {
            assert_eq!(effects.get(to), Some(&1), "{to} of {answered:?} after an end at write {nth}: {effects:?}");
        }
        assert!(effects.values().all(|times| *times == 1), "an end at write {nth}: {effects:?}");
        assert!(app.jobs().waiting().await.unwrap().is_empty());
        if finished {
            break;
        }
    }
    println!("{ends} ends of the process");
    assert!(ends > 8, "too little happened: {ends}");
}

/// So many of them, over restarts: each time when another part of them is done, and others are under way.
async fn are_done_once_each(all: usize) {
    const RESTARTS: usize = 8;
    let mut app = app().await.without_rehearsal().await.unwrap();
    for chunk in 0..all.div_ceil(1_000) {
        app.transaction(|tx| async move {
            let members = tx.model::<Member>()?;
            for n in chunk * 1_000..all.min((chunk + 1) * 1_000) {
                members.schedule("write", &Write { to: format!("{n}") }).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    let mut begun = 0;
    for restart in 1..=RESTARTS {
        app.start_jobs();
        while app.model::<Letter>().count(Filter::all()).await.unwrap() < restart * all / (RESTARTS + 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.crash().await.unwrap();
        begun = app.jobs().waiting().await.unwrap().iter().filter(|job| job.attempts() > 0).count();
        app.advance(60 * SECOND);
    }
    // Those that were interrupted are due last, so that they are shown where not too many are left.
    assert!(all > 8_000 || begun > 0, "nothing was under way at a restart");
    app.run_due().await;
    let effects = effects(&app).await;
    println!("{} jobs over {RESTARTS} restarts, {begun} of the last were begun before", effects.len());
    assert_eq!(effects.len(), all);
    assert!(effects.values().all(|times| *times == 1));
    assert!(app.jobs().waiting().await.unwrap().is_empty() && app.jobs().dead().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_jobs_are_done_once_each_over_restarts() {
    are_done_once_each(4_000).await;
}

/// The same with 100,000, or as many as `MODELLER_JOBS` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn a_hundred_thousand_jobs_are_done_once_each_over_restarts() {
    are_done_once_each(std::env::var("MODELLER_JOBS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)).await;
}

/// A clock that goes on while it is looked at what is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_due_while_others_end_is_not_passed_over() {
    let app = app().await.without_rehearsal().await.unwrap();
    let members = app.model::<Member>();
    for round in 0..1_000 {
        members.schedule("write", &Write { to: format!("now {round}") }).await.unwrap();
        members.schedule("write", &Write { to: format!("later {round}") }).after(SECOND).await.unwrap();
        app.run_due().await;
        app.advance(SECOND);
        let done = tokio::time::timeout(20 * SECOND, app.run_due()).await;
        assert!(done.is_ok(), "round {round}: {:?} wait", app.jobs().waiting().await.unwrap());
    }
    assert_eq!(letters(&app).await.len(), 2_000);
}

/// Whatever is under way when the workers are stopped, also where that is the claim of a job alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_when_the_workers_are_stopped() {
    for millis in (0..60).step_by(4) {
        let storage = Slow::new(Memory::new(), Duration::from_millis(10), millis);
        let app = build().storage(storage).open().await.unwrap();
        app.model::<Member>().schedule("write", &Write { to: "ada".into() }).await.unwrap();
        app.start_jobs();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        app.stop_workers().await;
        let look = async || (letters(&app).await.len(), app.jobs().waiting().await.unwrap());
        let (written, waiting) = look().await;
        assert_eq!(
            written + waiting.iter().filter(|job| job.attempts() == 0).count(),
            1,
            "half done after {millis} ms"
        );
        tokio::time::sleep(Duration::from_millis(60)).await;
        let (later, _) = look().await;
        assert_eq!(later, written, "done after the stop at {millis} ms");
    }
}

/// The store fails while the jobs are done: they stay as they are, and nobody waits for them.
#[tokio::test]
async fn jobs_are_not_waited_for_where_the_store_has_failed() {
    let memory = Memory::with_faults(Faults::seeded(1).crash_after(3));
    let app = TestApp::on(memory.clone(), build).await.unwrap();
    app.model::<Member>().schedule("write", &Write { to: "ada".into() }).await.unwrap();
    tokio::time::timeout(20 * SECOND, app.run_due()).await.unwrap();
    assert!(letters(&app).await.is_empty());
    let app = TestApp::on(memory.reopen_with(Faults::seeded(0)), build).await.unwrap();
    assert_eq!(app.jobs().waiting().await.unwrap()[0].attempts(), 1);
    app.advance(60 * SECOND);
    app.run_due().await;
    assert_eq!(letters(&app).await, [pair("ada", "written")]);
}
