//! **Promises** that who does not know the secret gets nothing done and is told nothing: no answer shows it a value, a count or
//! a clock, and nothing that it wrote is anywhere.
//! **From** the handshakes of `kernel::session`; the classic counterexample is the request that was pipelined before the
//! refusal of its token.

use super::{Invariant, Seen};
use crate::client::IMPOSTOR;
use crate::model::show;

/// See the module.
#[derive(Debug)]
pub struct Strangers;

impl Invariant for Strangers {
    fn name(&self) -> &'static str {
        "strangers"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Intruded { client, what } => Err(format!(
                "c{client} does not know the secret and is told nothing; it was told {what}"
            )),
            Seen::Quiet { memories, .. } => {
                for (node, state) in memories.iter().enumerate() {
                    let foreign = state.iter().find(|(_, version)| version.writer.starts_with(IMPOSTOR));
                    if let Some((key, version)) = foreign {
                        let written = show(key, Some(version));
                        return Err(format!("n{node} takes nothing from strangers; it holds {written}"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
