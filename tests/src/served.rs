//! The models of the program `served`, which tests start, kill and talk to.

use modeller::prelude::*;

/// Something with a name that only one can have.
#[model(id = "entries", public)]
pub struct Entry {
    /// Taken by whoever is first.
    #[field(unique, min_length = 1, max_length = 64)]
    pub name: String,
    /// Counted up.
    #[field(default)]
    pub n: i64,
    /// The room that hears of it.
    #[field(index, default)]
    pub team: String,
    /// Must not be seen.
    #[field(default)]
    pub secret: Private<String>,
}

/// Which entry is counted up.
#[value]
pub struct Bump {
    /// Its id.
    pub id: Id<Entry>,
}

/// Reads, then writes: a transaction that can lose.
#[method(Entry)]
pub async fn bump(args: Bump, entries: Model<Entry>) -> Result<Doc<Entry>> {
    let entry = entries.get(&args.id).await?.ok_or_else(|| Error::new(ErrorCode::NotFound))?;
    entries.update(&args.id, Entry::N.set(entry.n + 1)).await
}

/// Something that is published.
#[value]
pub struct Changed {
    /// The entry.
    pub id: Id<Entry>,
    /// What it counts now.
    pub n: i64,
}

/// Tells the room of its team what an entry counts.
#[hook(Entry, after(update))]
pub async fn tell(entry: Doc<Entry>, entries: Model<Entry>) -> Result<()> {
    entries.subscription(Entry::TEAM.eq(&entry.team)).publish(&Changed { id: entry.id(), n: entry.n }).await
}

/// Without hooks, so that the committer evaluates what comes from outside itself.
#[model(id = "counters", public)]
pub struct Counter {
    /// Counted up.
    pub n: i64,
}
