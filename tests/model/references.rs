//! Row C8 of the reference, and its pattern P2: a field that refers to a document of another model.

use std::time::Duration;

use modeller::prelude::*;
use modeller::storage::Memory;
use serde_json::json;

/// A company, whose end is the end of much.
#[model(id = "companies", public)]
pub struct Company {
    #[field(unique)]
    pub name: String,
    #[field(references = Staff::_ID, on_delete = set_null)]
    pub head: Option<Id<Staff>>,
}

/// Refers to its company, which refers to one of its own.
#[model(id = "staff", public)]
pub struct Staff {
    #[field(references = Company::_ID, on_delete = cascade)]
    pub company: Id<Company>,
    #[field(unique)]
    pub email: String,
    #[field(references = Staff::_ID, on_delete = cascade)]
    pub boss: Option<Id<Staff>>,
    #[field(default)]
    pub keep: bool,
}

#[model(id = "badges")]
pub struct Badge {
    #[field(references = Staff::EMAIL)]
    pub email: String,
    #[field(references = Company::NAME, on_delete = cascade)]
    pub of: Option<String>,
}

#[model(id = "lists", public)]
pub struct List {
    #[field(references = Staff::_ID, on_delete = set_null)]
    pub members: Vec<Id<Staff>>,
    #[field(references = Staff::_ID, on_delete = set_null)]
    pub owner: Option<Id<Staff>>,
}

#[model(id = "traces")]
pub struct Trace {
    pub what: String,
}

#[hook(Staff, before(delete))]
async fn kept(id: Id<Staff>, staff: Model<Staff>) -> Result<()> {
    let one = staff.get(&id).await?.ok_or_else(|| Error::new("NOT_THERE"))?;
    if one.keep { Err(Error::new("KEPT")) } else { Ok(()) }
}

#[hook(Staff, after(delete))]
async fn traced(one: Doc<Staff>, traces: Model<Trace>) -> Result<()> {
    traces.insert(Trace { what: format!("gone {}", one.email) }).await?;
    Ok(())
}

#[hook(List, after(update))]
async fn list_traced(list: Doc<List>, traces: Model<Trace>) -> Result<()> {
    traces.insert(Trace { what: format!("list {}", list.members.len()) }).await?;
    Ok(())
}

struct World {
    companies: Model<Company>,
    staff: Model<Staff>,
    badges: Model<Badge>,
    lists: Model<List>,
    traces: Model<Trace>,
    app: App,
}

async fn world() -> World {
    let app = App::new()
        .model::<Company>()
        .model::<Staff>()
        .model::<Badge>()
        .model::<List>()
        .model::<Trace>()
        .in_memory()
        .open()
        .await
        .unwrap();
    World {
        companies: app.model(),
        staff: app.model(),
        badges: app.model(),
        lists: app.model(),
        traces: app.model(),
        app,
    }
}

impl World {
    async fn company(&self, name: &str) -> Doc<Company> {
        self.companies.insert(Company { name: name.into(), head: None }).await.unwrap()
    }

    async fn hire(&self, company: &Doc<Company>, email: &str, boss: Option<&Doc<Staff>>) -> Doc<Staff> {
        let one = Staff {
            company: company.id(),
            email: email.into(),
            boss: boss.map(Doc::id),
            keep: email.starts_with("keep"),
        };
        self.staff.insert(one).await.unwrap()
    }

    async fn traces(&self) -> Vec<String> {
        let traces = self.traces.find(Filter::all()).sort(Trace::WHAT.asc()).await.unwrap();
        traces.iter().map(|trace| trace.what.clone()).collect()
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T>, field: &str, model: &str) {
    let error = result.unwrap_err();
    let body = error.to_json();
    assert_eq!(
        (&body["code"], &body["field"], &body["model"], &body["status"]),
        (&json!("REFERENCE_VIOLATION"), &json!(field), &json!(model), &json!(409)),
    );
}

#[tokio::test]
async fn c8_what_is_referred_to_must_exist() {
    let w = world().await;
    let acme = w.company("acme").await;
    let nobody: Id<Company> = "nobody".parse().unwrap();
    let one = |company: &Id<Company>| Staff { company: company.clone(), email: "a@a".into(), boss: None, keep: false };
    assert_refused(w.staff.insert(one(&nobody)).await, "company", "companies");
    assert_eq!(w.staff.count(Filter::all()).await.unwrap(), 0);
    let ada = w.staff.insert(one(&acme.id())).await.unwrap();
    assert_refused(w.staff.update(&ada, Staff::COMPANY.set(&nobody)).await, "company", "companies");
    assert_refused(w.staff.modify(&ada, |one| one.company = "nobody".parse().unwrap()).await, "company", "companies");
    // By a unique value, and `None` refers to nothing.
    let badge = |email: &str, of: Option<&str>| Badge { email: email.into(), of: of.map(Into::into) };
    assert_refused(w.badges.insert(badge("b@b", None)).await, "email", "staff");
    assert_refused(w.badges.insert(badge("a@a", Some("other"))).await, "of", "companies");
    w.badges.insert(badge("a@a", None)).await.unwrap();
    w.badges.insert(badge("a@a", Some("acme"))).await.unwrap();
    // Each element of a list counts.
    let list = |members: Vec<Id<Staff>>| List { members, owner: None };
    assert_refused(w.lists.insert(list(vec![ada.id(), "x".parse().unwrap()])).await, "members", "staff");
    w.lists.insert(list(vec![ada.id()])).await.unwrap();
    // To itself, and by an update that says the same again.
    let own: Id<Staff> = "own".parse().unwrap();
    let mut alone = one(&acme.id());
    (alone.email, alone.boss) = ("own@a".into(), Some(own.clone()));
    w.staff.insert_with_id(own.clone(), alone).await.unwrap();
    w.staff.update(&own, Staff::EMAIL.set("own2@a")).await.unwrap();
}

#[tokio::test]
async fn c8_a_handler_catches_what_is_refused() {
    let w = world().await;
    let acme = w.company("acme").await;
    let seen = w
        .app
        .transaction(|tx| {
            let acme = acme.id();
            async move {
                let staff = tx.model::<Staff>()?;
                let wrong = Staff { company: "none".parse()?, email: "a@a".into(), boss: None, keep: false };
                let error = staff.insert(wrong.clone()).await.unwrap_err();
                // What the transaction has inserted itself is there.
                let other = tx.model::<Company>()?.insert(Company { name: "other".into(), head: None }).await?;
                staff.insert(Staff { company: other.id(), ..wrong.clone() }).await?;
                let badges = tx.model::<Badge>()?;
                badges.insert(Badge { email: "a@a".into(), of: None }).await?;
                let restricted = staff.delete(Staff::EMAIL.eq("a@a")).await.unwrap_err();
                staff.insert(Staff { company: acme, email: "b@a".into(), ..wrong }).await?;
                Ok((error.code().clone(), restricted.code().clone()))
            }
        })
        .await
        .unwrap();
    assert_eq!(seen, (ErrorCode::ReferenceViolation, ErrorCode::ReferenceViolation));
    assert_eq!(w.staff.count(Filter::all()).await.unwrap(), 2);
}

#[tokio::test]
async fn c8_restrict_keeps_what_is_referred_to() {
    let w = world().await;
    let acme = w.company("acme").await;
    let ada = w.hire(&acme, "a@a", None).await;
    let badge = w.badges.insert(Badge { email: "a@a".into(), of: None }).await.unwrap();
    assert_refused(w.staff.delete(&ada).await, "email", "badges");
    // The value that is referred to stays as well, and the rest of the document may change.
    assert_refused(w.staff.update(&ada, Staff::EMAIL.set("c@a")).await, "email", "badges");
    assert_refused(w.staff.modify(&ada, |one| one.email = "c@a".into()).await, "email", "badges");
    w.staff.update(&ada, Staff::KEEP.set(false)).await.unwrap();
    // And nothing goes that takes it along; no hook has run for a refusal.
    assert_refused(w.companies.delete(&acme).await, "email", "badges");
    assert!(w.traces().await.is_empty());
    w.badges.delete(&badge).await.unwrap();
    w.staff.update(&ada, Staff::EMAIL.set("c@a")).await.unwrap();
    w.staff.delete(&ada).await.unwrap();
}

#[tokio::test]
async fn c8_cascade_takes_along_and_runs_hooks() {
    let w = world().await;
    let (acme, other) = (w.company("acme").await, w.company("other").await);
    let ada = w.hire(&acme, "a@a", None).await;
    let bob = w.hire(&acme, "b@a", Some(&ada)).await;
    // Of another company, and still one of Bob's.
    let eve = w.hire(&other, "e@o", Some(&bob)).await;
    let max = w.hire(&other, "m@o", None).await;
    w.companies.update(&acme, Company::HEAD.set(ada.id())).await.unwrap();
    w.companies.update(&other, Company::HEAD.set(eve.id())).await.unwrap();
    w.badges.insert(Badge { email: "m@o".into(), of: Some("acme".into()) }).await.unwrap();
    let list =
        w.lists.insert(List { members: vec![bob.id(), max.id(), eve.id()], owner: Some(bob.id()) }).await.unwrap();
    let before = w.app.seq();
    w.companies.delete(&acme).await.unwrap();
    assert_eq!(w.app.seq(), before + 1, "it is one commit");
    let left = w.staff.find(Filter::all()).await.unwrap();
    assert_eq!(left.iter().map(|one| one.email.as_str()).collect::<Vec<_>>(), ["m@o"]);
    assert_eq!(w.badges.count(Filter::all()).await.unwrap(), 0);
    let list = w.lists.get(&list).await.unwrap().unwrap();
    assert_eq!((&list.members, &list.owner), (&vec![max.id()], &None));
    assert_eq!(w.companies.get(&other).await.unwrap().unwrap().head, None);
    // A document that loses two of its references at once changes once for each document that goes.
    assert_eq!(w.traces().await, ["gone a@a", "gone b@a", "gone e@o", "list 1", "list 2"]);
}

#[tokio::test]
async fn c8_a_cycle_is_taken_whole() {
    let w = world().await;
    let acme = w.company("acme").await;
    let ada = w.hire(&acme, "a@a", None).await;
    let bob = w.hire(&acme, "b@a", Some(&ada)).await;
    let eve = w.hire(&acme, "e@a", Some(&bob)).await;
    w.staff.update(&ada, Staff::BOSS.set(eve.id())).await.unwrap();
    w.staff.delete(&bob).await.unwrap();
    assert_eq!(w.staff.count(Filter::all()).await.unwrap(), 0);
    assert_eq!(w.traces().await, ["gone a@a", "gone b@a", "gone e@a"]);
}

#[tokio::test]
async fn c8_a_hook_that_refuses_refuses_all() {
    let w = world().await;
    let acme = w.company("acme").await;
    let ada = w.hire(&acme, "a@a", None).await;
    w.hire(&acme, "keep@a", Some(&ada)).await;
    assert_eq!(w.companies.delete(&acme).await.unwrap_err().code().as_str(), "KEPT");
    assert_eq!(w.staff.count(Filter::all()).await.unwrap(), 2);
    assert!(w.traces().await.is_empty());
}

#[tokio::test]
async fn c8_a_long_chain_is_no_deep_one() {
    let w = world().await;
    let acme = w.company("acme").await;
    let first = w.hire(&acme, "0@a", None).await;
    let mut last = first.clone();
    for at in 1..300 {
        last = w.hire(&acme, &format!("{at}@a"), Some(&last)).await;
    }
    w.staff.delete(&first).await.unwrap();
    assert_eq!(w.staff.count(Filter::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn c8_the_schema_says_it() {
    let w = world().await;
    let schema = w.staff.schema();
    let said =
        |field: &str| (schema["properties"][field]["model"].clone(), schema["properties"][field]["onDelete"].clone());
    assert_eq!(said("company"), (json!("companies._id"), json!("cascade")));
    assert_eq!(w.badges.schema()["properties"]["email"]["model"], "staff.email");
    assert_eq!(w.lists.schema()["properties"]["members"]["onDelete"], "setNull");
}

#[tokio::test]
async fn c8_a_model_that_is_missing_refuses_the_start() {
    let error = App::new().model::<Badge>().model::<Company>().in_memory().open().await.unwrap_err();
    assert_eq!(error.code().as_str(), "INVALID_DECLARATION");
    let text = error.text();
    for part in
        ["model `badges` (", "references.rs:", "refers to the model `staff`, which the application does not have"]
    {
        assert!(text.contains(part), "{text}");
    }
}

mod before {
    use modeller::prelude::*;

    #[model(id = "badges")]
    pub struct Badge {
        pub email: String,
        pub of: Option<String>,
    }
}

/// A field that begins to refer: what is stored has to fit.
#[tokio::test]
async fn c8_stored_documents_that_refer_to_nothing_stop_the_start() {
    let memory = Memory::new();
    let app = App::new().model::<before::Badge>().storage(memory.clone()).open().await.unwrap();
    let lost = before::Badge { email: "lost@a".into(), of: None };
    let lost = app.model::<before::Badge>().insert(lost).await.unwrap();
    drop(app);
    let open = || App::new().model::<Badge>().model::<Staff>().model::<Company>().storage(memory.clone()).open();
    let error = open().await.unwrap_err();
    assert_eq!(error.code().as_str(), "SCHEMA_CHANGED");
    assert!(error.text().contains(&format!("badges/{}", lost.id())) && error.text().contains("`email`"), "{error}");
}

/// What a reference was refused for is part of what the transaction has seen.
#[tokio::test]
async fn c8_a_refusal_that_was_caught_is_run_again_when_its_reason_is_gone() {
    let w = world().await;
    let runs = std::sync::atomic::AtomicU32::new(0);
    let outcome = w
        .app
        .transaction(|tx| {
            let first = runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            let companies = w.companies.detached();
            async move {
                let one = Badge { email: "a@a".into(), of: Some("acme".into()) };
                let code = tx.model::<Badge>()?.insert(one).await.unwrap_err().to_json()["model"].clone();
                tx.model::<Trace>()?.insert(Trace { what: code.to_string() }).await?;
                if first {
                    companies.insert(Company { name: "acme".into(), head: None }).await?;
                    companies.insert(Company { name: "other".into(), head: None }).await?;
                }
                Ok(code)
            }
        })
        .await
        .unwrap();
    // Nobody has the e-mail address, which comes first, nor had anybody the name in the first run.
    assert_eq!((outcome, runs.into_inner()), (json!("staff"), 1));

    let acme = w.companies.get(Company::NAME.eq("acme")).await.unwrap().unwrap();
    w.hire(&acme, "a@a", None).await;
    let runs = std::sync::atomic::AtomicU32::new(0);
    let badge = w
        .app
        .transaction(|tx| {
            let first = runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            let companies = w.companies.detached();
            async move {
                let one = Badge { email: "a@a".into(), of: Some("third".into()) };
                match tx.model::<Badge>()?.insert(one).await {
                    Ok(badge) => Ok(Some(badge)),
                    Err(_) => {
                        tx.model::<Trace>()?.insert(Trace { what: "refused".into() }).await?;
                        if first {
                            companies.insert(Company { name: "third".into(), head: None }).await?;
                        }
                        Ok(None)
                    }
                }
            }
        })
        .await
        .unwrap();
    assert_eq!((badge.is_some(), runs.into_inner()), (true, 2));
}

/// Row P2: foreign keys across models, under concurrent writers. Whoever comes first decides, and nothing dangles.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p2_a_parent_and_its_child_do_not_pass_each_other() {
    for round in 0..60 {
        let w = world().await;
        let acme = w.company("acme").await;
        let ada = w.hire(&acme, "a@a", None).await;
        let (staff, badges, id) = (w.staff.clone(), w.badges.clone(), ada.id());
        let delete = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(round % 7 * 20)).await;
            staff.delete(&id).await.is_ok()
        });
        let insert = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(round % 5 * 20)).await;
            badges.insert(Badge { email: "a@a".into(), of: None }).await.is_ok()
        });
        let (deleted, inserted) = (delete.await.unwrap(), insert.await.unwrap());
        assert!(deleted != inserted, "one of the two: {deleted} {inserted}");
        assert_eq!(w.badges.count(Filter::all()).await.unwrap() == 1, inserted);
        assert_eq!(w.staff.count(Filter::all()).await.unwrap() == 1, inserted);
    }
}

/// Models given as JSON refer by the same keywords, and to models of the program.
#[tokio::test]
async fn c8_models_given_as_json_refer_as_well() {
    let seats = json!({"type": "object", "properties": {
        "of": {"type": "string", "model": "companies.name", "onDelete": "cascade"},
        "next": {"type": ["array", "null"], "items": {"type": "string", "model": "seats._id", "onDelete": "setNull"}},
    }});
    let with = |schema: serde_json::Value| {
        App::new()
            .model::<Company>()
            .model::<Staff>()
            .schema_model(SchemaModel::new("seats", schema))
            .schema_model(SchemaModel::new(
                "safes",
                json!({"properties": {"code": {"unique": true, "protected": true}}}),
            ))
            .in_memory()
            .open()
    };
    let app = with(seats).await.unwrap();
    let (companies, seats) = (app.model::<Company>(), app.model_by_id("seats").unwrap());
    let seat = |json: serde_json::Value| Document::try_from(json).unwrap();
    assert_refused(seats.insert(seat(json!({"of": "acme"}))).await, "of", "companies");
    let acme = companies.insert(Company { name: "acme".into(), head: None }).await.unwrap();
    let gone = seats.insert(seat(json!({"of": "acme"}))).await.unwrap();
    assert_refused(seats.insert(seat(json!({"next": [gone.id(), "x"]}))).await, "next", "seats");
    let left = seats.insert(seat(json!({"next": [gone.id()]}))).await.unwrap();
    companies.delete(&acme).await.unwrap();
    assert!(seats.get(&gone).await.unwrap().is_none());
    let left = seats.get(&left).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(&*left).unwrap(), json!({"next": []}));

    for (property, part) in [
        (json!({"model": "companies"}), "is not of the form"),
        (json!({"model": "companies._id", "onDelete": "no"}), "is none of"),
        (json!({"onDelete": "cascade"}), "needs `model`"),
        (json!({"model": "companies.head"}), "which is not unique"),
        (json!({"model": "companies.none"}), "there is no such field"),
        (json!({"model": "none._id"}), "which the application does not have"),
        (json!({"type": "string", "model": "companies._id", "onDelete": "setNull"}), "cannot be `null`"),
        (json!({"properties": {"b": {"model": "companies._id"}}}), "only a member of the document itself"),
        (json!({"model": "companies._id", "private": true}), "a private field cannot"),
        (json!({"model": "companies._id", "protected": true}), "a protected field cannot"),
        (json!({"model": "safes.code"}), "which is protected"),
    ] {
        let schema = json!({"type": "object", "properties": {"a": property}});
        let error = with(schema.clone()).await.map(drop).unwrap_err();
        assert!(error.text().contains("`seats`") && error.text().contains(part), "{schema}: {}", error.text());
    }
}
