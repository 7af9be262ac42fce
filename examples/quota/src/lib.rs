//! Files that belong to somebody, with a limit on how many and how large: who may store what is decided by a hook, in the
//! transaction of the insert itself, so that no number of inserts at the same time gets past it.

use modeller::prelude::*;

/// What one owner may keep, in all.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many notes.
    pub notes: usize,
    /// How many bytes of text.
    pub bytes: usize,
}

/// A note of somebody. Only verified callers reach it.
#[model(id = "notes", protected)]
pub struct Note {
    /// Whose it is. It is set by a hook: what a client says here is not believed.
    #[field(index, default)]
    pub owner: String,
    #[field(max_length = 10_000)]
    pub text: String,
}

/// What the caller has used, of what he may.
#[value]
pub struct Usage {
    pub notes: usize,
    pub bytes: usize,
    pub most_notes: usize,
    pub most_bytes: usize,
}

async fn used(owner: &str, notes: &Model<Note>) -> Result<(usize, usize)> {
    let all = notes.find(Note::OWNER.eq(owner)).await?;
    Ok((all.len(), all.iter().map(|note| note.text.len()).sum()))
}

fn subject(caller: &Caller) -> Result<&str> {
    caller.subject().ok_or_else(|| Error::new("NO_SUBJECT").status(403))
}

/// Authorization: a note is the caller's own.
#[hook(Note, before(insert), order = -1)]
async fn own(note: &mut Note, caller: Caller) -> Result<()> {
    if !caller.is_application() {
        note.owner = subject(&caller)?.to_owned();
    }
    Ok(())
}

/// The quota. What it reads is a part of the transaction: where two inserts want the last place, one of them loses, is run again,
/// and is refused.
#[hook(Note, before(insert))]
async fn quota(note: &mut Note, notes: Model<Note>, State(limits): State<Limits>) -> Result<()> {
    let (count, bytes) = used(&note.owner, &notes).await?;
    if count >= limits.notes || bytes + note.text.len() > limits.bytes {
        return Err(Error::new("QUOTA_EXCEEDED")
            .status(403)
            .message(format!("{} notes of {} bytes are all that is allowed", limits.notes, limits.bytes))
            .detail("notes", count)
            .detail("bytes", bytes));
    }
    Ok(())
}

/// Nobody changes a note of somebody else, nor gives one away.
#[hook(Note, before(update))]
async fn stay(next: &mut Note, previous: Previous<Note>, caller: Caller) -> Result<()> {
    if !caller.is_application() && previous.owner != subject(&caller)? {
        return Err(Error::new(ErrorCode::Forbidden));
    }
    next.owner.clone_from(&previous.owner);
    Ok(())
}

#[hook(Note, before(delete))]
async fn keep(previous: Previous<Note>, caller: Caller) -> Result<()> {
    match caller.is_application() || previous.owner == subject(&caller)? {
        true => Ok(()),
        false => Err(Error::new(ErrorCode::Forbidden)),
    }
}

/// What the caller has used.
#[method(Note)]
pub async fn usage(notes: Model<Note>, caller: Caller, State(limits): State<Limits>) -> Result<Usage> {
    let (count, bytes) = used(subject(&caller)?, &notes).await?;
    Ok(Usage { notes: count, bytes, most_notes: limits.notes, most_bytes: limits.bytes })
}
