//! Row C14 of the reference: what is deleted goes to the trash, and comes back from there.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use modeller::prelude::*;
use modeller::storage::{EntryKind, Faults, Memory, Storage};
use modeller::test::TestApp;
use modeller::{Deletion, HookEvent, Trashed};
use modeller_tests::Folder;
use serde_json::{Value, json};

#[model(id = "teams")]
#[derive(PartialEq)]
pub struct Team {
    #[field(unique, min_length = 1)]
    pub name: String,
    /// The one who leads it, who is of it: a circle.
    #[field(references = Member::_ID, on_delete = cascade)]
    pub lead: Option<Id<Member>>,
}

#[model(id = "members")]
#[derive(PartialEq)]
pub struct Member {
    #[field(references = Team::_ID, on_delete = cascade)]
    pub team: Id<Team>,
    #[field(unique)]
    pub email: String,
    pub pin: Private<String>,
}

#[model(id = "notes")]
pub struct Note {
    pub text: String,
    #[field(references = Member::_ID, on_delete = set_null)]
    pub by: Option<Id<Member>>,
}

/// Nothing of it is kept.
#[model(id = "visits", trash = false)]
pub struct Visit {
    #[field(unique)]
    pub page: String,
}

#[model(id = "traces", trash = false)]
pub struct Trace {
    pub what: String,
}

#[hook(Team, before(insert))]
async fn not_cursed(team: &mut Team) -> Result<()> {
    if team.name == "cursed" { Err(Error::new("CURSED")) } else { Ok(()) }
}

#[hook(Team, after(insert, delete))]
async fn traced(team: Doc<Team>, traces: Model<Trace>) -> Result<()> {
    traces.insert(Trace { what: team.name.clone() }).await?;
    Ok(())
}

fn builder() -> modeller::AppBuilder {
    App::new().model::<Team>().model::<Member>().model::<Note>().model::<Visit>().model::<Trace>()
}

async fn app() -> App {
    builder().in_memory().open().await.unwrap()
}

fn team(name: &str) -> Team {
    Team { name: name.into(), lead: None }
}

fn member(team: &Doc<Team>, email: &str) -> Member {
    Member { team: team.id(), email: email.into(), pin: "1234".into() }
}

async fn only<T: modeller::Stored>(model: &Model<T>) -> Trashed<T> {
    let all = model.trash().list(Filter::all()).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

async fn size<T: modeller::Stored>(model: &Model<T>) -> usize {
    model.trash().list(Filter::all()).limit(1_000).await.unwrap().len()
}

#[tokio::test]
async fn c14_a_deleted_document_is_kept_and_restored() {
    let app = app().await;
    let (teams, members) = (app.model::<Team>(), app.model::<Member>());
    let red = teams.insert(team("red")).await.unwrap();
    let ada = members.insert(member(&red, "ada@example.com")).await.unwrap();
    members.delete(&ada).await.unwrap();
    assert!(members.get(&ada).await.unwrap().is_none());

    let kept = only(&members).await;
    // It is the very document, and not a copy of it.
    assert!(kept.document().unwrap().ptr_eq(&ada));
    assert_eq!((kept.document_id(), kept.deleted_by()), (ada.id(), None));
    assert!(kept.deleted_at().elapsed().unwrap() < Duration::from_secs(10) && kept.deleted_at() <= SystemTime::now());
    assert_eq!(kept.stored().unwrap(), json!({"team": red.id(), "email": "ada@example.com", "pin": "1234"}));
    assert!(!format!("{kept:?}").contains("1234"));
    assert_eq!(members.trash().get(&kept.id()).await.unwrap().unwrap().id(), kept.id());

    let back = members.trash().restore(&kept.id()).await.unwrap();
    assert_eq!((back.id(), &*back), (ada.id(), &*ada));
    assert!(back.rev() > ada.rev());
    assert_eq!(members.get(Member::EMAIL.eq("ada@example.com")).await.unwrap(), Some(back));
    // The entry went with the same commit.
    assert_eq!(size(&members).await, 0);
    assert!(members.trash().get(&kept.id()).await.unwrap().is_none());
    let gone = members.trash().restore(&kept.id()).await.unwrap_err();
    assert_eq!((gone.code(), gone.http_status()), (&ErrorCode::NotFound, 404));
    assert_eq!(members.trash().purge(&kept.id()).await.unwrap_err().code(), &ErrorCode::NotFound);
}

#[tokio::test]
async fn every_way_to_delete_leads_there() {
    let app = app().await;
    let notes = app.model::<Note>();
    let texts = ["a", "b", "c", "d", "e", "f"];
    for text in texts {
        notes.insert(Note { text: text.into(), by: None }).await.unwrap();
    }
    let of = |text: &str| Note::TEXT.eq(text);
    let a = notes.get(of("a")).await.unwrap().unwrap();
    notes.delete(&a).await.unwrap();
    notes.delete(of("b")).await.unwrap();
    assert_eq!(notes.delete_many(Note::TEXT.is_in(["c", "d"])).await.unwrap(), 2);
    app.transaction(|tx| async move { tx.model::<Note>()?.delete(Note::TEXT.eq("e")).await }).await.unwrap();
    let f = notes.get(of("f")).await.unwrap().unwrap();
    app.model_by_id("notes").unwrap().delete(f.id().to_string().parse::<Id<Document>>().unwrap()).await.unwrap();
    // Those that went last come first.
    let kept = notes.trash().list(Filter::all()).await.unwrap();
    let shown: Vec<_> = kept.iter().map(|one| one.document().unwrap().text.clone()).collect();
    assert_eq!(shown.last().unwrap(), "a");
    assert_eq!(shown.first().unwrap(), "f");
    assert_eq!(shown.len(), 6);
    let deletions: BTreeMap<Deletion, usize> = kept.iter().fold(BTreeMap::new(), |mut all, one| {
        *all.entry(one.deletion()).or_default() += 1;
        all
    });
    let mut together: Vec<usize> = deletions.into_values().collect();
    together.sort_unstable();
    assert_eq!(together, [1, 1, 1, 1, 2], "what one transaction deletes is one deletion");

    let page = notes.trash().list(Filter::all()).skip(1).limit(2).await.unwrap();
    assert_eq!(page.iter().map(Trashed::id).collect::<Vec<_>>(), [kept[1].id(), kept[2].id()]);
    let found = notes.trash().list(of("c") | Note::_ID.eq(a.id())).await.unwrap();
    assert_eq!(found.iter().map(|one| one.document().unwrap().text.as_str()).collect::<Vec<_>>(), ["c", "a"]);
    // As JSON, of a model that has a type.
    let json = app.model_by_id("notes").unwrap();
    let found = json.trash().list(Filter::parse(&json!({"text": "c"})).unwrap()).await.unwrap();
    assert_eq!(found[0].document().unwrap()["text"], "c");
}

#[tokio::test]
async fn a_list_is_bounded() {
    let app = app().await;
    let notes = app.model::<Note>();
    notes.insert_many((0..1_005).map(|n| Note { text: n.to_string(), by: None }).collect()).await.unwrap();
    notes.delete_many(Filter::all()).await.unwrap();
    assert_eq!(notes.trash().list(Filter::all()).await.unwrap().len(), modeller::DEFAULT_LIMIT);
    assert_eq!(notes.trash().list(Filter::all()).limit(0).await.unwrap().len(), modeller::MAX_LIMIT);
    assert_eq!(notes.trash().list(Filter::all()).limit(usize::MAX).await.unwrap().len(), modeller::MAX_LIMIT);
    assert_eq!(notes.trash().list(Filter::all()).skip(usize::MAX).await.unwrap().len(), 0);
    assert_eq!(notes.trash().purge_all().await.unwrap(), 1_005);
    assert_eq!(size(&notes).await, 0);
}

#[tokio::test]
async fn one_document_is_deleted_several_times() {
    let app = app().await;
    let teams = app.model::<Team>();
    let red = teams.insert(team("red")).await.unwrap();
    teams.delete(&red).await.unwrap();
    teams.insert_with_id(red.id(), team("blue")).await.unwrap();
    teams.delete(&red).await.unwrap();
    let kept = teams.trash().list(Filter::all()).await.unwrap();
    assert_eq!(kept.iter().map(|one| one.document_id() == red.id()).collect::<Vec<_>>(), [true, true]);
    assert_ne!(kept[0].id(), kept[1].id());
    assert_eq!(teams.trash().restore(&kept[1].id()).await.unwrap().name, "red");
    // Its id is taken now.
    let error = teams.trash().restore(&kept[0].id()).await.unwrap_err();
    assert_eq!((error.code(), error.to_json()["field"].clone()), (&ErrorCode::UniqueViolation, json!("_id")));
    assert_eq!(size(&teams).await, 1);
}

#[tokio::test]
async fn a_unique_value_in_the_trash_is_free_and_a_restore_asks_for_it() {
    let app = app().await;
    let teams = app.model::<Team>();
    let red = teams.insert(team("red")).await.unwrap();
    teams.delete(&red).await.unwrap();
    let other = teams.insert(team("red")).await.unwrap();
    let kept = only(&teams).await;
    let error = teams.trash().restore(&kept.id()).await.unwrap_err();
    assert_eq!((error.code(), error.to_json()["field"].clone()), (&ErrorCode::UniqueViolation, json!("name")));
    assert_eq!(only(&teams).await.id(), kept.id());
    teams.delete(&other).await.unwrap();
    assert_eq!(teams.trash().restore(&kept.id()).await.unwrap().id(), red.id());
}

#[tokio::test]
async fn a_restore_needs_what_it_refers_to() {
    let app = app().await;
    let (teams, members) = (app.model::<Team>(), app.model::<Member>());
    let red = teams.insert(team("red")).await.unwrap();
    let ada = members.insert(member(&red, "ada@example.com")).await.unwrap();
    members.delete(&ada).await.unwrap();
    teams.delete(&red).await.unwrap();
    let kept = only(&members).await;
    let error = members.trash().restore(&kept.id()).await.unwrap_err();
    assert_eq!((error.code(), error.to_json()["field"].clone()), (&ErrorCode::ReferenceViolation, json!("team")));
    assert_eq!((size(&members).await, members.count(Filter::all()).await.unwrap()), (1, 0));
    teams.trash().restore(&only(&teams).await.id()).await.unwrap();
    assert_eq!(members.trash().restore(&kept.id()).await.unwrap().id(), ada.id());
}

#[tokio::test]
async fn a_restore_runs_the_hooks_of_an_insert() {
    let app = app().await;
    let (teams, traces) = (app.model::<Team>(), app.model::<Trace>());
    let red = teams.insert(team("red")).await.unwrap();
    teams.delete(&red).await.unwrap();
    teams.trash().restore(&only(&teams).await.id()).await.unwrap();
    let told = traces.find(Filter::all()).await.unwrap();
    assert_eq!(told.iter().map(|one| one.what.as_str()).collect::<Vec<_>>(), ["red", "red", "red"]);

    teams.update(&red, Team::NAME.set("cursed")).await.unwrap();
    teams.delete(&red).await.unwrap();
    let error = teams.trash().restore(&only(&teams).await.id()).await.unwrap_err();
    assert_eq!(error.code().as_str(), "CURSED");
    assert_eq!((size(&teams).await, teams.count(Filter::all()).await.unwrap()), (1, 0));

    // One that deletes it again leaves an entry, and the restore fails as a whole.
    teams.trash().purge_all().await.unwrap();
    teams.insert_with_id(red.id(), team("blue")).await.unwrap();
    teams.delete(&red).await.unwrap();
    teams
        .hook("away", [HookEvent::after(Operation::Insert)], |mut hook| {
            Box::pin(async move {
                let doc = hook.doc()?;
                hook.model::<Team>()?.delete(&doc).await.map(drop)
            })
        })
        .unwrap();
    let kept = only(&teams).await;
    let error = teams.trash().restore(&kept.id()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::Conflict);
    assert_eq!(only(&teams).await.id(), kept.id());
}

#[tokio::test]
async fn cascades_go_to_the_trash_together_and_come_back_together() {
    let app = app().await;
    let (teams, members, notes) = (app.model::<Team>(), app.model::<Member>(), app.model::<Note>());
    let red = teams.insert(team("red")).await.unwrap();
    let ada = members.insert(member(&red, "ada@example.com")).await.unwrap();
    members.insert(member(&red, "bob@example.com")).await.unwrap();
    let note = notes.insert(Note { text: "hello".into(), by: Some(ada.id()) }).await.unwrap();
    // A circle: neither can come back before the other.
    let red = teams.update(&red, Team::LEAD.set(Some(ada.id()))).await.unwrap();
    teams.delete(&red).await.unwrap();
    assert_eq!(members.count(Filter::all()).await.unwrap(), 0);
    // To lose a reference is no end.
    assert_eq!((notes.get(&note).await.unwrap().unwrap().by.clone(), size(&notes).await), (None, 0));

    let (of_team, of_members) = (only(&teams).await, members.trash().list(Filter::all()).await.unwrap());
    assert!(of_members.len() == 2 && of_members.iter().all(|one| one.deletion() == of_team.deletion()));
    let error = teams.trash().restore(&of_team.id()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::ReferenceViolation, "alone it cannot");

    // All or none.
    let other = teams.insert(team("blue")).await.unwrap();
    let taken = members.insert(member(&other, "bob@example.com")).await.unwrap();
    let error = teams.trash().restore_commit(&of_team.deletion()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::UniqueViolation);
    assert_eq!((size(&teams).await, size(&members).await), (1, 2));
    assert_eq!((teams.count(Filter::all()).await.unwrap(), members.count(Filter::all()).await.unwrap()), (1, 1));
    members.delete(&taken).await.unwrap();

    let back = teams.trash().restore_commit(&of_team.deletion()).await.unwrap();
    assert_eq!(back.iter().map(Doc::id).collect::<Vec<_>>(), [red.id()]);
    assert_eq!(back[0].lead, Some(ada.id()));
    assert_eq!(members.count(Member::TEAM.eq(red.id())).await.unwrap(), 2);
    assert_eq!((size(&teams).await, size(&members).await), (0, 1), "what went by itself stays");
    let error = teams.trash().restore_commit(&of_team.deletion()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::NotFound);
}

#[tokio::test]
async fn a_part_that_is_left_comes_back() {
    let app = app().await;
    let (teams, members) = (app.model::<Team>(), app.model::<Member>());
    let red = teams.insert(team("red")).await.unwrap();
    members.insert(member(&red, "ada@example.com")).await.unwrap();
    teams.delete(&red).await.unwrap();
    members.trash().purge(&only(&members).await.id()).await.unwrap();
    teams.trash().restore_commit(&only(&teams).await.deletion()).await.unwrap();
    assert_eq!((teams.count(Filter::all()).await.unwrap(), members.count(Filter::all()).await.unwrap()), (1, 0));
}

#[tokio::test]
async fn what_is_taken_back_leaves_nothing() {
    let app = app().await;
    let teams = app.model::<Team>();
    let red = teams.insert(team("red")).await.unwrap();
    let red = &red;
    // The transaction as a whole.
    let failed = app
        .transaction(|tx| async move {
            let teams = tx.model::<Team>()?;
            teams.delete(red).await?;
            assert_eq!(teams.trash().list(Filter::all()).await?.len(), 1, "its own writes are read");
            Err::<(), _>(Error::new("NO"))
        })
        .await;
    assert_eq!(failed.unwrap_err().code().as_str(), "NO");
    assert_eq!((size(&teams).await, teams.count(Filter::all()).await.unwrap()), (0, 1));
    // A restore, inside of one.
    app.transaction(|tx| async move {
        let teams = tx.model::<Team>()?;
        teams.delete(red).await?;
        let kept = teams.trash().list(Filter::all()).await?;
        teams.trash().restore(&kept[0].id()).await?;
        assert!(teams.trash().list(Filter::all()).await?.is_empty());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!((size(&teams).await, teams.count(Filter::all()).await.unwrap()), (0, 1));
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing() {
    let app = app().await;
    let notes = app.model::<Note>();
    for text in ["a", "b", "keep", "z"] {
        notes.insert(Note { text: text.into(), by: None }).await.unwrap();
    }
    notes
        .hook("kept", [HookEvent::before(Operation::Delete)], |mut hook| {
            Box::pin(async move { if hook.previous()?.text == "keep" { Err(Error::new("KEPT")) } else { Ok(()) } })
        })
        .unwrap();
    app.transaction(|tx| async move {
        let notes = tx.model::<Note>()?;
        notes.delete(Note::TEXT.eq("z")).await?;
        assert_eq!(notes.delete_many(Filter::all()).await.unwrap_err().code().as_str(), "KEPT");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(
        (only(&notes).await.document().unwrap().text.as_str(), notes.count(Filter::all()).await.unwrap()),
        ("z", 3)
    );
}

#[tokio::test]
async fn what_came_and_went_in_one_transaction_leaves_nothing_and_what_was_there_does() {
    let app = app().await;
    let teams = app.model::<Team>();
    app.transaction(|tx| async move {
        let teams = tx.model::<Team>()?;
        let new = teams.insert(team("new")).await?;
        teams.update(&new, Team::NAME.set("newer")).await?;
        teams.delete(&new).await
    })
    .await
    .unwrap();
    assert_eq!(size(&teams).await, 0);

    // What was there before is kept as it was when it went; what took its place, and went, is not.
    let red = teams.insert(team("red")).await.unwrap();
    let red = &red;
    app.transaction(|tx| async move {
        let teams = tx.model::<Team>()?;
        teams.update(red, Team::NAME.set("crimson")).await?;
        teams.delete(red).await?;
        teams.insert_with_id(red.id(), team("other")).await?;
        teams.update(red, Team::NAME.set("another")).await?;
        teams.delete(red).await
    })
    .await
    .unwrap();
    let kept = only(&teams).await;
    assert_eq!(kept.document().unwrap().name, "crimson");

    // Out of the trash and gone again: it was there before, so it is there still.
    let before = kept.id();
    let before = &before;
    app.transaction(|tx| async move {
        let teams = tx.model::<Team>()?;
        let back = teams.trash().restore(before).await?;
        teams.update(&back, Team::NAME.set("scarlet")).await?;
        teams.delete(&back).await
    })
    .await
    .unwrap();
    let kept = only(&teams).await;
    assert_eq!((kept.document().unwrap().name.as_str(), kept.id() == *before), ("scarlet", false));
}

#[tokio::test]
async fn a_deletion_is_one_change_of_its_transaction() {
    let app = app().await;
    let notes = app.model::<Note>();
    let fill = |count: usize| notes.insert_many((0..count).map(|n| Note { text: n.to_string(), by: None }).collect());
    fill(10_000).await.unwrap();
    assert_eq!(notes.delete_many(Filter::all()).await.unwrap(), 10_000);
    let deletion = notes.trash().list(Filter::all()).limit(1).await.unwrap()[0].deletion();
    assert_eq!(notes.trash().restore_commit(&deletion).await.unwrap().len(), 10_000);
    fill(1).await.unwrap();
    assert_eq!(notes.delete_many(Filter::all()).await.unwrap_err().code(), &ErrorCode::TransactionTooLarge);
    // What goes to the trash is written, and counts with its bytes.
    let large = "x".repeat(6 << 20);
    notes.delete(Note::TEXT.eq("0")).await.unwrap();
    for _ in 0..3 {
        notes.insert(Note { text: large.clone(), by: None }).await.unwrap();
    }
    let error = notes.delete_many(Note::TEXT.eq(large.as_str())).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::TransactionTooLarge);
}

#[tokio::test]
async fn purged_is_gone() {
    let app = app().await;
    let notes = app.model::<Note>();
    for text in ["a", "b", "c"] {
        let note = notes.insert(Note { text: text.into(), by: None }).await.unwrap();
        notes.delete(&note).await.unwrap();
    }
    let kept = notes.trash().list(Filter::all()).await.unwrap();
    notes.trash().purge(&kept[1].id()).await.unwrap();
    let left: Vec<_> = notes.trash().list(Filter::all()).await.unwrap().iter().map(Trashed::id).collect();
    assert_eq!(left, [kept[0].id(), kept[2].id()]);
    assert_eq!(notes.trash().purge_older_than(Duration::from_secs(3_600)).await.unwrap(), 0);
    assert_eq!(notes.trash().purge_older_than(Duration::ZERO).await.unwrap(), 2);
    assert_eq!((size(&notes).await, notes.trash().purge_all().await.unwrap()), (0, 0));
}

#[tokio::test]
async fn a_model_can_do_without() {
    let app = app().await;
    let visits = app.model::<Visit>();
    for _ in 0..2 {
        let visit = visits.insert(Visit { page: "/".into() }).await.unwrap();
        visits.delete(&visit).await.unwrap();
    }
    visits.insert(Visit { page: "/".into() }).await.unwrap();
    assert_eq!(visits.delete_many(Filter::all()).await.unwrap(), 1);
    assert_eq!(size(&visits).await, 0);
    let given = SchemaModel::new("given", json!({})).without_trash();
    let app = App::new().schema_model(given).in_memory().open().await.unwrap();
    let given = app.model_by_id("given").unwrap();
    let doc = given.insert(Document::new()).await.unwrap();
    given.delete(&doc).await.unwrap();
    assert_eq!(size(&given).await, 0);
}

fn given(retention: Option<Duration>) -> SchemaModel {
    let schema = json!({"properties": {"n": {"type": "integer"}, "key": {"type": "string", "private": true}}});
    match retention {
        Some(retention) => SchemaModel::new("given", schema).trash(retention),
        None => SchemaModel::new("given", schema).without_trash(),
    }
}

fn document(json: Value) -> Document {
    json.try_into().unwrap()
}

#[tokio::test]
async fn what_is_kept_for_long_enough_goes_by_itself() {
    let model = given(Some(Duration::from_millis(300)));
    let app = App::new().schema_model(model).in_memory().open().await.unwrap();
    let things = app.model_by_id("given").unwrap();
    let delete = async |n: i64| {
        let doc = things.insert(document(json!({"n": n}))).await.unwrap();
        things.delete(&doc).await.unwrap();
    };
    delete(1).await;
    assert_eq!(size(&things).await, 1);
    let begun = std::time::Instant::now();
    while size(&things).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(250), "it went too early");
    delete(2).await;
    assert_eq!(size(&things).await, 1, "what is new stays");
}

#[tokio::test]
async fn a_restart_keeps_the_trash_and_clears_what_is_old() {
    let folder = Folder::new();
    let open = |retention| App::new().schema_model(given(retention)).data(folder.path()).open();
    let month = Some(Duration::from_secs(30 * 24 * 60 * 60));
    let app = open(month).await.unwrap();
    let things = app.model_by_id("given").unwrap();
    let doc = things.insert(document(json!({"n": 1, "key": "secret"}))).await.unwrap();
    things.delete(&doc).await.unwrap();
    let kept = only(&things).await;
    drop((app, things));

    // Switched off, it takes nothing more, and what is there stays.
    let app = open(None).await.unwrap();
    let things = app.model_by_id("given").unwrap();
    let other = things.insert(document(json!({"n": 2}))).await.unwrap();
    things.delete(&other).await.unwrap();
    let again = only(&things).await;
    assert_eq!((again.id(), again.deletion(), again.deleted_at()), (kept.id(), kept.deletion(), kept.deleted_at()));
    assert_eq!(again.document().unwrap().members(), kept.document().unwrap().members());
    assert!(!format!("{again:?}").contains("secret"));
    let back = things.trash().restore(&kept.id()).await.unwrap();
    assert_eq!((back.id(), back["key"].clone()), (doc.id(), json!("secret")));
    drop((app, things));

    let app = open(month).await.unwrap();
    let things = app.model_by_id("given").unwrap();
    assert_eq!((size(&things).await, things.count(Filter::all()).await.unwrap()), (0, 1));
    things.delete(doc.id()).await.unwrap();
    drop((app, things));
    tokio::time::sleep(Duration::from_millis(20)).await;

    // At the start what is too old is gone before anybody can ask.
    let app = open(Some(Duration::from_millis(1))).await.unwrap();
    assert_eq!(size(&app.model_by_id("given").unwrap()).await, 0);
}

#[tokio::test]
async fn what_no_longer_fits_does_not_stop_the_start_and_is_told_at_a_restore() {
    let folder = Folder::new();
    let open = |properties: Value| {
        let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        App::new().schema_model(SchemaModel::new("given", schema)).data(folder.path()).open()
    };
    let app = open(json!({"n": {"type": "integer"}, "old": {"type": "string", "private": true}})).await.unwrap();
    let things = app.model_by_id("given").unwrap();
    for json in [json!({"n": 1, "old": "secret"}), json!({"n": 2})] {
        let doc = things.insert(document(json)).await.unwrap();
        things.delete(&doc).await.unwrap();
    }
    drop((app, things));
    let app = open(json!({"n": {"type": "integer"}})).await.unwrap();
    let things = app.model_by_id("given").unwrap();
    let kept = things.trash().list(Filter::all()).await.unwrap();
    assert_eq!(kept.len(), 2);
    let error = things.trash().restore(&kept[1].id()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::ValidationError);
    assert_eq!(error.violations()[0].keyword, "additionalProperties");
    assert_eq!(things.trash().restore(&kept[0].id()).await.unwrap()["n"], 2);
    assert_eq!(only(&things).await.stored().unwrap(), json!({"n": 1, "old": "secret"}));
}

mod first {
    use super::*;
    #[model(id = "things")]
    pub struct Thing {
        pub n: u8,
        pub key: Private<String>,
    }
}

mod next {
    use super::*;
    #[model(id = "things")]
    pub struct Thing {
        pub n: u8,
        pub name: String,
    }
}

#[tokio::test]
async fn what_a_type_no_longer_reads_is_kept_as_it_was_stored() {
    let folder = Folder::new();
    let app = App::new().model::<first::Thing>().data(folder.path()).open().await.unwrap();
    let things = app.model::<first::Thing>();
    let thing = things.insert(first::Thing { n: 1, key: "secret".into() }).await.unwrap();
    things.delete(&thing).await.unwrap();
    drop((app, things));

    let app = App::new().model::<next::Thing>().data(folder.path()).open().await.unwrap();
    let things = app.model::<next::Thing>();
    let kept = only(&things).await;
    assert!(kept.document().is_none() && !format!("{kept:?}").contains("secret"));
    assert_eq!(kept.document_id().to_string(), thing.id().to_string());
    assert_eq!(kept.stored().unwrap(), json!({"n": 1, "key": "secret"}));
    let error = things.trash().restore(&kept.id()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::ValidationError);
    assert!(!format!("{error:?} {}", error.to_json()).contains("secret"));
    assert!(things.trash().list(next::Thing::N.eq(1)).await.unwrap().is_empty(), "it matches nothing");
    drop((app, things));

    // Where the model is as it was, the document is as it was.
    let app = App::new().model::<first::Thing>().data(folder.path()).open().await.unwrap();
    let things = app.model::<first::Thing>();
    let back = things.trash().restore(&only(&things).await.id()).await.unwrap();
    assert_eq!((back.n, back.key.get().map(String::as_str)), (1, Some("secret")));
}

#[tokio::test]
async fn a_trash_without_its_model_does_not_stop_the_start_and_stays() {
    let folder = Folder::new();
    let both = || App::new().model::<Visit>().schema_model(given(Some(Duration::from_secs(3_600)))).data(folder.path());
    let app = both().open().await.unwrap();
    let things = app.model_by_id("given").unwrap();
    let doc = things.insert(document(json!({"n": 1}))).await.unwrap();
    things.delete(&doc).await.unwrap();
    drop((app, things));
    drop(App::new().model::<Visit>().data(folder.path()).open().await.unwrap());
    let app = both().open().await.unwrap();
    assert_eq!(only(&app.model_by_id("given").unwrap()).await.document_id(), doc.id());
}

/// What the engine holds: the ids of documents, and of those in the trash.
fn stored(memory: &Memory) -> (Vec<String>, Vec<String>) {
    let (mut docs, mut trash) = (Vec::new(), Vec::new());
    memory
        .reopen()
        .open(&mut |one| {
            match one.model {
                "notes" => docs.push(one.id.to_owned()),
                "@trash.notes" => {
                    let entry: Value = serde_json::from_str(one.doc).unwrap();
                    trash.push(entry["documentId"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    docs.sort_unstable();
    trash.sort_unstable();
    (docs, trash)
}

/// D7: whatever the engine does, a document is there, or in the trash, and never in both or in neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_and_its_entry_are_one_whatever_the_engine_does() {
    let mut met = 0;
    for seed in 0..40_u64 {
        let faults = Faults::seeded(seed).lose_requests(0.1).lose_answers(0.1).fail_find(0.1).truncate(0.05);
        let mut calls = 0;
        let faults = faults.crash_during(20 + seed).second_writer(move |head, _| {
            calls += 1;
            (calls % 5 == 0).then(|| {
                vec![EntryKind::Commit {
                    changes: vec![modeller::storage::StoredChange {
                        model: "notes".into(),
                        id: format!("foreign-{calls}"),
                        rev: 1 + head.seq,
                        doc: Some(r#"{"text":"foreign","by":null}"#.into()),
                    }],
                    published: Vec::new(),
                }]
            })
        });
        let memory = Memory::with_faults(faults);
        let Ok(app) = App::new()
            .model::<Note>()
            .model::<Member>()
            .model::<Team>()
            .model::<Trace>()
            .storage(memory.clone())
            .open()
            .await
        else {
            continue;
        };
        let notes = app.model::<Note>();
        let mut inserted = Vec::new();
        let tasks: Vec<_> = (0..12)
            .map(|n| {
                let (app, notes) = (app.clone(), notes.clone());
                tokio::spawn(async move {
                    let note = notes.insert(Note { text: n.to_string(), by: None }).await.ok()?;
                    let id = note.id();
                    let deleted = match n % 3 {
                        // As an intent, as a transaction, and there and back.
                        0 => notes.delete(&note).await.map(drop),
                        1 => notes.delete(Note::_ID.eq(id.clone())).await.map(drop),
                        _ => {
                            let (app, id) = (app.clone(), id.clone());
                            app.transaction(|tx| {
                                let id = id.clone();
                                async move { tx.model::<Note>()?.delete(id).await.map(drop) }
                            })
                            .await
                            .map(drop)
                        }
                    };
                    let restored = match notes.trash().list(Note::_ID.eq(id.clone())).await {
                        Ok(kept) if n % 3 == 2 && !kept.is_empty() => {
                            Some(notes.trash().restore(&kept[0].id()).await.is_ok())
                        }
                        _ => None,
                    };
                    Some((id.to_string(), deleted.is_ok(), restored))
                })
            })
            .collect();
        for task in tasks {
            inserted.extend(task.await.unwrap());
        }
        met += memory.faults_met();
        let (docs, trash) = stored(&memory);
        for (id, deleted, restored) in inserted {
            let (there, kept) = (docs.contains(&id), trash.iter().filter(|one| **one == id).count());
            assert_eq!(usize::from(there) + kept, 1, "seed {seed}: {id} is there: {there}, {kept} times in the trash");
            if deleted && restored.is_none() {
                assert!(!there, "seed {seed}: the deletion was answered");
            }
            if restored == Some(true) {
                assert!(there, "seed {seed}: the restore was answered");
            }
        }
        drop((app, notes));
        // Another process reads all of it.
        let app = App::new()
            .model::<Note>()
            .model::<Member>()
            .model::<Team>()
            .model::<Trace>()
            .storage(memory.reopen())
            .open()
            .await
            .unwrap();
        assert_eq!(size(&app.model::<Note>()).await, trash.len());
    }
    assert!(met > 40, "the engine behaved too well to prove anything: {met}");
}

#[tokio::test]
async fn two_that_restore_one_entry_restore_it_once() {
    let app = app().await;
    let notes = app.model::<Note>();
    for round in 0..50 {
        let note = notes.insert(Note { text: round.to_string(), by: None }).await.unwrap();
        notes.delete(&note).await.unwrap();
        let entry = only(&notes).await.id();
        let (a, b) = tokio::join!(notes.trash().restore(&entry), notes.trash().restore(&entry));
        assert!(a.is_ok() != b.is_ok());
        assert_eq!(a.and(b).unwrap_err().code(), &ErrorCode::NotFound);
    }
    assert_eq!(notes.count(Filter::all()).await.unwrap(), 50);
}

#[model(id = "boards", public)]
pub struct Board {
    pub name: String,
}

/// Reached in process only.
#[model(id = "pins")]
pub struct Pin {
    #[field(references = Board::_ID, on_delete = cascade)]
    pub board: Id<Board>,
}

#[tokio::test]
async fn it_is_known_who_deleted_and_a_caller_restores_what_he_reaches() {
    let app = TestApp::open(|| App::new().model::<Board>().model::<Pin>()).await.unwrap();
    let claims = serde_json::Map::from_iter([("sub".to_owned(), json!("ada"))]);
    let (ada, anyone) = (Caller::verified(claims), Caller::anyone());
    let (boards, pins) = (app.model_as::<Board>(&ada).unwrap(), app.model::<Pin>());
    let board = boards.insert(Board { name: "b".into() }).await.unwrap();
    pins.insert(Pin { board: board.id() }).await.unwrap();
    boards.delete(&board).await.unwrap();
    // Also with what went along, which she does not reach.
    assert_eq!((only(&boards).await.deleted_by(), only(&pins).await.deleted_by()), (Some("ada"), Some("ada")));
    let deletion = only(&boards).await.deletion();
    let error = boards.trash().restore_commit(&deletion).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::Forbidden);
    assert_eq!(app.model_as::<Pin>(&ada).unwrap().trash().list(Filter::all()).await.unwrap_err().code(), error.code());
    assert_eq!((boards.count(Filter::all()).await.unwrap(), size(&pins).await), (0, 1));
    app.model::<Board>().trash().restore_commit(&deletion).await.unwrap();
    assert_eq!(pins.count(Filter::all()).await.unwrap(), 1);

    let boards = app.model_as::<Board>(&anyone).unwrap();
    boards.delete(&board).await.unwrap();
    assert_eq!(only(&boards).await.deleted_by(), None);
}

#[tokio::test]
async fn thirty_days_unless_the_model_says_otherwise() {
    let day = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let mut app = TestApp::open(|| App::new().model::<Board>().model::<Pin>()).await.unwrap();
    let board = app.model::<Board>().insert(Board { name: "b".into() }).await.unwrap();
    app.model::<Board>().delete(&board).await.unwrap();
    assert_eq!(only(&app.model::<Board>()).await.deleted_at(), app.now());
    app.advance(day(29));
    app.crash().await.unwrap();
    assert_eq!(size(&app.model::<Board>()).await, 1);
    app.advance(day(2));
    let begun = std::time::Instant::now();
    while size(&app.model::<Board>()).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// In what is erased; no file may hold it afterwards.
const CANARY: &str = "canary-5b1d";

/// The files of a folder that hold the canary.
fn holding(folder: &Folder) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        if std::fs::read(&path).unwrap().windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_is_nowhere() {
    let folder = Folder::new();
    let open = || builder().data(folder.path()).open();
    let app = open().await.unwrap();
    let (teams, members, notes) = (app.model::<Team>(), app.model::<Member>(), app.model::<Note>());
    let red = teams.insert(team("red")).await.unwrap();
    let secret = |text: &str| Member { pin: format!("{CANARY}-{text}").as_str().into(), ..member(&red, text) };
    let ada = members.insert(secret("ada")).await.unwrap();
    members.update(&ada, Member::EMAIL.set(format!("{CANARY}@example.com"))).await.unwrap();
    // Deleted before, and there again under the same id.
    members.delete(&ada).await.unwrap();
    members.insert_with_id(ada.id(), secret("again")).await.unwrap();
    let note = notes.insert(Note { text: "stays".into(), by: Some(ada.id()) }).await.unwrap();
    let other = members.insert(member(&red, "bob")).await.unwrap();
    members.delete(&other).await.unwrap();
    assert!(!holding(&folder).is_empty() && size(&members).await == 2);

    members.erase(ada.id()).await.unwrap();
    assert_eq!(holding(&folder), Vec::<String>::new());
    assert!(members.get(&ada).await.unwrap().is_none());
    assert_eq!(only(&members).await.document_id(), other.id(), "what others left there stays");
    assert_eq!(notes.get(&note).await.unwrap().unwrap().by, None);
    // It is done once more where it was interrupted.
    members.erase(ada.id()).await.unwrap();
    // One that is in the trash alone, and one that takes others with it.
    for (name, erased) in [("c", false), ("d", true)] {
        let blue = teams.insert(team("blue")).await.unwrap();
        let one = members.insert(Member { team: blue.id(), ..secret(name) }).await.unwrap();
        if erased {
            teams.erase(&blue).await.unwrap();
        } else {
            teams.delete(&blue).await.unwrap();
            members.erase(one.id()).await.unwrap();
        }
        assert_eq!(holding(&folder), Vec::<String>::new());
        assert_eq!((size(&members).await, size(&teams).await), (1, 1));
    }
    // The application goes on, and so does the next one.
    members.trash().restore(&only(&members).await.id()).await.unwrap();
    drop((app, teams, members, notes));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let app = open().await.unwrap();
    assert_eq!(app.model::<Member>().count(Filter::all()).await.unwrap(), 1);
    assert_eq!(holding(&folder), Vec::<String>::new());
}

#[tokio::test]
async fn an_erasure_is_no_part_of_a_transaction() {
    let app = app().await;
    let notes = app.model::<Note>();
    let note = notes.insert(Note { text: "n".into(), by: None }).await.unwrap();
    let note = &note;
    let refused = app.transaction(|tx| async move { tx.model::<Note>()?.erase(note).await }).await.unwrap_err();
    assert_eq!(refused.code(), &ErrorCode::NestedTransaction);
    assert_eq!(notes.count(Filter::all()).await.unwrap(), 1);
    // Hooks can be against it.
    notes.hook("no", [HookEvent::before(Operation::Delete)], |_| Box::pin(async { Err(Error::new("NO")) })).unwrap();
    assert_eq!(notes.erase(note).await.unwrap_err().code().as_str(), "NO");
    notes.unhook("no");
    notes.erase(note).await.unwrap();
    assert_eq!((notes.count(Filter::all()).await.unwrap(), size(&notes).await), (0, 0));

    // An engine in memory drops it from its log, too.
    let memory = Memory::new();
    let app = App::new().model::<Visit>().storage(memory.clone()).open().await.unwrap();
    let visits = app.model::<Visit>();
    let visit = visits.insert(Visit { page: CANARY.into() }).await.unwrap();
    visits.update(&visit, Visit::PAGE.set(format!("{CANARY}/2"))).await.unwrap();
    assert!(format!("{:?}", memory.history()).contains(CANARY));
    visits.erase(&visit).await.unwrap();
    assert!(!format!("{:?}", memory.history()).contains(CANARY));
    drop((app, visits));
    App::new().model::<Visit>().storage(memory.reopen()).open().await.unwrap();
}

#[tokio::test]
async fn another_writer_on_the_same_log_sees_the_same_trash() {
    let memory = Memory::new();
    let open = || App::new().model::<Board>().model::<Pin>().storage(memory.clone()).open();
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    let board = one.model::<Board>().insert(Board { name: "b".into() }).await.unwrap();
    one.model::<Pin>().insert(Pin { board: board.id() }).await.unwrap();
    one.model::<Board>().delete(&board).await.unwrap();
    // Whoever writes hears of what the other one wrote.
    let mine = two.model::<Board>().insert(Board { name: "mine".into() }).await.unwrap();
    let deletion = only(&two.model::<Board>()).await.deletion();
    two.model::<Board>().trash().restore_commit(&deletion).await.unwrap();
    two.model::<Board>().delete(&mine).await.unwrap();
    // Its entry is gone, which it hears of when it writes.
    let entry = only(&one.model::<Board>()).await;
    assert_eq!(one.model::<Board>().trash().restore(&entry.id()).await.unwrap_err().code(), &ErrorCode::NotFound);
    assert_eq!(only(&one.model::<Board>()).await.document_id(), mine.id());
    assert_eq!(one.model::<Board>().get(&board).await.unwrap().unwrap().name, "b");
    assert_eq!(one.model::<Pin>().count(Filter::all()).await.unwrap(), 1);
}
