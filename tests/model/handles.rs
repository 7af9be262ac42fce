//! Handles belong to their transaction.

use std::sync::Mutex;

use modeller::prelude::*;

#[model(id = "rows")]
pub struct Row {
    #[field(index)]
    pub n: i64,
}

#[model(id = "secrets")]
pub struct Secret {
    pub word: String,
}

#[model(id = "desks", public)]
pub struct Desk {
    pub n: i64,
}

#[value]
pub struct Many {
    pub how_many: i64,
}

static LEAKED: Mutex<Option<Model<Row>>> = Mutex::new(None);

#[method(Row)]
async fn leak(rows: Model<Row>) -> Result<()> {
    *LEAKED.lock().unwrap() = Some(rows);
    Ok(())
}

#[method(Row)]
async fn nest(State(app): State<App>) -> Result<String> {
    let rows = app.model::<Row>();
    let nested = rows.insert(Row { n: 1 }).await.unwrap_err();
    let read = rows.get(Row::N.eq(1)).await.unwrap_err();
    assert_eq!(nested.code(), read.code());
    rows.detached().insert(Row { n: 2 }).await?;
    Ok(nested.code().to_string())
}

#[method(Row)]
async fn fill(args: Many, rows: Model<Row>) -> Result<usize> {
    for n in 0..args.how_many {
        rows.insert(Row { n }).await?;
    }
    rows.count(Filter::all()).await
}

/// Starts several operations at once: they are done one after the other.
#[method(Row)]
async fn at_once(rows: Model<Row>) -> Result<usize> {
    let (a, b, c) = tokio::join!(
        rows.insert(Row { n: 1 }),
        async { rows.insert(Row { n: 2 }).await.and(Err::<(), _>(Error::new("NEVER_MIND"))) },
        rows.insert(Row { n: 3 }),
    );
    a?;
    assert!(b.is_err());
    c?;
    rows.count(Filter::all()).await
}

#[method(Desk)]
async fn peek_as_caller(secrets: Model<Secret>) -> Result<usize> {
    secrets.count(Filter::all()).await
}

#[method(Desk)]
async fn peek_as_system(secrets: System<Model<Secret>>) -> Result<usize> {
    secrets.count(Filter::all()).await
}

#[method(Desk)]
async fn who(caller: &Caller, call: Call) -> Result<(bool, u32)> {
    Ok((caller.is_application(), call.attempt()))
}

async fn app() -> App {
    App::new().model::<Row>().model::<Secret>().model::<Desk>().in_memory().open().await.unwrap()
}

#[tokio::test]
async fn a_handle_is_closed_with_its_transaction() {
    let app = app().await;
    app.model::<Row>().leak().await.unwrap();
    let leaked = LEAKED.lock().unwrap().take().unwrap();
    for error in [
        leaked.insert(Row { n: 1 }).await.unwrap_err(),
        leaked.get(Row::N.eq(1)).await.unwrap_err(),
        leaked.find(Filter::all()).await.unwrap_err(),
        leaked.count(Filter::all()).await.unwrap_err(),
        leaked.delete(Row::N.eq(1)).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), &ErrorCode::TransactionClosed);
    }
}

#[tokio::test]
async fn a_handle_of_the_application_is_refused_inside() {
    let inner = app().await;
    let outer = App::new().model::<Row>().state(inner.clone()).in_memory().open().await.unwrap();
    // Another application's handle is no nesting.
    inner.model::<Row>().insert(Row { n: 1 }).await.unwrap();
    let error = outer.model::<Row>().nest().await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::Internal, "the handler panicked: that handle worked");

    let shared = std::sync::Arc::new(tokio::sync::OnceCell::new());
    let app = App::new().model::<Row>().state(Later(shared.clone())).in_memory().open().await.unwrap();
    shared.set(app.clone()).unwrap();
    assert_eq!(app.model::<Row>().nest_later().await.unwrap(), "NESTED_TRANSACTION");
    assert_eq!(app.model::<Row>().find(Filter::all()).await.unwrap().len(), 1);
}

#[derive(Clone)]
struct Later(std::sync::Arc<tokio::sync::OnceCell<App>>);

#[method(Row)]
async fn nest_later(later: State<Later>) -> Result<String> {
    nest(State(later.0.0.get().cloned().ok_or_else(|| Error::new("TOO_EARLY"))?)).await
}

/// What others commit between its beginning and its first question is a part of what it sees, and nothing after that is.
#[tokio::test]
async fn a_transaction_starts_when_it_is_asked_for_something() {
    let app = app().await;
    let rows = app.model::<Row>();
    let runs = std::sync::atomic::AtomicU32::new(0);
    let counted = app.transaction(|tx| {
        let (outside, runs) = (rows.clone(), &runs);
        async move {
            runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let inside = tx.model::<Row>()?;
            outside.detached().insert(Row { n: 1 }).await?;
            let first = inside.count(Filter::all()).await?;
            outside.detached().insert(Row { n: 2 }).await?;
            Ok((first, inside.count(Filter::all()).await?))
        }
    });
    // It only reads, and so it is put in order before the second insert.
    assert_eq!(counted.await.unwrap(), (1, 1));
    assert_eq!((runs.into_inner(), rows.count(Filter::all()).await.unwrap()), (1, 2));
}

#[tokio::test]
async fn a_transaction_has_bounds() {
    let app = app().await;
    let rows = app.model::<Row>();
    assert_eq!(rows.fill(Many { how_many: 10_000 }).await.unwrap(), 10_000);
    let error = rows.fill(Many { how_many: 10_001 }).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::TransactionTooLarge);
    assert_eq!(rows.count(Filter::all()).await.unwrap(), 10_000);
}

#[tokio::test]
async fn operations_of_one_handler_do_not_interleave() {
    let app = app().await;
    assert_eq!(app.model::<Row>().at_once().await.unwrap(), 3);
}

#[tokio::test]
async fn the_application_may_everything() {
    let app = app().await;
    assert_eq!(app.model::<Desk>().peek_as_caller().await.unwrap(), 0);
    assert_eq!(app.model::<Desk>().peek_as_system().await.unwrap(), 0);
    assert_eq!(app.model::<Desk>().who().await.unwrap(), (true, 1));
}

#[tokio::test]
async fn write_skew_is_not_found() {
    // Two doctors, each may leave while the other stays.
    let app = app().await;
    let rows = app.model::<Row>();
    for _ in 0..200 {
        let (a, b) = (rows.insert(Row { n: 1 }).await.unwrap().id(), rows.insert(Row { n: 1 }).await.unwrap().id());
        let leave = |who: Id<Row>| {
            let app = app.clone();
            tokio::spawn(async move {
                app.transaction(|tx| {
                    let who = who.clone();
                    async move {
                        let rows = tx.model::<Row>()?;
                        let there = rows.count(Row::N.eq(1)).await?;
                        tokio::task::yield_now().await;
                        if there < 2 {
                            return Err(Error::new("STAY"));
                        }
                        rows.update(&who, Row::N.set(0)).await.map(drop)
                    }
                })
                .await
            })
        };
        let (first, second) = tokio::join!(leave(a.clone()), leave(b.clone()));
        assert!(first.unwrap().is_ok() != second.unwrap().is_ok());
        for id in [a, b] {
            rows.delete(id).await.unwrap();
        }
    }
}

/// It takes as long as a transaction may live.
#[tokio::test]
async fn a_transaction_lives_ten_seconds_at_most() {
    let app = app().await;
    let begun = std::time::Instant::now();
    let slow = app.transaction(|tx| async move {
        tx.model::<Row>()?.insert(Row { n: 1 }).await?;
        std::future::pending::<()>().await;
        Ok(())
    });
    let (slow, beside) = tokio::join!(slow, async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        app.model::<Row>().insert(Row { n: 2 }).await
    });
    assert_eq!(slow.unwrap_err().code(), &ErrorCode::Timeout);
    assert!(beside.is_ok() && (9.5..12.0).contains(&begun.elapsed().as_secs_f64()));
    let left = app.model::<Row>().find(Filter::all()).await.unwrap();
    assert_eq!(left.iter().map(|row| row.n).collect::<Vec<_>>(), [2]);
}
