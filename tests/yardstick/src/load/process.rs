//! What Linux knows of a process.

use std::fs;
use std::time::Duration;

use modeller::{Error, Result};

/// A process by its id.
pub(crate) struct Process(u32);

/// What it has used so far.
pub(crate) struct Used {
    /// Processor time, in user and in kernel mode.
    pub(crate) processor: Duration,
    /// Resident size in bytes.
    pub(crate) resident: u64,
}

/// `/proc` counts in hundredths of a second on every Linux (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: u64 = 100;

impl Process {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    pub(crate) fn now(&self) -> Result<Used> {
        let unreadable = || Error::new("NO_PROCESS").message(format!("cannot read /proc/{}", self.0));
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name may hold spaces and parentheses; the third field follows the last of those.
        let (_, rest) = stat.rsplit_once(')').ok_or_else(unreadable)?;
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let resident: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or_else(unreadable)?;
        Ok(Used { processor: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND), resident: resident * 1_024 })
    }
}
