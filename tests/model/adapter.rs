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
