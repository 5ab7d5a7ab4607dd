//! **Promises** that each change in a node's log moves its record forward: no version is logged twice on one node, and none
//! after one that wins over it. Whatever comes twice, late or from two sides changes nothing the second time.
//! **From** rule 6 of the promises: idempotence lives in the data.

use std::collections::BTreeMap;

use super::{Invariant, Seen};
use crate::model::{LogReader, State, show, state_of};

/// See the module.
#[derive(Debug, Default)]
pub struct LoggedOnce {
    nodes: BTreeMap<usize, (LogReader, State)>,
}

impl Invariant for LoggedOnce {
    fn name(&self) -> &'static str {
        "logged-once"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::DiskChanged { node, disks } = seen {
            self.nodes.remove(node);
            if let Some(disk) = disks.get(*node).copied().flatten() {
                let known = (LogReader::at_end_of(disk), state_of(disk)?);
                self.nodes.insert(*node, known);
            }
        }
        let (node, disk) = match seen {
            Seen::Stepped { step, disk } => (step.node, disk),
            Seen::Crashed { node, disk } => (*node, disk),
            _ => return Ok(()),
        };
        let (reader, state) = self.nodes.entry(node).or_default();
        for (number, entry) in reader.new_entries(disk)? {
            entry.take_away(state);
            for (key, version) in &entry.changes {
                if let Some(held) = state.get(key).filter(|held| *held >= version) {
                    let (again, held) = (show(key, Some(version)), show(key, Some(held)));
                    return Err(format!(
                        "entry {number} of n{node} moves its records forward; it says {again} after {held}"
                    ));
                }
                state.insert(key.clone(), version.clone());
            }
        }
        Ok(())
    }
}
