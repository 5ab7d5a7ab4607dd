//! **Promises** that the time that a node tells its clients never goes back, over all connections and across restarts: whoever
//! heard it later heard a later one, or the same. `clock-forward` promises it of the log; this of what is spoken: greetings
//! and the answers to exchanges.
//! **From** Kulkarni et al., "Logical Physical Clocks" (2014): a client that follows the clock of its node must not be
//! led back by the next answer. The counterexample is a node that speaks a time which is not durable, and restarts.

use std::collections::BTreeMap;

use kernel::hlc::Stamp;
use kernel::machine::{Input, Role};
use kernel::msgpack::Reader;
use kernel::wire::op::Timestamp;

use super::clock_forward::time;
use super::{Invariant, Seen};

type Time = (u64, u16);

/// See the module.
#[derive(Debug, Default)]
pub struct SpokenTime {
    nodes: BTreeMap<usize, Spoken>,
}

#[derive(Debug, Default)]
struct Spoken {
    /// What was spoken in this boot, by the place of the envelope: they leave in another order than they are given.
    times: BTreeMap<u64, Time>,
    /// The latest time of earlier boots.
    floor: Time,
    /// A commit has just failed. What waited behind it and does not rest on it is given once more, with the time of when it was given first.
    failed: bool,
}

impl Invariant for SpokenTime {
    fn name(&self) -> &'static str {
        "spoken-time"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                let spoken = self.nodes.entry(*node).or_default();
                let times = std::mem::take(&mut spoken.times);
                spoken.floor = times.into_values().fold(spoken.floor, Time::max);
            }
            // The bound that it had reserved is gone with its disk. Its stamps bear another writer from now on.
            Seen::DiskChanged { node, .. } => _ = self.nodes.remove(node),
            Seen::Stepped { step, .. } => {
                let failed = matches!(step.input, Input::Committed { result: Err(_), .. });
                self.nodes.entry(step.node).or_default().failed = failed;
            }
            Seen::Left(left) if left.role == Role::Client => {
                let Some(now) = clock_in(left.frame).map(time) else {
                    return Ok(());
                };
                let spoken = self.nodes.entry(left.node).or_default();
                let before = spoken.times.range(..left.given).next_back().map(|(_, time)| *time);
                let before = before.filter(|_| !spoken.failed).unwrap_or(spoken.floor);
                let after = spoken.times.range(left.given..).next().map_or(now, |(_, time)| *time);
                if now < before || after < now {
                    let (node, other) = (left.node, if now < before { before } else { after });
                    return Err(format!(
                        "the time that n{node} speaks does not go back; it spoke {now:?} where it had spoken {other:?}"
                    ));
                }
                if !spoken.failed {
                    spoken.times.insert(left.given, now);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The node's clock, in the messages that carry it. Most do not, and are not read.
fn clock_in(frame: &[u8]) -> Option<Stamp> {
    const NAME: &str = "serverHlc";
    let body = frame.get(2..).is_some_and(|rest| rest.starts_with(NAME.as_bytes()));
    let greeting = frame.get(7..).is_some_and(|rest| rest.starts_with(b"AUTH_ACK"));
    if !body && !greeting {
        return None;
    }
    let mut reader = Reader::new(frame);
    for _ in 0..reader.map().ok()? {
        let name = reader.text().ok()?;
        let value = reader.raw().ok()?;
        if name == NAME {
            return Some(Timestamp::read(&mut Reader::new(value)).ok()?.stamp);
        }
    }
    None
}
