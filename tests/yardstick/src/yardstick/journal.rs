//! An append-only file of JSON lines. One thread writes: what arrives while the disk is busy goes with the next sync.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::Failure;
use crate::city::City;
use crate::user::User;

/// A line of the file.
#[derive(Serialize, Deserialize)]
pub(crate) enum Entry {
    User(Arc<User>),
    City(Arc<City>),
}

/// The way to the thread that writes.
pub(crate) struct Journal(Sender<(Entry, oneshot::Sender<()>)>);

/// Resolves when an entry is on the disk.
pub(crate) type Durable = oneshot::Receiver<()>;

impl Journal {
    /// Reads what is there, and goes on behind it.
    pub(crate) fn open(folder: &Path, mut restore: impl FnMut(Entry)) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let path = folder.join("journal.jsonl");
        let mut whole = 0;
        if path.exists() {
            let mut lines = BufReader::new(File::open(&path)?);
            let mut line = String::new();
            // A line without an end was cut off by a crash, and nobody was told that it is there.
            while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
                restore(serde_json::from_str(&line)?);
                whole += u64::try_from(line.len())?;
                line.clear();
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(whole)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || write(file, &receiver));
        Ok(Self(sender))
    }

    /// Hands an entry over. Called under the lock of the map that it goes into, so that the file has their order.
    pub(crate) fn append(&self, entry: Entry) -> Durable {
        let (done, durable) = oneshot::channel();
        // When the thread is gone the receiver says so.
        let _ = self.0.send((entry, done));
        durable
    }
}

#[expect(clippy::print_stderr, reason = "the last words")]
fn write(mut file: File, entries: &Receiver<(Entry, oneshot::Sender<()>)>) {
    let (mut bytes, mut waiting) = (Vec::new(), Vec::new());
    while let Ok(first) = entries.recv() {
        for (entry, done) in std::iter::once(first).chain(entries.try_iter()) {
            if serde_json::to_writer(&mut bytes, &entry).is_ok() {
                bytes.push(b'\n');
                waiting.push(done);
            }
        }
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // What the disk holds now is not known: a restart reads it.
            eprintln!("the journal failed: {error}");
            std::process::exit(1);
        }
        bytes.clear();
        for done in waiting.drain(..) {
            let _ = done.send(());
        }
    }
}
