//! What is done once a transaction is durable, savepoints in the open, and the model as an emitter.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use modeller::prelude::*;
use modeller::storage::Memory;
use modeller::{HookEvent, Listening};
use modeller_tests::slow::Slow;
use tokio::sync::mpsc;

#[model(id = "orders", public)]
pub struct Order {
    #[field(unique, min_length = 1)]
    pub item: String,
    #[field(default)]
    pub paid: bool,
}

/// What happened outside of the data.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[value]
pub struct Items {
    pub items: Vec<String>,
    pub fail: bool,
}

#[hook(Order, after_commit(insert, delete))]
async fn tell(order: Doc<Order>, operation: Operation, timing: Timing, journal: State<Journal>) -> Result<()> {
    journal.0.note(format!("{} {} {}", timing.as_str(), operation.as_str(), order.item));
    Ok(())
}

#[hook(Order, after_commit(update))]
async fn tell_change(
    order: Doc<Order>,
    previous: Previous<Order>,
    orders: Model<Order>,
    journal: State<Journal>,
) -> Result<()> {
    // It is durable, and this is no part of its transaction.
    assert_eq!(orders.get(order.id()).await?.unwrap().paid, order.paid);
    journal.0.note(format!("{} to {}", previous.paid, order.paid));
    Err(Error::new("TOO_LATE_TO_REFUSE"))
}

/// Orders all items, each of them or none of its own; notes what it did once it is durable.
#[method(Order)]
async fn order_all(args: Items, tx: Transaction, State(journal): State<Journal>) -> Result<usize> {
    let mut ordered = 0;
    for item in args.items {
        let (noted, item) = (journal.clone(), &item);
        let done = tx
            .savepoint(|tx| {
                let noted = noted.clone();
                async move {
                    let orders = tx.model::<Order>()?;
                    let named = item.clone();
                    tx.after_commit(move || {
                        let (noted, named) = (noted.clone(), named.clone());
                        async move { noted.note(format!("noted {named}")) }
                    })?;
                    orders.insert(Order { item: item.clone(), paid: false }).await?;
                    orders.emit("ordered", item).await?;
                    orders.insert(Order { item: format!("{item} again"), paid: false }).await
                }
            })
            .await;
        ordered += usize::from(done.is_ok());
    }
    if args.fail { Err(Error::new("ALL_FOR_NOTHING")) } else { Ok(ordered) }
}

async fn app(journal: &Journal) -> App {
    App::new().model::<Order>().state(journal.clone()).in_memory().open().await.unwrap()
}

fn order(item: &str) -> Order {
    Order { item: item.into(), paid: false }
}

fn items(items: &[&str], fail: bool) -> Items {
    Items { items: items.iter().map(|item| (*item).to_owned()).collect(), fail }
}

#[tokio::test]
async fn hooks_after_the_commit_run_once_it_is_durable() {
    let journal = Journal::default();
    let orders = app(&journal).await.model::<Order>();
    let tea = orders.insert(order("tea")).await.unwrap();
    assert_eq!(journal.taken(), ["after_commit insert tea"]);
    // What such a hook answers can refuse nothing any more.
    orders.update(&tea, Order::PAID.set(true)).await.unwrap();
    assert_eq!(journal.taken(), ["false to true"]);
    assert!(orders.insert(order("tea")).await.is_err());
    assert!(orders.insert(order("")).await.is_err());
    assert!(journal.taken().is_empty());
    orders.delete(&tea).await.unwrap();
    assert_eq!(journal.taken(), ["after_commit delete tea"]);
}

#[tokio::test]
async fn a_savepoint_takes_back_what_was_to_be_done_later() {
    let journal = Journal::default();
    let app = app(&journal).await;
    let orders = app.model::<Order>();
    orders.insert(order("coffee again")).await.unwrap();
    journal.taken();
    let mut heard = orders.on("ordered").unwrap();
    let done = orders.order_all(items(&["tea", "coffee", "milk"], false)).await.unwrap();
    assert_eq!(done, 2);
    let expected = ["noted tea", "after_commit insert tea", "after_commit insert tea again"].map(str::to_owned);
    assert_eq!(journal.taken()[..3], expected);
    let Some(Heard::Payload { payload, seq }) = heard.next().await else { panic!("nothing heard") };
    assert_eq!((payload, seq), ("tea".into(), app.seq()));
    let Some(Heard::Payload { payload, .. }) = heard.next().await else { panic!("nothing heard") };
    assert_eq!(payload, "milk");
    assert_eq!(orders.count(Order::ITEM.eq("coffee")).await.unwrap(), 0);

    let error = orders.order_all(items(&["sugar"], true)).await.unwrap_err();
    assert_eq!(error.code().as_str(), "ALL_FOR_NOTHING");
    assert!(journal.taken().is_empty());
    orders.emit("ordered", "the last one").await.unwrap();
    assert_eq!(heard.once().await.unwrap(), "the last one");
}

#[tokio::test]
async fn after_its_end_a_transaction_takes_nothing() {
    let journal = Journal::default();
    let app = app(&journal).await;
    let leaked: Arc<Mutex<Option<Transaction>>> = Arc::default();
    app.transaction(|tx| {
        let leaked = leaked.clone();
        async move {
            *leaked.lock().unwrap() = Some(tx);
            Ok(())
        }
    })
    .await
    .unwrap();
    let leaked = leaked.lock().unwrap().take().unwrap();
    let late = leaked.after_commit(|| async {}).unwrap_err();
    assert_eq!(late.code(), &ErrorCode::TransactionClosed);
    let late = leaked.savepoint(|_| async { Ok(()) }).await.unwrap_err();
    assert_eq!(late.code(), &ErrorCode::TransactionClosed);
}

#[tokio::test]
async fn what_panics_after_the_commit_harms_nobody() {
    let journal = Journal::default();
    let app = app(&journal).await;
    let (noted, orders) = (journal.clone(), app.model::<Order>());
    orders
        .hook("panics", [HookEvent::after_commit(Operation::Insert)], |_| Box::pin(async { panic!("too late") }))
        .unwrap();
    app.transaction(|tx| {
        let noted = noted.clone();
        async move {
            tx.after_commit(|| async { panic!("too late") })?;
            tx.after_commit(move || {
                let noted = noted.clone();
                async move { noted.note("after it") }
            })?;
            tx.model::<Order>()?.insert(order("tea")).await.map(drop)
        }
    })
    .await
    .unwrap();
    assert_eq!(journal.taken(), ["after it", "after_commit insert tea"]);
}

/// An `after_commit` hook is run also where the call is given up while it waits.
#[tokio::test]
async fn a_call_that_is_given_up_still_does_what_comes_after() {
    let (app, mut heard) = {
        let app = app(&Journal::default()).await;
        let (sender, receiver) = mpsc::unbounded_channel();
        app.model::<Order>()
            .hook("slow", [HookEvent::after_commit(Operation::Insert)], move |_| {
                let sender = sender.clone();
                Box::pin(async move {
                    sender.send("begun").unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    sender.send("done").unwrap();
                    Ok(())
                })
            })
            .unwrap();
        (app, receiver)
    };
    let orders = app.model::<Order>();
    tokio::select! {
        _ = orders.insert(order("tea")) => panic!("it was answered before its hook"),
        begun = heard.recv() => assert_eq!(begun, Some("begun")),
    }
    assert_eq!(heard.recv().await, Some("done"));
}

/// The same where it is given up before its commit is durable: the commit is made, so what comes after it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_before_it_is_durable_still_does_what_comes_after() {
    for millis in (0..40).step_by(4) {
        let journal = Journal::default();
        let storage = Slow::new(Memory::new(), Duration::from_millis(10), millis);
        let app = App::new().model::<Order>().state(journal.clone()).storage(storage).open().await.unwrap();
        let orders = app.model::<Order>();
        let call = orders.order_all(items(&["tea"], false));
        let answered = tokio::time::timeout(Duration::from_millis(millis), call).await.is_ok();
        // What was accepted before this is durable with it.
        orders.insert(order("the last one")).await.unwrap();
        let is_there = orders.count(Order::ITEM.eq("tea")).await.unwrap() == 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let done = journal.taken().iter().any(|line| line == "noted tea");
        assert_eq!(done, is_there, "given up after {millis} ms, answered: {answered}");
    }
}

#[tokio::test]
async fn m13_the_model_is_an_emitter() {
    let app = app(&Journal::default()).await;
    let orders = app.model::<Order>();
    let (mut inserted, mut updated, deleted) = (orders.on_insert(), orders.on_update(), orders.on_delete());
    let (sender, mut called) = mpsc::unbounded_channel();
    let each: Listening = orders.on_insert().each(move |emission| {
        let sender = sender.clone();
        async move {
            let Emission::Doc { doc, .. } = emission else { return };
            assert_ne!(doc.item, "panic", "a listener's mistake");
            sender.send(doc.item.clone()).unwrap();
        }
    });
    let tea = orders.insert(order("tea")).await.unwrap();
    let paid = orders.update(&tea, Order::PAID.set(true)).await.unwrap();
    orders.delete(&tea).await.unwrap();
    let Some(Emission::Doc { doc, previous, seq }) = inserted.next().await else { panic!("nothing heard") };
    assert_eq!((doc.id(), previous.is_none(), seq), (tea.id(), true, app.seq() - 2));
    let Some(Emission::Doc { doc, previous, .. }) = updated.next().await else { panic!("nothing heard") };
    assert!(doc.ptr_eq(&paid) && previous.unwrap().ptr_eq(&tea));
    assert!(deleted.once().await.unwrap().ptr_eq(&paid));
    // A refused operation is no event; a panic of a listener ends nothing.
    assert!(orders.insert(order("")).await.is_err());
    for item in ["panic", "milk"] {
        orders.insert(order(item)).await.unwrap();
    }
    assert_eq!((called.recv().await.unwrap(), called.recv().await.unwrap()), ("tea".into(), "milk".into()));
    each.off();
    // The one that does not read is told what it missed, and held nothing up.
    for n in 0..1_100 {
        orders.insert(order(&format!("item {n}"))).await.unwrap();
    }
    let Some(Emission::Missed(missed)) = inserted.next().await else { panic!("nothing missed") };
    assert_eq!(missed, 2 + 1_100 - 1_024);
    assert!(called.recv().await.is_none(), "it listens no more");
}

#[tokio::test]
async fn names_of_events_are_bounded() {
    let orders = app(&Journal::default()).await.model::<Order>();
    for name in ["", &"x".repeat(129)] {
        assert_eq!(orders.on(name).unwrap_err().code().as_str(), "INVALID_REQUEST");
        assert_eq!(orders.emit(name, "x").await.unwrap_err().code().as_str(), "INVALID_REQUEST");
    }
}
