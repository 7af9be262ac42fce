//! A shop, for the tests of what is left when a process ends: one transaction with several models, a hook, two jobs, and events.
//!
//! Every part of an order knows its number, so that it can be told whether all of an order is there or nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use modeller::AppBuilder;
use modeller::prelude::*;

/// What somebody wants.
#[model(id = "orders")]
pub struct Order {
    /// Its number.
    #[field(unique)]
    pub number: u64,
}

/// What somebody has to pay, one for each order.
#[model(id = "invoices")]
pub struct Invoice {
    /// The number of the order.
    #[field(references = Order::NUMBER)]
    pub order: u64,
}

/// What the hook writes, one for each order.
#[model(id = "postings")]
pub struct Posting {
    /// The number of the order.
    #[field(index)]
    pub order: u64,
}

/// How many orders there are: one document, that all of them read and write.
#[model(id = "registers")]
pub struct Register {
    /// So many.
    pub orders: u64,
    /// What another writer counts.
    #[field(default)]
    pub others: u64,
}

/// What a job has done, by the job and the number of the order.
#[model(id = "effects")]
pub struct Effect {
    /// The job.
    pub job: String,
    /// The number of the order.
    pub order: u64,
    /// How often it was done.
    pub times: u64,
}

/// Which order.
#[value]
pub struct Place {
    /// Its number.
    pub number: u64,
    /// Whether it is refused when all of it is done.
    pub fail: bool,
}

type Note = dyn Fn(&str, u64) + Send + Sync;

/// Where it is noted what happens outside of the data.
#[derive(Clone)]
pub struct Journal(Arc<Note>);

impl Journal {
    /// One that calls this with what happened, and the number of the order.
    pub fn new(note: impl Fn(&str, u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(note))
    }

    /// Notes something.
    pub fn note(&self, what: &str, number: u64) {
        (self.0)(what, number);
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Journal").finish()
    }
}

/// The id of the one register.
pub const REGISTER: &str = "r";
/// What is added to the number of an order for the one that is taken back within it.
pub const TAKEN_BACK: u64 = 1 << 40;
/// The jobs of an order.
pub const JOBS: [&str; 2] = ["ship", "remind"];

/// The application, with this journal.
pub fn build(journal: Journal) -> AppBuilder {
    let app = App::new().model::<Order>().model::<Invoice>().model::<Posting>();
    app.model::<Register>().model::<Effect>().state(journal)
}

/// Counts the order.
#[hook(Order, before(insert))]
pub async fn count(registers: Model<Register>) -> Result<()> {
    let id: Id<Register> = REGISTER.parse()?;
    match registers.get(&id).await? {
        Some(register) => registers.update(&id, Register::ORDERS.set(register.orders + 1)).await.map(drop),
        None => registers.insert_with_id(id, Register { orders: 1, others: 0 }).await.map(drop),
    }
}

/// Writes a third model.
#[hook(Order, after(insert))]
pub async fn post(order: Doc<Order>, postings: Model<Posting>) -> Result<()> {
    postings.insert(Posting { order: order.number }).await.map(drop)
}

/// A job of its own.
#[hook(Order, after(insert), schedule = "1ms")]
pub async fn remind(order: Doc<Order>, effects: Model<Effect>) -> Result<()> {
    take_effect("remind", order.number, &effects).await
}

/// Notes what is durable.
#[hook(Order, after_commit(insert))]
pub async fn note(order: Doc<Order>, journal: State<Journal>) -> Result<()> {
    journal.0.note("after", order.number);
    Ok(())
}

/// All of an order in one transaction, and before it another one that is taken back.
#[method(Order)]
pub async fn place(args: Place, tx: Transaction, State(journal): State<Journal>) -> Result<()> {
    let taken_back = tx
        .savepoint(|tx| {
            let journal = journal.clone();
            async move {
                write(&tx, &journal, args.number + TAKEN_BACK).await?;
                Err::<(), _>(Error::new("TAKEN_BACK"))
            }
        })
        .await;
    if taken_back.is_ok() {
        return Err(Error::internal("it was not taken back"));
    }
    write(&tx, &journal, args.number).await?;
    if args.fail { Err(Error::new("REFUSED")) } else { Ok(()) }
}

async fn write(tx: &Transaction, journal: &Journal, number: u64) -> Result<()> {
    let orders = tx.model::<Order>()?;
    orders.subscription(Filter::all()).publish(&number).await?;
    orders.insert_with_id(number.to_string().parse()?, Order { number }).await?;
    tx.model::<Invoice>()?.insert(Invoice { order: number }).await?;
    orders.schedule("ship", &Place { number, fail: false }).await?;
    orders.emit("placed", &number).await?;
    let journal = journal.clone();
    tx.after_commit(move || {
        let journal = journal.clone();
        async move { journal.note("noted", number) }
    })
}

/// A job of its own, which says what it did.
#[method(Order)]
pub async fn ship(args: Place, orders: Model<Order>, effects: System<Model<Effect>>) -> Result<()> {
    take_effect("ship", args.number, &effects).await?;
    orders.emit("shipped", &args.number).await
}

async fn take_effect(job: &str, order: u64, effects: &Model<Effect>) -> Result<()> {
    let id: Id<Effect> = format!("{job}-{order}").parse()?;
    match effects.get(&id).await? {
        Some(_) => effects.update(&id, Effect::TIMES.inc(1)).await.map(drop),
        None => effects.insert_with_id(id, Effect { job: job.into(), order, times: 1 }).await.map(drop),
    }
}

/// What is there, by the numbers of the orders.
#[derive(Debug, Default, PartialEq)]
pub struct Stock {
    /// The orders.
    pub orders: BTreeSet<u64>,
    invoices: BTreeMap<u64, usize>,
    postings: BTreeMap<u64, usize>,
    register: u64,
    /// Jobs that wait, by job and number.
    waiting: BTreeMap<(String, u64), usize>,
    /// What jobs have done, by job and number.
    pub effects: BTreeMap<(String, u64), u64>,
    dead: usize,
}

impl Stock {
    /// What an application has.
    ///
    /// # Errors
    /// Those of its operations.
    ///
    /// # Panics
    /// When there are more jobs than are shown.
    pub async fn of(app: &App) -> Result<Self> {
        let mut stock = Self::default();
        stock.orders.extend(app.model::<Order>().find(Filter::all()).await?.iter().map(|order| order.number));
        for invoice in app.model::<Invoice>().find(Filter::all()).await? {
            *stock.invoices.entry(invoice.order).or_default() += 1;
        }
        for posting in app.model::<Posting>().find(Filter::all()).await? {
            *stock.postings.entry(posting.order).or_default() += 1;
        }
        stock.register = app.model::<Register>().find(Filter::all()).await?.first().map_or(0, |it| it.orders);
        let waiting = app.jobs().waiting().await?;
        assert!(waiting.len() < 1_000, "more jobs than are shown");
        for job in waiting {
            let number = job.args()["number"].as_u64().unwrap_or(u64::MAX);
            *stock.waiting.entry((job.operation().to_owned(), number)).or_default() += 1;
        }
        for effect in app.model::<Effect>().find(Filter::all()).await? {
            *stock.effects.entry((effect.job.clone(), effect.order)).or_default() += effect.times;
        }
        stock.dead = app.jobs().dead().await?.len();
        Ok(stock)
    }

    /// Whether each order is there with all that belongs to it, or not at all: every job of it waits or was done, once.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check(&self, when: &str) {
        let once: BTreeMap<u64, usize> = self.orders.iter().map(|number| (*number, 1)).collect();
        assert_eq!(self.invoices, once, "{when}: the invoices of the orders");
        assert_eq!(self.postings, once, "{when}: what the hook wrote");
        assert_eq!(self.register, self.orders.len() as u64, "{when}: what was counted");
        let mut jobs: BTreeMap<(String, u64), usize> = self.waiting.clone();
        for (job, times) in &self.effects {
            assert_eq!(*times, 1, "{when}: {job:?} was done more than once");
            *jobs.entry(job.clone()).or_default() += 1;
        }
        let each = |number: &u64| JOBS.map(|job| ((job.to_owned(), *number), 1));
        let expected: BTreeMap<(String, u64), usize> = self.orders.iter().flat_map(each).collect();
        assert_eq!(jobs, expected, "{when}: each job waits or was done");
        assert_eq!(self.dead, 0, "{when}: jobs were set aside");
    }

    /// The same, and that no job waits any more.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check_done(&self, when: &str) {
        self.check(when);
        assert!(self.waiting.is_empty(), "{when}: {:?} wait", self.waiting);
    }

    /// How many jobs wait or run.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.values().sum()
    }
}
