//! No engine: an application in memory has nothing to open later, and no other writer.

use uuid::Uuid;

use crate::core::storage::{Append, Group, Head, Opened, Storage, StoredDocument, Tail};
use crate::error::Result;

/// Forgets everything. The documents live in the application alone, once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volatile;

impl Storage for Volatile {
    fn open(&self, _: &mut dyn FnMut(StoredDocument<'_>) -> Result<()>) -> Result<Opened> {
        Ok(Opened { head: Head::default(), schemas: None })
    }

    fn append(&self, head: &Head, group: &Group) -> Result<Append> {
        group.check(head)?;
        Ok(Append::Appended(group.head_after(head, &[])))
    }

    fn find(&self, _: Uuid) -> Result<Option<Head>> {
        Ok(None)
    }

    fn tail(&self, _: u64) -> Result<Tail> {
        Ok(Tail::Truncated)
    }

    fn is_instant(&self) -> bool {
        true
    }

    fn keeps(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}
