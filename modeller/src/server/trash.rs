//! The trash of a model over HTTP, for whoever may reach the documents of the model.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use super::call::Context;
use super::respond;
use super::rest::{Asked, created, document_id, read_query_string, write_items};
use super::router::Segments;
use crate::core::query::parse::parse_query;
use crate::error::{Error, Result};
use crate::model::runtime::Scope;

/// `GET /{model}/@trash`: what was deleted, the last first.
pub(super) async fn list(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let Asked { parts, count, explain } = read_query_string(request.uri().query().unwrap_or_default())?;
    let count = count == Some(true);
    let given = [
        (parts.sort.is_some(), "sort"),
        (parts.fields.is_some(), "fields"),
        (parts.cursor.is_some(), "cursor"),
        (explain.is_some(), "explain"),
    ];
    for (is_given, name) in given {
        if is_given {
            let reason = "the trash is listed as it is, what was deleted last first";
            return Err(Error::query(name, reason));
        }
    }
    let query = parse_query(&parts, &context.names(&context.server.runtime.model(index)?.schema))?;
    let scope = context.scope();
    let query = &query;
    // One transaction, so that the number belongs to the list.
    let (listed, total) = scope
        .together("trash", |scope| async move {
            let listed = scope.list_trash(index, &query.filter, query.skip, query.page_size()).await?;
            let total = if count { Some(scope.count_trash(index, &query.filter).await?) } else { None };
            Ok((listed, total))
        })
        .await?;
    let mut body = Vec::with_capacity(64 + listed.docs.len() * 512);
    write_items(&listed.docs, None, context.audience(), &mut body)?;
    body.extend_from_slice(format!(",\"nextCursor\":null,\"seq\":{}", listed.seq).as_bytes());
    if let Some(total) = total {
        body.extend_from_slice(format!(",\"count\":{total}").as_bytes());
    }
    body.push(b'}');
    Ok(respond::json(StatusCode::OK, body))
}

/// `POST /{model}/@trash/{entry}`: puts the document back.
pub(super) async fn restore(context: Context, at: Segments) -> Result<Response> {
    let index = context.open(at.model())?;
    let entry = document_id(at.id())?;
    let restore = move |scope: Scope| {
        let entry = entry.clone();
        async move { scope.restore(index, &entry).await }
    };
    created(at.model(), &context.write(index, restore).await?, context.audience())
}

/// `DELETE /{model}/@trash/{entry}`
pub(super) async fn purge(context: Context, at: Segments) -> Result<Response> {
    let index = context.open(at.model())?;
    let entry = document_id(at.id())?;
    let scope = context.scope();
    context.to_the_end(async move { scope.purge(index, &entry).await }).await?;
    Ok(purged(1))
}

/// `DELETE /{model}/@trash`
pub(super) async fn purge_all(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        // Whoever sends a filter does not mean all.
        return Err(Error::query("", "the trash is purged as a whole, or by the id of an entry"));
    }
    let scope = context.scope();
    let count = context.to_the_end(async move { scope.purge_until(index, u64::MAX, usize::MAX).await }).await?;
    Ok(purged(count))
}

fn purged(count: usize) -> Response {
    respond::json(StatusCode::OK, format!("{{\"purged\":{count}}}"))
}
