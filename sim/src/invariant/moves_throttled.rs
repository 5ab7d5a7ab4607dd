//! **Promises** that what moves leaves time for the rest: a node asks for more of it only when as much time has passed as what came before
//! may take (`Limits::move_bytes_per_s`), by its own monotonic clock; and an answer has no more than it was asked for, but for its last
//! record.
//! **From** what every operator of a database asks for that moves data by itself: Cassandra's `stream_throughput_outbound`, Elasticsearch's
//! `indices.recovery.max_bytes_per_sec`.

use std::collections::BTreeMap;

use kernel::env::{ConnId, Limits};
use kernel::machine::Input;
use kernel::wire::cluster::Word;
use kernel::wire::peer::PeerMessage;

use super::{Invariant, Seen};
use crate::trace::Step;
use crate::traffic::{given, is_one_of};

/// See the module.
#[derive(Debug)]
pub struct MovesThrottled {
    bytes_per_s: u64,
    nodes: BTreeMap<usize, Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Until when it asks for nothing, in the microseconds of its boot.
    rests_us: u64,
    /// How many bytes it asked for on each connection at most.
    asked: BTreeMap<ConnId, u64>,
}

impl MovesThrottled {
    /// Of nodes with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes_per_s: limits.move_bytes_per_s,
            nodes: BTreeMap::new(),
        }
    }
}

impl Node {
    fn step(&mut self, step: &Step<'_>, bytes_per_s: u64) -> Result<(), String> {
        let now_us = step.now.mono_us;
        match step.input {
            Input::Closed { conn } => _ = self.asked.remove(conn),
            Input::Received { conn, frame } => {
                if let Some(most) = self.asked.get(conn)
                    && let Some(rows) = moved(frame)
                {
                    let bytes: u64 = rows.iter().sum();
                    let last = rows.last().copied().unwrap_or_default();
                    if bytes - last > *most {
                        return Err(format!(
                            "it asked for {most} bytes of what moves, and was given {bytes}"
                        ));
                    }
                    self.rests_us = self.rests_us.max(now_us) + bytes * 1_000_000 / bytes_per_s;
                }
            }
            _ => {}
        }
        for envelope in given(step) {
            let Some(most) = asked_for(&envelope.frame) else {
                continue;
            };
            if now_us < self.rests_us {
                let early_us = self.rests_us - now_us;
                return Err(format!(
                    "it asks for more of what moves {early_us} us before what came has taken its time"
                ));
            }
            let before = self.asked.entry(envelope.conn).or_default();
            *before = most.max(*before);
        }
        Ok(())
    }
}

fn word(frame: &[u8], of: impl FnOnce(Word<'_>) -> Option<Vec<u64>>) -> Option<Vec<u64>> {
    if !is_one_of(frame, &["CLUSTER"]) {
        return None;
    }
    match PeerMessage::decode(frame) {
        Ok(PeerMessage::Cluster(body)) => Word::decode(body).and_then(of),
        _ => None,
    }
}

/// The bytes of each record in an answer.
fn moved(frame: &[u8]) -> Option<Vec<u64>> {
    word(frame, |word| match word {
        Word::Parts(parts) => {
            let rows = parts.iter().flat_map(|part| &part.rows);
            Some(rows.map(|(key, record)| (key.len() + record.len()) as u64).collect())
        }
        _ => None,
    })
}

/// How many bytes are asked for.
fn asked_for(frame: &[u8]) -> Option<u64> {
    let most = word(frame, |word| match word {
        Word::Pull { most, .. } => Some(vec![most]),
        _ => None,
    });
    most.and_then(|most| most.first().copied())
}

impl Invariant for MovesThrottled {
    fn name(&self) -> &'static str {
        "moves-throttled"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => _ = self.nodes.insert(*node, Node::default()),
            Seen::Stepped { step, .. } => {
                let node = self.nodes.entry(step.node).or_default();
                let checked = node.step(step, self.bytes_per_s);
                return checked.map_err(|why| format!("n{} leaves time for others; {why}", step.node));
            }
            _ => {}
        }
        Ok(())
    }
}
