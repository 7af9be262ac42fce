//! Operations on many documents, and changes by a function: one transaction, all or nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use modeller::prelude::*;

#[model(id = "parts")]
pub struct Part {
    #[field(unique)]
    pub name: String,
    #[field(index, minimum = 0)]
    pub stock: i64,
    #[field(default)]
    pub tags: Vec<String>,
    pub note: Option<String>,
    pub seen: Option<u32>,
}

/// What the hooks saw; by name, because the tests run beside each other.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[hook(Part, after(insert, update, delete))]
async fn note(part: &Doc<Part>, operation: Operation) -> Result<()> {
    SEEN.lock().unwrap().push(format!("{} {}", operation.as_str(), part.name));
    Ok(())
}

/// Takes the other half of a pair along.
#[hook(Part, after(delete))]
async fn pairs(part: &Doc<Part>, parts: Model<Part>) -> Result<()> {
    if let Some(name) = part.name.strip_suffix("-left") {
        parts.delete_many(Part::NAME.eq(format!("{name}-right"))).await?;
    }
    Ok(())
}

#[model(id = "plain")]
pub struct Plain {
    #[field(unique, maximum = 100_000)]
    pub n: i64,
}

fn part(name: &str, stock: i64) -> Part {
    Part { name: name.into(), stock, tags: vec!["a".into(), "b".into()], note: Some("x".into()), seen: None }
}

async fn app() -> App {
    App::new().model::<Part>().model::<Plain>().in_memory().open().await.unwrap()
}

#[tokio::test]
async fn all_are_inserted_or_none() {
    let app = app().await;
    let parts = app.model::<Part>();
    let seq = app.seq();
    let made = parts.insert_many(vec![part("nut", 1), part("bolt", 2)]).await.unwrap();
    assert_eq!(made.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["nut", "bolt"]);
    assert_eq!(app.seq(), seq + 1, "one commit");
    assert!(parts.insert_many(Vec::new()).await.unwrap().is_empty());

    for (wrong, code) in [(part("nut", 1), "UNIQUE_VIOLATION"), (part("pin", -1), "VALIDATION_ERROR")] {
        let error = parts.insert_many(vec![part("new", 1), wrong, part("newer", 1)]).await.unwrap_err();
        assert_eq!(error.code().as_str(), code);
    }
    let twins = parts.insert_many(vec![part("twin", 1), part("twin", 1)]).await.unwrap_err();
    assert_eq!(twins.code(), &ErrorCode::UniqueViolation);
    assert_eq!((parts.count(Filter::all()).await.unwrap(), app.seq()), (2, seq + 1));
    let seen = SEEN.lock().unwrap();
    assert!(["insert nut", "insert bolt"].iter().all(|what| seen.iter().any(|seen| seen == what)), "{seen:?}");
}

#[tokio::test]
async fn many_have_a_bound() {
    let app = app().await;
    let rows = app.model::<Plain>();
    let error = rows.insert_many((0..10_001).map(|n| Plain { n }).collect()).await.unwrap_err();
    assert_eq!((error.code(), rows.count(Filter::all()).await.unwrap()), (&ErrorCode::TransactionTooLarge, 0));
    rows.insert_many((0..10_000).map(|n| Plain { n }).collect()).await.unwrap();
    rows.insert(Plain { n: 10_000 }).await.unwrap();
    let error = rows.update_many(Filter::all(), Plain::N.inc(20_000)).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::TransactionTooLarge);
    let error = rows.delete_many(Filter::all()).await.unwrap_err();
    assert_eq!((error.code(), rows.count(Filter::all()).await.unwrap()), (&ErrorCode::TransactionTooLarge, 10_001));
    assert_eq!(rows.update_many(Plain::N.lt(9_000), Plain::N.inc(20_000)).await.unwrap(), 9_000);
    assert_eq!(rows.delete_many(Plain::N.gte(20_000)).await.unwrap(), 9_000);
    assert_eq!(rows.count(Filter::all()).await.unwrap(), 1_001);
}

#[tokio::test]
async fn all_that_match_are_updated_or_none() {
    let app = app().await;
    let parts = app.model::<Part>();
    parts.insert_many(vec![part("u1", 1), part("u2", 5), part("u3", 9)]).await.unwrap();
    let seq = app.seq();
    assert_eq!(parts.update_many(Part::STOCK.gte(5), Part::STOCK.inc(-5)).await.unwrap(), 2);
    assert_eq!(app.seq(), seq + 1, "one commit");
    assert_eq!(parts.update_many(Part::STOCK.gt(1_000), Part::STOCK.inc(1)).await.unwrap(), 0);
    // One of them would fall below its bound.
    let error = parts.update_many(Filter::all(), Part::STOCK.inc(-1)).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::ValidationError);
    let stock: Vec<i64> =
        parts.find(Filter::all()).sort(Part::NAME.asc()).await.unwrap().iter().map(|part| part.stock).collect();
    assert_eq!(stock, [1, 0, 4]);
    // What a hook has deleted meanwhile is passed over.
    parts.insert_many(vec![part("shoe-left", 7), part("shoe-right", 7)]).await.unwrap();
    assert_eq!(parts.delete_many(Part::STOCK.eq(7)).await.unwrap(), 1);
    assert_eq!(parts.count(Filter::all()).await.unwrap(), 3);
}

#[tokio::test]
async fn field_constants_update_numbers_and_lists() {
    let app = app().await;
    let parts = app.model::<Part>();
    let id = parts.insert(part("v", 6)).await.unwrap().id();
    let update = Part::STOCK.mul(7) & Part::TAGS.pop_first() & Part::TAGS.push("c") & Part::NOTE.unset();
    let next = parts.update(&id, update).await.unwrap();
    assert_eq!((next.stock, next.tags.join(""), next.note.as_deref()), (42, "bc".into(), None));
    let update = Part::STOCK.min(50) & Part::STOCK.max(45) & Part::TAGS.add_to_set("c") & Part::TAGS.pull("b");
    let next = parts.update(&id, update).await.unwrap();
    assert_eq!((next.stock, next.tags.join("")), (45, "c".into()));
    let next = parts.update(&id, Part::TAGS.pop_last()).await.unwrap();
    assert!(next.tags.is_empty());
    // What is not there is not a number that is there.
    let next = parts.update(&id, Part::SEEN.inc(2_u32)).await.unwrap();
    let next = parts.update(&next, Part::SEEN.min(1_u32)).await.unwrap();
    assert_eq!(next.seen, Some(1));
}

#[tokio::test]
async fn a_function_changes_a_document() {
    let app = app().await;
    let parts = app.model::<Part>();
    let made = parts.insert(part("w", 6)).await.unwrap();
    let next = parts.modify(&made, |part| part.stock /= 2).await.unwrap();
    assert_eq!((next.stock, next.rev() > made.rev()), (3, true));
    let next = parts
        .modify(Part::NAME.eq("w"), |part| {
            part.stock = part.stock.checked_sub(1).ok_or_else(|| Error::new("EMPTY"))?;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(next.stock, 2);
    let refused = |error: Error| error.code().to_string();
    assert_eq!(refused(parts.modify(&made, |_| Err(Error::new("NO"))).await.unwrap_err()), "NO");
    assert_eq!(refused(parts.modify(&made, |part| part.stock = -1).await.unwrap_err()), "VALIDATION_ERROR");
    assert_eq!(refused(parts.modify(&made, |_| ()).if_rev(made.rev()).await.unwrap_err()), "CONFLICT");
    assert_eq!(refused(parts.modify(Part::NAME.eq("gone"), |_| ()).await.unwrap_err()), "NOT_FOUND");
    assert_eq!(parts.get(&made).await.unwrap().unwrap().stock, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_by_a_function_is_lost() {
    let app = app().await;
    let rows = app.model::<Plain>();
    let id = rows.insert(Plain { n: 0 }).await.unwrap().id();
    let runs = std::sync::Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (rows, id, runs) = (rows.clone(), id.clone(), runs.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    rows.modify(&id, |row| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        row.n += 1;
                    })
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(rows.get(&id).await.unwrap().unwrap().n, 400);
    assert!(runs.load(Ordering::Relaxed) >= 400);
}

#[tokio::test]
async fn an_upsert_is_an_insert_or_a_replacement() {
    let app = app().await;
    let parts = app.model::<Part>();
    let id: Id<Part> = "cog".parse().unwrap();
    let made = parts.upsert(&id, part("cog", 1)).await.unwrap();
    assert_eq!((made.id(), made.stock), (id.clone(), 1));
    let again = parts.upsert(Part::NAME.eq("cog"), part("cog", 2)).await.unwrap();
    assert_eq!((again.id(), again.stock, again.rev() > made.rev()), (id.clone(), 2, true));
    let other = parts.upsert(Part::NAME.eq("gear"), part("gear", 3)).await.unwrap();
    assert_ne!(other.id(), id);
    assert_eq!(parts.upsert(&id, part("gear", 1)).await.unwrap_err().code(), &ErrorCode::UniqueViolation);
    assert_eq!(parts.upsert(&id, part("cog", -1)).await.unwrap_err().code(), &ErrorCode::ValidationError);
    let stale = parts.upsert(&id, part("cog", 5)).if_rev(made.rev()).await.unwrap_err();
    assert_eq!(stale.code(), &ErrorCode::Conflict);
    let absent = parts.upsert(Part::NAME.eq("axle"), part("axle", 5)).if_rev(1).await.unwrap_err();
    assert_eq!(absent.code(), &ErrorCode::NotFound);
    assert_eq!(parts.count(Filter::all()).await.unwrap(), 2);
    let seen = SEEN.lock().unwrap();
    let of_cog: Vec<&String> = seen.iter().filter(|what| what.ends_with(" cog")).collect();
    assert_eq!(of_cog[..2], ["insert cog", "update cog"], "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn upserts_at_the_same_time_make_one_document() {
    let app = app().await;
    let parts = app.model::<Part>();
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let parts = parts.clone();
            tokio::spawn(async move { parts.upsert(Part::NAME.eq("rod"), part("rod", n)).await })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap().unwrap().id().to_string());
    }
    assert_eq!((ids.len(), parts.count(Part::NAME.eq("rod")).await.unwrap()), (1, 1));
}
