//! Random operations against a naive model, a plain map: the same results, the same errors; and what a reader lists at a
//! `seq` is what the model held at that `seq`.

use std::collections::BTreeMap;

use modeller::prelude::*;
use proptest::prelude::*;
use serde_json::json;

#[model(id = "people")]
#[derive(PartialEq)]
pub struct Person {
    #[field(unique, min_length = 1, max_length = 3)]
    pub name: String,
    #[field(index, minimum = 0, maximum = 9)]
    pub age: i64,
    #[field(index, default)]
    pub role: Option<Role>,
}

#[value]
#[derive(Copy, PartialEq)]
pub enum Role {
    User,
    Admin,
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u8, Person),
    Set(u8, i64),
    Inc(u8, i64),
    Rename(u8, String),
    SetIfRev(u8, i64, bool),
    Replace(u8, Person),
    Delete(u8),
    DeleteWhere(i64),
    InsertMany(Vec<Person>),
    UpdateMany(i64, i64),
    DeleteMany(i64),
    Modify(u8, i64, bool),
    Transfer(u8, u8, i64),
    Read(u8),
    Restore(usize),
    PurgeAll,
    List(i64, bool, usize, usize),
    Count(Option<Role>, i64),
}

fn person() -> impl Strategy<Value = Person> {
    ("[a-d]{0,4}", -1_i64..11, prop_oneof![Just(None), Just(Some(Role::User)), Just(Some(Role::Admin))])
        .prop_map(|(name, age, role)| Person { name, age, role })
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0_u8..6;
    prop_oneof![
        4 => (id(), person()).prop_map(|(id, person)| Op::Insert(id, person)),
        2 => (id(), -1_i64..11).prop_map(|(id, age)| Op::Set(id, age)),
        2 => (id(), -3_i64..4).prop_map(|(id, by)| Op::Inc(id, by)),
        2 => (id(), "[a-d]{0,4}").prop_map(|(id, name)| Op::Rename(id, name)),
        2 => (id(), 0_i64..10, any::<bool>()).prop_map(|(id, age, right)| Op::SetIfRev(id, age, right)),
        2 => (id(), person()).prop_map(|(id, person)| Op::Replace(id, person)),
        2 => id().prop_map(Op::Delete),
        1 => (0_i64..10).prop_map(Op::DeleteWhere),
        1 => prop::collection::vec(person(), 0..3).prop_map(Op::InsertMany),
        1 => (0_i64..10, -2_i64..3).prop_map(|(age, by)| Op::UpdateMany(age, by)),
        1 => (5_i64..10).prop_map(Op::DeleteMany),
        2 => (id(), -3_i64..4, any::<bool>()).prop_map(|(id, by, fails)| Op::Modify(id, by, fails)),
        2 => (id(), id(), 0_i64..10).prop_map(|(a, b, by)| Op::Transfer(a, b, by)),
        1 => id().prop_map(Op::Read),
        3 => any::<usize>().prop_map(Op::Restore),
        1 => Just(Op::PurgeAll),
        2 => (0_i64..10, any::<bool>(), 0_usize..3, 0_usize..5).prop_map(|(age, up, skip, limit)| Op::List(age, up, skip, limit)),
        1 => (prop_oneof![Just(None), Just(Some(Role::Admin))], 0_i64..10).prop_map(|(role, age)| Op::Count(role, age)),
    ]
}

/// The same documents with a Rust type, and as JSON.
trait Form: modeller::Stored {
    fn model(app: &App) -> Model<Self>;
    fn in_transaction(tx: &Transaction) -> Result<Model<Self>>;
    fn of(person: Person) -> Self;
    fn person(&self) -> Person;
    fn older(&mut self, by: i64);
    fn filter(filter: &Filter<Person>) -> Filter<Self>;
    fn update(change: Change) -> Update<Self>;
    fn by_age(up: bool) -> Sort<Self>;
}

enum Change {
    Age(i64),
    Older(i64),
    Name(String),
}

impl Form for Person {
    fn model(app: &App) -> Model<Self> {
        app.model()
    }
    fn in_transaction(tx: &Transaction) -> Result<Model<Self>> {
        tx.model()
    }
    fn of(person: Person) -> Self {
        person
    }
    fn person(&self) -> Person {
        self.clone()
    }
    fn older(&mut self, by: i64) {
        self.age += by;
    }
    fn filter(filter: &Filter<Person>) -> Filter<Self> {
        filter.clone()
    }
    fn update(change: Change) -> Update<Self> {
        match change {
            Change::Age(age) => Self::AGE.set(age),
            Change::Older(by) => Self::AGE.inc(by),
            Change::Name(name) => Self::NAME.set(name),
        }
    }
    fn by_age(up: bool) -> Sort<Self> {
        if up { Self::AGE.asc() } else { Self::AGE.desc() }
    }
}

impl Form for Document {
    fn model(app: &App) -> Model<Self> {
        app.model_by_id("people").unwrap()
    }
    fn in_transaction(tx: &Transaction) -> Result<Model<Self>> {
        tx.model_by_id("people")
    }
    fn of(person: Person) -> Self {
        serde_json::to_value(person).unwrap().try_into().unwrap()
    }
    fn person(&self) -> Person {
        serde_json::from_value(serde_json::to_value(self).unwrap()).unwrap()
    }
    fn older(&mut self, by: i64) {
        let age = self["age"].as_i64().unwrap();
        self.insert("age", age + by);
    }
    fn filter(filter: &Filter<Person>) -> Filter<Self> {
        Filter::parse(&filter.to_json()).unwrap()
    }
    fn update(change: Change) -> Update<Self> {
        let json = match change {
            Change::Age(age) => json!({"$set": {"age": age}}),
            Change::Older(by) => json!({"$inc": {"age": by}}),
            Change::Name(name) => json!({"name": name}),
        };
        Update::parse(json).unwrap()
    }
    fn by_age(up: bool) -> Sort<Self> {
        Sort::parse(&json!({"age": if up { 1 } else { -1 }})).unwrap()
    }
}

/// The schema of [`Person`], as somebody writes it who has no Rust type.
fn people() -> SchemaModel {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "unique": true, "minLength": 1, "maxLength": 3},
            "age": {"type": "integer", "index": true, "minimum": 0, "maximum": 9},
            "role": {"enum": ["user", "admin", null], "index": true, "default": null},
        },
        "required": ["name", "age"],
        "additionalProperties": false,
    });
    SchemaModel::new("people", schema)
}

/// The naive model.
#[derive(Clone, Default)]
struct Naive(BTreeMap<String, (u64, Person)>);

impl Naive {
    fn fits(person: &Person) -> std::result::Result<(), &'static str> {
        let length = person.name.chars().count();
        let fits = (1..=3).contains(&length) && (0..=9).contains(&person.age);
        if fits { Ok(()) } else { Err("VALIDATION_ERROR") }
    }

    fn free(&self, id: &str, name: &str) -> std::result::Result<(), &'static str> {
        let taken = self.0.iter().any(|(other, (_, person))| other != id && person.name == name);
        if taken { Err("UNIQUE_VIOLATION") } else { Ok(()) }
    }

    fn change(
        &mut self,
        id: &str,
        if_rev: Option<u64>,
        change: impl FnOnce(&mut Person),
    ) -> std::result::Result<(), &'static str> {
        let (rev, mut next) = self.0.get(id).cloned().ok_or("NOT_FOUND")?;
        if if_rev.is_some_and(|expected| expected != rev) {
            return Err("CONFLICT");
        }
        change(&mut next);
        Self::fits(&next)?;
        self.free(id, &next.name)?;
        self.0.insert(id.to_owned(), (rev, next));
        Ok(())
    }
}

fn code<T>(result: &Result<T>) -> std::result::Result<(), &str> {
    result.as_ref().map(drop).map_err(|error| error.code().as_str())
}

fn same<T: Form>(documents: &[Doc<T>], expected: &[(&String, &(u64, Person))]) -> bool {
    documents.len() == expected.len()
        && documents.iter().zip(expected).all(|(doc, (id, (rev, person)))| {
            doc.id().to_string() == **id && doc.rev() == *rev && doc.person() == *person
        })
}

async fn run<T: Form>(app: &App, ops: &[Op]) {
    let people = T::model(app);
    let mut naive = Naive::default();
    let mut trash: Vec<(String, Person)> = Vec::new();
    // What the reader has to see at each seq.
    let mut at: BTreeMap<u64, Naive> = BTreeMap::from([(app.seq(), naive.clone())]);
    for op in ops {
        let before = naive.clone();
        let key = |id: u8| format!("id-{id}");
        let id = |id: u8| key(id).parse::<Id<T>>().unwrap();
        match op.clone() {
            Op::Insert(n, person) => {
                let result = people.insert_with_id(id(n), T::of(person.clone())).await;
                let expected = Naive::fits(&person)
                    .and_then(|()| if naive.0.contains_key(&key(n)) { Err("UNIQUE_VIOLATION") } else { Ok(()) })
                    .and_then(|()| naive.free(&key(n), &person.name));
                assert_eq!(code(&result), expected, "{op:?}");
                if let Ok(doc) = result {
                    naive.0.insert(key(n), (doc.rev(), person));
                }
            }
            Op::Set(n, age) => {
                let result = people.update(id(n), T::update(Change::Age(age))).await;
                assert_eq!(code(&result), naive.change(&key(n), None, |person| person.age = age), "{op:?}");
                adopt(&mut naive, &result);
            }
            Op::Inc(n, by) => {
                let result = people.update(id(n), T::update(Change::Older(by))).await;
                assert_eq!(code(&result), naive.change(&key(n), None, |person| person.age += by), "{op:?}");
                adopt(&mut naive, &result);
            }
            Op::Rename(n, name) => {
                // By a filter, which is a transaction and not an intent.
                let Some((_, current)) = naive.0.get(&key(n)).cloned() else { continue };
                let result = people
                    .update(T::filter(&Person::NAME.eq(current.name)), T::update(Change::Name(name.clone())))
                    .await;
                assert_eq!(code(&result), naive.change(&key(n), None, |person| person.name = name), "{op:?}");
                adopt(&mut naive, &result);
            }
            Op::SetIfRev(n, age, right) => {
                let rev = naive.0.get(&key(n)).map_or(1, |(rev, _)| *rev) + u64::from(!right);
                let result = people.update(id(n), T::update(Change::Age(age))).if_rev(rev).await;
                assert_eq!(code(&result), naive.change(&key(n), Some(rev), |person| person.age = age), "{op:?}");
                adopt(&mut naive, &result);
            }
            Op::Replace(n, person) => {
                let result = people.replace(id(n), T::of(person.clone())).await;
                let expected = naive.change(&key(n), None, |old| *old = person);
                assert_eq!(code(&result), expected, "{op:?}");
                adopt(&mut naive, &result);
            }
            Op::Delete(n) => {
                let result = people.delete(id(n)).await;
                assert_eq!(code(&result).is_ok(), naive.0.remove(&key(n)).is_some(), "{op:?}");
            }
            Op::DeleteWhere(age) => {
                let result = people.delete(T::filter(&Person::AGE.eq(age))).await;
                let first = naive.0.iter().find(|(_, (_, person))| person.age == age).map(|(id, _)| id.clone());
                assert_eq!(code(&result), first.as_ref().map(drop).ok_or("NOT_FOUND"), "{op:?}");
                if let Some(first) = first {
                    naive.0.remove(&first);
                }
            }
            Op::InsertMany(new) => {
                let result = people.insert_many(new.iter().cloned().map(T::of).collect()).await;
                let mut next = naive.clone();
                let expected = new.iter().enumerate().try_for_each(|(at, person)| {
                    Naive::fits(person)?;
                    let id = format!("new-{at}");
                    next.free(&id, &person.name)?;
                    next.0.insert(id, (0, person.clone()));
                    Ok(())
                });
                assert_eq!(code(&result), expected, "{op:?}");
                for (doc, person) in result.unwrap_or_default().iter().zip(&new) {
                    naive.0.insert(doc.id().to_string(), (doc.rev(), person.clone()));
                }
            }
            Op::UpdateMany(age, by) => {
                let result = people.update_many(T::filter(&Person::AGE.gte(age)), T::update(Change::Older(by))).await;
                let mut next = naive.clone();
                let found: Vec<String> =
                    next.0.iter().filter(|(_, (_, p))| p.age >= age).map(|(id, _)| id.clone()).collect();
                let expected = found.iter().try_for_each(|id| next.change(id, None, |person| person.age += by));
                assert_eq!(code(&result), expected, "{op:?}");
                if let Ok(count) = result {
                    assert_eq!(count, found.len(), "{op:?}");
                    naive = next;
                    for id in found {
                        let doc = people.get(id.parse::<Id<T>>().unwrap()).await;
                        adopt(&mut naive, &doc.map(Option::unwrap));
                    }
                }
            }
            Op::DeleteMany(age) => {
                let count = people.delete_many(T::filter(&Person::AGE.gte(age))).await.unwrap();
                naive.0.retain(|_, (_, person)| person.age < age);
                assert_eq!(count, before.0.len() - naive.0.len(), "{op:?}");
            }
            Op::Modify(n, by, fails) => {
                let result = people
                    .modify(id(n), |person| {
                        person.older(by);
                        if fails { Err(Error::new("NO")) } else { Ok(()) }
                    })
                    .await;
                let expected = match naive.0.contains_key(&key(n)) {
                    true if fails => Err("NO"),
                    _ => naive.change(&key(n), None, |person| person.age += by),
                };
                assert_eq!(code(&result), expected, "{op:?}");
                adopt(&mut naive, &result);
            }
            Op::Transfer(from, to, by) => {
                // Two documents in one transaction: both or none.
                let result = app
                    .transaction(|tx| async move {
                        let people = T::in_transaction(&tx)?;
                        people.update(id(from), T::update(Change::Older(-by))).await?;
                        people.update(id(to), T::update(Change::Older(by))).await
                    })
                    .await;
                let mut next = naive.clone();
                let expected = next
                    .change(&key(from), None, |person| person.age -= by)
                    .and_then(|()| next.change(&key(to), None, |person| person.age += by));
                assert_eq!(code(&result), expected, "{op:?}");
                if expected.is_ok() {
                    naive = next;
                    for n in if from == to { vec![from] } else { vec![from, to] } {
                        let rev = people.get(id(n)).await.unwrap().unwrap().rev();
                        let entry = naive.0.get_mut(&key(n)).unwrap();
                        assert!(rev > entry.0, "a revision grows");
                        entry.0 = rev;
                    }
                }
            }
            Op::Read(n) => {
                let doc = people.get(id(n)).await.unwrap();
                let expected = naive.0.get(&key(n));
                assert_eq!(doc.map(|doc| (doc.rev(), doc.person())), expected.cloned(), "{op:?}");
            }
            Op::Restore(nth) => {
                let kept = people.trash().list(Filter::all()).limit(1_000).await.unwrap();
                let Some(entry) = nth.checked_rem(kept.len()).map(|nth| &kept[nth]) else { continue };
                let (id, person) = (entry.document_id().to_string(), entry.document().unwrap().person());
                let result = people.trash().restore(&entry.id()).await;
                let expected =
                    if naive.0.contains_key(&id) { Err("UNIQUE_VIOLATION") } else { naive.free(&id, &person.name) };
                assert_eq!(code(&result), expected, "{op:?}");
                if let Ok(doc) = result {
                    assert!(doc.rev() > entry.document().unwrap().rev(), "a revision grows");
                    let at = trash.iter().position(|one| *one == (id.clone(), person.clone())).unwrap();
                    trash.remove(at);
                    naive.0.insert(id, (doc.rev(), person));
                }
            }
            Op::PurgeAll => {
                assert_eq!(people.trash().purge_all().await.unwrap(), trash.len());
                trash.clear();
            }
            Op::List(age, up, skip, limit) => {
                let query = Query::of(T::filter(&Person::AGE.gte(age))).sort(T::by_age(up)).skip(skip).limit(limit);
                let page = people.list(query).await.unwrap();
                let mut expected: Vec<_> = naive.0.iter().filter(|(_, (_, person))| person.age >= age).collect();
                expected.sort_by_key(|(id, (_, person))| (if up { person.age } else { -person.age }, (*id).clone()));
                let most = if limit == 0 { usize::MAX } else { limit };
                let expected: Vec<_> = expected.into_iter().skip(skip).take(most).collect();
                assert!(same(&page.items, &expected), "{op:?}");
            }
            Op::Count(role, age) => {
                let filter = Person::ROLE.eq(role) & !Person::AGE.lt(age);
                let expected = naive.0.values().filter(|(_, person)| person.role == role && person.age >= age).count();
                assert_eq!(people.count(T::filter(&filter)).await.unwrap(), expected, "{op:?}");
            }
        }
        for (id, (_, person)) in before.0.iter().filter(|(id, _)| !naive.0.contains_key(*id)) {
            trash.push((id.clone(), person.clone()));
        }
        let mut kept = in_trash(&people).await;
        for list in [&mut kept, &mut trash] {
            list.sort_by_cached_key(|one| format!("{one:?}"));
        }
        assert_eq!(kept, trash, "the trash after {op:?}");
        let changed =
            naive.0.iter().any(|(id, next)| before.0.get(id) != Some(next)) || naive.0.len() != before.0.len();
        if changed || matches!(op, Op::PurgeAll) {
            at.insert(app.seq(), naive.clone());
        }
        let page = people.list(Query::all()).await.unwrap();
        let expected: Vec<_> = at[&page.seq].0.iter().collect();
        assert!(same(&page.items, &expected), "the list at {} after {op:?}", page.seq);
    }
}

/// The ids and the values of what is in the trash, the last first.
async fn in_trash<T: Form>(people: &Model<T>) -> Vec<(String, Person)> {
    let kept = people.trash().list(Filter::all()).limit(1_000).await.unwrap();
    kept.iter().map(|one| (one.document_id().to_string(), one.document().unwrap().person())).collect()
}

/// The revision is the engine's to choose; it has to grow.
fn adopt<T>(naive: &mut Naive, result: &Result<Doc<T>>) {
    if let Ok(doc) = result {
        let entry = naive.0.get_mut(&doc.id().to_string()).unwrap();
        assert!(doc.rev() > entry.0, "a revision grows");
        entry.0 = doc.rev();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_memory_it_is_a_map(ops in prop::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let typed = || App::new().model::<Person>().in_memory().open();
            run::<Person>(&typed().await.unwrap(), &ops).await;
            // As JSON: of the same model, and of one that has no type.
            run::<Document>(&typed().await.unwrap(), &ops).await;
            run::<Document>(&App::new().schema_model(people()).in_memory().open().await.unwrap(), &ops).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_a_file_it_is_the_same_map_also_after_a_restart(ops in prop::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = modeller_tests::Folder::new();
        runtime.block_on(async {
            let with = || App::new().data(folder.path());
            restarted::<Person>(&ops, || with().model::<Person>().open()).await;
        });
        let folder = modeller_tests::Folder::new();
        runtime.block_on(async {
            let with = || App::new().data(folder.path());
            restarted::<Document>(&ops, || with().schema_model(people()).open()).await;
        });
    }
}

async fn restarted<T: Form>(ops: &[Op], open: impl AsyncFn() -> Result<App>) {
    let app = open().await.unwrap();
    run::<T>(&app, ops).await;
    let all = async |app: &App| {
        let docs = T::model(app).find(Filter::all()).await.unwrap();
        let docs = docs.iter().map(|doc| (doc.id().to_string(), doc.rev(), doc.person())).collect::<Vec<_>>();
        (docs, in_trash(&T::model(app)).await)
    };
    let before = all(&app).await;
    drop(app);
    assert_eq!(all(&open().await.unwrap()).await, before);
}

/// Readers beside writers: each list is that of one commit, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_list_is_that_of_one_commit() {
    let app = App::new().model::<Person>().in_memory().open().await.unwrap();
    let people = app.model::<Person>();
    let names = ["a", "b", "c", "d"];
    for (age, name) in (0..).zip(names) {
        people.insert(Person { name: name.into(), age, role: None }).await.unwrap();
    }
    let writers: Vec<_> = (0..4_usize)
        .map(|writer| {
            let app = app.clone();
            tokio::spawn(async move {
                for step in 0..500 {
                    // Two exchange what they have: the sum stays.
                    let (a, b) = ((writer + step) % 4, (writer + step * 3 + 1) % 4);
                    if a == b {
                        continue;
                    }
                    app.transaction(|tx| async move {
                        let people = tx.model::<Person>()?;
                        let of = |name: &'static str| people.get(Person::NAME.eq(name));
                        let (Some(first), Some(second)) = (of(names[a]).await?, of(names[b]).await?) else {
                            return Err(Error::new("GONE"));
                        };
                        people.update(&first, Person::AGE.set(second.age)).await?;
                        people.update(&second, Person::AGE.set(first.age)).await?;
                        Ok(())
                    })
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    let mut last = 0;
    let mut lists = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let page = people.list(Query::all()).await.unwrap();
        assert!(page.seq >= last, "the head went back");
        last = page.seq;
        let mut ages: Vec<i64> = page.items.iter().map(|person| person.age).collect();
        ages.sort_unstable();
        assert_eq!(ages, [0, 1, 2, 3], "half a transaction was seen at {}", page.seq);
        lists += 1;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    println!("{lists} lists");
}
