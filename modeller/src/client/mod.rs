//! A typed client for an application that is served elsewhere.
//!
//! It has the models of the application as its own types, and speaks HTTP and, for subscriptions, a WebSocket:
//!
//! ```no_run
//! use modeller::client::Client;
//! use modeller::prelude::*;
//! # use modeller::__private::serde_json::json;
//!
//! #[model(id = "todos", public)]
//! pub struct Todo { pub title: String, #[field(default)] pub done: bool }
//!
//! #[value]
//! pub struct Finish { pub id: Id<Todo> }
//!
//! #[method(Todo)]
//! async fn finish(args: Finish, todos: Model<Todo>) -> Result<Doc<Todo>> {
//!     todos.update(args.id, Todo::DONE.set(true)).await
//! }
//!
//! # async fn example() -> Result<()> {
//! let todos = Client::connect("http://127.0.0.1:3030")?.model::<Todo>();
//! let todo = todos.insert(Todo { title: "call home".into(), done: false }).await?;
//! // The method by its trait, as in process.
//! todos.finish(Finish { id: todo.id() }).await?;
//! assert_eq!(todos.count(Todo::DONE.eq(false)).await?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! Errors are those of the server: [`Error`] with its code, its violations and its details. A server that cannot be reached is
//! `UNAVAILABLE`, and only after it has been tried for a while; see [`ClientBuilder::patience`]. Each write has a key under which it
//! is made once (`Idempotency-Key`), so that one that is sent again after a connection broke is not made twice.
//!
//! Private values do not come over the wire, and protected ones only to who has a token: they are *withheld* in what is answered.
//! Those of a value that is inserted are sent.

mod backoff;
mod http;
mod live;
mod mailbox;
mod model;
mod socket;
mod subscription;
mod upload;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use self::backoff::Backoff;
use self::http::{Answer, Asked, Broken, Origin, Transport, encoded};
pub use self::live::{RemoteLiveChange, RemoteLiveEvent, RemoteLiveQuery};
pub use self::model::{RemoteChanging, RemoteFind, RemoteListing, RemoteModel, RemoteShowing};
use self::socket::Socket;
pub use self::subscription::{Delivery, RemoteListener, RemoteSubscription};
pub use self::upload::RemoteUpload;
use crate::core::json::Document;
use crate::core::private::Audience;
use crate::core::schema::ModelType;
use crate::error::{Error, ErrorCode, Result};

/// For how long a server is tried that cannot be reached.
const PATIENCE: Duration = Duration::from_secs(20);

/// The header by which a write is made once.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is told of the tokens that a refresh has brought: the token, and the next refresh token.
type OnRefresh = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A client. A clone is the same one.
///
/// Its socket is opened with the first subscription or live query, and is shared by all of them. All is closed when the client, its
/// handles and what they listen to are dropped. It has to be used within a tokio runtime.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
    socket: Arc<OnceLock<Socket>>,
}

/// What requests and the socket share.
struct Core {
    transport: Arc<Transport>,
    patience: Duration,
    tokens: RwLock<Held>,
    refreshing: tokio::sync::Mutex<()>,
    on_refresh: Option<OnRefresh>,
}

/// The tokens of the one who calls.
#[derive(Clone, Default)]
struct Held {
    /// With its scheme.
    token: Option<HeaderValue>,
    refresh: Option<String>,
}

/// How a client is made.
#[derive(Clone)]
#[must_use = "a client is made by `connect`"]
pub struct ClientBuilder {
    url: String,
    token: Option<String>,
    refresh: Option<String>,
    patience: Duration,
    on_refresh: Option<OnRefresh>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.core.transport.origin).finish()
    }
}

impl ClientBuilder {
    /// Calls with this token, as its server or whoever the server trusts has issued it.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// With a refresh token of the same login: when the token does not hold any more the client asks for the next pair by itself.
    pub fn refresh_token(mut self, token: impl Into<String>) -> Self {
        self.refresh = Some(token.into());
        self
    }

    /// Tells of each pair of tokens that a refresh has brought, first the token, then the refresh token: who keeps them has to
    /// keep these, as the ones before hold no more.
    pub fn on_refresh(mut self, tell: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.on_refresh = Some(Arc::new(tell));
        self
    }

    /// For how long a server is tried again that cannot be reached or is not ready, before it is an error: 20 seconds unless given. A
    /// subscription that has begun is tried for ever.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The client. Nothing is sent by this.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a URL that is none, for `https` without the feature `client-tls`, and for a token that is not ASCII.
    pub fn connect(self) -> Result<Client> {
        let transport = Transport::new(Origin::parse(&self.url)?)?;
        let token = self.token.as_deref().map(bearer).transpose()?;
        let core = Core {
            transport,
            patience: self.patience,
            tokens: RwLock::new(Held { token, refresh: self.refresh }),
            refreshing: tokio::sync::Mutex::new(()),
            on_refresh: self.on_refresh,
        };
        Ok(Client { core: Arc::new(core), socket: Arc::default() })
    }
}

/// A token as a header (RFC 6750 §2.1).
fn bearer(token: &str) -> Result<HeaderValue> {
    let wrong = |_| Error::new(ErrorCode::InvalidRequest).message("a token is visible ASCII");
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// A client for the application at this URL, e.g. `http://127.0.0.1:3030`, as anyone. Nothing is sent by this.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(url: impl Into<String>) -> Result<Self> {
        Self::builder(url).connect()
    }

    /// The same with more to say.
    ///
    /// ```
    /// # use modeller::client::Client;
    /// let client = Client::builder("http://127.0.0.1:3030").token("eyJ…".replace('…', "")).connect()?;
    /// # Ok::<(), modeller::Error>(())
    /// ```
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder { url: url.into(), token: None, refresh: None, patience: PATIENCE, on_refresh: None }
    }

    /// The model `T` of the application.
    #[must_use]
    pub fn model<T: ModelType>(&self) -> RemoteModel<T> {
        RemoteModel::new(self.clone(), T::DECLARATION.id)
    }

    /// The model of that id, with its documents as JSON.
    #[must_use]
    pub fn model_by_id(&self, id: &str) -> RemoteModel<Document> {
        RemoteModel::new(self.clone(), id)
    }

    /// Calls with this token from now on; with `None` as anyone. Subscriptions go on as whom it is then; those that he may not have
    /// end with the error.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a token that is not ASCII.
    pub fn set_token(&self, token: Option<&str>) -> Result<()> {
        self.set_tokens(token, None)
    }

    /// The same with the refresh token of the login.
    ///
    /// # Errors
    /// As [`Client::set_token`].
    pub fn set_tokens(&self, token: Option<&str>, refresh: Option<&str>) -> Result<()> {
        let token = token.map(bearer).transpose()?;
        *self.core.tokens.write() = Held { token, refresh: refresh.map(str::to_owned) };
        if let Some(socket) = self.socket.get() {
            socket.reconnect();
        }
        Ok(())
    }

    fn socket(&self) -> &Socket {
        self.socket.get_or_init(|| Socket::start(self.core.clone()))
    }

    /// Asks for something that changes nothing, or that is made once however often it is asked for.
    async fn ask(&self, asked: &Asked) -> Result<Answer> {
        self.core.ask(asked, true).await
    }

    /// A write, under a key of its own.
    async fn write(&self, asked: Asked) -> Result<Answer> {
        let key = Uuid::new_v4().to_string();
        self.ask(&asked.header(KEY, HeaderValue::try_from(key).map_err(Error::internal)?)).await
    }
}

/// What `POST /@auth/refresh` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refreshed {
    token: String,
    refresh_token: String,
}

impl Core {
    /// Whom a value is written for: what is protected is unknown to who calls without a token.
    fn audience(&self) -> Audience {
        if self.tokens.read().token.is_some() { Audience::Store } else { Audience::Open }
    }

    /// Sends a request until there is an answer. One that may not be made twice is sent again only when it was not sent.
    async fn ask(&self, asked: &Asked, repeats: bool) -> Result<Answer> {
        let until = Instant::now() + self.patience;
        let mut backoff = Backoff::default();
        let mut refreshed = false;
        loop {
            let token = self.tokens.read().token.clone();
            let error = match self.transport.send(asked, token.as_ref()).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !refreshed => {
                    refreshed = true;
                    if self.refresh(token.as_ref()).await? {
                        continue;
                    }
                    return Err(problem(&answer));
                }
                // Not now, and nothing was done, or it is not done again.
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE && repeats => problem(&answer),
                Ok(answer) => return Err(problem(&answer)),
                Err(Broken::Cut(error)) if !repeats => {
                    return Err(error.message("the connection broke; what was asked for may have been done"));
                }
                Err(broken) => broken.into_error(),
            };
            let wait = backoff.next();
            if Instant::now() + wait >= until {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks for the next pair of tokens, unless somebody has since this token was refused. False when there is none to be had.
    ///
    /// # Errors
    /// What the server answers, in which case there is nothing to ask with any more; `UNAVAILABLE` when that is not known.
    async fn refresh(&self, refused: Option<&HeaderValue>) -> Result<bool> {
        let _turn = self.refreshing.lock().await;
        let Held { token, refresh } = self.tokens.read().clone();
        if token.as_ref() != refused {
            return Ok(true);
        }
        let Some(refresh) = refresh else { return Ok(false) };
        let body = serde_json::to_vec(&json!({"refreshToken": refresh}))?;
        let asked = Asked::new(Method::POST, "/@auth/refresh").json(body);
        let mut backoff = Backoff::default();
        let until = Instant::now() + self.patience;
        let answer = loop {
            match self.transport.send(&asked, None).await {
                Ok(answer) => break answer,
                // A refresh token that is used twice ends the login: it is sent again only when it was not sent.
                Err(Broken::Unsent(error)) => {
                    let wait = backoff.next();
                    if Instant::now() + wait >= until {
                        return Err(error);
                    }
                    tokio::time::sleep(wait).await;
                }
                Err(Broken::Cut(error)) => return Err(error),
            }
        };
        if !answer.status.is_success() {
            let error = problem(&answer);
            if error.http_status() < 500 {
                self.tokens.write().refresh = None;
            }
            return Err(error);
        }
        let next: Refreshed = serde_json::from_slice(&answer.body)?;
        *self.tokens.write() = Held { token: Some(bearer(&next.token)?), refresh: Some(next.refresh_token.clone()) };
        if let Some(tell) = &self.on_refresh {
            tell(&next.token, &next.refresh_token);
        }
        Ok(true)
    }
}

/// The error of an answer.
fn problem(answer: &Answer) -> Error {
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(body) if body.get("code").is_some() => Error::from_json(body),
        // Whoever stands in front of the application.
        _ => {
            let status = answer.status.as_u16();
            let code = match status {
                401 => ErrorCode::Unauthenticated,
                403 => ErrorCode::Forbidden,
                404 => ErrorCode::NotFound,
                429 => ErrorCode::RateLimited,
                502..=504 => ErrorCode::Unavailable,
                400..=499 => ErrorCode::InvalidRequest,
                _ => ErrorCode::Internal,
            };
            Error::new(code).message(format!("the answer has the status {status} and no problem body")).status(status)
        }
    }
}

/// Reads an answer, in which private values are withheld.
fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T> {
    let unfit = |cause: serde_json::Error| Error::internal(cause).message("an answer does not fit the type");
    crate::core::private::read_as_answer(|| serde_json::from_slice(body)).map_err(unfit)
}

/// `If-Match` for a revision.
fn if_match(asked: Asked, rev: Option<u64>) -> Result<Asked> {
    Ok(match rev {
        None => asked,
        Some(rev) => {
            asked.header(header::IF_MATCH, HeaderValue::try_from(format!("\"{rev}\"")).map_err(Error::internal)?)
        }
    })
}

/// The path of something of a model.
fn path(model: &str, segment: &str) -> String {
    format!("/{}/{}", encoded(model), encoded(segment))
}
