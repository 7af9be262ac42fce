//! Documents and methods over HTTP.
//!
//! Checks come in the order of the design: the model is visible, the operation allowed, the document readable, the write
//! allowed, `_rev`, validation, constraints.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::call::{Context, Unstopped, Written};
use super::limits::{DISCARD_BYTES, DISCARD_TIME, Limits};
use super::patience::in_time;
use super::respond;
use super::router::Segments;
use super::upload;
use crate::core::collection::ModelIndex;
use crate::core::document::{AnyValue, DynDoc};
use crate::core::id::RawId;
use crate::core::private::Audience;
use crate::core::query::filter::RawFilter;
use crate::core::query::parse::{QueryParts, parse_filter};
use crate::core::query::project::RawProjection;
use crate::core::query::update::RawUpdate;
use crate::core::schema::{MEMBERS_OF_THE_DOCUMENT, ModelSchema, Visibility, member_of_the_document, parse_json};
use crate::error::{Error, ErrorCode, Result, Violation};
use crate::model::access::Right;
use crate::model::once::CallKey;
use crate::model::runtime::{Listed, ModelRuntime, OperationKind, Scope, Target};
use crate::model::upload::Pieces;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// `GET /{model}`
#[expect(clippy::needless_pass_by_value, reason = "that is how a handler is called")]
pub(super) fn list(
    context: Context,
    at: Segments,
    request: Request,
) -> impl Future<Output = Result<Response>> + Send + 'static {
    let index = context.open(at.model());
    let asked = index.and_then(|index| Ok((index, read_query_string(request.uri().query().unwrap_or_default())?)));
    async move {
        let (index, asked) = asked?;
        answer_list(&context, index, &asked).await
    }
}

/// `POST /{model}/@query`
pub(super) async fn query(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let Value::Object(object) = read_json(&context, request, false).await? else {
        return Err(Error::query("", "a query is an object"));
    };
    let mut asked = Asked::default();
    for (name, value) in object {
        match asked.flag(&name) {
            Some(flag) => *flag = Some(value.as_bool().ok_or_else(|| Error::query(&name, "is true or false"))?),
            None => *asked.parts.part(&name)? = Some(value),
        }
    }
    answer_list(&context, index, &asked).await
}

/// `POST /{model}`: a document, or a list of them, of which all are inserted or none.
pub(super) fn insert(
    context: Context,
    at: Segments,
    request: Request,
) -> impl Future<Output = Result<Response>> + Send + 'static {
    let (index, typed) = (context.open(at.model()), check_type(request.headers(), false));
    let key = idempotency_key(request.headers());
    let sent = Sent::of(request);
    async move {
        let index = index?;
        if context.scope().is_ruled(index)? {
            // So that a body is not looked at in vain.
            Box::pin(context.open_to(Right::Insert, at.model())).await?;
        }
        typed?;
        let key = key?;
        let body = sent.read(&context).await?;
        if let Some(key) = key {
            return Box::pin(insert_once(&context, index, at.model().to_owned(), key, parse_json(&body)?)).await;
        }
        let schema = &context.server.runtime.model(index)?.schema;
        let audience = context.audience();
        let at_once = std::str::from_utf8(&body).ok().filter(|_| !schema.client_ids && schema.is_open_to(audience));
        if let Some(value) = at_once.and_then(|text| schema.value_at_once(text)) {
            let written = insert_one(&context, index, None, value?).await?;
            return created(at.model(), &written, audience);
        }
        Box::pin(insert_json(context, index, at.model(), body)).await
    }
}

async fn insert_json(context: Context, index: ModelIndex, model: &str, body: Bytes) -> Result<Response> {
    let schema = &context.server.runtime.model(index)?.schema;
    let (scope, audience) = (context.scope(), context.audience());
    let list = match parse_json(&body)? {
        Value::Array(list) => list,
        json => {
            let (id, value) = new_document(schema, json, audience)?;
            let written = insert_one(&context, index, id, value).await?;
            return created(model, &written, audience);
        }
    };
    let values = new_documents(&context, schema, list)?;
    let written = context.to_the_end(async move { insert_all(&scope, index, values).await }).await?;
    Ok(respond::json(StatusCode::CREATED, written_items(&written, audience)?))
}

fn new_documents(context: &Context, schema: &ModelSchema, list: Vec<Value>) -> Result<Vec<New>> {
    let most = context.server.runtime.inner().limits.changes;
    if list.len() > most {
        return Err(Error::new(ErrorCode::TransactionTooLarge).message(format!("a list has at most {most} documents")));
    }
    let read = |(at, json)| new_document(schema, json, context.audience()).map_err(|error| error.of_element(at));
    list.into_iter().enumerate().map(read).collect()
}

fn written_items(written: &[Written], audience: Audience) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(16 + written.len() * 256);
    begin_items(&mut body);
    for (at, written) in written.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        written.write_for(audience, &mut body)?;
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// The same under a key.
async fn insert_once(
    context: &Context,
    index: ModelIndex,
    model: String,
    key: CallKey,
    json: Value,
) -> Result<Response> {
    let schema = &context.server.runtime.model(index)?.schema;
    let audience = context.audience();
    let given = json.clone();
    if let Value::Array(list) = json {
        let values = Arc::new(new_documents(context, schema, list)?);
        let insert = move |scope: Scope| {
            let values = values.clone();
            async move {
                let values = values.iter().map(|(id, value)| (id.clone(), value.copy())).collect();
                let written = insert_all(&scope, index, values).await?;
                Ok((StatusCode::CREATED, written_items(&written, audience)?))
            }
        };
        return once(context, index, &model, (key, "@insert", given), insert).await;
    }
    let (id, value) = new_document(schema, json, audience)?;
    let (id, value) = (id.unwrap_or_else(RawId::generate), Arc::<dyn AnyValue>::from(value));
    let insert = move |scope: Scope| {
        let (id, value) = (id.clone(), value.clone());
        async move {
            let doc = scope.insert(index, Some(id), value.copy(), true).await?;
            written_as(&scope, index, StatusCode::CREATED, doc, audience).await
        }
    };
    once(context, index, &model, (key, "@insert", given), insert).await
}

/// What a write has made as the status and the body of its answer, asked in its transaction.
async fn written_as(
    scope: &Scope,
    index: ModelIndex,
    status: StatusCode,
    doc: DynDoc,
    audience: Audience,
) -> Result<(StatusCode, Vec<u8>)> {
    let shown = scope.may_read(index, &doc).await?;
    let mut body = Vec::with_capacity(256);
    Written { doc, shown }.write_for(audience, &mut body)?;
    Ok((status, body))
}

/// The key of a write that is made once, what it is called, and what it is given.
type Once = (CallKey, &'static str, Value);

/// Makes a write once under its key, of that name and given that; one that was made before is answered as it was then.
async fn once<F, Fut>(
    context: &Context,
    index: ModelIndex,
    model: &str,
    (key, name, given): Once,
    write: F,
) -> Result<Response>
where
    F: Fn(Scope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(StatusCode, Vec<u8>)>> + Send,
{
    let scope = context.scope();
    let written = context.to_the_end(async move {
        let write = &write;
        let written = scope.once(index, name, Some(given), &key, |scope| async move {
            let (status, body) = write(scope).await?;
            // The status stands in front of the body, in three digits.
            String::from_utf8([status.as_str().as_bytes(), &body].concat()).map_err(Error::internal)
        });
        written.await
    });
    let written = written.await?;
    let (status, body) = written.split_at_checked(3).unwrap_or_default();
    let status: StatusCode = status.parse().map_err(Error::internal)?;
    let members: Value = serde_json::from_str(body)?;
    let mut response = respond::json(status, body.to_owned());
    let rev = members.get("_rev").and_then(Value::as_u64);
    if let (Some(id), Some(rev)) = (members.get("_id").and_then(Value::as_str), rev) {
        respond::tag(&mut response, rev);
        if status == StatusCode::CREATED {
            locate(&mut response, model, id);
        }
    }
    Ok(response)
}

/// A value to insert under an id, or under a new one.
type New = (Option<RawId>, Box<dyn AnyValue>);

async fn insert_one(
    context: &Context,
    index: ModelIndex,
    id: Option<RawId>,
    value: Box<dyn AnyValue>,
) -> Result<Written> {
    let scope = context.scope();
    if scope.is_ruled(index)? {
        // Run again, it is the same document.
        let id = id.unwrap_or_else(RawId::generate);
        let insert = move |scope: Scope| {
            let (id, value) = (id.clone(), value.copy());
            async move { scope.insert(index, Some(id), value, true).await }
        };
        return Box::pin(context.write(index, insert)).await;
    }
    context.to_the_end(async move { scope.insert(index, id, value, true).await.map(Written::whole) }).await
}

async fn insert_all(scope: &Scope, index: ModelIndex, values: Vec<New>) -> Result<Vec<Written>> {
    if !scope.is_ruled(index)? {
        let docs = scope.insert_many(index, values, true).await?;
        return Ok(docs.into_iter().map(Written::whole).collect());
    }
    let values: Vec<New> =
        values.into_iter().map(|(id, value)| (Some(id.unwrap_or_else(RawId::generate)), value)).collect();
    let values = &values;
    let insert = scope.together("insert_many", |scope| async move {
        let values = values.iter().map(|(id, value)| (id.clone(), value.copy())).collect();
        let docs = scope.insert_many(index, values, true).await?;
        let mut written = Vec::with_capacity(docs.len());
        let rights = scope.rights_now(index).await?;
        for doc in docs {
            let shown = rights.as_ref().is_none_or(|rights| rights.allows(Right::Read, &doc));
            written.push(Written { doc, shown });
        }
        Ok(written)
    });
    insert.await
}

/// A value to insert, and the id that the client chose for it.
fn new_document(schema: &ModelSchema, mut json: Value, by: Audience) -> Result<New> {
    let id = json.as_object_mut().filter(|_| schema.client_ids).and_then(|object| object.remove("_id"));
    let id = id.map(|id| client_id(&id)).transpose();
    let refused = refuse_members_of_the_document(&json);
    match (id, schema.value_by(by, json), refused) {
        (Ok(id), Ok(value), Ok(())) => Ok((id, value)),
        (Err(of_id), Err(error), _) => {
            let all = of_id.violations().iter().chain(error.violations()).cloned();
            Err(Error::validation(all.collect()))
        }
        (_, Err(error), _) | (Err(error), ..) | (.., Err(error)) => Err(error),
    }
}

fn client_id(json: &Value) -> Result<RawId> {
    match json {
        Value::String(text) => RawId::parse(text),
        _ => Err(Error::validation(vec![Violation {
            instance_path: "/_id".into(),
            keyword: "type".into(),
            message: "must be string".into(),
            params: json!({"type": "string"}),
            schema_path: "#/properties/_id/type".into(),
        }])),
    }
}

/// The answer to what has made a document.
pub(super) fn created(model: &str, written: &Written, audience: Audience) -> Result<Response> {
    let mut response = respond::written(StatusCode::CREATED, written, audience)?;
    written.doc.id().with_text(|id| locate(&mut response, model, id));
    Ok(response)
}

fn locate(response: &mut Response, model: &str, id: &str) {
    if let Ok(location) = HeaderValue::try_from(["/", model, "/", id].concat()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// `GET /{model}/{id}`
pub(super) async fn read(context: Context, at: Segments, _: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let id = document_id(at.id())?;
    let doc = context.scope().get(index, &Target::Id(id)).await?.ok_or_else(|| missing(at.id()))?;
    respond::document(StatusCode::OK, &doc, context.audience())
}

/// `PATCH /{model}/{id}`
pub(super) async fn update(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let id = document_id(at.id())?;
    let if_rev = if_match(request.headers())?;
    let key = idempotency_key(request.headers())?;
    let json = read_json(&context, request, true).await?;
    let once = key.map(|key| (key, "@update", json!({"id": id, "ifMatch": if_rev, "update": json})));
    let update = Arc::new(RawUpdate::parse(json, &context.names(&context.server.runtime.model(index)?.schema))?);
    let change = move |scope: Scope| {
        let (target, update) = (Target::Id(id.clone()), update.clone());
        async move { scope.update(index, target, update, if_rev).await }
    };
    change_one(&context, index, once, change).await.map_err(|error| precondition(error, if_rev))
}

/// `PATCH /{model}?filter=…`: all that match, or none.
pub(super) async fn update_many(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let key = idempotency_key(request.headers())?;
    let filter = all_that_match(&context, index, &request)?;
    let json = read_json(&context, request, true).await?;
    let once = key.map(|key| (key, "@update_many", json!({"filter": filter.to_json(), "update": json})));
    let update = Arc::new(RawUpdate::parse(json, &context.names(&context.server.runtime.model(index)?.schema))?);
    let update_all = move |scope: Scope| {
        let (filter, update) = (filter.clone(), update.clone());
        async move { scope.update_many(index, &filter, &update).await }
    };
    change_many(&context, index, once, "updated", update_all).await
}

/// `DELETE /{model}?filter=…`: all that match, or none.
pub(super) async fn delete_many(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let filter = all_that_match(&context, index, &request)?;
    let key = idempotency_key(request.headers())?;
    let once = key.map(|key| (key, "@delete_many", json!({"filter": filter.to_json()})));
    let delete_all = move |scope: Scope| {
        let filter = filter.clone();
        async move { scope.delete_many(index, &filter).await }
    };
    change_many(&context, index, once, "deleted", delete_all).await
}

/// The filter of a write to many documents. It has to be said: whoever means all of them writes `{}`.
fn all_that_match(context: &Context, index: ModelIndex, request: &Request) -> Result<Arc<RawFilter>> {
    if request.headers().contains_key(header::IF_MATCH) {
        return Err(Error::new(ErrorCode::InvalidRequest).message("`If-Match` is about one document"));
    }
    let mut asked = read_query_string(request.uri().query().unwrap_or_default())?;
    let Some(filter) = asked.parts.filter.take() else {
        return Err(Error::query("filter", "says which documents are meant; `{}` for all of them"));
    };
    if asked != Asked::default() {
        return Err(Error::query("", "a write to many documents takes a `filter` alone"));
    }
    let names = context.names(&context.server.runtime.model(index)?.schema);
    context.server.configuration.limits.check_filter(&filter)?;
    Ok(Arc::new(parse_filter(&filter, &names)?))
}

/// `PUT /{model}/{id}`: replaces a document. Where clients may choose ids it also makes one, unless `If-Match` says that there
/// is one; `If-None-Match: *` says that there is none (RFC 9110 §9.3.4, §13.1).
pub(super) async fn replace(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let id = document_id(at.id())?;
    let headers = request.headers();
    let if_rev = if_match(headers)?;
    let (must_be, must_not_be) = (headers.contains_key(header::IF_MATCH), if_none_match(headers)?);
    let key = idempotency_key(headers)?;
    let json = read_json(&context, request, false).await?;
    refuse_members_of_the_document(&json)?;
    let schema = &context.server.runtime.model(index)?.schema;
    let audience = context.audience();
    let given = json!({"id": id, "ifMatch": if_rev, "mustBe": must_be, "mustNotBe": must_not_be});
    let once_of = |key: CallKey, json: &Value| (key, "@replace", json!([given, json]));
    if must_not_be && schema.client_ids && !must_be {
        context.scope().check_right(index, Right::Insert).await?;
        let given = key.map(|key| once_of(key, &json));
        let value = schema.value_by(audience, json)?;
        if let Some(given) = given {
            let value = Arc::<dyn AnyValue>::from(value);
            let insert = move |scope: Scope| {
                let (id, value) = (id.clone(), value.clone());
                async move {
                    let doc = scope.insert(index, Some(id), value.copy(), true).await?;
                    written_as(&scope, index, StatusCode::CREATED, doc, audience).await
                }
            };
            return once(&context, index, at.model(), given, insert).await.map_err(known_before);
        }
        let written = insert_one(&context, index, Some(id), value).await.map_err(known_before)?;
        return created(at.model(), &written, audience);
    }
    if must_not_be {
        // Either there is one, or there cannot be one by this.
        context.scope().get(index, &Target::Id(id)).await?.ok_or_else(|| missing(at.id()))?;
        return Err(exists());
    }
    if schema.client_ids && !must_be {
        if let Some(key) = key {
            let given = once_of(key, &json);
            let upsert = move |scope: Scope| {
                let (target, json) = (Target::Id(id.clone()), json.clone());
                async move {
                    let (doc, new) = scope.upsert(index, target, json, None, audience).await?;
                    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
                    written_as(&scope, index, status, doc, audience).await
                }
            };
            return once(&context, index, at.model(), given, upsert).await;
        }
        let is_new = Arc::new(AtomicBool::new(false));
        let noted = is_new.clone();
        let upsert = move |scope: Scope| {
            let (target, json, noted) = (Target::Id(id.clone()), json.clone(), noted.clone());
            async move {
                let (doc, new) = scope.upsert(index, target, json, None, audience).await?;
                noted.store(new, Ordering::Relaxed);
                Ok(doc)
            }
        };
        let written = context.write(index, upsert).await?;
        return if is_new.load(Ordering::Relaxed) {
            created(at.model(), &written, audience)
        } else {
            respond::written(StatusCode::OK, &written, audience)
        };
    }
    let once = key.map(|key| once_of(key, &json));
    let replace = move |scope: Scope| {
        let (id, json) = (id.clone(), json.clone());
        async move { scope.replace(index, id, json, if_rev, audience).await }
    };
    change_one(&context, index, once, replace).await.map_err(|error| precondition(error, if_rev))
}

/// `DELETE /{model}/{id}`
pub(super) async fn delete(context: Context, at: Segments, request: Request) -> Result<Response> {
    let index = context.open(at.model())?;
    let id = document_id(at.id())?;
    let if_rev = if_match(request.headers())?;
    let key = idempotency_key(request.headers())?;
    let once = key.map(|key| (key, "@delete", json!({"id": id, "ifMatch": if_rev})));
    let delete = move |scope: Scope| {
        let target = Target::Id(id.clone());
        async move { scope.delete(index, target, if_rev).await }
    };
    change_one(&context, index, once, delete).await.map_err(|error| precondition(error, if_rev))
}

/// Changes one document, under a key once.
async fn change_one<F, Fut>(context: &Context, index: ModelIndex, once_of: Option<Once>, change: F) -> Result<Response>
where
    F: Fn(Scope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<DynDoc>> + Send + 'static,
{
    let audience = context.audience();
    let Some(given) = once_of else {
        let written = context.write(index, change).await?;
        return respond::written(StatusCode::OK, &written, audience);
    };
    let change = Arc::new(change);
    let write = move |scope: Scope| {
        let change = change.clone();
        async move {
            let doc = change(scope.clone()).await?;
            written_as(&scope, index, StatusCode::OK, doc, audience).await
        }
    };
    once(context, index, "", given, write).await
}

/// Changes all that match, under a key once, and says how many.
async fn change_many<F, Fut>(
    context: &Context,
    index: ModelIndex,
    once_of: Option<Once>,
    what: &'static str,
    change: F,
) -> Result<Response>
where
    F: Fn(Scope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<usize>> + Send + 'static,
{
    let write = move |scope: Scope| {
        let count = change(scope);
        async move { Ok((StatusCode::OK, format!("{{\"{what}\":{}}}", count.await?).into_bytes())) }
    };
    if let Some(given) = once_of {
        return once(context, index, "", given, write).await;
    }
    let (status, body) = context.to_the_end(write(context.scope())).await?;
    Ok(respond::json(status, body))
}

/// `POST /{model}/{operation}`
pub(super) fn call(
    context: Context,
    at: Segments,
    request: Request,
) -> impl Future<Output = Result<Response>> + Send + 'static {
    // All that the head is asked for before there is anything to wait for.
    let meant = Meant::of(&context, at.model(), at.id(), request);
    async move {
        let (index, most, key, typed, sent) = match meant? {
            Meant::Method { index, most, key, typed, sent } => (index, most, key, typed, sent),
            // Large, and rarer than calls, which would be moved about at their size.
            Meant::Upload(index, request) => {
                return Box::pin(upload::form::upload(context, index, at.id().to_owned(), *request)).await;
            }
            Meant::Stream(index, request) => {
                return Box::pin(upload::stream::stream(context, index, at.id().to_owned(), *request)).await;
            }
        };
        let args = sent.read(&context).await?;
        if !args.is_empty() {
            typed?;
        }
        let calls = context.calls();
        let call = async move { context.call_method_of_text(index, at.id(), &args, key.as_ref()).await };
        let body = Context::in_time(most, Unstopped::new(calls, call)).await?;
        Ok(respond::json(StatusCode::OK, body))
    }
}

/// What is called by a request.
enum Meant {
    Method {
        index: ModelIndex,
        most: Option<Duration>,
        key: Option<CallKey>,
        /// Whether the type of the body is one that is known, which matters where there is a body.
        typed: Result<()>,
        sent: Sent,
    },
    Upload(ModelIndex, Box<Request>),
    Stream(ModelIndex, Box<Request>),
}

impl Meant {
    fn of(context: &Context, model: &str, id: &str, request: Request) -> Result<Self> {
        let index = context.visible(model)?;
        let runtime = &context.server.runtime;
        let most = match runtime.operation(&context.caller, index, OperationKind::Method, id) {
            Ok(method) => context.time(method),
            Err(error) => match kind(runtime.model(index)?, id, request.headers()) {
                OperationKind::Upload => return Ok(Self::Upload(index, Box::new(request))),
                OperationKind::Stream => return Ok(Self::Stream(index, Box::new(request))),
                OperationKind::Method | OperationKind::Event => return Err(error),
            },
        };
        let key = idempotency_key(request.headers())?;
        let typed = check_type(request.headers(), false);
        Ok(Self::Method { index, most, key, typed, sent: Sent::of(request) })
    }
}

/// What a request means to call. What is not there, or not for anybody outside, is what it looks like.
fn kind(model: &ModelRuntime, id: &str, headers: &HeaderMap) -> OperationKind {
    let known = model.operations.get(id).filter(|operation| operation.access != Visibility::Internal);
    known.map_or_else(
        || if is_form(headers) { OperationKind::Upload } else { OperationKind::Method },
        |operation| operation.kind,
    )
}

/// Whether the body is said to be a form with a file.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Whether a field is there. Most requests have few, and to go through their names is cheaper than to look one up.
fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|known| known == name)
}

/// The key under which a call is made once: of `Idempotency-Key`, as it is or as the string of a structured field
/// (draft-ietf-httpapi-idempotency-key-header §2.1, RFC 9651 §3.3.3).
fn idempotency_key(headers: &HeaderMap) -> Result<Option<CallKey>> {
    if !has(headers, &IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let mut values = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = || Error::new(ErrorCode::InvalidRequest).message("`Idempotency-Key` is one key");
    if values.next().is_some() {
        return Err(wrong());
    }
    let text = value.to_str().map_err(|_| wrong())?;
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    CallKey::parse(quoted.unwrap_or(text)).map(Some)
}

/// A text that cannot be an id is the id of nothing.
pub(super) fn document_id(text: &str) -> Result<RawId> {
    RawId::parse(text).map_err(|_| missing(text))
}

fn missing(id: &str) -> Error {
    Error::not_found(ErrorCode::NotFound, id)
}

/// What comes from outside does not choose its own id or revision. Most schemas name the two themselves, as members that they
/// do not know; a schema that takes any member does not.
fn refuse_members_of_the_document(json: &Value) -> Result<()> {
    match MEMBERS_OF_THE_DOCUMENT.into_iter().find(|name| json.get(name).is_some()) {
        None => Ok(()),
        Some(name) => Err(Error::validation(vec![member_of_the_document(name)])),
    }
}

/// The revision that `If-Match` asks for (RFC 9110 §13.1.1).
fn if_match(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let wrong = || Error::new(ErrorCode::InvalidRequest).message("`If-Match` is `*` or one entity tag, as in `\"7\"`");
    let text = value.to_str().map_err(|_| wrong())?.trim();
    if text == "*" {
        return Ok(None);
    }
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let tag = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|tag| !tag.contains('"'))
        .ok_or_else(wrong)?;
    // A weak tag, or one that is not ours, matches no revision, and 0 is the revision of nothing.
    Ok(Some(if text.starts_with("W/") { 0 } else { tag.parse().unwrap_or(0) }))
}

/// Whether `If-None-Match` asks for there being no document (RFC 9110 §13.1.2). Entity tags are of no use to a write.
fn if_none_match(headers: &HeaderMap) -> Result<bool> {
    match headers.get(header::IF_NONE_MATCH) {
        None => Ok(false),
        Some(value) if value.as_bytes().trim_ascii() == b"*" => Ok(true),
        Some(_) => Err(Error::new(ErrorCode::InvalidRequest).message("`If-None-Match` of a `PUT` is `*`")),
    }
}

fn exists() -> Error {
    Error::new(ErrorCode::Conflict)
        .message("there is a document with this id")
        .status(StatusCode::PRECONDITION_FAILED.as_u16())
}

/// An insert that finds its id taken is a failed `If-None-Match`.
fn known_before(error: Error) -> Error {
    let is_id = error.get("field").and_then(Value::as_str) == Some("_id");
    if *error.code() == ErrorCode::UniqueViolation && is_id { exists() } else { error }
}

/// A conflict of `If-Match` is a failed precondition.
fn precondition(error: Error, if_rev: Option<u64>) -> Error {
    if if_rev.is_some() && *error.code() == ErrorCode::Conflict && error.get("actual").is_some() {
        return error.status(StatusCode::PRECONDITION_FAILED.as_u16());
    }
    error
}

/// What is asked of a list.
#[derive(Default, PartialEq)]
pub(super) struct Asked {
    pub(super) parts: QueryParts,
    /// Whether to say how many documents match.
    pub(super) count: Option<bool>,
    /// Whether to say how they are found, instead of which they are.
    pub(super) explain: Option<bool>,
}

impl Asked {
    fn flag(&mut self, name: &str) -> Option<&mut Option<bool>> {
        match name {
            "count" => Some(&mut self.count),
            "explain" => Some(&mut self.explain),
            _ => None,
        }
    }
}

/// Reads the parameters of a list, each JSON text but for the cursor, which is a text as it is.
pub(super) fn read_query_string(text: &str) -> Result<Asked> {
    let mut asked = Asked::default();
    for (name, value) in pairs(text)? {
        let is_new = if let Some(flag) = asked.flag(&name) {
            let wanted = value.parse().map_err(|_| Error::query(&name, "is true or false"))?;
            flag.replace(wanted).is_none()
        } else {
            let slot = asked.parts.part(&name)?;
            let value = match name.as_str() {
                "cursor" => Value::String(value),
                _ => serde_json::from_str(&value)
                    .map_err(|cause| Error::query(&name, format!("is not JSON: {cause}")))?,
            };
            slot.replace(value).is_none()
        };
        if !is_new {
            return Err(Error::query(&name, "is given twice"));
        }
    }
    Ok(asked)
}

/// The parameters of a query string, decoded.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect()
}

/// The decoding of application/x-www-form-urlencoded (<https://url.spec.whatwg.org/#urlencoded-parsing>), refusing what is
/// malformed instead of passing it on.
pub(super) fn decode(text: &str) -> Result<String> {
    let wrong = || Error::query("", "the query string is not well encoded");
    let hex = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => match (hex(bytes.next()), hex(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(wrong()),
            },
            byte => byte,
        });
    }
    String::from_utf8(out).map_err(|_| wrong())
}

async fn answer_list(context: &Context, index: ModelIndex, asked: &Asked) -> Result<Response> {
    let query = context.query(index, &asked.parts)?;
    let names = context.names(&context.server.runtime.model(index)?.schema);
    let fields = asked.parts.fields.as_ref().map(|fields| RawProjection::parse(fields, &names)).transpose()?;
    let fields = fields.as_ref();
    let scope = context.scope();
    let count = asked.count == Some(true);
    if asked.explain == Some(true) {
        if count {
            return Err(Error::query("count", "goes with a list, and not with what explains one"));
        }
        let (told, seq) = Box::pin(scope.explain_list(index, &query, fields, context.audience())).await?;
        return Ok(respond::json(StatusCode::OK, serde_json::to_vec(&json!({"explain": told, "seq": seq}))?));
    }
    let (listed, total) = if count {
        // One transaction, so that the number belongs to the list.
        let both = scope.together("transaction", |scope| {
            let query = query.clone();
            async move {
                let listed = scope.list(index, &query, fields).await?;
                let total = scope.count(index, &listed.query.filter).await?;
                Ok((listed, Some(total)))
            }
        });
        Box::pin(both).await?
    } else {
        (scope.list(index, &query, fields).await?, None)
    };
    let Listed { docs, next, seq, .. } = listed;
    let mut body = Vec::with_capacity(64 + docs.len() * 256);
    write_items(&docs, fields, context.audience(), &mut body)?;
    let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
    body.extend_from_slice(format!(",\"nextCursor\":{next},\"seq\":{seq}").as_bytes());
    if let Some(total) = total {
        body.extend_from_slice(format!(",\"count\":{total}").as_bytes());
    }
    body.push(b'}');
    Ok(respond::json(StatusCode::OK, body))
}

fn begin_items(body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"items\":[");
}

/// Begins an object with the documents as its member `items`.
pub(super) fn write_items(
    docs: &[DynDoc],
    fields: Option<&RawProjection>,
    audience: Audience,
    body: &mut Vec<u8>,
) -> Result<()> {
    begin_items(body);
    for (at, doc) in docs.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        match fields {
            Some(fields) => fields.write_for(audience, doc.as_ref(), body)?,
            None => doc.write_for(audience, body)?,
        }
    }
    body.push(b']');
    Ok(())
}

/// Whether the body is said to be JSON.
fn is_json(headers: &HeaderMap, patch: bool) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return false };
    if kind == JSON {
        return true;
    }
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(JSON) || (patch && essence.eq_ignore_ascii_case(MERGE_PATCH))
}

fn check_type(headers: &HeaderMap, patch: bool) -> Result<()> {
    if is_json(headers, patch) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::UnsupportedMediaType).message(if patch {
        "the body has to be of type `application/json` or `application/merge-patch+json`"
    } else {
        "the body has to be of type `application/json`"
    }))
}

pub(super) async fn read_json(context: &Context, request: Request, patch: bool) -> Result<Value> {
    check_type(request.headers(), patch)?;
    parse_json(&read_body(context, request).await?)
}

/// The arguments of a method; `None` when there is no body.
pub(super) async fn read_optional_json(context: &Context, request: Request) -> Result<Option<Value>> {
    Ok(read_body_and_json(context, request).await?.1)
}

/// A body, and what it says as JSON; `None` when there is none.
pub(super) async fn read_body_and_json(context: &Context, request: Request) -> Result<(Bytes, Option<Value>)> {
    let typed = check_type(request.headers(), false);
    let body = read_body(context, request).await?;
    if body.is_empty() {
        return Ok((body, None));
    }
    typed?;
    let json = parse_json(&body)?;
    Ok((body, Some(json)))
}

pub(super) async fn read_body(context: &Context, request: Request) -> Result<Bytes> {
    Sent::of(request).read(context).await
}

/// What is left of a request when its head was read. The head is let go before the body is waited for.
struct Sent {
    /// Who waits for our consent before it sends (RFC 9110 §10.1.1) has not sent anything that is to be thrown away.
    waits: bool,
    body: Body,
}

impl Sent {
    fn of(request: Request) -> Self {
        Self { waits: has(request.headers(), &header::EXPECT), body: request.into_body() }
    }

    fn read(self, context: &Context) -> impl Future<Output = Result<Bytes>> + use<'_> {
        read_whole(&context.server.configuration.limits, self.waits, self.body)
    }
}

async fn read_whole(limits: &Limits, waits: bool, mut body: Body) -> Result<Bytes> {
    let most = limits.body;
    let announced = axum::body::HttpBody::size_hint(&body).lower();
    let outcome = {
        let read = pin!(async {
            if announced > most as u64 {
                return Err(too_large(most));
            }
            let mut pieces = Pieces::up_to(most);
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Error::new(ErrorCode::InvalidRequest).message("the body broke off"))?;
                let Ok(data) = frame.into_data() else { continue };
                if !pieces.push(data) {
                    return Err(too_large(most));
                }
            }
            Ok(pieces.whole())
        });
        in_time(limits.body_time, read).await
    };
    let outcome = outcome.unwrap_or_else(|| {
        let text = format!("the body took more than {} seconds", limits.body_time.as_secs_f32());
        Err(Error::new(ErrorCode::Timeout).message(text).status(StatusCode::REQUEST_TIMEOUT.as_u16()))
    });
    if let Err(error) = &outcome
        && *error.code() == ErrorCode::PayloadTooLarge
        && !(waits && announced > most as u64)
    {
        // Closed on bytes that were not read, a connection is reset, and the client never sees the answer.
        let _ = Box::pin(tokio::time::timeout(DISCARD_TIME, discard(&mut body))).await;
    }
    let body = outcome?;
    limits.check_depth(&body)?;
    Ok(body)
}

fn too_large(most: usize) -> Error {
    Error::new(ErrorCode::PayloadTooLarge).message(format!("the body has more than {most} bytes"))
}

async fn discard(body: &mut Body) {
    let mut left = DISCARD_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        if read > left {
            return;
        }
        left -= read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings() {
        let asked = read_query_string("filter=%7B%22a%22%3A+1%7D&limit=5&count=true&cursor=1-_a").unwrap();
        let Asked { parts, count, explain } = asked;
        assert_eq!((parts.filter, parts.limit, count), (Some(json!({"a": 1})), Some(json!(5)), Some(true)));
        assert_eq!((parts.cursor, explain), (Some(json!("1-_a")), None));
        for wrong in [
            "filter=%7",
            "filter=%zz",
            "filter=%ff",
            "limit=x",
            "limit=1&limit=2",
            "count=1",
            "count=true&count=true",
            "explain=yes",
            "cursor=a&cursor=a",
            "filter",
        ] {
            let Err(error) = read_query_string(wrong) else { panic!("{wrong} was taken") };
            assert_eq!(error.code(), &ErrorCode::InvalidQuery, "{wrong}");
        }
    }

    #[test]
    fn entity_tags() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(text))]);
            if_match(&headers).ok()
        };
        assert_eq!(of("\"7\""), Some(Some(7)));
        assert_eq!(of("*"), Some(None));
        assert_eq!((of("W/\"7\""), of("\"x\"")), (Some(Some(0)), Some(Some(0))));
        assert_eq!((of("7"), of("\"1\", \"2\"")), (None, None));
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |depth: usize| parse_json(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
        assert!(deep(127).is_ok());
        assert_eq!(deep(128).unwrap_err().code(), &ErrorCode::PayloadTooLarge);
        assert_eq!(deep(100_000).unwrap_err().code(), &ErrorCode::PayloadTooLarge);
        assert_eq!(parse_json(b"{").unwrap_err().code(), &ErrorCode::InvalidRequest);
    }
}
