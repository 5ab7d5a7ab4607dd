//! **Promises** that when all is quiet every node holds the same, record by record and byte by byte, and nothing that nobody
//! wrote. Compared is the full state, on disk and in memory, never a digest.
//! **From** strong eventual consistency (Shapiro et al., "Conflict-free Replicated Data Types", 2011).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Invariant, Seen, Survivor};
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
pub fn agree(disks: &[(usize, &VirtualDisk)]) -> Result<(), String> {
    let mut states = Vec::with_capacity(disks.len());
    for (node, disk) in disks {
        states.push((node, state_of(disk)?));
    }
    let Some(((first, ours), others)) = states.split_first() else {
        return Ok(());
    };
    for (node, theirs) in others {
        if let Some(key) = difference(ours, theirs) {
            let (ours, theirs) = (show(key, ours.get(key)), show(key, theirs.get(key)));
            return Err(format!(
                "n{first} and n{node} hold the same; n{first} has {ours}, n{node} has {theirs}"
            ));
        }
    }
    Ok(())
}

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        "convergence"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Wrote(write) => {
                self.written
                    .entry(write.key.clone())
                    .or_default()
                    .push(write.version.clone());
            }
            Seen::Quiet { nodes, .. } => {
                let disks: Vec<_> = nodes.iter().map(|left| (left.node, left.disk)).collect();
                agree(&disks)?;
                for Survivor { node, disk, memory, .. } in *nodes {
                    let state = state_of(disk)?;
                    if let Some(key) = difference(memory, &state) {
                        let (held, stored) = (show(key, memory.get(key)), show(key, state.get(key)));
                        return Err(format!(
                            "n{node} has on disk what it has in memory; there is {stored}, not {held}"
                        ));
                    }
                }
                if let Some((_, disk)) = disks.first() {
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
