//! One folder, one file: the log, the head and the documents in SQLite.
//!
//! **What an answer means.** A group is one transaction, in WAL mode with `synchronous=FULL`: SQLite syncs the write-ahead log
//! before `COMMIT` returns, so what was answered survives the loss of the process and of the power, as far as the device
//! does what a sync asks. On macOS the stronger `F_FULLFSYNC` is used. Checkpoints are not left to SQLite, which passes over
//! a failure in one: a sync that failed may have lost what it was to keep although the next one succeeds, so after *any*
//! failed write or sync the engine takes nothing more, and leaves the write-ahead log in place for the next process.
//!
//! **What is in the file.** For each model a table `(_id, _rev, doc)` that any SQLite shell can read, named by the id of the
//! model; `_models` says which table is whose where the id cannot be the name of one, e.g. because `users` and `uSers` are
//! the same to SQLite. `_log` has a row for each group, `_head` the position, `_epochs` the schemas. The tables are the
//! truth and the log a window over the last [`SqliteOptions::log_age`] or [`SqliteOptions::log_bytes`].
//!
//! **Who may open it.** One engine at a time, by an OS lock on the file `lock`, which ends with the process however that
//! ends. A file of another program or of another version is refused unchanged, and so is one that contradicts itself:
//! opening compares the head with the log and recomputes the last hashes. A database is created under another name and
//! renamed, so an empty or headless `modeller.db` was cut off by something else, and is refused as well.
//!
//! Refused alternatives: memory-mapped reads (an I/O error becomes a signal), a second connection for reads (all reads that
//! matter are of memory), a rollback journal (two more syncs for each group).

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{
    CachedStatement, Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};
use uuid::Uuid;

use super::{diverged, failure, nothing_follows};
use crate::core::storage::{Append, EntryKind, Group, Hash, Head, LoggedGroup, Opened, Storage, StoredDocument, Tail};
use crate::error::{Error, Result};

pub(crate) const FILE: &str = "modeller.db";
const LOCK: &str = "lock";
/// "Mdlr", in the header of the file, where the `file` command and this engine look.
const APPLICATION: u32 = 0x4d64_6c72;
/// Raised with every change of the tables below.
const VERSION: u32 = 1;

const SCHEMA: &str = "
    CREATE TABLE _head (
        one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, epoch INTEGER NOT NULL, hash BLOB NOT NULL
    ) STRICT;
    INSERT INTO _head VALUES (1, 0, 0, zeroblob(32));
    -- Apart from the head, which is written with every group while schemas are large and rare.
    CREATE TABLE _epochs (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, schemas TEXT NOT NULL) STRICT;
    CREATE TABLE _models (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE) STRICT;
    -- `total` counts the bytes of all bodies up to here, so that the size of the window is a subtraction.
    CREATE TABLE _log (
        last INTEGER PRIMARY KEY, first INTEGER NOT NULL, epoch INTEGER NOT NULL, at INTEGER NOT NULL,
        total INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, before BLOB NOT NULL, hash BLOB NOT NULL, body TEXT NOT NULL
    ) STRICT;
";

/// Columns that [`LogRow::read`] takes.
const LOGGED: &str = "last, first, epoch, id, before, hash, body";

/// Log rows, and bytes of them, whose hashes are recomputed when a store is opened.
const VERIFIED_ROWS: usize = 64;
const VERIFIED_BYTES: usize = 16 << 20;

/// Pages in the write-ahead log after which they are moved into the file: SQLite's own default.
const CHECKPOINT_PAGES: usize = 1000;

/// Groups between two looks at the end of the log window, and what one look removes at most, so that no caller waits long
/// after a pause of a day.
const PRUNE_EVERY: usize = 256;
const PRUNE_AGAIN: usize = 16;
const PRUNE_ROWS: usize = 2048;
const PRUNE_BYTES: u64 = 8 << 20;

/// How a [`Sqlite`] keeps its log.
///
/// ```
/// use std::time::Duration;
/// use modeller::storage::{Sqlite, SqliteOptions};
/// let options = SqliteOptions::default().log_age(Duration::from_secs(3600)).log_bytes(64 << 20);
/// let storage = Sqlite::at("data").options(options);
/// # let _ = storage;
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    log_age: Duration,
    log_bytes: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { log_age: Duration::from_secs(24 * 60 * 60), log_bytes: 1 << 30 }
    }
}

impl SqliteOptions {
    /// How long a group stays in the log; 24 hours unless set. The last group always stays, and old ones leave by the way,
    /// while others are appended.
    #[must_use]
    pub fn log_age(mut self, age: Duration) -> Self {
        self.log_age = age;
        self
    }

    /// How many bytes of groups stay in the log; 1 GiB unless set.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }
}

/// The store in a folder.
///
/// Nothing is touched before [`Storage::open`], which creates the folder if need be; calls before that are refused. The
/// folder is held until the engine is dropped.
///
/// ```
/// use modeller::storage::{Sqlite, Storage};
/// # fn main() -> modeller::Result<()> {
/// # let folder = std::env::temp_dir().join(format!("modeller-doc-{}", std::process::id()));
/// let storage = Sqlite::at(&folder);
/// let opened = storage.open(&mut |document| {
///     println!("{} {}", document.model, document.id);
///     Ok(())
/// })?;
/// assert_eq!(opened.head.seq, 0);
///
/// let second = Sqlite::at(&folder).open(&mut |_| Ok(()));
/// assert_eq!(second.unwrap_err().code().as_str(), "UNAVAILABLE");
/// # drop(storage);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub struct Sqlite {
    folder: PathBuf,
    options: SqliteOptions,
    state: Mutex<Option<Database>>,
}

impl Sqlite {
    /// The store in this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), options: SqliteOptions::default(), state: Mutex::new(None) }
    }

    /// The same store with these options.
    #[must_use]
    pub fn options(mut self, options: SqliteOptions) -> Self {
        self.options = options;
        self
    }

    fn with<T>(&self, work: impl FnOnce(&mut Database) -> Result<T>) -> Result<T> {
        match self.state.lock().as_mut() {
            Some(database) => database.sound().and_then(|()| work(database)),
            None => Err(failure("UNAVAILABLE", "the store is not open")),
        }
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Storage for Sqlite {
    /// The rows are handed out as SQLite reads them; `load` must not call the engine.
    fn open(&self, load: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened> {
        let mut state = self.state.lock();
        if let Some(database) = state.as_mut() {
            database.sound()?;
            return database.load(load);
        }
        let mut database = Database::open(&self.folder, self.options.clone())?;
        let opened = database.load(load)?;
        *state = Some(database);
        Ok(opened)
    }

    fn append(&self, head: &Head, group: &Group) -> Result<Append> {
        self.with(|database| database.append(head, group))
    }

    fn find(&self, group: Uuid) -> Result<Option<Head>> {
        self.with(|database| database.find(group))
    }

    fn tail(&self, after: u64) -> Result<Tail> {
        self.with(|database| database.tail(after))
    }

    fn forget(&self, until: u64) -> Result<()> {
        self.with(|database| database.forget(until))
    }

    fn describe(&self) -> String {
        format!("sqlite, {}", self.folder.join(FILE).display())
    }
}

/// An open store. The order of the fields is that of their end: the lock goes last.
struct Database {
    connection: Connection,
    models: Models,
    file: PathBuf,
    options: SqliteOptions,
    failed: bool,
    /// Estimated pages in the write-ahead log since the last checkpoint.
    pages: usize,
    /// Groups until the window is looked at, and bytes appended since it was.
    prune_in: usize,
    unpruned: u64,
    _lock: Lock,
}

impl Database {
    fn open(folder: &Path, options: SqliteOptions) -> Result<Self> {
        let folder = reach(folder)?;
        let lock = lock(&folder)?;
        let file = folder.join(FILE);
        for name in [FILE, "modeller.db-wal", "modeller.db-shm", "modeller.db-journal"] {
            let path = folder.join(name);
            match fs::symlink_metadata(&path) {
                Ok(found) if !found.is_file() => {
                    return Err(failure("STORAGE_FOREIGN", format!("{} is not a plain file", path.display())));
                }
                Ok(found) if name != FILE && found.len() > 0 && !file.exists() => {
                    let what = format!("{} is there without {FILE}: both belong together", path.display());
                    return Err(failure("STORAGE_DAMAGED", what));
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(unreachable(&path, error)),
                _ => {}
            }
        }
        if !file.exists() {
            create(&folder, &file)?;
        }
        inspect(&file)?;

        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connect = || -> rusqlite::Result<(Connection, bool)> {
            let connection = Connection::open_with_flags(&file, flags)?;
            settle(&connection)?;
            let kept =
                connection.query_row("PRAGMA journal_mode=WAL", [], |row| Ok(row.get_ref(0)?.as_str()? == "wal"))?;
            let writable = !connection.is_readonly("main")?;
            Ok((connection, kept && writable))
        };
        let (connection, writable) = connect().map_err(|error| refused(&file, error))?;
        if !writable {
            let what =
                format!("{} cannot be written, or its file system cannot keep a write-ahead log", file.display());
            return Err(failure("UNAVAILABLE", what));
        }
        let mut database = Self {
            connection,
            models: Models::default(),
            file,
            options,
            failed: false,
            pages: 0,
            prune_in: 0,
            unpruned: 0,
            _lock: lock,
        };
        database.verify()?;
        // By now the write-ahead log has its name. SQLite syncs names as well, but goes on when that fails.
        sync_folder(&folder).map_err(|error| unreachable(&folder, error))?;
        Ok(database)
    }

    /// Refuses a store that contradicts itself. It only reads.
    fn verify(&mut self) -> Result<()> {
        let file = self.file.clone();
        let broken = |what: &str| {
            Err(failure(
                "STORAGE_DAMAGED",
                format!("{} contradicts itself: {what}; it was not changed", file.display()),
            ))
        };
        let read = || -> rusqlite::Result<_> {
            let connection = &self.connection;
            let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            let mark = (pragma("application_id")?, pragma("user_version")?);
            let head = read_head(connection)?;
            let epoch: Option<i64> = connection.query_row("SELECT max(number) FROM _epochs", [], |row| row.get(0))?;
            let mut statement = connection.prepare(&format!("SELECT {LOGGED} FROM _log ORDER BY last DESC"))?;
            let (mut rows, mut last, mut bytes) = (statement.query([])?, Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let row = LogRow::read(row)?;
                bytes += row.body.len();
                last.push(row);
                if last.len() >= VERIFIED_ROWS || bytes >= VERIFIED_BYTES {
                    break;
                }
            }
            Ok((mark, head, epoch, last))
        };
        let (mark, head, epoch, last) = read().map_err(|error| refused(&file, error))?;
        if mark != (i64::from(APPLICATION), i64::from(VERSION)) {
            return broken("the marks in its header do not last");
        }
        if epoch.unwrap_or(0) != to_column(head.epoch) {
            return broken("the head is not of the last epoch");
        }
        if last.first().map_or(Head::default(), |row| row.head) != head {
            return broken("the head is not the end of the log");
        }
        let mut later: Option<&LogRow> = None;
        for row in &last {
            if later.is_some_and(|later| later.before != row.head.hash || later.first != row.head.seq + 1) {
                return broken("two groups of the log do not follow one another");
            }
            later = Some(row);
            let Ok(group) = Group::from_body(row.id, &row.body) else {
                return broken("a group of the log cannot be read");
            };
            let first = group.entries.first().map(|entry| entry.seq);
            let before = Head { seq: row.first - 1, epoch: row.head.epoch, hash: row.before };
            if first != Some(row.first) || group.head_after(&before, row.body.as_bytes()) != row.head {
                return broken("a group of the log has another hash than it should");
            }
        }
        Ok(())
    }

    fn load(&mut self, load: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened> {
        let file = &self.file;
        let refused = |error| refused(file, error);
        // One read transaction, so that the documents and the head are of one moment.
        let transaction = self.connection.transaction().map_err(refused)?;
        let head = read_head(&transaction).map_err(refused)?;
        let schemas = transaction
            .query_row("SELECT schemas FROM _epochs WHERE number = ?", [to_column(head.epoch)], |row| row.get(0))
            .optional()
            .map_err(refused)?;
        self.models = Models::read(&transaction).map_err(refused)?;
        for (model, table) in &self.models.0 {
            let mut statement = transaction.prepare(&table.select).map_err(refused)?;
            let mut rows = statement.query([]).map_err(refused)?;
            while let Some(row) = rows.next().map_err(refused)? {
                let (id, rev, doc) = document(row).map_err(refused)?;
                load(StoredDocument { model, id, rev, doc })?;
            }
        }
        Ok(Opened { head, schemas })
    }

    fn append(&mut self, head: &Head, group: &Group) -> Result<Append> {
        group.check(head)?;
        let body = group.body()?;
        let next = group.head_after(head, body.as_bytes());
        match self.write(head, group, &body, next) {
            Ok(true) => {}
            Ok(false) => return self.behind(head),
            Err(error) => return Err(self.give_up(error)),
        }
        self.unpruned += body.len() as u64;
        let changes: usize = group.entries.iter().map(|entry| changes(&entry.kind).len()).sum();
        // The row of a document and its index; a body is in the log and, nearly all of it, in the documents.
        self.pages += 4 + 2 * changes + body.len() / 2048;
        if self.pages >= CHECKPOINT_PAGES {
            self.pages = 0;
            // The group is durable whatever comes of this; but if it fails, it was the last.
            let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if let Err(error) = checkpoint {
                let error = self.give_up(error);
                tracing::error!(%error, file = %self.file.display(), "checkpoint failed; the store takes no more");
            }
        }
        Ok(Append::Appended(next))
    }

    /// Writes the group, if the log ends at `head`; false if it does not.
    fn write(&mut self, head: &Head, group: &Group, body: &str, next: Head) -> rusqlite::Result<bool> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let moved = prepare(
            &transaction,
            "UPDATE _head SET seq = ?1, epoch = ?2, hash = ?3 WHERE one = 1 AND seq = ?4 AND epoch = ?5 AND hash = ?6",
        )?
        .execute(params![
            to_column(next.seq),
            to_column(next.epoch),
            next.hash,
            to_column(head.seq),
            to_column(head.epoch),
            head.hash
        ])?;
        if moved == 0 {
            transaction.rollback()?;
            return Ok(false);
        }
        let at = group.entries.last().map_or(0, |entry| entry.at);
        prepare(
            &transaction,
            "INSERT INTO _log (last, first, epoch, at, total, id, before, hash, body) VALUES (?1, ?2, ?3, ?4,
             coalesce((SELECT total FROM _log WHERE last = ?5), 0) + ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            to_column(next.seq),
            to_column(head.seq + 1),
            to_column(next.epoch),
            to_column(at),
            to_column(head.seq),
            body.len() as i64,
            group.id.to_string(),
            head.hash,
            next.hash,
            body
        ])?;
        let created = write_documents(&transaction, &self.models, group)?;
        if self.prune_in == 0 {
            let budget = PRUNE_BYTES.max(2 * self.unpruned);
            let oldest = at.saturating_sub(u64::try_from(self.options.log_age.as_millis()).unwrap_or(u64::MAX));
            let done = prune(&transaction, next.seq, oldest, self.options.log_bytes, budget)?;
            (self.prune_in, self.unpruned) = (if done { PRUNE_EVERY } else { PRUNE_AGAIN }, 0);
        } else {
            self.prune_in -= 1;
        }
        transaction.commit()?;
        self.models.0.extend(created.0);
        Ok(true)
    }

    /// Drops the groups up to and including this one, and then all that the file holds beside its tables: SQLite leaves what was
    /// deleted in free pages, and in free places of pages, until something else needs them.
    fn forget(&mut self, until: u64) -> Result<()> {
        let head = self.head()?;
        if head.seq <= until {
            return Err(nothing_follows(until));
        }
        let dropped = self.connection.execute("DELETE FROM _log WHERE last <= ?", [to_column(until)]);
        if let Err(error) = dropped.and_then(|_| self.connection.execute_batch("VACUUM")) {
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
                // It was undone, and every group is as durable as before.
                let what = "there is no room to write the store anew";
                return Err(failure("UNAVAILABLE", what).caused_by(error));
            }
            return Err(self.give_up(error));
        }
        // What was written last is still in the write-ahead log, and so is what was there before it.
        let emptied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
            .map_err(|error| self.give_up(error))?;
        if !emptied {
            let what = "another process reads the store, and keeps its write-ahead log from being emptied";
            return Err(failure("UNAVAILABLE", what));
        }
        self.pages = 0;
        Ok(())
    }

    /// Takes note of a failed write. What is there now is for the next process to find out.
    fn give_up(&mut self, error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            // Nothing was written: another process, e.g. a shell, held the file for longer than the engine waits.
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                failure("UNAVAILABLE", "another process is writing to the store").caused_by(error)
            }
            // The transaction was rolled back, and nothing says that the device is ill.
            Some(rusqlite::ErrorCode::ConstraintViolation) => {
                failure("STORAGE_GROUP", "the store refuses the group").status(500).caused_by(error)
            }
            _ => {
                self.failed = true;
                // Else closing would move pages of which it is not known whether they were kept.
                let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                failure("STORAGE_FAILED", "the group could not be written").caused_by(error)
            }
        }
    }

    fn sound(&self) -> Result<()> {
        if self.failed {
            return Err(failure(
                "STORAGE_FAILED",
                "a write has failed; the store takes no more until it is opened anew",
            ));
        }
        Ok(())
    }

    fn behind(&self, caller: &Head) -> Result<Append> {
        let followed = || -> rusqlite::Result<_> {
            let follows = "SELECT before = ?2 AND epoch >= ?3 FROM _log WHERE last > ?1 ORDER BY last LIMIT 1";
            let wanted = params![to_column(caller.seq), caller.hash, to_column(caller.epoch)];
            self.connection.query_row(follows, wanted, |row| row.get(0)).optional()
        };
        if followed().map_err(|error| refused(&self.file, error))? != Some(true) {
            return match self.tail(caller.seq)? {
                Tail::Groups(_) => Err(diverged(caller.seq, self.head()?.seq)),
                Tail::Truncated => Ok(Append::Truncated),
            };
        }
        match self.tail(caller.seq)? {
            Tail::Groups(groups) => Ok(Append::Behind(groups)),
            Tail::Truncated => Err(diverged(caller.seq, self.head()?.seq)),
        }
    }

    fn head(&self) -> Result<Head> {
        read_head(&self.connection).map_err(|error| refused(&self.file, error))
    }

    fn find(&self, group: Uuid) -> Result<Option<Head>> {
        let find = || -> rusqlite::Result<_> {
            let mut statement = prepare(&self.connection, "SELECT last, epoch, hash FROM _log WHERE id = ?")?;
            statement.query_row([group.to_string()], head_of).optional()
        };
        find().map_err(|error| refused(&self.file, error))
    }

    fn tail(&self, after: u64) -> Result<Tail> {
        let head = self.head()?;
        if after == head.seq {
            return Ok(Tail::Groups(Vec::new()));
        }
        let Ok(column) = i64::try_from(after) else { return Err(diverged(after, head.seq)) };
        let read = || -> rusqlite::Result<_> {
            let oldest = "SELECT first FROM _log ORDER BY last LIMIT 1";
            let oldest: Option<i64> = self.connection.query_row(oldest, [], |row| row.get(0)).optional()?;
            let mut groups = Vec::new();
            if oldest.is_none_or(|oldest| column + 1 >= oldest) {
                let sql = format!("SELECT {LOGGED} FROM _log WHERE last > ? ORDER BY last");
                let mut statement = prepare(&self.connection, &sql)?;
                let mut rows = statement.query([column])?;
                while let Some(row) = rows.next()? {
                    groups.push(LogRow::read(row)?);
                }
            }
            Ok((oldest, groups))
        };
        let (oldest, rows) = read().map_err(|error| refused(&self.file, error))?;
        if oldest.is_some_and(|oldest| column + 1 < oldest) {
            return Ok(Tail::Truncated);
        }
        if rows.first().is_none_or(|row| row.first != after + 1) {
            return Err(diverged(after, head.seq));
        }
        let groups = rows.into_iter().map(|row| {
            let group = Group::from_body(row.id, &row.body)
                .map_err(|error| failure("STORAGE_DAMAGED", "a group of the log cannot be read").caused_by(error))?;
            Ok(LoggedGroup { group, head: row.head })
        });
        groups.collect::<Result<_>>().map(Tail::Groups)
    }
}

/// The folder, made if need be, by a path without links: SQLite is told not to follow any.
fn reach(folder: &Path) -> Result<PathBuf> {
    if fs::metadata(folder).is_ok_and(|found| !found.is_dir()) {
        return Err(failure("UNAVAILABLE", format!("{} is a file, and a folder is needed", folder.display())));
    }
    fs::create_dir_all(folder).and_then(|()| folder.canonicalize()).map_err(|error| unreachable(folder, error))
}

/// That nobody else opens the folder.
struct Lock(File);

impl Drop for Lock {
    /// The lock is that of the open file (flock(2)), which a child of another thread has as well between `fork` and `exec`. So to
    /// close it here alone would leave the folder held for that long.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn lock(folder: &Path) -> Result<Lock> {
    let path = folder.join(LOCK);
    if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Err(failure("STORAGE_FOREIGN", format!("{} is not a plain file", path.display())));
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| unreachable(folder, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder: Option<u32> = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            let by = holder.map_or_else(String::new, |process| format!(" by process {process}"));
            let what = format!("the folder {} is held{by}; one engine at a time may open it", folder.display());
            return Err(failure("UNAVAILABLE", what));
        }
        Err(TryLockError::Error(error)) => return Err(unreachable(folder, error)),
    }
    // For the eye only: the lock is what counts, so a full device is no reason to stop here.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock(file))
}

/// Makes an empty database under another name and moves it into place, so that there never is half of one.
fn create(folder: &Path, file: &Path) -> Result<()> {
    let draft = folder.join("modeller.db.new");
    let clear = || {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            match fs::remove_file(folder.join(format!("modeller.db.new{suffix}"))) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(unreachable(folder, error)),
                _ => {}
            }
        }
        Ok(())
    };
    clear()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let fill = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(&draft, flags)?;
        settle(&connection)?;
        let marks = format!("PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION};");
        connection.execute_batch(&format!("BEGIN; {marks} {SCHEMA} COMMIT; PRAGMA journal_mode=WAL;"))?;
        connection.close().map_err(|(_, error)| error)
    };
    fill().map_err(|error| refused(&draft, error))?;
    let place = || {
        OpenOptions::new().write(true).open(&draft)?.sync_all()?;
        fs::rename(&draft, file)?;
        sync_folder(folder)?;
        // The folder itself may be new as well.
        folder.parent().map_or(Ok(()), sync_folder)
    };
    place().map_err(|error| unreachable(folder, error))
}

/// Makes names in a folder durable, where the system has a way to say so.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Whether the file is ours, by its header alone: to ask SQLite would be to let it repair what is not ours.
/// The fields are at <https://www.sqlite.org/fileformat2.html#the_database_header>.
fn inspect(file: &Path) -> Result<()> {
    let mut header = Vec::with_capacity(100);
    File::open(file)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(|error| unreachable(file, error))?;
    let shown = file.display();
    if header.is_empty() {
        return Err(failure("STORAGE_DAMAGED", format!("{shown} is empty: it was cut off; it was not changed")));
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        let what = format!("{shown} is not a database that this engine made; it was not changed");
        return Err(failure("STORAGE_FOREIGN", what));
    }
    let number =
        |at: usize| header.get(at..at + 4).map_or(0, |four| four.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)));
    let (application, version) = (number(68), number(60));
    if application != APPLICATION {
        let what = format!("{shown} is a database of another application ({application:#x}); it was not changed");
        return Err(failure("STORAGE_FOREIGN", what));
    }
    if version != VERSION {
        let what = format!("{shown} has the version {version}, and this engine reads {VERSION}; it was not changed");
        return Err(failure("STORAGE_VERSION", what).detail("found", version).detail("supported", VERSION));
    }
    Ok(())
}

/// The settings that belong to a connection and not to the file.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Nothing that somebody left in the file runs here.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA fullfsync=1; PRAGMA checkpoint_fullfsync=1; PRAGMA wal_autocheckpoint=0;
         PRAGMA mmap_size=0; PRAGMA cell_size_check=1; PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-16384;",
    )
}

/// A failure of SQLite when a file is opened or read, by what its user can do about it.
fn refused(file: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let shown = file.display();
    match error.sqlite_error_code() {
        Some(
            Code::CannotOpen
            | Code::PermissionDenied
            | Code::ReadOnly
            | Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::DiskFull
            | Code::SystemIoFailure
            | Code::OutOfMemory,
        ) => failure("UNAVAILABLE", format!("{shown} cannot be used: {error}")),
        _ => failure("STORAGE_DAMAGED", format!("{shown} cannot be read: {error}")),
    }
    .caused_by(error)
}

fn unreachable(path: &Path, error: std::io::Error) -> Error {
    failure("UNAVAILABLE", format!("{} cannot be used: {error}", path.display())).caused_by(error)
}

/// Every statement of an append and a find passes here.
fn prepare<'c>(connection: &'c Connection, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
    connection.prepare_cached(sql)
}

/// Numbers are checked by [`Group::check`] before they come here.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_column(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

fn hash_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Hash> {
    row.get(at)
}

/// A head from `seq, epoch, hash`.
fn head_of(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { seq: from_column(row, 0)?, epoch: from_column(row, 1)?, hash: hash_of(row, 2)? })
}

fn read_head(connection: &Connection) -> rusqlite::Result<Head> {
    connection.query_row("SELECT seq, epoch, hash FROM _head", [], head_of)
}

fn document<'r>(row: &'r Row<'_>) -> rusqlite::Result<(&'r str, u64, &'r str)> {
    Ok((row.get_ref(0)?.as_str()?, from_column(row, 1)?, row.get_ref(2)?.as_str()?))
}

fn changes(kind: &EntryKind) -> &[crate::core::storage::StoredChange] {
    match kind {
        EntryKind::Commit { changes, .. } => changes,
        EntryKind::Epoch { .. } => &[],
    }
}

/// A row of `_log`.
struct LogRow {
    head: Head,
    first: u64,
    id: Uuid,
    before: Hash,
    body: String,
}

impl LogRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id = Uuid::try_parse(row.get_ref(3)?.as_str()?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into()))?;
        let first = from_column(row, 1)?;
        if first == 0 {
            return Err(rusqlite::Error::IntegralValueOutOfRange(1, 0));
        }
        let head = Head { seq: from_column(row, 0)?, epoch: from_column(row, 2)?, hash: hash_of(row, 5)? };
        Ok(Self { head, first, id, before: hash_of(row, 4)?, body: row.get(6)? })
    }
}

/// The statements on the table of each model.
#[derive(Default)]
struct Models(HashMap<String, Table>);

struct Table {
    select: String,
    upsert: String,
    delete: String,
}

impl Models {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT id, name FROM _models")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, Table::named(row.get_ref(1)?.as_str()?))))?;
        rows.collect::<rusqlite::Result<_>>().map(Self)
    }
}

impl Table {
    fn named(name: &str) -> Self {
        let name = quoted(name);
        Self {
            select: format!("SELECT _id, _rev, doc FROM {name}"),
            upsert: format!(
                "INSERT INTO {name} (_id, _rev, doc) VALUES (?1, ?2, ?3)
                 ON CONFLICT (_id) DO UPDATE SET _rev = excluded._rev, doc = excluded.doc"
            ),
            delete: format!("DELETE FROM {name} WHERE _id = ?1"),
        }
    }

    /// Makes the table of a new model.
    fn create(connection: &Connection, model: &str) -> rusqlite::Result<Self> {
        let taken = |name: &str| {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE)";
            connection.query_row(sql, [name], |row| row.get::<_, bool>(0))
        };
        // `_…` is ours and `sqlite_…` SQLite's; every other id may name its table, if it is the first to do so.
        let own = model.starts_with('_') || model.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("sqlite_"));
        let base = if own { format!("~{model}") } else { model.to_owned() };
        let (mut name, mut nth) = (base.clone(), 1);
        while taken(&name)? {
            nth += 1;
            name = format!("{base}~{nth}");
        }
        connection.execute_batch(&format!(
            "CREATE TABLE {} (_id TEXT PRIMARY KEY, _rev INTEGER NOT NULL, doc TEXT NOT NULL) STRICT",
            quoted(&name)
        ))?;
        connection.execute("INSERT INTO _models (id, name) VALUES (?, ?)", [model, &name])?;
        Ok(Self::named(&name))
    }
}

/// An identifier of SQL. Quotes are doubled; NUL, which nothing can quote, is refused by [`Group::check`].
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Brings documents and epochs up to the group, and answers the tables that it made.
fn write_documents(transaction: &Transaction<'_>, models: &Models, group: &Group) -> rusqlite::Result<Models> {
    /// Statements are made when the group first needs them, and serve all of its changes.
    #[derive(Default)]
    struct Ready<'c> {
        upsert: Option<CachedStatement<'c>>,
        delete: Option<CachedStatement<'c>>,
    }
    let mut created = Models::default();
    let mut ready: HashMap<&str, Ready<'_>> = HashMap::new();
    for entry in &group.entries {
        if let EntryKind::Epoch { number, schemas } = &entry.kind {
            prepare(transaction, "INSERT INTO _epochs (number, seq, schemas) VALUES (?, ?, ?)")?.execute(params![
                to_column(*number),
                to_column(entry.seq),
                schemas
            ])?;
        }
        for change in changes(&entry.kind) {
            let model = change.model.as_str();
            let table = match models.0.get(model) {
                Some(table) => table,
                // There is nothing to delete in a table that was never made.
                None if change.doc.is_none() && !created.0.contains_key(model) => continue,
                None => match created.0.entry(model.to_owned()) {
                    Slot::Occupied(table) => table.into_mut(),
                    Slot::Vacant(slot) => slot.insert(Table::create(transaction, model)?),
                },
            };
            let ready = ready.entry(model).or_default();
            match &change.doc {
                Some(doc) => {
                    let upsert = match &mut ready.upsert {
                        Some(statement) => statement,
                        empty => empty.insert(prepare(transaction, &table.upsert)?),
                    };
                    upsert.execute(params![change.id, to_column(change.rev), doc])?;
                }
                None => {
                    let delete = match &mut ready.delete {
                        Some(statement) => statement,
                        empty => empty.insert(prepare(transaction, &table.delete)?),
                    };
                    delete.execute([&change.id])?;
                }
            }
        }
    }
    Ok(created)
}

/// Removes groups from the start of the log that are older than `oldest` or lie beyond `bytes`, about `budget` bytes of them
/// at most and never the one that ends at `head`. Answers whether it got to the end of what should go.
fn prune(transaction: &Transaction<'_>, head: u64, oldest: u64, bytes: u64, budget: u64) -> rusqlite::Result<bool> {
    let newest: i64 =
        transaction.query_row("SELECT total FROM _log WHERE last = ?", [to_column(head)], |row| row.get(0))?;
    let (bytes, budget) = (to_column(bytes), to_column(budget));
    let mut statement = transaction.prepare("SELECT last, at, total, octet_length(body) FROM _log ORDER BY last")?;
    let mut rows = statement.query([])?;
    let (mut cut, mut count, mut freed, mut done) = (None, 0, 0i64, true);
    while let Some(row) = rows.next()? {
        let (last, at, total, size): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let expired = at < to_column(oldest) || newest - total + size > bytes;
        if !expired || last >= to_column(head) {
            break;
        }
        if count >= PRUNE_ROWS || freed >= budget {
            done = false;
            break;
        }
        (cut, count, freed) = (Some(last), count + 1, freed + size);
    }
    drop(rows);
    if let Some(cut) = cut {
        transaction.execute("DELETE FROM _log WHERE last <= ?", [cut])?;
    }
    Ok(done)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and reports times"
)]
mod tests {
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::core::storage::{Entry, StoredChange};

    /// A folder that is gone at the end of its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let nth = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("modeller-sqlite-{}-{nth}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn open(&self) -> Result<(Sqlite, Opened)> {
            let engine = Sqlite::at(&self.0);
            let opened = engine.open(&mut |_| Ok(()))?;
            Ok((engine, opened))
        }

        /// The error of opening it, which names the folder and changes nothing in the file.
        fn refused(&self) -> (String, String) {
            let before = fs::read(self.file(FILE)).ok();
            let error = self.open().err().unwrap_or_else(|| panic!("this store should be refused"));
            assert_eq!(fs::read(self.file(FILE)).ok(), before, "a refused file is left as it was");
            let name = self.0.file_name().unwrap().to_string_lossy().into_owned();
            assert!(error.text().contains(&name), "the error says where: {error}");
            (error.code().as_str().to_owned(), error.text().to_owned())
        }

        /// A store with some groups, closed.
        fn filled(groups: u64) -> (Self, Head) {
            let folder = Self::new();
            let (engine, opened) = folder.open().unwrap();
            let mut head = opened.head;
            for _ in 0..groups {
                head = append(&engine, &head);
            }
            (folder, head)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn group(head: &Head, text: &str) -> Group {
        let seq = head.seq + 1;
        let doc = Some(format!(r#"{{"n":{seq},"text":"{text}"}}"#));
        let change = StoredChange { model: "users".into(), id: format!("u{}", seq % 7), rev: seq, doc };
        let kind = EntryKind::Commit { changes: vec![change], published: vec![] };
        Group { id: Uuid::from_u128(u128::from(seq)), entries: vec![Entry { seq, at: seq, kind }] }
    }

    fn append(engine: &dyn Storage, head: &Head) -> Head {
        match engine.append(head, &group(head, "")).unwrap() {
            Append::Appended(next) => next,
            other => panic!("{other:?}"),
        }
    }

    fn documents(engine: &dyn Storage) -> Vec<(String, u64, String)> {
        let mut all = Vec::new();
        engine
            .open(&mut |one| {
                all.push((one.id.to_owned(), one.rev, one.doc.to_owned()));
                Ok(())
            })
            .unwrap();
        all.sort();
        all
    }

    fn raw(file: &Path) -> Connection {
        Connection::open(file).unwrap()
    }

    #[test]
    fn conforms() {
        super::super::conformance::run(&|| {
            let folder = Rc::new(Folder::new());
            Box::new(move || Box::new(Sqlite::at(&folder.0)))
        });
    }

    #[test]
    fn a_folder_is_held_by_one_engine() {
        let folder = Folder::new();
        let (engine, _) = folder.open().unwrap();
        let (code, text) = folder.refused();
        assert_eq!(code, "UNAVAILABLE");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(engine);
        folder.open().unwrap();
    }

    #[test]
    fn a_folder_is_let_go_while_a_child_has_its_files() {
        let folder = Folder::new();
        drop(folder.open().unwrap());
        let held = lock(&folder.0).unwrap();
        // What a child has until it is another program.
        let inherited = held.0.try_clone().unwrap();
        assert!(lock(&folder.0).is_err());
        drop(held);
        drop(lock(&folder.0).unwrap());
        drop(inherited);
    }

    #[test]
    fn parents_are_made_and_files_in_their_place_refused() {
        let folder = Folder::new();
        Sqlite::at(folder.file("a/b/c")).open(&mut |_| Ok(())).unwrap();
        fs::write(folder.file("file"), "x").unwrap();
        for path in ["file", "file/below"] {
            let error = Sqlite::at(folder.file(path)).open(&mut |_| Ok(())).unwrap_err();
            assert_eq!(error.code().as_str(), "UNAVAILABLE", "{error}");
        }
        #[cfg(target_os = "linux")]
        {
            let error = Sqlite::at("/proc/modeller").open(&mut |_| Ok(())).unwrap_err();
            assert_eq!(error.code().as_str(), "UNAVAILABLE", "{error}");
        }
    }

    #[test]
    fn nothing_happens_before_open() {
        let folder = Folder::new();
        let engine = Sqlite::at(&folder.0);
        assert!(engine.tail(0).is_err() && engine.find(Uuid::nil()).is_err());
        assert!(engine.append(&Head::default(), &group(&Head::default(), "")).is_err());
        assert!(!folder.0.exists());
    }

    #[test]
    fn foreign_files_are_left_alone() {
        let cases: [(&str, Vec<u8>); 4] = [
            ("STORAGE_DAMAGED", vec![]),
            ("STORAGE_FOREIGN", b"hello".to_vec()),
            ("STORAGE_FOREIGN", vec![0; 8192]),
            ("STORAGE_FOREIGN", (0..20_000u32).map(|n| (n * 31 % 251) as u8).collect()),
        ];
        for (code, bytes) in cases {
            let folder = Folder::new();
            fs::create_dir_all(&folder.0).unwrap();
            fs::write(folder.file(FILE), bytes).unwrap();
            assert_eq!(folder.refused().0, code);
        }
        let folder = Folder::new();
        fs::create_dir_all(&folder.0).unwrap();
        let other = raw(&folder.file(FILE));
        other.execute_batch("PRAGMA application_id=1234; CREATE TABLE users (a)").unwrap();
        drop(other);
        let (code, text) = folder.refused();
        assert!(code == "STORAGE_FOREIGN" && text.contains("0x4d2"), "{text}");
        fs::remove_file(folder.file(FILE)).unwrap();
        fs::create_dir(folder.file(FILE)).unwrap();
        assert_eq!(folder.refused().0, "STORAGE_FOREIGN");
    }

    #[test]
    fn another_version_is_left_alone() {
        for version in [0, 2] {
            let (folder, _) = Folder::filled(1);
            raw(&folder.file(FILE)).pragma_update(None, "user_version", version).unwrap();
            let (code, text) = folder.refused();
            assert_eq!(code, "STORAGE_VERSION");
            assert!(text.contains(&format!("version {version}")) && text.contains("reads 1"), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let (folder, _) = Folder::filled(1);
        let other = Folder::new();
        fs::create_dir_all(&other.0).unwrap();
        for name in [FILE, "modeller.db-wal", LOCK] {
            std::os::unix::fs::symlink(folder.file(FILE), other.file(name)).unwrap();
            let error = other.open().unwrap_err();
            assert_eq!(error.code().as_str(), "STORAGE_FOREIGN", "{error}");
            fs::remove_file(other.file(name)).unwrap();
            let _ = fs::remove_file(other.file(LOCK));
        }
        // A link to the folder is the user's own choice.
        let link = other.file("link");
        std::os::unix::fs::symlink(&folder.0, &link).unwrap();
        assert_eq!(Sqlite::at(&link).open(&mut |_| Ok(())).unwrap().head.seq, 1);
    }

    #[test]
    fn a_log_without_its_database_is_not_started_over() {
        let (folder, _) = Folder::filled(1);
        fs::rename(folder.file(FILE), folder.file("modeller.db-wal")).unwrap();
        assert_eq!(folder.refused().0, "STORAGE_DAMAGED");
        assert!(!folder.file(FILE).exists());
    }

    #[test]
    fn a_draft_that_was_left_is_made_anew() {
        let folder = Folder::new();
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.file("modeller.db.new"), "half of a databa").unwrap();
        fs::write(folder.file("modeller.db.new-journal"), "half").unwrap();
        folder.open().unwrap();
        assert!(!folder.file("modeller.db.new").exists() && !folder.file("modeller.db.new-journal").exists());
    }

    #[test]
    fn a_store_that_contradicts_itself_is_refused() {
        for (what, sql) in [
            ("the head", "UPDATE _head SET seq = seq + 1"),
            ("the head", "UPDATE _head SET hash = zeroblob(32)"),
            ("the head", "DELETE FROM _log WHERE last = (SELECT max(last) FROM _log)"),
            ("the head", "DELETE FROM _log"),
            ("follow", "DELETE FROM _log WHERE last = 3"),
            ("hash", "UPDATE _log SET before = zeroblob(32) WHERE last = 4"),
            ("hash", "UPDATE _log SET body = replace(body, 'text', 'next') WHERE last = 2"),
            ("hash", "UPDATE _log SET id = '00000000-0000-0000-0000-0000000000ff' WHERE last = 2"),
            ("read", "UPDATE _log SET body = '[' WHERE last = 2"),
            ("read", "UPDATE _log SET id = 'x' WHERE last = 2"),
            ("read", "UPDATE _head SET hash = x'00'"),
            ("read", "DELETE FROM _head"),
            ("read", "DROP TABLE _epochs"),
            ("epoch", "INSERT INTO _epochs VALUES (3, 1, '{}')"),
            ("read", "DROP TABLE users"),
            ("read", "UPDATE users SET doc = CAST(x'ff' AS TEXT)"),
            ("", "UPDATE users SET _rev = -1"),
        ] {
            let (folder, _) = Folder::filled(5);
            raw(&folder.file(FILE)).execute_batch(sql).unwrap();
            // Leave no log behind that would be moved on opening.
            raw(&folder.file(FILE)).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            let (code, text) = folder.refused();
            assert!(code == "STORAGE_DAMAGED" && text.contains(what), "{sql}: {code} {text}");
        }
    }

    #[test]
    fn a_file_cut_off_or_full_of_noise_opens_or_is_refused() {
        let (folder, head) = Folder::filled(40);
        let whole = fs::read(folder.file(FILE)).unwrap();
        let check = |bytes: &[u8], what: &str| {
            let copy = Folder::new();
            fs::create_dir_all(&copy.0).unwrap();
            fs::write(copy.file(FILE), bytes).unwrap();
            match copy.open() {
                Ok((engine, opened)) => {
                    assert_eq!(opened.head, head, "{what}");
                    let _ = (engine.tail(0), engine.append(&head, &group(&head, "")));
                    false
                }
                Err(error) => {
                    let code = error.code().as_str();
                    assert!(code.starts_with("STORAGE_") || code == "UNAVAILABLE", "{what}: {error}");
                    true
                }
            }
        };
        for length in (0..whole.len()).step_by(whole.len() / 37) {
            assert!(check(&whole[..length], &format!("cut at {length}")), "cut at {length} of {}", whole.len());
        }
        let mut refused = 0;
        for seed in 0..150usize {
            let mut noisy = whole.clone();
            for nth in 0..20 {
                let at = (seed * 7_919 + nth * 104_729) % noisy.len();
                noisy[at] ^= 1 << (seed % 8);
            }
            refused += usize::from(check(&noisy, &format!("noise {seed}")));
        }
        assert!(refused > 20, "{refused}");
    }

    #[test]
    fn a_copy_taken_at_any_moment_has_what_was_answered() {
        let folder = Folder::new();
        let (engine, opened) = folder.open().unwrap();
        let mut head = opened.head;
        let text = "x".repeat(9_000);
        for step in 0..400u64 {
            let Append::Appended(next) = engine.append(&head, &group(&head, &text)).unwrap() else { panic!() };
            head = next;
            // Around checkpoints, and everywhere else now and then.
            if step < 40 || step % 13 == 0 {
                let copy = Folder::new();
                fs::create_dir_all(&copy.0).unwrap();
                for name in [FILE, "modeller.db-wal"] {
                    fs::copy(folder.file(name), copy.file(name)).unwrap();
                }
                let (copied, opened) = copy.open().unwrap();
                assert_eq!(opened.head, head);
                assert_eq!(documents(&copied), documents(&engine));
                assert_eq!(copied.tail(0).unwrap(), engine.tail(0).unwrap());
                append(&copied, &head);
            }
        }
        let log = fs::metadata(folder.file("modeller.db-wal")).unwrap().len();
        assert!(log < 3 * 4096 * CHECKPOINT_PAGES as u64, "checkpoints keep the write-ahead log short: {log}");
    }

    #[test]
    fn a_write_ahead_log_cut_anywhere_opens_to_a_prefix() {
        let folder = Folder::new();
        let (engine, opened) = folder.open().unwrap();
        let mut heads = vec![opened.head];
        for _ in 0..30 {
            heads.push(append(&engine, heads.last().unwrap()));
        }
        let (base, log) = (fs::read(folder.file(FILE)).unwrap(), fs::read(folder.file("modeller.db-wal")).unwrap());
        let mut reached = 0;
        for length in (0..log.len()).step_by(1 + log.len() / 97).chain([log.len()]) {
            for noise in [false, true] {
                let copy = Folder::new();
                fs::create_dir_all(&copy.0).unwrap();
                let mut torn = log[..length].to_vec();
                if noise {
                    torn.resize(log.len(), 0xa5);
                }
                fs::write(copy.file(FILE), &base).unwrap();
                fs::write(copy.file("modeller.db-wal"), torn).unwrap();
                let (copied, opened) = copy.open().unwrap();
                assert!(heads[reached..].contains(&opened.head), "cut at {length}");
                reached = opened.head.seq as usize;
                let latest: Vec<u64> = documents(&copied).iter().map(|(_, rev, _)| *rev).collect();
                assert_eq!(
                    latest.iter().max().copied().unwrap_or(0),
                    opened.head.seq,
                    "documents are those of the head"
                );
                append(&copied, &opened.head);
            }
        }
        assert_eq!(reached, 30);
    }

    #[test]
    fn another_writer_is_noticed() {
        let (folder, head) = Folder::filled(2);
        let (engine, _) = folder.open().unwrap();
        // What a second writer would do, were it not for the lock.
        let foreign = group(&head, "foreign");
        let body = foreign.body().unwrap();
        let next = foreign.head_after(&head, body.as_bytes());
        let other = raw(&folder.file(FILE));
        other
            .execute(
                "INSERT INTO _log (last, first, epoch, at, total, id, before, hash, body) VALUES (3, 3, 0, 3, 999, ?, ?, ?, ?)",
                params![foreign.id.to_string(), head.hash, next.hash, body],
            )
            .unwrap();
        other.execute("UPDATE _head SET seq = 3, hash = ?", [next.hash]).unwrap();
        let answer = engine.append(&head, &group(&head, "late")).unwrap();
        assert_eq!(answer, Append::Behind(vec![LoggedGroup { group: foreign, head: next }]));
        append(&engine, &next);
    }

    #[test]
    fn a_shell_that_writes_is_waited_for() {
        let (folder, head) = Folder::filled(1);
        let (engine, _) = folder.open().unwrap();
        let shell = raw(&folder.file(FILE));
        shell.execute_batch("BEGIN IMMEDIATE").unwrap();
        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(shell);
        });
        let head = append(&engine, &head);
        end.join().unwrap();
        append(&engine, &head);
    }

    #[test]
    fn after_a_failed_write_the_engine_takes_no_more() {
        let (folder, head) = Folder::filled(3);
        let (engine, _) = folder.open().unwrap();
        let head = append(&engine, &head);
        {
            // A store that may not grow is as full as a device.
            let state = engine.state.lock();
            let connection = &state.as_ref().unwrap().connection;
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            connection.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(())).unwrap();
        }
        let large = group(&head, &"x".repeat(1 << 20));
        assert_eq!(engine.append(&head, &large).unwrap_err().code().as_str(), "STORAGE_FAILED");
        assert_eq!(engine.append(&head, &group(&head, "")).unwrap_err().code().as_str(), "STORAGE_FAILED");
        assert!(engine.find(large.id).is_err() && engine.tail(0).is_err() && engine.open(&mut |_| Ok(())).is_err());
        drop(engine);
        let (engine, opened) = folder.open().unwrap();
        assert_eq!((opened.head, engine.find(large.id).unwrap()), (head, None));
        append(&engine, &head);
    }

    #[test]
    fn the_log_is_a_window() {
        for options in [
            SqliteOptions::default().log_bytes(20_000),
            SqliteOptions::default().log_age(Duration::from_millis(60)),
            SqliteOptions::default().log_bytes(0).log_age(Duration::ZERO),
        ] {
            let folder = Folder::new();
            let engine = Sqlite::at(&folder.0).options(options.clone());
            let mut head = engine.open(&mut |_| Ok(())).unwrap().head;
            for _ in 0..PRUNE_EVERY + 10 {
                head = append(&engine, &head);
            }
            let reach = |engine: &Sqlite| (0..=head.seq).find(|after| engine.tail(*after).unwrap() != Tail::Truncated);
            let from = reach(&engine).unwrap();
            assert!(from > 50 && from < head.seq, "{from}");
            let Tail::Groups(groups) = engine.tail(from).unwrap() else { panic!() };
            assert_eq!(groups.len() as u64, head.seq - from);
            let stale = engine.append(&Head::default(), &group(&Head::default(), "")).unwrap();
            assert_eq!(stale, Append::Truncated);
            drop(engine);
            // The first group after opening looks at the window again; the last one always stays.
            let engine = Sqlite::at(&folder.0).options(options);
            assert_eq!(engine.open(&mut |_| Ok(())).unwrap().head, head);
            let next = append(&engine, &head);
            assert!(reach(&engine).unwrap() < next.seq);
            assert_eq!(documents(&engine).len(), 7);
        }
    }

    #[test]
    fn what_is_forgotten_is_in_no_file() {
        const CANARY: &str = "canary-5b1d";
        let folder = Folder::new();
        let (engine, opened) = folder.open().unwrap();
        let mut head = opened.head;
        let mut write = |engine: &Sqlite, id: &str, doc: Option<String>| {
            let mut group = group(&head, "");
            let EntryKind::Commit { changes, .. } = &mut group.entries[0].kind else { panic!() };
            changes[0] = StoredChange { model: "users".into(), id: id.into(), rev: head.seq + 1, doc };
            let Append::Appended(next) = engine.append(&head, &group).unwrap() else { panic!() };
            head = next;
        };
        let doc = |text: &str, length: usize| Some(format!(r#"{{"text":"{text}","fill":"{}"}}"#, "x".repeat(length)));
        for nth in 0..200 {
            // Some of them have pages of their own.
            write(&engine, &format!("a{nth}"), doc(CANARY, nth * 97));
            write(&engine, &format!("b{nth}"), doc("kept", nth * 31));
        }
        for nth in 0..200 {
            write(&engine, &format!("a{nth}"), if nth % 2 == 0 { doc("other", nth) } else { None });
        }
        write(&engine, "last", doc("last", 1));
        let held = |folder: &Folder| {
            fs::read_dir(&folder.0)
                .unwrap()
                .map(|file| file.unwrap().path())
                .filter(|file| {
                    let bytes = fs::read(file).unwrap();
                    bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes())
                })
                .count()
        };
        assert!(held(&folder) > 0, "it was there");
        let before = documents(&engine);
        let until = before.iter().map(|(_, rev, _)| *rev).max().unwrap() - 1;
        engine.forget(until).unwrap();
        assert_eq!(held(&folder), 0);
        assert_eq!(documents(&engine), before);
        write(&engine, "after", doc("after", 1));
        drop(engine);
        let (engine, _) = folder.open().unwrap();
        assert_eq!((documents(&engine).len(), held(&folder)), (before.len() + 1, 0));
    }

    #[test]
    fn a_reader_that_keeps_what_is_to_be_forgotten_is_told_of() {
        let (folder, head) = Folder::filled(5);
        let (engine, _) = folder.open().unwrap();
        append(&engine, &head);
        let shell = raw(&folder.file(FILE));
        shell.execute_batch("BEGIN; SELECT count(*) FROM _log").unwrap();
        let error = engine.forget(head.seq).unwrap_err();
        assert_eq!(error.code().as_str(), "UNAVAILABLE", "{error:?}");
        drop(shell);
        engine.forget(head.seq).unwrap();
        append(&engine, &documents_head(&engine));
    }

    fn documents_head(engine: &Sqlite) -> Head {
        engine.open(&mut |_| Ok(())).unwrap().head
    }

    #[test]
    fn tables_have_readable_names() {
        let folder = Folder::new();
        let (engine, mut opened) = folder.open().unwrap();
        for model in ["users", "uSers", "a-b", "sqlite_x", "_own", "q\"q"] {
            let mut group = group(&opened.head, "");
            let EntryKind::Commit { changes, .. } = &mut group.entries[0].kind else { panic!() };
            changes[0].model = model.into();
            let Append::Appended(next) = engine.append(&opened.head, &group).unwrap() else { panic!() };
            opened.head = next;
        }
        drop(engine);
        let shell = raw(&folder.file(FILE));
        let mut names = shell.prepare("SELECT id, name FROM _models ORDER BY rowid").unwrap();
        let names: Vec<(String, String)> =
            names.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(rusqlite::Result::unwrap).collect();
        let expected = [
            ("users", "users"),
            ("uSers", "uSers~2"),
            ("a-b", "a-b"),
            ("sqlite_x", "~sqlite_x"),
            ("_own", "~_own"),
            ("q\"q", "q\"q"),
        ];
        assert_eq!(names, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
        let n: i64 = shell.query_row("SELECT doc ->> 'n' FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(n, 1);
    }

    #[test]
    fn the_engine_syncs_fully() {
        let (folder, _) = Folder::filled(0);
        let (engine, _) = folder.open().unwrap();
        let state = engine.state.lock();
        let connection = &state.as_ref().unwrap().connection;
        for (name, wanted) in [("synchronous", 2), ("mmap_size", 0), ("wal_autocheckpoint", 0), ("cell_size_check", 1)]
        {
            let value = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).optional();
            // `mmap_size` has no answer at all where it is compiled out.
            assert_eq!(value.unwrap().unwrap_or(wanted), wanted, "{name}");
        }
    }

    /// Figures, not a test: `cargo test -p modeller --lib -- --ignored --nocapture a_million`.
    #[test]
    #[ignore = "takes a minute"]
    fn a_million_documents_open_quickly() {
        let folder = Folder::new();
        let (engine, opened) = folder.open().unwrap();
        let mut head = opened.head;
        let begin = Instant::now();
        for nth in 0..1_000u64 {
            let changes = (0..1_000u64)
                .map(|one| StoredChange {
                    model: "users".into(),
                    id: Uuid::from_u64_pair(nth << 16 | one, one.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_string(),
                    rev: 1 + nth,
                    doc: Some(format!(r#"{{"email":"user{one}@example.com","text":"{}"}}"#, "x".repeat(110))),
                })
                .collect();
            let kind = EntryKind::Commit { changes, published: vec![] };
            let group = Group { id: Uuid::from_u128(nth.into()), entries: vec![Entry { seq: nth + 1, at: 1, kind }] };
            let Append::Appended(next) = engine.append(&head, &group).unwrap() else { panic!() };
            head = next;
        }
        eprintln!("1,000 groups of 1,000 documents: {:?}", begin.elapsed());
        let begin = Instant::now();
        for _ in 0..2_000 {
            head = append(&engine, &head);
        }
        eprintln!("2,000 groups of 1 document: {:?}", begin.elapsed());
        drop(engine);
        let begin = Instant::now();
        let (mut count, mut bytes) = (0, 0);
        let engine = Sqlite::at(&folder.0);
        engine
            .open(&mut |one| {
                count += 1;
                bytes += one.doc.len();
                Ok(())
            })
            .unwrap();
        eprintln!("opening {count} documents of {bytes} bytes: {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
