//! Routes of the program's own, over HTTP.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use axum::extract::{RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use serde_json::Value;

use super::Server;
use super::call::Context;
use super::router::Table;
use super::{respond, rest};
use crate::app::AppBuilder;
use crate::core::schema::Visibility;
use crate::error::{Error, Result};
use crate::model::handler::OutputKind;
use crate::model::journal::CallSite;
use crate::model::once::answer_json;
use crate::model::route::{Asked, GivenRoute, HttpMethod, RouteAnswer, RouteOutput, RouteRequest, RouteRuntime};

/// What a route answers that is no JSON, or that has a status or headers of its own: whatever axum can make a response of.
///
/// ```
/// use modeller::prelude::*;
/// use modeller::server::RouteResponse;
///
/// #[route(GET, "/robots.txt")]
/// async fn robots() -> Result<RouteResponse> {
///     Ok(RouteResponse::new("User-agent: *\nDisallow: /\n"))
/// }
///
/// #[route(POST, "/door")]
/// async fn door() -> Result<RouteResponse> {
///     Ok(RouteResponse::new((axum::http::StatusCode::CREATED, [("location", "/door/1")])))
/// }
/// ```
#[derive(Debug)]
pub struct RouteResponse(Response);

impl RouteResponse {
    /// A response.
    pub fn new(response: impl IntoResponse) -> Self {
        Self(response.into_response())
    }
}

impl RouteOutput for RouteResponse {
    const OUTPUT: Option<OutputKind> = None;

    fn answer(self) -> RouteAnswer {
        RouteAnswer::Other(Box::new(self.0))
    }
}

impl AppBuilder {
    /// With a route that anyone may reach, as a closure; [`#[route]`](macro@crate::route) is the same for functions, which are
    /// given typed parts of the request. The path is written as there.
    ///
    /// It is no transaction: what it does with a `Model<…>` is one for each operation.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "notes")]
    /// # pub struct Note { pub text: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::new()
    ///     .model::<Note>()
    ///     .route(HttpMethod::Get, "/notes-in-all", |request: RouteRequest| async move {
    ///         request.system::<Note>()?.count(Filter::all()).await
    ///     })
    ///     .in_memory()
    ///     .open()
    ///     .await?;
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Opening the application refuses a route that another one is, or that lies within those of a model.
    #[track_caller]
    pub fn route<O, F, Fut>(self, method: HttpMethod, path: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RouteRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
        O: RouteOutput,
    {
        self.given_route(GivenRoute::new(method, path.into(), Visibility::Public, CallSite::here(), handler))
    }

    /// With a route for verified callers, as [`AppBuilder::route`]; others are answered `UNAUTHENTICATED`.
    #[track_caller]
    pub fn protected_route<O, F, Fut>(self, method: HttpMethod, path: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RouteRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
        O: RouteOutput,
    {
        self.given_route(GivenRoute::new(method, path.into(), Visibility::Protected, CallSite::here(), handler))
    }

    fn given_route(mut self, route: GivenRoute) -> Self {
        self.routes.push(route);
        self
    }
}

/// Adds the routes of the program to those of the server.
pub(super) fn mount(table: Table, server: &Server) -> Table {
    let mut by_path: BTreeMap<&str, MethodRouter<Arc<Server>>> = BTreeMap::new();
    for (index, route) in server.runtime.routes().iter().enumerate() {
        let methods = by_path.remove(&*route.path).unwrap_or_default();
        let served = move |context: Context, params: Params, request: Request| serve(index, context, params, request);
        by_path.insert(&route.path, methods.on(filter(route.method), served));
    }
    by_path.into_iter().fold(table, |table, (path, methods)| table.route(path, methods))
}

fn filter(method: HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Delete => MethodFilter::DELETE,
    }
}

/// The route of the program that serves a request, by the path of the table that was matched, also within another router.
pub(super) fn find<'s>(server: &'s Server, method: &str, matched: &str) -> Option<&'s RouteRuntime> {
    // RFC 9110 §9.3.2: a HEAD is a GET without the body.
    let method = if method == "HEAD" { "GET" } else { method };
    let mut of_method = server.runtime.routes().iter().filter(|route| route.method.as_str() == method);
    let exact = of_method.clone().find(|route| route.path == matched);
    exact.or_else(|| of_method.find(|route| matched.ends_with(&*route.path)))
}

/// The parameters of a path, decoded.
struct Params(Vec<(String, String)>);

impl axum::extract::FromRequestParts<Arc<Server>> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, server)
            .await
            .map_err(|_| Error::new(crate::error::ErrorCode::InvalidRequest).message("the path is not UTF-8"))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

async fn serve(index: usize, context: Context, Params(mut params): Params, request: Request) -> Result<Response> {
    let server = context.server.clone();
    let route = server.runtime.routes().get(index).ok_or_else(|| Error::internal("a route that is not there"))?;
    let scope = context.scope();
    // Before anything is read of one who may not ask.
    scope.allow(route.access, &route.path)?;
    let query = request.uri().query().unwrap_or_default().to_owned();
    let pairs = if route.query_args.is_some() { rest::pairs(&query)? } else { Vec::new() };
    // A router that this one is mounted in may have parameters of its own.
    params.retain(|(name, _)| {
        route.path.contains(&format!("{{{name}}}")) || route.path.contains(&format!("{{*{name}}}"))
    });
    let asked = Asked {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query,
        params,
        headers: if route.whole { headers(&request) } else { Vec::new() },
        ..Asked::default()
    };
    let (asked, json) = read(&context, route, asked, request).await?;
    let audience = context.audience();
    let of_task = server.clone();
    let answer = context.to_the_end(async move {
        let route = of_task.runtime.routes().get(index).ok_or_else(|| Error::internal("a route that is not there"))?;
        scope.serve_route(route, asked, &pairs, json, audience).await
    });
    match answer.await? {
        RouteAnswer::Json(output) => Ok(respond::json(StatusCode::OK, answer_json(output.as_ref(), audience)?)),
        RouteAnswer::Other(other) => match other.downcast::<Response>() {
            Ok(response) => Ok(*response),
            Err(_) => Err(Error::internal("a route answered what the server does not know")),
        },
    }
}

fn headers(request: &Request) -> Vec<(String, axum::body::Bytes)> {
    let headers = request.headers().iter();
    headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec().into())).collect()
}

/// Reads the body as far as the route wants it.
async fn read(
    context: &Context,
    route: &RouteRuntime,
    mut asked: Asked,
    request: Request,
) -> Result<(Asked, Option<Value>)> {
    if !route.reads_body() {
        return Ok((asked, None));
    }
    if route.args.is_none() {
        asked.body = rest::read_body(context, request).await?;
        return Ok((asked, None));
    }
    let (body, json) = rest::read_body_and_json(context, request).await?;
    asked.body = body;
    Ok((asked, json))
}
