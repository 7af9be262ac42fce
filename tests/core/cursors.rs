//! Lists that are followed page by page, while others write.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use modeller::prelude::*;
use modeller::storage::Sqlite;
use modeller_tests::Folder;
use modeller_tests::random::Random;
use serde_json::json;

/// In private fields; it may be in no cursor.
const CANARY: &str = "canary-canary-canary-canary";

#[model(id = "stones")]
#[derive(PartialEq)]
pub struct Stone {
    #[field(index)]
    pub colour: u8,
    pub weight: f64,
    pub name: Option<String>,
    #[field(default)]
    pub secret: Private<String>,
}

#[model(id = "pebbles")]
pub struct Pebble {
    #[field(index)]
    pub colour: u8,
}

fn stone(random: &mut Random) -> Stone {
    let name = *random.pick(&[None, Some(""), Some("a"), Some("ab"), Some("b")]);
    Stone {
        colour: random.below(4) as u8,
        // Nearly equal ones, which a decimal that was cut off would make equal.
        weight: 0.1 + f64::from(random.below(6) as u32) * f64::EPSILON / 8.0,
        name: name.map(str::to_owned),
        secret: format!("{CANARY}{}", random.below(3)).into(),
    }
}

/// The same order by hand.
type Order = fn(&Doc<Stone>, &Doc<Stone>) -> Ordering;

fn sorts() -> Vec<(Sort<Stone>, Order)> {
    vec![
        (Sort::parse(&json!({})).unwrap(), |a, b| a.id().cmp(&b.id())),
        (Stone::_ID.desc(), |a, b| b.id().cmp(&a.id())),
        (Stone::COLOUR.asc(), |a, b| a.colour.cmp(&b.colour).then(a.id().cmp(&b.id()))),
        (Stone::COLOUR.desc().then(Stone::WEIGHT.asc()), |a, b| {
            b.colour.cmp(&a.colour).then(a.weight.total_cmp(&b.weight)).then(a.id().cmp(&b.id()))
        }),
        (Stone::NAME.desc().then(Stone::_ID.desc()), |a, b| b.name.cmp(&a.name).then(b.id().cmp(&a.id()))),
        (Sort::parse(&json!({"secret": 1, "weight": -1})).unwrap(), |a, b| {
            let secrets = a.secret.get().cmp(&b.secret.get());
            secrets.then(b.weight.total_cmp(&a.weight)).then(a.id().cmp(&b.id()))
        }),
    ]
}

#[tokio::test]
async fn c12_pages_under_writes_show_each_document_that_stayed_once() {
    let app = App::new().model::<Stone>().in_memory().open().await.unwrap();
    let stones = app.model::<Stone>();
    let seed = Random::seed("MODELLER_SEED", 1);
    let (mut pages, mut writes) = (0, 0);
    for seed in seed..seed + 60 {
        let mut random = Random::new(seed);
        stones.delete_many(Filter::all()).await.unwrap();
        // The model: what is stored, as one would do it by hand.
        let mut stored: BTreeMap<Id<Stone>, Doc<Stone>> = BTreeMap::new();
        for doc in stones.insert_many((0..40).map(|_| stone(&mut random)).collect()).await.unwrap() {
            stored.insert(doc.id(), doc);
        }
        for (sort, order) in sorts() {
            let least = random.below(3) as u8;
            let matches = |stone: &Stone| stone.colour >= least;
            let mut query = Query::of(Stone::COLOUR.gte(least)).sort(sort);
            let mut last: Option<Doc<Stone>> = None;
            let mut listed: Vec<Id<Stone>> = Vec::new();
            let before: Vec<Doc<Stone>> = stored.values().filter(|doc| matches(doc)).cloned().collect();
            loop {
                let size = 1 + random.below(12);
                let page = stones.list(query.clone().limit(size)).await.unwrap();
                pages += 1;
                let mut expected: Vec<&Doc<Stone>> = stored.values().filter(|doc| matches(doc)).collect();
                expected.sort_by(|a, b| order(a, b));
                expected.retain(|doc| last.as_ref().is_none_or(|last| order(doc, last).is_gt()));
                assert_eq!(page.next_cursor.is_some(), expected.len() > size, "seed {seed}");
                expected.truncate(size);
                assert!(page.items.iter().eq(expected.iter().copied()), "seed {seed}: {:?} {expected:?}", page.items);
                listed.extend(page.items.iter().map(Doc::id));
                let Some(cursor) = page.next_cursor else { break };
                assert!(!cursor.contains(CANARY) && cursor.len() < 400, "{cursor}");
                last = page.items.last().cloned();
                query = query.cursor(cursor);
                for _ in 0..random.below(4) {
                    writes += 1;
                    let known: Vec<Id<Stone>> = stored.keys().cloned().collect();
                    // The document that the page ended with too.
                    let id = match (&last, random.one_in(4)) {
                        (Some(last), true) => last.id(),
                        _ => random.pick(&known).clone(),
                    };
                    match (random.below(3), stored.contains_key(&id)) {
                        (0, true) if stored.len() > 20 => {
                            stones.delete(&id).await.unwrap();
                            stored.remove(&id);
                        }
                        (1, true) => {
                            let doc = stones.replace(id.clone(), stone(&mut random)).await.unwrap();
                            stored.insert(id, doc);
                        }
                        _ => {
                            let doc = stones.insert(stone(&mut random)).await.unwrap();
                            stored.insert(doc.id(), doc);
                        }
                    }
                }
            }
            let stayed = |id: &Id<Stone>| before.iter().any(|doc| doc.id() == *id && stored.get(id) == Some(doc));
            let mut once: Vec<Id<Stone>> = listed.iter().filter(|id| stayed(id)).cloned().collect();
            once.sort();
            let all: Vec<Id<Stone>> = before.iter().map(Doc::id).filter(stayed).collect();
            assert_eq!(once, all, "seed {seed}");
        }
    }
    println!("{pages} pages, {writes} writes between them");
    assert!(pages > 1_000 && writes > 1_000);
}

/// The list was refused for its cursor, with the one reason that there is.
#[track_caller]
fn refused<T: std::fmt::Debug>(page: Result<Page<T>>) {
    let error = page.unwrap_err();
    let told = (error.code().as_str(), error.get("path").cloned(), error.get("reason").cloned());
    let reason = json!("is not one of this query and this caller");
    assert_eq!(told, ("INVALID_QUERY", Some(json!("cursor")), Some(reason)));
}

async fn with_stones(app: &App) -> (Model<Stone>, String) {
    let stones = app.model::<Stone>();
    let mut random = Random::new(5);
    stones.insert_many((0..10).map(|_| stone(&mut random)).collect()).await.unwrap();
    let page = stones.list(Query::all().sort(Stone::WEIGHT.asc()).limit(3)).await.unwrap();
    (stones, page.next_cursor.unwrap())
}

#[tokio::test]
async fn a_cursor_is_good_for_its_query_alone() {
    let app = App::new().model::<Stone>().model::<Pebble>().in_memory().open().await.unwrap();
    let (stones, cursor) = with_stones(&app).await;
    let asked = Query::all().sort(Stone::WEIGHT.asc()).cursor(&cursor);
    assert_eq!(stones.list(asked.clone()).await.unwrap().items.len(), 7);
    assert_eq!(stones.list(asked.clone().limit(2)).await.unwrap().items.len(), 2);
    // The same handle by its id is the same caller.
    let json = app.model_by_id("stones").unwrap();
    let as_json = |query: serde_json::Value| Query::<Document>::parse(query).unwrap();
    let page = json.list(as_json(json!({"filter": {}, "sort": {"weight": 1}, "cursor": cursor}))).await.unwrap();
    assert_eq!(page.items.len(), 7);

    refused(stones.list(Query::all().cursor(&cursor)).await);
    refused(stones.list(Query::all().sort(Stone::WEIGHT.desc()).cursor(&cursor)).await);
    refused(stones.list(Query::all().sort(Stone::WEIGHT.asc().then(Stone::NAME.asc())).cursor(&cursor)).await);
    refused(stones.list(Query::of(Stone::COLOUR.gte(0)).sort(Stone::WEIGHT.asc()).cursor(&cursor)).await);
    refused(stones.list(asked.clone()).fields(Projection::include(Stone::NAME)).await);
    refused(app.model_by_id("pebbles").unwrap().list(as_json(json!({"sort": {"weight": 1}, "cursor": cursor}))).await);
    for wrong in [String::new(), "x".into(), cursor.replace(&cursor[9..10], "_"), cursor[1..].into(), cursor.repeat(99)]
    {
        if wrong != cursor {
            refused(stones.list(asked.clone().cursor(wrong)).await);
        }
    }
    let error = stones.list(asked.clone().skip(1)).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!("skip"))));
    // And of another application.
    let other = App::new().model::<Stone>().in_memory().open().await.unwrap();
    refused(other.model::<Stone>().list(asked).await);

    let named = stones.list(Query::all().limit(4)).fields(Projection::include(Stone::NAME)).await.unwrap();
    let query = Query::all().cursor(named.next_cursor.unwrap());
    refused(stones.list(query.clone()).await);
    assert_eq!(stones.list(query).fields(Projection::include(Stone::NAME)).await.unwrap().items.len(), 6);
}

#[tokio::test]
async fn a_cursor_outlives_the_process() {
    let folder = Folder::new();
    let open = || App::new().model::<Stone>().data(folder.path()).open();
    let app = open().await.unwrap();
    let (stones, cursor) = with_stones(&app).await;
    let asked = Query::all().sort(Stone::WEIGHT.asc()).cursor(cursor);
    let rest = stones.list(asked.clone()).await.unwrap().items;
    drop((app, stones));
    let app = open().await.unwrap();
    assert_eq!(app.model::<Stone>().list(asked.clone()).await.unwrap().items, rest);
    drop(app);
    // Of the same data with another secret it is not one.
    std::fs::remove_file(folder.path().join("secret")).unwrap();
    let app = open().await.unwrap();
    refused(app.model::<Stone>().list(asked).await);
    drop(app);
    // Two processes with the same secret take each other's.
    let secret = "0123456789abcdef0123456789abcdef";
    let one = App::new().model::<Stone>().storage(Sqlite::at(folder.path())).secret(secret).open().await.unwrap();
    let page = one.model::<Stone>().list(Query::all().limit(3)).await.unwrap();
    drop(one);
    let other = App::new().model::<Stone>().storage(Sqlite::at(folder.path())).secret(secret).open().await.unwrap();
    let asked = Query::all().cursor(page.next_cursor.unwrap());
    assert_eq!(other.model::<Stone>().list(asked).await.unwrap().items.len(), 7);
}

#[tokio::test]
async fn what_is_too_long_for_a_cursor_is_looked_up_again() {
    let app = App::new().model::<Stone>().in_memory().open().await.unwrap();
    let stones = app.model::<Stone>();
    let name = |last: char| Some(format!("{}{last}", "x".repeat(100_000)));
    for last in ['d', 'b', 'c', 'a'] {
        stones.insert(Stone { colour: 1, weight: 0.0, name: name(last), secret: "".into() }).await.unwrap();
    }
    let query = Query::all().sort(Stone::NAME.asc()).limit(1);
    let first = stones.list(query.clone()).await.unwrap();
    let cursor = first.next_cursor.unwrap();
    assert!(cursor.len() < 300, "{}", cursor.len());
    let last = |page: Page<Stone>| page.items[0].name.clone().unwrap().pop();
    assert_eq!(last(stones.list(query.clone().cursor(&cursor)).await.unwrap()), Some('b'));
    // Another field may change.
    stones.update(first.items[0].id(), Stone::COLOUR.set(2)).await.unwrap();
    assert_eq!(last(stones.list(query.clone().cursor(&cursor)).await.unwrap()), Some('b'));
    stones.update(first.items[0].id(), Stone::NAME.set(name('z'))).await.unwrap();
    let error = stones.list(query.cursor(&cursor)).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!("cursor"))));
}

#[model(id = "sheets")]
pub struct Sheet {
    pub number: u8,
    pub rank: Private<u8>,
    pub shown: bool,
}

/// What a caller is given of a list, and the order of it, is said here.
#[hook(Sheet, before(list))]
async fn shown_only(query: &mut Query<Sheet>) -> Result<()> {
    query.filter = query.filter.clone() & Sheet::SHOWN.eq(true);
    query.sort = Sort::parse(&json!({"rank": -1}))?;
    query.skip = 1;
    query.cursor = None;
    Ok(())
}

#[tokio::test]
async fn a_list_that_a_hook_changes_goes_on_as_the_hook_says() {
    let app = App::new().model::<Sheet>().in_memory().open().await.unwrap();
    let sheets = app.model::<Sheet>();
    for number in 0..10 {
        sheets.insert(Sheet { number, rank: number.into(), shown: number % 2 == 0 }).await.unwrap();
    }
    let mut query = Query::all().limit(2);
    let mut numbers = Vec::new();
    loop {
        let page = sheets.list(query.clone()).await.unwrap();
        numbers.extend(page.items.iter().map(|sheet| sheet.number));
        let Some(cursor) = page.next_cursor else { break };
        query = query.cursor(cursor);
    }
    assert_eq!(numbers, [6, 4, 2, 0]);
    // With another order the place means nothing.
    assert!(sheets.unhook("shown_only"));
    refused(sheets.list(query).await);
}

#[tokio::test]
async fn a_transaction_goes_on_through_what_it_wrote() {
    let app = App::new().model::<Pebble>().in_memory().open().await.unwrap();
    let colours = app
        .transaction(|tx| async move {
            let pebbles = tx.model::<Pebble>()?;
            pebbles.insert_many((0..5).map(|at| Pebble { colour: at * 10 }).collect()).await?;
            let query = Query::all().sort(Pebble::COLOUR.asc()).limit(2);
            let first = pebbles.list(query.clone()).await?;
            pebbles.insert_many(vec![Pebble { colour: 5 }, Pebble { colour: 15 }]).await?;
            let cursor = first.next_cursor.ok_or_else(|| Error::internal("no cursor"))?;
            let rest = pebbles.list(query.limit(0).cursor(cursor)).await?;
            Ok(rest.items.iter().map(|pebble| pebble.colour).collect::<Vec<_>>())
        })
        .await
        .unwrap();
    assert_eq!(colours, [15, 20, 30, 40]);
}

#[model(id = "bags")]
pub struct Bag {
    pub a: Vec<u8>,
    pub b: Vec<u8>,
    #[field(index)]
    pub kind: u8,
}

#[tokio::test]
async fn two_arrays_in_one_sort_are_refused() {
    let app = App::new().model::<Bag>().in_memory().open().await.unwrap();
    let bags = app.model::<Bag>();
    bags.insert_many(vec![Bag { a: vec![2], b: vec![1], kind: 1 }]).await.unwrap();
    let json = Sort::<Bag>::parse(&json!({"a": 1, "kind": 1, "b": -1})).unwrap();
    for filter in [Filter::all(), Bag::KIND.eq(1)] {
        let error = bags.find(filter.clone()).sort(json.clone()).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!("sort"))));
        let query = Query::of(filter).sort(json.clone());
        assert_eq!(bags.list(query).await.unwrap_err().get("path"), Some(&json!("sort")));
    }
    // One array is none too many, and neither are two in documents that do not match.
    assert_eq!(
        bags.find(Filter::all()).sort(Sort::parse(&json!({"a": 1, "kind": 1})).unwrap()).await.unwrap().len(),
        1
    );
    assert!(bags.find(Bag::KIND.eq(2)).sort(json).await.unwrap().is_empty());
}
