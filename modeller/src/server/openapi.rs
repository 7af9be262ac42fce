//! `GET /@openapi.json`: the same as the metadata, as a description that other tools read (OpenAPI 3.1.1,
//! <https://spec.openapis.org/oas/v3.1.1.html>).
//!
//! It is made of the metadata of the caller alone, so that he finds in it exactly the routes that he may reach, and the fields that
//! he may know of. Each schema becomes a component, and each of its definitions one of its own, as a `$ref` of OpenAPI begins at the
//! root of the description.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call::Context;
use super::{metadata, respond};
use crate::core::id::MAX_ID_BYTES;
use crate::core::query::MAX_LIMIT;
use crate::core::query::update::OPERATORS;
use crate::core::schema::ranges::of_format;
use crate::error::{ErrorCode, Result};
use crate::wire::metadata::{Metadata, ModelMetadata, OperationMetadata, RouteMetadata};
use crate::wire::schema::each;

pub(super) async fn describe(context: Context) -> Result<Response> {
    let mut described = openapi(&metadata::of(&context).await?);
    context.server.configuration.outside.describe(&mut described);
    let prefix = &context.server.configuration.edge.prefix;
    if let (false, Some(members)) = (prefix.is_empty(), described.as_object_mut()) {
        members.insert("servers".into(), json!([{"url": prefix}]));
    }
    Ok(respond::json(StatusCode::OK, serde_json::to_vec(&described)?))
}

/// The description of what a caller may reach.
pub(super) fn openapi(metadata: &Metadata) -> Value {
    let mut out = Description::default();
    out.server();
    for model in &metadata.models {
        out.model(model);
    }
    for route in &metadata.routes {
        out.route(route);
    }
    let tags = metadata.models.iter().map(|model| {
        let said = model.schema.as_ref().and_then(|schema| schema.get("description")).and_then(Value::as_str);
        json!({"name": model.id, "description": said.unwrap_or_default()})
    });
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Modeller",
            "version": format!("{}-{}", metadata.version, metadata.modeller),
            "description": "What the one who asks for this description may reach.",
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "tags": tags.collect::<Vec<_>>(),
        // Whoever says who he is may reach more.
        "security": [{}, {"bearer": []}],
        "paths": out.paths,
        "components": {
            "schemas": out.schemas,
            "parameters": parameters(),
            "headers": headers(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    })
}

/// What a schema is for.
#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    /// What comes in: what is private is written, and never answered.
    Input,
    /// What goes out: without what is private.
    Output,
}

#[derive(Default)]
struct Description {
    paths: BTreeMap<String, Map<String, Value>>,
    schemas: BTreeMap<String, Value>,
}

/// One operation, while it is made.
struct Operation {
    id: String,
    tag: Option<String>,
    summary: String,
    protected: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    fn new(id: impl Into<String>, summary: impl Into<String>) -> Self {
        let parameters = vec![parameter("MinSeq")];
        let (id, summary) = (id.into(), summary.into());
        let new = Self { id, tag: None, summary, protected: false, parameters, body: None, responses: Map::new() };
        // What may happen to any request.
        new.fails(&[
            (400, &[ErrorCode::InvalidRequest]),
            (401, &[ErrorCode::Unauthenticated]),
            (429, &[ErrorCode::RateLimited]),
            (500, &[ErrorCode::Internal]),
            (503, &[ErrorCode::Unavailable]),
            (504, &[ErrorCode::Timeout]),
        ])
    }

    fn of(mut self, model: &ModelMetadata) -> Self {
        self.tag = Some(model.id.clone());
        self.protected = model.access == "protected";
        self.fails(&[(403, &[ErrorCode::Forbidden]), (404, &[ErrorCode::ModelNotFound, ErrorCode::NotFound])])
    }

    fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// With the id of a document in its path.
    fn at_id(self) -> Self {
        self.with([parameter("Id")])
    }

    /// With a body that is JSON of these media types.
    fn takes(self, schema: &Value, required: bool, types: &[&str]) -> Self {
        let content: Map<String, Value> =
            types.iter().map(|kind| ((*kind).to_owned(), json!({"schema": schema}))).collect();
        self.reads(json!({"required": required, "content": content}))
            .fails(&[(415, &[ErrorCode::UnsupportedMediaType]), (422, &[ErrorCode::ValidationError])])
    }

    fn reads(mut self, body: Value) -> Self {
        self.body = Some(body);
        self.fails(&[(408, &[ErrorCode::Timeout]), (413, &[ErrorCode::PayloadTooLarge])])
    }

    /// Writes may meet what is there.
    fn writes(self) -> Self {
        self.fails(&[
            (409, &[ErrorCode::UniqueViolation, ErrorCode::ReferenceViolation, ErrorCode::Conflict]),
            (413, &[ErrorCode::TransactionTooLarge]),
            (422, &[ErrorCode::ValidationError]),
        ])
    }

    /// A write that is made once under a key.
    fn writes_once(self) -> Self {
        self.with([parameter("IdempotencyKey")])
            .writes()
            .fails(&[(400, &[ErrorCode::InvalidRequest]), (422, &[ErrorCode::IdempotencyMismatch])])
    }

    fn answers(mut self, status: u16, what: &str, schema: &Value, more_headers: &[&str]) -> Self {
        let names = ["Seq"].iter().chain(more_headers);
        let of = |name: &&str| (header_name(name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
        let headers: Map<String, Value> = names.map(of).collect();
        self.responses.insert(
            status.to_string(),
            json!({"description": what, "headers": headers, "content": {"application/json": {"schema": schema}}}),
        );
        self
    }

    /// Answers by server-sent events, of which each is one of these.
    ///
    /// `OpenAPI` 3.1 has no place for the schema of one event (3.2 calls it `itemSchema`); what reads 3.1 takes `schema` as that.
    fn streams(mut self, what: &str, events: &[Value]) -> Self {
        let stream = json!({
            "description": what,
            "headers": {"Modeller-Seq": {"$ref": "#/components/headers/Seq"}},
            "content": {"text/event-stream": {"schema": {"oneOf": events}}},
        });
        self.responses.insert("200".into(), stream);
        self.fails(&[(400, &[ErrorCode::InvalidQuery])])
    }

    fn fails(mut self, failures: &[(u16, &[ErrorCode])]) -> Self {
        for (status, codes) in failures {
            let known = self.responses.remove(&status.to_string());
            let said = known.as_ref().and_then(|known| known.get("description")).and_then(Value::as_str);
            let mut words: Vec<String> =
                said.map(|said| said.split(", ").map(str::to_owned).collect()).unwrap_or_default();
            for code in *codes {
                let code = code.as_str().to_owned();
                if !words.contains(&code) {
                    words.push(code);
                }
            }
            self.responses.insert(status.to_string(), problem(&words.join(", ")));
        }
        self
    }

    /// A handler of the program answers what errors it likes.
    fn of_a_handler(self) -> Self {
        let mut this = self.writes();
        this.responses.insert("default".into(), problem("an error of the handler, with a code of its own"));
        this
    }

    fn json(self) -> Value {
        let mut json = json!({
            "operationId": self.id, "summary": self.summary, "parameters": self.parameters, "responses": self.responses,
        });
        if let Some(object) = json.as_object_mut() {
            object.extend(self.tag.map(|tag| ("tags".to_owned(), json!([tag]))));
            object.extend(self.body.map(|body| ("requestBody".to_owned(), body)));
            object.extend(self.protected.then(|| ("security".to_owned(), json!([{"bearer": []}]))));
        }
        json
    }
}

fn problem(codes: &str) -> Value {
    json!({
        "description": codes,
        "headers": {"Modeller-Seq": {"$ref": "#/components/headers/Seq"}},
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

fn header_name(component: &str) -> &str {
    match component {
        "Seq" => "Modeller-Seq",
        other => other,
    }
}

fn headers() -> Value {
    json!({
        "Seq": {"required": true, "schema": {"type": "integer", "minimum": 0},
                "description": "The last durable commit that the answer has seen."},
        "ETag": {"required": true, "schema": {"type": "string", "pattern": "^\"[0-9]+\"$"},
                 "description": "The revision of the document, its `_rev` (RFC 9110 §8.8.3)."},
        "Location": {"required": true, "schema": {"type": "string"},
                     "description": "Where the new document is (RFC 9110 §10.2.2)."},
    })
}

fn parameters() -> Value {
    let header = |name: &str, schema: Value, said: &str| json!({"name": name, "in": "header", "schema": schema, "description": said});
    let of_query = |name: &str, schema: Value, said: &str| json!({"name": name, "in": "query", "description": said, "content": {"application/json": {"schema": schema}}});
    let object = || json!({"type": "object"});
    json!({
        "MinSeq": header("Modeller-Min-Seq", json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
            "The commit that the answer has to have seen; it is waited for, for a second at most."),
        "IfMatch": header("If-Match", json!({"type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$"}),
            "The revision that the document has to have, or `*` (RFC 9110 §13.1.1)."),
        "IfNoneMatch": header("If-None-Match", json!({"enum": ["*"]}),
            "`*`: there must be no such document (RFC 9110 §13.1.2)."),
        "IdempotencyKey": header("Idempotency-Key", json!({"type": "string", "pattern": "^([!-~]{1,255}|\"[!-~]{1,255}\")$"}),
            "A key under which the call or the write is made once: asked for again, it is answered as it was the first time."),
        "Id": {"name": "id", "in": "path", "required": true, "schema": any_id(), "description": "The id of the document."},
        "Filter": of_query("filter", object(), "Which documents, as in MongoDB; all, unless given."),
        "FilterOfAll": {
            "name": "filter", "in": "query", "required": true, "content": {"application/json": {"schema": object()}},
            "description": "Which documents, as in MongoDB; `{}` for all of them.",
        },
        "Sort": of_query("sort", json!({"type": "object", "additionalProperties": {"enum": [1, -1]}, "maxProperties": 16}),
            "In which order, as in MongoDB."),
        "Fields": of_query("fields", object(), "Which parts of each document, as a projection of MongoDB."),
        "Skip": {"name": "skip", "in": "query", "schema": skip(), "description": "How many are passed over."},
        "Limit": {"name": "limit", "in": "query", "schema": limit(), "description": "How many at most: 100 unless given; 0 is as many as there may be."},
        "Cursor": {"name": "cursor", "in": "query", "schema": {"type": "string"},
                   "description": "Where the list goes on: the `nextCursor` of the page before, with the same query."},
        "Count": {"name": "count", "in": "query", "schema": {"type": "boolean"}, "description": "Whether to say how many match in all."},
        "Explain": {"name": "explain", "in": "query", "schema": {"type": "boolean"},
                    "description": "Whether to say how they are found, instead of which they are."},
    })
}

/// No `/`, no control character, and no `@` at the beginning.
const ID: &str = "^[^@/\\u0000-\\u001f\\u007f-\\u009f][^/\\u0000-\\u001f\\u007f-\\u009f]*$";

/// How deep a schema is looked into.
const DEPTH: usize = 16;

/// Whether a value that fits may be an object.
fn may_be_object(root: &Value, schema: &Value, depth: usize) -> bool {
    let is_object = |kind: &Value| kind == "object";
    let kind = schema.get("type");
    let said =
        kind.is_some_and(|kind| is_object(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is_object)));
    let referred = schema.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.strip_prefix('#')?));
    let several = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
    let below = || referred.into_iter().chain(several).any(|inner| may_be_object(root, inner, depth + 1));
    // What says nothing of its kind, and refers to nothing, may be anything.
    let silent = kind.is_none()
        && !["$ref", "anyOf", "oneOf", "allOf", "enum", "const"].iter().any(|name| schema.get(name).is_some());
    depth > DEPTH || said || silent || below()
}

/// An id.
fn any_id() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES, "pattern": ID})
}

fn skip() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 10_000_000})
}

fn limit() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": MAX_LIMIT})
}

/// The same schema for a purpose.
fn fitted(schema: &Value, purpose: Purpose) -> Value {
    let mut schema = schema.clone();
    each(&mut schema, &mut |members| {
        members.remove("$schema");
        members.remove("$id");
        let is_private = |property: &Value| property.get("private") == Some(&Value::Bool(true));
        let mut private = Vec::new();
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            for (name, property) in properties.iter_mut().filter(|(_, property)| is_private(property)) {
                private.push(name.clone());
                if let Value::Object(property) = property {
                    property.insert("writeOnly".into(), true.into());
                }
            }
            if purpose == Purpose::Output {
                properties.retain(|_, property| !is_private(property));
            }
        }
        if purpose == Purpose::Output {
            if let Some(Value::Array(required)) = members.get_mut("required") {
                required.retain(|name| !private.iter().any(|private| name == private));
            }
            // These speak of what comes in.
            members.remove("errorMessage");
        }
        let bounds = members.get("format").and_then(Value::as_str).and_then(of_format);
        if let Some((least, most)) = bounds {
            members.entry("minimum").or_insert(least);
            members.entry("maximum").or_insert(most);
        }
    });
    schema
}

impl Description {
    fn add(&mut self, path: impl Into<String>, method: &str, operation: Operation) {
        self.paths.entry(path.into()).or_default().insert(method.to_owned(), operation.json());
    }

    /// Makes a component of a schema, and of each of its definitions, and answers what refers to it.
    fn component(&mut self, name: &str, schema: &Value, purpose: Purpose) -> Value {
        let mut root = fitted(schema, purpose);
        let mut definitions: Vec<(String, String, Value)> = Vec::new();
        for keyword in ["$defs", "definitions"] {
            let Some(Value::Object(of)) = root.as_object_mut().and_then(|root| root.remove(keyword)) else { continue };
            for (own, definition) in of {
                let component = self.free(&format!("Def.{name}.{own}"));
                self.schemas.insert(component.clone(), Value::Null);
                definitions.push((format!("#/{keyword}/{}", escaped(&own)), component, definition));
            }
        }
        let name = self.free(name);
        let names: Vec<(String, String)> =
            definitions.iter().map(|(place, component, _)| (place.clone(), component.clone())).collect();
        let refer = |schema: &mut Value| {
            each(schema, &mut |members| {
                if let Some(Value::String(path)) = members.get_mut("$ref") {
                    *path = referred(path, &name, &names);
                }
            });
        };
        refer(&mut root);
        for (_, component, mut definition) in definitions {
            refer(&mut definition);
            self.schemas.insert(component, definition);
        }
        self.schemas.insert(name.clone(), root);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A name of a component like this one that is not taken.
    fn free(&self, name: &str) -> String {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let name: String = name.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !self.schemas.contains_key(name)).unwrap_or(name)
    }

    fn own(&mut self, name: &str, schema: Value) -> Value {
        self.schemas.insert(name.to_owned(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// What is there whatever the models are.
    fn server(&mut self) {
        self.own(
            "Problem",
            json!({
                "type": "object",
                "description": "What went wrong (RFC 9457); `code` is what programs branch on. What else there is depends on the code.",
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer", "minimum": 400, "maximum": 599},
                    "detail": {"type": "string"}, "code": {"type": "string"},
                    "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Violation"}},
                },
                "required": ["type", "title", "status", "code"],
            }),
        );
        self.own(
            "Violation",
            json!({
                "type": "object",
                "description": "One way in which a value does not fit its schema, as AJV tells it.",
                "properties": {
                    "instancePath": {"type": "string"}, "keyword": {"type": "string"}, "message": {"type": "string"},
                    "params": {"type": "object"}, "schemaPath": {"type": "string"},
                },
                "required": ["instancePath", "keyword", "message", "params", "schemaPath"],
            }),
        );
        let health = json!({"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]});
        self.add(
            "/@health",
            "get",
            Operation::new("Server.health", "Whether the server lives.").answers(200, "It is.", &health, &[]),
        );
        let metadata = json!({
            "type": "object",
            "properties": {"version": {"type": "integer"}, "modeller": {"type": "string"}, "models": {"type": "array", "items": {"type": "object"}}},
            "required": ["version", "modeller", "models"],
        });
        let draft = json!({"name": "draft", "in": "query", "schema": {"enum": ["07", "2020-12"]}, "description": "The form of the schemas."});
        self.add(
            "/@metadata",
            "get",
            Operation::new("Server.metadata", "What the caller may reach, with its schemas.").with([draft]).answers(
                200,
                "The metadata.",
                &metadata,
                &[],
            ),
        );
        let described = json!({"type": "object", "required": ["openapi", "info", "paths"]});
        self.add(
            "/@openapi.json",
            "get",
            Operation::new("Server.openapi", "This description.").answers(
                200,
                "A description in OpenAPI 3.1.",
                &described,
                &[],
            ),
        );
        if cfg!(feature = "codegen") {
            let mut client =
                Operation::new("Server.client", "The typed client in TypeScript of what the caller may reach.");
            let text = json!({
                "description": "One file.",
                "headers": {"Modeller-Seq": {"$ref": "#/components/headers/Seq"}},
                "content": {"text/typescript": {"schema": {"type": "string"}}},
            });
            client.responses.insert("200".into(), text);
            self.add("/@client.ts", "get", client);
        }
        let mut socket =
            Operation::new("Server.socket", "A WebSocket that speaks JSON-RPC 2.0: subscriptions, events and calls.")
                .fails(&[(426, &[ErrorCode::InvalidRequest])]);
        socket.responses.insert("101".into(), json!({"description": "The connection is a WebSocket."}));
        self.add("/@socket", "get", socket);
        #[cfg(feature = "socketio")]
        self.socket_io();
        let ready = json!({"type": "object", "properties": {"status": {"const": "ready"}}, "required": ["status"]});
        let probe = Operation::new("Server.ready", "Whether the server takes requests.");
        self.add("/@ready", "get", probe.answers(200, "It does.", &ready, &[]));
        let mut metrics = Operation::new("Server.metrics", "What the server counts, in the text format of Prometheus.")
            .fails(&[(404, &[ErrorCode::NotFound])]);
        let text = json!({
            "description": "The metrics; for operators alone, and not there for others.",
            "headers": {"Modeller-Seq": {"$ref": "#/components/headers/Seq"}},
            "content": {"text/plain": {"schema": {"type": "string"}}},
        });
        metrics.responses.insert("200".into(), text);
        self.add("/@metrics", "get", metrics);
        self.files();
        self.logins();
    }

    /// Another protocol of others.
    #[cfg(feature = "socketio")]
    fn socket_io(&mut self) {
        let of_query = |name: &str, required: bool, schema: Value| {
            let schema = if schema.is_null() { json!({"type": "string"}) } else { schema };
            json!({"name": name, "in": "query", "required": required, "schema": schema})
        };
        for (method, name, summary) in [
            ("get", "receive", "Opens a connection, or waits for what it is told"),
            ("post", "send", "Sends packets by the transport `polling`"),
        ] {
            let summary =
                format!("{summary} (Socket.IO, protocol 5, <https://github.com/socketio/socket.io-protocol>).");
            let mut operation = Operation::new(format!("SocketIo.{name}"), summary).with([
                of_query("EIO", true, json!({"const": "4"})),
                of_query("transport", true, json!({"enum": ["polling", "websocket"]})),
                of_query("sid", method == "post", Value::Null),
            ]);
            operation.responses.insert("200".into(), json!({"description": "Packets, or `ok`."}));
            operation.responses.insert("default".into(), json!({"description": "An error of the protocol."}));
            self.add("/socket.io/", method, operation);
        }
    }

    /// Resumable uploads, a protocol of others: no more is said of it than that it is spoken here.
    fn files(&mut self) {
        let spoken = |name: &str, summary: &str, status: u16| {
            let mut operation =
                Operation::new(format!("Files.{name}"), format!("{summary} (tus 1.0, <https://tus.io>)."));
            operation.responses.insert(status.to_string(), json!({"description": "It is done."}));
            operation.responses.insert("default".into(), problem("an error of the protocol, or of the handler"));
            operation
        };
        self.add("/@files", "post", spoken("create", "Begins a resumable upload", 201));
        let file = "/@files/{id}";
        for (method, name, summary, status) in [
            ("get", "answer", "What the handler has answered to an upload", 200),
            ("patch", "append", "Appends to an upload", 204),
            ("delete", "terminate", "Ends an upload", 204),
            ("post", "override", "One of the others, by `X-HTTP-Method-Override`", 204),
        ] {
            self.add(file, method, spoken(name, summary, status).at_id());
        }
    }

    /// The routes of logins and sessions.
    fn logins(&mut self) {
        let refresh = json!({
            "type": "object", "properties": {"refreshToken": {"type": "string"}}, "required": ["refreshToken"], "additionalProperties": false,
        });
        let tokens = json!({"type": "object"});
        let lasts = json!({"type": "object", "properties": {"expiresIn": {"type": "integer", "minimum": 0}}, "required": ["expiresIn"]});
        let json_body = &["application/json"];
        let refreshed =
            Operation::new("Server.refresh", "The next pair of tokens for a refresh token, which is good once.")
                .takes(&refresh, true, json_body)
                .writes()
                .answers(200, "The tokens.", &tokens, &[]);
        self.add("/@auth/refresh", "post", refreshed);
        let session =
            Operation::new("Server.session", "A session cookie for the token of the request, or for a refresh token.")
                .takes(&refresh, false, json_body)
                .writes()
                .answers(200, "For how many seconds it is good.", &lasts, &[])
                .fails(&[(403, &[ErrorCode::Forbidden])]);
        self.add("/@auth/session", "post", session);
        let mut logout =
            Operation::new("Server.logout", "Ends the login of the token, of the cookie, or of a refresh token.")
                .takes(&refresh, false, json_body)
                .writes()
                .fails(&[(403, &[ErrorCode::Forbidden])]);
        let headers = json!({"Modeller-Seq": {"$ref": "#/components/headers/Seq"}});
        logout.responses.insert("204".into(), json!({"description": "It has ended.", "headers": headers}));
        self.add("/@auth/logout", "post", logout);
    }

    fn model(&mut self, model: &ModelMetadata) {
        let id = &model.id;
        if let Some(schema) = &model.schema {
            self.documents(model, schema);
        }
        for operation in &model.operations {
            let path = format!("/{id}/{}", operation.id);
            let name = format!("{id}.call.{}", operation.id);
            let mut described = self.method(model, operation, Operation::new(name, &operation.description).of(model));
            described.protected = operation.access == "protected";
            self.add(path, "post", described);
        }
        for (operations, body) in [(&model.uploads, upload_body as fn(&_) -> _), (&model.streams, stream_body)] {
            for operation in operations {
                let name = format!("{id}.call.{}", operation.id);
                let output =
                    self.component(&format!("Output.{id}.{}", operation.id), &operation.output, Purpose::Output);
                let described = Operation::new(name, &operation.description).of(model).of_a_handler();
                let mut described = described
                    .reads(body(operation))
                    .answers(200, "What it answers.", &output, &[])
                    .fails(&[(400, &[ErrorCode::InvalidRequest]), (415, &[ErrorCode::UnsupportedMediaType])]);
                described.protected = operation.access == "protected";
                self.add(format!("/{id}/{}", operation.id), "post", described);
            }
        }
    }

    fn method(&mut self, model: &ModelMetadata, operation: &OperationMetadata, described: Operation) -> Operation {
        let names = (format!("Args.{}.{}", model.id, operation.id), format!("Output.{}.{}", model.id, operation.id));
        let described = described.with([parameter("IdempotencyKey")]).of_a_handler();
        let described = match &operation.args {
            Some(args) => {
                let args = self.component(&names.0, args, Purpose::Input);
                described.takes(&args, true, &["application/json"])
            }
            None => described,
        };
        let output = self.component(&names.1, &operation.output, Purpose::Output);
        described
            .answers(200, "What it answers.", &output, &[])
            .fails(&[(404, &[ErrorCode::MethodNotFound]), (422, &[ErrorCode::IdempotencyMismatch])])
    }

    fn documents(&mut self, model: &ModelMetadata, schema: &Value) {
        let id = &model.id;
        let may = |right: &str| model.rights.as_ref().is_none_or(|rights| rights.iter().any(|known| known == right));
        let op = |name: &str, summary: &str| Operation::new(format!("{id}.{name}"), summary).of(model);
        let document = self.component(id, &with_members(schema), Purpose::Output);
        let key = json!({"type": "object", "properties": {"_id": id_member(), "_rev": rev_member()}, "required": ["_id", "_rev"]});
        // Who may not read what he wrote learns where it is, and no more.
        let written = if model.rights.is_some() { json!({"anyOf": [document, key]}) } else { document.clone() };
        let list = self.list(id, &document);
        let many = ["Filter", "Sort", "Skip", "Limit", "Fields", "Cursor", "Count", "Explain"];
        let invalid = &[(400, &[ErrorCode::InvalidQuery][..])];
        if may("read") {
            let listing = op("list", "Lists documents.")
                .with(many.map(parameter))
                .answers(200, "A page of them.", &list, &[])
                .fails(invalid);
            self.add(format!("/{id}"), "get", listing);
            let query = self.own(
                &format!("Query.{id}"),
                json!({
                    "type": "object",
                    "properties": {
                        "filter": {"type": "object"}, "sort": {"type": "object", "additionalProperties": {"enum": [1, -1]}, "maxProperties": 16},
                        "skip": skip(), "limit": limit(), "fields": {"type": "object"}, "cursor": {"type": "string"},
                        "count": {"type": "boolean"}, "explain": {"type": "boolean"},
                    },
                    "additionalProperties": false,
                }),
            );
            let listing =
                op("query", "Lists documents, with the query as a body.").takes(&query, true, &["application/json"]);
            self.add(
                format!("/{id}/@query"),
                "post",
                listing.answers(200, "A page of them.", &list, &[]).fails(invalid),
            );
            self.add(
                format!("/{id}/@events"),
                "get",
                events(op("events", "What is published to a room, as server-sent events.")),
            );
            self.add(
                format!("/{id}/@live"),
                "get",
                live(op("live", "A list that follows what happens, as server-sent events."), &document),
            );
            let one = op("get", "A document.").at_id().answers(200, "The document.", &document, &["ETag"]);
            self.add(format!("/{id}/{{id}}"), "get", one);
        }
        let input = self.component(&format!("Input.{id}"), schema, Purpose::Input);
        if may("insert") {
            self.inserts(model, &input, &written, schema);
        }
        let etag = if model.rights.is_some() { &[][..] } else { &["ETag"] };
        if may("update") {
            let update = self.updates(model, schema);
            let kinds = &["application/json", "application/merge-patch+json"];
            let conflicts = &[(400, &[ErrorCode::InvalidQuery][..]), (412, &[ErrorCode::Conflict])];
            let one = op("update", "Updates a document: by a merge patch (RFC 7396), or by operators as in MongoDB.")
                .at_id()
                .with([parameter("IfMatch")])
                .takes(&update, true, kinds)
                .writes_once()
                .answers(200, "The document as it is now.", &written, etag)
                .fails(conflicts);
            self.add(format!("/{id}/{{id}}"), "patch", one);
            let many = op("updateMany", "Updates all documents that match, or none.")
                .with([parameter("FilterOfAll")])
                .takes(&update, true, kinds)
                .writes_once()
                .answers(200, "How many there were.", &counted("updated"), &[])
                .fails(invalid);
            self.add(format!("/{id}"), "patch", many);
            let mut one = op("replace", "Replaces a document.")
                .at_id()
                .with([parameter("IfMatch"), parameter("IfNoneMatch")])
                .takes(&input, true, &["application/json"])
                .writes_once()
                .answers(200, "The document as it is now.", &written, etag)
                .fails(&[(412, &[ErrorCode::Conflict])]);
            if model.client_ids {
                one = one.answers(201, "The new document.", &written, &["Location"]);
            }
            self.add(format!("/{id}/{{id}}"), "put", one);
        }
        if may("delete") {
            let one = op("delete", "Deletes a document.")
                .at_id()
                .with([parameter("IfMatch")])
                .writes_once()
                .answers(200, "The document as it was.", &written, etag)
                .fails(&[(412, &[ErrorCode::Conflict])]);
            self.add(format!("/{id}/{{id}}"), "delete", one);
            let many = op("deleteMany", "Deletes all documents that match, or none.")
                .with([parameter("FilterOfAll")])
                .writes_once()
                .answers(200, "How many there were.", &counted("deleted"), &[])
                .fails(invalid);
            self.add(format!("/{id}"), "delete", many);
        }
        if model.trash {
            self.trash(model, &written);
        }
    }

    fn inserts(&mut self, model: &ModelMetadata, input: &Value, written: &Value, schema: &Value) {
        let id = &model.id;
        let mut one = input.clone();
        if model.client_ids {
            let mut with_id = schema.clone();
            if let Some(properties) = with_id.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert("_id".into(), any_id());
            }
            one = self.component(&format!("New.{id}"), &with_id, Purpose::Input);
        }
        let inserted = self.own(
            &format!("Inserted.{id}"),
            json!({"type": "object", "properties": {"items": {"type": "array", "items": written}}, "required": ["items"], "additionalProperties": false}),
        );
        let body = json!({"anyOf": [one, {"type": "array", "items": one}]});
        let insert = Operation::new(
            format!("{id}.insert"),
            "Inserts a document, or a list of them, of which all are inserted or none.",
        )
        .of(model)
        .takes(&body, true, &["application/json"])
        .writes_once()
        .answers(201, "The new document, or the new documents.", &json!({"anyOf": [written, inserted]}), &[]);
        self.add(format!("/{id}"), "post", insert);
    }

    /// What a document may be updated by.
    fn updates(&mut self, model: &ModelMetadata, schema: &Value) -> Value {
        let id = &model.id;
        let mut part = schema.clone();
        let required = part.as_object_mut().and_then(|object| {
            object.remove("description");
            object.remove("required")
        });
        let set = self.component(&format!("Set.{id}"), &part, Purpose::Input);
        let required: Vec<Value> = required.and_then(|required| required.as_array().cloned()).unwrap_or_default();
        let mut patch = part.clone();
        for (name, property) in patch.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            let mut forms = vec![property.clone()];
            // RFC 7396 §2: a part of an object is joined to what is there, and `null` takes a member away.
            if may_be_object(schema, property, 0) {
                forms.push(json!({"type": "object"}));
            }
            if !required.iter().any(|known| known == name) {
                forms.push(json!({"type": "null"}));
            }
            if forms.len() > 1 {
                let private = property.get("private").cloned();
                *property = json!({"anyOf": forms});
                property.as_object_mut().into_iter().for_each(|property| {
                    property.extend(private.clone().map(|private| ("private".to_owned(), private)));
                });
            }
        }
        let patch = self.component(&format!("Patch.{id}"), &patch, Purpose::Input);
        let operators: Map<String, Value> = OPERATORS
            .iter()
            .map(|name| ((*name).to_owned(), if *name == "$set" { set.clone() } else { json!({"type": "object"}) }))
            .collect();
        self.own(
            &format!("Update.{id}"),
            json!({
                "description": "A merge patch, or update operators, as in MongoDB's manual, each with an object of paths and operands.",
                "anyOf": [
                    patch,
                    {"type": "object", "properties": operators, "minProperties": 1, "additionalProperties": false},
                ],
            }),
        )
    }

    fn list(&mut self, id: &str, document: &Value) -> Value {
        let page = json!({
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": {"anyOf": [document, {"type": "object", "description": "With `fields`: the parts that were asked for."}]}},
                "nextCursor": {"type": ["string", "null"]},
                "seq": {"type": "integer", "minimum": 0},
                "count": {"type": "integer", "minimum": 0, "description": "With `count`: how many match in all."},
            },
            "required": ["items", "nextCursor", "seq"],
            "additionalProperties": false,
        });
        let explained = json!({
            "type": "object",
            "properties": {"explain": {"type": "object"}, "seq": {"type": "integer", "minimum": 0}},
            "required": ["explain", "seq"],
            "additionalProperties": false,
        });
        self.own(&format!("List.{id}"), json!({"anyOf": [page, explained]}))
    }

    fn trash(&mut self, model: &ModelMetadata, written: &Value) {
        let id = &model.id;
        let op = |name: &str, summary: &str| Operation::new(format!("{id}.trash.{name}"), summary).of(model);
        let entries = json!({
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": {"type": "object"}}, "nextCursor": {"type": "null"},
                "seq": {"type": "integer", "minimum": 0}, "count": {"type": "integer", "minimum": 0},
            },
            "required": ["items", "nextCursor", "seq"],
            "additionalProperties": false,
        });
        let entries = self.own(&format!("Trash.{id}"), entries);
        let listing = op("list", "Lists what was deleted, the last first.")
            .with(["Filter", "Skip", "Limit", "Count"].map(parameter))
            .answers(200, "A page of it.", &entries, &[])
            .fails(&[(400, &[ErrorCode::InvalidQuery])]);
        self.add(format!("/{id}/@trash"), "get", listing);
        let purged = counted("purged");
        let all = op("purgeAll", "Takes all that was deleted away for good.")
            .writes()
            .answers(200, "How many there were.", &purged, &[])
            .fails(&[(400, &[ErrorCode::InvalidQuery])]);
        self.add(format!("/{id}/@trash"), "delete", all);
        let restore = op("restore", "Puts a document back.").at_id().writes().answers(
            201,
            "The document.",
            written,
            &["Location"],
        );
        self.add(format!("/{id}/@trash/{{id}}"), "post", restore);
        let purge = op("purge", "Takes a document that was deleted away for good.").at_id().writes().answers(
            200,
            "That it is gone.",
            &purged,
            &[],
        );
        self.add(format!("/{id}/@trash/{{id}}"), "delete", purge);
    }

    fn route(&mut self, route: &RouteMetadata) {
        let mut described = Operation::new(&route.id, &route.description).fails(&[(403, &[ErrorCode::Forbidden])]);
        described.protected = route.access == "protected";
        let path = route.path.replace("{*", "{");
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let params = route.params.as_ref().map(|schema| self.members(&format!("Path.{}", route.id), schema));
        for name in names {
            let schema = params
                .as_ref()
                .and_then(|params| params.get(name))
                .map_or_else(|| json!({"type": "string", "minLength": 1}), |(schema, _)| schema.clone());
            described.parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
        if let Some(query) = &route.query {
            for (name, (schema, required)) in self.members(&format!("Query.{}", route.id), query) {
                described.parameters.push(json!({"name": name, "in": "query", "required": required, "schema": schema}));
            }
            described = described.fails(&[(422, &[ErrorCode::ValidationError])]);
        }
        described = described.of_a_handler();
        if let Some(args) = &route.args {
            let args = self.component(&format!("Args.{}", route.id), args, Purpose::Input);
            described = described.takes(&args, true, &["application/json"]);
        } else if route.raw {
            described = described.reads(json!({"content": {"*/*": {"schema": {}}}}));
        }
        match &route.output {
            Some(output) => {
                let output = self.component(&format!("Output.{}", route.id), output, Purpose::Output);
                described = described.answers(200, "What it answers.", &output, &[]);
            }
            None => {
                let any = json!({"description": "What it answers.", "content": {"*/*": {"schema": {}}}});
                described.responses.insert("default".into(), any);
            }
        }
        self.add(path, &route.method.to_ascii_lowercase(), described);
    }

    /// The members of an object, each a component of its own where it refers to something, and whether it has to be there.
    fn members(&mut self, name: &str, schema: &Value) -> BTreeMap<String, (Value, bool)> {
        let whole = self.component(name, schema, Purpose::Input);
        let place = whole.get("$ref").and_then(Value::as_str).unwrap_or_default().to_owned();
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        properties
            .map(|(name, _)| {
                let member = json!({"$ref": format!("{place}/properties/{}", escaped(name))});
                (name.clone(), (member, required.iter().any(|known| known == name)))
            })
            .collect()
    }
}

/// A name as a token of a JSON pointer (RFC 6901 §3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A `$ref` of a schema as one of the description.
fn referred(path: &str, name: &str, definitions: &[(String, String)]) -> String {
    for (place, component) in definitions {
        if let Some(rest) = path.strip_prefix(place.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("#/components/schemas/{component}{rest}");
        }
    }
    match path.strip_prefix('#') {
        Some(rest) => format!("#/components/schemas/{name}{rest}"),
        None => path.to_owned(),
    }
}

fn id_member() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES, "readOnly": true})
}

fn rev_member() -> Value {
    json!({"type": "integer", "minimum": 1, "readOnly": true})
}

/// The schema of a document, with its id and its revision.
fn with_members(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("_id".into(), id_member());
            properties.insert("_rev".into(), rev_member());
        }
        let required = object.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.extend(["_id".into(), "_rev".into()]);
        }
    }
    schema
}

/// A form with one file, whose fields stand before it; or the file alone.
fn upload_body(operation: &OperationMetadata) -> Value {
    // Of bytes that are not encoded it is their number (OpenAPI 3.1.1, "Working with Binary Data").
    let mut file = json!({"type": "string", "contentMediaType": "application/octet-stream"});
    if let Some(most) = operation.max_bytes {
        file["maxLength"] = most.into();
    }
    let of = |name: &str| operation.args.as_ref().and_then(|args| args.get(name)).cloned();
    let mut properties = of("properties").unwrap_or_else(|| json!({}));
    let mut required = of("required").unwrap_or_else(|| json!([]));
    if let (Some(properties), Some(required)) = (properties.as_object_mut(), required.as_array_mut()) {
        properties.insert("file".into(), file.clone());
        required.push("file".into());
    }
    let whole = operation.max_bytes.map_or_else(|| json!({}), |most| json!({"schema": {"maxLength": most}}));
    let form = json!({"type": "object", "properties": properties, "required": required});
    json!({"required": true, "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": whole}})
}

/// Bytes, that are cut into chunks.
fn stream_body(_: &OperationMetadata) -> Value {
    json!({"required": true, "content": {"application/octet-stream": {}}})
}

/// A room as a stream that does not end by itself.
fn events(operation: Operation) -> Operation {
    let since = json!({"name": "since", "in": "query", "schema": seq_member(),
                       "description": "The commit that was heard last; what came after it is sent first."});
    let received = json!({"name": "received", "in": "query", "schema": seq_member(),
                          "description": "How many payloads of that commit were heard; all, unless given."});
    let last = json!({"name": "Last-Event-ID", "in": "header", "schema": {"type": "string", "pattern": EVENT_ID},
                      "description": "The id of the last event, as browsers send it when they connect again."});
    let heard = json!({"seq": seq_member(), "received": {"type": "integer", "minimum": 1}, "payload": {}});
    let begun = json!({"room": {"type": "string"}, "since": seq_member(), "received": seq_member(), "complete": {"type": "boolean"}});
    operation.with([parameter("Filter"), since, received, last]).streams(
        "The events: `subscribed` first.",
        &[
            event("subscribed", begun, &["room", "since"]),
            event("publish", heard, &["seq", "payload"]),
            unsubscribed_event(),
        ],
    )
}

/// A list that is followed, as a stream that does not end by itself.
fn live(operation: Operation, document: &Value) -> Operation {
    let items = json!({"seq": seq_member(), "items": {"type": "array", "items": document}});
    let id = json!({"type": "string"});
    let at = json!({"type": "integer", "minimum": 0});
    let change = json!({"oneOf": [
        closed(&json!({"op": {"const": "leave"}, "id": id}), &["op", "id"]),
        closed(
            &json!({"op": {"const": "change"}, "id": id, "set": {"type": "object"}, "unset": {"type": "array", "items": id}, "at": at}),
            &["op", "id", "set"],
        ),
        closed(&json!({"op": {"const": "enter"}, "doc": document, "at": at}), &["op", "doc", "at"]),
    ]});
    let part = closed(
        &json!({"subscription": id, "changes": {"type": "array", "items": change}}),
        &["subscription", "changes"],
    );
    let commit = closed(
        &json!({"seq": seq_member(), "subscriptions": {"type": "array", "items": part}}),
        &["seq", "subscriptions"],
    );
    operation.with([parameter("Filter"), parameter("Sort"), parameter("Skip"), parameter("Limit")]).streams(
        "The events: `snapshot` first, then `commit` and `reset`.",
        &[
            event("snapshot", items.clone(), &["seq", "items"]),
            event_of("commit", &commit),
            event("reset", items, &["seq", "items"]),
            unsubscribed_event(),
        ],
    )
}

/// The id of an event: the commit, and how many payloads of it were sent where more follow.
const EVENT_ID: &str = r"^[0-9]+(\.[0-9]+)?$";

fn seq_member() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// An object that has no other members.
fn closed(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// An event of a subscription, whose name is a member of the data.
fn event(name: &str, mut properties: Value, required: &[&str]) -> Value {
    properties["subscription"] = json!({"type": "string"});
    event_of(name, &closed(&properties, &[&["subscription"], required].concat()))
}

fn unsubscribed_event() -> Value {
    event("unsubscribed", json!({"code": {"type": "string"}}), &["code"])
}

/// A server-sent event whose data is JSON text of this schema.
fn event_of(name: &str, data: &Value) -> Value {
    let data = json!({"type": "string", "contentMediaType": "application/json", "contentSchema": data});
    json!({
        "type": "object",
        "properties": {"event": {"const": name}, "id": {"type": "string", "pattern": EVENT_ID}, "data": data},
        "required": ["event", "data"],
    })
}

fn counted(name: &str) -> Value {
    json!({"type": "object", "properties": {name: {"type": "integer", "minimum": 0}}, "required": [name], "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::app::App;
    use crate::model::caller::Caller;
    use crate::model::given::SchemaModel;
    use crate::model::route::HttpMethod;
    use crate::server::Server;
    use crate::server::network::Peer;
    use crate::server::router::{router, table};

    /// Routes that are not described here: methods, which a model that is given as JSON has none of.
    const UNDESCRIBED: &[&str] = &["POST /{}/{}", "GET /@metrics"];

    /// `GET /things/{x}` of a model and of its operations as the table has them.
    fn as_mounted(path: &str, models: &[&str]) -> String {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let named = |segment: &&str| if segment.starts_with('{') { "{}".to_owned() } else { (*segment).to_owned() };
        let mut named: Vec<String> = segments.iter().map(named).collect();
        if let [model, rest @ ..] = named.as_mut_slice()
            && (models.contains(&model.as_str()) || model == "{}")
        {
            *model = "{}".to_owned();
            if let [last] = rest
                && !last.starts_with('@')
            {
                *last = "{}".to_owned();
            }
        }
        format!("/{}", named.join("/"))
    }

    #[tokio::test]
    async fn exactly_the_mounted_routes_are_described() {
        let pages =
            SchemaModel::new("pages", json!({"type": "object"})).public().client_ids().trash(Duration::from_secs(60));
        let app = App::new()
            .schema_model(pages)
            .route(HttpMethod::Get, "/ping", |_| async { Ok(()) })
            .route(HttpMethod::Post, "/ping", |_| async { Ok(()) })
            .protected_route(HttpMethod::Delete, "/files/{*path}", |_| async { Ok(()) });
        #[cfg(feature = "oidc")]
        let app = {
            use crate::server::OidcProvider;
            app.oidc_providers("/@auth", [OidcProvider::new("corp", "https://login.example.com", "id", "secret")])
        };
        let app = app.in_memory().open().await.unwrap();
        let server = Server::new(&app, app.configuration().unwrap());
        let models = ["pages"];
        let mut mounted = BTreeSet::new();
        for path in table(&server).paths() {
            // A path of the table with something in the places of its parameters.
            let asked = path.replace("{model}", "pages");
            let asked: Vec<&str> =
                asked.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
            let request = Request::builder().method("PROBE").uri(asked.join("/")).body(Body::empty()).unwrap();
            let response = router(server.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 405, "{path}");
            let allowed = response.headers()["allow"].to_str().unwrap().to_owned();
            let methods = allowed.split(',').map(str::trim).filter(|method| !["HEAD", "OPTIONS"].contains(method));
            mounted.extend(methods.map(|method| format!("{method} {}", as_mounted(path, &[]))));
        }
        let caller = Caller::verified(Map::from_iter([("sub".to_owned(), "ada".into())]));
        let context = Context { server: Arc::clone(&server), caller, peer: Peer::default() };
        let metadata = metadata::of(&context).await.unwrap();
        let mut description = openapi(&metadata);
        server.configuration.outside.describe(&mut description);
        let mut described: BTreeSet<String> = UNDESCRIBED.iter().map(|route| (*route).to_owned()).collect();
        for (path, item) in description["paths"].as_object().unwrap() {
            let path = as_mounted(path, &models);
            described
                .extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
        }
        let difference: Vec<&String> = mounted.symmetric_difference(&described).collect();
        assert!(difference.is_empty(), "mounted or described, and not both: {difference:?}");
        // The metadata has the same: documents, methods and routes.
        let ids: Vec<&str> = metadata.models.iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["pages"]);
        let routes: Vec<String> =
            metadata.routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(routes, ["DELETE /files/{*path}", "GET /ping", "POST /ping"]);
    }

    #[test]
    fn references_lead_to_components() {
        let schema = json!({
            "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/properties/a"}, "c": {"$ref": "#/$defs/A~1B"}, "d": {"$ref": "#"}},
            "$defs": {"A": {"items": {"$ref": "#/$defs/A~1B"}}, "A/B": {"type": "integer", "format": "uint8"}},
        });
        let mut description = Description::default();
        let reference = description.component("things", &schema, Purpose::Output);
        assert_eq!(reference, json!({"$ref": "#/components/schemas/things"}));
        let expected = json!({
            "things": {"properties": {
                "a": {"$ref": "#/components/schemas/Def.things.A"},
                "b": {"$ref": "#/components/schemas/things/properties/a"},
                "c": {"$ref": "#/components/schemas/Def.things.A_B"},
                "d": {"$ref": "#/components/schemas/things"},
            }},
            "Def.things.A": {"items": {"$ref": "#/components/schemas/Def.things.A_B"}},
            "Def.things.A_B": {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255},
        });
        assert_eq!(json!(description.schemas), expected);
    }
}
