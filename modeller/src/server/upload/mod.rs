//! Files and streams that clients send: in one request, or in several that go on where the last one broke off.

mod args;
mod checksum;
mod files;
pub(super) mod form;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod incoming;
pub(super) mod socket;
mod store;
pub(super) mod stream;
pub(super) mod tus;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use serde::Serialize;
use tokio::sync::OnceCell;

use self::store::{Bounds, Store};
use super::edge;
use super::limits::{Counted, Gate, Tally};
use super::network::Peer;
use super::rest::IDEMPOTENCY_KEY;
use crate::app::{App, AppBuilder};
use crate::core::clock::Clock;
use crate::core::private::{Audience, written_for};
use crate::error::{Error, ErrorCode, Result};
use crate::model::caller::Caller;
use crate::model::handler::BoxFuture;
use crate::model::runtime::{OperationKind, OperationRuntime};
use crate::model::upload::File;

/// How many uploads and streams are under way at once.
const AT_ONCE: usize = 1024;

/// The folder of incomplete uploads, in that of the data.
const FOLDER: &str = "uploads";

/// A resumable upload that is whole; see [`AppBuilder::upload_handler`].
#[non_exhaustive]
pub struct WholeUpload {
    /// Its id, the last segment of its address. A handler that is run again for an upload is given the same.
    pub id: String,
    /// The file, read from the disk. It is gone when the handler is through.
    pub file: File,
    /// What the client says of it, `filename` and `filetype` among it if it follows the habits of tus.
    pub metadata: BTreeMap<String, String>,
    /// Who began it.
    pub caller: Caller,
    /// What is served.
    pub app: App,
}

impl fmt::Debug for WholeUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id is the right to it.
        f.debug_struct("WholeUpload").field("file", &self.file).field("caller", &self.caller).finish_non_exhaustive()
    }
}

type Handler = dyn Fn(WholeUpload, Audience) -> BoxFuture<'static, Result<Vec<u8>>> + Send + Sync;

/// What the program says of uploads.
#[derive(Clone)]
pub(super) struct Settings {
    limit: u64,
    per_caller: usize,
    /// How many bytes the incomplete ones have, of one caller and of all.
    incomplete: (u64, u64),
    expiry: Duration,
    handler: Option<Arc<Handler>>,
}

impl Default for Settings {
    fn default() -> Self {
        let (expiry, incomplete) = (Duration::from_secs(24 * 3600), (1 << 30, 16 << 30));
        Self { limit: 100 << 20, per_caller: 64, incomplete, expiry, handler: None }
    }
}

/// What uploads share.
pub(super) struct Uploads {
    /// How many bytes a file has, unless its upload says another number.
    pub(super) limit: u64,
    /// How many any of them has.
    highest: u64,
    per_caller: usize,
    gate: Gate,
    under_way: Tally<String>,
    handler: Option<Arc<Handler>>,
    /// Where incomplete uploads lie; nowhere that stays, for an application in memory.
    folder: Option<PathBuf>,
    clock: Clock,
    bounds: Bounds,
    /// Opened when it is first needed.
    store: OnceCell<Arc<Store>>,
}

impl Uploads {
    pub(super) fn new(settings: Settings, app: &App) -> Self {
        let Settings { limit, per_caller, incomplete: (of_one, of_all), expiry, handler } = settings;
        let (folder, clock) =
            (app.folder.as_ref().map(|folder| folder.join(FOLDER)), app.runtime.inner().clock.clone());
        let uploads = app.runtime.models().iter().flat_map(|model| model.operations_of(OperationKind::Upload));
        let highest = uploads.filter_map(|upload| upload.declaration.max_bytes).fold(limit, u64::max);
        // One that is as long as an upload may be can be begun.
        let bounds = Bounds { limit, bytes_per_caller: of_one.max(highest), bytes_in_all: of_all.max(highest), expiry };
        let under_way = Tally::new();
        let (gate, store) = (Gate::new(AT_ONCE), OnceCell::new());
        Self { limit, highest, per_caller, gate, under_way, handler, folder, clock, bounds, store }
    }

    /// How many bytes the file of an upload has.
    pub(super) fn limit_of(&self, upload: &OperationRuntime) -> u64 {
        upload.declaration.max_bytes.unwrap_or(self.limit)
    }

    /// Resumable uploads, those of the process before among them.
    ///
    /// # Errors
    /// Those of the disk.
    async fn store(&self) -> Result<Arc<Store>> {
        let open = || Store::open(self.folder.clone(), self.clock.clone(), self.bounds);
        self.store.get_or_try_init(open).await.cloned()
    }

    /// Looks for what the process before has left, so that it expires also when nobody asks for it.
    pub(super) async fn begin(&self) {
        if self.folder.as_ref().is_some_and(|folder| folder.is_dir())
            && let Err(error) = self.store().await
        {
            tracing::warn!(error = %error.for_log_with_causes(), "the folder of uploads cannot be opened");
        }
    }

    /// Lets one more begin, until what is answered is dropped.
    ///
    /// # Errors
    /// `RATE_LIMITED` when there are as many of this caller as he may have, `UNAVAILABLE` when there are as many as the server takes.
    fn enter(&self, caller: &Caller, peer: Peer) -> Result<UnderWay> {
        let place = self.gate.try_enter().ok_or_else(|| {
            Error::new(ErrorCode::Unavailable).message("there are as many uploads under way as this server takes")
        })?;
        let counted = self.under_way.enter(owner(caller, peer), self.per_caller).ok_or_else(|| {
            let text = format!("one caller has at most {} uploads under way", self.per_caller);
            Error::new(ErrorCode::RateLimited).message(text)
        })?;
        Ok(UnderWay { _place: place, _counted: counted })
    }
}

/// A place among the uploads under way.
struct UnderWay {
    _place: tokio::sync::OwnedSemaphorePermit,
    _counted: Counted<String>,
}

/// Whose something is that is counted: of a verified caller, or else of an address, or else of all that have none.
fn owner(caller: &Caller, peer: Peer) -> String {
    edge::owner(caller, peer).unwrap_or_else(|| caller.identity())
}

/// A key promises that a call is made once, which takes a transaction, and bytes that can be told from others.
fn refuse_key(headers: &HeaderMap) -> Result<()> {
    match headers.contains_key(IDEMPOTENCY_KEY) {
        true => Err(Error::new(ErrorCode::InvalidRequest).message("`Idempotency-Key` is for methods")),
        false => Ok(()),
    }
}

impl AppBuilder {
    /// With a function for each resumable upload that is whole and names no operation of a model in its metadata. What it answers is
    /// the result that the client is told. Without it such an upload is refused when it begins.
    ///
    /// It is no transaction, and it is run again for an upload when it fails through no fault of the caller (with a status of 500 or
    /// more), and when the process ends while it runs. A second function takes the place of the first.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// use modeller::server::WholeUpload;
    ///
    /// let builder = App::discover().upload_handler(|mut uploaded: WholeUpload| async move {
    ///     let bytes = uploaded.file.copy_to(&mut tokio::io::sink()).await?;
    ///     Ok(format!("{:?} of {bytes} bytes", uploaded.file.name()))
    /// });
    /// ```
    pub fn upload_handler<F, Fut, R>(self, handler: F) -> Self
    where
        F: Fn(WholeUpload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: Serialize,
    {
        let handler = move |uploaded: WholeUpload, to: Audience| -> BoxFuture<'static, Result<Vec<u8>>> {
            let answered = handler(uploaded);
            Box::pin(async move {
                let answer = answered.await?;
                written_for(to, || serde_json::to_vec(&answer)).map_err(Error::from)
            })
        };
        self.set(|settings| settings.uploads.handler = Some(Arc::new(handler)))
    }

    /// With resumable uploads that are given up when nothing more has come for this time, 24 hours unless given.
    pub fn upload_expiry(self, time: Duration) -> Self {
        self.set(|settings| settings.uploads.expiry = time)
    }

    /// With incomplete uploads of at most so many bytes of one caller, 1 GiB unless given, and in all, 16 GiB unless given; at
    /// least one of [`AppBuilder::upload_limit`]. They are counted by the length that they announce. Others are refused with
    /// `RATE_LIMITED` and `UNAVAILABLE`.
    pub fn incomplete_uploads(self, bytes_per_caller: u64, bytes_in_all: u64) -> Self {
        self.set(|settings| settings.uploads.incomplete = (bytes_per_caller, bytes_in_all))
    }

    /// With files of at most so many bytes, 100 MiB unless given, in forms, in streams and in resumable uploads. An upload that takes
    /// less, or more, says so: `#[upload(User, max_bytes = 1 << 20)]`.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// let builder = App::discover().upload_limit(2 << 30);
    /// ```
    pub fn upload_limit(self, bytes: u64) -> Self {
        self.set(|settings| settings.uploads.limit = bytes)
    }

    /// With at most so many uploads of one caller under way at once, 64 unless given; others are refused with `RATE_LIMITED`. Who is
    /// not verified is known by his address.
    pub fn max_uploads_per_caller(self, uploads: usize) -> Self {
        self.set(|settings| settings.uploads.per_caller = uploads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_have_so_many_places_each() {
        let app = App::new().in_memory().open().await.unwrap();
        let uploads = Uploads::new(Settings { per_caller: 2, ..Settings::default() }, &app);
        let (one, other) = (Peer("2001:db8::1".parse().ok()), Peer("2001:db8:0:1::1".parse().ok()));
        let beside = Peer("2001:db8::2".parse().ok());
        let anyone = Caller::anyone();
        let first = uploads.enter(&anyone, one).unwrap();
        let _second = uploads.enter(&anyone, one).unwrap();
        let code = |outcome: Result<UnderWay>| outcome.err().map(|error| error.code().clone());
        assert_eq!(code(uploads.enter(&anyone, one)), Some(ErrorCode::RateLimited));
        assert_eq!(code(uploads.enter(&anyone, beside)), Some(ErrorCode::RateLimited), "of the same network");
        assert_eq!(code(uploads.enter(&anyone, other)), None);
        drop(first);
        assert_eq!(code(uploads.enter(&anyone, one)), None);
        assert_eq!(uploads.under_way.len(), 1, "who has none is forgotten");
    }
}
