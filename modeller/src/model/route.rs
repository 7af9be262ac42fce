//! Routes of the program's own: a handler that belongs to no model, and what a request is to it.
//!
//! The transport makes a [`RouteRequest`] of what came in, and bytes of what is answered. Here the parts of a request become
//! typed values: what stands in a path or a query string is text, which the schema of the type says how to read, and is then
//! checked as arguments are.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::caller::{Call, Caller};
use super::handle::Model;
use super::handler::{
    AnyOutput, AnyPayload, Args, BoxFuture, Extract, Invocation, Output, OutputKind, Payload, PayloadKind, Returned,
    With, absent,
};
use super::journal::{CallSite, Log, LogFeature, Subject};
use super::runtime::{Name, Scope, caught};
use super::transaction::Transaction;
use crate::core::private::Audience;
use crate::core::schema::outside::{Checked, Described};
use crate::core::schema::{ModelType, Site, Visibility, parse_json};
use crate::error::{Error, ErrorCode, Result};
use crate::model::handle::System;
use crate::model::handler::State;

/// The method of a request (RFC 9110 §9.3). A route for `GET` also serves `HEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpMethod {
    /// Reads, and changes nothing.
    Get,
    /// Does what the route says.
    Post,
    /// Puts something in the place that the path names.
    Put,
    /// Changes a part of it.
    Patch,
    /// Takes it away.
    Delete,
}

impl HttpMethod {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As it stands in a request.
    ///
    /// ```
    /// assert_eq!(modeller::HttpMethod::Get.as_str(), "GET");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for HttpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a declared route is run.
type RunRoute = for<'a> fn(Invocation<'a>) -> BoxFuture<'a, Result<RouteAnswer>>;

/// How a route is run that was given as a closure.
type RunGiven = dyn Fn(RouteRequest) -> BoxFuture<'static, Result<RouteAnswer>> + Send + Sync;

/// What `#[route]` says of a function.
pub struct RouteDeclaration {
    /// Its id, the name of the function unless given.
    pub id: &'static str,
    /// Which requests it takes.
    pub method: HttpMethod,
    /// Where, e.g. `/things/{id}`.
    pub path: &'static str,
    /// Who may reach it.
    pub access: Visibility,
    /// The first line of its doc comment, for the metadata.
    pub description: &'static str,
    /// What it takes as the body, if it takes one.
    pub args: Option<PayloadKind>,
    /// What its other parameters take of the request.
    pub parts: &'static [RoutePart],
    /// What it answers, where that is JSON.
    pub output: Option<OutputKind>,
    /// Whether all that it does is one transaction.
    pub transaction: bool,
    /// The function, with its arguments taken from the invocation.
    pub run: RunRoute,
    /// Where it stands.
    pub site: Site,
}

impl fmt::Debug for RouteDeclaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteDeclaration")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

/// What a parameter of a route takes of the request.
#[derive(Clone, Copy)]
pub enum RoutePart {
    /// Nothing.
    None,
    /// The parameters of the path.
    Path(PayloadKind),
    /// The query string.
    Query(PayloadKind),
    /// All of it.
    Request,
}

/// The parameters of a route's path, as the members of a `#[value]`.
///
/// Each is read as its field's type says, and checked as arguments are; what does not fit is answered `VALIDATION_ERROR`. The names
/// of the fields are those of the parameters.
///
/// ```
/// # use modeller::prelude::*;
/// #[value]
/// pub struct ThingPath {
///     pub number: u32,
/// }
///
/// #[route(GET, "/things/{number}/square")]
/// async fn square(PathArgs(thing): PathArgs<ThingPath>) -> Result<u64> {
///     Ok(u64::from(thing.number).pow(2))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PathArgs<T>(pub T);

/// The query string of a request to a route, as the members of a `#[value]`.
///
/// Each is read as its field's type says: a number, `true` or `false`, a text; where the field is a list, a member that is given
/// several times, and where it is an object, JSON text. It is then checked as arguments are; what does not fit is answered
/// `VALIDATION_ERROR`.
///
/// ```
/// # use modeller::prelude::*;
/// #[value]
/// pub struct Search {
///     pub words: Vec<String>,
///     #[field(default = 10, maximum = 100)]
///     pub limit: u32,
/// }
///
/// #[route(GET, "/search")]
/// async fn search(QueryArgs(search): QueryArgs<Search>) -> Result<Vec<String>> {
///     Ok(search.words.into_iter().take(search.limit as usize).collect())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct QueryArgs<T>(pub T);

/// A request to a route of the program's own.
///
/// ```
/// # use modeller::prelude::*;
/// #[route(POST, "/hooks/{source}")]
/// async fn hook(request: RouteRequest) -> Result<usize> {
///     tracing::info!(source = request.param("source"), kind = request.header("x-kind"), "called");
///     Ok(request.body().len())
/// }
/// ```
#[derive(Clone)]
pub struct RouteRequest {
    asked: Arc<Asked>,
    scope: Scope,
}

/// What came in.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Those of the path, decoded.
    pub(crate) params: Vec<(String, String)>,
    /// The names in lower case.
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) body: Bytes,
}

impl fmt::Debug for RouteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and bodies may have in them what is for no log.
        f.debug_struct("RouteRequest")
            .field("method", &self.asked.method)
            .field("path", &self.asked.path)
            .finish_non_exhaustive()
    }
}

impl RouteRequest {
    /// The method, e.g. `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.asked.method
    }

    /// The path as it was asked for, without the query string.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.asked.path
    }

    /// The query string as it was asked for, without its `?`; empty where there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.asked.query
    }

    /// A parameter of the path, decoded.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.asked.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first header of that name, in whatever case, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The same as its bytes.
    #[must_use]
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.asked.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    /// The body, as long as [`AppBuilder::body_limit`](crate::AppBuilder::body_limit) lets one be.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.asked.body
    }

    /// The body as JSON of a type.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when it is no JSON, or not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(parse_json(&self.asked.body)?).map_err(|cause| {
            Error::new(ErrorCode::InvalidRequest).message("the body does not fit what is asked for").caused_by(cause)
        })
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.scope.caller()
    }

    /// The handle of a model, acting as the caller.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model<T: ModelType>(&self) -> Result<Model<T>> {
        Model::of_scope(&self.scope)
    }

    /// The handle of a model, acting as the application.
    ///
    /// # Errors
    /// As [`RouteRequest::model`].
    pub fn system<T: ModelType>(&self) -> Result<System<Model<T>>> {
        Model::of_scope(&self.scope.as_application()).map(System)
    }
}

/// A request with its typed parts, for a handler.
pub(crate) struct RouteInput {
    pub(crate) asked: Arc<Asked>,
    path: Option<Box<dyn AnyPayload>>,
    query: Option<Box<dyn AnyPayload>>,
}

impl fmt::Debug for RouteInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteInput").field("path", &self.asked.path).finish_non_exhaustive()
    }
}

fn input<'i>(invocation: &'i Invocation<'_>, what: &str) -> Result<&'i Arc<RouteInput>> {
    match &invocation.with {
        With::Request(input) => Ok(input),
        _ => Err(absent(what)),
    }
}

fn typed<T: Args>(part: Option<&dyn AnyPayload>, what: &str) -> Result<T> {
    let any: Box<dyn Any> = part.ok_or_else(|| absent(what))?.copy();
    any.downcast::<T>().map(|value| *value).map_err(|_| absent(what))
}

impl<'a, T: Args> Extract<'a> for PathArgs<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        let what = "the parameters of a path";
        typed(input(invocation, what)?.path.as_deref(), what).map(Self)
    }
}

impl<'a, T: Args> Extract<'a> for QueryArgs<T> {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        let what = "a query string";
        typed(input(invocation, what)?.query.as_deref(), what).map(Self)
    }
}

impl<'a> Extract<'a> for RouteRequest {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        let asked = input(invocation, "a request")?.asked.clone();
        Ok(Self { asked, scope: invocation.scope.clone() })
    }
}

/// What a `#[route]` may take beside its body.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a route here",
    label = "not offered to a route",
    note = "a route takes its body first, one `#[value]` type, then `PathArgs<…>`, `QueryArgs<…>`, `RouteRequest`, `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Transaction`, `Log`, `State<…>` in any order"
)]
pub trait RouteArg {}

/// What a `#[route]` that is no transaction may take beside its body.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a route that is no transaction",
    label = "not offered to a route that is no transaction",
    note = "a route for GET, and one with `transaction = none`, takes `PathArgs<…>`, `QueryArgs<…>`, `RouteRequest`, `Model<…>`, `System<Model<…>>`, `Caller`, `Call`, `Log`, `State<…>` in any order; what it does with a `Model<…>` is a transaction for each operation"
)]
pub trait LongRouteArg {}

/// An argument of a route that is taken of the request.
pub trait OfRequest {
    /// What it takes.
    const PART: RoutePart;
}

impl OfRequest for RouteRequest {
    const PART: RoutePart = RoutePart::Request;
}

impl<T: Args> OfRequest for PathArgs<T> {
    const PART: RoutePart = RoutePart::Path(PayloadKind::of::<T>());
}

impl<T: Args> OfRequest for QueryArgs<T> {
    const PART: RoutePart = RoutePart::Query(PayloadKind::of::<T>());
}

macro_rules! offered {
    ($([$($parameter:tt)*] $type:ty;)*) => {$(
        impl<$($parameter)*> RouteArg for $type {}
        impl<$($parameter)*> LongRouteArg for $type {}
    )*};
}

offered! {
    [N: ModelType] Model<N>;
    [N: ModelType] System<Model<N>>;
    [S] State<S>;
    [] Caller;
    [] Call;
    [] Log;
    [] RouteRequest;
    [T] PathArgs<T>;
    [T] QueryArgs<T>;
}
impl RouteArg for Transaction {}

/// What a route answers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be answered by a route",
    label = "this has no schema",
    note = "annotate the type with `#[value]`, or answer `Doc<…>`, a library type, `()`, or a `RouteResponse`"
)]
pub trait RouteOutput: Send + 'static {
    /// Its kind, where it is JSON.
    const OUTPUT: Option<OutputKind>;

    /// It without its type.
    fn answer(self) -> RouteAnswer;
}

impl<T: Output> RouteOutput for T {
    const OUTPUT: Option<OutputKind> = Some(OutputKind::of::<T>());

    fn answer(self) -> RouteAnswer {
        RouteAnswer::Json(Box::new(self))
    }
}

/// What a route has answered.
pub enum RouteAnswer {
    /// To be written as JSON.
    Json(Box<dyn AnyOutput>),
    /// What the transport knows.
    Other(Box<dyn Any + Send>),
}

impl fmt::Debug for RouteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "RouteAnswer::Json",
            Self::Other(_) => "RouteAnswer::Other",
        })
    }
}

/// A route that was given as a closure, before it is proved.
#[derive(Clone)]
pub(crate) struct GivenRoute {
    pub(crate) method: HttpMethod,
    pub(crate) path: String,
    pub(crate) access: Visibility,
    pub(crate) output: Option<OutputKind>,
    pub(crate) site: CallSite,
    pub(crate) run: Arc<RunGiven>,
}

impl GivenRoute {
    pub(crate) fn new<O, F, Fut>(
        method: HttpMethod,
        path: String,
        access: Visibility,
        site: CallSite,
        handler: F,
    ) -> Self
    where
        F: Fn(RouteRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
        O: RouteOutput,
    {
        let run: Arc<RunGiven> = Arc::new(move |request| {
            let answer = handler(request);
            Box::pin(async move { answer.await.map(RouteOutput::answer) })
        });
        Self { method, path, access, output: O::OUTPUT, site, run }
    }
}

/// How a route is run.
pub(crate) enum Run {
    Declared(RunRoute),
    Given(Arc<RunGiven>),
}

/// A typed part of a request, proved.
pub(crate) struct TypedPart {
    pub(crate) checked: Checked,
    pub(crate) kind: PayloadKind,
}

impl TypedPart {
    fn take(&self, json: &Value, by: Audience) -> Result<Box<dyn AnyPayload>> {
        self.checked.typed(json.clone(), by, self.kind.from_json)
    }

    /// Takes it out of texts by their names.
    fn take_texts<'t>(
        &self,
        place: &'static str,
        texts: impl Iterator<Item = (&'t str, &'t str)>,
        by: Audience,
    ) -> Result<Box<dyn AnyPayload>> {
        let json = read_texts(self.checked.json(Audience::Verified), texts)?;
        self.take(&json, by).map_err(|error| error.detail("in", place))
    }
}

/// A route, proved.
pub(crate) struct RouteRuntime {
    pub(crate) id: Cow<'static, str>,
    pub(crate) method: HttpMethod,
    pub(crate) path: Cow<'static, str>,
    pub(crate) access: Visibility,
    pub(crate) description: &'static str,
    pub(crate) args: Option<TypedPart>,
    pub(crate) path_args: Option<TypedPart>,
    pub(crate) query_args: Option<TypedPart>,
    /// Whether it asks for the request as it is.
    pub(crate) whole: bool,
    /// `None` where it answers what is not JSON, or not always.
    pub(crate) output: Option<Described>,
    pub(crate) transaction: bool,
    pub(crate) run: Run,
    pub(crate) site: CallSite,
}

impl RouteRuntime {
    /// Whether it reads a body.
    pub(crate) fn reads_body(&self) -> bool {
        self.args.is_some() || self.whole
    }
}

impl Scope {
    /// Serves a request to a route. `query` is the query string, decoded.
    pub(crate) async fn serve_route(
        &self,
        route: &RouteRuntime,
        asked: Asked,
        query: &[(String, String)],
        json: Option<Value>,
        by: Audience,
    ) -> Result<RouteAnswer> {
        self.allow(route.access, &route.path)?;
        let take = |part: &Option<TypedPart>, place, pairs: &[(String, String)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            part.as_ref().map(|part| part.take_texts(place, pairs, by)).transpose()
        };
        let path = take(&route.path_args, "path", &asked.params)?;
        let query = take(&route.query_args, "query", query)?;
        let args = match &route.args {
            Some(part) => part.take(&json.unwrap_or_default(), by)?,
            None => Box::new(()),
        };
        let input = Arc::new(RouteInput { asked: Arc::new(asked), path, query });
        if !route.transaction {
            return Box::pin(self.run_route(route, &Call::new(), args, input)).await;
        }
        let (args, input) = (&args, &input);
        self.as_step(
            || Name::Text(format!("{} {}", route.method, route.path).into()),
            |scope, call| async move { scope.run_route(route, &call, (**args).copy(), input.clone()).await },
        )
        .await
    }

    async fn run_route(
        &self,
        route: &RouteRuntime,
        call: &Call,
        args: Box<dyn AnyPayload>,
        input: Arc<RouteInput>,
    ) -> Result<RouteAnswer> {
        let subject = Subject::new(None, LogFeature::Route).of(route.id.clone()).at(route.site).in_call(call);
        let journal = self.runtime().journal();
        let began = journal.begin(&subject);
        let outcome = match &route.run {
            Run::Given(run) => {
                let request = RouteRequest { asked: input.asked.clone(), scope: self.clone() };
                caught(async { run(request).await }).await
            }
            Run::Declared(run) => {
                let invocation = Invocation {
                    scope: self.clone(),
                    caller: self.caller().clone(),
                    call: call.clone(),
                    event: None,
                    payload: Payload::Args(args),
                    previous: None,
                    with: With::Request(input),
                    subject: subject.clone(),
                };
                caught(run(invocation)).await
            }
        };
        journal.operation(&subject, began, outcome.as_ref().err());
        outcome
    }
}

/// Texts as the members of an object, each read as the schema says of its member.
///
/// # Errors
/// `INVALID_REQUEST` when one that is no list is given twice.
fn read_texts<'t>(schema: &Value, texts: impl Iterator<Item = (&'t str, &'t str)>) -> Result<Value> {
    let mut object = Map::new();
    for (name, text) in texts {
        let property = schema.get("properties").and_then(|properties| properties.get(name));
        let mut kinds = Kinds::default();
        if let Some(property) = property {
            kinds.find(schema, property, 0);
        }
        if let Some(items) = kinds.items.filter(|_| kinds.array) {
            let mut of_items = Kinds::default();
            of_items.find(schema, items, 0);
            let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(of_items.read(text));
            }
        } else if object.insert(name.to_owned(), kinds.read(text)).is_some() {
            let shown: String = name.chars().take(64).collect();
            return Err(Error::new(ErrorCode::InvalidRequest).message(format!("`{shown}` is given twice")));
        }
    }
    Ok(Value::Object(object))
}

/// Which kinds of JSON a schema is about, as far as is needed to read a text.
#[derive(Default)]
struct Kinds<'s> {
    string: bool,
    scalar: bool,
    array: bool,
    object: bool,
    items: Option<&'s Value>,
}

/// How deep a schema is looked into; a deeper one reads texts as texts.
const DEPTH: usize = 16;

impl<'s> Kinds<'s> {
    fn find(&mut self, root: &'s Value, schema: &'s Value, depth: usize) {
        if depth > DEPTH {
            return;
        }
        let types = schema.get("type");
        let listed =
            types.and_then(Value::as_array).into_iter().flatten().chain(types.filter(|types| types.is_string()));
        for name in listed.filter_map(Value::as_str) {
            match name {
                "string" => self.string = true,
                "integer" | "number" | "boolean" => self.scalar = true,
                "array" => self.array = true,
                "object" => self.object = true,
                // An absent member is how a text says `null`.
                _ => {}
            }
        }
        for value in schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const")) {
            self.string |= value.is_string();
            self.scalar |= value.is_number() || value.is_boolean();
        }
        self.items = self.items.or_else(|| schema.get("items"));
        let referred =
            schema.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.strip_prefix('#')?));
        let several = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
        for below in referred.into_iter().chain(several) {
            self.find(root, below, depth + 1);
        }
    }

    fn read(&self, text: &str) -> Value {
        let parsed = |fits: fn(&Value) -> bool| serde_json::from_str(text).ok().filter(fits);
        let scalar = || parsed(|value| value.is_number() || value.is_boolean()).filter(|_| self.scalar);
        let object = || parsed(Value::is_object).filter(|_| self.object);
        let read = if self.string { None } else { scalar().or_else(object) };
        // What cannot be read is refused by the schema, which says what it should be.
        read.unwrap_or_else(|| Value::String(text.to_owned()))
    }
}

/// A handler's answer without its type.
///
/// # Errors
/// What the handler answered.
pub(super) fn route_answer<R: Returned>(returned: R) -> Result<RouteAnswer>
where
    R::Output: RouteOutput,
{
    returned.returned().map(RouteOutput::answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_read_as_the_schema_says() {
        let schema = json!({
            "properties": {
                "n": {"type": "integer"}, "maybe": {"type": ["number", "null"]}, "flag": {"type": "boolean"},
                "text": {"type": "string"}, "list": {"type": "array", "items": {"type": "integer"}},
                "role": {"anyOf": [{"$ref": "#/$defs/Role"}, {"type": "null"}]}, "place": {"$ref": "#/$defs/Place"},
                "either": {"type": ["string", "integer"]},
            },
            "$defs": {"Role": {"enum": ["a", "b"]}, "Place": {"type": "object"}},
        });
        let given = [
            ("n", "5"),
            ("maybe", "1.5"),
            ("flag", "true"),
            ("text", "5"),
            ("list", "1"),
            ("list", "x"),
            ("role", "a"),
            ("place", "{\"x\": 1}"),
            ("either", "7"),
            ("unknown", "8"),
        ];
        let expected = json!({
            "n": 5, "maybe": 1.5, "flag": true, "text": "5", "list": [1, "x"], "role": "a", "place": {"x": 1},
            "either": "7", "unknown": "8",
        });
        assert_eq!(read_texts(&schema, given.into_iter()).unwrap(), expected);
        let wrong = [("n", "five"), ("flag", "1"), ("place", "[")];
        let read = read_texts(&schema, wrong.into_iter()).unwrap();
        assert_eq!(read, json!({"n": "five", "flag": 1, "place": "["}));
        let twice = read_texts(&schema, [("n", "1"), ("n", "2")].into_iter()).unwrap_err();
        assert_eq!(twice.code(), &ErrorCode::InvalidRequest);
        // A schema that only goes round in circles.
        let circle = json!({"properties": {"a": {"$ref": "#/properties/a"}}});
        assert_eq!(read_texts(&circle, [("a", "1")].into_iter()).unwrap(), json!({"a": "1"}));
    }
}
