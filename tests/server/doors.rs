//! An operation may be more open than the documents of its model.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::ask;

#[model(id = "tickets")]
pub struct Ticket {
    pub seat: String,
}

#[value]
pub struct Book {
    pub seat: String,
}

/// Anyone may book; nobody may look.
#[method(Ticket, public)]
async fn book(args: Book, tickets: System<Model<Ticket>>) -> Result<usize> {
    tickets.insert(Ticket { seat: args.seat }).await?;
    tickets.count(Filter::all()).await
}

/// Forgets that a caller has no right to the documents.
#[method(Ticket, public)]
async fn book_as_caller(args: Book, tickets: Model<Ticket>) -> Result<usize> {
    tickets.insert(Ticket { seat: args.seat }).await?;
    Ok(0)
}

#[method(Ticket)]
async fn sweep() -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn a_public_method_of_an_internal_model() {
    let app = App::new().model::<Ticket>().in_memory().open().await.unwrap();
    let router = app.router();
    let booked = ask(&router, "POST", "/tickets/book", json!({"seat": "1a"})).await;
    assert_eq!((booked.status.as_u16(), booked.json()), (200, json!(1)), "{}", booked.json());
    let refused = ask(&router, "POST", "/tickets/book_as_caller", json!({"seat": "1b"})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("FORBIDDEN")));
    for (method, path) in [("GET", "/tickets"), ("POST", "/tickets"), ("GET", "/tickets/x"), ("DELETE", "/tickets/x")] {
        let hidden = ask(&router, method, path, json!({})).await;
        assert_eq!(
            (hidden.status.as_u16(), &hidden.json()["code"]),
            (404, &json!("MODEL_NOT_FOUND")),
            "{method} {path}"
        );
    }
    let internal = ask(&router, "POST", "/tickets/sweep", Value::Null).await;
    assert_eq!(internal.json()["code"], "METHOD_NOT_FOUND");
    let metadata = ask(&router, "GET", "/@metadata", Value::Null).await.json();
    let model = &metadata["models"][0];
    assert_eq!((&model["access"], model.get("schema"), &model["fields"]), (&json!("internal"), None, &json!([])));
    let operations: Vec<_> = model["operations"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(operations, ["book", "book_as_caller"]);
}
