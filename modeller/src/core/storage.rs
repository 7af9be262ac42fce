//! The contract between the commit log and an engine: a log with compare-and-append, and a snapshot to start from.
//!
//! An engine keeps three things in step: the *log* (groups of entries in order), the *head* (the position after the last
//! entry) and the *documents* (what the entries amount to). [`Storage::append`] moves all three or none, and only if the
//! head is where the caller believes it is; that makes the contract fit one writer and many alike, and nothing above this
//! trait may assume that there is one. Engines are blocking: the committer calls them from a thread of its own, unless
//! [`Storage::is_instant`] says that a call never waits.
//!
//! Every engine passes the same suite, `storage::conformance`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// SHA-256 of a log row, chained: it covers the hash of the row before.
pub type Hash = [u8; 32];

/// A position in the log: after the entry `seq`, whose group has this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// Sequence number of the last entry; 0 for an empty log.
    pub seq: u64,
    /// Number of the epoch that the entry belongs to; 0 before the first.
    pub epoch: u64,
    /// Hash of the last group; zeros for an empty log.
    pub hash: Hash,
}

/// What is appended in one step: entries with consecutive sequence numbers, and the id under which the engine can be asked
/// later whether it took them.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Made by the committer, never used twice.
    pub id: Uuid,
    /// At least one.
    pub entries: Vec<Entry>,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Sequence number, one more than that of the entry before.
    pub seq: u64,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What an entry records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum EntryKind {
    /// One atomic set of changes.
    Commit {
        /// At most one for each document.
        changes: Vec<StoredChange>,
        /// Payloads that left with the commit, in the order in which they were published.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        published: Vec<StoredPublish>,
    },
    /// From here on the documents have these schemas.
    Epoch {
        /// Number of the epoch, one more than that of the one before.
        number: u64,
        /// The schemas of all models, as JSON text.
        schemas: String,
    },
}

/// One document's next state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredChange {
    /// Id of the model.
    pub model: String,
    /// Id of the document.
    pub id: String,
    /// Revision that the document has from here on; that of the last version for a deleted one.
    pub rev: u64,
    /// The stored form, JSON text without `_id` and `_rev`, private fields included; `None` when deleted.
    pub doc: Option<String>,
}

/// One published payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPublish {
    /// Id of the model.
    pub model: String,
    /// Canonical text of the filter, the key of the room.
    pub room: String,
    /// The payload, JSON text.
    pub payload: String,
    /// Id of the document that it is about: it is for those alone who may read that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// How an append ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Append {
    /// The group is durable, and this is the head now.
    Appended(Head),
    /// Nothing was written: the log goes on with these groups, which another writer appended.
    Behind(Vec<LoggedGroup>),
    /// Nothing was written: another writer is further ahead than the log reaches back. Start from a snapshot.
    Truncated,
    /// Nobody knows: the connection broke while the group was being committed. [`Storage::find`] tells.
    Unknown(Uuid),
}

/// A group as it is read back from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedGroup {
    /// What was appended.
    pub group: Group,
    /// The head after it.
    pub head: Head,
}

/// What follows a position in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// All groups after it, in order; empty at the head.
    Groups(Vec<LoggedGroup>),
    /// The log no longer reaches back that far: start from a snapshot.
    Truncated,
}

/// What an engine holds when it is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Where the log ends.
    pub head: Head,
    /// The schemas of the current epoch, as they were given to [`EntryKind::Epoch`]; `None` for a new store.
    pub schemas: Option<String>,
}

/// A document as an engine hands it out at the start.
#[derive(Clone, Copy, Debug)]
pub struct StoredDocument<'a> {
    /// Id of the model.
    pub model: &'a str,
    /// Id of the document.
    pub id: &'a str,
    /// Its revision.
    pub rev: u64,
    /// Its stored form, JSON text.
    pub doc: &'a str,
}

/// An engine that keeps the log.
///
/// An error from [`append`](Storage::append) means that the group is not, and never will be, in the log, or that this
/// process must not go on (a failed fsync: what the kernel then holds is not known). Either way the committer stops.
pub trait Storage: Send + Sync + 'static {
    /// Opens the store and hands out every document, in any order, as of the head that it answers.
    ///
    /// # Errors
    /// When the store cannot be opened (it is locked, of another version, damaged), or whatever `load` answers.
    fn open(&self, load: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened>;

    /// Appends a group after `head`, if the log ends there.
    ///
    /// # Errors
    /// When the group could not be written; nothing of it is there then.
    fn append(&self, head: &Head, group: &Group) -> Result<Append>;

    /// Whether the group is in the log, and the head after it. Asked after [`Append::Unknown`] only.
    ///
    /// # Errors
    /// When the engine cannot tell at the moment; it is asked again.
    fn find(&self, group: Uuid) -> Result<Option<Head>>;

    /// The groups after the sequence number `after`, which is 0 or the last of a group.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn tail(&self, after: u64) -> Result<Tail>;

    /// Drops the groups up to and including this sequence number from the log, and with them all that the engine still holds of
    /// what was written by then and has no place in the documents any more: earlier versions, deleted documents, free space.
    /// What was there is overwritten, as far as files can be. A group has to follow, because the last one always stays. It may
    /// take as long as writing all documents anew.
    ///
    /// # Errors
    /// When the engine cannot do it, as one that says nothing else here; when nothing follows; when another process keeps what
    /// is to go. Part of it may be gone then, and it can be asked for again.
    fn forget(&self, until: u64) -> Result<()> {
        let _ = until;
        Err(Error::new("STORAGE_CANNOT_FORGET").status(500).message("this engine cannot forget what was written"))
    }

    /// True when a call never waits for a device or a network, so that the committer need not leave its thread for it.
    fn is_instant(&self) -> bool {
        false
    }

    /// False when nothing of what is appended can ever be asked for again. Then stored forms are not made, and after the
    /// epoch at the start nothing is appended: the committer goes on by itself.
    fn keeps(&self) -> bool {
        true
    }

    /// What is shown when the application starts, e.g. the path of the file.
    fn describe(&self) -> String;
}

impl Group {
    /// Sequence number of its last entry; 0 when it has none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.seq)
    }

    /// The text that the log keeps of this group, and that its hash covers: the entries as a JSON array, byte for byte the
    /// same in every engine. An engine must give back these bytes, not merely an equal JSON value.
    ///
    /// # Errors
    /// None that can be met: the entries hold nothing that JSON cannot.
    pub fn body(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.entries)?)
    }

    /// The group whose logged text this is.
    ///
    /// # Errors
    /// When the text was not made by [`Group::body`].
    pub fn from_body(id: Uuid, body: &str) -> Result<Self> {
        Ok(Self { id, entries: serde_json::from_str(body)? })
    }

    /// Whether this group may follow `head` at all. Every engine asks this before it writes, so that a slip of the caller
    /// ends at the first engine that it meets and not at the one that happens to be strict.
    ///
    /// # Errors
    /// `STORAGE_GROUP`, when the group is empty, its sequence numbers or epochs do not follow on, a number does not fit a
    /// signed 64-bit column, or a model has no usable id.
    pub fn check(&self, head: &Head) -> Result<()> {
        const MAX: u64 = i64::MAX as u64;
        let refuse = |why: String| Err(Error::new("STORAGE_GROUP").status(500).message(why));
        if self.entries.is_empty() {
            return refuse("a group has at least one entry".into());
        }
        let (mut seq, mut epoch) = (head.seq, head.epoch);
        for entry in &self.entries {
            seq = seq.saturating_add(1);
            if entry.seq != seq || seq > MAX || entry.at > MAX {
                return refuse(format!("the entry has the sequence number {}, and {seq} is next", entry.seq));
            }
            match &entry.kind {
                EntryKind::Epoch { number, .. } => {
                    epoch = epoch.saturating_add(1);
                    if *number != epoch || epoch > MAX {
                        return refuse(format!("the entry begins epoch {number}, and {epoch} is next"));
                    }
                }
                EntryKind::Commit { changes, .. } => {
                    for change in changes {
                        if change.rev > MAX {
                            return refuse(format!("the revision {} is greater than {MAX}", change.rev));
                        }
                        if change.model.is_empty() || change.model.contains('\0') {
                            return refuse("a change names no model".into());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The head after this group, when it follows `head` with `body` as its logged text.
    #[must_use]
    pub fn head_after(&self, head: &Head, body: &[u8]) -> Head {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(head.hash);
        hash.update(self.id.as_bytes());
        hash.update(body);
        let epoch = self.entries.iter().rev().find_map(|entry| match entry.kind {
            EntryKind::Epoch { number, .. } => Some(number),
            EntryKind::Commit { .. } => None,
        });
        Head { seq: self.last_seq(), epoch: epoch.unwrap_or(head.epoch), hash: hash.finalize().into() }
    }
}
