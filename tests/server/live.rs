//! Live queries: whoever has applied the frame of a commit holds exactly the list at that commit, by the socket and as
//! server-sent events, for anyone who may see what, whatever happens in between.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use modeller::AppBuilder;
use modeller::prelude::*;
use modeller::wire::live::{LiveChange, apply};
use modeller_tests::Folder;
use modeller_tests::random::Random;
use serde_json::{Map, Value, json};

use crate::support::{CANARY, SECRET, Served, Socket, serve, token};

/// What a team works on: its members read it, and anyone what is open.
#[model(id = "cards", public, client_ids)]
#[derive(PartialEq)]
pub(crate) struct Card {
    #[field(index)]
    pub(crate) team: String,
    pub(crate) rank: i64,
    pub(crate) open: bool,
    pub(crate) tags: Vec<String>,
    #[field(default)]
    pub(crate) note: Option<String>,
    pub(crate) price: Protected<i64>,
    pub(crate) secret: Private<String>,
}

/// Who is in which team.
#[model(id = "memberships")]
pub(crate) struct Membership {
    #[field(index)]
    pub(crate) member: String,
    pub(crate) team: String,
}

#[access(Card)]
async fn card_access(caller: &Caller, memberships: Model<Membership>) -> Result<Access<Card>> {
    let open = Access::none().read(Card::OPEN.eq(true));
    let Some(member) = caller.subject() else { return Ok(open) };
    let mine = memberships.find(Membership::MEMBER.eq(member)).await?;
    Ok(open.read(Card::TEAM.is_in(mine.iter().map(|membership| membership.team.clone()))))
}

/// The same without a rule.
#[model(id = "notes", public, client_ids)]
#[derive(PartialEq)]
pub(crate) struct Note {
    #[field(index)]
    pub(crate) team: String,
    pub(crate) rank: i64,
    pub(crate) text: String,
}

const TEAMS: [&str; 3] = ["red", "green", "blue"];
const WHO: [&str; 2] = ["ada", "bob"];

fn builder() -> AppBuilder {
    App::new().model::<Card>().model::<Membership>().model::<Note>().secret(SECRET)
}

async fn app() -> App {
    builder().in_memory().open().await.unwrap()
}

fn card(random: &mut Random) -> Card {
    Card {
        team: (*random.pick(&TEAMS)).into(),
        rank: random.below(6) as i64,
        open: random.one_in(4),
        tags: (0..random.below(3)).map(|_| format!("t{}", random.below(4))).collect(),
        note: random.one_in(2).then(|| format!("n{}", random.below(3))),
        price: Protected::new(random.below(9) as i64),
        secret: Private::new(CANARY.to_owned()),
    }
}

fn note(random: &mut Random) -> Note {
    Note { team: (*random.pick(&TEAMS)).into(), rank: random.below(6) as i64, text: format!("x{}", random.below(9)) }
}

/// What is asked of the list: model, filter, sort, skip, limit.
fn query(random: &mut Random) -> Value {
    let is_card = random.one_in(2);
    let filter = match random.below(7) {
        0 => json!({}),
        1 => json!({"team": random.pick(&TEAMS)}),
        2 => json!({"rank": {"$gte": random.below(6)}}),
        3 => json!({"rank": {"$gt": random.below(3), "$lte": 3 + random.below(3)}}),
        4 => json!({"$or": [{"team": "red"}, {"rank": random.below(6)}]}),
        5 if is_card => json!({"tags": {"$in": ["t1", "t2"]}}),
        6 if is_card => json!({"note": null}),
        _ => json!({"team": {"$ne": "red"}}),
    };
    let sort = match random.below(5) {
        0 => json!({}),
        1 => json!({"rank": 1}),
        2 => json!({"rank": -1, "team": 1}),
        3 => json!({"_id": -1}),
        _ => json!({"team": 1, "rank": -1}),
    };
    let model = if is_card { "cards" } else { "notes" };
    json!({"model": model, "filter": filter, "sort": sort, "skip": random.below(3) * random.below(12), "limit": 1 + random.below(12)})
}

/// A client that holds lists, and what it has asked for.
struct Client {
    who: Option<&'static str>,
    socket: Option<Socket>,
    lists: BTreeMap<String, Held>,
    acks: bool,
}

struct Held {
    query: Value,
    list: Vec<Map<String, Value>>,
    seq: u64,
}

impl Client {
    async fn connect(&mut self, served: &Served) {
        let token = self.who.map(|who| token(&served.app, who));
        let mut socket = served.socket(token.as_deref()).await;
        let mut lists = BTreeMap::new();
        for (_, held) in std::mem::take(&mut self.lists) {
            let mut asked = held.query.clone();
            asked["since"] = held.seq.into();
            asked["held"] = held.list.iter().map(|doc| json!([doc["_id"], doc["_rev"]])).collect();
            let (name, held) = open(&mut socket, &mut lists, asked, Some(held)).await;
            lists.insert(name, held);
        }
        self.lists = lists;
        self.socket = Some(socket);
    }

    async fn follow(&mut self, query: Value) {
        let Some(mut socket) = self.socket.take() else { return };
        let mut lists = std::mem::take(&mut self.lists);
        let (name, held) = open(&mut socket, &mut lists, query, None).await;
        lists.insert(name, held);
        (self.socket, self.lists) = (Some(socket), lists);
    }

    /// Reads what is there by the time that this is answered.
    async fn catch_up(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        // Frames stand before the answer of what was asked after them.
        let id = socket.request("unsubscribe", json!({"subscription": "none"})).await;
        loop {
            let frame = socket.frame().await.unwrap();
            if frame["id"] == id {
                return;
            }
            take(&mut self.lists, &frame);
            if self.acks && frame["method"] == "commit" {
                let seq = &frame["params"]["seq"];
                socket.send_text(json!({"jsonrpc": "2.0", "method": "ack", "params": {"seq": seq}}).to_string()).await;
            }
        }
    }
}

/// Asks for a list; what comes before the answer is of others.
async fn open(
    socket: &mut Socket,
    lists: &mut BTreeMap<String, Held>,
    asked: Value,
    held: Option<Held>,
) -> (String, Held) {
    let id = socket.request("live", asked.clone()).await;
    let result = loop {
        let frame = socket.frame().await.unwrap();
        if frame["id"] == id {
            break frame["result"].clone();
        }
        take(lists, &frame);
    };
    assert!(result.is_object(), "{asked}");
    let mut query = asked;
    query.as_object_mut().unwrap().retain(|name, _| name != "since" && name != "held");
    let seq = result["seq"].as_u64().unwrap();
    let list = match (held, result.get("changes")) {
        (Some(mut held), Some(changes)) => {
            apply(&mut held.list, serde_json::from_value(changes.clone()).unwrap()).unwrap();
            held.list
        }
        _ => serde_json::from_value(result["items"].clone()).unwrap(),
    };
    (result["subscription"].as_str().unwrap().to_owned(), Held { query, list, seq })
}

fn take(lists: &mut BTreeMap<String, Held>, frame: &Value) {
    let params = &frame["params"];
    match frame["method"].as_str() {
        Some("commit") => {
            let seq = params["seq"].as_u64().unwrap();
            for part in params["subscriptions"].as_array().unwrap() {
                let held = lists.get_mut(part["subscription"].as_str().unwrap()).unwrap();
                assert!(held.seq < seq, "in order");
                let changes: Vec<LiveChange> = serde_json::from_value(part["changes"].clone()).unwrap();
                assert!(!changes.is_empty());
                apply(&mut held.list, changes).unwrap();
            }
            lists.values_mut().for_each(|held| held.seq = seq);
        }
        Some("reset") => {
            let held = lists.get_mut(params["subscription"].as_str().unwrap()).unwrap();
            held.list = serde_json::from_value(params["items"].clone()).unwrap();
            held.seq = params["seq"].as_u64().unwrap();
        }
        other => panic!("{other:?} {frame}"),
    }
}

/// One commit at random.
async fn write(app: &App, random: &mut Random) -> Result<()> {
    let (cards, notes, memberships) = (app.model::<Card>(), app.model::<Note>(), app.model::<Membership>());
    let id = format!("d{:02}", random.below(40));
    match random.below(20) {
        0 => {
            let (member, team) = (*random.pick(&WHO), *random.pick(&TEAMS));
            let known = memberships.find(Membership::MEMBER.eq(member) & Membership::TEAM.eq(team)).await?;
            match known.first() {
                Some(known) => drop(memberships.delete(known.id()).await?),
                None => drop(memberships.insert(Membership { member: member.into(), team: team.into() }).await?),
            }
        }
        1..=5 => drop(cards.upsert(id.parse::<Id<Card>>()?, card(random)).await?),
        6 => drop(cards.delete(id.parse::<Id<Card>>()?).await?),
        7..=10 => drop(cards.update(id.parse::<Id<Card>>()?, Card::RANK.set(random.below(6) as i64)).await?),
        11..=14 => drop(notes.upsert(id.parse::<Id<Note>>()?, note(random)).await?),
        15 => drop(notes.delete(id.parse::<Id<Note>>()?).await?),
        16..=17 => drop(notes.update(id.parse::<Id<Note>>()?, Note::RANK.inc(1)).await?),
        18 => {
            notes.update_many(Note::TEAM.eq(*random.pick(&TEAMS)), Note::RANK.set(random.below(6) as i64)).await?;
        }
        _ => {
            cards.update_many(Card::RANK.lt(2), Card::OPEN.set(random.one_in(2))).await?;
        }
    }
    Ok(())
}

/// The list as whoever it is sees it when he asks for it.
async fn fresh(served: &Served, who: Option<&str>, query: &Value) -> Vec<Map<String, Value>> {
    let router = served.app.router();
    let mut body = query.clone();
    let model = body.as_object_mut().unwrap().remove("model").unwrap();
    let token = who.map(|who| format!("Bearer {}", token(&served.app, who)));
    let headers: Vec<(&str, &str)> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    let path = format!("/{}/@query", model.as_str().unwrap());
    let answer = crate::support::ask_with(&router, "POST", &path, body, &headers).await;
    serde_json::from_value(answer.json()["items"].clone()).unwrap_or_else(|_| panic!("{:?}", answer.json()))
}

/// With a folder, the server is stopped and started again now and then.
#[expect(clippy::print_stdout, reason = "how much was compared")]
async fn the_law(seed: u64, operations: usize, folder: Option<&Folder>) {
    let mut random = Random::new(seed);
    let open = async || match folder {
        Some(folder) => builder().data(folder.path()).open().await.unwrap(),
        None => app().await,
    };
    let mut served = serve(open().await).await;
    let mut clients: Vec<Client> = [None, Some("ada"), Some("bob"), Some("ada")]
        .into_iter()
        .enumerate()
        .map(|(number, who)| Client { who, socket: None, lists: BTreeMap::new(), acks: number % 2 == 0 })
        .collect();
    let (mut compared, mut changed) = (0, 0);
    let mut done = 0;
    while done < operations {
        // Some at once, so that they are written in groups, and run into each other.
        let together = 1 + random.below(6);
        let apps: Vec<_> = (0..together).map(|_| (served.app.clone(), Random::new(random.any()))).collect();
        let writes = apps.into_iter().map(|(app, mut random)| async move {
            match write(&app, &mut random).await {
                Err(error) if *error.code() != ErrorCode::NotFound => panic!("{error}"),
                _ => {}
            }
        });
        futures_util::future::join_all(writes).await;
        done += together;
        if folder.is_some() && random.one_in(20) {
            clients.iter_mut().for_each(|client| client.socket = None);
            served.stop.take();
            served.serving.await.unwrap().unwrap();
            drop(served.app);
            served = serve(open().await).await;
        }
        for client in &mut clients {
            match random.below(12) {
                0 => client.socket = None,
                1 | 2 if client.socket.is_some() && client.lists.len() < 8 => {
                    let query = query(&mut random);
                    client.follow(query).await;
                }
                3 if client.lists.len() > 4 => {
                    let Some(socket) = &mut client.socket else { continue };
                    let name = client.lists.keys().nth(random.below(client.lists.len())).unwrap().clone();
                    let id = socket.request("unsubscribe", json!({"subscription": name})).await;
                    loop {
                        let frame = socket.frame().await.unwrap();
                        if frame["id"] == id {
                            break;
                        }
                        take(&mut client.lists, &frame);
                    }
                    client.lists.remove(&name);
                }
                _ => {}
            }
            if client.socket.is_none() && random.one_in(2) {
                client.connect(&served).await;
            }
            // Some do not read for a while.
            if client.socket.is_some() && !random.one_in(3) {
                client.catch_up().await;
                for held in client.lists.values() {
                    let expected = fresh(&served, client.who, &held.query).await;
                    assert_eq!(held.list, expected, "seed {seed}: {:?} {}", client.who, held.query);
                    compared += 1;
                    changed += usize::from(!expected.is_empty());
                }
            }
        }
    }
    println!("seed {seed}: {done} operations, {compared} lists compared, {changed} of them not empty");
    assert!(changed > operations / 8, "{changed}");
}

#[tokio::test]
async fn whoever_has_applied_all_frames_holds_the_list() {
    let seed = Random::seed("SEED", 1);
    for seed in seed..seed + 3 {
        the_law(seed, 600, None).await;
    }
    the_law(seed, 300, Some(&Folder::new())).await;
}

/// `OPERATIONS=1000000 cargo test -p modeller-tests --test server -- --ignored million_operations --nocapture`
#[expect(clippy::print_stdout, reason = "the figures")]
#[tokio::test]
#[ignore = "takes as long as it is told"]
async fn a_million_operations_leave_no_list_wrong() {
    let operations: usize = std::env::var("OPERATIONS").map_or(20_000, |text| text.parse().unwrap());
    let began = Instant::now();
    let mut done = 0;
    let mut seed = Random::seed("SEED", 1_000);
    while done < operations {
        let folder = seed.is_multiple_of(10).then(Folder::new);
        the_law(seed, 2_000.min(operations - done), folder.as_ref()).await;
        done += 2_000;
        seed += 1;
    }
    println!("{done} operations in {:?}", began.elapsed());
}

#[tokio::test]
async fn frames_of_serial_updates_come_once_and_in_order() {
    let served = serve(app().await).await;
    let notes = served.app.model::<Note>();
    let id = "one".parse::<Id<Note>>().unwrap();
    notes.insert_with_id(id.clone(), Note { team: "red".into(), rank: 0, text: String::new() }).await.unwrap();
    let mut sockets = Vec::new();
    for number in 0..4 {
        let mut socket = served.socket(None).await;
        let asked = json!({"model": "notes", "filter": {"team": "red"}, "limit": 10 + number / 2});
        let answer = socket.ask("live", asked).await;
        assert_eq!(answer["result"]["items"][0]["rank"], 0, "{answer}");
        let first = answer["result"]["seq"].as_u64().unwrap();
        sockets.push(tokio::spawn(async move {
            for rank in 1..=2_000_u64 {
                let frame = socket.frame().await.unwrap();
                let params = &frame["params"];
                assert_eq!((&frame["method"], &params["seq"]), (&json!("commit"), &json!(first + rank)));
                let changes = &params["subscriptions"][0]["changes"];
                assert_eq!(changes[0]["set"]["rank"], rank);
                assert_eq!(changes.as_array().unwrap().len(), 1);
            }
        }));
    }
    for _ in 0..2_000 {
        notes.update(id.clone(), Note::RANK.inc(1)).await.unwrap();
    }
    for socket in sockets {
        socket.await.unwrap();
    }
}

#[tokio::test]
async fn a_frame_stands_before_the_answer_of_the_call_that_made_it() {
    let served = serve(app().await).await;
    let app = &served.app;
    let cards = app.model::<Card>();
    let mut random = Random::new(1);
    let mut one = card(&mut random);
    (one.team, one.open) = ("red".into(), false);
    cards.insert(one).await.unwrap();
    let mut socket = served.socket(Some(&token(app, "ada"))).await;
    let answer = socket.ask("live", json!({"model": "cards"})).await;
    assert_eq!(answer["result"]["items"], json!([]));
    // What gives the right, and what takes it.
    let memberships = app.model::<Membership>();
    let mine = memberships.insert(Membership { member: "ada".into(), team: "red".into() }).await.unwrap();
    let id = socket.request("unsubscribe", json!({"subscription": "none"})).await;
    let frame = socket.frame().await.unwrap();
    assert_eq!(frame["params"]["subscriptions"][0]["changes"][0]["op"], "enter", "{frame}");
    assert_eq!(frame["params"]["subscriptions"][0]["changes"][0]["doc"].get("secret"), None);
    assert_eq!(socket.frame().await.unwrap()["id"], id);
    memberships.delete(mine.id()).await.unwrap();
    let id = socket.request("unsubscribe", json!({"subscription": "none"})).await;
    let frame = socket.frame().await.unwrap();
    assert_eq!(frame["params"]["subscriptions"][0]["changes"][0]["op"], "leave", "{frame}");
    assert_eq!(socket.frame().await.unwrap()["id"], id);
}

#[tokio::test]
async fn who_says_that_he_is_another_one_has_another_list() {
    let served = serve(app().await).await;
    let app = &served.app;
    app.model::<Membership>().insert(Membership { member: "ada".into(), team: "red".into() }).await.unwrap();
    let mut random = Random::new(2);
    for open in [true, false] {
        let mut one = card(&mut random);
        (one.team, one.open, one.price) = ("red".into(), open, Protected::new(7));
        app.model::<Card>().insert(one).await.unwrap();
    }
    let mut socket = served.socket(None).await;
    let answer = socket.ask("live", json!({"model": "cards"})).await;
    let items = answer["result"]["items"].as_array().unwrap();
    assert_eq!((items.len(), items[0].get("price")), (1, None));
    // The list is there before the answer.
    let id = socket.request("authenticate", json!({"token": token(app, "ada")})).await;
    let frame = socket.frame().await.unwrap();
    assert_eq!(frame["method"], "reset");
    let items = frame["params"]["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["price"]), (2, &json!(7)));
    assert_eq!(socket.frame().await.unwrap()["id"], id);
}

#[tokio::test]
async fn what_is_no_live_query_is_refused() {
    let served = serve(app().await).await;
    let mut socket = served.socket(None).await;
    let pair = json!(["a", 1]);
    for (params, code) in [
        (json!({"model": "none"}), "MODEL_NOT_FOUND"),
        (json!({"model": "memberships"}), "MODEL_NOT_FOUND"),
        (json!({"model": "notes", "filter": null}), "INVALID_QUERY"),
        (json!({"model": "notes", "filter": {"txt": 1}}), "INVALID_QUERY"),
        (json!({"model": "cards", "filter": {"secret": CANARY}}), "INVALID_QUERY"),
        (json!({"model": "cards", "sort": {"secret": 1}}), "INVALID_QUERY"),
        (json!({"model": "cards", "sort": {"price": 1}}), "INVALID_QUERY"),
        (json!({"model": "notes", "limit": 1_001}), "INVALID_QUERY"),
        (json!({"model": "notes", "skip": 10_001}), "INVALID_QUERY"),
        (json!({"model": "notes", "cursor": "x"}), "INVALID_REQUEST"),
        (json!({"model": "notes", "since": 1}), "INVALID_REQUEST"),
        (json!({"model": "notes", "held": []}), "INVALID_REQUEST"),
        (json!({"model": "notes", "since": 1, "held": [pair, pair]}), "INVALID_REQUEST"),
        (json!({"model": "notes", "since": 1, "held": [["a"]]}), "INVALID_REQUEST"),
        (json!({"model": "notes", "since": 1, "held": vec![pair.clone(); 1_001]}), "INVALID_REQUEST"),
    ] {
        let answer = socket.ask("live", params.clone()).await;
        assert_eq!(answer["error"]["data"]["code"], code, "{params} {answer}");
    }
    // As many as there may be.
    for number in 0..100 {
        let answer = socket.ask("live", json!({"model": "notes", "filter": {"rank": number}})).await;
        assert!(answer["result"]["subscription"].is_string(), "{answer}");
    }
    let again = socket.ask("live", json!({"model": "notes", "filter": {"rank": {"$eq": 5}}})).await;
    assert!(again["result"]["subscription"].is_string(), "the same once more is none more: {again}");
    let refused = socket.ask("live", json!({"model": "notes", "filter": {"rank": 100}})).await;
    assert_eq!(refused["error"]["data"]["code"], "RATE_LIMITED");
    // A history that is not known here.
    let mut socket = served.socket(None).await;
    let answer = socket.ask("live", json!({"model": "notes", "since": 1_000_000, "held": [pair]})).await;
    assert_eq!(answer["result"]["items"], json!([]));
}

#[tokio::test]
async fn a_list_as_server_sent_events() {
    let served = serve(app().await).await;
    let notes = served.app.model::<Note>();
    notes.insert(Note { team: "red".into(), rank: 1, text: "a".into() }).await.unwrap();
    let path = "/notes/@live?filter=%7B%22team%22:%22red%22%7D&limit=5";
    let mut events = modeller_tests::events::Events::open(served.addr, path, "").await;
    let snapshot = events.next().await.unwrap();
    assert_eq!((snapshot.name.as_str(), &snapshot.data["items"][0]["text"]), ("snapshot", &json!("a")));
    let note = notes.insert(Note { team: "red".into(), rank: 2, text: "b".into() }).await.unwrap();
    let commit = events.next().await.unwrap();
    assert_eq!((commit.name.as_str(), commit.id), ("commit", commit.data["seq"].to_string()));
    assert_eq!(commit.data["subscriptions"][0]["changes"][0]["doc"]["_id"], note.id().to_string());
}

/// So many bytes more than a client reads are kept for it at most.
#[tokio::test]
async fn a_client_that_stops_reading_costs_little_and_misses_nothing() {
    let served = serve(app().await).await;
    let notes = served.app.model::<Note>();
    let id = "large".parse::<Id<Note>>().unwrap();
    notes.insert_with_id(id.clone(), Note { team: "red".into(), rank: 0, text: String::new() }).await.unwrap();
    let mut slow = served.socket(None).await;
    let (mut lists, mut count) = (BTreeMap::new(), 0);
    let (name, held) = open(&mut slow, &mut lists, json!({"model": "notes"}), None).await;
    lists.insert(name, held);
    for number in 0..400_i64 {
        let text = char::from(b'a' + (number % 26) as u8).to_string().repeat(50_000);
        notes.update(id.clone(), Note::TEXT.set(text) & Note::RANK.set(number)).await.unwrap();
    }
    let id = slow.request("unsubscribe", json!({"subscription": "none"})).await;
    let mut last = HashMap::new();
    loop {
        let Ok(frame) = tokio::time::timeout(Duration::from_secs(5), slow.frame()).await else { panic!("it stopped") };
        let frame = frame.unwrap();
        if frame["id"] == id {
            last.insert("answered", count);
        } else {
            take(&mut lists, &frame);
            count += 1;
        }
        if last.contains_key("answered") && lists.values().all(|held| held.list[0]["rank"] == 399) {
            break;
        }
    }
    assert!(count < 300, "{count} frames: what was not read was left out");
}
