//! Live queries, against a server by a script: what it says is right by construction, and when it is cut off is up to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use modeller::client::{RemoteLiveChange, RemoteLiveEvent};
use modeller::prelude::*;
use modeller_tests::proxy::Proxy;
use modeller_tests::random::Random;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{User, client_at, served, user};

type List = Vec<Map<String, Value>>;
/// An id, a revision, and the document where it is known.
type Held = (String, Value, Option<Map<String, Value>>);

/// The lists at all commits.
#[derive(Default)]
struct History {
    lists: BTreeMap<u64, List>,
    acknowledged: u64,
    joins: Vec<Value>,
    unsubscribed: usize,
}

fn doc(id: u32, rev: u64, age: i64, tagged: bool) -> Map<String, Value> {
    let mut doc =
        json!({"_id": format!("u{id}"), "_rev": rev, "email": format!("user-{id}"), "role": "user", "age": age});
    if tagged {
        doc["tags"] = json!(["x"]);
    }
    doc.as_object().unwrap().clone()
}

fn id(doc: &Map<String, Value>) -> &str {
    doc["_id"].as_str().unwrap()
}

/// The difference by the words of the format. Of what is known by its revision alone, another one leaves and enters.
fn difference(old: &[Held], new: &List) -> Vec<Value> {
    let at_new = |id_: &str| new.iter().position(|doc| id(doc) == id_);
    let is_known =
        |(of, rev, content): &Held| content.is_some() || at_new(of).is_some_and(|at| new[at]["_rev"] == *rev);
    let mut changes: Vec<Value> = old
        .iter()
        .filter(|one| at_new(&one.0).is_none() || !is_known(one))
        .map(|(id, ..)| json!({"op": "leave", "id": id}))
        .collect();
    let mut last = None;
    let mut stays = Vec::new();
    for one in old {
        if let Some(at) = at_new(&one.0).filter(|at| last < Some(*at) && is_known(one)) {
            last = Some(at);
            stays.push(one.0.clone());
        }
    }
    for (at, next) in new.iter().enumerate() {
        let Some((of, _, content)) = old.iter().find(|one| one.0 == id(next) && is_known(one)) else {
            changes.push(json!({"op": "enter", "doc": next, "at": at}));
            continue;
        };
        let empty = Map::new();
        let before = content.as_ref().unwrap_or(&empty);
        let set: Map<_, _> = next
            .iter()
            .filter(|(name, value)| content.is_some() && before.get(*name) != Some(*value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let unset: Vec<_> = before.keys().filter(|name| !next.contains_key(*name)).collect();
        let mut change = json!({"op": "change", "id": of, "set": set});
        if !unset.is_empty() {
            change["unset"] = json!(unset);
        }
        if !stays.contains(of) {
            change["at"] = at.into();
        } else if set.is_empty() && unset.is_empty() {
            continue;
        }
        changes.push(change);
    }
    changes
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: Value) -> bool {
    socket.send(Message::text(message.to_string())).await.is_ok()
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Serves one live query for so many commits, and cuts it off now and then.
async fn script(listener: TcpListener, history: Arc<Mutex<History>>, commits: u64, seed: u64) {
    let mut random = Random::new(seed);
    let (mut seq, mut next_id) = (1_u64, 0_u32);
    let mut list: List = Vec::new();
    history.lock().unwrap().lists.insert(seq, list.clone());
    let mut connection = 0;
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
        connection += 1;
        let Some(asked) = hear(&mut socket).await else { continue };
        assert_eq!(asked["method"], "live", "{asked}");
        let params = &asked["params"];
        history.lock().unwrap().joins.push(params.clone());
        let subscription = format!("l{connection}");
        let afresh = random.below(4) == 0;
        let mut result = json!({"subscription": subscription, "seq": seq});
        match params.get("held").filter(|_| !afresh) {
            Some(held) => {
                // What is held has to be a list of the past.
                let held: Vec<(String, Value)> = serde_json::from_value(held.clone()).unwrap();
                let since = params["since"].as_u64().unwrap();
                let then = history.lock().unwrap().lists[&since].clone();
                let then: Vec<_> = then.iter().map(|doc| (id(doc).to_owned(), doc["_rev"].clone())).collect();
                assert_eq!(held, then, "at {since}");
                let old: Vec<_> = held.into_iter().map(|(id, rev)| (id, rev, None)).collect();
                result["changes"] = json!(difference(&old, &list));
            }
            None => result["items"] = json!(list),
        }
        if !say(&mut socket, json!({"jsonrpc": "2.0", "id": asked["id"], "result": result, "seq": seq})).await {
            continue;
        }
        let until = random.below(40);
        for step in 0.. {
            if seq >= commits {
                // All is said; what is left is to be acknowledged.
                while let Some(heard) = hear(&mut socket).await {
                    let mut history = history.lock().unwrap();
                    match heard["method"].as_str().unwrap() {
                        "ack" => history.acknowledged = heard["params"]["seq"].as_u64().unwrap(),
                        "unsubscribe" => {
                            assert_eq!(heard["params"]["subscription"], json!(subscription));
                            history.unsubscribed += 1;
                        }
                        other => panic!("{other}"),
                    }
                }
                break;
            }
            let old = list.clone();
            for _ in 0..=random.below(3) {
                match random.below(4) {
                    0 if !list.is_empty() => drop(list.remove(random.below(list.len()))),
                    1 if !list.is_empty() => {
                        let at = random.below(list.len());
                        let number = id(&list[at])[1..].parse().unwrap();
                        list[at] = doc(number, seq + 1, random.below(100) as i64, random.below(2) == 0);
                    }
                    2 if list.len() > 1 => {
                        let (a, b) = (random.below(list.len()), random.below(list.len()));
                        list.swap(a, b);
                    }
                    _ => {
                        next_id += 1;
                        let at = random.below(list.len() + 1);
                        list.insert(at, doc(next_id, seq + 1, 0, false));
                    }
                }
            }
            seq += 1;
            history.lock().unwrap().lists.insert(seq, list.clone());
            let away = step >= until;
            if !away {
                let old: Vec<_> = old.into_iter().map(|doc| (id(&doc).to_owned(), json!(0), Some(doc))).collect();
                let notification = match random.below(20) {
                    0 => {
                        json!({"jsonrpc": "2.0", "method": "reset", "params": {"subscription": subscription, "seq": seq, "items": list}})
                    }
                    // The server is wrong: the client notices, and asks for the list.
                    1 => json!({"jsonrpc": "2.0", "method": "commit", "params": {"seq": seq, "subscriptions": [
                        {"subscription": subscription, "changes": [{"op": "leave", "id": "nobody"}]}
                    ]}}),
                    _ => json!({"jsonrpc": "2.0", "method": "commit", "params": {"seq": seq, "subscriptions": [
                        {"subscription": "of another one", "changes": [{"op": "leave", "id": "nobody"}]},
                        {"subscription": subscription, "changes": difference(&old, &list)},
                    ]}}),
                };
                let wrong = notification["params"]["subscriptions"].as_array().is_some_and(|all| all.len() == 1);
                if !say(&mut socket, notification).await {
                    break;
                }
                if wrong {
                    let again = loop {
                        match hear(&mut socket).await {
                            Some(heard) if heard["method"] == "live" => break Some(heard),
                            Some(_) => {}
                            None => break None,
                        }
                    };
                    let Some(again) = again else { break };
                    assert_eq!(again["params"].get("held"), None);
                    let result = json!({"subscription": subscription, "seq": seq, "items": list});
                    say(&mut socket, json!({"jsonrpc": "2.0", "id": again["id"], "result": result, "seq": seq})).await;
                }
            } else if random.below(3) == 0 {
                break;
            }
        }
        if seq >= commits && history.lock().unwrap().unsubscribed > 0 {
            return;
        }
    }
}

fn of(doc: &Doc<User>) -> (String, u64, String, i64, Vec<String>) {
    (doc.id().to_string(), doc.rev(), doc.email.clone(), doc.age, doc.tags.clone())
}

fn of_json(doc: &Map<String, Value>) -> (String, u64, String, i64, Vec<String>) {
    let text = |name: &str| doc[name].as_str().unwrap().to_owned();
    let tags = doc.get("tags").map(|tags| serde_json::from_value(tags.clone()).unwrap()).unwrap_or_default();
    (text("_id"), doc["_rev"].as_u64().unwrap(), text("email"), doc["age"].as_i64().unwrap(), tags)
}

/// Does to a list what an event says, and answers the commit that it is at.
fn follow(told: &mut Vec<Doc<User>>, event: RemoteLiveEvent<User>) -> u64 {
    match event {
        RemoteLiveEvent::Snapshot { seq, items } => {
            *told = items;
            seq
        }
        RemoteLiveEvent::Commit { seq, changes } => {
            let moved: Vec<_> = changes
                .iter()
                .map(|change| match change {
                    RemoteLiveChange::Leave { id } => id.clone(),
                    RemoteLiveChange::Change { doc, .. } | RemoteLiveChange::Enter { doc, .. } => doc.id(),
                    _ => unreachable!(),
                })
                .collect();
            told.retain(|doc| !moved.contains(&doc.id()));
            for change in changes {
                if let RemoteLiveChange::Change { doc, at } | RemoteLiveChange::Enter { doc, at } = change {
                    told.insert(at, doc);
                }
            }
            seq
        }
        _ => unreachable!(),
    }
}

/// What is held is the list of some commit, at each moment, and the events lead from one to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_always_that_of_a_commit() {
    const COMMITS: u64 = 1_500;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let history = Arc::new(Mutex::new(History::default()));
    let server = tokio::spawn(script(listener, history.clone(), COMMITS, 7));
    let users = client_at(addr).model::<User>();
    let query = Query::all().sort(User::AGE.desc()).skip(1).limit(50);
    let mut live = users.live(query.clone()).await.unwrap();
    // Equal ones are one to the server.
    let equal = users.live(query).await.unwrap();
    let check = |seq: u64, items: &[Doc<User>]| {
        let expected: Vec<_> = history.lock().unwrap().lists[&seq].iter().map(of_json).collect();
        assert_eq!(items.iter().map(of).collect::<Vec<_>>(), expected, "at {seq}");
    };
    // Told by the events alone.
    let mut told: Vec<Doc<User>> = Vec::new();
    let mut last = 0;
    while last < COMMITS {
        let event = tokio::time::timeout(Duration::from_secs(60), live.next()).await.expect("an event in time");
        let (seq, items) = live.snapshot();
        check(seq, &items);
        last = follow(&mut told, event.unwrap().unwrap());
        check(last, &told);
    }
    assert_eq!((live.seq(), live.items().len()), (COMMITS, told.len()));
    check(equal.seq(), &equal.items());
    let joins = history.lock().unwrap().joins.clone();
    assert!(joins.len() > 10, "{}", joins.len());
    assert_eq!(
        (&joins[0]["sort"], &joins[0]["skip"], &joins[0]["limit"]),
        (&json!({"age": -1}), &json!(1), &json!(50))
    );
    drop((live, equal));
    // Nobody listens any more, which the server is told once.
    let left = async {
        while history.lock().unwrap().unsubscribed == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), left).await.unwrap();
    assert!(history.lock().unwrap().acknowledged >= COMMITS - 1);
    drop(users);
    tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
}

/// The same of a server: each state that is held is a state that was, through connections that break.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_a_server_is_always_that_of_a_commit() {
    const STEPS: usize = 600;
    let served = served().await;
    let proxy = Proxy::start(served.addr).await;
    let here = served.app.model::<User>();
    let query = || Query::of(User::AGE.lt(60)).sort(User::AGE.desc()).skip(1).limit(8);
    let mut live = client_at(proxy.addr).model::<User>().live(query()).await.unwrap();
    let history = Arc::new(Mutex::new(BTreeMap::from([(0, Vec::new())])));
    let of_writer = history.clone();
    let writer = tokio::spawn(async move {
        let mut random = Random::new(11);
        let mut ids: Vec<Id<User>> = Vec::new();
        let mut wanted = 0;
        for step in 0..STEPS {
            let age = random.below(80) as i64;
            match random.below(5) {
                0 if ids.len() > 12 => drop(here.delete(ids.remove(random.below(ids.len()))).await.unwrap()),
                1..=3 if !ids.is_empty() => {
                    let id = &ids[random.below(ids.len())];
                    here.update(id, User::AGE.set(age) & User::TAGS.push(step.to_string())).await.unwrap();
                }
                _ => ids.push(here.insert(User { age, ..user(&format!("user-{step}")) }).await.unwrap().id()),
            }
            let page = here.list(query()).await.unwrap();
            of_writer.lock().unwrap().insert(page.seq, page.items.iter().map(of).collect::<Vec<_>>());
            if proxy.cuts() == wanted {
                // At an acknowledgement, after a few of them.
                wanted += 1;
                proxy.cut_after([1_000 + random.below(2_000)]);
            }
            tokio::time::sleep(Duration::from_millis(random.below(4) as u64)).await;
        }
        proxy.cuts()
    });
    let mut told: Vec<Doc<User>> = Vec::new();
    let mut seen = 0;
    let mut written = None;
    let mut writer = Some(writer);
    loop {
        if written.is_none() && writer.as_ref().is_some_and(tokio::task::JoinHandle::is_finished) {
            written = Some(writer.take().unwrap().await.unwrap());
        }
        if written.is_some()
            && live.items().iter().map(of).eq(history.lock().unwrap().values().next_back().unwrap().clone())
        {
            break;
        }
        let Ok(event) = tokio::time::timeout(Duration::from_millis(500), live.next()).await else { continue };
        seen += 1;
        let seq = follow(&mut told, event.unwrap().unwrap());
        for (seq, items) in [(seq, told.clone()), live.snapshot()] {
            // Its writer may not have noted it yet.
            while *history.lock().unwrap().keys().next_back().unwrap() < seq {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let expected = history.lock().unwrap().range(..=seq).next_back().unwrap().1.clone();
            assert_eq!(items.iter().map(of).collect::<Vec<_>>(), expected, "at {seq}");
        }
    }
    let cuts = written.unwrap();
    assert!(cuts > 4 && seen > STEPS / 6, "{cuts} cuts, {seen} events");
}
