//! Uploads that are not whole yet, and for a while those that are, in a folder: `{id}.part` has the bytes, `{id}.upload` says what they
//! are for and how many of them count.
//!
//! Bytes are synced before the record says that they count, and the record is synced before anybody is told. What lies behind the
//! offset of the record was never acknowledged, and is cut off before the next byte is written; so neither a process that is killed
//! nor a plug that is pulled leaves a hole, or bytes that were not checked. The first line of a record is JSON, and is replaced as a
//! whole; a line is added for each offset, of which the last whole one holds.
//!
//! One at a time writes to an upload: whoever holds its turn, which also the write that is under way on another thread holds, so
//! that no request that was given up writes into the bytes of the next.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use bytes::BytesMut;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, OwnedMutexGuard, watch};

use super::checksum::Checksum;
use crate::core::clock::{Clock, millis};
use crate::error::{Error, ErrorCode, Result};
use crate::model::upload::File;

/// How many incomplete uploads there are of one caller, and of all.
const PER_CALLER: usize = 256;
const IN_ALL: usize = 10_000;
/// How many that are over are remembered, and for how long: for a client that has not heard.
const REMEMBERED: usize = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
/// The longest answer of a handler that is remembered, in bytes.
const ANSWER_BYTES: usize = 64 << 10;
/// How many bytes are written at once, and after how many it is made sure that they stay.
const WRITTEN_AT_ONCE: usize = 256 << 10;
const SYNCED_AT: u64 = 8 << 20;
/// How many lines a record has before it is written anew.
const LINES: u32 = 1024;
/// How often it is looked for what has expired.
const SWEPT_EVERY: Duration = Duration::from_secs(60);

/// What the program says of incomplete uploads.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// How many bytes one has that does not say it itself.
    pub(super) limit: u64,
    pub(super) bytes_per_caller: u64,
    pub(super) bytes_in_all: u64,
    /// After how long without another byte it is given up.
    pub(super) expiry: Duration,
}

/// The name of an upload: 128 random bits, which nobody guesses, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UploadId(u128);

impl UploadId {
    fn random() -> Result<Self> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|cause| Error::internal(cause.to_string()))?;
        Ok(Self(u128::from_be_bytes(bits)))
    }

    /// Only the one spelling, since it is a part of the names of files.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What is kept of an upload beside its bytes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// A hash of who may know of it; of nobody's, whoever knows the id may.
    owner: Option<String>,
    /// A hash of for whom it is counted.
    counted: String,
    length: Option<u64>,
    /// How many bytes it has at most, when it is not as many as any upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// The header `Upload-Metadata`, as it came.
    pub(super) metadata: String,
    offset: u64,
    /// In milliseconds since the Unix epoch.
    expires: u64,
    pub(super) outcome: Option<Outcome>,
}

/// How an upload has ended.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// The handler has answered this JSON; `None` when that was too long to be remembered.
    Done(Option<String>),
    /// The handler has refused it, by this problem.
    Failed(Value),
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Bytes are missing, or the handler has not taken it yet.
    Open,
    Done,
    Failed,
    /// It is not there any more.
    Gone,
}

#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) length: Option<u64>,
    /// So many bytes are here to stay.
    pub(super) offset: u64,
    pub(super) expires: u64,
    pub(super) phase: Phase,
    /// When bytes came last.
    pub(super) heard: Instant,
    lines: u32,
}

impl State {
    /// Whether all bytes are there.
    pub(super) fn is_whole(&self) -> bool {
        self.length == Some(self.offset)
    }
}

/// An upload.
pub(super) struct Upload {
    pub(super) id: UploadId,
    owner: Option<String>,
    counted: String,
    /// How many bytes it has at most.
    limit: u64,
    state: Mutex<State>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Asks whoever appends to come to an end.
    pub(super) hurry: Notify,
}

/// The right to write to an upload.
pub(super) type Turn = Arc<OwnedMutexGuard<()>>;

impl Upload {
    pub(super) fn state(&self) -> State {
        *self.state.lock()
    }

    /// How many bytes it has at most, as far as is known.
    pub(super) fn most(&self) -> u64 {
        self.state().length.unwrap_or(self.limit)
    }

    /// # Errors
    /// `PAYLOAD_TOO_LARGE`
    fn check_length(&self, length: u64) -> Result<()> {
        check_length(Some(length), self.limit)
    }

    pub(super) fn is_nobodys(&self) -> bool {
        self.owner.is_none()
    }

    /// The turn, when nobody has it.
    pub(super) fn try_turn(&self) -> Option<Turn> {
        self.turn.clone().try_lock_owned().ok().map(Arc::new)
    }

    /// The turn, when it is free within this time.
    pub(super) async fn turn_within(&self, time: Duration) -> Option<Turn> {
        tokio::time::timeout(time, self.turn.clone().lock_owned()).await.ok().map(Arc::new)
    }
}

/// What is held for a caller.
#[derive(Default)]
struct Held {
    uploads: usize,
    bytes: u64,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<UploadId, Arc<Upload>>,
    /// Of those that are not over.
    held: HashMap<String, Held>,
    all: Held,
    /// Those that are over, the oldest first.
    over: VecDeque<UploadId>,
}

impl Known {
    fn hold(&mut self, counted: &str, bytes: u64) {
        let held = self.held.entry(counted.to_owned()).or_default();
        for held in [held, &mut self.all] {
            held.uploads += 1;
            held.bytes = held.bytes.saturating_add(bytes);
        }
    }

    fn let_go(&mut self, counted: &str, bytes: u64) {
        if let Some(held) = self.held.get_mut(counted) {
            held.uploads = held.uploads.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(bytes);
            if held.uploads == 0 {
                self.held.remove(counted);
            }
        }
        self.all.uploads = self.all.uploads.saturating_sub(1);
        self.all.bytes = self.all.bytes.saturating_sub(bytes);
    }
}

/// # Errors
/// `PAYLOAD_TOO_LARGE`
fn check_length(length: Option<u64>, limit: u64) -> Result<()> {
    if length.is_some_and(|length| length > limit) {
        return Err(Error::new(ErrorCode::PayloadTooLarge).message(format!("an upload has {limit} bytes at most")));
    }
    Ok(())
}

/// All uploads of an application.
pub(super) struct Store {
    folder: PathBuf,
    /// Whether the folder goes with this.
    is_temporary: bool,
    clock: Clock,
    bounds: Bounds,
    known: Mutex<Known>,
    /// Dropped with this, which ends the sweeping.
    _ended: watch::Sender<()>,
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.is_temporary {
            // What cannot be removed now is in the place for what may be removed.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// What went wrong with the disk.
fn of_disk(cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorCode::Unavailable).message("there is no room for uploads").caused_by(cause)
        }
        _ => Error::internal(cause),
    }
}

/// Does what waits for the disk on a thread that may wait, and does it to its end.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R> + Send + 'static) -> Result<R> {
    tokio::task::spawn_blocking(work).await?
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    // Only for the owner: what callers send is not for others on this machine.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Store {
    /// Opens the folder, or one that is gone with the application, and finds what was left there.
    pub(super) async fn open(folder: Option<PathBuf>, clock: Clock, bounds: Bounds) -> Result<Arc<Self>> {
        let of_sweeping = clock.clone();
        let (store, mut ended) = blocking(move || Self::open_now(folder, clock, bounds)).await?;
        let store = Arc::new(store);
        let of_task = Arc::downgrade(&store);
        tokio::spawn(async move {
            loop {
                let Some(store) = of_task.upgrade() else { return };
                store.sweep().await;
                drop(store);
                let next = of_sweeping.now().saturating_add(millis(SWEPT_EVERY));
                tokio::select! {
                    () = of_sweeping.sleep_until(next) => {}
                    _ = ended.changed() => return,
                }
            }
        });
        Ok(store)
    }

    fn open_now(folder: Option<PathBuf>, clock: Clock, bounds: Bounds) -> Result<(Self, watch::Receiver<()>)> {
        let is_temporary = folder.is_none();
        let folder = match folder {
            Some(folder) => folder,
            None => std::env::temp_dir().join(format!("modeller-uploads-{}", UploadId::random()?)),
        };
        make_folder(&folder).map_err(of_disk)?;
        let (sender, ended) = watch::channel(());
        let known = Mutex::default();
        let store = Self { folder, is_temporary, clock, bounds, known, _ended: sender };
        store.load().map_err(of_disk)?;
        Ok((store, ended))
    }

    fn part(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.part"))
    }

    fn record_path(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.upload"))
    }

    /// Takes in what was left by the process before. Nothing that does not have a name of ours is touched.
    fn load(&self) -> io::Result<()> {
        let mut parts = Vec::new();
        let mut over = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some((id, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let Some(id) = UploadId::parse(id) else { continue };
            match kind {
                "part" => parts.push(id),
                // A record that was not whole yet, of which nobody was told.
                "tmp" => fs::remove_file(self.folder.join(&name))?,
                "upload" => match self.read_record(id) {
                    Ok(record) => {
                        let upload = self.known_before(id, &record);
                        if record.outcome.is_some() {
                            over.push((record.expires, id));
                        } else {
                            self.known.lock().hold(&record.counted, upload.most());
                        }
                        self.known.lock().by_id.insert(id, Arc::new(upload));
                    }
                    Err(cause) => tracing::warn!(%id, %cause, "the record of an upload cannot be read"),
                },
                _ => {}
            }
        }
        over.sort_unstable_by_key(|(expires, _)| *expires);
        let mut known = self.known.lock();
        known.over.extend(over.into_iter().map(|(_, id)| id));
        for id in parts {
            // Begun, and never recorded; or over, and not yet removed.
            // One whose record cannot be read is left to whoever can.
            let is_needed = match known.by_id.get(&id) {
                Some(upload) => upload.state().phase == Phase::Open,
                None => self.record_path(id).exists(),
            };
            if !is_needed {
                fs::remove_file(self.part(id))?;
            }
        }
        Ok(())
    }

    fn known_before(&self, id: UploadId, record: &Record) -> Upload {
        let phase = match record.outcome {
            None => Phase::Open,
            Some(Outcome::Done(_)) => Phase::Done,
            Some(Outcome::Failed(_)) => Phase::Failed,
        };
        let there = fs::metadata(self.part(id)).map_or(0, |metadata| metadata.len());
        // More cannot be there than there is, whatever has happened to the disk.
        let offset = if phase == Phase::Open { record.offset.min(there) } else { record.offset };
        upload(id, record, self.bounds.limit, offset, phase)
    }

    /// # Errors
    /// `RATE_LIMITED` when the caller has as much as he may have, `UNAVAILABLE` when all together have.
    fn check_room(&self, known: &Known, counted: &str, bytes: u64) -> Result<()> {
        let nothing = Held::default();
        let held = known.held.get(counted).unwrap_or(&nothing);
        if held.uploads >= PER_CALLER || held.bytes.saturating_add(bytes) > self.bounds.bytes_per_caller {
            return Err(Error::new(ErrorCode::RateLimited).message(
                "there are as many incomplete uploads as one caller may have; finish some, or take them back",
            ));
        }
        if known.all.uploads >= IN_ALL || known.all.bytes.saturating_add(bytes) > self.bounds.bytes_in_all {
            return Err(
                Error::new(ErrorCode::Unavailable).message("there are as many incomplete uploads as this server takes")
            );
        }
        Ok(())
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// Those of the bounds, `PAYLOAD_TOO_LARGE`, and those of the disk.
    pub(super) async fn create(
        self: &Arc<Self>,
        owner: Option<String>,
        counted: String,
        length: Option<u64>,
        limit: u64,
        metadata: String,
    ) -> Result<Arc<Upload>> {
        check_length(length, limit)?;
        let store = self.clone();
        blocking(move || {
            let (id, bytes) = (UploadId::random()?, length.unwrap_or(limit));
            {
                let mut known = store.known.lock();
                store.check_room(&known, &counted, bytes)?;
                known.hold(&counted, bytes);
            }
            let expires = store.expires();
            let limit = (limit != store.bounds.limit).then_some(limit);
            let record =
                Record { version: 1, owner, counted, length, limit, metadata, offset: 0, expires, outcome: None };
            let made = options().write(true).create_new(true).open(store.part(id)).map(drop);
            if let Err(cause) = made.and_then(|()| store.write_record(id, &record)) {
                store.known.lock().let_go(&record.counted, bytes);
                let _ = fs::remove_file(store.part(id));
                return Err(of_disk(cause));
            }
            let upload = Arc::new(upload(id, &record, store.bounds.limit, 0, Phase::Open));
            upload.state.lock().lines = 0;
            store.known.lock().by_id.insert(id, upload.clone());
            Ok(upload)
        })
        .await
    }

    fn expires(&self) -> u64 {
        self.clock.now().saturating_add(millis(self.bounds.expiry))
    }

    /// The upload of that id, for who may know of it.
    ///
    /// # Errors
    /// `NOT_FOUND`
    pub(super) fn find(&self, id: &str, owner: Option<&str>) -> Result<Arc<Upload>> {
        let found = UploadId::parse(id).and_then(|id| self.known.lock().by_id.get(&id).cloned());
        let now = self.clock.now();
        let is_his = |upload: &Upload| upload.owner.is_none() || upload.owner.as_deref() == owner;
        let is_there = |upload: &Upload| upload.state().phase != Phase::Gone && upload.state().expires > now;
        found
            .filter(|upload| is_his(upload) && is_there(upload))
            .ok_or_else(|| Error::not_found(ErrorCode::NotFound, id))
    }

    /// What is kept of an upload.
    pub(super) async fn record(self: &Arc<Self>, upload: &Upload) -> Result<Record> {
        let (store, id) = (self.clone(), upload.id);
        blocking(move || store.read_record(id).map_err(of_disk)).await
    }

    fn read_record(&self, id: UploadId) -> io::Result<Record> {
        let text = fs::read(self.record_path(id))?;
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut record: Record = serde_json::from_slice(lines.next().unwrap_or_default())?;
        for line in lines {
            // One that was not written to its end was not acknowledged.
            let line = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            let numbers = line.and_then(|line| line.split_once(' '));
            let Some((offset, expires)) = numbers else { break };
            let (Ok(offset), Ok(expires)) = (offset.parse(), expires.parse()) else { break };
            (record.offset, record.expires) = (offset, expires);
        }
        Ok(record)
    }

    /// Puts a record in the place of the one before, as a whole.
    fn write_record(&self, id: UploadId, record: &Record) -> io::Result<()> {
        let path = self.folder.join(format!("{id}.tmp"));
        let mut file = options().write(true).create(true).truncate(true).open(&path)?;
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&path, self.record_path(id))?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        // Elsewhere the names of files need no sync of their own.
        #[cfg(unix)]
        fs::File::open(&self.folder)?.sync_all()?;
        Ok(())
    }

    /// Says how long an upload is, which was not known before.
    pub(super) async fn set_length(self: &Arc<Self>, upload: &Arc<Upload>, turn: &Turn, length: u64) -> Result<()> {
        upload.check_length(length)?;
        let (store, upload, turn) = (self.clone(), upload.clone(), turn.clone());
        blocking(move || {
            let mut record = store.read_record(upload.id).map_err(of_disk)?;
            record.length = Some(length);
            store.write_record(upload.id, &record).map_err(of_disk)?;
            {
                let mut known = store.known.lock();
                known.let_go(&upload.counted, upload.limit);
                known.hold(&upload.counted, length);
                let mut state = upload.state.lock();
                state.length = Some(length);
                state.lines = 0;
            }
            drop(turn);
            Ok(())
        })
        .await
    }

    /// Begins to append behind what counts.
    pub(super) async fn append(
        self: &Arc<Self>,
        upload: &Arc<Upload>,
        turn: &Turn,
        checksum: Option<Checksum>,
    ) -> Result<Appending> {
        let (path, offset, held) = (self.part(upload.id), upload.state().offset, turn.clone());
        let file = blocking(move || {
            let opened = || {
                let mut file = options().write(true).open(path)?;
                // What was never acknowledged.
                file.set_len(offset)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(file)
            };
            let file = opened().map_err(of_disk)?;
            drop(held);
            Ok(Arc::new(file))
        })
        .await?;
        Ok(Appending {
            store: self.clone(),
            upload: upload.clone(),
            turn: turn.clone(),
            file,
            at: offset,
            waiting: BytesMut::new(),
            checksum,
        })
    }

    /// The bytes of an upload, all of them, from the disk.
    pub(super) async fn file(self: &Arc<Self>, upload: &Upload) -> Result<File> {
        let (path, length) = (self.part(upload.id), upload.state().offset);
        let file = blocking(move || fs::File::open(path).map_err(of_disk)).await?;
        let pieces = futures_util::stream::try_unfold((file, length), |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            blocking(move || {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(WRITTEN_AT_ONCE);
                let mut piece = vec![0; most];
                file.read_exact(&mut piece).map_err(of_disk)?;
                Ok(Some((Bytes::from(piece), (file, left - most as u64))))
            })
            .await
        });
        Ok(File::from_stream(pieces))
    }

    /// Ends an upload. Its bytes are not needed any more.
    pub(super) async fn end(self: &Arc<Self>, upload: &Arc<Upload>, turn: &Turn, outcome: Outcome) -> Result<()> {
        let outcome = match outcome {
            Outcome::Done(Some(answer)) if answer.len() > ANSWER_BYTES => Outcome::Done(None),
            other => other,
        };
        let (store, upload, turn) = (self.clone(), upload.clone(), turn.clone());
        blocking(move || {
            let mut record = store.read_record(upload.id).map_err(of_disk)?;
            record.expires = store.clock.now().saturating_add(millis(REMEMBERED_FOR));
            let phase = if matches!(outcome, Outcome::Done(_)) { Phase::Done } else { Phase::Failed };
            record.outcome = Some(outcome);
            store.write_record(upload.id, &record).map_err(of_disk)?;
            let _ = fs::remove_file(store.part(upload.id));
            let oldest = {
                let mut known = store.known.lock();
                let mut state = upload.state.lock();
                known.let_go(&upload.counted, state.length.unwrap_or(upload.limit));
                (state.phase, state.expires) = (phase, record.expires);
                known.over.push_back(upload.id);
                let oldest = if known.over.len() > REMEMBERED { known.over.pop_front() } else { None };
                oldest.and_then(|id| known.by_id.remove(&id))
            };
            if let Some(oldest) = oldest {
                oldest.state.lock().phase = Phase::Gone;
                let _ = fs::remove_file(store.record_path(oldest.id));
            }
            drop(turn);
            Ok(())
        })
        .await
    }

    /// Takes an upload away.
    pub(super) async fn remove(self: &Arc<Self>, upload: &Arc<Upload>, turn: Turn) -> Result<()> {
        let (store, upload) = (self.clone(), upload.clone());
        blocking(move || {
            let before = {
                let mut state = upload.state.lock();
                std::mem::replace(&mut state.phase, Phase::Gone)
            };
            if before == Phase::Gone {
                return Ok(());
            }
            {
                let mut known = store.known.lock();
                known.by_id.remove(&upload.id);
                if before == Phase::Open {
                    known.let_go(&upload.counted, upload.most());
                } else {
                    known.over.retain(|id| *id != upload.id);
                }
            }
            // The record first: bytes without one are removed at the next start.
            let removed = fs::remove_file(store.record_path(upload.id));
            let _ = fs::remove_file(store.part(upload.id));
            drop(turn);
            removed.map_err(of_disk)
        })
        .await
    }

    /// Takes away what has expired, unless somebody is at it.
    async fn sweep(self: &Arc<Self>) {
        let now = self.clock.now();
        let expired: Vec<_> =
            self.known.lock().by_id.values().filter(|upload| upload.state().expires <= now).cloned().collect();
        for upload in expired {
            let Some(turn) = upload.try_turn() else { continue };
            if let Err(error) = self.remove(&upload, turn).await {
                tracing::warn!(id = %upload.id, error = %error.for_log_with_causes(), "an expired upload cannot be removed");
            }
        }
    }
}

/// An upload as its record says. The record is written anew before a line is added: its last one may have been begun only.
fn upload(id: UploadId, record: &Record, usual: u64, offset: u64, phase: Phase) -> Upload {
    let state =
        State { length: record.length, offset, expires: record.expires, phase, heard: Instant::now(), lines: LINES };
    Upload {
        id,
        owner: record.owner.clone(),
        counted: record.counted.clone(),
        limit: record.limit.unwrap_or(usual),
        state: Mutex::new(state),
        turn: Arc::default(),
        hurry: Notify::new(),
    }
}

/// Bytes on their way to the end of an upload.
pub(super) struct Appending {
    store: Arc<Store>,
    upload: Arc<Upload>,
    turn: Turn,
    file: Arc<fs::File>,
    /// Where the next byte belongs.
    at: u64,
    waiting: BytesMut,
    /// What the bytes have to have; until then none of them counts.
    checksum: Option<Checksum>,
}

impl Appending {
    /// How many bytes may follow.
    pub(super) fn left(&self) -> u64 {
        self.upload.most().saturating_sub(self.at)
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE` when there are more than the upload has; those of the disk.
    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<()> {
        if piece.len() as u64 > self.left() {
            return Err(Error::new(ErrorCode::PayloadTooLarge).message("these are more bytes than the upload has"));
        }
        self.at += piece.len() as u64;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(piece);
        }
        self.waiting.extend_from_slice(piece);
        let offset = {
            let mut state = self.upload.state.lock();
            state.heard = Instant::now();
            state.offset
        };
        if self.waiting.len() >= WRITTEN_AT_ONCE {
            self.flush().await?;
        }
        if self.checksum.is_none() && self.at - offset >= SYNCED_AT {
            self.keep().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let (bytes, file, turn) = (self.waiting.split(), self.file.clone(), self.turn.clone());
        let bytes = blocking(move || {
            (&*file).write_all(&bytes).map_err(of_disk)?;
            drop(turn);
            Ok(bytes)
        })
        .await?;
        // Its room is used again.
        self.waiting = bytes;
        self.waiting.clear();
        Ok(())
    }

    /// Compares what came with the checksum that was promised.
    ///
    /// # Errors
    /// `CHECKSUM_MISMATCH`, of 460; then none of the bytes counts.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.checksum.take() {
            Some(checksum) => checksum.check(),
            None => Ok(()),
        }
    }

    /// Whether the bytes count only when they were checked.
    pub(super) fn is_unchecked(&self) -> bool {
        self.checksum.is_some()
    }

    /// Makes what came count, once it is sure to stay.
    pub(super) async fn keep(&mut self) -> Result<()> {
        self.flush().await?;
        let (store, upload, file) = (self.store.clone(), self.upload.clone(), self.file.clone());
        let (at, turn) = (self.at, self.turn.clone());
        blocking(move || {
            let expires = store.expires();
            let state = upload.state();
            let kept = || {
                file.sync_data()?;
                if state.lines >= LINES {
                    let mut record = store.read_record(upload.id)?;
                    (record.offset, record.expires) = (at, expires);
                    store.write_record(upload.id, &record)
                } else {
                    let mut record = options().append(true).open(store.record_path(upload.id))?;
                    record.write_all(format!("{at} {expires}\n").as_bytes())?;
                    record.sync_data()
                }
            };
            let kept = kept().map_err(of_disk);
            let mut state = upload.state.lock();
            if kept.is_err() {
                // A line may have been begun.
                state.lines = LINES;
                return kept;
            }
            (state.offset, state.expires) = (at, expires);
            state.lines = if state.lines >= LINES { 0 } else { state.lines + 1 };
            drop(state);
            drop(turn);
            Ok(())
        })
        .await
    }
}
