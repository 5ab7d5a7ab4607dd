//! **Promises** that a machine appends without gaps, applies only what the log holds and in ascending order, and cuts
//! only what the records hold.
//! **From** the documents of `Commit`, `Apply` and `Output::cut` in `kernel::machine`; the counterexample is a log that is
//! cut before the records are synced.

use super::{Invariant, Seen};

/// See the module.
#[derive(Debug)]
pub struct StorageRules;

impl Invariant for StorageRules {
    fn name(&self) -> &'static str {
        "storage-rules"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Misused { node, misuse } => Err(format!("n{node} keeps the rules of storage: {misuse}")),
            _ => Ok(()),
        }
    }
}
