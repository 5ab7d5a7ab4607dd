//! **Promises** that who does not know the secret gets nothing done and is told nothing: no answer shows it a value, a count or
//! a clock, and nothing that it wrote is in any log.
//! **From** the handshakes of `kernel::session`; the classic counterexample is the request that was pipelined before the
//! refusal of its token.

use std::collections::BTreeMap;

use super::{Invariant, Seen};
use crate::client::IMPOSTOR;
use crate::model::{LogReader, show};

/// See the module.
#[derive(Debug, Default)]
pub struct Strangers {
    logs: BTreeMap<usize, LogReader>,
}

impl Invariant for Strangers {
    fn name(&self) -> &'static str {
        "strangers"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Intruded { client, what } => Err(format!(
                "c{client} does not know the secret and is told nothing; it was told {what}"
            )),
            // In the log, for what others write later hides it elsewhere.
            Seen::Stepped { step, disk } => {
                let node = step.node;
                for (number, entry) in self.logs.entry(node).or_default().new_entries(disk)? {
                    let foreign = entry
                        .changes
                        .iter()
                        .find(|(_, version)| version.writer.starts_with(IMPOSTOR));
                    if let Some((key, version)) = foreign {
                        let written = show(key, Some(version));
                        return Err(format!(
                            "n{node} takes nothing from strangers; entry {number} has {written}"
                        ));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
