//! Hooks run inside the transaction of what they watch, and what fails is undone whole.

use std::sync::atomic::{AtomicU32, Ordering};

use modeller::prelude::*;

#[model(id = "articles", public)]
pub struct Article {
    #[field(unique, min_length = 1)]
    pub title: String,
    #[field(default)]
    pub words: i64,
    #[field(default)]
    pub hidden: bool,
}

#[model(id = "audits")]
pub struct Audit {
    #[field(index)]
    pub what: String,
    pub article: Id<Article>,
}

#[model(id = "nested")]
pub struct Nested {
    pub depth: i64,
}

#[hook(Article, before(insert, update))]
async fn trim(article: &mut Article, operation: Operation, timing: Timing) -> Result<()> {
    assert_eq!(timing, Timing::Before);
    assert!(matches!(operation, Operation::Insert | Operation::Update));
    article.title = article.title.trim().to_owned();
    if article.title == "forbidden" {
        return Err(Error::new("FORBIDDEN_TITLE").detail("title", article.title.clone()));
    }
    Ok(())
}

#[hook(Article, before(insert, update), order = -1)]
async fn mark_first(article: &mut Article) -> Result<()> {
    if article.title.ends_with("+order") {
        article.title.push_str(" 1");
    }
    Ok(())
}

#[hook(Article, before(insert), order = 7)]
async fn mark_last(article: &mut Article) -> Result<()> {
    if article.title.ends_with("+order 1") {
        article.title.push_str(" 2");
    }
    Ok(())
}

#[hook(Article, after(insert, update))]
async fn audit(article: &Doc<Article>, operation: Operation, audits: Model<Audit>) -> Result<()> {
    // It is stored, as far as this transaction can see.
    audits.insert(Audit { what: operation.as_str().into(), article: article.id() }).await?;
    if article.title == "too late" {
        return Err(Error::new("TOO_LATE"));
    }
    Ok(())
}

#[hook(Article, before(update))]
async fn never_shorter(next: &mut Article, previous: Previous<Article>) -> Result<()> {
    if next.words < previous.words {
        return Err(Error::new("SHORTER").detail("words", previous.words));
    }
    Ok(())
}

#[hook(Article, before(delete))]
async fn keep_long_ones(id: Id<Article>, articles: Model<Article>) -> Result<()> {
    let article = articles.get(&id).await?.ok_or_else(|| Error::new("NOT_THERE"))?;
    if article.words > 100 { Err(Error::new("TOO_LONG_TO_DELETE")) } else { Ok(()) }
}

#[hook(Article, after(delete))]
async fn audit_delete(article: Doc<Article>, articles: Model<Article>, audits: Model<Audit>) -> Result<()> {
    assert!(articles.get(article.id()).await?.is_none(), "it is gone for its own transaction");
    audits.insert(Audit { what: "delete".into(), article: article.id() }).await?;
    Ok(())
}

#[hook(Article, before(list))]
async fn only_visible(query: &mut Query<Article>) -> Result<()> {
    query.filter = query.filter.clone() & Article::HIDDEN.eq(false);
    Ok(())
}

/// A tree that grows until something stops it.
#[hook(Nested, after(insert))]
async fn grow(nested: Doc<Nested>, all: Model<Nested>) -> Result<()> {
    if nested.depth > 0 {
        all.insert(Nested { depth: nested.depth - 1 }).await?;
    }
    Ok(())
}

/// How a handler goes on after a failure that it catches.
#[method(Article)]
async fn insert_both(articles: Model<Article>) -> Result<Vec<String>> {
    let mut codes = Vec::new();
    for title in ["one", "too late", "forbidden", "one", "two"] {
        let result = articles.insert(Article { title: title.into(), words: 0, hidden: false }).await;
        codes.push(result.map_or_else(|error| error.code().to_string(), |_| "ok".into()));
    }
    Ok(codes)
}

static RUNS: AtomicU32 = AtomicU32::new(0);

#[method(Article)]
async fn panics() -> Result<()> {
    RUNS.fetch_add(1, Ordering::Relaxed);
    #[expect(clippy::panic, reason = "this is what is tested")]
    {
        panic!("a mistake of the author")
    }
}

async fn app() -> App {
    App::new().model::<Article>().model::<Audit>().model::<Nested>().in_memory().open().await.unwrap()
}

fn article(title: &str) -> Article {
    Article { title: title.into(), words: 0, hidden: false }
}

async fn audits(app: &App) -> Vec<String> {
    app.model::<Audit>().find(Filter::all()).await.unwrap().iter().map(|audit| audit.what.clone()).collect()
}

#[tokio::test]
async fn before_hooks_change_and_refuse() {
    let app = app().await;
    let articles = app.model::<Article>();
    assert_eq!(articles.insert(article("  hello ")).await.unwrap().title, "hello");
    let refused = articles.insert(article("forbidden")).await.unwrap_err();
    assert_eq!(
        (refused.code().as_str(), refused.get("title").unwrap().as_str()),
        ("FORBIDDEN_TITLE", Some("forbidden"))
    );
    // What a hook makes of a value has to fit the schema as well.
    let emptied = articles.insert(article("   ")).await.unwrap_err();
    assert_eq!(emptied.violations()[0].keyword, "minLength");
    assert_eq!(articles.insert(article("x+order")).await.unwrap().title, "x+order 1 2");
    assert_eq!(audits(&app).await, ["insert", "insert"]);
}

#[tokio::test]
async fn an_after_hook_undoes_the_operation_and_its_own() {
    let app = app().await;
    let articles = app.model::<Article>();
    let seq = app.seq();
    assert_eq!(articles.insert(article("too late")).await.unwrap_err().code().as_str(), "TOO_LATE");
    assert_eq!(app.seq(), seq);
    assert!(audits(&app).await.is_empty());
    assert_eq!(articles.count(Filter::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn updates_and_deletes_see_what_was() {
    let app = app().await;
    let articles = app.model::<Article>();
    let doc = articles.insert(Article { words: 10, ..article("a") }).await.unwrap();
    let shorter = articles.update(&doc, Article::WORDS.set(5)).await.unwrap_err();
    assert_eq!((shorter.code().as_str(), shorter.get("words").unwrap().as_i64()), ("SHORTER", Some(10)));
    articles.update(&doc, Article::WORDS.set(500)).await.unwrap();
    assert_eq!(articles.delete(&doc).await.unwrap_err().code().as_str(), "TOO_LONG_TO_DELETE");
    let short = articles.insert(article("b")).await.unwrap();
    articles.delete(&short).await.unwrap();
    assert_eq!(audits(&app).await, ["insert", "update", "insert", "delete"]);
}

#[tokio::test]
async fn a_list_hook_changes_the_query_and_find_fires_none() {
    let app = app().await;
    let articles = app.model::<Article>();
    articles.insert(article("a")).await.unwrap();
    articles.insert(Article { hidden: true, ..article("b") }).await.unwrap();
    assert_eq!(articles.list(Query::all()).await.unwrap().items.len(), 1);
    assert_eq!(articles.find(Filter::all()).await.unwrap().len(), 2);
    assert!(articles.get(Article::TITLE.eq("b")).await.unwrap().is_some());
}

#[tokio::test]
async fn each_operation_is_a_savepoint() {
    let app = app().await;
    let codes = app.model::<Article>().insert_both().await.unwrap();
    assert_eq!(codes, ["ok", "TOO_LATE", "FORBIDDEN_TITLE", "UNIQUE_VIOLATION", "ok"]);
    let titles: Vec<_> =
        app.model::<Article>().find(Filter::all()).await.unwrap().iter().map(|article| article.title.clone()).collect();
    assert_eq!(titles, ["one", "two"]);
    assert_eq!(audits(&app).await, ["insert", "insert"]);
}

#[tokio::test]
async fn operations_nest_sixteen_deep() {
    let app = app().await;
    let nested = app.model::<Nested>();
    nested.insert(Nested { depth: 15 }).await.unwrap();
    assert_eq!(nested.count(Filter::all()).await.unwrap(), 16);
    let error = nested.insert(Nested { depth: 16 }).await.unwrap_err();
    assert!(error.text().contains("nested.insert > nested.insert"), "{error}");
    assert_eq!(nested.count(Filter::all()).await.unwrap(), 16);
}

#[tokio::test]
async fn a_panic_is_an_error_and_nothing_else() {
    let app = app().await;
    let error = app.model::<Article>().panics().await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::Internal);
    assert!(!error.to_json().to_string().contains("mistake"));
    assert_eq!(RUNS.load(Ordering::Relaxed), 1);
    app.model::<Article>().insert(article("still here")).await.unwrap();
}

#[tokio::test]
async fn the_reference_hook_payloads() {
    // The annotated function is an ordinary function.
    let mut value = article(" x ");
    trim(&mut value, Operation::Insert, Timing::Before).await.unwrap();
    assert_eq!(value.title, "x");
}
