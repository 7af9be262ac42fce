//! Models that are given as JSON, over HTTP: the same routes, the same rules.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::*;

fn schema(closed: bool) -> Value {
    json!({
        "properties": {
            "name": {"type": "string", "minLength": 1, "unique": true},
            "level": {"type": "integer", "default": 1, "index": true},
            "password": {"type": "string", "private": true},
            "card": {"$ref": "#/$defs/card"},
            "cards": {"type": "array", "items": {"$ref": "#/$defs/card"}},
        },
        "required": ["name"],
        "additionalProperties": !closed,
        "$defs": {"card": {"properties": {"holder": {}, "pin": {"type": "string", "private": true}}}},
    })
}

async fn router() -> (App, axum::Router) {
    let app = App::new()
        .schema_model(SchemaModel::new("wallets", schema(true)).public())
        .schema_model(SchemaModel::new("open", schema(false)).public().client_ids())
        .schema_model(SchemaModel::new("guarded", json!({})).protected())
        .schema_model(SchemaModel::new("hidden", json!({})))
        .secret(SECRET)
        .in_memory()
        .open()
        .await
        .unwrap();
    let router = app.router();
    (app, router)
}

fn wallet(name: &str, pin: &str) -> Value {
    let card = json!({"holder": name, "pin": pin});
    json!({"name": name, "password": CANARY, "card": card, "cards": [card]})
}

#[tokio::test]
async fn the_routes_are_those_of_any_model() {
    let (app, router) = router().await;
    let made = ask(&router, "POST", "/wallets", wallet("a", "9999")).await;
    assert_eq!((made.status.as_u16(), &made.json()["level"]), (201, &json!(1)));
    let path = made.header("location").to_owned();
    assert_eq!(ask(&router, "GET", &path, Value::Null).await.json(), made.json());
    let patched = ask(&router, "PATCH", &path, json!({"$inc": {"level": 2}})).await;
    assert_eq!(patched.json()["level"], 3);
    let put = ask(&router, "PUT", &path, json!({"name": "b"})).await;
    assert_eq!((&put.json()["name"], &put.json()["level"]), (&json!("b"), &json!(1)));
    let stored = app.model_by_id("wallets").unwrap().get(Filter::all()).await.unwrap().unwrap();
    assert_eq!(stored["password"], CANARY, "kept by the replacement");
    let wrong = ask(&router, "POST", "/wallets", json!({"name": "", "password": 5, "x": 1})).await;
    assert_eq!(wrong.assert_problem(422, "VALIDATION_ERROR")["errors"].as_array().unwrap().len(), 3);
    for not_an_object in [json!(5), json!("x"), json!(true)] {
        let errors = ask(&router, "POST", "/wallets", not_an_object).await.assert_problem(422, "VALIDATION_ERROR");
        assert_eq!(errors["errors"][0]["message"], "must be object");
    }
    ask(&router, "POST", "/wallets", json!({"name": "b"})).await.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!(ask(&router, "DELETE", &path, Value::Null).await.status, 200);
    // A model says who may reach it, as any other.
    ask(&router, "GET", "/guarded", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    ask(&router, "GET", "/hidden", Value::Null).await.assert_problem(404, "MODEL_NOT_FOUND");
    let bearer = format!("Bearer {}", token(&app, "ada"));
    let listed = ask_with(&router, "GET", "/guarded", Value::Null, &[("authorization", &bearer)]).await;
    assert_eq!(listed.status, 200);
    let chosen = ask(&router, "PUT", "/open/mine", json!({"name": "m"})).await;
    assert_eq!((chosen.status.as_u16(), &chosen.json()["_id"]), (201, &json!("mine")));
}

#[tokio::test]
async fn the_metadata_describes_them() {
    let (_, router) = router().await;
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let ids: Vec<_> = metadata["models"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["open", "wallets"]);
    let wallets = &metadata["models"][1];
    assert_eq!(wallets["schema"], schema(true));
    let field = |name: &str| wallets["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
    assert_eq!((&field("name")["unique"], &field("level")["index"]), (&json!(true), &json!(true)));
    assert_eq!((&field("password")["private"], &field("card")["private"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn an_unknown_name_is_refused_where_the_schema_is_closed() {
    let (_, router) = router().await;
    let filtered = async |model: &str, filter: Value| {
        ask(&router, "POST", &format!("/{model}/@query"), json!({"filter": filter})).await
    };
    let problem = filtered("wallets", json!({"nmae": 1})).await.assert_problem(400, "INVALID_QUERY");
    assert_eq!(problem["reason"], "`wallets` has no such field; did you mean `name`?");
    assert_eq!(filtered("open", json!({"nmae": 1})).await.status, 200);
    // A private one is answered as one that is not there: refused where such a one is, else as one that no document has.
    let private = filtered("wallets", json!({"password": 1})).await.bytes;
    let unknown = filtered("wallets", json!({"passwwww": 1})).await.bytes;
    assert_eq!(
        String::from_utf8(private).unwrap().replace("password", "passwwww"),
        String::from_utf8(unknown).unwrap()
    );
    ask(&router, "POST", "/open", wallet("a", "9999")).await;
    for (private, unknown) in [
        (json!({"password": CANARY}), json!({"unknown": CANARY})),
        (json!({"password": null}), json!({"unknown": null})),
        (json!({"password": {"$exists": true}}), json!({"unknown": {"$exists": true}})),
        (json!({"password": {"$type": "string"}}), json!({"unknown": {"$type": "string"}})),
    ] {
        let (private, unknown) = (filtered("open", private).await, filtered("open", unknown).await);
        assert_eq!((private.status, private.bytes), (unknown.status, unknown.bytes));
    }
}

#[tokio::test]
async fn filters_sorts_and_updates_tell_nothing_private() {
    let (app, router) = router().await;
    for model in ["wallets", "open"] {
        for (name, pin) in [("a", "9999"), ("b", "1111")] {
            let made = ask(&router, "POST", &format!("/{model}"), wallet(name, pin)).await;
            assert_eq!(made.status, 201);
            assert!(made.json()["card"].get("pin").is_none() && made.json()["cards"][0].get("pin").is_none());
        }
        let handle = app.model_by_id(model).unwrap();
        assert!(handle.get(Filter::parse(&json!({"card.pin": "9999"})).unwrap()).await.unwrap().is_some());
        let guesses = |pin: &str| {
            [
                json!({"card.pin": pin}),
                json!({"card.pin": {"$gte": pin}}),
                json!({"card.pin": {"$in": [pin]}}),
                json!({"card.pin": {"$not": {"$lt": pin}}}),
                json!({"cards.pin": pin}),
                json!({"cards.0.pin": pin}),
                json!({"cards": {"$elemMatch": {"pin": pin}}}),
                json!({"card": {"holder": "a", "pin": pin}}),
                json!({"card": {"$gt": {"holder": "a", "pin": pin}}}),
                json!({"cards": [{"holder": "a", "pin": pin}]}),
                json!({"cards": {"$all": [{"holder": "a", "pin": pin}]}}),
            ]
        };
        for (right, wrong) in guesses("9999").into_iter().zip(guesses("0000")) {
            let mut answers = Vec::new();
            for filter in [&right, &wrong] {
                let listed = ask(&router, "POST", &format!("/{model}/@query"), json!({"filter": filter})).await;
                assert_eq!(listed.status, 200, "{filter}: {}", listed.json());
                answers.push(listed.json()["items"].clone());
            }
            assert_eq!(answers[0], answers[1], "{right}");
        }
        for path in ["card.pin", "cards.pin"] {
            let sorted = ask(&router, "POST", &format!("/{model}/@query"), json!({"sort": {path: 1}})).await;
            assert_eq!(sorted.json()["items"][0]["name"], "a", "{path}");
        }
        let path = format!("/{model}/{}", handle.get(Filter::all()).await.unwrap().unwrap().id());
        for update in [
            json!({"$max": {"password": "0"}}),
            json!({"$min": {"card.pin": "0"}}),
            json!({"$rename": {"card.pin": "name"}}),
            json!({"$rename": {"card": "name"}}),
            json!({"$pull": {"cards": {"pin": "9999"}}}),
            json!({"$addToSet": {"cards": {"holder": "a", "pin": "9999"}}}),
        ] {
            ask(&router, "PATCH", &path, update).await.assert_problem(400, "INVALID_QUERY");
        }
        let set = ask(&router, "PATCH", &path, json!({"$set": {"card.pin": "2222"}})).await;
        assert!(set.status == 200 && !set.json().to_string().contains("2222"));
    }
}

#[tokio::test]
async fn lists_answer_the_fields_that_are_asked_for() {
    let (_, router) = router().await;
    for model in ["wallets", "open"] {
        assert_eq!(ask(&router, "POST", &format!("/{model}"), wallet("a", "9999")).await.status, 201);
        let listed =
            async |fields: Value| ask(&router, "POST", &format!("/{model}/@query"), json!({"fields": fields})).await;
        let item = async |fields: Value| listed(fields).await.json()["items"][0].clone();
        assert_eq!(item(json!({"name": 1, "_id": 0, "_rev": 0})).await, json!({"name": "a"}));
        assert_eq!(
            item(json!({"card": 1, "cards": 1, "_id": 0, "_rev": 0})).await,
            json!({"card": {"holder": "a"}, "cards": [{"holder": "a"}]})
        );
        let by_string =
            ask(&router, "GET", &format!("/{model}?fields=%7B%22level%22:1,%22_id%22:0%7D"), Value::Null).await.json();
        assert_eq!(by_string["items"][0], json!({"_rev": by_string["items"][0]["_rev"], "level": 1}));
        // The whole of it is what a list without a projection answers.
        assert_eq!(
            item(json!({})).await,
            ask(&router, "GET", &format!("/{model}"), Value::Null).await.json()["items"][0]
        );
        // Private parts are not there, whether they are asked for, or all but others are.
        for (fields, expected) in [
            (json!({"card.pin": 1, "_id": 0, "_rev": 0}), json!({"card": {}})),
            (json!({"cards.pin": 1, "cards.holder": 1, "_id": 0, "_rev": 0}), json!({"cards": [{"holder": "a"}]})),
            (json!({"name": 0, "level": 0, "card.holder": 0, "cards": 0, "_id": 0, "_rev": 0}), json!({"card": {}})),
        ] {
            assert_eq!(item(fields.clone()).await, expected, "{fields}");
        }
        // Byte for byte as a field that does not exist.
        for fields in [json!({"password": 1}), json!({"password": 0}), json!({"password.x": 1, "name": 1})] {
            let private = listed(fields.clone()).await;
            let unknown = serde_json::from_str(&fields.to_string().replace("password", "passwwww")).unwrap();
            let unknown = listed(unknown).await;
            let private_text = String::from_utf8(private.bytes).unwrap().replace("password", "passwwww");
            assert_eq!((private.status, private_text), (unknown.status, String::from_utf8(unknown.bytes).unwrap()));
        }
        let mixed = listed(json!({"name": 1, "level": 0})).await.assert_problem(400, "INVALID_QUERY");
        assert_eq!(mixed["path"], "fields.level");
        ask(&router, "GET", &format!("/{model}?fields=1"), Value::Null).await.assert_problem(400, "INVALID_QUERY");
    }
}
