//! **Promises** that when all is quiet every node holds the same, record by record and byte by byte, and nothing that nobody
//! wrote. Compared is the full state, on disk and in memory, never a digest.
//! **From** strong eventual consistency (Shapiro et al., "Conflict-free Replicated Data Types", 2011).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Invariant, Seen};
use crate::disk::VirtualDisk;
use crate::model::{State, Version, show, state_of};

/// See the module.
#[derive(Debug, Default)]
pub struct Convergence {
    written: BTreeMap<Bytes, Vec<Version>>,
}

/// The first record in which two states differ, if any does.
fn difference<'s>(a: &'s State, b: &'s State) -> Option<&'s Bytes> {
    let differs = |key: &&Bytes| a.get(*key) != b.get(*key);
    a.keys().chain(b.keys()).find(differs)
}

/// Where two nodes differ, in words; or that they do not.
///
/// # Errors
/// The difference, or a disk that cannot be read.
pub fn agree(disks: &[&VirtualDisk]) -> Result<(), String> {
    let states = disks
        .iter()
        .map(|disk| state_of(disk))
        .collect::<Result<Vec<State>, String>>()?;
    for (node, state) in states.iter().enumerate().skip(1) {
        if let Some(key) = difference(&states[0], state) {
            let (ours, theirs) = (show(key, states[0].get(key)), show(key, state.get(key)));
            return Err(format!(
                "n0 and n{node} hold the same; n0 has {ours}, n{node} has {theirs}"
            ));
        }
    }
    Ok(())
}

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        "convergence"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Wrote(write) => {
                self.written
                    .entry(write.key.clone())
                    .or_default()
                    .push(write.version.clone());
            }
            Seen::Quiet { disks, memories, .. } => {
                agree(disks)?;
                for (node, (memory, disk)) in memories.iter().zip(*disks).enumerate() {
                    let state = state_of(disk)?;
                    if let Some(key) = difference(memory, &state) {
                        let (held, stored) = (show(key, memory.get(key)), show(key, state.get(key)));
                        return Err(format!(
                            "n{node} has on disk what it has in memory; there is {stored}, not {held}"
                        ));
                    }
                }
                if let Some(disk) = disks.first() {
                    for (key, version) in &state_of(disk)? {
                        let known = self.written.get(key).is_some_and(|written| written.contains(version));
                        if !known {
                            let invented = show(key, Some(version));
                            return Err(format!("somebody wrote all that is there; nobody wrote {invented}"));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
