//! **Promises** that the hybrid logical clock of a node never goes back, whatever its wall clock does and however often it
//! crashes: the clocks in its log entries rise, and none is behind a stamp that its entry holds.
//! **From** Kulkarni et al., "Logical Physical Clocks" (2014); the counterexample is a restart under a wall clock that was put
//! back.

use std::collections::BTreeMap;

use kernel::hlc::Stamp;

use super::{Invariant, Seen};
use crate::model::LogReader;

/// See the module.
#[derive(Debug, Default)]
pub struct ClockForward {
    nodes: BTreeMap<usize, (LogReader, (u64, u16))>,
}

/// A stamp without its writer, who is another after each boot.
pub(super) fn time(stamp: Stamp) -> (u64, u16) {
    (stamp.millis(), stamp.counter())
}

impl Invariant for ClockForward {
    fn name(&self) -> &'static str {
        "clock-forward"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::DiskChanged { node, .. } = seen {
            // Another disk, another clock: its writer is another as well, so that no stamp is given twice.
            self.nodes.remove(node);
        }
        let (node, disk) = match seen {
            Seen::Stepped { step, disk } => (step.node, disk),
            Seen::Crashed { node, disk } => (*node, disk),
            _ => return Ok(()),
        };
        let (reader, last) = self.nodes.entry(node).or_default();
        for (number, entry) in reader.new_entries(disk)? {
            let (clock, changes) = (time(entry.clock), &entry.changes);
            if clock < *last {
                return Err(format!(
                    "the clock of n{node} rises; entry {number} says {clock:?} after {last:?}"
                ));
            }
            let latest = changes
                .iter()
                .map(|(_, version)| time(version.stamp))
                .max()
                .unwrap_or_default();
            if clock < latest {
                return Err(format!(
                    "the clock of n{node} has seen all that its log holds; entry {number} says {clock:?} and holds a \
                     stamp of {latest:?}"
                ));
            }
            *last = clock;
        }
        Ok(())
    }
}
