//! `GET /@metadata`: what the caller may reach.

use axum::http::StatusCode;
use axum::response::Response;

use super::call::Context;
use super::respond;
use crate::core::private::Audience;
use crate::core::schema::Access;
use crate::error::Result;
use crate::model::runtime::{ModelRuntime, OperationRuntime, Scope};
use crate::wire::metadata::{FieldMetadata, Metadata, ModelMetadata, OperationMetadata, VERSION};

pub(super) async fn describe(context: Context) -> Result<Response> {
    let scope = context.scope();
    let models = context
        .server
        .runtime
        .models()
        .iter()
        .filter_map(|model| describe_model(&scope, model, context.audience()))
        .collect();
    let metadata = Metadata { version: VERSION, modeller: env!("CARGO_PKG_VERSION").to_owned(), models };
    Ok(respond::json(StatusCode::OK, serde_json::to_vec(&metadata)?))
}

fn reaches(scope: &Scope, access: Access) -> bool {
    scope.allow(access, "").is_ok()
}

fn describe_model(scope: &Scope, model: &ModelRuntime, to: Audience) -> Option<ModelMetadata> {
    let schema = &model.schema;
    let json = schema.json_for(to);
    let described = |operations: &std::collections::BTreeMap<&'static str, OperationRuntime>| {
        operations
            .values()
            .filter(|operation| reaches(scope, operation.access))
            .map(|operation| describe_operation(operation, to))
            .collect::<Vec<_>>()
    };
    let (operations, events) = (described(&model.methods), described(&model.events));
    let open = reaches(scope, schema.access);
    if !open && operations.is_empty() && events.is_empty() {
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
    Some(ModelMetadata {
        id: schema.id.to_string(),
        access: schema.access.as_str().to_owned(),
        client_ids: open && schema.client_ids,
        schema: open.then(|| json.clone()),
        fields: fields.collect(),
        operations,
        events,
    })
}

fn describe_operation(operation: &OperationRuntime, to: Audience) -> OperationMetadata {
    OperationMetadata {
        id: operation.declaration.id.to_owned(),
        access: operation.access.as_str().to_owned(),
        description: operation.declaration.description.to_owned(),
        args: operation.args.as_ref().map(|args| args.json(to).clone()),
        output: operation.output.json(to).clone(),
    }
}
