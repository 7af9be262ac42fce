//! Indexes over several fields: what they keep unique, and which documents are looked at for a query.

use modeller::prelude::*;
use modeller::{Explanation, PlanKind};
use serde_json::json;

#[model(id = "files", rename_all = "camelCase", unique(owner, file_name), index(owner, labels, secret))]
pub struct File {
    pub owner: Option<String>,
    pub file_name: String,
    #[field(default)]
    pub labels: Vec<String>,
    #[field(default)]
    pub secret: Private<u32>,
}

#[model(id = "people", index(role, age))]
pub struct Person {
    pub role: String,
    pub age: u8,
    pub name: String,
}

fn file(owner: &str, name: &str) -> File {
    let owner = (!owner.is_empty()).then(|| owner.to_owned());
    File { owner, file_name: name.into(), labels: Vec::new(), secret: Private::new(1) }
}

#[tokio::test]
async fn values_are_unique_together() {
    let app = App::new().model::<File>().in_memory().open().await.unwrap();
    let files = app.model::<File>();
    let first = files.insert(file("ada", "notes")).await.unwrap();
    files.insert(file("ada", "letters")).await.unwrap();
    files.insert(file("bob", "notes")).await.unwrap();
    let refused = files.insert(file("ada", "notes")).await.unwrap_err();
    assert_eq!(refused.code(), &ErrorCode::UniqueViolation);
    assert_eq!((refused.get("fields"), refused.get("field")), (Some(&json!(["owner", "fileName"])), None));
    let refused = files.update(File::FILE_NAME.eq("letters"), File::FILE_NAME.set("notes")).await.unwrap_err();
    assert_eq!(refused.code(), &ErrorCode::UniqueViolation);
    // What lacks one of the values does not count.
    files.insert(file("", "notes")).await.unwrap();
    files.insert(file("", "notes")).await.unwrap();
    assert_eq!(files.count(File::FILE_NAME.eq("notes")).await.unwrap(), 4);
    // Two may swap in one transaction.
    let other = files.get(File::FILE_NAME.eq("letters")).await.unwrap().unwrap();
    let (first, other) = (first.id(), other.id());
    app.transaction(|tx| {
        let (first, other) = (first.clone(), other.clone());
        async move {
            let files = tx.model::<File>()?;
            files.update(&first, File::FILE_NAME.set("between")).await?;
            files.update(&other, File::FILE_NAME.set("notes")).await?;
            files.update(&first, File::FILE_NAME.set("letters")).await?;
            Ok(())
        }
    })
    .await
    .unwrap();
    assert_eq!(files.get(&first).await.unwrap().unwrap().file_name, "letters");
}

#[tokio::test]
async fn the_schema_names_them() {
    let app = App::new().model::<File>().in_memory().open().await.unwrap();
    let schema = app.model::<File>().schema();
    assert_eq!(schema["unique"], json!([["owner", "fileName"]]));
    assert_eq!(schema["index"], json!([["owner", "labels", "secret"]]));
}

#[tokio::test]
async fn a_private_field_narrows_in_process() {
    let app = App::new().model::<File>().in_memory().open().await.unwrap();
    let files = app.model::<File>();
    for at in 0..100_u32 {
        let labels = vec![format!("l{}", at % 5), "all".into()];
        files.insert(File { labels, secret: Private::new(at), ..file("ada", &at.to_string()) }).await.unwrap();
    }
    let filter = File::OWNER.eq("ada") & File::LABELS.contains("all") & File::SECRET.eq(70_u32);
    let told = files.find(filter.clone()).explain().await.unwrap();
    assert_eq!((told.plan, told.keys_examined, told.returned), (PlanKind::Index, 1, 1));
    assert_eq!(files.find(filter).await.unwrap()[0].file_name, "70");
}

/// 20 of 100,000: role and age of WORKLOAD's W3 by one index, that is walked as far as the list goes.
#[tokio::test]
async fn a_sorted_list_looks_at_what_it_answers() {
    let app = App::new().model::<Person>().in_memory().open().await.unwrap();
    let people = app.model::<Person>();
    for at in 0..2_000_u32 {
        let role = if at % 10 == 0 { "admin" } else { "user" }.to_owned();
        let age = u8::try_from((at.wrapping_mul(2_654_435_761) >> 16) % 100).unwrap();
        people.insert(Person { role, age, name: format!("n{at}") }).await.unwrap();
    }
    let admins = Person::ROLE.eq("admin") & Person::AGE.gte(30);
    let examined = |told: Explanation| (told.plan, told.sorted, told.documents_examined, told.returned);
    let query = |sort| people.find(admins.clone()).sort(sort).limit(20);
    let told = query(Person::AGE.asc()).explain().await.unwrap();
    assert_eq!(told.bounds, Some(json!({"role": {"$eq": "admin"}, "age": {"$gte": 30}})));
    assert_eq!(examined(told), (PlanKind::Index, true, 20, 20));
    let told = query(Person::AGE.desc()).explain().await.unwrap();
    assert_eq!(examined(told), (PlanKind::Index, true, 20, 20));
    let ages: Vec<u8> = query(Person::AGE.desc()).await.unwrap().iter().map(|person| person.age).collect();
    assert!(ages.is_sorted_by(|a, b| a >= b) && ages[0] == 99, "{ages:?}");
    let told = query(Person::NAME.asc()).explain().await.unwrap();
    assert!(!told.sorted && told.documents_examined > 20 && told.documents_examined <= 200, "{told:?}");
    // What no index knows of is looked for in all documents, and an `$or` of what they know in those alone.
    let told = people.find(Person::NAME.eq("n7")).explain().await.unwrap();
    assert_eq!(examined(told), (PlanKind::Scan, true, 2_000, 1));
    let ages = (Person::ROLE.eq("admin") & Person::AGE.eq(50)) | (Person::ROLE.eq("user") & Person::AGE.lt(1));
    let told = people.find(ages).explain().await.unwrap();
    assert!(told.plan == PlanKind::Or && told.parts.len() == 2 && told.documents_examined < 100, "{told:?}");
}
