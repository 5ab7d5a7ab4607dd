//! **Promises** that a peer that cannot be reached is dialled again after a pause, and not in a storm: between two dials of one peer
//! in one boot lies at least half of the shortest wait that `Limits::redial_ms` may be set to, by the node's own monotonic clock.
//! **From** "Exponential Backoff And Jitter" (Brooker, AWS Architecture Blog, 2015): a node that comes back must not be met by all of
//! the others at once, again and again. Half, because the other half is drawn so that they do not keep step.

use std::collections::BTreeMap;

use kernel::env::PeerId;

use super::{Invariant, Seen};

/// Half of the millisecond that `Limits::check` asks for.
const PAUSE_US: u64 = 500;

/// See the module.
#[derive(Debug, Default)]
pub struct DialsApart {
    /// When each node dialled each peer last, in the microseconds of its boot.
    last_us: BTreeMap<(usize, PeerId), u64>,
}

impl Invariant for DialsApart {
    fn name(&self) -> &'static str {
        "dials-apart"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => self.last_us.retain(|(of, _), _| of != node),
            Seen::Stepped { step, .. } => {
                let (node, now_us) = (step.node, step.now.mono_us);
                for dial in &step.output.dial {
                    let last_us = self.last_us.insert((node, dial.peer), now_us);
                    if let Some(last_us) = last_us.filter(|last_us| now_us < last_us + PAUSE_US) {
                        let after_us = now_us - last_us;
                        return Err(format!(
                            "n{node} pauses for {PAUSE_US} us before it dials {} again; it did so after {after_us} us",
                            dial.addr
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
