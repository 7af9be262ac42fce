//! A private value is no oracle wherever it stands: a right guess and a wrong one are answered alike.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::ask;

#[value]
pub struct Card {
    pub holder: String,
    pub pin: Private<String>,
}

#[model(id = "wallets", public)]
pub struct Wallet {
    pub name: String,
    pub card: Card,
    #[field(default)]
    pub cards: Vec<Card>,
    #[field(default, maximum = 10)]
    pub tries: Private<i64>,
}

fn wallet(name: &str, pin: &str) -> Value {
    let card = json!({"holder": name, "pin": pin});
    json!({"name": name, "card": card, "cards": [card], "tries": 3})
}

#[tokio::test]
async fn filters_sorts_and_updates_tell_nothing() {
    let app = App::new().model::<Wallet>().in_memory().open().await.unwrap();
    let router = app.router();
    let mut paths = Vec::new();
    for (name, pin) in [("a", "9999"), ("b", "1111")] {
        let made = ask(&router, "POST", "/wallets", wallet(name, pin)).await;
        assert_eq!(made.status, 201);
        assert!(made.json()["card"].get("pin").is_none() && made.json()["cards"][0].get("pin").is_none());
        paths.push(format!("/wallets/{}", made.json()["_id"].as_str().unwrap()));
    }
    // In process the same filters find it.
    let found = app.model::<Wallet>().get(Filter::parse(&json!({"card.pin": "9999"})).unwrap()).await.unwrap();
    assert_eq!(found.unwrap().name, "a");

    let guesses = |pin: &str| {
        [
            json!({"card.pin": pin}),
            json!({"card.pin": {"$gte": pin}}),
            json!({"card.pin": {"$in": [pin]}}),
            json!({"card.pin": {"$ne": pin}}),
            json!({"card.pin": {"$not": {"$lt": pin}}}),
            json!({"cards.pin": pin}),
            json!({"cards.0.pin": pin}),
            json!({"cards.0.pin": {"$exists": true}}),
            json!({"card": {"holder": "a", "pin": pin}}),
            json!({"card": {"$gt": {"holder": "a", "pin": pin}}}),
            json!({"cards": [{"holder": "a", "pin": pin}]}),
            json!({"cards": {"$in": [{"holder": "a", "pin": pin}]}}),
            json!({"$nor": [{"$or": [{"card.pin": pin}]}]}),
        ]
    };
    for (right, wrong) in guesses("9999").into_iter().zip(guesses("0000")) {
        let mut answers = Vec::new();
        for filter in [&right, &wrong] {
            let listed = ask(&router, "POST", "/wallets/@query", json!({"filter": filter})).await;
            assert_eq!(listed.status, 200, "{filter}: {}", listed.json());
            answers.push(listed.json()["items"].clone());
        }
        assert_eq!(answers[0], answers[1], "{right}");
    }
    for direction in [1, -1] {
        for path in ["card.pin", "cards.pin", "card", "cards"] {
            let sorted = ask(&router, "POST", "/wallets/@query", json!({"sort": {path: direction}})).await;
            // By holder at most: by the pin the order would be the other way round.
            let first = if direction == -1 && !path.ends_with("pin") { "b" } else { "a" };
            assert_eq!(sorted.json()["items"][0]["name"], first, "{path} {direction}: {}", sorted.json());
        }
    }
    let parts = |pin: &str| {
        [
            json!({"pin": pin}),
            json!({"pin": {"$gt": pin}}),
            json!({"pin": {"$exists": true}}),
            json!({"$eq": {"holder": "a", "pin": pin}}),
            json!({"$nor": [{"pin": pin}]}),
        ]
    };
    for (right, wrong) in parts("9999").into_iter().zip(parts("0000")) {
        let mut answers = Vec::new();
        for test in [&right, &wrong] {
            let fields = json!({"cards": {"$elemMatch": test}, "name": 1});
            let listed = ask(&router, "POST", "/wallets/@query", json!({"fields": fields})).await;
            assert_eq!(listed.status, 200, "{fields}: {}", listed.json());
            answers.push(listed.json()["items"].clone());
        }
        assert_eq!(answers[0], answers[1], "{right}");
        assert!(!answers[0].to_string().contains("pin"), "{}", answers[0]);
    }
    let one = ask(&router, "POST", "/wallets/@query", json!({"fields": {"cards": {"$slice": 1}}})).await.json();
    assert_eq!(one["items"][0]["cards"], json!([{"holder": "a"}]));
    let hidden = ask(&router, "POST", "/wallets/@query", json!({"fields": {"tries": {"$slice": 1}}})).await;
    assert_eq!(hidden.json()["code"], "INVALID_QUERY");
    for path in &paths {
        let counted = ask(&router, "PATCH", path, json!({"$inc": {"tries": 7}})).await;
        assert_eq!((counted.status.as_u16(), &counted.json()["code"]), (400, &json!("INVALID_QUERY")));
        let set = ask(&router, "PATCH", path, json!({"$set": {"card.pin": "2222"}})).await;
        assert_eq!(set.status, 200, "{}", set.json());
        assert!(!set.json().to_string().contains("2222"));
    }
}

#[tokio::test]
async fn operators_that_look_at_a_value_are_not_for_private_ones() {
    let app = App::new().model::<Wallet>().in_memory().open().await.unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/wallets", wallet("a", "9999")).await.json();
    let path = format!("/wallets/{}", made["_id"].as_str().unwrap());
    let card = json!({"holder": "a", "pin": "9999"});
    let refused = [
        json!({"$inc": {"tries": 1}}),
        json!({"$mul": {"tries": 1}}),
        json!({"$min": {"tries": 1}}),
        json!({"$max": {"tries": 1}}),
        json!({"$push": {"tries": 1}}),
        json!({"$bit": {"tries": {"and": 1}}}),
        json!({"$pull": {"tries": 1}}),
        json!({"$pullAll": {"tries": [1]}}),
        json!({"$addToSet": {"tries": 1}}),
        json!({"$pop": {"tries": 1}}),
        json!({"$currentDate": {"tries": true}}),
        json!({"$rename": {"tries": "name"}}),
        json!({"$rename": {"name": "tries"}}),
        // Further down, and as a part of something.
        json!({"$min": {"card.pin": "0"}}),
        json!({"$max": {"cards.0.pin": "0"}}),
        json!({"$rename": {"card.pin": "name"}}),
        json!({"$rename": {"card": "name"}}),
        json!({"$rename": {"name": "card.pin"}}),
        json!({"$min": {"card": card}}),
        json!({"$max": {"cards": [card]}}),
        json!({"$max": {"cards.0": card}}),
        json!({"$pull": {"cards": card}}),
        json!({"$pullAll": {"cards": [card]}}),
        json!({"$pull": {"cards": {"pin": "9999"}}}),
        json!({"$addToSet": {"cards": card}}),
        json!({"$push": {"cards": {"$each": [], "$sort": {"pin": 1}, "$slice": 1}}}),
    ];
    for update in refused {
        let answer = ask(&router, "PATCH", &path, update.clone()).await;
        let answered = (answer.status.as_u16(), answer.json());
        assert_eq!((answered.0, &answered.1["code"]), (400, &json!("INVALID_QUERY")), "{update}: {}", answered.1);
        assert!(!answered.1.to_string().contains("9999"), "{update}: {}", answered.1);
    }
    // What looks at nothing private is done.
    for update in [
        json!({"$push": {"cards": {"$each": [{"holder": "b", "pin": "1"}], "$position": 0, "$slice": 2}}}),
        json!({"$pop": {"cards": 1}}),
        json!({"$max": {"card.holder": "z"}}),
        json!({"$set": {"tries": 4, "cards.0.pin": "2"}}),
    ] {
        let answer = ask(&router, "PATCH", &path, update.clone()).await;
        assert_eq!(answer.status, 200, "{update}: {}", answer.json());
    }
    let stored = app.model::<Wallet>().get(Wallet::NAME.eq("a")).await.unwrap().unwrap();
    assert_eq!((stored.cards.len(), stored.cards[0].pin.get().unwrap().as_str()), (1, "2"));
    assert_eq!((stored.card.holder.as_str(), stored.card.pin.get().unwrap().as_str()), ("z", "9999"));
}

#[model(id = "safes", public)]
pub struct Safe {
    #[field(default)]
    pub spare: Option<Card>,
    #[field(default)]
    pub owned: std::collections::BTreeMap<String, Card>,
    #[field(default)]
    pub locks: Vec<String>,
}

#[tokio::test]
async fn private_values_are_found_behind_options_and_maps() {
    let app = App::new().model::<Safe>().in_memory().open().await.unwrap();
    let router = app.router();
    let card = json!({"holder": "a", "pin": "9999"});
    let made = ask(&router, "POST", "/safes", json!({"spare": card, "owned": {"x": card}})).await.json();
    let path = format!("/safes/{}", made["_id"].as_str().unwrap());
    for (update, status) in [
        (json!({"$max": {"spare.pin": "0"}}), 400),
        (json!({"$max": {"owned.x.pin": "0"}}), 400),
        (json!({"$min": {"spare": null}}), 400),
        (json!({"$min": {"owned.x": null}}), 400),
        (json!({"$rename": {"owned.x": "owned.y"}}), 400),
        (json!({"$max": {"spare.holder": "b"}}), 200),
        (json!({"$max": {"owned.x.holder": "b"}}), 200),
        (json!({"$addToSet": {"locks": "front"}}), 200),
        (json!({"$pull": {"locks": {"$gte": "a"}}}), 200),
    ] {
        assert_eq!(ask(&router, "PATCH", &path, update.clone()).await.status, status, "{update}");
    }
    let safe = app.model::<Safe>().get(Filter::all()).await.unwrap().unwrap();
    let spare = safe.spare.as_ref().unwrap();
    assert_eq!((spare.holder.as_str(), spare.pin.get().unwrap().as_str(), safe.locks.len()), ("b", "9999", 0));
}

#[value]
pub struct Door {
    pub name: String,
    #[field(default)]
    pub code: Private<Option<String>>,
}

#[model(id = "doors", public)]
pub struct Doors {
    pub front: Door,
    #[field(default)]
    pub note: Private<Option<String>>,
}

/// One that was given as null is stored as one that is not known.
#[tokio::test]
async fn a_private_value_that_is_null_is_no_less_private() {
    let app = App::new().model::<Doors>().in_memory().open().await.unwrap();
    let router = app.router();
    for (code, note) in [(json!("1234"), json!("x")), (Value::Null, Value::Null)] {
        let door = json!({"front": {"name": "a", "code": code}, "note": note});
        assert_eq!(ask(&router, "POST", "/doors", door).await.status, 201);
    }
    for fields in [json!({"front": 1, "_id": 0}), json!({"front.name": 1}), json!({"front.x": 0})] {
        let list = ask(&router, "POST", "/doors/@query", json!({"fields": fields})).await.json();
        for door in list["items"].as_array().unwrap() {
            assert_eq!((&door["front"], door.get("note")), (&json!({"name": "a"}), None), "{fields}");
        }
    }
    for path in ["front.code", "front.nothing"] {
        for (test, count) in
            [(json!({"$exists": true}), 0), (json!({"$exists": false}), 2), (json!({"$type": "null"}), 0)]
        {
            let query = json!({"filter": {path: test}, "count": true});
            assert_eq!(ask(&router, "POST", "/doors/@query", query).await.json()["count"], count, "{path} {test}");
        }
    }
}

#[tokio::test]
async fn a_replacement_keeps_what_it_could_not_see() {
    let app = App::new().model::<Wallet>().in_memory().open().await.unwrap();
    let router = app.router();
    let made = ask(&router, "POST", "/wallets", wallet("a", "9999")).await.json();
    let path = format!("/wallets/{}", made["_id"].as_str().unwrap());
    let read = ask(&router, "GET", &path, Value::Null).await.json();
    let next = json!({"name": "b", "card": read["card"], "cards": []});
    let put = ask(&router, "PUT", &path, next).await;
    assert_eq!((put.status.as_u16(), &put.json()["name"]), (200, &json!("b")), "{}", put.json());
    let stored = app.model::<Wallet>().get(Wallet::NAME.eq("b")).await.unwrap().unwrap();
    assert_eq!((stored.card.pin.get().unwrap().as_str(), stored.tries.get()), ("9999", Some(&3)));
    // In process a withheld value is kept as well, and a new one is taken.
    let value =
        Wallet { card: Card { holder: "c".into(), pin: Private::withheld() }, tries: 4.into(), ..stored.value() };
    let replaced = app.model::<Wallet>().replace(&stored, value).await.unwrap();
    assert_eq!((replaced.card.pin.get().unwrap().as_str(), replaced.tries.get()), ("9999", Some(&4)));
}
