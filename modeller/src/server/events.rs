//! What happens to a server, told to callbacks of the program.
//!
//! A callback is a witness: it is called where the thing happens, before the next one, so that it has to be quick; and whatever
//! it does, also when it panics, the outcome is the same. Who wants to refuse a request does so by the access of the model, or
//! by a layer around [`App::router`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};

use crate::app::{App, AppBuilder};
use crate::model::caller::Caller;

/// The server listens, and its routes are mounted; see [`AppBuilder::on_mounted`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mounted {
    /// What is served.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a client has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionKind {
    /// A connection for requests, which may become a socket.
    Http,
    /// A session that is told of what happens: a socket, or a stream of server-sent events.
    Socket,
}

/// A client has connected; see [`AppBuilder::on_connection`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connected {
    /// What was opened.
    pub kind: ConnectionKind,
    /// Where the client is, or the proxy that it comes through; not known behind a server of the program's own, unless that
    /// keeps axum's `ConnectInfo<SocketAddr>`.
    pub peer: Option<SocketAddr>,
    /// Who it is. A connection is nobody's yet; each of its requests says who asks.
    pub caller: Caller,
}

/// A request has come; see [`AppBuilder::on_request`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Requested {
    /// The method, e.g. `GET`.
    pub method: String,
    /// The path as it was asked for, without the query string.
    pub path: String,
    /// The route that serves it, e.g. `/{model}/{id}`; `None` where there is none.
    pub route: Option<String>,
    /// Whether it needs a verified caller.
    pub protected: bool,
    /// Who asks. A token that does not hold makes nobody of him, and the answer is 401.
    pub caller: Caller,
    /// Where the request comes from, as in [`Connected::peer`].
    pub peer: Option<SocketAddr>,
}

/// A provider of identities has said who somebody is; see [`AppBuilder::on_authenticated`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Authenticated {
    /// The provider, by the name that the program gave it.
    pub provider: String,
    /// What it said: the claims of the verified ID token.
    pub profile: Map<String, Value>,
}

/// A login has ended in a token or a session of ours; see [`AppBuilder::on_provider`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Issued {
    /// The provider, by the name that the program gave it.
    pub provider: String,
    /// The token, when one was issued. Whoever has it is the caller: it belongs in no log.
    pub token: Option<String>,
    /// The id of the session, when there is one.
    pub session: Option<String>,
    /// Who was let in.
    pub caller: Caller,
}

/// A client has sent a whole file, and the handler of that has taken it; see [`AppBuilder::on_uploaded`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Uploaded {
    /// The model and its upload, as in `users` and `avatar`; `None` where it was for
    /// [`AppBuilder::upload_handler`].
    pub operation: Option<(String, String)>,
    /// The id of a resumable upload, which is the right to it; `None` for a file that came in one request.
    pub id: Option<String>,
    /// What the client calls the file.
    pub name: Option<String>,
    /// Of which media type the client says that it is.
    pub content_type: Option<String>,
    /// How many bytes the handler was given.
    pub bytes: u64,
    /// What else the client says of a resumable upload.
    pub metadata: BTreeMap<String, String>,
    /// Who sent it.
    pub caller: Caller,
}

impl fmt::Debug for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploaded")
            .field("operation", &self.operation)
            .field("bytes", &self.bytes)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody's provider says of him is not for logs.
        f.debug_struct("Authenticated").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("provider", &self.provider).field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// The callbacks of one kind, in the order in which they were given.
pub(super) struct Callbacks<E>(Vec<Arc<Callback<E>>>);

struct Callback<E> {
    run: Box<dyn Fn(&E) + Send + Sync>,
    /// Whether its panic was told.
    panicked: AtomicBool,
}

impl<E> Default for Callbacks<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> Clone for Callbacks<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Callbacks<E> {
    fn add(&mut self, run: impl Fn(&E) + Send + Sync + 'static) {
        self.0.push(Arc::new(Callback { run: Box::new(run), panicked: AtomicBool::new(false) }));
    }

    /// Whether somebody listens; what an event is made of may cost something.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all of them of what has happened, which is made when somebody listens.
    pub(super) fn tell(&self, made: impl FnOnce() -> E) {
        if self.is_empty() {
            return;
        }
        let event = made();
        for callback in &self.0 {
            let told = catch_unwind(AssertUnwindSafe(|| (callback.run)(&event)));
            if told.is_err() && !callback.panicked.swap(true, Ordering::Relaxed) {
                let of = std::any::type_name::<E>().rsplit("::").next().unwrap_or_default();
                tracing::error!(event = of, "a callback of a server event panicked; that is not told again");
            }
        }
    }
}

/// All callbacks of a server.
#[derive(Clone, Default)]
pub(super) struct Events {
    pub(super) mounted: Callbacks<Mounted>,
    pub(super) connection: Callbacks<Connected>,
    pub(super) request: Callbacks<Requested>,
    /// Told by what verifies an ID token.
    #[allow(dead_code)]
    pub(super) authenticated: Callbacks<Authenticated>,
    /// Told by what ends a login.
    #[allow(dead_code)]
    pub(super) provider: Callbacks<Issued>,
    pub(super) uploaded: Callbacks<Uploaded>,
}

impl AppBuilder {
    /// With a callback for when the server listens and its routes are mounted: once, before the first connection is taken. It is
    /// called where the program serves by [`AppBuilder::serve`] or [`App::serve_on`]; of a router in a server of its own, the
    /// program knows itself.
    ///
    /// It is called as [`AppBuilder::on_request`] describes.
    ///
    /// ```no_run
    /// # use modeller::prelude::*;
    /// # async fn run() -> Result<()> {
    /// App::discover().on_mounted(|mounted| tracing::info!("listening on {}", mounted.address)).serve("127.0.0.1:3030").await
    /// # }
    /// ```
    pub fn on_mounted(self, callback: impl Fn(&Mounted) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.events.mounted.add(callback))
    }

    /// With a callback for when a client connects: for each connection, and for each socket that is opened on one.
    ///
    /// It is called as [`AppBuilder::on_request`] describes.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use modeller::server::ConnectionKind;
    /// let builder = App::discover().on_connection(|connected| {
    ///     if connected.kind == ConnectionKind::Socket {
    ///         tracing::info!(caller = ?connected.caller, "a socket was opened");
    ///     }
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_connection(self, callback: impl Fn(&Connected) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.events.connection.add(callback))
    }

    /// With a callback for each HTTP request, once it is known who asks and before it is served.
    ///
    /// Callbacks are called one after the other, in the order in which they were given, and the request waits for them: let
    /// them be quick, and let what takes long run elsewhere. They change nothing. One that panics is told in the log, the first
    /// time, and the request goes on.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().on_request(|request| {
    ///     tracing::info!(method = request.method, route = request.route, protected = request.protected, "asked");
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_request(self, callback: impl Fn(&Requested) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.events.request.add(callback))
    }

    /// With a callback for when a provider of identities has said who somebody is, and that was verified.
    ///
    /// It is called as [`AppBuilder::on_request`] describes.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().on_authenticated(|login| tracing::info!(provider = login.provider, "verified"));
    /// # drop(builder);
    /// ```
    pub fn on_authenticated(self, callback: impl Fn(&Authenticated) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.events.authenticated.add(callback))
    }

    /// With a callback for when a login by a provider has ended in a token or a session of ours.
    ///
    /// It is called as [`AppBuilder::on_request`] describes.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().on_provider(|issued| tracing::info!(caller = ?issued.caller, "let in"));
    /// # drop(builder);
    /// ```
    pub fn on_provider(self, callback: impl Fn(&Issued) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.events.provider.add(callback))
    }

    /// With a callback for when a file has come whole, by a form, by itself or by a resumable upload over HTTP or on a socket, and its
    /// handler has taken it. Of one that the handler refused nothing is told.
    ///
    /// It is called as [`AppBuilder::on_request`] describes.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().on_uploaded(|uploaded| tracing::info!(bytes = uploaded.bytes, "a file has come"));
    /// # drop(builder);
    /// ```
    pub fn on_uploaded(self, callback: impl Fn(&Uploaded) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.events.uploaded.add(callback))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn callbacks_are_called_in_order_and_a_panic_is_contained() {
        let told: Arc<Mutex<Vec<&str>>> = Arc::default();
        let mut callbacks = Callbacks::<u8>::default();
        assert!(callbacks.is_empty());
        callbacks.tell(|| unreachable!("nobody listens"));
        let first = told.clone();
        callbacks.add(move |_| first.lock().unwrap().push("first"));
        callbacks.add(|event| assert_ne!(*event, 7, "this one panics"));
        let last = told.clone();
        callbacks.add(move |_| last.lock().unwrap().push("last"));
        callbacks.clone().tell(|| 7);
        callbacks.tell(|| 7);
        callbacks.tell(|| 8);
        assert_eq!(*told.lock().unwrap(), ["first", "last"].repeat(3));
        assert!(callbacks.0[1].panicked.load(Ordering::Relaxed), "known to all clones");
    }

    #[test]
    fn what_is_secret_is_not_printed() {
        let issued = Issued {
            provider: "corp".into(),
            token: Some("s3cret".into()),
            session: Some("s3cret".into()),
            caller: Caller::anyone(),
        };
        let profile = Map::from_iter([("email".to_owned(), Value::from("s3cret"))]);
        let printed = format!("{issued:?} {:?}", Authenticated { provider: "corp".into(), profile });
        assert!(printed.contains("corp") && !printed.contains("s3cret"), "{printed}");
    }
}
