//! **Promises** that an envelope inside a commit leaves only when that commit's log entry, and every entry given before it,
//! is on disk and survives a crash. Without it an acknowledgement can outlive the write that it acknowledges.
//! **From** the first rule of order in `kernel::machine`, and raft's rule that messages follow the persisted log
//! (Ongaro 2014, section 3.8; etcd's `Ready`).

use std::collections::BTreeMap;

use kernel::machine::{Fetched, Input};

use super::{Invariant, Seen};

/// See the module.
#[derive(Debug, Default)]
pub struct PersistBeforeSpeak {
    nodes: BTreeMap<usize, Given>,
}

/// What a machine gave in this boot.
#[derive(Debug, Default)]
struct Given {
    envelopes: u64,
    newest_entry: u64,
    /// Envelopes that wait for a commit, by their place, and the log entry that must be durable first.
    waiting: BTreeMap<u64, u64>,
}

impl Invariant for PersistBeforeSpeak {
    fn name(&self) -> &'static str {
        "persist-before-speak"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.insert(*node, Given::default());
            }
            Seen::Stepped { step, disk } => {
                let given = self.nodes.entry(step.node).or_default();
                if let Input::Fetched {
                    result: Ok(Fetched::Recovered { .. }),
                    ..
                } = step.input
                {
                    // Entries that failed and were not found are no longer waited for: their envelopes were dropped.
                    given.newest_entry = disk.last_durable();
                }
                given.envelopes += step.output.send.len() as u64;
                let Some(commit) = &step.output.commit else {
                    return Ok(());
                };
                if let Some((number, _)) = commit.entry {
                    given.newest_entry = number;
                }
                for _ in &commit.envelopes {
                    given.waiting.insert(given.envelopes, given.newest_entry);
                    given.envelopes += 1;
                }
            }
            Seen::Left(left) => {
                let given = self.nodes.entry(left.node).or_default();
                let (node, durable) = (left.node, left.disk.last_durable());
                if let Some(needed) = given.waiting.remove(&left.given).filter(|needed| *needed > durable) {
                    return Err(format!(
                        "an envelope of n{node} leaves when log entry {needed} is durable; it left at {durable}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
