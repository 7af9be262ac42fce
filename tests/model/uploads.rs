//! Uploads, streams, and methods that are no transaction.

use modeller::prelude::*;
use modeller::storage::Memory;
use modeller::test::TestApp;
use serde_json::{Value, json};

#[model(id = "papers", public)]
pub struct Paper {
    #[field(unique)]
    pub title: String,
    #[field(default)]
    pub text: String,
    #[field(default)]
    pub key: Private<Option<String>>,
}

#[value]
pub struct About {
    #[field(min_length = 2)]
    pub title: String,
}

/// Stores a paper.
#[upload(Paper)]
async fn submit(mut file: File, about: About, papers: Model<Paper>, caller: Caller) -> Result<Doc<Paper>> {
    let text = String::from_utf8_lossy(&file.bytes(1024).await?).into_owned();
    let name = file.name().unwrap_or("nothing").to_owned();
    let by = if caller.is_application() { "us" } else { "somebody" };
    papers
        .insert(Paper {
            title: about.title,
            text: format!("{name}: {text} by {by}"),
            key: Some("secret".into()).into(),
        })
        .await
}

/// The fields may stand before the file, and there may be none.
#[upload(Paper, internal)]
async fn count_bytes(mut file: File) -> Result<u64> {
    file.copy_to(&mut tokio::io::sink()).await
}

#[upload(Paper)]
async fn in_two_steps(about: &About, mut file: File, papers: Model<Paper>) -> Result<()> {
    papers.insert(Paper { title: about.title.clone(), text: String::new(), key: None.into() }).await?;
    // What was done stays: it is no transaction.
    file.bytes(1).await.map(drop)
}

/// Appends a part of a paper, and answers how long it is.
#[stream(Paper)]
async fn append(chunk: Chunk, about: About, papers: Model<Paper>, call: Call) -> Result<usize> {
    let paper = papers.get(Paper::TITLE.eq(about.title)).await?.ok_or_else(|| Error::new("NO_SUCH_PAPER"))?;
    let text = format!("{}{}", paper.text, String::from_utf8_lossy(&chunk));
    let paper = papers.update(&paper, Paper::TEXT.set(text)).await?;
    if chunk.is_last() && call.attempt() > 0 && chunk.offset() + chunk.len() as u64 != paper.text.len() as u64 {
        return Err(Error::new("A_PART_IS_MISSING"));
    }
    Ok(paper.text.len())
}

/// Waits for each paper, which no transaction does.
#[method(Paper, transaction = none)]
async fn review(papers: Model<Paper>) -> Result<usize> {
    let all = papers.find(Filter::all()).await?;
    for paper in &all {
        papers.update(paper, Paper::TEXT.set("reviewed")).await?;
        tokio::task::yield_now().await;
    }
    match all.len() {
        0 => Err(Error::new("NOTHING_TO_REVIEW")),
        count => Ok(count),
    }
}

async fn app() -> App {
    App::new().model::<Paper>().in_memory().open().await.unwrap()
}

fn about(title: &str) -> About {
    About { title: title.into() }
}

#[tokio::test]
async fn m9_uploads_are_given_a_file_and_typed_fields() {
    let app = app().await;
    let papers = app.model::<Paper>();
    assert_eq!(papers.uploads(), ["count_bytes", "in_two_steps", "submit"]);
    let paper = papers.submit(File::new("a.txt", "hello"), about("one")).await.unwrap();
    assert_eq!(paper.text, "a.txt: hello by us");
    let json = papers.call_upload("submit", File::new("b.txt", "world"), json!({"title": "two"})).await.unwrap();
    assert_eq!((&json["text"], json.get("key")), (&json!("b.txt: world by us"), None));
    assert_eq!(papers.count_bytes(File::new("x", vec![0; 100_000])).await.unwrap(), 100_000);
    assert_eq!(papers.call_upload("count_bytes", File::new("x", "abc"), Value::Null).await.unwrap(), 3);

    let refused = async |id: &str, text: &str, fields: Value| {
        let error = papers.call_upload(id, File::new("c", text.to_owned()), fields).await.unwrap_err();
        (error.code().clone(), error.get("id").cloned())
    };
    let title = || json!({"title": "three"});
    assert_eq!(refused("nothing", "", title()).await, (ErrorCode::UploadNotFound, Some(json!("nothing"))));
    assert_eq!(refused("append", "", title()).await, (ErrorCode::UploadNotFound, Some(json!("append"))));
    assert_eq!(refused("submit", "", json!({"title": "t"})).await.0, ErrorCode::ValidationError);
    assert_eq!(refused("submit", "", json!({"title": "one"})).await.0, ErrorCode::UniqueViolation);
    assert_eq!(refused("submit", &"x".repeat(1025), title()).await.0, ErrorCode::PayloadTooLarge);
    assert_eq!(refused("count_bytes", "", title()).await.0, ErrorCode::ValidationError);
    // And it is no method.
    assert_eq!(papers.call("submit", title()).await.unwrap_err().code(), &ErrorCode::MethodNotFound);
    assert!(papers.methods() == ["review"] && papers.subscription(Filter::all()).events().is_empty());
}

#[tokio::test]
async fn m9_an_upload_is_no_transaction() {
    let app = app().await;
    let papers = app.model::<Paper>();
    let error = papers.in_two_steps(File::new("a", "too long"), about("kept")).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::PayloadTooLarge);
    assert_eq!(papers.count(Paper::TITLE.eq("kept")).await.unwrap(), 1);
    let error = app
        .transaction(|tx| async move { tx.model::<Paper>()?.count_bytes(File::new("a", "b")).await })
        .await
        .unwrap_err();
    assert_eq!(error.code(), &ErrorCode::NestedTransaction);
    let detached = app
        .transaction(|tx| async move { tx.model::<Paper>()?.detached().count_bytes(File::new("a", "b")).await })
        .await;
    assert_eq!(detached.unwrap(), 1);
}

#[tokio::test]
async fn m9_a_caller_reaches_what_is_open() {
    let app = TestApp::open(|| App::new().model::<Paper>()).await.unwrap();
    let papers = app.model_as::<Paper>(&Caller::anyone()).unwrap();
    let paper = papers.submit(File::new("a", "b"), about("mine")).await.unwrap();
    assert_eq!(paper.text, "a: b by somebody");
    let error = papers.count_bytes(File::new("a", "b")).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::UploadNotFound, "what is internal is not there");
}

#[tokio::test]
async fn m10_streams_are_given_one_chunk_after_the_other() {
    let app = app().await;
    let papers = app.model::<Paper>();
    assert_eq!(papers.streams(), ["append"]);
    papers.insert(Paper { title: "one".into(), text: String::new(), key: None.into() }).await.unwrap();
    assert_eq!(papers.append(Chunk::new("he"), about("one")).await.unwrap(), 2);
    let meta = json!({"title": "one"});
    assert_eq!(papers.call_stream("append", Chunk::new("llo").at(2).last(), meta.clone()).await.unwrap(), 5);

    let refused = async |id: &str, chunk: Chunk, meta: Value| {
        papers.call_stream(id, chunk, meta).await.unwrap_err().code().clone()
    };
    assert_eq!(refused("nothing", Chunk::new(""), meta.clone()).await, ErrorCode::StreamNotFound);
    assert_eq!(refused("submit", Chunk::new(""), meta.clone()).await, ErrorCode::StreamNotFound);
    assert_eq!(refused("append", Chunk::new(""), json!({})).await, ErrorCode::ValidationError);
    let long = Chunk::new(vec![b'x'; (1 << 20) + 1]);
    assert_eq!(refused("append", long, meta.clone()).await, ErrorCode::PayloadTooLarge);
    // A chunk is a transaction: what failed has left nothing.
    assert_eq!(refused("append", Chunk::new("!").at(9).last(), meta).await.as_str(), "A_PART_IS_MISSING");
    assert_eq!(papers.find(Filter::all()).await.unwrap()[0].text, "hello");
}

/// Every first run is thrown away, and so the bytes are there for the second.
#[tokio::test]
async fn m10_a_chunk_that_loses_is_handed_over_again() {
    let app = TestApp::open(|| App::new().model::<Paper>()).await.unwrap();
    let papers = app.model::<Paper>();
    papers.insert(Paper { title: "one".into(), text: String::new(), key: None.into() }).await.unwrap();
    for (at, part) in ["he", "l", "lo"].iter().enumerate() {
        let offset = [0, 2, 3][at];
        papers.append(Chunk::new(*part).at(offset), about("one")).await.unwrap();
    }
    assert_eq!(papers.find(Filter::all()).await.unwrap()[0].text, "hello");
    // In a transaction of others it is a part of that.
    let error = app
        .transaction(|tx| async move {
            tx.model::<Paper>()?.append(Chunk::new("!"), About { title: "one".into() }).await?;
            Err::<(), _>(Error::new("NO"))
        })
        .await
        .unwrap_err();
    assert_eq!(error.code().as_str(), "NO");
    assert_eq!(papers.find(Filter::all()).await.unwrap()[0].text, "hello");
}

#[tokio::test]
async fn m8_a_method_may_be_no_transaction() {
    let memory = Memory::new();
    let app = App::new().model::<Paper>().storage(memory.clone()).open().await.unwrap();
    let papers = app.model::<Paper>();
    assert_eq!(papers.review().await.unwrap_err().code().as_str(), "NOTHING_TO_REVIEW");
    for title in ["one", "two"] {
        papers.insert(Paper { title: title.into(), text: String::new(), key: None.into() }).await.unwrap();
    }
    let groups = memory.history().len();
    assert_eq!(papers.review().await.unwrap(), 2);
    assert_eq!(memory.history().len(), groups + 2, "a commit for each");
    assert_eq!(papers.call("review", json!({})).await.unwrap(), 2);
    let error = app.transaction(|tx| async move { tx.model::<Paper>()?.review().await }).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::NestedTransaction);
    // What needs a commit of its own is refused.
    let error = papers.call_once("k", "review", json!({})).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::InvalidRequest);
    let error = papers.schedule("review", &()).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::InvalidRequest);
}
