//! Random concurrent histories, each held against one serial order: that of the commits.
//!
//! A history is a few tasks with a few transactions each, on documents that no other history uses: transfers between accounts,
//! doctors who go home while another one stays, bookings of a room up to a limit, names that exclude each other. Where only
//! writes met, all of these would go wrong. Every transaction notes what it asked and was told, and what it wrote. Afterwards they
//! are done once more, one after the other in the order of their commits, on plain maps, and every question has to get the same
//! answer there. Who wrote nothing has to have seen the whole of what was there after one of the commits, and no later or earlier
//! than while it ran. Set `MODELLER_HISTORIES` to run another number of them, `MODELLER_SEED` to make other ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use modeller::prelude::*;
use modeller::storage::{EntryKind, Faults, Memory, StoredChange, StoredPublish};
use modeller_tests::random::Random;
use modeller_tests::slow::Slow;
use serde_json::json;

/// How many histories one application runs, one after the other.
const PER_APP: u64 = 100;
const ACCOUNTS: usize = 4;
const DOCTORS: usize = 2;
/// How often a room is booked at most.
const PLACES: usize = 2;
/// What an account holds at first.
const BALANCE: i64 = 5;

#[model(id = "accounts")]
pub struct Account {
    #[field(unique)]
    pub owner: String,
    #[field(index)]
    pub branch: String,
    pub balance: i64,
}

#[model(id = "doctors")]
pub struct Doctor {
    #[field(index)]
    pub ward: String,
    pub on_call: bool,
    /// Which deal wrote it.
    pub by: u64,
}

/// Without an index: what is counted here is looked for.
#[model(id = "bookings", trash = false)]
pub struct Booking {
    pub room: String,
}

/// What a transaction can ask.
#[derive(Clone, Debug)]
enum Question {
    Account(String),
    /// By a unique value, which may be nobody's.
    Owner(String),
    Branch(String),
    Richest(String),
    Doctor(String),
    /// How many of a ward are on call.
    OnCall(String),
    /// Who of a ward is on call.
    Ward(String),
    /// How often a room is booked.
    Booked(String),
    Bookings(String),
}

/// Ids, each with the number that is of interest; a count has no id.
type Answer = Vec<(String, i64)>;

#[derive(Clone, Debug)]
enum Write {
    Balance(String, i64),
    Owner(String, String),
    OnCall(String, bool, u64),
    Book(String, String),
    Cancel(String),
}

#[derive(Clone, Debug)]
enum Step {
    Asked(Question, Answer),
    Wrote(Write),
    /// Another account had the name.
    Refused(Write),
}

/// How two documents are read.
#[derive(Clone, Copy, Debug)]
enum How {
    Each,
    ByIndex,
    Together,
}

/// What a transaction is for. Numbers are those of accounts and doctors.
#[derive(Clone, Debug)]
enum Deal {
    Transfer(usize, usize, i64, How),
    /// From the richest to this one, half of it.
    Share(usize),
    /// Goes off call, if another one of the ward is on.
    Leave(usize, How),
    Return(usize),
    /// The same, not in a transaction: as a write that the committer evaluates.
    Recall(usize),
    /// Books a room, if that is not booked out.
    Book(How),
    Cancel,
    /// Takes a name, unless somebody has the name that excludes it.
    Rename(usize),
    /// Takes the one name that is free for all, unless another one has it.
    Claim(usize),
    Unname(usize),
    Look,
    /// One question that is no transaction.
    Glance(Question),
}

/// The names of what a history uses.
#[derive(Clone)]
struct Names(u64);

impl Names {
    fn account(&self, n: usize) -> String {
        format!("{}-a{n}", self.0)
    }
    fn owner(&self, n: usize) -> String {
        format!("{}-owner{n}", self.0)
    }
    fn doctor(&self, n: usize) -> String {
        format!("{}-d{n}", self.0)
    }
    /// The branch, the ward and the room.
    fn place(&self) -> String {
        format!("{}-place", self.0)
    }
    fn claimed(&self) -> String {
        format!("{}-claimed", self.0)
    }
    /// The names that exclude each other: the one that an account wants, and the one that is against it.
    fn exclusive(&self, n: usize) -> (String, String) {
        let name = |n: usize| format!("{}-name{}", self.0, n % 2);
        (name(n), name(n + 1))
    }
}

/// What a serial order makes of it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Naive {
    /// Owner, branch and balance.
    accounts: BTreeMap<String, (String, String, i64)>,
    /// Ward, and whether he is on call.
    doctors: BTreeMap<String, (String, bool)>,
    bookings: BTreeMap<String, String>,
}

impl Naive {
    fn new(names: &Names) -> Self {
        let account = |n| (names.account(n), (names.owner(n), names.place(), BALANCE));
        let doctor = |n| (names.doctor(n), (names.place(), true));
        Self {
            accounts: (0..ACCOUNTS).map(account).collect(),
            doctors: (0..DOCTORS).map(doctor).collect(),
            bookings: BTreeMap::new(),
        }
    }

    fn ask(&self, question: &Question) -> Answer {
        let count = |number: usize| vec![(String::new(), number as i64)];
        let branch = |branch: &String| -> Answer {
            let of = self.accounts.iter().filter(|(_, account)| account.1 == *branch);
            of.map(|(id, account)| (id.clone(), account.2)).collect()
        };
        let on_call = |ward: &String| -> Answer {
            let of = self.doctors.iter().filter(|(_, doctor)| doctor.0 == *ward && doctor.1);
            of.map(|(id, _)| (id.clone(), 1)).collect()
        };
        let bookings = |room: &String| -> Answer {
            let of = self.bookings.iter().filter(|(_, booked)| *booked == room);
            of.map(|(id, _)| (id.clone(), 0)).collect()
        };
        match question {
            Question::Account(id) => self.accounts.get(id).map(|account| (id.clone(), account.2)).into_iter().collect(),
            Question::Owner(name) => {
                let of = self.accounts.iter().filter(|(_, account)| account.0 == *name);
                of.map(|(id, account)| (id.clone(), account.2)).collect()
            }
            Question::Branch(name) => branch(name),
            Question::Richest(name) => {
                branch(name).into_iter().min_by_key(|(id, balance)| (-balance, id.clone())).into_iter().collect()
            }
            Question::Doctor(id) => {
                self.doctors.get(id).map(|doctor| (id.clone(), i64::from(doctor.1))).into_iter().collect()
            }
            Question::OnCall(ward) => count(on_call(ward).len()),
            Question::Ward(ward) => on_call(ward),
            Question::Booked(room) => count(bookings(room).len()),
            Question::Bookings(room) => bookings(room),
        }
    }

    fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::Balance(id, balance) => self.accounts.get_mut(&id).unwrap().2 = balance,
            Write::Owner(id, owner) => self.accounts.get_mut(&id).unwrap().0 = owner,
            Write::OnCall(id, on_call, _) => self.doctors.get_mut(&id).unwrap().1 = on_call,
            Write::Book(id, room) => assert!(self.bookings.insert(id, room).is_none()),
            Write::Cancel(id) => assert!(self.bookings.remove(&id).is_some()),
        }
    }

    /// Whether a step of a transaction that reads went the same way here.
    fn agrees(&self, step: &Step) -> bool {
        match step {
            Step::Asked(question, answer) => self.ask(question) == *answer,
            Step::Refused(Write::Owner(id, owner)) => {
                self.accounts.iter().any(|(other, account)| other != id && account.0 == *owner)
            }
            Step::Refused(_) | Step::Wrote(_) => false,
        }
    }

    /// What holds after each of the transactions.
    fn check(&self, names: &Names) {
        let total: i64 = self.accounts.values().map(|account| account.2).sum();
        assert_eq!(total, ACCOUNTS as i64 * BALANCE, "the total is not conserved");
        assert!(self.accounts.values().all(|account| account.2 >= 0), "an account is overdrawn");
        assert!(self.doctors.values().any(|doctor| doctor.1), "nobody is on call");
        assert!(self.bookings.len() <= PLACES, "booked more often than there are places");
        let (one, other) = names.exclusive(0);
        let is_taken = |name: &String| self.accounts.values().any(|account| account.0 == *name);
        assert!(!is_taken(&one) || !is_taken(&other), "names that exclude each other");
    }
}

/// The models, of a transaction or of the application.
#[derive(Clone)]
struct Models {
    accounts: Model<Account>,
    doctors: Model<Doctor>,
    bookings: Model<Booking>,
}

impl Models {
    fn of(app: &App) -> Self {
        Self { accounts: app.model(), doctors: app.model(), bookings: app.model() }
    }

    fn inside(tx: &Transaction) -> Result<Self> {
        Ok(Self { accounts: tx.model()?, doctors: tx.model()?, bookings: tx.model()? })
    }

    async fn ask(&self, question: &Question) -> Result<Answer> {
        let count = |number: usize| vec![(String::new(), number as i64)];
        let account = |doc: &Doc<Account>| (doc.id().to_string(), doc.balance);
        let doctor = |doc: &Doc<Doctor>| (doc.id().to_string(), i64::from(doc.on_call));
        let on_call = |ward: &str| Doctor::WARD.eq(ward) & Doctor::ON_CALL.eq(true);
        let mut answer: Answer = match question {
            Question::Account(id) => self.accounts.get(id.parse::<Id<Account>>()?).await?.iter().map(account).collect(),
            Question::Owner(name) => {
                self.accounts.get(Account::OWNER.eq(name.as_str())).await?.iter().map(account).collect()
            }
            Question::Branch(name) => {
                self.accounts.find(Account::BRANCH.eq(name.as_str())).await?.iter().map(account).collect()
            }
            Question::Richest(name) => {
                let all = self.accounts.find(Account::BRANCH.eq(name.as_str())).sort(Account::BALANCE.desc());
                all.limit(1).await?.iter().map(account).collect()
            }
            Question::Doctor(id) => self.doctors.get(id.parse::<Id<Doctor>>()?).await?.iter().map(doctor).collect(),
            Question::OnCall(ward) => count(self.doctors.count(on_call(ward)).await?),
            Question::Ward(ward) => self.doctors.find(on_call(ward)).await?.iter().map(doctor).collect(),
            Question::Booked(room) => count(self.bookings.count(Booking::ROOM.eq(room.as_str())).await?),
            Question::Bookings(room) => {
                let all = self.bookings.find(Booking::ROOM.eq(room.as_str())).await?;
                all.iter().map(|doc| (doc.id().to_string(), 0)).collect()
            }
        };
        answer.sort();
        Ok(answer)
    }

    async fn write(&self, write: &Write) -> Result<()> {
        match write.clone() {
            Write::Balance(id, balance) => {
                self.accounts.update(id.parse::<Id<Account>>()?, Account::BALANCE.set(balance)).await.map(drop)
            }
            Write::Owner(id, owner) => {
                self.accounts.update(id.parse::<Id<Account>>()?, Account::OWNER.set(owner)).await.map(drop)
            }
            Write::OnCall(id, on_call, by) => {
                let update = Doctor::ON_CALL.set(on_call) & Doctor::BY.set(by);
                self.doctors.update(id.parse::<Id<Doctor>>()?, update).await.map(drop)
            }
            Write::Book(id, room) => self.bookings.insert_with_id(id.parse()?, Booking { room }).await.map(drop),
            Write::Cancel(id) => self.bookings.delete(id.parse::<Id<Booking>>()?).await.map(drop),
        }
    }

    /// Tells the test which deal this commit is.
    async fn announce(&self, number: u64) -> Result<()> {
        self.accounts.subscription(Filter::all()).publish(&number).await
    }
}

/// One run of a transaction.
struct Run {
    models: Models,
    names: Names,
    number: u64,
    random: Random,
    steps: Vec<Step>,
}

impl Run {
    async fn pause(&mut self) {
        for _ in 0..self.random.below(3) {
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&mut self, question: Question) -> Result<Answer> {
        self.pause().await;
        let answer = self.models.ask(&question).await?;
        self.steps.push(Step::Asked(question, answer.clone()));
        Ok(answer)
    }

    /// The one number of an answer, if there is one.
    async fn number(&mut self, question: Question) -> Result<Option<i64>> {
        Ok(self.ask(question).await?.first().map(|(_, number)| *number))
    }

    async fn write(&mut self, write: Write) -> Result<()> {
        self.pause().await;
        self.steps.push(match self.models.write(&write).await {
            Ok(()) => Step::Wrote(write),
            Err(error) if *error.code() == ErrorCode::UniqueViolation => Step::Refused(write),
            Err(error) => return Err(error),
        });
        Ok(())
    }

    async fn carry_out(&mut self, deal: &Deal) -> Result<()> {
        let names = self.names.clone();
        match deal.clone() {
            Deal::Transfer(from, to, amount, how) => {
                let balances = match how {
                    How::Each => {
                        let from = self.number(Question::Account(names.account(from))).await?;
                        from.zip(self.number(Question::Account(names.account(to))).await?)
                    }
                    How::ByIndex => {
                        let from = self.number(Question::Owner(names.owner(from))).await?;
                        from.zip(self.number(Question::Owner(names.owner(to))).await?)
                    }
                    How::Together => {
                        let all = self.ask(Question::Branch(names.place())).await?;
                        assert_eq!(all.iter().map(|(_, balance)| balance).sum::<i64>(), ACCOUNTS as i64 * BALANCE);
                        let of = |n| all.iter().find(|(id, _)| *id == names.account(n)).map(|(_, balance)| *balance);
                        of(from).zip(of(to))
                    }
                };
                let Some((has, other)) = balances.filter(|(has, _)| *has >= amount) else { return Ok(()) };
                self.write(Write::Balance(names.account(from), has - amount)).await?;
                self.write(Write::Balance(names.account(to), other + amount)).await
            }
            Deal::Share(to) => {
                let richest = self.ask(Question::Richest(names.place())).await?;
                let Some((from, has)) = richest.into_iter().find(|(id, _)| *id != names.account(to)) else {
                    return Ok(());
                };
                let Some(other) = self.number(Question::Account(names.account(to))).await? else { return Ok(()) };
                self.write(Write::Balance(from, has - has / 2)).await?;
                self.write(Write::Balance(names.account(to), other + has / 2)).await
            }
            Deal::Leave(doctor, how) => {
                let (me, other) = (names.doctor(doctor), names.doctor((doctor + 1) % DOCTORS));
                let may_leave = match how {
                    How::Each => {
                        self.number(Question::Doctor(me.clone())).await? == Some(1)
                            && self.number(Question::Doctor(other)).await? == Some(1)
                    }
                    How::ByIndex => self.number(Question::OnCall(names.place())).await? == Some(DOCTORS as i64),
                    How::Together => self.ask(Question::Ward(names.place())).await?.len() == DOCTORS,
                };
                if !may_leave {
                    return Ok(());
                }
                self.write(Write::OnCall(me, false, self.number)).await
            }
            Deal::Return(doctor) | Deal::Recall(doctor) => {
                self.write(Write::OnCall(names.doctor(doctor), true, self.number)).await
            }
            Deal::Book(how) => {
                let booked = match how {
                    How::Each | How::ByIndex => self.number(Question::Booked(names.place())).await?.unwrap_or(0),
                    How::Together => self.ask(Question::Bookings(names.place())).await?.len() as i64,
                };
                if booked >= PLACES as i64 {
                    return Ok(());
                }
                self.write(Write::Book(format!("{}-b{}", names.0, self.number), names.place())).await
            }
            Deal::Cancel => match self.ask(Question::Bookings(names.place())).await?.into_iter().next() {
                Some((id, _)) => self.write(Write::Cancel(id)).await,
                None => Ok(()),
            },
            Deal::Rename(account) => {
                let (wanted, against) = names.exclusive(account);
                if !self.ask(Question::Owner(against)).await?.is_empty() {
                    return Ok(());
                }
                self.write(Write::Owner(names.account(account), wanted)).await
            }
            Deal::Claim(account) => self.write(Write::Owner(names.account(account), names.claimed())).await,
            Deal::Unname(account) => self.write(Write::Owner(names.account(account), names.owner(account))).await,
            Deal::Look => {
                self.ask(Question::Branch(names.place())).await?;
                self.ask(Question::Ward(names.place())).await?;
                self.ask(Question::Booked(names.place())).await?;
                for name in [names.exclusive(0).0, names.exclusive(1).0] {
                    self.ask(Question::Owner(name)).await?;
                }
                Ok(())
            }
            Deal::Glance(question) => self.ask(question).await.map(drop),
        }
    }

    /// Whether it wrote or meant to.
    fn writes(&self) -> bool {
        self.steps.iter().any(|step| !matches!(step, Step::Asked(..)))
    }
}

fn deal(random: &mut Random, names: &Names) -> Deal {
    let how = *random.pick(&[How::Each, How::ByIndex, How::Together]);
    let account = random.below(ACCOUNTS);
    match random.below(16) {
        0..3 => {
            let to = (account + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
            Deal::Transfer(account, to, 1 + random.below(4) as i64, how)
        }
        3 => Deal::Share(account),
        4 | 5 => Deal::Leave(random.below(DOCTORS), how),
        6 => Deal::Return(random.below(DOCTORS)),
        7 => Deal::Recall(random.below(DOCTORS)),
        8 | 9 => Deal::Book(how),
        10 => Deal::Cancel,
        11 => Deal::Rename(account),
        12 => Deal::Claim(account),
        13 => Deal::Unname(account),
        14 => Deal::Look,
        _ => Deal::Glance(random.pick(&[Question::Branch(names.place()), Question::Booked(names.place())]).clone()),
    }
}

/// A deal that was answered.
#[derive(Debug)]
struct Done {
    #[expect(dead_code, reason = "shown where something is wrong")]
    deal: String,
    steps: Vec<Step>,
    /// The durable head before it began.
    from: u64,
    /// The durable head when it was answered.
    until: u64,
}

/// What concurrent histories of one application have in common.
#[derive(Clone)]
struct Stage {
    app: App,
    next: Arc<AtomicU64>,
    /// What was done, by number; and by whom: also what another writer did.
    done: Arc<Mutex<BTreeMap<u64, Done>>>,
    runs: Arc<AtomicU64>,
}

impl Stage {
    /// Carries out one deal. `CONFLICT`, which a slow machine can bring about, is the one error that there may be.
    async fn carry_out(&self, deal: &Deal, names: &Names, random: &mut Random) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (seed, announces) = (random.any(), random.one_in(2));
        let run =
            |models: Models| Run { models, names: names.clone(), number, random: Random::new(seed), steps: Vec::new() };
        let from = self.app.seq();
        let steps = if matches!(deal, Deal::Recall(_) | Deal::Glance(_)) {
            let mut run = run(Models::of(&self.app));
            run.carry_out(deal).await.map(|()| run.steps)
        } else {
            self.app
                .transaction(|tx| {
                    self.runs.fetch_add(1, Ordering::Relaxed);
                    async move {
                        let mut run = run(Models::inside(&tx)?);
                        run.carry_out(deal).await?;
                        if run.writes() || announces {
                            run.models.announce(number).await?;
                        }
                        Ok(run.steps)
                    }
                })
                .await
        };
        match steps {
            Ok(steps) => {
                let done = Done { deal: format!("{deal:?}"), steps, from, until: self.app.seq() };
                self.done.lock().unwrap().insert(number, done);
            }
            Err(error) => assert_eq!(error.code(), &ErrorCode::Conflict, "{deal:?}: {error}"),
        }
    }
}

/// Which deal each commit was, as those were told who listen.
struct Order {
    heard: modeller::Listener,
    updated: modeller::Emissions<Doctor>,
}

impl Order {
    fn of(app: &App) -> Self {
        Self {
            heard: app.model::<Account>().subscription(Filter::all()).listen(),
            updated: app.model::<Doctor>().on_update(),
        }
    }

    fn taken(&mut self) -> BTreeMap<u64, u64> {
        let mut order = BTreeMap::new();
        let mut note = |seq: u64, number: u64| {
            let known = order.insert(seq, number);
            assert!(known.is_none_or(|known| known == number), "two deals in one commit");
        };
        while let Some(heard) = self.heard.next().now_or_never() {
            let Some(Heard::Payload { seq, payload }) = heard else { panic!("missed: {heard:?}") };
            note(seq, payload.as_u64().unwrap());
        }
        while let Some(emission) = self.updated.next().now_or_never() {
            let Some(Emission::Doc { seq, doc, .. }) = emission else { panic!("missed: {emission:?}") };
            note(seq, doc.by);
        }
        order
    }
}

/// Does all again, one after the other. How many commits there were.
fn replay(names: &Names, began: u64, order: &BTreeMap<u64, u64>, mut done: BTreeMap<u64, Done>) -> (Naive, usize) {
    let mut naive = Naive::new(names);
    let mut states = vec![(began, naive.clone())];
    for (seq, number) in order {
        let done = done.remove(number).unwrap_or_else(|| panic!("the commit {seq} is nobody's, or there twice"));
        assert!(done.from < *seq && *seq <= done.until, "commit {seq} is not from the time of {done:#?}");
        for step in &done.steps {
            match step {
                Step::Wrote(write) => naive.apply(write),
                step => assert!(naive.agrees(step), "{step:?} of commit {seq}: {done:#?}\n{order:?}\n{naive:#?}"),
            }
        }
        naive.check(names);
        states.push((*seq, naive.clone()));
    }
    for done in done.values() {
        let wrote = done.steps.iter().any(|step| matches!(step, Step::Wrote(_)));
        assert!(!wrote, "it was answered, and there is no commit of it: {done:#?}");
        // A state is there from its commit until the next.
        let ends = states.iter().skip(1).map(|(seq, _)| *seq).chain([u64::MAX]);
        let mut there = states.iter().zip(ends).filter(|((at, _), end)| *at <= done.until && done.from < *end);
        assert!(
            there.any(|((_, state), _)| done.steps.iter().all(|step| state.agrees(step))),
            "this was never there: {done:#?}\n{states:#?}"
        );
    }
    (naive, order.len())
}

#[derive(Default)]
struct Counts {
    histories: u64,
    commits: usize,
    deals: usize,
    runs: u64,
    faults: u64,
}

async fn history(stage: &Stage, order: &mut Order, names: &Names, random: &mut Random, counts: &mut Counts) {
    let models = Models::of(&stage.app);
    stage
        .app
        .transaction(|tx| async move {
            let models = Models::inside(&tx)?;
            for n in 0..ACCOUNTS {
                let account = Account { owner: names.owner(n), branch: names.place(), balance: BALANCE };
                models.accounts.insert_with_id(names.account(n).parse()?, account).await?;
            }
            for n in 0..DOCTORS {
                let doctor = Doctor { ward: names.place(), on_call: true, by: 0 };
                models.doctors.insert_with_id(names.doctor(n).parse()?, doctor).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let began = stage.app.seq();
    assert!(order.taken().is_empty());
    stage.done.lock().unwrap().clear();
    let tasks: Vec<_> = (0..2 + random.below(3))
        .map(|_| {
            let deals: Vec<Deal> = (0..2 + random.below(5)).map(|_| deal(random, names)).collect();
            counts.deals += deals.len();
            let (stage, names, mut random) = (stage.clone(), names.clone(), Random::new(random.any()));
            tokio::spawn(async move {
                for deal in deals {
                    stage.carry_out(&deal, &names, &mut random).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let done = std::mem::take(&mut *stage.done.lock().unwrap());
    let (naive, commits) = replay(names, began, &order.taken(), done);
    // What is there is what the serial order left.
    for question in [
        Question::Branch(names.place()),
        Question::Owner(names.exclusive(0).0),
        Question::Owner(names.exclusive(1).0),
        Question::Owner(names.claimed()),
        Question::Ward(names.place()),
        Question::Bookings(names.place()),
    ] {
        assert_eq!(models.ask(&question).await.unwrap(), naive.ask(&question), "{question:?}");
    }
    counts.histories += 1;
    counts.commits += commits;
}

/// What the other writer needs to know.
#[derive(Clone, Default)]
struct Other {
    history: Arc<AtomicU64>,
    /// That of the stage, once there is one.
    stage: Arc<Mutex<Option<Stage>>>,
}

/// Loses requests and answers, and transfers something itself from time to time.
fn faults(seed: u64, other: Other) -> Faults {
    let mut random = Random::new(seed);
    Faults::seeded(seed).lose_requests(0.05).lose_answers(0.05).fail_find(0.05).second_writer(move |head, look| {
        if !random.one_in(4) {
            return None;
        }
        let stage = other.stage.lock().unwrap();
        let stage = stage.as_ref()?;
        let names = Names(other.history.load(Ordering::Relaxed));
        let (from, to) = (names.account(random.below(2)), names.account(2 + random.below(2)));
        let number = stage.next.fetch_add(1, Ordering::Relaxed);
        let (mut steps, mut changes) = (Vec::new(), Vec::new());
        for (id, by) in [(from, -1), (to, 1)] {
            let (rev, doc) = look("accounts", &id)?;
            let mut doc: serde_json::Value = serde_json::from_str(&doc).ok()?;
            let balance = doc["balance"].as_i64()?;
            if balance + by < 0 {
                return None;
            }
            steps.push(Step::Asked(Question::Account(id.clone()), vec![(id.clone(), balance)]));
            steps.push(Step::Wrote(Write::Balance(id.clone(), balance + by)));
            doc["balance"] = json!(balance + by);
            let (model, doc) = ("accounts".into(), Some(doc.to_string()));
            changes.push(StoredChange { model, id, rev: 1 + rev.max(head.seq), doc });
        }
        let done = Done { deal: "that of another writer".into(), steps, from: head.seq, until: u64::MAX };
        stage.done.lock().unwrap().insert(number, done);
        let (model, room) = ("accounts".into(), "{}".into());
        let published = vec![StoredPublish { model, room, payload: number.to_string(), about: None }];
        Some(vec![EntryKind::Commit { changes, published }])
    })
}

/// One application on one of five engines.
async fn histories(seed: u64, count: u64, counts: &mut Counts) {
    let mut random = Random::new(seed);
    let other = Other::default();
    // For every second one the committer has a thread of its own.
    let (kind, most) = (seed % 5, Duration::from_micros(300 * (seed % 2)));
    let memory = match kind {
        0 | 1 => Memory::with_faults(faults(seed, other.clone())),
        _ => Memory::new(),
    };
    let app = loop {
        let builder = App::new().model::<Account>().model::<Doctor>().model::<Booking>();
        let slow = Slow::new(memory.clone(), most, seed);
        let builder = if kind == 4 { builder.in_memory() } else { builder.storage(slow) };
        match builder.open().await {
            Ok(app) => break app,
            Err(error) => assert_eq!(error.code(), &ErrorCode::Unavailable, "{error}"),
        }
    };
    let stage =
        Stage { app: app.clone(), next: Arc::new(AtomicU64::new(1)), done: Arc::default(), runs: Arc::default() };
    *other.stage.lock().unwrap() = Some(stage.clone());
    let mut order = Order::of(&app);
    assert_eq!(app.model::<Account>().subscription(Filter::all()).room(), "{}");
    for history_now in 0..count {
        other.history.store(history_now, Ordering::Relaxed);
        history(&stage, &mut order, &Names(history_now), &mut random, counts).await;
    }
    // Else the application would keep itself.
    *other.stage.lock().unwrap() = None;
    counts.runs += stage.runs.load(Ordering::Relaxed);
    counts.faults += memory.faults_met();
}

async fn all_histories(first_seed: u64) {
    let wanted = Random::seed("MODELLER_HISTORIES", 10_000) / 2;
    let mut seed = Random::seed("MODELLER_SEED", first_seed);
    let mut counts = Counts::default();
    while counts.histories < wanted {
        println!("seed {seed}");
        histories(seed, PER_APP.min(wanted - counts.histories), &mut counts).await;
        seed += 1;
    }
    let Counts { histories, commits, deals, runs, faults } = counts;
    println!(
        "{histories} histories, {deals} deals, {commits} commits, {runs} runs of transactions, {faults} faults met"
    );
    assert!(commits as u64 > histories * 3 && faults > histories / 10, "too little happened to prove anything");
}

/// Tasks take turns wherever they wait.
#[tokio::test]
async fn histories_on_one_thread_are_serializable() {
    all_histories(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_on_four_threads_are_serializable() {
    all_histories(1_000_000).await;
}
