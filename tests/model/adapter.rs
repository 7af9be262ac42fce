//! A model mirrored into a foreign store, and filled from it.

use std::sync::{Arc, Mutex};

use modeller::prelude::*;
use modeller::{Adapter, Pulled};

#[model(id = "notes")]
pub struct Note {
    #[field(max_length = 5)]
    pub text: String,
}

/// An id, and the text of what is there now.
type Told = (String, Option<String>);

/// A document of a foreign store.
type Kept = (Id<Note>, Note);

/// What a foreign store was told, in order, and what it has.
#[derive(Clone, Default)]
struct Elsewhere {
    told: Arc<Mutex<Vec<Told>>>,
    failures: Arc<Mutex<usize>>,
    has: Arc<Mutex<Vec<Kept>>>,
}

impl Adapter<Note> for Elsewhere {
    async fn sync(&self, id: &Id<Note>, doc: Option<&Doc<Note>>) -> Result<()> {
        let failing = {
            let mut failures = self.failures.lock().unwrap();
            let failing = *failures > 0;
            *failures = failures.saturating_sub(1);
            failing
        };
        assert!(!failing, "the foreign store is away");
        self.told.lock().unwrap().push((id.to_string(), doc.map(|doc| doc.text.clone())));
        Ok(())
    }

    async fn pull(&self) -> Result<Vec<(Id<Note>, Note)>> {
        Ok(self.has.lock().unwrap().clone())
    }
}

async fn app(elsewhere: &Elsewhere) -> App {
    App::new().model::<Note>().adapter(elsewhere.clone()).in_memory().open().await.unwrap()
}

fn note(text: &str) -> Note {
    Note { text: text.into() }
}

#[tokio::test]
async fn c13_changes_are_mirrored_in_order_and_again_after_a_failure() {
    let elsewhere = Elsewhere::default();
    *elsewhere.failures.lock().unwrap() = 2;
    let app = app(&elsewhere).await;
    let notes = app.model::<Note>();
    let a = notes.insert(note("a")).await.unwrap();
    notes.update(&a, Note::TEXT.set("b")).await.unwrap();
    assert!(notes.update(&a, Note::TEXT.set("too long")).await.is_err());
    notes.delete(&a).await.unwrap();
    app.synced().await;
    let id = a.id().to_string();
    let expected = [Some("a"), Some("b"), None].map(|text| (id.clone(), text.map(str::to_owned)));
    assert_eq!(*elsewhere.told.lock().unwrap(), expected);
}

#[tokio::test]
async fn c13_a_model_is_filled_from_there_and_nothing_is_sent_back() {
    let elsewhere = Elsewhere::default();
    let (a, b): (Id<Note>, Id<Note>) = ("a".parse().unwrap(), "b".parse().unwrap());
    *elsewhere.has.lock().unwrap() = vec![(a.clone(), note("a")), (b.clone(), note("b"))];
    let app = app(&elsewhere).await;
    let notes = app.model::<Note>();
    assert_eq!(notes.pull().await.unwrap(), Pulled { inserted: 2, replaced: 0, unchanged: 0 });
    elsewhere.has.lock().unwrap()[1].1 = note("c");
    assert_eq!(notes.pull().await.unwrap(), Pulled { inserted: 0, replaced: 1, unchanged: 1 });
    app.synced().await;
    assert!(elsewhere.told.lock().unwrap().is_empty());
    assert_eq!(notes.get(&b).await.unwrap().unwrap().text, "c");
    elsewhere.has.lock().unwrap()[0].1 = note("too long");
    let error = notes.pull().await.unwrap_err();
    assert_eq!((error.code(), error.get("document").unwrap().as_str()), (&ErrorCode::ValidationError, Some("a")));
    notes.sync_all().unwrap();
    app.synced().await;
    assert_eq!(elsewhere.told.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn c13_more_than_can_wait_is_mirrored_as_it_is_by_then() {
    let elsewhere = Elsewhere::default();
    *elsewhere.failures.lock().unwrap() = 1;
    let app = app(&elsewhere).await;
    let notes = app.model::<Note>();
    let docs = notes.insert_many(vec![note("old"); 5_000]).await.unwrap();
    notes.update(&docs[4_999], Note::TEXT.set("new")).await.unwrap();
    app.synced().await;
    let told = elsewhere.told.lock().unwrap();
    assert_eq!((told.len(), told.last().unwrap().1.as_deref()), (5_000, Some("new")));
}

/// A foreign store that answers a pull with what it had when it was asked, once it is let.
#[derive(Clone, Default)]
struct Slow {
    elsewhere: Elsewhere,
    asked: Arc<tokio::sync::Notify>,
    let_go: Arc<tokio::sync::Notify>,
}

impl Adapter<Note> for Slow {
    async fn sync(&self, id: &Id<Note>, doc: Option<&Doc<Note>>) -> Result<()> {
        self.elsewhere.sync(id, doc).await
    }

    async fn pull(&self) -> Result<Vec<(Id<Note>, Note)>> {
        let has = self.elsewhere.pull().await?;
        self.asked.notify_one();
        self.let_go.notified().await;
        Ok(has)
    }
}

#[tokio::test]
async fn c13_what_changed_while_a_pull_was_under_way_stays_and_is_mirrored() {
    let slow = Slow::default();
    let ids: Vec<Id<Note>> = ["a", "b", "c", "d"].iter().map(|id| id.parse().unwrap()).collect();
    let app = App::new().model::<Note>().adapter(slow.clone()).in_memory().open().await.unwrap();
    let notes = app.model::<Note>();
    notes.insert_with_id(ids[0].clone(), note("old")).await.unwrap();
    notes.insert_with_id(ids[1].clone(), note("old")).await.unwrap();
    app.synced().await;
    *slow.elsewhere.has.lock().unwrap() = ids.iter().map(|id| (id.clone(), note("there"))).collect();
    slow.elsewhere.told.lock().unwrap().clear();
    let pull = tokio::spawn({
        let notes = notes.clone();
        async move { notes.pull().await }
    });
    slow.asked.notified().await;
    notes.update(&ids[0], Note::TEXT.set("here")).await.unwrap();
    notes.insert_with_id(ids[2].clone(), note("here")).await.unwrap();
    notes.delete(&ids[2]).await.unwrap();
    slow.let_go.notify_one();
    assert_eq!(pull.await.unwrap().unwrap(), Pulled { inserted: 1, replaced: 1, unchanged: 2 });
    app.synced().await;
    let mut found = Vec::new();
    for id in &ids {
        found.push(notes.get(id).await.unwrap().map(|note| note.text.clone()));
    }
    assert_eq!(found, [Some("here"), Some("there"), None, Some("there")].map(|text| text.map(str::to_owned)));
    let told = |id: &str, text: Option<&str>| (id.to_owned(), text.map(str::to_owned));
    assert_eq!(
        *slow.elsewhere.told.lock().unwrap(),
        [told("a", Some("here")), told("c", Some("here")), told("c", None)]
    );
}

#[tokio::test]
async fn c13_what_was_not_mirrored_yet_is_newer_than_what_is_pulled() {
    let elsewhere = Elsewhere::default();
    *elsewhere.failures.lock().unwrap() = 3;
    let app = app(&elsewhere).await;
    let notes = app.model::<Note>();
    let a = notes.insert(note("here")).await.unwrap();
    *elsewhere.has.lock().unwrap() = vec![(a.id(), note("old"))];
    assert_eq!(notes.pull().await.unwrap(), Pulled { inserted: 0, replaced: 0, unchanged: 1 });
    app.synced().await;
    assert_eq!(notes.get(&a).await.unwrap().unwrap().text, "here");
    assert_eq!(*elsewhere.told.lock().unwrap(), [(a.id().to_string(), Some("here".to_owned()))]);
    assert_eq!(notes.pull().await.unwrap().replaced, 1, "what is there was changed there");
}

/// Many writers beside pulls: in the end both stores have the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c13_both_stores_agree_after_pulls_beside_writers() {
    /// A foreign store that keeps what it is told.
    #[derive(Clone, Default)]
    struct Keeping(Arc<Mutex<std::collections::BTreeMap<String, String>>>);

    impl Adapter<Note> for Keeping {
        async fn sync(&self, id: &Id<Note>, doc: Option<&Doc<Note>>) -> Result<()> {
            tokio::task::yield_now().await;
            let mut kept = self.0.lock().unwrap();
            match doc {
                Some(doc) => kept.insert(id.to_string(), doc.text.clone()),
                None => kept.remove(&id.to_string()),
            };
            Ok(())
        }

        async fn pull(&self) -> Result<Vec<(Id<Note>, Note)>> {
            let kept = self.0.lock().unwrap().clone();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            Ok(kept.into_iter().map(|(id, text)| (id.parse().unwrap(), note(&text))).collect())
        }
    }

    for round in 0..5 {
        let keeping = Keeping::default();
        let app = App::new().model::<Note>().adapter(keeping.clone()).in_memory().open().await.unwrap();
        let notes = app.model::<Note>();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let notes = notes.clone();
                tokio::spawn(async move {
                    for step in 0..200 {
                        let id: Id<Note> = format!("n{}", (writer * 7 + step * 3) % 8).parse().unwrap();
                        if (step + writer) % 5 == 0 {
                            let _ = notes.delete(&id).await;
                        } else {
                            notes.upsert(&id, note(&format!("{writer}{step}"))).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let pulls: Vec<_> = (0..2)
            .map(|_| {
                let notes = notes.clone();
                tokio::spawn(async move {
                    for at in 0..20 {
                        notes.pull().await.unwrap();
                        if at % 5 == 0 {
                            notes.sync_all().unwrap();
                        }
                    }
                })
            })
            .collect();
        for task in writers.into_iter().chain(pulls) {
            task.await.unwrap();
        }
        app.synced().await;
        let here: std::collections::BTreeMap<String, String> = notes
            .find(Filter::all())
            .await
            .unwrap()
            .iter()
            .map(|note| (note.id().to_string(), note.text.clone()))
            .collect();
        assert_eq!(here, *keeping.0.lock().unwrap(), "round {round}");
    }
}

#[tokio::test]
async fn c13_a_pull_is_outside_of_transactions() {
    let app = app(&Elsewhere::default()).await;
    let error = app.transaction(|tx| async move { tx.model::<Note>()?.pull().await }).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::NestedTransaction);
}
