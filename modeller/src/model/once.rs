//! Calls that are made once, however often they are asked for.
//!
//! Who does not know whether a call was made asks again under the same key, and gets the answer of the first time. What is needed
//! for that is recorded by the commit of the call itself, as a document of a model of our own, `@calls`: either both are there or
//! none. A call that wrote nothing leaves nothing, and is made again; so is one that failed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::handler::{AnyOutput, With};
use super::runtime::{OperationKind, Runtime, Scope};
use crate::core::clock::millis;
use crate::core::collection::ModelIndex;
use crate::core::document::{Doc, DynDoc};
use crate::core::id::RawId;
use crate::core::json::Document;
use crate::core::log::Expect;
use crate::core::private::{Audience, written_for};
use crate::core::query::RawQuery;
use crate::core::query::filter::Filter;
use crate::core::schema::{FieldDeclaration, Kind, ModelSchema};
use crate::core::value::{ObjectRef, ValueRef};
use crate::error::{Error, ErrorCode, Result};

/// For how long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The longest answer that is kept, in bytes.
const LONGEST: usize = 1 << 20;
/// The longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// The shortest key of those that nobody knows, who have all of theirs in common: one that no other meets by chance.
const SHORTEST_KEY_OF_ANYONE: usize = 16;

/// The id of the model.
pub(crate) const MODEL: &str = "@calls";

/// A call that was made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    /// A hash of its arguments, in hexadecimal.
    args: String,
    /// What it answered, as JSON text: what the one who called may see of it.
    answer: String,
    /// Until when it is kept, in milliseconds since the Unix epoch.
    until: u64,
}

impl ObjectRef for Record {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        (name == "until").then_some(ValueRef::UInt(self.until))
    }
    fn slots(&self) -> usize {
        1
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        (slot == 0).then_some(("until", ValueRef::UInt(self.until)))
    }
}

/// The model of the calls, as an application has it beside its own.
pub(crate) fn schema() -> Result<Arc<ModelSchema>> {
    static FIELDS: [FieldDeclaration; 1] = [FieldDeclaration::indexed("until")];
    ModelSchema::prove_own(MODEL, Kind::of::<Record>(), &FIELDS)
}

/// The calls of an application that have a key.
pub(crate) struct Calls {
    pub(crate) model: ModelIndex,
    /// Those that are under way: a second one of the same key waits for the first. Without this both would run, and one be thrown away.
    under_way: Mutex<HashMap<RawId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Calls {
    pub(crate) fn new(model: ModelIndex) -> Self {
        Self { model, under_way: Mutex::default() }
    }

    /// What whoever makes the call of that id has to hold.
    fn turn(&self, id: &RawId) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self.under_way.lock();
        if let Some(turn) = under_way.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        // Few are under way at a time, and all others are over.
        under_way.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        under_way.insert(id.clone(), Arc::downgrade(&turn));
        turn
    }
}

/// Under which a call is made once: 1 to 255 visible characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallKey(String);

impl CallKey {
    /// # Errors
    /// `INVALID_REQUEST` for a text that is none.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > LONGEST_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = format!("the key of a call is 1 to {LONGEST_KEY} visible characters of ASCII");
            return Err(Error::new(ErrorCode::InvalidRequest).message(text));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id of the call's record: of this key, for this caller and this operation.
    fn record(&self, caller: &str, model: &str, operation: &str) -> Result<RawId> {
        RawId::parse(&hash(&[caller, model, operation, &self.0]))
    }
}

/// A hash of several texts, in hexadecimal. No two lists of texts look the same to it.
fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("{:x}", hash.finalize())
}

/// An answer as the one who called may see it, as the bytes of JSON.
pub(crate) fn answer_json(output: &dyn AnyOutput, to: Audience) -> Result<Vec<u8>> {
    let mut json = Vec::with_capacity(256);
    written_for(to, || output.write_json(&mut json))?;
    Ok(json)
}

impl Scope {
    /// Calls a method, unless the same caller has called it under this key before: then it is answered what it answered then.
    ///
    /// # Errors
    /// `IDEMPOTENCY_MISMATCH` when that was with other arguments; those of the call.
    pub(crate) async fn call_once(
        &self,
        index: ModelIndex,
        id: &str,
        args: Option<Value>,
        by: Audience,
        key: &CallKey,
    ) -> Result<String> {
        let operation = self.operation(index, OperationKind::Method, id)?;
        if !operation.declaration.transaction {
            return Err(Error::new(ErrorCode::InvalidRequest)
                .message(format!("`{id}` is no transaction, and so cannot be called once"))
                .detail("transaction", false));
        }
        let checked = self.args(operation, args.clone(), by)?;
        // In process an answer as JSON is without what is private or protected.
        let to = if by == Audience::Store { Audience::Anyone } else { by };
        let checked = &checked;
        self.once(index, id, args, key, |scope| async move {
            let output = scope.perform(index, operation, (**checked).copy(), With::Nothing).await?;
            String::from_utf8(answer_json(output.as_ref(), to)?).map_err(Error::internal)
        })
        .await
    }

    /// Does something to a model in one transaction, unless the same caller has done it under this key before: then it is answered
    /// what was answered then.
    ///
    /// # Errors
    /// `IDEMPOTENCY_MISMATCH` when that was given something else; those of what is done.
    pub(crate) async fn once<F, Fut>(
        &self,
        index: ModelIndex,
        operation: &str,
        given: Option<Value>,
        key: &CallKey,
        perform: F,
    ) -> Result<String>
    where
        F: Fn(Self) -> Fut + Sync,
        Fut: Future<Output = Result<String>> + Send,
    {
        let runtime = self.runtime();
        let is_known = self.caller().is_application() || self.caller().is_verified();
        if !is_known && key.0.len() < SHORTEST_KEY_OF_ANYONE {
            return Err(Error::new(ErrorCode::InvalidRequest).message(format!(
                "without a verified token the key of a call has {SHORTEST_KEY_OF_ANYONE} characters at least; a random UUID will do"
            )));
        }
        let model = &runtime.model(index)?.schema.id;
        let record = key.record(&self.caller().identity(), model, operation)?;
        let record_text = record.to_string();
        // No arguments are the same as an object without members.
        let mut given = given.filter(|given| !given.is_null()).unwrap_or_else(|| json!({}));
        // The order of members says nothing (RFC 8259 §4).
        given.sort_all_objects();
        // With the id of the record, so that equal arguments of two calls are not seen to be equal in the store.
        let given = hash(&[&record_text, &given.to_string()]);
        let turn = runtime.inner().calls.turn(&record);
        // In a transaction that would be held for longer than the call, and two of them could wait for each other.
        let _turn = if self.is_in_transaction() { None } else { Some(turn.lock().await) };
        let (place, now) = (runtime.inner().calls.model, runtime.inner().clock.now());
        let (record, given, perform) = (&record, &given, &perform);
        self.own_step("call", |step| async move {
            let known = step.transaction().get(place, record)?;
            if let Some(known) = known.as_ref().and_then(kept).filter(|known| known.until > now) {
                if known.args == *given {
                    return Ok(known.answer.clone());
                }
                return Err(Error::new(ErrorCode::IdempotencyMismatch)
                    .message("this key was used for a call with other arguments"));
            }
            let answer = perform(self.in_step(step.clone())).await?;
            // Nor is an answer kept that has the tokens of a login in it: who asks again begins another one.
            if !step.transaction().has_written()? || step.transaction().has_changed(runtime.inner().logins.model)? {
                return Ok(answer);
            }
            if answer.len() > LONGEST {
                return Err(Error::new(ErrorCode::TransactionTooLarge)
                    .message(format!("the answer to a call that is made once has {LONGEST} bytes at most")));
            }
            let made = Record { args: given.clone(), answer: answer.clone(), until: now.saturating_add(millis(KEPT)) };
            let expect = match known {
                Some(_) => Expect::Present { if_rev: None },
                None => Expect::Absent,
            };
            step.transaction().put(place, record, Box::new(made), expect, true)?;
            Ok(answer)
        })
        .await
    }
}

fn kept(doc: &DynDoc) -> Option<Doc<Record>> {
    Doc::from_dyn(doc.clone())
}

/// Takes away what was kept for long enough, so many at most, and answers how many those were.
pub(super) async fn clear(runtime: &Runtime, most: usize) -> Result<usize> {
    let (calls, now) = (runtime.inner().calls.model, runtime.inner().clock.now());
    let old = Filter::<Document>::parse(&json!({"until": {"$lte": now}}))?;
    let query = RawQuery { limit: Some(most), ..RawQuery::of(old.raw().clone()) };
    let collection = runtime.durable();
    let Some(collection) = collection.collection(calls) else { return Ok(0) };
    let old: Vec<(RawId, u64)> =
        collection.find(&query, most)?.iter().map(|doc| (doc.id().clone(), doc.rev())).collect();
    if old.is_empty() {
        return Ok(0);
    }
    let old = &old;
    runtime
        .transact(|step| async move {
            for (id, rev) in old {
                // One that was made anew meanwhile has another revision.
                match step.transaction().delete(calls, id, Some(*rev), None) {
                    Ok(_) => {}
                    Err(error) if [ErrorCode::NotFound, ErrorCode::Conflict].contains(error.code()) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(old.len())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for right in ["a", "0190b0a0-7e0c-7000-8000-000000000000", "~!\"'", &"k".repeat(255)] {
            assert!(CallKey::parse(right).is_ok(), "{right}");
        }
        for wrong in ["", " ", "a b", "ä", "a\n", &"k".repeat(256)] {
            assert_eq!(CallKey::parse(wrong).unwrap_err().code(), &ErrorCode::InvalidRequest, "{wrong:?}");
        }
        let key = CallKey::parse("k").unwrap();
        let id = |caller, model, operation| key.record(caller, model, operation).unwrap();
        assert_ne!(id("a", "bc", "d"), id("ab", "c", "d"));
        assert_eq!(id("a", "b", "c"), id("a", "b", "c"));
    }

    #[test]
    fn those_that_are_over_are_forgotten() {
        let calls = Calls::new(0);
        let id = |at: usize| RawId::parse(&format!("{at}")).unwrap();
        let first = calls.turn(&id(0));
        for at in 1..100 {
            drop(calls.turn(&id(at)));
        }
        assert!(Arc::ptr_eq(&first, &calls.turn(&id(0))));
        assert_eq!(calls.under_way.lock().len(), 2);
    }
}
