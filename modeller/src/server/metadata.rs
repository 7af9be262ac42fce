//! `GET /@metadata`: what the caller may reach.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::call::Context;
use super::{respond, rest};
use crate::core::collection::ModelIndex;
use crate::core::private::Audience;
use crate::core::schema::{Visibility, extensions};
use crate::error::{Error, Result};
use crate::model::access::{Right, Rights};
#[cfg(feature = "codegen")]
use crate::model::caller::Caller;
use crate::model::route::{HttpMethod, RouteRuntime, TypedPart};
use crate::model::runtime::{ModelRuntime, OperationKind, OperationRuntime, Runtime, Scope};
use crate::wire::metadata::{FieldMetadata, Metadata, ModelMetadata, OperationMetadata, RouteMetadata, VERSION};

pub(super) async fn describe(context: Context, request: Request) -> Result<Response> {
    let wanted = rest::pairs(request.uri().query().unwrap_or_default())?;
    let metadata = match wanted.as_slice() {
        [] => of(&context).await?,
        [(name, draft)] if name == "draft" && draft == "2020-12" => of(&context).await?,
        [(name, draft)] if name == "draft" && draft == "07" => of(&context).await?.in_draft_07(),
        _ => return Err(Error::query("", "the metadata takes `draft=07` or `draft=2020-12`")),
    };
    Ok(respond::json(StatusCode::OK, serde_json::to_vec(&metadata)?))
}

/// What the caller may reach.
pub(super) async fn of(context: &Context) -> Result<Metadata> {
    let scope = context.scope();
    let runtime = &context.server.runtime;
    let mut rights = Vec::with_capacity(runtime.models().len());
    for (at, model) in runtime.models().iter().enumerate() {
        rights.push(match reaches(&scope, model.visibility()) {
            true => scope.rights_now(at).await?,
            false => None,
        });
    }
    let usual = context.server.configuration.uploads.limit;
    Ok(assembled(runtime, &scope, &rights, Some(usual), context.audience()))
}

/// What anybody may reach who has a verified token, whatever rules say of him.
#[cfg(feature = "codegen")]
pub(super) fn whole(runtime: &Runtime) -> Result<Metadata> {
    let scope = runtime.scope(Caller::verified(serde_json::Map::new()));
    let all = |at| Ok(scope.is_ruled(at)?.then(Rights::all));
    let rights: Vec<Option<Rights>> = (0..runtime.models().len()).map(all).collect::<Result<_>>()?;
    Ok(assembled(runtime, &scope, &rights, None, Audience::Verified))
}

/// `usual` is how many bytes an upload takes that does not say it itself.
fn assembled(
    runtime: &Runtime,
    scope: &Scope,
    rights: &[Option<Rights>],
    usual: Option<u64>,
    to: Audience,
) -> Metadata {
    let mut models: Vec<ModelMetadata> = Vec::new();
    for (at, (model, rights)) in runtime.models().iter().zip(rights).enumerate() {
        let schema = schema_without_unknown(runtime, at, model, to);
        models.extend(describe_model(scope, model, schema, rights.as_ref(), usual, to));
    }
    // Of those alone that are shown themselves.
    let shown: Vec<String> = models.iter().map(|model| model.id.clone()).collect();
    for model in &mut models {
        model.extensions = extensions(&model.id, shown.iter().map(String::as_str));
    }
    let routes = runtime.routes().iter().filter(|route| reaches(scope, route.access));
    let routes = routes.map(|route| describe_route(route, to)).collect();
    Metadata { version: VERSION, modeller: env!("CARGO_PKG_VERSION").to_owned(), models, routes }
}

fn reaches(scope: &Scope, access: Visibility) -> bool {
    scope.allow(access, "").is_ok()
}

/// The schema of a model as this audience sees it, without the references to models that nobody outside may know of.
fn schema_without_unknown(runtime: &Runtime, index: ModelIndex, model: &ModelRuntime, to: Audience) -> Value {
    let mut json = model.schema.shown_to(to).into_owned();
    for link in runtime.log().links().from(index) {
        let unknown = runtime.models().get(link.parent).is_none_or(|parent| !parent.is_known_outside());
        let property = json.get_mut("properties").and_then(|properties| properties.get_mut(&*link.field));
        if let (true, Some(property)) = (unknown, property) {
            link.unsay(property);
        }
    }
    json
}

fn describe_model(
    scope: &Scope,
    model: &ModelRuntime,
    json: Value,
    rights: Option<&Rights>,
    usual: Option<u64>,
    to: Audience,
) -> Option<ModelMetadata> {
    let schema = &model.schema;
    let described = |kind: OperationKind| {
        model
            .operations_of(kind)
            .filter(|operation| reaches(scope, operation.access))
            .map(|operation| describe_operation(operation, usual, to))
            .collect::<Vec<_>>()
    };
    use OperationKind::{Event, Method, Stream, Upload};
    let [operations, events, uploads, streams] = [Method, Event, Upload, Stream].map(described);
    let rights = rights.map(|rights| Right::ALL.into_iter().filter(|right| rights.has(*right)).collect::<Vec<_>>());
    let open = reaches(scope, model.visibility()) && rights.as_ref().is_none_or(|rights| !rights.is_empty());
    if !open && [&operations, &events, &uploads, &streams].into_iter().all(Vec::is_empty) {
        return None;
    }
    let fields = schema.fields.iter().filter(|field| open && !field.is_hidden(to)).map(|field| FieldMetadata {
        name: field.name.to_string(),
        unique: field.unique,
        index: field.index,
        private: field.private,
        protected: field.protected,
        schema: json
            .get("properties")
            .and_then(|properties| properties.get(field.name.as_ref()))
            .cloned()
            .unwrap_or_default(),
    });
    let fields = fields.collect();
    Some(ModelMetadata {
        id: schema.id.to_string(),
        access: model.visibility().as_str().to_owned(),
        rights: rights.filter(|_| open).map(|rights| rights.iter().map(|right| right.as_str().to_owned()).collect()),
        client_ids: open && schema.client_ids,
        trash: open && schema.trash.is_some(),
        schema: open.then_some(json),
        fields,
        operations,
        events,
        uploads,
        streams,
        extensions: Vec::new(),
    })
}

fn describe_operation(operation: &OperationRuntime, usual: Option<u64>, to: Audience) -> OperationMetadata {
    OperationMetadata {
        id: operation.declaration.id.to_owned(),
        access: operation.access.as_str().to_owned(),
        description: operation.declaration.description.to_owned(),
        args: operation.args.as_ref().map(|args| args.json(to).clone()),
        output: operation.output.json(to).clone(),
        once: operation.kind == OperationKind::Method && operation.declaration.transaction,
        max_bytes: operation.declaration.max_bytes.or(usual.filter(|_| operation.kind == OperationKind::Upload)),
    }
}

fn describe_route(route: &RouteRuntime, to: Audience) -> RouteMetadata {
    let schema = |part: &Option<TypedPart>| part.as_ref().map(|part| part.checked.json(to).clone());
    RouteMetadata {
        id: route.id.to_string(),
        method: route.method.as_str().to_owned(),
        path: route.path.to_string(),
        access: route.access.as_str().to_owned(),
        description: route.description.to_owned(),
        params: schema(&route.path_args),
        query: schema(&route.query_args),
        args: schema(&route.args),
        raw: route.whole && route.method != HttpMethod::Get,
        output: route.output.as_ref().map(|output| output.json(to).clone()),
    }
}
