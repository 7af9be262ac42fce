//! Models that are given as a JSON Schema at run time. The tests are named after the rows of the reference.

use modeller::prelude::*;
use modeller::{HookEvent, Operation, Timing};
use serde_json::{Value, json};

fn document(json: Value) -> Document {
    json.try_into().unwrap()
}

fn filter(json: &Value) -> Filter<Document> {
    Filter::parse(json).unwrap()
}

/// A person with private parts at several depths, and defaults at several depths.
fn person() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "email": {"type": "string", "format": "email", "unique": true},
            "role": {"enum": ["user", "admin"], "default": "user", "index": true},
            "password": {"type": "string", "minLength": 8, "private": true},
            "card": {"$ref": "#/$defs/card"},
            "cards": {"type": "array", "items": {"$ref": "#/$defs/card"}, "default": []},
            "settings": {
                "type": "object",
                "default": {},
                "properties": {"theme": {"type": "string", "default": "dark"}},
            },
            "hint": {"type": "string", "hidden": true},
        },
        "required": ["email"],
        "additionalProperties": false,
        "$defs": {
            "card": {
                "type": "object",
                "properties": {"holder": {"type": "string"}, "pin": {"type": "string", "maxLength": 4, "private": true}},
                "required": ["holder"],
            },
        },
    })
}

async fn app() -> App {
    App::new().schema_model(SchemaModel::new("people", person())).in_memory().open().await.unwrap()
}

fn ada() -> Document {
    document(json!({
        "email": "ada@example.com", "password": "correct horse",
        "card": {"holder": "a", "pin": "9999"}, "cards": [{"holder": "b", "pin": "1111"}],
    }))
}

#[tokio::test]
async fn c1_a_schema_is_given_as_json_at_run_time() {
    let app = app().await;
    let people = app.model_by_id("people").unwrap();
    let doc = people.insert(ada()).await.unwrap();
    assert_eq!((&doc["email"], &doc["password"]), (&json!("ada@example.com"), &json!("correct horse")));
    // Violations are those of AJV, through `$ref` too.
    let wrong = document(json!({"email": "x", "card": {"pin": "99999"}, "nope": 1}));
    let error = people.insert(wrong).await.unwrap_err();
    let violations: Vec<_> =
        error.violations().iter().map(|one| (one.instance_path.as_str(), one.keyword.as_ref())).collect();
    for expected in
        [("/email", "format"), ("/card", "required"), ("/card/pin", "maxLength"), ("", "additionalProperties")]
    {
        assert!(violations.contains(&expected), "{expected:?} in {violations:?}");
    }
    assert_eq!(violations.len(), 4);
    assert_eq!(app.model_by_id("nobody").unwrap_err().code().as_str(), "MODEL_NOT_FOUND");
    assert_eq!(people.schema(), person());
}

#[tokio::test]
async fn c2_and_c4_unique_and_index_are_kept() {
    let app = app().await;
    let people = app.model_by_id("people").unwrap();
    let ada = people.insert(ada()).await.unwrap();
    let bob = people.insert(document(json!({"email": "bob@example.com"}))).await.unwrap();
    for result in [
        people.insert(document(json!({"email": "ada@example.com"}))).await,
        people.update(&bob, Update::parse(json!({"email": "ada@example.com"})).unwrap()).await,
        people.modify(&bob, |bob| drop(bob.insert("email", "ada@example.com"))).await,
    ] {
        let error = result.unwrap_err();
        assert_eq!((error.code().as_str(), error.get("field")), ("UNIQUE_VIOLATION", Some(&json!("email"))));
    }
    assert_eq!(people.get(filter(&json!({"email": "ada@example.com"}))).await.unwrap().unwrap().id(), ada.id());
    assert_eq!(people.find(filter(&json!({"role": {"$in": ["user", "admin"]}}))).await.unwrap().len(), 2);
}

#[tokio::test]
async fn c3_private_members_are_read_in_process_and_never_shown() {
    let app = app().await;
    let people = app.model_by_id("people").unwrap();
    let ada = people.insert(ada()).await.unwrap();
    assert_eq!((&ada["card"]["pin"], &ada["cards"][0]["pin"]), (&json!("9999"), &json!("1111")));
    let page = people.list(Query::all()).await.unwrap();
    for shown in [
        serde_json::to_string(&ada).unwrap(),
        serde_json::to_string(&ada.value()).unwrap(),
        serde_json::to_string(&page).unwrap(),
        format!("{ada:?}"),
        format!("{:?}", ada.value()),
    ] {
        assert!(shown.contains("ada@example.com") && shown.contains("holder"), "{shown}");
        assert!(!shown.contains("correct") && !shown.contains("9999") && !shown.contains("1111"), "{shown}");
    }
    assert!(format!("{ada:?}").contains("<private>"));
    // In process a filter reaches them.
    for found in [
        json!({"password": "correct horse"}),
        json!({"card.pin": "9999"}),
        json!({"cards.pin": "1111"}),
        json!({"cards": {"$elemMatch": {"pin": "1111"}}}),
        json!({"cards.0.pin": {"$gt": "1"}}),
    ] {
        assert!(people.get(filter(&found)).await.unwrap().is_some(), "{found}");
    }
    // As a part of something they are not there, as those of a typed model are not.
    assert_eq!(people.count(filter(&json!({"card": {"holder": "a"}}))).await.unwrap(), 1);
    assert_eq!(people.count(filter(&json!({"card": {"holder": "a", "pin": "9999"}}))).await.unwrap(), 0);
    // A replacement keeps what whoever read it could not see.
    let seen: Document = serde_json::from_value(serde_json::to_value(ada.value()).unwrap()).unwrap();
    let kept = people.replace(&ada, seen).await.unwrap();
    assert_eq!((&kept["password"], &kept["card"]["pin"]), (&json!("correct horse"), &json!("9999")));
    // A violation on one shows no value.
    let error = people.insert(document(json!({"email": "b@example.com", "password": "zzz"}))).await.unwrap_err();
    assert!(!format!("{error:?} {}", error.to_json()).contains("zzz"));
}

#[tokio::test]
async fn c7_defaults_are_filled_in_before_validation_at_every_depth() {
    let app = app().await;
    let people = app.model_by_id("people").unwrap();
    let bob = people.insert(document(json!({"email": "bob@example.com"}))).await.unwrap();
    assert_eq!(
        serde_json::to_value(bob.value()).unwrap(),
        json!({"email": "bob@example.com", "role": "user", "cards": [], "settings": {"theme": "dark"}})
    );
    let own = json!({"email": "eve@example.com", "role": "admin", "settings": {"theme": "light"}});
    let eve = people.insert(document(own)).await.unwrap();
    assert_eq!((&eve["role"], &eve["settings"]["theme"]), (&json!("admin"), &json!("light")));
    // Taken away, the default comes back; so it does in what a function leaves.
    let plain = people.update(&eve, Update::parse(json!({"$unset": {"role": 1, "settings.theme": 1}})).unwrap()).await;
    assert_eq!(
        plain.as_ref().map(|doc| (&doc["role"], &doc["settings"]["theme"])).unwrap(),
        (&json!("user"), &json!("dark"))
    );
    let plain = people.modify(&eve, |eve| drop(eve.remove("settings"))).await.unwrap();
    assert_eq!(plain["settings"]["theme"], "dark");
}

/// `pull` is about adapters.
#[tokio::test]
async fn c11_insert_update_delete_get_list_find_and_schema() {
    let app = app().await;
    let people = app.model_by_id("people").unwrap();
    let doc = people.insert(ada()).await.unwrap();
    let more = ["b", "c"].map(|name| document(json!({"email": format!("{name}@example.com")})));
    assert_eq!(people.insert_many(more.to_vec()).await.unwrap().len(), 2);
    let promote = || Update::parse(json!({"$set": {"role": "admin"}})).unwrap();
    let doc = people.update(&doc, promote()).if_rev(doc.rev()).await.unwrap();
    assert_eq!(doc["role"], "admin");
    assert_eq!(people.update(&doc, promote()).if_rev(1).await.unwrap_err().code().as_str(), "CONFLICT");
    assert_eq!(people.get(doc.id()).await.unwrap().unwrap(), doc);
    let by_email = || Sort::parse(&json!({"email": -1})).unwrap();
    let found = people.find(filter(&json!({"role": "user"}))).sort(by_email()).limit(1).await.unwrap();
    assert_eq!(found[0]["email"], "c@example.com");
    let query =
        Query::parse(json!({"filter": {"email": {"$ne": "b@example.com"}}, "sort": {"email": 1}, "skip": 1})).unwrap();
    assert_eq!(people.list(query).await.unwrap().items[0]["email"], "c@example.com");
    assert_eq!(people.count(Filter::all()).await.unwrap(), 3);
    assert_eq!(people.update_many(Filter::all(), promote()).await.unwrap(), 3);
    let replaced = people.replace(&doc, document(json!({"email": "lady@example.com"}))).await.unwrap();
    assert_eq!((&replaced["role"], &replaced["password"]), (&json!("user"), &json!("correct horse")));
    let modified = people.modify(&doc, |doc| drop(doc.insert("hint", "h"))).await.unwrap();
    assert_eq!(modified["hint"], "h");
    let upserted =
        people.upsert(filter(&json!({"email": "new@example.com"})), document(json!({"email": "new@example.com"})));
    assert_eq!(upserted.await.unwrap()["role"], "user");
    assert_eq!(people.delete(&doc).await.unwrap()["hint"], "h");
    assert_eq!(people.delete_many(filter(&json!({"role": "admin"}))).await.unwrap(), 2);
    assert_eq!(people.call("nope", json!({})).await.unwrap_err().code().as_str(), "METHOD_NOT_FOUND");
    assert!(people.methods().is_empty() && people.schema()["properties"].is_object());
    let room = people.subscription(filter(&json!({"role": "user"})));
    let mut heard = room.listen();
    room.publish(&"hello").await.unwrap();
    assert!(matches!(heard.next().await, Some(Heard::Payload { payload, .. }) if payload == "hello"));
}

#[tokio::test]
async fn c12_the_operators_are_those_of_typed_models() {
    let app = app().await;
    let people = app.model_by_id("people").unwrap();
    people.insert(ada()).await.unwrap();
    for (json, found) in [
        (json!({"$or": [{"role": "admin"}, {"email": {"$regex": "^ada"}}]}), true),
        (json!({"cards": {"$size": 1}, "card": {"$type": "object"}, "cards.holder": "b"}), true),
        (json!({"cards": {"$type": "array"}, "settings.theme": {"$nin": ["light"]}}), true),
        (json!({"cards": {"$elemMatch": {"holder": {"$gt": "b"}}}}), false),
        (json!({"hint": null, "card.holder": {"$exists": true}}), true),
        (json!({"cards": {"$all": [{"holder": "b"}]}, "$nor": [{"role": "admin"}]}), true),
        (json!({"card": {"$gt": {"holder": "0"}}}), true),
    ] {
        assert_eq!(people.count(filter(&json)).await.unwrap(), usize::from(found), "{json}");
    }
    let by = |json: Value| people.find(Filter::all()).sort(Sort::parse(&json).unwrap());
    people
        .insert(document(json!({"email": "b@example.com", "card": {"holder": "0"}, "cards": [{"holder": "z"}]})))
        .await
        .unwrap();
    assert_eq!(by(json!({"card": 1})).await.unwrap()[0]["email"], "b@example.com");
    assert_eq!(by(json!({"cards": -1})).await.unwrap()[0]["email"], "b@example.com");
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    // The schema takes anything, a document is an object all the same, and its id is not a member.
    let app = App::new().schema_model(SchemaModel::new("things", json!({}))).in_memory().open().await.unwrap();
    let things = app.model_by_id("things").unwrap();
    for name in ["_id", "_rev"] {
        let error = things.insert(Document::from_iter([(name, "x")])).await.unwrap_err();
        assert_eq!(error.violations()[0].params, json!({"additionalProperty": name}));
    }
    assert_eq!(Document::try_from(json!([1])).unwrap_err().violations()[0].keyword, "type");
    let open = things.insert(document(json!({"any": {"thing": [1]}}))).await.unwrap();
    assert_eq!(things.count(filter(&json!({"any.thing": 1}))).await.unwrap(), 1);
    assert_eq!(
        things.modify(&open, |thing| drop(thing.insert("_id", 1))).await.unwrap_err().code().as_str(),
        "VALIDATION_ERROR"
    );
}

#[tokio::test]
async fn what_contradicts_itself_does_not_start() {
    let thing = || SchemaModel::new("things", json!({}));
    let twice = |model: SchemaModel| {
        (0..2).fold(model, |model, _| {
            model.hook("a", [HookEvent::before(Operation::Insert)], |_| Box::pin(async { Ok(()) }))
        })
    };
    for (app, told) in [
        (App::new().schema_model(thing()).schema_model(thing()), "two models have the id `things`"),
        (App::new().schema_model(SchemaModel::new("Things", json!({}))), "must match"),
        (
            App::new().schema_model(SchemaModel::new("a", json!({"properties": {"b": {"unique": "yes"}}}))),
            "#/properties/b/unique",
        ),
        (App::new().schema_model(twice(thing())), "two hooks with the id `a`"),
    ] {
        let error = app.in_memory().open().await.unwrap_err();
        assert_eq!(error.code().as_str(), "INVALID_DECLARATION");
        assert!(error.text().contains(told), "{}", error.text());
    }
}

#[tokio::test]
async fn they_survive_a_restart_and_a_changed_schema_begins_an_epoch() {
    let folder = modeller_tests::Folder::new();
    let open = async |schema: Value| {
        App::new().schema_model(SchemaModel::new("people", schema)).data(folder.path()).open().await
    };
    let app = open(person()).await.unwrap();
    let doc = app.model_by_id("people").unwrap().insert(ada()).await.unwrap();
    let seq = app.seq();
    drop(app);
    let app = open(person()).await.unwrap();
    let again = app.model_by_id("people").unwrap().get(doc.id()).await.unwrap().unwrap();
    assert_eq!((app.seq(), &again, again.rev()), (seq, &doc, doc.rev()));
    assert!(!serde_json::to_string(&again).unwrap().contains("9999"), "private as before");
    drop(app);
    // A member with a default more: an epoch, and the default is there.
    let mut more = person();
    more["properties"]["level"] = json!({"type": "integer", "default": 1});
    more["required"] = json!(["email", "level"]);
    let app = open(more.clone()).await.unwrap();
    let grown = app.model_by_id("people").unwrap().get(doc.id()).await.unwrap().unwrap();
    assert_eq!((app.seq(), &grown["level"]), (seq + 1, &json!(1)));
    drop(app);
    // One that does not fit any more is not let in, and nothing is lost.
    more["required"] = json!(["hint"]);
    assert_eq!(open(more).await.unwrap_err().code().as_str(), "SCHEMA_CHANGED");
    let app = open(person()).await.unwrap();
    assert_eq!(app.model_by_id("people").unwrap().count(Filter::all()).await.unwrap(), 1);
}

#[tokio::test]
async fn m1_hooks_by_closure_run_in_the_transaction() {
    let audit = SchemaModel::new("audit", json!({}));
    let people = SchemaModel::new("people", person()).hook(
        "lowercase",
        [HookEvent::before(Operation::Insert), HookEvent::before(Operation::Update)],
        |mut hook| {
            Box::pin(async move {
                let value = hook.value()?;
                let email = value["email"].as_str().unwrap_or_default().to_lowercase();
                value.insert("email", email);
                Ok(())
            })
        },
    );
    let app = App::new().schema_model(people).schema_model(audit).in_memory().open().await.unwrap();
    let (people, audit) = (app.model_by_id("people").unwrap(), app.model_by_id("audit").unwrap());
    let all = [Operation::Insert, Operation::Update, Operation::Delete].map(HookEvent::after);
    people
        .hook("note", all, |mut hook| {
            Box::pin(async move {
                let (what, doc) = (hook.operation().as_str(), hook.doc()?);
                assert_eq!((hook.timing(), hook.id()?), (Timing::After, doc.id()));
                let before = hook.previous().ok().map(|previous| previous["role"].clone());
                let note = Document::from_iter([
                    ("what", json!(what)),
                    ("email", doc["email"].clone()),
                    ("before", json!(before)),
                ]);
                hook.model_by_id("audit")?.insert(note).await.map(drop)
            })
        })
        .unwrap();
    let guard = [HookEvent::before(Operation::Delete)];
    people
        .hook("guard", guard, |mut hook| {
            Box::pin(async move {
                let admin = hook.previous()?["role"] == "admin";
                if admin { Err(Error::new("ADMINS_STAY")) } else { Ok(()) }
            })
        })
        .unwrap();
    let count = async || audit.count(Filter::all()).await.unwrap();

    let doc = people.insert(document(json!({"email": "Ada@Example.com"}))).await.unwrap();
    assert_eq!((&doc["email"], count().await), (&json!("ada@example.com"), 1));
    people.update(&doc, Update::parse(json!({"email": "LADY@example.com", "role": "admin"})).unwrap()).await.unwrap();
    assert_eq!(
        audit.count(filter(&json!({"what": "update", "email": "lady@example.com", "before": "user"}))).await.unwrap(),
        1
    );
    // What fails undoes all of it, the notes too.
    assert_eq!(people.delete(&doc).await.unwrap_err().code().as_str(), "ADMINS_STAY");
    assert_eq!((people.count(Filter::all()).await.unwrap(), count().await), (1, 2));
    let several = vec![document(json!({"email": "a@example.com"})), document(json!({"email": "LADY@example.com"}))];
    assert_eq!(people.insert_many(several).await.unwrap_err().code().as_str(), "UNIQUE_VIOLATION");
    assert_eq!(count().await, 2);
    // A hook may put another value there; what is private in it is private, and it has to fit.
    people
        .hook("replaced", [HookEvent::before(Operation::Insert)], |mut hook| {
            Box::pin(async move {
                *hook.value()? = document(json!({"email": "x@example.com", "password": "correct horse"}));
                Ok(())
            })
        })
        .unwrap();
    let other = people.insert(document(json!({"email": "y@example.com"}))).await.unwrap();
    assert!(other["password"] == "correct horse" && !format!("{other:?}").contains("horse"));
    assert!(people.unhook("replaced") && !people.unhook("replaced") && people.unhook("guard"));
    people.delete(&doc).await.unwrap();
    // A list hook narrows a query, of `list` alone.
    people
        .hook("narrow", [HookEvent::before(Operation::List)], |mut hook| {
            Box::pin(async move {
                let query = hook.query()?;
                query.filter = query.filter.clone() & Filter::parse(&json!({"role": "admin"}))?;
                Ok(())
            })
        })
        .unwrap();
    assert!(people.list(Query::all()).await.unwrap().items.is_empty());
    assert_eq!(people.find(Filter::all()).await.unwrap().len(), 1);
    // Asked for what is not there, it is the hook's mistake.
    people.hook("wrong", guard, |mut hook| Box::pin(async move { hook.value().map(drop) })).unwrap();
    assert_eq!(people.delete(&other).await.unwrap_err().code().as_str(), "INTERNAL");
    assert_eq!(
        people.hook("wrong", guard, |_| Box::pin(async { Ok(()) })).unwrap_err().code().as_str(),
        "INVALID_DECLARATION"
    );
    assert!(people.hook("never", [], |_| Box::pin(async { Ok(()) })).is_err());
}

/// Something with a type and a private part.
#[model(id = "wallets")]
pub struct Wallet {
    #[field(unique)]
    pub name: String,
    #[field(default = 1, minimum = 0)]
    pub coins: i64,
    pub card: Card,
}

#[value]
pub struct Card {
    pub holder: String,
    #[field(default)]
    pub pin: Private<String>,
}

#[hook(Wallet, before(insert, update))]
async fn trimmed(wallet: &mut Wallet) -> Result<()> {
    wallet.name = wallet.name.trim().to_owned();
    Ok(())
}

#[tokio::test]
async fn a_typed_model_is_seen_as_json_with_all_its_rules() {
    let app = App::new().model::<Wallet>().in_memory().open().await.unwrap();
    let (typed, json) = (app.model::<Wallet>(), app.model_by_id("wallets").unwrap());
    let made = json.insert(document(json!({"name": " a ", "card": {"holder": "h", "pin": "9999"}}))).await.unwrap();
    assert_eq!((&made["name"], &made["coins"], &made["card"]["pin"]), (&json!("a"), &json!(1), &json!("9999")));
    assert!(!format!("{made:?}{}", serde_json::to_string(&made).unwrap()).contains("9999"));
    let seen = typed.get(Wallet::NAME.eq("a")).await.unwrap().unwrap();
    assert_eq!((seen.coins, seen.card.pin.get().unwrap().as_str()), (1, "9999"));
    assert_eq!(
        json.insert(document(json!({"name": "a", "card": {"holder": "h"}}))).await.unwrap_err().code().as_str(),
        "UNIQUE_VIOLATION"
    );
    let error = json.insert(document(json!({"name": "b", "nope": 1}))).await.unwrap_err();
    assert_eq!(error.violations().len(), 2);
    let changed = json
        .modify(&made, |wallet| {
            let coins = wallet["coins"].as_i64().unwrap_or_default();
            wallet.insert("coins", coins - 1);
        })
        .await
        .unwrap();
    assert_eq!(changed["coins"], 0);
    let error = json.modify(&made, |wallet| drop(wallet.insert("coins", -1))).await.unwrap_err();
    assert_eq!(error.code().as_str(), "VALIDATION_ERROR");
    let shown: Document = serde_json::from_value(serde_json::to_value(changed.value()).unwrap()).unwrap();
    let kept = json.replace(&made, shown).await.unwrap();
    assert_eq!(kept["card"]["pin"], "9999");
    // Hooks are for values of the type.
    let on = [HookEvent::before(Operation::Insert)];
    assert!(json.hook("json", on, |_| Box::pin(async { Ok(()) })).is_err());
    typed
        .hook("rich", on, |mut hook| {
            Box::pin(async move {
                hook.value()?.coins += 100;
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(json.insert(document(json!({"name": "c", "card": {"holder": "h"}}))).await.unwrap()["coins"], 101);
    // One that was declared can be taken away too.
    assert!(typed.unhook("trimmed"));
    assert_eq!(json.insert(document(json!({"name": " d", "card": {"holder": "h"}}))).await.unwrap()["name"], " d");
}

#[tokio::test]
async fn in_one_transaction_with_typed_models() {
    let app = App::new()
        .model::<Wallet>()
        .schema_model(SchemaModel::new("notes", json!({})))
        .in_memory()
        .open()
        .await
        .unwrap();
    let outcome: Result<()> = app
        .transaction(|tx| async move {
            tx.model_by_id("notes")?.insert(document(json!({"n": 1}))).await?;
            assert_eq!(tx.model_by_id("notes")?.count(Filter::all()).await?, 1);
            let card = Card { holder: "h".into(), pin: Private::default() };
            tx.model::<Wallet>()?.insert(Wallet { name: "w".into(), coins: -1, card }).await?;
            Ok(())
        })
        .await;
    assert_eq!(outcome.unwrap_err().code().as_str(), "VALIDATION_ERROR");
    assert_eq!(app.model_by_id("notes").unwrap().count(Filter::all()).await.unwrap(), 0);
}
