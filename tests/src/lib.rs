//! What the tests share.

pub mod described;
pub mod differences;
pub mod encoding;
pub mod events;
pub mod http;
pub mod node;
pub mod process;
pub mod proxy;
pub mod random;
pub mod schemathesis;
pub mod served;
pub mod serving;
pub mod shop;
pub mod slow;
pub mod socket;
pub mod typescript;
pub mod uploads;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for a test, removed with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder in the place for temporary files.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a new folder each time is no default")]
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("modeller-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the machine.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
