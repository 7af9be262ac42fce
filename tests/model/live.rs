//! Live queries in process.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use modeller::prelude::*;
use modeller::test::TestApp;
use modeller_tests::random::Random;

#[model(id = "tasks")]
#[derive(PartialEq)]
pub struct Task {
    #[field(index)]
    pub owner: u64,
    pub rank: i64,
    #[field(default)]
    pub text: String,
}

async fn app() -> App {
    App::new().model::<Task>().in_memory().open().await.unwrap()
}

fn task(random: &mut Random) -> Task {
    Task { owner: random.below(4) as u64, rank: random.below(8) as i64, text: String::new() }
}

/// Takes all that is there, and says how many commits that were.
fn drain(live: &mut LiveQuery<Task>) -> usize {
    let mut commits = 0;
    while let Some(next) = live.next().now_or_never() {
        next.unwrap().unwrap();
        commits += 1;
    }
    commits
}

#[tokio::test]
async fn the_items_are_the_list_after_every_commit() {
    let app = app().await;
    let tasks = app.model::<Task>();
    let mut random = Random::new(7);
    let queries = [
        Query::all(),
        Query::of(Task::OWNER.eq(1)).sort(Task::RANK.desc()).limit(5),
        Query::of(Task::RANK.gte(3) & Task::RANK.lt(6)).sort(Task::RANK.asc()).skip(3).limit(4),
        Query::of(Task::OWNER.is_in([0, 2]) | Task::RANK.eq(0)).sort(Task::OWNER.asc()).skip(10).limit(3),
    ];
    let mut lists = Vec::new();
    for query in &queries {
        lists.push(tasks.live(query.clone()).await.unwrap());
    }
    let mut known: Vec<Id<Task>> = Vec::new();
    for step in 0..600 {
        match random.below(6) {
            0..=2 => known.push(tasks.insert(task(&mut random)).await.unwrap().id()),
            3 if !known.is_empty() => {
                let id = known.swap_remove(random.below(known.len()));
                tasks.delete(id).await.unwrap();
            }
            _ if !known.is_empty() => {
                let id = known[random.below(known.len())].clone();
                tasks.update(id, Task::RANK.set(random.below(8) as i64)).await.unwrap();
            }
            _ => {}
        }
        for (query, live) in queries.iter().zip(&mut lists) {
            assert!(drain(live) <= 1);
            let page = tasks.list(query.clone()).await.unwrap();
            let seen: Vec<_> = live.items().iter().map(|doc| (doc.id(), doc.rev(), doc.rank)).collect();
            let fresh: Vec<_> = page.items.iter().map(|doc| (doc.id(), doc.rev(), doc.rank)).collect();
            assert_eq!(seen, fresh, "step {step}");
        }
    }
}

#[tokio::test]
async fn who_reads_slowly_is_told_the_difference() {
    let app = app().await;
    let tasks = app.model::<Task>();
    let one = tasks.insert(Task { owner: 1, rank: 0, text: "x".repeat(10_000) }).await.unwrap();
    let mut live = tasks.live(Query::all()).await.unwrap();
    for _ in 0..1_000 {
        tasks.update(one.id(), Task::RANK.inc(1)).await.unwrap();
    }
    let two = tasks.insert(Task { owner: 2, rank: 0, text: String::new() }).await.unwrap();
    let commits = drain(&mut live);
    assert!(commits > 10 && commits < 100, "{commits}: as many as 512 KiB hold, and the difference");
    assert_eq!((live.items()[0].rank, live.items()[1].id()), (1_000, two.id()));
    assert_eq!(live.seq(), tasks.list(Query::all()).await.unwrap().seq);
}

#[tokio::test]
async fn a_list_that_goes_on_from_a_page_is_not_followed() {
    let app = app().await;
    let refused = app.model::<Task>().live(Query::all().cursor("x")).await;
    assert_eq!(refused.unwrap_err().code(), &ErrorCode::InvalidQuery);
}

/// Half of them ask for one owner, half for a range.
async fn commit_time(queries: u64) -> Duration {
    let app = app().await;
    let tasks = app.model::<Task>();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(tasks.insert(Task { owner: number, rank: 0, text: String::new() }).await.unwrap().id());
    }
    let mut lists = Vec::new();
    for number in 0..queries {
        let filter = if number % 2 == 0 {
            Task::OWNER.eq(number / 2)
        } else {
            Task::RANK.gte(10 * number as i64) & Task::RANK.lt(10 * number as i64 + 10)
        };
        lists.push(tasks.live(Query::of(filter).limit(10)).await.unwrap());
    }
    let mut times = Vec::new();
    for round in 0..1_000_usize {
        let began = Instant::now();
        tasks.update(ids[round % 20].clone(), Task::RANK.set(10 * (round % 40) as i64)).await.unwrap();
        times.push(began.elapsed());
    }
    assert!(drain(&mut lists[0]) > 10);
    times.sort_unstable();
    times[times.len() / 2]
}

/// `cargo test --release -p modeller-tests --test model -- --ignored a_hundred_thousand --nocapture`
#[expect(clippy::print_stdout, reason = "the figures")]
#[tokio::test]
#[ignore = "opens 100,000 live queries"]
async fn a_hundred_thousand_live_queries_cost_a_commit_what_it_matches() {
    let (few, many) = (commit_time(100).await, commit_time(100_000).await);
    println!("a commit with 100 live queries: {few:?}; with 100,000: {many:?}");
    assert!(many < few * 2, "{few:?} {many:?}");
}

#[model(id = "orders", protected)]
pub struct Order {
    pub cents: i64,
}

#[tokio::test]
async fn who_may_not_list_may_not_follow() {
    let app = TestApp::open(|| App::new().model::<Order>().model::<Task>()).await.unwrap();
    let anyone = Caller::anyone();
    let orders = app.model_as::<Order>(&anyone).unwrap();
    assert_eq!(orders.live(Query::all()).await.unwrap_err().code(), &ErrorCode::Unauthenticated);
    let known = app.model_as::<Order>(&Caller::verified(Default::default())).unwrap();
    known.live(Query::all()).await.unwrap();
    // A model that is for nobody outside.
    let tasks = app.model_as::<Task>(&anyone).unwrap();
    assert_eq!(tasks.live(Query::all()).await.unwrap_err().code(), &ErrorCode::Forbidden);
}
