//! Lists from outside: page by page, and how they are found.

use axum::Router;
use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{Answer, CANARY, SECRET, ask, ask_with, token};

#[model(id = "games", public, index(kind, won), index(kind, seed), index(points, stake))]
pub struct Game {
    #[field(index)]
    pub kind: String,
    pub won: bool,
    #[field(unique)]
    pub number: i64,
    pub seed: Private<String>,
    #[field(index)]
    pub stake: Protected<i64>,
    pub points: i64,
    #[field(default)]
    pub tags: Vec<String>,
    #[field(default)]
    pub marks: Vec<String>,
}

#[model(id = "boards", public)]
pub struct Board {
    #[field(index)]
    pub name: String,
    pub rank: Private<String>,
    pub level: Protected<i64>,
    #[field(index)]
    pub shown: bool,
}

#[hook(Board, before(list))]
async fn shown_only(query: &mut Query<Board>) -> Result<()> {
    query.filter = query.filter.clone() & Board::SHOWN.eq(true);
    query.sort = Sort::parse(&json!({"rank": -1, "level": 1}))?;
    Ok(())
}

/// Lists as the one who calls, and hands the cursor on.
#[method(Board)]
async fn first(boards: Model<Board>) -> Result<Option<String>> {
    Ok(boards.list(Query::all().limit(1)).await?.next_cursor)
}

async fn app() -> (App, Router) {
    let app = App::new().model::<Game>().model::<Board>().secret(SECRET).in_memory().open().await.unwrap();
    let games = (0..60).map(|number| Game {
        kind: if number % 6 == 0 { "chess" } else { "go" }.into(),
        won: number % 4 == 0,
        number,
        seed: format!("{CANARY}{}", number % 3).into(),
        stake: (number % 5).into(),
        points: number % 10,
        tags: Vec::new(),
        marks: Vec::new(),
    });
    app.model::<Game>().insert_many(games.collect()).await.unwrap();
    let boards = (0..9).map(|number| Board {
        name: format!("b{number}"),
        rank: format!("{CANARY}{}", number % 4).into(),
        level: number.into(),
        shown: number % 3 > 0,
    });
    app.model::<Board>().insert_many(boards.collect()).await.unwrap();
    let router = app.router();
    (app, router)
}

/// As a query string.
async fn list(router: &Router, model: &str, query: &Value, headers: &[(&str, &str)]) -> Answer {
    let pairs = query.as_object().unwrap().iter().map(|(name, value)| {
        let value = if name == "cursor" { value.as_str().unwrap().to_owned() } else { value.to_string() };
        let text: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("{name}={text}")
    });
    let path = format!("/{model}?{}", pairs.collect::<Vec<_>>().join("&"));
    ask_with(router, "GET", &path, Value::Null, headers).await
}

fn with(query: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut query = query.clone();
    query[name] = value.into();
    query
}

fn numbers(answer: &Answer) -> Vec<i64> {
    answer.json()["items"].as_array().unwrap().iter().map(|game| game["number"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_followed_to_its_end_by_either_way() {
    let (app, router) = app().await;
    let query = json!({"filter": {"kind": "go"}, "sort": {"points": -1, "number": 1}, "fields": {"number": 1}});
    let all = list(&router, "games", &with(&query, "limit", 100), &[]).await;
    assert_eq!((numbers(&all).len(), &all.json()["nextCursor"]), (50, &Value::Null));
    let mut asked = with(&query, "count", true);
    let mut found = Vec::new();
    for page in 0.. {
        asked["limit"] = json!([7, 8, 20][page % 3]);
        let answer = match page % 2 {
            0 => list(&router, "games", &asked, &[]).await,
            _ => ask(&router, "POST", "/games/@query", asked.clone()).await,
        };
        assert_eq!((answer.status.as_u16(), &answer.json()["count"]), (200, &json!(50)));
        found.extend(numbers(&answer));
        let next = answer.json()["nextCursor"].clone();
        if next.is_null() {
            break;
        }
        asked["cursor"] = next;
    }
    assert_eq!(found, numbers(&all));
    // A last page that is full is the last one.
    let exact = list(&router, "games", &with(&query, "limit", 50), &[]).await.json();
    assert_eq!((exact["items"].as_array().unwrap().len(), &exact["nextCursor"]), (50, &Value::Null));
    // The document that a page ended with may be gone.
    let page = list(&router, "games", &with(&query, "limit", 2), &[]).await;
    let asked = with(&with(&query, "limit", 100), "cursor", page.json()["nextCursor"].clone());
    app.model::<Game>().delete(Game::NUMBER.eq(numbers(&page)[1])).await.unwrap();
    assert_eq!(numbers(&list(&router, "games", &asked, &[]).await), numbers(&all)[2..]);
}

#[tokio::test]
async fn a_cursor_of_somebody_or_something_else_is_refused() {
    let (app, router) = app().await;
    let query = json!({"filter": {"kind": "go"}, "sort": {"points": -1}});
    let (ada, bob) = (format!("Bearer {}", token(&app, "ada")), format!("Bearer {}", token(&app, "bob")));
    let as_ada = [("authorization", ada.as_str())];
    let cursor = |answer: &Answer| answer.json()["nextCursor"].as_str().unwrap().to_owned();
    let of_ada = cursor(&list(&router, "games", &with(&query, "limit", 3), &as_ada).await);
    let of_anyone = cursor(&list(&router, "games", &with(&query, "limit", 3), &[]).await);
    let in_process = app.model::<Game>().list(Query::parse(with(&query, "limit", 3)).unwrap()).await.unwrap();
    let in_process = in_process.next_cursor.unwrap();
    // Another token of the same one is as good.
    let renewed = format!(
        "Bearer {}",
        app.sign_token(
            [("sub".to_owned(), "ada".into()), ("role".to_owned(), "x".into())].into_iter().collect(),
            std::time::Duration::from_secs(600)
        )
        .unwrap()
    );
    for (who, own) in
        [(Some(&ada), &of_ada), (Some(&renewed), &of_ada), (Some(&bob), &String::new()), (None, &of_anyone)]
    {
        let headers: Vec<_> = who.iter().map(|token| ("authorization", token.as_str())).collect();
        for cursor in [&of_ada, &of_anyone, &in_process] {
            let answer = list(&router, "games", &with(&query, "cursor", cursor.as_str()), &headers).await;
            if cursor == own {
                assert_eq!(numbers(&answer).len(), 47);
            } else {
                assert_eq!(answer.assert_problem(400, "INVALID_QUERY")["path"], "cursor");
            }
        }
    }
    let refused = |answer: &Answer, path: &str| {
        let problem = answer.assert_problem(400, "INVALID_QUERY");
        assert_eq!(problem["path"], path, "{problem}");
        problem["reason"].clone()
    };
    let asked = with(&query, "cursor", of_anyone.as_str());
    let mut reasons = Vec::new();
    for other in [
        with(&asked, "filter", json!({"kind": "chess"})),
        with(&asked, "filter", json!({})),
        with(&asked, "sort", json!({"points": 1})),
        with(&asked, "sort", json!({"points": -1, "number": 1})),
        with(&asked, "fields", json!({"number": 1})),
        with(&asked, "cursor", ""),
        with(&asked, "cursor", "null"),
        with(&asked, "cursor", "€"),
        with(&asked, "cursor", "A".repeat(8_000)),
        with(&asked, "cursor", of_anyone.chars().rev().collect::<String>()),
    ] {
        reasons.push(refused(&list(&router, "games", &other, &[]).await, "cursor"));
        reasons.push(refused(&ask(&router, "POST", "/games/@query", other).await, "cursor"));
    }
    // Which of it was wrong is not told.
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(refused(&list(&router, "boards", &json!({"cursor": of_anyone}), &[]).await, "cursor"), reasons[0]);
    for wrong in [json!(5), Value::Null, json!({})] {
        refused(&ask(&router, "POST", "/games/@query", with(&query, "cursor", wrong)).await, "cursor");
    }
    refused(&list(&router, "games", &with(&asked, "skip", 1), &[]).await, "skip");
    let delete = format!("/games?filter=%7B%7D&cursor={of_anyone}");
    refused(&ask(&router, "DELETE", &delete, Value::Null).await, "");
}

#[tokio::test]
async fn private_never_in_cursors() {
    use base64::Engine;
    let (app, router) = app().await;
    let (mut names, mut query) = (Vec::new(), json!({"limit": 2}));
    let mut lengths = Vec::new();
    loop {
        let page = list(&router, "boards", &query, &[]).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|board| board["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).unwrap();
        assert!(!bytes.windows(6).any(|part| CANARY.as_bytes().starts_with(part)));
        lengths.push(bytes.len());
        query["cursor"] = json!(cursor);
    }
    // The hook's filter and order, of fields that nobody outside may know of.
    assert_eq!(names, ["b7", "b2", "b1", "b5", "b4", "b8"]);
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    // A method that is called lists as its caller, so that he can go on himself.
    let first = ask(&router, "POST", "/boards/first", Value::Null).await.json();
    let rest = list(&router, "boards", &json!({"cursor": first}), &[]).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 5);
    let ada = format!("Bearer {}", token(&app, "ada"));
    let of_ada = list(&router, "boards", &json!({"cursor": first}), &[("authorization", &ada)]).await;
    assert_eq!(of_ada.assert_problem(400, "INVALID_QUERY")["path"], "cursor");
}

async fn explained(router: &Router, query: &Value, headers: &[(&str, &str)]) -> Value {
    let answer = list(router, "games", &with(query, "explain", true), headers).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body.get("items"), body["seq"].is_u64()), (200, None, true), "{body}");
    let by_body = ask_with(router, "POST", "/games/@query", with(query, "explain", true), headers).await;
    assert_eq!(by_body.json(), body);
    body["explain"].clone()
}

#[tokio::test]
async fn how_a_list_is_found_is_told() {
    let (_app, router) = app().await;
    let told = |plan: &str, sorted: bool, [keys, documents, returned]: [u64; 3]| json!({"plan": plan, "sorted": sorted, "keysExamined": keys, "documentsExamined": documents, "returned": returned});
    let id = list(&router, "games", &json!({"limit": 1}), &[]).await.json()["items"][0]["_id"].clone();
    let index = |told: Value, fields: Value, bounds: Value| with(&with(&told, "index", fields), "bounds", bounds);
    for (query, expected) in [
        (json!({}), told("scan", true, [0, 60, 60])),
        (json!({"limit": 5}), told("scan", true, [0, 6, 5])),
        (json!({"filter": {"points": 3}}), told("scan", true, [0, 60, 6])),
        (json!({"sort": {"points": 1}}), told("scan", false, [0, 60, 60])),
        (json!({"filter": {"_id": id}}), with(&told("ids", true, [1, 1, 1]), "bounds", json!({"_id": {"$in": [id]}}))),
        (
            json!({"filter": {"_id": {"$gt": id}}, "limit": 3}),
            with(&told("ids", true, [0, 4, 3]), "bounds", json!({"_id": {"$gt": id}})),
        ),
        (
            json!({"filter": {"number": {"$gte": 50, "$lt": 53}}}),
            index(told("index", false, [3, 3, 3]), json!(["number"]), json!({"number": {"$gte": 50, "$lt": 53}})),
        ),
        (
            json!({"sort": {"number": -1}, "limit": 2}),
            index(told("index", true, [3, 3, 2]), json!(["number"]), json!({})),
        ),
        (
            json!({"filter": {"kind": "chess"}, "sort": {"won": 1}, "limit": 4}),
            index(told("index", true, [5, 5, 4]), json!(["kind", "won"]), json!({"kind": {"$eq": "chess"}})),
        ),
        (
            json!({"filter": {"$or": [{"number": 5}, {"kind": "chess"}]}}),
            with(
                &told("or", false, [11, 11, 11]),
                "parts",
                json!([
                    index(told("index", false, [0, 0, 0]), json!(["number"]), json!({"number": {"$eq": 5}})),
                    index(told("index", false, [0, 0, 0]), json!(["kind"]), json!({"kind": {"$eq": "chess"}})),
                ]),
            ),
        ),
    ] {
        assert_eq!(explained(&router, &query, &[]).await, expected, "{query}");
    }
    // A page further on is found from where the one before ended.
    let query = json!({"sort": {"number": 1}, "limit": 2});
    let cursor = list(&router, "games", &query, &[]).await.json()["nextCursor"].clone();
    let next = explained(&router, &with(&query, "cursor", cursor), &[]).await;
    assert_eq!((&next["keysExamined"], &next["returned"]), (&json!(3), &json!(2)));
    for (query, path) in [
        (json!({"explain": 1}), "explain"),
        (json!({"explain": true, "count": true}), "count"),
        (json!({"explain": true, "cursor": "x"}), "cursor"),
        (json!({"explain": true, "filter": {"seed": "x"}}), "seed"),
        (json!({"explain": true, "sort": {"stake": 1}}), "stake"),
    ] {
        let problem = ask(&router, "POST", "/games/@query", query).await.assert_problem(400, "INVALID_QUERY");
        assert_eq!(problem["path"], path);
    }
    let told = ask(&router, "POST", "/games/@query", json!({"explain": false})).await.json();
    assert_eq!(told["items"].as_array().unwrap().len(), 60);
}

#[tokio::test]
async fn explaining_tells_nothing_of_what_is_withheld() {
    let (app, router) = app().await;
    let ada = format!("Bearer {}", token(&app, "ada"));
    let verified = [("authorization", ada.as_str())];
    // There is an index over `points` and a protected field, and one over `kind` and a private one.
    let query = json!({"filter": {"points": 3}});
    assert_eq!(explained(&router, &query, &[]).await["plan"], "scan");
    let told = explained(&router, &query, &verified).await;
    assert_eq!((&told["plan"], &told["index"]), (&json!("index"), &json!(["points", "stake"])));
    let told = explained(&router, &json!({"filter": {"stake": 3}}), &verified).await;
    assert_eq!((&told["plan"], &told["index"]), (&json!("index"), &json!(["stake"])));
    for headers in [&[][..], &verified] {
        for query in [json!({"filter": {"kind": "chess"}}), json!({"filter": {"kind": "chess"}, "sort": {"won": -1}})] {
            let told = explained(&router, &query, headers).await.to_string();
            assert!(!told.contains("seed"), "{told}");
        }
    }
    // In process all of it is told.
    let games = app.model::<Game>();
    let seed = Game::KIND.eq("go") & Game::SEED.eq(Private::new(format!("{CANARY}1")));
    let index = Some(vec!["kind".to_owned(), "seed".to_owned()]);
    assert_eq!(games.find(seed.clone()).explain().await.unwrap().index, index);
    assert_eq!(games.list(Query::of(seed)).explain().await.unwrap().index, index);

    // What a hook adds to a query is no one's business.
    for headers in [&[][..], &verified] {
        let answer = list(&router, "boards", &json!({"explain": true}), headers).await;
        assert_eq!(answer.assert_problem(400, "INVALID_QUERY")["path"], "explain");
    }
    assert_eq!(app.model::<Board>().list(Query::all()).explain().await.unwrap().returned, 6);
}

#[tokio::test]
async fn two_arrays_in_one_sort_are_refused() {
    let (app, router) = app().await;
    let lists = Game::TAGS.set(vec!["a".into()]) & Game::MARKS.set(vec!["b".into()]);
    app.model::<Game>().update(Game::NUMBER.eq(7), lists).await.unwrap();
    let query = json!({"sort": {"tags": 1, "marks": 1}});
    let problem = list(&router, "games", &query, &[]).await.assert_problem(400, "INVALID_QUERY");
    assert_eq!(problem["path"], "sort");
    // Empty ones are arrays too.
    let query = with(&query, "filter", json!({"number": {"$ne": 7}}));
    assert_eq!(list(&router, "games", &query, &[]).await.assert_problem(400, "INVALID_QUERY")["path"], "sort");
}
