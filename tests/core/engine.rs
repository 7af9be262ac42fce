//! What the application does when its engine fails, and what it finds when it is opened again.

use modeller::prelude::*;
use modeller::storage::{EntryKind, Faults, Memory};

mod first {
    use modeller::prelude::*;

    #[model(id = "things")]
    pub struct Thing {
        pub name: String,
        #[field(default)]
        pub size: i64,
    }

    #[model(id = "others")]
    pub struct Other {
        pub name: String,
    }
}

mod grown {
    use modeller::prelude::*;

    #[model(id = "things")]
    pub struct Thing {
        pub name: String,
        #[field(default)]
        pub size: i64,
        #[field(default = 7)]
        pub weight: i64,
        pub colour: Option<String>,
    }
}

mod shrunk {
    use modeller::prelude::*;

    #[model(id = "things")]
    pub struct Thing {
        pub name: String,
    }
}

mod stricter {
    use modeller::prelude::*;

    #[model(id = "things")]
    pub struct Thing {
        #[field(unique)]
        pub name: String,
        #[field(default, maximum = 5)]
        pub size: i64,
    }
}

fn thing(name: &str, size: i64) -> first::Thing {
    first::Thing { name: name.into(), size }
}

async fn filled(things: &[(&str, i64)]) -> Memory {
    let memory = Memory::new();
    let app = App::new().model::<first::Thing>().storage(memory.clone()).open().await.unwrap();
    for (name, size) in things {
        app.model::<first::Thing>().insert(thing(name, *size)).await.unwrap();
    }
    memory
}

fn epochs(memory: &Memory) -> Vec<u64> {
    let kinds = memory.history().into_iter().flat_map(|logged| logged.group.entries).map(|entry| entry.kind);
    kinds
        .filter_map(|kind| match kind {
            EntryKind::Epoch { number, .. } => Some(number),
            EntryKind::Commit { .. } => None,
        })
        .collect()
}

#[tokio::test]
async fn the_same_schemas_begin_no_epoch_and_others_do() {
    let memory = filled(&[("a", 1)]).await;
    assert_eq!(epochs(&memory), [1]);
    let app = App::new().model::<first::Thing>().storage(memory.reopen()).open().await.unwrap();
    assert_eq!((epochs(&memory), app.seq()), (vec![1], 2));
    drop(app);

    let app = App::new().model::<grown::Thing>().storage(memory.reopen()).open().await.unwrap();
    assert_eq!((epochs(&memory), app.seq()), (vec![1, 2], 3));
    let things = app.model::<grown::Thing>().find(Filter::all()).await.unwrap();
    assert_eq!((things[0].weight, things[0].colour.as_deref(), things[0].size), (7, None, 1));
}

#[tokio::test]
async fn what_no_longer_fits_stops_the_start_and_changes_nothing() {
    let memory = filled(&[("a", 1), ("a", 9)]).await;
    let before = memory.history();
    let refused = |app: Result<App>| {
        let error = app.unwrap_err();
        assert_eq!(error.code().as_str(), "SCHEMA_CHANGED");
        error.text().to_owned()
    };
    let lost = refused(App::new().model::<shrunk::Thing>().storage(memory.reopen()).open().await);
    assert!(lost.contains("things/") && lost.contains("`size`"), "{lost}");
    let stricter = refused(App::new().model::<stricter::Thing>().storage(memory.reopen()).open().await);
    assert!(stricter.contains("`name`"), "{stricter}");
    let missing = refused(App::new().model::<first::Other>().storage(memory.reopen()).open().await);
    assert!(missing.contains("`things` (2 documents)"), "{missing}");
    assert_eq!(memory.history(), before);

    let memory = filled(&[("a", 1), ("b", 9)]).await;
    let bounded = refused(App::new().model::<stricter::Thing>().storage(memory.reopen()).open().await);
    assert!(bounded.contains("`size` must be <= 5"), "{bounded}");
}

#[tokio::test]
async fn a_failed_append_is_told_and_closes_the_application() {
    let memory = Memory::with_faults(Faults::seeded(1).fail_append(3));
    let app = App::new().model::<first::Thing>().storage(memory.clone()).open().await.unwrap();
    let things = app.model::<first::Thing>();
    let a = things.insert(thing("a", 1)).await.unwrap();
    let error = things.insert(thing("b", 2)).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::Unavailable);
    for error in [
        things.insert(thing("c", 3)).await.unwrap_err(),
        things.update(&a, first::Thing::SIZE.set(2)).await.unwrap_err(),
        things.update(first::Thing::NAME.eq("a"), first::Thing::SIZE.set(2)).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), &ErrorCode::Unavailable);
    }
    // What was durable can still be read, and nothing else.
    assert_eq!(things.count(Filter::all()).await.unwrap(), 1);
    drop((app, things));
    let app = App::new().model::<first::Thing>().storage(memory.reopen()).open().await.unwrap();
    assert_eq!(app.model::<first::Thing>().find(Filter::all()).await.unwrap()[0].name, "a");
}

/// At every append there is: dead after it, and dead within it.
#[tokio::test]
async fn a_crash_at_every_append_leaves_a_prefix_with_all_that_was_acknowledged() {
    for nth in 1..12 {
        for during in [false, true] {
            let faults = Faults::seeded(nth);
            let faults = if during { faults.crash_during(nth) } else { faults.crash_after(nth) };
            let memory = Memory::with_faults(faults);
            let mut acknowledged = Vec::new();
            if let Ok(app) = App::new().model::<first::Thing>().storage(memory.clone()).open().await {
                for n in 0..10 {
                    let name = format!("{n}");
                    // Two documents in each commit: both or none.
                    let pair = app
                        .transaction(|tx| {
                            let name = name.clone();
                            async move {
                                let things = tx.model::<first::Thing>()?;
                                things.insert(thing(&name, n)).await?;
                                things.insert(thing(&name, -n)).await.map(drop)
                            }
                        })
                        .await;
                    match pair {
                        Ok(()) => acknowledged.push(name),
                        Err(error) => assert_eq!(error.code(), &ErrorCode::Unavailable),
                    }
                }
            }
            let app = App::new().model::<first::Thing>().storage(memory.reopen()).open().await.unwrap();
            let things = app.model::<first::Thing>();
            let stored = things.count(Filter::all()).await.unwrap();
            assert_eq!(stored % 2, 0, "half a commit");
            assert!(stored / 2 >= acknowledged.len() && stored / 2 <= acknowledged.len() + 1);
            for name in acknowledged {
                assert_eq!(things.count(first::Thing::NAME.eq(name)).await.unwrap(), 2);
            }
        }
    }
}

#[tokio::test]
async fn one_folder_is_one_application() {
    let folder = modeller_tests::Folder::new();
    let open = || App::new().model::<first::Thing>().data(folder.path()).open();
    let app = open().await.unwrap();
    let error = open().await.unwrap_err();
    assert!(error.text().contains(&folder.path().display().to_string()), "{error}");
    app.model::<first::Thing>().insert(thing("a", 1)).await.unwrap();
    drop(app);
    assert_eq!(open().await.unwrap().model::<first::Thing>().count(Filter::all()).await.unwrap(), 1);
}

/// A struct that gained an optional and a defaulted field opens what was stored before, and stores the new form from there on.
#[tokio::test]
async fn fields_that_may_be_missing_open_a_file_of_before() {
    let folder = modeller_tests::Folder::new();
    let app = App::new().model::<first::Thing>().data(folder.path()).open().await.unwrap();
    let old = app.model::<first::Thing>().insert(thing("a", 1)).await.unwrap();
    drop(app);
    let open = || App::new().model::<grown::Thing>().data(folder.path()).open();
    let app = open().await.unwrap();
    let things = app.model::<grown::Thing>();
    let id: Id<grown::Thing> = old.id().to_string().parse().unwrap();
    let read = things.get(&id).await.unwrap().unwrap();
    assert_eq!((read.weight, read.colour.as_deref(), read.size, read.rev()), (7, None, 1, old.rev()));
    things.update(&id, grown::Thing::WEIGHT.set(8)).await.unwrap();
    drop((things, app));
    let app = open().await.unwrap();
    assert_eq!(app.model::<grown::Thing>().get(&id).await.unwrap().unwrap().weight, 8);
    drop(app);
    // And the way back is refused: the field would be lost.
    let error = App::new().model::<first::Thing>().data(folder.path()).open().await.unwrap_err();
    assert!(error.code().as_str() == "SCHEMA_CHANGED" && error.text().contains("`weight`"), "{error}");
}

#[tokio::test]
async fn contradictions_are_told_all_at_once() {
    let error = App::new().model::<first::Thing>().model::<grown::Thing>().in_memory().open().await.unwrap_err();
    assert!(error.text().contains("two models have the id `things`"), "{error}");
}
