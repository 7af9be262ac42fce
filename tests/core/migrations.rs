//! A store whose models have changed: what opens, what is refused, and what is rewritten.

use modeller::prelude::*;
use modeller::storage::{Faults, Memory};
use serde_json::{Value, json};

/// What is in a version of the model, each in a module of its own: all have one id.
mod first {
    use modeller::prelude::*;

    #[model(id = "people")]
    pub struct Person {
        #[field(unique)]
        pub name: String,
        pub pin: Private<String>,
    }
}

mod grown {
    use modeller::prelude::*;

    #[model(id = "people")]
    pub struct Person {
        #[field(unique)]
        pub name: String,
        pub pin: Private<String>,
        pub nick: Option<String>,
        #[field(default)]
        pub visits: u32,
    }
}

mod second {
    use modeller::prelude::*;

    #[model(id = "people")]
    pub struct Person {
        #[field(unique)]
        pub first: String,
        pub last: String,
        #[field(min_length = 4)]
        pub pin: Private<String>,
    }

    #[migrate(Person)]
    fn split(mut old: Document) -> Result<Document> {
        let name = old.remove("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        assert_ne!(name, "Panic", "a mistake of the author");
        if name == "Nobody" {
            return Err(Error::new("NOBODY"));
        }
        let (first, last) = name.split_once(' ').unwrap_or((&name, "?"));
        old.insert("first", first);
        old.insert("last", last);
        Ok(old)
    }
}

/// One that answers the type, and is asked for what no longer fits alone.
mod bounded {
    use modeller::prelude::*;

    #[model(id = "people")]
    pub struct Person {
        #[field(unique, max_length = 8)]
        pub name: String,
        pub pin: Private<String>,
    }

    #[migrate(Person)]
    #[expect(clippy::needless_pass_by_value, reason = "a migration is given the document")]
    fn shorten(old: Document) -> Result<Person> {
        let text = |name: &str| old.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Ok(Person { name: text("name").chars().take(8).collect(), pin: text("pin").into() })
    }
}

/// Narrower kinds of private values than what is stored.
mod narrowed {
    use std::collections::BTreeMap;

    use modeller::prelude::*;

    pub mod to_variants {
        use super::*;

        #[value]
        pub enum Pin {
            Short,
            Long,
        }

        #[model(id = "people")]
        pub struct Person {
            #[field(unique)]
            pub name: String,
            pub pin: Private<Pin>,
        }
    }

    pub mod to_numbers {
        use super::*;

        #[model(id = "people")]
        pub struct Person {
            #[field(unique)]
            pub name: String,
            pub pin: Private<u32>,
        }
    }

    pub mod to_a_map {
        use super::*;

        #[model(id = "people")]
        pub struct Person {
            #[field(unique)]
            pub name: String,
            pub pin: Private<BTreeMap<String, u32>>,
        }
    }
}

async fn stored(names: &[&str]) -> Memory {
    let memory = Memory::new();
    let app = App::new().model::<first::Person>().storage(memory.clone()).open().await.unwrap();
    for name in names {
        let person = first::Person { name: (*name).into(), pin: "0000secret".to_owned().into() };
        app.model::<first::Person>().insert(person).await.unwrap();
    }
    memory
}

async fn refusal(builder: modeller::AppBuilder) -> String {
    let error = builder.open().await.unwrap_err();
    assert_eq!(error.code().as_str(), "SCHEMA_CHANGED");
    let text = format!("{error} {:?} {}", error, error.to_json());
    assert!(!text.contains("secret"), "{text}");
    text
}

fn schema_model(schema: Value) -> SchemaModel {
    SchemaModel::new("people", schema)
}

#[tokio::test]
async fn what_gained_an_optional_or_defaulted_field_opens() {
    let memory = stored(&["Ada Lovelace"]).await;
    let app = App::new().model::<grown::Person>().storage(memory.clone()).open().await.unwrap();
    let ada = app.model::<grown::Person>().find(Filter::all()).await.unwrap();
    assert_eq!((ada[0].name.as_str(), ada[0].nick.as_deref(), ada[0].visits), ("Ada Lovelace", None, 0));
    drop(app);

    let schema = json!({
        "properties": {"name": {"type": "string"}, "pin": {"private": true}, "level": {"type": "integer", "default": 3}},
        "required": ["name", "level"],
    });
    let app = App::new().schema_model(schema_model(schema)).storage(memory).open().await.unwrap();
    assert_eq!(app.model_by_id("people").unwrap().find(Filter::all()).await.unwrap()[0]["level"], 3);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_ways_out_and_nothing_changes() {
    let names: Vec<String> = (0..30).map(|n| format!("Name {n}")).collect();
    let memory = stored(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let before = memory.history().len();
    // A model given as JSON refuses what its schema does not take.
    let schema = json!({"properties": {"name": {"maxLength": 3}, "pin": {"private": true, "maxLength": 2}}});
    let text = refusal(App::new().schema_model(schema_model(schema)).storage(memory.clone())).await;
    assert!(text.contains("#[migrate]") && text.contains("modeller migrate"), "{text}");
    assert_eq!(text.matches("people/").count() % 10, 0, "the first ten are named: {text}");
    // A model that is missing is refused as well, with its way out.
    let text = refusal(App::new().schema_model(SchemaModel::new("others", json!({}))).storage(memory.clone())).await;
    assert!(text.contains("`people` (30 documents)") && text.contains("--drop"), "{text}");
    assert_eq!(memory.history().len(), before);
    let app = App::new().model::<first::Person>().storage(memory).open().await.unwrap();
    assert_eq!(app.model::<first::Person>().count(Filter::all()).await.unwrap(), 30);
}

#[tokio::test]
async fn a_migration_rewrites_what_does_not_fit_in_one_step() {
    let memory = stored(&["Ada Lovelace", "Plato"]).await;
    let app = App::new().model::<first::Person>().storage(memory.clone()).open().await.unwrap();
    let old = app.model::<first::Person>().find(Filter::all()).await.unwrap();
    let seq = app.seq();
    drop(app);
    let groups = memory.history().len();
    let app = App::new().model::<second::Person>().storage(memory.clone()).open().await.unwrap();
    assert_eq!(memory.history().len(), groups + 1, "one group for the epoch and all documents");
    assert_eq!(app.seq(), seq + 2);
    let people = app.model::<second::Person>().find(Filter::all()).await.unwrap();
    let names: Vec<(&str, &str)> = people.iter().map(|one| (one.first.as_str(), one.last.as_str())).collect();
    assert_eq!(names, [("Ada", "Lovelace"), ("Plato", "?")]);
    assert!(
        people.iter().zip(&old).all(|(new, old)| new.rev() > old.rev() && new.id().to_string() == old.id().to_string())
    );
    assert_eq!(people[0].pin.get().map(String::as_str), Some("0000secret"));
    // At the next start there is nothing left to do, and the index knows what was rewritten.
    drop(app);
    let app = App::new().model::<second::Person>().storage(memory.clone()).open().await.unwrap();
    assert_eq!((app.seq(), memory.history().len()), (seq + 2, groups + 1));
    assert!(app.model::<second::Person>().get(second::Person::FIRST.eq("Plato")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing_and_names_the_document() {
    for (names, told) in [
        (&["Ada Lovelace", "Nobody"][..], "its migration failed"),
        (&["Ada Lovelace", "Panic"], "its migration panicked"),
        (&["Ada Lovelace", "Ada Byron"], "another document has its `first`"),
    ] {
        let memory = stored(names).await;
        let groups = memory.history().len();
        let text = refusal(App::new().model::<second::Person>().storage(memory.clone())).await;
        assert!(text.contains(told) && text.contains("people/"), "{text}");
        assert_eq!(memory.history().len(), groups);
        let app = App::new().model::<first::Person>().storage(memory).open().await.unwrap();
        assert_eq!(app.model::<first::Person>().count(Filter::all()).await.unwrap(), names.len());
    }
}

#[tokio::test]
async fn a_migration_is_asked_for_what_does_not_fit_alone() {
    let memory = stored(&["Short", "Much too long"]).await;
    let app = App::new().model::<bounded::Person>().storage(memory).open().await.unwrap();
    let people = app.model::<bounded::Person>().find(Filter::all()).await.unwrap();
    assert_eq!(people.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["Short", "Much too"]);
    assert!(people[0].rev() < people[1].rev());
}

#[tokio::test]
async fn models_given_as_json_migrate_by_a_closure() {
    let memory = stored(&["Ada Lovelace", "Plato"]).await;
    let schema = || {
        json!({
            "properties": {"title": {"type": "string", "unique": true}, "pin": {"private": true}},
            "required": ["title"], "additionalProperties": false,
        })
    };
    let wrong = schema_model(schema()).migrate(|mut old| {
        old.insert("extra", 1);
        Ok(old)
    });
    let text = refusal(App::new().schema_model(wrong).storage(memory.clone())).await;
    assert!(text.contains("what its migration made of it does not fit"), "{text}");
    let right = schema_model(schema()).migrate(|mut old| {
        let name = old.remove("name").unwrap_or_default();
        old.insert("title", name);
        Ok(old)
    });
    let app = App::new().schema_model(right).storage(memory).open().await.unwrap();
    let people = app.model_by_id("people").unwrap().find(Filter::all()).await.unwrap();
    assert_eq!((&people[0]["title"], &people[0]["pin"]), (&json!("Ada Lovelace"), &json!("0000secret")));
}

#[tokio::test]
async fn what_a_private_value_is_stays_untold_when_its_type_was_narrowed() {
    let memory = stored(&["Ada Lovelace"]).await;
    let again = || memory.reopen();
    let text = refusal(App::new().model::<narrowed::to_variants::Person>().storage(again())).await;
    assert!(text.contains("`pin`"), "{text}");
    let text = refusal(App::new().model::<narrowed::to_numbers::Person>().storage(again())).await;
    assert!(text.contains("`pin`"), "{text}");
    let text = refusal(App::new().model::<narrowed::to_a_map::Person>().storage(again())).await;
    assert!(text.contains("`pin`"), "{text}");
}

/// The process ends at the one write of the migration: all of it is there, or none.
#[tokio::test]
async fn a_migration_is_stored_whole_or_not_at_all() {
    for faults in
        [Faults::seeded(1).crash_during(1), Faults::seeded(2).fail_append(1), Faults::seeded(3).lose_answers(1.0)]
    {
        let memory = stored(&["Ada Lovelace", "Plato"]).await;
        let begun = App::new().model::<second::Person>().storage(memory.reopen_with(faults)).open().await;
        drop(begun);
        let app = App::new().model::<second::Person>().storage(memory.reopen()).open().await.unwrap();
        let people = app.model::<second::Person>().find(Filter::all()).await.unwrap();
        assert_eq!(people.iter().map(|one| one.first.as_str()).collect::<Vec<_>>(), ["Ada", "Plato"]);
        let entries: usize = memory.history().iter().map(|logged| logged.group.entries.len()).sum();
        assert_eq!(entries, 1 + 2 + 2, "an epoch, two inserts, an epoch, and the rewriting");
    }
}
