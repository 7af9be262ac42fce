//! The same cases by the framework.

use std::time::Duration;

use modeller::{App, Error, Filter, Id, Model, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use workload::document::{self, INVALID};
use workload::model::{Role, User};

use crate::picks::Picks;
use crate::{Clock, Measured, chunks, each, finds, picked, rejections, resident, scans};

/// How many documents a batch has.
const BATCH: usize = 1_000;
const TASKS: usize = 64;

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn open() -> Result<Model<User>> {
    Ok(App::new().model::<User>().in_memory().open().await?.model())
}

/// The schema that input has to fit.
pub(crate) fn schema() -> Result<Value> {
    runtime()?.block_on(async { Ok(open().await?.schema()) })
}

/// All cases.
pub(crate) fn run(documents: u32) -> Result<Measured> {
    runtime()?.block_on(measure(documents))
}

async fn measure(documents: u32) -> Result<Measured> {
    let mut figures = std::collections::BTreeMap::new();
    let mut figure = |name: &str, figure: f64| {
        figures.insert(name.to_owned(), figure);
    };

    let users = open().await?;
    let before = resident()?;
    let mut took = Duration::ZERO;
    for chunk in chunks(documents) {
        let texts: Vec<String> = chunk.map(document::text).collect();
        let begun = Clock::start();
        for text in &texts {
            users.insert_json(text).await?;
        }
        took += begun.elapsed();
    }
    figure("insert text", each(took, documents));
    figure("memory", (resident()? - before) / f64::from(documents));

    let ids: Vec<Id<User>> = users.find(Filter::all()).await?.iter().map(modeller::Doc::id).collect();
    let mut picks = Picks::new(documents);
    let (mut took, mut sum) = (Duration::ZERO, 0_u64);
    for chunk in chunks(picked(documents)) {
        let picked: Vec<Id<User>> =
            picks.by_ref().take(chunk.len()).filter_map(|at| ids.get(at as usize).cloned()).collect();
        let begun = Clock::start();
        for id in &picked {
            let found = users.get(id).await?;
            sum += found.map_or(0, |user| u64::from(user.age));
        }
        took += begun.elapsed();
    }
    figure("get by id", each(took, picked(documents)));
    let by_id = sum;

    let (mut took, mut sum) = (Duration::ZERO, 0_u64);
    for chunk in chunks(picked(documents)) {
        let picked: Vec<String> = picks.by_ref().take(chunk.len()).map(document::email).collect();
        let begun = Clock::start();
        for email in &picked {
            let found = users.get(User::EMAIL.eq(email.as_str())).await?;
            sum += found.map_or(0, |user| u64::from(user.age));
        }
        took += begun.elapsed();
    }
    figure("get by email", each(took, picked(documents)));
    let by_email = sum;

    let times = finds(documents);
    let begun = Clock::start();
    let mut first = Vec::new();
    for _ in 0..times {
        first = users.find(User::ROLE.eq(Role::Admin)).limit(100).await?;
    }
    figure("find 100", each(begun.elapsed(), times));

    let begun = Clock::start();
    let mut matching = 0;
    for _ in 0..scans(documents) {
        matching = users.find(User::AGE.gt(30) & User::TAGS.contains("x")).await?.len();
    }
    figure("scan", each(begun.elapsed(), scans(documents)));

    let times = rejections(documents);
    let mut out = Vec::new();
    let begun = Clock::start();
    for _ in 0..times {
        match users.insert_json(INVALID).await {
            Err(error) => {
                out.clear();
                out.extend_from_slice(error.violations_json().as_bytes());
            }
            Ok(_) => return Err(Error::new("WRONG_ANSWER").message("the invalid document was taken")),
        }
    }
    figure("reject", each(begun.elapsed(), times));
    let first: Vec<&str> = first.iter().map(|user| user.email.as_str()).collect();
    let answers = json!({"byId": by_id, "byEmail": by_email, "first": first, "matching": matching});
    drop((ids, first, users));

    let users = open().await?;
    let mut took = Duration::ZERO;
    for chunk in chunks(documents) {
        let values: Vec<User> = chunk.map(document::user).collect();
        let begun = Clock::start();
        for value in values {
            users.insert(value).await?;
        }
        took += begun.elapsed();
    }
    figure("insert struct", each(took, documents));
    drop(users);

    let users = open().await?;
    let mut took = Duration::ZERO;
    for chunk in chunks(documents) {
        let texts: Vec<String> = chunk.map(document::text).collect();
        let mut shares: Vec<Vec<String>> = (0..TASKS).map(|_| Vec::new()).collect();
        for (at, text) in texts.into_iter().enumerate() {
            shares.get_mut(at % TASKS).map(|share| share.push(text)).unwrap_or_default();
        }
        let begun = Clock::start();
        let mut tasks = JoinSet::new();
        for share in shares {
            let users = users.clone();
            tasks.spawn(async move {
                for text in &share {
                    users.insert_json(text).await?;
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        took += begun.elapsed();
    }
    figure("insert text, 64 tasks", each(took, documents));
    drop(users);

    let users = open().await?;
    let mut took = Duration::ZERO;
    for chunk in chunks(documents) {
        let texts: Vec<String> = chunk.map(document::text).collect();
        let begun = Clock::start();
        for batch in texts.chunks(BATCH) {
            let values = batch.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<User>, _>>()?;
            users.insert_many(values).await?;
        }
        took += begun.elapsed();
    }
    figure("insert_many", each(took, documents));
    Ok(Measured { figures, answers, violations: serde_json::from_slice(&out)? })
}
